package telemetry

import (
	"sync"

	"github.com/prometheus/prometheus/model/histogram"
)

// A running total makes one cumulative series of reports that each count from the one before, as OTLP's deltas do. It
// lives as long as the series: one that comes back after that begins at zero, as a counter of a program that was started
// again.
type running struct {
	mu        sync.Mutex
	newest    int64 // time of the newest report
	total     float64
	histogram *histogram.FloatHistogram
}

// total puts what a report comes to in place of what it counts. It refuses a report that is not newer than the one
// before: it came twice, or what came after it has been told already.
func (e *entry) total(p *rawPoint) bool {
	r := e.running.Load()
	if r == nil {
		r = new(running)
		if !e.running.CompareAndSwap(nil, r) {
			r = e.running.Load()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.time <= r.newest {
		return false
	}
	if p.histogram == nil {
		r.newest = p.time
		r.total += p.value
		p.value = r.total
		return true
	}
	sum := p.histogram
	if r.histogram != nil {
		added, _, _, err := r.histogram.Copy().Add(p.histogram)
		if err != nil {
			return false
		}
		sum = added.Compact(0)
	}
	for len(sum.PositiveBuckets)+len(sum.NegativeBuckets) > fewBuckets && sum.Schema > histogram.ExponentialSchemaMin {
		if sum.ReduceResolution(sum.Schema-1) != nil {
			return false
		}
	}
	r.newest, r.histogram = p.time, sum // never changed again
	p.histogram = sum
	return true
}
