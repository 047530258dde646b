//go:build linux

// Package crash kills servers. It runs real processes, counts them in the process table and not in
// anyone's records, and compares them with what the server answered before it was killed.
package crash

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// settleTime is how long everything may take to be as it was answered, after a restart.
const settleTime = 60 * time.Second

// A scene is one data folder, the server on it, and what the server has answered.
type scene struct {
	t            *testing.T
	dir          string
	rng          *rand.Rand
	installation string

	cmd  *exec.Cmd
	in   io.WriteCloser
	dead chan struct{} // closed when the server has ended

	mu      sync.Mutex
	seq     int
	waiting map[int]chan reply
	want    map[uint64]*wish
	next    uint64
	keys    int
	open    []request // commands without an answer
}

// A wish is what the server has answered to for a service.
type wish struct {
	roles    map[string]int
	revision int
	busy     bool // one command at a time, so that the outcome is known
}

func newScene(t *testing.T) *scene {
	dir, err := os.MkdirTemp("", "troupe-crash-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	if v, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("SEED=%d", seed)
	s := &scene{t: t, dir: dir, rng: rand.New(rand.NewPCG(seed, 1)), waiting: make(map[int]chan reply), want: make(map[uint64]*wish)}
	t.Cleanup(func() {
		s.kill()
		for pid := range s.processes() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("the folder is kept: %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return s
}

// start runs the server and waits until it is at work.
func (s *scene) start(failpoint string) {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(self, "server", s.dir)
	s.cmd.Env = append(os.Environ(), "TROUPE_FAILPOINT="+failpoint)
	errors, err := os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer errors.Close()
	s.cmd.Stderr = errors
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ready, dead := make(chan struct{}), make(chan struct{})
	s.dead = dead
	go func() {
		defer close(dead)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var r reply
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				s.t.Errorf("the server said %q", lines.Text())
				continue
			}
			if r.Seq == 0 {
				s.installation = r.Installation
				close(ready)
				continue
			}
			s.mu.Lock()
			c := s.waiting[r.Seq]
			delete(s.waiting, r.Seq)
			s.mu.Unlock()
			c <- r
		}
		_ = s.cmd.Wait()
	}()
	select {
	case <-ready:
	case <-dead:
		if failpoint == "" {
			text, _ := os.ReadFile(filepath.Join(s.dir, "server.log"))
			s.t.Fatalf("the server did not start: %s", text)
		}
	case <-time.After(30 * time.Second):
		s.t.Fatal("the server was not ready in 30 s")
	}
}

func (s *scene) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.dead
	s.in.Close()
	s.cmd = nil
}

// ask sends a request; ok is false when the server ended before it answered.
func (s *scene) ask(q request) (r reply, ok bool) {
	s.mu.Lock()
	s.seq++
	q.Seq = s.seq
	c := make(chan reply, 1)
	s.waiting[q.Seq] = c
	line, _ := json.Marshal(q)
	_, err := s.in.Write(append(line, '\n'))
	s.mu.Unlock()
	if err != nil {
		return r, false
	}
	select {
	case r = <-c:
	case <-s.dead:
		select {
		case r = <-c:
		default:
			return r, false
		}
	}
	return r, !r.Again
}

// do carries out a command and notes what its answer means.
func (s *scene) do(q request) {
	r, ok := s.ask(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		s.open = append(s.open, q)
		return
	}
	w := s.want[q.Service]
	if r.Error != "" {
		exists := strings.Contains(r.Error, "changed by another") // a creation that had happened
		gone := strings.Contains(r.Error, "no such service")      // a removal that had
		if !(q.Do == "create" && exists) && !(q.Do == "remove" && gone) {
			s.t.Errorf("%s of service %d: %s", q.Do, q.Service, r.Error)
			return
		}
	}
	switch q.Do {
	case "create":
		w = &wish{roles: map[string]int{"db": 2, "app": 3}, revision: q.N}
		s.want[q.Service] = w
	case "scale":
		w.roles[q.Role] = q.N
	case "update":
		w.revision = q.N // the cardinality stays as it was scaled
	case "remove":
		delete(s.want, q.Service)
		return
	}
	w.busy = false
}

// choose picks the next command, or nothing when all services are busy.
func (s *scene) choose() (q request, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys++
	q.Key = fmt.Sprint("k", s.keys)
	n := s.rng.IntN(10)
	if len(s.want) < 2 || len(s.want) < 5 && n < 3 {
		s.next++
		q.Do, q.Service, q.N = "create", s.next, 1
		return q, true
	}
	ids := slices.Sorted(maps.Keys(s.want))
	q.Service = ids[s.rng.IntN(len(ids))]
	w := s.want[q.Service]
	if w.busy {
		return q, false
	}
	w.busy = true
	switch {
	case n < 7:
		q.Do, q.Role, q.N = "scale", [...]string{"db", "app"}[s.rng.IntN(2)], 1+s.rng.IntN(5)
	case n < 9:
		q.Do, q.N = "update", w.revision+1
	default:
		q.Do = "remove"
	}
	return q, true
}

// work keeps the server busy until end is closed or the server has ended: commands, and machines that die.
func (s *scene) work(end <-chan time.Time) {
	var wait sync.WaitGroup
	defer wait.Wait()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case <-s.dead:
			return
		case <-tick.C:
		}
		if s.rng.IntN(4) == 0 {
			s.murder()
			continue
		}
		if q, ok := s.choose(); ok {
			wait.Go(func() { s.do(q) })
		}
	}
}

// murder kills a machine.
func (s *scene) murder() {
	all := slices.Sorted(maps.Keys(s.processes()))
	if len(all) > 0 {
		_ = syscall.Kill(all[s.rng.IntN(len(all))], syscall.SIGKILL)
	}
}

// processes finds the main programs of this installation's machines in the process table, with their
// environment.
func (s *scene) processes() map[int]map[string]string {
	found := make(map[int]map[string]string)
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil || len(text) == 0 || s.installation == "" {
			continue
		}
		env := make(map[string]string)
		for _, line := range strings.Split(string(text), "\x00") {
			k, v, _ := strings.Cut(line, "=")
			env[k] = v
		}
		if env["TROUPE_INSTALLATION"] != s.installation {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
		found[pid] = env
	}
	return found
}

// settled starts the server again, repeats what was not answered, and waits until the process table shows
// what was answered: everything, once, and nothing else.
func (s *scene) settled() {
	s.t.Helper()
	s.start("")
	open := s.open
	s.open = nil
	for _, q := range open {
		s.do(q)
	}
	if len(s.open) > 0 {
		s.t.Fatalf("not answered by a server that runs: %v", s.open)
	}
	deadline := time.Now().Add(settleTime)
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	calm := 0
	for diff := ""; calm < 3; {
		if diff = s.difference(); diff == "" {
			calm++
		} else {
			calm = 0
			s.goOn()
		}
		if time.Now().After(deadline) {
			r, _ := s.ask(request{Do: "list"})
			s.t.Fatalf("not settled after %s:\n%s\n%+v", settleTime, diff, r.Services)
		}
		<-tick.C
	}
}

// goOn continues updates that paused because a machine died meanwhile, as a person would.
func (s *scene) goOn() {
	r, _ := s.ask(request{Do: "list"})
	for id, one := range r.Services {
		if one.State == "FAILED_UPDATING" {
			s.keys++
			_, _ = s.ask(request{Do: "continue", Service: id, Key: fmt.Sprint("k", s.keys)})
		}
	}
}

// difference compares services and processes with what was answered.
func (s *scene) difference() string {
	r, _ := s.ask(request{Do: "list"})
	want, have := make(map[string]int), make(map[string]int)
	for id, w := range s.want {
		want[fmt.Sprintf("service %d RUNNING", id)]++
		for role, n := range w.roles {
			want[fmt.Sprintf("service %d wishes %d %s", id, n, role)]++
			if n > 0 {
				want[fmt.Sprintf("processes of service %d role %s revision %d", id, role, w.revision)] = n
			}
		}
	}
	for id, one := range r.Services {
		have[fmt.Sprintf("service %d %s", id, one.State)]++
		for role, n := range one.Wishes {
			have[fmt.Sprintf("service %d wishes %d %s", id, n, role)]++
		}
	}
	twice := make(map[string]int)
	for _, env := range s.processes() {
		have[fmt.Sprintf("processes of service %s role %s revision %s", env["TROUPE_SERVICE"], env["TROUPE_ROLE"], env["REVISION"])]++
		twice["machine "+env["TROUPE_MACHINE"]]++
		twice[fmt.Sprintf("service %s %s-%s", env["TROUPE_SERVICE"], env["TROUPE_ROLE"], env["TROUPE_NUMBER"])]++
	}
	for what, n := range twice {
		if n > 1 {
			have[what+" twice"] = n
		}
	}
	return cmp.Diff(want, have)
}

// clear removes all services: nothing may be left.
func (s *scene) clear() {
	s.t.Helper()
	for id := range maps.Clone(s.want) {
		s.keys++
		s.do(request{Do: "remove", Service: id, Key: fmt.Sprint("k", s.keys)})
	}
	s.kill()
	s.settled()
}

// TestCrash kills servers at random moments, ten rounds, or as many as TROUPE_CRASH_ROUNDS says.
func TestCrash(t *testing.T) {
	rounds := 10
	if n, err := strconv.Atoi(os.Getenv("TROUPE_CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	s := newScene(t)
	for round := range rounds {
		s.start("")
		after := time.Duration(s.rng.IntN(600)) * time.Millisecond
		s.work(time.After(after))
		if s.rng.IntN(4) == 0 { // in the middle of its orderly end
			_ = s.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-s.dead:
			case <-time.After(time.Duration(s.rng.IntN(100)) * time.Millisecond):
			}
		}
		s.kill()
		s.settled()
		s.kill()
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	s.settled()
	s.clear()
}

// TestCrashAtFailPoints kills servers at each boundary of what they do.
func TestCrashAtFailPoints(t *testing.T) {
	passes := []int{1, 6}
	if os.Getenv("TROUPE_CRASH_ROUNDS") != "" {
		passes = []int{1, 2, 3, 5, 8, 13, 21, 34}
	}
	s := newScene(t)
	for _, name := range []string{"observe", "commit", "effect", "create", "created", "destroy", "destroyed"} {
		hits := 0
		for _, n := range passes {
			s.start(fmt.Sprintf("%s:%d", name, n))
			s.work(time.After(10 * time.Second))
			select {
			case <-s.dead:
				if s.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
					hits++
				}
			default:
			}
			s.kill()
			s.settled()
			s.kill()
			if t.Failed() {
				t.Fatalf("at fail point %s, pass %d", name, n)
			}
		}
		t.Logf("fail point %-9s hit %d of %d times", name, hits, len(passes))
		if hits < len(passes) {
			t.Errorf("fail point %s was not reached", name)
		}
	}
	s.settled()
	s.clear()
}
