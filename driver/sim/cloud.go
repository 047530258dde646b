package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/troupe-dev/troupe/driver"
)

// A Cloud is one simulated back end. Several drivers, also of servers that are started again, may share it.
// Its methods are for tests: they act behind the drivers' backs.
type Cloud struct {
	options atomic.Pointer[Options]
	faults  atomic.Pointer[driver.Plan] // nil while none are wanted
	wrong   driver.Around               // makes calls go as faults says
	limiter atomic.Pointer[rate.Limiter]
	outage  atomic.Bool
	calls   map[string]*atomic.Int64 // by name; the map itself never changes

	mu      sync.Mutex
	tenants map[string]*tenant // by installation
	live    int
	serial  uint32
	doubles int
	// networks numbers the networks that were ever made.
	networks uint32
	events   events
	journal  *journal // nil when nothing is kept
}

// A tenant is what one installation has on a back end.
type tenant struct {
	name     string
	machines map[driver.MachineID]*machine
	networks map[driver.MachineID]*network
	slots    []*machine // in a place that never changes while the machine lives, so that a list can pause
	free     []uint32   // places without a machine
	ghosts   []*machine // removed of late, for lists that are stale
	streams  []*stream
	data     map[string]bool
}

// NewCloud returns an empty back end.
func NewCloud(o Options) *Cloud {
	c := &Cloud{tenants: map[string]*tenant{}, calls: map[string]*atomic.Int64{}}
	for _, name := range []string{"create", "destroy", "list", "act", "watch", "logs", "exec", "refresh", "remove-data", "measure", "stamp",
		"make-resource", "remove-resource", "list-resources"} {
		c.calls[name] = new(atomic.Int64)
	}
	c.events.cloud, c.wrong = c, driver.Misbehave(c.faults.Load)
	c.options.Store(&Options{})
	c.Set(func(now *Options) { *now = o })
	return c
}

// Set changes the options from now on. Machines that boot keep the time that they were given.
func (c *Cloud) Set(change func(*Options)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.options.Load()
	o := *old
	change(&o)
	c.options.Store(&o)
	p := o.Faults
	if p.Seed == 0 {
		p.Seed = o.Seed
	}
	if p.Errors+p.Lost+p.Silent+p.Double > 0 || p.Delay > 0 || p.Late > 0 {
		c.faults.Store(&p)
	} else {
		c.faults.Store(nil)
	}
	switch {
	case o.Rate <= 0:
		c.limiter.Store(nil)
	case o.Rate != old.Rate:
		c.limiter.Store(rate.NewLimiter(rate.Limit(o.Rate), max(1, int(o.Rate))))
	}
}

// open returns the driver of one installation.
func (c *Cloud) open(cfg driver.Config) driver.Driver {
	c.mu.Lock()
	t := c.tenant(cfg.Installation)
	c.mu.Unlock()
	return driver.Intercept(&account{cloud: c, tenant: t}, c.enter)
}

func (c *Cloud) tenant(installation string) *tenant {
	t := c.tenants[installation]
	if t == nil {
		t = &tenant{name: installation, machines: map[driver.MachineID]*machine{}, networks: map[driver.MachineID]*network{}, data: map[string]bool{}}
		c.tenants[installation] = t
	}
	return t
}

// enter is the back end's front door: it counts and throttles, and is shut during an outage.
func (c *Cloud) enter(ctx context.Context, call *driver.Call, do func(context.Context) error) error {
	c.calls[call.Name].Add(1)
	if c.outage.Load() {
		return errOutage(call.Name)
	}
	if l := c.limiter.Load(); l != nil {
		now := time.Now()
		r := l.ReserveN(now, 1)
		if wait := r.DelayFrom(now); wait > 0 {
			r.CancelAt(now)
			return fmt.Errorf("sim: %s: %w", call.Name, driver.Throttled(wait, "too many calls"))
		}
	}
	if c.faults.Load() != nil {
		return c.wrong(ctx, call, do)
	}
	return do(ctx)
}

func errOutage(call string) error {
	return fmt.Errorf("sim: %s: %w: simulated outage", call, driver.ErrUnavailable)
}

// Outage makes every call fail with ErrUnavailable and breaks all streams, until it is called with false.
// The machines run on.
func (c *Cloud) Outage(on bool) {
	c.outage.Store(on)
	if !on {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tenants {
		for _, s := range t.streams {
			s.signal()
		}
	}
}

// Kill makes the main program of a running machine die by signal 9. It reports whether one ran.
func (c *Cloud) Kill(id driver.MachineID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	killed := false
	for _, t := range c.tenants {
		for m := t.machines[id]; m != nil; m = m.next {
			killed = c.kill(m) || killed
		}
	}
	return killed
}

func (c *Cloud) kill(m *machine) bool {
	if m.state != driver.Running {
		return false
	}
	m.exit = -9
	c.become(m, driver.Exited, time.Now())
	return true
}

// KillFraction kills that fraction of all running machines, chosen by the seed, and returns how many.
func (c *Cloud) KillFraction(fraction float64, seed uint64) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, t := range c.tenants {
		for _, m := range t.slots {
			if m != nil && driver.Chance(seed, 0, "kill", string(m.id)) < fraction && c.kill(m) {
				n++
			}
		}
	}
	return n
}

// Remove makes a machine disappear. It reports whether it was there.
func (c *Cloud) Remove(id driver.MachineID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	removed := false
	for _, t := range c.tenants {
		for m := t.machines[id]; m != nil; m = t.machines[id] {
			c.remove(m, time.Now())
			removed = true
		}
	}
	return removed
}

// SetHealth makes commands inside the machine exit 0 or 1.
func (c *Cloud) SetHealth(id driver.MachineID, healthy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tenants {
		for m := t.machines[id]; m != nil; m = m.next {
			m.details().sick = !healthy
		}
	}
}

// Machines returns all machines of all installations as they are, whatever lists would say.
func (c *Cloud) Machines() []driver.Machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]driver.Machine, 0, c.live)
	for _, t := range c.tenants {
		for _, m := range t.slots {
			if m != nil {
				all = append(all, m.show())
			}
		}
	}
	return all
}

// Len returns how many machines there are.
func (c *Cloud) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live
}

// Request returns the request that made a machine which still exists; it needs Options.KeepRequests.
func (c *Cloud) Request(id driver.MachineID) (driver.Request, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tenants {
		if m := t.machines[id]; m != nil && m.more != nil && m.more.request != nil {
			return *m.more.request, true
		}
	}
	return driver.Request{}, false
}

// Doubles returns how many machines came to be while another of the same id lived.
func (c *Cloud) Doubles() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubles
}

// Calls returns how often each call was made, by name ("create", "destroy", "list" …).
func (c *Cloud) Calls() map[string]int64 {
	n := make(map[string]int64, len(c.calls))
	for name, count := range c.calls {
		n[name] = count.Load()
	}
	return n
}
