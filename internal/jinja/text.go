package jinja

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// text is a value as Python's str prints it.
func (r *run) text(v any) string {
	switch v := r.used(v).(type) {
	case string:
		return v
	case *Undefined:
		return ""
	}
	return r.repr(v)
}

// repr is a value as Python's repr prints it: text in quotes.
func (r *run) repr(v any) string {
	if s, ok := scalar(v); ok {
		return s
	}
	var b strings.Builder
	r.writeRepr(&b, v)
	return b.String()
}

// scalar prints what holds no other values.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "None", true
	case bool:
		if v {
			return "True", true
		}
		return "False", true
	case int64:
		return strconv.FormatInt(v, 10), true
	case *big.Int:
		return v.String(), true
	case float64:
		return pyFloat(v), true
	case *Undefined:
		return "Undefined", true
	case *Function:
		return "<function " + v.Name + ">", true
	}
	return "", false
}

func (r *run) writeRepr(b *strings.Builder, v any) {
	r.enter()
	defer r.leave()
	r.step()
	before := b.Len()
	switch v := v.(type) {
	case string:
		r.spend(len(v))
		b.WriteString(quoted(v))
	case *List:
		b.WriteByte('[')
		r.writeReprs(b, v.Items)
		b.WriteByte(']')
	case Tuple:
		b.WriteByte('(')
		r.writeReprs(b, v)
		if len(v) == 1 {
			b.WriteByte(',')
		}
		b.WriteByte(')')
	case named:
		r.writeRepr(b, v.Tuple)
	case *Dict:
		b.WriteByte('{')
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			r.writeRepr(b, k)
			b.WriteString(": ")
			r.writeRepr(b, v.values[i])
		}
		b.WriteByte('}')
	case Object:
		b.WriteString(v.String())
	default:
		s, _ := scalar(v)
		b.WriteString(s)
	}
	if b.Len() > MaxOutput {
		r.spend(MaxOutput + 1)
	}
	r.spend(min(b.Len()-before, 64))
}

func (r *run) writeReprs(b *strings.Builder, items []any) {
	for i, x := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		r.writeRepr(b, x)
	}
}

// quoted is a text as Python's repr prints it.
func quoted(s string) string {
	q := byte('\'')
	if strings.IndexByte(s, '\'') >= 0 && strings.IndexByte(s, '"') < 0 {
		q = '"'
	}
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte(q)
	for i, c := range s {
		switch {
		case c == rune(q) || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case c == ' ' || unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\U%08x`, c)
		}
	}
	b.WriteByte(q)
	return b.String()
}

// pyFloat is a float as Python prints it.
func pyFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	if e, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:]); e < -4 || e >= 16 {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// json is tojson: keys in order, and the characters that HTML minds escaped.
func (r *run) json(v any, indent string) string {
	var b strings.Builder
	r.writeJSON(&b, v, indent, "\n")
	return b.String()
}

func (r *run) writeJSON(b *strings.Builder, v any, indent, newline string) {
	r.enter()
	defer r.leave()
	r.step()
	if b.Len() > MaxOutput {
		r.spend(MaxOutput + 1)
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case string:
		r.spend(len(v))
		writeJSONText(b, v)
	case int64, *big.Int, float64:
		s, _ := scalar(v)
		switch s {
		case "nan":
			s = "NaN"
		case "inf":
			s = "Infinity"
		case "-inf":
			s = "-Infinity"
		}
		b.WriteString(s)
	case *List, Tuple, named:
		items, _ := sequence(v)
		r.writeJSONItems(b, "[]", len(items), indent, newline, func(i int, newline string) {
			r.writeJSON(b, items[i], indent, newline)
		})
	case *Dict:
		order := make([]int, len(v.keys))
		names := make([]string, len(v.keys))
		for i, k := range v.keys {
			order[i] = i
			if names[i] = r.text(k); k == nil {
				names[i] = "null"
			} else if t, ok := k.(bool); ok {
				names[i] = strconv.FormatBool(t)
			}
		}
		sort.Slice(order, func(i, j int) bool { return names[order[i]] < names[order[j]] })
		r.writeJSONItems(b, "{}", len(order), indent, newline, func(i int, newline string) {
			writeJSONText(b, names[order[i]])
			b.WriteString(": ")
			r.writeJSON(b, v.values[order[i]], indent, newline)
		})
	case json.Marshaler:
		whole, err := v.MarshalJSON()
		if err != nil {
			r.fail("%v", err)
		}
		d := json.NewDecoder(strings.NewReader(string(whole)))
		d.UseNumber()
		var x any
		if err := d.Decode(&x); err != nil {
			r.fail("%v", err)
		}
		r.writeJSON(b, From(x), indent, newline)
	case *Undefined:
		r.lacks(v)
	default:
		r.fail("%s cannot be written as JSON", r.short(v))
	}
}

func (r *run) writeJSONItems(b *strings.Builder, ends string, n int, indent, newline string, item func(i int, newline string)) {
	b.WriteByte(ends[0])
	inner := newline + indent
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
			if indent == "" {
				b.WriteByte(' ')
			}
		}
		if indent != "" {
			r.spend(len(inner))
			b.WriteString(inner)
		}
		item(i, inner)
	}
	if indent != "" && n > 0 {
		b.WriteString(newline)
	}
	b.WriteByte(ends[1])
}

func writeJSONText(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\b':
			b.WriteString(`\b`)
		case c == '\f':
			b.WriteString(`\f`)
		case c >= 0x10000:
			c -= 0x10000
			fmt.Fprintf(b, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
		case c < ' ' || c > '~' || c == '<' || c == '>' || c == '&' || c == '\'':
			fmt.Fprintf(b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
}
