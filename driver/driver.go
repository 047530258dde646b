// Package driver says what a back end must do so that Troupe can run machines on it.
//
// A driver is small: it creates, destroys and lists machines. Pacing, limits, retries, deadlines,
// circuit breaking, tracing and fault injection are wrappers in this package and never part of a
// driver. What only some back ends can do is an optional interface, found with [As].
package driver

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"
)

// A Driver makes, finds and removes machines on one back end.
// All methods are safe for concurrent use and honour ctx.
type Driver interface {
	// Create makes the machine for req, or returns the one that an earlier call with the same
	// req.ID made. It returns once the back end accepts; the machine may still be booting.
	// req.ID is never used again for another machine. A nil error or an error of the classes
	// ErrInvalid, ErrDenied, ErrCapacity is definite; after any other error the machine may exist.
	Create(ctx context.Context, req Request) (Machine, error)
	// Destroy removes the machine and what Create made beside it, save its data. It returns once
	// the machine is gone. Removing one that is gone is no error. It may be called at the same
	// time as a Create of the same id and then must win.
	Destroy(ctx context.Context, ref Ref, mode Shutdown) error
	// List yields every machine of this installation, with its state and addresses, then ends.
	// An error ends the sequence and makes it incomplete: nothing may be concluded from absence.
	List(ctx context.Context) iter.Seq2[Machine, error]
}

// Optional interfaces. Find them with As, never with a type assertion: drivers are wrapped.
type (
	// A Watcher pushes changes, so that nobody polls. Watch blocks until ctx ends or the
	// stream breaks, and calls emit for each machine whose state or addresses changed (State
	// Gone when it disappeared). emit must not be called concurrently. After a break the caller
	// lists and watches again.
	Watcher interface {
		Watch(ctx context.Context, emit func(Machine)) error
	}
	// An Actor acts on machines. Actions are the names in Kind.Actions. args is what the user
	// gave (a snapshot's name, say). A repeated call with the same token is no second action.
	Actor interface {
		Act(ctx context.Context, ref Ref, action Action, args, token string) error
	}
	// A Logger returns what a machine printed. With follow the reader blocks for more until ctx ends.
	Logger interface {
		Logs(ctx context.Context, ref Ref, opts LogOptions) (LogReader, error)
	}
	// A Prober runs a command inside a machine: health checks and exec.
	Prober interface {
		Exec(ctx context.Context, ref Ref, cmd Command) (exit int, err error)
	}
	// A Refresher replaces the rendered files of a running machine and, when a file changed,
	// runs the machine's own reload hook, if its options name one.
	Refresher interface {
		Refresh(ctx context.Context, ref Ref, files []File) error
	}
	// A DataKeeper removes the data that stable identities leave behind.
	DataKeeper interface {
		RemoveData(ctx context.Context, data string) error
	}
	// An Addresser tells the address that a machine will have before it is made, so that what is rendered
	// into the machine may show it. Address prefers req.Address; Create with the same ID and the told
	// Address then gives it or fails. Asked again it says the same until Create has failed or Destroy was
	// called. Its errors are classed like those of Create.
	Addresser interface {
		Address(ctx context.Context, req Request) (string, error)
	}
	// A Measurer tells each machine's load, seen from outside.
	Measurer interface {
		Measure(ctx context.Context) iter.Seq2[Figures, error]
	}
	// A Stamper marks a machine as belonging to a newer generation of this installation.
	Stamper interface {
		Stamp(ctx context.Context, ref Ref, generation uint64) error
	}
)

// MachineID names one machine for ever: service, instance serial and incarnation, "7-3-1".
type MachineID string

// A Ref names a machine: by Troupe's id and, where known, by the back end's own.
type Ref struct {
	ID     MachineID
	Native string // the back end's own id, "" when not known
}

// A Request is everything a driver needs to make one machine. Templates are already rendered.
type Request struct {
	ID      MachineID
	Name    string // host name, unique among the live instances of its service
	Project string
	Service string // the service's id
	Role    string
	Number  int               // the instance's number in its role, from 0
	Options map[string]any    // by Option.Name, checked with Kind.Check
	Env     map[string]string // environment of the machine's main program
	Files   []File            // written before the main program starts
	// UserData is cloud-init's text; nil for none. Drivers that boot no machine carry out a part of it (driver/cloudinit).
	UserData []byte
	CPUs     float64 // cores, 0 for the back end's default
	Memory   int64   // bytes, 0 for the back end's default
	// Data names storage that outlives the machine and is handed to its successor (stable
	// identity); "" for a machine whose data ends with it.
	Data string
	// Address asks for the address that an earlier incarnation had; "" for any.
	Address string
	Hold    bool // make it, but do not start it before the release action
	// Generation is the installation's generation, stamped on the machine.
	Generation uint64
}

// A File is written into the machine. Paths are relative to the machine's root or working folder.
type File struct {
	Path    string
	Mode    uint32 // permission bits; 0 means 0644
	Content []byte
}

// A Machine is what a back end tells of one machine.
type Machine struct {
	ID         MachineID
	Native     string // the back end's own id
	State      State
	Addresses  []string // most useful first; IP addresses as text
	ExitCode   int      // of the main program, when State is Exited; -signal when killed by one
	Reason     string   // why it is in that state, in the back end's words
	Created    time.Time
	Generation uint64
}

// State is the state of a machine as its back end sees it.
type State uint8

// The states of a machine.
const (
	Unknown    State = iota // the back end cannot tell
	Pending                 // accepted, not running yet
	Held                    // made and waiting for release
	Running                 // its main program or operating system runs
	Exited                  // its main program ended by itself; ExitCode tells how
	Stopped                 // powered off; it can be resumed
	Suspended               // frozen in memory; it can be resumed
	Undeployed              // stopped and off its host; it can be resumed
	Failed                  // the back end could not run it
	Gone                    // it is no more
)

// String returns the state in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

var stateNames = [...]string{"unknown", "pending", "held", "running", "exited", "stopped", "suspended", "undeployed", "failed", "gone"}

// Shutdown says how a machine is removed.
type Shutdown uint8

// The ways to remove a machine.
const (
	Graceful Shutdown = iota // before_stop hook, stop signal, grace period, then kill
	Hard                     // at once
)

// Action is something done to a machine other than making and removing it.
type Action string

// The actions (spec: OneFlow section 13).
const (
	Hold               Action = "hold"
	Release            Action = "release"
	Stop               Action = "stop"
	Suspend            Action = "suspend"
	Resume             Action = "resume"
	Reboot             Action = "reboot"
	RebootHard         Action = "reboot-hard"
	Poweroff           Action = "poweroff"
	PoweroffHard       Action = "poweroff-hard"
	Undeploy           Action = "undeploy"
	UndeployHard       Action = "undeploy-hard"
	SnapshotCreate     Action = "snapshot-create"
	SnapshotRevert     Action = "snapshot-revert"
	SnapshotDelete     Action = "snapshot-delete"
	DiskSnapshotCreate Action = "disk-snapshot-create"
	DiskSnapshotRevert Action = "disk-snapshot-revert"
	DiskSnapshotDelete Action = "disk-snapshot-delete"
)

// Guarantee says what a repeated Create with the same id does on a back end.
type Guarantee uint8

// The guarantees.
const (
	None       Guarantee = iota // may make a second machine
	UniqueName                  // the back end refuses a second machine of that name
	Token                       // the back end returns the first machine
)

// A Kind describes a driver before any account of it is opened: what it needs, takes and promises.
type Kind struct {
	Name string
	Help string
	// Account are the options of one back-end account (end point, credentials, folders).
	Account []Option
	// Options are the options of a machine on it.
	Options   []Option
	Guarantee Guarantee
	// VisibleAfter is how long after Create's answer List may still lack the machine.
	VisibleAfter time.Duration
	Limits       Limits
	// HostAccess: machines run with the server's own reach (commands on its host), so using
	// the driver needs a permission of its own. Where only some options give that reach, they are
	// marked instead (Option.HostAccess). ReachesHost tells of both.
	HostAccess bool
	// Addresses is the range, such as 127.0.0.0/8, in which a Request may wish for any Address, which is granted while
	// it is free; "" where the machine's network decides.
	Addresses string
	// Actions that Act accepts; empty without an Actor.
	Actions []Action
	// Resources that MakeResource makes; empty without a Resourcer.
	Resources []ResourceKind
	// Endpoint returns the end point that an account with these values reaches; nil where that is the account's option
	// endpoint.
	Endpoint func(values map[string]any) string
	// Verify says, without touching anything, what New would refuse of the configuration beyond the types
	// of its values; nil where that is nothing. Installation and Generation are not known yet.
	Verify func(cfg Config) error
	New    func(ctx context.Context, cfg Config) (Driver, error)
}

// Supports reports whether machines of this kind take the action.
func (k *Kind) Supports(a Action) bool {
	for _, x := range k.Actions {
		if x == a {
			return true
		}
	}
	return false
}

// EndpointOf returns the end point that an account with these values reaches; "" for a kind that has none.
func (k *Kind) EndpointOf(values map[string]any) string {
	if k.Endpoint != nil {
		return k.Endpoint(values)
	}
	return Get[string](values, "endpoint")
}

// Limits bound what the engine asks of one account at a time. Zero values mean the defaults
// of the wrappers.
type Limits struct {
	Concurrency int           // calls at a time
	Rate        float64       // calls a second
	Burst       int           // calls at once on top of Rate
	Deadline    time.Duration // of one call
}

// A Config opens one account of a driver.
type Config struct {
	Values       map[string]any // by Option.Name of Kind.Account
	Installation string         // tag of everything this installation makes
	Generation   uint64
	Dir          string   // a folder of the driver's own on this host
	Supervisor   []string // command that runs a supervisor: this program's hidden sub-command
	Log          *slog.Logger
}

// Figures are one machine's load.
type Figures struct {
	ID          MachineID
	CPUSeconds  float64 // used since start
	MemoryBytes int64
	NetRxBytes  int64
	NetTxBytes  int64
	DiskBytes   int64
}

// A Command is run inside a machine.
type Command struct {
	Args   []string
	Env    map[string]string
	Stdin  Reader // nil for none
	Stdout Writer // nil discards
	Stderr Writer // nil discards
}

// LogOptions choose which part of a machine's output is read.
type LogOptions struct {
	Follow bool
	Tail   int  // lines from the end; 0 for all that is kept
	Stderr bool // only the error output; otherwise both, in the order written
}

// Classes of error. The engine decides by class; the back end's own words are shown to the user.
// Wrap them: fmt.Errorf("docker: create: %w: %s", driver.ErrCapacity, words).
var (
	ErrCapacity    = errors.New("no capacity")     // definite: try elsewhere or later
	ErrUnavailable = errors.New("unavailable")     // the back end is down or did not answer
	ErrThrottled   = errors.New("throttled")       // asked too often; RetryAfter may tell
	ErrInvalid     = errors.New("invalid request") // definite: repeating it is of no use
	ErrDenied      = errors.New("denied")          // definite: credentials or rights
	ErrNotFound    = errors.New("not found")       // the machine is not there
	ErrUnsupported = errors.New("not supported")   // this driver lacks the action
)

// Definite reports whether a Create that ended with err made no machine for certain.
func Definite(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrDenied) || errors.Is(err, ErrCapacity) || errors.Is(err, ErrUnasked)
}

// As finds T in d or in the drivers that d wraps: wrappers implement Unwrap() Driver.
func As[T any](d Driver) (T, bool) {
	for d != nil {
		if t, ok := d.(T); ok {
			return t, true
		}
		u, ok := d.(interface{ Unwrap() Driver })
		if !ok {
			break
		}
		d = u.Unwrap()
	}
	var zero T
	return zero, false
}
