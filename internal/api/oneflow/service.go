package oneflow

import (
	"context"
	"net/http"
	"slices"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// service reads the service that the path names.
func (f *OneFlow) service(r *request) (*snapshot, error) {
	id, err := r.id()
	if err != nil {
		return nil, err
	}
	return f.read(r.who, id)
}

func (f *OneFlow) read(who *identity.Caller, id uint64) (*snapshot, error) {
	var s *snapshot
	err := f.Control.Read(who, id, func(svc *service.Service) { s = capture(svc) })
	if err == nil {
		return s, nil
	}
	if _, e := f.Control.Template(who, id, identity.Use); e == nil {
		return nil, noDocument(text(id), "service template")
	}
	return nil, documentError(id, err)
}

func (f *OneFlow) serviceDocument(s *snapshot) (*format.Object, error) {
	body, err := f.body(s)
	if err != nil {
		return nil, err
	}
	return f.document(s.envelope(), body), nil
}

// order brings a command to a service.
func (f *OneFlow) order(r *request, s *snapshot, cmd service.Command) (answer, error) {
	if _, err := f.Control.Order(r.Context(), r.who, s.id, cmd); err != nil {
		return answer{}, documentError(s.id, err)
	}
	return noContent, nil
}

// listServices answers the youngest first, as OpenNebula does.
func (f *OneFlow) listServices(r *request) (answer, error) {
	ids := f.Control.Services(r.who)
	slices.Reverse(ids)
	return answer{pool: func(yield func(*format.Object) bool) {
		for _, id := range ids {
			s, err := f.read(r.who, id)
			if err != nil {
				continue // it has left meanwhile
			}
			d, err := f.serviceDocument(s)
			if err != nil {
				f.Log.Error("a service is left out of the list", "service", id, "error", err)
				continue
			}
			if !yield(d) {
				return
			}
		}
	}}, nil
}

func (f *OneFlow) showService(r *request) (answer, error) {
	s, err := f.service(r)
	if err != nil {
		return answer{}, err
	}
	d, err := f.serviceDocument(s)
	return one(http.StatusOK, d), err
}

// deleteService undeploys gracefully; the document goes when all is gone.
func (f *OneFlow) deleteService(r *request) (answer, error) {
	s, err := f.service(r)
	if err != nil {
		return answer{}, err
	}
	return f.order(r, s, service.Command{Undeploy: &service.Undeploy{Remove: true}})
}

// purgeDone answers at once; the removal goes on in the background.
func (f *OneFlow) purgeDone(r *request) (answer, error) {
	ctx, who := context.WithoutCancel(r.Context()), r.who
	f.running.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer context.AfterFunc(f.background, cancel)()
		defer cancel()
		if n, err := f.Control.PurgeDone(ctx, who); err != nil {
			f.Log.Warn("purge of finished services is incomplete", "removed", n, "error", err)
		}
	})
	return noContent, nil
}

// updateService takes a whole body, or keys that are laid over it (specification, section 3.5).
func (f *OneFlow) updateService(r *request) (answer, error) {
	s, err := f.service(r)
	if err != nil {
		return answer{}, err
	}
	data, err := api.ReadBody(r.Request)
	if err != nil {
		return answer{}, err
	}
	return f.applyUpdate(r, s, data)
}

func (f *OneFlow) applyUpdate(r *request, s *snapshot, data []byte) (answer, error) {
	if err := s.ofThisFace(); err != nil {
		return answer{}, err
	}
	// The core decides; but a state that refuses every body is said before the faults of this one.
	if s.state != service.Pending && (s.state.Transient() || s.state.Failed()) {
		return answer{}, &service.Refusal{Kind: service.WrongState, Message: "Service cannot be updated in state: " + s.state.String()}
	}
	shown, err := f.body(s)
	if err != nil {
		return answer{}, err
	}
	made, _, err := format.NewBody(shown).UpdateService(data)
	if err != nil {
		return answer{}, err
	}
	return f.revise(r, s, made)
}

// ofThisFace refuses to change a service whose description is another face's.
func (s *snapshot) ofThisFace() error {
	if s.spec.Format == "oneflow" {
		return nil
	}
	return &service.Refusal{Kind: service.WrongState, Message: "the service was not made from a OneFlow template; update it where it was made"}
}

// revise makes a changed body, as shown, the wish of its service.
func (f *OneFlow) revise(r *request, s *snapshot, shown *format.Body, in ...service.State) (answer, error) {
	stored, err := s.stored()
	if err != nil {
		return answer{}, err
	}
	root := shown.Root().Clone()
	wish(root)
	reveal(root, stored.Root(), s.spec.Secrets)
	opts := format.Options{Settings: f.Settings, Machine: f.machinesOf(r.who, s)}
	from, _, err := stored.ToSpec(opts)
	if err != nil {
		return answer{}, err
	}
	to, _, err := format.NewBody(root).ToSpec(opts)
	if err != nil {
		return answer{}, err
	}
	if _, err := f.Control.Revise(r.Context(), r.who, s.id, control.Revision{From: from, To: to, In: in}); err != nil {
		return answer{}, documentError(s.id, err)
	}
	return noContent, nil
}

// machinesOf looks machine definitions up for a service that runs: one of its own may be gone by now.
func (f *OneFlow) machinesOf(who *identity.Caller, s *snapshot) func(int) (service.Machine, error) {
	find := f.machines(who)
	return func(id int) (service.Machine, error) {
		m, err := find(id)
		if err == nil {
			return m, nil
		}
		for n := range s.spec.Roles {
			if s.spec.Roles[n].Machine.ID == id {
				return service.Machine{ID: id}, nil
			}
		}
		return m, err
	}
}
