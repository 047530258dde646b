package alerting

import (
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// What the instances bear is known of an alarm of one average, and of no other.
func TestBorne(t *testing.T) {
	for expression, want := range map[string]string{"avg(cpu{role=app}, 10s) > 80": "cpu{role=app}", "max(cpu) > 80": "", "avg(cpu) > 80 and avg(mem) > 80": ""} {
		e, err := alarm.Parse(expression, alarm.Troupe)
		if err != nil {
			t.Fatal(err)
		}
		x := &alarm.Transition{}
		for _, p := range e.Parts {
			x.SubAlarms = append(x.SubAlarms, alarm.SubAlarm{Part: p, Values: []float64{90, 85}})
		}
		switch b := borne(x); {
		case b == nil && want != "", b != nil && (b.Of != want || b.Value != 85):
			t.Errorf("%s: %+v", expression, b)
		}
	}
}

// An order that a service refuses in its present state is given again, and followed once the service is ready.
func TestOrderIsGivenAgain(t *testing.T) {
	s := newStage(t)
	s.service(7, &service.Spec{Name: "web", Strict: true, Roles: []service.RoleSpec{{Name: "app", Cardinality: 1}},
		Alarms: []alarm.Definition{{Name: "busy", Severity: "LOW", Expression: "last(load) > 80", Actions: alarm.Actions{Alarm: []alarm.Action{{Scale: &alarm.Scale{Role: "app", By: "+1"}}}}}}})
	s.eventually("the service's alarm is watched", func() bool { return len(s.alerts.Definitions(tenant)) == 1 })
	is := func(state service.State, cardinality int) func() bool {
		return func() (ok bool) {
			s.engine.View(7, func(svc *service.Service) { ok = svc.State == state && svc.Role("app").Cardinality == cardinality })
			return ok
		}
	}
	rest := 900 * time.Millisecond // the second try comes after a second
	s.order(&service.Command{Scale: &service.Scale{Role: "app", Cardinality: 2, Cooldown: &rest}})
	s.eventually("the service rests after its scaling", is(service.Cooldown, 2))
	s.pushAs(&telemetry.Binding{Tenant: tenant, Origin: metric.Origin{Service: 7, Role: "app", Serial: 1}}, "load", 95, nil)
	s.eventually("the service runs", is(service.Running, 2))
	s.eventually("the order is followed", is(service.Running, 3))
}
