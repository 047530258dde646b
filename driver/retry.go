package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// The waits between attempts: exponential with jitter, unless the back end said when to come back.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 5 * time.Second
	// longestRetryAfter is the longest wish of a back end that is waited for here; for a longer one
	// the error goes to the caller, who has better to do than to hold a call for minutes.
	longestRetryAfter = 30 * time.Second
)

// Retry repeats calls of d that ended with ErrUnavailable or ErrThrottled, up to so many attempts in all, as
// long as the call may be repeated: a create needs a guarantee other than None, or an error that
// made nothing for certain. It gives up at once on an open circuit.
func Retry(d Driver, guarantee Guarantee, attempts int) Driver {
	return Intercept(d, retry(guarantee, attempts))
}

func retry(guarantee Guarantee, attempts int) Around {
	return func(ctx context.Context, call *Call, do func(context.Context) error) error {
		var waits *backoff.ExponentialBackOff
		inDoubt := false
		for attempt := 1; ; attempt++ {
			err := do(ctx)
			if err == nil {
				return nil
			}
			if waits == nil {
				waits = backoff.NewExponentialBackOff()
				waits.InitialInterval, waits.MaxInterval = firstWait, longestWait
			}
			delay := max(waits.NextBackOff(), RetryAfter(err))
			if attempt == attempts || !repeatable(call, guarantee, err) || delay > longestRetryAfter || !pause(ctx, delay) {
				return settle(err, inDoubt, attempt)
			}
			inDoubt = inDoubt || (call.Name == "create" || call.Name == "make-resource") && !Definite(err)
		}
	}
}

func repeatable(call *Call, guarantee Guarantee, err error) bool {
	if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrThrottled) {
		return false
	}
	if _, open := errors.AsType[*OpenError](err); open {
		return false
	}
	if call.Name == "create" {
		return guarantee != None || Definite(err)
	}
	return call.Repeatable && !call.yielded
}

// settle returns the error of the last attempt. If an earlier attempt may have made the machine, a
// definite refusal of this one is no longer definite for the whole, and its class is hidden.
func settle(err error, inDoubt bool, attempts int) error {
	if inDoubt && Definite(err) {
		return fmt.Errorf("%w: an earlier attempt was not answered, so that the machine may exist; attempt %d: %v", ErrUnavailable, attempts, err)
	}
	if attempts > 1 {
		return fmt.Errorf("%w (after %d attempts)", err, attempts)
	}
	return err
}

// pause waits, and reports whether it did to the end. It does not begin a wait that ctx would cut short.
func pause(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	return wait(ctx, d)
}
