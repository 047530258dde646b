package service

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
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
