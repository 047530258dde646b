//go:build linux

package process

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// doomedServer opens the account, does one thing, and kills itself at a named point on the way.
func doomedServer(args []string) int {
	dir, point, what := args[0], args[1], args[2]
	d, err := Kind().New(context.Background(), driver.Config{Dir: dir, Installation: "test", Supervisor: []string{"/proc/self/exe", "supervise"}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	h := d.(*host)
	h.at = func(p string) {
		if p == point {
			unix.Kill(os.Getpid(), unix.SIGKILL)
		}
	}
	if err := do(context.Background(), h, what); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func do(ctx context.Context, h *host, what string) error {
	req := request(1, command("sleep 1000 & exec sleep 1000"))
	var err error
	switch what {
	case "create":
		_, err = h.Create(ctx, req)
	case "destroy":
		err = h.Destroy(ctx, driver.Ref{ID: req.ID}, driver.Graceful)
	default:
		err = h.Act(ctx, driver.Ref{ID: req.ID}, driver.Action(what), "", "token")
	}
	return err
}

// TestServerKilled kills the server at each named point. The next server repeats the call, as the engine does, and then
// the process table holds what it should: one main program with its child, or nothing.
func TestServerKilled(t *testing.T) {
	for _, c := range []struct {
		what   string
		points []string
		state  driver.State
		count  int
	}{
		{"create", []string{"create.made", "create.filled", "create.named", "create.started"}, driver.Running, 2},
		{"destroy", []string{"destroy.begun", "destroy.noted", "destroy.ended", "destroy.moved"}, driver.Gone, 0},
		{"stop", []string{"act.noted"}, driver.Stopped, 0},
		{"reboot", []string{"act.noted", "act.ended", "create.started"}, driver.Running, 2},
		{"suspend", []string{"act.noted"}, driver.Suspended, 2},
	} {
		for _, point := range c.points {
			t.Run(c.what+" at "+point, func(t *testing.T) {
				cfg := config(t)
				id := request(1, nil).ID
				before := 0
				if c.what != "create" {
					h := openHost(t, cfg)
					if err := do(t.Context(), h, "create"); err != nil {
						t.Fatal(err)
					}
					before = mainOf(t, h, id).PID
				}
				cmd := exec.Command("/proc/self/exe", "server", cfg.Dir, point, c.what)
				out, err := cmd.CombinedOutput()
				if err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("the point was not reached: %v %s", err, out)
				}
				h := openHost(t, cfg)
				if c.what == "create" && point == "create.started" {
					until(t, "the supervisor of the dead server runs the program", func() bool { return lookAt(t, h, id).State == driver.Running })
					before = mainOf(t, h, id).PID
				}
				for range 2 {
					if err := do(t.Context(), h, c.what); err != nil {
						t.Fatal(err)
					}
				}
				if m := lookAt(t, h, id); m.State != c.state {
					t.Errorf("state %s (%s), want %s", m.State, m.Reason, c.state)
				}
				until(t, fmt.Sprintf("%d processes are left", c.count), func() bool { return len(processes(id)) == c.count })
				if c.what == "create" && before != 0 && mainOf(t, h, id).PID != before {
					t.Error("the repeated creation started another program")
				}
				for _, e := range entries(t, h.machines()) {
					if strings.HasPrefix(e, ".") {
						t.Errorf("half-made folder %s is left", e)
					}
				}
			})
		}
	}
}

func entries(t testing.TB, dir string) []string {
	t.Helper()
	d, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range d {
		names = append(names, e.Name())
	}
	return names
}

// TestSupervisorKilled: without its supervisor a machine has failed, and all its processes end, also those that have
// left its session and its tree.
func TestSupervisorKilled(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprintf("server away %t", away), func(t *testing.T) {
			cfg := config(t)
			h := openHost(t, cfg)
			m := create(t, h, request(1, command("setsid sh -c 'setsid sleep 1000 & setsid sleep 1000 &'; exec sleep 1000")))
			until(t, "three processes run", func() bool { return len(processes(m.ID)) == 3 })
			if !away {
				watching(t, h, func(driver.Machine) {})
			}
			r, err := h.folder(m.ID).run()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Supervisor.signal(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			until(t, "the supervisor is gone", func() bool { p, _ := h.folder(m.ID).holder(); return p == 0 })
			if away {
				h = openHost(t, cfg)
			}
			until(t, "it has failed", func() bool { return lookAt(t, h, m.ID).State == driver.Failed })
			until(t, "no process is left", func() bool { return len(processes(m.ID)) == 0 })
			if got := lookAt(t, h, m.ID); !strings.Contains(got.Reason, "supervisor was killed") {
				t.Errorf("reason %q", got.Reason)
			}
		})
	}
}

// TestExitWhileAway: an exit that no server saw is known with its code.
func TestExitWhileAway(t *testing.T) {
	cfg := config(t)
	cmd := exec.Command("/proc/self/exe", "server", cfg.Dir, "create.started", "create")
	cmd.Run() // killed
	h := openHost(t, cfg)
	id := request(1, nil).ID
	until(t, "it runs", func() bool { return lookAt(t, h, id).State == driver.Running })
	if err := mainOf(t, h, id).signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	until(t, "it has ended", func() bool { return lookAt(t, h, id).State == driver.Exited })
	again := openHost(t, cfg)
	if m := lookAt(t, again, id); m.ExitCode != -int(unix.SIGINT) || len(processes(id)) != 0 {
		t.Errorf("%+v, %d processes", m, len(processes(id)))
	}
}

// TestForgedRecord: a record that names a stranger's process leads to no harm to it.
func TestForgedRecord(t *testing.T) {
	stranger := exec.Command("sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	s, _ := readStat(stranger.Process.Pid)
	for _, forged := range []run{
		{Number: 1, Boot: bootID(), Supervisor: process{s.PID, s.Start + 1}, Main: process{s.PID, s.Start + 1}},
		{Number: 1, Boot: "another", Supervisor: s.process, Main: s.process},
	} {
		cfg := config(t)
		h := openHost(t, cfg)
		req := request(1, command("sleep 1000"))
		req.Hold = true
		m := create(t, h, req)
		b, err := json.Marshal(intent{Phase: running, Run: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(string(h.folder(m.ID)), "intent.json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := h.folder(m.ID).write("run.json", &forged); err != nil {
			t.Fatal(err)
		}
		h = openHost(t, cfg)
		if got := lookAt(t, h, m.ID); got.State != driver.Failed {
			t.Errorf("state %s, want failed", got.State)
		}
		destroy(t, h, m.ID, driver.Hard)
	}
	if s, ok := readStat(stranger.Process.Pid); !ok || s.dead() {
		t.Error("the stranger was killed")
	}
}

// TestDestroyWins: a creation that comes after the destruction of its id makes nothing.
func TestDestroyWins(t *testing.T) {
	cfg := config(t)
	h := openHost(t, cfg)
	req := request(1, command("exec sleep 1000"))
	destroy(t, h, req.ID, driver.Hard)
	for _, h := range []*host{h, openHost(t, cfg)} {
		if _, err := h.Create(t.Context(), req); !driver.Definite(err) {
			t.Errorf("error %v, want a definite one", err)
		}
	}
	if len(processes(req.ID)) != 0 || len(entries(t, h.machines())) != 0 {
		t.Error("it was made")
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(h.grave(req.ID), old, old); err != nil {
		t.Fatal(err)
	}
	for range h.List(t.Context()) {
	}
	if len(entries(t, h.graves())) != 0 {
		t.Error("an old grave is left")
	}
}

// TestBrokenRecord: a folder whose record was lost is listed as failed, and can be destroyed.
func TestBrokenRecord(t *testing.T) {
	for _, name := range []string{"plan.json", "intent.json", "run.json"} {
		for _, text := range []string{"", "{", "[]"} {
			h := openHost(t, config(t))
			m := create(t, h, request(1, command("exit 0")))
			until(t, "it has ended", func() bool { return h.collect(m.ID) })
			if err := os.WriteFile(filepath.Join(string(h.folder(m.ID)), name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			n := 0
			for got, err := range h.List(t.Context()) {
				n++
				if err != nil || got.ID != m.ID || got.State != driver.Failed && name != "run.json" {
					t.Errorf("%s with %q: %+v, %v", name, text, got, err)
				}
			}
			if n != 1 {
				t.Errorf("%s with %q: %d machines", name, text, n)
			}
			destroy(t, h, m.ID, driver.Hard)
		}
	}
}
