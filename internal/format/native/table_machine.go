package native

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
)

// A machineDocument is a file with a machine definition.
type machineDocument struct{ Machine service.Machine }

var machineDocumentFields = []field[machineDocument]{{
	key: "machine", shape: ref("machine"), example: "{name: small, driver: process}",
	help: "The machine definition.",
	read: func(d *decoder, n *node, m *machineDocument) {
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
		read: func(d *decoder, n *node, m *service.Machine) {
			if s, ok := d.text(n); ok {
				single(m).Driver = s
			}
		},
		write: func(m *service.Machine) any {
			if len(m.Implementations) != 1 || command(m) != nil {
				return nil
			}
			return m.Implementations[0].Driver
		},
	},
	{
		key: "account", spec: "implementations[0].account", shape: textShape, def: "the driver's default", example: "lab",
		help: "The configured account of the driver.",
		read: func(d *decoder, n *node, m *service.Machine) {
			if s, ok := d.text(n); ok {
				single(m).Account = s
			}
		},
		write: func(m *service.Machine) any {
			if len(m.Implementations) != 1 {
				return nil
			}
			return unlessZero(m.Implementations[0].Account)
		},
	},
	{
		key: "implementations", shape: listShape("implementation"), example: "[{driver: docker}, {driver: ec2}]",
		help: "Several ways to make the machine, in place of driver, account, options and run: the next one is taken when a back end has no capacity or is down.",
		read: func(d *decoder, n *node, m *service.Machine) {
			if len(m.Implementations) > 0 {
				d.fail(n.at, "stands beside driver or account; write these in the implementations")
				return
			}
			d.each(n, func(item *node) {
				var x service.Implementation
				read(d, implementationFields, item, &x)
				m.Implementations = append(m.Implementations, x)
			})
		},
		write: func(m *service.Machine) any {
			if len(m.Implementations) < 2 {
				return nil
			}
			return writeList(implementationFields, m.Implementations)
		},
	},
}, sharedFields...)

// implementationFields are the keys of an implementation.
var implementationFields = []field[service.Implementation]{
	textField("driver", "docker", "The driver that makes the machine.",
		func(x *service.Implementation) *string { return &x.Driver }),
	textField("account", "lab", "The configured account of the driver; without it, the driver's default.",
		func(x *service.Implementation) *string { return &x.Account }),
	{
		key: "options", shape: freeShape, example: "{image: nginx}", help: "The driver's own options.",
		read: func(d *decoder, n *node, x *service.Implementation) { readOptions(d, n, &x.Options) },
		write: func(x *service.Implementation) any {
			return unlessEmpty(x.Options)
		},
	},
}

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
		read: func(d *decoder, n *node, m *service.Machine) {
			if len(m.Implementations) > 1 {
				d.fail(n.at, "the machine has %d implementations; give each its own options", len(m.Implementations))
				return
			}
			readOptions(d, n, &single(m).Options)
		},
		write: func(m *service.Machine) any {
			if len(m.Implementations) != 1 {
				return nil
			}
			options := m.Implementations[0].Options
			if command(m) != nil {
				options = maps.Clone(options)
				delete(options, commandOption)
			}
			return unlessEmpty(options)
		},
	},
	wordsField("env", "{DB: \"{{ roles.db[0].address }}\"}", "The environment of the main program. Values are templates.",
		func(m *service.Machine) *map[string]string { return &m.Env }),
	{
		key: "files", shape: mapShape("file"), example: "{etc/app.conf: {from: app.conf.j2, mode: \"0640\"}}",
		help: "Files by path, relative to the machine's root or working folder: the content, or a map. Contents are templates.",
		read: readFiles,
		write: func(m *service.Machine) any {
			if len(m.Files) == 0 {
				return nil
			}
			out := make(yaml.MapSlice, len(m.Files))
			for i, f := range m.Files {
				out[i] = yaml.MapItem{Key: f.Path, Value: f.Content}
				if f.Mode != 0 {
					out[i].Value = write(fileFields, &m.Files[i])
				}
			}
			return out
		},
	},
	{
		key: "user_data", shape: contentShape, example: "{from: cloud-init.yaml.j2}",
		help:  "The cloud-init text of machines that boot, a template: the text, or {from: FILE}.",
		read:  func(d *decoder, n *node, m *service.Machine) { readContent(d, n, &m.UserData) },
		write: func(m *service.Machine) any { return unlessZero(m.UserData) },
	},
	{
		key: "cpus", shape: numberShape, def: "the driver's default", example: "0.5", help: "Cores.",
		read: func(d *decoder, n *node, m *service.Machine) {
			v, err := strconv.ParseFloat(n.text, 64)
			if err != nil || n.kind != integer && n.kind != float {
				d.fail(n.at, "expected a number of cores, found %s", n.found())
				return
			}
			m.CPUs = v
		},
		write: func(m *service.Machine) any { return unlessZero(m.CPUs) },
	},
	{
		key: "memory", shape: sizeShape, def: "the driver's default", example: "512M",
		help: "Memory: bytes, or with a unit K, M, G or T (powers of 1024).",
		read: func(d *decoder, n *node, m *service.Machine) {
			s, ok := d.text(n)
			if !ok {
				return
			}
			v, err := driver.ParseSize(s)
			if err != nil {
				d.fail(n.at, "%v", err)
				return
			}
			m.Memory = v
		},
		write: func(m *service.Machine) any { return formatSize(m.Memory) },
	},
	{
		key: "check", spec: "checks", shape: checkShape, example: "http :8080/healthz",
		help: "One health check or a list: as text (tcp :80, http :8080/healthz, exec COMMAND, ping) or as a map. An instance is up when all its checks pass.",
		read: func(d *decoder, n *node, m *service.Machine) {
			m.Checks = nil
			d.each(n, func(item *node) {
				var c service.Check
				readCheck(d, item, &c)
				m.Checks = append(m.Checks, c)
			})
		},
		write: func(m *service.Machine) any {
			all := make([]any, len(m.Checks))
			for i := range m.Checks {
				all[i] = writeCheck(&m.Checks[i])
			}
			switch len(all) {
			case 0:
				return nil
			case 1:
				return all[0]
			}
			return all
		},
	},
	wordsField("attributes", "{RACK: \"7\"}", "Free pairs of the definition.",
		func(m *service.Machine) *map[string]string { return &m.Attributes }),
}

// commandOption is the option of the driver process that holds the command.
const (
	processDriver = "process"
	commandOption = "command"
)

// lifted returns the shared fields as keys of a role, where they lie over the role's machine.
func lifted() []field[service.RoleSpec] {
	out := make([]field[service.RoleSpec], len(sharedFields))
	for i, f := range sharedFields {
		spec := strings.Fields(firstOf(f.spec, f.key))
		for j := range spec {
			spec[j] = "machine." + spec[j]
		}
		if f.key == "run" {
			spec = append(spec, "machine")
		}
		out[i] = field[service.RoleSpec]{
			key: f.key, spec: strings.Join(spec, " "), shape: f.shape, def: f.def, example: f.example, help: f.help,
			read: func(d *decoder, n *node, r *service.RoleSpec) { f.read(d, n, &r.Machine) },
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
	return m.Name == "" && m.ID == 0 && command(m) != nil && m.Implementations[0].Account == ""
}

// command returns the command of a machine of the driver process, or nil.
func command(m *service.Machine) any {
	if len(m.Implementations) != 1 || m.Implementations[0].Driver != processDriver {
		return nil
	}
	if s, ok := m.Implementations[0].Options[commandOption].(string); ok && strings.TrimSpace(s) != "" {
		return s
	}
	return nil
}

func single(m *service.Machine) *service.Implementation {
	if len(m.Implementations) == 0 {
		m.Implementations = make([]service.Implementation, 1)
	}
	return &m.Implementations[0]
}

func readRun(d *decoder, n *node, m *service.Machine) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	if len(m.Implementations) > 1 {
		d.fail(n.at, "the machine has %d implementations; give the one of the driver process its option command", len(m.Implementations))
		return
	}
	x := single(m)
	switch {
	case strings.TrimSpace(s) == "":
		d.fail(n.at, "the command is empty")
	case x.Driver != "" && x.Driver != processDriver:
		d.fail(n.at, "run is for the driver process; the driver here is %s", x.Driver)
	default:
		x.Driver = processDriver
		if x.Options == nil {
			x.Options = map[string]any{}
		}
		x.Options[commandOption] = s
	}
}

func readOptions(d *decoder, n *node, into *map[string]any) {
	if n.kind != mapping {
		d.fail(n.at, "expected keys and values, found %s", n.kind)
		return
	}
	for _, e := range n.entries {
		d.in(e.key, e.key, e.value, func() {
			if *into == nil {
				*into = map[string]any{}
			}
			(*into)[e.key] = e.value.any()
		})
	}
}

// fileFields are the keys of a file.
var fileFields = []field[service.File]{
	{
		key: "content", shape: textShape, example: "\"port = 80\"", help: "The content, a template.",
		read: func(d *decoder, n *node, f *service.File) {
			if s, ok := d.text(n); ok {
				f.Content = s
			}
		},
		write: func(f *service.File) any { return f.Content },
	},
	{
		key: "from", spec: "content", shape: textShape, example: "app.conf.j2", help: "A file beside the document, or below, that holds the content, in place of content.",
		read: func(d *decoder, n *node, f *service.File) {
			if data, ok := d.openText(n); ok {
				f.Content = data
			}
		},
	},
	{
		key: "mode", shape: modeShape, def: "0644", example: "\"0640\"", help: "The permission bits, octal.",
		read: func(d *decoder, n *node, f *service.File) {
			s := strings.TrimPrefix(n.text, "0o")
			mode, err := strconv.ParseUint(s, 8, 32)
			if err != nil || n.kind != integer && n.kind != text || mode > 0o7777 {
				d.fail(n.at, "%s is no file mode: write one such as 0640", n.found())
				return
			}
			f.Mode = uint32(mode)
		},
		write: func(f *service.File) any {
			if f.Mode == 0 {
				return nil
			}
			return fmt.Sprintf("%04o", f.Mode)
		},
	},
}

func readFiles(d *decoder, n *node, m *service.Machine) {
	if n.kind != mapping {
		d.fail(n.at, "expected files by path, found %s", n.kind)
		return
	}
	at := make(map[string]int, len(m.Files))
	for i, f := range m.Files {
		at[f.Path] = i
	}
	for _, e := range n.entries {
		i, there := at[e.key]
		if !there {
			i = len(m.Files)
			m.Files = append(m.Files, service.File{})
		}
		f := service.File{Path: e.key}
		d.in(e.key, fmt.Sprintf("[%d]", i), e.value, func() {
			d.mark(d.spec+".path", &node{at: e.at})
			if e.value.kind == mapping {
				read(d, fileFields, e.value, &f)
				if e.value.get("from") != nil && e.value.get("content") != nil {
					d.fail(e.at, "has content and from; one of them is enough")
				}
			} else if s, ok := d.text(e.value); ok {
				f.Content = s
			}
		})
		m.Files[i] = f
	}
}

// A contentSource is where a text comes from.
type contentSource struct{ text string }

var contentFields = []field[contentSource]{{
	key: "from", shape: textShape, example: "cloud-init.yaml.j2", help: "A file beside the document, or below, that holds the text.",
	read: func(d *decoder, n *node, c *contentSource) { c.text, _ = d.openText(n) },
}}

func readContent(d *decoder, n *node, into *string) {
	if n.kind == mapping {
		var c contentSource
		read(d, contentFields, n, &c)
		*into = c.text
	} else if s, ok := d.text(n); ok {
		*into = s
	}
}

// openText reads a file as text.
func (d *decoder) openText(n *node) (string, bool) {
	data, ok := d.open(n)
	if !ok {
		return "", false
	}
	d.files++
	d.bytes += len(data)
	if d.bytes > MaxTotal {
		d.fail(n.at, "the document and what it includes have more than %d bytes", MaxTotal)
		return "", false
	}
	if bad := invalidUTF8(data); bad >= 0 {
		d.fail(n.at, "%q is not UTF-8 text", n.text)
		return "", false
	}
	return string(data), true
}

// checkFields are the keys of a health check.
var checkFields = []field[service.Check]{
	textField("tcp", ":5432", "Healthy when a connection opens: host:port, or :port on the instance's address.",
		func(c *service.Check) *string { return &c.TCP }),
	textField("http", ":8080/healthz", "Healthy when a GET answers with 200 to 399: a URL, or :port/path on the instance's address.",
		func(c *service.Check) *string { return &c.HTTP }),
	{
		key: "exec", shape: execShape, example: "pg_isready -q",
		help: "Healthy when this command exits with 0 inside the machine: words, or one text for /bin/sh -c.",
		read: func(d *decoder, n *node, c *service.Check) {
			if n.kind != list {
				if s, ok := d.text(n); ok {
					c.Exec = shell(s)
				}
				return
			}
			d.each(n, func(item *node) {
				if s, ok := d.text(item); ok {
					c.Exec = append(c.Exec, s)
				}
			})
		},
		write: func(c *service.Check) any {
			if len(c.Exec) == 3 && c.Exec[0] == "/bin/sh" && c.Exec[1] == "-c" {
				return c.Exec[2]
			}
			if len(c.Exec) == 0 {
				return nil
			}
			return c.Exec
		},
	},
	boolField("ping", "Healthy when the instance answers an ICMP echo.", func(c *service.Check) *bool { return &c.Ping }),
	intField("status", "200 to 399", "204", "The one HTTP status that is healthy.", func(c *service.Check) *int { return &c.Status }),
	durationField("interval", "10s", "5s", "The pause between two rounds.", func(c *service.Check) *time.Duration { return &c.Interval }),
	durationField("timeout", "5s", "2s", "How long a round may take.", func(c *service.Check) *time.Duration { return &c.Timeout }),
	intField("failures", "3", "5", "Failed rounds in a row until the instance is unhealthy.", func(c *service.Check) *int { return &c.Failures }),
	intField("successes", "1", "2", "Good rounds in a row until the instance is healthy.", func(c *service.Check) *int { return &c.Successes }),
	durationField("start_period", "none", "30s", "Failures in this time after the start do not count.", func(c *service.Check) *time.Duration { return &c.StartPeriod }),
}

func shell(command string) []string { return []string{"/bin/sh", "-c", command} }

func readCheck(d *decoder, n *node, c *service.Check) {
	if n.kind == mapping {
		read(d, checkFields, n, c)
		return
	}
	s, ok := d.text(n)
	if !ok {
		return
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case word == "ping" && rest == "":
		c.Ping = true
	case word == "tcp" && rest != "":
		c.TCP = rest
	case word == "http" && rest != "":
		c.HTTP = rest
	case word == "exec" && rest != "":
		c.Exec = shell(rest)
	default:
		d.fail(n.at, "%s is no check: write tcp :80, http :8080/healthz, exec COMMAND or ping", n.found())
	}
}

// writeCheck returns the text of a check that is all defaults, otherwise its map.
func writeCheck(c *service.Check) any {
	out := write(checkFields, c)
	if len(out) != 1 {
		return out
	}
	if c.Ping {
		return "ping"
	}
	value, ok := out[0].Value.(string)
	key, isKey := out[0].Key.(string)
	if !ok || !isKey || value == "" || value != strings.TrimSpace(value) {
		return out
	}
	return key + " " + value
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
