package occi

import (
	"errors"
	"net/http"
	"slices"
)

// A typing is what the categories of a request make of an entity.
type typing struct {
	kind   *entry // nil if the request names none
	mixins []TypeID
	own    []TypeID // mixins that users defined
}

// typing finds the categories of a request.
func (x *exchange) typing(m *message) (*typing, error) {
	t := new(typing)
	for i := range m.categories {
		e, err := x.known(&m.categories[i])
		if err != nil {
			return nil, err
		}
		switch {
		case e.Class == Action:
			return nil, badRequest("%s is an action; invoke it by a POST with ?action=%s", e.ID, e.ID.Term())
		case e.Class == Mixin && x.catalog.isOwn(e.ID):
			t.own = append(t.own, e.ID)
		case e.Class == Mixin:
			t.mixins = append(t.mixins, e.ID)
		case t.kind != nil && t.kind != e:
			return nil, badRequest("an entity has one kind, not both %s and %s", t.kind.ID, e.ID)
		default:
			t.kind = e
		}
	}
	return t, x.s.opts.Limits.check(len(t.own), x.s.opts.Limits.Tags, "mixins of one's own on an entity")
}

// fits refuses mixins that the kind cannot have.
func (x *exchange) fits(kind TypeID, mixins []TypeID) error {
	for _, id := range mixins {
		e := x.catalog.find(id)
		if e == nil || len(e.Applies) == 0 {
			continue
		}
		if !slices.ContainsFunc(e.Applies, func(a TypeID) bool { return x.catalog.Is(kind, a) }) {
			return badRequest("the mixin %s cannot be given to %s", id, kind)
		}
	}
	return nil
}

// A creation is an entity that is to be made, and the mixins of the users' own that it is to carry.
type creation struct {
	entity *Entity
	own    []TypeID
}

// creation reads what is to be made. within is the collection that it was posted to, or nil.
func (x *exchange) creation(m *message, path string, within *entry) (*creation, error) {
	t, err := x.typing(m)
	if err != nil {
		return nil, err
	}
	if t.kind == nil {
		if x.s.opts.Hurtle {
			return nil, badRequest("Could not find a valid kind.")
		}
		return nil, badRequest("the request names no kind; %s lists those that there are", x.s.opts.Prefix+queryPath)
	}
	if within != nil && within.Class == Kind && within != t.kind {
		return nil, badRequest("%s is for %s; %s goes to %s", within.Location, within.ID, t.kind.ID, t.kind.Location)
	}
	if err := x.fits(t.kind.ID, t.mixins); err != nil {
		return nil, err
	}
	if len(m.locations) > 0 && mediaType(x.r.Header) != JSON && mediaType(x.r.Header) != PlainJSON {
		return nil, badRequest("a creation has no X-OCCI-Location")
	}
	e := &Entity{Path: path, Kind: t.kind.ID, Mixins: t.mixins}
	isLink := x.catalog.Is(e.Kind, CoreLink)
	if isLink {
		if err := x.ends(e, m.attributes); err != nil {
			return nil, err
		}
		if len(m.links) > 0 {
			return nil, badRequest("a link has no links")
		}
	}
	c := checker{model: x.catalog.Model, how: x.s.opts.Check, kind: e.Kind, with: e.Mixins}
	if e.Attributes, err = c.attributes(m.attributes, forCreation); err != nil {
		return nil, err
	}
	if isLink {
		e.Attributes.Delete(AttrSource)
		e.Attributes.Delete(AttrTarget)
	}
	for i := range m.links {
		l, err := x.inline(&m.links[i])
		if err != nil {
			return nil, err
		}
		e.Links = append(e.Links, l)
	}
	return &creation{e, t.own}, nil
}

// ends sets source and target of a link from its attributes.
func (x *exchange) ends(e *Entity, given Attributes) error {
	source, target := given.Text(AttrSource), given.Text(AttrTarget)
	if source == "" || target == "" {
		return badRequest("a link has %s and %s", AttrSource, AttrTarget)
	}
	var err error
	if e.Source, err = x.end(source, true); err != nil {
		return err
	}
	e.Target, err = x.end(target, x.s.opts.LocalTargets)
	return err
}

// end finds one end of a link.
func (x *exchange) end(location string, mustBeLocal bool) (Reference, error) {
	path, local := x.local(location)
	if !local {
		if mustBeLocal {
			return Reference{}, badRequest("%s is not of this service", excerpt(location))
		}
		return Reference{Location: location}, nil
	}
	e, err := x.s.opts.Backend.Get(x.ctx, path)
	if StatusOf(err) == http.StatusNotFound && err != nil {
		return Reference{}, badRequest("there is nothing at %s that a link could join", excerpt(location))
	}
	if err != nil {
		return Reference{}, err
	}
	return Reference{path, e.Kind}, nil
}

// inline makes a link of one that came with its source.
func (x *exchange) inline(l *link) (*Entity, error) {
	if len(l.category) == 0 {
		return nil, badRequest(`the link to %s has no category; write category="…#networkinterface", for example`, excerpt(l.target))
	}
	e := new(Entity)
	for i, id := range l.category {
		c, err := x.known(&Category{ID: id})
		switch {
		case err != nil:
			return nil, err
		case i == 0 && !x.catalog.Is(id, CoreLink):
			return nil, badRequest("%s is no kind of link", id)
		case i == 0:
			e.Kind = id
		case c.Class != Mixin || x.catalog.isOwn(id):
			return nil, badRequest("%s is no mixin that a link can have from the start", id)
		default:
			e.Mixins = append(e.Mixins, id)
		}
	}
	if err := x.fits(e.Kind, e.Mixins); err != nil {
		return nil, err
	}
	var err error
	if e.Target, err = x.end(l.target, x.s.opts.LocalTargets); err != nil {
		return nil, err
	}
	if l.self != "" {
		path, local := x.local(l.self)
		if !local {
			return nil, badRequest("%s is not of this service", excerpt(l.self))
		}
		if _, err := x.s.opts.Backend.Get(x.ctx, path); err == nil {
			return nil, badRequest("%s is taken", excerpt(l.self))
		}
		e.Path = path
	}
	given := slices.Clone(l.attributes)
	for _, name := range []string{AttrID, AttrSource, AttrTarget} {
		given.Delete(name)
	}
	c := checker{model: x.catalog.Model, how: x.s.opts.Check, kind: e.Kind, with: e.Mixins}
	e.Attributes, err = c.attributes(given, forCreation)
	return e, err
}

// create makes the entities that the messages describe, all or none, and answers.
func (x *exchange) create(messages []*message, path string, within *entry) error {
	wanted := make([]*creation, len(messages))
	for i, m := range messages {
		var err error
		if wanted[i], err = x.creation(m, path, within); err != nil {
			return err
		}
	}
	made := make([]*Entity, len(wanted))
	for i, c := range wanted {
		e, err := x.make(c)
		if err != nil {
			for _, e := range made[:i] {
				err = errors.Join(err, x.s.opts.Backend.Delete(x.ctx, e.Path))
			}
			return err
		}
		made[i] = e
	}
	if len(made) == 1 {
		return x.writeCreated(made[0])
	}
	return x.writeCollection("/", made)
}

// make makes one entity, with the mixins of the users' own that it carries.
func (x *exchange) make(c *creation) (*Entity, error) {
	e, err := x.s.opts.Backend.Create(x.ctx, c.entity)
	if err != nil {
		return nil, err
	}
	for _, id := range c.own {
		if err := x.edit(id, []string{e.Path}, nil); err != nil {
			return nil, errors.Join(err, x.s.opts.Backend.Delete(x.ctx, e.Path))
		}
	}
	return x.tagged(e), nil
}

// edit gives a mixin of the users' own to the entities at put, and takes it from those at take.
func (x *exchange) edit(id TypeID, put, take []string) error {
	return x.s.opts.Mixins.edit(x.ctx, x.caller.Tenant, id, x.s.opts.Limits.Members, put, take)
}

// tagged returns an entity with the mixins of the users' own that it carries.
func (x *exchange) tagged(e *Entity) *Entity {
	own := x.s.opts.Mixins.of(x.caller.Tenant, e.Path)
	if len(own) == 0 {
		return e
	}
	out := *e
	out.Mixins = slices.Concat(e.Mixins, own)
	return &out
}
