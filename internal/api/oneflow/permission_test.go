package oneflow_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
)

// Section 5 and 20.4: who may do what.
func TestPermissions(t *testing.T) {
	s := newStage(t, sim.Options{})
	ann := s.User("ann", "devs")
	s.User("bob", "devs")
	s.User("eve", "")
	r := s.send("ann", "POST", "/service_template", web)
	if r.Status != 201 || r.At("DOCUMENT", "UNAME") != "ann" || r.At("DOCUMENT", "GNAME") != "devs" {
		t.Fatalf("ann's template: %d %s", r.Status, r.Text)
	}
	template := "/service_template/" + r.id()
	r = s.send("ann", "POST", template+"/action", act("instantiate", "{}"))
	id := r.id()
	path := "/service/" + id
	s.until(id, 2)

	want := func(user, method, path, body string, status int) {
		t.Helper()
		if r := s.send(user, method, path, body); r.Status != status {
			t.Errorf("%s: %s %s %s: %d, want %d: %s", user, method, path, body, r.Status, status, r.Text)
		}
	}
	count := func(user string) int {
		list, _ := s.send(user, "GET", "/service", "").At("DOCUMENT_POOL", "DOCUMENT").([]any)
		return len(list)
	}
	if count("bob") != 0 || count("ann") != 1 || count(apitest.Admin) != 1 {
		t.Errorf("lists: bob %d, ann %d, oneadmin %d", count("bob"), count("ann"), count(apitest.Admin))
	}
	scale := `{"role_name":"back","cardinality":3}`
	for _, c := range []struct{ method, path, body string }{
		{"GET", path, ""}, {"DELETE", path, ""}, {"PUT", path, "{}"}, {"POST", path + "/scale", scale},
		{"POST", path + "/action", act("recover", `{"delete":true}`)}, {"POST", path + "/action", act("rename", `{"name":"x"}`)},
		{"PUT", path + "/role/back", scale}, {"POST", path + "/role/back/action", act("stop", "{}")},
		{"POST", path + "/role_action", act("remove_role", `{"role":"back"}`)}, {"DELETE", path + "/sched_action/1", ""},
		{"GET", template, ""}, {"DELETE", template, ""}, {"PUT", template, web},
		{"POST", template + "/action", act("instantiate", "{}")}, {"POST", template + "/action", act("clone", `{"name":"c"}`)},
	} {
		want("bob", c.method, c.path, c.body, 403)
	}

	// The group's use bit, then its manage bit.
	want("ann", "POST", path+"/action", act("chmod", `{"octet":640}`), 204)
	want("bob", "GET", path, "", 200)
	want("eve", "GET", path, "", 403)
	want("bob", "POST", path+"/scale", scale, 403)
	want("ann", "POST", path+"/action", act("chmod", `{"octet":"660"}`), 204)
	want("bob", "POST", path+"/scale", scale, 204)
	s.until(id, 2)
	// The new machine belongs to the owner, whoever scales.
	r = s.must(200, "GET", path, "")
	if got := apitest.At(r.body("roles", 1, "nodes", 2), "vm_info", "VM", "UNAME"); got != "ann" {
		t.Errorf("the new machine belongs to %v", got)
	}
	// Others.
	want("ann", "POST", path+"/action", act("chmod", `{"octet":"604"}`), 204)
	want("eve", "GET", path, "", 200)
	want("bob", "GET", path, "", 200)
	want("eve", "DELETE", path, "", 403)
	// The admin bits need the admin right, and giving away an administrator.
	want("ann", "POST", path+"/action", act("chmod", `{"octet":"700"}`), 403)
	want("ann", "POST", path+"/action", act("chown", `{"owner_id":0}`), 403)
	want("ann", "POST", path+"/action", act("chgrp", `{"group_id":0}`), 403)
	want("ann", "POST", path+"/action", act("chown", fmt.Sprintf(`{"owner_id":"%d","group_id":-1}`, ann.User)), 204)
	want(apitest.Admin, "POST", path+"/action", act("chown", `{"owner_id":"0","group_id":"0"}`), 204)
	want("ann", "POST", path+"/scale", scale, 403)
}

// Section 3.3: the parameters of what changes an envelope.
func TestEnvelopeChanges(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(web)
	want := func(perform, params string, status int) {
		t.Helper()
		if r := s.root("POST", "/service/"+id+"/action", act(perform, params)); r.Status != status {
			t.Errorf("%s %s: %d, want %d: %s", perform, params, r.Status, status, r.Text)
		}
	}
	for params, status := range map[string]int{
		`{}`: 400, `{"owner_id":"x"}`: 400, `{"owner_id":99}`: 404, `{"owner_id":-1,"group_id":77}`: 404, `{"owner_id":-1}`: 204, `{"owner_id":[]}`: 400} {
		want("chown", params, status)
	}
	for params, status := range map[string]int{`{}`: 400, `{"octet":"888"}`: 400, `{"octet":"1000"}`: 400, `{"octet":"6"}`: 204, `{"octet":40}`: 204, `{"octet":-1}`: 400, `{"octet":true}`: 400} {
		want("chmod", params, status)
	}
	for params, status := range map[string]int{`{}`: 400, `{"name":""}`: 400, `{"name":7}`: 400, `{"name":"` + strings.Repeat("n", 129) + `"}`: 400, `{"name":"ü ok"}`: 204} {
		want("rename", params, status)
	}
	r := s.must(200, "GET", "/service/"+id, "")
	if r.At("DOCUMENT", "NAME") != "ü ok" || r.body("name") != "web" {
		t.Errorf("renamed: %v, body %v", r.At("DOCUMENT", "NAME"), r.body("name"))
	}
}
