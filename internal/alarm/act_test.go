package alarm

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/metric"
)

// runs writes what was decided about actions.
func runs(told []Transition) (out []string) {
	for _, x := range told {
		text := fmt.Sprintf("%d %s", x.Time-start, [...]string{"changed", "released", "repeated", "tested"}[x.Occasion])
		text += " " + x.To.String()
		if x.Hold != NotHeld {
			text += " " + string(x.Hold)
		}
		for _, r := range x.Runs {
			text += " " + string(r.Held) + "!"
		}
		out = append(out, text)
	}
	return out
}

func (b *bench) expectRuns(want ...string) {
	b.t.Helper()
	if got := runs(b.told); !slices.Equal(got, want) {
		b.t.Errorf("got %q, want %q", got, want)
	}
	b.told = nil
}

func notifying(expression string, matchBy ...string) Definition {
	def := definition(expression, matchBy...)
	def.Actions = Actions{Alarm: []Action{{Notify: "n1"}}, OK: []Action{{Notify: "n1"}}}
	return def
}

func TestDamping(t *testing.T) {
	def := notifying("last(m) > 5")
	def.Damping = Damping{2, 10 * time.Second}
	b := newBench(t, def)
	s := host("m", "a")
	for i, v := range []float64{9, 1, 9, 1, 9} {
		b.add(s, start+int64(i)*1000, v, start+int64(i)*1000)
	}
	b.run(start + 4000)
	if a := b.only(); a.Hold != Damped || !a.Owed || a.State != StateAlarm {
		t.Errorf("%+v", a)
	}
	b.run(start + 60_000)
	b.expectRuns("0 changed ALARM !", "1000 changed OK !", "2000 changed ALARM damped", "3000 changed OK damped", "4000 changed ALARM damped",
		"12000 released ALARM !")
}

func TestMaintenance(t *testing.T) {
	def := notifying("last(m) > 5")
	from := time.UnixMilli(start - 86_400_000 + 1000)
	def.Maintenance = []Maintenance{{Reason: "backup", From: from, To: from.Add(2 * time.Second), Every: 24 * time.Hour, Match: map[string]string{"host": "a"}}}
	b := newBench(t, def)
	s := host("m", "a")
	for i, v := range []float64{1, 9, 1, 9} { // at 1000 and 2000 it is maintained
		b.add(s, start+int64(i)*1000, v, start+int64(i)*1000)
	}
	b.run(start + 2500)
	if d := b.told[1].Detail; d != "maintenance: backup" {
		t.Error(d)
	}
	b.run(start + 10_000)
	b.expectRuns("0 changed OK !", "1000 changed ALARM maintenance", "2000 changed OK maintenance", "3000 changed ALARM !")
}

func TestSuppression(t *testing.T) {
	b := newBench(t, notifying("last(m) > 5"))
	s := host("m", "a")
	s.Origin = metric.Origin{Service: 7, Role: "web", Serial: 3}
	b.add(s, start, 1, start)
	b.m.Suppress(7, "web", true, start+500)
	b.add(s, start+1000, 9, start+1000)
	if b.only().Hold != Suppressed {
		t.Error("not shown")
	}
	b.m.Suppress(7, "web", false, start+2000)
	b.run(start + 3000)
	b.m.Suppress(7, "web", true, start+3500)
	b.add(s, start+4000, 1, start+4000)
	b.add(s, start+5000, 9, start+5000)
	b.m.Suppress(7, "web", false, start+6000)
	b.run(start + 10_000)
	b.expectRuns("0 changed OK !", "1000 changed ALARM suppressed", "2000 released ALARM !",
		"4000 changed OK suppressed", "5000 changed ALARM suppressed")
}

func TestActionsDisabled(t *testing.T) {
	def := notifying("last(m) > 5")
	def.ActionsEnabled = false
	b := newBench(t, def)
	b.add(host("m", "a"), start, 9, start)
	def.ActionsEnabled = true
	if err := b.m.Update(def, start+1); err != nil {
		t.Fatal(err)
	}
	b.run(start + 100_000)
	b.expectRuns("0 changed ALARM disabled")
}

// TestCooldown: of two hosts that alarm at once, one scales; the other still watches, and scales when the cooldown is over.
func TestCooldown(t *testing.T) {
	def := definition("last(m) > 5", "host")
	def.Actions.Alarm = []Action{{Scale: &Scale{Service: 1, Role: "web", By: "+20%"}, Cooldown: 5 * time.Second}, {Replace: true}}
	def.Actions.OK = []Action{{Scale: &Scale{Service: 1, Role: "web", By: "-1"}, Cooldown: 5 * time.Second}}
	b := newBench(t, def)
	x, y, z := host("m", "x"), host("m", "y"), host("m", "z")
	y.Origin = metric.Origin{Service: 1, Role: "web", Serial: 2}
	b.add(x, start, 9, start)
	b.add(y, start+1000, 9, start+1000)
	b.add(z, start+2000, 9, start+2000)
	b.add(z, start+3000, 1, start+3000)
	b.run(start + 60_000)
	b.expectRuns("0 changed ALARM ! no instance!", "1000 changed ALARM cooldown! !", "2000 changed ALARM cooldown! no instance!",
		"3000 changed OK !", "5000 released ALARM !")
}

func TestRepetition(t *testing.T) {
	def := definition("last(m) > 5")
	def.Actions.Alarm = []Action{{Notify: "n1", Every: 2 * time.Second}, {Notify: "n2"}}
	b := newBench(t, def)
	b.add(host("m", "a"), start, 9, start)
	b.run(start + 5000)
	b.add(host("m", "a"), start+5500, 1, start+5500)
	b.run(start + 60_000)
	b.expectRuns("0 changed ALARM ! !", "2000 repeated ALARM !", "4000 repeated ALARM !", "5500 changed OK")
}

// TestActionsSurvive: cooldowns, repetition and what is owed come back after a restart.
func TestActionsSurvive(t *testing.T) {
	def := definition("last(m) > 5")
	def.Actions.Alarm = []Action{{Notify: "n1", Every: 10 * time.Second}, {Scale: &Scale{Service: 1, Role: "web", By: "+1"}, Cooldown: time.Minute}}
	b := newBench(t, def)
	disk := map[string]Record{}
	s := host("m", "a")
	b.add(s, start, 9, start)
	b.add(s, start+1000, 1, start+1000)
	b.add(s, start+2000, 9, start+2000)
	b.told = nil
	save(b, disk)
	restart(t, b, disk, []sample{{s, start + 2000, start + 2000, 9}}, start+5000, start+2000)
	b.run(start + 60_000)
	b.expectRuns("12000 repeated ALARM !", "22000 repeated ALARM !", "32000 repeated ALARM !", "42000 repeated ALARM !", "52000 repeated ALARM !", "60000 released ALARM !")
}
