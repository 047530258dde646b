package manager

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Policy says how patient a manager is.
type Policy struct {
	// Wait is how long it waits before it repeats a call that did not arrive; each time twice as long, up to MaxWait.
	Wait    time.Duration `json:"wait,omitempty"`
	MaxWait time.Duration `json:"max_wait,omitempty"`
	// Attempts is how often it makes such a call.
	Attempts int `json:"attempts,omitempty"`
	// Poll is how soon it looks again at what is not ready; each time half as long again, up to MaxPoll.
	Poll    time.Duration `json:"poll,omitempty"`
	MaxPoll time.Duration `json:"max_poll,omitempty"`
	// Host bounds how long the Cloud Controller may take to accept an orchestrator's program: the creation of an instance waits for it.
	Host time.Duration `json:"host,omitempty"`
	// Start bounds how long an orchestrator's program may take to answer, Build how long its stack may take to be complete.
	Start time.Duration `json:"start,omitempty"`
	Build time.Duration `json:"build,omitempty"`
	// Call bounds one call; those that design, deploy, provision, update or dispose may take as long as Act.
	Call time.Duration `json:"call,omitempty"`
	Act  time.Duration `json:"act,omitempty"`
	// Dispose is how long an orchestrator is asked to dispose of what it has made, before its program is removed all the same.
	Dispose time.Duration `json:"dispose,omitempty"`
}

// DefaultPolicy is far less patient than the original, which polls every few seconds.
var DefaultPolicy = Policy{Wait: 100 * time.Millisecond, MaxWait: 5 * time.Second, Attempts: 25, Poll: 10 * time.Millisecond, MaxPoll: time.Second,
	Host: 30 * time.Second, Start: 10 * time.Minute, Build: time.Hour, Call: 30 * time.Second, Act: 5 * time.Minute, Dispose: 10 * time.Minute}

// Filled returns the policy with the defaults for what is not set.
func (p Policy) Filled() Policy {
	d := DefaultPolicy
	for _, f := range [...]struct{ own, usual *time.Duration }{{&p.Wait, &d.Wait}, {&p.MaxWait, &d.MaxWait}, {&p.Poll, &d.Poll}, {&p.MaxPoll, &d.MaxPoll}, {&p.Host, &d.Host}, {&p.Start, &d.Start},
		{&p.Build, &d.Build}, {&p.Call, &d.Call}, {&p.Act, &d.Act}, {&p.Dispose, &d.Dispose}} {
		if *f.own <= 0 {
			*f.own = *f.usual
		}
	}
	if p.Attempts <= 0 {
		p.Attempts = d.Attempts
	}
	return p
}

// A State is how far an instance is, in Hurtle's words.
type State string

// The states. Provision is the good end.
const (
	Initialise State = "initialise" // the program of its orchestrator is being made
	Activate   State = "activate"   // the orchestrator is initialised
	Deploy     State = "deploy"     // its stack is complete
	Provision  State = "provision"
	Update     State = "update" // an update was accepted
	Destroy    State = "destroy"
	Fail       State = "fail"
)

// A Step is what is to be done next for an instance.
type Step string

// The steps, in their order.
const (
	Probing      Step = "probe"      // which generation of Cloud Controller there is
	Hosting      Step = "host"       // have it make the program
	Locating     Step = "locate"     // see that it knows it
	Starting     Step = "start"      // wait until the program answers
	Initialising Step = "initialise" // the orchestrator
	Deploying    Step = "deploy"
	Building     Step = "build" // wait until the stack is complete
	Provisioning Step = "provision"
	Following    Step = "follow"  // wait for an update's end
	Resting      Step = "rest"    // nothing
	Disposing    Step = "dispose" // of what the orchestrator has made
	Removing     Step = "remove"  // the program
	Gone         Step = "gone"
)

// Names of attributes that instances and programs show.
const (
	AttrState    = "mcn.service.state"
	AttrMessage  = "mcn.service.state.message"
	AttrApp      = "occi.so.url"
	AttrStack    = "occi.mcn.stack.state"
	AttrServices = "mcn.so.svcinsts"
	AttrEndpoint = "mcn.sm.endpoint"
	attrID       = "occi.core.id"
	attrAppURL   = "occi.app.url"
	attrAppState = "occi.app.state"
)

// maxReplays is how often an orchestrator that has forgotten everything is led through the phases again.
const maxReplays = 3

// An Instance is one of a service type's, from its creation until nothing of it is left.
type Instance struct {
	ID      string `json:"id"`
	Manager string `json:"manager"` // its term
	Tenant  int    `json:"tenant"`
	// Delegation is in whose name what is to be done for the instance is done.
	Delegation string `json:"delegation"`
	// Hosted says that its orchestrator is a program which the Cloud Controller holds.
	Hosted bool `json:"hosted,omitempty"`
	// Program is the one that it was made with.
	Program string `json:"program"`

	State   State  `json:"state"`
	Step    Step   `json:"step"`
	Message string `json:"message,omitempty"` // why it failed, or what a removal waits for
	App     string `json:"app,omitempty"`     // URL of the program at the Cloud Controller
	Address string `json:"address,omitempty"` // of the orchestrator, as HOST:PORT

	// Given are the attributes that the client gave at creation, with the values of later updates: they go along with each phase.
	Given []Attribute `json:"given,omitempty"`
	// Shown are all that the instance shows, the client's and the orchestrator's.
	Shown []Attribute `json:"shown,omitempty"`
	// Services are the URLs of the instances that the orchestrator has composed this one of.
	Services []string `json:"services,omitempty"`

	Created time.Time `json:"created"`
	Since   time.Time `json:"since"` // of the step
	Began   time.Time `json:"began"` // of the phase
	// Doubt: a call of this step went out, and what became of it is not known.
	Doubt bool `json:"doubt,omitempty"`
	// Hosts and Starts say that the program may be there, and that the orchestrator may have begun.
	Hosts   bool `json:"hosts,omitempty"`
	Starts  bool `json:"starts,omitempty"`
	Replays int  `json:"replays,omitempty"`

	rules   *Rules
	calls   uint32    // made so far, in this process
	waiting *Call     // for its answer
	tries   int       // of this step that did not arrive
	looks   int       // at what is not ready
	next    time.Time // the earliest next call
	lost    bool      // its address may be another by now
	ready   bool      // the program is active: now it has to answer
	cut     bool      // it failed because nobody answered
	changed bool
	events  []Event
}

// Rules are what an instance has of its manager.
type Rules struct {
	Manifest   *Manifest
	Parameters Parameters
	Policy     Policy // filled
	hidden     map[string]bool
}

// NewRules returns the rules of a manager.
func NewRules(m *Manifest, p Parameters, policy Policy) *Rules {
	r := &Rules{Manifest: m, Parameters: p, Policy: policy.Filled(), hidden: p.Names()}
	for _, a := range m.Attributes {
		delete(r.hidden, a.Name)
	}
	return r
}

// New returns an instance that is to be made.
func New(id string, tenant int, delegation, program string, hosted bool, given []Attribute, r *Rules, now time.Time) *Instance {
	i := &Instance{ID: id, Manager: r.Manifest.Term(), Tenant: tenant, Delegation: delegation, Program: program, Hosted: hosted, State: Initialise, Given: given, Created: now.UTC(), rules: r, changed: true}
	for _, a := range given {
		i.show(a)
	}
	step := Initialising
	if hosted {
		step = Probing
	}
	i.enter(step, now)
	i.event(EventInit, false, now)
	if !hosted {
		i.event(EventInit, true, now)
		i.event(EventActivate, false, now)
	}
	return i
}

const recordVersion = 1

type record struct {
	Version int `json:"v"`
	*Instance
}

// Record returns what is to be stored of the instance, and that nothing of it changed since; nil when nothing had.
func (i *Instance) Record() []byte {
	if !i.changed {
		return nil
	}
	i.changed = false
	text, err := json.Marshal(record{recordVersion, i})
	if err != nil {
		panic("manager: an instance cannot be encoded: " + err.Error()) // plain data
	}
	return text
}

// Load makes an instance of its record. What was on its way when the record was written is in doubt, or done again.
func Load(text []byte, rules func(manager string) *Rules) (*Instance, error) {
	i := new(Instance)
	r := record{Instance: i}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("record of an instance: %w", err)
	}
	if r.Version > recordVersion {
		return nil, fmt.Errorf("record of instance %s: version %d is newer than this program knows; upgrade it", i.ID, r.Version)
	}
	if i.rules = rules(i.Manager); i.rules == nil {
		return nil, fmt.Errorf("instance %s: its manager %q is not there", i.ID, i.Manager)
	}
	return i, nil
}

// enter goes on to a step.
func (i *Instance) enter(s Step, now time.Time) {
	i.Step, i.Since, i.Doubt, i.Message = s, now.UTC(), false, ""
	i.tries, i.looks, i.next, i.lost, i.ready = 0, 0, time.Time{}, false, false
	i.changed = true
}

// fail rests the instance where it is. What was made stays, until it is deleted.
func (i *Instance) fail(now time.Time, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	i.enter(Resting, now)
	i.State, i.Message = Fail, message
}

const maxMessage = 1000

// show sets an attribute.
func (i *Instance) show(a Attribute) {
	for n := range i.Shown {
		if i.Shown[n].Name == a.Name {
			if i.Shown[n] != a {
				i.Shown[n], i.changed = a, true
			}
			return
		}
	}
	if len(i.Shown) < maxAttributes {
		i.Shown, i.changed = append(i.Shown, a), true
	}
}

// Live reports whether reading the instance means asking its orchestrator.
func (i *Instance) Live() bool {
	switch i.State {
	case Activate, Deploy, Provision, Update:
		return true
	}
	return false
}

// Unreachable reports whether the instance failed because nobody answered.
func (i *Instance) Unreachable() bool { return i.cut }

// Hosting reports whether the instance's program is still to be made: its creation is answered afterwards.
func (i *Instance) Hosting() bool {
	return i.State == Initialise && (i.Step == Probing || i.Step == Hosting || i.Step == Locating)
}

// With returns what an orchestrator is told in a phase: the provider's parameters, then the client's, then more. Of a name that comes
// twice the last value counts.
func (i *Instance) With(p Phase, more ...Attribute) []Attribute {
	own := i.rules.Parameters[p]
	out := make([]Attribute, 0, len(own)+len(i.Given)+len(more))
	for _, list := range [][]Attribute{own, i.Given, more} {
		for _, a := range list {
			if n := slices.IndexFunc(out, func(x Attribute) bool { return x.Name == a.Name }); n >= 0 {
				out[n] = a
			} else {
				out = append(out, a)
			}
		}
	}
	return out
}

// Pending says in words what the instance waits for; "" when it rests.
func (i *Instance) Pending() string {
	words := map[Step]string{Probing: "the Cloud Controller is asked what it is", Hosting: "the Cloud Controller makes the program of the orchestrator",
		Locating: "the Cloud Controller is asked for the program", Starting: "the program of the orchestrator is to answer", Initialising: "the orchestrator is to be initialised",
		Deploying: "the orchestrator is to deploy", Building: "the stack is to be complete", Provisioning: "the orchestrator is to provision",
		Following: "the update is to be complete", Disposing: "the orchestrator is to dispose of what it has made", Removing: "the Cloud Controller removes the program"}[i.Step]
	if words != "" && i.tries > 0 {
		words += fmt.Sprintf(" (tried %d times)", i.tries)
	}
	return words
}

// An EventPhase is what an event is about.
type EventPhase string

// The phases of events.
const (
	EventInit      EventPhase = "init"
	EventActivate  EventPhase = "activate"
	EventDeploy    EventPhase = "deploy"
	EventProvision EventPhase = "provision"
	EventRetrieve  EventPhase = "retrieve"
	EventUpdate    EventPhase = "update"
	EventDestroy   EventPhase = "destroy"
)

// An Event tells that a phase has begun, or is over.
type Event struct {
	Phase EventPhase
	Done  bool
	Took  time.Duration // 0 at the beginning
}

func (i *Instance) event(p EventPhase, done bool, now time.Time) {
	e := Event{Phase: p, Done: done}
	if done {
		e.Took = now.Sub(i.Began)
	} else {
		i.Began = now.UTC()
	}
	i.events = append(i.events, e)
}

// Events returns what happened since the last call.
func (i *Instance) Events() []Event {
	e := i.events
	i.events = nil
	return e
}

// Rule has the instance go by other rules: its manager has changed.
func (i *Instance) Rule(r *Rules) { i.rules = r }
