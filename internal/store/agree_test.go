package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/internal/store"
)

// A twin is one of two stores that see the same history; revisions are compared by their place in
// it, as each store counts from its own start.
type twin struct {
	*store.Store
	first int64
}

// rel makes a revision comparable.
func (w twin) rel(revision int64) int64 {
	if revision <= 0 {
		return revision
	}
	return revision - w.first
}

func (w twin) abs(t store.Txn) store.Txn {
	guards := make([]store.Guard, len(t.Guards))
	for i, g := range t.Guards {
		if g.Revision > 0 {
			g.Revision += w.first
		}
		guards[i] = g
	}
	t.Guards = guards
	return t
}

func (w twin) commit(t *rapid.T, txn store.Txn) string {
	rev, err := w.Commit(t.Context(), w.abs(txn))
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &conflict):
		return fmt.Sprintf("conflict over %s, found %d", conflict.Guard.Key, w.rel(conflict.Found))
	case err != nil:
		t.Fatal(err)
	}
	return fmt.Sprint("at ", w.rel(rev))
}

func (w twin) load(t *rapid.T, prefix string) (kvs []store.KV) {
	_, err := w.Load(t.Context(), prefix, func(kv store.KV) error {
		kv.Revision = w.rel(kv.Revision)
		kvs = append(kvs, kv)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return kvs
}

// events returns the changes under the prefix from just after first up to now.
func (w twin) events(t *testing.T, prefix string) (batches []store.Batch) {
	last, err := w.Commit(t.Context(), store.Txn{Puts: []store.Put{{Key: prefix + "end"}}})
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range w.Watch(t.Context(), prefix, w.first+1) {
		if err != nil {
			t.Fatal(err)
		}
		revision := b.Revision
		b.Revision = w.rel(b.Revision)
		for i := range b.Events {
			b.Events[i].Revision = w.rel(b.Events[i].Revision)
		}
		if batches = append(batches, b); revision == last {
			break
		}
	}
	return batches
}

// TestTwinsAgree plays random histories to the memory and to etcd.
func TestTwinsAgree(t *testing.T) {
	memory, err := store.OpenMemory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	etcd, err := store.Open(t.Context(), store.Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	a, b := twin{Store: memory}, twin{Store: etcd}
	for _, w := range []*twin{&a, &b} {
		if w.first, err = w.Commit(t.Context(), store.Txn{Puts: []store.Put{{Key: "start"}}}); err != nil {
			t.Fatal(err)
		}
	}
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		prefix := fmt.Sprintf("run%d/", run)
		key := rapid.Custom(func(t *rapid.T) string {
			return prefix + rapid.SampledFrom([]string{"a", "a/1", "a/2", "b", "\xff\xff", "e\x00"}).Draw(t, "key")
		})
		now, err := memory.Revision(t.Context()) // guards are drawn from the revisions of this run
		if err != nil {
			t.Fatal(err)
		}
		now = a.rel(now)
		for step := range rapid.IntRange(1, 20).Draw(t, "steps") {
			var txn store.Txn
			used := map[string]bool{}
			for range rapid.IntRange(0, 3).Draw(t, "writes") {
				k := key.Draw(t, "key")
				if used[k] {
					continue
				}
				used[k] = true
				if rapid.Bool().Draw(t, "put") {
					txn.Puts = append(txn.Puts, store.Put{Key: k, Value: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "value")})
				} else {
					txn.Deletes = append(txn.Deletes, k)
				}
			}
			if k := key.Draw(t, "guarded"); rapid.Bool().Draw(t, "guard") {
				txn.Guards = []store.Guard{{Key: k, Revision: rapid.Int64Range(-1, int64(step)+1).Draw(t, "revision")}}
				if txn.Guards[0].Revision > 0 {
					txn.Guards[0].Revision += now
				}
			}
			if got, want := a.commit(t, txn), b.commit(t, txn); got != want {
				t.Fatalf("step %d: memory: %s, etcd: %s", step, got, want)
			}
		}
		for _, p := range []string{prefix, prefix + "a/", prefix + "a"} {
			if diff := cmp.Diff(b.load(t, p), a.load(t, p), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("load %q (-etcd +memory):\n%s", p, diff)
			}
		}
	})
	byKey := cmpopts.SortSlices(func(a, b store.Event) bool { return a.Key < b.Key })
	for _, p := range []string{"run", "run7/a"} {
		if diff := cmp.Diff(b.events(t, p), a.events(t, p), cmpopts.EquateEmpty(), byKey); diff != "" {
			t.Errorf("watch %q (-etcd +memory):\n%s", p, diff)
		}
	}
}

// TestFaults sees that the memory's faults come out as the kinds of error that they are.
func TestFaults(t *testing.T) {
	m := store.NewMemory()
	s, err := store.Open(t.Context(), store.Options{Memory: m})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commit := func(f store.Fault) (error, bool) {
		m.Inject(func(c store.Call) store.Fault {
			if c == store.CallCommit {
				return f
			}
			return store.Fault{}
		})
		defer m.Inject(nil)
		if _, err := s.Commit(t.Context(), store.Txn{Deletes: []string{"k"}}); f.Err == nil && err != nil {
			t.Fatal(err)
		}
		_, err := s.Commit(t.Context(), store.Txn{Puts: []store.Put{{Key: "k"}}})
		kv, readErr := s.Get(t.Context(), "k")
		if readErr != nil {
			t.Fatal(readErr)
		}
		return err, kv.Revision != 0
	}
	if err, there := commit(store.Fault{Err: store.ErrUnavailable}); !errors.Is(err, store.ErrUnavailable) || there {
		t.Errorf("refused: %v, there %t", err, there)
	}
	if err, there := commit(store.Fault{Err: store.ErrAmbiguous}); !errors.Is(err, store.ErrAmbiguous) || there {
		t.Errorf("lost on the way there: %v, there %t", err, there)
	}
	if err, there := commit(store.Fault{Err: store.ErrAmbiguous, Applied: true}); !errors.Is(err, store.ErrAmbiguous) || !there {
		t.Errorf("lost on the way back: %v, there %t", err, there)
	}
	if err, there := commit(store.Fault{Delay: time.Millisecond, After: time.Millisecond}); err != nil || !there {
		t.Errorf("delayed: %v, there %t", err, there)
	}
	m.Inject(func(c store.Call) store.Fault { return store.Fault{Err: store.ErrUnavailable} })
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
	m.Inject(nil)
}
