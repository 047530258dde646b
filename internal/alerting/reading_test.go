package alerting

import (
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/policy"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// One sample changes a cardinality once, whatever kind of policy acts on it and however often it looks.
func TestOneSampleScalesOnce(t *testing.T) {
	s := newStage(t)
	ten, none, hot := 10, time.Duration(0), 90.0
	one := policy.Adjustment{Kind: policy.Change, Adjust: 1}
	kinds := map[string]policy.Policy{
		"steps":   {Steps: &policy.Steps{Value: "avg(heat)", Steps: []policy.Step{{Above: &hot, Adjustment: one}}}},
		"elastic": {Elastic: &policy.Elastic{Expression: "HEAT > 90", Adjustment: one}},
		"target":  {Target: &policy.Target{Value: "avg(heat)", Keep: 47.5}, Up: policy.Way{Most: 1}},
		"outside": {Target: &policy.Target{Value: "avg(latency)", Keep: 47.5}},
	}
	spec := &service.Spec{Name: "web"}
	for name, p := range kinds {
		p.Cooldown = &none
		spec.Roles = append(spec.Roles, service.RoleSpec{Name: name, Cardinality: 1, Max: &ten, Policies: []policy.Policy{p}})
	}
	s.service(7, spec)
	s.eventually("all are read", func() bool {
		s.alerts.mu.RLock()
		defer s.alerts.mu.RUnlock()
		return len(s.alerts.readers[metricKey{tenant, "heat"}]) == 3 && len(s.alerts.readers[metricKey{tenant, "latency"}]) == 1
	})
	first := make(map[string]uint32)
	s.engine.View(7, func(svc *service.Service) {
		for _, r := range svc.Roles {
			for i := range r.Instances {
				first[r.Name] = i.Serial
			}
		}
	})
	for _, role := range []string{"steps", "elastic", "target"} {
		s.pushAs(&telemetry.Binding{Tenant: tenant, Origin: metric.Origin{Service: 7, Role: role, Serial: first[role]}}, "heat", 95, nil)
	}
	s.push("latency", 95, nil)
	cardinality := func(role string) (n int) {
		s.engine.View(7, func(svc *service.Service) {
			if r := svc.Role(role); r.Settled() == r.Cardinality {
				n = r.Cardinality
			}
		})
		return n
	}
	for role := range kinds {
		s.eventually(role+" grows", func() bool { return cardinality(role) == 2 })
	}
	<-time.After(4 * roundTime)
	for role := range kinds {
		if n := cardinality(role); n != 2 {
			t.Errorf("%s: %d instances after one sample", role, n)
		}
	}
}
