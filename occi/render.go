package occi

import (
	"net/url"
	"slices"
	"strings"
)

// A categoryText is the text of a category in pieces, as where its location is differs from request to request.
type categoryText struct {
	short      string // term, scheme and class
	head, tail string // what stands before and after the location
}

func renderCategory(c *Category) categoryText {
	b := make([]byte, 0, 256)
	b = append(b, c.ID.Term()...)
	b = append(b, `; scheme="`...)
	b = append(b, c.ID.Scheme()...)
	b = append(b, `"; class="`...)
	b = append(b, c.Class.String()...)
	b = append(b, '"')
	t := categoryText{short: string(b)}
	if c.Title != "" {
		b = append(b, `; title=`...)
		b = appendQuoted(b, c.Title)
	}
	switch {
	case c.Parent != "":
		b = appendRel(b, append(slices.Clone(c.Related), c.Parent)...)
	case len(c.Depends) > 0:
		b = appendRel(b, c.Depends[0])
	}
	t.head = string(b)
	b = b[:0]
	for i, d := range c.Attributes {
		if i == 0 {
			b = append(b, `; attributes="`...)
		} else {
			b = append(b, ' ')
		}
		b = append(b, d.Name...)
		switch {
		case d.Immutable && d.Required:
			b = append(b, "{immutable required}"...)
		case d.Immutable:
			b = append(b, "{immutable}"...)
		case d.Required:
			b = append(b, "{required}"...)
		}
	}
	if len(c.Attributes) > 0 {
		b = append(b, '"')
	}
	for i, id := range c.Actions {
		if i == 0 {
			b = append(b, `; actions="`...)
		} else {
			b = append(b, ' ')
		}
		b = append(b, id...)
	}
	if len(c.Actions) > 0 {
		b = append(b, '"')
	}
	t.tail = string(b)
	return t
}

func appendRel(b []byte, ids ...TypeID) []byte {
	b = append(b, `; rel="`...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, id...)
	}
	return append(b, '"')
}

// appendQuoted appends a value in quotes. Control characters are written with %, as they would end a line.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' && c != '\t' || c == 0x7f:
			b = append(b, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// escapePath returns a path as it stands in URLs.
func escapePath(path string) string {
	for i := range len(path) {
		if c := path[i]; !isAlnum(c) && strings.IndexByte("/-_.~:@", c) < 0 {
			return (&url.URL{Path: path}).EscapedPath()
		}
	}
	return path
}

// A view is how one request sees the listener: what renderers need to know.
type view struct {
	host   string // scheme and authority of URLs
	prefix string // of paths
	hurtle bool   // all values in quotes, categories in full
	model  *catalog
}

// appendURL appends the absolute URL of a path.
func (v *view) appendURL(b []byte, path string) []byte {
	b = append(b, v.host...)
	return v.appendPath(b, path)
}

// appendPath appends a path with the prefix; whole URLs stay as they are.
func (v *view) appendPath(b []byte, path string) []byte {
	if path == "" || path[0] != '/' {
		return appendHeader(b, path)
	}
	b = append(b, v.prefix...)
	return append(b, escapePath(path)...)
}

// appendHeader appends a URL without the characters that would end it.
func appendHeader(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '"' || c == '<' || c == '>' || c == '\\' {
			b = append(b, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// appendCategory appends all that there is to say of a category.
func (v *view) appendCategory(b []byte, e *entry) []byte {
	b = append(b, e.text.head...)
	if e.Location != "" {
		b = append(b, `; location="`...)
		b = v.appendURL(b, e.Location)
		b = append(b, '"')
	}
	return append(b, e.text.tail...)
}

// appendTyped appends a category of an entity.
func (v *view) appendTyped(b []byte, e *entry) []byte {
	if v.hurtle {
		return v.appendCategory(b, e)
	}
	return append(b, e.text.short...)
}

// appendValue appends an attribute.
func (v *view) appendValue(b []byte, name string, value any) []byte {
	b = append(b, name...)
	b = append(b, '=')
	text := valueText(value)
	if !v.hurtle && isBare(value) {
		return append(b, text...)
	}
	return appendQuoted(b, text)
}

// A text is a text rendering that is being written: one body of lines, or the values of four headers.
type text struct {
	headers bool
	body    []byte
	values  [4][]byte // in the order of names
}

// Items by their place among names.
const (
	itemCategory = iota
	itemLink
	itemAttribute
	itemLocation
)

// item begins an item and returns what it is to be appended to.
func (t *text) item(which int) *[]byte {
	if !t.headers {
		t.body = append(t.body, '\n')
		t.body = append(t.body, names[which]...)
		t.body = append(t.body, ": "...)
		return &t.body
	}
	b := &t.values[which]
	if len(*b) > 0 {
		*b = append(*b, ", "...)
	}
	return b
}

// entity writes an entity.
func (v *view) entity(t *text, e *Entity) {
	for i := -1; i < len(e.Mixins); i++ {
		id := e.Kind
		if i >= 0 {
			id = e.Mixins[i]
		}
		if c := v.model.find(id); c != nil {
			b := t.item(itemCategory)
			*b = v.appendTyped(*b, c)
		}
	}
	for _, id := range e.Actions {
		b := t.item(itemLink)
		*b = append(*b, '<')
		*b = v.appendPath(*b, e.Path)
		*b = append(*b, "?action="...)
		*b = append(*b, id.Term()...)
		*b = append(*b, '>')
		*b = appendRel(*b, id)
	}
	for _, l := range e.Links {
		b := t.item(itemLink)
		*b = v.appendLink(*b, e, l)
	}
	v.attributes(e, func(name string, value any) {
		b := t.item(itemAttribute)
		*b = v.appendValue(*b, name, value)
	})
}

// attributes yields all attributes of an entity, those that are fields of it first.
func (v *view) attributes(e *Entity, yield func(name string, value any)) {
	yield(AttrID, e.id())
	if e.Source.Location != "" {
		yield(AttrSource, v.reference(e.Source.Location))
	}
	if e.Target.Location != "" {
		yield(AttrTarget, v.reference(e.Target.Location))
	}
	for i := range e.Attributes {
		yield(e.Attributes[i].Name, e.Attributes[i].Value)
	}
}

// reference returns the location of a link's end as clients see it.
func (v *view) reference(location string) string {
	if location != "" && location[0] == '/' {
		return v.prefix + escapePath(location)
	}
	return location
}

// appendLink appends a link of a resource.
func (v *view) appendLink(b []byte, from, l *Entity) []byte {
	b = append(b, '<')
	b = v.appendPath(b, l.Target.Location)
	b = append(b, '>')
	if rel := l.Target.Kind; rel != "" {
		b = appendRel(b, rel)
	} else {
		b = appendRel(b, CoreResource)
	}
	b = append(b, `; self="`...)
	b = v.appendPath(b, l.Path)
	b = append(b, `"; category="`...)
	b = append(b, l.Kind...)
	for _, id := range l.Mixins {
		b = append(b, ' ')
		b = append(b, id...)
	}
	b = append(b, '"')
	source := *l
	if source.Source.Location == "" {
		source.Source.Location = from.Path
	}
	v.attributes(&source, func(name string, value any) {
		b = append(b, "; "...)
		b = v.appendValue(b, name, value)
	})
	return b
}
