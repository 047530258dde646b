package service

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/policy"
)

func refuse(kind RefusalKind, format string, args ...any) *Refusal {
	return &Refusal{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// order hears a command. The verdict on a command with an id is kept: hearing it again changes nothing.
func (s *Service) order(c *Command, now Time) error {
	if c.ID != "" {
		for _, v := range s.Verdicts {
			if v.ID == c.ID {
				if v.Refusal != nil {
					return v.Refusal
				}
				return nil
			}
		}
	}
	refusal := s.obey(c, now)
	again := c.Insists && refusal != nil && refusal.Kind == WrongState
	if c.ID != "" && !again {
		if len(s.Verdicts) >= verdictsKept {
			s.Verdicts = slices.Delete(s.Verdicts, 0, 1)
		}
		s.Verdicts = append(s.Verdicts, StoredAnswer{ID: c.ID, Refusal: refusal})
		s.head = true
	}
	if refusal != nil {
		return refusal
	}
	return nil
}

func (s *Service) obey(c *Command, now Time) *Refusal {
	switch {
	case c.Scale != nil:
		return s.scale(c.Scale, c, now)
	case c.Recover != nil:
		return s.recover(c.Recover, now)
	case c.Undeploy != nil:
		return s.undeploy(c.Undeploy, c, now)
	case c.Update != nil:
		return s.update(c.Update, now)
	case c.AddRole != nil:
		return s.addRoleTo(c.AddRole, now)
	case c.RemoveRole != nil:
		return s.removeRoleFrom(c.RemoveRole.Role, now)
	case c.Release != nil:
		return s.release(c.Release.Role, now)
	case c.Act != nil:
		return s.actOn(c.Act, now)
	case c.CancelAct != nil:
		return s.cancel(c.CancelAct)
	case c.Meta != nil:
		c.Meta.apply(&s.Meta)
		s.head = true
		return nil
	case c.PauseUpdate != nil:
		return s.pauseUpdate(c.PauseUpdate.Pause, now)
	case c.ReplaceOne != nil:
		return s.replaceOne(c.ReplaceOne, c, now)
	case c.Manage != nil:
		return s.manage(c.Manage, c, now)
	}
	return refuse(BadValue, "the command is empty")
}

func (s *Service) roleOrRefuse(name string) (*Role, *Refusal) {
	if r := s.Role(name); r != nil {
		return r, nil
	}
	names := make([]string, 0, len(s.Roles))
	for _, r := range s.Roles {
		names = append(names, r.Name)
	}
	return nil, refuse(NoSuch, "Role '%s' not found%s", name, nearest.Hint(name, names))
}

func (s *Service) scale(c *Scale, cmd *Command, now Time) *Refusal {
	r, refusal := s.roleOrRefuse(c.Role)
	if refusal != nil {
		return refusal
	}
	chosen, refusal := s.chosen(r, c.Remove)
	if refusal != nil {
		return refusal
	}
	n := c.target(r, len(chosen))
	chosen = chosen[:min(len(chosen), max(0, r.Cardinality-n))]
	if s.Spec.Strict {
		if s.State != Running && s.State != Warning {
			return refuse(WrongState, "Service cannot be scaled in state: %s", s.State)
		}
		if r.Cardinality == n {
			return refuse(BadValue, "Cardinality of %s is already at %d", r.Name, n)
		}
	} else if s.Leaving || r.Removing {
		return refuse(WrongState, "service %s is being removed; its roles cannot be scaled", s.Meta.Name)
	}
	switch {
	case n < 0:
		return refuse(BadValue, "cardinality %d is negative", n)
	case n > MaxCardinality:
		return refuse(BadValue, "cardinality %d is too much; %d is the most", n, MaxCardinality)
	case !c.Force && n < r.Spec.MinOf():
		return refuse(OutOfRange, "Minimum cardinality is %d", r.Spec.MinOf())
	case !c.Force && r.Spec.MaxOf() >= 0 && n > r.Spec.MaxOf() && len(chosen) == 0:
		return refuse(OutOfRange, "Maximum cardinality is %d", r.Spec.MaxOf())
	}
	if r.Cardinality == n {
		return nil
	}
	cooldown := time.Duration(-1)
	if c.Cooldown != nil {
		cooldown = *c.Cooldown
	}
	if n = r.enough(c.Bears, n); n == r.Cardinality {
		s.told(cmd, now, "role %s stays at %d: %d were too few for this load", r.Name, n, r.TooFew[c.Bears.Of].N)
		return nil
	}
	s.told(cmd, now, "scale role %s to %d", r.Name, n)
	s.scaleTo(r, n, cooldown, now)
	for _, i := range chosen {
		s.event(now, false, r, i, "%s is removed on request", s.InstanceName(i))
		s.stop(i, now)
	}
	return nil
}

// target is the cardinality that is wished for a role of which so many instances are chosen to go.
func (c *Scale) target(r *Role, chosen int) int {
	n := c.Cardinality
	switch {
	case chosen > 0:
		n = r.Cardinality - chosen
	case c.By != 0:
		n = r.Cardinality + min(max(c.By, -2*MaxCardinality), 2*MaxCardinality)
	}
	if c.Clamp {
		n = r.Spec.clamp(n)
	}
	return n
}

// enough returns what a scaling by a value may wish: a role does not shrink to what was too few for the same load, so that
// two alarms that contradict each other do not take turns for ever.
func (r *Role) enough(b *Bears, wish int) int {
	if b == nil {
		return wish
	}
	load := b.Value * float64(r.Cardinality)
	if wish < r.Cardinality {
		return r.TooFew[b.Of].Enough(wish, r.Cardinality, load)
	}
	if _, known := r.TooFew[b.Of]; known || len(r.TooFew) < maxTooFew {
		if r.TooFew == nil {
			r.TooFew = make(map[string]policy.TooFew)
		}
		r.TooFew[b.Of] = policy.TooFew{N: r.Cardinality, Load: load}
	}
	return wish
}

// maxTooFew is for how many values a role remembers that.
const maxTooFew = 20

// told writes down who wished what.
func (s *Service) told(c *Command, now Time, format string, args ...any) {
	if c == nil || (c.By == "" && c.Because == "") {
		return
	}
	s.event(now, false, nil, nil, "%s → %s", c.who(), fmt.Sprintf(format, args...))
}

// who tells who gave the command, and why, as far as that is known.
func (c *Command) who() string {
	if c.Because == "" {
		return c.By
	}
	return strings.TrimPrefix(c.By+": "+c.Because, ": ")
}

func (s *Service) scaleTo(r *Role, n int, cooldown time.Duration, now Time) {
	r.Down = n < r.Cardinality
	way := "up"
	if r.Down {
		way = "down"
	}
	s.event(now, false, r, nil, "Role %s scaling %s from %d to %d nodes", r.Name, way, r.Cardinality, n)
	r.Cardinality = n
	r.NextCooldown = int64(cooldown)
	r.Until = 0
	s.head = true
	switch r.State {
	case Running, Warning, Cooldown, FailedScaling, Scaling, Hold:
		s.setRole(r, Scaling, "", now)
	}
	r.progress = now
	s.touch(r)
}

// rescale follows a changed spec: without the word SCALING while the role is deployed or updated.
func (s *Service) rescale(r *Role, n int, now Time) {
	if r.Cardinality != n {
		s.scaleTo(r, n, 0, now)
	}
}

func (s *Service) recover(c *Recover, now Time) *Refusal {
	if c.Delete {
		s.leave(Undeploy{Remove: true, Force: true}, "", now)
		s.retryStops(now)
		return nil
	}
	switch s.State {
	case Running, Hold, Done:
		return refuse(WrongState, "Service cannot be recovered in state: %s", s.State)
	case Undeploying, FailedUndeploying, UndeployingNets, FailedUndeployingNets:
		s.retryStops(now)
		return nil
	case Cooldown:
		for _, r := range s.Roles {
			if r.State == Cooldown {
				r.Until = now
				s.touch(r)
			}
		}
		return nil
	}
	if s.Rollout != nil && s.Rollout.Paused {
		s.Rollout.Paused, s.Rollout.Reason = false, ""
	}
	s.retryStops(now)
	for _, r := range s.Roles {
		s.recoverRole(r, now)
	}
	s.event(now, false, nil, nil, "recovering")
	return nil
}

func (s *Service) recoverRole(r *Role, now Time) {
	r.Overdue, r.progress = false, now
	switch r.State {
	case FailedDeploying, Warning:
		s.setRole(r, Deploying, "", now)
	case FailedScaling:
		s.setRole(r, Scaling, "", now)
	case FailedUpdating:
		s.setRole(r, Updating, "", now)
	}
	s.touch(r)
	var bad []*Instance
	for _, p := range [...]Phase{Down, Resting, Backoff} {
		for i := r.lists[p].head; i != nil; i = i.next {
			bad = append(bad, i)
		}
	}
	if r.offs() > 0 {
		for i := r.lists[Parked].head; i != nil; i = i.next {
			if i.Rest() == RestPoweredOff {
				bad = append(bad, i)
			}
		}
	}
	for _, i := range bad {
		i.Failures = 0
		switch {
		case i.Phase == Backoff:
			s.enter(i, Queued, now)
		case i.Phase == Parked, i.Phase == Down && (i.Machine == driver.Stopped || i.Machine == driver.Suspended || i.Machine == driver.Undeployed):
			s.setWish(i, Awake)
			s.schedule(i, driver.Resume, "", now, now)
			s.enter(i, Starting, now)
			i.Until = now.Add(r.startTimeout())
			s.wake(i.Until, i.Serial)
			s.setMachine(i, driver.Pending)
		default:
			s.replace(i, now)
		}
	}
}

// retryStops asks again, at once and the hard way, for every removal that is under way.
func (s *Service) retryStops(now Time) {
	for _, r := range s.Roles {
		for _, p := range [...]Phase{Stopping, Replacing} {
			for i := r.lists[p].head; i != nil; i = i.next {
				if i.Tries > 0 || i.Overdue {
					i.Hard, i.Overdue, i.issued, i.Until, i.Since = true, false, false, 0, now
					s.dirty(i)
					s.enqueue(i)
				}
			}
		}
		s.touch(r)
	}
	s.recoverResources(now)
}

func (s *Service) undeploy(c *Undeploy, cmd *Command, now Time) *Refusal {
	if s.Spec.Strict && !c.Force {
		switch s.State {
		case Pending, Running, Warning, Hold, Undeploying:
		default:
			return refuse(WrongState, "Service cannot be undeployed in state: %s", s.State)
		}
	}
	s.told(cmd, now, "remove the service")
	was := s.Hard
	s.leave(*c, "", now)
	if c.Hard && !was {
		s.hurry(now)
	}
	return nil
}

// hurry turns graceful removals under way into hard ones.
func (s *Service) hurry(now Time) {
	for _, r := range s.Roles {
		for i := r.lists[Stopping].head; i != nil; i = i.next {
			if !i.Hard {
				i.Hard, i.issued, i.Until = true, false, 0
				s.dirty(i)
				s.enqueue(i)
			}
		}
	}
}

func (s *Service) update(c *Update, now Time) *Refusal {
	if s.Leaving {
		return refuse(WrongState, "Service cannot be updated in state: %s", s.State)
	}
	if c.Revision != 0 && c.Revision != s.Revision {
		return refuse(Stale, "the service is at revision %d, not %d; read it again and repeat the change", s.Revision, c.Revision)
	}
	if s.Spec.Strict {
		switch s.State {
		case Pending, Running, Warning, Hold:
		default:
			return refuse(WrongState, "Service cannot be updated in state: %s", s.State)
		}
	}
	if s.Rollout == nil && reflect.DeepEqual(c.Spec.plain(), s.Spec.plain()) {
		return nil // as it is already: no revision without a change
	}
	if refusal := s.resourcesAgree(c.Spec); refusal != nil {
		return refusal
	}
	if c.Live {
		s.applyLive(c.Spec)
		return nil
	}
	s.apply(c.Spec, c.Back, now)
	what := "update"
	if c.Back != 0 {
		what = "rollback"
	}
	s.event(now, false, nil, nil, "%s to revision %d begins", what, s.Revision)
	return nil
}

// applyLive takes over what needs no new machines; the roles are the same.
func (s *Service) applyLive(spec *Spec) {
	own := *spec
	own.Roles = slices.Clone(spec.Roles)
	s.Spec, s.head, s.specs = &own, true, true
	for _, r := range s.Roles {
		if n := own.Role(r.Name); n >= 0 {
			own.Roles[n].Earlier = r.Spec.Earlier
			r.Spec = &own.Roles[n]
		}
	}
	s.link()
	s.touchAll()
}

func (s *Service) addRoleTo(spec *RoleSpec, now Time) *Refusal {
	if s.Leaving || (s.Spec.Strict && s.State != Running) {
		return refuse(WrongState, "Service cannot be modified in state: %s", s.State)
	}
	if s.Role(spec.Name) != nil {
		return refuse(BadValue, "Role name '%s' is repeated", spec.Name)
	}
	if len(s.Spec.Roles) >= MaxRoles {
		return refuse(BadValue, "the service has %d roles; that is the most", MaxRoles)
	}
	for _, name := range spec.Needs {
		if s.Spec.Resource(name) == nil {
			return refuse(BadValue, "role %s needs resource %q, which the service does not have", spec.Name, name)
		}
	}
	changed := *s.Spec
	changed.Roles = append(slices.Clone(s.Spec.Roles), *spec)
	for n := range changed.Roles {
		changed.Roles[n].Cardinality = s.cardinalityOf(changed.Roles[n].Name, changed.Roles[n].Cardinality)
	}
	s.apply(&changed, 0, now)
	return nil
}

func (s *Service) cardinalityOf(role string, otherwise int) int {
	if r := s.Role(role); r != nil {
		return r.Cardinality
	}
	return otherwise
}

func (s *Service) removeRoleFrom(name string, now Time) *Refusal {
	if s.Leaving || (s.Spec.Strict && s.State != Running) {
		return refuse(WrongState, "Service cannot be modified in state: %s", s.State)
	}
	if _, refusal := s.roleOrRefuse(name); refusal != nil {
		return refusal
	}
	changed := *s.Spec
	changed.Roles = nil
	for _, r := range s.Spec.Roles {
		if r.Name == name {
			continue
		}
		// Roles that needed the removed one go on without it.
		r.Parents = slices.DeleteFunc(slices.Clone(r.Parents), func(p string) bool { return p == name })
		r.Cardinality = s.cardinalityOf(r.Name, r.Cardinality)
		changed.Roles = append(changed.Roles, r)
	}
	s.apply(&changed, 0, now)
	return nil
}

func (s *Service) release(name string, now Time) *Refusal {
	if name != "" {
		if _, refusal := s.roleOrRefuse(name); refusal != nil {
			return refusal
		}
	}
	found := false
	for _, r := range s.Roles {
		if (name != "" && r.Name != name) || !r.held(s) || r.Released {
			continue
		}
		found = true
	}
	if !found {
		return refuse(WrongState, "there is no role in HOLD to release")
	}
	for _, r := range s.Roles {
		if name == "" || r.Name == name {
			r.Released = true
		}
	}
	for _, r := range s.Roles {
		if r.State == Hold && r.Released {
			s.setRole(r, Deploying, "", now)
		}
		s.touch(r)
	}
	s.head = true
	return nil
}

// releaseHeld starts the held machines of a role once its parents are ready.
func (s *Service) releaseHeld(r *Role, now Time) {
	if r.lists[Held].n == 0 || r.held(s) || !s.parentsReady(r) {
		return
	}
	var held []*Instance
	for i := r.lists[Held].head; i != nil; i = i.next {
		held = append(held, i)
	}
	for _, i := range held {
		if s.full() {
			s.drained = true
			return
		}
		s.enter(i, Starting, now)
		i.Until = now.Add(r.startTimeout())
		s.wake(i.Until, i.Serial)
		s.schedule(i, driver.Release, "", now, now)
	}
}

func (s *Service) pauseUpdate(pause bool, now Time) *Refusal {
	if s.Rollout == nil {
		return refuse(WrongState, "no update is under way")
	}
	s.Rollout.Paused, s.head = pause, true
	s.Rollout.Reason = ""
	if pause {
		s.Rollout.Reason = "paused on request"
	}
	for _, r := range s.Roles {
		r.progress, r.Overdue = now, false
	}
	s.touchAll()
	return nil
}

func (s *Service) replaceOne(c *ReplaceOne, cmd *Command, now Time) *Refusal {
	i := s.instances.find(c.Serial)
	if i == nil {
		return refuse(NoSuch, "service %s has no instance %d", s.Meta.Name, c.Serial)
	}
	if s.Leaving || i.Phase == Stopping || i.Phase == Replacing {
		return refuse(WrongState, "%s is already being removed", s.InstanceName(i))
	}
	s.told(cmd, now, "replace %s", s.InstanceName(i))
	if c.Failed {
		i.countFailure(now)
		i.Reason = strings.TrimSuffix("replaced by order of "+cmd.who(), " of ")
	}
	s.replace(i, now)
	return nil
}

func (c *MetaChange) apply(m *Meta) {
	set(&m.Name, c.Name)
	set(&m.Owner, c.Owner)
	set(&m.Group, c.Group)
	set(&m.Project, c.Project)
	set(&m.Permissions, c.Permissions)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
