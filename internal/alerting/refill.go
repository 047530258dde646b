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
	now := time.Now()
	complete := now
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone || !w.loading {
		return
	}
	w.loading = false
	if a.opts.Past != nil && w.monitor.Len() > 0 {
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
