package native

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/policy"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

var (
	word  = rapid.StringMatching(`[A-Za-z][A-Za-z0-9_-]{0,9}`)
	prose = rapid.OneOf(
		rapid.StringMatching(`[ -~]{0,20}`), rapid.StringMatching(`[a-z \n:#'"{}\[\]|>&*!%@,-]{0,20}`), rapid.StringOf(rapid.Rune()),
		rapid.SampledFrom([]string{"", " ", "\n", "a\n", "a\n\n", "\na", " a\nb", "a \nb", "yes", "null", "~", "true", "1.10", "0640", "0x1f", "1e3", ".inf", "- a", "a: b", "#c", "<<", "=", "\t", "a\tb\n", "2001-01-01", "\r\n", "a\r\nb", "\u2028", "\u0085", "\ufeff", "%a", "@a", "`a", "---", "...", "? a", "\\n", `"`, "''", "a\n  b\n c\n", "{{ x }}\n{% set y = 1 %}\n"}),
	).Filter(func(s string) bool { return render.Check("", s) == nil }) // it stands where templates are parsed
	amount   = rapid.IntRange(0, 100)
	duration = rapid.Map(rapid.OneOf(rapid.Int64Range(0, 1e6), rapid.Just[int64](0)), func(n int64) time.Duration { return time.Duration(n) * time.Second })
	dict     = rapid.Map(rapid.MapOfN(word, prose, 0, 3), func(m map[string]string) map[string]string {
		if len(m) == 0 {
			return nil
		}
		return m
	})
	value = rapid.Deferred(func() *rapid.Generator[any] {
		return rapid.OneOf(
			rapid.Map(prose, func(s string) any { return s }), rapid.Map(rapid.Int(), func(i int) any { return i }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Just[any](nil), rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return f }),
			rapid.Map(rapid.SliceOfN(prose, 1, 3), func(s []string) any {
				out := make([]any, len(s))
				for i := range s {
					out[i] = s[i]
				}
				return out
			}),
			rapid.Map(rapid.MapOfN(word, amount, 1, 3), func(m map[string]int) any {
				out := map[string]any{}
				for k, v := range m {
					out[k] = v
				}
				return out
			}),
		)
	})
)

func optional(t *rapid.T, name string) *int {
	if rapid.Bool().Draw(t, name+"?") {
		return ptr(amount.Draw(t, name))
	}
	return nil
}

func drawMachine(t *rapid.T) service.Machine {
	m := service.Machine{
		Env: dict.Draw(t, "env"), Attributes: dict.Draw(t, "attributes"), UserData: prose.Draw(t, "user_data"),
		CPUs: float64(amount.Draw(t, "cpus")) / 4, Memory: rapid.Int64Range(0, 1<<40).Draw(t, "memory"),
	}
	if rapid.Bool().Draw(t, "named") {
		m.Name, m.ID = word.Draw(t, "machine"), amount.Draw(t, "id")
	}
	for range rapid.IntRange(1, 2).Draw(t, "implementations") {
		x := service.Implementation{Driver: rapid.SampledFrom([]string{"process", "docker"}).Draw(t, "driver"), Account: rapid.SampledFrom([]string{"", "lab"}).Draw(t, "account")}
		if options := rapid.MapOfN(rapid.OneOf(word, rapid.Just("command")), value, 0, 3).Draw(t, "options"); len(options) > 0 {
			x.Options = options
		}
		if rapid.Bool().Draw(t, "own") {
			x.Env, x.UserData = dict.Draw(t, "own env"), prose.Draw(t, "own user data")
			x.Files = []service.File{{Path: "a", Mode: uint32(rapid.IntRange(0, 0o7777).Draw(t, "own mode")), Content: prose.Draw(t, "own content")}}
			x.Checks = append(x.Checks, drawCheck(t))
		}
		if rapid.Bool().Draw(t, "labelled") {
			x.Name, x.Labels = fmt.Sprint("i", len(m.Implementations)), map[string]any{"zone": "eu", "more": value.Draw(t, "label")}
		}
		if rapid.Bool().Draw(t, "telling") {
			x.Names, x.Rendered = drawVariables(t), service.Values{"made": map[string]any{"of": "{{ service.name }}"}}
		}
		m.Implementations = append(m.Implementations, x)
	}
	m.Variables = drawVariables(t)
	m.Choose = rapid.SampledFrom([]service.Choose{"", service.AtRandom, service.Spread}).Draw(t, "choose")
	for _, path := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9]{1,4}(/[a-z0-9 #:~]{1,4})?`), 0, 2, rapid.ID).Draw(t, "files") {
		m.Files = append(m.Files, service.File{Path: path, Mode: uint32(rapid.IntRange(0, 0o7777).Draw(t, "mode")), Content: prose.Draw(t, "content")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "checks") {
		m.Checks = append(m.Checks, drawCheck(t))
	}
	return m
}

func drawVariables(t *rapid.T) service.Values {
	if !rapid.Bool().Draw(t, "variables") {
		return nil
	}
	return service.Values{word.Draw(t, "variable"): value.Draw(t, "value"), "nested": map[string]any{"v": value.Draw(t, "value")}}
}

func drawCheck(t *rapid.T) (c service.Check) {
	if rapid.Bool().Draw(t, "details") {
		c = service.Check{
			Interval: duration.Draw(t, "interval"), Timeout: duration.Draw(t, "timeout"), StartPeriod: duration.Draw(t, "start"),
			Failures: amount.Draw(t, "failures"), Successes: amount.Draw(t, "successes"), Down: duration.Draw(t, "down"),
		}
	}
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 4:
		plain := rapid.StringMatching(`[a-z0-9 "{}]{0,9}`).Filter(func(s string) bool { return render.Check("", s) == nil })
		c.MySQL = &service.MySQL{Host: plain.Draw(t, "host"), Port: rapid.SampledFrom([]string{"", "3307"}).Draw(t, "port"), Database: plain.Draw(t, "database"),
			User: plain.Draw(t, "user"), Password: plain.Draw(t, "password")}
	case 0:
		c.TCP = rapid.SampledFrom([]string{":80", "db:5432", "{{ roles.db[0].address }}:1", "[::1]:80"}).Draw(t, "tcp")
	case 1:
		c.HTTP = rapid.SampledFrom([]string{":80/x", "https://a.b/c?d=#e"}).Draw(t, "http")
		c.Status = rapid.SampledFrom([]int{0, 204}).Draw(t, "status")
		c.Method = rapid.SampledFrom([]string{"", "HEAD"}).Draw(t, "method")
	case 2:
		c.Exec = rapid.OneOf(rapid.SliceOfN(prose, 1, 3), rapid.Map(prose, shell)).Draw(t, "exec")
	case 3:
		c.Ping = true
	}
	return c
}

func drawUpdate(t *rapid.T) service.UpdatePolicy {
	u := service.UpdatePolicy{Existing: rapid.SampledFrom([]service.Existing{"", service.KeepExisting}).Draw(t, "existing"), Batch: amount.Draw(t, "batch"), Surge: optional(t, "surge"), Rollback: rapid.Bool().Draw(t, "rollback")}
	if rapid.Bool().Draw(t, "settle?") {
		u.Settle = ptr(duration.Draw(t, "settle"))
	}
	return u
}

func drawPolicies(t *rapid.T) (all []policy.Policy) {
	some := rapid.Float64Range(0.5, 1e6)
	adjustment := func() policy.Adjustment {
		return policy.Adjustment{Kind: rapid.SampledFrom([]policy.Kind{policy.Change, policy.Cardinality, policy.PercentageChange}).Draw(t, "kind"),
			Adjust: amount.Draw(t, "adjust"), MinStep: amount.Draw(t, "min step")}
	}
	way := func() (w policy.Way) {
		w = policy.Way{Off: rapid.Bool().Draw(t, "off"), Most: amount.Draw(t, "most"), Percent: amount.Draw(t, "percent"), Cooldown: duration.Draw(t, "way cooldown")}
		if rapid.Bool().Draw(t, "stabilise?") {
			w.Stabilise = ptr(duration.Draw(t, "stabilise"))
		}
		return w
	}
	for _, name := range rapid.SliceOfNDistinct(word, 0, 2, rapid.ID).Draw(t, "policies") {
		p := policy.Policy{Name: name, Up: way(), Down: way()}
		switch rapid.IntRange(0, 4).Draw(t, "policy") {
		case 0:
			p.Target = &policy.Target{Value: "avg(cpu)", Keep: some.Draw(t, "keep"), Tolerance: rapid.Float64Range(0, 0.9).Draw(t, "tolerance")}
			if rapid.Bool().Draw(t, "predict?") {
				p.Target.Predict = &policy.Predict{Days: rapid.IntRange(1, 28).Draw(t, "days"), Lead: time.Hour}
			}
		case 1:
			p.Steps = &policy.Steps{Value: "avg(cpu)", Steps: []policy.Step{{Above: ptr(some.Draw(t, "above")), Adjustment: adjustment()}, {Below: ptr(0.0), Adjustment: adjustment()}}}
		case 2:
			p.Queue = &policy.Queue{Value: "last(jobs)", PerInstance: some.Draw(t, "per"), Activate: some.Draw(t, "activate"), Idle: duration.Draw(t, "idle")}
		case 3:
			p.Timed = &policy.Timed{Recurrence: "0 2 * * *", Zone: "UTC", Adjustment: adjustment()}
			if rapid.Bool().Draw(t, "once") {
				p.Timed.Recurrence, p.Timed.Start = "", "2030-01-01 00:00"
			}
		case 4:
			p.Elastic = &policy.Elastic{Expression: "CPU > 80", Adjustment: adjustment(), Periods: policy.Periods{Length: duration.Draw(t, "period"), Number: amount.Draw(t, "times")}}
		}
		if rapid.Bool().Draw(t, "cooldown?") {
			p.Cooldown = ptr(duration.Draw(t, "policy cooldown"))
		}
		if rapid.Bool().Draw(t, "fallback?") {
			p.Fallback = &policy.Fallback{After: time.Minute, Cardinality: amount.Draw(t, "fallback")}
		}
		all = append(all, p)
	}
	return all
}

func drawActions(t *rapid.T, roles []service.RoleSpec) (list []alarm.Action) {
	for range rapid.IntRange(0, 2).Draw(t, "actions") {
		var a alarm.Action
		role := rapid.SampledFrom([]string{"", roles[0].Name}).Draw(t, "role")
		switch rapid.IntRange(0, 4).Draw(t, "action") {
		case 0:
			a.Notify = fmt.Sprint("m", len(list))
		case 1:
			a.Scale = &alarm.Scale{Role: role, By: rapid.SampledFrom([]string{"+2", "-20%", "=5"}).Draw(t, "by")}
		case 2:
			a.Act = &alarm.RoleAct{Role: role, Action: "reboot"}
		case 3:
			a.Replace = true
		case 4:
			a.Restart = true
		}
		if rapid.Bool().Draw(t, "paced") {
			a.Cooldown, a.Every = duration.Draw(t, "action cooldown"), duration.Draw(t, "every")
		}
		list = append(list, a)
	}
	return list
}

func drawAlarms(t *rapid.T, roles []service.RoleSpec) (all []alarm.Definition) {
	text := rapid.StringMatching(`[ -~]{0,20}`)
	span := rapid.Map(rapid.IntRange(0, 3), func(n int) time.Duration { return time.Duration(n) * time.Second })
	for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[!-~]([ -~]{0,20}[!-~])?`), 0, 2, rapid.ID).Draw(t, "alarms") {
		d := newAlarm(name).Definition
		d.Description, d.ActionsEnabled = text.Draw(t, "description"), rapid.Bool().Draw(t, "enabled")
		d.Expression = rapid.SampledFrom([]string{"load > 5", "avg(cpu.user_perc{a=b}, 60) >= 80 times 3 and count(x) > 1"}).Draw(t, "expression")
		d.MatchBy = rapid.SampledFrom([][]string{nil, {"instance"}, {"a", "b"}}).Draw(t, "by")
		d.Severity = rapid.SampledFrom([]string{"LOW", "CRITICAL"}).Draw(t, "severity")
		d.Actions = alarm.Actions{Alarm: drawActions(t, roles), OK: drawActions(t, roles), Undetermined: drawActions(t, roles)}
		d.Missing = rapid.SampledFrom([]alarm.Missing{alarm.MissingUndetermined, alarm.MissingAlarm}).Draw(t, "missing")
		d.Silence, d.OKAfter, d.Lifetime = span.Draw(t, "silence"), span.Draw(t, "ok after"), span.Draw(t, "lifetime")
		if rapid.Bool().Draw(t, "compat") {
			d.Profile = alarm.Compat
		} else {
			d.Lateness = span.Draw(t, "lateness")
		}
		if rapid.Bool().Draw(t, "damping?") {
			d.Damping = alarm.Damping{Transitions: rapid.IntRange(1, 100).Draw(t, "transitions"), Within: time.Minute}
		}
		for range rapid.IntRange(0, 2).Draw(t, "windows") {
			from := time.Date(2030, 1, 5, 2, 0, 0, rapid.IntRange(0, 999).Draw(t, "ns"), time.UTC)
			d.Maintenance = append(d.Maintenance, alarm.Maintenance{Reason: text.Draw(t, "reason"), From: from, To: from.Add(time.Hour), Every: 24 * time.Hour,
				Until: from.AddDate(0, 1, 0), Match: map[string]string{"host": "a"}})
		}
		all = append(all, d)
	}
	return all
}

// drawServices gives a service outputs and services that it needs.
func drawServices(t *rapid.T, s *service.Spec) {
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	if flag("outputs") {
		s.Outputs = []service.OutputSpec{{Name: "o", Value: "x" + prose.Draw(t, "value"), Description: prose.Draw(t, "output"), Sensitive: flag("sensitive")}}
	}
	if flag("services") {
		inner := newSpec()
		inner.Name, inner.Inputs, inner.Outputs = "made", map[string]string{"in": ""}, []service.OutputSpec{{Name: "url", Value: "u"}}
		role := newRole("r")
		role.Machine.Implementations = []service.Implementation{{Driver: "process"}}
		inner.Roles = []service.RoleSpec{role}
		made := service.SupplierSpec{Name: "made-1", Spec: inner, Template: uint64(amount.Draw(t, "template")), Inputs: map[string]string{"in": "{{ services.there.outputs.x }}"}, Needs: []string{"there-0", "there"},
			Heal: service.HealManual, StartTimeout: duration.Draw(t, "supplier")}
		there := service.SupplierSpec{Name: "there", Service: "x", Heal: service.HealAuto, Uses: []string{"x"}}
		also := service.SupplierSpec{Name: "there-0", Service: "y", Heal: service.HealAuto}
		s.Services = []service.SupplierSpec{there, also, made}
	}
}

func drawSpec(t *rapid.T) *service.Spec {
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	s := newSpec()
	s.Name = rapid.StringMatching(`[!-~]([ -~]{0,20}[!-~])?`).Draw(t, "name")
	s.Description, s.NamePattern = prose.Draw(t, "description"), prose.Draw(t, "pattern")
	s.Strategy = rapid.SampledFrom([]service.Strategy{service.Straight, service.NoOrder}).Draw(t, "strategy")
	s.OnFailure = rapid.SampledFrom([]service.OnFailure{service.Keep, service.Rollback, service.Abort}).Draw(t, "on failure")
	s.Managed = rapid.SampledFrom([]service.Care{"", service.UntilBuilt}).Draw(t, "managed")
	s.AtATime = rapid.IntRange(0, 3).Draw(t, "at_a_time")
	s.Strict, s.Hold, s.AutoDelete, s.Retain, s.Update = flag("strict"), flag("hold"), flag("auto"), duration.Draw(t, "retain"), drawUpdate(t)
	s.Inputs, s.Labels = dict.Draw(t, "inputs"), dict.Draw(t, "labels")
	s.Variables = drawVariables(t)
	for k := range s.Inputs {
		s.Secrets = []string{k}
	}
	names := rapid.SliceOfNDistinct(word, 1, 6, rapid.ID).Draw(t, "names")
	resources := rapid.IntRange(0, len(names)-1).Draw(t, "resources")
	for i, name := range names[:resources] {
		x := service.ResourceSpec{Name: name, Kind: "network", Driver: "sim", Heal: rapid.SampledFrom([]service.Heal{service.HealAuto, service.HealManual}).Draw(t, "heal")}
		if flag("account") {
			x.Account = word.Draw(t, "account")
		}
		if flag("options") {
			x.Options = map[string]any{"cidr": prose.Draw(t, "cidr")}
		}
		if i > 0 && flag("needs") {
			x.Needs = []string{names[i-1]}
		}
		if flag("recorded") {
			x.Driver, x.Addresses = service.Recorded, "10.0.0.0/24"
		}
		s.Resources = append(s.Resources, x)
	}
	drawServices(t, s)
	for i, name := range names[resources:] {
		r := newRole(name)
		r.Min, r.Max = optional(t, "min"), optional(t, "max")
		if r.Max != nil && *r.Max < r.MinOf() {
			r.Max = ptr(r.MinOf())
		}
		r.Cardinality = max(r.MinOf(), amount.Draw(t, "count"))
		if r.Max != nil {
			r.Cardinality = min(r.Cardinality, *r.Max)
		}
		for j := range i {
			if flag("needs") {
				r.Parents = append(r.Parents, s.Roles[j].Name)
			}
		}
		for _, x := range s.Resources {
			if flag("needs resource") {
				r.Needs = append(r.Needs, x.Name)
			}
		}
		addressed := false
		if len(r.Needs) > 0 && r.Cardinality < 2 && r.MaxOf() == 1 && !slices.ContainsFunc(s.Roles, func(o service.RoleSpec) bool { return o.Address == r.Needs[0] }) {
			r.Address, addressed = r.Needs[0], true
		}
		r.Heal = rapid.SampledFrom([]service.Heal{service.HealAuto, service.HealManual}).Draw(t, "heal")
		r.OnGone = rapid.SampledFrom([]service.OnGone{service.Replace, service.Forget}).Draw(t, "gone")
		if r.Identity = rapid.SampledFrom([]service.Identity{service.New, service.Stable}).Draw(t, "identity"); addressed {
			r.Identity = service.Stable
		}
		r.Restart = rapid.SampledFrom([]service.Restart{service.Always, service.OnFailureExit, service.Never}).Draw(t, "restart")
		r.Restarts, r.ActionNumber = amount.Draw(t, "restarts"), amount.Draw(t, "number")
		r.ScaleIn = rapid.SampledFrom([]service.ScaleIn{"", service.Youngest}).Draw(t, "scale in")
		r.Stable, r.Cooldown, r.ActionPeriod = duration.Draw(t, "stable"), duration.Draw(t, "cooldown"), duration.Draw(t, "period")
		r.StartTimeout, r.StopTimeout = duration.Draw(t, "start"), duration.Draw(t, "stop")
		r.ReadyGate, r.Hold, r.HardShutdown = flag("gate"), flag("hold"), flag("hard")
		r.Policies = slices.DeleteFunc(drawPolicies(t), func(p policy.Policy) bool { // what they set is within the count
			for _, n := range p.Sets() {
				if n < r.MinOf() || r.Max != nil && n > *r.Max {
					return true
				}
			}
			return false
		})
		if len(r.Policies) == 0 {
			r.Policies = nil
		}
		r.Update, r.Inputs, r.Variables, r.Machine = drawUpdate(t), dict.Draw(t, "inputs"), drawVariables(t), drawMachine(t)
		if first := &r.Machine.Implementations[0]; first.Labels != nil {
			r.Filter = map[string]any{"zone": first.Labels["zone"]}
		}
		s.Roles = append(s.Roles, r)
	}
	s.Alarms = drawAlarms(t, s.Roles)
	return s
}

// Parse reads back what Encode wrote, and the schema agrees with it.
func TestRoundTrip(t *testing.T) {
	schema := compile(t, Schema())
	rapid.Check(t, func(rt *rapid.T) {
		want := drawSpec(rt)
		text, err := Encode(want)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := Parse("x.yaml", text, Options{})
		if err != nil {
			rt.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("-want +got\n%s\n%s", diff, text)
		}
		if err := valid(t, schema, text); err != nil {
			rt.Fatalf("%v\n%s", err, text)
		}
	})
}

func TestMachineRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := drawMachine(rt)
		if want.Name == "" {
			want.Name = "m"
		}
		text, err := EncodeMachine(&want)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := ParseMachine("x.yaml", text, Options{})
		if err != nil {
			rt.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			rt.Fatalf("-want +got\n%s\n%s", diff, text)
		}
	})
}

// Every field of the specification can be said, or the generator above would not reach it: a spec
// drawn often enough has each field set at least once.
func TestGeneratorReachesEveryField(t *testing.T) {
	set := map[string]bool{}
	rapid.Check(t, func(rt *rapid.T) { visit(reflect.ValueOf(*drawSpec(rt)), "", set) })
	for name, reached := range set {
		// The last three come with the service.
		if strings.HasPrefix(name, ".Services[].Spec.") {
			continue
		}
		if !reached && !slices.Contains([]string{".Document", ".Alarms[].ID", ".Alarms[].Tenant", ".Roles[].Earlier"}, name) {
			t.Errorf("%s is never set", name)
		}
	}
}

func visit(v reflect.Value, path string, set map[string]bool) {
	if path != "" {
		set[path] = set[path] || !v.IsZero()
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			visit(v.Field(i), path+"."+v.Type().Field(i).Name, set)
		}
	case reflect.Slice:
		for i := range v.Len() {
			if v.Type().Elem().Kind() == reflect.Struct {
				visit(v.Index(i), path+"[]", set)
			}
		}
	}
}

// Whatever comes in, Parse returns, its errors have places, and what it accepts survives Encode.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.txtar"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if a := txtar.Parse(data); len(a.Files) > 0 {
				data = a.Files[0].Data
			}
			f.Add(string(data))
		}
	}
	open := func(path string) ([]byte, error) { return []byte("labels: {a: b}\n"), nil }
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("x.yaml", []byte(text), options(open))
		if err != nil {
			return
		}
		out, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("y.yaml", out, Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Fatalf("%s\n%s", diff, out)
		}
	})
}
