package telemetry

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/troupe-dev/troupe/internal/metric"
)

// Limits bound one tenant. They may change at any time; what is there beyond a lowered one stays.
type Limits struct {
	Series int     // at once
	Values int     // of one dimension's name, over all series
	Rate   float64 // samples a second, lasting
	Burst  float64 // samples beyond that at once
}

// DefaultLimits leave room for a large installation, and stop a runaway sender before it takes the memory.
var DefaultLimits = Limits{Series: 200_000, Values: 100_000, Rate: 100_000, Burst: 500_000}

// A bucket paces one tenant. A request that finds it not empty is taken whole, and the debt is waited for: the size
// of requests is bounded elsewhere, and to take a part would make the sender repeat the whole.
type bucket struct {
	mu     sync.Mutex
	tokens float64
	at     time.Time
}

// take removes n tokens, or returns after how long there will be some.
func (b *bucket) take(n int, l Limits, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.IsZero() {
		b.tokens = l.Burst
	} else if passed := now.Sub(b.at).Seconds(); passed > 0 { // a clock that jumps back gives nothing
		b.tokens = min(l.Burst, b.tokens+passed*l.Rate)
	}
	b.at = now
	if b.tokens <= 0 {
		return pause((1 - b.tokens) / l.Rate)
	}
	b.tokens -= float64(n)
	return 0
}

// pause bounds how long a sender is told to wait: its limit may be another by then.
func pause(seconds float64) time.Duration {
	if !(seconds < time.Hour.Seconds()) {
		return time.Hour
	}
	return time.Duration(seconds * float64(time.Second))
}

// Admit is what a face calls before it reads a request's body. A tenant in debt is refused with a *LimitError at
// once, so that its flood costs next to nothing; one with as many requests in work as it may waits. The caller calls
// done when it has finished with the request.
func (in *Intake) Admit(ctx context.Context, tenant int, now time.Time) (done func(), err error) {
	t := in.tenant(tenant)
	limits := in.o.Limits(tenant)
	if wait := t.bucket.take(0, limits, now); wait > 0 {
		in.counts[OverRate].Add(1)
		return nil, &LimitError{Reason: OverRate, Limit: limits.Rate, RetryAfter: wait}
	}
	select {
	case t.slots <- struct{}{}:
		return t.done, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// valueCount counts, for every name of a dimension, how many series have each value. Values are known by their
// hash: a collision makes the limit one too generous.
type valueCount struct {
	mu    sync.Mutex
	names map[string]map[uint64]uint32
}

// full returns the name of a dimension that has no room for the value of a new series, or "".
func (v *valueCount) full(d metric.Dimensions, limit int) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, x := range d {
		values := v.names[x.Name]
		if len(values) < limit {
			continue
		}
		if _, known := values[xxhash.Sum64String(x.Value)]; !known {
			return strings.Clone(x.Name)
		}
	}
	return ""
}

// add counts a new series. d must last.
func (v *valueCount) add(d metric.Dimensions) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.names == nil {
		v.names = make(map[string]map[uint64]uint32)
	}
	for _, x := range d {
		values := v.names[x.Name]
		if values == nil {
			values = make(map[uint64]uint32)
			v.names[strings.Clone(x.Name)] = values
		}
		values[xxhash.Sum64String(x.Value)]++
	}
}

func (v *valueCount) remove(d metric.Dimensions) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, x := range d {
		values, hash := v.names[x.Name], xxhash.Sum64String(x.Value)
		if values[hash]--; values[hash] == 0 {
			delete(values, hash)
		}
		if len(values) == 0 {
			delete(v.names, x.Name)
		}
	}
}
