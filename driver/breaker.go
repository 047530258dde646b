package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An OpenError answers a call while a back end is given a rest. It is of class ErrUnavailable, and
// definite (ErrUnasked).
type OpenError struct {
	Call     string
	Until    time.Time // when the next call will be let through
	Failures int       // in a row
	Last     error     // the last of them
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("%s: the back end is %v; after %d failures it is not asked until %s; the last was: %v",
		e.Call, ErrUnavailable, e.Failures, e.Until.Format(time.TimeOnly), e.Last)
}

// Unwrap returns ErrUnavailable and ErrUnasked.
func (e *OpenError) Unwrap() []error { return []error{ErrUnavailable, ErrUnasked} }

// longestRest bounds how long a circuit stays open.
const longestRest = time.Minute

// Break opens the circuit to d after so many calls in a row that ended with ErrUnavailable or a time-out:
// until rest is over, calls fail at once with an OpenError. Then one call is let through; if it fails
// too, the next rest is twice as long, up to a minute.
func Break(d Driver, failures int, rest time.Duration) Driver {
	return Intercept(d, newBreaker(failures, rest).count)
}

type breaker struct {
	threshold int
	rest      time.Duration

	mu       sync.Mutex
	failures int
	pause    time.Duration // the next rest
	until    time.Time     // zero: the circuit is closed
	probing  bool          // one call has been let through to see
	last     error

	opened    time.Time // when the circuit opened
	throttled time.Time // since when the back end wants to be asked less often
}

func newBreaker(threshold int, rest time.Duration) *breaker {
	return &breaker{threshold: threshold, rest: rest, pause: rest}
}

// gate refuses calls while the circuit is open, and counts nothing: it stands before a queue that a
// refused call need not join.
func (b *breaker) gate(ctx context.Context, call *Call, do func(context.Context) error) error {
	var err error
	b.mu.Lock()
	if !b.until.IsZero() && time.Now().Before(b.until) {
		err = b.openError(call)
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	return do(ctx)
}

// count refuses calls while the circuit is open, and learns from how the others end.
func (b *breaker) count(ctx context.Context, call *Call, do func(context.Context) error) error {
	if call.Stream { // it may last for days: it neither proves nor delays anything
		return b.gate(ctx, call, do)
	}
	probe, err := b.enter(call)
	if err != nil {
		return err
	}
	err = do(ctx)
	b.leave(call, probe, err)
	return err
}

func (b *breaker) openError(call *Call) error {
	return &OpenError{Call: call.Name, Until: b.until, Failures: b.failures, Last: b.last}
}

func (b *breaker) enter(call *Call) (probe bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return false, nil
	case b.probing || time.Now().Before(b.until):
		return false, b.openError(call)
	}
	b.probing = true
	return true, nil
}

func (b *breaker) leave(call *Call, probe bool, err error) {
	late := errors.Is(err, context.DeadlineExceeded)
	down := errors.Is(err, ErrUnavailable) || late
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
	switch {
	case err == nil:
		b.throttled = time.Time{}
	case errors.Is(err, ErrThrottled) && b.throttled.IsZero():
		b.throttled = time.Now()
	}
	switch {
	case late && call.Patient,
		errors.Is(err, context.Canceled) && !errors.Is(err, ErrUnavailable),
		errors.Is(err, ErrUnasked) && !errors.Is(err, ErrUnavailable):
		// The caller gave up, or the machine's programs took their time: this tells nothing.
	case !down:
		b.failures, b.until, b.pause, b.last = 0, time.Time{}, b.rest, nil
	case probe:
		b.pause = min(2*b.pause, max(longestRest, b.rest))
		b.open(err)
	case b.until.IsZero():
		if b.failures++; b.failures >= b.threshold {
			b.open(err)
		}
	}
}

func (b *breaker) open(err error) {
	now := time.Now()
	if b.until.IsZero() {
		b.opened = now
	}
	b.until, b.last = now.Add(b.pause), err
}
