package engine

import (
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/service"
)

// TestEventsWaitForNoTurn: what happens to one service is heard while another is in the middle of its turn.
func TestEventsWaitForNoTurn(t *testing.T) {
	s := newStage(t, sound)
	e := s.start()
	s.create(1, simRole("app", 2))
	s.create(2, simRole("app", 2))
	s.running(1, 2)
	first, second := s.machine(1, "app", 0), s.machine(2, "app", 0)
	busy := e.actor(1)
	busy.lock.RLock() // as a reader would; a turn waits for it, and further readers wait for the turn
	e.schedule(busy)
	for busy.lock.TryRLock() { // until the turn waits
		busy.lock.RUnlock()
	}
	s.clouds[0].Remove(first)
	s.clouds[0].Remove(second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.Now().Add(10 * time.Second)
	for healed := false; !healed; <-tick.C {
		e.View(2, func(svc *service.Service) { healed = running(svc) && svc.Serial == 3 })
		if time.Now().After(limit) {
			t.Error("the event of the other service is not heard")
			break
		}
	}
	busy.lock.RUnlock()
	s.until(1, "healed", func(svc *service.Service) bool { return running(svc) && svc.Serial == 3 })
	s.removeAll()
}
