package telemetry

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Limits of a query beside those of its evaluation: the parser heeds no time-out, and the engine allocates the points of a
// subquery before it counts them.
const (
	maxQuery       = 64 << 10 // bytes
	maxBare        = 8 << 10  // bytes outside of quotes: the parser's time grows with their square
	maxQueryDepth  = 100      // of parentheses, and of signs in a row
	maxSubquery    = 100_000  // points of one series
	subqueryPeriod = time.Minute
)

// vet refuses a query whose cost has no bound; span is how far its answer reaches. Wraps ErrQuery and ErrQueryCost.
func (h *History) vet(query string, span time.Duration) error {
	if err := vetText(query); err != nil {
		return err
	}
	expr, err := h.parser.ParseExpr(query)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrQuery, err)
	}
	return parser.Walk(points(span), expr, nil)
}

// points visits the nodes of a query and says when a subquery has too many; it is how far the query around it reaches.
type points time.Duration

func (p points) Visit(node parser.Node, _ []parser.Node) (parser.Visitor, error) {
	q, ok := node.(*parser.SubqueryExpr)
	if !ok {
		return p, nil
	}
	step := q.Step
	if step <= 0 {
		step = subqueryPeriod
	}
	reach := time.Duration(p) + q.Range
	if n := reach / step; n > maxSubquery || reach < 0 {
		return nil, fmt.Errorf("%w: column %d: the subquery has more than %d points for each series; ask for a longer step or a shorter range",
			ErrQueryCost, q.PositionRange().Start+1, maxSubquery)
	}
	return points(reach), nil
}

// vetText bounds what the parser gets to see.
func vetText(query string) error {
	if len(query) > maxQuery {
		return fmt.Errorf("%w: the query has %d bytes, %d are the most", ErrQuery, len(query), maxQuery)
	}
	depth, signs, bare := 0, 0, 0
	var quote byte
	for i := 0; i < len(query); i++ {
		c := query[i]
		switch {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
			continue
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '#':
			for i+1 < len(query) && query[i+1] != '\n' {
				i++
			}
			continue
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '-' || c == '+' || c == '^':
			signs++
		}
		if bare++; bare > maxBare {
			return fmt.Errorf("%w: the query has more than %d bytes outside of quotes", ErrQuery, maxBare)
		}
		if c != '-' && c != '+' && c != ' ' && c != '\n' && c != '\t' {
			signs = 0
		}
		if depth > maxQueryDepth || signs > maxQueryDepth {
			return fmt.Errorf("%w: column %d: it is nested deeper than %d", ErrQuery, i+1, maxQueryDepth)
		}
	}
	return nil
}
