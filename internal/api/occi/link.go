package occi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/occi"
)

// linkAttributes are those that a recorded link keeps.
var linkAttributes = map[occi.TypeID][]string{
	occi.NetworkInterface: {occi.AttrTitle, "occi.networkinterface.interface", "occi.networkinterface.mac",
		"occi.networkinterface.address", "occi.networkinterface.gateway", "occi.networkinterface.allocation"},
	occi.StorageLink: {occi.AttrTitle, "occi.storagelink.deviceid", "occi.storagelink.mountpoint"},
}

// linkLocations are where links are.
var linkLocations = map[occi.TypeID]string{occi.NetworkInterface: "/networkinterface/", occi.StorageLink: "/storagelink/"}

// recordedOnly is what the state of a recorded link says.
const recordedOnly = "recorded: no back end joins a machine that exists to what it was not made with"

// offers reports whether there is an option of that name.
func offers(options []driver.Option, name string) bool {
	return slices.ContainsFunc(options, func(o driver.Option) bool { return o.Name == name })
}

// link returns the link at a path: a recorded one, or one of an instance.
func (f *OCCI) link(ctx context.Context, path string) (*occi.Entity, error) {
	if r := f.notes.link(tenant(ctx), path); r != nil {
		if e := f.show(ctx, r); e != nil {
			return e, nil
		}
		return nil, occi.NotFound(path)
	}
	key, _, ok := strings.Cut(id(path), ".")
	p, found := locate("/compute/" + key)
	if !ok || !found {
		return nil, occi.NotFound(path)
	}
	var e *occi.Entity
	_ = f.Control.Read(caller(ctx), p.service, func(s *service.Service) { // what is not the caller's is not there
		i, ok := p.instance(s)
		if !ok || i == nil {
			return
		}
		for _, l := range f.interfaces(s, i, computeKey(s, i)) {
			if l.Path == path {
				e = l
			}
		}
	})
	if e == nil {
		return nil, occi.NotFound(path)
	}
	return e, nil
}

// recorded returns the recorded links of a resource.
func (f *OCCI) recorded(ctx context.Context, path string) []*occi.Entity {
	var out []*occi.Entity
	for _, r := range f.notes.from(tenant(ctx), path) {
		if e := f.show(ctx, r); e != nil {
			out = append(out, e)
		}
	}
	return out
}

// show returns a recorded link as an entity, nil if one of its ends is not there any more.
func (f *OCCI) show(ctx context.Context, r *record) *occi.Entity {
	for _, end := range []occi.Reference{r.Source, r.Target} {
		if _, err := f.plain(ctx, end.Location); err != nil {
			return nil
		}
	}
	e := &occi.Entity{Path: r.Path, ID: "urn:uuid:" + id(r.Path), Kind: r.Kind, Mixins: r.Mixins, Source: r.Source, Target: r.Target}
	show(e, r.Attributes, linkAttributes[r.Kind]...)
	prefix := "occi." + r.Kind.Term()
	e.Attributes.Set(prefix+".state", "inactive")
	e.Attributes.Set(prefix+".state.message", recordedOnly)
	return e
}

// joins refuses links between what cannot be joined.
func joins(source occi.TypeID, l *occi.Entity) error {
	if l.Path != "" {
		return occi.Errorf(http.StatusBadRequest, "this service chooses the URLs of links; leave out self")
	}
	target := occi.Network
	if l.Kind == occi.StorageLink {
		target = occi.Storage
	}
	if linkLocations[l.Kind] == "" || source != occi.Compute || l.Target.Kind != target {
		return occi.Errorf(http.StatusBadRequest, "%s does not join %s and %s", l.Kind.Term(), source.Term(), l.Target.Kind.Term())
	}
	return nil
}

// join records a link.
func (f *OCCI) join(ctx context.Context, e *occi.Entity) (*occi.Entity, error) {
	if err := joins(e.Source.Kind, e); err != nil {
		return nil, err
	}
	if err := f.record(ctx, []*occi.Entity{e}, e.Source); err != nil {
		return nil, failure(err)
	}
	return f.Get(ctx, e.Path)
}

// record keeps links from a compute, and gives them their paths.
func (f *OCCI) record(ctx context.Context, links []*occi.Entity, source occi.Reference) error {
	records := make([]*record, len(links))
	for i, l := range links {
		id, err := uuid.NewV7() // in the order of time
		if err != nil {
			return err
		}
		l.Path = linkLocations[l.Kind] + id.String()
		records[i] = &record{Path: l.Path, Tenant: tenant(ctx), Kind: l.Kind, Mixins: l.Mixins, Source: source, Target: l.Target,
			Attributes: noteOf(l, linkAttributes[l.Kind])}
	}
	return f.notes.put(ctx, records...)
}
