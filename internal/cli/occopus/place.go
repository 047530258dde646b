package occopus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/service"
)

// maxPlaces is how many resource sections are remembered; older ones are forgotten.
const maxPlaces = 1000

// A server of one's own opens its accounts when it starts, before it knows which definitions there are. So imports note
// which clouds these name, in a file beside the state.

func (r *run) placesFile() (string, error) {
	home, err := r.home()
	return filepath.Join(home, "troupe", "places.json"), err
}

func (r *run) readPlaces() ([]service.Values, error) {
	file, err := r.placesFile()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []service.Values
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it and import the node definitions again", file, err)
	}
	return list, nil
}

// notePlaces adds the clouds that definitions name.
func (r *run) notePlaces(definitions []occopus.Definition) error {
	more := occopus.Places(definitions)
	if len(more) == 0 {
		return nil
	}
	list, err := r.readPlaces()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	list = slices.DeleteFunc(append(more, list...), func(v service.Values) bool {
		key, _ := json.Marshal(v) // it came from JSON or YAML
		known := seen[string(key)]
		seen[string(key)] = true
		return known
	})
	out, err := json.Marshal(list[:min(len(list), maxPlaces)])
	if err != nil {
		return err
	}
	file, err := r.placesFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return replaceFile(file, out)
}

// placed are the accounts of the clouds that imported definitions name, as far as auth_data.yaml has credentials.
func (r *run) placed() (out []app.Account, err error) {
	list, err := r.readPlaces()
	if err != nil {
		return nil, err
	}
	for _, section := range list {
		credentials, err := r.auth.Match("resource", section)
		if err != nil || credentials == nil {
			continue // it is told when a node asks for it
		}
		values := occopus.AccountOf(section, credentials)
		name := accountName("nova", fmt.Sprint(values["endpoint"], values["project_id"], values["region"], values["user_domain"], values["username"], values["application_credential_id"]))
		if !slices.ContainsFunc(out, func(a app.Account) bool { return a.Name == name }) {
			out = append(out, app.Account{Driver: "openstack", Name: name, Values: values})
		}
	}
	return out, nil
}
