package identity

import (
	"net/netip"
	"sync"
	"time"
)

// Failed logins are slowed down by source and by user within a source. Nothing is counted by user
// alone: else anybody could lock a user out from elsewhere.
var (
	perUser   = pace{free: 5, cap: 5 * time.Minute}
	perSource = pace{free: 50, cap: time.Minute}
)

const (
	throttleForget  = 30 * time.Minute // after the last failure
	throttleEntries = 20_000           // about 2 MB
)

// A pace lets the first failures pass, then asks for 1 s, 2 s, 4 s … between attempts.
type pace struct {
	free int
	cap  time.Duration
}

func (p pace) delay(failures int) time.Duration {
	over := failures - p.free
	switch {
	case over <= 0:
		return 0
	case over > 20:
		return p.cap
	}
	return min(time.Second<<(over-1), p.cap)
}

// A suspect is a source, or a user as seen from a source.
type suspect struct {
	source netip.Addr
	user   string
}

type failures struct {
	count int
	last  time.Time
	until time.Time // attempts before are refused unseen
}

type throttle struct {
	mu      sync.Mutex
	entries map[suspect]failures
}

func newThrottle() *throttle { return &throttle{entries: map[suspect]failures{}} }

// begin counts an attempt as failed until success says otherwise, so that a thousand attempts at
// once gain nothing. It returns how long to wait when the attempt may not be looked at.
func (t *throttle) begin(source netip.Addr, user string, now time.Time) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	network := networkOf(source)
	pair, whole := suspect{network, user}, suspect{source: network}
	if wait = max(t.entries[pair].until.Sub(now), t.entries[whole].until.Sub(now)); wait > 0 {
		t.seen(pair, now)
		t.seen(whole, now)
		return wait
	}
	t.count(pair, perUser, now)
	t.count(whole, perSource, now)
	return 0
}

// seen keeps the entry of one who does not give up from being evicted as old.
func (t *throttle) seen(s suspect, now time.Time) {
	if f, known := t.entries[s]; known {
		f.last = now
		t.entries[s] = f
	}
}

func (t *throttle) count(s suspect, p pace, now time.Time) {
	f, known := t.entries[s]
	if now.Sub(f.last) > throttleForget {
		f = failures{}
	}
	if !known && len(t.entries) >= throttleEntries {
		t.evict()
	}
	f.count, f.last = f.count+1, now
	f.until = now.Add(p.delay(f.count))
	t.entries[s] = f
}

// evict drops the entry that failed longest ago among a few.
func (t *throttle) evict() {
	var oldest suspect
	var when time.Time
	seen := 0
	for s, f := range t.entries {
		if seen == 0 || f.last.Before(when) {
			oldest, when = s, f.last
		}
		if seen++; seen == 8 {
			break
		}
	}
	delete(t.entries, oldest)
}

// success takes back what begin counted and forgets the user's failures from there. Those of the
// source stay: a valid account is no licence to guess others.
func (t *throttle) success(source netip.Addr, user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	network := networkOf(source)
	delete(t.entries, suspect{network, user})
	t.takeBack(suspect{source: network})
}

// abandon takes back what begin counted for an attempt that was never looked at.
func (t *throttle) abandon(source netip.Addr, user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	network := networkOf(source)
	t.takeBack(suspect{network, user})
	t.takeBack(suspect{source: network})
}

func (t *throttle) takeBack(s suspect) {
	f, known := t.entries[s]
	if !known {
		return
	}
	if f.count--; f.count <= 0 {
		delete(t.entries, s)
		return
	}
	t.entries[s] = f // until stays: success with one account does not hurry guesses at another
}

// sweep forgets what is long past.
func (t *throttle) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, f := range t.entries {
		if now.Sub(f.last) > throttleForget {
			delete(t.entries, s)
		}
	}
}

// networkOf returns what one party commands: an IPv4 address, or an IPv6 network of 64 bits.
func networkOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
