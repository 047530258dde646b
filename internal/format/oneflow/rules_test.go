package oneflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// refused normalises a body and returns what is wrong with it.
func refused(t *testing.T, text string) *Error {
	t.Helper()
	b, err := Parse([]byte(text))
	if err == nil {
		_, err = b.Normalise()
	}
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("%s: %T is no *Error", text, err)
	}
	return e
}

func TestRules(t *testing.T) {
	role := func(rest string) string {
		return `{"name":"s","deployment":"straight","roles":[{"name":"r","type":"vm","template_id":0,"cardinality":2` + rest + `}]}`
	}
	elastic := func(policy string) string {
		return role(`,"min_vms":1,"max_vms":4,"elasticity_policies":[{"type":"CHANGE","adjust":1,"expression":"A > 1"},` + policy + `]`)
	}
	scheduled := func(policy string) string {
		return role(`,"min_vms":1,"max_vms":4,"scheduled_policies":[{"type":"CHANGE","adjust":1` + policy + `}]`)
	}
	for _, c := range []struct{ body, path, message string }{
		{`[]`, "", "the body must be a JSON object"},
		{`null`, "", "the body must be a JSON object"},
		{`{"roles":[]}`, "", `Mandatory document key 'name (string)' is missing from {"roles":[]}`},
		{`{"roles":[{"user_inputs_values":{"P":"secret"}}]}`, "", `Mandatory document key 'name (string)' is missing from {"roles":[{"user_inputs_values":"***"}]}`},
		{`{"name":null,"roles":[]}`, "", `Mandatory document key 'name (string)' is missing from {"name":null,"roles":[]}`},
		{`{"name":false,"roles":[]}`, "", `Mandatory document key 'name (string)' is missing from {"name":false,"roles":[]}`},
		{`{"name":"s"}`, "", `Mandatory document key 'roles (array)' is missing from {"name":"s","deployment":"none","description":""}`},
		{`{"name":3,"roles":[]}`, "name", "KEY: 'name' must be a String;"},
		{`{"name":"s","roles":{}}`, "roles", "KEY: 'roles' must be an Array;"},
		{`{"name":"s","roles":["r"]}`, "roles[0]", "KEY: 'roles' must be an Object;"},
		{`{"name":"s","roles":[],"deployment":"fast"}`, "deployment", "KEY: 'deployment' must be one of none, straight;"},
		{`{"name":"s","roles":[],"shutdown_action":"kill"}`, "shutdown_action", "KEY: 'shutdown_action' must be one of terminate, terminate-hard, shutdown, shutdown-hard;"},
		{`{"name":"s","roles":[],"ready_status_gate":"true"}`, "ready_status_gate", "KEY: 'ready_status_gate' is not allowed in a boolean: write true or false"},
		{`{"name":"s","roles":[],"automatic_deletion":1}`, "automatic_deletion", "KEY: 'automatic_deletion' is not allowed in a boolean: write true or false"},
		{`{"name":"s","roles":[],"networks":[]}`, "networks", "KEY: 'networks' must be an Object;"},
		{`{"name":"s","roles":[],"networks_values":{}}`, "networks_values", "KEY: 'networks_values' must be an Array;"},
		{`{"name":"s","roles":[],"networks_values":[1]}`, "networks_values[0]", "KEY: 'networks_values' must be an Object;"},
		{`{"name":"s","roles":[],"user_inputs":"x"}`, "user_inputs", "KEY: 'user_inputs' must be an Object;"},
		{`{"name":"s","roles":[{"type":"vm","template_id":0}]}`, "roles[0]", `Mandatory document key 'name (string)' is missing from {"type":"vm","template_id":0}`},
		{`{"name":"s","roles":[{"name":"r","template_id":0}]}`, "roles[0]", `Mandatory document key 'type (string)' is missing from {"name":"r","template_id":0}`},
		{`{"name":"s","roles":[{"name":"r","type":"vm"}]}`, "roles[0]", `Mandatory document key 'template_id (integer)' is missing from {"name":"r","type":"vm","cardinality":0}`},
		{`{"name":"s","roles":[{"name":"r","type":"lxc","template_id":0}]}`, "roles[0].type", "Unsupported role type 'lxc': use vm or vr"},
		{`{"name":"s","roles":[{"name":"r","type":1,"template_id":0}]}`, "roles[0].type", "KEY: 'type' must be a String;"},
		{`{"name":"s","roles":[{"name":"a b","type":"vm","template_id":0}]}`, "roles[0].name", `KEY: 'name' must match regexp \A\w+\z;`},
		{`{"name":"s","roles":[{"name":"a\nb-c","type":"vm","template_id":0}]}`, "roles[0].name", `KEY: 'name' must match regexp \A\w+\z;`},
		{`{"name":"s","roles":[{"name":"","type":"vm","template_id":0}]}`, "roles[0].name", `KEY: 'name' must match regexp \A\w+\z;`},
		{role(`,"min_vms":-1`), "roles[0].min_vms", "KEY: 'min_vms' must be greater than or equal to 0;"},
		{role(`,"parents":"x"`), "roles[0].parents", "KEY: 'parents' must be an Array;"},
		{role(`,"parents":[1]`), "roles[0].parents[0]", "KEY: 'parents' must be a String;"},
		{role(`,"template_contents":"CPU=1"`), "roles[0].template_contents", "KEY: 'template_contents' must be an Object;"},
		{role(`,"elasticity_policies":[1]`), "roles[0].elasticity_policies[0]", "KEY: 'elasticity_policies' must be an Object;"},
		{`{"name":"s","roles":[{"name":"r","vm_template":0},{"name":"r","vm_template":0}]}`, "roles[1].name", "Role name 'r' is repeated"},
		{`{"name":"s","roles":[{"name":"worker","vm_template":0,"cardinality":1,"min_vms":"2"}]}`, "roles[0].cardinality", "Role 'worker' 'cardinality' must be greater than or equal to 'min_vms'"},
		{role(`,"max_vms":1`), "roles[0].cardinality", "Role 'r' 'cardinality' must be lower than or equal to 'max_vms'"},
		{role(`,"min_vms":1,"scheduled_policies":[{"type":"CHANGE","adjust":1,"recurrence":"* * * * *"}]`), "roles[0]", "Role 'r' with elasticity or scheduled policies must define both 'min_vms' and 'max_vms'"},
		{role(`,"max_vms":3,"elasticity_policies":[{"type":"CHANGE","adjust":1,"expression":"A>1"}]`), "roles[0]", "Role 'r' with elasticity or scheduled policies must define both 'min_vms' and 'max_vms'"},
		{elastic(`{"adjust":1,"expression":"A>1"}`), "roles[0].elasticity_policies[1]", `Mandatory document key 'type (string)' is missing from {"adjust":1,"expression":"A>1"}`},
		{elastic(`{"type":"change","adjust":1,"expression":"A>1"}`), "roles[0].elasticity_policies[1].type", "KEY: 'type' must be one of CHANGE, CARDINALITY, PERCENTAGE_CHANGE; did you mean \"CHANGE\"?"},
		{elastic(`{"type":"CHANGE","expression":"A>1"}`), "roles[0].elasticity_policies[1]", `Mandatory document key 'adjust (integer)' is missing from {"type":"CHANGE","expression":"A>1"}`},
		{elastic(`{"type":"CHANGE","adjust":1,"min_adjust_step":0,"expression":"A>1"}`), "roles[0].elasticity_policies[1].min_adjust_step", "KEY: 'min_adjust_step' must be greater than or equal to 1;"},
		{elastic(`{"type":"CHANGE","adjust":1}`), "roles[0].elasticity_policies[1]", `Mandatory document key 'expression (string)' is missing from {"type":"CHANGE","adjust":1}`},
		{elastic(`{"type":"CHANGE","adjust":1,"expression":""}`), "roles[0].elasticity_policies[1].expression", "Role 'r', elasticity policy #1 'expression' cannot be empty"},
		{elastic(`{"type":"CHANGE","adjust":1,"expression":"A >"}`), "roles[0].elasticity_policies[1].expression", "Role 'r', elasticity policy #1 'expression' parse error: line 1, column 4: expected a name or a number, found the end"},
		{elastic(`{"type":"CHANGE","adjust":1,"expression":"A>1","period":-1}`), "roles[0].elasticity_policies[1].period", "KEY: 'period' must be greater than or equal to 0;"},
		{scheduled(`,"start_time":"2030-01-01 00:00","recurrence":"* * * * *"`), "roles[0].scheduled_policies[0]", "Role 'r', scheduled policy #0 ['start_time','recurrence'] must define one but not both"},
		{scheduled(``), "roles[0].scheduled_policies[0]", "Role 'r', scheduled policy #0 needs to define either 'start_time' or 'recurrence'"},
		{scheduled(`,"start_time":"0 3 1-10 * *"`), "roles[0].scheduled_policies[0].start_time", `Role 'r', scheduled policy #0 'start_time': "0 3 1-10 * *" is not a valid Time; write "2026-03-01 15:45", "2026-03-01T15:45:00Z" or seconds since 1970`},
		{scheduled(`,"start_time":1380721500`), "roles[0].scheduled_policies[0].start_time", "KEY: 'start_time' must be a String;"},
		{scheduled(`,"recurrence":"0 0 31 2 *"`), "roles[0].scheduled_policies[0].recurrence", `Role 'r', scheduled policy #0 'recurrence': "0 0 31 2 *" is not a valid cron expression: that date never comes`},
		{`{"name":"s","roles":[{"name":"v","type":"vr","template_id":0,"cardinality":2,"template_contents":{"NIC":[{"NETWORK_ID":"1"}]}}]}`, "roles[0]", "Role 'v' with more than one router must define a floating IP"},
		{role(`,"parents":["rr"]`), "roles[0].parents[0]", `no role "rr"; did you mean "r"?`},
		{role(`,"parents":["r"]`), "roles[0].parents[0]", "role 'r' is its own parent"},
		{`{"name":"s","deployment":"straight","roles":[{"name":"z","vm_template":0,"parents":["a"]},{"name":"a","vm_template":0,"parents":["b"]},{"name":"b","vm_template":0,"parents":["c"]},{"name":"c","vm_template":0,"parents":["a"]}]}`,
			"roles[1].parents", "the parents go in a ring: a needs b needs c needs a"},
		{`{"name":"s","roles":[{"name":"r","vm_template_contents":"CPU 1"}]}`, "roles[0].vm_template_contents", "Role 'r' 'vm_template_contents': line 1, column 1: expected KEY = VALUE"},
		{`{"name":"s","roles":[{"name":"r","vm_template":"x"}]}`, "roles[0].vm_template", "KEY: 'vm_template' must be an Integer;"},
	} {
		e := refused(t, c.body)
		if e == nil {
			t.Errorf("%s was accepted", c.body)
		} else if e.Path != c.path || e.Message != c.message {
			t.Errorf("%s:\n got %s: %s\nwant %s: %s", c.body, e.Path, e.Message, c.path, c.message)
		}
	}
}

func TestAccepted(t *testing.T) {
	for _, body := range []string{
		`{"name":"s","roles":[]}`,
		`{"name":"s","roles":[{"name":"v","type":"vr","template_id":0,"cardinality":2,"template_contents":{"NIC":[{"FLOATING_IP":"YES"}]}}]}`,
		`{"name":"s","roles":[{"name":"v","type":"vr","template_id":0,"cardinality":2}]}`,
		`{"name":"s","roles":[{"name":"v","type":"vr","template_id":0,"cardinality":1,"min_vms":5}]}`,
		`{"name":"s","roles":[{"name":"r","vm_template":0,"elasticity_policies":[],"scheduled_policies":[]}]}`,
		`{"name":"s","roles":[{"name":"r","vm_template":0,"min_vms":null,"parents":null}]}`,
		`{"name":"s","roles":[{"name":"r","vm_template":0,"min_vms":0,"max_vms":1,"elasticity_policies":[{"type":"CHANGE","adjust":0,"expression":"A>1"}]}]}`,
	} {
		if e := refused(t, body); e != nil {
			t.Errorf("%s: %v", body, e)
		}
	}
}

func TestErrorsHaveThePlace(t *testing.T) {
	e := refused(t, "{\n  // a comment\n  \"name\": \"s\", \"deployment\": \"straight\",\n  \"roles\": [\n    {\"name\": \"é\\u0041\", \"name\": \"a\", \"vm_template\": 0},\n    {\"name\": \"b\", \"vm_template\": 0, \"parents\": [ /* ö */ \"a\", \"c\" ]}\n  ]\n}")
	if want := `line 6, column 63: roles[1].parents[1]: no role "c"; did you mean "a"?`; e == nil || e.Error() != want {
		t.Errorf("%v, want %s", e, want)
	}
}

func TestWithoutOrderOddParentsAreWarnings(t *testing.T) {
	b, err := Parse([]byte(`{"name":"s","deployment":"none","roles":[{"name":"a","vm_template":0,"parents":["b","x"]},{"name":"b","vm_template":0,"parents":["a","b"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := b.Normalise()
	if err != nil {
		t.Fatal(err)
	}
	want := `[roles[0].parents[1]: no role "x"; did you mean "a"? roles[1].parents[1]: role 'b' is its own parent roles[0].parents: the parents go in a ring: a needs b needs a]`
	if got := fmt.Sprint(warnings); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestIntegers(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`3`, "3"}, {`"3"`, "3"}, {`" 3 "`, "3"}, {`1.9`, "1"}, {`3.0`, "3"}, {`1e2`, "100"}, {`"0"`, "0"}, {`"+3"`, "3"},
		{`"1.9"`, ""}, {`""`, ""}, {`"x"`, ""}, {`"08"`, ""}, {`"010"`, ""}, {`"0x10"`, ""}, {`"1_0"`, ""},
		{`true`, ""}, {`[]`, ""}, {`{}`, ""}, {`1e400`, ""}, {`99999999999999999999`, ""}, {`"+-3"`, ""}, {`2147483648`, ""},
	} {
		b, err := Parse([]byte(`{"name":"s","roles":[{"name":"r","vm_template":` + c.in + `}]}`))
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Normalise()
		if (err != nil) != (c.want == "") {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got := b.Root().Array("roles")[0].(*Object).Get("vm_template"); err == nil && got != json.Number(c.want) {
			t.Errorf("%s: %v, want %s", c.in, got, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	for in, want := range map[string]string{
		`{"name":"s","roles":[{"name":"r","vm_template":"0"}]}`:                                  `{"name":"s","roles":[{"name":"r","vm_template":0,"cardinality":1}],"deployment":"none","description":""}`,
		`{"name":"s","roles":[{"name":"r","type":"vm","template_id":0}]}`:                        `{"name":"s","roles":[{"name":"r","type":"vm","template_id":0,"cardinality":0}],"deployment":"none","description":""}`,
		`{"name":"s","roles":[{"name":"r","vm_template":0,"cardinality":null,"cooldown":null}]}`: `{"name":"s","roles":[{"name":"r","vm_template":0,"cardinality":1,"cooldown":null}],"deployment":"none","description":""}`,
		`{"name":"s","deployment":null,"x":[1.50,{"y":"<&>"}],"roles":[]}`:                       `{"name":"s","deployment":"none","x":[1.50,{"y":"<&>"}],"roles":[],"description":""}`,
	} {
		got, _ := parse(t, in).MarshalJSON()
		if string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestARefusedBodyIsUnchanged(t *testing.T) {
	const text = `{"name":"s","roles":[{"name":"a","vm_template":"1"},{"name":"a","vm_template":"1"}]}`
	b, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Normalise(); err == nil {
		t.Fatal("accepted")
	}
	if got, _ := b.MarshalJSON(); string(got) != text {
		t.Errorf("%s", got)
	}
}

func TestNormaliseTwiceIsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([]string{"cardinality", "min_vms", "max_vms", "cooldown", "vm_template", "on_hold", "x"})
		value := rapid.SampledFrom([]string{`1`, `"2"`, `3.7`, `null`, `true`, `" 5 "`, `"x"`})
		members := rapid.MapOfN(key, value, 0, 5).Draw(t, "members")
		role := `{"name":"r"`
		for k, v := range members {
			role += fmt.Sprintf(",%q:%s", k, v)
		}
		b, err := Parse([]byte(`{"name":"s","roles":[` + role + `}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Normalise(); err != nil {
			return
		}
		once, _ := b.MarshalJSON()
		if _, err := b.Normalise(); err != nil {
			t.Fatal(err)
		}
		if twice, _ := b.MarshalJSON(); string(once) != string(twice) {
			t.Fatalf("%s, then %s", once, twice)
		}
	})
}

func TestManyRoles(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"name":"s","deployment":"straight","roles":[{"name":"r0","vm_template":0}`)
	for i := 1; i < 10_000; i++ {
		fmt.Fprintf(&b, `,{"name":"r%d","vm_template":0,"parents":["r%d"]}`, i, i-1)
	}
	b.WriteString(`]}`)
	parse(t, b.String())
}
