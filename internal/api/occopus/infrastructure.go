package occopus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/google/uuid"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// named is what most answers say.
type named struct {
	ID string `json:"infraid"`
}

// create makes an infrastructure from the description in the body, and answers as soon as that is written down. What cannot be
// made is tried again for ever, as Occopus does.
func (f *Occopus) create(r *request) (any, error) {
	body, err := api.ReadBody(r.Request)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, &handled{failure: failure{badRequest, "Empty POST data", "send an infrastructure description"}, status: http.StatusBadRequest}
	}
	infra, warnings, err := format.ParseInfrastructure("description", body, format.Options{})
	if err != nil {
		return nil, err
	}
	id := uuid.NewString()
	site := f.site(r.who)
	spec, more, err := format.Compile(infra, site.Options(id, f.Simulate))
	if err != nil {
		return nil, err
	}
	spec.OnFailure, spec.AtATime = service.Keep, f.AtATime
	d := control.Deployment{Spec: spec, Alias: id}
	for _, w := range append(warnings, more...) {
		d.Warnings = append(d.Warnings, w.Error.Error())
	}
	if _, err := f.Control.Deploy(r.Context(), r.who, d); err != nil {
		var problems service.Problems
		if errors.As(err, &problems) {
			return nil, infra.Locate(problems)
		}
		return nil, err
	}
	return named{id}, nil
}

// site is where a caller's descriptions run.
func (f *Occopus) site(who *identity.Caller) format.Site {
	return format.Site{Documents: f.Control.Documents(who, format.Format), Kinds: f.Control.Kind, AccountAt: f.Control.AccountAt}
}

// list names all infrastructures, by both spellings of the key.
func (f *Occopus) list(r *request) (any, error) {
	ids := []string{}
	f.each(r.who, func(s *service.Service) { ids = append(ids, idOf(r.who, s)) })
	return map[string][]string{"infrastuctures": ids, "infrastructures": ids}, nil
}

// each lets see all infrastructures of a caller's, in the order in which they were made.
func (f *Occopus) each(who *identity.Caller, see func(*service.Service)) {
	for _, id := range f.Control.Services(who) {
		_ = f.Control.Read(who, id, func(s *service.Service) { // one may be gone by now
			if isInfra(s) {
				see(s)
			}
		})
	}
}

// isInfra reports whether a service is an infrastructure that has not ended.
func isInfra(s *service.Service) bool {
	return s.Spec.Format == format.Format && s.State != service.Done
}

// idOf is the id by which a caller finds an infrastructure: aliases are those of the own group.
func idOf(who *identity.Caller, s *service.Service) string {
	if s.Meta.Alias != "" && s.Meta.Group == who.Group {
		return s.Meta.Alias
	}
	return strconv.FormatUint(s.ID, 10)
}

// find finds the infrastructure of that id.
func (f *Occopus) find(who *identity.Caller, ref string) (uint64, error) {
	id, err := f.Control.Resolve(who, "", ref)
	if err != nil {
		return 0, unknownInfra(ref)
	}
	known := false
	if err := f.Control.Read(who, id, func(s *service.Service) { known = isInfra(s) }); err != nil || !known {
		return 0, unknownInfra(ref)
	}
	return id, nil
}

// view lets see an infrastructure.
func (f *Occopus) view(who *identity.Caller, ref string, see func(*service.Service)) error {
	id, err := f.find(who, ref)
	if err != nil {
		return err
	}
	if f.Control.Read(who, id, see) != nil {
		return unknownInfra(ref)
	}
	return nil
}

// attach has the infrastructure looked after from now on.
func (f *Occopus) attach(r *request) (any, error) {
	return f.manage(r, service.Managed, func(now service.Mode) bool { return now != service.Managed }, "ERROR: Infrastructure %s already being maintained!")
}

// detach leaves the infrastructure alone. Its machines stay.
func (f *Occopus) detach(r *request) (any, error) {
	return f.manage(r, service.Unmanaged, func(now service.Mode) bool { return now == service.Managed }, "ERROR: Infrastructure %s is not maintained!")
}

// manage changes the mode of an infrastructure unless the present one is already what is wished.
func (f *Occopus) manage(r *request, mode service.Mode, changes func(now service.Mode) bool, already string) (any, error) {
	ref := r.PathValue("infra")
	var id uint64
	var now service.Mode
	if err := f.view(r.who, ref, func(s *service.Service) { id, now = s.ID, s.Mode }); err != nil {
		return nil, err
	}
	if !changes(now) {
		reason := fmt.Sprintf(already, ref)
		return nil, &handled{failure: failure{refused, reason, "it is " + now.String()}, status: http.StatusConflict}
	}
	if _, err := f.Control.Order(r.Context(), r.who, id, service.Command{Manage: &service.Manage{Mode: mode}}); err != nil {
		return nil, err
	}
	return named{ref}, nil
}

// remove removes an infrastructure and answers when it is gone. It goes on when the client leaves.
func (f *Occopus) remove(r *request) (any, error) {
	ref := r.PathValue("infra")
	id, err := f.find(r.who, ref)
	if err != nil {
		return nil, err
	}
	if err := api.LiftDeadlines(r.writer); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() { // a server that stops waits no longer
		select {
		case <-api.Stopping(r.Request):
			cancel()
		case <-ctx.Done():
		}
	})
	defer waiting.Wait()
	defer cancel()
	if err := f.Control.Remove(ctx, r.who, id, service.Undeploy{Force: true}); err != nil {
		return nil, err
	}
	return named{ref}, nil
}
