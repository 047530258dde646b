package service

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/driver"
)

// An Evaluation is what the outputs of a service came to.
type Evaluation struct {
	Values map[string]string // of those that have one
	Why    map[string]string // why others have none
}

// evaluateOutputs has the outputs worked out when what they may show has changed.
func (s *Service) evaluateOutputs() {
	if !s.stale || s.Leaving || len(s.Spec.Outputs) == 0 && len(s.Outputs) == 0 {
		return
	}
	s.stale = false
	s.effects = append(s.effects, Effect{Kind: DoEvaluate})
}

// evaluated hears what they came to. One that has no value for now keeps its last: those that use it go on with that.
func (s *Service) evaluated(e *Evaluation, now Time) {
	if e == nil {
		return
	}
	values := make(map[string]string, len(s.Spec.Outputs))
	s.unvalued = nil
	for n := range s.Spec.Outputs {
		name := s.Spec.Outputs[n].Name
		switch value := e.Values[name]; {
		case value != "":
			values[name] = value
		case s.Outputs[name] != "":
			values[name] = s.Outputs[name]
		default:
			if s.unvalued == nil {
				s.unvalued = map[string]string{}
			}
			s.unvalued[name] = Mask(s.Spec, nil, e.Why[name])
		}
	}
	if maps.Equal(values, s.Outputs) {
		return
	}
	var changed []string
	for n := range s.Spec.Outputs {
		if name := s.Spec.Outputs[n].Name; values[name] != s.Outputs[name] {
			changed = append(changed, name)
		}
	}
	s.Outputs = values
	s.OutputRevision++
	s.head, s.gives = true, true
	s.event(now, false, nil, nil, "outputs changed: %s", strings.Join(changed, ", "))
}

// Shown returns the outputs that have a value, for showing: those that are sensitive, or hold what is, read driver.Redacted.
func (s *Service) Shown() map[string]string {
	if len(s.Outputs) == 0 {
		return nil
	}
	var hidden []string
	for _, name := range s.Spec.Secrets {
		hidden = append(hidden, s.Spec.Inputs[name])
	}
	for _, x := range s.Suppliers {
		for _, name := range x.sensitive {
			hidden = append(hidden, x.Outputs[name])
		}
	}
	shown := make(map[string]string, len(s.Outputs))
	for name, value := range s.Outputs {
		o := s.Spec.Output(name)
		if o == nil || o.Sensitive || slices.ContainsFunc(hidden, func(secret string) bool { return len(secret) >= minSecret && strings.Contains(value, secret) }) {
			value = driver.Redacted
		}
		shown[name] = value
	}
	return shown
}

// Unvalued says why an output has no value; "" when that is not known.
func (s *Service) Unvalued(name string) string { return s.unvalued[name] }

// showsAttributes reports whether outputs may show what instances report of themselves.
func (s *Service) showsAttributes() bool {
	for n := range s.Spec.Outputs {
		if strings.Contains(s.Spec.Outputs[n].Value, "attributes") {
			return true
		}
	}
	return false
}

func (s *Service) encodeOutputs() []byte {
	v, err := json.Marshal(s.Outputs)
	if err != nil {
		panic(fmt.Sprintf("service %d: its outputs cannot be encoded: %v", s.ID, err)) // texts
	}
	return v
}

// LoadOutputs reads what an OutputRecord holds, before Load.
func (s *Service) LoadOutputs(record []byte) error {
	if err := json.Unmarshal(record, &s.Outputs); err != nil {
		return fmt.Errorf("service %d: outputs: %w", s.ID, err)
	}
	return nil
}
