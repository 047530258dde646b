//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// daemons is a program with descendants that no tag in their environment tells of, and that hear no signal.
const daemons = `for i in 1 2; do setsid sh -c 'env -i setsid sh -c "trap \"\" TERM INT HUP; sleep 1000; sleep 1000" & exit' ; done; `

// stop stops a supervisor as a person would.
func stop(t *testing.T, h *host, id driver.MachineID) process {
	t.Helper()
	r, err := h.folder(id).run()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Supervisor.signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "the supervisor is stopped", func() bool { s, _ := readStat(r.Supervisor.PID); return s.State == 'T' })
	return r.Supervisor
}

// seize stops a supervisor so that no signal wakes it, as a debugger does.
func seize(t *testing.T, h *host, id driver.MachineID) process {
	t.Helper()
	p := stop(t, h, id)
	held := make(chan error)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // which the kernel takes for the tracer
		defer runtime.UnlockOSThread()
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.PID))
		var ids []int
		for _, thread := range threads {
			var tid int
			fmt.Sscan(thread.Name(), &tid)
			if err == nil {
				err = unix.PtraceAttach(tid)
			}
			if err == nil {
				_, err = unix.Wait4(tid, nil, unix.WALL, nil)
			}
			ids = append(ids, tid)
		}
		held <- err
		for _, tid := range ids {
			if tid != p.PID { // that one is the driver's to collect
				unix.Wait4(tid, nil, unix.WALL, nil)
			}
		}
	}()
	if err := <-held; err != nil {
		t.Skip("cannot trace a process here: ", err)
	}
	t.Cleanup(func() { <-ended })
	return p
}

// TestSupervisorFrozen: a supervisor that is stopped holds nothing up for long, and all of its machine ends.
func TestSupervisorFrozen(t *testing.T) {
	number := 0
	for _, c := range []struct {
		name   string
		freeze func(*testing.T, *host, driver.MachineID) process
		act    string
		drains bool
	}{
		{"stopped, destroyed", stop, "destroy", true},
		{"stopped, destroyed hard", stop, "destroy-hard", false},
		{"stopped, powered off", stop, "poweroff", true},
		{"traced, destroyed", seize, "destroy", false},
		{"traced, destroyed hard", seize, "destroy-hard", false},
		{"traced, rebooted", seize, "reboot", false},
	} {
		for _, away := range []bool{false, true} {
			number++
			req := request(number, map[string]any{
				"command":     daemons + `trap 'echo told >>$TROUPE_DATA/out; exit' TERM; touch $TROUPE_DATA/ready; while :; do sleep 0.01; done`,
				"before_stop": "echo drained >>$TROUPE_DATA/out", "grace": "10s",
			})
			t.Run(fmt.Sprintf("%s, server away %t", c.name, away), func(t *testing.T) {
				t.Parallel()
				cfg := config(t)
				h := openHost(t, cfg)
				req.Data = "out"
				m := create(t, h, req)
				r, err := h.folder(m.ID).run()
				if err != nil {
					t.Fatal(err)
				}
				var all []process
				until(t, "all run", func() bool {
					all = descendants(r.Supervisor.PID)
					_, err := os.Stat(filepath.Join(h.data(req.Data), "ready"))
					return err == nil && len(all) >= 5
				})
				frozen := c.freeze(t, h, m.ID)
				if away {
					h = openHost(t, cfg)
				}
				began := time.Now()
				switch c.act {
				case "destroy":
					destroy(t, h, m.ID, driver.Graceful)
				case "destroy-hard":
					destroy(t, h, m.ID, driver.Hard)
				default:
					if err := h.Act(t.Context(), driver.Ref{ID: m.ID}, driver.Action(c.act), "", "1"); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(began); took > 12*time.Second {
					t.Errorf("took %s", took)
				}
				for _, p := range append(all, frozen) {
					if p.alive() {
						t.Errorf("process %d is left", p.PID)
					}
				}
				out, _ := os.ReadFile(filepath.Join(h.data(req.Data), "out"))
				want := map[bool]string{true: "drained\ntold\n", false: "told\n"}[c.drains]
				if c.act == "destroy-hard" {
					want = ""
				}
				if string(out) != want {
					t.Errorf("the program wrote %q, want %q", out, want)
				}
				if c.act == "reboot" {
					if got := lookAt(t, h, m.ID); got.State != driver.Running || mainOf(t, h, m.ID) == r.Main {
						t.Errorf("%s (%s), main program %v, was %v", got.State, got.Reason, mainOf(t, h, m.ID), r.Main)
					}
				}
			})
		}
	}
}

// TestDeathUnderFrozenSupervisor: a main program whose end its supervisor does not see is known to be dead.
func TestDeathUnderFrozenSupervisor(t *testing.T) {
	for i, c := range []struct {
		name   string
		freeze func(*testing.T, *host, driver.MachineID) process
		state  driver.State
		reason string
	}{
		{"stopped", stop, driver.Exited, "signal 9"},
		{"traced", seize, driver.Failed, "does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := openHost(t, config(t))
			m := create(t, h, request(100+i, command(daemons+"exec sleep 1000")))
			c.freeze(t, h, m.ID)
			if err := mainOf(t, h, m.ID).signal(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			until(t, "its end is known", func() bool { return lookAt(t, h, m.ID).State == c.state })
			if got := lookAt(t, h, m.ID); !strings.Contains(got.Reason, c.reason) {
				t.Errorf("reason %q", got.Reason)
			}
			destroy(t, h, m.ID, driver.Graceful)
		})
	}
}
