package occi

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// A MixinStore keeps the mixins that users define, and which entities carry them, so that they outlive the process. The server
// holds all of them in memory: it loads them once and then tells the store of each change before it takes effect.
// Calls about one tenant never overlap.
type MixinStore interface {
	// Load yields what is kept, a record for each tenant and mixin.
	Load(ctx context.Context) iter.Seq2[MixinRecord, error]
	// Save keeps records of one tenant, each in place of the one with the same mixin: all or none.
	Save(ctx context.Context, records ...MixinRecord) error
	// Remove forgets the record of a mixin.
	Remove(ctx context.Context, tenant string, mixin TypeID) error
}

// A MixinRecord is a mixin that a user of a tenant has defined, and the paths of the entities that carry it, sorted.
type MixinRecord struct {
	Tenant  string
	Mixin   Category
	Members []string
}

// Mixins are the mixins that users define, which are tags: they have neither attributes nor actions. Each tenant has its
// own. A Mixins may be shared by listeners that show the same entities.
type Mixins struct {
	store MixinStore // nil to keep them in memory alone

	mu      sync.RWMutex
	tenants map[string]*tags
}

// tags are those of one tenant.
type tags struct {
	change sync.Mutex // held while the store is told and for what was decided before; mu is for memory alone

	order      []TypeID // in which they were defined
	byID       map[TypeID]*tag
	byLocation map[string]*tag
	of         map[string][]TypeID // by the path of an entity
}

type tag struct {
	entry
	members map[string]struct{}
}

// NewMixins returns the mixins in a store, or none that outlive the process if it is nil.
func NewMixins(ctx context.Context, store MixinStore) (*Mixins, error) {
	m := &Mixins{store: store, tenants: make(map[string]*tags)}
	if store == nil {
		return m, nil
	}
	for r, err := range store.Load(ctx) {
		if err != nil {
			return nil, err
		}
		t := m.tenant(r.Tenant)
		t.define(r.Mixin)
		for _, path := range r.Members {
			t.put(path, r.Mixin.ID)
		}
	}
	return m, nil
}

// tenant returns the tags of a tenant; there may be none in it.
func (m *Mixins) tenant(name string) *tags {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tenants[name]
	if t == nil {
		t = &tags{byID: make(map[TypeID]*tag), byLocation: make(map[string]*tag), of: make(map[string][]TypeID)}
		m.tenants[name] = t
	}
	return t
}

// The methods below that change memory are called with Mixins.mu held, or before anybody else knows of the tags.

func (t *tags) define(c Category) {
	g := &tag{entry: entry{Category: c, ancestors: []TypeID{c.ID}, text: renderCategory(&c)}, members: make(map[string]struct{})}
	t.order = append(t.order, c.ID)
	t.byID[c.ID], t.byLocation[c.Location] = g, g
}

func (t *tags) undefine(id TypeID) {
	g := t.byID[id]
	for path := range g.members {
		t.take(path, id)
	}
	delete(t.byID, id)
	delete(t.byLocation, g.Location)
	t.order = slices.DeleteFunc(t.order, func(x TypeID) bool { return x == id })
}

func (t *tags) put(path string, id TypeID) {
	t.byID[id].members[path] = struct{}{}
	if !slices.Contains(t.of[path], id) {
		t.of[path] = append(slices.Clip(t.of[path]), id) // readers may hold the old one
	}
}

func (t *tags) take(path string, id TypeID) {
	delete(t.byID[id].members, path)
	rest := slices.DeleteFunc(slices.Clone(t.of[path]), func(x TypeID) bool { return x == id })
	if len(rest) == 0 {
		delete(t.of, path)
		return
	}
	t.of[path] = rest
}

// define adds mixins to those of a tenant, all or none. taken reports what else is defined under an id or at a location.
func (m *Mixins) define(ctx context.Context, tenant string, limit int, mixins []Category, taken func(c *Category) error) error {
	t := m.tenant(tenant)
	t.change.Lock()
	defer t.change.Unlock()
	if len(t.order)+len(mixins) > limit {
		return Errorf(http.StatusRequestEntityTooLarge, "there may be at most %d mixins of one's own; remove some", limit)
	}
	ids, locations := make(map[TypeID]bool), make(map[string]bool)
	for i := range mixins {
		c := &mixins[i]
		if t.byID[c.ID] != nil || ids[c.ID] {
			return Errorf(http.StatusConflict, "the mixin %s is defined already", c.ID)
		}
		if t.byLocation[c.Location] != nil || locations[c.Location] {
			return Errorf(http.StatusConflict, "the location %s is taken", c.Location)
		}
		if err := taken(c); err != nil {
			return err
		}
		ids[c.ID], locations[c.Location] = true, true
	}
	records := make([]MixinRecord, len(mixins))
	for i, c := range mixins {
		records[i] = MixinRecord{Tenant: tenant, Mixin: c}
	}
	if err := m.save(ctx, records...); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range mixins {
		t.define(c)
	}
	return nil
}

// remove removes mixins of a tenant from all that carry them. Those that are not there are left out.
func (m *Mixins) remove(ctx context.Context, tenant string, ids []TypeID) error {
	t := m.tenant(tenant)
	t.change.Lock()
	defer t.change.Unlock()
	for _, id := range ids {
		if t.byID[id] == nil {
			continue
		}
		if m.store != nil {
			if err := m.store.Remove(ctx, tenant, id); err != nil {
				return err
			}
		}
		m.mu.Lock()
		t.undefine(id)
		m.mu.Unlock()
	}
	return nil
}

func (m *Mixins) save(ctx context.Context, records ...MixinRecord) error {
	if m.store == nil {
		return nil
	}
	return m.store.Save(ctx, records...)
}

// edit changes who carries a mixin, at most limit entities: put and take are paths.
func (m *Mixins) edit(ctx context.Context, tenant string, id TypeID, limit int, put, take []string) error {
	t := m.tenant(tenant)
	t.change.Lock()
	defer t.change.Unlock()
	g := t.byID[id]
	if g == nil {
		return badRequest("the mixin %s is not defined any more", id)
	}
	members := maps.Clone(g.members)
	for _, path := range take {
		delete(members, path)
	}
	for _, path := range put {
		members[path] = struct{}{}
	}
	if maps.Equal(members, g.members) {
		return nil
	}
	if len(members) > limit && len(put) > 0 {
		return Errorf(http.StatusRequestEntityTooLarge, "at most %d entities may have the mixin %s", limit, id)
	}
	if err := m.save(ctx, MixinRecord{tenant, g.Category, slices.Sorted(maps.Keys(members))}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, path := range take {
		t.take(path, id)
	}
	for _, path := range put {
		t.put(path, id)
	}
	return nil
}

// of returns the mixins that the entity at a path carries. Nobody may change them.
func (m *Mixins) of(tenant, path string) []TypeID {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if t := m.tenants[tenant]; t != nil {
		return t.of[path]
	}
	return nil
}

// A catalog is all that a caller's categories are: those of the model, and the tenant's own.
type catalog struct {
	*Model
	own    *Mixins
	tenant string
}

func (c *catalog) find(id TypeID) *entry {
	if e := c.byID[id]; e != nil {
		return e
	}
	c.own.mu.RLock()
	defer c.own.mu.RUnlock()
	if t := c.own.tenants[c.tenant]; t != nil && t.byID[id] != nil {
		return &t.byID[id].entry
	}
	return nil
}

func (c *catalog) at(location string) *entry {
	if e := c.byLocation[location]; e != nil {
		return e
	}
	c.own.mu.RLock()
	defer c.own.mu.RUnlock()
	if t := c.own.tenants[c.tenant]; t != nil && t.byLocation[location] != nil {
		return &t.byLocation[location].entry
	}
	return nil
}

// isOwn reports whether a mixin is one that a user has defined.
func (c *catalog) isOwn(id TypeID) bool { return c.byID[id] == nil }

// all returns what the query interface shows.
func (c *catalog) all() []*entry {
	c.own.mu.RLock()
	defer c.own.mu.RUnlock()
	t := c.own.tenants[c.tenant]
	if t == nil {
		return c.listed
	}
	out := slices.Clone(c.listed)
	for _, id := range t.order {
		out = append(out, &t.byID[id].entry)
	}
	return out
}
