package onegate

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// A request is what a route sees.
type request struct {
	*http.Request
	me *control.Instance // who asks
}

// maxPayload is how many bytes a machine may send: four times what its attributes may take.
const maxPayload = 64 << 10

// read returns the body.
func (r *request) read() ([]byte, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, maxPayload)
	body, err := api.ReadBody(r.Request)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d KiB", maxPayload>>10)
	}
	return body, err
}

// An answer is the status and the body of a response.
type answer struct {
	status int
	body   *format.Object // nil for none
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(a.status)
	if a.body != nil {
		text, err := a.body.MarshalJSON()
		if err != nil { // objects, lists, texts and numbers always encode
			panic(fmt.Sprintf("onegate: an answer cannot be encoded: %v", err))
		}
		_, _ = w.Write(text) // a lost client has nobody to tell
	}
}

// contentType is that of everything, of the plain text of errors too (specification, section 15).
const contentType = "application/json;charset=utf-8"

func refuse(status int, text string, args ...any) error {
	return &api.Problem{Status: status, Detail: fmt.Sprintf(text, args...)}
}

// writeError answers in plain text.
func (g *OneGate) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var limit *telemetry.LimitError
	var refusal *service.Refusal
	var wrong *format.Error
	status, text := http.StatusBadRequest, err.Error()
	switch {
	case errors.As(err, &limit):
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(limit.RetryAfter.Seconds()))))
		status = http.StatusTooManyRequests
	case errors.As(err, &wrong), errors.As(err, &refusal):
	default:
		p := api.ProblemOf(err)
		if status, text = p.Status, p.Error(); status == http.StatusInternalServerError && !errors.Is(err, errMistake) {
			g.Log.Error("request failed", "request", api.RequestID(r.Context()), "error", err)
		}
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a lost client has nobody to tell
}

// errMistake marks mistakes of clients that OneGate answers with 500.
var errMistake = errors.New("a client's mistake")

type mistake struct{ *api.Problem }

func (mistake) Is(target error) bool { return target == errMistake }
func (m mistake) Unwrap() error      { return m.Problem }

// failed is a mistake to which OneGate's clients expect 500.
func failed(text string, args ...any) error {
	return mistake{&api.Problem{Status: http.StatusInternalServerError, Detail: fmt.Sprintf(text, args...)}}
}

// object builds an object from keys and values in turn.
func object(pairs ...any) *format.Object {
	o := new(format.Object)
	for n := 0; n < len(pairs); n += 2 {
		o.Set(pairs[n].(string), pairs[n+1])
	}
	return o
}
