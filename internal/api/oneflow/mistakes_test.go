package oneflow_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/oneflow"
)

func settings(o *oneflow.Options) {
	o.Settings.Cooldown = 7 * time.Second
	o.Settings.NamePattern = "$SERVICE_NAME-$ROLE_NAME-$VM_NUMBER"
	o.Settings.ShutdownAction = "terminate-hard"
}

// role wraps a role's keys in a template.
func role(keys string) string {
	return `{"name":"n","deployment":"straight","roles":[{"name":"r","type":"vm","template_id":0,` + keys + `}]}`
}

// policy wraps a policy's keys in a template.
func policy(kind, keys string) string {
	return role(`"cardinality":1,"min_vms":1,"max_vms":5,"` + kind + `":[{` + keys + `}]`)
}

// templates that are refused, and what the answer must tell: a word of the message, and of the place.
var mistakes = []struct{ body, message, place string }{
	{"", "not JSON", "line 1, column 1"},
	{"x", "not JSON", "line 1"},
	{"{", "not JSON", "line 1, column 2"},
	{"{}{}", "not JSON", "line 1, column 3"},
	{"null", "must be a JSON object", "line 1"},
	{"7", "must be a JSON object", ""},
	{`"text"`, "must be a JSON object", ""},
	{"[]", "must be a JSON object", ""},
	{"\xff", "UTF-8", "line 1, column 1"},
	{"{\"name\":\"\xc3\x28\",\"roles\":[]}", "UTF-8", "column 10"},
	{`{"name":"n","roles":[],}`, "not JSON", "column 24"},
	{`{"name":"n","roles":[NaN]}`, "not JSON", ""},
	{`{"name":"n","roles":[] /* open`, "comment", ""},
	{strings.Repeat("[", 100000), "not JSON", ""},
	{strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300), "deep", ""},
	{`{"name":"n","x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `,"roles":[]}`, "deep", ""},
	{`{}`, "'name (string)' is missing", ""},
	{`{"name":"n"}`, "'roles (array)' is missing", ""},
	{`{"name":3,"roles":[]}`, "must be a String", "name"},
	{`{"name":null,"roles":[]}`, "missing", ""},
	{`{"name":[],"roles":[]}`, "must be a String", "name"},
	{`{"name":"n","roles":{}}`, "must be an Array", "roles"},
	{`{"name":"n","roles":"x"}`, "must be an Array", "roles"},
	{`{"name":"n","roles":[3]}`, "Object", "roles[0]"},
	{`{"name":"n","roles":[null]}`, "Object", "roles[0]"},
	{`{"name":"n","roles":[{}]}`, "missing", "roles[0]"},
	{`{"name":"n","deployment":"both","roles":[]}`, "must be one of none, straight", "deployment"},
	{`{"name":"n","deployment":7,"roles":[]}`, "", "deployment"},
	{`{"name":"n","description":7,"roles":[]}`, "must be a String", "description"},
	{`{"name":"n","shutdown_action":"x","roles":[]}`, "must be one of", "shutdown_action"},
	{`{"name":"n","ready_status_gate":"true","roles":[]}`, "not allowed", "ready_status_gate"},
	{`{"name":"n","automatic_deletion":1,"roles":[]}`, "not allowed", "automatic_deletion"},
	{`{"name":"n","on_hold":"x","roles":[]}`, "not allowed", "on_hold"},
	{`{"name":"n","networks":[],"roles":[]}`, "must be an Object", "networks"},
	{`{"name":"n","networks_values":{},"roles":[]}`, "must be an Array", "networks_values"},
	{`{"name":"n","user_inputs":[],"roles":[]}`, "must be an Object", "user_inputs"},
	{`{"name":"n","roles":[{"type":"vm","template_id":0}]}`, "'name (string)' is missing", "roles[0]"},
	{`{"name":"n","roles":[{"name":"a b","type":"vm","template_id":0}]}`, "must match", "roles[0].name"},
	{`{"name":"n","roles":[{"name":"","type":"vm","template_id":0}]}`, "must match", "roles[0].name"},
	{`{"name":"n","roles":[{"name":"ü","type":"vm","template_id":0}]}`, "must match", "roles[0].name"},
	{`{"name":"n","roles":[{"name":"a\nb-c","type":"vm","template_id":0}]}`, "must match", "roles[0].name"},
	{`{"name":"n","roles":[{"name":"r","type":"ct","template_id":0}]}`, "Unsupported role type", "roles[0].type"},
	{`{"name":"n","roles":[{"name":"r","type":"vm"}]}`, "template_id", "roles[0]"},
	{`{"name":"n","roles":[{"name":"r","type":"vm","template_id":"x"}]}`, "must be an Integer", "roles[0].template_id"},
	{`{"name":"n","roles":[{"name":"r","type":"vm","template_id":0},{"name":"r","type":"vm","template_id":0}]}`, "repeated", "roles[1].name"},
	{role(`"cardinality":-1`), "greater than or equal to 0", "roles[0].cardinality"},
	{role(`"cardinality":"x"`), "must be an Integer", "roles[0].cardinality"},
	{role(`"cardinality":"1.9"`), "must be an Integer", "roles[0].cardinality"},
	{role(`"cardinality":"08"`), "must be an Integer", "roles[0].cardinality"},
	{role(`"cardinality":true`), "must be an Integer", "roles[0].cardinality"},
	{role(`"cardinality":[]`), "must be an Integer", "roles[0].cardinality"},
	{role(`"cardinality":{}`), "must be an Integer", "roles[0].cardinality"},
	{role(`"cardinality":1e300`), "", "roles[0].cardinality"},
	{role(`"cardinality":99999999999999999999`), "", "roles[0].cardinality"},
	{role(`"min_vms":-1`), "greater than or equal to 0", "roles[0].min_vms"},
	{role(`"cardinality":1,"min_vms":2`), "'min_vms'", "roles[0].cardinality"},
	{role(`"cardinality":3,"max_vms":2`), "'max_vms'", "roles[0].cardinality"},
	{role(`"cooldown":"soon"`), "must be an Integer", "roles[0].cooldown"},
	{role(`"parents":"db"`), "must be an Array", "roles[0].parents"},
	{role(`"parents":[7]`), "", "roles[0].parents[0]"},
	{role(`"parents":["nobody"]`), "nobody", "roles[0].parents[0]"},
	{role(`"parents":["r"]`), "", "roles[0].parents[0]"},
	{role(`"template_contents":"A=B"`), "must be an Object", "roles[0].template_contents"},
	{role(`"user_inputs":7`), "must be an Object", "roles[0].user_inputs"},
	{role(`"elasticity_policies":{}`), "must be an Array", "roles[0].elasticity_policies"},
	{role(`"elasticity_policies":[{"type":"CHANGE","adjust":1,"expression":"A>1"}]`), "min_vms", "roles[0]"},
	{policy("elasticity_policies", `"type":"change","adjust":1,"expression":"A>1"`), "must be one of", "roles[0].elasticity_policies[0].type"},
	{policy("elasticity_policies", `"type":"CHANGE","expression":"A>1"`), "adjust", "roles[0].elasticity_policies[0]"},
	{policy("elasticity_policies", `"type":"CHANGE","adjust":1,"expression":""`), "cannot be empty", "expression"},
	{policy("elasticity_policies", `"type":"CHANGE","adjust":1,"expression":"A >"`), "parse error", "expression"},
	{policy("elasticity_policies", `"type":"CHANGE","adjust":1,"expression":"A => 1"`), "parse error", "expression"},
	{policy("elasticity_policies", `"type":"CHANGE","adjust":1,"expression":7`), "must be a String", "expression"},
	{policy("elasticity_policies", `"type":"CHANGE","adjust":1,"expression":"A>1","period":-1`), "greater than", "period"},
	{policy("elasticity_policies", `"type":"CHANGE","adjust":1,"expression":"A>1","min_adjust_step":0`), "greater than", "min_adjust_step"},
	{policy("scheduled_policies", `"type":"CHANGE","adjust":1`), "needs to define either", "scheduled_policies[0]"},
	{policy("scheduled_policies", `"type":"CHANGE","adjust":1,"recurrence":"0 0 * * *","start_time":"5"`), "not both", "scheduled_policies[0]"},
	{policy("scheduled_policies", `"type":"CHANGE","adjust":1,"recurrence":"99 0 * * *"`), "cron", "recurrence"},
	{policy("scheduled_policies", `"type":"CHANGE","adjust":1,"recurrence":"0 0 31 2 *"`), "", "recurrence"},
	{policy("scheduled_policies", `"type":"CHANGE","adjust":1,"start_time":"tomorrow"`), "valid Time", "start_time"},
	{policy("scheduled_policies", `"type":"CHANGE","adjust":1,"start_time":1380000000`), "must be a String", "start_time"},
	{`{"name":"n","deployment":"straight","roles":[{"name":"a","vm_template":0,"parents":["b"]},{"name":"b","vm_template":0,"parents":["c"]},{"name":"c","vm_template":0,"parents":["a"]}]}`, "", "roles["},
	{`{"name":"n","roles":[{"name":"r","vm_template":0,"vm_template_contents":"A=[B"}]}`, "vm_template_contents", "roles[0].vm_template_contents"},
	{`{"name":"n","roles":[{"name":"r","vm_template":0,"vm_template_contents":7}]}`, "must be a String", "roles[0].vm_template_contents"},
	{`{"name":"n","roles":[{"name":"r","type":"vr","template_id":0,"cardinality":3,"template_contents":{"NIC":[{"NETWORK":"x"}]}}]}`, "floating IP", "roles[0]"},
}

// A mistake is answered with 400 and its place, on every way a body comes in, and changes nothing.
func TestMistakes(t *testing.T) {
	s := newStage(t, sim.Options{})
	good := s.template(web)
	before := s.must(200, "GET", "/service_template", "").Text
	if len(mistakes) < 60 {
		t.Fatalf("only %d mistakes", len(mistakes))
	}
	for _, m := range mistakes {
		short := m.body[:min(len(m.body), 160)]
		for _, way := range []struct{ method, path, body string }{
			{"POST", "/service_template", m.body},
			{"PUT", "/service_template/" + good, m.body},
			{"POST", "/service_template/" + good + "/action", act("update", fmt.Sprintf(`{"template_json":%s}`, quoted(m.body)))},
		} {
			r := s.root(way.method, way.path, way.body)
			if r.Status != 400 {
				t.Errorf("%s %s %q: %d, want 400: %.200s", way.method, way.path, short, r.Status, r.Text)
				continue
			}
			if !strings.Contains(r.message(), m.message) {
				t.Errorf("%s %q: message %q, want %q in it", way.method, short, r.message(), m.message)
			}
			place := fmt.Sprint(r.At("error", "place"))
			if way.method == "POST" && way.path == "/service_template" && !strings.Contains(place, m.place) {
				t.Errorf("%q: place %q, want %q in it", short, place, m.place)
			}
			if len(r.Text) > 2000 {
				t.Errorf("%q: an answer of %d bytes", short, len(r.Text))
			}
		}
	}
	if after := s.must(200, "GET", "/service_template", "").Text; after != before {
		t.Errorf("templates changed:\n%s", after)
	}
}

// quoted is the text as a JSON string, bytes that are no UTF-8 as they are.
func quoted(text string) string {
	r := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	return `"` + r.Replace(text) + `"`
}

// Bodies beyond every measure.
func TestGreatBodies(t *testing.T) {
	s := newStage(t, sim.Options{})
	roles := make([]string, 10000)
	for n := range roles {
		roles[n] = fmt.Sprintf(`{"name":"r%d","type":"vm","template_id":0,"cardinality":1}`, n)
	}
	many := `{"name":"many","roles":[` + strings.Join(roles, ",") + `]}`
	if r := s.root("POST", "/service_template", `{"name":"`+strings.Repeat("n", 10<<20)+`","roles":[]}`); r.Status != 413 {
		t.Errorf("a name of 10 MiB: %d, want 413", r.Status)
	}
	// Templates may be great; services may not.
	r := s.root("POST", "/service_template", many)
	if r.Status == 201 {
		r = s.root("POST", "/service_template/"+r.id()+"/action", act("instantiate", "{}"))
	}
	if r.Status != 400 || len(r.Text) > 2000 {
		t.Errorf("10,000 roles: %d %.300s", r.Status, r.Text)
	}
	id := s.template(`{"name":"` + strings.Repeat("n", 1000) + `","roles":[]}`)
	if r := s.root("POST", "/service_template/"+id+"/action", act("instantiate", "{}")); r.Status != 400 {
		t.Errorf("a name of 1,000 characters: %d %.200s", r.Status, r.Text)
	}
	id = s.template(role(`"cardinality":2000000000`))
	if r := s.root("POST", "/service_template/"+id+"/action", act("instantiate", "{}")); r.Status != 400 {
		t.Errorf("2,000,000,000 machines: %d %.200s", r.Status, r.Text)
	}
	if n := len(s.Control.Services(s.Root())); n != 0 {
		t.Errorf("%d services were made", n)
	}
}

// No body, to whatever route, is the server's own failure.
func FuzzBodies(f *testing.F) {
	for _, m := range mistakes {
		if len(m.body) < 1000 {
			f.Add(m.body)
		}
	}
	for _, body := range []string{web, oldWeb, act("instantiate", "{}"), act("chmod", `{"octet":640}`), act("update", `{"append":true,"template_json":"{}"}`),
		act("clone", `{"name":"c"}`), act("stop", `{"period":1,"number":2}`), `{"role_name":"front","cardinality":2,"force":true}`,
		`{"append":true,"template":"{}"}`, act("add_role", `{"role":{"name":"x","vm_template":0}}`), act("recover", `{"delete":false}`)} {
		f.Add(body)
	}
	s := newStage(f, sim.Options{})
	template, id := s.template(web), s.running(web)
	f.Fuzz(func(t *testing.T, body string) {
		s.t = t
		for _, route := range []struct{ method, path string }{
			{"POST", "/service_template"}, {"PUT", "/service_template/" + template}, {"POST", "/service_template/" + template + "/action"},
			{"PUT", "/service/" + id}, {"POST", "/service/" + id + "/scale"}, {"POST", "/service/" + id + "/role_action"},
			{"PUT", "/service/" + id + "/role/front"}, {"POST", "/service/" + id + "/role/front/action"},
		} {
			if r := s.send(apitest.Admin, route.method, route.path, body); r.Status >= 500 {
				t.Errorf("%s %s %q: %d %s", route.method, route.path, body, r.Status, r.Text)
			}
		}
	})
}
