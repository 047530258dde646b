package jinja

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A budget is what one rendering may use, and what it knows.
type budget struct {
	ctx         context.Context
	strict      bool
	values      *Values
	root        *exec.Context
	line        int // of the tag that is evaluated
	steps, made int
	depth       int
	missing     *Error // the last missing value in a strict rendering
}

func budgetOf(e *exec.Environment) *budget {
	v, _ := e.Context.Get(budgetKey)
	return v.(*budget)
}

func (b *budget) fail(format string, args ...any) { fail(b.line, format, args...) }

// spend takes a step and the bytes that it makes.
func (b *budget) spend(bytes int) {
	b.steps++
	if b.steps > maxSteps {
		b.fail("the template takes more than %d steps", maxSteps)
	}
	if b.made += bytes; bytes > MaxOutput || bytes < 0 || b.made > maxMade {
		b.fail("the template makes texts or lists that are too large")
	}
	if b.steps%64 == 0 && b.ctx.Err() != nil {
		if errors.Is(b.ctx.Err(), context.DeadlineExceeded) {
			b.fail("the template takes longer than %v", MaxTime)
		}
		b.fail("%v", b.ctx.Err())
	}
}

// enter goes one level deeper; what it returns comes back.
func (b *budget) enter() (leave func()) {
	if b.depth++; b.depth > maxDepth {
		b.fail("the template calls itself too deep")
	}
	return func() { b.depth-- }
}

// lacks says that a name or field is not there. In a strict rendering it returns an error, for default and the
// tests to see; otherwise nothing.
func (b *budget) lacks(name string, among []string) *exec.Value {
	if !b.strict {
		return exec.AsValue(nil)
	}
	b.missing = &Error{b.line, fmt.Sprintf("no value %q%s", name, nearest.Hint(name, among))}
	return exec.AsValue(b.missing)
}

// caused reports whether an error is that of the last missing value. The engine has made text of it on the way.
func (b *budget) caused(err error) bool {
	return b.missing != nil && strings.Contains(err.Error(), b.missing.Text)
}

// size returns about how many bytes a value takes with all that it holds, and spends a step. What is too large, or
// holds itself, ends the rendering: the engine's own functions would go through all of it.
func (b *budget) size(values ...*exec.Value) int {
	left := MaxOutput
	for _, v := range values {
		measure(v.Interface(), &left, 0)
	}
	if left <= 0 {
		b.spend(MaxOutput + 1)
	}
	b.spend(0)
	return MaxOutput - left
}

func measure(v any, left *int, depth int) {
	if *left -= 8; depth > maxNested {
		*left = 0
	}
	if s, ok := v.(string); ok {
		*left -= len(s)
	} else if items, ok := sequence(v); ok {
		for i := 0; i < len(items) && *left > 0; i++ {
			measure(items[i], left, depth+1)
		}
	} else if d, ok := mapping(v); ok {
		for i := 0; i < len(d.Pairs) && *left > 0; i++ {
			measure(d.Pairs[i].Key.Interface(), left, depth+1)
			measure(d.Pairs[i].Value.Interface(), left, depth+1)
		}
	}
}

// grows are the filters and methods whose result may be much larger than what they are given.
var grows = words("batch center expandtabs format format_map indent join ljust replace rjust slice tojson translate truncate wordwrap zfill")

func words(s string) map[string]bool {
	all := map[string]bool{}
	for _, w := range strings.Fields(s) {
		all[w] = true
	}
	return all
}

// admit spends for what a filter, test or method is given, and refuses what would grow too far.
func (b *budget) admit(name string, in *exec.Value, params *exec.VarArgs) {
	args := append([]*exec.Value{}, params.Args...)
	for _, v := range params.KwArgs {
		args = append(args, v)
	}
	size, longest, largest := b.size(in), 0, 0
	for _, v := range args {
		longest = max(longest, b.size(v))
		if v.IsInteger() && name != "format" {
			largest = max(largest, v.Integer(), -v.Integer())
		}
	}
	b.spend(size)
	if grows[name] && (largest > 10_000 || size/16*longest > MaxOutput || size*largest > 1<<30) {
		b.fail("the template makes texts or lists that are too large")
	}
}
