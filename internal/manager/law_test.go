package manager

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// A world is a Cloud Controller and an orchestrator that misbehave, with the clock, the records and the instance in between.
type world struct {
	t      *testing.T
	rand   *rand.Rand
	faults bool
	now    time.Time
	rules  *Rules
	i      *Instance
	stored []byte // what was committed last

	app     bool // the program is there
	up      bool
	port    int // of its address: another one after each crash
	there   bool
	action  string // that is applicable
	stack   string
	busy    int // looks until the stack is complete
	deploys int // in the present life of the orchestrator
	fails   bool
	mute    bool // it cannot dispose
	log     []string
}

func newWorld(t *testing.T, seed uint64, hosted bool) *world {
	m, err := ParseManifest("m.json", []byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 7))
	w := &world{t: t, rand: r, faults: true, now: time.Unix(1e9, 0), fails: r.IntN(8) == 0,
		rules: NewRules(m, Parameters{PhaseDeploy: {{Name: "p", Value: "1"}}}, Policy{Attempts: 200, Host: time.Hour})}
	w.i = New("so1", 7, "lent", "image", hosted, []Attribute{{Name: "given", Value: "x"}}, w.rules, w.now)
	w.up = !hosted // one that is not hosted is in this very process
	return w
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.log {
		w.t.Log(line)
	}
	w.t.Fatalf(format, args...)
}

// restart loses what was not committed.
func (w *world) restart() {
	i, err := Load(w.stored, func(string) *Rules { return w.rules })
	if err != nil {
		w.fatal("%v", err)
	}
	w.i = i
	w.note("restart at %s", i.Step)
}

// chance is true once in n while there are faults.
func (w *world) chance(n int) bool { return w.faults && w.rand.IntN(n) == 0 }

// step decides, commits and has done what was decided. It reports whether all is over.
func (w *world) step() (over bool) {
	d := w.i.Decide(w.now)
	text := w.i.Record()
	w.i.Events()
	if w.chance(12) && w.stored != nil { // before the commit
		w.restart()
		return false
	}
	if text != nil {
		w.stored = text
	}
	if d.Over {
		return true
	}
	if w.chance(12) && w.stored != nil { // after it
		w.restart()
		return false
	}
	switch {
	case d.Call != nil:
		w.make(d.Call)
	case !d.Wake.IsZero():
		w.now = d.Wake
	default:
		w.now = w.now.Add(time.Second)
	}
	return false
}

// make makes a call, and tells the instance what became of it: perhaps nothing, perhaps twice.
func (w *world) make(c *Call) {
	w.now = w.now.Add(time.Duration(w.rand.IntN(50)) * time.Millisecond)
	if c.Kind.Orchestrator() && w.chance(15) {
		w.crash()
	}
	if !w.up && w.rand.IntN(3) == 0 || !w.faults {
		w.up = w.app || !w.i.Hosted // the Cloud Controller heals it
	}
	a := &Answer{Call: c.Kind, Number: c.Number, Outcome: Done}
	switch {
	case w.chance(8):
		a.Outcome, a.Message = Unreachable, "it never arrived"
	case c.Kind.Orchestrator() && !w.up:
		a.Outcome, a.Message = Unreachable, "connection refused"
	default:
		w.carryOut(c, a)
		if w.chance(8) {
			*a = Answer{Call: c.Kind, Number: c.Number, Outcome: Unanswered, Message: "it took too long"}
		} else if w.chance(12) {
			*a = Answer{Call: c.Kind, Number: c.Number, Outcome: Unreadable, Message: "garbage"}
		}
	}
	w.note("%s: %v outcome %d status %d %s", w.i.Step, c.Kind, a.Outcome, a.Status, a.Message)
	if w.chance(12) {
		w.restart()
		return
	}
	_ = w.i.Observe(Fact{Answer: a}, w.now)
	if w.chance(6) {
		_ = w.i.Observe(Fact{Answer: a}, w.now)
	}
}

func (w *world) crash() {
	w.note("the orchestrator crashes")
	w.up, w.there, w.action, w.stack, w.deploys = false, false, "", "", 0
	w.port++
}

func (w *world) refuse(a *Answer, status int, text string) {
	a.Outcome, a.Status, a.Message = Refused, status, text
}

func (w *world) carryOut(c *Call, a *Answer) {
	if c.Kind >= Init && !w.there && c.Kind != Init {
		w.refuse(a, 404, "not found")
		return
	}
	switch c.Kind {
	case ProbeHost:
		a.Generation = 3
	case MakeApp:
		if w.app {
			w.fatal("the program is made twice")
		}
		w.app, a.Location = true, "http://cc/app/so1"
	case ShowApp:
		if !w.app {
			w.refuse(a, 404, "no such app")
			return
		}
		a.Location = "http://cc/app/so1"
		state := "inactive"
		if w.up {
			state = "active"
		}
		a.Attributes = []Attribute{{Name: attrAppURL, Value: fmt.Sprintf("127.0.0.2:%d", w.port)}, {Name: attrAppState, Value: state}}
	case RemoveApp:
		if w.there && !w.faults && !w.mute {
			w.fatal("the program is removed before its orchestrator has disposed")
		}
		if !w.app {
			w.refuse(a, 404, "no such app")
			return
		}
		w.app, w.up = false, false
	case Touch:
	case Init:
		if !w.there {
			w.there, w.action, w.stack = true, "deploy", "uninitialized"
		}
	case ActDeploy, ActProvision:
		w.act(c, a)
	case Show:
		if w.busy--; w.busy <= 0 && w.action != "deploy" {
			w.stack = "CREATE_COMPLETE"
			if w.fails {
				w.stack = "CREATE_FAILED"
			}
		}
		a.Attributes = []Attribute{{Name: AttrStack, Value: w.stack}, {Name: "out", Value: "1"}, {Name: "p", Value: "1"}}
	case Dispose:
		w.there, w.action, w.stack, w.deploys = false, "", "", 0
	}
}

func (w *world) act(c *Call, a *Answer) {
	name := map[CallKind]string{ActDeploy: "deploy", ActProvision: "provision"}[c.Kind]
	if w.action != name {
		w.refuse(a, 400, "Not applicable atm.")
		return
	}
	if len(c.Attributes) == 0 || c.Attributes[len(c.Attributes)-1].Name != "given" {
		w.fatal("%v lacks the client's parameters: %v", c.Kind, c.Attributes)
	}
	if name == "provision" {
		w.action = ""
		return
	}
	w.action, w.stack, w.busy = "provision", "CREATE_IN_PROGRESS", w.rand.IntN(4)
	if w.deploys++; w.deploys > 1 {
		w.fatal("deployed twice")
	}
}

// settle runs until nothing is left to do.
func (w *world) settle() (over bool) {
	for range 3000 {
		if w.step() {
			return true
		}
		if w.i.Step == Resting {
			return false
		}
	}
	w.fatal("not settled: %s at %s, %s", w.i.State, w.i.Step, w.i.Message)
	return false
}

// Laws: however calls fail, answers come twice or late, programs die and the server restarts, an instance ends provisioned or failed with
// a reason, no program is made twice, nothing is deployed twice in one life of an orchestrator, and a deletion leaves nothing.
func TestLaws(t *testing.T) {
	provisioned := 0
	for seed := range uint64(1500) {
		w := newWorld(t, seed, seed%4 != 0)
		if seed%3 == 0 { // a deletion in the middle
			for range w.rand.IntN(40) {
				if w.step() {
					w.fatal("seed %d: over without a deletion", seed)
				}
			}
		} else {
			w.settle()
			if w.i.State == Provision {
				provisioned++
			} else if w.i.State != Fail || !w.fails && !strings.Contains(w.i.Message, "forgets") || w.i.Message == "" {
				w.fatal("seed %d: it rests in %s: %s", seed, w.i.State, w.i.Message)
			}
			if w.i.State == Provision && (w.there && w.action != "" || valueOf(w.i.Shown, "out") != "1" || valueOf(w.i.Shown, "p") != "") {
				w.fatal("seed %d: it is not as it says: %+v", seed, w.i)
			}
		}
		w.faults = w.rand.IntN(2) == 0
		w.note("deleted")
		if err := w.i.Observe(Fact{Delete: true}, w.now); err != nil {
			w.fatal("seed %d: %v", seed, err)
		}
		if err := w.i.Observe(Fact{Delete: true}, w.now); err == nil {
			w.fatal("seed %d: deleted twice", seed)
		}
		w.stored = mustRecord(w.i)
		if !w.settle() {
			w.fatal("seed %d: the deletion rests in %s %s", seed, w.i.State, w.i.Step)
		}
		if w.app {
			w.fatal("seed %d: the program is left", seed)
		}
	}
	if provisioned < 400 {
		t.Errorf("only %d instances were provisioned: the world is too bad to show anything", provisioned)
	}
}

func mustRecord(i *Instance) []byte {
	i.changed = true
	return i.Record()
}

// Without faults nothing but what has to be is called, in its order.
func TestOrder(t *testing.T) {
	w := newWorld(t, 1, true)
	w.faults, w.fails = false, false
	var states []State
	for w.i.Step != Resting {
		if n := len(states); n == 0 || states[n-1] != w.i.State {
			states = append(states, w.i.State)
		}
		w.step()
	}
	states = append(states, w.i.State)
	if fmt.Sprint(states) != "[initialise activate deploy provision]" {
		t.Error(states)
	}
}

// What never ends is ended: an orchestrator that hangs in any phase fails its instance, with a reason.
func TestDeadlines(t *testing.T) {
	for _, kind := range []CallKind{ProbeHost, MakeApp, ShowApp, Touch, Init, ActDeploy, Show, ActProvision, Dispose, RemoveApp} {
		w := newWorld(t, 3, true)
		w.faults, w.fails = false, false
		w.rules.Policy, w.mute = DefaultPolicy, kind == Dispose
		deleted := false
		for n := 0; ; n++ {
			if n > 5000 {
				w.fatal("%v: it never ends", kind)
			}
			d := w.i.Decide(w.now)
			switch {
			case d.Over && kind == Dispose:
			case d.Call != nil && d.Call.Kind == kind && (kind != RemoveApp || n < 200):
				w.now = w.now.Add(d.Call.Timeout)
				_ = w.i.Observe(Fact{Answer: &Answer{Call: kind, Number: d.Call.Number, Outcome: Unanswered, Message: "no answer"}}, w.now)
			case d.Call != nil:
				w.make(d.Call)
			case !d.Wake.IsZero():
				w.now = d.Wake
			case w.i.Step == Resting && w.i.State != Fail && !deleted:
				deleted = true
				if err := w.i.Observe(Fact{Delete: true}, w.now); err != nil {
					t.Fatal(err)
				}
			}
			if w.i.State == Fail {
				if deleted || w.i.Message == "" {
					t.Errorf("%v: %s %q", kind, w.i.State, w.i.Message)
				}
				break
			}
			if d.Over {
				if kind != Dispose && kind != RemoveApp {
					t.Errorf("%v: nobody noticed", kind)
				}
				break
			}
		}
	}
}
