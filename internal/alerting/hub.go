package alerting

import "sync"

// A Change says that something about a project's alarms is different now.
type Change struct {
	Tenant     int
	Definition string
	Alarm      string // "" when it is about the definition
	Removed    bool
}

// A hub tells listeners of changes. One that does not keep up misses some, and is told so by the channel's
// end: it reads everything anew.
type hub struct {
	mu        sync.Mutex
	listeners map[chan Change]struct{}
}

const listenerBuffer = 1024

func (h *hub) init() { h.listeners = make(map[chan Change]struct{}) }

func (h *hub) publish(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.listeners {
		select {
		case l <- c:
		default:
			delete(h.listeners, l)
			close(l)
		}
	}
}

// Watch returns a channel of changes, which is closed when the listener falls behind; stop ends it.
func (a *Alerting) Watch() (changes <-chan Change, stop func()) {
	l := make(chan Change, listenerBuffer)
	a.hub.mu.Lock()
	a.hub.listeners[l] = struct{}{}
	a.hub.mu.Unlock()
	return l, func() {
		a.hub.mu.Lock()
		delete(a.hub.listeners, l)
		a.hub.mu.Unlock()
	}
}
