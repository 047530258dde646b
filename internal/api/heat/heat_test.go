package heat_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/heat"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a control plane with the face; ann is of another project than the administrator.
type stage struct {
	*apitest.Stage
	t   testing.TB
	url string // of the administrator's project
	own string // of ann's
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{Stage: apitest.New(t), t: t}
	ann, err := s.Directory.AddUser(t.Context(), identity.NewUser{Name: "ann", Password: "ann's own"})
	if err != nil {
		t.Fatal(err)
	}
	root := s.Mount(heat.New(heat.Options{Control: s.Control, Driver: "sim",
		KeystoneURL: func(*http.Request) string { return "http://keystone.example.org/v3" }}).Face("/heat")) + "/heat"
	s.url, s.own = root+"/v1/0", fmt.Sprintf("%s/v1/%d", root, ann.Group)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

// send sends a request as a user.
func (s *stage) send(user, method, url string, body any) apitest.Reply {
	s.t.Helper()
	text, ok := body.(string)
	if body != nil && !ok {
		b, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		text = string(b)
	}
	r := apitest.Request(s.t, method, url, text)
	if user == "ann" {
		r.SetBasicAuth("ann", "ann's own")
	} else {
		r.SetBasicAuth(apitest.Admin, apitest.Password)
	}
	return apitest.Do(s.t, nil, r)
}

type object = map[string]any

// make makes a stack of a template and returns its URL, once it has a status.
func (s *stage) make(name, template, status string) string {
	s.t.Helper()
	r := s.send("", "POST", s.url+"/stacks", object{"stack_name": name, "template": template})
	if r.Status != 201 {
		s.t.Fatalf("%d %s", r.Status, r.Text)
	}
	at := s.url + "/stacks/" + name + "/" + r.Str("stack", "id")
	s.until(at, status)
	return at
}

func (s *stage) until(at, status string) apitest.Reply {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		r := s.send("", "GET", at, nil)
		if r.Str("stack", "stack_status") == status {
			return r
		}
		if time.Since(began) > time.Minute {
			s.t.Fatalf("no %s: %d %s", status, r.Status, r.Text)
		}
	}
}

const one = `{"heat_template_version": "2015-10-15", "resources": {"a": {"type": "OS::Nova::Server", "properties": {"image": "x", "flavor": "f"}}},
	"outputs": {"o": {"value": {"get_attr": ["a", "first_address"]}}}}`

// What a client does wrong is answered in Heat's shape, with its place, and makes nothing.
func TestMistakes(t *testing.T) {
	s := newStage(t)
	at := s.make("there", one, "CREATE_COMPLETE")
	for what, c := range map[string]struct {
		method, url string
		body        any
		status      int
		says        string
	}{
		"no JSON":             {"POST", s.url + "/stacks", "x", 400, ""},
		"no template":         {"POST", s.url + "/stacks", object{"stack_name": "b"}, 400, "No template specified"},
		"no name":             {"POST", s.url + "/stacks", object{"template": one}, 400, "Invalid stack name"},
		"a bad name":          {"POST", s.url + "/stacks", object{"stack_name": "1/2", "template": one}, 400, "Invalid stack name"},
		"a name that is used": {"POST", s.url + "/stacks", object{"stack_name": "there", "template": one}, 409, "already exists"},
		"a URL":               {"POST", s.url + "/stacks", object{"stack_name": "b", "template_url": "http://169.254.169.254/"}, 400, "not fetched"},
		"a file that is not sent": {"POST", s.url + "/stacks", object{"stack_name": "b", "template": strings.Replace(one, `"x"`, `{"get_file": "/etc/passwd"}`, 1)}, 400,
			"was not sent along"},
		"an unknown type":       {"POST", s.url + "/stacks", object{"stack_name": "b", "template": strings.Replace(one, "Server", "Sever", 1)}, 400, "OS::Nova::Server"},
		"an unknown parameter":  {"POST", s.url + "/stacks", object{"stack_name": "b", "template": one, "parameters": object{"size": 3}}, 400, "size"},
		"an environment file":   {"POST", s.url + "/stacks", object{"stack_name": "b", "template": one, "environment_files": []string{"e"}}, 400, "not among the files"},
		"a bad limit":           {"GET", s.url + "/stacks?limit=x", nil, 400, "limit"},
		"a kind of scaling":     {"POST", s.url + "/stacks", object{"stack_name": "b", "template": strings.Replace(scaled, "change_in_capacity", "chaneg_in_capacity", 1)}, 400, `resources.two: adjustment_type: no kind "chaneg_in_capacity"; did you mean "change_in_capacity"?`},
		"a bad limit of events": {"GET", at + "/events?limit=-1", nil, 400, "limit"},
		"no such stack":         {"GET", s.url + "/stacks/none", nil, 404, "The Stack (none) could not be found."},
		"another's id":          {"GET", s.url + "/stacks/there/none", nil, 404, "could not be found"},
		"no such resource":      {"GET", at + "/resources/b", nil, 404, "The Resource (b) could not be found in Stack there."},
		"no such output":        {"GET", at + "/outputs/b", nil, 404, "b"},
		"no such type":          {"GET", s.url + "/resource_types/OS::No::Thing", nil, 404, "OS::No::Thing"},
		"no such version":       {"GET", s.url + "/template_versions/2000-01-01/functions", nil, 404, "2000-01-01"},
		"an unknown action":     {"POST", at + "/actions", object{"explode": nil}, 400, "explode"},
		"two actions":           {"POST", at + "/actions", object{"check": nil, "suspend": nil}, 400, "one action"},
		"a signal to a server":  {"POST", at + "/resources/a/signal", object{}, 400, "not supported"},
		"a wrong change":        {"PUT", at, object{"template": strings.Replace(one, `"a"`, `"b"`, 1)}, 400, `did you mean "b"?`},
		"another method":        {"POST", at + "/template", nil, 405, ""},
		"another path":          {"GET", s.url + "/nothing", nil, 404, ""},
		"another project":       {"GET", s.own + "/stacks", nil, 403, "not good for the project"},
	} {
		r := s.send("", c.method, c.url, c.body)
		if r.Status != c.status || !strings.Contains(r.Str("error", "message"), c.says) || r.Str("code") != fmt.Sprint(c.status) {
			t.Errorf("%s: %d %s", what, r.Status, r.Text)
		}
	}
	if r := s.send("", "GET", s.url+"/stacks", nil); strings.Count(r.Text, `"stack_name"`) != 1 || r.Str("stacks", 0, "stack_status") != "CREATE_COMPLETE" {
		t.Errorf("afterwards there are %s", r.Text)
	}
	if r := s.send("ann", "GET", s.own+"/stacks", nil); r.Status != 200 || strings.Contains(r.Text, "there") {
		t.Errorf("another project sees %d %s", r.Status, r.Text)
	}
	for _, url := range []string{s.own + "/stacks/there", strings.Replace(at, s.url, s.own, 1), strings.Replace(at, s.url, s.own, 1) + "/template"} {
		if r := s.send("ann", "GET", url, nil); r.Status != 404 {
			t.Errorf("another project's %s: %d %s", url, r.Status, r.Text)
		}
	}
	if r := s.send("ann", "DELETE", strings.Replace(at, s.url, s.own, 1), nil); r.Status != 404 {
		t.Errorf("another project removes it: %d %s", r.Status, r.Text)
	}
}

const scaled = `{"heat_template_version": "2015-10-15", "resources": {
	"g": {"type": "OS::Heat::AutoScalingGroup", "properties": {"min_size": 1, "max_size": 12, "desired_capacity": 4, "resource": {"type": "OS::Nova::Server", "properties": {"image": "x", "flavor": "f"}}}},
	"two": {"type": "OS::Heat::ScalingPolicy", "properties": {"auto_scaling_group_id": {"get_resource": "g"}, "adjustment_type": "change_in_capacity", "scaling_adjustment": 2}},
	"less": {"type": "OS::Heat::ScalingPolicy", "properties": {"auto_scaling_group_id": {"get_resource": "g"}, "adjustment_type": "percent_change_in_capacity", "scaling_adjustment": -10, "min_adjustment_step": 3}},
	"exact": {"type": "OS::Heat::ScalingPolicy", "properties": {"auto_scaling_group_id": {"get_resource": "g"}, "adjustment_type": "exact_capacity", "scaling_adjustment": 2}},
	"much": {"type": "OS::Heat::ScalingPolicy", "properties": {"auto_scaling_group_id": {"get_resource": "g"}, "adjustment_type": "percent_change_in_capacity", "scaling_adjustment": 900}}}}`

// Signals scale a group from what is wished, not from what is there already, and within its bounds.
func TestSignals(t *testing.T) {
	s := newStage(t)
	at := s.make("shop", scaled, "CREATE_COMPLETE")
	who := s.Root()
	id := s.Control.Services(who)[0]
	for _, c := range []struct {
		policy string
		want   int
	}{{"two", 6}, {"two", 8}, {"less", 5}, {"exact", 2}, {"much", 12}} {
		if r := s.send("", "POST", at+"/resources/"+c.policy+"/signal", object{}); r.Status != 200 {
			t.Fatalf("%s: %d %s", c.policy, r.Status, r.Text)
		}
		var got int
		if err := s.Control.Read(who, id, func(x *service.Service) { got = x.Roles[0].Cardinality }); err != nil || got != c.want {
			t.Errorf("after a signal to %s the group wants %d, not %d (%v)", c.policy, got, c.want, err)
		}
	}
}

// Who has no good token is told where to get one.
func TestChallenge(t *testing.T) {
	s := newStage(t)
	r := apitest.Do(t, nil, apitest.Request(t, "GET", s.url+"/stacks", "", "X-Auth-Token", "nonsense"))
	if r.Status != 401 || r.Header.Get("WWW-Authenticate") != `Keystone uri="http://keystone.example.org/v3"` {
		t.Errorf("%d %v", r.Status, r.Header)
	}
}

// A stack is found by its name, by its id and by both; the first two lead to the last. Its name is free when it is gone.
func TestReferences(t *testing.T) {
	s := newStage(t)
	at := s.make("shop", one, "CREATE_COMPLETE")
	id := at[strings.LastIndexByte(at, '/')+1:]
	for _, c := range [][2]string{{"/stacks/shop", ""}, {"/stacks/" + id, ""}, {"/stacks/shop/resources", "/resources"}, {"/stacks/" + id + "/events?limit=1", "/events?limit=1"}} {
		if r := s.send("", "GET", s.url+c[0], nil); r.Status != 302 || r.Header.Get("Location") != at+c[1] {
			t.Errorf("%s: %d to %s", c[0], r.Status, r.Header.Get("Location"))
		}
	}
	if r := s.send("", "DELETE", at, nil); r.Status != 204 {
		t.Fatalf("%d %s", r.Status, r.Text)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.send("", "GET", at, nil).Status != 404 {
		<-tick.C
	}
	if again := s.make("shop", one, "CREATE_COMPLETE"); again == at {
		t.Error("a new stack has the id of the one before")
	}
}

// A server that is marked unhealthy is made anew.
func TestUnhealthy(t *testing.T) {
	s := newStage(t)
	at := s.make("shop", one, "CREATE_COMPLETE")
	before := s.send("", "GET", at+"/resources/a", nil).Str("resource", "physical_resource_id")
	if r := s.send("", "PATCH", at+"/resources/a", object{"mark_unhealthy": true, "resource_status_reason": "it smells"}); r.Status != 200 {
		t.Fatalf("%d %s", r.Status, r.Text)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		if now := s.send("", "GET", at+"/resources/a", nil).Str("resource", "physical_resource_id"); now != before && len(now) == len(before) {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatal("the server stays")
		}
	}
}
