package hot

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
)

const updated = `
heat_template_version: 2018-08-31
parameters: {greeting: {type: string, default: hello}, other: {type: string, default: a}, fixed: {type: string, default: f, immutable: true}}
resources:
  net: {type: OS::Neutron::Net}
  sub: {type: OS::Neutron::Subnet, properties: {network: {get_resource: net}, cidr: 10.0.0.0/24}}
  port: {type: OS::Neutron::Port, properties: {network: {get_resource: net}}}
  group: {type: OS::Neutron::SecurityGroup, properties: {rules: [{protocol: icmp}]}}
  web: {type: OS::Nova::Server, properties: {name: web, flavor: m1.tiny, networks: [{port: {get_resource: port}}], user_data: {get_param: greeting}}}
  db: {type: OS::Nova::Server, properties: {flavor: m1.tiny, metadata: {k: v}, user_data: {get_param: other}}}
outputs: {net: {value: {get_resource: net}}}
`

// What an update does to the machines: as little as what has changed asks for.
func TestUpdate(t *testing.T) {
	for _, c := range []struct {
		what, old, new string
		parameters     map[string]any
		did            []string
	}{
		{what: "nothing"},
		{what: "a property that machines do not show", old: "name: web", new: "name: other"},
		{what: "metadata", old: "k: v", new: "k: w"},
		{what: "a security group", old: "metadata: {k: v}", new: "security_groups: [{get_resource: group}]"},
		{what: "a rule", old: "icmp", new: "tcp"},
		{what: "user data of one", parameters: map[string]any{"other": "b"}, did: []string{"create db", "destroy db"}},
		{what: "user data of one with a port", parameters: map[string]any{"greeting": "ho"}, did: []string{"destroy web", "create web"}},
		{what: "the flavor", old: "flavor: m1.tiny, metadata", new: "flavor: m1.small, metadata", did: []string{"create db", "destroy db"}},
		{what: "the name of a server that keeps its port", old: "  web:", new: "  web_1:", did: []string{"destroy web", "create web_1"}},
		{what: "the name of a server without one", old: "  db:", new: "  db_1:", did: []string{"destroy db", "create db_1"}},
		{what: "a new server", old: "  db:", new: "  more: {type: OS::Nova::Server, properties: {flavor: m1.tiny}}\n  db:", did: []string{"create more"}},
		{what: "a server less", old: "  db: {type: OS::Nova::Server, properties: {flavor: m1.tiny, metadata: {k: v}, user_data: {get_param: other}}}\n", did: []string{"destroy db"}},
	} {
		text := updated
		if c.old != "" {
			text = strings.Replace(text, c.old, c.new, 1)
		}
		spec, _ := compiled(t, parse(t, updated, nil), options("sim"))
		s := start(t, spec)
		address := s.svc.Resource("port").Address()
		opts := options("sim")
		for k, v := range c.parameters {
			opts.Parameters[k] = v
		}
		did := s.update(parse(t, text, nil), opts)
		if !slices.ContainsFunc(c.did, func(s string) bool { return strings.HasSuffix(s, " web") }) { // without a port, the order does not matter
			slices.Sort(did)
			slices.Sort(c.did)
		}
		if !cmp.Equal(did, c.did) {
			t.Errorf("%s: %v, not %v", c.what, did, c.did)
		}
		for _, r := range s.svc.Roles {
			for i := range r.Instances {
				if r.Spec.Address == "port" && i.Addresses[0] != address {
					t.Errorf("%s: %s has the address %s, and the port %s", c.what, r.Name, i.Addresses[0], address)
				}
			}
		}
		if s.svc.Resource("port").Address() != address {
			t.Errorf("%s: the port has another address", c.what)
		}
	}
}

// A resource that a driver has made and that changes is another one, under another name, until it changes back.
func TestChangedResource(t *testing.T) {
	tp := parse(t, updated, nil)
	spec, _ := compiled(t, tp, options("sim"))
	s := start(t, spec)
	wide := parse(t, strings.Replace(updated, "10.0.0.0/24", "10.1.0.0/24", 1), nil)
	s.update(wide, options("sim"))
	values, err := Outputs(s.svc.Spec.Document, ViewOf(s.svc, "i"))
	if err != nil || values[0].Value != "1" {
		t.Errorf("the output is %v, %v", values, err)
	}
	if s.svc.Resource("net") != nil || s.svc.Resource("net-2") == nil || s.svc.Spec.Resource("net-2").Options["cidr"] != "10.1.0.0/24" {
		t.Errorf("the resources are %+v", s.svc.Spec.Resources)
	}
	if did := s.update(wide, options("sim")); len(did) > 0 || s.svc.Resource("net-2") == nil {
		t.Errorf("the same again does %v, with %+v", did, s.svc.Spec.Resources)
	}
	s.update(tp, options("sim"))
	if s.svc.Resource("net") == nil || s.svc.Resource("net-2") != nil {
		t.Errorf("the resources are %+v", s.svc.Spec.Resources)
	}
}

func TestImmutable(t *testing.T) {
	tp := parse(t, updated, nil)
	spec, _ := compiled(t, tp, options("sim"))
	opts := options("sim")
	var err error
	if opts.Previous, err = DecodeBundle(spec.Document); err != nil {
		t.Fatal(err)
	}
	compiled(t, tp, opts)
	opts.Parameters["fixed"] = "other"
	if _, _, err := tp.Compile(opts); err == nil || !strings.Contains(err.Error(), "parameters.fixed: is immutable") {
		t.Error(err)
	}
}

// On a back end that does not grant the port's address the port has that of its machine.
func TestAddressOfAnotherKind(t *testing.T) {
	spec, _ := compiled(t, parse(t, updated, nil), options("sim"))
	s := start(t, spec)
	i := s.svc.Instance(1)
	for r := range s.svc.Roles {
		for x := range s.svc.Roles[r].Instances {
			if s.svc.Roles[r].Name == "web" {
				i = x
			}
		}
	}
	if err := s.svc.Observe(service.Fact{Kind: service.Seen, Serial: i.Serial, Incarnation: i.Incarnation, Machine: driver.Machine{State: driver.Running, Addresses: []string{"192.168.0.9"}}}, s.now); err != nil {
		t.Fatal(err)
	}
	if a := s.svc.Resource("port").Address(); a != "192.168.0.9" {
		t.Errorf("the port has the address %s", a)
	}
}
