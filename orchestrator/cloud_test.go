package orchestrator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"context"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
	"github.com/troupe-dev/troupe/orchestrator"
)

// login returns a token of Troupe's administrator for a project, by its Keystone.
func login(t *testing.T, s *apptest.Server, project string) string {
	t.Helper()
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"oneadmin","domain":{"id":"default"},"password":%q}}},
		"scope":{"project":{"name":%q,"domain":{"id":"default"}}}}}`, s.Password(), project)
	resp, err := http.Post(s.URL()+"/keystone/v3/auth/tokens", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("status %d", resp.StatusCode)
	}
	return resp.Header.Get("X-Subject-Token")
}

func newCloud(t *testing.T) (*apptest.Server, *orchestrator.Cloud, string) {
	t.Helper()
	s := apptest.Start(t, app.Options{Accounts: []app.Account{{Driver: "sim"}}, Monasca: app.Monasca{Extended: true}, Notifications: app.Notifications{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	token := login(t, s, "oneadmin")
	return s, orchestrator.NewCloud(orchestrator.CloudOptions{Design: s.URL() + "/keystone/v3", Token: func() string { return token }, Tenant: "oneadmin"}), token
}

// Services are found in the catalogue of Troupe's own Keystone.
func TestRegistry(t *testing.T) {
	s, c, token := newCloud(t)
	ctx := t.Context()
	if all, err := c.Services(ctx); err != nil || !slices.Contains(all, "identity") || !slices.Contains(all, "monitoring") {
		t.Errorf("services %v, %v", all, err)
	}
	if url, err := c.Endpoint(ctx, "monitoring"); err != nil || url != s.URL()+"/monasca/v2.0" {
		t.Errorf("%s, %v", url, err)
	}
	if _, err := c.Endpoint(ctx, "http://example.org/occi/sm#db"); !errors.Is(err, orchestrator.ErrNoService) || !strings.Contains(err.Error(), "sm#db") {
		t.Errorf("a service that is not there: %v", err)
	}
	options := orchestrator.CloudOptions{Design: s.URL() + "/keystone/v2.0", Token: func() string { return token }, Tenant: "oneadmin", Region: "elsewhere"}
	if _, err := orchestrator.NewCloud(options).Endpoint(ctx, "monitoring"); !errors.Is(err, orchestrator.ErrNoService) {
		t.Errorf("another region: %v", err)
	}
	options.Tenant = "strangers"
	if _, err := orchestrator.NewCloud(options).Services(ctx); !errors.Is(err, orchestrator.ErrNoTenant) {
		t.Errorf("another tenant: %v", err)
	}
	options.Design = ""
	if _, err := orchestrator.NewCloud(options).Services(ctx); !errors.Is(err, orchestrator.ErrNoDesign) {
		t.Errorf("no identity service: %v", err)
	}
	for _, k := range []struct {
		token, tenant string
		good          bool
	}{{token, "oneadmin", true}, {token, "strangers", false}, {"forged", "oneadmin", false}} {
		if good, err := c.Verify(ctx, k.token, k.tenant); err != nil || good != k.good {
			t.Errorf("%s for %s: %v, %v", k.token, k.tenant, good, err)
		}
	}
	s.Close()
	if _, err := c.Verify(ctx, token, "oneadmin"); err == nil {
		t.Error("a token is verified without an identity service")
	}
}

// A reactor is told of alarms.
type reactor struct {
	*sample
	told chan string
}

func (r reactor) Notify(_ context.Context, a orchestrator.Attributes) error {
	r.told <- a[orchestrator.AttrAlarm]
	return nil
}

// An alarm that the SDK defines tells the orchestrator when what it looks at goes silent, and is gone when it is disposed of.
func TestAlarm(t *testing.T) {
	server, c, token := newCloud(t)
	s := &stage{T: t, cloud: &cloud{}}
	told := make(chan string, 10)
	h, err := orchestrator.NewHandler(t.Context(), func(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
		return reactor{&sample{s.cloud, i}, told}, nil
	}, orchestrator.Options{Verify: c.Verify})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(h)
	t.Cleanup(s.server.Close)
	mine := []string{"X-Auth-Token: " + token, "X-Tenant-Name: oneadmin"}
	s.init(mine...)
	s.act(200, "deploy", mine...)
	s.act(200, "provision", mine...)
	name, id, err := c.Notify(t.Context(), "avg(cpu.user_perc{hostname=h1}, 1) > 200", s.server.URL+path, orchestrator.Undetermined)
	if err != nil {
		t.Fatal(err)
	}
	monasca := func(method, at, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL()+"/monasca/v2.0"+at, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"X-Auth-Token": {token}, "Content-Type": {"application/json"}}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err != nil || resp.StatusCode >= 300 {
			t.Fatalf("%s %s: %d %v %s", method, at, resp.StatusCode, err, &b)
		}
		return b.String()
	}
	monasca("POST", "/metrics", fmt.Sprintf(`{"name":"cpu.user_perc","dimensions":{"hostname":"h1"},"value":3,"timestamp":%d}`, time.Now().UnixMilli()))
	select {
	case got := <-told:
		if got != name {
			t.Errorf("told of %q, not %q", got, name)
		}
	case <-time.After(time.Minute):
		t.Fatal("the orchestrator is told of nothing; alarms: " + monasca("GET", "/alarms", ""))
	}
	for range 2 {
		if err := c.DisposeAlarm(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	for _, at := range []string{"/alarm-definitions", "/notification-methods", "/alarms"} {
		var list struct{ Elements []any }
		if err := json.Unmarshal([]byte(monasca("GET", at, "")), &list); err != nil || len(list.Elements) != 0 {
			t.Errorf("%s: %v %v", at, err, list)
		}
	}
	if _, _, err := c.Notify(t.Context(), "no expression", s.server.URL+path, orchestrator.OK); err == nil {
		t.Error("a wrong expression makes an alarm")
	}
	if left := monasca("GET", "/notification-methods", ""); strings.Contains(left, s.server.URL) {
		t.Errorf("a wrong expression leaves %s", left)
	}
}

// A user for agents may send metrics, and nothing else, until it is removed.
func TestUser(t *testing.T) {
	server, c, _ := newCloud(t)
	u, err := c.CreateUser(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	call := func(method, at, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL()+at, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(u.Name, u.Password)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	sample := fmt.Sprintf(`{"name":"m","value":1,"timestamp":%d}`, time.Now().UnixMilli())
	if got := call("POST", "/monasca/v2.0/metrics", sample); got != 204 {
		t.Errorf("a sample: %d", got)
	}
	if got := call("GET", "/v1/services", ""); got != 403 {
		t.Errorf("the list of services: %d", got)
	}
	for range 2 {
		if err := c.DeleteUser(t.Context(), u.ID); err != nil {
			t.Error(err)
		}
	}
	if got := call("POST", "/monasca/v2.0/metrics", sample); got != 401 {
		t.Errorf("a sample after its removal: %d", got)
	}
}
