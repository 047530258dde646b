//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// The signals to a supervisor.
const (
	termination = unix.SIGTERM // the graceful end of its machine
	atOnce      = unix.SIGUSR1 // its end at once
)

// past is a deadline that ends whatever waits for a file.
var past = time.Unix(1, 0)

// A supervised is a supervisor that runs, as the driver holds it: by a descriptor, which cannot come to mean another
// process.
type supervised struct {
	id    driver.MachineID
	pid   int // means this supervisor as long as it is not gone
	pidfd int
	child bool // started by this server, which must collect it
	// missed is when it was first seen not to have collected its main program, and was woken.
	missed time.Time
}

func (s *supervised) signal(sig unix.Signal) error {
	err := unix.PidfdSendSignal(s.pidfd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// gone reports whether the supervisor has ended.
func (s *supervised) gone() bool { return ready(s.pidfd) }

func ready(fd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n > 0
		}
	}
}

// start starts a supervisor for the machine and returns a file that ends when the main program runs, or never will.
// A supervisor that finds another at work ends by itself.
func (h *host) start(id driver.MachineID, claim *os.File) (*os.File, error) {
	f := h.folder(id)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	complaints, err := f.complaints()
	if err != nil {
		return nil, err
	}
	defer complaints.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	fd := -1
	env := []string{"GOMAXPROCS=1", "PATH=" + os.Getenv("PATH")}
	argv := append(append([]string{}, h.supervisor...), string(f))
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir: "/", Env: env,
		Files: []*os.File{null, null, complaints, w, claim},
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &fd},
	})
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start a supervisor: %w: %w", driver.ErrUnavailable, err)
	}
	if fd < 0 {
		r.Close()
		p.Kill()
		p.Wait()
		return nil, fmt.Errorf("start a supervisor: this kernel has no process descriptors; Linux 5.4 or later is needed: %w", driver.ErrUnavailable)
	}
	pid := p.Pid
	p.Release()
	h.hold(&supervised{id: id, pid: pid, pidfd: fd, child: true})
	return r, nil
}

// started waits until the supervisor has said that the main program runs.
func started(ctx context.Context, r *os.File) error {
	defer r.Close()
	defer context.AfterFunc(ctx, func() { r.SetReadDeadline(past) })()
	if _, err := r.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return nil
}

// adopt takes up the supervisor that holds the machine's lock, and reports whether there is one.
func (h *host) adopt(id driver.MachineID) bool {
	h.mu.Lock()
	_, known := h.live[id]
	h.mu.Unlock()
	if known {
		return true
	}
	f := h.folder(id)
	for {
		pid, err := f.holder()
		if err != nil || pid <= 0 {
			return false
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended since
		}
		// Who holds the lock still is whom the descriptor means.
		if again, err := f.holder(); err == nil && again == pid {
			h.hold(&supervised{id: id, pid: pid, pidfd: fd})
			return true
		}
		unix.Close(fd)
	}
}

// hold remembers a supervisor that runs.
func (h *host) hold(s *supervised) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before := h.live[s.id]; before != nil {
		h.release(before)
	}
	h.live[s.id] = s
	h.byFD[s.pidfd] = s
	for w := range h.watches {
		w.add(s)
	}
}

// release lets go of a supervisor. The caller holds h.mu.
func (h *host) release(s *supervised) {
	if s.child {
		if err := unix.Waitid(unix.P_PIDFD, s.pidfd, nil, unix.WEXITED|unix.WNOHANG, nil); err != nil {
			h.log.Debug("collect a supervisor", "machine", s.id, "err", err)
		}
	}
	unix.Close(s.pidfd) // which takes it out of every watch
	delete(h.live, s.id)
	delete(h.byFD, s.pidfd)
}

// collect lets go of the machine's supervisor if it has ended, clears up after it if it was killed, and reports
// whether none is left.
func (h *host) collect(id driver.MachineID) bool {
	defer h.ids.lock(id)()
	return h.collectLocked(id)
}

// collectLocked is collect for a caller that has the machine's lock.
func (h *host) collectLocked(id driver.MachineID) bool {
	h.mu.Lock()
	s := h.live[id]
	if s != nil && !s.gone() {
		h.mu.Unlock()
		return false
	}
	if s != nil {
		h.release(s)
	}
	h.mu.Unlock()
	if s == nil && h.adopt(id) {
		return false
	}
	if s != nil {
		h.settle(id)
		h.notify(id)
	}
	return true
}

// settle ends what a supervisor left behind that could not finish its work.
func (h *host) settle(id driver.MachineID) {
	f := h.folder(id)
	r, err := f.run()
	if err != nil || r.End != nil {
		return
	}
	if holder, err := f.holder(); err != nil || holder != 0 {
		return
	}
	reason := "its host was restarted"
	if r.Boot == bootID() {
		reason = "its supervisor was killed"
		if b, err := os.ReadFile(f.supervisorLog()); err == nil && len(b) > 0 {
			reason += ": " + strings.TrimSpace(string(b[max(0, len(b)-400):]))
		}
		h.killTagged(id, r)
	}
	r.End = &end{Time: time.Now(), Exit: -int(unix.SIGKILL), Reason: reason, Failed: true}
	if err := f.write("run.json", r); err != nil {
		h.log.Warn("record the end of a machine", "machine", id, "err", err)
	}
}

// killTagged kills what is left of a machine whose supervisor is gone: its main program, if that very process still
// runs, and every process that bears the machine's tag.
func (h *host) killTagged(id driver.MachineID, r *run) {
	if r.Main.alive() {
		signalAll(r.Main.PID, unix.SIGKILL)
		r.Main.signal(unix.SIGKILL)
	}
	if !killAll(tagMachine+"="+string(id), tagInstallation+"="+h.installation) {
		h.log.Warn("processes of a machine do not end", "machine", id)
	}
}

// wait waits until the machine's supervisor has ended.
func (h *host) wait(ctx context.Context, id driver.MachineID) error {
	for {
		s, err := h.supervised(id)
		if err != nil {
			return err
		}
		if s == nil {
			if h.collect(id) {
				return nil
			}
			continue
		}
		if err := await(ctx, s.pidfd); err != nil {
			return err
		}
		h.collect(id)
	}
}

// await waits until fd is readable, and closes it. No thread is held meanwhile.
func await(ctx context.Context, fd int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return err
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { f.SetReadDeadline(past) })()
	err = conn.Read(func(fd uintptr) bool { return ready(int(fd)) })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}
