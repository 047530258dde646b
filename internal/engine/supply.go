package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// Lines of what a service wishes of others, apart from those of its instances and resources.
const (
	supplierLine = 1 << 30
	outputLine   = 3 << 30
)

const (
	errandsAtOnce = 16
	// errandTime bounds one wish of another service.
	errandTime = time.Minute
)

// A bond names a service that was made for another: by the one that needs it, and the node that it is there.
type bond struct {
	consumer uint64
	serial   uint32
}

// MayUse has f asked whether the owner of a service may use another one that it needs. Set it before Run.
func (e *Engine) MayUse(f func(owner int, m *service.Meta) bool) { e.mayUse = f }

func concernsSupplier(eff service.Effect) bool {
	return eff.Kind == service.DoSupply || eff.Kind == service.DoDismiss
}

// send puts what a service wishes of others, or of its own outputs, in line.
func (e *Engine) send(a *actor, eff service.Effect) {
	if j := (job{a, eff}); a.takeTurn(j) {
		e.errands.Push(j)
	}
}

// runErrands carries out wishes until ctx ends.
func (e *Engine) runErrands(ctx context.Context) {
	for {
		j, ok := e.errands.Pop(ctx)
		if !ok {
			return
		}
		if e.paused.Load() || !e.mayStart(j.actor.shard, leaseMargin) {
			e.calls.Add(1)
			time.AfterFunc(200*time.Millisecond, func() { defer e.calls.Done(); e.errands.Push(j) })
			continue
		}
		e.run(ctx, j)
		if next, more := j.actor.giveTurn(j.line()); more {
			e.errands.Push(next)
		}
	}
}

func (e *Engine) run(ctx context.Context, j job) {
	ctx, cancel := context.WithTimeout(ctx, errandTime)
	defer cancel()
	var f *service.Fact
	switch j.effect.Kind {
	case service.DoSupply:
		f = e.supply(ctx, j)
	case service.DoDismiss:
		f = e.dismiss(ctx, j)
	default:
		f = e.evaluate(ctx, j.actor)
	}
	if f == nil || e.ctx.Err() != nil {
		return // nothing to tell; or the server stops, and the state knows what to do
	}
	if f.Kind == service.Supplied {
		f.Serial, f.Action = j.effect.Serial, j.effect.Token
	}
	e.post(j.actor, message{fact: *f})
}

// An errand is what a service wishes of one that it needs, read in one look.
type errand struct {
	meta    service.Meta
	spec    *service.SupplierSpec
	known   uint64 // the other service, if it has told of itself
	owned   bool
	revive  uint32
	hard    bool
	data    bool
	scope   render.Scope
	secrets *service.Spec
}

// errandOf reads what is wished of a needed service now; false when that is nothing.
func (e *Engine) errandOf(j job, phase service.SupplierPhase) (w errand, ok bool) {
	e.read(j.actor, func(svc *service.Service) {
		x := svc.SupplierOf(j.effect)
		if x == nil || x.Phase != phase || phase == service.SupplierBound && (x.Spec == nil || svc.Leaving) {
			return
		}
		w = errand{meta: svc.Meta, spec: x.Spec, known: x.Service, owned: x.Owned, revive: x.Revive, hard: svc.Hard, data: svc.Data, secrets: svc.Spec,
			scope: e.scopeAround(j.actor, x.Roles(), x.Resources(), x.Suppliers())}
		ok = true
	})
	return w, ok
}

func supplied(told *service.Supply) *service.Fact {
	return &service.Fact{Kind: service.Supplied, Supply: told}
}

// notSupplied tells why a needed service cannot be had; class "" when that is not certain.
func notSupplied(err error, class string) *service.Fact {
	return &service.Fact{Kind: service.Supplied, Err: err.Error(), Class: class, Definite: class != ""}
}

// supplyOf is how a service is, for those that need it.
func (e *Engine) supplyOf(id uint64) *service.Supply {
	told := &service.Supply{Service: id, State: service.Done, Gone: true}
	if a := e.actor(id); a != nil {
		e.read(a, func(svc *service.Service) {
			told = svc.SupplyOf()
			told.At = a.head
		})
	}
	return told
}

// supply sees to it that a needed service is there, as it is wished now.
func (e *Engine) supply(ctx context.Context, j job) *service.Fact {
	w, ok := e.errandOf(j, service.SupplierBound)
	if !ok {
		return nil
	}
	if !w.owned {
		return e.bind(ctx, j, &w)
	}
	id := e.madeFor(bond{j.actor.id, j.effect.Serial})
	inputs, err := w.inputs(ctx)
	if err != nil {
		err = errors.New(service.Mask(w.secrets, nil, err.Error()))
		if id == 0 {
			return notSupplied(err, "invalid")
		}
		e.Tell(j.actor.id, service.Fact{Kind: service.Supplied, Serial: j.effect.Serial, Supply: e.supplyOf(id)})
		return notSupplied(err, "")
	}
	wished := e.specs.share(w.spec.Given(inputs))
	if id == 0 {
		failpoint("supply")
		id, err = e.makeFor(ctx, j, &w, wished)
		failpoint("supplied")
		var denied *service.Refusal
		switch {
		case err == nil:
		case errors.Is(err, ErrUnavailable), errors.Is(err, ErrPaused), errors.Is(err, store.ErrConflict), ctx.Err() != nil:
			return notSupplied(err, "")
		case errors.As(err, &denied):
			return notSupplied(err, "invalid")
		default:
			return notSupplied(err, "capacity") // the quota of its project
		}
		return supplied(e.supplyOf(id))
	}
	if err := e.bring(ctx, j, &w, id, wished); err != nil && !errors.Is(err, ErrNoService) {
		e.Tell(j.actor.id, service.Fact{Kind: service.Supplied, Serial: j.effect.Serial, Supply: e.supplyOf(id)})
		return notSupplied(err, "")
	}
	return supplied(e.supplyOf(id))
}

// inputs renders the values that are given to a needed service.
func (w *errand) inputs(ctx context.Context) (map[string]string, error) {
	if len(w.spec.Inputs) == 0 {
		return nil, nil
	}
	made := make(map[string]string, len(w.spec.Inputs))
	for name, template := range w.spec.Inputs {
		value, err := render.Text(ctx, "inputs."+name, template, &w.scope)
		if err != nil {
			return nil, err
		}
		made[name] = value
	}
	return made, nil
}

// makeFor makes a service for another, as its owner's.
func (e *Engine) makeFor(ctx context.Context, j job, w *errand, spec *service.Spec) (uint64, error) {
	id, err := e.store.NextID(ctx, "document", 1)
	if err != nil {
		return 0, fmt.Errorf("%w: draw an id: %w", ErrUnavailable, err)
	}
	meta := w.meta
	meta.Name, meta.Alias, meta.Template = madeName(w.meta.Name, w.spec.Name), "", w.spec.Template
	svc := service.NewService(id, spec, meta, time.Now())
	svc.Consumers = []service.Consumer{{Service: j.actor.id, Serial: j.effect.Serial, Name: w.meta.Name, Owns: true}}
	_, err = e.Create(ctx, svc, store.Txn{})
	return id, err
}

// madeName is the name of a service that is made for another.
func madeName(consumer, node string) string {
	end := "-" + node
	name := []rune(consumer)
	return string(name[:min(len(name), service.MaxServiceName-len(end))]) + end
}

// bring has a service that was made for another be as that wishes it now.
func (e *Engine) bring(ctx context.Context, j job, w *errand, id uint64, wished *service.Spec) error {
	differs, live := false, false
	e.View(id, func(svc *service.Service) { differs, live = svc.Differs(wished) })
	by := "service " + w.meta.Name
	if differs {
		if _, err := e.Order(ctx, id, &service.Command{By: by, Update: &service.Update{Spec: wished, Live: live}}); err != nil {
			return err
		}
	}
	if w.revive == 0 {
		return nil
	}
	_, err := e.Order(ctx, id, &service.Command{ID: fmt.Sprintf("need-%d-%d-recover-%d", j.actor.id, j.effect.Serial, w.revive), By: by, Recover: &service.Recover{}})
	var refusal *service.Refusal
	if errors.As(err, &refusal) {
		return nil // it needs no recovery any more
	}
	return err
}

// bind tells a service that exists that another one needs it.
func (e *Engine) bind(ctx context.Context, j job, w *errand) *service.Fact {
	id := w.known
	if id == 0 {
		var err error
		if id, err = e.reference(w); err != nil {
			return notSupplied(err, "invalid")
		}
	}
	e.bonds.Lock()
	defer e.bonds.Unlock()
	if way := e.wayTo(j.actor.id, id); way != "" {
		return notSupplied(fmt.Errorf("services need each other in a circle: %s", way), "invalid")
	}
	c := service.Consumer{Service: j.actor.id, Serial: j.effect.Serial, Name: w.meta.Name}
	_, err := e.Order(ctx, id, &service.Command{By: "service " + w.meta.Name, Bind: &service.Bind{Consumer: c}})
	if err != nil && !errors.Is(err, ErrNoService) {
		return notSupplied(err, "")
	}
	return supplied(e.supplyOf(id))
}

// reference finds the service that another one names, in its project.
func (e *Engine) reference(w *errand) (uint64, error) {
	id, err := e.Lookup(w.meta.Group, w.spec.Service)
	if err != nil {
		return 0, err
	}
	allowed := false
	e.View(id, func(svc *service.Service) {
		allowed = svc.Meta.Group == w.meta.Group && (e.mayUse == nil || e.mayUse(w.meta.Owner, &svc.Meta))
	})
	if !allowed {
		return 0, fmt.Errorf("service %q: the owner of service %s may not use it", w.spec.Service, w.meta.Name)
	}
	return id, nil
}

// Lookup finds a service of a group that has not ended, by its number, alias or name.
func (e *Engine) Lookup(group int, ref string) (uint64, error) {
	if id, err := strconv.ParseUint(ref, 10, 64); err == nil {
		if e.actor(id) == nil {
			return 0, fmt.Errorf("service %s: %w", ref, ErrNoService)
		}
		return id, nil
	}
	if id := e.Aliased(group, ref); id != 0 {
		return id, nil
	}
	ids := slices.DeleteFunc(e.Named(group, ref), func(id uint64) bool {
		ended := true
		e.View(id, func(svc *service.Service) { ended = svc.State == service.Done })
		return ended
	})
	switch len(ids) {
	case 0:
		return 0, fmt.Errorf("service %q: %w of that name or alias in the project", ref, ErrNoService)
	case 1:
		return ids[0], nil
	}
	return 0, fmt.Errorf("service %q: %d services of the project bear that name; name it by its number", ref, len(ids))
}

// wayTo says how a service needs another one already, over others or by being it; "" when it does not. What a service is
// needed by stands in its own record, so that e.bonds makes asking and binding one step.
func (e *Engine) wayTo(consumer, supplier uint64) string {
	type step struct {
		id  uint64
		way []string
	}
	seen := map[uint64]bool{}
	for open := []step{{id: consumer}}; len(open) > 0; {
		at := open[0]
		open = open[1:]
		if seen[at.id] {
			continue
		}
		seen[at.id] = true
		var users []uint64
		name := idText(at.id)
		e.View(at.id, func(svc *service.Service) {
			name = svc.Meta.Name
			for _, c := range svc.Consumers {
				users = append(users, c.Service)
			}
		})
		way := append(slices.Clip(at.way), name)
		if at.id == supplier {
			slices.Reverse(way)
			return strings.Join(append(way, way[0]), " → ")
		}
		for _, id := range users {
			open = append(open, step{id, way})
		}
	}
	return ""
}

// Circle says how a service would need itself if it needed the other one; "" when it would not.
func (e *Engine) Circle(consumer, supplier uint64) string { return e.wayTo(consumer, supplier) }

// dismiss lets a needed service go: one that was made for the service is removed.
func (e *Engine) dismiss(ctx context.Context, j job) *service.Fact {
	w, ok := e.errandOf(j, service.SupplierLeaving)
	if !ok {
		return nil
	}
	id := w.known
	by := "service " + w.meta.Name
	c := &service.Command{By: by, Unbind: &service.Unbind{Consumer: service.Consumer{Service: j.actor.id, Serial: j.effect.Serial, Name: w.meta.Name}}}
	if w.owned {
		id = e.madeFor(bond{j.actor.id, j.effect.Serial})
		c = &service.Command{By: by, Undeploy: &service.Undeploy{Remove: true, Hard: w.hard, Data: w.data, Force: true, For: j.actor.id}}
	}
	failpoint("dismiss")
	if id != 0 {
		if _, err := e.Order(ctx, id, c); err != nil && !errors.Is(err, ErrNoService) {
			return notSupplied(err, "")
		}
	}
	failpoint("dismissed")
	if w.owned && id != 0 && e.actor(id) != nil {
		return nil // it tells when it is gone
	}
	return supplied(&service.Supply{Service: id, State: service.Done, Gone: true})
}

// madeFor returns the service that was made for a node of another one; 0 for none.
func (e *Engine) madeFor(b bond) uint64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.made[b]
}

// noteBond keeps the index of services that were made for others. e.mu is held.
func (e *Engine) noteBond(svc *service.Service, there bool) {
	o := svc.Owner()
	if o == nil {
		return
	}
	b := bond{o.Service, o.Serial}
	switch {
	case there:
		e.made[b] = svc.ID
	case e.made[b] == svc.ID:
		delete(e.made, b)
	}
}

// A tale is what a service told last to those that need it.
type tale struct {
	state     service.State
	reason    string
	outputs   uint32
	consumers int
	told      bool
}

// tellConsumers tells those that need a service how it is, where that has changed. The actor is held.
func (e *Engine) tellConsumers(a *actor) {
	svc := a.svc
	if len(svc.Consumers) == 0 {
		return
	}
	now := tale{svc.State, svc.Reason, svc.OutputRevision, len(svc.Consumers), true}
	if now == a.told {
		return
	}
	a.told = now
	told := svc.SupplyOf()
	told.At = a.head
	for _, c := range svc.Consumers {
		e.Tell(c.Service, service.Fact{Kind: service.Supplied, Serial: c.Serial, Supply: told})
	}
}

// tellGone tells those that needed a service that it is no more.
func (e *Engine) tellGone(svc *service.Service) {
	for _, c := range svc.Consumers {
		e.Tell(c.Service, service.Fact{Kind: service.Supplied, Serial: c.Serial, Supply: &service.Supply{Service: svc.ID, State: service.Done, Reason: svc.Reason, Gone: true}})
	}
}
