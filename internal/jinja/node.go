package jinja

// at is the line of a node.
type at int

func (a at) where() int { return int(a) }

// An expression is one of the nodes below.
type expression interface{ where() int }

type (
	literal struct {
		at
		value any
	}
	ident struct {
		at
		name string
	}
	attribute struct {
		at
		of   expression
		name string
	}
	item struct {
		at
		of, key expression
	}
	slice struct {
		at
		of, start, stop, step expression // nil where left out
	}
	call struct {
		at
		of   expression
		args arguments
	}
	list struct {
		at
		items []expression
		tuple bool
	}
	dict struct {
		at
		keys, values []expression
	}
	unary struct {
		at
		op string // - + not
		x  expression
	}
	binary struct {
		at
		op   string // and or, + - * / // % ** ~
		x, y expression
	}
	comparison struct {
		at
		first expression
		ops   []string // == != < <= > >= in "not in"
		rest  []expression
	}
	conditional struct {
		at
		test, then, otherwise expression // otherwise may be nil
	}
	filter struct {
		at
		name string
		of   expression // nil: what the block holds
		args arguments
	}
	test struct {
		at
		name string
		of   expression
		args arguments
	}
	// Arguments of a call, filter or test.
	arguments struct {
		plain           []expression
		names           []string
		named           []expression
		spread, spreadD expression // *a and **b
	}
)

// A statement is one of the nodes below.
type statement interface{ where() int }

type (
	words struct {
		at
		text string
	}
	output struct {
		at
		x expression
	}
	loop struct {
		at
		target          expression
		over, only      expression // only: the condition, may be nil
		recursive       bool
		body, otherwise []statement
	}
	branch struct {
		at
		tests  []expression
		bodies [][]statement // one more than tests when there is an else
	}
	assign struct {
		at
		target, x expression
		filter    expression // of a block
		body      []statement
	}
	with struct {
		at
		targets, values []expression
		body            []statement
	}
	macro struct {
		at
		name          string
		params        []string
		defaults      []expression // of the last params
		body          []statement
		rest, keys    bool // the body looks at varargs, kwargs
		calls, anonym bool // the body looks at caller; it is a call block's
	}
	callBlock struct {
		at
		call *call
		body *macro
	}
	filterBlock struct {
		at
		filter expression
		body   []statement
	}
	do struct {
		at
		x expression
	}
	jump struct {
		at
		out bool // break
	}
)

// parts returns what a node is made of.
func parts(n any) (x []expression, bodies [][]statement) {
	switch n := n.(type) {
	case *attribute:
		x = []expression{n.of}
	case *item:
		x = []expression{n.of, n.key}
	case *slice:
		x = []expression{n.of, n.start, n.stop, n.step}
	case *call:
		x = append(n.args.all(), n.of)
	case *list:
		x = n.items
	case *dict:
		x = append(append(x, n.keys...), n.values...)
	case *unary:
		x = []expression{n.x}
	case *binary:
		x = []expression{n.x, n.y}
	case *comparison:
		x = append([]expression{n.first}, n.rest...)
	case *conditional:
		x = []expression{n.test, n.then, n.otherwise}
	case *filter:
		x = append(n.args.all(), n.of)
	case *test:
		x = append(n.args.all(), n.of)
	case *output:
		x = []expression{n.x}
	case *loop:
		x, bodies = []expression{n.over, n.only}, [][]statement{n.body, n.otherwise}
	case *branch:
		x, bodies = n.tests, n.bodies
	case *assign:
		x, bodies = []expression{n.x, n.filter}, [][]statement{n.body}
		if _, plain := n.target.(*ident); !plain {
			x = append(x, n.target)
		}
	case *with:
		x, bodies = n.values, [][]statement{n.body}
	case *macro:
		x, bodies = n.defaults, [][]statement{n.body}
	case *callBlock:
		x, bodies = append([]expression{n.call}, n.body.defaults...), [][]statement{n.body.body}
	case *filterBlock:
		x, bodies = []expression{n.filter}, [][]statement{n.body}
	case *do:
		x = []expression{n.x}
	}
	return x, bodies
}

func (a *arguments) all() []expression {
	out := append(append([]expression{}, a.plain...), a.named...)
	return append(out, a.spread, a.spreadD)
}
