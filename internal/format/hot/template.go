package hot

import (
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

var (
	templateKeys = []string{"heat_template_version", "description", "parameter_groups", "parameters", "conditions", "resources", "outputs"}
	resourceKeys = []string{"type", "properties", "metadata", "depends_on", "update_policy", "deletion_policy", "external_id", "condition"}
	outputKeys   = []string{"description", "value", "condition", "type"}
	groupKeys    = []string{"label", "description", "parameters"}
)

// template reads one template; nil after noting why not.
func (d *document) template(name, file string, text []byte) *Template {
	root := d.read(name, text)
	if root == nil {
		return nil
	}
	t := &Template{name: file, root: root, doc: d}
	if root.Get("heat_template_version") == nil && (root.Get("HeatTemplateFormatVersion") != nil || root.Get("AWSTemplateFormatVersion") != nil) {
		d.fail(root.At, "", "templates in the format of CloudFormation are not read: write a Heat template, with heat_template_version")
		return nil
	}
	t.version = d.versionOf(root.Get("heat_template_version"), root)
	t.Version = versions[t.version].date
	for _, e := range root.Entries {
		if !d.known(e, e.Key, templateKeys) || e.Value.Kind == tree.Null {
			continue
		}
		switch e.Key {
		case "description":
			t.Description = d.text(e.Value, e.Key)
		case "parameter_groups":
			d.groups(t, e.Value)
		case "parameters":
			d.entries(e.Value, e.Key, func(e tree.Entry, where string) { t.Parameters = append(t.Parameters, d.parameter(e, where)) })
		case "conditions":
			d.entries(e.Value, e.Key, func(e tree.Entry, _ string) { t.conditions = append(t.conditions, e) })
		case "resources":
			d.entries(e.Value, e.Key, func(e tree.Entry, where string) { t.Resources = append(t.Resources, d.resource(t, e, where)) })
		case "outputs":
			d.entries(e.Value, e.Key, func(e tree.Entry, where string) { t.Outputs = append(t.Outputs, d.output(t, e, where)) })
		}
	}
	if len(t.conditions) > 0 && t.version < since("if") {
		d.fail(t.conditions[0].At, "conditions", "conditions came with heat_template_version %s; this template has %s", versions[since("if")].date, t.Version)
	}
	if len(t.Resources) > MaxStack {
		d.fail(t.Resources[MaxStack].at, "resources", "%d resources; %d are the most", len(t.Resources), MaxStack)
	}
	return t
}

// entries calls f for each key of a mapping.
func (d *document) entries(n *tree.Node, where string, f func(e tree.Entry, where string)) {
	if n == nil || n.Kind == tree.Null {
		return
	}
	if n.Kind != tree.Mapping {
		d.fail(n.At, where, "expected keys and values, found %s", n.Kind)
		return
	}
	for _, e := range n.Entries {
		f(e, where+"."+e.Key)
	}
}

func (d *document) groups(t *Template, n *tree.Node) {
	if n.Kind != tree.List {
		d.fail(n.At, "parameter_groups", "expected a list of groups, found %s", n.Kind)
		return
	}
	for _, item := range n.Items {
		var g ParameterGroup
		d.entries(item, "parameter_groups", func(e tree.Entry, where string) {
			switch {
			case !d.known(e, where, groupKeys):
			case e.Key == "label":
				g.Label = d.text(e.Value, where)
			case e.Key == "description":
				g.Description = d.text(e.Value, where)
			default:
				g.Parameters = d.names(e.Value, where)
				for _, name := range g.Parameters {
					if known := entryNames(t.root.Get("parameters")); !slices.Contains(known, name) {
						d.fail(e.Value.At, where, "no parameter %q%s", name, nearest.Hint(name, known))
					}
				}
			}
		})
		t.Groups = append(t.Groups, g)
	}
}

func entryNames(n *tree.Node) []string {
	if n == nil {
		return nil
	}
	names := make([]string, len(n.Entries))
	for i, e := range n.Entries {
		names[i] = e.Key
	}
	return names
}

// names reads a name or a list of names.
func (d *document) names(n *tree.Node, where string) (out []string) {
	switch n.Kind {
	case tree.Null:
	case tree.List:
		for _, item := range n.Items {
			if text := d.text(item, where); text != "" {
				out = append(out, text)
			}
		}
	case tree.Mapping:
		d.fail(n.At, where, "expected a name or a list of names, found %s", n.Kind)
	default:
		out = append(out, n.Text)
	}
	return out
}

func (d *document) resource(t *Template, e tree.Entry, where string) *Resource {
	r := &Resource{Name: e.Key, at: e.At, typeAt: e.At}
	switch {
	case e.Key == "" || len(e.Key) > 255 || strings.ContainsAny(e.Key, "/\x00"):
		d.fail(e.At, where, "a resource's name has 1 to 255 characters, and no /")
	case e.Value.Kind != tree.Mapping:
		d.fail(e.Value.At, where, "expected the keys of a resource, found %s", e.Value.Kind)
		return r
	}
	for _, k := range e.Value.Entries {
		at := where + "." + k.Key
		if !d.known(k, at, resourceKeys) || k.Value.Kind == tree.Null {
			continue
		}
		switch k.Key {
		case "type":
			r.Type, r.typeAt = d.text(k.Value, at), k.Value.At
		case "properties":
			if k.Value.Kind != tree.Mapping {
				d.fail(k.Value.At, at, "expected keys and values, found %s", k.Value.Kind)
			}
			r.properties = k.Value
		case "metadata":
			r.metadata = k.Value
		case "depends_on":
			r.DependsOn = d.names(k.Value, at)
			for _, name := range r.DependsOn {
				r.names = append(r.names, reference{name, k.Value.At})
			}
		case "update_policy":
			r.update = k.Value
		case "deletion_policy":
			if k.Value.Kind.Scalar() {
				r.DeletionPolicy = k.Value.Text
			}
		case "external_id":
			r.external, r.ExternalID = k.Value, true
		case "condition":
			r.condition = k.Value
		}
	}
	if r.Type == "" {
		d.fail(e.At, where, "the resource needs a type, such as OS::Nova::Server")
	}
	for _, n := range []*tree.Node{r.properties, r.metadata, r.external} {
		r.names = append(r.names, d.speaks(t, n, where)...)
	}
	return r
}

func (d *document) output(t *Template, e tree.Entry, where string) Output {
	o := Output{Name: e.Key, at: e.At}
	d.entries(e.Value, where, func(k tree.Entry, at string) {
		switch {
		case !d.known(k, at, outputKeys) || k.Value.Kind == tree.Null:
		case k.Key == "description":
			o.Description = d.text(k.Value, at)
		case k.Key == "value":
			o.value = k.Value
		case k.Key == "condition":
			o.condition = k.Value
		}
	})
	if o.value == nil && e.Value.Kind == tree.Mapping {
		d.fail(e.At, where, "the output needs a value")
	}
	o.names = d.speaks(t, o.value, where)
	return o
}

// speaks looks through a value for functions: those that the version lacks are refused, files are read, and the
// resources that it names are returned.
func (d *document) speaks(t *Template, n *tree.Node, where string) (names []reference) {
	if n == nil {
		return nil
	}
	for _, item := range n.Items {
		names = append(names, d.speaks(t, item, where)...)
	}
	function := d.function(t, n, where)
	for _, e := range n.Entries {
		names = append(names, d.speaks(t, e.Value, where)...)
	}
	if function == "" {
		return names
	}
	args := n.Entries[0].Value
	switch function {
	case "get_resource", "Ref":
		if args.Kind.Scalar() && args.Kind != tree.Null && (function != "Ref" || !t.isParameter(args.Text)) {
			names = append(names, reference{args.Text, args.At})
		}
	case "get_attr":
		if args.Kind == tree.List && len(args.Items) > 0 && args.Items[0].Kind.Scalar() {
			names = append(names, reference{args.Items[0].Text, args.Items[0].At})
		}
	case "get_file":
		if !args.Kind.Scalar() || args.Kind == tree.Null || args.Text == "" {
			d.fail(args.At, where, "get_file needs the path of a file, found %s", args.Found())
		} else {
			d.open(args.At, where, t.name, args.Text)
		}
	}
	return names
}

func (t *Template) isParameter(name string) bool {
	return strings.HasPrefix(name, "OS::") || slices.Contains(entryNames(t.root.Get("parameters")), name)
}

// function returns the name of the function that a value is, "" for none, and refuses what looks like one and is none.
func (d *document) function(t *Template, n *tree.Node, where string) string {
	if n.Kind != tree.Mapping || len(n.Entries) != 1 {
		return ""
	}
	key := n.Entries[0].Key
	if has(t.version, key) {
		return key
	}
	from := since(key)
	switch {
	case from > t.version && (strings.Contains(key, "_") || key == "yaql" || key == "repeat" || key == "digest"):
		d.fail(n.Entries[0].At, where, "the function %s came with heat_template_version %s; this template has %s", key, versions[from].date, t.Version)
	case from >= 0 && until(key) <= t.version:
		d.fail(n.Entries[0].At, where, "the function %s went with heat_template_version %s; this template has %s", key, versions[until(key)].date, t.Version)
	case strings.HasPrefix(key, "get_"), strings.HasPrefix(key, "str_re"), strings.HasPrefix(key, "list_jo"), strings.HasPrefix(key, "map_me"), strings.HasPrefix(key, "Fn::"):
		d.fail(n.Entries[0].At, where, "no function %q%s", key, nearest.Hint(key, functionsOf(t.version)))
	}
	return ""
}

// check looks at how the parts of a template fit together, and at the templates that it nests.
func (d *document) check(t *Template) {
	if d.checked == nil {
		d.checked = map[*Template]bool{}
	}
	if d.checked[t] {
		return
	}
	d.checked[t] = true
	known := make([]string, len(t.Resources))
	index := make(map[string]int, len(t.Resources))
	for i, r := range t.Resources {
		known[i], index[r.Name] = r.Name, i
	}
	edges := make([][]int, len(t.Resources))
	for i, r := range t.Resources {
		seen := map[int]bool{}
		for _, x := range r.names {
			to, ok := index[x.name]
			switch {
			case !ok:
				d.fail(x.at, "resources."+r.Name, "no resource %q%s", x.name, nearest.Hint(x.name, known))
			case !seen[to]:
				seen[to] = true
				edges[i] = append(edges[i], to)
			}
		}
		d.nested(t, r)
	}
	for _, o := range t.Outputs {
		for _, x := range o.names {
			if _, ok := index[x.name]; !ok {
				d.fail(x.at, "outputs."+o.Name, "no resource %q%s", x.name, nearest.Hint(x.name, known))
			}
		}
	}
	d.circle(t, edges)
}

// circle refuses resources that need each other.
func (d *document) circle(t *Template, edges [][]int) {
	const fresh, open, done = 0, 1, 2
	state, next := make([]uint8, len(edges)), make([]int, len(edges))
	for start := range edges {
		if state[start] != fresh {
			continue
		}
		stack := []int{start}
		state[start] = open
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			if next[at] == len(edges[at]) {
				state[at], stack = done, stack[:len(stack)-1]
				continue
			}
			to := edges[at][next[at]]
			next[at]++
			switch state[to] {
			case fresh:
				state[to], stack = open, append(stack, to)
			case open:
				var names []string
				for _, i := range append(stack[slices.Index(stack, to):], to) {
					names = append(names, t.Resources[i].Name)
				}
				if len(names) > 20 {
					names = slices.Concat(names[:10], []string{"…"}, names[len(names)-9:])
				}
				d.fail(t.Resources[at].at, "resources."+t.Resources[at].Name, "resources need each other in a circle: %s", strings.Join(names, " → "))
				return
			}
		}
	}
}
