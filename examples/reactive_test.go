package examples

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
)

// A call is what the orchestrator of TestReactive got.
type call struct {
	method, query, category, attribute, project string
	introduced                                  bool // with a token
	at                                          time.Time
}

// TestReactive plays the whole loop with real processes and agents: an instance whose agent hangs is replaced, burnt processors bring one
// more, the clock brings four, and an orchestrator elsewhere gets its callbacks.
func TestReactive(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	calls := make(chan call, 100)
	orchestrator := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		calls <- call{r.Method, r.URL.RawQuery, r.Header.Get("Category"), r.Header.Get("X-Occi-Attribute"),
			r.Header.Get("X-Tenant-Name"), r.Header.Get("X-Auth-Token") != "", time.Now()}
	}))
	defer orchestrator.Close()
	c := serve(ctx, t, func(o *app.Options) {
		o.Notifications.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	name, kind, address := "orchestrator", "OCCI_WEBHOOK", orchestrator.URL+"/orchestrator/default"
	if _, err := c.Notifications().Add(ctx, client.PutNotificationMethod{Name: &name, Type: &kind, Address: &address}); err != nil {
		t.Fatal(err)
	}
	agent := buildAgent(ctx, t)
	text, err := os.ReadFile("reactive.yaml")
	if err != nil {
		t.Fatal(err)
	}
	source := string(text)
	night := time.Now().Add(25 * time.Second)
	for old, changed := range map[string]string{
		"    do: replace ":                       "    do: [replace, {notify: orchestrator}] ",
		"inputs: {AGENT: troupe-agent}":          "inputs: {AGENT: " + agent + "}",
		"> 80 times 3":                           "> 3 times 3", // the tests of other packages run on the same cores
		"do: {scale: worker +20%, cooldown: 1m}": "do: [{scale: worker +20%, cooldown: 1m}, {notify: orchestrator}]",
		`schedule: "0 2 * * *"`:                  fmt.Sprintf(`start: "%d"`, night.Unix()), // the clock is not ours to turn
	} {
		if !strings.Contains(source, old) {
			t.Fatalf("the example lacks %q", old)
		}
		source = strings.Replace(source, old, changed, 1)
	}
	s, err := c.Services().Create(ctx, client.CreateService{Document: client.Document{Source: source, File: "reactive.yaml", Format: "native"}})
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{ctx: ctx, t: t, c: c, ref: s.Ref()}
	if _, err := c.Services().WaitFor(ctx, l.ref, "RUNNING"); err != nil {
		t.Fatal(err)
	}
	l.wait("all agents report", func() bool {
		r, err := c.Metrics().Query(ctx, `count({"process.cpu_perc", role="worker"})`, time.Time{})
		return err == nil && len(r.Series) == 1 && r.Series[0].Points[0].Value == 5
	})

	// An agent hangs.
	before := l.workers()
	victim := before[0]
	began := time.Now()
	l.exec(victim, "kill -STOP $(cat agent.pid)")
	heard := l.heard(calls)
	l.wait("the silent one is replaced", func() bool { return !slices.Contains(l.workers(), victim) && len(l.workers()) == 5 })
	replaced := time.Since(began)
	if quiet := heard.at.Sub(began); quiet < 2500*time.Millisecond || replaced > 10*time.Second {
		t.Errorf("the orchestrator heard of the silence after %v, the instance was replaced after %v", quiet, replaced)
	}
	if now := l.workers(); len(now) != 5 || !slices.Equal(now[:4], before[1:]) {
		t.Errorf("workers %v became %v", before, now)
	}

	// All are busy.
	began = time.Now()
	for _, w := range l.workers() {
		l.exec(w, "touch burn")
	}
	heard = l.heard(calls)
	l.wait("one more", func() bool { return l.cardinality() == 6 })
	if took := heard.at.Sub(began); took < 4*time.Second || took > 15*time.Second {
		t.Errorf("3 × 2 s above 80 were noticed after %v", took)
	}

	// The clock.
	l.wait("four more", func() bool { return l.cardinality() == 10 })
	if now := time.Now(); now.Before(night.Truncate(time.Second)) {
		t.Errorf("it was not time yet: %v before", night.Sub(now))
	}
	l.told("policy night: its time has come", "alarm silent: ", "→ replace worker-0", "alarm busy: ")
	if _, err := c.Services().Remove(ctx, l.ref, client.Undeploy{Data: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Services().WaitFor(ctx, l.ref, client.Gone); err != nil {
		t.Fatal(err)
	}
}

// buildAgent builds the agent and returns its path, which machines of other users can pass through.
func buildAgent(ctx context.Context, t *testing.T) string {
	t.Helper()
	agent := filepath.Join(t.TempDir(), "troupe-agent")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", agent, "../cmd/troupe-agent").CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	return agent
}

// A loop looks at the service of TestReactive.
type loop struct {
	ctx context.Context
	t   *testing.T
	c   *client.Client
	ref string
}

// workers are the serials of the workers that are up.
func (l *loop) workers() (out []uint32) {
	l.t.Helper()
	for i, err := range l.c.Services().Instances(l.ctx, l.ref, client.InstanceFilter{Role: "worker"}) {
		if err != nil {
			l.t.Fatal(err)
		}
		if i.Phase == "up" {
			out = append(out, i.Serial)
		}
	}
	return out
}

func (l *loop) cardinality() int {
	l.t.Helper()
	s, err := l.c.Services().Get(l.ctx, l.ref)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, r := range s.Roles {
		if r.Name == "worker" {
			return r.Cardinality
		}
	}
	return 0
}

func (l *loop) exec(serial uint32, command string) {
	l.t.Helper()
	if exit, err := l.c.Services().Exec(l.ctx, l.ref, serial, client.Exec{Command: []string{"sh", "-c", command}}); err != nil || exit != 0 {
		l.t.Fatal(exit, err)
	}
}

// wait looks again after each change of the service, and now and then.
func (l *loop) wait(what string, ok func() bool) {
	l.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-l.ctx.Done():
			l.t.Fatalf("not in time: %s; workers %v", what, l.workers())
		}
	}
}

// heard waits for the orchestrator's next call.
func (l *loop) heard(calls <-chan call) call {
	l.t.Helper()
	select {
	case got := <-calls:
		want := call{"POST", "action=notify", `notify; scheme="http://schemas.mobile-cloud-networking.eu/occi/service#"`, "notification.alarm_name=orchestrator", "oneadmin", true, got.at}
		if got != want {
			l.t.Errorf("the orchestrator got %+v, want %+v", got, want)
		}
		return got
	case <-l.ctx.Done():
		l.t.Fatal("the orchestrator has not heard of it")
		return call{}
	}
}

// told wants texts among the service's events.
func (l *loop) told(texts ...string) {
	l.t.Helper()
	var all strings.Builder
	events, err := l.c.Services().Events(l.ctx, l.ref, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, e := range events {
		all.WriteString(e.Message + "\n")
	}
	for _, text := range texts {
		if !strings.Contains(all.String(), text) {
			l.t.Errorf("no event speaks of %q:\n%s", text, all.String())
		}
	}
}
