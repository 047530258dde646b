package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/format/native"
	"github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// A failure is an error as the face answers it.
type failure struct {
	client.Problem
	retry int // seconds; 0 for none
}

// Error, GetStatus, GetHeaders and ContentType are what huma asks of an error.
func (e *failure) Error() string { return e.Detail }

func (e *failure) GetStatus() int { return e.Status }

func (e *failure) GetHeaders() http.Header {
	if e.retry == 0 {
		return nil
	}
	return http.Header{"Retry-After": {strconv.Itoa(e.retry)}}
}

func (e *failure) ContentType(string) string { return "application/problem+json" }

// failure finds the words for an error. A failure of the server's own tells nothing but the request's
// id, under which the log has it.
func (f *face) failure(ctx context.Context, err error) *failure {
	var done *failure
	if errors.As(err, &done) {
		return done
	}
	e := &failure{}
	e.Status, e.retry = statusOf(err)
	e.Title, e.Detail, e.Request = http.StatusText(e.Status), err.Error(), api.RequestID(ctx)
	e.Errors = places(err)
	if e.Status == http.StatusInternalServerError {
		f.options.Log.Error("request failed", "request", e.Request, "error", err)
		e.Detail, e.Errors = "internal error; the server's log has it under request "+e.Request, nil
	}
	return e
}

// statusOf returns the status of an error and after how many seconds the request may be repeated.
func statusOf(err error) (status, retry int) {
	var refusal *service.Refusal
	var problems service.Problems
	var wrongDocument native.Errors
	var wrongBody *oneflow.Error
	var wrongAlarm *alarm.Problem
	var wrongMethod notify.Problems
	var limit *telemetry.LimitError
	switch {
	case errors.As(err, &limit):
		return http.StatusTooManyRequests, max(1, int(math.Ceil(limit.RetryAfter.Seconds())))
	case errors.As(err, new(*telemetry.MetricError)), errors.Is(err, telemetry.ErrQueryCost):
		return http.StatusUnprocessableEntity, 0
	case errors.Is(err, telemetry.ErrHistoryAway):
		return http.StatusServiceUnavailable, 1
	case errors.Is(err, telemetry.ErrTooLarge):
		return http.StatusRequestEntityTooLarge, 0
	case errors.Is(err, telemetry.ErrEncoding):
		return http.StatusUnsupportedMediaType, 0
	case errors.Is(err, telemetry.ErrSyntax), errors.Is(err, telemetry.ErrQuery), errors.As(err, &wrongAlarm), errors.As(err, &wrongMethod):
		return http.StatusBadRequest, 0
	case errors.Is(err, alerting.ErrNoDefinition), errors.Is(err, alerting.ErrNoAlarm), errors.Is(err, alerting.ErrNoMethod), errors.Is(err, alerting.ErrNoSilence),
		errors.Is(err, alerting.ErrNoHistory), errors.Is(err, notify.ErrNoDelivery):
		return http.StatusNotFound, 0
	case errors.Is(err, alerting.ErrNameTaken), errors.Is(err, alerting.ErrOfService), errors.Is(err, alerting.ErrManySilences):
		return http.StatusConflict, 0
	case errors.As(err, &refusal):
		return statusOfRefusal(refusal.Kind), 0
	case errors.As(err, &problems), errors.As(err, &wrongDocument), errors.As(err, &wrongBody):
		return http.StatusBadRequest, 0
	case errors.Is(err, control.ErrStale), errors.Is(err, identity.ErrConflict):
		return http.StatusPreconditionFailed, 0
	case errors.Is(err, control.ErrKeyReused):
		return http.StatusUnprocessableEntity, 0
	case errors.Is(err, control.ErrAmbiguousName), errors.Is(err, alerting.ErrAmbiguous):
		return http.StatusConflict, 0
	case errors.Is(err, identity.ErrInvalid):
		return http.StatusBadRequest, 0
	}
	switch control.ClassOf(err) {
	case control.Paused:
		return http.StatusServiceUnavailable, 0
	case control.Unanswered:
		return http.StatusServiceUnavailable, 1
	case control.Missing:
		return http.StatusNotFound, 0
	case control.NotNow, control.Taken:
		return http.StatusConflict, 0
	case control.Wrong:
		return http.StatusBadRequest, 0
	case control.Down:
		return http.StatusBadGateway, 0
	}
	return api.ProblemOf(err).Status, 0
}

func statusOfRefusal(k service.RefusalKind) int {
	switch k {
	case service.NoSuch:
		return http.StatusNotFound
	case service.WrongState:
		return http.StatusConflict
	case service.Stale:
		return http.StatusPreconditionFailed
	}
	return http.StatusBadRequest
}

// places returns where the mistakes of a request are.
func places(err error) (out []client.Place) {
	var p *api.Problem
	var wrongDocument native.Errors
	var wrongBody *oneflow.Error
	var problems service.Problems
	var misplaced *control.Misplaced
	var wrongMethod notify.Problems
	var at *located
	if errors.As(err, &at) {
		wrongDocument = at.places
	}
	switch {
	case errors.As(err, &wrongMethod):
		for _, e := range wrongMethod {
			out = append(out, client.Place{Path: e.Path, Detail: e.Text})
		}
	case errors.As(err, new(*alarm.Problem)):
		for _, e := range all[*alarm.Problem](err) {
			out = append(out, client.Place{Path: e.Place, Detail: e.Message})
		}
	case wrongDocument != nil, errors.As(err, &wrongDocument):
		for _, e := range wrongDocument {
			out = append(out, client.Place{File: e.File, Line: e.Line, Column: e.Column, Path: e.Path, Detail: e.Text})
		}
	case errors.As(err, &wrongBody):
		out = append(out, client.Place{Line: wrongBody.Line, Column: wrongBody.Column, Path: wrongBody.Path, Detail: wrongBody.Message})
	case errors.As(err, &problems):
		for _, e := range problems {
			out = append(out, client.Place{Path: e.Path, Detail: e.Text})
		}
	case errors.As(err, &misplaced):
		out = append(out, client.Place{Path: misplaced.Path, Detail: misplaced.Err.Error()})
	case errors.As(err, &p):
		for _, e := range p.Errors {
			out = append(out, client.Place{Location: e.Location, Message: e.Message})
		}
	default:
		for _, e := range all[*identity.QuotaError](err) {
			out = append(out, client.Place{Location: "quota." + e.Limit, Message: e.Error()})
		}
	}
	return out
}

// all returns the errors of a type that err holds, however they are joined.
func all[E error](err error) (out []E) {
	if e, ok := err.(E); ok {
		return []E{e}
	}
	switch x := err.(type) {
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			out = append(out, all[E](e)...)
		}
	case interface{ Unwrap() error }:
		return all[E](x.Unwrap())
	}
	return out
}

// reword turns huma's own errors into the face's. The values that it repeats are dropped: they may be
// secrets.
func (f *face) reword(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := client.Problem{Status: m.Status, Title: http.StatusText(m.Status), Detail: m.Detail, Request: api.RequestID(ctx.Context())}
	if m.Detail == "cannot read request body" { // the client broke off; huma takes that for a failure of its own
		p.Status, p.Title, p.Detail = http.StatusBadRequest, http.StatusText(http.StatusBadRequest), "the body ended early"
		return &p, nil
	}
	if m.Status == http.StatusInternalServerError {
		f.options.Log.Error("request failed", "request", p.Request, "error", m.Detail)
		p.Detail = "internal error; the server's log has it under request " + p.Request
		return &p, nil
	}
	for n, e := range m.Errors {
		if n == service.MaxProblems {
			break
		}
		message := e.Message
		if message == validation.MsgExpectedMatchExactlyOneSchema { // the one choice that there is: see wishes
			message = fmt.Sprintf(`give a number from 0 to %d, or as text a change: "+2", "-1", "+50%%", "-10%%"`, service.MaxCardinality)
		}
		p.Errors = append(p.Errors, client.Place{Location: e.Location, Message: message})
	}
	if len(p.Errors) > 0 {
		p.Detail = strings.TrimPrefix(p.Errors[0].Location+": "+p.Errors[0].Message, ": ")
	}
	return &p, nil
}

// fail writes an error that no operation answers: of authentication, of unknown routes, of streams
// before their first byte.
func (f *face) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := f.failure(r.Context(), err)
	if strings.HasPrefix(r.URL.Path, queryPrefix) {
		failQuery(w, e)
		return
	}
	body, _ := json.Marshal(e.Problem) // texts and numbers always marshal
	for k, v := range e.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(append(body, '\n')) // a client that left hears nothing
}

// invalid refuses a request of class identity.ErrInvalid at a place.
func invalid(location, message string) error {
	return &api.Problem{Status: http.StatusBadRequest, Detail: location + ": " + message, Errors: []api.FieldError{{Location: location, Message: message}}}
}

// unmatched answers what no route takes: 405 where another method would do, else 404.
func (f *face) unmatched(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, m := range [...]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, pattern := f.mux.Handler(other); pattern != "" && pattern != "/" {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		f.fail(w, r, &api.Problem{Status: http.StatusMethodNotAllowed, Detail: r.Method + " does not work here; there is " + strings.Join(allowed, ", ")})
		return
	}
	f.fail(w, r, &api.Problem{Status: http.StatusNotFound, Detail: "no such route: " + Prefix + r.URL.Path + "; see " + Prefix + "/openapi.json"})
}
