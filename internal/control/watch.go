package control

import (
	"context"
	"sync"

	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// A Change is what one commit did to a service.
type Change = engine.Change

// Watch calls f for each committed change of services that the caller may use, those after the given
// revision of the store first (0 for none of the past), until ctx ends or f returns false. It returns
// false when the past is no longer known or the caller fell behind: then everything must be read anew.
func (c *Control) Watch(ctx context.Context, who *identity.Caller, after int64, f func(Change) bool) bool {
	w, ok := c.engine.Watch(after)
	if !ok {
		return false
	}
	defer w.Close()
	for {
		change, ok := w.Next(ctx)
		if !ok {
			return ctx.Err() != nil
		}
		if identity.Allowed(who, object(&change.Meta), identity.Use) && !f(change) {
			return true
		}
	}
}

// A StoryEvent is a line of a service's story.
type StoryEvent struct {
	Service  uint64
	Name     string
	Revision int64
	service.Event
	meta service.Meta
}

// journal keeps the last events of all services in memory; each service's own log is durable.
type journal struct {
	mu   sync.Mutex
	ring []StoryEvent
	next int
}

const journalLength = 20000

func (j *journal) note(c engine.Change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range c.Events {
		s := StoryEvent{Service: c.Service, Name: c.Meta.Name, Revision: c.Revision, Event: e, meta: c.Meta}
		if len(j.ring) < journalLength {
			j.ring = append(j.ring, s)
			continue
		}
		j.ring[j.next] = s
		j.next = (j.next + 1) % journalLength
	}
}

// Events returns the last n events, oldest first: of one service, or with id 0 of all that the caller
// may use. What is older than this server's start comes from the service's own log.
func (c *Control) Events(who *identity.Caller, id uint64, n int) ([]StoryEvent, error) {
	var out []StoryEvent
	if id != 0 {
		if err := c.Read(who, id, func(s *service.Service) {
			for _, e := range s.Log {
				out = append(out, StoryEvent{Service: id, Name: s.Meta.Name, Event: e})
			}
		}); err != nil {
			return nil, err
		}
	}
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	var recent []StoryEvent
	for k := range c.journal.ring {
		e := c.journal.ring[(c.journal.next+k)%len(c.journal.ring)]
		if (id == 0 || e.Service == id) && identity.Allowed(who, object(&e.meta), identity.Use) {
			recent = append(recent, e)
		}
	}
	out = merge(out, recent)
	if len(out) > n && n > 0 {
		out = out[len(out)-n:]
	}
	return out, nil
}

// merge puts the durable log before what memory knows in more detail.
func merge(log, recent []StoryEvent) []StoryEvent {
	if len(recent) == 0 {
		return log
	}
	out := make([]StoryEvent, 0, len(log)+len(recent))
	for _, e := range log {
		if e.Time < recent[0].Time {
			out = append(out, e)
		}
	}
	return append(out, recent...)
}
