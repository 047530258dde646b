package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
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

// TestQuota: a database at its quota refuses what is not vital, wins its space back and goes on.
func TestQuota(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{DataDir: t.TempDir(), Quota: minQuota})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if st := s.Stats(); st.Size == 0 || st.InUse == 0 || st.Revision == 0 || st.Full {
		t.Errorf("stats of a new database %+v", st)
	}
	if err := fill(t.Context(), s, 80); !errors.Is(err, ErrNoSpace) || errors.Is(err, ErrAmbiguous) {
		t.Fatalf("beyond the quota: %v", err)
	}
	if !s.Stats().Full {
		t.Error("the figures do not tell that the quota is reached")
	}
	for name, c := range map[string]struct {
		txn     Txn
		refused bool
	}{
		"put":          {Txn{Puts: []Put{{"k", nil}}}, true},
		"as many":      {Txn{Puts: []Put{{"k", nil}}, Deletes: []string{"f/0"}}, true},
		"vital":        {Txn{Puts: []Put{{"k", nil}}, Vital: true}, false},
		"more deletes": {Txn{Puts: []Put{{"k", nil}}, Deletes: []string{"f/0", "f/1"}}, false},
		"delete":       {Txn{Deletes: []string{"f/2"}}, false},
	} {
		rev, err := s.Commit(t.Context(), c.txn)
		if c.refused && (!errors.Is(err, ErrNoSpace) || errors.Is(err, ErrAmbiguous)) || !c.refused && (err != nil || rev == 0) {
			t.Errorf("%s at the quota: %v", name, err)
		}
	}
	if kv, err := s.Get(t.Context(), "fill"); err != nil || kv.Revision == 0 {
		t.Errorf("read at the quota: %v", err)
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Full || st.Size > 12<<20 || st.Defrags != 1 {
		t.Errorf("stats %+v", st)
	}
	if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{"k", nil}}}); err != nil {
		t.Fatalf("after upkeep: %v", err)
	}
}

// TestFullOfLiveKeys: what upkeep cannot win back, a larger quota or the owner's removals give.
func TestFullOfLiveKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	live := func(i int) string { return fmt.Sprint("live/", i) }
	brimful(t, dir, live).Close()

	s := owner(t, dir, 4*minQuota)
	for i := range 64 {
		if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{live(1000 + i), make([]byte, 512<<10)}}}); err != nil {
			t.Fatalf("with a larger quota: %v", err)
		}
	}
	if err := s.Maintain(t.Context()); err != nil { // for figures of now
		t.Fatal(err)
	}
	size := s.Stats().InUse // opening with too small a quota wins back the rest
	s.Close()
	if _, err := Open(t.Context(), Options{DataDir: dir, Quota: minQuota}); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "start with a quota of") {
		t.Fatalf("open with too small a quota: %v", err)
	}

	// With our quota reached and etcd's not, the owner can still make room.
	s = owner(t, dir, size-8<<20)
	if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{"k", nil}}}); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("at the quota: %v", err)
	}
	for range 3 {
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if st := s.Stats(); !st.Full || st.Defrags != 1 {
		t.Errorf("with nothing to win: %+v", st)
	}
	for i := range 100 {
		mark := Txn{Puts: []Put{{"leaving", nil}}, Vital: true}
		if _, err := s.Commit(t.Context(), mark); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(t.Context(), Txn{Deletes: []string{live(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{"k", nil}}}); err != nil {
		t.Errorf("after removals: %v; %+v", err, s.Stats())
	}
}

// TestReopenFull: a database that was closed when etcd's own quota was reached opens again, with
// the same quota where there is history to drop.
func TestReopenFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	brimful(t, dir, func(int) string { return "same" }).Close()
	s := owner(t, dir, minQuota)
	if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{"k", nil}}}); err != nil {
		t.Fatalf("after opening again: %v", err)
	}
}

// brimful opens a store and fills it with vital puts until etcd itself refuses more.
func brimful(t *testing.T, dir string, key func(i int) string) *Store {
	t.Helper()
	s := owner(t, dir, minQuota)
	for i := range 1000 {
		if _, err := s.Commit(t.Context(), Txn{Puts: []Put{{key(i), make([]byte, 512<<10)}}, Vital: true}); errors.Is(err, ErrNoSpace) {
			st, err := s.db.status(t.Context())
			if err != nil || !st.alarm {
				t.Fatalf("etcd did not raise its alarm: %+v, %v", st, err)
			}
			return s
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the database never gets full")
	return nil
}

// owner opens the folder and takes the shards.
func owner(t *testing.T, dir string, quota int64) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{DataDir: dir, Quota: quota})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if _, err := s.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTinyQuota: a quota that leaves no room to work is refused with advice.
func TestTinyQuota(t *testing.T) {
	for _, quota := range []int64{-1, 1, minQuota - 1} {
		dir := filepath.Join(t.TempDir(), "data")
		_, err := Open(t.Context(), Options{DataDir: dir, Quota: quota})
		if err == nil || !strings.Contains(err.Error(), "64 MiB") {
			t.Errorf("quota %d: %v", quota, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("quota %d: the folder was made", quota)
		}
	}
}

// TestHarmlessLog: what etcd complains of at each first start is not passed on; other errors are.
func TestHarmlessLog(t *testing.T) {
	var out strings.Builder
	lg := zap.New(slogCore{slog.New(slog.NewTextHandler(&out, nil))})
	lg.Error("failed to update storage version", zap.String("cluster-version", "3.7.0"))
	if out.Len() > 0 {
		t.Errorf("logged %s", out.String())
	}
	if lg.Error("disk trouble"); !strings.Contains(out.String(), "etcd: disk trouble") {
		t.Errorf("logged %s", out.String())
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
