package probe

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/internal/service"
)

// script tells the outcome of rounds: for each instance by address, a function of the time since the start.
type script map[string]func(since time.Duration) error

var errSick = errors.New("sick")

func always(err error) func(time.Duration) error { return func(time.Duration) error { return err } }

// play runs a scheduler in simulated time and returns its reports.
func play(t *testing.T, check *service.Check, instances script, length time.Duration, during func(*Scheduler[string])) (reports []string, rounds int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex
		s := NewScheduler(func(r Result[string]) {
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, fmt.Sprintf("%s %v %s %ds", r.Key, r.Health == service.Healthy, r.Reason, r.At.Sub(start)/time.Second))
		})
		s.run = func(ctx context.Context, _ *service.Check, target Target) error {
			mu.Lock()
			rounds++
			f := instances[target.Address]
			mu.Unlock()
			return f(time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		for name := range instances {
			s.Add(name, check, Target{Address: name})
		}
		if during != nil {
			go during(s)
		}
		s.Run(ctx)
	})
	return reports, rounds
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestScheduler(t *testing.T) {
	check := &service.Check{Interval: 10 * time.Second, Failures: 3, Successes: 1}
	t.Run("healthy at once and once only", func(t *testing.T) {
		got, rounds := play(t, check, script{"a": always(nil)}, time.Hour, nil)
		equal(t, got, "a true  0s")
		if rounds < 350 || rounds > 420 {
			t.Errorf("%d rounds in an hour", rounds)
		}
	})
	t.Run("up soon after the start, not an interval later", func(t *testing.T) {
		got, _ := play(t, check, script{"a": func(d time.Duration) error {
			if d < 900*time.Millisecond {
				return errSick
			}
			return nil
		}}, time.Minute, nil)
		if len(got) != 1 || got[0] != "a true  0s" && got[0] != "a true  1s" {
			t.Errorf("%q", got)
		}
	})
	t.Run("failures count once an interval", func(t *testing.T) {
		got, _ := play(t, check, script{"a": always(errSick)}, time.Hour, nil)
		if len(got) != 1 || got[0] < "a false sick 20s" || got[0] > "a false sick 39s" {
			t.Errorf("%q", got)
		}
	})
	t.Run("start period", func(t *testing.T) {
		patient := *check
		patient.StartPeriod = 5 * time.Minute
		got, _ := play(t, &patient, script{"a": always(errSick)}, time.Hour, nil)
		if len(got) != 1 || got[0] < "a false sick 315s" || got[0] > "a false sick 345s" {
			t.Errorf("%q", got)
		}
	})
	t.Run("a good round ends the start period", func(t *testing.T) {
		patient := *check
		patient.StartPeriod = 5 * time.Minute
		got, _ := play(t, &patient, script{"a": func(d time.Duration) error {
			if d > 30*time.Second {
				return errSick
			}
			return nil
		}}, 2*time.Minute, nil)
		if len(got) != 2 || got[0] != "a true  0s" {
			t.Errorf("%q", got)
		}
	})
	t.Run("thresholds and recovery", func(t *testing.T) {
		strict := &service.Check{Interval: time.Second, Failures: 5, Successes: 4}
		got, _ := play(t, strict, script{"a": func(d time.Duration) error {
			if d > 60*time.Second && d < 100*time.Second {
				return errSick
			}
			return nil
		}}, 5*time.Minute, nil)
		if len(got) != 3 || got[1] < "a false sick 63s" || got[1] > "a false sick 66s" || got[2] < "a true  102s" || got[2] > "a true  105s" {
			t.Errorf("%q", got)
		}
	})
	t.Run("a single failure is nothing", func(t *testing.T) {
		n := 0
		got, _ := play(t, check, script{"a": func(time.Duration) error {
			if n++; n%3 == 0 {
				return errSick
			}
			return nil
		}}, time.Hour, nil)
		equal(t, got, "a true  0s")
	})
}

// Failures that may last are told at once, and so is their end.
func TestSchedulerDown(t *testing.T) {
	patient := &service.Check{Interval: 10 * time.Second, Down: 10 * time.Minute}
	got, _ := play(t, patient, script{"a": func(d time.Duration) error {
		if d < 25*time.Second || d > time.Minute && d < 5*time.Minute {
			return errSick
		}
		return nil
	}}, 10*time.Minute, nil)
	if len(got) != 4 || got[0] != "a false sick 0s" || got[1] < "a true  25s" || got[1] > "a true  34s" || got[2] < "a false sick 60s" || got[2] > "a false sick 70s" {
		t.Errorf("%q", got)
	}
}

func TestSchedulerChanges(t *testing.T) {
	check := &service.Check{Interval: 10 * time.Second}
	t.Run("removed", func(t *testing.T) {
		_, rounds := play(t, check, script{"a": always(nil)}, time.Hour, func(s *Scheduler[string]) {
			time.Sleep(25 * time.Second) // simulated
			s.Remove("a")
			s.Remove("never there")
			if s.Len() != 0 {
				t.Error("still there")
			}
		})
		if rounds > 4 {
			t.Errorf("%d rounds", rounds)
		}
	})
	t.Run("added again", func(t *testing.T) {
		got, _ := play(t, check, script{"a": always(nil)}, time.Hour, func(s *Scheduler[string]) {
			time.Sleep(25 * time.Second) // simulated
			s.Add("a", check, Target{Address: "a"})
		})
		equal(t, got, "a true  0s", "a true  25s")
	})
}

// Instances that hang until their time-out do not hold up the others, whatever their number.
func TestHungChecks(t *testing.T) {
	check := &service.Check{Interval: 10 * time.Second}
	synctest.Test(t, func(t *testing.T) {
		up := map[int]time.Duration{}
		start := time.Now()
		var mu sync.Mutex
		s := NewScheduler(func(r Result[int]) {
			mu.Lock()
			defer mu.Unlock()
			if r.Health == service.Healthy {
				up[r.Key] = r.At.Sub(start)
			}
		})
		s.run = func(ctx context.Context, _ *service.Check, target Target) error {
			if target.Address == "hangs" {
				select {
				case <-ctx.Done():
				case <-time.After(DefaultTimeout):
				}
				return errSick
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for i := range 1000 {
			s.Add(-i-1, check, Target{Address: "hangs"})
		}
		for i := range 1000 {
			s.Add(i, check, Target{})
		}
		s.Run(ctx)
		if len(up) != 1000 {
			t.Fatalf("%d of 1000 became healthy", len(up))
		}
		for i, d := range up {
			if d > 2*time.Second {
				t.Fatalf("instance %d was held up for %v", i, d)
			}
		}
		if len(s.prompt) != 0 || len(s.slow) != 0 {
			t.Errorf("%d and %d places were not given back", len(s.prompt), len(s.slow))
		}
	})
}

// Removing a check ends the round that is under way.
func TestRemoveCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler(func(r Result[int]) { t.Errorf("reported %+v", r) })
		ended := false
		s.run = func(ctx context.Context, _ *service.Check, _ Target) error {
			<-ctx.Done()
			ended = true
			return ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		s.Add(1, &service.Check{Failures: 1}, Target{})
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		time.Sleep(time.Second) // simulated
		s.Remove(1)
		synctest.Wait()
		if !ended {
			t.Error("the round goes on")
		}
		cancel()
		<-done
	})
}

// Real listeners, with checks added and removed from several sides.
func TestConcurrentUse(t *testing.T) {
	_, port := listen(t)
	var reports atomic.Int32
	s := NewScheduler(func(Result[int]) { reports.Add(1) })
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { s.Run(ctx) })
	var users sync.WaitGroup
	for u := range 4 {
		users.Go(func() {
			for i := range 100 {
				s.Add(u*1000+i, &service.Check{TCP: port}, Target{Address: "127.0.0.1"})
				if i%2 == 0 {
					s.Remove(u*1000 + i)
				}
			}
		})
	}
	users.Wait()
	deadline, tick := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for reports.Load() < 200 {
		select {
		case <-deadline:
			t.Fatalf("%d reports", reports.Load())
		case <-tick.C:
		}
	}
	cancel()
	all.Wait()
	if s.Len() != 200 {
		t.Errorf("%d checks", s.Len())
	}
}

// Whatever the outcomes: a change is told only when the row is long enough, and never the same twice.
func TestTally(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		check := &service.Check{
			Interval: time.Duration(rapid.IntRange(0, 20).Draw(rt, "interval")) * time.Second, StartPeriod: time.Duration(rapid.IntRange(0, 60).Draw(rt, "start")) * time.Second,
			Failures: rapid.IntRange(0, 5).Draw(rt, "failures"), Successes: rapid.IntRange(0, 5).Draw(rt, "successes"),
			Down: rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(rt, "down"),
		}
		var tl tally
		var since time.Duration
		last, row := service.Unchecked, 0
		var before bool
		for i, ok := range rapid.SliceOfN(rapid.Bool(), 1, 100).Draw(rt, "outcomes") {
			if i == 0 || ok != before {
				row = 0
			}
			before = ok
			row++
			changed := tl.observe(check, ok, since)
			if changed == (tl.health == last) {
				rt.Fatalf("changed %v from %v to %v", changed, last, tl.health)
			}
			if changed && tl.health == service.Healthy && (!ok || row < orDefault(check.Successes, 1)) {
				rt.Fatalf("healthy after %d", row)
			}
			if changed && tl.health == service.Unhealthy && (ok || row < orDefault(check.Failures, 3)) {
				rt.Fatalf("unhealthy after %d", row)
			}
			if changed && tl.health == service.Ailing && (ok || check.Down == 0) {
				rt.Fatalf("ailing after %v", ok)
			}
			if tl.health == service.Unhealthy && check.Down > 0 && check.Failures == 0 {
				rt.Fatalf("unhealthy by a number of failures")
			}
			if ok && row >= orDefault(check.Successes, 1) && tl.health != service.Healthy {
				rt.Fatalf("not healthy after %d good rounds", row)
			}
			last = tl.health
			pause := tl.pause(check)
			if pause <= 0 || pause > interval(check) {
				rt.Fatalf("pause %v", pause)
			}
			since += pause
		}
	})
}

func BenchmarkIdleCheck(b *testing.B) {
	check := &service.Check{TCP: ":80", Interval: time.Hour}
	var before, after runtime.MemStats
	const n = 100_000
	for b.Loop() {
		s := NewScheduler(func(Result[int]) {})
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			s.Add(i, check, Target{Address: "127.0.0.1"})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(s)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/check")
}

func BenchmarkRound(b *testing.B) {
	check := &service.Check{TCP: ":80", Interval: time.Nanosecond}
	ctx, cancel := context.WithCancel(b.Context())
	s := NewScheduler(func(Result[int]) {})
	count := 0
	var mu sync.Mutex
	s.run = func(context.Context, *service.Check, Target) error {
		mu.Lock()
		defer mu.Unlock()
		if count++; count == b.N {
			cancel()
		}
		return nil
	}
	for i := range 1000 {
		s.Add(i, check, Target{})
	}
	b.ResetTimer()
	b.ReportAllocs()
	s.Run(ctx)
}
