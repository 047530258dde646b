package orchestrator_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/troupe-dev/troupe/orchestrator"
)

// A pair is a key as OpenSSH writes it.
type pair struct {
	private []byte
	public  string // a line of authorized_keys
	print   string
}

func newPair(t *testing.T, passphrase string) pair {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pair{pem.EncodeToMemory(block), string(ssh.MarshalAuthorizedKey(key)), ssh.FingerprintSHA256(key)}
}

// A daemon is an sshd of Debian's on a port of its own.
type daemon struct {
	dir  string
	port int
	host pair
	cmd  *exec.Cmd
}

// newDaemon prepares one that lets in whoever has one of the keys; start runs it.
func newDaemon(t *testing.T, users ...pair) *daemon {
	t.Helper()
	if _, err := os.Stat(sshd); err != nil {
		t.Skip("no sshd; scripts/setup installs it")
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skip(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{dir: t.TempDir(), port: l.Addr().(*net.TCPAddr).Port}
	l.Close()
	d.newHostKey(t)
	var keys string
	for _, u := range users {
		keys += u.public
	}
	d.write(t, "authorized_keys", keys)
	d.write(t, "sshd_config", fmt.Sprintf("ListenAddress 127.0.0.1\nPort %d\nHostKey %s/host\nAuthorizedKeysFile %s/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n"+
		"PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n", d.port, d.dir, d.dir))
	return d
}

const sshd = "/usr/sbin/sshd"

func (d *daemon) newHostKey(t *testing.T) {
	d.host = newPair(t, "")
	d.write(t, "host", string(d.host.private))
}

func (d *daemon) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (d *daemon) start(t *testing.T) {
	t.Helper()
	d.cmd = exec.Command(sshd, "-D", "-e", "-f", filepath.Join(d.dir, "sshd_config"))
	log := new(bytes.Buffer)
	d.cmd.Stderr = log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := d.cmd
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log)
		}
	})
}

func (d *daemon) stop() {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
}

// options are those of a user of the daemon.
func (d *daemon) options(u pair) orchestrator.ProvisionOptions {
	me := os.Getenv("USER")
	if os.Geteuid() == 0 {
		me = "root"
	}
	return orchestrator.ProvisionOptions{Port: d.port, User: me, Keys: [][]byte{u.private}, Wait: 20 * time.Second}
}

// TestProvision: scripts run on a real host, and what becomes of them is told.
func TestProvision(t *testing.T) {
	ann := newPair(t, "")
	d := newDaemon(t, ann)
	d.start(t)
	o := d.options(ann)
	run := func(script string) (string, error) {
		t.Helper()
		return orchestrator.Provision(t.Context(), "127.0.0.1", script, o)
	}
	for _, x := range []struct{ script, want string }{
		{"echo hello; echo 'a \"b\" $HOME' >&2", "hello\n"},
		{"#!/bin/cat\nof itself\n", "#!/bin/cat\nof itself\n"},
		{"cat; echo end", "end\n"}, // stdin is empty
		{"printf '%s' \"$(printf 'x%.0s' $(seq 1 100000))\" | wc -c", "100000\n"},
		{"", ""},
		{strings.Repeat("# a long script\n", 50_000) + "echo done", "done\n"},
	} {
		if got, err := run(x.script); got != x.want || err != nil {
			t.Errorf("%.40q: %.60q, %v", x.script, got, err)
		}
	}

	var failed *orchestrator.ScriptError
	out, err := run("echo before; echo why >&2; exit 7")
	if !errors.As(err, &failed) || failed.Code != 7 || failed.Stderr != "why\n" || out != "before\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err = run("kill -9 $$"); !errors.As(err, &failed) || failed.Code != 137 {
		t.Errorf("killed: %v", err)
	}
	if out, err := run("echo $0; ps -o args= -p $$"); err != nil || strings.Contains(out, "echo") {
		t.Errorf("the script is seen: %q, %v", out, err)
	} else if path, _, _ := strings.Cut(out, "\n"); path != "" {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	var loud bytes.Buffer
	o.Stderr = &loud
	if _, err := run("echo loud >&2"); err != nil || loud.String() != "loud\n" {
		t.Errorf("%q, %v", loud.String(), err)
	}
	o.Output = 1000
	if out, err := run("yes"); !errors.Is(err, orchestrator.ErrTooMuchOutput) || len(out) != 1000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

// TestProvisionCancelled: when the context ends, so does the script.
func TestProvisionCancelled(t *testing.T) {
	ann := newPair(t, "")
	d := newDaemon(t, ann)
	d.start(t)
	note := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := orchestrator.Provision(ctx, "127.0.0.1", "echo $$ >"+note+".new; mv "+note+".new "+note+"; sleep 1000; true", d.options(ann))
		done <- err
	}()
	pid := 0
	until(t, "the script runs", func() bool {
		text, err := os.ReadFile(note)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	group, err := syscall.Getpgid(pid)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	until(t, "the script has ended, and what it has started, which is of its process group", func() bool {
		return errors.Is(syscall.Kill(-group, 0), syscall.ESRCH)
	})
}

// until polls until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 seconds: %s", what)
		}
	}
}

// TestProvisionWaits: a host that is not up yet is waited for, no longer than asked.
func TestProvisionWaits(t *testing.T) {
	ann := newPair(t, "")
	d := newDaemon(t, ann)
	o := d.options(ann)
	o.Wait = 0
	if _, err := orchestrator.Provision(t.Context(), "127.0.0.1", "true", o); err == nil {
		t.Error("nobody is there")
	}
	o.Wait = 300 * time.Millisecond
	if _, err := orchestrator.Provision(t.Context(), "127.0.0.1", "true", o); err == nil {
		t.Error("nobody comes")
	}
	o.Wait = time.Minute
	done := make(chan error)
	go func() {
		_, err := orchestrator.Provision(t.Context(), "127.0.0.1", "true", o)
		done <- err
	}()
	d.start(t)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHostKeys: the key of an instance is remembered, in memory and in a file, and another one refused.
func TestHostKeys(t *testing.T) {
	ann := newPair(t, "")
	d := newDaemon(t, ann)
	d.start(t)
	file := filepath.Join(t.TempDir(), "known")
	keys := func() *orchestrator.HostKeys {
		t.Helper()
		h, err := orchestrator.NewHostKeys(file)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	o := d.options(ann)
	run := func(instance string, h *orchestrator.HostKeys, want string) error {
		o.Instance, o.HostKeys, o.HostKey = instance, h, want
		_, err := orchestrator.Provision(t.Context(), "127.0.0.1", "true", o)
		return err
	}
	h := keys()
	for range 2 {
		if err := run("web-0", h, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{d.host.print, d.host.public} {
		if err := run("web-0", nil, want); err != nil {
			t.Error(err)
		}
	}
	before := d.host
	d.stop()
	d.newHostKey(t)
	d.start(t)
	for _, h := range []*orchestrator.HostKeys{h, keys()} {
		var wrong *orchestrator.HostKeyError
		if err := run("web-0", h, ""); !errors.As(err, &wrong) || !wrong.Pinned || wrong.Want != before.print || wrong.Got != d.host.print {
			t.Errorf("another key: %v", err)
		}
	}
	var wrong *orchestrator.HostKeyError
	if err := run("web-1", h, before.print); !errors.As(err, &wrong) || wrong.Pinned {
		t.Errorf("not the key that was given: %v", err)
	}
	if err := run("web-1", h, ""); err != nil { // another instance at that address
		t.Error(err)
	}
	if err := h.Forget("web-0"); err != nil {
		t.Error(err)
	}
	if err := run("web-0", keys(), ""); err != nil {
		t.Errorf("a forgotten key: %v", err)
	}
	if err := run("web-1", keys(), ""); err != nil {
		t.Errorf("the key of another: %v", err)
	}
	if err := run("web-1", nil, "nonsense"); err == nil {
		t.Error("a key that is none was taken")
	}
	if err := os.WriteFile(file, []byte("web-0 ssh-ed25519 nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := orchestrator.NewHostKeys(file); err == nil || !strings.Contains(err.Error(), "known:1") {
		t.Errorf("a broken file: %v", err)
	}
}

// TestProvisionKeys: who has no right key is not let in; this user's own keys are used when asked for.
func TestProvisionKeys(t *testing.T) {
	ann, bob, eve := newPair(t, ""), newPair(t, "hush"), newPair(t, "")
	d := newDaemon(t, ann, bob)
	d.start(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	o := d.options(eve)
	if _, err := orchestrator.Provision(t.Context(), "127.0.0.1", "true", d.options(ann)); err != nil { // it is up
		t.Fatal(err)
	}
	o.Wait = 0
	for what, change := range map[string]func(*orchestrator.ProvisionOptions){
		"another key":                 func(*orchestrator.ProvisionOptions) {},
		"no key":                      func(o *orchestrator.ProvisionOptions) { o.Keys = nil },
		"a key that is none":          func(o *orchestrator.ProvisionOptions) { o.Keys = [][]byte{[]byte("x")} },
		"a key without its secret":    func(o *orchestrator.ProvisionOptions) { o.Keys = [][]byte{bob.private} },
		"a key with another's secret": func(o *orchestrator.ProvisionOptions) { o.Keys, o.Passphrase = [][]byte{bob.private}, "loud" },
		"a password, which it does not take": func(o *orchestrator.ProvisionOptions) {
			o.Keys, o.Password = nil, "s3cret"
		},
	} {
		x := o
		change(&x)
		if _, err := orchestrator.Provision(t.Context(), "127.0.0.1", "true", x); err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "loud") {
			t.Errorf("%s: %v", what, err)
		}
	}
	o.Keys, o.Passphrase = [][]byte{bob.private}, "hush"
	if _, err := orchestrator.Provision(t.Context(), "127.0.0.1", "true", o); err != nil {
		t.Errorf("a key with its secret: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ssh", "id_ed25519"), ann.private, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Keys = [][]byte{eve.private}
	if _, err := orchestrator.Provision(t.Context(), "127.0.0.1", "true", o); err == nil {
		t.Error("this user's key was used unasked")
	}
	o.LocalKeys = true
	if _, err := orchestrator.Provision(t.Context(), "127.0.0.1", "true", o); err != nil {
		t.Errorf("this user's key: %v", err)
	}
}
