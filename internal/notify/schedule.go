package notify

import (
	"container/heap"
	"net/url"
	"slices"
	"time"
)

// slow is a failed try that held its place for long.
const slow = time.Second

// A schedule says whose turn it is. It does no I/O and needs the Sender's lock.
type schedule struct {
	o       *Options
	tenants map[int]*tenant
	ready   []*tenant // with outlets that may go, in turn
	clock   clock     // what waits for its time
	armed   time.Time // when the scheduler wakes; zero: it is awake
	load    load
	closed  bool
}

// A load counts sends in flight.
type load struct {
	all  int
	new  int // by outlets that nothing is known of
	slow int // by outlets whose last send failed slowly
}

func (l *load) count(k kind, n int) {
	l.all += n
	switch k {
	case unknown:
		l.new += n
	case hanging:
		l.slow += n
	}
}

// room reports whether one more may go when there may be most: a quarter is for the trusted alone, and
// another is closed to the hanging.
func (l *load) room(k kind, most int) bool {
	switch {
	case l.all >= most:
		return false
	case k == unknown:
		return l.new+l.slow < max(1, most-most/4)
	case k == hanging:
		return l.slow < max(1, most/2)
	}
	return true
}

// A kind is what is known of an outlet.
type kind int

const (
	unknown kind = iota
	trusted      // the last send succeeded, or failed at once
	hanging      // the last send failed slowly
)

func newSchedule(o *Options) schedule { return schedule{o: o, tenants: map[int]*tenant{}} }

// An item is a delivery that the Sender holds.
type item struct {
	Delivery
	discarded bool // while on its way
}

// A tenant is a project with its deliveries.
type tenant struct {
	id      int
	items   map[string]*item
	dead    []*item // the oldest first
	outlets map[string]*outlet
	hosts   map[string]int // sends in flight
	ready   []*outlet      // that may go, in turn
	queued  bool           // in schedule.ready
	load    load
}

// An outlet is a method as a way out.
type outlet struct {
	tenant   *tenant
	method   string
	lanes    map[laneKey]*lane
	ready    []*lane // whose first delivery is due, in turn
	queued   bool    // in tenant.ready
	waiting  int     // deliveries
	inFlight int
	host     string // as of the last send
	kind     kind
	used     time.Time // last
	strikes  int       // slow failures in a row
	paused   time.Time // until then
	wakeup   wakeup
}

// Tests of an alarm go beside its changes, not among them.
type laneKey struct {
	alarm string
	test  bool
}

// A lane holds the deliveries of one alarm by one method, which go one after the other.
type lane struct {
	outlet  *outlet
	key     laneKey
	waiting []*item // by sequence
	busy    bool    // the first is on its way
	queued  bool    // in outlet.ready
	wakeup  wakeup
}

func (s *schedule) tenant(id int) *tenant {
	t := s.tenants[id]
	if t == nil {
		t = &tenant{id: id, items: map[string]*item{}, outlets: map[string]*outlet{}, hosts: map[string]int{}}
		s.tenants[id] = t
	}
	return t
}

func (s *schedule) outlet(t *tenant, method string) *outlet {
	o := t.outlets[method]
	if o == nil {
		o = &outlet{tenant: t, method: method, lanes: map[laneKey]*lane{}}
		o.wakeup = wakeup{outlet: o, index: -1}
		t.outlets[method] = o
	}
	return o
}

func (s *schedule) lane(o *outlet, x *item) *lane {
	key := laneKey{x.Message.Alarm, x.Message.Test}
	l := o.lanes[key]
	if l == nil {
		l = &lane{outlet: o, key: key}
		l.wakeup = wakeup{lane: l, index: -1}
		o.lanes[key] = l
	}
	return l
}

// insert keeps the order of the alarm's changes, but overtakes nothing that is on its way.
func (l *lane) insert(x *item) {
	at := len(l.waiting)
	for at > 0 && l.waiting[at-1].Message.Sequence > x.Message.Sequence && !(at == 1 && l.busy) {
		at--
	}
	l.waiting = slices.Insert(l.waiting, at, x)
}

func (l *lane) remove(x *item) {
	l.waiting = slices.DeleteFunc(l.waiting, func(y *item) bool { return y == x })
}

// superseded reports whether x is a repetition and the alarm has changed since.
func (l *lane) superseded(x *item) bool {
	return x.Phase == Repeating && l.waiting[len(l.waiting)-1].Message.Sequence > x.Message.Sequence
}

// arm makes a lane wait for its first delivery's time, or its turn.
func (s *schedule) arm(l *lane, now time.Time) {
	s.clock.cancel(&l.wakeup)
	switch {
	case l.busy || l.queued && len(l.waiting) > 0 && !l.waiting[0].Next.After(now):
		return
	case len(l.waiting) == 0:
		l.unqueue()
		delete(l.outlet.lanes, l.key)
		return
	case l.waiting[0].Next.After(now):
		l.unqueue()
		s.clock.set(&l.wakeup, l.waiting[0].Next)
		return
	}
	l.queued = true
	l.outlet.ready = append(l.outlet.ready, l)
	s.offer(l.outlet, now)
}

func (l *lane) unqueue() {
	if l.queued {
		l.queued = false
		l.outlet.ready = slices.DeleteFunc(l.outlet.ready, func(x *lane) bool { return x == l })
	}
}

// tidy lets outlets go that have not been used for an hour, and a tenant that has nothing. Until then what
// is known of an outlet is of use.
func (s *schedule) tidy(t *tenant, now time.Time) {
	for id, o := range t.outlets {
		if len(o.lanes) == 0 && o.inFlight == 0 && !o.queued && now.Sub(o.used) >= time.Hour {
			s.clock.cancel(&o.wakeup)
			delete(t.outlets, id)
		}
	}
	if len(t.items) == 0 && len(t.outlets) == 0 && !t.queued {
		delete(s.tenants, t.id)
	}
}

// offer queues an outlet that has something to send and may.
func (s *schedule) offer(o *outlet, now time.Time) {
	if o.queued || len(o.ready) == 0 || o.inFlight >= o.limit(s.o) {
		return
	}
	if o.paused.After(now) {
		s.clock.set(&o.wakeup, o.paused)
		return
	}
	o.queued = true
	o.tenant.ready = append(o.tenant.ready, o)
	if !o.tenant.queued {
		o.tenant.queued = true
		s.ready = append(s.ready, o.tenant)
	}
}

func (o *outlet) limit(options *Options) int {
	if o.kind == trusted {
		return options.PerMethod
	}
	return 1
}

// next takes out the lane whose turn it is: projects take turns, methods within them, lanes within these.
// nil: none may go.
func (s *schedule) next(now time.Time) *lane {
	if s.load.all >= s.o.Concurrent {
		return nil
	}
	for range len(s.ready) {
		t := s.ready[0]
		s.ready = s.ready[1:]
		o := s.nextOutlet(t)
		if t.queued = len(t.ready) > 0; t.queued {
			s.ready = append(s.ready, t)
		}
		if o == nil {
			continue
		}
		l := o.ready[0]
		o.ready, l.queued = o.ready[1:], false
		return l
	}
	return nil
}

// nextOutlet takes out an outlet of t that may go.
func (s *schedule) nextOutlet(t *tenant) *outlet {
	if t.load.all >= s.o.PerTenant {
		return nil
	}
	for range len(t.ready) {
		o := t.ready[0]
		t.ready = t.ready[1:]
		if len(o.ready) == 0 {
			o.queued = false
			continue
		}
		if s.load.room(o.kind, s.o.Concurrent) && t.load.room(o.kind, s.o.PerTenant) && (o.host == "" || t.hosts[o.host] < s.o.PerHost) {
			o.queued = false
			return o
		}
		t.ready = append(t.ready, o)
	}
	return nil
}

// A place is what a send occupies.
type place struct {
	host string
	kind kind
}

// take occupies a place for the first delivery of a lane.
func (s *schedule) take(l *lane, now time.Time) place {
	o, t := l.outlet, l.outlet.tenant
	p := place{o.host, o.kind}
	l.busy = true
	s.load.count(p.kind, 1)
	t.load.count(p.kind, 1)
	o.inFlight++
	t.hosts[p.host]++
	s.offer(o, now)
	return p
}

// An outcome is what a turn brought.
type outcome struct {
	tried  bool
	method *Method // nil: it is gone
	took   time.Duration
	err    error
}

// release gives the place back and judges the outlet.
func (s *schedule) release(l *lane, p place, out *outcome, now time.Time, jitter float64) {
	o, t := l.outlet, l.outlet.tenant
	l.busy = false
	s.load.count(p.kind, -1)
	t.load.count(p.kind, -1)
	o.inFlight--
	if t.hosts[p.host]--; t.hosts[p.host] == 0 {
		delete(t.hosts, p.host)
	}
	o.used = now
	if out != nil && out.tried {
		o.host = receiver(out.method)
		switch {
		case out.err == nil:
			o.kind, o.strikes, o.paused = trusted, 0, time.Time{}
		case out.took >= slow:
			o.kind = hanging
			o.strikes++
			o.paused = now.Add(Pause(o.strikes, jitter))
		case o.kind == unknown:
			o.kind = trusted // a refusal at once holds up nobody
		}
	}
	s.offer(o, now)
}

// receiver names what several methods may share: a host, or what the operator set up.
func receiver(m *Method) string {
	if !m.Type.posts() {
		return string(m.Type)
	}
	u, err := url.Parse(m.Address)
	if err != nil {
		return ""
	}
	return u.Host
}

// due moves what has reached its time to where it waits for its turn.
func (s *schedule) due(now time.Time) {
	s.armed = time.Time{}
	for len(s.clock) > 0 && !s.clock[0].at.After(now) {
		a := s.clock[0]
		s.clock.cancel(a)
		if a.lane != nil {
			s.arm(a.lane, now)
		} else {
			s.offer(a.outlet, now)
		}
	}
}

// nextDue returns when the scheduler has to wake, at the latest at the given time.
func (s *schedule) nextDue(latest time.Time) time.Time {
	s.armed = latest
	if len(s.clock) > 0 && s.clock[0].at.Before(latest) {
		s.armed = s.clock[0].at
	}
	return s.armed
}

// earlier reports whether the scheduler sleeps for too long.
func (s *schedule) earlier() bool {
	return !s.armed.IsZero() && len(s.clock) > 0 && s.clock[0].at.Before(s.armed)
}

// A wakeup is for a lane or an outlet.
type wakeup struct {
	at     time.Time
	index  int // in the clock; -1: not set
	lane   *lane
	outlet *outlet
}

// A clock is a heap of wakeups, the earliest first.
type clock []*wakeup

func (c *clock) set(a *wakeup, at time.Time) {
	c.cancel(a)
	a.at = at
	heap.Push(c, a)
}

func (c *clock) cancel(a *wakeup) {
	if a.index >= 0 {
		heap.Remove(c, a.index)
	}
}

func (c clock) Len() int           { return len(c) }
func (c clock) Less(i, j int) bool { return c[i].at.Before(c[j].at) }
func (c clock) Swap(i, j int) {
	c[i], c[j] = c[j], c[i]
	c[i].index, c[j].index = i, j
}

// Push and Pop are for package heap.
func (c *clock) Push(x any) {
	a := x.(*wakeup)
	a.index = len(*c)
	*c = append(*c, a)
}

func (c *clock) Pop() any {
	last := len(*c) - 1
	a := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	a.index = -1
	return a
}
