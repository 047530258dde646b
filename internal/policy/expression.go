package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of an expression's text.
const (
	MaxExpression = 64 << 10 // bytes
	MaxNesting    = 100      // parentheses and negations inside each other
)

// An Expression is a parsed elasticity expression such as "CPU > 60 && (LOAD > 4 | USERS >= 100)".
//
//	expression := condition [("&&" | "&" | "||" | "|") expression]
//	condition  := operand op operand | "!" expression | "(" expression ")"
//	op         := "==" | "=" | "!=" | "<>" | ">=" | ">" | "<=" | "<"
//	operand    := number | name | "name" | 'name'
//	number     := ["-"] digits ["." digits]
//	name       := letter (letter | digit | "_")*
//
// "and" and "or" have one weight and group to the right: a & b | c means a & (b | c). A negation
// swallows all to its right: !a & b means !(a & b). Between the parts there may be white space.
type Expression struct {
	conditions []condition // at least one
	operators  []string    // as written, one fewer than conditions
}

// A condition is a comparison, or, where inner is set, a group or a negation.
type condition struct {
	left, right operand
	operator    string // of the comparison, as written
	inner       *Expression
	negated     bool
}

type operand struct {
	name   string // upper case; "" for a number
	text   string // the number as written
	number float64
}

// A SyntaxError says where a text breaks the rules of its language.
type SyntaxError struct {
	Line, Column int // from 1; columns count characters
	Message      string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// ParseExpression parses an elasticity expression. The error is a *SyntaxError.
func ParseExpression(text string) (*Expression, error) {
	p := parser{text: text}
	if len(text) > MaxExpression {
		p.at = MaxExpression
		return nil, p.fail(fmt.Sprintf("the expression is longer than %d bytes", MaxExpression))
	}
	e, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.at < len(text) {
		return nil, p.expected(`"&", "|" or the end`)
	}
	return e, nil
}

// Eval evaluates the expression. value returns the value of a name (always in upper case) and
// whether it has one; a comparison of a name without a value is false. printed is the expression
// with the values beside the names: "CPU[26.67] > 20 & FOO[--] > 3".
func (e *Expression) Eval(value func(name string) (v float64, ok bool)) (holds bool, printed string) {
	var b strings.Builder
	holds = e.eval(value, &b)
	return holds, b.String()
}

// Evaluate parses and evaluates a stored expression: one that does not parse is false, and the
// reason is printed.
func Evaluate(text string, value func(name string) (v float64, ok bool)) (holds bool, printed string) {
	e, err := ParseExpression(text)
	if err != nil {
		return false, fmt.Sprintf("Parse error. '%s': %s", text, err)
	}
	return e.Eval(value)
}

// Names returns the names that the expression asks for, in upper case, in order of appearance,
// each once.
func (e *Expression) Names() []string {
	var names []string
	seen := make(map[string]bool)
	_, _ = e.Eval(func(name string) (float64, bool) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
		return 0, false
	})
	return names
}

// String prints the expression with one space round operators and upper-case names.
func (e *Expression) String() string {
	var b strings.Builder
	e.eval(nil, &b)
	return b.String()
}

// eval evaluates every part, for all of them are printed. Without value only names are printed.
func (e *Expression) eval(value func(string) (float64, bool), b *strings.Builder) bool {
	results := make([]bool, len(e.conditions))
	for i := range e.conditions {
		if i > 0 {
			b.WriteString(" " + e.operators[i-1] + " ")
		}
		results[i] = e.conditions[i].eval(value, b)
	}
	holds := results[len(results)-1]
	for i := len(results) - 2; i >= 0; i-- {
		if e.operators[i][0] == '&' {
			holds = results[i] && holds
		} else {
			holds = results[i] || holds
		}
	}
	return holds
}

func (c *condition) eval(value func(string) (float64, bool), b *strings.Builder) bool {
	if c.inner != nil {
		if c.negated {
			b.WriteByte('!')
			return !c.inner.eval(value, b)
		}
		b.WriteByte('(')
		holds := c.inner.eval(value, b)
		b.WriteByte(')')
		return holds
	}
	left, hasLeft := c.left.eval(value, b)
	b.WriteString(" " + c.operator + " ")
	right, hasRight := c.right.eval(value, b)
	return hasLeft && hasRight && compare(left, c.operator, right)
}

func (o *operand) eval(value func(string) (float64, bool), b *strings.Builder) (float64, bool) {
	if o.name == "" {
		b.WriteString(o.text)
		return o.number, true
	}
	b.WriteString(o.name)
	if value == nil {
		return 0, false
	}
	v, ok := value(o.name)
	if ok {
		b.WriteString("[" + FormatFloat(v) + "]")
	} else {
		b.WriteString("[--]")
	}
	return v, ok
}

func compare(a float64, operator string, b float64) bool {
	switch operator {
	case "=", "==":
		return a == b
	case "!=", "<>":
		return a != b
	case ">":
		return a > b
	case ">=":
		return a >= b
	case "<":
		return a < b
	default: // "<="
		return a <= b
	}
}

// A parser reads an expression by recursive descent. Only groups and negations recurse, so the
// depth is bounded by MaxNesting however long a chain of conditions is.
type parser struct {
	text string
	at   int
}

func (p *parser) expression(depth int) (*Expression, error) {
	e := new(Expression)
	for {
		c, err := p.condition(depth)
		if err != nil {
			return nil, err
		}
		e.conditions = append(e.conditions, c)
		p.space()
		operator := p.take("&&", "&", "||", "|")
		if operator == "" {
			return e, nil
		}
		e.operators = append(e.operators, operator)
	}
}

func (p *parser) condition(depth int) (condition, error) {
	p.space()
	negated := p.take("!") != ""
	if negated || p.take("(") != "" {
		if depth >= MaxNesting {
			return condition{}, p.fail(fmt.Sprintf("nested more than %d deep", MaxNesting))
		}
		inner, err := p.expression(depth + 1)
		if err == nil && !negated && p.take(")") == "" {
			err = p.expected(`")"`)
		}
		return condition{inner: inner, negated: negated}, err
	}
	left, err := p.operand()
	if err != nil {
		return condition{}, err
	}
	p.space()
	operator := p.take("==", "=", "!=", "<>", ">=", ">", "<=", "<")
	if operator == "" {
		return condition{}, p.expected("a comparison (= != < <= > >=)")
	}
	p.space()
	right, err := p.operand()
	return condition{left: left, operator: operator, right: right}, err
}

func (p *parser) operand() (operand, error) {
	rest := p.text[p.at:]
	switch {
	case rest == "":
	case isLetter(rest[0]):
		return operand{name: strings.ToUpper(p.name())}, nil
	case rest[0] == '"' || rest[0] == '\'':
		p.at++
		if p.at < len(p.text) && isLetter(p.text[p.at]) {
			name := p.name()
			if p.take(rest[:1]) == "" {
				return operand{}, p.expected("the closing quote " + rest[:1])
			}
			return operand{name: strings.ToUpper(name)}, nil
		}
		return operand{}, p.expected("a name")
	case rest[0] == '-' || isDigit(rest[0]):
		return p.number()
	}
	return operand{}, p.expected("a name or a number")
}

// name reads a name; the caller has seen its first letter.
func (p *parser) name() string {
	start := p.at
	for p.at < len(p.text) && (isLetter(p.text[p.at]) || isDigit(p.text[p.at]) || p.text[p.at] == '_') {
		p.at++
	}
	return p.text[start:p.at]
}

func (p *parser) number() (operand, error) {
	start := p.at
	p.take("-")
	if !p.digits() {
		return operand{}, p.expected("a digit")
	}
	if p.take(".") != "" && !p.digits() {
		return operand{}, p.expected("a digit")
	}
	text := p.text[start:p.at]
	// Out of range is infinity, which compares as it should.
	number, _ := strconv.ParseFloat(text, 64)
	return operand{text: text, number: number}, nil
}

func (p *parser) digits() bool {
	start := p.at
	for p.at < len(p.text) && isDigit(p.text[p.at]) {
		p.at++
	}
	return p.at > start
}

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// take consumes and returns the first of the words that comes next, or returns "".
func (p *parser) take(words ...string) string {
	for _, w := range words {
		if strings.HasPrefix(p.text[p.at:], w) {
			p.at += len(w)
			return w
		}
	}
	return ""
}

func (p *parser) expected(what string) error {
	found := "the end"
	if p.at < len(p.text) {
		r, _ := utf8.DecodeRuneInString(p.text[p.at:])
		found = strconv.QuoteRune(r)
	}
	return p.fail("expected " + what + ", found " + found)
}

func (p *parser) fail(message string) error {
	before := p.text[:p.at]
	return &SyntaxError{
		Line:    1 + strings.Count(before, "\n"),
		Column:  1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]),
		Message: message,
	}
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
