// Package occopus is the Occopus face: the REST API of occopus-rest-service on Troupe's services. An infrastructure is a
// service that was made from an infrastructure description; its id is the service's alias, or its number where it has none.
// Requests are decoded, passed to [control.Control] and answered in Occopus' shapes; routes.go is the map.
package occopus

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
)

// Options make an Occopus.
type Options struct {
	Control *control.Control
	Settings
	Log *slog.Logger // nil for none
}

// Settings say how the face differs from its defaults.
type Settings struct {
	// StatusCodes answers errors with HTTP statuses that say what they are, instead of 200.
	StatusCodes bool
	// Simulate has all machines made by the driver sim, which shows what others would have been asked for.
	Simulate bool
	// AtATime bounds how many instances of an infrastructure are made or removed at a time; 0 for no bound.
	AtATime int
}

// An Occopus serves the API.
type Occopus struct {
	Options
	routes http.Handler
}

// New returns the face over a Control.
func New(o Options) *Occopus {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Occopus{Options: o}
	f.routes = f.mux()
	return f
}

// Face returns the face under a prefix: "/occopus", or "" at the root of Occopus' own port. No answer lets pages of
// other sites read it.
func (f *Occopus) Face(prefix string) api.Face {
	serve := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == strings.TrimSuffix(list, "/") {
			w.Header().Set("Location", prefix+list)
			writeJSON(w, http.StatusPermanentRedirect, failure{http.StatusPermanentRedirect, "Permanent Redirect", "the list is at " + prefix + list})
			return
		}
		inner := r.WithContext(control.WithOrigin(r.Context(), control.Origin{Request: api.RequestID(r.Context()), Face: "occopus"}))
		f.routes.ServeHTTP(w, inner)
		r.Pattern = inner.Pattern // the label of the metrics
	}
	return api.Face{Name: "occopus", Prefix: prefix, Routes: http.HandlerFunc(serve), Errors: f.writeError, Challenge: `Basic realm="troupe"`}
}

// mux makes the table of routes a handler. Other methods on a path of the table are not allowed; any other path is not there.
func (f *Occopus) mux() *http.ServeMux {
	mux := http.NewServeMux()
	methods := make(map[string][]string) // by path
	for _, route := range routes {
		mux.Handle(route.method+" "+route.path, f.handler(route.do))
		methods[route.path] = append(methods[route.path], route.method)
	}
	for path, allowed := range methods {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			f.writeError(w, r, &api.Problem{Status: http.StatusMethodNotAllowed, Detail: r.Method + " is not supported here; use " + strings.Join(allowed, " or ")})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { f.writeError(w, r, nothingAt(r)) })
	return mux
}

func nothingAt(r *http.Request) error {
	return &api.Problem{Status: http.StatusNotFound, Detail: "there is nothing at " + strings.ToValidUTF8(r.URL.Path, "?")}
}

// handler lets do answer a request, and words its error.
func (f *Occopus) handler(do func(*Occopus, *request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := do(f, &request{Request: r, writer: w, who: api.Caller(r.Context())})
		if err != nil {
			f.writeError(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	})
}
