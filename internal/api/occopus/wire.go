package occopus

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/service"
)

// A request is what a route sees.
type request struct {
	*http.Request
	writer http.ResponseWriter
	who    *identity.Caller
}

// failure is the body of every error.
type failure struct {
	StatusCode int    `json:"status_code"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
}

// A handled is an error that Occopus has words for. It is answered with HTTP 200, or with status where status codes are
// asked for: those of Occopus are not all meant so.
type handled struct {
	failure
	status int
	cause  error
}

func (h *handled) Error() string { return h.Reason }
func (h *handled) Unwrap() error { return h.cause }

// Codes of errors in bodies, as Occopus has them.
const (
	badRequest = 400
	notThere   = 404
	refused    = 300
)

func unknownInfra(id string) error {
	return &handled{failure: failure{refused, fmt.Sprintf("ERROR: infrastructure '%s' does not exist!", id), "POST a description to make one; GET /infrastructures/ lists them"}, status: http.StatusNotFound}
}

func unknownNode(infra, node, hint string) error {
	return &handled{failure: failure{refused, fmt.Sprintf("ERROR: node '%s does not exist in infrastructure '%s'!", node, infra), "there is no such node" + hint}, status: http.StatusNotFound}
}

func mistaken(reason string, cause error) *handled {
	return &handled{failure: failure{badRequest, reason, cause.Error()}, status: http.StatusBadRequest, cause: cause}
}

// failureOf finds the HTTP status and the body of an error.
func (f *Occopus) failureOf(err error) (int, failure) {
	var h *handled
	var invalid *format.Invalid
	var problems service.Problems
	var wrong notify.Problems
	var refusal *service.Refusal
	switch {
	case errors.As(err, &h):
	case errors.As(err, &invalid):
		h = mistaken(invalid.Quoted(), err)
	case errors.As(err, &wrong):
		h = mistaken("ERROR: notification: "+wrong.Error(), err)
	case errors.As(err, &problems), errors.Is(err, identity.ErrInvalid):
		h = mistaken(err.Error(), err)
	case errors.As(err, &refusal):
		h = &handled{failure: failure{refused, "ERROR: " + refusal.Message, refusal.Message}, status: statusOf(refusal)}
	case control.ClassOf(err) == control.Taken:
		h = &handled{failure: failure{refused, "ERROR: " + err.Error(), err.Error()}, status: http.StatusConflict}
	default:
		p := api.ProblemOf(err)
		return p.Status, failure{p.Status, http.StatusText(p.Status), p.Error()}
	}
	if !f.StatusCodes {
		return http.StatusOK, h.failure
	}
	return h.status, h.failure
}

func statusOf(r *service.Refusal) int {
	switch r.Kind {
	case service.NoSuch:
		return http.StatusNotFound
	case service.WrongState, service.Stale:
		return http.StatusConflict
	}
	return http.StatusBadRequest
}

func (f *Occopus) writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, body := f.failureOf(err)
	if status == http.StatusInternalServerError {
		f.Log.Error("request failed", "request", api.RequestID(r.Context()), "error", err)
	}
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // texts, numbers, and what came out of JSON always encode
		panic(fmt.Sprintf("occopus: an answer cannot be encoded: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a lost client has nobody to tell
}
