package service

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// expect holds the service against what the scenario says.
func (x *scene) expect(args []string) error {
	if len(args) < 2 {
		return errors.New("expect WHAT …")
	}
	s, text := x.w.svc, strings.Join(args[1:], " ")
	switch args[0] {
	case "service":
		return same(s.State.String(), s.Reason, args[1:])
	case "resource":
		return x.expectResource(args[1:])
	case "supplier":
		return x.expectSupplier(args[1:])
	case "suppliers":
		return equal(strconv.Itoa(len(x.w.suppliers)), text)
	case "resources":
		return equal(strconv.Itoa(len(x.w.resources)), text)
	case "refusal":
		return x.expectRefusal(args[1:])
	case "event":
		return x.expectEvent(text)
	case "no-event":
		for _, e := range x.w.events {
			if strings.Contains(e.Message, text) {
				return fmt.Errorf("there is such an event: %s", e.Message)
			}
		}
		return nil
	case "machines":
		return equal(strconv.Itoa(len(x.w.machines)), text)
	case "did":
		return equal(strconv.Itoa(x.did[strings.Join(args[1:len(args)-1], " ")]), args[len(args)-1])
	case "pending":
		return equal(strconv.Itoa(len(x.w.pending)), text)
	case "revision":
		return equal(strconv.Itoa(int(s.Revision)), text)
	case "mode":
		return equal(s.Mode.String(), text)
	case "removed":
		return equal(strconv.FormatBool(x.w.removed), text)
	case "plan":
		return x.expectPlan(args[1:])
	case "explain":
		return x.golden(args[1], explainText(s.Explain(x.w.now)))
	}
	if strings.Contains(args[0], "/") {
		i, err := x.instance(args[0])
		if err != nil {
			return err
		}
		return same(i.Phase.String(), i.Reason, args[1:])
	}
	return x.expectRole(args)
}

func (x *scene) expectRole(args []string) error {
	r := x.w.svc.Role(args[0])
	if args[1] == "none" {
		if r != nil {
			return errors.New("the role is still there")
		}
		return nil
	}
	if r == nil {
		return fmt.Errorf("there is no role %q", args[0])
	}
	switch args[1] {
	case "cardinality":
		return equal(strconv.Itoa(r.Cardinality), args[2])
	case "total":
		return equal(strconv.Itoa(r.Total()), args[2])
	case "by": // expect app by here 2 there 1
		by := map[string]int{}
		for i := range r.Instances {
			by[i.Implementation().Title()]++
		}
		for n := 2; n+1 < len(args); n += 2 {
			if err := equal(strconv.Itoa(by[args[n]]), args[n+1]); err != nil {
				return fmt.Errorf("by %s: %w", args[n], err)
			}
		}
		return nil
	case "numbers":
		var numbers []string
		for i := range r.Instances {
			numbers = append(numbers, strconv.Itoa(int(i.Number)))
		}
		return equal(strings.Join(numbers, " "), strings.Join(args[2:], " "))
	}
	if p := slices.Index(phaseNames[:], args[1]); p >= 0 && len(args) == 3 {
		return equal(strconv.Itoa(r.Count(Phase(p))), args[2])
	}
	return same(r.State.String(), r.Reason, args[1:])
}

func (x *scene) expectRefusal(args []string) error {
	r := &Refusal{}
	if !errors.As(x.refusal, &r) {
		return errors.New("nothing was refused")
	}
	x.refusal = nil
	kind := map[RefusalKind]string{BadValue: "bad-value", NoSuch: "no-such", WrongState: "wrong-state", OutOfRange: "out-of-range", Stale: "stale"}[r.Kind]
	return same(kind, r.Message, args)
}

// expectEvent looks for an event after those that were found before.
func (x *scene) expectEvent(text string) error {
	for n := x.seen; n < len(x.w.events); n++ {
		if strings.Contains(x.w.events[n].Message, text) {
			x.seen = n + 1
			return nil
		}
	}
	return errors.New("there is no such event after the one before")
}

// expectPlan: expect plan SECTION new|scale …|update …|undeploy …
func (x *scene) expectPlan(args []string) error {
	var c Command
	var err error
	switch args[1] {
	case "new":
		return x.golden(args[0], planText(PlanNew(x.w.svc.Spec, x.w.now)))
	case "scale":
		c, _, err = x.scaling(args[2:])
	case "update":
		c, _, err = x.updating(args[2:])
	case "rollback":
		c, err = x.goingBack(args[2:])
	case "undeploy":
		c.Undeploy = &Undeploy{Remove: true}
	case "recover":
		c.Recover = &Recover{}
	default:
		err = fmt.Errorf("there is no plan of %q", args[1])
	}
	if err != nil {
		return err
	}
	before := x.w.summary()
	p, err := x.w.svc.Plan(&c, x.w.now)
	if err != nil {
		return err
	}
	if before != x.w.summary() {
		return errors.New("the plan has changed the service")
	}
	return x.golden(args[0], planText(p))
}

func planText(p Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%d %s %d %s %v on %q: %s\n", s.Wave, s.Do, s.Count, s.Role+s.Resource+s.Service, s.Instances, s.Driver, s.Why)
	}
	fmt.Fprintf(&b, "ends %s with %d\n", p.State, p.Total)
	return b.String()
}

func explainText(e Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", e.State, e.Why)
	for _, r := range e.Roles {
		fmt.Fprintf(&b, "role %s %s of %d %v %s\n", r.Name, r.State, r.Cardinality, r.Phases, r.Why)
		for _, bad := range r.Bad {
			fmt.Fprintf(&b, "  bad %s\n", bad)
		}
		for _, p := range r.Policies {
			fmt.Fprintf(&b, "  %s: %s\n", p.Policy, p.Value)
		}
		for _, c := range r.Implementations {
			fmt.Fprintf(&b, "  %s makes %d %s\n", c.Name, c.Instances, c.Why)
		}
		if d := r.Decision; d != nil {
			fmt.Fprintf(&b, "  scaled from %d to %d by %s\n", d.From, d.To, d.Because)
		}
	}
	for _, r := range e.Resources {
		fmt.Fprintf(&b, "resource %s (%s of %s) %s %v %s\n", r.Name, r.Kind, r.Driver, r.State, r.Outputs, r.Why)
	}
	for _, r := range e.Suppliers {
		fmt.Fprintf(&b, "service %s (%d, owned %t) %s %s\n", r.Name, r.Service, r.Owned, r.Phase, r.Why)
	}
	for _, list := range []struct {
		name  string
		lines []string
	}{{"waits", e.Waits}, {"next", e.Next}, {"advice", e.Advice}} {
		for _, l := range list.lines {
			fmt.Fprintf(&b, "%s %s\n", list.name, l)
		}
	}
	return b.String()
}

func equal(got, want string) error {
	if got != want {
		return fmt.Errorf("it is %s", got)
	}
	return nil
}

// same compares a state, and the reason if one is expected.
func same(state, reason string, want []string) error {
	if state != want[0] || (len(want) > 1 && !strings.Contains(reason, want[1])) {
		return fmt.Errorf("it is %s %q", state, reason)
	}
	return nil
}
