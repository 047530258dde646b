package service

import (
	"fmt"
	"slices"
	"strings"
)

// A Supply is what a needed service tells of itself.
type Supply struct {
	Service uint64
	Name    string // the service's
	State   State
	Reason  string
	// Outputs are those that have a value, and Revision is their OutputRevision. The map is not changed.
	Outputs  map[string]string
	Revision uint32
	// Sensitive names the outputs that are not shown.
	Sensitive []string
	// Gone: it exists no more, or is bound no more.
	Gone bool
	// At is when that was so, in a count of the other service's changes: what came before is no news.
	At int64
}

// A Consumer is a service that needs this one, and the node that this one is there.
type Consumer struct {
	Service uint64 `json:"service"`
	Serial  uint32 `json:"serial"`
	Name    string `json:"name"` // the consumer's name, when it was bound
	// Owns: this service was made for it.
	Owns bool `json:"owns,omitempty"`
}

// SupplyOf is what a service tells those that need it.
func (s *Service) SupplyOf() *Supply {
	told := &Supply{Service: s.ID, Name: s.Meta.Name, State: s.State, Reason: s.Reason, Outputs: s.Outputs, Revision: s.OutputRevision, Gone: s.State == Done}
	for n := range s.Spec.Outputs {
		if o := &s.Spec.Outputs[n]; o.Sensitive {
			told.Sensitive = append(told.Sensitive, o.Name)
		}
	}
	return told
}

// Owner returns the consumer that the service was made for, or nil.
func (s *Service) Owner() *Consumer {
	for n := range s.Consumers {
		if s.Consumers[n].Owns {
			return &s.Consumers[n]
		}
	}
	return nil
}

// bind notes that another service needs this one.
func (s *Service) bind(c Consumer, now Time) *Refusal {
	if s.consumes(c) {
		return nil
	}
	if s.Leaving {
		return refuse(WrongState, "service %s is being removed", s.Meta.Name)
	}
	s.Consumers, s.head = append(s.Consumers, c), true
	s.event(now, false, nil, nil, "needed by service %s (%d)", c.Name, c.Service)
	return nil
}

func (s *Service) consumes(c Consumer) bool {
	return slices.ContainsFunc(s.Consumers, func(o Consumer) bool { return o.Service == c.Service && o.Serial == c.Serial })
}

// unbind notes that another service does not need this one any more.
func (s *Service) unbind(c Consumer, now Time) {
	if !s.consumes(c) {
		return
	}
	s.Consumers = slices.DeleteFunc(slices.Clone(s.Consumers), func(o Consumer) bool { return o.Service == c.Service && o.Serial == c.Serial })
	s.head = true
	s.event(now, false, nil, nil, "no longer needed by service %s (%d)", c.Name, c.Service)
}

// neededBy names the services that keep this one from being removed; "" for none.
func (s *Service) neededBy(c *Undeploy) string {
	if s.Leaving || c.Force && c.For == 0 {
		return ""
	}
	var names []string
	for _, o := range s.Consumers {
		if o.Service != c.For {
			names = append(names, fmt.Sprintf("%s (%d)", o.Name, o.Service))
		}
	}
	return strings.Join(names, ", ")
}

// supplied hears how a needed service is, or why it cannot be had.
func (s *Service) supplied(f Fact, now Time) {
	x := s.SupplierOf(Effect{Serial: f.Serial})
	if x == nil || x.Phase == SupplierGone {
		return
	}
	answers := f.Action != 0 && f.Action == x.calls
	if f.Action != 0 && !answers && (f.Supply == nil || f.Supply.Gone) {
		return // the answer to a later call decides
	}
	if f.Supply == nil {
		if answers {
			s.notSupplied(x, f, now)
		}
		return
	}
	if answers && x.Revive != 0 {
		x.Revive, s.head = 0, true
	}
	if f.Supply.Gone {
		s.supplierGone(x, f.Supply, answers, now)
		return
	}
	if x.Phase == SupplierBound || x.Phase == SupplierLeaving {
		s.hearSupplier(x, f.Supply, now)
	}
	if answers && x.Phase == SupplierBound {
		x.Tries, x.Until = 0, 0
	}
}

// hearSupplier writes down how the other service is.
func (s *Service) hearSupplier(x *Supplier, told *Supply, now Time) {
	if told.At < x.at {
		return
	}
	was := x.Ready()
	x.at = told.At
	if x.Service != told.Service || x.State != told.State || x.Why != told.Reason {
		x.Service, x.State, x.Why, s.head = told.Service, told.State, s.plainReason(told.Reason), true
		if x.Begun > 0 && !x.Overdue && x.Phase == SupplierBound {
			s.beginSupplier(x, now) // it moves
		}
	}
	shown := x.Seen != told.Revision
	x.Outputs, x.Title, x.sensitive, x.told = told.Outputs, told.Name, told.Sensitive, true
	if shown {
		x.Seen, s.head = told.Revision, true
		s.showSupplier(x)
	}
	if x.Phase != SupplierBound {
		return
	}
	switch ready := x.Ready(); {
	case ready && !was:
		x.Begun, x.Failures, x.Overdue, x.Reason = 0, 0, false, ""
		if !x.Served {
			x.Served = true
			s.event(now, false, nil, nil, "service %s is ready", x.Name)
		}
		s.head = true
		for _, r := range x.users {
			r.progress = now
			s.touch(r)
		}
	case !ready && (was || x.Begun == 0 && !x.Overdue):
		s.beginSupplier(x, now)
		for _, r := range x.users {
			s.touch(r)
		}
	}
}

func (s *Service) plainReason(text string) string { return Mask(s.Spec, nil, text) }

// showSupplier lets all that may show outputs of a needed service show them as they are now.
func (s *Service) showSupplier(x *Supplier) {
	s.stale = true
	s.askAgain(x.children)
	for _, r := range x.users {
		s.refresh(r, "")
	}
}

// notSupplied goes on after a wish that was not followed.
func (s *Service) notSupplied(x *Supplier, f Fact, now Time) {
	x.issued, s.head = false, true
	x.Reason = f.Err
	if x.Phase == SupplierBound && f.Definite && x.Service == 0 {
		x.Made = false
		s.event(now, true, nil, nil, "service %s cannot be had: %s", x.Name, f.Err)
		s.failSupplier(x, f.Err, f.Class != "invalid" && f.Class != "denied", now)
		return
	}
	x.Tries++
	s.retrySupplier(x, pause(int(x.Tries)), now)
}

// supplierGone goes on without a needed service that exists no more. Only what answers that it is let go counts: until then
// a call that would make it may still be under way.
func (s *Service) supplierGone(x *Supplier, told *Supply, answers bool, now Time) {
	switch {
	case x.Service != 0 && told.Service != 0 && told.Service != x.Service: // an earlier one
	case x.Phase == SupplierBound && (s.Leaving || x.Spec == nil):
		x.told = false // it is let go in its turn
	case x.Phase == SupplierBound:
		x.Reason, x.told = strings.TrimSuffix("it is gone: "+s.plainReason(told.Reason), ": "), false
		s.event(now, true, nil, nil, "service %s: %s", x.Name, x.Reason)
		s.dismiss(x, now)
		for _, r := range x.users {
			s.touch(r)
		}
	case x.Phase != SupplierLeaving:
	case !answers:
		x.issued = false // make sure
	case s.Leaving || x.Spec == nil:
		s.goneSupplier(x, now)
		s.event(now, false, nil, nil, "service %s is let go", x.Name)
	case x.Reason == "": // it was no longer wished, and is again
		x.Made, x.Begun = false, 0
		s.renewSupplier(x, now)
	default:
		x.Made = false
		s.failSupplier(x, x.Reason, x.Served, now)
	}
}

// present says how a needed service is.
func (x *Supplier) present() string {
	switch waits := x.waits(); {
	case x.Phase == SupplierWanted && waits != "":
		return "waits for " + waits
	case x.Phase != SupplierBound && x.Phase != SupplierLeaving || !x.told || x.Service == 0:
		if x.Reason != "" {
			return x.Phase.String() + ": " + x.Reason
		}
		return x.Phase.String()
	}
	text := x.State.String() + because(x.Why)
	if x.serves() && x.lacks() != "" && x.Phase == SupplierBound {
		text = fmt.Sprintf("%s, and its output %s has no value yet", x.State, x.lacks())
	}
	if x.Reason != "" && !strings.Contains(x.Reason, text) {
		text += "; " + x.Reason
	}
	return text
}

// brokenSupplier returns a needed service that keeps the service from being well until somebody acts, or nil.
func (s *Service) brokenSupplier() *Supplier {
	for _, x := range s.Suppliers {
		if x.Spec == nil || x.Ready() {
			continue
		}
		if x.Overdue || x.Phase == SupplierFailed && x.Until == 0 || x.Phase == SupplierBound && x.State.Failed() {
			return x
		}
	}
	return nil
}

// unreadySupplier returns a wished service that may not be used yet, or nil.
func (s *Service) unreadySupplier() *Supplier {
	for _, x := range s.Suppliers {
		if x.Spec != nil && !x.Ready() && !x.unheard() {
			return x
		}
	}
	return nil
}

// unheard: it was ready when the service was stored, and has not told yet how it is now.
func (x *Supplier) unheard() bool { return x.Phase == SupplierBound && x.Served && !x.told }

// deriveSuppliers computes the service's state as far as needed services decide it, and reports whether they do.
func (s *Service) deriveSuppliers(now Time) bool {
	if x := s.brokenSupplier(); x != nil {
		st := FailedDeploying
		if s.Deployed {
			st = Warning
		}
		s.setState(st, "service "+x.Name+": "+x.present(), now)
		s.deploymentFailed(st, now)
		return true
	}
	x := s.unreadySupplier()
	if x == nil || slices.ContainsFunc(s.Roles, func(r *Role) bool { return r.State != Pending && r.State != Running }) {
		return false
	}
	st := Deploying
	if s.Deployed && s.Rollout == nil {
		st = Warning
	}
	s.setState(st, "service "+x.Name+": "+x.present(), now)
	return true
}

// deriveDismissing does the same for a service that leaves; a role may wait for one that is let go.
func (s *Service) deriveDismissing(reason string, now Time) bool {
	left := false
	for _, x := range s.Suppliers {
		if x.Phase == SupplierLeaving && (x.Overdue || x.State == FailedUndeploying || x.State == FailedUndeployingNets) {
			s.setState(FailedUndeploying, "service "+x.Name+": "+x.present(), now)
			return true
		}
		left = left || x.Phase != SupplierGone
	}
	if left {
		if s.State == FailedUndeploying {
			reason = ""
		}
		s.setState(Undeploying, reason, now)
	}
	return left
}

// suppliersAtWork reports whether a needed service is on its way.
func (s *Service) suppliersAtWork() bool {
	return slices.ContainsFunc(s.Suppliers, func(x *Supplier) bool {
		return x.Phase == SupplierLeaving || x.Phase == SupplierBound && !x.Ready() && !x.Overdue && (x.State.Transient() || !x.told || x.serves())
	})
}
