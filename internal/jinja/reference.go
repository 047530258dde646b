package jinja

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/nodes"
)

// A Reference is a name in a template with what is looked up in it: inputs.VERSION, roles.db[0].address.
type Reference struct {
	Path []string // indices as "0"
	Line int
	// Optional: the template asks whether it is there, or says what to take otherwise.
	Optional bool
	// Called: it is a function. Args are its values as far as they stand in the template, a Path for what is
	// looked up, and nil for what is computed.
	Called bool
	Args   []any
}

// A Path is a name with those that are looked up in it.
type Path []string

// References returns what a template looks up, but for the names that it gives itself.
func (t *Template) References() []Reference { return t.refs }

func (r *Reference) key() string { return strings.Join(r.Path, "\x00") }

func (c *compiler) references() []Reference {
	for _, own := range []string{"varargs", "kwargs"} {
		c.given[own] = true
	}
	optional := map[string]bool{}
	for _, r := range c.found {
		if r.Optional {
			optional[r.key()] = true
		}
	}
	var out []Reference
	for _, r := range c.found {
		r.Optional = optional[r.key()] // asked for once, it may be used elsewhere under that condition
		if !c.given[r.Path[0]] && !strings.Contains(r.Path[0], " ") {
			out = append(out, r)
		}
	}
	return out
}

// look notes what an expression looks up.
func (c *compiler) look(x nodes.Expression, optional bool) {
	switch n := x.(type) {
	case *nodes.Name, *nodes.GetAttribute:
		c.path(x, optional)
	case *nodes.GetItem:
		if test, then, other, ok := condition(n); ok {
			c.look(test, true)
			c.look(then, optional)
			c.look(other, optional)
			return
		}
		c.path(x, optional)
	case *nodes.GetSlice:
		for _, y := range []nodes.Node{n.Node, n.Start, n.End, n.Step} {
			c.look(y, optional)
		}
	case *nodes.Call:
		switch of := n.Func.(type) {
		case *nodes.GetAttribute: // of a method, the name is none that is looked up
			c.look(of.Node, true)
		case *nodes.Name:
			c.found = append(c.found, Reference{Path: []string{of.Name.Val}, Line: of.Name.Line, Optional: optional, Called: true, Args: c.constants(n.Args)})
		default:
			c.look(n.Func, optional)
		}
		c.lookAll(n.Args, n.Kwargs, optional)
	case *nodes.FilteredExpression:
		c.look(n.Expression, optional || slices.ContainsFunc(n.Filters, func(f *nodes.FilterCall) bool { return f.Name == "default" || f.Name == "d" }))
		for _, f := range n.Filters {
			c.lookAll(f.Args, f.Kwargs, optional)
		}
	case *nodes.TestExpression:
		c.look(n.Expression, true)
		c.lookAll(n.Test.Args, nil, true)
	case *nodes.BinaryExpression:
		optional = optional || slices.Contains([]string{"and", "or", "==", "!="}, n.Operator.Token.Val)
		c.look(n.Left, optional)
		c.look(n.Right, optional)
	case *nodes.UnaryExpression:
		c.look(n.Term, optional)
	case *nodes.Negation:
		c.look(n.Term, optional)
	case *nodes.List:
		c.lookAll(n.Val, nil, optional)
	case *nodes.Tuple:
		c.lookAll(n.Val, nil, optional)
	case *nodes.Dict:
		for _, p := range n.Pairs {
			c.look(p.Key, optional)
			c.look(p.Value, optional)
		}
	}
}

func (c *compiler) lookAll(list []nodes.Expression, named map[string]nodes.Expression, optional bool) {
	for _, x := range list {
		c.look(x, optional)
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		c.look(named[name], optional)
	}
}

// constants are the arguments of a call as far as they stand in the template.
func (c *compiler) constants(args []nodes.Expression) []any {
	out := make([]any, len(args))
	for i, x := range args {
		switch n := x.(type) {
		case *nodes.String:
			out[i] = n.Val
		case *nodes.Name, *nodes.GetAttribute:
			inner := &compiler{}
			inner.path(x, false)
			if len(inner.found) == 1 && !inner.found[0].Called {
				out[i] = Path(inner.found[0].Path)
			}
		}
	}
	return out
}

// path notes a reference, and looks at what its indices are computed from.
func (c *compiler) path(x nodes.Expression, optional bool) {
	var path []string
	for {
		switch n := x.(type) {
		case *nodes.Name:
			path = append(path, n.Name.Val)
			slices.Reverse(path)
			c.found = append(c.found, Reference{Path: path, Line: n.Name.Line, Optional: optional})
			return
		case *nodes.GetAttribute:
			name := n.Attribute
			if name == "" {
				name = strconv.Itoa(n.Index)
			}
			path, x = append(path, name), n.Node
		case *nodes.GetItem:
			if n.Location.Val == conditionMark {
				c.look(x, optional)
				return
			}
			switch arg := n.Arg.(type) {
			case *nodes.String:
				path = append(path, arg.Val)
			case *nodes.Integer:
				path = append(path, strconv.Itoa(arg.Val))
			default: // what is looked up in it is not known
				c.look(n.Arg, optional)
				path = path[:0]
			}
			x = n.Node
		default:
			c.look(x, optional)
			return
		}
	}
}
