//go:build linux

package docker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"

	"github.com/troupe-dev/troupe/driver"
)

const userData = `#cloud-config
packages: [nginx]
hostname: named
write_files:
- {path: /etc/app.conf, content: "port: 80\n", permissions: '0600', owner: 'nobody:nogroup'}
- {path: /etc/group, content: "app:x:7:\n", append: true}
bootcmd:
- echo boot
runcmd:
- cat /etc/app.conf
- hostname
- tail -n 1 /etc/group
- "false"
- [echo, $HOME]
`

// logged returns the log of a machine once it holds a text so many times.
func (s *stage) logged(m driver.Machine, text string, times int) (log string) {
	s.Helper()
	s.until(func() error {
		if log = s.logs(m, driver.LogOptions{}); strings.Count(log, text) < times {
			return fmt.Errorf("%q is not %d times in\n%s", text, times, log)
		}
		return nil
	})
	return log
}

// Files and commands of user data come before the main program, in its log; at a later start only bootcmd runs again.
func TestUserData(t *testing.T) {
	s := newStage(t, shared(t), nil)
	req := s.request(shell("echo main; " + forever))
	req.UserData = []byte(userData)
	m := s.create(req)
	text := s.logged(m, "main\n", 1)
	for _, want := range []string{"cloud-init: packages is ignored\n", "boot\n", "port: 80\n", "named\n", "app:x:7:\n", "cloud-init: runcmd[3] ended with status 1\n", "$HOME\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Index(text, "$HOME\n") > strings.Index(text, "main\n") {
		t.Errorf("the main program did not wait:\n%s", text)
	}
	if mode := s.sh(m, "stat -c '%a %u:%g' /etc/app.conf"); mode != "600 65534:65534" {
		t.Errorf("mode and owner %q", mode)
	}
	s.must(s.host.Act(s.ctx(), ref(m), driver.RebootHard, "", ""))
	if text := s.logged(m, "main\n", 2); strings.Count(text, "boot\n") != 2 || strings.Count(text, "port: 80\n") != 1 || strings.Count(text, "app:x:7:") != 1 {
		t.Errorf("after a reboot:\n%s", text)
	}
}

// A machine whose image names no command but a shell stays up when its user data is through, and ends when it is asked to.
func TestUserDataAlone(t *testing.T) {
	s := newStage(t, shared(t), nil)
	options := with(machine(), "grace", "1m")
	delete(options, "command")
	req := s.request(options)
	req.UserData = []byte("#!/bin/sh\necho hello\n")
	m := s.create(req)
	s.logged(m, "hello\n", 1)
	s.until(func() error {
		if s.sh(m, "tr '\\0' ' ' < /proc/1/cmdline") != shellPath+" -c "+idle {
			return errors.New("it does not idle")
		}
		return nil
	})
	began := time.Now()
	s.must(s.d.Destroy(s.ctx(), ref(m), driver.Graceful))
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v to end", took)
	}
}

// Users other than root can carry user data out, too, once.
func TestUserDataOfUsers(t *testing.T) {
	s := newStage(t, shared(t), nil)
	for user, id := range map[string]string{"nobody": "65534", "1000:1000": "1000"} {
		req := s.request(with(shell("echo main; "+forever), "user", user))
		req.UserData = []byte("#cloud-config\nruncmd: [id -u]\nbootcmd: [echo boot]\n")
		m := s.create(req)
		s.logged(m, "main\n", 1)
		s.must(s.host.Act(s.ctx(), ref(m), driver.RebootHard, "", ""))
		if text := s.logged(m, "main\n", 2); text != "boot\n"+id+"\nmain\nboot\nmain\n" {
			t.Errorf("%s: %q", user, text)
		}
	}
}

func TestUserDataRefused(t *testing.T) {
	s := newStage(t, shared(t), nil)
	req := s.request(shell(forever))
	req.UserData = []byte("#cloud-config\nruncmd: [\n")
	s.refused(req, driver.ErrInvalid, "user data: it begins with #cloud-config, but is no YAML: line 2")
	root, err := archive([]driver.File{{Path: "program", Mode: 0o755, Content: []byte("x")}}, "")
	s.must(err)
	s.must(s.Import(s.ctx(), "noshell:1", root))
	req = s.request(with(machine("/program"), "image", "noshell:1"))
	req.UserData = []byte("#cloud-config\nruncmd: [id]\n")
	s.refused(req, driver.ErrInvalid, "image noshell:1 has no /bin/sh to carry it out with")
	req.Options["image"] = "nosuch:1"
	s.refused(req, driver.ErrInvalid, "pull says never")
}

func TestMainProgram(t *testing.T) {
	stay := []string{shellPath, "-c", idle}
	for _, c := range []struct{ ownEntry, ownCmd, entry, cmd, want []string }{
		{nil, nil, nil, nil, stay},
		{nil, nil, nil, []string{"/bin/bash"}, stay},
		{nil, nil, nil, []string{"nginx"}, []string{"nginx"}},
		{nil, nil, []string{"/tini"}, []string{"sh"}, []string{"/tini", "sh"}},
		{nil, []string{"b"}, []string{"/e"}, []string{"c"}, []string{"/e", "b"}},
		{nil, []string{"sh"}, nil, []string{"c"}, []string{"sh"}},
		{[]string{"/o"}, nil, []string{"/e"}, []string{"c"}, []string{"/o"}},
		{[]string{"/o"}, []string{"b"}, []string{"/e"}, []string{"c"}, []string{"/o", "b"}},
	} {
		got := mainProgram(&container.Config{Entrypoint: c.ownEntry, Cmd: c.ownCmd}, c.entry, c.cmd)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v: %s", c, diff)
		}
	}
}
