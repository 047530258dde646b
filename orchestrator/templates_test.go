package orchestrator_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/orchestrator"
)

const shop = `heat_template_version: 2015-10-15
parameters:
  theme: {type: string, default: light}
resources:
  port: {type: OS::Neutron::Port, properties: {network: private}}
  web:
    type: OS::Nova::Server
    properties: {image: tiny, flavor: m1.small, networks: [{port: {get_resource: port}}]}
outputs:
  shop.url: {value: {list_join: ['', ['http://', {get_attr: [port, fixed_ips, 0, ip_address]}, '/', {get_param: theme}]]}}
`

// An orchestrator of templates alone goes through all phases on Troupe's own Heat, over OCCI; a failed creation that went unanswered is not
// repeated.
func TestTemplates(t *testing.T) {
	_, c, token := newCloud(t)
	s := &stage{T: t, cloud: &cloud{}}
	mine := []string{"X-Auth-Token: " + token, "X-Tenant-Name: oneadmin"}
	var made *orchestrator.Templates
	h, err := orchestrator.NewHandler(t.Context(), func(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
		made = &orchestrator.Templates{Instance: i, Regions: map[string]orchestrator.Pair{"RegionOne": {Deployment: shop, Provision: shop}},
			Cloud: func(string) *orchestrator.Cloud { return c },
			Parameters: func(_ context.Context, _ string, a orchestrator.Attributes) (map[string]any, error) {
				if theme := a["shop.theme"]; theme != "" {
					return map[string]any{"theme": theme}, nil
				}
				return nil, nil
			}}
		return made, nil
	}, orchestrator.Options{Verify: c.Verify})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(h)
	t.Cleanup(s.server.Close)
	until := func(texts ...string) string {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for began := time.Now(); ; <-tick.C {
			body := s.want(200, "GET", path, mine...).body
			missing := ""
			for _, text := range texts {
				if !strings.Contains(body, text) {
					missing = text
				}
			}
			if missing == "" {
				return body
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("%q does not come:\n%s", missing, body)
			}
		}
	}
	s.init(append(mine, "X-OCCI-Attribute: shop.theme=dark")...)
	s.act(200, "deploy", mine...)
	first := until(`occi.mcn.stack.state="CREATE_COMPLETE"`, `shop.url.RegionOne="http://10.`, `/dark"`, `occi.mcn.stack.id="RegionOne:`)
	// As after a crash between the creation and what is kept of it: the stack is found, not made twice.
	kept := made.Instance.Value("stack RegionOne")
	if err := made.Instance.Keep("stack RegionOne", ""); err != nil {
		t.Fatal(err)
	}
	if err := made.Deploy(t.Context(), nil); err != nil || made.Instance.Value("stack RegionOne") != kept || kept == "" {
		t.Errorf("%v: stack %s, first %s", err, made.Instance.Value("stack RegionOne"), kept)
	}
	s.act(200, "provision", mine...)
	until(`occi.mcn.stack.state="UPDATE_COMPLETE"`, `/dark"`)
	s.want(200, "POST", path, append(mine, "X-OCCI-Attribute: shop.theme=blue")...)
	until(`occi.mcn.stack.state="UPDATE_COMPLETE"`, `/blue"`)
	id := first[strings.Index(first, `"RegionOne:`)+len(`"RegionOne:`):]
	id = id[:strings.IndexByte(id, '"')]
	if text, err := c.StackTemplate(t.Context(), id); err != nil || !strings.Contains(string(text), "OS::Neutron::Port") {
		t.Errorf("the template: %v %s", err, text)
	}
	s.want(200, "DELETE", path, mine...)
	for range 2 {
		if err := c.DeleteStack(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if err := c.UpdateStack(t.Context(), id, orchestrator.Stack{Template: shop}); err == nil {
		t.Error("a stack that is gone is updated")
	}
	if _, err := c.CreateStack(t.Context(), orchestrator.Stack{Template: "heat_template_version: 2015-10-15\nresources: {a: {type: OS::Nova::Sever}}"}); err == nil || !strings.Contains(err.Error(), "OS::Nova::Server") {
		t.Errorf("a wrong template: %v", err)
	}
}
