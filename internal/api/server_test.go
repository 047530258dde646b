package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// door lets in three users by name; the password does not matter.
type door struct{}

func (door) Authenticate(_ context.Context, c identity.Credentials) (*identity.Caller, error) {
	caller := &identity.Caller{Name: c.User, Scopes: identity.ScopeAll, Source: c.Source}
	switch {
	case c.User == "root":
		caller.Admin = true
	case c.User == "ann":
		caller.User = 4
	case c.Token == "scraper":
		caller.Admin, caller.Token, caller.Scopes = true, "abc", identity.ScopeMetrics
	case c.User == "busy":
		return nil, &identity.ThrottledError{After: 1500 * time.Millisecond}
	case c.User == "broken":
		return nil, errors.New("the disk is on fire")
	case c.User == "" && c.Token == "":
		return nil, identity.ErrNoCredentials
	default:
		return nil, identity.ErrBadCredentials
	}
	return caller, nil
}

// syncBuffer collects a log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type fixture struct {
	*Server
	log *syncBuffer
	url string
}

// serve runs a server with one listener that serves what routes registers, until the test ends.
func serve(t testing.TB, opts Options, tighten func(*bounds), routes func(*Server, *http.ServeMux)) *fixture {
	t.Helper()
	f := &fixture{log: &syncBuffer{}}
	opts.Auth = door{}
	opts.Log = slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	f.Server = s
	if tighten != nil {
		tighten(&s.bounds)
	}
	mux := http.NewServeMux()
	routes(s, mux)
	if _, err := s.Listen(t.Context(), Listener{Name: "main", Address: "127.0.0.1:0", Handler: mux}); err != nil {
		t.Fatal(err)
	}
	f.url = s.Addrs()["main"]
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return f
}

// native is a face with a few routes for the tests.
func native(s *Server, mux *http.ServeMux) {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /v1/who/{x}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", Caller(r.Context()).Name, RequestID(r.Context()), FaceName(r.Context()))
	})
	routes.HandleFunc("GET /v1/panic", func(w http.ResponseWriter, r *http.Request) { panic("secret words") })
	routes.HandleFunc("GET /v1/half", func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte("half"), 4096))
		panic("too late")
	})
	routes.HandleFunc("POST /v1/echo", func(w http.ResponseWriter, r *http.Request) {
		var v struct{ Roles []struct{ Cardinality int } }
		if err := DecodeJSON(r, &v); err != nil {
			WriteError(w, r, err)
			return
		}
		json.NewEncoder(w).Encode(v)
	})
	mux.Handle("/v1/", s.Face(Face{Name: "native", Routes: routes, Challenge: `Basic realm="Troupe"`}))

	plain := http.NewServeMux()
	plain.HandleFunc("GET /service/{id}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("id")) })
	mux.Handle("/oneflow/", s.Face(Face{Name: "oneflow", Prefix: "/oneflow", Routes: plain,
		Errors: func(w http.ResponseWriter, r *http.Request, err error) {
			w.WriteHeader(ProblemOf(err).Status)
			fmt.Fprintf(w, `{"error":{"message":%q}}`, err)
		}}))
	s.Operations(mux)
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request; user "" sends no credentials, "token:x" a bearer token.
func (f *fixture) do(t testing.TB, method, path, user, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token, ok := strings.CutPrefix(user, "token:"); ok {
		req.Header.Set("Authorization", "bearer "+token)
	} else if user != "" {
		req.SetBasicAuth(user, "pass:word")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

// eventually waits until ok, or fails after five seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within five seconds: %s", what)
		}
	}
}

func TestAuthentication(t *testing.T) {
	f := serve(t, Options{}, nil, native)
	tests := []struct {
		path, user string
		status     int
		body       string // part of it
		challenge  string
	}{
		{"/v1/who/x", "ann", 200, "ann ", ""},
		{"/v1/who/x", "", 401, "a user name and password, or a token, are needed", `Basic realm="Troupe"`},
		{"/v1/who/x", "eve", 401, "invalid user name", `Basic realm="Troupe"`},
		{"/v1/who/x", "token:nope", 401, "invalid user name", `Basic realm="Troupe"`},
		{"/v1/who/x", "token:scraper", 403, "lacks the scope read", ""},
		{"/v1/who/x", "busy", 429, "too many failed logins", ""},
		{"/v1/who/x", "broken", 500, "could not be checked", ""},
		{"/v1/unknown", "", 401, "", `Basic realm="Troupe"`},
		{"/v1/unknown", "ann", 404, "", ""},
		{"/oneflow/service/7", "ann", 200, "7", ""},
		{"/oneflow/service/7", "", 401, `{"error":{"message":"a user name`, ""},
		{"/healthz", "", 200, `"alive"`, ""},
		{"/readyz", "", 200, `"ready"`, ""},
		{"/metrics", "", 401, "", `Basic realm="Troupe"`},
		{"/metrics", "ann", 403, "scope", ""},
		{"/metrics", "token:scraper", 200, `troupe_http_requests_total{code="200",face="oneflow",route="GET /service/{id}"} 1`, ""},
		{"/metrics", "root", 200, "troupe_http_request_duration_seconds_bucket", ""},
		{"/debug/pprof/", "ann", 403, "administrators", ""},
		{"/debug/pprof/", "root", 200, "goroutine", ""},
		{"/debug/pprof/cmdline", "root", 200, "", ""},
	}
	for _, tt := range tests {
		got := f.do(t, "GET", tt.path, tt.user, "")
		if got.status != tt.status || !strings.Contains(got.body, tt.body) || got.header.Get("WWW-Authenticate") != tt.challenge {
			t.Errorf("%s as %q: %d %q, challenge %q", tt.path, tt.user, got.status, got.body, got.header.Get("WWW-Authenticate"))
		}
	}
	if got := f.do(t, "GET", "/v1/who/x", "busy", ""); got.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	if got := f.do(t, "GET", "/v1/who/x", "", "", "Sec-Fetch-Mode", "cors"); got.header.Get("WWW-Authenticate") != "" {
		t.Error("a script in a browser was sent a challenge")
	}
	if got := f.do(t, "GET", "/v1/who/x", "", "", "Authorization", "Negotiate abc"); got.status != 401 || !strings.Contains(got.body, "neither Basic nor Bearer") {
		t.Errorf("Negotiate: %+v", got)
	}
	if got := f.do(t, "POST", "/v1/echo", "ann", "{}", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); got.status != 403 {
		t.Errorf("a page of another site: %+v", got)
	}
	if log := f.log.String(); strings.Contains(log, "pass:word") || !strings.Contains(log, "the disk is on fire") {
		t.Error("the log holds a password, or lacks the server's own failure")
	}
}

func TestOpenMetrics(t *testing.T) {
	f := serve(t, Options{OpenMetrics: true}, nil, native)
	if got := f.do(t, "GET", "/metrics", "", ""); got.status != 200 {
		t.Errorf("%+v", got)
	}
}

func TestReadiness(t *testing.T) {
	f := serve(t, Options{Ready: func() (string, string) { return "standby", "server b leads" }}, nil, native)
	got := f.do(t, "GET", "/readyz", "", "")
	if got.status != 503 || got.body != `{"state":"standby","reason":"server b leads"}`+"\n" {
		t.Errorf("%+v", got)
	}
}

func TestRequestIDAndHeaders(t *testing.T) {
	f := serve(t, Options{}, nil, native)
	got := f.do(t, "GET", "/v1/who/x", "ann", "", "X-Request-Id", "build-17.a_b")
	if got.body != "ann build-17.a_b native" || got.header.Get("X-Request-Id") != "build-17.a_b" {
		t.Errorf("%+v", got)
	}
	seen := map[string]bool{}
	for _, id := range []string{"", "a b", strings.Repeat("x", 65), "a\"b", "ü"} {
		got := f.do(t, "GET", "/v1/who/x", "ann", "", "X-Request-Id", id)
		made := got.header.Get("X-Request-Id")
		if len(made) != 26 || seen[made] {
			t.Errorf("for %q: %q", id, made)
		}
		seen[made] = true
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q", name, got.header.Get(name))
		}
	}
	if log := f.log.String(); !strings.Contains(log, "request=build-17.a_b") || !strings.Contains(log, "user=ann") {
		t.Errorf("log: %s", log)
	}
}

func TestPanic(t *testing.T) {
	f := serve(t, Options{}, nil, native)
	got := f.do(t, "GET", "/v1/panic", "ann", "")
	if got.status != 500 || strings.Contains(got.body, "secret") || !strings.Contains(got.body, got.header.Get("X-Request-Id")) {
		t.Errorf("%+v", got)
	}
	if log := f.log.String(); !strings.Contains(log, "secret words") || !strings.Contains(log, "server_test.go") {
		t.Errorf("log lacks the panic or its stack: %s", log)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", f.url+"/v1/half", nil)
	req.SetBasicAuth("ann", "x")
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if err == nil {
		t.Error("a half answer looks whole")
	}
}

func TestProblemOf(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		detail string
	}{
		{fmt.Errorf("x: %w", identity.ErrDenied), 403, "x: not permitted"},
		{fmt.Errorf("x: %w", identity.ErrNotFound), 404, "x: not found"},
		{fmt.Errorf("x: %w", identity.ErrInvalid), 400, "x: invalid"},
		{identity.ErrConflict, 409, "changed meanwhile; read it again and repeat"},
		{&identity.QuotaError{Limit: "services"}, 403, "quota: services: limit 0, used 0, asked for 0 more"},
		{context.DeadlineExceeded, 503, "the request took too long"},
		{errors.New("password=secret"), 500, "internal error"},
		{fmt.Errorf("y: %w", &Problem{Status: 418}), 418, "I'm a teapot"},
	} {
		if p := ProblemOf(tt.err); p.Status != tt.status || p.Error() != tt.detail {
			t.Errorf("%v: %d %q", tt.err, p.Status, p.Error())
		}
	}
}
