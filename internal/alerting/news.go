package alerting

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// A herald tells of the lives of the services that a method is for (notify.Method.Service). It knows what was told last,
// so that what happens is told once; what happens while no server runs is not told.
type herald struct {
	a      *Alerting
	states map[uint64]service.State
	steps  map[uint64]map[uint32]step
}

// A step is where an instance was when it was told of last, and how it is known.
type step struct {
	kind string // of news; "" before its machine was asked for
	notify.News
}

// retireEvery is how often methods are looked for whose services are gone.
const retireEvery = 10 * time.Second

// teller returns the method that tells of a service; nil for none.
func (a *Alerting) teller(id uint64) *method {
	a.methodsMu.RLock()
	defer a.methodsMu.RUnlock()
	return a.heralds[id]
}

// appoint makes a method the one that tells of its service. methodsMu is held.
func (a *Alerting) appoint(m *method) {
	if m.Service != 0 {
		a.heralds[m.Service] = m
	}
}

// A tiding is a change to be told of. heard is closed when that was heard; nil when nobody waits.
type tiding struct {
	engine.Change
	heard chan struct{}
}

// begin takes how a service is now for told.
func (h *herald) begin(id uint64) {
	known := make(map[uint32]step)
	if h.a.engine.View(id, func(s *service.Service) {
		h.states[id] = s.State
		for _, r := range s.Roles {
			for i := range r.Instances {
				known[i.Serial] = h.stepOf(s, i)
			}
		}
	}) {
		h.steps[id] = known
	}
}

func (h *herald) stepOf(s *service.Service, i *service.Instance) step {
	x := step{News: notify.News{Role: i.Role().Name, Instance: s.InstanceName(i), ID: service.UUID(h.a.store.Installation().ID, s.ID, i.Serial), Addresses: slices.Clone(i.Addresses)}}
	switch i.Phase {
	case service.Creating, service.Starting, service.Held:
		x.kind = notify.InstanceCreating
	case service.Up, service.Parked, service.Finished:
		x.kind = notify.InstanceUp
	case service.Down, service.Resting:
		x.kind = notify.InstanceFailed
	case service.Replacing, service.Stopping:
		x.kind = notify.InstanceRemoving
	}
	return x
}

// hear tells what a change has brought.
func (h *herald) hear(ctx context.Context, c engine.Change) {
	m := h.a.teller(c.Service)
	if m == nil {
		delete(h.steps, c.Service)
		delete(h.states, c.Service)
		return
	}
	if h.steps[c.Service] == nil && !c.Removed {
		h.begin(c.Service)
		return
	}
	if c.Revision == 0 { // no change: see TellOf
		return
	}
	news := h.instances(c)
	if c.State != h.states[c.Service] && !c.Removed {
		h.states[c.Service] = c.State
		news = append(news, notify.News{Kind: notify.ServiceState})
	}
	if c.Removed {
		news = append(news, notify.News{Kind: notify.ServiceGone})
		delete(h.steps, c.Service)
		delete(h.states, c.Service)
	}
	h.tell(ctx, m, c, news)
}

// instances returns the news of the instances that changed.
func (h *herald) instances(c engine.Change) (news []notify.News) {
	known, now := h.steps[c.Service], make(map[uint32]step)
	h.a.engine.View(c.Service, func(s *service.Service) {
		for _, serial := range c.Instances {
			if i := s.Instance(serial); i != nil {
				now[serial] = h.stepOf(s, i)
			}
		}
	})
	note := func(x step, kind string) {
		x.News.Kind = kind
		news = append(news, x.News)
	}
	changed := slices.Clone(c.Instances)
	if c.Removed {
		changed = slices.Sorted(maps.Keys(known))
	}
	for _, serial := range changed {
		before := known[serial]
		x, there := now[serial]
		if !there {
			if before.kind != "" && before.kind != notify.InstanceRemoving {
				note(before, notify.InstanceRemoving)
			}
			if before.kind != "" {
				note(before, notify.InstanceGone)
			}
			delete(known, serial)
			continue
		}
		if x.kind != before.kind && x.kind != "" {
			if before.kind == "" && x.kind != notify.InstanceCreating {
				note(x, notify.InstanceCreating)
			}
			if x.kind != notify.InstanceCreating || before.kind == "" {
				note(x, x.kind)
			}
		}
		known[serial] = x
	}
	return news
}

// tell sends news on their way. They are written down first.
func (h *herald) tell(ctx context.Context, m *method, c engine.Change, news []notify.News) {
	now := time.Now()
	for n, x := range news {
		x.Service, x.Name, x.Alias, x.State = c.Service, c.Meta.Name, c.Meta.Alias, c.State.String()
		id := strconv.FormatUint(c.Service, 10)
		message := &notify.Message{Event: fmt.Sprintf("service-%s-%d-%d", id, c.Revision, n), Sequence: uint64(c.Revision), Alarm: "service-" + id, Definition: m.ID,
			Name: x.Name, Time: now.UTC(), State: x.State, Reason: x.Text(), Project: strconv.Itoa(m.Tenant), ProjectName: h.a.opts.Project(m.Tenant),
			ServiceName: x.Name, News: &x}
		d := notify.NewDelivery(message, m.Tenant, m.ID, now)
		if _, err := h.a.store.Commit(ctx, store.Txn{Guards: []store.Guard{h.a.fenceOf(&d)}, Puts: []store.Put{notify.Put(&d)}}); err != nil {
			h.a.log.Warn("news of a service are lost", "service", c.Service, "kind", x.Kind, "error", err)
			continue
		}
		if s := h.a.sending(); s != nil {
			s.Add(d)
		}
	}
}

// runHerald tells of changes in their order, until ctx ends.
func (a *Alerting) runHerald(ctx context.Context) {
	h := &herald{a: a, states: make(map[uint64]service.State), steps: make(map[uint64]map[uint32]step)}
	a.methodsMu.RLock()
	ids := slices.Sorted(maps.Keys(a.heralds))
	a.methodsMu.RUnlock()
	for _, id := range ids {
		h.begin(id)
	}
	for {
		c, ok := a.news.Pop(ctx)
		if !ok {
			return
		}
		h.hear(ctx, c.Change)
		if c.heard != nil {
			close(c.heard)
		}
	}
}

// retireMethods removes the methods of services that are gone, once they have told so.
func (a *Alerting) retireMethods(ctx context.Context) {
	tick := time.NewTicker(retireEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.retire(ctx)
		}
	}
}

func (a *Alerting) retire(ctx context.Context) {
	a.methodsMu.RLock()
	all := slices.Collect(maps.Values(a.heralds))
	a.methodsMu.RUnlock()
	for _, m := range all {
		if a.engine.View(m.Service, func(*service.Service) {}) {
			continue
		}
		waits := slices.ContainsFunc(a.Deliveries(m.Tenant, m.ID), func(d notify.Delivery) bool { return d.Phase != notify.Dead })
		if waits || a.news.Len() > 0 {
			continue
		}
		if err := a.RemoveMethod(ctx, m.Tenant, m.ID); err != nil && ctx.Err() == nil {
			a.log.Warn("the notification method of a service that is gone cannot be removed; it is tried again", "method", m.ID, "error", err)
		}
	}
}

// TellOf has the life of a service told by a method of its own; nil ends that. The method must be valid already.
func (a *Alerting) TellOf(ctx context.Context, tenant int, id uint64, m *notify.Method) error {
	old := a.teller(id)
	ref := ""
	if old != nil {
		ref = old.ID
	}
	if m == nil {
		if old == nil {
			return nil
		}
		return a.RemoveMethod(ctx, old.Tenant, ref)
	}
	_, err := a.PutMethod(ctx, tenant, ref, func(next *notify.Method) error {
		*next = *m
		next.Service = id
		return nil
	})
	if err != nil {
		return err
	}
	// How it is now counts as told: what happens after this call must not.
	begun := make(chan struct{})
	a.news.Push(tiding{engine.Change{Service: id}, begun})
	select {
	case <-begun:
	case <-ctx.Done():
	case <-a.ctx.Done():
	}
	return nil
}
