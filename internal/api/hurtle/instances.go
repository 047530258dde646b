package hurtle

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/troupe-dev/troupe/internal/hurtle"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/manager"
	"github.com/troupe-dev/troupe/occi"
)

// instances are those of a manager as OCCI has them, the links between them and what they are composed of, and the ends of these.
type instances struct {
	h *Hurtle
	m *hurtle.Manager
}

func visitorOf(ctx context.Context) *visitor { return occi.CallerOf(ctx).Value.(*visitor) }

// patience is when an answer has to be there at the latest.
func patience(m *hurtle.Manager) time.Time {
	p := m.Definition.Policy.Filled()
	return time.Now().Add(p.Act + p.Call + p.Host)
}

// Model implements [occi.Backend].
func (b *instances) Model(context.Context) (*occi.Model, error) { return b.m.Model, nil }

// id returns the instance that a path may be that of.
func (b *instances) id(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/"+b.m.Term()+"/")
	return rest, ok && rest != "" && !strings.Contains(rest, "/")
}

// List implements [occi.Backend]. Orchestrators are not asked.
func (b *instances) List(ctx context.Context, _ occi.Selection) iter.Seq2[*occi.Entity, error] {
	return func(yield func(*occi.Entity, error) bool) {
		for _, v := range b.h.Control.ListInstances(visitorOf(ctx).who, b.m.Term()) {
			e := b.entity(v)
			if !yield(e, nil) {
				return
			}
			for _, l := range e.Links {
				if !yield(l, nil) {
					return
				}
			}
		}
	}
}

// Get implements [occi.Backend].
func (b *instances) Get(ctx context.Context, path string) (*occi.Entity, error) {
	id, ok := b.id(path)
	x := visitorOf(ctx)
	if !ok {
		return b.other(x.who, path)
	}
	if x.tombstone {
		v, err := b.h.Control.KnownInstance(x.who, b.m.Term(), id, true)
		return b.shown(path, v, err)
	}
	v, err := b.h.Control.ReadInstance(ctx, x.who, x.token, b.m.Term(), id)
	return b.shown(path, v, err)
}

// other returns a link of an instance, or the resource at its other end, which stands for an instance of another manager.
func (b *instances) other(who *identity.Caller, path string) (*occi.Entity, error) {
	for _, v := range b.h.Control.ListInstances(who, b.m.Term()) {
		for i, l := range b.entity(v).Links {
			switch path {
			case l.Path:
				return l, nil
			case l.Target.Location:
				return &occi.Entity{Path: path, Kind: occi.CoreResource, Attributes: occi.Attributes{{Name: manager.AttrEndpoint, Value: v.Services[i]}}}, nil
			}
		}
	}
	return nil, occi.NotFound(path)
}

func (b *instances) shown(path string, v *hurtle.View, err error) (*occi.Entity, error) {
	if errors.Is(err, identity.ErrNotFound) {
		return nil, occi.NotFound(path)
	}
	if err != nil {
		return nil, translated(err)
	}
	return b.entity(v), nil
}

// entity shows an instance.
func (b *instances) entity(v *hurtle.View) *occi.Entity {
	e := &occi.Entity{Path: "/" + b.m.Term() + "/" + v.ID, ID: v.ID, Kind: b.m.Kind()}
	for _, a := range v.Shown {
		e.Attributes.Set(a.Name, a.Value)
	}
	e.Attributes.Set(manager.AttrState, string(v.State))
	if v.App != "" {
		e.Attributes.Set(manager.AttrApp, v.App)
	}
	if v.Message != "" && (v.State == manager.Fail || v.State == manager.Destroy) {
		e.Attributes.Set(manager.AttrMessage, v.Message)
	}
	e.Attributes = sorted(e.Attributes)
	for _, service := range v.Services {
		e.Links = append(e.Links, linkTo(e, service))
	}
	return e
}

// linkTo is the link from an instance to one that it is composed of, the same each time.
func linkTo(from *occi.Entity, service string) *occi.Entity {
	target := service
	if u, err := url.Parse(service); err == nil && u.Path != "" {
		target = lastTwo(u.Path)
	}
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(from.ID+" "+service)).String()
	return &occi.Entity{Path: "/link/" + id, Kind: occi.CoreLink, Source: occi.Reference{Location: from.Path, Kind: from.Kind},
		Target: occi.Reference{Location: target, Kind: occi.CoreResource}}
}

// lastTwo returns "/<term>/<id>" of a path, which may lie below a prefix.
func lastTwo(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	return "/" + strings.Join(parts[max(0, len(parts)-2):], "/")
}

// Create implements [occi.Backend].
func (b *instances) Create(ctx context.Context, e *occi.Entity) (*occi.Entity, error) {
	switch {
	case e.Kind != b.m.Kind():
		return nil, occi.Errorf(http.StatusBadRequest, "Only %s can be made here; links between services come with them.", b.m.Kind())
	case e.Path != "":
		return nil, occi.Errorf(http.StatusBadRequest, "The service manager names its instances itself: POST to /%s/.", b.m.Term())
	case len(e.Links) > 0:
		return nil, occi.Errorf(http.StatusBadRequest, "Links between services come with them; none can be given.")
	}
	v, err := b.h.Control.NewInstance(ctx, visitorOf(ctx).who, b.m.Term(), given(e.Attributes))
	if err != nil {
		return nil, translated(err)
	}
	return b.entity(v), nil
}

// given are attributes as clients give them: what the manager itself shows is not theirs to say.
func given(list occi.Attributes) []manager.Attribute {
	out := make([]manager.Attribute, 0, len(list))
	for _, a := range list {
		if a.Name != manager.AttrState && a.Name != manager.AttrMessage && a.Name != manager.AttrApp {
			out = append(out, manager.Attribute{Name: a.Name, Value: list.Text(a.Name)})
		}
	}
	return out
}

// Update implements [occi.Backend].
func (b *instances) Update(ctx context.Context, path string, c occi.Change) (*occi.Entity, error) {
	id, ok := b.id(path)
	if !ok {
		return nil, occi.Errorf(http.StatusMethodNotAllowed, "Method not supported.")
	}
	if c.Full {
		return nil, occi.Errorf(http.StatusNotImplemented, "An instance cannot be replaced; POST changes its attributes.")
	}
	v, err := b.h.Control.UpdateInstance(ctx, visitorOf(ctx).who, b.m.Term(), id, given(c.Attributes))
	return b.shown(path, v, err)
}

// Delete implements [occi.Backend].
func (b *instances) Delete(ctx context.Context, path string) error {
	id, ok := b.id(path)
	if !ok {
		return occi.NotFound(path)
	}
	err := b.h.Control.DeleteInstance(ctx, visitorOf(ctx).who, b.m.Term(), id)
	if errors.Is(err, identity.ErrNotFound) {
		return occi.NotFound(path)
	}
	return translated(err)
}

// Act implements [occi.Backend]: instances have no actions.
func (b *instances) Act(context.Context, string, occi.Invocation) (*occi.Entity, error) {
	return nil, occi.Errorf(http.StatusBadRequest, "Not applicable atm.")
}
