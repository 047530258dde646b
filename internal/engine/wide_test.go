package engine

import (
	"testing"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
)

// A wish that concerns every instance of a large role is more than one transaction.
func TestWishWiderThanATransaction(t *testing.T) {
	s := newStage(t, sim.Options{})
	s.start()
	s.create(1, simRole("web", 4000))
	s.running(1)
	s.order(1, &service.Command{Act: &service.Act{Action: "suspend"}})
	s.until(1, "suspended", func(svc *service.Service) bool { return svc.Role("web").Count(service.Parked) == 4000 })
	s.order(1, &service.Command{Undeploy: &service.Undeploy{Hard: true}})
	s.until(1, "done", func(svc *service.Service) bool { return svc.State == service.Done })
	if n := s.clouds[0].Len(); n != 0 {
		t.Errorf("%d machines left over", n)
	}
}
