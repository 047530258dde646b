package alarm

import (
	"math"
	"time"
)

// A rule is a part made ready for the hot path. Times are milliseconds.
type rule struct {
	function  function
	operator  Operator
	threshold float64
	quantile  float64
	period    int64
	times     int
	future    int // windows after the present one that samples may fall into
	// alarmAtOnce and okAtOnce: values only move further that way within a window, so that a decision
	// need not wait for its end.
	alarmAtOnce, okAtOnce bool
	deterministic         bool
	silence               int64  // 0: empty evaluations are counted instead, up to limit
	limit                 uint32 // evaluations in a row without data, after which the part is missing
	delay                 int64  // from the end of a window to its decision
	compat                bool
	unit                  int64 // windows are aligned to the unit in which the alarm was created
}

type function uint8

const (
	average function = iota
	minimum
	maximum
	total
	count
	last
	rate
	percentile
	absent
)

var functionOf = map[Function]function{Avg: average, Min: minimum, Max: maximum, Sum: total, Count: count, Last: last, Rate: rate, Absent: absent}

func newRule(d *Definition, p *Part) rule {
	r := rule{
		operator: p.Operator, threshold: p.Threshold, period: p.Period.Milliseconds(), times: p.Times,
		deterministic: p.Deterministic, silence: d.Silence.Milliseconds(), compat: d.Profile == Compat, unit: 1000,
	}
	r.function = functionOf[p.Function]
	if q, ok := p.Function.Quantile(); ok {
		r.function, r.quantile = percentile, q
	}
	above := p.Operator == GT || p.Operator == GTE
	switch r.function {
	case maximum, count, rate: // they only grow
		r.alarmAtOnce, r.okAtOnce = above, !above
	case minimum:
		r.alarmAtOnce, r.okAtOnce = !above, above
	}
	r.delay = d.Lateness.Milliseconds()
	if r.compat {
		r.delay = compatTick.Milliseconds()
	}
	r.future = futureWindows
	if !r.compat { // samples of the present go on while the end of a window is waited for
		r.future += int(ceilDiv(r.delay, r.period))
	}
	if p.Period%time.Minute == 0 || r.compat {
		r.unit = time.Minute.Milliseconds()
	}
	// Upstream counts one evaluation for each window, but sets the limit in minutes.
	r.limit = uint32(max(1, p.Period/time.Minute)) * uint32(p.Times) * 2
	if r.silence > 0 {
		r.limit = math.MaxUint32
	}
	if r.deterministic {
		r.silence = 0
	}
	if r.function == absent {
		r.silence = r.period
	}
	return r
}

// windowed reports whether samples are kept in windows.
func (r *rule) windowed() bool { return r.function != last && r.function != absent }

// exceeds compares a value with the threshold.
func (r *rule) exceeds(v float64) bool {
	switch r.operator {
	case LT:
		return v < r.threshold
	case LTE:
		return v <= r.threshold
	case GT:
		return v > r.threshold
	}
	return v >= r.threshold
}

// anchor returns the end of the first window of an alarm made at that time.
func (r *rule) anchor(created int64) int64 { return floorTo(created, r.unit) + r.period }

// pending returns the end of the first window, on the grid of end, that timers up to but not including now
// have not decided.
func (r *rule) pending(end, now int64) int64 {
	return end + ceilDiv(now-r.delay-end, r.period)*r.period
}

func floorTo(t, unit int64) int64 { return floorDiv(t, unit) * unit }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int64) int64 { return -floorDiv(-a, b) }
