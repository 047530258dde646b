package occi

import (
	"net/http"
	"slices"
)

// query answers requests on the query interface.
func (x *exchange) query() error {
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		m, err := x.filters()
		if err != nil {
			return clientError(err)
		}
		list, err := x.matching(m.categories)
		if err != nil {
			return err
		}
		return x.writeCategories(list)
	case http.MethodPost:
		return x.defineMixins()
	case http.MethodDelete:
		return x.removeMixins()
	}
	return x.notAllowed("GET", "POST", "DELETE")
}

// matching returns the categories of the query interface that a filter names, or all.
func (x *exchange) matching(filter []Category) ([]*entry, error) {
	if len(filter) == 0 {
		return x.catalog.all(), nil
	}
	var out []*entry
	for i := range filter {
		e, err := x.known(&filter[i])
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out, nil
}

// known returns the category that a client named.
func (x *exchange) known(c *Category) (*entry, error) {
	e := x.catalog.find(c.ID)
	if e == nil || c.Class != 0 && c.Class != e.Class {
		if x.s.opts.Hurtle {
			return nil, badRequest("The following category is not registered within this service (See Query interfaces): %s", c.ID)
		}
		return nil, badRequest("there is no %s%s; %s lists all categories", classed(c.Class), c.ID, x.s.opts.Prefix+queryPath)
	}
	return e, nil
}

func classed(c Class) string {
	if c == 0 {
		return "category "
	}
	return c.String() + " "
}

// defineMixins makes the mixins in the request known.
func (x *exchange) defineMixins() error {
	m, err := x.readOne()
	if err != nil {
		return err
	}
	if len(m.categories) == 0 {
		return badRequest(`no mixin is given; send Category: term; scheme="…#"; class="mixin"; location="/…/"`)
	}
	mixins := make([]Category, len(m.categories))
	for i := range m.categories {
		c := m.categories[i]
		path, local := x.local(c.Location)
		switch {
		case c.Class != Mixin:
			return badRequest("%s is no mixin; only mixins can be defined", c.ID)
		case len(c.Attributes) > 0 || len(c.Actions) > 0:
			return badRequest("the mixin %s has attributes or actions, which mixins of one's own cannot have", c.ID)
		case len(c.ID) > 1000 || len(c.Location) > 1000 || len(c.Title) > 4000 || len(c.Depends) > 100:
			return badRequest("the mixin %s is too long in its identifier, location, title or rel", excerpt(string(c.ID)))
		case c.Location == "" || !local || !isLocation(path):
			return badRequest("the location %s of the mixin %s is no path of this service that begins and ends with /", excerpt(c.Location), c.ID)
		}
		mixins[i] = Category{ID: c.ID, Class: Mixin, Title: c.Title, Depends: c.Depends, Location: path}
	}
	err = x.s.opts.Mixins.define(x.ctx, x.caller.Tenant, x.s.opts.Limits.Mixins, mixins, func(c *Category) error {
		if x.catalog.byID[c.ID] != nil {
			return Errorf(http.StatusConflict, "the category %s is there already", c.ID)
		}
		if x.catalog.byLocation[c.Location] != nil {
			return Errorf(http.StatusConflict, "the location %s is taken", c.Location)
		}
		return nil
	})
	if err != nil {
		return err
	}
	list := make([]*entry, len(mixins))
	for i := range mixins {
		list[i] = &entry{Category: mixins[i], text: renderCategory(&mixins[i])}
	}
	if x.accept == TextURIList {
		return x.writeOK()
	}
	return x.writeCategories(list)
}

// removeMixins removes the mixins in the request, from all entities too.
func (x *exchange) removeMixins() error {
	m, err := x.readOne()
	if err != nil {
		return err
	}
	if len(m.categories) == 0 {
		return badRequest("no mixin is given")
	}
	ids := make([]TypeID, len(m.categories))
	for i := range m.categories {
		e, err := x.known(&m.categories[i])
		if err != nil {
			return err
		}
		if !x.catalog.isOwn(e.ID) {
			return Errorf(http.StatusForbidden, "%s belongs to the service and cannot be removed", e.ID)
		}
		ids[i] = e.ID
	}
	if err := x.s.opts.Mixins.remove(x.ctx, x.caller.Tenant, ids); err != nil {
		return err
	}
	return x.writeOK()
}
