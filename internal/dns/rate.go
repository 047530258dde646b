package dns

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// Whoever sends questions in another's name has this server send its answers there. So the answers to each network are
// limited, over UDP, where the sender is not known for certain.

// limiterSlots bounds the memory. Networks that share a slot share what it allows.
const limiterSlots = 1 << 14

// burst is how many seconds' worth of answers may go out at once.
const burst = 2

// A limiter counts answers by network: /24 of IPv4, /56 of IPv6.
type limiter struct {
	every time.Duration // between two answers, on average; 0 allows everything
	seed  maphash.Seed
	// slots hold when the next answer would be due if none came early, in nanoseconds since the start.
	slots []atomic.Int64
	began time.Time
}

func newLimiter(perSecond float64) *limiter {
	if perSecond <= 0 {
		return &limiter{}
	}
	return &limiter{every: time.Duration(float64(time.Second) / perSecond), seed: maphash.MakeSeed(), slots: make([]atomic.Int64, limiterSlots), began: time.Now()}
}

// allow reports whether an answer may be sent to the address now.
func (l *limiter) allow(to netip.Addr) bool {
	if l.every == 0 || to.IsLoopback() { // nobody else can send in the name of this host
		return true
	}
	bits := 56
	if to.Is4() {
		bits = 24
	}
	network, err := to.Prefix(bits)
	if err != nil {
		return false
	}
	slot := &l.slots[maphash.Comparable(l.seed, network)%limiterSlots]
	now := int64(time.Since(l.began))
	for {
		due := slot.Load()
		if due-now > int64(burst*time.Second) {
			return false
		}
		if slot.CompareAndSwap(due, max(due, now)+int64(l.every)) {
			return true
		}
	}
}
