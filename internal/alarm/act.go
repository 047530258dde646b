package alarm

import (
	"cmp"
	"maps"
	"slices"
)

// pending is a change of state, or a moment at which actions are tried again, whose actions are not decided yet.
type pending struct {
	Transition
	alarm *alarm
	retry bool
	quiet bool // of an end: nothing else was told before
}

// act decides which actions follow from what happened since the last call, in order of time: alarms may
// share a cooldown.
func (m *Monitor) act() []Transition {
	if len(m.pending) == 0 {
		return nil
	}
	list := m.pending
	m.pending = nil
	slices.SortStableFunc(list, func(a, b pending) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Serial, b.Serial))
	})
	out := make([]Transition, 0, len(list))
	for i := range list {
		p := &list[i]
		if p.retry {
			if m.retry(p) {
				m.tell(p.alarm)
				out = append(out, p.Transition)
			}
			continue
		}
		if p.Occasion == Ended {
			m.conclude(p)
		} else {
			m.follow(p)
		}
		m.tell(p.alarm)
		out = append(out, p.Transition)
	}
	return out
}

// follow decides about the actions of a new state.
func (m *Monitor) follow(p *pending) {
	a := p.alarm
	if a.extra != nil {
		a.extra.owed, a.extra.repeats, a.extra.retries, a.extra.retry = false, 0, nil, never
		delete(m.waiting, a)
	}
	m.countFlap(a, p.Time)
	if m.held(p) {
		return
	}
	a.acted = p.To
	m.run(p, func(int) bool { return true })
}

// retry decides again about actions that were held back or are repeated. It is false if nothing is to run.
func (m *Monitor) retry(p *pending) bool {
	a, x := p.alarm, p.alarm.extra
	if a.gone || a.sequence != p.Sequence || x == nil {
		return false
	}
	retries := x.retries
	owed := x.owed
	x.owed, x.retries, x.retry = false, nil, never
	delete(m.waiting, a)
	m.touch(a)
	if owed && a.acted == p.To {
		return false // the alarm is back in the state that was last acted upon
	}
	if m.held(p) {
		return false
	}
	a.acted = p.To
	p.Occasion = Released
	list := m.def.Actions.of(p.To)
	due := func(i int) bool { return owed || (i < len(retries) && retries[i] != 0 && retries[i] <= p.Time) }
	if !owed {
		for i := range list {
			if due(i) && list[i].Every > 0 {
				p.Occasion, p.From = Repeated, p.To
			}
		}
		if p.Occasion == Repeated {
			x.repeats++
			p.Repeat = x.repeats
		}
	}
	m.run(p, due)
	for i, at := range retries { // those that are not due yet
		if at > p.Time && i < len(list) {
			m.tryAgain(a, len(list), i, at)
		}
	}
	return len(p.Runs) > 0
}

// run decides about each of the state's actions that is wanted.
func (m *Monitor) run(p *pending, wanted func(int) bool) {
	a, list := p.alarm, m.def.Actions.of(p.To)
	for i := range list {
		if !wanted(i) {
			continue
		}
		action := &list[i]
		run := Run{Action: *action}
		key := ""
		if action.Cooldown > 0 {
			key = action.cooldown(a, p.To, i)
			if until := m.cooldowns[key]; until > p.Time {
				run.Held, run.Until = Cooling, until
			}
		}
		if !action.targeted(p.Transition) {
			run.Held, run.Until = NoInstance, 0
		}
		again := run.Until
		if run.Held == NotHeld {
			if action.Cooldown > 0 {
				m.cool(key, p.Time, p.Time+action.Cooldown.Milliseconds())
			}
			if action.Every > 0 {
				again = p.Time + action.Every.Milliseconds()
			}
		}
		if again > 0 {
			m.tryAgain(a, len(list), i, again)
		}
		p.Runs = append(p.Runs, run)
	}
}

// targeted reports whether it is known what the action acts on.
func (action *Action) targeted(t Transition) bool {
	o := t.Origin
	switch {
	case action.Replace, action.Restart:
		return o.Serial != 0
	case action.Scale != nil:
		return (action.Scale.Service != 0 || o.Service != 0) && (action.Scale.Role != "" || o.Role != "")
	case action.Act != nil:
		return (action.Act.Service != 0 || o.Service != 0) && (action.Act.Role != "" || o.Role != "")
	}
	return true
}

// tryAgain sets when an action of the present state is decided again.
func (m *Monitor) tryAgain(a *alarm, actions, index int, at int64) {
	x := a.more()
	if len(x.retries) != actions {
		x.retries = make([]int64, actions)
	}
	x.retries[index] = at
	x.retry = min(x.retry, at)
	m.touch(a)
	m.schedule(a)
}

// cool begins a cooldown, and now and then forgets those that have ended.
func (m *Monitor) cool(key string, now, until int64) {
	if _, known := m.cooldowns[key]; !known && len(m.cooldowns) >= 64 && len(m.cooldowns)&(len(m.cooldowns)-1) == 0 {
		maps.DeleteFunc(m.cooldowns, func(key string, until int64) bool {
			if until > now {
				return false
			}
			m.changes.cooldowns = append(m.changes.cooldowns, key)
			return true
		})
	}
	m.cooldowns[key] = until
	m.changes.cooldowns = append(m.changes.cooldowns, key)
}

// countFlap notes a change of state for damping.
func (m *Monitor) countFlap(a *alarm, now int64) {
	n := m.def.Damping.Transitions
	if n == 0 {
		return
	}
	x := a.more()
	x.flaps = append(x.flaps, now)
	if drop := len(x.flaps) - n - 1; drop > 0 {
		x.flaps = slices.Delete(x.flaps, 0, drop)
	}
	m.touch(a)
}

// calm returns when the alarm no longer flaps; the past if it does not.
func (m *Monitor) calm(a *alarm) int64 {
	n := m.def.Damping.Transitions
	if n == 0 || a.extra == nil || len(a.extra.flaps) <= n {
		return 0
	}
	return a.extra.flaps[len(a.extra.flaps)-n-1] + m.def.Damping.Within.Milliseconds()
}

// held decides whether all actions are held back, and notes that they are owed.
func (m *Monitor) held(p *pending) bool {
	a := p.alarm
	until, why, maintained := m.maintenance(a, p.Time)
	o := p.Origin
	switch {
	case !m.def.ActionsEnabled:
		p.Hold = Disabled
		return true
	case maintained:
		p.Hold, p.Until = Maintained, until
		if why != "" {
			p.Detail = joinDetail(p.Detail, "maintenance: "+why)
		}
	case o.Role != "" && m.suppressed[role{o.Service, o.Role}]:
		p.Hold = Suppressed
		m.waiting[a] = struct{}{}
	case m.calm(a) > p.Time:
		p.Hold, p.Until = Damped, m.calm(a)
	default:
		return false
	}
	if len(m.def.Actions.of(p.To)) > 0 {
		x := a.more()
		x.owed = true
		if p.Until > 0 {
			x.retry = p.Until
		}
		m.touch(a)
		m.schedule(a)
	}
	return true
}

func joinDetail(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
