package occopus

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// Format is the name of this format in specifications.
const Format = "occopus"

// CompileOptions are what a description needs from its surroundings to become a service.
type CompileOptions struct {
	// Definition returns the definition of a type. Its error is shown to the user.
	Definition func(name string) (*Definition, error)
	// Kinds returns a driver's description, by which drivers that are not there are refused and options are
	// checked. Its error is shown to the user. When nil, neither is done.
	Kinds func(driver string) (*driver.Kind, error)
	// Account returns the configured account by which a driver reaches what the demand says. When nil, it is
	// the driver's default.
	Account func(Demand) (string, error)
	// Authentication finds the credentials of demands; nil for none.
	Authentication *Authentication
	// ID is what templates see as infra_id; "" for the service's own.
	ID string
	// Simulate makes the machines of all types on the driver sim, which shows what the real one would have
	// been asked for.
	Simulate bool
}

// A Demand is what an implementation needs of an account.
type Demand struct {
	Driver      string
	Endpoint    string
	Options     map[string]any // of its machine
	Credentials map[string]any // auth_data; nil when no entry matches
	Key         string         // of the entry of auth_data.yaml that it comes from; "" for none
}

// Compile turns a description and the definitions of its types into a specification. The error, if any, is an
// *Invalid.
func Compile(i *Infrastructure, opts CompileOptions) (*service.Spec, []Warning, error) {
	return newCompiler(i, opts).compile()
}

func newCompiler(i *Infrastructure, opts CompileOptions) *compiler {
	c := &compiler{decoder: newDecoder(Options{}), infra: i, opts: opts, needs: map[string][]Dependency{}, neededBy: map[string][]Dependency{}}
	for _, d := range i.Dependencies {
		c.needs[d.Connection[0]] = append(c.needs[d.Connection[0]], d)
		c.neededBy[d.Connection[1]] = append(c.neededBy[d.Connection[1]], d)
	}
	return c
}

func (c *compiler) compile() (*service.Spec, []Warning, error) {
	i := c.infra
	document, err := i.JSON()
	if err != nil {
		return nil, nil, err
	}
	spec := &service.Spec{
		Name: i.Name, Strategy: service.Straight, OnFailure: service.Rollback, Format: Format, Document: document,
		Update:    service.UpdatePolicy{Existing: service.KeepExisting, Rollback: true},
		Variables: i.Variables, Roles: make([]service.RoleSpec, len(i.Nodes)),
	}
	for n := range i.Nodes {
		spec.Roles[n] = c.role(n)
	}
	if len(c.errs) == 0 {
		c.order(spec)
		c.report(service.Validate(spec))
		c.report(render.CheckSpec(spec))
	}
	if err := c.err(); err != nil {
		return nil, c.warnings, err
	}
	return spec, c.warnings, nil
}

// A compiler turns nodes into roles.
type compiler struct {
	*decoder
	infra *Infrastructure
	opts  CompileOptions
	// Of each node by name, the dependencies that it has and those that others have on it.
	needs, neededBy map[string][]Dependency
	// alone: a definition is looked at by itself, without the place where it is to run.
	alone *Definition
}

// noDefinition is what Occopus says of a node that it cannot make.
const noDefinition = "No matching node definition"

func (c *compiler) role(n int) service.RoleSpec {
	node := &c.infra.Nodes[n]
	least, most := node.Scaling.Limits()
	r := service.RoleSpec{
		Name: node.Name, Cardinality: least, Min: &least, Max: &most, Filter: node.Filter,
		Variables: node.Variables, ScaleIn: service.Youngest, Heal: service.HealAuto, OnGone: service.Replace, Identity: service.New, Restart: service.Always,
		Machine: service.Machine{Choose: service.AtRandom},
	}
	for _, d := range c.needs[node.Name] {
		r.Parents = append(r.Parents, d.Connection[1])
	}
	definition, err := c.opts.Definition(node.Type)
	if err != nil {
		c.fail(c.typeAt(n), fmt.Sprintf("nodes[%d].type", n), noDefinition, "%v", err)
		return r
	}
	for k := range definition.Implementations {
		b := &builder{compiler: c, node: n, index: k, in: &definition.Implementations[k]}
		x := b.implementation(definition)
		r.StartTimeout = max(r.StartTimeout, b.timeout()+bootTime)
		r.Machine.Implementations = append(r.Machine.Implementations, x)
	}
	if len(r.Machine.Implementations) == 1 {
		r.Machine.Choose = ""
	}
	if !slices.ContainsFunc(r.Machine.Implementations, ownProgram) {
		r.Update.Settle = new(time.Duration) // a machine that has started is ready
	}
	c.drivers(n, &r)
	return r
}

// ownProgram reports whether the machine is one program, which must stay for a moment to be believed.
func ownProgram(x service.Implementation) bool { return x.Driver == "process" || x.Driver == "docker" }

// bootTime is how long a machine may take before its health counts. Occopus waits without end.
const bootTime = 30 * time.Minute

// drivers refuses drivers that are not there, and options that theirs do not know.
func (c *compiler) drivers(n int, r *service.RoleSpec) {
	if c.opts.Kinds == nil {
		return
	}
	fit := r.Candidates()
	for k := range r.Machine.Implementations {
		x := &r.Machine.Implementations[k]
		path := fmt.Sprintf("nodes[%d].type", n)
		kind, err := c.opts.Kinds(x.Driver)
		switch {
		case err == nil:
			c.options(n, k, kind, x)
		case c.alone != nil: // that is told where it is to run
		case slices.Contains(fit, k):
			c.fail(c.at(n), path, "", "implementation %d of %s is made by the driver %s: %v", k, c.infra.Nodes[n].Type, x.Driver, err)
		default:
			c.warn(c.at(n), path, "", "implementation %d of %s, which the filter leaves out, is made by the driver %s: %v", k, c.infra.Nodes[n].Type, x.Driver, err)
		}
	}
}

// options refuses options that the driver of an implementation does not know.
func (c *compiler) options(n, k int, kind *driver.Kind, x *service.Implementation) {
	_, err := kind.Check(x.Options)
	var wrong *driver.OptionError
	switch {
	case err == nil:
	case c.alone != nil && errors.As(err, &wrong):
		key := "resource." + wrong.Option
		c.fail(c.alone.Implementations[k].place(key), fmt.Sprintf("%s%s[%d].%s", definitionPrefix, c.alone.Name, k, key), "", "%s", wrong.Problem)
	default:
		c.fail(c.at(n), fmt.Sprintf("nodes[%d].type", n), "", "implementation %d of %s: %v", k, c.infra.Nodes[n].Type, err)
	}
}

// A builder turns one implementation of a node's definition into Troupe's.
type builder struct {
	*compiler
	node  int
	index int
	in    *Implementation
}

func (b *builder) path(key string) string {
	return fmt.Sprintf("%s%s[%d].%s", definitionPrefix, b.infra.Nodes[b.node].Type, b.index, key)
}

func (b *builder) wrong(key, format string, args ...any) {
	at := b.at(b.node)
	if b.alone != nil {
		at = b.in.place(key)
	}
	b.fail(at, b.path(key), "", format, args...)
}

func (b *builder) implementation(d *Definition) service.Implementation {
	name, _ := b.in.Resource["type"].(string)
	t := typeOf(name)
	if t == nil { // kept by another version
		b.wrong("resource.type", "no resource type %q", name)
		return service.Implementation{}
	}
	x := service.Implementation{Name: b.title(d, t), Driver: t.driver, Options: b.options(t), Labels: hideSecrets(t, b.in.Resource)}
	b.names(&x)
	x.Checks = b.checks()
	b.contextualise(t, &x)
	if kind, _ := b.in.ConfigManagement["type"].(string); kind == "chef" {
		if b.alone != nil { // that is told where it is to run
			return x
		}
		if b.opts.Simulate {
			b.warn(b.at(b.node), b.path("config_management"), "", "the Chef server is not asked either")
		} else {
			b.wrong("config_management.type", "nodes cannot be registered with a Chef server here: leave the section out, or use puppet_solo")
		}
	}
	switch {
	case b.opts.Simulate && t.driver != "sim":
		x = b.simulated(t, x)
	case b.opts.Account != nil:
		x.Account = b.account(t, x.Options)
	}
	return x
}

// title names an implementation among others of its type: by the name in its resource section, where it has one
// that can stand in messages.
func (b *builder) title(d *Definition, t *resourceType) string {
	if len(d.Implementations) == 1 {
		return ""
	}
	names := make([]string, len(d.Implementations))
	count := map[string]int{}
	for n := range d.Implementations {
		r := d.Implementations[n].Resource
		names[n], _ = r["name"].(string)
		if names[n] == "" {
			names[n], _ = r["type"].(string)
		}
		count[names[n]]++
	}
	if own := names[b.index]; count[own] == 1 && plainTitle.MatchString(own) && len(own) <= service.MaxName {
		return own
	}
	return fmt.Sprintf("%s-%d", t.name, b.index)
}

var plainTitle = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// options returns what the driver is asked for: the keys of the resource section as the driver calls them.
func (b *builder) options(t *resourceType) map[string]any {
	out := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(b.in.Resource)) {
		v := b.in.Resource[key]
		k := t.key(key)
		switch {
		case key == "type" || v == nil && (k == nil || k.kind != anyScalar):
		case k == nil: // a driver of our own has its own options
			out[key] = v
		case k.ignored != "":
		case k.kind == anyScalar:
			out[k.option] = true
		default:
			out[k.option] = v
		}
	}
	switch t.name {
	case "nova":
		nova(out)
	case "azure_aci":
		if out["gpu_type"] != nil {
			out["gpu_count"] = cmp.Or(out["gpu_count"], any(1))
		}
	case "azure_vm":
		if out["password"] != nil { // it goes before the key
			delete(out, "ssh_key")
		}
	case "docker":
		b.image(out)
	}
	if t.free || t.name == "docker" { // what these are reached by is the account's, and a name a label
		delete(out, "endpoint")
		delete(out, "name")
	}
	return out
}

// nova turns what Occopus asks of Nova into what the driver takes.
func nova(out map[string]any) {
	if out["floating_ip_pool"] != nil {
		out["floating_ip"] = true
	}
	if v, ok := out["networks"]; ok {
		out["networks"] = []any{v}
	}
	if v, ok := out["volume_size"]; ok { // 0 is as much as the image needs
		if out["boot_volume"] = true; text(v) == "0" {
			delete(out, "volume_size")
		}
	}
	out["user_domain"] = cmp.Or(out["user_domain"], any("Default"))
	delete(out, "name") // a label
}

// image says where a container's image comes from.
func (b *builder) image(out map[string]any) {
	origin := text(out["origin"])
	out["image"] = text(out["image"]) + ":" + text(out["tag"])
	delete(out, "tag")
	delete(out, "origin")
	scheme, file, url := strings.Cut(origin, "://")
	switch {
	case origin == "dockerhub":
	case origin == "local":
		out["pull"] = "never"
	case url && scheme == "file":
		out["archive"], out["pull"] = file, "never"
	case url && (scheme == "http" || scheme == "https"):
		out["import"] = origin
	default:
		b.warn(b.at(b.node), b.path("resource.origin"), "", "images are not fetched from %q: the daemon must have %s, or find it in a registry", origin, out["image"])
	}
}

// text returns a scalar as text.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	return fmt.Sprint(v)
}

func (b *builder) account(t *resourceType, options map[string]any) string {
	demand := Demand{Driver: t.driver, Endpoint: text(b.in.Resource["endpoint"]), Options: options}
	var err error
	demand.Credentials, err = b.opts.Authentication.Match("resource", b.in.Resource)
	if err != nil {
		b.wrong("resource", "%v", err)
		return ""
	}
	name, err := b.opts.Account(demand)
	if err != nil {
		b.wrong("resource.endpoint", "%v", err)
	}
	return name
}

// hideSecrets returns the resource section without its secrets, for showing and for filters.
func hideSecrets(t *resourceType, section service.Values) service.Values {
	out := maps.Clone(section)
	for _, k := range t.keys {
		v, ok := out[k.name]
		if ok && k.secret {
			out[k.name] = driver.Redacted
		}
		if nested, isMap := v.(map[string]any); isMap && nested["vnc_password"] != nil {
			nested = maps.Clone(nested)
			nested["vnc_password"] = driver.Redacted
			out[k.name] = nested
		}
	}
	return out
}

// ListsAddresses reports whether machines of an implementation have a list of addresses, and not one.
func ListsAddresses(x *service.Implementation) bool {
	if x == nil { // of a revision that is not known any more
		return false
	}
	name, _ := x.Labels["type"].(string)
	t := typeOf(name)
	return t != nil && t.lists
}
