package occi

import (
	"iter"
	"net/http"
	"slices"
	"strconv"
)

// collection answers requests on a collection: of a kind, of a mixin, or of all below a path.
func (x *exchange) collection(path string) error {
	if path == "" {
		path = "/"
	}
	within := x.catalog.at(path)
	isMixin := within != nil && within.Class == Mixin
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		return x.list(path, within)
	case http.MethodPost:
		return x.post(path, within)
	case http.MethodPut:
		if !isMixin {
			return x.notAllowed("GET", "POST", "DELETE")
		}
		m, err := x.readOne()
		if err != nil {
			return err
		}
		return x.setMembers(within, m)
	case http.MethodDelete:
		m, err := x.readOne()
		if err != nil {
			return err
		}
		return x.clear(path, within, m)
	}
	if isMixin {
		return x.notAllowed("GET", "POST", "PUT", "DELETE")
	}
	return x.notAllowed("GET", "POST", "DELETE")
}

func (x *exchange) list(path string, within *entry) error {
	m, err := x.filters()
	if err != nil {
		return clientError(err)
	}
	page, err := x.page()
	if err != nil {
		return err
	}
	var out []*Entity
	n := 0
	for e, err := range x.members(path, within, m) {
		if err != nil {
			return err
		}
		if n++; n <= page.skip {
			continue
		}
		if out = append(out, e); len(out) == page.size {
			break
		}
	}
	return x.writeCollection(path, out)
}

// A page is the part of a collection that is wanted.
type page struct {
	skip, size int // a size of 0 is all
}

// page reads ?page= and &number=.
func (x *exchange) page() (page, error) {
	q, err := x.parameters()
	if err != nil || !q.Has("page") && !q.Has("number") {
		return page{}, err
	}
	limit := x.s.opts.Limits.Page
	index, size := 1, limit
	for name, value := range map[string]*int{"page": &index, "number": &size} {
		if !q.Has(name) {
			continue
		}
		n, err := strconv.ParseUint(q.Get(name), 10, 64)
		switch {
		case err != nil && q.Get(name) != "" && isDigits(q.Get(name)):
			n = 1 << 62
		case err != nil || n == 0:
			return page{}, badRequest("%s is a number from 1, not %s", name, excerpt(q.Get(name)))
		}
		*value = int(min(n, 1<<62))
	}
	if size > limit {
		return page{}, Errorf(http.StatusRequestEntityTooLarge, "a page has at most %d entities", limit)
	}
	if index > 1<<40 {
		index = 1 << 40 // beyond any end
	}
	return page{(index - 1) * size, size}, nil
}

func isDigits(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < '0' || c > '9' })
}

// members yields the members of a collection that the filters of a message let through.
func (x *exchange) members(path string, within *entry, m *message) iter.Seq2[*Entity, error] {
	return func(yield func(*Entity, error) bool) {
		filter := make([]*entry, len(m.categories))
		for i := range m.categories {
			var err error
			if filter[i], err = x.known(&m.categories[i]); err != nil {
				yield(nil, err)
				return
			}
		}
		var s Selection
		switch {
		case within == nil:
			if path != "/" {
				s.Under = path
			}
			if len(filter) == 1 && filter[0].Class == Kind {
				s.Kind = filter[0].ID
			}
		case within.Class == Kind:
			s.Kind = within.ID
		}
		for e, err := range x.s.opts.Backend.List(x.ctx, s) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !s.Selects(e) {
				continue
			}
			e = x.tagged(e)
			if within != nil && !e.Has(within.ID) || !x.passes(e, filter, m.attributes) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// passes reports whether an entity has one of the categories and all of the attributes.
func (x *exchange) passes(e *Entity, categories []*entry, attributes Attributes) bool {
	if len(categories) > 0 && !slices.ContainsFunc(categories, func(c *entry) bool { return e.Has(c.ID) }) {
		return false
	}
	for _, want := range attributes {
		found := false
		x.view.attributes(e, func(name string, value any) {
			found = found || name == want.Name && valueText(value) == valueText(want.Value)
		})
		if !found {
			return false
		}
	}
	return true
}

// post creates in a collection, or invokes an action on its members, or gives them a mixin.
func (x *exchange) post(path string, within *entry) error {
	q, err := x.parameters()
	if err != nil {
		return err
	}
	messages, err := x.read()
	if err != nil {
		return err
	}
	m := messages[0]
	isMixin := within != nil && within.Class == Mixin
	switch {
	case q.Has("action"):
		return x.actAll(path, within, m, q.Get("action"))
	case isMixin && len(m.categories) == 0:
		paths, err := x.existing(m.locations)
		if err != nil {
			return err
		}
		return x.associate(within, paths, nil)
	case isMixin:
		m.categories = append(m.categories, Category{ID: within.ID, Class: Mixin})
		return x.create(messages, "", within)
	case within == nil && path != "/":
		return badRequest("nothing can be created at %s; POST to the location of a kind", excerpt(path))
	case len(m.locations) > 0 && len(m.categories) == 0:
		return badRequest("only collections of mixins take locations")
	}
	return x.create(messages, "", within)
}

// actAll invokes an action on all members that offer it.
func (x *exchange) actAll(path string, within *entry, m *message, term string) error {
	a, err := x.invocation(m, term)
	if err != nil {
		return err
	}
	var paths []string
	for e, err := range x.members(path, within, new(message)) {
		if err != nil {
			return err
		}
		if slices.Contains(e.Actions, a.Action) {
			paths = append(paths, e.Path)
		}
	}
	if len(paths) == 0 {
		return badRequest("%s is not applicable to any member of %s now", a.Action, path)
	}
	for _, path := range paths {
		if _, err := x.s.opts.Backend.Act(x.ctx, path, a); err != nil && StatusOf(err) != http.StatusNotFound {
			return err
		}
	}
	return x.writeOK()
}

// existing returns the paths of locations, all of which must be of entities.
func (x *exchange) existing(locations []string) ([]string, error) {
	if len(locations) == 0 {
		return nil, badRequest("no location is given; send X-OCCI-Location, or a body of %s", TextURIList)
	}
	paths := make([]string, len(locations))
	for i, location := range locations {
		path, local := x.local(location)
		if !local {
			return nil, badRequest("%s is not of this service", excerpt(location))
		}
		if _, err := x.get(path); err != nil {
			if StatusOf(err) == http.StatusNotFound {
				return nil, badRequest("there is nothing at %s", excerpt(location))
			}
			return nil, err
		}
		paths[i] = path
	}
	return paths, nil
}

// associate gives a mixin to the entities at put, and takes it from those at take.
func (x *exchange) associate(mixin *entry, put, take []string) error {
	if x.catalog.isOwn(mixin.ID) {
		for _, path := range put {
			own := x.s.opts.Mixins.of(x.caller.Tenant, path)
			if err := x.s.opts.Limits.check(len(without(own, []TypeID{mixin.ID}))+1, x.s.opts.Limits.Tags, "mixins of one's own on an entity"); err != nil {
				return err
			}
		}
		if err := x.edit(mixin.ID, put, take); err != nil {
			return err
		}
		return x.writeOK()
	}
	changes := make(map[string]Change, len(put)+len(take))
	for _, path := range put {
		e, err := x.get(path)
		if err != nil {
			return err
		}
		if err := x.fits(e.Kind, []TypeID{mixin.ID}); err != nil {
			return err
		}
		if !e.Has(mixin.ID) {
			changes[path] = Change{Add: []TypeID{mixin.ID}}
		}
	}
	for _, path := range take {
		if !slices.Contains(put, path) {
			changes[path] = Change{Remove: []TypeID{mixin.ID}}
		}
	}
	for path, change := range changes {
		if _, err := x.s.opts.Backend.Update(x.ctx, path, change); err != nil {
			return err
		}
	}
	return x.writeOK()
}

// memberPaths returns the paths of the members of a collection.
func (x *exchange) memberPaths(path string, within *entry, m *message) ([]string, error) {
	var out []string
	for e, err := range x.members(path, within, m) {
		if err != nil {
			return nil, err
		}
		out = append(out, e.Path)
	}
	return out, nil
}

// setMembers makes the entities at the locations in the message the only ones with the mixin.
func (x *exchange) setMembers(mixin *entry, m *message) error {
	put, err := x.existing(m.locations)
	if err != nil {
		return err
	}
	take, err := x.memberPaths(mixin.Location, mixin, new(message))
	if err != nil {
		return err
	}
	return x.associate(mixin, put, take)
}

// clear takes a mixin from its members, or from those that the message names; it removes the members of other
// collections.
func (x *exchange) clear(path string, within *entry, m *message) error {
	if within != nil && within.Class == Mixin {
		take, err := x.memberPaths(path, within, m)
		if len(m.locations) > 0 {
			take, err = x.existing(m.locations)
		}
		if err != nil {
			return err
		}
		return x.associate(within, nil, take)
	}
	if len(m.locations) > 0 {
		return badRequest("only collections of mixins take locations")
	}
	paths, err := x.memberPaths(path, within, m)
	if err != nil {
		return err
	}
	var failed error
	for _, path := range paths {
		// A link may have gone with its source.
		if err := x.s.opts.Backend.Delete(x.ctx, path); err == nil || StatusOf(err) == http.StatusNotFound {
			x.untag(path)
		} else if failed == nil {
			failed = err
		}
	}
	if failed != nil {
		return failed
	}
	return x.writeOK()
}
