package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is an engine on simulated back ends and a store that outlives it.
type stage struct {
	t      testing.TB
	memory *store.Memory
	open   store.Options // of the store; memory when zero
	clouds []*sim.Cloud  // accounts "", "b", "c" of driver sim
	wrap   driver.WrapOptions
	change func(*Options)
	paused bool // the next start is with all work off

	engine *Engine
	store  *store.Store
	done   chan struct{} // closed when Run has returned
	err    error         // what it returned
	cancel context.CancelFunc
}

// newStage returns a stage with a back end for each of the options.
func newStage(t testing.TB, clouds ...sim.Options) *stage {
	s := &stage{t: t, memory: store.NewMemory(), wrap: driver.WrapOptions{Limits: driver.Limits{Deadline: 5 * time.Second}}}
	for _, o := range clouds {
		s.clouds = append(s.clouds, sim.NewCloud(o))
	}
	return s
}

// sound is a back end that does what it should.
var sound = sim.Options{Guarantee: driver.Token}

func account(n int) string { return [...]string{"", "b", "c"}[n] }

// start runs an engine on the stage's state, as a new process would.
func (s *stage) start() *Engine {
	s.t.Helper()
	ctx := context.Background()
	open := s.open
	if open.DataDir == "" {
		open.Memory = s.memory
	}
	st, err := store.Open(ctx, open)
	if err != nil {
		s.t.Fatal(err)
	}
	tenure, err := st.Acquire(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	o := Options{Store: st, Tenure: tenure}
	for n, c := range s.clouds {
		kind := c.Kind()
		d, err := kind.New(ctx, driver.Config{Installation: st.Installation().ID, Generation: st.Installation().Generation})
		if err != nil {
			s.t.Fatal(err)
		}
		o.Backends = append(o.Backends, &Backend{Account: account(n), Kind: kind, Driver: driver.Wrap(d, kind, s.wrap)})
	}
	if s.change != nil {
		s.change(&o)
	}
	e, err := New(ctx, o)
	if err != nil {
		s.t.Fatal(err)
	}
	e.Pause(s.paused)
	runCtx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	s.engine, s.store, s.done, s.cancel = e, st, done, cancel
	go func() {
		s.err = e.Run(runCtx)
		close(done)
	}()
	s.t.Cleanup(s.stop)
	return e
}

// stop ends the engine, which has five seconds for that.
func (s *stage) stop() {
	if s.cancel == nil {
		return
	}
	s.cancel()
	s.cancel = nil
	began := time.Now()
	<-s.done
	if took := time.Since(began); took > 5*time.Second {
		s.t.Errorf("it took %s to stop", took)
	}
	s.store.Close()
}

// restart goes on with a new engine.
func (s *stage) restart() *Engine {
	s.t.Helper()
	s.stop()
	return s.start()
}

// simRole is a role of n machines on the first back end that heals itself.
func simRole(name string, n int, parents ...string) service.RoleSpec {
	return service.RoleSpec{Name: name, Cardinality: n, Parents: parents, Heal: service.HealAuto, Identity: service.New, OnGone: service.Replace, Restart: service.Always,
		Machine: service.Machine{Implementations: []service.Implementation{{Driver: "sim"}}}}
}

// create makes a service of these roles.
func (s *stage) create(id uint64, roles ...service.RoleSpec) {
	s.t.Helper()
	spec := &service.Spec{Name: fmt.Sprint("s", id), Strategy: service.Straight, Roles: roles}
	if err := service.Validate(spec); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.engine.Create(context.Background(), service.NewService(id, spec, service.Meta{Name: spec.Name}, time.Now()), store.Txn{}); err != nil {
		s.t.Fatal(err)
	}
}

// order gives a command that must be accepted.
func (s *stage) order(id uint64, c *service.Command) {
	s.t.Helper()
	if _, err := s.engine.Order(context.Background(), id, c); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) scale(id uint64, role string, n int) {
	s.t.Helper()
	s.order(id, &service.Command{Scale: &service.Scale{Role: role, Cardinality: n}})
}

// until waits for a state of the service, ten minutes at most and in a bubble, 30 seconds otherwise.
func (s *stage) until(id uint64, what string, ok func(*service.Service) bool) {
	s.t.Helper()
	state := "gone"
	s.eventually(fmt.Sprintf("service %d is %s", id, what), func() bool {
		good := false
		if !s.engine.View(id, func(svc *service.Service) { good, state = ok(svc), fmt.Sprint(svc.State, " ", svc.Reason) }) {
			state = "gone"
		}
		return good
	}, &state)
}

const patience = 30 * time.Minute // in a bubble it costs nothing

// eventually waits until something holds.
func (s *stage) eventually(what string, ok func() bool, instead ...*string) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			for _, i := range instead {
				what += ", but " + *i
			}
			s.t.Fatal("not so: " + what)
		}
		<-tick.C
	}
}

func running(svc *service.Service) bool { return svc.State == service.Running }

func (s *stage) running(ids ...uint64) {
	s.t.Helper()
	for _, id := range ids {
		s.until(id, "running", running)
	}
}

// machine returns the machine of a role's n-th instance.
func (s *stage) machine(id uint64, role string, n int) (m driver.MachineID) {
	s.engine.View(id, func(svc *service.Service) {
		for i := range svc.Role(role).Instances {
			if n == 0 {
				m = svc.MachineID(i)
			}
			n--
		}
	})
	return m
}

// agree waits until the back ends have the machines of the records, each once, and no others.
func (s *stage) agree() {
	s.t.Helper()
	var diff string
	s.eventually("records and machines agree", func() bool {
		want := make([][]string, len(s.clouds))
		s.engine.Each(func(_ uint64, svc *service.Service) bool {
			for _, r := range svc.Roles {
				for i := range r.Instances {
					if i.Phase == service.Queued || i.Phase == service.Backoff || i.Machine == driver.Gone {
						continue
					}
					for n := range s.clouds {
						if account(n) == r.Spec.Machine.Implementations[i.Impl].Account {
							want[n] = append(want[n], string(svc.MachineID(i)))
						}
					}
				}
			}
			return true
		})
		have := make([][]string, len(s.clouds))
		for n, c := range s.clouds {
			for _, m := range c.Machines() {
				have[n] = append(have[n], string(m.ID))
			}
			slices.Sort(want[n])
			slices.Sort(have[n])
		}
		diff = cmp.Diff(want, have)
		return diff == ""
	}, &diff)
}

// removeAll removes all services and sees to it that nothing is left, in the store either.
func (s *stage) removeAll() {
	s.t.Helper()
	var ids []uint64
	s.engine.Each(func(id uint64, _ *service.Service) bool { ids = append(ids, id); return true })
	for _, id := range ids {
		s.order(id, &service.Command{Undeploy: &service.Undeploy{Remove: true, Force: true}})
	}
	s.eventually("all services are removed", func() bool { return s.engine.Len() == 0 })
	s.agree()
	for _, prefix := range [...]string{headPrefix, specPrefix, blockPrefix, outputPrefix} {
		if _, err := s.store.Load(context.Background(), prefix, func(kv store.KV) error {
			s.t.Errorf("left in the store: %s", kv.Key)
			return nil
		}); err != nil {
			s.t.Error(err)
		}
	}
}

// A tally counts under names.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	c.n[name]++
}

func (c *tally) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}
