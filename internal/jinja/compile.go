package jinja

import (
	"slices"

	"github.com/nikolalohinski/gonja/v2/builtins"
	statements "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// Functions that stand in the tree in place of what gonja would do.
const (
	budgetKey  = "the budget"
	getKey     = "get name"
	lookupKey  = "look up"
	operateKey = "operate"
	testedKey  = "tested"
	callKey    = "call"
	methodKey  = "call method"
	listKey    = "make list"
	tupleKey   = "make tuple"
	dictKey    = "make mapping"
	itemsKey   = "items of"
	sizedKey   = "sized"
)

// A compiler makes a template for one rendering after another.
type compiler struct {
	line   int               // of what is read
	depth  int               // of statements
	calls  [][]*tokens.Token // what follows the ends of blocks that are open
	macros int               // of ours
	found  []Reference
	given  map[string]bool
}

var refused = []string{"include", "import", "from", "extends", "block"}

// statements are what the parser knows: gonja's, with the expressions in them changed, and ours.
func (c *compiler) statements() *exec.ControlStructureSet {
	all := map[string]parser.ControlStructureParser{
		dataName: c.data, printName: c.output, callName: c.output, "do": c.do, "set": c.assign, "for": c.loop, "if": c.branch, "macro": c.macro,
	}
	for _, name := range []string{"break", "continue"} {
		all[name], _ = builtins.ControlStructures.Get(name)
	}
	for _, name := range refused {
		all[name] = func(*parser.Parser, *parser.Parser) (nodes.ControlStructure, error) {
			fail(c.line, "%s is not there: templates cannot read other templates or files", name)
			return nil, nil
		}
	}
	for name, parse := range all {
		all[name] = func(p, args *parser.Parser) (nodes.ControlStructure, error) {
			if c.depth++; c.depth > maxNested {
				fail(c.line, "the statements are nested deeper than %d", maxNested)
			}
			defer func() { c.depth-- }()
			c.line = max(args.Current().Line, c.line)
			return parse(p, args)
		}
	}
	return exec.NewControlStructureSet(all)
}

func builtinStatement(name string, p, args *parser.Parser) (nodes.ControlStructure, error) {
	parse, _ := builtins.ControlStructures.Get(name)
	return parse(p, args)
}

// expression reads one from what a statement is given. Commas make a tuple.
func (c *compiler) expression(args *parser.Parser, optional bool) nodes.Expression {
	at := args.Current()
	if args.End() {
		fail(c.line, "expected a value")
	}
	x, err := args.ParseExpression()
	if err != nil {
		panic(explain(err, c.line))
	}
	if args.Current(tokens.Comma) != nil {
		t := &nodes.Tuple{Location: at, Val: []nodes.Expression{x}}
		for args.Match(tokens.Comma) != nil && !args.End() {
			if x, err = args.ParseExpression(); err != nil {
				panic(explain(err, c.line))
			}
			t.Val = append(t.Val, x)
		}
		x = t
	}
	return c.use(x, optional)
}

// use notes what an expression refers to and rewrites it.
func (c *compiler) use(x nodes.Expression, optional bool) nodes.Expression {
	c.look(x, optional)
	return c.rewritten(x)
}

func (c *compiler) end(args *parser.Parser) {
	if !args.End() {
		fail(c.line, "unexpected %q", args.Current().Val)
	}
}

func (c *compiler) body(p *parser.Parser, end string) *nodes.Wrapper {
	w, args, err := p.WrapUntil(end)
	if err != nil {
		panic(explain(err, c.line))
	}
	c.end(args)
	return w
}

func (c *compiler) branch(p, args *parser.Parser) (nodes.ControlStructure, error) {
	if args.End() {
		fail(c.line, "expected a value")
	}
	s, err := builtinStatement("if", p, args)
	if n, ok := s.(*statements.IfControlStructure); ok {
		for i, x := range n.Conditions {
			n.Conditions[i] = hiddenCall(testedKey, c.use(x, true))
		}
	}
	return s, err
}

func (c *compiler) loop(p, args *parser.Parser) (nodes.ControlStructure, error) {
	s, err := builtinStatement("for", p, args)
	if n, ok := s.(*statements.ForControlStructure); ok {
		names := 1
		if c.given[n.Key] = true; n.Value != "" {
			c.given[n.Value], names = true, 2
		}
		n.ObjectEvaluator = hiddenCall(itemsKey, c.use(n.ObjectEvaluator, false), number(names))
		if n.IfCondition != nil {
			n.IfCondition = hiddenCall(testedKey, c.use(n.IfCondition, true))
		}
	}
	return s, err
}

func (c *compiler) macro(p, args *parser.Parser) (nodes.ControlStructure, error) {
	before := len(c.found)
	for _, t := range []string{"varargs", "kwargs"} {
		delete(c.given, t) // to see whether the body asks for them
	}
	s, err := builtinStatement("macro", p, args)
	n, ok := s.(*statements.MacroControlStructure)
	if !ok {
		return s, err
	}
	c.given[n.Name] = true
	asks := func(name string) bool {
		return slices.ContainsFunc(c.found[before:], func(r Reference) bool { return r.Path[0] == name })
	}
	if asks("varargs") {
		n.VarArgsName = "varargs"
	}
	if asks("kwargs") {
		n.KwArgsName = "kwargs"
	}
	optional := false
	for _, p := range n.Kwargs {
		name := p.Key.(*nodes.String).Val
		c.given[name] = true
		if none, ok := p.Value.(*nodes.None); ok && none.Location.Val == name {
			if p.Value = hiddenName(undefinedName); optional {
				fail(c.line, "%s has no value, though the one before it has", name)
			}
			continue
		}
		p.Value, optional = c.use(p.Value, false), true
	}
	return s, err
}

// hiddenCall calls a function of ours.
func hiddenCall(key string, args ...nodes.Expression) *nodes.Call {
	return &nodes.Call{Location: &tokens.Token{}, Func: hiddenName(key), Args: args}
}

func hiddenName(key string) nodes.Expression { return &nodes.Name{Name: &tokens.Token{Val: key}} }
func text(s string) nodes.Expression         { return &nodes.String{Location: &tokens.Token{}, Val: s} }
func number(i int) nodes.Expression          { return &nodes.Integer{Location: &tokens.Token{}, Val: i} }

// rewritten returns an expression with functions of ours in it.
func (c *compiler) rewritten(x nodes.Expression) nodes.Expression {
	switch n := x.(type) {
	case nil:
		fail(c.line, "expected a value")
	case *nodes.Name:
		if n.Name.Val == undefinedName {
			return n
		}
		return hiddenCall(getKey, text(n.Name.Val))
	case *nodes.None:
		return hiddenName(noneName)
	case *nodes.List:
		return hiddenCall(listKey, c.all(n.Val)...)
	case *nodes.Tuple:
		return hiddenCall(tupleKey, c.all(n.Val)...)
	case *nodes.Dict:
		var all []nodes.Expression
		for _, p := range n.Pairs {
			all = append(all, c.rewritten(p.Key), c.rewritten(p.Value))
		}
		return hiddenCall(dictKey, all...)
	case *nodes.GetAttribute:
		key := text(n.Attribute)
		if n.Attribute == "" {
			key = number(n.Index)
		}
		return hiddenCall(lookupKey, c.rewritten(n.Node), key, text(label(n.Node)))
	case *nodes.GetItem:
		if test, then, other, ok := condition(n); ok {
			return choice(c.rewritten(test), c.rewritten(then), c.rewritten(other))
		}
		return hiddenCall(lookupKey, c.rewritten(n.Node), c.rewritten(n.Arg), text(label(n.Node)))
	case *nodes.GetSlice:
		n.Node = c.rewritten(n.Node)
		for _, bound := range []*nodes.Node{&n.Start, &n.End, &n.Step} {
			if *bound != nil {
				*bound = c.rewritten(*bound)
			}
		}
		return hiddenCall(sizedKey, n)
	case *nodes.Call:
		key, of := callKey, []nodes.Expression(nil)
		if a, ok := n.Func.(*nodes.GetAttribute); ok && a.Attribute != "" {
			key, of = methodKey, []nodes.Expression{c.rewritten(a.Node), text(a.Attribute), text(label(a.Node))}
		} else {
			of = []nodes.Expression{c.rewritten(n.Func), text(label(n.Func))}
		}
		call := hiddenCall(key, append(of, c.all(n.Args)...)...)
		call.Kwargs = c.named(n.Kwargs)
		return call
	case *nodes.FilteredExpression:
		n.Expression = c.rewritten(n.Expression)
		c.filters(n.Filters)
	case *nodes.TestExpression:
		if !engine().environment.Tests.Exists(n.Test.Name) {
			fail(c.line, "no test %q%s", n.Test.Name, nearest.Hint(n.Test.Name, testNames))
		}
		n.Expression, n.Test.Args = c.rewritten(n.Expression), c.all(n.Test.Args)
	case *nodes.BinaryExpression:
		left, right := c.rewritten(n.Left), c.rewritten(n.Right)
		if op := n.Operator.Token; op.Type == tokens.And || op.Type == tokens.Or {
			n.Left, n.Right = hiddenCall(testedKey, left), right
			return n
		}
		return hiddenCall(operateKey, text(n.Operator.Token.Val), left, right)
	case *nodes.UnaryExpression:
		return hiddenCall(operateKey, text(n.Operator.Val), c.rewritten(n.Term))
	case *nodes.Negation:
		return hiddenCall(operateKey, text("not"), c.rewritten(n.Term))
	case *nodes.String, *nodes.Integer, *nodes.Float, *nodes.Bool:
	default:
		fail(c.line, "unexpected %T", x)
	}
	return x
}

// choice is then if test is true, otherwise other: ((test) and [then] or [other])[0].
func choice(test, then, other nodes.Expression) nodes.Expression {
	boxed := func(x nodes.Expression) nodes.Expression {
		return &nodes.List{Location: &tokens.Token{}, Val: []nodes.Expression{x}}
	}
	and := &nodes.BinaryExpression{Operator: operatorToken(tokens.And, "and"), Left: hiddenCall(testedKey, test), Right: boxed(then)}
	or := &nodes.BinaryExpression{Operator: operatorToken(tokens.Or, "or"), Left: and, Right: boxed(other)}
	return &nodes.GetItem{Location: &tokens.Token{}, Node: or, Arg: number(0)}
}

func operatorToken(t tokens.Type, val string) *nodes.BinOperator {
	return &nodes.BinOperator{Token: &tokens.Token{Type: t, Val: val}}
}

func (c *compiler) all(in []nodes.Expression) []nodes.Expression {
	out := make([]nodes.Expression, len(in))
	for i, x := range in {
		out[i] = c.rewritten(x)
	}
	return out
}

func (c *compiler) named(in map[string]nodes.Expression) map[string]nodes.Expression {
	out := make(map[string]nodes.Expression, len(in))
	for k, x := range in {
		out[k] = c.rewritten(x)
	}
	return out
}

func (c *compiler) filters(all []*nodes.FilterCall) {
	for _, f := range all {
		if !engine().environment.Filters.Exists(f.Name) {
			fail(c.line, "no filter %q%s", f.Name, nearest.Hint(f.Name, filterNames))
		}
		f.Args, f.Kwargs = c.all(f.Args), c.named(f.Kwargs)
	}
}

// condition takes apart what conditional has made.
func condition(n *nodes.GetItem) (test, then, other nodes.Expression, ok bool) {
	if n.Location.Val != conditionMark {
		return nil, nil, nil, false
	}
	or := n.Node.(*nodes.BinaryExpression)
	and := or.Left.(*nodes.BinaryExpression)
	return and.Left, and.Right.(*nodes.List).Val[0], or.Right.(*nodes.List).Val[0], true
}

// label is the name of what is looked into, for messages.
func label(x nodes.Expression) string {
	switch n := x.(type) {
	case *nodes.Name:
		return n.Name.Val
	case *nodes.GetAttribute:
		return n.Attribute
	case *nodes.GetItem:
		if s, ok := n.Arg.(*nodes.String); ok {
			return s.Val
		}
	}
	return "that"
}
