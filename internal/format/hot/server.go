package hot

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
)

// A size is what a flavor gives a machine.
type size struct {
	cpus   float64
	memory int64 // bytes
}

// flavors are the sizes that OpenStack has customarily.
var flavors = map[string]size{
	"m1.nano": {1, 64 << 20}, "m1.micro": {1, 128 << 20}, "m1.tiny": {1, 512 << 20}, "m1.small": {1, 2 << 30}, "m1.medium": {2, 4 << 30},
	"m1.large": {4, 8 << 30}, "m1.xlarge": {8, 16 << 30}, "cirros256": {1, 256 << 20}, "ds512M": {1, 512 << 20}, "ds1G": {1, 1 << 30}, "ds2G": {2, 2 << 30}, "ds4G": {4, 4 << 30},
}

// role fills in what a role's machines are.
func (c *compiler) role(b *roleBuild) {
	one := 1
	b.spec = service.RoleSpec{Name: b.r.node, Cardinality: 1, Max: &one, Heal: service.HealAuto, OnGone: service.Replace, Identity: service.New, Restart: service.Always}
	if b.group != nil {
		c.group(b)
	}
	m := c.machine(b)
	c.networks(b, &m)
	text := c.userData(b)
	if text != "" {
		for i := range m.Implementations {
			m.Implementations[i].UserData = ""
		}
		m.UserData = text
	}
	if text == "" && m.UserData == "" {
		c.idle(&m)
	}
	if b.gate > 0 && c.opts.Driver != "sim" {
		b.spec.ReadyGate, b.spec.StartTimeout = true, b.gate
	}
	b.spec.Machine = m
}

// group says how many instances a role has.
func (c *compiler) group(b *roleBuild) {
	g := b.group
	b.spec.Cardinality, b.spec.Max, b.spec.Identity = g.size, nil, service.Stable
	if g.kind.name != "OS::Heat::AutoScalingGroup" {
		if g.size > service.MaxCardinality {
			g.wrong("count", "%d servers; %d are the most", g.size, service.MaxCardinality)
		}
		c.rolling(b, "rolling_update")
		return
	}
	least, most := g.whole("min_size", 0), g.whole("max_size", 0)
	b.spec.Min, b.spec.Max = &least, &most
	b.spec.Cooldown = time.Duration(max(0, g.whole("cooldown", 0))) * time.Second
	c.batches(b, g.mapping("rolling_updates"))
}

func (c *compiler) rolling(b *roleBuild, key string) {
	if b.group.def.update == nil {
		return
	}
	v, err := b.group.frame().eval(b.group.def.update)
	if err != nil {
		c.note(err, b.group.place, b.group.where()+".update_policy")
		return
	}
	m, _ := v.(map[string]any)
	inner, _ := m[key].(map[string]any)
	c.batches(b, inner)
}

func (c *compiler) batches(b *roleBuild, m map[string]any) {
	if n, ok := numeric(m["max_batch_size"]); ok && n >= 1 {
		b.spec.Update.Batch = int(n)
	}
	if pause, ok := numeric(m["pause_time"]); ok && pause >= 0 {
		settle := time.Duration(pause * float64(time.Second))
		b.spec.Update.Settle = &settle
	}
}

var definitionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,62}$`)

// machine returns what a server is made from: the machine definition that has the name of its image, or the driver that
// the user names.
func (c *compiler) machine(b *roleBuild) service.Machine {
	image := b.r.text("image")
	m, found := service.Machine{}, false
	if c.opts.Machine != nil && definitionName.MatchString(image) {
		m, found = c.opts.Machine(image)
	}
	if !found {
		m = service.Machine{Implementations: []service.Implementation{{Driver: c.opts.Driver, Account: c.opts.Account, Options: c.serverOptions(b)}}}
	}
	m.Implementations = slices.Clone(m.Implementations)
	for i := range m.Implementations {
		m.Implementations[i].Options = maps.Clone(m.Implementations[i].Options)
	}
	s, known := c.sizeOf(b.r)
	if !known && !c.takes("flavor") {
		b.r.warn("flavor", "nothing says how large %q is: the machine has what its definition or driver gives it", b.r.text("flavor"))
	}
	if m.CPUs == 0 {
		m.CPUs = s.cpus
	}
	if m.Memory == 0 {
		m.Memory = s.memory
	}
	return m
}

// sizeOf returns what the flavor of a server gives it: one of the stack, a machine definition of that name, or one that
// is customary.
func (c *compiler) sizeOf(r *resource) (size, bool) {
	name := r.text("flavor")
	for x := range r.uses {
		if x.kind.name == "OS::Nova::Flavor" && x.named("name") == name {
			return size{float64(x.whole("vcpus", 1)), int64(x.whole("ram", 0)) << 20}, true
		}
	}
	if c.opts.Machine != nil && definitionName.MatchString(name) {
		if m, ok := c.opts.Machine(name); ok {
			return size{m.CPUs, m.Memory}, true
		}
	}
	s, ok := flavors[name]
	return s, ok
}

// takes reports whether the driver has an option of that name for machines.
func (c *compiler) takes(option string) bool {
	return slices.ContainsFunc(c.kind.Options, func(o driver.Option) bool { return o.Name == option })
}

// serverOptions are the driver's options that have the names of a server's properties.
func (c *compiler) serverOptions(b *roleBuild) map[string]any {
	out := map[string]any{}
	for _, name := range []string{"image", "flavor", "key_name", "availability_zone", "config_drive", "admin_pass", "metadata"} {
		v, ok := b.r.props[name]
		if !ok || !c.takes(name) {
			continue
		}
		out[name] = c.emitValue(b, v)
	}
	if groups := b.r.list("security_groups"); len(groups) > 0 && c.takes("security_groups") {
		out["security_groups"] = c.nodesOf(groups)
	}
	c.inCloud(b, out)
	return out
}

// nodesOf puts the names that the service has for resources into the place of their ids, so that drivers find them.
func (c *compiler) nodesOf(list []any) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = c.nodeOf(v)
	}
	return out
}

func (c *compiler) nodeOf(v any) any {
	if t, ok := c.only(v); ok && t.of == ofResource {
		return t.node
	}
	return v
}

// idle gives a machine that has nothing to do something, on drivers whose machines are one program.
func (c *compiler) idle(m *service.Machine) {
	for i := range m.Implementations {
		x := &m.Implementations[i]
		if x.Driver == c.opts.Driver && len(x.Options) == 0 && slices.ContainsFunc(c.kind.Options, func(o driver.Option) bool { return o.Name == "command" && o.Type == driver.String }) {
			x.Options = map[string]any{"command": "exec sleep infinity"}
		}
	}
}

// networks puts the machine into its networks, and gives it the address of its first port.
func (c *compiler) networks(b *roleBuild, m *service.Machine) {
	var nets []any
	for _, v := range b.r.list("networks") {
		n, ok := v.(map[string]any)
		if !ok {
			b.r.wrong("networks", "expected networks with network or port, found %.60q", scalarOrKind(v))
			return
		}
		for _, key := range sortedKeys(n) {
			if !slices.Contains(networkKeys, key) {
				b.r.wrong("networks", "unknown key %q in a network of a server", key)
			}
		}
		if port := c.byMark(n["port"]); port != nil && port.kind.core == "port" {
			b.needs[port.node] = true
			if b.spec.Address == "" && b.group == nil && c.isRecorded(port) {
				b.spec.Address, b.spec.Identity = port.node, service.Stable
			}
			if !c.isRecorded(port) {
				continue // the driver knows its network
			}
			n = port.props
		}
		for _, key := range []string{"network", "network_id", "uuid"} {
			if net := c.byMark(n[key]); net != nil && net.kind.core == "network" && !c.isRecorded(net) {
				b.needs[net.node] = true
				if !slices.Contains(nets, any(net.node)) {
					nets = append(nets, net.node)
				}
			}
		}
	}
	if len(nets) > 0 && c.takes("networks") && !c.takes("ports") {
		for i := range m.Implementations {
			if x := &m.Implementations[i]; x.Driver == c.opts.Driver {
				if x.Options == nil {
					x.Options = map[string]any{}
				}
				x.Options["networks"] = nets
			}
		}
	}
	c.volumes(b, m)
}

var networkKeys = []string{"network", "network_id", "uuid", "port", "fixed_ip", "floating_ip", "subnet", "allocate_network", "port_extra_properties", "tag"}

// volumes mounts the volumes that are attached to a server, where the driver makes volumes.
func (c *compiler) volumes(b *roleBuild, m *service.Machine) {
	var mounts []any
	mount := func(v any) {
		if x := c.byMark(v); x != nil && x.kind.core == "volume" && !c.isRecorded(x) {
			b.needs[x.node] = true
			if c.takes("ports") && !c.takes("binds") { // a cloud's machine has disks, and mounts them itself
				mounts = append(mounts, x.node)
			} else {
				mounts = append(mounts, x.node+":/mnt/"+x.node)
			}
		}
	}
	for _, key := range []string{"block_device_mapping", "block_device_mapping_v2"} {
		for _, v := range b.r.list(key) {
			d, _ := v.(map[string]any)
			mount(d["volume_id"])
		}
	}
	for _, x := range c.things {
		if x.kind.core == "volume_attachment" && c.byMark(x.props["instance_uuid"]) == b.r {
			mount(x.props["volume_id"])
		}
	}
	if len(mounts) == 0 || !c.takes("volumes") {
		return
	}
	for i := range m.Implementations {
		if x := &m.Implementations[i]; x.Driver == c.opts.Driver {
			if x.Options == nil {
				x.Options = map[string]any{}
			}
			x.Options["volumes"] = mounts
		}
	}
}

// emit writes a text as a template of the role: marks become expressions, and the role needs what they show.
func (c *compiler) emit(b *roleBuild, s string) string {
	return c.filled(s, func(t target) string {
		switch t.of {
		case ofRole:
			b.parents[t.node] = true
		case ofResource:
			b.needs[t.node] = true
		}
		return t.expression(b.r.node)
	}, literal)
}

// emitValue does so with all texts in a value.
func (c *compiler) emitValue(b *roleBuild, v any) any {
	switch v := v.(type) {
	case string:
		return c.emit(b, v)
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = c.emitValue(b, x)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[c.emit(b, k)] = c.emitValue(b, x)
		}
		return out
	case wild:
		return c.emitValue(b, v.known)
	}
	return v
}

// policyAttribute is where a scaling policy is told to act.
func policyAttribute(r *resource, name string) (any, error) {
	id, err := r.s.e.mark(target{of: ofService, field: "id"})
	if err != nil {
		return nil, err
	}
	role := r.text("auto_scaling_group_id")
	by := r.text("scaling_adjustment")
	switch r.text("adjustment_type") {
	case "exact_capacity":
	case "percent_change_in_capacity":
		by = signed(by) + "%"
	default:
		by = signed(by)
	}
	return fmt.Sprintf("/v1/services/%s/roles/%s?cardinality=%s", id, role, by), nil
}

func signed(s string) string {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && !strings.HasPrefix(s, "+") {
		return "+" + s
	}
	return s
}
