// Package native reads and writes Troupe's own format: a service, or a machine definition, as YAML or JSON.
//
// A file is read in three steps. It becomes a tree of values that know their place (package tree);
// includes are merged into the tree (include.go); and tables of keys (table_*.go) turn the tree into a
// [service.Spec]. The same tables write a Spec, make the JSON Schema and the reference pages, so that
// none of them can fall behind the others.
//
// Where a boolean is wanted, no, off and yes, which are text, are refused with the word to use; where
// text is wanted, numbers and booleans stand for themselves as written, so that 1.10 stays 1.10 and
// 0640 stays 0640.
package native

import (
	"fmt"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// Limits of a document, beside those of package tree.
const (
	maxFiles = 1000 // files that one document reads
	maxNest  = 10   // includes within includes
)

// Options are what a document may refer to. A nil function refuses what it would have answered.
type Options struct {
	// Open reads a file of the user's own: an include or the content of a file. The path is
	// relative, with slashes, and does not lead upwards; Open must not follow links out of its
	// folder (Dir does not).
	Open func(path string) ([]byte, error)
	// Machine returns a named definition. Its error is shown to the user as it is.
	Machine func(name string) (service.Machine, error)
	// Template returns the service that a stored template describes, and the template's number. Its error is shown to the
	// user as it is.
	Template func(ref string) (*service.Spec, uint64, error)
	// Offline takes for granted that templates which Template knows by name alone, and returns without roles, have the
	// inputs and outputs that the document speaks of.
	Offline bool
	// Kinds returns a driver's description, by which options are checked. Its error is shown to
	// the user as it is. When nil, options are not checked.
	Kinds func(driver string) (*driver.Kind, error)
}

// Parse reads a service. name is the file's, for messages. The error, if any, is of type Errors.
func Parse(name string, data []byte, opts Options) (*service.Spec, error) {
	d := newDecoder(opts)
	spec := d.service(name, data)
	if err := d.errs.Sorted(); err != nil {
		return nil, err
	}
	return spec, nil
}

// Locate finds where in a document, of which Parse has made a specification, those parts of the specification came
// from that have these problems.
func Locate(name string, data []byte, opts Options, found service.Problems) Errors {
	d := newDecoder(opts)
	d.service(name, data)
	d.report(found)
	_ = d.errs.Sorted()
	return d.errs
}

// service reads a whole document; what is wrong with it is noted.
func (d *decoder) service(name string, data []byte) *service.Spec {
	spec := newSpec()
	root, ok := d.load(name, data, levelService)
	if !ok {
		return spec
	}
	if root.Get("machine") != nil && root.Get("roles") == nil {
		d.fail(root.At, "this is a machine definition, not a service")
		return spec
	}
	d.mark("", root)
	read(d, serviceFields, root, spec)
	if root.Get("roles") == nil && root.Get("services") == nil {
		d.fail(root.At, "a service needs roles")
	}
	d.connect("", spec)
	d.report(service.Validate(spec))
	d.report(render.CheckSpec(spec))
	d.checkDrivers("", spec)
	return spec
}

// ParseMachine reads a machine definition: a document with the one key "machine". The error, if any,
// is of type Errors.
func ParseMachine(name string, data []byte, opts Options) (*service.Machine, error) {
	d := newDecoder(opts)
	root, ok := d.load(name, data, levelMachineDocument)
	if !ok {
		return nil, d.errs.Sorted()
	}
	doc := &machineDocument{}
	d.mark("", root)
	read(d, machineDocumentFields, root, doc)
	switch v := root.Get("machine"); {
	case v == nil && root.Get("roles") != nil:
		d.fail(root.At, "this is a service, not a machine definition")
	case v == nil:
		d.fail(root.At, `a machine definition stands under the key "machine"`)
	case doc.Machine.Name == "":
		d.fail(v.At, "a machine definition needs a name")
	}
	d.report(service.ValidateMachine(&doc.Machine))
	d.report(render.CheckMachine("", &doc.Machine))
	d.checkOptions("", &service.Spec{}, &service.RoleSpec{Machine: doc.Machine})
	if err := d.errs.Sorted(); err != nil {
		return nil, err
	}
	return &doc.Machine, nil
}

// newSpec returns a Spec with the format's defaults.
func newSpec() *service.Spec {
	return &service.Spec{Strategy: service.Straight, OnFailure: service.Keep, Format: "native"}
}

// newRole returns a role with the format's defaults.
func newRole(name string) service.RoleSpec {
	return service.RoleSpec{
		Name: name, Cardinality: 1, Heal: service.HealAuto, OnGone: service.Replace,
		Identity: service.New, Restart: service.Always,
	}
}

// checkOptions checks the options of each implementation by its driver's own description.
func (d *decoder) checkOptions(at string, spec *service.Spec, r *service.RoleSpec) {
	if d.opts.Kinds == nil {
		return
	}
	for i := range r.Machine.Implementations {
		x := &r.Machine.Implementations[i]
		if x.Driver == "" {
			continue
		}
		at := fmt.Sprintf("%simplementations[%d]", at, i)
		kind, err := d.opts.Kinds(x.Driver)
		if err != nil {
			d.problem(at+".driver", err.Error())
			continue
		}
		_, err = kind.Check(render.Foresee(spec, r, x, kind.TakesText))
		d.optionProblems(at, err)
	}
}

// flatten returns the errors that errors.Join has joined.
func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// load makes the tree of a document, includes resolved.
func (d *decoder) load(name string, data []byte, l *level) (*tree.Node, bool) {
	root, ok := d.tree(name, data)
	if !ok {
		return nil, false
	}
	if root.Kind != tree.Mapping {
		d.fail(root.At, "expected keys and values, found %s", root.Kind)
		return nil, false
	}
	root = d.resolve(root, l, 0)
	return root, root != nil && len(d.errs) == 0
}
