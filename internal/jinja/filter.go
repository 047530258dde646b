package jinja

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// filters are what can stand behind |. It is set by init, as some of them look others up.
var filters map[string]*Function

func init() {
	all := textFilters()
	for name, f := range listFilters() {
		all[name] = f
	}
	for name, f := range valueFilters() {
		all[name] = f
	}
	filters = table(all, map[string]string{"d": "default", "count": "length", "e": "escape", "forceescape": "escape"})
}

func valueFilters() map[string]*Function {
	return map[string]*Function{
		"default": builtin("value, default_value='', boolean=False", func(r *run, a []any) any {
			if _, missing := a[0].(*Undefined); missing || r.truth(a[2]) && !r.truth(a[0]) {
				return a[1]
			}
			return a[0]
		}),
		"abs": builtin("x", func(r *run, a []any) any {
			if !isNumber(a[0]) {
				r.fail("abs takes a number, not %s", r.short(a[0]))
			}
			if order(a[0], int64(0)) < 0 {
				return r.unary("-", a[0])
			}
			return r.unary("+", a[0])
		}),
		"attr": builtin("obj, name", func(r *run, a []any) any {
			if _, ok := a[0].(*Dict); ok { // its keys are no attributes
				return &Undefined{name: r.text(a[1])}
			}
			return r.attr(a[0], r.text(a[1]))
		}),
		"int":    builtin("value, default=0, base=10", func(r *run, a []any) any { return r.toInt(a[0], a[1], a[2]) }),
		"float":  builtin("value, default=None", func(r *run, a []any) any { return r.toFloat(a[0], a[1]) }),
		"string": builtin("value", func(r *run, a []any) any { return r.text(a[0]) }),
		"round":  builtin("value, precision=0, method='common'", (*run).round),
		"tojson": builtin("value, indent=None", func(r *run, a []any) any {
			indent := ""
			switch n := a[1].(type) {
			case int64:
				r.spend(int(min(max(n, 0), MaxOutput+1)))
				indent = strings.Repeat(" ", int(max(n, 0)))
			case string:
				indent = n
			}
			return r.json(a[0], indent)
		}),
		"pprint": builtin("value", func(r *run, a []any) any { return r.repr(sortedKeys(a[0])) }),
		"safe":   builtin("value", func(r *run, a []any) any { return r.text(a[0]) }),
		"filesizeformat": builtin("value, binary=False", func(r *run, a []any) any {
			return fileSize(asFloat(r.toFloat(a[0], nil)), r.truth(a[1]))
		}),
		"random": builtin("seq", func(r *run, _ []any) any {
			r.fail("random is not there: the same instance renders the same text each time")
			return nil
		}),
	}
}

// sortedKeys returns a value whose mappings have their keys in order, as pprint shows them.
func sortedKeys(v any) any {
	d, ok := v.(*Dict)
	if !ok || len(d.names()) < len(d.keys) {
		return v
	}
	m := make(map[string]any, len(d.keys))
	for i, k := range d.keys {
		m[k.(string)] = sortedKeys(d.values[i])
	}
	return From(m)
}

func (r *run) toInt(v, other, base any) any {
	switch v := v.(type) {
	case bool, int64, *big.Int:
		z, _ := whole(v)
		return small(z)
	case float64:
		if z, ok := whole(math.Trunc(v)); ok {
			return small(z)
		}
	case string:
		s := strings.TrimSpace(v)
		b, _ := base.(int64)
		if b == 1 || b < 0 || b > 36 {
			r.fail("the base of a number is from 2 to 36, or 0")
		}
		if b == 16 || b == 8 || b == 2 {
			s = strings.TrimPrefix(strings.ToLower(s), map[int64]string{16: "0x", 8: "0o", 2: "0b"}[b])
		}
		if z, ok := new(big.Int).SetString(s, int(b)); ok && len(s) < 1000 {
			return small(z)
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			if z, ok := whole(math.Trunc(f)); ok {
				return small(z)
			}
		}
	}
	return other
}

func (r *run) toFloat(v, other any) any {
	if isNumber(v) {
		return asFloat(v)
	}
	if s, ok := v.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil || errors.Is(err, strconv.ErrRange) {
			return f
		}
	}
	if other == nil {
		return 0.0
	}
	return other
}

func (r *run) round(a []any) any {
	digits, _ := a[1].(int64)
	if !isNumber(a[0]) || digits > 300 || digits < -300 {
		r.fail("round takes a number and how many digits")
	}
	method := r.text(a[2])
	if method == "common" {
		if _, isFloat := a[0].(float64); !isFloat && digits >= 0 {
			return r.unary("+", a[0])
		}
		if digits >= 0 {
			f, _ := strconv.ParseFloat(strconv.FormatFloat(asFloat(a[0]), 'f', int(digits), 64), 64)
			return f
		}
		by := math.Pow(10, float64(-digits))
		f := math.RoundToEven(asFloat(a[0])/by) * by
		if z, ok := whole(f); ok && kindOf(a[0]) != "float" {
			return small(z)
		}
		return f
	}
	by := math.Pow(10, float64(digits))
	switch method {
	case "ceil":
		return math.Ceil(asFloat(a[0])*by) / by
	case "floor":
		return math.Floor(asFloat(a[0])*by) / by
	}
	r.fail("round knows common, ceil and floor, not %q", method)
	return nil
}

func fileSize(n float64, binary bool) string {
	base, units := 1000.0, []string{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"}
	if binary {
		base, units = 1024, []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}
	}
	switch {
	case n == 1:
		return "1 Byte"
	case n < base:
		return fmt.Sprintf("%.0f Bytes", n)
	}
	unit := base
	for i, u := range units {
		if unit *= base; n < unit || i == len(units)-1 {
			return fmt.Sprintf("%.1f %s", base*n/unit, u)
		}
	}
	return ""
}

var (
	htmlComments = regexp.MustCompile(`(?s)<!--.*?-->`)
	htmlTags     = regexp.MustCompile(`(?s)<[^>]*>`)
	titleWords   = regexp.MustCompile(`[-\s({\[<]+`)
	wordRuns     = regexp.MustCompile(`[\p{L}\p{N}_]+`)
	escapes      = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;")
	unescapes    = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#39;", "'", "&#34;", `"`, "&quot;", `"`, "&amp;", "&")
)

func textFilters() map[string]*Function {
	on := func(f func(string) string) *Function {
		return builtin("s", func(r *run, a []any) any { return r.grown(f(r.text(a[0]))) })
	}
	return map[string]*Function{
		"upper": on(strings.ToUpper), "lower": on(strings.ToLower), "capitalize": on(capitalized),
		"title": on(func(s string) string {
			var b strings.Builder
			at := 0
			for _, m := range append(titleWords.FindAllStringIndex(s, -1), []int{len(s), len(s)}) {
				b.WriteString(capitalized(s[at:m[0]]))
				b.WriteString(s[m[0]:m[1]])
				at = m[1]
			}
			return b.String()
		}),
		"escape": on(escapes.Replace),
		"striptags": on(func(s string) string {
			s = htmlTags.ReplaceAllString(htmlComments.ReplaceAllString(s, ""), "")
			return unescapes.Replace(strings.Join(strings.Fields(s), " "))
		}),
		"wordcount": builtin("s", func(r *run, a []any) any {
			return int64(len(wordRuns.FindAllStringIndex(r.text(a[0]), -1)))
		}),
		"b64encode": on(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
		"b64decode": builtin("s", func(r *run, a []any) any {
			out, err := base64.StdEncoding.DecodeString(r.text(a[0]))
			if err != nil {
				r.fail("b64decode: %v", err)
			}
			return r.grown(string(out))
		}),
		"trim": builtin("value, chars=None", func(r *run, a []any) any { return strip(r.text(a[0]), a[1], true, true) }),
		"replace": builtin("s, old, new, count=None", func(r *run, a []any) any {
			return r.replace(r.text(a[0]), r.text(a[1]), r.text(a[2]), a[3])
		}),
		"format": builtin("value, *args, **kwargs", func(r *run, a []any) any {
			if d := a[2].(*Dict); len(d.keys) > 0 {
				return r.format(r.text(a[0]), d)
			}
			return r.format(r.text(a[0]), a[1])
		}),
		"center": builtin("value, width=80", func(r *run, a []any) any { return r.centered(r.text(a[0]), a[1], " ") }),
		"indent": builtin("s, width=4, first=False, blank=False", (*run).indent),
		"truncate": builtin("s, length=255, killwords=False, end='...', leeway=5", func(r *run, a []any) any {
			s, end := []rune(r.text(a[0])), r.text(a[3])
			n, leeway := int(r.whole(a[1])), int(r.whole(a[4]))
			if n < utf8.RuneCountInString(end) || leeway < 0 {
				r.fail("truncate needs a length of %d or more", utf8.RuneCountInString(end))
			}
			if len(s) <= n+leeway {
				return string(s)
			}
			cut := string(s[:max(n-utf8.RuneCountInString(end), 0)])
			if i := strings.LastIndexByte(cut, ' '); i >= 0 && !r.truth(a[2]) {
				cut = cut[:i]
			}
			return cut + end
		}),
		"wordwrap":  builtin("s, width=79, break_long_words=True, wrapstring=None, break_on_hyphens=True", (*run).wordWrap),
		"urlencode": builtin("value", func(r *run, a []any) any { return r.urlEncode(a[0]) }),
	}
}

// grown charges for a text that was made.
func (r *run) grown(s string) string {
	r.spend(len(s))
	return s
}

// whole returns a whole number that an argument must be.
func (r *run) whole(v any) int64 {
	z, ok := whole(v)
	if !ok || !z.IsInt64() || abs(z.Int64()) > 1<<31 {
		r.fail("expected a whole number, not %s", r.short(v))
	}
	return z.Int64()
}

func capitalized(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:n]) + strings.ToLower(s[n:])
}

func strip(s string, chars any, left, right bool) string {
	cut, ok := chars.(string)
	if !ok {
		cut = blanks
	}
	if left {
		s = strings.TrimLeft(s, cut)
	}
	if right {
		s = strings.TrimRight(s, cut)
	}
	return s
}

func (r *run) replace(s, old, with string, count any) string {
	n := int64(-1)
	if count != nil {
		n = r.whole(count)
	}
	found := int64(strings.Count(s, old))
	if n >= 0 {
		found = min(found, n)
	}
	r.fits(len(with), found)
	r.spend(len(s))
	return strings.Replace(s, old, with, int(n))
}

func (r *run) centered(s string, width any, fill string) string {
	missing := r.whole(width) - int64(utf8.RuneCountInString(s))
	if missing <= 0 {
		return s
	}
	r.fits(len(fill), missing)
	left := missing / 2
	if missing%2 == 1 && r.whole(width)%2 == 1 { // as Python does
		left++
	}
	return strings.Repeat(fill, int(left)) + s + strings.Repeat(fill, int(missing-left))
}

func (r *run) indent(a []any) any {
	by, ok := a[1].(string)
	if !ok {
		n := r.whole(a[1])
		r.fits(1, n)
		by = strings.Repeat(" ", int(max(n, 0)))
	}
	lines := strings.Split(strings.ReplaceAll(r.text(a[0]), "\r\n", "\n"), "\n")
	r.fits(len(by), int64(len(lines)))
	for i, l := range lines {
		if i > 0 && (l != "" || r.truth(a[3])) || i == 0 && r.truth(a[2]) {
			lines[i] = by + l
		}
	}
	return r.grown(strings.Join(lines, "\n"))
}

func (r *run) wordWrap(a []any) any {
	width := int(r.whole(a[1]))
	if width < 1 {
		r.fail("wordwrap needs a width of 1 or more")
	}
	newline := "\n"
	if s, ok := a[3].(string); ok {
		newline = s
	}
	var out []string
	for line := range strings.SplitSeq(strings.TrimSuffix(r.text(a[0]), "\n"), "\n") {
		now := ""
		for _, w := range strings.Split(line, " ") {
			r.step()
			for {
				with := w
				if now != "" {
					with = now + " " + w
				}
				if utf8.RuneCountInString(with) <= width {
					now = with
					break
				}
				if now != "" {
					out, now = append(out, strings.TrimRight(now, " ")), ""
					continue
				}
				if !r.truth(a[2]) {
					now = w
					break
				}
				runes := []rune(w)
				out, w = append(out, string(runes[:width])), string(runes[width:])
			}
		}
		out = append(out, strings.TrimRight(now, " "))
	}
	r.fits(len(newline), int64(len(out)))
	return r.grown(strings.Join(out, newline))
}

// urlEncode quotes a text for a URL's path, or a mapping or list of pairs for its query.
func (r *run) urlEncode(v any) string {
	if s, ok := v.(string); ok {
		return r.grown(strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%2F", "/"))
	}
	var pairs [][]any
	if d, ok := v.(*Dict); ok {
		for i, k := range d.keys {
			pairs = append(pairs, []any{k, d.values[i]})
		}
	} else if items, ok := r.items(v); ok {
		for _, p := range items {
			pairs = append(pairs, r.mustItems(p))
		}
	} else {
		return url.QueryEscape(r.text(v))
	}
	var out []string
	for _, p := range pairs {
		if len(p) != 2 {
			r.fail("urlencode takes text, a mapping or pairs")
		}
		out = append(out, url.QueryEscape(r.text(p[0]))+"="+url.QueryEscape(r.text(p[1])))
	}
	return r.grown(strings.Join(out, "&"))
}
