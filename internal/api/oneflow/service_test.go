package oneflow_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/oneflow"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/service"
)

// number reads a service's id.
func serial(t *testing.T, id string) uint64 {
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
		if got := fmt.Sprint(at(back, key)); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	vm := at(back, "nodes", 0, "vm_info", "VM")
	deploy := fmt.Sprint(at(back, "nodes", 0, "deploy_id"))
	for key, want := range map[string]string{"ID": deploy, "UID": "0", "GID": "0", "UNAME": "oneadmin", "GNAME": "oneadmin",
		"NAME": "back_0_(service_" + id + ")", "STATE": "3", "LCM_STATE": "3", "MONITORING": "map[]"} {
		if got := fmt.Sprint(at(vm, key)); got != want {
			t.Errorf("VM.%s is %s, want %s", key, got, want)
		}
	}
	if got := at(vm, "USER_TEMPLATE", "SERVICE_ID"); got != id {
		t.Errorf("SERVICE_ID %v", got)
	}
	if got := at(vm, "USER_TEMPLATE", "ROLE_NAME"); got != "back" {
		t.Errorf("ROLE_NAME %v", got)
	}
	if ip := at(vm, "TEMPLATE", "NIC", 0, "IP"); ip == nil || ip == "" {
		t.Errorf("no address: %v", at(vm, "TEMPLATE"))
	}
	if at(back, "nodes", 0, "running") != true {
		t.Error("the node is not running")
	}
	log, _ := r.body("log").([]any)
	if len(log) == 0 || at(log[0], "severity") != "I" || at(log[0], "timestamp") == nil {
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
		if got := at(vm, "TEMPLATE", "NIC", 0, "NETWORK"); got != "n7" {
			t.Errorf("%s: NETWORK is %v", name, got)
		}
		if got := at(vm, "TEMPLATE", "CONTEXT", "X"); got != "x7" {
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
		if r.status != want {
			t.Errorf("%s: %d, want %d: %s", params, r.status, want, r.text)
		}
		if r.status != 201 {
			continue
		}
		if fmt.Sprint(r.body("state")) != "0" || r.at("DOCUMENT", "TYPE") != "100" {
			t.Errorf("%s: not as it was asked for: %s", params, r.text)
		}
		running := s.until(r.id(), 2)
		want := "3"
		if strings.Contains(params, `"id":"5"`) {
			want = "5"
		}
		if got := at(running.body("roles", 0, "nodes", 0), "vm_info", "VM", "TEMPLATE", "NIC", 0, "NETWORK_ID"); got != want {
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
	if strings.Contains(r.text, "hunter2") || !strings.Contains(r.text, "user=root") {
		t.Errorf("shown: %s", r.text)
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
	if strings.Contains(r.text, "hunter2") {
		t.Errorf("shown: %s", r.text)
	}
	s.must(204, "PUT", "/service/"+id, `{"append":true,"template":"{\"description\":\"new\"}"}`)
	check(t, s.Control.Read(s.Root(), serial(t, id), func(svc *service.Service) {
		if got := svc.Spec.Roles[0].Inputs["PW"]; got != "hunter2hunter2" {
			t.Errorf("after the update the password is %q", got)
		}
	}))
}

// Sections 6.4 and 14: what works otherwise than it may be meant is told in the log.
func TestWarnings(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(`{"name":"w","networks":{"P":"M|network|||template_id:3"},"roles":[{"name":"r","type":"vm","template_id":0,"parents":["x"]}]}`)
	log := fmt.Sprint(s.must(200, "GET", "/service/"+id, "").body("log"))
	for _, want := range []string{"roles[0].parents[0]", "networks_values[0].P"} {
		if !strings.Contains(log, "Warning: "+want) {
			t.Errorf("no warning of %s: %s", want, log)
		}
	}
	path := "/service_template/" + s.template(`{"name":"w","networks":{"P":"M|network|||template_id:3"},"roles":[]}`)
	r := s.must(400, "POST", path+"/action", act("instantiate", `{"merge_template":{"networks_values":[{"P":{"reserve_from":1}}]}}`))
	if r.at("error", "place") != "networks_values[0].P" {
		t.Errorf("a reservation without a size: %s", r.text)
	}
}

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
		t.Errorf("after PUT: %s", r.text)
	}
	s.must(204, "PUT", path, `{"append":true,"template":"{\"note\":\"kept\"}"}`)
	if r := s.must(200, "GET", path, ""); r.body("note") != "kept" {
		t.Errorf("after append: %v", r.body("note"))
	}
	s.must(204, "POST", path+"/action", act("update", `{"append":true,"template_json":"{\"more\":1}"}`))
	s.must(204, "POST", path+"/action", act("update", `{"append":true,"template_raw":"RAW=\"yes\""}`))
	if r := s.must(200, "GET", path, ""); fmt.Sprint(r.body("more")) != "1" || r.body("RAW") != "yes" {
		t.Errorf("after action update: %s", r.text)
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
		if r := s.root("PUT", path, body); r.status != 400 || r.at("error", "message") == nil {
			t.Errorf("%s: %d %s, want 400", what, r.status, r.text)
		}
	}
	if r := s.root("POST", path+"/action", act("update", `{"template_json":"{}"}`)); r.status != 400 {
		t.Errorf("update without append: %d %s", r.status, r.text)
	}

	// Changed contents need new machines: a rolling update, which looks like a scaling.
	before := s.Cloud.Machines()
	s.must(204, "PUT", path, whole(func(b map[string]any) { role(b, 1)["template_contents"] = map[string]any{"CPU": "2"} }))
	s.within("the machines are replaced", func() bool {
		r := s.root("GET", path, "")
		return fmt.Sprint(r.body("state")) == "2" && at(r.body("roles", 1, "nodes", 0), "vm_info", "VM", "TEMPLATE", "CPU") == "2" &&
			at(r.body("roles", 1, "nodes", 1), "vm_info", "VM", "TEMPLATE", "CPU") == "2"
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
			t.Fatalf("after add_role: %s", r.text)
		}
		s.must(204, "POST", path, act("add_role", `{"add":true,"role":"{\"name\":\"text\",\"vm_template\":0,\"cardinality\":1}"}`))
		r = s.until(id, 2)
		if r.body("roles", 3, "name") != "text" {
			t.Errorf("a role as text: %s", r.text)
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
			if r := s.root("POST", path, act("add_role", params)); r.status != want {
				t.Errorf("add_role %s: %d, want %d: %s", params, r.status, want, r.text)
			}
		}
		s.must(404, "POST", path, act("remove_role", `{"role":"nosuch"}`))
		s.must(400, "POST", path, act("remove_role", `{}`))
		s.must(400, "POST", path, act("nosuch", `{}`))
		for _, role := range []string{"text", "back", "cache"} {
			s.must(204, "POST", path, act("remove_role", fmt.Sprintf(`{"role":%q}`, role)))
			s.within(role+" is gone", func() bool {
				r := s.root("GET", "/service/"+id, "")
				return fmt.Sprint(r.body("state")) == "2" && !strings.Contains(fmt.Sprint(r.body("roles")), "name:"+role+" ")
			})
		}
		s.must(204, "POST", path, act("remove_role", `{"role":"front"}`)) // the last one
		s.gone(id)
	}
}

// Sections 3.4 and 17: all forms of scaling.
func TestScale(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(web)
	path := "/service/" + id
	s.must(204, "POST", path+"/scale", `{"role_name":"back","cardinality":"3","force":"false"}`)
	s.until(id, 2)
	if r := s.must(200, "PUT", path+"/role/back", `{"cardinality":4,"force":true}`); r.text != "" {
		t.Errorf("PUT role answers %q", r.text)
	}
	r := s.until(id, 2)
	if got := at(r.body("roles", 1, "nodes", 3), "vm_info", "VM", "NAME"); got != "back_3_(service_"+id+")" {
		t.Errorf("the fourth is called %v", got)
	}
	// Scaling in removes the oldest; numbers go on.
	s.must(204, "POST", path+"/scale", `{"role_name":"back","cardinality":1}`)
	r = s.until(id, 2)
	if got := at(r.body("roles", 1, "nodes", 0), "vm_info", "VM", "NAME"); got != "back_3_(service_"+id+")" || fmt.Sprint(r.body("roles", 1, "last_vmname")) != "4" {
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
		if r := s.root("POST", path+"/scale", c.body); r.status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.body, r.status, c.want, r.text)
		}
	}
	if r := s.root("POST", path+"/scale", `{"role_name":"fronted","cardinality":2}`); !strings.Contains(r.message(), `did you mean "front"?`) {
		t.Errorf("no guess: %s", r.text)
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

// Section 13: actions on machines, batches, and their deletion.
func TestActions(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(`{"name":"act","roles":[{"name":"r","type":"vm","template_id":0,"cardinality":5}]}`)
	path := "/service/" + id
	states := func() string {
		var out []string
		nodes, _ := s.must(200, "GET", path, "").body("roles", 0, "nodes").([]any)
		for _, n := range nodes {
			out = append(out, fmt.Sprint(at(n, "vm_info", "VM", "STATE")))
		}
		return strings.Join(out, " ")
	}
	r := s.must(201, "POST", path+"/role/r/action", act("suspend", "null"))
	var ids []string
	nodes, _ := s.must(200, "GET", path, "").body("roles", 0, "nodes").([]any)
	for _, n := range nodes {
		ids = append(ids, fmt.Sprint(at(n, "deploy_id")))
	}
	if want := "Action:suspend scheduled on Role:r VMs:" + strings.Join(ids, ","); at(r.json, 0) != true || at(r.json, 1) != want {
		t.Errorf("answer %s, want %s", r.text, want)
	}
	s.within("suspended", func() bool { return states() == "5 5 5 5 5" })
	s.must(204, "POST", path+"/action", act("resume", "{}"))
	s.within("resumed", func() bool { return states() == "3 3 3 3 3" })

	// 20.12: number 2, period 60 on 5 machines.
	s.must(201, "POST", path+"/role/r/action", act("poweroff", `{"period":"60","number":2}`))
	var offsets []time.Duration
	var waiting uint32
	s.within("the first two are off", func() bool { return states() == "8 8 3 3 3" })
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
	if at(vm, "TEMPLATE", "SCHED_ACTION", 0, "ACTION") != "poweroff" {
		t.Errorf("a scheduled action is not shown: %v", at(vm, "TEMPLATE"))
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
		if r := s.root("POST", path+c.path, act(c.perform, c.params)); r.status != c.want {
			t.Errorf("%s %s %s: %d, want %d: %s", c.path, c.perform, c.params, r.status, c.want, r.text)
		}
	}
	for _, name := range service.ActionNames() {
		if strings.Contains(name, "terminate") || strings.Contains(name, "shutdown") || strings.Contains(name, "delete") || strings.Contains(name, "snapshot") {
			continue
		}
		s.must(201, "POST", path+"/role/r/action", act(name, "{}"))
	}
}

// Section 9.7: hold and release.
func TestHold(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.instantiate(s.template(`{"name":"held","on_hold":true,"roles":[{"name":"r","type":"vm","template_id":0,"cardinality":2}]}`), "")
	r := s.until(id, 15)
	if fmt.Sprint(r.body("roles", 0, "state")) != "11" {
		t.Errorf("the role is in state %v, want 11", r.body("roles", 0, "state"))
	}
	if got := at(r.body("roles", 0, "nodes", 0), "vm_info", "VM", "STATE"); got != "2" {
		t.Errorf("the machine is in state %v, want 2", got)
	}
	s.must(204, "POST", "/service/"+id+"/action", act("release", "{}"))
	s.until(id, 2)
	s.must(409, "POST", "/service/"+id+"/action", act("release", "{}"))
}

// Sections 9.2 and 20.7: the gate holds children back until READY=YES.
func TestReadyGate(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.instantiate(s.template(`{"name":"gate","deployment":"straight","ready_status_gate":true,"roles":[
		{"name":"a","type":"vm","template_id":0,"cardinality":1},{"name":"b","type":"vm","template_id":0,"cardinality":1,"parents":["a"]}]}`), "")
	n := serial(t, id)
	for _, role := range []string{"a", "b"} {
		var machine uint32
		s.Until(n, role+" waits", func(svc *service.Service) bool {
			for i := range svc.Role(role).Instances {
				machine = i.Serial
				return i.Phase == service.Starting
			}
			return false
		})
		if r := s.must(200, "GET", "/service/"+id, ""); role == "a" && len(r.body("roles", 1, "nodes").([]any)) != 0 {
			t.Error("b began before a was READY")
		}
		_, err := s.Control.Report(t.Context(), s.Root(), n, machine, "READY", "YES")
		check(t, err)
	}
	r := s.until(id, 2)
	if got := at(r.body("roles", 0, "nodes", 0), "vm_info", "VM", "USER_TEMPLATE", "READY"); got != "YES" {
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
	r := s.until(id, 4) // WARNING
	s.must(204, "POST", path+"/action", act("recover", "{}"))
	s.until(id, 2)
	s.must(409, "POST", path+"/action", act("recover", "{}"))

	// A machine that is removed behind our back is forgotten.
	r = s.must(200, "GET", path, "")
	s.must(201, "POST", path+"/role/back/action", act("terminate", "{}"))
	s.within("back is empty", func() bool {
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
		t.Errorf("a removed service: %s", r.text)
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
	if r := s.send("ann", "POST", "/service_pool/purge_done", ""); r.status != 204 {
		t.Errorf("purge: %d", r.status)
	}
	s.must(200, "GET", "/service/"+id, "")
	s.must(204, "POST", "/service_pool/purge_done", "{}")
	s.gone(id)
	s.must(200, "GET", "/service/"+other, "")
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
		t.Errorf("shown as %s", r.text)
	}
	s.must(409, "PUT", "/service/"+id, `{"append":true,"template":"{}"}`)
	s.must(204, "POST", "/service/"+id+"/scale", `{"role_name":"app-1","cardinality":3}`)
	s.must(200, "GET", "/service", "")
	s.must(204, "POST", "/service/"+id+"/action", act("recover", `{"delete":true}`))
	s.gone(id)
}

// Section 5 and 20.4: who may do what.
func TestPermissions(t *testing.T) {
	s := newStage(t, sim.Options{})
	ann := s.User("ann", "devs")
	s.User("bob", "devs")
	s.User("eve", "")
	r := s.send("ann", "POST", "/service_template", web)
	if r.status != 201 || r.at("DOCUMENT", "UNAME") != "ann" || r.at("DOCUMENT", "GNAME") != "devs" {
		t.Fatalf("ann's template: %d %s", r.status, r.text)
	}
	template := "/service_template/" + r.id()
	r = s.send("ann", "POST", template+"/action", act("instantiate", "{}"))
	id := r.id()
	path := "/service/" + id
	s.until(id, 2)

	want := func(user, method, path, body string, status int) {
		t.Helper()
		if r := s.send(user, method, path, body); r.status != status {
			t.Errorf("%s: %s %s %s: %d, want %d: %s", user, method, path, body, r.status, status, r.text)
		}
	}
	count := func(user string) int {
		list, _ := s.send(user, "GET", "/service", "").at("DOCUMENT_POOL", "DOCUMENT").([]any)
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
	if got := at(r.body("roles", 1, "nodes", 2), "vm_info", "VM", "UNAME"); got != "ann" {
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
	for params, status := range map[string]int{
		`{}`: 400, `{"owner_id":"x"}`: 400, `{"owner_id":99}`: 404, `{"owner_id":-1,"group_id":77}`: 404, `{"owner_id":-1}`: 204, `{"owner_id":[]}`: 400} {
		want(apitest.Admin, "POST", path+"/action", act("chown", params), status)
	}
	for params, status := range map[string]int{`{}`: 400, `{"octet":"888"}`: 400, `{"octet":"1000"}`: 400, `{"octet":"6"}`: 204, `{"octet":40}`: 204, `{"octet":-1}`: 400, `{"octet":true}`: 400} {
		want(apitest.Admin, "POST", path+"/action", act("chmod", params), status)
	}
	for params, status := range map[string]int{`{}`: 400, `{"name":""}`: 400, `{"name":7}`: 400, `{"name":"` + strings.Repeat("n", 129) + `"}`: 400, `{"name":"ü ok"}`: 204} {
		want(apitest.Admin, "POST", path+"/action", act("rename", params), status)
	}
	r = s.must(200, "GET", path, "")
	if r.at("DOCUMENT", "NAME") != "ü ok" || r.body("name") != "web" {
		t.Errorf("renamed: %v, body %v", r.at("DOCUMENT", "NAME"), r.body("name"))
	}
}
