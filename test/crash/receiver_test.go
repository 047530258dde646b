//go:build linux

package crash

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// An event is a webhook.
type event struct {
	ID       string `json:"event_id"`
	Alarm    string `json:"alarm_id"`
	Name     string `json:"alarm_name"`
	Sequence uint32 `json:"sequence"`
	State    string `json:"state"`
	Old      string `json:"old_state"`
}

// A receiver takes webhooks in. It outlives the servers, and does not always answer well.
type receiver struct {
	t   testing.TB
	url string

	mu    sync.Mutex
	down  bool
	calls int
	taken int
	seen  map[string]map[uint32]event // by alarm and sequence
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{t: t, seen: make(map[string]map[uint32]event)}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	var e event
	if err := json.NewDecoder(q.Body).Decode(&e); err != nil {
		return // the server was killed while it sent this
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls++; r.down || r.calls%7 == 0 {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	r.taken++
	if r.seen[e.Alarm] == nil {
		r.seen[e.Alarm] = make(map[uint32]event)
	}
	if old, again := r.seen[e.Alarm][e.Sequence]; again && old != e {
		r.t.Errorf("change %d of an alarm was told as %+v, and as %+v", e.Sequence, old, e)
	}
	r.seen[e.Alarm][e.Sequence] = e
}

func (r *receiver) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// events returns what has come, by alarm and sequence, and how many calls were answered well.
func (r *receiver) events() (map[string]map[uint32]event, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]map[uint32]event)
	for alarm, all := range r.seen {
		out[alarm] = maps.Clone(all)
	}
	return out, r.taken
}

// changes counts what was told, each change once.
func changes(events map[string]map[uint32]event, _ int) (n int) {
	for _, all := range events {
		n += len(all)
	}
	return n
}

// gap tells what is wrong with the events of an alarm that has changed so many times: each change must have been told, and follow
// from the one before.
func gap(events map[uint32]event, changes uint32) string {
	if len(events) != int(changes) {
		return fmt.Sprintf("%d changes were told of %d", len(events), changes)
	}
	for n := uint32(2); n <= changes; n++ {
		if a, b := events[n-1], events[n]; a.State != b.Old || b.State == b.Old {
			return fmt.Sprintf("change %d is %s→%s, after %s→%s", n, b.Old, b.State, a.Old, a.State)
		}
	}
	return ""
}
