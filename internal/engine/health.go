package engine

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/probe"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// A checkKey names one check of one machine.
type checkKey struct {
	service             uint64
	serial, incarnation uint32
	number              int // of the check in its definition
}

// health gathers the verdicts of an instance's checks into one.
type health struct {
	mu       sync.Mutex
	verdicts map[checkKey][]service.Health // by the key of the first check
}

// newProbes returns the scheduler of all checks; what it finds becomes facts.
func (e *Engine) newProbes() *probe.Scheduler[checkKey] {
	e.health.verdicts = make(map[checkKey][]service.Health)
	return probe.NewScheduler(func(r probe.Result[checkKey]) {
		f := service.Fact{Kind: service.Checked, Serial: r.Key.serial, Incarnation: r.Key.incarnation, Reason: r.Reason}
		if e.health.note(r, &f) {
			e.Tell(r.Key.service, f)
		}
	})
}

// note keeps a verdict and puts those of all checks of the machine together into the fact; false when its checks
// have ended.
func (h *health) note(r probe.Result[checkKey], f *service.Fact) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := r.Key
	first.number = 0
	all := h.verdicts[first]
	if r.Key.number >= len(all) {
		return false
	}
	all[r.Key.number] = r.Health
	for n, v := range all {
		switch v {
		case service.Healthy:
			f.Passing |= 1 << n
		case service.Ailing, service.Unhealthy:
			f.Failing |= 1 << n
		}
	}
	f.Health = worst(all)
	return true
}

// worst puts the verdicts of a machine's checks together.
func worst(all []service.Health) service.Health {
	for _, v := range [...]service.Health{service.Unhealthy, service.Ailing, service.Unchecked} {
		if slices.Contains(all, v) {
			return v
		}
	}
	return service.Healthy
}

// Checking reports whether the checks of an instance that runs have not all been answered since this engine started: what
// is known of its health is what was so before. The service is held for reading.
func (e *Engine) Checking(id uint64, i *service.Instance) bool {
	if i.Phase != service.Up || i.Machine != driver.Running || len(i.Checks()) == 0 {
		return false
	}
	e.health.mu.Lock()
	defer e.health.mu.Unlock()
	all, ok := e.health.verdicts[checkKey{id, i.Serial, i.Incarnation, 0}]
	return !ok || slices.Contains(all, service.Unchecked) || worst(all) != i.Healthy // the last verdict is on its way
}

// watchHealth starts and ends the checks of instances that changed. The actor is held.
func (e *Engine) watchHealth(a *actor, changed []uint32) {
	for _, serial := range changed {
		i := a.svc.Instance(serial)
		if i == nil {
			e.endChecks(a, serial)
			continue
		}
		checks := i.Checks()
		if len(checks) == 0 {
			continue
		}
		switch i.Phase {
		case service.Starting, service.Up, service.Down:
			if i.Machine == driver.Running {
				e.startChecks(a, i, checks)
				continue
			}
		}
		e.endChecks(a, serial)
	}
}

// watchAllHealth does so for a service that was read from the store. The actor is held.
func (e *Engine) watchAllHealth(a *actor) {
	for serial := range a.checks {
		if a.svc.Instance(serial) == nil {
			e.endChecks(a, serial)
		}
	}
	for _, r := range a.svc.Roles {
		if !r.HasChecks() {
			continue
		}
		for i := range r.Instances {
			e.watchHealth(a, []uint32{i.Serial})
		}
	}
}

func (e *Engine) startChecks(a *actor, i *service.Instance, checks []service.Check) {
	if old, ok := a.checks[i.Serial]; ok && old.incarnation != i.Incarnation {
		e.endChecks(a, i.Serial)
	}
	first := checkKey{a.id, i.Serial, i.Incarnation, 0}
	e.health.mu.Lock()
	_, running := e.health.verdicts[first]
	if !running {
		e.health.verdicts[first] = make([]service.Health, len(checks))
	}
	e.health.mu.Unlock()
	if running {
		return
	}
	a.checked(i.Serial, i.Incarnation, len(checks))
	scope := e.scopeOf(a, i)
	target := probe.Target{Started: i.Since.Time(), Exec: e.execIn(a, i)}
	if len(i.Addresses) > 0 {
		target.Address = i.Addresses[0]
	}
	parts, err := render.Machine(e.ctx, &service.Machine{Checks: checks}, nil, &scope)
	if err != nil {
		e.log.Warn("a health check cannot be rendered", "service", a.id, "instance", i.Serial, "error", service.Mask(a.svc.Spec, i.Role().Spec, err.Error()))
		parts.Checks = checks
	}
	for n := range parts.Checks {
		key := first
		key.number = n
		e.probes.Add(key, &parts.Checks[n], target)
	}
}

// execIn runs a check's command inside the machine.
func (e *Engine) execIn(a *actor, i *service.Instance) func(context.Context, []string) (int, error) {
	impl := i.Implementation()
	if impl == nil {
		return nil
	}
	b := e.Backend(impl.Driver, impl.Account)
	if b == nil {
		return nil
	}
	p, ok := driver.As[driver.Prober](b.Driver)
	if !ok {
		return nil
	}
	ref := driver.Ref{ID: a.svc.MachineID(i), Native: i.Native}
	return func(ctx context.Context, args []string) (int, error) {
		return p.Exec(ctx, ref, driver.Command{Args: args})
	}
}

func (e *Engine) endChecks(a *actor, serial uint32) {
	c, ok := a.checks[serial]
	if !ok {
		return
	}
	delete(a.checks, serial)
	key := checkKey{a.id, serial, c.incarnation, 0}
	e.health.mu.Lock()
	delete(e.health.verdicts, key)
	e.health.mu.Unlock()
	for key.number = range c.n {
		e.probes.Remove(key)
	}
}

// checking is what runs for an instance: the checks of one of its machines.
type checking struct {
	incarnation uint32
	n           int
}

func (a *actor) checked(serial, incarnation uint32, n int) {
	if a.checks == nil {
		a.checks = make(map[uint32]checking)
	}
	a.checks[serial] = checking{incarnation, n}
}

// Errors of reaching into machines.
var (
	// ErrNoInstance: there is no such instance.
	ErrNoInstance = errors.New("no such instance")
	// ErrNoMachine: the instance has no machine now.
	ErrNoMachine = errors.New("the instance has no machine now")
)

// Machine finds the machine of an instance, the back end that runs it, and the options that its role asks for.
func (e *Engine) Machine(id uint64, serial uint32) (b *Backend, ref driver.Ref, options map[string]any, err error) {
	err = ErrNoService
	e.View(id, func(svc *service.Service) {
		i := svc.Instance(serial)
		if i == nil {
			err = ErrNoInstance
			return
		}
		impl := i.Implementation()
		if i.Machine == driver.Gone || impl == nil {
			err = ErrNoMachine
			return
		}
		b, err = e.Backend(impl.Driver, impl.Account), nil
		if b == nil {
			err = ErrNoMachine
		}
		ref, options = driver.Ref{ID: svc.MachineID(i), Native: i.Native}, impl.Options
	})
	return b, ref, options, err
}
