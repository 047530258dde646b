package native

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// A machineDocument is a file with a machine definition.
type machineDocument struct{ Machine service.Machine }

var machineDocumentFields = []field[machineDocument]{{
	key: "machine", shape: ref("machine"), example: "{name: small, driver: process}",
	help: "The machine definition.",
	read: func(d *decoder, n *tree.Node, m *machineDocument) {
		// Its problems have no prefix: the definition stands alone.
		d.spec = ""
		d.mark("", n)
		read(d, machineFields, n, &m.Machine)
	},
	write: func(m *machineDocument) any { return write(machineFields, &m.Machine) },
}}

// machineFields are the keys of a machine definition: what only it has, then what a role may have too.
var machineFields = append([]field[service.Machine]{
	textField("name", "small", "The definition's name; a definition that stands in a role needs none.",
		func(m *service.Machine) *string { return &m.Name }),
	intField("id", "given by the server", "3", "The definition's number, by which OneFlow's vm_template names it.",
		func(m *service.Machine) *int { return &m.ID }),
	includeField[service.Machine](),
	{
		key: "driver", spec: "implementations[0].driver implementations implementations[0]", shape: textShape, example: "docker",
		help: "The driver that makes the machine.",
		read: func(d *decoder, n *tree.Node, m *service.Machine) {
			if s, ok := d.text(n); ok {
				single(m).Driver = s
			}
		},
		write: func(m *service.Machine) any {
			if x := alone(m); x != nil && command(m) == nil {
				return x.Driver
			}
			return nil
		},
	},
	{
		key: "account", spec: "implementations[0].account", shape: textShape, def: "the driver's default", example: "lab",
		help: "The configured account of the driver.",
		read: func(d *decoder, n *tree.Node, m *service.Machine) {
			if s, ok := d.text(n); ok {
				single(m).Account = s
			}
		},
		write: func(m *service.Machine) any {
			if x := alone(m); x != nil {
				return unlessZero(x.Account)
			}
			return nil
		},
	},
	{
		key: "implementations", shape: listShape("implementation"), example: "[{driver: docker}, {driver: ec2}]",
		help: "Several ways to make the machine, in place of driver, account, options and run: the next one is tried when a back end has no capacity or is down. What one says of its own goes before what stands beside.",
		read: func(d *decoder, n *tree.Node, m *service.Machine) {
			if len(m.Implementations) > 0 {
				d.fail(n.At, "stands beside driver or account; write these in the implementations")
				return
			}
			d.each(n, func(item *tree.Node) {
				var x service.Implementation
				read(d, implementationFields, item, &x)
				m.Implementations = append(m.Implementations, x)
			})
		},
		write: func(m *service.Machine) any {
			if len(m.Implementations) == 0 || alone(m) != nil {
				return nil
			}
			return writeList(implementationFields, m.Implementations)
		},
	},
	choiceField("choose", "With which implementation an instance begins: order takes the first; random any; spread the one that the fewest instances of the role have.",
		func(m *service.Machine) *service.Choose { return &m.Choose }, service.InOrder, service.AtRandom, service.Spread),
	variablesField("Values of any kind that templates see as variables.NAME; those of the service and the role are laid over them.",
		func(m *service.Machine) *service.Values { return &m.Variables }),
}, sharedFields...)

// sharedFields are the keys that a machine definition and a role have in common.
var sharedFields = []field[service.Machine]{
	{
		key: "run", spec: "implementations[0].options.command implementations[0] implementations", shape: textShape, example: "./db --listen $TROUPE_ADDRESS:5432",
		help: "A command: short for the driver process and its option command.",
		read: readRun,
		write: func(m *service.Machine) any {
			return command(m)
		},
	},
	{
		key: "options", spec: "implementations[0].options", shape: freeShape, example: "{image: nginx}",
		help: "The driver's own options.",
		read: func(d *decoder, n *tree.Node, m *service.Machine) {
			if len(m.Implementations) > 1 {
				d.fail(n.At, "the machine has %d implementations; give each its own options", len(m.Implementations))
				return
			}
			readOptions(d, n, &single(m).Options)
		},
		write: func(m *service.Machine) any {
			x := alone(m)
			if x == nil {
				return nil
			}
			options := x.Options
			if command(m) != nil {
				options = maps.Clone(options)
				delete(options, commandOption)
			}
			return unlessEmpty(options)
		},
	},
	envField(func(m *service.Machine) *map[string]string { return &m.Env }),
	filesField(func(m *service.Machine) *[]service.File { return &m.Files }),
	userDataField(func(m *service.Machine) *string { return &m.UserData }),
	{
		key: "cpus", shape: numberShape, def: "the driver's default", example: "0.5", help: "Cores.",
		read: func(d *decoder, n *tree.Node, m *service.Machine) {
			v, err := strconv.ParseFloat(n.Text, 64)
			if err != nil || n.Kind != tree.Integer && n.Kind != tree.Float {
				d.fail(n.At, "expected a number of cores, found %s", n.Found())
				return
			}
			m.CPUs = v
		},
		write: func(m *service.Machine) any { return unlessZero(m.CPUs) },
	},
	{
		key: "memory", shape: sizeShape, def: "the driver's default", example: "512M",
		help: "Memory: bytes, or with a unit K, M, G or T (powers of 1024).",
		read: func(d *decoder, n *tree.Node, m *service.Machine) {
			s, ok := d.text(n)
			if !ok {
				return
			}
			v, err := driver.ParseSize(s)
			if err != nil {
				d.fail(n.At, "%v", err)
				return
			}
			m.Memory = v
		},
		write: func(m *service.Machine) any { return formatSize(m.Memory) },
	},
	checkField(func(m *service.Machine) *[]service.Check { return &m.Checks }),
	wordsField("attributes", "{RACK: \"7\"}", "Free pairs of the definition.",
		func(m *service.Machine) *map[string]string { return &m.Attributes }),
}

// lifted returns the shared fields as keys of a role, where they lie over the role's machine.
func lifted() []field[service.RoleSpec] {
	out := make([]field[service.RoleSpec], len(sharedFields))
	for i, f := range sharedFields {
		spec := strings.Fields(cmp.Or(f.spec, f.key))
		for j := range spec {
			spec[j] = "machine." + spec[j]
		}
		if f.key == "run" {
			spec = append(spec, "machine")
		}
		out[i] = field[service.RoleSpec]{
			key: f.key, spec: strings.Join(spec, " "), shape: f.shape, def: f.def, example: f.example, help: f.help,
			read: func(d *decoder, n *tree.Node, r *service.RoleSpec) { f.read(d, n, &r.Machine) },
			write: func(r *service.RoleSpec) any {
				if !runs(&r.Machine) {
					return nil
				}
				return f.write(&r.Machine)
			},
		}
	}
	return out
}

// runs reports whether the keys of a role say all of the machine.
func runs(m *service.Machine) bool {
	return m.Name == "" && m.ID == 0 && m.Choose == "" && len(m.Variables) == 0 && command(m) != nil && m.Implementations[0].Account == ""
}

func writeList[T any](fields []field[T], all []T) []yaml.MapSlice {
	out := make([]yaml.MapSlice, len(all))
	for i := range all {
		out[i] = write(fields, &all[i])
	}
	return out
}

// clone copies a definition as deep as a role's own keys reach into it.
func clone(m service.Machine) service.Machine {
	m.Implementations = slices.Clone(m.Implementations)
	for i := range m.Implementations {
		m.Implementations[i].Options = maps.Clone(m.Implementations[i].Options)
	}
	m.Env, m.Attributes = maps.Clone(m.Env), maps.Clone(m.Attributes)
	m.Files, m.Checks = slices.Clone(m.Files), slices.Clone(m.Checks)
	return m
}
