package occi

import "net/http"

// A request is what a client says: the items of a text rendering.
type request struct {
	categories []string
	links      []string
	attributes []string
	locations  []string
}

// writeRequest renders what a client says.
func writeRequest(categories []Category, attributes Attributes, links []string) *request {
	r := &request{links: links}
	var v view
	for i := range categories {
		c := renderCategory(&categories[i])
		text := c.head
		if l := categories[i].Location; l != "" {
			text += `; location="` + string(appendHeader(nil, l)) + `"`
		}
		r.categories = append(r.categories, text+c.tail)
	}
	for _, a := range attributes {
		r.attributes = append(r.attributes, string(v.appendValue(nil, a.Name, a.Value)))
	}
	return r
}

// links renders the links that an entity is to be made with.
func (c *Client) links(e *Entity) []string {
	var out []string
	var v view
	for _, l := range e.Links {
		b := append([]byte("<"), appendHeader(nil, c.reference(l.Target))...)
		b = append(b, '>')
		if l.Target.Kind != "" {
			b = appendRel(b, l.Target.Kind)
		}
		if l.Path != "" {
			b = append(b, `; self="`...)
			b = append(appendHeader(b, c.reference(Reference{Location: l.Path})), '"')
		}
		b = append(b, `; category="`...)
		b = append(b, l.Kind...)
		for _, id := range l.Mixins {
			b = append(b, ' ')
			b = append(b, id...)
		}
		b = append(b, '"')
		for _, a := range l.Attributes {
			b = append(b, "; "...)
			b = v.appendValue(b, a.Name, a.Value)
		}
		out = append(out, string(b))
	}
	return out
}

// each yields the items with their names.
func (r *request) each(yield func(name, item string)) {
	for i, list := range [][]string{r.categories, r.links, r.attributes, r.locations} {
		for _, item := range list {
			yield(names[i], item)
		}
	}
}

// plain returns the items as a body of text/plain.
func (r *request) plain() []byte {
	var b []byte
	r.each(func(name, item string) {
		b = append(b, name...)
		b = append(b, ": "...)
		b = append(b, item...)
		b = append(b, '\n')
	})
	return b
}

// inHeaders returns the items as headers.
func inHeaders(r *request) http.Header {
	h := http.Header{"Content-Type": {TextOCCI}}
	r.each(func(name, item string) {
		if name = http.CanonicalHeaderKey(name); len(h[name]) > 0 {
			h[name][0] += ", " + item
		} else {
			h[name] = []string{item}
		}
	})
	return h
}
