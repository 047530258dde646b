package occi

import (
	"net/http"
	"slices"
)

// entity answers requests on one entity.
func (x *exchange) entity(path string) error {
	if !isClean(path) {
		return NotFound(path)
	}
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete:
	default:
		return x.notAllowed("GET", "PUT", "POST", "DELETE")
	}
	if x.r.Method == http.MethodDelete {
		return x.remove(path)
	}
	if x.accept == TextURIList {
		return x.noURIList()
	}
	e, err := x.get(path)
	if x.r.Method == http.MethodPut && err != nil && StatusOf(err) == http.StatusNotFound {
		m, err := x.readOne()
		if err != nil {
			return err
		}
		return x.create([]*message{m}, path, nil)
	}
	if err != nil {
		return err
	}
	if x.r.Method == http.MethodGet || x.r.Method == http.MethodHead {
		return x.writeEntity(e)
	}
	q, err := x.parameters()
	if err != nil {
		return err
	}
	m, err := x.readOne()
	if err != nil {
		return err
	}
	if x.r.Method == http.MethodPost && q.Has("action") {
		return x.act(e, m, q.Get("action"))
	}
	return x.update(e, m, x.r.Method == http.MethodPut)
}

// get returns an entity with the mixins of the users' own.
func (x *exchange) get(path string) (*Entity, error) {
	e, err := x.s.opts.Backend.Get(x.ctx, path)
	if err != nil {
		if StatusOf(err) == http.StatusNotFound {
			x.untag(path)
		}
		return nil, err
	}
	return x.tagged(e), nil
}

// untag forgets the mixins of an entity that is gone. What cannot be forgotten now does no harm.
func (x *exchange) untag(path string) {
	for _, id := range x.s.opts.Mixins.of(x.caller.Tenant, path) {
		if err := x.edit(id, nil, []string{path}); err != nil {
			x.s.opts.Log.Warn("the mixin of an entity that is gone could not be forgotten", "mixin", string(id), "path", path, "error", err)
		}
	}
}

func (x *exchange) remove(path string) error {
	if err := x.s.opts.Backend.Delete(x.ctx, path); err != nil {
		return err
	}
	x.untag(path)
	return x.writeOK()
}

// update changes an entity, in full or only as far as the request goes.
func (x *exchange) update(e *Entity, m *message, full bool) error {
	t, err := x.typing(m)
	switch {
	case err != nil:
		return err
	case len(m.links) > 0:
		return badRequest("links are made by a POST to the location of their kind, not by an update")
	case t.kind == nil && full:
		return badRequest("a full update names the kind, %s", e.Kind)
	case t.kind != nil && t.kind.ID != e.Kind:
		return badRequest("the kind of an entity does not change from %s to %s", e.Kind, t.kind.ID)
	}
	if err := x.fits(e.Kind, t.mixins); err != nil {
		return err
	}
	change := Change{Full: full, Add: without(t.mixins, e.Mixins)}
	with := append(slices.DeleteFunc(slices.Clone(e.Mixins), x.catalog.isOwn), change.Add...)
	if full {
		for _, id := range e.Mixins {
			if !x.catalog.isOwn(id) && !slices.Contains(t.mixins, id) {
				change.Remove = append(change.Remove, id)
			}
		}
		with = without(with, change.Remove)
	}
	why := forUpdate
	if full {
		why = forReplacement
	}
	c := checker{model: x.catalog.Model, how: x.s.opts.Check, kind: e.Kind, with: with, now: e}
	if change.Attributes, err = c.attributes(m.attributes, why); err != nil {
		return err
	}
	var take []TypeID
	if full {
		take = without(x.s.opts.Mixins.of(x.caller.Tenant, e.Path), t.own)
	}
	return x.apply(e, change, t.own, take)
}

// without returns the ids of a that are not in b.
func without(a, b []TypeID) []TypeID {
	var out []TypeID
	for _, id := range a {
		if !slices.Contains(b, id) {
			out = append(out, id)
		}
	}
	return out
}

// apply carries out a change and answers with the entity. The backend hears of a request that says nothing, too: some act on
// that. It does not hear of mixins of the users' own alone.
func (x *exchange) apply(e *Entity, change Change, put, take []TypeID) error {
	if !change.Empty() || len(put)+len(take) == 0 {
		var err error
		if e, err = x.s.opts.Backend.Update(x.ctx, e.Path, change); err != nil {
			return err
		}
	} else { // without the mixins of users, which are added again
		bare := *e
		bare.Mixins = slices.DeleteFunc(slices.Clone(e.Mixins), x.catalog.isOwn)
		e = &bare
	}
	path := []string{e.Path}
	for _, id := range put {
		if err := x.edit(id, path, nil); err != nil {
			return err
		}
	}
	for _, id := range take {
		if err := x.edit(id, nil, path); err != nil {
			return err
		}
	}
	return x.writeEntity(x.tagged(e))
}

// act invokes an action of an entity and answers with the entity.
func (x *exchange) act(e *Entity, m *message, term string) error {
	a, err := x.invocation(m, term)
	if err != nil {
		return err
	}
	if !slices.Contains(e.Actions, a.Action) {
		if x.s.opts.Hurtle {
			return badRequest("Not applicable atm.")
		}
		return badRequest("%s is not applicable now; GET %s shows the actions that are", a.Action, x.view.reference(e.Path))
	}
	if e, err = x.s.opts.Backend.Act(x.ctx, e.Path, a); err != nil {
		return err
	}
	return x.writeEntity(x.tagged(e))
}

// invocation reads the action that a request names, twice: in its query and as a category.
func (x *exchange) invocation(m *message, term string) (Invocation, error) {
	if len(m.categories) != 1 {
		return Invocation{}, badRequest("the category of the action %s is wanted, and no other", excerpt(term))
	}
	e, err := x.known(&m.categories[0])
	switch {
	case err != nil:
		return Invocation{}, err
	case e.Class != Action:
		return Invocation{}, badRequest("%s is no action", e.ID)
	case e.ID.Term() != term:
		return Invocation{}, badRequest("the URL names the action %s, but the category is %s", excerpt(term), e.ID)
	}
	c := checker{model: x.catalog.Model, how: x.s.opts.Check, kind: e.ID}
	given, err := c.attributes(m.attributes, forAction)
	return Invocation{e.ID, given}, err
}
