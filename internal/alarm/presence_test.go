package alarm

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/internal/metric"
)

func ofInstance(name string, serial uint32) *metric.Series {
	return &metric.Series{Tenant: 1, Name: name, Dimensions: metric.NewDimensions(map[string]string{"service": "7", "role": "app", "instance": strconv.Itoa(int(serial))}),
		Origin: metric.Origin{Service: 7, Role: "app", Serial: serial}}
}

func silent() Definition {
	def := definition("absent(m, 3s)", "instance")
	def.Actions.Alarm = []Action{{Replace: true}, {Notify: "people"}}
	def.Actions.OK = []Action{{Notify: "people"}, {Scale: &Scale{Role: "app", By: "+1"}}}
	return def
}

// attend tells how an instance stands, as a shell does.
func (b *bench) attend(serial, incarnation uint32, p Presence, at int64) {
	b.run(at - 1)
	b.m.Attend(metric.Origin{Service: 7, Role: "app", Serial: serial}, incarnation, p, at)
	b.decide(at)
}

func TestAlarmEndsWithItsInstance(t *testing.T) {
	b := newBench(t, silent())
	one, two := ofInstance("m", 1), ofInstance("m", 2)
	b.add(one, start, 1, start)
	b.add(two, start, 1, start)
	b.attend(1, 1, Here, start)
	b.attend(2, 1, Here, start)
	b.expect("0 UNDETERMINED->OK", "0 UNDETERMINED->OK")
	b.attend(1, 1, Away, start+1000)
	b.add(two, start+2000, 1, start+2000)
	b.run(start + 4500)
	b.expect() // neither is silent: one leaves, the other reported
	b.add(one, start+4600, 1, start+4600)
	b.attend(1, 1, Left, start+4700)
	if len(b.told) != 1 || b.told[0].Occasion != Ended || b.told[0].To != StateOK || b.told[0].Reason != leftText || len(b.told[0].Runs) != 0 {
		t.Errorf("told %+v", b.told)
	}
	if b.m.Len() != 1 {
		t.Errorf("%d alarms are left", b.m.Len())
	}
	b.told = nil
	b.add(one, start+4800, 1, start+4800) // on its way when the instance went
	if b.m.Len() != 1 {
		t.Error("a late sample brought the alarm back")
	}
	b.run(start + 6000)
	b.expect("5000 OK->ALARM")
	b.attend(2, 1, Away, start+6000)
	b.attend(2, 1, Left, start+7000)
	last := b.told[len(b.told)-1]
	if last.Occasion != Ended || last.From != StateAlarm || len(last.Runs) != 1 || last.Runs[0].Action.Notify != "people" {
		t.Errorf("told %+v", last)
	}
	if b.m.Len() != 0 || len(b.m.timers) != 0 {
		t.Errorf("%d alarms, %d timers are left", b.m.Len(), len(b.m.timers))
	}
}

// A stable instance comes back with another machine, and a parked one with the same: it is a new alarm for the one
// and the same for the other, and what passed meanwhile counts as nothing.
func TestAlarmOfTheNextMachine(t *testing.T) {
	b := newBench(t, silent())
	s := ofInstance("m", 1)
	b.add(s, start, 1, start)
	b.attend(1, 1, Here, start)
	first := b.only().ID
	b.attend(1, 1, Away, start+1000)
	b.attend(1, 1, Here, start+60_000)
	b.run(start + 62_999)
	b.expect("0 UNDETERMINED->OK")
	b.add(s, start+62_999, 1, start+62_999)
	if b.only().ID != first {
		t.Error("parking ended the alarm")
	}
	b.attend(1, 2, Coming, start+63_000)
	if b.m.Len() != 0 {
		t.Error("the alarm outlived its machine")
	}
	b.add(s, start+64_000, 1, start+64_000)
	if b.only().ID == first {
		t.Error("the next machine has the alarm of the one before")
	}
}

// Alarms that are not per instance, or about several, stay.
func TestOtherAlarmsOutliveInstances(t *testing.T) {
	for _, by := range []string{"role", "hostname"} {
		b := newBench(t, definition("max(m) > 5", by))
		for serial := range uint32(2) {
			s := ofInstance("m", serial+1)
			dimensions := s.Dimensions.Map()
			dimensions["hostname"] = "shared"
			s.Dimensions = metric.NewDimensions(dimensions)
			b.add(s, start, 1, start)
		}
		b.attend(1, 1, Left, start+1000)
		if b.m.Len() != 1 {
			t.Errorf("by %s: %d alarms", by, b.m.Len())
		}
	}
}

// What was told before a restart is known after it, and so is whose machine an alarm is about.
func TestPresenceSurvivesARestart(t *testing.T) {
	b := newBench(t, silent())
	b.add(ofInstance("m", 1), start, 1, start)
	b.attend(1, 1, Here, start)
	b.run(start + 3000)
	records, _ := b.m.Changes()
	m, err := Load(silent(), records, start+4000)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Instances(7); !slices.Equal(got, []uint32{1}) || !slices.Equal(m.Services(), []uint64{7}) {
		t.Fatalf("instances %v of %v", got, m.Services())
	}
	m.Attend(metric.Origin{Service: 7, Role: "app", Serial: 1}, 2, Coming, start+4000)
	told := m.Decide(start + 4000)
	if len(told) != 1 || told[0].Occasion != Ended || told[0].From != StateAlarm || len(told[0].Runs) != 1 {
		t.Errorf("told %+v", told)
	}
	m.Ready(start+4000, start+4000)
	if m.Len() != 0 {
		t.Error("the alarm is still there")
	}
	left, _ := m.Changes()
	for _, r := range left {
		if r.Value != nil && r.Key != "head" {
			t.Errorf("%s is still stored", r.Key)
		}
	}
}

// An instance that never reports is found silent, too, also across a restart; the first report takes the place of what was expected.
func TestSilenceOfWhoNeverReported(t *testing.T) {
	b := newBench(t, silent())
	at := func(serial uint32) metric.Origin { return metric.Origin{Service: 7, Role: "app", Serial: serial} }
	b.m.Expect(at(1), start)
	b.m.Attend(at(1), 1, Here, start)
	b.m.Expect(at(2), start)
	b.run(start + 1000)
	records, _ := b.m.Changes()
	m, err := Load(silent(), records, start+1000)
	if err != nil {
		t.Fatal(err)
	}
	m.Ready(start+1000, start+1000)
	b.m = m
	s := ofInstance("m", 2)
	dimensions := s.Dimensions.Map()
	dimensions["hostname"] = "two"
	s.Dimensions = metric.NewDimensions(dimensions)
	b.add(s, start+2000, 1, start+2000)
	b.run(start + 4500)
	b.expect("2000 UNDETERMINED->OK", "4000 UNDETERMINED->ALARM")
	for a := range b.m.Alarms() {
		if a.MetricCount != 1 || (a.State == StateAlarm) != (a.Origin.Serial == 1) {
			t.Errorf("%+v", a)
		}
		for s := range b.m.Metrics(a.ID) {
			if _, real := s.Dimensions.Get("hostname"); real != (a.Origin.Serial == 2) {
				t.Errorf("alarm of %d shows %v", a.Origin.Serial, s)
			}
		}
	}
	b.add(ofInstance("m", 1), start+4600, 1, start+4600)
	b.expect("4600 ALARM->OK")
	b.attend(1, 1, Left, start+4700)
	b.attend(2, 1, Left, start+4700)
	if !b.m.Empty() || len(b.m.orphans) != 0 {
		t.Errorf("empty %t, %d orphans", b.m.Empty(), len(b.m.orphans))
	}
}

func TestOnlyWhatIsKnownIsExpected(t *testing.T) {
	for expression, want := range map[string]int{"absent(m, 3s)": 1, "absent(m{role=app}, 3s)": 1, "absent(m{role=db}, 3s)": 0, "absent(m{disk=a}, 3s) and absent(n, 2s)": 1, "max(m) > 5": 0} {
		b := newBench(t, definition(expression, "instance"))
		b.m.Expect(metric.Origin{Service: 7, Role: "app", Serial: 1}, start)
		if b.m.Len() != want {
			t.Errorf("%s: %d alarms", expression, b.m.Len())
		}
	}
	b := newBench(t, definition("absent(m, 3s)", "instance", "hostname"))
	if b.m.Expect(metric.Origin{Service: 7, Role: "app", Serial: 1}, start); !b.m.Empty() {
		t.Error("the name of the host was guessed")
	}
}

func TestCloseEndsAll(t *testing.T) {
	def := definition("last(m) > 5 and last(n) > 5", "instance")
	def.Actions.OK = []Action{{Notify: "people"}}
	b := newBench(t, def)
	m, n := ofInstance("m", 1), ofInstance("n", 1)
	b.add(m, start, 9, start)
	b.add(n, start, 9, start)
	b.add(ofInstance("m", 2), start, 9, start) // half-built
	b.told = nil
	b.m.Close("over", start+1000)
	b.decide(start + 1000)
	if !b.m.Empty() || len(b.told) != 1 || b.told[0].Occasion != Ended || len(b.told[0].Runs) != 1 {
		t.Errorf("empty: %t, told %+v", b.m.Empty(), b.told)
	}
	b.add(m, start+2000, 9, start+2000)
	b.m.Attend(n.Origin, 1, Here, start+2000)
	if !b.m.Empty() {
		t.Error("a sample made an alarm of what is closed")
	}
	b.m.Open()
	b.add(m, start+3000, 9, start+3000)
	b.add(n, start+3000, 9, start+3000)
	if b.m.Len() != 1 {
		t.Error("no alarm after the opening")
	}
}

// While an instance is away, and after it has left, none of its alarms changes.
func TestLawNothingOfWhoIsAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		def := definition("max(m, 1s) > 5", "instance")
		def.Silence, def.Missing = time.Second, MissingAlarm
		m, err := New(def)
		if err != nil {
			t.Fatal(err)
		}
		s := ofInstance("m", 1)
		f := m.Join(s)
		p, now := Coming, int64(start)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.Int64Range(0, 2500).Draw(t, "ms")
			for {
				at, some := m.Wake()
				if !some || at > now {
					break
				}
				for _, x := range m.Decide(max(at, m.clock)) {
					if x.Occasion == Changed && (p == Away || p == Left) {
						t.Fatalf("%v while away: %+v", x.Reason, x)
					}
				}
			}
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				p = Presence(rapid.IntRange(int(Coming), int(Left)).Draw(t, "presence"))
				m.Attend(s.Origin, 1, p, now)
				for _, x := range m.Decide(now) {
					if x.Occasion == Changed && (p == Away || p == Left) {
						t.Fatalf("%v on leaving: %+v", x.Reason, x)
					}
				}
				if p == Left && m.Len() != 0 {
					t.Fatal("an alarm of one that left")
				}
			default:
				f.Add(now, float64(rapid.IntRange(0, 9).Draw(t, "value")), now)
				for _, x := range m.Decide(now) {
					if p == Away || p == Left {
						t.Fatalf("a sample of one that is away: %+v", x)
					}
				}
			}
		}
	})
}
