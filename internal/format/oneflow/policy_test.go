package oneflow

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/internal/policy"
)

func TestPolicies(t *testing.T) {
	b := parse(t, `{"name":"s","roles":[{"name":"r","type":"vm","template_id":1,"cardinality":1,"min_vms":1,"max_vms":9,
		"scheduled_policies":[{"type":"CARDINALITY","adjust":4,"recurrence":"0 2 * * *"},{"type":"CHANGE","adjust":-1,"start_time":"2030-01-01 03:00","cooldown":0}],
		"elasticity_policies":[{"type":"PERCENTAGE_CHANGE","adjust":20,"min_adjust_step":2,"expression":"CPU > 80","period":10,"period_number":3,"cooldown":60}]}]}`)
	minute, none := time.Minute, time.Duration(0)
	want := []policy.Policy{
		{Cooldown: &minute, Elastic: &policy.Elastic{Expression: "CPU > 80", Adjustment: policy.Adjustment{Kind: policy.PercentageChange, Adjust: 20, MinStep: 2}, Periods: policy.Periods{Length: 10 * time.Second, Number: 3}}},
		{Timed: &policy.Timed{Recurrence: "0 2 * * *", Adjustment: policy.Adjustment{Kind: policy.Cardinality, Adjust: 4}}},
		{Cooldown: &none, Timed: &policy.Timed{Start: "2030-01-01 03:00", Adjustment: policy.Adjustment{Kind: policy.Change, Adjust: -1}}},
	}
	spec := toSpec(t, b)
	if diff := cmp.Diff(want, spec.Roles[0].Policies); diff != "" {
		t.Fatal(diff)
	}
	role := b.Root().Array("roles")[0].(*Object)
	at := time.Unix(1900000000, 0)
	ShowPolicies(role, []policy.Memory{{Count: policy.Count{LastEval: at, TrueEvals: 2}, Evaluated: "CPU[91.0] > 80"}, {Count: policy.Count{LastEval: at}}, {}}, time.Time{})
	shown := func(key string, n int, name string) any { return role.Array(key)[n].(*Object).Get(name) }
	for _, c := range []struct {
		key   string
		n     int
		name  string
		value string
	}{{"elasticity_policies", 0, "last_eval", "1900000000"}, {"elasticity_policies", 0, "true_evals", "2"}, {"elasticity_policies", 0, "expression_evaluated", "CPU[91.0] > 80"}, {"scheduled_policies", 0, "last_eval", "1900000000"}} {
		if got := fmt.Sprint(shown(c.key, c.n, c.name)); got != c.value {
			t.Errorf("%s[%d].%s is %q", c.key, c.n, c.name, got)
		}
	}
	if shown("scheduled_policies", 1, "last_eval") != nil || shown("scheduled_policies", 0, "true_evals") != nil {
		t.Error("shows what is not remembered")
	}
}
