package service

import (
	"fmt"
	"slices"
	"time"
)

// surge is how many instances beyond the cardinality the role may have during an update.
func (r *Role) surge() int {
	if r.Spec.Identity == Stable {
		return 0
	}
	if r.Spec.Update.Surge != nil {
		return *r.Spec.Update.Surge
	}
	return 1
}

func (r *Role) batch() int { return max(1, r.Spec.Update.Batch) }

func (r *Role) rolling() bool { return r.State == Updating || r.State == FailedUpdating }

// surgeLimit is how many machines beyond the wish may live now. The surge stays allowed while the
// last replaced instances leave.
func (s *Service) surgeLimit(r *Role) int {
	if !r.rolling() {
		return 0
	}
	return r.surge()
}

// surging is how many instances beyond the wish should exist now: one for each that still has to go.
func (s *Service) surging(r *Role) int {
	if r.State != Updating {
		if r.State == FailedUpdating {
			return max(0, min(r.surge(), r.slots()-r.wish()))
		}
		return 0
	}
	return min(r.surge(), r.outdated)
}

// roll takes the next steps of a rolling update of one role.
func (s *Service) roll(r *Role, now Time) {
	if s.Leaving || r.Removing || r.outdated == 0 || s.Rollout == nil || s.Rollout.Paused {
		return
	}
	if r.State != Updating {
		if !s.mayRoll(r) {
			return
		}
		s.setRole(r, Updating, "", now)
	}
	// What does not work anyway is replaced without asking for room.
	for _, p := range [...]Phase{Resting, Down, Finished, Held} {
		for i := r.lists[p].head; i != nil; {
			next := i.next
			if s.full() {
				s.drained = true
				return
			}
			if i.outdated() {
				i.Failures = 0
				s.replaceOutdated(i, now)
			}
			i = next
		}
	}
	missing := r.Cardinality - r.Settled() + s.unproven(r, now)
	may := max(0, r.batch()-r.surge()) - missing
	for n := 0; n < len(r.order) && may > 0; n++ {
		i := r.order[n]
		if i == nil || !i.outdated() || i.Phase == Creating {
			continue
		}
		if s.full() {
			s.drained = true
			return
		}
		s.replaceOutdated(i, now)
		may--
	}
}

// mayRoll: roles are updated in the order of their dependencies, and only well ones.
func (s *Service) mayRoll(r *Role) bool {
	switch r.State {
	case Running, Warning, Updating, FailedUpdating, Cooldown, FailedDeploying, FailedScaling, Hold:
	default:
		return false
	}
	if r.lacking() != "" {
		return false
	}
	if s.Spec.Strategy != Straight {
		return true
	}
	for _, p := range r.parents {
		if p.outdated > 0 || p.rolling() || !(p.Ready() || s.heldTogether(p, r)) {
			return false
		}
	}
	return true
}

// replaceOutdated lets one instance of an old revision go. With a new identity the deficit is
// filled by the role's ordinary rule.
func (s *Service) replaceOutdated(i *Instance, now Time) {
	if i.role.Spec.Identity == Stable {
		s.replace(i, now)
		return
	}
	s.stop(i, now)
}

// settle is how long an instance of a new revision must stay up before the update, or a deployment that is rolled
// back when it fails, relies on it. What
// has a check or a ready gate has proven itself by being up.
func (r *Role) settle() time.Duration {
	switch {
	case r.Spec.Update.Settle != nil:
		return *r.Spec.Update.Settle
	case r.checked || r.Spec.ReadyGate:
		return 0
	}
	return time.Second
}

// unproven counts the instances of the new revision that have come up only just, and sees to it that the
// role is looked at again when they have proven themselves.
func (s *Service) unproven(r *Role, now Time) (n int) {
	d := r.settle()
	if d == 0 {
		return 0
	}
	for i := range r.lists[Up].youngest {
		if i.Since.Add(d) <= now {
			break
		}
		if i.outdated() {
			continue
		}
		if n == 0 && r.proof <= now {
			r.proof = i.Since.Add(d)
			s.wake(r.proof, 0)
		}
		n++
	}
	return n
}

func (s *Service) advanceUpdating(r *Role, now Time) {
	switch {
	case s.Rollout != nil && s.Rollout.Paused:
		s.setRole(r, FailedUpdating, s.Rollout.Reason, now)
	case r.outdated == 0 && r.complete() && s.unproven(r, now) == 0:
		r.Overdue = false
		s.setRole(r, Running, "", now)
		s.advanceRunning(r, now)
		for _, c := range r.children {
			s.touch(c)
		}
	case r.outdated == 0 && r.waitsForRelease() && r.lists[Stopping].n == 0:
		s.setRole(r, Hold, "waits for release", now)
	case r.State == FailedUpdating:
		s.setRole(r, Updating, "", now)
	case s.overdue(r, now):
		s.pauseRollout(fmt.Sprintf("role %s: %s, with no progress for %v", r.Name, r.waitsFor(s), r.startTimeout()), now)
		if s.Rollout != nil && s.Rollout.Paused {
			s.setRole(r, FailedUpdating, s.Rollout.Reason, now)
		}
	}
}

// undoRollout goes back to the spec before when an update fails and that is wished; it reports whether it did.
func (s *Service) undoRollout(reason string, now Time) bool {
	u := s.Rollout
	automatic := s.Spec.Update.Rollback
	for _, r := range s.Roles {
		automatic = automatic || (r.Spec.Update.Rollback && r.Revision == u.To)
	}
	if !automatic || u.Rollback || s.Previous == nil || !s.good(u.From) { // there is nothing to go back to
		return false
	}
	s.event(now, true, nil, nil, "update to revision %d fails and is rolled back: %s", u.To, reason)
	s.apply(s.Previous, u.From, now)
	return true
}

// failsRollout reports whether a role that cannot be deployed or scaled is one that the update under way has added or
// resized.
func (s *Service) failsRollout(r *Role) bool {
	if s.Rollout == nil || s.Rollout.Paused || s.Previous == nil || r.Removing {
		return false
	}
	n := s.Previous.Role(r.Name)
	return n < 0 || s.Previous.Roles[n].Cardinality != r.Spec.Cardinality
}

// pauseRollout stops a rolling update, and goes back to the spec before when that is wished.
func (s *Service) pauseRollout(reason string, now Time) {
	u := s.Rollout
	if u == nil || u.Paused {
		return
	}
	if s.undoRollout(reason, now) {
		return
	}
	u.Paused, u.Reason, s.head = true, reason, true
	s.event(now, true, nil, nil, "update to revision %d pauses: %s", u.To, reason)
	for _, r := range s.Roles {
		if r.State == Updating {
			s.setRole(r, FailedUpdating, reason, now)
		}
	}
}

func (s *Service) finishRollout(now Time) {
	for _, r := range s.Roles {
		if r.outdated > 0 || r.rolling() {
			return
		}
	}
	what := "updated"
	if s.Rollout.Rollback {
		what = "rolled back"
	}
	s.event(now, false, nil, nil, "%s to revision %d", what, s.Rollout.To)
	s.Rollout, s.Previous, s.head = nil, nil, true
	s.drained = s.drained || len(s.Resources) > len(s.Spec.Resources) || len(s.Suppliers) > len(s.Spec.Services) // decide again: what the old spec had may go
}

// apply makes spec the wish and works out what that changes. back is the earlier revision that it returns to;
// 0 for none.
func (s *Service) apply(spec *Spec, back uint32, now Time) {
	before := s.Spec
	own := *spec
	own.Roles = slices.Clone(spec.Roles)
	spec = &own
	s.leaveRevision(back)
	s.Previous = before
	s.Spec = spec
	s.Rollout = &Rollout{From: s.Revision - 1, To: s.Revision, Rollback: back != 0}
	s.head, s.specs = true, true
	for _, r := range s.Roles {
		n := spec.Role(r.Name)
		if n < 0 {
			r.Removing, r.Left = true, r.Spec.bare()
			continue
		}
		old, fresh := r.Spec, &spec.Roles[n]
		r.Removing, r.Left, r.Overdue, r.progress = false, nil, false, now
		s.keep(r, old, fresh)
		r.Spec = fresh
		if r.State == Undeploying || r.State == FailedUndeploying {
			s.setRole(r, Deploying, "", now)
		}
		s.turnTo(r, before, old, fresh)
		s.rescale(r, cardinalityAfter(r, old, fresh), now)
	}
	for n := range spec.Roles {
		if s.Role(spec.Roles[n].Name) == nil {
			s.event(now, false, nil, nil, "role %s is added", spec.Roles[n].Name)
			s.addRole(&spec.Roles[n], now)
		}
	}
	s.takeResources(now)
	s.takeSuppliers(now)
	s.stale = true
	s.link()
	s.touchAll()
	for _, r := range s.Roles {
		for _, p := range [...]Phase{Starting, Held} { // other checks and gates may hold now
			for i := r.lists[p].head; i != nil; i = i.next {
				s.enqueue(i)
			}
		}
	}
}

// cardinalityAfter is what an update makes of a role's cardinality: what it says, if it says something new;
// otherwise what scaling made of it, which new bounds may cut. What was forced out of bounds that are the
// same as before stays there.
func cardinalityAfter(r *Role, old, fresh *RoleSpec) int {
	n := r.Cardinality
	switch {
	case fresh.Cardinality != old.Cardinality:
		return fresh.Cardinality
	case fresh.MinOf() == old.MinOf() && fresh.MaxOf() == old.MaxOf():
		return n
	}
	n = max(n, fresh.MinOf())
	if fresh.MaxOf() >= 0 {
		n = min(n, fresh.MaxOf())
	}
	return n
}

// revise gives a role new content: all its present instances are outdated.
func (s *Service) revise(r *Role, revision uint32) {
	r.Revision = revision
	r.outdated = 0
	for i := range r.Instances {
		if i.outdated() {
			r.outdated++
		}
	}
}
