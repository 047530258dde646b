package oneflow

import (
	"context"
	"fmt"
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
	return nil, f.documentError(who, id, err)
}

// Body returns what is shown of a service, as it runs, to a caller who may use it.
func (f *OneFlow) Body(who *identity.Caller, id uint64) (*format.Object, error) {
	s, err := f.read(who, id)
	if err != nil {
		return nil, err
	}
	return f.body(s)
}

// VM returns what is shown of the machine of one instance of a service, to a caller who may use it.
func (f *OneFlow) VM(who *identity.Caller, id uint64, serial uint32) (*format.Object, error) {
	var s *snapshot
	var in *roleShot
	err := f.Control.Read(who, id, func(svc *service.Service) {
		if i := svc.Instance(serial); i != nil {
			s = outline(svc)
			in = s.role(i.Role().Name)
			in.add(svc, i)
		}
	})
	if err == nil && (in == nil || len(in.nodes) == 0) {
		err = fmt.Errorf("service %d: instance %d: %w", id, serial, identity.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	stored, err := s.stored()
	if err != nil {
		return nil, err
	}
	return f.vm(s, in, &in.nodes[0], s.show(in.spec, s.networks(stored))), nil
}

func (f *OneFlow) serviceDocument(s *snapshot) (*format.Object, error) {
	body, err := f.body(s)
	if err != nil {
		return nil, err
	}
	return f.document(s.envelope(), body), nil
}

// order brings a command to a service.
func (f *OneFlow) order(r *request, s *snapshot, cmd service.Command) error {
	_, err := f.Control.Order(r.Context(), r.who, s.id, cmd)
	return f.documentError(r.who, s.id, err)
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

func (f *OneFlow) showService(_ *request, s *snapshot) (answer, error) {
	d, err := f.serviceDocument(s)
	return one(http.StatusOK, d), err
}

// undeploy removes gracefully; the document goes when all is gone.
func (f *OneFlow) undeploy(r *request, s *snapshot) (answer, error) {
	return noContent, f.order(r, s, service.Command{Undeploy: &service.Undeploy{Remove: true}})
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
func (f *OneFlow) updateService(r *request, s *snapshot) (answer, error) {
	data, err := api.ReadBody(r.Request)
	if err != nil {
		return answer{}, err
	}
	return noContent, f.applyUpdate(r, s, data)
}

func (f *OneFlow) applyUpdate(r *request, s *snapshot, data []byte) error {
	// The core decides; but a state that refuses every body is said before the faults of this one.
	if s.state != service.Pending && (s.state.Transient() || s.state.Failed()) {
		return &service.Refusal{Kind: service.WrongState, Message: "Service cannot be updated in state: " + s.state.String()}
	}
	shown, err := f.changeable(s)
	if err != nil {
		return err
	}
	made, _, err := shown.UpdateService(data)
	if err != nil {
		return err
	}
	return f.revise(r, s, made)
}

// changeable is the body of a service as clients read it, who send it back changed. It refuses one whose
// description is another face's.
func (f *OneFlow) changeable(s *snapshot) (*format.Body, error) {
	if s.spec.Format != formatName {
		return nil, &service.Refusal{Kind: service.WrongState, Message: "the service was not made from a OneFlow template; update it where it was made"}
	}
	shown, err := f.body(s)
	return format.NewBody(shown), err
}

// revise makes a changed body, as shown, the wish of its service.
func (f *OneFlow) revise(r *request, s *snapshot, shown *format.Body, in ...service.State) error {
	stored, err := s.stored()
	if err != nil {
		return err
	}
	root := shown.Root().Clone()
	wish(root)
	reveal(root, stored.Root(), s.spec.Secrets)
	opts := format.Options{Settings: f.Settings, Machine: f.machinesOf(r.who, s), Kind: f.Control.Kind, Running: s.spec.Resources}
	from, _, err := stored.ToSpec(opts)
	if err != nil {
		return err
	}
	to, _, err := format.NewBody(root).ToSpec(opts)
	if err != nil {
		return err
	}
	_, err = f.Control.Revise(r.Context(), r.who, s.id, control.Revision{From: from, To: to, In: in})
	return ofDocument(shown, f.documentError(r.who, s.id, err))
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
