package driver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrUnasked: the back end was not asked at all, so that nothing was made: its circuit is open, the
// caller gave up while it queued, or the connection was refused. It comes beside one of the classes.
var ErrUnasked = errors.New("the back end was not asked")

// Class names the class of an error, for records and metrics: "" for nil, then "denied", "invalid",
// "capacity", "unsupported", "not-found", "throttled", "unavailable", "timeout", "cancelled", and
// "other" for an error of no class.
func Class(err error) string {
	if err == nil {
		return ""
	}
	for _, c := range [...]struct {
		err  error
		name string
	}{
		{ErrDenied, "denied"}, {ErrInvalid, "invalid"}, {ErrCapacity, "capacity"},
		{ErrUnsupported, "unsupported"}, {ErrNotFound, "not-found"}, {ErrThrottled, "throttled"},
		{context.DeadlineExceeded, "timeout"}, {ErrUnavailable, "unavailable"}, {context.Canceled, "cancelled"},
	} {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return "other"
}

// Throttled returns an error of class ErrThrottled that says when to ask again, in the back end's words.
// after is how long to wait; 0 when the back end did not say.
func Throttled(after time.Duration, words string) error { return &throttled{after, words} }

type throttled struct {
	after time.Duration
	words string
}

func (t *throttled) Error() string {
	if t.after > 0 {
		return fmt.Sprintf("%v: %s (ask again in %s)", ErrThrottled, t.words, t.after)
	}
	return fmt.Sprintf("%v: %s", ErrThrottled, t.words)
}

func (t *throttled) Unwrap() error { return ErrThrottled }

// RetryAfter returns how long the back end asked to be left alone, or 0.
func RetryAfter(err error) time.Duration {
	if t, ok := errors.AsType[*throttled](err); ok {
		return t.after
	}
	return 0
}
