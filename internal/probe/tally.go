package probe

import (
	"time"

	"github.com/troupe-dev/troupe/internal/service"
)

// A tally counts the rounds of one check.
type tally struct {
	health   service.Health
	once     bool          // it was healthy once
	rounds   uint16        // since the start, until the first good one; it stops at its largest value
	good     uint32        // in a row
	bad      uint32        // in a row
	failedAt time.Duration // of the last round that counted as failed, since the start
}

// observe takes the outcome of a round at a time since the instance's start, and reports whether the
// instance became healthy, unhealthy or, by a check that may fail for a while, ailing.
//
// Until the first good round, rounds follow each other faster than the interval, so that a service
// is up as soon as it can be; but failures count no more than once an interval, and in the start
// period not at all.
func (t *tally) observe(c *service.Check, ok bool, since time.Duration) bool {
	starting := t.starting()
	if starting && t.rounds < 1<<16-1 {
		t.rounds++
	}
	if ok {
		t.bad = 0
		t.good = min(t.good+1, 1<<31)
		t.rounds = 0
		if t.health != service.Healthy && int(t.good) >= orDefault(c.Successes, DefaultSuccesses) {
			t.health, t.once = service.Healthy, true
			return true
		}
		return false
	}
	t.good = 0
	if starting && (since < c.StartPeriod || t.bad > 0 && since-t.failedAt < interval(c)) {
		return false
	}
	t.failedAt = since
	t.bad = min(t.bad+1, 1<<31)
	before := t.health
	switch {
	case before == service.Unhealthy:
	case (c.Down == 0 || c.Failures > 0) && int(t.bad) >= orDefault(c.Failures, DefaultFailures):
		t.health = service.Unhealthy
	case c.Down > 0:
		t.health = service.Ailing
	}
	return t.health != before
}

// early: the instance was never healthy, and is not unhealthy.
func (t *tally) early() bool {
	return t.health == service.Unchecked || t.health == service.Ailing && !t.once
}

// starting: no round was good so far, and none of the verdicts has fallen.
func (t *tally) starting() bool { return t.early() && t.good == 0 }

// pause returns the time from the start of one round to that of the next.
func (t *tally) pause(c *service.Check) time.Duration {
	full := interval(c)
	if t.early() {
		return min(full, fastest<<min(t.rounds, 16))
	}
	return full
}

// fastest is the pause after the first round of an instance that starts.
const fastest = 50 * time.Millisecond

func interval(c *service.Check) time.Duration {
	if c.Interval <= 0 {
		return DefaultInterval
	}
	return c.Interval
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}
