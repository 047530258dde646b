package telemetry

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A Statistic sums up the points of one series in one period. Periods begin at multiples of their length since 1970.
type Statistic struct {
	Series        *metric.Series
	Start         int64 // milliseconds
	Count         int
	Min, Max, Sum float64
}

// Avg returns the mean.
func (s *Statistic) Avg() float64 { return s.Sum / float64(s.Count) }

// add takes one value in.
func (s *Statistic) add(v float64) {
	if s.Count == 0 {
		s.Min, s.Max = v, v
	}
	s.Count++
	s.Min, s.Max, s.Sum = min(s.Min, v), max(s.Max, v), s.Sum+v
}

// Statistics yields what the points of each matching series in [from, to) come to in each period, in the order of
// Measurements. Periods without points are left out. Merge sums all series up as one, in the order of time; its
// Statistic.Series is the first.
func (h *History) Statistics(ctx context.Context, tenant int, f Filter, from, to time.Time, period time.Duration, merge bool) iter.Seq2[Statistic, error] {
	points := h.Measurements
	if merge {
		points = h.Replay
	}
	return func(yield func(Statistic, error) bool) {
		ms := period.Milliseconds()
		if ms <= 0 {
			yield(Statistic{}, fmt.Errorf("%w: a period of %s", ErrQuery, period))
			return
		}
		var now Statistic
		for p, err := range points(ctx, tenant, f, from, to) {
			if err != nil {
				yield(Statistic{}, err)
				return
			}
			start := p.Time - p.Time%ms
			if now.Count > 0 && (start != now.Start || p.Series != now.Series && !merge) {
				if !yield(now, nil) {
					return
				}
				first := now.Series
				now = Statistic{}
				if merge {
					now.Series = first
				}
			}
			if now.Series == nil || !merge {
				now.Series = p.Series
			}
			now.Start = start
			now.add(p.Value)
		}
		if now.Count > 0 {
			yield(now, nil)
		}
	}
}
