package service

import (
	"fmt"
	"slices"
	"time"
)

// advance moves a role along its states, from what its instances say.
func (s *Service) advance(r *Role, now Time) {
	if s.Leaving || r.Removing {
		s.advanceLeaving(r, now)
		return
	}
	switch r.State {
	case Pending:
		if s.parentsReady(r) {
			s.setRole(r, Deploying, "", now)
			s.advance(r, now)
		} else if limit := s.patience(r); limit > now {
			s.watch(r, limit, now)
		} else if limit > 0 {
			r.Overdue, r.progress = true, limit.Add(-r.startTimeout())
			s.setRole(r, FailedDeploying, r.waitsFor(s)+fmt.Sprintf(", with no progress for %v", r.startTimeout()), now)
		}
	case Deploying, FailedDeploying:
		s.advanceWorking(r, Deploying, FailedDeploying, now)
	case Scaling, FailedScaling:
		s.advanceWorking(r, Scaling, FailedScaling, now)
	case Updating, FailedUpdating:
		s.advanceUpdating(r, now)
	case Cooldown:
		if r.Until <= now {
			r.Until = 0
			s.setRole(r, Running, "", now)
			s.advance(r, now)
		}
	case Running, Warning:
		s.advanceRunning(r, now)
	case Hold:
		if !r.waitsForRelease() {
			s.setRole(r, Deploying, "", now)
			s.advance(r, now)
		}
	}
}

// patience is how long a role waits for parents that do not work and are not being worked on; 0 while
// none is like that.
func (s *Service) patience(r *Role) (limit Time) {
	for _, p := range r.parents {
		if !p.Ready() && !p.State.Transient() && p.State != Hold {
			limit = max(limit, p.Since.Add(r.startTimeout()))
		}
	}
	return limit
}

// waitsForRelease reports whether the role has exactly what is wished, and some of it on hold.
func (r *Role) waitsForRelease() bool {
	return r.lists[Held].n > 0 && r.lists[Held].n+r.Settled() == r.wish() && r.slots() == r.wish()
}

// complete reports whether the role has exactly what is wished, with nothing under way.
func (r *Role) complete() bool {
	return r.Settled() == r.wish() && r.slots() == r.wish() && r.lists[Stopping].n == 0
}

func (s *Service) advanceWorking(r *Role, working, failed State, now Time) {
	switch {
	case working == Deploying && s.onTrial(r, now):
		s.setRole(r, Deploying, fmt.Sprintf("up, and must stay so for %v", r.settle()), now)
	case r.complete() || (r.State != Scaling && r.State != FailedScaling && r.Settled() == r.wish() && r.slots() == r.wish()):
		r.Overdue = false
		if working == Scaling {
			s.cool(r, now)
			return
		}
		s.setRole(r, Running, "", now)
		s.advanceRunning(r, now)
	case r.bad() > 0 && r.slots() <= r.wish(): // a surplus goes first, the bad ones with it
		s.failRole(r, failed, s.reasonOf(r), now)
	case r.waitsForRelease():
		s.setRole(r, Hold, "waits for release", now)
	case s.overdue(r, now):
		s.failRole(r, failed, r.waitsFor(s)+fmt.Sprintf(", with no progress for %v", r.startTimeout()), now)
	case r.State == failed && !r.Overdue:
		s.setRole(r, working, "", now)
	}
}

// failRole: a role that an update has added or resized, and that fails, fails the update, if that is to be undone then.
func (s *Service) failRole(r *Role, failed State, reason string, now Time) {
	if s.failsRollout(r) && s.undoRollout("role "+r.Name+": "+reason, now) {
		return
	}
	s.setRole(r, failed, reason, now)
}

// takenBack reports whether a first deployment that fails is to leave nothing.
func (s *Spec) takenBack() bool { return s.OnFailure == Rollback || s.OnFailure == Abort }

// onTrial reports whether a first deployment that is to be taken back when it fails has the role's instances up, but
// not for long enough to be believed: a program that ends as soon as it has started is no success.
func (s *Service) onTrial(r *Role, now Time) bool {
	return s.Spec.takenBack() && !s.Deployed && r.bad() == 0 && r.Settled() == r.wish() && s.unproven(r, now) > 0
}

// overdue reports whether nothing came up for the role's start time-out.
func (s *Service) overdue(r *Role, now Time) bool {
	limit := r.progress.Add(r.startTimeout())
	if r.State.Failed() {
		if r.Overdue && now < limit {
			r.Overdue, s.head = false, true // it moves again
		}
		return r.Overdue
	}
	if now < limit {
		s.watch(r, limit, now)
		return false
	}
	r.Overdue, s.head = true, true
	return true
}

// watch sets one timer at a time for the role's progress; when it goes off the role looks again.
func (s *Service) watch(r *Role, limit, now Time) {
	if r.alarm <= now {
		r.alarm = limit
		s.wake(limit, 0)
	}
}

// cool ends a scaling.
func (s *Service) cool(r *Role, now Time) {
	pause := r.Spec.Cooldown
	if r.NextCooldown >= 0 {
		pause = time.Duration(r.NextCooldown)
	}
	r.NextCooldown = -1
	if pause <= 0 {
		s.setRole(r, Running, "", now)
		s.advanceRunning(r, now)
		return
	}
	r.Until = now.Add(pause)
	s.wake(r.Until, 0)
	s.setRole(r, Cooldown, fmt.Sprintf("left alone for %v after scaling", pause), now)
}

func (s *Service) advanceRunning(r *Role, now Time) {
	short := r.Cardinality - r.Settled()
	switch {
	case r.bad() > 0 || r.lists[Down].n > 0 || r.offs() > 0:
		s.setRole(r, Warning, s.reasonOf(r), now)
	case short > 0:
		s.setRole(r, Warning, fmt.Sprintf("%d of %d instances up", r.Settled(), r.Cardinality), now)
	default:
		s.setRole(r, Running, "", now)
	}
}

func (s *Service) advanceLeaving(r *Role, now Time) {
	switch r.State {
	case Done:
		return
	case Undeploying, FailedUndeploying:
	default:
		if !s.childrenGone(r) {
			return
		}
		s.setRole(r, Undeploying, "", now)
	}
	if r.total == 0 {
		if r.Removing && !s.Leaving {
			s.removeRole(r, now)
			return
		}
		s.setRole(r, Done, "", now)
		return
	}
	late := 0
	for i := r.lists[Stopping].head; i != nil; i = i.next {
		if i.Overdue {
			late++
			s.setRole(r, FailedUndeploying, s.InstanceName(i)+": "+i.Reason, now)
			break
		}
	}
	if late == 0 && r.State == FailedUndeploying {
		s.setRole(r, Undeploying, "", now)
	}
}

// childrenGone reports whether no role that needs r has machines any more.
func (s *Service) childrenGone(r *Role) bool {
	if s.Spec.Strategy != Straight || !s.Leaving {
		return true
	}
	for _, c := range r.children {
		if c.State != Done {
			return false
		}
	}
	return true
}

func (s *Service) removeRole(r *Role, now Time) {
	s.event(now, false, r, nil, "role %s is removed", r.Name)
	s.keep(r, r.Spec, nil)
	kept := s.Roles[:0]
	for _, x := range s.Roles {
		if x != r {
			kept = append(kept, x)
		}
	}
	clear(s.Roles[len(kept):])
	s.Roles = kept
	r.ID = 0
	s.head = true
	s.link()
	s.touchAll()
	if len(s.Roles) == 0 {
		s.leave(Undeploy{Remove: true, Force: true}, "its last role was removed", now)
	}
}

// derive computes the service's state from its roles'.
func (s *Service) derive(now Time) {
	if s.drained {
		return
	}
	if s.Leaving {
		s.deriveLeaving(now)
		return
	}
	if s.spent() {
		s.leave(Undeploy{Remove: true, Force: true}, "its last instance is gone", now)
		s.drained = true // decide again: the removal has only begun
		return
	}
	if len(s.Resources) > 0 && s.deriveResources(now) {
		return
	}
	var first [FailedUpdating + 1]*Role
	held, waiting := 0, false
	for _, r := range s.Roles {
		if first[r.State] == nil {
			first[r.State] = r
		}
		waiting = waiting || r.State == Hold
		if r.State == Hold || r.Cardinality == 0 || (r.State == Pending && r.held(s)) {
			held++
		}
	}
	for _, st := range [...]State{FailedUndeploying, FailedDeploying, FailedScaling, FailedUpdating} {
		if r := first[st]; r != nil {
			s.setState(st, "role "+r.Name+": "+r.Reason, now)
			s.deploymentFailed(st, now)
			return
		}
	}
	if s.Rollout != nil && !s.Rollout.Paused && first[Undeploying] == nil && first[Pending] == nil && first[Deploying] == nil &&
		(first[Scaling] == nil || !slices.ContainsFunc(s.Roles, func(r *Role) bool { return r.State == Scaling && s.failsRollout(r) })) {
		s.finishRollout(now)
	}
	if waiting && held == len(s.Roles) {
		s.setState(Hold, "waits for release", now)
		return
	}
	for _, st := range [...]State{Undeploying, Pending, Deploying, Hold, Scaling, Updating, Cooldown, Warning} {
		r := first[st]
		if r == nil {
			continue
		}
		reason := ""
		switch st {
		case Pending, Hold:
			if first[Hold] != nil && first[Deploying] == nil {
				reason = "role " + first[Hold].Name + " waits for release"
			}
			st = Deploying
		case Warning:
			reason = "role " + r.Name + ": " + r.Reason
		}
		s.setState(st, reason, now)
		return
	}
	if !s.Deployed {
		s.Deployed, s.head = true, true
	}
	before := s.State
	s.setState(Running, "", now)
	if before != Running && s.askPolicies() {
		s.drained = true // decide again: they have waited for this
	}
}

// spent reports whether the service should go because its last instance is gone.
func (s *Service) spent() bool {
	if !s.Spec.AutoDelete || !s.Deployed || s.Serial == 0 || s.instances.size() > 0 {
		return false
	}
	for _, r := range s.Roles {
		if r.Cardinality > 0 {
			return false
		}
	}
	return true
}

// deploymentFailed rolls a first deployment back when the spec asks for it.
func (s *Service) deploymentFailed(st State, now Time) {
	if (st == FailedDeploying || st == FailedDeployingNets) && !s.Deployed && s.Spec.takenBack() {
		s.leave(Undeploy{Force: true}, "its deployment failed and is rolled back: "+s.Reason, now)
		s.touchAll()
		s.drained = true // decide again: the removal has only begun
	}
}

func (s *Service) deriveLeaving(now Time) {
	reason := s.Reason
	for _, r := range s.Roles {
		if r.State == FailedUndeploying {
			s.setState(FailedUndeploying, "role "+r.Name+": "+r.Reason, now)
			return
		}
	}
	for _, r := range s.Roles {
		if r.State != Done {
			if s.State == FailedUndeploying {
				reason = ""
			}
			s.setState(Undeploying, reason, now)
			return
		}
	}
	if s.State == Done || s.deriveUnmaking(reason, now) {
		return
	}
	s.setState(Done, reason, now)
	if s.Remove {
		s.effects = append(s.effects, Effect{Kind: DoRemove})
	}
}

// leave begins the removal of the service.
func (s *Service) leave(u Undeploy, reason string, now Time) {
	for _, x := range s.Resources {
		if x.Phase == ResourceRemoving && !s.Leaving {
			s.beginResource(x, now) // the deadline of its removal, no longer that of its making
		}
	}
	if s.unmanaged() {
		s.rouse() // it may have slept over what is under way
	}
	s.Leaving, s.head = true, true
	s.Hard = s.Hard || u.Hard
	s.Remove = s.Remove || u.Remove
	s.Data = s.Data || u.Data
	s.Rollout, s.Previous = nil, nil
	if s.State == Done && s.Remove {
		s.effects = append(s.effects, Effect{Kind: DoRemove})
		return
	}
	s.setState(Undeploying, reason, now)
	s.touchAll()
}

// waitsFor says what keeps the role from being complete.
func (r *Role) waitsFor(s *Service) string {
	if x := r.lacking(); x != nil && !s.Leaving {
		return "waits for resource " + x.Name
	}
	if other := s.bearer(r); other != nil && !s.Leaving {
		return "waits for the machine of role " + other.Name + " to give up the address of " + r.bears.Name
	}
	if s.Spec.Strategy == Straight {
		for _, p := range r.parents {
			if !p.Ready() {
				return "waits for role " + p.Name
			}
		}
	}
	for _, w := range [...]struct {
		p    Phase
		text string
	}{{Creating, "being created"}, {Starting, "starting"}, {Backoff, "waiting before the next try"}, {Replacing, "being replaced"},
		{Stopping, "being removed"}, {Queued, "waiting for room"}, {Held, "on hold"}, {Resting, "given up"}, {Down, "down"}} {
		if n := r.lists[w.p].n; n > 0 {
			return fmt.Sprintf("%d of %d instances %s", n, r.Cardinality, w.text)
		}
	}
	return fmt.Sprintf("%d of %d instances up", r.Settled(), r.Cardinality)
}
