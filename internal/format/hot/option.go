package hot

import (
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/driver"
)

// translated are what the properties of a resource are called as options of the drivers that make such things: by core
// kind, option and property. Ids of other resources become their names.
var translated = map[string]map[string][]string{
	"network":        {"port_security": {"port_security_enabled"}},
	"subnet":         {"network": {"network", "network_id"}, "gateway": {"gateway_ip"}, "dns": {"dns_nameservers"}, "dhcp": {"enable_dhcp"}},
	"port":           {"network": {"network", "network_id"}},
	"floating_ip":    {"pool": {"floating_network", "floating_network_id", "pool"}, "port": {"port_id"}},
	"volume":         {"type": {"volume_type"}, "snapshot": {"snapshot_id"}},
	"key":            {"public_key": {"public_key"}},
	"server_group":   {"policy": {"policies"}},
	"router":         {},
	"security_group": {},
}

// resourceOptions are the driver's options of a resource: those that have the names of its properties, and those that
// say the same in other words.
func (c *compiler) resourceOptions(r *resource) map[string]any {
	kind, err := c.kind.Resource(r.kind.core)
	if err != nil {
		return nil
	}
	out := map[string]any{}
	set := func(name string, v any) {
		if v != nil && slices.ContainsFunc(kind.Options, func(o driver.Option) bool { return o.Name == name }) {
			out[name] = v
		}
	}
	for _, name := range sortedKeys(r.props) {
		set(name, c.named(r.props[name]))
	}
	for option, names := range translated[r.kind.core] {
		for _, name := range names {
			v := c.named(r.props[name])
			if list, ok := v.([]any); ok && option == "policy" && len(list) > 0 {
				v = list[0]
			}
			set(option, v)
		}
	}
	switch r.kind.core {
	case "network":
		c.networkOptions(r, set)
	case "subnet":
		set("pools", poolsOf(r))
	case "router":
		c.routerOptions(r, set)
	case "port":
		c.portOptions(r, set)
	case "security_group":
		delete(out, "rules")
		set("rules", c.rulesOf(r))
	}
	return out
}

// networkOptions gives a network the addresses of its first subnet, where the driver makes no subnets.
func (c *compiler) networkOptions(r *resource, set func(string, any)) {
	if !c.isRecordedKind("subnet") {
		set("cidr", "none") // its subnets are resources of their own
		return
	}
	s := c.subnetOf(r)
	if s == nil {
		return
	}
	set("cidr", s.text("cidr"))
	if gateway := s.text("gateway_ip"); gateway != "" {
		set("gateway", gateway)
	}
}

func poolsOf(r *resource) any {
	var pools []any
	for _, v := range r.list("allocation_pools") {
		m, _ := v.(map[string]any)
		pools = append(pools, scalarText(m["start"])+"-"+scalarText(m["end"]))
	}
	if pools == nil {
		return nil
	}
	return pools
}

// routerOptions joins a router to the external network and to the subnets of its interfaces.
func (c *compiler) routerOptions(r *resource, set func(string, any)) {
	if external := c.nodeOf(r.mapping("external_gateway_info")["network"]); external != nil {
		set("external", external)
	}
	var subnets []any
	for _, x := range c.things {
		if c.byMark(x.props["router"]) != r && c.byMark(x.props["router_id"]) != r {
			continue
		}
		for _, key := range []string{"subnet", "subnet_id"} {
			if v := x.props[key]; v != nil && x.kind.core == "router_interface" {
				subnets = append(subnets, c.nodeOf(v))
			}
		}
		for _, key := range []string{"network", "network_id"} {
			if v := x.props[key]; v != nil && x.kind.core == "router_gateway" {
				set("external", c.nodeOf(v))
			}
		}
	}
	if subnets != nil {
		set("subnets", subnets)
	}
}

// portOptions are the address and the subnet of a port's first fixed address, and what may be used behind it.
func (c *compiler) portOptions(r *resource, set func(string, any)) {
	for _, v := range r.list("fixed_ips")[:min(1, len(r.list("fixed_ips")))] {
		m, _ := v.(map[string]any)
		set("address", m["ip_address"])
		for _, key := range []string{"subnet", "subnet_id"} {
			set("subnet", c.nodeOf(m[key]))
		}
	}
	var allowed []any
	for _, v := range r.list("allowed_address_pairs") {
		m, _ := v.(map[string]any)
		allowed = append(allowed, m["ip_address"])
	}
	if allowed != nil {
		set("allowed_addresses", allowed)
	}
}

// rulesOf writes the rules of a security group as drivers take them: tcp 22 from 10.0.0.0/8.
func (c *compiler) rulesOf(r *resource) any {
	var rules []any
	add := func(m map[string]any) {
		protocol := strings.ToLower(scalarText(m["protocol"]))
		if protocol == "" || protocol == "-1" {
			protocol = "any"
		}
		text, way := protocol, "from"
		if scalarText(m["direction"]) == "egress" {
			text, way = "egress "+protocol, "to"
		}
		if low, high := scalarText(m["port_range_min"]), scalarText(m["port_range_max"]); low != "" && (protocol == "tcp" || protocol == "udp") {
			if text += " " + low; high != "" && high != low {
				text += "-" + high
			}
		}
		for _, key := range []string{"remote_ip_prefix", "remote_group", "remote_group_id"} {
			if v := m[key]; v != nil && scalarText(v) != "" {
				text += fmt.Sprintf(" %s %s", way, scalarText(c.nodeOf(v)))
				break
			}
		}
		rules = append(rules, text)
	}
	for _, v := range r.list("rules") {
		if m, ok := v.(map[string]any); ok {
			add(m)
		}
	}
	for key, direction := range map[string]string{"SecurityGroupIngress": "ingress", "SecurityGroupEgress": "egress"} {
		for _, v := range r.list(key) {
			m, _ := v.(map[string]any)
			add(map[string]any{"direction": direction, "protocol": m["IpProtocol"], "port_range_min": m["FromPort"], "port_range_max": m["ToPort"], "remote_ip_prefix": m["CidrIp"]})
		}
	}
	for _, x := range c.things {
		if x.kind.core == "security_group_rule" && c.byMark(x.props["security_group"]) == r {
			add(x.props)
		}
	}
	if rules == nil {
		return nil
	}
	return rules
}

// inCloud gives a server the ports, keys and groups that the driver makes, under the names that it has options for.
func (c *compiler) inCloud(b *roleBuild, options map[string]any) {
	var ports, networks []any
	for _, v := range b.r.list("networks") {
		m, _ := v.(map[string]any)
		if p := c.byMark(m["port"]); p != nil && !c.isRecorded(p) {
			b.needs[p.node] = true
			ports = append(ports, p.node)
			continue
		}
		for _, key := range []string{"network", "network_id", "uuid"} {
			if v := m[key]; v != nil {
				networks = append(networks, c.nodeOf(v))
			}
		}
	}
	set := func(name string, v any) {
		if c.takes(name) {
			options[name] = v
		}
	}
	if c.takes("ports") { // networks are named there as well, those of the stack and others
		if ports != nil {
			set("ports", ports)
		}
		if networks != nil {
			set("networks", networks)
		}
	}
	if key := b.r.text("key_name"); key != "" && c.takes("key") {
		for x := range b.r.uses {
			if x.kind.core == "key" && x.named("name") == key && !c.isRecorded(x) {
				key = x.node
				b.needs[key] = true
			}
		}
		set("key", key)
	}
	if group := c.byMark(b.r.mapping("scheduler_hints")["group"]); group != nil && !c.isRecorded(group) {
		b.needs[group.node] = true
		set("server_group", group.node)
	}
}
