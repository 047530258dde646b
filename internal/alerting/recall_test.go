package alerting

import (
	"log/slog"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/policy"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// A value that was taken just before a crash reaches the policy after it, although no other follows; the next one takes its place.
func TestPolicyRecallsValues(t *testing.T) {
	s := newStage(t)
	ten := 10
	s.service(7, &service.Spec{Name: "web", Roles: []service.RoleSpec{
		{Name: "jobs", Cardinality: 0, Max: &ten, Policies: []policy.Policy{{Name: "queue", Queue: &policy.Queue{Value: "sum(jobs.waiting)", PerInstance: 10}}}},
	}})
	cardinality := func() (n int) {
		s.engine.View(7, func(svc *service.Service) { n = svc.Role("jobs").Cardinality })
		return n
	}
	s.stop()
	history, err := telemetry.OpenHistory(telemetry.HistoryOptions{Dir: s.dir + "/history", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mail := &metric.Series{Tenant: tenant, Name: "jobs.waiting", Dimensions: metric.Dimensions{{Name: "queue", Value: "mail"}}}
	if err := history.Append([]metric.Point{{Series: mail, Time: time.Now().UnixMilli(), Value: 35}}); err != nil {
		t.Fatal(err)
	}
	if err := history.Close(); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.eventually("what history holds counts", func() (so bool) {
		s.engine.View(7, func(svc *service.Service) {
			r := svc.Role("jobs")
			so = r.Settled() == 4 && r.State == service.Running && time.Since(r.Since.Time()) > 5*time.Millisecond
		})
		return so // a value that came before, by clocks of milliseconds, would wait for the next
	})
	s.push("jobs.waiting", 65, map[string]string{"queue": "mail"})
	s.eventually("the series counts once", func() bool { return cardinality() == 7 })
}

// What was recalled came when it was measured, not at the start: a policy that has acted on it does not do so again.
func TestRecalledValueIsNotNew(t *testing.T) {
	r := newReader(7, tenant, &service.RoleSpec{Name: "jobs", Policies: []policy.Policy{{Name: "queue", Queue: &policy.Queue{Value: "sum(jobs.waiting)", PerInstance: 10}}}})
	mail := &metric.Series{ID: telemetry.NoID, Tenant: tenant, Name: "jobs.waiting", Dimensions: metric.Dimensions{{Name: "queue", Value: "mail"}}}
	now := time.UnixMilli(1_800_000_000_000)
	came := func(want time.Time) {
		t.Helper()
		if v, ok := r.read(r.readings[0], 1, now); !ok || !v.At.Equal(want) {
			t.Errorf("%+v, %t; want it to have come at %s", v, ok, want)
		}
	}
	r.remember(&metric.Point{Series: mail, Time: now.Add(-time.Second).UnixMilli(), Value: 35}, now)
	came(now.Add(-time.Second))
	live := *mail
	live.ID = 1
	p := &probe{reader: r, series: &live}
	r.resume(p)
	r.probes[p.series] = p
	came(now.Add(-time.Second))
	delete(r.probes, p.series)
	r.remember(&metric.Point{Series: mail, Time: now.Add(time.Minute).UnixMilli(), Value: 35}, now) // its sender's clock is ahead
	came(now)
}
