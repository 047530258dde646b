package occi

import (
	"fmt"
	"strings"
)

// cut returns what stands before the first sep outside quotes and angle brackets, and what follows it. Single quotes
// protect only where they enclose a value as a whole, as words may hold apostrophes.
func cut(s string, sep byte) (before, after string, found bool, err error) {
	start := true // of a member or a value
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == sep:
			return s[:i], s[i+1:], true, nil
		case c == '"':
			end := closing(s[i+1:])
			if end < 0 {
				return "", "", false, fmt.Errorf("a quote is not closed: %s", excerpt(s))
			}
			i += end + 1
			start = false
		case start && (c == '\'' || c == '<'):
			until := byte('\'')
			if c == '<' {
				until = '>'
			}
			if end := strings.IndexByte(s[i+1:], until); end >= 0 {
				i += end + 1
			}
			start = false
		default:
			start = c == '=' || start && isSpace(c)
		}
	}
	return s, "", false, nil
}

// closing returns where the quote ends whose inside s begins with, or -1.
func closing(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// trim removes white space at both ends.
func trim(s string) string { return strings.Trim(s, " \t\r\n") }

// excerpt quotes the beginning of what a client sent.
func excerpt(s string) string { return fmt.Sprintf("%.60q", trim(s)) }

// unquote returns a value without the quotes round it, and whether there were any. In double quotes, \" and \\ stand
// for the character behind the backslash.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != s[len(s)-1] {
		return s, false
	}
	switch s[0] {
	case '\'':
		return s[1 : len(s)-1], true
	case '"':
		inner := s[1 : len(s)-1]
		if closing(s[1:]) != len(inner) {
			return s, false
		}
		if strings.IndexByte(inner, '\\') < 0 {
			return inner, true
		}
		var b strings.Builder
		b.Grow(len(inner))
		for i := 0; i < len(inner); i++ {
			if inner[i] == '\\' && i+1 < len(inner) && (inner[i+1] == '"' || inner[i+1] == '\\') {
				i++
			}
			b.WriteByte(inner[i])
		}
		return b.String(), true
	}
	return s, false
}

// A parameter is one of the name=value pairs of a category or link. Without "=", the value is empty.
type parameter struct {
	name, value string
	quoted      bool
}

// head returns what a category or link begins with, up to the first ";".
func head(s string) (first, rest string, err error) {
	first, rest, _, err = cut(s, ';')
	return trim(first), rest, err
}

// parameters calls each for every parameter in s until it returns an error.
func parameters(s string, each func(p parameter) error) error {
	for s != "" {
		one, rest, _, err := cut(s, ';')
		if err != nil {
			return err
		}
		s = rest
		if one = trim(one); one == "" {
			continue
		}
		name, value, _ := strings.Cut(one, "=")
		p := parameter{name: trim(name)}
		if p.value, p.quoted = unquote(trim(value)); !p.quoted && strings.Contains(p.value, `"`) {
			return fmt.Errorf("the quotes do not enclose the value as a whole: %s", excerpt(one))
		}
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
}
