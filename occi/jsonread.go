package occi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
)

// jsonObject is any object that a JSON body may be: one entity, several, an invocation of an action, or categories.
type jsonObject struct {
	jsonEntity
	Action    TypeID         `json:"action"`
	Resources []jsonEntity   `json:"resources"`
	Kinds     []jsonCategory `json:"kinds"`
	Mixins    jsonMixins     `json:"mixins"`
	Actions   []jsonActions  `json:"actions"`
}

// jsonEntity is a resource or a link of OCCI 1.2.
type jsonEntity struct {
	ID         string         `json:"id"`
	Kind       TypeID         `json:"kind"`
	Mixins     []TypeID       `json:"mixins"`
	Title      string         `json:"title"`
	Summary    string         `json:"summary"`
	Attributes map[string]any `json:"attributes"`
	Actions    []TypeID       `json:"actions"`
	Links      []jsonEntity   `json:"links"`
	Source     *jsonReference `json:"source"`
	Target     *jsonReference `json:"target"`
	Location   string         `json:"location"` // of answers of some servers
}

type jsonReference struct {
	Location string `json:"location"`
	Kind     TypeID `json:"kind,omitempty"`
}

// jsonMixins are the identifiers of an entity's mixins, or categories in full.
type jsonMixins struct {
	ids        []TypeID
	categories []jsonCategory
}

// UnmarshalJSON implements [json.Unmarshaler].
func (m *jsonMixins) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &m.ids) == nil {
		return nil
	}
	m.ids = nil
	return json.Unmarshal(text, &m.categories)
}

// jsonActions is an action of an entity, by its identifier, or a category in full.
type jsonActions struct {
	id       TypeID
	category jsonCategory
}

// UnmarshalJSON implements [json.Unmarshaler].
func (a *jsonActions) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &a.id) == nil {
		return nil
	}
	return json.Unmarshal(text, &a.category)
}

// jsonCategory is a category of OCCI 1.2.
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
}

type jsonDef struct {
	Mutable     bool      `json:"mutable"`
	Required    bool      `json:"required"`
	Type        ValueType `json:"type"`
	Pattern     any       `json:"pattern,omitempty"`
	Default     any       `json:"default,omitempty"`
	Description string    `json:"description,omitempty"`
}

// readJSON reads a body of OCCI 1.2. It returns one message for each entity in it, m among them.
func (m *message) readJSON(body []byte) ([]*message, error) {
	var o jsonObject
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&o); err != nil {
		return nil, jsonProblem(err, body)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, badRequest("there is more behind the JSON object")
	}
	if err := m.addCategories(&o); err != nil {
		return nil, err
	}
	if o.Action != "" {
		id, err := ParseTypeID(string(o.Action))
		if err != nil {
			return nil, badRequest("action: %w", err)
		}
		m.categories = append(m.categories, Category{ID: id, Class: Action})
	}
	entities := o.Resources
	if o.Kind == "" {
		entities = append(entities, o.Links...)
	}
	if o.Kind != "" || len(entities) == 0 && o.Resources == nil {
		o.jsonEntity.Mixins = o.Mixins.ids
		entities = []jsonEntity{o.jsonEntity}
	}
	if err := m.limits.check(len(entities), m.limits.Locations, "resources"); err != nil {
		return nil, err
	}
	out := make([]*message, len(entities))
	for i := range entities {
		if out[i] = m; i > 0 {
			out[i] = &message{words: m.words, limits: m.limits}
		}
		if err := out[i].addEntity(&entities[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addCategories adds the categories of a query interface, and the actions of an entity.
func (m *message) addCategories(o *jsonObject) error {
	for _, c := range o.Kinds {
		if err := m.addCategory(c, Kind); err != nil {
			return err
		}
	}
	for _, c := range o.Mixins.categories {
		if err := m.addCategory(c, Mixin); err != nil {
			return err
		}
	}
	for _, a := range o.Actions {
		if a.id != "" {
			o.jsonEntity.Actions = append(o.jsonEntity.Actions, a.id)
		} else if err := m.addCategory(a.category, Action); err != nil {
			return err
		}
	}
	return nil
}

// jsonProblem says where a body is wrong.
func jsonProblem(err error, body []byte) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return badRequest("the JSON is wrong at byte %d of %d: %w", syntax.Offset, len(body), err)
	case errors.As(err, &kind):
		return badRequest("%s is a %s, but a %s is wanted", kind.Field, kind.Value, kind.Type)
	case errors.Is(err, io.EOF):
		return badRequest("the body is empty; a JSON object is wanted")
	}
	return badRequest("the JSON is wrong: %w", err)
}

func (m *message) addCategory(c jsonCategory, class Class) error {
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
	if e.Kind != "" {
		if err := m.addTyped(Kind, e.Kind); err != nil {
			return err
		}
	}
	if err := m.addTyped(Mixin, e.Mixins...); err != nil {
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
		if l.Kind != "" {
			out.category = append([]TypeID{l.Kind}, l.Mixins...)
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
	for _, id := range e.Actions {
		m.actions = append(m.actions, actionLink{action: id})
	}
	return m.limits.check(len(m.links), m.limits.Links, "links")
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
	for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
		if !isName(name) {
			return badRequest("%s is no name of an attribute", excerpt(name))
		}
		if v := e.Attributes[name]; v != nil {
			m.attributes.Set(name, v)
		}
	}
	for name, v := range map[string]string{AttrID: e.ID, AttrTitle: e.Title, AttrSummary: e.Summary} {
		if v != "" {
			m.attributes.Set(name, v)
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
