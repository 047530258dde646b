package alarm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Dialect says which texts are expressions.
type Dialect uint8

// Every expression of Monasca means the same in Troupe's dialect, which adds periods from one second,
// duration suffixes (ms, s, m, h, d), rate, percentiles and absent.
const (
	Monasca Dialect = iota
	Troupe
)

// Bounds of expressions. Upstream has none; each protects memory.
const (
	MaxText   = 64 << 10 // bytes
	MaxDepth  = 250      // nested parentheses
	MaxParts  = 256
	MaxTimes  = 1440                 // windows of one part
	MaxPeriod = 366 * 24 * time.Hour // of one window

	defaultPeriod = 60 * time.Second
	minSilence    = 100 * time.Millisecond
)

// A SyntaxError says why a text is no expression, and where.
type SyntaxError struct {
	Column  int // in characters, from 1
	Message string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Message) }

// Parse reads an expression. Its errors are of type *SyntaxError.
func Parse(text string, dialect Dialect) (*Expression, error) {
	p := &parser{text: text, dialect: dialect, out: &Expression{Text: text}}
	if len(text) > MaxText {
		return nil, p.fail(0, "an expression has at most %d bytes, this one %d", MaxText, len(text))
	}
	root, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.blanks(); p.at < len(text) {
		return nil, p.unexpected("and, or, or the end")
	}
	p.out.Root = root
	return p.out, nil
}

// ParseReading reads what a policy measures: a function of a metric with dimensions, and how old its values may be,
// "p95(http_response_time{code=200}, 30s)". Its errors are of type *SyntaxError.
func ParseReading(text string) (Part, error) {
	const threshold = " > 0" // makes an expression of it
	e, err := Parse(text+threshold, Troupe)
	var syntax *SyntaxError
	switch {
	case errors.As(err, &syntax):
		syntax.Column = min(syntax.Column, utf8.RuneCountInString(text)+1)
		return Part{}, syntax
	case err != nil:
		return Part{}, err
	case len(e.Parts) > 1:
		return Part{}, &SyntaxError{1, "one function of a metric is wanted here, not a comparison"}
	}
	return e.Parts[0], nil
}

type parser struct {
	text    string
	at      int // bytes
	dialect Dialect
	out     *Expression
}

// fail makes an error at a place in bytes.
func (p *parser) fail(at int, format string, args ...any) error {
	return &SyntaxError{utf8.RuneCountInString(p.text[:at]) + 1, fmt.Sprintf(format, args...)}
}

func (p *parser) unexpected(wanted string) error {
	if p.at >= len(p.text) {
		return p.fail(p.at, "the expression ends where %s was expected", wanted)
	}
	found, size := utf8.DecodeRuneInString(p.text[p.at:])
	if found == utf8.RuneError && size == 1 {
		return p.fail(p.at, "the expression is not UTF-8")
	}
	return p.fail(p.at, "found %q where %s was expected", found, wanted)
}

func (p *parser) blanks() {
	for p.at < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[p.at:])
		if !unicode.IsSpace(r) {
			return
		}
		p.at += size
	}
}

// word takes one of the words, in any case, after blanks; the longer of two that begin alike comes first.
func (p *parser) word(words ...string) string {
	p.blanks()
	for _, w := range words {
		if rest := p.text[p.at:]; len(rest) >= len(w) && strings.EqualFold(rest[:len(w)], w) {
			p.at += len(w)
			return w
		}
	}
	return ""
}

func (p *parser) or(depth int) (Node, error) {
	return p.chain("or", []string{"or", "||"}, func() (Node, error) {
		return p.chain("and", []string{"and", "&&"}, func() (Node, error) { return p.part(depth) })
	})
}

// chain reads operands of one operator. A single operand is returned as it is.
func (p *parser) chain(operator string, words []string, operand func() (Node, error)) (Node, error) {
	first, err := operand()
	if err != nil || p.word(words...) == "" {
		return first, err
	}
	node := Node{Operator: operator, Children: []Node{first}}
	for {
		next, err := operand()
		if err != nil {
			return Node{}, err
		}
		node.Children = append(node.Children, next)
		if p.word(words...) == "" {
			return node, nil
		}
	}
}

func (p *parser) part(depth int) (Node, error) {
	start := p.at
	if p.word("(") != "" {
		if depth == MaxDepth {
			return Node{}, p.fail(p.at-1, "parentheses are nested more than %d deep", MaxDepth)
		}
		node, err := p.or(depth + 1)
		if err != nil {
			return Node{}, err
		}
		if p.word(")") == "" {
			return Node{}, p.unexpected("and, or, or )")
		}
		return node, nil
	}
	if len(p.out.Parts) == MaxParts {
		return Node{}, p.fail(start, "an expression has at most %d parts", MaxParts)
	}
	part, err := p.comparison()
	if err != nil {
		return Node{}, err
	}
	p.out.Parts = append(p.out.Parts, part)
	return Node{Part: len(p.out.Parts) - 1}, nil
}

func (p *parser) comparison() (Part, error) {
	part := Part{Period: defaultPeriod, Times: 1}
	p.blanks()
	start := p.at
	name, err := p.name("a function or a metric")
	if err != nil {
		return part, err
	}
	if p.word("(") != "" {
		if part.Function, err = p.function(start, name); err != nil {
			return part, err
		}
		if err = p.call(&part); err != nil || part.Function == Absent {
			return part, err
		}
	} else {
		part.Metric = name
		if part.Dimensions, err = p.dimensions(); err != nil {
			return part, err
		}
	}
	return part, p.bound(&part)
}

// bound reads operator, threshold and times.
func (p *parser) bound(part *Part) error {
	operators := map[string]Operator{"<=": LTE, ">=": GTE, "<": LT, ">": GT, "lte": LTE, "gte": GTE, "lt": LT, "gt": GT}
	operator := p.word("<=", ">=", "<", ">", "lte", "gte", "lt", "gt")
	if operator == "" {
		return p.unexpected("one of < <= > >=")
	}
	part.Operator = operators[operator]
	if part.Function == "" { // a bare metric
		part.Function = Max
		if part.Operator == LT || part.Operator == LTE {
			part.Function = Min
		}
	}
	var err error
	if part.Threshold, err = p.threshold(); err != nil {
		return err
	}
	if p.word("times") == "" {
		return nil
	}
	p.blanks()
	start := p.at
	digits := p.digits()
	if digits == "" {
		return p.unexpected("how many times")
	}
	if part.Times, err = strconv.Atoi(digits); err != nil || part.Times < 1 || part.Times > MaxTimes {
		return p.fail(start, "times %.20s is not from 1 to %d", digits, MaxTimes)
	}
	return nil
}

var functions = []string{"avg", "min", "max", "sum", "count", "last"}

func (p *parser) function(at int, name string) (Function, error) {
	known := functions
	f := Function(strings.ToUpper(name))
	if p.dialect == Troupe {
		known = append([]string{"rate", "absent", "p50", "p90", "p95", "p99"}, functions...)
		if _, ok := f.Quantile(); ok {
			return f, nil
		}
	}
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return f, nil
		}
	}
	return "", p.fail(at, "no function %.40q; there are %s%s", name, strings.Join(known, ", "), nearest.Hint(name, known))
}

// call reads what stands after the opening parenthesis of a function, and the closing one.
func (p *parser) call(part *Part) error {
	p.blanks()
	var err error
	if part.Metric, err = p.name("a metric"); err != nil {
		return err
	}
	if part.Dimensions, err = p.dimensions(); err != nil {
		return err
	}
	comma := p.word(",") != ""
	if comma && part.Function != Absent && p.word("deterministic") != "" {
		part.Deterministic = true
		comma = p.word(",") != ""
	}
	if comma {
		if err = p.period(part); err != nil {
			return err
		}
	} else if part.Function == Absent {
		return p.unexpected("a comma and how long nothing came, as in absent(m, 3s)")
	}
	if p.word(")") == "" {
		return p.unexpected(")")
	}
	return nil
}

func (p *parser) period(part *Part) error {
	p.blanks()
	start := p.at
	digits := p.digits()
	if digits == "" {
		return p.unexpected("a period")
	}
	unit := time.Second
	if p.dialect == Troupe {
		units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
		if suffix := p.word("ms", "s", "m", "h", "d"); suffix != "" {
			unit = units[suffix]
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > int64(MaxPeriod/unit) {
		return p.fail(start, "the period %.20s is longer than a year", digits)
	}
	part.Period = time.Duration(n) * unit
	switch {
	case n == 0 && p.dialect != Monasca && part.Function != Absent:
		return p.fail(start, "the period is 0; write at least 1s, or leave it out for 60 seconds")
	case p.dialect == Monasca && (n == 0 || part.Period%time.Minute != 0):
		return p.fail(start, "the period %s is not a multiple of 60", digits)
	case part.Function == Absent && part.Period < minSilence:
		return p.fail(start, "absent waits at least %v", minSilence)
	case part.Function != Absent && part.Period%time.Second != 0:
		return p.fail(start, "the period %v is not a whole number of seconds", part.Period)
	}
	return nil
}

func (p *parser) threshold() (float64, error) {
	p.blanks()
	start, sign := p.at, ""
	if p.word("-") != "" {
		sign = "-"
		p.blanks()
	}
	text := p.digits()
	if text == "" {
		return 0, p.unexpected("a number")
	}
	if rest := p.text[p.at:]; len(rest) > 1 && rest[0] == '.' && isDigit(rest[1]) {
		p.at++
		text += "." + p.digits()
	}
	value, err := strconv.ParseFloat(sign+text, 64)
	if err != nil {
		return 0, p.fail(start, "the threshold %.20s… is too large", text)
	}
	return value, nil
}

func (p *parser) digits() string {
	start := p.at
	for p.at < len(p.text) && isDigit(p.text[p.at]) {
		p.at++
	}
	return p.text[start:p.at]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// dimensions reads what stands in braces, if there are any.
func (p *parser) dimensions() (metric.Dimensions, error) {
	if p.word("{") == "" || p.word("}") != "" {
		return nil, nil
	}
	values := map[string]string{}
	for {
		p.blanks()
		start := p.at
		name, err := p.padded("the name of a dimension")
		if err != nil {
			return nil, err
		}
		if p.word("=") == "" {
			return nil, p.unexpected("=")
		}
		value, err := p.padded("the value of a dimension")
		if err != nil {
			return nil, err
		}
		if _, twice := values[name]; twice {
			return nil, p.fail(start, "dimension %q is given twice", name)
		}
		values[name] = value
		if p.word(",") != "" {
			continue
		}
		if p.word("}") == "" {
			return nil, p.unexpected(", or }")
		}
		return metric.NewDimensions(values), nil
	}
}

// name reads a run of the characters that names are made of.
func (p *parser) name(what string) (string, error) { return p.run(what, false) }

// padded reads the name or value of a dimension: it may hold blanks inside, and loses those around.
func (p *parser) padded(what string) (string, error) {
	p.blanks()
	text, err := p.run(what, true)
	return strings.TrimRight(text, " "), err
}

func (p *parser) run(what string, blank bool) (string, error) {
	start, count := p.at, 0
	for p.at < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[p.at:])
		if !(inName(r) && !(r == utf8.RuneError && size == 1)) && !(blank && r == ' ') {
			break
		}
		p.at += size
		count++
	}
	text := p.text[start:p.at]
	if text == "" {
		return "", p.unexpected(what)
	}
	if count > metric.MaxName && utf8.RuneCountInString(strings.TrimRight(text, " ")) > metric.MaxName {
		return "", p.fail(start, "%s has at most %d characters", what, metric.MaxName)
	}
	return text, nil
}

// inName reports whether names and dimensions may hold the character: Monasca's set.
func inName(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	case r < utf8.RuneSelf:
		return strings.ContainsRune(".-_#!$%&'*+/:;?@[\\]^`|~", r)
	}
	return r <= 0xFFFF && !unicode.IsSpace(r)
}
