package alerting

import (
	"context"
	"errors"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/metric"
)

// An Entry is one change of an alarm's state, as its history keeps it.
type Entry struct {
	Time       time.Time     `json:"time"`
	Tenant     int           `json:"tenant"`
	Definition string        `json:"definition"`
	Alarm      string        `json:"alarm"`
	Sequence   uint32        `json:"sequence"`
	Name       string        `json:"name"`
	Severity   string        `json:"severity"`
	From       string        `json:"from"`
	To         string        `json:"to"`
	Reason     string        `json:"reason"`
	Detail     string        `json:"detail,omitempty"`
	Parts      []EntryPart   `json:"parts,omitempty"`
	Metrics    []EntryMetric `json:"metrics,omitempty"`
	Origin     metric.Origin `json:"origin,omitzero"`
	Hold       alarm.Hold    `json:"hold,omitempty"` // why its actions were held back
	Runs       []EntryRun    `json:"runs,omitempty"`
}

// An EntryRun is an action that the change led to.
type EntryRun struct {
	Action alarm.Action `json:"action"`
	Held   alarm.Hold   `json:"held,omitempty"` // why it was not run
}

// An EntryPart is the state of one part of the expression.
type EntryPart struct {
	Part   alarm.Part `json:"part"`
	State  string     `json:"state"`
	Values []float64  `json:"values,omitempty"`
}

// An EntryMetric is one of the alarm's series.
type EntryMetric struct {
	Name       string            `json:"name"`
	Dimensions metric.Dimensions `json:"dimensions,omitempty"`
}

// At returns the time.
func (e Entry) At() time.Time { return e.Time }

const metricsInHistory = 100 // of one entry

// note writes a change of state to the history.
func (a *Alerting) note(t *alarm.Transition) {
	if a.opts.Journal == nil {
		return
	}
	e := Entry{Time: time.UnixMilli(t.Time).UTC(), Tenant: t.Tenant, Definition: t.Definition, Alarm: t.Alarm, Sequence: t.Sequence, Name: t.Name,
		Severity: t.Severity, From: t.From.String(), To: t.To.String(), Reason: t.Reason, Detail: t.Detail, Origin: t.Origin, Hold: t.Hold}
	for _, s := range t.SubAlarms {
		e.Parts = append(e.Parts, EntryPart{s.Part, s.State.String(), s.Values})
	}
	for _, r := range t.Runs {
		e.Runs = append(e.Runs, EntryRun{r.Action, r.Held})
	}
	for _, s := range t.Metrics[:min(len(t.Metrics), metricsInHistory)] {
		e.Metrics = append(e.Metrics, EntryMetric{s.Name, s.Dimensions})
	}
	if err := a.opts.Journal.Append(context.WithoutCancel(a.ctx), e); err != nil {
		a.log.Error("the history of alarms cannot be written", "alarm", t.Alarm, "error", err)
	}
}

// ErrNoHistory: this server keeps no history of alarms.
var ErrNoHistory = errors.New("this server keeps no history of alarms")

// History returns the last n changes of a project's alarms that match and are not older than since, newest
// first; of one alarm unless that is "".
func (a *Alerting) History(ctx context.Context, tenant int, id string, n int, since time.Time, match func(*Entry) bool) ([]Entry, error) {
	if a.opts.Journal == nil {
		return nil, ErrNoHistory
	}
	return a.opts.Journal.Last(ctx, n, since, func(e *Entry) bool {
		return e.Tenant == tenant && (id == "" || e.Alarm == id) && (match == nil || match(e))
	})
}
