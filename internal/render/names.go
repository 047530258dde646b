package render

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

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
	spec      *service.Spec
	role      *service.RoleSpec
	inputs    []string
	variables service.Values
	static    map[string]any // names that stand as they are, and nil for those that are rendered
	commands  bool           // templates may run commands
	shared    bool           // the template is no instance's
}

func newKnown(s *service.Spec, r *service.RoleSpec, commands bool) *known {
	k := &known{spec: s, role: r, inputs: slices.Sorted(maps.Keys(s.Inputs)), variables: s.VariablesOf(r), static: map[string]any{}, commands: commands}
	k.inputs = append(k.inputs, slices.Sorted(maps.Keys(r.Inputs))...)
	for i := range r.Machine.Implementations {
		x := &r.Machine.Implementations[i]
		maps.Copy(k.static, x.Names)
		for name, v := range x.Rendered {
			k.static[name] = v
		}
	}
	return k
}

// names returns all that a template can begin a path with.
func (k *known) names() []string {
	out := slices.Concat(k.inputs, slices.Collect(maps.Keys(k.static)), slices.Collect(maps.Keys(functions)), jinja.Globals(),
		[]string{"service", "role", "instance", "roles", "inputs", "variables", "resources", "services"})
	slices.Sort(out)
	return slices.Compact(out)
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
	case "services":
		if !slices.Contains(k.inputs, p[0]) {
			return k.wrongService(p, missing)
		}
	case "service", "role", "instance":
		if k.shared && p[0] != "service" {
			return fmt.Sprintf("no %s here: this is of the whole service", p[0]), true
		}
		if len(p) > 1 {
			return missing("value", p[0]+"."+p[1], map[string][]string{"service": {"service.name", "service.id", "service.inputs"}, "role": {"role.name", "role.number"},
				"instance": {"instance.name", "instance.id", "instance.number", "instance.address", "instance.uuid"}}[p[0]])
		}
	case "resources":
		if len(p) > 1 && !slices.Contains(k.inputs, p[0]) {
			return missing("resource among those that the role needs,", p[1], k.role.Needs)
		}
	default:
		return k.wrongName(r, missing)
	}
	return "", false
}

// wrongName looks at names that inputs, formats and functions give, in the order in which they hide each other.
func (k *known) wrongName(r *jinja.Reference, missing func(what, name string, names []string) (string, bool)) (string, bool) {
	first := r.Path[0]
	v, static := k.static[first]
	switch _, isFunction := functions[first]; {
	case static:
		return lost(v, r.Path)
	case slices.Contains(k.inputs, first):
	case first == "variables":
		return lost(map[string]any(k.variables), r.Path)
	case isFunction && r.Called:
		return k.wrongCall(r, missing)
	case isFunction, slices.Contains(jinja.Globals(), first):
	case r.Called:
		return fmt.Sprintf("no function %q%s", first, nearest.Hint(first, k.names())), true
	default:
		return fmt.Sprintf("no value %q, so that it is empty%s", first, nearest.Hint(first, k.names())), false
	}
	return "", false
}

// lost says where a path leaves the mappings of a value: at its last name it is empty, before that an error.
func lost(v any, path []string) (text string, certain bool) {
	for n, name := range path[1:] {
		m, ok := v.(map[string]any)
		if !ok {
			return "", false // into lists and texts: that depends
		}
		if v, ok = m[name]; ok {
			continue
		}
		if slices.Contains(jinja.DictMethods(), name) {
			return "", false
		}
		whole, hint := strings.Join(path[:n+2], "."), nearest.Hint(name, slices.Sorted(maps.Keys(m)))
		if n+2 < len(path) {
			return fmt.Sprintf("no value %q%s", whole, hint), true
		}
		return fmt.Sprintf("no value %q, so that it is empty%s", whole, hint), false
	}
	return "", false
}

// wrongCall looks at the values that a function is given, as far as they are known.
func (k *known) wrongCall(r *jinja.Reference, missing func(what, name string, names []string) (string, bool)) (string, bool) {
	if r.Path[0] == "cmd" && !k.commands {
		return errNoCommands.Error(), true
	}
	if len(r.Args) == 0 {
		return "", false
	}
	word, ok := k.constant(r.Args[0]).(string)
	switch {
	case !ok:
	case takesRole[r.Path[0]]:
		return k.wrongRole([]string{"roles", word}, missing)
	case r.Path[0] == "ibget":
		return missing("answer to", word, questions)
	}
	return "", false
}

// constant returns an argument's value where it stands in the template or in what the service says.
func (k *known) constant(arg any) any {
	path, ok := arg.(jinja.Path)
	if !ok {
		return arg
	}
	v, there := k.static[path[0]]
	if path[0] == "variables" && !there {
		v = map[string]any(k.variables)
	}
	for _, name := range path[1:] {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	if s, ok := v.(string); ok && plain(s) {
		return s
	}
	return nil
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
			return missing("value of an instance,", p[3], peerFields)
		}
	}
	return "", false
}

// RolesIn returns the roles that the functions in a role's templates name (getip("db")), in order, as far as that
// is known beforehand: formats whose templates may look at any role make them its parents.
func RolesIn(s *service.Spec, r *service.RoleSpec) []string {
	k := newKnown(s, r, true)
	var found []string
	eachTemplate("", &r.Machine, func(_, text string) {
		for _, x := range references(text) {
			if x.Called && takesRole[x.Path[0]] && len(x.Args) > 0 {
				if role, ok := k.constant(x.Args[0]).(string); ok && s.Role(role) >= 0 {
					found = append(found, role)
				}
			}
		}
	})
	slices.Sort(found)
	return slices.Compact(found)
}

// Rules say what CheckNames looks at.
type Rules struct {
	Skip     func(*service.RoleSpec) bool // roles that are not looked at; nil for none
	Commands bool                         // templates may run commands on the server's host
}

// CheckNames holds the names in the templates of a specification against what will be there: inputs, variables, the
// roles and resources that a role needs, their fields, functions. What is certainly not there is an error of type
// service.Problems, with its place; of other names that nothing gives a value the warnings tell. Names that a
// template asks about ("is defined", default, if) are left to it.
func CheckNames(s *service.Spec, rules Rules) (warnings []string, err error) {
	var found service.Problems
	look := func(k *known, place, text string) {
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
	}
	for i := range s.Roles {
		r := &s.Roles[i]
		if rules.Skip != nil && rules.Skip(r) {
			continue
		}
		k := newKnown(s, r, rules.Commands)
		eachTemplate(fmt.Sprintf("roles[%d].machine.", i), &r.Machine, func(place, text string) { look(k, place, text) })
	}
	eachShared(s, func(place, text string, sees *service.RoleSpec) {
		k := newKnown(s, sees, false)
		k.shared = true
		look(k, place, text)
	})
	found = append(found, within(s, func(inner *service.Spec) error {
		more, err := CheckNames(inner, Rules{Commands: rules.Commands})
		warnings = append(warnings, more...)
		return err
	})...)
	if len(found) > 0 {
		return warnings, found
	}
	return warnings, nil
}

// Foresee returns an implementation's options as a driver can check them before anything is made: with templates
// rendered as far as what they look at is known. An option that is not is left as it stands where text is taken
// (kept), and otherwise left out.
func Foresee(s *service.Spec, r *service.RoleSpec, x *service.Implementation, kept func(option string) bool) map[string]any {
	if !hasTemplate(x.Options) {
		return x.Options
	}
	scope := &Scope{
		Service: Service{Name: s.Name, ID: "0"}, Role: Role{r.Name, r.Cardinality}, Instance: Instance{Name: r.Name + "-0", ID: "0-0-0"},
		Inputs: maps.Clone(s.Inputs), Variables: s.VariablesOf(r), Names: x.Names, Rendered: x.Rendered, Strict: true,
	}
	if scope.Inputs == nil {
		scope.Inputs = map[string]string{}
	}
	maps.Copy(scope.Inputs, r.Inputs)
	out := make(map[string]any, len(x.Options))
	for name, v := range x.Options {
		t := &texts{ctx: context.Background(), scope: scope} // each text has its own limit of time
		if made := t.deep(name, v); t.err == nil {
			out[name] = made
		} else if kept(name) {
			out[name] = v
		}
	}
	return out
}
