package service

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A Decision is what follows from the state.
type Decision struct {
	// Effects are to be carried out once the changes are committed.
	Effects []Effect
	// Wake is when Decide wants to be called again if nothing happens before; zero for never.
	Wake time.Time
	// More: a transaction's worth has changed; commit, then decide again at once.
	More bool
}

// Decide brings the service nearer to what is wished and returns what has to be done for it.
func (s *Service) Decide(now time.Time) Decision {
	t := TimeOf(now)
	s.drained = false
	s.ring(t)
	if s.unmanaged() {
		s.watchOnly(t)
		return s.decided()
	}
	for round := 0; !s.drained && (len(s.todo) > 0 || len(s.due) > 0); round++ {
		if s.evaluateInstances(t); s.drained {
			break
		}
		s.evaluateRoles(t)
		if round > 1000 { // cannot happen: every round moves something towards its goal
			panic(fmt.Sprintf("service %d does not settle", s.ID))
		}
	}
	s.askForFresh(t)
	if len(s.Resources) > 0 {
		s.evaluateResources(t)
	}
	s.derive(t)
	s.endPass(t)
	return s.decided()
}

// decided returns what a decision came to.
func (s *Service) decided() Decision {
	d := Decision{Effects: s.effects, More: s.drained}
	s.effects = nil
	if len(s.timers) > 0 {
		d.Wake = s.timers[0].at.Time()
	}
	return d
}

func (s *Service) evaluateInstances(now Time) {
	most := 100*(s.instances.size()+len(s.todo)) + 1000 // as there are now: some may leave
	for n := 0; n < len(s.todo); n++ {
		if n > most { // cannot happen: an instance passes few phases at one instant
			panic(fmt.Sprintf("service %d: instance %d does not settle", s.ID, s.todo[n].Serial))
		}
		if s.full() {
			s.drained = true
			kept := copy(s.todo, s.todo[n:])
			clear(s.todo[kept:])
			s.todo = s.todo[:kept]
			return
		}
		i := s.todo[n]
		i.queued = false
		if s.instances.find(i.Serial) == i {
			s.evaluate(i, now)
		}
	}
	clear(s.todo)
	if s.todo = s.todo[:0]; cap(s.todo) > 8 {
		s.todo = nil // a service at rest keeps no memory for its busiest moment
	}
}

// evaluate decides about one instance from its own state.
func (s *Service) evaluate(i *Instance, now Time) {
	s.act(i, now)
	if s.instances.find(i.Serial) != i {
		return // an action has ended it
	}
	s.wearOut(i, now)
	switch i.Phase {
	case Backoff:
		if i.Until <= now {
			s.enter(i, Queued, now)
		}
	case Creating:
		if i.Tries > 0 && now.Sub(i.Since) >= i.role.startTimeout() {
			i.Tries = 0
			s.setMachine(i, driver.Unknown)
			s.fail(i, fmt.Sprintf("its creation was not answered within %v: %s", i.role.startTimeout(), i.Reason), now)
		} else if !i.issued && i.Until <= now {
			i.issued = true
			s.effects = append(s.effects, s.effect(DoCreate, i))
		}
	case Starting, Held:
		s.evaluateStarting(i, now)
	case Up, Parked:
		s.evaluateUp(i, now)
	case Down:
		s.evaluateDown(i, now)
	case Stopping, Replacing:
		s.evaluateStopping(i, now)
	}
}

func (s *Service) effect(kind EffectKind, i *Instance) Effect {
	return Effect{Kind: kind, Serial: i.Serial, Incarnation: i.Incarnation, Role: i.role.ID, Revision: i.Revision, Impl: i.Impl,
		Native: i.Native, Hold: i.role.held(s), Repeated: i.Tries > 0}
}

func (s *Service) evaluateStarting(i *Instance, now Time) {
	r := i.role
	switch i.Machine {
	case driver.Held:
		if i.Phase != Held && r.held(s) {
			s.enter(i, Held, now)
			return
		}
	case driver.Running:
		if i.Healthy == Unhealthy && i.Phase == Starting {
			if i.worn {
				s.fail(i, "not up: "+i.Reason, now)
				return
			}
			break
		}
		if !i.works() {
			if i.Phase == Held {
				s.enter(i, Starting, now)
				i.Until = now.Add(r.startTimeout())
				s.wake(i.Until, i.Serial)
			}
			break
		}
		s.up(i, now)
		return
	case driver.Exited, driver.Failed, driver.Stopped, driver.Suspended, driver.Undeployed:
		s.ended(i, now)
		return
	case driver.Gone:
		s.lost(i, i.Reason, now)
		return
	}
	if i.Phase == Starting && i.Until > 0 && i.Until <= now {
		s.fail(i, s.notUp(i), now)
	}
}

func (s *Service) up(i *Instance, now Time) {
	first := !i.role.Ready()
	i.Reason = ""
	s.enter(i, Up, now)
	if !first || s.Deployed {
		s.refreshChildren(i.role)
	}
	s.event(now, false, i.role, i, "%s is up", s.InstanceName(i))
}

// notUp says why an instance did not come up in time.
func (s *Service) notUp(i *Instance) string {
	r := i.role
	what := fmt.Sprintf("its machine is %s", i.Machine)
	switch {
	case i.Machine == driver.Running && (i.Healthy == Unhealthy || i.Healthy == Ailing):
		what = "its health check says: " + i.Reason
	case i.Machine == driver.Running && len(i.Checks()) > 0 && i.Healthy == Unchecked:
		what = "its health check gave no answer"
	case i.Machine == driver.Running && r.Spec.ReadyGate && !i.Ready:
		what = "it has not reported READY=YES"
	}
	return fmt.Sprintf("not up within %v: %s", r.startTimeout(), what)
}

// ended handles a machine that no longer runs.
func (s *Service) ended(i *Instance, now Time) {
	r := i.role
	switch i.Machine {
	case driver.Exited:
		if i.ExitCode == 0 && (r.Spec.Restart == Never || r.Spec.Restart == OnFailureExit) {
			i.Reason = "finished"
			s.enter(i, Finished, now)
			s.event(now, false, r, i, "%s finished", s.InstanceName(i))
			return
		}
		if i.atRest() {
			s.park(i, now)
			return
		}
		s.fail(i, exitText(i), now)
	case driver.Stopped, driver.Suspended, driver.Undeployed:
		if i.atRest() || r.Spec.Heal == HealManual {
			s.park(i, now)
			return
		}
		s.fail(i, "its machine was "+i.Machine.String()+" by somebody else", now)
	default:
		reason := i.Reason
		if reason == "" {
			reason = "its machine failed"
		}
		s.fail(i, reason, now)
	}
}

func exitText(i *Instance) string {
	if i.ExitCode < 0 {
		return fmt.Sprintf("its program was killed by signal %d", -i.ExitCode)
	}
	return fmt.Sprintf("its program ended with exit code %d", i.ExitCode)
}

func (s *Service) evaluateUp(i *Instance, now Time) {
	switch i.Machine {
	case driver.Running, driver.Pending:
		switch {
		case i.Phase == Parked && i.Machine == driver.Running:
			s.setWish(i, Awake)
			s.up(i, now)
		case i.Healthy == Unhealthy && !i.atRest():
			s.fail(i, "unhealthy: "+i.Reason, now)
		}
	case driver.Unknown:
		if i.Phase == Parked {
			return // it need not run
		}
		// The back end has lost sight of it. A machine that may well run is not replaced at once.
		i.Reason = "its back end does not know its state"
		s.enter(i, Down, now)
		i.Until = now.Add(unknownGrace)
		s.wake(i.Until, i.Serial)
	case driver.Held:
	case driver.Gone:
		s.lost(i, i.Reason, now)
	default:
		if i.Phase == Parked {
			if i.Machine != driver.Failed && i.Machine != driver.Exited || i.atRest() {
				return
			}
		}
		s.ended(i, now)
	}
}

func (s *Service) evaluateDown(i *Instance, now Time) {
	r := i.role
	switch {
	case i.Machine == driver.Running && i.Healthy != Unhealthy && i.Healthy != Ailing && (i.Healthy == Healthy || len(i.Checks()) == 0):
		s.up(i, now)
	case r.Spec.Heal == HealManual && (i.Machine == driver.Stopped || i.Machine == driver.Suspended || i.Machine == driver.Undeployed):
		s.park(i, now)
	case r.Spec.Heal == HealAuto && (i.dead() || i.Machine == driver.Stopped):
		s.ended(i, now)
	case r.Spec.Heal == HealAuto && i.Until > 0 && i.Until <= now:
		s.fail(i, i.Reason, now)
	}
}

func (s *Service) evaluateStopping(i *Instance, now Time) {
	if i.Machine == driver.Gone && !i.Doubt {
		s.removed(i, now)
		return
	}
	bounded := s.atATime() > 0
	if bounded && !i.issued && s.turns() <= 0 {
		return
	}
	if bounded && !i.issued && i.Tries == 0 && i.Since != now {
		i.Since = now // its time begins with its turn
		s.dirty(i)
	}
	if deadline := i.Since.Add(i.role.stopTimeout()); !i.Overdue {
		if deadline <= now {
			i.Overdue = true
			i.Reason = strings.TrimSuffix(fmt.Sprintf("not gone after %v: %s", i.role.stopTimeout(), i.Reason), ": ")
			s.event(now, true, i.role, i, "%s is %s", s.InstanceName(i), i.Reason)
			s.dirty(i)
		} else if !i.issued {
			s.wake(deadline, i.Serial)
		}
	}
	if !i.issued && i.Until <= now {
		i.issued = true
		e := s.effect(DoDestroy, i)
		if i.Hard {
			e.Mode = driver.Hard
		}
		s.effects = append(s.effects, e)
	}
}

// act hands out the actions whose time has come. Those on a machine that is still to be made wait for it.
func (s *Service) act(i *Instance, now Time) {
	for n := 0; n < len(i.Actions); n++ {
		a := &i.Actions[n]
		if a.issued || a.At > now {
			continue
		}
		if terminates(a.Action) {
			s.terminate(i, a, now)
			return
		}
		switch i.Phase {
		case Queued, Backoff, Creating:
			continue
		}
		if i.Machine == driver.Gone {
			s.event(now, true, i.role, i, "%s of %s is not possible: it has no machine", a.Action, s.InstanceName(i))
			i.Actions = slices.Delete(i.Actions, n, n+1)
			s.dirty(i)
			n--
			continue
		}
		a.issued = true
		s.wishRest(i, a.Action)
		s.dirty(i)
		e := s.effect(DoAct, i)
		e.Action, e.Args, e.Token = a.Action, a.Args, a.Serial
		s.effects = append(s.effects, e)
	}
}

func (s *Service) evaluateRoles(now Time) {
	for n := 0; n < len(s.due) && !s.drained; n++ {
		r := s.due[n]
		s.due[n] = nil
		r.dirty = false
		if r.ID != 0 {
			s.evaluateRole(r, now)
		}
		if s.drained {
			rest := s.due[n+1:]
			s.due = append(s.due[:0], rest...)
			s.touch(r)
			return
		}
	}
	s.due = s.due[:0]
}

// evaluateRole compares what a role has with what it should have.
func (s *Service) evaluateRole(r *Role, now Time) {
	s.advance(r, now)
	if r.ID == 0 {
		return
	}
	s.roll(r, now)
	s.releaseHeld(r, now)
	wish := r.wish()
	for r.slots() > wish+s.surging(r) {
		if s.full() {
			s.drained = true
			return
		}
		s.stop(s.victim(r), now)
	}
	if s.mayCreate(r) {
		for s.vacant(r) > 0 && s.turns() > 0 {
			if s.full() {
				s.drained = true
				return
			}
			i := r.lists[Queued].head
			if i == nil {
				if r.slots() >= wish+s.surging(r) {
					break
				}
				i = s.newInstance(r, now)
			}
			s.create(i, now)
		}
	}
	s.advance(r, now)
	s.govern(r, now)
	if ready := r.Ready(); ready != r.wasReady {
		r.wasReady = ready
		for _, c := range r.children {
			s.touch(c)
		}
	}
}

// vacant is how many machines may be made now: at most wish+surge of them may live at a time. It is
// negative when too many do.
func (s *Service) vacant(r *Role) int { return r.wish() + s.surgeLimit(r) - r.live }

func (s *Service) mayCreate(r *Role) bool {
	if s.Leaving || r.wish() == 0 || r.State == Pending {
		return false
	}
	return s.parentsReady(r) && s.bearer(r) == nil
}

// parentsReady reports whether all that the role needs is ready. Parents count where the strategy says so,
// resources always.
func (s *Service) parentsReady(r *Role) bool {
	if r.lacking() != nil {
		return false
	}
	if s.Spec.Strategy != Straight {
		return true
	}
	for _, p := range r.parents {
		if p.Ready() || s.heldTogether(p, r) {
			continue
		}
		return false
	}
	return true
}

// heldTogether: machines on hold need nothing yet, so theirs are made while their parents wait, too.
func (s *Service) heldTogether(parent, r *Role) bool { return parent.State == Hold && r.held(s) }
