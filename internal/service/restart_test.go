package service

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"pgregory.net/rapid"
)

// A happening is one line of a history that does not name machines or instants, so that the same
// history can be told to a service that restarts and to one that does not.
type happening struct {
	command *Command
	kill    string // a role, one of whose machines ends …
	nth     int    // … the one with this place among its settled ones
	gone    bool   // it disappears instead
	refuse  string // a role whose creations are refused from now on; "-" ends all refusals
}

// circumstances are what must not matter for a history's outcome.
type circumstances struct {
	crashes []int // ticks of the history
	room    uint8 // blocks a transaction; 0 for the usual
	batch   int   // facts observed before a decision; 0 for one
}

// play tells a new service a history. Everything that a happening leads to comes to its end before
// the next. It returns the outcome and how many ticks it took.
func play(t failer, spec *Spec, history []happening, c circumstances) (string, int) {
	w := newWorld(spec)
	w.room, w.batch, w.crashes = c.room, c.batch, c.crashes
	verdicts := make([]string, 0, len(history))
	for _, h := range append([]happening{{}}, history...) {
		verdicts = append(verdicts, w.happen(h))
		if !w.calm() {
			law := 6
			if c.crashes != nil || c.room > 0 || c.batch > 0 {
				law = 7 // without them it does settle
			}
			t.Fatalf("law %d: does not settle with %+v: %s\n%s", law, c, w.summary(), storyOf(w))
		}
		w.truth()
		if len(w.broken) > 0 {
			t.Fatalf("%s\n%s\n%s", strings.Join(w.broken, "\n"), w.summary(), storyOf(w))
		}
		if u := w.svc.Rollout; u != nil && u.Paused {
			return "a paused update", w.ticks // how far it came depends on which answer came first
		}
	}
	return w.outcome(verdicts), w.ticks
}

func (w *world) happen(h happening) string {
	switch {
	case h.command != nil:
		if err := w.command(*h.command); err != nil {
			return err.Error()
		}
	case h.refuse == "-":
		w.refuse = nil
	case h.refuse != "":
		if w.refuse == nil {
			w.refuse = map[string]bool{}
		}
		w.refuse[h.refuse] = true
	case h.kill != "":
		w.kill(h)
	}
	return ""
}

// kill ends the machine of an instance that is chosen by its place, not by its ids.
func (w *world) kill(h happening) {
	r := w.svc.Role(h.kill)
	if r == nil {
		return
	}
	var up []*Instance
	for i := range r.Instances {
		if m := w.machines[w.svc.MachineID(i)]; i.Phase == Up && m != nil {
			up = append(up, i)
		}
	}
	if len(up) == 0 {
		return
	}
	slices.SortFunc(up, func(a, b *Instance) int { return int(a.Number) - int(b.Number) })
	i := up[h.nth%len(up)]
	id := w.svc.MachineID(i)
	f := Fact{Kind: Seen, Serial: i.Serial, Incarnation: i.Incarnation, Machine: driver.Machine{State: driver.Gone}}
	if h.gone {
		delete(w.machines, id)
	} else {
		w.machines[id].state, w.machines[id].code = driver.Exited, 1
		f.Machine = driver.Machine{State: driver.Exited, ExitCode: 1}
	}
	w.late = append(w.late, f)
}

// outcome is what a history ends with, without times and ids.
func (w *world) outcome(verdicts []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "verdicts %q\nservice %s, revision %d, removed %t\n", verdicts, w.svc.State, w.svc.Revision, w.removed)
	for _, x := range w.svc.Resources {
		fmt.Fprintf(&b, "resource %s %s failures %d\n", x.Name, x.Phase, x.Failures)
	}
	fmt.Fprintf(&b, "outputs %v\n", w.svc.Outputs)
	for _, x := range w.svc.Suppliers {
		fmt.Fprintf(&b, "service %s %s failures %d\n", x.Name, x.Present(), x.Failures)
	}
	for _, r := range w.svc.Roles {
		fmt.Fprintf(&b, "role %s %s wants %d:", r.Name, r.State, r.Cardinality)
		for p := range phases {
			if n := r.lists[p].n; n > 0 {
				fmt.Fprintf(&b, " %d %s", n, p)
			}
		}
		var numbers, failures []int
		for i := range r.Instances {
			numbers, failures = append(numbers, int(i.Number)), append(failures, int(i.Failures))
		}
		slices.Sort(failures)
		if r.Spec.Identity == Stable {
			slices.Sort(numbers)
			fmt.Fprintf(&b, " numbers %v", numbers)
		}
		fmt.Fprintf(&b, " failures %v machines %d\n", failures, w.trulyLive(r))
	}
	return b.String()
}

// drawHistory draws happenings for a service of spec.
func drawHistory(t *rapid.T, spec *Spec) []happening {
	role := func() string { return spec.Roles[rapid.IntRange(0, len(spec.Roles)-1).Draw(t, "role")].Name }
	var history []happening
	for n := range rapid.IntRange(1, 6).Draw(t, "happenings") {
		var h happening
		switch k := rapid.IntRange(0, 18).Draw(t, "happening"); {
		case k > 15:
			h.command = &Command{ID: fmt.Sprint(n), Manage: &Manage{Mode: rapid.SampledFrom([]Mode{Managed, Unmanaged, OnePass}).Draw(t, "mode")}}
		case k < 5:
			h.kill, h.nth, h.gone = role(), rapid.IntRange(0, 3).Draw(t, "nth"), rapid.Bool().Draw(t, "gone")
		case k < 7:
			h.refuse = role()
		case k < 8:
			h.refuse = "-"
		case k < 11:
			h.command = &Command{ID: fmt.Sprint(n), Scale: &Scale{Role: role(), Cardinality: rapid.IntRange(0, 6).Draw(t, "to")}}
		case k < 13:
			next := changedSpec(t, spec)
			h.command = &Command{ID: fmt.Sprint(n), Update: &Update{Spec: next}}
			spec = next
		case k < 15:
			h.command = &Command{ID: fmt.Sprint(n), Recover: &Recover{}}
		default:
			h.command = &Command{ID: fmt.Sprint(n), Undeploy: &Undeploy{Remove: true}}
		}
		history = append(history, h)
	}
	return history
}

// TestRestartsAndBatches is law 7: crashes and the sizes of batches do not change how a history ends.
func TestRestartsAndBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		for n := range spec.Roles {
			spec.Roles[n].Restarts = 2 // back ends that refuse for ever must not keep a history from its end
		}
		history := drawHistory(t, spec)
		want, ticks := play(t, spec, history, circumstances{})
		for _, c := range []circumstances{
			{crashes: []int{rapid.IntRange(0, ticks).Draw(t, "crash")}},
			{crashes: []int{rapid.IntRange(0, ticks).Draw(t, "crash"), rapid.IntRange(0, ticks).Draw(t, "crash")}},
			{room: 1},
			{batch: rapid.IntRange(2, 20).Draw(t, "batch")},
		} {
			if got, _ := play(t, spec, history, c); got != want {
				t.Fatalf("law 7: with %+v the history %s ends with\n%swithout it with\n%s", c, historyText(history), got, want)
			}
		}
	})
}

func historyText(history []happening) string {
	var b strings.Builder
	for _, h := range history {
		switch {
		case h.command == nil:
			fmt.Fprintf(&b, "[kill %q %d %t, refuse %q] ", h.kill, h.nth, h.gone, h.refuse)
		case h.command.Scale != nil:
			fmt.Fprintf(&b, "[scale %s %d] ", h.command.Scale.Role, h.command.Scale.Cardinality)
		case h.command.Update != nil:
			b.WriteString("[update] ")
		case h.command.Recover != nil:
			b.WriteString("[recover] ")
		case h.command.Manage != nil:
			fmt.Fprintf(&b, "[%s] ", h.command.Manage.Mode)
		default:
			b.WriteString("[undeploy] ")
		}
	}
	return b.String()
}

// TestNothingLastsForEver is the second half of law 6: when nothing answers any more, every state that
// should pass does pass, into one with a reason; and when the world speaks again, the service settles.
func TestNothingLastsForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(drawSpec(t))
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			step(t, w)
		}
		w.silence(30 * time.Minute)
		if len(w.broken) > 0 {
			t.Fatalf("%s\n%s\n%s", strings.Join(w.broken, "\n"), w.summary(), storyOf(w))
		}
		settle(t, w)
	})
}

// silence lets time pass without any answer.
func (w *world) silence(d time.Duration) {
	end := w.now.Add(d)
	for range 10_000 {
		w.decide()
		if w.wakeAt.IsZero() || w.wakeAt.After(end) {
			break
		}
		if w.wakeAt.After(w.now) {
			w.now = w.wakeAt
		}
	}
	w.now = end
	w.decide()
	s := w.svc
	if p := s.Pass; s.Mode == OnePass && !s.Leaving && p.Until > 0 && p.Until < TimeOf(w.now) {
		w.violate("law 8: a pass goes on after its deadline at %v", p.Until.Time())
	}
	waits := slices.ContainsFunc(s.Roles, func(r *Role) bool { return r.State == Hold })
	if s.State.Transient() && !waits {
		w.violate("law 6: the service is %s for ever", s.State)
	}
	for _, r := range s.Roles {
		if r.State.Transient() && !waits && !s.State.Failed() && s.State != Warning {
			w.violate("law 6: role %s is %s for ever", r.Name, r.State)
		}
	}
	if (s.State.Failed() || s.State == Warning) && s.Reason == "" {
		w.violate("law 6: the service is %s without a reason", s.State)
	}
}
