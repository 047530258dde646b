package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a directory, a queue, a transport and an observer that remember.
type world struct {
	mu        sync.Mutex
	methods   map[string]*Method
	sequences map[string]uint64
	records   map[string]Delivery
	broken    error // of the queue
	got       []string
	answer    func(ctx context.Context, m *Method, d *Delivery) error // nil: everything arrives
	inFlight  map[string]int
	most      map[string]int // at the same time
	events    []string
}

func newWorld(methods ...string) *world {
	w := &world{methods: map[string]*Method{}, sequences: map[string]uint64{}, records: map[string]Delivery{}, inFlight: map[string]int{}, most: map[string]int{}}
	for _, id := range methods {
		w.methods[id] = &Method{ID: id, Tenant: 1, Name: id, Type: Webhook, Address: "http://" + id + ".test/"}
	}
	return w
}

func (w *world) Method(_ int, id string) *Method {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.methods[id]; m != nil {
		copied := *m
		return &copied
	}
	return nil
}

func (w *world) Sequence(_ int, alarm string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sequences[alarm]
}

func (w *world) Load(_ context.Context, each func(Delivery) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(w.records)) {
		if err := each(w.records[id]); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Apply(_ context.Context, write, remove []Delivery) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	for _, d := range write {
		w.records[d.ID] = d
	}
	for _, d := range remove {
		delete(w.records, d.ID)
	}
	return nil
}

func (w *world) Send(ctx context.Context, m *Method, d *Delivery) error {
	w.mu.Lock()
	w.inFlight[m.ID]++
	w.inFlight["all"]++
	w.most[m.ID] = max(w.most[m.ID], w.inFlight[m.ID])
	w.most["all"] = max(w.most["all"], w.inFlight["all"])
	answer := w.answer
	w.mu.Unlock()
	var err error
	if answer != nil {
		err = answer(ctx, m, d)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight[m.ID]--
	w.inFlight["all"]--
	if err == nil {
		w.got = append(w.got, m.ID+":"+d.EventID())
	}
	return err
}

func (w *world) Sent(d *Delivery, _ Type, try, latency time.Duration) {
	w.note("sent %s after %v", d.EventID(), latency.Round(time.Second))
}
func (w *world) Failed(d *Delivery, _ Type, _ time.Duration, err error) {
	w.note("failed %s: %v", d.EventID(), err)
}
func (w *world) Dead(d *Delivery) { w.note("dead %s: %s", d.EventID(), d.Reason) }

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf(format, args...))
}

func (w *world) arrived() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.got, " ")
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) kept() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.records)
}

func (w *world) open(t *testing.T, change ...func(*Options)) *Sender {
	t.Helper()
	o := Options{Queue: w, Directory: w, Transports: map[Type]Transport{Webhook: w}, Observer: w, Jitter: func() float64 { return 0 }}
	for _, f := range change {
		f(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// change makes the delivery of a change of an alarm, as the commit of the transition would.
func (w *world) change(alarm string, sequence uint64, method string) Delivery {
	d := NewDelivery(&Message{Event: EventID(alarm, sequence), Sequence: sequence, Alarm: alarm, Time: time.Now(), State: Alarm}, 1, method, time.Now())
	w.set(func() {
		w.records[d.ID] = d
		w.sequences[alarm] = max(w.sequences[alarm], sequence)
	})
	return d
}

// within runs f in a bubble with a Sender that is closed afterwards.
func within(t *testing.T, w *world, f func(t *testing.T, s *Sender), change ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := w.open(t, change...)
		defer s.Close()
		f(t, s)
	})
}

func TestSend(t *testing.T) {
	w := newWorld("hook")
	within(t, w, func(t *testing.T, s *Sender) {
		d := w.change("a", 1, "hook")
		s.Add(d)
		s.Add(d) // a commit that was answered twice
		synctest.Wait()
		if w.arrived() != "hook:a-1" || w.kept() != 0 || s.Stats() != (Stats{}) {
			t.Errorf("got %q, %d records, %+v", w.arrived(), w.kept(), s.Stats())
		}
	})
}

// TestOrder: a later change of an alarm waits for the earlier; those of other alarms do not.
func TestOrder(t *testing.T) {
	w := newWorld("hook")
	fails := 3
	w.answer = func(_ context.Context, _ *Method, d *Delivery) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if d.Message.Alarm == "a" && fails > 0 {
			fails--
			return errors.New("answered 500")
		}
		return nil
	}
	within(t, w, func(t *testing.T, s *Sender) {
		s.Add(w.change("a", 1, "hook"), w.change("a", 3, "hook"), w.change("a", 2, "hook"), w.change("b", 1, "hook"))
		synctest.Wait()
		if got := w.arrived(); got != "hook:b-1" {
			t.Fatalf("got %q", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.arrived(); got != "hook:b-1 hook:a-1 hook:a-2 hook:a-3" {
			t.Errorf("got %q", got)
		}
		if w.kept() != 0 {
			t.Errorf("%d records are left", w.kept())
		}
		w.events = slices.DeleteFunc(w.events, func(e string) bool { return strings.Contains(e, "b-1") })
		want := strings.Repeat("failed a-1: answered 500, ", 3) + "sent a-1 after 7s, sent a-2 after 7s, sent a-3 after 7s"
		if got := strings.Join(w.events, ", "); got != want {
			t.Errorf("events %s", got)
		}
	})
}

// hang answers after five seconds with a failure, as a time-out does, for methods with the prefix.
func hang(prefix string) func(context.Context, *Method, *Delivery) error {
	return func(ctx context.Context, m *Method, _ *Delivery) error {
		if !strings.HasPrefix(m.ID, prefix) {
			return nil
		}
		select {
		case <-time.After(5 * time.Second):
			return errors.New("no answer within 5s")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestHang: however many methods hang, those that work are served at once.
func TestHang(t *testing.T) {
	w := newWorld("good")
	for i := range 100 {
		id := fmt.Sprint("hang", i)
		w.methods[id] = &Method{ID: id, Type: Webhook, Address: "http://" + id + "/"}
	}
	w.answer = hang("hang")
	within(t, w, func(t *testing.T, s *Sender) {
		for i := range 100 {
			for alarm := range 20 {
				s.Add(w.change(fmt.Sprint("a", alarm), 1, fmt.Sprint("hang", i)))
			}
		}
		s.Add(w.change("proof", 1, "good"))
		time.Sleep(11 * time.Second) // two rounds of what is unknown yet
		for n := range uint64(50) {
			began := time.Now()
			fresh := fmt.Sprint("fresh", n) // nothing is known of this one, but what hangs is known by now
			w.set(func() { w.methods[fresh] = &Method{ID: fresh, Type: Webhook, Address: "http://fresh/"} })
			s.Add(w.change("good", n+1, "good"), w.change("fresh", 1, fresh))
			synctest.Wait()
			if got := w.arrived(); !strings.Contains(got, fmt.Sprintf("good:good-%d", n+1)) || !strings.Contains(got, fresh) || time.Since(began) != 0 {
				t.Fatalf("change %d waits: %s", n+1, got)
			}
			time.Sleep(time.Second)
		}
		if w.most["all"] > 96 || w.most["hang0"] > 1 {
			t.Errorf("at the same time: %v", w.most)
		}
	}, func(o *Options) { o.Concurrent, o.PerTenant = 128, 96 })
}

// TestLimits: of a method, of a host and of all.
func TestLimits(t *testing.T) {
	w := newWorld("one", "two")
	w.methods["two"].Address = w.methods["one"].Address
	w.answer = func(_ context.Context, m *Method, _ *Delivery) error {
		time.Sleep(100 * time.Millisecond)
		return nil
	}
	within(t, w, func(t *testing.T, s *Sender) {
		for i := range 50 {
			s.Add(w.change(fmt.Sprint("a", i), 1, "one"), w.change(fmt.Sprint("a", i), 1, "two"))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(w.got) != 100 || w.most["one"] > 4 || w.most["two"] > 4 || w.most["all"] > 6 || w.most["all"] < 5 {
			t.Errorf("%d arrived; at the same time: %v", len(w.got), w.most)
		}
	}, func(o *Options) { o.PerMethod, o.PerHost = 4, 6 })
}

func TestMethodChanges(t *testing.T) {
	w := newWorld("gone", "moved")
	w.answer = func(_ context.Context, m *Method, _ *Delivery) error {
		if strings.Contains(m.Address, "new") {
			return nil
		}
		return errors.New("no")
	}
	within(t, w, func(t *testing.T, s *Sender) {
		s.Add(w.change("a", 1, "gone"), w.change("a", 1, "moved"))
		synctest.Wait()
		w.set(func() {
			delete(w.methods, "gone")
			w.methods["moved"].Address = "http://new.test/"
		})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if w.arrived() != "moved:a-1" || w.kept() != 0 {
			t.Errorf("got %q, %d records", w.arrived(), w.kept())
		}
	})
}

func TestRepeating(t *testing.T) {
	w := newWorld("hook")
	w.methods["hook"].Period = 60
	within(t, w, func(t *testing.T, s *Sender) {
		s.Add(w.change("a", 1, "hook"))
		time.Sleep(121 * time.Second)
		synctest.Wait()
		if got := w.arrived(); got != "hook:a-1 hook:a-1-r1 hook:a-1-r2" || w.kept() != 1 {
			t.Fatalf("got %q, %d records", got, w.kept())
		}
		s.Add(w.change("a", 2, "hook")) // in place of the repetition
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if got := w.arrived(); !strings.HasSuffix(got, "r2 hook:a-2 hook:a-2-r1") || w.kept() != 1 {
			t.Fatalf("got %q, %d records", got, w.kept())
		}
		w.set(func() { w.sequences["a"] = 3 }) // a change that this method does not hear of
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := w.arrived(); !strings.HasSuffix(got, " hook:a-2-r1") || w.kept() != 0 {
			t.Errorf("got %q, %d records", got, w.kept())
		}
	})
}

func TestDead(t *testing.T) {
	w := newWorld("hook", "other")
	w.answer = func(context.Context, *Method, *Delivery) error { return errors.New("answered 503") }
	within(t, w, func(t *testing.T, s *Sender) {
		s.Add(w.change("a", 1, "hook"), w.change("b", 1, "other"))
		time.Sleep(TTL + time.Minute)
		synctest.Wait()
		list := s.Deliveries(1, "hook")
		if len(list) != 1 || list[0].Phase != Dead || !strings.Contains(list[0].Reason, "answered 503") || list[0].Tries < 200 || s.Stats().Dead != 2 {
			t.Fatalf("%+v %+v", list, s.Stats())
		}
		if err := s.Resend(1, "a-1-hok"); !errors.Is(err, ErrNoDelivery) || !strings.Contains(err.Error(), `did you mean "a-1-hook"?`) {
			t.Error(err)
		}
		if err := s.Resend(2, "a-1-hook"); !errors.Is(err, ErrNoDelivery) {
			t.Errorf("another project's: %v", err)
		}
		w.set(func() { w.answer = nil })
		if err := s.Resend(1, "a-1-hook"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if w.arrived() != "hook:a-1" || w.kept() != 1 {
			t.Errorf("got %q, %d records", w.arrived(), w.kept())
		}
		if time.Sleep(KeepDead); s.Stats().Dead != 0 { // the purge comes every hour
			time.Sleep(2 * time.Hour)
		}
		synctest.Wait()
		if s.Stats().Dead != 0 || w.kept() != 0 || len(s.Deliveries(1, "")) != 0 {
			t.Errorf("%+v, %d records", s.Stats(), w.kept())
		}
	})
}

func TestBounds(t *testing.T) {
	w := newWorld("hook")
	w.answer = func(context.Context, *Method, *Delivery) error { return &Failure{Reason: "gone", Permanent: true} }
	within(t, w, func(t *testing.T, s *Sender) {
		for i := range 9 {
			s.Add(w.change("a", uint64(i+1), "hook"))
			synctest.Wait()
		}
		if s.Stats().Dead != 3 || w.kept() != 3 || s.Deliveries(1, "")[0].ID != "a-7-hook" {
			t.Errorf("%+v, %d records", s.Stats(), w.kept())
		}
		w.set(func() { w.answer = func(context.Context, *Method, *Delivery) error { return errors.New("later") } })
		for i := range 10 {
			s.Add(w.change("b", uint64(i+1), "hook"))
		}
		synctest.Wait()
		if st := s.Stats(); st.Waiting != 5 || st.Dead != 3 {
			t.Errorf("%+v %v", st, w.events)
		}
		if err := s.Discard(1, "b-1-hook"); err != nil {
			t.Error(err)
		}
		if err := s.Discard(1, "b-10-hook"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if st := s.Stats(); st.Waiting != 4 || st.Dead != 2 || w.kept() != 6 {
			t.Errorf("%+v, %d records", st, w.kept())
		}
	}, func(o *Options) { o.MaxDead, o.MaxWaiting = 3, 5 })
}

// TestTestMessage: a test goes beside the changes of its alarm, and once.
func TestTestMessage(t *testing.T) {
	w := newWorld("hook")
	w.methods["hook"].Period = 60
	within(t, w, func(t *testing.T, s *Sender) {
		s.Add(w.change("a", 1, "hook"))
		synctest.Wait()
		d := w.change("a", 1, "hook")
		d.Message = &Message{Event: "try", Alarm: "a", Test: true, Time: time.Now(), Sequence: 2}
		d.ID = "try-hook"
		s.Add(d)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if got := w.arrived(); got != "hook:a-1 hook:try hook:a-1-r1" {
			t.Errorf("got %q", got)
		}
	})
}

// TestQueueAway: while records cannot be written, sends go on; afterwards the records are as they should.
func TestQueueAway(t *testing.T) {
	w := newWorld("hook")
	within(t, w, func(t *testing.T, s *Sender) {
		s.Add(w.change("a", 1, "hook"))
		synctest.Wait()
		w.set(func() { w.broken = errors.New("etcd is away") })
		for i := range 300 {
			s.Add(w.change("a", uint64(i+2), "hook"))
		}
		synctest.Wait()
		if len(w.got) != 301 || w.kept() != 300 || s.Stats().Unsaved != 300 {
			t.Fatalf("%d arrived, %d records, %+v", len(w.got), w.kept(), s.Stats())
		}
		w.set(func() { w.broken = nil })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if w.kept() != 0 || s.Stats().Unsaved != 0 {
			t.Errorf("%d records, %+v", w.kept(), s.Stats())
		}
	})
}

// TestClose: it waits for what ends soon, breaks off what does not, and the next Sender takes that up.
func TestClose(t *testing.T) {
	w := newWorld("hang", "quick")
	w.answer = func(ctx context.Context, m *Method, d *Delivery) error {
		if m.ID == "quick" {
			time.Sleep(500 * time.Millisecond)
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		s := w.open(t)
		s.Add(w.change("a", 1, "hang"), w.change("a", 1, "quick"), w.change("a", 2, "quick"))
		synctest.Wait()
		began := time.Now()
		s.Close()
		s.Close()
		if took := time.Since(began); took != time.Second {
			t.Errorf("closed after %v", took)
		}
		if w.arrived() != "quick:a-1" || w.kept() != 2 {
			t.Fatalf("got %q, %d records", w.arrived(), w.kept())
		}
		w.set(func() { w.answer = nil })
		s = w.open(t)
		synctest.Wait()
		s.Close()
		if got := strings.Fields(w.arrived()); len(got) != 3 || w.kept() != 0 {
			t.Errorf("got %v, %d records", got, w.kept())
		}
	})
}

func TestNoTransport(t *testing.T) {
	w := newWorld("mail")
	w.methods["mail"].Type = Email
	within(t, w, func(t *testing.T, s *Sender) {
		s.Add(w.change("a", 1, "mail"))
		synctest.Wait()
		if d := s.Deliveries(1, ""); len(d) != 1 || d[0].Reason != "this server is not set up for EMAIL" {
			t.Errorf("%+v", d)
		}
	})
}
