package service

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A fakeSupplier is a needed service in the world's eyes.
type fakeSupplier struct {
	name  string
	owned bool
	state State
	at    int64 // changes
	mute  bool  // its outputs have no value
}

// drawSuppliers gives a random service up to two needed services in the midst of its graph, and an output.
func drawSuppliers(t *rapid.T, s *Spec) {
	if rapid.IntRange(0, 2).Draw(t, "suppliers") > 0 {
		return
	}
	s.Outputs = []OutputSpec{{Name: "o", Value: "{{ roles }}"}}
	cut := 0
	for k := range rapid.IntRange(1, 2).Draw(t, "suppliers") {
		// Those that come later need roles further down, so that there is no circle.
		cut = rapid.IntRange(cut, len(s.Roles)).Draw(t, "cut")
		x := SupplierSpec{Name: fmt.Sprintf("s%d", k), Spec: &Spec{Name: "made", Strategy: Straight, Inputs: map[string]string{"in": ""}, Outputs: []OutputSpec{{Name: "url", Value: "u"}}}}
		if rapid.IntRange(0, 3).Draw(t, "bound") == 0 {
			x.Service, x.Spec = "there", nil
		}
		if rapid.Bool().Draw(t, "uses") {
			x.Uses = []string{"url"}
		}
		if rapid.IntRange(0, 2).Draw(t, "manual supplier") == 0 {
			x.Heal = HealManual
		}
		for p := range k {
			if rapid.Bool().Draw(t, "needs supplier") {
				x.Needs = append(x.Needs, fmt.Sprintf("s%d", p))
			}
		}
		for n := range s.Resources {
			if rapid.IntRange(0, 2).Draw(t, "needs resource") == 0 {
				x.Needs = append(x.Needs, s.Resources[n].Name)
			}
		}
		for n := range s.Roles {
			if rapid.IntRange(0, 2).Draw(t, "edge") > 0 {
				continue
			}
			if n < cut {
				x.Needs = append(x.Needs, s.Roles[n].Name)
			} else {
				s.Roles[n].Needs = append(s.Roles[n].Needs, x.Name)
			}
		}
		s.Services = append(s.Services, x)
	}
}

// changeSuppliers drops a needed service, with all that needs it going on without it, gives one another input, or adds one.
func changeSuppliers(t *rapid.T, s *Spec) {
	switch k := rapid.IntRange(0, 7).Draw(t, "change suppliers"); {
	case k == 0:
		s.Services = append(slices.Clone(s.Services), SupplierSpec{Name: fmt.Sprintf("t%d", rapid.IntRange(0, 1<<20).Draw(t, "name")), Spec: &Spec{Name: "made"}})
		last := len(s.Roles) - 1
		s.Roles[last].Needs = append(slices.Clone(s.Roles[last].Needs), s.Services[len(s.Services)-1].Name)
	case k == 1 && len(s.Services) > 0:
		n := rapid.IntRange(0, len(s.Services)-1).Draw(t, "drop")
		without := func(names []string) []string {
			return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == s.Services[n].Name })
		}
		for k := range s.Roles {
			s.Roles[k].Needs = without(s.Roles[k].Needs)
		}
		var kept []SupplierSpec
		for k, x := range s.Services {
			if x.Needs = without(x.Needs); k != n {
				kept = append(kept, x)
			}
		}
		s.Services = kept
	case k == 2 && len(s.Services) > 0:
		s.Services = slices.Clone(s.Services)
		s.Services[0].Inputs = map[string]string{"in": fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "input"))}
		if s.Services[0].Spec == nil {
			s.Services[0].Inputs = nil
		}
	}
}

// answerSupplier carries out a DoSupply, a DoDismiss or a DoEvaluate; how says what goes wrong.
func (w *world) answerSupplier(e Effect, how string) {
	if e.Kind == DoEvaluate {
		values := map[string]string{}
		if len(w.svc.Spec.Outputs) > 0 && len(w.machines) > 0 {
			values["o"] = "there are machines"
		}
		w.late = append(w.late, Fact{Kind: Evaluated, Evaluation: &Evaluation{Values: values}})
		return
	}
	f := Fact{Kind: Supplied, Serial: e.Serial, Action: e.Token}
	there := w.suppliers[e.Serial]
	if e.Kind == DoDismiss {
		// The engine's promise: letting go cancels a making that has not begun.
		w.pending = slices.DeleteFunc(w.pending, func(p Effect) bool { return p.Kind == DoSupply && p.Serial == e.Serial })
		if how == "fail" {
			f.Err = "no answer"
		} else {
			delete(w.suppliers, e.Serial)
			f.Supply = &Supply{Gone: true, State: Done}
		}
		w.late = append(w.late, f)
		return
	}
	// The engine's promise: wishes of one node keep their order, and what has been given up meanwhile is not made.
	if x := w.svc.SupplierOf(e); x == nil || x.Phase != SupplierBound && x.Phase != SupplierLeaving {
		return
	}
	if there != nil && (how == "full" || how == "invalid") {
		how = ""
	}
	if there == nil && (how == "" || how == "lost" || how == "pending" || how == "mute" || how == "dead") {
		there = &fakeSupplier{state: Running, mute: how == "mute"}
		if x := w.svc.SupplierOf(e); x != nil {
			there.name, there.owned = x.Name, x.Owned
		}
		w.suppliers[e.Serial] = there
		switch how {
		case "pending":
			there.state = Deploying
		case "dead":
			there.state = FailedDeploying
		}
	}
	switch how {
	case "full":
		f.Err, f.Class, f.Definite = "over its quota", "capacity", true
	case "invalid":
		f.Err, f.Class, f.Definite = "in a circle", "invalid", true
	case "fail", "lost":
		f.Err, f.Class = "no answer", "unavailable"
	default:
		f.Supply = w.supply(e.Serial)
	}
	w.late = append(w.late, f)
}

func (w *world) supply(serial uint32) *Supply {
	there := w.suppliers[serial]
	if there == nil {
		return &Supply{Service: 100 + uint64(serial), State: Done, Gone: true}
	}
	told := &Supply{Service: 100 + uint64(serial), State: there.state, At: there.at, Revision: uint32(there.at)}
	if there.state != Deploying && there.state != FailedDeploying && !there.mute {
		told.Outputs, told.Revision = map[string]string{"url": fmt.Sprint("u", serial)}, uint32(there.at)+1
	}
	return told
}

// news lets a needed service tell unasked how it is.
func (w *world) news(serial uint32) {
	w.late = append(w.late, Fact{Kind: Supplied, Serial: serial, Supply: w.supply(serial)})
}

// strike lets something befall a needed service.
func (w *world) strike(t *rapid.T) {
	serials := slices.Sorted(maps.Keys(w.suppliers))
	if len(serials) == 0 {
		return
	}
	serial := rapid.SampledFrom(serials).Draw(t, "supplier")
	if rapid.IntRange(0, 3).Draw(t, "supplier gone") == 0 {
		delete(w.suppliers, serial)
	} else {
		w.suppliers[serial].at++
		w.suppliers[serial].mute = rapid.Bool().Draw(t, "mute")
		w.suppliers[serial].state = rapid.SampledFrom([]State{Running, Warning, Scaling, FailedScaling, Deploying, Hold}).Draw(t, "supplier state")
	}
	w.news(serial)
}

// calmSuppliers brings needed services to RUNNING, and lets them tell.
func (w *world) calmSuppliers() {
	for _, serial := range slices.Sorted(maps.Keys(w.suppliers)) {
		if there := w.suppliers[serial]; there.state == Deploying || there.state == Scaling || there.mute {
			if there.mute = false; there.state == Deploying || there.state == Scaling {
				there.state = Running
			}
			there.at++
			w.news(serial)
		}
	}
}

// hearing notes what the service is told of the needed ones.
func (w *world) hearing(f Fact) {
	if f.Kind == Supplied && f.Supply != nil && (f.Supply.Gone || f.Supply.At >= w.heard[f.Serial].At) {
		w.heard[f.Serial] = *f.Supply
	}
}

// checkSupply: what needs a service is not made before that has told that it is ready.
func (w *world) checkSupply(who string, names []string) {
	for _, name := range names {
		x := w.svc.Supplier(name)
		if x == nil {
			continue
		}
		told, ok := w.heard[x.Serial]
		lacks := slices.ContainsFunc(x.Spec.Uses, func(o string) bool { return told.Outputs[o] == "" })
		if !ok || told.Gone || lacks || told.State != Running && told.State != Scaling {
			w.violate("law 1: %s is made while service %s, which it needs, is %s", who, name, told.State)
		}
	}
}

// checkSupplier looks at an effect on a needed service.
func (w *world) checkSupplier(e Effect) {
	s, x := w.svc, w.svc.SupplierOf(e)
	if x == nil {
		w.violate("law 3: an effect on needed service %d, which is not there", e.Serial)
		return
	}
	if e.Kind == DoSupply {
		if w.suppliers[e.Serial] != nil || w.tried[e.Serial] {
			return
		}
		w.tried[e.Serial] = true
		w.checkSupply("service "+x.Name, x.Spec.Needs)
		for _, name := range x.Spec.Needs {
			if r := s.Role(name); r != nil && (r.Settled() < r.Cardinality || r.State == Pending) {
				w.violate("law 1: service %s is made while role %s, which it needs, is %s", x.Name, r.Name, r.State)
			}
			if n := s.Resource(name); n != nil && n.Phase != ResourceReady {
				w.violate("law 1: service %s is made while resource %s, which it needs, is %s", x.Name, n.Name, n.Phase)
			}
		}
		return
	}
	if w.suppliers[e.Serial] == nil || !s.Leaving && x.Spec != nil {
		return // it is gone: another one is made in its place
	}
	for _, m := range w.machines {
		if r := s.Role(m.role); r != nil && slices.Contains(r.Spec.Needs, x.Name) {
			w.violate("law 5: service %s is let go while machine %s of role %s exists", x.Name, m.id, m.role)
		}
	}
	for serial, f := range w.suppliers {
		if y := s.Supplier(f.name); y != nil && y.Serial == serial && y.Spec != nil && slices.Contains(y.Spec.Needs, x.Name) {
			w.violate("law 5: service %s is let go while %s, which needs it, exists", x.Name, f.name)
		}
	}
}

// checkDependants: nothing goes that a needed service still needs.
func (w *world) checkDependants(what, name string) {
	for serial, f := range w.suppliers {
		if x := w.svc.Supplier(f.name); x != nil && x.Serial == serial && x.Spec != nil && slices.Contains(x.Spec.Needs, name) {
			w.violate("law 5: %s %s goes while service %s, which needs it, exists", what, name, f.name)
		}
	}
}

// truthOfSuppliers compares the needed services that exist with those that the service knows.
func (w *world) truthOfSuppliers() {
	for serial, f := range w.suppliers {
		if x := w.svc.Supplier(f.name); x == nil || x.Serial != serial || !x.Made {
			w.violate("law 3: service %d (%s) is forgotten", serial, f.name)
		}
	}
	for _, x := range w.svc.Suppliers {
		if f := w.suppliers[x.Serial]; x.Ready() && (f == nil || f.state != Running && f.state != Scaling) {
			w.violate("law 3: service %s is ready and is not", x.Name)
		}
	}
}

func (w *world) suppliersMove() bool {
	return w.svc.suppliersAtWork() || slices.ContainsFunc(w.svc.Suppliers, func(x *Supplier) bool { return x.Until > 0 && (x.Spec != nil || x.Phase != SupplierBound) })
}

// completeSupplier fills in what a scenario does not care for.
func completeSupplier(x *SupplierSpec) {
	if x.Service == "" && x.Spec == nil {
		x.Spec = &Spec{Name: x.Name, Inputs: map[string]string{"in": ""}}
	}
	if x.Spec != nil {
		x.Spec.Strategy = Straight
		for _, name := range x.Uses {
			x.Spec.Outputs = append(x.Spec.Outputs, OutputSpec{Name: name, Value: "u"})
		}
	}
}

// expectSupplier: expect service-needed NAME PHASE|ready|none [WORDS].
func (x *scene) expectSupplier(args []string) error {
	if len(args) < 2 {
		return errors.New("expect supplier NAME PHASE|ready|none [WORDS]")
	}
	r := x.w.svc.Supplier(args[0])
	switch {
	case r == nil && args[1] == "none":
		return nil
	case r == nil:
		return fmt.Errorf("there is no needed service %q", args[0])
	}
	return same(r.Present(), r.present(), args[1:])
}

// supplierTells: supplier NAME STATE|gone [OUTPUT=VALUE].
func (x *scene) supplierTells(args []string) error {
	if len(args) < 2 {
		return errors.New("supplier NAME STATE|gone [OUTPUT=VALUE]")
	}
	s := x.w.svc.Supplier(args[0])
	if s == nil {
		return fmt.Errorf("there is no needed service %q", args[0])
	}
	there := x.w.suppliers[s.Serial]
	if there == nil {
		return fmt.Errorf("the world has no service %q", args[0])
	}
	if args[1] == "gone" {
		delete(x.w.suppliers, s.Serial)
		return x.w.tell(Fact{Kind: Supplied, Serial: s.Serial, Supply: x.w.supply(s.Serial)})
	}
	n := slices.Index(stateNames[:], args[1])
	if n < 0 {
		return fmt.Errorf("no state %q", args[1])
	}
	there.state = State(n)
	there.at++
	told := x.w.supply(s.Serial)
	for _, a := range args[2:] {
		name, value, _ := strings.Cut(a, "=")
		told.Outputs = map[string]string{name: value}
		told.Revision = s.Seen + 1
	}
	return x.w.tell(Fact{Kind: Supplied, Serial: s.Serial, Supply: told})
}

// A service that others need is not removed under them, unless that is forced; the one it was made for may.
func TestNeededServiceStays(t *testing.T) {
	w := newWorld(roleOf(1))
	w.calm()
	shop, app := Consumer{Service: 12, Serial: 1, Name: "shop", Owns: true}, Consumer{Service: 13, Serial: 4, Name: "app"}
	for _, c := range []Consumer{shop, app, app} {
		if err := w.command(Command{Bind: &Bind{Consumer: c}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.svc.Consumers); n != 2 || w.svc.Owner().Service != 12 {
		t.Fatalf("%d consumers, owner %+v", n, w.svc.Owner())
	}
	err := w.command(Command{Undeploy: &Undeploy{Remove: true}})
	if err == nil || !strings.Contains(err.Error(), "needed by shop (12), app (13)") {
		t.Errorf("removed: %v", err)
	}
	if err := w.command(Command{Undeploy: &Undeploy{For: 12}}); err == nil || !strings.Contains(err.Error(), "needed by app (13)") {
		t.Errorf("removed for its owner: %v", err)
	}
	_ = w.command(Command{Unbind: &Unbind{Consumer: app}})
	if err := w.command(Command{Undeploy: &Undeploy{For: 12}}); err != nil {
		t.Errorf("not removed for its owner: %v", err)
	}
}

// Outputs that have no value for now keep their last, also over a restart, and a change is told once.
func TestOutputsKeepTheirLastValue(t *testing.T) {
	spec := roleOf(1)
	spec.Outputs = []OutputSpec{{Name: "a", Value: "x"}, {Name: "b", Value: "y"}}
	w := newWorld(spec)
	tell := func(values map[string]string) {
		_ = w.tell(Fact{Kind: Evaluated, Evaluation: &Evaluation{Values: values, Why: map[string]string{"b": "no b"}}})
	}
	tell(map[string]string{"a": "1"})
	tell(map[string]string{"a": "1"})
	if w.svc.OutputRevision != 1 || w.svc.Outputs["a"] != "1" || w.svc.Unvalued("b") != "no b" {
		t.Fatalf("%+v, revision %d, %q", w.svc.Outputs, w.svc.OutputRevision, w.svc.Unvalued("b"))
	}
	tell(map[string]string{"b": "2"})
	w.crash()
	if want := (map[string]string{"a": "1", "b": "2"}); !maps.Equal(w.svc.Outputs, want) || w.svc.OutputRevision != 2 {
		t.Errorf("%+v, revision %d", w.svc.Outputs, w.svc.OutputRevision)
	}
	w.now = w.now.Add(time.Second)
}
