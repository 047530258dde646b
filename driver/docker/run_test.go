//go:build linux

package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/docker/dockertest"
)

func httpd() map[string]any { return machine("/bin/httpd", "-f", "-p", "80", "-h", "/www") }

func get(t testing.TB, url string) string {
	t.Helper()
	r, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// freePort returns a port that nobody has just now.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestMachine(t *testing.T) {
	s := newStage(t, shared(t), nil)
	port := freePort(t)
	options := with(httpd(), "ports", []string{fmt.Sprintf("127.0.0.1:%d:80", port)})
	options["aliases"], options["pids"], options["ulimits"], options["shm_size"] = []string{"shop"}, 50, map[string]any{"nofile": "100:200"}, "1M"
	req := s.request(options)
	req.CPUs, req.Memory = 0.5, 32<<20
	req.Env = map[string]string{"COLOUR": "blue and green"}
	req.Files = []driver.File{{Path: "www/sub/page.html", Content: []byte("a page\n")}, {Path: "/etc/secret", Mode: 0o600, Content: []byte("x")}}
	m := s.create(req)
	if m.State != driver.Running || len(m.Addresses) != 1 || !s.Subnet.Contains(addr(t, m.Addresses[0])) {
		t.Fatalf("%+v", m)
	}
	if text := get(t, "http://"+m.Addresses[0]+"/sub/page.html"); text != "a page\n" {
		t.Errorf("by its address: %q", text)
	}
	if text := get(t, fmt.Sprintf("http://127.0.0.1:%d/", port)); text != "hello\n" {
		t.Errorf("by the published port: %q", text)
	}
	if got := s.sh(m, `echo $COLOUR, $TROUPE_ROLE $TROUPE_INSTANCE, $(stat -c %a /etc/secret)`); got != "blue and green, web "+req.Name+", 600" {
		t.Errorf("inside: %q", got)
	}
	c := s.inspect(m) // runc is known to give a command inside the hard limit for the soft one now and then
	if l := c.HostConfig.Ulimits; len(l) != 1 || l[0].Soft != 100 || l[0].Hard != 200 {
		t.Errorf("ulimits %v", l)
	}
	if c.HostConfig.NanoCPUs != 5e8 || c.HostConfig.Memory != 32<<20 || *c.HostConfig.PidsLimit != 50 || c.HostConfig.ShmSize != 1<<20 || c.Config.Hostname != req.Name {
		t.Errorf("%+v", c.HostConfig)
	}
	other := s.run(shell(forever))
	for _, name := range []string{"shop", "web", req.Name} {
		if name == "web" {
			continue // both bear their role's name
		}
		if got := s.sh(other, "wget -q -O- http://"+name+"/"); got != "hello" {
			t.Errorf("by the name %s: %q", name, got)
		}
	}
	// A port that is taken is a definite refusal, and leaves nothing.
	s.refused(s.request(with(httpd(), "ports", []string{fmt.Sprintf("127.0.0.1:%d:80", port)})), driver.ErrCapacity, "port is already allocated")
	low := s.request(httpd())
	low.Memory = 1 << 20
	s.refused(low, driver.ErrInvalid, "memory limit")
	many := s.request(httpd())
	many.CPUs = 10000
	s.refused(many, driver.ErrCapacity, "CPUs")
	bad := s.request(httpd())
	bad.Files = []driver.File{{Path: "../x"}}
	s.refused(bad, driver.ErrInvalid, "within the machine's root")
}

func TestFilesOfUser(t *testing.T) {
	s := newStage(t, shared(t), nil)
	req := s.request(with(shell(forever), "user", "65534:65534"))
	req.Files = []driver.File{{Path: "tmp/x", Mode: 0o400, Content: []byte("mine")}}
	m := s.create(req)
	if got := s.sh(m, "id -u; cat /tmp/x"); got != "65534\nmine" {
		t.Errorf("%q", got)
	}
}

func TestHostReach(t *testing.T) {
	s := newStage(t, shared(t), nil)
	dir := s.Dir()
	options := with(shell("echo from inside > /host/x; "+forever), "binds", []string{dir + ":/host"})
	options["cap_add"], options["tmpfs"], options["read_only"] = []string{"NET_ADMIN"}, []string{"/tmp"}, true
	m := s.run(options)
	s.until(func() error {
		if got := s.sh(m, "cat /host/x; touch /tmp/y; touch /z 2>/dev/null || echo read-only"); got != "from inside\nread-only" {
			return errors.New(got)
		}
		return nil
	})
	if what := Kind().ReachesHost(options); what == "" {
		t.Error("binds need no permission")
	}
	if what := Kind().ReachesHost(shell(forever)); what != "" {
		t.Errorf("an ordinary machine needs the permission because of %s", what)
	}
}

func TestAddressIsKept(t *testing.T) {
	s := newStage(t, shared(t), nil)
	first := s.run(shell(forever))
	s.must(s.d.Destroy(s.ctx(), ref(first), driver.Hard))
	taken := s.run(shell(forever)) // gets the address that has become free
	next := s.request(shell(forever))
	next.Address = s.Subnet.Addr().Next().Next().Next().Next().Next().Next().Next().Next().Next().String()
	if m := s.create(next); m.Addresses[0] != next.Address {
		t.Errorf("wished %s, got %v", next.Address, m.Addresses)
	}
	for why, wish := range map[string]string{"it is taken": taken.Addresses[0], "it is of no network": "192.0.2.7", "it is no address": "x"} {
		req := s.request(shell(forever))
		req.Address = wish
		if m := s.create(req); len(m.Addresses) != 1 || m.Addresses[0] == wish || m.State != driver.Running {
			t.Errorf("wished %s although %s: %+v", wish, why, m)
		}
	}
	// In a network whose addresses the daemon chose it may refuse the wish; the machine is made all the same.
	r := s.resource("network", "auto", nil)
	auto := with(shell(forever), "networks", []string{"auto"})
	req := s.request(auto)
	req.Address = addr(t, r.Outputs["gateway"]).Next().Next().Next().String()
	if m := s.create(req); m.State != driver.Running || len(m.Addresses) != 1 {
		t.Errorf("%+v", m)
	}
}

func (s *stage) resource(kind, name string, options map[string]any) driver.Resource {
	s.Helper()
	k, err := Kind().Resource(kind)
	s.must(err)
	checked, err := k.Check(options)
	s.must(err)
	r, err := s.host.MakeResource(s.ctx(), driver.ResourceRequest{ID: driver.MachineID(fmt.Sprintf("4-r%d", serial.Add(1))), Kind: kind, Key: name, Service: "4", Options: checked})
	s.must(err)
	return r
}

func TestResourcesOfTheService(t *testing.T) {
	s := newStage(t, shared(t), nil)
	cidr := strings.Replace(s.Subnet.String(), "172.31.", "172.30.", 1)
	r := s.resource("network", "private", map[string]any{"cidr": cidr})
	if r.Outputs["cidr"] != cidr || r.Outputs["gateway"] == "" || r.State != driver.Running {
		t.Errorf("%+v", r)
	}
	s.resource("volume", "cache", nil)
	options := with(shell(forever), "volumes", []string{"cache:/cache", "own:/own"})
	options["networks"] = []string{"private", dockertest.Network}
	a := s.run(options)
	if len(a.Addresses) != 2 || !strings.HasPrefix(a.Addresses[0], "172.30.") || !strings.HasPrefix(a.Addresses[1], "172.31.") {
		t.Errorf("addresses %v", a.Addresses)
	}
	s.sh(a, "echo one > /cache/x; echo two > /own/x")
	b := s.run(with(options, "volumes", []string{"cache:/cache:ro", "own:/own"}))
	if got := s.sh(b, "cat /cache/x /own/x; touch /cache/y 2>/dev/null || echo no"); got != "one\ntwo\nno" {
		t.Errorf("%q", got)
	}
	req := s.request(with(shell(forever), "volumes", []string{"cache:/cache", "own:/own"}))
	req.Project, req.Service = "other", "5"
	c := s.create(req)
	if got := s.sh(c, "ls /cache /own"); strings.Contains(got, "x") {
		t.Errorf("another project's service reads %q", got)
	}
	req = s.request(with(shell(forever), "networks", []string{r.Outputs["name"]}))
	req.Service = "5"
	s.refused(req, driver.ErrInvalid, "resource of another service")
	if err := s.host.RemoveResource(s.ctx(), driver.Ref{ID: r.ID}); driver.Class(err) != "unavailable" {
		t.Errorf("removed while machines are in it: %v", err)
	}
	s.must(s.d.Destroy(s.ctx(), ref(c), driver.Hard))
	for _, name := range []string{"volume-shop-own", "volume-other-own", "volume-other-cache"} {
		defer func() {
			_, err := s.Client.VolumeRemove(s.ctx(), s.host.name(driver.MachineID(name)), client.VolumeRemoveOptions{Force: true})
			s.must(err)
		}()
	}
	s.must(s.d.Destroy(s.ctx(), ref(a), driver.Hard))
	s.must(s.d.Destroy(s.ctx(), ref(b), driver.Hard))
	k, _ := Kind().Resource("network")
	for _, bad := range []map[string]any{{"cidr": "x"}, {"gateway": "10.0.0.1"}, {"cidr": "10.1.0.0/24", "gateway": "10.2.0.1"}} {
		checked, err := k.Check(bad)
		s.must(err)
		_, err = s.host.MakeResource(s.ctx(), driver.ResourceRequest{ID: "4-r0", Kind: "network", Name: "n", Service: "4", Options: checked})
		if !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestNoAddressLeft: a network without a free address is a definite refusal.
func TestNoAddressLeft(t *testing.T) {
	s := newStage(t, shared(t), nil)
	s.resource("network", "small", map[string]any{"cidr": strings.Replace(s.Subnet.String(), "172.31.", "172.29.", 1)[:len(s.Subnet.String())-2] + "30"})
	options := with(shell(forever), "networks", []string{"small"})
	s.run(options)
	s.refused(s.request(options), driver.ErrCapacity, "no available")
}

func TestDataIsKept(t *testing.T) {
	s := newStage(t, shared(t), nil)
	req := s.request(with(shell(forever), "data_path", "/var/db"))
	req.Data = "4-db-0"
	m := s.create(req)
	s.sh(m, "echo kept > $TROUPE_DATA/x")
	s.must(s.d.Destroy(s.ctx(), ref(m), driver.Graceful))
	next := s.request(with(shell(forever), "data_path", "/var/db"))
	next.Data = "4-db-0"
	m = s.create(next)
	if got := s.sh(m, "cat /var/db/x"); got != "kept" {
		t.Errorf("%q", got)
	}
	s.must(s.d.Destroy(s.ctx(), ref(m), driver.Hard))
	s.must(s.host.RemoveData(s.ctx(), "4-db-0"))
}

func TestBeforeStop(t *testing.T) {
	s := newStage(t, shared(t), nil)
	s.resource("volume", "out", nil)
	options := with(shell("trap 'echo stopped >> /out/x; exit 0' TERM; while :; do sleep 1000 & wait $!; done"), "before_stop", "echo drained >> /out/x")
	options["volumes"], options["grace"] = []string{"out:/out"}, "20s"
	began := time.Now()
	s.must(s.d.Destroy(s.ctx(), ref(s.run(options)), driver.Graceful))
	reader := s.run(with(shell(forever), "volumes", []string{"out:/out"}))
	if got := s.sh(reader, "cat /out/x"); got != "drained\nstopped" {
		t.Errorf("%q", got)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
	options["before_stop"], options["grace"] = "sleep 1000", "1s"
	began = time.Now()
	s.must(s.d.Destroy(s.ctx(), ref(s.run(options)), driver.Graceful))
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a hook that hangs took %v of a grace of 1s", took)
	}
}

func TestLogs(t *testing.T) {
	s := newStage(t, shared(t), nil)
	script := "echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three; " + forever
	m := s.run(shell(script))
	s.until(func() error {
		if got := s.logs(m, driver.LogOptions{}); got != "one\ntwo\nthree\n" {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	if got := s.logs(m, driver.LogOptions{Stderr: true}); got != "two\n" {
		t.Errorf("error output: %q", got)
	}
	if got := s.logs(m, driver.LogOptions{Tail: 1}); got != "three\n" {
		t.Errorf("tail: %q", got)
	}
	m = s.run(with(shell(script), "tty", true))
	s.until(func() error {
		if got := s.logs(m, driver.LogOptions{}); got != "one\r\ntwo\r\nthree\r\n" {
			return fmt.Errorf("with a terminal: %q", got)
		}
		return nil
	})
	// Closed while it waits for more.
	r, err := s.host.Logs(s.ctx(), ref(m), driver.LogOptions{Follow: true})
	s.must(err)
	if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
		t.Error(err)
	}
	s.must(r.Close())
}

func TestExec(t *testing.T) {
	s := newStage(t, shared(t), nil)
	m := s.run(shell(forever))
	var out, complaint bytes.Buffer
	exit, err := s.host.Exec(s.ctx(), ref(m), driver.Command{Args: []string{"sh", "-c", "cat; echo $A >&2; exit 7"}, Env: map[string]string{"A": "b c"},
		Stdin: strings.NewReader("input"), Stdout: &out, Stderr: &complaint})
	if err != nil || exit != 7 || out.String() != "input" || complaint.String() != "b c\n" {
		t.Errorf("exit %d, %v, %q, %q", exit, err, out.String(), complaint.String())
	}
	if exit, err := s.host.Exec(s.ctx(), ref(m), driver.Command{Args: []string{"sh", "-c", "kill -9 $$"}}); err != nil || exit != -9 {
		t.Errorf("killed: exit %d, %v", exit, err)
	}
	// What is cut short is killed, with what it has started.
	before := s.sh(m, "ps | wc -l")
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err = s.host.Exec(ctx, ref(m), driver.Command{Args: []string{"sh", "-c", "sleep 999 & trap '' TERM HUP; sleep 998"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cut short: %v", err)
	}
	s.until(func() error {
		if after := s.sh(m, "ps | wc -l"); after != before {
			return fmt.Errorf("%s processes before, %s after: %s", before, after, s.sh(m, "ps"))
		}
		return nil
	})
	for _, bad := range []driver.Command{{}, {Args: []string{"true"}, Env: map[string]string{"a=b": "c"}}} {
		if _, err := s.host.Exec(s.ctx(), ref(m), bad); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	s.must(s.host.Act(s.ctx(), ref(m), driver.Suspend, "", "a"))
	if _, err := s.host.Exec(s.ctx(), ref(m), driver.Command{Args: []string{"true"}}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("in a machine that sleeps: %v", err)
	}
}

func TestRefresh(t *testing.T) {
	s := newStage(t, shared(t), nil)
	req := s.request(with(shell("trap 'echo reloaded' HUP; trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"), "on_change", "HUP"))
	req.Files = []driver.File{{Path: "etc/app.conf", Content: []byte("a")}}
	m := s.create(req)
	s.must(s.host.Refresh(s.ctx(), ref(m), req.Files))
	req.Files[0].Content = []byte("b")
	for range 2 {
		s.must(s.host.Refresh(s.ctx(), ref(m), req.Files))
	}
	s.until(func() error {
		if got := s.logs(m, driver.LogOptions{}); got != "reloaded\n" {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	if got := s.sh(m, "cat /etc/app.conf"); got != "b" {
		t.Errorf("%q", got)
	}
	// A hook that failed is run again, although the file has been written.
	req = s.request(with(shell(forever), "on_change", "test -e /ready && touch /done || { echo not ready >&2; exit 1; }"))
	m = s.create(req)
	files := []driver.File{{Path: "x", Content: []byte("1")}}
	if err := s.host.Refresh(s.ctx(), ref(m), files); err == nil || !strings.Contains(err.Error(), "ended with 1: not ready") {
		t.Errorf("%v", err)
	}
	s.sh(m, "touch /ready")
	s.must(s.host.Refresh(s.ctx(), ref(m), files))
	s.sh(m, "test -e /done")
}

// TestImageHealth: the image's own check counts as the option says.
func TestImageHealth(t *testing.T) {
	s := newStage(t, shared(t), nil)
	base := s.run(shell(forever))
	image := "checked:1"
	_, err := s.Client.ContainerCommit(s.ctx(), base.Native, client.ContainerCommitOptions{Reference: image,
		Changes: []string{"HEALTHCHECK --interval=100ms --retries=2 CMD test ! -e /sick && test -e /well || { echo out of order; exit 1; }"}})
	s.must(err)
	of := func(health string) map[string]any {
		return with(with(shell("[ -e /well ] || sleep 0.3; touch /well; "+forever), "image", image), "health", health)
	}
	observed := s.run(with(of("observe"), "command", []string{"/bin/sh", "-c", "touch /well; " + forever}))
	waits, off := s.run(of("wait")), s.run(with(of("off"), "command", []string{"/bin/sh", "-c", forever}))
	if waits.State != driver.Pending || off.State != driver.Running {
		t.Errorf("it waits: %+v; off: %+v", waits, off)
	}
	seen := s.watch()
	s.await(waits.ID, driver.Running)
	s.await(observed.ID, driver.Running)
	s.sh(observed, "touch /sick")
	if m := s.await(observed.ID, driver.Failed); !strings.Contains(m.Reason, "out of order") {
		t.Errorf("%q", m.Reason)
	}
	s.until(seen(observed.ID, driver.Failed))
	if m := s.find(off.ID); m.State != driver.Running {
		t.Errorf("off: %+v", m)
	}
}

func TestEnds(t *testing.T) {
	s := newStage(t, shared(t), nil)
	req := s.request(shell("exec dd if=/dev/zero of=/dev/null bs=200M count=1"))
	req.Memory = 16 << 20
	m := s.create(req)
	if m = s.await(m.ID, driver.Exited); !strings.Contains(m.Reason, "out of memory") || m.ExitCode != -9 {
		t.Errorf("%+v", m)
	}
	// Somebody else stops one; that is no action of ours.
	m = s.run(shell(forever))
	_, err := s.Client.ContainerStop(s.ctx(), m.Native, client.ContainerStopOptions{})
	s.must(err)
	if m = s.await(m.ID, driver.Exited); m.ExitCode != 0 {
		t.Errorf("%+v", m)
	}
	// One that we stopped is told from it, also after it went through another state.
	m = s.run(shell(forever))
	for n, step := range []struct {
		do   driver.Action
		want driver.State
	}{{driver.Stop, driver.Stopped}, {driver.Resume, driver.Running}, {driver.PoweroffHard, driver.Stopped}, {driver.RebootHard, driver.Running}} {
		s.must(s.host.Act(s.ctx(), ref(m), step.do, "", fmt.Sprint(n)))
		s.await(m.ID, step.want)
	}
	_, err = s.Client.ContainerKill(s.ctx(), m.Native, client.ContainerKillOptions{})
	s.must(err)
	if m = s.await(m.ID, driver.Exited); m.ExitCode != -9 {
		t.Errorf("%+v", m)
	}
}
