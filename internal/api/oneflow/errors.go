package oneflow

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// A misuse is a request that cannot be understood; OpenNebula's server answers these with 500.
type misuse struct{ error }

func (m misuse) Unwrap() error { return m.error }

func misusef(path, text string, args ...any) error {
	return misuse{&format.Error{Kind: format.Invalid, Path: path, Message: fmt.Sprintf(text, args...)}}
}

// absent is a document that is not there, or of the other type. Clients look for its text.
type absent struct {
	id    string
	other string // what it is instead; "" for nothing
}

func (a absent) Error() string {
	s := "Error getting document [" + a.id + "]."
	if a.other != "" {
		s += " It is a " + a.other + "."
	}
	return s
}

func noDocument(id, other string) error { return absent{id, other} }

// problem finds the status and the words of an error. place says where in the request it is, "" if
// nowhere.
func (f *OneFlow) problem(err error) (status int, message, place string) {
	status, place = http.StatusBadRequest, placeIn(err)
	var gone absent
	var m misuse
	var wrong *format.Error
	var refusal *service.Refusal
	var problems service.Problems
	switch {
	case errors.As(err, &gone):
		status, message = http.StatusNotFound, gone.Error()
		if f.Reference && gone.other != "" {
			status = http.StatusInternalServerError
		}
		return status, message, ""
	case errors.As(err, &refusal):
		return f.refused(refusal), refusal.Message, place
	case errors.As(err, &wrong):
		message = wrong.Message
	case errors.As(err, &problems) && len(problems) > 0:
		message = problems[0].Text
	case errors.Is(err, control.ErrStale):
		return http.StatusConflict, err.Error(), ""
	default:
		p := api.ProblemOf(err)
		status, message = p.Status, p.Error()
	}
	unread := errors.As(err, &m) || wrong != nil && wrong.Kind == format.Immutable
	if f.Reference && unread && status == http.StatusBadRequest {
		status = http.StatusInternalServerError
	}
	return status, message, place
}

// placeOf words a place: "roles[1].cardinality, line 3, column 7".
func placeOf(e *format.Error) string {
	place := e.Path
	if e.Line > 0 {
		if place != "" {
			place += ", "
		}
		place += fmt.Sprintf("line %d, column %d", e.Line, e.Column)
	}
	return place
}

func (f *OneFlow) refused(r *service.Refusal) int {
	switch {
	case f.Reference:
		return http.StatusInternalServerError
	case r.Kind == service.NoSuch:
		return http.StatusNotFound
	case r.Kind == service.WrongState, r.Kind == service.Stale:
		return http.StatusConflict
	}
	return http.StatusBadRequest
}

// writeError answers {"error":{"message":…}}, with the place beside the message, or bare text.
func (f *OneFlow) writeError(w http.ResponseWriter, r *http.Request, err error) {
	status, message, place := f.problem(err)
	if status == http.StatusInternalServerError && !f.Reference {
		f.Log.Error("request failed", "request", api.RequestID(r.Context()), "error", err)
	}
	if f.BareErrors {
		if place != "" {
			message += " (" + place + ")"
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(message)) // a lost client has nobody to tell
		return
	}
	o := object("message", message)
	if place != "" {
		o.Set("place", place)
	}
	writeJSON(w, status, object("error", o))
}

// documentError makes the error of a document that is not there say so in OneFlow's words. What else is
// not there, such as the user of a chown, keeps its own.
func (f *OneFlow) documentError(who *identity.Caller, id uint64, err error) error {
	var refusal *service.Refusal
	if !errors.Is(err, identity.ErrNotFound) || errors.As(err, &refusal) {
		return err
	}
	if f.Control.Read(who, id, func(*service.Service) {}) == nil {
		return err
	}
	if _, e := f.Control.Template(who, id, identity.Use); e == nil {
		return err
	}
	return noDocument(text(id), "")
}
