package hurtle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/troupe-dev/troupe/internal/identity"
)

// A loopback has a handler of this process answer requests.
type loopback struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (l loopback) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, fmt.Errorf("the handler of %s panicked: %v", r.URL.Path, p)
		}
	}()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := &answer{header: make(http.Header)}
	l.handler.ServeHTTP(w, in)
	w.WriteHeader(http.StatusOK)
	header := make(http.Header, len(w.header)) // as it would be had it been sent
	for name, values := range w.header {
		name = http.CanonicalHeaderKey(name)
		header[name] = append(header[name], values...)
	}
	return &http.Response{Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r}, nil
}

// An answer is what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *answer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *answer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

type callerKey struct{}

// as makes requests within the process in somebody's name.
type as struct {
	who *identity.Caller
	http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (a as) RoundTrip(r *http.Request) (*http.Response, error) {
	return a.RoundTripper.RoundTrip(r.WithContext(context.WithValue(r.Context(), callerKey{}, a.who)))
}

// CallerOf returns in whose name this server itself makes a request; nil for requests from elsewhere.
func CallerOf(ctx context.Context) *identity.Caller {
	who, _ := ctx.Value(callerKey{}).(*identity.Caller)
	return who
}
