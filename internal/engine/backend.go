package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/fifo"
	"github.com/troupe-dev/troupe/internal/service"
	"golang.org/x/sync/errgroup"
)

// A Backend is one account of a driver, with what the engine knows of it.
type Backend struct {
	Account  string // "" for the default account
	Endpoint string // that it reaches; "" for none
	// Reaches says why the account cannot make machines with these options (see driver.Kind); nil for none of them.
	Reaches func(options map[string]any) error
	Kind    *driver.Kind
	Driver  driver.Driver // wrapped

	engine  *Engine
	creates *jobQueue
	others  *jobQueue
	unasked *fifo.Queue[absence] // machines that are said to have vanished though nobody removed them
	round   uint32               // of listing; no two lists of an engine have the same
	listNow chan struct{}        // ask for a list out of turn
	heard   chan struct{}        // closed after the first complete list

	mu       sync.Mutex
	listed   time.Time // end of the last complete list
	lastErr  string
	failing  time.Time // since when lists fail
	haltedAt time.Time
	known    int    // machines that should be there, when last counted
	halted   string // why healing is halted; "" when it is not
	trusted  bool   // an administrator accepted that the machines are gone
	vanished map[driver.MachineID]time.Time
	suspects map[driver.MachineID]*suspect
	again    bool // a list out of turn is on its way
}

// An absence is a machine that should have been listed.
type absence struct {
	actor   *actor
	fact    service.Fact
	leaving bool // it was being removed, or may never have been made: no wonder
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
	b.creates, b.others, b.unasked = fifo.New[job](), fifo.New[job](), fifo.New[absence]()
	b.listNow = make(chan struct{}, 1)
	b.heard = make(chan struct{})
	b.vanished = make(map[driver.MachineID]time.Time)
	b.suspects = make(map[driver.MachineID]*suspect)
}

func (b *Backend) start(ctx context.Context, g *errgroup.Group) {
	n := b.Kind.Limits.Concurrency
	if n <= 0 {
		n = driver.DefaultConcurrency
	}
	g.Go(func() error {
		// Calls may be repetitions: they wait until the back end has told what it has.
		select {
		case <-b.heard:
		case <-ctx.Done():
			return nil
		}
		b.work(ctx, g, b.creates, n, b.create)
		b.work(ctx, g, b.others, n, b.other)
		return nil
	})
	g.Go(func() error { b.keepListing(ctx); return nil })
	if w, ok := driver.As[driver.Watcher](b.Driver); ok {
		g.Go(func() error { b.keepWatching(ctx, w); return nil })
		g.Go(func() error { b.judgeVanished(ctx); return nil })
	}
}

func (b *Backend) keepListing(ctx context.Context) {
	every := b.engine.opts.ListEvery
	for b.list(ctx); ; b.list(ctx) {
		b.mu.Lock()
		pause := every*9/10 + rand.N(every/5+1)
		if b.listed.IsZero() { // not heard of yet: sooner, but not for ever
			pause = min(time.Second+time.Since(b.failing)/4, every)
		}
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-b.listNow:
		case <-time.After(pause):
		}
	}
}

// firstRewatch is how soon a watch that broke off begins again, at first.
const firstRewatch = 100 * time.Millisecond

func (b *Backend) keepWatching(ctx context.Context, w driver.Watcher) {
	for wait := firstRewatch; ctx.Err() == nil; {
		began := time.Now()
		err := w.Watch(ctx, b.saw)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			wait = firstRewatch
		}
		level := slog.LevelWarn
		if wait > firstRewatch || !b.engine.heard(b) {
			level = slog.LevelDebug // it has been told, or the list tells it
		}
		b.engine.log.Log(ctx, level, "watch of a back end broke off", "backend", b.Key(), "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
		b.lookNow() // what was missed
	}
}

// saw takes an event of the back end. It waits for no service: one may be busy with a commit, and the events of
// all others come after this one.
func (b *Backend) saw(m driver.Machine) {
	id, serial, incarnation, ok := service.ParseMachineID(m.ID)
	if !ok {
		return
	}
	a := b.engine.actor(id)
	if a == nil {
		return
	}
	b.engine.post(a, message{from: b, fact: service.Fact{Kind: service.Seen, Serial: serial, Incarnation: incarnation, Machine: m}})
}

// admits looks at an event when its service has its turn, and reports whether it is to be heard now. A machine that
// vanished unasked is looked at in judgeVanished first.
func (b *Backend) admits(a *actor, f service.Fact) bool {
	i := a.svc.Instance(f.Serial)
	if f.Machine.State == driver.Gone && !leaves(i, f) {
		b.unasked.Push(absence{actor: a, fact: f})
		return false
	}
	return f.Machine.State >= driver.Held || !b.halfMade(i)
}

// leaves reports whether it is no wonder that the machine of a fact is gone.
func leaves(i *service.Instance, f service.Fact) bool {
	return i == nil || i.Incarnation != f.Incarnation || i.Phase == service.Stopping || i.Phase == service.Replacing
}

// halfMade reports whether the creation of an instance's machine is still to be answered or repeated.
// What is not running before that may never run without the call: a crash can leave half a machine.
func (b *Backend) halfMade(i *service.Instance) bool {
	return b.Kind.Guarantee != driver.None && i != nil && i.Phase == service.Creating // else the call is not repeated
}

// judgeVanished hands on that machines vanished unasked, unless so many did that it is not believed.
func (b *Backend) judgeVanished(ctx context.Context) {
	for {
		v, ok := b.unasked.Pop(ctx)
		if !ok {
			return
		}
		b.engine.read(v.actor, func(svc *service.Service) { v.leaving = leaves(svc.Instance(v.fact.Serial), v.fact) })
		if v.leaving || !b.doubtful(v.fact.Machine.ID) {
			b.engine.post(v.actor, message{fact: v.fact})
		}
	}
}

// doubtful counts a machine that vanished unasked, and reports whether so many did that it is not
// believed.
func (b *Backend) doubtful(id driver.MachineID) bool {
	now := time.Now()
	b.mu.Lock()
	for old, at := range b.vanished {
		if now.Sub(at) > haltWindow {
			delete(b.vanished, old)
		}
	}
	b.vanished[id] = now
	count := b.halted == "" && !b.trusted && b.tooMany(len(b.vanished)) // by what may be an old count
	b.mu.Unlock()
	if count {
		known := 0
		for _, a := range b.engine.all() {
			b.engine.read(a, func(svc *service.Service) {
				b.machines(svc, func(_ *service.Instance, leaving bool) {
					if !leaving {
						known++
					}
				})
			})
		}
		b.mu.Lock()
		b.known = known
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.halt(len(b.vanished))
}

// tooMany reports whether that many machines gone at once are more than chance; b.mu is held.
func (b *Backend) tooMany(gone int) bool {
	return gone >= haltingLeast && float64(gone) > halting*float64(b.known)
}

// halt decides whether that many machines gone at once are believed; b.mu is held.
func (b *Backend) halt(gone int) bool {
	if b.trusted {
		return false
	}
	if b.tooMany(gone) {
		if b.halted == "" {
			b.haltedAt = time.Now()
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
	b.round = e.rounds.Add(1)
	strangers := make(map[driver.MachineID]driver.Machine)
	var r reading
	for m, err := range b.Driver.List(ctx) {
		if err != nil {
			b.listFailed(ctx, err, began)
			return // a list that erred proves nothing
		}
		if m.Generation > e.store.Installation().Generation {
			e.fail(fmt.Errorf("back end %s has machine %s of generation %d, newer than this server's %d: its state is out of date, and it stops", b.Key(), m.ID, m.Generation, e.store.Installation().Generation))
			return
		}
		if !b.compare(m, &r) {
			strangers[m.ID] = m
		}
	}
	if ctx.Err() != nil {
		return
	}
	absent, known := b.missing(began)
	vanished := 0
	for _, f := range absent {
		if !f.leaving {
			vanished++
		}
	}
	b.mu.Lock()
	b.known = known
	b.lastErr = ""
	first := b.listed.IsZero()
	halted := b.halt(vanished)
	if !halted || vanished == 0 {
		b.halted, b.trusted = "", false
		clear(b.vanished)
		halted = false
	}
	b.listed = time.Now()
	b.mu.Unlock()
	for _, f := range absent {
		if f.leaving || !halted {
			e.post(f.actor, message{fact: f.fact, proof: began.Add(-b.Kind.VisibleAfter)})
		}
	}
	if first {
		b.suspect(strangers, began) // before any creation begins
		close(b.heard)
		e.log.Info("back end listed", "backend", b.Key(), "machines", known, "missing", len(absent), "unknown", len(strangers))
	}
	b.stamp(ctx, r.stale)
	b.strangeResources(ctx, strangers)
	b.judgeStrangers(ctx, strangers, began)
}

// listFailed notes why. It is logged once for as long as lists fail: a driver whose back end is not there, and which
// nobody uses, is no news.
func (b *Backend) listFailed(ctx context.Context, err error, began time.Time) {
	b.mu.Lock()
	level := slog.LevelDebug
	if b.lastErr == "" {
		b.failing = began
		if level = slog.LevelWarn; b.listed.IsZero() {
			level = slog.LevelInfo
		}
	}
	b.lastErr = err.Error()
	b.mu.Unlock()
	if ctx.Err() == nil {
		b.engine.log.Log(ctx, level, "list of a back end failed", "backend", b.Key(), "error", err)
	}
}

// A reading is what one list carries along.
type reading struct {
	last  *actor       // machines of one service often follow each other
	stale []driver.Ref // adopted machines that bear an older generation
}

// compare tells the service what is new about one of its machines; false when no record knows it.
func (b *Backend) compare(m driver.Machine, r *reading) bool {
	id, serial, incarnation, ok := service.ParseMachineID(m.ID)
	if !ok {
		return true // tagged as ours, but not by this program: left alone
	}
	a := r.last
	if a == nil || a.id != id {
		if a = b.engine.actor(id); a == nil {
			return false
		}
		r.last = a
	}
	known, news, higher, half := false, false, false, false
	b.engine.read(a, func(svc *service.Service) {
		higher = serial > svc.Serial
		i := svc.Instance(serial)
		half = b.halfMade(i)
		if i == nil || i.Incarnation != incarnation || !b.makes(i) {
			return
		}
		known = true
		if i.Round != b.round {
			i.Round = b.round
			a.found.add(b.round)
		}
		news = i.Machine != m.State || (len(m.Addresses) > 0 && (len(i.Addresses) == 0 || i.Addresses[0] != m.Addresses[0])) || i.Native != m.Native
	})
	if higher {
		a.lock.Lock()
		a.floor = max(a.floor, serial)
		a.lock.Unlock()
	}
	if news && (m.State >= driver.Held || !half) {
		b.engine.post(a, message{fact: service.Fact{Kind: service.Seen, Serial: serial, Incarnation: incarnation, Machine: m}})
	}
	if known && m.Generation < b.engine.store.Installation().Generation {
		r.stale = append(r.stale, driver.Ref{ID: m.ID, Native: m.Native})
	}
	return known
}

// stamp marks adopted machines as this generation's. What fails is tried again after the next list.
func (b *Backend) stamp(ctx context.Context, stale []driver.Ref) {
	s, ok := driver.As[driver.Stamper](b.Driver)
	if !ok {
		return
	}
	for _, ref := range stale {
		if ctx.Err() != nil || b.engine.paused.Load() {
			return
		}
		if err := s.Stamp(ctx, ref, b.engine.store.Installation().Generation); err != nil {
			b.engine.log.Warn("cannot stamp a machine", "backend", b.Key(), "machine", ref.ID, "error", err)
			return
		}
	}
}

// makes reports whether the instance's machine is this back end's.
func (b *Backend) makes(i *service.Instance) bool {
	impl := i.Implementation()
	return impl != nil && impl.Driver == b.Kind.Name && impl.Account == b.Account
}

// missing returns the machines that should have been in the list which began then, and how many machines
// there should be, leaving ones apart.
func (b *Backend) missing(began time.Time) (absent []absence, known int) {
	visible := began.Add(-b.Kind.VisibleAfter)
	for _, a := range b.engine.all() {
		b.engine.read(a, func(svc *service.Service) {
			if n := a.found.of(b.round); n > 0 && n == upOnly(svc) {
				known += n // all that there are: no need to look at each
				return
			}
			b.machines(svc, func(i *service.Instance, leaving bool) {
				if !leaving {
					known++
				}
				if i.Round == b.round || !a.settledBefore(i, visible, b.engine.began) {
					return
				}
				absent = append(absent, absence{a, service.Fact{Kind: service.Absent, Serial: i.Serial, Incarnation: i.Incarnation}, leaving})
			})
		})
	}
	return absent, known
}

// upOnly returns how many instances a service has; -1 unless all of them are up.
func upOnly(svc *service.Service) (n int) {
	for _, r := range svc.Roles {
		if r.Count(service.Up) != r.Total() {
			return -1
		}
		n += r.Total()
	}
	return n
}

// A roundCount counts the instances of a service whose machines one list found: the list's round above, the
// count below. Back ends that list at the same time spoil each other's count, which can only fall short.
type roundCount struct{ atomic.Uint64 }

func (t *roundCount) add(round uint32) { t.Store(uint64(round)<<32 | uint64(t.of(round)+1)) }

// of returns the count of a round.
func (t *roundCount) of(round uint32) int {
	if v := t.Load(); uint32(v>>32) == round {
		return int(uint32(v))
	}
	return 0
}

// machines calls f for all instances of a service that have, or may have, a machine here. Those that are
// leaving are being removed, or may never have come.
func (b *Backend) machines(svc *service.Service, f func(i *service.Instance, leaving bool)) {
	for _, r := range svc.Roles {
		for i := range r.Instances {
			if i.Phase == service.Queued || i.Phase == service.Backoff || i.Machine == driver.Gone || !b.makes(i) {
				continue
			}
			f(i, i.Doubt || i.Phase == service.Creating || i.Phase == service.Stopping || i.Phase == service.Replacing)
		}
	}
}

// proven reports whether an absence still says something about the instance. The actor is held.
func (a *actor) proven(m *message, began time.Time) bool {
	i := a.svc.Instance(m.fact.Serial)
	return i != nil && i.Incarnation == m.fact.Incarnation && a.settledBefore(i, m.proof, began)
}

// settledBefore reports whether nothing about the instance's machine was under way at that time or later,
// so that a list which began then may count as proof. What an earlier engine asked for ended before this
// one began.
func (a *actor) settledBefore(i *service.Instance, at, began time.Time) bool {
	if i.Since.Time().After(at) || i.Phase == service.Creating && !i.Doubt {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls[i.Serial] != nil {
		return false
	}
	ended, ok := a.doubts[i.Serial]
	if !ok && i.Doubt {
		ended = began
	}
	return !ended.After(at)
}

// ErrNotHalted: healing on the back end is not halted.
var ErrNotHalted = errors.New("healing is not halted there")

// Accept says that the machines which vanished from a halted back end, and are not in its next list, are
// gone indeed.
func (b *Backend) Accept() error {
	b.mu.Lock()
	if b.halted == "" {
		b.mu.Unlock()
		return fmt.Errorf("back end %s: %w", b.Key(), ErrNotHalted)
	}
	b.trusted, b.halted = true, ""
	clear(b.vanished)
	b.mu.Unlock()
	b.lookNow() // what is still missing then is gone
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
	Failing  time.Time `json:"failing,omitzero"` // since when lists fail with Error
	Halted   string    `json:"halted,omitempty"`
	HaltedAt time.Time `json:"halted_at,omitzero"`
	// Condition is what keeps calls from it.
	Condition driver.Condition `json:"-"`
	Creates   int              `json:"creates"` // that wait
	Others    int              `json:"others"`  // other calls that wait
	Strange   int              `json:"unknown"` // machines that no record knows
}

// Status returns how the back end is.
func (b *Backend) Status() BackendStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := BackendStatus{Condition: driver.ConditionOf(b.Driver), Key: b.Key(), Driver: b.Kind.Name, Account: b.Account, Listed: b.listed, Machines: b.known, Error: b.lastErr,
		Halted: b.halted, Creates: b.creates.Len(), Others: b.others.Len(), Strange: len(b.suspects)}
	if b.lastErr != "" {
		s.Failing = b.failing
	}
	if b.halted != "" {
		s.HaltedAt = b.haltedAt
	}
	return s
}

// lookNow asks for a list out of turn.
func (b *Backend) lookNow() {
	select {
	case b.listNow <- struct{}{}:
	default:
	}
}
