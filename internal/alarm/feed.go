package alarm

import (
	"math"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A Feed takes the samples of one series into the parts that it fits.
type Feed struct {
	monitor *Monitor
	series  *metric.Series
	cells   []*cell
	newest  int64   // time of the newest sample
	value   float64 // its value
	bound   bool    // cells are complete
	// attendee is the instance that the series is about, in a definition for instances; nil for none.
	attendee *attendee
	left     bool // nobody holds the feed: it stands for a series in the metrics of an alarm
	// expected: it stands for a series that has never come.
	expected bool
}

// Join returns the feed of a series, or nil if the series fits no part. Alarms come into being with
// samples, not with series: a feed alone makes none. After [Monitor.Leave] it must not be used.
func (m *Monitor) Join(s *metric.Series) *Feed {
	if s.Tenant != m.def.Tenant || !slices.ContainsFunc(m.expression.Parts, func(p Part) bool { return p.Fits(s) }) {
		return nil
	}
	if len(m.orphans) > 0 {
		name := s.String()
		if f := m.orphans[name]; f != nil {
			delete(m.orphans, name)
			if f.series.Origin != s.Origin {
				m.dismiss(f)
			}
			if f.series, f.left, f.expected = s, false, false; f.attendee == nil {
				m.enroll(f)
			}
			for _, c := range f.cells {
				m.retrace(c.alarm)
			}
			return f
		}
	}
	f := &Feed{monitor: m, series: s}
	m.enroll(f)
	return f
}

// Leave lets go of a series. Alarms that show it among their metrics still do.
func (m *Monitor) Leave(f *Feed) {
	f.left, f.bound = true, false
	if !m.loading { // what has only shown its past comes back
		if m.partial != nil {
			m.partial.dropFeed(m, f)
		}
		for i := len(f.cells) - 1; i >= 0; i = min(i, len(f.cells)) - 1 {
			if a := f.cells[i].alarm; !a.visible {
				m.withdraw(f, a)
			}
		}
	}
	if len(f.cells) > 0 {
		m.orphans[f.series.String()] = f
	} else {
		m.dismiss(f)
	}
}

// Add takes a sample stamped t that arrived at now, and reports whether Decide has something to tell. While
// the Monitor loads, samples only refill windows.
func (f *Feed) Add(t int64, value float64, now int64) bool {
	m := f.monitor
	if math.IsNaN(value - value) { // NaN or infinite
		m.stats.Invalid++
		return false
	}
	if m.closed || f.attendee != nil && f.attendee.away {
		return false
	}
	if t == f.newest && value == f.value && f.repeats(t) {
		m.stats.Duplicate++
		return false
	}
	if m.loading {
		f.refill(t, value)
	} else {
		now = m.at(now)
		m.stats.Samples++
		if !f.bound {
			m.bind(f, now)
		}
		for i := 0; i < len(f.cells); i++ {
			m.add(f.cells[i], f, t, value, now)
		}
		if !f.bound { // an alarm's lifetime ended just before
			m.bind(f, now)
			for _, c := range f.cells {
				m.add(c, f, t, value, now)
			}
		}
	}
	if limit := max(now, m.clock) + ahead; t <= limit && (t >= f.newest || f.newest > limit) {
		f.newest, f.value = t, value
	}
	return len(m.pending) > 0
}

// repeats reports whether a sample like the newest is that sample once more. Stamps of whole seconds do not tell two
// events apart, and Monasca takes all.
func (f *Feed) repeats(t int64) bool { return t%1000 != 0 && f.monitor.def.Profile != Compat }

// refill puts a sample of the past into windows, and decides nothing.
func (f *Feed) refill(t int64, value float64) {
	m := f.monitor
	for _, c := range f.cells {
		r := &m.rules[c.part]
		if r.function == last && !c.silent {
			if t > c.end && c.keep(t, value) {
				c.recheck = true // it was taken, and nobody knows what came of it
			}
			continue
		}
		if c.silent || !c.alarm.visible || r.function == absent {
			continue
		}
		v := value
		if r.function == rate {
			grown, ok := f.growth(t, value, int64(r.times+1)*r.period)
			if !ok {
				continue
			}
			v = grown
		}
		if slot, where := c.place(r, t); where == inView && t >= c.since {
			m.put(c, r, slot, v)
		}
	}
}

// growth returns by how much a counter has grown since the newest sample, if that is not too long ago. A
// counter that fell was reset to zero in between.
func (f *Feed) growth(t int64, value float64, horizon int64) (float64, bool) {
	if f.newest == 0 || t <= f.newest || t-f.newest > horizon {
		return 0, false
	}
	if value < f.value {
		return max(value, 0), true
	}
	return bounded(value - f.value), true
}

// keyOf returns the values of match_by, and whether the series has any. Each is written with its
// length, and one that the series lacks as "-".
func (m *Monitor) keyOf(s *metric.Series) (string, bool) {
	if len(m.def.MatchBy) == 0 {
		return "", true
	}
	values := make([]*string, len(m.def.MatchBy))
	some := false
	for i, name := range m.def.MatchBy {
		if v, ok := s.Dimensions.Get(name); ok {
			values[i], some = &v, true
		}
	}
	return joinKey(values), some
}

// Values end in a byte that none of them may hold (see metric.CheckDimension).
const (
	endOfValue = ";"
	noValue    = ","
)

func joinKey(values []*string) string {
	var b strings.Builder
	for _, v := range values {
		if v == nil {
			b.WriteString(noValue)
		} else {
			b.WriteString(*v)
		}
		b.WriteString(endOfValue)
	}
	return b.String()
}

func splitKey(key string) []*string {
	var values []*string
	for v := range strings.SplitSeq(strings.TrimSuffix(key, endOfValue), endOfValue) {
		if v == noValue {
			values = append(values, nil)
		} else {
			values = append(values, &v)
		}
	}
	return values
}

// bind finds or makes the alarms of a series.
func (m *Monitor) bind(f *Feed, now int64) {
	f.bound = true
	key, some := m.keyOf(f.series)
	if !some {
		return
	}
	m.attach(m.group(key, now), f, now)
	if m.partial != nil {
		for _, other := range m.partial.addFeed(f, key) {
			m.attach(other, f, now)
		}
		m.join(f, key, now)
	}
}

// group finds or makes the alarm of some values of match_by.
func (m *Monitor) group(key string, now int64) *alarm {
	a := m.groups[key]
	if a == nil {
		a = m.newAlarm(key)
		if m.partial != nil {
			m.partial.addGroup(a)
			for _, other := range m.partial.feedsFor(key) {
				m.attach(a, other, now)
			}
		}
	}
	return a
}

// partsOf returns the parts that a series fits.
func (m *Monitor) partsOf(s *metric.Series) (parts []int) {
	for i := range m.expression.Parts {
		if m.expression.Parts[i].Fits(s) {
			parts = append(parts, i)
		}
	}
	return parts
}

// newAlarm makes a half-built alarm.
func (m *Monitor) newAlarm(key string) *alarm {
	a := &alarm{key: key, okDue: never, due: never, cells: make([]cell, len(m.rules))}
	for i := range a.cells {
		c := &a.cells[i]
		c.alarm, c.part, c.state = a, uint16(i), StateUndetermined
		if m.rules[i].deterministic {
			c.state = StateOK
		}
		if m.rules[i].function == last {
			c.start(&m.rules[i], 0)
		}
	}
	m.groups[key] = a
	return a
}

// attach makes a series feed an alarm, which becomes visible once each of its parts is fed.
func (m *Monitor) attach(a *alarm, f *Feed, now int64) {
	if slices.ContainsFunc(f.cells, func(c *cell) bool { return c.alarm == a }) {
		return
	}
	before := len(a.members)
	m.connect(a, f)
	if a.visible {
		if len(a.members) > before {
			m.touchMetrics(a, before)
		}
		return
	}
	for i := range a.cells {
		if a.cells[i].series == 0 {
			return
		}
	}
	m.create(a, now)
}

func (m *Monitor) connect(a *alarm, f *Feed) {
	for _, i := range m.partsOf(f.series) {
		f.cells = append(f.cells, &a.cells[i])
		a.cells[i].series++
	}
	if a.visible && m.supersede(a, f) {
		m.trace(a, f)
		return
	}
	a.members = append(a.members, f)
	m.trace(a, f)
	if !a.visible {
		m.touchDraft(a, len(a.members)-1)
	}
}

// trace notes whether the alarm's series are still about one role or instance.
func (m *Monitor) trace(a *alarm, f *Feed) {
	first, o := a.members[0].series.Origin, f.series.Origin
	a.mixed = a.mixed || first.Service != o.Service || first.Role != o.Role
	a.mixedInstance = a.mixedInstance || first.Serial != o.Serial
}

// retrace does so after a series came back, perhaps with another origin.
func (m *Monitor) retrace(a *alarm) {
	if len(a.members) > 1 {
		return // a series of many tells little; what is mixed stays so
	}
	a.mixed, a.mixedInstance = false, false
}

// create makes a complete alarm visible.
func (m *Monitor) create(a *alarm, now int64) {
	a.serial, a.visible = m.next, true
	m.next++
	m.changes.head = true
	a.created, a.updated, a.stateUpdated = now, now, now
	if !m.expression.Deterministic() {
		a.state = StateUndetermined
	}
	a.acted = a.state
	if x := a.members[0].attendee; x != nil {
		a.incarnation = x.incarnation
	}
	m.endDraft(a)
	m.order = append(m.order, a)
	m.touch(a)
	for i := range a.members {
		m.touchMetrics(a, i)
	}
	for i := range a.cells {
		c, r := &a.cells[i], &m.rules[i]
		c.start(r, now)
		c.seen, c.since = now, now
	}
	for i := range a.cells {
		switch c, r := &a.cells[i], &m.rules[i]; {
		case r.function == absent && a.heard(c):
			m.report(c, StateOK, now)
		case r.function == last && c.buckets[0].n > 0:
			m.decideLast(c, r, now)
		}
	}
	m.schedule(a)
}
