package engine

import (
	"context"
	"errors"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/fifo"
	"github.com/troupe-dev/troupe/internal/service"
	"golang.org/x/sync/errgroup"
)

// A job is an effect on its way to a back end.
type job struct {
	actor  *actor
	effect service.Effect
}

// jobQueue holds calls that wait for a back end.
type jobQueue = fifo.Queue[job]

// A call is a creation that has begun; a removal of the same instance ends it first.
type call struct {
	incarnation uint32
	cancel      context.CancelFunc
	done        chan struct{}
}

// destroyTime is how long one removal may take: grace periods can be long.
const destroyTime = 10 * time.Minute

// dispatch hands an effect to the back end that it concerns.
func (e *Engine) dispatch(a *actor, eff service.Effect) {
	switch eff.Kind {
	case service.DoRemove:
		e.leave(a)
		return
	case service.DoRefresh:
		e.refreshRole(a, eff)
		return
	case service.DoSupply, service.DoDismiss, service.DoEvaluate:
		e.send(a, eff)
		return
	}
	var b *Backend
	var name string
	e.read(a, func(svc *service.Service) { b, name = e.backendOf(svc, eff) })
	if b == nil {
		e.answerMissing(a, eff, name)
		return
	}
	if !e.heard(b) {
		b.lookNow() // somebody needs it
	}
	switch eff.Kind {
	case service.DoCreate:
		b.creates.Push(job{a, eff})
	default:
		if j := (job{a, eff}); a.takeTurn(j) {
			b.others.Push(j)
		}
	}
}

// takeTurn reports whether a call on a machine may go to its back end now; otherwise it goes when the
// one before it has ended.
func (a *actor) takeTurn(j job) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	line := j.line()
	behind, busy := a.lines[line]
	if busy {
		a.lines[line] = append(behind, j)
		return false
	}
	if a.lines == nil {
		a.lines = make(map[uint32][]job)
	}
	a.lines[line] = nil
	return true
}

// giveTurn follows a call on a machine; it returns the next one, if there is one.
func (a *actor) giveTurn(line uint32) (next job, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	behind := a.lines[line]
	if len(behind) > 0 {
		a.lines[line] = behind[1:]
		return behind[0], true
	}
	if delete(a.lines, line); len(a.lines) == 0 {
		a.lines = nil
	}
	return job{}, false
}

// read lets f see the actor's service, if it is still there.
func (e *Engine) read(a *actor, f func(*service.Service)) {
	a.lock.RLock()
	defer a.lock.RUnlock()
	if a.svc != nil && !a.gone {
		f(a.svc)
	}
}

// backendOf finds the back end of an effect: that of the resource, or of the implementation which the
// machine was, or is to be, made with.
func (e *Engine) backendOf(svc *service.Service, eff service.Effect) (*Backend, string) {
	if concernsResource(eff) {
		x := svc.ResourceOf(eff)
		if x == nil {
			return nil, ""
		}
		return e.backends[backendKey(x.Driver, x.Account)], backendKey(x.Driver, x.Account)
	}
	impl := svc.ImplementationOf(eff)
	if impl == nil {
		return nil, ""
	}
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
	case service.DoMake:
		f.Kind = service.Made
	case service.DoUnmake:
		f.Kind = service.Unmade
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
				j, ok := q.Pop(ctx)
				if !ok {
					return nil
				}
				do(ctx, j)
			}
		})
	}
}

// mayStart reports whether this server surely owns the shard until a call of that length has ended.
func (e *Engine) mayStart(shard uint8, length time.Duration) bool {
	until, ok := e.tenure.Owned(shard)
	return ok && (until.IsZero() || time.Until(until) > length)
}

// leaseMargin is the least that must be left of a lease when a call begins. The lease is renewed all
// the time; a call that outlasts it is answered to an owner that is fenced.
const leaseMargin = time.Second

func (b *Backend) create(ctx context.Context, j job) {
	e := b.engine
	if e.paused.Load() || !e.mayStart(j.actor.shard, leaseMargin) || b.bars(j) {
		b.later(j)
		return
	}
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &call{incarnation: j.effect.Incarnation, cancel: cancel, done: make(chan struct{})}
	if !j.actor.begin(j.effect.Serial, c) {
		return
	}
	fact, ok := b.call(callCtx, j)
	// The call ends before its fact is heard: the next call for this instance may follow at once.
	j.actor.end(j.effect.Serial, c, j.effect.Repeated || ok && fact.Err != "" && !fact.Definite)
	close(c.done)
	if ok {
		e.post(j.actor, message{fact: fact})
	}
}

// call asks for a machine; false when there is nothing to tell.
func (b *Backend) call(ctx context.Context, j job) (fact service.Fact, ok bool) {
	fact = service.Fact{Kind: service.Created, Serial: j.effect.Serial, Incarnation: j.effect.Incarnation}
	// What the instance is now decides: it may have been given up while the job waited.
	p, ok := b.engine.blueprint(j.actor, j.effect, service.Creating)
	if !ok {
		return fact, false
	}
	if err := b.foretell(ctx, &p); err != nil {
		b.judge(&fact, err)
		return fact, ctx.Err() == nil
	}
	req, err := p.render(ctx, b.Kind)
	if err != nil {
		fact.Err, fact.Class, fact.Definite = err.Error(), "invalid", true
		return fact, ctx.Err() == nil
	}
	req.Env = b.engine.surround(req.ID, req.Env)
	failpoint("create")
	m, err := b.Driver.Create(ctx, req)
	failpoint("created")
	if ctx.Err() != nil && err != nil {
		return fact, false // overtaken by a removal, or the server stops: the state knows what to do
	}
	fact.Machine = m
	b.judge(&fact, err)
	return fact, true
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
				b.creates.Push(j)
			} else {
				b.others.Push(j)
			}
		}
	})
}

// begin notes that a creation is under way; false when the very same one is already. One for an earlier
// machine of the instance is ended first: nobody waits for its answer any more.
func (a *actor) begin(serial uint32, c *call) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.calls[serial] != nil {
		before := a.calls[serial]
		if before.incarnation >= c.incarnation {
			return false
		}
		a.mu.Unlock()
		before.cancel()
		<-before.done
		a.mu.Lock()
	}
	if a.calls == nil {
		a.calls = make(map[uint32]*call)
	}
	a.calls[serial] = c
	return true
}

func (a *actor) end(serial uint32, c *call, doubt bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if doubt {
		if a.doubts == nil {
			a.doubts = make(map[uint32]time.Time)
		}
		a.doubts[serial] = time.Now()
	}
	if a.calls[serial] == c {
		delete(a.calls, serial)
	}
	if len(a.calls) == 0 {
		a.calls = nil
	}
}

// dropDoubts forgets what is no longer in doubt. The actor is held.
func (a *actor) dropDoubts(changed []uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.doubts == nil {
		return
	}
	for _, serial := range changed {
		if i := a.svc.Instance(serial); i == nil || !i.Doubt && i.Phase != service.Creating {
			delete(a.doubts, serial)
		}
	}
	if len(a.doubts) == 0 {
		a.doubts = nil
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
	if e.paused.Load() || !e.mayStart(j.actor.shard, leaseMargin) {
		b.later(j)
		return
	}
	defer func() {
		if next, ok := j.actor.giveTurn(j.line()); ok {
			e.dispatchNext(next)
		}
	}()
	if concernsResource(j.effect) {
		b.resource(ctx, j)
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

// dispatchNext hands on a call that waited for the one before it.
func (e *Engine) dispatchNext(j job) {
	var b *Backend
	e.read(j.actor, func(svc *service.Service) { b, _ = e.backendOf(svc, j.effect) })
	if b != nil {
		b.others.Push(j)
		return
	}
	if next, ok := j.actor.giveTurn(j.line()); ok { // its role has left
		e.dispatchNext(next)
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
