package oneflow_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/oneflow"
	"github.com/troupe-dev/troupe/internal/service"

	format "github.com/troupe-dev/troupe/internal/format/oneflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a control plane with the face at the root of a listener, as on OneFlow's own port.
type stage struct {
	*apitest.Stage
	t   testing.TB
	url string
}

// newStage has the machine definitions 0 "default" and 1 "other", which everybody may use.
func newStage(t testing.TB, cloud sim.Options, change ...func(*oneflow.Options)) *stage {
	t.Helper()
	s := &stage{Stage: apitest.NewOn(t, cloud), t: t}
	for _, name := range []string{"default", "other"} {
		m := service.Machine{Implementations: []service.Implementation{{Driver: "sim"}}}
		if _, err := s.Control.PutMachine(t.Context(), s.Root(), name, m, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := oneflow.Options{Control: s.Control, Settings: format.DefaultSettings()}
	for _, c := range change {
		c(&o)
	}
	face := oneflow.New(o)
	t.Cleanup(face.Stop)
	s.url = s.MountAlone(face.Face(""))
	return s
}

// A reply is what came back.
type reply struct{ apitest.Reply }

// send sends a request as a user ("" for none) whose password is the stage's.
func (s *stage) send(user, method, path, body string) reply {
	s.t.Helper()
	return s.sendWith(user, method, path, body, nil)
}

func (s *stage) sendWith(user, method, path, body string, header http.Header) reply {
	s.t.Helper()
	req := apitest.Request(s.t, method, s.url+path, body, "Content-Type", "application/x-www-form-urlencoded")
	for k, v := range header {
		req.Header[k] = v
	}
	switch user {
	case "":
	case apitest.Admin:
		req.SetBasicAuth(user, apitest.Password)
	default:
		req.SetBasicAuth(user, user+"-password")
	}
	r := reply{apitest.Do(s.t, nil, req)}
	if r.Status == http.StatusBadRequest && r.At("error") != nil && r.At("error", "place") == nil {
		s.t.Errorf("%s %s %.200s: a mistake without its place: %.300s", method, path, body, r.Text)
	}
	return r
}

// root sends as the administrator.
func (s *stage) root(method, path, body string) reply {
	s.t.Helper()
	return s.send(apitest.Admin, method, path, body)
}

// must sends as the administrator and wants that status.
func (s *stage) must(status int, method, path, body string) reply {
	s.t.Helper()
	r := s.root(method, path, body)
	if r.Status != status {
		s.t.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, r.Status, status, r.Text)
	}
	return r
}

// body is the BODY of a single document.
func (r reply) body(steps ...any) any {
	return apitest.At(r.At("DOCUMENT", "TEMPLATE", "BODY"), steps...)
}

func (r reply) id() string { return fmt.Sprint(r.At("DOCUMENT", "ID")) }

func (r reply) message() string { return fmt.Sprint(r.At("error", "message")) }

// template creates a template and returns its id.
func (s *stage) template(body string) string {
	s.t.Helper()
	return s.must(201, "POST", "/service_template", body).id()
}

// instantiate makes a service of a template and returns its id.
func (s *stage) instantiate(template, params string) string {
	s.t.Helper()
	if params == "" {
		params = "{}"
	}
	return s.must(201, "POST", "/service_template/"+template+"/action", act("instantiate", params)).id()
}

// act is the body of an action.
func act(perform, params string) string {
	return fmt.Sprintf(`{"action":{"perform":%q,"params":%s}}`, perform, params)
}

// until waits for a state of a service, as clients see it.
func (s *stage) until(id string, state int) reply {
	s.t.Helper()
	var r reply
	s.Within(fmt.Sprintf("service %s in state %d", id, state), func() bool {
		r = s.root("GET", "/service/"+id, "")
		return fmt.Sprint(r.body("state")) == fmt.Sprint(state)
	})
	return r
}

// gone waits until a service is no more.
func (s *stage) gone(id string) {
	s.t.Helper()
	s.Within("service "+id+" gone", func() bool { return s.root("GET", "/service/"+id, "").Status == 404 })
}

// running deploys a body and waits until it is RUNNING.
func (s *stage) running(body string) string {
	s.t.Helper()
	id := s.instantiate(s.template(body), "")
	s.until(id, 2)
	return id
}

const web = `{"name":"web","deployment":"straight","roles":[
	{"name":"front","type":"vm","cardinality":1,"template_id":0,"min_vms":1,"max_vms":4,"cooldown":0},
	{"name":"back","type":"vm","cardinality":2,"template_id":0,"parents":["front"],"cooldown":0}]}`

const oldWeb = `{"name":"web","deployment":"straight","roles":[
	{"name":"front","cardinality":1,"vm_template":0,"min_vms":1,"max_vms":4,"cooldown":0},
	{"name":"back","cardinality":2,"vm_template":0,"parents":["front"],"cooldown":0}]}`

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	check(t, err)
	return text
}
