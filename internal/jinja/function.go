package jinja

import (
	"slices"
	"strings"
)

// A Function can be called by templates.
type Function struct {
	Name       string
	params     []param
	rest, keys bool // what else comes goes into a tuple, a mapping, behind the others
	call       func(r *run, args []any) any
}

type param struct {
	name     string
	required bool
	other    any // when it is not given
}

// NewFunction makes a function. The signature is Python's, such as "role, all=False"; *rest and **keys take
// what else comes. f gets a value for each name in it, and returns what [From] takes or an error that says
// what was wrong.
func NewFunction(name, signature string, f func(args []any) (any, error)) *Function {
	fn := builtin(signature, func(r *run, args []any) any {
		v, err := f(args)
		if err != nil {
			r.fail("%s: %v", name, err)
		}
		made := From(v)
		r.spend(size(made))
		return made
	})
	fn.Name = name
	return fn
}

// size is about how many bytes a value takes, without what is deep inside it.
func size(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case *List:
		return 16 * len(v.Items)
	case *Dict:
		return 64 * len(v.keys)
	}
	return 16
}

// builtin reads a signature; a mistake in it is the program's.
func builtin(signature string, call func(r *run, args []any) any) *Function {
	f := &Function{call: call}
	p := &parser{tokens: lex("{{ " + signature + " }}")[1:]}
	for p.peek().kind != outputEnd {
		p.skip(operator, ",")
		switch {
		case p.skip(operator, "*"):
			f.rest = true
			p.next()
		case p.skip(operator, "**"):
			f.keys = true
			p.next()
		default:
			x := param{name: p.next().val, required: true}
			if p.skip(operator, "=") {
				x.required = false
				switch d := p.unary(false).(type) {
				case *literal:
					x.other = d.value
				case *unary:
					x.other = -d.x.(*literal).value.(int64)
				}
			}
			f.params = append(f.params, x)
		}
	}
	return f
}

// table makes functions of the names in a list of them.
func table(all map[string]*Function, same map[string]string) map[string]*Function {
	for name, f := range all {
		f.Name = name
	}
	for alias, name := range same {
		all[alias] = all[name]
	}
	return all
}

// bind orders the arguments of a call as the function's parameters stand.
func (f *Function) bind(r *run, args []any, named *Dict) []any {
	out := make([]any, len(f.params), len(f.params)+2)
	given := make([]bool, len(f.params))
	n := copy(out, args)
	for i := range n {
		given[i] = true
	}
	if len(args) > len(f.params) && !f.rest {
		r.fail("%s takes %d values at most, not %d", f.Name, len(f.params), len(args))
	}
	extra := newDict()
	if named != nil {
		for i, k := range named.keys {
			at := slices.IndexFunc(f.params, func(p param) bool { return p.name == k })
			switch {
			case at >= 0 && given[at]:
				r.fail("%s is given %s twice", f.Name, k)
			case at >= 0:
				out[at], given[at] = named.values[i], true
			case f.keys:
				extra.set(k, named.values[i])
			default:
				var known []string
				for _, p := range f.params {
					known = append(known, p.name)
				}
				r.fail("%s takes no value named %q%s", f.Name, k, hint(k.(string), known))
			}
		}
	}
	for i, p := range f.params {
		if given[i] {
			continue
		}
		if p.required {
			r.fail("%s lacks its value %q", f.Name, p.name)
		}
		out[i] = p.other
	}
	if f.rest {
		out = append(out, Tuple(slices.Clone(args[min(len(f.params), len(args)):])))
	}
	if f.keys {
		out = append(out, extra)
	}
	return out
}

// callValue calls a value.
func (r *run) callValue(v any, args []any, named *Dict) any {
	r.enter()
	defer r.leave()
	switch v := v.(type) {
	case *Function:
		return v.call(r, v.bind(r, args, named))
	case *loopState:
		if v.again == nil || len(args) != 1 {
			r.fail("loop(…) takes one list, in a loop that says recursive")
		}
		return v.again(args[0])
	case *Undefined:
		r.lacks(v)
	}
	r.fail("%s cannot be called", r.short(v))
	return nil
}

// A namespace is the one thing whose fields a template sets.
type namespace struct{ *Dict }

func (n namespace) Attr(name string) (any, bool) { return n.get(name) }
func (n namespace) Names() []string              { return n.names() }
func (n namespace) String() string               { return "<Namespace>" }

// fields is an Object whose values are made when asked for.
type fields struct {
	label string
	names []string
	get   func(name string) any
}

func (f *fields) Attr(name string) (any, bool) {
	if slices.Contains(f.names, name) {
		return f.get(name), true
	}
	return nil, false
}
func (f *fields) Names() []string { return f.names }
func (f *fields) String() string  { return f.label }

// globals are the functions that are always there. It is set by init, as they call what looks them up.
var globals map[string]*Function

func init() {
	globals = table(map[string]*Function{
		"range": builtin("*bounds", func(r *run, a []any) any { return r.between(a[0].(Tuple)) }),
		"dict": builtin("*start, **more", func(r *run, a []any) any {
			d := newDict()
			for _, from := range a[0].(Tuple) {
				r.update(d, from)
			}
			r.update(d, a[1])
			return d
		}),
		"namespace": builtin("*start, **more", func(r *run, a []any) any {
			n := namespace{newDict()}
			for _, from := range a[0].(Tuple) {
				r.update(n.Dict, from)
			}
			r.update(n.Dict, a[1])
			return n
		}),
		"joiner": builtin("sep=', '", func(r *run, a []any) any {
			first := true
			return &Function{Name: "joiner", call: func(*run, []any) any {
				if first {
					first = false
					return ""
				}
				return a[0]
			}}
		}),
		"cycler": builtin("*items", func(r *run, a []any) any { return r.cycler(a[0].(Tuple)) }),
	}, nil)
}

// Globals returns the names that are always there.
func Globals() []string {
	out := make([]string, 0, len(globals))
	for name := range globals {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// DictMethods returns the names of the methods of mappings.
func DictMethods() []string { return keys(dictMethods) }

func (r *run) cycler(items Tuple) any {
	if len(items) == 0 {
		r.fail("cycler needs at least one value")
	}
	at := 0
	return &fields{"<Cycler>", []string{"current", "next", "reset"}, func(name string) any {
		switch name {
		case "current":
			return items[at]
		case "next":
			return &Function{Name: name, call: func(*run, []any) any {
				x := items[at]
				at = (at + 1) % len(items)
				return x
			}}
		}
		return &Function{Name: name, call: func(*run, []any) any { at = 0; return nil }}
	}}
}

// update puts a mapping, or a list of pairs, into a mapping.
func (r *run) update(d *Dict, from any) {
	set := func(k, v any) {
		if !d.set(k, v) {
			r.fail("%s cannot be a key", r.short(k))
		}
	}
	if m, ok := from.(*Dict); ok {
		r.spend(64 * len(m.keys))
		for i, k := range m.keys {
			set(k, m.values[i])
		}
		return
	}
	for _, pair := range r.mustItems(from) {
		kv := r.mustItems(pair)
		if len(kv) != 2 {
			r.fail("%s is no pair of a key and a value", r.short(pair))
		}
		set(kv[0], kv[1])
	}
}

const maxRange = 100_000

// between is range: a list of numbers.
func (r *run) between(bounds Tuple) any {
	var n [3]int64
	for i, b := range bounds {
		x, ok := b.(int64)
		if !ok || i == 3 || abs(x) > 1<<53 {
			r.fail("range takes one to three whole numbers: [start,] stop [, step]")
		}
		n[i] = x
	}
	start, stop, step := n[0], n[1], int64(1)
	switch len(bounds) {
	case 0:
		r.fail("range takes one to three whole numbers: [start,] stop [, step]")
	case 1:
		start, stop = 0, n[0]
	case 3:
		step = n[2]
	}
	if step == 0 {
		r.fail("the step of a range is 0")
	}
	count := (stop - start + step - sign(step)) / step
	if count > maxRange {
		r.fail("the range has %d numbers; %d is the most", count, maxRange)
	}
	out := make([]any, 0, max(count, 0))
	for i := range max(count, 0) {
		out = append(out, start+i*step)
	}
	return r.like(nil, out)
}

func sign(i int64) int64 {
	if i < 0 {
		return -1
	}
	return 1
}

// filterNamed and testNamed return a filter or test, or nil.
func filterNamed(name string) *Function { return filters[name] }
func testNamed(name string) *Function   { return tests[name] }

func hintFilter(name string) string { return hint(name, keys(filters)) }
func hintTest(name string) string   { return hint(name, keys(tests)) }

func keys(all map[string]*Function) []string {
	var out []string
	for k := range all {
		if !strings.Contains(k, "=") {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
