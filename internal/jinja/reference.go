package jinja

import (
	"slices"
	"strconv"
	"strings"
)

// A Reference is a name in a template with what is looked up in it: inputs.VERSION, roles.db[0].address.
type Reference struct {
	Path []string // indices as "0"
	Line int
	// Optional: the template asks whether it is there, or says what to take otherwise.
	Optional bool
	// Called: it is a function. Args are its values as far as they stand in the template, a Path for what is
	// looked up, and *Undefined for what is computed.
	Called bool
	Args   []any
}

// A Path is a name with those that are looked up in it.
type Path []string

// References returns what a template looks up, but for the names that it gives itself.
func (t *Template) References() []Reference {
	f := &finder{given: map[string]bool{"loop": true, "caller": true, "varargs": true, "kwargs": true}}
	f.assigned(t.body)
	f.body(t.body)
	optional := map[string]bool{}
	for _, r := range f.found {
		if r.Optional {
			optional[r.key()] = true
		}
	}
	for n := range f.found { // asked for once, it may be used elsewhere under that condition
		f.found[n].Optional = optional[f.found[n].key()]
	}
	return f.found
}

func (r *Reference) key() string { return strings.Join(r.Path, "\x00") }

type finder struct {
	found []Reference
	given map[string]bool
}

// assigned notes the names that statements give.
func (f *finder) assigned(body []statement) {
	for _, s := range body {
		switch n := s.(type) {
		case *loop:
			f.target(n.target)
		case *assign:
			f.target(n.target)
		case *with:
			for _, t := range n.targets {
				f.target(t)
			}
		case *macro:
			f.given[n.name] = true
			f.params(n)
		case *callBlock:
			f.params(n.body)
		}
		_, bodies := parts(s)
		for _, b := range bodies {
			f.assigned(b)
		}
	}
}

func (f *finder) params(m *macro) {
	for _, p := range m.params {
		f.given[p] = true
	}
}

func (f *finder) target(x expression) {
	switch t := x.(type) {
	case *ident:
		f.given[t.name] = true
	case *list:
		for _, y := range t.items {
			f.target(y)
		}
	}
}

func (f *finder) body(body []statement) {
	for _, s := range body {
		_, asks := s.(*branch)
		x, bodies := parts(s)
		for _, y := range x {
			f.look(y, asks)
		}
		for _, b := range bodies {
			f.body(b)
		}
	}
}

// look notes what an expression looks up.
func (f *finder) look(x expression, optional bool) {
	switch n := x.(type) {
	case nil:
		return
	case *ident, *attribute, *item:
		f.path(x, optional)
		return
	case *call:
		switch of := n.of.(type) {
		case *attribute: // of a method, the name is none that is looked up
			f.look(of.of, true)
		case *ident:
			f.note(Reference{Path: []string{of.name}, Line: of.where(), Optional: optional, Called: true, Args: constantArgs(n)})
		default:
			f.look(n.of, optional)
		}
		for _, y := range n.args.all() {
			f.look(y, optional)
		}
		return
	case *filter:
		f.look(n.of, optional || n.name == "default" || n.name == "d")
		for _, y := range n.args.all() {
			f.look(y, optional)
		}
		return
	case *conditional:
		f.look(n.test, true)
		f.look(n.then, optional)
		f.look(n.otherwise, optional)
		return
	case *test:
		optional = true
	case *binary:
		optional = optional || n.op == "and" || n.op == "or"
	case *comparison:
		optional = optional || slices.ContainsFunc(n.ops, func(op string) bool { return !strings.ContainsAny(op, "<>") })
	}
	inner, _ := parts(x)
	for _, y := range inner {
		f.look(y, optional)
	}
}

func constantArgs(n *call) []any {
	var out []any
	for _, a := range n.args.plain {
		inner := &finder{given: map[string]bool{}}
		switch a := a.(type) {
		case *literal:
			out = append(out, a.value)
		case *ident, *attribute:
			inner.path(a, false)
			if len(inner.found) == 1 && !inner.found[0].Called {
				out = append(out, Path(inner.found[0].Path))
				continue
			}
			out = append(out, &Undefined{})
		default:
			out = append(out, &Undefined{})
		}
	}
	return out
}

// path notes a reference, and looks at what its indices are computed from.
func (f *finder) path(x expression, optional bool) {
	var path []string
	for {
		switch n := x.(type) {
		case *ident:
			path = append(path, n.name)
			slices.Reverse(path)
			f.note(Reference{Path: path, Line: n.where(), Optional: optional})
			return
		case *attribute:
			path, x = append(path, n.name), n.of
		case *item:
			key, constant := n.key.(*literal)
			switch {
			case !constant: // what is looked up in it is not known
				f.look(n.key, optional)
				path = path[:0]
			default:
				if s, ok := key.value.(string); ok {
					path = append(path, s)
				} else if i, ok := key.value.(int64); ok {
					path = append(path, strconv.FormatInt(i, 10))
				} else {
					path = path[:0]
				}
			}
			x = n.of
		default:
			f.look(x, optional)
			return
		}
	}
}

func (f *finder) note(r Reference) {
	if !f.given[r.Path[0]] {
		f.found = append(f.found, r)
	}
}
