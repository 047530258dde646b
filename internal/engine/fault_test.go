package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// TestBadBackend: whatever a back end does wrong, all services settle, and no machine is lost or doubled.
func TestBadBackend(t *testing.T) {
	all := driver.Plan{Seed: 1, Errors: 0.3, Lost: 0.1, Silent: 0.05, Delay: 300 * time.Millisecond, Late: time.Second}
	twice := all
	twice.Double = 0.2
	for name, o := range map[string]sim.Options{
		"token":       {Guarantee: driver.Token, Faults: twice},
		"unique name": {Guarantee: driver.UniqueName, Faults: twice},
		"none":        {Guarantee: driver.None, Faults: all, VisibleAfter: time.Second},
		"boots badly": {Guarantee: driver.Token, BootDelay: time.Second, BootFailures: 0.3, Jitter: 0.5},
		"dies":        {Guarantee: driver.Token, Faults: driver.Plan{Errors: 0.2}, Lifetime: 20 * time.Minute},
		"lies":        {Guarantee: driver.Token, ListDrop: 0.03, ListCut: 0.3, ListStale: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, o)
				s.start()
				for id := uint64(1); id <= 10; id++ {
					s.create(id, simRole("db", 2), simRole("app", 4, "db"))
				}
				s.running(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
				s.scale(1, "app", 9)
				s.scale(2, "app", 1)
				s.clouds[0].Kill(s.machine(3, "db", 0))
				s.clouds[0].Remove(s.machine(4, "app", 0))
				for id := uint64(1); id <= 10; id++ {
					s.until(id, "settled", func(svc *service.Service) bool { return !svc.State.Transient() })
				}
				s.clouds[0].Set(func(now *sim.Options) { *now = sim.Options{Guarantee: o.Guarantee, VisibleAfter: o.VisibleAfter} })
				s.running(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
				s.agree()
				if d := s.clouds[0].Doubles(); d > 0 {
					t.Errorf("%d machines of one id ran at the same time", d)
				}
				s.removeAll()
				s.stop()
			})
		})
	}
}

// TestBadStore: commits that fail, that are not answered, or late, change nothing in what services come to.
func TestBadStore(t *testing.T) {
	s := newStage(t, sound)
	s.start()
	var on atomic.Bool
	var seen tally
	s.memory.Inject(func(c store.Call) (f store.Fault) {
		if !on.Load() || (c != store.CallCommit && c != store.CallRead) {
			return f
		}
		f.Delay = rand.N(2 * time.Millisecond)
		switch n := rand.N(100); {
		case n < 5:
			f.Err = store.ErrUnavailable
		case n < 10 && c == store.CallCommit:
			f.Err = store.ErrAmbiguous
		case n < 15 && c == store.CallCommit:
			f.Err, f.Applied = store.ErrAmbiguous, true
		case n < 20:
			f.After = rand.N(5 * time.Millisecond)
		}
		seen.add(fmt.Sprint(c, " ", f.Err, " ", f.Applied))
		return f
	})
	on.Store(true)
	ctx := context.Background()
	answered := make(map[uint64]bool)
	for id := uint64(1); id <= 25; id++ {
		spec := &service.Spec{Name: fmt.Sprint("s", id), Strategy: service.Straight, Roles: []service.RoleSpec{simRole("db", 3), simRole("app", 20, "db")}}
		_, err := s.engine.Create(ctx, service.NewService(id, spec, service.Meta{Name: spec.Name}, time.Now()), store.Txn{})
		if err != nil && !errors.Is(err, ErrUnavailable) && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("create: %v", err)
		}
		answered[id] = err == nil
	}
	for round := range 4 {
		for id := range answered {
			c := &service.Command{ID: fmt.Sprint("c", round, id), Scale: &service.Scale{Role: "app", Cardinality: 10 + 4*round}}
			for answered[id] { // until it was heard for certain, as a client would
				if _, err := s.engine.Order(ctx, id, c); err == nil {
					break
				} else if !errors.Is(err, ErrUnavailable) {
					t.Fatal(err)
				}
			}
			s.clouds[0].Kill(s.machine(id, "db", round%3))
		}
	}
	on.Store(false)
	for id, ok := range answered {
		if !ok {
			if s.engine.View(id, func(*service.Service) {}) {
				t.Errorf("service %d was refused and is there", id)
			}
			continue
		}
		s.until(id, "running", func(svc *service.Service) bool {
			return running(svc) && svc.Role("db").Settled() == 3 && svc.Role("app").Settled() == 22
		})
	}
	s.agree()
	if d := s.clouds[0].Doubles(); d > 0 {
		t.Errorf("%d machines of one id ran at the same time", d)
	}
	t.Log(seen.all())
	s.restart()
	for id, ok := range answered {
		if ok {
			s.running(id)
		}
	}
	s.agree()
	s.removeAll()
}

// TestNewServiceUnanswered: whether a creation that was not answered has happened is found out before the
// caller is told.
func TestNewServiceUnanswered(t *testing.T) {
	for _, applied := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, sound)
			s.start()
			first := true
			s.memory.Inject(func(c store.Call) store.Fault {
				if c == store.CallCommit && first {
					first = false
					return store.Fault{Err: store.ErrAmbiguous, Applied: applied}
				}
				return store.Fault{}
			})
			s.create(1, simRole("app", 2))
			s.running(1)
			s.agree()
			s.restart()
			s.running(1)
			s.agree()
		})
	}
}

// TestStoreFull: a store that takes no writes for a while is not asked without end, and nothing is lost.
func TestStoreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.start()
		s.create(1, simRole("app", 3))
		s.running(1)
		var full atomic.Bool
		var asked atomic.Int64
		s.memory.Inject(func(c store.Call) store.Fault {
			if c == store.CallCommit && full.Load() {
				asked.Add(1)
				return store.Fault{Err: store.ErrNoSpace}
			}
			return store.Fault{}
		})
		full.Store(true)
		s.clouds[0].Kill(s.machine(1, "app", 0))
		if _, err := s.engine.Order(t.Context(), 1, &service.Command{Scale: &service.Scale{Role: "app", Cardinality: 5}}); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("scale: %v", err)
		}
		time.Sleep(5 * time.Minute) // of the bubble
		if n := asked.Load(); n > 200 {
			t.Errorf("asked %d times in 5 minutes", n)
		}
		full.Store(false)
		s.until(1, "healed", func(svc *service.Service) bool { return running(svc) && svc.Serial == 4 })
		s.agree()
	})
}

// TestFailOver: a refusal for want of room goes to the next implementation; a throttled back end gets
// what it can take.
func TestFailOver(t *testing.T) {
	for name, first := range map[string]sim.Options{
		"full":      {Guarantee: driver.Token, Capacity: 3},
		"throttled": {Guarantee: driver.Token, Rate: 1},
		"away":      {Guarantee: driver.Token, Faults: driver.Plan{Errors: 1, Calls: []string{"create"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, first, sound)
				s.start()
				role := simRole("app", 10)
				role.Machine.Implementations = append(role.Machine.Implementations, service.Implementation{Driver: "sim", Account: "b"})
				s.create(1, role)
				s.running(1)
				s.agree()
				if name == "full" && (s.clouds[0].Len() != 3 || s.clouds[1].Len() != 7) {
					t.Errorf("%d and %d machines", s.clouds[0].Len(), s.clouds[1].Len())
				}
				s.removeAll()
			})
		})
	}
}

// TestDoubt: a creation that was not answered is neither repeated nor made elsewhere before a complete
// list that began later proves that there is no machine.
func TestDoubt(t *testing.T) {
	for _, made := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			o := sim.Options{Guarantee: driver.None, VisibleAfter: 3 * time.Second}
			plan := driver.Plan{Silent: 1, Calls: []string{"create"}}
			if !made {
				plan = driver.Plan{Delay: time.Hour, Calls: []string{"create"}}
			}
			o.Faults = plan
			s := newStage(t, o, sound)
			s.wrap.Attempts = 1
			s.start()
			role := simRole("app", 1)
			role.Machine.Implementations = append(role.Machine.Implementations, service.Implementation{Driver: "sim", Account: "b"})
			s.create(1, role)
			s.until(1, "in doubt", func(svc *service.Service) bool { i := svc.Instance(1); return i != nil && i.Doubt })
			s.clouds[0].Set(func(o *sim.Options) { o.Faults = driver.Plan{} })
			if n := s.clouds[1].Len(); n != 0 {
				t.Errorf("%d machines elsewhere while in doubt", n)
			}
			s.running(1)
			if n := s.clouds[0].Calls()["create"]; n > 1 {
				t.Errorf("asked %d times", n)
			}
			want := [...]int{1, 0}
			if !made {
				want = [...]int{0, 1}
			}
			if got := [...]int{s.clouds[0].Len(), s.clouds[1].Len()}; got != want {
				t.Errorf("machines %v, want %v", got, want)
			}
			s.agree()
		})
	}
}

// TestHang: a back end that never answers delays its own services alone, and does not hold up the end.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, Faults: driver.Plan{Silent: 1}}, sound)
		s.wrap.Limits.Deadline = time.Hour
		s.start()
		far := simRole("app", 3)
		far.Machine.Implementations[0].Account = "b"
		s.create(1, simRole("app", 3))
		s.create(2, far)
		began := time.Now()
		s.running(2)
		if took := time.Since(began); took > time.Second {
			t.Errorf("another back end's service took %s", took)
		}
		s.restart() // within seconds, or stop complains
		began = time.Now()
		s.until(2, "running again", running)
		s.scale(2, "app", 5)
		s.until(2, "scaled", func(svc *service.Service) bool { return running(svc) && svc.Role("app").Settled() == 5 })
		if took := time.Since(began); took > time.Second {
			t.Errorf("after a restart another back end's service took %s", took)
		}
		s.clouds[0].Set(func(o *sim.Options) { o.Faults = driver.Plan{} })
		s.restart()
		s.running(1)
		s.agree()
	})
}

// TestLeaseLost: an owner whose lease has passed ends, and the next one goes on.
func TestLeaseLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, CreateDelay: 10 * time.Second})
		s.open.Shared = true
		s.start()
		s.create(1, simRole("app", 5))
		time.Sleep(time.Second) // of the bubble: the creations are under way
		s.memory.Inject(func(c store.Call) store.Fault {
			if c == store.CallRenew {
				return store.Fault{Err: store.ErrUnavailable}
			}
			return store.Fault{}
		})
		<-s.done
		if s.err == nil {
			t.Error("the engine ended without a reason")
		}
		s.memory.Inject(nil)
		s.restart()
		s.running(1)
		s.agree()
		if d := s.clouds[0].Doubles(); d > 0 {
			t.Errorf("%d doubles", d)
		}
	})
}
