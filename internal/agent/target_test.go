package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/internal/telemetry"
)

// A face records requests, and answers with what answer says.
type face struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []string
	bodies []string
	header []http.Header
}

func serve(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *face {
	f := new(face)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.calls = append(f.calls, r.Method+" "+r.URL.Path)
		f.bodies = append(f.bodies, string(body))
		f.header = append(f.header, r.Header)
		answer(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTroupeToken(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	name := secretFile(t, "first\n")
	to, err := newTroupe(&TroupeTarget{URL: f.URL + "/", TokenFile: name})
	if err != nil {
		t.Fatal(err)
	}
	post := func() {
		t.Helper()
		if err := to.post(t.Context(), []byte("[]")); err != nil {
			t.Fatal(err)
		}
	}
	post()
	if err := os.WriteFile(name, []byte("second, and longer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	post()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	post()
	var got []string
	for _, h := range f.header {
		got = append(got, h.Get("Authorization"))
	}
	if want := []string{"Bearer first", "Bearer second, and longer", "Bearer second, and longer"}; !slices.Equal(got, want) {
		t.Errorf("tokens were %q", got)
	}
	if f.calls[0] != "POST /v1/metrics" || f.header[0].Get("Content-Type") != "application/json" {
		t.Errorf("called %v", f.calls)
	}
}

func TestTroupeInstance(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	c := new(Config)
	c.Environment(environment(map[string]string{"ONEGATE_ENDPOINT": f.URL + "/onegate", "ONEGATE_TOKEN": "gate", "VMID": "42", "TROUPE_SERVICE": "7",
		"TROUPE_ROLE": "web", "TROUPE_INSTANCE": "web-3"}))
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	to, err := newTroupe(c.Troupe)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.post(t.Context(), []byte("[]")); err != nil {
		t.Fatal(err)
	}
	if h := f.header[0]; h.Get("X-ONEGATE-TOKEN") != "gate" || h.Get("X-ONEGATE-VMID") != "42" || h.Get("Authorization") != "" {
		t.Errorf("headers: %v", h)
	}
	if len(c.place) > 0 || c.Hostname != "web-3" {
		t.Errorf("dimensions %v, host name %q: the server knows the service by the token", c.place, c.Hostname)
	}
}

func TestAnswers(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "too many series", http.StatusTooManyRequests)
	})
	to, err := newTroupe(&TroupeTarget{URL: f.URL, token: "tok"})
	if err != nil {
		t.Fatal(err)
	}
	answer := (*AnswerError)(nil)
	err = to.post(t.Context(), []byte("[]"))
	if !errors.As(err, &answer) || answer.Status != 429 || answer.After != 7*time.Second || answer.Text != "too many series" {
		t.Errorf("error %v", err)
	}
	if strings.Contains(err.Error(), "tok") && !strings.Contains(err.Error(), "too") {
		t.Error("the token is in the error")
	}
}

// keystoneAnswer is what a real Keystone says, with a life of the token.
func keystoneAnswer(w http.ResponseWriter, id, monasca string, life time.Duration) {
	w.Header().Set("X-Subject-Token", id)
	w.WriteHeader(http.StatusCreated)
	issued := time.Date(2026, 11, 20, 10, 1, 12, 0, time.UTC) // not by the clock here
	const form = "2006-01-02T15:04:05.000000Z"
	fmt.Fprintf(w, `{"token": {"methods": ["password"], "issued_at": %q, "expires_at": %q, "catalog": [
		{"type": "identity", "name": "keystone", "endpoints": [{"interface": "public", "region": "RegionOne", "url": "http://keystone.test"}]},
		{"type": "monitoring", "name": "monasca", "endpoints": [
			{"interface": "internal", "region": "RegionOne", "url": "http://inside.test"},
			{"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": %q}]}]}}`,
		issued.Format(form), issued.Add(life).Format(form), monasca)
}

// asAsked is the request of Monasca's command line client for a token, as recorded.
const asAsked = `{"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": "password", "name": "mini-mon",
	"domain": {"name": "Default"}}}}, "scope": {"project": {"name": "mini-mon", "domain": {"name": "Default"}}}}}`

func TestMonasca(t *testing.T) {
	tokens, refuse := 0, ""
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/":
			w.WriteHeader(http.StatusMultipleChoices)
			fmt.Fprintf(w, `{"versions": {"values": [{"id": "v3.14", "links": [{"rel": "self", "href": "http://%s/v3/"}]},
				{"id": "v2.0", "links": [{"rel": "self", "href": "http://%s/v2.0/"}]}]}}`, r.Host, r.Host)
		case r.URL.Path == "/v3/auth/tokens":
			tokens++
			keystoneAnswer(w, fmt.Sprintf("tok-%d", tokens), "http://"+r.Host+"/monitoring/v2.0", time.Hour)
		case r.Header.Get("X-Auth-Token") == refuse:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	c := &Config{Monasca: &MonascaTarget{KeystoneURL: f.URL, Username: "mini-mon", ProjectName: "mini-mon", password: "password"}}
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	to, err := newMonasca(c.Monasca)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := to.post(t.Context(), []byte("[]")); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"GET /", "POST /v3/auth/tokens", "POST /monitoring/v2.0/metrics", "POST /monitoring/v2.0/metrics"}
	if !slices.Equal(f.calls, want) {
		t.Errorf("calls: %v", f.calls)
	}
	var asked, recorded any
	if err := errors.Join(json.Unmarshal([]byte(f.bodies[1]), &asked), json.Unmarshal([]byte(asAsked), &recorded)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(recorded, asked); diff != "" {
		t.Errorf("the request for a token differs from a client's:\n%s", diff)
	}

	// A token that is refused is replaced once, and the request made again.
	f.calls, refuse = nil, "tok-1"
	if err := to.post(t.Context(), []byte("[]")); err != nil {
		t.Fatal(err)
	}
	want = []string{"POST /monitoring/v2.0/metrics", "POST /v3/auth/tokens", "POST /monitoring/v2.0/metrics"}
	if !slices.Equal(f.calls, want) {
		t.Errorf("after 401: %v", f.calls)
	}

	// One that is refused though it is new is not replaced again and again.
	to.keystone.current = nil
	f.calls, refuse = nil, "tok-3"
	if err := to.post(t.Context(), []byte("[]")); !Denied(err) {
		t.Errorf("error %v", err)
	}
	if want := []string{"POST /v3/auth/tokens", "POST /monitoring/v2.0/metrics"}; !slices.Equal(f.calls, want) {
		t.Errorf("after 401 for a new token: %v", f.calls)
	}
}

func TestTokenRenewal(t *testing.T) {
	tokens := 0
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		tokens++
		keystoneAnswer(w, fmt.Sprint(tokens), "http://m.test", time.Hour)
	})
	c := &MonascaTarget{KeystoneURL: f.URL + "/v3", Username: "u", password: "p"}
	if err := c.complete(); err != nil {
		t.Fatal(err)
	}
	m, err := newMonasca(c)
	if err != nil {
		t.Fatal(err)
	}
	first, err := m.keystone.token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(first.renew); left < 57*time.Minute || left > 58*time.Minute {
		t.Errorf("the token is renewed in %v, though it lives an hour", left)
	}
	first.renew = time.Now().Add(-time.Second)
	if second, err := m.keystone.token(t.Context()); err != nil || second.id != "2" {
		t.Errorf("got %v, %v", second, err)
	}
	// While Keystone is away, the old one does for as long as it lives.
	f.Close()
	m.keystone.current.renew = time.Now().Add(-time.Second)
	if third, err := m.keystone.token(t.Context()); err != nil || third.id != "2" {
		t.Errorf("got %v, %v", third, err)
	}
	if versioned("http://m.test/") != "http://m.test/v2.0" || versioned("http://m.test/v2.0") != "http://m.test/v2.0" {
		t.Error("versions are not added as they should be")
	}
}

func TestPasswordStaysOutOfErrors(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error": {"code": 401, "title": "Unauthorized", "message": "no"}}`, http.StatusUnauthorized)
	})
	m, err := newMonasca(&MonascaTarget{KeystoneURL: f.URL + "/v3", Username: "u", password: "hunter2hunter2", EndpointType: "public"})
	if err != nil {
		t.Fatal(err)
	}
	err = m.post(t.Context(), []byte("[]"))
	if !Denied(err) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "user u") {
		t.Errorf("error: %v", err)
	}
}

func TestHTTPProbe(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, "all is well")
	})
	for _, x := range []struct {
		check    HTTPCheck
		bad      float64
		measures int
	}{
		{HTTPCheck{URL: f.URL + "/good?a=b&c=d"}, 0, 2},
		{HTTPCheck{URL: f.URL + "/bad"}, 1, 2},
		{HTTPCheck{URL: f.URL, Match: "is w.ll"}, 0, 2},
		{HTTPCheck{URL: f.URL, Match: "is ill"}, 1, 2},
		{HTTPCheck{URL: "http://127.0.0.1:1/"}, 1, 1},
	} {
		c := &Config{HTTP: []HTTPCheck{x.check}}
		if err := c.complete(false); err != nil {
			t.Fatal(err)
		}
		p, err := newHTTPProbe(&c.HTTP[0])
		if err != nil {
			t.Fatal(err)
		}
		r := new(report)
		err = p.run(t.Context(), r)
		if (err != nil) != (x.bad == 1) || len(r.list) != x.measures || r.list[0].Value != x.bad || (r.list[0].Meta["error"] != "") != (x.bad == 1) {
			t.Errorf("%s: %v, %v", x.check.URL, err, r.list)
		}
		if strings.ContainsAny(r.list[0].Dimensions["url"], "=&") {
			t.Errorf("the dimension url is %s", r.list[0].Dimensions["url"])
		}
	}
}

// What is sent is what the server's reader takes, with its rules, and has the shape of Monasca's agent.
func TestWireFormat(t *testing.T) {
	r := &report{time: time.UnixMicro(1893456000123750), base: map[string]string{"hostname": "web01"}}
	r.add("cpu.user_perc", 12.5)
	r.addTo(map[string]string{"service": "hurtle"}, "http_status", 1, "url", "http://a.test/x?y=1,2").Meta = map[string]string{"error": "a \"b\"\n<c>"}
	r.add("none", 1/zero)
	lines, err := encode(r.list)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"name":"cpu.user_perc","dimensions":{"hostname":"web01"},"timestamp":1893456000123.75,"value":12.5,"value_meta":null},` +
		`{"name":"http_status","dimensions":{"hostname":"web01","service":"hurtle","url":"http://a.test/x?y_1_2"},"timestamp":1893456000123.75,"value":1,"value_meta":{"error":"a \"b\"\n<c>"}}]`
	if got := string(array(lines)); got != want {
		t.Errorf("wrote\n%s\nwant\n%s", got, want)
	}
	if err := telemetry.DecodeMonasca(telemetry.NewBatch(), array(lines)); err != nil {
		t.Errorf("the server's reader: %v", err)
	}
	a, err := New(new(Config), Options{Print: true})
	if err != nil {
		t.Fatal(err)
	}
	a.settle(t.Context())
	a.collect(t.Context())
	if lines, err = encode(a.collect(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := telemetry.DecodeMonasca(telemetry.NewBatch(), array(lines)); err != nil {
		t.Errorf("the server's reader, of a report of this machine: %v", err)
	}
}

var zero float64
