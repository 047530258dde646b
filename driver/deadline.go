package driver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Deadline bounds each call of d. A list may take that long for each item. A call that waits for a
// machine's own programs to end is bounded by the caller's deadline instead, or by ten times the limit if
// there is none. Streams are not bounded. What is cut off ends with an error of class ErrUnavailable
// that is a context.DeadlineExceeded too.
func Deadline(d Driver, limit time.Duration) Driver { return Intercept(d, deadline(limit)) }

func deadline(limit time.Duration) Around {
	return func(ctx context.Context, call *Call, do func(context.Context) error) error {
		limit := limit
		if call.Stream {
			return do(ctx)
		}
		if call.Patient {
			if _, ok := ctx.Deadline(); ok {
				return do(ctx)
			}
			limit *= 10
		}
		var inner context.Context
		var cancel func()
		switch call.Name {
		case "list", "measure":
			inner, cancel = stallGuard(ctx, call, limit)
		default:
			inner, cancel = context.WithTimeoutCause(ctx, limit, errLate)
		}
		defer cancel()
		err := do(inner)
		if err == nil || context.Cause(inner) != errLate {
			return err
		}
		switch Class(err) {
		case "timeout", "cancelled", "other":
			return fmt.Errorf("%w: no answer to %s within %s: %w", ErrUnavailable, call.Name, limit, context.DeadlineExceeded)
		}
		return err
	}
}

var errLate = errors.New("no answer in time")

// stallGuard returns a context that ends when the list waited between one and two limits for an item.
func stallGuard(ctx context.Context, call *Call, limit time.Duration) (context.Context, func()) {
	inner, cancel := context.WithCancelCause(ctx)
	p := &progress{}
	call.progress = p
	last := int64(0)
	var timer *time.Timer
	started := make(chan struct{})
	timer = time.AfterFunc(limit, func() {
		<-started
		n := p.items.Load()
		if n == last && !p.busy.Load() {
			cancel(errLate)
			return
		}
		last = n
		timer.Reset(limit)
	})
	close(started)
	return inner, func() { timer.Stop(); cancel(nil) }
}
