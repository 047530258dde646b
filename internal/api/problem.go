package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/troupe-dev/troupe/internal/identity"
)

// A Problem is an error with its HTTP status: the problem details of RFC 9457. The native face
// sends it as it is; other faces take status and detail from it.
type Problem struct {
	Type   string       `json:"type,omitempty"` // URI of the kind; "" stands for about:blank
	Title  string       `json:"title"`          // filled from the status when empty
	Status int          `json:"status"`
	Detail string       `json:"detail,omitempty"`
	Errors []FieldError `json:"errors,omitempty"`
	// Request is the request's id, for the server's log.
	Request string `json:"request,omitempty"`

	cause error
}

// A FieldError says what is wrong at one place of the request.
type FieldError struct {
	Location string `json:"location"` // "body.roles[1].parents[0]", "query.limit"
	Message  string `json:"message"`
}

// Error returns the detail, with the place of the first field error.
func (p *Problem) Error() string {
	switch {
	case len(p.Errors) > 0 && p.Detail == "":
		return p.Errors[0].Location + ": " + p.Errors[0].Message
	case p.Detail == "":
		return http.StatusText(p.Status)
	}
	return p.Detail
}

// Unwrap returns what caused the problem.
func (p *Problem) Unwrap() error { return p.cause }

// ProblemOf finds the Problem in err, or makes one from the class of error that it is. What has no
// class is the server's own failure: a 500 that tells nothing.
func ProblemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	status := 0
	switch {
	case errors.Is(err, identity.ErrNoCredentials), errors.Is(err, identity.ErrBadCredentials):
		status = http.StatusUnauthorized
	case errors.Is(err, identity.ErrDenied):
		status = http.StatusForbidden
	case errors.Is(err, identity.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, identity.ErrExists), errors.Is(err, identity.ErrConflict), errors.Is(err, identity.ErrInUse):
		status = http.StatusConflict
	case errors.Is(err, identity.ErrInvalid):
		status = http.StatusBadRequest
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Problem{Status: http.StatusServiceUnavailable, Detail: "the request took too long", cause: err}
	default:
		return &Problem{Status: http.StatusInternalServerError, Detail: "internal error", cause: err}
	}
	return &Problem{Status: status, Detail: err.Error(), cause: err}
}

// WriteError answers with the problem that err is or belongs to, as application/problem+json. A
// failure of the server's own is logged, since the answer does not tell it.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p := *ProblemOf(err)
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	p.Request = RequestID(r.Context())
	if req := requestOf(r.Context()); req != nil && p.Status == http.StatusInternalServerError && p.cause != nil {
		req.server.log.Error("request failed", "request", req.id, "error", p.cause)
	}
	body, _ := json.Marshal(p) // texts and numbers always marshal
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n'))
}
