package oneflow

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/service"
)

// scaleRole is the way of newer clients, who name the role in the body (specification, section 3.4).
func (f *OneFlow) scaleRole(r *request, s *snapshot) (answer, error) {
	body, err := r.object()
	if err != nil {
		return answer{}, err
	}
	role, ok := body.Get("role_name").(string)
	if !ok {
		return answer{}, body.wrong("role_name", "name the role to scale")
	}
	return noContent, f.scale(r, s, role, "role_name", body)
}

// putRole is the way of older clients, who name it in the path.
func (f *OneFlow) putRole(r *request, s *snapshot) (answer, error) {
	body, err := r.object()
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK}, f.scale(r, s, r.PathValue("role"), "role/"+r.PathValue("role"), body)
}

// scale scales the role that stands at a place of the request.
func (f *OneFlow) scale(r *request, s *snapshot, role, at string, body params) error {
	cardinality, err := body.integer("cardinality")
	if err != nil {
		return err
	}
	force, err := body.flag("force")
	if err != nil {
		return err
	}
	if err := s.refuseRouter(role, "cannot be scaled"); err != nil {
		return placed(at, err)
	}
	err = f.order(r, s, service.Command{Scale: &service.Scale{Role: role, Cardinality: cardinality, Force: force}})
	if s.role(role) == nil {
		return placed(at, err)
	}
	return placed("cardinality", err)
}

// refuseRouter refuses what a virtual router does not do.
func (s *snapshot) refuseRouter(role, what string) error {
	stored, err := s.stored()
	if err != nil {
		return err
	}
	for _, v := range stored.Root().Array("roles") {
		if o, ok := v.(*format.Object); ok && o.Text("name") == role && o.Text("type") == "vr" {
			return &service.Refusal{Kind: service.BadValue, Message: "Role " + role + " is a virtual router and " + what}
		}
	}
	return nil
}

// actOnRole schedules an action on the machines of a role, all at once or in batches, and answers
// with old servers' body; newer clients look at the status only (specification, sections 3.2 and 13).
func (f *OneFlow) actOnRole(r *request, s *snapshot, a action) (answer, error) {
	name := r.PathValue("role")
	if err := s.refuseRouter(name, "takes no actions"); err != nil {
		return answer{}, placed("action.perform", err)
	}
	if err := f.act(r, s, name, a); err != nil {
		return answer{}, err
	}
	var ids []string
	if role := s.role(name); role != nil {
		for _, n := range role.nodes {
			ids = append(ids, strconv.FormatInt(service.NumericID(s.id, n.Serial), 10))
		}
	}
	done := "Action:" + a.perform + " scheduled on Role:" + name + " VMs:" + strings.Join(ids, ",")
	return answer{status: http.StatusCreated, body: []any{true, done}}, nil
}

// act schedules an action on the machines of a role, "" for all. others are what else could have been
// performed instead, for a guess at a misspelt name.
func (f *OneFlow) act(r *request, s *snapshot, role string, a action, others ...[]string) error {
	if _, _, ok := service.ActionNamed(a.perform); !ok {
		return unknownAction(a.perform, append(others, service.ActionNames())...)
	}
	period, err := a.params.count("period")
	if err != nil {
		return err
	}
	number, err := a.params.count("number")
	if err != nil {
		return err
	}
	args, err := a.params.argument("args")
	if err != nil {
		return err
	}
	act := &service.Act{Role: role, Action: a.perform, Args: args, Period: time.Duration(period) * time.Second, Number: number}
	return placed("action.params", f.order(r, s, service.Command{Act: act}))
}

// cancelAction drops a scheduled action; one that is not there is no error.
func (f *OneFlow) cancelAction(r *request, s *snapshot) (answer, error) {
	given := r.PathValue("action")
	if strings.Trim(given, "0123456789") != "" {
		return answer{}, misusef("sched_id", "the id of a scheduled action is a number")
	}
	serial, err := strconv.ParseUint(given, 10, 32)
	if err != nil {
		serial = 0 // too great for any
	}
	return noContent, f.order(r, s, service.Command{CancelAct: &service.CancelAct{Role: r.PathValue("role"), Serial: uint32(serial)}})
}

// changeRoles adds a role to a running service or removes one (specification, section 3.6).
func (f *OneFlow) changeRoles(r *request, s *snapshot, a action) (answer, error) {
	switch a.perform {
	case "add_role":
		return noContent, f.addRole(r, s, a.params)
	case "remove_role":
		return noContent, f.removeRole(r, s, a.params)
	}
	return answer{}, unknownAction(a.perform, []string{"add_role", "remove_role"})
}

func (f *OneFlow) addRole(r *request, s *snapshot, p params) error {
	shown, err := f.changeable(s)
	if err != nil {
		return err
	}
	made, _, err := shown.AddRole(p.Get("role"))
	if err != nil {
		return format.At(p.at, err)
	}
	err = f.revise(r, s, made, service.Running)
	return movedPlace(err, fmt.Sprintf("roles[%d]", len(made.Root().Array("roles"))-1), p.place("role"))
}

// removeRole removes a role; the service goes with its last one.
func (f *OneFlow) removeRole(r *request, s *snapshot, p params) error {
	name, ok := p.Get("role").(string)
	if !ok {
		return p.wrong("role", "name the role to remove")
	}
	if len(s.roles) == 1 && s.roles[0].name == name && s.state == service.Running {
		_, err := f.undeploy(r, s)
		return err
	}
	if s.role(name) == nil || s.spec.Format != formatName { // the core's own refusal, or all that there is to do
		return placed(p.place("role"), f.order(r, s, service.Command{RemoveRole: &service.RemoveRole{Role: name}}))
	}
	shown, err := f.changeable(s)
	if err != nil {
		return err
	}
	made, err := shown.RemoveRole(name)
	if err != nil {
		return format.At(p.at, err)
	}
	return f.revise(r, s, made, service.Running)
}
