//go:build linux

package process

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The files that a supervisor inherits beside the standard ones.
const (
	readyFD   = 3 // a pipe that it closes once the main program runs, or never will
	addressFD = 4 // a socket whose name claims the machine's address on this host
)

// Supervise is the main function of a supervisor: one run of one machine's main program. Its argument is the
// machine's folder. It returns the exit code of the supervisor itself.
//
// SIGTERM asks for the graceful end of the machine, SIGUSR1 for its end at once.
func Supervise(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "troupe supervise: wants the folder of one machine; it is started by the server only")
		return 2
	}
	runtime.LockOSThread() // the main program is killed when the thread that started it ends
	debug.SetGCPercent(20)
	unix.CloseOnExec(readyFD)
	unix.CloseOnExec(addressFD)
	s := &supervisor{
		folder: folder(args[0]),
		ready:  os.NewFile(readyFD, "ready"),
		child:  make(chan os.Signal, 1),
		term:   make(chan os.Signal, 1),
		kill:   make(chan os.Signal, 1),
	}
	signal.Notify(s.child, unix.SIGCHLD)
	signal.Notify(s.term, unix.SIGTERM)
	signal.Notify(s.kill, unix.SIGUSR1)
	// Caught and left, not ignored: what is ignored stays so in the programs that it starts.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGPIPE)
	closeInherited()
	if err := s.supervise(); err != nil {
		fmt.Fprintln(os.Stderr, "troupe supervise:", err)
		return 1
	}
	return 0
}

// closeInherited closes what came from the server beside the files that are meant. What the runtime has opened is
// marked to be closed on exec, so it cannot have been inherited.
func closeInherited() {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= addressFD {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

// A supervisor watches over one run. Everything but the copying of logs happens in one goroutine.
type supervisor struct {
	folder folder
	plan   *plan
	run    run
	ready  *os.File
	log    *recorder
	lock   *os.File // held for the supervisor's whole life

	child, term, kill chan os.Signal

	hook    int             // process id of before_stop while it runs
	status  unix.WaitStatus // of the main program, once ended
	ended   bool            // the main program has ended
	empty   bool            // no child is left
	asked   bool            // the end was asked for
	killing bool            // what is left is being killed
	timer   *time.Timer     // the grace period
}

func (s *supervisor) supervise() error {
	defer s.ready.Close()
	if owned, err := s.begin(); err != nil || !owned {
		return err
	}
	s.timer = time.NewTimer(math.MaxInt64)
	if err := s.start(); err != nil {
		s.run.End = &end{Time: time.Now(), Exit: 127, Reason: "could not be started: " + err.Error(), Failed: true}
		return s.folder.write("run.json", &s.run)
	}
	s.ready.Close()
	trim()
	s.watch()
	s.log.finish()
	if s.plan.Group != nil {
		s.plan.Group.remove()
	}
	return s.folder.write("run.json", s.finished())
}

// begin takes the folder's lock and records that the run begins. It reports false when there is nothing to run:
// another supervisor has the folder, the run has been, or the machine is not wanted any more.
func (s *supervisor) begin() (bool, error) {
	lock, err := os.OpenFile(s.folder.lock(), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// The lock ends with the process, or when the file is closed: it stays open as long as the supervisor lives.
	s.lock = lock
	err = unix.FcntlFlock(lock.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", s.folder.lock(), err)
	}
	intent, err := s.folder.intent()
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // removed meanwhile
	}
	if err != nil {
		return false, err
	}
	before, err := s.folder.run()
	if err == nil && before.Number >= intent.Run || intent.Phase != running {
		return false, nil
	}
	if s.plan, err = s.folder.plan(); err != nil {
		return false, err
	}
	self, _ := readStat(os.Getpid())
	s.run = run{Number: intent.Run, Boot: bootID(), Supervisor: self.process}
	return true, s.folder.write("run.json", &s.run)
}

// start starts the main program and records it.
func (s *supervisor) start() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the collector of descendants: %w", err)
	}
	log, err := openLog(s.folder.logs(), s.plan.LogSize, s.plan.LogCount)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	if s.log, err = newRecorder(log); err != nil {
		return err
	}
	if s.plan.Group != nil {
		if err := s.plan.Group.create(); err != nil {
			return err
		}
	}
	stdin, err := s.stdin()
	if err != nil {
		return err
	}
	defer stdin.Close()
	pid, err := s.spawn(s.plan.Args, stdin)
	if err != nil {
		return err
	}
	if s.plan.Nice != 0 {
		if err := unix.Setpriority(unix.PRIO_PROCESS, pid, s.plan.Nice); err != nil {
			fmt.Fprintln(os.Stderr, "nice:", err)
		}
	}
	main, _ := readStat(pid)
	s.run.Main = process{PID: pid, Start: main.Start}
	return s.folder.write("run.json", &s.run)
}

// spawn starts a program in the machine: in a session of its own, as the machine's user.
func (s *supervisor) spawn(args []string, stdin *os.File) (int, error) {
	dir := filepath.Join(s.folder.root(), s.plan.Dir)
	path, err := lookPath(args[0], dir, s.plan.Env)
	if err != nil {
		return 0, err
	}
	attr := &syscall.ProcAttr{
		Dir:   dir,
		Env:   s.plan.Env,
		Files: []uintptr{stdin.Fd(), s.log.writers[0].Fd(), s.log.writers[1].Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Credential: s.plan.User.credential()},
	}
	if s.plan.Group != nil {
		fd, err := s.plan.Group.open()
		if err != nil {
			return 0, err
		}
		defer unix.Close(fd)
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, fd
	}
	pid, err := syscall.ForkExec(path, args, attr)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return pid, nil
}

func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.UID, Gid: a.GID}
}

// stdin returns what the main program reads. Text goes through an unnamed file, which has room for all of it.
func (s *supervisor) stdin() (*os.File, error) {
	if s.plan.Stdin == "" {
		return os.Open(os.DevNull)
	}
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "stdin")
	if _, err := f.WriteString(s.plan.Stdin); err != nil {
		return nil, err
	}
	_, err = f.Seek(0, 0)
	return f, err
}

// lookPath finds a program as a shell would, in the machine's own PATH and folder.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if filepath.IsAbs(name) {
			return name, nil
		}
		return filepath.Join(dir, name), nil
	}
	for _, v := range env {
		list, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, d := range filepath.SplitList(list) {
			path := filepath.Join(d, name)
			if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("there is no program %q in the machine's PATH", name)
}

// watch returns once no process of the machine is left.
func (s *supervisor) watch() {
	for s.reap(); !s.over(); s.reap() {
		var again <-chan time.Time
		if s.killing {
			freeze(os.Getpid())
			signalAll(os.Getpid(), unix.SIGKILL)
			again = time.After(5 * time.Millisecond) // for what was started meanwhile
		}
		select {
		case <-s.child:
		case <-again:
		case <-s.term:
			s.stop()
		case <-s.kill:
			s.asked, s.killing = true, true
		case <-s.timer.C:
			s.killing = true
		}
	}
}

// over reports whether nothing is left, and has what is left killed when the main program is gone.
func (s *supervisor) over() bool {
	if s.ended && !s.plan.Linger {
		s.killing = true
	}
	return s.empty
}

// reap collects every child that has ended.
func (s *supervisor) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil: // no child is left
			s.empty = true
			return
		case pid == 0:
			return
		case pid == s.run.Main.PID && !s.ended:
			s.ended, s.status = true, status
		case pid == s.hook && s.hook != 0:
			s.hook = 0
			s.signal()
		}
	}
}

// stop begins the graceful end: before_stop, the stop signal, and after the grace period the kill.
func (s *supervisor) stop() {
	if s.asked {
		return
	}
	s.asked = true
	s.timer.Reset(s.plan.Grace)
	signalAll(os.Getpid(), unix.SIGCONT) // before_stop may need the main program's answer
	if len(s.plan.BeforeStop) > 0 && !s.ended {
		null, err := os.Open(os.DevNull)
		if err == nil {
			defer null.Close()
			if s.hook, err = s.spawn(s.plan.BeforeStop, null); err == nil {
				return
			}
		}
		s.log.log.write(errorOutput, fmt.Appendf(nil, "before_stop: %v\n", err))
	}
	s.signal()
}

// signal sends the stop signal to the main program, and where descendants may outlive it, to those too.
func (s *supervisor) signal() {
	sig := unix.Signal(s.plan.StopSignal)
	if s.plan.Linger {
		signalAll(os.Getpid(), sig)
	} else if !s.ended {
		unix.Kill(s.run.Main.PID, sig)
	}
	signalAll(os.Getpid(), unix.SIGCONT) // what is stopped cannot end
}

func (s *supervisor) finished() *run {
	e := &end{Time: time.Now(), Exit: s.status.ExitStatus(), Reason: fmt.Sprintf("exited with status %d", s.status.ExitStatus())}
	if s.status.Signaled() {
		e.Exit = -int(s.status.Signal())
		e.Reason = fmt.Sprintf("killed by signal %d (%s)", -e.Exit, unix.SignalName(s.status.Signal()))
	}
	if s.asked {
		e.Reason += " when it was stopped"
	}
	s.run.End = e
	return &s.run
}
