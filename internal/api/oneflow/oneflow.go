// Package oneflow is the OneFlow face: the REST API of OpenNebula's service manager, in the dialects
// of all its generations, on Troupe's services and templates. Requests are decoded, passed to
// [control.Control] and answered in OneFlow's shapes; routes.go is the map.
package oneflow

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
)

// Options make a OneFlow.
type Options struct {
	Control  *control.Control
	Settings format.Settings // of oneflow-server.conf
	Log      *slog.Logger    // nil for none
	// BareErrors sends the bare text of an error instead of {"error":{"message":…}}.
	BareErrors bool
	// Reference answers 500 where OpenNebula's own server does: refused commands, actions that
	// cannot be read, changes of what is immutable, and ids of the other kind of document.
	Reference bool
	// NewForm shows every body in the new generation's keys (template_id, user_inputs), as
	// OpenNebula 7 does, and not in those that its client sent.
	NewForm bool
}

// A OneFlow serves the API. Stop it when its listeners have stopped.
type OneFlow struct {
	Options
	routes http.Handler

	background context.Context // of what outlives its request
	cancel     context.CancelFunc
	running    sync.WaitGroup
}

// New returns the face over a Control.
func New(o Options) *OneFlow {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &OneFlow{Options: o}
	f.background, f.cancel = context.WithCancel(context.Background())
	f.routes = f.mux()
	return f
}

// Stop ends what runs in the background and waits for it.
func (f *OneFlow) Stop() {
	f.cancel()
	f.running.Wait()
}

// Face returns the face under a prefix: "/oneflow", or "" at the root of OneFlow's own port. Nothing
// is public, and a 401 carries no challenge (specification, section 1).
func (f *OneFlow) Face(prefix string) api.Face {
	return api.Face{Name: "oneflow", Prefix: prefix, Routes: http.HandlerFunc(f.serve), Errors: f.writeError}
}

// serve takes doubled and trailing slashes out of the path: clients send both.
func (f *OneFlow) serve(w http.ResponseWriter, r *http.Request) {
	inner := api.Tidied(r)
	inner = inner.WithContext(control.WithOrigin(inner.Context(), control.Origin{Request: api.RequestID(r.Context()), Face: "oneflow"}))
	f.routes.ServeHTTP(w, inner)
	r.Pattern = inner.Pattern // the label of the metrics
}

// mux makes the table of routes a handler. A path of the table with another verb is not implemented;
// any other path is not there.
func (f *OneFlow) mux() *http.ServeMux {
	mux := http.NewServeMux()
	paths := make(map[string]bool)
	for _, route := range routes {
		mux.Handle(route.method+" "+route.path, f.handler(route.do))
		paths[route.path] = true
	}
	for p := range paths {
		mux.HandleFunc(p, func(w http.ResponseWriter, r *http.Request) {
			f.writeError(w, r, &api.Problem{Status: http.StatusNotImplemented, Detail: r.Method + " is not supported here"})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		f.writeError(w, r, &api.Problem{Status: http.StatusNotFound, Detail: "there is nothing at " + strings.ToValidUTF8(r.URL.Path, "?")})
	})
	return mux
}

// handler lets do answer a request, and words its error.
func (f *OneFlow) handler(do func(*OneFlow, *request) (answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := do(f, &request{Request: r, who: api.Caller(r.Context())})
		if err != nil {
			f.writeError(w, r, err)
			return
		}
		a.write(w)
	})
}
