package driver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A script is a driver whose calls do what the test says.
type script struct {
	do    func(ctx context.Context, call string, id driver.MachineID) error
	items int           // of a list
	gap   time.Duration // before each of them
	calls atomic.Int64
}

func (s *script) run(ctx context.Context, call string, id driver.MachineID) error {
	s.calls.Add(1)
	if s.do == nil {
		return nil
	}
	return s.do(ctx, call, id)
}

func (s *script) Create(ctx context.Context, req driver.Request) (driver.Machine, error) {
	return driver.Machine{ID: req.ID}, s.run(ctx, "create", req.ID)
}

func (s *script) Destroy(ctx context.Context, ref driver.Ref, _ driver.Shutdown) error {
	return s.run(ctx, "destroy", ref.ID)
}

func (s *script) List(ctx context.Context) iter.Seq2[driver.Machine, error] {
	return func(yield func(driver.Machine, error) bool) {
		for i := range s.items {
			if err := idle(ctx, s.gap); err != nil {
				yield(driver.Machine{}, err)
				return
			}
			if !yield(driver.Machine{ID: driver.MachineID(fmt.Sprint(i))}, nil) {
				return
			}
		}
		if err := s.run(ctx, "list", ""); err != nil {
			yield(driver.Machine{}, err)
		}
	}
}

// An actor is a script that is an Actor and a Watcher too, and nothing else.
type actor struct{ script }

func (a *actor) Act(ctx context.Context, ref driver.Ref, _ driver.Action, _, _ string) error {
	return a.run(ctx, "act", ref.ID)
}

func (a *actor) Watch(ctx context.Context, _ func(driver.Machine)) error {
	return a.run(ctx, "watch", "")
}

// everything is a script with all optional interfaces.
type everything struct{ actor }

func (e *everything) Logs(ctx context.Context, ref driver.Ref, _ driver.LogOptions) (driver.LogReader, error) {
	return io.NopCloser(strings.NewReader("x")), e.run(ctx, "logs", ref.ID)
}
func (e *everything) Exec(ctx context.Context, ref driver.Ref, _ driver.Command) (int, error) {
	return 4, e.run(ctx, "exec", ref.ID)
}
func (e *everything) Refresh(ctx context.Context, ref driver.Ref, _ []driver.File) error {
	return e.run(ctx, "refresh", ref.ID)
}
func (e *everything) RemoveData(ctx context.Context, _ string) error {
	return e.run(ctx, "remove-data", "")
}
func (e *everything) Stamp(ctx context.Context, ref driver.Ref, _ uint64) error {
	return e.run(ctx, "stamp", ref.ID)
}
func (e *everything) Measure(ctx context.Context) iter.Seq2[driver.Figures, error] {
	return func(yield func(driver.Figures, error) bool) {
		if err := e.run(ctx, "measure", ""); err != nil {
			yield(driver.Figures{}, err)
			return
		}
		yield(driver.Figures{ID: "1"}, nil)
	}
}

func (e *everything) MakeResource(ctx context.Context, req driver.ResourceRequest) (driver.Resource, error) {
	return driver.Resource{ID: req.ID}, e.run(ctx, "make-resource", req.ID)
}
func (e *everything) RemoveResource(ctx context.Context, ref driver.Ref) error {
	return e.run(ctx, "remove-resource", ref.ID)
}
func (e *everything) ListResources(ctx context.Context) iter.Seq2[driver.Resource, error] {
	return func(yield func(driver.Resource, error) bool) {
		if err := e.run(ctx, "list-resources", ""); err != nil {
			yield(driver.Resource{}, err)
			return
		}
		yield(driver.Resource{ID: "1-r1"}, nil)
	}
}

func idle(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func hang(ctx context.Context, _ string, _ driver.MachineID) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAsThroughWrappers(t *testing.T) {
	token := &driver.Kind{Guarantee: driver.Token}
	plain := driver.Wrap(driver.Order(&script{}), token, driver.WrapOptions{})
	some := driver.Wrap(driver.Order(&actor{}), token, driver.WrapOptions{})
	e := &everything{}
	full := driver.Wrap(driver.Order(e), token, driver.WrapOptions{})
	for i, d := range []driver.Driver{plain, some, full} {
		got := []bool{
			has[driver.Actor](d), has[driver.Watcher](d), has[driver.Logger](d), has[driver.Prober](d),
			has[driver.Refresher](d), has[driver.DataKeeper](d), has[driver.Measurer](d), has[driver.Stamper](d),
			has[driver.Resourcer](d),
		}
		for j, ok := range got {
			if want := i == 2 || i == 1 && j < 2; ok != want {
				t.Errorf("driver %d, interface %d: found %t, want %t", i, j, ok, want)
			}
		}
	}
	if inner, ok := driver.As[*everything](full); !ok || inner != e {
		t.Error("As does not find the driver itself")
	}

	// Each optional call goes through the wrappers and comes out as it went in.
	var seen []string
	ctx := t.Context()
	d := driver.Intercept(full, func(ctx context.Context, call *driver.Call, do func(context.Context) error) error {
		seen = append(seen, call.Name)
		return do(ctx)
	})
	err := errors.Join(
		as[driver.Actor](d).Act(ctx, driver.Ref{}, driver.Stop, "", ""), as[driver.Watcher](d).Watch(ctx, nil),
		as[driver.Refresher](d).Refresh(ctx, driver.Ref{}, nil), as[driver.DataKeeper](d).RemoveData(ctx, "x"),
		as[driver.Stamper](d).Stamp(ctx, driver.Ref{}, 1),
	)
	r := as[driver.Resourcer](d)
	_, err1 := r.MakeResource(ctx, driver.ResourceRequest{ID: "1-r1"})
	err = errors.Join(err, err1, r.RemoveResource(ctx, driver.Ref{}))
	for x, e := range r.ListResources(ctx) {
		if x.ID != "1-r1" || e != nil {
			t.Errorf("list resources: %v, %v", x, e)
		}
	}
	exit, err2 := as[driver.Prober](d).Exec(ctx, driver.Ref{}, driver.Command{})
	_, err3 := as[driver.Logger](d).Logs(ctx, driver.Ref{}, driver.LogOptions{})
	for f, err := range as[driver.Measurer](d).Measure(ctx) {
		if f.ID != "1" || err != nil {
			t.Errorf("measure: %v, %v", f, err)
		}
	}
	if errors.Join(err, err2, err3) != nil || exit != 4 {
		t.Errorf("exit %d, errors %v", exit, errors.Join(err, err2, err3))
	}
	if got := strings.Join(seen, " "); got != "act watch refresh remove-data stamp make-resource remove-resource list-resources exec logs measure" || e.calls.Load() != 11 {
		t.Errorf("seen %s; %d calls arrived", got, e.calls.Load())
	}
}

func has[T any](d driver.Driver) bool { _, ok := driver.As[T](d); return ok }
func as[T any](d driver.Driver) T     { t, _ := driver.As[T](d); return t }

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &everything{}
		e.do = hang
		d := driver.Deadline(e, 10*time.Second)
		began := time.Now()
		_, err := d.Create(t.Context(), driver.Request{})
		if !errors.Is(err, driver.ErrUnavailable) || driver.Class(err) != "timeout" || time.Since(began) != 10*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if driver.Definite(err) {
			t.Error("a time-out is definite")
		}

		began = time.Now()
		err = d.Destroy(t.Context(), driver.Ref{}, driver.Graceful)
		if driver.Class(err) != "timeout" || time.Since(began) != 100*time.Second {
			t.Errorf("a graceful removal after %s: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began = time.Now()
		if err = d.Destroy(ctx, driver.Ref{}, driver.Graceful); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Hour {
			t.Errorf("a graceful removal with a deadline of its own after %s: %v", time.Since(began), err)
		}

		stream, stop := context.WithCancel(t.Context())
		time.AfterFunc(24*time.Hour, stop)
		began = time.Now()
		if err = as[driver.Watcher](d).Watch(stream, nil); !errors.Is(err, context.Canceled) || time.Since(began) != 24*time.Hour {
			t.Errorf("a watch after %s: %v", time.Since(began), err)
		}
	})
}

func TestDeadlineOfList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{items: 100, gap: 5 * time.Second}
		d := driver.Deadline(s, 10*time.Second)
		n := 0
		for _, err := range d.List(t.Context()) {
			if err != nil {
				t.Fatalf("a list that gets on was cut off: %v", err)
			}
			if n++; n == 50 {
				time.Sleep(time.Hour) // the consumer's time is its own
			}
		}
		if n != 100 {
			t.Errorf("%d items", n)
		}
		s.gap = time.Minute
		began := time.Now()
		for _, err := range d.List(t.Context()) {
			if driver.Class(err) != "timeout" || time.Since(began) > 20*time.Second {
				t.Errorf("a list that stands still: %v after %s", err, time.Since(began))
			}
		}
	})
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		e := &everything{}
		e.do = func(ctx context.Context, call string, _ driver.MachineID) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			return idle(ctx, time.Second)
		}
		d := driver.Limit(e, 8)
		var wg sync.WaitGroup
		for range 600 {
			wg.Go(func() {
				if _, err := d.Create(t.Context(), driver.Request{}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if most.Load() != 6 {
			t.Errorf("%d creates at a time, want 6 of 8", most.Load())
		}
		began := time.Now()
		wg.Go(func() {
			if err := d.Destroy(t.Context(), driver.Ref{}, driver.Hard); err != nil || time.Since(began) > 2*time.Second {
				t.Errorf("a removal stood %s behind the creates: %v", time.Since(began), err)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := d.Create(ctx, driver.Request{})
		if !errors.Is(err, driver.ErrUnasked) || !errors.Is(err, context.DeadlineExceeded) || !driver.Definite(err) {
			t.Errorf("a create that gave up in the queue: %v", err)
		}
		wg.Wait()
		if took := time.Since(began); took != 100*time.Second {
			t.Errorf("600 creates of a second, 6 at a time, took %s", took)
		}
		e.do = hang
		streams, stop := context.WithCancel(t.Context())
		for range 20 {
			wg.Go(func() { _ = as[driver.Watcher](d).Watch(streams, nil) })
		}
		synctest.Wait()
		e.items = 3
		ctx, cancel2 := context.WithCancel(t.Context())
		for range d.List(ctx) { // its consumer makes calls of its own
			e.do = nil
			if err := d.Destroy(t.Context(), driver.Ref{}, driver.Hard); err != nil {
				t.Error(err)
			}
		}
		cancel2()
		stop()
		wg.Wait()
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := driver.Pace(&script{}, 2, 3)
		began := time.Now()
		for range 9 {
			if err := d.Destroy(t.Context(), driver.Ref{}, driver.Hard); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("9 calls, 3 at once and 2 a second, took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := d.Create(ctx, driver.Request{}); !errors.Is(err, driver.ErrThrottled) || !driver.Definite(err) {
			t.Errorf("a call whose turn comes too late: %v", err)
		}
	})
}

func TestRetry(t *testing.T) {
	down := fmt.Errorf("libfoo: %w: connection reset", driver.ErrUnavailable)
	refused := fmt.Errorf("libfoo: %w: %w: connection refused", driver.ErrUnavailable, driver.ErrUnasked)
	full := fmt.Errorf("libfoo: %w: quota", driver.ErrCapacity)
	for _, tt := range []struct {
		name      string
		guarantee driver.Guarantee
		answers   []error // then nil
		calls     int64
		class     string
		definite  bool
	}{
		{"works", driver.Token, nil, 1, "", false},
		{"works again", driver.Token, []error{down, down}, 3, "", false},
		{"does not work", driver.Token, []error{down, down, down, down}, 3, "unavailable", false},
		{"no guarantee", driver.None, []error{down}, 1, "unavailable", false},
		{"no guarantee, not asked", driver.None, []error{refused}, 2, "", false},
		{"definite", driver.Token, []error{full}, 1, "capacity", true},
		{"definite after doubt", driver.Token, []error{down, full}, 2, "unavailable", false},
		{"definite after no doubt", driver.Token, []error{refused, full}, 2, "capacity", true},
		{"not asked after doubt", driver.Token, []error{down, refused, refused}, 3, "unavailable", false},
		{"no class", driver.Token, []error{io.ErrUnexpectedEOF}, 1, "other", false},
		{"back later", driver.Token, []error{driver.Throttled(20*time.Second, "slow down")}, 2, "", false},
		{"back much later", driver.Token, []error{driver.Throttled(time.Hour, "slow down")}, 1, "throttled", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{}
			s.do = func(context.Context, string, driver.MachineID) error {
				if n := int(s.calls.Load()); n <= len(tt.answers) {
					return tt.answers[n-1]
				}
				return nil
			}
			began := time.Now()
			_, err := driver.Retry(s, tt.guarantee, 3).Create(t.Context(), driver.Request{})
			if driver.Class(err) != tt.class || driver.Definite(err) != tt.definite || s.calls.Load() != tt.calls {
				t.Errorf("%s: %d calls, then %v (definite: %t)", tt.name, s.calls.Load(), err, driver.Definite(err))
			}
			if len(tt.answers) > 0 && err != nil {
				if words := tt.answers[s.calls.Load()-1].Error(); !strings.Contains(err.Error(), words) {
					t.Errorf("%s: %v lacks the back end's words", tt.name, err)
				}
			}
			if took := time.Since(began); tt.name == "back later" && took != 20*time.Second || took > 21*time.Second {
				t.Errorf("%s: it took %s", tt.name, took)
			}
		})
	}
}

func TestRetryOfOtherCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &everything{}
		e.do = func(context.Context, string, driver.MachineID) error { return driver.ErrUnavailable }
		d := driver.Retry(e, driver.None, 3)
		a := as[driver.Actor](d)
		for name, tt := range map[string]struct {
			call func() error
			want int64
		}{
			"destroy":           {func() error { return d.Destroy(t.Context(), driver.Ref{}, driver.Hard) }, 3},
			"act":               {func() error { return a.Act(t.Context(), driver.Ref{}, driver.Stop, "", "token") }, 3},
			"act without token": {func() error { return a.Act(t.Context(), driver.Ref{}, driver.Stop, "", "") }, 1},
			"watch":             {func() error { return as[driver.Watcher](d).Watch(t.Context(), nil) }, 1},
			"list": {func() (last error) {
				for _, last = range d.List(t.Context()) {
				}
				return last
			}, 3},
		} {
			e.calls.Store(0)
			if err := tt.call(); !errors.Is(err, driver.ErrUnavailable) || e.calls.Load() != tt.want {
				t.Errorf("%s: %d calls, then %v", name, e.calls.Load(), err)
			}
		}
		n := 0
		e.items = 2
		e.calls.Store(0)
		for range d.List(t.Context()) {
			n++
		}
		if n != 3 || e.calls.Load() != 1 {
			t.Errorf("a list that broke after 2 items: %d yields, %d calls", n, e.calls.Load())
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		e.calls.Store(0)
		if err := d.Destroy(ctx, driver.Ref{}, driver.Hard); !errors.Is(err, driver.ErrUnavailable) || e.calls.Load() > 2 {
			t.Errorf("a caller that gave up: %v after %d calls", err, e.calls.Load())
		}
	})
}

func TestBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := fmt.Errorf("%w: no route", driver.ErrUnavailable)
		s := &script{do: func(context.Context, string, driver.MachineID) error { return answer }}
		d := driver.Break(s, 3, 10*time.Second)
		call := func() error { return d.Destroy(t.Context(), driver.Ref{}, driver.Hard) }
		open := func(err error) bool { _, ok := errors.AsType[*driver.OpenError](err); return ok }

		for range 3 {
			if open(call()) {
				t.Error("open before three failures")
			}
		}
		_, err := d.Create(t.Context(), driver.Request{})
		if !open(err) || !errors.Is(err, driver.ErrUnavailable) || !driver.Definite(err) || !strings.Contains(err.Error(), "no route") {
			t.Errorf("after three failures: %v", err)
		}
		if s.calls.Load() != 3 {
			t.Errorf("%d calls reached the back end", s.calls.Load())
		}
		time.Sleep(10 * time.Second)
		if open(call()) || !open(call()) {
			t.Error("after the rest one call should go through, and fail")
		}
		time.Sleep(15 * time.Second)
		if !open(call()) {
			t.Error("the second rest is not longer")
		}
		time.Sleep(5 * time.Second)
		answer = nil
		for range 2 {
			if call() != nil {
				t.Error("closed, it refuses calls")
			}
		}

		answer = fmt.Errorf("%w: full", driver.ErrCapacity)
		for range 10 {
			if open(call()) {
				t.Error("opened by refusals: the back end answers")
			}
		}

		// While one call probes, the others are refused; if its caller gives up, the next one probes.
		answer = driver.ErrUnavailable
		for range 3 {
			_ = call()
		}
		time.Sleep(10 * time.Second)
		s.do = hang
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.Destroy(ctx, driver.Ref{}, driver.Hard) }()
		synctest.Wait()
		if !open(call()) {
			t.Error("two calls probe at once")
		}
		cancel()
		<-ended
		s.do = nil
		if err := call(); err != nil {
			t.Errorf("after the probe was given up: %v", err)
		}
	})
}

func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &everything{}
		e.do = func(ctx context.Context, _ string, _ driver.MachineID) error {
			return errors.Join(idle(ctx, time.Second), driver.ErrCapacity)
		}
		var text bytes.Buffer
		var seen []string
		d := driver.Trace(e, slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})),
			func(call string, took time.Duration, err error) {
				seen = append(seen, fmt.Sprint(call, " ", took, " ", driver.Class(err)))
			})
		_ = as[driver.Actor](d).Act(t.Context(), driver.Ref{ID: "1-2-3"}, driver.Stop, "", "")
		if strings.Join(seen, ";") != "act 1s capacity" {
			t.Errorf("observed %q", seen)
		}
		for _, want := range []string{"level=DEBUG", "call=act", "machine=1-2-3", "action=stop", "took=1s", "class=capacity"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("the log lacks %s: %s", want, &text)
			}
		}
	})
}

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		var mu sync.Mutex
		note := func(s string) { mu.Lock(); log = append(log, s); mu.Unlock() }
		s := &script{do: func(ctx context.Context, call string, id driver.MachineID) error {
			note("begin " + call + " " + string(id))
			var err error
			switch {
			case call == "create":
				<-ctx.Done()
				time.Sleep(time.Second) // the back end takes its time to notice
				err = ctx.Err()
			case id == "1":
				err = idle(ctx, time.Second)
			}
			note("end " + call + " " + string(id))
			return err
		}}
		d := driver.Order(s)
		var wg sync.WaitGroup
		other, cancel := context.WithCancel(t.Context())
		for _, c := range []struct {
			ctx context.Context
			id  driver.MachineID
		}{{t.Context(), "1"}, {t.Context(), "1"}, {other, "2"}} {
			wg.Go(func() {
				if _, err := d.Create(c.ctx, driver.Request{ID: c.id}); !errors.Is(err, context.Canceled) {
					t.Errorf("create %s: %v", c.id, err)
				}
			})
		}
		synctest.Wait()
		wg.Go(func() {
			if err := d.Destroy(t.Context(), driver.Ref{ID: "1"}, driver.Hard); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if _, err := d.Create(t.Context(), driver.Request{ID: "1"}); !errors.Is(err, context.Canceled) || !driver.Definite(err) {
			t.Errorf("a create during the removal: %v", err)
		}
		time.Sleep(10 * time.Second)
		cancel()
		wg.Wait()
		want := "begin create 1|begin create 1|begin create 2|end create 1|end create 1|begin destroy 1|end destroy 1|end create 2"
		log[0], log[1], log[2] = "begin create 1", "begin create 1", "begin create 2" // these three begin in any order
		if got := strings.Join(log, "|"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// An open circuit refuses at once what would otherwise queue, and what queues already soon after.
func TestWrapInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{do: hang}
		k := &driver.Kind{Guarantee: driver.Token, Limits: driver.Limits{Concurrency: 4, Deadline: 10 * time.Second, Rate: 100}}
		d := driver.Wrap(s, k, driver.WrapOptions{Failures: 3, Attempts: 1, Rest: time.Minute})
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				_, err := d.Create(t.Context(), driver.Request{ID: driver.MachineID(fmt.Sprint(i))})
				if !errors.Is(err, driver.ErrUnavailable) {
					t.Errorf("create: %v", err)
				}
			})
		}
		wg.Wait()
		// A slot that the first failures set free may be taken before the last of them is counted.
		if took := time.Since(began); took > 21*time.Second {
			t.Errorf("1000 creates failed after %s", took)
		}
		if n := s.calls.Load(); n > 8 {
			t.Errorf("%d calls reached the back end", n)
		}
		began = time.Now()
		if err := d.Destroy(t.Context(), driver.Ref{}, driver.Hard); err == nil || time.Since(began) != 0 {
			t.Errorf("a call during the outage after %s: %v", time.Since(began), err)
		}
	})
}

func TestClass(t *testing.T) {
	for want, err := range map[string]error{
		"": nil, "other": io.EOF, "cancelled": context.Canceled, "timeout": context.DeadlineExceeded,
		"capacity": fmt.Errorf("a: %w", driver.ErrCapacity), "throttled": driver.Throttled(0, "slow down"),
		"not-found": driver.ErrNotFound, "unsupported": driver.ErrUnsupported, "denied": driver.ErrDenied,
		"invalid": &driver.OptionError{Option: "a", Problem: "b"}, "unavailable": &driver.OpenError{},
	} {
		if got := driver.Class(err); got != want {
			t.Errorf("%v is of class %q, want %q", err, got, want)
		}
	}
}
