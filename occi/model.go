package occi

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A Model is a set of categories that belong together: what a query interface shows. It does not change and may be used
// by several goroutines.
type Model struct {
	listed     []*entry
	byID       map[TypeID]*entry
	byLocation map[string]*entry
}

// An entry is a category with what is worked out once for all requests.
type entry struct {
	Category
	text        categoryText
	ancestors   []TypeID        // of a kind, nearest first, itself included
	definitions []*AttributeDef // its own, and those of its ancestors
}

// NewModel returns the model of the categories, which the query interface lists in that order. It refuses identifiers
// and locations that are used twice, and references to categories that are neither listed nor of the core model.
func NewModel(categories ...Category) (*Model, error) { return newModel(categories, false) }

// newModel is NewModel; a tolerant one leaves out what is wrong, as it is of another service.
func newModel(categories []Category, tolerant bool) (*Model, error) {
	m := &Model{byID: make(map[TypeID]*entry, len(categories)+3), byLocation: make(map[string]*entry, len(categories))}
	for _, c := range categories {
		if err := m.add(c); err != nil && !tolerant {
			return nil, err
		}
	}
	for _, c := range Core() {
		if m.byID[c.ID] == nil {
			m.byID[c.ID] = &entry{Category: c}
		}
	}
	for _, e := range m.byID {
		if err := m.link(e); err != nil && !tolerant {
			return nil, err
		}
	}
	return m, nil
}

// MustModel is like [NewModel] for categories that are written in the program; it panics where NewModel refuses.
func MustModel(categories ...Category) *Model {
	m, err := NewModel(categories...)
	if err != nil {
		panic(err)
	}
	return m
}

func (m *Model) add(c Category) error {
	id, err := ParseTypeID(string(c.ID))
	switch {
	case err != nil:
		return err
	case c.Class == 0:
		return fmt.Errorf("category %s has no class", id)
	case m.byID[id] != nil:
		return fmt.Errorf("category %s is listed twice", id)
	case c.Location != "" && !isLocation(c.Location):
		return fmt.Errorf("category %s: the location %q does not begin and end with /", id, c.Location)
	case c.Location != "" && m.byLocation[c.Location] != nil:
		return fmt.Errorf("categories %s and %s have the same location %s", m.byLocation[c.Location].ID, id, c.Location)
	case c.Class == Mixin && c.Location == "":
		return fmt.Errorf("mixin %s has no location", id)
	}
	e := &entry{Category: c}
	m.listed = append(m.listed, e)
	m.byID[id] = e
	if c.Location != "" {
		m.byLocation[c.Location] = e
	}
	return nil
}

// isLocation reports whether s may be the path of a collection.
func isLocation(s string) bool {
	return len(s) > 2 && s[0] == '/' && s[len(s)-1] == '/' && isClean(s) && s != wellKnown && s != queryPath
}

// isClean reports whether a path holds no empty, "." or ".." segment and no control character.
func isClean(path string) bool {
	for segment := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if segment == "" || segment == "." || segment == ".." {
			return path == "/"
		}
	}
	return !strings.Contains(path, "//") && strings.IndexFunc(path, isControl) < 0
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// link works out what e inherits, and checks what it refers to.
func (m *Model) link(e *entry) error {
	e.text = renderCategory(&e.Category)
	if err := m.inherit(e); err != nil {
		return err
	}
	for _, id := range e.Actions {
		if a := m.byID[id]; a == nil || a.Class != Action {
			return fmt.Errorf("category %s has the action %s, which is not in the model", e.ID, id)
		}
	}
	for _, id := range slices.Concat(e.Depends, e.Applies) {
		if m.byID[id] == nil {
			return fmt.Errorf("mixin %s refers to %s, which is not in the model", e.ID, id)
		}
	}
	return nil
}

func (m *Model) inherit(e *entry) error {
	for k := e; ; {
		if slices.Contains(e.ancestors, k.ID) {
			return fmt.Errorf("kind %s descends from itself", k.ID)
		}
		e.ancestors = append(e.ancestors, k.ID)
		for i := range k.Attributes {
			e.definitions = append(e.definitions, &k.Attributes[i])
		}
		parent := k.Parent
		if parent == "" {
			// Models that render a core kind without its parent still have it.
			if parent = implied(k); parent == "" {
				return nil
			}
		}
		if k = m.byID[parent]; k == nil {
			return fmt.Errorf("kind %s has the parent %s, which is not in the model", e.ID, parent)
		}
	}
}

// implied returns the parent of a kind that names none.
func implied(k *entry) TypeID {
	if k.Class == Kind && k.ID != CoreEntity {
		return CoreEntity
	}
	return ""
}

// Categories yields what the query interface lists.
func (m *Model) Categories() iter.Seq[*Category] {
	return func(yield func(*Category) bool) {
		for _, e := range m.listed {
			if !yield(&e.Category) {
				return
			}
		}
	}
}

// Find returns the category, or nil. Nobody may change it.
func (m *Model) Find(id TypeID) *Category {
	if e := m.byID[id]; e != nil {
		return &e.Category
	}
	return nil
}

// At returns the kind or mixin whose collection is at a path, or nil.
func (m *Model) At(location string) *Category {
	if e := m.byLocation[location]; e != nil {
		return &e.Category
	}
	return nil
}

// Is reports whether a kind is another one or descends from it.
func (m *Model) Is(kind, ancestor TypeID) bool {
	e := m.byID[kind]
	return e != nil && slices.Contains(e.ancestors, ancestor)
}

// Under returns the mixins that belong to a mixin, such as the templates under os_tpl.
func (m *Model) Under(mixin TypeID) []*Category {
	var out []*Category
	for _, e := range m.listed {
		if e.Class == Mixin && slices.Contains(e.Depends, mixin) {
			out = append(out, &e.Category)
		}
	}
	return out
}

// definitions yields the attributes that an entity of the kind with the mixins may have. Those of categories that the
// model does not know are left out.
func (m *Model) definitions(kind TypeID, mixins []TypeID) iter.Seq[*AttributeDef] {
	return func(yield func(*AttributeDef) bool) {
		for i := -1; i < len(mixins); i++ {
			id := kind
			if i >= 0 {
				id = mixins[i]
			}
			e := m.byID[id]
			if e == nil {
				continue
			}
			for _, d := range e.definitions {
				if !yield(d) {
					return
				}
			}
			if e.Class != Mixin {
				continue
			}
			for _, parent := range e.Depends {
				if p := m.byID[parent]; p != nil {
					for _, d := range p.definitions {
						if !yield(d) {
							return
						}
					}
				}
			}
		}
	}
}

// definition returns how an attribute is defined for an entity, or nil.
func (m *Model) definition(kind TypeID, mixins []TypeID, name string) *AttributeDef {
	for d := range m.definitions(kind, mixins) {
		if d.Name == name {
			return d
		}
	}
	return nil
}
