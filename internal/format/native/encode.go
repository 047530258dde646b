package native

import (
	"fmt"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// Encode writes a service as YAML that Parse reads back as it was, but for Format and Document, which
// belong to the format that it came from. Defaults are left out.
func Encode(s *service.Spec) ([]byte, error) {
	out, err := tree.Emit(write(serviceFields, s))
	if err != nil {
		return nil, fmt.Errorf("write service %s as YAML: %w", s.Name, err)
	}
	return out, nil
}

// EncodeMachine writes a machine definition as YAML that ParseMachine reads back.
func EncodeMachine(m *service.Machine) ([]byte, error) {
	out, err := tree.Emit(write(machineDocumentFields, &machineDocument{*m}))
	if err != nil {
		return nil, fmt.Errorf("write machine definition %s as YAML: %w", m.Name, err)
	}
	return out, nil
}
