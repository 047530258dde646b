package monasca

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// A fault is an error in Monasca's words: {"title": …, "description": …}.
type fault struct {
	status             int
	title, description string
}

func (f *fault) Error() string { return f.title + ": " + f.description }

// Titles, as clients show them.
const (
	badRequest    = "Bad Request"
	unprocessable = "Unprocessable Entity"
	notFound      = "404 Not Found"
	badExpression = "Invalid alarm expression"
	badUpdate     = "InvalidUpdateException"
)

// invalid is a value that Monasca refuses with 422.
func invalid(text string, args ...any) error {
	return &fault{http.StatusUnprocessableEntity, unprocessable, fmt.Sprintf(text, args...)}
}

// forbidden is the answer to those without the role: not 403, but 401.
func forbidden() error {
	return &fault{http.StatusUnauthorized, "Forbidden", "The request does not have access to this service"}
}

// faultOf finds the status and the words of an error.
func faultOf(err error) *fault {
	var own *fault
	var problem *alarm.Problem
	var limit *telemetry.LimitError
	var refused *telemetry.MetricError
	var methods notify.Problems
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, alerting.ErrNoDefinition), errors.Is(err, alerting.ErrNoAlarm), errors.Is(err, alerting.ErrNoMethod), errors.Is(err, identity.ErrNotFound):
		return &fault{http.StatusNotFound, notFound, err.Error()}
	case errors.Is(err, alerting.ErrNameTaken):
		return &fault{http.StatusConflict, "AlreadyExistsException", err.Error()}
	case errors.Is(err, alerting.ErrOfService):
		return &fault{http.StatusUnprocessableEntity, badUpdate, err.Error()}
	case errors.Is(err, telemetry.ErrManySeries):
		return &fault{http.StatusConflict, "MultipleMetrics", "Found multiple metrics matching metric name and dimensions. Please further refine your search criteria using a unique metric name or additional dimensions. " +
			"Alternatively, you may specify merge_metrics=True as a query parameter to combine all metrics matching search criteria into a single series, or group_by."}
	case errors.As(err, &problem) && problem.Place == "expression":
		return &fault{http.StatusUnprocessableEntity, badExpression, err.Error()}
	case errors.As(err, &methods):
		return &fault{http.StatusBadRequest, badRequest, err.Error()}
	case errors.As(err, &limit):
		return &fault{http.StatusTooManyRequests, "Too Many Requests", err.Error()}
	case errors.Is(err, telemetry.ErrHistoryAway):
		return &fault{http.StatusServiceUnavailable, "Service Unavailable", err.Error()}
	case errors.Is(err, telemetry.ErrTooLarge), errors.As(err, &large):
		return &fault{http.StatusRequestEntityTooLarge, "Request Entity Too Large", err.Error()}
	case errors.Is(err, telemetry.ErrEncoding):
		return &fault{http.StatusUnsupportedMediaType, "Unsupported Media Type", err.Error()}
	case errors.Is(err, telemetry.ErrSyntax):
		return &fault{http.StatusBadRequest, badRequest, "Request body is not valid JSON: " + err.Error()}
	case problem != nil, errors.As(err, &refused), errors.Is(err, telemetry.ErrQuery):
		return &fault{http.StatusUnprocessableEntity, unprocessable, err.Error()}
	case errors.Is(err, identity.ErrDenied):
		return forbidden().(*fault)
	}
	p := api.ProblemOf(err)
	title := http.StatusText(p.Status)
	if p.Status == http.StatusInternalServerError {
		title = "The repository was unable to process your request"
	}
	return &fault{p.Status, title, p.Error()}
}

// writeError answers an error. Requests without a good token are answered as Keystone's middleware does.
func (m *Monasca) writeError(w http.ResponseWriter, r *http.Request, err error) {
	f := faultOf(err)
	h := w.Header()
	if h.Get("X-Openstack-Request-Id") == "" {
		h.Set("X-Openstack-Request-Id", requestID(api.RequestID(r.Context())))
	}
	var limit *telemetry.LimitError
	switch {
	case f.status == http.StatusUnauthorized && f.title != "Forbidden":
		if m.KeystoneURL != nil {
			h.Set("WWW-Authenticate", fmt.Sprintf("Keystone uri=%q", m.KeystoneURL(r)))
		}
		writeJSON(w, f.status, object{"error": object{"code": f.status, "title": "Unauthorized", "message": "The request you have made requires authentication."}})
		return
	case f.status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Token")
	case errors.As(err, &limit):
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(max(1, limit.RetryAfter.Seconds())))))
	case f.status == http.StatusInternalServerError:
		m.Log.Error("request failed", "request", api.RequestID(r.Context()), "error", err)
	}
	body := object{"title": f.title}
	if f.description != "" {
		body["description"] = f.description
	}
	writeJSON(w, f.status, body)
}
