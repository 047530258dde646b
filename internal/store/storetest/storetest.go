// Package storetest is the contract that every kind of store keeps.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/troupe-dev/troupe/internal/store"
)

// A Place makes one empty state and returns options that open it. Stores that the suite opens one
// after the other, or several at a time where Shared, see the same state.
type Place struct {
	Options func(t *testing.T) store.Options
	Shared  bool // several stores may be open at a time
}

// Run checks the contract in the place.
func Run(t *testing.T, p Place) {
	for name, test := range map[string]func(*testing.T, Place){
		"guards": guards, "load": load, "watch": watch, "compaction": compaction, "groups": groups,
		"order": order, "refusals": refusals, "ids": ids, "tenure": tenure, "standby": standby,
		"schema": schema, "installation": installation, "close": closing, "vault": vault,
	} {
		t.Run(name, func(t *testing.T) { test(t, p) })
	}
}

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func fresh(t *testing.T, p Place) *store.Store { return open(t, p.Options(t)) }

// Put makes a transaction of puts.
func Put(pairs ...string) store.Txn {
	var t store.Txn
	for i := 0; i < len(pairs); i += 2 {
		t.Puts = append(t.Puts, store.Put{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return t
}

func must(t *testing.T, s *store.Store, txn store.Txn) int64 {
	t.Helper()
	rev, err := s.Commit(t.Context(), txn)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func all(t *testing.T, s *store.Store, prefix string) (map[string]string, int64) {
	t.Helper()
	m := map[string]string{}
	rev, err := s.Load(t.Context(), prefix, func(kv store.KV) error {
		m[kv.Key] = string(kv.Value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, rev
}

func guards(t *testing.T, p Place) {
	s := fresh(t, p)
	r1 := must(t, s, Put("g/a", "1"))
	r2 := must(t, s, Put("g/b", "1"))
	for _, c := range []struct {
		name  string
		guard store.Guard
		holds bool
	}{
		{"at its revision", store.At("g/a", r1), true},
		{"at another revision", store.At("g/a", r2), false},
		{"present", store.Present("g/a"), true},
		{"absent but is present", store.Absent("g/a"), false},
		{"absent", store.Absent("g/c"), true},
		{"present but is absent", store.Present("g/c"), false},
		{"at a revision but is absent", store.At("g/c", r1), false},
	} {
		txn := Put("g/x/"+c.name, "new")
		txn.Guards = []store.Guard{c.guard, store.Present("g/b")}
		rev, err := s.Commit(t.Context(), txn)
		got, _ := all(t, s, "g/x/"+c.name)
		if c.holds != (err == nil) || c.holds != (len(got) == 1) {
			t.Errorf("%s: %v, wrote %v", c.name, err, got)
		}
		if c.holds {
			if kv, err := s.Get(t.Context(), "g/x/"+c.name); err != nil || kv.Revision != rev {
				t.Errorf("%s: read %+v, %v; committed at %d", c.name, kv, err, rev)
			}
			continue
		}
		var conflict *store.ConflictError
		if !errors.Is(err, store.ErrConflict) || !errors.As(err, &conflict) || conflict.Guard != c.guard {
			t.Errorf("%s: error %v, want a conflict over %+v", c.name, err, c.guard)
		}
	}
	must(t, s, store.Txn{Deletes: []string{"g/a", "g/none"}})
	if kv, err := s.Get(t.Context(), "g/a"); err != nil || kv.Revision != 0 || kv.Value != nil {
		t.Errorf("after delete: %+v, %v", kv, err)
	}
	must(t, s, Put("g/empty", ""))
	// A stale read may be answered by a member that lags.
	kv, err := s.GetStale(t.Context(), "g/empty")
	for limit := time.Now().Add(10 * time.Second); err == nil && kv.Revision == 0 && time.Now().Before(limit); {
		kv, err = s.GetStale(t.Context(), "g/empty")
	}
	if err != nil || kv.Revision == 0 || len(kv.Value) != 0 {
		t.Errorf("empty value: %+v, %v", kv, err)
	}
}

// load reads more keys than a page holds, of uneven density, while others change them.
func load(t *testing.T, p Place) {
	s := fresh(t, p)
	want := map[string]string{}
	var names []string
	for i := range 6000 {
		names = append(names, fmt.Sprintf("l/n/%07d", i*7))
	}
	for i := range 2500 {
		names = append(names, fmt.Sprintf("l/n/0000000/%d/\xff\x00%d", i%3, i), fmt.Sprintf("l/z%s", strings.Repeat("z", i%40))+fmt.Sprint(i))
	}
	var wg sync.WaitGroup
	for i := 0; i < len(names); i += 100 {
		var txn store.Txn
		for _, n := range names[i:min(i+100, len(names))] {
			want[n] = n
			txn.Puts = append(txn.Puts, store.Put{Key: n, Value: []byte(n)})
		}
		wg.Add(1)
		s.Submit(txn, func(_ int64, err error) {
			if err != nil {
				t.Error(err)
			}
			wg.Done()
		})
	}
	wg.Wait()
	must(t, s, Put("k", "before", "l", "no slash", "l0", "after"))
	got, changed, last := map[string]string{}, false, ""
	rev, err := s.Load(t.Context(), "l/", func(kv store.KV) error {
		if !changed { // later pages must not see this
			changed = true
			must(t, s, Put("l/zzz-late", "late", names[5999], "late"))
			must(t, s, store.Txn{Deletes: []string{names[5998]}})
		}
		if kv.Key <= last {
			t.Errorf("key %q after %q", kv.Key, last)
		}
		last = kv.Key
		got[kv.Key] = string(kv.Value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("loaded (-want +got):\n%.2000s", diff)
	}
	now, later := all(t, s, "l/")
	if later < rev+2 || now["l/zzz-late"] != "late" || now[names[5998]] != "" {
		t.Errorf("a later load at %d (first %d) misses changes", later, rev)
	}
	stop := errors.New("enough")
	if _, err := s.Load(t.Context(), "l/", func(store.KV) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped load: %v", err)
	}
}

func watch(t *testing.T, p Place) {
	o := p.Options(t)
	s := open(t, o)
	other := s
	if p.Shared {
		other = open(t, o)
	}
	_, from := all(t, s, "w/")
	r1 := must(t, s, Put("w/a", "1", "w/b", "1", "elsewhere", "1"))
	r2 := must(t, other, Put("w/a", "2"))
	must(t, s, store.Txn{Deletes: []string{"w/none"}}) // changes nothing, and makes r2 nobody else's
	must(t, s, Put("elsewhere", "2"))
	gone := Put("w/c", "3")
	gone.Deletes = []string{"w/a"}
	r3 := must(t, s, gone)
	want := []store.Batch{
		{Revision: r1, Own: true, Events: []store.Event{
			{KV: store.KV{Key: "w/a", Value: []byte("1"), Revision: r1}}, {KV: store.KV{Key: "w/b", Value: []byte("1"), Revision: r1}}}},
		{Revision: r2, Own: !p.Shared, Events: []store.Event{{KV: store.KV{Key: "w/a", Value: []byte("2"), Revision: r2}}}},
		{Revision: r3, Own: true, Events: []store.Event{
			{KV: store.KV{Key: "w/a", Revision: r3}, Deleted: true}, {KV: store.KV{Key: "w/c", Value: []byte("3"), Revision: r3}}}},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got []store.Batch
	for b, err := range s.Watch(ctx, "w/", from+1) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, b); len(got) == len(want) {
			break
		}
	}
	byKey := cmpopts.SortSlices(func(a, b store.Event) bool { return a.Key < b.Key })
	if diff := cmp.Diff(want, got, byKey, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
	live := make(chan store.Batch, 100)
	done := make(chan error, 1)
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		for b, err := range s.Watch(ctx, "w/", r3+1) {
			if err != nil {
				done <- err
				return
			}
			live <- b
		}
	}()
	for i := range 50 {
		rev := must(t, s, Put("w/live", fmt.Sprint(i)))
		if b := <-live; b.Revision != rev || !b.Own || string(b.Events[0].Value) != fmt.Sprint(i) {
			t.Fatalf("commit %d at %d: heard %+v", i, rev, b)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled watch ends with %v", err)
	}
}

func compaction(t *testing.T, p Place) {
	o := p.Options(t)
	o.Keep = 5
	s := open(t, o)
	first := must(t, s, Put("c/a", "0"))
	for i := range 30 {
		must(t, s, Put("c/a", fmt.Sprint(i)))
	}
	must(t, s, store.Txn{Deletes: []string{"c/a"}})
	last := must(t, s, Put("c/b", "x"))
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.Watch(t.Context(), "c/", first) {
		if !errors.Is(err, store.ErrCompacted) {
			t.Errorf("watch of dropped history: %v", err)
		}
		break
	}
	for b, err := range s.Watch(t.Context(), "c/", last) {
		if err != nil || b.Revision != last {
			t.Errorf("watch of kept history: %+v, %v", b, err)
		}
		break
	}
	if got, _ := all(t, s, "c/"); len(got) != 1 || got["c/b"] != "x" {
		t.Errorf("state after compaction: %v", got)
	}
	if n := s.Stats().Compactions; n != 1 {
		t.Errorf("%d compactions", n)
	}
	if err := s.Maintain(t.Context()); err != nil || s.Stats().Compactions != 1 {
		t.Errorf("an idle store compacts again: %+v, %v", s.Stats(), err)
	}
}

// groups commits many at the same time, some of them stale: those fail, and only those.
func groups(t *testing.T, p Place) {
	s := fresh(t, p)
	stale := must(t, s, Put("head", "1"))
	head := must(t, s, Put("head", "2"))
	const n = 500
	errs := make([]error, n)
	revs := make([]int64, n)
	var wg sync.WaitGroup
	wg.Add(n)
	for i := range n {
		txn := Put(fmt.Sprintf("m/%03d", i), "x")
		txn.Guards = []store.Guard{store.At("head", head)}
		if i%50 == 7 {
			txn.Guards = []store.Guard{store.At("head", stale)}
		}
		s.Submit(txn, func(rev int64, err error) {
			revs[i], errs[i] = rev, err
			wg.Done()
		})
	}
	wg.Wait()
	distinct := map[int64]bool{}
	for i, err := range errs {
		if (i%50 == 7) != errors.Is(err, store.ErrConflict) || i%50 != 7 && err != nil {
			t.Errorf("transaction %d: %v", i, err)
		}
		distinct[revs[i]] = true
	}
	if got, _ := all(t, s, "m/"); len(got) != n-n/50 {
		t.Errorf("%d keys written", len(got))
	}
	if len(distinct) > n/2 {
		t.Errorf("%d transactions took %d revisions: they do not travel together", n, len(distinct))
	}
	st := s.Stats()
	if st.Conflicts != n/50 || st.Waiting != 0 || st.Groups >= st.Commits {
		t.Errorf("stats %+v", st)
	}
}

// order sends chains of transactions; those of one chain stay in their order, although each
// would be sent alone, as they all write the same key.
func order(t *testing.T, p Place) {
	s := fresh(t, p)
	const chains, length = 8, 20
	var mu sync.Mutex
	answers := map[int][]int64{}
	var wg sync.WaitGroup
	for i := range length {
		for c := range chains {
			txn := Put(fmt.Sprintf("o/%d", c), fmt.Sprint(i), fmt.Sprintf("o/%d/%d", c, i), "")
			txn.Order = fmt.Sprint(c)
			if i == 5 {
				txn.Guards = []store.Guard{store.Present("o/none")} // the chain goes on after a failure
			}
			wg.Add(1)
			s.Submit(txn, func(rev int64, err error) {
				defer wg.Done()
				if (err != nil) != (i == 5) {
					t.Errorf("chain %d, %d: %v", c, i, err)
				}
				if err == nil {
					mu.Lock()
					answers[c] = append(answers[c], rev)
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	for c := range chains {
		for i := 1; i < len(answers[c]); i++ {
			if answers[c][i] <= answers[c][i-1] {
				t.Errorf("chain %d: revisions %v", c, answers[c])
				break
			}
		}
		if kv, _ := s.Get(t.Context(), fmt.Sprintf("o/%d", c)); string(kv.Value) != fmt.Sprint(length-1) {
			t.Errorf("chain %d ends with %s", c, kv.Value)
		}
	}
}

func refusals(t *testing.T, p Place) {
	s := fresh(t, p)
	var wide store.Txn
	for i := range store.MaxOps + 1 {
		wide.Puts = append(wide.Puts, store.Put{Key: fmt.Sprint("r/", i)})
	}
	for name, txn := range map[string]store.Txn{
		"too many writes": wide,
		"too many bytes":  Put("r/big", strings.Repeat("x", store.MaxBytes)),
		"empty key":       Put("", "x"),
		"put twice":       Put("r/a", "1", "r/a", "2"),
		"put and deleted": {Puts: Put("r/a", "1").Puts, Deletes: []string{"r/a"}},
		"guarded twice":   {Puts: Put("r/a", "1").Puts, Guards: []store.Guard{store.Absent("r/a"), store.Present("r/a")}},
	} {
		if _, err := s.Commit(t.Context(), txn); err == nil || strings.HasPrefix(name, "too many") != errors.Is(err, store.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, s, store.Txn{Puts: wide.Puts[:store.MaxOps]})
	must(t, s, Put("r/big", strings.Repeat("x", store.MaxBytes-100)))
	if got, _ := all(t, s, "r/"); len(got) != store.MaxOps+1 {
		t.Errorf("%d keys", len(got))
	}
}

func schema(t *testing.T, p Place) {
	o := p.Options(t)
	o.Schema = 2
	open(t, o).Close()
	o.Schema = 1
	if _, err := store.Open(t.Context(), o); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("older program: %v", err)
	}
	o.Schema = 3
	open(t, o).Close()
	o.Schema = 2
	if _, err := store.Open(t.Context(), o); !errors.Is(err, store.ErrNewer) {
		t.Errorf("after an upgrade: %v", err)
	}
}

func installation(t *testing.T, p Place) {
	o := p.Options(t)
	s := open(t, o)
	first := s.Installation()
	if first.ID == "" || first.Generation == 0 || first.Origin != store.OriginNew || first.Minted.IsZero() {
		t.Errorf("installation %+v", first)
	}
	s.Close()
	s = open(t, o)
	if diff := cmp.Diff(first, s.Installation()); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

func closing(t *testing.T, p Place) {
	s := fresh(t, p)
	rev := must(t, s, Put("quiet", "1"))
	ended := make(chan error, 1)
	go func() {
		for _, err := range s.Watch(context.Background(), "quiet", rev+1) {
			ended <- err
		}
	}()
	answers := make(chan error, 100)
	for i := range 100 {
		s.Submit(Put(fmt.Sprint("x/", i), ""), func(_ int64, err error) { answers <- err })
	}
	s.Close()
	for range 100 {
		if err := <-answers; err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	}
	if err := <-ended; !errors.Is(err, store.ErrClosed) {
		t.Errorf("watch ends with %v", err)
	}
	if _, err := s.Commit(t.Context(), Put("y", "")); !errors.Is(err, store.ErrClosed) {
		t.Errorf("commit: %v", err)
	}
	s.Close()
}

func vault(t *testing.T, p Place) {
	s := fresh(t, p)
	file := filepath.Join(t.TempDir(), store.MasterKeyFile)
	v, err := store.OpenVault(t.Context(), s, file)
	if err != nil {
		t.Fatal(err)
	}
	sealed := v.Seal([]byte("hunter2"), "user/7")
	if strings.Contains(string(sealed), "hunter2") {
		t.Error("not encrypted")
	}
	again, err := store.OpenVault(t.Context(), s, file)
	if err != nil {
		t.Fatal(err)
	}
	if secret, err := again.Open(sealed, "user/7"); err != nil || string(secret) != "hunter2" {
		t.Errorf("%q, %v", secret, err)
	}
	for name, other := range map[string]string{"another": file + ".other", "none": file + ".none"} {
		if name == "another" {
			if _, err := store.OpenVault(t.Context(), fresh(t, Memory()), other); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := store.OpenVault(t.Context(), s, other); !errors.Is(err, store.ErrWrongKey) {
			t.Errorf("%s master key: %v", name, err)
		}
	}
}

// Memory is a place in memory.
func Memory() Place {
	return Place{Shared: true, Options: func(*testing.T) store.Options { return store.Options{Memory: store.NewMemory()} }}
}
