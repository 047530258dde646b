package jinja

import "slices"

// What a statement does to the loop around it.
type flow uint8

const (
	onward flow = iota
	leaveLoop
	nextRound
)

func (r *run) body(body []statement, f *frame) flow {
	r.enter()
	defer r.leave()
	for _, s := range body {
		if to := r.execute(s, f); to != onward {
			return to
		}
	}
	return onward
}

func (r *run) execute(s statement, f *frame) flow {
	r.line = s.where()
	r.step()
	switch n := s.(type) {
	case *words:
		r.write(n.text)
	case *output:
		v := r.eval(n.x, f)
		r.line = n.where()
		r.write(r.text(v))
	case *branch:
		for i, t := range n.tests {
			if r.truth(r.eval(t, f)) {
				return r.body(n.bodies[i], f)
			}
		}
		if len(n.bodies) > len(n.tests) {
			return r.body(n.bodies[len(n.tests)], f)
		}
	case *loop:
		r.loop(n, f)
	case *assign:
		r.assign(n, f)
	case *with:
		inner := &frame{vars: map[string]any{}, up: f}
		for i, t := range n.targets {
			r.give(t, r.eval(n.values[i], f), inner)
		}
		return r.body(n.body, inner)
	case *macro:
		f.vars[n.name] = r.macro(n, f)
	case *callBlock:
		v := r.callWith(n.call, f, r.macro(n.body, f))
		r.write(r.text(v))
	case *filterBlock:
		text := r.capture(func() { r.body(n.body, &frame{vars: map[string]any{}, up: f}) })
		r.write(r.text(r.filterText(n.filter, text, f)))
	case *do:
		r.eval(n.x, f)
	case *jump:
		if n.out {
			return leaveLoop
		}
		return nextRound
	}
	return onward
}

// filterText applies the filters of a block.
func (r *run) filterText(x expression, text string, f *frame) any {
	n := x.(*filter)
	var of any = text
	if n.of != nil {
		of = r.filterText(n.of, text, f)
	}
	r.line = n.where()
	return r.apply(filters[n.name], of, &n.args, f)
}

func (r *run) assign(n *assign, f *frame) {
	if n.body == nil {
		v := r.eval(n.x, f)
		r.line = n.where()
		r.give(n.target, v, f)
		return
	}
	var v any = r.capture(func() { r.body(n.body, &frame{vars: map[string]any{}, up: f}) })
	if n.filter != nil {
		v = r.filterText(n.filter, v.(string), f)
	}
	r.give(n.target, v, f)
}

// give sets what stands to the left of =.
func (r *run) give(target expression, v any, f *frame) {
	switch t := target.(type) {
	case *ident:
		f.vars[t.name] = v
	case *attribute:
		n, ok := r.eval(t.of, f).(namespace)
		if !ok {
			r.fail("only the fields of a namespace can be set")
		}
		n.set(t.name, v)
	case *list:
		items := r.mustItems(v)
		if len(items) != len(t.items) {
			r.fail("%d names, but %d values for them", len(t.items), len(items))
		}
		for i, x := range t.items {
			r.give(x, items[i], f)
		}
	}
}

// A loopState is what loop is.
type loopState struct {
	items  []any
	at     int
	depth  int
	again  func(items any) any // of a recursive loop
	before any                 // what changed was last given
	r      *run
}

var loopNames = []string{
	"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem", "nextitem", "cycle", "changed",
}

func (l *loopState) Names() []string { return loopNames }
func (l *loopState) String() string  { return "<loop>" }

func (l *loopState) Attr(name string) (any, bool) {
	n := len(l.items)
	neighbour := func(i int) any {
		if i < 0 || i >= n {
			return &Undefined{name: name}
		}
		return l.items[i]
	}
	switch name {
	case "index":
		return l.at + 1, true
	case "index0":
		return l.at, true
	case "revindex":
		return n - l.at, true
	case "revindex0":
		return n - l.at - 1, true
	case "first":
		return l.at == 0, true
	case "last":
		return l.at == n-1, true
	case "length":
		return n, true
	case "depth":
		return l.depth + 1, true
	case "depth0":
		return l.depth, true
	case "previtem":
		return neighbour(l.at - 1), true
	case "nextitem":
		return neighbour(l.at + 1), true
	case "cycle":
		return named2("cycle", "*items", func(r *run, a []any) any {
			items := a[0].(Tuple)
			if len(items) == 0 {
				r.fail("cycle needs at least one value")
			}
			return items[l.at%len(items)]
		}), true
	case "changed":
		return named2("changed", "*items", func(r *run, a []any) any {
			if l.before != nil && r.equal(l.before, a[0]) {
				return false
			}
			l.before = a[0]
			return true
		}), true
	}
	return nil, false
}

func named2(name, signature string, call func(r *run, a []any) any) *Function {
	f := builtin(signature, call)
	f.Name = name
	return f
}

func (r *run) loop(n *loop, f *frame) {
	over := r.eval(n.over, f)
	r.line = n.where()
	r.rounds(n, over, f, 0)
}

func (r *run) rounds(n *loop, over any, f *frame, depth int) {
	items := r.mustItems(over)
	if n.only != nil {
		var kept []any
		for _, x := range items {
			inner := &frame{vars: map[string]any{}, up: f}
			if r.give(n.target, x, inner); r.truth(r.eval(n.only, inner)) {
				kept = append(kept, x)
			}
		}
		items = kept
	} else {
		items = slices.Clone(items)
	}
	r.spend(16 * len(items))
	state := &loopState{items: items, depth: depth, r: r}
	if n.recursive {
		state.again = func(over any) any {
			return r.capture(func() { r.rounds(n, over, f, depth+1) })
		}
	}
	for i, x := range items {
		r.step()
		state.at = i
		inner := &frame{vars: map[string]any{"loop": state}, up: f}
		r.line = n.where()
		r.give(n.target, x, inner)
		if r.body(n.body, inner) == leaveLoop {
			return
		}
	}
	if len(items) == 0 {
		r.body(n.otherwise, &frame{vars: map[string]any{}, up: f})
	}
}

// macro makes the function of a macro or call block.
func (r *run) macro(n *macro, f *frame) *Function {
	fn := &Function{Name: n.name, rest: true, keys: true}
	fn.call = func(r *run, args []any) any {
		inner := &frame{vars: map[string]any{}, up: f}
		rest, named := args[0].(Tuple), args[1].(*Dict).copy()
		line := r.line
		for i, p := range n.params {
			if i < len(rest) {
				inner.vars[p] = rest[i]
				continue
			}
			if v, ok := named.get(p); ok {
				inner.vars[p] = v
				named.remove(p)
				continue
			}
			if d := i - (len(n.params) - len(n.defaults)); d >= 0 {
				inner.vars[p] = r.eval(n.defaults[d], inner)
				continue
			}
			inner.vars[p] = &Undefined{name: p}
		}
		r.line = line
		if n.calls {
			inner.vars["caller"] = &Undefined{name: "caller"}
			if c, ok := named.get("caller"); ok {
				inner.vars["caller"] = c
				named.remove("caller")
			}
		}
		extra := rest[min(len(n.params), len(rest)):]
		if len(extra) > 0 && !n.rest {
			r.fail("%s takes %d values at most, not %d", n.name, len(n.params), len(rest))
		}
		if len(named.keys) > 0 && !n.keys {
			r.fail("%s takes no value named %q%s", n.name, named.keys[0], hint(r.text(named.keys[0]), n.params))
		}
		inner.vars["varargs"], inner.vars["kwargs"] = Tuple(extra), named
		return r.capture(func() { r.body(n.body, inner) })
	}
	return fn
}
