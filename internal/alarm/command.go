package alarm

import (
	"errors"
	"fmt"
	"iter"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/metric"
)

// ErrNoAlarm says that there is no alarm of that id.
var ErrNoAlarm = errors.New("no such alarm")

// An Alarm is what is known of one alarm.
type Alarm struct {
	ID                             string
	Serial                         uint32
	State                          State
	Match                          map[string]string // the values of match_by
	SubAlarms                      []SubAlarm
	MetricCount                    int
	Origin                         metric.Origin
	Sequence                       uint32
	LifecycleState, Link           string
	Created, Updated, StateUpdated int64
	Hold                           Hold // why actions of a change at this moment would be held back
	Owed                           bool // actions of the present state were held back
}

// Alarms yields every alarm, oldest first.
func (m *Monitor) Alarms() iter.Seq[Alarm] {
	return func(yield func(Alarm) bool) {
		for _, a := range m.order {
			if !a.gone && !yield(m.view(a)) {
				return
			}
		}
	}
}

// Len returns how many alarms there are.
func (m *Monitor) Len() int { return len(m.order) - m.gone }

// Empty reports whether there is neither an alarm nor a half-built one.
func (m *Monitor) Empty() bool { return len(m.groups) == 0 }

// Alarm returns one alarm.
func (m *Monitor) Alarm(id string) (Alarm, bool) {
	a, err := m.lookup(id)
	if err != nil {
		return Alarm{}, false
	}
	return m.view(a), true
}

// Metrics yields the series of an alarm, in the order in which they joined it.
func (m *Monitor) Metrics(id string) iter.Seq[*metric.Series] {
	return func(yield func(*metric.Series) bool) {
		a, err := m.lookup(id)
		if err != nil {
			return
		}
		for _, f := range a.members {
			if !yield(f.series) {
				return
			}
		}
	}
}

func (m *Monitor) view(a *alarm) Alarm {
	v := Alarm{
		ID: m.id(a), Serial: a.serial, State: a.state, Match: map[string]string{}, SubAlarms: m.subAlarms(a), MetricCount: len(a.members),
		Origin: a.origin(), Sequence: a.sequence, Created: a.created, Updated: a.updated, StateUpdated: a.stateUpdated,
	}
	if len(m.def.MatchBy) > 0 {
		for i, value := range splitKey(a.key) {
			if value != nil {
				v.Match[m.def.MatchBy[i]] = *value
			}
		}
	}
	if a.extra != nil {
		v.LifecycleState, v.Link, v.Owed = a.extra.lifecycle, a.extra.link, a.extra.owed
	}
	_, _, maintained := m.maintenance(a, m.clock)
	switch {
	case !m.def.ActionsEnabled:
		v.Hold = Disabled
	case maintained:
		v.Hold = Maintained
	case v.Origin.Role != "" && m.suppressed[role{v.Origin.Service, v.Origin.Role}]:
		v.Hold = Suppressed
	case m.calm(a) > m.clock:
		v.Hold = Damped
	}
	return v
}

func (m *Monitor) lookup(id string) (*alarm, error) {
	if serial, ok := m.serialOf(id); ok {
		if a := m.find(serial); a != nil {
			return a, nil
		}
	}
	return nil, fmt.Errorf("alarm %.50q: %w", id, ErrNoAlarm)
}

// SetState changes the state by hand: a real transition, with actions, that Decide then returns. Nothing
// pins it; the next decision of a part may change it back. The state that the alarm has already is no change.
func (m *Monitor) SetState(id string, to State, now int64) error {
	a, err := m.lookup(id)
	if err != nil || a.state == to {
		return err
	}
	now = m.at(now)
	m.catchUp(a, now-1)
	if a.gone || a.state == to {
		return nil
	}
	m.heal(a, never)
	m.enter(a, to, now, actionsText, false)
	for i := range a.cells {
		c, r := &a.cells[i], &m.rules[i]
		c.again, c.recheck = true, true
		if c.silent { // say so again, once it has lasted as long again
			c.silent, c.seen = false, now
		}
		if r.windowed() && c.filled == 0 {
			m.passEmpty(c, r, now)
		}
	}
	m.schedule(a)
	return nil
}

// Bounds of what users write on an alarm, in characters.
const (
	MaxLifecycleState = 50
	MaxLink           = 512
)

// Annotate sets lifecycle_state and link; nil keeps.
func (m *Monitor) Annotate(id string, lifecycleState, link *string, now int64) error {
	a, err := m.lookup(id)
	if err != nil {
		return err
	}
	if lifecycleState != nil && utf8.RuneCountInString(*lifecycleState) > MaxLifecycleState {
		return &Problem{"lifecycle_state", fmt.Sprintf("is longer than %d characters", MaxLifecycleState)}
	}
	if link != nil && utf8.RuneCountInString(*link) > MaxLink {
		return &Problem{"link", fmt.Sprintf("is longer than %d characters", MaxLink)}
	}
	x := a.more()
	if lifecycleState != nil {
		x.lifecycle = *lifecycleState
	}
	if link != nil {
		x.link = *link
	}
	a.updated = m.at(now)
	m.touch(a)
	return nil
}

// Delete forgets an alarm; the next samples that fit make a new one, with a new id.
func (m *Monitor) Delete(id string) error {
	a, err := m.lookup(id)
	if err != nil {
		return err
	}
	m.remove(a)
	return nil
}

// Suppress tells whether a parent of the role is down. While it is, alarms about the role change their
// states, but their actions are held back; those of alarms that then still are in such a state run afterwards.
func (m *Monitor) Suppress(service uint64, name string, down bool, now int64) {
	r := role{service, name}
	if down {
		m.suppressed[r] = true
		return
	}
	delete(m.suppressed, r)
	now = m.at(now)
	for a := range m.waiting {
		if o := a.origin(); o.Service == service && o.Role == name && a.extra != nil && a.extra.owed {
			a.extra.retry = now
			m.schedule(a)
		}
	}
}

// Test returns a marked transition that carries all actions of a state, as if an alarm of the definition had entered
// it: to see that they arrive. Nothing changes, and no cooldown begins. With an empty id it is about an alarm that does not exist: no other
// bears its id.
func (m *Monitor) Test(id string, to State, now int64) (Transition, error) {
	t := Transition{Definition: m.def.ID, Name: m.def.Name, Description: m.def.Description, Tenant: m.def.Tenant, Severity: m.def.Severity,
		ActionsEnabled: m.def.ActionsEnabled, Alarm: m.id(&alarm{}), From: to, To: to, Time: now}
	if id != "" {
		a, err := m.lookup(id)
		if err != nil {
			return t, err
		}
		t = m.describe(a, a.state, to, now, "", true)
	}
	if t.From == to { // receivers are told of changes
		if t.From = StateOK; to == StateOK {
			t.From = StateAlarm
		}
	}
	t.Occasion, t.Reason, t.Detail = Tested, "This is a test of the actions", ""
	for _, a := range m.def.Actions.of(to) {
		run := Run{Action: a}
		if !a.targeted(t) {
			run.Held = NoInstance
		}
		t.Runs = append(t.Runs, run)
	}
	return t, nil
}

// Update changes the definition, by the rules of [Definition.CheckUpdate]. States stay until the next decision. Windows are
// kept where only operator, threshold or keyword change, and start anew where function, period, times or profile do.
func (m *Monitor) Update(def Definition, now int64) error {
	origin, err := m.def.CheckUpdate(&def)
	if err != nil {
		return err
	}
	now = m.at(now)
	for _, a := range m.order { // what was due is decided by the old rules
		if !a.gone && a.due < now {
			m.catchUp(a, now-1)
		}
	}
	before := m.rules
	text := m.expression.Text
	m.rules = nil
	m.define(def)
	if m.partial != nil {
		m.partial.joiner = m.partial.joiner.reorder(origin)
	}
	for i, a := range m.order {
		if a.gone {
			continue
		}
		if text != def.Expression || !sameWindows(before, m.rules, origin) {
			m.rebuild(a, before, origin, now)
		}
		if x := a.extra; x != nil {
			x.retries, x.retry = nil, never // by position in the old lists
			if x.owed {
				x.retry = now
			}
		}
		if a.okDue != never {
			m.heal(a, now+def.OKAfter.Milliseconds())
		}
		m.schedule(m.order[i])
	}
	for _, a := range m.groups {
		if !a.visible {
			m.rebuild(a, before, origin, now)
		}
	}
	return nil
}

// sameWindows reports whether no part changes in a way that matters to its windows or its place.
func sameWindows(before, after []rule, origin []int) bool {
	for i := range after {
		if origin[i] != i || before[i] != after[i] {
			return false
		}
	}
	return true
}

// rebuild gives an alarm the parts of a changed expression.
func (m *Monitor) rebuild(a *alarm, before []rule, origin []int, now int64) {
	cells := make([]cell, len(m.rules))
	place := make([]int, len(cells)) // of each old part among the new
	for i := range cells {
		old, r := &a.cells[origin[i]], &m.rules[i]
		place[origin[i]] = i
		cells[i] = *old
		c := &cells[i]
		c.part, c.again, c.recheck = uint16(i), true, true
		if b := &before[origin[i]]; b.function != r.function || b.period != r.period || b.times != r.times || b.future != r.future || b.compat != r.compat || b.unit != r.unit || b.quantile != r.quantile {
			m.forgetAll(c, b)
			c.buckets, c.values = nil, nil
			if a.visible || r.function == last {
				c.start(r, now)
			}
			c.silent, c.seen, c.since = false, now, now
		}
	}
	for _, f := range a.members {
		for i, c := range f.cells {
			if c.alarm == a {
				f.cells[i] = &cells[place[c.part]]
			}
		}
	}
	a.cells = cells
	if a.visible {
		m.touch(a)
	}
}

func (m *Monitor) forgetAll(c *cell, r *rule) {
	if r.windowed() {
		m.forget(c)
	}
}
