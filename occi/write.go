package occi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// buffers are reused between answers.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// write answers with what fill writes, in one of the two text renderings.
func (x *exchange) write(status int, fill func(t *text)) error {
	p := buffers.Get().(*[]byte)
	t := text{headers: x.accept == TextOCCI, body: (*p)[:0]}
	fill(&t)
	if *p = t.body; cap(t.body) <= 64<<10 {
		defer buffers.Put(p)
	}
	if !t.headers {
		x.body(status, x.accept, t.body)
		return nil
	}
	for i, value := range t.values {
		if len(value) > x.s.opts.Limits.HeaderValue {
			return Errorf(http.StatusNotAcceptable, "the answer is too long for headers: %s has %d bytes; accept %s or %s instead", names[i], len(value), TextPlain, JSON)
		}
	}
	for i, value := range t.values {
		if len(value) > 0 {
			x.w.Header()[names[i]] = []string{string(value)} // spelt as clients look for it
		}
	}
	x.body(status, TextOCCI, []byte("OK"))
	return nil
}

// body writes status, type and body. A request for the headers alone gets no more.
func (x *exchange) body(status int, media string, body []byte) {
	h := x.w.Header()
	h["Content-Type"] = contentType(media)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body) // a client that is gone need not be told
	}
}

// The values of Content-Type are shared by all answers.
var contentTypes = map[string][]string{
	TextPlain: {TextPlain}, TextOCCI: {TextOCCI}, TextURIList: {TextURIList}, TextOCCIPlain: {TextOCCIPlain},
	JSON: {JSON}, PlainJSON: {PlainJSON},
}

func contentType(media string) []string { return contentTypes[media] }

func isJSON(media string) bool { return media == JSON || media == PlainJSON }

// json writes JSON.
func (x *exchange) json(status int, v any, indent string) error {
	text, err := encodeJSON(v, indent)
	if err != nil {
		return err
	}
	x.body(status, x.accept, text)
	return nil
}

// oldJSON reports whether the client is to get the JSON of Hurtle.
func (x *exchange) oldJSON() bool {
	return x.s.opts.Hurtle && !strings.Contains(x.r.UserAgent(), "OCCI/1.2")
}

func (x *exchange) writeEntity(e *Entity) error {
	switch {
	case x.accept == TextURIList:
		return x.noURIList()
	case isJSON(x.accept) && x.oldJSON():
		return x.json(http.StatusOK, x.view.hurtleEntity(e), "  ")
	case isJSON(x.accept):
		return x.json(http.StatusOK, x.view.entityJSON(e), "")
	}
	return x.write(http.StatusOK, func(t *text) { x.view.entity(t, e) })
}

func (x *exchange) writeCategories(list []*entry) error {
	switch {
	case x.accept == TextURIList:
		return x.noURIList()
	case isJSON(x.accept) && x.oldJSON():
		return x.json(http.StatusOK, x.view.hurtleCategories(list), "  ")
	case isJSON(x.accept):
		return x.json(http.StatusOK, x.view.categoriesJSON(list), "")
	}
	return x.write(http.StatusOK, func(t *text) {
		for _, e := range list {
			b := t.item(itemCategory)
			*b = x.view.appendCategory(*b, e)
		}
	})
}

func (x *exchange) writeCollection(path string, entities []*Entity) error {
	switch {
	case x.accept == TextURIList:
		var b []byte
		if x.s.opts.Hurtle {
			b = append(x.view.appendPath(append(b, "# uri:"...), path), '\n')
		}
		for i, e := range entities {
			if i > 0 {
				b = append(b, '\n')
			}
			b = x.view.appendURL(b, e.Path)
		}
		x.body(http.StatusOK, TextURIList, b)
		return nil
	case isJSON(x.accept) && x.oldJSON():
		return x.json(http.StatusOK, x.view.hurtleCollection(entities), "  ")
	case isJSON(x.accept):
		return x.json(http.StatusOK, x.view.collectionJSON(entities), "")
	}
	return x.write(http.StatusOK, func(t *text) {
		for _, e := range entities {
			b := t.item(itemLocation)
			*b = x.view.appendURL(*b, e.Path)
		}
	})
}

// writeCreated answers a creation.
func (x *exchange) writeCreated(e *Entity) error {
	h := x.w.Header()
	location := string(x.view.appendURL(nil, e.Path))
	h["Location"] = []string{location}
	switch {
	case isJSON(x.accept):
		x.body(http.StatusCreated, x.accept, nil)
	case x.accept == TextURIList:
		x.body(http.StatusCreated, x.accept, []byte(location))
	default:
		x.body(http.StatusCreated, x.accept, []byte("OK"))
	}
	return nil
}

// writeOK answers what has nothing to show.
func (x *exchange) writeOK() error {
	if isJSON(x.accept) {
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	media := x.accept
	if media == TextURIList {
		media = TextPlain
	}
	x.body(http.StatusOK, media, []byte("OK"))
	return nil
}

// noURIList refuses text/uri-list for what is no list.
func (x *exchange) noURIList() error {
	if x.s.opts.Hurtle {
		return badRequest("Unable to handle this request with the text/uri-list rendering.")
	}
	return badRequest("%s is for collections alone; accept %s, %s or %s", TextURIList, TextPlain, TextOCCI, JSON)
}

// WriteError answers with an error in the way of the client's rendering, for those who serve the listener and have
// an error of their own, such as a failed login. What is no [Error] is logged and answered with 500.
func (s *Server) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	var e *Error
	if !errors.As(err, &e) {
		s.opts.Log.Error("an OCCI request failed for a reason of the server's own", "method", r.Method, "path", r.URL.Path, "error", err)
		e = &Error{Status: http.StatusInternalServerError, Message: "internal error"}
	}
	h := w.Header()
	h["Server"] = s.product
	for name, values := range e.Header {
		h[name] = values
	}
	message := printable(e.Message)
	body, media := []byte(message), TextPlain
	switch accept := negotiate(r.Header["Accept"], s.opts.Default); {
	case isJSON(accept) && !s.opts.Hurtle:
		type problem struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		}
		body, _ = encodeJSON(problem{e.Status, message}, "") // strings and numbers always can be written
		media = accept
	case accept == TextOCCI && !s.opts.Hurtle:
		h["X-OCCI-Error"] = []string{message}
	}
	x := exchange{w: w, r: r}
	x.body(e.Status, media, body)
}

// printable returns s without control characters.
func printable(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			b := []byte(s)
			for i := range b {
				if b[i] < ' ' || b[i] == 0x7f {
					b[i] = ' '
				}
			}
			return string(b)
		}
	}
	return s
}
