//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

const (
	// answerTime is how long a supervisor may take to take a signal, once before and once after it is woken. One
	// that runs takes it in microseconds.
	answerTime = 1500 * time.Millisecond
	// endTime is how long it may take beyond the grace period, until nothing is left.
	endTime = 15 * time.Second
)

// errUnanswered ends the wait for a supervisor.
var errUnanswered = errors.New("the supervisor does not answer")

// end asks the machine's supervisor, if there is one, for the end of the machine, and waits for it. A supervisor
// that does not answer, because it was stopped say, is first woken and then done without.
func (h *host) end(ctx context.Context, id driver.MachineID, mode driver.Shutdown) error {
	if err := h.tell(id, mode); err != nil {
		return err
	}
	limit := endTime
	if mode == driver.Graceful {
		if p, err := h.folder(id).plan(); err == nil {
			limit += p.Grace
		}
	}
	for _, wake := range []bool{true, false} {
		err := h.waitFor(ctx, id, answerTime)
		if !errors.Is(err, errUnanswered) {
			return err
		}
		deaf, err := h.wake(id, wake)
		if err != nil {
			return err
		}
		if !deaf {
			break
		}
		if !wake {
			limit = 0
		}
	}
	err := h.waitFor(ctx, id, limit)
	if errors.Is(err, errUnanswered) {
		err = h.endWithout(ctx, id, mode)
	}
	return err
}

// tell asks the machine's supervisor, if there is one, for the end.
func (h *host) tell(id driver.MachineID, mode driver.Shutdown) error {
	sig := termination
	if mode == driver.Hard {
		sig = atOnce
	}
	h.adopt(id)
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.live[id]; s != nil {
		return s.signal(sig)
	}
	return nil
}

// wake reports whether the machine's supervisor has not taken what it was told, and, if do says so, wakes it then.
func (h *host) wake(id driver.MachineID, do bool) (deaf bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.live[id]
	if s == nil || !s.deaf() {
		return false, nil
	}
	if do {
		err = s.signal(unix.SIGCONT)
	}
	return true, err
}

// waitFor is wait with an end: errUnanswered.
func (h *host) waitFor(ctx context.Context, id driver.MachineID, limit time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := h.wait(limited, id)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return errUnanswered
	}
	return err
}

// stalled reports whether the supervisor of a machine whose main program was found dead has had its time to collect
// it. The first time it is woken.
func (h *host) stalled(id driver.MachineID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.live[id]
	if s == nil || s.gone() {
		return false
	}
	if s.missed.IsZero() {
		s.missed = time.Now()
		_ = s.signal(unix.SIGCONT) // where that fails, so does the next look
	}
	return time.Since(s.missed) > 2*answerTime
}

// supervised returns the machine's supervisor with a descriptor of its own, which the caller closes, or nil.
func (h *host) supervised(id driver.MachineID) (*supervised, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.live[id]
	if s == nil {
		return nil, nil
	}
	fd, err := unix.FcntlInt(uintptr(s.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &supervised{id: id, pid: s.pid, pidfd: fd}, nil
}

// deaf reports whether the supervisor has not taken a request yet: the kernel still holds it.
func (s *supervised) deaf() bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(s.pid) + "/status")
	if err != nil || s.gone() {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if mask, ok := strings.CutPrefix(line, "ShdPnd:"); ok {
			pending, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && pending&(1<<(termination-1)|1<<(atOnce-1)) != 0
		}
	}
	return false
}

// endWithout ends a machine whose supervisor does not answer: the stop signal and the grace period, if the end is to
// be graceful, then the kill of the whole tree and of the supervisor. A before_stop command is left out.
func (h *host) endWithout(ctx context.Context, id driver.MachineID, mode driver.Shutdown) error {
	s, err := h.supervised(id)
	if err != nil {
		return err
	}
	if s == nil {
		return h.wait(ctx, id)
	}
	defer unix.Close(s.pidfd)
	h.log.Warn("a supervisor does not answer; its machine is ended without it", "machine", id, "pid", s.pid)
	f := h.folder(id)
	if p, err := f.plan(); err == nil && mode == driver.Graceful {
		if r, err := f.run(); err == nil && r.Main.alive() {
			_ = r.Main.signal(unix.Signal(p.StopSignal)) // it may end just now
			_ = r.Main.signal(unix.SIGCONT)
			if err := poll(ctx, p.Grace, func() bool { return !r.Main.alive() }); err != nil {
				return err
			}
		}
	}
	// The supervisor goes last: as long as it is there, whatever the machine has started is below it.
	err = poll(ctx, endTime, func() bool {
		left := s.below()
		for _, p := range left {
			_ = p.signal(unix.SIGKILL)
		}
		return len(left) == 0
	})
	if err != nil {
		return err
	}
	if left := s.below(); len(left) > 0 {
		return fmt.Errorf("process %d and %d more do not end though they were killed: %w", left[0].PID, len(left)-1, driver.ErrUnavailable)
	}
	if log, err := f.complaints(); err == nil {
		fmt.Fprintln(log, "it did not answer")
		log.Close()
	}
	if err := s.signal(unix.SIGKILL); err != nil {
		return err
	}
	return h.wait(ctx, id)
}

// below returns the live processes below the supervisor. They are its own: it was there after they were listed.
func (s *supervised) below() []process {
	all := descendants(s.pid)
	if s.gone() {
		return nil
	}
	live := all[:0]
	for _, p := range all {
		if p.alive() {
			live = append(live, p)
		}
	}
	return live
}

// poll waits until ok is content, for so long at most.
func poll(ctx context.Context, limit time.Duration, ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !ok() && time.Now().Before(end); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
