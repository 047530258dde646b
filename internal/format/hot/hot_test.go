package hot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// folder opens files of a map.
func folder(files map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if text, ok := files[path.Clean(name)]; ok {
			return []byte(text), nil
		}
		return nil, fmt.Errorf("no file %q", name)
	}
}

// parse reads a template that must be well.
func parse(t testing.TB, text string, files map[string]string, environments ...string) *Template {
	t.Helper()
	var all []File
	for i, e := range environments {
		all = append(all, File{fmt.Sprintf("env%d.yaml", i), []byte(e)})
	}
	tp, err := Parse("web.yaml", []byte(text), all, Options{Open: folder(files)})
	if err != nil {
		t.Fatal(err)
	}
	return tp
}

func options(driverName string) CompileOptions {
	return CompileOptions{Name: "web", Project: "users", Driver: driverName, Kinds: all.Kinds().Find, Parameters: map[string]any{}}
}

func compiled(t testing.TB, tp *Template, opts CompileOptions) (*service.Spec, []string) {
	t.Helper()
	spec, warnings, err := tp.Compile(opts)
	if err != nil {
		t.Fatal(err)
	}
	return spec, warnings
}

// sample reads one of the templates of the folder testdata.
func sample(t testing.TB, name string) *Template {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	tp, err := Parse(name, text, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tp
}

// outputs evaluates the outputs of a template against a view.
func outputs(t testing.TB, tp *Template, opts CompileOptions, view View) map[string]any {
	t.Helper()
	values, err := tp.Evaluate(opts, view)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	for _, v := range values {
		if out[v.Name] = v.Value; v.Error != "" {
			out[v.Name] = errors.New(v.Error)
		}
	}
	return out
}

// The functions, each with what Heat makes of it. A case is a value, and what it comes to as JSON, or ! and what is wrong.
func TestFunctions(t *testing.T) {
	const head = "heat_template_version: wallaby\nparameters:\n" +
		"  s: {type: string, default: text}\n  n: {type: number, default: 3}\n  l: {type: comma_delimited_list, default: 'a, b,c'}\n" +
		"  j: {type: json, default: {k: [1, {x: y}], b: true}}\n  b: {type: boolean, default: 'on'}\n" +
		"conditions:\n  on: {get_param: b}\n  off: {not: on}\n  both: {and: [on, {equals: [{get_param: s}, text]}]}\n  either: {or: [off, {contains: [a, {get_param: l}]}]}\n" +
		"outputs:\n  o:\n    value: "
	for _, c := range [][2]string{
		{`{get_param: s}`, `"text"`}, {`{get_param: n}`, `3`}, {`{get_param: l}`, `["a","b","c"]`}, {`{get_param: [j, k, 1, x]}`, `"y"`},
		{`{get_param: [j, none]}`, `""`}, {`{get_param: [l, 1]}`, `"b"`}, {`{get_param: b}`, `true`}, {`{get_param: sx}`, `!no parameter "sx"; did you mean "s"?`},
		{`{get_param: "OS::stack_name"}`, `"web"`}, {`{get_param: "OS::project_id"}`, `"users"`}, {`{get_param: "OS::stack_id"}`, `"7"`},
		{`{get_file: a.txt}`, `"from a file\n"`},
		{`{str_replace: {template: "$a $ab {$a}", params: {$a: 1, $ab: two}}}`, `"1 two {1}"`},
		{`{str_replace: {template: "a b", params: {a: b, b: c}}}`, `"b c"`}, // what was put in is not replaced again
		{`{str_replace: {template: "x y", params: {x: [1, {k: v}], y: true}}}`, `"[1,{\"k\":\"v\"}] True"`},
		{`{str_replace: {template: t}}`, `!str_replace needs template and params`},
		{`{str_replace_strict: {template: t, params: {z: 1}}}`, `!z is not in the template`},
		{`{str_replace_vstrict: {template: t, params: {t: ""}}}`, `!t is empty`},
		{`{list_join: ["-", [a, 1, [x], {k: v}], {get_param: l}]}`, `"a-1-[\"x\"]-{\"k\":\"v\"}-a-b-c"`},
		{`{list_join: [1, [a]]}`, `!the delimiter must be text`}, {`{list_join: [",", b]}`, `!expected a list to join`},
		{`{str_split: [",", "a,b"]}`, `["a","b"]`}, {`{str_split: [",", "a,b", 1]}`, `"b"`}, {`{str_split: [",", "a,b", 2]}`, `!there is no part 2 of 2`},
		{`{repeat: {template: "%x%%y%", for_each: {"%x%": [a, b], "%y%": [1, 2]}}}`, `["a1","a2","b1","b2"]`},
		{`{repeat: {template: "%x%%y%", permutations: false, for_each: {"%x%": [a, b], "%y%": [1, 2]}}}`, `["a1","b2"]`},
		{`{repeat: {template: {p: "%x%"}, for_each: {"%x%": [{k: v}, [1]]}}}`, `[{"p":{"k":"v"}},{"p":[1]}]`},
		{`{repeat: {template: {get_param: [j, k, "%x%"]}, for_each: {"%x%": [0]}}}`, `[1]`},
		{`{repeat: {template: a}}`, `!repeat needs template and for_each`},
		{`{digest: [md5, a]}`, `"0cc175b9c0f1b6a831c399e269772661"`}, {`{digest: [sha512, a]}`, `"1f40fc92da241694750979ee6cf582f2d5d7d28e18335de05abc54d0560e0f5302860c652bf08d560252aa5e74210546f369fbbbce8c12cfc7957b2652fe9a75"`},
		{`{digest: [md6, a]}`, `!no algorithm "md6"; did you mean "md5"?`},
		{`{map_merge: [{a: 1, b: 1}, {b: 2}]}`, `{"a":1,"b":2}`}, {`{map_replace: [{a: x, b: y}, {keys: {a: c}, values: {y: z}}]}`, `{"b":"z","c":"x"}`},
		{`{map_replace: [{a: 1, b: 2}, {keys: {a: b}}]}`, `!two keys become "b"`},
		{`{filter: [[a, 1], [a, b, 1, 2]]}`, `["b",2]`}, {`{list_concat: [[a], [a, b]]}`, `["a","a","b"]`}, {`{list_concat_unique: [[a], [a, b]]}`, `["a","b"]`},
		{`{contains: [a, {get_param: l}]}`, `true`}, {`{equals: [1, 1.0]}`, `true`}, {`{equals: [1, "1"]}`, `false`},
		{`{make_url: {scheme: https, host: "::1", port: 80, path: a b, username: u, password: "p:", query: {x: "1 2"}, fragment: f}}`, `"https://u:p%3A@[::1]:80/a%20b?x=1+2#f"`},
		{`{make_url: {prot: 1}}`, `!unknown key "prot"; did you mean "port"?`}, {`{make_url: {host: h, port: 70000}}`, `!"70000" is no port`},
		{`{if: [on, yes, no]}`, `"yes"`}, {`{if: [off, yes, {get_param: n}]}`, `3`}, {`{if: [both, 1, 2]}`, `1`}, {`{if: [either, 1, 2]}`, `1`},
		{`[1, {if: [off, 2]}, {a: {if: [off, 2]}}]`, `[1,{}]`}, {`{if: [of, 1, 2]}`, `!no condition "of"; did you mean`},
		{`{yaql: {expression: "$", data: 1}}`, `!yaql is not evaluated here`},
		{`{resource_facade: metadata}`, `!resource_facade has a meaning in nested templates only`},
		{`{a: {get_param: n}, b: 1}`, `{"a":3,"b":1}`},
	} {
		t.Run(c[0], func(t *testing.T) {
			tp := parse(t, head+c[0]+"\n", map[string]string{"a.txt": "from a file\n"})
			got := outputs(t, tp, options("sim"), View{ID: "7", Name: "web"})["o"]
			if want, bad := strings.CutPrefix(c[1], "!"); bad {
				if err, ok := got.(error); !ok || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "web.yaml:15:") {
					t.Errorf("%v, not %s with its place", got, want)
				}
				return
			}
			text, _ := json.Marshal(got)
			unescaped := strings.NewReplacer(`\u0026`, "&").Replace(string(text))
			if unescaped != c[1] {
				t.Errorf("%s (%v), not %s", unescaped, got, c[1])
			}
		})
	}
}

// The functions of CloudFormation that the first version has.
func TestOldFunctions(t *testing.T) {
	for value, want := range map[string]string{
		`{"Fn::Join": [":", [a, b]]}`: `"a:b"`, `{"Fn::Select": [1, [a, b]]}`: `"b"`, `{"Fn::Split": [",", "a,b"]}`: `["a","b"]`, `{Ref: p}`: `"v"`,
		`{"Fn::Base64": x}`: `"x"`, `{"Fn::GetAZs": ""}`: `["nova"]`, `{"Fn::Replace": [{a: 1}, "a b"]}`: `"1 b"`,
		`{"Fn::MemberListToMap": [Name, Value, [".member.0.Name=k", ".member.0.Value=v"]]}`: `{"k":"v"}`,
	} {
		tp := parse(t, "heat_template_version: 2013-05-23\nparameters: {p: {type: string, default: v}}\noutputs: {o: {value: "+value+"}}\n", nil)
		text, _ := json.Marshal(outputs(t, tp, options("sim"), View{})["o"])
		if string(text) != want {
			t.Errorf("%s is %s, not %s", value, text, want)
		}
	}
}

// Documents that are wrong, each with its first line.
func TestWrong(t *testing.T) {
	const head = "heat_template_version: 2013-05-23\n"
	files := map[string]string{"loop.yaml": head + "resources: {x: {type: loop.yaml}}\n", "bad.yaml": head + "resources:\n  x: {typ: y}\n",
		"nested.yaml": head + "parameters: {p: {type: string}}\noutputs: {o: {value: {get_param: p}}}\n"}
	for text, want := range map[string]string{
		"":              "web.yaml: the file is empty",
		"a: [":          "web.yaml:1:4:",
		"resources: {}": "web.yaml: the template needs heat_template_version",
		"AWSTemplateFormatVersion: '2010-09-09'\nResources: {}":                                                      "templates in the format of CloudFormation are not read",
		"heat_template_version: 2013-05-32":                                                                          `web.yaml:1:24: heat_template_version: no version "2013-05-32"; did you mean "2013-05-23"?`,
		head + "resource: {}":                                                                                        `web.yaml:2:1: resource: unknown key "resource"; did you mean "resources"?`,
		head + "conditions: {a: true}":                                                                               "conditions came with heat_template_version 2016-10-14",
		head + "resources: {a: {type: 'OS::Nova::Server', propertys: {}}}":                                           `unknown key "propertys"; did you mean "properties"?`,
		head + "resources: {a: {properties: {}}}":                                                                    "web.yaml:2:13: resources.a: the resource needs a type",
		head + "resources: {a: {type: 'OS::Nova::Server', properties: {flavour: m}}}":                                `OS::Nova::Server has no property "flavour"; did you mean "flavor"?`,
		head + "resources: {a: {type: 'OS::Nova::Server', properties: {networks: {a: b}, flavor: m}}}":               "resources.a.properties.networks: expected a list",
		head + "resources: {a: {type: 'OS::Nova::Server'}}":                                                          "resources.a: OS::Nova::Server needs the property flavor",
		head + "resources: {a: {type: 'OS::Heat::None', depends_on: bb}, b: {type: 'OS::Heat::None'}}":               `resources.a: no resource "bb"; did you mean "b"?`,
		head + "resources: {a: {type: 'OS::Heat::Value', properties: {value: {get_resource: c}}}}":                   `resources.a: no resource "c"`,
		head + "resources: {a: {type: 'OS::Heat::None', depends_on: b}, b: {type: 'OS::Heat::None', depends_on: a}}": "resources need each other in a circle: a → b → a",
		head + "resources: {a: {type: 'OS::Heat::Value', properties: {value: {get_attr: [b, valu]}}}, b: {type: 'OS::Heat::Value', properties: {value: 1}}}": `OS::Heat::Value has no attribute "valu"; did you mean "value"?`,
		head + "resources: {a: {type: 'OS::Heat::Value', properties: {value: {repeat: {}}}}}":                                                                "the function repeat came with heat_template_version 2015-04-30",
		head + "resources: {a: {type: 'OS::Heat::Value', properties: {value: {get_parm: x}}}}":                                                               `no function "get_parm"; did you mean "get_param"?`,
		"heat_template_version: rocky\nresources: {a: {type: 'OS::Heat::Value', properties: {value: {'Fn::Join': [a, b]}}}}":                                 "the function Fn::Join went with heat_template_version 2014-10-16",
		head + "resources: {a: {type: 'OS::Heat::Value', properties: {value: {get_file: x.sh}}}}":                                                            `no file "x.sh"`,
		head + "resources: {a: {type: 'OS::Heat::Value', properties: {value: {get_file: 'http://e.org/x'}}}}":                                                "is not fetched: put the file beside the template",
		head + "resources: {a: {type: loop.yaml}}":                                                                                                           "stacks are nested deeper than 5",
		head + "resources: {a: {type: bad.yaml}}":                                                                                                            `bad.yaml:3:7: resources.x.typ: unknown key "typ"; did you mean "type"?`,
		head + "resources: {a: {type: nested.yaml}}":                                                                                                         "needs a value for its parameter p",
		head + "resources: {a: {type: nested.yaml, properties: {p: 1, q: 2}}}":                                                                               `nested.yaml has no parameter "q"; did you mean "p"?`,
		head + "resources: {a: {type: 'OS::Heat::Value', properties: {value: {get_attr: [b, oo]}}}, b: {type: nested.yaml, properties: {p: 1}}}":             `b has no output "oo"; did you mean "o"?`,
		head + "resources: {a: {type: 'My::Own'}}":                                                                                                           `no resource type "My::Own"`,
		head + "resources: {a: {type: 'OS::Nova::Servre', properties: {flavor: f}}}":                                                                         `no resource type "OS::Nova::Servre"; did you mean "OS::Nova::Server"?`,
		head + "parameters: {p: {type: strin}}":                                                                                                              `no type "strin"; did you mean "string"?`,
		head + "parameters: {p: {type: number, default: x}}":                                                                                                 `parameters.p.default: expected a number, found "x"`,
		head + "parameters: {p: {type: string}}":                                                                                                             "parameters.p: needs a value: give one with --set p=VALUE",
		head + "parameters: {p: {type: string, default: x, constraints: [{allowed_values: [y, z]}]}}":                                                        `"x": it is none of y, z`,
		head + "parameters: {p: {type: string, default: xy, constraints: [{length: {max: 1}}]}}":                                                             `"xy": its length is 2, which is not 1 or less`,
		head + "parameters: {p: {type: number, default: 5, constraints: [{range: {min: 1, max: 4}, description: small}]}}":                                   `"5": it is not between 1 and 4 (small)`,
		head + "parameters: {p: {type: number, default: 5, constraints: [{modulo: {step: 3, offset: 1}}]}}":                                                  `"5": it is not 1 more than a multiple of 3`,
		head + "parameters: {p: {type: string, default: ab, constraints: [{allowed_pattern: 'a*'}]}}":                                                        "does not match the pattern a*",
		head + "parameters: {p: {type: string, constraints: [{allowed_pattern: '('}]}}":                                                                      "the pattern cannot be read",
		head + "parameters: {p: {type: string, hidden: true, default: secret, constraints: [{length: {max: 1}}]}}":                                           "parameters.p.default: the value: its length is 6",
		head + "parameter_groups: [{parameters: [p]}]\nparameters: {pp: {type: string}}":                                                                     `no parameter "p"; did you mean "pp"?`,
		head + "outputs: {o: {value: {get_attr: [x, y]}}}":                                                                                                   `outputs.o: no resource "x"`,
		head + "outputs: {o: {}}": "the output needs a value",
		"heat_template_version: pike\nresources: {a: {type: 'OS::Heat::None', condition: {equals: [{get_attr: [b, value]}, 1]}}, b: {type: 'OS::Heat::Value', properties: {value: 1}}}": "",
		"heat_template_version: pike\nconditions: {a: {not: b}, b: {not: a}}\nresources: {x: {type: 'OS::Heat::None', condition: a}}":                                                   `the condition "a" needs itself`,
		head + "resources: {a: {type: 'OS::Heat::ResourceGroup', properties: {count: 2000, resource_def: {type: 'OS::Heat::None'}}}}":                                                   "2000 members that are not servers alike; 1000 are the most",
		head + "resources: {a: {type: 'OS::Heat::ResourceGroup', properties: {count: -1, resource_def: {type: 'OS::Heat::None'}}}}":                                                     "-1 is less than 0",
		head + "resources: {a: {type: 'OS::Heat::AutoScalingGroup', properties: {min_size: 2, max_size: 1, resource: {type: 'OS::Nova::Server', properties: {flavor: f}}}}}":            "are not in this order",
		head + "resources: {a: {type: 'OS::Heat::RandomString', properties: {length: 1000}}, b: {type: 'OS::Heat::Value', properties: {value: {get_attr: [a, value]}}}}":                "the length 1000 is not between 1 and 512",
		head + "resources: {a: {type: 'OS::Heat::Value', properties: {value: \"\U000F0001\"}}}":                                                                                         "a character of Unicode's private plane 15",
	} {
		if want == "" {
			continue
		}
		tp, err := Parse("web.yaml", []byte(text), nil, Options{Open: folder(files)})
		if err == nil {
			_, _, err = tp.Compile(options("sim"))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v\ndoes not say %s", text, err, want)
		}
		if errs := (tree.Errors)(nil); err != nil && !errors.As(err, &errs) {
			t.Errorf("%s\nis refused with a %T", text, err)
		}
	}
}

// Environments give parameters and types, later ones before earlier.
func TestEnvironments(t *testing.T) {
	tp := parse(t, `
heat_template_version: 2018-08-31
parameters:
  a: {type: string, default: template}
  b: {type: string, default: template}
  c: {type: comma_delimited_list, default: ''}
  d: {type: string}
resources:
  mine: {type: "My::Thing", properties: {p: 1}}
  other: {type: "My::Thing", properties: {p: 2}}
  none: {type: "My::Gone"}
outputs:
  all: {value: [{get_param: a}, {get_param: b}, {get_param: c}, {get_param: d}, {get_attr: [mine, o]}, {get_attr: [other, o]}]}
`, map[string]string{"thing.yaml": "heat_template_version: 2018-08-31\nparameters: {p: {type: string}, q: {type: string, default: q}}\noutputs: {o: {value: {list_join: ['', [{get_param: p}, {get_param: q}]]}}}\n",
		"sub/other.yaml": "heat_template_version: 2018-08-31\nparameters: {p: {type: string}}\noutputs: {o: {value: {get_file: x}}}\n", "sub/x": "beside"},
		"parameters: {a: one, c: [x]}\nparameter_defaults: {b: default, q: nested}\nresource_registry: {'My::Thing': thing.yaml, 'My::*': 'OS::Heat::*', resources: {other: {'My::Thing': sub/other.yaml}}}",
		"parameter_merge_strategies: {c: merge}\nparameters: {a: two, c: [y], d: d}\nresource_registry: {'My::Gone': 'OS::Heat::None'}\nencrypted_param_names: [x]\n")
	want := []any{"two", "default", []any{"x", "y"}, "d", "1nested", "beside"}
	if diff := cmp.Diff(want, outputs(t, tp, options("sim"), View{})["all"]); diff != "" {
		t.Error(diff)
	}
	if w := strings.Join(tp.Warnings(), "\n"); !strings.Contains(w, "env1.yaml:4:1: encrypted_param_names: is ignored") {
		t.Error(w)
	}
	opts := options("sim")
	opts.Parameters["a"] = "given"
	if got := outputs(t, tp, opts, View{})["all"].([]any)[0]; got != "given" {
		t.Errorf("a is %v, and was given", got)
	}
}

// What is known only later is rendered into the machine when it is made, and text that looks like a template stays.
func TestRendered(t *testing.T) {
	tp := parse(t, `
heat_template_version: 2018-08-31
resources:
  net: {type: OS::Neutron::Net, properties: {name: private}}
  sub: {type: OS::Neutron::Subnet, properties: {network: {get_resource: net}, cidr: 10.9.0.0/24}}
  port: {type: OS::Neutron::Port, properties: {network: {get_resource: net}}}
  ip: {type: OS::Neutron::FloatingIP, properties: {floating_network: public, port_id: {get_resource: port}}}
  db: {type: OS::Nova::Server, properties: {flavor: m1.tiny, image: x, networks: [{port: {get_resource: port}}]}}
  web:
    type: OS::Nova::Server
    properties:
      flavor: m1.tiny
      user_data:
        list_join:
        - "\n"
        - - "#!/bin/bash"
          - 'echo ${#all[@]} {{ jinja }} {% no %}'
          - {get_attr: [db, first_address]}
          - {get_attr: [db, networks, private, 0]}
          - {get_attr: [db, addresses, private, 0, addr]}
          - {get_resource: db}
          - {get_attr: [ip, floating_ip_address]}
          - {get_attr: [port, mac_address]}
          - {get_attr: [net, name]}
          - {get_attr: [sub, gateway_ip]}
          - {str_split: [".", {get_attr: [db, first_address]}, 0]}
          - {get_param: "OS::stack_id"}
`, nil)
	spec, _ := compiled(t, tp, options("sim"))
	r := &spec.Roles[spec.Role("web")]
	if diff := cmp.Diff([]string{"db"}, r.Parents); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"net", "port"}, r.Needs); diff != "" {
		t.Error(diff)
	}
	scope := &render.Scope{Service: render.Service{ID: "7"}, Roles: map[string]render.Peers{"db": render.PeersOf([]render.Peer{{Name: "db-0", Address: "10.9.0.7", Addresses: []string{"10.9.0.7"},
		UUID: func() string { return "the-uuid" }}})}, Keys: map[string]any{"resources": map[string]any{"port": map[string]string{"id": "abcdef12", "address": "10.9.0.8"}}}, Strict: true}
	got, err := render.Text(t.Context(), "user_data", r.Machine.UserData, scope)
	if err != nil {
		t.Fatal(err)
	}
	want := "#!/bin/bash\necho ${#all[@]} {{ jinja }} {% no %}\n10.9.0.7\n10.9.0.8\n10.9.0.8\nthe-uuid\n10.9.0.8\nfa:16:3e:ab:cd:ef\nprivate\n10.9.0.1\n10.9.0.7\n7"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if x := spec.Resource("port"); x.Addresses != "10.9.0.0/24" || x.Driver != service.Recorded {
		t.Errorf("the port is %+v", x)
	}
	if x := spec.Resource("net"); x.Driver != "sim" || x.Options["cidr"] != "10.9.0.0/24" {
		t.Errorf("the network is %+v", x)
	}
	if db := spec.Roles[spec.Role("db")]; db.Address != "port" || db.Identity != service.Stable || db.Machine.CPUs != 1 || db.Machine.Memory != 512<<20 {
		t.Errorf("the server is %+v", db)
	}
}

// A machine definition that has the name of the image is what the server is made from.
func TestImages(t *testing.T) {
	tp := parse(t, "heat_template_version: 2018-08-31\nresources:\n  a: {type: OS::Nova::Server, properties: {flavor: big, image: ubuntu-24.04, user_data: hello}}\n  b: {type: OS::Nova::Server, properties: {flavor: huge, image: other}}\n", nil)
	opts := options("process")
	opts.Machine = func(name string) (service.Machine, bool) {
		switch name {
		case "ubuntu-24.04":
			return service.Machine{Name: name, CPUs: 2, UserData: "own", Env: map[string]string{"A": "b"},
				Implementations: []service.Implementation{{Driver: "docker", Options: map[string]any{"image": "ubuntu:24.04"}, UserData: "its own"}}}, true
		case "big":
			return service.Machine{Name: name, CPUs: 8, Memory: 1 << 30}, true
		}
		return service.Machine{}, false
	}
	spec, warnings := compiled(t, tp, opts)
	a, b := spec.Roles[0].Machine, spec.Roles[1].Machine
	if a.Implementations[0].Driver != "docker" || a.Implementations[0].UserData != "" || a.UserData != "hello" || a.CPUs != 2 || a.Memory != 1<<30 || a.Env["A"] != "b" {
		t.Errorf("a is made from %+v", a)
	}
	if b.Implementations[0].Driver != "process" || b.Implementations[0].Options["command"] != "exec sleep infinity" {
		t.Errorf("b is made from %+v", b)
	}
	if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, `nothing says how large "huge" is`) }) {
		t.Error(warnings)
	}
}
