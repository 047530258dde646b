package native

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/format/hot"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// A subject is the service that a document is for.
type subject struct {
	name, alias string
	spec        *service.Spec // the present one; nil for a new service
}

// serverDriver makes the servers of templates that name no other.
const serverDriver = "process"

// parseHOT reads a Heat template with its environments and the files that came along.
func parseHOT(d *client.Document, file string, text []byte) (*hot.Template, error) {
	environments := make([]hot.File, len(d.Environments))
	for i, e := range d.Environments {
		environments[i] = hot.File{Name: cmp.Or(e.Name, fmt.Sprintf("environments[%d]", i)), Text: []byte(e.Text)}
	}
	files := make(map[string]string, len(d.Files))
	for name, text := range d.Files {
		files[path.Clean(name)] = text
	}
	return hot.Parse(file, text, environments, hot.Options{Open: func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, fmt.Errorf("the file %q did not come along with the request%s", path, nearest.Hint(path, slices.Collect(maps.Keys(files))))
	}})
}

// hotSpec compiles a Heat template with the machine definitions that the caller may use.
func (f *face) hotSpec(who *identity.Caller, d *client.Document, file string, text []byte, inputs map[string]string, of subject) (*service.Spec, []string, error) {
	t, err := parseHOT(d, file, text)
	if err != nil {
		return nil, nil, err
	}
	machine := f.control.Resolver(who)
	opts := hot.CompileOptions{Name: of.name, Project: f.group(who.Group).Name, Parameters: make(map[string]any, len(inputs)), Driver: cmp.Or(d.Driver, serverDriver), Account: d.Account,
		Kinds: f.control.Kind, Machine: func(name string) (service.Machine, bool) {
			m, err := machine(name)
			return m, err == nil
		}}
	for name, value := range inputs {
		opts.Parameters[name] = value
	}
	if d.Simulate {
		opts.Driver, opts.Account = "sim", ""
	}
	if opts.Present = of.spec; of.spec != nil && of.spec.Format == hot.Format {
		if opts.Previous, err = hot.DecodeBundle(of.spec.Document); err != nil {
			return nil, nil, err
		}
		if d.Driver == "" && !d.Simulate {
			opts.Driver, opts.Account = opts.Previous.Driver, cmp.Or(d.Account, opts.Previous.Account)
		}
	}
	return t.Compile(opts)
}
