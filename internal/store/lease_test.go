package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestLeaseLost: an owner that cannot renew stops being one before its lease ends, and a standby
// follows as soon as it has.
func TestLeaseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		open := func() *Store {
			s, err := Open(t.Context(), Options{Memory: m, Shared: true})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s1, s2 := open(), open()
		defer s1.Close()
		defer s2.Close()
		t1, err := s1.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // of the bubble
		if until, ok := t1.Owned(0); !ok || time.Until(until) <= time.Second || time.Until(until) > 3*time.Second {
			t.Fatalf("after an hour: until %v, %t", until, ok)
		}
		cut := time.Now()
		m.Inject(func(c Call) Fault {
			if c == CallRenew {
				return Fault{Err: ErrUnavailable}
			}
			return Fault{}
		})
		t2, err := s2.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(cut); took > 4*time.Second {
			t.Errorf("took over after %s", took)
		}
		<-t1.Lost()
		if _, ok := t1.Owned(0); ok {
			t.Error("two owners")
		}
		_, err = s1.Commit(t.Context(), Txn{Guards: []Guard{t1.Fence(3)}, Puts: []Put{{Key: "x"}}})
		var conflict *ConflictError
		if !errors.As(err, &conflict) || conflict.Guard.Key != "shard/003" {
			t.Errorf("commit of the old owner: %v", err)
		}
		if _, err := s2.Commit(t.Context(), Txn{Guards: []Guard{t2.Fence(3)}, Puts: []Put{{Key: "x"}}}); err != nil {
			t.Error(err)
		}
		m.Inject(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := s1.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a standby acquires: %v", err)
		}
	})
}

// TestCommitWaits: an answer that is late does not hold up other transactions, and a watcher
// learns of its own commit as such although the answer comes later.
func TestCommitWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		s, err := Open(t.Context(), Options{Memory: m})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		rev, err := s.Revision(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.Inject(func(c Call) Fault {
			if c == CallCommit {
				return Fault{After: time.Second}
			}
			return Fault{}
		})
		began := time.Now()
		for i := range 4 {
			s.Submit(Txn{Puts: []Put{{Key: string(rune('a' + i))}}}, func(_ int64, err error) {
				if err != nil || time.Since(began) > time.Second {
					t.Errorf("%v after %s", err, time.Since(began))
				}
			})
			synctest.Wait()
		}
		seen := 0
		for b, err := range s.Watch(t.Context(), "", rev+1) {
			if err != nil || !b.Own {
				t.Fatalf("%+v, %v", b, err)
			}
			if seen += len(b.Events); seen == 4 {
				break
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Commit(ctx, Txn{Puts: []Put{{Key: "z"}}}); !errors.Is(err, ErrAmbiguous) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient commit: %v", err)
		}
	})
}

// TestHistoryAge: what is older than five minutes goes, without traffic to push it out.
func TestHistoryAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := OpenMemory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{Key: "k"}}}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(4 * time.Minute)
		if n := s.Stats().Compactions; n != 0 {
			t.Errorf("%d compactions after 4 minutes", n)
		}
		time.Sleep(3 * time.Minute)
		if n := s.Stats().Compactions; n != 1 {
			t.Errorf("%d compactions after 7 minutes", n)
		}
		time.Sleep(time.Hour)
		if n := s.Stats().Compactions; n != 1 {
			t.Errorf("an idle store compacted %d times", n)
		}
	})
}

func TestShardsSpread(t *testing.T) {
	count := map[uint8]int{}
	for i := range 100_000 {
		count[Shard(time.Duration(i).String())]++
	}
	for shard, n := range count {
		if n < 250 || n > 550 {
			t.Errorf("shard %d has %d of 100,000 services", shard, n)
		}
	}
	if len(count) != Shards {
		t.Errorf("%d shards in use", len(count))
	}
}
