package alerting

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

const (
	// forecastTime is how often history is asked again.
	forecastTime = time.Minute
	// forecastSpan is what "the same time" of another day is: the minutes around it.
	forecastSpan = 10 * time.Minute
)

// forecast asks history what the same time of past days needed: the mean over these days of the load, which is the reading
// times the instances that bore it. Days count by the server's calendar, so that a change of daylight saving shifts
// nothing; days of which history has nothing do not count.
func (a *Alerting) forecast(r *reader, x *reading, now time.Time) {
	if a.opts.Past == nil {
		return
	}
	total, days := 0.0, 0
	for day := 1; day <= x.predict.Days; day++ {
		at := now.Add(x.predict.Lead).AddDate(0, 0, -day)
		load, ok, err := a.loadAt(a.ctx, r, x, at)
		if err != nil {
			if a.ctx.Err() == nil {
				a.log.Warn("history cannot be read; a policy goes without its forecast", "service", r.service, "role", r.role, "error", err)
			}
			return
		}
		if ok {
			total, days = total+load, days+1
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	was, known := x.ahead, x.known
	if x.known = days > 0; x.known {
		x.ahead = total / float64(days)
	}
	if x.known != known || x.ahead != was {
		r.schedule(a, now)
	}
}

// A pastSeries is what one series did around a time.
type pastSeries struct {
	serial      uint32
	n           int
	sum, grown  float64
	first, last metric.Point
}

// value is the mean, or the rate.
func (p *pastSeries) value(f alarm.Function) (float64, bool) {
	if f != alarm.Rate {
		return p.sum / float64(p.n), true
	}
	seconds := float64(p.last.Time-p.first.Time) / 1000
	return p.grown / seconds, seconds > 0
}

// loadAt is the load of a reading around a time, over the series of the role's own instances: what others measure does not
// tell how many instances bore it. Those that came or went meanwhile bore a part: as much as they sent samples.
func (a *Alerting) loadAt(ctx context.Context, r *reader, x *reading, at time.Time) (load float64, ok bool, err error) {
	f := filterOf(&x.part)
	f.Dimensions = append(f.Dimensions, telemetry.DimensionFilter{Name: "service", Values: []string{idText(r.service)}},
		telemetry.DimensionFilter{Name: "role", Values: []string{r.role}})
	all := make(map[*metric.Series]*pastSeries)
	most := 0
	for p, err := range a.opts.Past.Replay(ctx, r.tenant, f, at.Add(-forecastSpan/2), at.Add(forecastSpan/2)) {
		if err != nil {
			return 0, false, err
		}
		s := all[p.Series]
		if s == nil {
			o, _ := telemetry.OriginOf(p.Series.Dimensions)
			s = &pastSeries{serial: o.Serial, first: p, last: p}
			all[p.Series] = s
		}
		s.grown += max(0, p.Value-s.last.Value)
		s.n, s.sum, s.last = s.n+1, s.sum+p.Value, p
		most = max(most, s.n)
	}
	load, ok = loadOf(x.part.Function, all, float64(most))
	return load, ok, nil
}

// loadOf is a function of past series times the instances that they are of; each counts by its samples, of which one has
// most.
func loadOf(f alarm.Function, all map[*metric.Series]*pastSeries, most float64) (load float64, ok bool) {
	var values []float64
	var newest metric.Point
	parts, weighed, weight := make(map[uint32]float64), 0.0, 0.0
	for _, s := range all {
		v, ok := s.value(f)
		if s.serial == 0 || !ok {
			continue
		}
		part := float64(s.n) / most
		parts[s.serial] = max(parts[s.serial], part)
		values = append(values, v)
		weighed, weight = weighed+v*part, weight+part
		if s.last.Time >= newest.Time {
			newest = s.last
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	instances := 0.0
	for _, part := range parts {
		instances += part
	}
	switch f {
	case alarm.Avg, alarm.Rate:
		return weighed / weight * instances, true
	case alarm.Last:
		return newest.Value * instances, true
	}
	return aggregate(f, values) * instances, true
}
