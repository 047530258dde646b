package oneflow_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/service"
)

// Section 3.5: updates of a running service.
func TestUpdateService(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(web)
	path := "/service/" + id
	machines := len(s.Cloud.Machines())
	whole := func(change func(body map[string]any)) string {
		body := s.must(200, "GET", path, "").body().(map[string]any)
		change(body)
		text, err := json.Marshal(body)
		check(t, err)
		return string(text)
	}
	role := func(body map[string]any, n int) map[string]any { return body["roles"].([]any)[n].(map[string]any) }

	s.must(204, "PUT", path, whole(func(b map[string]any) { role(b, 0)["max_vms"] = 6; b["description"] = "changed" }))
	r := s.must(200, "GET", path, "")
	if fmt.Sprint(r.body("roles", 0, "max_vms")) != "6" || r.body("description") != "changed" || fmt.Sprint(r.body("state")) != "2" {
		t.Errorf("after PUT: %s", r.Text)
	}
	s.must(204, "PUT", path, `{"append":true,"template":"{\"note\":\"kept\"}"}`)
	if r := s.must(200, "GET", path, ""); r.body("note") != "kept" {
		t.Errorf("after append: %v", r.body("note"))
	}
	s.must(204, "POST", path+"/action", act("update", `{"append":true,"template_json":"{\"more\":1}"}`))
	s.must(204, "POST", path+"/action", act("update", `{"append":true,"template_raw":"RAW=\"yes\""}`))
	if r := s.must(200, "GET", path, ""); fmt.Sprint(r.body("more")) != "1" || r.body("RAW") != "yes" {
		t.Errorf("after action update: %s", r.Text)
	}
	// The new bound holds.
	s.must(204, "POST", path+"/scale", `{"role_name":"front","cardinality":5}`)
	s.until(id, 2)
	if len(s.Cloud.Machines()) != machines+4 {
		t.Errorf("%d machines, want %d: an update in place touches none", len(s.Cloud.Machines()), machines+4)
	}

	for what, body := range map[string]string{
		"name":          whole(func(b map[string]any) { b["name"] = "x" }),
		"deployment":    whole(func(b map[string]any) { b["deployment"] = "none" }),
		"state":         whole(func(b map[string]any) { b["state"] = 3 }),
		"log":           whole(func(b map[string]any) { b["log"] = []any{} }),
		"cardinality":   whole(func(b map[string]any) { role(b, 1)["cardinality"] = 9 }),
		"template_id":   whole(func(b map[string]any) { role(b, 1)["template_id"] = 1 }),
		"nodes":         whole(func(b map[string]any) { role(b, 1)["nodes"] = []any{} }),
		"role name":     whole(func(b map[string]any) { role(b, 1)["name"] = "y" }),
		"fewer roles":   whole(func(b map[string]any) { b["roles"] = b["roles"].([]any)[:1] }),
		"schema":        whole(func(b map[string]any) { role(b, 1)["min_vms"] = "x" }),
		"append name":   `{"append":true,"template":"{\"name\":\"x\"}"}`,
		"append absent": `{"append":true}`,
		"append object": `{"append":true,"template":{}}`,
		"not an object": `[]`,
		"not JSON":      `{`,
		"empty":         ``,
	} {
		if r := s.root("PUT", path, body); r.Status != 400 || r.At("error", "message") == nil {
			t.Errorf("%s: %d %s, want 400", what, r.Status, r.Text)
		}
	}
	if r := s.root("POST", path+"/action", act("update", `{"template_json":"{}"}`)); r.Status != 400 {
		t.Errorf("update without append: %d %s", r.Status, r.Text)
	}

	// Changed contents need new machines: a rolling update, which looks like a scaling.
	before := s.Cloud.Machines()
	s.must(204, "PUT", path, whole(func(b map[string]any) { role(b, 1)["template_contents"] = map[string]any{"CPU": "2"} }))
	s.Within("the machines are replaced", func() bool {
		r := s.root("GET", path, "")
		return fmt.Sprint(r.body("state")) == "2" && apitest.At(r.body("roles", 1, "nodes", 0), "vm_info", "VM", "TEMPLATE", "CPU") == "2" &&
			apitest.At(r.body("roles", 1, "nodes", 1), "vm_info", "VM", "TEMPLATE", "CPU") == "2"
	})
	kept := 0
	for _, m := range s.Cloud.Machines() {
		if slices.ContainsFunc(before, func(b driver.Machine) bool { return b.ID == m.ID }) {
			kept++
		}
	}
	if kept != 5 {
		t.Errorf("%d machines were kept, want the 5 of the other role", kept)
	}
}

// A change of the machine definition does not reach a service by way of an update of something else.
func TestUpdateKeepsMachines(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(web)
	before := s.Cloud.Machines()
	_, err := s.Control.PutMachine(t.Context(), s.Root(), "default", service.Machine{CPUs: 4, Implementations: []service.Implementation{{Driver: "sim"}}}, 0)
	check(t, err)
	s.must(204, "PUT", "/service/"+id, `{"append":true,"template":"{\"description\":\"x\"}"}`)
	s.until(id, 2)
	check(t, s.Control.RemoveMachine(t.Context(), s.Root(), "default"))
	s.must(204, "PUT", "/service/"+id, `{"append":true,"template":"{\"description\":\"y\"}"}`)
	r := s.until(id, 2)
	if r.body("description") != "y" {
		t.Errorf("description %v", r.body("description"))
	}
	ids := func(machines int) []string {
		var out []string
		for _, m := range s.Cloud.Machines()[:machines] {
			out = append(out, string(m.ID))
		}
		slices.Sort(out)
		return out
	}
	var want []string
	for _, m := range before {
		want = append(want, string(m.ID))
	}
	slices.Sort(want)
	if d := cmp.Diff(want, ids(len(s.Cloud.Machines()))); d != "" {
		t.Errorf("machines changed:\n%s", d)
	}
}

// Section 3.6: roles of a running service.
func TestRoleChanges(t *testing.T) {
	s := newStage(t, sim.Options{})
	for _, body := range []string{web, oldWeb} {
		id := s.running(body)
		path := "/service/" + id + "/role_action"
		s.must(204, "POST", path, act("add_role", `{"role":{"name":"cache","type":"vm","template_id":0,"cardinality":1,"parents":["front"],"cooldown":0}}`))
		r := s.until(id, 2)
		if r.body("roles", 2, "name") != "cache" || len(r.body("roles", 2, "nodes").([]any)) != 1 {
			t.Fatalf("after add_role: %s", r.Text)
		}
		s.must(204, "POST", path, act("add_role", `{"add":true,"role":"{\"name\":\"text\",\"vm_template\":0,\"cardinality\":1}"}`))
		r = s.until(id, 2)
		if r.body("roles", 3, "name") != "text" {
			t.Errorf("a role as text: %s", r.Text)
		}
		for params, want := range map[string]int{
			`{"role":{"name":"cache","type":"vm","template_id":0}}`:                         400, // there already
			`{"role":{"name":"x y","type":"vm","template_id":0}}`:                           400,
			`{"role":{"name":"z","type":"vm","template_id":77}}`:                            400,
			`{"role":{"name":"z","type":"vm","template_id":0,"parents":["nobody"]}}`:        400,
			`{"role":{"name":"z","type":"vm","template_id":0,"cardinality":1,"min_vms":3}}`: 400,
			`{"role":"{bad"}`: 400,
			`{"role":3}`:      400,
			`{}`:              400,
		} {
			if r := s.root("POST", path, act("add_role", params)); r.Status != want {
				t.Errorf("add_role %s: %d, want %d: %s", params, r.Status, want, r.Text)
			}
		}
		s.must(404, "POST", path, act("remove_role", `{"role":"nosuch"}`))
		s.must(400, "POST", path, act("remove_role", `{}`))
		s.must(400, "POST", path, act("nosuch", `{}`))
		for _, role := range []string{"text", "back", "cache"} {
			s.must(204, "POST", path, act("remove_role", fmt.Sprintf(`{"role":%q}`, role)))
			s.Within(role+" is gone", func() bool {
				r := s.root("GET", "/service/"+id, "")
				return fmt.Sprint(r.body("state")) == "2" && !strings.Contains(fmt.Sprint(r.body("roles")), "name:"+role+" ")
			})
		}
		s.must(204, "POST", path, act("remove_role", `{"role":"front"}`)) // the last one
		s.gone(id)
	}
}
