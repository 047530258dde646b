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

// Section 9.7: hold and release.
func TestHold(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.instantiate(s.template(`{"name":"held","on_hold":true,"roles":[{"name":"r","type":"vm","template_id":0,"cardinality":2}]}`), "")
	r := s.until(id, 15)
	if fmt.Sprint(r.body("roles", 0, "state")) != "11" {
		t.Errorf("the role is in state %v, want 11", r.body("roles", 0, "state"))
	}
	if got := apitest.At(r.body("roles", 0, "nodes", 0), "vm_info", "VM", "STATE"); got != "2" {
		t.Errorf("the machine is in state %v, want 2", got)
	}
	s.must(204, "POST", "/service/"+id+"/action", act("release", "{}"))
	s.until(id, 2)
	s.must(409, "POST", "/service/"+id+"/action", act("release", "{}"))
}

// Sections 9.2 and 20.7: the gate holds children back until READY=YES comes through OneGate.
func TestReadyGate(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.instantiate(s.template(`{"name":"gate","deployment":"straight","ready_status_gate":true,"roles":[
		{"name":"a","type":"vm","template_id":0,"cardinality":1},{"name":"b","type":"vm","template_id":0,"cardinality":1,"parents":["a"]}]}`), "")
	gate := s.openGate()
	n := serial(t, id)
	for _, role := range []string{"a", "b"} {
		var machine driver.MachineID
		s.Until(n, role+" waits", func(svc *service.Service) bool {
			for i := range svc.Role(role).Instances {
				machine = svc.MachineID(i)
				return i.Phase == service.Starting
			}
			return false
		})
		if r := s.must(200, "GET", "/service/"+id, ""); role == "a" && len(r.body("roles", 1, "nodes").([]any)) != 0 {
			t.Error("b began before a was READY")
		}
		if status, text := s.ask(gate, machine, "PUT", "/vm", "READY = YES"); status != 200 {
			t.Fatal(status, text)
		}
	}
	r := s.until(id, 2)
	if got := apitest.At(r.body("roles", 0, "nodes", 0), "vm_info", "VM", "USER_TEMPLATE", "READY"); got != "YES" {
		t.Errorf("READY is %v", got)
	}
}

// Sections 9.3 and 9.4: failures, recovery, removal.
func TestLife(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(web)
	path := "/service/" + id
	machines := s.Cloud.Machines()
	s.Cloud.Kill(machines[0].ID)
	s.until(id, 4) // WARNING
	var r reply
	s.must(204, "POST", path+"/action", act("recover", "{}"))
	s.until(id, 2)
	s.must(409, "POST", path+"/action", act("recover", "{}"))

	// A machine that is removed behind our back is forgotten.
	vm := s.must(200, "GET", path, "").body("roles", 1, "nodes", 0, "vm_info", "VM")
	s.Cloud.Remove(driver.MachineID(fmt.Sprint(apitest.At(vm, "DEPLOY_ID"))))
	s.Within("back has one machine less", func() bool {
		r = s.root("GET", path, "")
		return fmt.Sprint(r.body("roles", 1, "cardinality")) == "1" && fmt.Sprint(r.body("state")) == "2"
	})
	s.must(201, "POST", path+"/role/back/action", act("terminate", "{}"))
	s.Within("back is empty", func() bool {
		r = s.root("GET", path, "")
		return fmt.Sprint(r.body("roles", 1, "cardinality")) == "0"
	})
	s.must(204, "DELETE", path, "")
	s.gone(id)
	s.must(404, "DELETE", path, "")

	s.Cloud.Set(func(o *sim.Options) { o.BootDelay = time.Hour })
	id = s.instantiate(s.template(web), "")
	path = "/service/" + id
	s.until(id, 1)
	s.must(409, "DELETE", path, "") // 20.13
	s.must(204, "POST", path+"/action", act("recover", `{"delete":true}`))
	s.gone(id)
	if r := s.must(404, "GET", path, ""); !strings.Contains(r.message(), "Error getting document ["+id+"]") {
		t.Errorf("a removed service: %s", r.Text)
	}
	if n := s.Cloud.Len(); n != 0 {
		t.Errorf("%d machines are left", n)
	}

	s.Cloud.Set(func(o *sim.Options) { o.BootDelay = 0 })
	id = s.running(web)
	s.must(204, "POST", "/service/"+id+"/action", act("shutdown", "{}"))
	s.gone(id)
}

// Finished services stay until they are purged, each by who may.
func TestPurge(t *testing.T) {
	s := newStage(t, sim.Options{})
	s.User("ann", "devs")
	id := s.running(web)
	_, err := s.Control.Order(t.Context(), s.Root(), serial(t, id), service.Command{Undeploy: &service.Undeploy{}})
	check(t, err)
	s.until(id, 5)
	other := s.running(web)
	if r := s.send("ann", "POST", "/service_pool/purge_done", ""); r.Status != 204 {
		t.Errorf("purge: %d", r.Status)
	}
	s.must(200, "GET", "/service/"+id, "")
	s.must(204, "POST", "/service_pool/purge_done", "{}")
	s.gone(id)
	s.must(200, "GET", "/service/"+other, "")
}
