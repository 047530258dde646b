package jinja

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// text is a value as Python's str prints it.
func (b *budget) text(v any) string {
	if s, ok := v.(string); ok || v == nil {
		return s
	}
	var w strings.Builder
	b.repr(&w, v, 0)
	return w.String()
}

func (b *budget) texts(items []any) []string {
	out := make([]string, len(items))
	for i, x := range items {
		out[i] = b.text(x)
	}
	return out
}

// repr writes a value as Python's repr prints it: text in quotes.
func (b *budget) repr(w *strings.Builder, v any, depth int) {
	b.spend(0)
	if depth > maxNested || w.Len() > MaxOutput {
		b.spend(MaxOutput + 1)
	}
	if d, ok := mapping(v); ok {
		w.WriteByte('{')
		for i, p := range d.Pairs {
			w.WriteString(", "[:2*min(i, 1)])
			b.repr(w, p.Key.Interface(), depth+1)
			w.WriteString(": ")
			b.repr(w, p.Value.Interface(), depth+1)
		}
		w.WriteByte('}')
	} else if items, ok := sequence(v); ok {
		ends := "[]"
		if isTuple(v) {
			ends = "()"
		}
		w.WriteByte(ends[0])
		for i, x := range items {
			w.WriteString(", "[:2*min(i, 1)])
			b.repr(w, x, depth+1)
		}
		if ends == "()" && len(items) == 1 {
			w.WriteByte(',')
		}
		w.WriteByte(ends[1])
	} else if s, ok := v.(string); ok {
		b.spend(len(s))
		w.WriteString(quote(s))
	} else if v == nil {
		w.WriteString("Undefined")
	} else {
		w.WriteString(oddNumbers.Replace(exec.AsValue(v).String()))
	}
}

var oddNumbers = strings.NewReplacer("NaN", "nan", "+Inf", "inf", "-Inf", "-inf")

// quote is a text as Python's repr prints it.
func quote(s string) string {
	q := strconv.Quote(s)
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return q
	}
	return "'" + strings.ReplaceAll(strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`), "'", `\'`) + "'"
}

// json is tojson: keys in order, a blank behind : and , and the characters that HTML minds escaped.
func (b *budget) json(v any, indent int) string {
	whole, err := json.Marshal(plain(v))
	var ordered any // of objects, too
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(whole))
		d.UseNumber()
		err = d.Decode(&ordered)
	}
	if err == nil && indent > 0 {
		whole, err = json.MarshalIndent(ordered, "", strings.Repeat(" ", indent))
	} else if err == nil {
		whole, err = json.Marshal(ordered)
		whole = spaced(whole)
	}
	if err != nil {
		b.fail("this cannot be written as JSON: %v", err)
	}
	return strings.ReplaceAll(string(whole), "'", `\u0027`)
}

// spaced adds a blank behind the commas and colons that are outside of texts.
func spaced(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/8)
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		out = append(out, c)
		switch {
		case quoted && c == '\\':
			i++
			out = append(out, text[i])
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}

// verbs are the places that % fills: key, flags, width and precision, kind.
var verbs = regexp.MustCompile(`%(?:\(([^)]*)\))?([-+ #0]*)(\d*)(\.\d*)?[hlL]?(.?)`)

// percent is text % values.
func (b *budget) percent(format string, v any) string {
	args, ok := sequence(v)
	if !ok || !isTuple(v) {
		args = []any{v}
	}
	d, isDict := mapping(v)
	used, made := 0, 0
	out := verbs.ReplaceAllStringFunc(format, func(place string) string {
		m := verbs.FindStringSubmatch(place)
		if m[5] == "%" {
			return "%"
		}
		if len(m[3]) > 4 || len(m[4]) > 5 {
			b.fail("the width of %s is too large", place)
		}
		var x any
		if named, ok := find(d, m[1]); isDict && ok {
			x, used = named.Interface(), len(args)
		} else if used++; used <= len(args) && !strings.HasPrefix(place, "%(") {
			x = args[used-1]
		} else {
			b.fail("the format has more places than there are values")
		}
		s := b.verb("%"+m[2]+m[3]+m[4], m[5], x)
		if made += len(s); made > MaxOutput {
			b.spend(made)
		}
		return s
	})
	if used < len(args) && !isDict {
		b.fail("the format has fewer places than there are values")
	}
	return out
}

// verb prints one value by a verb of Python's, which Go has nearly all of.
func (b *budget) verb(flags, kind string, v any) string {
	i, isWhole := whole(v)
	f, isReal := real(v)
	if !isWhole && isReal && math.Abs(f) < 1<<53 {
		i, isWhole = int(f), true
	}
	switch {
	case kind == "s":
		return fmt.Sprintf(flags+"s", b.text(v))
	case kind == "r":
		var w strings.Builder
		b.repr(&w, v, 0)
		return fmt.Sprintf(flags+"s", w.String())
	case kind == "" || !isReal:
	case strings.Contains("diu", kind) && isWhole:
		return fmt.Sprintf(flags+"d", i)
	case strings.Contains("xXoc", kind) && isWhole:
		return fmt.Sprintf(flags+kind, i)
	case strings.Contains("eEfgG", kind):
		return fmt.Sprintf(flags+kind, f)
	}
	b.fail("the format %s%s does not take %s", flags, kind, kindOf(v))
	return ""
}
