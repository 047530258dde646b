package engine

import (
	"context"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/internal/service"
)

// adoptTime is how long services wait for the first list of their back ends before they begin with
// what the records say.
const adoptTime = 10 * time.Second

// adopt gives each service its first turn when its back ends were listed once, so that it begins with
// what is true. A back end that does not answer holds up none but its own services.
func (e *Engine) adopt(ctx context.Context) {
	waiting := e.loaded
	e.loaded = nil
	listed := make(chan struct{}, len(e.backends))
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithTimeout(ctx, adoptTime)
	defer cancel()
	for _, b := range e.backends {
		wait.Go(func() {
			select {
			case <-b.heard:
				listed <- struct{}{}
			case <-ctx.Done():
			}
		})
	}
	for range e.backends {
		select {
		case <-listed:
			waiting = e.begin(waiting, e.heard)
			continue
		case <-ctx.Done():
		}
		break
	}
	e.begin(waiting, func(*Backend) bool { return true })
}

func (e *Engine) heard(b *Backend) bool {
	select {
	case <-b.heard:
		return true
	default:
		return false
	}
}

// begin gives a first turn to those whose back ends are all ready, and returns the others.
func (e *Engine) begin(waiting []*actor, ready func(*Backend) bool) (others []*actor) {
	for _, a := range waiting {
		all := true
		e.read(a, func(svc *service.Service) {
			for _, r := range svc.Roles {
				for impl := range r.Spec.EachImplementation {
					if b := e.Backend(impl.Driver, impl.Account); b != nil && !ready(b) {
						all = false
					}
				}
			}
		})
		if all {
			e.rest(a, true)
			continue
		}
		others = append(others, a)
	}
	return others
}
