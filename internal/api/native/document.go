package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/format/hot"
	"github.com/troupe-dev/troupe/internal/format/native"
	"github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// textOf returns the text of a document and the name of its file.
func textOf(d *client.Document) (file string, text []byte, err error) {
	switch spec := string(d.Spec); {
	case d.Source != "" && spec != "" && spec != "null":
		return "", nil, invalid("body.spec", "give spec or source, not both")
	case d.Source != "":
		if file = d.File; file == "" {
			file = "source"
		}
		return file, []byte(d.Source), nil
	case spec == "" || spec == "null":
		return "", nil, invalid("body.source", "give the document as source, or in the native format as spec")
	case d.Format != "" && d.Format != "native":
		return "", nil, invalid("body.format", "spec is of the native format; give other formats as source")
	}
	if file = d.File; file == "" {
		file = "spec"
	}
	return file, d.Spec, nil
}

// options lets documents refer to the caller's machine definitions, to the drivers, and to the files
// that came along.
func (f *face) documentOptions(who *identity.Caller, d *client.Document, within ...control.Template) native.Options {
	return native.Options{Machine: f.control.Resolver(who), Kinds: f.control.Kind, Template: f.templates(who, within), Open: func(path string) ([]byte, error) {
		if text, ok := d.Files[path]; ok {
			return []byte(text), nil
		}
		return nil, fmt.Errorf("the file %q did not come along with the request%s", path, nearest.Hint(path, slices.Collect(maps.Keys(d.Files))))
	}}
}

// templates lets documents have services made from stored templates. within are the templates that the document comes
// from, outermost first: none of them may need itself.
func (f *face) templates(who *identity.Caller, within []control.Template) func(ref string) (*service.Spec, uint64, error) {
	return func(ref string) (*service.Spec, uint64, error) {
		t, err := f.control.TemplateNamed(who, ref)
		if err != nil {
			return nil, 0, err
		}
		if slices.ContainsFunc(within, func(o control.Template) bool { return o.ID == t.ID }) {
			var names []string
			for _, o := range append(slices.Clone(within), t) {
				names = append(names, o.Name)
			}
			return nil, 0, fmt.Errorf("templates need each other in a circle: %s", strings.Join(names, " → "))
		}
		if len(within) >= service.MaxDepth {
			return nil, 0, fmt.Errorf("services are made for services that are made for services, more than %d deep", service.MaxDepth)
		}
		d := client.Document{Format: t.Format, Source: sourceOf(&t), File: t.Name}
		spec, _, err := f.specWithin(who, &d, nil, subject{}, append(slices.Clip(within), t))
		return spec, t.ID, err
	}
}

// spec reads a service, with values for its inputs. Hidden secrets are taken from what the service is now.
// The warnings tell what will not work as it may be meant.
func (f *face) spec(who *identity.Caller, d *client.Document, inputs map[string]string, of subject) (*service.Spec, []string, error) {
	return f.specWithin(who, d, inputs, of, nil)
}

func (f *face) specWithin(who *identity.Caller, d *client.Document, inputs map[string]string, of subject, within []control.Template) (*service.Spec, []string, error) {
	file, text, err := textOf(d)
	switch {
	case err != nil:
		return nil, nil, err
	case d.Simulate && d.Format != occopus.Format && d.Format != hot.Format:
		return nil, nil, invalid("body.simulate", "only infrastructure descriptions of Occopus and Heat templates are simulated; name the driver sim in others")
	case d.Format != hot.Format && (len(d.Environments) > 0 || d.Driver != "" || d.Account != ""):
		return nil, nil, invalid("body.environments", "only Heat templates have environments, and a driver that is named beside them")
	case d.Format == hot.Format:
		return f.hotSpec(who, d, file, text, inputs, of)
	case d.Format == "oneflow":
		return f.oneflowSpec(who, text, inputs)
	case d.Format == occopus.Format:
		spec, warnings, err := f.occopusSpec(who, d, file, text, of.alias)
		if err == nil {
			err = setInputs(spec, inputs)
		}
		return spec, warnings, err
	}
	spec, err := native.Parse(file, text, f.documentOptions(who, d, within...))
	if err != nil {
		return nil, nil, err
	}
	if err := setInputs(spec, inputs); err != nil {
		return nil, nil, err
	}
	return spec, nil, f.control.RestoreSecrets(spec, of.spec)
}

// A located error tells where in a document is what was refused.
type located struct {
	places native.Errors
	cause  error
}

func (e *located) Error() string { return e.places.Error() }

func (e *located) Unwrap() error { return e.cause }

// locate finds what is wrong with a specification in the document that it was read from.
func (f *face) locate(who *identity.Caller, d *client.Document, err error) error {
	var found service.Problems
	var misplaced *control.Misplaced
	switch {
	case d.Format == "oneflow", d.Format == hot.Format:
		return err
	case errors.As(err, &found):
	case errors.As(err, &misplaced):
		found = service.Problems{{Path: misplaced.Path, Text: misplaced.Err.Error()}}
	default:
		return err
	}
	file, text, unread := textOf(d)
	if unread != nil {
		return err
	}
	if d.Format == occopus.Format {
		infra, _, unread := occopus.ParseInfrastructure(file, text, occopusOptions(d))
		if unread != nil {
			return err
		}
		return &located{infra.Locate(found).Problems, err}
	}
	return &located{native.Locate(file, text, f.documentOptions(who, d), found), err}
}

func setInputs(spec *service.Spec, inputs map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if _, ok := spec.Inputs[name]; !ok {
			return invalid("body.inputs."+name, "the service has no input "+strconv.Quote(name)+nearest.Hint(name, slices.Collect(maps.Keys(spec.Inputs))))
		}
		spec.Inputs[name] = inputs[name]
	}
	return nil
}

// oneflowSpec instantiates a service template of OneFlow.
func (f *face) oneflowSpec(who *identity.Caller, text []byte, inputs map[string]string) (*service.Spec, []string, error) {
	body, err := oneflow.Parse(text)
	if err != nil {
		return nil, nil, err
	}
	if _, err := body.Normalise(); err != nil {
		return nil, nil, err
	}
	var merge any
	if len(inputs) > 0 {
		values := &oneflow.Object{}
		for _, name := range slices.Sorted(maps.Keys(inputs)) {
			values.Set(name, inputs[name])
		}
		key := "user_inputs_values"
		if body.Generation() == oneflow.Old {
			key = "custom_attrs_values"
		}
		o := &oneflow.Object{}
		o.Set(key, values)
		merge = o
	}
	body, warnings, err := body.Instantiate(merge)
	if err != nil {
		return nil, nil, err
	}
	machine := f.control.Resolver(who)
	spec, more, err := body.ToSpec(oneflow.Options{Settings: f.options.OneFlow, Kind: f.control.Kind,
		Machine: func(id int) (service.Machine, error) { return machine(strconv.Itoa(id)) }})
	return spec, oneflow.Texts(warnings, more), err
}

// role reads a document that holds one role, for a service that has others: their names may stand in
// its needs.
func (f *face) role(who *identity.Caller, d *client.Document, present *service.Spec) (*service.RoleSpec, error) {
	file, text, err := textOf(d)
	if err != nil {
		return nil, err
	}
	spec, err := native.Parse(file, text, f.documentOptions(who, d))
	var needs map[string][]string
	if err != nil && onlyNeeds(err) {
		// All else is well, sizes and depths too: read it again without them.
		if text, needs, err = withoutNeeds(text); err == nil {
			spec, err = native.Parse(file, text, f.documentOptions(who, d))
		}
	}
	if err != nil {
		return nil, err
	}
	if len(spec.Roles) != 1 {
		return nil, &api.Problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf("%s: roles: one role is added at a time, found %d", file, len(spec.Roles))}
	}
	role := &spec.Roles[0]
	if needs != nil {
		role.Parents = needs[role.Name]
	}
	whole := *present
	whole.Roles = append(slices.Clone(present.Roles), *role)
	if err := service.Validate(&whole); err != nil {
		return nil, err
	}
	return role, f.control.RestoreSecrets(spec, nil)
}

// onlyNeeds reports whether all that is wrong with a document is what its roles need.
func onlyNeeds(err error) bool {
	var wrong native.Errors
	return errors.As(err, &wrong) && !slices.ContainsFunc(wrong, func(e *native.Error) bool {
		last := e.Path[strings.LastIndexByte(e.Path, '.')+1:]
		return last != "needs" && !strings.HasPrefix(last, "needs[")
	})
}

// withoutNeeds takes the needs out of a document, by role.
func withoutNeeds(text []byte) ([]byte, map[string][]string, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", identity.ErrInvalid, err)
	}
	needs := map[string][]string{}
	roles, _ := doc["roles"].(map[string]any)
	for name, r := range roles {
		fields, _ := r.(map[string]any)
		var err error
		if needs[name], err = names(fields["needs"]); err != nil {
			return nil, nil, fmt.Errorf("%w: roles.%s.needs: %w", identity.ErrInvalid, name, err)
		}
		delete(fields, "needs")
	}
	plain, err := json.Marshal(doc)
	return plain, needs, err
}

// names reads a name or a list of names.
func names(v any) ([]string, error) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{x}, nil
	case []any:
		out := make([]string, len(x))
		for n := range x {
			s, ok := x[n].(string)
			if !ok {
				return nil, fmt.Errorf("expected the names of roles, found %v", x[n])
			}
			out[n] = s
		}
		return out, nil
	}
	return nil, fmt.Errorf("expected the names of roles, found %v", v)
}

// asJSON turns YAML of our own making into JSON.
func asJSON(text []byte) (json.RawMessage, error) {
	out, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("turn a document into JSON: %w", err)
	}
	return json.RawMessage(strings.TrimSpace(string(out))), nil
}

// showDocument writes a spec in the native format, as YAML and as JSON, without its secrets.
func (f *face) showDocument(spec *service.Spec) (string, json.RawMessage, error) {
	text, err := native.Encode(f.control.Redact(spec))
	if err != nil {
		return "", nil, err
	}
	plain, err := asJSON(text)
	return string(text), plain, err
}

// oneflowBody checks a service template of OneFlow and returns it as it is stored, with its name.
func oneflowBody(text []byte) (json.RawMessage, string, error) {
	body, err := oneflow.Parse(text)
	if err != nil {
		return nil, "", err
	}
	if _, err := body.Normalise(); err != nil {
		return nil, "", err
	}
	stored, err := body.MarshalJSON()
	return stored, body.Root().Text("name"), err
}
