package render

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/troupe-dev/troupe/internal/jinja"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// Connect adds to a specification what its templates say of its graph: a role needs the services that it shows; a needed
// service needs what its inputs show; and of each needed service those outputs are used that are referred to. What is
// there already stays.
func Connect(s *service.Spec) {
	if len(s.Services) == 0 {
		return
	}
	for i := range s.Roles {
		r := &s.Roles[i]
		eachTemplate("", &r.Machine, func(_, text string) {
			eachReference(text, func(x *jinja.Reference) {
				if name := use(s, x); name != "" {
					r.Needs = with(r.Needs, name)
				}
			})
		})
	}
	for i := range s.Services {
		x := &s.Services[i]
		for _, input := range slices.Sorted(maps.Keys(x.Inputs)) {
			eachReference(x.Inputs[input], func(ref *jinja.Reference) {
				name := use(s, ref)
				if name == "" && len(ref.Path) > 1 {
					switch at := ref.Path[1]; {
					case ref.Path[0] == "roles" && s.Role(at) >= 0, ref.Path[0] == "resources" && s.Resource(at) != nil:
						name = at
					}
				}
				if name != "" {
					x.Needs = with(x.Needs, name)
				}
			})
		}
	}
	for i := range s.Outputs {
		eachReference(s.Outputs[i].Value, func(ref *jinja.Reference) { use(s, ref) })
	}
}

func eachReference(text string, f func(*jinja.Reference)) {
	for _, x := range references(text) {
		f(&x)
	}
}

// use notes which output of a needed service a reference uses, and returns the service's name; "" for none.
func use(s *service.Spec, ref *jinja.Reference) string {
	p := ref.Path
	if len(p) < 2 || p[0] != "services" {
		return ""
	}
	x := s.Supplier(p[1])
	if x == nil {
		return ""
	}
	if len(p) > 3 && p[2] == "outputs" && !ref.Optional {
		x.Uses = with(x.Uses, p[3])
	}
	return x.Name
}

func with(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(slices.Clip(names), name)
}

// eachShared calls f for each template of a service that is no instance's, with its place and the names that it may look at.
func eachShared(s *service.Spec, f func(place, text string, sees *service.RoleSpec)) {
	all := &service.RoleSpec{}
	for i := range s.Roles {
		all.Parents = append(all.Parents, s.Roles[i].Name)
	}
	for i := range s.Resources {
		all.Needs = append(all.Needs, s.Resources[i].Name)
	}
	for i := range s.Services {
		all.Needs = append(all.Needs, s.Services[i].Name)
	}
	for i := range s.Services {
		x := &s.Services[i]
		for _, input := range slices.Sorted(maps.Keys(x.Inputs)) {
			f(fmt.Sprintf("services[%d].inputs.%s", i, input), x.Inputs[input], all) // a reference makes the need
		}
	}
	for i := range s.Outputs {
		f(fmt.Sprintf("outputs[%d].value", i), s.Outputs[i].Value, all)
	}
}

// checkShared parses those templates, and the services that are made for this one.
func checkShared(s *service.Spec) (found service.Problems) {
	eachShared(s, func(place, text string, _ *service.RoleSpec) {
		if err, bad := Check(place, text).(*Error); bad {
			problem := &service.Problem{Path: place, Text: err.Text}
			if err.Line > 0 {
				problem.Text = fmt.Sprintf("line %d: %s", err.Line, err.Text)
			}
			found = append(found, problem)
		}
	})
	return append(found, within(s, func(inner *service.Spec) error { return CheckSpec(inner) })...)
}

// within returns what is wrong with the services that are made for this one, with their places in this one.
func within(s *service.Spec, check func(*service.Spec) error) (found service.Problems) {
	for i := range s.Services {
		if s.Services[i].Spec == nil {
			continue
		}
		var inner service.Problems
		if errors.As(check(s.Services[i].Spec), &inner) {
			for _, p := range inner {
				found = append(found, &service.Problem{Path: fmt.Sprintf("services[%d].spec.%s", i, p.Path), Text: p.Text})
			}
		}
	}
	return found
}

// wrongService says what is wrong with a reference to a needed service.
func (k *known) wrongService(p []string, missing func(what, name string, names []string) (string, bool)) (string, bool) {
	if len(p) < 2 {
		return "", false
	}
	x := k.spec.Supplier(p[1])
	if x == nil || !slices.Contains(k.role.Needs, p[1]) {
		var names []string
		for i := range k.spec.Services {
			names = append(names, k.spec.Services[i].Name)
		}
		if x != nil {
			return fmt.Sprintf("service %q is not among those that role %s needs; add it there", p[1], k.role.Name), true
		}
		return missing("needed service", p[1], names)
	}
	if len(p) > 2 && p[2] != "outputs" && p[2] != "id" {
		return fmt.Sprintf("no value %q of a needed service%s; its outputs are in outputs", p[2], nearest.Hint(p[2], []string{"outputs", "id"})), true
	}
	if len(p) > 3 && x.Spec != nil {
		var names []string
		for i := range x.Spec.Outputs {
			names = append(names, x.Spec.Outputs[i].Name)
		}
		return missing("output of service "+x.Name+",", p[3], names)
	}
	return "", false
}
