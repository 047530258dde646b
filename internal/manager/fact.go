package manager

import (
	"slices"
	"strings"
	"time"
)

// A CallKind says whom to call, and for what.
type CallKind uint8

// The calls. All but those to act and to make may be repeated at will.
const (
	ProbeHost    CallKind = iota + 1 // GET  <cc>/-/
	MakeApp                          // POST <cc>/app/
	ShowApp                          // GET  <cc>/app/<id>
	RemoveApp                        // DELETE <cc>/app/<id>
	Touch                            // GET  <so>/
	Init                             // PUT  <so>/orchestrator/default
	Show                             // GET  <so>/orchestrator/default
	ActDeploy                        // POST <so>/orchestrator/default?action=deploy
	ActProvision                     // POST <so>/orchestrator/default?action=provision
	Renew                            // POST <so>/orchestrator/default: an update
	Dispose                          // DELETE <so>/orchestrator/default
)

// Orchestrator reports whether the call goes to the orchestrator, not to the Cloud Controller.
func (k CallKind) Orchestrator() bool { return k >= Touch }

// A Call is something to be done outside, once the state that asks for it is committed.
type Call struct {
	Kind       CallKind
	Number     uint32 // its answer bears it
	Attributes []Attribute
	Timeout    time.Duration

	repeated bool // one before may have arrived
}

// An Outcome is what became of a call.
type Outcome uint8

// The outcomes.
const (
	Done        Outcome = iota + 1
	Refused             // answered with a status that is no success
	Unreachable         // it never arrived, or came back with 503
	Unanswered          // it may have arrived
	Unreadable          // answered with success, but in no form that makes sense
	Denied              // not made: the delegation has ended
)

// An Answer is what became of a call.
type Answer struct {
	Call       CallKind
	Number     uint32
	Outcome    Outcome
	Status     int
	Message    string // in the words of whoever was called
	Attributes []Attribute
	Location   string // of what was made
	Generation int    // of the Cloud Controller: 2 or 3
}

// A Fact is something that is now known. One of its fields is set.
type Fact struct {
	Answer *Answer
	// Seen are attributes that the orchestrator showed to a reader.
	Seen []Attribute
	// Updated are attributes that the orchestrator has just been updated with; empty ones, too.
	Updated *[]Attribute
	// Delete is a client's wish.
	Delete bool
	// Lend replaces the delegation.
	Lend string
}

// A Refusal is why something cannot be done with an instance now.
type Refusal struct{ Message string }

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

// CanUpdate returns why the instance cannot be updated now.
func (i *Instance) CanUpdate() error {
	switch i.State {
	case Initialise:
		return &Refusal{"the orchestrator of " + i.ID + " is not there yet; try again later"}
	case Fail:
		return &Refusal{i.ID + " has failed: " + i.Message}
	case Destroy:
		return &Refusal{i.ID + " is being deleted"}
	}
	return nil
}

// Observe writes down what is now known. The error is a *Refusal of a wish; then nothing has changed.
func (i *Instance) Observe(f Fact, now time.Time) error {
	switch {
	case f.Answer != nil:
		i.answered(f.Answer, now)
	case f.Seen != nil:
		i.see(f.Seen)
	case f.Updated != nil:
		return i.updated(*f.Updated, now)
	case f.Delete:
		return i.delete(now)
	case f.Lend != "" && f.Lend != i.Delegation:
		i.Delegation, i.changed = f.Lend, true
	}
	return nil
}

// see merges what the orchestrator shows. What was once there stays.
func (i *Instance) see(list []Attribute) {
	for _, a := range list {
		switch {
		case a.Name == attrID || i.rules.hidden[a.Name] || a.Name == AttrState || a.Name == AttrMessage || a.Name == AttrApp:
		case a.Name == AttrServices:
			if urls := strings.Fields(a.Value); len(urls) > 0 && !slices.Equal(urls, i.Services) {
				i.Services, i.changed = urls, true
			}
		default:
			i.show(Attribute{Name: a.Name, Value: a.Value})
		}
	}
}

func (i *Instance) updated(list []Attribute, now time.Time) error {
	if err := i.CanUpdate(); err != nil {
		return err
	}
	for _, a := range list {
		i.show(a)
		for n := range i.Given {
			if i.Given[n].Name == a.Name {
				i.Given[n] = a
			}
		}
	}
	i.event(EventUpdate, false, now)
	i.State, i.changed = Update, true
	if i.Step == Resting || i.Step == Following {
		i.enter(Following, now)
	}
	return nil
}

func (i *Instance) delete(now time.Time) error {
	if i.State == Destroy {
		return &Refusal{i.ID + " is being deleted already"}
	}
	i.State, i.waiting = Destroy, nil
	switch {
	case i.Starts:
		i.enter(Disposing, now)
	case i.Hosts:
		i.enter(Removing, now)
	default:
		i.enter(Gone, now)
	}
	i.event(EventDestroy, false, now)
	return nil
}

// Abandon is for an instance whose creation failed: nothing but a program that may be there is removed.
func (i *Instance) Abandon(now time.Time) {
	if i.State != Destroy {
		_ = i.delete(now) // which is not refused
	}
}
