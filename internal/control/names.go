package control

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// checkNames refuses templates that look for what is certainly not there, and warns of what will be empty. Roles
// that run like this already (in the present spec, nil for none) are not asked again. Only who may use the host may
// have commands run on it.
func (c *Control) checkNames(who *identity.Caller, spec, present *service.Spec) (warnings []string, err error) {
	warnings, err = render.CheckNames(spec, render.Rules{
		Skip: func(r *service.RoleSpec) bool { return sameNames(present, spec, r) }, Commands: c.engine.RunsCommands() && who.MayUseHost(),
	})
	for n := range spec.Roles {
		m := &spec.Roles[n].Machine
		for k, x := range m.Implementations {
			if !render.ShowsAddress(m.By(k)) {
				continue
			}
			b := c.engine.Backend(x.Driver, x.Account)
			if b == nil {
				continue
			}
			if _, tells := driver.As[driver.Addresser](b.Driver); !tells {
				warnings = append(warnings, fmt.Sprintf("role %s: driver %s tells no address before a machine exists: instance.address is empty in what is rendered into a new machine",
					spec.Roles[n].Name, x.Driver))
			}
		}
	}
	return warnings, err
}

// sameNames reports whether the role looks up the same names among the same as in the present spec.
func sameNames(present, spec *service.Spec, r *service.RoleSpec) bool {
	if !runsAlready(present, r) {
		return false
	}
	old := &present.Roles[present.Role(r.Name)]
	return slices.Equal(old.Parents, r.Parents) && slices.Equal(old.Needs, r.Needs) && sameTexts(old.Inputs, r.Inputs) && sameTexts(present.Inputs, spec.Inputs) &&
		reflect.DeepEqual(present.VariablesOf(old), spec.VariablesOf(r))
}
