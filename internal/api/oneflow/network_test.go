package oneflow_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/service"
)

// Bodies of both generations whose service makes two networks and uses one that exists.
var networked = map[string]string{
	"new": `{"name":"net","deployment":"straight","networks":{"Own":"M|network|||template_id:7","Part-1":"M|network|||reserve_from:","There":"M|network|||id:3"},
		"roles":[{"name":"db","type":"vm","template_id":0,"cardinality":1,"cooldown":0,"template_contents":{"PORT":"5432","NIC":[{"NETWORK_ID":"$Own","NAME":"a"},{"NETWORK_ID":"$There"}]}},
		{"name":"app","type":"vm","template_id":0,"cardinality":1,"cooldown":0,"parents":["db"],"template_contents":{"NIC":[{"NETWORK_ID":"$Part-1"}],
			"CONTEXT":{"NET":"net $Own!","SIDE":"$There","PART":"$Part-1","DB":"${db.TEMPLATE.CONTEXT.ETH0_IP}:${db.PORT}","WHO":"${db.NAME}","ROLE":"${db.USER_TEMPLATE.MASTER}"}}}]}`,
	"old": `{"name":"net","deployment":"straight","networks":{"Own":"M|network|||template_id:7","Part-1":"M|network|||reserve_from:","There":"M|network|||id:3"},
		"roles":[{"name":"db","vm_template":0,"cooldown":0,"vm_template_contents":"PORT=5432\nNIC=[NETWORK_ID=\"$Own\",NAME=a]\nNIC=[NETWORK_ID=\"$There\"]"},
		{"name":"app","vm_template":0,"cooldown":0,"parents":["db"],"vm_template_contents":"NIC=[NETWORK_ID=\"$Part-1\"]\nCONTEXT=[NET=\"net $Own!\",SIDE=\"$There\",PART=\"$Part-1\",DB=\"${db.TEMPLATE.CONTEXT.ETH0_IP}:${db.PORT}\",WHO=\"${db.NAME}\",ROLE=\"${db.USER_TEMPLATE.MASTER}\"]"}]}`,
}

const networkValues = `{"merge_template":{"networks_values":[{"Own":{"template_id":"7","extra":"BRIDGE=br0"}},{"Part-1":{"reserve_from":"4","extra":"SIZE=5"}},{"There":{"id":"3"}}]}}`

// requests returns what the machines of a role were made with.
func (s *stage) requests(id string, role int) []driver.Request {
	s.t.Helper()
	var out []driver.Request
	nodes, _ := s.must(200, "GET", "/service/"+id, "").body("roles", role, "nodes").([]any)
	for _, m := range s.Cloud.Machines() {
		for _, n := range nodes {
			if apitest.At(n, "vm_info", "VM", "DEPLOY_ID") == string(m.ID) || apitest.At(n, "vm_info", "VM", "DEPLOY_ID") == m.Native {
				if r, ok := s.Cloud.Request(m.ID); ok {
					out = append(out, r)
				}
			}
		}
	}
	return out
}

// Section 14: networks are made from templates and by reservation, before any machine; roles are given their
// ids; they go with the service, and those that existed before stay.
func TestNetworks(t *testing.T) {
	for generation, body := range networked {
		t.Run(generation, func(t *testing.T) {
			s := newStage(t, sim.Options{KeepRequests: true, BootDelay: 100 * time.Millisecond, DestroyDelay: 100 * time.Millisecond})
			template := s.template(body)
			r := s.must(201, "POST", "/service_template/"+template+"/action", act("instantiate", networkValues))
			if r.body("networks_values", 0, "Own", "id") != nil || fmt.Sprint(r.body("state")) != "0" {
				t.Errorf("newborn: %s", r.Text)
			}
			id := r.id()
			path := "/service/" + id
			r = s.until(id, 11)
			if n := s.Cloud.Len(); n != 0 {
				t.Errorf("%d machines before the networks are ready", n)
			}
			s.must(409, "DELETE", path, "")
			s.must(409, "PUT", path, `{"append":true,"template":"{\"x\":1}"}`)
			r = s.until(id, 2)
			own, part := fmt.Sprint(r.body("networks_values", 0, "Own", "id")), fmt.Sprint(r.body("networks_values", 1, "Part-1", "id"))
			if own == "<nil>" || part == "<nil>" || own == part || r.body("networks_values", 2, "There", "id") != "3" || s.Cloud.Networks() != 2 {
				t.Fatalf("%d networks: %v", s.Cloud.Networks(), r.body("networks_values"))
			}
			s.Until(serial(t, id), "what the networks are made from", func(svc *service.Service) bool {
				own, part := svc.Resource("Own"), svc.Resource("Part-1")
				return own.Outputs["template"] == "7" && part.Outputs["reserve_from"] == "4" && own.Outputs["name"] == "Own-"+id
			})
			nics := apitest.At(r.body("roles", 0, "nodes", 0), "vm_info", "VM", "TEMPLATE", "NIC")
			if apitest.At(nics, 0, "NETWORK_ID") != own || apitest.At(nics, 1, "NETWORK_ID") != "3" {
				t.Errorf("the NICs of db are %v, want %s and 3", nics, own)
			}
			app := s.requests(id, 1)
			if len(app) != 1 {
				t.Fatalf("%d requests", len(app))
			}
			vm := apitest.At(r.body("roles", 0, "nodes", 0), "vm_info", "VM")
			for name, want := range map[string]string{"NET": "net " + own + "!", "SIDE": "3", "PART": part, "WHO": fmt.Sprint(apitest.At(vm, "NAME")), "ROLE": "",
				"DB": fmt.Sprint(apitest.At(nics, 0, "IP"), ":5432")} {
				if got := app[0].Env[name]; got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}

			// A body that comes back as it was read changes nothing; new roles have the networks too.
			text := string(mustJSON(t, r.body()))
			s.must(204, "PUT", path, strings.Replace(text, `"description":""`, `"description":"d"`, 1))
			if r := s.root("PUT", path, strings.Replace(text, `{"extra":"SIZE=5"`, `{"extra":"SIZE=6"`, 1)); r.Status != 400 || r.At("error", "place") == nil {
				t.Errorf("another size: %d %s", r.Status, r.Text)
			}
			s.must(204, "POST", path+"/role_action", act("add_role", `{"role":{"name":"Own2","type":"vm","template_id":0,"cardinality":1,"template_contents":{"CONTEXT":{"NET":"$Own"}}}}`))
			r = s.until(id, 2)
			if s.Cloud.Networks() != 2 || fmt.Sprint(r.body("networks_values", 0, "Own", "id")) != own {
				t.Errorf("after the update: %d networks, %v", s.Cloud.Networks(), r.body("networks_values"))
			}
			if made := s.requests(id, 2); len(made) != 1 || made[0].Env["NET"] != own {
				t.Errorf("the new role was made with %v", made)
			}

			s.must(204, "DELETE", path, "")
			s.until(id, 12)
			if n := s.Cloud.Len(); n != 0 {
				t.Errorf("%d machines while the networks go", n)
			}
			s.gone(id)
			if n := s.Cloud.Networks(); n != 0 {
				t.Errorf("%d networks are left", n)
			}
		})
	}
}

// Section 9: a network that cannot be made shows FAILED_DEPLOYING_NETS, and recovery tries again.
func TestNetworkFailures(t *testing.T) {
	s := newStage(t, sim.Options{BootFailures: 1, Seed: 1})
	body := `{"name":"net","networks":{"Own":"M|network|||template_id:7"},"roles":[{"name":"Own","type":"vm","template_id":0,"cardinality":1,"template_contents":{"NIC":[{"NETWORK_ID":"$Own"}]}}]}`
	id := s.instantiate(s.template(body), "")
	r := s.until(id, 13)
	path := "/service/" + id
	if !strings.Contains(fmt.Sprint(r.body("log")), "FAILED_DEPLOYING_NETS") || s.Cloud.Len() != 0 {
		t.Errorf("log %v, %d machines", r.body("log"), s.Cloud.Len())
	}
	s.must(409, "DELETE", path, "")
	s.Cloud.Set(func(o *sim.Options) { o.BootFailures = 0 })
	s.must(204, "POST", path+"/action", act("recover", "{}"))
	r = s.until(id, 2)
	if got := apitest.At(r.body("roles", 0, "nodes", 0), "vm_info", "VM", "TEMPLATE", "NIC", 0, "NETWORK_ID"); got != fmt.Sprint(r.body("networks_values", 0, "Own", "id")) {
		t.Errorf("NETWORK_ID %v, networks %v", got, r.body("networks_values"))
	}
	// The role and the network of one name are two things, and its last role takes the network along.
	s.must(204, "POST", path+"/role_action", act("remove_role", `{"role":"Own"}`))
	s.gone(id)

	s.Cloud.Set(func(o *sim.Options) { o.BootFailures = 1 })
	id = s.instantiate(s.template(body), "")
	s.until(id, 13)
	s.must(204, "POST", "/service/"+id+"/action", act("recover", `{"delete":true}`))
	s.gone(id)
	if n := s.Cloud.Networks(); n != 0 {
		t.Errorf("%d networks are left", n)
	}
}

// A machine definition that has gone, or has another driver now, does not take the networks of a service along.
func TestNetworksStay(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.instantiate(s.template(networked["new"]), networkValues)
	r := s.until(id, 2)
	check(t, s.Control.RemoveMachine(t.Context(), s.Root(), "default"))
	s.must(204, "PUT", "/service/"+id, `{"append":true,"template":"{\"description\":\"y\"}"}`)
	if after := s.until(id, 2); fmt.Sprint(after.body("networks_values")) != fmt.Sprint(r.body("networks_values")) || s.Cloud.Networks() != 2 {
		t.Errorf("networks %v became %v, %d are there", r.body("networks_values"), after.body("networks_values"), s.Cloud.Networks())
	}
}
