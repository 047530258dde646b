package occi_test

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/troupe-dev/troupe/occi"
)

// memory is a backend that holds entities in memory, those of each tenant apart. It does what an infrastructure would do
// when asked, at once.
type memory struct {
	model *occi.Model

	mu      sync.RWMutex
	tenants map[string]map[string]*occi.Entity // by tenant and path
	order   map[*occi.Entity]int
	serial  int
}

func newMemory(model *occi.Model) *memory {
	return &memory{model: model, tenants: make(map[string]map[string]*occi.Entity), order: make(map[*occi.Entity]int)}
}

func (m *memory) Model(context.Context) (*occi.Model, error) { return m.model, nil }

// mine returns the entities of the caller.
func (m *memory) mine(ctx context.Context) map[string]*occi.Entity {
	return m.tenants[occi.CallerOf(ctx).Tenant]
}

func (m *memory) List(ctx context.Context, s occi.Selection) iter.Seq2[*occi.Entity, error] {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []*occi.Entity
	for _, e := range m.mine(ctx) {
		if s.Selects(e) {
			all = append(all, m.shown(ctx, e))
		}
	}
	slices.SortFunc(all, func(a, b *occi.Entity) int { return cmp.Compare(m.serialOf(a.Path), m.serialOf(b.Path)) })
	return func(yield func(*occi.Entity, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m *memory) serialOf(path string) (n int) {
	for _, of := range m.tenants {
		if e := of[path]; e != nil {
			return m.order[e]
		}
	}
	return 0
}

func (m *memory) Get(ctx context.Context, path string) (*occi.Entity, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if e := m.mine(ctx)[path]; e != nil {
		return m.shown(ctx, e), nil
	}
	return nil, occi.NotFound(path)
}

// shown returns an entity with its links and with the actions that are applicable.
func (m *memory) shown(ctx context.Context, e *occi.Entity) *occi.Entity {
	out := *e
	for _, l := range m.mine(ctx) {
		if l.Source.Location == e.Path {
			out.Links = append(out.Links, l)
		}
	}
	slices.SortFunc(out.Links, func(a, b *occi.Entity) int { return cmp.Compare(a.Path, b.Path) })
	out.Actions = nil
	if k := m.model.Find(e.Kind); k != nil {
		for _, a := range k.Actions {
			if m.applies(e, a) {
				out.Actions = append(out.Actions, a)
			}
		}
	}
	return &out
}

// transitions are what actions lead from and to, by their terms.
var transitions = map[string][2]string{
	"start": {"inactive suspended", "active"}, "stop": {"active", "inactive"}, "restart": {"active", "active"}, "suspend": {"active", "suspended"},
	"up": {"inactive", "active"}, "down": {"active", "inactive"}, "online": {"offline", "online"}, "offline": {"online", "offline"},
}

func state(kind occi.TypeID) string { return "occi." + kind.Term() + ".state" }

func (m *memory) applies(e *occi.Entity, a occi.TypeID) bool {
	return slices.Contains(strings.Fields(transitions[a.Term()][0]), e.Attributes.Text(state(e.Kind)))
}

func (m *memory) Create(ctx context.Context, e *occi.Entity) (*occi.Entity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tenant := occi.CallerOf(ctx).Tenant
	if m.tenants[tenant] == nil {
		m.tenants[tenant] = make(map[string]*occi.Entity)
	}
	links := e.Links
	e.Links = nil
	for _, x := range append([]*occi.Entity{e}, links...) {
		k := m.model.Find(x.Kind)
		m.serial++
		if x.Path == "" {
			x.Path = fmt.Sprintf("%s%s%d", k.Location, tenant, m.serial)
		}
		for _, of := range m.tenants {
			if of[x.Path] != nil {
				return nil, occi.Errorf(http.StatusConflict, "%s is taken", x.Path)
			}
		}
		for _, d := range k.Attributes {
			if d.Name == state(x.Kind) {
				first := map[string]string{"compute": "inactive", "storage": "online"}[x.Kind.Term()]
				x.Attributes.Set(d.Name, cmp.Or(first, "active"))
			}
		}
	}
	for _, l := range links {
		l.Source = occi.Reference{Location: e.Path, Kind: e.Kind}
	}
	for _, x := range append([]*occi.Entity{e}, links...) {
		m.tenants[tenant][x.Path] = x
		m.order[x] = m.serial
	}
	return m.shown(ctx, e), nil
}

func (m *memory) Update(ctx context.Context, path string, c occi.Change) (*occi.Entity, error) {
	return m.replace(ctx, path, func(e *occi.Entity) *occi.Entity { return c.Apply(m.model, e) })
}

func (m *memory) Act(ctx context.Context, path string, a occi.Invocation) (*occi.Entity, error) {
	return m.replace(ctx, path, func(e *occi.Entity) *occi.Entity {
		out := *e
		out.Attributes = slices.Clone(e.Attributes)
		out.Attributes.Set(state(e.Kind), transitions[a.Action.Term()][1])
		return &out
	})
}

// replace puts what becomes of an entity in its place.
func (m *memory) replace(ctx context.Context, path string, become func(*occi.Entity) *occi.Entity) (*occi.Entity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.mine(ctx)[path]
	if old == nil {
		return nil, occi.NotFound(path)
	}
	e := become(old)
	m.order[e] = m.order[old]
	delete(m.order, old)
	m.mine(ctx)[path] = e
	return m.shown(ctx, e), nil
}

func (m *memory) Delete(ctx context.Context, path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	mine := m.mine(ctx)
	if mine[path] == nil {
		return occi.NotFound(path)
	}
	for p, e := range mine {
		if p == path || e.Source.Location == path || e.Target.Location == path {
			delete(m.order, e)
			delete(mine, p)
		}
	}
	return nil
}
