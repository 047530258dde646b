package telemetry

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/troupe-dev/troupe/internal/metric"
)

// Always is a range that holds all that history has.
var (
	Beginning = time.UnixMilli(0)
	End       = time.UnixMilli(math.MaxInt64 / 2)
)

// query opens the database for [from, to).
func (h *History) query(from, to time.Time) (storage.Querier, error) {
	if !from.Before(to) {
		return nil, fmt.Errorf("%w: the start is not before the end", ErrQuery)
	}
	return h.querier(from.UnixMilli(), to.UnixMilli()-1)
}

// Series returns the tenant's series that had samples in [from, to), sorted by name and dimensions.
func (h *History) Series(ctx context.Context, tenant int, f Filter, from, to time.Time) ([]*metric.Series, error) {
	var out []*metric.Series
	err := h.each(ctx, tenant, f, from, to, func(s storage.Series) bool {
		out = append(out, seriesOf(tenant, s.Labels()))
		return true
	})
	slices.SortFunc(out, CompareSeries)
	return out, err
}

// CompareSeries orders series by name and dimensions.
func CompareSeries(a, b *metric.Series) int {
	if c := cmp.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return slices.CompareFunc(a.Dimensions, b.Dimensions, func(x, y metric.Dimension) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value))
	})
}

// each calls do for the matching series until it returns false.
func (h *History) each(ctx context.Context, tenant int, f Filter, from, to time.Time, do func(storage.Series) bool) error {
	matchers, err := h.matchers(tenant, f)
	if err != nil {
		return err
	}
	q, err := h.query(from, to)
	if err != nil {
		return err
	}
	defer q.Close()
	set := q.Select(ctx, false, nil, matchers...)
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if !do(set.At()) {
			return nil
		}
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	return nil
}

// Names returns the names of the matching metrics, sorted.
func (h *History) Names(ctx context.Context, tenant int, f Filter, from, to time.Time) ([]string, error) {
	return h.values(ctx, tenant, model.MetricNameLabel, f, from, to)
}

// DimensionNames returns the names of the dimensions that matching series have, sorted.
func (h *History) DimensionNames(ctx context.Context, tenant int, f Filter, from, to time.Time) ([]string, error) {
	matchers, err := h.matchers(tenant, f)
	if err != nil {
		return nil, err
	}
	q, err := h.query(from, to)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	names, _, err := q.LabelNames(ctx, nil, matchers...)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return clones(slices.DeleteFunc(names, func(n string) bool { return n == tenantLabel || n == model.MetricNameLabel })), nil
}

// DimensionValues returns the values that a dimension has among the matching series, sorted.
func (h *History) DimensionValues(ctx context.Context, tenant int, name string, f Filter, from, to time.Time) ([]string, error) {
	if strings.HasPrefix(name, "__") {
		return nil, nil
	}
	return h.values(ctx, tenant, name, f, from, to)
}

func (h *History) values(ctx context.Context, tenant int, label string, f Filter, from, to time.Time) ([]string, error) {
	matchers, err := h.matchers(tenant, f)
	if err != nil {
		return nil, err
	}
	q, err := h.query(from, to)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	values, _, err := q.LabelValues(ctx, label, nil, matchers...)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return clones(values), nil
}

// clones copies texts that point into files which may be unmapped.
func clones(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.Clone(s)
	}
	slices.Sort(out)
	return out
}

// Measurements yields the points of the matching series in [from, to): series by series in the order of Series, each by
// time, with their value_meta. A last pair with an error ends a walk that failed.
func (h *History) Measurements(ctx context.Context, tenant int, f Filter, from, to time.Time) iter.Seq2[metric.Point, error] {
	return func(yield func(metric.Point, error) bool) {
		found, closer, err := h.found(ctx, tenant, f, from, to)
		defer closer()
		if err != nil {
			yield(metric.Point{}, err)
			return
		}
		for _, x := range found {
			key := seriesKey(x.series)
			it := x.at.Iterator(nil)
			for next(it) {
				t, v := it.At()
				if !yield(metric.Point{Series: x.series, Time: t, Value: v, Meta: h.meta(key, t)}, ctx.Err()) || ctx.Err() != nil {
					return
				}
			}
			if it.Err() != nil {
				yield(metric.Point{}, fmt.Errorf("read history: %w", it.Err()))
				return
			}
		}
	}
}

type foundSeries struct {
	series *metric.Series
	at     storage.Series
}

// found returns the matching series in order, readable until closer is called.
func (h *History) found(ctx context.Context, tenant int, f Filter, from, to time.Time) (out []foundSeries, closer func(), err error) {
	closer = func() {}
	matchers, err := h.matchers(tenant, f)
	if err != nil {
		return nil, closer, err
	}
	q, err := h.query(from, to)
	if err != nil {
		return nil, closer, err
	}
	closer = func() { _ = q.Close() }
	set := q.Select(ctx, false, nil, matchers...)
	for set.Next() && ctx.Err() == nil {
		s := set.At()
		out = append(out, foundSeries{seriesOf(tenant, s.Labels()), s})
	}
	if err := cmp.Or(set.Err(), ctx.Err()); err != nil {
		return nil, closer, fmt.Errorf("read history: %w", err)
	}
	slices.SortFunc(out, func(a, b foundSeries) int { return CompareSeries(a.series, b.series) })
	return out, closer, nil
}

// next moves to the next measurement: past marks of ended series.
func next(it chunkenc.Iterator) bool {
	for {
		switch it.Next() {
		case chunkenc.ValNone:
			return false
		case chunkenc.ValFloat:
			if _, v := it.At(); !math.IsNaN(v) {
				return true
			}
		}
	}
}

// Range yields one live series' points in [from, to) by time: what refills an alarm's window. The points name s itself.
func (h *History) Range(ctx context.Context, s *metric.Series, from, to time.Time) iter.Seq2[metric.Point, error] {
	return func(yield func(metric.Point, error) bool) {
		q, err := h.query(from, to)
		if err != nil {
			yield(metric.Point{}, err)
			return
		}
		defer q.Close()
		l := labelsOf(s)
		matchers := make([]*labels.Matcher, 0, l.Len())
		l.Range(func(x labels.Label) {
			matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, x.Name, x.Value))
		})
		set := q.Select(ctx, false, nil, matchers...)
		for set.Next() {
			if labels.Compare(set.At().Labels(), l) != 0 {
				continue // it has more dimensions
			}
			it := set.At().Iterator(nil)
			for next(it) {
				t, v := it.At()
				if !yield(metric.Point{Series: s, Time: t, Value: v}, nil) {
					return
				}
			}
			if it.Err() != nil {
				yield(metric.Point{}, fmt.Errorf("read history: %w", it.Err()))
				return
			}
		}
		if set.Err() != nil {
			yield(metric.Point{}, fmt.Errorf("read history: %w", set.Err()))
		}
	}
}

// Replay yields the points of all matching series in [from, to) in the order of time: what a definition would have
// seen. The series are made for the walk; points of one series share one.
func (h *History) Replay(ctx context.Context, tenant int, f Filter, from, to time.Time) iter.Seq2[metric.Point, error] {
	return func(yield func(metric.Point, error) bool) {
		found, closer, err := h.found(ctx, tenant, f, from, to)
		defer closer()
		if err != nil {
			yield(metric.Point{}, err)
			return
		}
		for p, err := range merged(ctx, found, from.UnixMilli()) {
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// A replay is a heap of series, by the time of their next point.
type replay []replayed

type replayed struct {
	point metric.Point
	it    chunkenc.Iterator
}

// walk yields all points, the earliest first.
func (r *replay) walk(ctx context.Context, yield func(metric.Point, error) bool) {
	heap.Init(r)
	for len(*r) > 0 {
		first := &(*r)[0]
		if !yield(first.point, ctx.Err()) || ctx.Err() != nil {
			return
		}
		if next(first.it) {
			first.point.Time, first.point.Value = first.it.At()
			heap.Fix(r, 0)
			continue
		}
		if err := first.it.Err(); err != nil {
			yield(metric.Point{}, fmt.Errorf("read history: %w", err))
			return
		}
		heap.Pop(r)
	}
}

func (r replay) Len() int { return len(r) }
func (r replay) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(r[i].point.Time, r[j].point.Time), cmp.Compare(r[i].point.Series.ID, r[j].point.Series.ID)) < 0
}
func (r replay) Swap(i, j int) { r[i], r[j] = r[j], r[i] }
func (r *replay) Push(x any)   { *r = append(*r, x.(replayed)) }
func (r *replay) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}
