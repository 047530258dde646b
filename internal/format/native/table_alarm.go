package native

import (
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// alarmKeys is an alarm definition as the format writes it.
type alarmKeys struct {
	alarm.Definition
	muted    bool
	cooldown time.Duration // of actions without one of their own
}

// newAlarm returns an alarm with the format's defaults.
func newAlarm(name string) alarmKeys {
	return alarmKeys{Definition: alarm.Definition{Name: name, Severity: "LOW", Profile: alarm.Fast, Missing: alarm.MissingUndetermined}}
}

// settle makes the definition of the keys.
func (k *alarmKeys) settle() alarm.Definition {
	d := k.Definition
	d.ActionsEnabled = !k.muted
	for _, list := range [...][]alarm.Action{d.Actions.Alarm, d.Actions.OK, d.Actions.Undetermined} {
		for i := range list {
			if list[i].Cooldown == 0 {
				list[i].Cooldown = k.cooldown
			}
		}
	}
	return d
}

// alarmsField is the key of a service's alarms.
func alarmsField() field[service.Spec] {
	return field[service.Spec]{
		key: "alarms", shape: mapShape("alarm"), example: `{silent: {when: "absent(cpu.user_perc, 3s)", by: [instance], do: replace}}`,
		help: "Alarms by name that watch the service's own series, and what they do.",
		read: func(d *decoder, n *tree.Node, s *service.Spec) {
			readAlarms(d, n, func(x alarm.Definition) { s.Alarms = append(s.Alarms, x) })
		},
		write: func(s *service.Spec) any {
			if len(s.Alarms) == 0 {
				return nil
			}
			return writeAlarms(s.Alarms)
		},
	}
}

func readAlarms(d *decoder, n *tree.Node, take func(alarm.Definition)) {
	if n.Kind != tree.Mapping {
		d.fail(n.At, "expected alarms by name, found %s", n.Kind)
		return
	}
	for i, e := range n.Entries {
		k := newAlarm(e.Key)
		key := &tree.Node{At: e.At}
		d.in(e.Key, fmt.Sprintf("[%d]", i), key, func() {
			d.mark(d.spec+".name", key)
			read(d, alarmFields, e.Value, &k)
		})
		take(k.settle())
	}
}

func writeAlarms(list []alarm.Definition) yaml.MapSlice {
	out := make(yaml.MapSlice, len(list))
	for i := range list {
		out[i] = yaml.MapItem{Key: list[i].Name, Value: write(alarmFields, &alarmKeys{Definition: list[i], muted: !list[i].ActionsEnabled})}
	}
	return out
}

// alarmFields are the keys of an alarm.
var alarmFields = []field[alarmKeys]{
	named("expression", textField("when", "avg(cpu.user_perc) > 80 times 3", "What is bad: an expression of alarms.md.",
		func(k *alarmKeys) *string { return &k.Expression })),
	namesField("by", "match_by", "[instance]", "One alarm for each value of these dimensions; without them one for the service.",
		func(k *alarmKeys) *[]string { return &k.MatchBy }),
	textField("description", "The shop is slow", "For people.",
		func(k *alarmKeys) *string { return &k.Description }),
	choiceField("severity", "How bad it is.",
		func(k *alarmKeys) *string { return &k.Severity }, "LOW", "MEDIUM", "HIGH", "CRITICAL"),
	orderField("do", "actions.alarm", "replace", "What to do when the alarm is raised.",
		func(k *alarmKeys) *[]alarm.Action { return &k.Actions.Alarm }),
	orderField("ok", "actions.ok", "{notify: people}", "What to do when all is well again.",
		func(k *alarmKeys) *[]alarm.Action { return &k.Actions.OK }),
	orderField("silent", "actions.undetermined", "{notify: people}", "What to do when there is no telling, for want of samples.",
		func(k *alarmKeys) *[]alarm.Action { return &k.Actions.Undetermined }),
	{
		key: "cooldown", shape: durationShape, def: "none", example: "1m",
		help: "How long actions are not repeated that have no cooldown of their own. Watching goes on.",
		read: durationField("cooldown", "", "", "", func(k *alarmKeys) *time.Duration { return &k.cooldown }).read,
	},
	durationField("ok_after", "at once", "30s", "How long all must be well before the alarm says so.",
		func(k *alarmKeys) *time.Duration { return &k.OKAfter }),
	durationField("silence", "twice as many empty windows as the expression looks at", "3s", "After how long without a sample data is missing.",
		func(k *alarmKeys) *time.Duration { return &k.Silence }),
	choiceField("missing", "What missing data means.",
		func(k *alarmKeys) *alarm.Missing { return &k.Missing }, alarm.MissingUndetermined, alarm.MissingKeep, alarm.MissingOK, alarm.MissingAlarm),
	{
		key: "damping", shape: ref("damping"), example: "{transitions: 5, within: 10m}",
		help: "Actions are held back while the alarm changes its state more often than that.",
		read: func(d *decoder, n *tree.Node, k *alarmKeys) { read(d, dampingFields, n, &k.Damping) },
		write: func(k *alarmKeys) any {
			if k.Damping == (alarm.Damping{}) {
				return nil
			}
			return write(dampingFields, &k.Damping)
		},
	},
	durationField("lifetime", "none", "24h", "An alarm that had no sample for so long is removed.",
		func(k *alarmKeys) *time.Duration { return &k.Lifetime }),
	durationField("lateness", "none", "500ms", "How long after a window's end late samples are waited for.",
		func(k *alarmKeys) *time.Duration { return &k.Lateness }),
	choiceField("profile", "fast decides at the end of a window, compat as Monasca does.",
		func(k *alarmKeys) *alarm.Profile { return &k.Profile }, alarm.Fast, alarm.Compat),
	boolField("muted", "No action is run, now or later.", func(k *alarmKeys) *bool { return &k.muted }),
	{
		key: "maintenance", shape: listShape("window"), example: "[{from: 2030-01-05T02:00:00Z, to: 2030-01-05T03:00:00Z, every: 24h}]",
		help: "Times in which states are kept but actions wait.",
		read: func(d *decoder, n *tree.Node, k *alarmKeys) {
			d.each(n, func(item *tree.Node) {
				var m alarm.Maintenance
				read(d, maintenanceFields, item, &m)
				k.Maintenance = append(k.Maintenance, m)
			})
		},
		write: func(k *alarmKeys) any {
			if len(k.Maintenance) == 0 {
				return nil
			}
			return writeList(maintenanceFields, k.Maintenance)
		},
	},
}

// dampingFields are the keys of a damping.
var dampingFields = []field[alarm.Damping]{
	intField("transitions", "none", "5", "How many changes of state are too many.", func(x *alarm.Damping) *int { return &x.Transitions }),
	durationField("within", "none", "10m", "In how long.", func(x *alarm.Damping) *time.Duration { return &x.Within }),
}

// maintenanceFields are the keys of a maintenance window.
var maintenanceFields = []field[alarm.Maintenance]{
	timeField("from", "2030-01-05T02:00:00Z", "When it begins.", func(m *alarm.Maintenance) *time.Time { return &m.From }),
	timeField("to", "2030-01-05T03:00:00Z", "When it ends.", func(m *alarm.Maintenance) *time.Time { return &m.To }),
	durationField("every", "once", "24h", "How often it comes again; fixed intervals, which do not follow daylight saving.",
		func(m *alarm.Maintenance) *time.Duration { return &m.Every }),
	timeField("until", "2031-01-01T00:00:00Z", "When it comes no more.", func(m *alarm.Maintenance) *time.Time { return &m.Until }),
	wordsField("match", "{hostname: db01}", "Only alarms with a series that has these dimensions.",
		func(m *alarm.Maintenance) *map[string]string { return &m.Match }),
	textField("reason", "backup", "For people.", func(m *alarm.Maintenance) *string { return &m.Reason }),
}

var timeShape = shape{map[string]any{"type": "string", "format": "date-time"}, "time"}

func timeField[T any](key, example, help string, at func(*T) *time.Time) field[T] {
	return field[T]{
		key: key, shape: timeShape, example: example, help: help,
		read: func(d *decoder, n *tree.Node, t *T) {
			s, ok := d.text(n)
			if !ok {
				return
			}
			v, err := time.Parse(time.RFC3339Nano, s)
			if err != nil {
				d.fail(n.At, "%s is no time; write one such as 2030-01-05T02:00:00Z", n.Found())
				return
			}
			*at(t) = v
		},
		write: func(t *T) any {
			if at(t).IsZero() {
				return nil
			}
			return at(t).Format(time.RFC3339Nano)
		},
	}
}

// orderShape is an action, by its name alone or with what belongs to it, or a list of them.
var orderShape = shape{anyOf(plainOrder, reference("action"), arrayOf(anyOf(plainOrder, reference("action")))), "replace, restart, action, or a list of them"}

var plainOrder = map[string]any{"enum": []string{"replace", "restart"}}

func orderField(key, spec, example, help string, at func(*alarmKeys) *[]alarm.Action) field[alarmKeys] {
	return field[alarmKeys]{
		key: key, spec: spec, shape: orderShape, example: example, help: help,
		read: func(d *decoder, n *tree.Node, k *alarmKeys) {
			d.each(n, func(item *tree.Node) {
				var a alarm.Action
				switch {
				case item.Kind == tree.Mapping:
					read(d, orderFields, item, &a)
				case item.Text == "replace":
					a.Replace = true
				case item.Text == "restart":
					a.Restart = true
				default:
					d.fail(item.At, "expected replace, restart, or one of scale, notify and act with what belongs to it; found %s", item.Found())
				}
				*at(k) = append(*at(k), a)
			})
		},
		write: func(k *alarmKeys) any {
			list := *at(k)
			if len(list) == 0 {
				return nil
			}
			out := make([]any, len(list))
			for i := range list {
				switch a := list[i]; {
				case a == (alarm.Action{Replace: true}):
					out[i] = "replace"
				case a == (alarm.Action{Restart: true}):
					out[i] = "restart"
				default:
					out[i] = write(orderFields, &a)
				}
			}
			if len(out) == 1 {
				return out[0]
			}
			return out
		},
	}
}

// orderFields are the keys of an action.
var orderFields = []field[alarm.Action]{
	textField("notify", "people", "A notification method of the project, by name.", func(a *alarm.Action) *string { return &a.Notify }),
	pairField("scale", "web +20%", "A role and a change: +2, -1, +20%, -10% or =5. Without a role, that of the alarm's series.",
		func(a *alarm.Action, role, change string) { a.Scale = &alarm.Scale{Role: role, By: change} },
		func(a *alarm.Action) (string, string, bool) {
			if a.Scale == nil {
				return "", "", false
			}
			return a.Scale.Role, a.Scale.By, true
		}),
	boolField("replace", "Replace the instance that the alarm is about.", func(a *alarm.Action) *bool { return &a.Replace }),
	boolField("restart", "Restart that instance.", func(a *alarm.Action) *bool { return &a.Restart }),
	pairField("act", "web reboot", "A role and an action of `troupe act`. Without a role, that of the alarm's series.",
		func(a *alarm.Action, role, action string) { a.Act = &alarm.RoleAct{Role: role, Action: action} },
		func(a *alarm.Action) (string, string, bool) {
			if a.Act == nil {
				return "", "", false
			}
			return a.Act.Role, a.Act.Action, true
		}),
	durationField("cooldown", "the alarm's", "1m", "How long it is not repeated. Watching goes on.", func(a *alarm.Action) *time.Duration { return &a.Cooldown }),
	durationField("every", "once", "5m", "It is repeated while the state lasts.", func(a *alarm.Action) *time.Duration { return &a.Every }),
}

// pairField is text of one word or two, the first of which is a role.
func pairField(key, example, help string, set func(a *alarm.Action, role, what string), get func(*alarm.Action) (role, what string, ok bool)) field[alarm.Action] {
	return field[alarm.Action]{
		key: key, shape: textShape, example: example, help: help,
		read: func(d *decoder, n *tree.Node, a *alarm.Action) {
			s, ok := d.text(n)
			if !ok {
				return
			}
			switch words := strings.Fields(s); len(words) {
			case 1:
				set(a, "", words[0])
			case 2:
				set(a, words[0], words[1])
			default:
				d.fail(n.At, "expected a role and what to do, as in %q; found %s", example, n.Found())
			}
		},
		write: func(a *alarm.Action) any {
			role, what, ok := get(a)
			if !ok {
				return nil
			}
			return strings.TrimSpace(role + " " + what)
		},
	}
}

// ParseAlarms reads a document with alarms under the one key "alarms", as a service has them. The error, if any, is
// of type Errors.
func ParseAlarms(name string, data []byte) ([]alarm.Definition, error) {
	d := newDecoder(Options{})
	root, ok := d.load(name, data, &level{})
	if !ok {
		return nil, d.errs.Sorted()
	}
	var all []alarm.Definition
	d.mark("", root)
	read(d, []field[[]alarm.Definition]{{key: "alarms", read: func(d *decoder, n *tree.Node, all *[]alarm.Definition) {
		readAlarms(d, n, func(x alarm.Definition) { *all = append(*all, x) })
	}}}, root, &all)
	if root.Get("alarms") == nil && len(d.errs) == 0 {
		d.fail(root.At, `alarms stand by name under the key "alarms"`)
	}
	d.report(service.ValidateAlarms(all))
	if err := d.errs.Sorted(); err != nil {
		return nil, err
	}
	return all, nil
}
