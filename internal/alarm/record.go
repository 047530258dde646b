package alarm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A Record is a piece of what must survive a restart, under a key that is unique within the definition.
// A nil value deletes.
type Record struct {
	Key   string
	Value []byte
}

// schema is the version of records.
const schema = 1

// blockSize is how many metrics of one alarm share a record.
const blockSize = 64

type headRecord struct {
	V    int    `json:"v"`
	Next uint32 `json:"next"` // serial
}

type alarmRecord struct {
	V            int          `json:"v"`
	Key          string       `json:"key,omitempty"`
	State        State        `json:"state"`
	Acted        State        `json:"acted"`
	Parts        []partRecord `json:"parts"`
	Created      int64        `json:"created"`
	Updated      int64        `json:"updated"`
	StateUpdated int64        `json:"state_updated"`
	Sequence     uint32       `json:"sequence,omitempty"`
	Healing      bool         `json:"healing,omitempty"` // ok_after runs
	Lifecycle    string       `json:"lifecycle_state,omitempty"`
	Link         string       `json:"link,omitempty"`
	Incarnation  uint32       `json:"incarnation,omitempty"` // of the instance that it is about
	Flaps        []int64      `json:"flaps,omitempty"`
	Owed         bool         `json:"owed,omitempty"`
	Repeats      int          `json:"repeats,omitempty"`
	Retries      []int64      `json:"retries,omitempty"`
	Retry        int64        `json:"retry,omitempty"`
}

type partRecord struct {
	State    State     `json:"state"`
	Reported bool      `json:"reported,omitempty"`
	Silent   bool      `json:"silent,omitempty"`
	Again    bool      `json:"again,omitempty"`
	Since    int64     `json:"since,omitempty"`
	Values   []float64 `json:"values,omitempty"`
	End      int64     `json:"end,omitempty"`  // of a window; for last: the time of the newest sample
	Last     *float64  `json:"last,omitempty"` // its value
}

type metricsRecord struct {
	V       int            `json:"v"`
	Metrics []metricRecord `json:"metrics"`
}

type metricRecord struct {
	Name       string            `json:"name"`
	Dimensions metric.Dimensions `json:"dimensions"`
	Service    uint64            `json:"service,omitempty"`
	Role       string            `json:"role,omitempty"`
	Serial     uint32            `json:"serial,omitempty"`
	Expected   bool              `json:"expected,omitempty"` // it has never come
}

// changes notes what has changed since the last call of Changes, each alarm once, so that a call costs what it returns however many
// alarms wait for the next.
type changes struct {
	head      bool
	told      []*alarm              // that have transitions
	alarms    []*alarm              // all that are dirty; some of them may have been written as told ones meanwhile
	fresh     map[*alarm]int        // the first block with members that are not written
	grown     []*alarm              // those of fresh that were not dirty
	drafts    map[draftBlock]*alarm // half-built; nil: to be deleted
	cooldowns []string
}

func (m *Monitor) touch(a *alarm) {
	if a.visible && !a.dirty {
		a.dirty = true
		m.changes.alarms = append(m.changes.alarms, a)
	}
}

// tell notes that an alarm has a transition.
func (m *Monitor) tell(a *alarm) {
	if !a.told {
		a.told = true
		m.changes.told = append(m.changes.told, a)
	}
}

// touchMetrics notes that the member at an index is new or another.
func (m *Monitor) touchMetrics(a *alarm, member int) {
	if m.changes.fresh == nil {
		m.changes.fresh = make(map[*alarm]int)
	}
	if first, known := m.changes.fresh[a]; known {
		m.changes.fresh[a] = min(first, member/blockSize)
		return
	}
	m.changes.fresh[a] = member / blockSize
	if !a.dirty {
		m.changes.grown = append(m.changes.grown, a)
	}
}

// alarmsATime is how many alarms without transitions one call of Changes tells of.
const alarmsATime = 2000

// Changes returns the records that have changed since the last call, among them all that belong into one commit with the
// transitions that Decide returned; more says that there are others, for the next call.
func (m *Monitor) Changes() (out []Record, more bool) {
	c := &m.changes
	if c.head {
		out = append(out, encode("head", headRecord{schema, m.next}))
	}
	for _, a := range c.told {
		a.told = false
		if a.dirty {
			out = m.appendRecords(out, a)
		}
	}
	for n := 0; len(c.alarms) > 0 && n < alarmsATime; c.alarms = c.alarms[1:] {
		if a := c.alarms[0]; a.dirty {
			out = m.appendRecords(out, a)
			n++
		}
	}
	for _, a := range c.grown {
		if !a.dirty { // otherwise its turn comes
			out = m.appendMetrics(out, a)
		}
	}
	out = append(out, m.draftRecords()...)
	slices.Sort(c.cooldowns)
	for _, key := range slices.Compact(c.cooldowns) {
		r := Record{Key: "cooldown/" + key}
		if until, ok := m.cooldowns[key]; ok {
			r.Value = strconv.AppendInt(nil, until, 10)
		}
		out = append(out, r)
	}
	m.changes = changes{alarms: c.alarms, fresh: c.fresh}
	for len(m.changes.alarms) > 0 && !m.changes.alarms[0].dirty {
		m.changes.alarms = m.changes.alarms[1:]
	}
	if len(m.changes.alarms) == 0 { // what they were in is garbage
		m.changes = changes{}
	}
	return out, len(m.changes.alarms) > 0
}

// appendRecords adds the records of an alarm.
func (m *Monitor) appendRecords(out []Record, a *alarm) []Record {
	a.dirty = false
	key := "alarm/" + strconv.Itoa(int(a.serial))
	if !a.gone {
		return m.appendMetrics(append(out, encode(key, m.record(a))), a)
	}
	delete(m.changes.fresh, a)
	out = append(out, Record{key, nil})
	for i := 0; i*blockSize < len(a.members); i++ {
		out = append(out, Record{blockKey(a, i), nil})
	}
	return out
}

// appendMetrics adds the records of the members that are new.
func (m *Monitor) appendMetrics(out []Record, a *alarm) []Record {
	i, some := m.changes.fresh[a]
	if !some || a.gone {
		return out
	}
	delete(m.changes.fresh, a)
	for ; i*blockSize < len(a.members); i++ {
		out = append(out, encode(blockKey(a, i), metricsOf(a, i)))
	}
	return out
}

func blockKey(a *alarm, index int) string { return fmt.Sprintf("metrics/%d/%d", a.serial, index) }

func encode(key string, v any) Record {
	value, err := json.Marshal(v)
	if err != nil {
		panic("alarm: encode " + key + ": " + err.Error()) // plain data, no infinities
	}
	return Record{key, value}
}

func (m *Monitor) record(a *alarm) alarmRecord {
	r := alarmRecord{
		V: schema, Key: a.key, State: a.state, Acted: a.acted, Created: a.created, Updated: a.updated, StateUpdated: a.stateUpdated,
		Sequence: a.sequence, Incarnation: a.incarnation, Healing: a.okDue != never, Parts: make([]partRecord, len(a.cells)),
	}
	for i := range a.cells {
		c := &a.cells[i]
		r.Parts[i] = partRecord{State: c.state, Reported: c.reported, Silent: c.silent, Again: c.again, Since: c.since, Values: c.values, End: c.end}
		if m.rules[i].function == last && c.buckets[0].n > 0 {
			r.Parts[i].Last = &c.buckets[0].sum
		}
	}
	if x := a.extra; x != nil {
		r.Lifecycle, r.Link, r.Flaps, r.Owed, r.Repeats, r.Retries = x.lifecycle, x.link, x.flaps, x.owed, x.repeats, x.retries
		if x.retry != never {
			r.Retry = x.retry
		}
	}
	return r
}

func metricsOf(a *alarm, index int) metricsRecord {
	r := metricsRecord{V: schema}
	for _, f := range a.members[index*blockSize : min((index+1)*blockSize, len(a.members))] {
		o := f.series.Origin
		r.Metrics = append(r.Metrics, metricRecord{f.series.Name, f.series.Dimensions, o.Service, o.Role, o.Serial, f.expected})
	}
	return r
}

// Load makes a Monitor from its records. Until [Monitor.Ready] it decides nothing, and samples only refill the
// windows: join the series, add what history holds of them, oldest first, then call Ready.
func Load(def Definition, records []Record, now int64) (*Monitor, error) {
	m, err := New(def)
	if err != nil {
		return nil, err
	}
	m.loading, m.clock = true, now
	alarms := map[uint32]*alarm{}
	metrics := map[uint32][]*metricsRecord{}
	drafts := map[uint32]map[int]*draftRecord{}
	for _, r := range records {
		if err := m.load(r, alarms, metrics, drafts); err != nil {
			return nil, fmt.Errorf("read record %s of alarm definition %s: %w", r.Key, def.ID, err)
		}
	}
	for _, serial := range slices.Sorted(maps.Keys(alarms)) {
		a := alarms[serial]
		m.order = append(m.order, a)
		m.next = max(m.next, serial+1)
		for _, b := range metrics[serial] {
			if b == nil {
				continue
			}
			for _, r := range b.Metrics {
				if x := m.restore(a, r).attendee; x != nil {
					x.incarnation = a.incarnation
				}
			}
		}
	}
	for _, number := range slices.Sorted(maps.Keys(drafts)) {
		m.loadDraft(number, drafts[number])
	}
	return m, nil
}

func (m *Monitor) load(r Record, alarms map[uint32]*alarm, metrics map[uint32][]*metricsRecord, drafts map[uint32]map[int]*draftRecord) error {
	kind, rest, _ := strings.Cut(r.Key, "/")
	switch kind {
	case "head":
		var head headRecord
		if err := decode(r.Value, &head); err != nil {
			return err
		}
		m.next = max(m.next, head.Next)
	case "cooldown":
		until, err := strconv.ParseInt(string(r.Value), 10, 64)
		if err != nil {
			return err
		}
		m.cooldowns[rest] = until
	case "alarm":
		serial, err := strconv.ParseUint(rest, 10, 32)
		if err != nil {
			return err
		}
		var record alarmRecord
		if err := decode(r.Value, &record); err != nil {
			return err
		}
		alarms[uint32(serial)] = m.revive(uint32(serial), &record)
	case "metrics":
		serial, index, err := blockOf(rest)
		if err != nil {
			return err
		}
		record := new(metricsRecord)
		if err := decode(r.Value, record); err != nil {
			return err
		}
		list := metrics[serial]
		for len(list) <= index {
			list = append(list, nil)
		}
		list[index] = record
		metrics[serial] = list
	case "draft":
		number, index, err := blockOf(rest)
		if err != nil {
			return err
		}
		record := new(draftRecord)
		if err := decode(r.Value, record); err != nil {
			return err
		}
		if drafts[number] == nil {
			drafts[number] = map[int]*draftRecord{}
		}
		drafts[number][index] = record
	default:
		return fmt.Errorf("no such key")
	}
	return nil
}

// blockOf reads the rest of a key: a number and the index of a block.
func blockOf(rest string) (number uint32, index int, err error) {
	if _, err := fmt.Sscanf(rest, "%d/%d", &number, &index); err != nil || index < 0 || index > 1<<24 {
		return 0, 0, fmt.Errorf("no such key")
	}
	return number, index, nil
}

// decode reads a record of this schema.
func decode(value []byte, into any) error {
	var version struct{ V int }
	if err := json.Unmarshal(value, &version); err != nil {
		return err
	}
	if version.V != schema {
		return fmt.Errorf("its schema is %d, this version reads %d", version.V, schema)
	}
	return json.Unmarshal(value, into)
}

// revive makes an alarm from its record.
func (m *Monitor) revive(serial uint32, r *alarmRecord) *alarm {
	a := m.newAlarm(r.Key)
	a.serial, a.visible = serial, true
	a.state, a.acted, a.sequence = r.State, r.Acted, r.Sequence
	a.created, a.updated, a.stateUpdated, a.incarnation = r.Created, r.Updated, r.StateUpdated, r.Incarnation
	if r.Healing {
		a.okDue = 0 // Ready sets it
	}
	if r.Lifecycle != "" || r.Link != "" || r.Flaps != nil || r.Owed || r.Retries != nil {
		*a.more() = extra{lifecycle: r.Lifecycle, link: r.Link, flaps: r.Flaps, owed: r.Owed, repeats: r.Repeats, retries: r.Retries, retry: never}
		if r.Retry != 0 {
			a.extra.retry = r.Retry
		}
	}
	if m.partial != nil {
		m.partial.addGroup(a)
	}
	for i := range a.cells {
		c, rule := &a.cells[i], &m.rules[i]
		c.start(rule, a.created)
		if i >= len(r.Parts) {
			continue
		}
		p := &r.Parts[i]
		c.state, c.reported, c.silent, c.again, c.since, c.values = p.State, p.Reported, p.Silent, p.Again, p.Since, p.Values
		if rule.windowed() && p.End != 0 {
			c.end = p.End
		}
		if rule.function == last && p.Last != nil {
			c.keep(p.End, *p.Last)
		}
		m.move(c, rule, m.clock)
	}
	return a
}

// Ready ends a load: decisions begin. It also says, of a Monitor that runs, that the process or its clock
// stood still or jumped. History is complete up to complete; windows that overlap what is missing from there to now
// are not decided, and silence is counted from now on. Of last, a value that is newer than what was decided is decided now.
func (m *Monitor) Ready(now, complete int64) {
	back := now < m.clock
	m.loading, m.clock = false, now
	m.gapFrom, m.gapTo = complete, now
	m.timers = m.timers[:0]
	m.readyDrafts(now)
	for _, a := range m.order {
		if a.gone {
			continue
		}
		a.slot = 0
		if a.okDue != never && (a.okDue == 0 || back) {
			a.okDue = now + m.def.OKAfter.Milliseconds()
		}
		m.resume(a, now)
	}
}

// resume lets an alarm decide again after a time in which it did not. Silence is counted from now on.
func (m *Monitor) resume(a *alarm, now int64) {
	for i := range a.cells {
		c, r := &a.cells[i], &m.rules[i]
		m.move(c, r, now)
		c.seen, c.empty = now, 0
		if r.function != last {
			c.recheck = true
			continue
		}
		c.end = min(c.end, now+ahead)
		if c.recheck && !a.away && !m.loading { // no window's end will decide, and no further sample need come
			m.decideLast(c, r, now)
		}
	}
	if a.extra != nil && a.extra.owed {
		a.extra.retry = now // whether it is still held back shows then
	}
	m.schedule(a)
}

// id returns the alarm's id: a UUID made of the definition's id and the serial.
func (m *Monitor) id(a *alarm) string {
	const digits = 12
	hex := strconv.FormatUint(uint64(a.serial), 16)
	return m.ids + strings.Repeat("0", digits-len(hex)) + hex
}

// IDPrefix returns what the ids of all alarms of the definition begin with, and no others: 24 characters.
func (m *Monitor) IDPrefix() string { return m.ids }

func idPrefix(definition string) string {
	sum := sha256.Sum256([]byte("alarm of " + definition))
	sum[6] = sum[6]&0x0f | 0x80 // version 8: custom
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:10])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-"
}

func (m *Monitor) serialOf(id string) (uint32, bool) {
	digits, ok := strings.CutPrefix(id, m.ids)
	if !ok || len(digits) != 12 {
		return 0, false
	}
	serial, err := strconv.ParseUint(digits, 16, 32)
	return uint32(serial), err == nil
}
