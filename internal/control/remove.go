package control

import (
	"context"
	"fmt"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// Remove removes a service and returns when it is gone. When ctx ends, so does the waiting, not the removal. One that cannot
// be carried out is a *service.Refusal; it is tried again all the same.
func (c *Control) Remove(ctx context.Context, who *identity.Caller, id uint64, how service.Undeploy) error {
	how.Remove = true
	ordered := false
	for {
		w, _ := c.engine.Watch(0) // of what happens from now on there is always a watch
		if !ordered {
			if _, err := c.Order(ctx, who, id, service.Command{Undeploy: &how}); err != nil {
				w.Close()
				return err
			}
			ordered = true
		}
		over, err := c.awaitRemoval(ctx, id, w.Next)
		w.Close()
		if over {
			return err
		}
	}
}

// awaitRemoval returns when a service is gone or cannot be removed; false when next tells nothing more.
func (c *Control) awaitRemoval(ctx context.Context, id uint64, next func(context.Context) (Change, bool)) (over bool, err error) {
	for {
		var stuck error
		there := c.engine.View(id, func(s *service.Service) {
			if s.State == service.FailedUndeploying || s.State == service.FailedUndeployingNets {
				stuck = &service.Refusal{Kind: service.WrongState, Message: fmt.Sprintf("service %s cannot be removed: %s", s.Meta.Name, s.Reason)}
			}
		})
		if !there || stuck != nil {
			return true, stuck
		}
		for {
			change, ok := next(ctx)
			if ctx.Err() != nil {
				return true, fmt.Errorf("wait for the end of service %d: %w", id, ctx.Err())
			}
			if !ok {
				return false, nil
			}
			if change.Service == id {
				break
			}
		}
	}
}
