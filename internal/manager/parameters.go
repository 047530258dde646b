package manager

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// An Attribute is a name with its value as it is sent to an orchestrator, or as an instance shows it.
type Attribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Quoted says that the value is sent in quotes in any case; others only if they need them.
	Quoted bool `json:"quoted,omitempty"`
}

// A Phase is one in the life of an instance, in the words of provider parameters.
type Phase string

// The phases that have parameters. Those of the first are never sent to anybody.
const (
	PhaseInitialise Phase = "initialise"
	PhaseActivate   Phase = "activate"
	PhaseDeploy     Phase = "deploy"
	PhaseProvision  Phase = "provision"
	PhaseUpdate     Phase = "update"
	PhaseDestroy    Phase = "destroy"
	PhaseRetrieve   Phase = "retrieve"
)

var phases = []string{string(PhaseInitialise), string(PhaseActivate), string(PhaseDeploy), string(PhaseProvision), string(PhaseUpdate), string(PhaseDestroy), string(PhaseRetrieve)}

// Parameters are what a provider has orchestrators told in each phase; the users of the service do not see them.
type Parameters map[Phase][]Attribute

// ParseParameters reads provider parameters, which are JSON. Its errors are those of [ParseManifest].
func ParseParameters(file string, text []byte) (Parameters, error) {
	r := &reader{}
	root, err := readJSON(file, text)
	if err != nil {
		return nil, err
	}
	if root.Kind != tree.Mapping {
		r.fail(root, "", "provider parameters are an object with phases, not %s", root.Found())
		return nil, r.errs
	}
	p := make(Parameters, len(root.Entries))
	for _, e := range root.Entries {
		switch {
		case !slices.Contains(phases, e.Key):
			r.errs.Note(e.At, e.Key, fmt.Sprintf("no phase %q%s; there are %s", e.Key, nearest.Hint(e.Key, phases), strings.Join(phases, ", ")))
		case e.Value.Kind != tree.List || len(e.Value.Items) > maxAttributes:
			r.fail(e.Value, e.Key, "a list of at most %d parameters is wanted, not %s", maxAttributes, e.Value.Found())
		default:
			for i, item := range e.Value.Items {
				if a, ok := r.parameter(item, fmt.Sprintf("%s[%d]", e.Key, i)); ok {
					p[Phase(e.Key)] = append(p[Phase(e.Key)], a)
				}
			}
		}
	}
	return p, r.errs.Sorted()
}

func (r *reader) parameter(n *tree.Node, path string) (a Attribute, ok bool) {
	if n.Kind != tree.Mapping {
		r.fail(n, path, `{"name": …, "type": "string" or "number", "value": …} is wanted, not %s`, n.Found())
		return a, false
	}
	value := n.Get("value")
	switch kind := r.text(n, "type", true); {
	case value == nil:
		r.fail(n, path, `"value" is missing`)
		return a, false
	case kind != "string" && kind != "number":
		if kind != "" {
			r.fail(n.Get("type"), path+".type", `"string" or "number" is wanted, not %q`, kind)
		}
		return a, false
	case !value.Kind.Scalar():
		r.fail(value, path+".value", "a text or a number is wanted, not %s", value.Found())
		return a, false
	default:
		a = Attribute{Name: r.text(n, "name", true), Value: value.Text, Quoted: kind == "string"}
	}
	if a.Name != "" && !isName(a.Name) {
		r.fail(n.Get("name"), path+".name", "the name of an attribute is made of letters, digits, '.', '-', '_'")
	}
	return a, true
}

// Names returns the names of all parameters.
func (p Parameters) Names() map[string]bool {
	names := map[string]bool{}
	for list := range maps.Values(p) {
		for _, a := range list {
			names[a.Name] = true
		}
	}
	return names
}
