package orchestrator

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"slices"

	"github.com/troupe-dev/troupe/occi"
)

// What Hurtle's orchestrators look like over OCCI.
const (
	// Scheme is that of the kind and of the actions.
	Scheme = "http://schemas.mobile-cloud-networking.eu/occi/service#"
	// Kind is that of an orchestrator.
	Kind occi.TypeID = Scheme + "orchestrator"

	location    = "/orchestrator/"
	defaultPath = location + "default"
	attrState   = "occi.mcn.stack.state"
	attrStack   = "occi.mcn.stack.id"
	noStack     = "N/A"

	deploy    occi.TypeID = Scheme + "deploy"
	provision occi.TypeID = Scheme + "provision"
	notify    occi.TypeID = Scheme + "notify"
)

func newModel() *occi.Model {
	actions := []occi.TypeID{deploy, provision, notify}
	categories := []occi.Category{{ID: Kind, Class: occi.Kind, Parent: occi.CoreResource, Location: location, Actions: actions,
		Attributes: []occi.AttributeDef{{Name: attrState, Immutable: true}, {Name: attrStack, Immutable: true}}}}
	for _, a := range actions {
		categories = append(categories, occi.Category{ID: a, Class: occi.Action})
	}
	return occi.MustModel(categories...)
}

// A backend is the orchestrator as entity.
type backend struct{ h *Handler }

// Model implements [occi.Backend].
func (b backend) Model(context.Context) (*occi.Model, error) { return b.h.model, nil }

// List implements [occi.Backend].
func (b backend) List(ctx context.Context, _ occi.Selection) iter.Seq2[*occi.Entity, error] {
	return func(yield func(*occi.Entity, error) bool) {
		if l := b.h.current(); l != nil && b.h.concerns(ctx, l) {
			yield(b.read(ctx, l, l.instance.snapshot().Path))
		}
	}
}

// Get implements [occi.Backend].
func (b backend) Get(ctx context.Context, path string) (*occi.Entity, error) {
	return b.read(ctx, b.h.current(), path)
}

func (b backend) read(ctx context.Context, l *live, path string) (*occi.Entity, error) {
	if l == nil || l.instance.snapshot().Path != path || !b.h.concerns(ctx, l) {
		return nil, occi.NotFound(path)
	}
	if err := l.tell(ctx); err != nil {
		return nil, err
	}
	return l.entity(), nil
}

// concerns reports whether a service is the caller's. Only where tokens are verified does the tenant's name say anything.
func (h *Handler) concerns(ctx context.Context, l *live) bool {
	return h.opts.Verify == nil || occi.CallerOf(ctx).Tenant == l.instance.Tenant()
}

// entity is the service as clients see it.
func (l *live) entity() *occi.Entity {
	r := l.instance.snapshot()
	e := &occi.Entity{Path: r.Path, Kind: Kind}
	add := func(values map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			e.Attributes.Set(name, values[name])
		}
	}
	add(r.Attributes)
	add(r.Last.Outputs)
	state, id := r.Last.Stack, r.Last.ID
	if state == "" {
		state = Uninitialized
	}
	if id == "" {
		id = noStack
	}
	e.Attributes.Set(attrState, state)
	e.Attributes.Set(attrStack, id)
	_, notified := l.execution.(Notified)
	switch {
	case r.Phase == initialised:
		e.Actions = []occi.TypeID{deploy}
	case r.Phase == deployed:
		e.Actions = []occi.TypeID{provision}
	case notified:
		e.Actions = []occi.TypeID{notify}
	}
	return e
}

// said are attributes as a client may say them: how the service stands is not the client's to say.
func said(a occi.Attributes) Attributes {
	out := make(Attributes, len(a))
	for _, x := range a {
		if x.Name != attrState && x.Name != attrStack {
			out[x.Name] = a.Text(x.Name)
		}
	}
	return out
}

// Create implements [occi.Backend]: it initialises the orchestrator.
func (b backend) Create(ctx context.Context, e *occi.Entity) (*occi.Entity, error) {
	unlock, err := b.h.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if b.h.current() != nil {
		return nil, occi.Errorf(http.StatusConflict, "There is an orchestrator already; delete it first.")
	}
	if e.Path == "" {
		e.Path = location + newID()
	}
	c := occi.CallerOf(ctx).Value.(caller)
	l := &live{instance: b.h.instance(record{Path: e.Path, Phase: initialised, Token: c.token, Tenant: c.tenant, Attributes: said(e.Attributes)})}
	err = protect(func() (err error) { l.execution, err = b.h.factory(ctx, l.instance); return })
	if err == nil {
		err = protect(func() error { return l.execution.Design(ctx) })
	}
	if err == nil {
		err = l.instance.change(func(*record) {}) // which keeps it
	}
	if err != nil {
		b.h.log.Warn("the orchestrator cannot be initialised", "error", err)
		if e := b.h.forget(); e != nil { // what Design may have kept
			b.h.log.Warn("what was kept of the service is still there", "error", e)
		}
		return nil, answer(err)
	}
	b.h.setCurrent(l)
	b.h.log.Info("initialised", "path", e.Path, "tenant", c.tenant)
	return l.entity(), nil
}

// change waits for its turn and passes on the service that a client wants to change. Whoever manages the service brings the token
// that is to be used from now on.
func (b backend) change(ctx context.Context, path string, manages bool, f func(*live) error) (*occi.Entity, error) {
	unlock, err := b.h.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	l := b.h.current()
	if l == nil || l.instance.snapshot().Path != path || !b.h.concerns(ctx, l) {
		return nil, occi.NotFound(path)
	}
	if c := occi.CallerOf(ctx).Value.(caller); manages && c.tenant == l.instance.Tenant() && c.token != l.instance.Token() {
		if err := l.instance.change(func(r *record) { r.Token = c.token }); err != nil {
			return nil, err
		}
	}
	if err := f(l); err != nil {
		b.h.log.Warn("a request failed", "path", path, "error", err)
		return nil, answer(err)
	}
	return l.entity(), nil
}

// Update implements [occi.Backend]. A full update is an initialisation that comes again: it changes attributes and calls
// nothing.
func (b backend) Update(ctx context.Context, path string, c occi.Change) (*occi.Entity, error) {
	return b.change(ctx, path, true, func(l *live) error {
		changed := said(c.Attributes)
		if err := l.instance.change(func(r *record) {
			r.Attributes = maps.Clone(r.Attributes)
			maps.Copy(r.Attributes, changed)
		}); err != nil || c.Full {
			return err
		}
		return protect(func() error { return l.execution.Update(ctx, l.instance.Attributes(), changed) })
	})
}

// Delete implements [occi.Backend]: it disposes of the service. If that fails the orchestrator stays, so that it can be tried again.
func (b backend) Delete(ctx context.Context, path string) error {
	_, err := b.change(ctx, path, true, func(l *live) error {
		l.endDecisions()
		if err := protect(func() error { return l.execution.Dispose(ctx) }); err != nil {
			return err
		}
		if err := b.h.forget(); err != nil {
			return err
		}
		b.h.setCurrent(nil)
		b.h.log.Info("disposed", "path", path)
		return nil
	})
	return err
}

// Act implements [occi.Backend].
func (b backend) Act(ctx context.Context, path string, a occi.Invocation) (*occi.Entity, error) {
	return b.change(ctx, path, a.Action != notify, func(l *live) error {
		if !slices.Contains(l.entity().Actions, a.Action) { // another request was faster
			return occi.Errorf(http.StatusBadRequest, "Not applicable atm.")
		}
		attributes := said(a.Attributes)
		switch a.Action {
		case deploy:
			if err := l.instance.change(func(r *record) { r.Deploying = true }); err != nil {
				return err
			}
			if err := protect(func() error { return l.execution.Deploy(ctx, attributes) }); err != nil {
				return err
			}
			return l.instance.change(func(r *record) { r.Phase = deployed })
		case provision:
			if err := protect(func() error { return l.execution.Provision(ctx, attributes) }); err != nil {
				return err
			}
			if err := l.instance.change(func(r *record) { r.Phase = provisioned }); err != nil {
				return err
			}
			b.h.decide(l)
			return nil
		}
		if attributes[AttrAlarm] == "" {
			return occi.Errorf(http.StatusBadRequest, "The attribute %s is missing.", AttrAlarm)
		}
		return protect(func() error { return l.execution.(Notified).Notify(ctx, attributes) })
	})
}
