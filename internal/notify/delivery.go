package notify

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Times of a delivery.
const (
	// TTL is how long a delivery is tried, from its making or from its resending.
	TTL = 4 * time.Hour
	// KeepDead is how long a delivery that was given up can be seen and sent again.
	KeepDead = 7 * 24 * time.Hour

	firstPause = time.Second
	maxPause   = time.Minute
	// A receiver may ask for a longer pause than ours, but not for a longer one than this.
	maxRetryAfter = time.Hour
)

// A Phase is where a delivery stands.
type Phase string

const (
	Queued    Phase = "queued"    // not tried yet
	Retrying  Phase = "retrying"  // tried in vain, will be tried again
	Repeating Phase = "repeating" // arrived, will be told again after the method's period
	Dead      Phase = "dead"      // given up; somebody may send it again
)

// A Delivery is one message on its way by one method. It is a value: the methods return what changed.
type Delivery struct {
	ID      string    `json:"id"`
	Tenant  int       `json:"tenant"`
	Method  string    `json:"method"` // its id
	Message *Message  `json:"message"`
	Phase   Phase     `json:"phase"`
	Tries   int       `json:"tries,omitempty"`  // since it was made, resent, or last arrived
	Repeat  int       `json:"repeat,omitempty"` // which repetition is next or on its way
	Since   time.Time `json:"since"`            // of the life that TTL bounds
	Next    time.Time `json:"next"`             // when it is tried
	Ended   time.Time `json:"ended,omitzero"`   // when it died
	Reason  string    `json:"reason,omitempty"` // of the last failure or of the death
}

// NewDelivery returns the delivery of a message by a method. Its id depends on these two alone.
func NewDelivery(m *Message, tenant int, method string, now time.Time) Delivery {
	return Delivery{ID: m.Event + "-" + method, Tenant: tenant, Method: method, Message: m, Phase: Queued, Since: now, Next: now}
}

// EventID is what a receiver knows the telling by: the same for every try, another for each repetition.
func (d *Delivery) EventID() string {
	if d.Repeat == 0 {
		return d.Message.Event
	}
	return d.Message.Event + "-r" + strconv.Itoa(d.Repeat)
}

// A Failure is an error of a Transport that says how to go on.
type Failure struct {
	Reason string // as the method's owner may read it
	// Cause holds what only the operator may read; nil for nothing more.
	Cause error
	// Permanent says that no repetition can help.
	Permanent bool
	// RetryAfter is when the receiver wants to be asked again; 0 if it did not say.
	RetryAfter time.Duration
}

func (f *Failure) Error() string { return f.Reason }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// A Step is what becomes of a delivery.
type Step int

const (
	Send   Step = iota // try it now
	Keep               // its record changed
	Remove             // it is over, and so is its record
)

// Surroundings are what a delivery depends on, as of now.
type Surroundings struct {
	Now time.Time
	// Method as it is now; nil when it was deleted.
	Method *Method
	// Sequence of the alarm's last change; 0 when the alarm is gone.
	Sequence uint64
}

// Before decides about a delivery that is due.
func (d Delivery) Before(s Surroundings) (Delivery, Step) {
	switch {
	case s.Method == nil:
		return d, Remove
	case d.Phase == Repeating && (s.Method.Period == 0 || s.Sequence != d.Message.Sequence):
		return d, Remove
	case d.Repeat == 0 && !s.Now.Before(d.Since.Add(TTL)):
		return d.die(s.Now, expired(d.Reason)), Keep
	}
	return d, Send
}

func expired(reason string) string {
	if reason == "" {
		return fmt.Sprintf("not delivered within %v", TTL)
	}
	return fmt.Sprintf("not delivered within %v; last: %s", TTL, reason)
}

// After decides about a delivery that was tried with the outcome err, which is nil when it arrived.
// jitter is a random number from 0 to below 1.
func (d Delivery) After(err error, s Surroundings, jitter float64) (Delivery, Step) {
	if err == nil {
		if s.Method == nil || s.Method.Period == 0 || d.Message.Test {
			return d, Remove
		}
		d.Phase, d.Tries, d.Reason, d.Repeat = Repeating, 0, "", d.Repeat+1
		d.Next = s.Now.Add(time.Duration(s.Method.Period) * time.Second)
		d.Since = d.Next
		return d, Keep
	}
	d.Tries++
	d.Reason = err.Error()
	failure := &Failure{}
	if errors.As(err, &failure) && failure.Permanent {
		if d.Phase == Repeating {
			return d, Remove
		}
		return d.die(s.Now, d.Reason), Keep
	}
	d.Next = s.Now.Add(max(Pause(d.Tries, jitter), min(failure.RetryAfter, maxRetryAfter)))
	if !d.Next.Before(d.Since.Add(TTL)) {
		if d.Phase == Repeating {
			return d, Remove
		}
		return d.die(s.Now, expired(d.Reason)), Keep
	}
	if d.Phase != Repeating {
		d.Phase = Retrying
	}
	return d, Keep
}

func (d Delivery) die(now time.Time, reason string) Delivery {
	d.Phase, d.Ended, d.Reason = Dead, now, reason
	return d
}

// Resend gives a dead delivery a new life.
func (d Delivery) Resend(now time.Time) Delivery {
	d.Phase, d.Tries, d.Ended, d.Reason, d.Since, d.Next = Queued, 0, time.Time{}, "", now, now
	return d
}

// Pause is the time after the given number of failures in a row: a second, doubled with each up to a
// minute, of which up to half is left out by jitter, from 0 to below 1.
func Pause(tries int, jitter float64) time.Duration {
	pause := maxPause
	if tries < 10 {
		pause = min(maxPause, firstPause<<max(0, tries-1))
	}
	return pause - time.Duration(jitter*float64(pause)/2)
}
