package render

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"

	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// A reference is a name in a template with what is looked up in it: inputs.VERSION, roles.db[0].address.
type reference struct {
	path []string // indices as "0"
	line int
	// optional: the template asks whether it is there, or says what to take otherwise.
	optional bool
}

func (r *reference) key() string { return strings.Join(r.path, "\x00") }

// references returns what a template looks up. It must parse.
func references(text string) []reference {
	if plain(text) {
		return nil
	}
	c := config.New()
	t, err := exec.NewTemplate(entry, c, &closed{text: text}, environment())
	if err != nil {
		return nil
	}
	f := &finder{seen: map[uintptr]bool{}}
	f.walk(reflect.ValueOf(t.Root()), false)
	optional := map[string]bool{}
	for _, r := range f.found {
		if r.optional {
			optional[r.key()] = true
		}
	}
	for n := range f.found { // asked for once, it may be used elsewhere under that condition
		f.found[n].optional = optional[f.found[n].key()]
	}
	return f.found
}

// A finder walks through a parsed template as the engine has made it, fields that are not exported included.
type finder struct {
	seen  map[uintptr]bool
	found []reference
}

func (f *finder) walk(v reflect.Value, optional bool) {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			f.walk(v.Elem(), optional)
		}
	case reflect.Pointer:
		if v.IsNil() || !strings.HasPrefix(v.Type().Elem().PkgPath(), enginePath) || v.Type() == reflect.TypeFor[*tokens.Token]() || f.seen[v.Pointer()] {
			return
		}
		f.seen[v.Pointer()] = true
		if !v.CanInterface() {
			v = reflect.NewAt(v.Type().Elem(), v.UnsafePointer())
		}
		f.node(v, optional)
	case reflect.Struct:
		if !strings.HasPrefix(v.Type().PkgPath(), enginePath) || strings.HasSuffix(v.Type().PkgPath(), "/parser") {
			return
		}
		for i := range v.NumField() {
			name := strings.ToLower(v.Type().Field(i).Name)
			f.walk(v.Field(i), optional || strings.HasPrefix(name, "condition"))
		}
	case reflect.Slice:
		for i := range v.Len() {
			f.walk(v.Index(i), optional)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			f.walk(it.Value(), optional)
		}
	}
}

// node looks at one node; v points to it.
func (f *finder) node(v reflect.Value, optional bool) {
	switch n := v.Interface().(type) {
	case *nodes.Name, *nodes.GetAttribute, *nodes.GetItem:
		f.look(n.(nodes.Node), optional)
		return
	case *nodes.Call: // of a method, the name is none that is looked up
		if a, ok := n.Func.(*nodes.GetAttribute); ok {
			f.walk(reflect.ValueOf(a.Node), true)
		}
		f.walk(reflect.ValueOf(n.Args), optional)
		f.walk(reflect.ValueOf(n.Kwargs), optional)
		return
	case *nodes.FilteredExpression:
		optional = optional || slices.ContainsFunc(n.Filters, func(c *nodes.FilterCall) bool { return c.Name == "default" || c.Name == "d" })
	case *nodes.TestExpression:
		optional = true
	case *nodes.BinaryExpression:
		switch n.Operator.Token.Val {
		case "or", "and", "==", "!=", "in", "not in":
			optional = true
		}
	}
	f.walk(v.Elem(), optional)
}

// look notes a reference, and walks through what its indices are computed from.
func (f *finder) look(n nodes.Node, optional bool) {
	var path []string
	for at := n; ; {
		switch x := at.(type) {
		case *nodes.Name:
			path = append(path, x.Name.Val)
			slices.Reverse(path)
			f.found = append(f.found, reference{path, x.Name.Line, optional})
			return
		case *nodes.GetAttribute:
			name := x.Attribute
			if name == "" {
				name = strconv.Itoa(x.Index)
			}
			path, at = append(path, name), x.Node
		case *nodes.GetItem:
			switch arg := x.Arg.(type) {
			case *nodes.String:
				path = append(path, arg.Val)
			case *nodes.Integer:
				path = append(path, strconv.Itoa(arg.Val))
			default: // computed: what is looked up in it is not known
				f.walk(reflect.ValueOf(x.Arg), optional)
				path = path[:0]
			}
			at = x.Node
		default:
			f.walk(reflect.ValueOf(at), optional)
			return
		}
	}
}

// Names that a template gives itself.
var (
	gives = regexp.MustCompile(`\{%[-+]?\s*(?:set|for|macro|call|with|filter|trans)\b([^%]*)`)
	word  = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
)

func givenBy(text string) map[string]bool {
	given := map[string]bool{"loop": true, "caller": true, "varargs": true, "kwargs": true, "self": true}
	for _, m := range gives.FindAllStringSubmatch(text, -1) {
		names := m[1]
		if before, _, ok := strings.Cut(names, " in "); ok {
			names = before
		}
		for part := range strings.SplitSeq(names, ",") {
			before, _, _ := strings.Cut(part, "=")
			for _, w := range word.FindAllString(before, -1) {
				given[w] = true
			}
		}
	}
	return given
}

// A known says which names there are below those that a scope has.
type known struct {
	spec   *service.Spec
	role   *service.RoleSpec
	inputs []string
}

// wrong says what is wrong with a reference; certain, when no template can make it right.
func (k *known) wrong(r *reference, given map[string]bool) (text string, certain bool) {
	p := r.path
	if len(p) > 1 && p[0] == "service" && p[1] == "inputs" {
		p = p[1:]
	}
	if given[p[0]] {
		return "", false
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
				"instance": {"instance.name", "instance.id", "instance.number", "instance.address", "instance.uuid"}}[p[0]])
		}
	case "resources":
		if len(p) > 1 && !slices.Contains(k.inputs, p[0]) {
			return missing("resource among those that the role needs,", p[1], k.role.Needs)
		}
	default:
		if !slices.Contains(k.inputs, p[0]) && !environment().Context.Has(p[0]) {
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
			given := givenBy(text)
			told := map[string]bool{}
			for _, x := range references(text) {
				wrong, certain := k.wrong(&x, given)
				if wrong == "" || x.optional || told[wrong] {
					continue
				}
				told[wrong] = true
				if wrong = fmt.Sprintf("line %d: %s", x.line, wrong); !certain {
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
