package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
		caller.User, caller.Token, caller.Scopes = 5, "abc", identity.ScopeMetrics
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
	if _, err := s.Listen(t.Context(), "main", "127.0.0.1:0", mux); err != nil {
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

func TestBodies(t *testing.T) {
	f := serve(t, Options{}, nil, native)
	tests := []struct {
		name, body string
		status     int
		answer     string // part of it
	}{
		{"good", `{"Roles":[{"Cardinality":2}]}`, 200, `"Cardinality":2`},
		{"good with white space", " {\n}\n", 200, "null"},
		{"none", "", 400, "no body"},
		{"too large", `{"x":"` + strings.Repeat("x", maxBody) + `"}`, 413, "larger than 8 MiB"},
		{"too deep", strings.Repeat("[", 1e6), 400, "line 1, column 65: nested deeper than 64 levels"},
		{"deep text is no depth", `{"x":"` + strings.Repeat(`[{\"`, 1000) + `"}`, 200, ""},
		{"wrong type", `{"x":1,"Roles":[{"Cardinality":1},{"Cardinality":"two"}]}`, 400, `"location":"body.Roles[1].Cardinality","message":"a string cannot be used here; give an integer"`},
		{"wrong type of a whole", `{"Roles":[{"Cardinality":1}, [7]]}`, 400, `"location":"body.Roles[1]"`},
		{"wrong type at the top", `[]`, 400, `"location":"body","message":"an array cannot`},
		{"syntax", "{\n  \"a\": 1,\n  b\n}", 400, "line 3, column 3: invalid character 'b'"},
		{"cut off", `{"a":`, 400, "unexpected end"},
		{"trailing", `{} {}`, 400, "line 1, column 4: more text after the end"},
		{"one byte", `x`, 400, "line 1, column 1"},
		{"broken UTF-8", "{\"a\":\"\xff\"}", 400, "line 1, column 7: broken UTF-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := f.do(t, "POST", "/v1/echo", "ann", tt.body, "Content-Type", "application/x-www-form-urlencoded")
			if got.status != tt.status || !strings.Contains(got.body, tt.answer) {
				t.Errorf("%d %s", got.status, got.body)
			}
			if tt.status >= 400 && got.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("Content-Type %q", got.header.Get("Content-Type"))
			}
		})
	}
}

func FuzzUnmarshalJSON(f *testing.F) {
	for _, seed := range []string{`{"roles":[{"n":1},{"n":"x"}]}`, `{"a\"b":{"n":[]}}`, `[[[`, `{"n":1}x`, "\xff", `{"roles":{}}`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v struct {
			N     int
			Roles []struct{ N uint8 }
			M     map[string][]float64
		}
		err := UnmarshalJSON(data, &v)
		if ok := json.Unmarshal(data, &v) == nil; err == nil && !ok {
			t.Error("accepted what encoding/json refuses")
		}
		var p *Problem
		if err != nil && (!errors.As(err, &p) || p.Status != 400 || len(p.Errors) != 1) {
			t.Errorf("error %#v", err)
		}
	})
}

func TestHeadersAreBounded(t *testing.T) {
	f := serve(t, Options{}, nil, native)
	for size, want := range map[int]int{maxHeader - 1024: 200, maxHeader + 8192: http.StatusRequestHeaderFieldsTooLarge} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", f.url+"/v1/who/x", nil)
		req.SetBasicAuth("ann", "x")
		req.Header.Set("X-Long", strings.Repeat("x", size))
		res, err := http.DefaultClient.Do(req)
		if err != nil { // the server may close while the rest is still on its way
			if want == 200 {
				t.Error(err)
			}
			continue
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%d bytes: %s", size, res.Status)
		}
	}
}

// A client that sends its header, or its body, a byte at a time is cut off.
func TestSlowClients(t *testing.T) {
	f := serve(t, Options{}, func(b *bounds) { b.header, b.read = 150*time.Millisecond, 300*time.Millisecond }, native)
	for name, start := range map[string]string{
		"header": "GET /v1/who/x HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"body":   "POST /v1/echo HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW5uOng=\r\nContent-Length: 1000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, start)
			begin := time.Now()
			done := make(chan string, 1)
			go func() { text, _ := io.ReadAll(c); done <- string(text) }()
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case text := <-done:
					if name == "body" && !strings.HasPrefix(text, "HTTP/1.1 408 ") {
						t.Errorf("answer %q", text)
					}
					return
				case <-tick.C:
					io.WriteString(c, " ")
				}
				if time.Since(begin) > 5*time.Second {
					t.Fatal("not cut off")
				}
			}
		})
	}
}

// Connections above the bound wait, and are served when others go.
func TestConnectionsAreBounded(t *testing.T) {
	f := serve(t, Options{}, func(b *bounds) { b.connections = 2 }, native)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		return c
	}
	answered := func(c net.Conn, within time.Duration) bool {
		c.SetReadDeadline(time.Now().Add(within))
		_, err := bufio.NewReader(c).ReadString('\n')
		return err == nil
	}
	first, second := dial(), dial()
	if !answered(first, 5*time.Second) || !answered(second, 5*time.Second) {
		t.Fatal("the first two are not answered")
	}
	third := dial()
	if answered(third, 100*time.Millisecond) {
		t.Error("the third is answered beside two others")
	}
	first.Close()
	if !answered(third, 5*time.Second) {
		t.Error("the third is not answered after the first left")
	}
}

func TestListenBeyondLoopback(t *testing.T) {
	s, err := New(Options{Auth: door{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(t.Context(), "main", "0.0.0.0:0", nil); err == nil || !strings.Contains(err.Error(), "--insecure") {
		t.Errorf("got %v", err)
	}
	s.opts.Insecure = true
	if _, err := s.Listen(t.Context(), "main", "0.0.0.0:0", nil); err != nil {
		t.Errorf("insecure: %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Serve(t.Context()); err != nil {
		t.Errorf("Serve after Stop: %v", err)
	}
	if _, err := s.Listen(t.Context(), "late", "127.0.0.1:0", nil); err == nil {
		t.Error("a listener after Stop")
	}
}

// writePair writes a new self-signed pair and returns its certificate.
func writePair(t *testing.T, dir string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "troupe"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, _ := x509.MarshalECPrivateKey(key)
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, _ := x509.ParseCertificate(der)
	return cert
}

// A certificate that changes on disk serves new connections without a restart; a broken one leaves
// the old in use.
func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, 1)
	f := serve(t, Options{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}, nil, native)
	if !strings.HasPrefix(f.url, "https://127.0.0.1:") {
		t.Fatalf("URL %s", f.url)
	}
	serial := func() int64 {
		c, err := tls.Dial("tcp", strings.TrimPrefix(f.url, "https://"), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // any pair will do
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("serial %d", got)
	}
	second := writePair(t, dir, 2)
	eventually(t, "the second certificate", func() bool { return serial() == 2 })
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a complaint", func() bool { serial(); return strings.Contains(f.log.String(), "the old one stays") })
	if got := serial(); got != 2 {
		t.Errorf("serial %d with a broken file", got)
	}
	// And it really speaks HTTP over it.
	pool := x509.NewCertPool()
	pool.AddCert(second)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	res, err := client.Get(f.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || res.ProtoMajor != 2 {
		t.Errorf("%s %s", res.Status, res.Proto)
	}
	if _, err := New(Options{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a start with a broken certificate")
	}
	if _, err := New(Options{Certificate: "only.pem"}); err == nil {
		t.Error("a certificate without key")
	}
}

// Stop lets a running request end, and cuts off one that does not within the bound.
func TestStop(t *testing.T) {
	for _, patient := range []bool{true, false} {
		t.Run(fmt.Sprintf("patient %v", patient), func(t *testing.T) {
			entered, release := make(chan struct{}), make(chan struct{})
			s, err := New(Options{Auth: door{}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(entered)
				select {
				case <-release:
				case <-r.Context().Done():
				}
			})
			if _, err := s.Listen(t.Context(), "main", "127.0.0.1:0", h); err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- s.Serve(context.Background()) }()
			answered := make(chan error, 1)
			go func() {
				res, err := http.Get(s.Addrs()["main"])
				if err == nil {
					res.Body.Close()
				}
				answered <- err
			}()
			<-entered
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if patient {
				close(release)
			}
			stopErr, serveErr, answerErr := s.Stop(ctx), <-served, <-answered
			http.DefaultClient.CloseIdleConnections()
			if (stopErr == nil) != patient || (answerErr == nil) != patient || (serveErr == nil) != patient {
				t.Errorf("Stop %v, Serve %v, request %v", stopErr, serveErr, answerErr)
			}
			if again := s.Stop(t.Context()); fmt.Sprint(again) != fmt.Sprint(stopErr) {
				t.Errorf("a second Stop: %v", again)
			}
		})
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

// BenchmarkEmptyRequest is an authenticated request that does nothing, without the network.
func BenchmarkEmptyRequest(b *testing.B) {
	s, err := New(Options{Auth: door{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	routes, mux := http.NewServeMux(), http.NewServeMux()
	routes.HandleFunc("GET /v1/empty/{id}", func(w http.ResponseWriter, r *http.Request) {})
	mux.Handle("/v1/", s.Face(Face{Name: "native", Routes: routes}))
	h := s.wrap("main", mux)
	r, _ := http.NewRequest("GET", "/v1/empty/7", nil)
	r.SetBasicAuth("ann", "x")
	r.RemoteAddr = "127.0.0.1:999"
	r.Body = http.NoBody
	w := nowhere{}
	b.ReportAllocs()
	for b.Loop() {
		clear(w)
		h.ServeHTTP(w, r)
	}
}

// BenchmarkEmptyRequestOverTCP adds the network: keep-alive connections on loopback, client included.
func BenchmarkEmptyRequestOverTCP(b *testing.B) {
	f := serve(b, Options{}, nil, func(s *Server, mux *http.ServeMux) {
		s.log = slog.New(slog.DiscardHandler)
		routes := http.NewServeMux()
		routes.HandleFunc("GET /v1/empty/{id}", func(w http.ResponseWriter, r *http.Request) {})
		mux.Handle("/v1/", s.Face(Face{Name: "native", Routes: routes}))
	})
	address := strings.TrimPrefix(f.url, "http://")
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		for pb.Next() {
			io.WriteString(c, "GET /v1/empty/7 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW5uOng=\r\n\r\n")
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					b.Error(err)
					return
				}
				if len(line) == 2 {
					break
				}
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

type nowhere http.Header

func (w nowhere) Header() http.Header         { return http.Header(w) }
func (w nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w nowhere) WriteHeader(int)             {}
