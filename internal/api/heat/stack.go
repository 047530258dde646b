package heat

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/format/hot"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// A shot is a stack as it was at an instant: what answers are made of.
type shot struct {
	service  uint64
	id, name string
	state    service.State
	reason   string
	created  time.Time
	since    time.Time // in its present state
	revision uint32
	owner    int
	spec     *service.Spec
	bundle   *hot.Bundle
	view     hot.View
	nodes    map[string]node // by what the service calls them
	log      []service.Event
}

// A node is a role or a resource of the service as it was.
type node struct {
	state  string // COMPLETE, IN_PROGRESS or FAILED
	reason string
	id     string
	since  time.Time
}

// isStack reports whether a service is a stack that has not ended.
func isStack(s *service.Service) bool { return s.Spec.Format == hot.Format && s.State != service.Done }

// idOf is the id of the stack that a service is.
func (h *Heat) idOf(id uint64) string { return h.Control.UUID(id, 0) }

// find finds a stack of the caller's project by its name or its id.
func (h *Heat) find(r *request, ref string) (*shot, error) {
	if id, err := h.Control.Resolve(r.who, "", ref); err == nil {
		if s, err := h.take(r.who, id); err == nil && (s.name == ref || strconv.FormatUint(id, 10) == ref) {
			return s, nil
		}
	}
	for _, id := range h.Control.Services(r.who) {
		if h.idOf(id) == ref {
			if s, err := h.take(r.who, id); err == nil {
				return s, nil
			}
		}
	}
	return nil, notFound(ref)
}

// named finds the stack that a path names by one reference, or twice: then both must be of the same one.
func (h *Heat) named(r *request) (*shot, error) {
	if ref := r.PathValue("ref"); ref != "" {
		return h.find(r, ref)
	}
	s, err := h.find(r, r.PathValue("id"))
	if err == nil && r.PathValue("name") != s.name {
		err = notFound(r.PathValue("name"))
	}
	return s, err
}

// take takes a shot of a stack.
func (h *Heat) take(who *identity.Caller, id uint64) (*shot, error) {
	s := &shot{service: id, id: h.idOf(id)}
	known := false
	err := h.Control.Read(who, id, func(x *service.Service) {
		if known = isStack(x) && x.Meta.Group == who.Group; !known {
			return
		}
		s.name, s.state, s.reason, s.created, s.since, s.revision, s.owner, s.spec = x.Meta.Name, x.State, x.Reason, x.Created.Time(), x.Since.Time(), x.Revision, x.Meta.Owner, x.Spec
		s.log = slices.Clone(x.Log)
		s.nodes = make(map[string]node, len(x.Roles)+len(x.Resources))
		for _, role := range x.Roles {
			s.nodes[role.Name] = h.roleNode(x, role)
		}
		for _, y := range x.Resources {
			s.nodes[y.Name] = resourceNode(y)
		}
		s.view = hot.ViewOf(x, h.Control.Status().Installation.ID)
		s.view.ID = s.id
	})
	if err != nil || !known {
		return nil, notFound(strconv.FormatUint(id, 10))
	}
	if s.bundle, err = hot.DecodeBundle(s.spec.Document); err != nil {
		return nil, err
	}
	return s, nil
}

func (h *Heat) roleNode(x *service.Service, r *service.Role) node {
	n := node{state: progress(r.State), reason: r.Reason, since: r.Since.Time(), id: r.Name}
	for i := range r.Instances {
		if i.Phase.Settled() {
			n.id = h.Control.UUID(x.ID, i.Serial)
			break
		}
	}
	return n
}

func resourceNode(y *service.Resource) node {
	n := node{state: "IN_PROGRESS", reason: y.Reason, since: y.Since.Time(), id: cmp.Or(y.Outputs["id"], y.Name)}
	switch y.Phase {
	case service.ResourceReady, service.ResourceGone:
		n.state = complete
	case service.ResourceFailed:
		n.state = failed
	}
	return n
}

const (
	complete = "COMPLETE"
	failed   = "FAILED"
)

// progress says how far a state is.
func progress(st service.State) string {
	switch {
	case st.Failed():
		return failed
	case st.Transient() && st != service.Cooldown:
		return "IN_PROGRESS"
	}
	return complete
}

// action is what is being done to the stack, or was done last.
func (s *shot) action() string {
	switch s.state {
	case service.Undeploying, service.FailedUndeploying, service.UndeployingNets, service.FailedUndeployingNets:
		return "DELETE"
	case service.FailedDeploying, service.FailedDeployingNets:
		return "CREATE"
	case service.Updating, service.FailedUpdating, service.Scaling, service.FailedScaling:
		return "UPDATE"
	}
	if s.bundle.Updated.IsZero() {
		return "CREATE"
	}
	return "UPDATE"
}

func (s *shot) status() string { return s.action() + "_" + progress(s.state) }

func (s *shot) statusReason() string {
	if s.reason != "" && progress(s.state) != complete {
		return s.reason
	}
	words := map[string]string{complete: "completed successfully", "IN_PROGRESS": "started", failed: "failed"}
	action := s.action()
	return "Stack " + action + " " + words[progress(s.state)]
}

// url is where a stack is.
func (s *shot) url(r *request) string { return r.self() + "/stacks/" + s.name + "/" + s.id }

// listed is a stack as lists show it.
func (h *Heat) listed(r *request, s *shot) object {
	return object{"id": s.id, "stack_name": s.name, "description": s.spec.Description, "links": []object{shownLink("self", s.url(r))},
		"stack_status": s.status(), "stack_status_reason": s.statusReason(), "creation_time": stamp(s.created), "updated_time": stamp(s.bundle.Updated),
		"deletion_time": nil, "stack_owner": h.Control.Directory().UserName(s.owner), "stack_user_project_id": r.project(), "project": r.project(), "parent": nil, "tags": nil}
}

// shown is a stack in full.
func (h *Heat) shown(r *request, s *shot, outputs bool) (object, error) {
	parameters, err := s.bundle.ParameterValues()
	if err != nil {
		return nil, err
	}
	o := h.listed(r, s)
	delete(o, "project")
	parameters["OS::project_id"], parameters["OS::stack_id"], parameters["OS::stack_name"] = r.project(), s.id, s.name
	for name, v := range parameters {
		if parameters[name], err = parameterText(v); err != nil {
			return nil, err
		}
	}
	o["parameters"], o["template_description"] = parameters, s.spec.Description
	o["capabilities"], o["notification_topics"], o["timeout_mins"], o["disable_rollback"] = []string{}, []string{}, nil, s.spec.OnFailure == service.Keep
	if outputs {
		values, err := s.outputs()
		if err != nil {
			return nil, err
		}
		o["outputs"] = values
	}
	return o, nil
}

func (h *Heat) list(r *request) error {
	all, err := h.all(r)
	if err != nil {
		return err
	}
	shown := make([]object, len(all))
	for i, s := range all {
		shown[i] = h.listed(r, s)
	}
	out := object{"stacks": shown, "links": []object{}}
	if strings.EqualFold(r.URL.Query().Get("with_count"), "true") {
		out["count"] = len(shown)
	}
	return r.answer(http.StatusOK, out)
}

func (h *Heat) listDetail(r *request) error {
	all, err := h.all(r)
	if err != nil {
		return err
	}
	shown := make([]object, len(all))
	for i, s := range all {
		if shown[i], err = h.shown(r, s, true); err != nil {
			return err
		}
	}
	return r.answer(http.StatusOK, object{"stacks": shown, "links": []object{}})
}

// all are the stacks that the query asks for, the newest first unless it says otherwise.
func (h *Heat) all(r *request) ([]*shot, error) {
	q := r.URL.Query()
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	var out []*shot
	ids := h.Control.Services(r.who)
	if q.Get("sort_dir") != "asc" {
		slices.Reverse(ids)
	}
	marker := q.Get("marker")
	matches := func(key string, value string) bool { return !q.Has(key) || slices.Contains(q[key], value) }
	for _, id := range ids {
		if marker != "" {
			if h.idOf(id) == marker {
				marker = ""
			}
			continue
		}
		s, err := h.take(r.who, id)
		if err != nil {
			continue // no stack, or gone by now
		}
		if matches("name", s.name) && matches("stack_name", s.name) && matches("id", s.id) && matches("status", progress(s.state)) && matches("stack_status", s.status()) && matches("action", s.action()) {
			out = append(out, s)
		}
		if limit > 0 && len(out) == limit {
			break
		}
	}
	return out, nil
}

// create makes a stack and answers as soon as that is written down.
func (h *Heat) create(r *request) error {
	d, spec, warnings, err := h.described(r)
	if err != nil {
		return err
	}
	if d.DisableRollback != nil && !*d.DisableRollback {
		spec.OnFailure = service.Rollback
	}
	id, err := h.Control.Deploy(r.Context(), r.who, control.Deployment{Spec: spec, Name: d.Name, Alias: d.Name, Warnings: warnings})
	if control.ClassOf(err) == control.Taken {
		return &fault{http.StatusConflict, "StackExists", "The Stack (" + d.Name + ") already exists.", err}
	}
	if err != nil {
		return err
	}
	s := &shot{id: h.idOf(id), name: d.Name}
	r.writer.Header().Set("Location", s.url(r))
	return r.answer(http.StatusCreated, object{"stack": object{"id": s.id, "links": []object{shownLink("self", s.url(r))}}})
}

// described reads the description of a new stack, and the specification that it makes.
func (h *Heat) described(r *request) (*description, *service.Spec, []string, error) {
	d, err := describe(r)
	if err != nil {
		return nil, nil, nil, err
	}
	t, err := d.parse()
	if err == nil {
		err = checkName(d.Name)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	spec, warnings, err := h.compile(r, d.Name, t, d.Parameters, nil)
	return d, spec, warnings, err
}

// checkName refuses what is no name of a stack.
func checkName(name string) error {
	letter := name != "" && (name[0] >= 'a' && name[0] <= 'z' || name[0] >= 'A' && name[0] <= 'Z')
	if !letter || len(name) > 255 || strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.'
	}) {
		return &fault{http.StatusBadRequest, "StackValidationFailed", "Invalid stack name " + strconv.QuoteToASCII(name[:min(len(name), 300)]) +
			" must contain only alphanumeric or \"_-.\" characters, must start with alpha and must be 255 characters or less.", nil}
	}
	return nil
}

// redirect sends clients that name a stack by one reference to where it is.
func (h *Heat) redirect(r *request) error { return h.moved(r, r.PathValue("ref"), "") }

func (h *Heat) moved(r *request, ref, what string) error {
	s, err := h.find(r, ref)
	if err != nil {
		return err
	}
	to := s.url(r) + what
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	r.writer.Header().Set("Location", to)
	return r.answer(http.StatusFound, object{"code": "302 Found", "message": "The resource was found at " + to, "title": "Found"})
}

// parts are what a stack has below it.
var parts = []string{"resources", "events", "template", "outputs", "environment", "files"}

// showOrRedirect shows a stack that is named by its name and its id, or redirects to a part of one that is named by one of them.
func (h *Heat) showOrRedirect(r *request) error {
	ref, what := r.PathValue("name"), r.PathValue("id")
	if slices.Contains(parts, what) {
		return h.moved(r, ref, "/"+what)
	}
	s, err := h.find(r, what)
	if err == nil && s.name != ref {
		err = notFound(ref)
	}
	if err != nil {
		return err
	}
	o, err := h.shown(r, s, !strings.EqualFold(r.URL.Query().Get("resolve_outputs"), "false"))
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, object{"stack": o})
}

func (h *Heat) update(r *request) error { return h.change(r, false) }
func (h *Heat) patch(r *request) error  { return h.change(r, true) }

// change brings a stack to what another description says.
func (h *Heat) change(r *request, patch bool) error {
	s, spec, err := h.changed(r, patch)
	if err != nil {
		return err
	}
	if _, err := h.Control.Order(r.Context(), r.who, s.service, service.Command{Update: &service.Update{Spec: spec}}); err != nil {
		return err
	}
	return r.answer(http.StatusAccepted, object{})
}

// changed is a stack with the specification that another description makes of it.
func (h *Heat) changed(r *request, patch bool) (*shot, *service.Spec, error) {
	s, err := h.named(r)
	if err != nil {
		return nil, nil, err
	}
	d, err := describe(r)
	if err != nil {
		return nil, nil, err
	}
	if patch {
		if err := d.patched(s.bundle); err != nil {
			return nil, nil, err
		}
	}
	t, err := d.parse()
	if err != nil {
		return nil, nil, err
	}
	spec, _, err := h.compile(r, s.name, t, d.Parameters, s)
	if err != nil {
		return nil, nil, err
	}
	b, err := hot.DecodeBundle(spec.Document)
	if err != nil {
		return nil, nil, err
	}
	b.Updated = time.Now().UTC()
	if spec.Document, err = b.Encode(); err != nil {
		return nil, nil, err
	}
	spec.OnFailure = s.spec.OnFailure
	return s, spec, nil
}

// remove has a stack removed with its record: afterwards its name is free again.
func (h *Heat) remove(r *request) error {
	s, err := h.named(r)
	if err != nil {
		return err
	}
	if _, err := h.Control.Order(r.Context(), r.who, s.service, service.Command{Undeploy: &service.Undeploy{Remove: true, Force: true}}); err != nil {
		return err
	}
	r.writer.WriteHeader(http.StatusNoContent)
	return nil
}

// act does something to a stack: a check tells how it stands as Troupe sees it at any time.
func (h *Heat) act(r *request) error {
	s, err := h.named(r)
	if err != nil {
		return err
	}
	return h.actOn(r, s)
}

func (h *Heat) actByRef(r *request) error {
	if r.PathValue("id") != "actions" {
		return &fault{http.StatusNotFound, "NotFound", "there is nothing to post to at a stack but its actions", nil}
	}
	s, err := h.find(r, r.PathValue("name"))
	if err != nil {
		return err
	}
	return h.actOn(r, s)
}

func (h *Heat) actOn(r *request, s *shot) error {
	var body map[string]any
	if err := api.DecodeJSON(r.Request, &body); err != nil {
		return err
	}
	if len(body) != 1 {
		return &fault{http.StatusBadRequest, "HTTPBadRequest", "Only one action may be specified", nil}
	}
	var cmd service.Command
	for name := range body {
		switch name {
		case "check":
			return r.answer(http.StatusOK, object{})
		case "suspend", "resume":
			cmd.Act = &service.Act{Action: name}
		case "cancel_update", "cancel_without_rollback":
			cmd.PauseUpdate = &service.PauseUpdate{Pause: true}
		default:
			return &fault{http.StatusBadRequest, "HTTPBadRequest", "Invalid action " + strconv.QuoteToASCII(name) + " specified: check, suspend, resume and cancel_update are supported", nil}
		}
	}
	if _, err := h.Control.Order(r.Context(), r.who, s.service, cmd); err != nil {
		return err
	}
	return r.answer(http.StatusOK, object{})
}
