package service

import (
	"fmt"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A Step is one thing that a command would lead to.
type Step struct {
	// Wave counts what happens one after the other: steps of one wave happen together.
	Wave int    `json:"wave"`
	Do   string `json:"do"` // create, destroy, an action's name, refresh, remove; of needed services also use, change and let go
	Role string `json:"role,omitempty"`
	// Resource is the name of the resource that is created or destroyed.
	Resource string `json:"resource,omitempty"`
	// Service is the name, here, of the needed service that is made, used, changed or let go.
	Service string `json:"service,omitempty"`
	// Instances are the names concerned, at most ten of them; Count says how many there are.
	Instances []string `json:"instances,omitempty"`
	Count     int      `json:"count"`
	Driver    string   `json:"driver,omitempty"`
	// Implementation is what the machines are made with, where there is a choice.
	Implementation string `json:"implementation,omitempty"`
	Why            string `json:"why"`
}

// A Plan is what a command would do, found by letting the service do it on a back end where
// everything goes well.
type Plan struct {
	Steps []Step `json:"steps"`
	// State is the service's in the end.
	State State `json:"-"`
	// Total is how many instances there are in the end.
	Total int `json:"total"`
	// Warnings tell what will not work as it may be meant.
	Warnings []string `json:"warnings,omitempty"`
}

const planRounds = 100_000

// PlanNew tells what deploying a spec would do.
func PlanNew(spec *Spec, now time.Time) Plan {
	p := simulate(NewService(0, spec, Meta{Name: spec.Name}, now), now)
	p.Warnings = spec.missed(now)
	return p
}

// Plan tells what a command would do, without doing it; the error is the command's *Refusal.
func (s *Service) Plan(c *Command, now time.Time) (Plan, error) {
	twin, err := s.clone(now)
	if err != nil {
		return Plan{}, err
	}
	plain := *c
	plain.ID = ""
	if err := twin.Observe(Fact{Kind: Ordered, Command: &plain}, now); err != nil {
		return Plan{}, err
	}
	warnings := []string(nil)
	if c.Update != nil && c.Update.Spec != nil {
		warnings = c.Update.Spec.missed(now)
	}
	unmanaged := twin.unmanaged()
	if unmanaged {
		twin.Mode = Managed
		twin.takeUp(TimeOf(now))
		warnings = append(warnings, "the service is not managed: all of this waits until it is attached")
	}
	p := simulate(twin, now)
	p.Warnings = append(p.Warnings, warnings...)
	return p, nil
}

// clone copies a service by way of its records.
func (s *Service) clone(now time.Time) (*Service, error) {
	twin, err := Decode(s.encodeHead())
	if err != nil {
		return nil, err
	}
	var instances []*Instance
	var roles []uint16
	for _, r := range s.Roles {
		for i := range r.Instances {
			x, id, err := DecodeBlock(appendInstance([]byte{blockVersion}, i))
			if err != nil {
				return nil, err
			}
			instances, roles = append(instances, x...), append(roles, id...)
		}
	}
	return twin, twin.Load(s.Spec, s.Previous, instances, roles, now)
}

// simulate lets the service run where all goes well, and writes down what it does.
func simulate(s *Service, now time.Time) Plan {
	var p Plan
	for wave, round := 0, 0; round < planRounds; round++ {
		d := s.Decide(now)
		s.Changes()
		if len(d.Effects) > 0 {
			steps := len(p.Steps)
			if p.Steps = appendSteps(p.Steps, s, d.Effects, wave+1); len(p.Steps) > steps {
				wave++
			}
			now = now.Add(time.Millisecond)
			for _, e := range d.Effects {
				s.succeedAt(e, now)
			}
			continue
		}
		if d.More {
			continue
		}
		if s.State == Done || !s.busy() || d.Wake.IsZero() {
			break
		}
		if d.Wake.After(now) {
			now = d.Wake
		}
	}
	p.State, p.Total = s.State, s.instances.size()
	return p
}

// busy reports whether anything is still under way; a cooldown is not worth waiting for in a plan.
func (s *Service) busy() bool {
	return s.State.Transient() && s.State != Cooldown || s.work() || s.resourcesAtWork() || s.suppliersAtWork()
}

// work reports whether an instance is on its way.
func (s *Service) work() bool {
	for i := range s.instances.all {
		switch i.Phase {
		case Backoff, Creating, Starting, Replacing, Stopping:
			return true
		}
		if len(i.Actions) > 0 && i.Phase != Queued {
			return true
		}
	}
	return false
}

func (s *Service) succeedAt(e Effect, now time.Time) {
	f := Fact{Serial: e.Serial, Incarnation: e.Incarnation, Action: e.Token}
	i := s.instances.find(e.Serial)
	switch e.Kind {
	case DoCreate:
		f.Kind, f.Machine.State = Created, driver.Running
		if e.Hold {
			f.Machine.State = driver.Held
		}
		s.observeWell(f, i, now)
	case DoDestroy:
		f.Kind = Destroyed
		_ = s.Observe(f, now)
	case DoMake:
		f.Kind, f.Resource = Made, &driver.Resource{State: driver.Running}
		_ = s.Observe(f, now)
	case DoUnmake:
		f.Kind = Unmade
		_ = s.Observe(f, now)
	case DoSupply, DoDismiss:
		f.Kind, f.Supply = Supplied, s.supplyWell(e)
		_ = s.Observe(f, now)
	case DoEvaluate:
		f.Kind, f.Evaluation = Evaluated, s.evaluateWell()
		_ = s.Observe(f, now)
	case DoAct:
		f.Kind = Acted
		_ = s.Observe(f, now)
		if st, ok := after(e.Action); ok {
			s.observeWell(Fact{Kind: Seen, Serial: e.Serial, Incarnation: e.Incarnation, Machine: driver.Machine{State: st}}, i, now)
		}
	}
}

func (s *Service) observeWell(f Fact, i *Instance, now time.Time) {
	_ = s.Observe(f, now)
	if i != nil && f.Machine.State == driver.Running {
		_ = s.Observe(Fact{Kind: Checked, Serial: f.Serial, Incarnation: f.Incarnation, Health: Healthy}, now)
		if i.role.Spec.ReadyGate {
			_ = s.Observe(Fact{Kind: Reported, Serial: f.Serial, Key: "READY", Value: "YES"}, now)
		}
	}
}

// after is the state in which a successful action leaves a machine.
func after(a driver.Action) (driver.State, bool) {
	switch a {
	case driver.Stop, driver.Poweroff, driver.PoweroffHard:
		return driver.Stopped, true
	case driver.Suspend:
		return driver.Suspended, true
	case driver.Undeploy, driver.UndeployHard:
		return driver.Undeployed, true
	case driver.Resume, driver.Release, driver.Reboot, driver.RebootHard:
		return driver.Running, true
	}
	return 0, false
}

func appendSteps(steps []Step, s *Service, effects []Effect, wave int) []Step {
	first := len(steps)
	for _, e := range effects {
		step := Step{Wave: wave, Count: 1}
		r := s.roleByID(e.Role)
		if r != nil {
			step.Role = r.Name
		}
		i := s.instances.find(e.Serial)
		switch e.Kind {
		case DoCreate:
			step.Do = "create"
			step.Why = whyCreate(s, r, i)
			if x := s.ImplementationOf(e); x != nil {
				step.Driver = x.Driver
				if i != nil && len(r.Spec.Machine.Implementations) > 1 {
					step.Implementation = x.Title()
					step.Why += "; made by " + x.Title() + ": " + s.ChoiceOf(i)
				}
			}
		case DoDestroy:
			step.Do, step.Why = "destroy", whyDestroy(s, r, i)
		case DoAct:
			step.Do, step.Why = string(e.Action), "asked for"
		case DoRefresh:
			step.Do, step.Why = "refresh", "a role that it depends on has changed"
		case DoMake, DoUnmake:
			i, step = nil, s.resourceStep(e, wave)
		case DoSupply, DoDismiss:
			if i, step = nil, s.supplierStep(e, wave); step.Do == "" {
				continue
			}
		case DoEvaluate:
			continue
		case DoRemove:
			step.Do, step.Why = "remove", "the service's records, once all its machines are gone"
		}
		name := ""
		if i != nil {
			name = s.InstanceName(i)
		}
		merged := false
		for n := first; n < len(steps) && !merged; n++ {
			o := &steps[n]
			if o.Do == step.Do && o.Role == step.Role && o.Resource == step.Resource && o.Service == step.Service && o.Why == step.Why && o.Driver == step.Driver && o.Implementation == step.Implementation {
				o.Count++
				if len(o.Instances) < 10 && name != "" {
					o.Instances = append(o.Instances, name)
				}
				merged = true
			}
		}
		if !merged {
			if name != "" {
				step.Instances = []string{name}
			}
			steps = append(steps, step)
		}
	}
	return steps
}

func whyCreate(s *Service, r *Role, i *Instance) string {
	switch {
	case r == nil || i == nil:
		return "wished"
	case i.Incarnation > 1:
		return "takes the place of its machine before"
	case r.State == Updating:
		return fmt.Sprintf("made from revision %d", r.Revision)
	case r.State == Scaling:
		return fmt.Sprintf("role %s grows to %d", r.Name, r.Cardinality)
	case s.Deployed && i.Failures > 0:
		return "replaces a failed instance"
	case s.Spec.Strategy == Straight && len(r.parents) > 0:
		names := make([]string, len(r.parents))
		for n, p := range r.parents {
			names[n] = p.Name
		}
		return "needs " + strings.Join(names, ", ") + ", which is ready then"
	}
	return fmt.Sprintf("role %s wants %d", r.Name, r.Cardinality)
}

func whyDestroy(s *Service, r *Role, i *Instance) string {
	switch {
	case r == nil || i == nil:
		return "no longer wished"
	case s.Leaving:
		return "the service is removed"
	case r.Removing:
		return "role " + r.Name + " is removed"
	case r.State == Updating:
		return fmt.Sprintf("made from revision %d, which is replaced", i.Revision)
	case i.Phase == Replacing:
		return "its successor takes its place"
	case r.State == Scaling:
		return fmt.Sprintf("role %s shrinks to %d", r.Name, r.Cardinality)
	}
	return fmt.Sprintf("role %s wants %d", r.Name, r.Cardinality)
}
