package native

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// An Error is one mistake in a file.
type Error struct {
	File         string
	Line, Column int    // from 1; 0 when it concerns the file as a whole
	Path         string // the keys that lead there: roles.app.needs[0]
	Text         string

	order int // of the file: the main one first
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Text)
	return b.String()
}

// Errors are the mistakes of a document, in the order of its text; no more than service.MaxProblems.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the mistakes.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, x := range e {
		all[i] = x
	}
	return all
}

// sorted returns the errors as an error, nil for none.
func (e Errors) sorted() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return e
}

// A spot is where something of the specification came from.
type spot struct {
	at   tree.Place
	path string
}

// fail notes a mistake at the keys that are being read.
func (d *decoder) fail(at tree.Place, format string, args ...any) {
	d.failAt(spot{at, d.path}, fmt.Sprintf(format, args...))
}

func (d *decoder) failAt(s spot, text string) {
	if len(d.errs) < service.MaxProblems {
		d.errs = append(d.errs, &Error{
			File: s.at.File.Name, Line: s.at.Line, Column: s.at.Column,
			Path: s.path, Text: text, order: s.at.File.Order,
		})
	}
}

// mark notes where a part of the specification came from.
func (d *decoder) mark(spec string, n *tree.Node) { d.spots[spec] = spot{n.At, d.path} }

// report notes what validation found.
func (d *decoder) report(err error) {
	var problems service.Problems
	if !errors.As(err, &problems) {
		return
	}
	for _, p := range problems {
		d.problem(p.Path, p.Text)
	}
}

// problem notes something wrong with a part of the specification, unless reading that part, or
// something within it, has failed already: then it is but an echo.
func (d *decoder) problem(path, text string) {
	s, ok := d.spots[path]
	for !ok {
		i := strings.LastIndexAny(path, ".[")
		path = path[:max(i, 0)]
		s, ok = d.spots[path]
	}
	for _, e := range d.errs {
		if within(e.Path, s.path) || within(s.path, e.Path) {
			return
		}
	}
	d.failAt(s, text)
}

// within reports whether path a leads through b.
func within(a, b string) bool {
	rest, ok := strings.CutPrefix(a, b)
	return ok && (b == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// tree reads a file; what keeps it from being read is noted.
func (d *decoder) tree(name string, data []byte) (*tree.Node, bool) {
	root, err := d.files.Read(name, data)
	var m *tree.Mistake
	if errors.As(err, &m) {
		d.fail(m.At, "%s", m.Text)
	}
	return root, err == nil
}
