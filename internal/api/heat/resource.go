package heat

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/format/hot"
	"github.com/troupe-dev/troupe/internal/service"
)

func (h *Heat) listResources(r *request) error {
	s, err := h.named(r)
	if err != nil {
		return err
	}
	all, err := s.bundle.Listing()
	if err != nil {
		return err
	}
	list := make([]object, 0, len(all))
	for i := range all {
		list = append(list, h.resource(r, s, all, &all[i]))
	}
	return r.answer(http.StatusOK, object{"resources": list})
}

// resource shows one.
func (h *Heat) resource(r *request, s *shot, all []hot.Listed, l *hot.Listed) object {
	n, known := s.nodes[l.Node]
	if !known { // its value was known beforehand
		n = node{state: complete, id: s.name + "-" + l.Name, since: s.created}
		if l.Node != "" { // it is still to be made
			n.state, n.id = "IN_PROGRESS", ""
		}
	}
	required := []string{}
	for i := range all {
		for _, name := range all[i].Required {
			if name == l.Name {
				required = append(required, all[i].Name)
			}
		}
	}
	at := s.url(r) + "/resources/" + l.Name
	return object{"resource_name": l.Name, "logical_resource_id": l.Name, "resource_type": l.Type, "physical_resource_id": n.id, "resource_status": s.action() + "_" + n.state,
		"resource_status_reason": n.reason, "creation_time": stamp(s.created), "updated_time": stamp(n.since), "required_by": required,
		"links": []object{shownLink("self", at), shownLink("stack", s.url(r))}}
}

// member finds the resource that a path names.
func (h *Heat) member(r *request) (*shot, []hot.Listed, *hot.Listed, error) {
	s, err := h.named(r)
	if err != nil {
		return nil, nil, nil, err
	}
	all, err := s.bundle.Listing()
	if err != nil {
		return nil, nil, nil, err
	}
	for i := range all {
		if all[i].Name == r.PathValue("resource") {
			return s, all, &all[i], nil
		}
	}
	return nil, nil, nil, &fault{http.StatusNotFound, "EntityNotFound", "The Resource (" + r.PathValue("resource") + ") could not be found in Stack " + s.name + ".", nil}
}

func (h *Heat) showResource(r *request) error {
	s, all, l, err := h.member(r)
	if err != nil {
		return err
	}
	o := h.resource(r, s, all, l)
	attributes := object{}
	if l.Role {
		var addresses []string
		for _, i := range s.view.Instances[l.Node] {
			addresses = append(addresses, i.Addresses...)
		}
		if len(addresses) > 0 {
			attributes["first_address"], attributes["accessIPv4"] = addresses[0], addresses[0]
		}
		attributes["addresses"] = addresses
	} else {
		for name, v := range s.view.Resources[l.Node] {
			attributes[name] = v
		}
	}
	o["attributes"], o["description"] = attributes, ""
	return r.answer(http.StatusOK, object{"resource": o})
}

func (h *Heat) metadata(r *request) error {
	if _, _, _, err := h.member(r); err != nil {
		return err
	}
	return r.answer(http.StatusOK, object{"metadata": object{}})
}

// markResource has the machines of a server replaced, as if they had failed, when it is marked unhealthy.
func (h *Heat) markResource(r *request) error {
	var body struct {
		Unhealthy *bool  `json:"mark_unhealthy"`
		Reason    string `json:"resource_status_reason"`
	}
	if err := api.DecodeJSON(r.Request, &body); err != nil {
		return err
	}
	s, _, l, err := h.member(r)
	if err != nil {
		return err
	}
	switch {
	case body.Unhealthy == nil:
		return &fault{http.StatusBadRequest, "HTTPBadRequest", "Missing mandatory (mark_unhealthy) key from mark unhealthy request", nil}
	case !*body.Unhealthy:
		return r.answer(http.StatusOK, nil)
	case !l.Role:
		return &fault{http.StatusBadRequest, "HTTPBadRequest", "only servers can be marked: " + l.Name + " is of type " + l.Type, nil}
	}
	serials, err := h.serials(r, s, l.Node)
	for _, serial := range serials {
		cmd := service.Command{Because: body.Reason, ReplaceOne: &service.ReplaceOne{Serial: serial}}
		if _, e := h.Control.Order(r.Context(), r.who, s.service, cmd); e != nil {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, nil)
}

// serials are those of the instances of a role.
func (h *Heat) serials(r *request, s *shot, role string) (out []uint32, err error) {
	err = h.Control.Read(r.who, s.service, func(x *service.Service) {
		for _, y := range x.Roles {
			if y.Name == role {
				for i := range y.Instances {
					out = append(out, i.Serial)
				}
			}
		}
	})
	return out, err
}

// signal is what alarms send to a scaling policy: its group is to be scaled. Other resources take no signals.
func (h *Heat) signal(r *request) error {
	s, _, l, err := h.member(r)
	if err != nil {
		return err
	}
	group, adjustment, ok, err := s.bundle.Scaling(l.Name)
	switch {
	case err != nil:
		return err
	case !ok:
		return &fault{http.StatusBadRequest, "ResourceActionNotSupported", "Signal to resource " + l.Name + " of type " + l.Type + " is not supported.", nil}
	}
	var now int
	if err := h.Control.Read(r.who, s.service, func(x *service.Service) {
		if role := x.Role(group); role != nil {
			now = role.Cardinality
		}
	}); err != nil {
		return err
	}
	least, most := 0, math.MaxInt32 // the role's own bounds hold in any case
	cmd := service.Command{Because: "a signal to " + l.Name, Scale: &service.Scale{Role: group, Cardinality: adjustment.Apply(now, &least, &most), Clamp: true}}
	if _, err := h.Control.Order(r.Context(), r.who, s.service, cmd); err != nil {
		return err
	}
	return r.answer(http.StatusOK, nil)
}

// limitOf is how many things at the most the query asks for; 0 for all.
func limitOf(r *request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, &fault{http.StatusBadRequest, "HTTPBadRequest", fmt.Sprintf("limit: %.40q is no number", text), nil}
	}
	return n, nil
}

// events are those of the service's own log that are told of a stack, of one of its roles, or of one of its resources.
func (h *Heat) events(r *request) error {
	s, err := h.named(r)
	if err != nil {
		return err
	}
	all := h.told(r, s)
	only := r.PathValue("resource")
	out := []object{}
	marker := r.URL.Query().Get("marker")
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	for _, e := range all {
		if marker != "" {
			if e["id"] == marker {
				marker = ""
			}
			continue
		}
		if only == "" || e["resource_name"] == only {
			out = append(out, e)
		}
		if limit > 0 && len(out) == limit {
			break
		}
	}
	return r.answer(http.StatusOK, object{"events": out})
}

func (h *Heat) showEvent(r *request) error {
	s, err := h.named(r)
	if err != nil {
		return err
	}
	for _, e := range h.told(r, s) {
		if e["id"] == r.PathValue("event") {
			return r.answer(http.StatusOK, object{"event": e})
		}
	}
	return &fault{http.StatusNotFound, "NotFound", "No event " + r.PathValue("event") + " found", nil}
}

// told are the events in the order in which they happened. The last one is the stack's own state, if that is settled: clients
// wait for it.
func (h *Heat) told(r *request, s *shot) []object {
	event := func(id, name, physical, status, reason string, at any) object {
		where := s.url(r) + "/resources/" + name
		return object{"id": id, "resource_name": name, "logical_resource_id": name, "physical_resource_id": physical, "resource_status": status, "resource_status_reason": reason,
			"event_time": at, "links": []object{shownLink("self", where+"/events/"+id), shownLink("resource", where), shownLink("stack", s.url(r))}}
	}
	action := s.action()
	out := []object{event(s.id+"-begun", s.name, s.id, action+"_IN_PROGRESS", "Stack "+action+" started", stamp(s.created))}
	for n, e := range s.log {
		if e.Role == "" {
			continue
		}
		status := action + "_IN_PROGRESS"
		if e.Error {
			status = action + "_FAILED"
		}
		name := e.Role
		out = append(out, event(strconv.FormatInt(int64(e.Time), 36)+"-"+strconv.Itoa(n), name, s.nodes[name].id, status, e.Message, stamp(e.Time.Time())))
	}
	if progress(s.state) != "IN_PROGRESS" {
		out = append(out, event(s.id+"-"+strconv.FormatUint(uint64(s.revision), 10)+"-"+s.status(), s.name, s.id, s.status(), s.statusReason(), stamp(s.since)))
	}
	return out
}
