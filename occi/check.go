package occi

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Check says what the server makes of attributes that are not as the model defines them.
type Check uint8

const (
	// Strict refuses attributes that the entity does not have, immutable ones, wrong types and values, and a creation
	// without required ones. It fills in defaults.
	Strict Check = iota
	// Extensible is like Strict, but passes on attributes that the model does not know.
	Extensible
	// Loose is like Extensible, but ignores immutable attributes instead of refusing them.
	Loose
	// Unchecked passes all attributes on as they were sent, except occi.core.id, and leaves the rest to the backend.
	Unchecked
)

// A purpose is what attributes are sent for.
type purpose uint8

const (
	forCreation purpose = iota
	forUpdate
	forReplacement // a full update
	forAction
)

// checker checks attributes against what the model defines.
type checker struct {
	model *Model
	how   Check
	kind  TypeID // or the action
	with  []TypeID
	now   *Entity // as it is before an update
}

// attributes returns the attributes that are passed on for what was sent. Its errors say which attribute is wrong and how.
func (c *checker) attributes(given Attributes, why purpose) (Attributes, error) {
	out := make(Attributes, 0, len(given))
	for _, a := range given {
		if a.Name == AttrID && why != forAction {
			if c.how < Loose && !c.isNow(a) {
				return nil, badRequest("%s cannot be set", AttrID)
			}
			continue
		}
		if c.how == Unchecked {
			out = append(out, a)
			continue
		}
		d := c.model.definition(c.kind, c.with, a.Name)
		switch {
		case d == nil && c.how == Strict:
			return nil, badRequest("%s has no attribute %s%s", c.kind, a.Name, c.near(a.Name))
		case d == nil:
		case d.Immutable && !(d.Initial && why == forCreation):
			if c.how < Loose && !c.isNow(a) {
				return nil, badRequest("%s cannot be set", a.Name)
			}
			continue
		default:
			v, err := d.value(a.Value)
			if err != nil {
				return nil, err
			}
			a.Value = v
		}
		out = append(out, a)
	}
	if c.how == Unchecked || why == forUpdate {
		return out, nil
	}
	return c.complete(out, why)
}

// complete refuses attributes that lack required ones, and adds defaults.
func (c *checker) complete(out Attributes, why purpose) (Attributes, error) {
	for d := range c.model.definitions(c.kind, c.with) {
		if d.Immutable && !d.Initial || why == forReplacement && d.Immutable {
			continue
		}
		if _, ok := out.Get(d.Name); ok {
			continue
		}
		switch {
		case d.Default != nil:
			out.Set(d.Name, d.Default)
		case d.Required:
			return nil, badRequest("%s is a required attribute", d.Name)
		}
	}
	return out, nil
}

// isNow reports whether an attribute is sent back as it is.
func (c *checker) isNow(a Attribute) bool {
	if c.now == nil {
		return false
	}
	switch a.Name {
	case AttrID:
		return valueText(a.Value) == c.now.id()
	case AttrSource:
		return strings.HasSuffix(valueText(a.Value), escapePath(c.now.Source.Location))
	case AttrTarget:
		return strings.HasSuffix(valueText(a.Value), escapePath(c.now.Target.Location))
	}
	return valueText(a.Value) == c.now.Attributes.Text(a.Name)
}

// value returns a value as one of the attribute's type, or says what is wrong with it.
func (d *AttributeDef) value(v any) (any, error) {
	text := valueText(v)
	wrong := func(want string) error {
		return badRequest("%s is %s, but %s is wanted", d.Name, excerpt(text), want)
	}
	switch d.Type {
	case Number:
		if !isNumber(text) {
			return nil, wrong("a number")
		}
		if _, ok := v.(string); ok {
			v = json.Number(text)
		}
	case Boolean:
		if text != "true" && text != "false" {
			return nil, wrong("true or false")
		}
		v = text == "true"
	case Array, Object:
		if s, ok := v.(string); ok { // text renderings have no other way
			d2 := json.NewDecoder(strings.NewReader(s))
			d2.UseNumber()
			if d2.Decode(&v) != nil {
				return nil, wrong("JSON")
			}
		}
		_, isArray := v.([]any)
		_, isObject := v.(map[string]any)
		if d.Type == Array && !isArray || d.Type == Object && !isObject {
			return nil, wrong("an " + string(d.Type))
		}
	default:
		switch v.(type) {
		case []any, map[string]any:
			return nil, wrong("a string")
		}
		v = text
	}
	if len(d.Values) > 0 && !slices.Contains(d.Values, text) {
		return nil, wrong("one of " + strings.Join(d.Values, ", "))
	}
	return v, nil
}

// near returns a hint at the attribute that was meant, or nothing.
func (c *checker) near(name string) string {
	var known []string
	for d := range c.model.definitions(c.kind, c.with) {
		known = append(known, d.Name)
	}
	return nearest.Hint(name, known)
}
