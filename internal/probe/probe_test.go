package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen returns a listener of the test's own and its port with the colon.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return l, ":" + port
}

func outcome(t *testing.T, what string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func TestTCP(t *testing.T) {
	_, open := listen(t)
	l, closed := listen(t)
	l.Close()
	target := Target{Address: "127.0.0.1"}
	for address, want := range map[string]string{
		open: "", "127.0.0.1" + open: "", "localhost" + open: "", closed: "connection refused", "nonsense": `"nonsense" is no address`,
	} {
		outcome(t, address, Run(t.Context(), &service.Check{TCP: address}, target), want)
	}
	outcome(t, "no address", Run(t.Context(), &service.Check{TCP: open}, Target{}), "the instance has no address yet")
}

func TestHTTP(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("another host was asked") }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscan(r.PathValue("code"), &code)
		w.WriteHeader(code)
	})
	mux.HandleFunc("/again", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/status/200?q=1", http.StatusFound) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/status/500", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/other", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 4096))
		}
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X", strings.Repeat("x", 100_000)) })
	mux.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("x"))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("HEAD /head", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer secure.Close()
	port := plain.URL[strings.LastIndexByte(plain.URL, ':'):]
	t.Setenv("HTTP_PROXY", other.URL)
	for _, c := range []struct {
		url    string
		status int
		want   string
	}{
		{port + "/status/200", 0, ""}, {port + "/status/399", 0, ""}, {port + "/status/404", 0, "status 404"},
		{port + "/status/204", 204, ""}, {port + "/status/200", 204, "status 200, not 204"}, {port + "/status/503", 503, ""},
		{plain.URL + "/status/200", 0, ""}, {secure.URL + "/status/200", 0, ""}, {port, 0, "status 404"},
		{port + "/again", 0, ""}, {port + "/broken", 0, "status 500"}, {port + "/loop", 0, "more than 3 redirects"}, {port + "/other", 0, ""},
		{port + "/endless", 0, ""}, {port + "/header", 0, "header"}, {port + "/short", 0, "EOF"}, {port + "/slow", 0, "no answer within 200ms"},
		{"http://[::1", 0, "http"},
	} {
		check := &service.Check{HTTP: c.url, Status: c.status, Timeout: 200 * time.Millisecond}
		outcome(t, c.url, Run(t.Context(), check, Target{Address: "127.0.0.1"}), c.want)
	}
	head := &service.Check{HTTP: port + "/head", Method: "HEAD"}
	outcome(t, "HEAD", Run(t.Context(), head, Target{Address: "127.0.0.1"}), "")
	head.Method = ""
	outcome(t, "GET", Run(t.Context(), head, Target{Address: "127.0.0.1"}), "status 405")
}

func TestExec(t *testing.T) {
	check := &service.Check{Exec: []string{"pg_isready", "-q"}, Timeout: 50 * time.Millisecond}
	for want, exec := range map[string]func(context.Context, []string) (int, error){
		"":                              func(_ context.Context, args []string) (int, error) { return len(args) - 2, nil },
		"exec pg_isready: exit code 3":  func(context.Context, []string) (int, error) { return 3, nil },
		"exec pg_isready: no such":      func(context.Context, []string) (int, error) { return 0, errors.New("no such file") },
		"no answer within 50ms":         func(ctx context.Context, _ []string) (int, error) { <-ctx.Done(); return -1, ctx.Err() },
		"the instance's driver cannot ": nil,
	} {
		outcome(t, want, Run(t.Context(), check, Target{Exec: exec}), want)
	}
	outcome(t, "nothing", Run(t.Context(), &service.Check{}, Target{}), "neither tcp")
}

func TestPing(t *testing.T) {
	err := Run(t.Context(), &service.Check{Ping: true}, Target{Address: "127.0.0.1"})
	if err != nil && strings.Contains(err.Error(), "net.ipv4.ping_group_range") {
		t.Skip(err) // the message is the test: this system allows neither way
	}
	outcome(t, "loopback", err, "")
	outcome(t, "no address", Run(t.Context(), &service.Check{Ping: true}, Target{}), "no address yet")
	// 203.0.113.0/24 belongs to nobody.
	outcome(t, "nobody", Run(t.Context(), &service.Check{Ping: true, Timeout: 100 * time.Millisecond}, Target{Address: "203.0.113.1"}), "ping")
}

// A round ends with its caller's context, however long its own time-out.
func TestCancel(t *testing.T) {
	l, port := listen(t)
	_ = l
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := Run(ctx, &service.Check{HTTP: port + "/", Timeout: time.Minute}, Target{Address: "127.0.0.1"})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}
