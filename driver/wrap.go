package driver

import (
	"log/slog"
	"time"
)

// Defaults of Wrap.
const (
	DefaultConcurrency = 16
	DefaultDeadline    = 30 * time.Second
	DefaultAttempts    = 3
	DefaultFailures    = 10
	DefaultRest        = 2 * time.Second
)

// WrapOptions adjust Wrap. Zero values mean what the Kind says, and then the defaults.
type WrapOptions struct {
	Limits   Limits // override those of the Kind
	Attempts int    // of a call that may be repeated
	Failures int    // in a row, until the circuit opens
	Rest     time.Duration
	Log      *slog.Logger // calls at level debug; nil for none
	Observer Observer     // nil for none
}

// Wrap gives a driver what every driver needs, from the outside in: order (a removal wins over the
// creations of its id), retries, a circuit breaker, the limit of calls at a time, the pace, the trace of
// each call that reaches the back end, and its deadline. Errors keep their class and the back end's words.
func Wrap(d Driver, kind *Kind, o WrapOptions) Driver {
	limits := Limits{
		Concurrency: first(o.Limits.Concurrency, kind.Limits.Concurrency, DefaultConcurrency),
		Rate:        first(o.Limits.Rate, kind.Limits.Rate, 0),
		Burst:       first(o.Limits.Burst, kind.Limits.Burst, 1),
		Deadline:    first(o.Limits.Deadline, kind.Limits.Deadline, DefaultDeadline),
	}
	circuit := newBreaker(first(o.Failures, DefaultFailures), first(o.Rest, DefaultRest))
	arounds := []Around{
		newOrder().around,
		retry(kind.Guarantee, first(o.Attempts, DefaultAttempts)),
		circuit.gate,
		limit(limits.Concurrency),
		circuit.count, // behind the queue: what waited in it learns that the circuit has opened
	}
	if limits.Rate > 0 {
		arounds = append(arounds, pace(limits.Rate, limits.Burst))
	}
	if o.Log != nil || o.Observer != nil {
		arounds = append(arounds, trace(o.Log, o.Observer))
	}
	return &wrapped{Intercept(d, chain(append(arounds, deadline(limits.Deadline))...)), circuit}
}

// first returns the first value that is not zero.
func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}
