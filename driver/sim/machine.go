package sim

import (
	"math"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A machine is kept small: a million of them must fit. What few machines have is in details.
type machine struct {
	id         driver.MachineID
	address    [1]string
	tenant     *tenant
	more       *details // nil for none
	next       *machine // another machine of the same id
	created    int64    // Unix time in ns
	changed    int64    // of state, Unix time in ns
	generation uint64
	cpus       float32
	memory     uint32 // MiB
	exit       int32
	slot       uint32
	epoch      uint32 // counts changes of state: events of an earlier one are void
	load       float32
	double     uint16 // which of the machines of its id it is, from 0
	state      driver.State
	before     driver.State // the state before changed
}

type details struct {
	reason    string
	data      string
	print     string
	boot      time.Duration // -1 for the back end's
	exitAfter time.Duration // -1 for never
	exitCode  int32
	sick      bool
	snapshots map[string]bool
	tokens    []string // of the last actions
	files     map[string]driver.File
	request   *driver.Request
}

// details returns the machine's details to be written to.
func (m *machine) details() *details {
	if m.more == nil {
		m.more = &details{boot: -1, exitAfter: -1}
	}
	return m.more
}

func (m *machine) native() string {
	if m.double == 0 {
		return string(m.id)
	}
	return string(m.id) + "#" + strconv.Itoa(int(m.double))
}

// show returns what a driver tells of the machine. The addresses are shared: nobody writes to them.
func (m *machine) show() driver.Machine {
	d := driver.Machine{
		ID: m.id, Native: m.native(), State: m.state, Addresses: m.address[:],
		ExitCode: int(m.exit), Created: time.Unix(0, m.created), Generation: m.generation,
	}
	if m.more != nil {
		d.Reason = m.more.reason
	}
	return d
}

// add makes the machine for req. The caller holds the lock, as for all that follows.
func (c *Cloud) add(t *tenant, req *driver.Request, now time.Time) *machine {
	o := c.options.Load()
	c.serial++
	m := &machine{
		id: req.ID, tenant: t, created: now.UnixNano(), changed: now.UnixNano(), generation: req.Generation,
		cpus: float32(req.CPUs), memory: uint32(req.Memory >> 20), load: float32(driver.Get[float64](req.Options, "load")),
		state: driver.Pending, before: driver.Pending,
	}
	m.address[0] = req.Address
	if req.Address == "" {
		m.address[0] = address(c.serial)
	}
	if o.KeepRequests {
		r := *req
		m.details().request = &r
	}
	if req.Data != "" {
		m.details().data = req.Data
		t.data[req.Data] = true
	}
	if s := driver.Get[string](req.Options, "print"); s != "" {
		m.details().print = s
	}
	if d, ok := req.Options["boot_time"].(time.Duration); ok {
		m.details().boot = d
	}
	if code, ok := req.Options["exit_code"].(int); ok {
		m.details().exitAfter, m.more.exitCode = 0, int32(code)
	}
	if d, ok := req.Options["exit_after"].(time.Duration); ok {
		m.details().exitAfter = d
	}
	if first := t.machines[req.ID]; first != nil {
		c.doubles++
		m.double, m.next = first.double+1, first
	}
	t.machines[req.ID] = m
	c.place(m)
	if req.Hold {
		m.state = driver.Held
	} else {
		c.start(m, now)
	}
	c.record(m)
	return m
}

// place gives the machine its slot.
func (c *Cloud) place(m *machine) {
	t := m.tenant
	if n := len(t.free); n > 0 {
		m.slot, t.free = t.free[n-1], t.free[:n-1]
		t.slots[m.slot] = m
	} else {
		m.slot = uint32(len(t.slots))
		t.slots = append(t.slots, m)
	}
	c.live++
}

// address spreads numbers over 10.0.0.0/8.
func address(n uint32) string {
	b := make([]byte, 0, 16)
	b = append(b, "10"...)
	for _, part := range [...]uint32{n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff} {
		b = strconv.AppendUint(append(b, '.'), uint64(part), 10)
	}
	return string(b)
}

// start lets the machine boot. It runs at once if nothing delays it. Nothing is published.
func (c *Cloud) start(m *machine, now time.Time) {
	o := c.options.Load()
	boot := o.BootDelay
	if m.more != nil && m.more.boot >= 0 {
		boot = m.more.boot
	}
	m.epoch++
	m.exit, m.before, m.changed = 0, m.state, now.UnixNano()
	m.state = driver.Pending
	if boot = c.vary(o, boot, "boot", m.id); boot > 0 {
		c.events.add(now.Add(boot), m, booted)
		return
	}
	c.boot(m, now)
}

// boot ends the boot: the machine runs, or has failed.
func (c *Cloud) boot(m *machine, now time.Time) {
	o := c.options.Load()
	m.before, m.changed = m.state, now.UnixNano()
	if o.BootFailures > 0 && driver.Chance(o.Seed, uint64(m.epoch), "boot-failure", string(m.id)) < o.BootFailures {
		m.state = driver.Failed
		m.details().reason = "simulated boot failure"
		return
	}
	m.state = driver.Running
	if m.more != nil {
		m.more.reason = ""
		switch {
		case m.more.exitAfter == 0: // it has ended before anybody could see it run
			m.state, m.exit = driver.Exited, m.more.exitCode
			return
		case m.more.exitAfter > 0:
			c.events.add(now.Add(m.more.exitAfter), m, exited)
		}
	}
	if o.Lifetime > 0 {
		u := driver.Chance(o.Seed, uint64(m.epoch), "death", string(m.id))
		c.events.add(now.Add(time.Duration(-math.Log1p(-u)*float64(o.Lifetime))), m, died)
	}
}

// become puts the machine into a state and tells the streams.
func (c *Cloud) become(m *machine, s driver.State, now time.Time) {
	m.epoch++
	m.before, m.state, m.changed = m.state, s, now.UnixNano()
	c.publish(m)
}

// publish tells streams and journal that the machine has changed.
func (c *Cloud) publish(m *machine) {
	c.record(m)
	for _, s := range m.tenant.streams {
		s.add(m)
	}
}

// remove takes the machine out.
func (c *Cloud) remove(m *machine, now time.Time) {
	t := m.tenant
	for at := t.machines[m.id]; at != nil; at = at.next {
		switch {
		case at == m && m.next == nil:
			delete(t.machines, m.id)
		case at == m:
			t.machines[m.id] = m.next
		case at.next == m:
			at.next = m.next
		default:
			continue
		}
		break
	}
	t.slots[m.slot] = nil
	t.free = append(t.free, m.slot)
	c.live--
	c.become(m, driver.Gone, now)
	if c.options.Load().ListStale > 0 {
		t.ghosts = append(t.ghosts, m)
	}
}

// vary returns the delay with its jitter.
func (c *Cloud) vary(o *Options, d time.Duration, what string, id driver.MachineID) time.Duration {
	if d <= 0 || o.Jitter <= 0 {
		return d
	}
	return time.Duration(float64(d) * (1 + o.Jitter*(2*driver.Chance(o.Seed, 0, what, string(id))-1)))
}
