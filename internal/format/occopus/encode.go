package occopus

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// An Encoded is a service in the files of Occopus.
type Encoded struct {
	Infrastructure []byte
	Definitions    []byte
	// Lost says what the service has and the files do not, in words: "roles.web.policies: …".
	Lost []string
}

// Encode writes a service, of any format, as an infrastructure description and node definitions.
func Encode(s *service.Spec) (*Encoded, error) {
	e := &encoder{spec: s, names: map[string]string{}, types: map[string][]byte{}}
	infra, err := e.infrastructure()
	if err == nil {
		e.out.Infrastructure, err = infra.text()
	}
	if err != nil {
		return nil, fmt.Errorf("write service %s for Occopus: %w", s.Name, err)
	}
	return &e.out, nil
}

type encoder struct {
	spec  *service.Spec
	names map[string]string // of nodes by role
	types map[string][]byte // definitions by name, as they are written
	out   Encoded
}

func (e *encoder) lose(at, format string, args ...any) {
	if text := at + ": " + fmt.Sprintf(format, args...); !slices.Contains(e.out.Lost, text) {
		e.out.Lost = append(e.out.Lost, text)
	}
}

// A description is an infrastructure description on its way to text, in which nodes have anchors.
type description struct {
	head, tail yaml.MapSlice
	nodes      []yaml.MapSlice
	edges      [][2]string
}

func (d *description) text() ([]byte, error) {
	out, err := tree.Emit(d.head)
	if err != nil {
		return nil, err
	}
	if len(d.nodes) == 0 {
		out = append(out, "nodes: []\n"...)
	} else {
		out = append(out, "nodes:\n"...)
	}
	for _, n := range d.nodes {
		text, err := tree.Emit(n)
		if err != nil {
			return nil, err
		}
		out = fmt.Appendf(out, "  - &%s\n", n[0].Value)
		for line := range bytes.Lines(text) {
			if len(bytes.TrimSpace(line)) > 0 {
				out = append(out, "    "...)
			}
			out = append(out, line...)
		}
	}
	if len(d.edges) > 0 {
		out = append(out, "dependencies:\n"...)
	}
	for _, edge := range d.edges {
		out = fmt.Appendf(out, "  - [ *%s, *%s ]\n", edge[0], edge[1])
	}
	tail, err := tree.Emit(d.tail)
	return append(out, tail...), err
}

func (e *encoder) infrastructure() (*description, error) {
	s := e.spec
	d := &description{head: yaml.MapSlice{{Key: "infra_name", Value: e.name("name", s.Name, nil)}, {Key: "user_id", Value: e.said("user_id", "undefined")}}}
	if len(s.Variables) > 0 {
		d.tail = yaml.MapSlice{{Key: "variables", Value: map[string]any(s.Variables)}}
	}
	e.serviceLost()
	for n := range s.Roles { // names that Occopus takes stay
		if name := s.Roles[n].Name; plainName.MatchString(name) && len(name) <= maxName {
			e.names[name] = name
		}
	}
	for n := range s.Roles {
		if name := s.Roles[n].Name; e.names[name] == "" {
			e.names[name] = e.name("roles."+name, name, e.names)
		}
	}
	for n := range s.Roles {
		r := &s.Roles[n]
		kind, err := e.definition(r)
		if err != nil {
			return nil, err
		}
		node := yaml.MapSlice{{Key: "name", Value: e.names[r.Name]}, {Key: "type", Value: kind}}
		if len(r.Filter) > 0 {
			node = append(node, yaml.MapItem{Key: "filter", Value: r.Filter})
		}
		node = append(node, yaml.MapItem{Key: "scaling", Value: e.scaling(r)})
		if own := e.variables(r); len(own) > 0 {
			node = append(node, yaml.MapItem{Key: "variables", Value: own})
		}
		d.nodes = append(d.nodes, node)
		for _, parent := range r.Parents {
			d.edges = append(d.edges, [2]string{e.names[r.Name], e.names[parent]})
		}
		e.roleLost(r)
	}
	return d, nil
}

// said returns a text that a description gave templates as a name, or else what is to stand for it.
func (e *encoder) said(name, otherwise string) string {
	for n := range e.spec.Roles {
		for _, x := range e.spec.Roles[n].Machine.Implementations {
			if s, ok := x.Names[name].(string); ok {
				return s
			}
		}
	}
	return otherwise
}

// name returns a name that Occopus takes, and that no other node has.
func (e *encoder) name(at, name string, taken map[string]string) string {
	out := strings.Trim(notName.ReplaceAllString(name, "-"), "-")
	if len(out) > maxName {
		out = out[:maxName]
	}
	if out == "" {
		out = "x"
	}
	for base, n := out, 2; slices.Contains(mapValues(taken), out); n++ {
		suffix := fmt.Sprintf("-%d", n)
		out = base[:min(len(base), maxName-len(suffix))] + suffix
	}
	if out != name {
		e.lose(at, "%q is no name to Occopus; it is %q", name, out)
	}
	return out
}

func mapValues(m map[string]string) (out []string) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

func (e *encoder) scaling(r *service.RoleSpec) yaml.MapSlice {
	at := "roles." + r.Name
	least := max(r.MinOf(), 1)
	if r.Cardinality > least {
		e.lose(at+".count", "Occopus begins with the least number of instances: it is %d", r.Cardinality)
		least = r.Cardinality
	}
	if r.Min != nil && *r.Min < 1 || r.Cardinality < 1 {
		e.lose(at+".count", "a node of Occopus has at least one instance")
	}
	out := yaml.MapSlice{{Key: "min", Value: least}}
	if most := r.MaxOf(); most >= 0 {
		return append(out, yaml.MapItem{Key: "max", Value: max(most, least)})
	}
	e.lose(at+".count", "without a limit, the number of instances is fixed to Occopus: set max to scale")
	return append(out, yaml.MapItem{Key: "max", Value: least})
}

// variables returns what a node sees and the infrastructure does not say.
func (e *encoder) variables(r *service.RoleSpec) map[string]any {
	out := map[string]any{}
	for k, v := range e.spec.VariablesOf(r) {
		if low, ok := e.spec.Variables[k]; !ok || !reflect.DeepEqual(low, v) {
			out[k] = v
		}
	}
	return out
}

// serviceLost tells what a description cannot say of the service.
func (e *encoder) serviceLost() {
	s := e.spec
	for _, l := range []struct {
		has  bool
		what string
	}{
		{s.Description != "", "description: a comment at most"},
		{s.Strategy == service.NoOrder, "strategy: none is not there: nodes that others need are made first"},
		{s.OnFailure != service.Rollback, "on_failure: keep is not there: a failed build is rolled back"},
		{len(s.Resources) > 0, "resources: networks and volumes must be there before"},
		{len(s.Services) > 0, "services: what this one needs must be there before"},
		{len(s.Outputs) > 0, "outputs: there are none"},
		{len(s.Alarms) > 0, "alarms: there are none"},
		{s.Hold, "hold: it is not there"},
		{s.AutoDelete, "auto_delete: it is not there"},
		{s.NamePattern != "", "name_pattern: machines have names of Occopus' own"},
		{len(s.Inputs) > 0, "inputs: there are none; write what they say under variables, and variables.NAME in templates"},
		{len(s.Labels) > 0, "labels: there are none"},
		{s.Retain > 0, "retain: it is not there"},
	} {
		if l.has {
			e.out.Lost = append(e.out.Lost, l.what)
		}
	}
}

// roleLost tells what a node cannot say of a role.
func (e *encoder) roleLost(r *service.RoleSpec) {
	for _, l := range []struct {
		has  bool
		what string
	}{
		{r.Identity == service.Stable, "identity: a replacement is always a new instance"},
		{r.Heal == service.HealManual, "heal: nodes are always replaced"},
		{r.OnGone == service.Forget, "on_gone: nodes are always replaced"},
		{r.Restart != service.Always && r.Restart != "", "restart: a node that ends is always replaced"},
		{r.Restarts > 0, "restarts: there is no limit"},
		{r.ReadyGate, "ready_gate: it is not there"},
		{r.Hold, "hold: it is not there"},
		{r.Cooldown > 0, "cooldown: it is not there"},
		{len(r.Policies) > 0, "policies: nodes do not scale by themselves"},
		{len(r.Needs) > 0, "needs: resources must be there before"},
		{len(r.Inputs) > 0, "inputs: there are none; write what they say under variables, and variables.NAME in templates"},
		{r.ScaleIn != service.Youngest, "scale_in: the youngest instances go first"},
	} {
		if l.has {
			e.out.Lost = append(e.out.Lost, "roles."+r.Name+"."+l.what)
		}
	}
}

// definition writes the machine of a role, unless an equal one is there already, and returns the definition's name.
func (e *encoder) definition(r *service.RoleSpec) (string, error) {
	m, at := &r.Machine, "roles."+r.Name+".machine"
	if m.CPUs > 0 || m.Memory > 0 {
		e.lose(at, "cpus and memory follow from the resource section")
	}
	if len(m.Implementations) > 1 && m.Choose != service.AtRandom {
		e.lose(at+".choose", "Occopus chooses at random")
	}
	var list []yaml.MapSlice
	for k := range m.Implementations {
		list = append(list, e.implementation(at, &m.Implementations[k], m.By(k)))
	}
	name := cmp.Or(m.Name, e.names[r.Name])
	if len(m.Implementations) > 0 {
		if said, ok := m.Implementations[0].Names["type"].(string); ok {
			name = said
		}
	}
	text, err := tree.Emit(yaml.MapSlice{{Key: "", Value: list}})
	if err != nil {
		return "", err
	}
	for base, n := name, 2; e.types[name] != nil && !bytes.Equal(e.types[name], text); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	if e.types[name] != nil {
		return name, nil
	}
	e.types[name] = text
	text, err = tree.Emit(yaml.MapSlice{{Key: definitionPrefix + name, Value: list}})
	e.out.Definitions = append(e.out.Definitions, text...)
	return name, err
}

func (e *encoder) implementation(at string, x *service.Implementation, m *service.Machine) yaml.MapSlice {
	out := yaml.MapSlice{{Key: "resource", Value: e.resource(at, x)}}
	if len(m.Files) > 0 {
		e.lose(at+".files", "write them into the cloud-init data, under write_files")
	}
	if section := e.contextualisation(at, x, m); section != nil {
		out = append(out, yaml.MapItem{Key: "contextualisation", Value: section})
	}
	if v := x.Rendered["config_management"]; v != nil {
		out = append(out, yaml.MapItem{Key: "config_management", Value: v})
	}
	if e.templates(m) {
		e.lose(at, "templates stay as they are: roles, instance and inputs are not names of Occopus; write getip('NODE') for the address of another node")
	}
	return append(out, yaml.MapItem{Key: "health_check", Value: e.checks(at+".check", m.Checks)})
}

// givenNames are the names that Compile gives all templates by rendering.
var givenNames = []string{"resource", "config_management", "attributes", "node_id", "infra_id", "puppet"}

func (e *encoder) contextualisation(at string, x *service.Implementation, m *service.Machine) yaml.MapSlice {
	attributes, own := x.Rendered["attributes"], map[string]any{}
	for k, v := range x.Rendered {
		if !slices.Contains(givenNames, k) {
			own[k] = v
		}
	}
	section := func(kind string, items ...yaml.MapItem) yaml.MapSlice {
		out := append(yaml.MapSlice{{Key: "type", Value: kind}}, items...)
		if attributes != nil && kind != "docker" {
			out = append(out, yaml.MapItem{Key: "attributes", Value: attributes})
		}
		return out
	}
	switch {
	case m.UserData != "":
		if len(m.Env) > 0 {
			e.lose(at+".env", "beside cloud-init data there is no environment")
		}
		return section("cloudinit", yaml.MapItem{Key: "context_template", Value: m.UserData})
	case len(m.Env) > 0 || x.Driver == "docker" || x.Driver == "azure_aci":
		env := []string{}
		for _, v := range tree.Ordered(m.Env) {
			env = append(env, fmt.Sprintf("%s=%s", v.Key, v.Value))
		}
		out := section("docker", yaml.MapItem{Key: "env", Value: env})
		if command := x.Options["command"]; command != nil && x.Driver != "process" {
			out = append(out, yaml.MapItem{Key: "command", Value: command})
		}
		if len(own) > 0 {
			out = append(out, yaml.MapItem{Key: "context_variables", Value: own})
		}
		return out
	case attributes != nil:
		return section("basic")
	}
	return nil
}

// foreign finds names of Troupe's templates that Occopus lacks.
var foreign = regexp.MustCompile(`\{[{%][^}%]*\b(roles|role|instance|inputs|service)[.[]`)

// templates reports whether texts of the machine use names that Occopus lacks.
func (e *encoder) templates(m *service.Machine) bool {
	for _, v := range m.Env {
		if foreign.MatchString(v) {
			return true
		}
	}
	return foreign.MatchString(m.UserData)
}

func (e *encoder) resource(at string, x *service.Implementation) yaml.MapSlice {
	var t *resourceType
	for i := range resourceTypes {
		if resourceTypes[i].driver == x.Driver {
			t = &resourceTypes[i]
		}
	}
	if t == nil {
		e.lose(at+".driver", "there is no resource type for %s: the section has its options as they are", x.Driver)
		return append(yaml.MapSlice{{Key: "type", Value: x.Driver}}, tree.Ordered(x.Options)...)
	}
	out := yaml.MapSlice{{Key: "type", Value: t.name}}
	if x.Account != "" && !t.free {
		e.lose(at+".account", "%s is known to this server alone: write its endpoint into the resource section, and its credentials into auth_data.yaml", x.Account)
	}
	options := map[string]any{}
	for k, v := range x.Options {
		options[k] = v
	}
	switch t.name {
	case "docker":
		e.image(options)
	case "nova":
		e.nova(at, options)
	}
	if !t.free {
		delete(options, "command") // which is the contextualisation's
	}
	for _, k := range t.keys {
		if v, ok := options[k.option]; ok {
			out = append(out, yaml.MapItem{Key: k.name, Value: v})
			delete(options, k.option)
		} else if k.required {
			out = append(out, yaml.MapItem{Key: k.name, Value: "replace_with_" + k.name})
		}
	}
	for _, item := range tree.Ordered(options) {
		if t.free {
			out = append(out, item)
		} else {
			e.lose(fmt.Sprintf("%s.options.%s", at, item.Key), "a %s resource has no such key", t.name)
		}
	}
	return out
}

// nova turns options of the driver into what Occopus asks of Nova, as far as it can.
func (e *encoder) nova(at string, options map[string]any) {
	if list, ok := options["networks"].([]any); ok && len(list) > 0 {
		if options["networks"] = list[0]; len(list) > 1 {
			e.lose(at+".options.networks", "a nova resource has one network")
		}
	}
	if boot, _ := options["boot_volume"].(bool); boot {
		options["volume_size"] = cmp.Or(options["volume_size"], any(0))
	}
	delete(options, "boot_volume")
}

// image turns where a container's image comes from into the keys of Occopus.
func (e *encoder) image(options map[string]any) {
	image := text(options["image"])
	name, tag := image, "latest"
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		name, tag = image[:i], image[i+1:]
	}
	options["image"], options["tag"], options["origin"] = name, tag, "dockerhub"
	if options["pull"] == "never" {
		options["origin"] = "local"
	}
	if archive := text(options["archive"]); archive != "" {
		options["origin"] = "file://" + archive
	}
	if source := text(options["import"]); source != "" {
		options["origin"] = source
	}
	delete(options, "pull")
	delete(options, "archive")
	delete(options, "import")
}

func (e *encoder) checks(at string, checks []service.Check) yaml.MapSlice {
	ping, timeout := false, time.Duration(0)
	var ports []any
	var urls []string
	var databases []yaml.MapSlice
	for i := range checks {
		c := &checks[i]
		timeout = max(timeout, c.Down)
		port, local := strings.CutPrefix(c.TCP, ":")
		switch {
		case c.Ping:
			ping = true
		case c.TCP != "" && local && !templated(port):
			ports = append(ports, atoi(port))
		case c.HTTP != "":
			urls = append(urls, fullURL(c.HTTP))
		case c.MySQL != nil:
			databases = append(databases, yaml.MapSlice{{Key: "name", Value: c.MySQL.Database}, {Key: "user", Value: c.MySQL.User}, {Key: "pass", Value: c.MySQL.Password}})
		default:
			e.lose(at, "only ping, ports, URLs and MySQL databases of the node itself are checked")
		}
	}
	out := yaml.MapSlice{{Key: "ping", Value: ping}}
	add := func(key string, v any, has bool) {
		if has {
			out = append(out, yaml.MapItem{Key: key, Value: v})
		}
	}
	add("ports", ports, len(ports) > 0)
	add("urls", urls, len(urls) > 0)
	add("mysqldbs", databases, len(databases) > 0)
	add("timeout", int(timeout/time.Second), timeout >= time.Second)
	return out
}

func atoi(s string) any {
	n := tree.Node{Kind: tree.Integer, Text: s}
	return n.Any()
}

// fullURL completes what stands for a path on the node itself.
func fullURL(s string) string {
	if strings.HasPrefix(s, ":") {
		return "http://{{ip}}" + s
	}
	return ownAddress.ReplaceAllStringFunc(s, toIP)
}
