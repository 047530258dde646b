package render

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/service"
)

func uuid(id string) func() string { return func() string { return id } }

// occopusScope is a scope as a description of Occopus gets it: the names of its format beside the native ones.
func occopusScope() *Scope {
	born := time.Unix(1700000000, 0)
	return &Scope{
		Service: Service{Name: "tmpl", ID: "7"}, Role: Role{Name: "b", Number: 1}, Instance: Instance{Name: "b-0", ID: "7-3-1"},
		Roles: map[string]Peers{"empty": PeersOf(nil), "a": PeersOf([]Peer{
			{Name: "a-0", UUID: uuid("u-1"), Native: "i-1", Created: born, Address: "10.0.0.11", Addresses: []string{"10.0.0.11", "192.168.0.11"}},
			{Name: "a-1", UUID: uuid("u-2"), Native: "i-2", Number: 1, Address: "10.0.0.10", Addresses: []string{"10.0.0.10"}},
		})},
		Inputs: map[string]string{"name": "hidden"},
		Variables: service.Values{
			"g": "local", "nest": map[string]any{"a": int64(2), "b": []any{"x", "y"}}, "flag": true, "none": nil,
			"flowbster": map[string]any{"app": map[string]any{"in": "deep"}}, "f": 3.0, "raw": "{{ g }}",
		},
		Names: service.Values{"infra_name": "tmpl", "infra_id": "00000000-0000-4000-8000-000000000001", "user_id": "u", "type": "tb", "scaling": map[string]any{"min": int64(1)}},
		Rendered: service.Values{
			"name": "{{ role.name }}", "node_id": "{{ instance.id }}", "resource": map[string]any{"endpoint": "ep-{{infra_name}}", "l": []any{"{{ name }}", int64(1)}},
			"self": "{{ self }}", "wrong": "{{ 1 / 0 }}", "ring": "{{ ring2 }}", "ring2": map[string]any{"x": "{{ ring }}"},
		},
	}
}

func TestFunctions(t *testing.T) {
	for template, want := range map[string]string{
		"{{getip('a')}} {{getprivip('a')}} {{getip(role='a')}}":                                           "10.0.0.11 192.168.0.11 10.0.0.11",
		"{{getipall('a')}} {{getipall('a')|length}} {{getipall('a')|join(',')}}":                          "['10.0.0.11', '10.0.0.10'] 2 10.0.0.11,10.0.0.10",
		"{{cut(infra_id,0,4)}} {{cut('abc', -2, 9)}}{{cut('abc', 2, 1)}} {{cut('grün', 2, 4)}}":           "0000 bc ün",
		"{{find_node_id('a').node_id is defined}} {{find_node_id('a').node_id}}":                          "True u-1",
		"{{find_node_id('a', allnodes=True)|map(attribute='instance_id')|join(',')}}":                     "i-1,i-2",
		"{{find_node_id('a').instance_start_time}} {{find_node_id('a').node_description.name}}":           "1700000000.0 a",
		"{{find_node_id('a').infra_id|length}} {{find_node_id('a').resource_address}}":                    "36 10.0.0.11",
		"{{infra_name}} {{name}} {{user_id}} {{type}} {{node_id}} {{scaling.min}}":                        "tmpl b u tb 7-3-1 1",
		"{{resource.endpoint}} {{resource.l}} {{resource}}":                                               "ep-tmpl ['b', 1] {'endpoint': 'ep-tmpl', 'l': ['b', 1]}",
		"{{variables.nest.b}} {{variables.flag}} {{variables.none}} {{variables.missing}}.{{x}}":          "['x', 'y'] True None .",
		"{{variables.flowbster.app.in}} {{variables.f}} {{variables.raw}} {{variables.nest}}":             "deep 3.0 {{ g }} {'a': 2, 'b': ['x', 'y']}",
		"{{ibget('infrastructure.name', infra_id)}} {{ibget('node.find', infra_id, 'a')|length}}":         "tmpl 2",
		"{{ibget('node.find_one', name='a').name}} {{ibget('node.resource.address', find_node_id('a'))}}": "a-0 10.0.0.11",
		"{{ibget('infrastructure.node_instances').a['u-2'].resource_address}}":                            "10.0.0.10",
		"{{cmd('echo hi')}}":                  "ran echo hi",
		"{% set getip = 'mine' %}{{ getip }}": "mine",
	} {
		s := occopusScope()
		s.Command = func(_ context.Context, command string) (string, error) { return "ran " + command, nil }
		if got, err := Text(t.Context(), "t", template, s); err != nil || got != want {
			t.Errorf("%s\n got %q, %v\nwant %q", template, got, err, want)
		}
	}
	for template, want := range map[string]string{
		"{{getip('b')}}":                  `t: line 1: getip: no role "b" among those that b needs; did you mean "a"?`,
		"\n{{getipall('empty')}}":         "t: line 2: getipall: role empty has no instance yet",
		"{{find_node_id('empty')}}":       "role empty has no instance yet",
		"{{getip()}}":                     `getip lacks its value "role"`,
		"{{getip(1)}}":                    "the role must be text",
		"{{variables.nope.deep}}":         `no value "nope"`,
		"{{nofunction('a')}}":             `no value "nofunction"`,
		"{{cut(1, 2, 3)}}":                "the first value must be text",
		"{{cmd('id')}}":                   "cmd: commands on the server's host are not allowed in templates",
		"{{ibget('backends.auth_data')}}": `no answer to "backends.auth_data"`,
		"{{ibget('node.address', 'x')}}":  "takes what find_node_id returns",
		"{{self}}":                        `"self" is made from itself`,
		"{{ring}}":                        "is made from itself",
		"{{wrong}}":                       "wrong: line 1: division by zero",
	} {
		if got, err := Text(t.Context(), "t", template, occopusScope()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %q, %v\nwant %q", template, got, err, want)
		}
	}
}

func TestOptions(t *testing.T) {
	x := &service.Implementation{Options: map[string]any{"image": "{{ variables.g }}:{{ getip('a') }}", "n": 3, "list": []any{"{{ name }}", true}, "map": map[string]any{"{{ k }}": "{{ resource.endpoint }}"}}}
	got, err := Machine(t.Context(), &service.Machine{}, x, occopusScope())
	if err != nil {
		t.Fatal(err)
	}
	if o := got.Options; o["image"] != "local:10.0.0.11" || o["n"] != 3 || o["list"].([]any)[0] != "b" || o["map"].(map[string]any)["{{ k }}"] != "ep-tmpl" {
		t.Errorf("%v", o)
	}
	if x.Options["list"].([]any)[0] != "{{ name }}" {
		t.Error("the definition was changed")
	}
	x.Options["image"] = "{{ getip('nope') }}"
	if _, err := Machine(t.Context(), &service.Machine{}, x, occopusScope()); err == nil || !strings.HasPrefix(err.Error(), "options.image: line 1: getip: no role") {
		t.Error(err)
	}
}

// What can be told beforehand of options is rendered for the check at plan time.
func TestForesee(t *testing.T) {
	r := &service.RoleSpec{Name: "app", Variables: service.Values{"size": int64(3)}}
	x := &service.Implementation{Options: map[string]any{"size": "{{ variables.size }}", "peer": "{{ getip('db') }}", "count": "{{ getip('db') }}", "plain": 1}}
	got := Foresee(&service.Spec{Name: "s"}, r, x, func(option string) bool { return option == "peer" })
	if len(got) != 3 || got["size"] != "3" || got["peer"] != "{{ getip('db') }}" || got["plain"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestRolesIn(t *testing.T) {
	s := &service.Spec{Roles: []service.RoleSpec{{Name: "db"}, {Name: "lb"}, {Name: "app", Variables: service.Values{"target": "lb"},
		Machine: service.Machine{UserData: "{{ getip('db') }}{{ getip(variables.target) }}{{ getip('none') }}{{ getip(x) }}"}}}}
	if got := strings.Join(RolesIn(s, &s.Roles[2]), " "); got != "db lb" {
		t.Error(got)
	}
}
