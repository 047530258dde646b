package native

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/format/hot"
	"github.com/troupe-dev/troupe/internal/identity"
)

// sourceOf returns the text of a template, whatever its format keeps.
func sourceOf(t *control.Template) string {
	var text string
	if json.Unmarshal(t.Body, &text) == nil {
		return text
	}
	return string(t.Body)
}

func (f *face) template(t control.Template) client.Template {
	return client.Template{ID: t.ID, Name: t.Name, Format: t.Format, Source: sourceOf(&t), Owner: f.user(t.Owner), Group: f.group(t.Group),
		Permissions: t.Permissions.String(), Registered: t.Registered.UTC(), Revision: t.Revision}
}

func (f *face) showTemplate(t control.Template, err error) (*tagged[client.Template], error) {
	if err != nil {
		return nil, err
	}
	return &tagged[client.Template]{ETag: etag(t.Revision), Body: f.template(t)}, nil
}

type listTemplates struct {
	Paging
	Format string `query:"format" doc:"native or oneflow; all when empty."`
}

func (f *face) listTemplates(_ context.Context, who *identity.Caller, in *listTemplates) (*answer[client.Page[client.Template]], error) {
	return answered(part(f.control.Templates(who, in.Format), &in.Paging, func(t control.Template) string { return numberKey(t.ID) }, f.template))
}

// OneTemplate is the path of a template.
type OneTemplate struct {
	Template uint64 `path:"template" doc:"Number of a template."`
}

func (f *face) getTemplate(_ context.Context, who *identity.Caller, in *OneTemplate) (*tagged[client.Template], error) {
	return f.showTemplate(f.control.Template(who, in.Template, identity.Use))
}

type addTemplate struct{ Body client.PutTemplate }

func (f *face) addTemplate(ctx context.Context, who *identity.Caller, in *addTemplate) (*tagged[client.Template], error) {
	t := control.Template{Name: in.Body.Name, Format: cmp.Or(in.Body.Format, "native")}
	if in.Body.Owner != nil || in.Body.Group != nil {
		return nil, invalid("body.owner", "a new template is its maker's; give it away afterwards")
	}
	var err error
	if t.Permissions, err = bits(in.Body.Permissions); err != nil {
		return nil, err
	}
	if err := f.setBody(who, &t, &in.Body.Document); err != nil {
		return nil, err
	}
	return f.showTemplate(f.control.AddTemplate(ctx, who, t))
}

// setBody checks a document and puts it into a template; a template without a name gets the document's.
func (f *face) setBody(who *identity.Caller, t *control.Template, d *client.Document) error {
	if len(d.Files) > 0 {
		return invalid("body.files", "a template is one text: put what it includes into it")
	}
	_, text, err := textOf(d)
	if err != nil {
		return err
	}
	name := ""
	if t.Format == "oneflow" {
		t.Body, name, err = oneflowBody(text)
	} else if t.Format == hot.Format {
		if _, err = parseHOT(d, cmp.Or(d.File, "source"), text); err == nil { // what its parameters are comes with a service
			t.Body, err = json.Marshal(string(text))
		}
	} else {
		spec, _, e := f.spec(who, d, nil, subject{})
		if err = e; err == nil {
			name = spec.Name
			t.Body, err = json.Marshal(string(text))
		}
	}
	if t.Name = cmp.Or(t.Name, name); err == nil && t.Name == "" {
		err = invalid("body.name", "neither the request nor the document gives a name")
	}
	return err
}

type changeTemplate struct {
	OneTemplate
	Match
	Body client.PutTemplate
}

func (f *face) changeTemplate(ctx context.Context, who *identity.Caller, in *changeTemplate) (*tagged[client.Template], error) {
	owner, group, err := f.parties(who, in.Body.Owner, in.Body.Group)
	if err != nil {
		return nil, err
	}
	permissions, err := bits(in.Body.Permissions)
	if err != nil {
		return nil, err
	}
	return f.showTemplate(f.control.ChangeTemplate(ctx, who, in.Template, func(t *control.Template) error {
		if err := in.holds(t.Revision); err != nil {
			return err
		}
		t.Name = cmp.Or(in.Body.Name, t.Name)
		if owner != nil {
			t.Owner = *owner
		}
		if group != nil {
			t.Group = *group
		}
		if in.Body.Permissions != "" {
			t.Permissions = permissions
		}
		d := in.Body.Document
		if d.Format != "" && d.Format != t.Format {
			return &api.Problem{Status: http.StatusBadRequest, Detail: "body.format: the format of a template cannot change; it is " + t.Format}
		}
		if d.Source == "" && len(d.Spec) == 0 {
			return nil
		}
		d.Format = t.Format
		return f.setBody(who, t, &d)
	}))
}

func (f *face) removeTemplate(ctx context.Context, who *identity.Caller, in *OneTemplate) (*none, error) {
	return nil, f.control.RemoveTemplate(ctx, who, in.Template)
}
