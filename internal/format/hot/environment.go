package hot

import (
	"path"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
)

// An environment is what environment files say, merged.
type environment struct {
	parameters map[string]*tree.Node
	defaults   map[string]*tree.Node // of nested templates too
	registry   []mapping
}

// A mapping has one type stand for another, or for a file.
type mapping struct {
	resource string // of that name alone, which may end in *; "" for all
	from     string // may end in *
	to       string // a type, or the path of a file
	file     bool
}

var environmentKeys = []string{"parameters", "parameter_defaults", "parameter_merge_strategies", "resource_registry", "encrypted_param_names", "event_sinks"}

// environmentFile reads one environment; what it says goes before what those before it said.
func (d *document) environmentFile(f File) {
	root := d.read(f.Name, f.Text)
	if root == nil {
		return
	}
	strategies := map[string]string{}
	d.entries(root.Get("parameter_merge_strategies"), "parameter_merge_strategies", func(e tree.Entry, where string) {
		s := d.text(e.Value, where)
		if s != "merge" && s != "deep_merge" && s != "overwrite" {
			d.fail(e.Value.At, where, "%q is none of overwrite, merge, deep_merge", s)
		}
		strategies[e.Key] = s
	})
	for _, e := range root.Entries {
		switch {
		case !d.known(e, e.Key, environmentKeys):
		case e.Key == "parameters":
			d.entries(e.Value, e.Key, func(e tree.Entry, _ string) { d.env.put(&d.env.parameters, e, strategies) })
		case e.Key == "parameter_defaults":
			d.entries(e.Value, e.Key, func(e tree.Entry, _ string) { d.env.put(&d.env.defaults, e, strategies) })
		case e.Key == "resource_registry":
			d.registry(f.Name, e.Value)
		case e.Key == "encrypted_param_names" || e.Key == "event_sinks":
			if len(e.Value.Items) > 0 {
				d.warn(e.At, e.Key, "is ignored: everything is encrypted here, and events are told by notifications")
			}
		}
	}
}

func (env *environment) put(to *map[string]*tree.Node, e tree.Entry, strategies map[string]string) {
	if *to == nil {
		*to = map[string]*tree.Node{}
	}
	value := e.Value
	if before := (*to)[e.Key]; before != nil && (strategies[e.Key] == "merge" || strategies[e.Key] == "deep_merge" || strategies["default"] == "merge" || strategies["default"] == "deep_merge") {
		value = merged(before, value)
	}
	(*to)[e.Key] = value
}

// merged lays a value over another: mappings key by key, lists behind each other.
func merged(below, above *tree.Node) *tree.Node {
	if below.Kind != above.Kind || below.Kind.Scalar() {
		return above
	}
	out := *above
	if above.Kind == tree.List {
		out.Items = slices.Concat(below.Items, above.Items)
		return &out
	}
	out.Entries = slices.Clone(below.Entries)
	for _, e := range above.Entries {
		if i := slices.IndexFunc(out.Entries, func(x tree.Entry) bool { return x.Key == e.Key }); i >= 0 {
			out.Entries[i].Value = merged(out.Entries[i].Value, e.Value)
		} else {
			out.Entries = append(out.Entries, e)
		}
	}
	return &out
}

// registry reads what types stand for. Files are named beside the environment, or beside base_url.
func (d *document) registry(file string, n *tree.Node) {
	d.entries(n, "resource_registry", func(e tree.Entry, where string) {
		switch e.Key {
		case "base_url":
			file = path.Join(beside(file, d.text(e.Value, where)), "x")
		case "resources":
			d.entries(e.Value, where, func(one tree.Entry, where string) {
				d.entries(one.Value, where, func(k tree.Entry, where string) {
					if k.Key == "hooks" || k.Key == "restricted_actions" {
						d.warn(k.At, where, "is ignored")
						return
					}
					d.mapTo(file, one.Key, k, where)
				})
			})
		default:
			d.mapTo(file, "", e, where)
		}
	})
}

func (d *document) mapTo(file, resource string, e tree.Entry, where string) {
	m := mapping{resource: resource, from: e.Key, to: d.text(e.Value, where)}
	if m.to == "" {
		d.fail(e.Value.At, where, "%s needs the type or the template that it stands for; OS::Heat::None leaves resources of it out", e.Key)
		return
	}
	if m.file = isFile(m.to); m.file {
		full, _, ok := d.open(e.Value.At, where, file, m.to)
		if !ok {
			return
		}
		m.to = full
	}
	d.env.registry = append(d.env.registry, m)
}

// isFile reports whether a type is the path of a template.
func isFile(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".template")
}

func (m *mapping) fits(resource, kind string) bool {
	matches := func(pattern, name string) bool {
		if start, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(name, start)
		}
		return pattern == name
	}
	return matches(m.from, kind) && (m.resource == "" || matches(m.resource, resource))
}

// stands returns what a type stands for: another type, or the path of a file. Later mappings go before earlier ones,
// and those for one resource before those for all.
func (env *environment) stands(resource, kind string) (to string, file bool) {
	for range len(env.registry) + 1 { // one may lead to another, and round
		found := -1
		for i := range env.registry {
			m := &env.registry[i]
			if m.fits(resource, kind) && (found < 0 || m.resource != "" || env.registry[found].resource == "") {
				found = i
			}
		}
		if found < 0 {
			return kind, false
		}
		m := &env.registry[found]
		to = m.to
		if start, ok := strings.CutSuffix(m.to, "*"); ok && strings.HasSuffix(m.from, "*") {
			to = start + strings.TrimPrefix(kind, strings.TrimSuffix(m.from, "*"))
		}
		if m.file || to == kind {
			return to, m.file
		}
		kind = to
	}
	return kind, false
}
