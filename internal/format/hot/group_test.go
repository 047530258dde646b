package hot

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver/cloudinit"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

func roleNames(s *service.Spec) (names []string) {
	for _, r := range s.Roles {
		names = append(names, fmt.Sprintf("%s×%d", r.Name, r.Cardinality))
	}
	return names
}

// Servers that differ in their number alone are one role; those that pick something of their own are roles of their own.
func TestGroups(t *testing.T) {
	tp := parse(t, `
heat_template_version: 2018-08-31
parameters: {names: {type: comma_delimited_list, default: "a,b"}}
resources:
  alike:
    type: OS::Heat::ResourceGroup
    update_policy: {rolling_update: {max_batch_size: 3, pause_time: 7}}
    properties: {count: 5, resource_def: {type: OS::Nova::Server, properties: {flavor: m1.tiny, name: "web-%index%", user_data: "member %index%"}}}
  ports:
    type: OS::Heat::ResourceGroup
    properties: {count: 2, resource_def: {type: OS::Neutron::Port, properties: {network: private, name: "port-%index%"}}}
  own:
    type: OS::Heat::ResourceGroup
    properties:
      count: 2
      index_var: "$i"
      resource_def:
        type: OS::Nova::Server
        properties: {flavor: m1.tiny, networks: [{port: {get_attr: [ports, "refs", $i]}}], user_data: {get_param: [names, $i]}}
  asg:
    type: OS::Heat::AutoScalingGroup
    depends_on: alike
    properties:
      min_size: 1
      max_size: 4
      desired_capacity: 2
      cooldown: 60
      resource: {type: OS::Nova::Server, properties: {flavor: m1.tiny, user_data: {list_join: [" ", {get_attr: [alike, first_address]}]}}}
  up: {type: OS::Heat::ScalingPolicy, properties: {adjustment_type: change_in_capacity, auto_scaling_group_id: {get_resource: asg}, scaling_adjustment: 1}}
  nested:
    type: OS::Heat::ResourceGroup
    properties: {count: 2, resource_def: {type: pair.yaml, properties: {who: "n%index%"}}}
outputs:
  all: {value: {get_attr: [alike, first_address]}}
  map: {value: {get_attr: [alike, attributes, first_address]}}
  one: {value: {get_attr: [alike, resource.1, first_address]}}
  refs: {value: {get_attr: [own, refs]}}
  asg: {value: {get_attr: [asg, outputs_list, first_address]}}
  url: {value: {get_attr: [up, alarm_url]}}
  nested: {value: {get_attr: [nested, greeting]}}
  inner: {value: {get_attr: [nested, resource.0, resource.web, first_address]}}
  size: {value: {get_attr: [asg, current_size]}}
`, map[string]string{"pair.yaml": "heat_template_version: 2018-08-31\nparameters: {who: {type: string}}\nresources:\n  web: {type: OS::Nova::Server, properties: {flavor: m1.tiny, user_data: {get_param: who}}}\n" +
		"  db: {type: OS::Nova::Server, depends_on: web, properties: {flavor: m1.tiny}}\noutputs: {greeting: {value: {get_param: who}}}\n"})
	spec, warnings := compiled(t, tp, options("process"))
	want := []string{"alike×5", "own-0×1", "own-1×1", "asg×2", "nested-0-web×1", "nested-0-db×1", "nested-1-web×1", "nested-1-db×1"}
	if diff := cmp.Diff(want, roleNames(spec)); diff != "" {
		t.Fatal(diff, warnings)
	}
	alike, own, asg := spec.Roles[0], spec.Roles[2], spec.Roles[3]
	if alike.Machine.UserData != "member {{ instance.number }}" || alike.Update.Batch != 3 || *alike.Update.Settle != 7*time.Second || alike.Identity != service.Stable {
		t.Errorf("%+v", alike)
	}
	if own.Machine.UserData != "b" || own.Address != "ports-1" || !slices.Contains(own.Needs, "ports-1") {
		t.Errorf("%+v", own)
	}
	if asg.MinOf() != 1 || asg.MaxOf() != 4 || asg.Cooldown != time.Minute || !cmp.Equal(asg.Parents, []string{"alike"}) || strings.Count(asg.Machine.UserData, "roles['alike']") != 5 {
		t.Errorf("%+v", asg)
	}
	if p := spec.Roles[5].Parents; !cmp.Equal(p, []string{"nested-0-web"}) {
		t.Errorf("nested-0-db needs %v", p)
	}
	view := View{ID: "7", Name: "web", Instances: map[string][]Instance{
		"alike": {{Addresses: []string{"1.1.1.1"}}, {Addresses: []string{"1.1.1.2"}}}, "own-0": {{UUID: "u0"}}, "own-1": {{UUID: "u1"}},
		"asg": {{Addresses: []string{"2.2.2.2"}}, {}, {}}, "nested-0-web": {{Addresses: []string{"3.3.3.3"}}}}}
	got := outputs(t, tp, options("process"), view)
	if diff := cmp.Diff(map[string]any{
		"all": []any{"1.1.1.1", "1.1.1.2"}, "map": map[string]any{"0": "1.1.1.1", "1": "1.1.1.2"}, "one": "1.1.1.2", "refs": []any{"u0", "u1"}, "asg": []any{"2.2.2.2", "", ""},
		"url": "/v1/services/7/roles/asg?cardinality=+1", "nested": []any{"n0", "n1"}, "inner": "3.3.3.3", "size": 3,
	}, got); diff != "" {
		t.Error(diff)
	}
}

// Deployments are carried out behind the user data, with their inputs in the environment, and tell their outputs.
func TestDeployments(t *testing.T) {
	tp := parse(t, `
heat_template_version: 2018-08-31
resources:
  first:
    type: OS::Heat::SoftwareConfig
    properties: {group: script, inputs: [{name: foo}, {name: bar, default: "it's"}], outputs: [{name: result}], config: {get_file: first.sh}}
  cloud: {type: OS::Heat::CloudConfig, properties: {cloud_config: {write_files: [{path: /greeting, content: hello}]}}}
  mime:
    type: OS::Heat::MultipartMime
    properties: {parts: [{config: {get_resource: cloud}}, {config: "#!/bin/sh\necho main >> log\n", filename: main.sh, subtype: x-shellscript}]}
  server: {type: OS::Nova::Server, properties: {flavor: m1.tiny, user_data_format: SOFTWARE_CONFIG, user_data: {get_resource: mime}}}
  one: {type: OS::Heat::SoftwareDeployment, properties: {config: {get_resource: first}, server: {get_resource: server}, input_values: {foo: "a b"}}}
  two: {type: OS::Heat::SoftwareDeployment, depends_on: one, properties: {config: {get_resource: first}, server: {get_resource: server}, input_values: {foo: second}, signal_transport: NO_SIGNAL}}
  after: {type: OS::Nova::Server, depends_on: one, properties: {flavor: m1.tiny}}
outputs:
  result: {value: {get_attr: [one, result]}}
  status: {value: {get_attr: [one, deploy_status_code]}}
`, map[string]string{"first.sh": "#!/bin/sh\necho \"$foo and $bar on $deploy_server_id\" >> log\nprintf 'a \"quoted\"\\nresult of %s' \"$foo\" > $heat_outputs_path.result\n"})
	spec, _ := compiled(t, tp, options("process"))
	r := spec.Roles[0]
	if !r.ReadyGate || r.StartTimeout != time.Hour || !cmp.Equal(spec.Roles[1].Parents, []string{"server"}) {
		t.Errorf("%+v", r)
	}
	text, err := render.Text(t.Context(), "user_data", r.Machine.UserData, &render.Scope{Instance: render.Instance{UUID: "the-uuid"}, Service: render.Service{ID: "7"}, Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := cloudinit.Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Warnings) > 0 || len(plan.Scripts) != 2 || len(plan.Files) != 1 || string(plan.Files[0].Content) != "hello" {
		t.Fatalf("%+v", plan)
	}
	dir := t.TempDir()
	// curl writes down what it would send.
	if err := os.WriteFile(filepath.Join(dir, "curl"), []byte("#!/bin/sh\ncat >> told\necho >> told\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i, s := range plan.Scripts {
		name := filepath.Join(dir, fmt.Sprint("script", i))
		if err := os.WriteFile(name, s, 0o700); err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), name)
		c.Dir, c.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if diff := cmp.Diff("main\na b and it's on the-uuid\nsecond and it's on the-uuid\n", read("log")); diff != "" {
		t.Error(diff)
	}
	told := `ONE_RESULT="a \"quoted\" result of a b"
ONE_STDOUT=""
ONE_STATUS_CODE="0"
TWO_RESULT="a \"quoted\" result of second"
TWO_STDOUT=""
TWO_STATUS_CODE="0"
READY="YES"
`
	if diff := cmp.Diff(told, read("told")); diff != "" {
		t.Error(diff)
	}
	view := View{Instances: map[string][]Instance{"server": {{Attributes: map[string]string{"ONE_RESULT": "r", "ONE_STATUS_CODE": "0"}}}}}
	if diff := cmp.Diff(map[string]any{"result": "r", "status": "0"}, outputs(t, tp, options("process"), view)); diff != "" {
		t.Error(diff)
	}
}

// A wait condition makes the servers that speak of its handle wait for their signal, and those that need it for them.
func TestWaitConditions(t *testing.T) {
	tp := parse(t, `
heat_template_version: 2018-08-31
resources:
  handle: {type: OS::Heat::WaitConditionHandle}
  wait: {type: OS::Heat::WaitCondition, properties: {handle: {get_resource: handle}, timeout: 90}}
  first: {type: OS::Nova::Server, properties: {flavor: m1.tiny, user_data: {str_replace: {template: "notify --data-binary '{\"status\": \"FAILURE\"}'", params: {notify: {get_attr: [handle, curl_cli]}}}}}}
  second: {type: OS::Nova::Server, depends_on: wait, properties: {flavor: m1.tiny}}
  swift: {type: OS::Heat::SwiftSignalHandle}
`, nil)
	spec, warnings := compiled(t, tp, options("process"))
	first, second := spec.Roles[0], spec.Roles[1]
	if !first.ReadyGate || first.StartTimeout != 90*time.Second || second.ReadyGate || !cmp.Equal(second.Parents, []string{"first"}) {
		t.Errorf("%+v", spec.Roles)
	}
	if !slices.ContainsFunc(warnings, func(w string) bool {
		return strings.Contains(w, "OS::Heat::SwiftSignalHandle is ignored: use OS::Heat::WaitCondition")
	}) {
		t.Error(warnings)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "curl"), []byte("#!/bin/sh\necho \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "/bin/sh", "-c", first.Machine.UserData)
	c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "-d READY=NO ") {
		t.Errorf("%v: %s", err, out)
	}
	if spec, _ := compiled(t, tp, options("sim")); spec.Roles[0].ReadyGate {
		t.Error("a simulated machine is waited for")
	}
}

// What is secret is an input that is never shown, and random texts stay as they are.
func TestSecrets(t *testing.T) {
	text := `
heat_template_version: 2018-08-31
parameters: {password: {type: string, hidden: true}}
resources:
  random: {type: OS::Heat::RandomString, properties: {length: 20, character_classes: [{class: digits, min: 5}, {class: lowercase, min: 1}]}}
  unused: {type: OS::Heat::RandomString}
  a: {type: OS::Nova::Server, properties: {flavor: m1.tiny, user_data: {list_join: [" ", [{get_attr: [random, value]}, {get_param: password}]]}}}
  b: {type: OS::Nova::Server, properties: {flavor: m1.tiny, user_data: none}}
outputs: {unused: {value: {get_resource: unused}}}
`
	tp := parse(t, text, nil)
	opts := options("sim")
	opts.Parameters["password"] = "hunter22"
	spec, _ := compiled(t, tp, opts)
	a := spec.Roles[0]
	random := a.Inputs["random"]
	if a.Machine.UserData != random+" hunter22" || a.Inputs["password"] != "hunter22" || len(spec.Roles[1].Inputs) != 0 || !cmp.Equal(spec.Secrets, []string{"password", "random"}) {
		t.Errorf("%+v, secrets %v", a, spec.Secrets)
	}
	if len(random) != 20 || strings.ContainsFunc(random, func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'z') }) {
		t.Errorf("the random text is %q", random)
	}
	bundle, err := DecodeBundle(spec.Document)
	if err != nil {
		t.Fatal(err)
	}
	again, err := bundle.Parse()
	if err != nil {
		t.Fatal(err)
	}
	opts = options("sim") // without the password: it stays
	opts.Previous = bundle
	next, _ := compiled(t, again, opts)
	if diff := cmp.Diff(spec.Roles, next.Roles); diff != "" {
		t.Error(diff)
	}
	values, err := Outputs(spec.Document, View{})
	if err != nil || values[0].Value == "" || len(values[0].Value.(string)) != 32 {
		t.Errorf("%v, %v", values, err)
	}
	if more, err := Outputs(next.Document, View{}); err != nil || more[0].Value != values[0].Value {
		t.Errorf("%v, %v and not %v", more, err, values)
	}
	other := parse(t, strings.Replace(text, "length: 20", "length: 21", 1), nil)
	if changed, _ := compiled(t, other, opts); changed.Roles[0].Inputs["random"] == random {
		t.Error("another length is asked for, and the text is the same")
	}
}
