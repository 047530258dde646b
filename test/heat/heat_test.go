// Package heat tests Troupe's Heat together with OpenStack's own client.
package heat

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
)

const template = `heat_template_version: 2015-10-15
description: a server on a port, and a group
parameters:
  name: {type: string, default: web}
  password: {type: string, hidden: true, default: s3cret}
resources:
  net: {type: OS::Neutron::Net}
  port: {type: OS::Neutron::Port, properties: {network: {get_resource: net}}}
  server:
    type: OS::Nova::Server
    properties: {name: {get_param: name}, image: tiny, flavor: m1.small, networks: [{port: {get_resource: port}}], user_data: {get_file: boot.sh}}
  group:
    type: OS::Heat::AutoScalingGroup
    properties: {min_size: 1, max_size: 5, resource: {type: OS::Nova::Server, properties: {image: tiny, flavor: m1.small}}}
  more:
    type: OS::Heat::ScalingPolicy
    properties: {auto_scaling_group_id: {get_resource: group}, adjustment_type: change_in_capacity, scaling_adjustment: 2}
outputs:
  server_address: {value: {get_attr: [server, first_address]}}
  port_address: {value: {get_attr: [port, fixed_ips, 0, ip_address]}}
`

// A stage is a server with a client's environment.
type stage struct {
	*testing.T
	program, dir string
	env          []string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	program, err := exec.LookPath("/usr/bin/openstack")
	if err != nil {
		t.Skip("needs Debian's python3-openstackclient and python3-heatclient, which scripts/setup installs")
	}
	s := apptest.Start(t, app.Options{Accounts: []app.Account{{Driver: "sim"}}})
	dir := t.TempDir()
	return &stage{T: t, program: program, dir: dir, env: []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "LANG=C.UTF-8", "PYTHONUNBUFFERED=1", "OS_AUTH_URL=" + s.URL() + "/keystone/v3", "OS_IDENTITY_API_VERSION=3",
		"OS_USERNAME=oneadmin", "OS_PASSWORD=" + s.Password(), "OS_PROJECT_NAME=oneadmin", "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default", "OS_REGION_NAME=RegionOne"}}
}

func (s *stage) file(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// run has the client carry out commands, all in one process since its start takes long, and returns what it says to each.
func (s *stage) run(commands ...string) []string {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), s.program)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"+mark+"\n") + "\n" + mark + "\n")
	out, err := cmd.CombinedOutput()
	said := strings.Split(string(out), "openstack: '"+mark)
	if len(said) != len(commands)+1 {
		s.Fatalf("openstack: %v\n%s", err, out)
	}
	for i := range said[1:] {
		said[i+1] = guesses.ReplaceAllString(said[i+1], "")
	}
	return said[:len(commands)]
}

// mark is no command: what the client says to it, with guesses at what was meant, parts the answers.
const mark = "zzz-zzz-zzz"

var guesses = regexp.MustCompile(`\A.*\n(Did you mean one of these\?\n(  .*\n)*)?`)

// A stack is what the client shows of one.
type stack struct {
	ID         string         `json:"id"`
	Status     string         `json:"stack_status"`
	Parameters map[string]any `json:"parameters"`
	Outputs    []struct {
		Key   string `json:"output_key"`
		Value string `json:"output_value"`
	} `json:"outputs"`
}

// A resource is what the client shows of one.
type resource struct {
	Attributes struct {
		Addresses []string `json:"addresses"`
	} `json:"attributes"`
}

// OpenStack's own client makes, shows, changes, scales and removes a stack.
func TestClient(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.file("boot.sh", "#!/bin/sh\necho hello\n")
	s.file("t.yaml", template)
	s.file("wrong.yaml", strings.Replace(template, "get_resource: group", "get_resource: gruop", 1))
	var made, changed stack
	var group resource
	steps := []struct {
		command, says string
		value         any // what the answer is read into as JSON
	}{
		{"stack create -t wrong.yaml wrong", `did you mean "group"`, nil},
		{"stack create --wait -t t.yaml shop", "CREATE_COMPLETE", nil},
		{"stack create -t t.yaml shop", "already exists", nil},
		{"stack show shop -f json", "", &made},
		{"stack update --wait --existing --parameter name=other shop", "UPDATE_COMPLETE", nil},
		{"stack show shop -f json", "", &changed},
		{"stack resource signal shop more", "", nil},
		{"stack resource show shop group -f json", "", &group},
		{"stack list", "shop", nil},
		{"stack resource list shop", "OS::Neutron::Port", nil},
		{"stack event list shop", "UPDATE_COMPLETE", nil},
		{"stack output list shop", "port_address", nil},
		{"stack template show shop", "OS::Heat::ScalingPolicy", nil},
		{"stack environment show shop", "name: other", nil},
		{"stack file list shop", "echo hello", nil},
		{"stack check shop", "", nil},
		{"orchestration resource type list", "OS::Nova::Server", nil},
		{"orchestration template validate -t t.yaml", "a server on a port", nil},
		{"orchestration template version list", "2021-04-16", nil},
		{"orchestration template function list 2016-10-14", "map_replace", nil},
		{"stack create --dry-run -t t.yaml another", "OS::Heat::AutoScalingGroup", nil},
		{"stack update --dry-run -t t.yaml shop", "unchanged", nil},
		{"stack delete -y --wait shop", "", nil},
		{"stack show shop", "not found", nil},
	}
	commands := make([]string, len(steps))
	for i := range steps {
		commands[i] = steps[i].command
	}
	for i, said := range s.run(commands...) {
		step := &steps[i]
		if !strings.Contains(said, step.says) {
			t.Errorf("openstack %s does not say %q:\n%s", step.command, step.says, said)
		}
		if step.value == nil {
			continue
		}
		if err := json.Unmarshal([]byte(said), step.value); err != nil {
			t.Fatalf("openstack %s: %v\n%s", step.command, err, said)
		}
	}
	if made.Status != "CREATE_COMPLETE" || made.Parameters["password"] != "******" || len(made.Outputs) != 2 || made.Outputs[0].Value == "" || made.Outputs[0].Value != made.Outputs[1].Value {
		t.Errorf("made: %+v", made)
	}
	if changed.Status != "UPDATE_COMPLETE" || changed.Parameters["name"] != "other" || len(changed.Outputs) != 2 || changed.Outputs[0] != made.Outputs[0] {
		t.Errorf("changed: %+v", changed)
	}
	if len(group.Attributes.Addresses) != 3 {
		t.Errorf("after a signal the group has %v", group.Attributes.Addresses)
	}
}
