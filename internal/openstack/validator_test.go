package openstack_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/keystone"
	"github.com/troupe-dev/troupe/internal/api/monasca"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/openstack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a Keystone (another installation's face, behind a proxy that counts what it is asked), and an installation whose
// Monasca takes its tokens.
type stage struct {
	t           testing.TB
	there, here *apitest.Stage
	keystone    string
	monasca     string
	asked       atomic.Int64
	down        atomic.Bool
	guests      *openstack.Guests
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{t: t, there: apitest.New(t), here: apitest.New(t)}
	at, err := url.Parse(s.there.Mount(keystone.New(keystone.Options{Control: s.there.Control, Monasca: func(*http.Request) string { return "http://monasca.test/v2.0" }}).Face("/keystone")))
	s.check(err)
	proxy := httputil.NewSingleHostReverseProxy(at)
	transport := &http.Transport{}
	proxy.Transport = transport
	// The tokens of a Keystone begin in another way than Troupe's.
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("X-Subject-Token", strings.Replace(r.Header.Get("X-Subject-Token"), "trs_", "gAAAA_", 1))
		return nil
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			s.asked.Add(1)
		}
		if s.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		for _, name := range []string{"X-Auth-Token", "X-Subject-Token"} {
			r.Header.Set(name, strings.Replace(r.Header.Get(name), "gAAAA_", "trs_", 1))
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { front.Close(); transport.CloseIdleConnections(); http.DefaultClient.CloseIdleConnections() })
	s.keystone = front.URL + "/keystone"
	file := filepath.Join(t.TempDir(), "openrc")
	s.check(os.WriteFile(file, []byte("# of Monasca\nexport OS_USERNAME="+apitest.Admin+"\nexport OS_PASSWORD='"+apitest.Password+"'\nOS_PROJECT_NAME=oneadmin\n"), 0o600))
	service, err := openstack.ReadService(file)
	s.check(err)
	s.guests = &openstack.Guests{Validator: openstack.NewValidator(s.keystone+"/v3/", service, openstack.Remember), Directory: s.here.Directory, Projects: map[string]string{}}
	s.monasca = s.here.Mount(monasca.New(monasca.Options{Control: s.here.Control, Guests: s.guests.Authenticate}).Face("/monasca")) + "/monasca/v2.0"
	return s
}

func (s *stage) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// token logs a user of there in.
func (s *stage) token(user, project string) string {
	s.t.Helper()
	password := user + "-password"
	if user == apitest.Admin {
		password = apitest.Password
	}
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"password":%q}}},"scope":{"project":{"name":%q,"domain":{"id":"default"}}}}}`, user, password, project)
	resp, err := http.Post(s.keystone+"/v3/auth/tokens", "application/json", strings.NewReader(body))
	s.check(err)
	defer resp.Body.Close()
	token := resp.Header.Get("X-Subject-Token")
	if token == "" {
		s.t.Fatalf("no token for %s: %d", user, resp.StatusCode)
	}
	return token
}

func (s *stage) send(method, path, token, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.monasca+path, strings.NewReader(body))
	s.check(err)
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	s.check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	s.check(err)
	return resp.StatusCode, string(text)
}

func (s *stage) guest(token string) *identity.Caller {
	s.t.Helper()
	who, err := s.guests.Authenticate(s.t.Context(), token, netip.Addr{})
	s.check(err)
	return who
}

func TestGuests(t *testing.T) {
	s := newStage(t)
	s.there.User("ann", "web")
	s.there.User("oneway", "users")
	// Names that mean something here must mean nothing when a guest bears them.
	s.here.User("ann", "web")
	token := s.token("ann", "web")
	who := s.guest(token)
	own, err := s.here.Directory.UserNamed("ann")
	s.check(err)
	web, err := s.here.Directory.GroupNamed("web")
	s.check(err)
	if who.User == own.ID || who.Group == web.ID || who.Admin || who.Host || who.Administers() || !who.Can(identity.ScopeOperate) || who.Can(identity.ScopeAdmin) {
		t.Errorf("the guest is %+v", who)
	}
	if again := s.guest(s.token("ann", "web")); again.User != who.User || again.Group != who.Group {
		t.Errorf("another token of the same user is %+v", again)
	}
	// An administrator there, in the administrators' project there, is nobody in particular here.
	if root := s.guest(s.token(apitest.Admin, "oneadmin")); root.User == identity.AdminUser || root.Group == identity.AdminGroup || root.Admin || root.Administers() {
		t.Errorf("their administrator is %+v", root)
	}
	if other := s.guest(s.token("oneway", "users")); other.User == who.User || other.Group == who.Group {
		t.Errorf("another user is %+v", other)
	}
	if _, _, err := s.here.Control.AddToken(t.Context(), who, identity.NewToken{User: who.User, Scopes: identity.ScopeRead}); !errors.Is(err, identity.ErrDenied) {
		t.Errorf("a guest makes a token: %v", err)
	}
	if _, err := s.here.Directory.ChangeUser(t.Context(), who.User, func(u *identity.User) error { u.Name = "other"; return nil }); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a guest's user was renamed: %v", err)
	}
	_, err = s.here.Directory.ChangeUser(t.Context(), who.User, func(u *identity.User) error { u.Disabled = true; return nil })
	s.check(err)
	if _, err := s.guests.Authenticate(t.Context(), token, netip.Addr{}); !errors.Is(err, identity.ErrBadCredentials) {
		t.Errorf("a disabled guest: %v", err)
	}
}

// Projects that are mapped work in the group that stands for them; the administrators' group stands for none.
func TestMappedProjects(t *testing.T) {
	s := newStage(t)
	who := s.there.User("ann", "web")
	s.here.User("bob", "research")
	id := fmt.Sprint(who.Group)
	s.guests.Projects[id] = "research"
	if got := s.guest(s.token("ann", "web")); s.here.Directory.GroupName(got.Group) != "research" || len(got.Groups) != 1 {
		t.Errorf("%+v", got)
	}
	for _, wrong := range []string{"oneadmin", "nowhere"} {
		s.guests.Projects[id] = wrong
		if _, err := s.guests.Authenticate(t.Context(), s.token("ann", "web"), netip.Addr{}); !errors.Is(err, identity.ErrBadCredentials) {
			t.Errorf("mapped to %s: %v", wrong, err)
		}
	}
}

func TestFace(t *testing.T) {
	s := newStage(t)
	s.there.User("ann", "web")
	s.there.User("eve", "others")
	token := s.token("ann", "web")
	now := time.Now().UnixMilli()
	for range 20 {
		if status, text := s.send("POST", "/metrics", token, fmt.Sprintf(`{"name":"m","value":1,"timestamp":%d}`, now)); status != 204 {
			t.Fatalf("%d %s", status, text)
		}
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("Keystone was asked %d times about one token", n)
	}
	if status, text := s.send("POST", "/alarm-definitions", token, `{"name":"d","expression":"m > 0"}`); status != 201 {
		t.Errorf("%d %s", status, text)
	}
	if _, text := s.send("GET", "/metrics/names", token, ""); !strings.Contains(text, `"m"`) {
		t.Error(text)
	}
	if _, text := s.send("GET", "/metrics/names?tenant_id=0", s.token("eve", "others"), ""); strings.Contains(text, `"m"`) {
		t.Error("another project sees it")
	}
	for range 5 {
		if status, _ := s.send("GET", "/alarms", "gAAAA_nonsense", ""); status != 401 {
			t.Errorf("nonsense: %d", status)
		}
	}
	if n := s.asked.Load(); n != 3 {
		t.Errorf("Keystone was asked %d times", n)
	}
	s.down.Store(true)
	if status, _ := s.send("GET", "/alarms", token, ""); status != 200 {
		t.Errorf("what is known still: %d", status)
	}
	if status, text := s.send("GET", "/alarms", "gAAAA_new", ""); status != 503 {
		t.Errorf("Keystone is down: %d %s", status, text)
	}
	// Own users need no Keystone.
	s.here.User("bob", "research")
	who, err := s.here.Directory.UserNamed("bob")
	s.check(err)
	own, _, err := s.here.Directory.AddToken(t.Context(), identity.NewToken{User: who.ID, Name: "t", Scopes: identity.ScopeRead})
	s.check(err)
	if status, _ := s.send("GET", "/alarms", own, ""); status != 200 {
		t.Errorf("an own token: %d", status)
	}
}

// A service user whose token has ended gets another.
func TestServiceToken(t *testing.T) {
	s := newStage(t)
	s.there.User("ann", "web")
	s.guest(s.token("ann", "web"))
	for range 2 { // a password that is set anew ends all sessions
		s.check(s.there.Directory.SetPassword(t.Context(), identity.AdminUser, apitest.Password))
		s.guest(s.token("ann", "web"))
	}
}

// Keystone writes the end of an application credential's tokens without a zone, and all others' with one.
func TestExpires(t *testing.T) {
	end := time.Now().UTC().Add(time.Hour)
	var written string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("X-Subject-Token", "own")
			w.WriteHeader(http.StatusCreated)
			return
		}
		fmt.Fprintf(w, `{"token":{"expires_at":%q,"user":{"id":"u"},"project":{"id":"p"}}}`, written)
	}))
	defer server.Close()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for _, form := range []string{"2006-01-02T15:04:05.000000Z", "2006-01-02T15:04:05.000000", "2006-01-02T15:04:05"} {
		written = end.Format(form)
		got, err := openstack.NewValidator(server.URL, openstack.Service{}, openstack.Remember).Validate(t.Context(), "gAAAA")
		if err != nil || got.Expires.Sub(end).Abs() > time.Second {
			t.Errorf("%s: %+v %v", written, got, err)
		}
	}
	written = "tomorrow"
	if _, err := openstack.NewValidator(server.URL, openstack.Service{}, openstack.Remember).Validate(t.Context(), "gAAAA"); err == nil || errors.Is(err, openstack.ErrUnknownToken) {
		t.Errorf("no time: %v", err)
	}
	server.Client().CloseIdleConnections()
}

func TestReadService(t *testing.T) {
	file := filepath.Join(t.TempDir(), "openrc")
	read := func(text string) (openstack.Service, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return openstack.ReadService(file)
	}
	type ref = openstack.Reference
	for text, want := range map[string]openstack.Service{
		"export OS_USERNAME=\"monasca\"\nexport OS_PASSWORD=a=b\n  OS_TENANT_NAME=service\n# x=y\nexport OS_USER_DOMAIN_NAME=svc\n": {User: ref{Name: "monasca"}, UserDomain: ref{Name: "svc"}, Password: "a=b",
			Project: ref{Name: "service"}, ProjectDomain: ref{ID: "default"}},
		"OS_USER_ID=u1\nOS_USERNAME=monasca\nOS_PASSWORD=x\nOS_PROJECT_ID=p1\nOS_PROJECT_NAME=service\nOS_PROJECT_DOMAIN_ID=d1\n": {User: ref{ID: "u1"}, UserDomain: ref{ID: "default"}, Password: "x",
			Project: ref{ID: "p1"}, ProjectDomain: ref{ID: "d1"}},
		"export OS_AUTH_TYPE=v3applicationcredential\nexport OS_APPLICATION_CREDENTIAL_ID=c1\nexport OS_APPLICATION_CREDENTIAL_SECRET=\"s\"\n": {Credential: "c1", Secret: "s"},
	} {
		if got, err := read(text); err != nil || got != want {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"OS_USERNAME=a\nOS_PROJECT_NAME=b\n": "OS_PASSWORD", "OS_PASSWORD=a\nOS_PROJECT_NAME=b\n": "OS_USERNAME", "OS_USERNAME=a\nOS_PASSWORD=b\n": "OS_PROJECT_NAME",
		"OS_APPLICATION_CREDENTIAL_ID=c1\n": "OS_APPLICATION_CREDENTIAL_SECRET"} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want+" is missing") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := openstack.ReadService(file + ".none"); err == nil {
		t.Error("a file that is not there")
	}
}
