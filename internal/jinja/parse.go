package jinja

import (
	"slices"
	"strings"
)

// body reads statements up to one of the given tags, which it leaves, or to the end of the template.
func (p *parser) body(until ...string) (out []statement) {
	defer p.deeper()()
	for {
		t := p.peek()
		switch t.kind {
		case endOfText:
			if until != nil {
				fail(t.line, "the template ends, but {%% %s %%} is missing", until[len(until)-1])
			}
			return out
		case data:
			p.next()
			out = append(out, &words{at(t.line), t.val})
		case outputBegin:
			p.next()
			out = append(out, &output{at(t.line), p.tuple(true, "")})
			if p.peek().kind != outputEnd {
				p.unexpected("the end of the tag")
			}
			p.next()
		default: // blockBegin
			if p.tokens[1].kind == name && slices.Contains(until, p.tokens[1].val) {
				return out
			}
			p.next()
			out = append(out, p.statement())
		}
	}
}

// enter reads the end of a tag, the body behind it up to one of the given tags, and the begin and name of that.
func (p *parser) enter(until ...string) (body []statement, end string) {
	p.end()
	body = p.body(until...)
	p.next()
	return body, p.next().val
}

// inside reads the body of a tag to its end.
func (p *parser) inside(until string) []statement {
	body, _ := p.enter(until)
	p.end()
	return body
}

func (p *parser) end() {
	if p.peek().kind != blockEnd {
		p.unexpected("the end of the tag")
	}
	p.next()
}

var statements = []string{"for", "if", "set", "with", "macro", "call", "filter", "do", "break", "continue", "raw"}

func (p *parser) statement() statement {
	t := p.peek()
	if t.kind != name {
		p.unexpected("the name of a statement")
	}
	p.next()
	where := at(t.line)
	switch t.val {
	case "for":
		return p.loop(where)
	case "if":
		return p.branch(where)
	case "set":
		return p.assign(where)
	case "with":
		return p.with(where)
	case "macro":
		return p.macro(where)
	case "call":
		return p.callBlock(where)
	case "filter":
		f := p.filters(nil)
		return &filterBlock{where, f, p.inside("endfilter")}
	case "do":
		x := p.tuple(true, "")
		p.end()
		return &do{where, x}
	case "break", "continue":
		if p.loops == 0 {
			fail(t.line, "%s stands outside of a loop", t.val)
		}
		p.end()
		return &jump{where, t.val == "break"}
	case "include", "import", "from", "extends", "block":
		fail(t.line, "%s is not there: templates cannot read other templates or files", t.val)
	}
	if strings.HasPrefix(t.val, "end") || t.val == "else" || t.val == "elif" {
		fail(t.line, "%s stands alone: nothing is open that it could belong to", t.val)
	}
	fail(t.line, "no statement %q%s", t.val, hint(t.val, statements))
	return nil
}

func (p *parser) loop(where at) statement {
	l := &loop{at: where, target: p.target(false, "in")}
	p.expect(name, "in")
	l.over = p.tuple(false, "recursive")
	if p.skip(name, "if") {
		l.only = p.expression()
	}
	l.recursive = p.skip(name, "recursive")
	p.loops++
	body, end := p.enter("else", "endfor")
	p.loops--
	if l.body = body; end == "else" {
		l.otherwise, _ = p.enter("endfor")
	}
	p.end()
	return l
}

func (p *parser) branch(where at) statement {
	b := &branch{at: where, tests: []expression{p.tuple(false, "")}}
	for {
		body, end := p.enter("elif", "else", "endif")
		b.bodies = append(b.bodies, body)
		switch end {
		case "elif":
			b.tests = append(b.tests, p.tuple(false, ""))
			continue
		case "else":
			body, _ = p.enter("endif")
			b.bodies = append(b.bodies, body)
		}
		p.end()
		return b
	}
}

// target reads what a value is given to: a name, a field of a namespace, or several with commas.
func (p *parser) target(fields bool, until string) expression {
	if fields && p.peek().kind == name && p.tokens[1].kind == operator && p.tokens[1].val == "." {
		x := &ident{p.here(), p.next().val}
		p.next()
		if p.peek().kind != name {
			p.unexpected("a name")
		}
		return &attribute{p.here(), x, p.next().val}
	}
	l := &list{at: p.here(), tuple: true}
	comma := false
	for !p.tupleEnds(until) {
		switch t := p.peek(); {
		case t.kind == name:
			if _, constant := constants[t.val]; constant {
				fail(t.line, "%s cannot be given another value", t.val)
			}
			p.next()
			l.items = append(l.items, &ident{at(t.line), t.val})
		case p.skip(operator, "("):
			done := p.deeper()
			l.items = append(l.items, p.target(false, ")"))
			p.expect(operator, ")")
			done()
		default:
			p.unexpected("a name")
		}
		if comma = p.skip(operator, ","); !comma {
			break
		}
	}
	switch {
	case len(l.items) == 0:
		p.unexpected("a name")
	case len(l.items) == 1 && !comma:
		return l.items[0]
	}
	return l
}

func (p *parser) assign(where at) statement {
	a := &assign{at: where, target: p.target(true, "=")}
	if p.skip(operator, "=") {
		a.x = p.tuple(true, "")
		p.end()
		return a
	}
	if p.is(operator, "|") {
		p.next()
		a.filter = p.filters(nil)
	}
	a.body = p.inside("endset")
	if a.body == nil {
		a.body = []statement{}
	}
	return a
}

func (p *parser) with(where at) statement {
	w := &with{at: where}
	for p.peek().kind != blockEnd {
		if len(w.targets) > 0 {
			p.expect(operator, ",")
		}
		w.targets = append(w.targets, p.target(false, "="))
		p.expect(operator, "=")
		w.values = append(w.values, p.expression())
	}
	w.body = p.inside("endwith")
	return w
}

// signature reads (a, b=1) into a macro.
func (p *parser) signature(m *macro) {
	p.expect(operator, "(")
	for !p.skip(operator, ")") {
		if len(m.params) > 0 {
			p.expect(operator, ",")
		}
		if p.peek().kind != name {
			p.unexpected("a name")
		}
		m.params = append(m.params, p.next().val)
		if p.skip(operator, "=") {
			m.defaults = append(m.defaults, p.expression())
		} else if len(m.defaults) > 0 {
			fail(m.where(), "an argument without a default stands behind one with a default")
		}
	}
}

func (p *parser) macro(where at) statement {
	m := &macro{at: where}
	if p.peek().kind != name {
		p.unexpected("a name")
	}
	m.name = p.next().val
	p.signature(m)
	p.fill(m, "endmacro")
	return m
}

func (p *parser) fill(m *macro, until string) {
	loops := p.loops
	p.loops = 0
	m.body = p.inside(until)
	p.loops = loops
	m.rest, m.keys, m.calls = uses(m.body, "varargs"), uses(m.body, "kwargs"), uses(m.body, "caller")
}

func (p *parser) callBlock(where at) statement {
	m := &macro{at: where, name: "caller", anonym: true}
	if p.is(operator, "(") {
		p.signature(m)
	}
	c, ok := p.expression().(*call)
	if !ok {
		fail(int(where), "expected a call of a macro behind call")
	}
	p.fill(m, "endcall")
	return &callBlock{where, c, m}
}

// uses reports whether statements look at a name.
func uses(body []statement, name string) bool {
	found := false
	each(body, func(x expression) bool {
		if i, ok := x.(*ident); ok && i.name == name {
			found = true
		}
		return !found
	})
	return found
}

// each calls f for every expression in statements, from the outside in; f says whether to look inside it.
func each(body []statement, f func(expression) bool) {
	var look func(x expression)
	look = func(x expression) {
		if x == nil || !f(x) {
			return
		}
		inner, _ := parts(x)
		for _, y := range inner {
			if y != nil {
				look(y)
			}
		}
	}
	for _, s := range body {
		x, bodies := parts(s)
		for _, y := range x {
			if y != nil {
				look(y)
			}
		}
		for _, b := range bodies {
			each(b, f)
		}
	}
}
