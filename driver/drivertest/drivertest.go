// Package drivertest is the contract that every driver must pass.
//
// A driver's whole test is:
//
//	func TestContract(t *testing.T) {
//		drivertest.Run(t, drivertest.Harness{
//			Kind:    process.Kind(),
//			Config:  func(t testing.TB) driver.Config { return driver.Config{Dir: t.TempDir()} },
//			Options: map[string]any{"command": []any{"sleep", "1000"}},
//		})
//	}
package drivertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A Harness says how to reach a back end for tests. The fields after Options may be left out; the
// parts of the contract that need them are then skipped.
type Harness struct {
	Kind *driver.Kind
	// Config opens an account: a fresh one for each call. Installation and Generation are filled in
	// when they are empty; Values go through Kind.CheckAccount.
	Config func(t testing.TB) driver.Config
	// Options make a machine that runs until it is removed.
	Options map[string]any

	// Exits returns the options of a machine that ends by itself with the code, at once.
	Exits func(code int) map[string]any
	// Prints returns the options of a machine that prints the line, then runs on.
	Prints func(line string) map[string]any
	// Resources are the options of a resource of each kind, by the kind's name; absent means none.
	Resources map[string]map[string]any
	// Refused are options of which each must be refused as invalid.
	Refused []map[string]any
	// Kill makes the machine's main program die, behind the driver's back.
	Kill func(t testing.TB, m driver.Machine)
	// Remove makes the machine disappear, behind the driver's back.
	Remove func(t testing.TB, m driver.Machine)
	// Echo is a command that prints the word "troupe" inside a machine and exits 0; Three is one that
	// exits 3. nil: the exit code alone is not checked.
	Echo, Three []string
	// Timeout is how long a machine may take to reach a state; 0 means 10 s.
	Timeout time.Duration
}

// Run checks the whole contract. Each part is a subtest with an account of its own.
func Run(t *testing.T, h Harness) {
	if h.Timeout == 0 {
		h.Timeout = 10 * time.Second
	}
	for _, part := range []struct {
		name string
		test func(*account)
	}{
		{"Kind", kindIsWhole},
		{"Life", life},
		{"CreateTwice", createTwice},
		{"CreateAtOnce", createAtOnce},
		{"CreateWithCancelledContext", createCancelled},
		{"DestroyTwice", destroyTwice},
		{"DestroyUnknown", destroyUnknown},
		{"DestroyDuringCreate", destroyDuringCreate},
		{"DestroyGraceful", destroyGraceful},
		{"ListMany", listMany},
		{"ListStops", listStops},
		{"ListOwnOnly", listOwnOnly},
		{"Reopen", reopen},
		{"Options", optionsRefused},
		{"Hold", hold},
		{"Exit", exits},
		{"Generation", generations},
		{"Watch", watches},
		{"Actions", actions},
		{"ActionsRefused", actionsRefused},
		{"Logs", logs},
		{"Exec", execs},
		{"Refresh", refreshes},
		{"Data", data},
		{"Address", address},
		{"Measure", measures},
		{"Resources", resources},
		{"ResourcesRefused", resourcesRefused},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(open(t, h)) })
	}
}

// An account is one opened account of the driver in one test.
type account struct {
	testing.TB
	Harness
	cfg driver.Config
	d   driver.Driver
}

func open(t testing.TB, h Harness) *account {
	t.Helper()
	cfg := h.Config(t)
	if cfg.Installation == "" {
		cfg.Installation = fmt.Sprintf("test-%d-%d", time.Now().UnixNano(), serial.Add(1))
	}
	if cfg.Generation == 0 {
		cfg.Generation = 1
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	values, err := h.Kind.CheckAccount(cfg.Values)
	if err != nil {
		t.Fatalf("account of %s: %v", h.Kind.Name, err)
	}
	cfg.Values = values
	a := &account{TB: t, Harness: h, cfg: cfg}
	a.d = a.openAs(cfg)
	return a
}

var serial atomic.Int64

// openAs opens another account beside the first, and removes what it made at the end of the test.
func (a *account) openAs(cfg driver.Config) driver.Driver {
	a.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d, err := a.Kind.New(ctx, cfg)
	if err != nil {
		cancel()
		a.Fatalf("open %s: %v", a.Kind.Name, err)
	}
	a.Cleanup(func() {
		defer cancel()
		for m, err := range d.List(ctx) {
			if err != nil {
				a.Errorf("list for cleaning up: %v", err)
				return
			}
			if err := d.Destroy(ctx, driver.Ref{ID: m.ID, Native: m.Native}, driver.Hard); err != nil {
				a.Errorf("clean up %s: %v", m.ID, err)
			}
		}
	})
	return d
}

// ctx ends with the time-out of one step.
func (a *account) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), a.Timeout)
	a.Cleanup(cancel)
	return ctx
}

// request returns a request for a new machine with the options.
func (a *account) request(options map[string]any) driver.Request {
	a.Helper()
	checked, err := a.Kind.Check(maps.Clone(options))
	if err != nil {
		a.Fatalf("options of the harness: %v", err)
	}
	n := serial.Add(1)
	return driver.Request{
		ID: driver.MachineID(fmt.Sprintf("1-%d-1", n)), Name: fmt.Sprintf("web-%d", n), Project: "test", Service: "1",
		Role: "web", Number: int(n), Options: checked, Env: map[string]string{"ROLE": "web"}, Generation: a.cfg.Generation,
	}
}

// create makes a machine with the harness's options.
func (a *account) create() driver.Machine {
	a.Helper()
	return a.createAs(a.request(a.Options))
}

func (a *account) createAs(req driver.Request) driver.Machine {
	a.Helper()
	m, err := a.d.Create(a.ctx(), req)
	if err != nil {
		a.Fatalf("create: %v", err)
	}
	if m.ID != req.ID {
		a.Fatalf("create %s: the machine says that it is %q", req.ID, m.ID)
	}
	return m
}

func (a *account) destroy(m driver.Machine, mode driver.Shutdown) {
	a.Helper()
	if err := a.d.Destroy(a.ctx(), ref(m), mode); err != nil {
		a.Fatalf("destroy: %v", err)
	}
}

func ref(m driver.Machine) driver.Ref { return driver.Ref{ID: m.ID, Native: m.Native} }

// list returns what a complete List yields; several machines may bear one id.
func (a *account) list(d driver.Driver) map[driver.MachineID][]driver.Machine {
	a.Helper()
	found := map[driver.MachineID][]driver.Machine{}
	for m, err := range d.List(a.ctx()) {
		if err != nil {
			a.Fatalf("list: %v", err)
		}
		if m.State != driver.Gone {
			found[m.ID] = append(found[m.ID], m)
		}
	}
	return found
}

// find returns the machine with the id as List tells of it, or one in state Gone.
func (a *account) find(id driver.MachineID) driver.Machine {
	a.Helper()
	if ms := a.list(a.d)[id]; len(ms) > 0 {
		return ms[0]
	}
	return driver.Machine{ID: id, State: driver.Gone}
}

// await lists until the machine is in one of the states.
func (a *account) await(id driver.MachineID, states ...driver.State) driver.Machine {
	a.Helper()
	var m driver.Machine
	a.until(func() error {
		m = a.find(id)
		for _, s := range states {
			if m.State == s {
				return nil
			}
		}
		return fmt.Errorf("machine %s is %s (%s), not %v", id, m.State, m.Reason, states)
	})
	return m
}

// until calls check in short intervals until it returns nil, and fails the test after the time-out.
func (a *account) until(check func() error) {
	a.Helper()
	deadline := time.Now().Add(a.Timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			a.Fatalf("after %s: %v", a.Timeout, err)
		}
		<-tick.C
	}
}

// settle waits as long as the driver says that List may lag behind.
func (a *account) settle() {
	if a.Kind.VisibleAfter > 0 {
		<-time.After(a.Kind.VisibleAfter)
	}
}

func (a *account) wantClass(err, class error, what string) {
	a.Helper()
	if !errors.Is(err, class) {
		a.Errorf("%s: error %v, want one of class %q", what, err, class)
	}
}

func skip[T any](a *account) T {
	a.Helper()
	t, ok := driver.As[T](a.d)
	if !ok {
		a.Skipf("the driver is no %T", (*T)(nil))
	}
	return t
}
