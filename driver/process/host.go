//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A host is the driver: the machines under one folder of this host. It runs no goroutine of its own:
// whoever looks at a machine collects what has ended, and Watch waits for all of them at once.
type host struct {
	dir          string
	installation string
	generation   uint64
	supervisor   []string
	user         *account // nil: the server's own
	groups       string   // control group of this installation's machines, "" for none
	log          *slog.Logger
	at           func(point string) // named fail points; does nothing outside of tests

	ids  keyed // one short change at a time for each machine
	acts keyed // one action at a time for each machine

	mu        sync.Mutex
	live      map[driver.MachineID]*supervised
	byFD      map[int]*supervised // the same by descriptor
	addresses map[string]driver.MachineID
	told      map[driver.MachineID]string // addresses of machines that are still to be made
	watches   map[*watch]struct{}
	commands  map[driver.MachineID]*execs
}

// verify refuses a user whom machines cannot run as, before any folder is made.
func verify(cfg driver.Config) error {
	_, err := machineUser(driver.Get[string](cfg.Values, "user"), cfg.Dir)
	if err != nil {
		return fmt.Errorf("process: %w", err)
	}
	return nil
}

func open(_ context.Context, cfg driver.Config) (driver.Driver, error) {
	values, err := Kind().CheckAccount(cfg.Values)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	if cfg.Dir == "" || len(cfg.Supervisor) == 0 {
		return nil, fmt.Errorf("process: needs a folder and the command of its supervisors: %w", driver.ErrInvalid)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	h := &host{
		dir: dir, installation: cfg.Installation, generation: cfg.Generation, supervisor: cfg.Supervisor, log: cfg.Log,
		at:        func(string) {},
		live:      map[driver.MachineID]*supervised{},
		byFD:      map[int]*supervised{},
		addresses: map[string]driver.MachineID{}, told: map[driver.MachineID]string{},
		watches:  map[*watch]struct{}{},
		commands: map[driver.MachineID]*execs{},
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	// Others may pass through these folders, to what is theirs below, but not look around.
	for _, d := range []string{dir, h.machines(), h.graves(), h.datas()} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			return nil, fmt.Errorf("process: %w", err)
		}
	}
	if h.user, err = machineUser(driver.Get[string](values, "user"), dir); err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	h.groups = groups(groupRoot, h.installation)
	if err := h.recover(); err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	return h, nil
}

func (h *host) machines() string { return filepath.Join(h.dir, "machines") }
func (h *host) datas() string    { return filepath.Join(h.dir, "data") }

// graves holds an empty folder for each machine destroyed of late: a creation that comes too late finds it.
func (h *host) graves() string { return filepath.Join(h.dir, "destroyed") }

func (h *host) folder(id driver.MachineID) folder {
	return folder(filepath.Join(h.machines(), fileName(string(id))))
}

func (h *host) grave(id driver.MachineID) string {
	return filepath.Join(h.graves(), fileName(string(id)))
}

// unfinished starts the names of folders that are being filled.
func (h *host) unfinished() string { return ".new-" + fileName(h.installation) + "-" }

func (h *host) data(name string) string { return filepath.Join(h.datas(), fileName(name)) }

// machineUser returns the user that machines run as, nil for the server's own.
func machineUser(name, dir string) (*account, error) {
	if os.Geteuid() != 0 {
		if me, err := user.Current(); name != "" && (err != nil || me.Username != name) {
			return nil, fmt.Errorf("account option user: only a server that runs as root can run machines as %q: %w", name, driver.ErrInvalid)
		}
		return nil, nil
	}
	if name == "root" {
		return nil, nil
	}
	if name == "" {
		name = "nobody"
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("account option user: %w: %w", err, driver.ErrInvalid)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	for d := dir; ; d = filepath.Dir(d) {
		fi, err := os.Stat(d)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // what is missing yet is made open to all
			return nil, err
		}
		if err == nil && fi.Mode()&0o001 == 0 {
			return nil, fmt.Errorf("machines run as user %s, who may not pass through the folder %s: chmod o+x it, or name another user in the account option user: %w", name, d, driver.ErrInvalid)
		}
		if d == filepath.Dir(d) {
			return &account{UID: uint32(uid), GID: uint32(gid)}, nil
		}
	}
}

// recover takes up what an earlier server left: it clears away half-made folders, adopts the supervisors that run,
// and ends those that were asked to end.
func (h *host) recover() error {
	entries, err := os.ReadDir(h.machines())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name()[0] == '.' {
			if !strings.HasPrefix(e.Name(), h.unfinished()) {
				continue
			}
			if err := removeAll(filepath.Join(h.machines(), e.Name())); err != nil {
				return fmt.Errorf("clear away a half-made machine: %w", err)
			}
			continue
		}
		id := idOf(e.Name())
		p, err := h.folder(id).plan()
		if err == nil {
			h.addresses[p.Address] = id
		}
		if !h.owns(p, err) {
			continue
		}
		if !h.adopt(id) {
			h.settle(id)
		} else {
			if in, err := h.folder(id).intent(); err == nil && (in.Phase != running && in.Phase != suspended || in.Restart) {
				h.live[id].signal(termination)
			}
		}
	}
	h.bury()
	return nil
}

// owns reports whether a machine belongs to this installation, by its plan. One that cannot be read does: it is in
// this folder.
func (h *host) owns(p *plan, err error) bool { return err != nil || p.Installation == h.installation }

// bury clears the graves: at once of what was not removed wholly, in time of their names.
func (h *host) bury() {
	entries, _ := os.ReadDir(h.graves())
	for _, e := range entries {
		path := filepath.Join(h.graves(), e.Name())
		fi, err := e.Info()
		if err == nil && time.Since(fi.ModTime()) > time.Hour {
			err = removeAll(path)
		} else if err == nil {
			err = clearFolder(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			h.log.Warn("clear away a destroyed machine", "folder", path, "err", err)
		}
	}
}

// look tells what is known of one machine. It returns false when there is none.
func (h *host) look(id driver.MachineID) (driver.Machine, bool) {
	m := driver.Machine{ID: id, Native: fileName(string(id))}
	f := h.folder(id)
	p, err := f.plan()
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(string(f)); err != nil {
			return m, false
		}
	}
	if err != nil {
		m.State, m.Reason = driver.Failed, "its record cannot be read: "+err.Error()
		return m, true
	}
	if !h.owns(p, nil) {
		return m, false
	}
	m.Addresses, m.Created = []string{p.Address}, p.Created
	holder, err := f.holder()
	if err != nil {
		m.State, m.Reason = driver.Unknown, err.Error()
		return m, true
	}
	in, err := f.intent()
	if err != nil {
		_, there := os.Stat(string(f))
		m.State, m.Reason = driver.Failed, "its record cannot be read: "+err.Error()
		return m, there == nil
	}
	m.Generation = in.Generation
	r, err := f.run()
	if err != nil {
		r = &run{}
	}
	m.State, m.Reason = state(in, r, holder != 0)
	switch m.State {
	case driver.Exited:
		m.ExitCode = r.End.Exit
	case driver.Running:
		if r.Main.dead() && h.stalled(id) {
			m.State, m.Reason = driver.Failed, "its main program has ended, and its supervisor does not answer"
		}
	}
	return m, true
}

// state says what a machine's records and the lock on its folder come to.
func state(in *intent, r *run, alive bool) (driver.State, string) {
	if r.Number == in.Run && r.End != nil {
		alive = false // its supervisor has no more to do than to end
	}
	switch {
	case in.Phase == removed:
		return driver.Stopped, "is being removed"
	case in.Phase == held:
		return driver.Held, "waits for release"
	case alive && in.Phase == suspended:
		return driver.Suspended, "is suspended"
	case alive && r.Number == in.Run && r.Main.PID != 0:
		if in.Phase == running && !in.Restart {
			return driver.Running, ""
		}
		return driver.Running, "is stopping"
	case alive, in.Restart:
		return driver.Pending, "is starting"
	case in.Phase == stopped:
		return driver.Stopped, "was stopped"
	case in.Phase == undeployed:
		return driver.Undeployed, "was undeployed"
	case r.Number < in.Run:
		return driver.Pending, "was not started yet"
	case r.End == nil && r.Boot != bootID():
		return driver.Failed, "its host was restarted"
	case r.End == nil:
		return driver.Failed, "its supervisor was killed"
	case r.End.Failed:
		return driver.Failed, r.End.Reason
	}
	return driver.Exited, r.End.Reason
}

// keyed is a set of locks by machine.
type keyed struct {
	mu    sync.Mutex
	locks map[driver.MachineID]*keyedLock
}

type keyedLock struct {
	sync.Mutex
	users int
}

// lock locks id and returns its unlock.
func (k *keyed) lock(id driver.MachineID) func() {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[driver.MachineID]*keyedLock{}
	}
	l := k.locks[id]
	if l == nil {
		l = &keyedLock{}
		k.locks[id] = l
	}
	l.users++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.locks, id)
		}
	}
}
