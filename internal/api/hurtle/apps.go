package hurtle

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/hurtle"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/occi"
)

// What the Cloud Controller looks like, in its third generation.
const (
	platformScheme             = "http://schemas.ogf.org/occi/platform#"
	actionScheme               = "http://schemas.ogf.org/occi/platform/app/action#"
	componentKind  occi.TypeID = platformScheme + "component"
	componentLink  occi.TypeID = platformScheme + "componentlink"
	actStart       occi.TypeID = actionScheme + "start"
	actStop        occi.TypeID = actionScheme + "stop"

	attrName  = "occi.app.name"
	attrImage = "occi.app.image"
	attrEnv   = "occi.app.env"
	attrState = "occi.app.state"
	attrURL   = "occi.app.url"
	attrScale = "occi.app.scale"

	maxAppName = 24
)

var cloudModel = occi.MustModel(
	occi.Category{ID: hurtle.AppKind, Class: occi.Kind, Title: "A PaaS application.", Parent: occi.CoreResource, Location: "/app/", Actions: []occi.TypeID{actStart, actStop},
		Attributes: []occi.AttributeDef{{Name: attrName, Required: true}, {Name: attrImage, Required: true}, {Name: attrEnv}, {Name: attrState, Immutable: true}}},
	occi.Category{ID: componentKind, Class: occi.Kind, Title: "An Service component.", Parent: occi.CoreResource, Location: "/component/"},
	occi.Category{ID: componentLink, Class: occi.Kind, Parent: occi.CoreLink, Location: "/componentlink/"},
	occi.Category{ID: actStart, Class: occi.Action},
	occi.Category{ID: actStop, Class: occi.Action},
)

// newCloud returns the Cloud Controller under a prefix.
func (h *Hurtle) newCloud(prefix string) *occi.Server {
	return occi.NewServer(occi.Options{Backend: apps{h}, Authenticate: h.operator, Hurtle: true, Check: occi.Unchecked, Version: "1.1", Prefix: prefix, Product: h.Product, Log: h.Log})
}

// operator reads who calls the Cloud Controller: a user by name and password, or this server itself in somebody's name. X-Tenant-Name
// says for which project, if not for the user's own.
func (h *Hurtle) operator(r *http.Request) (occi.Caller, error) {
	if who := hurtle.CallerOf(r.Context()); who != nil {
		return occi.Caller{Tenant: h.Control.Directory().GroupName(who.Group), Value: who}, nil
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return occi.Caller{}, occi.Unauthorized(`Basic realm="troupe"`, "Please provide authentication headers.")
	}
	who, err := api.Authenticate(r, identity.Credentials{User: user, Password: password})
	if tenant := r.Header.Get("X-Tenant-Name"); err == nil && tenant != "" {
		who, err = h.Control.InProject(who, tenant)
	}
	var throttled *identity.ThrottledError
	switch {
	case errors.As(err, &throttled):
		return occi.Caller{}, occi.Errorf(http.StatusTooManyRequests, "%w", err)
	case errors.Is(err, identity.ErrNoCredentials), errors.Is(err, identity.ErrBadCredentials), errors.Is(err, identity.ErrDenied):
		return occi.Caller{}, occi.Errorf(http.StatusBadRequest, "%w", err)
	case err != nil:
		return occi.Caller{}, err
	}
	return occi.Caller{Tenant: h.Control.Directory().GroupName(who.Group), Value: who}, nil
}

func operatorOf(ctx context.Context) *identity.Caller {
	return occi.CallerOf(ctx).Value.(*identity.Caller)
}

// apps are the programs of the Cloud Controller as OCCI has them.
type apps struct{ h *Hurtle }

// Model implements [occi.Backend].
func (b apps) Model(context.Context) (*occi.Model, error) { return cloudModel, nil }

// List implements [occi.Backend].
func (b apps) List(ctx context.Context, _ occi.Selection) iter.Seq2[*occi.Entity, error] {
	return func(yield func(*occi.Entity, error) bool) {
		for _, app := range b.h.Control.Apps(operatorOf(ctx)) {
			if !yield(entityOf(&app), nil) {
				return
			}
		}
	}
}

func appName(path string) (string, bool) {
	name, ok := strings.CutPrefix(path, "/app/")
	return name, ok && name != "" && !strings.Contains(name, "/")
}

// Get implements [occi.Backend].
func (b apps) Get(ctx context.Context, path string) (*occi.Entity, error) {
	name, ok := appName(path)
	if !ok {
		return nil, occi.NotFound(path)
	}
	app, err := b.h.Control.App(operatorOf(ctx), name)
	if errors.Is(err, identity.ErrNotFound) {
		return nil, occi.NotFound(path)
	}
	if err != nil {
		return nil, translated(err)
	}
	return entityOf(&app), nil
}

func entityOf(app *control.App) *occi.Entity {
	e := &occi.Entity{Path: "/app/" + app.Name, ID: app.Name, Kind: hurtle.AppKind, Attributes: occi.Attributes{
		{Name: attrName, Value: app.Name}, {Name: attrImage, Value: app.Image}, {Name: attrEnv, Value: joinEnv(app.Env)}, {Name: attrScale, Value: "False"}, {Name: attrState, Value: "inactive"}}}
	if app.Active {
		e.Attributes.Set(attrState, "active")
	}
	if app.Address != "" {
		e.Attributes.Set(attrURL, app.Address)
	}
	return e
}

// Create implements [occi.Backend].
func (b apps) Create(ctx context.Context, e *occi.Entity) (*occi.Entity, error) {
	if e.Kind != hurtle.AppKind {
		return nil, occi.Errorf(http.StatusBadRequest, "Only %s can be made here: this Cloud Controller has no components.", hurtle.AppKind)
	}
	app := control.App{Name: e.Attributes.Text(attrName), Image: e.Attributes.Text(attrImage)}
	switch {
	case e.Path != "":
		return nil, occi.Errorf(http.StatusBadRequest, "An app is made by a POST to /app/; %s becomes its id.", attrName)
	case app.Name == "":
		return nil, occi.Errorf(http.StatusBadRequest, "occi.app.name is a required attribute")
	case app.Image == "":
		return nil, occi.Errorf(http.StatusBadRequest, "Please provide a valid docker image name.")
	case len(app.Name) > maxAppName:
		return nil, occi.Errorf(http.StatusBadRequest, "occi.app.name must not be greater than 24 characters")
	}
	var err error
	if app.Env, err = splitEnv(e.Attributes.Text(attrEnv)); err != nil {
		return nil, err
	}
	own := map[string]string{"DC_NAME": app.Name, "CC_ADMIN_URL": b.h.AdminURL}
	if err := b.h.Control.StartApp(ctx, operatorOf(ctx), app, own); err != nil {
		return nil, translated(err)
	}
	return &occi.Entity{Path: "/app/" + app.Name, Kind: hurtle.AppKind}, nil
}

// splitEnv reads NAME=value pairs with "::" between them.
func splitEnv(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	env := make(map[string]string)
	for pair := range strings.SplitSeq(text, "::") {
		name, value, ok := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, occi.Errorf(http.StatusBadRequest, "occi.app.env: %.100q is not of the form NAME=value; write several with :: between them", pair)
		}
		env[name] = value
	}
	return env, nil
}

func joinEnv(env map[string]string) string {
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return strings.Join(list, "::")
}

// Update implements [occi.Backend]: apps do not change.
func (b apps) Update(context.Context, string, occi.Change) (*occi.Entity, error) {
	return nil, occi.Errorf(http.StatusNotImplemented, "An app cannot be changed; delete it and make another.")
}

// Delete implements [occi.Backend].
func (b apps) Delete(ctx context.Context, path string) error {
	name, ok := appName(path)
	if !ok {
		return occi.NotFound(path)
	}
	err := b.h.Control.StopApp(ctx, operatorOf(ctx), name)
	if errors.Is(err, identity.ErrNotFound) {
		return occi.NotFound(path)
	}
	return translated(err)
}

// Act implements [occi.Backend]: apps of this generation show no actions.
func (b apps) Act(context.Context, string, occi.Invocation) (*occi.Entity, error) {
	return nil, occi.Errorf(http.StatusBadRequest, "Not applicable atm.")
}
