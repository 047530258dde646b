package engine

import (
	"fmt"

	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// A Limit says whether a group may claim more on top of what it uses. It must be quick and must not call the
// engine.
type Limit func(group int, used, more service.Usage) error

// Limit has f asked about every wish that claims more, whoever wishes it. Set it before Run.
//
// The question and the claim are one step: what was granted counts as used from then on, until the commit of
// the wish is answered and the service's own usage says the same.
func (e *Engine) Limit(f Limit) { e.limit = f }

// A grant is what a wish was granted and no commit says yet.
type grant struct {
	group int
	more  service.Usage
}

// ask asks whether a group may claim more. e.mu is held.
func (e *Engine) ask(group int, more service.Usage) error {
	if e.limit == nil || more == (service.Usage{}) {
		return nil
	}
	return e.limit(group, e.usage[group].Add(e.granted[group], 1), more)
}

// grant asks for what a command would claim, and holds it for the turn.
func (e *Engine) grant(t *turnOf, c *service.Command) error {
	if c == nil || e.limit == nil {
		return nil
	}
	if _, heard := t.actor.svc.Verdict(c.ID); heard {
		return nil
	}
	group, more := t.actor.svc.Claim(c)
	return e.reserve(t, group, more)
}

// reserve asks for what a turn would claim, and holds it until the turn is settled.
func (e *Engine) reserve(t *turnOf, group int, more service.Usage) error {
	if more == (service.Usage{}) {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ask(group, more); err != nil {
		return err
	}
	e.granted[group] = e.granted[group].Add(more, 1)
	t.grants = append(t.grants, grant{group, more})
	return nil
}

// settle ends the grants of a turn: the service's usage says now what became of them. e.mu is held.
func (e *Engine) settle(t *turnOf) {
	if t == nil {
		return
	}
	for _, g := range t.grants {
		if left := e.granted[g.group].Add(g.more, -1); left == (service.Usage{}) {
			delete(e.granted, g.group)
		} else {
			e.granted[g.group] = left
		}
	}
	t.grants = nil
}

// enrol takes a new service in, whose claim counts from now on.
func (e *Engine) enrol(a *actor) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.actors[a.id] != nil {
		return fmt.Errorf("service %d: %w", a.id, store.ErrConflict)
	}
	if m := &a.svc.Meta; m.Alias != "" {
		if _, ended := e.bearer(nameKey{m.Group, m.Alias}); !ended {
			return fmt.Errorf("alias %q: %w", m.Alias, ErrAliasTaken)
		}
	}
	if err := e.ask(a.svc.Meta.Group, a.svc.Usage()); err != nil {
		return err
	}
	e.actors[a.id] = a
	e.index(a, a.svc)
	return nil
}
