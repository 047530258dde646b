package service

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// Observe writes down a fact. It returns a *Refusal for a command that is not accepted, which then
// has changed nothing; other facts are never refused. What its texts show of secret inputs is
// masked.
func (s *Service) Observe(f Fact, now time.Time) error {
	t := TimeOf(now)
	f = s.masked(f)
	switch f.Kind {
	case Ordered:
		return s.order(f.Command, t)
	case Woke:
		return nil
	case Made:
		s.made(f, t)
		return nil
	case Unmade:
		s.unmade(f, t)
		return nil
	case Measured:
		s.measured(f.Measurement)
		return nil
	}
	i := s.instances.find(f.Serial)
	if i == nil {
		return nil
	}
	if f.Incarnation != i.Incarnation && (f.Kind != Reported || f.Incarnation != 0) { // reports of users name none
		return nil
	}
	switch f.Kind {
	case Reported:
		s.reported(i, f)
	case Created:
		s.created(i, f, t)
	case Destroyed:
		s.destroyed(i, f, t)
	case Seen:
		if f.Machine.State == driver.Gone && (i.Doubt || i.Phase == Creating) {
			return nil // a creation may be under way: only a list or the answer to Destroy settles it
		}
		s.seen(i, f.Machine, t)
	case Absent:
		s.absent(i, t)
	case Checked:
		s.checked(i, f, t)
	case Acted:
		s.acted(i, f, t)
	}
	return nil
}

func (s *Service) created(i *Instance, f Fact, now Time) {
	if i.Phase != Creating {
		// It was given up meanwhile. If its destruction is under way, that wins.
		switch {
		case f.Err != "":
		case i.Phase == Down || i.Phase == Resting:
			s.seen(i, f.Machine, now)
		case i.Native == "" && f.Machine.Native != "":
			i.Native = f.Machine.Native
			s.dirty(i)
		}
		return
	}
	if f.Err == "" {
		s.seen(i, f.Machine, now)
		return
	}
	i.issued = false
	i.Reason = f.Err
	s.dirty(i)
	if !f.Definite {
		i.Doubt = true
		i.Tries++
		if f.Repeat {
			i.Until = now.Add(pause(int(i.Tries)))
			s.wake(i.Until, i.Serial)
		} else {
			i.issued = true // until it is seen, or known to be absent
		}
		s.wake(i.Since.Add(i.role.startTimeout()), i.Serial)
		return
	}
	s.refused(i, f, now)
}

// refused goes on after a back end definitely made no machine: by the next implementation if
// another back end may help, as a failure otherwise.
func (s *Service) refused(i *Instance, f Fact, now Time) {
	r := i.role
	s.setMachine(i, driver.Gone)
	i.Doubt = false
	if x := i.Implementation(); x != nil && (f.Class == "capacity" || f.Class == "unavailable" || f.Class == "throttled") {
		s.turnDown(r, x, f.Err, now)
		if i.Revision != r.Revision { // what there is to choose from may have changed
			i.Tried = 0
			s.enter(i, Queued, now)
			return
		}
		if next, ok := r.nextChoice(i); ok {
			s.event(now, true, r, i, "%s cannot be made by %s: %s; trying %s", s.InstanceName(i), x.Title(), f.Err, r.Spec.Machine.Implementations[next].Title())
			s.enter(i, Queued, now)
			i.Impl = next
			i.Tried++
			return
		}
	}
	i.Tried = 0
	if f.Class == "invalid" {
		s.rest(i, f.Err, now)
		return
	}
	s.fail(i, f.Err, now)
}

// seen writes down a machine's state; evaluate decides what it means.
func (s *Service) seen(i *Instance, m driver.Machine, now Time) {
	if i.Phase == Queued || i.Phase == Backoff {
		return
	}
	if m.State == driver.Gone {
		s.gone(i, m.Reason, now)
		return
	}
	if m.Native != "" && m.Native != i.Native {
		i.Native = m.Native
		s.dirty(i)
	}
	if len(m.Addresses) > 0 && !slices.Equal(m.Addresses, i.Addresses) {
		had := len(i.Addresses) > 0
		i.Addresses = m.Addresses
		s.dirty(i)
		s.bear(i.role, m.Addresses, now)
		if had {
			s.refreshChildren(i.role)
		}
	}
	if m.State == driver.Exited && i.Machine != driver.Exited {
		i.ExitCode = int32(m.ExitCode)
	}
	if m.Reason != "" && m.State != i.Machine {
		i.Reason = m.Reason
	}
	if i.Doubt && i.Phase != Stopping && i.Phase != Replacing {
		i.Doubt = false
		s.dirty(i)
	}
	if i.Phase == Creating {
		s.turnsUp(i.role, i.Implementation())
		s.setMachine(i, m.State)
		s.enter(i, Starting, now)
		i.uncheck()
		i.Until = now.Add(i.role.startTimeout())
		s.wake(i.Until, i.Serial)
		return
	}
	s.setMachine(i, m.State)
}

// absent settles a creation in doubt: no machine was made.
func (s *Service) absent(i *Instance, now Time) {
	switch {
	case i.Phase == Creating && i.Doubt:
		s.refused(i, Fact{Err: "the back end never made the machine: " + i.Reason, Class: "unavailable", Definite: true}, now)
	case i.Phase == Creating, i.Phase == Queued, i.Phase == Backoff:
	default:
		s.gone(i, "no longer on its back end", now)
	}
}

// gone: the machine exists no more.
func (s *Service) gone(i *Instance, reason string, now Time) {
	switch i.Phase {
	case Stopping, Replacing:
		s.removed(i, now)
		return
	case Finished, Resting, Queued, Backoff:
		s.setMachine(i, driver.Gone)
		return
	}
	if i.Machine == driver.Gone && i.Phase == Down {
		return
	}
	s.setMachine(i, driver.Gone)
	if reason == "" {
		reason = "its machine is gone"
	}
	if s.unmanaged() {
		i.Reason = reason // what follows waits
		return
	}
	s.lost(i, reason, now)
}

// lost handles an instance whose machine exists no more.
func (s *Service) lost(i *Instance, reason string, now Time) {
	if i.role.Spec.OnGone == Forget {
		s.forgetInstance(i, now)
		return
	}
	s.fail(i, reason, now)
}

// forgetInstance drops an instance whose machine is gone and lowers the cardinality, as OneFlow does.
func (s *Service) forgetInstance(i *Instance, now Time) {
	r := i.role
	name := s.InstanceName(i)
	s.drop(i)
	if r.State == Undeploying || s.Leaving {
		return
	}
	s.lower(r, now)
	s.event(now, false, r, nil, "%s is gone and not replaced", name)
}

// lower takes one off the cardinality for a machine that is gone; below its bound the role grows again.
func (s *Service) lower(r *Role, now Time) {
	if r.Cardinality == 0 {
		return
	}
	r.Cardinality--
	s.head = true
	s.event(now, false, r, nil, "Role %s scaling down from %d to %d nodes", r.Name, r.Cardinality+1, r.Cardinality)
	if r.Cardinality < r.Spec.MinOf() && !r.Removing {
		s.scaleTo(r, r.Spec.MinOf(), 0, now)
	}
}

func (s *Service) destroyed(i *Instance, f Fact, now Time) {
	if i.Phase != Stopping && i.Phase != Replacing {
		return
	}
	if f.Err == "" {
		s.removed(i, now)
		return
	}
	i.issued = false
	i.Reason = f.Err
	i.Tries++
	i.Hard = true // the graceful way failed
	i.Until = now.Add(pause(int(i.Tries)))
	s.wake(i.Until, i.Serial)
	s.dirty(i)
}

// removed goes on once the destruction of a machine is confirmed.
func (s *Service) removed(i *Instance, now Time) {
	r := i.role
	s.setMachine(i, driver.Gone)
	s.clearMachine(i)
	if i.Phase == Stopping || r.wish() == 0 {
		s.event(now, false, r, i, "%s is gone", s.InstanceName(i))
		s.drop(i)
		s.passTurn(now)
		s.refreshChildren(r)
		return
	}
	if r.Spec.Identity == Stable {
		s.queue(i, now)
		return
	}
	s.succeed(i, now)
	s.drop(i)
	s.passTurn(now)
}

func (s *Service) clearMachine(i *Instance) {
	s.setWish(i, Awake)
	i.Native, i.Doubt, i.Ready, i.Hard, i.Tried = "", false, false, false, 0
	i.uncheck()
	if i.role.Spec.Identity != Stable {
		i.Addresses = nil
	}
	if i.Actions != nil {
		i.Actions = nil
	}
	i.Attributes = nil
}

func (s *Service) reported(i *Instance, f Fact) {
	key, value := f.Key, f.Value
	old, known := i.Attributes[key]
	if old == value && known == (value != "") {
		return
	}
	if i.Attributes == nil {
		i.Attributes = make(map[string]string, 1)
	}
	if value == "" {
		delete(i.Attributes, key)
	} else {
		i.Attributes[key] = value
	}
	if key == "READY" {
		i.Ready = isYes(value)
		s.enqueue(i)
	}
	// A figure by which an instance reports on itself is worth no commit of its own: it is stored with what is stored
	// next of its neighbours, and comes anew soon. What other roles may show is stored at once.
	if f.Incarnation != 0 && isFigure(old) && isFigure(value) && !i.role.shownToOthers() {
		return
	}
	s.dirty(i)
	s.refreshChildren(i.role)
}

// shownToOthers reports whether the templates of another role may show attributes of this one's instances.
func (r *Role) shownToOthers() bool {
	return slices.ContainsFunc(r.children, func(c *Role) bool { return c.showsOthers })
}

// showsOthers reports whether the templates of a machine may show attributes of other roles' instances.
func showsOthers(m *Machine) bool {
	return m.anyText(func(text string) bool { return strings.Contains(text, "roles") || strings.Contains(text, "${") })
}

// anyText reports whether f holds for a text that goes into the machine, whichever implementation makes it.
func (m *Machine) anyText(f func(text string) bool) bool {
	holds := func(env map[string]string, files []File, userData string) bool {
		for _, v := range env {
			if f(v) {
				return true
			}
		}
		return f(userData) || slices.ContainsFunc(files, func(x File) bool { return f(x.Content) })
	}
	return holds(m.Env, m.Files, m.UserData) || slices.ContainsFunc(m.Implementations, func(x Implementation) bool { return holds(x.Env, x.Files, x.UserData) })
}

func isFigure(value string) bool {
	_, err := strconv.ParseFloat(value, 64)
	return err == nil
}

func isYes(v string) bool {
	return len(v) == 3 && (v[0]|0x20) == 'y' && (v[1]|0x20) == 'e' && (v[2]|0x20) == 's'
}

func (s *Service) acted(i *Instance, f Fact, now Time) {
	for n, a := range i.Actions {
		if a.Serial != f.Action {
			continue
		}
		i.Actions = slices.Delete(i.Actions, n, n+1)
		s.rested(i, a.Action, f.Err != "")
		if f.Err != "" {
			s.event(now, true, i.role, i, "%s of %s was refused: %s", a.Action, s.InstanceName(i), f.Err)
		} else {
			s.event(now, false, i.role, i, "%s of %s done", a.Action, s.InstanceName(i))
		}
		s.dirty(i)
		s.enqueue(i)
		return
	}
}

// refreshChildren tells the roles that depend on r that something they may show has changed.
func (s *Service) refreshChildren(r *Role) {
	if !s.Deployed || s.Leaving || s.unmanaged() {
		return
	}
	for _, c := range r.children {
		if c.Settled() == 0 || c.wish() == 0 {
			continue
		}
		e := Effect{Kind: DoRefresh, Role: c.ID}
		if !slices.Contains(s.effects, e) {
			s.effects = append(s.effects, e)
		}
	}
}

// reasonOf names why instances of a role are bad.
func (s *Service) reasonOf(r *Role) string {
	for _, p := range [...]Phase{Resting, Down} {
		if i := r.lists[p].head; i != nil {
			if n := r.lists[Resting].n + r.lists[Down].n; n > 1 {
				return fmt.Sprintf("%s: %s, and %d more", s.InstanceName(i), i.Reason, n-1)
			}
			return s.InstanceName(i) + ": " + i.Reason
		}
	}
	if r.offs() > 0 {
		return s.offReason(r)
	}
	return ""
}
