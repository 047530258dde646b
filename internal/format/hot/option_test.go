package hot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver"
)

// cloudKind is a driver that makes all that OpenStack has.
func cloudKind(string) (*driver.Kind, error) {
	list := func(names string) (out []driver.Option) {
		for _, n := range strings.Fields(names) {
			out = append(out, driver.Option{Name: n})
		}
		return out
	}
	return &driver.Kind{Name: "cloud", Options: list("image flavor networks ports security_groups key server_group volumes"), Resources: []driver.ResourceKind{
		{Name: "network", Options: list("cidr gateway port_security")}, {Name: "subnet", Options: list("network cidr gateway dns dhcp pools")},
		{Name: "router", Options: list("external subnets")}, {Name: "port", Options: list("network address subnet security_groups allowed_addresses")},
		{Name: "floating_ip", Options: list("pool port")}, {Name: "security_group", Options: list("rules")}, {Name: "volume", Options: list("size type")},
		{Name: "key", Options: list("public_key")}, {Name: "server_group", Options: list("policy")}}}, nil
}

// On a driver that makes what OpenStack has, resources are made, with what their properties say.
func TestCloud(t *testing.T) {
	tp := parse(t, `
heat_template_version: 2018-08-31
resources:
  net: {type: OS::Neutron::Net}
  sub: {type: OS::Neutron::Subnet, properties: {network_id: {get_resource: net}, cidr: 10.0.0.0/24, gateway_ip: 10.0.0.1, dns_nameservers: [8.8.8.8], allocation_pools: [{start: 10.0.0.2, end: 10.0.0.9}]}}
  router: {type: OS::Neutron::Router, properties: {external_gateway_info: {network: public}}}
  join: {type: OS::Neutron::RouterInterface, properties: {router_id: {get_resource: router}, subnet_id: {get_resource: sub}}}
  group: {type: OS::Neutron::SecurityGroup, properties: {rules: [{protocol: tcp, port_range_min: 80, port_range_max: 90, remote_ip_prefix: 0.0.0.0/0}, {protocol: icmp}]}}
  rule: {type: OS::Neutron::SecurityGroupRule, properties: {security_group: {get_resource: group}, direction: egress}}
  port: {type: OS::Neutron::Port, properties: {network: {get_resource: net}, security_groups: [{get_resource: group}], fixed_ips: [{subnet_id: {get_resource: sub}}]}}
  ip: {type: OS::Neutron::FloatingIP, properties: {floating_network: public, port_id: {get_resource: port}}}
  key: {type: OS::Nova::KeyPair, properties: {name: mine, public_key: ssh-ed25519 A}}
  near: {type: OS::Nova::ServerGroup, properties: {policies: [affinity]}}
  disk: {type: OS::Cinder::Volume, properties: {size: 5, volume_type: fast}}
  web: {type: OS::Nova::Server, properties: {image: debian, flavor: m1.small, key_name: {get_resource: key}, scheduler_hints: {group: {get_resource: near}}, networks: [{port: {get_resource: port}}, {network: front}]}}
  mount: {type: OS::Cinder::VolumeAttachment, properties: {instance_uuid: {get_resource: web}, volume_id: {get_resource: disk}}}
`, nil)
	opts := options("cloud")
	opts.Kinds = cloudKind
	spec, _ := compiled(t, tp, opts)
	got := map[string]any{}
	for _, x := range spec.Resources {
		if x.Driver == "cloud" {
			got[x.Name] = x.Options
		}
	}
	want := map[string]any{
		"net": map[string]any{"cidr": "none"}, "sub": map[string]any{"network": "net", "cidr": "10.0.0.0/24", "gateway": "10.0.0.1", "dns": []any{"8.8.8.8"}, "pools": []any{"10.0.0.2-10.0.0.9"}},
		"router": map[string]any{"external": "public", "subnets": []any{"sub"}}, "group": map[string]any{"rules": []any{"tcp 80-90 from 0.0.0.0/0", "icmp", "egress any"}},
		"port": map[string]any{"network": "net", "security_groups": []any{"group"}, "subnet": "sub"}, "ip": map[string]any{"pool": "public", "port": "port"},
		"key": map[string]any{"public_key": "ssh-ed25519 A"}, "near": map[string]any{"policy": "affinity"}, "disk": map[string]any{"size": 5, "type": "fast"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if x := spec.Resource("router"); !cmp.Equal(x.Needs, []string{"sub"}) {
		t.Errorf("the router needs %v", x.Needs)
	}
	r := spec.Roles[0]
	if diff := cmp.Diff(map[string]any{"image": "debian", "flavor": "m1.small", "key": "key", "server_group": "near", "ports": []any{"port"}, "networks": []any{"front"}, "volumes": []any{"disk"}},
		r.Machine.Implementations[0].Options); diff != "" {
		t.Error(diff)
	}
	if r.Address != "" || !cmp.Equal(r.Needs, []string{"disk", "key", "near", "port"}) {
		t.Errorf("%+v", r)
	}
}
