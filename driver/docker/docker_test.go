//go:build linux

package docker

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/docker/dockertest"
	"github.com/troupe-dev/troupe/driver/drivertest"
)

// daemon is shared by the tests that do it no harm, and started by the first of them.
var daemon *dockertest.Daemon

var start = sync.OnceValue(func() (err error) {
	daemon, err = dockertest.Open(dockertest.Options{})
	return err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if daemon != nil {
		if err := daemon.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// shared returns the shared daemon.
func shared(t testing.TB) *dockertest.Daemon {
	t.Helper()
	if err := start(); errors.Is(err, dockertest.ErrMissing) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	return daemon
}

// machine returns the options of a machine that runs a command in the daemon's network.
func machine(command ...string) map[string]any {
	return map[string]any{"image": dockertest.Image, "pull": "never", "networks": []string{dockertest.Network}, "command": command, "grace": "1s",
		"ulimits": map[string]any{"nofile": "1024:4096", "nproc": 4096}} // Podman's own defaults are beyond what this process may have
}

func with(options map[string]any, name string, value any) map[string]any {
	options[name] = value
	return options
}

// shell returns the options of a machine that runs a shell script.
func shell(script string) map[string]any { return machine("/bin/sh", "-c", script) }

// forever ends at once when it is asked to.
const forever = `trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done`

func harness(d *dockertest.Daemon) drivertest.Harness {
	return drivertest.Harness{
		Kind:      Kind(),
		Config:    func(testing.TB) driver.Config { return driver.Config{Values: map[string]any{"endpoint": d.Endpoint}} },
		Options:   shell(forever),
		Exits:     func(code int) map[string]any { return shell(fmt.Sprintf("exit %d", code)) },
		Prints:    func(line string) map[string]any { return shell(fmt.Sprintf("echo '%s'; %s", line, forever)) },
		Resources: map[string]map[string]any{"network": nil, "volume": nil},
		Refused: []map[string]any{
			{}, {"image": ""}, {"image": "Bad:Name:x"}, with(machine(), "image", "no-such-image:1"), with(machine(), "ports", []string{"x"}),
			with(machine(), "volumes", []string{"/etc:/x"}), with(machine(), "volumes", []string{"a:b"}), with(machine(), "networks", []string{"nosuch"}),
			with(machine(), "networks", []string{"container:x"}), with(machine(), "binds", []string{"/x"}), with(machine(), "ulimits", map[string]any{"nofile": "x"}),
			with(machine(), "health", "maybe"), with(machine(), "stop_signal", "SIGNOTHING"), with(machine(), "user", "nosuchuser"), machine("/no/such/program"),
		},
		Kill: func(t testing.TB, m driver.Machine) {
			if _, err := d.Client.ContainerKill(t.Context(), m.Native, client.ContainerKillOptions{}); err != nil {
				t.Fatal(err)
			}
		},
		Remove: func(t testing.TB, m driver.Machine) {
			if _, err := d.Client.ContainerRemove(t.Context(), m.Native, client.ContainerRemoveOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
		},
		Echo:    []string{"echo", "troupe"},
		Three:   []string{"sh", "-c", "exit 3"},
		Timeout: 60 * time.Second,
	}
}

func TestContract(t *testing.T) { drivertest.Run(t, harness(shared(t))) }

// TestContractElsewhere runs the contract on the daemon that the environment names, such as Podman's socket.
func TestContractElsewhere(t *testing.T) {
	endpoint := os.Getenv("TROUPE_TEST_DOCKER")
	if endpoint == "" {
		t.Skip("TROUPE_TEST_DOCKER names no daemon")
	}
	drivertest.Run(t, harness(dockertest.Attach(t, endpoint)))
}

func BenchmarkContract(b *testing.B) { drivertest.Bench(b, harness(shared(b))) }
