// Package hurtle is the shell round the core of Hurtle's service managers (package manager): it keeps managers and their instances,
// commits what the core decides before anything follows from it, calls the Cloud Controller and the orchestrators, and goes on
// after a restart where it was.
//
// An instance is an actor: facts change it one at a time, one commit of it is on its way at a time, and at most one call that the
// core asked for. All calls are requests of OCCI; those to the Cloud Controller of this server, and to orchestrators that run in
// it, do not leave the process.
package hurtle

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/troupe-dev/troupe/internal/fifo"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/manager"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/wake"
)

// Options wire a Hurtle.
type Options struct {
	Store  *store.Store
	Tenure *store.Tenure
	// Vault encrypts managers and instances at rest: they hold secrets. nil keeps them plain.
	Vault     *store.Vault
	Directory *identity.Directory
	// Cloud returns the Cloud Controller of this server, and CloudURL where others reach it.
	Cloud    func() http.Handler
	CloudURL func() string
	// DesignURL is where orchestrators log in, and look services up.
	DesignURL func() string
	// Orchestrators run in this process; nil for none.
	Orchestrators Orchestrators
	Log           *slog.Logger
}

// Orchestrators are those that run in this process, instead of as programs.
type Orchestrators interface {
	// Knows reports whether the program of a manager is one of these.
	Knows(program string) bool
	// Orchestrator returns what serves the orchestrator of an instance, the same each time. It keeps what it knows through restarts.
	Orchestrator(ctx context.Context, program, instance string) (http.Handler, error)
	// Forget is told that an instance is gone.
	Forget(program, instance string)
}

// A Hurtle runs service managers. Its methods are safe for concurrent use.
type Hurtle struct {
	opts   Options
	log    *slog.Logger
	store  *store.Store
	tenure *store.Tenure
	users  *identity.Directory
	net    *http.Client
	tokens tokens

	mu       sync.RWMutex
	managers map[string]*Manager
	actors   map[string]*actor

	defining sync.Mutex // held by the one change of a manager at a time
	clock    *wake.Clock[*actor]
	due      *fifo.Queue[func()]
	calls    sync.WaitGroup
	ctx      context.Context // ends calls
	cancel   context.CancelFunc
}

// New reads managers and instances. Run sets all going.
func New(ctx context.Context, o Options) (*Hurtle, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hurtle{opts: o, log: o.Log, store: o.Store, tenure: o.Tenure, users: o.Directory, net: newClient(),
		managers: make(map[string]*Manager), actors: make(map[string]*actor), clock: wake.New[*actor](), due: fifo.New[func()]()}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.tokens.users = o.Directory
	if err := h.load(ctx); err != nil {
		h.cancel()
		return nil, err
	}
	return h, nil
}

// workers bound what is decided at a time; calls have goroutines of their own.
const workers = 4

// Run serves until ctx ends. It returns when all its goroutines have ended.
func (h *Hurtle) Run(ctx context.Context) error {
	h.mu.RLock()
	for _, a := range h.actors {
		h.due.Push(a.turn)
	}
	h.mu.RUnlock()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { h.clock.Run(gctx, func(a *actor) { h.due.Push(a.turn) }); return nil })
	for range workers {
		g.Go(func() error {
			for {
				do, ok := h.due.Pop(gctx)
				if !ok {
					return nil
				}
				do()
			}
		})
	}
	err := g.Wait()
	h.cancel()
	h.calls.Wait()
	h.net.CloseIdleConnections()
	return err
}

// tell logs events in the shape of the original.
func (h *Hurtle) tell(i *manager.Instance, events []manager.Event) {
	for _, e := range events {
		word, level := "start", slog.LevelInfo
		if e.Done {
			word = "done"
		}
		if e.Phase == manager.EventRetrieve {
			level = slog.LevelDebug // there are many
		}
		h.log.Log(h.ctx, level, "phase", "so_id", i.ID, "sm_name", i.Manager, "so_phase", string(e.Phase), "phase_event", word, "response_time", e.Took.Seconds(), "tenant", h.users.GroupName(i.Tenant))
	}
}

// Managers returns the managers by their terms.
func (h *Hurtle) Managers() []*Manager {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make([]*Manager, 0, len(h.managers))
	for _, m := range h.managers {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *Manager) int { return a.Created.Compare(b.Created) })
	return out
}

// Manager returns the manager of a term. It is an error of class identity.ErrNotFound when there is none.
func (h *Hurtle) Manager(term string) (*Manager, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if m := h.managers[term]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("service manager %.60q: %w", term, identity.ErrNotFound)
}
