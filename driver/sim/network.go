package sim

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

var resourceKinds = []driver.ResourceKind{{
	Name: "network", Help: "a simulated network: a name and a range of addresses, slow or failing like the account's machines",
	Options: []driver.Option{
		{Name: "cidr", Type: driver.String, Help: "its addresses; one of 10.128.0.0 and up if absent", Examples: []string{"10.1.0.0/24"}},
		{Name: "template", Type: driver.String, Help: "the network template that it is made from; noted and shown"},
		{Name: "reserve_from", Type: driver.String, Help: "the network that its addresses are reserved from; noted and shown"},
		{Name: "extra", Type: driver.String, Help: "further settings in the back end's own words; noted"},
	},
}, {
	Name: "volume", Help: "a simulated volume: a name and a size",
	Options: []driver.Option{{Name: "size", Type: driver.Float, Help: "gigabytes; noted and shown", Examples: []string{"10"}}},
}}

// A network is a resource: a volume, too. Its state follows from the time, so that it needs no event.
type network struct {
	ID         driver.MachineID  `json:"id"`
	Number     uint32            `json:"number"`
	Ready      int64             `json:"ready"` // from when on it may be used
	Broken     bool              `json:"broken,omitempty"`
	Gone       bool              `json:"gone,omitempty"`
	Generation uint64            `json:"generation,omitempty"`
	Outputs    map[string]string `json:"outputs"`
}

func (n *network) show(now time.Time) driver.Resource {
	r := driver.Resource{ID: n.ID, Native: strconv.Itoa(int(n.Number)), State: driver.Running, Outputs: maps.Clone(n.Outputs), Generation: n.Generation}
	switch {
	case now.UnixNano() < n.Ready:
		r.State = driver.Pending
	case n.Broken:
		r.State, r.Reason = driver.Failed, "simulated failure of the network"
	}
	return r
}

func (a *account) MakeResource(ctx context.Context, req driver.ResourceRequest) (driver.Resource, error) {
	if !slices.ContainsFunc(resourceKinds, func(k driver.ResourceKind) bool { return k.Name == req.Kind }) {
		return driver.Resource{}, fmt.Errorf("sim: make %s: %w: no resources of kind %q", req.ID, driver.ErrUnsupported, req.Kind)
	}
	c, o := a.cloud, a.cloud.options.Load()
	c.mu.Lock()
	n, err := a.makeNetwork(ctx, &req, o)
	c.mu.Unlock()
	if err != nil {
		return driver.Resource{}, fmt.Errorf("sim: make %s: %w", req.ID, err)
	}
	if o.CreateDelay > 0 {
		if err := sleep(ctx, c.vary(o, o.CreateDelay, "create", req.ID)); err != nil {
			return driver.Resource{}, fmt.Errorf("sim: make %s: %w", req.ID, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.Gone {
		return driver.Resource{}, fmt.Errorf("sim: make %s: %w: it was removed meanwhile", req.ID, driver.ErrNotFound)
	}
	return n.show(time.Now()), nil
}

// makeNetwork finds or makes it. The caller holds the lock.
func (a *account) makeNetwork(ctx context.Context, req *driver.ResourceRequest, o *Options) (*network, error) {
	c, now := a.cloud, time.Now()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n := a.tenant.networks[req.ID]; n != nil {
		return n, nil
	}
	if err := c.journalError(); err != nil {
		return nil, err
	}
	if size := driver.Get[float64](req.Options, "size"); size < 0 {
		return nil, &driver.OptionError{Option: "size", Problem: "a volume cannot be smaller than nothing"}
	}
	cidr := driver.Get[string](req.Options, "cidr")
	if cidr != "" {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			return nil, &driver.OptionError{Option: "cidr", Problem: err.Error()}
		}
	}
	c.networks++
	if cidr == "" {
		cidr = fmt.Sprintf("10.%d.%d.0/24", 128+c.networks>>8%128, c.networks%256)
	}
	n := &network{ID: req.ID, Number: c.networks, Generation: req.Generation,
		Ready:   now.Add(c.vary(o, o.BootDelay, "boot", req.ID)).UnixNano(),
		Broken:  o.BootFailures > 0 && driver.Chance(o.Seed, 0, "boot-failure", string(req.ID)) < o.BootFailures,
		Outputs: map[string]string{"id": strconv.Itoa(int(c.networks)), "cidr": cidr, "name": req.Name}}
	if req.Kind == "volume" {
		n.Outputs = map[string]string{"id": n.Outputs["id"], "name": req.Name}
		if size := driver.Get[float64](req.Options, "size"); size > 0 {
			n.Outputs["size"] = strconv.FormatFloat(size, 'f', -1, 64)
		}
	}
	for _, name := range [...]string{"template", "reserve_from"} {
		if v := driver.Get[string](req.Options, name); v != "" {
			n.Outputs[name] = v
		}
	}
	a.tenant.networks[req.ID] = n
	c.recordNetwork(a.tenant, n)
	return n, nil
}

func (a *account) RemoveResource(ctx context.Context, ref driver.Ref) error {
	c, o := a.cloud, a.cloud.options.Load()
	c.mu.Lock()
	there := a.tenant.networks[ref.ID] != nil
	c.mu.Unlock()
	if there && o.DestroyDelay > 0 {
		if err := sleep(ctx, c.vary(o, o.DestroyDelay, "destroy", ref.ID)); err != nil {
			return fmt.Errorf("sim: remove %s: %w", ref.ID, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sim: remove %s: %w", ref.ID, err)
	}
	if n := a.tenant.networks[ref.ID]; n != nil {
		n.Gone = true
		delete(a.tenant.networks, ref.ID)
		c.recordNetwork(a.tenant, n)
	}
	return c.journalError()
}

func (a *account) ListResources(ctx context.Context) iter.Seq2[driver.Resource, error] {
	return func(yield func(driver.Resource, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(driver.Resource{}, fmt.Errorf("sim: list resources: %w", err))
			return
		}
		a.cloud.mu.Lock()
		var all []driver.Resource
		for _, n := range a.tenant.networks {
			all = append(all, n.show(time.Now()))
		}
		a.cloud.mu.Unlock()
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Networks returns how many networks of all installations there are.
func (c *Cloud) Networks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, t := range c.tenants {
		n += len(t.networks)
	}
	return n
}

// recordNetwork writes the network down. The caller holds the lock.
func (c *Cloud) recordNetwork(t *tenant, n *network) {
	c.write(lineOfNetwork(t, n, c.serial))
}

func lineOfNetwork(t *tenant, n *network, serial uint32) line {
	return line{Tenant: t.name, ID: n.ID, State: driver.Running, Serial: serial, Network: n}
}

// reviveNetwork takes the network of a line up again.
func (c *Cloud) reviveNetwork(l line) {
	c.networks = max(c.networks, l.Network.Number)
	if !l.Network.Gone {
		c.tenant(l.Tenant).networks[l.ID] = l.Network
	}
}
