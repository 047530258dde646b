//go:build linux

package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// tagExec is the variable by which the processes of one Exec are found when it is cut short.
const tagExec = "TROUPE_EXEC"

// execs are the commands that run inside one machine.
type execs struct {
	cancels map[string]context.CancelFunc // by tag
	done    chan struct{}                 // closed when the last has ended
}

// Exec runs a command in the machine's folder, with its environment, as its user. When ctx ends first, the
// command and all that it started are killed. Its background jobs do not outlive it.
func (h *host) Exec(ctx context.Context, ref driver.Ref, cmd driver.Command) (int, error) {
	exit, err := h.exec(ctx, ref.ID, cmd)
	if err != nil {
		return exit, fmt.Errorf("process: exec in %s: %w", ref.ID, err)
	}
	return exit, nil
}

func (h *host) exec(ctx context.Context, id driver.MachineID, command driver.Command) (int, error) {
	if len(command.Args) == 0 {
		return 0, fmt.Errorf("no command is given: %w", driver.ErrInvalid)
	}
	if err := checkEnv(command.Env); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tag := rand.Text()
	p, err := h.enter(id, tag, cancel)
	if err != nil {
		return 0, err
	}
	defer h.leave(id, tag)
	dir := filepath.Join(h.folder(id).root(), p.Dir)
	env := append([]string{}, p.Env...)
	for k, v := range command.Env {
		env = append(env, k+"="+v)
	}
	env = append(env, tagMachine+"="+string(id), tagInstallation+"="+h.installation, tagExec+"="+tag)
	path, err := lookPath(command.Args[0], dir, p.Env)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", err, driver.ErrInvalid)
	}
	cmd := exec.CommandContext(ctx, path, command.Args[1:]...)
	cmd.Args[0] = command.Args[0]
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = command.Stdin, command.Stdout, command.Stderr
	// The command dies with the thread that started it, so with this server.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Credential: p.User.credential()}
	cmd.Cancel = func() error {
		killAll(tagExec + "=" + tag)
		return nil
	}
	cmd.WaitDelay = 2 * time.Second
	err = cmd.Start()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", driver.ErrInvalid, err)
	}
	err = cmd.Wait()
	unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // its background jobs
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return 0, err
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return -int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// enter notes down that a command runs inside the machine, so that Destroy ends it.
func (h *host) enter(id driver.MachineID, tag string, cancel context.CancelFunc) (*plan, error) {
	if checkName("a machine's id", string(id)) != nil {
		return nil, driver.ErrNotFound
	}
	defer h.ids.lock(id)()
	if _, err := h.intent(id); err != nil {
		return nil, err
	}
	if r, ok := h.alive(id); !ok || r.Main.PID == 0 {
		return nil, fmt.Errorf("the machine does not run: %w", driver.ErrInvalid)
	}
	f := h.folder(id)
	if err := os.WriteFile(f.executed(), nil, 0o600); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.commands[id]
	if e == nil {
		e = &execs{cancels: map[string]context.CancelFunc{}, done: make(chan struct{})}
		h.commands[id] = e
	}
	e.cancels[tag] = cancel
	return f.plan()
}

func (h *host) leave(id driver.MachineID, tag string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.commands[id]
	delete(e.cancels, tag)
	if len(e.cancels) == 0 {
		delete(h.commands, id)
		close(e.done)
	}
}

// cancelExecs ends the commands that run inside a machine that is being destroyed, and what earlier ones left.
func (h *host) cancelExecs(ctx context.Context, id driver.MachineID) error {
	h.mu.Lock()
	e := h.commands[id]
	if e != nil {
		for _, cancel := range e.cancels {
			cancel()
		}
	}
	h.mu.Unlock()
	if e != nil {
		select {
		case <-e.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if _, err := os.Stat(h.folder(id).executed()); err == nil {
		killAll(tagMachine+"="+string(id), tagInstallation+"="+h.installation)
	}
	return nil
}

// killAll kills every process that bears the tags, and reports whether none is left.
func killAll(tags ...string) bool {
	for range 100 {
		left := tagged(tags...)
		if len(left) == 0 {
			return true
		}
		for _, pid := range left {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
	return false
}

// Refresh replaces the files that changed and then runs on_change. A mark in the folder outlasts a crash between the
// two, so that the repeated call runs it.
func (h *host) Refresh(ctx context.Context, ref driver.Ref, files []driver.File) error {
	p, alive, err := h.rewrite(ref.ID, files)
	if err == nil {
		err = h.changed(ctx, p, alive)
	}
	if err != nil {
		return fmt.Errorf("process: refresh %s: %w", ref.ID, err)
	}
	return nil
}

func (h *host) rewrite(id driver.MachineID, files []driver.File) (*plan, bool, error) {
	if err := checkFiles(files); err != nil {
		return nil, false, err
	}
	defer h.ids.lock(id)()
	if _, err := h.intent(id); err != nil {
		return nil, false, err
	}
	f := h.folder(id)
	p, err := f.plan()
	if err != nil {
		return nil, false, err
	}
	err = writeFiles(f, p.User, files, func() error { return os.WriteFile(f.reload(), nil, 0o600) })
	_, alive := h.alive(id)
	return p, alive, err
}

// changed runs on_change if files changed since it last ran. A machine that does not run reads them when it starts.
func (h *host) changed(ctx context.Context, p *plan, alive bool) error {
	f := h.folder(p.ID)
	if _, err := os.Stat(f.reload()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if alive && p.OnChange != "" {
		if err := h.hook(ctx, p); err != nil {
			return fmt.Errorf("on_change: %w", err)
		}
	}
	if err := os.Remove(f.reload()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (h *host) hook(ctx context.Context, p *plan) error {
	if sig, ok := signalNumbers[strings.TrimPrefix(p.OnChange, "SIG")]; ok {
		r, err := h.folder(p.ID).run()
		if err != nil {
			return err
		}
		if err := r.Main.signal(unix.Signal(sig)); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		return nil
	}
	var complaint tailBuffer
	exit, err := h.exec(ctx, p.ID, driver.Command{Args: shell(p.OnChange), Stderr: &complaint})
	if err == nil && exit != 0 {
		err = fmt.Errorf("ended with %d: %s", exit, complaint)
	}
	return err
}

// A tailBuffer keeps the last 400 bytes of what is written to it.
type tailBuffer []byte

func (t *tailBuffer) Write(b []byte) (int, error) {
	*t = append(*t, b...)
	*t = (*t)[max(0, len(*t)-400):]
	return len(b), nil
}
