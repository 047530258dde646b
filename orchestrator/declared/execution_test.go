package declared_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/occi"
	"github.com/troupe-dev/troupe/orchestrator"
	"github.com/troupe-dev/troupe/orchestrator/declared"
)

const farm = `heat_template_version: 2015-10-15
parameters: {size: {type: number, default: 2}, labels: {type: json}}
resources:
  workers: {type: OS::Heat::ResourceGroup, properties: {count: {get_param: size}, resource_def: {type: OS::Nova::Server, properties: {image: tiny, flavor: m1.small}}}}
outputs:
  size: {value: {get_param: size}}
  colour: {value: {get_param: [labels, colour]}}
`

const declaration = `regions: {RegionOne: farm.yaml}
parameters:
  labels: {colour: "{{ attributes.colour }}", of: ["{{ tenant }}", 3]}
rules:
  busy:
    on: {alarm: "last(load) > 5"}
    do: [{scale: {parameter: size, by: +2, max: 5}}, {notify: "%s/orchestrator/default"}]
  idle:
    on: {alarm: "last(load) > 5", state: ok}
    do: {scale: {parameter: size, by: -2, min: 1}}
`

// Alarms scale a parameter within its bounds, and tell another orchestrator; afterwards nothing of it is left.
func TestScale(t *testing.T) {
	ctx := t.Context()
	s := apptest.Start(t, app.Options{Accounts: []app.Account{{Driver: "sim"}}, Monasca: app.Monasca{Extended: true}, Notifications: app.Notifications{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	design := s.URL() + "/keystone/v3"
	p, err := openstack.NewClient(design)
	if err != nil {
		t.Fatal(err)
	}
	if err := openstack.AuthenticateV3(ctx, p, &tokens.AuthOptions{Username: "oneadmin", Password: s.Password(), DomainName: "Default", Scope: tokens.Scope{ProjectName: "oneadmin", DomainName: "Default"}}, gophercloud.EndpointOpts{}); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case told <- r.Header.Get("X-Occi-Attribute"):
		default:
		}
	}))
	t.Cleanup(other.Close)
	d, err := declared.Read("o.yaml", fmt.Appendf(nil, declaration, other.URL), func(string) ([]byte, error) { return []byte(farm), nil })
	if err != nil {
		t.Fatal(err)
	}
	cloud := orchestrator.NewCloud(orchestrator.CloudOptions{Design: design, Token: p.Token, Tenant: "oneadmin"})
	d.Cloud = func(*orchestrator.Instance, string) *orchestrator.Cloud { return cloud }
	h, err := orchestrator.NewHandler(ctx, d.New, orchestrator.Options{State: filepath.Join(t.TempDir(), "state.json")})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(h.Close)
	t.Cleanup(server.Close)
	so := &occi.Client{URL: server.URL, InHeaders: true, Header: http.Header{"X-Auth-Token": {p.Token()}, "X-Tenant-Name": {"oneadmin"}}}
	e := &occi.Entity{Path: "/orchestrator/default", Kind: orchestrator.Kind}
	e.Attributes.Set("occi.mcn.app.url", server.URL+e.Path)
	if _, err := so.Create(ctx, "/orchestrator/", e); err != nil {
		t.Fatal(err)
	}
	deploy, provision := occi.Invocation{Action: orchestrator.Scheme + "deploy"}, occi.Invocation{Action: orchestrator.Scheme + "provision"}
	if err := so.Act(ctx, e.Path, deploy); err == nil || !strings.Contains(err.Error(), "labels") || occi.StatusOf(err) != http.StatusBadRequest {
		t.Errorf("an attribute that is missing: %v", err)
	}
	var colour occi.Attributes
	colour.Set("colour", "red")
	if _, err := so.Update(ctx, e.Path, orchestrator.Kind, occi.Change{Attributes: colour}); err != nil {
		t.Fatal(err)
	}
	until := func(state, size string) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for began := time.Now(); ; <-tick.C {
			e, err := so.Get(ctx, e.Path)
			if err != nil {
				t.Fatal(err)
			}
			if e.Attributes.Text("occi.mcn.stack.state") == state && e.Attributes.Text("size") == size && e.Attributes.Text("colour.RegionOne") == "red" {
				return
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("it does not become %s of %s: %v", state, size, e.Attributes)
			}
		}
	}
	if err := so.Act(ctx, e.Path, deploy); err != nil {
		t.Fatal(err)
	}
	until(orchestrator.CreateComplete, "2")
	if err := so.Act(ctx, e.Path, provision); err != nil {
		t.Fatal(err)
	}
	until(orchestrator.UpdateComplete, "2")
	load := func(v float64) {
		t.Helper()
		if err := s.Client().Metrics().Push(ctx, client.MetricSample{Name: "load", Value: v}); err != nil {
			t.Fatal(err)
		}
	}
	load(9)
	until(orchestrator.UpdateComplete, "4")
	select {
	case got := <-told:
		if !strings.HasPrefix(got, orchestrator.AttrAlarm+"=") {
			t.Errorf("the other orchestrator is told %s", got)
		}
	case <-time.After(time.Minute):
		t.Error("the other orchestrator is told nothing")
	}
	load(1)
	until(orchestrator.UpdateComplete, "2")
	if err := so.Delete(ctx, e.Path); err != nil {
		t.Fatal(err)
	}
	left, err := s.Client().Alarms().Definitions(context.WithoutCancel(ctx), 0)
	if err != nil || len(left) > 0 {
		t.Errorf("alarms %v are left, %v", left, err)
	}
}
