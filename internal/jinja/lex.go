package jinja

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	endOfText kind = iota
	data
	outputBegin
	outputEnd
	blockBegin
	blockEnd
	name
	text
	integer
	float
	operator
)

type token struct {
	kind kind
	val  string
	line int
}

var (
	rawBegin = regexp.MustCompile(`^\{%[-+]?\s*raw\s*([-+]?)%\}`)
	rawEnd   = regexp.MustCompile(`\{%([-+]?)\s*endraw\s*([-+]?)%\}`)
	floats   = regexp.MustCompile(`^(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?[eE][+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)`)
	integers = regexp.MustCompile(`^(?:0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[0-9a-fA-F])+|\d+(?:_\d+)*)`)
)

const blanks = " \t\n\r\v\f"

type lexer struct {
	src    string
	pos    int
	line   int
	tokens []token
	trim   bool // the next data starts without blanks
}

// lex splits a template into tokens; the last one is endOfText.
func lex(src string) []token {
	l := &lexer{src: src, line: 1}
	for l.pos < len(src) {
		at := l.pos + nextTag(src[l.pos:])
		if at == len(src) {
			l.data(src[l.pos:], false)
			l.advance(at)
			break
		}
		minus := strings.HasPrefix(src[at+2:], "-")
		l.data(src[l.pos:at], minus)
		l.advance(at)
		switch src[at+1] {
		case '#':
			l.comment()
		case '%':
			if m := rawBegin.FindStringSubmatch(src[at:]); m != nil {
				l.raw(len(m[0]), m[1] == "-")
				continue
			}
			l.tag(blockBegin, blockEnd, "%}")
		default:
			l.tag(outputBegin, outputEnd, "}}")
		}
	}
	return append(l.tokens, token{endOfText, "", l.line})
}

// nextTag returns where the next tag begins, or the length of the text.
func nextTag(s string) int {
	for at := 0; ; {
		i := strings.IndexByte(s[at:], '{')
		if i < 0 || at+i+1 >= len(s) {
			return len(s)
		}
		at += i
		if c := s[at+1]; c == '{' || c == '%' || c == '#' {
			return at
		}
		at++
	}
}

func (l *lexer) advance(to int) {
	l.line += strings.Count(l.src[l.pos:to], "\n")
	l.pos = to
}

func (l *lexer) emit(k kind, val string) { l.tokens = append(l.tokens, token{k, val, l.line}) }

func (l *lexer) data(s string, trimEnd bool) {
	if l.trim {
		s = strings.TrimLeft(s, blanks)
	}
	if trimEnd {
		s = strings.TrimRight(s, blanks)
	}
	l.trim = false
	if s != "" {
		l.emit(data, s)
	}
}

func (l *lexer) comment() {
	end := strings.Index(l.src[l.pos+2:], "#}")
	if end < 0 {
		fail(l.line, "a comment has no end: #} is missing")
	}
	end += l.pos + 2
	l.trim = end > l.pos+2 && l.src[end-1] == '-'
	l.advance(end + 2)
}

func (l *lexer) raw(begin int, trimStart bool) {
	at := l.pos + begin
	m := rawEnd.FindStringSubmatchIndex(l.src[at:])
	if m == nil {
		fail(l.line, "raw has no end: {%% endraw %%} is missing")
	}
	l.trim = trimStart
	l.data(l.src[at:at+m[0]], l.src[at+m[2]:at+m[3]] == "-")
	l.trim = l.src[at+m[4]:at+m[5]] == "-"
	l.advance(at + m[1])
}

var operators = []string{
	"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";",
}

var closes = map[string]string{")": "(", "]": "[", "}": "{"}

// tag reads from {{ or {% to its end.
func (l *lexer) tag(begin, end kind, closing string) {
	l.emit(begin, "")
	first := l.line
	at := l.pos + 2
	if at < len(l.src) && (l.src[at] == '-' || l.src[at] == '+') {
		at++
	}
	l.advance(at)
	var open []string
	for {
		l.skipBlanks()
		rest := l.src[l.pos:]
		if rest == "" {
			fail(first, "a tag has no end: %s is missing", closing)
		}
		if len(open) == 0 {
			minus := strings.HasPrefix(rest, "-"+closing)
			if minus || strings.HasPrefix(rest, closing) || end == blockEnd && strings.HasPrefix(rest, "+"+closing) {
				l.emit(end, "")
				l.advance(l.pos + strings.Index(rest, closing) + 2)
				l.trim = minus
				return
			}
		}
		if l.word(rest) {
			continue
		}
		op := operatorAt(rest)
		switch op {
		case "":
			r, _ := utf8.DecodeRuneInString(rest)
			fail(l.line, "unexpected %q", r)
		case "(", "[", "{":
			if open = append(open, op); len(open) > maxNested {
				fail(l.line, "an expression is nested too deep")
			}
		case ")", "]", "}":
			if len(open) == 0 || open[len(open)-1] != closes[op] {
				fail(l.line, "unexpected %q", op)
			}
			open = open[:len(open)-1]
		}
		l.emit(operator, op)
		l.advance(l.pos + len(op))
	}
}

func (l *lexer) skipBlanks() {
	to := l.pos
	for to < len(l.src) && strings.IndexByte(blanks, l.src[to]) >= 0 {
		to++
	}
	l.advance(to)
}

func operatorAt(rest string) string {
	for _, op := range operators {
		if strings.HasPrefix(rest, op) {
			return op
		}
	}
	return ""
}

// word reads a name, number or text, if there is one.
func (l *lexer) word(rest string) bool {
	c := rest[0]
	switch {
	case c == '\'' || c == '"':
		end := 1
		for end < len(rest) && rest[end] != c {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(rest) {
			fail(l.line, "a text has no end: %c is missing", c)
		}
		l.emit(text, unescape(rest[1:end], l.line))
		l.advance(l.pos + end + 1)
	case c >= '0' && c <= '9':
		k, val := float, ""
		if before := l.tokens[len(l.tokens)-1]; before.kind != operator || before.val != "." {
			val = floats.FindString(rest)
		}
		if val == "" {
			k, val = integer, integers.FindString(rest)
		}
		l.emit(k, strings.ReplaceAll(val, "_", ""))
		l.advance(l.pos + len(val))
	default:
		n := 0
		for n < len(rest) {
			r, size := utf8.DecodeRuneInString(rest[n:])
			if r != '_' && !unicode.IsLetter(r) && !(n > 0 && unicode.IsDigit(r)) || r == utf8.RuneError {
				break
			}
			n += size
		}
		if n == 0 {
			return false
		}
		l.emit(name, rest[:n])
		l.advance(l.pos + n)
	}
	return true
}

// unescape reads the escapes of a text as Python does: those that it does not know stay.
func unescape(s string, line int) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if j := strings.IndexByte(`\'"abfnrtv`, s[i]); j >= 0 {
			b.WriteByte("\\'\"\a\b\f\n\r\t\v"[j])
			continue
		}
		digits, base := 0, 16
		switch c := s[i]; {
		case c == '\n':
			continue
		case c == 'x':
			digits = 2
		case c == 'u':
			digits = 4
		case c == 'U':
			digits = 8
		case c >= '0' && c <= '7':
			for digits < 3 && i+digits < len(s) && s[i+digits] >= '0' && s[i+digits] <= '7' {
				digits++
			}
			base = 8
			i--
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
			continue
		}
		n, err := strconv.ParseUint(s[i+1:min(i+1+digits, len(s))], base, 32)
		if err != nil || i+digits >= len(s) || n > unicode.MaxRune {
			fail(line, "a text has an escape that is cut short: %q", s)
		}
		b.WriteRune(rune(n))
		i += digits
	}
	return b.String()
}
