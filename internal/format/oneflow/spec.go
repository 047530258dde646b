package oneflow

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
)

// Options are what a template needs from its server to become a spec.
type Options struct {
	Settings Settings
	// Machine returns the machine definition with the number that a role names.
	Machine func(id int) (service.Machine, error)
	// Kind returns the description of a driver; networks are made by those that can. Nil for none.
	Kind func(name string) (*driver.Kind, error)
	// Running are the resources of a service that has been made: its networks stay what they are.
	Running []service.ResourceSpec
}

// ToSpec turns a body, which must have passed Normalise, into a spec. Its elasticity and scheduled
// policies stay in the document. The error is an *Error or one of Options.Machine's inside one's
// message.
func (b *Body) ToSpec(opts Options) (*service.Spec, []Warning, error) {
	body, err := b.In(New)
	if err != nil {
		return nil, nil, err
	}
	root := body.root
	document, err := b.MarshalJSON()
	if err != nil {
		return nil, nil, err
	}
	spec := &service.Spec{
		Name:        root.Text("name"),
		Description: root.Text("description"),
		Strategy:    service.NoOrder,
		Hold:        root.Bool("on_hold"),
		AutoDelete:  root.Bool("automatic_deletion"),
		NamePattern: opts.Settings.NamePattern,
		Inputs:      texts(inputs(root, "_values")),
		Secrets:     secrets(root),
		Format:      "oneflow",
		Document:    json.RawMessage(document),
	}
	if root.Text("deployment") == "straight" {
		spec.Strategy = service.Straight
	}
	builders, err := b.builders(root, opts)
	if err != nil {
		return nil, nil, err
	}
	networks := made(root, opts.Running)
	if len(networks) > service.MaxResources {
		return nil, nil, b.fail(Invalid, path{"networks_values"}, "%d networks are to be made; %d are the most", len(networks), service.MaxResources)
	}
	resources, warnings := opts.resources(networks, builders)
	spec.Resources = resources
	networks = slices.DeleteFunc(networks, func(n network) bool { return spec.Resource(n.resource) == nil })
	names := make(map[string]*roleBuilder, len(builders))
	for _, s := range builders {
		names[s.role.Text("name")] = s
	}
	for _, s := range builders {
		s.networks, s.roles = networks, names
		role, err := s.build()
		if err != nil {
			return nil, nil, err
		}
		s.made = &role
		for _, name := range secrets(s.role) {
			if !slices.Contains(spec.Secrets, name) {
				spec.Secrets = append(spec.Secrets, name)
			}
			// The core knows secrets as inputs of the service, which roles overlay.
			if _, ok := spec.Inputs[name]; !ok {
				if spec.Inputs == nil {
					spec.Inputs = make(map[string]string)
				}
				spec.Inputs[name] = ""
			}
		}
		warnings = append(warnings, s.warnings...)
	}
	for _, s := range builders { // now that all roles have their attributes
		if err := s.fillEnvironment(); err != nil {
			return nil, nil, err
		}
		spec.Roles = append(spec.Roles, *s.made)
	}
	return spec, warnings, nil
}

// builders finds the machine definition of each role.
func (b *Body) builders(root *Object, opts Options) ([]*roleBuilder, error) {
	var builders []*roleBuilder
	for i, r := range root.Array("roles") {
		s := &roleBuilder{body: b, root: root, role: r.(*Object), path: path{"roles", i}, opts: opts}
		id, _ := s.role.Int("template_id")
		var err error
		if s.definition, err = opts.Machine(id); err != nil {
			key := "template_id"
			if b.Generation() == Old {
				key = "vm_template"
			}
			return nil, b.fail(Invalid, s.path.with(key), "Role '%s': %v", s.role.Text("name"), err)
		}
		builders = append(builders, s)
	}
	return builders, nil
}

// texts returns the values of an object as text.
func texts(v any) map[string]string {
	o, ok := v.(*Object)
	if !ok || len(o.Keys()) == 0 {
		return nil
	}
	m := make(map[string]string, len(o.Keys()))
	for _, k := range o.Keys() {
		m[k] = scalar(o.Get(k))
	}
	return m
}

// secrets returns the names of the inputs that are declared as passwords: "M|password|text".
func secrets(o *Object) []string {
	declared, ok := inputs(o, "").(*Object)
	if !ok {
		return nil
	}
	var names []string
	for _, name := range declared.Keys() {
		fields := strings.Split(declared.Text(name), "|")
		if len(fields) > 1 && strings.HasPrefix(strings.TrimSpace(fields[1]), "password") {
			names = append(names, name)
		}
	}
	return names
}

// A roleBuilder turns one role into its spec.
type roleBuilder struct {
	body     *Body // as it was sent, for positions
	root     *Object
	role     *Object
	path     path
	opts     Options
	warnings []Warning

	definition service.Machine
	networks   []network // that the service makes for itself
	roles      map[string]*roleBuilder
	made       *service.RoleSpec
	context    []string // names of environment variables that come from CONTEXT
}

func (s *roleBuilder) build() (service.RoleSpec, error) {
	r, settings := s.role, s.opts.Settings
	cardinality, _ := r.Int("cardinality")
	spec := service.RoleSpec{
		Name:         r.Text("name"),
		Cardinality:  cardinality,
		Heal:         service.HealManual,
		OnGone:       service.Forget,
		Identity:     service.New,
		Restart:      service.Always,
		ReadyGate:    s.root.Bool("ready_status_gate"),
		Hold:         r.Bool("on_hold"),
		HardShutdown: s.hard(),
		Cooldown:     settings.Cooldown,
		ActionPeriod: settings.ActionPeriod,
		ActionNumber: settings.ActionNumber,
		Inputs:       texts(inputs(r, "_values")),
	}
	if isRouter(r, New) {
		s.warnings = append(s.warnings, Warning{Path: s.path.String(), Message: "a virtual router runs as a plain machine"})
	} else {
		spec.Min, spec.Max = intAt(r, "min_vms"), intAt(r, "max_vms")
		if n, ok := r.Int("cooldown"); ok {
			spec.Cooldown = time.Duration(n) * time.Second
		}
	}
	for _, p := range r.Array("parents") {
		// Others have been refused, or warned of, by Normalise.
		name, ok := p.(string)
		if ok && name != spec.Name && s.roles[name] != nil && !slices.Contains(spec.Parents, name) {
			spec.Parents = append(spec.Parents, name)
		}
	}
	for _, n := range s.networks { // no machine before all networks are ready
		spec.Needs = append(spec.Needs, n.resource)
	}
	spec.Policies = policies(r)
	var err error
	spec.Machine, err = s.machine(s.definition, spec.Parents)
	return spec, err
}

func intAt(o *Object, key string) *int {
	if n, ok := o.Int(key); ok {
		return &n
	}
	return nil
}

// hard tells whether machines are removed at once: the role's word, else the service's, else the
// server's.
func (s *roleBuilder) hard() bool {
	for _, action := range []string{s.role.Text("shutdown_action"), s.root.Text("shutdown_action"), s.opts.Settings.ShutdownAction} {
		if action != "" {
			return strings.HasSuffix(action, "-hard")
		}
	}
	return false
}
