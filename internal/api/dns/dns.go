// Package dns is the DNS face: the interface by which Hurtle's orchestrators and their SDK write domains, records and maps by
// client, on the zones of the caller's project. Requests bear JSON bodies, GET and DELETE too. Requests are decoded, passed to
// [control.Control] and answered in the shapes that those clients expect; routes.go is the map.
package dns

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
)

// Options make a face.
type Options struct {
	Control *control.Control
	Log     *slog.Logger // nil for none
}

// A DNS serves the interface.
type DNS struct {
	Options
	routes http.Handler
}

// New returns the face over a Control.
func New(o Options) *DNS {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &DNS{Options: o}
	d.routes = d.mux()
	return d
}

// Face returns the face under a prefix: "/dns", or "" at the root of a listener of its own.
func (d *DNS) Face(prefix string) api.Face {
	return api.Face{Name: "dns", Prefix: prefix, Errors: d.writeError, Authenticate: api.ByToken,
		Public: func(r *http.Request) bool { return path.Clean("/"+r.URL.Path) == "/" },
		Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner := r.WithContext(control.WithOrigin(r.Context(), control.Origin{Request: api.RequestID(r.Context()), Face: "dns"}))
			d.routes.ServeHTTP(w, inner)
			r.Pattern = inner.Pattern // the label of the metrics
		})}
}

// mux makes the table of routes a handler.
func (d *DNS) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, route := range routes {
		mux.HandleFunc(route.method+" "+route.path, func(w http.ResponseWriter, r *http.Request) {
			in, err := read(r)
			var out any = success
			if err == nil {
				out, err = route.do(d, r.Context(), api.Caller(r.Context()), in)
			}
			if err != nil {
				d.writeError(w, r, err)
				return
			}
			writeJSON(w, http.StatusOK, out)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d.writeError(w, r, &api.Problem{Status: http.StatusNotFound, Detail: "there is nothing at " + r.Method + " " + strings.ToValidUTF8(r.URL.Path, "?")})
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // texts and numbers always encode
		panic(fmt.Sprintf("dns: an answer cannot be encoded: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a lost client has nobody to tell
}
