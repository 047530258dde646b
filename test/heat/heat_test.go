// Package heat tests Troupe's Heat together with OpenStack's own client.
package heat

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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
	return &stage{T: t, program: program, dir: dir, env: []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "LANG=C.UTF-8", "OS_AUTH_URL=" + s.URL() + "/keystone/v3", "OS_IDENTITY_API_VERSION=3",
		"OS_USERNAME=oneadmin", "OS_PASSWORD=" + s.Password(), "OS_PROJECT_NAME=oneadmin", "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default", "OS_REGION_NAME=RegionOne"}}
}

func (s *stage) file(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// run runs the client with arguments that stand apart by spaces.
func (s *stage) run(arguments string) (string, error) {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), s.program, strings.Fields(arguments)...)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *stage) must(arguments string) string {
	s.Helper()
	out, err := s.run(arguments)
	if err != nil {
		s.Fatalf("openstack %s: %v\n%s", arguments, err, out)
	}
	return out
}

// value runs the client and reads what it says as JSON.
func (s *stage) value(arguments string, to any) {
	s.Helper()
	out := s.must(arguments + " -f json")
	if err := json.Unmarshal([]byte(out), to); err != nil {
		s.Fatalf("openstack %s: %v\n%s", arguments, err, out)
	}
}

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

// OpenStack's own client makes, shows, changes, scales and removes a stack.
func TestClient(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.file("boot.sh", "#!/bin/sh\necho hello\n")
	s.file("t.yaml", template)
	s.file("wrong.yaml", strings.Replace(template, "get_resource: group", "get_resource: gruop", 1))
	if out, err := s.run("stack create -t wrong.yaml wrong"); err == nil || !strings.Contains(out, `did you mean "group"`) {
		t.Errorf("a wrong template: %v\n%s", err, out)
	}
	s.must("stack create --wait -t t.yaml shop")
	if out, err := s.run("stack create -t t.yaml shop"); err == nil || !strings.Contains(out, "already exists") {
		t.Errorf("the same name again: %v\n%s", err, out)
	}
	var x stack
	s.value("stack show shop", &x)
	if x.Status != "CREATE_COMPLETE" || x.Parameters["password"] != "******" || len(x.Outputs) != 2 || x.Outputs[0].Value == "" || x.Outputs[0].Value != x.Outputs[1].Value {
		t.Errorf("made: %+v", x)
	}
	address := x.Outputs[0].Value
	s.must("stack update --wait --existing --parameter name=other shop")
	s.value("stack show shop", &x)
	if x.Status != "UPDATE_COMPLETE" || x.Parameters["name"] != "other" || x.Outputs[0].Value != address {
		t.Errorf("changed: %+v", x)
	}
	s.must("stack resource signal shop more")
	var group struct {
		Attributes struct {
			Addresses []string `json:"addresses"`
		} `json:"attributes"`
	}
	s.value("stack resource show shop group", &group)
	if len(group.Attributes.Addresses) != 3 {
		t.Errorf("after a signal the group has %v", group.Attributes.Addresses)
	}
	for arguments, want := range map[string]string{
		"stack list":                                      x.ID,
		"stack resource list shop":                        "OS::Neutron::Port",
		"stack event list shop":                           "UPDATE_COMPLETE",
		"stack output list shop":                          "port_address",
		"stack template show shop":                        "OS::Heat::ScalingPolicy",
		"stack environment show shop":                     "name: other",
		"stack file list shop":                            "echo hello",
		"orchestration resource type list":                "OS::Nova::Server",
		"orchestration template validate -t t.yaml":       "a server on a port",
		"orchestration template version list":             "2021-04-16",
		"orchestration template function list 2016-10-14": "map_replace",
		"stack create --dry-run -t t.yaml another":        "OS::Heat::AutoScalingGroup",
		"stack update --dry-run -t t.yaml shop":           "unchanged",
	} {
		if out := s.must(arguments); !strings.Contains(out, want) {
			t.Errorf("openstack %s does not say %q:\n%s", arguments, want, out)
		}
	}
	s.must("stack delete -y --wait shop")
	if out, err := s.run("stack show shop"); err == nil || !strings.Contains(out, "not found") {
		t.Errorf("after its removal: %v\n%s", err, out)
	}
}
