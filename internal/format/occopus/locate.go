package occopus

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// Locate tells where in the description is what is wrong with the specification that it was compiled to.
func (i *Infrastructure) Locate(problems service.Problems) *Invalid {
	c := newCompiler(i, CompileOptions{})
	c.report(problems)
	var out *Invalid
	errors.As(c.err(), &out)
	return out
}

// Check finds what is wrong with a definition wherever it is used: its templates, variables and commands, and options
// that the drivers do not know. kinds returns a driver's description; a driver that is not there is not a mistake of the
// definition's. The error, if any, is an *Invalid, with places when the definition has just been read.
func (def *Definition) Check(kinds func(driver string) (*driver.Kind, error)) error {
	c := newCompiler(&Infrastructure{Name: "check", Nodes: []Node{{Name: "node", Type: def.Name}}}, CompileOptions{
		Definition: func(string) (*Definition, error) { return def, nil }, Kinds: kinds,
	})
	c.alone = def
	_, _, err := c.compile()
	return err
}

// at returns the place of a node: the one of the file it was read from.
func (c *compiler) at(n int) tree.Place {
	if at := c.infra.Nodes[n].at; at.File != nil {
		return at
	}
	return tree.Place{File: &tree.File{Name: c.infra.Name}}
}

// whole returns where the nodes begin, for what concerns all of them.
func (c *compiler) whole() tree.Place {
	if len(c.infra.Nodes) == 0 {
		return tree.Place{File: &tree.File{Name: c.infra.Name}}
	}
	return c.at(0)
}

// typeAt returns the place of a node's type, and filterAt that of its filter.
func (c *compiler) typeAt(n int) tree.Place { return c.nearer(c.infra.Nodes[n].typeAt, n) }

func (c *compiler) filterAt(n int) tree.Place { return c.nearer(c.infra.Nodes[n].filterAt, n) }

func (c *compiler) nearer(at tree.Place, n int) tree.Place {
	if at.File == nil {
		return c.at(n)
	}
	return at
}

// report notes what validation found, at the nodes of the roles.
func (c *compiler) report(err error) {
	var problems service.Problems
	if !errors.As(err, &problems) {
		return
	}
	for _, p := range problems {
		rest, ok := strings.CutPrefix(p.Path, "roles[")
		number, rest, _ := strings.Cut(rest, "]")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n >= len(c.infra.Nodes) {
			c.fail(c.whole(), p.Path, "", "%s", p.Text)
			continue
		}
		node := &c.infra.Nodes[n]
		k, key := keyOf(rest)
		path := fmt.Sprintf("%s%s[%d].%s", definitionPrefix, node.Type, k, key)
		switch {
		case strings.HasPrefix(rest, ".filter"):
			c.fail(c.filterAt(n), fmt.Sprintf("nodes[%d]%s", n, rest), noDefinition, "%s: %s (node %s of type %s)", noDefinition, p.Text, node.Name, node.Type)
		case key == "":
			c.fail(c.at(n), fmt.Sprintf("nodes[%d]%s", n, rest), "", "%s (node %s of type %s)", p.Text, node.Name, node.Type)
		case c.alone != nil && k < len(c.alone.Implementations):
			c.fail(c.alone.Implementations[k].place(key), path, "", "%s", p.Text)
		default:
			c.fail(c.at(n), path, "", "%s (node %s of type %s)", p.Text, node.Name, node.Type)
		}
	}
}

var ofImplementation = regexp.MustCompile(`^\.machine\.implementations\[(\d+)\]\.(\w+)(?:\[\d+\])?(?:\.(\w+))?`)

// keyOf returns which implementation of a definition a part of a role comes from, and the key there; "" for none.
func keyOf(rest string) (implementation int, key string) {
	m := ofImplementation.FindStringSubmatch(rest)
	if m == nil {
		return 0, ""
	}
	implementation, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, ""
	}
	switch m[2] {
	case "user_data":
		return implementation, "contextualisation.context_template"
	case "env":
		return implementation, "contextualisation.env"
	case "checks":
		of := map[string]string{"tcp": ".ports", "http": ".urls", "mysql": ".mysqldbs"}
		return implementation, "health_check" + of[m[3]]
	case "options":
		if m[3] == "command" || m[3] == "args" {
			return implementation, "contextualisation.command"
		}
		return implementation, "resource"
	}
	return 0, ""
}

// place returns where a key of an implementation is written, as "health_check.urls"; where that is not known, the nearest
// place above it.
func (x *Implementation) place(key string) tree.Place {
	for {
		if at, ok := x.places[key]; ok {
			return at
		}
		dot := strings.LastIndexByte(key, '.')
		if dot < 0 {
			break
		}
		key = key[:dot]
	}
	if at, ok := x.places[""]; ok {
		return at
	}
	return tree.Place{File: &tree.File{Name: "node definition"}}
}

// placesOf notes where the keys of an implementation's sections are.
func placesOf(item *tree.Node) map[string]tree.Place {
	out := map[string]tree.Place{"": item.At}
	for _, section := range item.Entries {
		out[section.Key] = section.At
		for _, e := range section.Value.Entries {
			out[section.Key+"."+e.Key] = e.At
		}
	}
	return out
}
