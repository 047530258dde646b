package jinja

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// method returns a method of a value, bound to it; nil for none.
func (r *run) method(v any, name string) *Function {
	var m *Function
	switch v.(type) {
	case string:
		m = textMethods[name]
	case *List:
		m = listMethods[name]
	case *Dict:
		m = dictMethods[name]
	case Tuple:
		if name == "index" || name == "count" {
			m = listMethods[name]
		}
	}
	if m == nil {
		return nil
	}
	bound := *m
	bound.params = m.params[1:]
	bound.call = func(r *run, args []any) any { return m.call(r, append([]any{v}, args...)) }
	return &bound
}

// textMethods, listMethods and dictMethods have the value itself as their first parameter.
var textMethods, listMethods, dictMethods map[string]*Function

func init() {
	on := func(f func(string) string) *Function {
		return builtin("s", func(r *run, a []any) any { return r.grown(f(a[0].(string))) })
	}
	is := func(f func(string) bool) *Function {
		return builtin("s", func(_ *run, a []any) any { return f(a[0].(string)) })
	}
	all := func(f func(rune) bool) *Function {
		return is(func(s string) bool { return s != "" && strings.IndexFunc(s, func(c rune) bool { return !f(c) }) < 0 })
	}
	stripped := func(left, right bool) *Function {
		return builtin("s, chars=None", func(_ *run, a []any) any { return strip(a[0].(string), a[1], left, right) })
	}
	found := func(last, must bool) *Function {
		return builtin("s, sub, start=0, end=None", func(r *run, a []any) any { return r.find(a, last, must) })
	}
	justified := func(align byte) *Function {
		return builtin("s, width, fillchar=' '", func(r *run, a []any) any { return r.justify(a[0].(string), a[1], r.text(a[2]), align) })
	}
	ends := func(f func(s, x string) bool) *Function {
		return builtin("s, x", func(r *run, a []any) any {
			those := []any{a[1]}
			if t, ok := tupleOf(a[1]); ok {
				those = t
			}
			return slices.ContainsFunc(those, func(x any) bool { return f(a[0].(string), r.text(x)) })
		})
	}
	textMethods = table(map[string]*Function{
		"upper": on(strings.ToUpper), "lower": on(strings.ToLower), "casefold": on(strings.ToLower), "capitalize": on(capitalized),
		"title": on(titled), "swapcase": on(func(s string) string { return strings.Map(swapped, s) }),
		"strip": stripped(true, true), "lstrip": stripped(true, false), "rstrip": stripped(false, true),
		"isdigit": all(unicode.IsDigit), "isdecimal": all(unicode.IsDigit), "isnumeric": all(unicode.IsNumber), "isalpha": all(unicode.IsLetter),
		"isalnum": all(func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }), "isspace": all(unicode.IsSpace),
		"isupper":    is(func(s string) bool { return isCase(s, strings.ToUpper) }),
		"islower":    is(func(s string) bool { return isCase(s, strings.ToLower) }),
		"istitle":    is(func(s string) bool { return s == titled(s) && strings.ToLower(s) != s }),
		"startswith": ends(strings.HasPrefix), "endswith": ends(strings.HasSuffix),
		"find": found(false, false), "rfind": found(true, false), "index": found(false, true), "rindex": found(true, true),
		"count":        builtin("s, sub", func(r *run, a []any) any { return int64(strings.Count(a[0].(string), r.text(a[1]))) }),
		"removeprefix": builtin("s, x", func(r *run, a []any) any { return strings.TrimPrefix(a[0].(string), r.text(a[1])) }),
		"removesuffix": builtin("s, x", func(r *run, a []any) any { return strings.TrimSuffix(a[0].(string), r.text(a[1])) }),
		"replace": builtin("s, old, new, count=-1", func(r *run, a []any) any {
			return r.replace(a[0].(string), r.text(a[1]), r.text(a[2]), a[3])
		}),
		"join":       builtin("s, items", func(r *run, a []any) any { return r.join(a[0].(string), r.texts(a[1])) }),
		"split":      builtin("s, sep=None, maxsplit=-1", func(r *run, a []any) any { return r.split(a, false) }),
		"rsplit":     builtin("s, sep=None, maxsplit=-1", func(r *run, a []any) any { return r.split(a, true) }),
		"splitlines": builtin("s, keepends=False", func(r *run, a []any) any { return r.lines(a[0].(string), r.truth(a[1])) }),
		"partition":  builtin("s, sep", func(r *run, a []any) any { return r.partition(a, strings.Index) }),
		"rpartition": builtin("s, sep", func(r *run, a []any) any { return r.partition(a, strings.LastIndex) }),
		"center":     builtin("s, width, fillchar=' '", func(r *run, a []any) any { return r.centered(a[0].(string), a[1], r.text(a[2])) }),
		"ljust":      justified('<'), "rjust": justified('>'),
		"zfill": builtin("s, width", func(r *run, a []any) any {
			s, sign := a[0].(string), ""
			if s != "" && (s[0] == '-' || s[0] == '+') {
				sign, s = s[:1], s[1:]
			}
			return sign + r.justify(s, r.whole(a[1])-int64(len(sign)), "0", '>')
		}),
		"expandtabs": builtin("s, tabsize=8", func(r *run, a []any) any { return r.expandTabs(a[0].(string), r.whole(a[1])) }),
		"format":     builtin("s, *args, **kwargs", func(r *run, a []any) any { return r.braces(a[0].(string), a[1].(Tuple), a[2].(*Dict)) }),
		"format_map": builtin("s, mapping", func(r *run, a []any) any {
			d, ok := a[1].(*Dict)
			if !ok {
				r.fail("format_map takes a mapping")
			}
			return r.braces(a[0].(string), nil, d)
		}),
	}, nil)
	listMethods = table(newListMethods(), nil)
	dictMethods = table(newDictMethods(), nil)
}

func titled(s string) string {
	letter := false
	return strings.Map(func(c rune) rune {
		before := letter
		letter = unicode.IsLetter(c)
		if before {
			return unicode.ToLower(c)
		}
		return unicode.ToUpper(c)
	}, s)
}

func swapped(c rune) rune {
	if unicode.IsUpper(c) {
		return unicode.ToLower(c)
	}
	return unicode.ToUpper(c)
}

// texts returns items that must all be text.
func (r *run) texts(v any) []any {
	items := r.mustItems(v)
	for _, x := range items {
		if _, ok := x.(string); !ok {
			r.fail("join takes a list of texts, and %s is none: the filter join takes any", r.short(x))
		}
	}
	return items
}

func (r *run) find(a []any, last, must bool) any {
	runes := []any{}
	for _, c := range a[0].(string) {
		runes = append(runes, string(c))
	}
	start := r.whole(a[2])
	stop := int64(len(runes))
	if a[3] != nil {
		stop = r.whole(a[3])
	}
	if start < 0 {
		start = max(start+int64(len(runes)), 0)
	}
	part := r.join("", r.cut(runes, &start, &stop, nil))
	find := strings.Index
	if last {
		find = strings.LastIndex
	}
	at := find(part, r.text(a[1]))
	if at < 0 {
		if must {
			r.fail("%q is not in the text", r.text(a[1]))
		}
		return int64(-1)
	}
	return start + int64(utf8.RuneCountInString(part[:at]))
}

func (r *run) justify(s string, width any, fill string, align byte) string {
	n := r.whole(width) - int64(utf8.RuneCountInString(s))
	if n <= 0 {
		return s
	}
	r.fits(len(fill), n)
	if align == '<' {
		return s + strings.Repeat(fill, int(n))
	}
	return strings.Repeat(fill, int(n)) + s
}

func (r *run) split(a []any, fromEnd bool) any {
	s, n := a[0].(string), int(r.whole(a[2]))
	r.spend(2 * len(s))
	var parts []string
	if a[1] == nil {
		parts = splitBlanks(s, n, fromEnd)
	} else {
		sep := r.text(a[1])
		if sep == "" {
			r.fail("split needs a text to split at that is not empty")
		}
		parts = strings.Split(s, sep)
		if over := len(parts) - 1 - n; n >= 0 && over > 0 {
			if fromEnd {
				parts = append([]string{strings.Join(parts[:over+1], sep)}, parts[over+1:]...)
			} else {
				parts = append(parts[:n:n], strings.Join(parts[n:], sep))
			}
		}
	}
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return r.like(nil, out)
}

func splitBlanks(s string, n int, fromEnd bool) []string {
	var parts []string
	for n != 0 {
		if fromEnd {
			s = strings.TrimRightFunc(s, unicode.IsSpace)
		} else {
			s = strings.TrimLeftFunc(s, unicode.IsSpace)
		}
		i := strings.IndexFunc(s, unicode.IsSpace)
		if fromEnd {
			i = strings.LastIndexFunc(s, unicode.IsSpace)
		}
		if i < 0 {
			break
		}
		if fromEnd {
			parts, s = append(parts, s[i+1:]), s[:i]
		} else {
			parts, s = append(parts, s[:i]), s[i:]
		}
		n--
	}
	if fromEnd {
		s = strings.TrimRightFunc(s, unicode.IsSpace)
	} else {
		s = strings.TrimLeftFunc(s, unicode.IsSpace)
	}
	if s != "" {
		parts = append(parts, s)
	}
	if fromEnd {
		slices.Reverse(parts)
	}
	return parts
}

func (r *run) lines(s string, keep bool) any {
	r.spend(2 * len(s))
	var out []any
	for line := range strings.Lines(s) {
		if !keep {
			line = strings.TrimRight(line, "\r\n")
		}
		out = append(out, line)
	}
	return r.like(nil, out)
}

func (r *run) partition(a []any, find func(s, sep string) int) any {
	s, sep := a[0].(string), r.text(a[1])
	if at := find(s, sep); at >= 0 && sep != "" {
		return Tuple{s[:at], sep, s[at+len(sep):]}
	}
	return Tuple{s, "", ""}
}

func (r *run) expandTabs(s string, size int64) string {
	r.fits(int(max(size, 1)), int64(strings.Count(s, "\t")))
	var b strings.Builder
	column := int64(0)
	for _, c := range s {
		switch {
		case c == '\t':
			for n := size - column%max(size, 1); size > 0 && n > 0; n-- {
				b.WriteByte(' ')
				column++
			}
			continue
		case c == '\n' || c == '\r':
			column = -1
		}
		column++
		b.WriteRune(c)
	}
	return r.grown(b.String())
}

// own returns a list that may be changed.
func (r *run) own(v any) *List {
	l := v.(*List)
	if l.frozen {
		r.fail("the list is not the template's own and cannot be changed: change a copy")
	}
	return l
}

func newListMethods() map[string]*Function {
	changes := func(signature string, f func(r *run, l *List, a []any) any) *Function {
		return builtin(signature, func(r *run, a []any) any {
			l := r.own(a[0])
			v := f(r, l, a)
			r.spend(16)
			return v
		})
	}
	at := func(r *run, l *List, v any, n int) int {
		i := r.whole(v)
		if i < 0 {
			i += int64(len(l.Items))
		}
		return int(min(max(i, 0), int64(n)))
	}
	return map[string]*Function{
		"append": changes("l, x", func(r *run, l *List, a []any) any { l.Items = append(l.Items, a[1]); return nil }),
		"extend": changes("l, more", func(r *run, l *List, a []any) any {
			more := r.mustItems(a[1])
			r.spend(16 * len(more))
			l.Items = append(l.Items, more...)
			return nil
		}),
		"insert": changes("l, i, x", func(r *run, l *List, a []any) any {
			r.spend(16 * len(l.Items))
			l.Items = slices.Insert(l.Items, at(r, l, a[1], len(l.Items)), a[2])
			return nil
		}),
		"pop": changes("l, i=-1", func(r *run, l *List, a []any) any {
			if len(l.Items) == 0 {
				r.fail("pop from an empty list")
			}
			i := at(r, l, a[1], len(l.Items)-1)
			x := l.Items[i]
			l.Items = slices.Delete(slices.Clone(l.Items), i, i+1)
			r.spend(16 * len(l.Items))
			return x
		}),
		"remove": changes("l, x", func(r *run, l *List, a []any) any {
			i := slices.IndexFunc(l.Items, func(y any) bool { return r.equal(a[1], y) })
			if i < 0 {
				r.fail("%s is not in the list", r.short(a[1]))
			}
			l.Items = slices.Delete(slices.Clone(l.Items), i, i+1)
			r.spend(16 * len(l.Items))
			return nil
		}),
		"reverse": changes("l", func(r *run, l *List, a []any) any { slices.Reverse(l.Items); return nil }),
		"clear":   changes("l", func(r *run, l *List, a []any) any { l.Items = nil; return nil }),
		"sort": changes("l, reverse=False", func(r *run, l *List, a []any) any {
			r.sort(l.Items, func(x any) any { return x }, r.truth(a[1]))
			return nil
		}),
		"copy": builtin("l", func(r *run, a []any) any { return r.like(nil, slices.Clone(a[0].(*List).Items)) }),
		"index": builtin("l, x", func(r *run, a []any) any {
			items, _ := sequence(a[0])
			i := slices.IndexFunc(items, func(y any) bool { return r.equal(a[1], y) })
			if i < 0 {
				r.fail("%s is not in the list", r.short(a[1]))
			}
			return int64(i)
		}),
		"count": builtin("l, x", func(r *run, a []any) any {
			items, _ := sequence(a[0])
			n := int64(0)
			for _, y := range items {
				if r.equal(a[1], y) {
					n++
				}
			}
			return n
		}),
	}
}

func newDictMethods() map[string]*Function {
	changes := func(signature string, f func(r *run, d *Dict, a []any) any) *Function {
		return builtin(signature, func(r *run, a []any) any {
			d := a[0].(*Dict)
			if d.frozen {
				r.fail("the mapping is not the template's own and cannot be changed: change a copy")
			}
			r.spend(64)
			return f(r, d, a)
		})
	}
	return map[string]*Function{
		"get": builtin("d, key, default=None", func(_ *run, a []any) any {
			if v, ok := a[0].(*Dict).get(a[1]); ok {
				return v
			}
			return a[2]
		}),
		"keys":   builtin("d", func(r *run, a []any) any { return r.like(nil, slices.Clone(a[0].(*Dict).keys)) }),
		"values": builtin("d", func(r *run, a []any) any { return r.like(nil, slices.Clone(a[0].(*Dict).values)) }),
		"items":  builtin("d", func(r *run, a []any) any { return r.pairs(a[0]) }),
		"copy": builtin("d", func(r *run, a []any) any {
			r.spend(64 * len(a[0].(*Dict).keys))
			return a[0].(*Dict).copy()
		}),
		"update": changes("d, *other, **more", func(r *run, d *Dict, a []any) any {
			for _, from := range a[1].(Tuple) {
				r.update(d, from)
			}
			r.update(d, a[2])
			return nil
		}),
		"setdefault": changes("d, key, default=None", func(r *run, d *Dict, a []any) any {
			if v, ok := d.get(a[1]); ok {
				return v
			}
			if !d.set(a[1], a[2]) {
				r.fail("%s cannot be a key", r.short(a[1]))
			}
			return a[2]
		}),
		"pop": changes("d, key, *default", func(r *run, d *Dict, a []any) any {
			if v, ok := d.get(a[1]); ok {
				d.remove(a[1])
				return v
			}
			if rest := a[2].(Tuple); len(rest) > 0 {
				return rest[0]
			}
			r.fail("no key %s%s", r.repr(a[1]), hint(r.text(a[1]), d.names()))
			return nil
		}),
		"clear": changes("d", func(_ *run, d *Dict, _ []any) any { *d = *newDict(); return nil }),
	}
}
