// Package alerting is the shell round the rules of alarms: it brings samples to monitors, commits what they
// decide together with the notifications and orders that follow, and then carries these out. It also measures
// what the policies of services want to know.
//
// A monitor is an actor. Samples reach it on the goroutine that took them in; what it decides is committed
// while further samples come, and nothing that follows happens before. State that is not committed yet is
// committed again until it is: one server owns it, so that nobody else writes.
package alerting

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/fifo"
	"github.com/troupe-dev/troupe/internal/journal"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/telemetry"
	"github.com/troupe-dev/troupe/internal/wake"
)

// Options wire an Alerting.
type Options struct {
	Store  *store.Store
	Tenure *store.Tenure
	// Vault encrypts methods at rest: they hold secrets. nil keeps them plain.
	Vault  *store.Vault
	Engine *engine.Engine
	// Past refills windows after a start, and answers replays; nil for neither.
	Past Past
	// Journal keeps the history of transitions; nil keeps none.
	Journal    *journal.Journal[Entry]
	Transports map[notify.Type]notify.Transport
	// May reports whether a user may manage a service: alarms order services about as those who made them may. nil: all may.
	May func(user int, meta *service.Meta) bool
	// Project names a project's group for receivers of notifications.
	Project    func(tenant int) string
	Registerer prometheus.Registerer // nil for none
	Log        *slog.Logger
}

// Past is what history knows: a *telemetry.History.
type Past interface {

	// Replay yields the points of the series of a tenant that a filter chooses, in order of time over all of them.
	Replay(ctx context.Context, tenant int, f telemetry.Filter, from, to time.Time) iter.Seq2[metric.Point, error]
}

// An Alerting runs all alarms of this server. Its methods are safe for concurrent use.
type Alerting struct {
	opts    Options
	log     *slog.Logger
	store   *store.Store
	tenure  *store.Tenure
	engine  *engine.Engine
	sender  *notify.Sender
	opened  chan struct{} // closed when there is a sender
	figures *figures
	hub     hub

	mu       sync.RWMutex
	watches  map[string]*watch      // by definition
	prefixes map[string]*watch      // by what the ids of their alarms begin with
	byMetric map[metricKey][]*watch // that have a part on the metric
	live     map[metricKey]map[uint32]*metric.Series
	names    map[metricKey]string // ids of users' definitions by project and name
	services map[uint64]*governed
	readers  map[metricKey][]*reader // that may want a metric
	// attentive are the watches that want to know how instances of a service stand.
	attentive map[uint64]map[*watch]struct{}
	orphaned  map[string][]alarm.Record // states of services' definitions that have not come yet

	silences map[int][]alarm.Silence // by project; guarded by mu, never changed in place

	methodsMu sync.RWMutex
	methods   map[string]*method // by id
	heralds   map[uint64]*method // by the service that they tell of

	attending [64]sync.Mutex // by service: held while it is told how instances stand
	defining  sync.Mutex     // held by the one change of a definition at a time: names stay unique

	table   table
	clock   *wake.Clock[*watch]
	rounds  *wake.Clock[*reader]
	due     *fifo.Queue[func()] // turns and what follows commits
	errands *fifo.Queue[*errand]
	news    *fifo.Queue[tiding] // of services that are told of
	calls   sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
}

// metricKey finds what has a name in a tenant.
type metricKey struct {
	tenant int
	name   string
}

// New reads the definitions and the states of their alarms. Run sets all going; samples may come before.
func New(ctx context.Context, o Options) (*Alerting, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Project == nil {
		o.Project = func(tenant int) string { return fmt.Sprint(tenant) }
	}
	a := &Alerting{
		opts: o, log: o.Log, store: o.Store, tenure: o.Tenure, engine: o.Engine, figures: newFigures(o.Registerer),
		watches: make(map[string]*watch), prefixes: make(map[string]*watch), byMetric: make(map[metricKey][]*watch),
		live: make(map[metricKey]map[uint32]*metric.Series), names: make(map[metricKey]string), methods: make(map[string]*method), services: make(map[uint64]*governed), readers: make(map[metricKey][]*reader), attentive: make(map[uint64]map[*watch]struct{}), silences: make(map[int][]alarm.Silence),
		clock: wake.New[*watch](), rounds: wake.New[*reader](), due: fifo.New[func()](), errands: fifo.New[*errand](), heralds: make(map[uint64]*method), news: fifo.New[tiding](),
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.hub.init()
	a.opened = make(chan struct{})
	if err := a.load(ctx); err != nil {
		a.cancel()
		return nil, err
	}
	if a.engine != nil {
		var looks []*look
		a.engine.Each(func(_ uint64, s *service.Service) bool {
			if concerns(s.Spec) {
				looks = append(looks, lookAt(s))
			}
			return true
		})
		for _, l := range looks {
			a.follow(l)
		}
		a.engine.Tap(a.serviceChanged)
	}
	return a, nil
}

// Run serves until ctx ends. It returns when all its goroutines have ended.
func (a *Alerting) Run(ctx context.Context) error {
	var err error
	a.sender, err = notify.Open(ctx, notify.Options{
		Queue:     &notify.StoreQueue{Store: a.store, Fence: a.fenceOf, Log: a.log},
		Directory: directory{a}, Transports: a.opts.Transports, Observer: a.figures, Log: a.log,
	})
	if err != nil {
		a.drain()
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("read the notifications that wait: %w", err)
	}
	close(a.opened)
	defer a.sender.Close()
	defer a.drain()
	a.refill(ctx)
	a.recall(ctx)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { a.clock.Run(gctx, a.turnLater); return nil })
	g.Go(func() error { a.rounds.Run(gctx, a.measureLater); return nil })
	g.Go(func() error { a.noticeStandstills(gctx); return nil })
	if a.engine != nil {
		g.Go(func() error { a.runHerald(gctx); return nil })
		g.Go(func() error { a.retireMethods(gctx); return nil })
	}
	for range max(2, runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			for {
				do, ok := a.due.Pop(gctx)
				if !ok {
					return nil
				}
				do()
			}
		})
	}
	for range errandsAtOnce {
		g.Go(func() error {
			for {
				e, ok := a.errands.Pop(gctx)
				if !ok {
					return nil
				}
				a.runErrand(gctx, e)
			}
		})
	}
	err = g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// sending returns the sender as soon as there is one; nil when none will be.
func (a *Alerting) sending() *notify.Sender {
	select {
	case <-a.opened:
		return a.sender
	default:
	}
	select {
	case <-a.opened:
		return a.sender
	case <-a.ctx.Done():
		return nil
	}
}

// drain ends what is under way once the workers have ended.
func (a *Alerting) drain() {
	a.cancel()
	done := make(chan struct{})
	go func() { a.calls.Wait(); close(done) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-done; cancel() }()
	for {
		do, ok := a.due.Pop(ctx)
		if !ok {
			return
		}
		do()
	}
}

// fenceOf guards what is written about a delivery: it belongs to the shard of its definition.
func (a *Alerting) fenceOf(d *notify.Delivery) store.Guard {
	return a.tenure.Fence(store.Shard(d.Message.Definition))
}
