package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/wake"
)

// An actor is a service with its mailbox.
type actor struct {
	id    uint64
	shard uint8

	mu      sync.Mutex // guards what follows up to lock
	inbox   []message
	place   place
	again   bool // look again after this turn
	calls   map[uint32]*call
	lines   map[uint32][]job      // calls on one machine that wait for the one before them
	doubts  map[uint32]time.Time  // when creations without an answer ended, for those in doubt
	refresh map[uint16]refreshing // roles whose files are being rendered
	leaving bool                  // its records are being removed
	timer   time.Time
	slot    wake.Slot[*actor]

	// lock is held for writing from the first fact of a turn until its commit is answered, so that
	// readers see committed state alone.
	lock    sync.RWMutex
	svc     *service.Service
	head    int64 // revision of the service record's last change
	fresh   bool  // not stored yet
	gone    bool
	usage   service.Usage
	name    nameKey
	alias   nameKey
	extra   store.Txn // stored together with a new service
	state   service.State
	peersMu sync.Mutex
	peers   map[uint16]render.Peers // by role; dropped with each commit
	// checks are the health checks that run, by serial.
	checks map[uint32]checking
	told   tale // to those that need it
	// counted: state is in the metrics.
	counted bool
	// floor is the highest serial that machines of this service bear on any back end: a restored
	// state may not know of it, and must not give it away again.
	floor uint32
	// found is what the list under way found; a change makes it void.
	found roundCount
	// misses counts the commits in a row that failed.
	misses int
}

type message struct {
	fact  service.Fact
	reply chan<- answer // nil for facts that nobody waits for
	// proof is the time up to which an absence is proven; zero for other facts.
	proof time.Time
	// from is the back end whose event this is; nil for other facts.
	from *Backend
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
	var to *runQueue
	switch {
	case m.reply != nil && (a.place == resting || a.place == waiting):
		a.place, to = hastened, e.urgent
	case a.place == resting:
		a.place, to = waiting, e.queue
	}
	a.mu.Unlock()
	if to != nil {
		to.Push(a)
	}
}

// A place says where an actor is between two turns. One that was hastened while it waited is still found
// in the queue where it waited, and passed over there.
type place uint8

const (
	resting  place = iota
	waiting        // in Engine.queue
	hastened       // in Engine.urgent: somebody waits for it
	turning        // a worker has it; or it was loaded and waits for its back ends
)

// begins takes an actor that was found in a queue into its turn; false when it is elsewhere by now.
func (a *actor) begins(from place) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.place != from {
		return false
	}
	a.place = turning
	return true
}

// schedule lets a worker look at the actor, messages or not.
func (e *Engine) schedule(a *actor) {
	a.mu.Lock()
	run := a.place == resting
	if run {
		a.place = waiting
	}
	a.again = !run
	a.mu.Unlock()
	if run {
		e.queue.Push(a)
	}
}

// rest ends a turn; the actor runs again at once if something came meanwhile.
func (e *Engine) rest(a *actor, more bool) {
	a.mu.Lock()
	run := more || a.again || len(a.inbox) > 0
	a.place, a.again = resting, false
	to := e.queue
	if run {
		a.place = waiting
		if slices.ContainsFunc(a.inbox, func(m message) bool { return m.reply != nil }) {
			a.place, to = hastened, e.urgent
		}
	}
	a.mu.Unlock()
	if run {
		to.Push(a)
	}
}

// turn gives an actor its turn: the facts that wait, a decision, a commit. It ends in committed.
func (e *Engine) turn(a *actor) {
	if !a.fresh && e.idle(a) {
		return
	}
	failpoint("observe")
	a.lock.Lock()
	if a.gone || a.svc == nil {
		a.lock.Unlock()
		e.refuseAll(a, ErrNoService)
		return
	}
	a.svc.Serial = max(a.svc.Serial, a.floor)
	now := time.Now()
	t := &turnOf{actor: a}
	e.observe(t, now)
	if e.limit != nil && a.svc.Governed() {
		a.svc.Allow = func(more service.Usage) error { return e.reserve(t, a.svc.Meta.Group, more) }
	}
	t.decision = a.svc.Decide(now)
	a.svc.Allow = nil
	records := a.svc.Changes()
	t.changed, t.events = a.svc.Changed(), a.svc.Events()
	e.setTimer(a, t.decision.Wake)
	if len(records) == 0 {
		e.finish(t, 0)
		return
	}
	t.records = records
	e.prepare(t)
	failpoint("commit")
	e.calls.Add(1)
	e.commit(t)
}

// idle ends a turn before it begins while all work is paused.
func (e *Engine) idle(a *actor) bool {
	if !e.paused.Load() {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !e.paused.Load() { // resumed meanwhile, and this actor was passed over
		return false
	}
	a.place, a.again = resting, false
	return true
}

// commit submits what a turn came to; e.calls counts it until it is settled.
func (e *Engine) commit(t *turnOf) {
	started := time.Now()
	bytes := int64(0)
	for _, p := range t.txn.Puts {
		bytes += int64(len(p.Value))
	}
	e.writing.Add(bytes)
	if len(t.replies) == 0 {
		e.pace.spend(bytes, started)
	}
	e.store.Submit(t.txn, func(revision int64, err error) {
		e.wrote(bytes)
		now := time.Now()
		e.pace.answered(started, now)
		e.metrics.commit(now.Sub(started), err)
		if err != nil {
			go func() {
				defer e.calls.Done()
				e.uncommitted(t, err)
			}()
			return
		}
		defer e.calls.Done()
		a := t.actor
		if t.head {
			a.head = revision
		}
		a.fresh, a.extra, a.misses = false, store.Txn{}, 0
		if len(t.records) > 0 {
			e.prepare(t)
			e.calls.Add(1)
			e.commit(t)
			return
		}
		e.finish(t, revision)
	})
}

// What one transaction holds, beside its guards: an external cluster's defaults with room to spare.
const (
	recordsATime = 110
	bytesATime   = 512 << 10
)

// prepare makes the next transaction of a turn. Decisions keep to one; a wish that concerns every
// instance of a large role may need several. The service record goes first, together with the spec that it
// names: with it serials and numbers are taken for good, and each block after it is true by itself, so that
// a crash in between leaves a wish half done and visibly so, never a machine unknown.
func (e *Engine) prepare(t *turnOf) {
	n, size := 0, 0
	for n < len(t.records) && n < recordsATime {
		size += len(t.records[n].Value)
		if n > 0 && t.records[n].Kind == service.BlockRecord && size > bytesATime {
			break
		}
		n++
	}
	now := t.records[:n]
	t.records = t.records[n:]
	t.head = revisesHead(now)
	t.txn = e.transaction(t.actor, now)
}

// A turnOf is what one turn of an actor came to.
type turnOf struct {
	actor    *actor
	decision service.Decision
	heard    [][]message      // what was observed
	records  []service.Record // not in a transaction yet
	txn      store.Txn
	head     bool // txn revises the service record
	replies  []pendingReply
	changed  []uint32
	events   []service.Event
	grants   []grant
}

type pendingReply struct {
	to      chan<- answer
	err     error
	command string
}

// observe takes what is in the mailbox, up to what one transaction can hold.
func (e *Engine) observe(t *turnOf, now time.Time) {
	a := t.actor
	for {
		a.mu.Lock()
		if len(a.inbox) == 0 {
			a.inbox = nil
			a.mu.Unlock()
			return
		}
		batch := a.inbox
		a.inbox = nil
		a.mu.Unlock()
		for n, m := range batch {
			if a.svc.Full() {
				a.mu.Lock()
				a.inbox = append(batch[n:], a.inbox...)
				a.mu.Unlock()
				t.heard = append(t.heard, batch[:n])
				return
			}
			if !m.proof.IsZero() && !a.proven(&m, e.began) {
				continue // it was asked for again meanwhile
			}
			if m.from != nil && !m.from.admits(a, m.fact) {
				continue
			}
			err := e.grant(t, m.fact.Command)
			if err == nil {
				err = a.svc.Observe(m.fact, now)
			}
			if m.reply != nil {
				p := pendingReply{to: m.reply, err: err}
				if m.fact.Command != nil {
					p.command = m.fact.Command.ID
				}
				t.replies = append(t.replies, p)
			}
		}
		t.heard = append(t.heard, batch)
	}
}

func revisesHead(records []service.Record) bool {
	return len(records) > 0 && records[0].Kind == service.HeadRecord
}

func (e *Engine) transaction(a *actor, records []service.Record) store.Txn {
	t := store.Txn{Guards: []store.Guard{e.tenure.Fence(a.shard)}, Vital: a.svc.Leaving}
	if a.fresh {
		t.Guards = append(t.Guards, store.Absent(headKey(a.id)))
		t.Guards = append(t.Guards, a.extra.Guards...)
		t.Puts = append(t.Puts, a.extra.Puts...)
		t.Deletes = append(t.Deletes, a.extra.Deletes...)
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
	e.noteCommitted(a, t)
	a.peers = nil
	e.watchHealth(a, t.changed)
	a.dropDoubts(t.changed)
	e.tellConsumers(a)
	state := svc.State
	if revision > 0 {
		e.hub.publish(Change{Service: a.id, Revision: revision, Spec: svc.Spec, State: state, Instances: t.changed, Events: t.events, Meta: svc.Meta})
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
// it is read again, what was heard is heard again, and what was decided is decided anew.
func (e *Engine) uncommitted(t *turnOf, cause error) {
	a := t.actor
	e.log.Warn("commit failed", "service", a.id, "error", cause)
	if a.fresh && !errors.Is(cause, store.ErrAmbiguous) {
		e.abandon(t, fmt.Errorf("store the service: %w", cause))
		return
	}
	if errors.Is(cause, store.ErrTooLarge) {
		e.log.Error("a service's records outgrow a transaction", "service", a.id, "error", cause)
	}
	svc, head, err := e.reload(a, t, errors.Is(cause, store.ErrAmbiguous))
	if err != nil || svc == nil {
		e.abandon(t, fmt.Errorf("%w: %w", ErrUnavailable, cause))
		if errors.Is(err, errUnreadable) {
			e.log.Error("a service cannot be read and is left alone", "service", a.id, "error", err)
		} else if err != nil && e.ctx.Err() == nil {
			e.fail(fmt.Errorf("service %d: read it again after a failed commit: %w", a.id, err))
		}
		return
	}
	made := a.fresh
	a.svc, a.head, a.fresh, a.extra = svc, head, false, store.Txn{}
	a.misses++
	e.noteCommitted(a, t)
	a.peers = nil
	e.watchAllHealth(a)
	a.lock.Unlock()
	for _, r := range t.replies {
		if verdict, heard := svc.Verdict(r.command); heard || made {
			r.to <- answer{head, verdict}
			continue
		}
		if errors.Is(cause, store.ErrTooLarge) {
			r.to <- answer{0, &service.Refusal{Kind: service.BadValue, Message: "the service would outgrow what the store holds: make its description, its files or its attributes smaller"}}
			continue
		}
		r.to <- answer{0, fmt.Errorf("%w: %w", ErrUnavailable, cause)}
	}
	e.hearAgain(t)
	e.resumeAfter(a, min(20*time.Millisecond<<min(a.misses, 8), 5*time.Second))
}

// abandon gives an actor up whose state is not known or not stored.
func (e *Engine) abandon(t *turnOf, err error) {
	a := t.actor
	if e.ctx.Err() == nil || a.fresh {
		e.forget(a, t)
	}
	a.gone = true
	a.lock.Unlock()
	reply(t.replies, 0, err)
	e.refuseAll(a, ErrNoService)
}

// hearAgain puts the facts of a turn that was not committed back, before those that came since.
// Commands were answered.
func (e *Engine) hearAgain(t *turnOf) {
	a := t.actor
	a.mu.Lock()
	defer a.mu.Unlock()
	var facts []message
	for _, batch := range t.heard {
		for _, m := range batch {
			if m.reply == nil {
				facts = append(facts, m)
			}
		}
	}
	a.inbox = append(facts, a.inbox...)
}

// resumeAfter ends a turn that failed; the actor runs again after a pause, so that a store that cannot
// write is not asked without end.
func (e *Engine) resumeAfter(a *actor, pause time.Duration) {
	e.calls.Add(1)
	go func() {
		defer e.calls.Done()
		select {
		case <-time.After(pause):
			e.rest(a, true)
		case <-e.ctx.Done():
		}
	}()
}

func reply(replies []pendingReply, revision int64, err error) {
	for _, r := range replies {
		r.to <- answer{revision, err}
	}
}

func (e *Engine) refuseAll(a *actor, err error) {
	a.mu.Lock()
	inbox := a.inbox
	a.inbox, a.place = nil, resting
	a.mu.Unlock()
	for _, m := range inbox {
		if m.reply != nil {
			m.reply <- answer{0, err}
		}
	}
}

// woken is what the clock does.
func (e *Engine) woken(a *actor) {
	a.mu.Lock()
	a.timer = time.Time{}
	a.mu.Unlock()
	e.schedule(a)
}

func (e *Engine) setTimer(a *actor, at time.Time) {
	a.mu.Lock()
	same := a.timer.Equal(at)
	a.timer = at
	a.mu.Unlock()
	if !same {
		e.clock.Set(&a.slot, a, at)
	}
}
