package control

import (
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// Used returns what the services of a group claim of its quota.
func (c *Control) Used(group int) service.Usage { return c.engine.Used(group) }

// StoreFigures returns how large the durable state is and what was written to it.
func (c *Control) StoreFigures() store.Stats { return c.store.Stats() }
