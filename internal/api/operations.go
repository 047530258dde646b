package api

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/troupe-dev/troupe/internal/identity"
)

// Operations puts the routes for whoever runs the server on mux: /healthz and /readyz for
// everybody, /metrics for administrators and their tokens with the metrics scope (or everybody,
// if the options open it), /debug/pprof/ for administrators on this host.
func (s *Server) Operations(mux *http.ServeMux) {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { writeState(w, http.StatusOK, "alive", "") })
	routes.HandleFunc("GET /readyz", s.readyz)
	metrics := promhttp.HandlerFor(s.opts.Metrics, promhttp.HandlerOpts{Registry: s.opts.Metrics})
	routes.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if c := Caller(r.Context()); !s.opts.OpenMetrics && !(c.Admin && c.Can(identity.ScopeMetrics)) {
			WriteError(w, r, &Problem{Status: http.StatusForbidden, Detail: `only administrators, and their tokens with the scope "metrics", may read the metrics`})
			return
		}
		metrics.ServeHTTP(w, r)
	})
	for path, h := range map[string]http.HandlerFunc{"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace} {
		routes.HandleFunc("GET /debug/pprof/"+path, forAdminsHere(h))
	}
	face := s.Face(Face{Name: "operations", AnyScope: true, Routes: routes, Challenge: `Basic realm="Troupe"`, Public: func(r *http.Request) bool {
		switch r.URL.Path {
		case "/healthz", "/readyz":
			return true
		case "/metrics":
			return s.opts.OpenMetrics
		}
		return false
	}})
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/debug/pprof/"} {
		mux.Handle("GET "+path, face)
	}
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	state, reason := "ready", ""
	if s.opts.Ready != nil {
		state, reason = s.opts.Ready()
	}
	status := http.StatusOK
	if state != "ready" {
		status = http.StatusServiceUnavailable
	}
	writeState(w, status, state, reason)
}

func writeState(w http.ResponseWriter, status int, state, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct {
		State  string `json:"state"`
		Reason string `json:"reason,omitempty"`
	}{state, reason})
}

func forAdminsHere(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c := Caller(r.Context()); !c.Administers() || !c.Source.IsLoopback() {
			WriteError(w, r, &Problem{Status: http.StatusForbidden, Detail: "profiles are for administrators on the server's own host"})
			return
		}
		h(w, r)
	}
}
