package render

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"unsafe"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// The engine has no limits of its own: 'x' * 10**12, or a text doubled forty times, would end the
// process. So a parsed template is changed before it runs: each body begins with a tick, and operators,
// calls and filters go through functions that spend from a budget. Their names hold a space, which
// nothing in a template can say.
const (
	budgetKey  = "troupe budget"
	operateKey = "troupe operate"
	callKey    = "troupe call"
	outputKey  = "troupe output"
	guardKey   = "troupe guard"
	chargeKey  = "troupe charge"
)

// A budget is what one rendering may use.
type budget struct {
	ctx   context.Context
	steps int
	made  int
	line  int // of the last tick
	err   error
}

// spend takes a step and the bytes that it makes.
func (b *budget) spend(bytes int) error {
	if b.err != nil {
		return b.err
	}
	b.steps++
	b.made += bytes
	var frame [1]uintptr
	switch {
	case b.steps > maxSteps:
		b.err = fmt.Errorf("the template takes more than %d steps", maxSteps)
	case b.made > maxMade || bytes >= MaxOutput:
		b.err = errors.New("the template makes texts or lists that are too large")
	case runtime.Callers(maxFrames, frame[:]) > 0:
		b.err = errors.New("the template calls itself too deep")
	case b.steps%64 == 0 && b.ctx.Err() != nil:
		b.err = fmt.Errorf("the template takes longer than %v", maxTime)
	}
	return b.err
}

func budgetOf(e *exec.Environment) *budget {
	v, _ := e.Context.Get(budgetKey)
	b, ok := v.(*budget)
	if !ok {
		// Without a budget nothing may run.
		return &budget{ctx: context.Background(), err: errors.New("the template has no budget")}
	}
	return b
}

// sizeOf returns about how many bytes a value's text has, at most MaxOutput.
func sizeOf(v *exec.Value) int {
	left := MaxOutput
	measure(v.Val, &left, 0)
	return MaxOutput - max(left, 0)
}

func measure(v reflect.Value, left *int, depth int) {
	*left -= 8
	if depth > 50 {
		*left = 0
	}
	if *left <= 0 || !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		*left -= v.Len()
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			measure(v.Elem(), left, depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := 0; i < v.Len() && *left > 0; i++ {
			measure(v.Index(i), left, depth+1)
		}
	case reflect.Map:
		for it := v.MapRange(); *left > 0 && it.Next(); {
			measure(it.Key(), left, depth+1)
			measure(it.Value(), left, depth+1)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[view]() && v.CanInterface() {
			*left -= v.Interface().(view).size()
			return
		}
		// The engine's own values and dictionaries; of anything else the text is short.
		if strings.HasPrefix(v.Type().PkgPath(), enginePath) {
			for i := 0; i < v.NumField() && *left > 0; i++ {
				if f := v.Field(i); f.Type() == reflect.TypeFor[reflect.Value]() && f.CanInterface() {
					measure(f.Interface().(reflect.Value), left, depth+1)
				} else if f.Kind() != reflect.Func {
					measure(f, left, depth+1)
				}
			}
		}
	}
}

// bounded refuses what the engine's parser, which recurses, would end the process with.
func bounded(text string, c *config.Config) error {
	depth, length := 0, 0
	for s := tokens.LexAll(text, c); !s.End(); s.Next() {
		t := s.Current()
		length++
		switch t.Type {
		case tokens.VariableBegin:
			length = 0
		case tokens.BlockBegin:
			length = 0
			next := s.Next()
			switch {
			case next == nil:
			case strings.HasPrefix(next.Val, "end"):
				depth--
			case next.Val != "set" && next.Val != "do" && next.Val != "else" && next.Val != "elif" && next.Val != "break" && next.Val != "continue":
				depth++
			case next.Val == "set" && !assigns(text, next):
				depth++
			}
		}
		if depth > maxBlocks || length > maxTokens {
			return fmt.Errorf("the template is nested too deep, or an expression too long, at line %d", t.Line)
		}
	}
	return nil
}

// assigns reports whether a set statement has its value beside it; otherwise a block follows.
func assigns(text string, set *tokens.Token) bool {
	rest := text[min(set.Pos, len(text)):]
	if end := strings.Index(rest, "%}"); end >= 0 {
		rest = rest[:end]
	}
	return strings.Contains(rest, "=")
}

// A tick is the first node of every body.
type tick struct {
	at   *tokens.Token
	size int // of the body's own text
}

func (t *tick) Position() *tokens.Token { return t.at }
func (t *tick) String() string          { return "tick" }

// Execute spends a step.
func (t *tick) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	b := budgetOf(r.Environment)
	if t.at != nil {
		b.line = t.at.Line
	}
	return b.spend(t.size)
}

// enginePath is where the engine's types live.
const enginePath = "github.com/nikolalohinski/gonja/v2/"

// guard changes a parsed template. It reads and writes fields that the engine does not export; the tests
// fail if a new version keeps its nodes elsewhere.
func guard(root *nodes.Template) {
	g := &guarder{seen: map[uintptr]bool{}}
	g.walk(reflect.ValueOf(root))
}

type guarder struct{ seen map[uintptr]bool }

// walk guards what v holds, and v itself where it is a place for an expression.
func (g *guarder) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		g.walk(v.Elem())
		if n, ok := v.Interface().(nodes.Node); ok && v.CanSet() {
			if with := guarded(n); with != nil {
				v.Set(reflect.ValueOf(with))
			}
		}
	case reflect.Pointer:
		if v.IsNil() || !strings.HasPrefix(v.Type().Elem().PkgPath(), enginePath) || v.Type() == reflect.TypeFor[*tokens.Token]() || g.seen[v.Pointer()] {
			return
		}
		g.seen[v.Pointer()] = true
		g.walk(v.Elem())
		switch n := v.Interface().(type) {
		case *nodes.Wrapper:
			guardBody(n)
		case *nodes.Output:
			guardOutput(n)
		}
	case reflect.Struct:
		if !strings.HasPrefix(v.Type().PkgPath(), enginePath) || strings.HasSuffix(v.Type().PkgPath(), "/parser") {
			return
		}
		for i := range v.NumField() {
			f := v.Field(i)
			if f.CanAddr() {
				// Fields that are not exported become settable through their address.
				f = reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
			}
			g.walk(f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			g.walk(v.Index(i))
		}
		if v.Type() == reflect.TypeFor[[]*nodes.FilterCall]() {
			v.Set(reflect.ValueOf(guardFilters(v.Interface().([]*nodes.FilterCall))))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			slot := reflect.New(v.Type().Elem()).Elem()
			slot.Set(it.Value())
			g.walk(slot)
			v.SetMapIndex(it.Key(), slot)
		}
	}
}

// guardBody puts a tick before what a body holds.
func guardBody(w *nodes.Wrapper) {
	t := &tick{at: w.Location}
	for _, child := range w.Nodes {
		if d, ok := child.(*nodes.Data); ok {
			t.size += len(d.Data.Val)
		}
	}
	first := &nodes.ControlStructureBlock{Location: w.Location, Name: "tick", ControlStructure: t}
	w.Nodes = append([]nodes.Node{first}, w.Nodes...)
}

func guardOutput(o *nodes.Output) {
	if none, ok := o.Expression.(*nodes.None); ok {
		o.Expression = &nodes.String{Location: none.Location, Val: "None"}
	}
	o.Expression = call(outputKey, o.Expression)
	if o.Alternative != nil {
		o.Alternative = call(outputKey, o.Alternative)
	}
}

// guarded returns what stands in the place of an expression, nil for the expression itself.
func guarded(n nodes.Node) nodes.Expression {
	switch n := n.(type) {
	case *nodes.Call:
		if f, ok := n.Func.(*nodes.Name); ok && strings.Contains(f.Name.Val, " ") {
			return nil // made here
		}
		if a, ok := n.Func.(*nodes.GetAttribute); ok && grows[a.Attribute] {
			check := &nodes.Call{
				Location: n.Location, Func: name(guardKey, n.Location),
				Args: append([]nodes.Expression{a.Node}, n.Args...), Kwargs: n.Kwargs,
			}
			return call(callKey, check, n)
		}
		return call(callKey, n)
	case *nodes.BinaryExpression:
		switch op := n.Operator.Token; op.Type {
		case tokens.Addition, tokens.Multiply, tokens.Tilde, tokens.Modulo, tokens.Power:
			return call(operateKey, &nodes.String{Location: op, Val: op.Val}, n.Left, n.Right)
		}
	}
	return nil
}

func name(s string, at *tokens.Token) *nodes.Name {
	return &nodes.Name{Name: &tokens.Token{Type: tokens.Name, Val: s, Line: at.Line, Col: at.Col, Pos: at.Pos}}
}

func call(key string, args ...nodes.Expression) *nodes.Call {
	at := args[len(args)-1].Position()
	return &nodes.Call{Location: at, Func: name(key, at), Args: args}
}

// guardFilters puts a check before each filter, with its arguments, and a charge behind it.
func guardFilters(filters []*nodes.FilterCall) []*nodes.FilterCall {
	var out []*nodes.FilterCall
	for _, f := range filters {
		charge := &nodes.FilterCall{Token: f.Token, Name: chargeKey}
		switch {
		case f.Name == "default" || f.Name == "d":
			// Nothing before it: a chain of filters ends at the first error, and default is for errors.
		case grows[f.Name]:
			out = append(out, &nodes.FilterCall{Token: f.Token, Name: guardKey, Args: f.Args, Kwargs: f.Kwargs})
		default:
			out = append(out, charge)
		}
		out = append(out, f, charge)
	}
	return out
}

// grows are the filters and methods whose result may be much larger than what they are given.
var grows = map[string]bool{
	"batch": true, "center": true, "expandtabs": true, "format": true, "format_map": true, "indent": true, "join": true,
	"ljust": true, "replace": true, "rjust": true, "slice": true, "tojson": true, "translate": true, "truncate": true,
	"wordwrap": true, "zfill": true,
}

// check refuses arguments with which something that grows would grow too far.
func check(b *budget, in *exec.Value, params *exec.VarArgs) error {
	size, longest, largest := sizeOf(in), 0, 0
	args := append([]*exec.Value{}, params.Args...)
	for _, v := range params.KwArgs {
		args = append(args, v)
	}
	for _, v := range args {
		longest = max(longest, sizeOf(v))
		if v.IsInteger() {
			largest = max(largest, v.Integer(), -v.Integer())
		}
	}
	err := b.spend(size)
	if err == nil && (largest > 10_000 || size/16*longest > MaxOutput || size*largest > 1<<30) {
		b.err = errors.New("the template makes texts or lists that are too large")
		err = b.err
	}
	return err
}
