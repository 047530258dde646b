package driver

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"
)

// lists is how many lists and measurements may run at a time, beside the other calls: one that stands
// still while its consumer makes another call must not hold what that call needs.
const lists = 2

// Limit lets n calls of d run at a time. A quarter of them, at least one if there are two, is kept from
// creations: these queue among themselves first, so that a removal never stands behind a crowd of them.
// Streams are not counted.
func Limit(d Driver, n int) Driver { return Intercept(d, limit(n)) }

func limit(n int) Around {
	all := semaphore.NewWeighted(int64(n))
	creations := semaphore.NewWeighted(int64(max(1, n-max(1, n/4))))
	listing := semaphore.NewWeighted(lists)
	return func(ctx context.Context, call *Call, do func(context.Context) error) error {
		if call.Stream {
			return do(ctx)
		}
		queue := all
		switch call.Name {
		case "list", "measure":
			queue = listing
		case "create":
			if err := enter(ctx, call, creations); err != nil {
				return err
			}
			defer creations.Release(1)
		}
		if err := enter(ctx, call, queue); err != nil {
			return err
		}
		defer queue.Release(1)
		return do(ctx)
	}
}

func enter(ctx context.Context, call *Call, queue *semaphore.Weighted) error {
	if queue.TryAcquire(1) {
		return nil
	}
	if err := queue.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("%s: %w: it waited for other calls to end: %w", call.Name, ErrUnasked, err)
	}
	return nil
}
