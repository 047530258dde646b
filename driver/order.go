package driver

import (
	"context"
	"fmt"
	"sync"
)

// Order makes a Destroy win over the Creates of the same id that are under way, wherever these wait: in a
// queue, for their turn, for the next attempt, in the back end. It cancels them, waits for them to
// end, and only then removes what they left. A create that lost so, or begins meanwhile, ends with a
// context.Canceled.
func Order(d Driver) Driver { return Intercept(d, newOrder().around) }

type order struct {
	mu       sync.Mutex
	underway map[MachineID][]*creation
	removing map[MachineID]int // removals under way
}

type creation struct {
	cancel context.CancelCauseFunc
	ended  chan struct{}
}

func newOrder() *order {
	return &order{underway: map[MachineID][]*creation{}, removing: map[MachineID]int{}}
}

func (o *order) around(ctx context.Context, call *Call, do func(context.Context) error) error {
	switch call.Name {
	case "create", "make-resource", "create-stack":
		return o.create(ctx, call.ID, do)
	case "destroy", "remove-resource", "delete-stack":
		return o.destroy(ctx, call.ID, do)
	}
	return do(ctx)
}

func (o *order) create(ctx context.Context, id MachineID, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &creation{cancel: cancel, ended: make(chan struct{})}
	o.mu.Lock()
	if o.removing[id] > 0 {
		o.mu.Unlock()
		cancel(nil)
		return fmt.Errorf("create: %w: %w", ErrUnasked, errOvertaken)
	}
	o.underway[id] = append(o.underway[id], c)
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		rest := o.underway[id][:0:0]
		for _, other := range o.underway[id] {
			if other != c {
				rest = append(rest, other)
			}
		}
		if len(rest) == 0 {
			delete(o.underway, id)
		} else {
			o.underway[id] = rest
		}
		o.mu.Unlock()
		close(c.ended)
		cancel(nil)
	}()
	return do(ctx)
}

// errOvertaken is a context.Canceled that says why.
var errOvertaken = fmt.Errorf("%w: the machine is being removed", context.Canceled)

func (o *order) destroy(ctx context.Context, id MachineID, do func(context.Context) error) error {
	o.mu.Lock()
	o.removing[id]++
	creations := o.underway[id]
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		if o.removing[id]--; o.removing[id] == 0 {
			delete(o.removing, id)
		}
		o.mu.Unlock()
	}()
	for _, c := range creations {
		c.cancel(errOvertaken)
	}
	for _, c := range creations {
		select {
		case <-c.ended:
		case <-ctx.Done():
			return fmt.Errorf("destroy %s: its creation has not ended yet: %w", id, ctx.Err())
		}
	}
	return do(ctx)
}
