package service

import (
	"fmt"

	"github.com/troupe-dev/troupe/driver"
)

// A Rest is the state in which a machine rests on purpose. Back ends often cannot tell these apart (a process
// that was stopped looks like one that was powered off), so what was asked for is kept beside what is seen.
type Rest uint8

// The states of rest (OneFlow's names in brackets).
const (
	Awake          Rest = iota // it should run
	RestPoweredOff             // off, its place kept (POWEROFF)
	RestStopped                // off, and its place given up (STOPPED)
	RestSuspended              // frozen (SUSPENDED)
	RestUndeployed             // off, and away from its host (UNDEPLOYED)
	RestHeld                   // not started yet (HOLD)
	RestEnds                   // it was resumed and is not seen running yet
	rests
)

var restNames = [...]string{"", "powered off", "stopped", "suspended", "undeployed", "held", "resuming"}

// String returns the state of rest in words, "" for Awake.
func (r Rest) String() string {
	if int(r) < len(restNames) {
		return restNames[r]
	}
	return "unknown"
}

// restOf is the state of rest that an action asks for; Awake for actions that ask for none.
func restOf(a driver.Action) Rest {
	switch a {
	case driver.Poweroff, driver.PoweroffHard:
		return RestPoweredOff
	case driver.Stop:
		return RestStopped
	case driver.Suspend:
		return RestSuspended
	case driver.Undeploy, driver.UndeployHard:
		return RestUndeployed
	case driver.Hold:
		return RestHeld
	}
	return Awake
}

// Rest returns the state in which the instance's machine rests, as asked for or, where nobody asked Troupe, as
// its back end tells; Awake unless the instance is parked.
func (i *Instance) Rest() Rest {
	if i.Phase != Parked {
		return Awake
	}
	switch i.Machine {
	case driver.Suspended:
		return RestSuspended
	case driver.Undeployed:
		return RestUndeployed
	case driver.Held:
		return RestHeld
	}
	if i.Wish == Awake {
		return RestPoweredOff
	}
	return i.Wish
}

// atRest reports whether a person wants the machine to rest: whatever it is seen to do then is no failure.
func (i *Instance) atRest() bool { return i.Wish != Awake && i.Wish != RestEnds }

// offs counts the instances that keep the role from being well because they are powered off: under manual
// healing POWEROFF asks for a person. The other states of rest do not, as in OneFlow.
func (r *Role) offs() int {
	if r.Spec.Heal != HealManual {
		return 0
	}
	return r.off
}

// firstOff returns the first powered-off instance of the role.
func (r *Role) firstOff() *Instance {
	i := r.lists[Parked].head
	for i != nil && i.Rest() != RestPoweredOff {
		i = i.next
	}
	return i
}

func (s *Service) setWish(i *Instance, w Rest) {
	i.role.weigh(i, -1)
	i.Wish = w
	i.role.weigh(i, 1)
	if i.Phase == Parked {
		i.Reason = i.restReason()
	}
	s.dirty(i)
}

// wishRest notes that an action is on its way which ends the machine's programs on purpose. What rests already
// rests as before until the action has succeeded.
func (s *Service) wishRest(i *Instance, a driver.Action) {
	if rest := restOf(a); rest != Awake && i.Phase != Parked {
		s.setWish(i, rest)
	}
}

// rested follows an action that was answered.
func (s *Service) rested(i *Instance, a driver.Action, refused bool) {
	rest := restOf(a)
	switch {
	case refused && rest != Awake && i.Phase != Parked:
		s.setWish(i, Awake)
	case refused || i.Phase != Parked:
	case rest != Awake:
		s.setWish(i, rest)
	case a == driver.Resume || a == driver.Release || a == driver.Reboot || a == driver.RebootHard:
		s.setWish(i, RestEnds)
	}
}

func (i *Instance) restReason() string {
	if i.Wish == Awake || i.Wish == RestEnds {
		return i.Rest().String()
	}
	return i.Rest().String() + " on request"
}

// park leaves an instance alone whose machine rests.
func (s *Service) park(i *Instance, now Time) {
	if i.Phase == Parked {
		return
	}
	s.enter(i, Parked, now)
	i.Reason = i.restReason()
	s.event(now, false, i.role, i, "%s is %s", s.InstanceName(i), i.Reason)
}

// offReason names the powered-off instances of a role.
func (s *Service) offReason(r *Role) string {
	i := r.firstOff()
	if i == nil {
		return ""
	}
	if r.off > 1 {
		return fmt.Sprintf("%s: %s, and %d more", s.InstanceName(i), i.Reason, r.off-1)
	}
	return s.InstanceName(i) + ": " + i.Reason
}
