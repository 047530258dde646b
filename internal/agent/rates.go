package agent

import "time"

// rates turns counters that only grow into rates per second between two runs.
type rates struct {
	before, now map[string]float64
	at          time.Time
	span        float64 // seconds since the run before; 0 in the first
}

// begin starts a run. Counters that the last run did not see are forgotten.
func (r *rates) begin(now time.Time) {
	r.span = 0
	if !r.at.IsZero() {
		r.span = now.Sub(r.at).Seconds()
	}
	r.at = now
	r.before, r.now = r.now, r.before
	if r.now == nil {
		r.now = make(map[string]float64)
	}
	clear(r.now)
}

// grown returns by how much a counter has grown since the run before, and false when that run did not see it or it
// was set back meanwhile.
func (r *rates) grown(key string, value float64) (float64, bool) {
	r.now[key] = value
	before, seen := r.before[key]
	return value - before, seen && r.span > 0 && value >= before
}

// rate returns what a counter grew by in a second; false as in grown.
func (r *rates) rate(key string, value float64) (float64, bool) {
	grown, ok := r.grown(key, value)
	if !ok {
		return 0, false
	}
	return grown / r.span, true
}
