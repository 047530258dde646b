package jinja

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// hidden are the functions of ours that the tree calls, and None.
func hidden() map[string]any { return maps.Clone(hiddenFunctions) }

// A hiddenFunction gets its arguments evaluated; an error among them never reaches it.
type hiddenFunction = func(b *budget, e *exec.Evaluator, p *exec.VarArgs) any

var hiddenFunctions = map[string]any{noneName: none(false)}

func init() {
	for name, f := range map[string]hiddenFunction{
		getKey: func(b *budget, e *exec.Evaluator, p *exec.VarArgs) any { return b.get(e, p.Args[0].String()) },
		lookupKey: func(b *budget, _ *exec.Evaluator, p *exec.VarArgs) any {
			return b.lookup(p.Args[0].Interface(), p.Args[1].Interface(), p.Args[2].String())
		},
		operateKey: func(b *budget, _ *exec.Evaluator, p *exec.VarArgs) any {
			cost := b.size(p.Args...)
			if len(p.Args) == 2 {
				return b.unary(p.Args[0].String(), p.Args[1].Interface())
			}
			out := b.binary(p.Args[0].String(), p.Args[1].Interface(), p.Args[2].Interface())
			b.spend(cost)
			return out
		},
		testedKey: func(_ *budget, _ *exec.Evaluator, p *exec.VarArgs) any {
			if d, ok := mapping(p.Args[0].Interface()); ok && len(d.Pairs) == 0 {
				return map[string]any{} // what gonja takes for false
			}
			return p.Args[0]
		},
		callKey: func(b *budget, _ *exec.Evaluator, p *exec.VarArgs) any {
			return b.call(p.Args[0].Interface(), p.Args[1].String(), &exec.VarArgs{Args: p.Args[2:], KwArgs: p.KwArgs})
		},
		methodKey: func(b *budget, _ *exec.Evaluator, p *exec.VarArgs) any {
			return b.method(p.Args[0], p.Args[1].String(), p.Args[2].String(), &exec.VarArgs{Args: p.Args[3:], KwArgs: p.KwArgs})
		},
		listKey:  func(b *budget, _ *exec.Evaluator, p *exec.VarArgs) any { return same(nil, b.collect(p.Args)) },
		tupleKey: func(b *budget, _ *exec.Evaluator, p *exec.VarArgs) any { return tuple(b.collect(p.Args)) },
		dictKey: func(b *budget, _ *exec.Evaluator, p *exec.VarArgs) any {
			d := &exec.Dict{}
			for i := 0; i+1 < len(p.Args); i += 2 {
				b.spend(len(d.Pairs)) // all are looked at
				put(d, p.Args[i].Interface(), p.Args[i+1].Interface())
			}
			return d
		},
		itemsKey: func(b *budget, _ *exec.Evaluator, p *exec.VarArgs) any {
			return b.rounds(p.Args[0].Interface(), p.Args[1].Integer())
		},
		sizedKey: func(b *budget, _ *exec.Evaluator, p *exec.VarArgs) any { b.spend(b.size(p.Args[0])); return p.Args[0] },
	} {
		hiddenFunctions[name] = func(e *exec.Evaluator, p *exec.VarArgs) *exec.Value {
			return exec.ToValue(f(budgetOf(e.Environment), e, p))
		}
	}
}

func (b *budget) collect(args []*exec.Value) []any {
	b.spend(16 * len(args))
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a.Interface()
	}
	return out
}

// get returns what a name stands for: the template's own, the host's, or what is always there.
func (b *budget) get(e *exec.Evaluator, name string) any {
	b.spend(0)
	if x, ok := e.Environment.Context.Get(name); ok && !strings.HasPrefix(name, "__") {
		if v := exec.ToValue(x); !v.IsNil() {
			return v
		}
		return b.lacks(name, nil)
	}
	if x, ok := b.values.get(b, name); ok {
		return x
	}
	if f, ok := globals[name]; ok {
		return f
	}
	return b.lacks(name, b.values.Names())
}

// nothing ends the rendering: something is done with a missing value.
func (b *budget) nothing(name string) {
	b.fail("no value %q%s", name, nearest.Hint(name, b.values.Names()))
}

// lookup returns what stands in a value under a name or index.
func (b *budget) lookup(v, key any, name string) any {
	b.spend(0)
	var among []string
	if i, ok := key.(int); ok {
		s, isText := v.(string)
		items, _ := sequence(v)
		if isText {
			items, _ = sequence([]rune(s))
		}
		if i < 0 {
			i += len(items)
		}
		if i >= 0 && i < len(items) {
			if isText {
				return string(items[i].(rune))
			}
			return items[i]
		}
	}
	switch x := v.(type) {
	case nil:
		b.nothing(name)
	case exec.AttributeGetter:
		if found, ok := x.GetAttribute(b.text(key)); ok {
			return found
		}
		if o, ok := x.(object); ok {
			among = o.Names()
		}
	default:
		if d, ok := mapping(v); ok {
			if found, ok := find(d, key); ok {
				return found
			}
			for _, p := range d.Pairs {
				among = append(among, b.text(p.Key.Interface()))
			}
		}
	}
	return b.lacks(b.text(key), among)
}

func (b *budget) call(f any, name string, given *exec.VarArgs) any {
	defer b.enter()()
	b.admit("", exec.AsValue(nil), given)
	switch f := f.(type) {
	case *Function:
		return f.apply(b, given)
	case exec.Macro:
		return f(given)
	case func(*exec.VarArgs) *exec.Value:
		return f(given)
	case nil:
		b.nothing(name)
	}
	b.fail("%s is no function", name)
	return nil
}

// fills are the methods that take a character, which is no text where gonja chooses it.
var fills = words("center ljust rjust")

// method calls a field that is a function, or a method of text, lists and mappings.
func (b *budget) method(of *exec.Value, name, label string, given *exec.VarArgs) any {
	b.admit(name, of, given)
	v := of.Interface()
	d, _ := mapping(v)
	f, ok := find(d, name)
	if getter, isGetter := v.(exec.AttributeGetter); isGetter {
		f, _ = getter.GetAttribute(name)
		ok = true
	}
	if ok {
		return b.call(f.Interface(), name, given)
	}
	if v == nil {
		b.nothing(label)
	}
	if out, ok := b.own(v, name, given); ok {
		return out
	}
	s, isText := v.(string)
	method, ok := builtins.Methods.Str.Get(name)
	if !isText || !ok {
		b.fail("no method %q of %s", name, kindOf(v))
	}
	if fills[name] && len(given.Args) == 1 {
		given.Args = append(given.Args, exec.AsValue(" "))
	}
	out, err := method(s, of, given)
	if err != nil {
		b.fail("%s: %v", name, err)
	}
	made := from(out)
	b.spend(b.size(exec.AsValue(made)))
	return made
}

// items returns what a value iterates over.
func (b *budget) items(v any) []any {
	if s, ok := v.(string); ok {
		b.spend(16 * len(s))
		out := make([]any, 0, len(s))
		for _, c := range s {
			out = append(out, string(c))
		}
		return out
	}
	if d, ok := mapping(v); ok {
		v = []*exec.Value(d.Keys())
	}
	items, ok := sequence(v)
	if !ok && v != nil {
		b.fail("%s is no list", kindOf(v))
	}
	return items
}

// rounds returns the items for a loop that gives each a number of names.
func (b *budget) rounds(v any, names int) []any {
	items := b.items(v)
	for _, x := range items {
		b.spend(16)
		if names > 1 && len(b.items(x)) != names {
			b.fail("%d values for %d names", len(b.items(x)), names)
		}
	}
	return items
}

// compare orders numbers or texts.
func (b *budget) compare(x, y any) int {
	i, isReal := real(x)
	j, both := real(y)
	s, isText := x.(string)
	t, bothText := y.(string)
	if !(isReal && both) && !(isText && bothText) {
		b.fail("%s and %s have no order", kindOf(x), kindOf(y))
	}
	return cmp.Or(cmp.Compare(i, j), strings.Compare(s, t))
}

func (b *budget) unary(op string, v any) any {
	i, isWhole := whole(v)
	f, isReal := real(v)
	d, isDict := mapping(v)
	switch {
	case op == "not":
		return isDict && len(d.Pairs) == 0 || !isDict && !exec.ToValue(v).IsTrue()
	case !isReal:
		b.fail("%s has no sign", kindOf(v))
	case isWhole && op == "-":
		return -i
	case isWhole:
		return i
	case op == "-":
		return -f
	}
	return f
}

func (b *budget) binary(op string, x, y any) any {
	switch op {
	case "==":
		return equal(x, y)
	case "!=":
		return !equal(x, y)
	case "~":
		return b.text(x) + b.text(y)
	}
	if x == nil || y == nil {
		b.fail("a missing value is used with %s", op)
	}
	s, isText := x.(string)
	t, bothText := y.(string)
	l, isList := sequence(x)
	m, bothLists := sequence(y)
	switch op {
	case "<":
		return b.compare(x, y) < 0
	case "<=":
		return b.compare(x, y) <= 0
	case ">":
		return b.compare(x, y) > 0
	case ">=":
		return b.compare(x, y) >= 0
	case "%":
		if isText {
			return b.percent(s, y)
		}
	case "+":
		switch {
		case isText && bothText:
			return s + t
		case isList && bothLists && isTuple(x) == isTuple(y):
			return same(x, slices.Concat(l, m))
		}
	case "*":
		if n, ok := whole(x); ok && (bothText || bothLists) {
			return b.repeat(y, t, m, n)
		}
		if n, ok := whole(y); ok && (isText || isList) {
			return b.repeat(x, s, l, n)
		}
	}
	_, wholes := whole(x)
	j, bothWhole := whole(y)
	f, isReal := real(x)
	g, bothReal := real(y)
	switch {
	case !isReal || !bothReal:
		b.fail("%s does not take %s and %s", op, kindOf(x), kindOf(y))
	case g == 0 && (op == "/" || op == "//" || op == "%") || f == 0 && op == "**" && g < 0:
		b.fail("division by zero")
	}
	r := floats(op, f, g)
	if wholes && bothWhole && op != "/" && !(op == "**" && j < 0) {
		if math.Abs(r) > 1<<53 {
			b.fail("the number is too large")
		}
		return int(r)
	}
	return r
}

// same makes a list or tuple as another is.
func same(as any, items []any) any {
	if isTuple(as) {
		return tuple(items)
	}
	l := list(items)
	return &l
}

func (b *budget) repeat(v any, s string, items []any, n int) any {
	n = max(n, 0)
	if size := max(len(s), 16*len(items)); n > 0 && size > MaxOutput/n {
		b.spend(MaxOutput + 1)
	}
	b.spend(n * max(len(s), 16*len(items)))
	if items == nil {
		return strings.Repeat(s, n)
	}
	return same(v, slices.Repeat(items, n))
}

func floats(op string, x, y float64) float64 {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "/":
		return x / y
	case "//":
		return math.Floor(x / y)
	case "%":
		m := math.Mod(x, y)
		if m != 0 && (m < 0) != (y < 0) {
			m += y
		}
		return m
	}
	return math.Pow(x, y)
}
