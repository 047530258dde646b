package orchestrator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A phase is how far a service has come; it says which action may come next.
type phase string

const (
	initialised phase = "initialised" // deploy
	deployed    phase = "deployed"    // provision
	provisioned phase = "provisioned" // notify
)

// A record is what is known of a service, as it is kept in a file.
type record struct {
	Version int    `json:"v"`
	Path    string `json:"path"`
	Phase   phase  `json:"phase"`
	// Deploying says that Deploy was called: whatever became of it, State may be asked.
	Deploying  bool              `json:"deploying,omitempty"`
	Token      string            `json:"token"`
	Tenant     string            `json:"tenant"`
	Attributes Attributes        `json:"attributes,omitempty"` // what clients said
	Last       State             `json:"last"`                 // what State told last, with all outputs that it ever told
	Values     map[string]string `json:"values,omitempty"`
}

// readRecord reads the record of a file; nil if there is none.
func readRecord(file string) (*record, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if r.Version != 1 {
		return nil, fmt.Errorf("%s is of version %d, which this program does not know", file, r.Version)
	}
	return &r, nil
}

// writeRecord writes it so that a crash leaves the old or the new one. It holds a token, so it is for its owner alone.
func writeRecord(file string, r record) error {
	r.Version = 1
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the state of the service: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("keep the state of the service: %w", err)
	}
	return nil
}
