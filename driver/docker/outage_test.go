//go:build linux

package docker

import (
	"context"
	"errors"

	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/docker/dockertest"
)

// count checks that there is one container for each request, by its own id, and no other.
func (s *stage) count(requests []driver.Request) {
	s.Helper()
	got := map[string]int{}
	for _, c := range s.containers() {
		got[c.Labels[labelMachine]]++
	}
	for _, req := range requests {
		if n := got[string(req.ID)]; n != 1 {
			s.Errorf("%s: %d containers", req.ID, n)
		}
		delete(got, string(req.ID))
	}
	if len(got) > 0 {
		s.Errorf("containers that nobody asked for: %v", got)
	}
}

// unavailable checks what every call says while no daemon is there.
func (s *stage) unavailable() {
	s.Helper()
	req := s.request(shell(forever))
	_, err := s.d.Create(s.ctx(), req)
	if !errors.Is(err, driver.ErrUnavailable) || !driver.Definite(err) {
		s.Errorf("create: %v, want that it was not asked", err)
	}
	for _, err := range s.d.List(s.ctx()) {
		if !errors.Is(err, driver.ErrUnavailable) {
			s.Errorf("list: %v", err)
		}
	}
	for what, err := range map[string]error{
		"destroy": s.d.Destroy(s.ctx(), driver.Ref{ID: "9-9-9"}, driver.Hard), "act": s.host.Act(s.ctx(), driver.Ref{ID: "9-9-9"}, driver.Stop, "", ""),
		"watch": s.host.Watch(s.ctx(), func(driver.Machine) {}), "remove data": s.host.RemoveData(s.ctx(), "x"), "remove": s.host.RemoveResource(s.ctx(), driver.Ref{ID: "9-r9"}),
	} {
		if !errors.Is(err, driver.ErrUnavailable) {
			s.Errorf("%s: %v", what, err)
		}
	}
}

// TestRestart: machines of a daemon that is restarted have ended, or live on with --live-restore; none is doubled.
func TestRestart(t *testing.T) {
	for name, c := range map[string]struct {
		flags []string
		want  driver.State
	}{"": {nil, driver.Exited}, "live-restore": {[]string{"--live-restore"}, driver.Running}} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, dockertest.Start(t, dockertest.Options{Flags: c.flags}), nil)
			req := s.request(shell(forever))
			m := s.create(req)
			ended := make(chan error, 1)
			go func() { ended <- s.host.Watch(context.Background(), func(driver.Machine) {}) }()
			s.must(s.Stop())
			if err := <-ended; !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("the watch of a daemon that stops ends with %v", err)
			}
			s.unavailable()
			s.must(s.Run())
			if got := s.await(m.ID, c.want); got.Native != m.Native {
				t.Errorf("%+v, before it was %+v", got, m)
			}
			if again, err := s.d.Create(s.ctx(), req); err != nil || again.Native != m.Native {
				t.Errorf("created again: %+v, %v", again, err)
			}
			s.count([]driver.Request{req})
			seen := s.watch()
			s.until(func() error { // a watch that begins anew follows on
				other := s.run(shell("exit 3"))
				defer s.d.Destroy(s.ctx(), ref(other), driver.Hard)
				s.await(other.ID, driver.Exited)
				return seen(other.ID, driver.Exited)()
			})
		})
	}
}

// TestKilledInTheMiddle: creations and removals that a crash of the daemon cuts short are repeated, and then there is
// what was asked for and no more.
func TestKilledInTheMiddle(t *testing.T) {
	s := newStage(t, dockertest.Start(t, dockertest.Options{}), nil)
	luck := rand.New(rand.NewPCG(1, 2))
	var requests []driver.Request
	for round := range 3 {
		var wg sync.WaitGroup
		fresh := make([]driver.Request, 4)
		for i := range fresh {
			fresh[i] = s.request(shell(forever))
			wg.Go(func() { _, _ = s.d.Create(s.ctx(), fresh[i]) })
		}
		if len(requests) > 0 { // and at the same time one goes
			gone := requests[0]
			requests = requests[1:]
			wg.Go(func() { _ = s.d.Destroy(s.ctx(), driver.Ref{ID: gone.ID}, driver.Graceful) })
			defer func() { s.must(s.d.Destroy(s.ctx(), driver.Ref{ID: gone.ID}, driver.Hard)) }()
		}
		<-time.After(time.Duration(luck.IntN(600)) * time.Millisecond)
		s.must(s.Kill())
		wg.Wait()
		s.must(s.Run())
		requests = append(requests, fresh...)
		for _, req := range fresh {
			if _, err := s.d.Create(s.ctx(), req); err != nil {
				t.Errorf("round %d: repeat: %v", round, err)
			}
		}
		for _, m := range s.containers() {
			id := driver.MachineID(m.Labels[labelMachine])
			wanted := false
			for _, req := range requests {
				wanted = wanted || req.ID == id
			}
			if !wanted {
				s.must(s.d.Destroy(s.ctx(), driver.Ref{ID: id}, driver.Hard))
			}
		}
		s.count(requests)
	}
}

// TestFrozen: a daemon that does not answer holds up no caller beyond its deadline, and what it does late is found.
func TestFrozen(t *testing.T) {
	s := newStage(t, dockertest.Start(t, dockertest.Options{}), nil)
	s.run(shell(forever))
	kept, destroyed := s.request(shell(forever)), s.request(shell(forever))
	s.must(s.Freeze())
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	for _, req := range []driver.Request{kept, destroyed} {
		began := time.Now()
		if _, err := s.d.Create(short(), req); !errors.Is(err, context.DeadlineExceeded) || driver.Definite(err) {
			t.Errorf("create: %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	}
	if err := s.d.Destroy(short(), driver.Ref{ID: destroyed.ID}, driver.Hard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("destroy: %v", err)
	}
	for _, err := range s.d.List(short()) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("list: %v", err)
		}
	}
	s.must(s.Thaw())
	s.must(s.d.Destroy(s.ctx(), driver.Ref{ID: destroyed.ID}, driver.Hard))
	if _, err := s.d.Create(s.ctx(), kept); err != nil {
		t.Errorf("repeat: %v", err)
	}
	if m := s.find(destroyed.ID); m.State != driver.Gone {
		t.Errorf("destroyed, but %s", m.State)
	}
}

// TestLateCreation: a creation that its caller gave up, and that the daemon carries out later, does not outlive the
// removal that was asked for meanwhile.
func TestLateCreation(t *testing.T) {
	s := newStage(t, shared(t), nil)
	for n := range 12 {
		req := s.request(shell(forever))
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n)*25*time.Millisecond)
		_, _ = s.d.Create(ctx, req) // either answer will do
		cancel()
		s.must(s.d.Destroy(s.ctx(), driver.Ref{ID: req.ID}, driver.Hard))
		if found := s.containers(); len(found) > 0 {
			t.Fatalf("%d: %v is left", n, found[0].Names)
		}
	}
}

// TestFull: a daemon whose disk is full refuses for certain, leaves nothing, and works again when there is space.
func TestFull(t *testing.T) {
	s := newStage(t, dockertest.Start(t, dockertest.Options{Size: 64 << 20}), nil)
	s.must(s.d.Destroy(s.ctx(), ref(s.run(shell(forever))), driver.Hard))
	filler := filepath.Join(s.Data(), "filler")
	f, err := os.Create(filler)
	s.must(err)
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	s.must(f.Close())
	for range 3 {
		s.refused(s.request(shell(forever)), driver.ErrCapacity, "no space left on device")
	}
	if found := s.containers(); len(found) > 0 {
		t.Errorf("%v is left", found[0].Names)
	}
	s.must(os.Remove(filler))
	s.run(shell(forever))
}

// TestAbsent: no socket, or one that nobody listens at.
func TestAbsent(t *testing.T) {
	dir := t.TempDir()
	for _, endpoint := range []string{"unix://" + dir + "/none", "tcp://127.0.0.1:1"} {
		s := &stage{TB: t, name: "x", Daemon: &dockertest.Daemon{Endpoint: endpoint}}
		s.d = s.open(nil)
		s.host = hostOf(s.d)
		s.unavailable()
		_, err := s.d.Create(s.ctx(), s.request(shell(forever)))
		if want := "no daemon answers at " + endpoint; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
