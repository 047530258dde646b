package native

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// serviceFields are the keys of a service.
var serviceFields = []field[service.Spec]{
	textField("name", "shop", "The service's name, up to 128 characters. With the project it identifies the service.",
		func(s *service.Spec) *string { return &s.Name }),
	textField("description", "Our shop, in three tiers", "For people.",
		func(s *service.Spec) *string { return &s.Description }),
	includeField[service.Spec](),
	choiceField("strategy", "straight makes the roles that others need first and removes them last; none makes and removes all at once.",
		func(s *service.Spec) *service.Strategy { return &s.Strategy }, service.Straight, service.NoOrder),
	choiceField("on_failure", "What a first deployment that failed leaves: keep leaves it for inspection, rollback removes it, and instances must have stayed up for update.settle before the deployment counts; abort is rollback as soon as one instance has failed, without a second try.",
		func(s *service.Spec) *service.OnFailure { return &s.OnFailure }, service.Keep, service.Rollback, service.Abort),
	choiceField("managed", "For how long a service made from this is looked after: always, until it is detached; build leaves it alone when its first deployment has come to its end.",
		func(s *service.Spec) *service.Care { return &s.Managed }, service.UntilDetached, service.UntilBuilt),
	intField("at_a_time", "no bound", "1", "How many instances are being made or removed at a time.",
		func(s *service.Spec) *int { return &s.AtATime }),
	boolField("hold", "The machines of every role are made but wait for release.",
		func(s *service.Spec) *bool { return &s.Hold }),
	boolField("auto_delete", "The service is removed when its last instance is gone.",
		func(s *service.Spec) *bool { return &s.AutoDelete }),
	boolField("strict", "Commands are accepted in settled states only, and one scaling at a time, as OneFlow does; otherwise a new wish replaces the old one.",
		func(s *service.Spec) *bool { return &s.Strict }),
	textField("name_pattern", "$ROLE_NAME-$VM_NUMBER", "How instances are named: text with $SERVICE_ID, $SERVICE_NAME, $ROLE_NAME and $VM_NUMBER.",
		func(s *service.Spec) *string { return &s.NamePattern }),
	wordsField("inputs", "{VERSION: \"1.10\"}", "Values that templates see as inputs.NAME.",
		func(s *service.Spec) *map[string]string { return &s.Inputs }),
	variablesField("Values of any kind that templates see as variables.NAME.",
		func(s *service.Spec) *service.Values { return &s.Variables }),
	namesField("secrets", "", "[PASSWORD]", "Inputs that are never shown.",
		func(s *service.Spec) *[]string { return &s.Secrets }),
	wordsField("labels", "{team: web}", "Words to find the service by.",
		func(s *service.Spec) *map[string]string { return &s.Labels }),
	updateField("How roles roll over to a changed description, where they do not say so themselves.",
		func(s *service.Spec) *service.UpdatePolicy { return &s.Update }),
	durationField("retain", "the server's setting", "7d", "How long a finished service is kept for inspection.",
		func(s *service.Spec) *time.Duration { return &s.Retain }),
	resourcesField(),
	alarmsField(),
	{
		key: "roles", shape: mapShape("role"), example: "{web: {run: ./web}}",
		help: "The roles by name: letters, digits, _ and -, up to 63 characters.",
		read: readRoles,
		write: func(s *service.Spec) any {
			roles := make(yaml.MapSlice, len(s.Roles))
			for i := range s.Roles {
				roles[i] = yaml.MapItem{Key: s.Roles[i].Name, Value: write(roleFields, &s.Roles[i])}
			}
			return roles
		},
	},
}

func readRoles(d *decoder, n *tree.Node, s *service.Spec) {
	if n.Kind != tree.Mapping {
		d.fail(n.At, "expected roles by name, found %s", n.Kind)
		return
	}
	s.Roles = make([]service.RoleSpec, 0, len(n.Entries))
	for i, e := range n.Entries {
		role := newRole(e.Key)
		key := &tree.Node{At: e.At}
		d.in(e.Key, fmt.Sprintf("[%d]", i), key, func() {
			d.mark(d.spec+".name", key)
			read(d, roleFields, e.Value, &role)
		})
		s.Roles = append(s.Roles, role)
	}
	if len(s.Roles) == 0 {
		d.fail(n.At, "a service needs roles")
	}
}

// roleFields are the keys of a role: its own, and those that it shares with a machine.
var roleFields = append([]field[service.RoleSpec]{
	includeField[service.RoleSpec](),
	{
		key: "count", spec: "cardinality min max", shape: numberOfShape, def: "1", example: "2..10",
		help:  "How many instances: a number; a range such as 2..10 or 2.., which starts at its lower end; or {min, max, initial}.",
		read:  readCount,
		write: writeCount,
	},
	needsField(),
	textField("address", "port", "The resource among those that the role needs whose address its machine bears, where the back end grants wishes. Such a role has a max of 1.",
		func(r *service.RoleSpec) *string { return &r.Address }),
	{
		key: "machine", shape: machineShape, example: "small",
		help: "What one instance is: the name of a machine definition, or a definition written here.",
		read: readMachine,
		write: func(r *service.RoleSpec) any {
			if runs(&r.Machine) {
				return nil
			}
			return write(machineFields, &r.Machine)
		},
	},
}, append(lifted(), []field[service.RoleSpec]{
	freeField("filter", "{zone: eu}", "Only implementations of the machine with these labels are taken.",
		func(r *service.RoleSpec) *map[string]any { return &r.Filter }),
	choiceField("identity", "Whether a replacement is a new instance, or keeps number, address and data (stable: for databases).",
		func(r *service.RoleSpec) *service.Identity { return &r.Identity }, service.New, service.Stable),
	choiceField("heal", "auto replaces an instance that failed; manual marks the service WARNING and waits for recover.",
		func(r *service.RoleSpec) *service.Heal { return &r.Heal }, service.HealAuto, service.HealManual),
	choiceField("on_gone", "What a machine that was removed behind Troupe's back means: replace it, or forget it and have one instance less.",
		func(r *service.RoleSpec) *service.OnGone { return &r.OnGone }, service.Replace, service.Forget),
	choiceField("restart", "Which exits are failures: always any; on-failure all but exit 0, which means finished; never none: exit 0 means finished, any other leaves the instance failed.",
		func(r *service.RoleSpec) *service.Restart { return &r.Restart }, service.Always, service.OnFailureExit, service.Never),
	intField("restarts", "no limit", "5", "How often an instance may fail in a row before it rests.",
		func(r *service.RoleSpec) *int { return &r.Restarts }),
	named("stable", durationField("stable_after", "10m", "5m", "How long an instance must run before its failures are forgotten.",
		func(r *service.RoleSpec) *time.Duration { return &r.Stable })),
	boolField("ready_gate", "An instance is up only when it has reported READY=YES, too.",
		func(r *service.RoleSpec) *bool { return &r.ReadyGate }),
	boolField("hold", "The role's machines are made but wait for release.",
		func(r *service.RoleSpec) *bool { return &r.Hold }),
	choiceField("scale_in", "Which instances go first when there are too many, after the bad ones: the oldest or the youngest. Of stable ones those with the highest numbers go.",
		func(r *service.RoleSpec) *service.ScaleIn { return &r.ScaleIn }, service.Oldest, service.Youngest),
	boolField("hard_shutdown", "Instances are removed at once, without the graceful part.",
		func(r *service.RoleSpec) *bool { return &r.HardShutdown }),
	durationField("cooldown", "none", "30s", "How long the role is left alone after it was scaled.",
		func(r *service.RoleSpec) *time.Duration { return &r.Cooldown }),
	durationField("start_timeout", "5m", "2m", "How long an instance may take from being asked for to being up.",
		func(r *service.RoleSpec) *time.Duration { return &r.StartTimeout }),
	durationField("stop_timeout", "5m", "1m", "How long the removal of an instance may take.",
		func(r *service.RoleSpec) *time.Duration { return &r.StopTimeout }),
	durationField("action_period", "at once", "60s", "Actions on the role go from batch to batch with this pause.",
		func(r *service.RoleSpec) *time.Duration { return &r.ActionPeriod }),
	intField("action_number", "all", "2", "How many instances a batch of an action has.",
		func(r *service.RoleSpec) *int { return &r.ActionNumber }),
	policiesField(),
	updateField("How the role rolls over to a changed description.",
		func(r *service.RoleSpec) *service.UpdatePolicy { return &r.Update }),
	wordsField("inputs", "{DEBUG: \"1\"}", "Inputs of this role, over those of the service.",
		func(r *service.RoleSpec) *map[string]string { return &r.Inputs }),
	variablesField("Variables of this role, laid over those of the service and of the machine, nested mappings too.",
		func(r *service.RoleSpec) *service.Values { return &r.Variables }),
}...)...)

// named gives a field another name in the specification.
func named[T any](spec string, f field[T]) field[T] {
	f.spec = spec
	return f
}

func updateField[T any](help string, at func(*T) *service.UpdatePolicy) field[T] {
	return field[T]{
		key: "update", shape: ref("update"), example: "{batch: 2, surge: 1, rollback: true}", help: help,
		read: func(d *decoder, n *tree.Node, t *T) { read(d, updateFields, n, at(t)) },
		write: func(t *T) any {
			if out := write(updateFields, at(t)); len(out) > 0 {
				return out
			}
			return nil
		},
	}
}

// updateFields are the keys of an update policy.
var updateFields = []field[service.UpdatePolicy]{
	intField("batch", "1", "2", "How many instances are replaced at a time.",
		func(u *service.UpdatePolicy) *int { return &u.Batch }),
	{
		key: "surge", shape: countShape, def: "1", example: "0",
		help: "How many instances beyond the count may exist meanwhile; stable identities never have any.",
		read: func(d *decoder, n *tree.Node, u *service.UpdatePolicy) {
			if i, ok := d.integer(n); ok {
				u.Surge = &i
			}
		},
		write: func(u *service.UpdatePolicy) any {
			if u.Surge == nil {
				return nil
			}
			return *u.Surge
		},
	},
	{
		key: "settle", shape: durationShape, def: "1s, and none for roles with a check or a ready gate", example: "5s",
		help: "How long a replacement must stay up before the update goes on.",
		read: func(d *decoder, n *tree.Node, u *service.UpdatePolicy) {
			s, ok := d.text(n)
			if !ok {
				return
			}
			v, err := parseDuration(s)
			if err != nil {
				d.fail(n.At, "%v", err)
				return
			}
			u.Settle = &v
		},
		write: func(u *service.UpdatePolicy) any {
			if u.Settle == nil {
				return nil
			}
			if *u.Settle == 0 {
				return "0s"
			}
			return formatDuration(*u.Settle)
		},
	},
	boolField("rollback", "Go back to the revision before when an instance of the new one, or a role that is new, fails. What the update had not touched stays.",
		func(u *service.UpdatePolicy) *bool { return &u.Rollback }),
	choiceField("existing", "What becomes of instances that exist: replace them, or keep them as they are, so that only new ones follow the new description.",
		func(u *service.UpdatePolicy) *service.Existing { return &u.Existing }, service.ReplaceExisting, service.KeepExisting),
}

// A bounds is a count written as a map.
type bounds struct{ min, max, initial *int }

// countFields are the keys of a count.
var countFields = []field[bounds]{
	boundField("min", "0", "2", "The least that scaling may go to.", func(b *bounds) **int { return &b.min }),
	boundField("max", "no limit", "10", "The most that scaling may go to.", func(b *bounds) **int { return &b.max }),
	boundField("initial", "min, or 1", "3", "How many there are at first.", func(b *bounds) **int { return &b.initial }),
}

func boundField(key, def, example, help string, at func(*bounds) **int) field[bounds] {
	return field[bounds]{
		key: key, shape: countShape, def: def, example: example, help: help,
		read: func(d *decoder, n *tree.Node, b *bounds) {
			if i, ok := d.integer(n); ok {
				*at(b) = &i
			}
		},
		write: func(b *bounds) any {
			if p := *at(b); p != nil {
				return *p
			}
			return nil
		},
	}
}

var countRange = regexp.MustCompile(`^\s*(\d{1,9})\s*\.\.\s*(\d{1,9})?\s*$`)

func readCount(d *decoder, n *tree.Node, r *service.RoleSpec) {
	var b bounds
	switch n.Kind {
	case tree.Integer:
		if i, ok := d.integer(n); ok {
			b.initial = &i
		}
	case tree.Mapping:
		before := len(d.errs)
		read(d, countFields, n, &b)
		if len(d.errs) > before {
			return
		}
	default:
		// "2." followed by ".10" is no number to YAML, but 2..10 without its end may look like one.
		parts := countRange.FindStringSubmatch(n.Text)
		if parts == nil || n.Kind > tree.Text {
			d.fail(n.At, "expected a number, a range such as 2..10, or {min, max, initial}; found %s", n.Found())
			return
		}
		low, _ := strconv.Atoi(parts[1])
		b.min = &low
		if parts[2] != "" {
			high, _ := strconv.Atoi(parts[2])
			b.max = &high
		}
	}
	r.Min, r.Max = b.min, b.max
	switch {
	case b.initial != nil:
		r.Cardinality = *b.initial
	case b.min != nil:
		r.Cardinality = *b.min
	}
}

func writeCount(r *service.RoleSpec) any {
	switch {
	case r.Min == nil && r.Max == nil:
		return r.Cardinality
	case r.Min != nil && *r.Min == r.Cardinality && r.Max == nil:
		return strconv.Itoa(*r.Min) + ".."
	case r.Min != nil && *r.Min == r.Cardinality:
		return fmt.Sprintf("%d..%d", *r.Min, *r.Max)
	}
	return write(countFields, &bounds{r.Min, r.Max, &r.Cardinality})
}

func readMachine(d *decoder, n *tree.Node, r *service.RoleSpec) {
	if n.Kind == tree.Mapping {
		read(d, machineFields, n, &r.Machine)
		return
	}
	name, ok := d.text(n)
	switch {
	case !ok:
	case strings.TrimSpace(name) == "":
		d.fail(n.At, "the machine definition has no name")
	case d.opts.Machine == nil:
		d.fail(n.At, "there are no named machine definitions here: write the definition in its place")
	default:
		m, err := d.opts.Machine(name)
		if err != nil {
			d.fail(n.At, "%v", err)
			return
		}
		r.Machine = clone(m)
	}
}
