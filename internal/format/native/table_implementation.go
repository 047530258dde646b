package native

import (
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// implementationFields are the keys of an implementation.
var implementationFields = []field[service.Implementation]{
	textField("name", "frankfurt", "What it is called in messages; without one, as its driver.",
		func(x *service.Implementation) *string { return &x.Name }),
	textField("driver", "docker", "The driver that makes the machine.",
		func(x *service.Implementation) *string { return &x.Driver }),
	textField("account", "lab", "The configured account of the driver; without it, the driver's default.",
		func(x *service.Implementation) *string { return &x.Account }),
	freeField("options", "{image: nginx}", "The driver's own options.", func(x *service.Implementation) *map[string]any { return &x.Options }),
	freeField("names", "{flavour: small}", "Further names that the templates see.",
		func(x *service.Implementation) *map[string]any { return (*map[string]any)(&x.Names) }),
	freeField("rendered", `{dsn: "db.{{ service.name }}"}`, "Further names whose texts, nested ones too, are templates themselves; they see all other names.",
		func(x *service.Implementation) *map[string]any { return (*map[string]any)(&x.Rendered) }),
	freeField("labels", "{zone: eu}", "What the filter of a role looks at: values of any kind, nested ones too.",
		func(x *service.Implementation) *map[string]any { return &x.Labels }),
	overlaid(envField(func(x *service.Implementation) *map[string]string { return &x.Env }), "laid over the machine's"),
	overlaid(filesField(func(x *service.Implementation) *[]service.File { return &x.Files }), "in place of the machine's"),
	overlaid(userDataField(func(x *service.Implementation) *string { return &x.UserData }), "in place of the machine's"),
	overlaid(checkField(func(x *service.Implementation) *[]service.Check { return &x.Checks }), "in place of the machine's"),
}

// overlaid says in a field's help how what an implementation says goes with what its machine says.
func overlaid(f field[service.Implementation], how string) field[service.Implementation] {
	f.help = strings.TrimSuffix(f.help, ".") + "; " + how + "."
	return f
}

// commandOption is the option of the driver process that holds the command.
const (
	processDriver = "process"
	commandOption = "command"
)

// command returns the command of a machine of the driver process, or nil.
func command(m *service.Machine) any {
	x := alone(m)
	if x == nil || x.Driver != processDriver {
		return nil
	}
	if s, ok := x.Options[commandOption].(string); ok && strings.TrimSpace(s) != "" {
		return s
	}
	return nil
}

// alone returns the one implementation of a machine whose keys can stand in the machine itself; nil when there are
// several, or when it says something of its own.
func alone(m *service.Machine) *service.Implementation {
	if len(m.Implementations) != 1 {
		return nil
	}
	x := &m.Implementations[0]
	if x.Name != "" || len(x.Labels)+len(x.Names)+len(x.Rendered) > 0 || len(x.Env) > 0 || len(x.Files) > 0 || x.UserData != "" || len(x.Checks) > 0 {
		return nil
	}
	return x
}

func single(m *service.Machine) *service.Implementation {
	if len(m.Implementations) == 0 {
		m.Implementations = make([]service.Implementation, 1)
	}
	return &m.Implementations[0]
}

func readRun(d *decoder, n *tree.Node, m *service.Machine) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	if len(m.Implementations) > 1 {
		d.fail(n.At, "the machine has %d implementations; give the one of the driver process its option command", len(m.Implementations))
		return
	}
	x := single(m)
	switch {
	case strings.TrimSpace(s) == "":
		d.fail(n.At, "the command is empty")
	case x.Driver != "" && x.Driver != processDriver:
		d.fail(n.At, "run is for the driver process; the driver here is %s", x.Driver)
	default:
		x.Driver = processDriver
		if x.Options == nil {
			x.Options = map[string]any{}
		}
		x.Options[commandOption] = s
	}
}

func readOptions(d *decoder, n *tree.Node, into *map[string]any) {
	if n.Kind != tree.Mapping {
		d.fail(n.At, "expected keys and values, found %s", n.Kind)
		return
	}
	for _, e := range n.Entries {
		d.in(e.Key, e.Key, e.Value, func() {
			if *into == nil {
				*into = map[string]any{}
			}
			(*into)[e.Key] = e.Value.Any()
		})
	}
}
