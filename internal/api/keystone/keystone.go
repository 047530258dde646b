// Package keystone is the Keystone face: as much of OpenStack's identity API, v3 and v2.0, as clients call before they talk to
// Monasca, on Troupe's own users and projects. A project's id is its group's number, a user's id the user's number; there
// is one domain, Default. Tokens are sessions of [identity.Directory]; routes.go is the map.
package keystone

import (
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
)

// Options make a Keystone.
type Options struct {
	Control *control.Control
	// Monasca is the URL of the Monasca face, with its version: what the catalogue says.
	Monasca func(*http.Request) string
	// Services are the other services that the catalogue lists; nil for none.
	Services func(*http.Request) []Service
	// PublicURL is where clients reach this server; see api.BaseURL.
	PublicURL string
	Log       *slog.Logger // nil for none
}

// A Service is an entry of the catalogue. In its URL, $(tenant_id)s stands for the id of the project.
type Service struct{ Type, Name, URL string }

// services returns all that the catalogue of a project lists; identity is where this face is.
func (k *Keystone) services(r *http.Request, group int, identity string) []Service {
	list := []Service{{"monitoring", "monasca", k.Monasca(r)}, {"identity", "keystone", identity}}
	if k.Services != nil {
		list = append(list, k.Services(r)...)
	}
	for i := range list {
		list[i].URL = strings.ReplaceAll(list[i].URL, "$(tenant_id)s", strconv.Itoa(group))
	}
	return list
}

// A Keystone serves the API.
type Keystone struct {
	Options
	routes http.Handler
}

// New returns the face over a Control.
func New(o Options) *Keystone {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keystone{Options: o}
	k.routes = k.mux()
	return k
}

// Face returns the face under a prefix: "/keystone", or "" at the root of Keystone's own port.
func (k *Keystone) Face(prefix string) api.Face {
	return api.Face{Name: "keystone", Prefix: prefix, Errors: k.writeError, AnyScope: true, Public: public, Authenticate: api.ByToken,
		Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { k.serve(w, r, prefix) })}
}

// public are the versions, and logins, which bear their credentials in the body.
func public(r *http.Request) bool {
	at := path.Clean("/" + r.URL.Path)
	switch at {
	case "/", "/v3", "/v2.0":
		return true
	}
	return r.Method == http.MethodPost && (at == "/v3/auth/tokens" || at == "/v2.0/tokens")
}

// serve takes doubled and trailing slashes out of the path: version documents are asked for with and without.
func (k *Keystone) serve(w http.ResponseWriter, r *http.Request, prefix string) {
	inner := api.Tidied(r)
	ctx := control.WithOrigin(inner.Context(), control.Origin{Request: api.RequestID(r.Context()), Face: "keystone"})
	inner = inner.WithContext(withBase(ctx, api.BaseURL(r, k.PublicURL)+prefix))
	w.Header().Set("Vary", "X-Auth-Token")
	k.routes.ServeHTTP(w, inner)
	r.Pattern = inner.Pattern // the label of the metrics
}

// mux makes the table of routes a handler.
func (k *Keystone) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, route := range routes {
		mux.HandleFunc(route.method+" "+route.path, func(w http.ResponseWriter, r *http.Request) {
			if err := route.do(k, w, r); err != nil {
				k.writeError(w, r, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		k.writeError(w, r, &api.Problem{Status: http.StatusNotFound, Detail: "there is nothing at " + r.Method + " " + strings.ToValidUTF8(r.URL.Path, "?")})
	})
	return mux
}
