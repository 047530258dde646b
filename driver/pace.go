package driver

import (
	"context"
	"fmt"

	"golang.org/x/time/rate"
)

// Pace lets perSecond calls of d begin each second, and up to burst at once after a rest. A call whose
// turn would come after the caller's deadline fails at once with ErrThrottled and ErrUnasked.
func Pace(d Driver, perSecond float64, burst int) Driver { return Intercept(d, pace(perSecond, burst)) }

func pace(perSecond float64, burst int) Around {
	limiter := rate.NewLimiter(rate.Limit(perSecond), max(1, burst))
	return func(ctx context.Context, call *Call, do func(context.Context) error) error {
		if err := limiter.Wait(ctx); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("%s: %w: it waited for its turn: %w", call.Name, ErrUnasked, ctx.Err())
			}
			return fmt.Errorf("%s: %w: %w: %g calls a second are allowed: %w", call.Name, ErrThrottled, ErrUnasked, perSecond, err)
		}
		return do(ctx)
	}
}
