package oneflow_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/service"
)

// elastic is a body with a role of two to nine machines and one policy, which is not to fire unless said otherwise.
func elastic(expression, more string) string {
	return fmt.Sprintf(`{"name":"elastic","roles":[{"name":"r","type":"vm","template_id":0,"cardinality":2,"min_vms":1,"max_vms":9,"cooldown":0,
		"elasticity_policies":[{"type":"CHANGE","adjust":1,"expression":%q%s}]}]}`, expression, more)
}

// machinesOf are those of a service, by number.
func (s *stage) machinesOf(id string) []driver.MachineID {
	all := make(map[uint32]driver.MachineID)
	s.Engine.View(serial(s.t, id), func(svc *service.Service) {
		for _, r := range svc.Roles {
			for i := range r.Instances {
				all[i.Serial] = svc.MachineID(i)
			}
		}
	})
	var out []driver.MachineID
	for _, n := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[n])
	}
	return out
}

// evaluated waits until the first policy's expression has been looked at with that outcome.
func (s *stage) evaluated(id, want string) {
	s.t.Helper()
	var got any
	deadline := time.Now().Add(10 * time.Second)
	s.Within("evaluated: "+want, func() bool {
		got = apitest.At(s.root("GET", "/service/"+id, "").body("roles", 0, "elasticity_policies", 0), "expression_evaluated")
		if time.Now().After(deadline.Add(-time.Second)) {
			s.t.Fatalf("evaluated %v, want %s", got, want)
		}
		return fmt.Sprint(got) == want
	})
}

// Section 10.2, the table: three machines, of which one does not run.
func TestValuesOfNames(t *testing.T) {
	s := newStage(t, sim.Options{})
	gate := s.openGate()
	const never = `, "period":0, "period_number":1000000`
	for expression, want := range map[string]string{
		"A > 40":                              "A[50.0] > 40",
		"a >= 50":                             "A[50.0] >= 50",
		"CPU > 20":                            "CPU[26.67] > 20",
		"FOO > 5":                             "FOO[--] > 5",
		"!(FOO > 5)":                          "!(FOO[--] > 5)",
		"!A > 90 & FOO > 3":                   "!A[50.0] > 90 & FOO[--] > 3",
		"(FOO > 1 & FOO > 2) | A > 40":        "(FOO[--] > 1 & FOO[--] > 2) | A[50.0] > 40",
		"TEXT > 1 & VECTOR > 1":               "TEXT[6.0] > 1 & VECTOR[--] > 1", // "12abc" and "abc"
		"COLOUR = 7 & LOAD > 1":               "COLOUR[7.0] = 7 & LOAD[3.0] > 1",
		"MEMORY = 512 & STATE = 3 & GID >= 0": "MEMORY[512.0] = 512 & STATE[3.0] = 3 & GID[0.0] >= 0",
	} {
		body := strings.Replace(elastic(expression, never), `"cardinality":2`, `"cardinality":3,"template_contents":{"COLOUR":"7","LOAD":"3","MEMORY":"512"}`, 1)
		id := s.running(body)
		all := s.machinesOf(id)
		if _, err := s.Control.Order(t.Context(), s.Root(), serial(t, id), service.Command{Act: &service.Act{Serial: 3, Action: "suspend"}}); err != nil {
			t.Fatal(err)
		}
		s.Until(serial(t, id), "suspended", func(svc *service.Service) bool { return svc.Instance(3).Phase == service.Parked })
		for n, attributes := range []string{"A=40\ncpu.percent=33.333\nTEXT=12abc\nVECTOR=[X=1]", "A=60\ncpu.percent=20\nTEXT=abc", "A=1000\ncpu.percent=500"} {
			if status, text := s.ask(gate, all[n], "PUT", "/vm", attributes); status != 200 {
				t.Fatal(status, text)
			}
		}
		s.evaluated(id, want)
		s.must(204, "DELETE", "/service/"+id, "")
		s.gone(id)
	}
}

// A value scales when it comes, not when a loop comes by.
func TestScaleOnArrival(t *testing.T) {
	s := newStage(t, sim.Options{})
	gate := s.openGate()
	id := s.running(elastic("LOAD > 80", ""))
	began := time.Now()
	for _, m := range s.machinesOf(id) {
		s.ask(gate, m, "PUT", "/vm", "LOAD=90")
	}
	s.Within("three machines", func() bool {
		return fmt.Sprint(s.root("GET", "/service/"+id, "").body("roles", 0, "cardinality")) == "3"
	})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Section 10.5: the policy's cooldown, else the role's; the role keeps its own.
func TestCooldownPrecedence(t *testing.T) {
	s := newStage(t, sim.Options{})
	gate := s.openGate()
	for more, want := range map[string]time.Duration{`,"cooldown":50`: 50 * time.Second, "": 20 * time.Second, `,"cooldown":0`: 0} {
		body := strings.Replace(elastic("LOAD > 80", more), `"cooldown":0,
`, `"cooldown":20,
`, 1)
		id := s.running(body)
		for _, m := range s.machinesOf(id) {
			s.ask(gate, m, "PUT", "/vm", "LOAD=90")
		}
		if want == 0 {
			s.Within("all machines that there may be", func() bool { // each value anew acts at once
				for _, m := range s.machinesOf(id) {
					s.ask(gate, m, "PUT", "/vm", "LOAD=90")
				}
				return fmt.Sprint(s.root("GET", "/service/"+id, "").body("roles", 0, "cardinality")) == "9"
			})
			continue
		}
		r := s.until(id, 10)
		end, _ := r.body("roles", 0, "cooldown_end").(interface{ Int64() (int64, error) }).Int64()
		if left := time.Until(time.Unix(end, 0)); left > want || left < want-5*time.Second {
			t.Errorf("%s: the cooldown ends in %v, want %v", more, left, want)
		}
		if got := fmt.Sprint(r.body("roles", 0, "cooldown")); got != "20" {
			t.Errorf("%s: the role's own cooldown is %s", more, got)
		}
	}
}

// Section 20.9: below min_vms a role is brought back up, with no cooldown.
func TestMinimumIsKept(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(strings.Replace(strings.Replace(elastic("FOO > 1", ""), `"min_vms":1`, `"min_vms":2`, 1), `"cooldown":0`, `"cooldown":500`, 1))
	s.Cloud.Remove(s.machinesOf(id)[0])
	s.Within("two again", func() bool {
		r := s.root("GET", "/service/"+id, "")
		nodes, _ := r.body("roles", 0, "nodes").([]any)
		return fmt.Sprintf("%v %v", r.body("state"), r.body("roles", 0, "cardinality")) == "2 2" && len(nodes) == 2 && fmt.Sprint(apitest.At(nodes[1], "vm_info", "VM", "NAME")) == "r_2_(service_"+id+")"
	})
	s.Cloud.Kill(s.machinesOf(id)[1])
	s.until(id, 4) // POWEROFF is WARNING, and its machine counts
	if r := s.root("GET", "/service/"+id, ""); fmt.Sprint(r.body("roles", 0, "cardinality")) != "2" {
		t.Errorf("%s", r.Text)
	}
}

// A changed policy is followed from then on; one that stays remembers what it counted. What a server writes into policies
// may be sent back, and is not stored.
func TestPoliciesAreUpdated(t *testing.T) {
	s := newStage(t, sim.Options{})
	gate := s.openGate()
	id := s.running(elastic("LOAD > 80", `,"period":3600`))
	for _, m := range s.machinesOf(id) {
		s.ask(gate, m, "PUT", "/vm", "LOAD=50")
	}
	before := s.machinesOf(id)
	shown := s.must(200, "GET", "/service/"+id, "").body()
	roles := shown.(map[string]any)["roles"].([]any)
	p := roles[0].(map[string]any)["elasticity_policies"].([]any)[0].(map[string]any)
	if p["last_eval"] == nil || p["true_evals"] == nil || p["expression_evaluated"] == nil {
		t.Errorf("a running policy shows %v", p)
	}
	p["expression"], p["adjust"] = "LOAD > 40", 2
	s.must(204, "PUT", "/service/"+id, string(mustJSON(t, shown)))
	s.Within("four machines", func() bool {
		return fmt.Sprint(s.root("GET", "/service/"+id, "").body("roles", 0, "cardinality")) == "4"
	})
	s.until(id, 2)
	if after := s.machinesOf(id); !slices.Equal(after[:2], before) {
		t.Errorf("machines %v became %v", before, after)
	}
	if r := s.must(200, "GET", "/service/"+id, ""); !strings.Contains(r.Text, `"expression_evaluated": "LOAD[50.0] > 40"`) {
		t.Errorf("%s", r.Text)
	}
	var stored string
	s.Engine.View(serial(t, id), func(svc *service.Service) { stored = string(svc.Spec.Document) })
	if strings.Contains(stored, "last_eval") || strings.Contains(stored, "expression_evaluated") {
		t.Errorf("stored: %s", stored)
	}
}
