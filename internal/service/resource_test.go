package service

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"pgregory.net/rapid"
)

// drawResources gives a random service up to three resources, which roles and each other need.
func drawResources(t *rapid.T, s *Spec, strict bool) {
	if rapid.IntRange(0, 2).Draw(t, "resources") > 0 {
		return
	}
	for k := range rapid.IntRange(1, 3).Draw(t, "resources") {
		x := ResourceSpec{Name: fmt.Sprintf("n%d", k), Kind: "network", Driver: "sim"}
		if strict || rapid.IntRange(0, 2).Draw(t, "manual") == 0 {
			x.Heal = HealManual
		}
		for p := range k {
			if rapid.IntRange(0, 2).Draw(t, "needs") == 0 {
				x.Needs = append(x.Needs, fmt.Sprintf("n%d", p))
			}
		}
		s.Resources = append(s.Resources, x)
		for n := range s.Roles {
			if rapid.Bool().Draw(t, "needed") {
				s.Roles[n].Needs = append(s.Roles[n].Needs, x.Name)
			}
		}
	}
}

// changeResources drops one resource, with all that it is needed by going on without it, or adds one.
func changeResources(t *rapid.T, s *Spec) {
	switch rapid.IntRange(0, 7).Draw(t, "change resources") {
	case 0:
		s.Resources = append(slices.Clone(s.Resources), ResourceSpec{Name: fmt.Sprintf("m%d", rapid.IntRange(0, 1<<20).Draw(t, "name")), Kind: "network", Driver: "sim"})
		s.Roles[0].Needs = append(slices.Clone(s.Roles[0].Needs), s.Resources[len(s.Resources)-1].Name)
	case 1:
		if len(s.Resources) == 0 {
			return
		}
		n := rapid.IntRange(0, len(s.Resources)-1).Draw(t, "drop")
		without := func(names []string) []string {
			return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == s.Resources[n].Name })
		}
		for k := range s.Roles {
			s.Roles[k].Needs = without(s.Roles[k].Needs)
		}
		var kept []ResourceSpec
		for k, x := range s.Resources {
			if x.Needs = without(x.Needs); k != n {
				kept = append(kept, x)
			}
		}
		s.Resources = kept
	}
}

// answerResource carries out a DoMake or DoUnmake; how says what goes wrong.
func (w *world) answerResource(e Effect, how string) {
	id := ResourceID(w.svc.ID, e.Serial)
	f := Fact{Kind: Unmade, Serial: e.Serial, Action: e.Token}
	if e.Kind == DoUnmake {
		// The engine's promise: a removal cancels a making that has not begun.
		w.pending = slices.DeleteFunc(w.pending, func(p Effect) bool { return p.Kind == DoMake && p.Serial == e.Serial })
		if how != "fail" {
			delete(w.resources, id)
		}
		if how == "fail" || how == "lost" {
			f.Err, f.Class = "no answer", "unavailable"
		}
		w.late = append(w.late, f)
		return
	}
	f.Kind, f.Resource = Made, &driver.Resource{ID: id}
	there := w.resources[id]
	if there != nil && (how == "full" || how == "invalid") {
		how = ""
	}
	if there == nil && (how == "" || how == "lost" || how == "pending" || how == "dead") {
		there = &fakeResource{state: driver.Running}
		if x := w.svc.ResourceOf(e); x != nil {
			there.name = x.Name
		}
		w.resources[id] = there
		if w.made[id]++; w.made[id] > 1 {
			w.violate("law 3: resource %s was made twice", id)
		}
		switch how {
		case "pending":
			there.state = driver.Pending
		case "dead":
			there.state = driver.Failed
		}
	} else if there != nil && there.state == driver.Pending && how == "" {
		there.state = driver.Running
	}
	switch how {
	case "full":
		f.Err, f.Class, f.Definite = "no room", "capacity", true
	case "invalid":
		f.Err, f.Class, f.Definite = "no such template", "invalid", true
	case "fail", "lost":
		f.Err, f.Class = "no answer", "unavailable"
	default:
		f.Resource.Native, f.Resource.State = "net-"+string(id), there.state
		f.Resource.Outputs = map[string]string{"id": fmt.Sprint(e.Serial)}
	}
	w.late = append(w.late, f)
}

// checkNeeds: what needs a resource is not made before the resource may be used, in the world's eyes.
func (w *world) checkNeeds(who string, needs []string) {
	for _, name := range needs {
		x := w.svc.Resource(name) // recorded ones are the service's alone
		found := x != nil && x.recorded() && x.Phase == ResourceReady
		for _, x := range w.resources {
			found = found || x.name == name && x.state == driver.Running
		}
		if !found {
			w.violate("law 1: %s is made while resource %s, which it needs, is not ready", who, name)
		}
	}
}

// checkResource looks at an effect on a resource.
func (w *world) checkResource(e Effect) {
	s, x := w.svc, w.svc.ResourceOf(e)
	if x == nil {
		w.violate("law 3: an effect on resource %d, which is not there", e.Serial)
		return
	}
	if e.Kind == DoMake {
		w.checkNeeds("resource "+x.Name, x.Spec.Needs)
		return
	}
	if f := w.resources[ResourceID(s.ID, e.Serial)]; f == nil || f.state == driver.Failed {
		return // it was never of use to anything
	}
	for _, m := range w.machines {
		r := s.Role(m.role)
		if s.Leaving && x.Spec != nil || r != nil && slices.Contains(r.Spec.Needs, x.Name) {
			w.violate("law 5: resource %s is removed while machine %s of role %s exists", x.Name, m.id, m.role)
		}
	}
	for id, f := range w.resources {
		if y := s.Resource(f.name); y != nil && ResourceID(s.ID, y.Serial) == id && y.Spec != nil && slices.Contains(y.Spec.Needs, x.Name) {
			w.violate("law 5: resource %s is removed while %s, which needs it, exists", x.Name, f.name)
		}
	}
}

// truthOfResources compares the resources that exist with those that the service knows.
func (w *world) truthOfResources() {
	for id, f := range w.resources {
		if x := w.svc.Resource(f.name); x == nil || ResourceID(w.svc.ID, x.Serial) != id || !x.Made {
			w.violate("law 3: resource %s (%s) is forgotten", id, f.name)
		}
	}
	for _, x := range w.svc.Resources {
		if f := w.resources[ResourceID(w.svc.ID, x.Serial)]; x.Phase == ResourceReady && (f == nil || f.state != driver.Running) {
			w.violate("law 3: resource %s is ready and does not exist", x.Name)
		}
	}
}

// resourcesMove reports whether a resource is on its way or will be tried again by itself.
func (w *world) resourcesMove() bool {
	return w.svc.resourcesAtWork() || slices.ContainsFunc(w.svc.Resources, func(x *Resource) bool { return x.Until > 0 })
}

// A secret that a back end shows in an output is hidden.
func TestOutputsHideSecrets(t *testing.T) {
	w := newWorld(&Spec{Name: "x", Strategy: Straight, Inputs: map[string]string{"key": "s3cret", "plain": "open"}, Secrets: []string{"key"},
		Resources: []ResourceSpec{{Name: "n", Kind: "network", Driver: "sim"}}})
	outputs := map[string]string{"url": "https://a:s3cret@b", "note": "open"}
	_ = w.tell(Fact{Kind: Made, Serial: 1, Resource: &driver.Resource{State: driver.Running, Outputs: outputs}})
	if got := w.svc.Resource("n").Outputs; got["url"] != driver.Redacted || got["note"] != "open" {
		t.Errorf("outputs %v", got)
	}
}

// completeResource fills in what a scenario does not care for.
func completeResource(x *ResourceSpec) {
	if x.Kind == "" {
		x.Kind = "network"
	}
	if x.Driver == "" {
		x.Driver = "sim"
	}
}

// expectResource: expect resource NAME PHASE|none [WORDS].
func (x *scene) expectResource(args []string) error {
	if len(args) < 2 {
		return errors.New("expect resource NAME PHASE [WORDS]")
	}
	r := x.w.svc.Resource(args[0])
	switch {
	case r == nil && args[1] == "none":
		return nil
	case r == nil:
		return fmt.Errorf("there is no resource %q", args[0])
	}
	return same(r.Phase.String(), r.Reason, args[1:])
}

// An answer that comes twice may lead to two calls under way. The first one's refusal does not mean that nothing is made.
func TestRefusalOfAnEarlierCall(t *testing.T) {
	spec := roleOf(0)
	spec.Resources = nets("n")
	w := newWorld(spec)
	first := w.pending[0]
	w.pending = nil
	w.answer(first, "fail")
	again := w.late[0]
	w.deliver(0)
	w.now = w.now.Add(time.Second)
	w.decide()
	second := w.pending[0]
	w.pending = nil
	_ = w.tell(again)
	w.now = w.now.Add(5 * time.Second)
	w.decide()
	w.answer(second, "invalid")
	w.deliver(0)
	settle(t, w)
}
