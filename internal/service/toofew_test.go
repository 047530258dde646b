package service

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Law: under a constant load that the instances share, two alarms that scale by it, one up and one down, come to rest,
// however their thresholds and steps are laid.
func TestLawAlarmsComeToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		load := rapid.Float64Range(0, 3000).Draw(t, "load")
		high, low := rapid.Float64Range(1, 100).Draw(t, "high"), rapid.Float64Range(1, 100).Draw(t, "low")
		up, down := rapid.IntRange(1, 10).Draw(t, "up"), rapid.IntRange(1, 10).Draw(t, "down")
		const most = 40
		r := &Role{Cardinality: rapid.IntRange(1, most).Draw(t, "from")}
		changed := 0
		for turn := range 20 * most {
			wish := r.Cardinality
			switch value := load / float64(r.Cardinality); {
			case value > high && wish < most:
				wish = min(wish+up, most)
			case value < low && wish > 1:
				wish = max(wish-down, 1)
			}
			if wish == r.Cardinality {
				break
			}
			n := r.enough(&Bears{"load", load / float64(r.Cardinality)}, wish)
			if n != r.Cardinality {
				changed = turn
			}
			r.Cardinality = n
		}
		if changed > 10*most {
			t.Fatalf("it still changes after %d turns", changed)
		}
	})
}

func TestRoleDoesNotShrinkToTooFew(t *testing.T) {
	r := &Role{Name: "app", Cardinality: 2}
	if n := r.enough(&Bears{"avg", 82}, 3); n != 3 {
		t.Fatal(n)
	}
	r.Cardinality = 3
	for value, want := range map[float64]int{55: 3, 20: 2} {
		if n := r.enough(&Bears{"avg", value}, 2); n != want {
			t.Errorf("at %v: %d", value, n)
		}
	}
	if n := r.enough(nil, 2); n != 2 {
		t.Errorf("a person gets %d", n)
	}
	if fmt.Sprint(r.TooFew) != "map[avg:{2 164}]" {
		t.Error(r.TooFew)
	}
}
