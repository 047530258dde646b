package jinja

import (
	"maps"
	"math"
	"slices"
)

// A frame holds the names of one level: a loop's round, a macro's call.
type frame struct {
	vars   map[string]any
	up     *frame
	values *Values // of the outermost
}

func (r *run) lookUp(f *frame, name string) (any, bool) {
	for ; ; f = f.up {
		if v, ok := f.vars[name]; ok {
			return v, true
		}
		if f.up == nil {
			break
		}
	}
	if v, ok := f.values.get(r, name); ok {
		return v, true
	}
	g, ok := globals[name]
	return g, ok
}

func (f *frame) names() []string {
	var out []string
	for ; ; f = f.up {
		out = append(out, slices.Collect(maps.Keys(f.vars))...)
		if f.up == nil {
			out = append(out, f.values.Names()...)
			slices.Sort(out)
			return slices.Compact(out)
		}
	}
}

func (r *run) eval(x expression, f *frame) any {
	r.enter()
	defer r.leave()
	r.line = x.where()
	r.step()
	switch n := x.(type) {
	case *literal:
		return n.value
	case *ident:
		if v, ok := r.lookUp(f, n.name); ok {
			return v
		}
		return &Undefined{n.name, f.names}
	case *attribute:
		of := r.eval(n.of, f)
		r.line = n.where()
		return r.attr(of, n.name)
	case *item:
		of, key := r.eval(n.of, f), r.eval(n.key, f)
		return r.item(of, key)
	case *slice:
		return r.slice(n, f)
	case *call:
		return r.call(n, f)
	case *list:
		items := make([]any, len(n.items))
		for i, y := range n.items {
			items[i] = r.eval(y, f)
		}
		r.spend(16 * len(items))
		if n.tuple {
			return Tuple(items)
		}
		return &List{Items: items}
	case *dict:
		d := newDict()
		for i, k := range n.keys {
			key := r.used(r.eval(k, f))
			if !d.set(key, r.eval(n.values[i], f)) {
				r.fail("%s cannot be a key", r.short(key))
			}
		}
		r.spend(64 * len(n.keys))
		return d
	case *unary:
		return r.unary(n.op, r.eval(n.x, f))
	case *binary:
		return r.operate(n, f)
	case *comparison:
		return r.chain(n, f)
	case *conditional:
		if r.truth(r.eval(n.test, f)) {
			return r.eval(n.then, f)
		}
		if n.otherwise == nil {
			return &Undefined{name: "else"}
		}
		return r.eval(n.otherwise, f)
	case *filter:
		return r.apply(filters[n.name], r.eval(n.of, f), &n.args, f)
	case *test:
		return r.apply(tests[n.name], r.eval(n.of, f), &n.args, f)
	}
	r.fail("%T cannot be evaluated", x)
	return nil
}

// apply calls a filter or test on a value.
func (r *run) apply(fn *Function, v any, a *arguments, f *frame) any {
	line := r.line
	args, named := r.arguments(a, f)
	r.line = line
	return r.callValue(fn, append([]any{v}, args...), named)
}

func (r *run) operate(n *binary, f *frame) any {
	left := r.eval(n.x, f)
	switch n.op {
	case "and":
		if !r.truth(left) {
			return left
		}
		return r.eval(n.y, f)
	case "or":
		if r.truth(left) {
			return left
		}
		return r.eval(n.y, f)
	}
	right := r.eval(n.y, f)
	r.line = n.where()
	return r.binary(n.op, left, right)
}

func (r *run) chain(n *comparison, f *frame) any {
	left := r.eval(n.first, f)
	for i, op := range n.ops {
		right := r.eval(n.rest[i], f)
		r.line = n.where()
		if !r.comparison(op, left, right) {
			return false
		}
		left = right
	}
	return true
}

func (r *run) unary(op string, v any) any {
	if op == "not" {
		return !r.truth(v)
	}
	if u, ok := v.(*Undefined); ok {
		r.lacks(u)
	}
	if !isNumber(v) {
		r.fail("%s does not go with %s", op, r.short(v))
	}
	if x, ok := v.(float64); ok {
		if op == "-" {
			return -x
		}
		return x
	}
	if op == "-" {
		return r.ints("-", int64(0), v)
	}
	return r.ints("+", int64(0), v)
}

// attr is v.name.
func (r *run) attr(v any, name string) any {
	switch v := v.(type) {
	case *Undefined:
		r.lacks(v)
	case *Dict:
		if x, ok := v.get(name); ok {
			return x
		}
		if m := r.method(v, name); m != nil {
			return m
		}
		return &Undefined{name, v.names}
	case named:
		if i := slices.Index(v.names, name); i >= 0 {
			return v.Tuple[i]
		}
	case Object:
		if x, ok := v.Attr(name); ok {
			return From(x)
		}
		return &Undefined{name, v.Names}
	}
	if m := r.method(v, name); m != nil {
		return m
	}
	return &Undefined{name: name}
}

// item is v[key].
func (r *run) item(v, key any) any {
	r.used(key)
	switch v := v.(type) {
	case *Undefined:
		r.lacks(v)
	case *Dict:
		if x, ok := v.get(key); ok {
			return x
		}
	case string, *List, Tuple, named:
		if i, ok := key.(int64); ok {
			items, _ := sequence(v)
			if s, ok := v.(string); ok {
				items, _ = r.items(s)
			}
			if i < 0 {
				i += int64(len(items))
			}
			if i >= 0 && i < int64(len(items)) {
				return items[i]
			}
		}
	}
	if s, ok := key.(string); ok {
		return r.attr(v, s)
	}
	return &Undefined{name: r.repr(key)}
}

func (r *run) slice(n *slice, f *frame) any {
	v := r.used(r.eval(n.of, f))
	bound := func(x expression) *int64 {
		if x == nil {
			return nil
		}
		switch i := r.used(r.eval(x, f)).(type) {
		case nil:
			return nil
		case int64:
			return &i
		default:
			r.fail("the bounds of a slice are whole numbers, not %s", r.short(i))
		}
		return nil
	}
	start, stop, step := bound(n.start), bound(n.stop), bound(n.step)
	if s, ok := v.(string); ok {
		all, _ := r.items(s)
		out := ""
		for _, c := range r.cut(all, start, stop, step) {
			out += c.(string)
			r.spend(1)
		}
		return out
	}
	items, ok := sequence(v)
	if _, missing := v.(*Undefined); !ok && !missing {
		r.fail("%s has no slices", r.short(v))
	} else if missing {
		return ""
	}
	return r.like(v, r.cut(items, start, stop, step))
}

// cut takes a part of a list as Python's slices do.
func (r *run) cut(items []any, start, stop, step *int64) []any {
	by, n := int64(1), int64(len(items))
	if step != nil {
		by = *step
	}
	if by == 0 {
		r.fail("the step of a slice is 0")
	}
	low, high := int64(0), n
	if by < 0 {
		low, high = -1, n-1
	}
	place := func(p *int64, other int64) int64 {
		if p == nil {
			return other
		}
		i := *p
		if i < 0 {
			i += n
		}
		return min(max(i, low), high)
	}
	from, to := place(start, low), place(stop, high)
	if by < 0 {
		from, to = place(start, high), place(stop, low)
	}
	var out []any
	for i := from; by > 0 && i < to || by < 0 && i > to; i += by {
		out = append(out, items[i])
		if by > math.MaxInt64-n || by < math.MinInt64+n {
			break
		}
	}
	return out
}

// arguments evaluates what a call is given.
func (r *run) arguments(a *arguments, f *frame) (args []any, named *Dict) {
	for _, x := range a.plain {
		args = append(args, r.eval(x, f))
	}
	if a.spread != nil {
		args = append(args, r.mustItems(r.eval(a.spread, f))...)
		r.spend(16 * len(args))
	}
	if len(a.names) > 0 || a.spreadD != nil {
		named = newDict()
	}
	for i, name := range a.names {
		named.set(name, r.eval(a.named[i], f))
	}
	if a.spreadD != nil {
		d, ok := r.eval(a.spreadD, f).(*Dict)
		if !ok || len(d.names()) < len(d.keys) {
			r.fail("** takes a mapping with text as keys")
		}
		r.update(named, d)
	}
	return args, named
}

func (r *run) call(n *call, f *frame) any {
	return r.callWith(n, f, nil)
}

// callWith calls, with a block for the macro when there is one.
func (r *run) callWith(n *call, f *frame, block *Function) any {
	var fn any
	if a, ok := n.of.(*attribute); ok {
		of := r.eval(a.of, f)
		r.line = n.where()
		if m := r.method(of, a.name); m != nil {
			fn = m
		} else {
			fn = r.attr(of, a.name)
		}
	} else {
		fn = r.eval(n.of, f)
	}
	args, named := r.arguments(&n.args, f)
	if block != nil {
		if named == nil {
			named = newDict()
		}
		named.set("caller", block)
	}
	r.line = n.where()
	return r.callValue(fn, args, named)
}
