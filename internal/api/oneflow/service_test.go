package oneflow_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/oneflow"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/service"
)

// serial reads a service's id.
func serial(t testing.TB, id string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(id, 10, 64)
	check(t, err)
	return n
}

// Section 8: what a running service shows.
func TestRunningBody(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(web)
	r := s.must(200, "GET", "/service/"+id, "")
	back := r.body("roles", 1)
	for key, want := range map[string]string{"name": "back", "state": "2", "cardinality": "2", "last_vmname": "2", "on_hold": "false", "disposed_nodes": "[]", "template_id": "0", "cooldown": "0"} {
		if got := fmt.Sprint(apitest.At(back, key)); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	vm := apitest.At(back, "nodes", 0, "vm_info", "VM")
	deploy := fmt.Sprint(apitest.At(back, "nodes", 0, "deploy_id"))
	for key, want := range map[string]string{"ID": deploy, "UID": "0", "GID": "0", "UNAME": "oneadmin", "GNAME": "oneadmin",
		"NAME": "back_0_(service_" + id + ")", "STATE": "3", "LCM_STATE": "3", "MONITORING": "map[]"} {
		if got := fmt.Sprint(apitest.At(vm, key)); got != want {
			t.Errorf("VM.%s is %s, want %s", key, got, want)
		}
	}
	if got := apitest.At(vm, "USER_TEMPLATE", "SERVICE_ID"); got != id {
		t.Errorf("SERVICE_ID %v", got)
	}
	if got := apitest.At(vm, "USER_TEMPLATE", "ROLE_NAME"); got != "back" {
		t.Errorf("ROLE_NAME %v", got)
	}
	if ip := apitest.At(vm, "TEMPLATE", "NIC", 0, "IP"); ip == nil || ip == "" {
		t.Errorf("no address: %v", apitest.At(vm, "TEMPLATE"))
	}
	if apitest.At(back, "nodes", 0, "running") != true {
		t.Error("the node is not running")
	}
	log, _ := r.body("log").([]any)
	if len(log) == 0 || apitest.At(log[0], "severity") != "I" || apitest.At(log[0], "timestamp") == nil {
		t.Errorf("log %v", log)
	}
	if r.body("start_time") == nil || r.body("registration_time") == nil {
		t.Error("times are missing")
	}
}

// Sections 6.6 and 20.14: the same service in the words of either generation behaves the same, and is
// shown in the words of its client.
func TestGenerations(t *testing.T) {
	bodies := map[string]string{
		"new": `{"name":"gen","deployment":"straight","user_inputs":{"A":"M|text|a"},"roles":[
			{"name":"db","type":"vm","cardinality":1,"template_id":1,"cooldown":0,"template_contents":{"CPU":"2","NIC":[{"NETWORK":"n$A"}],"CONTEXT":{"X":"x$A"}}},
			{"name":"app","type":"vm","cardinality":2,"template_id":0,"cooldown":0,"parents":["db"],"min_vms":1,"max_vms":3}]}`,
		"old": `{"name":"gen","deployment":"straight","custom_attrs":{"A":"M|text|a"},"roles":[
			{"name":"db","vm_template":"1","cooldown":0,"vm_template_contents":"CPU=\"2\"\nNIC=[NETWORK=\"n$A\"]\nCONTEXT=[X=\"x$A\"]"},
			{"name":"app","cardinality":"2","vm_template":0,"cooldown":0,"parents":["db"],"min_vms":1,"max_vms":3}]}`,
	}
	specs := make(map[string]*service.Spec)
	for name, body := range bodies {
		s := newStage(t, sim.Options{})
		values := "user_inputs_values"
		if name == "old" {
			values = "custom_attrs_values"
		}
		id := s.instantiate(s.template(body), fmt.Sprintf(`{"merge_template":{%q:{"A":"7"}}}`, values))
		s.until(id, 2)
		r := s.must(200, "GET", "/service/"+id, "")
		key := map[string]string{"new": "template_id", "old": "vm_template"}[name]
		if fmt.Sprint(r.body("roles", 0, key)) != "1" {
			t.Errorf("%s: role shown as %v", name, r.body("roles", 0))
		}
		vm := r.body("roles", 0, "nodes", 0, "vm_info", "VM")
		if got := apitest.At(vm, "TEMPLATE", "NIC", 0, "NETWORK"); got != "n7" {
			t.Errorf("%s: NETWORK is %v", name, got)
		}
		if got := apitest.At(vm, "TEMPLATE", "CONTEXT", "X"); got != "x7" {
			t.Errorf("%s: CONTEXT.X is %v", name, got)
		}
		s.must(204, "POST", "/service/"+id+"/scale", `{"role_name":"app","cardinality":3,"force":false}`)
		s.until(id, 2)
		check(t, s.Control.Read(s.Root(), serial(t, id), func(svc *service.Service) {
			spec := *svc.Spec
			spec.Document = nil
			specs[name] = &spec
		}))
	}
	if d := cmp.Diff(specs["new"], specs["old"]); d != "" {
		t.Errorf("the generations differ (-new +old):\n%s", d)
	}

	s := newStage(t, sim.Options{}, func(o *oneflow.Options) { o.NewForm = true })
	r := s.must(201, "POST", "/service_template", bodies["old"])
	if fmt.Sprint(r.body("roles", 0, "template_id")) != "1" || r.body("roles", 0, "vm_template") != nil {
		t.Errorf("NewForm shows %v", r.body("roles", 0))
	}
}

// Section 7: instantiation.
func TestInstantiate(t *testing.T) {
	s := newStage(t, sim.Options{})
	template := s.template(`{"name":"in","user_inputs":{"A":"M|text|a"},"networks":{"Pub":"M|network|p||id:3"},"roles":[{"name":"r","type":"vm","template_id":0,"cardinality":1,"template_contents":{"NIC":[{"NETWORK_ID":"$Pub"}]}}]}`)
	path := "/service_template/" + template + "/action"
	for params, want := range map[string]int{
		`{}`:                    400,
		`{"merge_template":[]}`: 400,
		`{"merge_template":{"user_inputs_values":{}}}`:                                                   400,
		`{"merge_template":{"user_inputs_values":[]}}`:                                                   400,
		`{"merge_template":{"user_inputs_values":{"A":"1"},"networks_values":[{"Other":{"id":1}}]}}`:     400,
		`{"merge_template":{"user_inputs_values":{"A":"1"},"networks_values":{"Pub":{"id":1}}}}`:         400,
		`{"merge_template":{"user_inputs_values":{"A":"1"},"roles":{}}}`:                                 400,
		`{"merge_template":{"user_inputs_values":{"A":"1"},"roles":[{"name":"r","template_id":77}]}}`:    400,
		`{"merge_template":{"user_inputs_values":{"A":"1"},"roles":[{"cardinality":-1}]}}`:               400,
		`{"merge_template":{"user_inputs_values":{"A":"1"},"roles":[{"cardinality":2}]}}`:                201,
		`{"merge_template":{"custom_attrs_values":{"A":"1"},"networks_values":[{"Pub":{"id":"5"}}]}}`:    201,
		`{"merge_template":{"user_inputs_values":{"A":"1"},"name":"other","roles":[{"name":"nobody"}]}}`: 201,
	} {
		r := s.root("POST", path, act("instantiate", params))
		if r.Status != want {
			t.Errorf("%s: %d, want %d: %s", params, r.Status, want, r.Text)
		}
		if r.Status != 201 {
			continue
		}
		if fmt.Sprint(r.body("state")) != "0" || r.At("DOCUMENT", "TYPE") != "100" {
			t.Errorf("%s: not as it was asked for: %s", params, r.Text)
		}
		running := s.until(r.id(), 2)
		want := "3"
		if strings.Contains(params, `"id":"5"`) {
			want = "5"
		}
		if got := apitest.At(running.body("roles", 0, "nodes", 0), "vm_info", "VM", "TEMPLATE", "NIC", 0, "NETWORK_ID"); got != want {
			t.Errorf("%s: NETWORK_ID is %v, want %s", params, got, want)
		}
		if id := running.body("networks_values", 0, "Pub", "id"); fmt.Sprint(id) != want {
			t.Errorf("%s: networks_values %v", params, running.body("networks_values"))
		}
	}
	if n := len(s.Control.Services(s.Root())); n != 3 {
		t.Errorf("%d services, want 3: a refused one left something", n)
	}
	// A service without roles is RUNNING at once.
	s.running(`{"name":"empty","roles":[]}`)
}

// Secrets are hidden, and an update that repeats what was shown keeps them.
func TestSecrets(t *testing.T) {
	s := newStage(t, sim.Options{})
	template := s.template(`{"name":"sec","user_inputs":{"PW":"M|password|the password","U":"M|text|user"},"roles":[
		{"name":"r","type":"vm","template_id":0,"cardinality":1,"template_contents":{"LINE":"user=$U password=$PW"}}]}`)
	id := s.instantiate(template, `{"merge_template":{"user_inputs_values":{"PW":"hunter2hunter2","U":"root"}}}`)
	r := s.until(id, 2)
	if strings.Contains(r.Text, "hunter2") || !strings.Contains(r.Text, "user=root") {
		t.Errorf("shown: %s", r.Text)
	}
	body, err := json.Marshal(r.body())
	check(t, err)
	s.must(204, "PUT", "/service/"+id, strings.Replace(string(body), `"description":""`, `"description":"new"`, 1))
	spec, err := s.Control.Spec(t.Context(), s.Root(), serial(t, id), 1)
	check(t, err)
	if spec.Inputs["PW"] != "hunter2hunter2" || spec.Description != "new" || spec.Roles[0].Machine.Attributes["LINE"] != "user=root password=hunter2hunter2" {
		t.Errorf("after the update: %q, %+v, %v", spec.Description, spec.Inputs, spec.Roles[0].Machine.Attributes)
	}
}

// The inputs of a role may be secret too.
func TestRoleSecrets(t *testing.T) {
	s := newStage(t, sim.Options{})
	template := s.template(`{"name":"sec","roles":[{"name":"r","type":"vm","template_id":0,"cardinality":1,
		"user_inputs":{"PW":"M|password|the password"},"template_contents":{"LINE":"password=$PW"}}]}`)
	id := s.instantiate(template, `{"merge_template":{"roles":[{"name":"r","user_inputs_values":{"PW":"hunter2hunter2"}}]}}`)
	r := s.until(id, 2)
	if strings.Contains(r.Text, "hunter2") {
		t.Errorf("shown: %s", r.Text)
	}
	s.must(204, "PUT", "/service/"+id, `{"append":true,"template":"{\"description\":\"new\"}"}`)
	check(t, s.Control.Read(s.Root(), serial(t, id), func(svc *service.Service) {
		if got := svc.Spec.Roles[0].Inputs["PW"]; got != "hunter2hunter2" {
			t.Errorf("after the update the password is %q", got)
		}
	}))
}

// Sections 6.4 and 14: what works otherwise than it may be meant is told in the log, from the first answer on.
func TestWarnings(t *testing.T) {
	s := newStage(t, sim.Options{})
	kind, err := s.Control.Kind("sim")
	check(t, err)
	kind.Resources = nil // as of a driver that makes no networks
	template := s.template(`{"name":"w","networks":{"P":"M|network|||template_id:3"},"roles":[{"name":"r","type":"vm","template_id":0,"cardinality":1,"parents":["x"],"template_contents":{"A":"$P"}}]}`)
	first := s.must(201, "POST", "/service_template/"+template+"/action", act("instantiate", "{}"))
	running := s.until(first.id(), 2)
	for _, r := range []reply{first, running} {
		log := fmt.Sprint(r.body("log"))
		for _, want := range []string{`roles[0].parents[0]: no role "x"`, "networks_values[0].P: no driver of its roles makes such networks (sim)"} {
			if !strings.Contains(log, "Warning: "+want) {
				t.Errorf("no warning of %s: %s", want, log)
			}
		}
	}
	if got := apitest.At(running.body("roles", 0, "nodes", 0), "vm_info", "VM", "USER_TEMPLATE", "A"); got != "$P" || running.body("networks_values", 0, "P", "id") != nil {
		t.Errorf("A is %v, networks %v", got, running.body("networks_values"))
	}
	path := "/service_template/" + template
	r := s.must(400, "POST", path+"/action", act("instantiate", `{"merge_template":{"networks_values":[{"P":{"reserve_from":1}}]}}`))
	if r.At("error", "place") != "networks_values[0].P" {
		t.Errorf("a reservation without a size: %s", r.Text)
	}
}

// Sections 3.4 and 17: all forms of scaling.
func TestScale(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(web)
	path := "/service/" + id
	s.must(204, "POST", path+"/scale", `{"role_name":"back","cardinality":"3","force":"false"}`)
	s.until(id, 2)
	if r := s.must(200, "PUT", path+"/role/back", `{"cardinality":4,"force":true}`); r.Text != "" {
		t.Errorf("PUT role answers %q", r.Text)
	}
	r := s.until(id, 2)
	if got := apitest.At(r.body("roles", 1, "nodes", 3), "vm_info", "VM", "NAME"); got != "back_3_(service_"+id+")" {
		t.Errorf("the fourth is called %v", got)
	}
	// Scaling in removes the oldest; numbers go on.
	s.must(204, "POST", path+"/scale", `{"role_name":"back","cardinality":1}`)
	r = s.until(id, 2)
	if got := apitest.At(r.body("roles", 1, "nodes", 0), "vm_info", "VM", "NAME"); got != "back_3_(service_"+id+")" || fmt.Sprint(r.body("roles", 1, "last_vmname")) != "4" {
		t.Errorf("the one that stays is %v, next %v", got, r.body("roles", 1, "last_vmname"))
	}
	for _, c := range []struct {
		body string
		want int
	}{
		{`{"role_name":"front","cardinality":5}`, 400},
		{`{"role_name":"front","cardinality":0}`, 400},
		{`{"role_name":"front","cardinality":1}`, 400}, // already
		{`{"role_name":"front","cardinality":-1,"force":true}`, 400},
		{`{"role_name":"front","cardinality":"x"}`, 400},
		{`{"role_name":"front","cardinality":1.5}`, 400},
		{`{"role_name":"front","cardinality":null}`, 400},
		{`{"role_name":"front"}`, 400},
		{`{"role_name":"front","cardinality":99999999999}`, 400},
		{`{"role_name":"front","cardinality":2,"force":7}`, 400},
		{`{"role_name":7,"cardinality":2}`, 400},
		{`{"cardinality":2}`, 400},
		{`{"role_name":"fronted","cardinality":2}`, 404},
	} {
		if r := s.root("POST", path+"/scale", c.body); r.Status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.body, r.Status, c.want, r.Text)
		}
	}
	if r := s.root("POST", path+"/scale", `{"role_name":"fronted","cardinality":2}`); !strings.Contains(r.message(), `did you mean "front"?`) {
		t.Errorf("no guess: %s", r.Text)
	}
	s.must(204, "POST", path+"/scale", `{"role_name":"front","cardinality":6,"force":true}`)
	s.until(id, 2)
}

// Section 6.2: virtual routers are stored, run, and do not scale.
func TestRouter(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(`{"name":"vr","roles":[{"name":"gw","type":"vr","template_id":0,"cardinality":1}]}`)
	s.must(400, "POST", "/service/"+id+"/scale", `{"role_name":"gw","cardinality":2,"force":true}`)
	s.must(400, "POST", "/service/"+id+"/role/gw/action", act("poweroff", "{}"))
	if r := s.must(200, "GET", "/service/"+id, ""); r.body("roles", 0, "type") != "vr" {
		t.Errorf("shown as %v", r.body("roles", 0))
	}
}

// A service of another face is shown, and changed where that makes sense.
func TestForeignService(t *testing.T) {
	s := newStage(t, sim.Options{})
	spec := &service.Spec{Name: "native", Format: "native", Strategy: service.Straight, Roles: []service.RoleSpec{
		{Name: "app-1", Cardinality: 2, Heal: service.HealAuto, Identity: service.New, OnGone: service.Replace, Restart: service.Always,
			Machine: service.Machine{Implementations: []service.Implementation{{Driver: "sim"}}}}}}
	n, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: spec})
	check(t, err)
	s.UntilRunning(n)
	id := strconv.FormatUint(n, 10)
	r := s.must(200, "GET", "/service/"+id, "")
	if r.body("roles", 0, "name") != "app-1" || len(r.body("roles", 0, "nodes").([]any)) != 2 || fmt.Sprint(r.body("state")) != "2" {
		t.Errorf("shown as %s", r.Text)
	}
	s.must(409, "PUT", "/service/"+id, `{"append":true,"template":"{}"}`)
	s.must(204, "POST", "/service/"+id+"/scale", `{"role_name":"app-1","cardinality":3}`)
	s.must(200, "GET", "/service", "")
	s.must(204, "POST", "/service/"+id+"/action", act("recover", `{"delete":true}`))
	s.gone(id)
}
