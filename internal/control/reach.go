package control

import (
	"context"
	"fmt"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/identity"
)

// Logs opens what an instance printed, for a caller who may use the service.
func (c *Control) Logs(ctx context.Context, who *identity.Caller, id uint64, serial uint32, o driver.LogOptions) (driver.LogReader, error) {
	if _, err := c.find(who, id, identity.Use); err != nil {
		return nil, err
	}
	b, ref, _, err := c.engine.Machine(id, serial)
	if err != nil {
		return nil, fmt.Errorf("service %d: instance %d: %w: %w", id, serial, identity.ErrNotFound, err)
	}
	logger, ok := driver.As[driver.Logger](b.Driver)
	if !ok {
		return nil, fmt.Errorf("driver %s: logs: %w", b.Kind.Name, driver.ErrUnsupported)
	}
	return logger.Logs(ctx, ref, o)
}

// Exec runs a command inside an instance, for a caller who may manage the service and, where machines
// share the server's host, use that.
func (c *Control) Exec(ctx context.Context, who *identity.Caller, id uint64, serial uint32, cmd driver.Command) (int, error) {
	exit, err := c.exec(ctx, who, id, serial, cmd)
	return exit, c.note(ctx, who, "service.exec", fmt.Sprintf("service %d instance %d", id, serial), err)
}

func (c *Control) exec(ctx context.Context, who *identity.Caller, id uint64, serial uint32, cmd driver.Command) (int, error) {
	if err := writes(who); err != nil {
		return 0, err
	}
	if _, err := c.find(who, id, identity.Manage); err != nil {
		return 0, err
	}
	b, ref, options, err := c.engine.Machine(id, serial)
	if err != nil {
		return 0, fmt.Errorf("service %d: instance %d: %w: %w", id, serial, identity.ErrNotFound, err)
	}
	if reach := b.Kind.ReachesHost(options); reach != "" && !who.MayUseHost() {
		return 0, fmt.Errorf("%w: with %s the machine reaches the host; ask an administrator for the grant \"host\"", identity.ErrDenied, reach)
	}
	p, ok := driver.As[driver.Prober](b.Driver)
	if !ok {
		return 0, fmt.Errorf("driver %s: exec: %w", b.Kind.Name, driver.ErrUnsupported)
	}
	return p.Exec(ctx, ref, cmd)
}
