package service

import (
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

const (
	pauseFirst = time.Second
	pauseMost  = 5 * time.Minute
	stableTime = 10 * time.Minute
)

// pause is the wait before try n+1: none after the first failure of an instance, then 1 s, doubling
// to 5 minutes.
func pause(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	if n > 10 {
		return pauseMost
	}
	return min(pauseFirst<<(n-1), pauseMost)
}

// fail decides what becomes of an instance that did not work out.
func (s *Service) fail(i *Instance, reason string, now Time) {
	r := i.role
	i.Reason = reason
	if s.Leaving || r.wish() == 0 {
		s.stop(i, now)
		return
	}
	i.countFailure(now)
	s.event(now, true, r, i, "%s failed: %s", s.InstanceName(i), reason)
	if s.Rollout != nil && r.State == Updating && i.Revision == r.Revision {
		s.pauseRollout(fmt.Sprintf("%s of the new revision failed: %s", s.InstanceName(i), reason), now)
	}
	switch {
	case r.Spec.Heal == HealManual:
		s.enter(i, Down, now)
	case s.Spec.OnFailure == Abort && !s.Deployed:
		s.enter(i, Resting, now)
	case r.Spec.Restart == Never && i.Machine == driver.Exited:
		s.enter(i, Resting, now)
	case r.Spec.Restarts > 0 && int(i.Failures) > r.Spec.Restarts:
		i.Reason = fmt.Sprintf("failed %d times, the last time: %s", i.Failures, reason)
		s.enter(i, Resting, now)
	default:
		s.replace(i, now)
	}
}

// countFailure counts one more failure in a row: none has gone before where the instance was up for long.
func (i *Instance) countFailure(now Time) {
	if i.Phase == Up && now.Sub(i.Since) >= i.role.stable() {
		i.Failures = 0
	}
	i.Failures++
}

// rest gives an instance up until a person recovers it.
func (s *Service) rest(i *Instance, reason string, now Time) {
	i.Reason = reason
	i.Failures++
	s.event(now, true, i.role, i, "%s cannot be made: %s", s.InstanceName(i), reason)
	if s.Rollout != nil && i.role.State == Updating && i.Revision == i.role.Revision {
		s.pauseRollout(fmt.Sprintf("%s of the new revision cannot be made: %s", s.InstanceName(i), reason), now)
	}
	s.enter(i, Resting, now)
}

func (r *Role) stable() time.Duration {
	if r.Spec.Stable > 0 {
		return r.Spec.Stable
	}
	return stableTime
}

// replace destroys the instance's machine and gives its place to a successor. A new identity whose
// machine is surely dead is succeeded at once; everything else waits until the destruction is confirmed.
func (s *Service) replace(i *Instance, now Time) {
	r := i.role
	if i.Machine == driver.Gone && !i.Doubt {
		if r.Spec.Identity == Stable || i.Phase == Creating { // none was ever made: the number is still free
			s.clearMachine(i)
			s.queue(i, now)
			return
		}
		s.succeed(i, now)
		s.clearMachine(i)
		s.drop(i)
		return
	}
	if r.Spec.Identity != Stable && i.dead() {
		s.succeed(i, now)
		s.stop(i, now)
		return
	}
	i.Hard = i.Hard || r.Spec.HardShutdown
	i.Doubt = i.Doubt || i.Phase == Creating
	s.enter(i, Replacing, now)
}

// succeed makes the successor of an instance with a new identity; it inherits the failures.
func (s *Service) succeed(i *Instance, now Time) {
	r := i.role
	if r.slots()-1 >= r.wish()+s.surging(r) { // i still holds its place
		return
	}
	n := s.newInstance(r, now)
	n.Failures, n.Reason = i.Failures, i.Reason
	s.queue(n, now)
}

// queue puts an instance in line for its next machine, after a pause when it has failed before.
func (s *Service) queue(i *Instance, now Time) {
	if wait := pause(int(i.Failures) - 1); wait > 0 {
		s.enter(i, Backoff, now)
		i.Until = now.Add(wait)
		s.wake(i.Until, i.Serial)
		return
	}
	s.enter(i, Queued, now)
}

// stop destroys the instance's machine and drops the instance afterwards.
func (s *Service) stop(i *Instance, now Time) {
	if i.Phase == Stopping {
		return
	}
	if i.Phase == Queued || i.Phase == Backoff || (i.Machine == driver.Gone && !i.Doubt && i.Phase != Creating) {
		s.drop(i)
		return
	}
	hard := i.Hard || i.role.Spec.HardShutdown || s.Hard || (i.Phase == Replacing && i.Overdue)
	i.Doubt = i.Doubt || i.Phase == Creating
	s.enter(i, Stopping, now)
	i.Hard = hard
}

// create asks for the instance's next machine.
func (s *Service) create(i *Instance, now Time) {
	r := i.role
	r.forget(i)
	if i.Tried == 0 || i.Revision != r.Revision {
		i.Impl, i.Tried = s.choose(i), 0
	}
	i.Revision = r.Revision
	i.Incarnation++
	i.Phase, i.Machine = Creating, driver.Unknown
	i.Since, i.Until, i.Tries, i.issued, i.Doubt, i.Ready, i.Hard = now, 0, 0, true, false, false, false
	i.uncheck()
	i.Attributes = nil
	r.note(i)
	s.dirty(i)
	s.fresh = append(s.fresh, i)
}

// askForFresh hands out the creations of this decision, last of all: whatever else was decided at the
// same instant, none of a role whose parents are not ready, and none beyond its room.
func (s *Service) askForFresh(now Time) {
	for _, i := range s.fresh {
		if i.Phase != Creating {
			continue
		}
		if r := i.role; s.parentsReady(r) && s.vacant(r) >= 0 {
			s.effects = append(s.effects, s.effect(DoCreate, i))
			if why := s.ChoiceOf(i); why != "" {
				s.event(now, false, r, i, "%s is made by %s: %s", s.InstanceName(i), i.Implementation().Title(), why)
			}
			continue
		}
		i.role.forget(i)
		i.Phase, i.Machine, i.Since = Queued, driver.Gone, now
		i.Incarnation--
		i.issued = false
		i.role.note(i)
	}
	s.fresh = nil
}
