package native

import (
	"fmt"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/internal/service"
)

// Encode writes a service as YAML that Parse reads back as it was, but for Format and Document, which
// belong to the format that it came from. Defaults are left out.
func Encode(s *service.Spec) ([]byte, error) {
	out, err := encode(write(serviceFields, s))
	if err != nil {
		return nil, fmt.Errorf("write service %s as YAML: %w", s.Name, err)
	}
	return out, nil
}

// EncodeMachine writes a machine definition as YAML that ParseMachine reads back.
func EncodeMachine(m *service.Machine) ([]byte, error) {
	out, err := encode(write(machineDocumentFields, &machineDocument{*m}))
	if err != nil {
		return nil, fmt.Errorf("write machine definition %s as YAML: %w", m.Name, err)
	}
	return out, nil
}

func encode(v yaml.MapSlice) ([]byte, error) {
	e := &emitter{}
	e.entries(v, 0)
	return e.Bytes(), e.err
}
