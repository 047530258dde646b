package alerting

import (
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// What an alarm orders of a service that nobody manages waits until it is attached, and for no longer than the alarm stands.
func TestUnmanagedServiceGetsNoOrders(t *testing.T) {
	s := newStage(t)
	five := 5
	s.service(7, &service.Spec{Name: "web", Roles: []service.RoleSpec{{Name: "app", Cardinality: 3, Max: &five}},
		Alarms: []alarm.Definition{{Name: "busy", Severity: "LOW", Expression: "last(load) > 80", Actions: alarm.Actions{Alarm: []alarm.Action{{Scale: &alarm.Scale{Role: "app", By: "+1"}}}}}}})
	s.eventually("the service's alarm is watched", func() bool { return len(s.alerts.Definitions(tenant)) == 1 })
	cardinality := func() (n int) {
		s.engine.View(7, func(svc *service.Service) { n = svc.Role("app").Cardinality })
		return n
	}
	s.order(&service.Command{Manage: &service.Manage{Mode: service.Unmanaged}})
	s.pushAs(&telemetry.Binding{Tenant: tenant, Origin: metric.Origin{Service: 7, Role: "app", Serial: 1}}, "load", 95, nil)
	s.eventually("the alarm is raised", func() bool {
		for _, d := range s.alerts.Definitions(tenant) {
			for _, x := range s.alerts.Alarms(tenant, d.ID, nil) {
				if x.State == alarm.StateAlarm {
					return true
				}
			}
		}
		return false
	})
	for range 5 {
		<-time.After(100 * time.Millisecond)
		if n := cardinality(); n != 3 {
			t.Fatalf("%d instances are wished for while nobody manages the service", n)
		}
	}
	s.order(&service.Command{Manage: &service.Manage{Mode: service.Managed}})
	s.eventually("the order is followed once the service is attached", func() bool { return cardinality() == 4 })
}
