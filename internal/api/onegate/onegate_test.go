package onegate_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/oneflow"
	"github.com/troupe-dev/troupe/internal/api/onegate"
	"github.com/troupe-dev/troupe/internal/control"
	format "github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a control plane with both of OpenNebula's faces.
type stage struct {
	*apitest.Stage
	t   testing.TB
	url string
}

func newStage(t testing.TB, settings onegate.Settings) *stage {
	s := &stage{Stage: apitest.NewOn(t, sim.Options{}), t: t}
	flow := oneflow.New(oneflow.Options{Control: s.Control, Settings: format.DefaultSettings()})
	t.Cleanup(flow.Stop)
	gate := onegate.New(onegate.Options{Control: s.Control, OneFlow: flow, Settings: settings})
	s.url = s.Mount(flow.Face("/oneflow"), gate.Face("/onegate")) + "/onegate"
	return s
}

// deploy deploys a role "a" of two and a role "b" of one, of the caller's; gated ones wait for READY.
func (s *stage) deploy(who *identity.Caller, gated bool) uint64 {
	s.t.Helper()
	role := func(name string, n int) service.RoleSpec {
		most := 3
		return service.RoleSpec{Name: name, Cardinality: n, Max: &most, Identity: service.New, Heal: service.HealAuto, ReadyGate: gated,
			Machine: service.Machine{Implementations: []service.Implementation{{Driver: "sim"}}, Attributes: map[string]string{"NIC.0.NETWORK": "private", "NIC.0.MODEL": "virtio", "COLOUR": "red"}}}
	}
	id, err := s.Control.Deploy(s.t.Context(), who, control.Deployment{Spec: &service.Spec{Name: "gate", Strategy: service.NoOrder, Roles: []service.RoleSpec{role("a", 2), role("b", 1)}}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Until(id, "made", func(svc *service.Service) bool {
		n := 0
		for _, r := range svc.Roles {
			for i := range r.Instances {
				if i.Machine == driver.Running {
					n++
				}
			}
		}
		return n == 3
	})
	return id
}

// A machine is one that speaks for itself.
type machine struct {
	s         *stage
	vm, token string
}

// machines are those of a service, in the order in which they were made.
func (s *stage) machines(id uint64) []machine {
	var out []machine
	s.Engine.View(id, func(svc *service.Service) {
		for _, r := range svc.Roles {
			for i := range r.Instances {
				m := svc.MachineID(i)
				out = append(out, machine{s, s.Control.InstanceVM(m), s.Control.InstanceToken(m)})
			}
		}
	})
	return out
}

// send returns status and body. Everything is sent as curl -d sends it.
func (m machine) send(method, path, body string) (int, string) {
	m.s.t.Helper()
	req := apitest.Request(m.s.t, method, m.s.url+path, body, "Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("means", "nothing")
	if m.vm != "" {
		req.Header.Set("X-ONEGATE-VMID", m.vm)
	}
	if m.token != "" {
		req.Header.Set("X-ONEGATE-TOKEN", m.token)
	}
	r := apitest.Do(m.s.t, nil, req)
	if got := r.Header.Get("Content-Type"); r.Status != 204 && got != "application/json;charset=utf-8" {
		m.s.t.Errorf("%s %s: content type %q", method, path, got)
	}
	return r.Status, r.Text
}

// must wants a status and returns the body.
func (m machine) must(status int, method, path, body string) string {
	m.s.t.Helper()
	got, text := m.send(method, path, body)
	if got != status {
		m.s.t.Fatalf("%s %s %q: %d %s, want %d", method, path, body, got, text, status)
	}
	return text
}

// user returns what the machine shows as its user template.
func (m machine) user() map[string]any {
	m.s.t.Helper()
	var shown struct {
		VM struct {
			User map[string]any `json:"USER_TEMPLATE"`
		}
	}
	if err := json.Unmarshal([]byte(m.must(200, "GET", "/vm", "")), &shown); err != nil {
		m.s.t.Fatal(err)
	}
	return shown.VM.User
}

func TestAuthentication(t *testing.T) {
	s := newStage(t, onegate.Settings{})
	id := s.deploy(s.Root(), false)
	all := s.machines(id)
	me, other := all[0], all[1]
	for name, m := range map[string]machine{
		"nothing": {s, "", ""}, "no token": {s, me.vm, ""}, "no machine": {s, "", me.token}, "garbage": {s, me.vm, "AAAA"}, "no number": {s, "x", me.token},
		"another's token": {s, me.vm, other.token}, "another's number": {s, other.vm, me.token}, "unknown": {s, "999999", me.token},
	} {
		for _, path := range []string{"/", "/vm", "/service", "/vms/" + me.vm} {
			if status, text := m.send("GET", path, ""); status != 401 || text != "Not authorized" {
				t.Errorf("%s %s: %d %s", name, path, status, text)
			}
		}
	}
	me.must(200, "GET", "/vm", "")
	machine{s, "", me.token}.must(200, "PUT", "/vm/"+me.vm, "READY=YES") // as servers of 4.2 took it
	machine{s, "", other.token}.must(401, "PUT", "/vm/"+me.vm, "READY=YES")
	// A token ends with its incarnation.
	if _, err := s.Control.Order(t.Context(), s.Root(), id, service.Command{ReplaceOne: &service.ReplaceOne{Serial: 1}}); err != nil {
		t.Fatal(err)
	}
	me.must(401, "GET", "/vm", "")
	other.must(200, "GET", "/vm", "")
}

func TestShow(t *testing.T) {
	s := newStage(t, onegate.Settings{})
	id := s.deploy(s.Root(), false)
	all := s.machines(id)
	me := all[0]
	if got, want := me.must(200, "GET", "/", ""), fmt.Sprintf(`{"vm_info":"%[1]s/vm","service_info":"%[1]s/service"}`, s.url); got != want {
		t.Errorf("GET /: %s, want %s", got, want)
	}
	vm := me.must(200, "GET", "/vm", "")
	for _, want := range []string{`{"VM":{"NAME":"`, `"ID":"` + me.vm + `"`, `"STATE":"3","LCM_STATE":"3"`, `"ROLE_NAME":"a"`, fmt.Sprintf(`"SERVICE_ID":"%d"`, id), `"COLOUR":"red"`, `"NETWORK":"private"`, `"NIC_ALIAS":[]`} {
		if !strings.Contains(vm, want) {
			t.Errorf("GET /vm lacks %s: %s", want, vm)
		}
	}
	for _, hidden := range []string{"MODEL", "TEMPLATE_ID", "UNAME", "STIME"} {
		if strings.Contains(vm, hidden) {
			t.Errorf("GET /vm shows %s: %s", hidden, vm)
		}
	}
	if other := me.must(200, "GET", "/vms/"+all[2].vm, ""); !strings.Contains(other, `"ROLE_NAME":"b"`) {
		t.Error(other)
	}
	short := me.must(200, "GET", "/service", "")
	if !strings.HasPrefix(short, fmt.Sprintf(`{"SERVICE":{"name":"gate","id":"%d","state":2,"roles":[{"name":"a","cardinality":2,"state":2,"nodes":[{"deploy_id":%s,"running":true,"vm_info":{"VM":{"ID":"%s","UID":"0"`, id, me.vm, me.vm)) || strings.Contains(short, "USER_TEMPLATE") {
		t.Error(short)
	}
	for _, long := range []string{me.must(200, "GET", "/service?extended=true", ""), me.must(200, "GET", "/service", "extended=true")} {
		if !strings.Contains(long, `"LCM_STATE":"3"`) || !strings.Contains(long, `"COLOUR":"red"`) {
			t.Error(long)
		}
	}
}

func TestAttributes(t *testing.T) {
	s := newStage(t, onegate.Settings{})
	id := s.deploy(s.Root(), false)
	all := s.machines(id)
	me := all[0]
	for _, c := range []struct {
		path, body string
		want       map[string]any
	}{
		{"/vm", "READY = YES", map[string]any{"READY": "YES"}},
		{"/vm", "a=1\nB = \"two words\"\n# a comment\n", map[string]any{"A": "1", "B": "two words"}},
		{"/vm", `data=C%3Dthree&type=1`, map[string]any{"C": "three"}},
		{"/vm", `V=[a=1,B="x, y"]`, map[string]any{"V": map[string]any{"A": "1", "B": "x, y"}}},
		{"/vm", `TEXT=one\ntwo`, map[string]any{"TEXT": "one\ntwo"}},
		{"/vm", `D=4\nE=5`, map[string]any{"D": "4", "E": "5"}},
		{"/vms/" + me.vm, "F=6", map[string]any{"F": "6"}},
		{"/vm/" + me.vm, "G=7", map[string]any{"G": "7"}},
		{"/vm?type=2", "g", map[string]any{"G": nil, "F": "6"}},
		{"/vm", "data=F&type=2", map[string]any{"F": nil}},
	} {
		if body := me.must(200, "PUT", c.path, c.body); body != "" {
			t.Errorf("PUT %s %q answers %q", c.path, c.body, body)
		}
		got := me.user()
		for k, v := range c.want {
			if fmt.Sprint(got[k]) != fmt.Sprint(v) {
				t.Errorf("after PUT %s %q: %s is %v, want %v", c.path, c.body, k, got[k], v)
			}
		}
	}
	for _, c := range []struct {
		status           int
		method, path, in string
	}{
		{403, "PUT", "/vm", "ROLE_NAME=x"}, {403, "PUT", "/vm", " SERVICE_ID = 1"}, {403, "PUT", "/vm", "A=1\nsched_requirements=\"x\""}, {403, "PUT", "/vm?type=2", "ROLE_NAME"},
		{500, "PUT", "/vm?type=2", "NOSUCH"}, {500, "PUT", "/vm", "data=NOSUCH&type=2"},
		{400, "PUT", "/vm", ""}, {400, "PUT", "/vm", "no key"}, {400, "PUT", "/vm", "A-B=text"}, {400, "PUT", "/vm", "X=[A=1"},
		{400, "PUT", "/vms/999999", "A=1"}, {400, "GET", "/vms/x", ""}, {413, "PUT", "/vm", "A=" + strings.Repeat("x", 70<<10)}, {400, "PUT", "/vm", "A=" + strings.Repeat("x", 20<<10)},
		{400, "GET", "/nosuch", ""}, {400, "POST", "/vm", ""}, {400, "GET", "/vrouter", ""}, {400, "GET", "/vnet/1", ""},
	} {
		before := me.user()
		if status, text := me.send(c.method, c.path, c.in); status != c.status || text == "" {
			t.Errorf("%s %s %.50q: %d %s, want %d", c.method, c.path, c.in, status, text, c.status)
		}
		if after := me.user(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s %s %.50q changed %v to %v", c.method, c.path, c.in, before, after)
		}
	}
	all[1].must(200, "PUT", "/vms/"+me.vm, "FROM = neighbour")
	if me.user()["FROM"] != "neighbour" {
		t.Error("a neighbour's attribute is not there")
	}
}

// A machine of one service learns and changes nothing of another, whoever owns both.
func TestOwnServiceAlone(t *testing.T) {
	s := newStage(t, onegate.Settings{})
	mine, theirs := s.deploy(s.Root(), false), s.deploy(s.Root(), false)
	me, stranger := s.machines(mine)[0], s.machines(theirs)[0]
	want := fmt.Sprintf("Service %d does not contain VM %s.", mine, stranger.vm)
	for method, path := range map[string]string{"GET": "/vms/" + stranger.vm, "PUT": "/vms/" + stranger.vm, "POST": "/vms/" + stranger.vm + "/action"} {
		if status, text := me.send(method, path, "A=1"); status != 400 || text != want {
			t.Errorf("%s %s: %d %s", method, path, status, text)
		}
	}
	if stranger.user()["A"] != nil {
		t.Error("the stranger has been told something")
	}
}

func TestReadyOpensTheGate(t *testing.T) {
	s := newStage(t, onegate.Settings{})
	id := s.deploy(s.User("ann", ""), true)
	for n, m := range s.machines(id) {
		s.Engine.View(id, func(svc *service.Service) {
			if svc.State == service.Running {
				t.Errorf("running before machine %d is ready", n)
			}
		})
		m.must(200, "PUT", "/vm", `READY="YES"`)
	}
	s.UntilRunning(id)
}

func TestScaleAndAct(t *testing.T) {
	s := newStage(t, onegate.Settings{})
	id := s.deploy(s.Root(), false)
	all := s.machines(id)
	me := all[2]
	cardinality := func() int {
		n := 0
		s.Engine.View(id, func(svc *service.Service) { n = svc.Role("a").Cardinality })
		return n
	}
	me.must(200, "PUT", "/service/role/a", `{"cardinality":3}`)
	if cardinality() != 3 {
		t.Errorf("cardinality %d", cardinality())
	}
	me.must(200, "PUT", "/service/role/a", `{"cardinality":"1"}`)
	if cardinality() != 1 {
		t.Errorf("cardinality %d", cardinality())
	}
	for path, body := range map[string]string{"/service/role/a": `{"cardinality":9}`, "/service/role/nosuch": `{"cardinality":1}`} {
		want := fmt.Sprintf("Error performing action on service %d role %s", id, path[len("/service/role/"):])
		if status, text := me.send("PUT", path, body); status != 400 || !strings.HasPrefix(text, want) {
			t.Errorf("PUT %s %s: %d %s", path, body, status, text)
		}
	}
	for _, body := range []string{`{}`, `{"cardinality":"x"}`, `{"cardinality":1.5}`, `[`} {
		if status, text := me.send("PUT", "/service/role/a", body); status != 400 || text == "" {
			t.Errorf("PUT cardinality %s: %d %s", body, status, text)
		}
	}
	for _, c := range []struct {
		status int
		body   string
	}{
		{403, `{"action":{"perform":"reboot"}}`}, {500, `{"action":{"perform":"nosuch"}}`}, {500, `{"action":{}}`}, {400, `{"action":{"perform":"migrate"}}`}, {400, `x`},
		{204, `{"action":{"perform":"poweroff","params":true}}`},
	} {
		if status, text := me.send("POST", "/vms/"+me.vm+"/action", c.body); status != c.status {
			t.Errorf("POST action %s: %d %s, want %d", c.body, status, text, c.status)
		}
	}
	s.Until(id, "powered off", func(svc *service.Service) bool {
		i := svc.Instance(3)
		return i != nil && i.Machine == driver.Stopped
	})
}

func TestSettings(t *testing.T) {
	s := newStage(t, onegate.Settings{Protected: []string{"SECRET"}, Restricted: []string{}, Off: []string{"service.change_cardinality", "vm.show_by_id"}})
	id := s.deploy(s.Root(), false)
	me := s.machines(id)[0]
	me.must(403, "PUT", "/vm", "secret=1")
	me.must(200, "PUT", "/vm", "ROLE_NAME=x")
	me.must(403, "PUT", "/service/role/a", `{"cardinality":1}`)
	me.must(403, "GET", "/vms/"+me.vm, "")
	me.must(200, "GET", "/vm", "")
	me.must(204, "POST", "/vms/"+me.vm+"/action", `{"action":{"perform":"reboot"}}`)
}

// What a machine says of its role and service is not believed: membership is known.
func TestForgedMembership(t *testing.T) {
	s := newStage(t, onegate.Settings{Protected: []string{}})
	id := s.deploy(s.Root(), false)
	me := s.machines(id)[0]
	me.must(200, "PUT", "/vm", "SERVICE_ID=999\nROLE_NAME=b")
	if user := me.user(); user["ROLE_NAME"] != "a" || user["SERVICE_ID"] != fmt.Sprint(id) {
		t.Error(user)
	}
}

// A figure that moves costs no commit; a word does, and so does a figure that comes for the first time.
func TestFiguresStayInMemory(t *testing.T) {
	s := newStage(t, onegate.Settings{})
	id := s.deploy(s.Root(), false)
	s.UntilRunning(id)
	me := s.machines(id)[0]
	for _, c := range []struct {
		body    string
		commits bool
	}{{"LOAD=1", true}, {"LOAD=2", false}, {"LOAD=2.5\nload.avg=3", false}, {"WORD=a", true}, {"LOAD=high", true}, {"LOAD=3", true}} {
		before := s.Control.Revision()
		me.must(200, "PUT", "/vm", c.body)
		if commits := s.Control.Revision() != before; commits != c.commits {
			t.Errorf("PUT %q: committed %t, want %t", c.body, commits, c.commits)
		}
	}
	if me.user()["LOAD"] != "3" {
		t.Error(me.user())
	}
}
