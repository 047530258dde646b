package engine

import (
	"context"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// A stage is an engine on a simulated back end and a store in memory.
type stage struct {
	t       testing.TB
	memory  *store.Memory
	cloud   *sim.Cloud
	options func(*Options)
	engine  *Engine
	store   *store.Store
	stop    func() error
}

func newStage(t testing.TB, o sim.Options) *stage {
	return &stage{t: t, memory: store.NewMemory(), cloud: sim.NewCloud(o)}
}

// start runs an engine on the stage's state, as a new process would.
func (s *stage) start() *Engine {
	s.t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Memory: s.memory})
	if err != nil {
		s.t.Fatal(err)
	}
	tenure, err := st.Acquire(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	kind := s.cloud.Kind()
	d, err := kind.New(ctx, driver.Config{Installation: st.Installation().ID, Generation: st.Installation().Generation})
	if err != nil {
		s.t.Fatal(err)
	}
	o := Options{Store: st, Tenure: tenure, Backends: []*Backend{{Kind: kind, Driver: driver.Wrap(d, kind, driver.WrapOptions{})}}}
	if s.options != nil {
		s.options(&o)
	}
	e, err := New(ctx, o)
	if err != nil {
		s.t.Fatal(err)
	}
	runCtx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- e.Run(runCtx) }()
	s.engine, s.store = e, st
	stopped := false
	s.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		err := <-done
		st.Close()
		return err
	}
	s.t.Cleanup(func() { _ = s.stop() })
	return e
}

func simRole(name string, n int, parents ...string) service.RoleSpec {
	return service.RoleSpec{Name: name, Cardinality: n, Parents: parents, Heal: service.HealAuto, Identity: service.New, OnGone: service.Replace, Restart: service.Always,
		Machine: service.Machine{Implementations: []service.Implementation{{Driver: "sim"}}}}
}

// until waits for a state of the service.
func (s *stage) until(id uint64, what string, ok func(*service.Service) bool) {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	w, _ := s.engine.Watch(0)
	defer w.Close()
	for {
		good, state := false, "gone"
		s.engine.View(id, func(svc *service.Service) { good, state = ok(svc), svc.State.String()+" "+svc.Reason })
		if good {
			return
		}
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		limited, stop := context.WithTimeout(ctx, 50*time.Millisecond)
		w.Next(limited)
		stop()
		cancel()
		if time.Now().After(deadline) {
			s.t.Fatalf("service %d is not %s: %s", id, what, state)
		}
	}
}

func running(svc *service.Service) bool { return svc.State == service.Running }

func TestDeployHealScaleRemove(t *testing.T) {
	s := newStage(t, sim.Options{})
	e := s.start()
	ctx := t.Context()
	spec := &service.Spec{Name: "web", Strategy: service.Straight, Roles: []service.RoleSpec{simRole("db", 2), simRole("app", 3, "db")}}
	if _, err := e.Create(ctx, service.NewService(1, spec, service.Meta{}, time.Now())); err != nil {
		t.Fatal(err)
	}
	s.until(1, "running", running)
	var victim driver.MachineID
	e.View(1, func(svc *service.Service) {
		for i := range svc.Role("app").Instances {
			victim = svc.MachineID(i)
			break
		}
	})
	s.cloud.Kill(victim)
	s.until(1, "healed", func(svc *service.Service) bool {
		return svc.State == service.Running && svc.Serial == 6
	})
	if _, err := e.Order(ctx, 1, &service.Command{Scale: &service.Scale{Role: "app", Cardinality: 5}}); err != nil {
		t.Fatal(err)
	}
	s.until(1, "scaled", func(svc *service.Service) bool { return running(svc) && svc.Role("app").Settled() == 5 })
	if n := s.cloud.Len(); n != 7 {
		t.Errorf("%d machines, want 7", n)
	}
	// A new process finds everything as it was.
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	e = s.start()
	s.until(1, "running after a restart", func(svc *service.Service) bool { return running(svc) && svc.Len() == 7 })
	if _, err := e.Order(ctx, 1, &service.Command{Undeploy: &service.Undeploy{Remove: true}}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for e.Len() > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if e.Len() != 0 || s.cloud.Len() != 0 {
		t.Errorf("left over: %d services, %d machines", e.Len(), s.cloud.Len())
	}
}
