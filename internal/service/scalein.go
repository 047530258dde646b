package service

import "slices"

// MaxChosen is how many instances one command may choose for removal.
const MaxChosen = 1000

// victim chooses the instance to go when a role has too many: bad ones first, then replaced revisions,
// then the oldest or the youngest. Of a stable role it is the one with the highest number, however it is, so that
// numbers stay dense and which of them remain does not depend on the order of answers.
func (s *Service) victim(r *Role) *Instance {
	if r.Spec.Identity == Stable {
		return r.highest()
	}
	for _, p := range [...]Phase{Queued, Resting, Down, Backoff, Finished, Creating, Starting, Held, Replacing} {
		first := r.lists[p].head
		if first == nil {
			continue
		}
		if r.Spec.ScaleIn == Youngest {
			first = first.prev // the head's is the last
		}
		return first
	}
	if r.offs() > 0 {
		return r.firstOff()
	}
	for i := range r.inTurn {
		if i.Phase.Settled() && (r.outdated == 0 || i.outdated()) {
			return i
		}
	}
	return nil
}

// highest returns the instance with the highest number of those that are not being removed.
func (r *Role) highest() (found *Instance) {
	for i := range r.Instances {
		if i.Phase != Stopping && (found == nil || i.Number > found.Number) {
			found = i
		}
	}
	return found
}

// inTurn yields the instances in the order in which the role gives them up.
func (r *Role) inTurn(yield func(*Instance) bool) {
	if r.Spec.ScaleIn != Youngest {
		r.Instances(yield)
		return
	}
	for _, i := range slices.Backward(r.order) {
		if i != nil && !yield(i) {
			return
		}
	}
}

// chosen finds the instances of a role that a command wants removed.
func (s *Service) chosen(r *Role, serials []uint32) (found []*Instance, refusal *Refusal) {
	if len(serials) > MaxChosen {
		return nil, refuse(BadValue, "%d instances are chosen; %d is the most at a time", len(serials), MaxChosen)
	}
	for _, serial := range serials {
		i := s.instances.find(serial)
		switch {
		case i == nil || i.role != r:
			return nil, refuse(NoSuch, "role %s of service %s has no instance %d", r.Name, s.Meta.Name, serial)
		case i.Phase == Stopping:
			return nil, refuse(WrongState, "%s is already being removed", s.InstanceName(i))
		case !slices.Contains(found, i):
			found = append(found, i)
		}
	}
	return found, nil
}
