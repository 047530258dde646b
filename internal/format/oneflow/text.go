package oneflow

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxText is the longest template text, in bytes.
const MaxText = 1 << 20

// ParseText reads OpenNebula's template text: lines KEY = VALUE. A value in brackets,
// [A = 1, B = "x, y"], is a vector and becomes an array of one object, a plain value a string; a
// repeated key becomes an array. A value in double quotes may span lines and hold \" and \\;
// elsewhere double quotes are dropped. Lines that begin with # are comments. The error is an *Error.
func ParseText(text string) (*Object, error) {
	s := scanner{text: text}
	if len(text) > MaxText {
		return nil, s.fail(fmt.Sprintf("the template is longer than %d bytes", MaxText))
	}
	if !utf8.ValidString(text) {
		return nil, s.fail("the template is not UTF-8")
	}
	o := new(Object)
	for {
		s.skip(" \t\r\n")
		switch {
		case s.at == len(text):
			return o, nil
		case text[s.at] == '#':
			s.line()
			continue
		}
		key, err := s.key()
		if err != nil {
			return nil, err
		}
		var value any
		if s.skip(" \t"); s.take('[') {
			var vector *Object
			vector, err = s.vector()
			value = []any{vector}
		} else {
			value, err = s.value()
		}
		if err != nil {
			return nil, err
		}
		repeat(o, key, value)
	}
}

// repeat adds a value to a key that may be there already.
func repeat(o *Object, key string, value any) {
	if !o.Has(key) {
		o.Set(key, value)
		return
	}
	list, ok := o.Get(key).([]any)
	if !ok {
		list = []any{o.Get(key)}
	}
	if more, ok := value.([]any); ok {
		list = append(list, more...)
	} else {
		list = append(list, value)
	}
	o.Set(key, list)
}

type scanner struct {
	text string
	at   int
}

func (s *scanner) fail(message string) error {
	line, column := position([]byte(s.text), s.at)
	return &Error{Kind: Malformed, Message: message, Line: line, Column: column}
}

func (s *scanner) skip(set string) {
	for s.at < len(s.text) && strings.IndexByte(set, s.text[s.at]) >= 0 {
		s.at++
	}
}

func (s *scanner) take(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// until returns the trimmed text up to one of the characters, or to the end.
func (s *scanner) until(set string) string {
	rest := s.text[s.at:]
	if end := strings.IndexAny(rest, set); end >= 0 {
		rest = rest[:end]
	}
	s.at += len(rest)
	return strings.TrimSpace(rest)
}

func (s *scanner) line() string { return s.until("\n") }

const notInKeys = "=\n[]\",#"

func (s *scanner) key() (string, error) {
	start := s.at
	key := s.until(notInKeys)
	if key == "" || !s.take('=') {
		s.at = start
		return "", s.fail("expected KEY = VALUE")
	}
	return key, nil
}

// value reads a plain value, to the end of its line or of its quotes.
func (s *scanner) value() (string, error) {
	start := s.at
	if s.take('"') {
		quoted, err := s.quoted()
		if err != nil {
			return "", err
		}
		if rest := s.line(); rest == "" || rest[0] == '#' {
			return quoted, nil
		}
		s.at = start
	}
	return strings.ReplaceAll(s.line(), `"`, ""), nil
}

// quoted reads to the closing quote; the opening one has been read.
func (s *scanner) quoted() (string, error) {
	var b strings.Builder
	start := s.at - 1
	for ; s.at < len(s.text); s.at++ {
		c := s.text[s.at]
		switch {
		case c == '"':
			s.at++
			return b.String(), nil
		case c == '\\' && s.at+1 < len(s.text) && (s.text[s.at+1] == '"' || s.text[s.at+1] == '\\'):
			s.at++
			c = s.text[s.at]
		}
		b.WriteByte(c)
	}
	s.at = start
	return "", s.fail("the quote does not end")
}

// ParseVector reads a value that is a vector as a whole: [A = "1", B = "2"].
func ParseVector(text string) (*Object, bool) {
	s := scanner{text: text}
	if !s.take('[') || !utf8.ValidString(text) {
		return nil, false
	}
	o, err := s.vector()
	return o, err == nil && s.at == len(text)
}

// vector reads the rest of [A = 1, B = "2"].
func (s *scanner) vector() (*Object, error) {
	o := new(Object)
	for {
		s.skip(" \t\r\n,")
		if s.take(']') {
			if rest := s.line(); rest != "" && rest[0] != '#' {
				return nil, s.fail("expected the end of the line after ]")
			}
			return o, nil
		}
		if s.at == len(s.text) {
			return nil, s.fail("expected ]")
		}
		key, err := s.key()
		if err != nil {
			return nil, err
		}
		var value string
		if s.skip(" \t\r\n"); s.take('"') {
			if value, err = s.quoted(); err != nil {
				return nil, err
			}
			if s.skip(" \t\r\n"); s.at < len(s.text) && s.text[s.at] != ',' && s.text[s.at] != ']' {
				return nil, s.fail("expected , or ]")
			}
		} else {
			value = strings.ReplaceAll(s.until(",]\n"), `"`, "")
		}
		o.Set(key, value)
	}
}

// PrintText prints an object as template text, in an order and form that ParseText reads back. What
// template text cannot hold, arrays and objects inside vectors, is printed as JSON.
func PrintText(o *Object) (string, error) {
	var b strings.Builder
	for _, key := range o.Keys() {
		list, ok := o.Get(key).([]any)
		if !ok {
			list = []any{o.Get(key)}
		}
		for _, v := range list {
			if err := printKey(&b, key); err != nil {
				return "", err
			}
			vector, ok := v.(*Object)
			if !ok {
				printQuoted(&b, scalar(v))
				b.WriteByte('\n')
				continue
			}
			if err := printVector(&b, vector); err != nil {
				return "", err
			}
			b.WriteByte('\n')
		}
	}
	return b.String(), nil
}

// PrintVector prints an object as ParseVector reads it.
func PrintVector(o *Object) (string, error) {
	var b strings.Builder
	err := printVector(&b, o)
	return b.String(), err
}

func printVector(b *strings.Builder, o *Object) error {
	b.WriteByte('[')
	for i, k := range o.Keys() {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := printKey(b, k); err != nil {
			return err
		}
		printQuoted(b, scalar(o.Get(k)))
	}
	b.WriteByte(']')
	return nil
}

func printKey(b *strings.Builder, key string) error {
	if key == "" || strings.TrimSpace(key) != key || strings.ContainsAny(key, notInKeys) {
		return &Error{Kind: Invalid, Path: key, Message: "not a name that template text can hold"}
	}
	b.WriteString(key + "=")
	return nil
}

func printQuoted(b *strings.Builder, value string) {
	b.WriteByte('"')
	b.WriteString(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value))
	b.WriteByte('"')
}
