package native

import (
	"time"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/alarm"
)

// RuleOf shows a definition as the API takes it.
func RuleOf(d *alarm.Definition) client.AlarmRule {
	enabled := d.ActionsEnabled
	out := client.AlarmRule{
		Name: d.Name, Description: d.Description, Expression: d.Expression, MatchBy: d.MatchBy, Severity: d.Severity, ActionsEnabled: &enabled,
		Actions: client.AlarmActions{Alarm: actionsOf(d.Actions.Alarm), OK: actionsOf(d.Actions.OK), Undetermined: actionsOf(d.Actions.Undetermined)},
		Profile: string(d.Profile), Lateness: client.Duration(d.Lateness), Silence: client.Duration(d.Silence), Missing: string(d.Missing),
		OKAfter: client.Duration(d.OKAfter), Damping: client.Damping{Transitions: d.Damping.Transitions, Within: client.Duration(d.Damping.Within)},
		Lifetime: client.Duration(d.Lifetime),
	}
	for _, m := range d.Maintenance {
		out.Maintenance = append(out.Maintenance, client.Maintenance{Reason: m.Reason, From: m.From, To: m.To, Every: client.Duration(m.Every), Until: later(m.Until), Match: m.Match})
	}
	return out
}

func actionsOf(list []alarm.Action) (out []client.AlarmAction) {
	for i := range list {
		out = append(out, actionOf(&list[i]))
	}
	return out
}

func actionOf(a *alarm.Action) client.AlarmAction {
	out := client.AlarmAction{Notify: a.Notify, Replace: a.Replace, Restart: a.Restart, Cooldown: client.Duration(a.Cooldown), Every: client.Duration(a.Every)}
	if a.Scale != nil {
		scale := client.AlarmScale(*a.Scale)
		out.Scale = &scale
	}
	if a.Act != nil {
		act := client.AlarmAct(*a.Act)
		out.Act = &act
	}
	return out
}

// definition is RuleOf backwards.
func definition(r *client.AlarmRule) alarm.Definition {
	d := alarm.Definition{
		Name: r.Name, Description: r.Description, Expression: r.Expression, MatchBy: r.MatchBy, Severity: r.Severity,
		ActionsEnabled: r.ActionsEnabled == nil || *r.ActionsEnabled, Actions: actions(&r.Actions), Profile: alarm.Profile(r.Profile), Lateness: time.Duration(r.Lateness),
		Silence: time.Duration(r.Silence), Missing: alarm.Missing(r.Missing), OKAfter: time.Duration(r.OKAfter), Damping: damping(r.Damping),
		Lifetime: time.Duration(r.Lifetime), Maintenance: maintenance(r.Maintenance),
	}
	if d.Severity == "" {
		d.Severity = "LOW"
	}
	return d
}

func damping(d client.Damping) alarm.Damping {
	return alarm.Damping{Transitions: d.Transitions, Within: time.Duration(d.Within)}
}

func maintenance(list []client.Maintenance) (out []alarm.Maintenance) {
	for _, m := range list {
		x := alarm.Maintenance{Reason: m.Reason, From: m.From, To: m.To, Every: time.Duration(m.Every), Match: m.Match}
		if m.Until != nil {
			x.Until = *m.Until
		}
		out = append(out, x)
	}
	return out
}

func actions(a *client.AlarmActions) alarm.Actions {
	list := func(in []client.AlarmAction) (out []alarm.Action) {
		for _, x := range in {
			y := alarm.Action{Notify: x.Notify, Replace: x.Replace, Restart: x.Restart, Cooldown: time.Duration(x.Cooldown), Every: time.Duration(x.Every)}
			if x.Scale != nil {
				scale := alarm.Scale(*x.Scale)
				y.Scale = &scale
			}
			if x.Act != nil {
				act := alarm.RoleAct(*x.Act)
				y.Act = &act
			}
			out = append(out, y)
		}
		return out
	}
	return alarm.Actions{Alarm: list(a.Alarm), OK: list(a.OK), Undetermined: list(a.Undetermined)}
}

// changeRule puts what is given into a definition.
func changeRule(w *client.ChangeAlarmRule, d *alarm.Definition) {
	given(&d.Name, w.Name)
	given(&d.Description, w.Description)
	given(&d.Expression, w.Expression)
	given(&d.Severity, w.Severity)
	given(&d.ActionsEnabled, w.ActionsEnabled)
	given((*string)(&d.Profile), w.Profile)
	given((*string)(&d.Missing), w.Missing)
	given((*client.Duration)(&d.Lateness), w.Lateness)
	given((*client.Duration)(&d.Silence), w.Silence)
	given((*client.Duration)(&d.OKAfter), w.OKAfter)
	given((*client.Duration)(&d.Lifetime), w.Lifetime)
	if w.Actions != nil {
		d.Actions = actions(w.Actions)
	}
	if w.Damping != nil {
		d.Damping = damping(*w.Damping)
	}
	if w.Maintenance != nil {
		d.Maintenance = maintenance(*w.Maintenance)
	}
}

// given sets a value that was given.
func given[T any](at, value *T) {
	if value != nil {
		*at = *value
	}
}
