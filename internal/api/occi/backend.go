package occi

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/occi"
)

// A place is what the path of an entity stands for.
type place struct {
	kind    occi.TypeID
	service uint64
	serial  uint32 // of an instance; 0 where the service is alone
	name    string // of a resource; "" where the service is alone
}

// locate reads the path of a compute, network or storage that belongs to a service.
func locate(path string) (place, bool) {
	p := place{kind: occi.Compute}
	key, ok := strings.CutPrefix(path, "/compute/")
	for _, k := range shown {
		if rest, found := strings.CutPrefix(path, k.location); found {
			p.kind, key, ok = k.kind, rest, true
		}
	}
	if !ok {
		return p, false
	}
	number, rest, more := strings.Cut(key, "-")
	var err error
	if p.service, err = strconv.ParseUint(number, 10, 64); err != nil || !canonical(number) {
		return p, false
	}
	if !more {
		return p, true
	}
	if p.kind != occi.Compute {
		p.name = rest
		return p, rest != ""
	}
	n, err := strconv.ParseUint(rest, 10, 32)
	p.serial = uint32(n)
	return p, err == nil && n > 0 && canonical(rest)
}

// canonical reports whether a number is written in the one way that paths have it.
func canonical(n string) bool { return n[0] != '0' && n[0] != '+' }

// instance returns what a place stands for in its service; ok is false where there is nothing.
func (p place) instance(s *service.Service) (i *service.Instance, ok bool) {
	if p.kind != occi.Compute || leaves(s) || alone(s) != (p.serial == 0) {
		return nil, false
	}
	if p.serial == 0 {
		return member(s), len(s.Roles) > 0
	}
	i = s.Instance(p.serial)
	return i, i != nil && i.Phase != service.Stopping
}

func (p place) resource(s *service.Service) *service.Resource {
	if p.kind == occi.Compute || leaves(s) || alone(s) != (p.name == "") {
		return nil
	}
	for _, x := range s.Resources {
		if shown[x.Kind].kind == p.kind && (p.name == "" || x.Name == p.name) {
			return x
		}
	}
	return nil
}

// Get implements [occi.Backend].
func (f *OCCI) Get(ctx context.Context, path string) (*occi.Entity, error) {
	e, err := f.plain(ctx, path)
	if err != nil {
		return nil, err
	}
	if e.Kind == occi.Compute {
		e.Links = append(e.Links, f.recorded(ctx, e.Path)...)
	}
	return e, nil
}

// plain is Get without recorded links.
func (f *OCCI) plain(ctx context.Context, path string) (*occi.Entity, error) {
	who := caller(ctx)
	if strings.HasPrefix(path, "/networkinterface/") || strings.HasPrefix(path, "/storagelink/") {
		return f.link(ctx, path)
	}
	if key, ok := strings.CutPrefix(path, "/network/"); ok && key != "" && (key[0] < '0' || key[0] > '9') {
		for _, e := range f.backends(who) {
			if e.Path == path {
				return e, nil
			}
		}
	}
	p, ok := locate(path)
	if !ok {
		return nil, occi.NotFound(path)
	}
	var e *occi.Entity
	err := f.Control.Read(who, p.service, func(s *service.Service) {
		if i, ok := p.instance(s); ok {
			e = f.compute(s, i)
		} else if x := p.resource(s); x != nil {
			e = f.resource(s, x)
		}
	})
	if err != nil || e == nil { // what is not the caller's is not there
		return nil, occi.NotFound(path)
	}
	return e, nil
}

// List implements [occi.Backend].
func (f *OCCI) List(ctx context.Context, sel occi.Selection) iter.Seq2[*occi.Entity, error] {
	return func(yield func(*occi.Entity, error) bool) {
		who := caller(ctx)
		wants := func(kind occi.TypeID) bool { return sel.Kind == "" || sel.Kind == kind }
		var out []*occi.Entity
		if wants(occi.Network) {
			out = f.backends(who)
		}
		for _, id := range f.Control.Services(who) {
			_ = f.Control.Read(who, id, func(s *service.Service) { // one that is gone meanwhile has nothing
				out = append(out, f.entities(s, wants)...)
			})
			for _, e := range out {
				if e.Kind == occi.Compute {
					e.Links = append(e.Links, f.recorded(ctx, e.Path)...)
				}
				if !yield(e, nil) {
					return
				}
			}
			out = out[:0]
		}
		for _, e := range out {
			if !yield(e, nil) {
				return
			}
		}
		if !wants(occi.NetworkInterface) && !wants(occi.StorageLink) {
			return
		}
		for _, r := range f.notes.all(tenant(ctx)) {
			if e := f.show(ctx, r); e != nil && wants(e.Kind) && !yield(e, nil) {
				return
			}
		}
	}
}

// entities returns the wanted entities of a service: those that links join first.
func (f *OCCI) entities(s *service.Service, wants func(occi.TypeID) bool) []*occi.Entity {
	if leaves(s) {
		return nil
	}
	var out []*occi.Entity
	for _, x := range s.Resources {
		if !wants(shown[x.Kind].kind) {
			continue
		}
		if e := f.resource(s, x); e != nil {
			out = append(out, e)
		}
	}
	computes, links := wants(occi.Compute), wants(occi.NetworkInterface) || wants(occi.StorageLink)
	if !computes && !links {
		return out
	}
	add := func(i *service.Instance) {
		e := f.compute(s, i)
		if computes {
			out = append(out, e)
		}
		for _, l := range e.Links {
			if wants(l.Kind) {
				out = append(out, l)
			}
		}
	}
	if alone(s) {
		if len(s.Roles) > 0 {
			add(member(s))
		}
		return out
	}
	for _, r := range s.Roles {
		for i := range r.Instances {
			if i.Phase != service.Stopping {
				add(i)
			}
		}
	}
	return out
}

// Create implements [occi.Backend].
func (f *OCCI) Create(ctx context.Context, e *occi.Entity) (*occi.Entity, error) {
	if e.Path != "" {
		return nil, occi.Errorf(http.StatusBadRequest, "this service chooses the URLs of what it makes; POST to the location of the kind")
	}
	switch e.Kind {
	case occi.NetworkInterface, occi.StorageLink:
		return f.join(ctx, e)
	case occi.Compute, occi.Network, occi.Storage:
	default:
		return nil, occi.Errorf(http.StatusBadRequest, "%s is abstract; nothing can be made of it", e.Kind)
	}
	for _, l := range e.Links {
		if err := joins(e.Kind, l); err != nil {
			return nil, err
		}
	}
	who := caller(ctx)
	spec, location := (*service.Spec)(nil), "/compute/"
	var err error
	if e.Kind == occi.Compute {
		spec, err = f.computeSpec(who, e)
	} else {
		location = shown[resourceKind(e.Kind)].location
		spec, err = f.resourceSpec(who, e)
	}
	if err != nil {
		return nil, failure(err)
	}
	id, err := f.Control.Deploy(ctx, who, control.Deployment{Spec: spec})
	if err != nil {
		return nil, failure(err)
	}
	path := location + strconv.FormatUint(id, 10)
	if err := f.record(ctx, e.Links, occi.Reference{Location: path, Kind: e.Kind}); err != nil {
		_ = f.Delete(context.WithoutCancel(ctx), path) // the first error says why
		return nil, failure(err)
	}
	return f.Get(ctx, path)
}

// Delete implements [occi.Backend]. What was created here goes with its service; an instance of a bigger service makes its
// role smaller.
func (f *OCCI) Delete(ctx context.Context, path string) error {
	if r := f.notes.link(tenant(ctx), path); r != nil {
		if f.show(ctx, r) == nil {
			return occi.NotFound(path)
		}
		return failure(f.notes.remove(ctx, r))
	}
	if _, err := f.plain(ctx, path); err != nil {
		return err
	}
	p, ok := locate(path)
	if !ok {
		return occi.Errorf(http.StatusForbidden, "%s belongs to the back end, not to a user", path)
	}
	cmd := service.Command{Undeploy: &service.Undeploy{Remove: true, Force: true}}
	switch {
	case p.serial != 0:
		var role string
		_ = f.Control.Read(caller(ctx), p.service, func(s *service.Service) { // what is gone is told by the order
			if i := s.Instance(p.serial); i != nil {
				role = i.Role().Name
			}
		})
		cmd = service.Command{Scale: &service.Scale{Role: role, Remove: []uint32{p.serial}}}
	case p.name != "":
		return occi.Errorf(http.StatusConflict, "%s is a part of service %d; change or remove the service", path, p.service)
	}
	if _, err := f.Control.Order(ctx, caller(ctx), p.service, cmd); err != nil {
		return failure(err)
	}
	return failure(f.notes.gone(ctx, path))
}

// Act implements [occi.Backend].
func (f *OCCI) Act(ctx context.Context, path string, a occi.Invocation) (*occi.Entity, error) {
	p, ok := locate(path)
	action := orders[a.Action][a.Attributes.Text("method")]
	if !ok || action == "" {
		return nil, occi.Errorf(http.StatusBadRequest, "%s is not applicable to %s", a.Action, path)
	}
	var serial uint32
	offered := false
	err := f.Control.Read(caller(ctx), p.service, func(s *service.Service) {
		i, ok := p.instance(s)
		if !ok || i == nil {
			return
		}
		serial = i.Serial
		for _, id := range f.applicable(i.Role(), i) {
			offered = offered || id == a.Action
		}
	})
	if err != nil {
		return nil, occi.NotFound(path)
	}
	if !offered {
		return nil, occi.Errorf(http.StatusBadRequest, "%s is not applicable now", a.Action)
	}
	if _, err := f.Control.Order(ctx, caller(ctx), p.service, service.Command{Act: &service.Act{Serial: serial, Action: action}}); err != nil {
		return nil, failure(err)
	}
	return f.Get(ctx, path)
}

// changeable are the attributes that are noted beside services, by kind.
var changeable = map[occi.TypeID][]string{
	occi.Compute: {occi.AttrTitle, occi.AttrSummary, attrHostname},
	occi.Network: {occi.AttrTitle, occi.AttrSummary, "occi.network.vlan", "occi.network.label"},
	occi.Storage: {occi.AttrTitle, occi.AttrSummary},
}

// Update implements [occi.Backend]. What can change is noted; the machine stays as it is.
func (f *OCCI) Update(ctx context.Context, path string, c occi.Change) (*occi.Entity, error) {
	if len(c.Add) > 0 || len(c.Remove) > 0 && !c.Full {
		return nil, occi.Errorf(http.StatusBadRequest, "what a mixin of the service says is settled at creation; create anew")
	}
	c.Remove = nil // an update without them leaves them
	e, err := f.plain(ctx, path)
	if err != nil {
		return nil, err
	}
	model, err := f.Model(ctx)
	if err != nil {
		return nil, err
	}
	after := c.Apply(model, e)
	if r := f.notes.link(tenant(ctx), path); r != nil {
		changed := *r
		changed.Attributes = noteOf(after, linkAttributes[r.Kind])
		if err := f.notes.put(ctx, &changed); err != nil {
			return nil, failure(err)
		}
		return f.Get(ctx, path)
	}
	p, ok := locate(path)
	if !ok {
		return nil, occi.Errorf(http.StatusForbidden, "%s belongs to the back end or to its service, and cannot be changed here", path)
	}
	var before map[string]any
	var denied error
	if err := f.Control.Read(caller(ctx), p.service, func(s *service.Service) {
		before = f.noted(path, s)
		denied = identity.Authorize(caller(ctx), identity.Object{Owner: s.Meta.Owner, Group: s.Meta.Group, Bits: identity.Bits(s.Meta.Permissions)}, identity.Manage)
	}); err != nil {
		return nil, occi.NotFound(path)
	}
	if denied != nil {
		return nil, failure(denied)
	}
	noted := noteOf(after, changeable[e.Kind])
	for name, v := range before {
		if !slices.Contains(changeable[e.Kind], name) {
			noted[name] = v
		}
	}
	if err := f.notes.note(ctx, path, noted); err != nil {
		return nil, failure(err)
	}
	return f.Get(ctx, path)
}

// noteOf returns the named attributes of an entity.
func noteOf(e *occi.Entity, names []string) map[string]any {
	out := make(map[string]any)
	for _, name := range names {
		if v, ok := e.Attributes.Get(name); ok {
			out[name] = v
		}
	}
	return out
}
