// Package heat is the Heat face: OpenStack's orchestration API (version 1) on Troupe's services. A stack is a service that was
// made from a Heat template. Its name is the service's alias, unique in the project; its id follows from the service's.
// Requests are decoded, passed to [control.Control] and answered in Heat's shapes; routes.go is the map.
package heat

import (
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
)

// Options make a Heat.
type Options struct {
	Control   *control.Control
	PublicURL string // how clients call the face; "" for how each one did
	// KeystoneURL is where a client without a good token gets one; nil for nowhere.
	KeystoneURL func(*http.Request) string
	// Driver and Account make the servers whose image no machine definition stands for, and the resources.
	Driver, Account string
	Log             *slog.Logger // nil for none
}

// A Heat serves the API.
type Heat struct {
	Options
	routes http.Handler
}

// New returns the face over a Control.
func New(o Options) *Heat {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Heat{Options: o}
	h.routes = h.mux()
	return h
}

// Face returns the face under a prefix: "/heat", or "" at the root of Heat's own port.
func (h *Heat) Face(prefix string) api.Face {
	return api.Face{Name: "heat", Prefix: prefix, Errors: h.writeError, Public: public, Authenticate: api.ByToken,
		Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, prefix) })}
}

// public are the versions.
func public(r *http.Request) bool { return path.Clean("/"+r.URL.Path) == "/" }

// serve takes doubled and trailing slashes out of the path.
func (h *Heat) serve(w http.ResponseWriter, r *http.Request, prefix string) {
	inner := api.Tidied(r)
	ctx := control.WithOrigin(inner.Context(), control.Origin{Request: api.RequestID(r.Context()), Face: "heat"})
	inner = inner.WithContext(withBase(ctx, api.BaseURL(r, h.PublicURL)+prefix))
	w.Header().Set("Vary", "X-Auth-Token")
	h.routes.ServeHTTP(w, inner)
	r.Pattern = inner.Pattern // the label of the metrics
}

// mux makes the table of routes a handler.
func (h *Heat) mux() *http.ServeMux {
	mux := http.NewServeMux()
	methods := make(map[string][]string) // by path
	for _, route := range routes {
		mux.HandleFunc(route.method+" "+route.path, func(w http.ResponseWriter, hr *http.Request) {
			r := &request{Request: hr, writer: w, who: api.Caller(hr.Context())}
			err := h.admit(r)
			if err == nil {
				err = route.do(h, r)
			}
			if err != nil {
				h.writeError(w, hr, err)
			}
		})
		methods[route.path] = append(methods[route.path], route.method)
	}
	for at, allowed := range methods {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			if !slices.Contains(allowed, method) {
				mux.HandleFunc(method+" "+at, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Allow", strings.Join(allowed, ", "))
					h.writeError(w, r, &api.Problem{Status: http.StatusMethodNotAllowed, Detail: r.Method + " is not supported here; use " + strings.Join(allowed, " or ")})
				})
			}
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.writeError(w, r, &api.Problem{Status: http.StatusNotFound, Detail: "there is nothing at " + r.Method + " " + strings.ToValidUTF8(r.URL.Path, "?")})
	})
	return mux
}

// admit refuses a path that names another project than the caller's.
func (h *Heat) admit(r *request) error {
	tenant := r.PathValue("tenant")
	if r.who == nil || tenant == "" || tenant == r.project() || tenant == h.Control.Directory().GroupName(r.who.Group) {
		return nil
	}
	return &api.Problem{Status: http.StatusForbidden, Detail: "the token is not good for the project " + tenant}
}
