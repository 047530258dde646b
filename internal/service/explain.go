package service

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Explanation says why a service is in its state, what it waits for and what comes next.
type Explanation struct {
	State  string    `json:"state"`
	Mode   string    `json:"mode"` // managed, unmanaged or pass
	Since  time.Time `json:"since"`
	Why    string    `json:"why"`
	Waits  []string  `json:"waits,omitempty"`
	Next   []string  `json:"next,omitempty"`
	Advice []string  `json:"advice,omitempty"`
	// Rollback is the revision that a rollback without a number goes to; 0 when there is none.
	Rollback  uint32                `json:"rollback,omitempty"`
	Roles     []RoleExplanation     `json:"roles"`
	Resources []ResourceExplanation `json:"resources,omitempty"`
	// Backends are those of its back ends that something is wrong with; who explains knows them, not the core.
	Backends []BackendExplanation `json:"backends,omitempty"`
	Story    []Event              `json:"-"`
}

// A BackendExplanation says what is wrong with a back end that a service uses, and what can be done about it.
type BackendExplanation struct {
	Name   string    `json:"name"`
	Since  time.Time `json:"since,omitzero"`
	Why    string    `json:"why"`
	Advice string    `json:"advice"`
}

// Blame adds what is wrong with a back end.
func (e *Explanation) Blame(b BackendExplanation) {
	e.Backends = append(e.Backends, b)
	text := "back end " + b.Name + ": " + b.Why
	if !b.Since.IsZero() {
		text += ", since " + b.Since.UTC().Format(time.RFC3339)
	}
	e.Waits = append(e.Waits, text)
	e.Advice = append(e.Advice, b.Advice)
}

// A RoleExplanation does the same for a role.
type RoleExplanation struct {
	Name        string         `json:"name"`
	State       string         `json:"state"`
	Why         string         `json:"why"`
	Cardinality int            `json:"cardinality"`
	Phases      map[string]int `json:"phases"`
	Bad         []string       `json:"bad,omitempty"` // instances that do not work, with their reasons
	// Policies are those of the role, and Decision is the last change that one of them made.
	Policies []PolicyState   `json:"policies,omitempty"`
	Decision *PolicyDecision `json:"decision,omitempty"`
	// Implementations are what its machines are made with, where there is a choice.
	Implementations []ImplementationExplanation `json:"implementations,omitempty"`
}

// A ResourceExplanation does the same for a resource.
type ResourceExplanation struct {
	Name    string            `json:"name"`
	Kind    string            `json:"kind"`
	Driver  string            `json:"driver"`
	State   string            `json:"state"`
	Why     string            `json:"why,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"`
}

// Explain explains the service as it stands, from the same state that Decide decides from.
func (s *Service) Explain(now time.Time) Explanation {
	e := Explanation{State: s.State.String(), Mode: s.Mode.String(), Since: s.Since.Time(), Why: s.Reason, Story: slices.Clone(s.Log)}
	if e.Why == "" {
		e.Why = s.inWords()
	}
	t := TimeOf(now)
	for _, r := range s.Roles {
		re := RoleExplanation{Name: r.Name, State: r.State.String(), Why: r.Reason, Cardinality: r.Cardinality, Phases: map[string]int{},
			Policies: s.PolicyStates(r, now), Decision: r.Decision, Implementations: r.explainChoice(t)}
		for p := range phases {
			if n := r.lists[p].n; n > 0 {
				re.Phases[p.String()] = n
			}
		}
		for _, p := range [...]Phase{Resting, Down, Backoff} {
			for i := r.lists[p].head; i != nil && len(re.Bad) < 10; i = i.next {
				re.Bad = append(re.Bad, s.badInstance(i, t))
			}
		}
		e.Roles = append(e.Roles, re)
		if s.unmanaged() {
			for i := r.lists[Up].head; i != nil && r.ills > 0 && len(re.Bad) < 10; i = i.next {
				if i.ill() {
					re.Bad = append(re.Bad, s.illness(i))
				}
			}
			e.Roles[len(e.Roles)-1] = re
			if why := s.waiting(r); why != "" {
				e.Waits = append(e.Waits, "to be attached: role "+r.Name+": "+why)
			}
			continue
		}
		if r.complete() && !r.rolling() && r.State != Cooldown {
			continue
		}
		if r.State != Cooldown {
			e.Waits = append(e.Waits, "role "+r.Name+": "+r.waitsFor(s))
		}
		e.Next = append(e.Next, s.next(r, t)...)
	}
	s.explainResources(&e, t)
	e.Advice = s.advice()
	s.explainMode(&e, t)
	e.Rollback, _ = s.RollbackTarget()
	return e
}

// explainMode says what follows from the service's not being looked after, or not for long.
func (s *Service) explainMode(e *Explanation, now Time) {
	switch {
	case s.unmanaged():
		if s.Rollout != nil {
			e.Waits = append(e.Waits, fmt.Sprintf("to be attached: the update to revision %d", s.Rollout.To))
		}
		e.Advice = []string{"attach the service to have it looked after, for good or for one pass"}
		if s.Pass != nil && s.Pass.Failure != "" {
			e.Next = append(e.Next, fmt.Sprintf("its last pass, which ended %v ago, left undone: %s", now.Sub(s.Pass.Ended).Round(time.Second), s.Pass.Failure))
		}
	case s.Mode == OnePass && !s.Leaving && s.Pass != nil && s.Pass.Until > 0:
		e.Next = append(e.Next, fmt.Sprintf("it is left alone when all has settled, in %v at the latest", s.Pass.Until.Sub(now).Round(time.Second)))
	case s.Mode == OnePass && !s.Leaving:
		e.Next = append(e.Next, "it is left alone when its first deployment has come to its end")
	}
}

func (s *Service) explainResources(e *Explanation, now Time) {
	for _, x := range s.Resources {
		e.Resources = append(e.Resources, ResourceExplanation{Name: x.Name, Kind: x.Kind, Driver: x.Driver, State: x.Phase.String(), Why: x.Reason, Outputs: x.Outputs})
		if x.Phase != ResourceReady && x.Phase != ResourceGone {
			e.Waits = append(e.Waits, "resource "+x.Name+": "+x.waitsFor())
		}
		if x.Until > now {
			e.Next = append(e.Next, fmt.Sprintf("resource %s is tried again in %v", x.Name, x.Until.Sub(now).Round(time.Second)))
		}
	}
}

func (s *Service) badInstance(i *Instance, now Time) string {
	var why []string
	switch {
	case i.Reason != "":
		why = append(why, i.Reason)
	case i.Failures > 0: // their reason went when it came up again
		why = append(why, fmt.Sprintf("failures in a row so far: %d", i.Failures))
	}
	if i.Phase == Backoff {
		why = append(why, fmt.Sprintf("tried again in %v", i.Until.Sub(now).Round(time.Second)))
	}
	return strings.TrimSuffix(fmt.Sprintf("%s (%s): %s", s.InstanceName(i), i.Phase, strings.Join(why, "; ")), ": ")
}

func (s *Service) inWords() string {
	switch s.State {
	case Pending, Deploying:
		return "its roles are being deployed"
	case DeployingNets:
		return "its resources are being made"
	case UndeployingNets:
		return "its machines are gone, its resources are being removed"
	case Running:
		return "all roles have what they should"
	case Undeploying:
		return "it was asked to go"
	case Done:
		return "all its machines are gone"
	case Scaling:
		return "a role changes its size"
	case Updating:
		return fmt.Sprintf("it rolls over to revision %d", s.Revision)
	case Cooldown:
		return "it rests after a scaling"
	}
	return ""
}

func (s *Service) next(r *Role, now Time) (out []string) {
	switch {
	case r.State == Cooldown:
		out = append(out, fmt.Sprintf("role %s ends its cooldown in %v", r.Name, r.Until.Sub(now).Round(time.Second)))
	case r.State == Deploying || r.State == Scaling || r.State == Updating:
		out = append(out, fmt.Sprintf("role %s is declared failed if nothing comes up within %v", r.Name, r.progress.Add(r.startTimeout()).Sub(now).Round(time.Second)))
	}
	if i := r.lists[Backoff].head; i != nil {
		out = append(out, fmt.Sprintf("%s is tried again in %v", s.InstanceName(i), i.Until.Sub(now).Round(time.Second)))
	}
	return out
}

func (s *Service) advice() (out []string) {
	switch s.State {
	case FailedDeploying, FailedDeployingNets, FailedScaling, Warning:
		out = append(out, "mend the cause, then recover the service; or remove it")
	case FailedUpdating:
		back := "return to an earlier revision by its number"
		if r, err := s.RollbackTarget(); err == nil {
			back = fmt.Sprintf("roll back, to revision %d", r)
		}
		out = append(out, back+"; or mend the cause and recover the service to go on")
	case FailedUndeploying, FailedUndeployingNets:
		out = append(out, "removal is tried again by itself; recover asks again at once, the hard way")
	case Hold:
		out = append(out, "release the service to start its machines")
	}
	return out
}
