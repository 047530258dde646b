package wake

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

type sleeper struct {
	slot Slot[*sleeper]
	due  time.Time
}

// Everything is woken at its last time, once, and nothing that was let off.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := New[*sleeper]()
		done := make(chan struct{})
		woken := map[*sleeper]int{}
		go func() {
			defer close(done)
			c.Run(ctx, func(s *sleeper) {
				woken[s]++
				if late := time.Since(s.due); late != 0 || s.due.IsZero() {
					t.Errorf("woken %v late", late)
				}
			})
		}()
		random := rand.New(rand.NewPCG(1, 2))
		all := make([]*sleeper, 200)
		for i := range all {
			all[i] = new(sleeper)
		}
		begin := time.Now()
		for range 1000 {
			s := all[random.IntN(len(all))]
			s.due = begin.Add(time.Hour + time.Duration(random.IntN(1e6))*time.Millisecond)
			if random.IntN(4) == 0 {
				s.due = time.Time{}
			}
			c.Set(&s.slot, s, s.due)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		for _, s := range all {
			want := 1
			if s.due.IsZero() {
				want = 0
			}
			if woken[s] != want {
				t.Errorf("woken %d times, want %d", woken[s], want)
			}
		}
		if len(woken) == 0 || slices.Contains(all, nil) {
			t.Error("nothing was woken")
		}
		cancel()
		<-done
	})
}
