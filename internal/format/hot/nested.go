package hot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// nested reads the templates that a resource nests.
func (d *document) nested(t *Template, r *Resource) {
	for _, n := range nestedTypes(r) {
		to, file := d.env.stands(r.Name, n.Text)
		if !file && isFile(to) {
			to = beside(t.name, to)
			file = true
		}
		if file {
			d.load(t, to, n.At, r.Name)
		}
	}
	if r.Type == "OS::Heat::Stack" && r.properties != nil {
		if n := r.properties.Get("template"); n == nil || n.Kind != tree.Mapping || len(n.Entries) != 1 || n.Entries[0].Key != "get_file" {
			d.fail(r.at, "resources."+r.Name+".properties.template", "the template of a stack must come from a file here: {get_file: stack.yaml}")
		} else {
			d.load(t, beside(t.name, n.Entries[0].Value.Text), n.At, r.Name)
		}
	}
}

// nestedTypes returns where a resource names types: its own, and that of a group's members.
func nestedTypes(r *Resource) (out []*tree.Node) {
	out = append(out, &tree.Node{Kind: tree.Text, Text: r.Type, At: r.typeAt})
	if r.properties == nil {
		return out
	}
	for _, key := range []string{"resource_def", "resource"} {
		if def := r.properties.Get(key); def != nil && def.Get("type") != nil && def.Get("type").Kind == tree.Text {
			out = append(out, def.Get("type"))
			if inner := def.Get("properties"); inner != nil {
				out = append(out, nestedTypes(&Resource{Type: def.Get("type").Text, typeAt: def.Get("type").At, properties: inner})[1:]...)
			}
		}
	}
	return out
}

// load reads a nested template once.
func (d *document) load(t *Template, full string, at tree.Place, name string) {
	if d.templates[full] != nil {
		return
	}
	full, text, ok := d.open(at, "resources."+name+".type", "", full)
	if !ok {
		return
	}
	inner := d.template(full, full, []byte(text))
	if inner == nil {
		return
	}
	d.templates[full] = inner
	d.check(inner)
}

// expand makes the stacks and resources that a nested template or a group consists of, once.
func (r *resource) expand() error {
	if r.spread {
		return nil
	}
	if r.open {
		return wrong(r.place, "%s needs itself", r.path)
	}
	r.open = true
	defer func() { r.open, r.spread = false, true }()
	if _, err := r.properties(); err != nil && err != errNoted {
		return err
	}
	r.required()
	if r.kind.class == asGroup {
		return r.expandGroup()
	}
	params := r.props
	if r.kind.name == "OS::Heat::Stack" {
		params = r.mapping("parameters")
		if n := r.body.Get("template"); n != nil && len(n.Entries) == 1 {
			r.file = beside(r.s.t.name, n.Entries[0].Value.Text)
		}
	}
	s, err := r.nest(r.path+".", r.file, params)
	if s != nil {
		r.members = []*stack{s}
	}
	return err
}

// required notes which properties are missing.
func (r *resource) required() {
	for _, name := range r.kind.required {
		if r.body == nil || r.body.Get(name) == nil && r.props[name] == nil {
			r.wrong("", "%s needs the property %s", r.kind.name, name)
		}
	}
}

// nest makes a stack of a nested template.
func (r *resource) nest(path, file string, given map[string]any) (*stack, error) {
	t := r.s.e.templates[file]
	switch {
	case t == nil:
		return nil, wrong(r.def.typeAt, "the template %s was not read", file)
	case r.s.depth >= MaxNested:
		return nil, wrong(r.def.typeAt, "stacks are nested deeper than %d", MaxNested)
	}
	params, err := r.s.e.nestedParameters(t, r, given)
	if err != nil {
		return nil, err
	}
	s := r.s.e.newStack(t, path, r, params)
	return s, s.expandAll()
}

// expandAll expands the stacks and groups of a stack.
func (s *stack) expandAll() error {
	for _, r := range s.all {
		if r.off || r.kind.class != asGroup && r.kind.class != asStack {
			continue
		}
		if err := r.expand(); err != nil {
			if err != errNoted {
				s.e.note(err, r.place, r.where())
			}
		}
	}
	return nil
}

// stackAttribute is an attribute of a nested template: one of its outputs, or of its resources.
func (r *resource) stackAttribute(name string) (any, error) {
	if len(r.members) == 0 {
		return nil, nil
	}
	s := r.members[0]
	switch {
	case name == "stack_name":
		return r.node, nil
	case name == "outputs":
		out := map[string]any{}
		for i := range s.t.Outputs {
			v, err := s.output(&s.t.Outputs[i])
			if err != nil {
				return nil, err
			}
			out[s.t.Outputs[i].Name] = v
		}
		return out, nil
	case name == "show":
		return map[string]any{"id": r.node, "stack_name": r.node}, nil
	case strings.HasPrefix(name, "resource."):
		path := strings.Split(strings.TrimPrefix(name, "resource."), ".")
		inner := s.byName[path[0]]
		if inner == nil {
			return nil, fmt.Errorf("no resource %q in %s%s", path[0], r.path, nearest.Hint(path[0], s.resourceNames()))
		}
		if len(path) == 1 {
			return inner.reference(inner.place)
		}
		rest := make([]any, len(path)-1)
		for i, p := range path[1:] {
			rest[i] = p
		}
		return inner.attribute(inner.place, rest)
	}
	var names []string
	for i := range s.t.Outputs {
		if s.t.Outputs[i].Name == name {
			return s.output(&s.t.Outputs[i])
		}
		names = append(names, s.t.Outputs[i].Name)
	}
	return nil, fmt.Errorf("%s has no output %q%s", r.path, name, nearest.Hint(name, names))
}

// output evaluates one output of a stack; nil for one that a condition leaves out.
func (s *stack) output(o *Output) (any, error) {
	f := &frame{stack: s}
	holds, err := f.condition(o.condition)
	if err != nil || !holds {
		return nil, err
	}
	v, err := f.eval(o.value)
	if _, gone := v.(omitted); gone {
		v = nil
	}
	if w, ok := v.(wild); ok {
		v = w.known
	}
	return v, err
}

// expandGroup makes the members of a group: one role where they are servers that differ in nothing but their number, and
// else resources of their own.
func (r *resource) expandGroup() error {
	least, most := 0, service.MaxCardinality
	key, variable := "resource_def", "%index%"
	if r.kind.name == "OS::Heat::AutoScalingGroup" {
		key = "resource"
		least, most = r.whole("min_size", 0), r.whole("max_size", 0)
		r.size = r.whole("desired_capacity", least)
		if least < 0 || most < least || r.size < least || r.size > most {
			r.wrong("", "min_size %d, desired_capacity %d and max_size %d are not in this order", least, r.size, most)
			return nil
		}
	} else if r.size = r.whole("count", 1); r.size < 0 {
		r.wrong("count", "%d is less than 0", r.size)
		return nil
	}
	if v := r.text("index_var"); v != "" {
		variable = v
	}
	def := r.body.Get(key)
	if def == nil || def.Kind != tree.Mapping || def.Get("type") == nil {
		r.wrong(key, "expected a resource with its type")
		return nil
	}
	f := r.frame()
	v, err := f.eval(def.Get("type"))
	if err != nil {
		return err
	}
	inner := &Resource{Name: r.def.Name, Type: scalarText(v), at: def.At, typeAt: def.Get("type").At, properties: def.Get("properties"), metadata: def.Get("metadata"), DependsOn: nil}
	to, file := r.s.e.env.stands(inner.Name, inner.Type)
	k := kindOf(to)
	if !file && k != nil && k.class == asRole && !counts(inner.properties, variable, false) {
		number, err := r.s.e.mark(target{of: ofInstance, field: "number"})
		if err != nil {
			return err
		}
		own := &resource{s: r.s, def: inner, kind: k, path: r.path, node: r.node, body: inner.properties, vars: map[string]any{variable: number}, uses: r.uses, place: r.place}
		r.server = own
		return nil
	}
	if r.size > MaxStack {
		r.wrong("count", "%d members that are not servers alike; %d are the most", r.size, MaxStack)
		return nil
	}
	for i := range r.size {
		vars := map[string]any{variable: strconv.Itoa(i)}
		member := r.s.e.newResource(&stack{e: r.s.e, t: r.s.t, path: r.path + ".", owner: r.s.owner, depth: r.s.depth, params: r.s.params, conds: r.s.conds, all: r.s.all, byName: r.s.byName},
			strconv.Itoa(i), inner, inner.Type, inner.properties, vars)
		if member == nil {
			return nil
		}
		member.uses = r.uses
		r.group = append(r.group, member)
	}
	for _, m := range r.group {
		if m.kind.class != asStack && m.kind.class != asGroup {
			continue
		}
		if err := m.expand(); err != nil && err != errNoted {
			return err
		}
	}
	return nil
}

// counts reports whether the number of a member is needed to evaluate its definition: where it picks out of something.
func counts(n *tree.Node, variable string, within bool) bool {
	if n == nil {
		return false
	}
	if n.Kind == tree.Text {
		return within && strings.Contains(n.Text, variable)
	}
	for _, item := range n.Items {
		if counts(item, variable, within) {
			return true
		}
	}
	for _, e := range n.Entries {
		inner := within || len(n.Entries) == 1 && since(e.Key) >= 0 && !slices.Contains([]string{"str_replace", "list_join"}, e.Key)
		if counts(e.Value, variable, inner) {
			return true
		}
	}
	return false
}

// groupAttribute is an attribute of a group: of all members, or of one.
func (r *resource) groupAttribute(at tree.Place, name string, path []any) (any, error) {
	size := r.present()
	each := func(f func(i int) (any, error)) (any, error) {
		out := make([]any, size)
		for i := range size {
			v, err := f(i)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}
	one := func(i int, path []any) (any, error) {
		switch {
		case r.server == nil && len(path) == 0:
			return r.group[i].reference(at)
		case r.server == nil:
			return r.group[i].attribute(at, path)
		}
		if _, err := r.server.properties(); err != nil && err != errNoted {
			return nil, err
		}
		if len(path) == 0 {
			return r.server.mark(ofRole, i, "uuid")
		}
		v, err := r.server.instanceAttribute(scalarText(path[0]), i)
		if err == nil {
			v, err = dig(v, path[1:])
		}
		return v, located(at, err)
	}
	switch {
	case name == "refs":
		v, err := each(func(i int) (any, error) { return one(i, nil) })
		if err == nil {
			v, err = dig(v, path)
		}
		return v, err
	case name == "refs_map", name == "attributes" && len(path) > 0, name == "outputs" && len(path) > 0:
		out := map[string]any{}
		rest := path
		if name == "refs_map" {
			rest = nil
		}
		for i := range size {
			v, err := one(i, rest)
			if err != nil {
				return nil, err
			}
			out[strconv.Itoa(i)] = v
		}
		if name == "refs_map" {
			return dig(out, path)
		}
		return out, nil
	case name == "outputs_list" && len(path) > 0:
		return each(func(i int) (any, error) { return one(i, path) })
	case name == "current_size":
		return size, nil
	case name == "show":
		return map[string]any{"id": r.node, "current_size": size}, nil
	case strings.HasPrefix(name, "resource."):
		number, inner, more := strings.Cut(strings.TrimPrefix(name, "resource."), ".")
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= size {
			return nil, wrong(at, "%s has no member %q: it has %d", r.path, number, size)
		}
		if more {
			path = append([]any{inner}, path...)
		}
		return one(i, path)
	case slices.Contains([]string{"removed_rsrc_list", "failed"}, name):
		return []any{}, nil
	}
	return each(func(i int) (any, error) { return one(i, append([]any{name}, path...)) })
}

// present is how many members the group has: as the service has it now, or as the template says.
func (r *resource) present() int {
	if r.server != nil && r.s.e.count != nil {
		return r.s.e.count(r.node)
	}
	if r.server == nil {
		return len(r.group)
	}
	return min(r.size, 10_000)
}
