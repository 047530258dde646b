package process

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/cloudinit"
	"github.com/troupe-dev/troupe/internal/nearest"
)

var accountOptions = []driver.Option{
	{Name: "user", Type: driver.String, Examples: []string{"www-data"},
		Help: "User that machines run as when the server is root; nobody by default. Machines run as root only when this says root."},
}

var machineOptions = []driver.Option{
	{Name: "command", Type: driver.String, Examples: []string{"exec ./db --listen $TROUPE_ADDRESS:5432"},
		Help: "The main program, run by /bin/sh -c in the machine's folder. Either this, args or user data is required."},
	{Name: "args", Type: driver.List, Examples: []string{"[./db, --verbose]"},
		Help: "The main program and its arguments, run without a shell."},
	{Name: "before_stop", Type: driver.String, Examples: []string{"./drain"},
		Help: "Command run before the stop signal, within the grace period."},
	{Name: "stop_signal", Type: driver.String, Default: "TERM", Choices: signalNames,
		Help: "Signal that asks the main program to end."},
	{Name: "grace", Type: driver.Duration, Default: "10s",
		Help: "How long before_stop and the main program have to end before all of the machine's processes are killed."},
	{Name: "on_change", Type: driver.String, Examples: []string{"HUP", "./reload"},
		Help: "What to do when a rendered file changed: a signal's name for the main program, or a command."},
	{Name: "dir", Type: driver.String, Advanced: true,
		Help: "Folder in which the main program starts, relative to the machine's folder."},
	{Name: "stdin", Type: driver.String, Advanced: true, Help: "Text that the main program reads as its standard input; none by default."},
	{Name: "umask", Type: driver.String, Default: "022", Advanced: true, Help: "File mode creation mask, in octal."},
	{Name: "nice", Type: driver.Int, Default: 0, Advanced: true, Help: "Scheduling priority, from -20 to 19. Below 0 needs root."},
	{Name: "limits", Type: driver.Map, Advanced: true, Examples: []string{"{nofile: 1024, memory: 512M, cpu: 1h}"},
		Help: "Limits of each process: nofile (open files), memory (private data), as (address space), stack (sizes), cpu (time)."},
	{Name: "log_size", Type: driver.Size, Default: "10M", Advanced: true, Help: "Size at which a log file is followed by the next."},
	{Name: "log_count", Type: driver.Int, Default: 5, Advanced: true, Help: "How many log files are kept."},
	{Name: "kill_descendants", Type: driver.Bool, Default: true, Advanced: true,
		Help: "Whether processes that the main program leaves behind are killed when it ends; otherwise the machine runs until the last has ended."},
}

// signalNumbers are the signals by name, the same on every Linux.
var signalNumbers = map[string]int{"HUP": 1, "INT": 2, "QUIT": 3, "USR1": 10, "USR2": 12, "TERM": 15, "WINCH": 28, "KILL": 9}

var signalNames = []string{"TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH", "KILL"}

// limitFlags are the limits by name and the flag of the shell's ulimit that sets them.
var limitFlags = map[string]string{"nofile": "-n", "memory": "-d", "as": "-v", "stack": "-s", "cpu": "-t"}

// A plan is what a machine is. It is written once and never changes.
type plan struct {
	ID           driver.MachineID `json:"id"`
	Installation string           `json:"installation"`
	Created      time.Time        `json:"created"`
	Address      string           `json:"address"`
	Data         string           `json:"data,omitempty"` // name of the data folder
	Args         []string         `json:"args"`           // main program
	BeforeStop   []string         `json:"before_stop,omitempty"`
	OnChange     string           `json:"on_change,omitempty"`
	StopSignal   int              `json:"stop_signal"`
	Grace        time.Duration    `json:"grace"`
	Dir          string           `json:"dir,omitempty"`
	Stdin        string           `json:"stdin,omitempty"`
	Nice         int              `json:"nice,omitempty"`
	LogSize      int64            `json:"log_size"`
	LogCount     int              `json:"log_count"`
	Linger       bool             `json:"linger,omitempty"` // kill_descendants is false
	Env          []string         `json:"env"`
	User         *account         `json:"user,omitempty"` // nil: the server's own
	Group        *group           `json:"group,omitempty"`
}

// A group is the control group that bounds all of a machine's processes together.
type group struct {
	Path   string  `json:"path"`
	Memory int64   `json:"memory,omitempty"` // bytes
	CPUs   float64 `json:"cpus,omitempty"`   // cores
}

// An account is the user that a machine's processes run as.
type account struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// newPlan reads the options of a request; address, user and folders are filled in by the caller.
//
// The memory that the request declares becomes a limit of each process, unless a control group holds it (grouped).
// root is the machine's folder as its processes see it. The files are those of its user data.
func newPlan(req *driver.Request, grouped bool, root string) (p *plan, files []driver.File, err error) {
	options, err := Kind().Check(req.Options)
	if err != nil {
		return nil, nil, err
	}
	data, err := cloudinit.Read(req.UserData)
	if err != nil {
		return nil, nil, err
	}
	p = &plan{
		ID:         req.ID,
		Data:       req.Data,
		Args:       driver.Get[[]string](options, "args"),
		OnChange:   driver.Get[string](options, "on_change"),
		StopSignal: signalNumbers[driver.Get[string](options, "stop_signal")],
		Grace:      driver.Get[time.Duration](options, "grace"),
		Dir:        driver.Get[string](options, "dir"),
		Stdin:      driver.Get[string](options, "stdin"),
		Nice:       driver.Get[int](options, "nice"),
		LogSize:    driver.Get[int64](options, "log_size"),
		LogCount:   driver.Get[int](options, "log_count"),
		Linger:     !driver.Get[bool](options, "kill_descendants"),
	}
	command := driver.Get[string](options, "command")
	switch {
	case command == "" && len(p.Args) == 0 && data.Empty():
		return nil, nil, refuse("command", "is required, or args, or user data; give the program that the machine runs")
	case command == "" && len(p.Args) == 0:
		p.Args = idle
	case command != "" && len(p.Args) > 0:
		return nil, nil, refuse("args", "cannot be given beside command")
	case command != "":
		p.Args = shell(command)
	}
	if s := driver.Get[string](options, "before_stop"); s != "" {
		p.BeforeStop = shell(s)
	}
	if p.Dir != "" && !filepath.IsLocal(p.Dir) {
		return nil, nil, refuse("dir", fmt.Sprintf("%q leaves the machine's folder", p.Dir))
	}
	if p.Nice < -20 || p.Nice > 19 {
		return nil, nil, refuse("nice", "must be from -20 to 19")
	}
	if p.LogSize < 4096 {
		return nil, nil, refuse("log_size", "must be 4K or more")
	}
	if p.LogCount < 1 || p.LogCount > 1000 {
		return nil, nil, refuse("log_count", "must be from 1 to 1000")
	}
	limits := driver.Get[map[string]string](options, "limits")
	if _, ok := limits["memory"]; !ok && req.Memory > 0 && !grouped {
		limits = maps.Clone(limits)
		if limits == nil {
			limits = map[string]string{}
		}
		limits["memory"] = strconv.FormatInt(req.Memory, 10)
	}
	prelude, err := prelude(driver.Get[string](options, "umask"), limits)
	if err != nil {
		return nil, nil, err
	}
	files = p.obey(data, root)
	if prelude != "" {
		p.Args = append([]string{"/bin/sh", "-c", prelude + `exec "$@"`, "sh"}, p.Args...)
	}
	return p, files, nil
}

// prelude returns the shell commands that set umask and limits, and then become the main program. They are set by
// the child because the supervisor must not limit itself, and before the program runs because what it
// starts at once must not escape.
func prelude(umask string, limits map[string]string) (string, error) {
	var b strings.Builder
	if m, err := strconv.ParseUint(umask, 8, 16); err != nil || m > 0o777 {
		return "", refuse("umask", fmt.Sprintf("must be an octal number from 000 to 777, not %q", umask))
	} else if m != 0o022 {
		fmt.Fprintf(&b, "umask %04o && ", m)
	}
	names := make([]string, 0, len(limits))
	for name := range limits {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		flag, ok := limitFlags[name]
		if !ok {
			known := []string{"nofile", "memory", "as", "stack", "cpu"}
			return "", refuse("limits", fmt.Sprintf("there is no limit %q%s; there are %s", name, nearest.Hint(name, known), strings.Join(known, ", ")))
		}
		n, err := limit(name, limits[name])
		if err != nil {
			return "", refuse("limits", fmt.Sprintf("%s: %s", name, err))
		}
		fmt.Fprintf(&b, "ulimit %s %d && ", flag, n)
	}
	return b.String(), nil
}

// limit returns a limit in the unit that ulimit takes: KiB, seconds or a number.
func limit(name, text string) (int64, error) {
	switch name {
	case "nofile":
		return strconv.ParseInt(text, 10, 32)
	case "cpu":
		d, err := driver.ParseDuration(text)
		return int64((d + time.Second - 1) / time.Second), err
	default:
		n, err := driver.ParseSize(text)
		return (n + 1023) / 1024, err
	}
}

func shell(command string) []string { return []string{"/bin/sh", "-c", command} }

func refuse(option, problem string) error {
	return &driver.OptionError{Option: option, Problem: problem}
}

// environment returns the environment of a machine's processes. Of the server's own it holds only PATH, LANG and
// TZ; the names that start with TROUPE_ are the driver's.
func environment(p *plan, req *driver.Request, root, data string) []string {
	env := map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": root}
	for _, name := range []string{"PATH", "LANG", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			env[name] = v
		}
	}
	for k, v := range req.Env {
		env[k] = v
	}
	for k, v := range map[string]string{
		tagMachine: string(p.ID), tagInstallation: p.Installation, "TROUPE_INSTANCE": req.Name, "TROUPE_PROJECT": req.Project,
		"TROUPE_SERVICE": req.Service, "TROUPE_ROLE": req.Role, "TROUPE_NUMBER": strconv.Itoa(req.Number),
		"TROUPE_ADDRESS": p.Address,
	} {
		env[k] = v
	}
	delete(env, "TROUPE_DATA")
	if data != "" {
		env["TROUPE_DATA"] = data
	}
	list := make([]string, 0, len(env))
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// The two variables by which a machine's processes are found when their supervisor was killed.
const (
	tagMachine      = "TROUPE_MACHINE"
	tagInstallation = "TROUPE_INSTALLATION"
)

// checkEnv refuses what cannot be in an environment.
func checkEnv(env map[string]string) error {
	for k, v := range env {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			return fmt.Errorf("environment: %q is no name of a variable: %w", k, driver.ErrInvalid)
		}
		if strings.Contains(v, "\x00") {
			return fmt.Errorf("environment: the value of %s holds a zero byte: %w", k, driver.ErrInvalid)
		}
	}
	return nil
}
