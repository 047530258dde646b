package openstack

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/troupe-dev/troupe/driver"
)

// reserved is the end of the name of a port that was made to tell its address, and that no server has been asked for with.
const reserved = " (reserved)"

// portName is what the port of a machine in its nth network is called.
func portName(p *plan, n int) string { return p.name + "/" + strconv.Itoa(n) }

// attachments makes the machine's ports and names its first network in its metadata. again: there were ports of an
// earlier request for the same server. They are replaced, so that it can have no success any more.
func (c *cloud) attachments(ctx context.Context, s *services, p *plan, req *driver.Request) (nics []servers.Network, again bool, err error) {
	for _, name := range p.ports {
		port, err := c.reference(ctx, s, ports, "ports", req.Service, name)
		if err != nil {
			return nil, false, err
		}
		if err := c.nameNetwork(ctx, s, p, port.NetworkID); err != nil {
			return nil, false, err
		}
		nics = append(nics, servers.Network{Port: port.ID})
	}
	names := p.networks
	if len(names) == 0 && len(p.ports) == 0 {
		names = []string{""}
	}
	earlier, err := s.list(ctx, ports, "description", c.description("machine", req.ID))
	if err != nil {
		return nil, false, err
	}
	for n, name := range names {
		network, err := c.network(ctx, s, req.Service, name)
		if err != nil {
			return nil, false, err
		}
		if err := c.nameNetwork(ctx, s, p, network.ID); err != nil {
			return nil, false, err
		}
		port, replaced, err := c.ensurePort(ctx, s, p, req, network, n, earlier)
		if err != nil {
			return nil, false, err
		}
		nics, again = append(nics, servers.Network{Port: port.ID}), again || replaced
	}
	return nics, again, nil
}

// nameNetwork notes the name of the machine's first network, which Nova does not tell.
func (c *cloud) nameNetwork(ctx context.Context, s *services, p *plan, id string) error {
	if p.metadata[metaNetwork] != "" {
		return nil
	}
	name, err := c.names.of("network name "+id, func() (string, error) {
		n, err := s.get(ctx, networks, id)
		return n.Name, err
	})
	p.metadata[metaNetwork] = name
	return err
}

// network returns the network that a machine means; without a name it is the only one that the project has.
func (c *cloud) network(ctx context.Context, s *services, service, name string) (item, error) {
	if name != "" {
		return c.reference(ctx, s, networks, "networks", service, name)
	}
	all, err := s.list(ctx, networks, "router:external", "false")
	if err != nil {
		return item{}, err
	}
	all = slices.DeleteFunc(all, func(n item) bool { return strings.HasPrefix(n.Description, "Troupe ") })
	if len(all) != 1 {
		return item{}, refuse("networks", fmt.Sprintf("is not given, and the project has %d networks; name one", len(all)))
	}
	return all[0], nil
}

// ensurePort returns the machine's port in its nth network. One of an earlier request gives up its place, and passes on
// its address.
func (c *cloud) ensurePort(ctx context.Context, s *services, p *plan, req *driver.Request, network item, n int, earlier []item) (port item, replaced bool, err error) {
	address := ""
	if a := wish(req); a.IsValid() && n == 0 && !p.own() {
		address = a.String()
	}
	for _, old := range earlier {
		name, fresh := strings.CutSuffix(old.Name, reserved)
		if !strings.HasSuffix(name, "/"+strconv.Itoa(n)) {
			continue
		}
		if fresh && old.NetworkID == network.ID && old.DeviceID == "" {
			return old, replaced, s.put(ctx, fields{ports.one: fields{"name": portName(p, n)}}, ports.path, old.ID)
		}
		if old.NetworkID == network.ID {
			address = old.address()
		}
		if err := s.remove(ctx, ports, old.ID); err != nil {
			return item{}, false, err
		}
		replaced = true
	}
	port, err = c.makePort(ctx, s, p, req, network, portName(p, n), address)
	return port, replaced, err
}

// makePort makes a port, with an address if that is free.
func (c *cloud) makePort(ctx context.Context, s *services, p *plan, req *driver.Request, network item, name, address string) (item, error) {
	body := fields{"network_id": network.ID, "name": name, "description": c.description("machine", req.ID)}
	if len(p.groups) > 0 {
		ids := make([]string, len(p.groups))
		for i, group := range p.groups {
			g, err := c.reference(ctx, s, securityGroups, "security_groups", req.Service, group)
			if err != nil {
				return item{}, err
			}
			ids[i] = g.ID
		}
		body["security_groups"] = ids
	}
	if address != "" {
		body["fixed_ips"] = []fields{{"ip_address": address}}
		port, err := c.post(ctx, s, ports, body)
		if !addressRefused(err) {
			return port, problem(err)
		}
		delete(body, "fixed_ips") // it was a wish
	}
	port, err := c.post(ctx, s, ports, body)
	return port, problem(err)
}

// addressRefused reports whether a port was refused because of its address: another has it, it is none of the network's, or
// the network belongs to another project, whose alone the choice is then.
func addressRefused(err error) bool {
	answer, ok := answerOf(err)
	return ok && (answer.Actual == 409 && strings.Contains(string(answer.Body), "IpAddressAlreadyAllocated") || answer.Actual == 400 ||
		answer.Actual == 403 && strings.Contains(string(answer.Body), "fixed_ips"))
}

// Address makes the machine's first port, or its floating address, ahead of the machine.
func (c *cloud) Address(ctx context.Context, req driver.Request) (string, error) {
	address, err := claimed(ctx, c, req.ID, func() (string, error) { return c.reserve(ctx, &req) })
	if err != nil {
		return "", failed(err, "reserve an address for %s", req.ID)
	}
	return address, nil
}

func (c *cloud) reserve(ctx context.Context, req *driver.Request) (string, error) {
	p, err := c.newPlan(req)
	if err != nil {
		return "", err
	}
	s, err := c.connect(ctx)
	if err != nil {
		return "", err
	}
	if p.floating != "" {
		f, err := c.floating(ctx, s, p, req)
		return f.Floating, err
	}
	if len(p.ports) > 0 {
		port, err := c.reference(ctx, s, ports, "ports", req.Service, p.ports[0])
		return port.address(), err
	}
	earlier, err := s.list(ctx, ports, "description", c.description("machine", req.ID))
	if err != nil {
		return "", err
	}
	for _, port := range earlier {
		if strings.HasSuffix(strings.TrimSuffix(port.Name, reserved), "/0") {
			return port.address(), nil
		}
	}
	name := ""
	if len(p.networks) > 0 {
		name = p.networks[0]
	}
	network, err := c.network(ctx, s, req.Service, name)
	if err != nil {
		return "", err
	}
	address := ""
	if a := wish(req); a.IsValid() {
		address = a.String()
	}
	port, err := c.makePort(ctx, s, p, req, network, portName(p, 0)+reserved, address)
	return port.address(), err
}

// floating returns the floating address that the machine means. One of its own is made if it is not there.
func (c *cloud) floating(ctx context.Context, s *services, p *plan, req *driver.Request) (item, error) {
	if !p.own() {
		if a := p.floating; strings.ContainsAny(a, ".:") {
			found, err := s.list(ctx, floatings, "floating_ip_address", a)
			if err == nil && len(found) == 0 {
				err = refuse("floating_ip", fmt.Sprintf("the project has no floating address %s", a))
			}
			if err != nil {
				return item{}, err
			}
			if c.foreign(&found[0], req.Service) {
				return item{}, refuse("floating_ip", a+" belongs to another service or machine")
			}
			return found[0], nil
		}
		return c.reference(ctx, s, floatings, "floating_ip", req.Service, p.floating)
	}
	description := c.description("machine", req.ID)
	found, err := s.list(ctx, floatings, "description", description)
	if err != nil {
		return item{}, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	pool, err := c.pool(ctx, s, p.pool, "floating_ip_pool")
	if err != nil {
		return item{}, err
	}
	f, err := c.post(ctx, s, floatings, fields{"floating_network_id": pool, "description": description})
	return f, problem(err)
}

// pool returns the id of an external network; without a name, of the only one.
func (c *cloud) pool(ctx context.Context, s *services, name, option string) (string, error) {
	query := []string{"router:external", "true"}
	if name != "" {
		query = append(query, map[bool]string{true: "id", false: "name"}[isID(name)], name)
	}
	found, err := s.list(ctx, networks, query...)
	switch {
	case err != nil:
		return "", err
	case len(found) == 1:
		return found[0].ID, nil
	case name == "":
		return "", refuse(option, fmt.Sprintf("is not given, and there are %d external networks; name one", len(found)))
	}
	return "", refuse(option, fmt.Sprintf("there is no one external network %q", name))
}

// bindFloating gives the machine its floating address. One that another machine has is not taken away.
func (c *cloud) bindFloating(ctx context.Context, s *services, p *plan, req *driver.Request) (string, error) {
	f, err := c.floating(ctx, s, p, req)
	if err != nil {
		return "", err
	}
	found, err := c.serversOf(ctx, s, req.ID)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%w: somebody removed the server while it was made", driver.ErrUnavailable)
	}
	port, err := c.firstPort(ctx, s, p, req, found[0].ID)
	if err != nil {
		return "", err
	}
	switch f.PortID {
	case port.ID:
		return f.Floating, nil
	case "":
	default:
		return "", fmt.Errorf("%w: floating address %s belongs to another port", driver.ErrCapacity, f.Floating)
	}
	inner, cancel := c.making(ctx)
	defer cancel()
	_, err = s.neutron.Put(inner, s.neutron.ServiceURL(floatings.path, f.ID), fields{floatings.one: fields{"port_id": port.ID}}, nil,
		&gophercloud.RequestOpts{OkCodes: []int{200}, MoreHeaders: map[string]string{"If-Match": "revision_number=" + strconv.Itoa(f.Revision)}})
	return f.Floating, problem(err)
}

// firstPort finds the port that a floating address leads to.
func (c *cloud) firstPort(ctx context.Context, s *services, p *plan, req *driver.Request, server string) (item, error) {
	if len(p.ports) > 0 {
		return c.reference(ctx, s, ports, "ports", req.Service, p.ports[0])
	}
	list, err := s.list(ctx, ports, "description", c.description("machine", req.ID))
	for _, port := range list {
		if strings.HasSuffix(port.Name, "/0") {
			return port, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%w: server %s has lost its first port", driver.ErrUnavailable, server)
	}
	return item{}, err
}
