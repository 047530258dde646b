package service

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/policy"
)

// A Measurement is what the policies of a role may see: values of attributes, in upper case, and of readings,
// by their text.
type Measurement struct {
	Role   string
	Values map[string]Reading
}

// A Reading is one value.
type Reading = policy.Reading

// governance is what a role needs to follow its policies; nil for a role without.
type governance struct {
	rules  []*policy.Rule     // nil for one that does not work
	order  []int              // in which they are asked
	values map[string]Reading // nil until they are told
	fresh  bool               // values came since the rules were asked
	again  Time               // when they are to be asked at the latest; 0 for never
}

// measured takes what was measured for a role's policies.
func (s *Service) measured(m *Measurement) {
	if r := s.Role(m.Role); r != nil && r.governed != nil {
		g := r.governed
		g.fresh = g.fresh || newer(g.values, m.Values)
		g.values = m.Values
		s.touch(r)
	}
}

// newer reports whether there is a value that is not in old, or came after it.
func newer(old, values map[string]Reading) bool {
	for name, x := range values {
		if before, known := old[name]; !known || before.Value != x.Value || x.At.After(before.At) {
			return true
		}
	}
	return old == nil
}

// linkPolicies makes the policies of the role's spec ready. What is remembered of those that stay is kept.
func (r *Role) linkPolicies() {
	policies := r.Spec.Policies
	if len(policies) == 0 {
		r.governed, r.Policies = nil, nil
		return
	}
	g := &governance{}
	if r.governed != nil && slices.EqualFunc(r.governed.rules, policies, func(x *policy.Rule, p policy.Policy) bool { return x != nil && reflect.DeepEqual(*x.Policy, p) }) {
		g.values = r.governed.values
	}
	for n := range policies {
		rule, err := policy.Compile(&policies[n])
		if err != nil { // Validate lets none pass; one of a stored spec that no longer works does nothing
			rule = nil
		}
		g.rules = append(g.rules, rule)
	}
	for _, turn := range [...]func(*policy.Rule) bool{
		func(x *policy.Rule) bool { return x.Timed != nil },
		func(x *policy.Rule) bool { return x.Elastic != nil },
		func(x *policy.Rule) bool { return !x.Adjusts() },
	} {
		for n, x := range g.rules {
			if x != nil && turn(x) {
				g.order = append(g.order, n)
			}
		}
	}
	r.Policies = remembered(r.governed, r.Policies, policies)
	r.governed = g
}

// remembered is what is remembered of policies that may have changed: of those that stay, as it was. old is nil where
// nothing has changed.
func remembered(old *governance, memories []policy.Memory, policies []policy.Policy) []policy.Memory {
	if old == nil && len(memories) == len(policies) {
		return memories
	}
	kept := make([]policy.Memory, len(policies))
	if old == nil {
		return kept
	}
	taken := make([]bool, len(old.rules))
	for n := range policies {
		for m, x := range old.rules {
			if !taken[m] && x != nil && m < len(memories) && reflect.DeepEqual(x.Policy, &policies[n]) {
				kept[n], taken[m] = memories[m], true
				break
			}
		}
	}
	return kept
}

// govern asks the policies of a role for its cardinality, and follows.
func (s *Service) govern(r *Role, now Time) {
	if r.governed == nil || s.Leaving || r.Removing || !s.Deployed || !s.governable(r) {
		return
	}
	if n, v := s.wished(r, now); v.Scales {
		s.follow(r, n, v, now)
	}
	s.keepMinimum(r, now)
}

// wished returns the number of the policy that has its way, and its verdict. Scheduled ones come first, then
// OneFlow's expressions, each in their order: the first that wishes a change has it. The others share one
// wish, the largest of theirs, so that no value is left wanting.
func (s *Service) wished(r *Role, now Time) (chosen int, wish policy.Verdict) {
	g := r.governed
	in := policy.Input{Now: now.Time(), Cardinality: r.Cardinality, Lower: r.Spec.Min, Upper: r.Spec.Max, Fresh: g.fresh, Value: g.value, Settled: r.Since.Time()}
	if in.Upper == nil && !s.Spec.Strict { // OneFlow's roles do not grow without one
		most := MaxCardinality
		in.Upper = &most
	}
	g.fresh, g.again = false, 0
	for _, n := range g.order {
		rule := g.rules[n]
		if g.values == nil && len(rule.Attributes()) > 0 {
			continue // a value that is not told yet is not a value that is not there: !(LOAD > 5) would hold
		}
		v := rule.Decide(&r.Policies[n], in)
		s.head = s.head || v.Kept
		g.wake(s, v.Again)
		switch {
		case rule.Adjusts():
			if v.Scales {
				return n, v
			}
		case v.Because != "" && (wish.Because == "" || v.Wish > wish.Wish):
			chosen, wish = n, v
		}
	}
	return chosen, wish
}

// Governed reports whether a role of the service follows policies.
func (s *Service) Governed() bool {
	return slices.ContainsFunc(s.Roles, func(r *Role) bool { return r.governed != nil })
}

// askPolicies looks at the roles that follow policies again; false when there are none.
func (s *Service) askPolicies() (any bool) {
	for _, r := range s.Roles {
		if r.governed != nil {
			s.touch(r)
			any = true
		}
	}
	return any
}

// governable: a role is left alone while it is being changed, in cooldown, or does not work.
func (s *Service) governable(r *Role) bool {
	if s.Spec.Strict && s.State != Running {
		return false
	}
	return r.State == Running || r.State == Warning && !s.Spec.Strict
}

func (g *governance) value(name string) (policy.Reading, bool) {
	v, ok := g.values[name]
	return v, ok
}

// wake sees to it that the rules are asked again.
func (g *governance) wake(s *Service, at time.Time) {
	if t := TimeOf(at); t > 0 && (g.again == 0 || t < g.again) {
		g.again = t
		s.wake(t, 0)
	}
}

// follow does what a policy wishes.
func (s *Service) follow(r *Role, n int, v policy.Verdict, now Time) {
	wish, rule, memory := v.Wish, r.governed.rules[n], &r.Policies[n]
	why := s.outOfBounds(r, wish)
	if why == "" && wish > r.Cardinality && s.Allow != nil {
		if err := s.Allow(Usage{}.Add(single(r.Spec), wish-r.Cardinality)); err != nil {
			why = err.Error()
		}
	}
	if why != "" {
		if memory.Refused != why {
			memory.Refused = why
			s.event(now, true, r, nil, "%s wishes %d instances of role %s: %s", v.Because, wish, r.Name, why)
		}
		return
	}
	memory.Refused = ""
	s.event(now, false, r, nil, "%s → scale role %s from %d to %d", v.Because, r.Name, r.Cardinality, wish)
	rule.Scaled(memory, now.Time(), r.Cardinality, wish)
	for m := range r.Policies {
		r.Policies[m].TrueEvals = 0
	}
	cooldown := time.Duration(-1)
	if rule.Cooldown != nil {
		cooldown = *rule.Cooldown
	}
	r.Decision = &PolicyDecision{Time: now, Policy: rule.Title(), From: r.Cardinality, To: wish, Because: v.Because}
	s.scaleTo(r, wish, cooldown, now)
}

// outOfBounds says why a policy may not have its wish; "" when it may.
func (s *Service) outOfBounds(r *Role, wish int) string {
	switch {
	case wish < 0:
		return fmt.Sprintf("cardinality %d is negative", wish)
	case wish < r.Spec.MinOf():
		return fmt.Sprintf("Minimum cardinality is %d", r.Spec.MinOf())
	case r.Spec.MaxOf() >= 0 && wish > r.Spec.MaxOf():
		return fmt.Sprintf("Maximum cardinality is %d", r.Spec.MaxOf())
	case wish > MaxCardinality:
		return fmt.Sprintf("%d is the most", MaxCardinality)
	}
	return ""
}

// keepMinimum brings a role with policies that shrank by itself (OnGone forget) back to its minimum.
func (s *Service) keepMinimum(r *Role, now Time) {
	if r.State == Running && r.Cardinality < r.Spec.MinOf() && slices.ContainsFunc(r.governed.rules, func(x *policy.Rule) bool { return x != nil && x.Elastic != nil }) {
		s.event(now, false, r, nil, "role %s has fewer than its minimum of %d", r.Name, r.Spec.MinOf())
		s.scaleTo(r, r.Spec.MinOf(), 0, now)
	}
}

// A PolicyDecision is what a policy last changed, and why.
type PolicyDecision struct {
	Time    Time   `json:"t"`
	Policy  string `json:"policy"`
	From    int    `json:"from"`
	To      int    `json:"to"`
	Because string `json:"because"` // with the values that led to it
}

// A PolicyState is what is known of a policy of a role.
type PolicyState struct {
	Policy           string // its title
	Value            string // what it saw last, or when its time comes, in words
	Refused          string // why its last wish was not followed; "" when it was
	LastUp, LastDown time.Time
}

// PolicyStates tells how the policies of a role of the service stand, in their order.
func (s *Service) PolicyStates(r *Role, now time.Time) (out []PolicyState) {
	if r.governed == nil {
		return nil
	}
	in := policy.Input{Now: now, Value: r.governed.value, Unmanaged: s.unmanaged()}
	for n, rule := range r.governed.rules {
		m := &r.Policies[n]
		x := PolicyState{Policy: r.Spec.Policies[n].Title(), Refused: m.Refused, LastUp: m.LastUp, LastDown: m.LastDown}
		if rule != nil {
			x.Value = rule.Describe(m, in)
		}
		out = append(out, x)
	}
	return out
}

// missed warns of schedules whose only time has passed.
func (s *Spec) missed(now time.Time) (warnings []string) {
	for n := range s.Roles {
		r := &s.Roles[n]
		for m := range r.Policies {
			if rule, err := policy.Compile(&r.Policies[m]); err == nil && rule.Over(now) {
				warnings = append(warnings, fmt.Sprintf("role %s: %s never comes: its start, %s, has passed", r.Name, r.Policies[m].Title(), r.Policies[m].Timed.Start))
			}
		}
	}
	return warnings
}

// boundsText is a role's count as people write it.
func boundsText(r *RoleSpec) string {
	if r.MaxOf() < 0 {
		return fmt.Sprintf("%d or more", r.MinOf())
	}
	return fmt.Sprintf("%d..%d", r.MinOf(), r.MaxOf())
}

// policies checks those of a role.
func (v *validator) policies(at string, r *RoleSpec) {
	if len(r.Policies) > MaxPolicies {
		v.fail(at, "%d policies; %d is the most", len(r.Policies), MaxPolicies)
		return
	}
	for n := range r.Policies {
		p := &r.Policies[n]
		if err := p.Validate(); err != nil {
			v.fail(indexed(at, n), "%v", err)
			continue
		}
		sets := p.Sets()
		for _, key := range slices.Sorted(maps.Keys(sets)) {
			if v.strict { // OneFlow refuses when it comes to it
				break
			}
			if c := sets[key]; c < r.MinOf() || r.MaxOf() >= 0 && c > r.MaxOf() {
				v.fail(indexed(at, n), "%s: %d instances are outside the role's count, %s", key, c, boundsText(r))
			}
		}
		if text := p.Reading(); text != "" {
			if _, err := alarm.ParseReading(text); err != nil {
				kind := map[bool]string{p.Target != nil: ".target", p.Steps != nil: ".steps", p.Queue != nil: ".queue"}[true]
				v.fail(indexed(at, n)+kind+".value", "%v", err)
			}
		}
	}
}
