package policy

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Rule is a policy made ready to decide.
type Rule struct {
	*Policy
	expression *Expression // of Elastic
	schedule   *Schedule   // of Timed
}

// Compile makes a policy ready, or says why it cannot work.
func Compile(p *Policy) (*Rule, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	r := &Rule{Policy: p}
	var err error
	switch {
	case p.Elastic != nil:
		r.expression, err = ParseExpression(p.Elastic.Expression)
	case p.Timed != nil:
		r.schedule, err = p.Timed.compile()
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (t *Timed) compile() (*Schedule, error) {
	zone := time.Local
	if t.Zone != "" {
		var err error
		if zone, err = time.LoadLocation(t.Zone); err != nil {
			return nil, fmt.Errorf("there is no time zone %.40q; write a name such as Europe/Berlin, or UTC", t.Zone)
		}
	}
	if (t.Start == "") == (t.Recurrence == "") {
		return nil, fmt.Errorf("a schedule has either a start or a recurrence")
	}
	if t.Start != "" {
		return ParseStart(t.Start, zone)
	}
	return ParseRecurrence(t.Recurrence, zone)
}

// Over reports whether a schedule has no time left after now.
func (r *Rule) Over(now time.Time) bool { return r.schedule != nil && r.schedule.Next(now).IsZero() }

// Adjusts reports whether the rule changes a cardinality from time to time, as Elastic and Timed do; the
// others know at any time which one they want.
func (r *Rule) Adjusts() bool { return r.Elastic != nil || r.Timed != nil }

// Attributes returns the names, in upper case, that an elastic policy asks for.
func (r *Rule) Attributes() []string {
	if r.expression == nil {
		return nil
	}
	return r.expression.Names()
}

// An Input is what a rule decides from.
type Input struct {
	Now          time.Time
	Cardinality  int
	Lower, Upper *int // nil: none
	// Value returns the present value of an attribute or reading, and whether there is one.
	Value func(name string) (v Reading, ok bool)
	// Fresh: values came since the last decision; otherwise only time has passed.
	Fresh bool
	// Settled is since when the role has what was last wished; values from before say nothing about that.
	Settled time.Time
	// Unmanaged: nobody looks after the role's service, so that no rule is asked; what Describe tells.
	Unmanaged bool
}

// A Reading is one value that rules decide from.
type Reading struct {
	Value float64
	Of    int       // instances that it is the average of; 1 where it is not an average
	At    time.Time // when the newest sample in it came; zero where that is not known
}

func (in *Input) value(name string) (float64, bool) {
	v, ok := in.Value(name)
	return v.Value, ok && !math.IsNaN(v.Value)
}

// A Memory is what is remembered of a policy between two decisions. Its exported fields are kept for good.
type Memory struct {
	Count
	// Evaluated is the expression with its values, as last looked at.
	Evaluated string `json:"evaluated,omitempty"`
	// Refused is why the last wish was not followed; "" when it was.
	Refused  string    `json:"refused,omitempty"`
	LastUp   time.Time `json:"last_up,omitzero"`
	LastDown time.Time `json:"last_down,omitzero"`

	wishes  []wish    // of the stabilisation windows, oldest first; thinned out
	watched time.Time // since when there are wishes without a gap
	idle    time.Time // since when nothing waits
	silent  time.Time // since when there was no value
	load    float64   // the last value times the instances that bear it
	few     TooFew
	had     bool   // there was a value once
	waits   string // what is wished later, and why then; "" for nothing
}

type wish struct {
	at time.Time
	n  int
}

// A Verdict is what a rule wishes now.
type Verdict struct {
	Wish    int
	Scales  bool
	Because string    // with the values that led to it; "" when there is nothing to go by
	Again   time.Time // when to ask again if nothing happens before; zero for never
	Kept    bool      // what is to be kept for good has changed
}

// Decide asks the rule. The caller scales to the wish, within the role's bounds, and then calls Scaled.
func (r *Rule) Decide(m *Memory, in Input) Verdict {
	switch {
	case r.Elastic != nil:
		return r.decideElastic(m, in)
	case r.Timed != nil:
		return r.decideTimed(m, in)
	}
	return r.decideWish(m, in)
}

// Scaled notes that the cardinality was changed at now on the wish of this rule.
func (r *Rule) Scaled(m *Memory, now time.Time, from, to int) {
	m.TrueEvals = 0
	if to > from {
		m.LastUp = now
		m.few = TooFew{from, m.load}
	} else {
		m.LastDown = now
	}
	m.wishes, m.watched = nil, time.Time{}
}

// Describe says for people what the rule saw last, or when its time comes.
func (r *Rule) Describe(m *Memory, in Input) string {
	if r.Timed == nil {
		return r.describeValue(m, in) + in.waits()
	}
	after := m.LastEval
	if after.IsZero() {
		after = in.Now
	}
	next := r.schedule.Next(after)
	switch {
	case next.IsZero():
		return "its time is over"
	case next.After(in.Now):
		return "next at " + next.Format(time.RFC3339) + in.waits()
	}
	return "due since " + next.Format(time.RFC3339) + in.waits()
}

// waits tells of a rule that would have something to wish.
func (in *Input) waits() string {
	if in.Unmanaged {
		return "; waits while nobody manages the service"
	}
	return ""
}

// describeValue is Describe for the rules that go by a value.
func (r *Rule) describeValue(m *Memory, in Input) string {
	switch {
	case r.Elastic != nil && m.Evaluated == "":
		return r.Elastic.Expression + ", not looked at yet"
	case r.Elastic != nil:
		if n := r.Elastic.Number; n > 1 {
			return fmt.Sprintf("%s, held %d of %d times", m.Evaluated, m.TrueEvals, n)
		}
		return m.Evaluated
	}
	value, ok := in.Value(r.Reading())
	switch {
	case !ok && m.had && !m.silent.IsZero():
		return r.Reading() + " has had no value since " + m.silent.Format(time.RFC3339)
	case !ok:
		return r.Reading() + " has no value yet"
	}
	text := r.Reading() + " is " + number(value.Value)
	if value.Of > 1 {
		text += fmt.Sprintf(", over %d instances", value.Of)
	}
	if m.waits != "" {
		text += "; " + m.waits
	}
	return text
}

// sameLoad is the part of a load that counts as that load: values are never quite steady.
const sameLoad = 0.95

// TooFew is a cardinality that was too small for a load: the role grew from it.
type TooFew struct {
	N    int     `json:"n"`
	Load float64 `json:"load"` // 0 while none is known
}

// Enough keeps a shrinking wish above what was too small for the same load: under a constant load nobody
// goes up and down for ever, however steps are laid.
func (f TooFew) Enough(wish, cardinality int, load float64) int {
	if f.Load > 0 && wish <= f.N && load >= f.Load*sameLoad {
		return min(f.N+1, cardinality)
	}
	return wish
}

// decideElastic follows OneFlow: the expression is looked at once a period, and adjusts when it has held
// so many times in a row. Values that arrive are looked at on arrival.
func (r *Rule) decideElastic(m *Memory, in Input) (v Verdict) {
	p := r.Elastic.Periods
	switch {
	case p.Length > 0:
	case p.Number > 1:
		p.Length = countEvery
	case !in.Fresh:
		p.Length = passEvery
	}
	if !p.Due(m.Count, in.Now) {
		v.Again = m.LastEval.Add(p.Length)
		return v
	}
	holds, text := r.expression.Eval(in.value)
	before := m.TrueEvals
	count, fires := p.Observe(m.Count, in.Now, holds)
	m.Count, m.Evaluated, v.Kept = count, text, count.TrueEvals != before
	if holds {
		v.Again = in.Now.Add(cmp.Or(p.Length, passEvery))
	}
	if fires {
		v.Wish = r.Elastic.Apply(in.Cardinality, in.Lower, in.Upper)
		v.Scales = v.Wish != in.Cardinality
		v.Because = fmt.Sprintf("%s: %s", r.Title(), text)
		if p.Number > 1 {
			v.Because += fmt.Sprintf(", %d times in a row", p.Number)
		}
	}
	return v
}

func (r *Rule) decideTimed(m *Memory, in Input) (v Verdict) {
	first := m.LastEval.IsZero()
	last, fires := r.schedule.Observe(m.LastEval, in.Now)
	if first || fires {
		m.LastEval, v.Kept = last, true
	}
	v.Again = r.schedule.Next(m.LastEval)
	if fires {
		v.Wish = r.Timed.Apply(in.Cardinality, in.Lower, in.Upper)
		v.Scales = v.Wish != in.Cardinality
		v.Because = fmt.Sprintf("%s: its time has come (%s)", r.Title(), strings.TrimSpace(r.Timed.Start+r.Timed.Recurrence))
	}
	return v
}

// decideWish serves the rules that know at any time which cardinality they want.
func (r *Rule) decideWish(m *Memory, in Input) Verdict {
	m.waits = ""
	want, because, ok := r.want(m, &in)
	if !ok {
		return r.fallBack(m, in)
	}
	m.silent, m.had = time.Time{}, true
	want = within(want, in.Lower, in.Upper)
	if m.watched.IsZero() {
		m.watched = in.Now
	}
	m.remember(wish{in.Now, want}, max(r.Up.settle(0), r.Down.settle(defaultSettle)))
	v := Verdict{Wish: in.Cardinality, Because: r.Title() + ": " + because}
	way, last := &r.Up, m.LastUp
	if want < in.Cardinality {
		way, last = &r.Down, m.LastDown
	}
	if wish := r.settled(m, &in, want, &v); wish != in.Cardinality && !way.Off {
		wish = r.limit(way, in.Cardinality, wish)
		if rest := last.Add(way.Cooldown); !last.IsZero() && rest.After(in.Now) {
			v.Again = rest
			m.wait(wish, rest, map[bool]string{true: " (up.cooldown)", false: " (down.cooldown)"}[wish > in.Cardinality])
		} else if r.ripe(m, &in, wish) {
			v.Wish, v.Scales = wish, true
		} else {
			m.waits = fmt.Sprintf("%d with the next value", wish)
		}
	}
	if r.Queue != nil && !m.idle.IsZero() && want > 0 && in.Cardinality > 0 { // not idle long enough yet
		due := m.idle.Add(r.idleTime())
		if v.Again = soonest(v.Again, due); in.Lower == nil || *in.Lower == 0 {
			m.wait(0, due, ", if that lasts (idle)")
		}
	}
	return v
}

// settled returns what the rule wishes once the wishes of its stabilisation windows are taken into account; the present cardinality while
// one has not lasted long enough.
func (r *Rule) settled(m *Memory, in *Input, want int, v *Verdict) int {
	switch {
	case want > in.Cardinality:
		window := r.Up.settle(0)
		wish := m.mildest(in.Now, window, want, func(a, b int) int { return min(a, b) })
		if wait := m.watched.Add(window); wait.After(in.Now) {
			v.Again = wait
			m.wait(want, wait, ", if that lasts (up.stabilise)")
			return in.Cardinality
		}
		return max(wish, in.Cardinality)
	case want < in.Cardinality && want == 0 && r.Queue != nil: // it was idle for long enough
		return 0
	case want < in.Cardinality:
		window, lowest := r.Down.settle(defaultSettle), m.few.Enough(want, in.Cardinality, m.load)
		wish := m.mildest(in.Now, window, lowest, func(a, b int) int { return max(a, b) })
		if wait := m.watched.Add(window); wait.After(in.Now) {
			v.Again = wait
		} else if wish >= in.Cardinality {
			v.Again = m.turn(in.Now, window, in.Cardinality)
		} else {
			return wish
		}
		if lowest < in.Cardinality {
			m.wait(lowest, v.Again, ", if that lasts (down.stabilise)")
		}
	}
	return in.Cardinality
}

// wait notes what is wished later.
func (m *Memory) wait(wish int, at time.Time, why string) {
	text := strconv.Itoa(wish)
	if wish == 0 {
		text = "none"
	}
	if m.waits = text + why; !at.IsZero() {
		m.waits = text + " at " + at.Format(time.RFC3339) + why
	}
}

// ripe reports whether the present value may change the cardinality: it counts for one change of the rule's, and the next
// needs one that came after the role had settled. A queue that was idle wishes none whatever changed before.
func (r *Rule) ripe(m *Memory, in *Input, wish int) bool {
	last := m.LastUp
	if m.LastDown.After(last) {
		last = m.LastDown
	}
	value, ok := in.Value(r.Reading())
	if last.IsZero() || !ok || r.Queue != nil && wish == 0 {
		return true
	}
	return value.At.After(last) && value.At.After(in.Settled)
}

// limit keeps a change within what the way allows at a time.
func (r *Rule) limit(w *Way, current, wish int) int {
	most := abs(wish - current)
	if w.Most > 0 {
		most = min(most, w.Most)
	}
	if w.Percent > 0 {
		most = min(most, max(1, current*w.Percent/100))
	}
	if wish < current {
		return current - most
	}
	return current + most
}

// want returns the cardinality that the present value asks for.
func (r *Rule) want(m *Memory, in *Input) (n int, because string, ok bool) {
	x, ok := in.Value(r.Reading())
	value, of := x.Value, x.Of
	if m.load = 0; ok {
		m.load = value * float64(of)
	}
	if !ok || math.IsNaN(value) {
		if r.Target == nil || in.Cardinality > 0 {
			return 0, "", false
		}
	}
	switch {
	case r.Target != nil:
		return r.Target.want(r.Forecast(), value, of, ok, in)
	case r.Steps != nil:
		n, because = r.Steps.want(value, in)
		return n, because, true
	}
	n, because = r.wantForQueue(m, value, in)
	return n, because, true
}

// want of a target: the load, which is the value times the instances that bear it, shared out anew.
func (t *Target) want(forecast string, value float64, of int, ok bool, in *Input) (int, string, bool) {
	n, because := in.Cardinality, ""
	if ok && of > 0 {
		because = fmt.Sprintf("%s is %s, to be kept at %s", t.Value, number(value), number(t.Keep))
		tolerance := t.Tolerance
		if tolerance == 0 {
			tolerance = defaultTolerance
		}
		if ratio := value / t.Keep; math.Abs(ratio-1) > tolerance {
			n = ceil(float64(of) * ratio)
		}
	}
	if load, known := in.value(forecast); known && forecast != "" { // the sum over the role
		if ahead := ceil(load / t.Keep); ahead > n {
			n, because = ahead, fmt.Sprintf("%s is expected to need %d instances, from the same hour of past days", t.Value, ahead)
		}
	} else if !ok {
		return 0, "", false
	}
	return n, because, true
}

func (s *Steps) want(value float64, in *Input) (int, string) {
	for i := range s.Steps {
		x := &s.Steps[i]
		if (x.Above == nil || value >= *x.Above) && (x.Below == nil || value < *x.Below) {
			return x.Apply(in.Cardinality, in.Lower, in.Upper), fmt.Sprintf("%s is %s, which is step %d", s.Value, number(value), i+1)
		}
	}
	return in.Cardinality, fmt.Sprintf("%s is %s, outside all steps", s.Value, number(value))
}

func (r *Rule) idleTime() time.Duration {
	if r.Queue.Idle > 0 {
		return r.Queue.Idle
	}
	return defaultIdle
}

func (r *Rule) wantForQueue(m *Memory, length float64, in *Input) (int, string) {
	q := r.Queue
	n := ceil(length / q.PerInstance)
	because := fmt.Sprintf("%s is %s, one instance is good for %s", q.Value, number(length), number(q.PerInstance))
	if length > q.Activate {
		m.idle = time.Time{}
		return max(1, n), because
	}
	if in.Cardinality == 0 {
		return 0, because
	}
	if m.idle.IsZero() {
		m.idle = in.Now
	}
	if in.Now.Sub(m.idle) < r.idleTime() {
		return max(1, n), because
	}
	return 0, because + fmt.Sprintf(", for %v", in.Now.Sub(m.idle).Round(time.Second))
}

// fallBack decides while there is no value.
func (r *Rule) fallBack(m *Memory, in Input) (v Verdict) {
	m.wishes, m.watched, m.idle = nil, time.Time{}, time.Time{}
	if m.silent.IsZero() {
		m.silent = in.Now
	}
	if r.Fallback == nil {
		return v
	}
	if due := m.silent.Add(r.Fallback.After); due.After(in.Now) {
		v.Again = due
		return v
	}
	v.Wish = within(r.Fallback.Cardinality, in.Lower, in.Upper)
	v.Scales = v.Wish != in.Cardinality
	v.Because = fmt.Sprintf("%s: no value of %s for %v", r.Title(), r.Reading(), in.Now.Sub(m.silent).Round(time.Millisecond))
	return v
}

func (w *Way) settle(otherwise time.Duration) time.Duration {
	if w.Stabilise != nil {
		return *w.Stabilise
	}
	return otherwise
}

// wishesKept bounds a stabilisation window: wishes closer together than a hundredth of it share a place.
const wishesKept = 100

// remember adds a wish to the window and forgets what is older than it.
func (m *Memory) remember(w wish, window time.Duration) {
	first := 0
	for first < len(m.wishes)-1 && !m.wishes[first+1].at.After(w.at.Add(-window)) {
		first++
	}
	m.wishes = append(m.wishes[:0], m.wishes[first:]...)
	if n := len(m.wishes); n > 0 && m.wishes[n-1].n == w.n {
		return // it lasts
	}
	if n := len(m.wishes); n >= wishesKept {
		copy(m.wishes[n/2:], m.wishes[n/2+1:]) // what is lost lay between others
		m.wishes = m.wishes[:n-1]
	}
	m.wishes = append(m.wishes, w)
}

// mildest folds the wishes that stood within the window.
func (m *Memory) mildest(now time.Time, window time.Duration, wish int, milder func(a, b int) int) int {
	for i := len(m.wishes) - 1; i >= 0; i-- {
		wish = milder(wish, m.wishes[i].n)
		if !m.wishes[i].at.After(now.Add(-window)) {
			break
		}
	}
	return wish
}

// turn is when the last wish of cardinality or more leaves the window: the first wish after it is that old.
func (m *Memory) turn(now time.Time, window time.Duration, cardinality int) time.Time {
	for i := len(m.wishes) - 1; i > 0; i-- {
		if m.wishes[i-1].n >= cardinality {
			return m.wishes[i].at.Add(window)
		}
	}
	return time.Time{}
}

func within(n int, lower, upper *int) int {
	if upper != nil {
		n = min(n, *upper)
	}
	if lower != nil {
		n = max(n, *lower)
	}
	return max(n, 0)
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func ceil(v float64) int {
	// A hair above a whole number is that number: averages are not exact.
	return int(math.Max(0, math.Min(math.Ceil(v-1e-9), math.MaxInt32)))
}

func abs(n int) int { return max(n, -n) }

func number(v float64) string { return strings.TrimSuffix(FormatFloat(math.Round(v*100)/100), ".0") }
