//go:build linux

package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/docker/dockertest"
)

// A stage is one account of a daemon in one test.
type stage struct {
	testing.TB
	*dockertest.Daemon
	d    driver.Driver
	host *host
	name string // of the installation
}

var serial atomic.Int64

// newStage opens an account, and at the end of the test removes what was made and sees that nothing is left.
func newStage(t testing.TB, daemon *dockertest.Daemon, values map[string]any) *stage {
	t.Helper()
	s := &stage{TB: t, Daemon: daemon, name: fmt.Sprintf("st%d", serial.Add(1))}
	s.d = s.open(values)
	s.host = hostOf(s.d)
	t.Cleanup(s.clean)
	return s
}

// hostOf unwraps the driver.
func hostOf(d driver.Driver) *host {
	for {
		if h, ok := d.(*host); ok {
			return h
		}
		d = d.(interface{ Unwrap() driver.Driver }).Unwrap()
	}
}

func (s *stage) open(values map[string]any) driver.Driver {
	s.Helper()
	all := map[string]any{"endpoint": s.Endpoint}
	for k, v := range values {
		all[k] = v
	}
	checked, err := Kind().CheckAccount(all)
	s.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	s.Cleanup(cancel)
	d, err := Kind().New(ctx, driver.Config{Values: checked, Installation: s.name, Generation: 1})
	s.must(err)
	return d
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	s.Cleanup(cancel)
	return ctx
}

func (s *stage) request(options map[string]any) driver.Request {
	s.Helper()
	checked, err := Kind().Check(options)
	s.must(err)
	n := serial.Add(1)
	return driver.Request{ID: driver.MachineID(fmt.Sprintf("4-%d-1", n)), Name: fmt.Sprintf("web-%d", n), Project: "shop", Service: "4", Role: "web",
		Number: int(n), Options: checked, Generation: 1}
}

func (s *stage) create(req driver.Request) driver.Machine {
	s.Helper()
	m, err := s.d.Create(s.ctx(), req)
	s.must(err)
	return m
}

func (s *stage) run(options map[string]any) driver.Machine { return s.create(s.request(options)) }

func (s *stage) refused(req driver.Request, class error, says string) {
	s.Helper()
	_, err := s.d.Create(s.ctx(), req)
	if driver.Class(err) != driver.Class(class) || !strings.Contains(fmt.Sprint(err), says) {
		s.Errorf("error %v, want %v: %s", err, class, says)
	}
	if driver.Definite(err) {
		if found := s.containers(labelMachine + "=" + string(req.ID)); len(found) != 0 {
			s.Errorf("refused for certain, but there is %v", found[0].Names)
		}
	}
}

// containers returns the containers of the installation that have the labels, as the daemon tells.
func (s *stage) containers(labels ...string) []container.Summary {
	s.Helper()
	list, err := s.Client.ContainerList(s.ctx(), client.ContainerListOptions{All: true,
		Filters: make(client.Filters).Add("label", append(labels, labelInstallation+"="+s.name)...)})
	s.must(err)
	return list.Items
}

func (s *stage) inspect(m driver.Machine) container.InspectResponse {
	s.Helper()
	r, err := s.Client.ContainerInspect(s.ctx(), m.Native, client.ContainerInspectOptions{})
	s.must(err)
	return r.Container
}

// sh runs a script inside a machine and returns its output.
func (s *stage) sh(m driver.Machine, script string) string {
	s.Helper()
	var out bytes.Buffer
	exit, err := s.host.Exec(s.ctx(), ref(m), driver.Command{Args: []string{"/bin/sh", "-c", script}, Stdout: &out, Stderr: &out})
	if err != nil || exit != 0 {
		s.Fatalf("%s: exit %d, %v: %s", script, exit, err, out.String())
	}
	return strings.TrimSpace(out.String())
}

func (s *stage) logs(m driver.Machine, o driver.LogOptions) string {
	s.Helper()
	r, err := s.host.Logs(s.ctx(), ref(m), o)
	s.must(err)
	text, err := io.ReadAll(r)
	s.must(err)
	s.must(r.Close())
	return string(text)
}

func ref(m driver.Machine) driver.Ref { return driver.Ref{ID: m.ID, Native: m.Native} }

func (s *stage) find(id driver.MachineID) driver.Machine {
	s.Helper()
	for m, err := range s.d.List(s.ctx()) {
		s.must(err)
		if m.ID == id {
			return m
		}
	}
	return driver.Machine{ID: id, State: driver.Gone}
}

// until waits for what check says.
func (s *stage) until(check func() error) {
	s.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.Fatal(err)
		}
	}
}

func (s *stage) await(id driver.MachineID, state driver.State) (m driver.Machine) {
	s.Helper()
	s.until(func() error {
		if m = s.find(id); m.State != state {
			return fmt.Errorf("machine %s is %s (%s), not %s", id, m.State, m.Reason, state)
		}
		return nil
	})
	return m
}

// clean removes everything by the driver's own means and then asks the daemon what is left.
func (s *stage) clean() {
	ctx := s.ctx()
	for m, err := range s.d.List(ctx) {
		if err == nil {
			err = s.d.Destroy(ctx, ref(m), driver.Hard)
		}
		if err != nil {
			s.Errorf("clean up: %v", err)
			return
		}
	}
	for r, err := range s.host.ListResources(ctx) {
		if err == nil {
			err = s.host.RemoveResource(ctx, driver.Ref{ID: r.ID})
		}
		if err != nil {
			s.Errorf("clean up: %v", err)
			return
		}
	}
	ours := s.host.ours()
	if list := s.containers(); len(list) > 0 {
		s.Errorf("container %v is left", list[0].Names)
	}
	networks, err := s.Client.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
	if err != nil || len(networks.Items) > 0 {
		s.Errorf("networks %v are left, %v", networks.Items, err)
	}
	volumes, err := s.Client.VolumeList(ctx, client.VolumeListOptions{Filters: ours})
	if err != nil || len(volumes.Items) > 0 {
		s.Errorf("volumes %v are left, %v", volumes.Items, err)
	}
}

func addr(t testing.TB, text string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// watch watches until the test ends. What it returns checks whether a machine was last seen in a state.
func (s *stage) watch() func(driver.MachineID, driver.State) func() error {
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	seen := map[driver.MachineID]driver.Machine{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.host.Watch(ctx, func(m driver.Machine) {
			mu.Lock()
			defer mu.Unlock()
			seen[m.ID] = m
		})
	}()
	s.Cleanup(func() { cancel(); <-ended })
	return func(id driver.MachineID, state driver.State) func() error {
		return func() error {
			mu.Lock()
			defer mu.Unlock()
			if m := seen[id]; m.State != state {
				return fmt.Errorf("watch says that %s is %s, not %s", id, m.State, state)
			}
			return nil
		}
	}
}
