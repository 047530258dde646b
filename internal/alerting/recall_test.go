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
	s.eventually("what history holds counts", func() bool { return cardinality() == 4 })
	s.push("jobs.waiting", 65, map[string]string{"queue": "mail"})
	s.eventually("the series counts once", func() bool { return cardinality() == 7 })
}
