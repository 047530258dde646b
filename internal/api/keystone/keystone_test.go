package keystone_test

import (
	"fmt"
	"net/http"
	"os/exec"
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

// A stage is a control plane with the face; ann is in the groups users and web.
type stage struct {
	*apitest.Stage
	t    testing.TB
	url  string
	root string // of both faces
	ann  identity.User
	web  identity.Group
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{Stage: apitest.New(t), t: t}
	var err error
	s.web, err = s.Directory.AddGroup(t.Context(), "web", identity.Quota{})
	s.check(err)
	s.ann, err = s.Directory.AddUser(t.Context(), identity.NewUser{Name: "ann", Password: "ann's own", Groups: []int{s.web.ID}})
	s.check(err)
	s.root = s.Mount(keystone.New(keystone.Options{Control: s.Control, Monasca: func(r *http.Request) string { return "http://" + r.Host + "/monasca/v2.0" }}).Face("/keystone"),
		monasca.New(monasca.Options{Control: s.Control}).Face("/monasca"))
	s.url = s.root + "/keystone"
	return s
}

func (s *stage) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// send sends a request; headers are names and values in turn.
func (s *stage) send(method, path, body string, headers ...string) apitest.Reply {
	s.t.Helper()
	r := apitest.Do(s.t, nil, apitest.Request(s.t, method, s.url+path, body, headers...))
	if r.Text != "" && r.JSON == nil {
		s.t.Errorf("%s %s: no JSON: %s", method, path, r.Text)
	}
	return r
}

func tokenOf(token, scope string) string {
	return fmt.Sprintf(`{"auth":{"identity":{"methods":["token"],"token":{"id":%q}},"scope":%s}}`, token, scope)
}

var annByName, inWeb = apitest.ByName("ann"), apitest.InProject("web")

func TestLogin(t *testing.T) {
	s := newStage(t)
	byID := fmt.Sprintf(`"id":"%d"`, s.ann.ID)
	for what, tt := range map[string]struct {
		body    string
		status  int
		project string
	}{
		"by name":             {apitest.KeystoneLogin(annByName, "ann's own", inWeb), 201, "web"},
		"domain by id":        {apitest.KeystoneLogin(`"name":"ann","domain":{"id":"default"}`, "ann's own", `{"project":{"name":"web","domain":{"id":"default"}}}`), 201, "web"},
		"by id":               {apitest.KeystoneLogin(byID, "ann's own", fmt.Sprintf(`{"project":{"id":"%d"}}`, s.web.ID)), 201, "web"},
		"without scope":       {apitest.KeystoneLogin(annByName, "ann's own", ""), 201, "users"},
		"unscoped":            {apitest.KeystoneLogin(annByName, "ann's own", `"unscoped"`), 201, "users"},
		"wrong password":      {apitest.KeystoneLogin(annByName, "ann's 0wn", inWeb), 401, ""},
		"unknown user":        {apitest.KeystoneLogin(`"name":"bob","domain":{"name":"Default"}`, "ann's own", inWeb), 401, ""},
		"unknown id":          {apitest.KeystoneLogin(`"id":"99"`, "ann's own", inWeb), 401, ""},
		"other domain":        {apitest.KeystoneLogin(`"name":"ann","domain":{"name":"Elsewhere"}`, "ann's own", inWeb), 401, ""},
		"project elsewhere":   {apitest.KeystoneLogin(annByName, "ann's own", `{"project":{"name":"web","domain":{"name":"Elsewhere"}}}`), 401, ""},
		"another's project":   {apitest.KeystoneLogin(annByName, "ann's own", `{"project":{"name":"oneadmin","domain":{"name":"Default"}}}`), 401, ""},
		"no such project":     {apitest.KeystoneLogin(annByName, "ann's own", `{"project":{"name":"none","domain":{"name":"Default"}}}`), 401, ""},
		"no such id":          {apitest.KeystoneLogin(annByName, "ann's own", `{"project":{"id":"web"}}`), 401, ""},
		"domain scope":        {apitest.KeystoneLogin(annByName, "ann's own", `{"domain":{"id":"default"}}`), 400, ""},
		"unknown method":      {`{"auth":{"identity":{"methods":["kerberos"]}}}`, 400, ""},
		"two methods":         {`{"auth":{"identity":{"methods":["password","token"]}}}`, 400, ""},
		"nobody":              {`{"auth":{"identity":{"methods":["password"],"password":{"user":{}}}}}`, 400, ""},
		"nothing":             {`{}`, 400, ""},
		"no JSON":             {`x`, 400, ""},
		"a list for a domain": {apitest.KeystoneLogin(annByName, "ann's own", `{"project":[]}`), 400, ""},
	} {
		r := s.send("POST", "/v3/auth/tokens", tt.body)
		token := r.Header.Get("X-Subject-Token")
		if r.Status != tt.status || (token != "") != (tt.status == 201) {
			t.Errorf("%s: %d %s", what, r.Status, r.Text)
			continue
		}
		if tt.status == 201 {
			if r.Str("token", "project", "name") != tt.project || r.Str("token", "user", "id") != fmt.Sprint(s.ann.ID) || r.Str("token", "roles", 0, "name") != "monasca-user" ||
				r.Str("token", "catalog", 0, "type") != "monitoring" || r.Str("token", "catalog", 0, "endpoints", 0, "url") != s.root+"/monasca/v2.0" {
				t.Errorf("%s: %s", what, r.Text)
			}
			if expires, err := time.Parse(time.RFC3339, r.Str("token", "expires_at")); err != nil || time.Until(expires) < 50*time.Minute {
				t.Errorf("%s: expires at %s", what, r.Str("token", "expires_at"))
			}
		} else if r.Str("error", "code") != fmt.Sprint(tt.status) || r.Str("error", "title") != http.StatusText(tt.status) {
			t.Errorf("%s: %s", what, r.Text)
		}
	}
}

// Guesses are slowed down here as everywhere.
func TestThrottle(t *testing.T) {
	s := newStage(t)
	for range 20 {
		r := s.send("POST", "/v3/auth/tokens", apitest.KeystoneLogin(annByName, "guess", inWeb))
		if r.Status == 429 {
			if r.Header.Get("Retry-After") == "" || s.send("POST", "/v2.0/tokens", `{"auth":{"passwordCredentials":{"username":"ann","password":"guess"}}}`).Status != 429 {
				t.Error("no time to wait, or another way in")
			}
			return
		}
	}
	t.Error("20 guesses without a wait")
}

func TestTokens(t *testing.T) {
	s := newStage(t)
	first := s.send("POST", "/v3/auth/tokens", apitest.KeystoneLogin(annByName, "ann's own", inWeb)).Header.Get("X-Subject-Token")
	admin := s.send("POST", "/v3/auth/tokens", apitest.KeystoneLogin(`"name":"oneadmin"`, apitest.Password, "")).Header.Get("X-Subject-Token")
	s.User("eve", "others")
	eve := s.send("POST", "/v3/auth/tokens", apitest.KeystoneLogin(`"name":"eve"`, "eve-password", "")).Header.Get("X-Subject-Token")

	r := s.send("POST", "/v3/auth/tokens", tokenOf(first, `{"project":{"name":"users","domain":{"name":"Default"}}}`))
	second := r.Header.Get("X-Subject-Token")
	if r.Status != 201 || r.Str("token", "project", "name") != "users" {
		t.Errorf("rescoped: %d %s", r.Status, r.Text)
	}
	if r := s.send("POST", "/v3/auth/tokens", tokenOf(first, `{"project":{"name":"others","domain":{"name":"Default"}}}`)); r.Status != 401 {
		t.Errorf("rescoped into another's project: %d", r.Status)
	}
	for _, tt := range []struct {
		who, method string
		status      int
	}{{first, "GET", 200}, {first, "HEAD", 200}, {second, "GET", 200}, {admin, "GET", 200}, {eve, "GET", 404}, {"nonsense", "GET", 401}, {"", "GET", 401}, {eve, "DELETE", 404}} {
		r := s.send(tt.method, "/v3/auth/tokens", "", "X-Auth-Token", tt.who, "X-Subject-Token", first)
		if r.Status != tt.status || tt.status == 200 && r.Header.Get("X-Subject-Token") != first {
			t.Errorf("%s by %.12s…: %d %s, want %d", tt.method, tt.who, r.Status, r.Text, tt.status)
		}
	}
	if r := s.send("GET", "/v3/auth/tokens", "", "X-Auth-Token", first, "X-Subject-Token", "nonsense"); r.Status != 404 {
		t.Errorf("an unknown token: %d", r.Status)
	}
	if r := s.send("GET", "/v3/auth/tokens", "", "X-Auth-Token", first); r.Status != 400 {
		t.Errorf("no subject: %d", r.Status)
	}
	if r := s.send("GET", "/v3/auth/projects", "", "X-Auth-Token", first); r.Str("projects", 0, "name") != "web" {
		t.Error(r.Text)
	}
	if r := s.send("GET", "/v3/auth/catalog", "", "X-Auth-Token", first); r.Str("catalog", 0, "type") != "monitoring" {
		t.Error(r.Text)
	}
	if r := s.send("DELETE", "/v3/auth/tokens", "", "X-Auth-Token", first, "X-Subject-Token", first); r.Status != 204 {
		t.Errorf("ended: %d %s", r.Status, r.Text)
	}
	if r := s.send("GET", "/v3/auth/tokens", "", "X-Auth-Token", admin, "X-Subject-Token", first); r.Status != 404 {
		t.Errorf("after its end: %d", r.Status)
	}
	if r := s.send("GET", "/v3/auth/tokens", "", "X-Auth-Token", admin, "X-Subject-Token", second); r.Status != 200 {
		t.Errorf("another ended with it: %d", r.Status)
	}
}

// A stored token logs in as a password does, and its session has its roles.
func TestStoredTokens(t *testing.T) {
	s := newStage(t)
	for scopes, role := range map[identity.Scopes]string{identity.ScopeRead: "monasca-read-only-user", identity.ScopePush: "monasca-agent", identity.ScopeOperate: "monasca-user"} {
		text, stored, err := s.Directory.AddToken(t.Context(), identity.NewToken{User: s.ann.ID, Name: "t", Scopes: scopes, Group: &s.web.ID})
		s.check(err)
		for _, body := range []string{apitest.KeystoneLogin(annByName, text, inWeb), tokenOf(text, inWeb)} {
			r := s.send("POST", "/v3/auth/tokens", body)
			if r.Status != 201 || r.Str("token", "roles", 0, "name") != role {
				t.Fatalf("%v: %d %s", scopes, r.Status, r.Text)
			}
			if other := s.send("POST", "/v3/auth/tokens", tokenOf(r.Header.Get("X-Subject-Token"), `{"project":{"name":"users","domain":{"name":"Default"}}}`)); other.Status != 401 {
				t.Errorf("a token of one group leads to another: %d", other.Status)
			}
			if scopes == identity.ScopeOperate {
				s.check(s.Directory.RemoveToken(t.Context(), stored.ID))
				if r := s.send("GET", "/v3/auth/catalog", "", "X-Auth-Token", r.Header.Get("X-Subject-Token")); r.Status != 401 {
					t.Errorf("the session outlives its token: %d", r.Status)
				}
				break
			}
		}
	}
	// The administrator's role is in the administrators' project alone.
	for project, want := range map[string]string{"oneadmin": "admin", "web": "monasca-user"} {
		r := s.send("POST", "/v3/auth/tokens", apitest.KeystoneLogin(`"name":"oneadmin"`, apitest.Password, fmt.Sprintf(`{"project":{"name":%q,"domain":{"name":"Default"}}}`, project)))
		if r.Str("token", "roles", 0, "name") != want {
			t.Errorf("oneadmin in %s: %s", project, r.Text)
		}
	}
}

func TestV2(t *testing.T) {
	s := newStage(t)
	r := s.send("POST", "/v2.0/tokens", `{"auth":{"passwordCredentials":{"username":"ann","password":"ann's own"},"tenantName":"web"}}`)
	token := r.Str("access", "token", "id")
	if r.Status != 200 || r.Str("access", "token", "tenant", "name") != "web" || r.Str("access", "user", "username") != "ann" || r.Str("access", "user", "roles", 0, "name") != "monasca-user" ||
		r.Str("access", "serviceCatalog", 0, "endpoints", 0, "publicURL") != s.root+"/monasca/v2.0" {
		t.Fatal(r.Text)
	}
	r = s.send("POST", "/v2.0/tokens", fmt.Sprintf(`{"auth":{"token":{"id":%q},"tenantId":"1"}}`, token))
	if r.Status != 200 || r.Str("access", "token", "tenant", "name") != "users" {
		t.Error(r.Text)
	}
	for _, body := range []string{`{"auth":{"passwordCredentials":{"username":"ann","password":"no"},"tenantName":"web"}}`, `{"auth":{"passwordCredentials":{"userId":"77","password":"no"}}}`,
		`{"auth":{"passwordCredentials":{"username":"ann","password":"ann's own"},"tenantName":"oneadmin"}}`, `{"auth":{"token":{"id":"x"}}}`} {
		if r := s.send("POST", "/v2.0/tokens", body); r.Status != 401 {
			t.Errorf("%s: %d", body, r.Status)
		}
	}
	if r := s.send("POST", "/v2.0/tokens", `{"auth":{}}`); r.Status != 400 {
		t.Error(r.Status)
	}
	if r := s.send("GET", "/v2.0/tenants", "", "X-Auth-Token", token); r.Str("tenants", 0, "name") != "web" {
		t.Error(r.Text)
	}
	if r := s.send("GET", "/v2.0/tokens/"+token, "", "X-Auth-Token", token); r.Status != 200 || r.Str("access", "token", "id") != token {
		t.Error(r.Text)
	}
	if r := s.send("DELETE", "/v2.0/tokens/"+token, "", "X-Auth-Token", token); r.Status != 204 {
		t.Error(r.Status)
	}
	if r := s.send("GET", "/v2.0/tenants", "", "X-Auth-Token", token); r.Status != 401 {
		t.Error(r.Status)
	}
}

func TestVersions(t *testing.T) {
	s := newStage(t)
	r := s.send("GET", "/", "")
	if r.Status != 300 || r.Str("versions", "values", 0, "links", 0, "href") != s.url+"/v3/" || r.Str("versions", "values", 1, "id") != "v2.0" || r.Str("versions", "values", 1, "status") != "deprecated" {
		t.Error(r.Status, r.Text)
	}
	for path, want := range map[string]string{"/v3": "v3.14", "/v3/": "v3.14", "/v2.0": "v2.0"} {
		if r := s.send("GET", path, ""); r.Status != 200 || r.Str("version", "id") != want {
			t.Errorf("%s: %d %s", path, r.Status, r.Text)
		}
	}
	if r := s.send("GET", "/v3/users", "", "X-Auth-Token", "x"); r.Status != 401 {
		t.Error(r.Status)
	}
}

// As the Hurtle texts do it: a token by curl, as keystone token-get got it, and then Monasca with it.
func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed; scripts/setup does it")
	}
	s := newStage(t)
	script := `set -e
KID=$(curl -sf -H 'Content-Type: application/json' -d '{"auth":{"tenantName":"web","passwordCredentials":{"username":"ann","password":"ann'"'"'s own"}}}' "$OS_AUTH_URL/tokens" |
	sed 's/.*"id":"\(trs_[^"]*\)".*/\1/')
NOW=$(date +%s)000
M="curl -sf -H X-Auth-Token:$KID -H Content-Type:application/json"
$M -d '{"name":"alarm_so","expression":"(avg(cpu.user_perc{hostname=rcb_serv_1}) > 200)"}' "$MONASCA/alarm-definitions" >/dev/null
$M -d '{"name":"cpu.user_perc","dimensions":{"hostname":"rcb_serv_1"},"timestamp":'$NOW',"value":12}' "$MONASCA/metrics"
$M "$MONASCA/alarms?metric_dimensions=hostname:rcb_serv_1"`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Env = append(cmd.Environ(), "OS_AUTH_URL="+s.url+"/v2.0", "MONASCA="+s.root+"/monasca/v2.0", "no_proxy=127.0.0.1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"name":"alarm_so"`) || !strings.Contains(string(out), `"hostname":"rcb_serv_1"`) {
		t.Errorf("%v\n%s", err, out)
	}
}
