package oneflow

import (
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/service"
)

// Keys that a server writes into the body of a running service and that are no part of the wish.
var (
	runtimeKeys     = []string{"state", "log", "start_time"}
	runtimeRoleKeys = []string{"state", "nodes", "last_vmname", "disposed_nodes", "scale_way", "cooldown_end", "cooldown_duration"}
)

// body is the BODY of a service as it runs: what was stored, with the states, the nodes and the log of
// now (specification, section 8, the union of both generations).
func (f *OneFlow) body(s *snapshot) (*format.Object, error) {
	stored, err := s.stored()
	if err != nil {
		return nil, err
	}
	if f.NewForm {
		if stored, err = stored.In(format.New); err != nil {
			return nil, err
		}
	}
	root := stored.Root()
	hide(root, s.spec.Secrets)
	networks := s.networks(stored)
	format.SetNetworkIDs(root, networks)
	roles := root.Array("roles")
	known := make(map[string]*format.Object, len(roles))
	for _, r := range roles {
		if role, ok := r.(*format.Object); ok {
			known[role.Text("name")] = role
		}
	}
	for n := range s.roles {
		r := &s.roles[n]
		role := known[r.name]
		if role == nil { // it is leaving
			role = describe(r.spec)
			roles = append(roles, role)
		}
		f.runRole(s, r, role, networks)
	}
	root.Set("roles", roles)
	root.Set("state", number(stateOf(s.state, false)))
	root.Set("start_time", number(s.created.Time().Unix()))
	root.Set("log", story(s.log))
	return root, nil
}

// runRole adds to the body of a role what is so now.
func (f *OneFlow) runRole(s *snapshot, r *roleShot, role *format.Object, networks func(string) (string, bool)) {
	role.Set("cardinality", number(r.cardinality))
	role.Set("state", number(stateOf(r.state, true)))
	format.ShowPolicies(role, r.memories, r.scaled)
	nodes := []any{}
	show := s.show(r.spec, networks)
	for n := range r.nodes {
		nodes = append(nodes, f.node(s, r, &r.nodes[n], show))
	}
	role.Set("nodes", nodes)
	disposed := []any{}
	for _, serial := range r.disposed {
		disposed = append(disposed, number(service.NumericID(s.id, serial)))
	}
	role.Set("disposed_nodes", disposed)
	role.Set("last_vmname", number(r.next))
	if !role.Has("on_hold") {
		role.Set("on_hold", false)
	}
	if role.Text("type") != "vr" && !role.Has("cooldown") {
		role.Set("cooldown", number(r.spec.Cooldown/time.Second))
	}
	switch r.state {
	case service.Scaling, service.FailedScaling:
		way := 0
		if r.down {
			way = 1
		}
		role.Set("scale_way", number(way))
	case service.Cooldown:
		role.Set("cooldown_end", number(r.until.Time().Unix()))
	}
}

// show returns what makes of a text of a role's machines what may be seen of it.
func (s *snapshot) show(role *service.RoleSpec, networks func(string) (string, bool)) func(string) string {
	veil := veilOf(s.spec, role)
	if len(s.made) == 0 {
		return veil
	}
	return func(text string) string {
		text = veil(text)
		if filled, err := format.Expand(text, networks); err == nil {
			return filled
		}
		return text
	}
}

// stateOf maps the core's states: an update looks like a scaling, and roles have a code of their own
// for HOLD (specification, section 9.1).
func stateOf(s service.State, role bool) service.State {
	switch {
	case s == service.Updating:
		return service.Scaling
	case s == service.FailedUpdating:
		return service.FailedScaling
	case s == service.Hold && role:
		return service.DeployingNets // 11
	}
	return s
}

func story(events []service.Event) []any {
	log := []any{}
	for _, e := range events {
		severity := "I"
		if e.Error {
			severity = "E"
		}
		log = append(log, object("timestamp", number(e.Time.Time().Unix()), "severity", severity, "message", e.Message))
	}
	return log
}

// wish takes what only runs out of a body, so that it can be stored.
func wish(root *format.Object) {
	format.SetNetworkIDs(root, func(string) (string, bool) { return "", false })
	for _, key := range runtimeKeys {
		root.Delete(key)
	}
	for _, r := range root.Array("roles") {
		if role, ok := r.(*format.Object); ok {
			for _, key := range runtimeRoleKeys {
				role.Delete(key)
			}
			format.ForgetPolicies(role)
		}
	}
}

// eachSecret lets f see every value of a secret input in a body: role is "" for the service's own.
func eachSecret(root *format.Object, secrets []string, f func(role string, values *format.Object, name string)) {
	visit := func(role string, o *format.Object) {
		for _, key := range [...]string{"user_inputs_values", "custom_attrs_values"} {
			values := o.Object(key)
			for _, name := range secrets {
				if values.Has(name) {
					f(role, values, name)
				}
			}
		}
	}
	visit("", root)
	for _, r := range root.Array("roles") {
		if role, ok := r.(*format.Object); ok {
			visit(role.Text("name"), role)
		}
	}
}

// hide covers the values of secret inputs.
func hide(root *format.Object, secrets []string) {
	eachSecret(root, secrets, func(_ string, values *format.Object, name string) { values.Set(name, driver.Redacted) })
}

// reveal puts the stored values back where a body has covered ones.
func reveal(root, stored *format.Object, secrets []string) {
	known := make(map[[2]string]any)
	eachSecret(stored, secrets, func(role string, values *format.Object, name string) { known[[2]string{role, name}] = values.Get(name) })
	eachSecret(root, secrets, func(role string, values *format.Object, name string) {
		if v, ok := known[[2]string{role, name}]; ok && values.Get(name) == driver.Redacted {
			values.Set(name, v)
		}
	})
}

// veilOf returns what covers the values of a role's secret inputs in any text.
func veilOf(spec *service.Spec, role *service.RoleSpec) func(string) string {
	var values []string
	for _, name := range spec.Secrets {
		for _, v := range [...]string{spec.Inputs[name], role.Inputs[name]} {
			if v != "" {
				values = append(values, v)
			}
		}
	}
	if len(values) == 0 {
		return func(text string) string { return text }
	}
	// Short values would cover half of every text: those count only as a whole.
	const short = 4
	return func(text string) string {
		if slices.Contains(values, text) {
			return driver.Redacted
		}
		for _, v := range values {
			if len(v) >= short {
				text = strings.ReplaceAll(text, v, driver.Redacted)
			}
		}
		return text
	}
}
