package engine

import (
	"context"
	"sync"

	"github.com/troupe-dev/troupe/internal/service"
)

// A Change is what one commit did to a service.
type Change struct {
	Service   uint64
	Revision  int64 // of the store, growing
	State     service.State
	Meta      service.Meta
	Removed   bool     // the service is no more
	Instances []uint32 // serials of those that changed
	Events    []service.Event
}

// changesKept is how far back a watcher may resume.
const changesKept = 8192

// A hub tells watchers of changes. A watcher that does not keep up is told to begin again, and never
// holds up the others.
type hub struct {
	mu       sync.Mutex
	ring     []Change
	next     int
	count    int
	last     int64
	watchers map[*Watcher]struct{}
	sinks    []func(Change)
}

func (h *hub) init() {
	h.ring = make([]Change, 0, 64)
	h.watchers = make(map[*Watcher]struct{})
}

// A Watcher receives changes.
type Watcher struct {
	hub     *hub
	changes chan Change
	lost    chan struct{}
	once    sync.Once
}

const watcherBuffer = 1024

// Watch begins to watch. With a positive revision, the changes after it come first; ok is false when
// these are no longer known, and the caller must read everything anew.
func (e *Engine) Watch(after int64) (w *Watcher, ok bool) {
	h := &e.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	w = &Watcher{hub: h, changes: make(chan Change, watcherBuffer), lost: make(chan struct{})}
	if after > 0 {
		old, known := h.since(after)
		if !known || len(old) > watcherBuffer/2 {
			return nil, false
		}
		for _, c := range old {
			w.changes <- c
		}
	}
	h.watchers[w] = struct{}{}
	return w, true
}

// Next returns the next change; ok is false when ctx has ended or the watcher fell behind.
func (w *Watcher) Next(ctx context.Context) (c Change, ok bool) {
	select {
	case c = <-w.changes:
		return c, true
	default:
	}
	select {
	case c = <-w.changes:
		return c, true
	case <-w.lost:
		return Change{}, false
	case <-ctx.Done():
		return Change{}, false
	}
}

// Close ends the watch.
func (w *Watcher) Close() {
	w.hub.mu.Lock()
	delete(w.hub.watchers, w)
	w.hub.mu.Unlock()
}

func (h *hub) since(after int64) ([]Change, bool) {
	if after >= h.last {
		return nil, true
	}
	n := len(h.ring)
	var out []Change
	for k := range n {
		c := h.ring[(h.next+k)%n]
		if k == 0 && c.Revision > after && n == changesKept {
			return nil, false
		}
		if c.Revision > after {
			out = append(out, c)
		}
	}
	return out, h.count <= changesKept || len(out) < n
}

func (h *hub) publish(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = max(h.last, c.Revision)
	h.count++
	if len(h.ring) < changesKept {
		h.ring = append(h.ring, c)
		h.next = 0
	} else {
		h.ring[h.next] = c
		h.next = (h.next + 1) % changesKept
	}
	for w := range h.watchers {
		select {
		case w.changes <- c:
		default:
			delete(h.watchers, w)
			w.once.Do(func() { close(w.lost) })
		}
	}
	for _, f := range h.sinks {
		f(c)
	}
}

// Tap lets f see every change, in the order of their publication, before Run is called; f must be quick.
func (e *Engine) Tap(f func(Change)) { e.hub.sinks = append(e.hub.sinks, f) }

// Revision returns the revision of the last change.
func (e *Engine) Revision() int64 {
	e.hub.mu.Lock()
	defer e.hub.mu.Unlock()
	return e.hub.last
}
