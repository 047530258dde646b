// Package hurtle is the face of Hurtle: service managers, each with a root and a query interface of its own at sm/<term>, and the Cloud
// Controller at cc. Both speak OCCI through package occi; what is behind them is control's.
package hurtle

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/hurtle"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/manager"
	"github.com/troupe-dev/troupe/occi"
)

// Options make a Hurtle.
type Options struct {
	Control *control.Control
	// AdminURL is where the Cloud Controller's admin side is, for the programs that it holds; "" for nowhere.
	AdminURL string
	Product  string       // "troupe/1.2"
	Log      *slog.Logger // nil for none
}

// A Hurtle serves the face.
type Hurtle struct {
	Options
	cloud *occi.Server

	mu       sync.Mutex
	managers map[string]served // by prefix and term
}

// served is a manager as it is served, as long as it is that manager.
type served struct {
	manager *hurtle.Manager
	server  *occi.Server
}

// New returns the face over a Control.
func New(o Options) *Hurtle {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hurtle{Options: o, managers: make(map[string]served)}
	h.cloud = h.newCloud("/hurtle/cc")
	return h
}

// Cloud returns the Cloud Controller for requests that this server makes itself; see hurtle.CallerOf.
func (h *Hurtle) Cloud() http.Handler { return h.cloud }

// Face returns all of the face under a prefix: "/hurtle".
func (h *Hurtle) Face(prefix string) api.Face {
	cloud := h.newCloud(prefix + "/cc")
	return h.face(prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		switch part {
		case "cc":
			r.Pattern = prefix + "/cc"
			serveAt(cloud, w, r, rest)
			return
		case "sm":
			r.Pattern = prefix + "/sm"
			term, rest, _ := strings.Cut(rest, "/")
			h.serveManager(w, r, prefix+"/sm/"+term, term, rest)
			return
		}
		h.refuse(w, r, occi.Errorf(http.StatusNotFound, "There is nothing at %s. Service managers are at %s/sm/TERM, the Cloud Controller at %s/cc.", r.URL.Path, prefix, prefix))
	}))
}

// CloudFace returns the Cloud Controller at the root of a listener.
func (h *Hurtle) CloudFace() api.Face {
	cloud := h.newCloud("")
	return h.face("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Pattern = "/cc"
		cloud.ServeHTTP(w, r)
	}))
}

// ManagerFace returns one service manager at the root of a listener: that of the term, or without one the nth that was added, from 0.
func (h *Hurtle) ManagerFace(term string, nth int) api.Face {
	return h.face("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Pattern = "/sm"
		name := term
		if list := h.Control.ServiceManagers(); name == "" && nth < len(list) {
			name = list[nth].Term()
		}
		h.serveManager(w, r, "", name, strings.TrimPrefix(r.URL.Path, "/"))
	}))
}

// face wraps routes that authenticate by themselves, in OCCI's words.
func (h *Hurtle) face(prefix string, routes http.Handler) api.Face {
	return api.Face{Name: "hurtle", Prefix: prefix, Errors: h.refuse, AnyScope: true, Public: func(*http.Request) bool { return true },
		Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner := r.WithContext(control.WithOrigin(r.Context(), control.Origin{Request: api.RequestID(r.Context()), Face: "hurtle"}))
			routes.ServeHTTP(w, inner)
			r.Pattern = inner.Pattern // the label of the metrics
		})}
}

// refuse answers with an error as text.
func (h *Hurtle) refuse(w http.ResponseWriter, r *http.Request, err error) {
	h.cloud.WriteError(w, r, translated(err))
}

// serveAt serves the path below a prefix that was cut off.
func serveAt(s http.Handler, w http.ResponseWriter, r *http.Request, rest string) {
	inner := new(http.Request)
	*inner = *r
	u := *r.URL
	u.Path, u.RawPath = "/"+rest, ""
	inner.URL = &u
	s.ServeHTTP(w, inner)
}

// serveManager serves a manager, at whatever place.
func (h *Hurtle) serveManager(w http.ResponseWriter, r *http.Request, prefix, term, rest string) {
	m, err := h.Control.ServiceManager(term)
	if err != nil {
		h.refuse(w, r, occi.Errorf(http.StatusNotFound, "There is no service manager here%s; an administrator adds one with `troupe manager add`.", named(term)))
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(patience(m)) // without it a slow orchestrator's answer is cut off
	serveAt(h.serverOf(m, prefix), w, r, rest)
}

func named(term string) string {
	if term == "" {
		return ""
	}
	return " of the term " + term
}

// serverOf returns the server of a manager under a prefix, a new one when the manager has changed.
func (h *Hurtle) serverOf(m *hurtle.Manager, prefix string) *occi.Server {
	key := prefix + " " + m.Term()
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.managers[key]; s.manager == m {
		return s.server
	}
	s := served{m, occi.NewServer(occi.Options{Backend: &instances{h, m}, Authenticate: h.tenant, Hurtle: true, Check: occi.Unchecked, Version: "1.1", Prefix: prefix, Product: h.Product, Log: h.Log})}
	h.managers[key] = s
	return s.server
}

// A visitor is who makes a request.
type visitor struct {
	who       *identity.Caller
	token     string // to be passed on
	tombstone bool   // what is being deleted is wanted, too
}

// tenant reads the headers that every request to a manager bears.
func (h *Hurtle) tenant(r *http.Request) (occi.Caller, error) {
	token, tenant := r.Header.Get("X-Auth-Token"), r.Header.Get("X-Tenant-Name")
	switch {
	case token == "":
		return occi.Caller{}, occi.Errorf(http.StatusBadRequest, "X-Auth-Token required...")
	case tenant == "":
		return occi.Caller{}, occi.Errorf(http.StatusBadRequest, "X-Tenant-Name required...")
	}
	who, err := api.Authenticate(r, identity.Credentials{Token: token})
	if err == nil {
		who, err = h.Control.InProject(who, tenant)
	}
	var throttled *identity.ThrottledError
	switch {
	case errors.As(err, &throttled):
		return occi.Caller{}, occi.Errorf(http.StatusTooManyRequests, "%w", err)
	case errors.Is(err, identity.ErrDenied):
		return occi.Caller{}, occi.Unauthorized(challenge, "The token is not good for the tenant "+tenant+".")
	case err != nil:
		return occi.Caller{}, occi.Unauthorized(challenge, "The token is not valid.")
	case !who.Can(identity.ScopeRead):
		return occi.Caller{}, occi.Errorf(http.StatusForbidden, "The token is not good for this: it lacks the scope read.")
	}
	return occi.Caller{Tenant: tenant, Value: &visitor{who, token, r.URL.Query().Get("tombstone") == "1"}}, nil
}

const challenge = `Keystone uri="/keystone/v3"`

// translated gives an error of control the status that Hurtle's clients expect.
func translated(err error) error {
	var own *occi.Error
	var upstream *hurtle.UpstreamError
	var refusal *manager.Refusal
	switch {
	case err == nil || errors.As(err, &own):
		return err
	case errors.As(err, &upstream):
		if upstream.Unreachable {
			return &occi.Error{Status: http.StatusServiceUnavailable, Message: upstream.Message, Header: http.Header{"Retry-After": {"1"}}, Err: err}
		}
		return &occi.Error{Status: http.StatusBadGateway, Message: upstream.Message, Err: err}
	case errors.As(err, &refusal):
		return &occi.Error{Status: http.StatusBadRequest, Message: refusal.Message, Err: err}
	}
	switch control.ClassOf(err) {
	case control.Unanswered, control.Paused, control.Down:
		return &occi.Error{Status: http.StatusServiceUnavailable, Message: err.Error(), Header: http.Header{"Retry-After": {"1"}}, Err: err}
	case control.Taken:
		return &occi.Error{Status: http.StatusConflict, Message: err.Error(), Err: err}
	case control.NotNow, control.Wrong:
		return &occi.Error{Status: http.StatusBadRequest, Message: err.Error(), Err: err}
	case control.Missing:
		return &occi.Error{Status: http.StatusNotFound, Message: err.Error(), Err: err}
	}
	if p := api.ProblemOf(err); p.Status != http.StatusInternalServerError {
		return &occi.Error{Status: p.Status, Message: cmp.Or(p.Detail, p.Error()), Err: err}
	}
	return err
}

// sorted returns attributes in the order of their names, as the original shows them in none that means anything.
func sorted(a occi.Attributes) occi.Attributes {
	slices.SortStableFunc(a, func(x, y occi.Attribute) int { return cmp.Compare(x.Name, y.Name) })
	return a
}
