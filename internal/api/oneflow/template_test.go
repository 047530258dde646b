package oneflow_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/service"
)

// Section 3.7: the life of a template.
func TestTemplates(t *testing.T) {
	s := newStage(t, sim.Options{})
	r := s.must(201, "POST", "/service_template", `{"name":"t","roles":[{"name":"r","vm_template":"1","max_vms":" 3 "}],"extra":{"kept":[1,null,"x"]}}`)
	if fmt.Sprintf("%v %v %v", r.body("roles", 0, "vm_template"), r.body("roles", 0, "cardinality"), r.body("roles", 0, "max_vms")) != "1 1 3" {
		t.Errorf("coerced: %v", r.body("roles", 0))
	}
	if fmt.Sprint(r.body("extra", "kept")) != "[1 <nil> x]" || r.body("deployment") != "none" || r.body("description") != "" {
		t.Errorf("stored: %s", r.Text)
	}
	registered := r.body("registration_time")
	path := "/service_template/" + r.id()
	update := func(params string, want int) {
		t.Helper()
		if r := s.root("POST", path+"/action", act("update", params)); r.Status != want {
			t.Errorf("update %s: %d, want %d: %s", params, r.Status, want, r.Text)
		}
	}
	update(`{"append":true,"template_json":"{\"description\":\"d\"}"}`, 204)
	update(`{"append":true,"template_raw":"KEY=\"v\"\nVEC=[A=1,B=2]"}`, 204)
	update(`{"append":"true","template_json":"{\"two\":2}"}`, 204)
	r = s.must(200, "GET", path, "")
	if r.body("description") != "d" || r.body("KEY") != "v" || fmt.Sprint(r.body("two")) != "2" || fmt.Sprint(r.body("VEC", 0, "B")) != "2" || r.body("registration_time") != registered {
		t.Errorf("after the updates: %s", r.Text)
	}
	for _, params := range []string{`{}`, `{"append":true}`, `{"template_json":3}`, `{"template_json":"{bad"}`, `{"template_json":"[]"}`,
		`{"template_json":"{}"}`, `{"append":true,"template_json":"{\"registration_time\":5}"}`, `{"append":7,"template_json":"{}"}`,
		`{"append":true,"template_raw":"A=[B"}`, `{"append":true,"template_json":"{\"roles\":3}"}`} {
		update(params, 400)
	}
	r = s.must(200, "PUT", path, `{"name":"new","roles":[]}`)
	if r.At("DOCUMENT", "NAME") != "t" || r.body("name") != "new" || r.body("KEY") != nil || r.body("registration_time") != registered {
		t.Errorf("after PUT: %s", r.Text)
	}
	s.must(400, "PUT", path, `{"name":"new"}`)
	s.must(204, "POST", path+"/action", act("rename", `{"name":"renamed"}`))
	s.must(204, "POST", path+"/action", act("chown", `{"owner_id":0}`)) // the group stays
	s.must(404, "POST", path+"/action", act("chgrp", `{"group_id":77}`))
	s.must(400, "POST", path+"/action", act("instanciate", `{}`))
	if r := s.root("POST", path+"/action", act("instanciate", `{}`)); !strings.Contains(r.message(), `did you mean "instantiate"?`) {
		t.Errorf("no guess: %s", r.Text)
	}
	r = s.must(200, "GET", path, "")
	if r.At("DOCUMENT", "NAME") != "renamed" || r.At("DOCUMENT", "GID") != "0" {
		t.Errorf("after rename and chown: %s", r.Text)
	}
	s.must(204, "DELETE", path, "")
	s.must(404, "DELETE", path, "")
	s.must(404, "PUT", path, `{"name":"new","roles":[]}`)
	s.must(404, "POST", path+"/action", act("instantiate", `{}`))
}

// Clones: with and without the machine definitions.
func TestClone(t *testing.T) {
	s := newStage(t, sim.Options{})
	count := func() int { return len(s.Control.Machines(s.Root())) }
	path := "/service_template/" + s.template(`{"name":"t","roles":[
		{"name":"a","type":"vm","template_id":0},{"name":"b","type":"vm","template_id":1},{"name":"c","type":"vm","template_id":0}]}`)
	r := s.must(201, "POST", path+"/action", act("clone", `{"name":"bare","recursive":"none"}`))
	if r.At("DOCUMENT", "NAME") != "bare" || fmt.Sprint(r.body("roles", 0, "template_id")) != "0" || count() != 2 {
		t.Errorf("recursive none: %s", r.Text)
	}
	for n, recursive := range []string{`"all"`, `"templates"`, `true`, `false`, `null`} {
		r := s.must(201, "POST", path+"/action", act("clone", `{"name":"copy of it","recursive":`+recursive+`}`))
		ids := fmt.Sprintf("%v %v %v", r.body("roles", 0, "template_id"), r.body("roles", 1, "template_id"), r.body("roles", 2, "template_id"))
		if want := fmt.Sprintf("%d %d %d", 2+2*n, 3+2*n, 2+2*n); ids != want || count() != 4+2*n {
			t.Errorf("recursive %s: machine definitions %s, want %s; %d of them", recursive, ids, want, count())
		}
	}
	s.running(`{"name":"t","roles":[{"name":"a","type":"vm","template_id":2,"cardinality":1}]}`)

	broken := "/service_template/" + s.template(`{"name":"t","roles":[{"name":"a","type":"vm","template_id":0},{"name":"b","type":"vm","template_id":77}]}`)
	before := count()
	s.must(404, "POST", broken+"/action", act("clone", `{"name":"x"}`))
	if count() != before {
		t.Errorf("%d machine definitions after a clone that failed, want %d", count(), before)
	}
	s.must(201, "POST", broken+"/action", act("clone", `{"name":"x","recursive":"none"}`))
	s.must(400, "POST", path+"/action", act("clone", `{}`))
	s.must(400, "POST", path+"/action", act("clone", `{"name":7}`))
}

// Whoever may not own commands on the server's host may use a template of such machines and copy it alone, but
// not its machine definitions: a copy would outlive the right to the original.
func TestCloneOnHost(t *testing.T) {
	s := newStage(t, sim.Options{})
	kind, err := s.Control.Kind("sim")
	check(t, err)
	kind.HostAccess = true // as of a driver that runs commands on the server's host
	s.User("ann", "devs")
	ann := func(status int, method, path, body string) reply {
		t.Helper()
		r := s.send("ann", method, path, body)
		if r.Status != status {
			t.Errorf("%s %s %s: %d, want %d: %s", method, path, body, r.Status, status, r.Text)
		}
		return r
	}
	for _, c := range []struct{ body, place string }{
		{`{"name":"t","roles":[{"name":"a","type":"vm","template_id":1,"cardinality":1},{"name":"b","type":"vm","template_id":0}]}`, "roles[0].template_id"},
		{`{"name":"t","roles":[{"name":"a","vm_template":1}]}`, "roles[0].vm_template"},
	} {
		path := "/service_template/" + ann(201, "POST", "/service_template", c.body).id() + "/action"
		for _, recursive := range []string{`"all"`, "false", "null"} {
			r := ann(403, "POST", path, act("clone", `{"name":"c","recursive":`+recursive+`}`))
			if r.At("error", "place") != c.place || !strings.Contains(r.message(), `grant "host"`) || !strings.Contains(r.message(), `"recursive": "none"`) || !strings.Contains(r.message(), "other") {
				t.Errorf("recursive %s: %s", recursive, r.Text)
			}
		}
		clone := ann(201, "POST", path, act("clone", `{"name":"c","recursive":"none"}`))
		r := ann(201, "POST", "/service_template/"+clone.id()+"/action", act("instantiate", "{}"))
		s.until(r.id(), 2)
		s.must(201, "POST", path, act("clone", `{"name":"c","recursive":"all"}`))
	}
	if n := len(s.Control.Machines(s.Root())); n != 2+2+1 {
		t.Errorf("%d machine definitions, want 5: those of the administrator's clones alone", n)
	}
	// Settings that the definition does not declare are refused with their place, too.
	path := "/service_template/" + ann(201, "POST", "/service_template", `{"name":"t","roles":[{"name":"a","type":"vm","template_id":0,"cardinality":1,"template_contents":{"CONTEXT":{"LD_PRELOAD":"x"}}}]}`).id()
	if r := ann(403, "POST", path+"/action", act("instantiate", "{}")); r.At("error", "place") != "roles[0].template_id" && r.At("error", "place") != "roles[0].template_contents" {
		t.Errorf("LD_PRELOAD: %s", r.Text)
	}
}

// Section 3.7: how far a deletion goes.
func TestDeleteType(t *testing.T) {
	s := newStage(t, sim.Options{})
	s.User("ann", "devs")
	make := func(machine int) string {
		return "/service_template/" + s.template(fmt.Sprintf(`{"name":"t","roles":[{"name":"a","type":"vm","template_id":%d}]}`, machine))
	}
	count := func() int { return len(s.Control.Machines(s.Root())) }
	for _, body := range []string{"", "null", "{}", "{bad", "[]", `{"delete_type":null}`, `{"delete_type":"none"}`} {
		s.must(204, "DELETE", make(0), body)
	}
	path := make(1)
	s.must(400, "DELETE", path, `{"delete_type":"nosuch"}`)
	s.must(400, "DELETE", path, `{"delete_type":7}`)
	if count() != 2 {
		t.Errorf("%d machine definitions, want 2", count())
	}
	s.must(204, "DELETE", path, `{"delete_type":"templates"}`)
	if count() != 1 {
		t.Errorf("%d machine definitions, want 1", count())
	}
	path = make(1) // which is gone
	s.must(404, "DELETE", path, `{"delete_type":"all"}`)
	s.must(200, "GET", path, "")

	// The right to the template is not one to the machine definition.
	r := s.send("ann", "POST", "/service_template", `{"name":"t","roles":[{"name":"a","type":"vm","template_id":0}]}`)
	if got := s.send("ann", "DELETE", "/service_template/"+r.id(), `{"delete_type":"all"}`); got.Status != 403 {
		t.Errorf("ann removes the administrator's definition: %d %s", got.Status, got.Text)
	}
	if count() != 1 {
		t.Errorf("%d machine definitions, want 1", count())
	}
}

// A server's settings reach the services: section 16.
func TestSettings(t *testing.T) {
	s := newStage(t, sim.Options{}, settings)
	id := s.instantiate(s.template(`{"name":"set","roles":[{"name":"r","type":"vm","template_id":0,"cardinality":1}]}`), "")
	r := s.until(id, 2)
	if fmt.Sprint(r.body("roles", 0, "cooldown")) != "7" {
		t.Errorf("cooldown %v", r.body("roles", 0, "cooldown"))
	}
	if got := apitest.At(r.body("roles", 0, "nodes", 0), "vm_info", "VM", "NAME"); got != "set-r-0" {
		t.Errorf("name %v", got)
	}
	s.Until(serial(t, id), "with hard shutdown", func(svc *service.Service) bool { return svc.Spec.Roles[0].HardShutdown })
}
