package hot

import (
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A class says what becomes of resources of a kind.
type class uint8

// The classes.
const (
	asNothing  class = iota // its values are known beforehand, and nothing is made
	asRole                  // machines
	asResource              // a resource of the service: the driver's, or a recorded one
	asStack                 // a nested template
	asGroup                 // several of something
)

// A kind is a type of resource.
type kind struct {
	name       string
	class      class
	core       string              // what the service calls such a resource: "network"
	properties map[string]property // nil: any
	required   []string
	lazy       map[string]bool // properties that are evaluated elsewhere
	ignored    string          // why it does nothing; "" for one that does
	attributes []string        // those that its resources have; nil: any property
	// attribute returns the value of one of them.
	attribute func(r *resource, name string) (any, error)
	// reference returns what get_resource is; nil for the id of the resource.
	reference func(r *resource) (any, error)
}

// A property is one of a kind's.
type property byte

// What a property is.
const (
	anyValue  property = '*'
	textValue property = 's'
	listValue property = 'l'
	mapValue  property = 'm'
)

// check says what is wrong with the value of a property.
func (k *kind) check(name string, v any) error {
	if k.properties == nil {
		return nil
	}
	p, ok := k.properties[name]
	if !ok {
		var names []string
		for n := range k.properties {
			names = append(names, n)
		}
		slices.Sort(names)
		return fmt.Errorf("%s has no property %q%s", k.name, name, nearest.Hint(name, names))
	}
	found := textValue
	switch v.(type) {
	case nil, omitted, wild:
		return nil
	case []any:
		found = listValue
	case map[string]any:
		found = mapValue
	}
	switch {
	case p == anyValue || p == found, p == listValue && found == textValue: // a text is a list of one
		return nil
	case p == textValue:
		return fmt.Errorf("expected text or a number, found %s", scalarOrKind(v))
	case p == listValue:
		return fmt.Errorf("expected a list, found %s", scalarOrKind(v))
	}
	return fmt.Errorf("expected keys and values, found %.60q", scalarOrKind(v))
}

// props reads a table of properties: names with [] for a list, {} for a mapping, * for any value and ! for one that is
// required.
func props(table string) (all map[string]property, required []string) {
	all = map[string]property{}
	for _, name := range strings.Fields(table) {
		p := textValue
		if rest, ok := strings.CutSuffix(name, "!"); ok {
			name = rest
			required = append(required, strings.TrimRight(name, "[]{}*"))
		}
		switch {
		case strings.HasSuffix(name, "[]"):
			p = listValue
		case strings.HasSuffix(name, "{}"):
			p = mapValue
		case strings.HasSuffix(name, "*"):
			p = anyValue
		}
		all[strings.TrimRight(name, "[]{}*")] = p
	}
	return all, required
}

// newKind makes a kind of its tables.
func newKind(name string, c class, core, properties, attributes string) *kind {
	k := &kind{name: name, class: c, core: core, attributes: strings.Fields(attributes)}
	k.properties, k.required = props(properties)
	return k
}

// outside is the kind of a resource that is there already, outside of the stack: nothing is made.
func (k *kind) outside() *kind {
	own := *k
	own.class, own.properties, own.required = asNothing, nil, nil
	own.reference = func(r *resource) (any, error) { return r.frame().eval(r.def.external) }
	own.attribute = func(r *resource, name string) (any, error) {
		if v, ok := r.props[name]; ok {
			return v, nil
		}
		return own.reference(r)
	}
	return &own
}

// unknownKind stands for a type that was refused.
var unknownKind = &kind{name: "an unknown type"}

// nestedKind is that of nested templates.
var nestedKind = &kind{name: "a nested template", class: asStack}

// services are the parts of OpenStack whose types are taken, and recorded, even if they are not known here.
var services = []string{"Aodh", "Barbican", "Blazar", "Cinder", "Designate", "Glance", "Heat", "Ironic", "Keystone", "Magnum", "Manila", "Mistral",
	"Monasca", "Neutron", "Nova", "Octavia", "Sahara", "Senlin", "Swift", "Trove", "Vitrage", "Zaqar", "Zun"}

// kindOf returns the kind of that name: one that is known, or one of OpenStack's that is recorded without being known;
// nil for a name that is none.
func kindOf(name string) *kind {
	if k := kinds()[name]; k != nil {
		return k
	}
	parts := strings.Split(name, "::")
	if len(parts) != 3 || parts[0] != "OS" || !slices.Contains(services, parts[1]) || parts[2] == "" || nearest.Hint(name, kindNames()) != "" {
		return nil
	}
	return &kind{name: name, class: asResource, core: coreName(parts[2])}
}

// coreName writes a name in lower case with _ between its words.
func coreName(name string) string {
	var b strings.Builder
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			if i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

func kindNames() []string {
	names := make([]string, 0, len(kinds()))
	for n := range kinds() {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
