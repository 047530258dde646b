package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

var (
	alarmStates = []string{"OK", "ALARM", "UNDETERMINED"}
	severities  = []string{"LOW", "MEDIUM", "HIGH", "CRITICAL"}
)

func newAlarmCommand(t *terminal) *cobra.Command {
	var project string
	rm := removing(t, "alarm", func(ctx context.Context, c *client.Client, ref string) error {
		return c.Alarms().Of(project).RemoveDefinition(ctx, ref)
	})
	return group("alarm", "alarms: what is watched, and what happens then", newAlarmLsCommand(t), newAlarmShowCommand(t), newAlarmAddCommand(t),
		newAlarmUpdateCommand(t), ofProject(rm, &project), newAlarmHistoryCommand(t), newAlarmTestCommand(t), newAlarmReplayCommand(t), newAlarmWatchCommand(t),
		newAlarmSilenceCommand(t))
}

type alarmLsOptions struct {
	project, service string
	filter           client.AlarmFilter
	dimensions       []string
}

func newAlarmLsCommand(t *terminal) *cobra.Command {
	var o alarmLsOptions
	cmd := &cobra.Command{
		Use: "ls [ALARM]", Short: "alarm definitions, or the alarms of one", Args: atMost(1),
		Long: "List alarm definitions; with the name of one, or with a flag that chooses among alarms, the alarms: there is one for each\n" +
			"value of what a definition tells apart (--by).",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			var err error
			if o.filter.Dimensions, err = assignments("--dimension", o.dimensions); err != nil {
				return err
			}
			if o.service != "" {
				s, err := c.Services().Get(ctx, o.service)
				if err != nil {
					return err
				}
				o.filter.Service = s.ID
			}
			if len(args) == 1 {
				o.filter.Definition = args[0]
			}
			f := &o.filter
			if f.Definition == "" && f.State == "" && f.Severity == "" && f.Metric == "" && f.Dimensions == nil {
				return lsDefinitions(ctx, t, c, &o)
			}
			return lsAlarms(ctx, t, c, &o)
		}),
	}
	f := cmd.Flags()
	f.Var(choice{&o.filter.State, alarmStates}, "state", "only alarms in this state")
	f.Var(choice{&o.filter.Severity, severities}, "severity", "only alarms of this severity")
	f.StringVar(&o.filter.Metric, "metric", "", "only alarms with a series of this `metric`")
	f.StringArrayVar(&o.dimensions, "dimension", nil, "only alarms with a series that has this dimension, `NAME=VALUE`; repeatable")
	f.StringVar(&o.service, "service", "", "only those of this service")
	return ofProject(cmd, &o.project)
}

func lsDefinitions(ctx context.Context, t *terminal, c *client.Client, o *alarmLsOptions) error {
	list, err := c.Alarms().Of(o.project).Definitions(ctx, o.filter.Service)
	if err != nil {
		return err
	}
	raised := map[string]int{}
	for a, err := range c.Alarms().Of(o.project).List(ctx, client.AlarmFilter{State: "ALARM", Limit: 1000}) {
		if err != nil {
			return err
		}
		raised[a.Definition]++
	}
	b := &table{head: []string{"NAME", "SERVICE", "SEVERITY", "ALARMS", "RAISED", "WHEN", "ID", "BY", "OWNER", "ACTIONS", "UPDATED"}, wide: 6}
	for _, d := range list {
		enabled := "enabled"
		if d.ActionsEnabled != nil && !*d.ActionsEnabled {
			enabled = "muted"
		}
		service := "-"
		if d.Service != 0 {
			service = oneLine(cmp.Or(d.ServiceName, client.ID(d.Service)))
		}
		b.add(oneLine(d.Name), service, d.Severity, strconv.Itoa(d.Alarms), strconv.Itoa(raised[d.ID]), oneLine(d.Expression), d.ID, orDash(strings.Join(d.MatchBy, ",")), d.Owner.Name, enabled, since(d.Updated))
	}
	return t.show(list, b)
}

func lsAlarms(ctx context.Context, t *terminal, c *client.Client, o *alarmLsOptions) error {
	list := []client.Alarm{}
	b := &table{head: []string{"ID", "NAME", "STATE", "SINCE", "ABOUT", "VALUES", "SEVERITY", "SERIES", "HOLD", "CHANGES", "LIFECYCLE", "LINK"}, wide: 6}
	for a, err := range c.Alarms().Of(o.project).List(ctx, o.filter) {
		if err != nil {
			return err
		}
		list = append(list, a)
		var values []string
		for _, p := range a.Parts {
			values = append(values, orDash(strings.Join(p.Values, ",")))
		}
		b.add(a.ID, oneLine(a.Name), a.State, since(a.StateUpdated), about(&a), strings.Join(values, " "), a.Severity, strconv.Itoa(a.MetricCount), orDash(a.Hold),
			strconv.Itoa(int(a.Sequence)), orDash(oneLine(a.Lifecycle)), orDash(oneLine(a.Link)))
	}
	return t.show(list, b)
}

// about says in short what an alarm is about: the instance, role or service as other commands name it, and what tells it apart.
func about(a *client.Alarm) string {
	switch text := dimensions(a.Match); {
	case a.Place != "" && text != "":
		return oneLine(a.Place) + " " + text
	case a.Place != "" && len(a.Metrics) != 1:
		return oneLine(a.Place)
	}
	if len(a.Match) > 0 {
		return dimensions(a.Match)
	}
	if len(a.Metrics) == 1 {
		return oneLine(a.Metrics[0].Name) + "{" + dimensions(a.Metrics[0].Dimensions) + "}"
	}
	return fmt.Sprintf("%d series", a.MetricCount)
}

func dimensions(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return oneLine(strings.Join(parts, ","))
}

func newAlarmShowCommand(t *terminal) *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "show ALARM", Short: "an alarm definition, by name (of a service: SERVICE/NAME), or by its id an alarm", Args: exactly("ALARM"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			alarms := c.Alarms().Of(project)
			d, err := alarms.Definition(ctx, args[0])
			if err == nil {
				return t.whole(d, d.ID)
			}
			if a, e := alarms.Get(ctx, args[0]); e == nil {
				return t.whole(a, a.ID)
			}
			return err
		}),
	}
	return ofProject(cmd, &project)
}

// whole shows everything about an object: as YAML to people.
func (t *terminal) whole(value any, name string) error {
	if t.output == "table" || t.output == "wide" {
		return t.showYAML(value)
	}
	return t.show(value, &table{rows: [][]string{{name}}})
}

func newAlarmHistoryCommand(t *terminal) *cobra.Command {
	var project, state string
	var f client.HistoryFilter
	cmd := &cobra.Command{
		Use: "history [ALARM]", Short: "the last changes of alarms: of a definition's, by name, or of one alarm by its id", Args: atMost(1),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			f.State = state
			alarms := c.Alarms().Of(project)
			if len(args) == 1 {
				if _, err := alarms.Get(ctx, args[0]); err == nil {
					f.Alarm = args[0]
				} else {
					f.Definition = args[0]
				}
			}
			list, err := alarms.History(ctx, f)
			if err != nil {
				return err
			}
			slices.Reverse(list) // people read downwards
			return t.transitions(list, methodNames(ctx, c, project, list...))
		}),
	}
	cmd.Flags().Var(choice{&state, alarmStates}, "state", "only changes to this state")
	cmd.Flags().Var(moment{&f.Since}, "since", "only changes since this time, or the last so long")
	cmd.Flags().IntVarP(&f.Limit, "tail", "n", 50, "how many of the last changes")
	return ofProject(cmd, &project)
}

// methodNames are the names, by id, of the notification methods that changes of alarms have used; nil where they cannot be had.
func methodNames(ctx context.Context, c *client.Client, project string, list ...client.AlarmTransition) map[string]string {
	notifies := func(r client.AlarmRun) bool { return r.Notify != "" }
	if !slices.ContainsFunc(list, func(x client.AlarmTransition) bool { return slices.ContainsFunc(x.Runs, notifies) }) {
		return nil
	}
	methods, err := c.Notifications().Of(project).List(ctx)
	if err != nil {
		return nil // ids do
	}
	names := make(map[string]string, len(methods))
	for _, m := range methods {
		names[m.ID] = m.Name
	}
	return names
}

// transitions shows changes of alarms; methods are names by id.
func (t *terminal) transitions(list []client.AlarmTransition, methods map[string]string) error {
	b := &table{head: []string{"TIME", "NAME", "FROM", "TO", "WHY", "ACTIONS", "ALARM", "SEVERITY", "DETAIL"}, wide: 6}
	for _, x := range list {
		b.add(stamp(x.Time), oneLine(x.Name), x.From, x.To, oneLine(x.Reason), runs(&x, methods), orDash(x.Alarm), x.Severity, orDash(oneLine(x.Detail)))
	}
	if list == nil {
		list = []client.AlarmTransition{}
	}
	return t.show(list, b)
}

// runs says what a change led to; methods are names by id.
func runs(x *client.AlarmTransition, methods map[string]string) string {
	if x.Hold != "" {
		return "held: " + x.Hold
	}
	var parts []string
	for _, r := range x.Runs {
		text := actionText(&r.AlarmAction, methods)
		if r.Held != "" {
			text += " (" + r.Held + ")"
		}
		parts = append(parts, text)
	}
	return orDash(oneLine(strings.Join(parts, ", ")))
}

func actionText(a *client.AlarmAction, methods map[string]string) string {
	switch {
	case a.Scale != nil:
		return strings.Join(strings.Fields("scale "+a.Scale.Role+" "+a.Scale.By), " ")
	case a.Act != nil:
		return strings.Join(strings.Fields("act "+a.Act.Role+" "+a.Act.Action), " ")
	case a.Replace:
		return "replace"
	case a.Restart:
		return "restart"
	}
	return "notify " + cmp.Or(methods[a.Notify], a.Notify)
}

func newAlarmTestCommand(t *terminal) *cobra.Command {
	var project string
	w := client.TestAlarm{State: "ALARM"}
	cmd := &cobra.Command{
		Use: "test ALARM", Short: "send the notifications of a definition, marked as a test", Args: exactly("ALARM"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			x, err := c.Alarms().Of(project).Test(ctx, args[0], w)
			if err != nil {
				return err
			}
			if len(x.Runs) == 0 {
				t.tell("alarm %s has no actions for %s", args[0], w.State)
				return t.program(x, args[0])
			}
			t.tell("sent, as a test of %s: %s; see `troupe notification deliveries`", w.State, runs(&x, methodNames(ctx, c, project, x)))
			return t.program(x, args[0])
		}),
	}
	cmd.Flags().Var(choice{&w.State, alarmStates}, "state", "state whose notifications are sent")
	cmd.Flags().StringVar(&w.Alarm, "alarm", "", "as if the alarm with this `id` had entered the state")
	return ofProject(cmd, &project)
}

func newAlarmWatchCommand(t *terminal) *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "watch", Short: "print changes of alarms as they come, until Ctrl-C", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			for x, err := range c.Alarms().Of(project).Watch(ctx) {
				if err != nil {
					return err
				}
				if err := t.printAlarm(&x); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	return ofProject(cmd, &project)
}

// printAlarm prints a change in one line: of JSON where that is wanted, so that programs can follow.
func (t *terminal) printAlarm(x *client.AlarmChange) error {
	if t.output == "json" {
		return json.NewEncoder(t.out).Encode(x)
	}
	now, text := time.Now().Local().Format("15:04:05.000"), ""
	switch a := x.Alarm; {
	case x.Reset:
		text = "watching"
	case a != nil:
		text = fmt.Sprintf("%s %s (%s)", oneLine(a.Name), a.State, about(a))
		now = a.StateUpdated.Local().Format("15:04:05.000")
		if a.Hold != "" {
			text += ", actions held: " + a.Hold
		}
	case x.Removed:
		text = "definition " + x.Definition + " is removed"
	default:
		text = "definition " + x.Definition + " has changed"
	}
	_, err := fmt.Fprintln(t.out, now, text)
	return err
}
