package hot

import (
	"net/netip"
	"slices"

	"github.com/troupe-dev/troupe/driver"
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

// resourceOptions are the driver's options of a resource that have the names of its properties; ids of other resources
// become their names.
func (c *compiler) resourceOptions(r *resource) map[string]any {
	kind, err := c.kind.Resource(r.kind.core)
	if err != nil {
		return nil
	}
	takes := func(name string) bool {
		return slices.ContainsFunc(kind.Options, func(o driver.Option) bool { return o.Name == name })
	}
	out := map[string]any{}
	for _, name := range sortedKeys(r.props) {
		if takes(name) {
			out[name] = c.named(r.props[name])
		}
	}
	if r.kind.core == "network" && c.isRecordedKind("subnet") {
		if s := c.subnetOf(r); s != nil {
			if takes("cidr") && s.text("cidr") != "" {
				out["cidr"] = s.text("cidr")
			}
			if takes("gateway") && s.text("gateway_ip") != "" {
				out["gateway"] = s.text("gateway_ip")
			}
		}
	}
	return out
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
