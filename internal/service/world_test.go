package service

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/driver"
)

// A world is a back end and a store round one service, in simulated time. Its truth about machines
// is kept apart from the service's records, and the laws are checked against that truth.
type world struct {
	now       time.Time
	svc       *Service
	head      []byte
	specs     map[uint32][]byte
	blocks    map[uint32][]byte
	specOf    map[uint32]*Spec
	pending   []Effect // committed, not carried out yet
	late      []Fact   // answers on their way
	machines  map[driver.MachineID]*fakeMachine
	made      map[driver.MachineID]int
	resources map[driver.MachineID]*fakeResource
	suppliers map[uint32]*fakeSupplier
	heard     map[uint32]Supply // what the service was told of them last
	tried     map[uint32]bool
	outputs   []byte
	forced    bool
	removed   bool
	events    []Event
	broken    []string // violations of the laws
	asked     map[driver.MachineID]bool
	borne     map[driver.MachineID]string // the resource whose address a machine was made with
	wakeAt    time.Time                   // when the service wants to be woken
	refuse    map[string]bool             // roles whose creations are refused
	crashes   []int                       // the ticks of calm at which to crash
	ticks     int
	room      uint8 // blocks a transaction; 0 for the usual
	batch     int   // answers observed before a decision; 0 for one
}

type fakeMachine struct {
	id    driver.MachineID
	role  string
	by    string // the driver that made it
	state driver.State
	code  int
}

type fakeResource struct {
	name  string
	state driver.State
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newWorld(spec *Spec) *world {
	w := &world{now: epoch, specs: map[uint32][]byte{}, blocks: map[uint32][]byte{}, specOf: map[uint32]*Spec{},
		machines: map[driver.MachineID]*fakeMachine{}, made: map[driver.MachineID]int{}, resources: map[driver.MachineID]*fakeResource{},
		suppliers: map[uint32]*fakeSupplier{}, heard: map[uint32]Supply{}, tried: map[uint32]bool{}, asked: map[driver.MachineID]bool{}, borne: map[driver.MachineID]string{}}
	w.svc = NewService(7, spec, Meta{Name: spec.Name}, w.now)
	w.decide()
	return w
}

// decide lets the service decide and commits what changed.
func (w *world) decide() {
	for n := 0; ; n++ {
		if w.room > 0 {
			w.svc.room = w.room
		}
		d := w.svc.Decide(w.now)
		w.wakeAt = d.Wake
		w.check(d.Effects)
		w.commit()
		w.pending = append(w.pending, d.Effects...)
		if !d.More {
			return
		}
		if n > 10000 {
			w.violate("law 6: Decide does not end")
			return
		}
	}
}

func (w *world) commit() {
	for _, r := range w.svc.Changes() {
		switch r.Kind {
		case HeadRecord:
			w.head = r.Value
		case SpecRecord:
			w.specs[r.Number] = r.Value
			w.specOf[r.Number] = w.svc.Spec
		case OutputRecord:
			w.outputs = r.Value
		case BlockRecord:
			if r.Value == nil {
				delete(w.blocks, r.Number)
			} else {
				w.blocks[r.Number] = r.Value
			}
		}
	}
	w.events = append(w.events, w.svc.Events()...)
}

// crash forgets everything that is not committed and loads the service again.
func (w *world) crash() {
	w.pending, w.late = nil, nil
	clear(w.heard)
	s, err := Decode(w.head)
	if err != nil {
		panic(err)
	}
	var instances []*Instance
	var roles []uint16
	keys := make([]uint32, 0, len(w.blocks))
	for k := range w.blocks {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		i, r, err := DecodeBlock(w.blocks[k])
		if err != nil {
			panic(err)
		}
		instances, roles = append(instances, i...), append(roles, r...)
	}
	if w.outputs != nil {
		if err := s.LoadOutputs(w.outputs); err != nil {
			panic(err)
		}
	}
	var previous *Spec
	if s.Rollout != nil {
		previous = w.specOf[s.Rollout.From]
	}
	if err := s.Load(w.specOf[s.Revision], previous, instances, roles, w.now); err != nil {
		panic(err)
	}
	w.svc = s
	// What the engine does after a restart: list, and tell what was found.
	w.decide()
	w.list()
	for _, serial := range slices.Sorted(maps.Keys(w.suppliers)) { // services tell those that need them
		w.news(serial)
	}
}

// list tells the state of every machine, and the absence of those that are not there.
func (w *world) list() {
	var facts []Fact
	for _, serial := range w.sortedSerials() {
		i := w.svc.instances.find(serial)
		id := w.svc.MachineID(i)
		f := Fact{Kind: Absent, Serial: i.Serial, Incarnation: i.Incarnation}
		if m := w.machines[id]; m != nil {
			f = Fact{Kind: Seen, Serial: i.Serial, Incarnation: i.Incarnation, Machine: driver.Machine{ID: id, State: m.state, ExitCode: m.code}}
		}
		if w.underway(i) {
			continue
		}
		facts = append(facts, f)
	}
	for _, f := range facts {
		_ = w.svc.Observe(f, w.now)
	}
	w.decide()
}

// underway: a call about the instance's machine is not answered, so absence proves nothing.
func (w *world) underway(i *Instance) bool {
	for _, e := range w.pending {
		if e.Serial == i.Serial && e.Kind == DoCreate {
			return true
		}
	}
	for _, f := range w.late {
		if f.Serial == i.Serial && f.Kind == Created {
			return true
		}
	}
	return false
}

func (w *world) sortedSerials() []uint32 {
	keys := make([]uint32, 0, w.svc.instances.size())
	for i := range w.svc.instances.all {
		keys = append(keys, i.Serial)
	}
	slices.Sort(keys)
	return keys
}

func (w *world) tell(f Fact) error {
	w.hearing(f)
	err := w.svc.Observe(f, w.now)
	w.decide()
	return err
}

func (w *world) command(c Command) error {
	return w.tell(Fact{Kind: Ordered, Command: &c})
}

// answer carries out one effect; how says what goes wrong.
func (w *world) answer(e Effect, how string) {
	id := MachineID(w.svc.ID, e.Serial, e.Incarnation)
	f := Fact{Serial: e.Serial, Incarnation: e.Incarnation, Action: e.Token}
	switch e.Kind {
	case DoCreate:
		f.Kind = Created
		w.answerCreate(&f, e, id, how)
	case DoDestroy:
		f.Kind = Destroyed
		// The engine's promise: a destruction cancels a creation that has not begun.
		w.pending = slices.DeleteFunc(w.pending, func(p Effect) bool {
			return p.Kind == DoCreate && p.Serial == e.Serial && p.Incarnation == e.Incarnation
		})
		if m := w.machines[id]; m != nil && m.by != w.driverOf(e) {
			w.violate("law 3: machine %s, made by %s, is to be destroyed by %q: %+v", id, m.by, w.driverOf(e), e)
		}
		if how == "fail" {
			f.Err, f.Class = "cannot be destroyed now", "unavailable"
		} else {
			delete(w.machines, id)
			if how == "lost" {
				f.Err, f.Class = "no answer", "unavailable"
			}
		}
	case DoAct:
		f.Kind = Acted
		if m := w.machines[id]; m == nil || m.state == driver.Exited {
			f.Err, f.Class = "it does not run", "invalid"
		} else if st, ok := after(e.Action); ok {
			m.state = st
			w.late = append(w.late, Fact{Kind: Seen, Serial: e.Serial, Incarnation: e.Incarnation, Machine: driver.Machine{State: st}})
		}
	case DoMake, DoUnmake:
		w.answerResource(e, how)
		return
	case DoSupply, DoDismiss, DoEvaluate:
		w.answerSupplier(e, how)
		return
	case DoRemove:
		w.removed = true
		return
	case DoRefresh:
		return
	}
	w.late = append(w.late, f)
}

// driverOf is the driver that an effect is for, "" when nobody knows.
func (w *world) driverOf(e Effect) string {
	if x := w.svc.ImplementationOf(e); x != nil {
		return x.Driver
	}
	return ""
}

func (w *world) answerCreate(f *Fact, e Effect, id driver.MachineID, how string) {
	m := w.machines[id]
	makeIt := func() {
		if m == nil {
			st := driver.Running
			if e.Hold {
				st = driver.Held
			}
			role := ""
			if r := w.svc.roleByID(e.Role); r != nil {
				role = r.Name
			}
			m = &fakeMachine{id: id, role: role, state: st, by: w.driverOf(e)}
			w.machines[id] = m
			w.made[id]++
			if w.made[id] > 1 {
				w.violate("law 3: machine %s was made twice", id)
			}
		}
	}
	if m != nil && (how == "full" || how == "invalid") {
		how = "" // the contract: a repeated call returns the machine of the first
	}
	switch how {
	case "full":
		f.Err, f.Class, f.Definite = "no room", "capacity", true
	case "invalid":
		f.Err, f.Class, f.Definite = "no such image", "invalid", true
	case "fail":
		f.Err, f.Class, f.Repeat = "no answer", "unavailable", true
	case "lost":
		makeIt()
		f.Err, f.Class, f.Repeat = "no answer", "unavailable", true
	case "doubt":
		f.Err, f.Class = "no answer", "unavailable"
	case "doubt-made":
		makeIt()
		f.Err, f.Class = "no answer", "unavailable"
	case "pending":
		if m == nil {
			makeIt()
			m.state = driver.Pending
		}
		f.Machine = driver.Machine{ID: id, State: m.state, ExitCode: m.code}
	case "dead":
		makeIt()
		m.state, m.code = driver.Exited, 1
		f.Machine = driver.Machine{ID: id, State: driver.Exited, ExitCode: 1}
	default:
		makeIt()
		f.Machine = driver.Machine{ID: id, State: m.state, ExitCode: m.code, Addresses: []string{"10.0.0.1"}}
	}
}

// deliver hands the service the n-th answer on its way.
func (w *world) deliver(n int) {
	f := w.late[n]
	w.late = slices.Delete(w.late, n, n+1)
	_ = w.tell(f)
}

// check holds a decision and the state after it against the laws.
func (w *world) check(effects []Effect) {
	for _, e := range effects {
		switch e.Kind {
		case DoCreate:
			w.checkCreation(e)
		case DoMake, DoUnmake:
			w.checkResource(e)
		case DoSupply, DoDismiss:
			w.checkSupplier(e)
		}
	}
	s := w.svc
	asks := slices.ContainsFunc(effects, func(e Effect) bool { return e.Kind != DoEvaluate })
	if asks && s.Mode == Unmanaged && !s.Leaving {
		w.violate("law 8: an unmanaged service asks for %+v", effects)
	}
	for _, r := range s.Roles {
		if !w.forced && (r.Cardinality > r.Spec.MaxOf() && r.Spec.MaxOf() >= 0 || (r.Cardinality < r.Spec.MinOf() && r.Spec.OnGone != Forget)) {
			w.violate("law 4: role %s wants %d, bounds are %d and %d", r.Name, r.Cardinality, r.Spec.MinOf(), r.Spec.MaxOf())
		}
		if !s.Leaving || r.Removing || s.Spec.Strategy != Straight || (r.State != Undeploying && r.State != Done) {
			continue
		}
		w.checkDependants("role", r.Name)
		for _, c := range r.children {
			for _, m := range w.machines {
				if m.role == c.Name {
					w.violate("law 5: role %s is %s while %s of role %s, which needs it, exists", r.Name, r.State, m.id, c.Name)
				}
			}
		}
	}
	w.recount()
}

// checkCreation looks at the first call for a machine.
func (w *world) checkCreation(e Effect) {
	s, id := w.svc, MachineID(w.svc.ID, e.Serial, e.Incarnation)
	if e.Repeated || w.asked[id] {
		return
	}
	w.asked[id] = true
	r := s.RoleOf(e)
	w.checkNeeds(string(id)+" of role "+r.Name, r.Spec.Needs)
	w.checkSupply(string(id)+" of role "+r.Name, r.Spec.Needs)
	if s.Spec.Strategy == Straight && !e.Hold {
		for _, p := range r.parents {
			settled := 0
			for i := range p.Instances {
				if i.Phase.Settled() {
					settled++
				}
			}
			if settled < p.Cardinality || p.State == Pending || p.Removing {
				w.violate("law 1: %s of role %s is created while its parent %s (%s) has %d of %d instances", id, r.Name, p.Name, p.State, settled, p.Cardinality)
			}
		}
	}
	if n := w.trulyLive(r); n > r.Cardinality+r.surge() {
		w.violate("law 2: role %s has %d machines, wished are %d with a surge of %d", r.Name, n, r.Cardinality, r.surge())
	}
	if i := s.Instance(e.Serial); i != nil && i.Bears() != nil {
		for other, address := range w.borne {
			if _, serial, _, _ := ParseMachineID(other); w.machines[other] != nil && serial != e.Serial && address == r.Spec.Address {
				w.violate("law 3: %s is made with the address of %s while %s has it", id, address, other)
			}
		}
		w.borne[id] = r.Spec.Address
	}
	if r.Spec.Identity == Stable {
		for other := range w.machines {
			_, serial, incarnation, _ := ParseMachineID(other)
			if serial == e.Serial && incarnation < e.Incarnation {
				w.violate("law 3: stable instance %d is made again while %s still exists", serial, other)
			}
		}
	}
}

// trulyLive counts the machines of a role that run, and the creations that are not answered.
func (w *world) trulyLive(r *Role) int {
	ids := map[driver.MachineID]bool{}
	for id, m := range w.machines {
		if m.role == r.Name && m.state != driver.Exited && m.state != driver.Failed {
			ids[id] = true
		}
	}
	for i := range r.Instances {
		if i.Phase == Creating {
			ids[w.svc.MachineID(i)] = true
		}
	}
	return len(ids)
}

// recount holds the service's counters against a count from scratch.
func (w *world) recount() {
	for _, r := range w.svc.Roles {
		live, outdated, off, total, ills := 0, 0, 0, 0, 0
		var by [phases]int
		for i := range r.Instances {
			total++
			by[i.Phase]++
			if i.live() {
				live++
			}
			if i.outdated() {
				outdated++
			}
			if i.ill() {
				ills++
			}
			if i.Rest() == RestPoweredOff {
				off++
			}
		}
		if live != r.live || outdated != r.outdated || off != r.off || total != r.total {
			w.violate("counters of role %s: live %d, outdated %d, off %d, total %d; counted %d, %d, %d, %d", r.Name, r.live, r.outdated, r.off, r.total, live, outdated, off, total)
		}
		if ills != r.ills {
			w.violate("counter of role %s: %d ills, counted %d", r.Name, r.ills, ills)
		}
		if r.users != nil {
			users := make([]int, len(r.users))
			for i := range r.Instances {
				if i.Phase != Queued && i.Phase != Backoff && i.Revision == r.Revision {
					users[i.Impl]++
				}
			}
			if !slices.Equal(users, r.users) {
				w.violate("users of the implementations of role %s: %v, counted %v", r.Name, r.users, users)
			}
		}
		for p := range phases {
			if by[p] != r.lists[p].n {
				w.violate("counter of role %s, phase %v: %d, counted %d", r.Name, p, r.lists[p].n, by[p])
			}
		}
	}
}

func (w *world) violate(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// calm lets everything go well until nothing is left to do; it reports whether that happens.
func (w *world) calm() bool {
	for round := 0; round < 5000; round++ {
		if slices.Contains(w.crashes, w.ticks) {
			w.crash()
		}
		w.ticks++
		switch {
		case len(w.pending) > 0:
			e := w.pending[0]
			w.pending = w.pending[1:]
			w.answer(e, w.fate(e))
		case len(w.late) > 0:
			for range min(w.batch, len(w.late)) - 1 {
				w.hearing(w.late[0])
				_ = w.svc.Observe(w.late[0], w.now)
				w.late = w.late[1:]
			}
			w.deliver(0)
		default:
			w.revive()
			w.calmSuppliers()
			if len(w.pending) > 0 || len(w.late) > 0 {
				continue
			}
			w.list()
			if len(w.pending) > 0 || len(w.late) > 0 {
				continue
			}
			w.decide()
			if len(w.pending) > 0 {
				continue
			}
			if w.quiet() || w.wakeAt.IsZero() {
				return w.quiet()
			}
			if w.wakeAt.After(w.now) {
				w.now = w.wakeAt
			}
			w.decide()
		}
	}
	return false
}

// fate is what the back end does with an effect.
func (w *world) fate(e Effect) string {
	if r := w.svc.RoleOf(e); e.Kind == DoCreate && r != nil && w.refuse[r.Name] {
		return "full"
	}
	if x := w.svc.SupplierOf(e); e.Kind == DoSupply && x != nil && w.refuse[x.Name] {
		return "full"
	}
	if x := w.svc.ResourceOf(e); e.Kind == DoMake && x != nil && w.refuse[x.Name] {
		return "full"
	}
	return ""
}

// revive brings machines that boot to running: back ends end what they began. Gates are satisfied.
func (w *world) revive() {
	for _, serial := range w.sortedSerials() {
		i := w.svc.instances.find(serial)
		m := w.machines[w.svc.MachineID(i)]
		if m == nil {
			continue
		}
		if m.state == driver.Pending {
			m.state = driver.Running
			w.late = append(w.late, Fact{Kind: Seen, Serial: serial, Incarnation: i.Incarnation, Machine: driver.Machine{State: driver.Running}})
		}
		if i.Phase == Starting && i.Machine == driver.Running {
			if i.role.Spec.ReadyGate && !i.Ready {
				w.late = append(w.late, Fact{Kind: Reported, Serial: serial, Key: "READY", Value: "YES"})
			}
			if len(i.Checks()) > 0 && i.Healthy != Healthy {
				w.late = append(w.late, Fact{Kind: Checked, Serial: serial, Incarnation: i.Incarnation, Health: Healthy, Passing: ^uint64(0)})
			}
		}
		if i.Healthy == Ailing && i.Machine == driver.Running {
			w.late = append(w.late, Fact{Kind: Checked, Serial: serial, Incarnation: i.Incarnation, Health: Healthy, Passing: ^uint64(0)})
		}
	}
}

func (w *world) quiet() bool {
	s := w.svc
	if s.State == Done || s.unmanaged() {
		return true
	}
	for _, r := range s.Roles {
		if r.State == Hold {
			return !s.work() // it waits for a person
		}
	}
	return !s.State.Transient() && !s.work() && !w.resourcesMove() && !w.suppliersMove()
}

// truth compares the machines that exist with those that the service knows.
func (w *world) truth() {
	w.truthOfResources()
	w.truthOfSuppliers()
	want := map[driver.MachineID]bool{}
	for i := range w.svc.instances.all {
		want[w.svc.MachineID(i)] = true
	}
	for id, m := range w.machines {
		if !want[id] {
			w.violate("law 3: machine %s (%s) is forgotten", id, m.state)
		}
	}
	for i := range w.svc.instances.all {
		if i.Phase == Up && !(w.svc.unmanaged() && i.Machine == driver.Gone) && w.machines[w.svc.MachineID(i)] == nil {
			w.violate("law 3: %s is up without a machine", w.svc.InstanceName(i))
		}
	}
}
