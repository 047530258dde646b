package alerting

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/policy"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

func TestSampleToWebhook(t *testing.T) {
	s := newStage(t)
	hook := s.webhook()
	d := s.define(alarm.Definition{Name: "busy", Expression: "max(cpu.user_perc) > 80", MatchBy: []string{"hostname"}, Actions: alarm.Actions{Alarm: []alarm.Action{{Notify: hook}}}})
	s.push("cpu.user_perc", 20, map[string]string{"hostname": "a"})
	s.push("cpu.user_perc", 97, map[string]string{"hostname": "b"})
	body := s.told()
	for _, part := range []string{`"state":"ALARM"`, `"alarm_name":"busy"`, `"hostname":"b"`, "max(cpu.user_perc) \\u003e 80.0 with the values: [97.0]"} {
		if !strings.Contains(body, part) && !strings.Contains(body, strings.ReplaceAll(part, "\\u003e", ">")) {
			t.Errorf("%s is not in %s", part, body)
		}
	}
	alarms := s.alerts.Alarms(tenant, d.ID, func(x *Alarm) bool { return x.State == alarm.StateAlarm })
	if len(alarms) != 1 || alarms[0].Metrics[0].Dimensions.String() != "{hostname=b}" {
		t.Fatalf("alarms %+v", alarms)
	}
	s.eventually("the history has it", func() bool {
		h, err := s.alerts.History(t.Context(), tenant, alarms[0].ID, 10, time.Time{}, nil)
		return err == nil && len(h) == 1 && h[0].To == "ALARM"
	})
	if h, err := s.alerts.History(t.Context(), tenant+1, "", 10, time.Time{}, nil); err != nil || len(h) != 0 {
		t.Errorf("another project sees %v, %v", h, err)
	}
	if _, err := s.alerts.Alarm(tenant+1, alarms[0].ID); !errors.Is(err, ErrNoAlarm) {
		t.Errorf("another project reads the alarm: %v", err)
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	s := newStage(t)
	hook := s.webhook()
	d := s.define(alarm.Definition{Name: "busy", Expression: "max(m) > 5", Actions: alarm.Actions{Alarm: []alarm.Action{{Notify: hook}}, OK: []alarm.Action{{Notify: hook}}}})
	s.push("m", 9, nil)
	s.told()
	before := s.alerts.Alarms(tenant, d.ID, nil)[0]
	s.stop()
	s.start()
	after := s.alerts.Alarms(tenant, d.ID, nil)
	if len(after) != 1 || after[0].ID != before.ID || after[0].State != alarm.StateAlarm || after[0].Sequence != before.Sequence {
		t.Fatalf("was %+v, is %+v", before, after)
	}
	s.push("m", 9, nil)
	s.push("other", 9, nil)
	select {
	case body := <-s.hooks:
		t.Errorf("it was told again: %s", body)
	case <-time.After(200 * time.Millisecond):
	}
}

func TestHalfBuiltAlarmSurvivesARestart(t *testing.T) {
	s := newStage(t)
	hook := s.webhook()
	d := s.define(alarm.Definition{Name: "both", Expression: "last(m) > 5 and last(n) > 5", Actions: alarm.Actions{Alarm: []alarm.Action{{Notify: hook}}}})
	s.push("m", 9, nil)
	s.eventually("it is stored", func() bool {
		n := 0
		_, err := s.store.Load(t.Context(), statePrefix+d.ID+"/", func(store.KV) error { n++; return nil })
		return err == nil && n == 1
	})
	s.stop()
	s.start()
	s.eventually("it is ready", func() bool {
		w := must[*watch](t)(s.alerts.watchOf(tenant, d.ID))
		w.mu.Lock()
		defer w.mu.Unlock()
		return !w.loading
	})
	s.push("n", 9, nil)
	s.told()
}

func TestCommands(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	d := s.define(alarm.Definition{Name: "one", Expression: "max(m) > 5"})
	if _, err := s.alerts.Define(ctx, 0, alarm.Definition{Tenant: tenant, Name: "one", Expression: "max(m) > 6", Severity: "LOW"}); !errors.Is(err, ErrNameTaken) {
		t.Errorf("the name twice: %v", err)
	}
	if _, err := s.alerts.Define(ctx, 0, alarm.Definition{Tenant: tenant, Name: "two", Expression: "max(m) >", Severity: "LOW"}); err == nil {
		t.Error("a wrong expression passed")
	}
	if _, err := s.alerts.Define(ctx, 0, alarm.Definition{Tenant: tenant, Name: "two", Expression: "max(m) > 1", Severity: "LOW", Actions: alarm.Actions{OK: []alarm.Action{{Notify: "nobody"}}}}); err == nil {
		t.Error("a method that does not exist passed")
	}
	s.push("m", 1, nil)
	if len(s.alerts.Alarms(tenant, d.ID, nil)) != 1 {
		t.Fatal("no alarm")
	}
	if _, err := s.alerts.Redefine(ctx, tenant, d.ID, 0, func(next *alarm.Definition) error { next.Expression, next.Name = "max(m) > 0", "uno"; return nil }); err != nil {
		t.Fatal(err)
	}
	s.push("m", 2, nil)
	s.eventually("the new threshold counts", func() bool { return s.alerts.Alarms(tenant, d.ID, nil)[0].State == alarm.StateAlarm })
	id := s.alerts.Alarms(tenant, d.ID, nil)[0].ID
	ok, link := alarm.StateOK, "http://a.test/x"
	x, err := s.alerts.Edit(ctx, tenant, id, Edit{State: &ok, Link: &link})
	if err != nil || x.State != alarm.StateOK || x.Link != link {
		t.Errorf("%+v, %v", x, err)
	}
	if err := s.alerts.Forget(ctx, tenant, id); err != nil {
		t.Fatal(err)
	}
	if err := s.alerts.Remove(ctx, tenant+1, d.ID); !errors.Is(err, ErrNoDefinition) {
		t.Errorf("another project removes it: %v", err)
	}
	if err := s.alerts.Remove(ctx, tenant, d.ID); err != nil {
		t.Fatal(err)
	}
	s.push("m", 9, nil)
	if n := len(s.alerts.Alarms(tenant, "", nil)); n != 0 {
		t.Errorf("%d alarms after the removal", n)
	}
	s.define(alarm.Definition{Name: "one", Expression: "max(m) > 5"}) // the name is free
	s.stop()
	s.start()
	if all := s.alerts.Definitions(tenant); len(all) != 1 || all[0].Name != "one" {
		t.Errorf("after a restart: %+v", all)
	}
}

func TestTestGoesThroughTheChain(t *testing.T) {
	s := newStage(t)
	d := s.define(alarm.Definition{Name: "x", Expression: "max(m) > 5", Actions: alarm.Actions{Alarm: []alarm.Action{{Notify: s.webhook()}}}})
	if _, err := s.alerts.Test(t.Context(), tenant, d.ID, "", alarm.StateAlarm); err != nil {
		t.Fatal(err)
	}
	if body := s.told(); !strings.Contains(body, "TEST: ") {
		t.Errorf("not marked: %s", body)
	}
}

// The instance that falls silent is replaced, within moments of the time that the definition says.
func TestSilenceReplacesTheInstance(t *testing.T) {
	s := newStage(t)
	s.service(7, &service.Spec{Name: "web", Roles: []service.RoleSpec{{Name: "app", Cardinality: 2}},
		Alarms: []alarm.Definition{{Name: "silent", Severity: "LOW", Expression: "absent(cpu.user_perc, 1s)", MatchBy: []string{"instance"}, Actions: alarm.Actions{Alarm: []alarm.Action{{Replace: true}}}}}})
	s.eventually("the service's alarm is watched", func() bool { return len(s.alerts.Definitions(tenant)) == 1 })
	report := func(serial uint32) {
		s.pushAs(&telemetry.Binding{Tenant: tenant, Origin: metric.Origin{Service: 7, Role: "app", Serial: serial}}, "cpu.user_perc", 5, nil)
	}
	report(1)
	report(2)
	last := time.Now()
	for time.Since(last) < 900*time.Millisecond {
		report(2)
		<-time.After(100 * time.Millisecond)
	}
	gone := func(serial uint32) bool {
		gone := false
		s.engine.View(7, func(svc *service.Service) { gone = svc.Instance(serial) == nil })
		return gone
	}
	go func() {
		for !gone(1) && t.Context().Err() == nil {
			<-time.After(50 * time.Millisecond)
		}
	}()
	s.eventually("the silent one is replaced", func() bool { report(2); return gone(1) })
	if gone(2) {
		t.Error("the one that reports was replaced, too")
	}
	story := ""
	s.engine.View(7, func(svc *service.Service) {
		for _, e := range svc.Log {
			story += e.Message + "\n"
		}
	})
	t.Log(story)
	if _, err := s.alerts.Redefine(t.Context(), tenant, "7-silent", 0, func(*alarm.Definition) error { return nil }); !errors.Is(err, ErrOfService) {
		t.Errorf("a service's alarm was changed apart from it: %v", err)
	}
}

func TestAlarmScales(t *testing.T) {
	s := newStage(t)
	five := 5
	s.service(7, &service.Spec{Name: "web", Roles: []service.RoleSpec{{Name: "app", Cardinality: 3, Max: &five}},
		Alarms: []alarm.Definition{{Name: "busy", Severity: "LOW", Expression: "avg(cpu.user_perc, 1s) > 80", Actions: alarm.Actions{Alarm: []alarm.Action{{Scale: &alarm.Scale{Role: "app", By: "+20%"}}}}}}})
	s.eventually("the service's alarm is watched", func() bool { return len(s.alerts.Definitions(tenant)) == 1 })
	cardinality := func() (n int) {
		s.engine.View(7, func(svc *service.Service) { n = svc.Role("app").Cardinality })
		return n
	}
	s.eventually("it grew", func() bool {
		s.pushAs(&telemetry.Binding{Tenant: tenant, Origin: metric.Origin{Service: 7, Role: "app", Serial: 1}}, "cpu.user_perc", 95, nil)
		return cardinality() == 4
	})
}

// A policy follows readings: of the role's own instances, and of a queue outside.
func TestPolicyFollowsReadings(t *testing.T) {
	s := newStage(t)
	ten := 10
	s.service(7, &service.Spec{Name: "web", Roles: []service.RoleSpec{
		{Name: "app", Cardinality: 2, Max: &ten, Policies: []policy.Policy{{Name: "load", Target: &policy.Target{Value: "avg(cpu.user_perc)", Keep: 40}}}},
		{Name: "jobs", Cardinality: 0, Max: &ten, Policies: []policy.Policy{{Name: "queue", Queue: &policy.Queue{Value: "last(jobs.waiting)", PerInstance: 10}}}},
	}})
	cardinality := func(role string) (n int) {
		s.engine.View(7, func(svc *service.Service) { n = svc.Role(role).Cardinality })
		return n
	}
	s.eventually("both are read", func() bool {
		s.alerts.mu.RLock()
		defer s.alerts.mu.RUnlock()
		return len(s.alerts.readers) == 2
	})
	for _, serial := range []uint32{1, 2} {
		s.pushAs(&telemetry.Binding{Tenant: tenant, Origin: metric.Origin{Service: 7, Role: "app", Serial: serial}}, "cpu.user_perc", 80, nil)
	}
	s.eventually("twice the figure asks for twice the instances", func() bool { return cardinality("app") == 4 })
	s.push("jobs.waiting", 35, map[string]string{"queue": "mail"})
	s.eventually("from zero", func() bool { return cardinality("jobs") == 4 })
}

// While this process did not run nobody was silent.
func TestStandstill(t *testing.T) {
	s := newStage(t)
	d := s.define(alarm.Definition{Name: "silent", Expression: "absent(m, 2s)"})
	s.push("m", 1, nil)
	now := time.Now()
	s.alerts.stoodStill(now, now.Add(time.Hour))
	if x := s.alerts.Alarms(tenant, d.ID, nil); len(x) != 1 || x[0].State == alarm.StateAlarm {
		t.Errorf("%+v", x)
	}
}

// An alarm about a role whose parent is down changes its state and holds its actions back, also one that is defined meanwhile.
func TestParentsDownSuppress(t *testing.T) {
	s := newStage(t)
	s.service(7, &service.Spec{Name: "web", Roles: []service.RoleSpec{{Name: "db", Cardinality: 1}, {Name: "app", Cardinality: 1, Parents: []string{"db"}}}})
	for role, down := range map[string]bool{"db": false, "app": true} {
		s.alerts.mu.RLock()
		g := s.alerts.services[7]
		s.alerts.mu.RUnlock()
		g.mu.Lock()
		g.down[role] = down
		g.mu.Unlock()
	}
	d := s.define(alarm.Definition{Name: "busy", Expression: "max(m) > 5", MatchBy: []string{"role"}, Actions: alarm.Actions{Alarm: []alarm.Action{{Notify: s.webhook()}}}})
	s.pushAs(&telemetry.Binding{Tenant: tenant, Origin: metric.Origin{Service: 7, Role: "app", Serial: 2}}, "m", 9, nil)
	s.pushAs(&telemetry.Binding{Tenant: tenant, Origin: metric.Origin{Service: 7, Role: "db", Serial: 1}}, "m", 9, nil)
	if body := s.told(); !strings.Contains(body, `"role":"db"`) {
		t.Errorf("told of %s", body)
	}
	for _, x := range s.alerts.Alarms(tenant, d.ID, nil) {
		if want := map[string]alarm.Hold{"app": alarm.Suppressed, "db": alarm.NotHeld}[x.Match["role"]]; x.State != alarm.StateAlarm || x.Hold != want {
			t.Errorf("%s: %v, held %q", x.Match["role"], x.State, x.Hold)
		}
	}
}

// Alarms of services are found by name as far as that says which; what could be meant is told.
func TestDefinitionsOfServicesByName(t *testing.T) {
	s := newStage(t)
	for id, name := range map[uint64]string{7: "web", 8: "shop"} {
		s.service(id, &service.Spec{Name: name, Roles: []service.RoleSpec{{Name: "app", Cardinality: 1}}, Alarms: []alarm.Definition{
			{Name: "down", Severity: "LOW", Expression: "max(m) > 5"}, {Name: name + "-only", Severity: "LOW", Expression: "max(m) > 5"}}})
	}
	s.eventually("the services' alarms are watched", func() bool { return len(s.alerts.Definitions(tenant)) == 4 })
	for ref, want := range map[string]string{"web/down": "7-down", "8/down": "8-down", "web-only": "7-web-only", "7-down": "7-down"} {
		if d, err := s.alerts.Definition(tenant, ref); err != nil || d.ID != want {
			t.Errorf("%s: %q, %v", ref, d.ID, err)
		}
	}
	if _, err := s.alerts.Definition(tenant, "down"); !errors.Is(err, ErrAmbiguous) || !strings.Contains(err.Error(), "shop/down, web/down") {
		t.Errorf("down: %v", err)
	}
	if _, err := s.alerts.Definition(tenant, "web/donw"); !errors.Is(err, ErrNoDefinition) || !strings.Contains(err.Error(), `did you mean "web/down"`) {
		t.Errorf("web/donw: %v", err)
	}
}

// A parent that a person has powered off is down, however well its role counts as.
func TestParkedParentsSuppress(t *testing.T) {
	s := newStage(t)
	s.service(7, &service.Spec{Name: "web", Roles: []service.RoleSpec{{Name: "db", Cardinality: 2}, {Name: "app", Cardinality: 1, Parents: []string{"db"}}}})
	d := s.define(alarm.Definition{Name: "busy", Expression: "max(m) > 5", MatchBy: []string{"role"}, Actions: alarm.Actions{Alarm: []alarm.Action{{Notify: s.webhook()}}}})
	s.pushAs(&telemetry.Binding{Tenant: tenant, Origin: metric.Origin{Service: 7, Role: "app", Serial: 3}}, "m", 1, nil)
	hold := func() alarm.Hold { return s.alerts.Alarms(tenant, d.ID, nil)[0].Hold }
	park := func(serial uint32, action string) {
		s.order(&service.Command{Act: &service.Act{Role: "db", Serial: serial, Action: action}})
	}
	park(1, "poweroff")
	s.eventually("one is parked", func() bool {
		n := 0
		s.engine.View(7, func(svc *service.Service) { n = svc.Role("db").Count(service.Parked) })
		return n == 1
	})
	if h := hold(); h != alarm.NotHeld {
		t.Errorf("held %q while one parent is up", h)
	}
	park(2, "poweroff")
	s.eventually("it is suppressed", func() bool { return hold() == alarm.Suppressed })
	park(2, "resume")
	s.eventually("it is no longer", func() bool { return hold() == alarm.NotHeld })
}

// A silence is kept over a restart, and what it held back is told when it is ended.
func TestSilenceOverARestart(t *testing.T) {
	s := newStage(t)
	hook := s.webhook()
	now := time.Now()
	x, err := s.alerts.Silence(t.Context(), alarm.Silence{Tenant: tenant, Name: "busy", From: now, To: now.Add(time.Hour), By: 3, Reason: "new disks"})
	if err != nil {
		t.Fatal(err)
	}
	d := s.define(alarm.Definition{Name: "busy", Expression: "max(m) > 5", Actions: alarm.Actions{Alarm: []alarm.Action{{Notify: hook}}}})
	s.push("m", 9, nil)
	held := func() bool {
		list := s.alerts.Alarms(tenant, d.ID, nil)
		return len(list) == 1 && list[0].State == alarm.StateAlarm && list[0].Hold == alarm.Maintained && list[0].Owed
	}
	s.eventually("its actions wait", held)
	s.stop()
	s.start()
	if list := s.alerts.Silences(tenant); !held() || len(list) != 1 || list[0].By != 3 || list[0].Reason != "new disks" || len(s.alerts.Silences(tenant+1)) != 0 {
		t.Errorf("after a restart: held %t, %+v", held(), list)
	}
	if err := s.alerts.EndSilence(t.Context(), tenant+1, x.ID); !errors.Is(err, ErrNoSilence) {
		t.Errorf("another project ends it: %v", err)
	}
	if err := s.alerts.EndSilence(t.Context(), tenant, x.ID); err != nil {
		t.Fatal(err)
	}
	if body := s.told(); !strings.Contains(body, `"state":"ALARM"`) {
		t.Errorf("told %s", body)
	}
	s.stop()
	s.start()
	if list := s.alerts.Silences(tenant); len(list) != 0 {
		t.Errorf("still there: %+v", list)
	}
}
