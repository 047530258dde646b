package occi

import (
	"fmt"
	"strings"
)

// A TypeID identifies a category: its scheme, which ends in "#", followed by its term.
type TypeID string

// Scheme returns the part up to "#", which belongs to it.
func (id TypeID) Scheme() string { return string(id[:strings.LastIndexByte(string(id), '#')+1]) }

// Term returns the part after "#".
func (id TypeID) Term() string { return string(id[strings.LastIndexByte(string(id), '#')+1:]) }

// ParseTypeID reads a type identifier. Its error says what is wrong with it.
func ParseTypeID(s string) (TypeID, error) {
	i := strings.LastIndexByte(s, '#')
	if i < 1 {
		return "", fmt.Errorf("%.100q is no type identifier; write the scheme, which ends in #, and the term behind it", s)
	}
	return newTypeID(s[:i+1], s[i+1:])
}

func newTypeID(scheme, term string) (TypeID, error) {
	if len(scheme) < 2 || scheme[len(scheme)-1] != '#' {
		return "", fmt.Errorf("the scheme %.100q lacks a # at its end", scheme)
	}
	for i := range len(scheme) {
		if c := scheme[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"\<>;{}`, c) >= 0 {
			return "", fmt.Errorf("the scheme %.100q is no URI", scheme)
		}
	}
	if !isTerm(term) {
		return "", fmt.Errorf("the term %.100q holds more than letters, digits, dots, dashes and underscores", term)
	}
	return TypeID(scheme + term), nil
}

func isTerm(s string) bool {
	if s == "" || !isAlnum(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// A Class says which of the three sorts a category is.
type Class uint8

// The sorts of categories. The zero Class means that a client did not say.
const (
	Kind Class = iota + 1
	Mixin
	Action
)

// String returns the word that stands in renderings.
func (c Class) String() string {
	switch c {
	case Kind:
		return "kind"
	case Mixin:
		return "mixin"
	case Action:
		return "action"
	}
	return ""
}

// A Category is a kind, a mixin or an action.
type Category struct {
	ID    TypeID
	Class Class
	Title string
	// Attributes are those that the category itself defines; kinds have those of their parents too.
	Attributes []AttributeDef
	// Actions that entities of the kind, or with the mixin, may offer.
	Actions []TypeID
	// Location is the path of the collection of a kind or mixin; it begins and ends with "/". Abstract kinds have none.
	Location string
	// Parent is that of a kind.
	Parent TypeID
	// Related are kinds that stand before the parent of a kind where text renderings name it: Hurtle shows there what a service is
	// composed of. A Client finds them in Depends.
	Related []TypeID
	// Depends are the mixins that a mixin belongs to, such as os_tpl. Text renderings show only the first.
	Depends []TypeID
	// Applies are the kinds whose entities may have the mixin; none means any.
	Applies []TypeID
}

// A ValueType is the type of an attribute's values.
type ValueType string

// The types of values. The zero ValueType means String.
const (
	String  ValueType = "string"
	Number  ValueType = "number"
	Boolean ValueType = "boolean"
	Array   ValueType = "array"
	Object  ValueType = "object"
)

// An AttributeDef defines an attribute of a category.
type AttributeDef struct {
	Name string
	Type ValueType
	// Immutable attributes are set by the service alone, unless Initial.
	Immutable bool
	// Initial says that clients may set an immutable attribute when they create the entity.
	Initial  bool
	Required bool // at creation, or of an action
	// Values are the only ones allowed, if there are any.
	Values []string
	// Default is the value where the client gives none; nil for none.
	Default     any
	Description string
}

// Identifiers of the core model.
const (
	CoreScheme = "http://schemas.ogf.org/occi/core#"

	CoreEntity   TypeID = CoreScheme + "entity"
	CoreResource TypeID = CoreScheme + "resource"
	CoreLink     TypeID = CoreScheme + "link"
)

// Names of the attributes that the core model defines.
const (
	AttrID      = "occi.core.id"
	AttrTitle   = "occi.core.title"
	AttrSummary = "occi.core.summary"
	AttrSource  = "occi.core.source"
	AttrTarget  = "occi.core.target"
)

// Core returns the three kinds that all others descend from. A model knows them in any case; listing them in
// [NewModel] makes the query interface show them.
func Core() []Category {
	return []Category{
		{ID: CoreEntity, Class: Kind, Title: "Entity", Attributes: []AttributeDef{
			{Name: AttrID, Immutable: true, Description: "the entity's identifier"}, {Name: AttrTitle}}},
		{ID: CoreResource, Class: Kind, Title: "Resource", Parent: CoreEntity, Attributes: []AttributeDef{{Name: AttrSummary}}},
		{ID: CoreLink, Class: Kind, Title: "Link", Parent: CoreEntity, Attributes: []AttributeDef{
			{Name: AttrSource, Immutable: true, Initial: true}, {Name: AttrTarget, Immutable: true, Initial: true}}},
	}
}
