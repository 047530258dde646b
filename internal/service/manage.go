package service

import (
	"fmt"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// Mode says whether a service is looked after.
type Mode string

// The modes of a service. Removal is carried out in each of them.
const (
	// Managed: all that is wished is brought about, and what fails is healed.
	Managed Mode = ""
	// Unmanaged: what becomes known is written down, and nothing is done. Wishes wait until it is managed.
	Unmanaged Mode = "unmanaged"
	// OnePass: managed until all that is wished has settled or failed; then unmanaged.
	OnePass Mode = "pass"
)

// String names the mode: "managed", "unmanaged" or "pass".
func (m Mode) String() string {
	if m == Managed {
		return "managed"
	}
	return string(m)
}

// Care says for how long a new service is managed.
type Care string

// How long a service is managed.
const (
	UntilDetached Care = "always"
	UntilBuilt    Care = "build" // until its first deployment has come to its end
)

// A Pass is the last time that an unmanaged service was managed for a while.
type Pass struct {
	Until   Time   `json:"until,omitempty"`   // its deadline; 0 for none
	Ended   Time   `json:"ended,omitempty"`   // 0 while it goes on
	Failure string `json:"failure,omitempty"` // what it left undone; "" for nothing
}

// defaultPass is how long a pass may take that says nothing itself.
const defaultPass = time.Hour

// unmanaged reports whether nothing is to be done but what removes the service.
func (s *Service) unmanaged() bool { return s.Mode == Unmanaged && !s.Leaving }

func (s *Service) manage(c *Manage, cmd *Command, now Time) *Refusal {
	switch {
	case s.Leaving:
		return refuse(WrongState, "service %s is being removed", s.Meta.Name)
	case c.Mode != Managed && c.Mode != Unmanaged && c.Mode != OnePass:
		return refuse(BadValue, "mode %q is none of managed, unmanaged, pass", string(c.Mode))
	case c.AtATime < 0:
		return refuse(BadValue, "at_a_time %d is negative", c.AtATime)
	case c.Deadline < 0:
		return refuse(BadValue, "deadline %v is negative", c.Deadline)
	}
	if c.AtATime != s.AtATime {
		s.AtATime, s.head = c.AtATime, true
		s.rouse()
	}
	if c.Mode == s.Mode && c.Mode != OnePass {
		return nil
	}
	before := s.Mode
	switch c.Mode {
	case Unmanaged:
		s.told(cmd, now, "detach the service")
		s.detach("", now)
	case Managed:
		s.told(cmd, now, "attach the service")
		s.Mode = Managed
		s.event(now, false, nil, nil, "managed from now on")
	case OnePass:
		s.told(cmd, now, "manage the service for one pass")
		deadline := c.Deadline
		if deadline == 0 {
			deadline = defaultPass
		}
		s.Mode, s.Pass = OnePass, &Pass{Until: now.Add(deadline)}
		s.wake(s.Pass.Until, 0)
		s.event(now, false, nil, nil, "managed for one pass, for %v at most", deadline)
	}
	s.head = true
	if before == Unmanaged {
		s.takeUp(now)
	}
	return nil
}

// detach leaves the service alone from now on. failure is what a pass left undone.
func (s *Service) detach(failure string, now Time) {
	if s.Mode == OnePass && s.Pass != nil {
		s.Pass.Ended, s.Pass.Failure = now, failure
	}
	s.Mode, s.head = Unmanaged, true
	s.touchAll()
	if failure != "" {
		s.event(now, true, nil, nil, "no longer managed, with wishes left: %s", failure)
		return
	}
	s.event(now, false, nil, nil, "no longer managed")
}

// takeUp sets everything going that waited while the service was unmanaged. Deadlines count from now.
func (s *Service) takeUp(now Time) {
	for _, r := range s.Roles {
		r.progress, r.Overdue = now, false
		if r.State != Running && r.State != Warning || r.Removing {
			continue
		}
		switch {
		case !s.Deployed || r.total == 0 && r.Cardinality > 0:
			s.setRole(r, Pending, "", now)
		case !r.complete() && r.outdated == 0:
			s.setRole(r, Scaling, "", now)
		}
	}
	s.rouse()
	for _, r := range s.Roles {
		s.refreshChildren(r)
	}
}

// rouse has everything looked at again.
func (s *Service) rouse() {
	for i := range s.instances.all {
		s.enqueue(i)
	}
	s.touchAll()
}

// endPass leaves a service alone whose pass is over.
func (s *Service) endPass(now Time) {
	if s.Mode != OnePass || s.Leaving || s.drained {
		return
	}
	failure, late := "", s.Pass != nil && s.Pass.Until > 0 && s.Pass.Until <= now
	switch {
	case len(s.effects) > 0: // they are carried out first; not all of them have an answer that would lead to another decision
		s.drained = late || s.settled(now)
		return
	case s.settled(now):
		if s.State.Failed() || s.State == Warning {
			failure = s.State.String() + because(s.Reason)
		}
	case late:
		failure = "the pass has reached its deadline; " + s.State.String() + because(s.Reason)
	default:
		return
	}
	s.detach(failure, now)
	s.drained = true // decide again: what it looks like is another matter now
}

// settled reports whether nothing is under way: all that is wished is there, and has been up for long enough to be
// believed, or has failed for now.
func (s *Service) settled(now Time) bool {
	waits := slices.ContainsFunc(s.Roles, func(r *Role) bool { return r.State == Hold }) // for a person
	if s.State.Transient() && s.State != Cooldown && !waits || s.resourcesAtWork() || s.suppliersAtWork() {
		return false
	}
	for _, r := range s.Roles {
		for _, p := range [...]Phase{Creating, Starting, Replacing, Stopping} {
			if r.lists[p].n > 0 {
				return false
			}
		}
		if s.unproven(r, now) > 0 {
			return false
		}
	}
	return true
}

// watchOnly is what deciding is while the service is unmanaged: what it looks like is worked out, nothing is done.
func (s *Service) watchOnly(now Time) {
	for _, i := range s.todo {
		i.queued = false
		if s.instances.find(i.Serial) != i {
			continue
		}
		s.wearOut(i, now)
		if i.Phase == Starting && i.works() {
			s.up(i, now)
		}
	}
	for _, i := range s.todo { // those that came up meanwhile, too
		i.queued = false
	}
	s.todo, s.effects = nil, nil
	for len(s.due) > 0 {
		due := s.due
		s.due = nil
		for _, r := range due {
			if r.dirty = false; r.ID != 0 {
				s.showUnmanaged(r, now)
			}
		}
	}
	s.deriveUnmanaged(now)
}

// works reports whether the instance's machine does what it should.
func (i *Instance) works() bool {
	return i.Machine == driver.Running && (len(i.Checks()) == 0 || i.Healthy == Healthy) && (!i.role.Spec.ReadyGate || i.Ready)
}

// ill reports whether an instance that counts as up is in need of healing.
func (i *Instance) ill() bool {
	return i.Phase == Up && (i.Healthy == Unhealthy || i.Machine != driver.Running && i.Machine != driver.Pending)
}

// showUnmanaged works out the state of a role that nothing is done for. It is none that ends by itself.
func (s *Service) showUnmanaged(r *Role, now Time) {
	if r.State == Hold || r.State == Undeploying || r.State.Failed() {
		return
	}
	if why := s.waiting(r); why != "" {
		s.setRole(r, Warning, why, now)
		return
	}
	s.setRole(r, Running, "", now)
}

// waiting says what a role would be in need of if it were managed; "" for nothing.
func (s *Service) waiting(r *Role) string {
	switch {
	case r.Removing:
		return "to be removed"
	case !r.complete():
		return r.waitsFor(s)
	case r.outdated > 0:
		return fmt.Sprintf("%d of %d instances to be replaced by the update", r.outdated, r.Cardinality)
	case r.ills > 0:
		for i := r.lists[Up].head; i != nil; i = i.next {
			if i.ill() {
				return s.illness(i)
			}
		}
	}
	return s.reasonOf(r)
}

func (s *Service) illness(i *Instance) string {
	what := i.Reason
	switch {
	case i.Machine == driver.Running:
		what = "unhealthy: " + i.Reason
	case what == "":
		what = "its machine is " + i.Machine.String()
	}
	return s.InstanceName(i) + ": " + what
}

const notManaged = "not managed"

// deriveUnmanaged computes the state of a service that nothing is done for.
func (s *Service) deriveUnmanaged(now Time) {
	st, reason := Running, notManaged
	worst := func(to State, why string) {
		if st == Running || to.Failed() && !st.Failed() || to == Warning && st == Hold {
			st, reason = to, notManaged+"; "+why
		}
	}
	for _, r := range s.Roles {
		if r.State != Running {
			worst(shown(r.State), "role "+r.Name+": "+r.Reason)
		}
	}
	if x := s.unready(); x != nil {
		worst(Warning, "resource "+x.Name+": "+x.waitsFor())
	}
	if x := s.unreadySupplier(); x != nil {
		worst(Warning, "service "+x.Name+": "+x.present())
	}
	if s.Rollout != nil {
		worst(Warning, fmt.Sprintf("the update to revision %d waits", s.Rollout.To))
	}
	s.setState(st, reason, now)
}

// shown is a role's state as that of an unmanaged service: none that ends by itself.
func shown(st State) State {
	if st.Failed() || st == Hold {
		return st
	}
	return Warning
}
