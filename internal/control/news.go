package control

import (
	"context"
	"fmt"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/service"
)

// TellOf has the life of a service told by a notification method of its own, in place of the one before, until the
// service is gone; nil ends that. The method belongs to the service's project. What is wrong with it is notify.Problems.
func (c *Control) TellOf(ctx context.Context, who *identity.Caller, id uint64, m *notify.Method) error {
	err := c.tellOf(ctx, who, id, m)
	return c.note(ctx, who, "service.notify", "service "+idText(id), err)
}

func (c *Control) tellOf(ctx context.Context, who *identity.Caller, id uint64, m *notify.Method) error {
	if err := writes(who); err != nil {
		return err
	}
	meta, err := c.find(who, id, identity.Manage)
	if err != nil {
		return err
	}
	if m != nil {
		own := *m
		own.Name = fmt.Sprintf("service %d", id)
		if err := c.methodRules.Validate(&own); err != nil {
			return err
		}
		m = &own
	}
	if err := c.alerts.TellOf(ctx, meta.Group, id, m); err != nil {
		return err
	}
	if !c.engine.View(id, func(*service.Service) {}) { // it has ended meanwhile
		return fmt.Errorf("service %d: %w", id, identity.ErrNotFound)
	}
	return nil
}
