package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/value"

	"github.com/troupe-dev/troupe/internal/metric"
)

// A Sink sees points before history does: the alarms. It must be quick and safe for concurrent use, and must not
// call Intake.Write.
type Sink interface {
	// Joined says that there is a new series. It comes before the series' first point, and holds up other new series of
	// the tenant.
	Joined(s *metric.Series)
	// Observe shows the points of one request: of one tenant, in the order sent, all finite. The slice is used again
	// when the call returns. Points of one series may come out of order.
	Observe(points []metric.Point, now time.Time)
	// Dropped says that the series is gone. No call about it follows, and its ID will be another's.
	Dropped(s *metric.Series)
}

// A Recorder keeps points: History, and a Forwarder.
type Recorder interface {
	// Append records points of one tenant. The slice is used again when the call returns.
	Append(points []metric.Point) error
	// Forget says that a series' ID will be another's.
	Forget(s *metric.Series)
}

// Options of an Intake. Zero values take the defaults that are named.
type Options struct {
	Sink    Sink     // nil for none
	History Recorder // nil for none
	Forward Recorder // nil for none
	// Limits is asked at every request, so that a change takes effect at once: it must be quick. nil: DefaultLimits for all.
	Limits     func(tenant int) Limits
	Concurrent int           // requests of one tenant that are being decoded at the same time; default 4
	MaxSeries  int           // of all tenants; default 2,000,000
	Idle       time.Duration // a series without samples for so long is dropped, unless pinned; default 1 h
	// Gone reports whether the instance that samples were about is no more: its series are dropped after goneIdle, since where
	// instances come and go all the time there would be far more of theirs than of those that run. nil: none is.
	Gone    func(o metric.Origin) bool
	Future  time.Duration // how far a sample's time may be ahead; default 5 min
	Past    time.Duration // and behind for Sink to see it; default 1 h
	Retain  time.Duration // how old a sample may be that is kept; default 15 days, as HistoryOptions.Retention
	Backlog int           // samples kept in memory while history fails; default 200,000
	Log     *slog.Logger  // nil: slog.Default
}

// An Intake knows all live series, and takes samples in. It is safe for concurrent use.
type Intake struct {
	o       Options
	mu      sync.RWMutex
	tenants map[int]*tenant
	ids     idTable
	series  atomic.Int64
	counts  [reasons]atomic.Uint64
	taken   atomic.Uint64
	record  recording
}

// NewIntake returns an intake without series.
func NewIntake(o Options) *Intake {
	o.MaxSeries = cmp.Or(o.MaxSeries, 2_000_000)
	o.Concurrent = cmp.Or(o.Concurrent, 4)
	o.Idle = cmp.Or(o.Idle, time.Hour)
	o.Future = cmp.Or(o.Future, 5*time.Minute)
	o.Past = cmp.Or(o.Past, time.Hour)
	o.Retain = cmp.Or(o.Retain, retention)
	o.Past = min(o.Past, o.Retain)
	o.Backlog = cmp.Or(o.Backlog, 200_000)
	if o.Limits == nil {
		o.Limits = func(int) Limits { return DefaultLimits }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	in := &Intake{o: o, tenants: make(map[int]*tenant)}
	in.record = recording{to: o.History, limit: o.Backlog, log: o.Log}
	return in
}

// tenant returns a tenant's part of the index, made when first asked for.
func (in *Intake) tenant(id int) *tenant {
	in.mu.RLock()
	t := in.tenants[id]
	in.mu.RUnlock()
	if t != nil {
		return t
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if t = in.tenants[id]; t == nil {
		t = &tenant{id: id, slots: make(chan struct{}, in.o.Concurrent)}
		t.done = func() { <-t.slots }
		for i := range t.shards {
			t.shards[i].series = make(map[uint64]*entry)
		}
		in.tenants[id] = t
	}
	return t
}

// A Result says what became of one request.
type Result struct {
	Taken      int          // samples that are new to history; a native histogram is three
	Samples    int          // as they were sent, without native histograms; those that history had already are counted, too
	Histograms int          // native ones
	Counts     [reasons]int // by Reason
	Wrong      *MetricError // of the first series that is not allowed; nil for none
}

// Write takes a batch in. When it returns, the sink has seen the points, and history has them or keeps them for
// another try: its failures are not the sender's.
//
// Errors: a *LimitError when the tenant has reached a limit; a *MetricError, which is Result.Wrong, when nothing is taken
// because of series that are not allowed. In Monasca's format one is enough for that; in the others it takes that none is allowed.
func (in *Intake) Write(who *Binding, b *Batch, now time.Time) (Result, error) {
	t, limits := in.tenant(who.Tenant), in.o.Limits(who.Tenant)
	r := Result{Counts: b.lost}
	defer func() { in.add(&r) }()
	if wait := t.bucket.take(len(b.points), limits, now); wait > 0 {
		r.Counts[OverRate] += len(b.points)
		return r, &LimitError{Reason: OverRate, Limit: limits.Rate, Refused: len(b.points), RetryAfter: wait}
	}
	t.gate.RLock()
	defer t.gate.RUnlock()
	if wrong := in.resolve(t, who, b, &r); wrong > 0 && (b.strict || wrong == len(b.series)) {
		r.Counts[Invalid] += len(b.points)
		return r, r.Wrong
	}
	limit := in.create(t, limits, b, now)
	in.sift(b, &r, now)
	if limit != nil {
		limit.Refused = r.Counts[limit.Reason]
	}
	r.Taken = len(b.out) + len(b.marks)
	if len(b.out) > 0 && in.o.Sink != nil {
		in.o.Sink.Observe(b.out, now)
	}
	all := append(b.out, b.marks...)
	b.out = all[:len(b.out)]
	if len(all) > 0 {
		in.record.append(all, now)
		if in.o.Forward != nil {
			_ = in.o.Forward.Append(all) // never fails: it counts what it drops
		}
	}
	if limit != nil {
		return r, limit
	}
	return r, nil
}

func (in *Intake) add(r *Result) {
	in.taken.Add(uint64(r.Taken))
	for i, n := range r.Counts {
		if n > 0 {
			in.counts[i].Add(uint64(n))
		}
	}
}

// refused marks a series of a batch that is not taken.
var refused [reasons]*entry

func init() {
	for i := range refused {
		refused[i] = new(entry)
	}
}

// resolve finds the batch's series, and tells how many are not allowed. New ones are checked and stay nil in b.found.
func (in *Intake) resolve(t *tenant, who *Binding, b *Batch, r *Result) (wrong int) {
	x := newBinder(who)
	for i := range b.series {
		s := &b.series[i]
		origin, moved := x.bind(b, s)
		if moved {
			r.Counts[MovedAside]++
		}
		d := b.labels[s.from:s.to]
		sortDimensions(d)
		s.hash, s.origin = b.sum(t.seed(), s.name, d), origin
		e := t.find(s.hash, s.name, d)
		if e == nil {
			if err := checkSeries(s.name, d, b.strict); err != nil {
				e, wrong = refused[Invalid], wrong+1
				if r.Wrong == nil {
					r.Wrong = &MetricError{Element: i, Name: string([]byte(s.name)), Err: err}
				}
			}
		}
		b.found = append(b.found, e)
	}
	return wrong
}

// create makes the series that are new, as far as the limits go.
func (in *Intake) create(t *tenant, limits Limits, b *Batch, now time.Time) *LimitError {
	var first *LimitError
	for i, e := range b.found {
		if e != nil {
			continue
		}
		e, err := in.join(t, limits, b, &b.series[i], now)
		if err != nil {
			if first == nil {
				first = err
			}
			e = refused[err.Reason]
		}
		b.found[i] = e
	}
	return first
}

// join adds one series to the index.
func (in *Intake) join(t *tenant, limits Limits, b *Batch, raw *rawSeries, now time.Time) (*entry, *LimitError) {
	d := b.labels[raw.from:raw.to]
	s := &t.shards[raw.hash%shardsPerTenant]
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.series[raw.hash]; e != nil; e = e.next {
		if e.is(raw.name, d) {
			return e, nil
		}
	}
	if t.series.Add(1) > int64(limits.Series) {
		t.series.Add(-1)
		return nil, &LimitError{Reason: OverSeries, Limit: float64(limits.Series), RetryAfter: in.sweepEvery()}
	}
	if in.series.Add(1) > int64(in.o.MaxSeries) {
		t.series.Add(-1)
		in.series.Add(-1)
		return nil, &LimitError{Reason: OverSeries, Limit: float64(in.o.MaxSeries), RetryAfter: in.sweepEvery()}
	}
	if full := t.values.full(d, limits.Values); full != "" {
		t.series.Add(-1)
		in.series.Add(-1)
		return nil, &LimitError{Reason: OverValues, Limit: float64(limits.Values), Dimension: full, RetryAfter: in.sweepEvery()}
	}
	e := &entry{hash: raw.hash, next: s.series[raw.hash]}
	e.Name, e.Dimensions = own(raw.name, d)
	t.values.add(e.Dimensions)
	e.Tenant, e.Origin = t.id, raw.origin
	if e.Origin.Role != "" {
		e.Origin.Role, _ = e.Dimensions.Get(dimRole)
	}
	e.at.Store(math.MinInt64)
	e.seen.Store(now.UnixMilli())
	in.ids.add(e)
	if in.o.Sink != nil {
		in.o.Sink.Joined(&e.Series)
	}
	s.series[raw.hash] = e
	return e, nil
}

// sift decides on each sample: what sink and history see goes to b.out, what history alone sees to b.marks.
func (in *Intake) sift(b *Batch, r *Result, now time.Time) {
	ms := now.UnixMilli()
	j := judge{now: ms, future: ms + in.o.Future.Milliseconds(), past: ms - in.o.Past.Milliseconds(), oldest: ms - in.o.Retain.Milliseconds()}
	for i := range b.points {
		p := &b.points[i]
		e := b.found[p.series]
		verdict, why := j.of(p, e)
		if why < reasons {
			r.Counts[why]++
		}
		switch point := (metric.Point{Series: &e.Series, Time: p.time, Value: p.value, Meta: p.meta, Histogram: p.histogram}); verdict {
		case forAll:
			b.out = append(b.out, point)
		case forHistory:
			b.marks = append(b.marks, point)
		case refuse:
			continue
		}
		switch {
		case p.histogram != nil:
			r.Histograms++
		case !p.derived:
			r.Samples++
		}
	}
}

// A verdict says who sees a sample.
type verdict uint8

const (
	forAll     verdict = iota
	forHistory         // alone
	known              // history has it already
	refuse
)

// A judge knows the bounds of times.
type judge struct{ now, future, past, oldest int64 }

// of decides on one sample. why is reasons when there is nothing to say of it.
func (j *judge) of(p *rawPoint, e *entry) (v verdict, why Reason) {
	switch {
	case e.hash == 0 && e.Name == "":
		for reason := range refused {
			if refused[reason] == e {
				return refuse, Reason(reason)
			}
		}
	case p.time > j.future:
		return refuse, Future
	case p.time < j.oldest:
		return refuse, Old
	}
	if x := p.measure(); math.IsNaN(x) || math.IsInf(x, 0) {
		if math.Float64bits(x) == value.StaleNaN {
			return forHistory, Ended
		}
		if p.histogram == nil {
			return refuse, NotFinite
		}
	}
	if p.delta && !e.total(p) {
		return refuse, Delta
	}
	if e.seen.Load() < j.now {
		e.seen.Store(j.now)
	}
	bits := math.Float64bits(p.measure())
	switch last := e.at.Load(); {
	case p.time < j.past:
		return forHistory, Late
	case p.histogram != nil: // history finds those that come twice
		return forHistory, reasons
	case p.time > last:
		e.at.Store(p.time)
		e.bits.Store(bits)
		return forAll, reasons
	case p.time < last:
		return forAll, OutOfOrder
	case e.bits.Load() == bits:
		return known, Doubled
	}
	return refuse, Conflict
}

// measure returns the value, or the sum of a histogram.
func (p *rawPoint) measure() float64 {
	if p.histogram != nil {
		return p.histogram.Sum
	}
	return p.value
}

// Pin keeps a series from expiring; each call needs one of Unpin. It may be called from Sink.Joined.
func (in *Intake) Pin(s *metric.Series) { in.pin(s, 1) }

// Unpin takes back one Pin.
func (in *Intake) Unpin(s *metric.Series) { in.pin(s, -1) }

func (in *Intake) pin(s *metric.Series, by int32) {
	if e := in.ids.get(s); e != nil {
		e.pins.Add(by)
	}
}

func (in *Intake) sweepEvery() time.Duration { return min(time.Minute, in.o.Idle/4) }

// Run drops idle series and repeats what history refused, until ctx ends. The caller waits for it.
func (in *Intake) Run(ctx context.Context) {
	sweep, retry := time.NewTicker(in.sweepEvery()), time.NewTicker(time.Second)
	defer sweep.Stop()
	defer retry.Stop()
	for {
		select {
		case now := <-sweep.C:
			in.Expire(now)
		case now := <-retry.C:
			in.record.append(nil, now)
		case <-ctx.Done():
			return
		}
	}
}

// Expire drops the series that were idle for Options.Idle at now and are not pinned, and returns how many.
func (in *Intake) Expire(now time.Time) (dropped int) {
	in.mu.RLock()
	tenants := make([]*tenant, 0, len(in.tenants))
	for _, t := range in.tenants {
		tenants = append(tenants, t)
	}
	in.mu.RUnlock()
	idle := in.idleAt(now)
	for _, t := range tenants {
		for i := range t.shards {
			dropped += in.expire(t, &t.shards[i], idle)
		}
	}
	return dropped
}

// dropAtOnce bounds for how long a tenant's requests wait for a sweep.
const dropAtOnce = 1000

// goneIdle is how long series of instances that are gone are kept after their last sample.
const goneIdle = 2 * time.Minute

// idleAt tells the series that are dropped at a time.
func (in *Intake) idleAt(now time.Time) func(e *entry) bool {
	before, gone := now.Add(-in.o.Idle).UnixMilli(), now.Add(-min(goneIdle, in.o.Idle)).UnixMilli()
	return func(e *entry) bool {
		switch seen := e.seen.Load(); {
		case e.pins.Load() > 0:
			return false
		case seen <= before:
			return true
		default:
			return seen <= gone && e.Origin.Serial != 0 && in.o.Gone != nil && in.o.Gone(e.Origin)
		}
	}
}

func (in *Intake) expire(t *tenant, s *shard, idle func(e *entry) bool) (dropped int) {
	var hashes []uint64
	s.mu.RLock()
	for hash, e := range s.series {
		for ; e != nil; e = e.next {
			if idle(e) {
				hashes = append(hashes, hash)
				break
			}
		}
	}
	s.mu.RUnlock()
	for len(hashes) > 0 {
		n := min(len(hashes), dropAtOnce)
		t.gate.Lock()
		s.mu.Lock()
		for _, hash := range hashes[:n] {
			var kept *entry
			for e := s.series[hash]; e != nil; {
				next := e.next
				if idle(e) {
					in.drop(t, e)
					dropped++
				} else {
					e.next, kept = kept, e
				}
				e = next
			}
			if kept == nil {
				delete(s.series, hash)
			} else {
				s.series[hash] = kept
			}
		}
		s.mu.Unlock()
		t.gate.Unlock()
		hashes = hashes[n:]
	}
	return dropped
}

// drop takes a series out everywhere, and only then frees its ID.
func (in *Intake) drop(t *tenant, e *entry) {
	if in.o.Sink != nil {
		in.o.Sink.Dropped(&e.Series)
	}
	in.record.forget(&e.Series)
	if in.o.Forward != nil {
		in.o.Forward.Forget(&e.Series)
	}
	t.values.remove(e.Dimensions)
	t.series.Add(-1)
	in.series.Add(-1)
	in.ids.release(e.ID)
}

// Health is how intake fares.
type Health struct {
	Series  int64
	Taken   uint64 // samples, since the start
	Counts  Counts
	History RecordHealth
}

// Health returns figures for /metrics and the status page.
func (in *Intake) Health() Health {
	h := Health{Series: in.series.Load(), Taken: in.taken.Load(), History: in.record.health()}
	for i := range in.counts {
		h.Counts[i] = in.counts[i].Load()
	}
	return h
}

// SeriesOf returns how many series a tenant has.
func (in *Intake) SeriesOf(tenant int) int { return int(in.tenant(tenant).series.Load()) }

func (h RecordHealth) String() string {
	if h.Failing == nil {
		return "ok"
	}
	return fmt.Sprintf("failing since %s: %v; %d samples wait, %d were lost", h.Since.UTC().Format(time.RFC3339), h.Failing, h.Waiting, h.Lost)
}
