package hot

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// reference returns what get_resource is.
func (r *resource) reference(at tree.Place) (any, error) {
	if r.kind.class != asGroup && r.kind.class != asStack {
		if _, err := r.properties(); err != nil && err != errNoted {
			return nil, err
		}
	}
	switch {
	case r.kind.reference != nil:
		v, err := r.kind.reference(r)
		return v, located(at, err)
	case r.kind.class == asRole:
		return r.mark(ofRole, 0, "uuid")
	case r.kind.class == asResource:
		return r.mark(ofResource, 0, "id")
	case r.kind.class == asGroup:
		if err := r.expand(); err != nil {
			return nil, err
		}
	}
	return r.node, nil
}

// attribute returns what get_attr is.
func (r *resource) attribute(at tree.Place, path []any) (any, error) {
	if len(path) == 0 {
		path = []any{"show"}
	}
	name := scalarText(path[0])
	if r.kind.class == asGroup || r.kind.class == asStack {
		if err := r.expand(); err != nil {
			return nil, err
		}
	} else if _, err := r.properties(); err != nil && err != errNoted {
		return nil, err
	}
	var v any
	var err error
	switch r.kind.class {
	case asGroup:
		return r.groupAttribute(at, name, path[1:])
	case asStack:
		v, err = r.stackAttribute(name)
	default:
		v, err = r.ownAttribute(name)
	}
	if err == nil {
		v, err = dig(v, path[1:])
	}
	return v, located(at, err)
}

// ownAttribute is an attribute of a single resource.
func (r *resource) ownAttribute(name string) (any, error) {
	if name == "show" {
		return r.show()
	}
	known := r.kind.attributes
	if known != nil && !slices.Contains(known, name) {
		return nil, fmt.Errorf("%s has no attribute %q%s", r.kind.name, name, nearest.Hint(name, append(slices.Clone(known), "show")))
	}
	if r.kind.attribute != nil {
		return r.kind.attribute(r, name)
	}
	return recordedAttribute(r, name)
}

// show is what is known of a resource as a whole.
func (r *resource) show() (any, error) {
	out := map[string]any{}
	id, err := r.reference(r.place)
	if err != nil {
		return nil, err
	}
	out["id"] = id
	for _, name := range r.kind.attributes {
		v, err := r.ownAttribute(name)
		if err != nil {
			return nil, err
		}
		if v != nil {
			out[name] = v
		}
	}
	return out, nil
}

// recordedAttribute is what a resource that the service keeps says of itself: what it was made with, and what the service
// knows of it.
func recordedAttribute(r *resource, name string) (any, error) {
	switch v, ok := r.props[name]; {
	case name == "name" && ok && scalarText(v) != "":
		return v, nil
	case name == "name":
		return r.mark(ofResource, 0, "name")
	case name == "id":
		return r.mark(ofResource, 0, "id")
	case ok:
		return v, nil
	}
	switch name {
	case "status":
		return "ACTIVE", nil
	case "admin_state_up":
		return true, nil
	case "tenant_id":
		return r.s.e.opts.Project, nil
	case "mtu":
		return 1500, nil
	case "network_id", "floating_network_id":
		return r.props[strings.TrimSuffix(name, "_id")], nil
	}
	return nil, nil
}

// propertyAttribute is what a resource was given.
func propertyAttribute(r *resource, name string) (any, error) {
	if v, ok := r.props[name]; ok {
		return v, nil
	}
	return "", nil
}

// named is a property that names the resource, or else its own name.
func (r *resource) named(property string) string {
	if v := r.text(property); v != "" {
		return v
	}
	return r.node
}

func subnetAttribute(r *resource, name string) (any, error) {
	if v, ok := r.props[name]; ok {
		return v, nil
	}
	cidr, err := netip.ParsePrefix(r.text("cidr"))
	switch name {
	case "network_id", "network":
		for _, k := range []string{"network", "network_id"} {
			if v, ok := r.props[k]; ok {
				return v, nil
			}
		}
	case "gateway_ip":
		if err == nil {
			return cidr.Masked().Addr().Next().String(), nil
		}
	case "allocation_pools":
		if err == nil {
			return []any{map[string]any{"start": cidr.Masked().Addr().Next().Next().String(), "end": lastOf(cidr).Prev().String()}}, nil
		}
	case "ip_version":
		if err == nil && cidr.Addr().Is6() {
			return 6, nil
		}
		return 4, nil
	case "enable_dhcp":
		return true, nil
	case "dns_nameservers", "host_routes":
		return []any{}, nil
	}
	return recordedAttribute(r, name)
}

// lastOf returns the last address of a range.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func portAttribute(r *resource, name string) (any, error) {
	switch name {
	case "fixed_ips":
		address, err := r.mark(ofResource, 0, "address")
		if err != nil {
			return nil, err
		}
		subnet := any("")
		for _, v := range r.list("fixed_ips") {
			m, _ := v.(map[string]any)
			for _, k := range []string{"subnet", "subnet_id"} {
				if m[k] != nil {
					subnet = m[k]
				}
			}
		}
		return []any{map[string]any{"ip_address": address, "subnet_id": subnet}}, nil
	case "mac_address":
		if v, ok := r.props[name]; ok {
			return v, nil
		}
		return r.mark(ofResource, 0, "mac")
	case "security_groups", "subnets", "allowed_address_pairs", "dns_assignment":
		if v, ok := r.props[name]; ok {
			return v, nil
		}
		return []any{}, nil
	case "port_security_enabled":
		return true, nil
	}
	return recordedAttribute(r, name)
}

// floatingAttribute is what a floating address says: it is the address of what it is associated with, since nothing
// translates addresses here; one that is not associated has one of its own.
func floatingAttribute(r *resource, name string) (any, error) {
	switch name {
	case "floating_ip_address", "ip":
		if v := r.text("floating_ip_address"); v != "" {
			return v, nil
		}
		if v, err := r.associated(); v != "" || err != nil {
			return v, err
		}
		return r.mark(ofResource, 0, "address")
	case "fixed_ip_address":
		if v := r.text("fixed_ip_address"); v != "" {
			return v, nil
		}
		return r.associated()
	case "port_id", "router_id", "pool":
		return r.text(name), nil
	}
	return recordedAttribute(r, name)
}

// associated returns the address that a floating address stands for; "" for none.
func (r *resource) associated() (string, error) {
	if at := r.s.e.byMark(r.props["port_id"]); at != nil {
		return at.mark(ofResource, 0, "address")
	}
	self, _ := r.mark(ofResource, 0, "id")
	for _, x := range r.s.all {
		if x.off || x.kind.core != "floating_ip_association" || x.state == 1 {
			continue
		}
		if _, err := x.properties(); err != nil && err != errNoted {
			return "", err
		}
		if x.text("floatingip_id") != self && x.text("floating_ip") != self {
			continue
		}
		if at := x.s.e.byMark(x.props["port_id"]); at != nil {
			return at.mark(ofResource, 0, "address")
		}
		if at := x.s.e.byMark(x.props["server_id"]); at != nil {
			return at.mark(ofRole, 0, "address")
		}
	}
	return "", nil
}

// byMark returns the resource whose id a value is; nil for none of the stack's.
func (e *evaluation) byMark(v any) *resource {
	t, ok := e.only(v)
	if !ok {
		return nil
	}
	return e.byNode[t.node]
}

func serverAttribute(r *resource, name string) (any, error) { return r.instanceAttribute(name, 0) }

// instanceAttribute is an attribute of one machine of a role.
func (r *resource) instanceAttribute(name string, index int) (any, error) {
	switch name {
	case "first_address", "accessIPv4":
		return r.mark(ofRole, index, "address")
	case "accessIPv6", "os_collect_config", "server_groups", "console_urls":
		return map[string]any{"accessIPv6": "", "os_collect_config": map[string]any{}, "server_groups": []any{}, "console_urls": wild{map[string]any{}, ""}}[name], nil
	case "status":
		return "ACTIVE", nil
	case "id":
		return r.mark(ofRole, index, "uuid")
	case "tags":
		return r.props["tags"], nil
	case "name", "instance_name":
		if v, ok := r.props["name"]; ok && name == "name" && index == 0 {
			return v, nil
		}
		return r.mark(ofRole, index, "name")
	}
	nics, err := r.nics(index)
	if err != nil {
		return nil, err
	}
	w := wild{known: map[string]any{}}
	for i, n := range nics {
		one := any(n.address)
		if name == "addresses" {
			one = map[string]any{"addr": n.address, "version": 4, "port": n.port, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": ""}
		}
		list := []any{one}
		if before, ok := w.known[n.name].([]any); ok {
			list = append(before, one)
		}
		w.known[n.name] = list
		if i == 0 {
			w.other = list
		}
	}
	return w, nil
}

// A nic is one of a server's places in a network.
type nic struct{ name, address, port string }

func (r *resource) nics(index int) ([]nic, error) {
	networks := r.list("networks")
	if len(networks) == 0 {
		networks = []any{map[string]any{"network": "private"}}
	}
	var out []nic
	for i, v := range networks {
		m, _ := v.(map[string]any)
		field := "address"
		if i > 0 {
			field = "address." + strconv.Itoa(i)
		}
		n := nic{name: "private"}
		var err error
		if n.address, err = r.mark(ofRole, index, field); err != nil {
			return nil, err
		}
		if port := r.s.e.byMark(m["port"]); port != nil && port.kind.core == "port" {
			n.port = scalarText(m["port"])
			if n.address, err = port.mark(ofResource, 0, "address"); err != nil {
				return nil, err
			}
			m = port.props
		}
		for _, key := range []string{"network", "network_id", "uuid"} {
			if v := scalarText(m[key]); v != "" {
				n.name = v
				if net := r.s.e.byMark(v); net != nil {
					n.name = net.named("name")
				}
			}
		}
		out = append(out, n)
	}
	return out, nil
}
