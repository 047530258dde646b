package hurtle

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/manager"
	"github.com/troupe-dev/troupe/internal/store"
)

// A View is an instance as it is at one time.
type View struct {
	ID       string
	Manager  string
	Tenant   int
	State    manager.State
	Step     manager.Step
	Message  string // why it failed
	Pending  string // what it waits for, in words; "" for nothing
	App      string // URL of its orchestrator's program at the Cloud Controller
	Address  string // of the orchestrator
	Program  string
	Services []string // URLs of the instances that it is composed of
	Shown    []manager.Attribute
	Created  time.Time
	Since    time.Time // of the step
}

// view copies what is shown. a.mu is held.
func (a *actor) view() *View {
	i := a.instance
	return &View{ID: i.ID, Manager: i.Manager, Tenant: i.Tenant, State: i.State, Step: i.Step, Message: i.Message, Pending: i.Pending(), App: i.App, Address: i.Address, Program: i.Program,
		Services: i.Services, Shown: slices.Clone(i.Shown), Created: i.Created, Since: i.Since}
}

func (a *actor) look() *View {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.view()
}

// An UpstreamError is what somebody who had to be called said or failed to say.
type UpstreamError struct {
	// Unreachable: nobody answered; it may be tried again.
	Unreachable bool
	Status      int // what was answered otherwise
	Message     string
}

// Error returns the message.
func (e *UpstreamError) Error() string { return e.Message }

// upstream makes an error of an answer; nil of a good one.
func upstream(a *manager.Answer) error {
	if a.Outcome == manager.Done {
		return nil
	}
	return &UpstreamError{Unreachable: a.Outcome == manager.Unreachable || a.Outcome == manager.Unanswered, Status: a.Status, Message: a.Message}
}

// MaxInstances is how many instances a project may have of all managers.
const MaxInstances = 10_000

// delegation says what delegations are for where tokens are listed.
const delegation = "service instances (Hurtle)"

// Create makes an instance of the caller's project and returns once its program is being made, in the caller's name from then on. When
// the program cannot be made there is no instance either: the error is a *UpstreamError.
func (h *Hurtle) Create(ctx context.Context, who *identity.Caller, term string, given []manager.Attribute) (*View, error) {
	m, err := h.Manager(term)
	if err != nil {
		return nil, err
	}
	if m.Strict {
		for _, d := range m.Manifest.Attributes {
			if d.Rule == manager.Immutable && slices.ContainsFunc(given, func(a manager.Attribute) bool { return a.Name == d.Name }) {
				return nil, fmt.Errorf("%w: %s is set by the service", identity.ErrInvalid, d.Name)
			}
		}
	}
	if len(given) > maxGiven {
		return nil, fmt.Errorf("%w: there are %d attributes; %d are the most", identity.ErrInvalid, len(given), maxGiven)
	}
	lent, err := h.users.Delegate(ctx, who, delegation)
	if err != nil {
		return nil, err
	}
	hosted := h.opts.Orchestrators == nil || !h.opts.Orchestrators.Knows(m.Program)
	a := newActor(h, manager.New(newID(term), who.Group, lent, m.Program, hosted, given, m.rules, time.Now()))
	if err := h.enrol(a, m); err != nil {
		return nil, err
	}
	a.turn()
	if err := a.await(ctx, func(i *manager.Instance) bool { return !i.Hosting() }); err != nil {
		return nil, err // it goes on
	}
	if v := a.look(); v.State != manager.Fail {
		return v, nil
	}
	return nil, h.abandon(a)
}

const maxGiven = 200

// enrol puts a new instance among the others, if its manager is still there.
func (h *Hurtle) enrol(a *actor, m *Manager) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.managers[m.Term()] == nil {
		return fmt.Errorf("service manager %s: %w", m.Term(), identity.ErrNotFound)
	}
	n := 0
	for _, other := range h.actors {
		if other.instance.Tenant == a.instance.Tenant {
			n++
		}
	}
	if n >= MaxInstances {
		return fmt.Errorf("%w: the project has %d instances; delete some", identity.ErrInvalid, n)
	}
	h.actors[a.id] = a
	return nil
}

// abandon removes what a creation that failed has left, and returns why it failed.
func (h *Hurtle) abandon(a *actor) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := &UpstreamError{Message: a.instance.Message, Unreachable: a.instance.Unreachable()}
	a.instance.Abandon(time.Now())
	a.advance()
	return err
}

// newID makes an id as names of programs are: at most 24 characters.
func newID(term string) string {
	var random [8]byte
	rand.Read(random[:])
	short := strings.ToLower(strings.Map(func(r rune) rune {
		if r == '_' || r == '.' {
			return '-'
		}
		return r
	}, term))
	return "so" + short[:min(4, len(short))] + hex.EncodeToString(random[:])
}

// find returns an instance of the caller's project. One that is being deleted is there for those alone who look for its tombstone.
func (h *Hurtle) find(who *identity.Caller, term, id string, tombstone bool) (*actor, error) {
	h.mu.RLock()
	a := h.actors[id]
	h.mu.RUnlock()
	missing := fmt.Errorf("instance %.60q of %s: %w", id, term, identity.ErrNotFound)
	if a == nil || a.manager != term {
		return nil, missing
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.instance.Tenant != who.Group || a.over || a.instance.State == manager.Destroy && !tombstone {
		return nil, missing
	}
	return a, nil
}

// List returns the instances of the caller's project, oldest first. Those that are being deleted are not among them.
func (h *Hurtle) List(who *identity.Caller, term string) []*View {
	h.mu.RLock()
	actors := h.actorsOf(term)
	h.mu.RUnlock()
	var out []*View
	for _, a := range actors {
		if v := a.look(); v.Tenant == who.Group && v.State != manager.Destroy {
			out = append(out, v)
		}
	}
	return out
}

// All returns the instances of a manager in all projects, oldest first, with those that are being deleted.
func (h *Hurtle) All(term string) []*View {
	h.mu.RLock()
	actors := h.actorsOf(term)
	h.mu.RUnlock()
	out := make([]*View, len(actors))
	for i, a := range actors {
		out[i] = a.look()
	}
	return out
}

// Known returns an instance as it is known, without asking its orchestrator; one that is being deleted, too, if tombstone.
func (h *Hurtle) Known(who *identity.Caller, term, id string, tombstone bool) (*View, error) {
	a, err := h.find(who, term, id, tombstone)
	if err != nil {
		return nil, err
	}
	return a.look(), nil
}

// Read returns an instance with what its orchestrator shows now; the requester's token is passed on. When that cannot be had the error
// is a *UpstreamError, unless the manager shows what it knows then.
func (h *Hurtle) Read(ctx context.Context, who *identity.Caller, token, term, id string) (*View, error) {
	a, err := h.find(who, term, id, false)
	if err != nil {
		return nil, err
	}
	m, err := h.Manager(term)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	live, t := a.instance.Live(), a.target()
	a.mu.Unlock()
	if !live {
		return a.look(), nil
	}
	began := time.Now()
	seen, err := h.show(ctx, t, token, m.rules.Policy.Call)
	if err == nil {
		if err := a.observe(manager.Fact{Seen: seen}); err != nil {
			return nil, err
		}
	} else if v := a.look(); !m.StaleReads && v.State != manager.Fail && v.State != manager.Destroy {
		return nil, err
	}
	h.tellRead(a, time.Since(began))
	return a.look(), nil
}

func (h *Hurtle) tellRead(a *actor, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h.tell(a.instance, []manager.Event{{Phase: manager.EventRetrieve}, {Phase: manager.EventRetrieve, Done: true, Took: took}})
}

// show asks an orchestrator for its service.
func (h *Hurtle) show(ctx context.Context, t target, token string, limit time.Duration) ([]manager.Attribute, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	so, err := h.orchestrator(ctx, t, token)
	if err == nil {
		e, failed := so.Get(ctx, theOrchestrator)
		if failed == nil {
			return attributesOf(e), nil
		}
		err = failed
	}
	answer := manager.Answer{}
	classify(err, &answer)
	return nil, upstream(&answer)
}

// Update passes attributes on to the orchestrator and, once it has taken them, keeps them. An error is a *manager.Refusal or a
// *UpstreamError; then nothing has changed here.
func (h *Hurtle) Update(ctx context.Context, who *identity.Caller, term, id string, list []manager.Attribute) (*View, error) {
	a, err := h.find(who, term, id, false)
	if err != nil {
		return nil, err
	}
	m, err := h.Manager(term)
	if err != nil {
		return nil, err
	}
	if err := h.lend(ctx, a, who); err != nil {
		return nil, err
	}
	a.mu.Lock()
	err = a.instance.CanUpdate()
	t, told := a.target(), a.instance.With(manager.PhaseUpdate, list...)
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := h.renew(ctx, t, m, told); err != nil {
		return nil, err
	}
	if err := a.observe(manager.Fact{Updated: &list}); err != nil {
		return nil, err
	}
	return a.look(), nil
}

// renew sends an update to an orchestrator. It goes in the name of whoever lends theirs, whose token the orchestrator keeps.
func (h *Hurtle) renew(ctx context.Context, t target, m *Manager, told []manager.Attribute) error {
	ctx, cancel := context.WithTimeout(ctx, m.rules.Policy.Act)
	defer cancel()
	token, err := h.tokens.of(t.delegation)
	if err != nil {
		return err
	}
	for tries := 1; ; tries++ {
		answer := &manager.Answer{Call: manager.Renew, Outcome: manager.Done}
		so, err := h.orchestrator(ctx, t, token)
		if err == nil {
			err = so.Set(ctx, theOrchestrator, occiAttributes(told))
		}
		if err == nil {
			return nil
		}
		classify(err, answer)
		if answer.Outcome != manager.Unreachable || tries >= m.rules.Policy.Attempts || !pause(ctx, min(m.rules.Policy.Wait<<min(tries-1, 16), m.rules.Policy.MaxWait)) {
			return upstream(answer)
		}
	}
}

// pause waits; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// lend has the instance go on in the name of who acts on it now, if that of before is no longer good.
func (h *Hurtle) lend(ctx context.Context, a *actor, who *identity.Caller) error {
	a.mu.Lock()
	before := a.instance.Delegation
	a.mu.Unlock()
	if _, err := h.users.Delegated(before); err == nil {
		return nil
	}
	lent, err := h.users.Delegate(ctx, who, delegation)
	if err != nil {
		return err
	}
	return a.observe(manager.Fact{Lend: lent})
}

// Delete has an instance removed with all that its orchestrator has made; it returns once that is certain to happen.
func (h *Hurtle) Delete(ctx context.Context, who *identity.Caller, term, id string) error {
	a, err := h.find(who, term, id, false)
	if err != nil {
		return err
	}
	if err := h.lend(ctx, a, who); err != nil {
		return err
	}
	var refusal *manager.Refusal
	switch err := a.observe(manager.Fact{Delete: true}); {
	case errors.As(err, &refusal): // another request was faster
		return fmt.Errorf("instance %s: %w", id, identity.ErrNotFound)
	case err != nil:
		return err
	}
	return a.settled(ctx)
}

// settled waits until what the instance is now is stored.
func (a *actor) settled(ctx context.Context) error {
	for {
		a.mu.Lock()
		done, changed := !a.committing, a.changed
		a.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", store.ErrAmbiguous, ctx.Err())
		}
	}
}
