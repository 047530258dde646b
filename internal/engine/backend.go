package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
	"golang.org/x/sync/errgroup"
)

// A Backend is one account of a driver, with what the engine knows of it.
type Backend struct {
	Account string // "" for the default account
	Kind    *driver.Kind
	Driver  driver.Driver // wrapped

	engine  *Engine
	ctx     context.Context
	creates jobQueue
	others  jobQueue
	round   uint32        // of listing
	listNow chan struct{} // ask for a list out of turn

	mu       sync.Mutex
	listed   time.Time // end of the last complete list
	lastErr  string
	known    int    // machines that should be there, at the last list
	halted   string // why healing is halted; "" when it is not
	trusted  bool   // an administrator accepted that the machines are gone
	vanished map[driver.MachineID]time.Time
	suspects map[driver.MachineID]*suspect
	held     []seenFact // what is not believed while halted
}

type seenFact struct {
	actor *actor
	fact  service.Fact
}

// A suspect is a machine of this installation's that no record knows.
type suspect struct {
	machine driver.Machine
	first   time.Time
	looks   int
}

// halting is the share of a back end's machines that may vanish at once; more than that says more
// about the back end than about the machines. Small numbers prove nothing.
const (
	halting      = 0.20
	haltingLeast = 10
	haltWindow   = 30 * time.Second
)

func backendKey(driver, account string) string {
	if account == "" {
		return driver
	}
	return driver + ":" + account
}

// Key names the back end: the driver's name, with the account's after a colon.
func (b *Backend) Key() string { return backendKey(b.Kind.Name, b.Account) }

func (b *Backend) init(e *Engine) {
	b.engine = e
	b.creates.init()
	b.others.init()
	b.listNow = make(chan struct{}, 1)
	b.vanished = make(map[driver.MachineID]time.Time)
	b.suspects = make(map[driver.MachineID]*suspect)
	b.ctx = e.ctx
}

func (b *Backend) start(ctx context.Context, g *errgroup.Group) {
	n := b.Kind.Limits.Concurrency
	if n <= 0 {
		n = driver.DefaultConcurrency
	}
	g.Go(func() error {
		// Creations may be repetitions: they wait until the back end has told what it has.
		if !b.awaitList(ctx) {
			return nil
		}
		b.work(ctx, g, &b.creates, n, b.create)
		b.work(ctx, g, &b.others, n, b.other)
		return nil
	})
	g.Go(func() error { b.keepListing(ctx); return nil })
	if w, ok := driver.As[driver.Watcher](b.Driver); ok {
		g.Go(func() error { b.keepWatching(ctx, w); return nil })
	}
}

// background runs f in a goroutine that the engine waits for.
func (b *Backend) background(f func(ctx context.Context)) {
	go f(b.ctx)
}

// awaitList waits for the first complete list; false when ctx has ended.
func (b *Backend) awaitList(ctx context.Context) bool {
	for {
		b.mu.Lock()
		done := !b.listed.IsZero()
		b.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// adopt lists all back ends once, so that services begin with what is true.
func (e *Engine) adopt(ctx context.Context) {
	var wait sync.WaitGroup
	for _, b := range e.backends {
		wait.Go(func() {
			limit, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			b.list(limit)
		})
	}
	wait.Wait()
}

func (b *Backend) keepListing(ctx context.Context) {
	every := b.engine.opts.ListEvery
	for {
		b.mu.Lock()
		pause := every*9/10 + rand.N(every/5+1)
		if b.listed.IsZero() {
			pause = time.Second // not heard of yet
		}
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-b.listNow:
		case <-time.After(pause):
		}
		b.list(ctx)
	}
}

func (b *Backend) keepWatching(ctx context.Context, w driver.Watcher) {
	for wait := 100 * time.Millisecond; ctx.Err() == nil; {
		began := time.Now()
		err := w.Watch(ctx, b.saw)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			wait = 100 * time.Millisecond
		}
		b.engine.log.Warn("watch of a back end broke off", "backend", b.Key(), "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
		select {
		case b.listNow <- struct{}{}: // what was missed
		default:
		}
	}
}

// saw takes an event of the back end.
func (b *Backend) saw(m driver.Machine) {
	id, serial, incarnation, ok := service.ParseMachineID(m.ID)
	if !ok {
		return
	}
	a := b.engine.actor(id)
	if a == nil {
		return
	}
	f := service.Fact{Kind: service.Seen, Serial: serial, Incarnation: incarnation, Machine: m}
	if m.State == driver.Gone && b.doubtful(a, m.ID, f) {
		return
	}
	b.engine.post(a, message{fact: f})
}

// doubtful counts a machine that vanished unasked, and reports whether so many did that it is not
// believed.
func (b *Backend) doubtful(a *actor, id driver.MachineID, f service.Fact) bool {
	leaving := false
	b.engine.read(a, func(svc *service.Service) {
		i := svc.Instance(f.Serial)
		leaving = i == nil || i.Incarnation != f.Incarnation || i.Phase == service.Stopping || i.Phase == service.Replacing
	})
	if leaving {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for old, at := range b.vanished {
		if now.Sub(at) > haltWindow {
			delete(b.vanished, old)
		}
	}
	b.vanished[id] = now
	if b.halt(len(b.vanished)) {
		b.held = append(b.held, seenFact{a, f})
		return true
	}
	return false
}

// halt decides whether that many machines gone at once are believed; b.mu is held.
func (b *Backend) halt(gone int) bool {
	if b.trusted {
		return false
	}
	if gone >= haltingLeast && float64(gone) > halting*float64(b.known) {
		if b.halted == "" {
			b.halted = fmt.Sprintf("%d of %d machines vanished at once: healing is halted until they are seen again or an administrator says that they are gone (troupe driver accept %s)", gone, b.known, b.Key())
			b.engine.log.Error("healing halted", "backend", b.Key(), "reason", b.halted)
		}
	}
	return b.halted != ""
}

// list compares what the back end has with what the records say.
func (b *Backend) list(ctx context.Context) {
	e := b.engine
	began := time.Now()
	b.round++
	strangers := make(map[driver.MachineID]driver.Machine)
	for m, err := range b.Driver.List(ctx) {
		if err != nil {
			b.mu.Lock()
			b.lastErr = err.Error()
			b.mu.Unlock()
			if ctx.Err() == nil {
				e.log.Warn("list of a back end failed", "backend", b.Key(), "error", err)
			}
			return // a list that erred proves nothing
		}
		if m.Generation > e.store.Installation().Generation {
			e.fail(fmt.Errorf("back end %s has machine %s of generation %d, newer than this server's %d: its state is out of date, and it stops", b.Key(), m.ID, m.Generation, e.store.Installation().Generation))
			return
		}
		if !b.compare(m) {
			strangers[m.ID] = m
		}
	}
	if ctx.Err() != nil {
		return
	}
	absent, known := b.missing(began)
	b.mu.Lock()
	b.known = known + len(absent)
	b.lastErr = ""
	first := b.listed.IsZero()
	halted := b.halt(len(absent))
	if !halted || len(absent) == 0 {
		b.halted, b.held, b.trusted = "", nil, false
		clear(b.vanished)
		halted = false
	}
	b.listed = time.Now()
	b.mu.Unlock()
	if !halted {
		for _, f := range absent {
			e.post(f.actor, message{fact: f.fact})
		}
	}
	if first {
		e.log.Info("back end listed", "backend", b.Key(), "machines", known, "missing", len(absent), "unknown", len(strangers))
	}
	b.judgeStrangers(ctx, strangers, began)
}

// compare tells the service what is new about one of its machines; false when no record knows it.
func (b *Backend) compare(m driver.Machine) bool {
	id, serial, incarnation, ok := service.ParseMachineID(m.ID)
	if !ok {
		return true // tagged as ours, but not by this program: left alone
	}
	a := b.engine.actor(id)
	if a == nil {
		return false
	}
	known, news := false, false
	b.engine.read(a, func(svc *service.Service) {
		i := svc.Instance(serial)
		if i == nil || i.Incarnation != incarnation {
			return
		}
		known = true
		i.Round = b.round
		news = i.Machine != m.State || (len(m.Addresses) > 0 && (len(i.Addresses) == 0 || i.Addresses[0] != m.Addresses[0])) || i.Native != m.Native
	})
	if news {
		b.engine.post(a, message{fact: service.Fact{Kind: service.Seen, Serial: serial, Incarnation: incarnation, Machine: m}})
	}
	if known && m.Generation < b.engine.store.Installation().Generation {
		b.stamp(m)
	}
	return known
}

// stamp marks an adopted machine as this generation's.
func (b *Backend) stamp(m driver.Machine) {
	s, ok := driver.As[driver.Stamper](b.Driver)
	if !ok || b.engine.paused.Load() {
		return
	}
	if err := s.Stamp(b.ctx, driver.Ref{ID: m.ID, Native: m.Native}, b.engine.store.Installation().Generation); err != nil {
		b.engine.log.Warn("cannot stamp a machine", "backend", b.Key(), "machine", m.ID, "error", err)
	}
}

// missing returns the machines that should have been in the list which began then, and how many were.
func (b *Backend) missing(began time.Time) (absent []seenFact, known int) {
	before := service.TimeOf(began.Add(-b.Kind.VisibleAfter))
	key := b.Key()
	for _, a := range b.engine.all() {
		b.engine.read(a, func(svc *service.Service) {
			for _, r := range svc.Roles {
				for i := range r.Instances {
					impls := r.Spec.Machine.Implementations
					if int(i.Impl) >= len(impls) || backendKey(impls[i.Impl].Driver, impls[i.Impl].Account) != key {
						continue
					}
					if i.Phase == service.Queued || i.Phase == service.Backoff || i.Machine == driver.Gone {
						continue
					}
					if i.Round == b.round {
						known++
						continue
					}
					if i.Since > before || (i.Phase == service.Creating && !i.Doubt) || a.calling(i.Serial) {
						continue
					}
					absent = append(absent, seenFact{a, service.Fact{Kind: service.Absent, Serial: i.Serial, Incarnation: i.Incarnation}})
				}
			}
		})
	}
	return absent, known
}

func (a *actor) calling(serial uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[serial] != nil
}

// judgeStrangers destroys machines that no record knows, after two linearizable looks a grace period
// apart: a list may be older than a record.
func (b *Backend) judgeStrangers(ctx context.Context, found map[driver.MachineID]driver.Machine, began time.Time) {
	e := b.engine
	b.mu.Lock()
	for id := range b.suspects {
		if _, still := found[id]; !still {
			delete(b.suspects, id)
		}
	}
	var doomed []*suspect
	for id, m := range found {
		s := b.suspects[id]
		if s == nil {
			s = &suspect{machine: m, first: began}
			b.suspects[id] = s
		}
		doomed = append(doomed, s)
	}
	b.mu.Unlock()
	for _, s := range doomed {
		known, err := e.recorded(ctx, s.machine.ID)
		if err != nil {
			return
		}
		if known {
			b.mu.Lock()
			delete(b.suspects, s.machine.ID)
			b.mu.Unlock()
			continue
		}
		s.looks++
		if s.looks < 2 || began.Sub(s.first) < e.opts.OrphanGrace || e.paused.Load() {
			b.listSoon(ctx, e.opts.OrphanGrace)
			continue
		}
		limit, cancel := context.WithTimeout(ctx, destroyTime)
		err = b.Driver.Destroy(limit, driver.Ref{ID: s.machine.ID, Native: s.machine.Native}, driver.Hard)
		cancel()
		e.log.Warn("destroyed a machine that no record knows", "backend", b.Key(), "machine", s.machine.ID, "error", err)
	}
}

// listSoon asks for the second look in time, where lists are rarer than the grace period.
func (b *Backend) listSoon(ctx context.Context, after time.Duration) {
	if after >= b.engine.opts.ListEvery {
		return
	}
	b.engine.calls.Add(1)
	go func() {
		defer b.engine.calls.Done()
		select {
		case <-ctx.Done():
		case <-b.engine.ctx.Done():
		case <-time.After(after):
			select {
			case b.listNow <- struct{}{}:
			default:
			}
		}
	}()
}

// recorded reads, linearizably, whether a machine belongs to an instance.
func (e *Engine) recorded(ctx context.Context, m driver.MachineID) (bool, error) {
	id, serial, incarnation, ok := service.ParseMachineID(m)
	if !ok {
		return true, nil
	}
	kv, err := e.store.Get(ctx, blockKey(id, service.BlockOf(serial)))
	if err != nil {
		return false, fmt.Errorf("look for the record of machine %s: %w", m, err)
	}
	if kv.Revision == 0 {
		return false, nil
	}
	instances, _, err := service.DecodeBlock(kv.Value)
	if err != nil {
		return true, err
	}
	for _, i := range instances {
		if i.Serial == serial {
			return i.Incarnation == incarnation && i.Phase != service.Queued && i.Phase != service.Backoff, nil
		}
	}
	return false, nil
}

// ErrNotHalted: healing on the back end is not halted.
var ErrNotHalted = errors.New("healing is not halted there")

// Accept says that the machines which vanished from a halted back end are gone indeed.
func (b *Backend) Accept() error {
	b.mu.Lock()
	if b.halted == "" {
		b.mu.Unlock()
		return fmt.Errorf("back end %s: %w", b.Key(), ErrNotHalted)
	}
	b.trusted, b.halted = true, ""
	held := b.held
	b.held = nil
	clear(b.vanished)
	b.mu.Unlock()
	for _, f := range held {
		b.engine.post(f.actor, message{fact: f.fact})
	}
	select {
	case b.listNow <- struct{}{}:
	default:
	}
	return nil
}

// A BackendStatus says how a back end is.
type BackendStatus struct {
	Key      string    `json:"key"`
	Driver   string    `json:"driver"`
	Account  string    `json:"account,omitempty"`
	Listed   time.Time `json:"listed,omitzero"` // end of the last complete list
	Machines int       `json:"machines"`
	Error    string    `json:"error,omitempty"`
	Halted   string    `json:"halted,omitempty"`
	Creates  int       `json:"creates"` // that wait
	Others   int       `json:"others"`  // other calls that wait
	Strange  int       `json:"unknown"` // machines that no record knows
}

// Status returns how the back end is.
func (b *Backend) Status() BackendStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return BackendStatus{Key: b.Key(), Driver: b.Kind.Name, Account: b.Account, Listed: b.listed, Machines: b.known, Error: b.lastErr,
		Halted: b.halted, Creates: b.creates.Len(), Others: b.others.Len(), Strange: len(b.suspects)}
}
