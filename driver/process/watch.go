//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// A watch waits for all supervisors at once: one goroutine for any number of machines.
type watch struct {
	poll *os.File // an epoll instance; the runtime waits for it as for any file

	mu      sync.Mutex
	wake    int // an eventfd in poll: something was noted below
	closed  bool
	pending map[driver.MachineID]struct{}
}

func newWatch() (*watch, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	w := &watch{poll: os.NewFile(uintptr(fd), "epoll"), pending: map[driver.MachineID]struct{}{}}
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		w.poll.Close()
		return nil, err
	}
	return w, w.include(w.wake)
}

// include adds a descriptor to those that are waited for.
func (w *watch) include(fd int) error {
	conn, err := w.poll.SyscallConn()
	if err != nil {
		return err
	}
	fault := conn.Control(func(poll uintptr) {
		err = unix.EpollCtl(int(poll), unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)})
	})
	return errors.Join(fault, err)
}

// add has the watch wait for a supervisor's end. What cannot be waited for is found by the next list.
func (w *watch) add(s *supervised) { w.include(s.pidfd) }

// note has the watch report the machine.
func (w *watch) note(id driver.MachineID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending[id] = struct{}{}
	if !w.closed {
		unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// take returns the machines to report.
func (w *watch) take() map[driver.MachineID]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.pending
	w.pending = map[driver.MachineID]struct{}{}
	return taken
}

func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.poll.Close()
	unix.Close(w.wake)
}

// next blocks until something happened, and returns the descriptors of supervisors that have ended.
func (w *watch) next() ([]int, error) {
	conn, err := w.poll.SyscallConn()
	if err != nil {
		return nil, err
	}
	events := make([]unix.EpollEvent, 128)
	n := 0
	fault := conn.Read(func(poll uintptr) bool {
		n, err = unix.EpollWait(int(poll), events, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
	if err := errors.Join(fault, err); err != nil {
		return nil, err
	}
	var ended []int
	for _, e := range events[:n] {
		if int(e.Fd) != w.wake {
			ended = append(ended, int(e.Fd))
			continue
		}
		unix.Read(w.wake, make([]byte, 8))
		if err := w.rearm(); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

// rearm has the watch wait for its next wake.
func (w *watch) rearm() error {
	conn, err := w.poll.SyscallConn()
	if err != nil {
		return err
	}
	fault := conn.Control(func(poll uintptr) {
		err = unix.EpollCtl(int(poll), unix.EPOLL_CTL_MOD, w.wake, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(w.wake)})
	})
	return errors.Join(fault, err)
}

// Watch reports each machine that changed, as it then is: changes in quick succession may come as one.
func (h *host) Watch(ctx context.Context, emit func(driver.Machine)) error {
	w, err := newWatch()
	if err != nil {
		return fmt.Errorf("process: watch: %w", err)
	}
	h.mu.Lock()
	h.watches[w] = struct{}{}
	for _, s := range h.live {
		w.add(s)
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.watches, w)
		h.mu.Unlock()
		w.close()
	}()
	defer context.AfterFunc(ctx, func() { w.poll.SetReadDeadline(past) })()
	for {
		ended, err := w.next()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("process: watch: %w", err)
		}
		for _, id := range h.owners(ended) {
			h.collect(id) // which notes it
		}
		for id := range w.take() {
			m, ok := h.look(id)
			if !ok {
				m.State = driver.Gone
			}
			emit(m)
		}
	}
}

// owners returns the machines whose supervisors the descriptors mean.
func (h *host) owners(fds []int) []driver.MachineID {
	if len(fds) == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []driver.MachineID
	for _, fd := range fds {
		if s := h.byFD[fd]; s != nil {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// notify has every watch report the machine.
func (h *host) notify(id driver.MachineID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watches {
		w.note(id)
	}
}
