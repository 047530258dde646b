// Package control is the one door to everything that Troupe keeps: it authorises, validates, audits,
// and passes commands to the engine and views back. Faces decode requests into its calls and encode
// what it returns; they hold no rule of their own.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/audit"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/hurtle"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// Errors of control, beside identity's (ErrDenied, ErrNotFound, ErrExists, ErrInvalid, ErrConflict) and
// the core's *service.Refusal. Test with errors.Is and errors.As.
var (
	// ErrAmbiguousName: several services bear the name; use the id.
	ErrAmbiguousName = errors.New("several services bear that name; use the id")
	// ErrStale: the object has changed since the revision that the caller read.
	ErrStale = errors.New("changed meanwhile; read it again and repeat the change")
)

// Options wire a Control.
type Options struct {
	Store     *store.Store
	Vault     *store.Vault
	Engine    *engine.Engine
	Directory *identity.Directory
	Audit     *audit.Trail // nil keeps no trail
	Kinds     all.Drivers
	Alerts    *alerting.Alerting
	Intake    *telemetry.Intake
	History   *telemetry.History // nil keeps none
	Hurtle    *hurtle.Hurtle
	// Bundles is the folder that archives of orchestrators' programs are unpacked into; "" for none.
	Bundles string
	// MethodRules check notification methods.
	MethodRules notify.Rules
	Log         *slog.Logger
}

// A Control answers commands and queries.
type Control struct {
	store       *store.Store
	vault       *store.Vault
	engine      *engine.Engine
	directory   *identity.Directory
	audit       *audit.Trail
	kinds       all.Drivers
	alerts      *alerting.Alerting
	intake      *telemetry.Intake
	history     *telemetry.History
	hurtle      *hurtle.Hurtle
	bundles     string
	macs        *store.Vault // of instance tokens
	methodRules notify.Rules
	log         *slog.Logger

	mu        sync.RWMutex
	templates map[uint64]*Template
	machines  map[int]*Definition
	defined   uint64 // counts the changes of machines
	journal   journal
	keys      keyring
}

// New returns a Control over what the store holds.
func New(ctx context.Context, o Options) (*Control, error) {
	c := &Control{store: o.Store, vault: o.Vault, engine: o.Engine, directory: o.Directory, audit: o.Audit, kinds: o.Kinds, log: o.Log,
		alerts: o.Alerts, intake: o.Intake, history: o.History, hurtle: o.Hurtle, bundles: o.Bundles, macs: o.Vault, methodRules: o.MethodRules,
		templates: make(map[uint64]*Template), machines: make(map[int]*Definition)}
	if c.macs == nil { // plain states are for tests; tokens are secrets there, too
		var err error
		if c.macs, err = store.EphemeralVault(); err != nil {
			return nil, err
		}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.loadTemplates(ctx); err != nil {
		return nil, err
	}
	if err := c.loadMachines(ctx); err != nil {
		return nil, err
	}
	if err := c.keys.load(ctx, c.store); err != nil {
		return nil, err
	}
	c.engine.Tap(c.journal.note)
	c.engine.Limit(c.quota)
	return c, nil
}

// Directory gives faces the users' names; changing them goes through Control's methods.
func (c *Control) Directory() *identity.Directory { return c.directory }

// Kinds returns the drivers that this server has.
func (c *Control) Kinds() all.Drivers { return c.kinds }

// Origin says which request of which face a call serves, for the audit trail.
type Origin struct{ Request, Face string }

type originKey struct{}

// WithOrigin returns a context that carries o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// note writes the outcome of a command to the audit trail and returns its error unchanged.
func (c *Control) note(ctx context.Context, who *identity.Caller, action, object string, err error) error {
	if c.audit == nil {
		return err
	}
	o, _ := ctx.Value(originKey{}).(Origin)
	r := audit.Record{Time: time.Now().UTC(), Request: o.Request, Face: o.Face, Action: action, Object: object, Outcome: audit.Done}
	if who != nil {
		r.User, r.Project = who.Name, c.directory.GroupName(who.Group)
	}
	var refusal *service.Refusal
	switch {
	case err == nil:
	case errors.Is(err, identity.ErrDenied):
		r.Outcome, r.Reason = audit.Denied, err.Error()
	case errors.As(err, &refusal), errors.Is(err, identity.ErrInvalid), errors.Is(err, ErrKeyReused), errors.Is(err, identity.ErrNotFound), errors.Is(err, ErrStale), ClassOf(err) == Taken:
		r.Outcome, r.Reason = audit.Refused, err.Error()
	default:
		r.Outcome, r.Reason = audit.Failed, err.Error()
	}
	if e := c.audit.Append(context.WithoutCancel(ctx), r); e != nil {
		c.log.Error("cannot write to the audit trail", "error", e)
	}
	return err
}

// Trail returns the last n audit records that pass the filter, newest first; administrators only.
func (c *Control) Trail(ctx context.Context, who *identity.Caller, n int, f audit.Filter) ([]audit.Record, error) {
	if err := administrators(who, "read the audit trail"); err != nil {
		return nil, err
	}
	if c.audit == nil {
		return nil, nil
	}
	return c.audit.Last(ctx, n, f)
}

func administrators(who *identity.Caller, what string) error {
	if who == nil || !who.Administers() {
		return fmt.Errorf("%w: only administrators may %s", identity.ErrDenied, what)
	}
	return nil
}

// writes refuses tokens that may only read.
func writes(who *identity.Caller) error {
	if who == nil || !who.Can(identity.ScopeOperate) {
		return fmt.Errorf("%w: the token may only read", identity.ErrDenied)
	}
	return nil
}

// newID draws from the one sequence that services and templates share.
func (c *Control) newID(ctx context.Context) (uint64, error) {
	id, err := c.store.NextID(ctx, "document", 1)
	if err != nil {
		return 0, fmt.Errorf("draw an id: %w", err)
	}
	return id, nil
}

// Backends returns how the back ends are.
func (c *Control) Backends(who *identity.Caller) []engine.BackendStatus {
	var out []engine.BackendStatus
	for _, b := range c.engine.Backends() {
		out = append(out, b.Status())
	}
	return out
}

// AcceptLoss says that the machines which vanished from a halted back end are gone; administrators only.
func (c *Control) AcceptLoss(ctx context.Context, who *identity.Caller, backend string) error {
	if err := administrators(who, "accept the loss of machines"); err != nil {
		return c.note(ctx, who, "driver.accept", backend, err)
	}
	for _, b := range c.engine.Backends() {
		if b.Key() == backend {
			return c.note(ctx, who, "driver.accept", backend, b.Accept())
		}
	}
	return c.note(ctx, who, "driver.accept", backend, fmt.Errorf("back end %q: %w", backend, identity.ErrNotFound))
}

// Kind finds a driver by name.
func (c *Control) Kind(name string) (*driver.Kind, error) { return c.kinds.Find(name) }

// Revision is that of the last committed change of a service.
func (c *Control) Revision() int64 { return c.engine.Revision() }

func idText(id uint64) string { return strconv.FormatUint(id, 10) }
