package native

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/policy"
	"github.com/troupe-dev/troupe/internal/service"
)

func policiesField() field[service.RoleSpec] {
	return field[service.RoleSpec]{
		key: "policies", shape: mapShape("policy"), example: "{load: {target: avg(cpu.user_perc), keep: 60}}",
		help: "Rules by name that change the count by values or the clock, within its bounds.",
		read: func(d *decoder, n *tree.Node, r *service.RoleSpec) {
			if n.Kind != tree.Mapping {
				d.fail(n.At, "expected policies by name, found %s", n.Kind)
				return
			}
			for i, e := range n.Entries {
				p := policyKeys{policy: policy.Policy{Name: e.Key}}
				d.in(e.Key, fmt.Sprintf("[%d]", i), e.Value, func() {
					before := len(d.errs)
					if read(d, policyFields, e.Value, &p); len(d.errs) > before {
						return
					}
					if err := p.settle(); err != nil {
						d.fail(e.Value.At, "%v", err)
					}
				})
				r.Policies = append(r.Policies, p.policy)
			}
		},
		write: func(r *service.RoleSpec) any {
			if len(r.Policies) == 0 {
				return nil
			}
			out := make(yaml.MapSlice, len(r.Policies))
			for i := range r.Policies {
				name := r.Policies[i].Name
				if name == "" { // OneFlow's have none
					name = fmt.Sprintf("policy-%d", i+1)
				}
				out[i] = yaml.MapItem{Key: name, Value: write(policyFields, keysOfPolicy(&r.Policies[i]))}
			}
			return out
		},
	}
}

// policyKeys is a policy as the format writes it: on one level.
type policyKeys struct {
	policy                                     policy.Policy
	target, steps, queue                       string
	expression, schedule, start, zone, scale   string
	keep, tolerance, perInstance, activate     float64
	period, idle, lead, cooldown, fallbackTime time.Duration
	times, minStep, days, fallbackCount        int
	list                                       []stepKeys
	hasCooldown                                bool
}

type stepKeys struct {
	above, below *float64
	scale        string
	minStep      int
}

// policyFields are the keys of a policy.
var policyFields = []field[policyKeys]{
	named("target.value", textField("target", "avg(cpu.user_perc)", "Keep this value near `keep`: twice the figure asks for twice the instances. A value is a function of a metric over the role: avg, min, max, sum, count, last, rate or p95, as in `p95(http_response_time, 30s)`.",
		func(p *policyKeys) *string { return &p.target })),
	floatField("keep", "60", "The figure that the target is kept at.",
		func(p *policyKeys) *float64 { return &p.keep }),
	floatField("tolerance", "0.2", "The part of `keep` by which the target may be off without consequence; 0.1 when left out.",
		func(p *policyKeys) *float64 { return &p.tolerance }),
	intField("predict", "none", "7", "Look at the same hour of so many past days, and be ready for what they needed.",
		func(p *policyKeys) *int { return &p.days }),
	durationField("ahead", "none", "5m", "How far `predict` looks ahead.",
		func(p *policyKeys) *time.Duration { return &p.lead }),
	named("steps.value", textField("value", "avg(cpu.user_perc)", "The value that `steps` are about.",
		func(p *policyKeys) *string { return &p.steps })),
	{
		key: "steps", shape: listShape("step"), example: "[{above: 80, scale: +2}, {below: 20, scale: -1}]",
		help: "What to do at which value; the first step that fits counts.",
		read: func(d *decoder, n *tree.Node, p *policyKeys) {
			d.each(n, func(item *tree.Node) {
				var s stepKeys
				read(d, stepFields, item, &s)
				p.list = append(p.list, s)
			})
		},
		write: func(p *policyKeys) any {
			if len(p.list) == 0 {
				return nil
			}
			return writeList(stepFields, p.list)
		},
	},
	named("queue.value", textField("queue", "last(jobs.waiting)", "A length, of which one instance is good for `per_instance`; none is needed while it is 0.",
		func(p *policyKeys) *string { return &p.queue })),
	floatField("per_instance", "10", "How many things of the queue one instance is good for.",
		func(p *policyKeys) *float64 { return &p.perInstance }),
	floatField("activate", "5", "The length of the queue above which a role of no instances gets its first; 0 when left out.",
		func(p *policyKeys) *float64 { return &p.activate }),
	durationField("idle", "5m", "1m", "How long the queue must be empty before the last instance goes.",
		func(p *policyKeys) *time.Duration { return &p.idle }),
	textField("schedule", "0 2 * * *", "Five cron fields: when to scale.",
		func(p *policyKeys) *string { return &p.schedule }),
	textField("start", "2027-03-01 02:00", "One time at which to scale.",
		func(p *policyKeys) *string { return &p.start }),
	textField("zone", "Europe/Berlin", "The time zone of `schedule` and `start`; the server's when left out.",
		func(p *policyKeys) *string { return &p.zone }),
	textField("expression", "CPU > 80 & LOAD > 4", "OneFlow's elasticity: scale while this holds. Names are attributes that instances report.",
		func(p *policyKeys) *string { return &p.expression }),
	durationField("period", "whenever a value comes", "10s", "How often the expression is looked at.",
		func(p *policyKeys) *time.Duration { return &p.period }),
	intField("times", "1", "3", "How many times in a row the expression must hold.",
		func(p *policyKeys) *int { return &p.times }),
	textField("scale", "+20%", "What `schedule`, `start` and `expression` do: +2, -1, +20%, -10% or =5.",
		func(p *policyKeys) *string { return &p.scale }),
	intField("min_step", "1", "2", "The least that a scaling by percent changes.",
		func(p *policyKeys) *int { return &p.minStep }),
	{
		key: "cooldown", shape: durationShape, def: "the role's", example: "30s",
		help: "How long the role is left alone after this policy scaled it.",
		read: func(d *decoder, n *tree.Node, p *policyKeys) {
			if s, ok := d.text(n); ok {
				v, err := parseDuration(s)
				if err != nil {
					d.fail(n.At, "%v", err)
				}
				p.cooldown, p.hasCooldown = v, true
			}
		},
		write: func(p *policyKeys) any {
			if !p.hasCooldown {
				return nil
			}
			return cmp.Or(formatDuration(p.cooldown), "0s")
		},
	},
	wayField("up", "How growing is limited, for target, steps and queue.", func(p *policyKeys) *policy.Way { return &p.policy.Up }),
	wayField("down", "How shrinking is limited, for target, steps and queue.", func(p *policyKeys) *policy.Way { return &p.policy.Down }),
	intField("fallback", "0", "4", "The count to go to when no value came for `fallback_after`.",
		func(p *policyKeys) *int { return &p.fallbackCount }),
	durationField("fallback_after", "never", "2m", "How long values may stay away before the fallback.",
		func(p *policyKeys) *time.Duration { return &p.fallbackTime }),
}

// stepFields are the keys of a step.
var stepFields = []field[stepKeys]{
	boundaryField("above", "80", "The step fits at this value and above.", func(s *stepKeys) **float64 { return &s.above }),
	boundaryField("below", "20", "The step fits below this value.", func(s *stepKeys) **float64 { return &s.below }),
	textField("scale", "+2", "What to do: +2, -1, +20%, -10% or =5.", func(s *stepKeys) *string { return &s.scale }),
	intField("min_step", "1", "2", "The least that a scaling by percent changes.", func(s *stepKeys) *int { return &s.minStep }),
}

// wayFields are the keys of a direction.
var wayFields = []field[policy.Way]{
	boolField("off", "The policy never goes this way.", func(w *policy.Way) *bool { return &w.Off }),
	intField("most", "any number", "5", "How many instances at a time.", func(w *policy.Way) *int { return &w.Most }),
	intField("percent", "any", "50", "How much of the present count at a time.", func(w *policy.Way) *int { return &w.Percent }),
	durationField("cooldown", "none", "1m", "How long after a scaling this way the next may follow. Watching goes on.",
		func(w *policy.Way) *time.Duration { return &w.Cooldown }),
	{
		key: "stabilise", shape: durationShape, def: "0s up, 5m down", example: "1m",
		help: "How long a wish must have lasted; the mildest of that time counts.",
		read: func(d *decoder, n *tree.Node, w *policy.Way) {
			if s, ok := d.text(n); ok {
				v, err := parseDuration(s)
				if err != nil {
					d.fail(n.At, "%v", err)
				}
				w.Stabilise = &v
			}
		},
		write: func(w *policy.Way) any {
			if w.Stabilise == nil {
				return nil
			}
			return cmp.Or(formatDuration(*w.Stabilise), "0s")
		},
	},
}

func wayField(key, help string, at func(*policyKeys) *policy.Way) field[policyKeys] {
	return field[policyKeys]{
		key: key, shape: ref("way"), example: "{most: 5, cooldown: 1m}", help: help,
		read: func(d *decoder, n *tree.Node, p *policyKeys) { read(d, wayFields, n, at(p)) },
		write: func(p *policyKeys) any {
			if out := write(wayFields, at(p)); len(out) > 0 {
				return out
			}
			return nil
		},
	}
}

func floatField[T any](key, example, help string, at func(*T) *float64) field[T] {
	return field[T]{
		key: key, shape: numberShape, example: example, help: help,
		read: func(d *decoder, n *tree.Node, t *T) {
			if v, ok := d.number(n); ok {
				*at(t) = v
			}
		},
		write: func(t *T) any { return unlessZero(*at(t)) },
	}
}

func boundaryField(key, example, help string, at func(*stepKeys) **float64) field[stepKeys] {
	return field[stepKeys]{
		key: key, shape: shape{map[string]any{"type": "number"}, "number"}, example: example, help: help,
		read: func(d *decoder, n *tree.Node, s *stepKeys) {
			if v, ok := d.number(n); ok {
				*at(s) = &v
			}
		},
		write: func(s *stepKeys) any {
			if p := *at(s); p != nil {
				return *p
			}
			return nil
		},
	}
}

func (d *decoder) number(n *tree.Node) (float64, bool) {
	if v, err := strconv.ParseFloat(n.Text, 64); err == nil && (n.Kind == tree.Integer || n.Kind == tree.Float) && !math.IsInf(v, 0) && !math.IsNaN(v) {
		return v, true
	}
	d.fail(n.At, "expected a number, found %s", n.Found())
	return 0, false
}

var adjustmentText = regexp.MustCompile(`^\s*([+=-])\s*(\d{1,7})\s*(%?)\s*$`)

// parseAdjustment reads "+2", "-1", "+20%", "=5".
func parseAdjustment(s string, minStep int) (a policy.Adjustment, err error) {
	parts := adjustmentText.FindStringSubmatch(s)
	if parts == nil || parts[1] == "=" && parts[3] != "" {
		return a, fmt.Errorf("scale: %q is no scaling: write +2, -1, +20%%, -10%% or =5", s)
	}
	n, _ := strconv.Atoi(parts[2])
	if parts[1] == "-" {
		n = -n
	}
	a = policy.Adjustment{Kind: policy.Change, Adjust: n, MinStep: minStep}
	switch {
	case parts[1] == "=":
		a.Kind = policy.Cardinality
	case parts[3] != "":
		a.Kind = policy.PercentageChange
	}
	return a, nil
}

func formatAdjustment(a policy.Adjustment) string {
	switch a.Kind {
	case policy.Cardinality:
		return "=" + strconv.Itoa(a.Adjust)
	case policy.PercentageChange:
		return fmt.Sprintf("%+d%%", a.Adjust)
	}
	return fmt.Sprintf("%+d", a.Adjust)
}

// settle makes the policy of its keys.
func (k *policyKeys) settle() (err error) {
	if err := k.stray(); err != nil {
		return err
	}
	p := &k.policy
	if k.target != "" {
		p.Target = &policy.Target{Value: k.target, Keep: k.keep, Tolerance: k.tolerance}
		if k.days != 0 {
			p.Target.Predict = &policy.Predict{Days: k.days, Lead: k.lead}
		}
	}
	if k.steps != "" || len(k.list) > 0 {
		p.Steps = &policy.Steps{Value: k.steps}
		for _, s := range k.list {
			a, err := parseAdjustment(s.scale, s.minStep)
			if err != nil {
				return err
			}
			p.Steps.Steps = append(p.Steps.Steps, policy.Step{Above: s.above, Below: s.below, Adjustment: a})
		}
	}
	if k.queue != "" {
		p.Queue = &policy.Queue{Value: k.queue, PerInstance: k.perInstance, Activate: k.activate, Idle: k.idle}
	}
	if k.expression != "" || k.schedule != "" || k.start != "" {
		a, err := parseAdjustment(k.scale, k.minStep)
		if err != nil {
			return err
		}
		if k.expression != "" {
			p.Elastic = &policy.Elastic{Expression: k.expression, Adjustment: a, Periods: policy.Periods{Length: k.period, Number: k.times}}
		}
		if k.schedule != "" || k.start != "" {
			p.Timed = &policy.Timed{Recurrence: k.schedule, Start: k.start, Zone: k.zone, Adjustment: a}
		}
	} else if k.scale != "" {
		return fmt.Errorf("scale goes with schedule, start or expression; steps have their own")
	}
	if k.hasCooldown {
		p.Cooldown = &k.cooldown
	}
	if k.fallbackTime != 0 {
		p.Fallback = &policy.Fallback{After: k.fallbackTime, Cardinality: k.fallbackCount}
	}
	return p.Validate()
}

// stray returns an error about a key that says nothing, because the one that it belongs to is missing.
func (k *policyKeys) stray() error {
	scaled := k.scale != "" || k.schedule != "" || k.start != "" || k.expression != ""
	for _, x := range [...]struct {
		key   string
		given bool
		with  string
		there bool
	}{
		{"keep", k.keep != 0, "target", k.target != ""},
		{"tolerance", k.tolerance != 0, "target", k.target != ""},
		{"predict", k.days != 0, "target", k.target != ""},
		{"ahead", k.lead != 0, "predict", k.days != 0},
		{"per_instance", k.perInstance != 0, "queue", k.queue != ""},
		{"activate", k.activate != 0, "queue", k.queue != ""},
		{"idle", k.idle != 0, "queue", k.queue != ""},
		{"zone", k.zone != "", "schedule or start", k.schedule != "" || k.start != ""},
		{"period", k.period != 0, "expression", k.expression != ""},
		{"times", k.times != 0, "expression", k.expression != ""},
		{"min_step", k.minStep != 0, "scale", scaled},
		{"fallback", k.fallbackCount != 0, "fallback_after", k.fallbackTime != 0},
	} {
		if x.given && !x.there {
			return fmt.Errorf("%s goes with %s", x.key, x.with)
		}
	}
	return nil
}

// keysOfPolicy is settle backwards.
func keysOfPolicy(p *policy.Policy) *policyKeys {
	k := &policyKeys{policy: *p}
	if t := p.Target; t != nil {
		k.target, k.keep, k.tolerance = t.Value, t.Keep, t.Tolerance
		if t.Predict != nil {
			k.days, k.lead = t.Predict.Days, t.Predict.Lead
		}
	}
	if s := p.Steps; s != nil {
		k.steps = s.Value
		for _, x := range s.Steps {
			k.list = append(k.list, stepKeys{above: x.Above, below: x.Below, scale: formatAdjustment(x.Adjustment), minStep: x.MinStep})
		}
	}
	if q := p.Queue; q != nil {
		k.queue, k.perInstance, k.activate, k.idle = q.Value, q.PerInstance, q.Activate, q.Idle
	}
	if e := p.Elastic; e != nil {
		k.expression, k.period, k.times = e.Expression, e.Length, e.Number
		k.scale, k.minStep = formatAdjustment(e.Adjustment), e.MinStep
	}
	if t := p.Timed; t != nil {
		k.schedule, k.start, k.zone = t.Recurrence, t.Start, t.Zone
		k.scale, k.minStep = formatAdjustment(t.Adjustment), t.MinStep
	}
	if p.Cooldown != nil {
		k.cooldown, k.hasCooldown = *p.Cooldown, true
	}
	if f := p.Fallback; f != nil {
		k.fallbackTime, k.fallbackCount = f.After, f.Cardinality
	}
	return k
}
