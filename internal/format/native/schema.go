package native

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// A shape is what values of a key look like: as JSON Schema, and in words.
type shape struct {
	schema map[string]any
	words  string
}

var (
	textShape     = shape{map[string]any{"type": []string{"string", "number", "boolean"}}, "text"}
	boolShape     = shape{map[string]any{"type": "boolean"}, "true or false"}
	countShape    = shape{map[string]any{"type": "integer", "minimum": 0}, "number"}
	numberShape   = shape{map[string]any{"type": "number", "minimum": 0}, "number"}
	durationShape = shape{map[string]any{
		"type": []string{"string", "number"}, "minimum": 0,
		"pattern": `^\s*\+?([0-9]+d)?([0-9.]+(ns|us|µs|μs|ms|s|m|h)?)*([eE][+-]?[0-9]+)?\s*$`,
	}, "duration"}
	sizeShape = shape{map[string]any{
		"type": []string{"string", "integer"}, "minimum": 0,
		"pattern": `^\s*[0-9.]+\s*([KMGTPkmgtp]?([iI]?[bB])?)\s*$`,
	}, "size"}
	modeShape    = shape{map[string]any{"type": []string{"string", "integer"}}, "octal number"}
	wordsShape   = shape{map[string]any{"type": "object", "additionalProperties": textShape.schema}, "map of text"}
	freeShape    = shape{map[string]any{"type": "object"}, "map"}
	namesShape   = shape{anyOf(textShape.schema, arrayOf(textShape.schema)), "text or list"}
	execShape    = namesShape
	contentShape = shape{anyOf(textShape.schema, reference("content")), "text or {from: FILE}"}
	checkShape   = shape{anyOf(textShape.schema, reference("check"), arrayOf(anyOf(textShape.schema, reference("check")))), "text, check, or a list of them"}
	machineShape = shape{anyOf(textShape.schema, reference("machine")), "name or machine"}
	// A range may be written so that YAML sees a number: 2.. is text, but 2 is an integer.
	numberOfShape = shape{anyOf(
		map[string]any{"type": "integer", "minimum": 0},
		map[string]any{"type": "string", "pattern": `^\s*[0-9]{1,9}\s*\.\.\s*([0-9]{1,9})?\s*$`},
		reference("count"),
	), "number, range or {min, max, initial}"}
)

func anyOf(s ...any) map[string]any        { return map[string]any{"anyOf": s} }
func arrayOf(s any) map[string]any         { return map[string]any{"type": "array", "items": s} }
func reference(name string) map[string]any { return map[string]any{"$ref": "#/$defs/" + name} }
func ref(name string) shape                { return shape{reference(name), name} }
func choiceShape(words []string) shape {
	return shape{map[string]any{"enum": words}, strings.Join(words, ", ")}
}
func listShape(name string) shape { return shape{arrayOf(reference(name)), "list of " + name + "s"} }
func mapShape(name string) shape {
	item := any(reference(name))
	if name == "file" || name == "output" {
		item = anyOf(textShape.schema, item)
	}
	return shape{map[string]any{"type": "object", "additionalProperties": item}, "map of " + name + "s"}
}

// A row is a field without its type: what documentation needs.
type row struct {
	key, def, example, help string
	shape                   shape
}

// A table is a map of the format.
type table struct {
	name, title, help string
	rows              []row
}

func tableOf[T any](name, title, help string, fields []field[T]) table {
	t := table{name: name, title: title, help: help}
	for _, f := range fields {
		t.rows = append(t.rows, row{f.key, f.def, f.example, f.help, f.shape})
	}
	return t
}

// tables returns every map of the format, the service first.
var tables = sync.OnceValue(func() []table {
	return []table{
		tableOf("service", "A service", "The document.", serviceFields),
		tableOf("role", "A role", "One kind of machine of the service.", roleFields),
		tableOf("resource", "A resource", "A network, or another thing that roles need beside each other.", resourceFields),
		tableOf("supplier", "A needed service", "A service that this one needs: service, or template or definition.", supplierFields),
		tableOf("output", "An output", "What others may know of the service.", outputFields),
		tableOf("count", "A count", "How many instances a role has.", countFields),
		tableOf("machine", "A machine", "What one instance is. It stands in a role, or in a document of its own under the key `machine`.", machineFields),
		tableOf("implementation", "An implementation", "One way to make the machine.", implementationFields),
		tableOf("file", "A file", "A file that is written into the machine.", fileFields),
		tableOf("content", "A content", "A text that comes from a file.", contentFields),
		tableOf("check", "A check", "A health check: exactly one of tcp, http, exec, mysql and ping.", checkFields),
		tableOf("mysql", "A MySQL check", "A database that must answer.", mysqlFields),
		tableOf("policy", "A policy", "A rule that changes a count: exactly one of target, steps, queue, schedule (or start) and expression, with the keys that belong to it.", policyFields),
		tableOf("step", "A step", "What a policy does at some values.", stepFields),
		tableOf("way", "A way", "How a policy is limited in one direction.", wayFields),
		tableOf("alarm", "An alarm", "What to watch, when that is bad, and what to do; see alarms.md. It sees the service's own series.", alarmFields),
		tableOf("action", "An action", "What an alarm does: exactly one of notify, scale, replace, restart and act. `replace` and `restart` may stand as words.", orderFields),
		tableOf("damping", "A damping", "How often is too often.", dampingFields),
		tableOf("window", "A window", "A time of maintenance, in which the actions of an alarm wait.", maintenanceFields),
		tableOf("update", "An update", "How a role rolls over to a changed description.", updateFields),
	}
})

func (t table) schema() map[string]any {
	properties := map[string]any{}
	for _, r := range t.rows {
		s := maps.Clone(r.shape.schema)
		s["description"] = r.help
		if r.def != "" {
			s["description"] = r.help + " Default: " + r.def + "."
		}
		// A key without a value counts as absent.
		properties[r.key] = map[string]any{"anyOf": []any{s, map[string]any{"type": "null"}}}
	}
	return map[string]any{"type": "object", "description": t.help, "properties": properties, "additionalProperties": false}
}

// Schema returns the JSON Schema (draft 2020-12) of a service.
func Schema() []byte { return schemaOf("service", "service") }

// MachineSchema returns the JSON Schema (draft 2020-12) of a document with a machine definition.
func MachineSchema() []byte { return schemaOf("machine", "") }

func schemaOf(name, top string) []byte {
	defs := map[string]any{}
	root := map[string]any{
		"type": "object", "additionalProperties": false,
		"properties": map[string]any{"machine": reference("machine")}, "required": []string{"machine"},
	}
	for _, t := range tables() {
		switch s := t.schema(); {
		case t.name == top:
			root = s
			root["required"] = []string{"name"}
			root["anyOf"] = []any{map[string]any{"required": []string{"roles"}}, map[string]any{"required": []string{"services"}}}
		case t.name != "service":
			defs[t.name] = s
		}
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://troupe.dev/schema/v1/" + name + ".json"
	root["title"] = "Troupe " + name
	root["$defs"] = defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps and text only
	}
	return append(out, '\n')
}

// Reference returns the reference of the format as Markdown, made from the tables.
func Reference() string {
	var b strings.Builder
	b.WriteString("# The native format\n\nEvery key of a service and of a machine definition. A document is YAML 1.2 or JSON.\n\n")
	b.WriteString("- A duration is text such as `90s`, `2m`, `1h30m` or `7d`; a bare number is seconds.\n")
	b.WriteString("- A size is bytes, or text such as `512M` with a unit K, M, G or T (powers of 1024).\n")
	b.WriteString("- Text may stand without quotes; numbers and booleans in its place are taken as written. `yes`, `no`, `on` and `off` are text.\n")
	b.WriteString("- A key without a value counts as absent.\n")
	fmt.Fprintf(&b, "- A service has up to %d roles; a file up to %d MiB.\n", service.MaxRoles, tree.MaxBytes>>20)
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, t := range tables() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | value | default | example | meaning |\n|---|---|---|---|---|\n", t.title, t.help)
		for _, r := range t.rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` | %s |\n", r.key, cell.Replace(r.shape.words), cell.Replace(r.def), cell.Replace(r.example), cell.Replace(r.help))
		}
	}
	return b.String()
}
