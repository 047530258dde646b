package jinja

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Function can be called by templates.
type Function struct {
	name       string
	params     []param
	rest, keys bool // what else comes goes into a list, a mapping, behind the others
	call       func(b *budget, args []any) any
}

type param struct {
	name     string
	required bool
	other    any // when it is not given
}

// NewFunction makes a function. The signature is Python's, such as "role, all=False"; *rest and **keys take
// what else comes. f gets a value for each name in it: Go's basic kinds, int for whole numbers, []any and
// map[string]any. It returns what [NewValues] takes, or an error that says what was wrong.
func NewFunction(name, signature string, f func(args []any) (any, error)) *Function {
	return builtin(name, signature, func(b *budget, args []any) any {
		for i := range args {
			args[i] = plain(args[i])
		}
		v, err := f(args)
		if err != nil {
			b.fail("%s: %v", name, err)
		}
		return from(v)
	})
}

// builtin makes a function of values of templates.
func builtin(name, signature string, call func(b *budget, args []any) any) *Function {
	f := &Function{name: name, call: call}
	for part := range strings.SplitSeq(signature, ", ") {
		n, other, optional := strings.Cut(part, "=")
		switch {
		case strings.HasPrefix(n, "**"):
			f.keys = true
		case strings.HasPrefix(n, "*"):
			f.rest = true
		default:
			p := param{name: n, required: !optional, other: strings.Trim(other, "'")}
			if i, err := strconv.Atoi(other); err == nil {
				p.other = i
			} else if other == "True" || other == "False" {
				p.other = other == "True"
			} else if other == "None" {
				p.other = none(false)
			}
			f.params = append(f.params, p)
		}
	}
	return f
}

// apply calls a function with what a template gives it.
func (f *Function) apply(b *budget, given *exec.VarArgs) any {
	args := make([]any, len(f.params), len(f.params)+2)
	rest := tuple{}
	for i, a := range given.Args {
		switch {
		case i < len(args):
			args[i] = a.Interface()
		case f.rest:
			rest = append(rest, a.Interface())
		default:
			b.fail("%s takes %d values at most, not %d", f.name, len(f.params), len(given.Args))
		}
	}
	left := maps.Clone(given.KwArgs)
	for i, p := range f.params {
		named, ok := left[p.name]
		delete(left, p.name)
		switch {
		case ok && i < len(given.Args):
			b.fail("%s is given %s twice", f.name, p.name)
		case ok:
			args[i] = named.Interface()
		case i >= len(given.Args) && p.required:
			b.fail("%s lacks its value %q", f.name, p.name)
		case i >= len(given.Args):
			args[i] = p.other
		}
	}
	more := &exec.Dict{}
	for _, k := range slices.Sorted(maps.Keys(left)) {
		if !f.keys {
			var known []string
			for _, p := range f.params {
				known = append(known, p.name)
			}
			b.fail("%s takes no value named %q%s", f.name, k, nearest.Hint(k, known))
		}
		put(more, k, left[k].Interface())
	}
	if f.rest {
		args = append(args, rest)
	}
	if f.keys {
		args = append(args, more)
	}
	return f.call(b, args)
}

const maxRange = 100_000

// globals are the functions that are always there.
var globals = map[string]*Function{
	"range": builtin("range", "start, stop=None, step=1", func(b *budget, a []any) any {
		start, first := a[0].(int)
		stop, second := a[1].(int)
		step, third := a[2].(int)
		if a[1] == none(false) {
			start, stop, second = 0, start, true
		}
		switch {
		case !first || !second || !third || max(start, -start, stop, -stop, step, -step) > 1<<53:
			b.fail("range takes one to three whole numbers: [start,] stop [, step]")
		case step == 0:
			b.fail("the step of a range is 0")
		}
		count := max((stop-start+step-max(min(step, 1), -1))/step, 0)
		if count > maxRange {
			b.fail("the range has %d numbers; %d is the most", count, maxRange)
		}
		b.spend(16 * count)
		out := make([]any, count)
		for i := range out {
			out[i] = start + i*step
		}
		return out
	}),
	"dict":      builtin("dict", "**more", func(_ *budget, a []any) any { return a[0] }),
	"namespace": builtin("namespace", "**more", func(_ *budget, a []any) any { return &namespace{a[0].(*exec.Dict)} }),
}

// Globals returns the names that are always there.
func Globals() []string { return slices.Sorted(maps.Keys(globals)) }

// DictMethods returns the names of the methods of mappings.
func DictMethods() []string { return []string{"get", "items", "keys", "update", "values"} }

// own calls the methods that gonja lacks or has other than Python, and reports whether it is one: those of mappings
// and lists change them in their place.
func (b *budget) own(v any, name string, given *exec.VarArgs) (any, bool) {
	signature := map[string]string{"get": "key, other=None", "update": "values", "append": "value", "count": "value", "join": "values", "replace": "old, new, count=-1", "split": "sep=None, maxsplit=-1"}[name]
	d, isDict := mapping(v)
	_, isList := sequence(v)
	s, isText := v.(string)
	method := func(a []any) any { return nil }
	switch {
	case isDict && name == "get":
		method = func(a []any) any {
			if v, ok := find(d, a[0]); ok {
				return v
			}
			return a[1]
		}
	case isDict && (name == "keys" || name == "values" || name == "items"):
		out := make([]any, len(d.Pairs))
		for i, p := range d.Pairs {
			out[i] = map[string]any{"keys": p.Key, "values": p.Value, "items": tuple{p.Key.Interface(), p.Value.Interface()}}[name]
			out[i] = exec.ToValue(out[i]).Interface()
		}
		return out, true
	case isDict && name == "update":
		own, ok := v.(*exec.Dict)
		method = func(a []any) any {
			more, isDict := mapping(a[0])
			if !isDict {
				b.fail("update takes a mapping")
			} else if !ok {
				b.fail("the mapping is not the template's own, so it cannot be changed")
			}
			for _, p := range more.Pairs {
				b.spend(len(own.Pairs))
				put(own, p.Key.Interface(), p.Value.Interface())
			}
			return none(false)
		}
	case isList && name == "append":
		own, ok := v.(*list)
		method = func(a []any) any {
			if !ok {
				b.fail("the list is not the template's own, so it cannot be changed")
			}
			*own = append(*own, a[0])
			return none(false)
		}
	case isText && name == "count":
		method = func(a []any) any { return strings.Count(s, b.text(a[0])) }
	case isText && name == "join":
		method = func(a []any) any { return strings.Join(b.texts(b.items(a[0])), s) }
	case isText && name == "replace":
		method = func(a []any) any {
			n, _ := whole(a[2])
			return strings.Replace(s, b.text(a[0]), b.text(a[1]), n)
		}
	case isText && name == "split":
		method = func(a []any) any {
			n, _ := whole(a[1])
			if sep := b.text(a[0]); a[0] != none(false) && sep != "" {
				return from(strings.SplitN(s, sep, n+1-b2i(n < 0)*(n+2)))
			}
			return from(strings.Fields(s))
		}
	default:
		return nil, false
	}
	return builtin(name, signature, func(_ *budget, a []any) any { return method(a) }).apply(b, given), true
}

func b2i(b bool) int { i, _ := whole(b); return i }
