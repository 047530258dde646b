package alerting

import (
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// silentService deploys a service whose instances raise an alarm when they fall silent.
func (s *stage) silentService(n int, silence string, actions ...alarm.Action) {
	s.service(7, &service.Spec{Name: "web", Roles: []service.RoleSpec{{Name: "app", Cardinality: n}},
		Alarms: []alarm.Definition{{Name: "silent", Severity: "LOW", Expression: "absent(cpu.user_perc, " + silence + ")", MatchBy: []string{"instance"}, Actions: alarm.Actions{Alarm: actions}}}})
	s.eventually("the service's alarm is watched", func() bool { return len(s.alerts.Definitions(tenant)) == 1 })
}

func (s *stage) report(serial uint32) {
	s.pushAs(&telemetry.Binding{Tenant: tenant, Origin: metric.Origin{Service: 7, Role: "app", Serial: serial}}, "cpu.user_perc", 5, nil)
}

func (s *stage) order(c *service.Command) {
	s.t.Helper()
	c.ID, c.By = s.t.Name()+time.Now().String(), "test"
	if _, err := s.engine.Order(s.t.Context(), 7, c); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) instances() (serials []uint32) {
	s.engine.View(7, func(svc *service.Service) {
		for i := range svc.Role("app").Instances {
			serials = append(serials, i.Serial)
		}
	})
	return serials
}

// history returns what has happened to alarms, as "instance from→to reason", newest first.
func (s *stage) history() (lines []string) {
	s.t.Helper()
	all, err := s.alerts.History(s.t.Context(), tenant, "", 1000, time.Time{}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range all {
		lines = append(lines, e.From+"→"+e.To+" "+e.Reason)
	}
	return lines
}

// Whoever leaves as somebody wished raises no alarm, and its alarm goes with it.
func TestPlannedRemovalRaisesNothing(t *testing.T) {
	s := newStage(t)
	hook := s.webhook()
	s.silentService(3, "1500ms", alarm.Action{Replace: true}, alarm.Action{Notify: hook})
	mine := s.define(alarm.Definition{Name: "mine", Expression: "absent(cpu.user_perc, 1500ms)", MatchBy: []string{"instance"}, Actions: alarm.Actions{Alarm: []alarm.Action{{Notify: hook}}}})
	for _, serial := range s.instances() {
		s.report(serial)
	}
	alarms := func() int { return len(s.alerts.Alarms(tenant, "", nil)) }
	if n := alarms(); n != 6 {
		t.Fatalf("%d alarms", n)
	}
	s.order(&service.Command{Scale: &service.Scale{Role: "app", Cardinality: 1}})
	stay := s.instances()
	s.eventually("two leave, and their alarms", func() bool {
		stay = s.instances()
		for _, serial := range stay {
			s.report(serial)
		}
		return len(stay) == 1 && alarms() == 2
	})
	for range 18 { // longer than they may be silent
		s.report(stay[0])
		<-time.After(100 * time.Millisecond)
	}
	s.stop()
	s.start()
	s.eventually("two alarms after a restart", func() bool { s.report(stay[0]); return alarms() == 2 })
	s.order(&service.Command{Undeploy: &service.Undeploy{}})
	s.eventually("all alarms end with the service", func() bool { return alarms() == 0 })
	<-time.After(600 * time.Millisecond)
	select {
	case body := <-s.hooks:
		t.Errorf("somebody was told: %s", body)
	default:
	}
	ended := 0
	for _, line := range s.history() {
		if strings.Contains(line, "→ALARM") {
			t.Errorf("in the history: %s", line)
		}
		if strings.HasPrefix(line, "OK→OK The ") {
			ended++
		}
	}
	if ended != 6 {
		t.Errorf("%d of 6 ends are in the history: %q", ended, s.history())
	}
	if len(s.alerts.Alarms(tenant, mine.ID, nil)) != 0 {
		t.Error("an alarm is left")
	}
}

// What was raised is over when its instance is: who was told hears of it.
func TestRaisedAlarmEndsWithItsInstance(t *testing.T) {
	s := newStage(t)
	hook := s.webhook()
	s.silentService(2, "500ms")
	d := s.define(alarm.Definition{Name: "mine", Expression: "absent(cpu.user_perc, 500ms)", MatchBy: []string{"instance"},
		Actions: alarm.Actions{Alarm: []alarm.Action{{Notify: hook}}, OK: []alarm.Action{{Notify: hook}}}})
	serial := s.instances()[0]
	s.report(serial)
	for _, want := range []string{`"state":"OK"`, `"state":"ALARM"`} {
		if body := s.told(); !strings.Contains(body, want) {
			t.Fatalf("told %s", body)
		}
	}
	s.order(&service.Command{ReplaceOne: &service.ReplaceOne{Serial: serial}})
	if body := s.told(); !strings.Contains(body, `"state":"OK"`) || !strings.Contains(body, "The instance left") {
		t.Errorf("told %s", body)
	}
	if n := len(s.alerts.Alarms(tenant, d.ID, nil)); n != 0 {
		t.Errorf("%d alarms", n)
	}
}

// Who never reports is silent, too, and so is the one that takes its place.
func TestWhoNeverReportsIsReplaced(t *testing.T) {
	s := newStage(t)
	s.silentService(1, "300ms", alarm.Action{Replace: true})
	s.eventually("it is replaced, and its successor, too", func() bool {
		all := s.instances()
		return len(all) > 0 && all[0] > 2
	})
	first, second := false, false
	s.engine.View(7, func(svc *service.Service) {
		for _, e := range svc.Log {
			first = first || strings.Contains(e.Message, "app-0") && strings.Contains(e.Message, "alarm silent")
			second = second || strings.Contains(e.Message, "app-1") && strings.Contains(e.Message, "alarm silent")
		}
		t.Log(svc.Log)
	})
	if !first || !second {
		t.Error("it was not the alarm that replaced them")
	}
}
