package alarm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A draft is what is stored of a half-built alarm: which series it has, so that it need not wait for them
// again after a restart.
type draft struct {
	number  uint32
	written int // records, from the first
	noted   int // those that have ever been noted as changed, from the first
}

// A draftRecord holds some of the series of a half-built alarm.
type draftRecord struct {
	V       int            `json:"v"`
	Key     string         `json:"key,omitempty"`
	Metrics []metricRecord `json:"metrics"`
	// Parts holds the values of Last, in the first record.
	Parts []partRecord `json:"parts,omitempty"`
}

type draftBlock struct {
	number uint32
	index  int
}

func (b draftBlock) key() string { return fmt.Sprintf("draft/%d/%d", b.number, b.index) }

const (
	// draftDelay is how long series of half-built alarms are gathered before they are stored: most alarms are complete by then.
	draftDelay = 1000
	// draftKept is for how long after a restart a half-built alarm waits for a series to come back. Without a restart it
	// would have heard by then that the series has left.
	draftKept = 3_600_000
)

// touchDraft notes that the member at an index of a half-built alarm is new or another.
func (m *Monitor) touchDraft(a *alarm, member int) {
	if m.loading || len(m.rules) == 1 { // which makes every alarm complete at once
		return
	}
	d := m.drafts[a]
	if d == nil {
		d = &draft{number: m.nextDraft}
		m.nextDraft++
		m.drafts[a] = d
	}
	d.noted = max(d.noted, member/blockSize+1)
	m.noteDraft(draftBlock{d.number, member / blockSize}, a)
}

// noteDraft notes a record that is to be written, or without an alarm, to be deleted.
func (m *Monitor) noteDraft(b draftBlock, a *alarm) {
	if m.changes.drafts == nil {
		m.changes.drafts = map[draftBlock]*alarm{}
		m.draftsDue = m.clock + draftDelay
	}
	m.changes.drafts[b] = a
}

// endDraft notes that an alarm is no longer half-built.
func (m *Monitor) endDraft(a *alarm) {
	d := m.drafts[a]
	if d == nil {
		return
	}
	delete(m.drafts, a)
	for i := range d.noted {
		delete(m.changes.drafts, draftBlock{d.number, i})
	}
	for i := range d.written {
		m.noteDraft(draftBlock{d.number, i}, nil)
	}
}

// draftRecords returns what has changed of half-built alarms.
func (m *Monitor) draftRecords() (out []Record) {
	m.draftsDue = never
	order := func(a, b draftBlock) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.index, b.index))
	}
	for _, b := range slices.SortedFunc(maps.Keys(m.changes.drafts), order) {
		a := m.changes.drafts[b]
		if a == nil || b.index*blockSize >= len(a.members) {
			out = append(out, Record{Key: b.key()})
			continue
		}
		d := m.drafts[a]
		d.written = max(d.written, b.index+1)
		r := draftRecord{V: schema, Key: a.key, Metrics: metricsOf(a, b.index).Metrics}
		if b.index == 0 {
			r.Parts = m.lastValues(a)
		}
		out = append(out, encode(b.key(), r))
	}
	return out
}

func (m *Monitor) lastValues(a *alarm) (out []partRecord) {
	for i := range a.cells {
		if c := &a.cells[i]; m.rules[i].function == last && c.buckets[0].n > 0 {
			if out == nil {
				out = make([]partRecord, len(a.cells))
			}
			out[i].End, out[i].Last = c.end, &c.buckets[0].sum
		}
	}
	return out
}

// keepDraft takes a value into a Last part of a half-built alarm. It is worth a record when it decides otherwise.
func (m *Monitor) keepDraft(c *cell, r *rule, t int64, v float64) {
	was := c.buckets[0]
	if c.keep(t, v) && (was.n == 0 || r.exceeds(was.sum) != r.exceeds(v)) {
		m.touchDraft(c.alarm, 0)
	}
}

// withdraw takes a series out of a half-built alarm, which ends with its last one.
func (m *Monitor) withdraw(f *Feed, a *alarm) {
	f.cells = slices.DeleteFunc(f.cells, func(c *cell) bool {
		if c.alarm != a {
			return false
		}
		c.series--
		return true
	})
	at, end := slices.Index(a.members, f), len(a.members)-1
	a.members[at] = a.members[end]
	a.members = a.members[:end]
	if end == 0 {
		m.remove(a)
		return
	}
	m.touchDraft(a, at)
	m.touchDraft(a, end)
}

// loadDraft makes a half-built alarm of its records, and waits for its series. Those of an alarm that has been completed
// meanwhile are deleted.
func (m *Monitor) loadDraft(number uint32, records map[int]*draftRecord) {
	m.nextDraft = max(m.nextDraft, number+1)
	indexes := slices.Sorted(maps.Keys(records))
	key := records[indexes[0]].Key
	if m.groups[key] != nil {
		for _, i := range indexes {
			m.noteDraft(draftBlock{number, i}, nil)
		}
		return
	}
	a := m.newAlarm(key)
	m.drafts[a] = &draft{number: number, written: indexes[len(indexes)-1] + 1}
	if m.partial != nil {
		m.partial.addGroup(a)
	}
	for _, i := range indexes {
		for _, r := range records[i].Metrics {
			f := m.restore(a, r)
			if m.partial != nil {
				m.partial.addFeed(f, key)
			}
		}
		for part, p := range records[i].Parts {
			if part < len(a.cells) && m.rules[part].function == last && p.Last != nil {
				a.cells[part].keep(p.End, *p.Last)
			}
		}
	}
}

// readyDrafts sets half-built alarms going: what has not come back after some time has left.
func (m *Monitor) readyDrafts(now int64) {
	for a := range m.drafts {
		a.slot, a.due = 0, never
		if slices.ContainsFunc(a.members, func(f *Feed) bool { return f.left }) {
			m.timers.set(a, now+draftKept)
		}
	}
}

// abandon takes the series that have left out of a half-built alarm.
func (m *Monitor) abandon(a *alarm) {
	m.timers.set(a, never)
	for _, f := range slices.Clone(a.members) {
		if !f.left {
			continue
		}
		if m.partial != nil {
			m.partial.dropFeed(m, f)
		}
		m.withdraw(f, a)
		m.discard(f)
	}
}

// restore gives an alarm a series of its records, which waits for the real one to join.
func (m *Monitor) restore(a *alarm, r metricRecord) *Feed {
	s := &metric.Series{Tenant: m.def.Tenant, Name: r.Name, Dimensions: r.Dimensions, Origin: metric.Origin{Service: r.Service, Role: r.Role, Serial: r.Serial}}
	name := s.String()
	f := m.orphans[name]
	if f == nil {
		f = &Feed{monitor: m, series: s, left: true, expected: r.Expected}
		m.orphans[name] = f
		m.enroll(f)
	}
	m.connect(a, f)
	return f
}
