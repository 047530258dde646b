package native

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// definitions reads and writes services within services: an interface, for the tables of keys would refer to each other.
var definitions interface {
	read(d *decoder, n *tree.Node, s *service.Spec)
	write(s *service.Spec) yaml.MapSlice
} = wholeServices{}

type wholeServices struct{}

func (wholeServices) read(d *decoder, n *tree.Node, s *service.Spec) { read(d, serviceFields, n, s) }
func (wholeServices) write(s *service.Spec) yaml.MapSlice            { return write(serviceFields, s) }

// supplierFields are the keys of a needed service.
var supplierFields = []field[service.SupplierSpec]{
	textField("service", "accounts", "An existing service of the project, by name, alias or number. It stays when this one goes, and cannot be removed before.",
		func(x *service.SupplierSpec) *string { return &x.Service }),
	{
		key: "definition", spec: "spec", shape: freeShape, example: "{roles: {cache: {run: ./cache}}}",
		help: "The same, written here: the keys of a service. Its name may be left out.",
		read: func(d *decoder, n *tree.Node, x *service.SupplierSpec) {
			x.Spec = newSpec()
			x.Spec.Name = x.Name
			definitions.read(d, n, x.Spec)
			if n.Kind == tree.Mapping && n.Get("roles") == nil && n.Get("services") == nil {
				d.fail(n.At, "a service needs roles")
			}
		},
		write: func(x *service.SupplierSpec) any {
			if x.Spec == nil {
				return nil
			}
			return definitions.write(x.Spec)
		},
	},
	{
		key: "template", spec: "spec", shape: textShape, example: "postgres",
		help:  "A stored template, by name or number: a service is made from it for this one, and goes with it. Later changes of the template do not reach it by themselves. Beside a definition it is the number of the template that said it.",
		read:  readTemplate,
		write: func(x *service.SupplierSpec) any { return unlessZero(int(x.Template)) },
	},
	wordsField("inputs", "{SIZE: small}", "Values for inputs of a service that is made. They are templates that see roles, resources, services and inputs of this one; what they show is needed, and when it changes they are given anew.",
		func(x *service.SupplierSpec) *map[string]string { return &x.Inputs }),
	namesField("needs", "", "web", "The roles, resources and services that must be ready before, and that are removed after it.",
		func(x *service.SupplierSpec) *[]string { return &x.Needs }),
	choiceField("heal", "auto makes a service that was made and is gone once more; manual waits for recover.",
		func(x *service.SupplierSpec) *service.Heal { return &x.Heal }, service.HealAuto, service.HealManual),
	durationField("start_timeout", "15m", "1h", "How long it may take to be ready.",
		func(x *service.SupplierSpec) *time.Duration { return &x.StartTimeout }),
}

func readTemplate(d *decoder, n *tree.Node, x *service.SupplierSpec) {
	ref, ok := d.text(n)
	switch {
	case !ok:
	case x.Spec != nil:
		id, err := strconv.ParseUint(ref, 10, 64)
		if err != nil {
			d.fail(n.At, "stands beside definition, where it is the number of the template that said it; found %s", n.Found())
		}
		x.Template = id
	case d.opts.Template == nil:
		d.fail(n.At, "there are no stored templates here: write a definition")
	default:
		spec, id, err := d.opts.Template(ref)
		if err != nil {
			d.fail(n.At, "%v", err)
			return
		}
		own := *spec
		x.Spec, x.Template = &own, id
	}
}

// suppliersField is the key of the services that a service needs.
func suppliersField() field[service.Spec] {
	return field[service.Spec]{
		key: "services", shape: mapShape("supplier"), example: "{db: {service: accounts}}",
		help: "Services that this one needs, by name: each exists (`service`), or is made for it (`template` or `definition`). It is ready when it is RUNNING and its outputs that are referred to have values. Templates see services.NAME.outputs.OUTPUT; a role whose templates do needs the service.",
		read: func(d *decoder, n *tree.Node, s *service.Spec) {
			if n.Kind != tree.Mapping {
				d.fail(n.At, "expected services by name, found %s", n.Kind)
				return
			}
			for i, e := range n.Entries {
				x := service.SupplierSpec{Name: e.Key, Heal: service.HealAuto}
				key := &tree.Node{At: e.At}
				d.in(e.Key, fmt.Sprintf("[%d]", i), key, func() {
					d.mark(d.spec+".name", key)
					read(d, supplierFields, e.Value, &x)
				})
				s.Services = append(s.Services, x)
			}
		},
		write: func(s *service.Spec) any {
			if len(s.Services) == 0 {
				return nil
			}
			all := make(yaml.MapSlice, len(s.Services))
			for i := range s.Services {
				all[i] = yaml.MapItem{Key: s.Services[i].Name, Value: write(supplierFields, &s.Services[i])}
			}
			return all
		},
	}
}

// outputFields are the keys of an output.
var outputFields = []field[service.OutputSpec]{
	textField("value", "\"http://{{ roles.web[0].address }}/\"", "A template that sees all roles, resources, services, inputs and variables. The output has a value once all that it looks at is there and it is not empty.",
		func(o *service.OutputSpec) *string { return &o.Value }),
	textField("description", "Where the shop is", "For people.",
		func(o *service.OutputSpec) *string { return &o.Description }),
	boolField("sensitive", "Only services that need this one are told the value; others read (secret).",
		func(o *service.OutputSpec) *bool { return &o.Sensitive }),
}

// outputsField is the key of a service's outputs.
func outputsField() field[service.Spec] {
	return field[service.Spec]{
		key: "outputs", shape: mapShape("output"), example: "{url: \"http://{{ roles.web[0].address }}/\"}",
		help: "What others may know of the service, by name: templates, which stand alone or as value. They are worked out anew when what they look at changes.",
		read: func(d *decoder, n *tree.Node, s *service.Spec) {
			if n.Kind != tree.Mapping {
				d.fail(n.At, "expected outputs by name, found %s", n.Kind)
				return
			}
			for i, e := range n.Entries {
				o := service.OutputSpec{Name: e.Key}
				key := &tree.Node{At: e.At}
				d.in(e.Key, fmt.Sprintf("[%d]", i), key, func() {
					d.mark(d.spec+".name", key)
					if e.Value.Kind == tree.Mapping {
						read(d, outputFields, e.Value, &o)
						return
					}
					d.mark(d.spec+".value", e.Value)
					o.Value, _ = d.text(e.Value)
				})
				s.Outputs = append(s.Outputs, o)
			}
		},
		write: func(s *service.Spec) any {
			if len(s.Outputs) == 0 {
				return nil
			}
			all := make(yaml.MapSlice, len(s.Outputs))
			for i := range s.Outputs {
				o := &s.Outputs[i]
				var value any = o.Value
				if o.Sensitive || o.Description != "" {
					value = write(outputFields, o)
				}
				all[i] = yaml.MapItem{Key: o.Name, Value: value}
			}
			return all
		},
	}
}

// connect follows the reading of a service, at a place of the whole: what is needed is sorted and what templates need is
// added, in the services that are made for it, too.
func (d *decoder) connect(at string, s *service.Spec) {
	d.sortNeeds(at, s)
	render.Connect(s)
	for i := range s.Services {
		if x := &s.Services[i]; x.Spec != nil {
			if d.opts.Offline && len(x.Spec.Roles)+len(x.Spec.Services) == 0 {
				grant(x)
			}
			d.connect(fmt.Sprintf("%sservices[%d].spec.", at, i), x.Spec)
		}
	}
}

// grant gives a template that is known by name alone what a document takes from it.
func grant(x *service.SupplierSpec) {
	x.Spec.Inputs, x.Spec.Outputs = maps.Clone(x.Inputs), nil
	for _, name := range x.Uses {
		x.Spec.Outputs = append(x.Spec.Outputs, service.OutputSpec{Name: name, Value: name})
	}
}

// checkDrivers holds the options of machines and resources against their drivers' descriptions.
func (d *decoder) checkDrivers(at string, s *service.Spec) {
	for i := range s.Roles {
		d.checkOptions(fmt.Sprintf("%sroles[%d].machine.", at, i), s, &s.Roles[i])
	}
	for i := range s.Resources {
		d.checkResource(fmt.Sprintf("%sresources[%d]", at, i), &s.Resources[i])
	}
	for i := range s.Services {
		if x := &s.Services[i]; x.Spec != nil {
			d.checkDrivers(fmt.Sprintf("%sservices[%d].spec.", at, i), x.Spec)
		}
	}
}
