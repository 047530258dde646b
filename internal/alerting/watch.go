package alerting

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/wake"
)

// A watch is a definition that is watched: its monitor and what surrounds it.
type watch struct {
	id     string
	tenant int
	shard  uint8
	// service is that whose spec the definition comes from; 0 for one that a user made.
	service uint64

	slot wake.Slot[*watch]

	mu      sync.Mutex // guards what follows
	monitor *alarm.Monitor
	owner   int // as whom it orders services about; those of a service's description act on that service alone
	created time.Time
	updated time.Time
	head    int64              // revision of the definition's record; 0 for one from a service
	armed   time.Time          // when the clock wakes it
	busy    bool               // a commit is under way
	again   bool               // there is more to commit after it
	decided []alarm.Transition // while it was
	loading bool               // its windows are to be refilled; it decides nothing yet
	gone    bool
	changes chan struct{} // closed when the commit under way has ended; nil without one
}

// Joined implements telemetry.Sink.
func (a *Alerting) Joined(s *metric.Series) {
	key := metricKey{s.Tenant, s.Name}
	a.mu.Lock()
	if a.live[key] == nil {
		a.live[key] = make(map[uint32]*metric.Series)
	}
	a.live[key][s.ID] = s
	watches := slices.Clone(a.byMetric[key])
	readers := a.readersOf(s)
	a.mu.Unlock()
	for _, w := range watches {
		a.join(w, s)
	}
	for _, r := range readers {
		r.join(a, s)
	}
}

// Dropped implements telemetry.Sink.
func (a *Alerting) Dropped(s *metric.Series) {
	key := metricKey{s.Tenant, s.Name}
	a.mu.Lock()
	delete(a.live[key], s.ID)
	if len(a.live[key]) == 0 {
		delete(a.live, key)
	}
	a.mu.Unlock()
	a.table.change(s, func(all *subscribers) {
		for _, x := range all.feeds {
			x.watch.mu.Lock()
			if !x.watch.gone {
				x.watch.monitor.Leave(x.feed)
			}
			x.watch.mu.Unlock()
		}
		for _, p := range all.probes {
			p.reader.leave(p)
		}
		all.feeds, all.probes = nil, nil
	})
}

// join lets a watch have the points of a series, if they are for it.
func (a *Alerting) join(w *watch, s *metric.Series) {
	joined := false
	a.table.change(s, func(all *subscribers) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.gone || slices.ContainsFunc(all.feeds, func(x subscription) bool { return x.watch == w }) {
			return
		}
		if f := w.monitor.Join(s); f != nil {
			all.feeds = append(all.feeds, subscription{w, f})
			joined = s.Origin.Serial != 0 && w.monitor.PerInstance()
		}
	})
	if joined {
		a.about(w, s.Origin.Service)
		a.attend(s.Origin.Service, []uint32{s.Origin.Serial}, w)
	}
}

// Observe implements telemetry.Sink: it is the way of every sample.
func (a *Alerting) Observe(points []metric.Point, now time.Time) {
	ms := now.UnixMilli()
	var held *watch // locked: points that follow each other are often for the same one
	due := false
	for i := range points {
		p := &points[i]
		all := a.table.of(p.Series.ID)
		if all == nil || all.series != p.Series {
			continue
		}
		for _, x := range all.feeds {
			if x.watch != held {
				a.release(held, due)
				held, due = x.watch, false
				held.mu.Lock()
			}
			if !held.gone && x.feed.Add(p.Time, p.Value, ms) {
				due = true
			}
		}
		for _, probe := range all.probes {
			probe.add(a, p, now)
		}
	}
	a.release(held, due)
}

// release unlocks a watch after samples, and gives it a turn if it is due.
func (a *Alerting) release(w *watch, due bool) {
	if w == nil {
		return
	}
	if !due {
		a.arm(w)
		w.mu.Unlock()
		return
	}
	w.mu.Unlock()
	a.turn(w)
}

// arm sees to it that the clock wakes the watch in time. It is locked.
func (a *Alerting) arm(w *watch) {
	if w.busy || w.gone {
		return
	}
	var at time.Time
	if ms, ok := w.monitor.Wake(); ok {
		at = time.UnixMilli(ms)
	}
	// A time that is too early costs a look and no more.
	if !at.IsZero() && (w.armed.IsZero() || at.Before(w.armed)) {
		w.armed = at
		a.clock.Set(&w.slot, w, at)
	}
}

// turnLater is what the clock does.
func (a *Alerting) turnLater(w *watch) { a.due.Push(func() { a.turn(w) }) }

// turn lets a watch decide, and commits what it came to, after what is being committed already.
func (a *Alerting) turn(w *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a.turnLocked(w)
}

func (a *Alerting) turnLocked(w *watch) {
	if w.gone {
		return
	}
	now := time.Now()
	if !w.armed.After(now) {
		w.armed = time.Time{}
	}
	started := time.Now()
	decided := w.monitor.Decide(now.UnixMilli())
	a.figures.decided(time.Since(started), decided)
	w.decided = append(w.decided, decided...)
	if w.busy {
		w.again = true // what was decided is committed next
		return
	}
	transitions := w.decided
	w.decided = nil
	records, more := w.monitor.Changes()
	if len(transitions) == 0 && len(records) == 0 {
		a.arm(w)
		return
	}
	w.busy, w.again, w.changes = true, more, make(chan struct{})
	c := a.consequencesOf(w, transitions)
	a.calls.Add(1)
	a.commit(w, a.transactions(w, records, c), c, 0)
}

// commit submits the transactions of a turn one after the other. What is not answered for certain, or fails, is
// submitted again: everything in them may be written twice, and only this server writes it.
func (a *Alerting) commit(w *watch, txns []store.Txn, c *consequences, misses int) {
	if len(txns) == 0 {
		a.due.Push(func() { a.settle(w, c) })
		return
	}
	a.store.Submit(txns[0], func(_ int64, err error) {
		switch {
		case err == nil:
			a.commit(w, txns[1:], c, 0)
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrClosed), a.ctx.Err() != nil:
			// The shards are another server's, the definition was removed, or this server ends: whoever has it
			// next decides from what is stored.
			a.log.Info("what an alarm decided is dropped", "definition", w.id, "reason", err)
			go func() {
				defer a.calls.Done()
				w.mu.Lock()
				defer w.mu.Unlock()
				a.free(w)
				w.gone = true
			}()
		default:
			a.log.Warn("what an alarm decided is not stored yet", "definition", w.id, "error", err)
			wait := min(20*time.Millisecond<<min(misses, 8), 5*time.Second)
			time.AfterFunc(wait, func() { a.commit(w, txns, c, misses+1) })
		}
	})
}

// settle follows a commit: what it asks for is done, and the watch decides again if it is due.
func (a *Alerting) settle(w *watch, c *consequences) {
	defer a.calls.Done()
	a.carryOut(w, c)
	w.mu.Lock()
	defer w.mu.Unlock()
	a.free(w)
	again := w.again || len(w.decided) > 0
	if ms, ok := w.monitor.Wake(); ok && ms <= time.Now().UnixMilli() {
		again = true
	}
	if w.again = false; again {
		a.turnLocked(w)
		return
	}
	a.arm(w)
}

// free ends a turn. The watch is locked.
func (a *Alerting) free(w *watch) {
	w.busy = false
	close(w.changes)
	w.changes = nil
}

// change lets f change a watch, commits what follows and waits for that.
func (a *Alerting) change(ctx context.Context, w *watch, f func(m *alarm.Monitor, now int64) error) error {
	for {
		w.mu.Lock()
		if w.gone {
			w.mu.Unlock()
			return alarm.ErrNoAlarm
		}
		if w.busy {
			wait := w.changes
			w.mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		if err := f(w.monitor, time.Now().UnixMilli()); err != nil {
			w.mu.Unlock()
			return err
		}
		a.turnLocked(w)
		wait := w.changes
		w.mu.Unlock()
		if wait == nil {
			return nil
		}
		select {
		case <-wait:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// consequences are what follows a turn once it is committed.
type consequences struct {
	transitions []alarm.Transition
	deliveries  map[uint32][]notify.Delivery // by the alarm's serial
	errands     map[uint32][]*errand
}
