package client_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An answer is how a server without a network answers a request; nil breaks the connection.
type answer func(w http.ResponseWriter, r *http.Request)

// roundTrips serves requests without a network, so that time can be simulated.
type roundTrips struct {
	answers []answer
	n       atomic.Int64
	keys    []string
}

// RoundTrip implements http.RoundTripper.
func (s *roundTrips) RoundTrip(r *http.Request) (*http.Response, error) {
	n := int(s.n.Add(1)) - 1
	s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
	answer := s.answers[min(n, len(s.answers)-1)]
	if answer == nil {
		return nil, errors.New("connection reset by peer")
	}
	w := httptest.NewRecorder()
	answer(w, r)
	return w.Result(), nil
}

func problem(status int, detail string, headers ...string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		for n := 0; n+1 < len(headers); n += 2 {
			w.Header().Set(headers[n], headers[n+1])
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"title":"T","status":%d,"detail":%q,"request":"R1"}`, status, detail)
	}
}

func body(text string) answer {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, text)
	}
}

func newClient(t *testing.T, answers ...answer) (*client.Client, *roundTrips) {
	t.Helper()
	s := &roundTrips{answers: answers}
	c, err := client.New("http://troupe.example", client.Options{Token: "t", HTTP: &http.Client{Transport: s}})
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func TestCallsAreRepeated(t *testing.T) {
	busy := problem(503, "not answered", "Retry-After", "1")
	get := func(ctx context.Context, c *client.Client) error {
		_, err := c.Services().Get(ctx, "web")
		return err
	}
	create := func(ctx context.Context, c *client.Client) error {
		_, err := c.Services().Create(ctx, client.CreateService{})
		return err
	}
	user := func(ctx context.Context, c *client.Client) error {
		_, err := c.Users().Add(ctx, client.AddUser{Name: "ann"})
		return err
	}
	for name, c := range map[string]struct {
		call    func(context.Context, *client.Client) error
		answers []answer
		calls   int64
		is      func(error) bool // nil for success
		least   time.Duration
	}{
		"at once":                 {get, []answer{body(`{"id":1}`)}, 1, nil, 0},
		"after a break":           {get, []answer{nil, nil, body(`{"id":1}`)}, 3, nil, 0},
		"after the server's time": {get, []answer{busy, busy, body(`{"id":1}`)}, 3, nil, 2 * time.Second},
		"not for ever":            {get, []answer{busy}, 5, client.IsUnavailable, 4 * time.Second},
		"a paused server":         {get, []answer{problem(503, "effects are off")}, 1, client.IsUnavailable, 0},
		"never what is wrong":     {get, []answer{problem(404, "not found")}, 1, client.IsNotFound, 0},
		"throttled":               {user, []answer{problem(429, "later", "Retry-After", "2"), body(`{"id":1}`)}, 2, nil, 2 * time.Second},
		"creation with its key":   {create, []answer{nil, busy, body(`{"id":1}`)}, 3, nil, time.Second},
		"what counts twice":       {user, []answer{nil}, 1, func(err error) bool { return err != nil }, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			cl, s := newClient(t, c.answers...)
			begin := time.Now()
			err := c.call(t.Context(), cl)
			if c.is == nil && err != nil || c.is != nil && !c.is(err) {
				t.Errorf("%s: %v", name, err)
			}
			if n := s.n.Load(); n != c.calls {
				t.Errorf("%s: %d calls, want %d", name, n, c.calls)
			}
			if took := time.Since(begin); took < c.least || took > c.least+30*time.Second {
				t.Errorf("%s took %v", name, took)
			}
			for _, k := range s.keys {
				if k != s.keys[0] {
					t.Errorf("%s: the key changed from %q to %q", name, s.keys[0], k)
				}
			}
		})
	}
}

func TestAContextEndsTheRepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newClient(t, problem(503, "busy", "Retry-After", "60"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := c.Services().Get(ctx, "web"); err == nil || time.Since(begin) > 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		answer answer
		want   string
	}{
		"detail": {problem(409, "not now"), "not now"},
		"places": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(400)
			io.WriteString(w, `{"title":"Bad Request","status":400,"errors":[{"file":"web.yaml","line":3,"column":5,"path":"roles.app","detail":"no"},{"location":"body.x","message":"unexpected"}]}`)
		}, "web.yaml:3:5: roles.app: no\nbody.x: unexpected"},
		"a proxy's": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(418)
			io.WriteString(w, "<html>")
		}, "I'm a teapot"},
		"text": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "go away", http.StatusGone) }, "go away"},
		"lies": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(410)
			io.WriteString(w, `{"status":200,`)
		}, "Gone"},
	} {
		cl, _ := newClient(t, c.answer)
		_, err := cl.Me(t.Context())
		var p *client.Problem
		if !errors.As(err, &p) || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestWrongServers(t *testing.T) {
	for _, url := range []string{"", "troupe", "ftp://x", "http://", "http://a:b@x", "://"} {
		if _, err := client.New(url, client.Options{}); err == nil || strings.Contains(err.Error(), "a:b") {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := client.New("https://x", client.Options{CA: []byte("nothing")}); err == nil {
		t.Error("a CA without a certificate")
	}
}

func TestCAAndCredentials(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "ann" || p != "secret" || r.URL.Path != "/base/v1/me" {
			http.Error(w, r.URL.Path, http.StatusUnauthorized)
			return
		}
		body(`{"user":{"id":1,"name":"ann"}}`)(w, r)
	}))
	defer s.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for name, c := range map[string]struct {
		o  client.Options
		ok bool
	}{"with": {client.Options{CA: ca, User: "ann", Password: "secret"}, true}, "without": {client.Options{User: "ann", Password: "secret", Attempts: 1}, false}} {
		cl, err := client.New(s.URL+"/base/", c.o)
		if err != nil {
			t.Fatal(err)
		}
		me, err := cl.Me(t.Context())
		if (err == nil) != c.ok || c.ok && me.User.Name != "ann" || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %+v, %v", name, me, err)
		}
		cl.Close()
	}
}

// events answers with a stream of server-sent events and breaks off.
func events(want string, list ...string) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Last-Event-ID"); got != want {
			problem(400, "resumed after "+got+", want "+want)(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, ": connected\n\n"+strings.Join(list, ""))
	}
}

func told(name string, revision int64, service uint64, more string) string {
	return fmt.Sprintf("id: %d\nevent: %s\ndata: {\"revision\":%d,\"service\":%d%s}\n\n", revision, name, revision, service, more)
}

func TestWatchGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newClient(t,
			events("", told("open", 10, 0, ""), told("change", 11, 1, ""), told("change", 12, 1, ""), told("change", 12, 2, "")),
			nil,
			problem(503, "a standby", "Retry-After", "1"),
			events("12", told("open", 12, 0, ""), told("change", 12, 1, ""), told("change", 12, 2, ""), told("change", 12, 3, ""), told("change", 11, 4, "")),
			events("11", told("open", 11, 0, ""), told("reset", 20, 0, `,"reset":true`), told("change", 21, 1, "")),
			problem(401, "the token has ended"),
		)
		var got []string
		for x, err := range c.Watch(t.Context(), client.WatchOptions{Now: true}) {
			if err != nil {
				got = append(got, err.Error())
				continue
			}
			got = append(got, fmt.Sprintf("%d/%d/%v", x.Revision, x.Service, x.Reset))
		}
		want := "10/0/true 11/1/false 12/1/false 12/2/false 12/3/false 11/4/false 20/0/true 21/1/false the token has ended"
		if strings.Join(got, " ") != want {
			t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
		}
	})
}

func TestWatchOfOneServiceEnds(t *testing.T) {
	c, s := newClient(t, events("5", told("open", 5, 0, ""), told("change", 6, 1, `,"state":"DONE","removed":true`), told("change", 7, 1, "")))
	n := 0
	for x, err := range c.Watch(t.Context(), client.WatchOptions{Service: "web", After: 5}) {
		if err != nil || !x.Removed {
			t.Errorf("%+v, %v", x, err)
		}
		n++
	}
	if n != 1 || s.n.Load() != 1 {
		t.Errorf("%d changes, %d connections", n, s.n.Load())
	}
}

// A silent server is left after a while.
func TestWatchNoticesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		ctx, cancel := context.WithCancel(t.Context())
		c, err := client.New("http://troupe.example", client.Options{HTTP: &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			if calls++; calls == 3 {
				cancel()
			}
			pr, pw := io.Pipe()
			context.AfterFunc(r.Context(), func() { pw.CloseWithError(r.Context().Err()) })
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: pr}, nil
		})}})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for range c.Watch(ctx, client.WatchOptions{}) {
			t.Error("something was told")
		}
		if took := time.Since(begin); took < 90*time.Second || took > 3*time.Minute {
			t.Errorf("two silences took %v", took)
		}
		synctest.Wait()
	})
}

type tripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestExecFrames(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		exit   int
		says   string // of the error; "" for none
	}{
		"good":   {`{"stdout":"aGVsbG8="}` + "\n" + `{"stderr":"bm8="}` + "\n" + `{"exit":3}` + "\n", 3, ""},
		"error":  {`{"stdout":"aGVsbG8="}` + "\n" + `{"error":"the machine is gone"}` + "\n", 0, "the machine is gone"},
		"broken": {`{"stdout":"aGVsbG8="}` + "\n", 0, "may still run"},
		"wrong":  {`<html>`, 0, "may still run"},
	} {
		cl, _ := newClient(t, body(c.answer))
		var out, errs strings.Builder
		exit, err := cl.Services().Exec(t.Context(), "web", 1, client.Exec{Command: []string{"x"}, Stdout: &out, Stderr: &errs})
		if exit != c.exit || (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d, %v", name, exit, err)
		}
		if name == "good" && out.String()+"/"+errs.String() != "hello/no" {
			t.Errorf("output %q, %q", &out, &errs)
		}
	}
}

func TestDurationsAreText(t *testing.T) {
	text, err := json.Marshal(client.Action{Name: "reboot", Period: client.Duration(90 * time.Second)})
	if err != nil || string(text) != `{"action":"reboot","period":"1m30s"}` {
		t.Errorf("%s, %v", text, err)
	}
	var a client.Action
	if err := json.Unmarshal(text, &a); err != nil || time.Duration(a.Period) != 90*time.Second {
		t.Errorf("%+v, %v", a, err)
	}
	if err := json.Unmarshal([]byte(`{"period":"soon"}`), &a); err == nil {
		t.Error("soon is no time span")
	}
}
