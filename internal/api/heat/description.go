package heat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"strings"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/format/hot"
	"github.com/troupe-dev/troupe/internal/service"
)

// A description is what clients send to make or change a stack.
type description struct {
	Name             string            `json:"stack_name"`
	Template         json.RawMessage   `json:"template"` // text, or an object
	TemplateURL      string            `json:"template_url"`
	Parameters       map[string]any    `json:"parameters"`
	Files            map[string]string `json:"files"`
	Environment      json.RawMessage   `json:"environment"` // text, or an object
	EnvironmentFiles []string          `json:"environment_files"`
	DisableRollback  *bool             `json:"disable_rollback"`
	Timeout          json.RawMessage   `json:"timeout_mins"`
	Tags             json.RawMessage   `json:"tags"`
	// ClearParameters are those that a patch gives back their defaults.
	ClearParameters []string `json:"clear_parameters"`
}

const templateName = "template"

// describe reads a description.
func describe(r *request) (*description, error) {
	var d description
	if err := api.DecodeJSON(r.Request, &d); err != nil {
		return nil, err
	}
	if d.TemplateURL != "" && isNothing(d.Template) {
		return nil, &fault{http.StatusBadRequest, "HTTPBadRequest", "template_url is not fetched: send the template itself", nil}
	}
	return &d, nil
}

func isNothing(text json.RawMessage) bool {
	t := string(bytes.TrimSpace(text))
	return t == "" || t == "null" || t == `""` || t == "{}"
}

// text is what a member of a description says, be it text or an object.
func text(raw json.RawMessage) ([]byte, error) {
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte(`"`)) {
		var s string
		err := json.Unmarshal(raw, &s)
		return []byte(s), err
	}
	return raw, nil
}

// environments are those that the description brings, in their order.
func (d *description) environments() ([]hot.File, error) {
	if !isNothing(d.Environment) {
		t, err := text(d.Environment)
		if err != nil {
			return nil, err
		}
		return []hot.File{{Name: "environment", Text: t}}, nil
	}
	var out []hot.File
	for _, name := range d.EnvironmentFiles {
		t, ok := d.Files[name]
		if !ok {
			return nil, &fault{http.StatusBadRequest, "HTTPBadRequest", fmt.Sprintf("environment_files: %s is not among the files", name), nil}
		}
		out = append(out, hot.File{Name: name, Text: []byte(t)})
	}
	return out, nil
}

// parse reads the template with all that comes with it.
func (d *description) parse() (*hot.Template, error) {
	if isNothing(d.Template) {
		return nil, &fault{http.StatusBadRequest, "HTTPBadRequest", "No template specified", nil}
	}
	t, err := text(d.Template)
	if err != nil {
		return nil, invalid(err)
	}
	environments, err := d.environments()
	if err != nil {
		return nil, err
	}
	files := make(map[string]string, len(d.Files)) // clients write names as URLs
	for name, body := range d.Files {
		files[plainName(name)] = body
	}
	parsed, err := hot.Parse(templateName, t, environments, hot.Options{Open: func(name string) ([]byte, error) {
		if body, ok := files[plainName(name)]; ok {
			return []byte(body), nil
		}
		return nil, fmt.Errorf("the file %s was not sent along", name)
	}})
	if err != nil {
		return nil, invalid(err)
	}
	return parsed, nil
}

func plainName(name string) string { return path.Clean(strings.TrimPrefix(name, "file://")) }

// compile makes a specification of a template for the caller.
func (h *Heat) compile(r *request, name string, t *hot.Template, parameters map[string]any, previous *hot.Bundle) (*service.Spec, []string, error) {
	o := h.site(r, name, parameters, previous)
	spec, warnings, err := t.Compile(o)
	if err != nil {
		return nil, nil, invalid(err)
	}
	return spec, warnings, nil
}

// site is where a caller's templates run.
func (h *Heat) site(r *request, name string, parameters map[string]any, previous *hot.Bundle) hot.CompileOptions {
	find := h.Control.Resolver(r.who)
	return hot.CompileOptions{Name: name, Project: r.project(), Parameters: parameters, Driver: h.Driver, Account: h.Account, Kinds: h.Control.Kind, Previous: previous,
		Machine: func(name string) (service.Machine, bool) {
			m, err := find(name)
			return m, err == nil
		}}
}

// patched puts a description over the one that a stack was made from: what it does not say stays.
func (d *description) patched(b *hot.Bundle) error {
	if isNothing(d.Template) {
		raw, err := json.Marshal(string(b.Template.Text))
		if err != nil {
			return err
		}
		d.Template = raw
		files := make(map[string]string, len(b.Files)+len(d.Files))
		maps.Copy(files, b.Files)
		maps.Copy(files, d.Files)
		d.Files = files
	}
	if isNothing(d.Environment) && len(d.EnvironmentFiles) == 0 {
		for _, e := range b.Environments {
			if d.Files == nil {
				d.Files = make(map[string]string)
			}
			d.Files[e.Name] = string(e.Text)
			d.EnvironmentFiles = append(d.EnvironmentFiles, e.Name)
		}
	}
	parameters := make(map[string]any, len(b.Parameters)+len(d.Parameters))
	maps.Copy(parameters, b.Parameters)
	for _, name := range d.ClearParameters {
		delete(parameters, name)
	}
	maps.Copy(parameters, d.Parameters)
	d.Parameters = parameters
	return nil
}
