package monasca

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/notify"
)

const methodsPath = "/v2.0/notification-methods"

// refusedMethod is what is wrong with a notification method: 400, not 422.
func refusedMethod(text string, args ...any) error {
	return &fault{http.StatusBadRequest, badRequest, fmt.Sprintf(text, args...)}
}

func (r *request) showMethod(x *alerting.Method) object {
	return object{"id": x.ID, "links": r.link(methodsPath + "/" + x.ID), "name": x.Name, "type": x.Type, "address": x.Address, "period": x.Period}
}

// changeMethod makes a method when ref is "", and changes one otherwise.
func (m *Monasca) changeMethod(r *request, ref string, status int, required ...string) (answer, error) {
	if !r.isJSON() {
		return answer{}, refusedMethod("Bad content type. Must be application/json")
	}
	f, err := r.fields(refusedMethod)
	if err != nil {
		return answer{}, err
	}
	if err := f.require(required...); err != nil {
		return answer{}, err
	}
	x, err := m.Control.PutMethod(r.Context(), r.who, "", ref, func(x *notify.Method) error {
		kind := string(x.Type)
		for key, to := range map[string]*string{"name": &x.Name, "type": &kind, "address": &x.Address} {
			if err := f.text(key, to); err != nil {
				return err
			}
		}
		x.Type = notify.ParseType(kind)
		return f.integer("period", &x.Period)
	})
	if err != nil {
		return answer{}, err
	}
	return answer{status, r.showMethod(&x)}, nil
}

func (m *Monasca) createMethod(r *request) (answer, error) {
	return m.changeMethod(r, "", http.StatusCreated, "name", "type", "address")
}

func (m *Monasca) putMethod(r *request) (answer, error) {
	return m.changeMethod(r, r.PathValue("id"), http.StatusOK, "name", "type", "address", "period")
}

func (m *Monasca) patchMethod(r *request) (answer, error) {
	return m.changeMethod(r, r.PathValue("id"), http.StatusOK)
}

func (m *Monasca) showMethod(r *request) (answer, error) {
	x, err := m.Control.Method(r.who, "", r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	return ok(r.showMethod(&x))
}

func (m *Monasca) deleteMethod(r *request) (answer, error) {
	return answer{status: http.StatusNoContent}, m.Control.RemoveMethod(r.Context(), r.who, "", r.PathValue("id"))
}

var methodOrder = order[alerting.Method]{
	"id":         func(a, b *alerting.Method) int { return cmp.Compare(a.ID, b.ID) },
	"name":       func(a, b *alerting.Method) int { return cmp.Compare(a.Name, b.Name) },
	"type":       func(a, b *alerting.Method) int { return cmp.Compare(a.Type, b.Type) },
	"address":    func(a, b *alerting.Method) int { return cmp.Compare(a.Address, b.Address) },
	"created_at": func(a, b *alerting.Method) int { return a.Created.Compare(b.Created) },
	"updated_at": func(a, b *alerting.Method) int { return a.Updated.Compare(b.Updated) },
}

func (m *Monasca) listMethods(r *request) (answer, error) {
	all, err := m.Control.Methods(r.who, "")
	if err != nil {
		return answer{}, err
	}
	if err := sort(r, all, methodOrder, "id"); err != nil {
		return answer{}, err
	}
	return paged(r, all, r.showMethod)
}

func (m *Monasca) listMethodTypes(r *request) (answer, error) {
	elements := []object{}
	for _, t := range m.Control.MethodTypes() {
		elements = append(elements, object{"type": t})
	}
	return listed(r, elements, "")
}
