package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// fill writes a key again and again with values of 512 KiB.
func fill(ctx context.Context, s *Store, mib int) error {
	for i := range mib * 2 {
		if _, err := s.Commit(ctx, Txn{Puts: []Put{{"fill", make([]byte, 512<<10)}, {fmt.Sprint("f/", i%8), nil}}}); err != nil {
			return err
		}
	}
	return nil
}

// TestQuota: a database at its quota refuses writes, wins its space back and goes on.
func TestQuota(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{DataDir: t.TempDir(), Quota: 24 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := fill(t.Context(), s, 40); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("beyond the quota: %v", err)
	}
	if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{"k", nil}}}); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("at the quota: %v", err)
	}
	if kv, err := s.Get(t.Context(), "fill"); err != nil || kv.Revision == 0 {
		t.Errorf("read at the quota: %v", err)
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{"k", nil}}}); err != nil {
		t.Fatalf("after upkeep: %v", err)
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Full || st.Size > 12<<20 || st.Defrags != 1 {
		t.Errorf("stats %+v", st)
	}
}

// TestDefragment: a database that is mostly free pages shrinks, but not too often.
func TestDefragment(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{DataDir: t.TempDir(), Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := fill(t.Context(), s, 80); err != nil {
		t.Fatal(err)
	}
	s.upkeep.defragged = time.Now().Add(-defragEvery)
	tick := time.NewTicker(50 * time.Millisecond) // etcd compacts in the background
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); s.Stats().Defrags == 0; {
		// bbolt counts a page as free one write after it was given up.
		if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{"tick", nil}}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no defragmentation: %+v", s.Stats())
		}
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Size > 16<<20 || st.Defrags != 1 {
		t.Errorf("stats %+v", st)
	}
	if kv, err := s.Get(t.Context(), "fill"); err != nil || len(kv.Value) != 512<<10 {
		t.Errorf("read after defragmentation: %d bytes, %v", len(kv.Value), err)
	}
}

// TestPin: compaction leaves what a load reads.
func TestPin(t *testing.T) {
	s, err := OpenMemory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.opts.Keep = 1
	n := 2*page + 1
	for i := 0; i < n; i += MaxOps {
		var txn Txn
		for j := i; j < min(n, i+MaxOps); j++ {
			txn.Puts = append(txn.Puts, Put{fmt.Sprintf("p/%06d", j), nil})
		}
		if _, err := s.Commit(t.Context(), txn); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	_, err = s.Load(t.Context(), "p/", func(kv KV) error {
		if got++; got%page == 1 {
			for range 5 {
				if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{"p/new", nil}}}); err != nil {
					return err
				}
			}
			return s.Maintain(t.Context())
		}
		return nil
	})
	if err != nil || got != n {
		t.Errorf("%d keys of %d, %v", got, n, err)
	}
}
