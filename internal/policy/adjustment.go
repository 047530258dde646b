package policy

import (
	"math"
	"time"
)

// Kind says how an adjustment changes a cardinality.
type Kind string

// The kinds of adjustment.
const (
	Change           Kind = "CHANGE"            // by so many
	Cardinality      Kind = "CARDINALITY"       // to so many
	PercentageChange Kind = "PERCENTAGE_CHANGE" // by so many percent, at least one
)

// An Adjustment is what a policy does to a role once it fires.
type Adjustment struct {
	Kind    Kind `json:"kind"`
	Adjust  int  `json:"adjust"`             // negative to shrink; percent for PercentageChange
	MinStep int  `json:"min_step,omitempty"` // PercentageChange changes by at least so many; 0 for one
}

// Apply returns the cardinality that the adjustment wishes for a role that has current instances.
// A nil bound counts as 0, so a role without a maximum does not grow. The wish of a growing
// adjustment stays at or below the larger of upper and current, that of a shrinking one at or above
// lower; Cardinality may still wish for a value outside the bounds, which the caller refuses.
//
// An adjustment by 0 percent changes nothing, and one by a percentage of nothing changes by the
// smallest step.
func (a Adjustment) Apply(current int, lower, upper *int) int {
	bound := func(p *int) int {
		if p == nil {
			return 0
		}
		return *p
	}
	wish := current
	switch a.Kind {
	case Change:
		wish = add(current, a.Adjust)
	case Cardinality:
		wish = a.Adjust
	case PercentageChange:
		switch step := a.step(current); {
		case a.Adjust > 0:
			wish = add(current, step)
		case a.Adjust < 0:
			wish = add(current, -step)
		}
	}
	if top := max(current, bound(upper)); a.Adjust > 0 && wish > top {
		wish = top
	}
	if floor := bound(lower); a.Adjust < 0 && wish < floor {
		wish = floor
	}
	return wish
}

// step returns the size of a change by percent.
func (a Adjustment) step(current int) int {
	size := math.Trunc(math.Abs(float64(current) * float64(a.Adjust) / 100))
	return max(1, a.MinStep, int(math.Min(size, math.MaxInt32)))
}

// add adds without overflow; no cardinality is anywhere near the limits.
func add(a, b int) int {
	return int(math.Max(math.MinInt32, math.Min(math.MaxInt32, float64(a)+float64(b))))
}

// Periods says how often an expression is looked at, and how many times in a row it must hold.
type Periods struct {
	Length time.Duration `json:"period,omitempty"`        // 0: whenever a value arrives
	Number int           `json:"period_number,omitempty"` // 0 and 1: fires on the first
}

// A Count is what is remembered of a policy between two passes.
type Count struct {
	LastEval  time.Time `json:"last_eval,omitzero"`   // zero before the first
	TrueEvals int       `json:"true_evals,omitempty"` // times in a row that the expression held, at most Periods.Number
}

// Due reports whether the expression is to be evaluated in the pass at now.
func (p Periods) Due(c Count, now time.Time) bool {
	return c.LastEval.IsZero() || !now.Before(c.LastEval.Add(p.Length))
}

// Observe counts an evaluation made at now and reports whether the policy fires. It goes on firing
// while the expression holds; the caller resets TrueEvals when the role starts to scale.
func (p Periods) Observe(c Count, now time.Time, holds bool) (next Count, fires bool) {
	if !holds {
		return Count{LastEval: now}, false
	}
	n := min(c.TrueEvals+1, p.Number)
	return Count{LastEval: now, TrueEvals: n}, n >= p.Number
}

// Cooldown returns how long a role rests after a policy scaled it: the policy's own cooldown, else
// the role's, else the server's. nil means that there is none.
func Cooldown(policy, role *time.Duration, server time.Duration) time.Duration {
	switch {
	case policy != nil:
		return *policy
	case role != nil:
		return *role
	}
	return server
}
