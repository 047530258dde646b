package service

import (
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A Fact is something that became known. A fact that comes twice, late or not at all costs time,
// not correctness.
type Fact struct {
	Kind        FactKind
	Serial      uint32 // the instance it is about
	Incarnation uint32 // the machine of that instance; facts about earlier ones are ignored
	Machine     driver.Machine
	// Err is what a call answered, in the back end's words; "" for success.
	Err string
	// Class is the error's class: driver.Class.
	Class string
	// Definite: the call that erred made or changed nothing for certain.
	Definite bool
	// Repeat: the same creation may be asked for again without making a second machine.
	Repeat bool
	// Health and Reason are the verdict of an instance's checks; Failing and Passing say, by a bit for each, which of
	// them fail and which do not. Of the others nothing is known yet.
	Health           Health
	Reason           string
	Failing, Passing uint64
	// Key and Value are an attribute that the instance reported.
	Key, Value string
	// Action is the Token of the effect that an Acted, a Made or an Unmade answers; 0 when that is not known.
	Action uint32
	// Resource is what the back end tells of a resource; nil with an Err.
	Resource *driver.Resource
	// Measurement is what the policies of a role may see.
	Measurement *Measurement
	// Command is a wish of a user, a policy or another service; it may be refused.
	Command *Command
}

// FactKind says what a fact tells.
type FactKind uint8

// The kinds of fact.
const (
	Created   FactKind = iota // Create answered: Machine, or Err
	Destroyed                 // Destroy answered
	Seen                      // a list or an event told the machine's state
	Absent                    // a complete list that began late enough lacks the machine
	Checked                   // the verdict of the instance's checks changed
	Reported                  // an attribute of the instance: by itself, with its Incarnation, or by a user
	Acted                     // an action was answered
	Ordered                   // a command
	Woke                      // nothing but time passed
	Made                      // MakeResource answered: Resource, or Err; Serial is the resource's
	Unmade                    // RemoveResource answered
	Measured                  // values for the policies of a role
)

// A Command is a wish. Exactly one of the pointers is set.
type Command struct {
	// ID makes a command that is sent twice count once: the stored verdict is returned. "" for none.
	ID string
	// Insists: it is given again when the service is not ready for it. That refusal changes nothing and is no verdict.
	Insists bool
	// By is who asked and Because why, for the service's story.
	By, Because string

	Scale       *Scale
	Recover     *Recover
	Undeploy    *Undeploy
	Update      *Update
	AddRole     *RoleSpec
	RemoveRole  *RemoveRole
	Release     *Release
	Act         *Act
	CancelAct   *CancelAct
	Meta        *MetaChange
	PauseUpdate *PauseUpdate
	ReplaceOne  *ReplaceOne
	Manage      *Manage
}

type (
	// Scale wishes another cardinality for a role.
	Scale struct {
		Role        string
		Cardinality int
		// By is how many more are wished than before, fewer when it is negative; Cardinality is not looked at then. 0 for none.
		By int
		// Remove are the serials of instances to be removed: the cardinality goes down by them, and Cardinality
		// is not looked at.
		Remove   []uint32
		Force    bool           // outside the bounds too
		Clamp    bool           // as far as the bounds let it, instead of not at all
		Cooldown *time.Duration // nil: the role's
		Bears    *Bears         // why, where that is a value which the instances share; nil otherwise
	}
	// Bears is what each instance of a role bears of something, on average.
	Bears struct {
		Of    string  `json:"of"` // the value's name
		Value float64 `json:"value"`
	}
	// Recover sets everything that gave up going again.
	Recover struct {
		Delete bool // remove the service, whatever its state
	}
	// Undeploy removes all machines.
	Undeploy struct {
		Hard   bool
		Remove bool // the record too, when all is gone
		Data   bool // the data of stable instances too
		Force  bool // in any state, for strict services too
	}
	// Update wishes another spec.
	Update struct {
		Spec     *Spec
		Revision uint32 // refuse unless this is the present revision; 0 for any
		// Back is the earlier revision whose spec it is, for a rollback; 0 for none.
		Back uint32
		// Live changes only what needs no new machines and keeps the revision (OneFlow's PUT).
		Live bool
	}
	// RemoveRole removes a role and its machines.
	RemoveRole struct{ Role string }
	// Release starts what is held: one role, or "" for all.
	Release struct{ Role string }
	// Act does something to the machines of a role, or of all roles when Role is "".
	Act struct {
		Role   string
		Serial uint32 // one instance only; 0 for all
		Action string // OneFlow's names, also terminate and its kin
		Args   string
		Period time.Duration // Number instances each Period; both 0: all at once
		Number int
	}
	// CancelAct drops actions that wait for their time.
	CancelAct struct {
		Role   string // "" for all
		Serial uint32
	}
	// MetaChange changes who a service belongs to and what it is called; nil fields stay.
	MetaChange struct {
		Name        *string
		Owner       *int
		Group       *int
		Project     *string // the group's name
		Permissions *uint16
	}
	// PauseUpdate pauses or continues a rolling update.
	PauseUpdate struct{ Pause bool }
	// ReplaceOne replaces one instance as if it had failed.
	ReplaceOne struct {
		Serial uint32
		// Failed counts a failure, so that successors which are replaced again and again wait longer and longer.
		Failed bool
	}
	// Manage says whether the service is looked after.
	Manage struct {
		Mode Mode
		// Deadline is how long a pass may take; 0: an hour.
		Deadline time.Duration
		// AtATime stands in place of the spec's until the next such command; 0 for none.
		AtATime int
	}
)

// A Refusal is the verdict on a command that was not accepted.
type Refusal struct {
	Kind    RefusalKind `json:"kind"`
	Message string      `json:"message"`
}

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

// RefusalKind says why a command was refused.
type RefusalKind uint8

// The kinds of refusal.
const (
	BadValue   RefusalKind = iota + 1 // the command makes no sense
	NoSuch                            // it names something that is not there
	WrongState                        // not now
	OutOfRange                        // outside the role's bounds
	Stale                             // the revision it was made for has passed
)

// An Effect is something to be done outside, after the state that asks for it is committed. Every
// effect may run again after a crash. Effects on one machine are carried out one after the other, in
// their order; a DoDestroy cancels a DoCreate that has not begun and waits for one that has.
type Effect struct {
	Kind        EffectKind
	Serial      uint32
	Incarnation uint32
	Role        uint16
	Revision    uint32 // of the role's content that the machine is made from
	Impl        uint8
	Hold        bool
	Repeated    bool // an earlier call for the same machine may have been made
	Mode        driver.Shutdown
	Native      string
	Action      driver.Action
	Args        string
	Token       uint32 // serial of the action; of a call for a resource, its number
}

// EffectKind says what is to be done.
type EffectKind uint8

// The kinds of effect.
const (
	DoCreate  EffectKind = iota // ask a driver for the machine
	DoDestroy                   // ask for its removal
	DoAct                       // act on it
	DoRefresh                   // render the role's files again: something they may show has changed
	DoRemove                    // drop the service's records
	DoMake                      // ask a driver for a resource, or how it gets on; Serial is the resource's
	DoUnmake                    // ask for its removal
)

// An Event is a line of a service's story.
type Event struct {
	Time     Time   `json:"t"`
	Error    bool   `json:"e,omitempty"`
	Role     string `json:"r,omitempty"`
	Instance string `json:"i,omitempty"`
	Message  string `json:"m"`
}
