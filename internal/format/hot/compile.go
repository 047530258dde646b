package hot

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// CompileOptions are what a template needs from its surroundings to become a service.
type CompileOptions struct {
	// Name is the service's; "" for that of the template's file.
	Name string
	// Project is what templates see as OS::project_id.
	Project string
	// Parameters are values, as text or as YAML has them. They go before those of environments.
	Parameters map[string]any
	// Driver and Account make the servers whose image no machine definition stands for, and the resources.
	Driver, Account string
	// Kinds returns a driver's description. Its error is shown to the user.
	Kinds func(driver string) (*driver.Kind, error)
	// Machine returns the stored machine definition of a name; false for none. When nil, there are none.
	Machine func(name string) (service.Machine, bool)
	// Previous is what the service was made from before; nil for a new one. Random texts stay as they are, and so do
	// values of parameters that are not given again and have no default.
	Previous *Bundle
	// Present is the specification that an update changes; nil for a new service. A resource that changes gets another name,
	// since machines may use the one that is there.
	Present *service.Spec
	// Random is where random texts come from; nil for the system's own.
	Random io.Reader
}

// Compile turns the template into a specification. The error, if any, is of type tree.Errors. The warnings tell what
// will not work as it may be meant.
func (t *Template) Compile(opts CompileOptions) (*service.Spec, []string, error) {
	e := t.evaluate(opts)
	e.checkOutputs()
	if err := e.problems(); err != nil {
		return nil, e.warnings(), err
	}
	c := &compiler{evaluation: e, byRole: map[string]*roleBuild{}, made: map[string]bool{}}
	var err error
	if opts.Kinds == nil {
		return nil, nil, errors.New("compile a template: nothing says what drivers there are")
	}
	if c.kind, err = opts.Kinds(opts.Driver); err != nil {
		e.errs.Note(tree.Place{File: t.root.At.File}, "", err.Error())
		return nil, e.warnings(), e.problems()
	}
	spec := c.compile(t)
	if err := e.problems(); err != nil {
		return nil, e.warnings(), err
	}
	return spec, e.warnings(), nil
}

// evaluate gives a template its values. What is wrong is noted.
func (t *Template) evaluate(opts CompileOptions) *evaluation {
	e := &evaluation{document: t.doc, opts: &opts, nodes: map[string]bool{}, byNode: map[string]*resource{}, secrets: map[string]string{}, random: map[string]randomText{}}
	if opts.Previous != nil {
		e.before = opts.Previous.Random
	}
	params := e.rootParameters(t)
	if len(e.errs) > 0 {
		return e
	}
	e.root = e.newStack(t, "", nil, params)
	if len(e.errs) > 0 {
		return e
	}
	_ = e.root.expandAll() // what is wrong is noted
	e.root.eachResource(func(r *resource) {
		switch r.kind.class {
		case asStack, asGroup:
			r = r.server
		}
		if r == nil || r.kind == unknownKind {
			return
		}
		if _, err := r.properties(); err != nil && err != errNoted {
			e.note(err, r.place, r.where())
		}
		r.required()
		if r.kind.name == scalingPolicy && r.text("adjustment_type") != "" {
			if _, err := r.adjustment(); err != nil {
				e.note(err, r.place, r.where())
			}
		}
		if r.kind.name == "OS::Heat::RandomString" { // drawn once, also when only outputs show it
			if _, err := r.randomText(); err != nil {
				e.note(err, r.place, r.where())
			}
		}
		if r.kind.ignored != "" {
			r.warn("", "%s is ignored: %s", r.kind.name, r.kind.ignored)
		}
		if d := strings.ToLower(r.def.DeletionPolicy); d == "retain" || d == "snapshot" {
			r.warn("", "deletion_policy %s: it is removed with the service all the same", r.def.DeletionPolicy)
		}
	})
	return e
}

// warnings are what was passed over, without what is never shown in them.
func (e *evaluation) warnings() []string {
	all := append(slices.Clone(e.document.warnings), e.told...)
	for i := range all {
		all[i] = e.masked(all[i])
	}
	return all
}

// checkOutputs notes what is wrong with outputs, before anything is made.
func (e *evaluation) checkOutputs() {
	if e.root == nil || len(e.errs) > 0 {
		return
	}
	for i := range e.root.t.Outputs {
		o := &e.root.t.Outputs[i]
		if _, err := e.root.output(o); err != nil {
			e.note(err, o.at, "outputs."+o.Name)
		}
	}
}

// A compiler makes a specification of an evaluation.
type compiler struct {
	*evaluation
	kind     *driver.Kind
	roles    []*roleBuild
	byRole   map[string]*roleBuild
	things   []*resource     // that become resources of the service
	made     map[string]bool // resources of the specification
	recorded map[string][]string
	renamed  map[string]string
}

// A roleBuild is a role that is being made of a server, or of a group of servers.
type roleBuild struct {
	r, group    *resource // group is nil for a single server
	spec        service.RoleSpec
	deployments []*resource
	gate        time.Duration // how long it may take until it has told that it is ready; 0 for no such gate
	parents     map[string]bool
	needs       map[string]bool
}

func (c *compiler) compile(t *Template) *service.Spec {
	c.collect()
	c.waits()
	spec := &service.Spec{Name: c.name(t), Description: strings.TrimSpace(t.Description), Strategy: service.Straight, OnFailure: service.Keep, Format: Format}
	for _, x := range c.things {
		made := c.thing(x)
		if name := c.fresh(&made); name != made.Name {
			if c.renamed == nil {
				c.renamed = map[string]string{}
			}
			c.renamed[made.Name] = name
			delete(c.made, made.Name)
			c.made[name] = true
			c.rename(x, name)
			made.Name = name
		}
		spec.Resources = append(spec.Resources, made)
	}
	for _, b := range c.roles {
		c.role(b)
	}
	for _, b := range c.roles {
		c.order(b)
		spec.Roles = append(spec.Roles, b.spec)
	}
	c.keepSecrets(spec)
	c.tellRecorded()
	if len(c.errs) == 0 {
		c.report(service.Validate(spec))
		c.report(render.CheckSpec(spec))
	}
	var err error
	if spec.Document, err = c.bundle(t).Encode(); err != nil {
		c.errs.Note(t.root.At, "", err.Error())
	}
	return spec
}

// name is the service's name: the one that is given, or that of the template's file.
func (c *compiler) name(t *Template) string {
	if c.opts.Name != "" {
		return c.opts.Name
	}
	base := path.Base(t.name)
	return strings.TrimSuffix(base, path.Ext(base))
}

// collect finds what becomes roles and what becomes resources.
func (c *compiler) collect() {
	c.root.eachResource(func(r *resource) {
		switch {
		case r.kind.class == asResource:
			c.things = append(c.things, r)
			c.made[r.node] = true
		case r.kind.class == asRole:
			c.addRole(&roleBuild{r: r})
		case r.server != nil:
			c.addRole(&roleBuild{r: r.server, group: r})
		}
	})
	c.root.eachResource(func(r *resource) {
		if _, ok := r.props["server"]; ok && strings.HasSuffix(r.kind.name, "Deployment") {
			c.deploy(r, r.props["server"])
		}
		if servers := r.mapping("servers"); servers != nil {
			for _, k := range sortedKeys(servers) {
				c.deploy(r, servers[k])
			}
		}
	})
}

func (c *compiler) addRole(b *roleBuild) {
	b.parents, b.needs = map[string]bool{}, map[string]bool{}
	c.roles = append(c.roles, b)
	c.byRole[b.r.node] = b
}

// waits gives the roles whose user data signals to a wait condition a gate.
func (c *compiler) waits() {
	c.root.eachResource(func(r *resource) {
		if r.kind.name != "OS::Heat::WaitCondition" {
			return
		}
		timeout := time.Duration(r.whole("timeout", 300)) * time.Second
		found := false
		for _, b := range c.roles {
			for x := b.r; x != nil && !found; x = x.s.owner {
				for h := range x.uses {
					if h.kind.name == "OS::Heat::WaitConditionHandle" && r.uses[h] {
						b.gate, found = max(b.gate, timeout), true
						r.waitsFor = append(r.waitsFor, b)
					}
				}
			}
			found = false
		}
		if len(r.waitsFor) == 0 {
			r.warn("handle", "no server speaks of the handle, so that nothing is waited for")
		}
	})
}

// report notes what validation found, at the resources that it is about.
func (c *compiler) report(err error) {
	problems, ok := service.AsProblems(err)
	if !ok && err != nil {
		c.errs.Note(c.root.t.root.At, "", err.Error())
	}
	for _, p := range problems {
		at, where := tree.Place{File: c.root.t.root.At.File}, ""
		list, rest, _ := strings.Cut(p.Path, "[")
		number, _, _ := strings.Cut(rest, "]")
		if n, err := strconv.Atoi(number); err == nil {
			switch {
			case list == "roles" && n < len(c.roles):
				at, where = c.roles[n].r.place, c.roles[n].r.where()
			case list == "resources" && n < len(c.things):
				at, where = c.things[n].place, c.things[n].where()
			}
		}
		c.errs.Note(at, where, p.Text)
	}
}

// keepSecrets hides what is never shown: each role has the secrets that its texts hold among its inputs.
func (c *compiler) keepSecrets(spec *service.Spec) {
	for n := range spec.Roles {
		r := &spec.Roles[n]
		for _, name := range slices.Sorted(keysOf(c.secrets)) {
			if value := c.secrets[name]; value != "" && holdsText(&r.Machine, value) {
				if r.Inputs == nil {
					r.Inputs = map[string]string{}
				}
				r.Inputs[name] = value
				if !slices.Contains(spec.Secrets, name) {
					spec.Secrets = append(spec.Secrets, name)
				}
			}
		}
	}
	slices.Sort(spec.Secrets)
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// holdsText reports whether a machine's own texts hold another.
func holdsText(m *service.Machine, text string) bool {
	text = literal(text)
	if strings.Contains(m.UserData, text) {
		return true
	}
	for i := range m.Implementations {
		for _, v := range m.Implementations[i].Options {
			if s, ok := v.(string); ok && strings.Contains(s, text) {
				return true
			}
		}
	}
	return false
}

// tellRecorded warns of what the driver does not make, one line a kind.
func (c *compiler) tellRecorded() {
	for _, kind := range slices.Sorted(keysOf(c.recorded)) {
		names := c.recorded[kind]
		list := strings.Join(names[:min(len(names), 10)], ", ")
		if len(names) > 10 {
			list += fmt.Sprintf(" and %d more", len(names)-10)
		}
		c.told = append(c.told, fmt.Sprintf("driver %s makes no %s: %s: recorded, and nothing is made", c.opts.Driver, strings.ReplaceAll(kind, "_", " "), list))
	}
}
