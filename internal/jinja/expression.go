package jinja

import (
	"math/big"
	"slices"
	"strconv"
)

type parser struct {
	tokens []token
	depth  int
	loops  int // around the place
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != endOfText {
		p.tokens = p.tokens[1:]
	}
	return t
}

// is reports whether an operator or a name comes next.
func (p *parser) is(k kind, val string) bool {
	t := p.tokens[0]
	return t.kind == k && t.val == val
}

func (p *parser) skip(k kind, val string) bool {
	if p.is(k, val) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(k kind, val string) token {
	if !p.is(k, val) {
		p.unexpected(strconv.Quote(val))
	}
	return p.next()
}

func (p *parser) unexpected(want string) {
	t := p.peek()
	got := strconv.Quote(t.val)
	switch t.kind {
	case outputEnd, blockEnd:
		got = "the tag ends"
	case endOfText, data, outputBegin, blockBegin:
		got = "the template goes on without"
	case text:
		got = "there is the text " + got
	default:
		got = "there is " + got
	}
	fail(t.line, "expected %s, but %s", want, got)
}

func (p *parser) deeper() func() {
	if p.depth++; p.depth > maxNested {
		fail(p.peek().line, "the template is nested too deep")
	}
	return func() { p.depth-- }
}

func (p *parser) here() at { return at(p.peek().line) }

// expression reads one, with its condition ("a if b else c").
func (p *parser) expression() expression {
	defer p.deeper()()
	x := p.or()
	for p.is(name, "if") {
		c := &conditional{at: p.here(), then: x}
		p.next()
		c.test = p.or()
		if p.skip(name, "else") {
			c.otherwise = p.expression()
		}
		x = c
	}
	return x
}

func (p *parser) or() expression {
	x := p.and()
	for p.is(name, "or") {
		where := p.here()
		p.next()
		x = &binary{where, "or", x, p.and()}
	}
	return x
}

func (p *parser) and() expression {
	x := p.not()
	for p.is(name, "and") {
		where := p.here()
		p.next()
		x = &binary{where, "and", x, p.not()}
	}
	return x
}

func (p *parser) not() expression {
	if !p.is(name, "not") {
		return p.compare()
	}
	defer p.deeper()()
	where := p.here()
	p.next()
	return &unary{where, "not", p.not()}
}

func (p *parser) compare() expression {
	x := p.left(0)
	c := &comparison{at: p.here(), first: x}
	for {
		t := p.peek()
		op := ""
		switch {
		case t.kind == operator && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, t.val), t.kind == name && t.val == "in":
			op = t.val
			p.next()
		case t.kind == name && t.val == "not" && p.tokens[1].kind == name && p.tokens[1].val == "in":
			op = "not in"
			p.next()
			p.next()
		default:
			if len(c.ops) == 0 {
				return x
			}
			return c
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, p.left(0))
	}
}

// The operators that bind to the left, from the loosest on.
var levels = [][]string{{"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}}

func (p *parser) left(level int) expression {
	if level == len(levels) {
		return p.unary(true)
	}
	x := p.left(level + 1)
	for p.peek().kind == operator && slices.Contains(levels[level], p.peek().val) {
		t := p.next()
		x = &binary{at(t.line), t.val, x, p.left(level + 1)}
	}
	return x
}

func (p *parser) unary(filters bool) expression {
	var x expression
	if t := p.peek(); t.kind == operator && (t.val == "-" || t.val == "+") {
		done := p.deeper()
		p.next()
		x = &unary{at(t.line), t.val, p.unary(false)}
		done()
	} else {
		x = p.primary()
	}
	x = p.postfix(x)
	if filters {
		x = p.filtered(x)
	}
	return x
}

var constants = map[string]any{"true": true, "True": true, "false": false, "False": false, "none": nil, "None": nil}

func (p *parser) primary() expression {
	t := p.peek()
	where := at(t.line)
	switch t.kind {
	case name:
		p.next()
		if v, ok := constants[t.val]; ok {
			return &literal{where, v}
		}
		return &ident{where, t.val}
	case text:
		s := ""
		for p.peek().kind == text {
			s += p.next().val
		}
		return &literal{where, s}
	case integer, float:
		p.next()
		return &literal{where, number(t)}
	case operator:
		switch t.val {
		case "(":
			p.next()
			x := p.tuple(true, ")")
			p.expect(operator, ")")
			return x
		case "[":
			p.next()
			l := &list{at: where}
			for !p.skip(operator, "]") {
				if len(l.items) > 0 {
					if p.expect(operator, ","); p.skip(operator, "]") {
						break
					}
				}
				l.items = append(l.items, p.expression())
			}
			return l
		case "{":
			return p.dict()
		}
	}
	p.unexpected("a value")
	return nil
}

func number(t token) any {
	if t.kind == float {
		f, _ := strconv.ParseFloat(t.val, 64) // infinite when too large, as in Python
		return f
	}
	if len(t.val) > 1000 {
		fail(t.line, "a number has more than 1000 digits")
	}
	base := 10
	if len(t.val) > 1 && t.val[0] == '0' && (t.val[1] < '0' || t.val[1] > '9') {
		base = 0
	}
	z, ok := new(big.Int).SetString(t.val, base)
	if !ok {
		fail(t.line, "%q is no number", t.val)
	}
	return small(z)
}

func (p *parser) dict() expression {
	d := &dict{at: p.here()}
	p.next()
	for !p.skip(operator, "}") {
		if len(d.keys) > 0 {
			if p.expect(operator, ","); p.skip(operator, "}") {
				break
			}
		}
		d.keys = append(d.keys, p.expression())
		p.expect(operator, ":")
		d.values = append(d.values, p.expression())
	}
	return d
}

// tuple reads one expression, or several with commas between: a tuple.
func (p *parser) tuple(conditions bool, until string) expression {
	l := &list{at: p.here(), tuple: true}
	read := p.expression
	if !conditions {
		read = p.or
	}
	comma := false
	for !p.tupleEnds(until) {
		l.items = append(l.items, read())
		if comma = p.skip(operator, ","); !comma {
			break
		}
	}
	switch {
	case len(l.items) == 1 && !comma:
		return l.items[0]
	case len(l.items) == 0 && until != ")":
		p.unexpected("a value")
	}
	return l
}

func (p *parser) tupleEnds(until string) bool {
	t := p.peek()
	return t.kind == outputEnd || t.kind == blockEnd || t.kind == operator && t.val == until || t.kind == name && t.val == until
}

func (p *parser) postfix(x expression) expression {
	for p.peek().kind == operator {
		switch p.peek().val {
		case ".":
			where := p.here()
			p.next()
			switch t := p.next(); t.kind {
			case name:
				x = &attribute{where, x, t.val}
			case integer:
				x = &item{where, x, &literal{where, number(t)}}
			default:
				fail(t.line, "expected a name behind the dot")
			}
		case "[":
			x = p.subscript(x)
		case "(":
			x = &call{p.here(), x, p.arguments()}
		default:
			return x
		}
	}
	return x
}

func (p *parser) subscript(of expression) expression {
	where := p.here()
	p.next()
	part := func() expression {
		if p.is(operator, ":") || p.is(operator, "]") {
			return nil
		}
		return p.expression()
	}
	first := part()
	if !p.skip(operator, ":") {
		if p.expect(operator, "]"); first == nil {
			fail(int(where), "expected a value between [ and ]")
		}
		return &item{where, of, first}
	}
	s := &slice{at: where, of: of, start: first, stop: part()}
	if p.skip(operator, ":") {
		s.step = part()
	}
	p.expect(operator, "]")
	return s
}

func (p *parser) arguments() (a arguments) {
	p.expect(operator, "(")
	for first := true; !p.skip(operator, ")"); first = false {
		if !first {
			if p.expect(operator, ","); p.skip(operator, ")") {
				break
			}
		}
		switch {
		case p.skip(operator, "*"):
			a.spread = p.expression()
		case p.skip(operator, "**"):
			a.spreadD = p.expression()
		case p.peek().kind == name && p.tokens[1].kind == operator && p.tokens[1].val == "=":
			a.names = append(a.names, p.next().val)
			p.next()
			a.named = append(a.named, p.expression())
		case len(a.names) > 0 || a.spread != nil || a.spreadD != nil:
			fail(int(p.here()), "an argument without a name stands behind one with a name")
		default:
			a.plain = append(a.plain, p.expression())
		}
	}
	return a
}

// filtered reads the filters and tests behind an expression.
func (p *parser) filtered(x expression) expression {
	for {
		switch {
		case p.is(operator, "|"):
			x = p.filters(x)
		case p.is(name, "is"):
			x = p.test(x)
		case p.is(operator, "("):
			x = &call{p.here(), x, p.arguments()}
		default:
			return x
		}
	}
}

// filters reads "| a | b(c)"; of is nil for those of a block, which begin without |.
func (p *parser) filters(of expression) expression {
	for first := true; p.is(operator, "|") || first && of == nil; first = false {
		p.skip(operator, "|")
		f := &filter{at: p.here(), name: p.dotted(), of: of}
		if p.is(operator, "(") {
			f.args = p.arguments()
		}
		if filterNamed(f.name) == nil {
			fail(f.where(), "no filter %q%s", f.name, hintFilter(f.name))
		}
		of = f
	}
	return of
}

func (p *parser) dotted() string {
	if p.peek().kind != name {
		p.unexpected("a name")
	}
	s := p.next().val
	for p.is(operator, ".") && p.tokens[1].kind == name {
		p.next()
		s += "." + p.next().val
	}
	return s
}

func (p *parser) test(of expression) expression {
	where := p.here()
	p.next()
	negated := p.skip(name, "not")
	if p.is(name, "is") {
		p.unexpected("the name of a test")
	}
	t := &test{at: where, name: p.dotted(), of: of}
	switch next := p.peek(); {
	case p.is(operator, "("):
		t.args = p.arguments()
	case next.kind == name && slices.Contains([]string{"else", "or", "and", "if", "is", "not", "in"}, next.val):
	case next.kind == name, next.kind == text, next.kind == integer, next.kind == float, p.is(operator, "["), p.is(operator, "{"):
		t.args.plain = []expression{p.postfix(p.primary())}
	}
	if testNamed(t.name) == nil {
		fail(int(where), "no test %q%s", t.name, hintTest(t.name))
	}
	if p.is(name, "is") {
		fail(int(p.here()), "a test cannot stand behind another: join them with and")
	}
	if negated {
		return &unary{where, "not", t}
	}
	return t
}
