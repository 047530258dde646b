package tree

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
)

// Emit writes a mapping as YAML in block style that reads back as it was. The error says what has no
// YAML form.
func Emit(m yaml.MapSlice) ([]byte, error) {
	e := &emitter{}
	e.entries(m, 0)
	return e.Bytes(), e.err
}

// An emitter writes the lines. The library's encoder does not give every text back as it was (texts of
// white space, control characters, some that look like flow style), and formats promise it.
type emitter struct {
	bytes.Buffer
	err error
}

// value writes what follows a key or a dash, up to and with the end of the line.
func (e *emitter) value(v any, indent int) {
	switch v := v.(type) {
	case yaml.MapSlice:
		if len(v) == 0 {
			e.WriteString(" {}\n")
			return
		}
		e.WriteByte('\n')
		e.entries(v, indent)
	case map[string]any:
		e.value(Ordered(v), indent)
	case map[string]string:
		e.value(Ordered(v), indent)
	case []any:
		emitList(e, v, indent)
	case []string:
		emitList(e, v, indent)
	case []yaml.MapSlice:
		emitList(e, v, indent)
	case string:
		e.text(v, indent)
	case nil:
		e.WriteString(" null\n")
	case float64:
		// Without an exponent, whose forms YAML versions read differently.
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		e.WriteString(" " + s + "\n")
	case bool, int, int64:
		fmt.Fprintf(e, " %v\n", v)
	default:
		e.err = fmt.Errorf("a value of type %T has no YAML form", v)
	}
}

func (e *emitter) entries(m yaml.MapSlice, indent int) {
	for _, item := range m {
		key := item.Key.(string)
		e.WriteString(strings.Repeat("  ", indent) + e.scalar(key) + ":")
		e.value(item.Value, indent+1)
	}
}

func emitList[V any](e *emitter, list []V, indent int) {
	if len(list) == 0 {
		e.WriteString(" []\n")
		return
	}
	e.WriteByte('\n')
	for _, item := range list {
		e.WriteString(strings.Repeat("  ", indent) + "-")
		if m, ok := any(item).(yaml.MapSlice); ok && len(m) > 0 {
			// The first key stands beside the dash, where its indent would end.
			at := e.Len()
			e.entries(m, indent+1)
			rest := bytes.Clone(e.Bytes()[at+2*indent+1:])
			e.Truncate(at)
			e.Write(rest)
			continue
		}
		e.value(any(item), indent+1)
	}
}

func (e *emitter) text(s string, indent int) {
	if !literal(s) {
		e.WriteString(" " + e.scalar(s) + "\n")
		return
	}
	header := " |\n"
	if !strings.HasSuffix(s, "\n") {
		header = " |-\n"
	}
	e.WriteString(header)
	for line := range strings.Lines(s) {
		if line != "\n" {
			e.WriteString(strings.Repeat("  ", indent))
		}
		e.WriteString(line)
	}
	if !strings.HasSuffix(s, "\n") {
		e.WriteByte('\n')
	}
}

// literal reports whether a text reads best, and safely, as lines of its own.
func literal(s string) bool {
	body := strings.TrimSuffix(s, "\n")
	return strings.Contains(body, "\n") && !strings.HasSuffix(body, "\n") && body[0] != ' ' && body[0] != '\n' &&
		!strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) && !strings.Contains(s, " \n") && !strings.HasSuffix(s, " ")
}

var (
	plain = regexp.MustCompile(`^[A-Za-z./_$][ -~]*$`)
	// What YAML 1.1 or 1.2 takes for something else than text.
	special = regexp.MustCompile(`(?i)^(~|null|true|false|yes|no|on|off|y|n|[-+.]?(inf|nan)|\.\.\.|[-+.0-9][0-9a-fx_.e+:-]*)$`)
)

// scalar returns a text as a scalar that stands on one line.
func (e *emitter) scalar(s string) string {
	if !utf8.ValidString(s) {
		e.err = fmt.Errorf("the text %.60q is not UTF-8", s)
	}
	if plain.MatchString(s) && !special.MatchString(s) && !strings.HasSuffix(s, " ") && !strings.HasSuffix(s, ":") &&
		!strings.Contains(s, ": ") && !strings.Contains(s, " #") && !strings.ContainsAny(s, "{}[],\"'|>&*!%@`") {
		return s
	}
	return strconv.Quote(s)
}

// Ordered returns a map sorted by key, so that the text is the same each time.
func Ordered[V any](m map[string]V) yaml.MapSlice {
	out := make(yaml.MapSlice, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, yaml.MapItem{Key: k, Value: m[k]})
	}
	return out
}
