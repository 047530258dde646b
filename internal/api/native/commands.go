package native

import (
	"cmp"
	"context"
	"math"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// Commanded is what every command of a service is asked with.
type Commanded struct {
	Named
	Key string `header:"Idempotency-Key" maxLength:"255" doc:"A repeated request with the same key counts once."`
}

// commandID keeps the keys of different users apart.
func commandID(who *identity.Caller, key string) string {
	if key == "" {
		return ""
	}
	return strconv.Itoa(who.User) + "/" + key
}

func accepted(revision int64, err error) (*answer[client.Accepted], error) {
	return answered(client.Accepted{Revision: revision}, err)
}

// command makes an operation that brings one command to a service.
func command[B any](f *face, make func(who *identity.Caller, id uint64, body *B) (service.Command, error)) handler[commandBody[B], answer[client.Accepted]] {
	return func(ctx context.Context, who *identity.Caller, in *commandBody[B]) (*answer[client.Accepted], error) {
		id, err := f.resolve(who, &in.Named)
		if err != nil {
			return nil, err
		}
		cmd, err := make(who, id, &in.Body)
		if err != nil {
			return nil, err
		}
		cmd.ID = commandID(who, in.Key)
		return accepted(f.control.Order(ctx, who, id, cmd))
	}
}

type commandBody[B any] struct {
	Commanded
	Body B
}

// simply makes an operation that brings a command without a body.
func simply[P any](f *face, place func(*P) *Commanded, make func(*P) service.Command) handler[P, answer[client.Accepted]] {
	return func(ctx context.Context, who *identity.Caller, in *P) (*answer[client.Accepted], error) {
		at := place(in)
		id, err := f.resolve(who, &at.Named)
		if err != nil {
			return nil, err
		}
		cmd := make(in)
		cmd.ID = commandID(who, at.Key)
		return accepted(f.control.Order(ctx, who, id, cmd))
	}
}

func itself(in *Commanded) *Commanded { return in }

func (f *face) scale(who *identity.Caller, id uint64, in *client.Scale) (service.Command, error) {
	c := &service.Scale{Role: in.Role, Force: in.Force, Cooldown: (*time.Duration)(in.Cooldown)}
	var err error
	switch {
	case (in.Cardinality == "") == (len(in.Remove) == 0):
		return service.Command{}, invalid("body.cardinality", "give a cardinality, or the instances to be removed")
	case len(in.Remove) > 0:
		c.Remove, err = f.control.FindInstances(who, id, in.Role, in.Remove)
	default:
		c.Cardinality, err = f.control.Cardinality(who, id, in.Role, string(in.Cardinality))
	}
	return service.Command{Scale: c}, err
}

func (f *face) recover(_ *identity.Caller, _ uint64, in *client.Recover) (service.Command, error) {
	return service.Command{Recover: &service.Recover{Delete: in.Delete}}, nil
}

func (f *face) undeploy(_ *identity.Caller, _ uint64, in *client.Undeploy) (service.Command, error) {
	return service.Command{Undeploy: &service.Undeploy{Hard: in.Hard, Remove: !in.Keep, Data: in.Data, Force: in.Force}}, nil
}

func (f *face) release(_ *identity.Caller, _ uint64, in *client.Release) (service.Command, error) {
	return service.Command{Release: &service.Release{Role: in.Role}}, nil
}

func (f *face) attach(_ *identity.Caller, _ uint64, in *client.Attach) (service.Command, error) {
	c := &service.Manage{Deadline: time.Duration(in.Deadline), AtATime: in.AtATime}
	if in.Once {
		c.Mode = service.OnePass
	} else if in.Deadline != 0 {
		return service.Command{}, invalid("body.deadline", "only a pass has a deadline: set once, too")
	}
	return service.Command{Manage: c}, nil
}

func detach(*Commanded) service.Command {
	return service.Command{Manage: &service.Manage{Mode: service.Unmanaged}}
}

func (f *face) act(_ *identity.Caller, _ uint64, in *client.Action) (service.Command, error) {
	return service.Command{Act: &service.Act{Role: in.Role, Serial: in.Serial, Action: in.Name, Args: in.Args,
		Period: time.Duration(in.Period), Number: in.Number}}, nil
}

func (f *face) addRole(who *identity.Caller, id uint64, in *client.Document) (service.Command, error) {
	var present *service.Spec
	if err := f.control.Read(who, id, func(s *service.Service) { present = s.Spec }); err != nil {
		return service.Command{}, err
	}
	r, err := f.role(who, in, present)
	return service.Command{AddRole: r}, err
}

// update makes the command of an update of a service at the revision; 0 for any.
func (f *face) update(who *identity.Caller, id uint64, in *client.UpdateService, revision int64) (cmd service.Command, warnings []string, err error) {
	if revision > math.MaxUint32 {
		return cmd, nil, invalid("header.If-Match", "not an ETag of a service")
	}
	var of subject
	if err := f.control.Read(who, id, func(s *service.Service) { of = subject{s.Meta.Name, s.Meta.Alias, s.Spec} }); err != nil {
		return cmd, nil, err
	}
	spec, warnings, err := f.spec(who, &in.Document, in.Inputs, of)
	if err != nil {
		return cmd, nil, err
	}
	spec.AtATime = cmp.Or(in.AtATime, spec.AtATime)
	return service.Command{Update: &service.Update{Spec: spec, Revision: uint32(revision)}}, warnings, nil
}

type updateService struct {
	Commanded
	Match
	Body client.UpdateService
}

func (f *face) updateService(ctx context.Context, who *identity.Caller, in *updateService) (*answer[client.Accepted], error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	cmd, _, err := f.update(who, id, &in.Body, revision)
	if err != nil {
		return nil, err
	}
	cmd.ID = commandID(who, in.Key)
	at, err := f.control.Order(ctx, who, id, cmd)
	return accepted(at, f.locate(who, &in.Body.Document, err))
}

type rollback struct {
	Commanded
	Body struct {
		Revision uint32 `json:"revision,omitempty" doc:"0 for the last one before that was in place."`
	}
}

func (f *face) rollback(ctx context.Context, who *identity.Caller, in *rollback) (*answer[client.Accepted], error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	back, err := f.control.Before(ctx, who, id, in.Body.Revision)
	if err != nil {
		return nil, err
	}
	cmd := service.Command{ID: commandID(who, in.Key), Update: back}
	return accepted(f.control.Order(ctx, who, id, cmd))
}

func pauseUpdate(*Commanded) service.Command {
	return service.Command{PauseUpdate: &service.PauseUpdate{Pause: true}}
}

func continueUpdate(*Commanded) service.Command {
	return service.Command{PauseUpdate: &service.PauseUpdate{}}
}

type removeService struct {
	Commanded
	Hard  bool `query:"hard" doc:"Without the graceful part."`
	Data  bool `query:"data" doc:"The data of stable instances too."`
	Keep  bool `query:"keep" doc:"Keep the record when all is gone."`
	Force bool `query:"force" doc:"In any state, for strict services too."`
}

func (in *removeService) command() service.Command {
	return service.Command{Undeploy: &service.Undeploy{Hard: in.Hard, Remove: !in.Keep, Data: in.Data, Force: in.Force}}
}

type removeRole struct {
	Commanded
	Role string `path:"role"`
}

func (in *removeRole) command() service.Command {
	return service.Command{RemoveRole: &service.RemoveRole{Role: in.Role}}
}

type cancelActions struct {
	Commanded
	Role string `query:"role" doc:"One role; all when empty."`
}

func (in *cancelActions) command() service.Command {
	return service.Command{CancelAct: &service.CancelAct{Role: in.Role}}
}

type replaceInstance struct {
	Commanded
	Serial uint32 `path:"serial" maximum:"4294967295" doc:"Number of the instance within the service."`
}

func (in *replaceInstance) command() service.Command {
	return service.Command{ReplaceOne: &service.ReplaceOne{Serial: in.Serial}}
}

type planCommand struct {
	Named
	Match
	Body client.Command
}

func (f *face) planCommand(ctx context.Context, who *identity.Caller, in *planCommand) (*answer[client.Plan], error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	var warnings []string
	cmd, err := f.planned(ctx, who, id, in, &warnings)
	if err != nil {
		return nil, err
	}
	p, err := f.control.Plan(who, id, cmd)
	if u := in.Body.Update; err != nil && u != nil {
		err = f.locate(who, &u.Document, err)
	}
	if err != nil {
		return nil, err
	}
	name := ""
	err = f.control.Read(who, id, func(s *service.Service) { name = s.Meta.Name })
	p.Warnings = append(warnings, p.Warnings...)
	shown := plan(&p, id, name)
	if in.Body.Update != nil {
		shown.Machines = f.plannedMachines(cmd.Update.Spec)
	}
	return answered(shown, err)
}

// planned makes the one command that is to be planned. What its document will not do as it may be meant is put into warnings.
func (f *face) planned(ctx context.Context, who *identity.Caller, id uint64, in *planCommand, warnings *[]string) (cmd service.Command, err error) {
	c := &in.Body
	set := 0
	for _, on := range [...]bool{c.Scale != nil, c.Update != nil, c.Rollback != nil, c.Recover != nil, c.Undeploy != nil, c.AddRole != nil,
		c.RemoveRole != "", c.Release != nil, c.Action != nil, c.Replace != 0, c.Attach != nil} {
		if on {
			set++
		}
	}
	if set != 1 {
		return cmd, invalid("body", "give one command, not "+strconv.Itoa(set))
	}
	switch {
	case c.Scale != nil:
		return f.scale(who, id, c.Scale)
	case c.Update != nil:
		revision, err := in.revision()
		if err != nil {
			return cmd, err
		}
		cmd, *warnings, err = f.update(who, id, c.Update, revision)
		return cmd, err
	case c.Rollback != nil:
		back, err := f.control.Before(ctx, who, id, *c.Rollback)
		return service.Command{Update: back}, err
	case c.Recover != nil:
		return f.recover(who, id, c.Recover)
	case c.Undeploy != nil:
		return f.undeploy(who, id, c.Undeploy)
	case c.AddRole != nil:
		return f.addRole(who, id, c.AddRole)
	case c.RemoveRole != "":
		return service.Command{RemoveRole: &service.RemoveRole{Role: c.RemoveRole}}, nil
	case c.Release != nil:
		return f.release(who, id, c.Release)
	case c.Action != nil:
		return f.act(who, id, c.Action)
	case c.Attach != nil:
		return f.attach(who, id, c.Attach)
	}
	return service.Command{ReplaceOne: &service.ReplaceOne{Serial: c.Replace}}, nil
}
