package native

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// Named is the path of a service.
type Named struct {
	Service string `path:"service" doc:"A service by number, by name, or as PROJECT/NAME." maxLength:"300"`
}

func (f *face) resolve(who *identity.Caller, n *Named) (uint64, error) {
	return f.control.Resolve(who, "", n.Service)
}

type listServices struct {
	Paging
	State   string   `query:"state" doc:"Such as RUNNING."`
	Project string   `query:"project" doc:"A group, by name or number."`
	Name    string   `query:"name" doc:"The whole name."`
	Alias   string   `query:"alias" doc:"The id that its client gave it; services of several projects may have it."`
	Text    string   `query:"text" doc:"Part of the name or of the description."`
	Label   []string `query:"label,explode" doc:"KEY=VALUE, or KEY for any value; all must hold."`

	group int // that Project names
}

func (f *face) listServices(_ context.Context, who *identity.Caller, in *listServices) (*answer[client.Page[client.Service]], error) {
	out := client.Page[client.Service]{Items: []client.Service{}, Revision: f.control.Revision()}
	after, err := in.after()
	if err != nil {
		return nil, err
	}
	from := uint64(0)
	if after != "" {
		if from, err = strconv.ParseUint(after, 10, 64); err != nil {
			return nil, invalid("query.cursor", "not a cursor of this list")
		}
	}
	if in.Project != "" {
		if in.group, err = f.control.GroupID(who, in.Project); err != nil {
			return nil, err
		}
	}
	ids := f.control.Services(who)
	first, _ := slices.BinarySearch(ids, from+1)
	for _, id := range ids[first:] {
		full := len(out.Items) == in.Limit
		_ = f.control.Read(who, id, func(s *service.Service) { // one that went meanwhile is not listed
			switch {
			case !in.chooses(s):
			case full:
				out.Next = cursorAt(numberKey(out.Items[in.Limit-1].ID))
			default:
				out.Items = append(out.Items, f.service(s))
			}
		})
		if out.Next != "" {
			break
		}
	}
	return &answer[client.Page[client.Service]]{out}, nil
}

// chooses reports whether the filter lets the service through.
func (in *listServices) chooses(s *service.Service) bool {
	switch {
	case in.State != "" && !strings.EqualFold(in.State, s.State.String()),
		in.Name != "" && in.Name != s.Meta.Name,
		in.Alias != "" && in.Alias != s.Meta.Alias,
		in.Project != "" && in.group != s.Meta.Group:
		return false
	}
	if in.Text != "" {
		text := strings.ToLower(in.Text)
		if !strings.Contains(strings.ToLower(s.Meta.Name), text) && !strings.Contains(strings.ToLower(s.Spec.Description), text) {
			return false
		}
	}
	for _, l := range in.Label {
		key, value, exact := strings.Cut(l, "=")
		if got, ok := s.Spec.Labels[key]; !ok || (exact && got != value) {
			return false
		}
	}
	return true
}

func (f *face) getService(_ context.Context, who *identity.Caller, in *Named) (*tagged[client.Service], error) {
	id, err := f.resolve(who, in)
	if err != nil {
		return nil, err
	}
	out := &tagged[client.Service]{}
	err = f.control.Read(who, id, func(s *service.Service) { out.Body, out.Body.Resources = f.service(s), resources(s) })
	out.ETag = etag(out.Body.Revision)
	return out, err
}

type createService struct {
	Key  string `header:"Idempotency-Key" maxLength:"255" doc:"A repeated request with the same key returns the service that the first one made, for 24 hours. The same key with another body is refused with 422."`
	Plan bool   `query:"plan" doc:"Tell what would happen, and do nothing."`
	Body client.CreateService
}

// created is the answer to a creation: the service, or the plan of one.
type created struct {
	Status   int
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     any
}

func (f *face) createService(ctx context.Context, who *identity.Caller, in *createService) (*created, error) {
	d, doc, err := f.deployment(who, &in.Body)
	if err != nil {
		return nil, err
	}
	if in.Plan {
		p, err := f.control.PlanDeploy(who, d.Spec)
		if err != nil {
			return nil, f.locate(who, &doc, err)
		}
		p.Warnings = append(d.Warnings, p.Warnings...)
		shown := plan(&p, 0, cmp.Or(d.Name, d.Spec.Name))
		shown.Machines = f.plannedMachines(d.Spec)
		return &created{Status: http.StatusOK, Body: shown}, nil
	}
	d.Key = in.Key
	if d.Body, err = json.Marshal(in.Body); err != nil {
		return nil, err
	}
	id, err := f.control.Deploy(ctx, who, d)
	if err != nil {
		return nil, f.locate(who, &doc, err)
	}
	out := &created{Status: http.StatusCreated, Location: Prefix + "/services/" + client.ID(id)}
	var s client.Service
	if err := f.control.Read(who, id, func(now *service.Service) { s = f.service(now) }); err != nil {
		return nil, err
	}
	out.Body, out.ETag = s, etag(s.Revision)
	return out, nil
}

// deployment reads what a new service is made from, and returns the document besides.
func (f *face) deployment(who *identity.Caller, n *client.CreateService) (d control.Deployment, doc client.Document, err error) {
	d.Name, d.Alias, d.Template = n.Name, n.Alias, n.Template
	if d.Permissions, err = bits(n.Permissions); err != nil {
		return d, doc, err
	}
	doc = n.Document
	if n.Template != 0 {
		if doc.Source != "" || len(doc.Spec) > 0 {
			return d, doc, invalid("body.template", "give a template or a document, not both")
		}
		t, err := f.control.Template(who, n.Template, identity.Use)
		if err != nil {
			return d, doc, err
		}
		doc = client.Document{Format: t.Format, Source: sourceOf(&t), File: t.Name, Environments: n.Environments, Driver: n.Driver, Account: n.Account, Simulate: n.Simulate}
	}
	if d.Spec, d.Warnings, err = f.spec(who, &doc, n.Inputs, subject{name: n.Name, alias: n.Alias}); err != nil {
		return d, doc, err
	}
	d.Spec.Managed = cmp.Or(service.Care(n.Managed), d.Spec.Managed)
	d.Spec.OnFailure = cmp.Or(service.OnFailure(n.OnFailure), d.Spec.OnFailure)
	d.Spec.AtATime = cmp.Or(n.AtATime, d.Spec.AtATime)
	return d, doc, nil
}

type changeService struct {
	Named
	Body client.ChangeService
}

func (f *face) changeService(ctx context.Context, who *identity.Caller, in *changeService) (*answer[client.Accepted], error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	m := control.MetaChange{Name: in.Body.Name}
	if m.Owner, m.Group, err = f.parties(who, in.Body.Owner, in.Body.Group); err != nil {
		return nil, err
	}
	if in.Body.Permissions != nil {
		b, err := identity.ParseBits(*in.Body.Permissions)
		if err != nil {
			return nil, err
		}
		m.Permissions = &b
	}
	return accepted(f.control.ChangeMeta(ctx, who, id, m))
}

// parties finds the numbers of whom something is given to; nil for nobody.
func (f *face) parties(who *identity.Caller, owner, group *string) (o, g *int, err error) {
	if owner != nil {
		id, err := f.control.UserID(who, *owner)
		if err != nil {
			return nil, nil, err
		}
		o = &id
	}
	if group != nil {
		id, err := f.control.GroupID(who, *group)
		if err != nil {
			return nil, nil, err
		}
		g = &id
	}
	return o, g, nil
}

func (f *face) explain(_ context.Context, who *identity.Caller, in *Named) (*answer[client.Explanation], error) {
	id, err := f.resolve(who, in)
	if err != nil {
		return nil, err
	}
	e, err := f.control.Explain(who, id)
	if err != nil {
		return nil, err
	}
	name := ""
	err = f.control.Read(who, id, func(s *service.Service) { name = s.Meta.Name })
	return answered(explanation(id, name, &e), err)
}

func (f *face) revisions(ctx context.Context, who *identity.Caller, in *Named) (*answer[client.Page[uint32]], error) {
	id, err := f.resolve(who, in)
	if err != nil {
		return nil, err
	}
	list, err := f.control.Revisions(ctx, who, id)
	return answered(client.Page[uint32]{Items: append([]uint32{}, list...)}, err)
}

type showSpec struct {
	Named
	Revision uint32 `query:"revision" maximum:"4294967295" doc:"An earlier revision; the present one when empty."`
}

func (f *face) showSpec(ctx context.Context, who *identity.Caller, in *showSpec) (*tagged[client.SpecRevision], error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	out := client.SpecRevision{Revision: in.Revision}
	if out.Revision == 0 {
		if err := f.control.Read(who, id, func(s *service.Service) { out.Revision = s.Revision }); err != nil {
			return nil, err
		}
	}
	spec, err := f.control.Spec(ctx, who, id, out.Revision)
	if err != nil {
		return nil, err
	}
	out.Format = spec.Format
	if out.Source, out.Spec, err = f.showDocument(spec); err != nil {
		return nil, err
	}
	return &tagged[client.SpecRevision]{ETag: etag(out.Revision), Body: out}, nil
}

// LastEvents asks for the end of a story.
type LastEvents struct {
	Limit int `query:"limit" minimum:"0" maximum:"20000" default:"0" doc:"The last so many; all that are kept when empty."`
}

type serviceEvents struct {
	Named
	LastEvents
}

func (f *face) serviceEvents(_ context.Context, who *identity.Caller, in *serviceEvents) (*answer[client.Page[client.Event]], error) {
	id, err := f.resolve(who, &in.Named)
	if err != nil {
		return nil, err
	}
	story, err := f.control.Events(who, id, in.Limit)
	return answered(events(story), err)
}

func (f *face) allEvents(_ context.Context, who *identity.Caller, in *LastEvents) (*answer[client.Page[client.Event]], error) {
	story, err := f.control.Events(who, 0, in.Limit)
	return answered(events(story), err)
}
