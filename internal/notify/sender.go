package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/nearest"
)

// A Transport carries a delivery to its receiver. It returns nil when the receiver has it, a *Failure to
// say how to go on, or any other error to be asked again. It keeps nothing of what it is given, and is
// called from many goroutines.
type Transport interface {
	Send(ctx context.Context, m *Method, d *Delivery) error
}

// A Directory knows methods and alarms as they are now. It answers from memory.
type Directory interface {
	// Method returns nil when there is no such method any more.
	Method(tenant int, id string) *Method
	// Sequence counts the changes of an alarm; 0 when it is gone.
	Sequence(tenant int, alarm string) uint64
}

// A Queue keeps deliveries through a restart. New ones are written by whoever commits the transition
// that causes them.
type Queue interface {
	// Load calls each for every delivery.
	Load(ctx context.Context, each func(Delivery) error) error
	// Apply writes and removes. An id comes once; at most MaxBatch come together. After an error all of it
	// is applied again.
	Apply(ctx context.Context, write, remove []Delivery) error
}

// An Observer is told what happens. Its methods are called from many goroutines; they must not block, nor
// call the Sender.
type Observer interface {
	// Sent: a try of the given length succeeded, latency after the alarm changed (for a repetition, after it
	// was due).
	Sent(d *Delivery, t Type, try, latency time.Duration)
	// Failed: a try of the given length did not. err may hold what only operators may read.
	Failed(d *Delivery, t Type, try time.Duration, err error)
	// Dead: the delivery was given up; d.Reason says why.
	Dead(d *Delivery)
}

// Options wire a Sender.
type Options struct {
	Queue      Queue
	Directory  Directory
	Transports map[Type]Transport
	Observer   Observer // nil for none
	Log        *slog.Logger

	// Sends at the same time: 1024 in all, 128 of one project, 32 of one project to one host, and 8 of
	// one method, when zero. See [Sender].
	Concurrent, PerTenant, PerHost, PerMethod int
	// MaxWaiting deliveries of one method; what comes beyond dies at once. 100,000 when zero.
	MaxWaiting int
	// MaxDead deliveries are kept for one project, the newest; 1000 when zero.
	MaxDead int
	// Grace is how long Close lets sends end by themselves; 1 s when zero.
	Grace time.Duration
	// Jitter returns random numbers from 0 to below 1; those of math/rand when nil.
	Jitter func() float64
}

func (o *Options) defaults() {
	for _, x := range []struct {
		value *int
		usual int
	}{{&o.Concurrent, 1024}, {&o.PerTenant, 128}, {&o.PerHost, 32}, {&o.PerMethod, 8}, {&o.MaxWaiting, 100_000}, {&o.MaxDead, 1000}} {
		if *x.value == 0 {
			*x.value = x.usual
		}
	}
	if o.Grace == 0 {
		o.Grace = time.Second
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Observer == nil {
		o.Observer = unobserved{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

type unobserved struct{}

func (unobserved) Sent(*Delivery, Type, time.Duration, time.Duration) {}
func (unobserved) Failed(*Delivery, Type, time.Duration, error)       {}
func (unobserved) Dead(*Delivery)                                     {}

// A Sender carries deliveries out, each at least once. Those of one alarm by one method go one after the
// other, in the order of the changes; all others side by side.
//
// What hangs holds up nobody else. A method whose last send failed slowly has one send at a time, with
// growing pauses between them, and all such methods together get half of the sends that there may be at
// the same time, of the server and of each project. One that nothing is known of yet has one send at a
// time, too, and the last quarter is for those that are known to work.
type Sender struct {
	o      Options
	ctx    context.Context // of the sends
	cancel context.CancelFunc
	stop   chan struct{} // closed when nothing more is to be started
	once   sync.Once
	wg     sync.WaitGroup // the scheduler and the sends
	writer *writer
	wake   chan struct{} // the scheduler looks again

	mu sync.Mutex
	schedule
}

// Open loads what waits and begins to send. Close must be called.
func Open(ctx context.Context, o Options) (*Sender, error) {
	o.defaults()
	s := &Sender{o: o, stop: make(chan struct{}), wake: make(chan struct{}, 1), writer: newWriter(o.Queue, o.Log)}
	s.schedule = newSchedule(&s.o)
	var all []Delivery
	err := o.Queue.Load(ctx, func(d Delivery) error {
		all = append(all, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load deliveries: %w", err)
	}
	// The dead in the order of their deaths: the oldest go first.
	slices.SortFunc(all, func(a, b Delivery) int { return a.Ended.Compare(b.Ended) })
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.writer.start()
	s.Add(all...)
	s.wg.Go(s.run)
	return s, nil
}

// Close ends sends, at once after Options.Grace, and writes down what became of the deliveries. What was
// not sent is sent by the next Sender on the same queue.
func (s *Sender) Close() {
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.stop)
		grace := time.AfterFunc(s.o.Grace, s.cancel)
		s.wg.Wait()
		grace.Stop()
		s.cancel()
		s.writer.close()
	})
}

// Add takes over deliveries that are in the queue already. One that it has is passed over.
func (s *Sender) Add(deliveries ...Delivery) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range deliveries {
		s.add(&deliveries[i], now)
	}
	s.pump(now)
}

// add puts one where it belongs.
func (s *Sender) add(d *Delivery, now time.Time) {
	t := s.tenant(d.Tenant)
	if t.items[d.ID] != nil {
		return
	}
	x := &item{Delivery: *d}
	t.items[d.ID] = x
	if d.Phase == Dead {
		s.bury(t, x)
		return
	}
	o := s.outlet(t, d.Method)
	if o.waiting >= s.o.MaxWaiting {
		x.Delivery = x.die(now, fmt.Sprintf("%d notifications wait for this method already", o.waiting))
		s.writer.write(x.Delivery)
		s.bury(t, x)
		dead := x.Delivery
		s.o.Observer.Dead(&dead)
		return
	}
	s.join(o, x, now)
}

// join makes a delivery wait in its lane. A repetition ends when a newer change of its alarm follows.
func (s *Sender) join(o *outlet, x *item, now time.Time) {
	l := s.lane(o, x)
	l.insert(x)
	o.waiting++
	for i := len(l.waiting) - 1; i >= 0; i-- {
		if old := l.waiting[i]; l.superseded(old) && !(l.busy && i == 0) {
			s.forget(l, old)
		}
	}
	s.arm(l, now)
}

// forget removes a delivery for good.
func (s *Sender) forget(l *lane, x *item) {
	l.remove(x)
	l.outlet.waiting--
	delete(l.outlet.tenant.items, x.ID)
	s.writer.remove(x.Delivery)
}

// bury keeps a dead delivery to be seen, in place of the oldest when there are too many.
func (s *Sender) bury(t *tenant, x *item) {
	t.dead = append(t.dead, x)
	for len(t.dead) > s.o.MaxDead {
		s.exhume(t, t.dead[0])
	}
}

func (s *Sender) exhume(t *tenant, x *item) {
	t.dead = slices.DeleteFunc(t.dead, func(y *item) bool { return y == x })
	delete(t.items, x.ID)
	s.writer.remove(x.Delivery)
}

// purge drops the dead whose time is over.
func (s *Sender) purge(now time.Time) {
	for _, t := range s.tenants {
		for len(t.dead) > 0 && now.Sub(t.dead[0].Ended) >= KeepDead {
			s.exhume(t, t.dead[0])
		}
		s.tidy(t, now)
	}
}

// run starts what falls due.
func (s *Sender) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var purged time.Time
	for {
		now := time.Now()
		s.mu.Lock()
		s.due(now)
		if now.Sub(purged) >= time.Hour {
			s.purge(now)
			purged = now
		}
		s.pump(now)
		next := s.nextDue(purged.Add(time.Hour))
		s.mu.Unlock()
		timer.Reset(time.Until(next))
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.stop:
			return
		}
	}
}

// pump starts as many sends as may be; the lock is held.
func (s *Sender) pump(now time.Time) {
	for !s.closed {
		l := s.next(now)
		if l == nil {
			break
		}
		place := s.take(l, now)
		d := l.waiting[0].Delivery
		s.wg.Go(func() { s.carry(l, d, place) })
	}
	if s.earlier() {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// carry sends one delivery and settles what becomes of it.
func (s *Sender) carry(l *lane, d Delivery, place place) {
	around := Surroundings{Now: time.Now(), Method: s.o.Directory.Method(d.Tenant, d.Method), Sequence: s.o.Directory.Sequence(d.Tenant, d.Message.Alarm)}
	d, step := d.Before(around)
	var took time.Duration
	var err error
	tried := step == Send
	if tried {
		try := d
		err = s.send(around.Method, &try)
		took = time.Since(around.Now)
		if err != nil && s.ctx.Err() != nil {
			s.settle(l, d, Send, place, nil) // the next Sender tries it
			return
		}
		around.Now = around.Now.Add(took)
		s.observe(&try, around.Method.Type, took, around.Now, err)
		d, step = d.After(err, around, s.o.Jitter())
	}
	if d.Phase == Dead {
		buried := d
		s.o.Observer.Dead(&buried)
	}
	s.settle(l, d, step, place, &outcome{tried, around.Method, took, err})
}

func (s *Sender) observe(d *Delivery, t Type, took time.Duration, now time.Time, err error) {
	if err != nil {
		s.o.Observer.Failed(d, t, took, err)
		return
	}
	since := d.Message.Time
	if d.Phase == Repeating {
		since = d.Since
	}
	s.o.Observer.Sent(d, t, took, now.Sub(since))
}

func (s *Sender) send(m *Method, d *Delivery) error {
	t := s.o.Transports[m.Type]
	if t == nil {
		return &Failure{Reason: fmt.Sprintf("this server is not set up for %s", m.Type), Permanent: true}
	}
	return t.Send(s.ctx, m, d)
}

// settle writes the outcome down and lets the next go.
func (s *Sender) settle(l *lane, d Delivery, step Step, place place, out *outcome) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(l, place, out, now, s.o.Jitter())
	x := l.waiting[0]
	x.Delivery = d
	switch {
	case out == nil:
	case x.discarded || step == Remove || l.superseded(x):
		s.forget(l, x)
	case d.Phase == Dead:
		s.writer.write(d)
		l.remove(x)
		l.outlet.waiting--
		s.bury(l.outlet.tenant, x)
	default:
		s.writer.write(d)
	}
	s.arm(l, now)
	s.pump(now)
}

// ErrNoDelivery: there is no such delivery; it may have arrived.
var ErrNoDelivery = errors.New("no such delivery")

// Deliveries returns those of a project that wait, retry, repeat or are dead, the oldest first; of one
// method unless that is "".
func (s *Sender) Deliveries(tenant int, method string) []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[tenant]
	if t == nil {
		return nil
	}
	out := make([]Delivery, 0, len(t.items))
	for _, x := range t.items {
		if method == "" || x.Method == method {
			out = append(out, x.Delivery)
		}
	}
	slices.SortFunc(out, func(a, b Delivery) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Resend gives a dead delivery a new life, or lets one that retries go at once.
func (s *Sender) Resend(tenant int, id string) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	t, x, err := s.find(tenant, id)
	if err != nil {
		return err
	}
	switch x.Phase {
	case Dead:
		t.dead = slices.DeleteFunc(t.dead, func(y *item) bool { return y == x })
		x.Delivery = x.Delivery.Resend(now)
		s.writer.write(x.Delivery)
		o := s.outlet(t, x.Method)
		o.paused = time.Time{}
		s.join(o, x, now)
		s.offer(o, now)
	case Retrying:
		l := s.lane(s.outlet(t, x.Method), x)
		if !l.busy || l.waiting[0] != x {
			x.Next, l.outlet.paused = now, time.Time{}
			s.arm(l, now)
			s.offer(l.outlet, now)
		}
	}
	s.pump(now)
	return nil
}

// Discard removes a delivery, dead or waiting. One that is on its way right now may still arrive.
func (s *Sender) Discard(tenant int, id string) error {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	t, x, err := s.find(tenant, id)
	if err != nil {
		return err
	}
	if x.Phase == Dead {
		s.exhume(t, x)
		return nil
	}
	l := s.lane(s.outlet(t, x.Method), x)
	if l.busy && l.waiting[0] == x {
		x.discarded = true
		return nil
	}
	s.forget(l, x)
	s.arm(l, now)
	s.pump(now)
	return nil
}

func (s *Sender) find(tenant int, id string) (*tenant, *item, error) {
	t := s.tenants[tenant]
	if t == nil {
		return nil, nil, ErrNoDelivery
	}
	x := t.items[id]
	if x == nil {
		known := make([]string, 0, len(t.dead))
		for _, d := range t.dead {
			known = append(known, d.ID)
		}
		return nil, nil, fmt.Errorf("%w %.100q%s", ErrNoDelivery, id, nearest.Hint(id, known))
	}
	return t, x, nil
}

// Stats are figures for metrics.
type Stats struct {
	Waiting  int // queued, retrying or repeating
	Dead     int
	InFlight int
	Unsaved  int // changes of records that wait for the queue
}

// Stats returns the figures of now.
func (s *Sender) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{InFlight: s.load.all, Unsaved: s.writer.waiting()}
	for _, t := range s.tenants {
		out.Dead += len(t.dead)
		out.Waiting += len(t.items) - len(t.dead)
	}
	return out
}
