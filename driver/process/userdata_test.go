//go:build linux

package process

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver"
)

const userData = `#cloud-config
packages: [nginx]
write_files:
- {path: /etc/app.conf, content: "port: 80\n", permissions: '0600'}
- {path: ../../../escape, content: x}
bootcmd:
- echo boot
runcmd:
- cat etc/app.conf
- ulimit -n
- "false"
- [echo, $HOME]
`

// Files and commands of user data come before the main program, under its limits, in its log; at a later start only
// bootcmd runs again.
func TestUserData(t *testing.T) {
	h := openHost(t, config(t))
	req := request(1, map[string]any{"command": "echo main; exec sleep 1000", "limits": map[string]any{"nofile": 77}})
	req.UserData = []byte(userData)
	m := create(t, h, req)
	root := h.folder(m.ID).root()
	said := func(times string) string {
		t.Helper()
		text := ""
		until(t, "the main program runs "+times, func() bool {
			text = logText(t, h, m.ID, driver.LogOptions{})
			return strings.Count(text, "main\n") == len(times)
		})
		return text
	}
	for _, want := range []string{"cloud-init: packages is ignored\n", "boot\n", "port: 80\n", "77\n", "cloud-init: runcmd[2] ended with status 1\n", "$HOME\n"} {
		until(t, "the log has "+want, func() bool { // output and errors come by pipes of their own
			return strings.Contains(logText(t, h, m.ID, driver.LogOptions{}), want)
		})
	}
	text := said("1")
	if strings.Index(text, "$HOME\n") > strings.Index(text, "main\n") {
		t.Errorf("the main program did not wait:\n%s", text)
	}
	if fi, err := os.Stat(filepath.Join(root, "etc/app.conf")); err != nil || fi.Mode() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
	if _, err := os.Stat(filepath.Join(root, "escape")); err != nil {
		t.Errorf("a path that leads out: %v", err)
	}
	if err := h.Act(t.Context(), driver.Ref{ID: m.ID}, driver.RebootHard, "", ""); err != nil {
		t.Fatal(err)
	}
	if text := said("12"); strings.Count(text, "boot\n") != 2 || strings.Count(text, "port: 80\n") != 1 {
		t.Errorf("after a reboot:\n%s", text)
	}
}

// A machine that has user data alone stays up when its commands are through, and ends when it is asked to.
func TestUserDataAlone(t *testing.T) {
	h := openHost(t, config(t))
	req := request(1, nil)
	req.UserData = []byte("#!/bin/sh\necho hello\nsleep 1000 &\n")
	m := create(t, h, req)
	until(t, "the script has run", func() bool { return logText(t, h, m.ID, driver.LogOptions{}) == "hello\n" })
	until(t, "it idles", func() bool {
		r, err := h.folder(m.ID).run()
		if err != nil {
			return false
		}
		args, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.Main.PID), "cmdline"))
		return string(args) == "sleep\x00infinity\x00"
	})
	if m := lookAt(t, h, m.ID); m.State != driver.Running {
		t.Errorf("%v: %s", m.State, m.Reason)
	}
	destroy(t, h, m.ID, driver.Graceful)
	if left := processes(m.ID); len(left) != 0 {
		t.Errorf("%d processes are left", len(left))
	}
}

func TestUserDataRefused(t *testing.T) {
	h := openHost(t, config(t))
	req := request(1, command("exec sleep 1000"))
	req.UserData = []byte("#cloud-config\nruncmd: [\n")
	if _, err := h.Create(t.Context(), req); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "user data: it begins with #cloud-config, but is no YAML: line 2") {
		t.Error(err)
	}
	req = request(2, nil)
	if _, err := h.Create(t.Context(), req); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "is required, or args, or user data") {
		t.Error(err)
	}
	if left := entries(t, h.machines()); len(left) != 0 {
		t.Errorf("refused, but made: %v", left)
	}
}
