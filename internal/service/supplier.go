package service

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Supplier is the run-time state of a service that this one needs. Like a role it is a node of the service's graph: it is
// made, or bound, when all that it needs is ready, and let go when nothing that needs it is left.
type Supplier struct {
	Serial uint32        `json:"serial"` // within the service; one that is made again bears a new one
	Name   string        `json:"name"`
	Owned  bool          `json:"owned,omitempty"` // it is made for this service, and goes with it
	Phase  SupplierPhase `json:"phase"`
	Reason string        `json:"reason,omitempty"`
	Since  Time          `json:"since"` // when it came into the phase
	Begun  Time          `json:"begun,omitempty"`
	Until  Time          `json:"until,omitempty"` // the next try
	// Tries counts calls in a row without a definite answer, Failures what went wrong for certain.
	Tries    uint16 `json:"tries,omitempty"`
	Failures uint16 `json:"failures,omitempty"`
	Made     bool   `json:"made,omitempty"`    // it exists or is bound, or it may
	Overdue  bool   `json:"overdue,omitempty"` // it took longer than the deadline, counted from Begun
	Served   bool   `json:"served,omitempty"`  // it was ready once
	// Asked counts what was wished of the other service; a wish that is repeated counts once there.
	Asked uint32 `json:"asked,omitempty"`
	// Revive is the wish by which the other service is to be recovered; 0 for none.
	Revive uint32 `json:"revive,omitempty"`
	// Service, State and Why are the other service's id, state and reason as it told last.
	Service uint64 `json:"service,omitempty"`
	State   State  `json:"state,omitempty"`
	Why     string `json:"why,omitempty"`
	// Seen is the other's OutputRevision.
	Seen uint32 `json:"seen,omitempty"`
	// Outputs are the other's as it told last.
	Outputs map[string]string `json:"-"`
	// Title is the other service's name, "" until it has told.
	Title string `json:"-"`

	Spec *SupplierSpec `json:"-"` // nil when the service's spec has it no more

	needRoles       []*Role
	needResources   []*Resource
	needs, children []*Supplier
	users           []*Role
	sensitive       []string // of Outputs, those that are not shown
	issued          bool
	calls           uint32 // asked for since it was loaded: the number of the last one
	at              int64  // Supply.At of what it told last
	told            bool   // it has told how it is since it was loaded
}

// SupplierPhase is where a needed service is in its life with the one that needs it.
type SupplierPhase uint8

// The phases of a needed service.
const (
	SupplierWanted  SupplierPhase = iota // to be made or bound, as soon as what it needs is ready
	SupplierBound                        // asked for: it exists, or it may
	SupplierFailed                       // it cannot be had; a timer or a person decides
	SupplierLeaving                      // it is being let go
	SupplierGone                         // let go with the service
)

var supplierPhaseNames = [...]string{"wanted", "bound", "failed", "leaving", "gone"}

// String returns the phase in lower case.
func (p SupplierPhase) String() string {
	if int(p) < len(supplierPhaseNames) {
		return supplierPhaseNames[p]
	}
	return "unknown"
}

const supplierTimeout = 15 * time.Minute

func (x *Supplier) timeout() time.Duration {
	if x.Spec != nil && x.Spec.StartTimeout > 0 {
		return x.Spec.StartTimeout
	}
	return supplierTimeout
}

// serves reports whether the other service does what it is there for: it runs, or did and is only changed.
func (x *Supplier) serves() bool {
	switch x.State {
	case Running:
		return true
	case Scaling, Cooldown, Updating:
		return x.Served
	}
	return false
}

// Ready reports whether what needs it may be made: it runs, and each output that is referred to has a value.
func (x *Supplier) Ready() bool {
	return x.Phase == SupplierBound && x.told && x.serves() && x.lacks() == ""
}

// lacks names an output that is referred to and has no value; "" for none.
func (x *Supplier) lacks() string {
	if x.Spec != nil {
		for _, name := range x.Spec.Uses {
			if x.Outputs[name] == "" {
				return name
			}
		}
	}
	return ""
}

// Supplier returns the needed service of that name, or nil.
func (s *Service) Supplier(name string) *Supplier {
	for _, x := range s.Suppliers {
		if x.Name == name {
			return x
		}
	}
	return nil
}

// SupplierOf returns the needed service that a DoSupply or DoDismiss is about, or nil when it has left.
func (s *Service) SupplierOf(e Effect) *Supplier {
	for _, x := range s.Suppliers {
		if x.Serial == e.Serial {
			return x
		}
	}
	return nil
}

// Roles, Resources and Suppliers are what a needed service itself needs.
func (x *Supplier) Roles() []*Role { return x.needRoles }

// Resources returns the resources that it needs.
func (x *Supplier) Resources() []*Resource { return x.needResources }

// Suppliers returns the other needed services that it needs.
func (x *Supplier) Suppliers() []*Supplier { return x.needs }

// Suppliers returns the services that the role needs.
func (r *Role) Suppliers() []*Supplier { return r.suppliers }

// takeSuppliers makes the spec's needed services the wished ones.
func (s *Service) takeSuppliers(now Time) {
	for _, x := range s.Suppliers {
		spec := s.Spec.Supplier(x.Name)
		if spec == nil || x.Spec == nil || reflect.DeepEqual(x.Spec, spec) {
			continue
		}
		x.Spec, x.Failures, x.Overdue = spec, 0, false
		switch x.Phase {
		case SupplierWanted:
			s.renewSupplier(x, now)
		case SupplierFailed:
			x.Until = now
		case SupplierBound:
			s.askAgain([]*Supplier{x})
		}
	}
	for n := range s.Spec.Services {
		if spec := &s.Spec.Services[n]; s.Supplier(spec.Name) == nil {
			x := &Supplier{Name: spec.Name, Spec: spec}
			s.Suppliers = append(s.Suppliers, x)
			s.renewSupplier(x, now)
		}
	}
}

// renewSupplier makes a needed service one that is still to be had.
func (s *Service) renewSupplier(x *Supplier, now Time) {
	s.SupplierSerial++
	*x = Supplier{Serial: s.SupplierSerial, Name: x.Name, Owned: x.Spec.Spec != nil, Since: now, Begun: x.Begun, Failures: x.Failures, Reason: x.Reason,
		Overdue: x.Overdue, Spec: x.Spec, needRoles: x.needRoles, needResources: x.needResources, needs: x.needs, children: x.children, users: x.users, calls: x.calls}
	s.head = true
}

// linkSuppliers sets the edges of the graph that begin or end at a needed service.
func (s *Service) linkSuppliers() {
	for _, r := range s.Roles {
		r.suppliers, r.supplies = nil, nil
	}
	for _, x := range s.Suppliers {
		x.Spec = s.Spec.Supplier(x.Name)
		x.needRoles, x.needResources, x.needs, x.children, x.users = nil, nil, nil, nil, nil
	}
	for _, x := range s.Suppliers {
		if x.Spec == nil {
			continue
		}
		for _, name := range x.Spec.Needs {
			if y := s.Supplier(name); y != nil && y != x {
				x.needs, y.children = append(x.needs, y), append(y.children, x)
			} else if n := s.Resource(name); n != nil {
				x.needResources, n.supplies = append(x.needResources, n), append(n.supplies, x)
			} else if r := s.Role(name); r != nil {
				x.needRoles, r.supplies = append(x.needRoles, r), append(r.supplies, x)
			}
		}
	}
	for _, r := range s.Roles {
		for _, name := range r.Spec.Needs {
			if x := s.Supplier(name); x != nil {
				r.suppliers, x.users = append(r.suppliers, x), append(x.users, r)
			}
		}
	}
}

// resumeSuppliers takes up what was under way when the service was stored: each is asked how it is.
func (s *Service) resumeSuppliers(now Time) {
	for _, x := range s.Suppliers {
		if x.Until > 0 {
			s.wake(x.Until, 0)
		}
		if x.Begun == 0 && x.Phase == SupplierBound {
			x.Begun = now // until it has told
		}
		if x.Begun > 0 && !x.Overdue {
			s.wake(x.Begun.Add(x.timeout()), 0)
		}
	}
}

// askAgain has needed services brought to what is wished now: what their inputs may show has changed.
func (s *Service) askAgain(all []*Supplier) {
	for _, x := range all {
		if x.Phase == SupplierBound && x.Owned && !s.Leaving {
			x.Asked++
			x.issued, x.Until, s.head = false, 0, true
		}
	}
}

// evaluateSuppliers decides about all needed services. There are few, so it looks at each, again as long as one that
// moved may have let another move.
func (s *Service) evaluateSuppliers(now Time) {
	for moved := true; moved; {
		moved = false
		for _, x := range s.Suppliers {
			before := x.Phase
			s.evaluateSupplier(x, now)
			moved = moved || x.Phase != before
		}
	}
	// What the present spec does not wish leaves no trace, whether or not the service itself leaves.
	s.Suppliers = slices.DeleteFunc(s.Suppliers, func(x *Supplier) bool { return x.Phase == SupplierGone && (!s.Leaving || x.Spec == nil) })
}

func (s *Service) evaluateSupplier(x *Supplier, now Time) {
	if s.mayDismiss(x) {
		x.Overdue, x.Failures = false, 0
		if x.Made {
			s.dismiss(x, now)
		} else {
			s.goneSupplier(x, now)
			s.drained = true // decide again: what it needed may leave now
		}
	}
	switch x.Phase {
	case SupplierWanted:
		if s.maySupply(x) && x.Until <= now {
			if x.Begun == 0 {
				s.beginSupplier(x, now)
			}
			x.Made = true
			s.enterSupplier(x, SupplierBound, now)
			x.Asked++
			s.askSupplier(x, DoSupply, now)
		}
	case SupplierBound:
		if !s.Leaving && x.Spec != nil {
			s.askSupplier(x, DoSupply, now)
		}
	case SupplierFailed:
		if x.Until == 0 || x.Until > now || s.Leaving || x.Spec == nil {
			break
		}
		s.renewSupplier(x, now)
	case SupplierLeaving:
		s.askSupplier(x, DoDismiss, now)
	}
	if x.Begun > 0 && !x.Overdue && x.Phase != SupplierGone && x.Begun.Add(x.timeout()) <= now {
		s.overdueSupplier(x, now)
	}
}

// maySupply: a node of the graph is made when all that it needs is ready.
func (s *Service) maySupply(x *Supplier) bool { return !s.Leaving && x.Spec != nil && x.waits() == "" }

// waits names what a needed service itself waits for; "" for nothing.
func (x *Supplier) waits() string {
	for _, r := range x.needRoles {
		if !r.Ready() {
			return "role " + r.Name
		}
	}
	for _, y := range x.needResources {
		if y.Phase != ResourceReady {
			return "resource " + y.Name
		}
	}
	for _, y := range x.needs {
		if !y.Ready() {
			return "service " + y.Name
		}
	}
	return ""
}

// mayDismiss: a node that is no longer wished goes when nothing that needs it is left.
func (s *Service) mayDismiss(x *Supplier) bool {
	switch {
	case x.Phase == SupplierLeaving || x.Phase == SupplierGone:
		return false
	case s.Leaving:
		if slices.ContainsFunc(x.users, func(r *Role) bool { return r.State != Done }) {
			return false
		}
		if x.Spec == nil && slices.ContainsFunc(s.Roles, func(r *Role) bool { return r.State != Done }) {
			return false // nobody knows any more what needed it
		}
	case x.Spec != nil:
		return false
	case x.Served && (s.Rollout != nil || len(x.users) > 0): // no machine uses one that never was ready
		return false
	}
	return allGone(x.children)
}

func allGone(all []*Supplier) bool {
	return !slices.ContainsFunc(all, func(x *Supplier) bool { return x.Phase != SupplierGone })
}

func (s *Service) enterSupplier(x *Supplier, p SupplierPhase, now Time) {
	x.Phase, x.Since, x.Until, x.Tries, x.issued = p, now, 0, 0, false
	s.head = true
}

func (s *Service) dismiss(x *Supplier, now Time) {
	s.enterSupplier(x, SupplierLeaving, now)
	s.beginSupplier(x, now)
}

func (s *Service) goneSupplier(x *Supplier, now Time) {
	x.Made, x.Reason, x.Begun = false, "", 0
	s.enterSupplier(x, SupplierGone, now)
	for _, r := range x.needRoles {
		s.touch(r)
	}
}

func (s *Service) beginSupplier(x *Supplier, now Time) {
	x.Begun, x.Overdue, s.head = now, false, true
	s.wake(now.Add(x.timeout()), 0)
}

func (s *Service) overdueSupplier(x *Supplier, now Time) {
	what := "ready"
	if x.Phase == SupplierLeaving {
		what = "gone"
	}
	x.Overdue, s.head = true, true
	x.Reason = strings.TrimSuffix(fmt.Sprintf("not %s after %v: %s", what, x.timeout(), x.present()), ": ")
	s.event(now, true, nil, nil, "service %s is %s", x.Name, x.Reason)
}

func (s *Service) askSupplier(x *Supplier, do EffectKind, now Time) {
	if !x.issued && x.Until <= now {
		x.issued = true
		x.calls++
		s.effects = append(s.effects, Effect{Kind: do, Serial: x.Serial, Repeated: x.Tries > 0, Token: x.calls})
	}
}

func (s *Service) retrySupplier(x *Supplier, wait time.Duration, now Time) {
	x.Until = now.Add(wait)
	s.wake(x.Until, 0)
}

// failSupplier: what cannot be had for good, and what heals by hand, waits for a person.
func (s *Service) failSupplier(x *Supplier, reason string, again bool, now Time) {
	x.Reason = reason
	x.Failures++
	s.enterSupplier(x, SupplierFailed, now)
	if again && x.Spec != nil && x.Spec.Heal != HealManual {
		s.retrySupplier(x, pause(int(x.Failures)), now)
	}
}

// recoverSuppliers sets everything that gave up, or waits before its next try, going again.
func (s *Service) recoverSuppliers(now Time) {
	for _, x := range s.Suppliers {
		switch {
		case x.Phase == SupplierFailed:
			x.Failures, x.Until = 0, now
		case x.Phase == SupplierBound && x.Owned && !s.Leaving && (x.State.Failed() || x.State == Warning):
			x.Asked++
			x.Revive, x.issued, x.Until = x.Asked, false, 0
		case x.Tries > 0 || x.Overdue:
			x.issued, x.Until = false, 0
		default:
			continue
		}
		s.beginSupplier(x, now)
	}
}

// suppliersAgree refuses a spec that gives a needed service which is there another meaning.
func (s *Service) suppliersAgree(next *Spec) *Refusal {
	for n := range next.Services {
		fresh := &next.Services[n]
		x := s.Supplier(fresh.Name)
		if x == nil || x.Spec == nil || !x.Made {
			continue
		}
		if x.Owned != (fresh.Spec != nil) || !x.Owned && x.Spec.Service != fresh.Service {
			return refuse(BadValue, "service %s cannot become another one while it is needed; give the other one another name", fresh.Name)
		}
	}
	return nil
}
