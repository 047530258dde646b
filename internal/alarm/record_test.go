package alarm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/metric"
)

// Alarms that come into being together are told of in parts; those with transitions at once, and each once.
func TestChangesInParts(t *testing.T) {
	const n = 3*alarmsATime - 10
	m, err := New(definition("last(m) > 5", "host"))
	if err != nil {
		t.Fatal(err)
	}
	feeds := make([]*Feed, n)
	for i := range feeds {
		feeds[i] = m.Join(&metric.Series{ID: uint32(i), Tenant: 1, Name: "m", Dimensions: metric.Dimensions{{Name: "host", Value: fmt.Sprint(i)}}})
		feeds[i].Add(start, 1, start)
	}
	feeds[n-1].Add(start+1, 9, start+1)
	seen := make(map[string]int)
	read := func() (more bool) {
		records, more := m.Changes()
		for _, r := range records {
			seen[r.Key]++
		}
		return more
	}
	// All alarms were decided, so that all have transitions: they belong into the commit that follows.
	m.Decide(start + 1)
	if read() || len(seen) != 1+2*n {
		t.Fatalf("%d records, want %d and no more", len(seen), 1+2*n)
	}
	clear(seen)
	for _, a := range m.order { // as a change of the definition does
		m.touch(a)
	}
	feeds[n-1].Add(start+2, 1, start+2)
	m.Decide(start + 2)
	calls := 1
	if !read() || seen[fmt.Sprintf("alarm/%d", m.order[n-1].serial)] != 1 {
		t.Error("what has a transition is not told of first, or nothing is left for later")
	}
	for read() {
		calls++
	}
	if calls != 2 {
		t.Errorf("%d calls had more after them, want 2", calls)
	}
	if len(seen) != n {
		t.Errorf("told of %d alarms, want %d", len(seen), n)
	}
	for key, times := range seen {
		if times != 1 {
			t.Errorf("%s: %d times", key, times)
		}
	}
	if records, more := m.Changes(); len(records) > 0 || more {
		t.Errorf("nothing has changed, and %d records have", len(records))
	}
	// A series that joins an alarm is written with it, or alone.
	one := m.order[0]
	m.connect(one, feeds[1])
	m.touchMetrics(one, len(one.members)-1)
	if records, _ := m.Changes(); len(records) != 1 || records[0].Key != blockKey(one, 0) {
		t.Errorf("%v", records)
	}
}

// A value that was taken just before a crash counts, although what was decided of it is lost: for last there may be no other sample.
func TestLastValueBeforeCrash(t *testing.T) {
	s := &metric.Series{Tenant: 1, Name: "m", Dimensions: metric.Dimensions{{Name: "host", Value: "a"}}}
	def := definition("last(m) > 5", "host")
	m, err := New(def)
	if err != nil {
		t.Fatal(err)
	}
	m.Join(s).Add(start, 1, start)
	if told := m.Decide(start); len(told) != 1 || told[0].To != StateOK {
		t.Fatalf("%+v", told)
	}
	records, _ := m.Changes()
	load := func(points ...float64) *Monitor {
		m, err := Load(def, records, start+1000)
		if err != nil {
			t.Fatal(err)
		}
		f := m.Join(s)
		for i, v := range points { // the first is the one that was decided
			f.Add(start+int64(i), v, start+1000)
		}
		m.Leave(f)
		m.Ready(start+1000, start+500)
		return m
	}
	if told := load(1).Decide(start + 1000); len(told) > 0 {
		t.Errorf("a restart told %+v", told)
	}
	if told := load(1, 2).Decide(start + 1000); len(told) > 0 {
		t.Errorf("a value of the same kind told %+v", told)
	}
	if told := load(1, 9).Decide(start + 1000); len(told) != 1 || told[0].To != StateAlarm || told[0].Sequence != 2 {
		t.Errorf("a value that crossed the threshold told %+v", told)
	}
}

// A value of a half-built alarm that was taken just before a crash decides once the alarm is complete.
func TestDraftValueBeforeCrash(t *testing.T) {
	def := definition("last(m) > 5 and last(n) > 5", "host")
	m, err := New(def)
	if err != nil {
		t.Fatal(err)
	}
	one := &metric.Series{Tenant: 1, Name: "m", Dimensions: metric.Dimensions{{Name: "host", Value: "a"}}}
	two := &metric.Series{Tenant: 1, Name: "n", Dimensions: one.Dimensions}
	m.Join(one).Add(start, 1, start)
	m.Decide(start + draftDelay)
	records, _ := m.Changes()
	if m, err = Load(def, records, start+2000); err != nil {
		t.Fatal(err)
	}
	f := m.Join(one)
	f.Add(start+1, 9, start+2000) // came after the records were written
	m.Leave(f)
	m.Ready(start+2000, start+1)
	m.Join(two).Add(start+2000, 9, start+2000)
	if told := m.Decide(start + 2000); len(told) != 1 || told[0].To != StateAlarm {
		t.Errorf("%+v", told)
	}
}

// A series that takes the place of one that was expected is stored, although later ones of its alarm are on their way to the store already.
func TestChangesOfSuperseded(t *testing.T) {
	m, err := New(definition("absent(m, 3s) or absent(n, 3s)", "instance"))
	if err != nil {
		t.Fatal(err)
	}
	joined := 0
	add := func(name string) {
		s := ofInstance(name, 1)
		dimensions := s.Dimensions.Map()
		dimensions["disk"] = fmt.Sprint(joined)
		s.Dimensions = metric.NewDimensions(dimensions)
		joined++
		m.Join(s).Add(start, 1, start)
	}
	m.Expect(ofInstance("m", 1).Origin, start)
	for range blockSize {
		add("m")
	}
	m.Decide(start)
	m.Changes()
	add("m")
	add("n")
	m.Decide(start)
	stored := make(map[string]string)
	records, _ := m.Changes()
	for _, r := range records {
		stored[r.Key] = string(r.Value)
	}
	if first, second := stored["metrics/1/0"], stored["metrics/1/1"]; strings.Contains(first, "expected") || !strings.Contains(first, `"name":"n"`) || second == "" {
		t.Errorf("stored %q", stored)
	}
}
