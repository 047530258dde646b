package native

import (
	"fmt"
	"path"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// occopusOptions lets a document import the files that came along.
func occopusOptions(d *client.Document) occopus.Options {
	files := make(map[string][]byte, len(d.Files))
	for name, text := range d.Files {
		files[path.Clean(name)] = []byte(text)
	}
	return occopus.Options{Open: occopus.Files(files)}
}

// occopusSpec compiles an infrastructure description with the node definitions that the caller may use. id is what
// its templates see as infra_id.
func (f *face) occopusSpec(who *identity.Caller, d *client.Document, file string, text []byte, id string) (*service.Spec, []string, error) {
	infra, warnings, err := occopus.ParseInfrastructure(file, text, occopusOptions(d))
	if err != nil {
		return nil, nil, err
	}
	site := occopus.Site{Documents: f.control.Documents(who, occopus.Format), Kinds: f.control.Kind, AccountAt: f.control.AccountAt}
	spec, more, err := occopus.Compile(infra, site.Options(id, d.Simulate))
	if err != nil {
		return nil, nil, err
	}
	var texts []string
	for _, w := range append(warnings, more...) {
		texts = append(texts, w.Error.Error())
	}
	return spec, texts, nil
}

// readNodeDefinition reads a document that holds one node definition.
func (f *face) readNodeDefinition(who *identity.Caller, d *client.Document, file string, text []byte) (control.Definition, error) {
	all, _, err := occopus.ParseDefinitions(file, text, occopusOptions(d))
	if err != nil {
		return control.Definition{}, err
	}
	if len(all) != 1 {
		return control.Definition{}, invalid("body.source", fmt.Sprintf("one node definition is stored at a time, found %d", len(all)))
	}
	def := &all[0]
	var old *occopus.Definition
	if stored, err := f.control.Machine(who, def.Name, identity.Manage); err == nil && stored.Format == occopus.Format {
		if old, err = occopus.DecodeDefinition(stored.Document); err != nil {
			return control.Definition{}, err
		}
	}
	if err := def.RestoreSecrets(old); err != nil {
		return control.Definition{}, invalid("body.source", err.Error())
	}
	out := control.Definition{Name: def.Name, Machine: def.Machine(), Format: occopus.Format}
	out.Document, err = occopus.EncodeDefinition(def)
	return out, err
}

// nodeDefinition shows a node definition as it was written, without its secrets.
func (f *face) nodeDefinition(d control.Definition) (client.Machine, error) {
	out := client.Machine{ID: d.ID, Name: d.Name, Drivers: drivers(&d.Machine), Owner: f.user(d.Owner), Group: f.group(d.Group),
		Permissions: d.Permissions.String(), Revision: d.Revision, Format: d.Format}
	def, err := occopus.DecodeDefinition(d.Document)
	if err != nil {
		return out, err
	}
	text, err := def.Redacted().Text()
	if err != nil {
		return out, err
	}
	out.Source = string(text)
	out.Spec, err = asJSON(text)
	return out, err
}

// plannedMachines tells what the drivers are asked for when a description is carried out.
func (f *face) plannedMachines(spec *service.Spec) []client.PlannedMachine {
	var out []client.PlannedMachine
	shown := f.control.Redact(spec)
	for n := range shown.Roles {
		m := &shown.Roles[n].Machine
		for k := range m.Implementations {
			x := m.By(k)
			out = append(out, client.PlannedMachine{Role: shown.Roles[n].Name, Name: m.Implementations[k].Name, Driver: m.Implementations[k].Driver,
				Account: m.Implementations[k].Account, Options: m.Implementations[k].Options, Env: x.Env, UserData: x.UserData})
		}
	}
	return out
}
