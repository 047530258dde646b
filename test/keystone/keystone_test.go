package keystone

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
	"github.com/troupe-dev/troupe/internal/agent"
)

// remember is how long Troupe takes Keystone's word in these tests.
const remember = 3 * time.Second

// slack is how late a loaded machine may be.
const slack = 5 * time.Second

// A stage is a cloud whose Keystone has a domain beside the first, with a project web and a user ann in each, and a Troupe
// that takes its tokens.
type stage struct {
	*server
	t       *testing.T
	secrets []string // that no log may hold
	log     output

	service            string // the user who validates
	web, otherWeb, ops string // projects; the second is the other domain's
	ann, otherAnn      string
	roles              map[string]string

	options app.Options
	app     *apptest.Server
}

// An output is a buffer for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

const (
	ownPassword     = "the first user's own"
	servicePassword = "monasca's very own" // passwordOf: a change would spoil the tokens of that second
)

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{server: startServer(t), t: t, roles: make(map[string]string)}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s.secrets = []string{s.admin, ownPassword, servicePassword}
	admin := s.root()
	for _, role := range []string{"monasca-user", "monasca-agent", "monasca-read-only-user", "service", "other"} {
		s.roles[role] = s.make("role", admin, object{"name": role})
	}
	other := s.make("domain", admin, object{"name": "other"})
	project := func(name, domain string) string {
		return s.make("project", admin, object{"name": name, "domain_id": domain})
	}
	s.web, s.otherWeb, s.ops = project("web", "default"), project("web", other), project("ops", "default")
	s.ann, s.otherAnn = s.user("ann", "default", s.web, "monasca-user"), s.user("ann", other, s.otherWeb, "monasca-user")
	s.grant(s.ann, s.ops, "monasca-user")
	services := project("service", "default")
	s.service = s.user("monasca", "default", services, "service")

	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		must(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	s.options = app.Options{DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", AdminPasswordFile: file("password", ownPassword), Accounts: []app.Account{{Driver: "sim"}},
		Keystone: app.Keystone{Validate: s.url() + "/v3", Remember: remember, Projects: []string{s.ops + "=research"},
			Service: file("openrc", "export OS_USERNAME=monasca\nexport OS_PASSWORD=\""+servicePassword+"\"\nexport OS_PROJECT_NAME=service\nexport OS_USER_DOMAIN_NAME=Default\nexport OS_PROJECT_DOMAIN_ID=default\n")},
		Log: slog.New(slog.NewJSONHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	s.serve()
	s.own(201, http.MethodPost, "/v1/groups", `{"name":"research"}`)
	entry := s.make("service", admin, object{"name": "monasca", "type": "monitoring"})
	s.make("endpoint", admin, object{"service_id": entry, "interface": "public", "region_id": "RegionOne", "url": s.monasca()})
	return s
}

// serve runs a whole Troupe in this process.
func (s *stage) serve() {
	s.t.Helper()
	s.app = apptest.Start(s.t, s.options)
}

func (s *stage) monasca() string { return s.app.Addrs()["main"] + "/monasca/v2.0" }

// user makes a user with a role in a project; the password follows from the name.
func (s *stage) user(name, domain, project, role string) string {
	s.t.Helper()
	id := s.make("user", s.root(), object{"name": name, "domain_id": domain, "password": passwordOf(name)})
	s.secrets = append(s.secrets, passwordOf(name))
	s.grant(id, project, role)
	return id
}

func passwordOf(user string) string { return user + "'s very own" }

func (s *stage) grant(user, project, role string) {
	s.t.Helper()
	s.call(http.MethodPut, "/projects/"+project+"/users/"+user+"/roles/"+s.roles[role], s.root(), nil)
}

// token logs ann or another user in.
func (s *stage) token(user, name, project string) string {
	s.t.Helper()
	token := s.logIn(user, passwordOf(name), project)
	s.secrets = append(s.secrets, token)
	return token
}

// send sends a request to Troupe; headers are names and values in turn.
func (s *stage) send(method, url, body string, headers ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	must(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if headers == nil {
		req.SetBasicAuth("oneadmin", ownPassword)
	}
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(s.t, err)
	return resp.StatusCode, string(text)
}

// own sends a request of Troupe's own administrator.
func (s *stage) own(want int, method, path, body string) string {
	s.t.Helper()
	status, text := s.send(method, s.app.Addrs()["main"]+path, body)
	if status != want {
		s.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return text
}

// push sends a sample with a token to Monasca, and names lists the metrics that a token sees.
func (s *stage) push(token, name string) int {
	s.t.Helper()
	status, _ := s.send(http.MethodPost, s.monasca()+"/metrics", fmt.Sprintf(`{"name":%q,"value":1,"timestamp":%d}`, name, time.Now().UnixMilli()), "X-Auth-Token", token)
	return status
}

func (s *stage) names(token string) string {
	s.t.Helper()
	status, text := s.send(http.MethodGet, s.monasca()+"/metrics/names", "", "X-Auth-Token", token)
	if status != http.StatusOK {
		s.t.Fatalf("the names of metrics: %d %s", status, text)
	}
	return text
}

// until asks Monasca with a token until the answer has a status, and returns how long that took and what it said.
func (s *stage) until(token string, want int) (time.Duration, string) {
	s.t.Helper()
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		status, text := s.send(http.MethodGet, s.monasca()+"/alarms", "", "X-Auth-Token", token)
		if status == want {
			return time.Since(began), text
		}
		if time.Since(began) > 30*time.Second {
			s.t.Fatalf("after half a minute still %d %s, not %d", status, text, want)
		}
		<-tick.C
	}
}

// A real Keystone's tokens are good for Monasca here, and for nothing else.
func TestKeystone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, part := range []struct {
		name string
		test func()
	}{{"projects", s.projects}, {"roles", s.roleTable}, {"elsewhere", s.elsewhere}, {"administrator", s.administrator}, {"clients", s.clients}, {"agent", s.agent},
		{"revoked", s.revoked}, {"expired", s.expired}, {"service", s.serviceToken}, {"outage", s.outage}, {"issuer", s.issuer}} {
		t.Run(part.name, func(t *testing.T) {
			s.t, s.server.t = t, t
			part.test()
		})
		s.t, s.server.t = t, t
	}
	s.app.Close()
	log := s.log.String()
	if !strings.Contains(log, "a token cannot be validated") {
		t.Error("the log does not tell of the outage")
	}
	holds(t, "the log", log, s.secrets)
	must(t, filepath.WalkDir(s.options.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		holds(t, path, string(text), s.secrets)
		return err
	}))
}

// projects shows that projects and users are told apart by their ids, whatever their names.
func (s *stage) projects() {
	s.t.Helper()
	s.own(201, http.MethodPost, "/v1/groups", `{"name":"web"}`)
	s.own(201, http.MethodPost, "/v1/users", `{"name":"ann","password":"another ann's","group":"web"}`)
	here, there := s.token(s.ann, "ann", s.web), s.token(s.otherAnn, "ann", s.otherWeb)
	for token, name := range map[string]string{here: "of.default", there: "of.other"} {
		if status := s.push(token, name); status != http.StatusNoContent {
			s.t.Fatalf("a sample with Keystone's token: %d", status)
		}
	}
	if text := s.names(here); !strings.Contains(text, "of.default") || strings.Contains(text, "of.other") {
		s.t.Errorf("the project of the default domain has %s", text)
	}
	if text := s.names(there); !strings.Contains(text, "of.other") || strings.Contains(text, "of.default") {
		s.t.Errorf("the project of the other domain has %s", text)
	}
	if status, text := s.send(http.MethodGet, s.monasca()+"/metrics/names", "", "Authorization", basic("ann", "another ann's")); status != 200 || strings.Contains(text, "of.") {
		s.t.Errorf("Troupe's own user and project of these names: %d %s", status, text)
	}
	admin := s.root()
	s.call(http.MethodPatch, "/projects/"+s.web, admin, object{"project": object{"name": "shop"}})
	again := s.make("project", admin, object{"name": "web", "domain_id": "default"})
	s.grant(s.ann, again, "monasca-user")
	if text := s.names(s.token(s.ann, "ann", s.web)); !strings.Contains(text, "of.default") {
		s.t.Errorf("renamed, the project has %s", text)
	}
	if text := s.names(s.token(s.ann, "ann", again)); strings.Contains(text, "of.") {
		s.t.Errorf("a new project of an old name has %s", text)
	}
	if status := s.push(s.token(s.ann, "ann", s.ops), "of.ops"); status != http.StatusNoContent {
		s.t.Errorf("a sample for a project with a group of Troupe's: %d", status)
	}
	s.own(201, http.MethodPost, "/v1/users", `{"name":"rob","password":"rob's password","group":"research"}`)
	if status, text := s.send(http.MethodGet, s.monasca()+"/metrics/names", "", "Authorization", basic("rob", "rob's password")); status != 200 || !strings.Contains(text, "of.ops") {
		s.t.Errorf("Troupe's own user in the group that stands for ops: %d %s", status, text)
	}
}

// roleTable shows what each role may.
func (s *stage) roleTable() {
	s.t.Helper()
	_, list := s.call(http.MethodGet, "/roles", s.root(), nil)
	for _, r := range list["roles"].([]any) {
		s.roles[r.(object)["name"].(string)] = r.(object)["id"].(string)
	}
	for role, want := range map[string][3]int{ // to read, to send metrics, to define an alarm
		"monasca-user":           {200, 204, 201},
		"member":                 {200, 204, 201},
		"monasca-read-only-user": {200, 401, 401},
		"reader":                 {200, 401, 401},
		"monasca-agent":          {401, 204, 401},
		"other":                  {401, 401, 401},
	} {
		token := s.token(s.user(role, "default", s.web, role), role, s.web)
		read, _ := s.send(http.MethodGet, s.monasca()+"/alarms", "", "X-Auth-Token", token)
		define, _ := s.send(http.MethodPost, s.monasca()+"/alarm-definitions", fmt.Sprintf(`{"name":%q,"expression":"m > 1"}`, role), "X-Auth-Token", token)
		if got := [3]int{read, s.push(token, "m"), define}; got != want {
			s.t.Errorf("role %s: %v, want %v", role, got, want)
		}
	}
}

// elsewhere shows that no other face takes the tokens.
func (s *stage) elsewhere() {
	s.t.Helper()
	token, main := s.token(s.ann, "ann", s.web), s.app.Addrs()["main"]
	for _, path := range []string{"/v1/services", "/v1/users", "/v1/metrics", "/oneflow/service", "/onegate/vm", "/keystone/v3/auth/projects", "/metrics"} {
		for _, header := range [][]string{{"X-Auth-Token", token}, {"Authorization", "Bearer " + token}, {"Authorization", basic("ann", token)}} {
			if status, text := s.send(http.MethodGet, main+path, "", header...); status != http.StatusUnauthorized {
				s.t.Errorf("%s takes Keystone's token in %s: %d %s", path, header[0], status, text)
			}
		}
	}
	if status, text := s.send(http.MethodPost, main+"/keystone/v3/auth/tokens", fmt.Sprintf(`{"auth":{"identity":{"methods":["token"],"token":{"id":%q}}}}`, token), "X-Auth-Token", ""); status != http.StatusUnauthorized {
		s.t.Errorf("Troupe's own Keystone gives a token for it: %d %s", status, text)
	}
}

// administrator shows that who administers Keystone is nobody in particular here.
func (s *stage) administrator() {
	s.t.Helper()
	admin := s.root()
	s.secrets = append(s.secrets, admin)
	if status := s.push(admin, "of.admin"); status != http.StatusNoContent {
		s.t.Errorf("a sample of Keystone's administrator: %d", status)
	}
	for _, id := range []string{"0", "1", "2", "100", "101", "102", "103", s.web} {
		status, text := s.send(http.MethodGet, s.monasca()+"/metrics/names?tenant_id="+id, "", "X-Auth-Token", admin)
		if status == 200 && (!strings.Contains(text, "of.admin") || strings.Contains(text, "of.default") || strings.Contains(text, "of.ops")) {
			s.t.Errorf("for tenant %s Keystone's administrator sees %s", id, text)
		}
	}
	if text := s.own(200, http.MethodGet, "/v1/users", ""); strings.Count(text, `"name":"guest-`) < 5 || strings.Contains(text, `"name":"admin"`) {
		s.t.Errorf("Troupe's users are %s", text)
	}
	if status, text := s.send(http.MethodGet, s.app.Addrs()["main"]+"/v1/users", "", "Authorization", basic("admin", s.admin)); status != http.StatusUnauthorized {
		s.t.Errorf("Keystone's administrator asks Troupe for its users: %d %s", status, text)
	}
}

// clients shows Debian's client, which asks Keystone where Monasca is.
func (s *stage) clients() {
	s.t.Helper()
	program, err := exec.LookPath("monasca")
	if err != nil {
		s.t.Skip("needs Debian's python3-monascaclient, which scripts/setup installs")
	}
	for _, c := range []struct{ args, want string }{
		{"metric-create from.client 7 --dimensions hostname=web01", "Successfully created metric"},
		{"metric-list --name from.client", "web01"},
	} {
		cmd := exec.CommandContext(s.t.Context(), program, strings.Fields(c.args)...)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + s.dir, "LANG=C.UTF-8", "OS_AUTH_URL=" + s.url() + "/v3", "OS_IDENTITY_API_VERSION=3", "OS_USERNAME=ann", "OS_PASSWORD=" + passwordOf("ann"),
			"OS_PROJECT_NAME=web", "OS_USER_DOMAIN_NAME=other", "OS_PROJECT_DOMAIN_NAME=other", "OS_REGION_NAME=RegionOne"}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), c.want) {
			s.t.Errorf("monasca %s: %v\n%s", c.args, err, out)
		}
	}
	if text := s.names(s.token(s.otherAnn, "ann", s.otherWeb)); !strings.Contains(text, "from.client") {
		s.t.Errorf("the client's metric is not among %s", text)
	}
}

// agent shows Troupe's agent, which may send metrics and nothing else.
func (s *stage) agent() {
	s.t.Helper()
	s.user("sender", "default", s.web, "monasca-agent")
	file := filepath.Join(s.t.TempDir(), "secret")
	must(s.t, os.WriteFile(file, []byte(passwordOf("sender")), 0o600))
	a, err := agent.New(&agent.Config{Interval: time.Second, Hostname: "web09", Collect: []string{"memory"}, Monasca: &agent.MonascaTarget{KeystoneURL: s.url() + "/v3",
		Username: "sender", PasswordFile: file, UserDomainName: "Default", ProjectID: s.web, RegionName: "RegionOne"}}, agent.Options{Log: s.options.Log})
	must(s.t, err)
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	token := s.token(s.ann, "ann", s.web)
	for began := time.Now(); !strings.Contains(s.names(token), "mem.free_mb"); <-time.After(20 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			s.t.Fatal("the agent's samples do not come")
		}
	}
	cancel()
	must(s.t, <-done)
}

// revoked shows that tokens that Keystone revokes are good no longer than its word is taken.
func (s *stage) revoked() {
	s.t.Helper()
	revoked := s.token(s.ann, "ann", s.web)
	s.until(revoked, 200)
	s.call(http.MethodDelete, "/auth/tokens", revoked, nil)
	if took, text := s.until(revoked, 401); took > remember+slack || strings.Contains(text, revoked) {
		s.t.Errorf("a revoked token was good for %v, then %s", took, text)
	}
	for _, nonsense := range []string{"nonsense", "gAAAAAB" + strings.Repeat("x", 180), revoked[:len(revoked)-4] + "AAAA"} {
		if status, text := s.send(http.MethodGet, s.monasca()+"/alarms", "", "X-Auth-Token", nonsense); status != http.StatusUnauthorized {
			s.t.Errorf("token %.20s…: %d %s", nonsense, status, text)
		}
	}
	// Who is disabled has no good tokens, either.
	id := s.user("leaver", "default", s.web, "monasca-user")
	token := s.token(id, "leaver", s.web)
	s.until(token, 200)
	s.call(http.MethodPatch, "/users/"+id, s.root(), object{"user": object{"enabled": false}})
	if took, _ := s.until(token, 401); took > remember+slack {
		s.t.Errorf("a disabled user's token was good for %v", took)
	}
}

// expired shows that a token is refused when its time is over. Those of an application credential end with it.
func (s *stage) expired() {
	s.t.Helper()
	began := time.Now()
	ann := s.token(s.ann, "ann", s.web)
	life := 5*time.Second + 5*time.Since(began) // so that it is good for as long as the machine takes to use it
	_, made := s.call(http.MethodPost, "/users/"+s.ann+"/application_credentials", ann, object{"application_credential": object{"name": "short",
		"expires_at": time.Now().Add(life).UTC().Format("2006-01-02T15:04:05.000000")}})
	c := made["application_credential"].(object)
	expires, err := time.Parse("2006-01-02T15:04:05.000000", c["expires_at"].(string))
	must(s.t, err)
	short := s.authenticate(object{"methods": []string{"application_credential"}, "application_credential": object{"id": c["id"], "secret": c["secret"]}}, nil)
	s.secrets = append(s.secrets, short, c["secret"].(string))
	s.until(short, 200)
	s.until(short, 401)
	if late := time.Since(expires); late < -time.Second || late > slack {
		s.t.Errorf("a token was refused %v after its end", late)
	}
}

// serviceToken shows that a service user whose tokens are revoked gets another.
func (s *stage) serviceToken() {
	s.t.Helper()
	setPassword := func(password string) {
		s.call(http.MethodPatch, "/users/"+s.service, s.root(), object{"user": object{"password": password}})
	}
	setPassword(servicePassword)
	s.until(s.token(s.ann, "ann", s.web), 200)
	setPassword("changed behind Troupe's back")
	if status, text := s.send(http.MethodGet, s.monasca()+"/alarms", "", "X-Auth-Token", s.token(s.ann, "ann", s.web)); status != 503 || !strings.Contains(text, "Keystone cannot be asked") {
		s.t.Errorf("without a service user: %d %s", status, text)
	}
	if !strings.Contains(s.log.String(), "as the service user: status 401") {
		s.t.Error("the log does not say that the service user cannot log in")
	}
	setPassword(servicePassword)
	s.until(s.token(s.ann, "ann", s.web), 200)
}

// outage shows what goes on while there is no Keystone.
func (s *stage) outage() {
	s.t.Helper()
	known, unknown := s.token(s.ann, "ann", s.web), s.token(s.ann, "ann", s.web)
	asked := time.Now()
	s.until(known, 200)
	s.stop()
	if status, text := s.send(http.MethodGet, s.monasca()+"/alarms", "", "X-Auth-Token", known); status != 200 && time.Since(asked) < remember {
		s.t.Errorf("a token that is known, without Keystone: %d %s", status, text)
	}
	began := time.Now()
	if status, text := s.send(http.MethodGet, s.monasca()+"/alarms", "", "X-Auth-Token", unknown); status != 503 || !strings.Contains(text, "Keystone cannot be asked") || time.Since(began) > slack {
		s.t.Errorf("a new token, without Keystone, after %v: %d %s", time.Since(began), status, text)
	}
	if took, text := s.until(known, 503); took > remember+slack || !strings.Contains(text, "Keystone cannot be asked") {
		s.t.Errorf("without Keystone a token was good for %v, then %s", took, text)
	}
	s.own(200, http.MethodGet, "/monasca/v2.0/alarms", "")
	s.own(200, http.MethodGet, "/monasca/healthcheck", "")
	s.start()
	for _, token := range []string{known, unknown} {
		s.until(token, 200)
	}
}

// issuer shows that the same ids of another Keystone are somebody else's, and that a restart forgets nobody. The other Keystone is
// the same one under another name; an application credential validates there.
func (s *stage) issuer() {
	s.t.Helper()
	services := object{"name": "service", "domain": object{"id": "default"}}
	token := s.authenticate(object{"methods": []string{"password"}, "password": object{"user": object{"id": s.service, "password": servicePassword}}}, object{"project": services})
	_, made := s.call(http.MethodPost, "/users/"+s.service+"/application_credentials", token, object{"application_credential": object{"name": "validate"}})
	c := made["application_credential"].(object)
	file := filepath.Join(s.t.TempDir(), "openrc")
	must(s.t, os.WriteFile(file, fmt.Appendf(nil, "export OS_AUTH_TYPE=v3applicationcredential\nexport OS_APPLICATION_CREDENTIAL_ID=%s\nexport OS_APPLICATION_CREDENTIAL_SECRET=%s\n", c["id"], c["secret"]), 0o600))
	s.secrets = append(s.secrets, c["secret"].(string), token)
	first := s.options.Keystone
	s.options.Keystone.Validate, s.options.Keystone.Service = "http://localhost:"+s.port, file
	ann := s.token(s.ann, "ann", s.web)
	for _, k := range []struct {
		app.Keystone
		seen bool
	}{{s.options.Keystone, false}, {first, true}} {
		s.app.Close()
		s.options.Keystone = k.Keystone
		s.serve()
		if text := s.names(ann); strings.Contains(text, "of.default") != k.seen {
			s.t.Errorf("by %s ann sees %s", k.Validate, text)
		}
	}
}

func basic(user, password string) string {
	r := http.Request{Header: make(http.Header)}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}
