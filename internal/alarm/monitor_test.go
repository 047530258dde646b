package alarm

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
)

func host(name, h string) *metric.Series {
	return &metric.Series{Tenant: 1, Name: name, Dimensions: metric.NewDimensions(map[string]string{"host": h})}
}

// expect compares the changes told so far, as "ms from->to", and forgets them.
func (b *bench) expect(want ...string) {
	b.t.Helper()
	var got []string
	for _, x := range b.told {
		if x.Occasion == Changed {
			got = append(got, fmt.Sprintf("%d %s->%s", x.Time-start, x.From, x.To))
		}
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("got %q, want %q", got, want)
	}
	b.told = nil
}

func (b *bench) only() Alarm {
	b.t.Helper()
	all := slices.Collect(b.m.Alarms())
	if len(all) != 1 {
		b.t.Fatalf("%d alarms", len(all))
	}
	return all[0]
}

func TestSilenceIsExact(t *testing.T) {
	for missing, want := range map[Missing]string{"": "UNDETERMINED", MissingOK: "", MissingAlarm: "ALARM", MissingKeep: ""} {
		def := definition("last(m) > 5 and last(m) < 9")
		def.Silence, def.Missing = 3*time.Second, missing
		b := newBench(t, def)
		b.add(host("m", "a"), start+100, 1, start+100)
		b.run(start + 3099)
		b.expect("100 UNDETERMINED->OK")
		b.run(start + 3100)
		if want == "" {
			b.expect()
		} else {
			b.expect("3100 OK->" + want)
		}
	}
}

func TestAbsent(t *testing.T) {
	b := newBench(t, definition("absent(m{host=a}, 1500ms)"))
	s := host("m", "a")
	b.add(s, start, 1, start)
	b.add(s, start+1400, 1, start+1400)
	b.expect("0 UNDETERMINED->OK")
	b.run(start + 2899)
	b.expect()
	b.run(start + 2900)
	if d := b.told[0]; d.Detail != "m{host=a}: no sample for 1.5s" || d.Reason != "Thresholds were exceeded for the sub-alarms: absent(m{host=a}, 1500ms) with the values: []" {
		t.Errorf("%q, %q", d.Detail, d.Reason)
	}
	b.expect("2900 OK->ALARM")
	b.run(start + 100_000)
	if _, some := b.m.Wake(); some {
		t.Error("a silent alarm still has a timer")
	}
	b.add(s, start+100_001, 1, start+100_001)
	b.expect("100001 ALARM->OK")
}

func TestFunctions(t *testing.T) {
	s := host("m", "a")
	for text, want := range map[string][]string{
		"p50(m, 10) > 9":   {"10000 UNDETERMINED->ALARM"}, // 0, 5, 10, 15, 20, 25
		"p50(m, 10) > 10":  {"10000 UNDETERMINED->OK"},
		"p90(m, 10) >= 25": {"10000 UNDETERMINED->ALARM"},
		"avg(m, 10) > 12":  {"10000 UNDETERMINED->ALARM"},
		"sum(m, 10) > 75":  {"10000 UNDETERMINED->OK"},
		"count(m, 10) > 5": {"5000 UNDETERMINED->ALARM"},
		"min(m, 10) >= 1":  {"0 UNDETERMINED->OK"},
	} {
		b := newBench(t, definition(text))
		for i := range int64(6) {
			b.add(s, start+i*1000, float64(i*5), start+i*1000)
		}
		b.run(start + 10_000)
		b.expect(want...)
	}
	// A counter that grows by 10 a second, resets, stands still.
	b := newBench(t, definition("rate(m, 2) > 8"))
	for i, v := range []float64{100, 110, 120, 130, 10, 20, 20, 20, 20, 20} {
		b.add(s, start+int64(i)*1000, v, start+int64(i)*1000)
	}
	b.run(start + 10_000)
	b.expect("2000 UNDETERMINED->OK", "3000 OK->ALARM", "8000 ALARM->OK")
}

func TestSketch(t *testing.T) {
	for _, q := range []float64{0.5, 0.9, 0.95, 0.99} {
		var s sketch
		const n = 20_011
		for i := range n {
			s.add(float64(i*7919%n), q)
		}
		if got := s.value(q) / n; math.Abs(got-q) > 0.01 {
			t.Errorf("p%v of a uniform distribution: %v", q*100, got)
		}
	}
	var s sketch
	for i := range 20 {
		s.add(float64(20-i), 0.95)
	}
	if s.value(0.95) != 19 {
		t.Errorf("few values: %v", s.value(0.95))
	}
}

func TestBadSamples(t *testing.T) {
	b := newBench(t, definition("sum(m) > 5"))
	s := host("m", "a")
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		b.add(s, start, v, start)
	}
	if b.m.Len() != 0 {
		t.Error("made an alarm")
	}
	b.add(s, start+1, 1, start+1)
	b.add(s, start+1, 1, start+50)       // doubled
	b.add(s, start-61_000, 9, start+60)  // late
	b.add(s, start+185_000, 9, start+70) // future
	b.add(s, start+2, math.MaxFloat64, start+80)
	b.add(s, start+3, math.MaxFloat64, start+90)
	if got, want := b.m.Stats(), (Stats{Samples: 5, Invalid: 3, Duplicate: 1, Late: 1, Future: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	b.run(start + 60_000)
	b.expect("60000 UNDETERMINED->ALARM")
	if v := b.only().SubAlarms[0].Values; len(v) != 1 || math.IsInf(v[0], 0) {
		t.Error(v)
	}
}

// TestClockBack: an hour back, samples are taken and silence is found as before.
func TestClockBack(t *testing.T) {
	def := definition("avg(m, 2) > 5 or last(m) > 100")
	def.Silence = 3 * time.Second
	b := newBench(t, def)
	s := host("m", "a")
	for i := range int64(4) {
		b.add(s, start+i*1000, 1, start+i*1000)
	}
	b.expect("2000 UNDETERMINED->OK")
	const back = start - 3_600_000
	f := b.feeds[s.String()]
	f.Add(back, 9, back)
	f.Add(back+500, 9, back+500)
	for at, _ := b.m.Wake(); at < back+3500; at, _ = b.m.Wake() {
		b.decide(at)
	}
	b.decide(back + 3500)
	var got []string
	for _, x := range b.told {
		got = append(got, fmt.Sprintf("%d %s", x.Time-back, x.To))
	}
	if want := []string{"2000 ALARM", "3500 UNDETERMINED"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestStandstill: an hour in which the process slept is no silence, and its windows are not decided.
func TestStandstill(t *testing.T) {
	def := definition("count(m, 10) < 2 and absent(m, 3s)")
	b := newBench(t, def)
	s := host("m", "a")
	for i := range int64(11) {
		b.add(s, start+i*1000, 1, start+i*1000)
	}
	b.run(start + 10_000)
	b.told = nil
	const later = start + 3_600_000 + 5_000
	b.m.Ready(later, start+10_000)
	b.run(later + 2999)
	b.expect()
	if b.only().SubAlarms[1].State != StateOK {
		t.Error("silent at once")
	}
	b.add(s, later+3000, 1, later+3000)
	b.run(later + 5000) // the window in which it slept would have counted one sample
	b.expect()
	b.run(later + 60_000)
	if got := b.only(); got.SubAlarms[1].State != StateAlarm {
		t.Errorf("%+v", got)
	}
}

func TestOKAfter(t *testing.T) {
	def := definition("last(m) > 5")
	def.OKAfter = 2 * time.Second
	b := newBench(t, def)
	s := host("m", "a")
	for i, v := range []float64{9, 1, 9, 1, 1, 1, 1} {
		b.add(s, start+int64(i)*1000, v, start+int64(i)*1000)
	}
	b.run(start + 10_000)
	b.expect("0 UNDETERMINED->ALARM", "5000 ALARM->OK")
}

func TestSetState(t *testing.T) {
	b := newBench(t, notifying("avg(m, 10) > 5"))
	s := host("m", "a")
	b.add(s, start, 9, start)
	b.run(start + 10_000)
	id := b.only().ID
	if err := b.m.SetState(id, StateOK, start+11_000); err != nil {
		t.Fatal(err)
	}
	b.run(start + 11_000)
	if x := b.told[1]; x.Reason != "Alarm state updated via API" || len(x.SubAlarms) != 0 || len(x.Runs) != 1 {
		t.Errorf("%+v", x)
	}
	b.add(s, start+12_000, 9, start+12_000)
	b.run(start + 19_999)
	b.expect("10000 UNDETERMINED->ALARM", "11000 ALARM->OK")
	b.run(start + 20_000)
	b.expect("20000 OK->ALARM")
	b.run(start + 60_000) // silent: UNDETERMINED, which a hand cannot hold either
	b.expect("40000 ALARM->UNDETERMINED")
	if err := b.m.SetState(id, StateOK, start+65_000); err != nil {
		t.Fatal(err)
	}
	b.run(start + 200_000)
	b.expect("65000 UNDETERMINED->OK", "70000 OK->UNDETERMINED")
	if err := b.m.SetState("x", StateOK, start+65_000); !errors.Is(err, ErrNoAlarm) {
		t.Error(err)
	}
}

func TestDelete(t *testing.T) {
	b := newBench(t, definition("max(m) > 5 and max(n) > 5", "host"))
	disk := map[string]Record{}
	m, n := host("m", "a"), host("n", "a")
	b.add(m, start, 9, start)
	if b.m.Len() != 0 {
		t.Error("a half-built alarm is visible")
	}
	b.add(n, start+1, 9, start+1)
	first := b.only().ID
	save(b, disk)
	if len(disk) != 3 {
		t.Errorf("%v", disk)
	}
	if err := b.m.Delete(first); err != nil {
		t.Fatal(err)
	}
	save(b, disk)
	if len(disk) != 1 {
		t.Errorf("%v", disk)
	}
	b.add(m, start+2, 9, start+2)
	if b.m.Len() != 0 {
		t.Error("came back without all parts")
	}
	b.add(n, start+3, 9, start+3)
	if second := b.only(); second.ID == first || second.Serial != 2 {
		t.Errorf("%+v", second)
	}
}

func TestLifetime(t *testing.T) {
	def := definition("last(m) > 5", "host")
	def.Lifetime = 10 * time.Second
	b := newBench(t, def)
	disk := map[string]Record{}
	for i := range int64(5) {
		b.add(host("m", "a"), start+i*3000, 1, start+i*3000)
		b.add(host("m", "b"), start, 1, start+i*3000)
	}
	save(b, disk)
	b.m.Leave(b.feeds[host("m", "a").String()])
	b.run(start + 21_999)
	if b.m.Len() != 2 {
		t.Error(b.m.Len())
	}
	b.run(start + 22_000)
	save(b, disk)
	if b.m.Len() != 0 || len(b.m.groups) != 0 || len(b.m.orphans) != 0 || len(disk) != 1 {
		t.Error(b.m.Len(), b.m.groups, b.m.orphans, disk)
	}
}

func TestLeaveAndReturn(t *testing.T) {
	b := newBench(t, definition("last(m) > 5", "host"))
	b.add(host("m", "a"), start, 1, start)
	f := b.feeds["m{host=a}"]
	b.m.Leave(f)
	if again := b.m.Join(host("m", "a")); again != f {
		t.Error("the alarm's series is not the one that came back")
	} else if again.Add(start+1, 9, start+1); b.only().MetricCount != 1 || b.only().State != StateAlarm {
		t.Errorf("%+v", b.only())
	}
	if b.m.Join(host("other", "a")) != nil {
		t.Error("fits")
	}
	stranger := host("m", "a")
	stranger.Tenant = 2
	if b.m.Join(stranger) != nil {
		t.Error("another tenant's series fits")
	}
}

// A half-built alarm is not begun anew by a restart, and nothing is stored of it that is not needed.
func TestDraftSurvives(t *testing.T) {
	b, disk := newBench(t, definition("max(m) > 5 and last(n) > 5", "host")), map[string]Record{}
	b.add(host("n", "a"), start, 1, start)
	b.add(host("n", "a"), start+1, 9, start+1)
	if at, ok := b.m.Wake(); !ok || at > start+1+draftDelay {
		t.Errorf("wakes at %d, %v", at-start, ok)
	}
	save(b, disk)
	b.add(host("n", "a"), start+2, 8, start+2)
	if again, _ := b.m.Changes(); len(disk) != 1 || len(again) > 0 {
		t.Errorf("%q, then %q", disk, again)
	}
	restart(t, b, disk, nil, start+10, start+10)
	b.add(host("m", "a"), start+20, 9, start+20)
	b.expect("20 UNDETERMINED->ALARM")
	if save(b, disk); b.only().MetricCount != 2 || len(disk) != 3 { // head, alarm, metrics
		t.Errorf("%+v, %q", b.only(), disk)
	}
	b.add(host("n", "b"), start+30, 9, start+30)
	save(b, disk)
	restart(t, b, disk, nil, start+40, start+40)
	b.run(start + 40 + draftKept) // the series does not come back
	b.add(host("m", "b"), start+50+draftKept, 9, start+50+draftKept)
	if save(b, disk); b.m.Len() != 1 || len(disk) != 4 {
		t.Errorf("%d alarms, %q", b.m.Len(), disk)
	}
	b.m.Leave(b.feeds["m{host=b}"])
	if save(b, disk); len(disk) != 3 {
		t.Errorf("%q", disk)
	}
}

func TestPartialMatch(t *testing.T) {
	b := newBench(t, definition("max(disk) > 90 and max(cpu) > 90", "host", "device"))
	disk := func(h, d string) *metric.Series {
		return b.series("disk", map[string]string{"host": h, "device": d})
	}
	cpu := func(h string) *metric.Series { return b.series("cpu", map[string]string{"host": h}) }
	b.add(disk("a", "sda"), start, 1, start)
	b.add(cpu("a"), start+1, 99, start+1)
	b.add(disk("a", "sdb"), start+2, 99, start+2) // takes the host's known series
	b.add(disk("b", "sda"), start+3, 99, start+3)
	b.add(b.series("cpu", map[string]string{"rack": "r"}), start+4, 99, start+4) // has none of match_by
	var got []string
	for a := range b.m.Alarms() {
		got = append(got, matchText(a.Match))
	}
	if want := []string{"device=sda,host=a", "device=sdb,host=a"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	b.add(cpu("a"), start+5, 99, start+5)
	if b.add(disk("a", "sda"), start+6, 99, start+6); len(b.told) != 2 {
		t.Errorf("%+v", b.told)
	}
	disks := map[string]Record{} // after a restart the host's series is still known
	save(b, disks)
	restart(t, b, disks, nil, start+7, start+7)
	if b.add(disk("a", "sdc"), start+8, 99, start+8); b.m.Len() != 3 {
		t.Errorf("%d alarms", b.m.Len())
	}
}

// Series that share no dimension of match_by, or not all, make an alarm for each way to put them together.
func TestDisjointMatch(t *testing.T) {
	matches := func(b *bench) (out []string) {
		for a := range b.m.Alarms() {
			out = append(out, matchText(a.Match))
		}
		slices.Sort(out)
		return out
	}
	b := newBench(t, definition("max(disk) > 90 and max(cpu) > 90", "host", "device"))
	disk := func(d string) *metric.Series { return b.series("disk", map[string]string{"device": d}) }
	b.add(disk("sda"), start, 99, start)
	b.add(host("cpu", "a"), start+1, 99, start+1)
	b.add(disk("sdb"), start+2, 1, start+2)
	b.add(host("cpu", "b"), start+3, 99, start+3)
	b.add(host("cpu", "b"), start+4, 99, start+4) // nothing new
	if got, want := matches(b), []string{"device=sda,host=a", "device=sda,host=b", "device=sdb,host=a", "device=sdb,host=b"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	b.add(disk("sda"), start+5, 98, start+5)
	b.add(host("cpu", "a"), start+6, 99, start+6)
	var alarmed []string
	for a := range b.m.Alarms() {
		if a.State == StateAlarm {
			alarmed = append(alarmed, matchText(a.Match))
		}
	}
	if want := []string{"device=sda,host=a", "device=sda,host=b"}; !slices.Equal(alarmed, want) {
		t.Errorf("in alarm: %q, want %q", alarmed, want)
	}
	disks := map[string]Record{}
	save(b, disks)
	restart(t, b, disks, nil, start+10, start+10)
	if b.add(host("cpu", "c"), start+11, 1, start+11); b.m.Len() != 6 {
		t.Errorf("%q", matches(b))
	}
	next := b.m.Definition()
	next.Expression = "max(cpu) > 90 and max(disk) > 90"
	if err := b.m.Update(next, start+12); err != nil {
		t.Fatal(err)
	}
	if b.add(disk("sdc"), start+12, 1, start+12); b.m.Len() != 9 {
		t.Errorf("%q", matches(b))
	}
	// A series that has left makes no new ones.
	b.add(disk("sdb"), start+12, 1, start+12)
	b.m.Leave(b.feeds["disk{device=sdb}"])
	if b.add(host("cpu", "d"), start+13, 1, start+13); b.m.Len() != 11 {
		t.Errorf("%q", matches(b))
	}

	b = newBench(t, definition("max(x) > 0 and max(y) > 0 and max(z) > 0", "a", "b", "c"))
	for i, s := range []*metric.Series{
		b.series("x", map[string]string{"a": "1", "b": "1"}), b.series("x", map[string]string{"a": "2", "b": "2"}),
		b.series("z", map[string]string{"a": "1"}), b.series("y", map[string]string{"b": "1", "c": "1"}),
		b.series("y", map[string]string{"b": "2", "c": "2"}), // no z goes with it
		b.series("y", map[string]string{"b": "1", "c": "3"}),
	} {
		b.add(s, start+int64(i), 1, start+int64(i))
	}
	if got, want := matches(b), []string{"a=1,b=1,c=1", "a=1,b=1,c=3"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestJoinsAreBounded(t *testing.T) {
	b := newBench(t, definition("max(disk) > 90 and max(cpu) > 90", "host", "device"))
	for i := range 300 {
		b.add(b.series("disk", map[string]string{"device": fmt.Sprint(i)}), start+int64(i), 1, start+int64(i))
		b.add(host("cpu", fmt.Sprint(i)), start+int64(i), 1, start+int64(i))
	}
	if b.m.Len() != maxJoined {
		t.Errorf("%d alarms", b.m.Len())
	}
}

func TestUpdate(t *testing.T) {
	def := definition("max(x) > 0 and max(x) <= 1")
	for text, want := range map[string]string{
		"max(x) > 0":                   "expression: has 1 parts, before it had 2",
		"max(x) > 0 and max(y) > 1":    "expression: y was not watched before",
		"max(x) > 0 and max(x) >":      "expression: column 24",
		"avg(x, 10) > 3 or min(x) < 1": "",
	} {
		next := def
		next.Expression = text
		if _, err := def.CheckUpdate(&next); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	next := def
	next.MatchBy = []string{"host"}
	if _, err := def.CheckUpdate(&next); err == nil || !strings.Contains(err.Error(), "match_by") {
		t.Error(err)
	}

	b := newBench(t, definition("avg(m, 10) > 5 or last(n) > 5"))
	m, n := host("m", "a"), host("n", "a")
	b.add(m, start, 3, start)
	b.add(n, start, 1, start)
	b.add(m, start+100, 3, start+100)
	moved := definition("last(n) > 5 or avg(m, 10) > 2") // other order, other threshold: the window is kept
	if err := b.m.Update(moved, start+5000); err != nil {
		t.Fatal(err)
	}
	b.run(start + 10_000)
	b.expect("10000 UNDETERMINED->ALARM")
	fresh := definition("last(n) > 5 or avg(m, 20) > 2")
	if err := b.m.Update(fresh, start+12_500); err != nil {
		t.Fatal(err)
	}
	b.add(m, start+13_000, 1, start+13_000)
	b.run(start + 31_999)
	b.expect()
	b.run(start + 32_000) // 20 s from the second of the update
	b.expect("32000 ALARM->OK")
}

func TestValidate(t *testing.T) {
	def := Definition{Expression: "avg(m) >", Severity: "HIHG", Profile: "fats", Missing: "undetermind", MatchBy: []string{"a", "a", "_b"},
		Silence: time.Millisecond, Damping: Damping{Transitions: 3}, Maintenance: []Maintenance{{}},
		Actions: Actions{Alarm: []Action{{Scale: &Scale{By: "20%"}}, {}, {Notify: "x", Replace: true}}}}
	err := def.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	for _, want := range []string{"expression: column 9:", "name: has 0", `severity: "HIHG" is none of LOW, MEDIUM, HIGH, CRITICAL; did you mean "HIGH"?`, `profile: "fats"`,
		`did you mean "undetermined"?`, "match_by[1]: ", "match_by[2]: ", "silence: 1ms", "damping.within: is missing", "maintenance[0]: from and to",
		"actions.alarm[0].scale.by: ", "actions.alarm[1]: is 0 of", "actions.alarm[2]: is 2 of"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	calm := definition("avg(m) > 1")
	calm.Damping = Damping{Within: time.Minute}
	if err := calm.Validate(); err == nil || !strings.Contains(err.Error(), "damping.transitions: is missing") {
		t.Error(err)
	}
	compat := definition("avg(m, 30) > 1")
	compat.Profile = Compat
	if err := compat.Validate(); err == nil || !strings.Contains(err.Error(), "multiple of 60") {
		t.Error(err)
	}
}

func TestTestTransition(t *testing.T) {
	b := newBench(t, notifying("last(m) > 5"))
	x, err := b.m.Test("", StateAlarm, start)
	if err != nil || x.Occasion != Tested || len(x.Runs) != 1 || x.Runs[0].Action.Notify != "n1" {
		t.Errorf("%+v, %v", x, err)
	}
	if records, _ := b.m.Changes(); len(records) != 0 {
		t.Error("a test changed something")
	}
}

func TestReplay(t *testing.T) {
	s := host("m", "a")
	points := func(yield func(metric.Point) bool) {
		for i := range int64(100) {
			v := 1.0
			if i >= 40 && i < 60 {
				v = 9
			}
			if !yield(metric.Point{Series: s, Time: start + i*1000, Value: v}) {
				return
			}
		}
	}
	told, err := Replay(notifying("avg(m, 5) > 5 times 2"), points, start+20_000, start+90_000)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range told {
		got = append(got, fmt.Sprintf("%d %s %d", x.Time-start, x.To, len(x.Runs)))
	}
	if want := []string{"50000 ALARM 1", "65000 OK 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestManySeries: an alarm on very many series costs each sample as little as any.
func TestManySeries(t *testing.T) {
	b := newBench(t, definition("avg(m, 10) > 5"))
	const n = 20_000
	for i := range n {
		b.m.Join(host("m", fmt.Sprint(i))).Add(start+int64(i)%9000, 9, start+int64(i)%9000)
	}
	disk := map[string]Record{}
	save(b, disk)
	if want := 2 + (n+blockSize-1)/blockSize; len(disk) != want {
		t.Errorf("%d records, want %d", len(disk), want)
	}
	b.run(start + 10_000)
	if x := b.told[0]; x.MetricCount != n || len(x.Metrics) != MaxMetrics {
		t.Error(x.MetricCount, len(x.Metrics))
	}
	restart(t, b, disk, nil, start+11_000, start+11_000)
	if b.only().MetricCount != n {
		t.Error(b.only().MetricCount)
	}
}

// TestAddDoesNotAllocate: in the steady state.
func TestAddDoesNotAllocate(t *testing.T) {
	m, feeds := fleet(t, definition("p95(cpu.user_perc, 2) > 80 and max(cpu.user_perc) < 1", "hostname"), 100)
	now := int64(start)
	step := func() {
		for range 500 {
			now += 10
			feeds[now/10%100].Add(now, float64(now/10%50)+2, now)
			if at, some := m.Wake(); some && at <= now {
				m.Decide(now)
			}
		}
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(20, step); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
