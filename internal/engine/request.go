package engine

import (
	"context"
	"fmt"
	"maps"
	"sort"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// A blueprint is what is needed to make one machine, read from the service in one look.
type blueprint struct {
	machine *service.Machine
	impl    *service.Implementation
	scope   render.Scope
	request driver.Request
}

// render makes the request for a creation.
func (p *blueprint) render(ctx context.Context, kind *driver.Kind) (driver.Request, error) {
	parts, err := render.Machine(ctx, p.machine, p.impl, &p.scope)
	if err != nil {
		return driver.Request{}, err
	}
	options, err := kind.Check(parts.Options)
	if err != nil {
		return driver.Request{}, fmt.Errorf("options: %w", err)
	}
	p.request.Env, p.request.Files, p.request.UserData, p.request.Options = parts.Env, parts.Files, parts.UserData, options
	return p.request, nil
}

// foretell asks the driver for the machine's address, where templates show it and the driver can tell.
func (b *Backend) foretell(ctx context.Context, p *blueprint) error {
	if !render.ShowsAddress(p.machine) {
		return nil
	}
	d, ok := driver.As[driver.Addresser](b.Driver)
	if !ok {
		return nil
	}
	address, err := d.Address(ctx, p.request)
	if err != nil {
		return fmt.Errorf("tell the address in advance: %w", err)
	}
	p.request.Address, p.scope.Instance.Address = address, address
	return nil
}

// surround adds to a machine's environment what it is told besides.
func (e *Engine) surround(id driver.MachineID, own map[string]string) map[string]string {
	if e.opts.Environment == nil {
		return own
	}
	all := e.opts.Environment(id)
	maps.Copy(all, own)
	return all
}

// files renders the files of a running machine.
func (e *Engine) files(ctx context.Context, a *actor, eff service.Effect) ([]driver.File, error) {
	p, ok := e.blueprint(a, eff, service.Up)
	if !ok {
		return nil, nil
	}
	only := service.Machine{Files: p.machine.Files}
	parts, err := render.Machine(ctx, &only, nil, &p.scope)
	return parts.Files, err
}

func (e *Engine) blueprint(a *actor, eff service.Effect, phase service.Phase) (p blueprint, ok bool) {
	e.read(a, func(svc *service.Service) {
		i := svc.Instance(eff.Serial)
		if i == nil || i.Incarnation != eff.Incarnation || i.Phase != phase {
			return
		}
		r, impl := i.Role(), i.Implementation()
		if impl == nil {
			return
		}
		p.machine, p.impl = i.Definition(), impl
		name := svc.InstanceName(i)
		p.request = driver.Request{
			ID: svc.MachineID(i), Name: name, Project: svc.Meta.Project, Service: idText(svc.ID), Role: r.Name, Number: int(i.Number),
			Options: impl.Options, CPUs: p.machine.CPUs, Memory: p.machine.Memory, Data: svc.DataName(i),
			Hold: eff.Hold, Generation: e.store.Installation().Generation,
		}
		if x := r.Bears(); x != nil {
			p.request.Address = x.Address()
		} else if r.Spec.Identity == service.Stable && len(i.Addresses) > 0 {
			p.request.Address = i.Addresses[0]
		}
		p.scope = e.scopeOf(a, i)
		p.scope.Command = e.opts.Command
		ok = true
	})
	return p, ok
}

// scopeOf is what the templates of an instance see.
func (e *Engine) scopeOf(a *actor, i *service.Instance) render.Scope {
	svc := a.svc
	r := i.Role()
	scope := render.Scope{
		Service: render.Service{Name: svc.Meta.Name, ID: idText(svc.ID)},
		Role:    render.Role{Name: r.Name, Number: r.Cardinality},
		Instance: render.Instance{Name: svc.InstanceName(i), ID: string(svc.MachineID(i)), Number: int(i.Number),
			UUID: service.UUID(e.store.Installation().ID, svc.ID, i.Serial)},
		Inputs: svc.Spec.Inputs, Variables: svc.Spec.VariablesOf(r.Spec),
	}
	if x := i.Implementation(); x != nil {
		scope.Names, scope.Rendered = x.Names, x.Rendered
	}
	if len(i.Addresses) > 0 {
		scope.Instance.Address = i.Addresses[0]
	}
	if needs := r.Resources(); len(needs) > 0 {
		outputs := make(map[string]any, len(needs))
		for _, x := range needs {
			outputs[x.Name] = x.Outputs
		}
		scope.Keys = map[string]any{"resources": outputs}
	}
	if len(r.Spec.Inputs) > 0 {
		scope.Inputs = make(map[string]string, len(svc.Spec.Inputs)+len(r.Spec.Inputs))
		for k, v := range svc.Spec.Inputs {
			scope.Inputs[k] = v
		}
		for k, v := range r.Spec.Inputs {
			scope.Inputs[k] = v
		}
	}
	if !render.ShowsRoles(i.Definition()) {
		return scope
	}
	scope.Roles = make(map[string]render.Peers, len(r.Parents()))
	for _, parent := range r.Parents() {
		scope.Roles[parent.Name] = a.peersOf(parent, e.store.Installation().ID)
	}
	return scope
}

// peersOf lists the instances of a role for the templates of those that need it. The list is made once
// between two commits of the service and shared.
func (a *actor) peersOf(r *service.Role, installation string) render.Peers {
	a.peersMu.Lock()
	defer a.peersMu.Unlock()
	if p, ok := a.peers[r.ID]; ok {
		return p
	}
	list, id := make([]render.Peer, 0, r.Total()), a.svc.ID
	for i := range r.Instances {
		if !i.Phase.Settled() {
			continue
		}
		serial := i.Serial
		peer := render.Peer{Name: a.svc.InstanceName(i), Number: int(i.Number), Addresses: i.Addresses, Attributes: maps.Clone(i.Attributes),
			UUID: func() string { return service.UUID(installation, id, serial) }, Native: i.Native, Created: i.Created.Time()}
		if len(i.Addresses) > 0 {
			peer.Address = i.Addresses[0]
		}
		list = append(list, peer)
	}
	sort.Slice(list, func(x, y int) bool { return list[x].Number < list[y].Number })
	p := render.PeersOf(list)
	if a.peers == nil {
		a.peers = make(map[uint16]render.Peers)
	}
	a.peers[r.ID] = p
	return p
}
