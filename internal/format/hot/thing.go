package hot

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/troupe-dev/troupe/internal/service"
)

// Where recorded addresses come from when nothing says more.
const (
	anyNetwork = "10.0.0.0/16"
	anyOutside = "172.24.4.0/24"
)

// isRecorded reports whether the driver has no such resource.
func (c *compiler) isRecorded(r *resource) bool {
	_, err := c.kind.Resource(r.kind.core)
	return err != nil
}

// thing is a resource as the service has it.
func (c *compiler) thing(r *resource) service.ResourceSpec {
	x := service.ResourceSpec{Name: r.node, Kind: r.kind.core, Driver: service.Recorded, Heal: service.HealAuto, Needs: c.needsOf(r)}
	if !c.isRecorded(r) {
		x.Driver, x.Account = c.opts.Driver, c.opts.Account
		x.Options = c.resourceOptions(r)
		x.Needs = c.alsoNeeds(r, x.Needs)
		return x
	}
	switch r.kind.core {
	case "port":
		x.Addresses = c.portAddresses(r)
	case "floating_ip":
		x.Addresses = anyOutside
	}
	if c.recorded == nil {
		c.recorded = map[string][]string{}
	}
	c.recorded[r.kind.core] = append(c.recorded[r.kind.core], r.path)
	return x
}

// alsoNeeds adds what templates need not say: a router that joins subnets comes after them, and a floating address that
// leads to a port after the routers on the way.
func (c *compiler) alsoNeeds(r *resource, needs []string) []string {
	for _, x := range c.things {
		leads := r.kind.core == "floating_ip" && x.kind.core == "router"
		if r.kind.core == "router" && x.kind.core == "subnet" {
			for _, i := range c.things {
				leads = leads || i.kind.core == "router_interface" && (c.byMark(i.props["router"]) == r || c.byMark(i.props["router_id"]) == r) &&
					(c.byMark(i.props["subnet"]) == x || c.byMark(i.props["subnet_id"]) == x)
			}
		}
		if leads && !slices.Contains(needs, x.node) {
			needs = append(needs, x.node)
		}
	}
	slices.Sort(needs)
	return needs
}

// fresh returns the name of a resource: another one than before where it is another resource now, so that the one that
// machines use stays until they are replaced.
func (c *compiler) fresh(x *service.ResourceSpec) string {
	if c.opts.Present == nil {
		return x.Name
	}
	free := ""
	for n := range len(c.opts.Present.Resources) + 2 {
		name := x.Name
		if n > 0 {
			end := fmt.Sprintf("-%d", n+1)
			if name = name[:min(len(name), service.MaxName-len(end))] + end; c.nodes[name] {
				continue // another resource's own
			}
		}
		switch was := c.opts.Present.Resource(name); {
		case was != nil && was.Serves(x):
			return name
		case was == nil && free == "":
			free = name
		}
	}
	return free
}

// rename gives a resource another name in the specification, wherever it is spoken of.
func (e *evaluation) rename(r *resource, name string) {
	for i := range e.targets {
		if t := &e.targets[i]; t.of == ofResource && t.node == r.node {
			t.node = name
		}
	}
	r.node = name
	e.nodes[name], e.byNode[name] = true, r
}

// named puts names in the place of ids, wherever they are in a value.
func (c *compiler) named(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = c.named(x)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = c.named(x)
		}
		return out
	}
	return c.nodeOf(v)
}

func (c *compiler) isRecordedKind(core string) bool {
	_, err := c.kind.Resource(core)
	return err != nil
}

// subnetOf returns the first subnet of a network that says its addresses; nil for none.
func (c *compiler) subnetOf(net *resource) *resource {
	for _, x := range c.things {
		if x.kind.core != "subnet" || x.text("cidr") == "" {
			continue
		}
		for _, key := range []string{"network", "network_id"} {
			if c.byMark(x.props[key]) == net {
				return x
			}
		}
	}
	return nil
}

// portAddresses is the range of which a port has an address: the driver's own, where it grants wishes, else that of its
// subnet.
func (c *compiler) portAddresses(r *resource) string {
	var within netip.Prefix
	if c.kind.Addresses != "" {
		within = netip.MustParsePrefix(c.kind.Addresses)
	}
	subnet := (*resource)(nil)
	for _, v := range r.list("fixed_ips") {
		m, _ := v.(map[string]any)
		if text := scalarText(m["ip_address"]); text != "" {
			a, err := netip.ParseAddr(text)
			switch {
			case err != nil:
				r.wrong("fixed_ips", "%q is no address", text)
			case within.IsValid() && !within.Contains(a):
				r.warn("fixed_ips", "machines of the driver %s have addresses of %s, and not %s", c.opts.Driver, within, text)
			default:
				return netip.PrefixFrom(a, a.BitLen()).String()
			}
		}
		for _, key := range []string{"subnet", "subnet_id"} {
			if s := c.byMark(m[key]); s != nil && s.kind.core == "subnet" {
				subnet = s
			}
		}
	}
	if within.IsValid() {
		return within.String()
	}
	for _, key := range []string{"network", "network_id"} {
		if net := c.byMark(r.props[key]); net != nil && subnet == nil {
			subnet = c.subnetOf(net)
		}
	}
	if subnet != nil {
		if p, err := netip.ParsePrefix(subnet.text("cidr")); err == nil {
			return p.Masked().String()
		}
		subnet.wrong("cidr", "%q is no range of addresses such as 10.0.0.0/24", subnet.text("cidr"))
	}
	return anyNetwork
}
