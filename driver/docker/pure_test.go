package docker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"

	"github.com/troupe-dev/troupe/driver"
)

func TestParsePort(t *testing.T) {
	for text, want := range map[string]string{
		"80": "80/tcp <- :", "8080:80": "80/tcp <- :8080", "127.0.0.1:8080:80/udp": "80/udp <- 127.0.0.1:8080",
		"127.0.0.1::80": "80/tcp <- 127.0.0.1:", "[::1]:53:53/udp": "53/udp <- ::1:53", "[::]:53:53/sctp": "53/sctp <- :::53",
		"": "error", "0": "error", "80/icmp": "error", "x:80": "error", "80:": "error", "1.2.3:80:80": "error", "70000:80": "error",
	} {
		port, b, err := parsePort(text)
		got := "error"
		if err == nil {
			host := ""
			if b.HostIP.IsValid() {
				host = b.HostIP.String()
			}
			got = fmt.Sprintf("%s <- %s:%s", port, host, b.HostPort)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func FuzzParsePort(f *testing.F) {
	for _, text := range []string{"80", "8080:80/udp", "[::1]:53:53", "1.2.3.4::5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if port, _, err := parsePort(text); err == nil && (port.Num() == 0 || !port.IsValid()) {
			t.Errorf("%q is taken as port %s", text, port)
		}
	})
}

func TestHostName(t *testing.T) {
	for name, want := range map[string]string{"web-1": "web-1", "web.example.org": "web", strings.Repeat("a", 80): strings.Repeat("a", 63), "-x_": "x", "": ""} {
		if got := hostName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestClass(t *testing.T) {
	daemon := func(words string) error { return fmt.Errorf("Error response from daemon: %s", words) }
	for _, c := range []struct {
		err   error
		class string
	}{
		{daemon("write /var/lib/docker/tmp/x: no space left on device"), "capacity"},
		{daemon("driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated"), "capacity"},
		{daemon("could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"), "capacity"},
		{daemon("all predefined address pools have been fully subnetted"), "capacity"},
		{daemon("no available IPv4 addresses on this network's address pools: x"), "capacity"},
		{daemon("Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"), "capacity"},
		{daemon("toomanyrequests: You have reached your pull rate limit."), "throttled"},
		{daemon("pull access denied for x, repository does not exist or may require 'docker login'"), "denied"},
		{daemon("Get https://r/v2/: unauthorized: authentication required"), "denied"},
		{daemon("manifest for x:1 not found: manifest unknown"), "invalid"},
		{daemon(`exec: "nope": executable file not found in $PATH: unknown`), "invalid"},
		{daemon("the daemon is shutting down"), "unavailable"},
		{daemon("failed to create shim task"), "unavailable"},
		{fmt.Errorf("x: %w", errdefs.ErrInvalidArgument), "invalid"},
		{fmt.Errorf("x: %w", errdefs.ErrPermissionDenied), "denied"},
		{fmt.Errorf("x: %w", errdefs.ErrResourceExhausted), "throttled"},
		{&dialError{endpoint: "unix:///x", words: "connection refused"}, "unavailable"},
		{&dialError{endpoint: "unix:///x", denied: true}, "denied"},
		{refuse("image", "x"), "invalid"},
	} {
		if got := driver.Class(classed(c.err)); got != c.class {
			t.Errorf("%v: %s, want %s", c.err, got, c.class)
		}
		if text := classed(c.err).Error(); strings.Contains(text, "Error response") {
			t.Errorf("needless words: %s", text)
		}
	}
	if !driver.Definite(classed(&dialError{})) || driver.Definite(classed(daemon("what"))) {
		t.Error("a connection that did not come about is definite, an unknown failure is not")
	}
}

func TestVerify(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		values map[string]any
		says   string
	}{
		{nil, ""},
		{map[string]any{"endpoint": "unix:///run/podman/podman.sock"}, ""},
		{map[string]any{"endpoint": "tcp://127.0.0.1:2375"}, ""},
		{map[string]any{"endpoint": "/var/run/docker.sock"}, "give unix://PATH or tcp://HOST:PORT"},
		{map[string]any{"endpoint": "ssh://host"}, `"ssh" is no way`},
		{map[string]any{"endpoint": "unix:///x", "tls_ca": file}, "TLS is for tcp endpoints"},
		{map[string]any{"endpoint": "tcp://h:1", "tls_ca": file}, "configure TLS"},
		{map[string]any{"registries": map[string]any{"r.example.org": "s3cret"}}, "r.example.org must read user:password"},
		{map[string]any{"registries": map[string]any{"r.example.org": "u:s3cret"}}, ""},
	} {
		values, err := Kind().CheckAccount(c.values)
		if err == nil {
			err = verify(driver.Config{Values: values})
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %q", c.values, err, c.says)
		}
		if err != nil && (!errors.Is(err, driver.ErrInvalid) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%v: %v", c.values, err)
		}
	}
}

func TestHealthAndEnds(t *testing.T) {
	log := []*container.HealthcheckResult{{ExitCode: 1, Output: "no answer\n"}}
	for _, c := range []struct {
		state  container.State
		labels map[string]string
		notes  notes
		want   driver.State
		reason string
		exit   int
	}{
		{state: container.State{Status: "running", Health: &container.Health{Status: "unhealthy", Log: log}}, want: driver.Failed, reason: "no answer"},
		{state: container.State{Status: "running", Health: &container.Health{Status: "starting"}}, want: driver.Running},
		{state: container.State{Status: "running", Health: &container.Health{Status: "starting"}}, labels: map[string]string{labelHealth: "wait"}, want: driver.Pending, reason: "not passed"},
		{state: container.State{Status: "exited", ExitCode: 137, OOMKilled: true}, want: driver.Exited, reason: "out of memory", exit: -9},
		{state: container.State{Status: "exited", ExitCode: 143}, notes: notes{stopped: true}, want: driver.Stopped, exit: -15},
		{state: container.State{Status: "created"}, want: driver.Pending},
		{state: container.State{Status: "created"}, labels: map[string]string{labelHold: "true"}, want: driver.Held},
		{state: container.State{Status: "dead"}, want: driver.Failed, reason: "dead"},
		{state: container.State{Status: "configured"}, want: driver.Pending},
		{state: container.State{Status: "odd"}, want: driver.Unknown, reason: "odd"},
	} {
		m := show(container.InspectResponse{State: &c.state, Config: &container.Config{Labels: c.labels}}, c.notes)
		if m.State != c.want || !strings.Contains(m.Reason, c.reason) || m.ExitCode != c.exit {
			t.Errorf("%+v: %s, %q, exit %d", c.state, m.State, m.Reason, m.ExitCode)
		}
	}
}

func TestPlan(t *testing.T) {
	h := &host{installation: "i"}
	options, err := Kind().Check(map[string]any{
		"image": "x", "labels": map[string]any{"team": "web", labelMachine: "forged"}, "ulimits": map[string]any{"nofile": "10:20", "nproc": 7}, "pids": 9,
		"grace": "1500ms", "ports": []any{"8080:80", "8081:80"}, "data_path": "/var/db", "user": "7:8", "aliases": []any{"db", "web"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.newPlan(&driver.Request{ID: "1-2-1", Name: "web-2", Role: "web", Data: "d", Options: options, CPUs: 0.5, Memory: 64 << 20, Env: map[string]string{"A": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	c, r := p.config, p.host
	if c.Labels["team"] != "web" || c.Labels[labelMachine] != "1-2-1" || c.Labels[labelOwner] != "7:8" || *c.StopTimeout != 2 || c.Hostname != "web-2" {
		t.Errorf("%+v", c)
	}
	if r.NanoCPUs != 5e8 || r.Memory != 64<<20 || *r.PidsLimit != 9 || len(r.Ulimits) != 2 || r.Ulimits[0].Hard != 20 || r.Ulimits[1].Soft != 7 || r.RestartPolicy.Name != "no" {
		t.Errorf("%+v", r)
	}
	if len(r.PortBindings) != 1 || fmt.Sprint(p.aliases) != "[web-2 web db]" || !strings.Contains(fmt.Sprint(c.Env), "A=b TROUPE_DATA=/var/db") {
		t.Errorf("%v %v %v", r.PortBindings, p.aliases, c.Env)
	}
	if g := graceOf(container.InspectResponse{Config: &c}); g != 1500*time.Millisecond {
		t.Error(g)
	}
	options["volumes"] = []string{"a:/var/db"}
	if _, err := h.newPlan(&driver.Request{ID: "1-2-1", Data: "d", Options: options}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("two things at one place: %v", err)
	}
}

func TestFilePaths(t *testing.T) {
	for path, want := range map[string]string{"etc/x": "etc/x", "/etc/x": "etc/x", "../x": "", "a/../../x": "", "": "", "/": "", "a/": "", "a/../b": "b"} {
		got, err := localPath(path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", path, got, err)
		}
	}
}

// TestEnvironment: without an endpoint of its own an account follows DOCKER_HOST.
func TestEnvironment(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///from/the/environment")
	for endpoint, want := range map[string]string{"": "unix:///from/the/environment", "unix:///own": "unix:///own"} {
		cli, err := connect(map[string]any{"endpoint": endpoint})
		if err != nil {
			t.Fatal(err)
		}
		if got := cli.DaemonHost(); got != want {
			t.Errorf("%q: %s, want %s", endpoint, got, want)
		}
	}
	t.Setenv("DOCKER_HOST", "nonsense")
	if err := verify(driver.Config{Values: map[string]any{}}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
