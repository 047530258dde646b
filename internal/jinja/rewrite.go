package jinja

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// Names of statements and values of ours. They hold a blank, so that nothing in a template can say them.
const (
	dataName      = "write text"
	printName     = "write value"
	callName      = "write call"
	filteredName  = "filtered text"
	callerName    = "caller "
	withName      = "with "
	undefinedName = "nothing given"
	noneName      = "the value None"
)

// lex makes tokens of a template. Data becomes a statement, and so does {{ }}; raw and comments are gone.
func (c *compiler) lex(text string) []*tokens.Token {
	var masked, source, data strings.Builder // the tags, and the data before the next
	var tags []tag
	last, line, trim, raw := "", 1, false, false
	for part := range Split(text) {
		c.line = line
		line += strings.Count(part.Text, "\n")
		s := part.Text
		if !part.Tag {
			if at := nextTag(s); !raw && at < len(s) {
				fail(c.line+strings.Count(s[:at], "\n"), "a tag has no end: %.20q", s[at:])
			}
			if last = s; trim {
				last = strings.TrimLeft(s, blanks)
			}
			continue
		}
		if s[2] == '-' {
			last = strings.TrimRight(last, blanks)
		}
		data.WriteString(last)
		last, trim = "", s[len(s)-3] == '-'
		switch {
		case raw && !rawEnd.MatchString(s):
			fail(c.line, "raw has no end: {%% endraw %%} is missing")
		case raw || rawBegin.MatchString(s):
			raw = !raw
		case s[1] != '#':
			tags = append(tags, tag{masked.Len(), c.line, data.String()})
			data.Reset()
			masked.Write(mask(s))
			source.WriteString(s)
		}
	}
	if raw {
		fail(c.line, "raw has no end: {%% endraw %%} is missing")
	}
	tags = append(tags, tag{masked.Len(), line, data.String() + last})
	return c.rewrite(tokens.LexAll(masked.String(), config.New()), source.String(), tags)
}

// A tag of a template: where it begins among the tags, its line, and the data before it.
type tag struct {
	at, line int
	before   string
}

// mask hides what gonja's lexer does not read: what is in texts, line ends, and signs for trimming.
func mask(s string) []byte {
	out := []byte(s)
	signs := "-"
	if s[1] == '%' {
		signs = "-+"
	}
	for _, i := range []int{2, len(s) - 3} {
		if strings.IndexByte(signs, s[i]) >= 0 {
			out[i] = ' '
		}
	}
	quote := byte(0)
	for i := 2; i < len(out); i++ {
		switch {
		case quote == 0 && (out[i] == '\'' || out[i] == '"'):
			quote = out[i]
		case quote == out[i]:
			quote = 0
		case quote != 0:
			if out[i] == '\\' {
				out[i] = 'x'
				i++
			}
			out[i] = 'x'
		case strings.IndexByte(blanks, out[i]) >= 0:
			out[i] = ' '
		}
	}
	return out
}

// wellFormed are the tokens that gonja's lexer makes of what it knows; others it puts before the next one.
var wellFormed = regexp.MustCompile(`^(?:[\pL_][\pL\pN_]*|[0-9][0-9a-zA-Z_.+-]*|[-+*/%~|.,:()\[\]{}<>=!]+)$`)

// rewrite puts the data between the tokens of the tags, and changes the tokens of each.
func (c *compiler) rewrite(stream *tokens.Stream, source string, tags []tag) []*tokens.Token {
	var out, inner []*tokens.Token
	n := 0
	for ; !stream.EOF(); stream.Next() {
		t := stream.Current()
		at := tags[max(n-1, 0)]
		switch t.Type {
		case tokens.VariableBegin, tokens.BlockBegin:
			out = append(out, c.dataTokens(tags[n])...)
			inner = nil
			if n++; t.Type == tokens.VariableBegin {
				inner = []*tokens.Token{{Type: tokens.Name, Val: printName, Line: tags[n-1].line}}
			}
			continue
		case tokens.Data:
			continue
		case tokens.Error:
			fail(at.line, "%s", strings.ToLower(t.Val[:min(len(t.Val), 1)])+t.Val[min(len(t.Val), 1):])
		}
		c.line = at.line + strings.Count(source[at.at:min(t.Pos, len(source))], "\n")
		t.Line = c.line
		if t.Type == tokens.String && strings.IndexByte(`'"`, source[t.Pos]) >= 0 {
			t.Val = strings.ReplaceAll(unquote(source[t.Pos+1:t.Pos+1+len(t.Val)]), `\`, `\\`) // the parser reads escapes again
		} else if !wellFormed.MatchString(t.Val) {
			fail(c.line, "unexpected %q", t.Val)
		}
		if t.Type != tokens.VariableEnd && t.Type != tokens.BlockEnd {
			inner = append(inner, t)
			continue
		}
		if len(inner) == 0 {
			fail(c.line, "the tag is empty")
		}
		c.line = at.line
		out = append(out, c.statement(inner)...)
	}
	if len(c.calls) > 0 {
		fail(c.calls[0][0].Line, "a call or with has no end")
	}
	out = append(out, c.dataTokens(tags[len(tags)-1])...)
	return append(out, &tokens.Token{Type: tokens.EOF, Line: tags[len(tags)-1].line})
}

func (c *compiler) dataTokens(t tag) []*tokens.Token {
	if t.before == "" {
		return nil
	}
	return c.block(dataName, &tokens.Token{Type: tokens.String, Val: t.before, Line: t.line})
}

// block is a statement's tag.
func (c *compiler) block(name string, args ...*tokens.Token) []*tokens.Token {
	out := []*tokens.Token{{Type: tokens.BlockBegin, Val: "{%", Line: c.line}, c.token(tokens.Name, name)}
	return append(append(out, args...), c.token(tokens.BlockEnd, "%}"))
}

func (c *compiler) token(t tokens.Type, val string) *tokens.Token {
	return &tokens.Token{Type: t, Val: val, Line: c.line}
}

// own is a name for a macro of ours.
func (c *compiler) own(name string) *tokens.Token {
	c.macros++
	return c.token(tokens.Name, name+strconv.Itoa(c.macros))
}

// statement changes the tokens of one statement; some become several.
func (c *compiler) statement(ts []*tokens.Token) []*tokens.Token {
	c.checkNesting(ts)
	keywords(ts)
	name, args := ts[0].Val, ts[1:]
	open, shut := c.token(tokens.LeftParenthesis, "("), c.token(tokens.RightParenthesis, ")")
	switch name {
	case "for":
		return c.forTokens(args)
	case "call":
		params := []*tokens.Token{open, shut}
		if len(args) > 0 && args[0].Type == tokens.LeftParenthesis {
			end := closing(args, 0)
			params, args = c.group(args[:end+1]), args[end+1:]
		}
		name := c.own(callerName)
		c.calls = append(c.calls, c.block(callName, append([]*tokens.Token{name}, c.group(args)...)...))
		return c.block("macro", append([]*tokens.Token{name}, params...)...)
	case "with": // what a macro does whose parameters have these values
		name := c.own(withName)
		c.calls = append(c.calls, c.block(printName, name, open, shut))
		return c.block("macro", slices.Concat([]*tokens.Token{name, open}, c.group(args), []*tokens.Token{shut})...)
	case "endcall", "endwith":
		if n := len(c.calls) - 1; n >= 0 {
			of := c.calls[n]
			c.calls = c.calls[:n]
			return append(c.block("endmacro"), of...)
		}
	case "filter":
		return c.block("set", append([]*tokens.Token{c.token(tokens.Name, filteredName), c.token(tokens.Pipe, "|")}, c.group(args)...)...)
	case "endfilter":
		return append(c.block("endset"), c.block(printName, c.token(tokens.Name, filteredName))...)
	}
	return c.block(name, c.group(args)...)
}

// forTokens is for: its if is none of an expression, and its names may be in brackets.
func (c *compiler) forTokens(args []*tokens.Token) []*tokens.Token {
	in := slices.IndexFunc(args, func(t *tokens.Token) bool { return t.Type == tokens.In })
	if in < 1 {
		fail(c.line, "for needs a name, in and a list")
	}
	names, rest := args[:in], args[in+1:]
	if names[0].Type == tokens.LeftParenthesis && closing(names, 0) == len(names)-1 {
		names = names[1 : len(names)-1]
	}
	out := append(slices.Clone(names), args[in])
	tail := slices.IndexFunc(rest, func(t *tokens.Token) bool { return t.Type == tokens.Name && t.Val == "recursive" })
	recursive := rest[len(rest):]
	if tail == len(rest)-1 && tail > 0 {
		rest, recursive = rest[:tail], rest[tail:]
	}
	if at := top(rest, "if"); at > 0 {
		out = append(append(append(out, c.group(rest[:at])...), rest[at]), c.group(rest[at+1:])...)
	} else {
		out = append(out, c.group(rest)...)
	}
	return c.block("for", append(out, recursive...)...)
}

// checkNesting refuses what gonja's parser, which recurses, or its tree would be too deep for.
func (c *compiler) checkNesting(ts []*tokens.Token) {
	depth, chain, conditions := 0, 0, 0
	for _, t := range ts {
		switch t.Type {
		case tokens.LeftParenthesis, tokens.LeftBracket:
			depth++
			chain++
		case tokens.LeftBrace:
			depth++
		case tokens.RightParenthesis, tokens.RightBracket, tokens.RightBrace:
			depth--
		case tokens.Comma, tokens.Colon, tokens.Assign, tokens.String, tokens.Integer, tokens.Float:
		case tokens.Name:
			if t.Val == "if" {
				conditions++
			}
		default:
			chain++
		}
		if depth > maxNested || chain > maxChain || conditions > maxNested {
			fail(c.line, "the expression is nested too deep, or too long")
		}
	}
}

var keywordTypes = map[string]tokens.Type{"in": tokens.In, "is": tokens.Is, "and": tokens.And, "or": tokens.Or, "not": tokens.Not}

// keywords tells names from keywords: gonja's lexer goes by the blank behind them.
func keywords(ts []*tokens.Token) {
	for i, t := range ts {
		behind := func(n int, types ...tokens.Type) bool { return i >= n && slices.Contains(types, ts[i-n].Type) }
		kind, keyword := keywordTypes[t.Val]
		switch {
		case t.Type == tokens.String:
		case keyword && behind(1, tokens.Dot):
			t.Type = tokens.Name
		case keyword:
			t.Type = kind
		case t.Val == "none" && t.Type == tokens.Name && !behind(1, tokens.Dot, tokens.Is, tokens.Pipe) && !(behind(1, tokens.Not) && behind(2, tokens.Is)):
			t.Val = "None"
		}
	}
}

// closing returns where the bracket closes that opens at i.
func closing(ts []*tokens.Token, i int) int {
	depth := 0
	for ; i < len(ts); i++ {
		switch ts[i].Type {
		case tokens.LeftParenthesis, tokens.LeftBracket, tokens.LeftBrace:
			depth++
		case tokens.RightParenthesis, tokens.RightBracket, tokens.RightBrace:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(ts) - 1 // the lexer has seen to it that they match
}

// top returns where a word stands outside of brackets, or -1.
func top(ts []*tokens.Token, word string) int {
	for i := 0; i < len(ts); i++ {
		switch ts[i].Type {
		case tokens.LeftParenthesis, tokens.LeftBracket, tokens.LeftBrace:
			i = closing(ts, i)
		case tokens.Name:
			if ts[i].Val == word && (i == 0 || ts[i-1].Type != tokens.Dot) {
				return i
			}
		}
	}
	return -1
}

// group rewrites values with commas, colons or = between them.
func (c *compiler) group(ts []*tokens.Token) []*tokens.Token {
	var out []*tokens.Token
	start := 0
	for i := 0; i <= len(ts); i++ {
		if i < len(ts) {
			switch ts[i].Type {
			case tokens.LeftParenthesis, tokens.LeftBracket, tokens.LeftBrace:
				i = closing(ts, i)
				continue
			case tokens.Comma, tokens.Colon, tokens.Assign:
			default:
				continue
			}
		}
		out = append(out, c.conditional(ts[start:min(i, len(ts))])...)
		if i < len(ts) {
			out = append(out, ts[i])
		}
		start = i + 1
	}
	return out
}

// conditional writes "x if y else z" as ((y) and [x] or [z])[0], which gonja evaluates no more of than Jinja does. The
// last bracket is marked, so that the tree shows what it was.
func (c *compiler) conditional(ts []*tokens.Token) []*tokens.Token {
	at := top(ts, "if")
	if at < 0 {
		return c.operands(ts)
	}
	test, other := ts[at+1:], []*tokens.Token{c.token(tokens.Name, undefinedName)}
	if behind := top(test, "else"); behind >= 0 {
		test, other = test[:behind], c.conditional(test[behind+1:])
	}
	if at == 0 || len(test) == 0 || len(other) == 0 {
		fail(c.line, "expected a value beside if")
	}
	open, shut := c.token(tokens.LeftParenthesis, "("), c.token(tokens.RightParenthesis, ")")
	first, end := c.token(tokens.LeftBracket, "["), c.token(tokens.RightBracket, "]")
	return slices.Concat([]*tokens.Token{open, open}, c.conditional(test), []*tokens.Token{shut, c.token(tokens.And, "and"), first}, c.operands(ts[:at]),
		[]*tokens.Token{end, c.token(tokens.Or, "or"), first}, other, []*tokens.Token{end, shut, c.token(tokens.LeftBracket, conditionMark), c.token(tokens.Integer, "0"), end})
}

const conditionMark = "if"

// operands rewrites what is in brackets, and puts some around what stands behind in: gonja would take the first
// value alone.
func (c *compiler) operands(ts []*tokens.Token) []*tokens.Token {
	var out []*tokens.Token
	for i := 0; i < len(ts); i++ {
		t := ts[i]
		out = append(out, t)
		switch t.Type {
		case tokens.LeftParenthesis, tokens.LeftBracket, tokens.LeftBrace:
			end := closing(ts, i)
			inner := ts[i+1 : end]
			if n := len(inner) - 1; t.Type == tokens.LeftBrace && n > 0 && inner[n].Type == tokens.Comma {
				inner = inner[:n] // which gonja does not take
			}
			out = append(append(out, c.group(inner)...), ts[end])
			i = end
		case tokens.In:
			end := i + 1
			for end < len(ts) && !slices.Contains(loose, ts[end].Type) {
				if ts[end].Type == tokens.LeftParenthesis || ts[end].Type == tokens.LeftBracket || ts[end].Type == tokens.LeftBrace {
					end = closing(ts, end)
				}
				end++
			}
			if end > i+1 {
				out = append(append(append(out, c.token(tokens.LeftParenthesis, "(")), c.operands(ts[i+1:end])...), c.token(tokens.RightParenthesis, ")"))
			}
			i = end - 1
		}
	}
	return out
}

// loose are the operators that bind less than in does, or as much.
var loose = []tokens.Type{tokens.And, tokens.Or, tokens.Not, tokens.Is, tokens.In, tokens.Equals, tokens.Ne, tokens.LowerThan,
	tokens.LowerThanOrEqual, tokens.GreaterThan, tokens.GreaterThanOrEqual}

// unquote reads the escapes of a text as Python does.
func unquote(s string) string {
	var b strings.Builder
	for s != "" {
		if len(s) > 1 && s[0] == '\\' && strings.IndexByte("'\"\n", s[1]) >= 0 {
			b.WriteString(strings.TrimSuffix(s[1:2], "\n"))
			s = s[2:]
			continue
		}
		if c, _, rest, err := strconv.UnquoteChar(s, 0); err == nil && s[0] == '\\' {
			b.WriteRune(c)
			s = rest
			continue
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}
