package telemetry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/troupe-dev/troupe/internal/metric"
)

// maxSteps bounds the points of one series in the answer to a range query, as Prometheus does.
const maxSteps = 11_000

// ErrQueryCost is wrapped when a query takes too long or too much memory; faces answer 422 or 503.
var ErrQueryCost = errors.New("query costs too much")

// A QueryResult is what PromQL answers.
type QueryResult struct {
	Type     string          // "vector", "matrix", "scalar" or "string"
	Series   []SampledSeries // of a vector each has one sample, of a scalar there is one series without labels
	Text     string          // of a string
	Warnings []string
}

// A SampledSeries is one line of a result.
type SampledSeries struct {
	Name       string // "" when the query made a new metric
	Dimensions metric.Dimensions
	Samples    []Sample
	Histograms []HistogramSample
}

// A HistogramSample is a time in milliseconds and a native histogram.
type HistogramSample struct {
	Time      int64
	Histogram *histogram.FloatHistogram
}

// A Sample is a time in milliseconds and a value; NaN and infinities occur.
type Sample struct {
	Time  int64
	Value float64
}

// Query evaluates PromQL at one instant, over the tenant's series alone. Wraps ErrQuery and ErrQueryCost.
func (h *History) Query(ctx context.Context, tenant int, query string, at time.Time) (*QueryResult, error) {
	return h.evaluate(ctx, query, 0, func() (promql.Query, error) {
		return h.engine.NewInstantQuery(ctx, &tenantQueryable{h, tenant}, nil, query, at)
	})
}

// QueryRange evaluates PromQL at start and at every step up to end, over the tenant's series alone.
func (h *History) QueryRange(ctx context.Context, tenant int, query string, start, end time.Time, step time.Duration) (*QueryResult, error) {
	switch {
	case end.Before(start):
		return nil, fmt.Errorf("%w: the end is before the start", ErrQuery)
	case step < time.Millisecond:
		return nil, fmt.Errorf("%w: a step of %s; it must be a millisecond at least", ErrQuery, step)
	case end.Sub(start)/step > maxSteps:
		return nil, fmt.Errorf("%w: more than %d points for each series; ask for a longer step", ErrQuery, maxSteps)
	}
	return h.evaluate(ctx, query, end.Sub(start), func() (promql.Query, error) {
		return h.engine.NewRangeQuery(ctx, &tenantQueryable{h, tenant}, nil, query, start, end, step)
	})
}

func (h *History) evaluate(ctx context.Context, query string, span time.Duration, prepare func() (promql.Query, error)) (*QueryResult, error) {
	if err := h.vet(query, span); err != nil {
		return nil, err
	}
	if err := h.queries.Acquire(ctx, 1); err != nil {
		return nil, context.Cause(ctx)
	}
	defer h.queries.Release(1)
	q, err := prepare()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	defer q.Close()
	r := q.Exec(ctx)
	var timeout promql.ErrQueryTimeout
	var tooMany promql.ErrTooManySamples
	var broken promql.ErrStorage
	switch {
	case r.Err == nil:
	case errors.As(r.Err, &timeout), errors.As(r.Err, &tooMany):
		return nil, fmt.Errorf("%w: %w", ErrQueryCost, r.Err)
	case errors.As(r.Err, &broken):
		return nil, fmt.Errorf("read history: %w", broken.Err)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		return nil, fmt.Errorf("%w: %w", ErrQuery, r.Err)
	}
	return resultOf(r), nil
}

// resultOf copies a result: its memory belongs to the query.
func resultOf(r *promql.Result) *QueryResult {
	out := &QueryResult{Type: string(r.Value.Type())}
	switch v := r.Value.(type) {
	case promql.Vector:
		for _, s := range v {
			if s.H != nil {
				x := sampled(s.Metric)
				x.Histograms = []HistogramSample{{s.T, s.H.Copy()}}
				out.Series = append(out.Series, x)
				continue
			}
			out.Series = append(out.Series, sampled(s.Metric, Sample{s.T, s.F}))
		}
	case promql.Matrix:
		for _, s := range v {
			x := sampled(s.Metric)
			for _, p := range s.Floats {
				x.Samples = append(x.Samples, Sample{p.T, p.F})
			}
			for _, p := range s.Histograms {
				x.Histograms = append(x.Histograms, HistogramSample{p.T, p.H.Copy()})
			}
			out.Series = append(out.Series, x)
		}
	case promql.Scalar:
		out.Series = []SampledSeries{{Samples: []Sample{{v.T, v.V}}}}
	case promql.String:
		out.Text = v.V
	}
	for _, w := range r.Warnings.AsErrors() {
		out.Warnings = append(out.Warnings, w.Error())
	}
	return out
}

func sampled(l labels.Labels, samples ...Sample) SampledSeries {
	s := seriesOf(0, l)
	return SampledSeries{Name: s.Name, Dimensions: s.Dimensions, Samples: samples}
}

// A tenantQueryable shows one tenant's series, without the label that says so.
type tenantQueryable struct {
	h      *History
	tenant int
}

func (t *tenantQueryable) Querier(from, to int64) (storage.Querier, error) {
	q, err := t.h.querier(from, min(to, math.MaxInt64/2))
	if err != nil {
		return nil, err
	}
	return &tenantQuerier{q, tenantMatcher(t.tenant)}, nil
}

type tenantQuerier struct {
	storage.Querier
	only *labels.Matcher
}

func (t *tenantQuerier) with(matchers []*labels.Matcher) []*labels.Matcher {
	return append(append(make([]*labels.Matcher, 0, len(matchers)+1), matchers...), t.only)
}

func (t *tenantQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	return &tenantSeriesSet{SeriesSet: t.Querier.Select(ctx, sorted, hints, t.with(matchers)...)}
}

func (t *tenantQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if name == tenantLabel {
		return nil, nil, nil
	}
	return t.Querier.LabelValues(ctx, name, hints, t.with(matchers)...)
}

type tenantSeriesSet struct {
	storage.SeriesSet
	b labels.ScratchBuilder
}

func (t *tenantSeriesSet) At() storage.Series {
	s := t.SeriesSet.At()
	t.b.Reset()
	s.Labels().Range(func(l labels.Label) {
		if l.Name != tenantLabel {
			t.b.Add(l.Name, l.Value)
		}
	})
	return &tenantSeries{s, t.b.Labels()}
}

type tenantSeries struct {
	storage.Series
	l labels.Labels
}

func (t *tenantSeries) Labels() labels.Labels { return t.l }
