//go:build linux

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

func TestPathsDoNotEscape(t *testing.T) {
	h := openHost(t, config(t))
	for i, path := range []string{"../x", "/etc/x", "a/../../x", "", ".", "..", "a/.."} {
		req := request(i, command("exec sleep 1000"))
		req.Files = []driver.File{{Path: "fine"}, {Path: path}}
		if _, err := h.Create(t.Context(), req); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "files[1]") {
			t.Errorf("%q: error %v", path, err)
		}
	}
	if left := entries(t, h.machines()); len(left) != 0 {
		t.Errorf("refused, but made: %v", left)
	}
	// A machine that points links out of its folder gets nothing written there.
	outside := t.TempDir()
	req := request(100, command("ln -s "+outside+" out; ln -s "+outside+"/file file; touch done; exec sleep 1000"))
	m := create(t, h, req)
	until(t, "it is prepared", func() bool { _, err := os.Stat(filepath.Join(h.folder(m.ID).root(), "done")); return err == nil })
	err := h.Refresh(t.Context(), driver.Ref{ID: m.ID}, []driver.File{{Path: "out/x", Content: []byte("x")}})
	if err == nil {
		t.Error("a file was written through a link")
	}
	if err := h.Refresh(t.Context(), driver.Ref{ID: m.ID}, []driver.File{{Path: "file", Content: []byte("x")}}); err != nil {
		t.Error(err) // it takes the link's place
	}
	if left := entries(t, outside); len(left) != 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestRefresh(t *testing.T) {
	h := openHost(t, config(t))
	for i, c := range []struct{ hook, command string }{
		{"SIGHUP", "trap 'cat conf >>seen' HUP; touch done; while :; do sleep 0.01; done"},
		{"cat conf >>seen", "touch done; exec sleep 1000"},
	} {
		req := request(i, command(c.command))
		req.Options["on_change"] = c.hook
		req.Files = []driver.File{{Path: "conf", Content: []byte("1\n")}}
		m := create(t, h, req)
		root := h.folder(m.ID).root()
		until(t, "it is prepared", func() bool { _, err := os.Stat(filepath.Join(root, "done")); return err == nil })
		for _, text := range []string{"1\n", "2\n", "2\n", "3\n"} {
			if err := h.Refresh(t.Context(), driver.Ref{ID: m.ID}, []driver.File{{Path: "conf", Content: []byte(text)}}); err != nil {
				t.Fatal(err)
			}
			if text != "1\n" {
				until(t, "the hook saw "+text, func() bool {
					b, _ := os.ReadFile(filepath.Join(root, "seen"))
					return strings.HasSuffix(string(b), text)
				})
			}
		}
		if got := readFile(t, filepath.Join(root, "seen")); got != "2\n3\n" {
			t.Errorf("%s: the hook saw %q", c.hook, got)
		}
		// A hook that a crash has cut off runs with the repeated call.
		if err := os.WriteFile(h.folder(m.ID).reload(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := h.Refresh(t.Context(), driver.Ref{ID: m.ID}, []driver.File{{Path: "conf", Content: []byte("3\n")}}); err != nil {
			t.Fatal(err)
		}
		until(t, "the hook ran again", func() bool { return readFile(t, filepath.Join(root, "seen")) == "2\n3\n3\n" })
	}
	req := request(9, command("exec sleep 1000"))
	req.Options["on_change"] = "echo broken >&2; exit 4"
	m := create(t, h, req)
	err := h.Refresh(t.Context(), driver.Ref{ID: m.ID}, []driver.File{{Path: "conf"}})
	if err == nil || !strings.Contains(err.Error(), "ended with 4: broken") {
		t.Errorf("error %v", err)
	}
}

func TestExec(t *testing.T) {
	h := openHost(t, config(t))
	req := request(1, command("exec sleep 1000"))
	req.Env = map[string]string{"COLOUR": "blue"}
	m := create(t, h, req)
	ref := driver.Ref{ID: m.ID}
	var out, complaints bytes.Buffer
	exit, err := h.Exec(t.Context(), ref, driver.Command{
		Args: []string{"sh", "-c", "pwd; echo $COLOUR $SHAPE; id -u; cat; echo oops >&2; exit 7"}, Env: map[string]string{"SHAPE": "round"},
		Stdin: strings.NewReader("typed\n"), Stdout: &out, Stderr: &complaints,
	})
	want := fmt.Sprintf("%s\nblue round\n%d\ntyped\n", h.folder(m.ID).root(), uidOf(h))
	if err != nil || exit != 7 || out.String() != want || complaints.String() != "oops\n" {
		t.Errorf("exit %d, error %v, output %q, want %q, complaints %q", exit, err, out.String(), want, complaints.String())
	}
	if exit, err := h.Exec(t.Context(), ref, driver.Command{Args: []string{"sh", "-c", "kill -9 $$"}}); err != nil || exit != -9 {
		t.Errorf("exit %d, error %v", exit, err)
	}
	if _, err := h.Exec(t.Context(), ref, driver.Command{Args: []string{"no-such-program"}}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("error %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := h.Exec(ctx, ref, driver.Command{Args: []string{"sh", "-c", "setsid sh -c 'setsid sleep 1000 & sleep 1000' & sleep 1000"}, Stdout: &out})
		ended <- err
	}()
	until(t, "all of the command runs", func() bool { return len(processes(m.ID)) == 6 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	until(t, "all of the command is killed", func() bool { return len(processes(m.ID)) == 1 })

	// What a command leaves behind, and one that still runs, end with the machine.
	if _, err := h.Exec(t.Context(), ref, driver.Command{Args: []string{"sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & sleep 0.2"}}); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := h.Exec(t.Context(), ref, driver.Command{Args: []string{"sleep", "1000"}})
		ended <- err
	}()
	until(t, "it runs", func() bool { return len(processes(m.ID)) == 3 })
	destroy(t, h, m.ID, driver.Graceful)
	if err := <-ended; err == nil {
		t.Error("the command outlived the machine")
	}
	if left := processes(m.ID); len(left) != 0 {
		t.Errorf("processes %v are left", left)
	}
}

func uidOf(h *host) int {
	if h.user != nil {
		return int(h.user.UID)
	}
	return os.Geteuid()
}

func TestLogs(t *testing.T) {
	h := openHost(t, config(t))
	req := request(1, map[string]any{
		"command":  `i=0; while [ $i -lt 2000 ]; do echo "line $i"; echo "error $i" >&2; i=$((i+1)); done; printf 'no end'`,
		"log_size": "8K", "log_count": 3,
	})
	m := create(t, h, req)
	text := printed(t, h, m.ID)
	if files := entries(t, h.folder(m.ID).logs()); len(files) != 3 {
		t.Errorf("files %v, want 3", files)
	}
	for _, f := range entries(t, h.folder(m.ID).logs()) {
		if fi, err := os.Stat(filepath.Join(h.folder(m.ID).logs(), f)); err != nil || fi.Size() > 8<<10+32<<10 {
			t.Errorf("%s has %d bytes, %v", f, fi.Size(), err)
		}
	}
	if !strings.Contains(text, "no end") || !strings.Contains(text, "line 1999\n") || !strings.Contains(text, "error 1999\n") {
		t.Errorf("the log ends with %q", text[max(0, len(text)-100):])
	}
	if got := logText(t, h, m.ID, driver.LogOptions{Stderr: true, Tail: 2}); got != "error 1998\nerror 1999\n" {
		t.Errorf("tail of the error output: %q", got)
	}
	if got := logText(t, h, m.ID, driver.LogOptions{Tail: 5}); got != string(lastLines([]byte(text), 5)) {
		t.Errorf("tail: %q", got)
	}
}

// TestLogsFollow follows a machine over many rotations, a restart and its end.
func TestLogsFollow(t *testing.T) {
	h := openHost(t, config(t))
	req := request(1, map[string]any{
		"command": `i=0; while [ $i -lt 500 ]; do echo "line $i"; i=$((i+1)); done; exec sleep 1000`, "log_size": "4K", "log_count": 1000,
	})
	m := create(t, h, req)
	r, err := h.Logs(t.Context(), driver.Ref{ID: m.ID}, driver.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make(chan string)
	go func() {
		var all strings.Builder
		b := make([]byte, 100)
		for {
			n, err := r.Read(b)
			all.Write(b[:n])
			if err != nil {
				break
			}
		}
		got <- all.String()
	}()
	for runs := range 3 {
		until(t, "it has printed", func() bool {
			return strings.Count(logText(t, h, m.ID, driver.LogOptions{}), "line 499\n") == runs+1
		})
		if runs < 2 {
			if err := h.Act(t.Context(), driver.Ref{ID: m.ID}, driver.RebootHard, "", ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := logText(t, h, m.ID, driver.LogOptions{})
	destroy(t, h, m.ID, driver.Hard)
	select {
	case all := <-got:
		if all != text {
			t.Errorf("followed %d bytes, the log has %d", len(all), len(text))
		}
	case <-time.After(15 * time.Second):
		t.Fatal("the reader does not end with the machine")
	}
}

func TestMeasure(t *testing.T) {
	h := openHost(t, config(t))
	m := create(t, h, request(1, command("sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; exec sleep 1000")))
	var f driver.Figures
	until(t, "CPU time of an ended child counts", func() bool {
		for got, err := range h.Measure(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			f = got
		}
		return f.CPUSeconds > 0.02
	})
	if f.ID != m.ID || f.MemoryBytes < 100<<10 || f.CPUSeconds > 60 {
		t.Errorf("%+v", f)
	}
}

func TestUserOfMachines(t *testing.T) {
	cfg := config(t)
	cfg.Installation = "test"
	if os.Geteuid() != 0 {
		cfg.Values = map[string]any{"user": "root"}
		if _, err := Kind().New(t.Context(), cfg); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("error %v", err)
		}
		return
	}
	cfg.Values = map[string]any{"user": "root"}
	h := openHost(t, cfg)
	m := create(t, h, request(1, command("id -u")))
	if got := printed(t, h, m.ID); got != "0\n" {
		t.Errorf("runs as %q", got)
	}
	cfg = config(t)
	cfg.Values = map[string]any{"user": "no-such-user"}
	if _, err := Kind().New(t.Context(), cfg); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	cfg = config(t)
	if err := os.Chmod(filepath.Dir(cfg.Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Kind().New(t.Context(), cfg); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "chmod o+x") {
		t.Errorf("error %v", err)
	}
}
