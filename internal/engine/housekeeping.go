package engine

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/internal/service"
)

// housekeep removes finished services when their time has passed.
func (e *Engine) housekeep(ctx context.Context) {
	tick := time.NewTicker(max(time.Second, min(time.Minute, e.opts.Retain/4)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if e.paused.Load() {
			continue
		}
		for _, a := range e.all() {
			old := false
			e.read(a, func(svc *service.Service) {
				retain := svc.Spec.Retain
				if retain == 0 {
					retain = e.opts.Retain
				}
				old = svc.State == service.Done && (svc.Remove || time.Since(svc.Since.Time()) > retain)
			})
			if old {
				e.leave(a)
			}
		}
	}
}
