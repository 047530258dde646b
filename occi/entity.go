package occi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// An Entity is a resource or a link.
type Entity struct {
	// Path is where the entity is, below the root of its listener: "/compute/1c2d".
	Path string
	// ID is what stands in occi.core.id; "" means the path.
	ID     string
	Kind   TypeID
	Mixins []TypeID
	// Attributes in the order in which they are shown, title and summary among them, but neither id, source nor target.
	Attributes Attributes
	// Actions that may be invoked now.
	Actions []TypeID
	// Links of a resource, each with its Path, Kind and Target.
	Links []*Entity
	// Source and Target are those of a link.
	Source, Target Reference
}

// A Reference is one end of a link.
type Reference struct {
	// Location is the path of an entity of the same listener, or the URL of anything else.
	Location string
	// Kind of the entity there; "" if it is not known.
	Kind TypeID
}

// id returns what occi.core.id shows.
func (e *Entity) id() string {
	if e.ID != "" {
		return e.ID
	}
	return e.Path
}

// Has reports whether the category is the entity's kind or one of its mixins.
func (e *Entity) Has(id TypeID) bool { return e.Kind == id || slices.Contains(e.Mixins, id) }

// An Attribute is a name with its value. A value is a string, a bool, a number (an int, an int64, a float64, or a
// json.Number, which readers make), a []any or a map[string]any.
type Attribute struct {
	Name  string
	Value any
}

// Attributes are in the order in which they were sent or are to be shown. A name is there once.
type Attributes []Attribute

// Get returns a value, and whether it is there.
func (a Attributes) Get(name string) (any, bool) {
	for i := range a {
		if a[i].Name == name {
			return a[i].Value, true
		}
	}
	return nil, false
}

// Text returns a value as text without quotes, "" if it is not there.
func (a Attributes) Text(name string) string {
	v, _ := a.Get(name)
	return valueText(v)
}

// Float returns a value as a number, if it is one or the text of one.
func (a Attributes) Float(name string) (float64, bool) {
	v, ok := a.Get(name)
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(valueText(v), 64)
	return f, err == nil
}

// Set gives an attribute a value, at its place if it is there already.
func (a *Attributes) Set(name string, value any) {
	for i := range *a {
		if (*a)[i].Name == name {
			(*a)[i].Value = value
			return
		}
	}
	*a = append(*a, Attribute{name, value})
}

// Delete removes an attribute.
func (a *Attributes) Delete(name string) {
	*a = slices.DeleteFunc(*a, func(x Attribute) bool { return x.Name == name })
}

// valueText returns a value as text without quotes.
func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	if text, err := json.Marshal(v); err == nil {
		return string(text)
	}
	return fmt.Sprint(v)
}

// isBare reports whether a value needs no quotes.
func isBare(v any) bool {
	switch v.(type) {
	case bool, json.Number, int, int64, float64:
		return true
	}
	return false
}

// A Change says what a client wants of an entity that exists.
type Change struct {
	// Full says that mutable attributes which are not given are to go, or back to their default.
	Full       bool
	Attributes Attributes
	// Add and Remove are mixins of the model that the entity lacks and has.
	Add, Remove []TypeID
}

// Empty reports whether nothing is to change.
func (c *Change) Empty() bool {
	return !c.Full && len(c.Attributes) == 0 && len(c.Add) == 0 && len(c.Remove) == 0
}

// Apply returns e as it is after the change, by the rules of the model: attributes of mixins that go, go too. It does not
// change e.
func (c *Change) Apply(m *Model, e *Entity) *Entity {
	out := *e
	out.Mixins = slices.DeleteFunc(slices.Clone(e.Mixins), func(id TypeID) bool { return slices.Contains(c.Remove, id) })
	for _, id := range c.Add {
		if !slices.Contains(out.Mixins, id) {
			out.Mixins = append(out.Mixins, id)
		}
	}
	out.Attributes = slices.DeleteFunc(slices.Clone(e.Attributes), func(a Attribute) bool {
		d := m.definition(out.Kind, out.Mixins, a.Name)
		if d == nil { // of a mixin that went, or of nothing the model knows
			return c.Full || m.definition(e.Kind, e.Mixins, a.Name) != nil
		}
		return c.Full && !d.Immutable
	})
	for _, a := range c.Attributes {
		out.Attributes.Set(a.Name, a.Value)
	}
	for d := range m.definitions(out.Kind, out.Mixins) {
		if _, ok := out.Attributes.Get(d.Name); !ok && d.Default != nil {
			out.Attributes.Set(d.Name, d.Default)
		}
	}
	return &out
}
