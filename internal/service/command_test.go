package service

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// TestRefusals: what is refused is refused with a kind and words, and changes nothing.
func TestRefusals(t *testing.T) {
	bounded := func() *Spec {
		s := roleOf(3)
		s.Roles[0].Min, s.Roles[0].Max = intp(1), intp(5)
		s.Roles = append(s.Roles, s.Roles[0])
		s.Roles[1].Name, s.Roles[1].Parents = "web", []string{"app"}
		return s
	}
	strict := func() *Spec {
		s := bounded()
		s.Strict = true
		return s
	}
	second := time.Second
	leave := func(s *Service) { _ = s.Observe(Fact{Kind: Ordered, Command: &Command{Undeploy: &Undeploy{}}}, epoch) }
	leaveAll := func(s *Service) { leave(s); drive(s) }
	tests := []struct {
		name   string
		spec   func() *Spec
		before func(*Service)
		c      Command
		kind   RefusalKind
		text   string
	}{
		{"empty", bounded, nil, Command{}, BadValue, "the command is empty"},
		{"scale unknown role", bounded, nil, Command{Scale: &Scale{Role: "wep", Cardinality: 1}}, NoSuch, `Role 'wep' not found; did you mean "web"?`},
		{"scale below", bounded, nil, Command{Scale: &Scale{Role: "app", Cardinality: 0}}, OutOfRange, "Minimum cardinality is 1"},
		{"scale above", bounded, nil, Command{Scale: &Scale{Role: "app", Cardinality: 6}}, OutOfRange, "Maximum cardinality is 5"},
		{"scale negative", bounded, nil, Command{Scale: &Scale{Role: "app", Cardinality: -1, Force: true}}, BadValue, "cardinality -1 is negative"},
		{"scale absurd", bounded, nil, Command{Scale: &Scale{Role: "app", Cardinality: MaxCardinality + 1, Force: true}}, BadValue, "cardinality 1000001 is too much; 1000000 is the most"},
		{"scale leaving", bounded, leave, Command{Scale: &Scale{Role: "app", Cardinality: 2}}, WrongState, "service bench is being removed; its roles cannot be scaled"},
		{"scale strict done", strict, leaveAll, Command{Scale: &Scale{Role: "app", Cardinality: 2}}, WrongState, "Service cannot be scaled in state: DONE"},
		{"scale strict same", strict, nil, Command{Scale: &Scale{Role: "app", Cardinality: 3, Cooldown: &second}}, BadValue, "Cardinality of app is already at 3"},
		{"recover running", bounded, nil, Command{Recover: &Recover{}}, WrongState, "Service cannot be recovered in state: RUNNING"},
		{"recover done", bounded, leaveAll, Command{Recover: &Recover{}}, WrongState, "Service cannot be recovered in state: DONE"},
		{"undeploy strict done", strict, leaveAll, Command{Undeploy: &Undeploy{}}, WrongState, "Service cannot be undeployed in state: DONE"},
		{"update leaving", bounded, leave, Command{Update: &Update{Spec: bounded()}}, WrongState, "Service cannot be updated in state: UNDEPLOYING"},
		{"update stale", bounded, nil, Command{Update: &Update{Spec: bounded(), Revision: 9}}, Stale, "the service is at revision 1, not 9; read it again and repeat the change"},
		{"pause without update", bounded, nil, Command{PauseUpdate: &PauseUpdate{Pause: true}}, WrongState, "no update is under way"},
		{"add role twice", bounded, nil, Command{AddRole: &bounded().Roles[0]}, BadValue, "Role name 'app' is repeated"},
		{"add role leaving", bounded, leave, Command{AddRole: &RoleSpec{Name: "new"}}, WrongState, "Service cannot be modified in state: UNDEPLOYING"},
		{"remove unknown role", bounded, nil, Command{RemoveRole: &RemoveRole{Role: "x"}}, NoSuch, "Role 'x' not found"},
		{"remove role leaving", bounded, leave, Command{RemoveRole: &RemoveRole{Role: "app"}}, WrongState, "Service cannot be modified in state: UNDEPLOYING"},
		{"release nothing", bounded, nil, Command{Release: &Release{}}, WrongState, "there is no role in HOLD to release"},
		{"release unknown role", bounded, nil, Command{Release: &Release{Role: "ap"}}, NoSuch, `Role 'ap' not found; did you mean "app"?`},
		{"act unknown action", bounded, nil, Command{Act: &Act{Action: "rebooot"}}, BadValue, `Action rebooot not supported; did you mean "reboot"?`},
		{"act unknown role", bounded, nil, Command{Act: &Act{Role: "x", Action: "reboot"}}, NoSuch, "Role 'x' not found"},
		{"act done role", bounded, leaveAll, Command{Act: &Act{Role: "app", Action: "reboot"}}, WrongState, "role app is in state DONE"},
		{"act negative", bounded, nil, Command{Act: &Act{Action: "reboot", Number: -1}}, BadValue, "period and number of a batched action cannot be negative"},
		{"act for ever", bounded, nil, Command{Act: &Act{Action: "reboot", Period: 1 << 62, Number: 1}}, BadValue, "the last instance of role app would have its turn after more than a year; choose a shorter period or a greater number"},
		{"act on nobody", bounded, nil, Command{Act: &Act{Action: "reboot", Serial: 99}}, NoSuch, "service bench has no instance 99"},
		{"act on another role's", bounded, nil, Command{Act: &Act{Role: "web", Action: "reboot", Serial: 1}}, NoSuch, "service bench has no instance 1"},
		{"cancel in unknown role", bounded, nil, Command{CancelAct: &CancelAct{Role: "x", Serial: 1}}, NoSuch, "Role 'x' not found"},
		{"replace nobody", bounded, nil, Command{ReplaceOne: &ReplaceOne{Serial: 99}}, NoSuch, "service bench has no instance 99"},
		{"replace leaving", bounded, leave, Command{ReplaceOne: &ReplaceOne{Serial: 1}}, WrongState, "app-0 is already being removed"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			s := running(t, 1, c.spec())
			if c.before != nil {
				c.before(s)
				s.Decide(epoch)
			}
			s.Changes()
			s.Events()
			before := s.encodeHead()
			err := s.Observe(Fact{Kind: Ordered, Command: &c.c}, epoch)
			var r *Refusal
			if !errors.As(err, &r) || r.Kind != c.kind || r.Message != c.text {
				t.Errorf("got %#v, want kind %d %q", err, c.kind, c.text)
			}
			if d := s.Decide(epoch); len(d.Effects) > 0 || s.Changes() != nil || s.Events() != nil || string(before) != string(s.encodeHead()) {
				t.Errorf("a refused command changed something")
			}
			if _, err := s.Plan(&c.c, epoch); err == nil || err.Error() != c.text {
				t.Errorf("its plan says %v", err)
			}
		})
	}
}

// TestVerdictsAreKept: the last commands are remembered, older ones are not.
func TestVerdictsAreKept(t *testing.T) {
	s := running(t, 1, roleOf(1))
	for n := range verdictsKept + 4 {
		_ = s.Observe(Fact{Kind: Ordered, Command: &Command{ID: fmt.Sprint(n), Scale: &Scale{Role: "none"}}}, epoch)
	}
	if len(s.Verdicts) != verdictsKept || s.Verdicts[0].ID != "4" || s.Verdicts[0].Refusal.Kind != NoSuch {
		t.Errorf("%d verdicts, the first is %+v", len(s.Verdicts), s.Verdicts[0])
	}
}

// TestTimersDoNotPileUp: what instances that have left were to be woken for goes with them.
func TestTimersDoNotPileUp(t *testing.T) {
	s := running(t, 1, roleOf(5))
	for n := range 1000 {
		if err := s.Observe(Fact{Kind: Ordered, Command: &Command{Scale: &Scale{Role: "app", Cardinality: 1 + 9*(n%2)}}}, epoch); err != nil {
			t.Fatal(err)
		}
		drive(s)
	}
	if n := cap(s.timers); n > 256 {
		t.Errorf("%d instances, room for %d timers", s.Len(), n)
	}
	for i := 1; i < len(s.timers); i++ {
		if s.timers[i].at < s.timers[(i-1)/2].at {
			t.Fatal("they are no heap any more")
		}
	}
}

// TestActionsDoNotPileUp: an instance takes so many actions and no more.
func TestActionsDoNotPileUp(t *testing.T) {
	s := NewService(1, roleOf(2), Meta{Name: "x"}, epoch)
	s.Decide(epoch)
	act := &Command{Act: &Act{Role: "app", Action: "reboot"}}
	for range actionsKept {
		if err := s.Observe(Fact{Kind: Ordered, Command: act}, epoch); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*Command{act, {Act: &Act{Action: "reboot", Serial: 1}}} {
		if err := s.Observe(Fact{Kind: Ordered, Command: c}, epoch); err == nil || !strings.Contains(err.Error(), "100 actions wait for app-0 already") {
			t.Errorf("one more is answered %v", err)
		}
	}
}

func TestActionNames(t *testing.T) {
	for name, want := range map[string]driver.Action{"shutdown": "terminate", "delete": "terminate-hard", "boot": driver.Resume, "snapshot-revert": driver.SnapshotRevert} {
		if a, own, ok := ActionNamed(name); a != want || !ok || own != (strings.HasPrefix(string(want), "terminate")) {
			t.Errorf("%s means %s, own %t, %t", name, a, own, ok)
		}
	}
	if _, _, ok := ActionNamed("explode"); ok || len(ActionNames()) != 24 {
		t.Errorf("%d names: %v", len(ActionNames()), ActionNames())
	}
}

func TestNames(t *testing.T) {
	spec := roleOf(1)
	spec.Roles[0].Identity = Stable
	spec.NamePattern = "$SERVICE_NAME-$SERVICE_ID-$ROLE_NAME.$VM_NUMBER"
	s := running(t, 7, spec)
	i := s.Instance(1)
	if n := s.InstanceName(i); n != "bench-7-app.0" {
		t.Errorf("name %s", n)
	}
	if n := s.DataName(i); n != "7-app-0" {
		t.Errorf("data %s", n)
	}
	if id := s.MachineID(i); id != "7-1-1" {
		t.Errorf("machine %s", id)
	}
	if a, b, c, ok := ParseMachineID("7-1-12"); a != 7 || b != 1 || c != 12 || !ok {
		t.Error(a, b, c, ok)
	}
	for _, bad := range []driver.MachineID{"", "7", "7-1", "7-1-", "7-1-x", "-1-1-1", "7-1-1-1", "7-99999999999-1"} {
		if _, _, _, ok := ParseMachineID(bad); ok {
			t.Errorf("%q is taken for a machine's id", bad)
		}
	}
	if a, b := ParseNumericID(NumericID(7, 3)); a != 7 || b != 3 {
		t.Error(a, b)
	}
}
