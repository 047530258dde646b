package engine

import (
	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
	"golang.org/x/sync/errgroup"
)

// refreshesAtOnce is how many machines of a role take their files at a time.
const refreshesAtOnce = 16

// A refreshing is a role whose files are being rendered.
type refreshing struct {
	again  bool // once more
	inputs bool // for inputs have changed, which any template may show
}

// refreshRole renders the files of a role's machines again, in the background. While that is under way
// it is done once more for whatever changed meanwhile, so that the newest files come last.
func (e *Engine) refreshRole(a *actor, eff service.Effect) {
	role := eff.Role
	a.mu.Lock()
	r, busy := a.refresh[role]
	if a.refresh == nil {
		a.refresh = make(map[uint16]refreshing)
	}
	a.refresh[role] = refreshing{again: busy, inputs: r.inputs || eff.Args == service.ShownInputs}
	a.mu.Unlock()
	if busy {
		return
	}
	e.calls.Add(1)
	go func() {
		defer e.calls.Done()
		for again := true; again; {
			a.mu.Lock()
			inputs := a.refresh[role].inputs
			a.refresh[role] = refreshing{}
			a.mu.Unlock()
			e.refreshOnce(a, role, inputs)
			a.mu.Lock()
			if again = a.refresh[role].again && e.ctx.Err() == nil; !again {
				delete(a.refresh, role)
			}
			if len(a.refresh) == 0 {
				a.refresh = nil
			}
			a.mu.Unlock()
		}
	}()
}

// refreshOnce hands each machine of the role its files as they are now, on back ends that take them: those that may show
// other roles and services, or all of them.
func (e *Engine) refreshOnce(a *actor, role uint16, all bool) {
	type target struct {
		to  driver.Refresher
		eff service.Effect
	}
	var targets []target
	e.read(a, func(svc *service.Service) {
		r := svc.RoleOf(service.Effect{Role: role})
		if r == nil {
			return
		}
		for i := range r.Instances {
			impl := i.Implementation()
			if i.Phase != service.Up || i.Outdated() || impl == nil || !all && !render.ShowsOthers(i.Definition()) {
				continue
			}
			b := e.Backend(impl.Driver, impl.Account)
			if b == nil {
				continue
			}
			if to, ok := driver.As[driver.Refresher](b.Driver); ok {
				targets = append(targets, target{to, service.Effect{Serial: i.Serial, Incarnation: i.Incarnation, Role: role, Native: i.Native}})
			}
		}
	})
	var g errgroup.Group
	g.SetLimit(refreshesAtOnce)
	for _, t := range targets {
		if e.ctx.Err() != nil || e.paused.Load() || !e.mayStart(a.shard, leaseMargin) {
			break
		}
		g.Go(func() error {
			files, err := e.files(e.ctx, a, t.eff)
			if err == nil && len(files) > 0 {
				err = t.to.Refresh(e.ctx, driver.Ref{ID: service.MachineID(a.id, t.eff.Serial, t.eff.Incarnation), Native: t.eff.Native}, files)
			}
			if err != nil && e.ctx.Err() == nil {
				why := err.Error()
				e.read(a, func(svc *service.Service) {
					if r := svc.RoleOf(t.eff); r != nil {
						why = service.Mask(svc.Spec, r.Spec, why)
					}
				})
				e.log.Warn("cannot refresh a machine's files", "service", a.id, "instance", t.eff.Serial, "error", why)
			}
			return nil
		})
	}
	_ = g.Wait() // each failure was logged
}
