// Package onegate is the OneGate face: what machines call to tell of themselves and to ask about their service, in the
// words of OpenNebula's OneGate. A machine shows the token that it was made with, and acts with its owner's rights on its
// own service alone. routes.go is the map.
package onegate

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/api/oneflow"
	"github.com/troupe-dev/troupe/internal/control"
)

// Options make a OneGate.
type Options struct {
	Control *control.Control
	OneFlow *oneflow.OneFlow // shows machines and services
	// URL is where machines find this face, for GET /; "" for where the request came to.
	URL string
	Settings
	Log *slog.Logger // nil for none
}

// Settings say what machines may not do.
type Settings struct {
	// Protected are the attributes that no machine may set or delete; nil for DefaultProtected.
	Protected []string
	// Restricted are the actions that no machine may perform; nil for DefaultRestricted.
	Restricted []string
	// Off are operations that are switched off: some of Operations.
	Off []string
}

// Defaults of Settings, as OpenNebula's server has them.
var (
	DefaultProtected  = []string{"SCHED_REQUIREMENTS", "SERVICE_ID", "ROLE_NAME"}
	DefaultRestricted = []string{"reboot"}
)

// A OneGate serves the API.
type OneGate struct {
	Options
	routes http.Handler
}

// New returns the face over a Control.
func New(o Options) *OneGate {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Protected == nil {
		o.Protected = DefaultProtected
	}
	if o.Restricted == nil {
		o.Restricted = DefaultRestricted
	}
	g := &OneGate{Options: o}
	g.routes = g.mux()
	return g
}

// Face returns the face under a prefix: "/onegate", or "" at the root of OneGate's own port. It knows machines, not
// users, and so asks for its own credentials: clients send a Basic header that means nothing.
func (g *OneGate) Face(prefix string) api.Face {
	serve := func(w http.ResponseWriter, r *http.Request) {
		ctx := control.WithOrigin(r.Context(), control.Origin{Request: api.RequestID(r.Context()), Face: "onegate"})
		inner := r.WithContext(context.WithValue(ctx, prefixKey{}, prefix))
		g.routes.ServeHTTP(w, inner)
		r.Pattern = inner.Pattern // the label of the metrics
	}
	return api.Face{Name: "onegate", Prefix: prefix, Routes: http.HandlerFunc(serve), Errors: g.writeError, Public: func(*http.Request) bool { return true }}
}

type prefixKey struct{}

// mux makes the table of routes a handler. Whatever else is asked for, this server does not support.
func (g *OneGate) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, route := range routes {
		mux.HandleFunc(route.method+" "+route.path, func(w http.ResponseWriter, r *http.Request) {
			a, err := g.answer(&request{Request: r}, &route)
			if err != nil {
				g.writeError(w, r, err)
				return
			}
			a.write(w)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		g.writeError(w, r, refuse(http.StatusBadRequest, "OneGate server doesn't support this feature"))
	})
	return mux
}

// answer lets a route answer a machine.
func (g *OneGate) answer(r *request, route *route) (answer, error) {
	vm := r.Header.Get("X-ONEGATE-VMID")
	if vm == "" && r.Pattern == ofOld {
		vm = r.PathValue("vm")
	}
	var err error
	if r.me, err = g.Control.AuthenticateInstance(vm, r.Header.Get("X-ONEGATE-TOKEN")); err != nil {
		return answer{}, refuse(http.StatusUnauthorized, "Not authorized")
	}
	if route.operation != "" && slices.Contains(g.Off, route.operation) {
		what, action, _ := strings.Cut(route.operation, ".")
		return answer{}, refuse(http.StatusForbidden, "Operation (%s) is not allowed on %s", action, what)
	}
	return route.do(g, r)
}
