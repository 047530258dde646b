package orchestrators

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/process"
	"github.com/troupe-dev/troupe/occi"
	"github.com/troupe-dev/troupe/orchestrator"
)

// The test program is the supervisor of its own machines, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		os.Exit(process.Supervise(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// A stage is a whole Troupe with an orchestrator at a URL, and the tenant that plays with both.
type stage struct {
	*testing.T
	server   *apptest.Server
	options  app.Options
	client   *client.Client
	password string
	token    string
	url      string // of the orchestrator's program
	cloud    *orchestrator.Cloud
}

const tenant = "oneadmin"

// newStage starts a Troupe whose machines are processes.
func newStage(t *testing.T) *stage {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // machines of root's server are nobody's
		t.Fatal(err)
	}
	s := &stage{T: t, options: app.Options{DataDir: dir, Listen: freePort(t), Supervisor: []string{self, "supervise"}, Accounts: []app.Account{{Driver: "process"}},
		Monasca: app.Monasca{Extended: true}, Notifications: app.Notifications{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}}
	s.server = apptest.Start(t, s.options)
	s.password = s.server.Password()
	s.client = s.server.Client()
	s.token = s.login()
	t.Setenv("DESIGN_URI", s.server.URL()+"/keystone/v3")
	s.cloud = orchestrator.NewCloud(orchestrator.CloudOptions{Token: func() string { return s.token }, Tenant: tenant})
	return s
}

// freePort is an address of loopback where nobody listens. The server keeps it through a restart.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// restart ends the server and starts it again on the same folder.
func (s *stage) restart() {
	s.Helper()
	s.server.Close()
	s.server = apptest.Start(s.T, s.options)
	c, err := client.New(s.server.URL(), client.Options{User: "oneadmin", Password: s.password})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(c.Close)
	s.client = c
}

// login returns a token of Troupe's administrator for its project.
func (s *stage) login() string {
	s.Helper()
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"oneadmin","domain":{"id":"default"},"password":%q}}},
		"scope":{"project":{"name":%q,"domain":{"id":"default"}}}}}`, s.password, tenant)
	resp, err := http.Post(s.server.URL()+"/keystone/v3/auth/tokens", "application/json", strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		s.Fatalf("status %d", resp.StatusCode)
	}
	return resp.Header.Get("X-Subject-Token")
}

// build builds a program and returns its path, which machines of other users can pass through.
func build(t *testing.T, of string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(of))
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, of).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", of, err, out)
	}
	return program
}

// start runs a program as the Cloud Controller does, at an address of its own, until the test ends.
func (s *stage) start(program string, args ...string) {
	s.Helper()
	address := freeAddress(s.T)
	cmd := exec.CommandContext(s.Context(), program, args...)
	cmd.Env = append(os.Environ(), "DC_NAME=sotest", "TROUPE_ADDRESS="+address)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = cmd.Wait() // it was interrupted
		if s.Failed() {
			s.Logf("%s says:\n%s", filepath.Base(program), &log)
		}
	})
	s.url = "http://" + net.JoinHostPort(address, "8080")
	s.until("the program answers", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort(address, "8080"))
		if err == nil {
			err = c.Close()
		}
		return err == nil
	})
}

// freeAddress is one of loopback whose port 8080 nobody has.
func freeAddress(t *testing.T) string {
	t.Helper()
	for n := range 200 {
		address := fmt.Sprintf("127.77.%d.%d", os.Getpid()%250, n+1)
		l, err := net.Listen("tcp", net.JoinHostPort(address, "8080"))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no address is free")
	return ""
}

// until waits for something, looking at it again and again.
func (s *stage) until(what string, ok func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.Fatalf("not in time: %s", what)
		}
	}
}

const path = "/orchestrator/default"

// send sends the orchestrator a request of OCCI with attributes, name=value, and an action if the term is not "".
func (s *stage) send(method, term string, attributes ...string) (int, string) {
	s.Helper()
	url := s.url + path
	if term != "" && term != "orchestrator" {
		url += "?action=" + term
	}
	req, err := http.NewRequestWithContext(s.Context(), method, url, nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header = http.Header{"X-Auth-Token": {s.token}, "X-Tenant-Name": {tenant}, "Content-Type": {occi.TextOCCI}}
	if term != "" {
		req.Header.Set("Category", term+`; scheme="`+orchestrator.Scheme+`"`)
	}
	if len(attributes) > 0 {
		req.Header.Set("X-OCCI-Attribute", strings.Join(attributes, ", "))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (s *stage) want(status int, method, term string, attributes ...string) string {
	s.Helper()
	got, text := s.send(method, term, attributes...)
	if got != status {
		s.Fatalf("%s %s: status %d, not %d: %s", method, term, got, status, text)
	}
	return text
}

// attribute is one of the service as the orchestrator shows it.
func (s *stage) attribute(name string) string {
	s.Helper()
	text := s.want(200, "GET", "")
	_, rest, ok := strings.Cut(text, "X-OCCI-Attribute: "+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// complete waits until the stack is complete, and returns the states on the way.
func (s *stage) complete(state string) (seen []string) {
	s.Helper()
	s.until("the stack is "+state, func() bool {
		now := s.attribute("occi.mcn.stack.state")
		if len(seen) == 0 || seen[len(seen)-1] != now {
			seen = append(seen, now)
		}
		if strings.HasSuffix(now, "_FAILED") {
			s.Fatal("the stack is ", seen)
		}
		return now == state
	})
	return seen
}

// monasca lists what Monasca has of a collection.
func (s *stage) monasca(collection string) (out []map[string]any) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), "GET", s.server.URL()+"/monasca/v2.0/"+collection, nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", s.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ Elements []map[string]any }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || resp.StatusCode != 200 {
		s.Fatal(resp.Status, err)
	}
	return list.Elements
}

// machines are the instances that are up, with the service that they are of.
func (s *stage) machines() (service string, out []client.Instance) {
	s.Helper()
	for x, err := range s.client.Services().List(s.Context(), client.ServiceFilter{}) {
		if err != nil {
			s.Fatal(err)
		}
		for i, err := range s.client.Services().Instances(s.Context(), x.Ref(), client.InstanceFilter{}) {
			if err != nil {
				return "", nil // it has just gone
			}
			if i.Phase == "up" {
				service, out = x.Ref(), append(out, i)
			}
		}
	}
	return service, out
}

// resources are the names of the resources in the stack's template.
func (s *stage) resources() []string {
	s.Helper()
	_, id, _ := strings.Cut(s.attribute("occi.mcn.stack.id"), ":")
	text, err := s.cloud.StackTemplate(s.Context(), id)
	if err != nil {
		s.Fatal(err)
	}
	var t struct{ Resources map[string]any }
	if err := json.Unmarshal(text, &t); err != nil {
		s.Fatal(err)
	}
	var names []string
	for name := range t.Resources {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// turned is when the alarm last became undetermined.
func (s *stage) turned() (at time.Time) {
	s.Helper()
	for _, e := range s.monasca("alarms/state-history") {
		when, err := time.Parse(time.RFC3339, e["timestamp"].(string))
		if err != nil {
			s.Fatal(err)
		}
		if e["new_state"] == "UNDETERMINED" && when.After(at) {
			at = when
		}
	}
	return at
}

// lastSample is when the agent reported last before a time.
func (s *stage) lastSample(before time.Time) (at time.Time) {
	s.Helper()
	for _, series := range s.monasca("metrics/measurements?name=cpu.user_perc&merge_metrics=true&start_time=" + before.Add(-time.Minute).UTC().Format("2006-01-02T15:04:05Z")) {
		for _, m := range series["measurements"].([]any) {
			when, err := time.Parse(time.RFC3339, m.([]any)[0].(string))
			if err != nil {
				s.Fatal(err)
			}
			if when.Before(before) && when.After(at) {
				at = when
			}
		}
	}
	return at
}

// credentials counts the users that were made for agents.
func (s *stage) credentials() int {
	s.Helper()
	get := func(at string, into any) {
		req, err := http.NewRequestWithContext(s.Context(), "GET", s.server.URL()+"/keystone/v3/"+at, nil)
		if err != nil {
			s.Fatal(err)
		}
		req.Header = http.Header{"X-Auth-Token": {s.token}, "X-Subject-Token": {s.token}}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			s.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != 200 {
			s.Fatal(at, resp.Status, err)
		}
	}
	var me struct {
		Token struct{ User struct{ ID string } }
	}
	get("auth/tokens", &me)
	var list struct {
		Credentials []any `json:"application_credentials"`
	}
	get("users/"+me.Token.User.ID+"/application_credentials", &list)
	return len(list.Credentials)
}
