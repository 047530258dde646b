package jinja

import (
	"math/big"
	"strings"
)

func (r *run) equal(a, b any) bool {
	r.enter()
	defer r.leave()
	r.step()
	if isNumber(a) && isNumber(b) {
		return order(a, b) == 0
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		s, ok := b.(string)
		return ok && a == s
	case *Undefined:
		_, ok := b.(*Undefined)
		return ok
	case *List:
		l, ok := b.(*List)
		return ok && r.sameItems(a.Items, l.Items)
	case Tuple:
		t, ok := tupleOf(b)
		return ok && r.sameItems(a, t)
	case named:
		return r.equal(a.Tuple, b)
	case *Dict:
		d, ok := b.(*Dict)
		if !ok || len(d.keys) != len(a.keys) {
			return false
		}
		for i, k := range a.keys {
			x, there := d.get(k)
			if !there || !r.equal(a.values[i], x) {
				return false
			}
		}
		return true
	case *Function:
		f, ok := b.(*Function)
		return ok && a == f
	case Object:
		o, ok := b.(Object)
		return ok && same(a, o)
	}
	return false
}

// same reports whether two objects are one, where Go can tell.
func same(a, b Object) (is bool) {
	defer func() { _ = recover() }() // of kinds that do not compare
	return a == b
}

func tupleOf(v any) (Tuple, bool) {
	if n, ok := v.(named); ok {
		return n.Tuple, true
	}
	t, ok := v.(Tuple)
	return t, ok
}

func (r *run) sameItems(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !r.equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// order compares numbers.
func order(a, b any) int {
	_, x := a.(float64)
	_, y := b.(float64)
	if !x && !y {
		m, _ := whole(a)
		n, _ := whole(b)
		return m.Cmp(n)
	}
	switch f, g := asFloat(a), asFloat(b); {
	case f < g:
		return -1
	case f > g:
		return 1
	case f == g:
		return 0
	}
	return 2 // one of them is no number
}

// compare orders two values; those that have no order end the rendering.
func (r *run) compare(a, b any) int {
	r.enter()
	defer r.leave()
	r.step()
	if i, ok := a.(int64); ok {
		if j, ok := b.(int64); ok {
			return compareInts(i, j)
		}
	}
	if isNumber(a) && isNumber(b) {
		return order(a, b)
	}
	if s, ok := a.(string); ok {
		if t, ok := b.(string); ok {
			return strings.Compare(s, t)
		}
	}
	x, xok := sequence(a)
	y, yok := sequence(b)
	if xok && yok && kindOf(a) == kindOf(b) {
		for i := range min(len(x), len(y)) {
			if !r.equal(x[i], y[i]) {
				return r.compare(x[i], y[i])
			}
		}
		return compareInts(int64(len(x)), int64(len(y)))
	}
	for _, v := range []any{a, b} {
		if u, ok := v.(*Undefined); ok {
			r.lacks(u)
		}
	}
	r.fail("%s and %s have no order", r.short(a), r.short(b))
	return 0
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func sequence(v any) ([]any, bool) {
	if l, ok := v.(*List); ok {
		return l.Items, true
	}
	t, ok := tupleOf(v)
	return t, ok
}

// contains is "x in v".
func (r *run) contains(v, x any) bool {
	switch v := r.used(v).(type) {
	case string:
		s, ok := x.(string)
		if !ok {
			r.fail("only text can be in text, not %s", r.short(x))
		}
		r.spend(len(v) / 8)
		return strings.Contains(v, s)
	case *Dict:
		_, ok := v.get(x)
		return ok
	case Object:
		s, ok := x.(string)
		if ok {
			_, ok = v.Attr(s)
		}
		return ok
	}
	for _, y := range r.mustItems(v) {
		if r.equal(y, x) {
			return true
		}
	}
	return false
}

func (r *run) comparison(op string, a, b any) bool {
	switch op {
	case "==":
		return r.equal(r.used(a), r.used(b))
	case "!=":
		return !r.equal(r.used(a), r.used(b))
	case "in":
		return r.contains(b, a)
	case "not in":
		return !r.contains(b, a)
	}
	c := r.compare(a, b)
	switch op {
	case "<":
		return c == -1
	case "<=":
		return c == -1 || c == 0
	case ">":
		return c == 1
	}
	return c == 0 || c == 1
}

// binary is an arithmetic operator.
func (r *run) binary(op string, a, b any) any {
	for _, v := range []any{a, b} {
		if u, ok := v.(*Undefined); ok && op != "~" {
			r.lacks(u)
		}
	}
	switch {
	case op == "~":
		s, t := r.text(a), r.text(b)
		return r.made2(s, t)
	case isNumber(a) && isNumber(b):
		_, x := a.(float64)
		_, y := b.(float64)
		if x || y || op == "/" {
			return r.floats(op, asFloat(a), asFloat(b))
		}
		return r.ints(op, a, b)
	case op == "%":
		if s, ok := a.(string); ok {
			return r.format(s, b)
		}
	case op == "+":
		if s, ok := a.(string); ok {
			if t, ok := b.(string); ok {
				return r.made2(s, t)
			}
		}
		x, xok := sequence(a)
		y, yok := sequence(b)
		if xok && yok && kindOf(a) == kindOf(b) {
			return r.like(a, append(append(make([]any, 0, len(x)+len(y)), x...), y...))
		}
	case op == "*":
		if !isNumber(b) {
			a, b = b, a
		}
		if n, ok := b.(int64); ok {
			return r.repeat(a, max(n, 0))
		}
	}
	r.fail("%s does not go with %s and %s", op, r.short(a), r.short(b))
	return nil
}

func (r *run) made2(a, b string) string {
	r.spend(len(a) + len(b))
	return a + b
}

// like makes a list or tuple, whichever the first is.
func (r *run) like(first any, items []any) any {
	r.spend(16 * len(items))
	if _, ok := tupleOf(first); ok {
		return Tuple(items)
	}
	return &List{Items: items}
}

func (r *run) repeat(v any, n int64) any {
	if s, ok := v.(string); ok {
		r.fits(len(s), n)
		return strings.Repeat(s, int(n))
	}
	x, ok := sequence(v)
	if !ok {
		r.fail("* does not go with %s and %d", r.short(v), n)
	}
	r.fits(16*len(x), n)
	var out []any
	for range n {
		out = append(out, x...)
	}
	return r.like(v, out)
}

// fits spends for n times size bytes.
func (r *run) fits(size int, n int64) {
	if size > 0 && n > MaxOutput/int64(size) {
		r.spend(MaxOutput + 1)
	}
	r.spend(size * int(max(n, 0)))
}

func (r *run) ints(op string, a, b any) any {
	if i, ok := a.(int64); ok {
		if j, ok := b.(int64); ok && abs(i) < 1<<31 && abs(j) < 1<<31 {
			switch op {
			case "+":
				return i + j
			case "-":
				return i - j
			case "*":
				return i * j
			}
		}
	}
	x, _ := whole(a)
	y, _ := whole(b)
	z := new(big.Int)
	if (op == "//" || op == "%") && y.Sign() == 0 {
		r.fail("division by zero")
	}
	switch op {
	case "+":
		z.Add(x, y)
	case "-":
		z.Sub(x, y)
	case "*":
		z.Mul(x, y)
	case "//", "%": // Python rounds down: what is left has the sign of what is divided by
		m := new(big.Int)
		z.QuoRem(x, y, m)
		if m.Sign() != 0 && m.Sign() != y.Sign() {
			z.Sub(z, big.NewInt(1))
			m.Add(m, y)
		}
		if op == "%" {
			z = m
		}
	case "**":
		if y.Sign() < 0 {
			return r.floats(op, asFloat(a), asFloat(b))
		}
		if x.BitLen() > 1 && (!y.IsInt64() || y.Int64() > maxBits/int64(x.BitLen())) {
			r.fail("the number is too large")
		}
		if x.BitLen() <= 1 { // 0, 1 and -1, whatever the exponent
			y = new(big.Int).Add(new(big.Int).Mod(y, big.NewInt(2)), big.NewInt(2*int64(y.Sign())))
		}
		z.Exp(x, y, nil)
	}
	if z.BitLen() > maxBits {
		r.fail("the number is too large")
	}
	return small(z)
}

const maxBits = 3200 // of a whole number

func abs(i int64) int64 {
	if i < 0 {
		return -i
	}
	return i
}
