package openstack

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/driver"
)

// body is what Neutron is asked for to make a resource.
func (c *cloud) body(ctx context.Context, s *services, req *driver.ResourceRequest, options map[string]any) (fields, error) {
	text := func(name string) string { return driver.Get[string](options, name) }
	body := fields{}
	switch req.Kind {
	case "network":
		if !driver.Get[bool](options, "port_security") {
			body["port_security_enabled"] = false
		}
		_, err := c.subnetOf(req, options)
		return body, err
	case "subnet":
		body, err := c.subnetOf(req, options)
		if err != nil {
			return nil, err
		}
		n, err := c.reference(ctx, s, networks, "network", req.Service, text("network"))
		body["network_id"] = n.ID
		return body, err
	case "router":
		if text("external") == "" {
			return body, nil
		}
		id, err := c.pool(ctx, s, text("external"), "external")
		body["external_gateway_info"] = fields{"network_id": id}
		return body, err
	case "port":
		return c.portBody(ctx, s, req, options)
	case "floating_ip":
		id, err := c.pool(ctx, s, text("pool"), "pool")
		body["floating_network_id"] = id
		if err == nil && text("port") != "" {
			var p item
			p, err = c.reference(ctx, s, ports, "port", req.Service, text("port"))
			body["port_id"] = p.ID
		}
		return body, err
	}
	_, err := rulesOf(driver.Get[[]string](options, "rules")) // of a security group
	return body, err
}

// subnetOf is a subnet but for its network; nil for none.
func (c *cloud) subnetOf(req *driver.ResourceRequest, options map[string]any) (fields, error) {
	cidr, gateway := driver.Get[string](options, "cidr"), driver.Get[string](options, "gateway")
	if cidr == "none" && req.Kind == "network" {
		return nil, nil
	}
	if cidr == "" {
		n, _ := strconv.ParseUint(digest(c.installation + string(req.ID))[:4], 16, 16)
		cidr = fmt.Sprintf("10.%d.%d.0/24", 128+n>>8%128, n%256)
	}
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return nil, refuse("cidr", fmt.Sprintf("%q: give a network such as 10.1.0.0/24", cidr))
	}
	body := fields{"cidr": prefix.Masked().String(), "ip_version": 4, "name": req.Name, "enable_dhcp": driver.Get[bool](options, "dhcp")}
	if prefix.Addr().Is6() {
		body["ip_version"] = 6
	}
	switch a, err := netip.ParseAddr(gateway); {
	case gateway == "none":
		body["gateway_ip"] = nil
	case gateway == "":
	case err != nil || !prefix.Contains(a):
		return nil, refuse("gateway", fmt.Sprintf("%q is no address of %s", gateway, cidr))
	default:
		body["gateway_ip"] = gateway
	}
	if dns := driver.Get[[]string](options, "dns"); len(dns) > 0 {
		body["dns_nameservers"] = dns
	}
	var pools []fields
	for _, pool := range driver.Get[[]string](options, "pools") {
		first, last, ok := strings.Cut(pool, "-")
		if !ok {
			return nil, refuse("pools", fmt.Sprintf("%q: give FIRST-LAST", pool))
		}
		pools = append(pools, fields{"start": strings.TrimSpace(first), "end": strings.TrimSpace(last)})
	}
	if pools != nil {
		body["allocation_pools"] = pools
	}
	return body, nil
}

func (c *cloud) portBody(ctx context.Context, s *services, req *driver.ResourceRequest, options map[string]any) (fields, error) {
	n, err := c.reference(ctx, s, networks, "network", req.Service, driver.Get[string](options, "network"))
	if err != nil {
		return nil, err
	}
	body := fields{"network_id": n.ID}
	own := fields{}
	if address := driver.Get[string](options, "address"); address != "" {
		if _, err := netip.ParseAddr(address); err != nil {
			return nil, refuse("address", fmt.Sprintf("%q is no IP address", address))
		}
		own["ip_address"] = address
	}
	if name := driver.Get[string](options, "subnet"); name != "" {
		sub, err := c.reference(ctx, s, subnets, "subnet", req.Service, name)
		if err != nil {
			return nil, err
		}
		own["subnet_id"] = sub.ID
	}
	if len(own) > 0 {
		body["fixed_ips"] = []fields{own}
	}
	if groups := driver.Get[[]string](options, "security_groups"); len(groups) > 0 {
		ids := make([]string, len(groups))
		for i, group := range groups {
			g, err := c.reference(ctx, s, securityGroups, "security_groups", req.Service, group)
			if err != nil {
				return nil, err
			}
			ids[i] = g.ID
		}
		body["security_groups"] = ids
	}
	var pairs []fields
	for _, a := range driver.Get[[]string](options, "allowed_addresses") {
		pairs = append(pairs, fields{"ip_address": a})
	}
	if pairs != nil {
		body["allowed_address_pairs"] = pairs
	}
	return body, nil
}

// complete makes what a resource has besides itself, as far as that is not there.
func (c *cloud) complete(ctx context.Context, s *services, req *driver.ResourceRequest, options map[string]any, i item) error {
	switch req.Kind {
	case "network":
		return c.completeNetwork(ctx, s, req, options, i)
	case "subnet":
		return c.join(ctx, s, req.Service, driver.Get[string](options, "router"), i)
	case "router":
		for _, name := range driver.Get[[]string](options, "networks") {
			n, err := c.reference(ctx, s, networks, "networks", req.Service, name)
			if err != nil {
				return err
			}
			parts, err := s.list(ctx, subnets, "network_id", n.ID)
			if err != nil {
				return err
			}
			for _, sub := range parts {
				if err := s.joined(ctx, i.ID, sub.ID); err != nil {
					return err
				}
			}
		}
		for _, name := range driver.Get[[]string](options, "subnets") {
			sub, err := c.reference(ctx, s, subnets, "subnets", req.Service, name)
			if err == nil {
				err = s.joined(ctx, i.ID, sub.ID)
			}
			if err != nil {
				return err
			}
		}
	case "security_group":
		return c.completeRules(ctx, s, req, options, i)
	}
	return nil
}

func (c *cloud) completeNetwork(ctx context.Context, s *services, req *driver.ResourceRequest, options map[string]any, i item) error {
	body, err := c.subnetOf(req, options)
	if err != nil || body == nil {
		return err
	}
	have, err := s.list(ctx, subnets, "network_id", i.ID)
	if err != nil {
		return err
	}
	var sub item
	if len(have) > 0 {
		sub = have[0]
	} else {
		body["network_id"] = i.ID
		if sub, err = c.post(ctx, s, subnets, body); err != nil {
			return err
		}
	}
	return c.join(ctx, s, req.Service, driver.Get[string](options, "router"), sub)
}

// join joins a subnet to the router that an option names, if it does.
func (c *cloud) join(ctx context.Context, s *services, service, router string, sub item) error {
	if router == "" {
		return nil
	}
	r, err := c.reference(ctx, s, routers, "router", service, router)
	if err != nil {
		return err
	}
	return s.joined(ctx, r.ID, sub.ID)
}

// joined joins a router and a subnet, if they are not.
func (s *services) joined(ctx context.Context, router, subnet string) error {
	have, err := s.list(ctx, ports, "device_id", router)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(have, func(p item) bool {
		return slices.ContainsFunc(p.FixedIPs, func(f fixed) bool { return f.Subnet == subnet })
	}) {
		return nil
	}
	return s.put(ctx, fields{"subnet_id": subnet}, routers.path, router, "add_router_interface")
}

// part takes a thing that is about to go from the routers that it is joined to, or a router from its networks.
func (c *cloud) part(ctx context.Context, s *services, kind collection, i *item) error {
	var query []string
	switch kind {
	case routers:
		query = []string{"device_id", i.ID}
	case networks:
		query = []string{"network_id", i.ID}
	case subnets:
		query = []string{"fixed_ips", "subnet_id=" + i.ID}
	default:
		return nil
	}
	joints, err := s.list(ctx, ports, query...)
	if err != nil {
		return err
	}
	for _, p := range joints {
		if !strings.HasPrefix(p.DeviceOwner, "network:") || !strings.Contains(p.DeviceOwner, "router") || p.DeviceOwner == "network:router_gateway" {
			continue
		}
		if err := gone(s.put(ctx, fields{"port_id": p.ID}, routers.path, p.DeviceID, "remove_router_interface")); err != nil {
			return err
		}
	}
	return nil
}
