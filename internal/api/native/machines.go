package native

import (
	"context"
	"errors"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/format/native"
	"github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/identity"
)

func (f *face) machine(d control.Definition) (client.Machine, error) {
	if d.Format != "" {
		return f.nodeDefinition(d)
	}
	m := f.control.RedactMachine(d.Machine)
	m.Name, m.ID = d.Name, 0
	out := client.Machine{ID: d.ID, Name: d.Name, Drivers: drivers(&m), Owner: f.user(d.Owner), Group: f.group(d.Group),
		Permissions: d.Permissions.String(), Revision: d.Revision}
	text, err := native.EncodeMachine(&m)
	if err != nil {
		return out, err
	}
	out.Source = string(text)
	out.Spec, err = asJSON(text)
	return out, err
}

func (f *face) showMachine(d control.Definition, err error) (*tagged[client.Machine], error) {
	if err != nil {
		return nil, err
	}
	shown, err := f.machine(d)
	if err != nil {
		return nil, err
	}
	return &tagged[client.Machine]{ETag: etag(d.Revision), Body: shown}, nil
}

func (f *face) listMachines(_ context.Context, who *identity.Caller, in *Paging) (*answer[client.Page[client.Machine]], error) {
	var failed error
	out, err := part(f.control.Machines(who), in, func(d control.Definition) string { return numberKey(uint64(d.ID)) }, func(d control.Definition) client.Machine {
		shown, err := f.machine(d)
		failed = errors.Join(failed, err)
		return shown
	})
	return answered(out, errors.Join(err, failed))
}

type oneMachine struct {
	Machine string `path:"machine" doc:"A machine definition, by name or number."`
}

func (f *face) getMachine(_ context.Context, who *identity.Caller, in *oneMachine) (*tagged[client.Machine], error) {
	return f.showMachine(f.control.Machine(who, in.Machine, identity.Use))
}

type putMachine struct {
	Match
	Body client.PutMachine
}

func (f *face) putMachine(ctx context.Context, who *identity.Caller, in *putMachine) (*tagged[client.Machine], error) {
	permissions, err := bits(in.Body.Permissions)
	if err != nil {
		return nil, err
	}
	revision, err := in.revision()
	if err != nil {
		return nil, err
	}
	file, text, err := textOf(&in.Body.Document)
	if err != nil {
		return nil, err
	}
	switch in.Body.Format {
	case "", "native":
	case occopus.Format:
		d, err := f.readNodeDefinition(who, &in.Body.Document, file, text)
		if err != nil {
			return nil, err
		}
		d.Permissions, d.Revision = permissions, revision
		return f.showMachine(f.control.ReplaceMachine(ctx, who, d))
	default:
		return nil, invalid("body.format", "machine definitions are of the native format, or node definitions of Occopus")
	}
	m, err := native.ParseMachine(file, text, f.documentOptions(who, &in.Body.Document))
	if err != nil {
		return nil, err
	}
	return f.showMachine(f.control.ReplaceMachine(ctx, who, control.Definition{Name: m.Name, Machine: *m, Permissions: permissions, Revision: revision}))
}

func (f *face) removeMachine(ctx context.Context, who *identity.Caller, in *oneMachine) (*none, error) {
	return nil, f.control.RemoveMachine(ctx, who, in.Machine)
}
