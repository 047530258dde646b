package service

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// unknownYet stands in plans for a value that is known only when it is there.
const unknownYet = "(known later)"

// supplyWell is what a needed service tells where all goes well.
func (s *Service) supplyWell(e Effect) *Supply {
	x := s.SupplierOf(e)
	if x == nil || e.Kind == DoDismiss {
		return &Supply{State: Done, Gone: true}
	}
	told := &Supply{Service: max(x.Service, 1), State: Running, Outputs: maps.Clone(x.Outputs), Revision: x.Seen}
	for _, name := range x.Spec.Uses {
		if told.Outputs == nil {
			told.Outputs = map[string]string{}
		}
		if told.Outputs[name] == "" {
			told.Outputs[name] = unknownYet
		}
	}
	return told
}

// evaluateWell is what outputs come to where all goes well.
func (s *Service) evaluateWell() *Evaluation {
	e := &Evaluation{Values: map[string]string{}}
	for n := range s.Spec.Outputs {
		name := s.Spec.Outputs[n].Name
		if e.Values[name] = s.Outputs[name]; e.Values[name] == "" {
			e.Values[name] = unknownYet
		}
	}
	return e
}

// supplierStep is what a DoSupply or DoDismiss is in a plan; without a Do when nothing changes.
func (s *Service) supplierStep(e Effect, wave int) Step {
	step := Step{Wave: wave, Count: 1}
	x := s.SupplierOf(e)
	if x == nil {
		return step
	}
	step.Service = x.Name
	switch {
	case e.Kind == DoDismiss:
		step.Do, step.Why = "let go", "it stays for others"
		if x.Owned {
			step.Do, step.Why = "destroy", "it was made for this service"
		}
	case x.Service != 0 && x.Spec.Spec == nil, x.Served && s.Rollout == nil:
		return Step{}
	case x.Service != 0:
		step.Do, step.Why = "change", "it is brought to what the new description says"
	case x.Owned:
		step.Do, step.Why = "create", x.neededBy()
		if parts := x.Spec.Spec.inNumbers(); parts != "" {
			step.Why += ": " + parts
		}
	default:
		step.Do, step.Why = "use", x.neededBy()+": service "+x.Spec.Service
	}
	return step
}

// neededBy names what needs the service.
func (x *Supplier) neededBy() string {
	var names []string
	for _, r := range x.users {
		names = append(names, r.Name)
	}
	for _, y := range x.children {
		names = append(names, y.Name)
	}
	if len(names) == 0 {
		return "which the service wants"
	}
	return "needed by " + strings.Join(names, ", ")
}

// inNumbers says what a spec comes to.
func (s *Spec) inNumbers() string {
	var parts []string
	for n := range s.Roles {
		parts = append(parts, fmt.Sprintf("%s %d", s.Roles[n].Name, s.Roles[n].Cardinality))
	}
	for n := range s.Services {
		parts = append(parts, "service "+s.Services[n].Name)
	}
	if len(parts) > 10 {
		parts = append(parts[:10], "…")
	}
	return strings.Join(parts, ", ")
}

// A SupplierExplanation says how a needed service is.
type SupplierExplanation struct {
	Name    string `json:"name"`
	Service uint64 `json:"service,omitempty"` // its id, when that is known
	Title   string `json:"title,omitempty"`
	Owned   bool   `json:"owned,omitempty"` // it was made for this service
	Phase   string `json:"phase"`
	State   string `json:"state,omitempty"` // its own, as it told last
	Why     string `json:"why,omitempty"`
}

// Present says in a word how a needed service is: ready, or what keeps it.
func (x *Supplier) Present() string {
	if x.Ready() {
		return "ready"
	}
	return x.Phase.String()
}

func (s *Service) explainSuppliers(e *Explanation, now Time) {
	for _, x := range s.Suppliers {
		told := SupplierExplanation{Name: x.Name, Service: x.Service, Title: x.Title, Owned: x.Owned, Phase: x.Present()}
		if x.Service != 0 {
			told.State = x.State.String()
		}
		if !x.Ready() && x.Phase != SupplierGone {
			told.Why = x.present()
			e.Waits = append(e.Waits, "service "+x.Name+": "+told.Why)
			if x.Service != 0 && x.Phase == SupplierBound && x.State != Running && !x.State.Transient() {
				e.Advice = append(e.Advice, fmt.Sprintf("explain service %d, which is %s here", x.Service, x.Name))
			}
		}
		e.Suppliers = append(e.Suppliers, told)
		if x.Until > now {
			e.Next = append(e.Next, fmt.Sprintf("service %s is tried again in %v", x.Name, x.Until.Sub(now).Round(time.Second)))
		}
	}
	for n := range s.Spec.Outputs {
		if o := &s.Spec.Outputs[n]; s.Outputs[o.Name] == "" {
			text := "output " + o.Name + " has no value yet"
			if why := s.unvalued[o.Name]; why != "" {
				text += ": " + why
			}
			e.Waits = append(e.Waits, text)
		}
	}
	e.Consumers = slices.Clone(s.Consumers)
}
