//go:build linux

package openstack

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/drivertest"
	"github.com/troupe-dev/troupe/driver/openstack/openstacktest"
)

// shared is the cloud of all tests.
var shared openstacktest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// machine returns the options of a machine.
func machine(more ...any) map[string]any {
	options := map[string]any{"image": openstacktest.Image, "flavor": openstacktest.Flavor, "networks": []string{openstacktest.Network}}
	for n := 0; n+1 < len(more); n += 2 {
		options[more[n].(string)] = more[n+1]
	}
	return options
}

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKZ6t4lzBqgyIAqyBp2Jv3VxVm3yP0mW0lqMgM2yXvYQ ann@example.org"

func TestContract(t *testing.T) {
	cloud := shared.Use(t)
	drivertest.Run(t, drivertest.Harness{
		Kind:    Kind(),
		Config:  func(testing.TB) driver.Config { return driver.Config{Values: cloud.Administrator()} },
		Options: machine(),
		Resources: map[string]map[string]any{
			"network": {"router": "way"}, "subnet": {"network": openstacktest.Network}, "router": {"external": openstacktest.External},
			"port": {"network": openstacktest.Network}, "floating_ip": nil, "security_group": {"rules": []string{"tcp 22", "icmp", "egress any to 10.0.0.0/8"}},
			"volume": {"size": 1}, "key": {"public_key": publicKey}, "server_group": nil, "stack": {"template": "heat_template_version: 2018-08-31\noutputs: {a: {value: b}}\n"},
		},
		Refused: []map[string]any{
			{}, {"image": ""}, machine("image", "no-such-image"), machine("flavor", "no-such-flavor"), machine("networks", []string{"nosuch"}), machine("ports", []string{"nosuch"}),
			machine("security_groups", []string{"nosuch"}), machine("floating_ip", "nosuch"), machine("floating_ip", "203.0.113.7"), machine("floating_ip_pool", "nosuch"),
			machine("key", "nosuch"), machine("server_group", "nosuch"), machine("volumes", []string{"nosuch"}), machine("volume_size", -1), machine("availability_zone", "nosuch"),
			machine("project", "another"), machine("endpoint", "http://other.example.org:5000/v3"), machine("region", "other"), machine("user_domain", "other"),
		},
		Remove:  func(t testing.TB, m driver.Machine) { t.Fatal("not used") },
		Timeout: 4 * time.Minute,
	})
}
