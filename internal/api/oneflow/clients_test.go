package oneflow_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
)

// Section 17.2: what the commands of OpenNebula's CLI send, of 5.x and of 7.x.
func TestCommandLines(t *testing.T) {
	s := newStage(t, sim.Options{})
	template := "/service_template/" + s.template(oldWeb)
	s.must(200, "PUT", template, oldWeb)
	id := s.instantiate(template[len("/service_template/"):], `{}`)
	path := "/service/" + id
	s.until(id, 2)
	for _, c := range []struct {
		what, method, path, body string
		want                     int
	}{
		{"5.x scale", "PUT", path + "/role/back", `{"cardinality":3,"force":false}`, 200},
		{"7.x scale", "POST", path + "/scale", `{"cardinality":2,"force":false,"role_name":"back"}`, 204},
		{"7.x scale --force", "POST", path + "/scale", `{"cardinality":5,"force":true,"role_name":"front"}`, 204},
		{"5.x action", "POST", path + "/role/back/action", `{"action":{"perform":"reboot"}}`, 201},
		{"7.x action", "POST", path + "/role/back/action", `{"action":{"perform":"reboot","params":{}}}`, 201},
		{"action --period --number", "POST", path + "/role/back/action", `{"action":{"perform":"reboot","params":{"period":60,"number":1}}}`, 201},
		{"service action", "POST", path + "/action", `{"action":{"perform":"reboot","params":{}}}`, 204},
		{"chgrp", "POST", path + "/action", `{"action":{"perform":"chgrp","params":{"group_id":1}}}`, 204},
		{"chown", "POST", path + "/action", `{"action":{"perform":"chown","params":{"owner_id":"0"}}}`, 204},
		{"chmod", "POST", path + "/action", `{"action":{"perform":"chmod","params":{"octet":"640"}}}`, 204},
		{"rename", "POST", path + "/action", `{"action":{"perform":"rename","params":{"name":"n"}}}`, 204},
		{"update --append", "PUT", path, `{"append":true,"template":"{\"description\":\"d\"}"}`, 204},
		{"add-role", "POST", path + "/role_action", `{"action":{"perform":"add_role","params":{"role":"{\"name\":\"new\",\"type\":\"vm\",\"template_id\":0}","add":true}}}`, 204},
		{"remove-role", "POST", path + "/role_action", `{"action":{"perform":"remove_role","params":{"role":"new"}}}`, 204},
		{"release", "POST", path + "/action", `{"action":{"perform":"release","params":{}}}`, 409}, // nothing is held
		{"5.x recover", "POST", path + "/action", `{"action":{"perform":"recover"}}`, 409},         // RUNNING
		{"purge-done", "POST", "/service_pool/purge_done", "", 204},
		{"template clone", "POST", template + "/action", `{"action":{"perform":"clone","params":{"name":"c"}}}`, 201},
		{"template clone -R", "POST", template + "/action", `{"action":{"perform":"clone","params":{"name":"c","recursive":"all"}}}`, 201},
		{"template instantiate file", "POST", template + "/action", `{"action":{"perform":"instantiate","params":{"merge_template":{"name":"merged","roles":[{"name":"back","cardinality":1}]}}}}`, 201},
		{"template delete", "DELETE", template, `{"delete_type":"none"}`, 204},
		{"7.x recover --delete", "POST", path + "/action", `{"action":{"perform":"recover","params":{"delete":true}}}`, 204},
	} {
		if c.want < 300 && c.path != template {
			s.until(id, 2)
		}
		if r := s.root(c.method, c.path, c.body); r.Status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.what, r.Status, c.want, r.Text)
		}
	}
	s.gone(id)
	last := s.running(oldWeb)
	s.must(204, "DELETE", "/service/"+last, "")
	s.gone(last)
}

// Section 17.3: what the terraform provider does, and what it needs to find.
func TestTerraform(t *testing.T) {
	s := newStage(t, sim.Options{})
	ann := s.User("ann", "devs")
	sent := `{"name":"tf","deployment":"straight","networks":{"Private":"M|network|p||id:3"},"custom":{"a":[1]},
		"roles":[{"name":"master","type":"vm","template_id":0,"cardinality":1,"cooldown":0,"min_vms":1},
		{"name":"worker","type":"vm","template_id":0,"cardinality":2,"cooldown":0,"parents":["master"]}]}`
	r := s.must(201, "POST", "/service_template", sent)
	template := "/service_template/" + r.id()
	group := fmt.Sprint(ann.Group)
	for _, a := range []string{act("chmod", `{"octet":"642"}`), act("chown", `{"owner_id":-1,"group_id":`+group+`}`),
		act("chown", fmt.Sprintf(`{"owner_id":%d,"group_id":-1}`, ann.User)), act("rename", `{"name":"renamed"}`)} {
		s.must(204, "POST", template+"/action", a)
	}
	r = s.must(200, "GET", template, "")
	if r.At("DOCUMENT", "UNAME") != "ann" || r.At("DOCUMENT", "GID") != group || r.At("DOCUMENT", "PERMISSIONS", "OTHER_M") != "1" {
		t.Errorf("after the changes: %s", r.Text)
	}
	body := r.body().(map[string]any)
	delete(body, "registration_time")
	delete(body, "description") // an empty one
	if d := cmp.Diff(apitest.Decode(sent), any(body)); d != "" {
		t.Errorf("the stored template differs (-sent +stored):\n%s", d)
	}

	r = s.must(201, "POST", template+"/action", act("instantiate", `{"merge_template":{"roles":[{"cardinality":1},{"cardinality":3}]}}`))
	id := r.id()
	path := "/service/" + id
	for _, a := range []string{act("chmod", `{"octet":"640"}`), act("chown", `{"owner_id":-1,"group_id":`+group+`}`), act("rename", `{"name":"renamed"}`)} {
		s.must(204, "POST", path+"/action", a)
	}
	r = s.until(id, 2)
	roles, _ := r.body("roles").([]any)
	for _, role := range roles {
		nodes, _ := apitest.At(role, "nodes").([]any)
		if apitest.At(role, "name") == nil || apitest.At(role, "state") == nil || fmt.Sprint(apitest.At(role, "cardinality")) != fmt.Sprint(len(nodes)) {
			t.Errorf("role %v", role)
		}
		for _, n := range nodes {
			if _, ok := apitest.At(n, "vm_info", "VM", "ID").(string); !ok {
				t.Errorf("node %v", n)
			}
		}
	}
	if r.body("networks_values", 0, "Private", "id") == nil || fmt.Sprint(r.body("roles", 1, "cardinality")) != "3" {
		t.Errorf("networks %v, roles %v", r.body("networks_values"), r.body("roles"))
	}
	s.must(204, "POST", path+"/scale", `{"role_name":"worker","cardinality":1,"force":false}`)
	s.until(id, 2)
	s.must(204, "DELETE", path, "")
	s.gone(id)
	if r := s.send(apitest.Admin, "GET", path, ""); r.Status != 404 {
		t.Errorf("after destroy: %d", r.Status)
	}
}
