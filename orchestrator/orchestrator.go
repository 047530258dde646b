// Package orchestrator is for writing a service orchestrator of one's own, as Hurtle knows them: a program that owns one service
// of one tenant, makes what the service consists of, watches over it and takes it down again. A service manager drives it over OCCI,
// phase by phase; so can anybody with curl.
//
// One implements [Execution] and serves it:
//
//	type shop struct{ instance *orchestrator.Instance }
//
//	func (s *shop) Design(ctx context.Context) error { … }
//	…
//
//	func main() {
//		orchestrator.Main(func(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
//			return &shop{i}, nil
//		})
//	}
//
// [Main] listens where whatever started the program expects it: where the Cloud Controller did, on port 8080 of the
// instance's own address; started by hand, on port 8051 of this machine.
package orchestrator

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
)

// An Execution carries out the phases of one service. The methods are called one at a time, but for State, which is
// also called while another one runs. None should wait for what takes longer than a request: they start it, and State tells
// how it stands. An error becomes the answer to whoever asked for the phase: of status 400 if it is [ErrInvalid], the status
// of an [occi.Error], else 500.
type Execution interface {
	// Design finds out what the service needs of others. It runs once, when the orchestrator is initialised; if it fails, nothing
	// has been.
	Design(ctx context.Context) error
	// Deploy has everything made that the service consists of. It comes again only if it failed.
	Deploy(ctx context.Context, attributes Attributes) error
	// Provision configures what Deploy made.
	Provision(ctx context.Context, attributes Attributes) error
	// Update is told of attributes that a client changed: all, with the changed ones among them, and those alone.
	Update(ctx context.Context, all, changed Attributes) error
	// Dispose takes down all that there is. It may come at any time, and again if it failed.
	Dispose(ctx context.Context) error
	// State tells how what Deploy made stands.
	State(ctx context.Context) (State, error)
}

// A Notified Execution is told of alarms, once it is provisioned.
type Notified interface {
	// Notify is told that an alarm goes off; the attribute [AttrAlarm] names it. Other attributes may be there. It may be told of the
	// same alarm several times.
	Notify(ctx context.Context, attributes Attributes) error
}

// A Decider decides at run time: it watches, and calls the methods that it has in common with its Execution.
type Decider interface {
	// Decide runs from the end of provisioning, also after a restart of the program, until ctx ends, which is before Dispose. An error ends
	// it and is logged.
	Decide(ctx context.Context) error
}

// A Factory makes the Execution for a service. It must not make anything else: Design and Deploy do.
type Factory func(ctx context.Context, i *Instance) (Execution, error)

// ErrInvalid marks what is the client's mistake.
var ErrInvalid = errors.New("invalid")

// States of what a service consists of, in the words of Heat. There are others; all that failed end in _FAILED.
const (
	Uninitialized    = "uninitialized" // before Deploy
	CreateInProgress = "CREATE_IN_PROGRESS"
	CreateComplete   = "CREATE_COMPLETE"
	CreateFailed     = "CREATE_FAILED"
	UpdateInProgress = "UPDATE_IN_PROGRESS"
	UpdateComplete   = "UPDATE_COMPLETE"
	UpdateFailed     = "UPDATE_FAILED"
	Unknown          = "Unknown" // deployed, but nothing is there
)

// A State is how a service stands.
type State struct {
	Stack   string            // one of the states above; "" means Unknown
	ID      string            // of the stack, or of several; "" for none
	Outputs map[string]string // become attributes of the service
}

// Attributes are what a client said, by name.
type Attributes map[string]string

// AttrAlarm is the attribute that names the alarm of a notification.
const AttrAlarm = "notification.alarm_name"

// attrURL is the attribute by which whoever initialises an orchestrator tells it its own address.
const attrURL = "occi.mcn.app.url"

// defaultURL is where Hurtle's programs are when nobody tells them.
const defaultURL = "http://localhost:8080" + defaultPath

// An Instance is the service that an Execution is for. Its methods may be called from several goroutines at once.
type Instance struct {
	mu     sync.RWMutex
	record record
	save   func(record) error
	log    *slog.Logger
	clouds map[string]*Cloud // by region
}

// Token returns the token to act with for the tenant: that of the last request of whoever manages the service.
func (i *Instance) Token() string {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.record.Token
}

// Tenant returns the name of the project that the service belongs to.
func (i *Instance) Tenant() string {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.record.Tenant
}

// Attributes returns what clients have said of the service so far.
func (i *Instance) Attributes() Attributes {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return maps.Clone(i.record.Attributes)
}

// URL returns where notifications are to be sent: the orchestrator's own address.
func (i *Instance) URL() string {
	if url := i.Attributes()[attrURL]; url != "" {
		return url
	}
	return defaultURL
}

// Log is where the program that serves the instance logs.
func (i *Instance) Log() *slog.Logger { return i.log }

// Value returns what Keep kept under a name; "" if there is nothing.
func (i *Instance) Value(name string) string {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.record.Values[name]
}

// Keep keeps a value under a name for as long as there is the service, also through restarts of the program where it has a
// place to keep things (see [Options].State). An empty value forgets it. When it returns, the value is kept.
func (i *Instance) Keep(name, value string) error {
	if i.Value(name) == value {
		return nil
	}
	return i.change(func(r *record) {
		r.Values = maps.Clone(r.Values)
		if value == "" {
			delete(r.Values, name)
			return
		}
		if r.Values == nil {
			r.Values = make(map[string]string)
		}
		r.Values[name] = value
	})
}

// change changes the record, or leaves it as it is and returns why it cannot be saved.
func (i *Instance) change(f func(*record)) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := i.record
	f(&r)
	if err := i.save(r); err != nil {
		return err
	}
	i.record = r
	return nil
}

// snapshot returns the record. Its maps are never changed in place.
func (i *Instance) snapshot() record {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.record
}
