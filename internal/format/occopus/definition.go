package occopus

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// A Definition is a node definition: what a machine of a type is, in one or more implementations.
type Definition struct {
	Name            string           `json:"name"`
	Implementations []Implementation `json:"implementations"`
}

// An Implementation is one way to make a machine. Its sections hold what the file says, imports in place;
// the texts in them are templates. A section that is not there is nil.
type Implementation struct {
	Resource          service.Values `json:"resource"`
	Contextualisation service.Values `json:"contextualisation,omitempty"`
	ConfigManagement  service.Values `json:"config_management,omitempty"`
	HealthCheck       service.Values `json:"health_check,omitempty"`

	places map[string]tree.Place // of its keys, while it comes from a file
}

const definitionPrefix = "node_def:"

// ParseDefinitions reads a file of node definitions and what it imports. name is the file's, for messages and
// imports. The error, if any, is an *Invalid; nothing of a file with a mistake is to be kept.
func ParseDefinitions(name string, data []byte, opts Options) ([]Definition, []Warning, error) {
	d := newDecoder(opts)
	root := d.load(name, data)
	if root == nil {
		return nil, nil, d.err()
	}
	var out []Definition
	for _, e := range root.Entries {
		out = append(out, d.definition(e))
	}
	if err := d.err(); err != nil {
		return nil, d.warnings, err
	}
	return out, d.warnings, nil
}

// Endpoints returns where the daemons are that the implementations of a driver name. Those of Docker need no credentials.
func (def *Definition) Endpoints(driver string) (out []string) {
	for n := range def.Implementations {
		r := def.Implementations[n].Resource
		kind, _ := r["type"].(string)
		if t := typeOf(kind); t == nil || t.driver != driver {
			continue
		}
		if endpoint, ok := r["endpoint"].(string); ok && endpoint != "" {
			out = append(out, endpoint)
		}
	}
	return out
}

// EncodeDefinition returns a definition in the form in which it is kept: JSON that DecodeDefinition reads.
func EncodeDefinition(def *Definition) ([]byte, error) {
	out, err := json.Marshal(def)
	if err != nil {
		return nil, fmt.Errorf("write node definition %s: %w", def.Name, err)
	}
	return out, nil
}

// DecodeDefinition reads what EncodeDefinition wrote.
func DecodeDefinition(data []byte) (*Definition, error) {
	var out Definition
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("read a stored node definition: %w", err)
	}
	return &out, nil
}

var sections = []string{"resource", "contextualisation", "config_management", "health_check"}

// A sectionReader reads the sections of one implementation.
type sectionReader struct {
	*decoder
	node string // the definition's name
	impl int
}

func (d *decoder) definition(e tree.Entry) Definition {
	name, ok := strings.CutPrefix(e.Key, definitionPrefix)
	out := Definition{Name: name}
	inNode := fmt.Sprintf(schemaError[:len(schemaError)-2]+" in node '%s': ", name)
	switch {
	case !ok:
		hint := ""
		if _, rest, colon := strings.Cut(e.Key, ":"); colon {
			hint = fmt.Sprintf("; write %q", definitionPrefix+strings.TrimSpace(rest))
		}
		d.fail(e.At, e.Key, inNode+"Node definition must begin with 'node_def:<nodename>'!", "the key of a node definition is node_def: and its name%s", hint)
		return out
	case name == "":
		d.fail(e.At, e.Key, inNode+"Node definition must begin with 'node_def:<nodename>'!", "the node definition has no name")
	case e.Value.Kind != tree.List:
		d.fail(e.Value.At, e.Key, inNode+"Node definition has to be a list of dictionaries!",
			"expected a list of implementations, found %s; write - in front of one, too", e.Value.Kind)
		return out
	case len(e.Value.Items) == 0:
		d.fail(e.Value.At, e.Key, inNode+"Node definition has to be a list of dictionaries!", "the node definition has no implementation")
	}
	for n, item := range e.Value.Items {
		path := fmt.Sprintf("%s[%d]", e.Key, n)
		if item.Kind != tree.Mapping {
			d.fail(item.At, path, inNode+"Node definition has to be a list of dictionaries!", "expected the sections of an implementation, found %s", item.Kind)
			continue
		}
		for _, s := range item.Entries {
			if !known(sections, s.Key) {
				d.fail(s.At, path+"."+s.Key, fmt.Sprintf(inNode+"Invalid section '%s'", s.Key), "unknown section%s", nearest.Hint(s.Key, sections))
			}
		}
		r := &sectionReader{d, name, n}
		out.Implementations = append(out.Implementations, Implementation{
			Resource:          r.resource(item, path),
			Contextualisation: r.contextualisation(item, path),
			ConfigManagement:  r.configManagement(item, path),
			HealthCheck:       r.healthCheck(item, path),
			places:            placesOf(item),
		})
	}
	return out
}

// said is the message of Occopus about a section.
func (r *sectionReader) said(section, text string) string {
	return fmt.Sprintf("[SchemaCheck] ERROR in '%s' section of node '%s'[%d]: %s", section, r.node, r.impl, text)
}

// section returns a section; nil when it is not there or is none.
func (r *sectionReader) section(item *tree.Node, path, name string) *tree.Node {
	n := item.Get(name)
	if n != nil && n.Kind != tree.Mapping {
		r.fail(n.At, path+"."+name, r.said(name, "Missing key 'type'!"), "expected keys and values, found %s", n.Kind)
		return nil
	}
	return n
}

// keys notes what a section lacks of the required keys, in their order, and has beside those that it may have,
// in the order of the file.
func (r *sectionReader) keys(n *tree.Node, path, section string, required, optional []string) {
	var missing, unknown []string
	for _, key := range required {
		if n.Get(key) == nil && !r.empty(n, key) {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		r.fail(n.At, path, r.said(section, "Missing key(s): "+strings.Join(missing, ", ")), "needs %s", strings.Join(missing, ", "))
	}
	all := append(append([]string{"type"}, required...), optional...)
	for _, e := range n.Entries {
		if !known(all, e.Key) {
			unknown = append(unknown, e.Key)
		}
	}
	for _, e := range n.Entries {
		if known(unknown, e.Key) {
			r.fail(e.At, path+"."+e.Key, r.said(section, "Unknown key(s): "+strings.Join(unknown, ", ")), "unknown key%s", nearest.Hint(e.Key, all))
		}
	}
}

// empty reports whether a key is there without a value, which Occopus takes as being there. It is one that may
// be empty.
func (r *sectionReader) empty(n *tree.Node, key string) bool {
	for _, e := range n.Entries {
		if e.Key == key {
			return key == "env" || key == "attributes" || key == "origin"
		}
	}
	return false
}

func (r *sectionReader) resource(item *tree.Node, path string) service.Values {
	n := r.section(item, path, "resource")
	path += ".resource"
	if n == nil {
		if item.Get("resource") == nil {
			r.fail(item.At, path, r.said("resource", "Missing 'resource' section!"), "the implementation needs a resource section")
		}
		return nil
	}
	name := n.Get("type")
	if name == nil || !name.Kind.Scalar() {
		r.fail(n.At, path, r.said("resource", "Missing key 'type'"), "the resource needs a type: one of %s", strings.Join(resourceNames(), ", "))
		return nil
	}
	t := typeOf(name.Text)
	if t == nil {
		hint := nearest.Hint(name.Text, resourceNames())
		if hint == "" {
			hint = "; there are " + strings.Join(resourceNames(), ", ")
		}
		r.fail(name.At, path+".type", r.said("resource", "Unknown type '"+name.Text+"'"), "no resource type %q%s", name.Text, hint)
		return nil
	}
	var required, optional []string
	for _, k := range t.keys {
		if k.required {
			required = append(required, k.name)
		} else {
			optional = append(optional, k.name)
		}
	}
	if t.free {
		for _, e := range n.Entries {
			optional = append(optional, e.Key)
		}
	}
	r.keys(n, path, "resource", required, optional)
	if len(t.oneOf) > 0 && !anyOf(n, t.oneOf) {
		r.fail(n.At, path, r.said("resource", "Missing key(s): "+strings.Join(t.oneOf, " or ")), "needs %s", strings.Join(t.oneOf, " or "))
	}
	for _, e := range n.Entries {
		k := t.key(e.Key)
		if k == nil || e.Value.Kind == tree.Null && !k.required {
			continue
		}
		if k.ignored != "" {
			r.warn(e.At, path+"."+e.Key, "", "the key has no effect: %s", k.ignored)
		}
		if text, said := k.wrong(e.Value); text != "" {
			if said == "" {
				said = text
			}
			r.fail(e.Value.At, path+"."+e.Key, r.said("resource", said), "%s", text)
		}
	}
	return values(n)
}

func anyOf(n *tree.Node, keys []string) bool {
	for _, k := range keys {
		if n.Get(k) != nil {
			return true
		}
	}
	return false
}
