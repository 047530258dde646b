package dns

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
)

// A fault is an error in the interface's words: {"code": …, "msg": …}.
type fault struct {
	Code    int    `json:"code"`
	Message string `json:"msg"`
}

func (f *fault) Error() string { return f.Message }

// Faults that clients know by their words.
var (
	noDomain     = &fault{http.StatusNotFound, "Domain not found!"}
	noRecord     = &fault{http.StatusNotFound, "Record not found!"}
	noMap        = &fault{http.StatusNotFound, "The Geo information for this record does not exist!!"}
	domainExists = &fault{http.StatusConflict, "Domain already exists!"}
	recordExists = &fault{http.StatusConflict, "Record information already exists!"}
	mapExists    = &fault{http.StatusBadRequest, "The Geo information for this record already exists!!"}
	noType       = &fault{http.StatusBadRequest, "Unrecognized record type."}
	noParameter  = &fault{http.StatusBadRequest, "Update parameter not permitted."}
)

// wrong is a request that does not say what it must.
func wrong(format string, args ...any) error {
	return &fault{http.StatusBadRequest, "Provided object does not match schema. Check your data! " + fmt.Sprintf(format, args...)}
}

// known puts the words of a fault before an error of its class.
func known(err, class error, f *fault) error {
	if errors.Is(err, class) {
		return &fault{f.Code, f.Message + " " + err.Error()}
	}
	return err
}

func (d *DNS) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var f *fault
	if !errors.As(err, &f) {
		f = d.faultOf(r, err)
	}
	writeJSON(w, f.Code, f)
}

func (d *DNS) faultOf(r *http.Request, err error) *fault {
	switch control.ClassOf(err) {
	case control.Paused, control.Unanswered:
		return &fault{http.StatusServiceUnavailable, err.Error()}
	}
	var given *api.Problem
	if !errors.As(err, &given) && errors.Is(err, identity.ErrInvalid) {
		var f *fault
		errors.As(wrong("%v", err), &f)
		return f
	}
	p := api.ProblemOf(err)
	switch p.Status {
	case http.StatusUnauthorized:
		return &fault{p.Status, "Unauthorized!!"}
	case http.StatusInternalServerError:
		d.Log.Error("request failed", "request", api.RequestID(r.Context()), "error", err)
		return &fault{p.Status, "internal error; the server's log has it under request " + api.RequestID(r.Context())}
	}
	if errors.Is(err, control.ErrStale) {
		return &fault{http.StatusConflict, err.Error()}
	}
	return &fault{p.Status, p.Error()}
}
