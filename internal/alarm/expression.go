package alarm

import (
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A Function says what a part makes of the samples of a window.
type Function string

// Monasca's functions, and after them Troupe's own. A percentile is "P" and a number, as in P99 or P99.9.
const (
	Avg   Function = "AVG"
	Min   Function = "MIN"
	Max   Function = "MAX"
	Sum   Function = "SUM"
	Count Function = "COUNT"
	Last  Function = "LAST"

	Rate   Function = "RATE"   // how fast a counter grows, per second
	Absent Function = "ABSENT" // no sample came for the part's period
)

// Quantile returns the share that a percentile function asks for, 0.99 for P99.
func (f Function) Quantile() (float64, bool) {
	digits, found := strings.CutPrefix(string(f), "P")
	if !found || digits == "" || strings.Trim(digits, "0123456789.") != "" {
		return 0, false
	}
	percent, err := strconv.ParseFloat(digits, 64)
	return percent / 100, err == nil && percent > 0 && percent < 100
}

// An Operator compares a value with a threshold.
type Operator string

// The operators.
const (
	LT  Operator = "LT"
	LTE Operator = "LTE"
	GT  Operator = "GT"
	GTE Operator = "GTE"
)

var symbols = map[Operator]string{LT: "<", LTE: "<=", GT: ">", GTE: ">="}

// A Part is one comparison of an expression (Monasca: sub-expression).
type Part struct {
	Function      Function
	Metric        string
	Dimensions    metric.Dimensions
	Operator      Operator // empty for Absent
	Threshold     float64
	Period        time.Duration
	Times         int // consecutive windows; at least 1
	Deterministic bool
}

// Fits reports whether samples of the series count for the part.
func (p *Part) Fits(s *metric.Series) bool {
	return p.Metric == s.Name && s.Dimensions.Covers(p.Dimensions)
}

// String returns the canonical text of the part, as reasons show it.
func (p *Part) String() string {
	var b strings.Builder
	b.WriteString(strings.ToLower(string(p.Function)) + "(" + p.Metric + p.Dimensions.String())
	if p.Deterministic {
		b.WriteString(", deterministic")
	}
	if p.Period != defaultPeriod || p.Function == Absent {
		b.WriteString(", " + periodText(p.Period))
	}
	b.WriteByte(')')
	if p.Function == Absent {
		return b.String()
	}
	b.WriteString(" " + symbols[p.Operator] + " " + decimal(p.Threshold))
	if p.Times != 1 {
		b.WriteString(" times " + strconv.Itoa(p.Times))
	}
	return b.String()
}

func periodText(d time.Duration) string {
	if d%time.Second != 0 {
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	}
	return strconv.FormatInt(int64(d/time.Second), 10)
}

// decimal prints with at least one digit after the point and never an exponent.
func decimal(v float64) string {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// A Node of the boolean tree is a part, or "and" or "or" of its children.
type Node struct {
	Operator string // "and", "or", or empty for a part
	Part     int    // index into Expression.Parts, when Operator is empty
	Children []Node
}

// An Expression is a parsed text.
type Expression struct {
	Text  string // as it was written
	Parts []Part // in order of appearance
	Root  Node
}

// Deterministic reports whether every part is.
func (e *Expression) Deterministic() bool {
	for i := range e.Parts {
		if !e.Parts[i].Deterministic {
			return false
		}
	}
	return true
}

// String returns the canonical text of the whole.
func (e *Expression) String() string { return e.text(&e.Root) }

func (e *Expression) text(n *Node) string {
	if n.Operator == "" {
		return e.Parts[n.Part].String()
	}
	texts := make([]string, len(n.Children))
	for i := range n.Children {
		texts[i] = e.text(&n.Children[i])
	}
	return "(" + strings.Join(texts, " "+n.Operator+" ") + ")"
}

// holds evaluates the tree, given which parts are in ALARM.
func (n *Node) holds(cells []cell) bool {
	switch n.Operator {
	case "and":
		for i := range n.Children {
			if !n.Children[i].holds(cells) {
				return false
			}
		}
		return true
	case "or":
		for i := range n.Children {
			if n.Children[i].holds(cells) {
				return true
			}
		}
		return false
	}
	return cells[n.Part].state == StateAlarm
}
