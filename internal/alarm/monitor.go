package alarm

import (
	"slices"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A Monitor holds the alarms of one definition and the windows of the series that fit it.
// Times are milliseconds since 1970, UTC; now must not run backwards: where it does by more than two
// seconds, windows and silence start anew. One goroutine at a time may use it.
type Monitor struct {
	def        Definition
	expression *Expression
	rules      []rule
	texts      []string            // canonical, by part
	ids        string              // what the ids of all alarms begin with
	maintained []metric.Dimensions // Match of each maintenance window
	silences   []silence           // of the project, as far as the definition is meant

	groups  map[string]*alarm // by the values of match_by; half-built alarms too
	order   []*alarm          // visible ones by serial; may hold some that are gone
	gone    int               // in order
	orphans map[string]*Feed  // series of alarms that nobody feeds: not joined since a load, or left
	partial *partialIndex     // nil where no series can have a part of match_by only

	attendees map[instance]*attendee // nil unless the alarms are those of instances
	closed    bool                   // no alarm is made

	timers     timers
	pending    []pending
	suppressed map[role]bool
	waiting    map[*alarm]struct{} // held back until their role is no longer suppressed
	cooldowns  map[string]int64    // until when
	sketches   []*sketch           // to be used again

	clock          int64
	gapFrom, gapTo int64 // no samples were taken between
	loading        bool
	next           uint32 // serial of the next alarm
	nextDraft      uint32
	drafts         map[*alarm]*draft // of half-built alarms
	draftsDue      int64             // when those that have changed are to be stored
	stats          Stats
	changes        changes
}

// Stats counts samples since the Monitor was made.
type Stats struct {
	Samples   uint64 // taken, by series
	Invalid   uint64 // NaN and infinities; not taken
	Duplicate uint64 // time and value of the newest sample once more; not taken
	Late      uint64 // older than the windows in view, by part; not taken
	Future    uint64 // newer than two windows from now, by part; not taken
}

// role names a role of a service.
type role struct {
	service uint64
	name    string
}

// backwards is how far now may run backwards without consequence.
const backwards = 2000

// New makes a Monitor without alarms, ready for samples. It fails if the definition is not valid.
func New(def Definition) (*Monitor, error) {
	if err := def.Validate(); err != nil {
		return nil, err
	}
	m := &Monitor{
		groups: map[string]*alarm{}, orphans: map[string]*Feed{}, suppressed: map[role]bool{},
		waiting: map[*alarm]struct{}{}, cooldowns: map[string]int64{}, next: 1,
		drafts: map[*alarm]*draft{}, draftsDue: never,
	}
	m.define(def)
	if slices.ContainsFunc(def.MatchBy, func(name string) bool { return slices.Contains(instanceDimensions, name) }) {
		m.attendees = map[instance]*attendee{}
	}
	if len(def.MatchBy) > 1 && len(m.rules) > 1 {
		m.partial = newPartialIndex(len(m.rules))
	}
	return m, nil
}

// define takes a valid definition.
func (m *Monitor) define(def Definition) {
	m.def = def
	m.expression, _ = Parse(def.Expression, Troupe)
	m.ids = idPrefix(def.ID)
	m.rules, m.texts = m.rules[:0], m.texts[:0]
	for i := range m.expression.Parts {
		m.texts = append(m.texts, m.expression.Parts[i].String())
		m.rules = append(m.rules, newRule(&def, &m.expression.Parts[i]))
	}
	m.maintained = m.maintained[:0]
	for i := range def.Maintenance {
		m.maintained = append(m.maintained, metric.NewDimensions(def.Maintenance[i].Match))
	}
}

// Definition returns what the Monitor watches.
func (m *Monitor) Definition() Definition { return m.def }

// Expression returns the parsed expression of the definition.
func (m *Monitor) Expression() *Expression { return m.expression }

// Stats returns the counters.
func (m *Monitor) Stats() Stats { return m.stats }

// An alarm is one state machine. Until every part has a series it is half-built: invisible, and it
// decides nothing.
type alarm struct {
	key     string
	members []*Feed // in the order in which they came; never shorter while visible
	cells   []cell  // one for each part
	extra   *extra  // nil for most

	due                            int64 // nothing happens earlier
	okDue                          int64 // when ok_after has passed
	created, updated, stateUpdated int64

	serial, sequence     uint32
	incarnation          uint32 // of the instance that it is about; 0: not told, or none
	slot                 int32  // in timers, from 1; 0: not there
	state                State
	acted                State // the state last acted upon
	visible, gone, dirty bool
	away                 bool // its instance is: nothing of it is due
	told                 bool // Decide returned a transition of it since its record was written
	mixed, mixedInstance bool // the series are of several roles, instances
}

// extra is what few alarms have.
type extra struct {
	lifecycle, link string
	flaps           []int64 // times of the last transitions, for damping
	repeats         int     // times that actions were run again in the present state
	owed            bool    // actions of the present state were held back
	retries         []int64 // by action of the present state: when to try again; 0: not
	retry           int64   // the earliest
}

func (a *alarm) more() *extra {
	if a.extra == nil {
		a.extra = &extra{retry: never}
	}
	return a.extra
}

// origin returns what all series of the alarm are about.
func (a *alarm) origin() metric.Origin {
	if len(a.members) == 0 || a.mixed {
		return metric.Origin{}
	}
	o := a.members[0].series.Origin
	if a.mixedInstance {
		o.Serial = 0
	}
	return o
}

// at takes the present time.
func (m *Monitor) at(now int64) int64 {
	if now < m.clock-backwards && !m.loading {
		m.Ready(now, now)
	}
	m.clock = max(m.clock, now)
	return m.clock
}

// Wake returns when Decide, and after it Changes, must be called next; a time in the past means at once. It is false when
// only a sample or a command can change anything.
func (m *Monitor) Wake() (int64, bool) {
	if len(m.pending) > 0 {
		return m.clock, true
	}
	if m.loading {
		return 0, false
	}
	at := m.draftsDue
	if len(m.timers) > 0 {
		at = min(at, m.timers[0].at)
	}
	return at, at != never
}

// batch is how many alarms one Decide looks at.
const batch = 8192

// Decide does what is due and returns what has happened since the last call, in order of time. It looks
// at a bounded number of alarms; Wake tells when more are due.
func (m *Monitor) Decide(now int64) []Transition {
	now = m.at(now)
	if m.draftsDue <= now {
		m.draftsDue = never
	}
	for range batch {
		if m.loading || len(m.timers) == 0 || m.timers[0].at > now {
			break
		}
		a := m.timers[0].alarm
		if !a.visible {
			m.abandon(a)
			continue
		}
		m.catchUp(a, now)
		m.timers.set(a, a.due)
	}
	return m.act()
}

// catchUp does what was due for one alarm up to and including until.
func (m *Monitor) catchUp(a *alarm, until int64) {
	for a.due <= until {
		t := m.dueOf(a)
		if t > a.due { // samples have come since the timer was set
			a.due = t
			continue
		}
		m.fire(a, t)
		if a.gone {
			return
		}
		a.due = m.dueOf(a)
	}
}

// dueOf returns when the alarm must be looked at next.
func (m *Monitor) dueOf(a *alarm) int64 {
	due := a.okDue
	seen := int64(0)
	for i := range a.cells {
		due = min(due, m.cellDue(&a.cells[i]))
		seen = max(seen, a.cells[i].seen)
	}
	if a.extra != nil {
		due = min(due, a.extra.retry)
	}
	if m.def.Lifetime > 0 {
		due = min(due, seen+m.def.Lifetime.Milliseconds())
	}
	return due
}

// schedule sets the alarm's timer again after something may have become due earlier.
func (m *Monitor) schedule(a *alarm) {
	if !a.visible || a.gone || a.away || m.loading {
		return
	}
	a.due = m.dueOf(a)
	if a.slot == 0 || m.timers[a.slot-1].at > a.due {
		m.timers.set(a, a.due)
	}
}

// fire does what is due for the alarm at t.
func (m *Monitor) fire(a *alarm, t int64) {
	if life := m.def.Lifetime.Milliseconds(); life > 0 {
		seen := int64(0)
		for i := range a.cells {
			seen = max(seen, a.cells[i].seen)
		}
		if seen+life <= t {
			m.remove(a)
			return
		}
	}
	for i := range a.cells {
		m.ring(&a.cells[i], t)
	}
	if a.okDue <= t {
		m.heal(a, never)
		m.enter(a, StateOK, t, m.reason(a, StateOK), true)
	}
	if a.extra != nil && a.extra.retry <= t {
		a.extra.retry = never
		m.pending = append(m.pending, pending{Transition: m.describe(a, a.acted, a.state, t, m.reason(a, a.state), true), alarm: a, retry: true})
	}
}

// find returns a visible alarm by its serial.
func (m *Monitor) find(serial uint32) *alarm {
	at, found := slices.BinarySearchFunc(m.order, serial, func(a *alarm, serial uint32) int { return int(int64(a.serial) - int64(serial)) })
	if !found || m.order[at].gone {
		return nil
	}
	return m.order[at]
}

// remove forgets an alarm. The next sample of each of its series begins anew.
func (m *Monitor) remove(a *alarm) {
	m.timers.set(a, never)
	delete(m.groups, a.key)
	delete(m.waiting, a)
	m.endDraft(a)
	if m.partial != nil {
		m.partial.dropGroup(a)
	}
	a.gone, a.due = true, never
	for _, f := range a.members {
		f.cells = slices.DeleteFunc(f.cells, func(c *cell) bool { return c.alarm == a })
		f.bound = false
		m.discard(f)
	}
	if !a.visible {
		return
	}
	m.touch(a)
	if m.gone++; m.gone > len(m.order)/2 {
		m.order = slices.DeleteFunc(m.order, func(a *alarm) bool { return a.gone })
		m.gone = 0
	}
}

// discard forgets a series that nobody feeds and no alarm shows.
func (m *Monitor) discard(f *Feed) {
	if f.left && len(f.cells) == 0 {
		delete(m.orphans, f.series.String())
		m.dismiss(f)
	}
}
