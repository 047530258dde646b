package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/store"
)

func ids(t *testing.T, p Place) {
	o := p.Options(t)
	seen := map[uint64]bool{}
	var mu sync.Mutex
	draw := func(s *store.Store, n int) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range n / 4 {
					id, err := s.NextID(t.Context(), "vm", 1)
					mu.Lock()
					if err != nil || id == 0 || seen[id] {
						t.Errorf("id %d, seen %t, %v", id, seen[id], err)
					}
					seen[id] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	}
	s := open(t, o)
	if id, err := s.NextID(t.Context(), "doc", 0); id != 0 || err != nil {
		t.Errorf("first of doc is %d, %v", id, err)
	}
	draw(s, 240)
	if !seen[1] || !seen[240] {
		t.Error("ids of a lone server have gaps")
	}
	if p.Shared {
		second := open(t, o)
		var wg sync.WaitGroup
		wg.Go(func() { draw(s, 240) })
		wg.Go(func() { draw(second, 240) })
		wg.Wait()
	}
	number := func(s *store.Store, want uint64) {
		t.Helper()
		if n, err := s.NextNumber(t.Context(), "machine", 0); n != want || err != nil {
			t.Errorf("number %d, want %d: %v", n, want, err)
		}
	}
	number(s, 0)
	number(s, 1)
	s.Close()
	s = open(t, o)
	number(s, 2)
	number(s, 3)
	draw(s, 120)
}

func fenced(s *store.Store, tenure *store.Tenure, key string) error {
	txn := Put(key, "x")
	txn.Guards = []store.Guard{tenure.Fence(store.Shard(key))}
	_, err := s.Commit(context.Background(), txn)
	return err
}

func tenure(t *testing.T, p Place) {
	o := p.Options(t)
	s := open(t, o)
	if _, standby := s.Standby(); !standby {
		t.Error("owner before Acquire")
	}
	first, err := s.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Acquire(t.Context()); err != nil || again != first {
		t.Errorf("second Acquire: %v, %v", again, err)
	}
	if _, standby := s.Standby(); standby {
		t.Error("standby after Acquire")
	}
	for _, key := range []string{"1", "2", "3"} {
		if err := fenced(s, first, key); err != nil {
			t.Error(err)
		}
	}
	until, ok := first.Owned(7)
	if limited := !until.IsZero(); !ok || limited && time.Until(until) > 3*time.Second {
		t.Errorf("owned until %v, %t", until, ok)
	}
	s.Close()
	<-first.Lost()
	if _, ok := first.Owned(7); ok {
		t.Error("owned after Close")
	}
	s = open(t, o)
	second, err := s.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second.Epoch() <= first.Epoch() {
		t.Errorf("epoch %d after %d", second.Epoch(), first.Epoch())
	}
	for _, key := range []string{"1", "2", "3"} {
		if err := fenced(s, first, key); !errors.Is(err, store.ErrConflict) {
			t.Errorf("old fence: %v", err)
		}
		if err := fenced(s, second, key); err != nil {
			t.Error(err)
		}
	}
}

func standby(t *testing.T, p Place) {
	if !p.Shared {
		t.Skip("one server at a time")
	}
	o := p.Options(t)
	o.Shared, o.Name = true, "first"
	s1 := open(t, o)
	t1, err := s1.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.Name = "second"
	s2 := open(t, o)
	got := make(chan *store.Tenure, 1)
	go func() {
		t2, err := s2.Acquire(context.Background())
		if err != nil {
			t.Error(err)
		}
		got <- t2
	}()
	deadline := time.After(10 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		if leader, standby := s2.Standby(); standby && strings.HasPrefix(leader, "first") {
			tick.Stop()
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the standby does not learn of the owner")
		}
	}
	select {
	case <-got:
		t.Fatal("two owners")
	case <-t1.Lost():
		t.Fatal("the first lost its shards")
	case <-time.After(100 * time.Millisecond):
	}
	began := time.Now()
	s1.Close()
	t2 := <-got
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a handover took %s", took)
	}
	if err := fenced(s2, t1, "1"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("old fence: %v", err)
	}
	if err := fenced(s2, t2, "1"); err != nil {
		t.Error(err)
	}
}
