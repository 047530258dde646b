package native

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// resourceFields are the keys of a resource.
var resourceFields = []field[service.ResourceSpec]{
	textField("kind", "network", "What it is: one of the kinds of resource that the driver makes.",
		func(x *service.ResourceSpec) *string { return &x.Kind }),
	textField("driver", "sim", "The driver that makes it; recorded for one that nothing makes and the service keeps: with an id, a name and, of addresses, an address.",
		func(x *service.ResourceSpec) *string { return &x.Driver }),
	textField("account", "lab", "The configured account of the driver; without it, the driver's default.",
		func(x *service.ResourceSpec) *string { return &x.Account }),
	{
		key: "options", shape: freeShape, example: "{cidr: 10.1.0.0/24}", help: "The driver's own options for this kind.",
		read:  func(d *decoder, n *tree.Node, x *service.ResourceSpec) { readOptions(d, n, &x.Options) },
		write: func(x *service.ResourceSpec) any { return unlessEmpty(x.Options) },
	},
	namesField("needs", "", "outer", "The resources that must be ready before this one is made, and that are removed after it.",
		func(x *service.ResourceSpec) *[]string { return &x.Needs }),
	textField("addresses", "10.1.0.0/24", "Of a recorded resource: the range of which it has an address.",
		func(x *service.ResourceSpec) *string { return &x.Addresses }),
	choiceField("heal", "auto tries again when it could not be made; manual waits for recover.",
		func(x *service.ResourceSpec) *service.Heal { return &x.Heal }, service.HealAuto, service.HealManual),
}

// resourcesField is the key of a service's resources.
func resourcesField() field[service.Spec] {
	return field[service.Spec]{
		key: "resources", shape: mapShape("resource"), example: "{private: {kind: network, driver: sim}}",
		help: "Networks and other things that roles need, by name. They are made before the first role that needs them and removed after the last; templates of that role see resources.NAME.OUTPUT.",
		read: readResources,
		write: func(s *service.Spec) any {
			if len(s.Resources) == 0 {
				return nil
			}
			resources := make(yaml.MapSlice, len(s.Resources))
			for i := range s.Resources {
				resources[i] = yaml.MapItem{Key: s.Resources[i].Name, Value: write(resourceFields, &s.Resources[i])}
			}
			return resources
		},
	}
}

func readResources(d *decoder, n *tree.Node, s *service.Spec) {
	if n.Kind != tree.Mapping {
		d.fail(n.At, "expected resources by name, found %s", n.Kind)
		return
	}
	for i, e := range n.Entries {
		x := service.ResourceSpec{Name: e.Key, Heal: service.HealAuto}
		key := &tree.Node{At: e.At}
		d.in(e.Key, fmt.Sprintf("[%d]", i), key, func() {
			d.mark(d.spec+".name", key)
			read(d, resourceFields, e.Value, &x)
		})
		s.Resources = append(s.Resources, x)
	}
}

// needsField names what a role needs: roles, and resources, which share one space of names.
func needsField() field[service.RoleSpec] {
	f := namesField("needs", "parents", "[db, cache]", "The roles and resources that must be ready before this role is made, and that are removed after it.",
		func(r *service.RoleSpec) *[]string { return &r.Parents })
	names := f.write
	f.write = func(r *service.RoleSpec) any {
		return names(&service.RoleSpec{Parents: slices.Concat(r.Parents, r.Needs)})
	}
	return f
}

// sortNeeds parts the resources from the roles among what each role needs, when all names are known.
func (d *decoder) sortNeeds(s *service.Spec) {
	if len(s.Resources) == 0 {
		return
	}
	for i := range s.Roles {
		r := &s.Roles[i]
		named := r.Parents
		r.Parents = nil
		for j, name := range named {
			place, list := "parents", &r.Parents
			if s.Resource(name) != nil && s.Role(name) < 0 {
				place, list = "needs", &r.Needs
			}
			at := fmt.Sprintf("roles[%d].", i)
			if spot, ok := d.spots[fmt.Sprintf("%sparents[%d]", at, j)]; ok {
				d.spots[fmt.Sprintf("%s%s[%d]", at, place, len(*list))] = spot
			}
			*list = append(*list, name)
		}
	}
}

// checkResource holds the options of a resource against its driver's description.
func (d *decoder) checkResource(at string, x *service.ResourceSpec) {
	if d.opts.Kinds == nil || x.Driver == "" || x.Kind == "" || x.Driver == service.Recorded {
		return
	}
	kind, err := d.opts.Kinds(x.Driver)
	if err != nil {
		d.problem(at+".driver", err.Error())
		return
	}
	what, err := kind.Resource(x.Kind)
	if err != nil {
		d.problem(at+".kind", err.Error())
		return
	}
	_, err = what.Check(x.Options)
	d.optionProblems(at, err)
}

// optionProblems notes what is wrong with the options of a machine or resource, each at its place.
func (d *decoder) optionProblems(at string, err error) {
	if err == nil {
		return
	}
	for _, e := range flatten(err) {
		if o := (*driver.OptionError)(nil); errors.As(e, &o) {
			d.problem(at+".options."+o.Option, e.Error())
		} else {
			d.problem(at+".options", e.Error())
		}
	}
}
