//go:build linux

package crash

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/process"
	"github.com/troupe-dev/troupe/internal/cli"
)

// TestMain is the program too: the whole of `troupe server`, and the supervisors of its machines.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			unix.Exit(process.Supervise(os.Args[2:]))
		case "server":
			os.Exit(cli.Main())
		}
	}
	os.Exit(m.Run())
}

const (
	password = "correct-horse-battery"
	// startTime is how long a server may take until it is ready, on a busy machine and under the race detector.
	startTime = 60 * time.Second
)

// A scene is one data folder and the server on it.
type scene struct {
	t      *testing.T
	dir    string
	args   []string // of the server, besides
	rng    *rand.Rand
	cmd    *exec.Cmd
	dead   chan struct{} // closed when the server has ended
	token  string
	client *client.Client // of the server that runs; each call is made once
	ctx    context.Context

	book // what it has answered
}

func newScene(t *testing.T) *scene {
	dir, err := os.MkdirTemp("", "troupe-crash-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	if v, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("SEED=%d", seed)
	s := &scene{t: t, dir: dir, rng: rand.New(rand.NewPCG(seed, 1)), ctx: t.Context(), book: book{want: map[string]*wish{}, done: map[string]int{}}}
	t.Cleanup(func() {
		s.kill()
		// A machine that was being made when the server was killed may come a moment later.
		for late := time.Now().Add(10 * time.Second); s.supervisors() > 0 && time.Now().Before(late); time.Sleep(10 * time.Millisecond) {
			for pid := range s.machines() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if t.Failed() {
			t.Logf("the folder is kept: %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return s
}

// start runs the server and waits until it is ready, or, with a fail point, until it has died before.
func (s *scene) start(failpoint string) {
	s.t.Helper()
	ready := filepath.Join(s.dir, "ready")
	if err := os.Remove(ready); err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(self, append([]string{"server", "--data-dir", filepath.Join(s.dir, "data"), "--listen", "127.0.0.1:0",
		"--ready-file", ready, "--admin-password-file", filepath.Join(s.dir, "password")}, s.args...)...)
	s.cmd.Env = append(os.Environ(), "TROUPE_FAILPOINT="+failpoint)
	log, err := os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	dead := make(chan struct{})
	s.dead = dead
	cmd := s.cmd
	go func() {
		defer close(dead)
		_ = cmd.Wait()
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(startTime)
	for {
		text, err := os.ReadFile(ready)
		if err == nil {
			s.connect(strings.TrimSpace(strings.TrimPrefix(string(text), "main=")))
			return
		}
		select {
		case <-tick.C:
		case <-dead:
			if failpoint == "" {
				s.t.Fatalf("the server did not start: %s", s.log())
			}
			return
		case <-late:
			s.t.Fatalf("the server was not ready in %s: %s", startTime, s.log())
		}
	}
}

// log returns the end of what the servers have logged.
func (s *scene) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "server.log"))
	return string(text[max(0, len(text)-4000):])
}

// connect makes the client of a new server. Passwords take their time, so it uses a token.
func (s *scene) connect(url string) {
	s.t.Helper()
	if s.client != nil {
		s.client.Close()
	}
	var err error
	if s.token == "" {
		first, err := client.New(url, client.Options{User: "oneadmin", Password: password})
		if err != nil {
			s.t.Fatal(err)
		}
		defer first.Close()
		token, err := first.Tokens().Add(s.ctx, client.AddToken{Scopes: []string{"admin"}})
		if err != nil {
			s.t.Fatal(err)
		}
		s.token = token.Text
	}
	if s.client, err = client.New(url, client.Options{Token: s.token, Attempts: 1}); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the server as nothing else does.
func (s *scene) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.dead
	s.cmd = nil
}

// machines finds the processes of this scene's machines in the process table, with their environment.
func (s *scene) machines() map[int]map[string]string {
	found := make(map[int]map[string]string)
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil || !strings.Contains(string(text), "HOME="+s.dir+"/") {
			continue
		}
		env := make(map[string]string)
		for _, line := range strings.Split(string(text), "\x00") {
			k, v, _ := strings.Cut(line, "=")
			env[k] = v
		}
		pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
		found[pid] = env
	}
	return found
}

// supervisors counts the supervisors of this scene's machines in the process table.
func (s *scene) supervisors() (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(text), "\x00supervise\x00"+s.dir+"/") {
			n++
		}
	}
	return n
}

// murder kills a machine.
func (s *scene) murder() {
	for pid := range maps.Keys(s.machines()) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		return
	}
}

// document describes a service of a stable role and one that needs it; each revision has another environment.
func document(name string, revision int) client.Document {
	return client.Document{Source: fmt.Sprintf(`
name: %s
update: {batch: 2, surge: 2}
roles:
  db:
    count: 2
    identity: stable
    run: exec sleep 100000
    env: {REVISION: "%[2]d"}
    stable_after: 1ms
  app:
    count: 3
    needs: db
    run: exec sleep 100000
    env: {REVISION: "%[2]d"}
    stable_after: 1ms
`, name, revision)}
}
