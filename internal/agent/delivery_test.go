package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeTarget answers with what answer says, and keeps the names of measurements that it took.
type fakeTarget struct {
	answer func(ctx context.Context, names []string) error
	mu     sync.Mutex
	posts  []time.Time
	taken  []string
}

// seen returns when there were requests, and what was taken.
func (f *fakeTarget) seen() ([]time.Time, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.posts), slices.Clone(f.taken)
}

func (f *fakeTarget) String() string { return "a test" }

func (f *fakeTarget) post(ctx context.Context, body []byte) error {
	f.mu.Lock()
	f.posts = append(f.posts, time.Now())
	f.mu.Unlock()
	var list []Measurement
	if err := json.Unmarshal(body, &list); err != nil {
		panic(err)
	}
	var names []string
	for _, m := range list {
		names = append(names, m.Name)
	}
	if f.answer != nil {
		if err := f.answer(ctx, names); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken = append(f.taken, names...)
	return nil
}

func newDelivery(to target, bound int, log *bytes.Buffer) *delivery {
	return &delivery{target: to, backlog: newBacklog(bound), log: slog.New(slog.NewTextHandler(log, nil))}
}

func (d *delivery) report(t *testing.T, names ...string) {
	t.Helper()
	r := &report{time: time.Now()}
	for _, n := range names {
		r.add(n, 1)
	}
	lines, err := encode(r.list)
	if err != nil {
		t.Fatal(err)
	}
	d.backlog.add(lines, len(r.list))
}

// deliver runs the delivery beside a test and ends it.
func deliver(t *testing.T, d *delivery, during func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.run(ctx) }()
	synctest.Wait()
	during()
	cancel()
	<-done
}

func TestDeliveryThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		to := &fakeTarget{answer: func(context.Context, []string) error {
			if down.Load() {
				return errors.New("connection refused")
			}
			return nil
		}}
		var log bytes.Buffer
		d := newDelivery(to, 100_000, &log)
		deliver(t, d, func() {
			var made []string
			for i := range 600 { // ten minutes, a report of three a second
				names := []string{fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i), fmt.Sprintf("c%d", i)}
				made = append(made, names...)
				d.report(t, names...)
				time.Sleep(time.Second)
			}
			synctest.Wait()
			posts, _ := to.seen()
			if tries := len(posts); tries < 10 || tries > 50 {
				t.Errorf("%d tries in ten minutes of outage", tries)
			}
			down.Store(false)
			time.Sleep(2 * longestPause)
			synctest.Wait()
			_, taken := to.seen()
			if len(taken) != len(made) {
				t.Fatalf("%d of %d arrived", len(taken), len(made))
			}
			if !slices.Contains(taken[:batchSize], "c599") || slices.Contains(taken[:batchSize-1], "a0") {
				t.Errorf("the newest did not go first, but %s", taken[0])
			}
			slices.Sort(made)
			slices.Sort(taken)
			if !slices.Equal(made, taken) {
				t.Error("not all arrived, or some twice")
			}
		})
		if text := log.String(); strings.Count(text, "cannot deliver") > 12 || !strings.Contains(text, "delivers again") {
			t.Errorf("the log says\n%s", text)
		}
	})
}

func TestDeliveryBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		to := &fakeTarget{answer: func(context.Context, []string) error {
			if down.Load() {
				return &AnswerError{Status: 503}
			}
			return nil
		}}
		var log bytes.Buffer
		d := newDelivery(to, 10, &log)
		deliver(t, d, func() {
			for i := range 100 {
				d.report(t, fmt.Sprintf("m%02d", i))
				time.Sleep(time.Second)
			}
			down.Store(false)
			time.Sleep(2 * longestPause)
			synctest.Wait()
			_, taken := to.seen()
			if len(taken) != 10 || !slices.Contains(taken, "m99") || !slices.Contains(taken, "m90") {
				t.Errorf("arrived: %v", taken)
			}
		})
	})
}

func TestDeliveryOfAHangingTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		hangs.Store(true)
		to := &fakeTarget{answer: func(ctx context.Context, _ []string) error {
			if hangs.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		var log bytes.Buffer
		d := newDelivery(to, 100, &log)
		deliver(t, d, func() {
			d.report(t, "a")
			time.Sleep(postTimeout / 2)
			hangs.Store(false)
			d.report(t, "b")
			time.Sleep(postTimeout)
			synctest.Wait()
			_, taken := to.seen()
			if !slices.Equal(taken, []string{"a", "b"}) {
				t.Errorf("arrived: %v", taken)
			}
		})
	})
}

func TestDeliveryWaitsAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		to := &fakeTarget{answer: func(context.Context, []string) error {
			if first {
				first = false
				return &AnswerError{Status: 429, After: time.Minute}
			}
			return nil
		}}
		var log bytes.Buffer
		d := newDelivery(to, 100, &log)
		deliver(t, d, func() {
			d.report(t, "a")
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			posts, _ := to.seen()
			if len(posts) != 2 || posts[1].Sub(posts[0]) < time.Minute {
				t.Errorf("posted at %v", posts)
			}
		})
	})
}

func TestDeliveryDropsOnlyWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &fakeTarget{answer: func(_ context.Context, names []string) error {
			if slices.Contains(names, "bad") {
				return &AnswerError{Status: 422, Text: "no good, in metric bad"}
			}
			return nil
		}}
		var log bytes.Buffer
		d := newDelivery(to, 1000, &log)
		deliver(t, d, func() {
			var names []string
			for i := range 200 {
				names = append(names, fmt.Sprintf("m%d", i))
			}
			names[123] = "bad"
			d.report(t, names...)
			synctest.Wait()
			posts, taken := to.seen()
			want := slices.Delete(names, 123, 124)
			if !slices.Equal(taken, want) {
				t.Errorf("%d arrived, %d are good", len(taken), len(want))
			}
			if len(posts) > 2*maxRefusals {
				t.Errorf("%d requests to find one", len(posts))
			}
			if d.backlog.waiting() != 0 {
				t.Error("what is refused is kept")
			}
		})
		if !strings.Contains(log.String(), "refused and dropped") {
			t.Errorf("the log says\n%s", &log)
		}
	})
}

func TestDeliveryOfWhatIsLeftAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &fakeTarget{}
		var log bytes.Buffer
		d := newDelivery(to, 1000, &log)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d.report(t, "last")
		d.run(ctx)
		_, taken := to.seen()
		if !slices.Equal(taken, []string{"last"}) {
			t.Errorf("arrived: %v", taken)
		}
	})
}

// The schedule: a report each interval, and what checks found in the next.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := New(&Config{Interval: 2 * time.Second, Hostname: "h", Collect: []string{"agent"}}, Options{Print: true})
		if err != nil {
			t.Fatal(err)
		}
		a.probes = []probe{&fakeProbe{}}
		began := time.Now()
		var times []time.Duration
		found := 0
		err = a.Print(t.Context(), 5, func(list []Measurement) error {
			times = append(times, time.Since(began))
			for _, m := range list {
				if m.Name == "fake" {
					found++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{2e9, 4e9, 6e9, 8e9, 10e9}; !slices.Equal(times, want) {
			t.Errorf("reports at %v, want %v", times, want)
		}
		// The second run of the probe hangs until its time is over, and delays no report.
		if found < 4 {
			t.Errorf("checks were found %d times", found)
		}
	})
}

type fakeProbe struct{ runs int }

func (p *fakeProbe) timing() (interval, timeout time.Duration) {
	return 1500 * time.Millisecond, 3 * time.Second
}
func (p *fakeProbe) subject() string { return "fake" }

func (p *fakeProbe) run(ctx context.Context, r *report) error {
	if p.runs++; p.runs == 2 {
		<-ctx.Done()
	}
	r.add("fake", 1)
	return ctx.Err()
}
