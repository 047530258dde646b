package service

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// suppliers checks each needed service, and returns where each name is.
func (v *validator) suppliers(s *Spec, roles, resources map[string]int) map[string]int {
	known := make(map[string]int, len(s.Services))
	if len(s.Services) > MaxSuppliers {
		v.fail("services", "the service needs %d others; %d is the most", len(s.Services), MaxSuppliers)
		return known
	}
	for i := range s.Services {
		x, at := &s.Services[i], indexed("services", i)
		v.name(at+".name", "needed service", x.Name)
		if n, taken := roles[x.Name]; taken {
			v.fail(at+".name", "%q is already the name of roles[%d]", x.Name, n)
		}
		if n, taken := resources[x.Name]; taken {
			v.fail(at+".name", "%q is already the name of resources[%d]", x.Name, n)
		}
		if first, twice := known[x.Name]; twice {
			v.fail(at+".name", "%q is already the name of services[%d]", x.Name, first)
		} else {
			known[x.Name] = i
		}
		one(v, at+".heal", x.Heal, HealAuto, HealManual, "")
		least(v, at+".start_timeout", x.StartTimeout, 0)
		v.supplier(at, x)
	}
	return known
}

func (v *validator) supplier(at string, x *SupplierSpec) {
	switch {
	case (x.Service == "") == (x.Spec == nil):
		v.fail(at, "say which service it is, or what it is made from: one of the two")
		return
	case x.Spec == nil && len(x.Inputs) > 0:
		v.fail(at+".inputs", "a service that exists has its inputs already")
		return
	case x.Spec == nil:
		if strings.Contains(x.Service, "/") || !printable(x.Service) || len(x.Service) > MaxServiceName {
			v.fail(at+".service", "%q is no number, alias or name of a service of the project", x.Service)
		}
		return
	case v.depth+1 > MaxDepth:
		v.fail(at, "services are made for services that are made for services, more than %d deep", MaxDepth)
		return
	}
	inner := &validator{depth: v.depth + 1}
	inner.spec(x.Spec)
	for _, p := range inner.found {
		v.fail(strings.TrimSuffix(at+".spec."+p.Path, "."), "%s", p.Text)
	}
	for _, name := range keysOf(x.Inputs) {
		if _, ok := x.Spec.Inputs[name]; !ok {
			v.fail(at+".inputs."+name, "the service %s has no input %q%s", x.Name, name, nearest.Hint(name, keysOf(x.Spec.Inputs)))
		}
		if len(x.Inputs[name]) > MaxText {
			v.fail(at+".inputs."+name, "the value has %d bytes; %d is the most", len(x.Inputs[name]), MaxText)
		}
	}
	for _, name := range x.Uses {
		if x.Spec.Output(name) == nil {
			v.fail(at, "the service %s has no output %q%s", x.Name, name, nearest.Hint(name, x.Spec.outputNames()))
		}
	}
}

func (v *validator) outputs(s *Spec) {
	if len(s.Outputs) > MaxOutputs {
		v.fail("outputs", "the service has %d outputs; %d is the most", len(s.Outputs), MaxOutputs)
		return
	}
	seen := map[string]bool{}
	for i := range s.Outputs {
		o, at := &s.Outputs[i], indexed("outputs", i)
		v.name(at+".name", "output", o.Name)
		if seen[o.Name] {
			v.fail(at+".name", "%q is the name of another output", o.Name)
		}
		seen[o.Name] = true
		if strings.TrimSpace(o.Value) == "" {
			v.fail(at+".value", "nothing says what the value is")
		}
		if name := s.secretIn(o.Value); name != "" && !o.Sensitive {
			v.fail(at+".value", "it shows the secret input %q: make the output sensitive", name)
		}
		if len(o.Value) > MaxText {
			v.fail(at+".value", "the value has %d bytes; %d is the most", len(o.Value), MaxText)
		}
	}
}

func (s *Spec) outputNames() []string {
	names := make([]string, len(s.Outputs))
	for i := range s.Outputs {
		names[i] = s.Outputs[i].Name
	}
	return names
}

// Given returns the spec of a needed service with values for its inputs.
func (x *SupplierSpec) Given(inputs map[string]string) *Spec {
	if len(inputs) == 0 {
		return x.Spec
	}
	own := *x.Spec
	own.Inputs = make(map[string]string, len(x.Spec.Inputs))
	for name, value := range x.Spec.Inputs {
		own.Inputs[name] = value
	}
	for name, value := range inputs {
		own.Inputs[name] = value
	}
	return &own
}

// Differs reports whether a service is otherwise than a spec says, and whether only its inputs are.
func (s *Service) Differs(wished *Spec) (differs, inputsOnly bool) {
	present := *s.Spec.plain()
	if sameSpec(&present, wished) {
		return false, false
	}
	present.Inputs = wished.Inputs
	return true, sameSpec(&present, wished)
}

func sameSpec(a, b *Spec) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
