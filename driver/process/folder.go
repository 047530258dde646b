//go:build linux

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupe-dev/troupe/driver"
)

// A folder is one machine's folder.
type folder string

func (f folder) root() string      { return filepath.Join(string(f), "root") }
func (f folder) logs() string      { return filepath.Join(string(f), "log") }
func (f folder) snapshots() string { return filepath.Join(string(f), "snapshots") }
func (f folder) lock() string      { return filepath.Join(string(f), "lock") }

// reload marks that files changed and the on_change hook has not run yet.
func (f folder) reload() string { return filepath.Join(string(f), "reload") }

// executed marks that commands were run inside the machine, which may have left processes.
func (f folder) executed() string { return filepath.Join(string(f), "executed") }

// supervisorLog holds what a supervisor has to say that is not of its machine.
func (f folder) supervisorLog() string { return filepath.Join(string(f), "supervisor.log") }

// complaints opens supervisorLog to be added to.
func (f folder) complaints() (*os.File, error) {
	return os.OpenFile(f.supervisorLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

func (f folder) plan() (*plan, error)     { return read[plan](f, "plan.json") }
func (f folder) intent() (*intent, error) { return read[intent](f, "intent.json") }
func (f folder) run() (*run, error)       { return read[run](f, "run.json") }

// A phase is what is wanted of a machine.
type phase string

const (
	held       phase = "held"
	running    phase = "running"
	suspended  phase = "suspended"
	stopped    phase = "stopped"
	undeployed phase = "undeployed"
	removed    phase = "removed"
)

// An intent is what is wanted of a machine. Each run of its main program has a number, so that no run
// starts twice.
type intent struct {
	Phase      phase    `json:"phase"`
	Run        int      `json:"run"`
	Change     int      `json:"change"` // counts the changes, to see that a later one came between
	Generation uint64   `json:"generation"`
	Tokens     []string `json:"tokens,omitempty"` // of the last actions
	// Restart: the run is to be ended and followed by another (reboot, revert).
	Restart bool `json:"restart,omitempty"`
}

// A run is what became of one run of the main program.
type run struct {
	Number     int     `json:"number"`
	Boot       string  `json:"boot"`
	Supervisor process `json:"supervisor"`
	Main       process `json:"main"` // zero until it was started
	End        *end    `json:"end,omitempty"`
}

// A process is named by its id and its start time in clock ticks after boot: ids are used again.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// An end says how a run ended.
type end struct {
	Time   time.Time `json:"time"`
	Exit   int       `json:"exit"` // exit code, or minus the signal
	Reason string    `json:"reason"`
	Failed bool      `json:"failed,omitempty"` // it never ran, or nobody saw it end
}

func read[T any](f folder, name string) (*T, error) {
	path := filepath.Join(string(f), name)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// write replaces a record as a whole. It is not forced to the disk: what it describes does not outlive a
// crash of the host, and after one a record that is lost reads as a failed machine.
func (f folder) write(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := filepath.Join(string(f), name)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// holder returns the process that holds the folder's lock, 0 for none. The kernel keeps the lock, so
// unlike a recorded process id it is never that of a stranger.
func (f folder) holder() (int, error) {
	file, err := os.Open(f.lock())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &l); err != nil {
		return 0, fmt.Errorf("look at lock %s: %w", f.lock(), err)
	}
	if l.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(l.Pid), nil
}

// fileName turns any id into the name of one file: the same id, the same name; another id, another name.
func fileName(id string) string {
	var b strings.Builder
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// idOf is the reverse of fileName.
func idOf(name string) driver.MachineID {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		var c byte
		if name[i] == '%' && i+2 < len(name) {
			if _, err := fmt.Sscanf(name[i+1:i+3], "%02X", &c); err == nil {
				b.WriteByte(c)
				i += 2
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return driver.MachineID(b.String())
}

func checkName(what, id string) error {
	if id == "" || len(fileName(id)) > 200 {
		return fmt.Errorf("%s must have 1 to 200 characters: %w", what, driver.ErrInvalid)
	}
	return nil
}

// removeAll removes a folder whose owner may have taken away the right to do so.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if err == nil || os.Geteuid() == 0 {
		return err
	}
	filepath.WalkDir(path, func(p string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// clearFolder removes what is in a folder.
func clearFolder(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := removeAll(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
