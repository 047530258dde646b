package telemetry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/troupe-dev/troupe/internal/metric"
)

// ErrManySeries: the query fits several series, and does not say how they are put together.
var ErrManySeries = errors.New("several series fit; merge them, group them or choose one by its dimensions")

// A Query asks for the points of series, put together in groups.
type Query struct {
	Tenant   int
	Filter   Filter
	From, To time.Time // [From, To)
	// Merge puts all series into one group. Otherwise GroupBy names dimensions: series that agree in them are one group, and
	// with Each every series is its own. Without any of these, no more than one series may fit.
	Merge   bool
	GroupBy []string
	Each    bool
	// After is where the answer begins: behind this row. The zero value begins with the first.
	After Place
}

// A Place is a row of an answer: its group and its time.
type Place struct {
	Group int
	Time  int64 // milliseconds; the rows of the group up to this one are left out
	Set   bool
}

// A Group is some series that are read as one.
type Group struct {
	Number     int // its place among the groups, from 0
	Name       string
	Dimensions metric.Dimensions // that its series were grouped by; when they were merged, those that all share
}

// A Row is a point of a group.
type Row struct {
	*Group
	Time  int64
	Value float64
	Meta  map[string]string
}

// Rows yields what a query asks for: group by group, in the order of their dimensions, each by time. A last pair with an error ends a walk
// that failed; the error is ErrManySeries or wraps ErrQuery where the query is to blame.
func (h *History) Rows(ctx context.Context, q Query) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		found, closer, err := h.found(ctx, q.Tenant, q.Filter, q.From, q.To)
		defer closer()
		if err != nil {
			yield(Row{}, err)
			return
		}
		if len(found) > 1 && !q.Merge && !q.Each && len(q.GroupBy) == 0 {
			yield(Row{}, ErrManySeries)
			return
		}
		for i, members := range q.group(found) {
			if q.After.Set && i < q.After.Group {
				continue
			}
			from := q.From.UnixMilli()
			if q.After.Set && i == q.After.Group {
				from = max(from, q.After.Time+1)
			}
			g := &Group{Number: i, Name: members[0].series.Name, Dimensions: q.dimensions(members)}
			if !h.walk(ctx, g, members, from, yield) {
				return
			}
		}
	}
}

// walk yields the points of a group from a time on; false when the walk is over.
func (h *History) walk(ctx context.Context, g *Group, members []foundSeries, from int64, yield func(Row, error) bool) bool {
	for p, err := range merged(ctx, members, from) {
		if err != nil {
			yield(Row{}, err)
			return false
		}
		if !yield(Row{Group: g, Time: p.Time, Value: p.Value, Meta: h.meta(seriesKey(p.Series), p.Time)}, nil) {
			return false
		}
	}
	return true
}

// group puts series together. Both are in the order of their dimensions.
func (q *Query) group(found []foundSeries) (out [][]foundSeries) {
	if q.Merge && len(found) > 0 {
		return [][]foundSeries{found}
	}
	if q.Each || len(q.GroupBy) == 0 {
		for i := range found {
			out = append(out, found[i:i+1])
		}
		return out
	}
	at := make(map[string]int)
	for _, x := range found {
		key := only(x.series.Dimensions, q.GroupBy).String()
		i, known := at[key]
		if !known {
			i = len(out)
			at[key], out = i, append(out, nil)
		}
		out[i] = append(out[i], x)
	}
	slices.SortStableFunc(out, func(a, b []foundSeries) int {
		return CompareSeries(&metric.Series{Dimensions: only(a[0].series.Dimensions, q.GroupBy)}, &metric.Series{Dimensions: only(b[0].series.Dimensions, q.GroupBy)})
	})
	return out
}

// dimensions are those that a group is known by.
func (q *Query) dimensions(members []foundSeries) metric.Dimensions {
	first := members[0].series.Dimensions
	switch {
	case len(members) > 1 && q.Merge:
		return slices.DeleteFunc(slices.Clone(first), func(d metric.Dimension) bool {
			return slices.ContainsFunc(members, func(x foundSeries) bool { v, ok := x.series.Dimensions.Get(d.Name); return !ok || v != d.Value })
		})
	case !q.Merge && !q.Each && len(q.GroupBy) > 0:
		return only(first, q.GroupBy)
	}
	return first
}

func only(d metric.Dimensions, names []string) metric.Dimensions {
	return slices.DeleteFunc(slices.Clone(d), func(x metric.Dimension) bool { return !slices.Contains(names, x.Name) })
}

// merged yields the points of series in the order of time, from a time on.
func merged(ctx context.Context, members []foundSeries, from int64) iter.Seq2[metric.Point, error] {
	return func(yield func(metric.Point, error) bool) {
		var r replay
		for i, x := range members {
			x.series.ID = uint32(i)
			it := x.at.Iterator(nil)
			if seek(it, from) {
				t, v := it.At()
				r = append(r, replayed{metric.Point{Series: x.series, Time: t, Value: v}, it})
			}
		}
		r.walk(ctx, yield)
	}
}

// seek moves to the first measurement that is no older.
func seek(it chunkenc.Iterator, from int64) bool {
	if it.Seek(from) != chunkenc.ValFloat {
		return next(it)
	}
	if _, v := it.At(); math.IsNaN(v) { // the mark of an ended series
		return next(it)
	}
	return true
}

// A Summary is what the points of a group come to in one period.
type Summary struct {
	*Group
	Statistic
}

// Summaries yields what the rows of a query come to in each period, as Statistics does. After names a period by its start.
func (h *History) Summaries(ctx context.Context, q Query, period time.Duration) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		ms := period.Milliseconds()
		if ms <= 0 {
			yield(Summary{}, fmt.Errorf("%w: a period of %s", ErrQuery, period))
			return
		}
		if q.After.Set { // the next period's first millisecond comes after this one's last
			q.After.Time += ms - 1
		}
		var now Summary
		for row, err := range h.Rows(ctx, q) {
			if err != nil {
				yield(Summary{}, err)
				return
			}
			start := row.Time - row.Time%ms
			if now.Count > 0 && (start != now.Start || row.Group != now.Group) {
				if !yield(now, nil) {
					return
				}
				now = Summary{}
			}
			now.Group, now.Start = row.Group, start
			now.add(row.Value)
		}
		if now.Count > 0 {
			yield(now, nil)
		}
	}
}
