package service

import (
	"slices"
	"testing"
)

// Strict services remember which instances have left; others spare the memory.
func TestDisposed(t *testing.T) {
	for _, strict := range []bool{true, false} {
		w := newWorld(&Spec{Name: "x", Strategy: NoOrder, Strict: strict, Roles: []RoleSpec{{Name: "a", Cardinality: 3, Heal: HealManual, Identity: New, OnGone: Forget,
			Machine: Machine{Implementations: []Implementation{{Driver: "sim"}}}}}})
		if !w.calm() {
			t.Fatal("does not settle")
		}
		if err := w.command(Command{Scale: &Scale{Role: "a", Cardinality: 1}}); err != nil {
			t.Fatal(err)
		}
		if !w.calm() {
			t.Fatal("does not settle")
		}
		var want []uint32
		if strict {
			want = []uint32{1, 2}
		}
		if got := w.svc.Roles[0].Disposed; !slices.Equal(got, want) {
			t.Errorf("strict %t: disposed %v, want %v", strict, got, want)
		}
	}
}
