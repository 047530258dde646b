package openstack

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/driver"
)

var resourceKinds = []driver.ResourceKind{
	{Name: "network", Help: "A network of the project with one subnet.", Options: []driver.Option{
		{Name: "cidr", Type: driver.String, Examples: []string{"10.1.0.0/24"}, Help: "The subnet's addresses; one of 10.128.0.0 and up if absent, or none for a network without a subnet."},
		{Name: "gateway", Type: driver.String, Help: "The address of its gateway, or none; the first of cidr if absent."},
		{Name: "dns", Type: driver.List, Help: "Addresses of its name servers."},
		{Name: "dhcp", Type: driver.Bool, Default: true, Help: "Whether machines are told their addresses by DHCP."},
		{Name: "router", Type: driver.String, Help: "The router that it is joined to: a resource of the service by its name, or else one of the project by name or id."},
		{Name: "port_security", Type: driver.Bool, Default: true, Advanced: true, Help: "Whether its ports have security groups."},
	}},
	{Name: "subnet", Help: "A further subnet of a network.", Options: []driver.Option{
		{Name: "network", Type: driver.String, Required: true, Help: "The network: a resource of the service by its name, or else one of the project by name or id."},
		{Name: "cidr", Type: driver.String, Examples: []string{"10.1.0.0/24", "fd00:1::/64"}, Help: "Its addresses; one of 10.128.0.0 and up if absent."},
		{Name: "gateway", Type: driver.String, Help: "The address of its gateway, or none; the first of cidr if absent."},
		{Name: "dns", Type: driver.List, Help: "Addresses of its name servers."},
		{Name: "dhcp", Type: driver.Bool, Default: true, Help: "Whether machines are told their addresses by DHCP."},
		{Name: "pools", Type: driver.List, Examples: []string{"[10.1.0.10-10.1.0.99]"}, Help: "The addresses that ports may get, FIRST-LAST; all if absent."},
		{Name: "router", Type: driver.String, Help: "The router that it is joined to."},
	}},
	{Name: "router", Help: "A router between networks, and to an external one.", Options: []driver.Option{
		{Name: "external", Type: driver.String, Examples: []string{"public"}, Help: "The external network that it leads to, by name or id; none if absent."},
		{Name: "networks", Type: driver.List, Help: "The networks that it joins, by their subnets: resources of the service by their names, or else those of the project by name or id."},
		{Name: "subnets", Type: driver.List, Help: "Single subnets that it joins; likewise."},
	}},
	{Name: "port", Help: "A port, whose addresses outlive the machine that has it.", Options: []driver.Option{
		{Name: "network", Type: driver.String, Required: true, Help: "The network: a resource of the service by its name, or else one of the project by name or id."},
		{Name: "address", Type: driver.String, Examples: []string{"10.1.0.5"}, Help: "Its address; any if absent."},
		{Name: "subnet", Type: driver.String, Help: "The subnet that its address is from, where the network has several."},
		{Name: "security_groups", Type: driver.List, Help: "Its security groups; the project's default if absent."},
		{Name: "allowed_addresses", Type: driver.List, Advanced: true, Help: "Further addresses or networks that may be used behind it."},
	}},
	{Name: "floating_ip", Help: "A floating address.", Options: []driver.Option{
		{Name: "pool", Type: driver.String, Examples: []string{"public"}, Help: "The external network that it is from; the only one if absent."},
		{Name: "port", Type: driver.String, Help: "The port that it leads to; machines take it by themselves (floating_ip) where there is none."},
	}},
	{Name: "security_group", Help: "Rules for what reaches machines.", Options: []driver.Option{
		{Name: "rules", Type: driver.List, Examples: []string{`["tcp 22", "tcp 80-90 from 10.0.0.0/8", "icmp", "any from web", "egress udp 53 to 8.8.8.8/32"]`},
			Help: "[egress] PROTOCOL [PORT[-PORT]] [from|to NETWORK|GROUP]. Everything may leave unless a rule begins with egress."},
	}},
	{Name: "volume", Help: "A volume, kept as long as its service.", Options: []driver.Option{
		{Name: "size", Type: driver.Int, Default: 10, Help: "GiB."},
		{Name: "type", Type: driver.String, Help: "Cinder's type of it."},
		{Name: "image", Type: driver.String, Help: "An image that it is filled with, by name or id."},
		{Name: "snapshot", Type: driver.String, Advanced: true, Help: "Id of a snapshot that it is filled with."},
		{Name: "availability_zone", Type: driver.String, Help: "Where it is."},
	}},
	{Name: "key", Help: "An SSH key pair, of which the cloud has the public half.", Options: []driver.Option{
		{Name: "public_key", Type: driver.String, Required: true, Help: "The public key, as in authorized_keys."},
	}},
	{Name: "server_group", Help: "Machines that Nova is to keep together or apart.", Options: []driver.Option{
		{Name: "policy", Type: driver.String, Default: "anti-affinity", Choices: []string{"affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"}, Help: "On one host, or on different ones; the soft ones where it can be."},
	}},
	{Name: "stack", Help: "A stack of Heat: a whole template that Heat makes and removes. Its outputs are those of the resource.", Options: []driver.Option{
		{Name: "template", Type: driver.String, Required: true, Help: "The text of the template."},
		{Name: "parameters", Type: driver.Map, Help: "Its parameters."},
		{Name: "environment", Type: driver.String, Help: "The text of an environment."},
		{Name: "files", Type: driver.Map, Help: "The texts of files that template and environment name (get_file, nested templates), by those names."},
		{Name: "timeout", Type: driver.Duration, Help: "How long Heat may take; an hour if absent."},
	}},
}

// collections are the kinds of resource that Neutron has, by their names here.
var collections = map[string]collection{"network": networks, "subnet": subnets, "router": routers, "port": ports, "floating_ip": floatings, "security_group": securityGroups}

// MakeResource makes a resource. What it consists of is looked for before it is made; its tags come last, so that a
// resource without them is not done.
func (c *cloud) MakeResource(ctx context.Context, req driver.ResourceRequest) (driver.Resource, error) {
	r, err := claimed(ctx, c, req.ID, func() (driver.Resource, error) { return c.makeResource(ctx, &req) })
	if err != nil {
		return driver.Resource{}, failed(err, "make %s %s", req.Kind, req.ID)
	}
	return r, nil
}

func (c *cloud) makeResource(ctx context.Context, req *driver.ResourceRequest) (driver.Resource, error) {
	kind, err := Kind().Resource(req.Kind)
	if err != nil {
		return driver.Resource{}, err
	}
	options, err := kind.Check(req.Options)
	if err != nil {
		return driver.Resource{}, err
	}
	s, err := c.connect(ctx)
	if err != nil {
		return driver.Resource{}, err
	}
	switch req.Kind {
	case "volume":
		return c.volumeResource(ctx, s, req, options)
	case "key":
		return c.keyResource(ctx, s, req, options)
	case "server_group":
		return c.groupResource(ctx, s, req, options)
	case "stack":
		return c.stackResource(ctx, req, options)
	}
	r, err := c.neutronResource(ctx, s, req, options)
	if err = classed(err); err != nil && driver.Definite(err) {
		if _, rerr := c.removeNeutron(ctx, s, req.ID); rerr != nil {
			return r, fmt.Errorf("%w: %v; and what was made of it could not be removed: %v", driver.ErrUnavailable, err, classed(rerr))
		}
	}
	return r, err
}

// neutronResource makes what Neutron has.
func (c *cloud) neutronResource(ctx context.Context, s *services, req *driver.ResourceRequest, options map[string]any) (driver.Resource, error) {
	kind := collections[req.Kind]
	found, err := s.list(ctx, kind, "description", c.description("resource", req.ID))
	if err != nil {
		return driver.Resource{}, err
	}
	var i item
	if len(found) > 0 {
		i = found[0]
	} else {
		body, err := c.body(ctx, s, req, options)
		if err != nil {
			return driver.Resource{}, err
		}
		body["description"] = c.description("resource", req.ID)
		if req.Kind != "floating_ip" {
			body["name"] = req.Name
		}
		if i, err = c.post(ctx, s, kind, body); err != nil {
			return driver.Resource{}, problem(err)
		}
	}
	if err := c.complete(ctx, s, req, options, i); err != nil {
		return driver.Resource{}, problem(err)
	}
	if !slices.Contains(i.Tags, c.mark()) {
		tags := []string{c.mark(), serviceTag(req.Service), keyTag(req.Key), generationTag + strconv.FormatUint(req.Generation, 10)}
		if err := s.put(ctx, fields{"tags": tags}, kind.path, i.ID, "tags"); err != nil {
			return driver.Resource{}, err
		}
	}
	if i, err = s.get(ctx, kind, i.ID); err != nil {
		return driver.Resource{}, err
	}
	nets, err := c.subnetsOf(ctx, s, req.Kind, i.ID)
	return c.showItem(req.Kind, &i, nets), err
}

const generationTag = "generation="

// showItem tells of one thing of Neutron's.
func (c *cloud) showItem(kind string, i *item, nets []item) driver.Resource {
	r := driver.Resource{Native: i.ID, State: driver.Running, Outputs: map[string]string{"id": i.ID}}
	if id, ok := strings.CutPrefix(i.Description, c.description("resource", "")); ok {
		r.ID = driver.MachineID(id)
	}
	for _, t := range i.Tags {
		if g, ok := strings.CutPrefix(t, generationTag); ok {
			r.Generation, _ = strconv.ParseUint(g, 10, 64)
		}
	}
	out := func(name, value string) {
		if value != "" {
			r.Outputs[name] = value
		}
	}
	out("name", i.Name)
	switch kind {
	case "network":
		for _, n := range nets {
			if n.NetworkID == i.ID && r.Outputs["subnet"] == "" {
				out("subnet", n.ID)
				out("cidr", n.CIDR)
				out("gateway", n.GatewayIP)
			}
		}
	case "subnet":
		out("network", i.NetworkID)
		out("cidr", i.CIDR)
		out("gateway", i.GatewayIP)
	case "router":
		if i.Gateway != nil && len(i.Gateway.FixedIPs) > 0 {
			out("address", i.Gateway.FixedIPs[0].Address)
		}
	case "port":
		out("network", i.NetworkID)
		out("address", i.address())
		out("mac", i.MAC)
	case "floating_ip":
		out("address", i.Floating)
	}
	if i.Status == "ERROR" {
		r.State, r.Reason = driver.Failed, "Neutron says that it is in state ERROR"
	}
	return r
}

// subnetsOf returns the subnets of one network, or all where that is "". Other kinds have none.
func (c *cloud) subnetsOf(ctx context.Context, s *services, kind, network string) ([]item, error) {
	if kind != "network" {
		return nil, nil
	}
	if network == "" {
		return s.list(ctx, subnets)
	}
	return s.list(ctx, subnets, "network_id", network)
}

// RemoveResource removes what bears the resource's id.
func (c *cloud) RemoveResource(ctx context.Context, ref driver.Ref) error {
	release, err := c.claims.Claim(ctx, ref.ID)
	if err != nil {
		return failed(err, "remove %s", ref.ID)
	}
	defer release()
	s, err := c.connect(ctx)
	found := false
	if err == nil {
		found, err = c.removeNeutron(ctx, s, ref.ID)
	}
	if err == nil && !found { // it is one thing
		err = c.removeOther(ctx, s, ref.ID)
	}
	if err == nil && !found && s.heat != nil {
		err = c.deleteStack(ctx, ref.ID)
	}
	if err != nil {
		return failed(err, "remove %s", ref.ID)
	}
	return nil
}

// removeNeutron reports whether there was something of Neutron's to remove.
func (c *cloud) removeNeutron(ctx context.Context, s *services, id driver.MachineID) (there bool, err error) {
	for _, kind := range []collection{floatings, routers, ports, subnets, networks, securityGroups} {
		found, err := s.list(ctx, kind, "description", c.description("resource", id))
		if err != nil {
			return false, err
		}
		for i := range found {
			if err := c.part(ctx, s, kind, &found[i]); err != nil {
				return true, err
			}
			if err := s.remove(ctx, kind, found[i].ID); err != nil {
				return true, err
			}
		}
		if len(found) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// ListResources yields the resources of all kinds: one question for each kind.
func (c *cloud) ListResources(ctx context.Context) iter.Seq2[driver.Resource, error] {
	return func(yield func(driver.Resource, error) bool) {
		s, err := c.connect(ctx)
		if err != nil {
			yield(driver.Resource{}, failed(err, "list resources"))
			return
		}
		for _, kind := range resourceKinds {
			list, err := c.listKind(ctx, s, kind.Name)
			if err != nil {
				yield(driver.Resource{}, failed(err, "list resources"))
				return
			}
			for _, r := range list {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

func (c *cloud) listKind(ctx context.Context, s *services, kind string) (out []driver.Resource, err error) {
	if kind == "volume" || kind == "key" || kind == "server_group" {
		return c.listOther(ctx, s, kind)
	}
	if kind == "stack" {
		return c.stackResources(ctx)
	}
	found, err := s.list(ctx, collections[kind], "tags", c.mark())
	var nets []item
	if err == nil && len(found) > 0 {
		nets, err = c.subnetsOf(ctx, s, kind, "")
	}
	for i := range found {
		if r := c.showItem(kind, &found[i], nets); r.ID != "" {
			out = append(out, r)
		}
	}
	return out, err
}
