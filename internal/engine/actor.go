package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// An actor is a service with its mailbox.
type actor struct {
	id    uint64
	shard uint8

	mu      sync.Mutex // guards what follows up to lock
	inbox   []message
	queued  bool // in the run queue, or in the middle of a turn
	again   bool // look again after this turn
	calls   map[uint32]*call
	timer   time.Time
	heapPos int

	// lock is held for writing from the first fact of a turn until its commit is answered, so that
	// readers see committed state alone.
	lock    sync.RWMutex
	svc     *service.Service
	head    int64 // revision of the service record's last change
	fresh   bool  // not stored yet
	gone    bool
	usage   service.Usage
	name    nameKey
	extra   []store.Put // stored together with a new service
	state   service.State
	peersMu sync.Mutex
	peers   map[uint16]render.Peers // by role; dropped with each commit
	// checks are the health checks that run, by serial.
	checks map[uint32]checking
	// counted: state is in the metrics.
	counted bool
}

type message struct {
	fact  service.Fact
	reply chan<- answer // nil for facts that nobody waits for
}

type answer struct {
	revision int64
	err      error
}

func idText(id uint64) string { return strconv.FormatUint(id, 10) }

func newCommandID() string { return rand.Text() }

// post puts a message in the mailbox and sees to it that a worker looks.
func (e *Engine) post(a *actor, m message) {
	a.mu.Lock()
	a.inbox = append(a.inbox, m)
	run := !a.queued
	a.queued = true
	a.mu.Unlock()
	if run {
		e.queue.push(a)
	}
}

// schedule lets a worker look at the actor, messages or not.
func (e *Engine) schedule(a *actor) {
	a.mu.Lock()
	run := !a.queued
	a.queued = true
	a.again = !run
	a.mu.Unlock()
	if run {
		e.queue.push(a)
	}
}

// rest ends a turn; the actor runs again at once if something came meanwhile.
func (e *Engine) rest(a *actor, more bool) {
	a.mu.Lock()
	run := more || a.again || len(a.inbox) > 0
	a.queued, a.again = run, false
	a.mu.Unlock()
	if run {
		e.queue.push(a)
	}
}

// turn gives an actor its turn: the facts that wait, a decision, a commit. It ends in committed.
func (e *Engine) turn(a *actor) {
	if e.paused.Load() && !a.fresh {
		a.mu.Lock()
		a.queued = false
		a.mu.Unlock()
		return
	}
	failpoint("observe")
	a.lock.Lock()
	if a.gone || a.svc == nil {
		a.lock.Unlock()
		e.refuseAll(a, ErrNoService)
		return
	}
	now := time.Now()
	replies := e.observe(a, now)
	d := a.svc.Decide(now)
	records := a.svc.Changes()
	t := turnOf{actor: a, decision: d, replies: replies, changed: a.svc.Changed(), events: a.svc.Events()}
	e.setTimer(a, d.Wake)
	if len(records) == 0 {
		e.finish(&t, 0)
		return
	}
	txn := e.transaction(a, records)
	failpoint("commit")
	started := time.Now()
	e.store.Submit(txn, func(revision int64, err error) {
		e.metrics.commit(time.Since(started), err)
		if err != nil {
			e.calls.Add(1)
			go func() {
				defer e.calls.Done()
				e.uncommitted(&t, err)
			}()
			return
		}
		if revisesHead(records) {
			a.head = revision
		}
		a.fresh, a.extra = false, nil
		e.finish(&t, revision)
	})
}

// A turnOf is what one turn of an actor came to.
type turnOf struct {
	actor    *actor
	decision service.Decision
	replies  []pendingReply
	changed  []uint32
	events   []service.Event
}

type pendingReply struct {
	to      chan<- answer
	err     error
	command string
}

func (e *Engine) observe(a *actor, now time.Time) []pendingReply {
	var replies []pendingReply
	for {
		a.mu.Lock()
		if len(a.inbox) == 0 {
			a.inbox = nil
			a.mu.Unlock()
			return replies
		}
		batch := a.inbox
		a.inbox = nil
		a.mu.Unlock()
		for n, m := range batch {
			if a.svc.Full() {
				a.mu.Lock()
				a.inbox = append(batch[n:], a.inbox...)
				a.mu.Unlock()
				return replies
			}
			err := a.svc.Observe(m.fact, now)
			if m.reply != nil {
				p := pendingReply{to: m.reply, err: err}
				if m.fact.Command != nil {
					p.command = m.fact.Command.ID
				}
				replies = append(replies, p)
			}
		}
	}
}

func revisesHead(records []service.Record) bool {
	return len(records) > 0 && records[0].Kind == service.HeadRecord
}

func (e *Engine) transaction(a *actor, records []service.Record) store.Txn {
	t := store.Txn{Guards: []store.Guard{e.tenure.Fence(a.shard)}}
	if a.fresh {
		t.Guards = append(t.Guards, store.Absent(headKey(a.id)))
		for _, p := range a.extra {
			t.Guards = append(t.Guards, store.Absent(p.Key))
			t.Puts = append(t.Puts, p)
		}
	} else {
		t.Guards = append(t.Guards, store.At(headKey(a.id), a.head))
	}
	for _, r := range records {
		key := recordKey(a.id, r)
		if r.Value == nil {
			t.Deletes = append(t.Deletes, key)
		} else {
			t.Puts = append(t.Puts, store.Put{Key: key, Value: e.seal(key, r)})
		}
		if r.Kind == service.SpecRecord && r.Number > revisionsKept {
			t.Deletes = append(t.Deletes, specKey(a.id, r.Number-revisionsKept))
		}
	}
	return t
}

// finish follows a commit: answers go out, readers may see the new state, effects begin.
func (e *Engine) finish(t *turnOf, revision int64) {
	failpoint("effect")
	a := t.actor
	svc := a.svc
	e.noteCommitted(a)
	a.peers = nil
	e.watchHealth(a, t.changed)
	state := svc.State
	if revision > 0 {
		e.hub.publish(Change{Service: a.id, Revision: revision, State: state, Instances: t.changed, Events: t.events, Meta: svc.Meta})
	}
	// What follows needs the state no more; calls look it up again when they begin.
	a.lock.Unlock()
	for _, r := range t.replies {
		r.to <- answer{revision, r.err}
	}
	for _, eff := range t.decision.Effects {
		e.dispatch(a, eff)
	}
	e.rest(a, t.decision.More)
}

// uncommitted follows a commit that failed or was not answered: what is in memory may be wrong, so
// it is read again, and what was decided is decided anew.
func (e *Engine) uncommitted(t *turnOf, cause error) {
	a := t.actor
	e.log.Warn("commit failed", "service", a.id, "error", cause)
	if a.fresh && !errors.Is(cause, store.ErrAmbiguous) {
		e.forget(a)
		a.gone = true
		a.lock.Unlock()
		reply(t.replies, 0, fmt.Errorf("store the service: %w", cause))
		return
	}
	if errors.Is(cause, store.ErrTooLarge) {
		e.log.Error("a service's records outgrow a transaction", "service", a.id, "error", cause)
	}
	svc, head, err := e.reload(a)
	if err != nil {
		a.lock.Unlock()
		reply(t.replies, 0, fmt.Errorf("%w: %w", ErrUnavailable, cause))
		e.fail(fmt.Errorf("service %d: read it again after a failed commit: %w", a.id, err))
		return
	}
	if svc == nil { // a new service that was not stored, or one that is removed
		e.forget(a)
		a.gone = true
		a.lock.Unlock()
		reply(t.replies, 0, fmt.Errorf("%w: %w", ErrUnavailable, cause))
		return
	}
	a.svc, a.head, a.fresh = svc, head, false
	e.noteCommitted(a)
	a.lock.Unlock()
	for _, r := range t.replies {
		if verdict, heard := svc.Verdict(r.command); heard {
			r.to <- answer{head, verdict}
			continue
		}
		r.to <- answer{0, fmt.Errorf("%w: %w", ErrUnavailable, cause)}
	}
	e.rest(a, true)
}

func reply(replies []pendingReply, revision int64, err error) {
	for _, r := range replies {
		r.to <- answer{revision, err}
	}
}

func (e *Engine) refuseAll(a *actor, err error) {
	a.mu.Lock()
	inbox := a.inbox
	a.inbox, a.queued = nil, false
	a.mu.Unlock()
	for _, m := range inbox {
		if m.reply != nil {
			m.reply <- answer{0, err}
		}
	}
}

func (e *Engine) setTimer(a *actor, at time.Time) {
	a.mu.Lock()
	same := a.timer.Equal(at)
	a.timer = at
	a.mu.Unlock()
	if !same {
		e.timers.set(a, at)
	}
}
