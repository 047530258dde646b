package service

import (
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/nearest"
)

// Actions that end machines are carried out by the core itself, by these names.
const (
	terminate     driver.Action = "terminate"
	terminateHard driver.Action = "terminate-hard"
	recreate      driver.Action = "delete-recreate"
)

const (
	actionsKept = 100                  // that may wait for one instance
	actionsSpan = 366 * 24 * time.Hour // over which a batched action may extend
)

// actions maps every accepted name to what is done (spec: OneFlow section 13).
var actions = map[string]driver.Action{
	"terminate": terminate, "terminate-hard": terminateHard, "shutdown": terminate, "shutdown-hard": terminateHard,
	"delete": terminateHard, "delete-recreate": recreate, "boot": driver.Resume,
	"hold": driver.Hold, "release": driver.Release, "stop": driver.Stop, "suspend": driver.Suspend, "resume": driver.Resume,
	"reboot": driver.Reboot, "reboot-hard": driver.RebootHard, "poweroff": driver.Poweroff, "poweroff-hard": driver.PoweroffHard,
	"undeploy": driver.Undeploy, "undeploy-hard": driver.UndeployHard,
	"snapshot-create": driver.SnapshotCreate, "snapshot-revert": driver.SnapshotRevert, "snapshot-delete": driver.SnapshotDelete,
	"disk-snapshot-create": driver.DiskSnapshotCreate, "disk-snapshot-revert": driver.DiskSnapshotRevert, "disk-snapshot-delete": driver.DiskSnapshotDelete,
}

// ActionNames returns every action that Act accepts, sorted.
func ActionNames() []string {
	names := make([]string, 0, len(actions))
	for n := range actions {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// ActionNamed returns the driver's action behind a name, and whether the core carries it out itself.
func ActionNamed(name string) (a driver.Action, own, ok bool) {
	a, ok = actions[name]
	return a, terminates(a), ok
}

func terminates(a driver.Action) bool { return a == terminate || a == terminateHard || a == recreate }

// maxArgs bounds what an action carries to each machine: bytes.
const maxArgs = 1 << 10

// actOn schedules an action: instance n, by creation, at now + floor(n/Number) × Period.
func (s *Service) actOn(c *Act, now Time) *Refusal {
	a, ok := actions[strings.ToLower(c.Action)]
	if !ok {
		return refuse(BadValue, "Action %s not supported%s", c.Action, nearest.Hint(c.Action, ActionNames()))
	}
	if len(c.Args) > maxArgs {
		return refuse(BadValue, "the arguments of an action have %d bytes at most", maxArgs)
	}
	roles := s.Roles
	if c.Role != "" {
		r, refusal := s.roleOrRefuse(c.Role)
		if refusal != nil {
			return refusal
		}
		if r.State == Done {
			return refuse(WrongState, "role %s is in state DONE", r.Name)
		}
		roles = []*Role{r}
	}
	if c.Number < 0 || c.Period < 0 {
		return refuse(BadValue, "period and number of a batched action cannot be negative")
	}
	if c.Serial != 0 {
		i := s.instances.find(c.Serial)
		if i == nil || (c.Role != "" && i.role != roles[0]) {
			return refuse(NoSuch, "service %s has no instance %d", s.Meta.Name, c.Serial)
		}
		if len(i.Actions) >= actionsKept {
			return s.tooMany(i)
		}
		s.schedule(i, a, c.Args, now, now)
		return nil
	}
	for _, r := range roles {
		if refusal := s.mayAct(r, c); refusal != nil {
			return refusal
		}
	}
	for _, r := range roles {
		period, number := batch(r, c)
		n := 0
		for i := range r.Instances {
			if i.Phase == Stopping {
				continue
			}
			at := now
			if period > 0 {
				at = now.Add(time.Duration(n/number) * period)
			}
			s.schedule(i, a, c.Args, at, now)
			n++
		}
	}
	return nil
}

// mayAct refuses what would pile up actions or schedule them for another generation.
func (s *Service) mayAct(r *Role, c *Act) *Refusal {
	for i := range r.Instances {
		if len(i.Actions) >= actionsKept {
			return s.tooMany(i)
		}
	}
	if period, number := batch(r, c); period > 0 && time.Duration(r.total/number) > actionsSpan/period {
		return refuse(BadValue, "the last instance of role %s would have its turn after more than a year; choose a shorter period or a greater number", r.Name)
	}
	return nil
}

func (s *Service) tooMany(i *Instance) *Refusal {
	return refuse(WrongState, "%d actions wait for %s already; cancel some of them", len(i.Actions), s.InstanceName(i))
}

// batch fills the one of period and number that is missing; with neither, all instances act at once.
func batch(r *Role, c *Act) (time.Duration, int) {
	if c.Period == 0 && c.Number == 0 {
		return 0, 0
	}
	period, number := c.Period, c.Number
	if period == 0 {
		if period = r.Spec.ActionPeriod; period == 0 {
			period = time.Minute
		}
	}
	if number == 0 {
		number = max(1, r.Spec.ActionNumber)
	}
	return period, number
}

func (s *Service) schedule(i *Instance, a driver.Action, args string, at, now Time) {
	s.ActionID++
	s.head = true
	i.Actions = append(i.Actions, PendingAction{Serial: s.ActionID, Action: a, Args: args, At: at})
	s.dirty(i)
	s.enqueue(i)
	if at > now {
		s.wake(at, i.Serial)
	}
}

// terminate removes one machine on request. What follows is the role's rule for machines that are gone.
func (s *Service) terminate(i *Instance, a *PendingAction, now Time) {
	r := i.role
	hard, action := a.Action == terminateHard || a.Action == recreate, a.Action
	i.Actions = nil
	i.Hard = i.Hard || hard
	if i.Phase == Stopping || i.Phase == Replacing {
		return
	}
	if action != recreate && r.Spec.OnGone == Forget {
		s.stop(i, now)
		s.lower(r, now)
		return
	}
	s.replace(i, now)
}

func (s *Service) cancel(c *CancelAct) *Refusal {
	roles := s.Roles
	if c.Role != "" {
		r, refusal := s.roleOrRefuse(c.Role)
		if refusal != nil {
			return refusal
		}
		roles = []*Role{r}
	}
	for _, r := range roles {
		for i := range r.Instances {
			n := len(i.Actions)
			i.Actions = slices.DeleteFunc(i.Actions, func(a PendingAction) bool { return a.Serial == c.Serial && !a.issued })
			if len(i.Actions) != n {
				s.dirty(i)
			}
		}
	}
	return nil
}
