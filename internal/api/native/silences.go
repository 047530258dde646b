package native

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/identity"
)

func (f *face) silence(s alarm.Silence) client.Silence {
	return client.Silence{ID: s.ID, By: f.user(s.By), NewSilence: client.NewSilence{Name: s.Name, Service: s.Service, Role: s.Role, Match: s.Match, From: s.From.UTC(), To: s.To.UTC(), Reason: s.Reason}}
}

type listSilences struct {
	Tenant
	Paging
}

func (f *face) listSilences(_ context.Context, who *identity.Caller, in *listSilences) (*answer[client.Page[client.Silence]], error) {
	list, err := f.control.Silences(who, in.Project)
	if err != nil {
		return nil, err
	}
	return answered(part(list, &in.Paging, func(s alarm.Silence) string { return s.From.UTC().Format(time.RFC3339Nano) + "\x00" + s.ID }, f.silence))
}

type addSilence struct {
	Tenant
	Body client.NewSilence
}

func (f *face) addSilence(ctx context.Context, who *identity.Caller, in *addSilence) (*answer[client.Silence], error) {
	s := alarm.Silence{Name: in.Body.Name, Service: in.Body.Service, Role: in.Body.Role, Match: in.Body.Match, From: in.Body.From, To: in.Body.To, Reason: in.Body.Reason}
	if s.From.IsZero() {
		s.From = time.Now()
	}
	s, err := f.control.Silence(ctx, who, in.Project, s)
	if err != nil {
		return nil, err
	}
	return &answer[client.Silence]{f.silence(s)}, nil
}

type oneSilence struct {
	Tenant
	Silence string `path:"silence" doc:"Id of a silence."`
}

func (f *face) endSilence(ctx context.Context, who *identity.Caller, in *oneSilence) (*none, error) {
	return nil, f.control.EndSilence(ctx, who, in.Project, in.Silence)
}
