package oneflow

import (
	"time"

	"github.com/troupe-dev/troupe/internal/policy"
)

// policies are those of a checked role: the elastic ones first, as ShowPolicies counts on.
func policies(role *Object) (out []policy.Policy) {
	for _, e := range role.Array("elasticity_policies") {
		o := e.(*Object)
		period, _ := o.Int("period")
		number, _ := o.Int("period_number")
		out = append(out, policy.Policy{Cooldown: seconds(o, "cooldown"), Elastic: &policy.Elastic{
			Expression: o.Text("expression"), Adjustment: adjustment(o),
			Periods: policy.Periods{Length: time.Duration(period) * time.Second, Number: number},
		}})
	}
	for _, s := range role.Array("scheduled_policies") {
		o := s.(*Object)
		out = append(out, policy.Policy{Cooldown: seconds(o, "cooldown"), Timed: &policy.Timed{
			Start: o.Text("start_time"), Recurrence: o.Text("recurrence"), Adjustment: adjustment(o),
		}})
	}
	return out
}

func adjustment(o *Object) policy.Adjustment {
	adjust, _ := o.Int("adjust")
	step, _ := o.Int("min_adjust_step")
	return policy.Adjustment{Kind: policy.Kind(o.Text("type")), Adjust: adjust, MinStep: step}
}

func seconds(o *Object, key string) *time.Duration {
	n, ok := o.Int(key)
	if !ok {
		return nil
	}
	d := time.Duration(n) * time.Second
	return &d
}

// Keys that a server writes into policies.
const (
	lastEval  = "last_eval"
	trueEvals = "true_evals"
	evaluated = "expression_evaluated"
)

var policyKeys = [...]string{"elasticity_policies", "scheduled_policies"}

// ShowPolicies writes what is remembered of a role's policies into its document, in the keys that OneFlow uses. scaled
// is when one of them last scaled the role, which ends all counts.
func ShowPolicies(role *Object, memories []policy.Memory, scaled time.Time) {
	for _, key := range policyKeys {
		for _, e := range role.Array(key) {
			if len(memories) == 0 {
				return
			}
			o, ok := e.(*Object)
			m := &memories[0]
			memories = memories[1:]
			if !ok || m.LastEval.IsZero() {
				continue
			}
			o.SetInt(lastEval, int(m.LastEval.Unix()))
			if m.Evaluated == "" {
				continue
			}
			if m.LastEval.After(scaled) {
				o.SetInt(trueEvals, m.TrueEvals)
			}
			o.Set(evaluated, m.Evaluated)
		}
	}
}

// ForgetPolicies takes what a server has written into a role's policies out of its document.
func ForgetPolicies(role *Object) {
	for _, key := range policyKeys {
		for _, e := range role.Array(key) {
			if o, ok := e.(*Object); ok {
				o.Delete(lastEval)
				o.Delete(trueEvals)
				o.Delete(evaluated)
			}
		}
	}
}
