package oneflow

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const running = `{"name":"s","deployment":"straight","description":"","state":2,"start_time":5,"log":[{"timestamp":1,"severity":"I","message":"m"}],
	"roles":[{"name":"a","vm_template":0,"cardinality":1,"state":2,"last_vmname":1,"nodes":[{"deploy_id":3,"vm_info":null}],"min_vms":0},
	{"name":"b","vm_template":1,"cardinality":0,"parents":["a"],"state":2,"last_vmname":0,"nodes":[]}]}`

func TestUpdateServiceReplaces(t *testing.T) {
	b := parse(t, running)
	for old, new := range map[string]string{
		`"min_vms":0`:        `"min_vms":1,"max_vms":3,"cooldown":5,"elasticity_policies":[{"type":"CHANGE","adjust":1,"expression":"A>1"}]`,
		`"description":""`:   `"description":"new","extra":1`,
		`"vm_info":null`:     `"vm_info":{"VM":{"ID":"3"}}`,
		`"cardinality":0`:    `"cardinality":"0"`,
		`{"name":"s"`:        `{"shutdown_action":"terminate-hard","name":"s"`,
		`"vm_template":0,"c`: `"vm_template_contents":"A=1","vm_template":0,"c`,
	} {
		if !strings.Contains(running, old) {
			t.Fatal(old)
		}
		if _, _, err := b.UpdateService([]byte(strings.Replace(running, old, new, 1))); err != nil {
			t.Errorf("%s: %v", new, err)
		}
	}
	// The same service in the other generation is no change.
	converted, err := b.In(New)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := converted.MarshalJSON()
	if _, _, err := b.UpdateService(text); err != nil {
		t.Error(err)
	}
}

func TestUpdateServiceKeepsWhatIsImmutable(t *testing.T) {
	b := parse(t, running)
	for _, c := range []struct{ old, new, want string }{
		{`"name":"s"`, `"name":"x"`, "`service/name`"},
		{`"straight"`, `"none"`, "`service/deployment`"},
		{`"state":2,"start`, `"state":3,"start`, "`service/state`"},
		{`"start_time":5`, `"start_time":6`, "`service/start_time`"},
		{`"start_time":5,`, ``, "`service/start_time`"},
		{`"message":"m"`, `"message":"n"`, "`service/log`"},
		{`{"name":"s"`, `{"custom_attrs":{"A":"x"},"name":"s"`, "`service/user_inputs`"},
		{`{"name":"s"`, `{"custom_attrs_values":{"A":"x"},"name":"s"`, "`service/user_inputs_values`"},
		{`{"name":"s"`, `{"networks":{},"name":"s"`, "`service/networks`"},
		{`{"name":"s"`, `{"networks_values":[],"name":"s"`, "`service/networks_values`"},
		{`{"name":"s"`, `{"ready_status_gate":true,"name":"s"`, "`service/ready_status_gate`"},
		{`"cardinality":1`, `"cardinality":2`, "`role/cardinality`"},
		{`"last_vmname":1`, `"last_vmname":2`, "`role/last_vmname`"},
		{`"deploy_id":3`, `"deploy_id":4`, "`role/nodes`"},
		{`"parents":["a"]`, `"parents":[]`, "`role/parents`"},
		{`"state":2,"last_vmname":1`, `"state":3,"last_vmname":1`, "`role/state`"},
		{`"vm_template":1`, `"vm_template":2`, "`role/template_id`"},
		{`"name":"b"`, `"name":"c"`, "the service has no role 'c', and an update cannot rename one; did you mean \"a\"?"},
		{`]}]}`, `]},{"name":"b2","vm_template":0}]}`, "the service has no role 'b2', and an update cannot rename one; did you mean \"b\"?"},
	} {
		if !strings.Contains(running, c.old) {
			t.Fatal(c.old)
		}
		text := strings.Replace(running, c.old, c.new, 1)
		if c.old == `]}]}` {
			text = strings.TrimSuffix(running, "]}") + c.new[2:]
		}
		_, _, err := b.UpdateService([]byte(text))
		var e *Error
		if !errors.As(err, &e) || e.Kind != Immutable || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s: %v, want %s", c.new, err, c.want)
		}
	}
	fewer := running[:strings.Index(running, `,
	{"name":"b"`)] + "]}"
	if _, _, err := b.UpdateService([]byte(fewer)); err == nil || !strings.Contains(err.Error(), "`service/roles number`") {
		t.Error(err)
	}
	if _, _, err := b.UpdateService([]byte(`{"name":"s"}`)); err == nil || !strings.Contains(err.Error(), "Mandatory") {
		t.Error(err)
	}
}

func TestUpdateServiceAppends(t *testing.T) {
	b := parse(t, running)
	made, _, err := b.UpdateService([]byte(`{"append":true,"template":"{\"description\":\"x\",\"extra\":1}"}`))
	if err != nil || made.Root().Text("description") != "x" || len(made.Root().Array("roles")) != 2 || b.Root().Text("description") != "" {
		t.Error(made, err)
	}
	for body, want := range map[string]string{
		`{"append":true}`:                                       "template: KEY: 'template' must be a String; that holds JSON",
		`{"append":true,"template":{}}`:                         "line 1, column 27: template: KEY: 'template' must be a String; that holds JSON",
		`{"append":true,"template":"{bad"}`:                     "line 1, column 2: template: not JSON",
		`{"append":true,"template":"{\"state\":2}"}`:            "line 1, column 10: template.state: Immutable value: `service/state` can not be changed",
		`{"append":true,"template":"{\"name\":\"s\"}"}`:         "Immutable value: `service/name`",
		`{"append":true,"template":"{\"roles\":[]}"}`:           "`service/roles number`",
		`{"append":false,"template":"{\"description\":\"x\"}"}`: "Mandatory document key 'name (string)'",
	} {
		if _, _, err := b.UpdateService([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

func TestUpdateTemplate(t *testing.T) {
	b := parse(t, `{"name":"s","roles":[],"registration_time":5}`)
	for _, c := range []struct {
		update string
		merge  bool
		want   string
	}{
		{`{"name":"t","roles":[]}`, false, `{"name":"t","roles":[],"registration_time":5,"deployment":"none","description":""}`},
		{`{"name":"t","roles":[],"registration_time":5.0}`, false, `{"name":"t","roles":[],"registration_time":5,"deployment":"none","description":""}`},
		{`{"x":1}`, true, `{"name":"s","roles":[],"registration_time":5,"deployment":"none","description":"","x":1}`},
		{`{"registration_time":6}`, true, "registration_time: Immutable value: `service_template/registration_time` can not be changed"},
		{`{"name":"t","roles":[],"registration_time":6}`, false, "registration_time: Immutable value: `service_template/registration_time` can not be changed"},
	} {
		update, err := Parse([]byte(c.update))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if made, _, err := b.UpdateTemplate(update, c.merge); err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(scalar(made.Root()))
		}
		if !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.update, got, c.want)
		}
	}
}

func TestUpdateOfAForcedService(t *testing.T) {
	b := parse(t, running)
	b.Root().Array("roles")[0].(*Object).SetInt("max_vms", 0)
	if _, _, err := b.UpdateService([]byte(`{"append":true,"template":"{\"description\":\"x\"}"}`)); err != nil {
		t.Error(err)
	}
	text, _ := b.MarshalJSON()
	if _, _, err := b.UpdateService(text); err == nil || !strings.Contains(err.Error(), "'max_vms'") {
		t.Error(err)
	}
}

func TestAddRole(t *testing.T) {
	b := parse(t, running)
	for in, want := range map[string]string{
		`{"name":"c","vm_template":"1","parents":["b"]}`:                                           `{"name":"c","vm_template":1,"parents":["b"],"cardinality":1}`,
		`"{\"name\":\"c\",\"type\":\"vm\",\"template_id\":2,\"template_contents\":{\"A\":\"1\"}}"`: `{"name":"c","cardinality":0,"vm_template":2,"vm_template_contents":"A=\"1\"\n"}`,
		`{"name":"a","vm_template":1}`:                                                             "role.name: Role name 'a' is repeated",
		`{"name":"c","vm_template":1,"parents":["d"]}`:                                             `role.parents[0]: no role "d"; did you mean "a"?`,
		`{"name":"c","vm_template":1,"min_vms":2}`:                                                 "role.cardinality: Role 'c' 'cardinality' must be greater than or equal to 'min_vms'",
		`{"name":"c"}`: `role: Mandatory document key 'type (string)' is missing from {"name":"c"}`,
		`3`:            "role: KEY: 'role' must be an Object;",
		`"{bad"`:       "line 1, column 2: role: not JSON: invalid character 'b' looking for beginning of object key string",
	} {
		v, err := ParseJSON([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if made, _, err := b.AddRole(v); err != nil {
			got = err.Error()
		} else {
			got = scalar(made.Root().Array("roles")[2])
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", in, got, want)
		}
	}
	if len(b.Root().Array("roles")) != 2 {
		t.Error("the service changed")
	}
}

func TestRemoveRole(t *testing.T) {
	b := parse(t, running)
	made, err := b.RemoveRole("a")
	if err != nil {
		t.Fatal(err)
	}
	roles := made.Root().Array("roles")
	if len(roles) != 1 || scalar(roles[0].(*Object).Get("parents")) != "[]" || len(b.Root().Array("roles")) != 2 {
		t.Error(scalar(made.Root()))
	}
	if _, err := b.RemoveRole("aa"); err == nil || err.Error() != `role: Role 'aa' not found; did you mean "a"?` {
		t.Error(err)
	}
}
