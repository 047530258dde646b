package alarm

import "math"

// A bucket is what a window holds of its samples: as much as the part's function needs.
type bucket struct {
	sum float64 // or the minimum, the maximum, the last value
	n   uint32
}

// A cell is one part of one alarm: its windows and its state.
type cell struct {
	alarm *alarm
	// buckets is a ring: the windows in view, oldest first, and those of the future. head is the newest in
	// view. Last keeps its value in the only bucket.
	buckets  []bucket
	sketches []*sketch // beside buckets, for percentiles
	values   []float64 // what the last decision was made from
	end      int64     // of window head; for Last the time of the newest sample
	seen     int64     // when the newest sample arrived
	since    int64     // older samples were not taken, or are forgotten
	head     uint16
	filled   uint16 // buckets with samples
	part     uint16
	empty    uint32 // evaluations in a row without data
	series   uint32 // that feed the cell
	state    State
	reported bool // has decided at least once
	again    bool // report the next decision even if it changes nothing
	recheck  bool // look at all windows with the next sample, not just at its own; of Last: its value came from history, and is not decided
	silent   bool // is missing because of silence
}

// start gives the cell fresh windows. Last and Absent keep what they know.
func (c *cell) start(r *rule, anchor int64) {
	if !r.windowed() {
		if r.function == last && c.buckets == nil {
			c.buckets, c.end = make([]bucket, 1), 0
		}
		return
	}
	c.buckets = make([]bucket, r.times+r.future)
	c.sketches = nil
	if r.function == percentile {
		c.sketches = make([]*sketch, len(c.buckets))
	}
	c.head, c.filled, c.empty, c.end = uint16(r.times-1), 0, 0, r.anchor(anchor)
}

// slot returns the index of the bucket k windows after head.
func (c *cell) slot(k int) int {
	k += int(c.head)
	if k < 0 {
		return k + len(c.buckets)
	}
	if k >= len(c.buckets) {
		return k - len(c.buckets)
	}
	return k
}

// place says where a sample's time falls.
type place uint8

const (
	inView place = iota
	tooOld
	tooNew
)

func (c *cell) place(r *rule, t int64) (slot int, where place) {
	switch {
	case t < c.end-int64(r.times)*r.period:
		return 0, tooOld
	case t >= c.end+int64(r.future)*r.period:
		return 0, tooNew
	case t >= c.end:
		return c.slot(1 + int((t-c.end)/r.period)), inView
	}
	return c.slot(-int((c.end - 1 - t) / r.period)), inView
}

// put adds a value to a bucket.
func (m *Monitor) put(c *cell, r *rule, slot int, v float64) {
	b := &c.buckets[slot]
	if b.n == 0 {
		c.filled++
		b.sum = v
		if r.function == percentile {
			c.sketches[slot] = m.newSketch()
		}
	} else {
		switch r.function {
		case minimum:
			b.sum = min(b.sum, v)
		case maximum:
			b.sum = max(b.sum, v)
		case average, total, rate:
			b.sum = bounded(b.sum + v)
		}
	}
	if r.function == percentile {
		c.sketches[slot].add(v, r.quantile)
	}
	if b.n < math.MaxUint32 {
		b.n++
	}
}

// bounded keeps sums of huge values finite.
func bounded(v float64) float64 { return max(-math.MaxFloat64, min(math.MaxFloat64, v)) }

// value returns what the function makes of a bucket that holds samples.
func (c *cell) value(r *rule, slot int) float64 {
	b := &c.buckets[slot]
	switch r.function {
	case average:
		return b.sum / float64(b.n)
	case count:
		return float64(b.n)
	case rate:
		return b.sum / (float64(r.period) / 1000)
	case percentile:
		return c.sketches[slot].value(r.quantile)
	}
	return b.sum
}

// slide moves the view on by so many windows.
func (m *Monitor) slide(c *cell, r *rule, windows int64) {
	c.end += windows * r.period
	if c.filled == 0 {
		return
	}
	for range min(windows, int64(len(c.buckets))) {
		c.head = uint16(c.slot(1))
		m.clear(c, c.slot(r.future))
	}
}

func (m *Monitor) clear(c *cell, slot int) {
	if c.buckets[slot].n == 0 {
		return
	}
	c.buckets[slot] = bucket{}
	c.filled--
	if c.sketches != nil {
		m.sketches = append(m.sketches, c.sketches[slot])
		c.sketches[slot] = nil
	}
}

// forget empties all windows.
func (m *Monitor) forget(c *cell) {
	for slot := range c.buckets {
		m.clear(c, slot)
	}
}

// newSketch takes one that another window has given back, or makes one.
func (m *Monitor) newSketch() *sketch {
	n := len(m.sketches)
	if n == 0 {
		return new(sketch)
	}
	s := m.sketches[n-1]
	m.sketches = m.sketches[:n-1]
	*s = sketch{}
	return s
}

// move places the view so that its newest window is the first that is not decided at now. It goes back only if the
// clock did: stamps of samples may have carried it a little ahead.
func (m *Monitor) move(c *cell, r *rule, now int64) {
	if !r.windowed() || c.buckets == nil {
		return
	}
	end := r.pending(c.end, now)
	switch {
	case end >= c.end:
		m.slide(c, r, (end-c.end)/r.period)
	case c.end-end > int64(r.future)*r.period:
		m.forget(c)
		c.end = end
	}
}
