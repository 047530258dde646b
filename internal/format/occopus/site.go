package occopus

import (
	"encoding/json"
	"fmt"

	"github.com/troupe-dev/troupe/driver"
)

// A Site is where a description is to run, as whoever asks sees it.
type Site struct {
	// Documents returns a node definition by its name, in the form in which it is kept (see EncodeDefinition).
	Documents func(name string) (json.RawMessage, error)
	// Kinds returns a driver's description.
	Kinds func(driver string) (*driver.Kind, error)
	// AccountAt returns the account by which a driver reaches an end point and makes a machine with these options.
	AccountAt func(driver, endpoint string, options map[string]any) (string, error)
}

// Options are what Compile needs of a site. id is what templates see as infra_id; "" for the service's own.
func (s *Site) Options(id string, simulate bool) CompileOptions {
	return CompileOptions{
		Definition: func(name string) (*Definition, error) {
			document, err := s.Documents(name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", noDefinition, err)
			}
			return DecodeDefinition(document)
		},
		Kinds:   s.Kinds,
		Account: func(d Demand) (string, error) { return s.AccountAt(d.Driver, d.Endpoint, d.Options) },
		ID:      id, Simulate: simulate,
	}
}
