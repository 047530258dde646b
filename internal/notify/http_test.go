package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/troupe-dev/troupe/client"

	"github.com/troupe-dev/troupe/internal/egress"
)

// lab lets tests reach this machine.
var lab = &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}

func post(t *testing.T, o HTTPOptions, m *Method) error {
	t.Helper()
	h := NewHTTP(o)
	defer h.Close()
	return h.Send(t.Context(), m, delivery(example(), "hook"))
}

func listen(t *testing.T, f http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s
}

// TestSigned: what arrives is what was signed, and the client package says so.
func TestSigned(t *testing.T) {
	var problem atomic.Value
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/so" {
			body = []byte(r.Header.Get("X-OCCI-Attribute"))
		}
		if err := client.VerifySignature(r.Header, body, "s3cret", time.Now(), 0); err != nil {
			problem.Store(err.Error())
		}
		if client.VerifySignature(r.Header, body, "another", time.Now(), 0) == nil {
			problem.Store("another secret fits")
		}
		if r.Header.Get(client.HeaderEvent) != "5f0c-7" || r.Header.Get(client.HeaderSequence) != "7" || r.Header.Get(client.HeaderTest) != "" {
			problem.Store("headers " + r.Header.Get(client.HeaderEvent))
		}
	})
	for _, m := range []*Method{
		{Type: Webhook, Address: s.URL, Secret: "s3cret"},
		{Type: Slack, Address: s.URL, Secret: "s3cret"},
		{Type: OCCI, Name: "alarm-0001", Address: s.URL + "/so", Secret: "s3cret"},
	} {
		if err := post(t, HTTPOptions{Guard: lab}, m); err != nil || problem.Load() != nil {
			t.Errorf("%s: %v, %v", m.Type, err, problem.Load())
		}
	}
}

func TestPost(t *testing.T) {
	var got http.Header
	var body string
	s := listen(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r.Header, string(b)
	})
	render := func(_ context.Context, _, template string, values map[string]any) (string, error) {
		if template == "bad" {
			return "", errors.New("line 1: no value")
		}
		return strings.ReplaceAll(template, "STATE", values["state"].(string)), nil
	}
	o := HTTPOptions{Guard: lab, Render: render, PagerDuty: s.URL}
	for _, x := range []struct {
		m           Method
		body, media string
	}{
		{Method{Type: Webhook}, `{"alarm_id":"5f0c"`, "application/json"},
		{Method{Type: Webhook, Template: "now STATE", Headers: map[string]string{"content-type": "text/plain", "Authorization": "Bearer x"}}, "now ALARM", "text/plain"},
		{Method{Type: Slack, Template: "it is STATE"}, `{"text":"it is ALARM"}`, "application/json"},
		{Method{Type: PagerDuty}, `{"service_key":"` + s.URL, "application/json"},
	} {
		x.m.Address = s.URL
		if err := post(t, o, &x.m); err != nil || !strings.HasPrefix(body, x.body) || got.Get("Content-Type") != x.media {
			t.Errorf("%+v: %v, %s, %s", x.m, err, body, got.Get("Content-Type"))
		}
		if x.m.Headers != nil && got.Get("Authorization") != "Bearer x" {
			t.Error("the user's header is missing")
		}
	}
	failure := (*Failure)(nil)
	if err := post(t, o, &Method{Type: Webhook, Address: s.URL, Template: "bad"}); !errors.As(err, &failure) || !failure.Permanent {
		t.Error(err)
	}
}

func TestAnswers(t *testing.T) {
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // before that, nobody notices that the client has gone
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/503":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(503)
			_, _ = w.Write([]byte("a page of an inner service"))
		case "/410":
			w.WriteHeader(410)
		case "/notok":
			_, _ = w.Write([]byte(`{"ok": false, "error": "channel"}`))
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		case "/headers":
			w.Header().Set("X", strings.Repeat("x", 100<<10))
		case "/hang":
			<-r.Context().Done()
		}
	})
	for _, x := range []struct {
		t         Type
		path      string
		reason    string
		permanent bool
		after     time.Duration
	}{
		{Webhook, "/200", "", false, 0},
		{Webhook, "/204", "", false, 0},
		{Slack, "/200", "", false, 0},
		{Webhook, "/endless", "", false, 0},
		{Webhook, "/notok", "", false, 0},
		{Slack, "/notok", `answered "ok": false`, false, 0},
		{Webhook, "/503", "answered 503 Service Unavailable", false, 7 * time.Second},
		{Webhook, "/410", "answered 410 Gone", true, 0},
		{Webhook, "/hang", "no answer within 300ms", false, 0},
		{Webhook, "/headers", "server response headers exceeded 65536 bytes", false, 0},
	} {
		err := post(t, HTTPOptions{Guard: lab, Timeout: 300 * time.Millisecond}, &Method{Type: x.t, Address: s.URL + x.path})
		f := &Failure{}
		if err != nil && !errors.As(err, &f) || !strings.Contains(f.Reason, x.reason) || (x.reason == "") != (err == nil) || f.Permanent != x.permanent || f.RetryAfter != x.after {
			t.Errorf("%s: %+v", x.path, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	var stolen atomic.Bool
	other := listen(t, func(http.ResponseWriter, *http.Request) { stolen.Store(true) })
	var posted atomic.Int32
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		status, to := 307, "/here"
		switch r.URL.Path {
		case "/here":
			body, _ := io.ReadAll(r.Body)
			if r.Method == http.MethodPost && len(body) > 0 {
				posted.Add(1)
			}
			return
		case "/away":
			to = other.URL
		case "/get":
			status = 302
		case "/round":
			to = "/round"
		}
		http.Redirect(w, r, to, status)
	})
	for path, arrives := range map[string]bool{"/moved": true, "/away": false, "/get": false, "/round": false} {
		err := post(t, HTTPOptions{Guard: lab}, &Method{Type: Webhook, Address: s.URL + path})
		if (err == nil) != arrives {
			t.Errorf("%s: %v", path, err)
		}
	}
	if posted.Load() != 1 || stolen.Load() {
		t.Errorf("posted %d times; to another host: %v", posted.Load(), stolen.Load())
	}
}

// resolver answers every question for IPv4 with what turn says; for IPv6 there is nothing.
func resolver(t *testing.T, turn func() netip.Addr) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: turn().As4()},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = c.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", c.LocalAddr().String())
	}}
}

// TestRebinding: a name that leads inside is refused when connecting, whatever it led to before.
func TestRebinding(t *testing.T) {
	var reached atomic.Int32
	s := listen(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	address := "http://hook.example.test:" + port + "/"

	addresses := make(chan netip.Addr, 10)
	dns := resolver(t, func() netip.Addr { return <-addresses })
	h := NewHTTP(HTTPOptions{Resolver: dns, Guard: &egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}})
	defer h.Close()
	m, d := &Method{Type: Webhook, Address: address}, delivery(example(), "hook")

	addresses <- netip.MustParseAddr("127.0.0.1") // allowed
	if err := h.Send(t.Context(), m, d); err != nil {
		t.Fatal(err)
	}
	h.Close() // a pooled connection was checked when it was made
	for _, inside := range []string{"127.0.0.2", "169.254.169.254", "0.0.0.0"} {
		addresses <- netip.MustParseAddr(inside)
		f := (*Failure)(nil)
		if err := h.Send(t.Context(), m, d); !errors.As(err, &f) || !f.Permanent || !strings.Contains(f.Reason, inside) {
			t.Errorf("%s: %v", inside, err)
		}
	}
	if reached.Load() != 1 {
		t.Errorf("reached %d times", reached.Load())
	}
}

func TestRefused(t *testing.T) {
	var reached atomic.Bool
	s := listen(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	u, _ := url.Parse(s.URL)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "2130706433", "0x7f000001"} {
		if err := post(t, HTTPOptions{}, &Method{Type: Webhook, Address: "http://" + host + ":" + u.Port() + "/secret-path"}); err == nil || strings.Contains(err.Error(), "secret-path") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if reached.Load() {
		t.Error("the server's own machine was reached")
	}
	t.Setenv("HTTP_PROXY", s.URL) // would connect in our place
	if err := post(t, HTTPOptions{Guard: lab, Timeout: 200 * time.Millisecond}, &Method{Type: Webhook, Address: "http://192.0.2.1/"}); err == nil || reached.Load() {
		t.Error("a proxy was used")
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if err := post(t, HTTPOptions{Guard: lab}, &Method{Type: Webhook, Address: s.URL}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	if err := post(t, HTTPOptions{Guard: lab, TLS: &tls.Config{RootCAs: roots}}, &Method{Type: Webhook, Address: s.URL}); err != nil {
		t.Error(err)
	}
}

// TestCallbackOnTheWire: an orchestrator gets the documented request.
func TestCallbackOnTheWire(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lines := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			lines <- err.Error()
			return
		}
		defer c.Close()
		var all strings.Builder
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			all.WriteString(line)
			if err != nil || line == "\r\n" {
				break
			}
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		lines <- all.String()
	}()
	m := &Method{Type: OCCI, Name: "alarm-0001", Address: "http://" + l.Addr().String() + "/orchestrator/default"}
	token := func(context.Context, int) (string, string, error) { return "tok", "mini-mon", nil }
	if err := post(t, HTTPOptions{Guard: lab, Token: token}, m); err != nil {
		t.Fatal(err)
	}
	got := <-lines
	if !strings.HasPrefix(got, "POST /orchestrator/default?action=notify HTTP/1.1\r\n") {
		t.Error(got)
	}
	for _, want := range []string{
		"Content-Type: text/occi", `Category: notify; scheme="http://schemas.mobile-cloud-networking.eu/occi/service#"`,
		"X-Auth-Token: tok", "X-Tenant-Name: mini-mon", "X-OCCI-Attribute: notification.alarm_name=alarm-0001", "Content-Length: 0",
	} {
		if !strings.Contains(strings.ToLower(got), strings.ToLower("\r\n"+want+"\r\n")) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := start
	for value, want := range map[string]time.Duration{
		"": 0, "12": 12 * time.Second, " 3 ": 3 * time.Second, "-1": 0, "1.5": 0, "soon": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("99999999999999999999")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		if d := retryAfter(value, start); d < 0 {
			t.Errorf("%q: %v", value, d)
		}
	})
}

func TestCommand(t *testing.T) {
	folder := t.TempDir()
	c := &Commands{Timeout: 500 * time.Millisecond, Programs: map[string][]string{
		"save":   {"/bin/sh", "-c", `cat > "$0/in"; env > "$0/env"; pwd > "$0/pwd"`, folder},
		"ignore": {"/bin/true"},
		"fail":   {"/bin/sh", "-c", "yes inner secret | head -c 100000; exit 3"},
		"hang":   {"/bin/sh", "-c", "sleep 60 & sleep 60"},
		"none":   {"/no/such/program"},
	}}
	send := func(name string) error {
		return c.Send(t.Context(), &Method{Type: Command, Address: name}, delivery(example(), "cmd"))
	}
	t.Setenv("TROUPE_PASSWORD", "x")
	if err := send("save"); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"in": string(webhookJSON(delivery(example(), "cmd"), true, "")), "pwd": "/\n"} {
		if got, err := os.ReadFile(folder + "/" + file); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", file, got, err)
		}
	}
	if env, _ := os.ReadFile(folder + "/env"); strings.Contains(string(env), "TROUPE") || !strings.Contains(string(env), "PATH=") {
		t.Errorf("environment %s", env)
	}
	if err := send("ignore"); err != nil {
		t.Error(err)
	}
	f := (*Failure)(nil)
	if err := send("fail"); !errors.As(err, &f) || f.Reason != "the command ended with exit status 3" || f.Permanent || len(f.Cause.Error()) > 3*maxOutput || !strings.Contains(f.Cause.Error(), "inner secret") {
		t.Errorf("%v", err)
	}
	began := time.Now()
	if err := send("hang"); err == nil || !strings.Contains(err.Error(), "did not end") || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if err := send("none"); err == nil || strings.Contains(err.Error(), "/no/such") {
		t.Errorf("%v", err)
	}
	if err := send("sav"); !errors.As(err, &f) || !f.Permanent || !strings.Contains(f.Reason, `did you mean "save"?`) {
		t.Errorf("%v", err)
	}
}
