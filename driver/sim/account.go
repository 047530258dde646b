package sim

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// An account is the driver: one installation's view of a Cloud.
type account struct {
	cloud  *Cloud
	tenant *tenant
}

func (a *account) Create(ctx context.Context, req driver.Request) (driver.Machine, error) {
	c, o := a.cloud, a.cloud.options.Load()
	m, err := a.make(ctx, &req, o)
	if err != nil {
		return driver.Machine{}, fmt.Errorf("sim: create %s: %w", req.ID, err)
	}
	if o.CreateDelay > 0 {
		if err := sleep(ctx, c.vary(o, o.CreateDelay, "create", req.ID)); err != nil {
			return driver.Machine{}, fmt.Errorf("sim: create %s: %w", req.ID, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.state == driver.Gone {
		return driver.Machine{}, fmt.Errorf("sim: create %s: %w: it was removed meanwhile", req.ID, driver.ErrNotFound)
	}
	return m.show(), nil
}

func (a *account) make(ctx context.Context, req *driver.Request, o *Options) (*machine, error) {
	c := a.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m := a.tenant.machines[req.ID]; m != nil && o.Guarantee != driver.None {
		return m, nil
	}
	if o.Capacity > 0 && c.live >= o.Capacity {
		return nil, fmt.Errorf("%w: all %d places are taken", driver.ErrCapacity, o.Capacity)
	}
	if err := c.journalError(); err != nil {
		return nil, err
	}
	return c.add(a.tenant, req, time.Now()), nil
}

func (a *account) Destroy(ctx context.Context, ref driver.Ref, _ driver.Shutdown) error {
	c, o := a.cloud, a.cloud.options.Load()
	if o.DestroyDelay > 0 && a.has(ref.ID) {
		if err := sleep(ctx, c.vary(o, o.DestroyDelay, "destroy", ref.ID)); err != nil {
			return fmt.Errorf("sim: destroy %s: %w", ref.ID, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sim: destroy %s: %w", ref.ID, err)
	}
	for m := a.tenant.machines[ref.ID]; m != nil; {
		next := m.next
		if ref.Native == "" || ref.Native == m.native() {
			c.remove(m, time.Now())
		}
		m = next
	}
	return c.journalError()
}

func (a *account) has(id driver.MachineID) bool {
	a.cloud.mu.Lock()
	defer a.cloud.mu.Unlock()
	return a.tenant.machines[id] != nil
}

// portion is how many machines are copied under one hold of the lock.
const portion = 256

func (a *account) List(ctx context.Context) iter.Seq2[driver.Machine, error] {
	return func(yield func(driver.Machine, error) bool) {
		c := a.cloud
		view := a.view()
		buffer := make([]driver.Machine, 0, portion)
		for from, end := 0, false; !end; from += portion {
			if err := ctx.Err(); err != nil {
				yield(driver.Machine{}, fmt.Errorf("sim: list: %w", err))
				return
			}
			if c.outage.Load() {
				yield(driver.Machine{}, errOutage("list"))
				return
			}
			if view.cut >= 0 && from >= view.cut {
				yield(driver.Machine{}, fmt.Errorf("sim: list: %w: the list broke off", driver.ErrUnavailable))
				return
			}
			buffer, end = view.read(buffer[:0], from)
			for i := range buffer {
				if !yield(buffer[i], nil) {
					return
				}
			}
		}
	}
}

// A view is what one list sees.
type view struct {
	*account
	*Options
	n      uint64    // which list it is
	now    time.Time // when it began
	ghosts []*machine
	cut    int // slot at which it breaks off; -1 for none
}

func (a *account) view() *view {
	c := a.cloud
	v := &view{account: a, Options: c.options.Load(), n: uint64(c.calls["list"].Load()), now: time.Now(), cut: -1}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.ListCut > 0 && driver.Chance(v.Seed, v.n, "cut") < v.ListCut {
		v.cut = len(a.tenant.slots) / 2
	}
	if v.ListStale > 0 {
		old := v.now.Add(-v.ListStale).UnixNano()
		kept := a.tenant.ghosts[:0:0]
		for _, m := range a.tenant.ghosts {
			if m.changed > old {
				kept = append(kept, m)
			}
		}
		a.tenant.ghosts, v.ghosts = kept, kept
	} else {
		a.tenant.ghosts = nil
	}
	return v
}

// read appends what the slots from there on hold, and at the end the ghosts.
func (v *view) read(to []driver.Machine, from int) (_ []driver.Machine, end bool) {
	v.cloud.mu.Lock()
	defer v.cloud.mu.Unlock()
	slots := v.tenant.slots
	end = from+portion >= len(slots)
	for _, m := range slots[min(from, len(slots)):min(from+portion, len(slots))] {
		if m != nil {
			to = v.show(to, m)
		}
	}
	if end {
		for _, m := range v.ghosts {
			to = v.show(to, m)
		}
	}
	return to, end
}

// show appends the machine as this list sees it, if it does.
func (v *view) show(to []driver.Machine, m *machine) []driver.Machine {
	if v.VisibleAfter > 0 && v.now.UnixNano() < m.created+int64(v.VisibleAfter) {
		return to
	}
	if v.ListDrop > 0 && driver.Chance(v.Seed, v.n, "drop", string(m.id)) < v.ListDrop {
		return to
	}
	d := m.show()
	if v.ListStale > 0 && m.changed > v.now.Add(-v.ListStale).UnixNano() {
		d.State = m.before
	}
	return append(to, d)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
