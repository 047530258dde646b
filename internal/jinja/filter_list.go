package jinja

import (
	"slices"
	"strconv"
	"strings"
)

func listFilters() map[string]*Function {
	return map[string]*Function{
		"length": builtin("obj", func(r *run, a []any) any { return int64(r.length(a[0])) }),
		"first":  builtin("seq", func(r *run, a []any) any { return end(r.mustItems(a[0]), 0) }),
		"last":   builtin("seq", func(r *run, a []any) any { items := r.mustItems(a[0]); return end(items, len(items)-1) }),
		"list":   builtin("value", func(r *run, a []any) any { return r.like(nil, slices.Clone(r.mustItems(a[0]))) }),
		"join": builtin("value, d='', attribute=None", func(r *run, a []any) any {
			var items []any
			for _, x := range r.mustItems(a[0]) {
				items = append(items, r.part(x, a[2]))
			}
			return r.join(r.text(a[1]), items)
		}),
		"reverse": builtin("value", func(r *run, a []any) any {
			items := slices.Clone(r.mustItems(a[0]))
			slices.Reverse(items)
			if _, ok := a[0].(string); ok {
				return r.join("", items)
			}
			return r.like(nil, items)
		}),
		"sort": builtin("value, reverse=False, case_sensitive=False, attribute=None", func(r *run, a []any) any {
			items := slices.Clone(r.mustItems(a[0]))
			r.sort(items, func(x any) any { return r.sortKey(x, a[3], r.truth(a[2])) }, r.truth(a[1]))
			return r.like(nil, items)
		}),
		"unique": builtin("value, case_sensitive=False, attribute=None", func(r *run, a []any) any {
			var seen, out []any
			hashed := map[string]bool{}
			for _, x := range r.mustItems(a[0]) {
				k := r.folded(r.part(x, a[2]), r.truth(a[1]))
				h, ok := hash(k)
				if ok && !hashed[h] || !ok && !slices.ContainsFunc(seen, func(y any) bool { return r.equal(k, y) }) {
					out, seen = append(out, x), append(seen, k)
				}
				hashed[h] = ok
			}
			return r.like(nil, out)
		}),
		"min": builtin("value, case_sensitive=False, attribute=None", func(r *run, a []any) any { return r.extreme(a, -1) }),
		"max": builtin("value, case_sensitive=False, attribute=None", func(r *run, a []any) any { return r.extreme(a, 1) }),
		"sum": builtin("iterable, attribute=None, start=0", func(r *run, a []any) any {
			total := a[2]
			for _, x := range r.mustItems(a[0]) {
				r.step()
				total = r.binary("+", total, r.part(x, a[1]))
			}
			return total
		}),
		"batch":      builtin("value, linecount, fill_with=None", (*run).batch),
		"slice":      builtin("value, slices, fill_with=None", (*run).slices),
		"groupby":    builtin("value, attribute, default=None, case_sensitive=False", (*run).groupBy),
		"dictsort":   builtin("value, case_sensitive=False, by='key', reverse=False", (*run).dictSort),
		"items":      builtin("value", func(r *run, a []any) any { return r.pairs(a[0]) }),
		"map":        builtin("value, *args, **kwargs", (*run).mapped),
		"select":     builtin("value, *args, **kwargs", func(r *run, a []any) any { return r.choose(a, false, true) }),
		"reject":     builtin("value, *args, **kwargs", func(r *run, a []any) any { return r.choose(a, false, false) }),
		"selectattr": builtin("value, *args, **kwargs", func(r *run, a []any) any { return r.choose(a, true, true) }),
		"rejectattr": builtin("value, *args, **kwargs", func(r *run, a []any) any { return r.choose(a, true, false) }),
	}
}

func end(items []any, at int) any {
	if len(items) == 0 {
		return &Undefined{name: "first or last of an empty list"}
	}
	return items[at]
}

// part looks up an attribute such as "a.b" or 0; the value itself for None.
func (r *run) part(v, path any) any {
	if i, ok := path.(int64); ok {
		return r.item(v, i)
	}
	if path == nil {
		return v
	}
	for name := range strings.SplitSeq(r.text(path), ".") {
		r.step()
		if i, err := strconv.ParseInt(name, 10, 64); err == nil {
			v = r.item(v, i)
		} else {
			v = r.item(v, name)
		}
	}
	return v
}

func (r *run) folded(v any, caseSensitive bool) any {
	if s, ok := v.(string); ok && !caseSensitive {
		return strings.ToLower(s)
	}
	return v
}

func (r *run) sortKey(v, attribute any, caseSensitive bool) any {
	path, ok := attribute.(string)
	if !ok || !strings.Contains(path, ",") {
		return r.folded(r.part(v, attribute), caseSensitive)
	}
	var all Tuple
	for p := range strings.SplitSeq(path, ",") {
		all = append(all, r.folded(r.part(v, p), caseSensitive))
	}
	return all
}

// sort orders items by what key says of them; equal ones keep their order.
func (r *run) sort(items []any, key func(any) any, reverse bool) {
	type keyed struct{ key, item any }
	all := make([]keyed, len(items))
	for i, x := range items {
		all[i] = keyed{key(x), x}
	}
	slices.SortStableFunc(all, func(x, y keyed) int {
		if reverse {
			x, y = y, x
		}
		return r.compare(x.key, y.key)
	})
	for i := range all {
		items[i] = all[i].item
	}
}

func (r *run) extreme(a []any, want int) any {
	items := r.mustItems(a[0])
	if len(items) == 0 {
		return &Undefined{name: "min or max of an empty list"}
	}
	key := func(x any) any { return r.folded(r.part(x, a[2]), r.truth(a[1])) }
	best := items[0]
	for _, x := range items[1:] {
		if r.compare(key(x), key(best)) == want {
			best = x
		}
	}
	return best
}

// join is text.join(items).
func (r *run) join(between string, items []any) string {
	r.fits(len(between), int64(len(items)))
	var b strings.Builder
	for i, x := range items {
		if i > 0 {
			b.WriteString(between)
		}
		s := r.text(x)
		r.spend(len(s))
		b.WriteString(s)
		if b.Len() > MaxOutput {
			r.spend(MaxOutput + 1)
		}
	}
	return b.String()
}

func (r *run) batch(a []any) any {
	n := int(r.whole(a[1]))
	if n < 1 {
		r.fail("batch needs a count of 1 or more")
	}
	var out []any
	for part := range slices.Chunk(r.mustItems(a[0]), n) {
		items := slices.Clone(part)
		if a[2] != nil {
			r.fits(16, int64(n-len(items)))
			for len(items) < n {
				items = append(items, a[2])
			}
		}
		out = append(out, r.like(nil, items))
	}
	return r.like(nil, out)
}

func (r *run) slices(a []any) any {
	items := r.mustItems(a[0])
	n := int(r.whole(a[1]))
	if n < 1 || n > 10_000 {
		r.fail("slice needs a count from 1 to 10000")
	}
	var out []any
	per, extra, at := len(items)/n, len(items)%n, 0
	for i := range n {
		size := per
		if i < extra {
			size++
		}
		part := slices.Clone(items[at : at+size])
		at += size
		if a[2] != nil && i >= extra {
			part = append(part, a[2])
		}
		out = append(out, r.like(nil, part))
	}
	return r.like(nil, out)
}

func (r *run) groupBy(a []any) any {
	key := func(x any) any {
		v := r.part(x, a[1])
		if _, missing := v.(*Undefined); missing && a[2] != nil {
			v = a[2]
		}
		return v
	}
	fold := func(x any) any { return r.folded(key(x), r.truth(a[3])) }
	items := slices.Clone(r.mustItems(a[0]))
	r.sort(items, fold, false)
	var out []any
	for i := 0; i < len(items); {
		j := i + 1
		for j < len(items) && r.equal(fold(items[i]), fold(items[j])) {
			j++
		}
		out = append(out, named{Tuple{key(items[i]), r.like(nil, slices.Clone(items[i:j]))}, []string{"grouper", "list"}})
		i = j
	}
	return r.like(nil, out)
}

func (r *run) pairs(v any) any {
	if _, missing := r.used(v).(*Undefined); missing {
		return &List{}
	}
	d, ok := v.(*Dict)
	if !ok {
		r.fail("%s is no mapping", r.short(v))
	}
	r.spend(64 * len(d.keys))
	out := make([]any, len(d.keys))
	for i, k := range d.keys {
		out[i] = Tuple{k, d.values[i]}
	}
	return &List{Items: out}
}

func (r *run) dictSort(a []any) any {
	by := int64(0)
	switch s := r.text(a[2]); s {
	case "key":
	case "value":
		by = 1
	default:
		r.fail("dictsort sorts by key or value, not %q", s)
	}
	l := r.pairs(a[0]).(*List)
	r.sort(l.Items, func(x any) any { return r.folded(x.(Tuple)[by], r.truth(a[1])) }, r.truth(a[3]))
	return l
}

// mapped is map: an attribute of each item, or a filter on it.
func (r *run) mapped(a []any) any {
	args, named := a[1].(Tuple), a[2].(*Dict)
	var f func(any) any
	if path, ok := named.get("attribute"); ok && len(args) == 0 {
		other, hasOther := named.get("default")
		f = func(x any) any {
			v := r.part(x, path)
			if _, missing := v.(*Undefined); missing && hasOther {
				return other
			}
			return v
		}
	} else {
		if len(args) == 0 {
			r.fail("map takes a filter's name, or attribute=…")
		}
		fn := filterNamed(r.text(args[0]))
		if fn == nil {
			r.fail("no filter %q%s", r.text(args[0]), hintFilter(r.text(args[0])))
		}
		f = func(x any) any { return r.callValue(fn, append([]any{x}, args[1:]...), named) }
	}
	var out []any
	for _, x := range r.mustItems(a[0]) {
		r.step()
		out = append(out, f(x))
	}
	return r.like(nil, out)
}

// choose is select and its kin: the items, or those whose attribute, pass a test.
func (r *run) choose(a []any, byAttribute, want bool) any {
	args, names := a[1].(Tuple), a[2].(*Dict)
	var path any
	if byAttribute {
		if len(args) == 0 {
			r.fail("selectattr and rejectattr take an attribute's name")
		}
		path, args = args[0], args[1:]
	}
	pass := func(x any) bool { return r.truth(x) }
	if len(args) > 0 {
		fn := testNamed(r.text(args[0]))
		if fn == nil {
			r.fail("no test %q%s", r.text(args[0]), hintTest(r.text(args[0])))
		}
		pass = func(x any) bool { return r.truth(r.callValue(fn, append([]any{x}, args[1:]...), names)) }
	}
	var out []any
	for _, x := range r.mustItems(a[0]) {
		r.step()
		if pass(r.part(x, path)) == want {
			out = append(out, x)
		}
	}
	return r.like(nil, out)
}
