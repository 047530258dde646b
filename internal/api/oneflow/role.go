package oneflow

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/service"
)

// scaleRole is the way of newer clients (specification, section 3.4).
func (f *OneFlow) scaleRole(r *request) (answer, error) {
	s, err := f.service(r)
	if err != nil {
		return answer{}, err
	}
	body, err := r.object()
	if err != nil {
		return answer{}, misuse{err}
	}
	role, ok := body.Get("role_name").(string)
	if !ok {
		return answer{}, misusef("role_name", "name the role to scale")
	}
	return f.scale(r, s, role, body)
}

// putRole is the way of older clients.
func (f *OneFlow) putRole(r *request) (answer, error) {
	s, err := f.service(r)
	if err != nil {
		return answer{}, err
	}
	body, err := r.object()
	if err != nil {
		return answer{}, misuse{err}
	}
	a, err := f.scale(r, s, r.PathValue("role"), body)
	if err == nil {
		a.status = http.StatusOK
	}
	return a, err
}

func (f *OneFlow) scale(r *request, s *snapshot, role string, body *format.Object) (answer, error) {
	cardinality, err := integer(body, "cardinality", "cardinality")
	if err != nil {
		return answer{}, err
	}
	force, err := flag(body, "force")
	if err != nil {
		return answer{}, err
	}
	if err := s.refuseRouter(role, "cannot be scaled"); err != nil {
		return answer{}, err
	}
	return f.order(r, s, service.Command{Scale: &service.Scale{Role: role, Cardinality: cardinality, Force: force}})
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
func (f *OneFlow) actOnRole(r *request) (answer, error) {
	s, err := f.service(r)
	if err != nil {
		return answer{}, err
	}
	a, err := r.action()
	if err != nil {
		return answer{}, err
	}
	name := r.PathValue("role")
	if _, _, ok := service.ActionNamed(a.perform); !ok {
		return answer{}, unknownAction(a.perform, service.ActionNames())
	}
	if err := s.refuseRouter(name, "takes no actions"); err != nil {
		return answer{}, err
	}
	act, err := actOf(name, a)
	if err != nil {
		return answer{}, err
	}
	if _, err := f.order(r, s, service.Command{Act: act}); err != nil {
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

// actOf reads the parameters of an action on machines.
func actOf(role string, a action) (*service.Act, error) {
	period, err := optional(a.params, "period", "period", 0)
	if err != nil {
		return nil, err
	}
	n, err := optional(a.params, "number", "number", 0)
	if err != nil {
		return nil, err
	}
	args, err := argument(a.params, "args")
	if err != nil {
		return nil, err
	}
	return &service.Act{Role: role, Action: a.perform, Args: args, Period: time.Duration(period) * time.Second, Number: n}, nil
}

// cancelAction drops a scheduled action; one that is not there is no error.
func (f *OneFlow) cancelAction(r *request) (answer, error) {
	s, err := f.service(r)
	if err != nil {
		return answer{}, err
	}
	serial, err := strconv.ParseUint(r.PathValue("action"), 10, 32)
	if err != nil {
		return answer{}, misusef("sched_id", "the id of a scheduled action is a number")
	}
	return f.order(r, s, service.Command{CancelAct: &service.CancelAct{Role: r.PathValue("role"), Serial: uint32(serial)}})
}

// changeRoles adds a role to a running service or removes one (specification, section 3.6).
func (f *OneFlow) changeRoles(r *request) (answer, error) {
	s, err := f.service(r)
	if err != nil {
		return answer{}, err
	}
	a, err := r.action()
	if err != nil {
		return answer{}, err
	}
	switch a.perform {
	case "add_role":
		return f.addRole(r, s, a.params.Get("role"))
	case "remove_role":
		return f.removeRole(r, s, a.params.Get("role"))
	}
	return answer{}, unknownAction(a.perform, []string{"add_role", "remove_role"})
}

func (f *OneFlow) addRole(r *request, s *snapshot, role any) (answer, error) {
	if err := s.ofThisFace(); err != nil {
		return answer{}, err
	}
	shown, err := f.body(s)
	if err != nil {
		return answer{}, err
	}
	made, _, err := format.NewBody(shown).AddRole(role)
	if err != nil {
		return answer{}, err
	}
	return f.revise(r, s, made, service.Running)
}

// removeRole removes a role; the service goes with its last one.
func (f *OneFlow) removeRole(r *request, s *snapshot, role any) (answer, error) {
	name, ok := role.(string)
	if !ok {
		return answer{}, misusef("action.params.role", "name the role to remove")
	}
	if s.spec.Format != "oneflow" {
		return f.order(r, s, service.Command{RemoveRole: &service.RemoveRole{Role: name}})
	}
	if s.role(name) == nil {
		return answer{}, &service.Refusal{Kind: service.NoSuch, Message: "Role " + clip(name) + " not found"}
	}
	if len(s.roles) == 1 && s.state == service.Running {
		return f.order(r, s, service.Command{Undeploy: &service.Undeploy{Remove: true}})
	}
	shown, err := f.body(s)
	if err != nil {
		return answer{}, err
	}
	made, err := format.NewBody(shown).RemoveRole(name)
	if err != nil {
		return answer{}, err
	}
	return f.revise(r, s, made, service.Running)
}
