package service

import (
	"container/heap"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A Service is one running service: the wish, the state of its roles, and its instances.
// It is not safe for concurrent use: one mailbox owns it.
type Service struct {
	ID       uint64 `json:"id"`
	Meta     Meta   `json:"meta"`
	State    State  `json:"state"`
	Reason   string `json:"reason,omitempty"`
	Since    Time   `json:"since"`
	Created  Time   `json:"created"`
	Revision uint32 `json:"revision"` // of Spec
	// Of is the earlier revision whose spec the present one repeats; 0 for none.
	Of uint32 `json:"of,omitempty"`
	// Past says what became of earlier revisions, oldest first.
	Past     []PastRevision `json:"past,omitempty"`
	Serial   uint32         `json:"serial"`  // of the youngest instance
	RoleID   uint16         `json:"role_id"` // of the youngest role
	ActionID uint32         `json:"action_id,omitempty"`
	// ResourceSerial is that of the youngest resource.
	ResourceSerial uint32 `json:"resource_serial,omitempty"`
	// Deployed: it was RUNNING once.
	Deployed bool `json:"deployed,omitempty"`
	// Mode says whether the service is looked after, and Pass how it was for the last time for a while.
	Mode Mode  `json:"mode,omitempty"`
	Pass *Pass `json:"pass,omitempty"`
	// AtATime stands in place of the spec's, as the command that last changed the mode wished; 0 for none.
	AtATime int `json:"at_a_time,omitempty"`
	// Leaving: it is being removed; Hard, Remove and Data say how.
	Leaving bool `json:"leaving,omitempty"`
	Hard    bool `json:"hard,omitempty"`
	Remove  bool `json:"remove,omitempty"`
	Data    bool `json:"data,omitempty"`
	// Kept is where roles that have left, or moved, may have left data.
	Kept      []KeptData     `json:"kept,omitempty"`
	Rollout   *Rollout       `json:"rollout,omitempty"`
	Roles     []*Role        `json:"roles"`
	Resources []*Resource    `json:"resources,omitempty"`
	Log       []Event        `json:"log,omitempty"`
	Verdicts  []StoredAnswer `json:"verdicts,omitempty"`

	Spec *Spec `json:"-"` // stored under its revision
	// Previous is the spec that a running update comes from; nil without one.
	Previous *Spec `json:"-"`
	// Allow is asked before a policy makes a role grow: quotas. nil allows all.
	Allow func(more Usage) error `json:"-"`

	instances roster
	timers    timers
	todo      []*Instance
	due       []*Role
	fresh     []*Instance // creations decided on and not handed out yet
	effects   []Effect
	events    []Event
	blocks    []uint32        // changed blocks of instances
	touched   []uint32        // serials of changed instances
	head      bool            // the service record changed
	specs     bool            // the spec changed
	drained   bool            // Decide stopped because a transaction is full
	addresses map[string]bool // those of recorded resources; nil when not known
	room      uint8           // blocks that a transaction holds
}

// Meta is who a service belongs to and what it is called.
type Meta struct {
	Name  string `json:"name"`
	Owner int    `json:"uid"`
	Group int    `json:"gid"`
	// Permissions are nine bits, owner, group, other × use, manage, admin, as in 0640.
	Permissions uint16 `json:"permissions"`
	Project     string `json:"project,omitempty"` // the group's name when it was made
	// Alias is an id that a client gave it, unique in its group among the services that are not DONE; "" for none.
	Alias string `json:"alias,omitempty"`
	// Template is the id of the template it was made from; 0 for none.
	Template uint64 `json:"template,omitempty"`
}

// A Rollout is the state of a rolling update.
type Rollout struct {
	From     uint32 `json:"from"` // revision
	To       uint32 `json:"to"`
	Rollback bool   `json:"rollback,omitempty"` // it returns to an earlier spec
	Paused   bool   `json:"paused,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// A StoredAnswer is the verdict on a command that was already heard.
type StoredAnswer struct {
	ID      string   `json:"id"`
	Refusal *Refusal `json:"refusal,omitempty"`
}

const (
	logLength      = 50
	verdictsKept   = 16
	blockSize      = 16 // instances a record block
	blocksATime    = 100
	defaultTimeout = 5 * time.Minute
	unknownGrace   = 30 * time.Second
	sweepFrom      = 32 // timers
)

// NewService returns a service that was just asked for. Decide starts its deployment.
// The spec must have passed Validate.
func NewService(id uint64, spec *Spec, meta Meta, now time.Time) *Service {
	s := &Service{ID: id, Meta: meta, Spec: spec, Created: TimeOf(now), Since: TimeOf(now), Revision: 1}
	if s.Meta.Name == "" {
		s.Meta.Name = spec.Name
	}
	if spec.Managed == UntilBuilt {
		s.Mode, s.Pass = OnePass, &Pass{}
	}
	s.prepare()
	for n := range spec.Roles {
		s.addRole(&spec.Roles[n], TimeOf(now))
	}
	s.takeResources(TimeOf(now))
	s.link()
	s.head, s.specs = true, true
	s.touchAll()
	return s
}

// Load completes a service read from records: its spec, the spec that a running update comes from
// (nil without one) and its instances. Effects that may not have run are handed out again.
func (s *Service) Load(spec, previous *Spec, instances []*Instance, roles []uint16, now time.Time) error {
	s.Spec, s.Previous = spec, previous
	s.prepare()
	byID := make(map[uint16]*Role, len(s.Roles))
	for _, r := range s.Roles {
		byID[r.ID] = r
		if n := spec.Role(r.Name); n >= 0 {
			r.Spec = &spec.Roles[n]
		} else if n := -1; previous != nil {
			if n = previous.Role(r.Name); n >= 0 {
				r.Spec = &previous.Roles[n]
			}
		}
		if r.Spec == nil {
			r.Spec = r.Left
		}
		if r.Spec == nil { // a record from before roles kept what they need to leave
			r.Spec = &RoleSpec{Name: r.Name, Heal: HealManual, Identity: New}
		}
		if !r.Overdue {
			r.progress = TimeOf(now)
		}
		if r.Until > 0 {
			s.wake(r.Until, 0)
		}
	}
	s.link()
	s.resumeResources()
	for n, i := range instances {
		r := byID[roles[n]]
		if r == nil {
			return fmt.Errorf("service %d: instance %d belongs to role %d, which is not there", s.ID, i.Serial, roles[n])
		}
		s.instances.put(i)
		r.add(i)
		if !i.Phase.Settled() || len(i.Actions) > 0 || i.ill() {
			s.enqueue(i)
		}
		if i.Until > 0 {
			s.wake(i.Until, i.Serial)
		}
		for _, a := range i.Actions {
			s.wake(a.At, i.Serial)
		}
	}
	for _, r := range s.Roles {
		r.lists[Up].sort()
		r.wasReady = r.Ready()
	}
	if s.Mode == OnePass && s.Pass != nil && s.Pass.Until > 0 {
		s.wake(s.Pass.Until, 0)
	}
	if s.State == Done && s.Remove {
		s.effects = append(s.effects, Effect{Kind: DoRemove})
	}
	s.touchAll()
	return nil
}

func (s *Service) prepare() {
	s.room = blocksATime
}

func (s *Service) addRole(spec *RoleSpec, now Time) *Role {
	s.RoleID++
	r := &Role{ID: s.RoleID, Name: spec.Name, Spec: spec, Cardinality: spec.Cardinality, Since: now, Revision: s.Revision, NextCooldown: -1, progress: now}
	s.Roles = append(s.Roles, r)
	return r
}

// link sets parents and children from the specs' names.
func (s *Service) link() {
	byName := make(map[string]*Role, len(s.Roles))
	for _, r := range s.Roles {
		r.parents, r.children = nil, nil
		byName[r.Name] = r
	}
	for _, r := range s.Roles {
		for _, name := range r.Spec.Parents {
			if p := byName[name]; p != nil && p != r {
				r.parents = append(r.parents, p)
				p.children = append(p.children, r)
			}
		}
		r.linkPolicies()
		r.linkImplementations()
		r.showsOthers = len(r.parents) > 0 && showsOthers(&r.Spec.Machine)
	}
	s.linkResources()
}

// Role returns the named role, or nil.
func (s *Service) Role(name string) *Role {
	for _, r := range s.Roles {
		if r.Name == name {
			return r
		}
	}
	return nil
}

func (s *Service) roleByID(id uint16) *Role {
	for _, r := range s.Roles {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// RoleOf returns the role of an effect, or nil when it has left.
func (s *Service) RoleOf(e Effect) *Role { return s.roleByID(e.Role) }

// Instance returns the instance with that serial, or nil.
func (s *Service) Instance(serial uint32) *Instance { return s.instances.find(serial) }

// Len returns the number of instances.
func (s *Service) Len() int { return s.instances.size() }

func (s *Service) touch(r *Role) {
	if !r.dirty {
		r.dirty = true
		s.due = append(s.due, r)
	}
}

func (s *Service) touchAll() {
	for _, r := range s.Roles {
		s.touch(r)
	}
}

func (s *Service) enqueue(i *Instance) {
	if !i.queued {
		i.queued = true
		s.todo = append(s.todo, i)
	}
}

func (s *Service) dirty(i *Instance) {
	s.mark(i)
	s.touch(i.role)
}

// mark lists the instance in Changed.
func (s *Service) mark(i *Instance) {
	if !i.changed {
		i.changed = true
		s.touched = append(s.touched, i.Serial)
	}
	block := i.Serial / blockSize
	if n := len(s.blocks); (n == 0 || s.blocks[n-1] != block) && !slices.Contains(s.blocks, block) {
		s.blocks = append(s.blocks, block)
	}
}

func (s *Service) full() bool { return len(s.blocks) >= int(s.room) }

// Full reports whether enough has changed for one transaction: decide and commit before more facts.
func (s *Service) Full() bool { return s.full() }

// enter moves an instance to another phase.
func (s *Service) enter(i *Instance, p Phase, now Time) {
	r := i.role
	r.forget(i)
	i.Phase, i.Since, i.Until, i.Tries, i.issued, i.Overdue = p, now, 0, 0, false, false
	if p == Up {
		r.progress = now
	}
	r.note(i)
	s.dirty(i)
	s.enqueue(i)
	s.passTurn(now)
}

// setMachine writes down what the back end says of the instance's machine.
func (s *Service) setMachine(i *Instance, m driver.State) {
	if i.Machine == m {
		return
	}
	i.role.weigh(i, -1)
	i.Machine = m
	i.role.weigh(i, 1)
	s.dirty(i)
	s.enqueue(i)
}

func (s *Service) newInstance(r *Role, now Time) *Instance {
	s.Serial++
	i := &Instance{Serial: s.Serial, Number: s.nextNumber(r), Revision: r.Revision, Phase: Queued, Machine: driver.Gone, Created: now, Since: now}
	s.instances.put(i)
	r.add(i)
	s.head = true
	s.dirty(i)
	return i
}

// nextNumber counts up for new identities; a stable role fills its gaps, so that the data of an
// instance that was scaled away is found again.
func (s *Service) nextNumber(r *Role) uint32 {
	if r.Spec.Identity != Stable || int(r.NextNumber) == r.total { // no gaps
		r.NextNumber++
		return r.NextNumber - 1
	}
	used := make([]bool, r.total+1) // one of so many numbers is free
	for i := range r.Instances {
		if int(i.Number) < len(used) {
			used[i.Number] = true
		}
	}
	n := uint32(slices.Index(used, false))
	r.NextNumber = max(r.NextNumber, n+1)
	return n
}

func (s *Service) drop(i *Instance) {
	i.role.remove(i)
	i.role.dispose(s, i)
	s.instances.remove(i)
	s.mark(i)
	s.touch(i.role)
}

func (s *Service) event(now Time, bad bool, r *Role, i *Instance, format string, args ...any) {
	e := Event{Time: now, Error: bad, Message: fmt.Sprintf(format, args...)}
	if r != nil {
		e.Role = r.Name
	}
	if i != nil {
		e.Instance = s.InstanceName(i)
	}
	s.events = append(s.events, e)
	// The stored log keeps what happens to the service, its roles, and what goes wrong.
	if i == nil || bad {
		if len(s.Log) >= logLength {
			s.Log = append(s.Log[:0], s.Log[len(s.Log)-logLength+1:]...)
		}
		s.Log = append(s.Log, e)
		s.head = true
	}
}

func (s *Service) setState(st State, reason string, now Time) {
	if s.State == st && s.Reason == reason {
		return
	}
	changed := s.State != st
	s.State, s.Reason, s.head = st, reason, true
	if changed {
		s.Since = now
		s.event(now, st.Failed(), nil, nil, "New state: %s%s", st, because(reason))
	}
}

func (s *Service) setRole(r *Role, st State, reason string, now Time) {
	if r.State == st && r.Reason == reason {
		return
	}
	if r.State != st {
		r.Since = now
		if st == Deploying || st == Scaling || st == Updating {
			r.progress, r.Overdue = now, false
		}
	}
	if st.Failed() && r.State != st {
		s.event(now, true, r, nil, "role %s: %s%s", r.Name, st, because(reason))
	}
	r.State, r.Reason, s.head = st, reason, true
	s.touch(r)
	for _, p := range r.parents {
		s.touch(p)
	}
	for _, c := range r.children {
		s.touch(c)
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + strings.TrimSpace(reason) + ")"
}

func (r *Role) startTimeout() time.Duration {
	if r.Spec.StartTimeout > 0 {
		return r.Spec.StartTimeout
	}
	return defaultTimeout
}

func (r *Role) stopTimeout() time.Duration {
	if r.Spec.StopTimeout > 0 {
		return r.Spec.StopTimeout
	}
	return defaultTimeout
}

// timers is a heap of wake-ups. A stale one costs a look and no more. Those of instances that have left
// are taken out when there is no room for another.
type timers []timer

type timer struct {
	at     Time
	serial uint32 // 0: the roles
}

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at < t[j].at }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	x := old[len(old)-1]
	*t = old[:len(old)-1]
	return x
}

func (s *Service) wake(at Time, serial uint32) {
	if len(s.timers) == cap(s.timers) && len(s.timers) >= sweepFrom {
		s.timers = slices.DeleteFunc(s.timers, func(t timer) bool { return t.serial != 0 && s.instances.find(t.serial) == nil })
		heap.Init(&s.timers)
	}
	heap.Push(&s.timers, timer{at, serial})
}

func (s *Service) ring(now Time) {
	for len(s.timers) > 0 && s.timers[0].at <= now {
		t := heap.Pop(&s.timers).(timer)
		if t.serial == 0 {
			s.touchAll()
		} else if i := s.instances.find(t.serial); i != nil {
			s.enqueue(i)
			s.touch(i.role)
		}
	}
	if len(s.timers) == 0 {
		s.timers = nil
	}
}
