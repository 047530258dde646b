package alerting

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// recall gives the readers of policies those values of history that still count: what came just before a restart may have led to
// nothing yet, and the next may be long in coming.
func (a *Alerting) recall(ctx context.Context) {
	if a.opts.Past == nil {
		return
	}
	all := make(map[*reader]bool)
	a.mu.RLock()
	for _, readers := range a.readers {
		for _, r := range readers {
			all[r] = true
		}
	}
	a.mu.RUnlock()
	now := time.Now()
	for r := range all {
		if err := r.recall(ctx, a, now); err != nil && ctx.Err() == nil {
			a.log.Warn("history cannot be read; a policy waits for new values", "service", r.service, "role", r.role, "error", err)
		}
	}
}

func (r *reader) recall(ctx context.Context, a *Alerting, now time.Time) error {
	for _, x := range r.readings {
		for point, err := range a.opts.Past.Replay(ctx, r.tenant, filterOf(&x.part), now.Add(-x.part.Period), now.Add(time.Millisecond)) {
			if err != nil {
				return err
			}
			r.remember(&point, now)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.recalled) > 0 {
		r.schedule(a, now)
	}
	return nil
}

// remember takes a point of a series that may have no samples at present. History does not tell when it came: that was about when
// it was measured, so that a value on which a policy has acted is not new to it.
func (r *reader) remember(point *metric.Point, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := point.Series.String()
	p := r.recalled[key]
	if p == nil {
		if r.gone || !r.concerns(point.Series) {
			return
		}
		for s := range r.probes {
			if s.ID != telemetry.NoID && s.String() == key {
				return // it has newer ones
			}
		}
		p = &probe{reader: r, series: point.Series}
		if r.recalled == nil {
			r.recalled = make(map[string]*probe)
		}
		r.recalled[key], r.probes[p.series] = p, p
	}
	came := time.UnixMilli(point.Time)
	if came.After(now) {
		came = now
	}
	p.take(point, came)
}

// resume lets the probe of a series that lives go on from what was recalled of it. The reader is locked.
func (r *reader) resume(p *probe) {
	key := p.series.String()
	if old := r.recalled[key]; old != nil {
		p.value, p.rate, p.at, p.came, p.hasRate = old.value, old.rate, old.at, old.came, old.hasRate
		delete(r.probes, old.series)
		delete(r.recalled, key)
	}
}
