package jinja

import (
	"math/big"
	"strings"
)

// tests are what can stand behind "is". It is set by init, as some of them look others up.
var tests map[string]*Function

func init() {
	check := func(signature string, f func(r *run, a []any) bool) *Function {
		return builtin(signature, func(r *run, a []any) any { return f(r, a) })
	}
	compared := func(op string) *Function {
		return check("value, other", func(r *run, a []any) bool { return r.comparison(op, a[0], a[1]) })
	}
	kind := func(names ...string) *Function {
		return check("value", func(r *run, a []any) bool {
			_, missing := a[0].(*Undefined)
			for _, n := range names {
				if !missing && kindOf(a[0]) == n {
					return true
				}
			}
			return false
		})
	}
	missing := func(v any) bool { _, ok := v.(*Undefined); return ok }
	rest := func(r *run, v, by any) any { return r.binary("%", v, by) }
	tests = table(map[string]*Function{
		"defined":   check("value", func(_ *run, a []any) bool { return !missing(a[0]) }),
		"undefined": check("value", func(_ *run, a []any) bool { return missing(a[0]) }),
		"none":      kind("None"), "string": kind("str"), "mapping": kind("dict"), "boolean": kind("bool"),
		"integer": kind("int"), "float": kind("float"), "number": kind("int", "float", "bool"),
		"sequence": check("value", func(r *run, a []any) bool {
			switch a[0].(type) {
			case string, *List, Tuple, named, *Dict, *Undefined:
				return true
			}
			return false
		}),
		"iterable": check("value", func(r *run, a []any) bool { _, ok := r.items(a[0]); return ok }),
		"callable": check("value", func(_ *run, a []any) bool { _, ok := a[0].(*Function); return ok }),
		"true":     check("value", func(_ *run, a []any) bool { return a[0] == true }),
		"false":    check("value", func(_ *run, a []any) bool { return a[0] == false }),
		"even":     check("value", func(r *run, a []any) bool { return r.equal(rest(r, a[0], int64(2)), int64(0)) }),
		"odd":      check("value", func(r *run, a []any) bool { return r.equal(rest(r, a[0], int64(2)), int64(1)) }),
		"divisibleby": check("value, num", func(r *run, a []any) bool {
			return r.equal(rest(r, a[0], a[1]), int64(0))
		}),
		"lower":  check("value", func(r *run, a []any) bool { return isCase(r.text(a[0]), strings.ToLower) }),
		"upper":  check("value", func(r *run, a []any) bool { return isCase(r.text(a[0]), strings.ToUpper) }),
		"sameas": check("value, other", func(r *run, a []any) bool { return r.sameAs(a[0], a[1]) }),
		"escaped": check("value", func(*run, []any) bool {
			return false // nothing is, as nothing is escaped by itself
		}),
		"filter": check("value", func(r *run, a []any) bool { return filters[r.text(a[0])] != nil }),
		"test":   check("value", func(r *run, a []any) bool { return tests[r.text(a[0])] != nil }),
		"eq":     compared("=="), "ne": compared("!="), "lt": compared("<"), "le": compared("<="), "gt": compared(">"), "ge": compared(">="),
		"in": check("value, seq", func(r *run, a []any) bool { return r.contains(a[1], a[0]) }),
	}, map[string]string{
		"equalto": "eq", "==": "eq", "!=": "ne", "<": "lt", "lessthan": "lt", "<=": "le", ">": "gt", "greaterthan": "gt", ">=": "ge",
	})
}

// isCase reports whether a text has letters, and all of them are as to makes them.
func isCase(s string, to func(string) string) bool {
	return s == to(s) && strings.ToLower(s) != strings.ToUpper(s)
}

func (r *run) sameAs(a, b any) bool {
	if kindOf(a) != kindOf(b) {
		return false
	}
	switch x := a.(type) {
	case *List:
		return x == b.(*List)
	case *Dict:
		return x == b.(*Dict)
	case *big.Int, Tuple, named:
		return false
	}
	return r.equal(a, b)
}
