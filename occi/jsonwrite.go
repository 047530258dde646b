package occi

import (
	"bytes"
	"encoding/json"
	"slices"
)

// encodeJSON returns v as JSON, without the escapes that pages of HTML would need.
func encodeJSON(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil, Errorf(500, "write the answer as JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// outEntity is a resource or link as OCCI 1.2 writes it.
type outEntity struct {
	ID         string         `json:"id"`
	Kind       TypeID         `json:"kind"`
	Title      string         `json:"title,omitempty"`
	Summary    string         `json:"summary,omitempty"`
	Mixins     []TypeID       `json:"mixins,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Actions    []TypeID       `json:"actions,omitempty"`
	Links      []outEntity    `json:"links,omitempty"`
	Source     *jsonReference `json:"source,omitempty"`
	Target     *jsonReference `json:"target,omitempty"`
	Location   string         `json:"location"`
}

// entityJSON returns an entity as OCCI 1.2 writes it. Its location is there too, as an id need not be one.
func (v *view) entityJSON(e *Entity) outEntity {
	out := outEntity{ID: e.id(), Kind: e.Kind, Mixins: e.Mixins, Actions: e.Actions, Location: v.reference(e.Path)}
	for _, a := range e.Attributes {
		switch a.Name {
		case AttrTitle:
			out.Title = valueText(a.Value)
		case AttrSummary:
			out.Summary = valueText(a.Value)
		default:
			if out.Attributes == nil {
				out.Attributes = make(map[string]any, len(e.Attributes))
			}
			out.Attributes[a.Name] = a.Value
		}
	}
	for _, l := range e.Links {
		one := v.entityJSON(l)
		if one.Source == nil {
			one.Source = &jsonReference{v.reference(e.Path), e.Kind}
		}
		out.Links = append(out.Links, one)
	}
	if e.Source.Location != "" {
		out.Source = &jsonReference{v.reference(e.Source.Location), e.Source.Kind}
	}
	if e.Target.Location != "" {
		out.Target = &jsonReference{v.reference(e.Target.Location), e.Target.Kind}
	}
	return out
}

// collectionJSON returns a collection as OCCI 1.2 writes it.
func (v *view) collectionJSON(entities []*Entity) any {
	type collection struct {
		Resources []outEntity `json:"resources"`
		Links     []outEntity `json:"links,omitempty"`
	}
	out := collection{Resources: make([]outEntity, 0, len(entities))}
	for _, e := range entities {
		if e.Target.Location != "" {
			out.Links = append(out.Links, v.entityJSON(e))
		} else {
			out.Resources = append(out.Resources, v.entityJSON(e))
		}
	}
	return out
}

// categoriesJSON returns categories as OCCI 1.2 writes them.
func (v *view) categoriesJSON(categories []*entry) any {
	out := map[string][]jsonCategory{"kinds": {}, "mixins": {}, "actions": {}}
	for _, e := range categories {
		c := jsonCategory{Term: e.ID.Term(), Scheme: e.ID.Scheme(), Title: e.Title, Actions: e.Actions, Parent: e.Parent, Depends: e.Depends, Applies: e.Applies}
		if e.Location != "" {
			c.Location = v.reference(e.Location)
		}
		for i, d := range e.Attributes {
			if i == 0 {
				c.Attributes = make(map[string]jsonDef, len(e.Attributes))
			}
			c.Attributes[d.Name] = d.json()
		}
		list := e.Class.String() + "s"
		out[list] = append(out[list], c)
	}
	return out
}

func (d *AttributeDef) json() jsonDef {
	out := jsonDef{Mutable: !d.Immutable, Required: d.Required, Type: d.Type, Default: d.Default, Description: d.Description}
	if out.Type == "" {
		out.Type = String
	}
	if len(d.Values) > 0 {
		out.Pattern = map[string][]string{"enum": d.Values}
	}
	return out
}

// The JSON of Hurtle is older than OCCI 1.2: entities hold their categories in full, and all values are strings.

// hurtleCategory returns a category as Hurtle writes it.
func (v *view) hurtleCategory(e *entry) map[string]any {
	out := map[string]any{"term": e.ID.Term(), "scheme": e.ID.Scheme()}
	if e.Title != "" {
		out["title"] = e.Title
	}
	switch {
	case e.Parent != "":
		out["related"] = append(slices.Clone(e.Related), e.Parent)
	case len(e.Depends) > 0:
		out["related"] = e.Depends
	}
	if e.Location != "" {
		out["location"] = v.reference(e.Location)
	}
	if len(e.Attributes) > 0 {
		definitions := make(map[string]string, len(e.Attributes))
		for _, d := range e.Attributes {
			switch {
			case d.Required:
				definitions[d.Name] = "required"
			case d.Immutable:
				definitions[d.Name] = "immutable"
			default:
				definitions[d.Name] = "muttable" // spelled so
			}
		}
		out["attributes"] = definitions
	}
	if len(e.Actions) > 0 {
		out["actions"] = e.Actions
	}
	return out
}

func (v *view) hurtleCategories(categories []*entry) []map[string]any {
	out := make([]map[string]any, len(categories))
	for i, e := range categories {
		out[i] = v.hurtleCategory(e)
	}
	return out
}

// hurtleEntity returns an entity as Hurtle writes it.
func (v *view) hurtleEntity(e *Entity) map[string]any {
	attributes := make(map[string]string, len(e.Attributes)+1)
	v.attributes(e, func(name string, value any) { attributes[name] = valueText(value) })
	out := map[string]any{"attributes": attributes}
	if k := v.model.find(e.Kind); k != nil {
		out["kind"] = v.hurtleCategory(k)
	}
	mixins := []map[string]any{}
	for _, id := range e.Mixins {
		if c := v.model.find(id); c != nil {
			mixins = append(mixins, v.hurtleCategory(c))
		}
	}
	actions := []map[string]any{}
	for _, id := range e.Actions {
		if c := v.model.find(id); c != nil {
			actions = append(actions, map[string]any{"kind": v.hurtleCategory(c), "link": v.reference(e.Path) + "?action=" + id.Term()})
		}
	}
	links := []map[string]any{}
	for _, l := range e.Links {
		one := v.hurtleEntity(l)
		one["source"], one["target"] = v.reference(e.Path), v.reference(l.Target.Location)
		links = append(links, one)
	}
	out["mixins"], out["actions"], out["links"] = mixins, actions, links
	return out
}

func (v *view) hurtleCollection(entities []*Entity) []map[string]any {
	out := make([]map[string]any, len(entities))
	for i, e := range entities {
		out[i] = v.hurtleEntity(e)
	}
	return out
}
