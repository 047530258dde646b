package hurtle_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/process"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			os.Exit(process.Supervise(os.Args[2:]))
		case "stub":
			os.Exit(runStub())
		}
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("go.etcd.io/etcd/server/v3/embed.StartEtcd"))
}

const webshop = `{
  "service_type": "http://example.org/occi/sm#webshop",
  "service_description": "Web shop",
  "service_attributes": {"shop.url": "immutable", "shop.theme": ""},
  "service_endpoint": "http://sm.example.org:8890/webshop/",
  "depends_on": []
}`

// A stage is a whole server with the driver process, a service manager on a listener of its own, and two users in two projects.
type stage struct {
	*apptest.Server
	t        *testing.T
	options  app.Options
	password string
	director *director
	web      *httptest.Server
	bundle   string
	token    string // ann's, of the project demo
	other    string // bob's, of the project other
}

func newStage(t *testing.T) *stage {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, director: &director{}, bundle: t.TempDir()}
	s.web = httptest.NewServer(s.director)
	t.Cleanup(s.web.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s.must(os.MkdirAll(filepath.Join(s.bundle, "wsgi"), 0o755))
	s.must(os.WriteFile(filepath.Join(s.bundle, "wsgi/application"), []byte("#!/bin/sh\nexec "+self+" stub\n"), 0o755))
	s.options = app.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Supervisor: []string{self, "supervise"}, HurtleListen: []string{"127.0.0.1:0"}, HurtleCloudListen: "127.0.0.1:0", KeystoneListen: "127.0.0.1:0",
		Accounts: []app.Account{{Driver: "process", Values: account()}, {Driver: "sim"}}}
	if os.Getenv("TROUPE_TEST_LOG") != "" {
		s.options.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s.Server = apptest.Start(t, s.options)
	s.password = s.Password()
	t.Cleanup(s.sweep)
	c := s.client()
	for user, project := range map[string]string{"ann": "demo", "bob": "other"} {
		_, err := c.Groups().Add(t.Context(), client.AddGroup{Name: project})
		s.must(err)
		_, err = c.Users().Add(t.Context(), client.AddUser{Name: user, Password: user + "-password", Group: project})
		s.must(err)
	}
	s.token, s.other = s.login("ann", "demo"), s.login("bob", "other")
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) client() *client.Client {
	s.t.Helper()
	c, err := client.New(s.URL(), client.Options{User: "oneadmin", Password: s.password})
	s.must(err)
	s.t.Cleanup(c.Close)
	return c
}

// restart ends the server and starts it again on the same folder.
func (s *stage) restart() {
	s.t.Helper()
	s.Close()
	s.Server = apptest.Start(s.t, s.options)
	s.t.Cleanup(s.sweep)
}

// manage adds a manager.
func (s *stage) manage(p client.PutManager) client.Manager {
	s.t.Helper()
	if p.Manifest == "" {
		p.Manifest = webshop
	}
	if p.Program == "" && p.Bundle == "" {
		p.Bundle = s.bundle
	}
	p.Environment = append(p.Environment, "APP_TEST="+s.web.URL)
	m, err := s.client().Managers().Put(s.t.Context(), p)
	s.must(err)
	return m
}

// login returns a token of the Keystone face.
func (s *stage) login(user, project string) string {
	s.t.Helper()
	body := `{"auth":{"tenantName":"` + project + `","passwordCredentials":{"username":"` + user + `","password":"` + user + `-password"}}}`
	r, err := http.Post(s.Addrs()["keystone"]+"/v2.0/tokens", "application/json", strings.NewReader(body))
	s.must(err)
	defer r.Body.Close()
	var answer struct {
		Access struct{ Token struct{ ID string } }
	}
	s.must(json.NewDecoder(r.Body).Decode(&answer))
	return answer.Access.Token.ID
}

// A reply is what was answered.
type reply struct {
	status int
	header http.Header
	body   string
}

// attributes are those of a text rendering.
func (r *reply) attributes() map[string]string {
	out := map[string]string{}
	for line := range strings.SplitSeq(r.body, "\n") {
		if pair, ok := strings.CutPrefix(line, "X-OCCI-Attribute: "); ok {
			name, value, _ := strings.Cut(pair, "=")
			out[name] = strings.Trim(value, `"`)
		}
	}
	return out
}

// send sends a request with headers, which are names and values in turn. Those of ann's project come with it, unless there are some.
func (s *stage) send(method, url string, headers ...string) *reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, url, http.NoBody)
	s.must(err)
	if !slices.Contains(headers, "bare") && !slices.Contains(headers, "X-Auth-Token") {
		headers = append([]string{"X-Auth-Token", s.token, "X-Tenant-Name", "demo"}, headers...)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	s.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	s.must(err)
	return &reply{resp.StatusCode, resp.Header, string(body)}
}

// sm is the root of the manager that was added first.
func (s *stage) sm() string { return s.Addrs()["hurtle"] }

const shopCategory = `webshop; scheme="http://example.org/occi/sm#"; class="kind"`

// create makes an instance and returns its URL and its id.
func (s *stage) create(attributes string) (url, id string) {
	s.t.Helper()
	r := s.send("POST", s.sm()+"/webshop/", "Content-Type", "text/occi", "Category", shopCategory, "X-OCCI-Attribute", attributes)
	if r.status != 201 || r.body != "OK" {
		s.t.Fatalf("create: %d %s", r.status, r.body)
	}
	url = r.header.Get("Location")
	return url, url[strings.LastIndexByte(url, '/')+1:]
}

// until polls an instance until it shows a value, and returns all that it shows.
func (s *stage) until(url, name, value string) map[string]string {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		r := s.send("GET", url)
		if got := r.attributes(); got[name] == value {
			return got
		} else if time.Now().After(deadline) {
			s.explain()
			s.t.Fatalf("%s is not %s within 20 s: %d %v %s", name, value, r.status, got, r.body)
		}
		s.tick()
	}
}

// eventually polls until ok.
func (s *stage) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); s.tick() {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func (s *stage) tick() {
	select {
	case <-time.After(5 * time.Millisecond):
	case <-s.t.Context().Done():
	}
}

// in is the stage for a part of the test, which must leave nothing behind.
func (s *stage) in(t *testing.T) *stage {
	part := *s
	part.t = t
	return &part
}

// remove deletes an instance and waits until nothing of it is left.
func (s *stage) remove(url string) {
	s.t.Helper()
	if r := s.send("DELETE", url); r.status != 200 {
		s.t.Fatalf("delete: %d %s", r.status, r.body)
	}
	s.eventually("the instance is gone", func() bool { return s.send("GET", url+"?tombstone=1").status == 404 })
}

// hold keeps requests of stubs waiting for orders, beside what they are directed to do, until it is called.
func (s *stage) hold(request string) (release func()) {
	gate := make(chan struct{})
	s.director.mu.Lock()
	before := s.director.orders
	s.director.mu.Unlock()
	s.director.direct(func(c stubCall) (o order) {
		if c.Request == request {
			<-gate
		}
		if before != nil {
			o = before(c)
		}
		return o
	})
	return sync.OnceFunc(func() { close(gate) })
}

// account has root's machines run as root: others may not pass through the folders of its tests.
func account() map[string]any {
	if os.Getuid() == 0 {
		return map[string]any{"user": "root"}
	}
	return nil
}

// explain logs what instances wait for, and how the programs of their orchestrators are.
func (s *stage) explain() {
	c := s.client()
	managers, err := c.Managers().List(s.t.Context())
	s.must(err)
	for _, m := range managers {
		instances, err := c.Managers().Instances(s.t.Context(), m.Term)
		s.must(err)
		for _, i := range instances {
			s.t.Logf("%s: %s, step %s: %s %s", i.ID, i.State, i.Step, i.Pending, i.Message)
			e, err := c.Services().Explain(s.t.Context(), "demo/"+i.ID)
			s.t.Logf("its program: %+v %v", e, err)
			s.t.Log(s.send("GET", i.App, "bare", "", "Authorization", basic("ann", "ann-password")).body)
		}
	}
}

func basic(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// sweep removes the programs that a test which failed has left: they would outlive it.
func (s *stage) sweep() {
	if !s.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := s.client()
	for left := 1; left > 0; {
		left = 0
		for service, err := range c.Services().List(ctx, client.ServiceFilter{}) {
			if err != nil {
				return
			}
			left++
			_, _ = c.Services().Remove(ctx, client.ID(service.ID), client.Undeploy{Hard: true, Force: true})
		}
		<-time.After(50 * time.Millisecond)
	}
}
