package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
)

// A Face is one API: its routes, and how it authenticates and words errors.
type Face struct {
	// Name stands in metrics, logs and audit records: "native", "oneflow", …
	Name string
	// Prefix is cut from the path before the routes see it: "/oneflow". The same face may be
	// served with its prefix on one listener and without on another.
	Prefix string
	// Routes is usually an http.ServeMux; its patterns are the labels of the metrics.
	Routes http.Handler
	// Errors writes an error in the shape that the face's clients expect. nil means WriteError.
	Errors func(w http.ResponseWriter, r *http.Request, err error)
	// Challenge is the WWW-Authenticate header of a 401; "" for none. It is not sent to scripts
	// in browsers (Fetch), which would open the browser's own password window.
	Challenge string
	// Public reports requests that are served without credentials; Caller is nil then. It sees
	// the path without prefix. nil means none.
	Public func(r *http.Request) bool
	// Authenticate says who made a request by headers of the face's own. Without a caller and without an error, Authorization is
	// looked at; so it is when Authenticate is nil. Its errors are those of [Authenticate].
	Authenticate func(r *http.Request) (*identity.Caller, error)
	// AnyScope leaves it to the routes what a token must be good for; otherwise it must at least read.
	AnyScope bool
}

// Face returns the handler of a face: it authenticates and then lets its routes answer.
func (s *Server) Face(f Face) http.Handler {
	face := &f
	if face.Errors == nil {
		face.Errors = WriteError
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := requestOf(r.Context())
		req.face = face
		if face.Prefix != "" {
			r = cutPrefix(r, face.Prefix)
		}
		if face.Public == nil || !face.Public(r) {
			caller, err := s.callerOf(face, r, req)
			if err != nil {
				p := loginProblem(s, w, r, err)
				if p.Status == http.StatusUnauthorized && face.Challenge != "" && r.Header.Get("Sec-Fetch-Mode") != "cors" {
					w.Header().Set("WWW-Authenticate", face.Challenge)
				}
				face.Errors(w, r, p)
				return
			}
			if !face.AnyScope && !caller.Can(identity.ScopeRead) {
				face.Errors(w, r, &Problem{Status: http.StatusForbidden, Detail: "the token is not good for this: it lacks the scope read", cause: identity.ErrDenied})
				return
			}
			req.caller = caller
		}
		defer func() { req.route = r.Pattern }()
		face.Routes.ServeHTTP(w, r)
	})
}

// cutPrefix returns r with the prefix cut from its path.
func cutPrefix(r *http.Request, prefix string) *http.Request {
	cut := new(http.Request)
	*cut = *r
	u := *r.URL
	cut.URL = &u
	cut.Pattern = ""
	u.Path = strings.TrimPrefix(u.Path, prefix)
	u.RawPath = strings.TrimPrefix(u.RawPath, prefix)
	if u.Path == "" {
		u.Path = "/"
	}
	return cut
}

// authenticate reads the Authorization header: Basic or Bearer.
func (s *Server) authenticate(r *http.Request, req *request) (*identity.Caller, error) {
	c := identity.Credentials{Source: req.source}
	header := r.Header.Get("Authorization")
	if header == "" && req.guest != nil {
		return req.guest()
	}
	if scheme, token, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "Bearer") {
		c.Token = strings.TrimSpace(token)
	} else if user, password, ok := r.BasicAuth(); ok {
		c.User, c.Password = user, password
	} else if header != "" {
		return nil, &Problem{Status: http.StatusUnauthorized, Detail: "the Authorization header is neither Basic nor Bearer", cause: identity.ErrNoCredentials}
	}
	return s.opts.Auth.Authenticate(r.Context(), c)
}

// callerOf says who made a request to the face.
func (s *Server) callerOf(face *Face, r *http.Request, req *request) (*identity.Caller, error) {
	if face.Authenticate != nil {
		if caller, err := face.Authenticate(r); caller != nil || err != nil {
			return caller, err
		}
	}
	return s.authenticate(r, req)
}

// Authenticate says who shows credentials within a request, for faces that are shown them elsewhere than in Authorization. Failures
// are counted against where the request comes from.
func Authenticate(r *http.Request, c identity.Credentials) (*identity.Caller, error) {
	req := requestOf(r.Context())
	c.Source = req.source
	return req.server.opts.Auth.Authenticate(r.Context(), c)
}

// Source returns where the request that ctx belongs to comes from.
func Source(ctx context.Context) netip.Addr {
	if r := requestOf(ctx); r != nil {
		return r.source
	}
	return netip.Addr{}
}

// LoginProblem returns the Problem of an error of Authenticate, and tells the client in a header when to try again.
func LoginProblem(w http.ResponseWriter, r *http.Request, err error) *Problem {
	return loginProblem(requestOf(r.Context()).server, w, r, err)
}

func loginProblem(s *Server, w http.ResponseWriter, r *http.Request, err error) *Problem {
	var throttled *identity.ThrottledError
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, identity.ErrNoCredentials), errors.Is(err, identity.ErrBadCredentials):
		return &Problem{Status: http.StatusUnauthorized, Detail: err.Error(), cause: err}
	case errors.As(err, &throttled):
		seconds := (throttled.After + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		return &Problem{Status: http.StatusTooManyRequests, Detail: err.Error(), cause: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Problem{Status: http.StatusServiceUnavailable, Detail: "the login took too long", cause: err}
	}
	s.log.Error("authentication failed for a reason of the server's own", "request", RequestID(r.Context()), "error", err)
	return &Problem{Status: http.StatusInternalServerError, Detail: "the login could not be checked", cause: err}
}

// writeError answers in the words of the request's face, as far as one is known.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	if req := requestOf(r.Context()); req != nil && req.face != nil {
		req.face.Errors(w, r, err)
		return
	}
	WriteError(w, r, err)
}
