//go:build linux

package dockertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// A run is one run of the daemon's program.
type run struct {
	process *os.Process
	ended   chan struct{}
}

// Run starts the daemon after it was stopped or killed, and returns once it answers.
func (d *Daemon) Run() error {
	if err := os.MkdirAll(d.Dir(), 0o755); err != nil {
		return err
	}
	// A killed daemon's containerd may stay as a zombie, which the next daemon would take for alive.
	for _, name := range []string{"/pid", "/exec/containerd/containerd.pid"} {
		if err := os.Remove(d.dir + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	log, err := os.OpenFile(d.dir+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("dockerd", d.args...)
	cmd.Stdout, cmd.Stderr = log, log
	// It ends in good order when the thread that started it does, so also when the test is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	r := &run{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(r.ended)
		err := cmd.Start()
		r.process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("dockertest: start dockerd: %w", err)
	}
	d.run = r
	return d.answers()
}

// answers waits until the daemon answers.
func (d *Daemon) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := d.Client.Ping(ctx, client.PingOptions{}); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.run.ended:
			return fmt.Errorf("dockertest: dockerd has ended: %s", tail(d.Log()))
		case <-ctx.Done():
			return fmt.Errorf("dockertest: dockerd does not answer: %s", tail(d.Log()))
		}
	}
}

// tail keeps the end of a text.
func tail(s string) string { return s[max(0, len(s)-2000):] }

// Stop ends the daemon in good order, and its containers with it unless it was started with --live-restore.
func (d *Daemon) Stop() error { return d.end(unix.SIGTERM) }

// Kill ends the daemon at once. Its containers run on.
func (d *Daemon) Kill() error { return d.end(unix.SIGKILL) }

func (d *Daemon) end(sig unix.Signal) error {
	if d.run == nil {
		return nil
	}
	_ = unix.Kill(d.run.process.Pid, unix.SIGCONT)
	_ = unix.Kill(d.run.process.Pid, sig)
	select {
	case <-d.run.ended:
		d.run = nil
		return nil
	case <-time.After(time.Minute):
		_ = unix.Kill(d.run.process.Pid, unix.SIGKILL)
		<-d.run.ended
		d.run = nil
		return errors.New("dockertest: dockerd did not end within a minute and was killed")
	}
}

// Freeze makes the daemon stop answering until Thaw; connections are accepted still.
func (d *Daemon) Freeze() error { return unix.Kill(d.run.process.Pid, unix.SIGSTOP) }

// Thaw ends a Freeze.
func (d *Daemon) Thaw() error { return unix.Kill(d.run.process.Pid, unix.SIGCONT) }

// Close removes all containers, ends the daemon and everything that it has started, and removes its folders.
func (d *Daemon) Close() error {
	var errs []error
	if d.run == nil && d.Client != nil {
		errs = append(errs, d.Run()) // only it removes its networks
	}
	if d.run != nil {
		_ = d.Thaw()
		errs = append(errs, d.clear(), d.Stop())
	}
	if d.Client != nil {
		errs = append(errs, d.Client.Close())
	}
	d.killRest()
	for _, name := range []string{d.bridge, d.bridge + "d"} {
		if _, err := os.Stat("/sys/class/net/" + name); err == nil {
			errs = append(errs, exec.Command("ip", "link", "delete", name).Run())
		}
	}
	errs = append(errs, d.unmount(), os.RemoveAll(d.dir), d.claim.Close())
	return errors.Join(errs...)
}

// clear removes containers and networks, whose bridges would stay on the host.
func (d *Daemon) clear() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	list, err := d.Client.ContainerList(ctx, client.ContainerListOptions{All: true})
	errs = append(errs, err)
	for _, c := range list.Items {
		_, err := d.Client.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		errs = append(errs, err)
	}
	networks, err := d.Client.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("type", "custom")})
	errs = append(errs, err)
	for _, n := range networks.Items {
		_, err := d.Client.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// killRest kills what a killed daemon has left: its containerd and the shims of its containers. All of them name the
// daemon's folder in their arguments.
func (d *Daemon) killRest() {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		rest := d.rest()
		if len(rest) == 0 {
			return
		}
		for _, pid := range rest {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// rest returns the processes that name the daemon's folder. A process that has ended and is not collected names nothing.
func (d *Daemon) rest() (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		text, err := os.ReadFile(name)
		pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
		if err == nil && pid != os.Getpid() && bytes.Contains(text, []byte(d.dir+"/")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// unmount takes off what is mounted in the daemon's folder.
func (d *Daemon) unmount() error {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	for n := len(lines) - 1; n >= 0; n-- {
		if f := strings.Fields(lines[n]); len(f) > 1 && strings.HasPrefix(f[1], d.dir+"/") {
			_ = unix.Unmount(f[1], unix.MNT_DETACH)
		}
	}
	return nil
}
