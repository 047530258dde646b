package occopus

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// An Infrastructure is an infrastructure description. Its JSON form is again a description, in which
// dependencies name their nodes.
type Infrastructure struct {
	Name         string         `json:"infra_name"`
	UserID       string         `json:"user_id"` // "undefined" when the description has none
	Nodes        []Node         `json:"nodes"`
	Dependencies []Dependency   `json:"dependencies,omitempty"`
	Variables    service.Values `json:"variables,omitempty"`
	// Levels are the indices of the nodes in the order in which they can be made: those of a level depend
	// on nodes of the levels before it alone.
	Levels [][]int `json:"-"`
}

// A Node is one kind of machine of an infrastructure.
type Node struct {
	Name      string         `json:"name"`
	Type      string         `json:"type"` // of its definition
	Filter    service.Values `json:"filter,omitempty"`
	Scaling   Scaling        `json:"scaling,omitzero"`
	Variables service.Values `json:"variables,omitempty"` // its own

	at, typeAt, filterAt tree.Place
}

// A Scaling is what a node says of its number of instances.
type Scaling struct {
	Min *int `json:"min,omitempty"`
	Max *int `json:"max,omitempty"`
}

// Limits returns the least and the most instances: never less than one, and the most never less than the
// least.
func (s Scaling) Limits() (least, most int) {
	least = 1
	if s.Min != nil {
		least = max(*s.Min, 1)
	}
	most = least
	if s.Max != nil {
		most = max(*s.Max, least)
	}
	return least, most
}

// VariablesOf returns the variables that a node sees: its own laid over those of the infrastructure. Maps
// are merged key by key, anything else is the node's.
func (i *Infrastructure) VariablesOf(n *Node) service.Values { return i.Variables.Under(n.Variables) }

// Node returns the index of the named node, or -1.
func (i *Infrastructure) Node(name string) int {
	for n := range i.Nodes {
		if i.Nodes[n].Name == name {
			return n
		}
	}
	return -1
}

// ParseInfrastructure reads an infrastructure description. name is the file's, for messages and imports.
// The error, if any, is an *Invalid.
func ParseInfrastructure(name string, data []byte, opts Options) (*Infrastructure, []Warning, error) {
	d := newDecoder(opts)
	root := d.load(name, data)
	if root == nil {
		return nil, nil, d.err()
	}
	i := d.infrastructure(root)
	if err := d.err(); err != nil {
		return nil, d.warnings, err
	}
	return i, d.warnings, nil
}

var infrastructureKeys = []string{"infra_name", "user_id", "nodes", "dependencies", "variables"}

// infrastructure reads the keys in the order in which Occopus checks them.
func (d *decoder) infrastructure(root *tree.Node) *Infrastructure {
	i := &Infrastructure{UserID: "undefined", Nodes: []Node{}}
	whole := tree.Place{File: root.At.File}
	if n := root.Get("user_id"); n == nil {
		d.warn(whole, "", "[SchemaCheck] WARNING: user_id is not defined in infrastructure description",
			`there is no user_id: "undefined" stands for it`)
	} else {
		i.UserID, _ = d.text(n, "user_id")
	}
	if n := root.Get("infra_name"); n == nil {
		d.fail(whole, "", schemaError+"infra_name must be defined in infrastructure description", "the infrastructure needs an infra_name")
	} else {
		i.Name = d.name(n, "infra_name", "infra_name")
	}
	nodes := d.nodes(root, i)
	i.Variables = d.mapping(root.Get("variables"), "variables")
	d.dependencies(root, i, nodes)
	for _, e := range root.Entries {
		if !known(infrastructureKeys, e.Key) {
			d.fail(e.At, e.Key, fmt.Sprintf(schemaError+"unknown key '%s' in infastructure description", e.Key),
				"unknown key%s", nearest.Hint(e.Key, infrastructureKeys))
		}
	}
	return i
}

func known(keys []string, key string) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

const maxName = 63 // characters

var plainName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// name reads the name of an infrastructure or node. what is how Occopus calls the key.
func (d *decoder) name(n *tree.Node, path, what string) string {
	s, ok := d.text(n, path)
	said := fmt.Sprintf(schemaError+`%s "%s" `, what, s)
	switch length := utf8.RuneCountInString(s); {
	case !ok:
	case strings.Contains(s, "."):
		d.fail(n.At, path, said+"cannot contain '.' character", "%q holds a point: a name has letters, digits and - only%s", s, instead(s))
	case length > maxName+1:
		d.fail(n.At, path, said+"is too long", "the name has %d characters; %d is the most", length, maxName)
	case length > maxName:
		d.fail(n.At, path, said+"may contain only [a-z,0-9,-] characters", "the name has %d characters; %d is the most", length, maxName)
	case !plainName.MatchString(s):
		d.fail(n.At, path, said+"may contain only [a-z,0-9,-] characters", "%q is no name: use letters, digits and - only%s", s, instead(s))
	}
	return s
}

var notName = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// instead proposes a name like a wrong one.
func instead(s string) string {
	if s = strings.Trim(notName.ReplaceAllString(s, "-"), "-"); s == "" || len(s) > maxName {
		return ""
	}
	return `; "` + s + `" would do`
}

var nodeKeys = []string{"name", "type", "filter", "scaling", "variables"}

// nodes reads the nodes. It returns what they were read from.
func (d *decoder) nodes(root *tree.Node, i *Infrastructure) []*tree.Node {
	var list *tree.Node
	for _, e := range root.Entries {
		if e.Key == "nodes" {
			list = e.Value
		}
	}
	switch {
	case list == nil:
		d.fail(root.At, "", schemaError+"nodes section must be defined in infrastructure description",
			"the infrastructure needs nodes; write [] for none")
		return nil
	case list.Kind != tree.List:
		d.fail(list.At, "nodes", "", "expected a list of nodes, found %s", list.Kind)
		return nil
	}
	i.Nodes = make([]Node, len(list.Items))
	first := make(map[string]tree.Place, len(list.Items))
	for n, item := range list.Items {
		path := fmt.Sprintf("nodes[%d]", n)
		i.Nodes[n] = d.node(item, path)
		i.Nodes[n].at = item.At
		name := i.Nodes[n].Name
		if at, twice := first[name]; twice && name != "" {
			d.fail(item.Get("name").At, path+".name", "", "%q is the name of the node in line %d already", name, at.Line)
		} else {
			first[name] = item.At
		}
	}
	return list.Items
}

func (d *decoder) node(item *tree.Node, path string) (out Node) {
	if item.Kind != tree.Mapping {
		d.fail(item.At, path, "", "expected the keys of a node, found %s", item.Kind)
		return out
	}
	if n := item.Get("name"); n == nil {
		d.fail(item.At, path, schemaError+`missing key "name" in node`, "the node needs a name")
	} else {
		out.Name = d.name(n, path+".name", "node")
	}
	if n := item.Get("type"); n == nil {
		d.fail(item.At, path, fmt.Sprintf(schemaError+`missing key "type" in node '%s'`, out.Name), "the node needs a type: the name of its node definition")
	} else {
		out.Type, _ = d.text(n, path+".type")
		out.typeAt = n.At
	}
	d.scaling(item, path, &out)
	if n := item.Get("filter"); n != nil {
		if n.Kind != tree.Mapping {
			d.fail(n.At, path+".filter", fmt.Sprintf(schemaError+"unknown type of filter in node '%s' - has to be a dict!", out.Name),
				"expected keys of the resource section with their values, found %s", n.Kind)
		} else {
			out.Filter, out.filterAt = values(n), n.At
		}
	}
	for _, e := range item.Entries {
		if !known(nodeKeys, e.Key) {
			d.fail(e.At, path+"."+e.Key, fmt.Sprintf(schemaError+`unknown key "%s" in node '%s'`, repr(e.Key), out.Name),
				"unknown key%s", nearest.Hint(e.Key, nodeKeys))
		}
	}
	out.Variables = d.mapping(item.Get("variables"), path+".variables")
	return out
}

func (d *decoder) scaling(item *tree.Node, path string, out *Node) {
	n := item.Get("scaling")
	path += ".scaling"
	if n == nil {
		d.warn(item.At, path, fmt.Sprintf(`[SchemaCheck] WARNING: missing "scaling" parameter in node '%s', using default scaling (single instance)`, out.Name),
			"there is no scaling: the node has one instance")
		return
	}
	if n.Kind != tree.Mapping {
		d.fail(n.At, path, "", "expected min and max, found %s", n.Kind)
		return
	}
	for _, e := range n.Entries {
		at := path + "." + e.Key
		if e.Key != "min" && e.Key != "max" {
			d.fail(e.At, at, fmt.Sprintf(schemaError+`unknown key "%s" in scaling of node '%s'`, repr(e.Key), out.Name),
				"unknown key%s", cmp.Or(nearest.Hint(e.Key, []string{"min", "max"}), "; there are min and max"))
			continue
		}
		if e.Value.Kind == tree.Null {
			continue
		}
		v, ok := e.Value.Int()
		if !ok {
			d.fail(e.Value.At, at, "", "expected a whole number, found %s", e.Value.Found())
			continue
		}
		if e.Key == "min" {
			out.Scaling.Min = &v
		} else {
			out.Scaling.Max = &v
		}
	}
	if s := out.Scaling; s.Min != nil && *s.Min < 1 {
		d.warn(n.At, path+".min", "", "%d is taken as 1: a node has at least one instance", *s.Min)
	}
	if least, most := out.Scaling.Limits(); out.Scaling.Max != nil && *out.Scaling.Max < least {
		d.warn(n.At, path+".max", "", "%d is less than min and taken as %d", *out.Scaling.Max, most)
	}
}

// JSON returns the description as JSON that ParseInfrastructure reads back: all imports in it.
func (i *Infrastructure) JSON() (json.RawMessage, error) {
	out, err := json.Marshal(i)
	if err != nil {
		return nil, fmt.Errorf("write the description of %s as JSON: %w", i.Name, err)
	}
	return out, nil
}

// Lost says what of a description has no place in a service of Troupe, in words.
func (i *Infrastructure) Lost() (out []string) {
	for n, d := range i.Dependencies {
		if len(d.Mappings) > 0 {
			out = append(out, fmt.Sprintf("dependencies[%d].mappings: only templates see them: nothing else reads connected attributes", n))
		}
	}
	return out
}
