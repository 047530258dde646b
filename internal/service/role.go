package service

import (
	"cmp"
	"slices"

	"github.com/troupe-dev/troupe/internal/policy"
)

// A Role is the run-time state of one role: how many instances are wished and where they stand.
type Role struct {
	ID          uint16 `json:"id"` // within the service, never used again
	Name        string `json:"name"`
	State       State  `json:"state"`
	Reason      string `json:"reason,omitempty"`
	Since       Time   `json:"since"`
	Until       Time   `json:"until,omitempty"` // end of the cooldown
	Cardinality int    `json:"cardinality"`
	NextNumber  uint32 `json:"next_number"`
	Revision    uint32 `json:"revision"` // of the service's spec in which the role's machines last changed
	// Keeps are earlier revisions whose instances stay as they are.
	Keeps []uint32 `json:"keeps,omitempty"`
	// Left is what is needed of the spec of a role that leaves; nil for others.
	Left *RoleSpec `json:"left,omitempty"`
	// Disposed are the serials of the last instances that left, oldest first; kept for strict services.
	Disposed []uint32 `json:"disposed,omitempty"`
	// Down: the last scaling went down.
	Down     bool `json:"scale_down,omitempty"`
	Released bool `json:"released,omitempty"` // its hold was released
	Removing bool `json:"removing,omitempty"` // it leaves the service
	Overdue  bool `json:"overdue,omitempty"`  // no progress within the deadline
	// NextCooldown follows the scaling in progress, in place of the spec's; -1 for none set.
	NextCooldown int64 `json:"next_cooldown"`

	// Policies is what is remembered of each of the spec's policies.
	Policies []policy.Memory `json:"policies,omitempty"`
	// TooFew is what alarms that scale by a value have found too few instances for, by the value's name.
	TooFew map[string]policy.TooFew `json:"too_few,omitempty"`
	// Decision is the last change that a policy made; nil for none.
	Decision *PolicyDecision `json:"decision,omitempty"`
	// TurnedDown are the implementations that could not make a machine when they were last asked.
	TurnedDown []TurnedDown `json:"turned_down,omitempty"`

	Spec *RoleSpec `json:"-"` // in the service's present spec, or in its last for a leaving role

	parents, children []*Role
	needs             []*Resource
	bears             *Resource   // the one whose address its machine has; nil for none
	order             []*Instance // by creation; nil where one was removed
	lists             [phases]list
	holes             int
	total             int
	live              int // machines that run or may run
	outdated          int
	ills              int  // that are up and in need of healing
	off               int  // parked ones whose machines are powered off
	progress          Time // when an instance last came up
	alarm             Time // the timer that looks after progress
	proof             Time // the timer that looks after instances which have come up only just
	governed          *governance
	dirty             bool
	wasReady          bool
	showsOthers       bool  // see showsOthers
	candidates        []int // implementations that the filter lets through
	users             []int // by implementation, where instances are spread over them; nil otherwise
	checked           bool  // every machine has a health check
}

// A list is linked through its instances; the first one's prev is the last.
type list struct {
	head *Instance
	n    int
}

func (l *list) push(i *Instance) {
	i.next = nil
	if l.head == nil {
		l.head, i.prev = i, i
	} else {
		last := l.head.prev
		last.next, i.prev, l.head.prev = i, last, i
	}
	l.n++
}

func (l *list) drop(i *Instance) {
	switch {
	case i != l.head:
		i.prev.next = i.next
		if i.next != nil {
			i.next.prev = i.prev
		} else {
			l.head.prev = i.prev
		}
	case i.next != nil:
		l.head, i.next.prev = i.next, i.prev
	default:
		l.head = nil
	}
	i.prev, i.next = nil, nil
	l.n--
}

// youngest yields the instances backwards, the one that came last first.
func (l *list) youngest(yield func(*Instance) bool) {
	if l.head == nil {
		return
	}
	for i := l.head.prev; yield(i) && i != l.head; {
		i = i.prev
	}
}

// sort puts the instances in the order in which they came into their phase, as before a restart.
func (l *list) sort() {
	var all []*Instance
	for i := l.head; i != nil; i = i.next {
		all = append(all, i)
	}
	slices.SortStableFunc(all, func(a, b *Instance) int { return cmp.Compare(a.Since, b.Since) })
	*l = list{}
	for _, i := range all {
		l.push(i)
	}
}

// note counts i in; forget counts it out. Every change of phase, machine state or revision happens
// between the two.
func (r *Role) note(i *Instance) {
	r.lists[i.Phase].push(i)
	r.weigh(i, 1)
}

func (r *Role) forget(i *Instance) {
	r.lists[i.Phase].drop(i)
	r.weigh(i, -1)
}

func (r *Role) weigh(i *Instance, by int) {
	if i.live() {
		r.live += by
	}
	if i.outdated() {
		r.outdated += by
	}
	if i.Rest() == RestPoweredOff {
		r.off += by
	}
	if i.ill() {
		r.ills += by
	}
	r.countUser(i, by)
}

func (r *Role) add(i *Instance) {
	i.role = r
	i.position = int32(len(r.order))
	r.order = append(r.order, i)
	r.total++
	r.note(i)
}

func (r *Role) remove(i *Instance) {
	r.forget(i)
	r.order[i.position] = nil
	r.total--
	r.holes++
	if r.holes > 16 && r.holes > len(r.order)/2 {
		kept := r.order[:0]
		for _, x := range r.order {
			if x != nil {
				x.position = int32(len(kept))
				kept = append(kept, x)
			}
		}
		clear(r.order[len(kept):])
		r.order, r.holes = kept, 0
	}
}

const disposedKept = 100

// dispose remembers an instance that leaves, where clients ask for it (OneFlow's disposed_nodes).
func (r *Role) dispose(s *Service, i *Instance) {
	if !s.Spec.Strict || i.Incarnation == 0 {
		return
	}
	if len(r.Disposed) >= disposedKept {
		r.Disposed = slices.Delete(r.Disposed, 0, 1)
	}
	r.Disposed = append(r.Disposed, i.Serial)
	s.head = true
}

// Count returns how many instances are in the phase.
func (r *Role) Count(p Phase) int { return r.lists[p].n }

// Total returns how many instances there are, leaving ones included.
func (r *Role) Total() int { return r.total }

// Settled returns how many instances count as deployed.
func (r *Role) Settled() int { return r.lists[Up].n + r.lists[Parked].n + r.lists[Finished].n }

// slots is how many instances hold a place in the cardinality.
func (r *Role) slots() int { return r.total - r.lists[Stopping].n }

// Live returns how many machines of the role run or may run.
func (r *Role) Live() int { return r.live }

// Outdated returns how many instances an update still has to replace.
func (r *Role) Outdated() int { return r.outdated }

// Instances yields the instances in the order of their creation.
func (r *Role) Instances(yield func(*Instance) bool) {
	for _, i := range r.order {
		if i != nil && !yield(i) {
			return
		}
	}
}

// Parents returns the roles that this one needs.
func (r *Role) Parents() []*Role { return r.parents }

// wish is how many instances the role should have now.
func (r *Role) wish() int {
	switch r.State {
	case Undeploying, FailedUndeploying, Done:
		return 0
	}
	return r.Cardinality
}

// Ready reports whether roles that need this one may have instances created.
func (r *Role) Ready() bool {
	switch r.State {
	case Pending, Undeploying, FailedUndeploying, Done:
		return false
	}
	return r.Settled() >= r.Cardinality && !r.Removing
}

// bad counts the instances that keep the role from being well until somebody acts.
func (r *Role) bad() int {
	n := r.lists[Resting].n
	if r.Spec.Heal == HealManual {
		n += r.lists[Down].n
	}
	return n
}

// held reports whether the role's machines are made on hold.
func (r *Role) held(s *Service) bool {
	if r.Released {
		return false
	}
	if s.Spec.Hold || r.Spec.Hold {
		return true
	}
	if s.Spec.Strategy == Straight {
		for _, p := range r.parents {
			if p.held(s) {
				return true
			}
		}
	}
	return false
}
