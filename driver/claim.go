package driver

import (
	"context"
	"fmt"
	"sync"
)

// Claims let one call at a time work on each machine or resource. The zero value is ready to be used by a driver.
type Claims struct {
	mu   sync.Mutex
	busy map[MachineID]chan struct{} // closed when the call ends
}

// Claim waits until nobody works on the machine or resource, and keeps it until release is called. The error is that
// of ctx.
func (c *Claims) Claim(ctx context.Context, id MachineID) (release func(), err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.mu.Lock()
		other := c.busy[id]
		if other == nil {
			mine := make(chan struct{})
			if c.busy == nil {
				c.busy = make(map[MachineID]chan struct{})
			}
			c.busy[id] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.busy, id)
				c.mu.Unlock()
				close(mine)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("an earlier call for it has not been answered yet: %w", ctx.Err())
		}
	}
}
