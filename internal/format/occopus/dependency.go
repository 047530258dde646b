package occopus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Dependency says that one node needs another.
type Dependency struct {
	Connection [2]string `json:"connection"` // dependent, dependee
	Mappings   []Mapping `json:"mappings,omitempty"`
}

// A Mapping connects an attribute of the dependee to one of the dependent.
type Mapping struct {
	Attributes [2]string `json:"attributes"` // source, destination
	// Synch makes the source one that must be there before the dependee counts as ready.
	Synch bool `json:"synch"`
}

// mappings returns what templates of a node see as mappings: inbound by dependee and outbound by dependent.
func mappings(node string, needs, neededBy []Dependency) map[string]any {
	list := func(d Dependency) []any {
		out := make([]any, len(d.Mappings))
		for n, m := range d.Mappings {
			out[n] = map[string]any{"attributes": []any{m.Attributes[0], m.Attributes[1]}, "synch": m.Synch}
		}
		return out
	}
	inbound, outbound := map[string]any{}, map[string]any{}
	for _, d := range needs {
		inbound[d.Connection[1]] = list(d)
	}
	for _, d := range neededBy {
		outbound[d.Connection[0]] = list(d)
	}
	return map[string]any{"inbound": inbound, "outbound": outbound}
}

// Connections returns the attribute connections of a node in the infrastructure with that id: one record for
// each mapping of each node that it needs.
func (i *Infrastructure) Connections(infraID, name string) []any {
	out := []any{}
	for _, d := range i.Dependencies {
		if d.Connection[0] != name {
			continue
		}
		for _, m := range d.Mappings {
			out = append(out, map[string]any{
				"source_role": infraID + "_" + d.Connection[1], "source_attribute": m.Attributes[0], "destination_attribute": m.Attributes[1],
			})
		}
	}
	return out
}

// An edge is a dependency by the indices of its nodes.
type edge struct{ dependent, dependee int }

// dependencies reads the edges and orders the nodes by them. nodes are what the nodes were read from.
func (d *decoder) dependencies(root *tree.Node, i *Infrastructure, nodes []*tree.Node) {
	list := root.Get("dependencies")
	index := newNodeIndex(i, nodes)
	var edges []edge
	places := map[edge]tree.Place{}
	switch {
	case list == nil:
		d.warn(tree.Place{File: root.At.File}, "", "[SchemaCheck] WARNING: no dependencies specified - using sequential ordering",
			"there are no dependencies: all nodes are made at once")
	case list.Kind == tree.Mapping && len(list.Entries) == 0:
	case list.Kind != tree.List:
		d.fail(list.At, "dependencies", "", "expected a list of dependencies, found %s", list.Kind)
	default:
		for n, item := range list.Items {
			path := fmt.Sprintf("dependencies[%d]", n)
			e, mappings, ok := d.dependency(item, path, index)
			if !ok {
				continue
			}
			made := Dependency{[2]string{i.Nodes[e.dependent].Name, i.Nodes[e.dependee].Name}, mappings}
			if _, twice := places[e]; twice {
				d.warn(item.At, path, "", "%s needs %s already: this one replaces the mappings of the earlier", made.Connection[0], made.Connection[1])
				at := slices.Index(edges, e)
				i.Dependencies[at] = made
				continue
			}
			places[e] = item.At
			edges = append(edges, e)
			i.Dependencies = append(i.Dependencies, made)
		}
	}
	var left []int
	if i.Levels, left = levels(len(i.Nodes), edges); len(left) > 0 && len(d.errs) == 0 {
		d.circle(i, edges, places)
	}
}

// A nodeIndex finds the node that an end of a connection means.
type nodeIndex struct {
	byNode map[*tree.Node]int
	byName map[string]int
	names  []string
}

func newNodeIndex(i *Infrastructure, nodes []*tree.Node) *nodeIndex {
	x := &nodeIndex{byNode: make(map[*tree.Node]int, len(nodes)), byName: make(map[string]int, len(nodes)), names: make([]string, len(nodes))}
	for n, node := range nodes {
		x.byNode[node], x.byName[i.Nodes[n].Name], x.names[n] = n, n, i.Nodes[n].Name
	}
	return x
}

func (d *decoder) dependency(item *tree.Node, path string, index *nodeIndex) (e edge, mappings []Mapping, ok bool) {
	connection := item
	at := path
	if item.Kind == tree.Mapping {
		if connection = item.Get("connection"); connection == nil {
			d.fail(item.At, path, schemaError+"undefined connection ", "the dependency needs a connection: [dependent, dependee]%s", misspelt(item))
			return e, nil, false
		}
		at += ".connection"
		mappings = d.mappings(item, path)
	}
	if connection.Kind != tree.List || len(connection.Items) != 2 {
		d.fail(connection.At, at, "", "expected [dependent, dependee], found %s", ends(connection))
		return e, nil, false
	}
	first, ok1 := d.end(connection.Items[0], at+"[0]", index)
	second, ok2 := d.end(connection.Items[1], at+"[1]", index)
	return edge{first, second}, mappings, ok1 && ok2
}

func ends(n *tree.Node) string {
	if n.Kind == tree.List {
		return fmt.Sprintf("a list of %d", len(n.Items))
	}
	return n.Kind.String()
}

// misspelt names a key that may have been meant as connection.
func misspelt(item *tree.Node) string {
	for _, e := range item.Entries {
		if hint := nearest.Hint(e.Key, []string{"connection"}); hint != "" {
			return fmt.Sprintf("; %q may be meant", e.Key)
		}
	}
	return ""
}

// end finds the node that one end of a connection means: an alias of it, or its name.
func (d *decoder) end(n *tree.Node, path string, index *nodeIndex) (int, bool) {
	if i, ok := index.byNode[n]; ok {
		return i, true
	}
	name := n
	if n.Kind == tree.Mapping {
		name = n.Get("name")
	}
	if name == nil || name.Kind == tree.List || name.Kind == tree.Mapping || name.Kind == tree.Null {
		d.fail(n.At, path, "", "expected a node, by alias or by name, found %s", n.Kind)
		return 0, false
	}
	i, ok := index.byName[name.Text]
	if !ok {
		d.fail(n.At, path, "", "no node %q%s", name.Text, nearest.Hint(name.Text, index.names))
	}
	return i, ok
}

// mappings reads the attribute mappings of a dependency. Free keys are kept by Occopus and mean nothing.
func (d *decoder) mappings(item *tree.Node, path string) (out []Mapping) {
	for _, e := range item.Entries {
		if hint := nearest.Hint(e.Key, []string{"mappings"}); e.Key != "mappings" && hint != "" {
			d.warn(e.At, path+"."+e.Key, "", "the key means nothing here%s", hint)
		}
	}
	list := item.Get("mappings")
	path += ".mappings"
	switch {
	case list == nil:
		return nil
	case list.Kind != tree.List:
		d.fail(list.At, path, "", "expected a list of mappings, found %s", list.Kind)
		return nil
	}
	for n, item := range list.Items {
		path := fmt.Sprintf("%s[%d]", path, n)
		var m Mapping
		attributes := item
		if item.Kind == tree.Mapping {
			attributes = item.Get("attributes")
			if synch := item.Get("synch"); synch != nil && synch.Kind != tree.Boolean {
				d.fail(synch.At, path+".synch", "", "expected true or false, found %s", synch.Found())
			} else if synch != nil {
				m.Synch = synch.True()
			}
		}
		if attributes == nil || attributes.Kind != tree.List || len(attributes.Items) != 2 {
			d.fail(item.At, path, "", "expected the two attributes [source, destination]")
			continue
		}
		for k := range m.Attributes {
			m.Attributes[k], _ = d.text(attributes.Items[k], fmt.Sprintf("%s[%d]", path, k))
		}
		out = append(out, m)
	}
	return out
}

// levels peels the graph: the nodes of a level need nodes of the levels before alone. left are those that
// are in a circle or need one that is.
func levels(nodes int, edges []edge) (out [][]int, left []int) {
	needs := make([]int, nodes)
	neededBy := make([][]int, nodes)
	for _, e := range edges {
		needs[e.dependent]++
		neededBy[e.dependee] = append(neededBy[e.dependee], e.dependent)
	}
	var level []int
	for n, count := range needs {
		if count == 0 {
			level = append(level, n)
		}
	}
	for len(level) > 0 {
		out = append(out, level)
		var next []int
		for _, n := range level {
			for _, dependent := range neededBy[n] {
				if needs[dependent]--; needs[dependent] == 0 {
					next = append(next, dependent)
				}
			}
		}
		slices.Sort(next)
		level = next
	}
	for n, count := range needs {
		if count > 0 {
			left = append(left, n)
		}
	}
	return out, left
}

// circle tells of nodes that need each other. There is one.
func (d *decoder) circle(i *Infrastructure, edges []edge, places map[edge]tree.Place) {
	_, left := levels(len(i.Nodes), edges)
	in := make(map[int]bool, len(left))
	for _, n := range left {
		in[n] = true
	}
	needs := map[int]int{} // of each node that is left, another that is left: there is always one
	for _, e := range edges {
		if _, ok := needs[e.dependent]; !ok && in[e.dependent] && in[e.dependee] {
			needs[e.dependent] = e.dependee
		}
	}
	seen := map[int]int{}
	var way []int
	for n := left[0]; ; n = needs[n] {
		if start, again := seen[n]; again {
			way = append(way[start:], n)
			break
		}
		seen[n] = len(way)
		way = append(way, n)
	}
	names := make([]string, 0, len(way))
	for _, n := range way {
		names = append(names, i.Nodes[n].Name)
	}
	if len(names) > 20 {
		names = append(append(names[:10:10], "…"), names[len(names)-5:]...)
	}
	d.fail(places[edge{way[0], way[1]}], "dependencies", "", "nodes need each other in a circle: %s", strings.Join(names, " → "))
}
