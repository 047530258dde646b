package hot

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// call carries out a function.
func (f *frame) call(name string, n *tree.Node) (any, error) {
	switch name { // those that do not evaluate all that they are given
	case "get_param":
		return f.getParam(n)
	case "get_resource":
		return f.getResource(n)
	case "get_attr":
		return f.getAttr(n)
	case "get_file":
		_, text, ok := f.e.fileOf(f.t, n.Text)
		if !ok {
			return nil, wrong(n.At, "the file %q is not there", n.Text)
		}
		return plainText(n.At, text)
	case "Ref":
		if f.t.isParameter(n.Text) {
			return f.getParam(n)
		}
		return f.getResource(n)
	case "repeat":
		return f.repeat(n)
	case "if":
		return f.choose(n)
	case "not":
		b, err := f.condition(n)
		return !b, err
	case "and", "or":
		return f.both(name, n)
	case "yaql":
		return nil, wrong(n.At, "yaql is not evaluated here: say it with the other functions, or work it out before and give it as a parameter")
	}
	v, err := f.eval(n)
	if err != nil {
		return nil, err
	}
	fn := function(name)
	if fn == nil {
		return nil, wrong(n.At, "the function %s is not there", name)
	}
	v, err = fn(f, n.At, v)
	return v, located(n.At, err)
}

// function returns a function that sees its arguments evaluated; nil for a name that is none.
func function(name string) func(f *frame, at tree.Place, v any) (any, error) {
	switch name {
	case "str_replace":
		return func(f *frame, at tree.Place, v any) (any, error) { return f.strReplace(at, v, lenient) }
	case "str_replace_strict":
		return func(f *frame, at tree.Place, v any) (any, error) { return f.strReplace(at, v, strict) }
	case "str_replace_vstrict":
		return func(f *frame, at tree.Place, v any) (any, error) { return f.strReplace(at, v, veryStrict) }
	case "list_join", "Fn::Join":
		return (*frame).listJoin
	case "str_split", "Fn::Split":
		return (*frame).strSplit
	case "digest":
		return (*frame).digest
	case "map_merge":
		return (*frame).mapMerge
	case "map_replace":
		return (*frame).mapReplace
	case "list_concat":
		return func(f *frame, _ tree.Place, v any) (any, error) { return f.listConcat(v, false) }
	case "list_concat_unique":
		return func(f *frame, _ tree.Place, v any) (any, error) { return f.listConcat(v, true) }
	case "filter":
		return (*frame).filter
	case "contains":
		return (*frame).contains
	case "equals":
		return (*frame).equals
	case "make_url":
		return (*frame).makeURL
	case "resource_facade", "Fn::ResourceFacade":
		return (*frame).facade
	case "Fn::Base64":
		return func(_ *frame, _ tree.Place, v any) (any, error) { return v, nil }
	case "Fn::GetAZs":
		return func(*frame, tree.Place, any) (any, error) { return []any{"nova"}, nil }
	case "Fn::Select":
		return (*frame).pick
	case "Fn::Replace":
		return (*frame).replacePairs
	case "Fn::MemberListToMap":
		return (*frame).memberList
	}
	return nil
}

// arguments returns the items of a list that a function is given, which must have from least to most.
func arguments(v any, form string, least, most int) ([]any, error) {
	list, ok := v.([]any)
	if !ok || len(list) < least || most >= 0 && len(list) > most {
		return nil, fmt.Errorf("expected %s, found %.60q", form, scalarOrKind(v))
	}
	return list, nil
}

func (f *frame) getParam(n *tree.Node) (any, error) {
	v, err := f.eval(n)
	if err != nil {
		return nil, err
	}
	var path []any
	if list, ok := v.([]any); ok {
		if len(list) == 0 {
			return nil, errors.New("get_param needs the name of a parameter")
		}
		v, path = list[0], list[1:]
	}
	name, ok := v.(string)
	if !ok || n.Kind == tree.Mapping {
		return nil, fmt.Errorf("get_param needs the name of a parameter, found %.60q", scalarOrKind(v))
	}
	value, ok := f.params[name]
	if !ok {
		var names []string
		for k := range f.params {
			names = append(names, k)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("no parameter %q%s", name, nearest.Hint(name, names))
	}
	out, err := dig(value, path)
	if out == nil && err == nil && len(path) > 0 {
		return "", nil
	}
	return out, err
}

// find returns a resource by its name; nil for one that a condition leaves out.
func (f *frame) find(at tree.Place, v any) (*resource, error) {
	name, ok := v.(string)
	if !ok {
		return nil, wrong(at, "expected the name of a resource, found %.60q", scalarOrKind(v))
	}
	r := f.byName[name]
	switch {
	case r == nil && marked(name):
		return nil, wrong(at, "which resource is meant would be known only once the machine is there")
	case r == nil:
		return nil, wrong(at, "no resource %q%s", name, nearest.Hint(name, f.resourceNames()))
	case r.off:
		return nil, nil
	}
	if f.r != nil && f.r != r {
		f.r.uses[r] = true
	}
	return r, nil
}

func (f *frame) getResource(n *tree.Node) (any, error) {
	v, err := f.eval(n)
	if err != nil {
		return nil, err
	}
	r, err := f.find(n.At, v)
	if err != nil || r == nil {
		return nil, err
	}
	return r.reference(n.At)
}

func (f *frame) getAttr(n *tree.Node) (any, error) {
	v, err := f.eval(n)
	if err != nil {
		return nil, err
	}
	list, err := arguments(v, "[resource, attribute, …]", 1, -1)
	if err != nil {
		return nil, err
	}
	r, err := f.find(n.At, list[0])
	if err != nil || r == nil {
		return nil, err
	}
	return r.attribute(n.At, list[1:])
}

// repeat makes a list of a template, once for each of the values, or for each combination of them.
func (f *frame) repeat(n *tree.Node) (any, error) {
	template, each := n.Get("template"), n.Get("for_each")
	if n.Kind != tree.Mapping || template == nil || each == nil {
		return nil, wrong(n.At, "repeat needs template and for_each")
	}
	for _, e := range n.Entries {
		if !slices.Contains([]string{"template", "for_each", "permutations"}, e.Key) {
			return nil, wrong(e.At, "unknown key %q%s", e.Key, nearest.Hint(e.Key, []string{"template", "for_each", "permutations"}))
		}
	}
	v, err := f.eval(each)
	if err != nil {
		return nil, err
	}
	values, ok := v.(map[string]any)
	if !ok {
		return nil, wrong(each.At, "for_each needs variables with their lists, found %.60q", scalarOrKind(v))
	}
	combine := true
	if p := n.Get("permutations"); p != nil {
		if combine, err = f.condition(p); err != nil {
			return nil, err
		}
	}
	var names []string
	lists := map[string][]any{}
	rounds := 1
	for _, name := range entryNames(each) {
		list, err := items(values[name])
		if err != nil {
			return nil, wrong(each.At, "%s: %v", name, err)
		}
		switch {
		case combine:
			rounds *= len(list)
		case len(names) > 0 && len(list) != rounds:
			return nil, wrong(each.At, "%s has %d values, and %s %d: without permutations all have as many", name, len(list), names[0], rounds)
		default:
			rounds = len(list)
		}
		if rounds > maxSteps {
			return nil, wrong(n.At, "repeat would make more than %d values", maxSteps)
		}
		names, lists[name] = append(names, name), list
	}
	return f.rounds(template, names, lists, rounds, combine)
}

func (f *frame) rounds(template *tree.Node, names []string, lists map[string][]any, rounds int, combine bool) (any, error) {
	out := make([]any, 0, min(rounds, 1024))
	for i := range rounds {
		inner := &frame{stack: f.stack, r: f.r, vars: map[string]any{}}
		for k, v := range f.vars {
			inner.vars[k] = v
		}
		rest := i
		for k := len(names) - 1; k >= 0; k-- { // the last varies fastest
			list := lists[names[k]]
			if !combine {
				inner.vars[names[k]] = list[i]
				continue
			}
			inner.vars[names[k]] = list[rest%len(list)]
			rest /= len(list)
		}
		v, err := inner.eval(template)
		if err != nil {
			return nil, err
		}
		if _, gone := v.(omitted); !gone {
			out = append(out, v)
		}
	}
	return out, nil
}

// items returns what repeat goes through: a list, the entries of a mapping, or the parts of a text with commas.
func items(v any) ([]any, error) {
	switch v := v.(type) {
	case []any:
		return v, nil
	case nil:
		return nil, nil
	case map[string]any:
		var out []any
		for _, k := range sortedKeys(v) {
			out = append(out, k)
		}
		return out, nil
	case string:
		list, err := listOf(v)
		if err != nil {
			return nil, err
		}
		return list.([]any), nil
	}
	return nil, fmt.Errorf("expected a list, found %.60q", scalarOrKind(v))
}

// choose is if: the value that a condition names.
func (f *frame) choose(n *tree.Node) (any, error) {
	if n.Kind != tree.List || len(n.Items) != 3 && (len(n.Items) != 2 || f.t.version < versionOmit) {
		return nil, wrong(n.At, "if needs [condition, value, other value]")
	}
	b, err := f.condition(n.Items[0])
	switch {
	case err != nil:
		return nil, err
	case b:
		return f.eval(n.Items[1])
	case len(n.Items) == 2:
		return omitted{}, nil
	}
	return f.eval(n.Items[2])
}

// both is and, and or.
func (f *frame) both(name string, n *tree.Node) (any, error) {
	if n.Kind != tree.List || len(n.Items) < 2 {
		return nil, wrong(n.At, "%s needs a list of two conditions or more", name)
	}
	for _, item := range n.Items {
		b, err := f.condition(item)
		if err != nil {
			return nil, err
		}
		if b == (name == "or") {
			return b, nil
		}
	}
	return name == "and", nil
}

// written writes a value into a text: mappings and lists as JSON.
func written(v any) (string, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return "True", nil
		}
		return "False", nil
	case wild:
		return written(v.known)
	case []any, map[string]any:
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return "", err
		}
		return strings.TrimSuffix(b.String(), "\n"), nil
	}
	return scalarText(v), nil
}

func (f *frame) equals(at tree.Place, v any) (any, error) {
	list, err := arguments(v, "[value, value]", 2, 2)
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		if s, ok := x.(string); ok && marked(s) {
			return nil, wrong(at, "a condition cannot look at what is known only once it is there")
		}
	}
	return same(list[0], list[1]), nil
}

// same compares as Heat does: 1 and 1.0 are the same, 1 and "1" are not.
func same(a, b any) bool {
	x, ok := numeric(a)
	y, also := numeric(b)
	if ok && also {
		return x == y
	}
	return reflect.DeepEqual(a, b)
}

func (f *frame) facade(at tree.Place, v any) (any, error) {
	what, _ := v.(string)
	if f.owner == nil {
		return nil, errors.New("resource_facade has a meaning in nested templates only")
	}
	above := &frame{stack: f.owner.s, r: f.owner, vars: f.owner.vars}
	switch strings.ToLower(strings.ReplaceAll(what, "_", "")) {
	case "metadata":
		return above.eval(f.owner.def.metadata)
	case "deletionpolicy":
		if f.owner.def.DeletionPolicy == "" {
			return "Delete", nil
		}
		return f.owner.def.DeletionPolicy, nil
	case "updatepolicy":
		return above.eval(f.owner.def.update)
	}
	return nil, wrong(at, "%q is none of metadata, deletion_policy, update_policy", what)
}
