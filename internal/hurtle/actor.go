package hurtle

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/manager"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/wake"
)

// An actor runs one instance.
type actor struct {
	h       *Hurtle
	id      string
	manager string
	slot    wake.Slot[*actor]

	mu         sync.Mutex
	instance   *manager.Instance
	committing bool
	stop       context.CancelFunc // of the call under way
	changed    chan struct{}      // closed when the instance changes
	over       bool
}

func newActor(h *Hurtle, i *manager.Instance) *actor {
	return &actor{h: h, id: i.ID, manager: i.Manager, instance: i, changed: make(chan struct{})}
}

// order sorts instances by their creation.
func (a *actor) order(b *actor) int {
	return cmp.Or(a.instance.Created.Compare(b.instance.Created), cmp.Compare(a.id, b.id))
}

// observe tells the instance a fact and goes on from there. Its error is a *manager.Refusal.
func (a *actor) observe(f manager.Fact) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.instance.Observe(f, time.Now()); err != nil {
		return err
	}
	if f.Delete && a.stop != nil {
		a.stop() // nobody waits for that answer any more
	}
	a.advance()
	return nil
}

// rule has the instance go by other rules.
func (a *actor) rule(r *manager.Rules) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.instance.Rule(r)
	a.advance()
}

// turn goes on when it is time to.
func (a *actor) turn() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance()
}

// advance decides, commits and then has done what was decided. a.mu is held.
func (a *actor) advance() {
	if a.committing || a.over {
		return // the answer of the commit goes on
	}
	d := a.instance.Decide(time.Now())
	text := a.instance.Record()
	if events := a.instance.Events(); len(events) > 0 {
		a.h.tell(a.instance, events)
	}
	close(a.changed)
	a.changed = make(chan struct{})
	if text == nil && !d.Over {
		a.act(d)
		return
	}
	key := instancePrefix + a.id
	t := store.Txn{Order: key, Guards: []store.Guard{a.h.tenure.Fence(store.Shard(a.id))}}
	if d.Over {
		t.Deletes = []string{key}
	} else {
		t.Puts = []store.Put{a.h.seal(key, text)}
		t.Vital = a.instance.State == manager.Destroy
	}
	a.committing = true
	a.submit(t, d, 0)
}

// submit commits until that has been answered: nobody else writes the record, so that writing it twice does no harm.
func (a *actor) submit(t store.Txn, d manager.Decision, tries int) {
	a.h.store.Submit(t, func(_ int64, err error) {
		switch {
		case err == nil:
			a.h.due.Push(func() { a.committed(d) })
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrClosed):
			a.h.log.Debug("an instance is no longer this server's", "instance", a.id, "error", err)
		default:
			a.h.log.Warn("an instance cannot be stored; this is tried again", "instance", a.id, "error", err)
			time.AfterFunc(min(100*time.Millisecond<<min(tries, 7), 10*time.Second), func() { a.submit(t, d, tries+1) })
		}
	})
}

func (a *actor) committed(d manager.Decision) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.committing = false
	if d.Over {
		a.over = true
		close(a.changed)
		a.changed = make(chan struct{})
		a.h.forget(a)
		return
	}
	a.act(d)
	a.advance()
}

// act does what was decided. a.mu is held.
func (a *actor) act(d manager.Decision) {
	a.h.clock.Set(&a.slot, a, d.Wake)
	if d.Call == nil || a.h.ctx.Err() != nil {
		return
	}
	ctx, stop := context.WithTimeout(a.h.ctx, d.Call.Timeout)
	a.stop = stop
	t := a.target()
	a.h.calls.Add(1)
	go func() {
		defer a.h.calls.Done()
		defer stop()
		answer := a.h.call(ctx, t, d.Call)
		if a.h.ctx.Err() != nil {
			return // it is done again after the start
		}
		_ = a.observe(manager.Fact{Answer: answer}) // an answer is not refused
	}()
}

// await waits until ok or ctx ends.
func (a *actor) await(ctx context.Context, ok func(*manager.Instance) bool) error {
	for {
		a.mu.Lock()
		good, changed := a.over || ok(a.instance), a.changed
		a.mu.Unlock()
		if good {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// forget drops what is over.
func (h *Hurtle) forget(a *actor) {
	h.clock.Set(&a.slot, a, time.Time{})
	h.mu.Lock()
	delete(h.actors, a.id)
	h.mu.Unlock()
	if o := h.opts.Orchestrators; o != nil && !a.instance.Hosted {
		o.Forget(a.instance.Program, a.id)
	}
}
