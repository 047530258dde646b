package oneflow_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver/sim"
)

// Each mistake in a request to a document that is there is answered with its place in that request, and with the
// name that was probably meant.
func TestPlaces(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(web)
	template := s.template(`{"name":"t","user_inputs":{"PORT":"M|number|p"},"networks":{"Public":"M|network|||id:"},"roles":[{"name":"r","type":"vm","template_id":0,"cardinality":1,"user_inputs":{"SIZE":"M|text|s"}}]}`)
	service, action, templates := "/service/"+id, "/service/"+id+"/action", "/service_template/"+template+"/action"
	roles := "/service/" + id + "/role_action"
	merge := func(text string) string { return act("instantiate", `{"merge_template":`+text+`}`) }
	const values = `{"user_inputs_values":{"PORT":1},"networks_values":[{"Public":{"id":1}}],"roles":[{"name":"r","user_inputs_values":{"SIZE":"s"}`
	for _, c := range []struct {
		method, path, body string
		status             int
		place, message     string
	}{
		{"POST", service + "/scale", `{"role_name":"fron","cardinality":2}`, 404, "role_name", `did you mean "front"?`},
		{"POST", service + "/scale", `{"role_name":"front","cardinality":9}`, 400, "cardinality", "Maximum cardinality is 4"},
		{"PUT", service + "/role/fron", `{"cardinality":2}`, 404, "role/fron", `did you mean "front"?`},
		{"PUT", service + "/role/front", `{"cardinality":0}`, 400, "cardinality", "Minimum cardinality is 1"},
		{"PUT", service + "/role/front", `{"cardinality":2,"force":"x"}`, 400, "force", "true or false"},
		{"POST", action, act("chown", `{"owner_id":77}`), 404, "action.params.owner_id", "user 77: not found"},
		{"POST", action, act("chown", `{"owner_id":-1,"group_id":77}`), 404, "action.params.group_id", "group 77: not found"},
		{"POST", action, act("chmod", `{"octet":"999"}`), 400, "action.params.octet", "0 to 7"},
		{"POST", action, act("rename", `{"name":" "}`), 400, "action.params.name", "name"},
		{"POST", action, act("stopp", `{}`), 400, "action.perform", `did you mean "stop"?`},
		{"POST", action, act("stop", `{"period":-1}`), 400, "action.params.period", "negative"},
		{"POST", action, act("update", `{"append":true,"template_json":"{\"roles\":[{\"name\":\"front\"}]}"}`), 400, "action.params.template_json.roles[0]", "Mandatory"},
		{"POST", action, act("update", `{"append":true,"template_raw":"A=[B"}`), 400, "action.params.template_raw, line 1, column 4", "expected"},
		{"PUT", service, `{"append":true,"template":"{\"state\":3}"}`, 400, "template.state, line 1, column 10", "Immutable"},
		{"POST", roles, act("add_role", `{"role":{"name":"x","type":"vm","template_id":77}}`), 400, "action.params.role.template_id", "not found"},
		{"POST", roles, act("add_role", `{"role":{"name":"x","type":"vm","template_id":0,"parents":["fron"]}}`), 400, "action.params.role.parents[0]", `did you mean "front"?`},
		{"POST", roles, act("add_role", `{"role":"{\"name\":7}"}`), 400, "action.params.role.name", "String"},
		{"POST", roles, act("remove_role", `{"role":"fron"}`), 404, "action.params.role", `did you mean "front"?`},
		{"DELETE", service + "/sched_action/x", "", 400, "sched_id", "number"},
		{"DELETE", "/service_template/" + template, `{"delete_type":"template"}`, 400, "delete_type", `did you mean "templates"?`},
		{"POST", templates, act("instantiate", `{"merge_templat":{}}`), 400, "action.params.merge_templat", `did you mean "merge_template"?`},
		{"POST", templates, merge(`{}`), 400, "action.params.merge_template", "no values"},
		{"POST", templates, merge(`{"user_inputs_values":{"PROT":1}}`), 400, "action.params.merge_template.user_inputs_values", "is 'PROT' meant for it?"},
		{"POST", templates, merge(`{"user_inputs_values":{"PORT":1},"roles":[{"name":"r"}]}`), 400, "action.params.merge_template.roles[0]", "Role 'r' specifies User Inputs"},
		{"POST", templates, merge(strings.Replace(values, "Public", "Pubic", 1) + `}]}`), 400, "action.params.merge_template.networks_values", "is 'Pubic' meant for it?"},
		{"POST", templates, merge(values + `,"cardinality":2000000000}]}`), 400, "roles[0].cardinality", "the most"},
		{"POST", templates, merge(values + `,"template_contents":{"CONTEXT":{"A=B":"1"}}}]}`), 400, "roles[0].template_contents", "environment variable"},
		{"POST", "/service_template", `{"nam":"x","roles":[]}`, 400, "line 1, column 1", "is 'nam' meant for it?"},
		{"POST", "/service_template", `{"name":"x","roles":[],"deployment":"stright"}`, 400, "deployment", `did you mean "straight"?`},
	} {
		r := s.root(c.method, c.path, c.body)
		if r.Status != c.status || !strings.HasPrefix(fmt.Sprint(r.At("error", "place")), c.place) || !strings.Contains(r.message(), c.message) {
			t.Errorf("%s %s %s: %s, want %d at %s: %s", c.method, c.path, c.body, r.Text, c.status, c.place, c.message)
		}
	}
	s.must(204, "POST", service+"/scale", `{"role_name":"front","cardinality":2.0}`)
	s.must(204, "DELETE", service+"/sched_action/99999999999999999999999", "")

	// A key that looks like a misspelt one is kept, and told of.
	r := s.must(201, "POST", "/service_template/"+s.template(`{"name":"t","deploymnt":"straight","roles":[{"name":"r","vm_template":0,"cardinalty":2,"logo":"x"}]}`)+"/action", act("instantiate", "{}"))
	log := fmt.Sprint(r.body("log"))
	for _, want := range []string{`Warning: deploymnt: the key is kept and does nothing; did you mean "deployment"?`, `Warning: roles[0].cardinalty`} {
		if !strings.Contains(log, want) {
			t.Errorf("no warning %q in %s", want, log)
		}
	}
	if strings.Contains(log, "logo") {
		t.Errorf("a key of one's own is told of: %s", log)
	}
}
