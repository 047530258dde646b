package alerting

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
)

// A table finds the subscribers of a series by its dense id, without a lock.
type table struct {
	mu    sync.Mutex // held by whoever changes it
	pages atomic.Pointer[[]*page]
}

const pageSize = 4096

type page [pageSize]atomic.Pointer[subscribers]

// subscribers are those that want the points of one series. They are never changed once in the table.
type subscribers struct {
	series *metric.Series
	feeds  []subscription
	probes []*probe
}

// A subscription is the way of a series into a watch.
type subscription struct {
	watch *watch
	feed  *alarm.Feed
}

// of returns the subscribers of a series, or nil.
func (t *table) of(id uint32) *subscribers {
	pages := t.pages.Load()
	if pages == nil || int(id/pageSize) >= len(*pages) {
		return nil
	}
	p := (*pages)[id/pageSize]
	if p == nil {
		return nil
	}
	return p[id%pageSize].Load()
}

// change replaces the subscribers of a series by what edit makes of a copy of them; nil and empty ones leave.
func (t *table) change(s *metric.Series, edit func(*subscribers)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := &subscribers{series: s}
	if old := t.of(s.ID); old != nil && old.series == s {
		next.feeds, next.probes = slices.Clone(old.feeds), slices.Clone(old.probes)
	}
	edit(next)
	if len(next.feeds)+len(next.probes) == 0 {
		next = nil
	}
	if place := t.place(s.ID, next != nil); place != nil {
		place.Store(next)
	}
}

// place returns where the subscribers of an id stand; nil when there is no such place and none is wanted.
func (t *table) place(id uint32, want bool) *atomic.Pointer[subscribers] {
	var pages []*page
	if p := t.pages.Load(); p != nil {
		pages = *p
	}
	n := int(id / pageSize)
	if n >= len(pages) || pages[n] == nil {
		if !want {
			return nil
		}
		grown := make([]*page, max(len(pages), n+1))
		copy(grown, pages)
		grown[n] = new(page)
		t.pages.Store(&grown)
		pages = grown
	}
	return &pages[n][id%pageSize]
}
