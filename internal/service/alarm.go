package service

import (
	"cmp"
	"errors"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// MaxAlarms is the most alarm definitions that a service may have.
const MaxAlarms = 1000

// ValidateAlarms checks alarm definitions that stand alone. The error, if any, is of type Problems.
func ValidateAlarms(list []alarm.Definition) error {
	v := &validator{}
	v.alarms(list, nil)
	return v.err()
}

// alarms checks the alarms of a service, or of none when s is nil: what they name must be there.
func (v *validator) alarms(list []alarm.Definition, s *Spec) {
	if len(list) > MaxAlarms {
		v.fail("alarms", "%d alarms; %d is the most", len(list), MaxAlarms)
		return
	}
	known := make(map[string]int, len(list))
	for n := range list {
		if v.full() {
			return
		}
		d, at := list[n], indexed("alarms", n)
		d.Severity = cmp.Or(d.Severity, "LOW") // as it will be
		if first, twice := known[d.Name]; twice {
			v.fail(at+".name", "%q is already the name of alarms[%d]", d.Name, first)
		} else {
			known[d.Name] = n
		}
		for _, p := range alarmProblems(d.Validate()) {
			if p.Place == "expression" && d.Expression == "" {
				p.Message = "nothing says when the alarm is raised"
			}
			v.fail(at+"."+p.Place, "%s", p.Message)
		}
		for _, x := range [...]struct {
			at   string
			list []alarm.Action
		}{{".actions.alarm", d.Actions.Alarm}, {".actions.ok", d.Actions.OK}, {".actions.undetermined", d.Actions.Undetermined}} {
			for i := range x.list {
				v.alarmAction(indexed(at+x.at, i), &x.list[i], s)
			}
		}
	}
}

func alarmProblems(err error) (out []*alarm.Problem) {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return nil
	}
	for _, e := range joined.Unwrap() {
		var p *alarm.Problem
		if errors.As(e, &p) {
			out = append(out, p)
		}
	}
	return out
}

// alarmAction checks what an action does to a service.
func (v *validator) alarmAction(at string, a *alarm.Action, s *Spec) {
	role, of, key := "", uint64(0), ""
	switch {
	case a.Scale != nil:
		role, of, key = a.Scale.Role, a.Scale.Service, ".scale"
	case a.Act != nil:
		role, of, key = a.Act.Role, a.Act.Service, ".act"
		if _, _, ok := ActionNamed(a.Act.Action); !ok && a.Act.Action != "" {
			v.fail(at+".act.action", "there is no action %.40q%s", a.Act.Action, nearest.Hint(a.Act.Action, ActionNames()))
		}
	default:
		return
	}
	switch {
	case s == nil:
	case of != 0:
		v.fail(at+key+".service", "an alarm of a service's description acts on that service alone")
	case role != "" && s.Role(role) < 0:
		names := make([]string, len(s.Roles))
		for i := range s.Roles {
			names[i] = s.Roles[i].Name
		}
		v.fail(at+key+".role", "no role %q%s", role, nearest.Hint(role, names))
	}
}
