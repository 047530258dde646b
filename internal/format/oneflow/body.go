// Package oneflow reads and checks what OpenNebula OneFlow's clients send: service templates of
// both generations, instantiations, updates, template text (KEY = VALUE) and oneflow-server.conf.
// It turns a template into a [service.Spec]. It does no I/O.
//
// The old generation (up to 6.x) says vm_template, vm_template_contents and custom_attrs; the new
// one (7.x) template_id, template_contents and user_inputs.
package oneflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind says what is wrong with a body.
type Kind uint8

// The kinds of error.
const (
	Malformed Kind = iota // not JSON, or over a limit
	Invalid               // against the schema or a rule
	Immutable             // an update of what must not change
)

// An Error is a user's mistake and where it is.
type Error struct {
	Kind Kind
	// Message is the bare text, as OneFlow's clients expect it.
	Message string
	// Path leads to the value, "roles[1].parents[0]"; "" for the whole body.
	Path string
	// Line and Column, from 1, are where the value starts; 0 if the text is not known. Columns
	// count characters.
	Line, Column int
}

func (e *Error) Error() string {
	s := e.Message
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	if e.Line > 0 {
		s = fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, s)
	}
	return s
}

// At puts the path of an *Error in err below another: "role" and "min_vms" make "role.min_vms". Other errors
// stay as they are.
func At(place string, err error) error {
	var e *Error
	if place == "" || !errors.As(err, &e) {
		return err
	}
	moved := *e
	switch {
	case e.Path == "":
		moved.Path = place
	case e.Path[0] == '[':
		moved.Path = place + e.Path
	default:
		moved.Path = place + "." + e.Path
	}
	return &moved
}

// A Warning is something that a user should know and that stops nothing.
type Warning struct {
	Path    string
	Message string
}

func (w Warning) String() string {
	if w.Path == "" {
		return w.Message
	}
	return w.Path + ": " + w.Message
}

// Texts returns the warnings of several steps as lines.
func Texts(steps ...[]Warning) []string {
	var texts []string
	for _, w := range slices.Concat(steps...) {
		texts = append(texts, w.String())
	}
	return texts
}

// A Body is the BODY of a service template or of a service, in the generation of the client that
// sent it.
type Body struct {
	root   *Object
	source []byte // without comments; nil when the body was made from others
}

// NewBody makes a body from an object, which it keeps.
func NewBody(root *Object) *Body { return &Body{root: root} }

// Root returns the body's object. Changes of it change the body.
func (b *Body) Root() *Object { return b.root }

// MarshalJSON writes the body as it is stored.
func (b *Body) MarshalJSON() ([]byte, error) { return b.root.MarshalJSON() }

// A path leads to a value: keys and indexes.
type path []any

func (p path) with(step ...any) path { return append(p[:len(p):len(p)], step...) }

func (p path) String() string {
	var b strings.Builder
	for _, step := range p {
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		case string:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(step)
		}
	}
	return b.String()
}

// fail makes the error for the value at p, or, if the text has none there, for what would hold it.
func (b *Body) fail(kind Kind, p path, format string, args ...any) error {
	e := &Error{Kind: kind, Path: p.String(), Message: fmt.Sprintf(format, args...)}
	if b.source != nil {
		dec := json.NewDecoder(bytes.NewReader(b.source))
		dec.UseNumber()
		e.Line, e.Column = position(b.source, locate(dec, b.source, p))
	}
	return e
}

// locate returns where the value at p starts. The text is known to be good.
func locate(dec *json.Decoder, source []byte, p path) int {
	start := int(dec.InputOffset())
	for start < len(source) && strings.IndexByte(" \t\r\n,:", source[start]) >= 0 {
		start++
	}
	token, err := dec.Token()
	if delim, ok := token.(json.Delim); err != nil || !ok || delim != '{' && delim != '[' {
		return start
	}
	found := start
	for i := 0; dec.More(); i++ {
		var step any = i
		if token == json.Delim('{') {
			if step, err = dec.Token(); err != nil {
				return found
			}
		}
		if len(p) > 0 && p[0] == step {
			found = locate(dec, source, p[1:])
		} else {
			locate(dec, source, nil)
		}
	}
	_, _ = dec.Token()
	return found
}
