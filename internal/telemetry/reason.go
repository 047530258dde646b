package telemetry

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A Reason is why a sample or series was not taken, or not taken whole.
type Reason uint8

const (
	Invalid    Reason = iota // a name or dimension that is not allowed
	NotFinite                // NaN or an infinity
	Ended                    // Prometheus' mark that a series ends: history has it, alarms do not
	Future                   // later than now by more than Options.Future
	Old                      // older than Options.Retain
	Late                     // older than Options.Past: history has it, alarms do not
	OutOfOrder               // older than the series' newest sample, and taken
	Doubled                  // the same time and value again
	Conflict                 // the same time with another value: the first stays
	Histogram                // a native or exponential histogram that contradicts itself, is too large, or too coarse
	Delta                    // a report of what was counted since the one before, and not newer than that
	OverSeries               // the tenant, or the server, has as many series as it may
	OverValues               // a dimension has as many values as it may
	OverRate                 // the tenant sends faster than it may
	MovedAside               // a series said that it is somebody else's: see Binding
	reasons
)

var reasonNames = [reasons]string{"invalid", "not finite", "end of series", "future", "old", "late", "out of order", "doubled", "conflict",
	"native histogram", "delta", "too many series", "too many values", "too fast", "moved aside"}

func (r Reason) String() string { return reasonNames[min(r, reasons-1)] }

// refusals word the reasons for which samples are not taken, for their senders.
var refusals = map[Reason]string{
	Invalid: "with a name or dimension that is not allowed", NotFinite: "not finite", Future: "too far in the future", Old: "older than history keeps",
	Conflict:  "for a time that has another value",
	Histogram: "a histogram that contradicts itself, is too large, or has a scale below -4", Delta: "a delta that is not newer than the one before",
	OverSeries: "over the number of series", OverValues: "over the number of a dimension's values", OverRate: "over the rate",
}

// Refused returns how many samples were not taken for some reasons, all when none are given, and says why; "" for none.
func (r *Result) Refused(reasons ...Reason) (n int, why string) {
	var parts []string
	for reason, count := range r.Counts {
		words, is := refusals[Reason(reason)]
		if !is || count == 0 || len(reasons) > 0 && !slices.Contains(reasons, Reason(reason)) {
			continue
		}
		n += count
		part := fmt.Sprintf("%d %s", count, words)
		if Reason(reason) == Invalid && r.Wrong != nil { // quoted: it may go to a header
			part += fmt.Sprintf(" (%v, in metric %.80q)", r.Wrong.Err, r.Wrong.Name)
		}
		parts = append(parts, part)
	}
	if n == 0 {
		return 0, ""
	}
	noun := "samples were"
	if n == 1 {
		noun = "sample was"
	}
	return n, noun + " not taken: " + strings.Join(parts, "; ")
}

// Counts say how often each thing happened.
type Counts [reasons]uint64

// Each calls do for every reason with its count, zeros too.
func (c *Counts) Each(do func(Reason, uint64)) {
	for r, n := range c {
		do(Reason(r), n)
	}
}

// A LimitError refuses samples for the sake of the others. Faces answer 429 with Retry-After. Samples of series that
// were known have been taken, save when the reason is OverRate: then none has.
type LimitError struct {
	Reason     Reason
	Limit      float64 // series, values, or samples per second
	Dimension  string  // of OverValues
	Refused    int     // samples
	RetryAfter time.Duration
}

func (e *LimitError) Error() string {
	what := ""
	switch e.Reason {
	case OverRate:
		what = fmt.Sprintf("more than %.0f samples a second", e.Limit)
	case OverValues:
		what = fmt.Sprintf("more than %.0f values of dimension %.80q", e.Limit, e.Dimension)
	default:
		what = fmt.Sprintf("more than %.0f series", e.Limit)
	}
	return fmt.Sprintf("limit reached: %s; %d samples were not taken, try again in %.0f s or ask for a higher limit",
		what, e.Refused, math.Ceil(e.RetryAfter.Seconds()))
}
