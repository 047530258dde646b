package hot

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// A View is a service as it stands, as far as outputs show it.
type View struct {
	ID, Name string
	// Instances are those of each role, by number.
	Instances map[string][]Instance
	// Resources are the outputs of each resource.
	Resources map[string]map[string]string
}

// An Instance is a machine of a role.
type Instance struct {
	Name, UUID string
	Addresses  []string
	Attributes map[string]string
}

// ViewOf returns how a service stands. installation is what UUIDs of instances derive from.
func ViewOf(s *service.Service, installation string) View {
	v := View{ID: strconv.FormatUint(s.ID, 10), Name: s.Meta.Name, Instances: map[string][]Instance{}, Resources: map[string]map[string]string{}}
	for _, r := range s.Roles {
		if r.Removing {
			continue
		}
		for i := range r.Instances {
			if i.Phase.Settled() {
				v.Instances[r.Name] = append(v.Instances[r.Name], Instance{s.InstanceName(i), service.UUID(installation, s.ID, i.Serial), i.Addresses, i.Attributes})
			}
		}
	}
	for _, x := range s.Resources {
		v.Resources[x.Name] = x.Outputs
	}
	return v
}

// An OutputValue is the value of an output now.
type OutputValue struct {
	Name        string `json:"output_key"`
	Description string `json:"description,omitempty"`
	Value       any    `json:"output_value"`
	// Error says why there is no value; "" when there is one.
	Error string `json:"output_error,omitempty"`
}

// Outputs evaluates the outputs of a service that was made from a template: document is what its specification keeps,
// view how it stands.
func Outputs(document json.RawMessage, view View) ([]OutputValue, error) {
	b, err := DecodeBundle(document)
	if err != nil {
		return nil, err
	}
	t, err := b.Parse()
	if err != nil {
		return nil, err
	}
	return t.Evaluate(CompileOptions{Name: view.Name, Project: b.Project, Parameters: b.Parameters, Driver: b.Driver, Account: b.Account, Previous: b}, view)
}

// Evaluate evaluates the outputs against a service as it stands. The error, if any, is of type tree.Errors.
func (t *Template) Evaluate(opts CompileOptions, view View) ([]OutputValue, error) {
	e := t.evaluate(opts)
	e.count = func(role string) int { return len(view.Instances[role]) }
	if err := e.errs.Sorted(); err != nil {
		return nil, err
	}
	out := make([]OutputValue, 0, len(t.Outputs))
	for i := range t.Outputs {
		o := &t.Outputs[i]
		f := &frame{stack: e.root}
		holds, err := f.condition(o.condition)
		if err == nil && !holds {
			continue
		}
		value := OutputValue{Name: o.Name, Description: strings.TrimSpace(o.Description)}
		var v any
		if err == nil {
			v, err = e.root.output(o)
		}
		if err != nil {
			value.Error = placed(err, o.at)
		} else {
			value.Value = e.shown(v, &view)
		}
		out = append(out, value)
	}
	return out, nil
}

func placed(err error, at tree.Place) string {
	if m, ok := err.(*misplaced); ok && m.at.File != nil {
		at = m.at
	}
	return fmt.Sprintf("%s:%d:%d: %v", at.File.Name, at.Line, at.Column, err)
}

// shown puts the values that the service has in the place of marks.
func (e *evaluation) shown(v any, view *View) any {
	switch v := v.(type) {
	case string:
		return e.filled(v, func(t target) string { return t.value(view) }, func(s string) string { return s })
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = e.shown(x, view)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[e.shown(k, view).(string)] = e.shown(x, view)
		}
		return out
	case wild:
		return e.shown(v.known, view)
	}
	return v
}

// value is what the service has in the place of a target; "" while it is not there.
func (t target) value(view *View) string {
	switch t.of {
	case ofService:
		if t.field == "name" {
			return view.Name
		}
		return view.ID
	case ofResource:
		outputs := view.Resources[t.node]
		if id := outputs["id"]; t.field == "mac" {
			if len(id) < 6 {
				return ""
			}
			return "fa:16:3e:" + id[:2] + ":" + id[2:4] + ":" + id[4:6]
		}
		return outputs[t.field]
	case ofInstance:
		return ""
	}
	all := view.Instances[t.node]
	if t.index >= len(all) {
		return ""
	}
	i := &all[t.index]
	switch field, rest, _ := strings.Cut(t.field, "."); field {
	case "uuid":
		return i.UUID
	case "name":
		return i.Name
	case "attribute":
		return i.Attributes[rest]
	default:
		n, _ := strconv.Atoi(rest)
		if n >= len(i.Addresses) {
			n = 0
		}
		if len(i.Addresses) == 0 {
			return ""
		}
		return i.Addresses[n]
	}
}
