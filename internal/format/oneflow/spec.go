package oneflow

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/service"
)

// Options are what a template needs from its server to become a spec.
type Options struct {
	Settings Settings
	// Machine returns the machine definition with the number that a role names.
	Machine func(id int) (service.Machine, error)
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
	warnings := networkWarnings(root)
	names := make(map[string]bool)
	for _, r := range root.Array("roles") {
		names[r.(*Object).Text("name")] = true
	}
	for i, r := range root.Array("roles") {
		s := &roleBuilder{body: b, root: root, role: r.(*Object), path: path{"roles", i}, opts: opts}
		role, err := s.build(names)
		if err != nil {
			return nil, nil, err
		}
		spec.Roles = append(spec.Roles, role)
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
	return spec, warnings, nil
}

// networkWarnings tells of networks that were to be made for the service: none is made here.
func networkWarnings(root *Object) []Warning {
	var warnings []Warning
	for i, v := range root.Array("networks_values") {
		entry := v.(*Object)
		for _, name := range entry.Keys() {
			if entry.Object(name).Get("id") == nil {
				warnings = append(warnings, Warning{
					Path:    path{"networks_values", i, name}.String(),
					Message: "the network has no id; it is not made, and $" + name + " stays as it is",
				})
			}
		}
	}
	return warnings
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
}

func (s *roleBuilder) build(names map[string]bool) (service.RoleSpec, error) {
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
		if name, ok := p.(string); ok && names[name] && name != spec.Name && !slices.Contains(spec.Parents, name) {
			spec.Parents = append(spec.Parents, name)
		}
	}
	id, _ := r.Int("template_id")
	machine, err := s.opts.Machine(id)
	if err != nil {
		key := "template_id"
		if s.body.Generation() == Old {
			key = "vm_template"
		}
		return spec, s.body.fail(Invalid, s.path.with(key), "Role '%s': %v", spec.Name, err)
	}
	spec.Policies = policies(r)
	spec.Machine, err = s.machine(machine, spec.Parents)
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
