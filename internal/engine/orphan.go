package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
	"golang.org/x/sync/errgroup"
)

// A suspect is a machine, or a resource, of this installation's that no record knows.
type suspect struct {
	machine driver.Machine
	first   time.Time
	looks   int
}

// judgeStrangers destroys machines that no record knows, after two linearizable looks a grace period
// apart: a list may be older than a record.
func (b *Backend) judgeStrangers(ctx context.Context, found map[driver.MachineID]driver.Machine, began time.Time) {
	e := b.engine
	all := b.suspect(found, began)
	var g errgroup.Group
	g.SetLimit(destroying)
	for _, s := range all {
		known, err := e.recorded(ctx, s.machine.ID)
		if err != nil {
			e.log.Warn("cannot look for the record of an unknown machine", "backend", b.Key(), "machine", s.machine.ID, "error", err)
			break
		}
		if known {
			b.mu.Lock()
			delete(b.suspects, s.machine.ID)
			b.mu.Unlock()
			continue
		}
		if s.looks++; s.looks < 2 || began.Sub(s.first) < e.opts.OrphanGrace || e.paused.Load() {
			b.listSoon(e.opts.OrphanGrace)
			continue
		}
		g.Go(func() error { b.destroyOrphan(ctx, s.machine); return nil })
	}
	_ = g.Wait() // failures are logged, and tried again after the next list
}

// suspect notes the machines that a list found and no record knows, and forgets those that it did not find.
func (b *Backend) suspect(found map[driver.MachineID]driver.Machine, began time.Time) []*suspect {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.suspects {
		if _, still := found[id]; !still {
			delete(b.suspects, id)
		}
	}
	all := make([]*suspect, 0, len(found))
	for id, m := range found {
		s := b.suspects[id]
		if s == nil {
			s = &suspect{machine: m, first: began}
			b.suspects[id] = s
		}
		all = append(all, s)
	}
	return all
}

// Barred returns for how many machines that no record knows the stable instances of a service wait before they are
// made: each may still work on the data that the new machine would get. The service is held for reading.
func (b *Backend) Barred(svc *service.Service) (strangers int) {
	for _, r := range svc.Roles {
		if r.Spec.Identity == service.Stable && r.Count(service.Creating) > 0 {
			strangers, _ = b.strangersOf(svc.ID)
			return strangers
		}
	}
	return 0
}

// bars reports whether a creation waits for the end of a machine that no record knows.
func (b *Backend) bars(j job) (barred bool) {
	b.engine.read(j.actor, func(svc *service.Service) {
		if r := svc.RoleOf(j.effect); r != nil && r.Spec.Identity == service.Stable {
			n, _ := b.strangersOf(svc.ID)
			barred = n > 0
		}
	})
	return barred
}

// destroying is how many orphans are destroyed at a time, and orphanTime how long one may take.
const (
	destroying = 4
	orphanTime = 20 * time.Second
)

func (b *Backend) destroyOrphan(ctx context.Context, m driver.Machine) {
	id, _, _, machine := service.ParseMachineID(m.ID)
	resource := false
	if !machine {
		id, _, resource = service.ParseResourceID(m.ID)
	}
	if !machine && !resource || !b.engine.mayStart(store.Shard(idText(id)), leaseMargin) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, orphanTime)
	defer cancel()
	ref := driver.Ref{ID: m.ID, Native: m.Native}
	if resource {
		err := b.removeStranger(ctx, ref)
		b.engine.log.Warn("removed a resource that no record knows", "backend", b.Key(), "resource", m.ID, "error", err)
		return
	}
	err := b.Driver.Destroy(ctx, ref, driver.Hard)
	if err == nil {
		b.mu.Lock()
		delete(b.suspects, m.ID)
		b.mu.Unlock()
	}
	b.engine.log.Warn("destroyed a machine that no record knows", "backend", b.Key(), "machine", m.ID, "error", err)
}

// listSoon asks, once, for the second look in time, where lists are rarer than the grace period.
func (b *Backend) listSoon(after time.Duration) {
	if after >= b.engine.opts.ListEvery {
		return
	}
	b.mu.Lock()
	busy := b.again
	b.again = true
	b.mu.Unlock()
	if busy {
		return
	}
	b.engine.calls.Add(1)
	go func() {
		defer b.engine.calls.Done()
		select {
		case <-b.engine.ctx.Done():
		case <-time.After(after):
			b.mu.Lock()
			b.again = false
			b.mu.Unlock()
			b.lookNow()
		}
	}()
}

// strangersOf counts the machines of a service that no record knows, and returns their highest serial.
func (b *Backend) strangersOf(id uint64) (n int, highest uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for m := range b.suspects {
		if of, serial, _, ok := service.ParseMachineID(m); ok && of == id {
			n, highest = n+1, max(highest, serial)
		}
	}
	return n, highest
}

// recorded reads, linearizably, whether a machine belongs to an instance.
func (e *Engine) recorded(ctx context.Context, m driver.MachineID) (bool, error) {
	if id, serial, ok := service.ParseResourceID(m); ok {
		return e.recordedResource(ctx, id, serial)
	}
	id, serial, incarnation, ok := service.ParseMachineID(m)
	if !ok {
		return true, nil
	}
	kv, err := e.store.Get(ctx, blockKey(id, service.BlockOf(serial)))
	if err != nil {
		return false, fmt.Errorf("look for the record of machine %s: %w", m, err)
	}
	if kv.Revision == 0 {
		return false, nil
	}
	instances, _, err := service.DecodeBlock(kv.Value)
	if err != nil {
		return true, err
	}
	for _, i := range instances {
		if i.Serial == serial {
			return i.Incarnation == incarnation && i.Phase != service.Queued && i.Phase != service.Backoff, nil
		}
	}
	return false, nil
}
