// Package declared is an orchestrator that needs no program: a file says which Heat templates its service is made from, with
// which parameters, and what is to be done when alarms go off.
//
//	template: one-vm.yaml
//	parameters:
//	  username: "{{ user.name }}"
//	  password: "{{ user.password }}"
//	rules:
//	  silent:
//	    on: {alarm: "avg(cpu.user_perc{service={{ service }}}, 1) > 100", state: undetermined}
//	    do: {replace: web}
package declared

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/troupe-dev/troupe/internal/jinja"
	"github.com/troupe-dev/troupe/orchestrator"
)

// FileName is what the file is called in a service bundle, in its folder data or at its top.
const FileName = "orchestrator.yaml"

// A Declaration is what a file says. [Declaration.New] is the [orchestrator.Factory] that serves it.
type Declaration struct {
	// Regions are the templates by region.
	Regions map[string]orchestrator.Pair
	// Needs are the services that this one depends on: those of the file, unless a manifest says more.
	Needs []orchestrator.Dependency
	// Cloud returns the cloud of an instance in a region; nil means the instance's own.
	Cloud func(i *orchestrator.Instance, region string) *orchestrator.Cloud

	parameters map[string]value
	rules      []rule
}

// A value is one of a parameter: templates in a text, a list or a mapping.
type value struct{ of any }

// A rule is what is done when an alarm enters a state.
type rule struct {
	name  string
	alarm *jinja.Template
	state orchestrator.AlarmState
	do    []action
}

// An action is one thing to do; of its fields one is set.
type action struct {
	replace string // a resource
	scale   *scale
	notify  *jinja.Template // the URL of another orchestrator
}

// A scale changes a parameter that is a whole number.
type scale struct {
	parameter      string
	by, min, max   int
	hasMin, hasMax bool
}

// Open reads the declaration of a service bundle: [FileName] in a folder, or in the folder data in it, with all files that it names, which
// must be in the same folder. The error is one of class [os.ErrNotExist] when there is none.
func Open(bundle string) (*Declaration, error) {
	var errs []error
	for _, dir := range []string{filepath.Join(bundle, "data"), bundle} {
		d, err := OpenFile(filepath.Join(dir, FileName))
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return d, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// OpenFile reads a declaration with all files that it names, which must be in the folder of the file.
func OpenFile(file string) (*Declaration, error) {
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	text, err := root.ReadFile(filepath.Base(file))
	if err != nil {
		return nil, err
	}
	d, err := Read(file, text, root.ReadFile)
	if errors.Is(err, os.ErrNotExist) { // of a template, not of the declaration
		err = errors.New(err.Error())
	}
	return d, err
}

// rendered returns the value with its templates filled.
func (v value) rendered(ctx context.Context, values *jinja.Values) (any, error) {
	switch x := v.of.(type) {
	case *jinja.Template:
		return x.Render(ctx, values, true)
	case []value:
		out := make([]any, len(x))
		for n, item := range x {
			var err error
			if out[n], err = item.rendered(ctx, values); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]value:
		out := make(map[string]any, len(x))
		for _, key := range slices.Sorted(maps.Keys(x)) {
			var err error
			if out[key], err = x[key].rendered(ctx, values); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v.of, nil
}

// shows reports whether anything in the declaration looks a name up.
func (d *Declaration) shows(name string) bool {
	found := false
	look := func(t *jinja.Template) {
		for _, r := range t.References() {
			found = found || r.Path[0] == name
		}
	}
	var walk func(v value)
	walk = func(v value) {
		switch x := v.of.(type) {
		case *jinja.Template:
			look(x)
		case []value:
			for _, item := range x {
				walk(item)
			}
		case map[string]value:
			for _, item := range x {
				walk(item)
			}
		}
	}
	for _, v := range d.parameters {
		walk(v)
	}
	for _, r := range d.rules {
		look(r.alarm)
	}
	return found
}

// New is the [orchestrator.Factory] of the declaration.
func (d *Declaration) New(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
	x := &execution{declaration: d, instance: i}
	cloud := i.Cloud
	if d.Cloud != nil {
		cloud = func(region string) *orchestrator.Cloud { return d.Cloud(i, region) }
	}
	x.cloud = cloud
	x.Templates = &orchestrator.Templates{Instance: i, Regions: d.Regions, Cloud: cloud, Parameters: x.parameters}
	var err error
	if x.resolver, err = orchestrator.NewResolver(i, d.Needs); err != nil {
		return nil, fmt.Errorf("%w: %w", orchestrator.ErrInvalid, err)
	}
	x.resolver.Cloud = cloud
	return x, nil
}

// String counts what is declared.
func (d *Declaration) String() string {
	return fmt.Sprintf("%d regions, %d parameters, %d needed services, %d rules", len(d.Regions), len(d.parameters), len(d.Needs), len(d.rules))
}
