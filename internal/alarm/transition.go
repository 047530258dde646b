package alarm

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
)

// An Occasion says why a Transition is told.
type Occasion uint8

// The occasions. Only Changed is a change of state; it and Ended belong in the history.
const (
	Changed  Occasion = iota
	Released          // actions that were held back when the present state was entered are tried again
	Repeated          // actions are run again because the state lasts
	Tested            // somebody asked for a test; nothing has changed
	Ended             // what the alarm is about is no more, and neither is the alarm
)

// A Hold says why actions were held back.
type Hold string

// The reasons.
const (
	NotHeld     Hold = ""
	Disabled    Hold = "disabled"    // actions_enabled is false; they are not run later either
	Maintained  Hold = "maintenance" // until the window ends
	Suppressed  Hold = "suppressed"  // until a parent of the alarm's role is up again
	Damped      Hold = "damped"      // until the alarm calms down
	Cooling     Hold = "cooldown"    // until the action's cooldown ends
	NoInstance  Hold = "no instance" // the alarm is not about one instance, or one role
	MaxMetrics       = 1000          // that a Transition lists
	actionsText      = "Alarm state updated via API"
	healthyText      = "The alarm threshold(s) have not been exceeded for the sub-alarms: "
	exceedText       = "Thresholds were exceeded for the sub-alarms: "
	missingText      = "No data was present for the sub-alarms: "
)

// A SubAlarm is the state of one part.
type SubAlarm struct {
	Part   Part
	State  State
	Values []float64 // that the last decision was made from, oldest window first
	Seen   int64     // when the newest sample arrived; 0: none yet
}

// A Run is one action and whether it is to run now.
type Run struct {
	Action Action
	Held   Hold
	Until  int64 // when it is tried again; 0: not by itself
}

// A Transition tells that an alarm changed its state, or why actions are due without that.
type Transition struct {
	Occasion                       Occasion
	Alarm                          string // its id
	Serial                         uint32
	Sequence                       uint32 // of the alarm's changes of state, from 1
	Definition, Name, Description  string
	Tenant                         int
	Severity, Link, LifecycleState string
	ActionsEnabled                 bool
	From, To                       State
	Time                           int64
	Repeat                         int    // of Repeated: how many times actions were run again in this state
	Reason                         string // in Monasca's words
	Detail                         string // what Troupe knows besides; may be empty
	SubAlarms                      []SubAlarm
	Metrics                        []*metric.Series // up to MaxMetrics
	MetricCount                    int
	Origin                         metric.Origin // of all series, as far as they agree

	Hold  Hold  // why none of the actions is run
	Until int64 // when they are tried again; 0: not by time
	Runs  []Run
}

// enter changes the alarm's state.
func (m *Monitor) enter(a *alarm, to State, now int64, reason string, parts bool) {
	from := a.state
	a.state, a.updated, a.stateUpdated = to, now, now
	a.sequence++
	m.touch(a)
	m.pending = append(m.pending, pending{Transition: m.describe(a, from, to, now, reason, parts), alarm: a})
}

// describe fills in a Transition.
func (m *Monitor) describe(a *alarm, from, to State, now int64, reason string, parts bool) Transition {
	d := &m.def
	t := Transition{
		Alarm: m.id(a), Serial: a.serial, Sequence: a.sequence, Definition: d.ID, Name: d.Name, Description: d.Description,
		Tenant: d.Tenant, Severity: d.Severity, ActionsEnabled: d.ActionsEnabled, From: from, To: to, Time: now, Reason: reason,
		MetricCount: len(a.members), Origin: a.origin(),
	}
	if a.extra != nil {
		t.Link, t.LifecycleState = a.extra.link, a.extra.lifecycle
	}
	for _, f := range a.members[:min(len(a.members), MaxMetrics)] {
		t.Metrics = append(t.Metrics, f.series)
	}
	if parts {
		t.SubAlarms = m.subAlarms(a)
		t.Detail = m.detail(a, to, now)
	}
	return t
}

func (m *Monitor) subAlarms(a *alarm) []SubAlarm {
	out := make([]SubAlarm, len(a.cells))
	for i := range a.cells {
		c := &a.cells[i]
		out[i] = SubAlarm{m.expression.Parts[i], c.state, slices.Clone(c.values), c.seen}
	}
	return out
}

// reason says in Monasca's words why the alarm enters a state.
func (m *Monitor) reason(a *alarm, to State) string {
	var parts []string
	for i := range a.cells {
		c := &a.cells[i]
		if c.state != to {
			continue
		}
		text := m.texts[i]
		if to != StateUndetermined {
			values := make([]string, len(c.values))
			for j, v := range c.values {
				values[j] = decimal(v)
			}
			text += " with the values: [" + strings.Join(values, ", ") + "]"
		}
		parts = append(parts, text)
	}
	return [...]string{StateOK: healthyText, StateAlarm: exceedText, StateUndetermined: missingText}[to] + strings.Join(parts, ", ")
}

// detail tells of parts without data how long ago the last sample came.
func (m *Monitor) detail(a *alarm, to State, now int64) string {
	var parts []string
	for i := range a.cells {
		c := &a.cells[i]
		if c.state == to && (c.silent || (c.filled == 0 && m.rules[i].windowed())) {
			age := time.Duration(now-c.seen) * time.Millisecond
			parts = append(parts, fmt.Sprintf("%s%s: no sample for %v", m.expression.Parts[i].Metric, m.expression.Parts[i].Dimensions, age))
		}
	}
	if to == StateOK && m.def.OKAfter > 0 {
		parts = append(parts, fmt.Sprintf("healthy for %v", m.def.OKAfter))
	}
	return strings.Join(parts, "; ")
}
