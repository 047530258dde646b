package alarm

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Actions are what happens when an alarm enters a state.
type Actions struct {
	Alarm        []Action `json:"alarm,omitempty"`
	OK           []Action `json:"ok,omitempty"`
	Undetermined []Action `json:"undetermined,omitempty"`
}

func (a *Actions) of(s State) []Action {
	return [...][]Action{StateOK: a.OK, StateAlarm: a.Alarm, StateUndetermined: a.Undetermined}[s]
}

func (a *Actions) byState() map[string][]Action {
	return map[string][]Action{"alarm": a.Alarm, "ok": a.OK, "undetermined": a.Undetermined}
}

// An Action is one of Notify, Scale, Replace, Restart and Act.
type Action struct {
	Notify  string   `json:"notify,omitempty"` // id of a notification method
	Scale   *Scale   `json:"scale,omitempty"`
	Replace bool     `json:"replace,omitempty"` // the instance that the alarm is about
	Restart bool     `json:"restart,omitempty"` // that instance
	Act     *RoleAct `json:"act,omitempty"`

	// Cooldown is how long the same action is not repeated. Meanwhile the alarm is watched on: if it still is
	// in the state when the cooldown ends, the action runs then. Scale has one cooldown for each role
	// and direction in the whole definition, the others one for each alarm.
	Cooldown time.Duration `json:"cooldown,omitempty"`
	// Every repeats the action while the state lasts. 0: once.
	Every time.Duration `json:"every,omitempty"`
}

// Scale changes the cardinality of a role.
type Scale struct {
	Service uint64 `json:"service,omitempty"` // 0: that of the alarm's origin
	Role    string `json:"role,omitempty"`    // empty: that of the alarm's origin
	By      string `json:"by"`                // "+20%", "-2", "=5"
}

// RoleAct runs an action of a role, such as poweroff.
type RoleAct struct {
	Service uint64 `json:"service,omitempty"`
	Role    string `json:"role,omitempty"`
	Action  string `json:"action"`
}

// A Change of cardinality is what Scale.By says.
type Change struct {
	Amount  int
	Percent bool
	Set     bool // to Amount, not by Amount
}

// ParseChange reads "+20%", "-2" or "=5".
func ParseChange(text string) (Change, error) {
	bad := fmt.Errorf(`%.40q is no change of cardinality; write "+2", "-2", "+20%%", "-20%%" or "=5"`, text)
	if text == "" || !strings.ContainsRune("+-=", rune(text[0])) {
		return Change{}, bad
	}
	digits, percent := strings.CutSuffix(text[1:], "%")
	n, err := strconv.ParseUint(digits, 10, 31)
	set := text[0] == '='
	if err != nil || n > math.MaxInt32 || (set && percent) || (n == 0 && !set) {
		return Change{}, bad
	}
	if text[0] == '-' {
		return Change{-int(n), percent, false}, nil
	}
	return Change{int(n), percent, set}, nil
}

func checkActions(p *problems, place string, list []Action) {
	if len(list) > maxActions {
		p.add(place, "holds %d actions; up to %d are allowed", len(list), maxActions)
		return
	}
	seen := map[string]bool{}
	for i := range list {
		a, at := &list[i], fmt.Sprintf("%s[%d]", place, i)
		kinds := 0
		for _, given := range []bool{a.Notify != "", a.Scale != nil, a.Replace, a.Restart, a.Act != nil} {
			if given {
				kinds++
			}
		}
		if kinds != 1 {
			p.add(at, "is %d of notify, scale, replace, restart and act; it must be one", kinds)
		}
		if a.Notify != "" && seen[a.Notify] {
			p.add(at+".notify", "%.50q is given twice", a.Notify)
		}
		seen[a.Notify] = true
		if a.Scale != nil {
			if _, err := ParseChange(a.Scale.By); err != nil {
				p.add(at+".scale.by", "%v", err)
			}
		}
		if a.Act != nil && a.Act.Action == "" {
			p.add(at+".act.action", "is missing")
		}
		for name, d := range map[string]time.Duration{".cooldown": a.Cooldown, ".every": a.Every} {
			if d != 0 && (d < time.Second || d > maxDuration || d%time.Millisecond != 0) {
				p.add(at+name, "%v is not from 1s to a year", d)
			}
		}
	}
}

// cooldown names what must not be repeated: for Scale the role and the direction, else the action of one alarm.
func (a *Action) cooldown(alarm *alarm, state State, index int) string {
	if a.Scale == nil {
		return strconv.Itoa(int(alarm.serial)) + " " + state.String() + " " + strconv.Itoa(index)
	}
	change, err := ParseChange(a.Scale.By)
	if err != nil {
		return a.Scale.By
	}
	direction := "up"
	if change.Set {
		direction = "set"
	} else if change.Amount < 0 {
		direction = "down"
	}
	service, role := a.Scale.Service, a.Scale.Role
	origin := alarm.origin()
	if service == 0 {
		service = origin.Service
	}
	if role == "" {
		role = origin.Role
	}
	return strconv.FormatUint(service, 10) + "/" + role + " " + direction
}
