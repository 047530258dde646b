package sim_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/drivertest"
	"github.com/troupe-dev/troupe/driver/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func harness(c *sim.Cloud) drivertest.Harness {
	return drivertest.Harness{
		Kind:    c.Kind(),
		Config:  func(testing.TB) driver.Config { return driver.Config{} },
		Exits:   func(code int) map[string]any { return map[string]any{"exit_code": code} },
		Prints:  func(line string) map[string]any { return map[string]any{"print": line} },
		Refused: []map[string]any{{"exit_code": "zero"}, {"boot_tim": "1s"}},
		Kill:    func(_ testing.TB, m driver.Machine) { c.Kill(m.ID) },
		Remove:  func(_ testing.TB, m driver.Machine) { c.Remove(m.ID) },
	}
}

func TestContract(t *testing.T) {
	clouds := map[string]sim.Options{
		"perfect": {Guarantee: driver.Token},
		"slow": {
			Guarantee: driver.Token, Jitter: 0.5, VisibleAfter: 5 * time.Millisecond,
			CreateDelay: 2 * time.Millisecond, BootDelay: 5 * time.Millisecond, DestroyDelay: 2 * time.Millisecond,
		},
		"promises nothing": {Guarantee: driver.None},
	}
	for name, o := range clouds {
		t.Run(name, func(t *testing.T) { drivertest.Run(t, harness(sim.NewCloud(o))) })
	}
}

// The whole stack of wrappers keeps the contract too, over a back end that fails and loses calls.
func TestContractOverFaults(t *testing.T) {
	c := sim.NewCloud(sim.Options{Guarantee: driver.Token, Faults: driver.Plan{
		Seed: 7, Errors: 0.02, Lost: 0.05, Double: 0.05, Late: time.Millisecond, Calls: []string{"create", "destroy", "stamp"},
	}})
	h := harness(c)
	k := *h.Kind
	inner := k.New
	k.New = func(ctx context.Context, cfg driver.Config) (driver.Driver, error) {
		d, err := inner(ctx, cfg)
		if err != nil {
			return nil, err
		}
		return driver.Wrap(d, &k, driver.WrapOptions{Attempts: 8, Failures: 1000}), nil
	}
	h.Kind = &k
	drivertest.Run(t, h)
	if n := c.Doubles(); n != 0 {
		t.Errorf("%d doubles in spite of the guarantee", n)
	}
}

func TestContractOfKindThatPersists(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{
		Kind: sim.Kind(),
		Config: func(t testing.TB) driver.Config {
			return driver.Config{Dir: t.TempDir(), Values: map[string]any{"persist": true}}
		},
	})
}

func TestPersist(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	cfg := driver.Config{Dir: dir, Installation: "i", Values: account(t, map[string]any{"persist": true})}
	d := open(t, sim.Kind(), cfg)
	for i := range 10 {
		create(t, d, i, nil)
	}
	act(t, d, 3, driver.Suspend)
	if err := d.Destroy(ctx, driver.Ref{ID: id(4)}, driver.Hard); err != nil {
		t.Fatal(err)
	}
	before := list(t, d)

	file := dir + "/sim-default.jsonl"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, `{"tenant":"i","id":"cut of`...), 0o600); err != nil {
		t.Fatal(err)
	}
	d = open(t, sim.Kind(), cfg) // another process would do the same
	after := list(t, d)
	if len(after) != 9 || after[id(3)].State != driver.Suspended || after[id(5)].State != driver.Running {
		t.Fatalf("after a restart: %v", after)
	}
	for id, m := range after {
		if m.Addresses[0] != before[id].Addresses[0] || !m.Created.Equal(before[id].Created) {
			t.Errorf("%s: was %v, is %v", id, before[id], m)
		}
	}
	if m := create(t, d, 20, nil); slices.ContainsFunc(values(after), func(o driver.Machine) bool { return o.Addresses[0] == m.Addresses[0] }) {
		t.Errorf("address %s is given twice", m.Addresses[0])
	}

	if err := os.WriteFile(file, []byte("{}\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Kind().New(ctx, cfg); err == nil || !strings.Contains(err.Error(), "sim-default.jsonl:2") {
		t.Errorf("a broken file: error %v, want one with the line", err)
	}
}

func TestNoDelayMeansRunningAtOnce(t *testing.T) {
	d := open(t, sim.NewCloud(sim.Options{}).Kind(), driver.Config{})
	if m := create(t, d, 1, nil); m.State != driver.Running {
		t.Errorf("created, the machine is %s", m.State)
	}
}

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := sim.NewCloud(sim.Options{CreateDelay: time.Second, BootDelay: time.Minute, DestroyDelay: 2 * time.Second})
		d := open(t, c.Kind(), driver.Config{})
		began := time.Now()
		m := create(t, d, 1, map[string]any{"exit_after": "1h", "exit_code": 9})
		if took := time.Since(began); took != time.Second || m.State != driver.Pending {
			t.Errorf("create took %s and left the machine %s", took, m.State)
		}
		for _, at := range []struct {
			after time.Duration
			state driver.State
		}{{30 * time.Second, driver.Pending}, {61 * time.Second, driver.Running}, {62 * time.Minute, driver.Exited}} {
			time.Sleep(at.after - time.Since(began))
			synctest.Wait()
			if m = list(t, d)[id(1)]; m.State != at.state {
				t.Errorf("after %s the machine is %s, want %s", at.after, m.State, at.state)
			}
		}
		if m.ExitCode != 9 {
			t.Errorf("exit code %d", m.ExitCode)
		}
		began = time.Now()
		if err := d.Destroy(context.Background(), driver.Ref{ID: id(1)}, driver.Hard); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("destroy took %s: %v", time.Since(began), err)
		}
	})
}

// Same seed, same fate: whichever order the machines are made in.
func TestSeed(t *testing.T) {
	fates := func(order []int) map[driver.MachineID]time.Duration {
		died := map[driver.MachineID]time.Duration{}
		synctest.Test(t, func(t *testing.T) {
			c := sim.NewCloud(sim.Options{Seed: 5, Lifetime: time.Hour, BootFailures: 0.2})
			d := open(t, c.Kind(), driver.Config{})
			began := time.Now()
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			w, _ := driver.As[driver.Watcher](d)
			wg.Go(func() {
				_ = w.Watch(ctx, func(m driver.Machine) { died[m.ID] = time.Since(began) })
			})
			synctest.Wait()
			var failed []driver.MachineID
			for _, i := range order {
				if m := create(t, d, i, nil); m.State == driver.Failed {
					failed = append(failed, m.ID)
				}
			}
			time.Sleep(24 * time.Hour)
			cancel()
			wg.Wait()
			for _, id := range failed {
				died[id] = 0
			}
		})
		return died
	}
	var up, down []int
	for i := range 200 {
		up, down = append(up, i), append([]int{i}, down...)
	}
	a, b := fates(up), fates(down)
	if len(a) != 200 {
		t.Errorf("only %d of 200 machines died within a day", len(a))
	}
	failed := 0
	for id, at := range a {
		if b[id] != at {
			t.Errorf("%s died after %s, and after %s", id, at, b[id])
		}
		if at == 0 {
			failed++
		}
	}
	if failed < 20 || failed > 60 {
		t.Errorf("%d of 200 failed to boot, want about 40", failed)
	}
}

func TestBounds(t *testing.T) {
	ctx := context.Background()
	c := sim.NewCloud(sim.Options{Capacity: 2, Guarantee: driver.Token})
	d := open(t, c.Kind(), driver.Config{})
	create(t, d, 1, nil)
	create(t, d, 2, nil)
	if _, err := d.Create(ctx, driver.Request{ID: id(3)}); !errors.Is(err, driver.ErrCapacity) {
		t.Errorf("beyond its capacity: %v", err)
	}
	create(t, d, 2, nil) // is there already
	c.Set(func(o *sim.Options) { o.Capacity, o.Rate = 0, 1 })
	create(t, d, 3, nil)
	_, err := d.Create(ctx, driver.Request{ID: id(4)})
	if after := driver.RetryAfter(err); !errors.Is(err, driver.ErrThrottled) || after <= 0 || after > time.Second {
		t.Errorf("beyond its rate: %v, to be asked again in %s", err, after)
	}
}

func TestOutage(t *testing.T) {
	c := sim.NewCloud(sim.Options{})
	d := open(t, c.Kind(), driver.Config{})
	create(t, d, 1, nil)
	w, _ := driver.As[driver.Watcher](d)
	ended := make(chan error)
	go func() { ended <- w.Watch(t.Context(), func(driver.Machine) {}) }()
	for c.Calls()["watch"] == 0 {
		runtime.Gosched()
	}
	c.Outage(true)
	if err := <-ended; !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("watch ended with %v", err)
	}
	if err := d.Destroy(t.Context(), driver.Ref{ID: id(1)}, driver.Hard); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("destroy: %v", err)
	}
	c.Outage(false)
	if len(list(t, d)) != 1 {
		t.Error("the machine did not survive the outage")
	}
}

func TestListsThatLie(t *testing.T) {
	c := sim.NewCloud(sim.Options{ListDrop: 0.5})
	d := open(t, c.Kind(), driver.Config{})
	for i := range 1000 {
		create(t, d, i, nil)
	}
	if n := len(list(t, d)); n < 400 || n > 600 {
		t.Errorf("%d of 1000 machines are listed, want about 500", n)
	}
	c.Set(func(o *sim.Options) { o.ListDrop, o.ListCut = 0, 1 })
	n := 0
	var end error
	for _, err := range d.List(t.Context()) {
		if end = err; err == nil {
			n++
		}
	}
	if n == 0 || n == 1000 || !errors.Is(end, driver.ErrUnavailable) {
		t.Errorf("a list that breaks off: %d machines, then %v", n, end)
	}
	synctest.Test(t, func(t *testing.T) {
		c := sim.NewCloud(sim.Options{ListStale: time.Minute, VisibleAfter: time.Second})
		d := open(t, c.Kind(), driver.Config{})
		create(t, d, 1, nil)
		create(t, d, 2, nil)
		if n := len(list(t, d)); n != 0 {
			t.Errorf("%d machines are visible at once", n)
		}
		time.Sleep(2 * time.Minute)
		c.Kill(id(1))
		c.Remove(id(2))
		for id, m := range list(t, d) {
			if m.State != driver.Running {
				t.Errorf("%s is %s already", id, m.State)
			}
		}
		time.Sleep(2 * time.Minute)
		if l := list(t, d); len(l) != 1 || l[id(1)].State != driver.Exited {
			t.Errorf("later: %v", l)
		}
	})
}

func TestDoubles(t *testing.T) {
	c := sim.NewCloud(sim.Options{Guarantee: driver.None})
	d := open(t, c.Kind(), driver.Config{})
	var natives []string
	for range 3 {
		natives = append(natives, create(t, d, 1, nil).Native)
	}
	if c.Doubles() != 2 || c.Len() != 3 {
		t.Fatalf("%d doubles, %d machines", c.Doubles(), c.Len())
	}
	if err := d.Destroy(t.Context(), driver.Ref{ID: id(1), Native: natives[1]}, driver.Hard); err != nil || c.Len() != 2 {
		t.Errorf("after one was destroyed there are %d: %v", c.Len(), err)
	}
	if err := d.Destroy(t.Context(), driver.Ref{ID: id(1)}, driver.Hard); err != nil || c.Len() != 0 {
		t.Errorf("after all were destroyed there are %d: %v", c.Len(), err)
	}
}

// No change gets lost while many happen at once and the reader is slow.
func TestWatchLosesNothing(t *testing.T) {
	const n = 20000
	c := sim.NewCloud(sim.Options{})
	d := open(t, c.Kind(), driver.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, _ := driver.As[driver.Watcher](d)
	gone := map[driver.MachineID]bool{}
	ended, first := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		stands := false
		_ = w.Watch(ctx, func(m driver.Machine) {
			if !stands {
				stands = true
				close(first)
			}
			if m.State == driver.Gone && m.ID != id(n) {
				gone[m.ID] = true
			}
			if len(gone) == n {
				cancel()
			}
		})
	}()
	for i := range n {
		create(t, d, i, nil)
	}
	for seen := false; !seen; { // until the stream stands
		create(t, d, n, nil)
		c.Remove(id(n))
		select {
		case <-first:
			seen = true
		default:
			runtime.Gosched()
		}
	}
	if killed := c.KillFraction(0.3, 1); killed < n/4 || killed > n/3+n/20 {
		t.Errorf("%d of %d were killed, want 30 %%", killed, n)
	}
	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			for i := part; i < n; i += 4 {
				if err := d.Destroy(ctx, driver.Ref{ID: id(i)}, driver.Hard); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatalf("%d of %d removals were seen", len(gone), n)
	}
}

func TestKeepRequests(t *testing.T) {
	c := sim.NewCloud(sim.Options{KeepRequests: true})
	d := open(t, c.Kind(), driver.Config{})
	create(t, d, 1, nil)
	if r, ok := c.Request(id(1)); !ok || r.ID != id(1) {
		t.Errorf("request %v, %t", r, ok)
	}
	r, _ := driver.As[driver.Refresher](d)
	if err := r.Refresh(t.Context(), driver.Ref{ID: id(1)}, []driver.File{{Path: "a", Content: []byte("b")}}); err != nil || string(c.Files(id(1))["a"].Content) != "b" {
		t.Errorf("files %v: %v", c.Files(id(1)), err)
	}
	c.SetHealth(id(1), false)
	p, _ := driver.As[driver.Prober](d)
	if exit, err := p.Exec(t.Context(), driver.Ref{ID: id(1)}, driver.Command{}); exit != 1 || err != nil {
		t.Errorf("exec in a sick machine: %d, %v", exit, err)
	}
}

func TestAccountRefused(t *testing.T) {
	for _, v := range []map[string]any{{"errors": 1.5}, {"jitter": -1}, {"capacity": -1}, {"persist": true, "name": "../x"}} {
		cfg := driver.Config{Dir: t.TempDir(), Values: account(t, v)}
		if _, err := sim.Kind().New(t.Context(), cfg); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%v: error %v", v, err)
		}
	}
}

func BenchmarkContract(b *testing.B) {
	drivertest.Bench(b, harness(sim.NewCloud(sim.Options{Guarantee: driver.Token})))
}

func BenchmarkCreate(b *testing.B) {
	d := open(b, sim.NewCloud(sim.Options{Guarantee: driver.Token}).Kind(), driver.Config{})
	benchmarkCreate(b, d)
}

func BenchmarkCreateWrapped(b *testing.B) {
	k := sim.NewCloud(sim.Options{Guarantee: driver.Token}).Kind()
	benchmarkCreate(b, driver.Wrap(open(b, k, driver.Config{}), k, driver.WrapOptions{Observer: func(string, time.Duration, error) {}}))
}

func benchmarkCreate(b *testing.B, d driver.Driver) {
	ids := make([]driver.MachineID, b.N)
	for i := range ids {
		ids[i] = id(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range ids {
		if _, err := d.Create(context.Background(), driver.Request{ID: ids[i]}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMillion measures memory for each of a million machines, and a list of them all.
func BenchmarkMillion(b *testing.B) {
	k := sim.NewCloud(sim.Options{Guarantee: driver.Token}).Kind()
	raw := open(b, k, driver.Config{})
	d := driver.Wrap(raw, k, driver.WrapOptions{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 1_000_000
	for i := range n {
		if _, err := raw.Create(context.Background(), driver.Request{ID: id(i)}); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ResetTimer()
	for range b.N {
		seen := 0
		for _, err := range d.List(context.Background()) {
			if err != nil {
				b.Fatal(err)
			}
			seen++
		}
		if seen != n {
			b.Fatalf("%d listed", seen)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/machine")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/machine")
}

func id(i int) driver.MachineID { return driver.MachineID(fmt.Sprintf("1-%d-1", i)) }

func account(t testing.TB, values map[string]any) map[string]any {
	t.Helper()
	checked, err := sim.Kind().CheckAccount(values)
	if err != nil {
		t.Fatal(err)
	}
	return checked
}

func open(t testing.TB, k *driver.Kind, cfg driver.Config) driver.Driver {
	t.Helper()
	d, err := k.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func create(t testing.TB, d driver.Driver, i int, options map[string]any) driver.Machine {
	t.Helper()
	checked, err := sim.Kind().Check(options)
	if err != nil {
		t.Fatal(err)
	}
	m, err := d.Create(context.Background(), driver.Request{ID: id(i), Options: checked})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func act(t testing.TB, d driver.Driver, i int, action driver.Action) {
	t.Helper()
	a, _ := driver.As[driver.Actor](d)
	if err := a.Act(context.Background(), driver.Ref{ID: id(i)}, action, "", ""); err != nil {
		t.Fatal(err)
	}
}

func list(t testing.TB, d driver.Driver) map[driver.MachineID]driver.Machine {
	t.Helper()
	found := map[driver.MachineID]driver.Machine{}
	for m, err := range d.List(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		found[m.ID] = m
	}
	return found
}

func values(m map[driver.MachineID]driver.Machine) []driver.Machine {
	var all []driver.Machine
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

func TestNetworks(t *testing.T) {
	ctx := context.Background()
	cfg := driver.Config{Dir: t.TempDir(), Installation: "i", Values: account(t, map[string]any{"persist": true})}
	maker := func() driver.Resourcer {
		r, ok := driver.As[driver.Resourcer](open(t, sim.Kind(), cfg))
		if !ok {
			t.Fatal("sim makes no resources")
		}
		return r
	}
	r := maker()
	made := map[driver.MachineID]driver.Resource{}
	for _, req := range []driver.ResourceRequest{
		{ID: "7-r1", Kind: "network", Name: "private"},
		{ID: "7-r2", Kind: "network", Name: "public", Options: map[string]any{"cidr": "10.1.0.0/16"}},
	} {
		n, err := r.MakeResource(ctx, req)
		if err != nil || n.State != driver.Running {
			t.Fatalf("%+v: %v", n, err)
		}
		made[req.ID] = n
	}
	if made["7-r2"].Outputs["cidr"] != "10.1.0.0/16" || made["7-r1"].Outputs["id"] == made["7-r2"].Outputs["id"] {
		t.Errorf("made %v", made)
	}
	if v, err := r.MakeResource(ctx, driver.ResourceRequest{ID: "7-r8", Kind: "volume", Name: "data", Options: map[string]any{"size": 2.5}}); err != nil || v.Outputs["size"] != "2.5" || v.Outputs["cidr"] != "" {
		t.Errorf("a volume is %+v, %v", v, err)
	}
	if err := r.RemoveResource(ctx, driver.Ref{ID: "7-r8"}); err != nil {
		t.Error(err)
	}
	if _, err := r.MakeResource(ctx, driver.ResourceRequest{ID: "7-r3", Kind: "network", Options: map[string]any{"cidr": "ten"}}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("cidr ten: %v", err)
	}
	if err := r.RemoveResource(ctx, driver.Ref{ID: "7-r1"}); err != nil {
		t.Fatal(err)
	}
	r = maker() // another process would do the same
	for n, err := range r.ListResources(ctx) {
		if err != nil || !reflect.DeepEqual(n, made["7-r2"]) {
			t.Errorf("after a restart: %+v, %v; want %+v", n, err, made["7-r2"])
		}
		delete(made, n.ID)
	}
	if len(made) != 1 {
		t.Errorf("after a restart %v are missing", made)
	}

	c := sim.NewCloud(sim.Options{BootFailures: 1})
	broken, _ := driver.As[driver.Resourcer](open(t, c.Kind(), driver.Config{Installation: "i"}))
	if n, err := broken.MakeResource(ctx, driver.ResourceRequest{ID: "7-r1", Kind: "network"}); err != nil || n.State != driver.Failed || n.Reason == "" {
		t.Errorf("a network that fails: %+v, %v", n, err)
	}
	c.Outage(true)
	if _, err := broken.MakeResource(ctx, driver.ResourceRequest{ID: "7-r2", Kind: "network"}); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("in an outage: %v", err)
	}
}
