package policy

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A rig is a role under one rule: a load that its instances share, and a clock.
type rig struct {
	t            testing.TB
	rule         *Rule
	memory       Memory
	now          time.Time
	n            int
	lower, upper *int
	values       map[string]float64
	came         time.Time // when the values did; zero for now
	settled      time.Time // when the role had last settled
	of           int       // instances that report; 0 for n
	changes      []int
	because      string
}

func newRig(t testing.TB, p *Policy, n, lower, upper int) *rig {
	t.Helper()
	rule, err := Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, rule: rule, now: epoch, n: n, lower: &lower, upper: &upper, values: make(map[string]float64)}
}

func (g *rig) decide(fresh bool) Verdict {
	v := g.rule.Decide(&g.memory, g.input(fresh))
	if v.Scales {
		g.because = v.Because
		g.rule.Scaled(&g.memory, g.now, g.n, v.Wish)
		g.changes = append(g.changes, v.Wish-g.n)
		g.n = v.Wish
	}
	return v
}

func (g *rig) input(fresh bool) Input {
	return Input{Now: g.now, Cardinality: g.n, Lower: g.lower, Upper: g.upper, Fresh: fresh, Settled: g.settled, Value: func(name string) (Reading, bool) {
		v, ok := g.values[name]
		of := g.of
		if of == 0 {
			of = max(1, g.n)
		}
		if g.rule.Queue != nil {
			of = 1
		}
		came := g.came
		if came.IsZero() {
			came = g.now
		}
		return Reading{v, of, came}, ok
	}}
}

// run decides each step for a while, with the value that a function gives.
func (g *rig) run(length, step time.Duration, name string, value func() (float64, bool)) {
	for end := g.now.Add(length); g.now.Before(end); g.now = g.now.Add(step) {
		if v, ok := value(); ok {
			g.values[name] = v
		} else {
			delete(g.values, name)
		}
		g.decide(true)
	}
}

// shared is a load that the instances share.
func (g *rig) shared(load float64) func() (float64, bool) {
	return func() (float64, bool) { return load / float64(max(1, g.n)), true }
}

func at(v float64) func() (float64, bool) { return func() (float64, bool) { return v, true } }

func duration(d time.Duration) *time.Duration { return &d }

func bound(v float64) *float64 { return &v }

func TestTarget(t *testing.T) {
	g := newRig(t, &Policy{Target: &Target{Value: "avg(cpu)", Keep: 60}, Down: Way{Stabilise: duration(time.Minute)}}, 2, 1, 10)
	g.run(time.Second, time.Second, "avg(cpu)", g.shared(180))
	if g.n != 3 || !strings.Contains(g.because, "avg(cpu) is 90, to be kept at 60") {
		t.Fatalf("%d instances: %s", g.n, g.because)
	}
	g.run(time.Minute, time.Second, "avg(cpu)", g.shared(190)) // within the tolerance
	g.run(59*time.Second, time.Second, "avg(cpu)", g.shared(60))
	if g.n != 3 {
		t.Fatalf("went to %d before the window was over", g.n)
	}
	g.run(5*time.Second, time.Second, "avg(cpu)", g.shared(60))
	if g.n != 1 {
		t.Fatalf("%d instances after the window", g.n)
	}
	g.run(time.Second, time.Second, "avg(cpu)", g.shared(1e6))
	if g.n != 10 {
		t.Fatalf("%d instances, beyond the bound", g.n)
	}
}

func TestWaysAreLimitedApart(t *testing.T) {
	g := newRig(t, &Policy{Target: &Target{Value: "v", Keep: 10}, Up: Way{Most: 2, Cooldown: 10 * time.Second}, Down: Way{Percent: 10, Stabilise: duration(0), Cooldown: time.Minute}}, 1, 1, 100)
	g.run(time.Second, time.Second, "v", g.shared(1000))
	if g.n != 3 {
		t.Fatalf("%d instances, not two more", g.n)
	}
	v := g.decide(true)
	if v.Scales || !v.Again.Equal(epoch.Add(10*time.Second)) {
		t.Fatalf("%+v during the cooldown", v)
	}
	g.run(time.Minute, time.Second, "v", g.shared(1000))
	if g.n != 15 {
		t.Fatalf("%d instances a minute later", g.n)
	}
	g.run(time.Second, time.Second, "v", g.shared(10))
	if g.n != 14 {
		t.Fatalf("%d instances, not one in ten fewer", g.n)
	}
	off := newRig(t, &Policy{Target: &Target{Value: "v", Keep: 10}, Down: Way{Off: true}}, 5, 1, 10)
	off.run(time.Hour, time.Minute, "v", at(1))
	if off.n != 5 {
		t.Fatalf("went down to %d, which is off", off.n)
	}
}

func TestStabilisingUpwardsWaitsForALastingWish(t *testing.T) {
	g := newRig(t, &Policy{Target: &Target{Value: "v", Keep: 10}, Up: Way{Stabilise: duration(5 * time.Second)}}, 1, 1, 10)
	for i := range 20 { // a spike every other second
		g.run(time.Second, time.Second, "v", at(10+float64(i%2)*90))
	}
	if g.n != 1 {
		t.Fatalf("a flicker brought %d instances", g.n)
	}
	g.run(7*time.Second, time.Second, "v", at(30))
	if g.n != 3 {
		t.Fatalf("%d instances", g.n)
	}
}

func TestSteps(t *testing.T) {
	p := &Policy{Steps: &Steps{Value: "v", Steps: []Step{
		{Above: bound(90), Adjustment: Adjustment{Kind: PercentageChange, Adjust: 100}},
		{Above: bound(70), Adjustment: Adjustment{Kind: Change, Adjust: 1}},
		{Below: bound(20), Adjustment: Adjustment{Kind: Change, Adjust: -1}},
	}}, Down: Way{Stabilise: duration(0)}}
	for value, want := range map[float64]int{95: 8, 90: 8, 89.9: 5, 70: 5, 69: 4, 20: 4, 19: 3} {
		g := newRig(t, p, 4, 1, 20)
		g.values["v"] = value
		if g.decide(true); g.n != want {
			t.Errorf("at %v: %d instances, want %d", value, g.n, want)
		}
	}
}

func TestQueueFromAndToZero(t *testing.T) {
	g := newRig(t, &Policy{Queue: &Queue{Value: "q", PerInstance: 10, Idle: time.Minute}, Down: Way{Stabilise: duration(0)}}, 0, 0, 5)
	g.run(time.Minute, time.Second, "q", at(0))
	if g.n != 0 {
		t.Fatal("an empty queue brought instances")
	}
	g.run(time.Second, time.Second, "q", at(1))
	if g.n != 1 {
		t.Fatalf("%d instances for one thing", g.n)
	}
	g.run(time.Second, time.Second, "q", at(31))
	if g.n != 4 {
		t.Fatalf("%d instances for 31 things", g.n)
	}
	g.run(30*time.Second, time.Second, "q", at(0))
	if g.n != 1 {
		t.Fatalf("%d instances while idle", g.n)
	}
	v := g.decide(false)
	if !v.Again.Equal(g.memory.idle.Add(time.Minute)) {
		t.Fatalf("asks again at %v", v.Again)
	}
	g.now = v.Again
	g.decide(false)
	if g.n != 0 || !strings.Contains(g.because, "for 1m0s") {
		t.Fatalf("%d instances after a minute: %s", g.n, g.because)
	}
}

// Below its activation a queue wants none, once that has lasted for its idle time; down.stabilise is for the steps before.
func TestQueueBelowActivation(t *testing.T) {
	g := newRig(t, &Policy{Queue: &Queue{Value: "q", PerInstance: 10, Activate: 5, Idle: 5 * time.Second}}, 0, 0, 20)
	g.run(time.Second, time.Second, "q", at(25))
	if g.n != 3 {
		t.Fatalf("%d instances for 25 things", g.n)
	}
	g.run(4*time.Second, time.Second, "q", at(3))
	if text := g.rule.Describe(&g.memory, g.input(true)); g.n != 3 || !strings.Contains(text, "none at 2026-03-01T12:00:06Z") {
		t.Fatalf("%d instances: %s", g.n, text)
	}
	g.run(time.Second, time.Second, "q", at(6)) // once more work for somebody
	g.run(5*time.Second, time.Second, "q", at(3))
	if g.n != 3 {
		t.Fatalf("%d instances before the time is over", g.n)
	}
	g.run(2*time.Second, time.Second, "q", at(3))
	if g.n != 0 || !strings.Contains(g.because, "for 5s") {
		t.Fatalf("%d instances after it: %s", g.n, g.because)
	}
	g.run(time.Minute, time.Second, "q", at(5))
	if g.n != 0 {
		t.Fatalf("%d instances for what does not activate", g.n)
	}
}

func TestDescribeSaysWhatIsWaitedFor(t *testing.T) {
	g := newRig(t, &Policy{Target: &Target{Value: "v", Keep: 10}, Up: Way{Cooldown: time.Minute}}, 4, 1, 10)
	g.run(time.Second, time.Second, "v", at(2))
	if text := g.rule.Describe(&g.memory, g.input(true)); !strings.HasSuffix(text, "; 1 at 2026-03-01T12:05:00Z, if that lasts (down.stabilise)") {
		t.Error(text)
	}
	g.run(time.Second, time.Second, "v", at(15))
	g.run(time.Second, time.Second, "v", at(15))
	if text := g.rule.Describe(&g.memory, g.input(true)); !strings.HasSuffix(text, "; 9 at 2026-03-01T12:01:01Z (up.cooldown)") {
		t.Error(text)
	}
}

func TestFallback(t *testing.T) {
	g := newRig(t, &Policy{Target: &Target{Value: "v", Keep: 10}, Fallback: &Fallback{After: 30 * time.Second, Cardinality: 6}}, 3, 1, 5)
	g.run(time.Minute, time.Second, "v", at(10))
	delete(g.values, "v")
	v := g.decide(false)
	if v.Scales || !v.Again.Equal(g.now.Add(30*time.Second)) {
		t.Fatalf("%+v", v)
	}
	g.now = v.Again
	g.decide(false)
	if g.n != 5 || !strings.Contains(g.because, "no value of v for 30s") {
		t.Fatalf("%d instances: %s", g.n, g.because)
	}
	silent := newRig(t, &Policy{Target: &Target{Value: "v", Keep: 10}}, 3, 1, 5)
	silent.run(time.Hour, time.Minute, "v", func() (float64, bool) { return math.NaN(), true })
	if silent.n != 3 {
		t.Fatal("no value changed the cardinality")
	}
}

func TestDescribeStaleValues(t *testing.T) {
	g := newRig(t, &Policy{Target: &Target{Value: "v", Keep: 10}}, 3, 1, 5)
	if g.decide(false); !strings.HasSuffix(g.rule.Describe(&g.memory, g.input(false)), "no value yet") {
		t.Error(g.rule.Describe(&g.memory, g.input(false)))
	}
	g.run(2*time.Second, time.Second, "v", at(10))
	delete(g.values, "v")
	if g.decide(false); !strings.HasSuffix(g.rule.Describe(&g.memory, g.input(false)), "no value since 2026-03-01T12:00:02Z") {
		t.Error(g.rule.Describe(&g.memory, g.input(false)))
	}
}

func TestElasticCounts(t *testing.T) { // the table of the reference: evaluations at 1000, 1005, 1010, 1020
	p := &Policy{Elastic: &Elastic{Expression: "CPU > 5", Adjustment: Adjustment{Kind: Change, Adjust: 1}, Periods: Periods{Length: 10 * time.Second, Number: 3}}}
	g := newRig(t, p, 1, 1, 5)
	g.values["CPU"] = 9
	var counts []int
	for _, s := range []int{1000, 1005, 1010, 1020} {
		g.now = epoch.Add(time.Duration(s) * time.Second)
		before := g.n
		g.decide(true)
		counts = append(counts, g.memory.TrueEvals)
		if (g.n != before) != (s == 1020) {
			t.Errorf("at %d: %d instances", s, g.n)
		}
	}
	if fmt.Sprint(counts) != "[1 1 2 0]" { // the third count is erased by the scaling
		t.Errorf("counts %v", counts)
	}
	if g.memory.Evaluated != "CPU[9.0] > 5" {
		t.Errorf("evaluated %q", g.memory.Evaluated)
	}
}

func TestElasticWithoutPeriodFiresOnArrival(t *testing.T) {
	g := newRig(t, &Policy{Elastic: &Elastic{Expression: "LOAD > 4", Adjustment: Adjustment{Kind: Change, Adjust: 2}}}, 1, 1, 9)
	g.values["LOAD"] = 5
	g.decide(true)
	if g.n != 3 {
		t.Fatalf("%d instances", g.n)
	}
	g.now = g.now.Add(time.Second)
	if v := g.decide(false); v.Scales || !v.Again.Equal(epoch.Add(passEvery)) {
		t.Fatalf("the same values fired again at once: %+v", v)
	}
	g.now = epoch.Add(passEvery)
	g.decide(false)
	if g.n != 5 {
		t.Fatalf("%d instances at the next pass", g.n)
	}
}

func TestTimed(t *testing.T) {
	g := newRig(t, &Policy{Timed: &Timed{Recurrence: "0 2 * * *", Zone: "UTC", Adjustment: Adjustment{Kind: Change, Adjust: 4}}}, 2, 1, 9)
	v := g.decide(false)
	if v.Scales || !v.Kept || !v.Again.Equal(time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)) {
		t.Fatalf("the first look: %+v", v)
	}
	g.now = v.Again
	g.decide(false)
	if g.n != 6 || !strings.Contains(g.because, "0 2 * * *") {
		t.Fatalf("%d instances: %s", g.n, g.because)
	}
	g.now = g.now.Add(72 * time.Hour) // three nights without a look
	g.decide(false)
	if g.decide(false); g.n != 9 {
		t.Fatalf("missed times fired to %d, not once", g.n)
	}
}

func TestForecast(t *testing.T) {
	p := &Policy{Target: &Target{Value: "v", Keep: 10, Predict: &Predict{Days: 7, Lead: 5 * time.Minute}}}
	g := newRig(t, p, 2, 1, 20)
	g.values["v"], g.values[p.Forecast()] = 10, 75
	g.decide(true)
	if g.n != 8 || !strings.Contains(g.because, "past days") {
		t.Fatalf("%d instances: %s", g.n, g.because)
	}
	zero := newRig(t, p, 0, 0, 20)
	zero.values[p.Forecast()] = 15
	zero.decide(true)
	if zero.n != 2 {
		t.Fatalf("%d instances from none", zero.n)
	}
}

func TestBadPolicies(t *testing.T) {
	for name, p := range map[string]*Policy{
		"none":           {},
		"two":            {Queue: &Queue{Value: "q", PerInstance: 1}, Target: &Target{Value: "v", Keep: 1}},
		"no figure":      {Target: &Target{Value: "v"}},
		"NaN":            {Target: &Target{Value: "v", Keep: math.NaN()}},
		"tolerance":      {Target: &Target{Value: "v", Keep: 1, Tolerance: 1}},
		"steps":          {Steps: &Steps{Value: "v"}},
		"expression":     {Elastic: &Elastic{Expression: "CPU >"}},
		"no time":        {Timed: &Timed{}},
		"two times":      {Timed: &Timed{Start: "1", Recurrence: "* * * * *"}},
		"zone":           {Timed: &Timed{Start: "1", Zone: "Mars/Base"}},
		"no such date":   {Timed: &Timed{Recurrence: "0 0 31 2 *"}},
		"negative limit": {Queue: &Queue{Value: "q", PerInstance: 1}, Up: Way{Most: -1}},
		"unreachable":    {Steps: &Steps{Value: "v", Steps: []Step{{Above: bound(80)}, {Above: bound(90), Below: bound(95)}}}},
		"empty step":     {Steps: &Steps{Value: "v", Steps: []Step{{Above: bound(80), Below: bound(80)}}}},
		"days":           {Target: &Target{Value: "v", Keep: 1, Predict: &Predict{}}},
	} {
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// anyRule draws a rule that follows a value.
func anyRule(t *rapid.T) *Policy {
	p := &Policy{}
	adjust := func(sign int) Adjustment {
		return Adjustment{Kind: rapid.SampledFrom([]Kind{Change, PercentageChange}).Draw(t, "kind"), Adjust: sign * rapid.IntRange(1, 100).Draw(t, "adjust")}
	}
	switch rapid.IntRange(0, 2).Draw(t, "rule") {
	case 0:
		p.Target = &Target{Value: "v", Keep: rapid.Float64Range(0.1, 1000).Draw(t, "keep"), Tolerance: rapid.Float64Range(0, 0.5).Draw(t, "tolerance")}
	case 1:
		up, down := rapid.Float64Range(1, 100).Draw(t, "up"), rapid.Float64Range(1, 100).Draw(t, "down") // they may overlap
		p.Steps = &Steps{Value: "v", Steps: []Step{{Above: &up, Adjustment: adjust(1)}, {Below: &down, Adjustment: adjust(-1)}}}
	case 2:
		p.Queue = &Queue{Value: "v", PerInstance: rapid.Float64Range(0.1, 50).Draw(t, "per"), Idle: time.Minute}
	}
	p.Up = Way{Most: rapid.IntRange(0, 5).Draw(t, "most"), Cooldown: time.Duration(rapid.IntRange(0, 20).Draw(t, "up cooldown")) * time.Second}
	p.Down = Way{Stabilise: duration(time.Duration(rapid.IntRange(0, 30).Draw(t, "settle")) * time.Second)}
	return p
}

// Law: under a constant load no policy oscillates; law: none scales past its bounds.
func TestLawConstantLoadSettles(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := anyRule(r)
		lower := rapid.IntRange(0, 3).Draw(r, "lower")
		upper := lower + rapid.IntRange(0, 40).Draw(r, "room")
		g := newRig(t, p, rapid.IntRange(lower, upper).Draw(r, "from"), lower, upper)
		load := rapid.Float64Range(0, 3000).Draw(r, "load")
		value := g.shared(load)
		if p.Queue != nil {
			value = at(load)
		}
		g.run(2*time.Hour, 5*time.Second, "v", value)
		changes := len(g.changes)
		if g.run(20*time.Minute, 5*time.Second, "v", value); len(g.changes) > changes {
			r.Fatalf("it does not settle under a constant load of %v: %v", load, g.changes)
		}
		turns := 0
		for i := 1; i < len(g.changes); i++ {
			if (g.changes[i] > 0) != (g.changes[i-1] > 0) {
				turns++
			}
		}
		if turns > 2*(upper-lower+1) { // each turn upwards rules out what it came from
			r.Fatalf("%d turns under a constant load of %v: %v", turns, load, g.changes)
		}
		if g.n < lower || g.n > upper {
			r.Fatalf("%d instances, outside %d to %d", g.n, lower, upper)
		}
	})
}

// A step acts once on a value, and then on one that came after the role had settled.
func TestStepActsOnceOnAValue(t *testing.T) {
	p := &Policy{Steps: &Steps{Value: "v", Steps: []Step{{Above: bound(90), Adjustment: Adjustment{Kind: Change, Adjust: 4}}, {Below: bound(50), Adjustment: Adjustment{Kind: Change, Adjust: -1}}}},
		Down: Way{Stabilise: duration(0)}}
	g := newRig(t, p, 1, 1, 10)
	g.values["v"], g.came = 95, g.now
	for range 5 {
		g.decide(true)
		g.now = g.now.Add(time.Millisecond)
	}
	if g.n != 5 {
		t.Fatalf("one value made %d instances of one", g.n)
	}
	g.came, g.settled = g.now, g.now.Add(time.Second)
	g.now = g.now.Add(2 * time.Second)
	if g.decide(true); g.n != 5 {
		t.Fatalf("a value from before the new instances were up made it %d", g.n)
	}
	g.came = g.now
	if g.decide(true); g.n != 9 {
		t.Fatalf("a new value made it %d", g.n)
	}
	g.values["v"], g.settled = 10, time.Time{}
	g.now = g.now.Add(time.Second)
	g.came = g.now
	for range 5 {
		g.decide(true)
		g.now = g.now.Add(time.Millisecond)
	}
	if g.n != 8 {
		t.Fatalf("one value took it down to %d", g.n)
	}
}

// Law: no policy changes a cardinality twice on the same value; only to none, when nothing happened for a while.
func TestLawOneChangeForAValue(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := anyRule(r)
		g := newRig(t, p, rapid.IntRange(0, 10).Draw(r, "from"), 0, 40)
		for range 20 {
			g.values["v"], g.came = rapid.Float64Range(0, 300).Draw(r, "value"), g.now
			before := len(g.changes)
			for range rapid.IntRange(1, 5).Draw(r, "looks") {
				g.decide(rapid.Bool().Draw(r, "fresh"))
				g.of = rapid.IntRange(1, 10).Draw(r, "of") // of a value that all share: more are up by now
				g.now = g.now.Add(time.Duration(rapid.IntRange(0, 40_000).Draw(r, "ms")) * time.Millisecond)
			}
			if n := len(g.changes) - before; n > 1 && (p.Queue == nil || g.n != 0 || n > 2) {
				r.Fatalf("%d changes on one value: %v", n, g.changes)
			}
		}
	})
}

// Law: whatever the values, no wish leaves the bounds, and the same values in the same order wish the same.
func TestLawBounds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := anyRule(r)
		lower := rapid.IntRange(0, 5).Draw(r, "lower")
		upper := lower + rapid.IntRange(0, 10).Draw(r, "room")
		g := newRig(t, p, lower, lower, upper)
		for range 50 {
			g.now = g.now.Add(time.Duration(rapid.IntRange(1, 60000).Draw(r, "ms")) * time.Millisecond)
			switch x := rapid.SampledFrom([]float64{0, 1, 50, 1e12, -1e12, math.Inf(1), math.Inf(-1), math.NaN()}).Draw(r, "value"); {
			case rapid.Bool().Draw(r, "silent"):
				delete(g.values, "v")
			default:
				g.values["v"] = x
			}
			if g.decide(rapid.Bool().Draw(r, "fresh")); g.n < lower || g.n > upper {
				r.Fatalf("%d instances, outside %d to %d", g.n, lower, upper)
			}
		}
	})
}
