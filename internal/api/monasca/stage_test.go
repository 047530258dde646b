package monasca_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/keystone"
	"github.com/troupe-dev/troupe/internal/api/monasca"
	"github.com/troupe-dev/troupe/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a control plane with the faces of Monasca and Keystone, and a user mini-mon of a project of that name.
type stage struct {
	*apitest.Stage
	t     testing.TB
	url   string // of Monasca, without version
	auth  string // of Keystone
	user  identity.User
	token string // that send shows
}

const password = "password"

func newStage(t testing.TB, change ...func(*monasca.Options)) *stage {
	t.Helper()
	s := &stage{Stage: apitest.New(t), t: t}
	g, err := s.Directory.AddGroup(t.Context(), "mini-mon", identity.Quota{})
	s.check(err)
	s.user, err = s.Directory.AddUser(t.Context(), identity.NewUser{Name: "mini-mon", Password: password, Group: &g.ID})
	s.check(err)
	at := func(name string) func(*http.Request) string {
		return func(r *http.Request) string { return "http://" + r.Host + "/" + name }
	}
	o := monasca.Options{Control: s.Control, KeystoneURL: at("keystone")}
	for _, c := range change {
		c(&o)
	}
	url := s.Mount(monasca.New(o).Face("/monasca"),
		keystone.New(keystone.Options{Control: s.Control, Monasca: at("monasca/v2.0")}).Face("/keystone"))
	s.url, s.auth = url+"/monasca", url+"/keystone"
	s.token = s.logIn("mini-mon", password, "mini-mon")
	return s
}

func (s *stage) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// logIn gets a token as clients do.
func (s *stage) logIn(user, password, project string) string {
	s.t.Helper()
	r := s.request("POST", s.auth+"/v3/auth/tokens", apitest.KeystoneLogin(apitest.ByName(user), password, apitest.InProject(project)))
	if r.Status != http.StatusCreated || r.Header.Get("X-Subject-Token") == "" {
		s.t.Fatalf("login of %s: %d %s", user, r.Status, r.Text)
	}
	return r.Header.Get("X-Subject-Token")
}

// tokenOf makes a token of mini-mon that is good for some scopes.
func (s *stage) tokenOf(scopes identity.Scopes) string {
	s.t.Helper()
	text, _, err := s.Directory.AddToken(s.t.Context(), identity.NewToken{User: s.user.ID, Name: "t", Scopes: scopes})
	s.check(err)
	return text
}

// A reply is what came back.
type reply struct{ apitest.Reply }

// request sends a request; headers are names and values in turn.
func (s *stage) request(method, url, body string, headers ...string) reply {
	s.t.Helper()
	r := reply{apitest.Do(s.t, nil, apitest.Request(s.t, method, url, body, headers...))}
	if r.Text != "" && r.JSON == nil {
		s.t.Errorf("%s %s: no JSON: %s", method, url, r.Text)
	}
	return r
}

// send sends a request to /v2.0 with the stage's token.
func (s *stage) send(method, path, body string) reply {
	s.t.Helper()
	return s.request(method, s.url+"/v2.0"+path, body, "X-Auth-Token", s.token)
}

// must sends and wants that status.
func (s *stage) must(status int, method, path, body string) reply {
	s.t.Helper()
	r := s.send(method, path, body)
	if r.Status != status {
		s.t.Fatalf("%s %s %.300s: status %d, want %d: %s", method, path, body, r.Status, status, r.Text)
	}
	return r
}

// elements counts those of a list.
func (r reply) elements() int {
	l, _ := r.At("elements").([]any)
	return len(l)
}

// column returns one key of all elements, joined.
func (r reply) column(steps ...any) string {
	var out []string
	for i := range r.elements() {
		out = append(out, r.Str(append([]any{"elements", i}, steps...)...))
	}
	return strings.Join(out, " ")
}

// push sends one sample of now.
func (s *stage) push(name string, value float64, dimensions string) {
	s.t.Helper()
	s.must(204, "POST", "/metrics", fmt.Sprintf(`{"name":%q,"value":%g,"timestamp":%d,"dimensions":{%s}}`, name, value, time.Now().UnixMilli(), dimensions))
}

// define makes a definition and returns its id.
func (s *stage) define(name, expression, more string) string {
	s.t.Helper()
	return s.must(201, "POST", "/alarm-definitions", fmt.Sprintf(`{"name":%q,"expression":%q%s}`, name, expression, more)).Str("id")
}

// method makes a notification method and returns its id.
func (s *stage) method(name, address string) string {
	s.t.Helper()
	return s.must(201, "POST", "/notification-methods", fmt.Sprintf(`{"name":%q,"type":"WEBHOOK","address":%q}`, name, address)).Str("id")
}

// alarmed waits until so many alarms of a definition are in a state, and returns the list.
func (s *stage) alarmed(definition, state string, n int) reply {
	s.t.Helper()
	var r reply
	s.Within(fmt.Sprintf("%d alarms in %s", n, state), func() bool {
		r = s.must(200, "GET", "/alarms?state="+state+"&alarm_definition_id="+definition, "")
		return r.elements() == n
	})
	return r
}
