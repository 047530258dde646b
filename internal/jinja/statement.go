package jinja

import (
	"fmt"
	"io"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// A place is where a statement stands.
type place struct{ token *tokens.Token }

func (c *compiler) place() place { return place{&tokens.Token{Line: c.line}} }

func (p place) Position() *tokens.Token { return p.token }
func (p place) String() string          { return fmt.Sprintf("line %d", p.token.Line) }

// begin notes the line for messages.
func (p place) begin(r *exec.Renderer) *budget {
	b := budgetOf(r.Environment)
	b.line = p.token.Line
	return b
}

// data is text of the template.
type data struct {
	place
	text string
}

func (c *compiler) data(_, args *parser.Parser) (nodes.ControlStructure, error) {
	return &data{c.place(), args.Current().Val}, nil
}

func (s *data) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	budgetOf(r.Environment).spend(len(s.text))
	_, err := io.WriteString(r.Output, s.text)
	return err
}

// output is {{ }}, do, which prints nothing, and the end of a block of call.
type output struct {
	place
	value  nodes.Expression
	caller string
	silent bool
}

func (c *compiler) output(p, args *parser.Parser) (nodes.ControlStructure, error) {
	s := &output{place: c.place()}
	if t := args.Current(tokens.Name); t != nil && strings.HasPrefix(t.Val, callerName) {
		s.caller = args.Pop().Val
	}
	s.value = c.expression(args, false)
	c.end(args)
	return s, nil
}

func (c *compiler) do(p, args *parser.Parser) (nodes.ControlStructure, error) {
	s, err := c.output(p, args)
	s.(*output).silent = true
	return s, err
}

// gonjaCaller is the name under which gonja's macros take the block of call.
const gonjaCaller = "__gonja_caller__"

func (s *output) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	b := s.begin(r)
	if s.caller != "" {
		caller, _ := r.Environment.Context.Get(s.caller)
		b.root.Set(gonjaCaller, caller)
		defer b.root.Set(gonjaCaller, nil)
	}
	v := r.Eval(s.value)
	if v.IsError() {
		return v
	}
	if s.silent {
		return nil
	}
	out := b.text(v.Interface())
	b.spend(len(out))
	_, err := io.WriteString(r.Output, out)
	return err
}

// assign is set, with a value or a body.
type assign struct {
	place
	targets []target
	value   nodes.Expression
	body    *nodes.Wrapper
	filters []*nodes.FilterCall
}

// A target is a name, or a field of a namespace.
type target struct{ name, field string }

func (c *compiler) assign(p, args *parser.Parser) (nodes.ControlStructure, error) {
	s := &assign{place: c.place()}
	parenthesis := args.Match(tokens.LeftParenthesis) != nil
	for {
		t := args.Match(tokens.Name)
		if t == nil || strings.Contains(" true false none True False None ", " "+t.Val+" ") {
			fail(c.line, "set needs a name")
		}
		to := target{name: t.Val}
		if args.Match(tokens.Dot) != nil {
			if t = args.Match(tokens.Name); t == nil {
				fail(c.line, "set needs a name behind the dot")
			}
			to.field = t.Val
		} else {
			c.given[to.name] = true
		}
		if s.targets = append(s.targets, to); args.Match(tokens.Comma) == nil {
			break
		}
	}
	if parenthesis {
		args.Match(tokens.RightParenthesis)
	}
	if args.Match(tokens.Assign) != nil {
		s.value = c.expression(args, false)
		c.end(args)
		return s, nil
	}
	for args.Match(tokens.Pipe) != nil {
		f, err := args.ParseFilter()
		if err != nil {
			return nil, err
		}
		s.filters = append(s.filters, f)
	}
	c.end(args)
	for _, f := range s.filters {
		for _, x := range f.Args {
			c.look(x, false)
		}
	}
	c.filters(s.filters)
	s.body = c.body(p, "endset")
	return s, nil
}

func (s *assign) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	b := s.begin(r)
	var v *exec.Value
	if s.body != nil {
		var out strings.Builder
		sub := r.Inherit()
		sub.Output = &out
		if err := sub.ExecuteWrapper(s.body); err != nil {
			return err
		}
		v = exec.AsValue(out.String())
		for _, f := range s.filters {
			v = r.Evaluator().ExecuteFilter(f, v)
		}
	} else {
		v = r.Eval(s.value)
	}
	if v.IsError() {
		return v
	}
	if len(s.targets) == 1 {
		return s.set(r, b, s.targets[0], v.Interface())
	}
	items := b.items(v.Interface())
	if len(items) != len(s.targets) {
		b.fail("%d values for %d names", len(items), len(s.targets))
	}
	for i, to := range s.targets {
		if err := s.set(r, b, to, items[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *assign) set(r *exec.Renderer, b *budget, to target, v any) error {
	if to.field == "" {
		r.Environment.Context.Set(to.name, v)
		return nil
	}
	x, _ := r.Environment.Context.Get(to.name)
	n, ok := exec.ToValue(x).Interface().(*namespace)
	if !ok {
		b.fail("%s is no namespace, so %s.%s cannot be set", to.name, to.name, to.field)
	}
	put(n.fields, to.field, v)
	return nil
}
