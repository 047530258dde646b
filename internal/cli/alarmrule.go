package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupe-dev/troupe/client"
	face "github.com/troupe-dev/troupe/internal/api/native"
	"github.com/troupe-dev/troupe/internal/format/native"
)

// ruleFlags are the flags that make or change an alarm definition.
type ruleFlags struct {
	expression, description, severity, missing, profile string
	by                                                  []string
	notify, okNotify, silentNotify                      []string
	scale, act                                          string
	replace, restart, mute, unmute                      bool
	cooldown, every, silence, okAfter, lifetime         time.Duration
	lateness                                            time.Duration
	damping                                             client.Damping
	maintenance                                         []client.Maintenance
}

func (r *ruleFlags) add(f *pflag.FlagSet, fresh bool) {
	f.StringVar(&r.expression, "expression", "", "`expression` that is true when all is not well, such as 'avg(load) > 5'")
	if fresh {
		f.StringSliceVar(&r.by, "by", nil, "one alarm for each value of these `dimensions`")
	}
	f.StringVar(&r.description, "description", "", "`text` for people")
	f.Var(choice{&r.severity, severities}, "severity", "how bad it is (default LOW)")
	f.StringArrayVar(&r.notify, "notify", nil, "notification `method` to use when the alarm is raised; repeatable")
	f.StringArrayVar(&r.okNotify, "ok-notify", nil, "notification `method` to use when all is well again; repeatable")
	f.StringArrayVar(&r.silentNotify, "silent-notify", nil, "notification `method` to use when there is no telling; repeatable")
	f.StringVar(&r.scale, "scale", "", "role and `change` when the alarm is raised, such as 'web +20%'")
	f.StringVar(&r.act, "act", "", "role and `action` when the alarm is raised, such as 'web reboot'")
	f.BoolVar(&r.replace, "replace", false, "replace the instance that the alarm is about when it is raised")
	f.BoolVar(&r.restart, "restart", false, "restart that instance")
	f.Var(spanFlag{&r.cooldown}, "cooldown", "how long actions are not repeated")
	f.Var(spanFlag{&r.every}, "every", "repeat actions while the state lasts")
	f.Var(spanFlag{&r.silence}, "silence", "after how long without a sample data is missing")
	f.Var(choice{&r.missing, []string{"undetermined", "keep", "ok", "alarm"}}, "missing", "what missing data means (default undetermined)")
	f.Var(spanFlag{&r.okAfter}, "ok-after", "how long all must be well before the alarm says so")
	f.Var(spanFlag{&r.lifetime}, "lifetime", "an alarm without samples for so long is removed")
	f.Var(choice{&r.profile, []string{"fast", "compat"}}, "profile", "when windows are decided (default fast)")
	f.Var(spanFlag{&r.lateness}, "lateness", "how long after a window's end its late samples are waited for")
	f.Var(dampingFlag{&r.damping}, "damping", "hold actions back from more changes within a time on, such as `5/10m`, or none")
	f.Var(maintenanceFlag{&r.maintenance}, "maintenance", "actions wait in this time, 'FROM TO [EVERY]'; repeatable")
	f.BoolVar(&r.mute, "mute", false, "run no actions")
	if !fresh {
		f.BoolVar(&r.unmute, "unmute", false, "run actions again")
	}
}

// actions returns the actions that the flags name; nil when they name none.
func (r *ruleFlags) actions() *client.AlarmActions {
	pace := func(a client.AlarmAction) client.AlarmAction {
		a.Cooldown, a.Every = client.Duration(r.cooldown), client.Duration(r.every)
		return a
	}
	notify := func(methods []string) (list []client.AlarmAction) {
		for _, m := range methods {
			list = append(list, pace(client.AlarmAction{Notify: m}))
		}
		return list
	}
	out := client.AlarmActions{Alarm: notify(r.notify), OK: notify(r.okNotify), Undetermined: notify(r.silentNotify)}
	if r.scale != "" {
		role, by := roleAnd(r.scale)
		out.Alarm = append(out.Alarm, pace(client.AlarmAction{Scale: &client.AlarmScale{Role: role, By: by}}))
	}
	if r.act != "" {
		role, action := roleAnd(r.act)
		out.Alarm = append(out.Alarm, pace(client.AlarmAction{Act: &client.AlarmAct{Role: role, Action: action}}))
	}
	if r.replace {
		out.Alarm = append(out.Alarm, pace(client.AlarmAction{Replace: true}))
	}
	if r.restart {
		out.Alarm = append(out.Alarm, pace(client.AlarmAction{Restart: true}))
	}
	if len(out.Alarm)+len(out.OK)+len(out.Undetermined) == 0 {
		return nil
	}
	return &out
}

// roleAnd splits "web +20%"; the role may be left out.
func roleAnd(text string) (role, what string) {
	text = strings.TrimSpace(text)
	if i := strings.LastIndexAny(text, " \t"); i >= 0 {
		return strings.TrimSpace(text[:i]), text[i+1:]
	}
	return "", text
}

// change returns what the flags that were given change.
func (r *ruleFlags) change(flags *pflag.FlagSet) client.ChangeAlarmRule {
	var out client.ChangeAlarmRule
	text := func(name string, at **string, value *string) {
		if flags.Changed(name) {
			*at = value
		}
	}
	span := func(name string, at **client.Duration, value *time.Duration) {
		if flags.Changed(name) {
			*at = (*client.Duration)(value)
		}
	}
	text("expression", &out.Expression, &r.expression)
	text("description", &out.Description, &r.description)
	text("severity", &out.Severity, &r.severity)
	text("missing", &out.Missing, &r.missing)
	text("profile", &out.Profile, &r.profile)
	span("silence", &out.Silence, &r.silence)
	span("ok-after", &out.OKAfter, &r.okAfter)
	span("lifetime", &out.Lifetime, &r.lifetime)
	span("lateness", &out.Lateness, &r.lateness)
	if flags.Changed("damping") {
		out.Damping = &r.damping
	}
	if flags.Changed("maintenance") {
		out.Maintenance = &r.maintenance
	}
	if r.mute || r.unmute {
		out.ActionsEnabled = &r.unmute
	}
	out.Actions = r.actions()
	return out
}

// rule returns the definition that the flags describe.
func (r *ruleFlags) rule(name string) client.AlarmRule {
	enabled := !r.mute
	out := client.AlarmRule{Name: name, Description: r.description, Expression: r.expression, MatchBy: r.by, Severity: r.severity, ActionsEnabled: &enabled,
		Profile: r.profile, Missing: r.missing, Silence: client.Duration(r.silence), OKAfter: client.Duration(r.okAfter), Lifetime: client.Duration(r.lifetime),
		Lateness: client.Duration(r.lateness), Damping: r.damping, Maintenance: r.maintenance}
	if a := r.actions(); a != nil {
		out.Actions = *a
	}
	return out
}

// readRules reads a file of alarm definitions.
func (t *terminal) readRules(name string) ([]client.AlarmRule, error) {
	text, err := t.readFile(name)
	if err != nil {
		return nil, err
	}
	list, err := native.ParseAlarms(name, text)
	if err != nil {
		return nil, withCode(exitInvalid, err)
	}
	out := make([]client.AlarmRule, len(list))
	for i := range list {
		out[i] = face.RuleOf(&list[i])
	}
	return out, nil
}

func newAlarmAddCommand(t *terminal) *cobra.Command {
	var r ruleFlags
	var project string
	cmd := &cobra.Command{
		Use: "add NAME|FILE", Short: "add an alarm definition, or those of a file", Args: exactly("NAME|FILE"),
		Long: "Add an alarm definition: with --expression the one that the flags describe, otherwise those of a file, which has them under\n" +
			"\"alarms\" as services do. Those of a file that are there already, by name, are changed to what the file says.",
		Example: "  troupe alarm add busy --expression 'avg(cpu.user_perc, 10s) > 80 times 3' --by hostname --notify people\n  troupe alarm add alarms.yaml",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			alarms := c.Alarms().Of(project)
			if r.expression != "" {
				d, err := alarms.Define(ctx, r.rule(args[0]))
				if err != nil {
					return err
				}
				t.tell("alarm %s watches %s", d.Name, d.Expression)
				return t.program(d, d.ID)
			}
			rules, err := t.readRules(args[0])
			if err != nil {
				if !strings.ContainsAny(args[0], "./") && exitCode(err) == exitInvalid {
					return usageError("alarm add %s: give --expression, or a file: %w", args[0], err)
				}
				return err
			}
			return t.putRules(ctx, alarms, rules)
		}),
	}
	r.add(cmd.Flags(), true)
	return ofProject(cmd, &project)
}

// putRules adds definitions, or changes those of their names.
func (t *terminal) putRules(ctx context.Context, alarms *client.Alarms, rules []client.AlarmRule) error {
	known, err := alarms.Definitions(ctx, 0)
	if err != nil {
		return err
	}
	ids := map[string]string{}
	for _, d := range known {
		if d.Service == 0 {
			ids[d.Name] = d.ID
		}
	}
	var made []client.AlarmDefinition
	b := &table{}
	for i := range rules {
		x, did := &rules[i], "is added"
		var d client.AlarmDefinition
		if id, ok := ids[x.Name]; ok {
			did = "is as the file says"
			d, err = alarms.Redefine(ctx, id, wholeRule(x))
		} else {
			d, err = alarms.Define(ctx, *x)
		}
		if err != nil {
			return fmt.Errorf("alarm %s: %w", x.Name, err)
		}
		t.tell("alarm %s %s", d.Name, did)
		made = append(made, d)
		b.rows = append(b.rows, []string{d.ID})
	}
	if t.output == "table" || t.output == "wide" {
		return nil
	}
	return t.show(made, b)
}

// wholeRule changes everything that may change.
func wholeRule(x *client.AlarmRule) client.ChangeAlarmRule {
	if x.Maintenance == nil {
		x.Maintenance = []client.Maintenance{}
	}
	return client.ChangeAlarmRule{Description: &x.Description, Expression: &x.Expression, Severity: &x.Severity, ActionsEnabled: x.ActionsEnabled, Actions: &x.Actions,
		Profile: &x.Profile, Lateness: &x.Lateness, Silence: &x.Silence, Missing: &x.Missing, OKAfter: &x.OKAfter, Damping: &x.Damping, Lifetime: &x.Lifetime,
		Maintenance: &x.Maintenance}
}

func newAlarmUpdateCommand(t *terminal) *cobra.Command {
	var r ruleFlags
	var project, name string
	cmd := &cobra.Command{Use: "update ALARM", Short: "change an alarm definition: what no flag names stays", Args: exactly("ALARM"),
		Long: "Change an alarm definition. What no flag names stays; flags that name actions replace all actions. The metrics that an expression\n" +
			"watches cannot change: add another definition for others."}
	cmd.RunE = calling(t, func(ctx context.Context, c *client.Client, args []string) error {
		w := r.change(cmd.Flags())
		if cmd.Flags().Changed("name") {
			w.Name = &name
		}
		if w == (client.ChangeAlarmRule{}) {
			return usageError("alarm update: no flag says what to change; see `%s --help`", cmd.CommandPath())
		}
		d, err := c.Alarms().Of(project).Redefine(ctx, args[0], w)
		if err != nil {
			return err
		}
		t.tell("alarm %s is changed", d.Name)
		return t.program(d, d.ID)
	})
	r.add(cmd.Flags(), false)
	cmd.Flags().StringVar(&name, "name", "", "another `name`")
	cmd.MarkFlagsMutuallyExclusive("mute", "unmute")
	return ofProject(cmd, &project)
}

func newAlarmReplayCommand(t *terminal) *cobra.Command {
	var project, file string
	w := client.ReplayAlarm{From: time.Now().Add(-24 * time.Hour)}
	var r ruleFlags
	cmd := &cobra.Command{
		Use: "replay [ALARM]", Short: "what a definition would have done over history", Args: atMost(1),
		Long: "Tell what a definition that there is would have done over the last day, or another time; or one that is not yet: from a file,\n" +
			"or as the flags describe it.",
		Example: "  troupe alarm replay busy --from 7d\n  troupe alarm replay --expression 'max(load) > 8' --from 2h",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			var rules []client.AlarmRule
			switch {
			case len(args) == 1 && r.expression == "" && file == "":
				w.Definition = args[0]
			case len(args) == 0 && r.expression != "" && file == "":
				rules = []client.AlarmRule{r.rule("replay")}
			case len(args) == 0 && r.expression == "" && file != "":
				var err error
				if rules, err = t.readRules(file); err != nil {
					return err
				}
			default:
				return usageError("alarm replay: give a definition, --file or --expression")
			}
			all := []client.AlarmTransition{}
			for i := range max(1, len(rules)) {
				if len(rules) > 0 {
					w.Rule = &rules[i]
				}
				list, err := c.Alarms().Of(project).Replay(ctx, w)
				if err != nil {
					return err
				}
				all = append(all, list...)
			}
			return t.transitions(all, methodNames(ctx, c, project, all...))
		}),
	}
	f := cmd.Flags()
	f.StringVar(&file, "file", "", "`file` of definitions")
	f.StringVar(&r.expression, "expression", "", "`expression` to try")
	f.StringSliceVar(&r.by, "by", nil, "with --expression: one alarm for each value of these `dimensions`")
	f.Var(spanFlag{&r.silence}, "silence", "with --expression: after how long without a sample data is missing")
	f.Var(moment{&w.From}, "from", "begin at this time, or so long ago (24h when not given)")
	f.Var(moment{&w.To}, "to", "end at this time, or so long ago")
	f.Lookup("from").DefValue = ""
	return ofProject(cmd, &project)
}
