package engine

import (
	"slices"
	"time"

	"github.com/troupe-dev/troupe/internal/service"
)

// A nameKey is how people call a service: its group and its name.
type nameKey struct {
	group int
	name  string
}

// index keeps names and usage true; e.mu is held, and the actor's service is held or not shared yet.
func (e *Engine) index(a *actor, svc *service.Service) {
	e.noteBond(svc, true)
	key := nameKey{svc.Meta.Group, svc.Meta.Name}
	usage := svc.Usage()
	if key == a.name && usage == a.usage {
		return
	}
	if key != a.name {
		e.unname(a)
		e.names[key] = append(e.names[key], a.id)
		if a.alias.name = svc.Meta.Alias; a.alias.name != "" {
			a.alias.group = key.group
			e.alias[a.alias] = append(e.alias[a.alias], a.id)
		}
	}
	e.claim(a.name.group, a.usage, -1)
	e.claim(key.group, usage, 1)
	a.name, a.usage = key, usage
}

func (e *Engine) claim(group int, u service.Usage, sign int) {
	e.usage[group] = e.usage[group].Add(u, sign)
}

func (e *Engine) unname(a *actor) {
	drop(e.names, a.name, a.id)
	drop(e.alias, a.alias, a.id)
}

func drop(index map[nameKey][]uint64, key nameKey, id uint64) {
	ids := slices.DeleteFunc(index[key], func(x uint64) bool { return x == id })
	if len(ids) == 0 {
		delete(index, key)
	} else {
		index[key] = ids
	}
}

// bearer returns the service that bears the alias, the last one that has ended if none else does; 0 for none. e.mu is
// held.
func (e *Engine) bearer(key nameKey) (id uint64, ended bool) {
	for _, id = range e.alias[key] {
		if a := e.actors[id]; a != nil && a.usage != (service.Usage{}) { // what has ended claims nothing
			return id, false
		}
	}
	return id, true
}

// Aliased returns the service of a group that a client gave that id; 0 for none.
func (e *Engine) Aliased(group int, alias string) (id uint64) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	id, _ = e.bearer(nameKey{group, alias})
	return id
}

// forget drops an actor that is no more, and ends what its last turn was granted.
func (e *Engine) forget(a *actor, t *turnOf) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(t)
	if e.actors[a.id] == a {
		delete(e.actors, a.id)
		e.unname(a)
		e.noteBond(a.svc, false)
		e.claim(a.name.group, a.usage, -1)
		if a.counted {
			e.metrics.state(a.state, -1)
		}
	}
	e.clock.Set(&a.slot, a, time.Time{})
}

// noteCommitted keeps the indexes true after the commit of a turn (nil for none).
func (e *Engine) noteCommitted(a *actor, t *turnOf) {
	e.mu.Lock()
	e.index(a, a.svc)
	e.settle(t)
	e.mu.Unlock()
	a.found.Store(0)
	if !a.counted || a.state != a.svc.State {
		if a.counted {
			e.metrics.state(a.state, -1)
		}
		a.state, a.counted = a.svc.State, true
		e.metrics.state(a.state, 1)
	}
}

// Named returns the ids of the services of that name in a group.
func (e *Engine) Named(group int, name string) []uint64 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return slices.Clone(e.names[nameKey{group, name}])
}

// Used returns what the services of a group claim.
func (e *Engine) Used(group int) service.Usage {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.usage[group]
}
