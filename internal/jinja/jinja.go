// Package jinja evaluates Jinja templates with the semantics of Jinja2 for Python: values print as Python
// prints them, a missing name is empty until something is looked up in it, arithmetic does not mix kinds.
//
// A template is not trusted. It reaches nothing but the values that it is given: include, import, from,
// extends and block are refused. Its steps, the bytes that it makes and its nesting are limited, and the
// time by a context. testdata holds what Jinja2 itself makes of some two hundred templates.
//
// What differs: do, break and continue are always there (in Python they are extensions); text does not
// become "safe", as nothing is escaped by itself; mappings of Go have their keys sorted; a newline at the
// end of a template stays. random, lipsum, urlize, xmlattr and translations are left out.
package jinja

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits of a template.
const (
	MaxOutput = 4 << 20         // bytes of what it renders to, and of any text that it makes
	MaxTime   = 5 * time.Second // of one rendering
	maxMade   = 64 << 20        // bytes of all intermediate values
	maxSteps  = 400_000         // expressions and statements that are evaluated
	maxDepth  = 3000            // expressions, statements and values within each other
	maxNested = 200             // the same, in the template's text
)

// An Error says what is wrong with a template, and where.
type Error struct {
	Line int // from 1; 0 when not known
	Text string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Text)
}

// A Template is a parsed template. It does not change: many may render it at the same time.
type Template struct{ body []statement }

// Parse reads a template. The error is of type *Error.
func Parse(text string) (t *Template, err error) {
	defer catch(&err, nil)
	p := &parser{tokens: lex(text)}
	return &Template{p.body()}, nil
}

// Render fills in a template. Strict makes a missing name an error wherever it is used; otherwise it is
// empty. The error is of type *Error, or ctx's own when ctx has ended.
func (t *Template) Render(ctx context.Context, values *Values, strict bool) (text string, err error) {
	limited, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	r := &run{ctx: limited, strict: strict, out: &strings.Builder{}}
	defer func() {
		if ctx.Err() != nil {
			text, err = "", ctx.Err()
		}
	}()
	defer catch(&err, r)
	top := &frame{vars: map[string]any{}, values: values}
	r.body(t.body, top)
	return r.out.String(), nil
}

const broken = "the template cannot be evaluated:"

// fail ends what is being done with an error.
func fail(line int, format string, args ...any) {
	panic(&Error{line, fmt.Sprintf(format, args...)})
}

// catch turns what fail has thrown into an error.
func catch(err *error, r *run) {
	p := recover()
	if p == nil {
		return
	}
	e, ok := p.(*Error)
	if !ok { // a fault of this package; a template must not end the server
		e = &Error{Text: fmt.Sprintf("%s %v", broken, p)}
	}
	if e.Line == 0 && r != nil {
		e.Line = r.line
	}
	if len(e.Text) > 300 {
		e.Text = strings.ToValidUTF8(e.Text[:300], "") + "…"
	}
	*err = e
}

// A run is one rendering.
type run struct {
	ctx         context.Context
	strict      bool
	out         *strings.Builder
	line        int // of what is evaluated
	steps, made int
	depth       int
}

func (r *run) fail(format string, args ...any) { fail(r.line, format, args...) }

// step counts something that is evaluated.
func (r *run) step() {
	r.steps++
	if r.steps > maxSteps {
		r.fail("the template takes more than %d steps", maxSteps)
	}
	if r.steps%64 == 0 && r.ctx.Err() != nil {
		if errors.Is(r.ctx.Err(), context.DeadlineExceeded) {
			r.fail("the template takes longer than %v", MaxTime)
		}
		r.fail("%v", r.ctx.Err())
	}
}

// spend counts bytes that are about to be made.
func (r *run) spend(bytes int) {
	if bytes > MaxOutput || bytes < 0 {
		r.fail("the template makes texts or lists that are too large")
	}
	if r.made += bytes; r.made > maxMade {
		r.fail("the template makes texts or lists that are too large")
	}
}

// enter goes one level deeper; the function it returns comes back.
func (r *run) enter() {
	if r.depth++; r.depth > maxDepth {
		r.fail("the template calls itself too deep")
	}
}

func (r *run) leave() { r.depth-- }

// write prints.
func (r *run) write(text string) {
	if r.out.Len()+len(text) > MaxOutput {
		r.fail("the text has more than %d bytes", MaxOutput)
	}
	r.spend(len(text))
	r.out.WriteString(text)
}

// capture returns what f prints.
func (r *run) capture(f func()) string {
	before := r.out
	r.out = &strings.Builder{}
	f()
	text := r.out.String()
	r.out = before
	return text
}
