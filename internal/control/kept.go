package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/identity"
)

// A Kept is the data of stable instances that a service, which is gone, has left.
type Kept = engine.Kept

// Kept returns the data that services which the caller might use have left, oldest service first.
func (c *Control) Kept(who *identity.Caller) []Kept {
	var out []Kept
	for _, k := range c.engine.Kept() {
		if identity.Allowed(who, object(&k.Meta), identity.Use) {
			out = append(out, k)
		}
	}
	return out
}

// RemoveKept removes the data that a service has left, for who might manage the service. The service is named
// by its id, or by its name in the caller's group.
func (c *Control) RemoveKept(ctx context.Context, who *identity.Caller, ref string) error {
	return c.note(ctx, who, "data.remove", "data of service "+ref, c.removeKept(ctx, who, ref))
}

func (c *Control) removeKept(ctx context.Context, who *identity.Caller, ref string) error {
	if err := writes(who); err != nil {
		return err
	}
	id, _ := strconv.ParseUint(ref, 10, 64)
	var found []Kept
	var ids []uint64
	for _, k := range c.Kept(who) {
		if k.Service == id || id == 0 && k.Meta.Name == ref && k.Meta.Group == who.Group {
			found, ids = append(found, k), append(ids, k.Service)
		}
	}
	switch {
	case len(found) == 0:
		return fmt.Errorf("data of service %q: %w", ref, identity.ErrNotFound)
	case len(found) > 1:
		return fmt.Errorf("data of service %q (%s): %w", ref, joinIDs(ids), ErrAmbiguousName)
	}
	if err := identity.Authorize(who, object(&found[0].Meta), identity.Manage); err != nil {
		return fmt.Errorf("data of service %q: %w", ref, err)
	}
	// The request's end does not end what has begun.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	defer cancel()
	err := c.engine.RemoveKept(ctx, found[0].Service)
	if errors.Is(err, engine.ErrNoService) {
		err = fmt.Errorf("data of service %q: %w", ref, identity.ErrNotFound) // somebody else was faster
	}
	return err
}
