package notify

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/internal/store"
)

func reopen(t *testing.T, m *store.Memory) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Memory: m, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := reopen(t, store.NewMemory())
		defer s.Close()
		q := &StoreQueue{Store: s, Log: slog.New(slog.DiscardHandler)}
		want := NewDelivery(example(), 1, "hook", start)
		want.Phase, want.Tries, want.Reason = Retrying, 3, "answered 500"
		transition := store.Txn{Puts: []store.Put{{Key: "alarm/5f0c", Value: []byte("ALARM")}, Put(&want), {Key: Prefix + "damaged", Value: []byte("{")}}}
		if _, err := s.Commit(t.Context(), transition); err != nil {
			t.Fatal(err)
		}
		var got []Delivery
		load := func() {
			got = nil
			if err := q.Load(t.Context(), func(d Delivery) error { got = append(got, d); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if load(); len(got) != 1 || !cmp.Equal(got[0], want) {
			t.Errorf("%s", cmp.Diff(got, []Delivery{want}))
		}
		// More than fits into one transaction.
		var many []Delivery
		for i := range MaxBatch {
			m := example()
			m.Event = EventID("big", uint64(i))
			for range 2000 {
				m.Metrics = append(m.Metrics, Metric{Name: "load.avg_1_min"})
			}
			m.Bound()
			many = append(many, NewDelivery(m, 1, "hook", start))
		}
		if err := q.Apply(t.Context(), many, []Delivery{want}); err != nil {
			t.Fatal(err)
		}
		if load(); len(got) != MaxBatch {
			t.Errorf("%d deliveries", len(got))
		}
	})
}

// TestFence: who lost the shards writes nothing more.
func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory()
		old := reopen(t, m)
		defer old.Close()
		tenure, err := old.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		q := &StoreQueue{Store: old, Fence: func(d *Delivery) store.Guard { return tenure.Fence(store.Shard(d.Message.Alarm)) }}
		d, e := NewDelivery(example(), 1, "hook", start), NewDelivery(example(), 1, "mail", start)
		if err := q.Apply(t.Context(), []Delivery{d, e}, nil); err != nil {
			t.Fatal(err)
		}
		next := reopen(t, m)
		defer next.Close()
		if _, err := next.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := q.Apply(t.Context(), nil, []Delivery{d}); err == nil {
			t.Error("written without a right to")
		}
	})
}

// TestCrash: servers that are killed at random, on a store that fails at random, lose no notification,
// and receivers that drop doubles by the event see each once and those of an alarm in order.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := store.NewMemory()
		w := newWorld("hook")
		w.methods["down"] = &Method{ID: "down", Type: Webhook, Address: "http://down/"}
		up := false
		w.answer = func(ctx context.Context, m *Method, d *Delivery) error {
			select {
			case <-time.After(time.Duration(d.Message.Sequence%7) * 10 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if m.ID == "down" && !up {
				return &Failure{Reason: "answered 500"}
			}
			return nil
		}
		sequence := uint64(0)
		for round := range 20 {
			s := reopen(t, memory)
			sender := w.open(t, func(o *Options) {
				o.Queue = &StoreQueue{Store: s, Log: slog.New(slog.DiscardHandler)}
			})
			for range 10 {
				sequence++
				var ds []Delivery
				var txn store.Txn
				for _, alarm := range []string{"a", "b", "c"} {
					for _, method := range []string{"hook", "down"} {
						d := NewDelivery(&Message{Event: EventID(alarm, sequence), Sequence: sequence, Alarm: alarm, Time: time.Now()}, 1, method, time.Now())
						ds, txn.Puts = append(ds, d), append(txn.Puts, Put(&d))
					}
				}
				if _, err := s.Commit(t.Context(), txn); err != nil {
					t.Fatal(err)
				}
				sender.Add(ds...)
				time.Sleep(5 * time.Millisecond)
			}
			if round == 15 {
				w.set(func() { up = true })
			}
			// kill -9: the store goes first, so that nothing of what happened since is written down.
			s.Close()
			sender.cancel()
			sender.writer.cancel()
			sender.Close()
		}
		s := reopen(t, memory)
		defer s.Close()
		sender := w.open(t, func(o *Options) { o.Queue = &StoreQueue{Store: s, Log: slog.New(slog.DiscardHandler)} })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if st := sender.Stats(); st != (Stats{}) {
			t.Errorf("left: %+v", st)
		}
		sender.Close()
		seen, last := map[string]bool{}, map[string]uint64{}
		for _, got := range w.got {
			if seen[got] {
				continue
			}
			seen[got] = true
			var lane string
			var n uint64
			for i := len(got) - 1; i > 0; i-- {
				if got[i] == '-' {
					lane = got[:i]
					_, _ = fmt.Sscan(got[i+1:], &n)
					break
				}
			}
			if n < last[lane] {
				t.Errorf("%s after %d", got, last[lane])
			}
			last[lane] = n
		}
		if len(seen) != 20*10*6 {
			t.Errorf("%d different notifications arrived, %d in all; want %d", len(seen), len(w.got), 20*10*6)
		}
		if len(w.got) == len(seen) {
			t.Error("no double: the crashes did not bite")
		}
	})
}

func FuzzRecord(f *testing.F) {
	d := NewDelivery(example(), 1, "hook", start)
	f.Add(Put(&d).Value)
	f.Add([]byte(`{"v":1,"message":null}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		synctest.Test(t, func(t *testing.T) {
			s, err := store.OpenMemory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Commit(t.Context(), store.Txn{Puts: []store.Put{{Key: Prefix + d.ID, Value: value}}}); err != nil {
				return
			}
			q := &StoreQueue{Store: s, Log: slog.New(slog.DiscardHandler)}
			_ = q.Load(t.Context(), func(d Delivery) error {
				d.Before(Surroundings{Now: start, Method: &Method{}})
				_ = d.EventID()
				return nil
			})
		})
	})
}

// BenchmarkDeliveries: webhooks over loopback, each with its record in the store, made and removed.
func BenchmarkDeliveries(b *testing.B) {
	var got sync.WaitGroup
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got.Done()
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	defer served.Wait()
	defer server.Close()
	s, err := store.OpenMemory(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	w := newWorld()
	for i := range 10 {
		id := fmt.Sprint("hook", i)
		w.methods[id] = &Method{ID: id, Type: Webhook, Address: "http://" + l.Addr().String() + "/", Secret: "s"}
	}
	web := NewHTTP(HTTPOptions{Guard: lab})
	defer web.Close()
	sender, err := Open(b.Context(), Options{Queue: &StoreQueue{Store: s}, Directory: w, Transports: map[Type]Transport{Webhook: web}})
	if err != nil {
		b.Fatal(err)
	}
	defer sender.Close()
	got.Add(b.N)
	b.ReportAllocs()
	before := cpuTime(b)
	b.ResetTimer()
	for i := range b.N {
		m := example()
		m.Alarm = fmt.Sprint("alarm", i%1000)
		m.Sequence, m.Event = uint64(i), EventID(m.Alarm, uint64(i))
		sender.Add(NewDelivery(m, i%4, fmt.Sprint("hook", i%10), time.Now()))
	}
	got.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// cpuTime is what this process used of the processors: sender, receiver and store together.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
