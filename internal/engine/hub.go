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
	Spec      *service.Spec // never changed
	Removed   bool          // the service is no more
	Instances []uint32      // serials of those that changed
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
	first    int64 // revision of the state at the start: what came before is not known
	last     int64
	watchers map[*Watcher]struct{}
	sinks    []func(Change)
}

func (h *hub) init() {
	h.ring = make([]Change, 0, 64)
	h.watchers = make(map[*Watcher]struct{})
}

// begin says at which revision the state was loaded.
func (h *hub) begin(revision int64) { h.first, h.last = revision, revision }

// A Watcher receives changes.
type Watcher struct {
	hub     *hub
	changes chan Change
	lost    chan struct{}
	once    sync.Once
}

const watcherBuffer = 1024

// Watch begins to watch. With a positive revision, the changes after it come first, and those of that
// very revision again, for one commit may change several services; ok is false when these are no longer
// known, and the caller must read everything anew.
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

// since returns what was published from the given revision's first change on. Commits are published as
// they are answered, not in the order of their revisions, so the place in the ring counts.
func (h *hub) since(after int64) ([]Change, bool) {
	if after < h.first {
		return nil, false
	}
	n := len(h.ring)
	var later []Change
	for k := range n {
		c := h.ring[(h.next+k)%n]
		if c.Revision == after {
			return h.from(k), true
		}
		if c.Revision > after {
			later = append(later, c)
		}
	}
	return later, n < changesKept || len(later) < n
}

// from returns the ring from its k-th oldest change on.
func (h *hub) from(k int) []Change {
	n := len(h.ring)
	out := make([]Change, 0, n-k)
	for ; k < n; k++ {
		out = append(out, h.ring[(h.next+k)%n])
	}
	return out
}

func (h *hub) publish(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// Answers of commits overtake each other. What is told keeps an order that can be resumed.
	c.Revision = max(h.last, c.Revision)
	h.last = c.Revision
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
