package alerting

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// refill gives the windows of monitors that were loaded what history holds, and sets them going. Until then
// they decide nothing, so that a start neither resolves nor fires an alarm.
func (a *Alerting) refill(ctx context.Context) {
	a.mu.RLock()
	all := make([]*watch, 0, len(a.watches))
	for _, w := range a.watches {
		all = append(all, w)
	}
	a.mu.RUnlock()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, w := range all {
		g.Go(func() error { a.ready(gctx, w); return nil })
	}
	_ = g.Wait() // nothing in it fails
}

// ready ends the loading of a monitor.
func (a *Alerting) ready(ctx context.Context, w *watch) {
	a.attendAll(w) // nobody is silent who left meanwhile
	now := time.Now()
	complete := now
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone || !w.loading {
		return
	}
	w.loading = false
	if a.opts.Past != nil && !w.monitor.Empty() {
		var err error
		if complete, err = a.replayInto(ctx, w.monitor, now); err != nil && ctx.Err() == nil {
			a.log.Warn("history cannot be read; the windows of an alarm begin anew", "definition", w.id, "error", err)
		}
	}
	w.monitor.Ready(now.UnixMilli(), complete.UnixMilli())
	a.arm(w)
}

// replayInto adds what history holds to a monitor that loads, and returns up to when that is.
func (a *Alerting) replayInto(ctx context.Context, m *alarm.Monitor, now time.Time) (complete time.Time, err error) {
	d := m.Definition()
	complete = now.Add(-spanOf(m.Expression()))
	for _, p := range m.Expression().Parts {
		feeds := make(map[*metric.Series]*alarm.Feed)
		for point, err := range a.opts.Past.Replay(ctx, d.Tenant, filterOf(&p), now.Add(-spanOf(m.Expression())), now) {
			if err != nil {
				return complete, err
			}
			f, known := feeds[point.Series]
			if !known {
				f = m.Join(point.Series)
				feeds[point.Series] = f
			}
			if f != nil {
				f.Add(point.Time, point.Value, now.UnixMilli())
			}
			if t := time.UnixMilli(point.Time); t.After(complete) {
				complete = t
			}
		}
		for _, f := range feeds {
			if f != nil {
				m.Leave(f) // the series itself comes with its next sample
			}
		}
	}
	return complete, nil
}

// A gap between two looks at the clock that is longer than standstill means that this process did not run, or that the clock
// was set forward.
const (
	lookEvery  = time.Second
	standstill = 5 * time.Second
)

// noticeStandstills sees to it that nobody counts as silent for the time that this process did not run: on a suspended
// laptop, say.
func (a *Alerting) noticeStandstills(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := time.Now().Round(0) // the clock on the wall: the other one may stand still, too
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := time.Now().Round(0)
		if now.Sub(last) > standstill {
			a.log.Warn("this process, or the clock, stood still; alarms count silence from now on", "for", now.Sub(last).Round(time.Second))
			a.stoodStill(last, now)
		}
		last = now
	}
}

func (a *Alerting) stoodStill(last, now time.Time) {
	a.mu.RLock()
	all := make([]*watch, 0, len(a.watches))
	for _, w := range a.watches {
		all = append(all, w)
	}
	a.mu.RUnlock()
	for _, w := range all {
		w.mu.Lock()
		if !w.gone && !w.loading {
			w.monitor.Ready(now.UnixMilli(), last.UnixMilli())
			a.arm(w)
		}
		w.mu.Unlock()
	}
}

// spanOf is how far back the windows of an expression reach.
func spanOf(e *alarm.Expression) (span time.Duration) {
	for _, p := range e.Parts {
		span = max(span, p.Period*time.Duration(p.Times+2))
	}
	return span
}

func filterOf(p *alarm.Part) telemetry.Filter {
	f := telemetry.Filter{Name: p.Metric}
	for _, d := range p.Dimensions {
		f.Dimensions = append(f.Dimensions, telemetry.DimensionFilter{Name: d.Name, Values: []string{d.Value}})
	}
	return f
}
