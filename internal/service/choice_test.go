package service

import (
	"reflect"
	"testing"
)

func TestMachineByImplementation(t *testing.T) {
	m := Machine{
		Env: map[string]string{"A": "1", "B": "1"}, Files: []File{{Path: "a"}, {Path: "b"}}, UserData: "x", Checks: []Check{{Ping: true}}, CPUs: 2,
		Implementations: []Implementation{
			{Driver: "plain"},
			{Driver: "own", Env: map[string]string{"B": "2", "C": "2"}, Files: []File{{Path: "c"}}, UserData: "y", Checks: []Check{{TCP: ":80"}}},
		},
	}
	before := m
	if got := m.By(0); got != &m {
		t.Errorf("an implementation that says nothing makes %+v", got)
	}
	if got := m.By(2); got != &m {
		t.Errorf("an implementation that is not there makes %+v", got)
	}
	want := m
	want.Env, want.Files = map[string]string{"A": "1", "B": "2", "C": "2"}, []File{{Path: "c"}}
	want.UserData, want.Checks = "y", []Check{{TCP: ":80"}}
	if got := m.By(1); !reflect.DeepEqual(*got, want) {
		t.Errorf("it makes %+v, want %+v", *got, want)
	}
	if !reflect.DeepEqual(m, before) || m.Env["B"] != "1" {
		t.Errorf("the machine changed: %+v", m)
	}
}

func TestFilterAndChoiceAreChecked(t *testing.T) {
	eu := Implementation{Name: "paris", Driver: "a", Labels: map[string]any{"zone": "eu", "cpus": 2, "disk": map[string]any{"gb": 10.0}}}
	us := Implementation{Name: "texas", Driver: "b", Labels: map[string]any{"zone": "us", "cpus": 4}}
	for _, c := range []struct {
		what   string
		change func(r *RoleSpec)
		want   string
	}{
		{"a number of another type", func(r *RoleSpec) { r.Filter = map[string]any{"cpus": 2.0} }, ""},
		{"a nested value", func(r *RoleSpec) { r.Filter = map[string]any{"disk": map[string]any{"gb": 10}} }, ""},
		{"a part of a nested value", func(r *RoleSpec) { r.Filter = map[string]any{"disk": map[string]any{}} },
			`roles[0].filter.disk: no implementation of the machine has the label disk with the value {}, but with {"gb":10}`},
		{"no value like it", func(r *RoleSpec) { r.Filter = map[string]any{"zone": "eus"} },
			`roles[0].filter.zone: no implementation of the machine has the label zone with the value "eus", but with eu, us; did you mean "eu"?`},
		{"no label like it", func(r *RoleSpec) { r.Filter = map[string]any{"zon": "eu"} },
			`roles[0].filter.zon: no implementation of the machine has a label "zon"; did you mean "zone"?`},
		{"not together", func(r *RoleSpec) { r.Filter = map[string]any{"zone": "eu", "cpus": 4} },
			`roles[0].filter: no implementation of the machine has all of these labels`},
		{"a text for a number", func(r *RoleSpec) { r.Filter = map[string]any{"cpus": "2"} },
			`roles[0].filter.cpus: no implementation of the machine has the label cpus with the value "2", but with 2, 4; mind the quotes: text is no number`},
		{"a choice", func(r *RoleSpec) { r.Machine.Choose = "spreed" }, `roles[0].machine.choose: "spreed" is none of order, random, spread; did you mean "spread"?`},
		{"two of a name", func(r *RoleSpec) { r.Machine.Implementations[1].Name = "paris" },
			`roles[0].machine.implementations[1].name: "paris" is already the name of implementations[0]`},
		{"a bad check", func(r *RoleSpec) { r.Machine.Implementations[1].Checks = []Check{{}} },
			`roles[0].machine.implementations[1].checks[0]: a check is one of tcp, http, exec, mysql and ping; this one is 0 of them`},
		{"a bad file", func(r *RoleSpec) { r.Machine.Implementations[0].Files = []File{{Path: "/etc/x"}} },
			`roles[0].machine.implementations[0].files[0].path: "/etc/x" begins with /; paths are relative to the machine's root or working folder: write "etc/x"`},
	} {
		s := valid()
		s.Roles = s.Roles[:1]
		s.Roles[0].Machine.Implementations = []Implementation{eu, us}
		c.change(&s.Roles[0])
		got := ""
		if err := Validate(s); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.what, got, c.want)
		}
	}
}
