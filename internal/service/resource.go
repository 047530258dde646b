package service

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A Resource is the run-time state of one resource of a service: a network, a volume, an address. Like a
// role it is a node of the service's graph: it is made when all that it needs is ready, and removed when
// nothing that needs it is left.
type Resource struct {
	Serial  uint32        `json:"serial"` // within the service; one that is made again bears a new one
	Name    string        `json:"name"`
	Kind    string        `json:"kind"`
	Driver  string        `json:"driver"`
	Account string        `json:"account,omitempty"`
	Phase   ResourcePhase `json:"phase"`
	Reason  string        `json:"reason,omitempty"`
	Since   Time          `json:"since"` // when it came into the phase
	Begun   Time          `json:"begun,omitempty"`
	Until   Time          `json:"until,omitempty"` // the next try
	// Tries counts calls in a row without a definite answer, Failures what went wrong for certain.
	Tries    uint16 `json:"tries,omitempty"`
	Failures uint16 `json:"failures,omitempty"`
	Made     bool   `json:"made,omitempty"` // it exists, or it may
	// Overdue: it took longer than the deadline, counted from Begun. It is tried on.
	Overdue bool   `json:"overdue,omitempty"`
	Native  string `json:"native,omitempty"`
	// Outputs are what machines and users may refer to.
	Outputs map[string]string `json:"outputs,omitempty"`

	Spec *ResourceSpec `json:"-"` // nil when the service's spec has it no more

	needs, children []*Resource
	users           []*Role
	bearers         []*Role     // whose machines have its address, leaving ones too
	before          []*Role     // whose machines had it before the update that is under way
	supplies        []*Supplier // that need it
	issued          bool
	asks            uint32 // calls asked for since it was loaded: the number of the last one
}

// ResourcePhase is where a resource is in its life.
type ResourcePhase uint8

// The phases of a resource.
const (
	ResourceWanted   ResourcePhase = iota // to be made, as soon as what it needs is ready
	ResourceCreating                      // asked for; it may exist
	ResourceReady                         // machines may use it
	ResourceFailed                        // it could not be made; a timer or a person decides
	ResourceRemoving                      // its removal was asked for
	ResourceGone                          // removed with its service
)

var resourcePhaseNames = [...]string{"wanted", "creating", "ready", "failed", "removing", "gone"}

// String returns the phase in lower case.
func (p ResourcePhase) String() string {
	if int(p) < len(resourcePhaseNames) {
		return resourcePhaseNames[p]
	}
	return "unknown"
}

// Waits between looks at a resource that its back end still makes.
const (
	shortestLook = 100 * time.Millisecond
	longestLook  = 10 * time.Second
)

// ResourceID names a resource for its driver, for ever.
func ResourceID(service uint64, serial uint32) driver.MachineID {
	return driver.MachineID(fmt.Sprintf("%d-r%d", service, serial))
}

// ParseResourceID splits what ResourceID built.
func ParseResourceID(id driver.MachineID) (service uint64, serial uint32, ok bool) {
	a, b, ok := strings.Cut(string(id), "-r")
	if !ok {
		return 0, 0, false
	}
	service, err1 := strconv.ParseUint(a, 10, 64)
	n, err2 := strconv.ParseUint(b, 10, 32)
	return service, uint32(n), err1 == nil && err2 == nil
}

// Makes reports whether the resource with that serial is the service's, and exists or may exist.
func (s *Service) Makes(serial uint32) bool {
	x := s.resourceBy(serial)
	return x != nil && x.Made
}

// Resource returns the named resource, or nil.
func (s *Service) Resource(name string) *Resource {
	for _, x := range s.Resources {
		if x.Name == name {
			return x
		}
	}
	return nil
}

// ResourceOf returns the resource that a DoMake or DoUnmake is about, or nil when it has left.
func (s *Service) ResourceOf(e Effect) *Resource { return s.resourceBy(e.Serial) }

func (s *Service) resourceBy(serial uint32) *Resource {
	for _, x := range s.Resources {
		if x.Serial == serial {
			return x
		}
	}
	return nil
}

// takeResources makes the spec's resources the wished ones.
func (s *Service) takeResources(now Time) {
	for _, x := range s.Resources {
		spec := s.Spec.Resource(x.Name)
		if x.Spec == nil || spec == nil || sameResource(x.Spec, spec) {
			continue
		}
		x.Spec, x.Failures, x.Begun, x.Overdue = spec, 0, 0, false
		switch x.Phase {
		case ResourceReady: // resourcesAgree lets no other resource change
			x.Kind = spec.Kind
			s.record(x, now)
		case ResourceWanted:
			s.renew(x, now)
		case ResourceFailed:
			x.Until = now
		}
	}
	known := make(map[string]bool, len(s.Resources))
	for _, x := range s.Resources {
		known[x.Name] = true
	}
	for n := range s.Spec.Resources {
		if spec := &s.Spec.Resources[n]; !known[spec.Name] {
			x := &Resource{Name: spec.Name, Spec: spec}
			s.Resources = append(s.Resources, x)
			s.renew(x, now)
		}
	}
}

// renew makes a resource one that is still to be made.
func (s *Service) renew(x *Resource, now Time) {
	s.ResourceSerial++
	*x = Resource{Serial: s.ResourceSerial, Name: x.Name, Kind: x.Spec.Kind, Driver: x.Spec.Driver, Account: x.Spec.Account, Since: now,
		Begun: x.Begun, Failures: x.Failures, Reason: x.Reason, Overdue: x.Overdue, Spec: x.Spec, needs: x.needs, children: x.children, users: x.users, supplies: x.supplies, asks: x.asks}
	s.head = true
}

// linkResources sets the edges of the graph that begin or end at a resource.
func (s *Service) linkResources() {
	byName := make(map[string]*Resource, len(s.Resources))
	for _, x := range s.Resources {
		x.Spec = nil
		x.needs, x.children, x.users, x.bearers, x.before, x.supplies = nil, nil, nil, nil, nil, nil
		byName[x.Name] = x
	}
	for n := range s.Spec.Resources {
		if x := byName[s.Spec.Resources[n].Name]; x != nil {
			x.Spec = &s.Spec.Resources[n]
		}
	}
	for _, x := range s.Resources {
		if x.Spec == nil {
			continue
		}
		for _, name := range x.Spec.Needs {
			if y := byName[name]; y != nil && y != x {
				x.needs, y.children = append(x.needs, y), append(y.children, x)
			}
		}
	}
	for _, r := range s.Roles {
		r.needs = nil
		for _, name := range r.Spec.Needs {
			if x := byName[name]; x != nil {
				r.needs, x.users = append(r.needs, x), append(x.users, r)
			}
		}
		if r.bears = byName[r.Spec.Address]; r.bears != nil {
			r.bears.bearers = append(r.bears.bearers, r)
		}
	}
	s.linkBefore(byName)
}

// resumeResources takes up what was under way when the service was stored.
func (s *Service) resumeResources() {
	for _, x := range s.Resources {
		if x.Until > 0 {
			s.wake(x.Until, 0)
		}
		if x.Begun > 0 && !x.Overdue {
			s.wake(x.Begun.Add(defaultTimeout), 0)
		}
	}
}

// lacking names a resource or a service that must be ready before the role's machines are made; "" for none.
func (r *Role) lacking() string {
	for _, x := range r.needs {
		if x.Phase != ResourceReady {
			return "resource " + x.Name
		}
	}
	for _, x := range r.suppliers {
		if !x.Ready() {
			return "service " + x.Name
		}
	}
	return ""
}

// Resources returns what the role needs beside other roles.
func (r *Role) Resources() []*Resource { return r.needs }

// evaluateResources decides about all resources. There are few, so it looks at each, again as long as one
// that moved may have let another move.
func (s *Service) evaluateResources(now Time) {
	for moved := true; moved; {
		moved = false
		for _, x := range s.Resources {
			before := x.Phase
			s.evaluateResource(x, now)
			moved = moved || x.Phase != before
		}
	}
	// What the present spec does not wish leaves no trace, whether or not the service itself leaves.
	s.Resources = slices.DeleteFunc(s.Resources, func(x *Resource) bool { return x.Phase == ResourceGone && (!s.Leaving || x.Spec == nil) })
}

func (s *Service) evaluateResource(x *Resource, now Time) {
	if s.mayLeave(x) {
		x.Begun, x.Overdue, x.Failures, x.Tries = now, false, 0, 0
		if x.Made {
			s.removeResource(x, now)
		} else {
			s.enterResource(x, ResourceGone, now)
		}
	}
	switch x.Phase {
	case ResourceWanted:
		if s.mayMake(x) && x.Until <= now {
			if x.recorded() {
				s.record(x, now)
				break
			}
			if x.Begun == 0 {
				s.beginResource(x, now)
			}
			x.Made = true
			s.enterResource(x, ResourceCreating, now)
		}
	case ResourceCreating:
		if !s.Leaving && x.Spec != nil {
			s.askResource(x, DoMake, now)
		}
	case ResourceFailed:
		if x.Until == 0 || x.Until > now || s.Leaving || x.Spec == nil {
			break
		}
		if x.Made {
			s.removeResource(x, now)
		} else {
			s.renew(x, now) // under a new id: a late answer to the last try must not count for the next
		}
	case ResourceRemoving:
		s.askResource(x, DoUnmake, now)
	}
	if x.Begun > 0 && !x.Overdue && x.Phase != ResourceReady && x.Phase != ResourceGone && x.Begun.Add(defaultTimeout) <= now {
		s.overdueResource(x, now)
	}
}

func (s *Service) beginResource(x *Resource, now Time) {
	x.Begun, x.Overdue = now, false
	s.wake(now.Add(defaultTimeout), 0)
}

func (s *Service) overdueResource(x *Resource, now Time) {
	what := "ready"
	if x.Phase == ResourceRemoving {
		what = "gone"
	}
	x.Overdue, s.head = true, true
	x.Reason = strings.TrimSuffix(fmt.Sprintf("not %s after %v: %s", what, defaultTimeout, x.Reason), ": ")
	s.event(now, true, nil, nil, "resource %s is %s", x.Name, x.Reason)
}

// mayMake: a node of the graph is made when all that it needs is ready.
func (s *Service) mayMake(x *Resource) bool {
	return !s.Leaving && x.Spec != nil && !slices.ContainsFunc(x.needs, func(y *Resource) bool { return y.Phase != ResourceReady })
}

// mayLeave: a node that is no longer wished goes when nothing that needs it is left. With a service,
// resources go when all its roles have gone; after an update, when no machine of the old spec is left.
func (s *Service) mayLeave(x *Resource) bool {
	switch {
	case x.Phase == ResourceRemoving || x.Phase == ResourceGone:
		return false
	case s.Leaving:
		if slices.ContainsFunc(s.Roles, func(r *Role) bool { return r.State != Done }) {
			return false
		}
	case x.Spec != nil:
		return false
	case x.Phase == ResourceReady && (s.Rollout != nil || len(x.users) > 0): // no machine uses one that never was
		return false
	}
	return !slices.ContainsFunc(x.children, func(y *Resource) bool { return y.Phase != ResourceGone }) && allGone(x.supplies)
}

func (s *Service) enterResource(x *Resource, p ResourcePhase, now Time) {
	x.Phase, x.Since, x.Until, x.Tries, x.issued = p, now, 0, 0, false
	s.head = true
}

func (s *Service) removeResource(x *Resource, now Time) {
	s.enterResource(x, ResourceRemoving, now)
	s.wake(x.Begun.Add(defaultTimeout), 0)
}

func (s *Service) askResource(x *Resource, do EffectKind, now Time) {
	if !x.issued && x.Until <= now {
		x.issued = true
		x.asks++
		s.effects = append(s.effects, Effect{Kind: do, Serial: x.Serial, Native: x.Native, Repeated: x.Tries > 0, Token: x.asks})
	}
}

// made hears the answer to a DoMake.
func (s *Service) made(f Fact, now Time) {
	x := s.resourceBy(f.Serial)
	if x == nil {
		return
	}
	if f.Resource == nil {
		f.Resource = &driver.Resource{}
	}
	if f.Resource.Native != "" && f.Resource.Native != x.Native {
		x.Native, s.head = f.Resource.Native, true
	}
	if x.Phase != ResourceCreating || x.stale(f) {
		return // it was given up meanwhile, or the answer to a later call decides
	}
	x.issued, s.head = false, true
	switch {
	case f.Err != "" && f.Definite:
		x.Made = false
		s.failResource(x, f.Err, f.Class, now)
	case f.Err != "":
		x.Reason = f.Err
		x.Tries++
		s.retryResource(x, pause(int(x.Tries)), now)
	case f.Resource.State == driver.Running:
		x.Outputs, x.Reason = s.withoutSecrets(f.Resource.Outputs), ""
		x.Begun, x.Failures, x.Overdue = 0, 0, false
		s.enterResource(x, ResourceReady, now)
		s.stale = true
		s.askAgain(x.supplies)
		s.event(now, false, nil, nil, "resource %s is ready", x.Name)
		for _, r := range x.users {
			r.progress = now
			s.touch(r)
		}
	case f.Resource.State == driver.Failed, f.Resource.State == driver.Gone:
		x.Made = f.Resource.State == driver.Failed
		reason := f.Resource.Reason
		if reason == "" {
			reason = "its back end says that it is " + f.Resource.State.String()
		}
		s.failResource(x, reason, "", now)
	default:
		x.Tries = 0
		s.retryResource(x, min(max(now.Sub(x.Since)/2, shortestLook), longestLook), now)
	}
}

// stale reports whether another call was asked for since the one that the fact answers: of two that are under way,
// one may make what the other could not.
func (x *Resource) stale(f Fact) bool { return f.Action != 0 && f.Action != x.asks }

func (s *Service) retryResource(x *Resource, wait time.Duration, now Time) {
	x.Until = now.Add(wait)
	s.wake(x.Until, 0)
}

// failResource: what a back end refuses for good, and what heals by hand, waits for a person.
func (s *Service) failResource(x *Resource, reason, class string, now Time) {
	x.Reason = reason
	x.Failures++
	s.event(now, true, nil, nil, "resource %s cannot be made: %s", x.Name, reason)
	s.enterResource(x, ResourceFailed, now)
	if x.Spec != nil && x.Spec.Heal != HealManual && class != "invalid" && class != "denied" && class != "unsupported" {
		s.retryResource(x, pause(int(x.Failures)), now)
	}
}

// withoutSecrets hides outputs that show an input which is never shown.
func (s *Service) withoutSecrets(outputs map[string]string) map[string]string {
	for key, value := range outputs {
		for _, name := range s.Spec.Secrets {
			if secret := s.Spec.Inputs[name]; secret != "" && strings.Contains(value, secret) {
				outputs[key] = driver.Redacted
			}
		}
	}
	return outputs
}

// unmade hears the answer to a DoUnmake.
func (s *Service) unmade(f Fact, now Time) {
	x := s.resourceBy(f.Serial)
	if x == nil || x.Phase != ResourceRemoving || x.stale(f) {
		return
	}
	x.issued, s.head = false, true
	if f.Err != "" {
		x.Reason = f.Err
		x.Tries++
		s.retryResource(x, pause(int(x.Tries)), now)
		return
	}
	if s.Leaving || x.Spec == nil {
		x.Made, x.Reason = false, ""
		s.enterResource(x, ResourceGone, now)
		s.event(now, false, nil, nil, "resource %s is gone", x.Name)
		return
	}
	if x.Failures == 0 {
		x.Begun, x.Overdue = 0, false
	}
	s.renew(x, now) // it is made again
}

// recoverResources sets everything that gave up, or waits before its next try, going again.
func (s *Service) recoverResources(now Time) {
	for _, x := range s.Resources {
		switch {
		case x.Phase == ResourceFailed:
			x.Failures, x.Until = 0, now
		case x.Tries > 0 || x.Overdue:
			x.Until = 0
			x.issued = x.issued && x.Phase == ResourceCreating // a removal may be asked for twice at a time
		default:
			continue
		}
		s.beginResource(x, now)
		s.head = true
	}
}

// broken returns a resource that keeps the service from being well until somebody acts, or nil.
func (s *Service) broken() *Resource {
	for _, x := range s.Resources {
		if x.Spec != nil && (x.Overdue || x.Phase == ResourceFailed && x.Until == 0) {
			return x
		}
	}
	return nil
}

// unready returns a wished resource that machines may not use yet, or nil.
func (s *Service) unready() *Resource {
	for _, x := range s.Resources {
		if x.Spec != nil && x.Phase != ResourceReady {
			return x
		}
	}
	return nil
}

// waitsFor says what keeps the resource from being ready, or from being gone.
func (x *Resource) waitsFor() string {
	for _, y := range x.needs {
		if x.Phase == ResourceWanted && y.Phase != ResourceReady {
			return "waits for resource " + y.Name
		}
	}
	if x.Reason != "" {
		return x.Phase.String() + ": " + x.Reason
	}
	return x.Phase.String()
}

// deriveResources computes the service's state as far as resources decide it, and reports whether they do.
func (s *Service) deriveResources(now Time) bool {
	if x := s.broken(); x != nil {
		s.setState(FailedDeployingNets, "resource "+x.Name+": "+x.Reason, now)
		s.deploymentFailed(FailedDeployingNets, now)
		return true
	}
	x := s.unready()
	if x == nil || slices.ContainsFunc(s.Roles, func(r *Role) bool { return r.State != Pending && r.State != Running }) {
		return false
	}
	s.setState(DeployingNets, "resource "+x.Name+": "+x.waitsFor(), now)
	return true
}

// deriveUnmaking does the same for a service whose roles are all gone.
func (s *Service) deriveUnmaking(reason string, now Time) bool {
	left := false
	for _, x := range s.Resources {
		if x.Phase == ResourceRemoving && x.Overdue {
			s.setState(FailedUndeployingNets, "resource "+x.Name+": "+x.Reason, now)
			return true
		}
		left = left || x.Phase != ResourceGone
	}
	if left {
		if s.State == FailedUndeployingNets {
			reason = ""
		}
		s.setState(UndeployingNets, reason, now)
	}
	return left
}

// resourcesAgree refuses a spec that gives a resource which is in use another meaning. One that could not
// be made yet may be mended.
func (s *Service) resourcesAgree(next *Spec) *Refusal {
	for n := range next.Resources {
		fresh := &next.Resources[n]
		x := s.Resource(fresh.Name)
		if x == nil || (x.Phase != ResourceCreating && x.Phase != ResourceReady) || x.recorded() && fresh.Driver == Recorded {
			continue
		}
		old := x.Spec
		if old == nil && s.Previous != nil {
			old = s.Previous.Resource(fresh.Name)
		}
		if old == nil || !sameResource(old, fresh) {
			return refuse(BadValue, "resource %s cannot be changed while machines may use it; give the changed one another name", fresh.Name)
		}
	}
	return nil
}

// Serves reports whether a resource made for the one spec serves the other as it is. Recorded ones change in place.
func (x *ResourceSpec) Serves(other *ResourceSpec) bool {
	return x.Driver == Recorded && other.Driver == Recorded || sameResource(x, other)
}

// sameResource reports whether a resource made for one spec serves the other.
func sameResource(a, b *ResourceSpec) bool {
	return a.Kind == b.Kind && a.Driver == b.Driver && a.Account == b.Account && a.Addresses == b.Addresses &&
		(len(a.Options)+len(b.Options) == 0 || reflect.DeepEqual(a.Options, b.Options))
}

// resourcesAtWork reports whether a resource is on its way.
func (s *Service) resourcesAtWork() bool {
	return slices.ContainsFunc(s.Resources, func(x *Resource) bool { return x.Phase == ResourceCreating || x.Phase == ResourceRemoving })
}

// resourceStep is what a DoMake or DoUnmake is in a plan.
func (s *Service) resourceStep(e Effect, wave int) Step {
	step := Step{Wave: wave, Do: "create", Count: 1}
	x := s.resourceBy(e.Serial)
	if x == nil {
		return step
	}
	step.Resource, step.Driver = x.Name, x.Driver
	switch {
	case e.Kind == DoMake:
		var names []string
		for _, r := range x.users {
			names = append(names, r.Name)
		}
		for _, y := range x.children {
			names = append(names, y.Name)
		}
		step.Why = x.Kind + ", which the service wants"
		if len(names) > 0 {
			step.Why = x.Kind + ", needed by " + strings.Join(names, ", ")
		}
	case s.Leaving:
		step.Do, step.Why = "destroy", "the service is removed"
	default:
		step.Do, step.Why = "destroy", "nothing needs it any more"
	}
	return step
}
