package service

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"pgregory.net/rapid"
)

// TestMain lets the properties try more histories than usual, unless the command line says how many.
func TestMain(m *testing.M) {
	flag.Parse()
	given := testing.Short()
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", "1000"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func intp(n int) *int { return &n }

// drawSpec makes a random service of up to four roles.
func drawSpec(t *rapid.T) *Spec {
	s := &Spec{Name: "x", Strategy: rapid.SampledFrom([]Strategy{Straight, Straight, NoOrder}).Draw(t, "strategy")}
	if rapid.IntRange(0, 5).Draw(t, "onfailure") == 0 {
		s.OnFailure = rapid.SampledFrom([]OnFailure{Rollback, Abort}).Draw(t, "how")
	}
	s.Update.Rollback = rapid.IntRange(0, 3).Draw(t, "rollback") == 0
	s.Hold = rapid.IntRange(0, 15).Draw(t, "hold") == 0
	if rapid.IntRange(0, 9).Draw(t, "managed") == 0 {
		s.Managed = UntilBuilt
	}
	s.AutoDelete = rapid.IntRange(0, 9).Draw(t, "autodelete") == 0
	strict := rapid.IntRange(0, 2).Draw(t, "strict") == 0
	s.Strict = strict
	n := rapid.IntRange(1, 4).Draw(t, "roles")
	for k := range n {
		s.Roles = append(s.Roles, drawRole(t, k, strict))
	}
	drawResources(t, s, strict)
	drawSuppliers(t, s)
	return s
}

func drawRole(t *rapid.T, k int, strict bool) RoleSpec {
	r := RoleSpec{Name: fmt.Sprintf("r%d", k), Cardinality: rapid.IntRange(0, 4).Draw(t, "cardinality"), Heal: HealAuto, Identity: New,
		OnGone: Replace, Restart: Always, StartTimeout: 30 * time.Second, StopTimeout: 20 * time.Second}
	if strict || rapid.IntRange(0, 3).Draw(t, "manual") == 0 {
		r.Heal = HealManual
	}
	if strict {
		r.OnGone = Forget
	}
	if rapid.IntRange(0, 2).Draw(t, "stable") == 0 {
		r.Identity = Stable
	}
	if rapid.Bool().Draw(t, "bounds") {
		r.Min, r.Max = intp(rapid.IntRange(0, r.Cardinality).Draw(t, "min")), intp(r.Cardinality+rapid.IntRange(0, 3).Draw(t, "max"))
	}
	for p := range k {
		if rapid.IntRange(0, 2).Draw(t, "parent") == 0 {
			r.Parents = append(r.Parents, fmt.Sprintf("r%d", p))
		}
	}
	r.Restarts = rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "restarts")
	r.ReadyGate = rapid.IntRange(0, 5).Draw(t, "gate") == 0
	r.Hold = rapid.IntRange(0, 15).Draw(t, "rolehold") == 0
	r.HardShutdown = rapid.IntRange(0, 5).Draw(t, "hard") == 0
	r.Restart = rapid.SampledFrom([]Restart{Always, Always, OnFailureExit, Never}).Draw(t, "restart")
	r.Cooldown = time.Duration(rapid.IntRange(0, 1).Draw(t, "cooldown")) * time.Minute
	r.ScaleIn = rapid.SampledFrom([]ScaleIn{"", Youngest}).Draw(t, "scale in")
	r.Update = UpdatePolicy{Batch: rapid.IntRange(1, 3).Draw(t, "batch"), Surge: intp(rapid.IntRange(0, 2).Draw(t, "surge")), Existing: rapid.SampledFrom([]Existing{"", "", KeepExisting}).Draw(t, "existing")}
	r.Machine = Machine{Name: "a", Implementations: []Implementation{{Driver: "sim"}}}
	if rapid.IntRange(0, 5).Draw(t, "checks") == 0 {
		r.Machine.Checks = []Check{{TCP: ":80", Down: time.Duration(rapid.IntRange(0, 1).Draw(t, "down")) * time.Minute}}
	}
	if rapid.IntRange(0, 3).Draw(t, "failover") == 0 {
		r.Machine.Implementations = append(r.Machine.Implementations, Implementation{Driver: "sim2", Labels: map[string]any{"zone": "b"}}, Implementation{Driver: "sim3", Labels: map[string]any{"zone": "b"}, Checks: []Check{{Ping: true}}})
		r.Machine.Choose = rapid.SampledFrom([]Choose{"", AtRandom, Spread}).Draw(t, "choose")
		if rapid.Bool().Draw(t, "filter") {
			r.Filter = map[string]any{"zone": "b"}
		}
	}
	return r
}

// step does one random thing to the world.
func step(t *rapid.T, w *world) {
	switch k := rapid.IntRange(0, 19).Draw(t, "step"); {
	case k < 7:
		if len(w.pending) > 0 {
			n := rapid.IntRange(0, len(w.pending)-1).Draw(t, "effect")
			e := w.pending[n]
			w.pending = append(w.pending[:n:n], w.pending[n+1:]...)
			how := rapid.SampledFrom([]string{"", "", "", "pending", "fail", "lost", "full", "dead", "invalid"}).Draw(t, "how")
			if e.Kind == DoSupply && how == "pending" && rapid.Bool().Draw(t, "running") {
				how = "mute" // it runs, and its outputs come later
			}
			w.answer(e, how)
		}
	case k < 13:
		if len(w.late) > 0 {
			n := rapid.IntRange(0, len(w.late)-1).Draw(t, "answer")
			if rapid.IntRange(0, 5).Draw(t, "twice") == 0 {
				w.late = append(w.late, w.late[n])
			}
			w.deliver(n)
		}
	case k < 15:
		misfortune(t, w)
	case k < 16:
		w.now = w.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
		w.decide()
	case k < 17:
		w.list()
	default:
		_ = w.command(drawCommand(t, w))
	}
}

// misfortune lets a machine die, disappear, go unknown, or report.
func misfortune(t *rapid.T, w *world) {
	serials := w.sortedSerials()
	if len(serials) == 0 {
		return
	}
	i := w.svc.instances.find(rapid.SampledFrom(serials).Draw(t, "victim"))
	id := w.svc.MachineID(i)
	m := w.machines[id]
	f := Fact{Kind: Seen, Serial: i.Serial, Incarnation: i.Incarnation}
	switch rapid.IntRange(0, 6).Draw(t, "misfortune") {
	case 6:
		w.strike(t)
	case 0:
		if m != nil && m.state != driver.Exited {
			m.state, m.code = driver.Exited, rapid.SampledFrom([]int{0, 1, -9}).Draw(t, "code")
			f.Machine = driver.Machine{State: driver.Exited, ExitCode: m.code}
			w.late = append(w.late, f)
		}
	case 1:
		if m != nil && !w.underway(i) {
			delete(w.machines, id)
			w.made[id] = 0
			f.Machine = driver.Machine{State: driver.Gone}
			if !i.Doubt { // or the event might arrive after a repeated creation has made it again
				w.late = append(w.late, f)
			}
		}
	case 2:
		if m != nil && m.state != driver.Exited {
			m.state = driver.Stopped
			f.Machine = driver.Machine{State: driver.Stopped}
			w.late = append(w.late, f)
		}
	case 3:
		if m != nil && m.state == driver.Running {
			f.Machine = driver.Machine{State: driver.Unknown}
			w.late = append(w.late, f)
		}
	case 4:
		w.late = append(w.late, Fact{Kind: Reported, Serial: i.Serial, Key: "READY", Value: "YES"})
	case 5:
		f.Kind, f.Reason = Checked, "refused"
		switch f.Health = rapid.SampledFrom([]Health{Healthy, Unhealthy, Ailing}).Draw(t, "health"); f.Health {
		case Healthy:
			f.Passing = 1
		case Ailing:
			f.Failing = 1
		}
		w.late = append(w.late, f)
	}
}

func drawCommand(t *rapid.T, w *world) Command {
	role := "r0"
	if len(w.svc.Roles) > 0 {
		role = w.svc.Roles[rapid.IntRange(0, len(w.svc.Roles)-1).Draw(t, "role")].Name
	}
	switch k := rapid.IntRange(0, 30).Draw(t, "command"); {
	case k > 28:
		mode := rapid.SampledFrom([]Mode{Managed, Managed, Unmanaged, OnePass}).Draw(t, "mode")
		return Command{Manage: &Manage{Mode: mode, Deadline: time.Duration(rapid.IntRange(0, 1).Draw(t, "deadline")) * time.Minute}}
	case k == 28:
		serials := rapid.SliceOfN(rapid.Uint32Range(1, 20), 1, 3).Draw(t, "remove")
		if i := w.svc.instances.find(serials[0]); i != nil {
			role = i.role.Name
		}
		return Command{Scale: &Scale{Role: role, Remove: serials}}
	case k < 7:
		return Command{Scale: &Scale{Role: role, Cardinality: rapid.IntRange(-1, 6).Draw(t, "to")}}
	case k < 8:
		w.forced = true
		return Command{Scale: &Scale{Role: role, Cardinality: rapid.IntRange(0, 9).Draw(t, "to"), Force: true}}
	case k < 13:
		return Command{Recover: &Recover{Delete: rapid.IntRange(0, 9).Draw(t, "delete") == 0}}
	case k < 17:
		return Command{Update: &Update{Spec: changedSpec(t, w.svc.Spec)}}
	case k < 18:
		return Command{PauseUpdate: &PauseUpdate{Pause: rapid.Bool().Draw(t, "pause")}}
	case k < 19:
		return Command{Release: &Release{}}
	case k < 20:
		r := drawRole(t, len(w.svc.Roles)+3, w.svc.Spec.Strict)
		r.Parents = nil
		return Command{AddRole: &r}
	case k < 21:
		return Command{RemoveRole: &RemoveRole{Role: role}}
	case k < 24:
		return Command{Act: &Act{Role: role, Action: rapid.SampledFrom(ActionNames()).Draw(t, "action"),
			Number: rapid.IntRange(0, 2).Draw(t, "number"), Period: time.Duration(rapid.IntRange(0, 20).Draw(t, "period")) * time.Second}}
	case k < 25:
		return Command{CancelAct: &CancelAct{Serial: uint32(rapid.IntRange(0, 20).Draw(t, "act"))}}
	case k < 27:
		return Command{ReplaceOne: &ReplaceOne{Serial: uint32(rapid.IntRange(0, 20).Draw(t, "replace"))}}
	default:
		return Command{Undeploy: &Undeploy{Hard: rapid.Bool().Draw(t, "hard"), Remove: true}}
	}
}

func changedSpec(t *rapid.T, s *Spec) *Spec {
	c := *s
	c.Roles = append([]RoleSpec(nil), s.Roles...)
	for n := range c.Roles {
		if rapid.Bool().Draw(t, "change") {
			c.Roles[n].Machine.Name += "'"
			c.Roles[n].Machine.Implementations = slices.Clone(c.Roles[n].Machine.Implementations)
			slices.Reverse(c.Roles[n].Machine.Implementations)
		}
		if rapid.IntRange(0, 9).Draw(t, "resize") == 0 {
			c.Roles[n].Cardinality = rapid.IntRange(c.Roles[n].MinOf(), upper(&c.Roles[n])).Draw(t, "size")
		}
	}
	if len(c.Roles) > 0 {
		changeResources(t, &c)
		changeSuppliers(t, &c)
	}
	return &c
}

func upper(r *RoleSpec) int {
	if r.MaxOf() >= 0 {
		return r.MaxOf()
	}
	return max(6, r.MinOf())
}

// TestLaws drives services through random histories of commands, answers, faults and crashes, and
// holds every decision against the laws of the core.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(drawSpec(t))
		for range rapid.IntRange(5, 120).Draw(t, "steps") {
			step(t, w)
			if rapid.IntRange(0, 24).Draw(t, "crash") == 0 {
				w.crash()
			}
			if len(w.broken) > 0 {
				t.Fatalf("%s\n%s\n%s", strings.Join(w.broken, "\n"), w.summary(), storyOf(w))
			}
		}
		settle(t, w)
	})
}

type failer interface {
	Fatalf(format string, args ...any)
}

// settle lets the faults stop: the service must come to rest, forget nothing, and go when asked.
func settle(t failer, w *world) {
	if !w.calm() {
		t.Fatalf("law 6: does not settle: %s\n%s", w.summary(), storyOf(w))
	}
	if w.svc.Mode != Managed && !w.svc.Leaving {
		if w.svc.unmanaged() && w.svc.State.Transient() {
			t.Fatalf("law 8: an unmanaged service is for ever %s: %s\n%s", w.svc.State, w.summary(), storyOf(w))
		}
		if err := w.command(Command{Manage: &Manage{}}); err != nil {
			t.Fatalf("attach: %v", err)
		}
	}
	if !w.calm() {
		t.Fatalf("law 6: does not settle: %s\n%s", w.summary(), storyOf(w))
	}
	w.truth()
	if err := w.command(Command{Undeploy: &Undeploy{Remove: true, Force: true}}); err != nil {
		t.Fatalf("undeploy: %v", err)
	}
	if !w.calm() || w.svc.State != Done || !w.removed {
		t.Fatalf("law 6: does not go: %s\n%s", w.summary(), storyOf(w))
	}
	if len(w.machines)+len(w.resources)+len(w.suppliers) > 0 {
		w.violate("law 3: %d machines, %d resources and %d services are left over", len(w.machines), len(w.resources), len(w.suppliers))
	}
	if len(w.broken) > 0 {
		t.Fatalf("%s\n%s\n%s", strings.Join(w.broken, "\n"), w.summary(), storyOf(w))
	}
}

func storyOf(w *world) string {
	var b strings.Builder
	for _, e := range w.events {
		fmt.Fprintf(&b, "%s %s %s\n", e.Time.Time().Format("15:04:05.000"), e.Role, e.Message)
	}
	return b.String()
}

func (w *world) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", w.svc.State)
	for _, r := range w.svc.Roles {
		fmt.Fprintf(&b, " %s:%s:%d", r.Name, r.State, r.Cardinality)
		for p := range phases {
			if n := r.lists[p].n; n > 0 {
				fmt.Fprintf(&b, ",%s=%d", p, n)
			}
		}
	}
	for _, x := range w.svc.Resources {
		fmt.Fprintf(&b, " %s:%s", ResourceID(7, x.Serial), x.Phase)
	}
	for _, x := range w.svc.Suppliers {
		fmt.Fprintf(&b, " %s(%d):%s:%s", x.Name, x.Serial, x.Present(), x.present())
	}
	ids := make([]string, 0, len(w.machines))
	for id := range w.machines {
		ids = append(ids, string(id))
	}
	sort.Strings(ids)
	fmt.Fprintf(&b, "\nmachines %v, %d effects and %d answers under way, now %s", ids, len(w.pending), len(w.late), w.now.Format("15:04:05.000"))
	for _, serial := range w.sortedSerials() {
		i := w.svc.instances.find(serial)
		fmt.Fprintf(&b, "\n%s %s machine %s, doubt %t, until %s, tries %d, issued %t, %s", w.svc.MachineID(i), i.Phase, i.Machine, i.Doubt, i.Until.Time().Format("15:04:05.000"), i.Tries, i.issued, i.Reason)
	}
	return b.String()
}
