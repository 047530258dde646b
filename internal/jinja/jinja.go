// Package jinja evaluates Jinja templates that are not trusted. The engine is gonja; this package is the layer
// around it: it limits what a template may use, and makes gonja do what real templates need that were written for
// Jinja2 of Python. How:
//
//   - The text goes through gonja's lexer with what it cannot read rewritten: line ends in tags, escapes in texts,
//     keywords as names of fields, conditions within expressions, blocks of call and filter (rewrite.go).
//   - gonja's parser makes the tree. In it, names, lookups, operators and calls become calls of functions of ours
//     that compute, compare and print as Python does, and spend from a budget (compile.go, operate.go, text.go).
//   - gonja's evaluator runs it, with its own filters, tests and methods behind the same budget (filter.go).
//
// include, import, from, extends and block are refused. do, break and continue are always there. Mappings of Go
// have their keys sorted, a newline at the end of a template stays. testdata/jinja.json holds what Jinja2 makes of
// 360 templates, and says where this package differs.
package jinja

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// Limits of a template.
const (
	MaxOutput = 4 << 20         // bytes of what it renders to, and of any text that it makes
	MaxTime   = 5 * time.Second // of one rendering
	maxMade   = 64 << 20        // bytes of all intermediate values
	maxSteps  = 400_000         // lookups, operators, calls, filters, rounds of loops
	maxDepth  = 400             // calls within each other
	maxNested = 200             // brackets, statements and values within each other
	maxChain  = 1000            // operators, lookups and filters of one tag
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

// fail ends what is being done with an error.
func fail(line int, format string, args ...any) {
	panic(&Error{line, fmt.Sprintf(format, args...)})
}

// A Template is a parsed template. It does not change: many may render it at the same time.
type Template struct {
	root *nodes.Template
	refs []Reference
}

// Parse reads a template. The error is of type *Error.
func Parse(text string) (t *Template, err error) {
	c := &compiler{given: map[string]bool{"loop": true, "caller": true, "varargs": true, "kwargs": true}, line: 1}
	defer catch(&err, &c.line)
	p := parser.NewParser("template", tokens.NewStream(c.lex(text)), config.New(), closed{}, c.statements())
	root, err := p.Parse()
	if err != nil {
		return nil, explain(err, c.line)
	}
	return &Template{root, c.references()}, nil
}

// Render fills in a template. Strict makes a missing name an error wherever it is used; otherwise it is
// empty. The error is of type *Error, or ctx's own when ctx has ended.
func (t *Template) Render(ctx context.Context, values *Values, strict bool) (text string, err error) {
	limited, cancel := context.WithTimeout(ctx, MaxTime)
	defer cancel()
	b := &budget{ctx: limited, strict: strict, values: values, root: exec.NewContext(hidden()), line: 1}
	defer func() {
		if ctx.Err() != nil {
			text, err = "", ctx.Err()
		}
	}()
	defer catch(&err, &b.line)
	b.root.Set(budgetKey, b)
	var out strings.Builder
	base := engine()
	env := *base.environment
	env.Context = b.root
	r := &exec.Renderer{Config: base.config, Environment: &env, Loader: closed{}, Template: base.empty, RootNode: t.root, Output: &limitedWriter{b, &out}}
	if err := r.Execute(); err != nil {
		if b.caused(err) {
			return "", b.missing
		}
		return "", explain(err, b.line)
	}
	return out.String(), nil
}

// catch turns what fail has thrown, and a fault of the engine, into an error.
func catch(err *error, line *int) {
	p := recover()
	if p == nil {
		return
	}
	e, ok := p.(*Error)
	if !ok {
		e = &Error{Text: fmt.Sprintf("this cannot be evaluated: %.200v", p)}
	}
	*err = shortened(e, *line)
}

func shortened(e *Error, line int) *Error {
	if e.Line == 0 {
		e.Line = line
	}
	if len(e.Text) > 300 {
		e.Text = strings.ToValidUTF8(e.Text[:300], "") + "…"
	}
	return e
}

// invalidCall is what the engine says at length of each error of a function.
var invalidCall = regexp.MustCompile(`(?s)^.*invalid call to (?:function|filter|test|method) '[^']*'(?: of .*)?: `)

// explain makes one line of the engine's chain of errors: the innermost cause.
func explain(err error, line int) *Error {
	var own *Error
	if errors.As(err, &own) {
		return shortened(own, line)
	}
	var syntax *parser.SyntaxError
	if errors.As(err, &syntax) {
		e := &Error{syntax.Line, strings.TrimSuffix(strings.ToLower(syntax.Message[:1])+syntax.Message[1:], ".")}
		if syntax.Raw != "" {
			e.Text += fmt.Sprintf(", at %q", syntax.Raw)
		}
		return shortened(e, line)
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return shortened(&Error{Text: invalidCall.ReplaceAllString(err.Error(), "")}, line)
}

// A limitedWriter refuses more than MaxOutput bytes.
type limitedWriter struct {
	b   *budget
	out *strings.Builder
}

func (w *limitedWriter) Write(p []byte) (int, error) { return w.WriteString(string(p)) }
func (w *limitedWriter) WriteString(s string) (int, error) {
	if w.out.Len()+len(s) > MaxOutput {
		fail(w.b.line, "the text has more than %d bytes", MaxOutput)
	}
	return w.out.WriteString(s)
}

// A closed loader has nothing: no template leads to another.
type closed struct{}

var errClosed = errors.New("templates cannot read files")

// Read returns an empty text for the empty path and refuses others.
func (closed) Read(path string) (io.Reader, error) {
	if path != "" {
		return nil, errClosed
	}
	return strings.NewReader(""), nil
}

// Resolve refuses.
func (closed) Resolve(string) (string, error) { return "", errClosed }

// Inherit refuses.
func (closed) Inherit(string) (loaders.Loader, error) { return nil, errClosed }

// base is what all renderings share.
type base struct {
	config      *config.Config
	environment *exec.Environment
	empty       *exec.Template // the renderer wants one
}

var engine = sync.OnceValue(func() *base {
	b := &base{config: config.New(), environment: environment()}
	empty, err := exec.NewTemplate("", b.config, closed{}, b.environment)
	if err != nil {
		panic(err) // an empty text always parses
	}
	b.empty = empty
	return b
})
