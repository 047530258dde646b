package occi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
)

// jsonObject is what tells the objects apart that a JSON body may be: an entity, several of them, an invocation of an
// action, the categories of a query interface, or one category of Hurtle's.
type jsonObject struct {
	Term      string         `json:"term"` // of Hurtle's
	Action    TypeID         `json:"action"`
	Resources []jsonEntity   `json:"resources"`
	Kinds     []jsonCategory `json:"kinds"`
}

// jsonEntity is a resource or a link, of OCCI 1.2 or as Hurtle writes it.
type jsonEntity struct {
	ID         string         `json:"id"`
	Kind       jsonType       `json:"kind"`
	Mixins     []jsonType     `json:"mixins"`
	Title      string         `json:"title"`
	Summary    string         `json:"summary"`
	Attributes map[string]any `json:"attributes"`
	Actions    []jsonType     `json:"actions"`
	Links      []jsonEntity   `json:"links"`
	Source     *jsonReference `json:"source"`
	Target     *jsonReference `json:"target"`
	Location   string         `json:"location"` // servers may add it, as an id is none
}

type jsonReference struct {
	Location string `json:"location"`
	Kind     TypeID `json:"kind,omitempty"`
}

// UnmarshalJSON implements [json.Unmarshaler]. Hurtle writes no more than the location.
func (r *jsonReference) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &r.Location) == nil {
		return nil
	}
	type plain jsonReference
	return json.Unmarshal(text, (*plain)(r))
}

// jsonType is a category: by its identifier, or in full, as query interfaces and Hurtle have it.
type jsonType struct {
	id   TypeID
	full *jsonCategory
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *jsonType) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &t.id) == nil {
		return nil
	}
	var c struct {
		jsonCategory
		Kind *jsonCategory `json:"kind"` // of an action that an entity offers
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	if t.full = c.Kind; t.full == nil {
		t.full = &c.jsonCategory
	}
	id, err := newTypeID(t.full.Scheme, t.full.Term)
	t.id = id
	return err
}

// jsonCategory is a category of OCCI 1.2, or of Hurtle, which says Related.
type jsonCategory struct {
	Term       string             `json:"term"`
	Scheme     string             `json:"scheme"`
	Title      string             `json:"title,omitempty"`
	Attributes map[string]jsonDef `json:"attributes,omitempty"`
	Actions    []TypeID           `json:"actions,omitempty"`
	Parent     TypeID             `json:"parent,omitempty"`
	Depends    []TypeID           `json:"depends,omitempty"`
	Applies    []TypeID           `json:"applies,omitempty"`
	Location   string             `json:"location,omitempty"`
	Related    []TypeID           `json:"related,omitempty"`
}

type jsonDef struct {
	Mutable     bool      `json:"mutable"`
	Required    bool      `json:"required"`
	Type        ValueType `json:"type"`
	Pattern     any       `json:"pattern,omitempty"`
	Default     any       `json:"default,omitempty"`
	Description string    `json:"description,omitempty"`
}

// UnmarshalJSON implements [json.Unmarshaler]. Hurtle has a word in place of the object.
func (d *jsonDef) UnmarshalJSON(text []byte) error {
	var word string
	if json.Unmarshal(text, &word) == nil {
		d.Mutable, d.Required = word != "immutable", word == "required"
		return nil
	}
	type plain jsonDef
	return json.Unmarshal(text, (*plain)(d))
}

// readJSON reads a body. It returns one message for each entity in it, m among them.
func (m *message) readJSON(body []byte) ([]*message, error) {
	var objects []json.RawMessage
	if body = bytes.TrimLeft(body, " \t\r\n"); len(body) == 0 || body[0] != '[' {
		objects = []json.RawMessage{body}
	} else if err := json.Unmarshal(body, &objects); err != nil {
		return nil, jsonProblem(err, body)
	}
	var entities []jsonEntity
	for _, text := range objects {
		more, err := m.readObject(text)
		if err != nil {
			return nil, err
		}
		entities = append(entities, more...)
	}
	if err := m.limits.check(len(entities), m.limits.Locations, "resources"); err != nil {
		return nil, err
	}
	out := []*message{m}
	for i := range entities {
		if i > 0 {
			out = append(out, &message{words: m.words, limits: m.limits})
		}
		if err := out[i].addEntity(&entities[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readObject adds the categories of an object and returns its entities.
func (m *message) readObject(text []byte) ([]jsonEntity, error) {
	var o jsonObject
	if err := decodeJSON(text, &o); err != nil {
		return nil, err
	}
	if o.Term != "" {
		var c jsonCategory
		if err := decodeJSON(text, &c); err != nil {
			return nil, err
		}
		return nil, m.addHurtle(&c)
	}
	var e jsonEntity
	if err := decodeJSON(text, &e); err != nil {
		return nil, err
	}
	if o.Action != "" {
		if err := m.addTyped(Action, o.Action); err != nil {
			return nil, err
		}
	}
	if e.Kind.id != "" {
		return []jsonEntity{e}, nil
	}
	if err := m.addModel(o.Kinds, &e); err != nil {
		return nil, err
	}
	entities := append(o.Resources, e.Links...)
	if len(entities) == 0 && o.Resources == nil {
		return []jsonEntity{e}, nil
	}
	return entities, nil
}

// decodeJSON reads one value, with numbers as they are written.
func decodeJSON(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return jsonProblem(err, text)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("there is more behind the JSON object")
	}
	return nil
}

// addModel adds the categories of a query interface. What it has in full is no mixin and no action of an entity.
func (m *message) addModel(kinds []jsonCategory, e *jsonEntity) error {
	for i := range kinds {
		if err := m.addCategory(&kinds[i], Kind); err != nil {
			return err
		}
	}
	for i, types := range []*[]jsonType{&e.Mixins, &e.Actions} {
		class := Mixin + Class(i)
		for _, t := range *types {
			if t.full == nil {
				continue
			}
			if err := m.addCategory(t.full, class); err != nil {
				return err
			}
		}
		*types = slices.DeleteFunc(*types, func(t jsonType) bool { return t.full != nil })
	}
	return nil
}

// addHurtle adds a category of Hurtle's query interface, which does not say of which class it is.
func (m *message) addHurtle(c *jsonCategory) error {
	class := Mixin
	switch {
	case c.Scheme == CoreScheme, slices.ContainsFunc(c.Related, func(id TypeID) bool { return id.Scheme() == CoreScheme }):
		class = Kind
		if len(c.Related) > 0 {
			c.Parent = c.Related[0]
		}
	case c.Location == "":
		class = Action
	default:
		c.Depends = c.Related
	}
	return m.addCategory(c, class)
}

// jsonProblem says where a body is wrong.
func jsonProblem(err error, body []byte) error {
	var known *Error
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &syntax):
		return badRequest("the JSON is wrong at byte %d of %d: %w", syntax.Offset, len(body), err)
	case errors.As(err, &kind):
		return badRequest("%s is a %s, which is not what is wanted there", kind.Field, kind.Value)
	case errors.Is(err, io.EOF):
		return badRequest("the body is empty; a JSON object is wanted")
	}
	return badRequest("the JSON is wrong: %w", err)
}

func (m *message) addCategory(c *jsonCategory, class Class) error {
	id, err := newTypeID(c.Scheme, c.Term)
	if err != nil {
		return badRequest("%w", err)
	}
	out := Category{ID: id, Class: class, Title: c.Title, Location: c.Location, Actions: c.Actions, Parent: c.Parent, Depends: c.Depends, Applies: c.Applies}
	for _, name := range slices.Sorted(maps.Keys(c.Attributes)) {
		d := c.Attributes[name]
		out.Attributes = append(out.Attributes, AttributeDef{Name: name, Type: d.Type, Immutable: !d.Mutable, Required: d.Required, Default: d.Default, Description: d.Description})
	}
	m.categories = append(m.categories, out)
	return m.limits.check(len(m.categories), m.limits.Categories, "categories")
}

// addEntity adds a resource or a link as if it had come as text.
func (m *message) addEntity(e *jsonEntity) error {
	if e.Kind.id != "" {
		if err := m.addTyped(Kind, e.Kind.id); err != nil {
			return err
		}
	}
	if err := m.addTyped(Mixin, ids(e.Mixins)...); err != nil {
		return err
	}
	if err := m.addAttributes(e); err != nil {
		return err
	}
	for i := range e.Links {
		l := &e.Links[i]
		out := link{self: l.Location}
		if l.Target != nil {
			out.target = l.Target.Location
			if l.Target.Kind != "" {
				out.rel = []TypeID{l.Target.Kind}
			}
		}
		if l.Kind.id != "" {
			out.category = append([]TypeID{l.Kind.id}, ids(l.Mixins)...)
		}
		sub := message{limits: m.limits}
		if err := sub.addAttributes(l); err != nil {
			return err
		}
		out.attributes = sub.attributes
		m.links = append(m.links, out)
	}
	if e.Location != "" {
		m.locations = append(m.locations, e.Location)
	}
	for _, a := range e.Actions {
		m.actions = append(m.actions, actionLink{action: a.id})
	}
	return m.limits.check(len(m.links), m.limits.Links, "links")
}

func ids(types []jsonType) []TypeID {
	out := make([]TypeID, len(types))
	for i, t := range types {
		out[i] = t.id
	}
	return out
}

func (m *message) addTyped(class Class, ids ...TypeID) error {
	for _, s := range ids {
		id, err := ParseTypeID(string(s))
		if err != nil {
			return badRequest("%s: %w", class, err)
		}
		m.categories = append(m.categories, Category{ID: id, Class: class})
	}
	return m.limits.check(len(m.categories), m.limits.Categories, "categories")
}

// addAttributes adds the attributes of an entity, in the order of their names, and what is a member of its own in JSON.
func (m *message) addAttributes(e *jsonEntity) error {
	if err := m.limits.check(len(e.Attributes), m.limits.Attributes, "attributes"); err != nil {
		return err
	}
	for _, own := range []Attribute{{AttrID, e.ID}, {AttrTitle, e.Title}, {AttrSummary, e.Summary}} {
		if own.Value == "" {
			continue
		}
		if err := m.set(own.Name, own.Value); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
		if !isName(name) {
			return badRequest("%s is no name of an attribute", excerpt(name))
		}
		if v := e.Attributes[name]; v != nil {
			if err := m.set(name, v); err != nil {
				return err
			}
		}
	}
	if e.Source != nil {
		m.attributes.Set(AttrSource, e.Source.Location)
	}
	if e.Target != nil {
		m.attributes.Set(AttrTarget, e.Target.Location)
	}
	return nil
}
