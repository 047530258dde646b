package alarm

import (
	"slices"
	"strconv"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A Presence says how an instance of a service stands, as the service knows.
type Presence uint8

// The presences.
const (
	Coming Presence = iota // not up yet; what it reports counts
	Here                   // up
	Away                   // on its way out, or resting as somebody wished: nothing of it counts, silence included
	Left                   // its machine is no more
)

// leftText is the reason of the last entry in the history of an instance's alarm.
const leftText = "The instance left"

// instanceDimensions tell instances apart: an alarm for each value of one of them is an alarm of an instance.
var instanceDimensions = []string{"instance", "hostname"}

// PerInstance reports whether the alarms are those of instances: each begins and ends with its instance.
func (m *Monitor) PerInstance() bool { return m.attendees != nil }

// An attendee is an instance that a per-instance definition watches.
type attendee struct {
	origin      metric.Origin
	feeds       []*Feed
	incarnation uint32 // 0: not told
	away        bool
}

// instance is what an attendee is found by.
type instance struct {
	service uint64
	serial  uint32
}

func instanceOf(o metric.Origin) instance { return instance{o.Service, o.Serial} }

// enroll lets a feed follow the presence of its instance.
func (m *Monitor) enroll(f *Feed) {
	o := f.series.Origin
	if m.attendees == nil || o.Serial == 0 {
		return
	}
	x := m.attendees[instanceOf(o)]
	if x == nil {
		x = &attendee{origin: o}
		m.attendees[instanceOf(o)] = x
	}
	x.feeds = append(x.feeds, f)
	f.attendee = x
}

// dismiss undoes enroll.
func (m *Monitor) dismiss(f *Feed) {
	x := f.attendee
	if x == nil {
		return
	}
	f.attendee = nil
	if x.feeds = slices.DeleteFunc(x.feeds, func(other *Feed) bool { return other == f }); len(x.feeds) == 0 {
		delete(m.attendees, instanceOf(x.origin))
	}
}

// Instances returns the instances of a service whose series are watched; none unless PerInstance.
func (m *Monitor) Instances(service uint64) (serials []uint32) {
	for at := range m.attendees {
		if at.service == service {
			serials = append(serials, at.serial)
		}
	}
	slices.Sort(serials)
	return serials
}

// Services returns the services whose instances are watched.
func (m *Monitor) Services() (ids []uint64) {
	for at := range m.attendees {
		ids = append(ids, at.service)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Expect begins the alarm of an instance that is up and has not reported, so that its silence is found although nothing ever came: it
// counts from now on. That needs a definition in which silence matters, and whose match_by is known of an instance that says nothing.
func (m *Monitor) Expect(o metric.Origin, now int64) {
	if m.attendees == nil || m.closed || !slices.ContainsFunc(m.rules, func(r rule) bool { return r.silence > 0 }) {
		return
	}
	own := map[string]string{"service": strconv.FormatUint(o.Service, 10), "role": o.Role, "instance": strconv.FormatUint(uint64(o.Serial), 10)}
	var series []metricRecord
	key := ""
	for i := range m.expression.Parts {
		p := &m.expression.Parts[i]
		dimensions := p.Dimensions.Map()
		for name, value := range own {
			if given, ok := dimensions[name]; ok && given != value {
				return // it watches others
			}
			dimensions[name] = value
		}
		s := metric.Series{Name: p.Metric, Dimensions: metric.NewDimensions(dimensions)}
		of, _ := m.keyOf(&s)
		if _, partial := valuesOf(of); partial || i > 0 && of != key {
			return
		}
		key = of
		series = append(series, metricRecord{s.Name, s.Dimensions, o.Service, o.Role, o.Serial, true})
	}
	if m.groups[key] != nil {
		return
	}
	now = m.at(now)
	a := m.newAlarm(key)
	if m.partial != nil {
		m.partial.addGroup(a)
	}
	for _, r := range series {
		m.restore(a, r)
	}
	m.create(a, now)
}

// supersede lets a series that has come take the place of one that was expected.
func (m *Monitor) supersede(a *alarm, f *Feed) bool {
	at := slices.IndexFunc(a.members, func(g *Feed) bool { return g.expected && g != f && g.series.Name == f.series.Name })
	if at < 0 {
		return false
	}
	g := a.members[at]
	g.cells = slices.DeleteFunc(g.cells, func(c *cell) bool {
		if c.alarm != a {
			return false
		}
		c.series--
		return true
	})
	m.discard(g)
	a.members[at] = f
	m.touchMetrics(a, at)
	return true
}

// heard reports whether a part has a series that is not only expected.
func (a *alarm) heard(c *cell) bool {
	return slices.ContainsFunc(a.members, func(f *Feed) bool { return !f.expected && slices.Contains(f.cells, c) })
}

// Attend tells how an instance stands. incarnation counts its machines: the alarms of an earlier one have ended.
func (m *Monitor) Attend(o metric.Origin, incarnation uint32, p Presence, now int64) {
	x := m.attendees[instanceOf(o)]
	if x == nil || m.closed {
		return
	}
	now = m.at(now)
	if p == Left || x.incarnation != 0 && x.incarnation != incarnation {
		for _, a := range m.alarmsOf(x) {
			m.end(a, leftText, now)
		}
	}
	if x.incarnation != incarnation {
		x.incarnation = incarnation
		for _, a := range m.alarmsOf(x) {
			a.incarnation = incarnation
			m.touch(a)
		}
	}
	switch away := p == Away || p == Left; {
	case away && !x.away:
		x.away = true
		for _, a := range m.alarmsOf(x) {
			a.away, a.due = true, never
			m.timers.set(a, never)
		}
		for _, f := range x.feeds { // it makes no alarm together with others either
			if f.bound && m.partial != nil {
				m.partial.dropFeed(m, f)
				f.bound = false
			}
		}
	case !away && x.away:
		x.away = false
		for _, a := range m.alarmsOf(x) {
			a.away = false
			m.resume(a, now)
		}
	}
}

// alarmsOf returns the alarms that are about one instance alone, half-built ones too.
func (m *Monitor) alarmsOf(x *attendee) (out []*alarm) {
	for _, f := range x.feeds {
		for _, c := range f.cells {
			if o := c.alarm.origin(); o.Service == x.origin.Service && o.Serial == x.origin.Serial && !slices.Contains(out, c.alarm) {
				out = append(out, c.alarm)
			}
		}
	}
	return out
}

// end removes an alarm whose subject is no more, and tells so.
func (m *Monitor) end(a *alarm, reason string, now int64) {
	if a.visible {
		x := a.extra
		told := a.acted == StateAlarm || a.acted == StateUndetermined && a.state == a.acted && a.sequence > 0 && (x == nil || !x.owed)
		a.sequence++
		t := m.describe(a, a.state, StateOK, now, reason, false)
		t.Occasion = Ended
		m.pending = append(m.pending, pending{Transition: t, alarm: a, quiet: !told})
	}
	m.remove(a)
}

// conclude decides what is told of an alarm's end: that it is OK, if something else was told before. Nobody is owed
// anything afterwards, and nothing else is done: there is no one left to do it to.
func (m *Monitor) conclude(p *pending) {
	until, _, maintained := m.maintenance(p.alarm, p.Time)
	switch {
	case p.quiet:
		return
	case !m.def.ActionsEnabled:
		p.Hold = Disabled
		return
	case maintained:
		p.Hold, p.Until = Maintained, until
		return
	}
	for _, action := range m.def.Actions.OK {
		if action.Notify != "" {
			p.Runs = append(p.Runs, Run{Action: action})
		}
	}
}

// Close ends all alarms, because what they are about is being removed, and makes none until [Monitor.Open].
func (m *Monitor) Close(reason string, now int64) {
	if m.closed {
		return
	}
	m.closed = true
	now = m.at(now)
	for _, a := range slices.Clone(m.order) {
		if !a.gone {
			m.end(a, reason, now)
		}
	}
	for _, a := range m.groups { // half-built
		m.end(a, reason, now)
	}
}

// Open undoes Close: alarms come with the next samples.
func (m *Monitor) Open() { m.closed = false }
