package occopus

import (
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/format/occopus"
)

// dockerDriver is the one whose end points need no credentials: a node definition alone says where its machines are.
const dockerDriver = "docker"

// accounts are the back ends of a server of one's own: those without credentials, those that auth_data.yaml lists, and
// the Docker daemons that imported node definitions name. dir is the server's folder.
func (r *run) accounts(dir string) ([]app.Account, error) {
	process := app.Account{Driver: "process"}
	if os.Geteuid() == 0 { // machines are the caller's, as the server is
		process.Values = map[string]any{"user": "root"}
	}
	list := []app.Account{process, dockerAccount("", nil), {Driver: "sim", Values: map[string]any{"persist": true}}}
	kinds := all.Kinds()
	covered := map[string]bool{}
	for _, d := range r.auth.Demands() {
		kind, err := kinds.Find(d.Driver)
		if err != nil || d.Endpoint == "" || kind.Reaches != nil && d.Driver != dockerDriver {
			continue // refused by name when a node asks for it, or told by definitions
		}
		values := map[string]any{}
		for _, o := range kind.Account {
			if v, ok := d.Credentials[o.Name]; ok {
				values[o.Name] = v
			}
			if o.Name == "endpoint" {
				values[o.Name] = d.Endpoint
			}
		}
		switch {
		case d.Driver == dockerDriver:
			covered[d.Endpoint] = true
			list = append(list, dockerAccount(accountName("auth", d.Key), values))
		case len(values) > 0:
			list = append(list, app.Account{Driver: d.Driver, Name: accountName("auth", d.Key), Values: values})
		}
	}
	for _, endpoint := range daemons(dir) {
		if !covered[endpoint] {
			list = append(list, dockerAccount(accountName("at", endpoint), map[string]any{"endpoint": endpoint}))
		}
	}
	more, err := r.placed()
	return append(list, more...), err
}

// dockerAccount is an account whose images may be imported from wherever its user could fetch them, too.
func dockerAccount(name string, values map[string]any) app.Account {
	values = maps.Clone(values)
	if values == nil {
		values = map[string]any{}
	}
	if values["import_allow"] == nil {
		values["import_allow"] = []any{"0.0.0.0/0", "::/0"}
	}
	return app.Account{Driver: dockerDriver, Name: name, Values: values}
}

// accountName names an account by what it is for: machines find theirs again, whatever else is configured.
func accountName(prefix, what string) string {
	h := fnv.New64a()
	h.Write([]byte(what))
	return fmt.Sprintf("%s-%016x", prefix, h.Sum64())
}

// daemonsFile lists, one a line, the end points of Docker daemons that imported node definitions name.
const daemonsFile = "daemons"

// daemons returns what the folder's file of end points lists, without what leads nowhere.
func daemons(dir string) []string {
	text, err := os.ReadFile(filepath.Join(dir, daemonsFile))
	if err != nil { // there is none, or it is of no use: nodes are refused by their end points
		return nil
	}
	return slices.DeleteFunc(strings.Fields(string(text)), func(endpoint string) bool { return !leads(endpoint) })
}

// leads reports whether an end point is one: not the place-holder of a tutorial, nor a template.
func leads(endpoint string) bool {
	kind, err := all.Kinds().Find(dockerDriver)
	if err != nil || len(strings.Fields(endpoint)) != 1 {
		return false
	}
	values, err := kind.CheckAccount(map[string]any{"endpoint": endpoint})
	return err == nil && kind.Verify(driver.Config{Values: values}) == nil
}

// meet keeps the end points of Docker daemons that definitions name, for the server's next start.
func (r *run) meet(definitions []occopus.Definition) error {
	home, err := r.home()
	if err != nil {
		return err
	}
	dir := filepath.Join(home, "troupe")
	known := daemons(dir)
	before := len(known)
	for n := range definitions {
		for _, endpoint := range definitions[n].Endpoints(dockerDriver) {
			if leads(endpoint) && !slices.Contains(known, endpoint) {
				known = append(known, endpoint)
			}
		}
	}
	if len(known) == before {
		return nil
	}
	err = os.MkdirAll(dir, 0o700)
	if err == nil {
		err = replaceFile(filepath.Join(dir, daemonsFile), []byte(strings.Join(known, "\n")+"\n"))
	}
	if err != nil {
		return fmt.Errorf("note the end points of Docker daemons: %w", err)
	}
	return nil
}

// replaceFile writes a file anew, as a whole or not at all.
func replaceFile(name string, text []byte) error {
	half := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	if err := os.WriteFile(half, text, 0o600); err != nil {
		return err
	}
	return os.Rename(half, name)
}
