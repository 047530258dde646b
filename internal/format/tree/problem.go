package tree

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// MaxErrors is how many mistakes are noted of a document.
const MaxErrors = 20

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

// Errors are the mistakes of a document, in the order of its text; no more than MaxErrors.
type Errors []*Error

// Note adds a mistake, unless there are enough.
func (e *Errors) Note(at Place, path, text string) {
	if len(*e) < MaxErrors {
		*e = append(*e, &Error{File: at.File.Name, Line: at.Line, Column: at.Column, Path: path, Text: text, order: at.File.Order})
	}
}

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

// Sorted returns the errors, in the order of the text, as an error; nil for none.
func (e Errors) Sorted() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return e
}
