package oneflow_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/service"
)

// vmStates are the states of the machines of the first role.
func (s *stage) vmStates(path string) string {
	s.t.Helper()
	var out []string
	nodes, _ := s.must(200, "GET", path, "").body("roles", 0, "nodes").([]any)
	for _, n := range nodes {
		out = append(out, fmt.Sprint(apitest.At(n, "vm_info", "VM", "STATE")))
	}
	return strings.Join(out, " ")
}

// Section 13: actions on machines, batches, and their deletion.
func TestActions(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(`{"name":"act","roles":[{"name":"r","type":"vm","template_id":0,"cardinality":5}]}`)
	path := "/service/" + id
	r := s.must(201, "POST", path+"/role/r/action", act("suspend", "null"))
	var ids []string
	nodes, _ := s.must(200, "GET", path, "").body("roles", 0, "nodes").([]any)
	for _, n := range nodes {
		ids = append(ids, fmt.Sprint(apitest.At(n, "deploy_id")))
	}
	if want := "Action:suspend scheduled on Role:r VMs:" + strings.Join(ids, ","); apitest.At(r.JSON, 0) != true || apitest.At(r.JSON, 1) != want {
		t.Errorf("answer %s, want %s", r.Text, want)
	}
	s.Within("suspended", func() bool { return s.vmStates(path) == "5 5 5 5 5" })
	s.must(204, "POST", path+"/action", act("resume", "{}"))
	s.Within("resumed", func() bool { return s.vmStates(path) == "3 3 3 3 3" })

	// Section 9.3: of the states of rest, POWEROFF alone is a WARNING.
	for _, c := range []struct {
		action, vms string
		state       int
	}{{"stop", "4 4 4 4 4", 2}, {"undeploy", "9 9 9 9 9", 2}, {"undeploy-hard", "9 9 9 9 9", 2}, {"poweroff", "8 8 8 8 8", 4}, {"poweroff-hard", "8 8 8 8 8", 4}} {
		s.must(201, "POST", path+"/role/r/action", act(c.action, "{}"))
		s.Within(c.action, func() bool { return s.vmStates(path) == c.vms })
		if got := s.must(200, "GET", path, "").body("state"); fmt.Sprint(got) != fmt.Sprint(c.state) {
			t.Errorf("after %s the service is in state %v, want %d", c.action, got, c.state)
		}
		s.must(201, "POST", path+"/role/r/action", act("resume", "{}"))
		s.Within("resumed after "+c.action, func() bool { return s.vmStates(path) == "3 3 3 3 3" })
		s.Within("running after "+c.action, func() bool { return fmt.Sprint(s.must(200, "GET", path, "").body("state")) == "2" })
	}

	for _, c := range []struct {
		path, perform, params string
		want                  int
	}{
		{"/role/r/action", "nosuch", "{}", 400},
		{"/role/nosuch/action", "stop", "{}", 404},
		{"/role/r/action", "stop", `{"period":-1}`, 400},
		{"/role/r/action", "stop", `{"period":"x"}`, 400},
		{"/role/r/action", "stop", `[]`, 400},
		{"/role/r/action", "snapshot-revert", `{"args":[]}`, 400},
		{"/action", "nosuch", "{}", 400},
		{"/action", "", "{}", 400},
		{"/action", "release", "{}", 409},
		{"/action", "recover", `{"delete":7}`, 400},
	} {
		if r := s.root("POST", path+c.path, act(c.perform, c.params)); r.Status != c.want {
			t.Errorf("%s %s %s: %d, want %d: %s", c.path, c.perform, c.params, r.Status, c.want, r.Text)
		}
	}
	for _, name := range service.ActionNames() {
		if strings.Contains(name, "terminate") || strings.Contains(name, "shutdown") || strings.Contains(name, "delete") || strings.Contains(name, "snapshot") {
			continue
		}
		s.must(201, "POST", path+"/role/r/action", act(name, "{}"))
	}
}

// Section 20.12: number 2, period 60 on 5 machines; and the deletion of what waits.
func TestBatches(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(`{"name":"act","roles":[{"name":"r","type":"vm","template_id":0,"cardinality":5}]}`)
	path := "/service/" + id
	s.must(201, "POST", path+"/role/r/action", act("poweroff", `{"period":"60","number":2}`))
	var offsets []time.Duration
	var waiting uint32
	s.Within("the first two are off", func() bool { return s.vmStates(path) == "8 8 3 3 3" })
	check(t, s.Control.Read(s.Root(), serial(t, id), func(svc *service.Service) {
		for i := range svc.Role("r").Instances {
			for _, a := range i.Actions {
				offsets = append(offsets, time.Until(a.At.Time()).Round(10*time.Second))
				waiting = a.Serial
			}
		}
	}))
	if d := cmp.Diff([]time.Duration{time.Minute, time.Minute, 2 * time.Minute}, offsets); d != "" {
		t.Errorf("offsets (-want +got):\n%s", d)
	}
	vm := s.must(200, "GET", path, "").body("roles", 0, "nodes", 4, "vm_info", "VM")
	if apitest.At(vm, "TEMPLATE", "SCHED_ACTION", 0, "ACTION") != "poweroff" {
		t.Errorf("a scheduled action is not shown: %v", apitest.At(vm, "TEMPLATE"))
	}
	s.must(400, "DELETE", path+"/sched_action/x", "")
	s.must(204, "DELETE", path+"/sched_action/9999", "")
	s.must(204, "DELETE", path+"/role/r/sched_action/"+strconv.Itoa(int(waiting)), "")
	s.must(404, "DELETE", path+"/role/nosuch/sched_action/1", "")
	left := 0
	check(t, s.Control.Read(s.Root(), serial(t, id), func(svc *service.Service) {
		for i := range svc.Role("r").Instances {
			left += len(i.Actions)
		}
	}))
	if left >= len(offsets) {
		t.Errorf("%d actions wait after the deletion, %d before", left, len(offsets))
	}
}
