package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/troupe-dev/troupe/internal/jinja"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// references returns what a template looks up; nothing for one that does not parse.
func references(text string) []jinja.Reference {
	if plain(text) || len(text) > MaxTemplate {
		return nil
	}
	t, err := cached(text)
	if err != nil {
		return nil
	}
	return t.References()
}

// A known says which names there are below those that a scope has.
type known struct {
	spec   *service.Spec
	role   *service.RoleSpec
	inputs []string
}

// wrong says what is wrong with a reference; certain, when no template can make it right.
func (k *known) wrong(r *jinja.Reference) (text string, certain bool) {
	p := r.Path
	if len(p) > 1 && p[0] == "service" && p[1] == "inputs" {
		p = p[1:]
	}
	missing := func(what, name string, names []string) (string, bool) {
		if slices.Contains(names, name) {
			return "", false
		}
		return fmt.Sprintf("no %s %q%s", what, name, nearest.Hint(name, names)), true
	}
	switch p[0] {
	case "inputs":
		if len(p) > 1 {
			return missing("input", p[1], k.inputs)
		}
	case "roles":
		return k.wrongRole(p, missing)
	case "service", "role", "instance":
		if len(p) > 1 {
			return missing("value", p[0]+"."+p[1], map[string][]string{"service": {"service.name", "service.id", "service.inputs"}, "role": {"role.name", "role.number"},
				"instance": {"instance.name", "instance.id", "instance.number", "instance.address"}}[p[0]])
		}
	case "resources":
		if len(p) > 1 && !slices.Contains(k.inputs, p[0]) {
			return missing("resource among those that the role needs,", p[1], k.role.Needs)
		}
	default:
		if !slices.Contains(k.inputs, p[0]) && !slices.Contains(jinja.Globals(), p[0]) {
			return fmt.Sprintf("no value %q, so that it is empty%s", p[0], nearest.Hint(p[0], k.inputs)), false
		}
	}
	return "", false
}

func (k *known) wrongRole(p []string, missing func(what, name string, names []string) (string, bool)) (string, bool) {
	if len(p) < 2 {
		return "", false
	}
	if !slices.Contains(k.role.Parents, p[1]) {
		if k.spec.Role(p[1]) >= 0 {
			return fmt.Sprintf("role %q is not among those that role %s needs; add it there", p[1], k.role.Name), true
		}
		return missing("role", p[1], k.role.Parents)
	}
	if len(p) > 3 {
		if _, err := strconv.Atoi(p[2]); err == nil {
			return missing("value of an instance,", p[3], []string{"name", "number", "address", "addresses", "attributes"})
		}
	}
	return "", false
}

// CheckNames holds the names in the templates of a specification against what will be there: inputs, the roles
// and resources that a role needs, and their fields. What is certainly not there is an error of type
// service.Problems, with its place; of other names that nothing gives a value the warnings tell. Names that a
// template asks about ("is defined", default, if) are left to it. Roles that skip reports are not looked at.
func CheckNames(s *service.Spec, skip func(*service.RoleSpec) bool) (warnings []string, err error) {
	var found service.Problems
	for i := range s.Roles {
		r := &s.Roles[i]
		if skip != nil && skip(r) {
			continue
		}
		k := &known{s, r, slices.Sorted(maps.Keys(s.Inputs))}
		k.inputs = append(k.inputs, slices.Sorted(maps.Keys(r.Inputs))...)
		eachTemplate(fmt.Sprintf("roles[%d].machine.", i), &r.Machine, func(place, text string) {
			told := map[string]bool{}
			for _, x := range references(text) {
				wrong, certain := k.wrong(&x)
				if wrong == "" || x.Optional || told[wrong] {
					continue
				}
				told[wrong] = true
				if wrong = fmt.Sprintf("line %d: %s", x.Line, wrong); !certain {
					warnings = append(warnings, place+": "+wrong)
				} else if len(found) < service.MaxProblems {
					found = append(found, &service.Problem{Path: place, Text: wrong})
				}
			}
		})
	}
	if len(found) > 0 {
		return warnings, found
	}
	return warnings, nil
}
