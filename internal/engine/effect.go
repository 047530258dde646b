package engine

import (
	"context"
	"errors"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
	"golang.org/x/sync/errgroup"
)

// A job is an effect on its way to a back end.
type job struct {
	actor  *actor
	effect service.Effect
}

// A call is a creation that has begun; a removal of the same instance ends it first.
type call struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// destroyTime is how long one removal may take: grace periods can be long.
const destroyTime = 10 * time.Minute

// dispatch hands an effect to the back end that it concerns.
func (e *Engine) dispatch(a *actor, eff service.Effect) {
	switch eff.Kind {
	case service.DoRemove:
		e.calls.Add(1)
		go func() {
			defer e.calls.Done()
			e.removeData(a)
			e.remove(a)
		}()
		return
	case service.DoRefresh:
		e.refreshRole(a, eff)
		return
	}
	var b *Backend
	var name string
	e.read(a, func(svc *service.Service) { b, name = e.backendOf(svc, eff) })
	if b == nil {
		e.answerMissing(a, eff, name)
		return
	}
	switch eff.Kind {
	case service.DoCreate:
		b.creates.push(job{a, eff})
	default:
		b.others.push(job{a, eff})
	}
}

// read lets f see the actor's service, if it is still there.
func (e *Engine) read(a *actor, f func(*service.Service)) {
	a.lock.RLock()
	defer a.lock.RUnlock()
	if a.svc != nil && !a.gone {
		f(a.svc)
	}
}

// backendOf finds the back end of an effect: that of the implementation which the machine was, or is
// to be, made with.
func (e *Engine) backendOf(svc *service.Service, eff service.Effect) (*Backend, string) {
	r := svc.RoleOf(eff)
	if r == nil || int(eff.Impl) >= len(r.Spec.Machine.Implementations) {
		return nil, ""
	}
	impl := &r.Spec.Machine.Implementations[eff.Impl]
	return e.backends[backendKey(impl.Driver, impl.Account)], backendKey(impl.Driver, impl.Account)
}

// answerMissing answers an effect for a back end that this server does not have.
func (e *Engine) answerMissing(a *actor, eff service.Effect, name string) {
	f := service.Fact{Serial: eff.Serial, Incarnation: eff.Incarnation, Action: eff.Token, Err: "this server has no back end " + name, Class: "unavailable", Definite: true}
	switch eff.Kind {
	case service.DoCreate:
		f.Kind = service.Created
	case service.DoDestroy:
		f.Kind = service.Destroyed
	default:
		f.Kind = service.Acted
	}
	e.post(a, message{fact: f})
}

// work carries out jobs until ctx ends; n at a time.
func (b *Backend) work(ctx context.Context, g *errgroup.Group, q *jobQueue, n int, do func(context.Context, job)) {
	for range n {
		g.Go(func() error {
			for {
				j, ok := q.pop(ctx)
				if !ok {
					return nil
				}
				do(ctx, j)
			}
		})
	}
}

// mayStart reports whether this server surely owns the shard until a call of that length has ended.
func (e *Engine) mayStart(a *actor, length time.Duration) bool {
	until, ok := e.tenure.Owned(a.shard)
	return ok && (until.IsZero() || time.Until(until) > length)
}

// leaseMargin is the least that must be left of a lease when a call begins. The lease is renewed all
// the time; a call that outlasts it is answered to an owner that is fenced.
const leaseMargin = time.Second

func (b *Backend) create(ctx context.Context, j job) {
	e := b.engine
	if e.paused.Load() || !e.mayStart(j.actor, leaseMargin) {
		b.later(j)
		return
	}
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &call{cancel: cancel, done: make(chan struct{})}
	defer close(c.done)
	if !j.actor.begin(j.effect.Serial, c) {
		return
	}
	defer j.actor.end(j.effect.Serial, c)
	// What the instance is now decides: it may have been given up while the job waited.
	req, ok, err := e.request(callCtx, j.actor, j.effect)
	if !ok {
		return
	}
	fact := service.Fact{Kind: service.Created, Serial: j.effect.Serial, Incarnation: j.effect.Incarnation}
	if err != nil {
		fact.Err, fact.Class, fact.Definite = err.Error(), "invalid", true
		e.post(j.actor, message{fact: fact})
		return
	}
	failpoint("create")
	m, err := b.Driver.Create(callCtx, req)
	failpoint("created")
	if callCtx.Err() != nil && err != nil {
		return // overtaken by a removal, or the server stops: the state knows what to do
	}
	fact.Machine = m
	b.judge(&fact, err)
	e.post(j.actor, message{fact: fact})
}

// judge puts a call's error into a fact.
func (b *Backend) judge(f *service.Fact, err error) {
	if err == nil {
		return
	}
	f.Err, f.Class = err.Error(), driver.Class(err)
	f.Definite = driver.Definite(err) || errors.Is(err, driver.ErrUnasked)
	f.Repeat = b.Kind.Guarantee != driver.None
}

// later puts a job back for when the server may act again.
func (b *Backend) later(j job) {
	e := b.engine
	e.calls.Add(1)
	time.AfterFunc(200*time.Millisecond, func() {
		defer e.calls.Done()
		if e.ctx.Err() == nil {
			if j.effect.Kind == service.DoCreate {
				b.creates.push(j)
			} else {
				b.others.push(j)
			}
		}
	})
}

func (a *actor) begin(serial uint32, c *call) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls[serial] != nil {
		return false // the same creation is under way
	}
	if a.calls == nil {
		a.calls = make(map[uint32]*call)
	}
	a.calls[serial] = c
	return true
}

func (a *actor) end(serial uint32, c *call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls[serial] == c {
		delete(a.calls, serial)
	}
	if len(a.calls) == 0 {
		a.calls = nil
	}
}

// overtake ends a creation of the instance that has begun, and waits for its end.
func (a *actor) overtake(serial uint32) {
	a.mu.Lock()
	c := a.calls[serial]
	a.mu.Unlock()
	if c != nil {
		c.cancel()
		<-c.done
	}
}

func (b *Backend) other(ctx context.Context, j job) {
	e := b.engine
	if e.paused.Load() || !e.mayStart(j.actor, leaseMargin) {
		b.later(j)
		return
	}
	ref := driver.Ref{ID: service.MachineID(j.actor.id, j.effect.Serial, j.effect.Incarnation), Native: j.effect.Native}
	switch j.effect.Kind {
	case service.DoDestroy:
		b.destroy(ctx, j, ref)
	case service.DoAct:
		fact := service.Fact{Kind: service.Acted, Serial: j.effect.Serial, Incarnation: j.effect.Incarnation, Action: j.effect.Token}
		actor, ok := driver.As[driver.Actor](b.Driver)
		err := errors.New("driver " + b.Kind.Name + " does not support " + string(j.effect.Action))
		if ok && b.Kind.Supports(j.effect.Action) {
			err = actor.Act(ctx, ref, j.effect.Action, j.effect.Args, idText(uint64(j.effect.Token)))
		}
		if ctx.Err() != nil {
			return
		}
		b.judge(&fact, err)
		e.post(j.actor, message{fact: fact})
	}
}

func (b *Backend) destroy(ctx context.Context, j job, ref driver.Ref) {
	e := b.engine
	j.actor.overtake(j.effect.Serial)
	still := false
	e.read(j.actor, func(svc *service.Service) {
		i := svc.Instance(j.effect.Serial)
		still = i != nil && i.Incarnation == j.effect.Incarnation && (i.Phase == service.Stopping || i.Phase == service.Replacing)
	})
	if !still {
		return
	}
	failpoint("destroy")
	limit, cancel := context.WithTimeout(ctx, destroyTime)
	defer cancel()
	err := b.Driver.Destroy(limit, ref, j.effect.Mode)
	failpoint("destroyed")
	if ctx.Err() != nil {
		return
	}
	fact := service.Fact{Kind: service.Destroyed, Serial: j.effect.Serial, Incarnation: j.effect.Incarnation}
	b.judge(&fact, err)
	e.post(j.actor, message{fact: fact})
}

// refreshRole renders the files of a role's machines again and hands them to drivers that take them.
func (e *Engine) refreshRole(a *actor, eff service.Effect) {
	type target struct {
		b      *Backend
		serial uint32
		inc    uint32
		native string
	}
	var targets []target
	e.read(a, func(svc *service.Service) {
		r := svc.RoleOf(eff)
		if r == nil || !refersToPeers(&r.Spec.Machine) {
			return
		}
		for i := range r.Instances {
			if i.Phase != service.Up || i.Revision != r.Revision {
				continue
			}
			if b, _ := e.backendOf(svc, service.Effect{Role: r.ID, Impl: i.Impl}); b != nil {
				targets = append(targets, target{b, i.Serial, i.Incarnation, i.Native})
			}
		}
	})
	for _, t := range targets {
		refresher, ok := driver.As[driver.Refresher](t.b.Driver)
		if !ok {
			continue
		}
		e.calls.Add(1)
		t.b.background(func(ctx context.Context) {
			defer e.calls.Done()
			eff := service.Effect{Serial: t.serial, Incarnation: t.inc, Role: eff.Role}
			files, err := e.files(ctx, a, eff)
			if err == nil && len(files) > 0 {
				err = refresher.Refresh(ctx, driver.Ref{ID: service.MachineID(a.id, t.serial, t.inc), Native: t.native}, files)
			}
			if err != nil && ctx.Err() == nil {
				e.log.Warn("cannot refresh a machine's files", "service", a.id, "instance", t.serial, "error", err)
			}
		})
	}
}

// removeData removes what stable instances keep, when a service leaves for good and that was asked for.
func (e *Engine) removeData(a *actor) {
	type store struct {
		keeper driver.DataKeeper
		name   string
	}
	var stores []store
	e.read(a, func(svc *service.Service) {
		if !svc.Data {
			return
		}
		for _, r := range svc.Roles {
			if r.Spec.Identity != service.Stable {
				continue
			}
			for _, impl := range r.Spec.Machine.Implementations {
				b := e.Backend(impl.Driver, impl.Account)
				if b == nil {
					continue
				}
				if keeper, ok := driver.As[driver.DataKeeper](b.Driver); ok {
					for n := range r.NextNumber {
						stores = append(stores, store{keeper, service.DataName(svc.ID, r.Name, n)})
					}
				}
			}
		}
	})
	ctx, cancel := context.WithTimeout(e.ctx, time.Minute)
	defer cancel()
	for _, s := range stores {
		if err := s.keeper.RemoveData(ctx, s.name); err != nil {
			e.log.Error("cannot remove data", "service", a.id, "data", s.name, "error", err)
		}
	}
}
