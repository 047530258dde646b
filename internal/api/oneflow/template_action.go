package oneflow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// templateActions are what POST /service_template/:id/action performs (specification, section 3.7).
var templateActions = map[string]func(*OneFlow, *request, stored, params) (answer, error){
	"instantiate": (*OneFlow).instantiate,
	"clone":       (*OneFlow).clone,
	"update":      (*OneFlow).updateTemplateByAction,
}

// A stored template and its body.
type stored struct {
	control.Template
	body *format.Body
}

func (f *OneFlow) actOnTemplate(r *request) (answer, error) {
	t, body, err := f.template(r, identity.Use)
	if err != nil {
		return answer{}, err
	}
	a, err := r.action()
	if err != nil {
		return answer{}, err
	}
	if do, ok := templateActions[a.perform]; ok {
		return do(f, r, stored{t, body}, a.params)
	}
	if change, ok := metaChanges[a.perform]; ok {
		m, err := change(a.params)
		if err == nil {
			err = placed(metaPlace(a.params, m), f.changeEnvelope(r, t.ID, m))
		}
		return noContent, err
	}
	return answer{}, unknownAction(a.perform, known(templateActions), known(metaChanges))
}

// instantiate makes a service and answers with it as it was asked for, in state PENDING.
func (f *OneFlow) instantiate(r *request, t stored, p params) (answer, error) {
	const merge = "merge_template"
	if !p.Has(merge) {
		for _, key := range p.Keys() { // a service without what was to be laid over its template is the wrong one
			if hint := nearest.Hint(key, []string{merge}); hint != "" {
				return answer{}, p.wrong(key, "instantiate has no parameter %s%s", clip(key), hint)
			}
		}
	}
	made, warnings, err := t.body.Instantiate(p.Get(merge))
	if err != nil {
		return answer{}, mergePlace(p, err)
	}
	wish(made.Root())
	spec, more, err := made.ToSpec(format.Options{Settings: f.Settings, Machine: f.machines(r.who), Kind: f.Control.Kind})
	if err != nil {
		return answer{}, err
	}
	spec.Strict = true // OneFlow's clients rely on its refusals
	deployment := control.Deployment{Spec: spec, Template: t.ID, Warnings: format.Texts(warnings, more)}
	id, err := f.Control.Deploy(r.Context(), r.who, deployment)
	if err != nil {
		return answer{}, ofDocument(made, err)
	}
	s, err := f.read(r.who, id)
	if err != nil {
		return answer{}, err
	}
	d, err := f.serviceDocument(s.newborn())
	return one(http.StatusCreated, d), err
}

// mergePlace gives an error of what the request lays over the template its place there; others are of the
// body that comes of both.
func mergePlace(p params, err error) error {
	var e *format.Error
	if errors.As(err, &e) && strings.HasPrefix(e.Path, "merge_template") {
		return format.At(p.at, err)
	}
	return err
}

// clone copies a template: with recursive "none" alone, else with the machine definitions of its
// roles, each once.
func (f *OneFlow) clone(r *request, t stored, p params) (answer, error) {
	body := t.body
	m, err := rename(p)
	if err != nil {
		return answer{}, err
	}
	var copies []control.Definition
	if p.Text("recursive") != "none" {
		copies, err = f.cloneMachines(r, body, *m.Name)
	}
	var a answer
	if err == nil {
		a, err = f.addTemplate(r, *m.Name, body)
	}
	if err != nil {
		for _, d := range copies {
			err = errors.Join(err, f.Control.RemoveMachine(context.WithoutCancel(r.Context()), r.who, strconv.Itoa(d.ID)))
		}
	}
	return a, err
}

// cloneMachines copies the machine definitions of a body and makes its roles name the copies. It
// returns those that were made, also beside an error.
func (f *OneFlow) cloneMachines(r *request, body *format.Body, name string) ([]control.Definition, error) {
	var copies []control.Definition
	made := make(map[int]int)
	for _, id := range machineIDs(body) {
		d, err := f.Control.CopyMachine(r.Context(), r.who, strconv.Itoa(id), name)
		if err != nil {
			return copies, placed(machinePlace(body, id), fmt.Errorf("%w; with \"recursive\": \"none\" the clone names the same definitions instead of copies", err))
		}
		copies = append(copies, d)
		made[id] = d.ID
	}
	eachMachine(body, func(_ string, role *format.Object, key string, id int) { role.SetInt(key, made[id]) })
	return copies, nil
}

func (f *OneFlow) updateTemplateByAction(r *request, t stored, p params) (answer, error) {
	u, err := updateOf(p)
	if err != nil {
		return answer{}, err
	}
	body, err := format.Parse(u.text)
	if err == nil {
		_, err = f.changeBody(r, t.ID, body, u.merge)
	}
	return noContent, u.placed(err)
}

// changeEnvelope changes who a template belongs to, who may use it and what it is called.
func (f *OneFlow) changeEnvelope(r *request, id uint64, m control.MetaChange) error {
	_, err := f.Control.ChangeTemplate(r.Context(), r.who, id, func(t *control.Template) error {
		if m.Name != nil {
			t.Name = *m.Name
		}
		if m.Owner != nil {
			t.Owner = *m.Owner
		}
		if m.Group != nil {
			t.Group = *m.Group
		}
		if m.Permissions != nil {
			t.Permissions = *m.Permissions
		}
		return nil
	})
	return f.documentError(r.who, id, err)
}
