package driver

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// A Plan says how a back end misbehaves. Rates are fractions of the calls, from 0 to 1. What happens
// to a call depends on the seed, its name, its machine and how often that call went wrong before, and
// not on what else goes on: the same plan is the same fate, in whatever order calls come.
type Plan struct {
	Seed   uint64
	Errors float64       // refused before they reach the driver, with ErrUnavailable
	Lost   float64       // done, but answered with ErrUnavailable
	Silent float64       // done, but not answered until the caller gives up
	Double float64       // done twice
	Delay  time.Duration // before each call reaches the driver, up to
	Late   time.Duration // between the deed and its answer, up to
	Calls  []string      // the calls that it concerns; empty for all but streams
}

// Faults makes d misbehave as plan says at the time of the call; a nil plan is no misbehaviour.
func Faults(d Driver, plan func() *Plan) Driver { return Intercept(d, Misbehave(plan)) }

// Misbehave returns what Faults puts around each call.
func Misbehave(plan func() *Plan) Around {
	f := &faults{plan: plan, times: map[fate]uint64{}}
	return f.around
}

type faults struct {
	plan func() *Plan

	mu    sync.Mutex
	times map[fate]uint64 // how often each call went wrong; a call without machine: how often it was made
}

type fate struct {
	call string
	id   MachineID
}

func (f *faults) around(ctx context.Context, call *Call, do func(context.Context) error) error {
	p := f.plan()
	if p == nil || !p.concerns(call) || ctx.Err() != nil {
		return do(ctx)
	}
	who := fate{call.Name, call.ID}
	f.mu.Lock()
	n := f.times[who]
	f.mu.Unlock()
	luck := func(what string) float64 { return Chance(p.Seed, n, what, call.Name, string(call.ID)) }
	if !wait(ctx, time.Duration(luck("delay")*float64(p.Delay))) {
		return fmt.Errorf("%s: injected delay: %w", call.Name, ctx.Err())
	}
	what := luck("fault")
	again := luck("double") < p.Double
	wrong := what < p.Errors+p.Lost+p.Silent
	if wrong || again || call.ID == "" {
		f.mu.Lock()
		f.times[who] = n + 1
		f.mu.Unlock()
	} else if n > 0 {
		f.mu.Lock()
		delete(f.times, who)
		f.mu.Unlock()
	}
	if what < p.Errors {
		return fmt.Errorf("%s: %w: injected failure", call.Name, ErrUnavailable)
	}
	err := do(ctx)
	if again && err == nil && !call.yielded {
		err = do(ctx)
	}
	switch {
	case what < p.Errors+p.Lost:
		return fmt.Errorf("%s: %w: injected loss of the answer", call.Name, ErrUnavailable)
	case wrong:
		<-ctx.Done()
		return fmt.Errorf("%s: injected silence: %w", call.Name, ctx.Err())
	case !wait(ctx, time.Duration(luck("late")*float64(p.Late))):
		return fmt.Errorf("%s: injected late answer: %w", call.Name, ctx.Err())
	}
	return err
}

func (p *Plan) concerns(call *Call) bool {
	for _, name := range p.Calls {
		if name == call.Name {
			return true
		}
	}
	return len(p.Calls) == 0 && !call.Stream
}

// wait returns false when ctx ended first. A wait of zero looks at nothing.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Chance returns a number from 0 up to 1 that is the same whenever its arguments are: the seeded luck of
// simulations, free of any order of calls.
func Chance(seed, n uint64, words ...string) float64 {
	h := uint64(14695981039346656037) ^ seed*0x9e3779b97f4a7c15
	for _, s := range words {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211 // FNV-1a
		}
		h = (h ^ 0xff) * 1099511628211
	}
	h += n * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9 // the finalizer of SplitMix64
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return math.Ldexp(float64((h^h>>31)>>11), -53)
}
