package policy

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// A Policy is one rule by which the cardinality of a role follows values or the clock. Exactly one of
// Elastic, Timed, Target, Steps and Queue is set.
type Policy struct {
	Name    string   `json:"name,omitempty"`
	Elastic *Elastic `json:"elastic,omitempty"`
	Timed   *Timed   `json:"timed,omitempty"`
	Target  *Target  `json:"target,omitempty"`
	Steps   *Steps   `json:"steps,omitempty"`
	Queue   *Queue   `json:"queue,omitempty"`
	// Cooldown follows each scaling by this policy, both ways; nil: the role's. Up.Cooldown and
	// Down.Cooldown do not stop the watching: what is still wished when they end is done then.
	Cooldown *time.Duration `json:"cooldown,omitempty"`
	Up       Way            `json:"up,omitzero"`
	Down     Way            `json:"down,omitzero"`
	// Fallback is what to do when the values stay away; nil: nothing.
	Fallback *Fallback `json:"fallback,omitempty"`
}

// A Way bounds what Target, Steps and Queue may do in one direction.
type Way struct {
	Off     bool `json:"off,omitempty"`
	Most    int  `json:"most,omitempty"`    // instances at a time; 0 for any number
	Percent int  `json:"percent,omitempty"` // of the present cardinality at a time, at least one; 0 for any
	// Cooldown is how long after the last scaling in this direction the next may follow.
	Cooldown time.Duration `json:"cooldown,omitempty"`
	// Stabilise is how long a wish must have lasted; the mildest wish of that time counts. nil: at once
	// upwards, five minutes downwards.
	Stabilise *time.Duration `json:"stabilise,omitempty"`
}

// Elastic adjusts while an expression of OneFlow's grammar holds.
type Elastic struct {
	Expression string `json:"expression"`
	Adjustment
	Periods
}

// Timed adjusts once or at each recurrence.
type Timed struct {
	Start      string `json:"start,omitempty"`      // ParseStart
	Recurrence string `json:"recurrence,omitempty"` // ParseRecurrence
	Zone       string `json:"zone,omitempty"`       // of the tz database; "" for the server's
	Adjustment
}

// Target keeps the value of a reading near a figure: twice the figure asks for twice the instances.
type Target struct {
	Value string  `json:"value"` // a reading: "avg(cpu.user_perc)"
	Keep  float64 `json:"keep"`
	// Tolerance is the part of Keep by which the value may be off without consequence; 0 means 0.1.
	Tolerance float64 `json:"tolerance,omitempty"`
	// Predict looks at the same hour of past days, too; nil does not.
	Predict *Predict `json:"predict,omitempty"`
}

// Predict scales ahead for a load that comes each day: the wish is at least what the same hour of the past
// Days needed, as it will be Lead from now.
type Predict struct {
	Days int           `json:"days"`
	Lead time.Duration `json:"lead,omitempty"`
}

// Steps adjusts by how far a value is off. The first step that fits counts.
type Steps struct {
	Value string `json:"value"`
	Steps []Step `json:"steps"`
}

// A Step fits while the value is at or above Above and below Below; nil for no bound.
type Step struct {
	Above *float64 `json:"above,omitempty"`
	Below *float64 `json:"below,omitempty"`
	Adjustment
}

// Queue wants one instance for each so many things that wait, and none while nothing waits.
type Queue struct {
	Value       string  `json:"value"`        // a reading of the whole queue, not of an instance
	PerInstance float64 `json:"per_instance"` // things that one instance is good for
	// Activate is the length above which a role of no instances gets its first; it goes back to none only
	// when the length was at or below it for Idle, 0 meaning five minutes, and the role's minimum is 0.
	Activate float64       `json:"activate,omitempty"`
	Idle     time.Duration `json:"idle,omitempty"`
}

// Fallback sets a cardinality when no value came for a while.
type Fallback struct {
	After       time.Duration `json:"after"`
	Cardinality int           `json:"cardinality"`
}

// Defaults of policies.
const (
	defaultTolerance = 0.1
	defaultSettle    = 5 * time.Minute
	defaultIdle      = 5 * time.Minute
	countEvery       = time.Second // counts of an elastic policy without a period are at least so far apart
	// passEvery is how often an elastic policy without a period looks again at values that do not change.
	passEvery = 30 * time.Second
)

// kind returns the name of what is set, or an error unless exactly one is.
func (p *Policy) kind() (string, error) {
	name, n := "", 0
	for _, k := range [...]struct {
		name string
		set  bool
	}{{"elastic", p.Elastic != nil}, {"schedule", p.Timed != nil}, {"target", p.Target != nil}, {"steps", p.Steps != nil}, {"queue", p.Queue != nil}} {
		if k.set {
			name, n = k.name, n+1
		}
	}
	if n != 1 {
		return "", fmt.Errorf("a policy is exactly one of elastic, schedule, target, steps and queue; this is %d of them", n)
	}
	return name, nil
}

// Title names the policy for people: its name, or what it does.
func (p *Policy) Title() string {
	kind, _ := p.kind()
	switch {
	case p.Name != "":
		return "policy " + p.Name
	case p.Elastic != nil:
		return "elasticity policy"
	case p.Timed != nil:
		return "scheduled policy"
	}
	return kind + " policy"
}

// Reading returns the reading that the policy asks for; "" for Elastic and Timed. Elastic policies ask for
// attributes: see Attributes.
func (p *Policy) Reading() string {
	switch {
	case p.Target != nil:
		return p.Target.Value
	case p.Steps != nil:
		return p.Steps.Value
	case p.Queue != nil:
		return p.Queue.Value
	}
	return ""
}

// Forecast is the name under which a policy finds what its reading will be, where Predict asks for it.
func (p *Policy) Forecast() string {
	if p.Target == nil || p.Target.Predict == nil {
		return ""
	}
	return "forecast " + p.Target.Value
}

// Validate returns why the policy cannot work, or nil.
func (p *Policy) Validate() error {
	if _, err := Compile(p); err != nil || p.Steps == nil {
		return err
	}
	return p.Steps.reachable()
}

// reachable returns an error about a step that never counts, because nothing is left of it by those before or by its own bounds.
func (s *Steps) reachable() error {
	low := func(x *Step) float64 {
		if x.Above == nil {
			return math.Inf(-1)
		}
		return *x.Above
	}
	high := func(x *Step) float64 {
		if x.Below == nil {
			return math.Inf(1)
		}
		return *x.Below
	}
	for n := range s.Steps {
		x := &s.Steps[n]
		if low(x) >= high(x) {
			return fmt.Errorf("steps: no value is within step %d", n+1)
		}
		for m := range n {
			if before := &s.Steps[m]; low(before) <= low(x) && high(x) <= high(before) {
				return fmt.Errorf("steps: step %d is never reached: step %d comes first and has all its values; write the narrower one first", n+1, m+1)
			}
		}
	}
	return nil
}

// Sets returns the cardinalities that the policy may set whatever there is, by the key that says so.
func (p *Policy) Sets() map[string]int {
	sets := make(map[string]int)
	add := func(key string, a *Adjustment) {
		if a.Kind == Cardinality {
			sets[key] = a.Adjust
		}
	}
	switch {
	case p.Elastic != nil:
		add("scale", &p.Elastic.Adjustment)
	case p.Timed != nil:
		add("scale", &p.Timed.Adjustment)
	case p.Steps != nil:
		for n := range p.Steps.Steps {
			add(fmt.Sprintf("steps[%d].scale", n), &p.Steps.Steps[n].Adjustment)
		}
	}
	if p.Fallback != nil {
		sets["fallback"] = p.Fallback.Cardinality
	}
	return sets
}

func (p *Policy) check() error {
	if _, err := p.kind(); err != nil {
		return err
	}
	switch t, s, q := p.Target, p.Steps, p.Queue; {
	case t != nil && (t.Value == "" || !(t.Keep > 0) || math.IsInf(t.Keep, 0)):
		return errors.New("target: name a value, and a figure above 0 to keep it at")
	case t != nil && !(t.Tolerance >= 0 && t.Tolerance < 1):
		return errors.New("target: tolerance is a part of the figure, from 0 to below 1")
	case t != nil && t.Predict != nil && (t.Predict.Days < 1 || t.Predict.Days > 28 || t.Predict.Lead < 0 || t.Predict.Lead > 24*time.Hour):
		return errors.New("target: predict from 1 to 28 days, at most a day ahead")
	case s != nil && (s.Value == "" || len(s.Steps) == 0 || len(s.Steps) > 100):
		return errors.New("steps: name a value, and 1 to 100 steps")
	case q != nil && (q.Value == "" || !(q.PerInstance > 0) || math.IsInf(q.PerInstance, 0)):
		return errors.New("queue: name a value, and how many things one instance is good for")
	case q != nil && (q.Idle < 0 || !(q.Activate >= 0)):
		return errors.New("queue: activate and idle cannot be negative")
	case p.Fallback != nil && (p.Fallback.After <= 0 || p.Fallback.Cardinality < 0):
		return errors.New("fallback: name a time without values, and a cardinality")
	}
	for _, w := range [...]Way{p.Up, p.Down} {
		if w.Most < 0 || w.Percent < 0 || w.Cooldown < 0 || w.Stabilise != nil && *w.Stabilise < 0 {
			return errors.New("up and down: limits and times cannot be negative")
		}
	}
	if p.Cooldown != nil && *p.Cooldown < 0 {
		return errors.New("cooldown cannot be negative")
	}
	return nil
}
