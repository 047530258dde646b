package alarm

import "math"

const never = math.MaxInt64

// ahead is how far the clock of a sender may be ahead of ours until its stamps are no longer believed where one wrong
// stamp would make all later samples look old.
const ahead = 120_000

// add takes a sample into one part.
func (m *Monitor) add(c *cell, f *Feed, t int64, v float64, now int64) {
	a, r := c.alarm, &m.rules[c.part]
	if !a.visible {
		if r.function == last {
			m.keepDraft(c, r, min(t, now+ahead), v)
		}
		return
	}
	if a.due < now {
		m.catchUp(a, now-1)
		if a.gone {
			return
		}
	}
	waking := c.filled == 0 || c.silent || c.seen == 0
	c.seen, c.silent = now, false
	switch r.function {
	case last:
		if c.keep(min(t, now+ahead), v) {
			m.decideLast(c, r, now)
		}
	case absent:
		m.report(c, StateOK, now)
	default:
		m.addToWindow(c, r, f, t, v, now)
	}
	if waking {
		m.schedule(a)
	}
}

// keep notes the newest value of a Last part; older ones are ignored.
func (c *cell) keep(t int64, v float64) bool {
	b := &c.buckets[0]
	if b.n > 0 && t < c.end {
		return false
	}
	c.end, b.sum, b.n = t, v, 1
	return true
}

func (m *Monitor) decideLast(c *cell, r *rule, now int64) {
	c.recheck = false
	c.values = append(c.values[:0], c.buckets[0].sum)
	if r.exceeds(c.buckets[0].sum) {
		m.report(c, StateAlarm, now)
	} else {
		m.report(c, StateOK, now)
	}
}

func (m *Monitor) addToWindow(c *cell, r *rule, f *Feed, t int64, v float64, now int64) {
	if c.filled == 0 {
		m.passEmpty(c, r, now)
	}
	if r.function == rate {
		grown, ok := f.growth(t, v, int64(r.times+1)*r.period)
		if !ok {
			return
		}
		v = grown
	}
	slot, where := c.place(r, t)
	if where != inView {
		if where == tooOld {
			m.stats.Late++
		} else {
			m.stats.Future++
		}
		return
	}
	if !r.alarmAtOnce && !r.okAtOnce {
		m.put(c, r, slot, v)
	} else {
		had := c.buckets[slot].n > 0
		before := had && r.exceeds(c.value(r, slot))
		m.put(c, r, slot, v)
		if exceeds := r.exceeds(c.value(r, slot)); c.recheck || !had || before != exceeds {
			if s, decided := c.atOnce(r); decided {
				m.report(c, s, now)
			}
			c.recheck = false
		}
	}
	// A window may end by the time stamp of a sample. Among several series that is Monasca's way alone:
	// one wrong clock would cost the others their samples.
	if end, ended := r.endedBy(c.end, t); ended && (r.compat || c.series == 1) {
		m.decideWindow(c, r, now)
		m.slide(c, r, (end-c.end)/r.period)
		m.schedule(c.alarm)
	}
}

// endedBy returns the end of the newest window in view after a sample stamped t, if that sample ends the present one.
func (r *rule) endedBy(end, t int64) (int64, bool) {
	if r.compat {
		t = floorTo(t, 1000)
		return end + ceilDiv(t-end, r.period)*r.period, t > end+compatDelay.Milliseconds()
	}
	t -= r.delay
	return end + (floorDiv(t-end, r.period)+1)*r.period, t >= end
}

// atOnce decides what need not wait for the end of a window.
func (c *cell) atOnce(r *rule) (State, bool) {
	if r.okAtOnce {
		for slot := range c.buckets {
			if c.buckets[slot].n > 0 && !r.exceeds(c.value(r, slot)) {
				c.values = append(c.values[:0], c.value(r, slot))
				return StateOK, true
			}
		}
	}
	if r.alarmAtOnce {
		run := 0
		for k := 1 - r.times; k <= r.future; k++ {
			slot := c.slot(k)
			if c.buckets[slot].n == 0 || !r.exceeds(c.value(r, slot)) {
				run = 0
			} else if run++; run == r.times {
				c.values = c.values[:0]
				for i := k - r.times + 1; i <= k; i++ {
					c.values = append(c.values, c.value(r, c.slot(i)))
				}
				return StateAlarm, true
			}
		}
	}
	return 0, false
}

// decideWindow decides at the end of the newest window in view.
func (m *Monitor) decideWindow(c *cell, r *rule, now int64) {
	c.recheck = false
	if s, decided := c.atOnce(r); decided {
		c.empty = 0
		m.report(c, s, now)
		return
	}
	if m.inGap(c.end-int64(r.times)*r.period, c.end) {
		return
	}
	healthy, have := false, 0
	c.values = c.values[:0]
	for k := 1 - r.times; k <= 0; k++ {
		slot := c.slot(k)
		if c.buckets[slot].n == 0 {
			continue
		}
		have++
		c.empty = 0
		v := c.value(r, slot)
		c.values = append(c.values, v)
		healthy = healthy || !r.exceeds(v)
	}
	switch {
	case healthy:
		m.report(c, StateOK, now)
	case have == r.times:
		m.report(c, StateAlarm, now)
	case r.deterministic:
		m.report(c, StateOK, now)
	default:
		if c.empty < math.MaxUint32 {
			c.empty++
		}
		if c.empty >= r.limit {
			m.missing(c, now)
		}
	}
}

// missing reports what the definition wants of a part without data.
func (m *Monitor) missing(c *cell, now int64) {
	switch m.def.Missing {
	case MissingKeep:
	case MissingOK:
		m.report(c, StateOK, now)
	case MissingAlarm:
		m.report(c, StateAlarm, now)
	default:
		m.report(c, StateUndetermined, now)
	}
}

// passEmpty moves windows without samples on, past all that timers before now would have decided. None of
// those decisions changes anything: windowDue is there for the one that does.
func (m *Monitor) passEmpty(c *cell, r *rule, now int64) {
	end := r.pending(c.end, now)
	if end <= c.end {
		return
	}
	passed := (end - c.end) / r.period
	if m.gapFrom < m.gapTo { // windows that overlap the gap do not count
		first := max(c.end, r.afterGap(c.end, m.gapTo))
		passed = max(0, (end-first)/r.period)
	}
	c.empty = uint32(min(int64(c.empty)+passed, math.MaxUint32))
	c.end = end
}

// afterGap returns the end of the first window, on the grid of end, whose view lies behind a gap.
func (r *rule) afterGap(end, gap int64) int64 {
	return end + ceilDiv(gap+int64(r.times)*r.period-end, r.period)*r.period
}

func (m *Monitor) inGap(from, to int64) bool {
	return from < m.gapTo && to > m.gapFrom && m.gapFrom < m.gapTo
}

// cellDue returns when the part must be looked at next.
func (m *Monitor) cellDue(c *cell) int64 {
	r := &m.rules[c.part]
	due := int64(never)
	if r.silence > 0 && !c.silent {
		due = c.seen + r.silence
	}
	if r.windowed() {
		due = min(due, m.windowDue(c, r))
	}
	return due
}

// windowDue returns when windows are decided next. Windows without samples are only looked at when
// that changes the state.
func (m *Monitor) windowDue(c *cell, r *rule) int64 {
	switch {
	case c.filled > 0:
		return c.end + r.delay
	case r.silence > 0:
		return never
	case r.deterministic:
		if c.state == StateOK && c.reported && !c.again {
			return never
		}
		return c.end + r.delay
	case m.def.Missing == MissingKeep, c.empty >= r.limit && !c.again:
		return never
	}
	left := int64(r.limit) - int64(c.empty)
	return c.end + max(0, left-1)*r.period + r.delay
}

// ring does what is due for the part at t.
func (m *Monitor) ring(c *cell, t int64) {
	r := &m.rules[c.part]
	if r.silence > 0 && !c.silent && c.seen+r.silence <= t {
		c.silent, c.since = true, t
		m.touch(c.alarm)
		if r.function == absent {
			m.report(c, StateAlarm, t)
			return
		}
		if r.windowed() {
			m.forget(c)
		}
		c.values = c.values[:0]
		m.missing(c, t)
	}
	if !r.windowed() || m.windowDue(c, r) > t {
		return
	}
	if c.filled == 0 {
		m.passEmpty(c, r, t)
	}
	if c.end+r.delay <= t {
		m.decideWindow(c, r, t)
		m.slide(c, r, 1)
	}
}

// report takes a decision of a part, and evaluates the alarm if it is news.
func (m *Monitor) report(c *cell, s State, now int64) {
	if c.state == s && c.reported && !c.again {
		return
	}
	c.state, c.reported, c.again = s, true, false
	m.touch(c.alarm)
	m.evaluate(c.alarm, now)
}

// evaluate derives the alarm's state from its parts.
func (m *Monitor) evaluate(a *alarm, now int64) {
	wish := StateOK
	for i := range a.cells {
		c := &a.cells[i]
		if !c.reported && m.rules[i].function != last {
			return
		}
		if c.state == StateUndetermined {
			wish = StateUndetermined
		}
	}
	if wish == StateOK && m.expression.Root.holds(a.cells) {
		wish = StateAlarm
	}
	switch {
	case wish == a.state:
		m.heal(a, never)
	case wish == StateOK && m.def.OKAfter > 0:
		if a.okDue == never {
			m.heal(a, now+m.def.OKAfter.Milliseconds())
		}
	default:
		m.heal(a, never)
		m.enter(a, wish, now, m.reason(a, wish), true)
	}
}

// heal sets when the alarm may say OK.
func (m *Monitor) heal(a *alarm, due int64) {
	if a.okDue == due {
		return
	}
	a.okDue = due
	m.touch(a)
	m.schedule(a)
}
