package jinja

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

func (r *run) floats(op string, x, y float64) any {
	if y == 0 && (op == "/" || op == "//" || op == "%") || op == "**" && x == 0 && y < 0 {
		r.fail("division by zero")
	}
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
	p := math.Pow(x, y)
	if math.IsInf(p, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) || math.IsNaN(p) && !math.IsNaN(x) && !math.IsNaN(y) {
		r.fail("%v ** %v is no number", x, y)
	}
	return p
}

// place is one of those that % fills: the key, flags, width, precision, kind.
var place = regexp.MustCompile(`%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.?)`)

// format is text % values.
func (r *run) format(s string, v any) string {
	args, isTuple := tupleOf(v)
	if !isTuple {
		args = Tuple{v}
	}
	used := 0
	next := func() any {
		if used == len(args) {
			r.fail("the format has more places than there are values")
		}
		used++
		return args[used-1]
	}
	var b strings.Builder
	at := 0
	for _, m := range place.FindAllStringSubmatchIndex(s, -1) {
		r.step()
		b.WriteString(s[at:m[0]])
		at = m[1]
		part := func(i int) string {
			if m[2*i] < 0 {
				return ""
			}
			return s[m[2*i]:m[2*i+1]]
		}
		f := spec{flags: part(2), kind: part(5), precision: -1}
		if f.kind == "%" {
			b.WriteByte('%')
			continue
		}
		f.width = r.width(part(3), next)
		if m[8] >= 0 {
			f.precision = r.width(part(4), next)
		}
		var x any
		if m[2] >= 0 {
			d, ok := v.(*Dict)
			if !ok {
				r.fail("the format has names, so it needs a mapping")
			}
			if x, ok = d.get(part(1)); !ok {
				r.fail("the format has a place for %q, which is not there%s", part(1), hint(part(1), d.names()))
			}
			used = len(args)
		} else {
			x = next()
		}
		out := r.percent(&f, x)
		r.spend(len(out))
		if b.WriteString(out); b.Len() > MaxOutput {
			r.spend(MaxOutput + 1)
		}
	}
	if _, mapping := v.(*Dict); used < len(args) && !mapping {
		r.fail("the format has fewer places than there are values")
	}
	b.WriteString(s[at:])
	return b.String()
}

func (r *run) width(s string, next func() any) int {
	n := 0
	if s == "*" {
		i, ok := next().(int64)
		if !ok {
			r.fail("a width must be a whole number")
		}
		n = int(max(min(i, math.MaxInt32), -math.MaxInt32))
	} else if s != "" {
		n, _ = strconv.Atoi(s)
	}
	if n > 10_000 || n < -10_000 {
		r.fail("a width of %d is too large", n)
	}
	return n
}

// A spec says how to print one value.
type spec struct {
	flags            string
	fill             rune
	align            byte // < > ^ =
	sign             byte
	width, precision int
	comma            byte
	kind             string
}

// percent prints one value as % does.
func (r *run) percent(f *spec, v any) string {
	f.fill, f.align = ' ', '>'
	switch {
	case strings.Contains(f.flags, "-"):
		f.align = '<'
	case strings.Contains(f.flags, "0"):
		f.fill, f.align = '0', '='
	}
	if f.width < 0 {
		f.width, f.align, f.fill = -f.width, '<', ' '
	}
	switch {
	case strings.Contains(f.flags, "+"):
		f.sign = '+'
	case strings.Contains(f.flags, " "):
		f.sign = ' '
	}
	switch f.kind {
	case "s", "r", "a":
		s := r.text(v)
		if f.kind != "s" {
			s = r.repr(v)
		}
		if f.align == '=' {
			f.align, f.fill = '>', ' '
		}
		return pad(f, "", cutRunes(s, f.precision))
	case "c":
		if s, ok := v.(string); ok && utf8.RuneCountInString(s) == 1 {
			return pad(f, "", s)
		}
		if n, ok := v.(int64); ok && n >= 0 && n <= utf8.MaxRune {
			return pad(f, "", string(rune(n)))
		}
		r.fail("%%c takes one character")
	case "d", "i", "u", "x", "X", "o", "e", "E", "f", "F", "g", "G":
		if !isNumber(v) {
			r.fail("%%%s takes a number, not %s", f.kind, r.short(v))
		}
		return r.number(f, v)
	}
	r.fail("the format has the kind %q, which is not there", f.kind)
	return ""
}

// number prints a number as f says.
func (r *run) number(f *spec, v any) string {
	sign, digits := "", ""
	switch f.kind {
	case "d", "i", "u", "x", "X", "o", "b":
		if x, ok := v.(float64); ok {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				r.fail("%s is no whole number", pyFloat(x))
			}
			v = math.Trunc(x)
		}
		z, _ := whole(v)
		if z.Sign() < 0 {
			sign = "-"
		}
		z = new(big.Int).Abs(z)
		base := map[string]int{"x": 16, "X": 16, "o": 8, "b": 2}[f.kind]
		prefix := ""
		if base == 0 {
			base = 10
		} else if strings.Contains(f.flags, "#") {
			prefix = "0" + f.kind
		}
		digits = z.Text(base)
		if f.kind == "X" {
			digits = strings.ToUpper(digits)
		}
		for len(digits) < f.precision {
			digits = "0" + digits
		}
		digits = prefix + digits
	default:
		x := asFloat(v)
		if math.Signbit(x) {
			sign, x = "-", -x
		}
		digits = floatDigits(f, x)
	}
	if sign == "" && f.sign != 0 && f.sign != '-' {
		sign = string(f.sign)
	}
	if f.comma != 0 {
		digits = grouped(digits, f.comma)
	}
	return pad(f, sign, digits)
}

func floatDigits(f *spec, x float64) string {
	precision := f.precision
	if precision < 0 {
		precision = 6
	}
	kind := f.kind[0] | 0x20
	after := ""
	if kind == '%' {
		x, kind, after = x*100, 'f', "%"
	}
	var s string
	switch {
	case math.IsInf(x, 0):
		s = "inf"
	case math.IsNaN(x):
		s = "nan"
	case kind == 'g':
		s = general(x, max(precision, 1), strings.Contains(f.flags, "#"))
	default:
		s = strconv.FormatFloat(x, kind, precision, 64)
	}
	if f.kind[0] >= 'A' && f.kind[0] <= 'Z' {
		s = strings.ToUpper(s)
	}
	return s + after
}

// general is C's %g: so many digits, without zeros at the end.
func general(x float64, digits int, zeros bool) string {
	s := strconv.FormatFloat(x, 'e', digits-1, 64)
	e, _ := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:])
	if e >= -4 && e < digits {
		s = strconv.FormatFloat(x, 'f', digits-1-e, 64)
		if strings.Contains(s, ".") && !zeros {
			s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
		}
		return s
	}
	m, exp, _ := strings.Cut(s, "e")
	if strings.Contains(m, ".") && !zeros {
		m = strings.TrimSuffix(strings.TrimRight(m, "0"), ".")
	}
	return m + "e" + exp
}

func grouped(digits string, comma byte) string {
	n := 0
	for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' {
		n++
	}
	out := digits[n:]
	for n > 3 {
		out = string(comma) + digits[n-3:n] + out
		n -= 3
	}
	return digits[:n] + out
}

func pad(f *spec, sign, s string) string {
	missing := f.width - utf8.RuneCountInString(s) - len(sign)
	if missing <= 0 {
		return sign + s
	}
	fill := func(n int) string { return strings.Repeat(string(f.fill), n) }
	switch f.align {
	case '<':
		return sign + s + fill(missing)
	case '^':
		return fill(missing/2) + sign + s + fill(missing-missing/2)
	case '=':
		return sign + fill(missing) + s
	}
	return fill(missing) + sign + s
}

// cutRunes keeps the first n characters; all for a negative n.
func cutRunes(s string, n int) string {
	if n < 0 || len(s) <= n {
		return s
	}
	runes := []rune(s)
	return string(runes[:min(n, len(runes))])
}

// field is what stands between the braces of str.format.
var (
	field      = regexp.MustCompile(`\{\{|\}\}|\{([^{}:!]*)(?:!([rs]))?(?::([^{}]*))?\}|[{}]`)
	fieldSpecs = regexp.MustCompile(`^(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\d*)([,_])?(?:\.(\d+))?([bcdeEfFgGosxX%])?$`)
	fieldPath  = regexp.MustCompile(`^(\w*)((?:\[[^\]]*\])*)$`)
)

// braces is str.format.
func (r *run) braces(s string, args []any, names *Dict) string {
	var b strings.Builder
	at, auto := 0, 0
	for _, m := range field.FindAllStringSubmatchIndex(s, -1) {
		r.step()
		b.WriteString(s[at:m[0]])
		at = m[1]
		switch whole := s[m[0]:m[1]]; whole {
		case "{{", "}}":
			b.WriteByte(whole[0])
			continue
		case "{", "}":
			r.fail("a single %s in a format", whole)
		}
		v := r.fieldValue(s[m[2]:m[3]], &auto, args, names)
		f := &spec{fill: ' ', precision: -1}
		if m[6] >= 0 && m[6] < m[7] {
			f = r.fieldSpec(s[m[6]:m[7]])
		}
		if m[4] >= 0 && s[m[4]:m[5]] == "r" {
			v = r.repr(v)
		}
		out := r.braced(f, v)
		r.spend(len(out))
		if b.WriteString(out); b.Len() > MaxOutput {
			r.spend(MaxOutput + 1)
		}
	}
	b.WriteString(s[at:])
	return b.String()
}

func (r *run) fieldValue(path string, auto *int, args []any, names *Dict) any {
	m := fieldPath.FindStringSubmatch(path)
	if m == nil {
		r.fail("a format cannot look up %q: only {}, {0}, {name} and {name[key]}", path)
	}
	var v any
	n, err := strconv.Atoi(m[1])
	if m[1] == "" {
		n, err = *auto, nil
		*auto++
	}
	if err == nil {
		if n >= len(args) || n < 0 {
			r.fail("the format has more places than there are values")
		}
		v = args[n]
	} else {
		var ok bool
		if v, ok = names.get(m[1]); !ok {
			r.fail("the format has a place for %q, which is not there%s", m[1], hint(m[1], names.names()))
		}
	}
	for key := range strings.SplitSeq(strings.ReplaceAll(m[2], "]", ""), "[") {
		if key == "" {
			continue
		}
		if i, err := strconv.ParseInt(key, 10, 64); err == nil {
			v = r.item(v, i)
		} else {
			v = r.item(v, key)
		}
	}
	return v
}

func (r *run) fieldSpec(s string) *spec {
	m := fieldSpecs.FindStringSubmatch(s)
	if m == nil {
		r.fail("%q is no format of a value", s)
	}
	f := &spec{fill: ' ', flags: m[4], precision: -1, kind: m[9]}
	if m[1] != "" {
		f.fill, _ = utf8.DecodeRuneInString(m[1])
	}
	if m[2] != "" {
		f.align = m[2][0]
	} else if m[5] != "" {
		f.fill, f.align = '0', '='
	}
	if m[3] != "" {
		f.sign = m[3][0]
	}
	if m[7] != "" {
		f.comma = m[7][0]
	}
	f.width = r.width(m[6], nil)
	if m[8] != "" {
		f.precision = r.width(m[8], nil)
	}
	return f
}

func (r *run) braced(f *spec, v any) string {
	_, isBool := v.(bool)
	if isNumber(v) && !(isBool && f.kind == "") && f.kind != "c" {
		if f.kind == "s" {
			r.fail("the format \"s\" is for text, not %s", r.short(v))
		}
		if f.align == 0 {
			f.align = '>'
		}
		if _, isFloat := v.(float64); f.kind == "" && isFloat && f.precision < 0 {
			s := pyFloat(v.(float64))
			sign := ""
			if s[0] == '-' {
				sign, s = "-", s[1:]
			}
			return pad(f, sign, s)
		} else if f.kind == "" && isFloat {
			f.kind = "g"
		} else if f.kind == "" {
			f.kind = "d"
		}
		if strings.Contains("dxXob", f.kind) && strings.HasPrefix(fmt.Sprintf("%T", v), "float") {
			r.fail("the format %q is for whole numbers", f.kind)
		}
		return r.number(f, v)
	}
	if f.kind != "" && f.kind != "s" && f.kind != "c" {
		r.fail("the format %q is for numbers, not %s", f.kind, r.short(v))
	}
	if f.align == 0 || f.align == '=' {
		f.align = '<'
	}
	return pad(f, "", cutRunes(r.text(v), f.precision))
}
