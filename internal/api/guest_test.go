package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/identity"
)

func bert() (*identity.Caller, error) {
	return &identity.Caller{Name: "bert", Scopes: identity.ScopeAll}, nil
}

// withGuests adds a listener that asks for no credentials, before the server serves.
func withGuests(t *testing.T, address string, guest func() (*identity.Caller, error)) (f *fixture, url string) {
	t.Helper()
	f = serve(t, Options{}, nil, func(s *Server, mux *http.ServeMux) {
		native(s, mux)
		if _, err := s.Listen(t.Context(), Listener{Name: "guests", Address: address, Handler: mux, Guest: guest}); err != nil {
			t.Fatal(err)
		}
	})
	return f, f.Addrs()["guests"]
}

// A listener with guests serves programs of this host, and no page in a browser, by whatever name it comes.
func TestGuests(t *testing.T) {
	_, url := withGuests(t, "127.0.0.1:0", bert)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	for name, c := range map[string]struct {
		edit   func(*http.Request)
		status int
		who    string
	}{
		"no credentials": {func(*http.Request) {}, 200, "bert"},
		"credentials":    {func(r *http.Request) { r.SetBasicAuth("ann", "x") }, 200, "ann"},
		"wrong ones":     {func(r *http.Request) { r.SetBasicAuth("stranger", "y") }, 401, ""},
		"by name":        {func(r *http.Request) { r.Host = "localhost:" + port }, 200, "bert"},
		"IPv6":           {func(r *http.Request) { r.Host = "[::1]:" + port }, 200, "bert"},
		"foreign name":   {func(r *http.Request) { r.Host = "evil.example:" + port }, 403, ""},
		"foreign port":   {func(r *http.Request) { r.Host = "127.0.0.1:1" }, 403, ""},
		"no host":        {func(r *http.Request) { r.Host = "evil.example" }, 403, ""},
		"a page":         {func(r *http.Request) { r.Header.Set("Origin", "null") }, 403, ""},
		"its own page":   {func(r *http.Request) { r.Header.Set("Origin", url) }, 403, ""},
		"a link":         {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }, 403, ""},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/who/x", nil)
		c.edit(r)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != c.status || !strings.HasPrefix(string(text), c.who) {
			t.Errorf("%s: %s %s", name, res.Status, text)
		}
	}
}

func TestGuestUnknown(t *testing.T) {
	_, url := withGuests(t, "127.0.0.1:0", func() (*identity.Caller, error) { return nil, identity.ErrBadCredentials })
	res, err := http.Get(url + "/v1/who/x")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 401 {
		t.Error(res.Status)
	}
}

func TestGuestsBeyondLoopback(t *testing.T) {
	s, err := New(Options{Auth: door{}, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Admit(Listener{Name: "guests", Address: "0.0.0.0:0", Guest: bert}); err == nil || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("got %v", err)
	}
}

// A socket has its mode before anybody can find it, replaces one that is left over and goes with the server.
func TestSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f, url := withGuests(t, "unix:"+file, bert)
	if url != "unix://"+file {
		t.Errorf("its URL is %s", url)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", file)
	}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("http://localhost/v1/who/x")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 200 || !strings.HasPrefix(string(text), "bert ") {
		t.Errorf("%s %s", res.Status, text)
	}
	transport.CloseIdleConnections()
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
