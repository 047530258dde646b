package oneflow

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// formatName marks the templates of this face in the store.
const formatName = "oneflow"

// template reads the service template that the path names.
func (f *OneFlow) template(r *request, right identity.Right) (control.Template, *format.Body, error) {
	id, err := r.id()
	if err != nil {
		return control.Template{}, nil, err
	}
	t, err := f.Control.Template(r.who, id, right)
	if err == nil && t.Format != formatName {
		err = identity.ErrNotFound
	}
	if err != nil {
		if e := f.Control.Read(r.who, id, func(*service.Service) {}); e == nil {
			return t, nil, noDocument(text(id), "service")
		}
		return t, nil, f.documentError(r.who, id, err)
	}
	body, err := format.Parse(t.Body)
	return t, body, err
}

func (f *OneFlow) templateDocument(t *control.Template) (*format.Object, error) {
	body, err := format.Parse(t.Body)
	if err == nil && f.NewForm {
		body, err = body.In(format.New)
	}
	if err != nil {
		return nil, err
	}
	e := envelope{id: t.ID, owner: t.Owner, group: t.Group, name: t.Name, kind: templateType, permissions: t.Permissions}
	return f.document(e, body.Root()), nil
}

// listTemplates answers the youngest first, as OpenNebula does.
func (f *OneFlow) listTemplates(r *request) (answer, error) {
	templates := f.Control.Templates(r.who, formatName)
	slices.Reverse(templates)
	return answer{pool: func(yield func(*format.Object) bool) {
		for n := range templates {
			d, err := f.templateDocument(&templates[n])
			if err != nil {
				f.Log.Error("a template is left out of the list", "template", templates[n].ID, "error", err)
				continue
			}
			if !yield(d) {
				return
			}
		}
	}}, nil
}

func (f *OneFlow) showTemplate(r *request) (answer, error) {
	t, _, err := f.template(r, identity.Use)
	if err != nil {
		return answer{}, err
	}
	d, err := f.templateDocument(&t)
	return one(http.StatusOK, d), err
}

func (f *OneFlow) createTemplate(r *request) (answer, error) {
	body, err := r.parse()
	if err != nil {
		return answer{}, err
	}
	if _, err := body.Normalise(); err != nil {
		return answer{}, err
	}
	return f.addTemplate(r, body.Root().Text("name"), body)
}

// addTemplate stores a body as a new template.
func (f *OneFlow) addTemplate(r *request, name string, body *format.Body) (answer, error) {
	body.Root().Set("registration_time", number(time.Now().Unix()))
	stored, err := body.MarshalJSON()
	if err != nil {
		return answer{}, err
	}
	t, err := f.Control.AddTemplate(r.Context(), r.who, control.Template{Name: name, Format: formatName, Body: stored})
	if err != nil {
		return answer{}, err
	}
	d, err := f.templateDocument(&t)
	return one(http.StatusCreated, d), err
}

func (f *OneFlow) updateTemplate(r *request) (answer, error) {
	t, _, err := f.template(r, identity.Use)
	if err != nil {
		return answer{}, err
	}
	body, err := r.parse()
	if err != nil {
		return answer{}, err
	}
	t, err = f.changeBody(r, t.ID, body, false)
	if err != nil {
		return answer{}, err
	}
	d, err := f.templateDocument(&t)
	return one(http.StatusOK, d), err
}

// changeBody lays a body over that of a template, or puts it in its place.
func (f *OneFlow) changeBody(r *request, id uint64, update *format.Body, merge bool) (control.Template, error) {
	t, err := f.Control.ChangeTemplate(r.Context(), r.who, id, func(t *control.Template) error {
		body, err := format.Parse(t.Body)
		if err != nil {
			return err
		}
		made, _, err := body.UpdateTemplate(update, merge)
		if err != nil {
			return err
		}
		t.Body, err = made.MarshalJSON()
		return err
	})
	return t, f.documentError(r.who, id, err)
}

// deleteTemplate removes a template and, when asked to, the machine definitions of its roles first;
// the first that cannot be removed stops everything. Images are their back ends' own and stay.
func (f *OneFlow) deleteTemplate(r *request) (answer, error) {
	t, body, err := f.template(r, identity.Manage)
	if err != nil {
		return answer{}, err
	}
	kind, err := r.deleteType()
	if err != nil {
		return answer{}, err
	}
	if kind != "none" {
		for _, id := range machineIDs(body) {
			if err := f.Control.RemoveMachine(r.Context(), r.who, strconv.Itoa(id)); err != nil {
				return answer{}, placed(machinePlace(body, id), err)
			}
		}
	}
	if err := f.Control.RemoveTemplate(r.Context(), r.who, t.ID); err != nil {
		return answer{}, f.documentError(r.who, t.ID, err)
	}
	return noContent, nil
}

// deleteType reads how far a deletion goes; a body that cannot be read means the template alone.
func (r *request) deleteType() (string, error) {
	data, err := api.ReadBody(r.Request)
	if err != nil {
		return "", err
	}
	v, _ := format.ParseJSON(data)
	o, ok := v.(*format.Object)
	if !ok || o.Get("delete_type") == nil {
		return "none", nil
	}
	kinds := []string{"none", "templates", "all"}
	if kind := o.Text("delete_type"); slices.Contains(kinds, kind) {
		return kind, nil
	}
	return "", &format.Error{Kind: format.Invalid, Path: "delete_type", Message: "must be one of none, templates, all" + nearest.Hint(o.Text("delete_type"), kinds)}
}

// machineIDs returns the numbers of the machine definitions that the roles name, each once.
func machineIDs(body *format.Body) []int {
	var ids []int
	eachMachine(body, func(_ string, _ *format.Object, _ string, id int) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	})
	return ids
}

// eachMachine lets f see which machine definition each role, at its place, names and under which key.
func eachMachine(body *format.Body, f func(at string, role *format.Object, key string, id int)) {
	for n, r := range body.Root().Array("roles") {
		role, ok := r.(*format.Object)
		if !ok {
			continue
		}
		for _, key := range [...]string{"template_id", "vm_template"} {
			if id, ok := role.Int(key); ok {
				f(fmt.Sprintf("roles[%d]", n), role, key, id)
			}
		}
	}
}

// machines looks machine definitions up as a caller.
func (f *OneFlow) machines(who *identity.Caller) func(int) (service.Machine, error) {
	find := f.Control.Resolver(who)
	return func(id int) (service.Machine, error) { return find(strconv.Itoa(id)) }
}
