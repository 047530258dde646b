package native_test

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/client"
)

// The view of a service and explain tell what policies see and did.
func TestPolicies(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	made := s.up(s.Client, `
name: shop
roles:
  app:
    count: 1..2
    machine: {driver: sim}
    policies:
      jobs: {value: last(jobs), steps: [{above: 100, scale: +1}]}
      one: {expression: HUGE > 1, scale: =1}
`)
	if p := made.Roles[0].Policies; len(p) != 2 || p[0].Policy != "policy jobs" || p[0].Value != "last(jobs) has no value yet" {
		t.Fatalf("before: %+v", made.Roles[0].RolePolicies)
	}
	if err := s.Metrics().Push(ctx, client.MetricSample{Name: "jobs", Value: 120}); err != nil {
		t.Fatal(err)
	}
	var role *client.Role
	s.soon("the policy scales", func() bool {
		got, err := s.Services().Get(ctx, made.Ref())
		if err != nil {
			t.Fatal(err)
		}
		role = got.Role("app")
		return role.Decision != nil && role.Cardinality == 2 && got.State == "RUNNING"
	})
	if d := role.Decision; d.Policy != "policy jobs" || d.From != 1 || d.To != 2 || !strings.Contains(d.Because, "last(jobs) is 120") {
		t.Errorf("decision %+v", d)
	}
	if p := role.Policies[0]; p.Value != "last(jobs) is 120" || p.LastUp == nil {
		t.Errorf("policy %+v", p)
	}
	if err := s.Services().Report(ctx, made.Ref(), 1, map[string]string{"HUGE": "5"}); err != nil {
		t.Fatal(err)
	}
	s.soon("the expression scales", func() bool {
		e, err := s.Services().Explain(ctx, made.Ref())
		if err != nil {
			t.Fatal(err)
		}
		d := e.Roles[0].Decision
		return d != nil && d.Policy == "policy one" && d.To == 1 && strings.Contains(e.Roles[0].Policies[1].Value, "5")
	})
}
