package heat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// A request is what a route sees.
type request struct {
	*http.Request
	writer http.ResponseWriter
	who    *identity.Caller
}

// project is the id of the caller's project.
func (r *request) project() string { return strconv.Itoa(r.who.Group) }

// answer writes a value as JSON.
func (r *request) answer(status int, v any) error { return writeJSON(r.writer, status, v) }

// An object is a JSON object whose keys need no order.
type object = map[string]any

type baseKey struct{}

// withBase keeps how the client calls the face: "http://host:8004", or with the prefix behind.
func withBase(ctx context.Context, base string) context.Context {
	return context.WithValue(ctx, baseKey{}, base)
}

// self returns the URL of the project's part of the face, as the client calls it.
func (r *request) self() string {
	base, _ := r.Context().Value(baseKey{}).(string)
	return base + "/v1/" + r.project()
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a lost client has nobody to tell
	return nil
}

// A fault is an error in Heat's words.
type fault struct {
	status  int
	kind    string // of Heat's errors: "StackValidationFailed"
	message string
	cause   error
}

func (f *fault) Error() string { return f.message }
func (f *fault) Unwrap() error { return f.cause }

func notFound(name string) error {
	return &fault{http.StatusNotFound, "EntityNotFound", "The Stack (" + name + ") could not be found.", identity.ErrNotFound}
}

func invalid(err error) error {
	return &fault{http.StatusBadRequest, "StackValidationFailed", err.Error(), err}
}

// faultOf finds Heat's words for an error.
func (h *Heat) faultOf(r *http.Request, err error) *fault {
	var f *fault
	var mistakes tree.Errors
	var problems service.Problems
	var refusal *service.Refusal
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &mistakes), errors.As(err, &problems), errors.Is(err, identity.ErrInvalid):
		return &fault{http.StatusBadRequest, "StackValidationFailed", err.Error(), err}
	case control.ClassOf(err) == control.Taken:
		return &fault{http.StatusConflict, "StackExists", err.Error(), err}
	case errors.As(err, &refusal) && refusal.Kind == service.WrongState:
		return &fault{http.StatusConflict, "ActionInProgress", err.Error(), err}
	}
	p := api.ProblemOf(err)
	if p.Status == http.StatusInternalServerError {
		h.Log.Error("request failed", "request", api.RequestID(r.Context()), "error", err)
	}
	kinds := map[int]string{http.StatusNotFound: "EntityNotFound", http.StatusForbidden: "Forbidden", http.StatusUnauthorized: "Unauthorized", http.StatusConflict: "Conflict"}
	kind := kinds[p.Status]
	if kind == "" {
		kind = "Error"
	}
	return &fault{p.Status, kind, p.Error(), err}
}

// writeError answers as Heat does.
func (h *Heat) writeError(w http.ResponseWriter, r *http.Request, err error) {
	f := h.faultOf(r, err)
	if f.status == http.StatusUnauthorized && h.KeystoneURL != nil {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Keystone uri=%q", h.KeystoneURL(r)))
	}
	title := http.StatusText(f.status)
	_ = writeJSON(w, f.status, object{"code": f.status, "title": title, "explanation": title,
		"error": object{"type": f.kind, "message": f.message, "traceback": nil}}) // texts and numbers always marshal
}

// stamp is how Heat writes times.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// shownLink is a link to a URL.
func shownLink(rel, url string) object { return object{"rel": rel, "href": url} }
