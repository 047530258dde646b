// Package monasca is the Monasca face: the REST API v2.0 of OpenStack's monitoring service, on Troupe's metrics, alarms
// and notification methods. Requests are decoded, passed to [control.Control] and answered in Monasca's shapes; routes.go is the map.
package monasca

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
)

// Options make a Monasca.
type Options struct {
	Control *control.Control
	// Profile is when the definitions that come through this face decide; "" for alarm.Fast.
	Profile alarm.Profile
	// Extended takes Troupe's expressions (periods below a minute, rate, percentiles, absent), not Monasca's alone.
	Extended bool
	// KeystoneURL is where a client without a good token gets one; nil for nowhere.
	KeystoneURL func(*http.Request) string
	// PublicURL is where clients reach this server; what they are sent back has its scheme, if it is they who called it so.
	PublicURL string
	// Guests says who shows a token that is not Troupe's; nil knows nobody.
	Guests func(ctx context.Context, token string, source netip.Addr) (*identity.Caller, error)
	Log    *slog.Logger // nil for none
}

// A Monasca serves the API.
type Monasca struct {
	Options
	routes http.Handler
}

// New returns the face over a Control.
func New(o Options) *Monasca {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &Monasca{Options: o}
	m.routes = m.mux()
	return m
}

// Face returns the face under a prefix: "/monasca", or "" at the root of Monasca's own port.
func (m *Monasca) Face(prefix string) api.Face {
	return api.Face{Name: "monasca", Prefix: prefix, Errors: m.writeError, AnyScope: true,
		Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, prefix) }),
		Public: func(r *http.Request) bool { return strings.TrimRight(r.URL.Path, "/") == "/healthcheck" },
		Authenticate: func(r *http.Request) (*identity.Caller, error) {
			token := r.Header.Get("X-Auth-Token")
			switch {
			case token == "":
				return nil, nil
			case m.Guests == nil || identity.Issued(token):
				return api.Authenticate(r, identity.Credentials{Token: token})
			}
			return m.guest(r, token)
		}}
}

// guest says who shows a token of another identity service.
func (m *Monasca) guest(r *http.Request, token string) (*identity.Caller, error) {
	who, err := m.Guests(r.Context(), token, api.Source(r.Context()))
	if err != nil && !errors.Is(err, identity.ErrBadCredentials) {
		m.Log.Warn("a token cannot be validated", "request", api.RequestID(r.Context()), "error", err)
		return nil, &api.Problem{Status: http.StatusServiceUnavailable, Detail: "Keystone cannot be asked at present"}
	}
	return who, err
}

// serve takes doubled and trailing slashes out of the path: the client sends "state-history/?…".
func (m *Monasca) serve(w http.ResponseWriter, r *http.Request, prefix string) {
	inner := api.Tidied(r)
	ctx := control.WithOrigin(inner.Context(), control.Origin{Request: api.RequestID(r.Context()), Face: "monasca"})
	inner = inner.WithContext(withBase(ctx, api.BaseURL(r, m.PublicURL)+prefix))
	w.Header().Set("X-Openstack-Request-Id", requestID(api.RequestID(r.Context())))
	m.routes.ServeHTTP(w, inner)
	r.Pattern = inner.Pattern // the label of the metrics
}

// mux makes the table of routes a handler.
func (m *Monasca) mux() *http.ServeMux {
	mux := http.NewServeMux()
	paths := make(map[string][]string)
	for _, route := range routes {
		mux.Handle(route.method+" "+route.path, m.handler(route))
		paths[route.path] = append(paths[route.path], route.method)
	}
	for p, methods := range paths {
		refuse := func(w http.ResponseWriter, r *http.Request) {
			if p == "/v2.0/alarm-definitions" { // upstream says so of a change without an id
				m.writeError(w, r, &fault{http.StatusBadRequest, badRequest, "Alarm definition ID not provided"})
				return
			}
			w.Header().Set("Allow", strings.Join(methods, ", "))
			m.writeError(w, r, &fault{http.StatusMethodNotAllowed, "405 Method Not Allowed", ""})
		}
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			if !slices.Contains(methods, method) {
				mux.HandleFunc(method+" "+p, refuse)
			}
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		m.writeError(w, r, &fault{http.StatusNotFound, notFound, ""})
	})
	return mux
}

// handler lets a route answer those whose role it takes, and words its error.
func (m *Monasca) handler(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := &request{Request: hr, who: api.Caller(hr.Context())}
		if r.who != nil && !route.role.held(r.who) {
			m.writeError(w, hr, forbidden())
			return
		}
		a, err := route.do(m, r)
		if err != nil {
			m.writeError(w, hr, err)
			return
		}
		a.write(w)
	})
}
