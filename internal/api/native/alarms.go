package native

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/metric"
)

// Tenant is the project that a request is about.
type Tenant struct {
	Project string `query:"project" doc:"A group, by name or number; the caller's own when empty."`
}

func (f *face) alarmDefinition(d alerting.Definition) client.AlarmDefinition {
	return client.AlarmDefinition{ID: d.ID, AlarmRule: RuleOf(&d.Definition), Deterministic: d.Deterministic, Owner: f.user(d.Owner), Service: d.Service, ServiceName: d.ServiceName,
		Alarms: d.Alarms, Created: d.Created.UTC(), Updated: d.Updated.UTC()}
}

func (f *face) showDefinition(d alerting.Definition, err error) (*answer[client.AlarmDefinition], error) {
	return answered(f.alarmDefinition(d), err)
}

type listDefinitions struct {
	Tenant
	Paging
	Service uint64 `query:"service" doc:"Only those of this service's description."`
}

func (f *face) listDefinitions(_ context.Context, who *identity.Caller, in *listDefinitions) (*answer[client.Page[client.AlarmDefinition]], error) {
	list, err := f.control.Definitions(who, in.Project)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(d alerting.Definition) bool { return in.Service != 0 && d.Service != in.Service })
	return answered(part(list, &in.Paging, func(d alerting.Definition) string { return d.Name + "\x00" + d.ID }, f.alarmDefinition))
}

// OneDefinition is the path of an alarm definition.
type OneDefinition struct {
	Tenant
	Definition string `path:"definition" doc:"An alarm definition, by id or name; that of a service's also as SERVICE/NAME."`
}

func (f *face) getDefinition(_ context.Context, who *identity.Caller, in *OneDefinition) (*answer[client.AlarmDefinition], error) {
	return f.showDefinition(f.control.Definition(who, in.Project, in.Definition))
}

type addDefinition struct {
	Tenant
	Body client.AlarmRule
}

func (f *face) addDefinition(ctx context.Context, who *identity.Caller, in *addDefinition) (*answer[client.AlarmDefinition], error) {
	return f.showDefinition(f.control.Define(ctx, who, in.Project, definition(&in.Body)))
}

type changeDefinition struct {
	OneDefinition
	Body client.ChangeAlarmRule
}

func (f *face) changeDefinition(ctx context.Context, who *identity.Caller, in *changeDefinition) (*answer[client.AlarmDefinition], error) {
	d, err := f.control.Definition(who, in.Project, in.Definition)
	if err != nil {
		return nil, err
	}
	return f.showDefinition(f.control.Redefine(ctx, who, in.Project, d.ID, func(d *alarm.Definition) error {
		changeRule(&in.Body, d)
		return nil
	}))
}

func (f *face) removeDefinition(ctx context.Context, who *identity.Caller, in *OneDefinition) (*none, error) {
	d, err := f.control.Definition(who, in.Project, in.Definition)
	if err != nil {
		return nil, err
	}
	return nil, f.control.RemoveDefinition(ctx, who, in.Project, d.ID)
}

type testDefinition struct {
	OneDefinition
	Body client.TestAlarm
}

func (f *face) testDefinition(ctx context.Context, who *identity.Caller, in *testDefinition) (*answer[client.AlarmTransition], error) {
	d, err := f.control.Definition(who, in.Project, in.Definition)
	if err != nil {
		return nil, err
	}
	state := alarm.StateAlarm
	if in.Body.State != "" {
		if state, err = alarm.ParseState(in.Body.State); err != nil {
			return nil, invalid("body.state", err.Error())
		}
	}
	t, err := f.control.TestDefinition(ctx, who, in.Project, d.ID, in.Body.Alarm, state)
	return answered(transition(&t), err)
}

type replay struct {
	Tenant
	Body client.ReplayAlarm
}

func (f *face) replay(ctx context.Context, who *identity.Caller, in *replay) (*answer[client.Page[client.AlarmTransition]], error) {
	var d alarm.Definition
	switch {
	case (in.Body.Definition == "") == (in.Body.Rule == nil):
		return nil, invalid("body.definition", "give the definition that is to be replayed, or a rule")
	case in.Body.Rule != nil:
		d = definition(in.Body.Rule)
	default:
		known, err := f.control.Definition(who, in.Project, in.Body.Definition)
		if err != nil {
			return nil, err
		}
		d = known.Definition
	}
	to := in.Body.To
	if to.IsZero() {
		to = time.Now()
	}
	if !in.Body.From.Before(to) {
		return nil, invalid("body.from", "is not before to")
	}
	list, err := f.control.Replay(ctx, who, in.Project, d, in.Body.From, to)
	out := client.Page[client.AlarmTransition]{Items: make([]client.AlarmTransition, len(list))}
	for i := range list {
		out.Items[i] = transition(&list[i])
	}
	return answered(out, err)
}

type listAlarms struct {
	Tenant
	Paging
	Definition string   `query:"definition" doc:"Only alarms of this definition, by id or name."`
	State      string   `query:"state" enum:"OK,ALARM,UNDETERMINED"`
	Severity   string   `query:"severity" enum:"LOW,MEDIUM,HIGH,CRITICAL"`
	Metric     string   `query:"metric" doc:"Only alarms with a series of this metric."`
	Dimensions []string `query:"dimension,explode" maxItems:"64" doc:"NAME=VALUE, repeatable: only alarms with a series that has them all."`
	Service    uint64   `query:"service" doc:"Only alarms about this service."`
}

func (f *face) listAlarms(_ context.Context, who *identity.Caller, in *listAlarms) (*answer[client.Page[client.Alarm]], error) {
	id := ""
	if in.Definition != "" {
		d, err := f.control.Definition(who, in.Project, in.Definition)
		if err != nil {
			return nil, err
		}
		id = d.ID
	}
	wanted := map[string]string{}
	for i, text := range in.Dimensions {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, invalid(fmt.Sprintf("query.dimension[%d]", i), "write NAME=VALUE")
		}
		wanted[name] = value
	}
	dimensions := metric.NewDimensions(wanted)
	list, err := f.control.Alarms(who, in.Project, id, func(a *alerting.Alarm) bool {
		return (in.State == "" || a.State.String() == in.State) && (in.Severity == "" || a.Severity == in.Severity) && (in.Service == 0 || a.Origin.Service == in.Service) &&
			(in.Metric == "" && len(dimensions) == 0 || slices.ContainsFunc(a.Metrics, func(s *metric.Series) bool {
				return (in.Metric == "" || s.Name == in.Metric) && s.Dimensions.Covers(dimensions)
			}))
	})
	if err != nil {
		return nil, err
	}
	key := func(a alerting.Alarm) string { return numberKey(uint64(a.Created)) + a.ID }
	slices.SortFunc(list, func(a, b alerting.Alarm) int { return strings.Compare(key(a), key(b)) })
	return answered(part(list, &in.Paging, key, alarmOf))
}

// OneAlarm is the path of an alarm.
type OneAlarm struct {
	Tenant
	Alarm string `path:"alarm" doc:"Id of an alarm."`
}

func (f *face) getAlarm(_ context.Context, who *identity.Caller, in *OneAlarm) (*answer[client.Alarm], error) {
	return showAlarm(f.control.Alarm(who, in.Project, in.Alarm))
}

func showAlarm(a alerting.Alarm, err error) (*answer[client.Alarm], error) {
	if err != nil {
		return nil, err
	}
	return &answer[client.Alarm]{alarmOf(a)}, nil
}

type changeAlarm struct {
	OneAlarm
	Body client.ChangeAlarm
}

func (f *face) changeAlarm(ctx context.Context, who *identity.Caller, in *changeAlarm) (*answer[client.Alarm], error) {
	e := alerting.Edit{LifecycleState: in.Body.Lifecycle, Link: in.Body.Link}
	if in.Body.State != nil {
		state, err := alarm.ParseState(*in.Body.State)
		if err != nil {
			return nil, invalid("body.state", err.Error())
		}
		e.State = &state
	}
	return showAlarm(f.control.EditAlarm(ctx, who, in.Project, in.Alarm, e))
}

func (f *face) removeAlarm(ctx context.Context, who *identity.Caller, in *OneAlarm) (*none, error) {
	return nil, f.control.ForgetAlarm(ctx, who, in.Project, in.Alarm)
}

type alarmHistory struct {
	Tenant
	Alarm      string    `query:"alarm" doc:"Only changes of this alarm; those of removed ones are there, too."`
	Definition string    `query:"definition" doc:"Only changes of alarms of this definition, by id or name."`
	State      string    `query:"state" enum:"OK,ALARM,UNDETERMINED" doc:"Only changes to this state."`
	Since      time.Time `query:"since"`
	Limit      int       `query:"limit" minimum:"1" maximum:"10000" default:"100" doc:"The last so many."`
}

func (f *face) alarmHistory(ctx context.Context, who *identity.Caller, in *alarmHistory) (*answer[client.Page[client.AlarmTransition]], error) {
	id, gone := in.Definition, error(nil)
	if id != "" {
		d, err := f.control.Definition(who, in.Project, id)
		switch {
		case err == nil:
			id = d.ID
		case !errors.Is(err, alerting.ErrNoDefinition):
			return nil, err
		}
		gone = err
	}
	list, err := f.control.AlarmHistory(ctx, who, in.Project, in.Alarm, in.Limit, in.Since, func(e *alerting.Entry) bool {
		return (id == "" || e.Definition == id || gone != nil && e.Name == id) && (in.State == "" || e.To == in.State)
	})
	if err == nil && len(list) == 0 && gone != nil { // none of that id or name is remembered either
		return nil, gone
	}
	out := client.Page[client.AlarmTransition]{Items: make([]client.AlarmTransition, len(list))}
	for i := range list {
		out.Items[i] = entry(&list[i])
	}
	return answered(out, err)
}

// watchAlarms streams changes of alarms as server-sent events: "open" when the watch stands, "change", and "reset" when changes
// were missed. There is nothing to resume after: whoever connects again reads everything anew.
func (f *face) watchAlarms(_ context.Context, who *identity.Caller, in *Tenant) (*huma.StreamResponse, error) {
	tenant, changes, stop, err := f.control.WatchAlarms(who, in.Project)
	if err != nil {
		return nil, err
	}
	run := func(ctx context.Context, out chan<- api.Event) {
		if !send(ctx, out, "open", 0, client.AlarmChange{Reset: true}) {
			return
		}
		for ctx.Err() == nil {
			select {
			case c, ok := <-changes:
				switch {
				case !ok: // too slow for so many
					_, again, end, err := f.control.WatchAlarms(who, in.Project)
					if err != nil {
						return
					}
					if changes, stop = again, end; !send(ctx, out, "reset", 0, client.AlarmChange{Reset: true}) {
						return
					}
				case c.Tenant == tenant && !send(ctx, out, "change", 0, f.alarmChange(who, in.Project, &c)):
					return
				}
			case <-ctx.Done():
			}
		}
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer func() { stop() }()
		r, w := humago.Unwrap(h)
		f.events(w, r, run)
	}}, nil
}

func (f *face) alarmChange(who *identity.Caller, project string, c *alerting.Change) client.AlarmChange {
	out := client.AlarmChange{Definition: c.Definition, Removed: c.Removed}
	if c.Alarm != "" {
		if a, err := f.control.Alarm(who, project, c.Alarm); err == nil { // otherwise it is gone again
			shown := alarmOf(a)
			out.Alarm = &shown
		}
	}
	return out
}

func metrics(list []*metric.Series) []client.AlarmMetric {
	out := make([]client.AlarmMetric, len(list))
	for i, s := range list {
		out[i] = client.AlarmMetric{Name: s.Name, Dimensions: s.Dimensions.Map()}
	}
	return out
}

func alarmPart(p *alarm.Part, state string, values []float64, seen int64) client.AlarmPart {
	out := client.AlarmPart{Expression: p.String(), State: state}
	for _, v := range values { // JSON has no infinities
		out.Values = append(out.Values, strconv.FormatFloat(v, 'g', -1, 64))
	}
	if seen != 0 {
		out.Seen = later(time.UnixMilli(seen))
	}
	return out
}

func alarmParts(list []alarm.SubAlarm) []client.AlarmPart {
	out := make([]client.AlarmPart, len(list))
	for i := range list {
		out[i] = alarmPart(&list[i].Part, list[i].State.String(), list[i].Values, list[i].Seen)
	}
	return out
}

func alarmOf(a alerting.Alarm) client.Alarm {
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	return client.Alarm{ID: a.ID, Definition: a.Definition, Name: a.Name, Severity: a.Severity, State: a.State.String(), Match: a.Match, Parts: alarmParts(a.SubAlarms),
		Metrics: metrics(a.Metrics), MetricCount: a.MetricCount, Service: a.Origin.Service, Role: a.Origin.Role, Instance: a.Origin.Serial, Place: a.Place, Sequence: a.Sequence,
		Lifecycle: a.LifecycleState, Link: a.Link, Hold: string(a.Hold), Owed: a.Owed, Created: at(a.Created), Updated: at(a.Updated), StateUpdated: at(a.StateUpdated)}
}

var occasions = [...]string{alarm.Changed: "changed", alarm.Released: "released", alarm.Repeated: "repeated", alarm.Tested: "tested", alarm.Ended: "ended"}

func transition(t *alarm.Transition) client.AlarmTransition {
	out := client.AlarmTransition{Time: time.UnixMilli(t.Time).UTC(), Occasion: occasions[t.Occasion], Definition: t.Definition, Alarm: t.Alarm, Name: t.Name,
		Severity: t.Severity, Sequence: t.Sequence, From: t.From.String(), To: t.To.String(), Reason: t.Reason, Detail: t.Detail, Parts: alarmParts(t.SubAlarms),
		Metrics: metrics(t.Metrics), Service: t.Origin.Service, Role: t.Origin.Role, Instance: t.Origin.Serial, Hold: string(t.Hold)}
	for i := range t.Runs {
		out.Runs = append(out.Runs, client.AlarmRun{AlarmAction: actionOf(&t.Runs[i].Action), Held: string(t.Runs[i].Held)})
	}
	return out
}

func entry(e *alerting.Entry) client.AlarmTransition {
	out := client.AlarmTransition{Time: e.Time, Definition: e.Definition, Alarm: e.Alarm, Name: e.Name, Severity: e.Severity, Sequence: e.Sequence, From: e.From, To: e.To,
		Reason: e.Reason, Detail: e.Detail, Service: e.Origin.Service, Role: e.Origin.Role, Instance: e.Origin.Serial, Hold: string(e.Hold)}
	for i := range e.Parts {
		out.Parts = append(out.Parts, alarmPart(&e.Parts[i].Part, e.Parts[i].State, e.Parts[i].Values, 0))
	}
	for i := range e.Runs {
		out.Runs = append(out.Runs, client.AlarmRun{AlarmAction: actionOf(&e.Runs[i].Action), Held: string(e.Runs[i].Held)})
	}
	for _, m := range e.Metrics {
		out.Metrics = append(out.Metrics, client.AlarmMetric{Name: m.Name, Dimensions: m.Dimensions.Map()})
	}
	return out
}
