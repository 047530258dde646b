package render

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/driver/cloudinit"
	"github.com/troupe-dev/troupe/internal/jinja"
)

// cloudConfig is how user data in YAML begins.
const cloudConfig = "#cloud-config"

// ContextTemplate makes a template of user data from a mapping whose texts hold template tags. What it renders to
// parses as what Occopus makes of such a mapping: keys in order, texts plain, in single or in double quotes by
// Occopus' rules, so that a value lands in the same form of its text; for example lines of a value in a text of
// several lines are folded. Tags are neither escaped nor broken.
func ContextTemplate(mapping map[string]any) (string, error) {
	d := &dumper{}
	d.b.WriteString(cloudConfig + "\n")
	if len(mapping) == 0 {
		d.b.WriteString("{}\n")
	}
	d.mapping(mapping, 0, false)
	return d.b.String(), d.err
}

type dumper struct {
	b   strings.Builder
	err error
}

// mapping writes keys and values; follows says that the first key stands behind a dash.
func (d *dumper) mapping(m map[string]any, indent int, follows bool) {
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 || !follows {
			d.b.WriteString(strings.Repeat(" ", indent))
		}
		d.b.WriteString(d.text(k) + ":")
		d.value(m[k], indent, true)
	}
}

// value writes what stands behind a key or a dash, and the end of the line.
func (d *dumper) value(v any, indent int, behindKey bool) {
	if indent > 2*maxNestedData && d.err == nil {
		d.err = fmt.Errorf("the mapping is nested deeper than %d levels", maxNestedData)
	}
	if d.err != nil {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			d.b.WriteString(" {}\n")
			return
		}
		if behindKey {
			d.b.WriteByte('\n')
		} else {
			d.b.WriteByte(' ')
		}
		d.mapping(v, indent+2, !behindKey)
	case []any:
		if len(v) == 0 {
			d.b.WriteString(" []\n")
			return
		}
		if behindKey {
			d.b.WriteByte('\n')
		} else {
			d.b.WriteByte(' ')
			indent += 2
		}
		for i, x := range v {
			if behindKey || i > 0 {
				d.b.WriteString(strings.Repeat(" ", indent))
			}
			d.b.WriteByte('-')
			d.value(x, indent, false)
		}
	case string:
		d.b.WriteString(" " + d.text(v) + "\n")
	default:
		d.b.WriteString(" " + number(v) + "\n")
	}
}

const maxNestedData = 100

// number writes what is no text.
func number(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		switch {
		case s == "NaN":
			return ".nan"
		case strings.HasSuffix(s, "Inf"):
			return strings.Replace(strings.ToLower(strings.TrimPrefix(s, "+")), "inf", ".inf", 1)
		case !strings.ContainsAny(s, ".e"):
			return s + ".0"
		}
		return s
	case fmt.Stringer:
		return v.String()
	default:
		return fmt.Sprint(v)
	}
}

var (
	// otherKind are the plain forms that YAML 1.2 reads as something else than text.
	otherKind = regexp.MustCompile(`^(?:|~|null|Null|NULL|true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|` +
		`[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|=|<<)$`)
	// notPlain is what makes quotes necessary.
	notPlain = regexp.MustCompile("^[#,\\[\\]{}&*!|>'\"%@`]|^[-?:](?: |$)|^---|^\\.\\.\\.|: |:$| #|^ | $")
)

// text writes one text in the style that Occopus' dumper chooses.
func (d *dumper) text(s string) string {
	switch {
	case needsEscapes(s):
		return quoted(s)
	case !otherKind.MatchString(s) && !notPlain.MatchString(s):
		return s
	case strings.Contains(s, "'"):
		return quoted(s)
	}
	return "'" + s + "'"
}

func needsEscapes(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// quoted writes a text in double quotes. Tags stand as they are, so that they are rendered; not so what they
// enclose as raw.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for part := range jinja.Split(s) {
		if part.Tag {
			b.WriteString(part.Text)
		} else {
			escape(&b, part.Text)
		}
	}
	b.WriteByte('"')
	return b.String()
}

var shortEscapes = map[rune]string{
	'"': `\"`, '\\': `\\`, '\n': `\n`, '\t': `\t`, '\r': `\r`, '\a': `\a`, '\b': `\b`, '\f': `\f`, '\v': `\v`, 0: `\0`, 0x1b: `\e`,
}

func escape(b *strings.Builder, s string) {
	for i, c := range s {
		short, ok := shortEscapes[c]
		switch {
		case ok:
			b.WriteString(short)
		case c == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(b, `\x%02X`, s[i])
		case c >= ' ' && c <= '~':
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(b, `\x%02X`, c)
		case c < 0x10000:
			fmt.Fprintf(b, `\u%04X`, c)
		default:
			fmt.Fprintf(b, `\U%08X`, c)
		}
	}
}

// checkContext refuses user data that says that it is YAML for cloud-init and is not.
func checkContext(name, text string) error {
	if !strings.HasPrefix(text, cloudConfig) {
		return nil
	}
	_, err := cloudinit.ParseYAML([]byte(text))
	var bad *cloudinit.SyntaxError
	if !errors.As(err, &bad) {
		return err
	}
	return &Error{Name: name, Line: bad.Line, Text: fmt.Sprintf("Schema error in context of node definition at line %d. It begins with %s, but is no YAML: %s",
		bad.Line, cloudConfig, bad.Text)}
}
