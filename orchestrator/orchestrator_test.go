package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-dev/troupe/occi"
	"github.com/troupe-dev/troupe/orchestrator"
)

// A cloud is what the sample orchestrator makes its stack in. States follow each other as it is asked for them.
type cloud struct {
	mu     sync.Mutex
	calls  []string
	states []string          // still to come; the last one stays
	fail   map[string]error  // by phase
	gate   chan struct{}     // if there is one, Deploy waits for it
	seen   map[string]string // attributes of the last call
}

func (c *cloud) call(phase string, a orchestrator.Attributes) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.seen = append(c.calls, phase), a
	return c.fail[phase]
}

func (c *cloud) comes(states ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = states
}

func (c *cloud) called() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.calls, " ")
}

// A sample is an orchestrator of a service with one stack.
type sample struct {
	*cloud
	instance *orchestrator.Instance
}

func (s *sample) Design(context.Context) error { return s.call("design", nil) }

func (s *sample) Deploy(ctx context.Context, a orchestrator.Attributes) error {
	if s.gate != nil {
		<-s.gate
	}
	s.comes(orchestrator.CreateInProgress, orchestrator.CreateComplete)
	return errors.Join(s.call("deploy", a), s.instance.Keep("stack", "stack-1"))
}

func (s *sample) Provision(_ context.Context, a orchestrator.Attributes) error {
	s.comes(orchestrator.UpdateInProgress, orchestrator.UpdateComplete)
	return s.call("provision", a)
}

func (s *sample) Update(_ context.Context, all, changed orchestrator.Attributes) error {
	for name, value := range changed {
		if all[name] != value {
			return fmt.Errorf("%s is %q among all attributes", name, all[name])
		}
	}
	return s.call("update", changed)
}

func (s *sample) Dispose(context.Context) error {
	return errors.Join(s.call("dispose", nil), s.instance.Keep("stack", ""))
}

func (s *sample) State(context.Context) (orchestrator.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fail["state"]; err != nil {
		return orchestrator.State{}, err
	}
	st := orchestrator.State{ID: s.instance.Value("stack"), Outputs: map[string]string{"shop.url": "http://192.0.2.10/"}}
	if len(s.states) > 0 {
		st.Stack = s.states[0]
	}
	if len(s.states) > 1 {
		s.states = s.states[1:]
		st.Outputs = nil
	}
	return st, nil
}

// A reactive one is also told of alarms.
type reactive struct{ *sample }

func (r reactive) Notify(_ context.Context, a orchestrator.Attributes) error {
	return r.call("notify", a)
}

// A stage is a server with an orchestrator.
type stage struct {
	*testing.T
	*cloud
	server *httptest.Server
}

func newStage(t *testing.T, o orchestrator.Options, reacts bool) *stage {
	t.Helper()
	s := &stage{T: t, cloud: &cloud{fail: make(map[string]error)}}
	s.serve(o, reacts)
	return s
}

func (s *stage) serve(o orchestrator.Options, reacts bool) {
	s.Helper()
	h, err := orchestrator.NewHandler(s.Context(), func(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
		x := &sample{s.cloud, i}
		if reacts {
			return reactive{x}, nil
		}
		return x, nil
	}, o)
	if err != nil {
		s.Fatal(err)
	}
	s.server = httptest.NewServer(h)
	s.Cleanup(h.Close)
	s.Cleanup(s.server.Close)
}

const path = "/orchestrator/default"

func category(term string) string {
	return "Category: " + term + `; scheme="` + orchestrator.Scheme + `"`
}

// A reply is an answer with its body.
type reply struct {
	*http.Response
	body string
}

// send sends a request of the tenant demo with more headers, "Name: value"; an empty value takes a header away.
func (s *stage) send(method, target string, headers ...string) *reply {
	s.Helper()
	return s.sendBody(method, target, "", headers...)
}

func (s *stage) sendBody(method, target, body string, headers ...string) *reply {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.server.URL+target, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.Header = http.Header{"X-Auth-Token": {"tok-1"}, "X-Tenant-Name": {"demo"}}
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "text/occi")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if value == "" && !strings.HasPrefix(name, "X-OCCI") {
			req.Header.Del(name)
		} else if name == "Category" || name == "X-OCCI-Attribute" {
			req.Header.Add(name, value)
		} else {
			req.Header.Set(name, value)
		}
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
	return &reply{resp, string(text)}
}

// want sends a request that must be answered with a status.
func (s *stage) want(status int, method, target string, headers ...string) *reply {
	s.Helper()
	r := s.send(method, target, headers...)
	if r.StatusCode != status {
		s.Fatalf("%s %s: status %d, not %d: %s", method, target, r.StatusCode, status, r.body)
	}
	return r
}

// holds fails unless the answer has all of the texts in its body, and none that begins with "!".
func (s *stage) holds(r *reply, texts ...string) {
	s.Helper()
	for _, text := range texts {
		if bare, not := strings.CutPrefix(text, "!"); strings.Contains(r.body, bare) == not {
			s.Errorf("%q is wrong of\n%s", text, r.body)
		}
	}
}

func (s *stage) init(headers ...string) *reply {
	s.Helper()
	return s.want(201, "PUT", path, append(headers, category("orchestrator"))...)
}

func (s *stage) act(status int, term string, headers ...string) *reply {
	s.Helper()
	return s.want(status, "POST", path+"?action="+term, append(headers, category(term))...)
}

// provisioned brings a service to the end of its phases.
func (s *stage) provisioned() {
	s.Helper()
	s.init()
	s.act(200, "deploy")
	s.act(200, "provision")
}

// acceptance are the items of the list for orchestrators.
var acceptance = map[string]func(*stage){
	"S1": func(s *stage) {
		for _, target := range []string{path, "/-/", "/", "/orchestrator/"} {
			if r := s.want(403, "GET", target, "X-Auth-Token: "); r.body != "X-Auth-Token required..." {
				s.Errorf("%s: %s", target, r.body)
			}
			if r := s.want(403, "GET", target, "X-Tenant-Name: "); r.body != "X-Tenant-Name required..." {
				s.Errorf("%s: %s", target, r.body)
			}
		}
	},
	"S2": func(s *stage) { s.want(404, "GET", path) },
	"S3": func(s *stage) {
		for _, media := range []string{"text/plain", "text/occi", "application/occi+json"} {
			if r := s.want(200, "GET", "/-/", "Accept: "+media); r.Header.Get("Content-Type") != media {
				s.Errorf("%s is answered with %s", media, r.Header.Get("Content-Type"))
			}
		}
		s.want(400, "GET", "/-/", "Accept: text/uri-list")
	},
	"S4": func(s *stage) {
		s.want(400, "PUT", path)
		s.want(400, "PUT", path, category("nothing"))
		s.want(404, "GET", path)
	},
	"S5": func(s *stage) {
		r := s.init()
		if !strings.HasSuffix(r.Header.Get("Location"), path) || r.body != "OK" {
			s.Errorf("Location %s, body %s", r.Header.Get("Location"), r.body)
		}
	},
	"S6": func(s *stage) {
		s.init()
		s.holds(s.want(200, "GET", path), `X-OCCI-Attribute: occi.mcn.stack.state="uninitialized"`, `X-OCCI-Attribute: occi.mcn.stack.id="N/A"`, "Link: <"+path+"?action=deploy>")
		s.holds(s.want(200, "GET", path, "Accept: application/occi+json"), `"occi.mcn.stack.state": "uninitialized"`, path+"?action=deploy")
		r := s.want(200, "GET", path, "Accept: text/occi")
		if !strings.Contains(strings.Join(r.Header.Values("X-OCCI-Attribute"), ", "), `occi.mcn.stack.state="uninitialized"`) {
			s.Errorf("headers %v", r.Header)
		}
		s.want(400, "GET", path, "Accept: text/uri-list")
	},
	"S7": func(s *stage) {
		s.init()
		if r := s.act(400, "provision"); r.body != "Not applicable atm." {
			s.Error(r.body)
		}
	},
	"S8": func(s *stage) {
		s.init()
		s.want(200, "PUT", path, category("orchestrator"))
		if s.called() != "design" {
			s.Errorf("called: %s", s.called())
		}
	},
	"S9": func(s *stage) {
		s.init()
		s.holds(s.act(200, "deploy"), "?action=provision>", "!?action=deploy>", `occi.mcn.stack.state="uninitialized"`)
		s.act(400, "deploy")
	},
	"S10": func(s *stage) {
		s.init()
		s.act(200, "deploy")
		s.holds(s.want(200, "GET", path), `occi.mcn.stack.state="CREATE_IN_PROGRESS"`, `occi.mcn.stack.id="stack-1"`, "!shop.url")
		s.holds(s.want(200, "GET", path), `occi.mcn.stack.state="CREATE_COMPLETE"`, `shop.url="http://192.0.2.10/"`)
	},
	"S11": func(s *stage) {
		s.init()
		s.act(200, "deploy")
		s.holds(s.act(200, "provision"), "!?action=")
		s.holds(s.want(200, "GET", path), "!?action=", `"UPDATE_IN_PROGRESS"`)
	},
	"S12": func(s *stage) {
		s.init()
		s.want(200, "POST", path, `X-OCCI-Attribute: occi.epc.attr_1="foo"`)
		s.holds(s.want(200, "GET", path), `occi.epc.attr_1="foo"`)
		if s.called() != "design update" || !maps.Equal(s.seen, map[string]string{"occi.epc.attr_1": "foo"}) {
			s.Errorf("called: %s with %v", s.called(), s.seen)
		}
	},
	"S13": func(s *stage) {
		s.init(`X-OCCI-Attribute: occi.epc.attr_1="foo"`)
		if r := s.want(200, "GET", "/orchestrator/", `X-OCCI-Attribute: occi.epc.attr_1="foo"`); strings.Count(r.body, "X-OCCI-Location") != 1 {
			s.Error(r.body)
		}
		if r := s.want(200, "GET", "/orchestrator/", `X-OCCI-Attribute: occi.epc.attr_1="bar"`); strings.Count(r.body, "X-OCCI-Location") != 0 {
			s.Error(r.body)
		}
	},
	"S14": func(s *stage) {
		s.provisioned()
		if r := s.want(200, "DELETE", path); r.body != "OK" {
			s.Error(r.body)
		}
		s.want(404, "GET", path)
		s.want(404, "DELETE", path)
		s.init()
		if s.called() != "design deploy provision dispose design" {
			s.Errorf("called: %s", s.called())
		}
	},
	"S15": func(s *stage) {
		r := s.sendBody("PUT", path, category("orchestrator")+"\nX-OCCI-Attribute: a=\"b\"\n", "Content-Type: text/plain")
		if r.StatusCode != 201 {
			s.Fatalf("%d %s", r.StatusCode, r.body)
		}
		s.holds(s.want(200, "GET", path), `a="b"`)
	},
	"S16": func(s *stage) {
		s.init("X-OCCI-Attribute: , mcn.endpoint.p1=10.0.0.1")
		s.want(200, "POST", path, "X-OCCI-Attribute: ")
		s.want(200, "POST", path, "X-OCCI-Attribute: mcn.endpoint.p2=10.0.0.2")
		s.holds(s.want(200, "GET", path), `mcn.endpoint.p1="10.0.0.1"`, `mcn.endpoint.p2="10.0.0.2"`)
	},
}

func TestAcceptance(t *testing.T) {
	for n := range 16 {
		id := fmt.Sprintf("S%d", n+1)
		t.Run(id, func(t *testing.T) {
			test := acceptance[id]
			if test == nil {
				t.Fatal("the item has no test")
			}
			test(newStage(t, orchestrator.Options{}, false))
		})
	}
}

// The tests R3 to R5 of the list for reactive services, and the other forms of notifications.
func TestNotify(t *testing.T) {
	s := newStage(t, orchestrator.Options{}, true)
	s.init()
	alarm := "X-OCCI-Attribute: notification.alarm_name=alarm-0001"
	t.Run("R3", func(t *testing.T) { s.act(400, "notify", alarm) })
	s.act(200, "deploy")
	s.act(400, "notify", alarm)
	s.act(200, "provision")
	t.Run("R4", func(t *testing.T) { s.act(200, "notify", alarm, "X-Auth-Token: another") })
	if s.called() != "design deploy provision notify" || s.seen[orchestrator.AttrAlarm] != "alarm-0001" {
		t.Errorf("called: %s with %v", s.called(), s.seen)
	}
	t.Run("R5", func(t *testing.T) { s.act(400, "notify") })
	s.act(200, "notify", "X-OCCI-Attribute: alarm-0002")
	if s.seen[orchestrator.AttrAlarm] != "alarm-0002" {
		t.Errorf("told of %v", s.seen)
	}
	r := s.sendBody("POST", path+"?action=notify", `{"alarm_name":"a \"third\"","state":"ALARM"}`, "Content-Type: application/json")
	if r.StatusCode != 200 || s.seen[orchestrator.AttrAlarm] != `a "third"` {
		t.Errorf("%d %s: told of %v", r.StatusCode, r.body, s.seen)
	}
	for _, body := range []string{"", "nonsense", `{"alarm_name":7}`, `{}`} {
		if r := s.sendBody("POST", path+"?action=notify", body, "Content-Type: application/json"); r.StatusCode != 400 {
			t.Errorf("%s: %d %s", body, r.StatusCode, r.body)
		}
	}
	s.holds(s.want(200, "GET", path), "?action=notify>")
}

// What the orchestrator itself answers reaches the client, and nothing ends the program.
func TestErrors(t *testing.T) {
	s := newStage(t, orchestrator.Options{}, false)
	s.fail["design"] = fmt.Errorf("%w: the attribute size is missing", orchestrator.ErrInvalid)
	s.holds(s.want(400, "PUT", path, category("orchestrator")), "the attribute size is missing")
	s.want(404, "GET", path)
	delete(s.fail, "design")
	s.init()
	s.fail["deploy"] = errors.New("no cloud")
	s.holds(s.act(500, "deploy"), "no cloud")
	s.fail["deploy"] = occi.Errorf(http.StatusConflict, "not now")
	s.act(409, "deploy")
	delete(s.fail, "deploy")
	s.act(200, "deploy")
	s.fail["dispose"] = errors.New("still there")
	s.want(500, "DELETE", path)
	s.want(200, "GET", path)
	delete(s.fail, "dispose")
	s.want(200, "DELETE", path)
	s.init()
	s.want(400, "POST", path+"?action=deploy")
	s.want(400, "POST", path+"?action=deploy", category("provision"))
	s.want(409, "POST", "/orchestrator/", category("orchestrator"))
}

// While an action runs the state can be read, and the next action waits.
func TestReadWhileActing(t *testing.T) {
	s := newStage(t, orchestrator.Options{}, false)
	s.gate = make(chan struct{})
	s.init()
	var done sync.WaitGroup
	statuses := make([]int, 2)
	for i := range statuses {
		done.Go(func() { statuses[i] = s.send("POST", path+"?action=deploy", category("deploy")).StatusCode })
	}
	s.want(200, "GET", path)
	close(s.gate)
	done.Wait()
	slices.Sort(statuses)
	if !slices.Equal(statuses, []int{200, 400}) || s.called() != "design deploy" {
		t.Errorf("statuses %v, called: %s", statuses, s.called())
	}
}

// A service outlives the program that orchestrates it.
func TestRestart(t *testing.T) {
	o := orchestrator.Options{State: filepath.Join(t.TempDir(), "state")}
	s := newStage(t, o, true)
	s.init("X-OCCI-Attribute: size=3")
	s.serve(o, true)
	s.act(200, "deploy")
	s.want(200, "GET", path)
	s.want(200, "GET", path)
	s.serve(o, true)
	s.holds(s.want(200, "GET", path), `size="3"`, `occi.mcn.stack.id="stack-1"`, `shop.url="http://192.0.2.10/"`, "?action=provision>")
	s.act(200, "provision", "X-Auth-Token: tok-2")
	s.serve(o, true)
	s.act(200, "notify", "X-OCCI-Attribute: notification.alarm_name=a")
	if s.called() != "design deploy provision notify" {
		t.Errorf("called: %s", s.called())
	}
	if text, err := os.ReadFile(o.State); err != nil || !strings.Contains(string(text), "tok-2") {
		t.Errorf("the latest token is not kept: %v %s", err, text)
	}
	if fi, err := os.Stat(o.State); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	s.want(200, "DELETE", path)
	s.serve(o, true)
	s.want(404, "GET", path)
}

// Where tokens are verified a service is its tenant's alone.
func TestVerify(t *testing.T) {
	var down error
	s := newStage(t, orchestrator.Options{Verify: func(_ context.Context, token, tenant string) (bool, error) {
		return token == "tok-1" && tenant != "stranger", down
	}}, false)
	s.init()
	s.want(200, "GET", path)
	s.want(401, "GET", path, "X-Auth-Token: forged")
	s.want(404, "GET", path, "X-Tenant-Name: other")
	s.want(404, "DELETE", path, "X-Tenant-Name: other")
	s.holds(s.want(200, "GET", "/orchestrator/", "X-Tenant-Name: other"), "!"+path)
	down = errors.New("no answer")
	s.want(503, "GET", path)
}

// A decider decides from the end of provisioning to the beginning of disposal.
type decider struct {
	*sample
	running chan bool
}

func (d decider) Decide(ctx context.Context) error {
	d.running <- true
	<-ctx.Done()
	d.running <- false
	return ctx.Err()
}

func (d decider) Dispose(ctx context.Context) error {
	if <-d.running {
		return errors.New("decisions are still made")
	}
	return d.sample.Dispose(ctx)
}

func TestDecider(t *testing.T) {
	s := &stage{T: t, cloud: &cloud{fail: make(map[string]error)}}
	running := make(chan bool, 2)
	h, err := orchestrator.NewHandler(t.Context(), func(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
		return decider{&sample{s.cloud, i}, running}, nil
	}, orchestrator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(h)
	t.Cleanup(s.server.Close)
	s.init()
	s.act(200, "deploy")
	if len(running) != 0 {
		t.Error("it decides before it is provisioned")
	}
	s.act(200, "provision")
	if !<-running {
		t.Error("it does not decide")
	}
	s.want(200, "DELETE", path)
}
