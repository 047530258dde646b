package policy

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestApply(t *testing.T) {
	for _, c := range []struct {
		current, min, max int
		a                 Adjustment
		want              int
	}{
		{4, 1, 5, Adjustment{Change, 2, 0}, 5},
		{7, 1, 5, Adjustment{Change, 2, 0}, 7},
		{7, 1, 5, Adjustment{Change, -1, 0}, 6},
		{0, 1, 5, Adjustment{Change, -1, 0}, 1},
		{5, 1, 10, Adjustment{PercentageChange, -10, 2}, 3},
		{5, 1, 10, Adjustment{PercentageChange, -10, 0}, 4},
		{10, 1, 20, Adjustment{PercentageChange, 29, 0}, 12},
		{3, 1, 20, Adjustment{PercentageChange, 50, 0}, 4},
		{10, 8, 20, Adjustment{PercentageChange, -50, 0}, 8},
		{2, 1, 5, Adjustment{Cardinality, 8, 0}, 5},
		{7, 1, 5, Adjustment{Cardinality, 6, 0}, 6},
		{4, 2, 5, Adjustment{Cardinality, 1, 0}, 1},
		{4, 2, 5, Adjustment{Cardinality, -3, 0}, 2},
		{10, 1, 20, Adjustment{PercentageChange, 0, 0}, 10}, // the reference says 9
		{0, 0, 20, Adjustment{PercentageChange, 20, 0}, 1},  // the reference says -1
		{0, 0, 20, Adjustment{PercentageChange, -20, 0}, 0},
		{4, 1, 5, Adjustment{Change, 0, 0}, 4},
		{4, 2, 5, Adjustment{Cardinality, 0, 0}, 0}, // 0 is not clamped
		{4, 1, 5, Adjustment{Change, 1 << 62, 0}, 5},
		{4, 1, 5, Adjustment{Change, -1 << 62, 0}, 1},
		{1 << 30, 1, 5, Adjustment{PercentageChange, -1 << 62, 0}, 1},
	} {
		if got := c.a.Apply(c.current, &c.min, &c.max); got != c.want {
			t.Errorf("%+v to %d in %d..%d: %d, want %d", c.a, c.current, c.min, c.max, got, c.want)
		}
	}
	if got := (Adjustment{Change, 1, 0}).Apply(3, nil, nil); got != 3 {
		t.Error("a role without a maximum grew to", got)
	}
	if got := (Adjustment{Change, -5, 0}).Apply(3, nil, nil); got != 0 {
		t.Error("a role without a minimum shrank to", got)
	}
}

func TestApplyLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lower := rapid.IntRange(0, 50).Draw(t, "min")
		upper := rapid.IntRange(lower, 100).Draw(t, "max")
		current := rapid.IntRange(0, 200).Draw(t, "current")
		a := Adjustment{
			Kind:    rapid.SampledFrom([]Kind{Change, Cardinality, PercentageChange}).Draw(t, "kind"),
			Adjust:  rapid.Int().Draw(t, "adjust"),
			MinStep: rapid.IntRange(0, 300).Draw(t, "step"),
		}
		n := a.Apply(current, &lower, &upper)
		switch {
		case a.Adjust > 0 && n > max(current, upper):
			t.Fatalf("%+v: grew from %d beyond %d to %d", a, current, upper, n)
		case a.Adjust < 0 && n < lower:
			t.Fatalf("%+v: shrank from %d below %d to %d", a, current, lower, n)
		case a.Kind != Cardinality && a.Adjust > 0 && n < current:
			t.Fatalf("%+v: grew from %d to %d", a, current, n)
		case a.Kind != Cardinality && a.Adjust < 0 && n > max(current, lower):
			t.Fatalf("%+v: shrank from %d to %d", a, current, n)
		case a.Kind == PercentageChange && a.Adjust == 0 && n != current:
			t.Fatalf("%+v: 0 percent of %d made %d", a, current, n)
		}
	})
}

func TestPeriods(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	p := Periods{Length: 10 * time.Second, Number: 3}
	var c Count
	for _, step := range []struct {
		at    int64
		evals int
		fires bool
	}{{1000, 1, false}, {1005, 1, false}, {1010, 2, false}, {1020, 3, true}, {1030, 3, true}} {
		fires := false
		if p.Due(c, at(step.at)) {
			c, fires = p.Observe(c, at(step.at), true)
		}
		if c.TrueEvals != step.evals || fires != step.fires {
			t.Errorf("at %d: %+v fires=%v", step.at, c, fires)
		}
	}
	if c, fires := p.Observe(c, at(1040), false); fires || c.TrueEvals != 0 || !c.LastEval.Equal(at(1040)) {
		t.Errorf("false: %+v %v", c, fires)
	}
	if c, fires := (Periods{}).Observe(Count{}, at(1), true); !fires || c.TrueEvals != 0 {
		t.Errorf("without a number: %+v %v", c, fires)
	}
}

func TestCooldown(t *testing.T) {
	d := func(s int) *time.Duration { v := time.Duration(s) * time.Second; return &v }
	for _, c := range []struct {
		policy, role *time.Duration
		want         time.Duration
	}{{d(0), d(2), 0}, {nil, d(2), 2 * time.Second}, {nil, nil, 300 * time.Second}, {d(1), nil, time.Second}} {
		if got := Cooldown(c.policy, c.role, 300*time.Second); got != c.want {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}
