//go:build linux

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// printed returns what the machine printed, once it has ended.
func printed(t testing.TB, h *host, id driver.MachineID) string {
	t.Helper()
	until(t, "it has ended", func() bool { return h.collect(id) })
	return logText(t, h, id, driver.LogOptions{})
}

func logText(t testing.TB, h *host, id driver.MachineID, opts driver.LogOptions) string {
	t.Helper()
	r, err := h.Logs(t.Context(), driver.Ref{ID: id}, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDaemonsAreCollected(t *testing.T) {
	h := openHost(t, config(t))
	watching(t, h, func(driver.Machine) {})
	// A daemon as daemons are: out of the session, its parent gone, deaf to signals, with a clean environment.
	m := create(t, h, request(1, command(`for i in 1 2 3; do setsid sh -c 'env -i setsid sh -c "trap \"\" TERM INT HUP; sleep 1000; sleep 1000" & exit' ; done; exec sleep 1000`)))
	r, err := h.folder(m.ID).run()
	if err != nil {
		t.Fatal(err)
	}
	var all []process
	until(t, "all run", func() bool { all = descendants(r.Supervisor.PID); return len(all) == 7 })
	if err := r.Main.signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it has ended", func() bool { return lookAt(t, h, m.ID).State == driver.Exited })
	for _, p := range all {
		if p.alive() {
			t.Errorf("process %d is left", p.PID)
		}
	}
	if m := lookAt(t, h, m.ID); m.ExitCode != -9 {
		t.Errorf("exit %d (%s)", m.ExitCode, m.Reason)
	}
}

func TestLingering(t *testing.T) {
	h := openHost(t, config(t))
	m := create(t, h, request(1, map[string]any{"command": "sleep 1000 & exit 3", "kill_descendants": false, "grace": "5s"}))
	until(t, "the main program has ended", func() bool { return !mainOf(t, h, m.ID).alive() })
	if got := lookAt(t, h, m.ID); got.State != driver.Running || len(processes(m.ID)) != 1 {
		t.Errorf("%s with %d processes, want running with 1", got.State, len(processes(m.ID)))
	}
	if err := h.Act(t.Context(), driver.Ref{ID: m.ID}, driver.Poweroff, "", ""); err != nil {
		t.Fatal(err)
	}
	if len(processes(m.ID)) != 0 {
		t.Error("a process is left")
	}
}

func TestGracefulEnd(t *testing.T) {
	h := openHost(t, config(t))
	destroyed := func(mode driver.Shutdown, options map[string]any) (time.Duration, string) {
		t.Helper()
		n++
		req := request(n, options)
		req.Data = fmt.Sprintf("out-%d", n)
		m := create(t, h, req)
		until(t, "it is prepared", func() bool { _, err := os.Stat(filepath.Join(h.data(req.Data), "ready")); return err == nil })
		start := time.Now()
		destroy(t, h, m.ID, mode)
		took := time.Since(start)
		if left := processes(m.ID); len(left) != 0 {
			t.Errorf("%v: %d processes are left", options, len(left))
		}
		b, _ := os.ReadFile(filepath.Join(h.data(req.Data), "out"))
		return took, strings.TrimSpace(string(b))
	}
	const deaf = `trap '' TERM; trap 'echo int >>$TROUPE_DATA/out; exit' INT; touch $TROUPE_DATA/ready; while :; do sleep 0.01; done`
	if took, out := destroyed(driver.Graceful, map[string]any{"command": deaf, "grace": "300ms", "before_stop": "echo drained >>$TROUPE_DATA/out"}); took < 300*time.Millisecond || took > 5*time.Second || out != "drained" {
		t.Errorf("deaf to the stop signal: %s, %q", took, out)
	}
	if took, out := destroyed(driver.Graceful, map[string]any{"command": deaf, "grace": "20s", "stop_signal": "INT", "before_stop": "echo drained >>$TROUPE_DATA/out"}); took > 10*time.Second || out != "drained\nint" {
		t.Errorf("with its own stop signal: %s, %q", took, out)
	}
	if took, out := destroyed(driver.Graceful, map[string]any{"command": deaf, "grace": "300ms", "before_stop": "sleep 1000"}); took < 300*time.Millisecond || took > 5*time.Second || out != "" {
		t.Errorf("with a hook that hangs: %s, %q", took, out)
	}
	if took, out := destroyed(driver.Hard, map[string]any{"command": deaf, "grace": "20s", "before_stop": "echo drained >>$TROUPE_DATA/out"}); took > 10*time.Second || out != "" {
		t.Errorf("hard: %s, %q", took, out)
	}
}

var n = 100

// TestHardCutsGrace: a hard end does not wait for a graceful one that is on its way.
func TestHardCutsGrace(t *testing.T) {
	h := openHost(t, config(t))
	m := create(t, h, request(1, map[string]any{"command": "trap '' TERM; echo deaf; while :; do sleep 0.01; done", "grace": "60s"}))
	until(t, "it is deaf", func() bool { return logText(t, h, m.ID, driver.LogOptions{}) != "" })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := h.Destroy(ctx, driver.Ref{ID: m.ID}, driver.Graceful); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	if len(processes(m.ID)) == 0 {
		t.Error("it was killed before its grace had passed")
	}
	destroy(t, h, m.ID, driver.Hard)
	if len(processes(m.ID)) != 0 {
		t.Error("processes are left")
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SERVER_SECRET", "s3cret")
	h := openHost(t, config(t))
	req := request(4, command("env; pwd; id -u; umask; ulimit -n; cat; test -t 0 || echo no terminal; cat etc/app.conf; stat -c %a etc/app.conf; nice"))
	req.Options["stdin"] = "from stdin\n"
	req.Options["umask"] = "027"
	req.Options["nice"] = 3
	req.Options["limits"] = map[string]any{"nofile": 123, "memory": "1G", "cpu": "1h"}
	req.Env = map[string]string{"COLOUR": "blue", "TROUPE_ADDRESS": "forged", tagMachine: "forged"}
	req.Files = []driver.File{{Path: "etc/app.conf", Content: []byte("rendered\n"), Mode: 0o640}}
	req.Data = "db/0"
	m := create(t, h, req)
	text := printed(t, h, m.ID)
	for _, line := range []string{
		"COLOUR=blue", "TROUPE_ADDRESS=" + m.Addresses[0], "TROUPE_MACHINE=7-4-1", "TROUPE_INSTANCE=app-4", "TROUPE_SERVICE=7", "TROUPE_ROLE=app",
		"TROUPE_NUMBER=4", "TROUPE_PROJECT=users", "TROUPE_DATA=" + h.data("db/0"), h.folder(m.ID).root(), "0027", "123", "from stdin", "no terminal",
		"rendered", "640", "3",
	} {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	if os.Geteuid() == 0 && !strings.Contains(text, "\n65534\n") {
		t.Errorf("does not run as nobody:\n%s", text)
	}
	if strings.Contains(text, "s3cret") || strings.Contains(text, "forged") {
		t.Errorf("the environment is not its own:\n%s", text)
	}
}

// TestNothingSecretInArguments: the process table shows no instruction of a machine beside its own arguments.
func TestNothingSecretInArguments(t *testing.T) {
	h := openHost(t, config(t))
	req := request(1, command("exec sleep 1000"))
	req.Env = map[string]string{"PASSWORD": "s3cret"}
	m := create(t, h, req)
	for _, pid := range pids() {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && bytes.Contains(b, []byte("s3cret")) {
			t.Errorf("process %d shows a secret", pid)
		}
	}
	for _, name := range []string{"plan.json", "intent.json", "run.json"} {
		fi, err := os.Stat(filepath.Join(string(h.folder(m.ID)), name))
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
}

func TestOwnSession(t *testing.T) {
	h := openHost(t, config(t))
	m := create(t, h, request(1, command("exec sleep 1000")))
	r, err := h.folder(m.ID).run()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{r.Main.PID, r.Supervisor.PID} {
		if sid, err := unix.Getsid(pid); err != nil || sid != pid {
			t.Errorf("session of %d is %d, %v", pid, sid, err)
		}
	}
	// The program holds its three standard files and nothing of the server's or the supervisor's.
	until(t, "it has read its libraries", func() bool {
		return len(entries(t, fmt.Sprintf("/proc/%d/fd", r.Main.PID))) == 3
	})
	own := fmt.Sprintf("/proc/%d/", r.Supervisor.PID) // it reads of itself at first
	for _, fd := range entries(t, own+"fd") {
		to, _ := os.Readlink(own + "fd/" + fd)
		if strings.HasPrefix(to, "/") && to != "/dev/null" && !strings.HasPrefix(to, own) && !strings.HasPrefix(to, string(h.folder(m.ID))) && !strings.HasPrefix(to, "/sys/fs/cgroup") {
			t.Errorf("the supervisor holds %s", to)
		}
	}
}

func TestProgramIsMissing(t *testing.T) {
	h := openHost(t, config(t))
	for i, args := range [][]string{{"no-such-program"}, {"./no-such-program"}, {"/no/such/program"}} {
		m := create(t, h, request(i, map[string]any{"args": args}))
		if m.State != driver.Failed || !strings.Contains(m.Reason, "no-such-program") && !strings.Contains(m.Reason, "/no/such/program") {
			t.Errorf("%v: %s, %q", args, m.State, m.Reason)
		}
	}
}

func TestSuspend(t *testing.T) {
	h := openHost(t, config(t))
	m := create(t, h, request(1, command("setsid sleep 1000 & sleep 1000 & exec sleep 1000")))
	until(t, "all run", func() bool { return len(processes(m.ID)) == 3 })
	states := func() (all string) {
		for _, pid := range processes(m.ID) {
			s, _ := readStat(pid)
			all += string(s.State)
		}
		return all
	}
	act := func(a driver.Action, token string) {
		t.Helper()
		if err := h.Act(t.Context(), driver.Ref{ID: m.ID}, a, "", token); err != nil {
			t.Fatal(err)
		}
	}
	act(driver.Suspend, "1")
	until(t, "all are stopped", func() bool { return states() == "TTT" })
	act(driver.Resume, "2")
	until(t, "all sleep", func() bool { return states() == "SSS" })
	act(driver.Suspend, "1") // an old token is no second action
	if s := states(); s != "SSS" {
		t.Errorf("states %s after a repeated token", s)
	}
	before := mainOf(t, h, m.ID)
	act(driver.Reboot, "3")
	after := mainOf(t, h, m.ID)
	act(driver.Reboot, "3")
	if before == after || mainOf(t, h, m.ID) != after {
		t.Error("a reboot must start the program once")
	}
}

func TestSnapshots(t *testing.T) {
	h := openHost(t, config(t))
	req := request(1, command("ls; echo 1 >>file; ln -sf /etc/passwd link; exec sleep 1000"))
	req.Data = "d"
	m := create(t, h, req)
	file := filepath.Join(h.folder(m.ID).root(), "file")
	until(t, "it is prepared", func() bool { _, err := os.Lstat(filepath.Join(h.folder(m.ID).root(), "link")); return err == nil })
	act := func(a driver.Action, args string) {
		t.Helper()
		if err := h.Act(t.Context(), driver.Ref{ID: m.ID}, a, args, ""); err != nil {
			t.Fatal(err)
		}
	}
	act(driver.SnapshotCreate, "one")
	act(driver.Reboot, "")
	until(t, "it has started again", func() bool { return readFile(t, file) == "1\n1\n" })
	first := mainOf(t, h, m.ID)
	act(driver.SnapshotRevert, "one")
	until(t, "it has started on the copy", func() bool { b, _ := os.ReadFile(file); return string(b) == "1\n1\n" })
	until(t, "one program runs, another one", func() bool { return mainOf(t, h, m.ID) != first && len(processes(m.ID)) == 1 })
	act(driver.PoweroffHard, "")
	act(driver.SnapshotRevert, "one")
	if readFile(t, file) != "1\n" || lookAt(t, h, m.ID).State != driver.Stopped {
		t.Errorf("file %q, state %s", readFile(t, file), lookAt(t, h, m.ID).State)
	}
	err := h.Act(t.Context(), driver.Ref{ID: m.ID}, driver.SnapshotRevert, "onne", "")
	if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), `did you mean "one"?`) {
		t.Errorf("error %v", err)
	}
	data := filepath.Join(h.data("d"), "x")
	if err := os.WriteFile(data, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	act(driver.DiskSnapshotCreate, "0, a/b")
	if err := os.WriteFile(data, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	act(driver.DiskSnapshotRevert, "0, a/b")
	if got := readFile(t, data); got != "old" {
		t.Errorf("data %q", got)
	}
	act(driver.DiskSnapshotDelete, "0,a/b")
	act(driver.SnapshotDelete, "one")
	if left := entries(t, h.folder(m.ID).snapshots()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestStableIdentity: the successor gets address and data, also while the address has another taker in another folder.
func TestStableIdentity(t *testing.T) {
	h := openHost(t, config(t))
	req := request(1, command("cat $TROUPE_DATA/x; echo kept >$TROUPE_DATA/x; exec sleep 1000"))
	req.Data = "7/db-0"
	m := create(t, h, req)
	until(t, "it has written", func() bool { b, _ := os.ReadFile(filepath.Join(h.data(req.Data), "x")); return string(b) == "kept\n" })
	destroy(t, h, m.ID, driver.Graceful)
	req.ID, req.Address = "7-1-2", m.Addresses[0]
	next := create(t, h, req)
	if next.Addresses[0] != m.Addresses[0] {
		t.Errorf("address %v, was %v", next.Addresses, m.Addresses)
	}
	until(t, "it has read", func() bool { return logText(t, h, next.ID, driver.LogOptions{}) == "kept\n" })
	other := openHost(t, config(t))
	stranger := request(2, command("exec sleep 1000"))
	stranger.Address = m.Addresses[0]
	if got := create(t, other, stranger); got.Addresses[0] == m.Addresses[0] {
		t.Error("two machines of this host have one address")
	}
	destroy(t, h, next.ID, driver.Hard)
	if err := h.RemoveData(t.Context(), req.Data); err != nil {
		t.Fatal(err)
	}
	if left := entries(t, h.datas()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestWatchIsCheap: one goroutine, whatever the number of machines.
func TestWatchIsCheap(t *testing.T) {
	h := openHost(t, config(t))
	gone := make(chan driver.MachineID, 1000)
	watching(t, h, func(m driver.Machine) {
		if m.State == driver.Exited {
			gone <- m.ID
		}
	})
	before := runtime.NumGoroutine()
	for i := range 20 {
		create(t, h, request(i, command("exec sleep 1000")))
	}
	if more := runtime.NumGoroutine() - before; more > 2 {
		t.Errorf("%d goroutines more for 20 machines", more)
	}
	supervisors := map[int]bool{}
	for i := range 20 {
		r, err := h.folder(request(i, nil).ID).run()
		if err != nil {
			t.Fatal(err)
		}
		supervisors[r.Supervisor.PID] = true
		if err := mainOf(t, h, request(i, nil).ID).signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for seen := map[driver.MachineID]bool{}; len(seen) < 20; {
		select {
		case id := <-gone:
			seen[id] = true
		case <-time.After(15 * time.Second):
			t.Fatalf("only %d exits are noticed", len(seen))
		}
	}
	for _, s := range table() {
		if supervisors[s.PID] {
			t.Errorf("supervisor %d is left in state %c", s.PID, s.State)
		}
	}
}
