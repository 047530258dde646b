package driver

import "time"

// A Condition says what keeps calls from a back end, as the wrappers of Wrap see it.
type Condition struct {
	// Open is when the circuit opened: calls fail at once until Until, when one is let through to see. Zero
	// while the back end answers.
	Open, Until time.Time
	Failures    int    // in a row
	Last        string // the last of them, in the back end's words
	// Throttled is since when the back end says that it is asked too often; zero when it last answered.
	Throttled time.Time
}

// ConditionOf returns the condition of a driver that Wrap has wrapped; of others nothing is known.
func ConditionOf(d Driver) Condition {
	if w, ok := As[*wrapped](d); ok {
		return w.circuit.condition()
	}
	return Condition{}
}

// A wrapped driver is the outermost layer of Wrap.
type wrapped struct {
	Driver
	circuit *breaker
}

// Unwrap returns the layers below.
func (w *wrapped) Unwrap() Driver { return w.Driver }

func (b *breaker) condition() Condition {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := Condition{Throttled: b.throttled}
	if !b.until.IsZero() {
		c.Open, c.Until, c.Failures, c.Last = b.opened, b.until, b.failures, b.last.Error()
	}
	return c
}
