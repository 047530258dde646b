package monasca_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
)

// A client is Debian's python3-monascaclient, as mini-mon.
type client struct {
	*stage
	program string
	env     []string
	used    map[string]bool // sub-commands
}

func newClient(t *testing.T) *client {
	program, err := exec.LookPath("monasca")
	if err != nil {
		t.Skip("Debian's python3-monascaclient is not installed; scripts/setup does it")
	}
	c := &client{stage: newStage(t), program: program, used: make(map[string]bool)}
	c.env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + t.TempDir(), "OS_AUTH_URL=" + c.auth + "/v3", "OS_IDENTITY_API_VERSION=3", "OS_USERNAME=mini-mon",
		"OS_PASSWORD=" + password, "OS_PROJECT_NAME=mini-mon", "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default"}
	return c
}

// call runs a sub-command; env overrides.
func (c *client) call(env []string, args ...string) (output string, err error) {
	c.t.Helper()
	c.used[args[0]] = true
	cmd := exec.CommandContext(c.t.Context(), c.program, args...)
	cmd.Env = append(slices.Clone(c.env), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs a sub-command that must succeed, and whose output must hold the texts.
func (c *client) run(args []string, want ...string) string {
	c.t.Helper()
	out, err := c.call(nil, args...)
	if err != nil {
		c.t.Fatalf("monasca %q: %v\n%s", args, err, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			c.t.Errorf("monasca %q does not say %q:\n%s", args, w, out)
		}
	}
	return out
}

// object runs a sub-command that prints an object.
func (c *client) object(args ...string) map[string]any {
	c.t.Helper()
	var v map[string]any
	if out := c.run(args); json.Unmarshal([]byte(out), &v) != nil {
		c.t.Fatalf("monasca %q prints no object: %s", args, out)
	}
	return v
}

// fails runs a sub-command that the server refuses.
func (c *client) fails(args []string, want ...string) {
	c.t.Helper()
	out, err := c.call(nil, args...)
	if err == nil {
		c.t.Errorf("monasca %q succeeded:\n%s", args, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			c.t.Errorf("monasca %q does not say %q:\n%s", args, w, out)
		}
	}
}

func words(text string) []string { return strings.Fields(text) }

// Every sub-command of the client does here what it does with Monasca.
func TestClient(t *testing.T) {
	c := newClient(t)
	told := make(chan map[string]any, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var v map[string]any
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			t.Error(err)
		}
		told <- v
	}))
	defer receiver.Close()

	hook := c.notifications(receiver.URL)
	c.metrics()
	definition := c.definitions(hook)
	c.alarms(definition, told)
	c.run([]string{"alarm-definition-delete", definition}, "Successfully deleted alarm definition")
	if r := c.must(200, "GET", "/alarms", ""); r.elements() != 0 {
		t.Errorf("alarms outlive their definition: %s", r.Text)
	}
	c.run([]string{"notification-delete", hook}, "Successfully deleted notification")
	c.must(404, "GET", "/notification-methods/"+hook, "")
	c.everything()
}

// everything fails the test for sub-commands that were not used.
func (c *client) everything() {
	out, err := c.call(nil, "help")
	c.check(err)
	_, list, _ := strings.Cut(out, "Commands:")
	// Other clients' commands, which are of two words, stand there, too, where those are installed.
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z-]+)(?:  |$)`).FindAllStringSubmatch(list, -1) {
		if name := m[1]; !c.used[name] && name != "complete" {
			c.t.Errorf("sub-command %s was not tried", name)
		}
	}
}

func (c *client) notifications(url string) string {
	c.run(words("notification-type-list"), "EMAIL", "PAGERDUTY", "WEBHOOK")
	made := c.object("notification-create", "hook", "webhook", url, "--period", "60")
	id := made["id"].(string)
	if made["type"] != "WEBHOOK" || made["period"] != 60.0 || made["address"] != url {
		c.t.Errorf("made %v", made)
	}
	c.fails([]string{"notification-create", "hook", "WEBHOOK", url}, "AlreadyExistsException (HTTP 409)")
	c.fails([]string{"notification-create", "x", "PIGEON", url}, "Bad Request (HTTP 400)", "PIGEON")
	c.run([]string{"notification-show", id}, "hook", "WEBHOOK", url)
	c.run(words("notification-list --sort-by name"), "hook")
	if v := c.object("notification-update", id, "mail", "EMAIL", "a@example.test", "0"); v["type"] != "EMAIL" || v["period"] != 0.0 {
		c.t.Errorf("updated to %v", v)
	}
	if v := c.object("notification-patch", id, "--name", "hook", "--type", "WEBHOOK", "--address", url); v["name"] != "hook" || v["id"] != id {
		c.t.Errorf("patched to %v", v)
	}
	if r := c.must(200, "GET", "/notification-methods/"+id, ""); r.Str("address") != url || r.Str("type") != "WEBHOOK" {
		c.t.Errorf("the server has %s", r.Text)
	}
	return id
}

func (c *client) metrics() {
	now := time.Now().Truncate(time.Minute)
	begin := now.Add(-10 * time.Minute).UTC().Format("2006-01-02T15:04:05Z")
	ms := func(back time.Duration) string { return fmt.Sprint(now.Add(-back).UnixMilli()) }
	c.run(words("metric-create disk.used 40 --dimensions hostname=web01,device=sda --time "+ms(2*time.Minute)), "Successfully created metric")
	c.run(words("metric-create disk.used 42.5 --dimensions hostname=web01,device=sda --value-meta rc=500,error=boom --time "+ms(time.Minute)), "Successfully created metric")
	c.run([]string{"metric-create-raw", `{"name":"disk.used","dimensions":{"hostname":"web02","device":"sdb"},"timestamp":` + ms(time.Minute) + `.5,"value":10,"value_meta":null}`}, "Successfully created metric")
	c.run(words("metric-create http.status 1 --dimensions url=http://a.test:80/x"), "Successfully created metric")
	c.fails([]string{"metric-create", "bad name", "1"}, "Unprocessable Entity (HTTP 422)", "bad name")
	c.run(words("metric-list --name disk.used"), "web01", "web02", "sda", "sdb")
	if out := c.run(words("metric-list --dimensions url=http://a.test:80/x")); !strings.Contains(out, "http.status") || strings.Contains(out, "disk.used") {
		c.t.Error(out)
	}
	c.run(words("metric-name-list"), "disk.used", "http.status")
	c.run(words("dimension-name-list --metric-name disk.used"), "device", "hostname")
	c.run(words("dimension-value-list hostname"), "web01", "web02")
	c.run(append(words("measurement-list disk.used --dimensions hostname=web01"), begin), "40.000", "42.500", "rc: 500", "error: boom")
	c.fails(append(words("measurement-list disk.used"), begin), "MultipleMetrics (HTTP 409)")
	c.run(append(words("measurement-list disk.used --merge_metrics"), begin), "40.000", "42.500", "10.000")
	c.run(append(words("metric-statistics disk.used AVG,max,COUNT --group_by hostname --period 600"), begin), "web01", "42.500", "web02", "10.000")
	c.run(append(words("metric-statistics disk.used sum,min --merge_metrics --period 86400"), begin), "92.500", "10.000")
}

func (c *client) definitions(hook string) string {
	made := c.object("alarm-definition-create", "cpu high", "max(cpu.user_perc{service=hurtle}) > 90", "--description", "d", "--severity", "high", "--match-by", "hostname",
		"--alarm-actions", hook, "--ok-actions", hook, "--undetermined-actions", hook)
	id := made["id"].(string)
	if made["severity"] != "HIGH" || made["deterministic"] != false || fmt.Sprint(made["match_by"], made["alarm_actions"]) != fmt.Sprintf("[hostname] [%s]", hook) {
		c.t.Errorf("made %v", made)
	}
	c.fails([]string{"alarm-definition-create", "cpu high", "max(x) > 90"}, "AlreadyExistsException (HTTP 409)")
	c.fails([]string{"alarm-definition-create", "x", "bad("}, "Invalid alarm expression (HTTP 422)", "bad(", "column")
	c.fails([]string{"alarm-definition-create", "x", "avg(m, 30) > 1"}, "Invalid alarm expression (HTTP 422)", "column 8")
	c.run([]string{"alarm-definition-show", id}, "cpu high", "max(cpu.user_perc{service=hurtle}) > 90", "HIGH")
	if out := c.run(words("alarm-definition-list --severity HIGH --sort-by name --dimensions service=hurtle")); !strings.Contains(out, "cpu high") {
		c.t.Error(out)
	}
	if out := c.run(words("alarm-definition-list --name other")); strings.Contains(out, "cpu high") {
		c.t.Error(out)
	}
	v := c.object("alarm-definition-update", id, "cpu", "", "max(cpu.user_perc{service=hurtle}) > 50", "[]", hook, hook, "false", "hostname", "LOW")
	if v["name"] != "cpu" || v["actions_enabled"] != false || fmt.Sprint(v["alarm_actions"]) != "[]" || v["severity"] != "LOW" {
		c.t.Errorf("updated to %v", v)
	}
	c.fails([]string{"alarm-definition-patch", id, "--expression", "max(other) > 50"}, "InvalidUpdateException (HTTP 422)")
	v = c.object("alarm-definition-patch", id, "--actions-enabled", "true", "--alarm-actions", hook, "--severity", "CRITICAL")
	if v["actions_enabled"] != true || fmt.Sprint(v["alarm_actions"]) != "["+hook+"]" || v["name"] != "cpu" || v["severity"] != "CRITICAL" {
		c.t.Errorf("patched to %v", v)
	}
	return id
}

func (c *client) alarms(definition string, told <-chan map[string]any) {
	if out := c.run(words("alarm-list")); strings.Contains(out, definition) {
		c.t.Errorf("an alarm without data: %s", out)
	}
	c.run(words("metric-create cpu.user_perc 97 --dimensions hostname=web01,service=hurtle"))
	c.run(words("metric-create cpu.user_perc 12 --dimensions hostname=web02,service=hurtle"))
	id := c.alarmed(definition, "ALARM", 1).Str("elements", 0, "id")
	select {
	case v := <-told:
		if v["state"] != "ALARM" || v["alarm_id"] != id || v["old_state"] != "UNDETERMINED" || v["alarm_name"] != "cpu" {
			c.t.Errorf("told %v", v)
		}
	case <-time.After(10 * time.Second):
		c.t.Error("the webhook was not called")
	}
	c.run([]string{"alarm-list", "--alarm-definition-id", definition, "--state", "alarm", "--severity", "CRITICAL", "--metric-name", "cpu.user_perc",
		"--metric-dimensions", "hostname=web01,service", "--sort-by", "state desc"}, id, "hostname: web01", "ALARM")
	if out := c.run(words("alarm-list --metric-dimensions hostname=web02")); strings.Contains(out, id) {
		c.t.Error(out)
	}
	c.run([]string{"alarm-show", id}, id, "cpu", "web01", "ALARM")
	c.run(words("alarm-count --group-by dimension_name,dimension_value --metric-name cpu.user_perc"), "web01", "web02", "hurtle")
	c.run(words("alarm-count --state ALARM"), "| 1 ")
	if v := c.object("alarm-update", id, "OK", "OPEN", "http://x.test/1"); v["state"] != "OK" || v["lifecycle_state"] != "OPEN" || v["link"] != "http://x.test/1" {
		c.t.Errorf("updated to %v", v)
	}
	if v := c.object("alarm-patch", id, "--lifecycle-state", "RESOLVED"); v["lifecycle_state"] != "RESOLVED" || v["link"] != "http://x.test/1" || v["state"] != "OK" {
		c.t.Errorf("patched to %v", v)
	}
	c.fails([]string{"alarm-patch", id, "--state", "ok"}, "Invalid State (HTTP 422)")
	c.run([]string{"alarm-history", id}, "UNDETERMINED", "Thresholds were exceeded for the sub-alarms: max(cpu.user_perc{service=hurtle}) > 50.0 with the values: [97.0]", "Alarm state updated via API")
	c.run(words("alarm-history-list --dimensions hostname=web01"), id, "ALARM")
	c.run([]string{"alarm-delete", id}, "Successfully deleted alarm")
	c.must(404, "GET", "/alarms/"+id, "")
	c.fails([]string{"alarm-show", id}, "404 Not Found (HTTP 404)")
	if out := c.run(words("alarm-history-list --dimensions hostname=web01")); strings.Contains(out, id) {
		c.t.Errorf("history lists an alarm that is gone: %s", out)
	}
}

// Every way to log in that the client has leads to the same.
func TestClientLogin(t *testing.T) {
	c := newClient(t)
	token, _, err := c.Directory.AddToken(t.Context(), identity.NewToken{User: c.user.ID, Name: "t", Scopes: identity.ScopePush})
	c.check(err)
	for what, env := range map[string][]string{
		"unversioned": {"OS_AUTH_URL=" + c.auth},
		"ids":         {"OS_USER_ID=" + fmt.Sprint(c.user.ID), "OS_PROJECT_ID=" + fmt.Sprint(c.user.Group), "OS_USERNAME=", "OS_PROJECT_NAME="},
		"v2password":  {"OS_AUTH_TYPE=v2password", "OS_AUTH_URL=" + c.auth + "/v2.0", "OS_TENANT_NAME=mini-mon"},
		"v3token":     {"OS_AUTH_TYPE=v3token", "OS_TOKEN=" + c.token},
		"trailing /":  {"OS_AUTH_URL=" + c.auth + "/v3/"},
	} {
		one := *c
		// What these plugins do not know, they refuse.
		if unknown := map[string]string{"v2password": "DOMAIN", "v3token": "USER"}[what]; unknown != "" {
			one.env = slices.DeleteFunc(slices.Clone(c.env), func(v string) bool {
				return strings.Contains(v, unknown) || what == "v3token" && strings.Contains(v, "PASSWORD")
			})
		}
		if out, err := one.call(env, "notification-type-list"); err != nil || !strings.Contains(out, "WEBHOOK") {
			t.Errorf("%s: %v %s", what, err, out)
		}
	}
	agent := []string{"OS_PASSWORD=" + token}
	if out, err := c.call(agent, "metric-create", "up", "1"); err != nil || !strings.Contains(out, "Successfully") {
		t.Errorf("with a token as its password: %v %s", err, out)
	}
	if out, err := c.call(agent, "metric-list"); err == nil {
		t.Errorf("a token that may only send reads: %s", out)
	}
	if out, err := c.call([]string{"OS_PASSWORD=wrong guess"}, "metric-list"); err == nil || !strings.Contains(out, "HTTP 401") {
		t.Errorf("wrong password: %v %s", err, out)
	}
}

// What OpenStack's own command line client asks of Keystone before it asks others.
func TestOpenStackClient(t *testing.T) {
	program, err := exec.LookPath("openstack")
	if err != nil {
		t.Skip("Debian's python3-openstackclient is not installed; scripts/setup does it")
	}
	s := newStage(t)
	env := []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + t.TempDir(), "OS_AUTH_URL=" + s.auth, "OS_USERNAME=mini-mon", "OS_PASSWORD=" + password,
		"OS_PROJECT_NAME=mini-mon", "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default"}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("openstack %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	token := strings.TrimSpace(run("token", "issue", "-f", "value", "-c", "id"))
	if r := s.request("GET", s.url+"/v2.0/alarms", "", "X-Auth-Token", token); r.Status != 200 {
		t.Errorf("its token: %d %s", r.Status, r.Text)
	}
	if out := run("catalog", "list"); !strings.Contains(out, s.url+"/v2.0") || !strings.Contains(out, "monitoring") {
		t.Errorf("the catalogue is %s", out)
	}
	if out := run("federation", "project", "list"); !strings.Contains(out, "mini-mon") {
		t.Errorf("the projects are %s", out)
	}
	run("token", "revoke", token)
	if r := s.request("GET", s.url+"/v2.0/alarms", "", "X-Auth-Token", token); r.Status != 401 {
		t.Errorf("its token, revoked: %d %s", r.Status, r.Text)
	}
}

// The libraries that Monasca's agent is made of deliver here what it sends.
func TestAgentLibraries(t *testing.T) {
	const python = "/usr/bin/python3" // with Debian's packages
	if err := exec.Command(python, "-c", "import keystoneclient, monascaclient").Run(); err != nil {
		t.Skip("Debian's python3-monascaclient and python3-keystoneclient are not installed; scripts/setup does it")
	}
	s := newStage(t)
	token, _, err := s.Directory.AddToken(t.Context(), identity.NewToken{User: s.user.ID, Name: "t", Scopes: identity.ScopePush})
	s.check(err)
	cmd := exec.CommandContext(t.Context(), python, "testdata/forward.py", s.auth+"/v3", "mini-mon", token, "mini-mon")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + t.TempDir(), "PYTHONWARNINGS=ignore"}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "keystoneclient.v3.client "+s.url+"/v2.0") {
		t.Fatalf("%v: %s", err, out)
	}
	for name, dimensions := range map[string]string{
		"cpu.user_perc":               `{"hostname":"web01"}`,
		"mem.free_mb":                 `{"hostname":"web01"}`,
		"disk.space_used_perc":        `{"device":"sda1","hostname":"web01","mount_point":"/"}`,
		"http_status":                 `{"hostname":"web01","service":"shop","url":"http://web01/"}`,
		"monasca.collection_time_sec": `{"component":"monasca-agent","hostname":"web01","service":"monitoring"}`,
		"vm.cpu.utilization_perc":     `{"hostname":"web01"}`, // who may not send for others sends for its own project
	} {
		r := s.must(200, "GET", "/metrics?name="+name, "")
		if got, err := json.Marshal(r.At("elements", 0, "dimensions")); err != nil || r.elements() != 1 || string(got) != dimensions {
			t.Errorf("%s: %s", name, r.Text)
		}
	}
	r := s.must(200, "GET", "/metrics/measurements?name=http_status&start_time="+time.Now().Add(-time.Hour).UTC().Format("2006-01-02T15:04:05Z"), "")
	if r.Str("elements", 0, "measurements", 0, 2, "error") != "Connection refused" {
		t.Errorf("value_meta: %s", r.Text)
	}
}
