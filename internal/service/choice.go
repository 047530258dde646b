package service

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// MaxImplementations is how many ways to make it a machine may have.
const MaxImplementations = 64

// Title is the name of the implementation; without one, its driver and account.
func (x *Implementation) Title() string {
	switch {
	case x.Name != "":
		return x.Name
	case x.Account != "":
		return x.Driver + ":" + x.Account
	}
	return x.Driver
}

// By returns the machine as its n-th implementation makes it: with what that says of its own in place of what
// the machine says. It is m itself where the implementation says nothing.
func (m *Machine) By(n int) *Machine {
	if n >= len(m.Implementations) {
		return m
	}
	x := &m.Implementations[n]
	if len(x.Env) == 0 && len(x.Files) == 0 && x.UserData == "" && len(x.Checks) == 0 {
		return m
	}
	own := *m
	if len(x.Env) > 0 {
		own.Env = make(map[string]string, len(m.Env)+len(x.Env))
		maps.Copy(own.Env, m.Env)
		maps.Copy(own.Env, x.Env)
	}
	if len(x.Files) > 0 {
		own.Files = x.Files
	}
	if x.UserData != "" {
		own.UserData = x.UserData
	}
	own.Checks = m.checksBy(n)
	return &own
}

func (m *Machine) checksBy(n int) []Check {
	if n < len(m.Implementations) && len(m.Implementations[n].Checks) > 0 {
		return m.Implementations[n].Checks
	}
	return m.Checks
}

// Candidates returns the indices of the implementations that the role's filter lets through, in their order.
func (r *RoleSpec) Candidates() []int {
	out := make([]int, 0, len(r.Machine.Implementations))
	for n := range r.Machine.Implementations {
		if r.unfit(n) == "" {
			out = append(out, n)
		}
	}
	return out
}

// unfit says why the filter leaves an implementation out; "" when it does not.
func (r *RoleSpec) unfit(n int) string {
	labels := r.Machine.Implementations[n].Labels
	for _, key := range keysOf(r.Filter) {
		switch have, ok := labels[key]; {
		case !ok:
			return fmt.Sprintf("it has no label %s", key)
		case !sameJSON(have, r.Filter[key]):
			return fmt.Sprintf("its label %s is %s, not %s", key, asJSON(have), asJSON(r.Filter[key]))
		}
	}
	return ""
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// sameJSON reports whether two values are the same to JSON, which knows one kind of number.
func sameJSON(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// Definition returns the machine that the instance's present machine was made from, as its implementation makes it.
func (i *Instance) Definition() *Machine { return i.role.definition(i.Revision).By(int(i.Impl)) }

// Implementation returns what the instance's machine is, or was last, made with; nil when its definition has no
// such implementation any more.
func (i *Instance) Implementation() *Implementation { return i.role.implementation(i.Revision, i.Impl) }

// ImplementationOf returns what the machine of an effect is made with; nil when that is not known any more.
func (s *Service) ImplementationOf(e Effect) *Implementation {
	r := s.roleByID(e.Role)
	if r == nil {
		return nil
	}
	return r.implementation(e.Revision, e.Impl)
}

func (r *Role) implementation(revision uint32, impl uint8) *Implementation {
	m := r.definition(revision)
	if int(impl) >= len(m.Implementations) {
		return nil
	}
	return &m.Implementations[impl]
}

// HasChecks reports whether any instance of the role may have health checks.
func (r *Role) HasChecks() bool {
	has := func(m *Machine) bool {
		return len(m.Checks) > 0 || slices.ContainsFunc(m.Implementations, func(x Implementation) bool { return len(x.Checks) > 0 })
	}
	return has(&r.Spec.Machine) || slices.ContainsFunc(r.Spec.Earlier, func(e EarlierMachine) bool { return has(&e.Machine) })
}

// Checks are the health checks of the instance's machine.
func (i *Instance) Checks() []Check { return i.role.definition(i.Revision).checksBy(int(i.Impl)) }

// linkImplementations makes ready what choosing needs.
func (r *Role) linkImplementations() {
	r.candidates = r.Spec.Candidates()
	r.checked = len(r.candidates) > 0
	for _, n := range r.candidates {
		r.checked = r.checked && len(r.Spec.Machine.checksBy(n)) > 0
	}
	r.users = nil
	if r.Spec.Machine.Choose == Spread && len(r.candidates) > 1 {
		r.users = make([]int, len(r.Spec.Machine.Implementations))
		for i := range r.Instances {
			r.countUser(i, 1)
		}
	}
}

// countUser counts an instance for Spread, if it has a machine of the present definition.
func (r *Role) countUser(i *Instance, by int) {
	if r.users == nil || i.Phase == Queued || i.Phase == Backoff || i.Revision != r.Revision || int(i.Impl) >= len(r.users) {
		return
	}
	r.users[i.Impl] += by
}

// choose picks the implementation with which the instance's next machine is tried first. Nothing but the state
// decides, so that a decision that is taken again is the same.
func (s *Service) choose(i *Instance) uint8 {
	r := i.role
	if len(r.candidates) == 0 {
		return 0
	}
	first := 0
	switch r.Spec.Machine.Choose {
	case AtRandom:
		first = int(scatter(s.ID<<32^uint64(i.Serial)) % uint64(len(r.candidates)))
	case Spread:
		if r.Spec.Identity == Stable { // its data is where its first machine was
			first = int(i.Number) % len(r.candidates)
			break
		}
		for n, impl := range r.candidates {
			if r.users != nil && r.users[impl] < r.users[r.candidates[first]] {
				first = n
			}
		}
	}
	return uint8(r.candidates[first])
}

// scatter spreads neighbouring numbers over all 64 bits (the finalizer of SplitMix64).
func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// nextChoice returns the implementation to try when the back end of the present one cannot make the machine;
// false when all have been tried. They are tried in a circle.
func (r *Role) nextChoice(i *Instance) (uint8, bool) {
	if int(i.Tried)+1 >= len(r.candidates) {
		return 0, false
	}
	at := slices.Index(r.candidates, int(i.Impl))
	return uint8(r.candidates[(at+1)%len(r.candidates)]), true
}

// A TurnedDown says why an implementation could not make a machine of a role when it was last asked.
type TurnedDown struct {
	Implementation string `json:"implementation"` // its title
	Time           Time   `json:"t"`
	Why            string `json:"why"`
}

// turnDown remembers that an implementation could not make a machine.
func (s *Service) turnDown(r *Role, x *Implementation, why string, now Time) {
	s.turnsUp(r, x)
	r.TurnedDown = append(r.TurnedDown, TurnedDown{x.Title(), now, why})
	s.head = true
}

// turnsUp forgets that, because it made one.
func (s *Service) turnsUp(r *Role, x *Implementation) {
	if n := len(r.TurnedDown); n > 0 && x != nil {
		r.TurnedDown = slices.DeleteFunc(r.TurnedDown, func(t TurnedDown) bool { return t.Implementation == x.Title() })
		s.head = s.head || len(r.TurnedDown) != n
	}
}

// ChoiceOf says why an instance's machine is made with its implementation rather than another; "" where there is
// no other, and of machines that an earlier definition made.
func (s *Service) ChoiceOf(i *Instance) string {
	r := i.role
	all := len(r.Spec.Machine.Implementations)
	if all < 2 || i.Revision != r.Revision || i.Incarnation == 0 {
		return ""
	}
	var text string
	switch n := len(r.candidates); {
	case n == 1:
		text = "the only one that fits the filter"
	case i.Tried > 0:
		text = fmt.Sprintf("after %d of %d could not make it", i.Tried, n)
	case r.Spec.Machine.Choose == AtRandom:
		text = fmt.Sprintf("at random, of %d", n)
	case r.Spec.Machine.Choose == Spread:
		text = fmt.Sprintf("spread over %d", n)
	default:
		text = fmt.Sprintf("the first of %d", n)
	}
	if left := all - len(r.candidates); left > 0 && len(r.candidates) > 1 {
		text += fmt.Sprintf("; the filter leaves out %d", left)
	}
	return text
}

// An ImplementationExplanation says how a role uses one way to make its machines.
type ImplementationExplanation struct {
	Name      string `json:"name"`
	Driver    string `json:"driver"`
	Account   string `json:"account,omitempty"`
	Instances int    `json:"instances"` // that have machines of it
	// Why says why it is not used, or could not be when it was last asked; "" when nothing speaks against it.
	Why string `json:"why,omitempty"`
}

// explainChoice says which implementations the role uses; nil when it has no choice.
func (r *Role) explainChoice(now Time) (out []ImplementationExplanation) {
	if len(r.Spec.Machine.Implementations) < 2 {
		return nil
	}
	for n := range r.Spec.Machine.Implementations {
		x := &r.Spec.Machine.Implementations[n]
		e := ImplementationExplanation{Name: x.Title(), Driver: x.Driver, Account: x.Account}
		if why := r.Spec.unfit(n); why != "" {
			e.Why = "left out by the filter: " + why
		}
		for _, t := range r.TurnedDown {
			if t.Implementation == e.Name && e.Why == "" {
				e.Why = fmt.Sprintf("%v ago: %s", now.Sub(t.Time).Round(time.Second), t.Why)
			}
		}
		out = append(out, e)
	}
	for i := range r.Instances {
		if i.Machine != driver.Gone && i.Revision == r.Revision && int(i.Impl) < len(out) {
			out[i.Impl].Instances++
		}
	}
	return out
}

// choice checks the implementations of a machine against each other.
func (v *validator) choice(at string, m *Machine) {
	one(v, at+"choose", m.Choose, InOrder, AtRandom, Spread, "")
	if len(m.Implementations) > MaxImplementations {
		v.fail(at+"implementations", "%d implementations; %d is the most", len(m.Implementations), MaxImplementations)
		return
	}
	names := map[string]int{}
	for i := range m.Implementations {
		x, place := &m.Implementations[i], indexed(at+"implementations", i)
		if x.Driver == "" {
			v.fail(place+".driver", "the driver has no name")
		}
		if x.Name != "" {
			v.name(place+".name", "implementation", x.Name)
			if first, twice := names[x.Name]; twice {
				v.fail(place+".name", "%q is already the name of implementations[%d]", x.Name, first)
			}
			names[x.Name] = i
		}
		v.contents(place+".", x.Env, x.Files, x.UserData, x.Checks)
	}
}

// filter refuses one that no implementation passes.
func (v *validator) filter(at string, r *RoleSpec) {
	if len(r.Filter) == 0 || len(r.Machine.Implementations) == 0 || len(r.Candidates()) > 0 {
		return
	}
	for _, key := range keysOf(r.Filter) {
		var labels, values []string
		fits := false
		for n := range r.Machine.Implementations {
			x := &r.Machine.Implementations[n]
			labels = append(labels, keysOf(x.Labels)...)
			if have, ok := x.Labels[key]; ok {
				values = append(values, strings.Trim(asJSON(have), `"`))
				fits = fits || sameJSON(have, r.Filter[key])
			}
		}
		want := strings.Trim(asJSON(r.Filter[key]), `"`)
		switch {
		case len(values) == 0:
			v.fail(at+"."+key, "no implementation of the machine has a label %q%s", key, nearest.Hint(key, labels))
			return
		case !fits:
			slices.Sort(values)
			hint := nearest.Hint(want, values)
			if slices.Contains(values, want) {
				hint = "; mind the quotes: text is no number"
			}
			v.fail(at+"."+key, "no implementation of the machine has the label %s with the value %s, but with %s%s", key, asJSON(r.Filter[key]),
				strings.Join(slices.Compact(values), ", "), hint)
			return
		}
	}
	v.fail(at, "no implementation of the machine has all of these labels")
}
