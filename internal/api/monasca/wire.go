package monasca

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/troupe-dev/troupe/internal/identity"
)

// A request is what a route sees.
type request struct {
	*http.Request
	who *identity.Caller
}

type baseKey struct{}

// withBase keeps how the client calls the face: "http://host:8070", or with the prefix behind.
func withBase(ctx context.Context, base string) context.Context {
	return context.WithValue(ctx, baseKey{}, base)
}

// at returns the URL of a path of the face, as the client would call it.
func (r *request) at(path string) string {
	base, _ := r.Context().Value(baseKey{}).(string)
	return base + path
}

// self returns the URL of the request with another query.
func (r *request) self(query url.Values) string {
	u := r.at(r.URL.EscapedPath())
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	return u
}

// An object is a JSON object whose keys need no order.
type object = map[string]any

type link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

func (r *request) link(path string) []link { return []link{{"self", r.at(path)}} }

// An answer is what a route answers; a nil body is none.
type answer struct {
	status int
	body   any
}

func ok(body any) (answer, error) { return answer{http.StatusOK, body}, nil }

func (a answer) write(w http.ResponseWriter) {
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	writeJSON(w, a.status, a.body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // numbers here are finite, keys are texts
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a lost client has nobody to tell
}

// requestID words the id of a request as OpenStack does.
func requestID(id string) string {
	u, err := ulid.ParseStrict(id)
	if err != nil {
		return "req-" + id // the client's own
	}
	const hexDigits = "0123456789abcdef"
	out := []byte("req-")
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = append(out, hexDigits[b>>4], hexDigits[b&15])
	}
	return string(out)
}

// A decimal is written with a fraction, as Python writes floats.
type decimal float64

// MarshalJSON implements json.Marshaler.
func (d decimal) MarshalJSON() ([]byte, error) {
	if math.Trunc(float64(d)) == float64(d) && math.Abs(float64(d)) < 1e15 {
		return strconv.AppendFloat(nil, float64(d), 'f', 1, 64), nil
	}
	return json.Marshal(float64(d))
}

// The forms of times: of measurements and history, of periods, of alarms.
const (
	millisForm = "2006-01-02T15:04:05.000Z"
	secondForm = "2006-01-02T15:04:05Z"
	microForm  = "2006-01-02T15:04:05.000000Z"
)

func millis(t int64) string { return time.UnixMilli(t).UTC().Format(millisForm) }

// alarmTime has no fraction when it is zero.
func alarmTime(t int64) string {
	if t%1000 == 0 {
		return time.UnixMilli(t).UTC().Format(secondForm)
	}
	return time.UnixMilli(t).UTC().Format(microForm)
}

// orNull is null for what is not set.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// isJSON reports whether the request says that its body is JSON; parameters do not matter.
func (r *request) isJSON() bool {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/json")
}
