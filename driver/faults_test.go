package driver_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

func TestFaults(t *testing.T) {
	fates := func(order func(i int) int) (map[int]string, int64) {
		s := &script{}
		plan := &driver.Plan{Seed: 3, Errors: 0.2, Lost: 0.2, Double: 0.2}
		d := driver.Faults(s, func() *driver.Plan { return plan })
		fate := map[int]string{}
		for i := range 1000 {
			before := s.calls.Load()
			_, err := d.Create(t.Context(), driver.Request{ID: driver.MachineID(fmt.Sprint(order(i)))})
			fate[order(i)] = fmt.Sprint(driver.Class(err), s.calls.Load()-before)
		}
		return fate, s.calls.Load()
	}
	up, calls := fates(func(i int) int { return i })
	down, _ := fates(func(i int) int { return 999 - i })
	count := map[string]int{}
	for i, f := range up {
		if count[f]++; down[i] != f {
			t.Errorf("call %d is %s in one order, %s in the other", i, f, down[i])
		}
	}
	for f, want := range map[string]int{"unavailable0": 200, "unavailable1": 160, "unavailable2": 40, "1": 480, "2": 120} {
		if n := count[f]; n < want*3/4-10 || n > want*5/4+10 {
			t.Errorf("%d calls are %q, want about %d", n, f, want)
		}
	}
	if calls < 900 || calls > 1050 {
		t.Errorf("%d calls arrived", calls)
	}

	// What failed once need not fail for ever.
	s := &script{}
	d := driver.Faults(s, func() *driver.Plan { return &driver.Plan{Errors: 0.5} })
	tries := 0
	for ; tries < 50 && s.calls.Load() == 0; tries++ {
		_ = d.Destroy(t.Context(), driver.Ref{ID: "1"}, driver.Hard)
	}
	if s.calls.Load() == 0 {
		t.Error("a call that failed once fails always")
	}
	synctest.Test(t, func(t *testing.T) {
		d := driver.Faults(&script{}, func() *driver.Plan { return &driver.Plan{Silent: 1} })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if _, err := d.Create(ctx, driver.Request{}); driver.Class(err) != "timeout" || time.Since(began) != time.Minute {
			t.Errorf("a silent back end: %v after %s", err, time.Since(began))
		}
	})
}
