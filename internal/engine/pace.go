package engine

import (
	"sync"
	"time"
)

// A pace spreads over time what nobody waits for, so that a command's commit finds the store and the
// processors free: a thousand services that heal at once could otherwise take both for seconds. It lets
// them write a little more for each commit that the store answers quickly, and a quarter less when one is
// slow. The zero value is ready.
type pace struct {
	mu     sync.Mutex
	rate   float64   // bytes a second
	next   time.Time // when the next turn may begin
	slowed time.Time // when the rate last fell
}

const (
	paceLeast = 3 << 20  // bytes a second, with which it begins and below which it never falls
	paceMost  = 64 << 20 // bytes a second
	paceStep  = 16 << 10 // bytes a second that a quick answer adds
	paceSlow  = 10 * time.Millisecond
	paceIdle  = time.Second // after so long without work, what is known of the store is old
)

// wait returns how long it is until the next turn may begin; not above zero: it may now.
func (p *pace) wait(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next.Sub(now)
}

// spend tells that a turn which nobody waits for writes so many bytes.
func (p *pace) spend(bytes int64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.next) > paceIdle {
		p.rate = paceLeast
	}
	if now.After(p.next) {
		p.next = now
	}
	p.next = p.next.Add(time.Duration(float64(bytes) / p.rate * float64(time.Second)))
}

// answered tells that a commit, whoever's, was sent and answered at those times.
func (p *pace) answered(sent, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.rate == 0: // nothing was spent yet
	case now.Sub(sent) <= paceSlow:
		if p.next.After(sent) { // else it is not the pace that limits
			p.rate = min(p.rate+paceStep, paceMost)
		}
	case sent.After(p.slowed): // what was sent earlier went at the rate of then
		p.rate, p.slowed = max(p.rate*3/4, paceLeast), now
	}
}
