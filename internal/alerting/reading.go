package alerting

import (
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/policy"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
	"github.com/troupe-dev/troupe/internal/wake"
)

// A reader measures what the policies of one role want to know. Values that arrive are told to the service at
// once, and then at most every roundTime.
type reader struct {
	service uint64
	role    string
	tenant  int
	slot    wake.Slot[*reader]

	mu         sync.Mutex
	readings   []*reading
	attributes []string // in upper case, as elastic policies name them
	probes     map[*metric.Series]*probe
	recalled   map[string]*probe // those of probes that history told of, until their series has a sample
	told       time.Time
	waiting    bool
	gone       bool
}

// A reading is a function of a metric over the role: "avg(cpu.user_perc)".
type reading struct {
	text    string
	part    alarm.Part
	predict *policy.Predict
	ahead   float64 // what past days needed
	known   bool
	asked   time.Time
}

// A probe is the way of a series into a reader. Its reader's mutex guards it.
type probe struct {
	reader      *reader
	series      *metric.Series
	value, rate float64
	at          time.Time // of value; zero before the first
	came        time.Time // when it did
	hasRate     bool
}

const roundTime = 50 * time.Millisecond

// followPolicies makes the readers that a service's spec needs. g is locked.
func (a *Alerting) followPolicies(g *governed, l *look) {
	for role, r := range g.readers {
		delete(g.readers, role)
		a.dropReader(r)
	}
	for n := range l.spec.Roles {
		spec := &l.spec.Roles[n]
		r := newReader(l.id, l.tenant, spec)
		if r == nil {
			continue
		}
		g.readers[spec.Name] = r
		a.mu.Lock()
		for _, name := range r.metrics() {
			key := metricKey{r.tenant, name}
			a.readers[key] = append(a.readers[key], r)
		}
		var live []*metric.Series
		for _, name := range r.metrics() {
			for _, x := range a.live[metricKey{r.tenant, name}] {
				live = append(live, x)
			}
		}
		a.mu.Unlock()
		for _, x := range live {
			r.join(a, x)
		}
		if r.predicts() {
			a.measureLater(r)
		}
	}
}

func newReader(id uint64, tenant int, spec *service.RoleSpec) *reader {
	r := &reader{service: id, role: spec.Name, tenant: tenant, probes: make(map[*metric.Series]*probe)}
	for n := range spec.Policies {
		p := &spec.Policies[n]
		rule, err := policy.Compile(p)
		if err != nil {
			continue // Validate lets none pass
		}
		for _, name := range rule.Attributes() {
			if !slices.Contains(r.attributes, name) {
				r.attributes = append(r.attributes, name)
			}
		}
		text := p.Reading()
		if text == "" {
			continue
		}
		part, err := alarm.ParseReading(text)
		if err != nil {
			continue
		}
		x := &reading{text: text, part: part}
		if p.Target != nil {
			x.predict = p.Target.Predict
		}
		r.readings = append(r.readings, x)
	}
	if len(r.readings)+len(r.attributes) == 0 {
		return nil
	}
	return r
}

// metrics are the names of series that may concern the reader.
func (r *reader) metrics() (names []string) {
	for _, x := range r.readings {
		names = append(names, x.part.Metric)
	}
	for _, x := range r.attributes {
		for _, source := range sources(x) {
			names = append(names, source.metric)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (a *Alerting) dropReader(r *reader) {
	a.mu.Lock()
	for _, name := range r.metrics() {
		key := metricKey{r.tenant, name}
		a.readers[key] = slices.DeleteFunc(slices.Clone(a.readers[key]), func(x *reader) bool { return x == r })
		if len(a.readers[key]) == 0 {
			delete(a.readers, key)
		}
	}
	a.mu.Unlock()
	r.mu.Lock()
	r.gone = true
	series := make([]*metric.Series, 0, len(r.probes))
	for s := range r.probes {
		if s.ID != telemetry.NoID {
			series = append(series, s)
		}
	}
	r.probes, r.recalled = nil, nil
	r.mu.Unlock()
	for _, s := range series {
		a.table.change(s, func(all *subscribers) {
			all.probes = slices.DeleteFunc(all.probes, func(p *probe) bool { return p.reader == r })
		})
	}
	a.rounds.Set(&r.slot, r, time.Time{})
}

// readersOf returns the readers that may want a series. a.mu is held.
func (a *Alerting) readersOf(s *metric.Series) []*reader {
	return slices.Clone(a.readers[metricKey{s.Tenant, s.Name}])
}

// join lets a reader have the points of a series: of the role's own instances, of the service as a whole, or of
// nobody in particular, such as a queue that something outside measures.
func (r *reader) join(a *Alerting, s *metric.Series) {
	if !r.concerns(s) {
		return
	}
	a.table.change(s, func(all *subscribers) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.gone || r.probes[s] != nil {
			return
		}
		p := &probe{reader: r, series: s}
		r.resume(p)
		r.probes[s] = p
		all.probes = append(all.probes, p)
	})
}

// concerns reports whether a series is the role's own, the service's as a whole, or nobody's.
func (r *reader) concerns(s *metric.Series) bool {
	own := s.Origin.Service == r.service && (s.Origin.Role == r.role || s.Origin.Role == "")
	return own || s.Origin == (metric.Origin{})
}

func (r *reader) leave(p *probe) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.probes, p.series)
}

// add takes a point.
func (p *probe) add(a *Alerting, point *metric.Point, now time.Time) {
	r := p.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.take(point, now) {
		r.schedule(a, now)
	}
}

// take notes a value and when it came, unless there is a newer one. The reader is locked.
func (p *probe) take(point *metric.Point, came time.Time) bool {
	at := time.UnixMilli(point.Time)
	if !at.After(p.at) {
		return false
	}
	if !p.at.IsZero() && point.Value >= p.value {
		p.rate, p.hasRate = (point.Value-p.value)/at.Sub(p.at).Seconds(), true
	}
	p.value, p.at, p.came = point.Value, at, came
	return true
}

// schedule sees to it that the service is told. The reader is locked.
func (r *reader) schedule(a *Alerting, now time.Time) {
	if r.waiting || r.gone {
		return
	}
	r.waiting = true
	if due := r.told.Add(roundTime); due.After(now) {
		a.rounds.Set(&r.slot, r, due)
		return
	}
	a.measureLater(r)
}

func (a *Alerting) measureLater(r *reader) { a.due.Push(func() { a.measure(r) }) }

// look tells the service anew after it has changed, where attributes of its instances count.
func (r *reader) look(a *Alerting) {
	if len(r.attributes) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.schedule(a, time.Now())
}

// measure tells the service what its policies want to know.
func (a *Alerting) measure(r *reader) {
	now := time.Now()
	m := &service.Measurement{Role: r.role, Values: make(map[string]service.Reading)}
	up := 0
	found := a.engine.View(r.service, func(s *service.Service) {
		role := s.Role(r.role)
		if role == nil {
			return
		}
		up = role.Settled()
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, name := range r.attributes {
			if v := r.attribute(s, role, name, now); v.Of > 0 {
				m.Values[name] = v
			}
		}
	})
	r.mu.Lock()
	r.waiting, r.told = false, now
	for _, x := range r.readings {
		if v, ok := r.read(x, up, now); ok {
			m.Values[x.text] = v
		}
		if x.predict != nil {
			if now.Sub(x.asked) >= forecastTime {
				x.asked = now
				a.due.Push(func() { a.forecast(r, x, now) })
			}
			if x.known {
				m.Values["forecast "+x.text] = service.Reading{Value: x.ahead, Of: 1}
			}
		}
	}
	gone := r.gone
	if (len(r.probes) > 0 || r.predicts()) && !gone { // values grow old: what is told must follow
		a.rounds.Set(&r.slot, r, now.Add(r.lifespan()))
	}
	r.mu.Unlock()
	if found && !gone {
		a.engine.Tell(r.service, service.Fact{Kind: service.Measured, Measurement: m})
	}
}

// predicts reports whether a reading looks at past days: it does so even while the role has no instance.
func (r *reader) predicts() bool {
	return slices.ContainsFunc(r.readings, func(x *reading) bool { return x.predict != nil })
}

// lifespan is the shortest time for which a value counts. The reader is locked.
func (r *reader) lifespan() time.Duration {
	span := time.Minute
	for _, x := range r.readings {
		span = min(span, x.part.Period)
	}
	return max(span, roundTime)
}

// read computes a reading from the newest value of each series that is not too old. The reader is locked.
func (r *reader) read(x *reading, up int, now time.Time) (v service.Reading, ok bool) {
	var own, other []float64
	instances := make(map[uint32]bool)
	var newest time.Time // stamp
	last := 0.0
	for s, p := range r.probes {
		if p.at.IsZero() || now.Sub(p.at) > x.part.Period || !x.part.Fits(s) {
			continue
		}
		value := p.value
		if x.part.Function == alarm.Rate {
			if !p.hasRate {
				continue
			}
			value = p.rate
		}
		if p.at.After(newest) {
			newest, last = p.at, value
		}
		if p.came.After(v.At) {
			v.At = p.came
		}
		if s.Origin.Serial != 0 {
			own = append(own, value)
			instances[s.Origin.Serial] = true
		} else {
			other = append(other, value)
		}
	}
	if v.Of = len(instances); len(own) == 0 {
		own, v.Of = other, max(1, up)
	}
	switch {
	case len(own) == 0:
		return service.Reading{}, x.part.Function == alarm.Count
	case x.part.Function == alarm.Last:
		v.Value = last
	default:
		v.Value = aggregate(x.part.Function, own)
	}
	return v, true
}

func aggregate(f alarm.Function, values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	switch f {
	case alarm.Min:
		return slices.Min(values)
	case alarm.Max:
		return slices.Max(values)
	case alarm.Sum:
		return sum
	case alarm.Count:
		return float64(len(values))
	}
	if q, ok := f.Quantile(); ok {
		slices.Sort(values)
		return values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
	}
	return sum / float64(len(values))
}

// attribute is OneFlow's value of a name: the mean over the instances that run and have it. The reader is locked.
func (r *reader) attribute(s *service.Service, role *service.Role, name string, now time.Time) (v service.Reading) {
	measured := make(map[uint32]float64)
	for _, source := range sources(name) {
		for x, p := range r.probes {
			if x.Name == source.metric && x.Origin.Serial != 0 && !p.at.IsZero() && now.Sub(p.at) < attributeLife {
				measured[x.Origin.Serial] = p.value * source.scale
				if p.came.After(v.At) {
					v.At = p.came
				}
			}
		}
	}
	var values []string
	for i := range role.Instances {
		if i.Phase != service.Up || i.Machine != driver.Running {
			continue
		}
		value, ok := s.Attribute(i, name, func() (string, bool) {
			v, ok := measured[i.Serial]
			return policy.FormatFloat(v), ok
		})
		if ok {
			values = append(values, value)
		}
	}
	v.Value, _ = policy.Average(values)
	v.Of = len(values)
	return v
}

// A source is a metric in which an attribute is measured, in its own unit.
type source struct {
	metric string
	scale  float64
}

// outside are the names under which OpenNebula's expressions ask for what is measured from outside.
var outside = map[string]source{"CPU": {"cpu.percent", 1}, "MEMORY": {"mem.used_mb", 1024}} // percent of a core, KiB

// sources are those of an attribute, the better one last: an instance knows best about itself.
func sources(name string) []source {
	own := source{strings.ToLower(name), 1}
	if x, ok := outside[name]; ok {
		return []source{x, own}
	}
	return []source{own}
}

// attributeLife is how long a measured value stands for an attribute.
const attributeLife = 5 * time.Minute
