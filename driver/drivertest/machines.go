package drivertest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

func kindIsWhole(a *account) {
	k := a.Kind
	if k.Name == "" || k.Help == "" || strings.ToLower(k.Name) != k.Name {
		a.Errorf("name %q and help %q: both are needed, the name in lower case", k.Name, k.Help)
	}
	lists := [][]driver.Option{k.Account, k.Options}
	for _, r := range k.Resources {
		if r.Name == "" || r.Help == "" {
			a.Errorf("resources of kind %q lack their name or help", r.Name)
		}
		lists = append(lists, r.Options)
	}
	for _, options := range lists {
		seen := map[string]bool{}
		for _, o := range options {
			if seen[o.Name] {
				a.Errorf("option %q is there twice", o.Name)
			}
			seen[o.Name] = true
			if o.Help == "" || o.Type == "" {
				a.Errorf("option %q lacks its help or type", o.Name)
			}
			if o.Default != nil {
				one := driver.Kind{Options: []driver.Option{o}}
				if _, err := one.Check(nil); err != nil {
					a.Errorf("default: %v", err)
				}
			}
		}
	}
	if _, ok := driver.As[driver.Actor](a.d); ok != (len(k.Actions) > 0) {
		a.Errorf("Kind.Actions has %d actions, but being an Actor is %t", len(k.Actions), ok)
	}
	if _, ok := driver.As[driver.Resourcer](a.d); ok != (len(k.Resources) > 0) {
		a.Errorf("Kind.Resources has %d kinds, but being a Resourcer is %t", len(k.Resources), ok)
	}
}

func life(a *account) {
	before := time.Now().Add(-time.Minute)
	m := a.create()
	if m.Native == "" {
		a.Error("Create returned no native id")
	}
	a.settle()
	m = a.await(m.ID, driver.Running)
	if m.Created.Before(before) || m.Created.After(time.Now().Add(time.Minute)) {
		a.Errorf("created at %s: not now", m.Created)
	}
	for _, text := range m.Addresses {
		if _, err := netip.ParseAddr(text); err != nil {
			a.Errorf("address %q: %v", text, err)
		}
	}
	other := a.create()
	a.settle()
	other = a.await(other.ID, driver.Running)
	if len(m.Addresses) > 0 && len(other.Addresses) > 0 && m.Addresses[0] == other.Addresses[0] {
		a.Errorf("two machines share the address %s", m.Addresses[0])
	}
	a.destroy(m, driver.Hard)
	if got := a.find(m.ID); got.State != driver.Gone {
		a.Errorf("after its destruction the machine is %s", got.State)
	}
	if got := a.find(other.ID); got.State != driver.Running {
		a.Errorf("after the destruction of another the machine is %s", got.State)
	}
}

func createTwice(a *account) {
	if a.Kind.Guarantee == driver.None {
		a.Skip("the driver guarantees nothing")
	}
	req := a.request(a.Options)
	first := a.createAs(req)
	second, err := a.d.Create(a.ctx(), req)
	if err != nil {
		a.Fatalf("the same request again: %v", err)
	}
	if second.Native != first.Native {
		a.Errorf("the same request made %q, then %q", first.Native, second.Native)
	}
	a.settle()
	a.wantOne(req.ID)
}

func (a *account) wantOne(id driver.MachineID) {
	a.Helper()
	if n := len(a.list(a.d)[id]); n != 1 {
		a.Errorf("%d machines bear the id %s, want 1", n, id)
	}
}

func createAtOnce(a *account) {
	if a.Kind.Guarantee == driver.None {
		a.Skip("the driver guarantees nothing")
	}
	req := a.request(a.Options)
	ctx := a.ctx()
	const calls = 8
	var made [calls]driver.Machine
	var errs [calls]error
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() { made[i], errs[i] = a.d.Create(ctx, req) })
	}
	wg.Wait()
	native := ""
	for i := range calls {
		switch {
		case errs[i] != nil && driver.Definite(errs[i]):
			a.Errorf("create: %v: a definite refusal, but the machine exists", errs[i])
		case errs[i] == nil && native != "" && made[i].Native != native:
			a.Errorf("one id, two machines: %q and %q", native, made[i].Native)
		case errs[i] == nil:
			native = made[i].Native
		}
	}
	if native == "" {
		a.Fatalf("no call succeeded: %v", errors.Join(errs[:]...))
	}
	a.settle()
	a.wantOne(req.ID)
}

func createCancelled(a *account) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	req := a.request(a.Options)
	if _, err := a.d.Create(ctx, req); !errors.Is(err, context.Canceled) {
		a.Errorf("create with a cancelled context: error %v, want context.Canceled", err)
	}
	// Whether it was made is open; destroying it settles that.
	a.destroy(driver.Machine{ID: req.ID}, driver.Hard)
	a.settle()
	if m := a.find(req.ID); m.State != driver.Gone {
		a.Errorf("after its destruction the machine is %s", m.State)
	}
	for _, err := range a.d.List(ctx) {
		if err == nil {
			continue
		}
		if !errors.Is(err, context.Canceled) {
			a.Errorf("list with a cancelled context: error %v, want context.Canceled", err)
		}
		return
	}
	a.Error("list with a cancelled context ended as if it were complete")
}

func destroyTwice(a *account) {
	m := a.create()
	a.destroy(m, driver.Hard)
	a.destroy(m, driver.Hard)
	a.destroy(driver.Machine{ID: m.ID}, driver.Graceful)
	var wg sync.WaitGroup
	m = a.create()
	ctx := a.ctx()
	for range 4 {
		wg.Go(func() {
			if err := a.d.Destroy(ctx, ref(m), driver.Hard); err != nil {
				a.Errorf("destroy by several at once: %v", err)
			}
		})
	}
	wg.Wait()
	if got := a.find(m.ID); got.State != driver.Gone {
		a.Errorf("after its destruction the machine is %s", got.State)
	}
}

func destroyUnknown(a *account) {
	a.destroy(driver.Machine{ID: "9-9-9"}, driver.Hard)
	a.destroy(driver.Machine{ID: "9-9-9"}, driver.Graceful)
}

// probed is a context that tells when the driver first looks at it, so that the test knows that the
// call is inside the driver.
type probed struct {
	context.Context
	once   sync.Once
	inside chan struct{}
}

func (p *probed) Err() error { p.once.Do(func() { close(p.inside) }); return p.Context.Err() }
func (p *probed) Done() <-chan struct{} {
	p.once.Do(func() { close(p.inside) })
	return p.Context.Done()
}

func destroyDuringCreate(a *account) {
	for i := range 20 {
		req := a.request(a.Options)
		ctx := &probed{Context: a.ctx(), inside: make(chan struct{})}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = a.d.Create(ctx, req) // either answer will do
		}()
		select {
		case <-ctx.inside:
		case <-ended:
		}
		if i%2 == 1 { // later by a little more each time
			<-time.After(time.Duration(i) * 100 * time.Microsecond)
		}
		if err := a.d.Destroy(a.ctx(), driver.Ref{ID: req.ID}, driver.Hard); err != nil {
			a.Fatalf("destroy during create: %v", err)
		}
		<-ended
		a.settle()
		if m := a.find(req.ID); m.State != driver.Gone {
			a.Fatalf("round %d: destroyed during its creation, but the machine is %s", i, m.State)
		}
	}
}

func destroyGraceful(a *account) {
	m := a.create()
	a.settle()
	a.await(m.ID, driver.Running)
	a.destroy(m, driver.Graceful)
	if got := a.find(m.ID); got.State != driver.Gone {
		a.Errorf("after its destruction the machine is %s", got.State)
	}
}

func listMany(a *account) {
	const n = 12
	want := map[driver.MachineID]bool{}
	for range n {
		want[a.create().ID] = true
	}
	a.settle()
	got := a.list(a.d)
	for id := range want {
		if len(got[id]) != 1 {
			a.Errorf("%s is listed %d times", id, len(got[id]))
		}
	}
	if len(got) != n {
		a.Errorf("%d machines are listed, want %d", len(got), n)
	}
}

func listStops(a *account) {
	a.create()
	a.create()
	a.settle()
	n := 0
	for range a.d.List(a.ctx()) {
		n++
		break
	}
	if n != 1 {
		a.Errorf("%d items before the break", n)
	}
	if got := len(a.list(a.d)); got != 2 {
		a.Errorf("a list after one that was left early yields %d machines, want 2", got)
	}
}

func listOwnOnly(a *account) {
	mine := a.create()
	cfg := a.cfg
	cfg.Installation += "-other"
	other := a.openAs(cfg)
	a.settle()
	if found := a.list(other); len(found) != 0 {
		a.Errorf("another installation sees %v", found)
	}
	if err := other.Destroy(a.ctx(), driver.Ref{ID: mine.ID}, driver.Hard); err != nil {
		a.Errorf("destroy by another installation: %v", err)
	}
	if m := a.find(mine.ID); m.State == driver.Gone {
		a.Error("another installation destroyed the machine")
	}
}

func reopen(a *account) {
	req := a.request(a.Options)
	m := a.createAs(req)
	a.settle()
	a.await(m.ID, driver.Running)
	a.d = a.openAs(a.cfg)
	got := a.await(m.ID, driver.Running)
	if got.Native != m.Native {
		a.Errorf("reopened, the machine is %q, before it was %q", got.Native, m.Native)
	}
	if a.Kind.Guarantee != driver.None {
		again := a.createAs(req)
		if again.Native != m.Native {
			a.Errorf("reopened, the same request made %q beside %q", again.Native, m.Native)
		}
		a.wantOne(req.ID)
	}
	a.destroy(m, driver.Hard)
	if got := a.find(m.ID); got.State != driver.Gone {
		a.Errorf("after its destruction the machine is %s", got.State)
	}
}

func optionsRefused(a *account) {
	refused := append([]map[string]any{{"no-such-option": "x"}}, a.Refused...)
	for _, options := range refused {
		checked, err := a.Kind.Check(options)
		if err == nil {
			req := a.request(a.Options)
			req.Options = checked
			_, err = a.d.Create(a.ctx(), req)
		}
		a.wantClass(err, driver.ErrInvalid, fmt.Sprintf("options %v", options))
	}
	a.settle()
	if found := a.list(a.d); len(found) != 0 {
		a.Errorf("refused, but made: %v", found)
	}
}

func exits(a *account) {
	if a.Exits == nil {
		a.Skip("the harness knows no machine that ends by itself")
	}
	for _, code := range []int{0, 3} {
		m := a.createAs(a.request(a.Exits(code)))
		a.settle()
		m = a.await(m.ID, driver.Exited)
		if m.ExitCode != code {
			a.Errorf("exit code %d, want %d", m.ExitCode, code)
		}
		a.destroy(m, driver.Graceful)
		if got := a.find(m.ID); got.State != driver.Gone {
			a.Errorf("after its destruction the machine is %s", got.State)
		}
	}
}

func generations(a *account) {
	m := a.create()
	a.settle()
	if got := a.find(m.ID); got.Generation != a.cfg.Generation {
		a.Errorf("generation %d, want %d", got.Generation, a.cfg.Generation)
	}
	s := skip[driver.Stamper](a)
	if err := s.Stamp(a.ctx(), ref(m), 7); err != nil {
		a.Fatalf("stamp: %v", err)
	}
	a.settle()
	if got := a.find(m.ID); got.Generation != 7 {
		a.Errorf("generation %d after it was stamped 7", got.Generation)
	}
	a.d = a.openAs(a.cfg)
	if got := a.find(m.ID); got.Generation != 7 {
		a.Errorf("reopened, generation %d after it was stamped 7", got.Generation)
	}
	a.wantClass(s.Stamp(a.ctx(), driver.Ref{ID: "9-9-9"}, 7), driver.ErrNotFound, "stamp an unknown machine")
}
