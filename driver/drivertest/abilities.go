package drivertest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

func hold(a *account) {
	if !a.Kind.Supports(driver.Release) {
		a.Skip("the driver cannot hold machines")
	}
	actor := skip[driver.Actor](a)
	req := a.request(a.Options)
	req.Hold = true
	m := a.createAs(req)
	a.settle()
	a.await(m.ID, driver.Held)
	if err := actor.Act(a.ctx(), ref(m), driver.Release, "", "release-1"); err != nil {
		a.Fatalf("release: %v", err)
	}
	a.await(m.ID, driver.Running)
	req = a.request(a.Options)
	req.Hold = true
	m = a.createAs(req)
	a.destroy(m, driver.Graceful)
	if got := a.find(m.ID); got.State != driver.Gone {
		a.Errorf("held and destroyed, the machine is %s", got.State)
	}
}

// effects lists what the actions do to a running machine, and how it comes back.
var effects = []struct {
	action driver.Action
	args   string
	want   []driver.State
}{
	{driver.Suspend, "", []driver.State{driver.Suspended}},
	{driver.Stop, "", []driver.State{driver.Stopped}},
	{driver.Poweroff, "", []driver.State{driver.Stopped}},
	{driver.PoweroffHard, "", []driver.State{driver.Stopped}},
	{driver.Undeploy, "", []driver.State{driver.Undeployed, driver.Stopped}},
	{driver.UndeployHard, "", []driver.State{driver.Undeployed, driver.Stopped}},
	{driver.Reboot, "", []driver.State{driver.Running}},
	{driver.RebootHard, "", []driver.State{driver.Running}},
	{driver.SnapshotCreate, "one", []driver.State{driver.Running}},
	{driver.SnapshotRevert, "one", []driver.State{driver.Running}},
	{driver.SnapshotDelete, "one", []driver.State{driver.Running}},
	{driver.DiskSnapshotCreate, "0,one", []driver.State{driver.Running}},
	{driver.DiskSnapshotRevert, "0,one", []driver.State{driver.Running}},
	{driver.DiskSnapshotDelete, "0,one", []driver.State{driver.Running}},
}

func actions(a *account) {
	actor := skip[driver.Actor](a)
	m := a.create()
	a.settle()
	a.await(m.ID, driver.Running)
	act := func(action driver.Action, args, token string) {
		a.Helper()
		for range 2 { // a repeated call with the same token is no second action
			if err := actor.Act(a.ctx(), ref(m), action, args, token); err != nil {
				a.Fatalf("%s: %v", action, err)
			}
		}
	}
	for i, e := range effects {
		if !a.Kind.Supports(e.action) {
			continue
		}
		act(e.action, e.args, fmt.Sprintf("t-%d", i))
		got := a.await(m.ID, e.want...)
		if got.State != driver.Running {
			act(driver.Resume, "", fmt.Sprintf("t-%d-resume", i))
			a.await(m.ID, driver.Running)
		}
	}
	if a.Kind.Supports(driver.Suspend) { // a machine that does not run can still be removed
		act(driver.Suspend, "", "t-last")
		a.await(m.ID, driver.Suspended)
	}
	a.destroy(m, driver.Graceful)
	if got := a.find(m.ID); got.State != driver.Gone {
		a.Errorf("after its destruction the machine is %s", got.State)
	}
}

func actionsRefused(a *account) {
	actor := skip[driver.Actor](a)
	m := a.create()
	a.wantClass(actor.Act(a.ctx(), ref(m), "explode", "", "t"), driver.ErrUnsupported, "an unknown action")
	for _, e := range effects {
		if !a.Kind.Supports(e.action) {
			a.wantClass(actor.Act(a.ctx(), ref(m), e.action, e.args, "t"), driver.ErrUnsupported, string(e.action))
		}
	}
	a.wantClass(actor.Act(a.ctx(), driver.Ref{ID: "9-9-9"}, a.Kind.Actions[0], "", "t"), driver.ErrNotFound, "an action on an unknown machine")
	if a.Kind.Supports(driver.SnapshotRevert) {
		if err := actor.Act(a.ctx(), ref(m), driver.SnapshotRevert, "no-such", "t2"); err == nil {
			a.Error("a revert to an unknown snapshot is accepted")
		}
	}
}

// A recorder collects what Watch emits.
type recorder struct {
	mu   sync.Mutex
	seen map[driver.MachineID]driver.Machine
}

func (r *recorder) emit(m driver.Machine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[m.ID] = m
}

// any returns nil once something has been emitted.
func (r *recorder) any() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seen) == 0 {
		return errors.New("watch emits nothing")
	}
	return nil
}

func (r *recorder) is(id driver.MachineID, s driver.State) func() error {
	return func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if m := r.seen[id]; m.ID != id || m.State != s {
			return fmt.Errorf("watch says that %s is %s, not %s", id, m.State, s)
		}
		return nil
	}
}

func watches(a *account) {
	w := skip[driver.Watcher](a)
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{seen: map[driver.MachineID]driver.Machine{}}
	ended := make(chan error, 1)
	go func() { ended <- w.Watch(ctx, r.emit) }()
	defer func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, context.Canceled) {
				a.Errorf("watch ended with %v", err)
			}
		case <-time.After(a.Timeout):
			a.Error("watch does not end with its context")
		}
	}()
	// The stream is not known to stand before it has emitted something: remove machines until it does.
	a.until(func() error {
		m := a.create()
		a.destroy(m, driver.Hard)
		return r.any()
	})
	m := a.create()
	if m.State != driver.Running {
		a.until(r.is(m.ID, driver.Running))
	}
	a.destroy(m, driver.Hard)
	a.until(r.is(m.ID, driver.Gone))
	if a.Exits != nil {
		m := a.createAs(a.request(a.Exits(5)))
		if m.State != driver.Exited {
			a.until(r.is(m.ID, driver.Exited))
			r.mu.Lock()
			if code := r.seen[m.ID].ExitCode; code != 5 {
				a.Errorf("exit code %d, want 5", code)
			}
			r.mu.Unlock()
		}
	}
	if a.Kill != nil {
		m := a.create()
		a.settle()
		m = a.await(m.ID, driver.Running)
		a.Kill(a.TB, m)
		a.until(func() error {
			if r.is(m.ID, driver.Failed)() == nil {
				return nil
			}
			return r.is(m.ID, driver.Exited)()
		})
	}
	if a.Remove != nil {
		m := a.create()
		a.settle()
		m = a.await(m.ID, driver.Running)
		a.Remove(a.TB, m)
		a.until(r.is(m.ID, driver.Gone))
	}
}

func logs(a *account) {
	l := skip[driver.Logger](a)
	if a.Prints == nil {
		a.Skip("the harness knows no machine that prints")
	}
	m := a.createAs(a.request(a.Prints("hello from inside")))
	a.settle()
	a.await(m.ID, driver.Running)
	a.until(func() error {
		r, err := l.Logs(a.ctx(), ref(m), driver.LogOptions{Tail: 10})
		if err != nil {
			return err
		}
		defer r.Close()
		text, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if err == nil && !strings.Contains(string(text), "hello from inside") {
			err = fmt.Errorf("the log is %q", text)
		}
		return err
	})
	ctx, cancel := context.WithCancel(a.ctx())
	defer cancel()
	r, err := l.Logs(ctx, ref(m), driver.LogOptions{Follow: true})
	if err != nil {
		a.Fatalf("logs: %v", err)
	}
	defer r.Close()
	lines := bufio.NewReader(r)
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, "hello") {
		a.Fatalf("first line that follows: %q, %v", line, err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, lines); err != nil && !errors.Is(err, context.Canceled) {
		a.Errorf("the end of a log that is followed: %v", err)
	}
	_, err = l.Logs(a.ctx(), driver.Ref{ID: "9-9-9"}, driver.LogOptions{})
	a.wantClass(err, driver.ErrNotFound, "logs of an unknown machine")
}

func execs(a *account) {
	p := skip[driver.Prober](a)
	m := a.create()
	a.settle()
	a.await(m.ID, driver.Running)
	if a.Echo != nil {
		var out bytes.Buffer
		exit, err := p.Exec(a.ctx(), ref(m), driver.Command{Args: a.Echo, Stdout: &out})
		if err != nil || exit != 0 || strings.TrimSpace(out.String()) != "troupe" {
			a.Errorf("exec %q: exit %d, output %q, error %v", a.Echo, exit, out.String(), err)
		}
	}
	if a.Three != nil {
		if exit, err := p.Exec(a.ctx(), ref(m), driver.Command{Args: a.Three}); err != nil || exit != 3 {
			a.Errorf("exec %q: exit %d, error %v, want 3", a.Three, exit, err)
		}
	}
	_, err := p.Exec(a.ctx(), driver.Ref{ID: "9-9-9"}, driver.Command{Args: []string{"true"}})
	a.wantClass(err, driver.ErrNotFound, "exec in an unknown machine")
}

func refreshes(a *account) {
	r := skip[driver.Refresher](a)
	m := a.create()
	a.settle()
	a.await(m.ID, driver.Running)
	files := []driver.File{{Path: "etc/app.conf", Content: []byte("peers=10.0.0.1\n")}}
	for range 2 {
		if err := r.Refresh(a.ctx(), ref(m), files); err != nil {
			a.Fatalf("refresh: %v", err)
		}
	}
	if got := a.find(m.ID); got.State != driver.Running {
		a.Errorf("after a refresh the machine is %s", got.State)
	}
	a.wantClass(r.Refresh(a.ctx(), driver.Ref{ID: "9-9-9"}, files), driver.ErrNotFound, "refresh of an unknown machine")
}

func data(a *account) {
	k := skip[driver.DataKeeper](a)
	req := a.request(a.Options)
	req.Data = "data-1"
	m := a.createAs(req)
	a.destroy(m, driver.Hard)
	successor := a.request(a.Options)
	successor.Data = "data-1"
	m = a.createAs(successor)
	a.destroy(m, driver.Hard)
	for range 2 { // removing what is gone is no error
		if err := k.RemoveData(a.ctx(), "data-1"); err != nil {
			a.Errorf("remove data: %v", err)
		}
	}
}

func measures(a *account) {
	s := skip[driver.Measurer](a)
	m := a.create()
	a.settle()
	a.await(m.ID, driver.Running)
	a.until(func() error {
		for f, err := range s.Measure(a.ctx()) {
			if err != nil {
				return err
			}
			if f.ID == m.ID {
				if f.CPUSeconds < 0 || f.MemoryBytes < 0 {
					a.Errorf("negative figures: %+v", f)
				}
				return nil
			}
		}
		return fmt.Errorf("no figures of %s", m.ID)
	})
}

// address: what is told of a machine before it is made is true once it is made.
func address(a *account) {
	d := skip[driver.Addresser](a)
	req := a.request(a.Options)
	told, err := d.Address(a.ctx(), req)
	if err != nil {
		a.Fatalf("address: %v", err)
	}
	if again, err := d.Address(a.ctx(), req); err != nil || again != told {
		a.Errorf("asked again: %q, %v; before it was %q", again, err, told)
	}
	other := a.request(a.Options)
	other.Address = told
	if taken, err := d.Address(a.ctx(), other); err != nil || taken == told && told != "" {
		a.Errorf("address %q is told of two machines: %v", taken, err)
	}
	if err := a.d.Destroy(a.ctx(), driver.Ref{ID: other.ID}, driver.Hard); err != nil {
		a.Errorf("destroy what was never made: %v", err)
	}
	req.Address = told
	m := a.createAs(req)
	a.settle()
	m = a.await(m.ID, driver.Running)
	if told != "" && (len(m.Addresses) == 0 || m.Addresses[0] != told) {
		a.Errorf("told was %s, the machine has %v", told, m.Addresses)
	}
	if again, err := d.Address(a.ctx(), req); err != nil || again != told {
		a.Errorf("asked of a machine that is there: %q, %v; it has %q", again, err, told)
	}
	a.destroy(m, driver.Hard)
}
