package alerting

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// A governed is a service that has alarms or policies of its own, or whose roles' parents are down.
type governed struct {
	id     uint64
	tenant int

	mu      sync.Mutex
	spec    *service.Spec
	watches map[string]*watch  // of its alarms, by name; guarded by Alerting.defining
	readers map[string]*reader // of its policies, by role
	down    map[string]bool    // roles with a parent that is down
	leaving bool               // the service is being removed, and its alarms have ended
	gone    bool
}

// A look is what is seen of a service at one moment.
type look struct {
	id      uint64
	tenant  int
	spec    *service.Spec
	down    map[string]bool // by role
	leaving bool
}

func lookAt(s *service.Service) *look {
	l := &look{id: s.ID, tenant: s.Meta.Group, spec: s.Spec, down: make(map[string]bool, len(s.Roles)), leaving: s.Leaving || s.State == service.Done}
	for _, r := range s.Roles {
		l.down[r.Name] = slices.ContainsFunc(r.Parents(), isDown)
	}
	return l
}

// isDown reports whether a role is of no use to those that need it: it is not ready, or somebody has parked all that it has. What has
// finished its work is no less useful.
func isDown(r *service.Role) bool {
	return !r.Ready() || r.Count(service.Parked) > 0 && r.Count(service.Up)+r.Count(service.Finished) == 0
}

// concerns reports whether a service with that spec has anything to do with alarms or policies.
func concerns(spec *service.Spec) bool {
	return len(spec.Alarms) > 0 || slices.ContainsFunc(spec.Roles, func(r service.RoleSpec) bool { return len(r.Policies) > 0 || len(r.Parents) > 0 })
}

// serviceChanged hears of every commit. It is quick for services that it does not concern.
func (a *Alerting) serviceChanged(c engine.Change) {
	if a.teller(c.Service) != nil {
		a.news.Push(tiding{Change: c})
	}
	if !c.Removed && !concerns(c.Spec) {
		a.mu.RLock()
		known := a.services[c.Service] != nil
		a.mu.RUnlock()
		if !known && !a.attended(c.Service) {
			return
		}
	}
	a.due.Push(func() {
		gone := func() {
			a.letGo(c.Service)
			a.depart(c.Service)
		}
		if c.Removed {
			gone()
			return
		}
		var l *look
		if a.engine.View(c.Service, func(s *service.Service) { l = lookAt(s) }) {
			a.follow(l)
			// Another goroutine may have let go of it since the look: what is gone must not be followed for ever.
			if !a.engine.View(c.Service, func(*service.Service) {}) {
				gone()
				return
			}
		}
		a.attend(c.Service, c.Instances, a.attentiveTo(c.Service)...)
	})
}

// follow takes over how a service is now.
func (a *Alerting) follow(l *look) {
	a.mu.Lock()
	g := a.services[l.id]
	if g == nil {
		if !concerns(l.spec) {
			a.mu.Unlock()
			return
		}
		g = &governed{id: l.id, tenant: l.tenant, watches: make(map[string]*watch), readers: make(map[string]*reader), down: make(map[string]bool)}
		a.services[l.id] = g
	}
	a.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return
	}
	// Several workers follow: a look that was taken before another's must not come after it.
	a.engine.View(l.id, func(s *service.Service) { l = lookAt(s) })
	if g.spec != l.spec {
		g.spec = l.spec
		a.followPolicies(g, l)
		a.due.Push(func() { a.followAlarms(g, l) })
	}
	a.followRemoval(g, l)
	a.followParents(g, l)
	for _, r := range g.readers {
		r.look(a)
	}
}

// followParents tells monitors which roles have a parent that is down. g is locked.
func (a *Alerting) followParents(g *governed, l *look) {
	changed := make(map[string]bool)
	for role, down := range l.down {
		if down != g.down[role] {
			g.down[role], changed[role] = down, down
		}
	}
	if len(changed) == 0 {
		return
	}
	now := time.Now().UnixMilli()
	for _, w := range a.watchesOf(l.tenant) {
		w.mu.Lock()
		if !w.gone {
			for role, down := range changed {
				w.monitor.Suppress(l.id, role, down, now)
			}
			a.arm(w)
		}
		w.mu.Unlock()
	}
}

// suppressions tells a new watch which roles have a parent that is down.
func (a *Alerting) suppressions(w *watch) {
	a.mu.RLock()
	var all []*governed
	for _, g := range a.services {
		if g.tenant == w.tenant {
			all = append(all, g)
		}
	}
	a.mu.RUnlock()
	now := time.Now().UnixMilli()
	for _, g := range all {
		g.mu.Lock()
		w.mu.Lock()
		for role, down := range g.down {
			if down {
				w.monitor.Suppress(g.id, role, true, now)
			}
		}
		w.mu.Unlock()
		g.mu.Unlock()
	}
}

// followAlarms makes watches of the alarms that a service's description holds, and removes those that it no longer holds.
func (a *Alerting) followAlarms(g *governed, l *look) {
	a.defining.Lock()
	defer a.defining.Unlock()
	g.mu.Lock()
	stale := g.gone || g.spec != l.spec
	g.mu.Unlock()
	if stale {
		return
	}
	want := make(map[string]alarm.Definition, len(l.spec.Alarms))
	for _, d := range l.spec.Alarms {
		want[d.Name] = scoped(d, l.id, l.tenant)
	}
	for name, w := range g.watches {
		if d, ok := want[name]; ok {
			err := a.change(a.ctx, w, func(m *alarm.Monitor, now int64) error { return m.Update(d, now) })
			if err == nil {
				delete(want, name)
				continue
			}
			// What it watches is different: it begins anew.
		}
		delete(g.watches, name)
		if err := a.dismiss(a.ctx, w); err != nil && a.ctx.Err() == nil {
			a.log.Warn("the states of a service's alarm are left behind", "definition", w.id, "error", err)
		}
	}
	for name, d := range want {
		a.mu.Lock()
		records := a.orphaned[d.ID]
		delete(a.orphaned, d.ID)
		a.mu.Unlock()
		m, err := alarm.Load(d, records, time.Now().UnixMilli())
		if err != nil {
			a.log.Error("an alarm of a service does not work", "service", l.id, "alarm", name, "error", err)
			continue
		}
		w := &watch{id: d.ID, tenant: l.tenant, shard: store.Shard(d.ID), service: l.id, monitor: m, created: time.Now().UTC(), updated: time.Now().UTC(), loading: true}
		g.watches[name] = w
		a.begin(w)
		a.ready(a.ctx, w)
		a.endOrBegin(g, w)
	}
}

// scoped binds a definition of a service's description to the service's own series.
func scoped(d alarm.Definition, id uint64, tenant int) alarm.Definition {
	d.ID, d.Tenant, d.ActionsEnabled = idText(id)+"-"+d.Name, tenant, true
	if d.Severity == "" {
		d.Severity = "LOW"
	}
	e, err := alarm.Parse(d.Expression, alarm.Troupe)
	if err != nil {
		return d // Load says so
	}
	for i := range e.Parts {
		dimensions := e.Parts[i].Dimensions.Map()
		dimensions["service"] = idText(id)
		e.Parts[i].Dimensions = metric.NewDimensions(dimensions)
	}
	d.Expression = e.String()
	return d
}

// letGo forgets a service that is no more.
func (a *Alerting) letGo(id uint64) {
	a.mu.Lock()
	g := a.services[id]
	delete(a.services, id)
	a.mu.Unlock()
	if g == nil {
		return
	}
	g.mu.Lock()
	g.gone = true
	for _, r := range g.readers {
		a.dropReader(r)
	}
	g.mu.Unlock()
	a.defining.Lock()
	defer a.defining.Unlock()
	for name, w := range g.watches {
		delete(g.watches, name)
		if err := a.dismiss(context.WithoutCancel(a.ctx), w); err != nil && a.ctx.Err() == nil {
			a.log.Warn("the states of a service's alarm are left behind", "definition", w.id, "error", err)
		}
	}
}

func idText(id uint64) string { return strconv.FormatUint(id, 10) }
