// Package engine is the shell round the functional core: it brings facts to services, commits what
// they decide, and carries out the effects.
//
// Every service is an actor with a mailbox. A fixed pool of workers drains the mailboxes that hold
// something: observe, decide, commit, and only then the effects. An actor at rest costs memory alone.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/fifo"
	"github.com/troupe-dev/troupe/internal/probe"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/wake"
	"golang.org/x/sync/errgroup"
)

// Options wire an engine.
type Options struct {
	Store    *store.Store
	Tenure   *store.Tenure // the engine ends when it is lost
	Backends []*Backend
	// Vault encrypts specs at rest: they may hold secrets. nil keeps them plain.
	Vault *store.Vault
	Log   *slog.Logger
	// ListEvery is the time between two lists of a back end; 30 s when zero.
	ListEvery time.Duration
	// OrphanGrace is the time between the two looks that condemn an orphan; 1 minute when zero.
	OrphanGrace time.Duration
	// Retain is how long finished services are kept; 24 hours when zero.
	Retain time.Duration
	// Environment is what each machine's program is told besides its definition's own, which wins; nil for nothing.
	Environment func(id driver.MachineID) map[string]string
	// Command runs what templates of the owner's services ask for with cmd, on this host, and returns what it prints;
	// nil refuses.
	Command func(ctx context.Context, owner int, command string) (string, error)
	// Metrics counts; nil for none.
	Metrics *Metrics
}

// Errors of commands.
var (
	// ErrNoService: there is no such service.
	ErrNoService = errors.New("no such service")
	// ErrAliasTaken: another service of the group bears the alias.
	ErrAliasTaken = errors.New("another service has that alias")
	// ErrNoRevision: the service has no such revision, or has it no more.
	ErrNoRevision = errors.New("no such revision")
	// ErrPaused: all effects are off until an administrator has seen the plan of a restored state.
	ErrPaused = errors.New("effects are off: this state was restored from a backup; see `troupe server status`, then turn them on with `troupe server resume`")
	// ErrUnavailable: the command was not answered for certain; sent again with the same id it counts once.
	ErrUnavailable = errors.New("not answered; send it again")
)

// runQueue holds actors that want a turn.
type runQueue = fifo.Queue[*actor]

// An Engine runs all services of this server.
type Engine struct {
	opts     Options
	log      *slog.Logger
	store    *store.Store
	tenure   *store.Tenure
	backends map[string]*Backend // by Backend.Key
	probes   *probe.Scheduler[checkKey]
	health   health
	hub      hub
	metrics  *Metrics

	mu     sync.RWMutex
	actors map[uint64]*actor
	names  map[nameKey][]uint64
	alias  map[nameKey][]uint64  // by the ids that clients gave them; one of them is not DONE
	usage  map[int]service.Usage // by group
	// granted is what wishes were granted beyond usage, by group; see quota.go.
	granted map[int]service.Usage
	kept    map[uint64]Kept // by the id of the service that was
	limit   Limit           // nil: none
	made    map[bond]uint64 // services that were made for others
	mayUse  func(owner int, m *service.Meta) bool
	bonds   sync.Mutex // held while services are bound to each other
	errands *fifo.Queue[job]
	specs   specCache
	loaded  []*actor // from the store at the start; adopt gives them their first turn

	urgent  *runQueue // actors that somebody waits for
	queue   *runQueue
	writing atomic.Int64 // bytes of commits that are not answered
	pace    pace
	clock   *wake.Clock[*actor]
	rounds  atomic.Uint32 // of listing, of all back ends
	began   time.Time
	paused  atomic.Bool
	stopped chan struct{}
	fatal   chan error
	calls   sync.WaitGroup // effects and reloads in flight
	ctx     context.Context
	cancel  context.CancelFunc
}

// New returns an engine that holds the state read from the store. Run sets it going.
func New(ctx context.Context, opts Options) (*Engine, error) {
	if opts.ListEvery == 0 {
		opts.ListEvery = 30 * time.Second
	}
	if opts.OrphanGrace == 0 {
		opts.OrphanGrace = time.Minute
	}
	if opts.Retain == 0 {
		opts.Retain = 24 * time.Hour
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Metrics == nil {
		opts.Metrics = NewMetrics(nil)
	}
	e := &Engine{opts: opts, log: opts.Log, store: opts.Store, tenure: opts.Tenure, metrics: opts.Metrics,
		backends: make(map[string]*Backend), actors: make(map[uint64]*actor), names: make(map[nameKey][]uint64), alias: make(map[nameKey][]uint64),
		usage: make(map[int]service.Usage), urgent: fifo.New[*actor](), queue: fifo.New[*actor](), clock: wake.New[*actor](), granted: make(map[int]service.Usage), made: make(map[bond]uint64), errands: fifo.New[job](), kept: make(map[uint64]Kept), began: time.Now(), stopped: make(chan struct{}), fatal: make(chan error, 1)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.hub.init()
	for _, b := range opts.Backends {
		b.init(e)
		e.backends[b.Key()] = b
	}
	e.probes = e.newProbes()
	err := e.load(ctx)
	if err == nil {
		err = e.loadKept(ctx)
	}
	if err != nil {
		e.cancel()
		return nil, err
	}
	return e, nil
}

// Run serves until ctx ends, the shards are lost, or something fails for good. Whatever the reason,
// it returns once all its goroutines have ended.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.stopped)
	defer e.calls.Wait()
	defer e.cancel()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-gctx.Done():
		case <-e.tenure.Lost():
			return errors.New("this server lost its shards to another one")
		case err := <-e.fatal:
			return err
		}
		return nil
	})
	g.Go(func() error { e.probes.Run(gctx); return nil })
	g.Go(func() error { e.adopt(gctx); return nil })
	for _, b := range e.backends {
		b.start(gctx, g)
	}
	g.Go(func() error {
		e.clock.Run(gctx, e.woken)
		return nil
	})
	g.Go(func() error { e.housekeep(gctx); return nil })
	for range errandsAtOnce {
		g.Go(func() error { e.runErrands(gctx); return nil })
	}
	for range max(2, runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			for turn := 0; ; turn++ {
				a, ok := e.next(gctx, turn)
				if !ok {
					return nil
				}
				e.turn(a)
			}
		})
	}
	err := g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// next waits for an actor that wants a turn: those first that somebody waits for, so that a command does
// not stand behind a thousand services whose machines died; but every eighth turn goes to the others, so
// that a flood of commands does not keep facts out. The others keep a pace, and wait while much is being
// written, so that the commit of a command does not stand behind theirs. It returns false when ctx has ended.
func (e *Engine) next(ctx context.Context, turn int) (*actor, bool) {
	for ; ctx.Err() == nil; turn++ {
		pause := e.pace.wait(time.Now())
		free := pause <= 0 && e.writing.Load() < writingMost
		if free && turn%8 == 7 {
			if a := take(e.queue, waiting); a != nil {
				e.urgent.Nudge() // this worker may have been called for that one
				return a, true
			}
		}
		if a := take(e.urgent, hastened); a != nil {
			if free {
				e.queue.Nudge()
			}
			return a, true
		}
		if free {
			if a := take(e.queue, waiting); a != nil {
				return a, true
			}
		}
		var paced <-chan time.Time
		if pause > 0 {
			paced = time.After(pause)
		}
		select {
		case <-e.urgent.Ready():
		case <-e.queue.Ready():
		case <-paced:
		case <-ctx.Done():
		}
	}
	return nil, false
}

// take returns the first actor of a queue that is still there, or nil.
func take(q *runQueue, from place) *actor {
	for {
		a, ok := q.Take()
		if !ok {
			return nil
		}
		if a.begins(from) {
			return a
		}
	}
}

// writingMost is how many bytes may be on their way to the store when a turn begins that nobody waits for:
// some milliseconds of its work.
const writingMost = 256 << 10

// wrote tells that a commit was answered.
func (e *Engine) wrote(bytes int64) {
	if left := e.writing.Add(-bytes); left < writingMost && left+bytes >= writingMost {
		e.queue.Nudge()
	}
}

// Pause stops or resumes all work: nothing is decided and no effect runs while paused.
func (e *Engine) Pause(on bool) {
	e.paused.Store(on)
	if !on {
		for _, a := range e.all() {
			e.schedule(a)
		}
	}
}

// Paused reports whether all work is stopped.
func (e *Engine) Paused() bool { return e.paused.Load() }

func (e *Engine) actor(id uint64) *actor {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.actors[id]
}

// Create stores a new service, together with what else the transaction says, and sets it going, if its group
// may claim so much. It returns the revision of the commit.
func (e *Engine) Create(ctx context.Context, svc *service.Service, with store.Txn) (int64, error) {
	if e.paused.Load() {
		return 0, ErrPaused
	}
	svc.Spec = e.specs.share(svc.Spec)
	a := &actor{id: svc.ID, svc: svc, shard: store.Shard(idText(svc.ID)), fresh: true, extra: with}
	for _, b := range e.backends {
		_, highest := b.strangersOf(svc.ID)
		a.floor = max(a.floor, highest)
	}
	reply := make(chan answer, 1)
	a.inbox = append(a.inbox, message{fact: service.Fact{Kind: service.Woke}, reply: reply})
	if err := e.enrol(a); err != nil {
		return 0, err
	}
	a.place = hastened
	e.urgent.Push(a)
	return e.await(ctx, reply)
}

// Order brings a command to a service and returns the verdict, and the revision that holds it.
// A refused command is answered with the core's *service.Refusal.
func (e *Engine) Order(ctx context.Context, id uint64, c *service.Command) (int64, error) {
	if e.paused.Load() {
		return 0, ErrPaused
	}
	a := e.actor(id)
	if a == nil {
		return 0, fmt.Errorf("service %d: %w", id, ErrNoService)
	}
	if c.Update != nil && c.Update.Spec != nil {
		c.Update.Spec = e.specs.share(c.Update.Spec)
	}
	if c.ID == "" {
		c.ID = newCommandID()
	}
	reply := make(chan answer, 1)
	e.post(a, message{fact: service.Fact{Kind: service.Ordered, Command: c}, reply: reply})
	return e.await(ctx, reply)
}

func (e *Engine) await(ctx context.Context, reply <-chan answer) (int64, error) {
	select {
	case a := <-reply:
		return a.revision, a.err
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case <-e.stopped:
		return 0, fmt.Errorf("%w: the server is stopping", ErrUnavailable)
	}
}

// Tell brings a fact to a service; it does nothing if there is no such service.
func (e *Engine) Tell(id uint64, f service.Fact) {
	if a := e.actor(id); a != nil {
		e.post(a, message{fact: f})
	}
}

// TellAndWait brings a fact and waits until it is stored.
func (e *Engine) TellAndWait(ctx context.Context, id uint64, f service.Fact) (int64, error) {
	a := e.actor(id)
	if a == nil {
		return 0, fmt.Errorf("service %d: %w", id, ErrNoService)
	}
	reply := make(chan answer, 1)
	e.post(a, message{fact: f, reply: reply})
	return e.await(ctx, reply)
}

// View lets f read a service as it is committed. f must not keep or change it, and be quick. It
// reports whether there is such a service.
func (e *Engine) View(id uint64, f func(*service.Service)) bool {
	a := e.actor(id)
	if a == nil {
		return false
	}
	a.lock.RLock()
	defer a.lock.RUnlock()
	if a.svc == nil || a.fresh {
		return false
	}
	f(a.svc)
	return true
}

// Each lets f read every service, in no order, until it returns false.
func (e *Engine) Each(f func(id uint64, s *service.Service) bool) {
	for _, a := range e.all() {
		a.lock.RLock()
		ok := a.svc == nil || a.fresh || f(a.id, a.svc)
		a.lock.RUnlock()
		if !ok {
			return
		}
	}
}

func (e *Engine) all() []*actor {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := make([]*actor, 0, len(e.actors))
	for _, a := range e.actors {
		out = append(out, a)
	}
	return out
}

// Len returns the number of services.
func (e *Engine) Len() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return len(e.actors)
}

// Backend returns the back end of an implementation.
func (e *Engine) Backend(driver, account string) *Backend {
	return e.backends[backendKey(driver, account)]
}

// Backends returns all back ends.
func (e *Engine) Backends() []*Backend { return e.opts.Backends }

// RunsCommands reports whether templates may run commands on this host.
func (e *Engine) RunsCommands() bool { return e.opts.Command != nil }

// fail ends the engine.
func (e *Engine) fail(err error) {
	select {
	case e.fatal <- err:
	default:
	}
}
