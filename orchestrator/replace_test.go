package orchestrator_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
	"github.com/troupe-dev/troupe/orchestrator"
)

const pairTemplate = `heat_template_version: 2015-10-15
parameters: {theme: {type: string, default: light}}
resources:
  web: {type: OS::Nova::Server, properties: {image: tiny, flavor: m1.small}}
  db: {type: OS::Nova::Server, properties: {image: tiny, flavor: m1.small}}
outputs: {theme: {value: {get_param: theme}}}
`

// A couple is a service of two servers, whose machines take their time.
type couple struct {
	*stage
	cloud *orchestrator.Cloud
	made  *orchestrator.Templates
	mine  []string
}

// serve serves it, with what is kept in a file.
func (c *couple) serve(state string) (stop func()) {
	c.Helper()
	h, err := orchestrator.NewHandler(c.Context(), func(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
		c.made = &orchestrator.Templates{Instance: i, Regions: map[string]orchestrator.Pair{"RegionOne": {Deployment: pairTemplate, Provision: pairTemplate}},
			Cloud: func(string) *orchestrator.Cloud { return c.cloud },
			Parameters: func(_ context.Context, _ string, a orchestrator.Attributes) (map[string]any, error) {
				return map[string]any{"theme": a["theme"]}, nil
			}}
		return c.made, nil
	}, orchestrator.Options{State: state})
	if err != nil {
		c.Fatal(err)
	}
	c.server = httptest.NewServer(h)
	return func() { c.server.Close(); h.Close() }
}

// wait waits until the stack is complete and has just these resources.
func (c *couple) wait(resources ...string) {
	c.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		s, err := c.made.State(c.Context())
		if err != nil {
			c.Fatal(err)
		}
		text, err := c.cloud.StackTemplate(c.Context(), strings.TrimPrefix(s.ID, "RegionOne:"))
		if err != nil {
			c.Fatal(err)
		}
		var t struct{ Resources map[string]any }
		if err := json.Unmarshal(text, &t); err != nil {
			c.Fatal(err)
		}
		var names []string
		for name := range t.Resources {
			names = append(names, name)
		}
		slices.Sort(names)
		if slices.Equal(names, resources) && strings.HasSuffix(s.Stack, "_COMPLETE") {
			return
		}
		if time.Since(began) > time.Minute {
			c.Fatalf("the stack is %s with %v, not %v", s.Stack, names, resources)
		}
	}
}

// Resources are replaced one after the other: what is asked for during an update is done after it, also by the program's successor; what
// is being done already is not done twice; and an update of something else keeps the names.
func TestReplace(t *testing.T) {
	server := apptest.Start(t, app.Options{Accounts: []app.Account{{Driver: "sim", Values: map[string]any{"create_delay": "500ms"}}}})
	token := login(t, server, "oneadmin")
	c := &couple{stage: &stage{T: t}, mine: []string{"X-Auth-Token: " + token, "X-Tenant-Name: oneadmin"},
		cloud: orchestrator.NewCloud(orchestrator.CloudOptions{Design: server.URL() + "/keystone/v3", Token: func() string { return token }, Tenant: "oneadmin"})}
	state := filepath.Join(t.TempDir(), "state.json")
	stop := c.serve(state)
	replace := func(resource string) {
		t.Helper()
		if err := c.made.Replace(t.Context(), resource); err != nil {
			t.Error(err)
		}
	}
	c.init(c.mine...)
	c.act(200, "deploy", c.mine...)
	c.wait("db", "web")
	c.act(200, "provision", c.mine...)
	c.wait("db", "web")
	replace("web")
	replace("web") // is being done
	replace("db")  // waits
	replace("db")
	c.wait("db_1", "web_1")
	c.want(200, "POST", path, append(c.mine, "X-OCCI-Attribute: theme=dark")...)
	c.wait("db_1", "web_1")
	c.holds(c.want(200, "GET", path, c.mine...), `X-OCCI-Attribute: theme="dark"`)
	replace("web")
	c.wait("db_1", "web")
	if err := c.made.Replace(t.Context(), "wep"); err == nil || !strings.Contains(err.Error(), "wep") {
		t.Errorf("a resource that is not there: %v", err)
	}
	replace("db")
	replace("web") // waits for the next program
	stop()
	stop = c.serve(state)
	defer stop()
	c.wait("db", "web_1")
	c.want(200, "DELETE", path, c.mine...)
}
