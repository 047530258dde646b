package hurtle_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/client"
)

// Requests of the phases, in their order.
var phaseRequests = []string{"GET /", "PUT /orchestrator/default", "POST /orchestrator/default?action=deploy", "GET /orchestrator/default", "POST /orchestrator/default?action=provision"}

// A server that ends in any phase, while the orchestrator does what it was asked, goes on where it was.
func TestRestart(t *testing.T) {
	s := newStage(t)
	s.manage(client.PutManager{})
	for _, request := range append(phaseRequests, "DELETE /orchestrator/default") {
		release := s.hold(request)
		url, id := s.create(`shop.theme="dark"`)
		if strings.HasPrefix(request, "DELETE") {
			s.until(url, "mcn.service.state", "provision")
			if r := s.send("DELETE", url); r.status != 200 {
				t.Fatal(r.status, r.body)
			}
		}
		s.eventually(request+" has come", func() bool { return len(s.director.of(id, request)) > 0 })
		s.restart()
		release()
		url = s.sm() + "/webshop/" + id
		if strings.HasPrefix(request, "DELETE") {
			s.eventually("the instance is gone", func() bool { return s.send("GET", url+"?tombstone=1").status == 404 })
			continue
		}
		got := s.until(url, "mcn.service.state", "provision")
		if got["shop.theme"] != "dark" || got["occi.so.url"] == "" {
			t.Errorf("%s: %v", request, got)
		}
		s.director.direct(nil)
		s.remove(url)
	}
}

// An orchestrator that crashes, hangs, answers garbage or does what it does not answer, once in each phase, is led to the end all the same.
func TestOrchestratorFaults(t *testing.T) {
	s := newStage(t)
	s.manage(client.PutManager{ManagerOptions: client.ManagerOptions{Call: "500ms", Act: "500ms"}})
	faults := map[string]order{"crash": {Crash: true}, "late": {Late: true}, "hang": {Hang: true}, "garbage": {Status: 200, Body: "\x00{]}garbage", Type: "application/occi+json"},
		"huge": {Status: 200, Body: strings.Repeat("x", 3<<20), Type: "application/occi+json"}, "away": {Status: 503}}
	type plan struct {
		request string
		fault   order
		done    bool
	}
	var mu sync.Mutex
	plans := map[string]*plan{}
	s.director.direct(func(c stubCall) (o order) {
		for deadline := time.Now().Add(10 * time.Second); ; s.tick() { // until it is known what the instance is for
			mu.Lock()
			p := plans[c.Instance]
			if p != nil && !p.done && c.Request == p.request {
				p.done, o = true, p.fault
			}
			mu.Unlock()
			if p != nil || time.Now().After(deadline) {
				return o
			}
		}
	})
	type made struct{ name, url, id string }
	var all []made
	for _, request := range phaseRequests {
		for name, fault := range faults {
			if name == "garbage" || name == "huge" {
				if request != "GET /orchestrator/default" {
					continue // nobody reads it
				}
			}
			url, id := s.create("")
			mu.Lock()
			plans[id] = &plan{request: request, fault: fault}
			mu.Unlock()
			all = append(all, made{request + " " + name, url, id})
		}
	}
	for _, m := range all {
		s.until(m.url, "mcn.service.state", "provision")
		mu.Lock()
		if !plans[m.id].done {
			t.Errorf("%s never happened", m.name)
		}
		mu.Unlock()
	}
	for _, m := range all {
		if r := s.send("DELETE", m.url); r.status != 200 {
			t.Error(m.name, r.status, r.body)
		}
	}
	s.eventually("all instances are gone", func() bool {
		list, err := s.client().Managers().Instances(t.Context(), "webshop")
		s.must(err)
		return len(list) == 0
	})
}

// An orchestrator that cannot be reached is said to be so, or what is known is shown.
func TestUnreachableOrchestrator(t *testing.T) {
	s := newStage(t)
	s.manage(client.PutManager{ManagerOptions: client.ManagerOptions{Call: "300ms"}})
	url, _ := s.create(`shop.theme="dark"`)
	s.until(url, "mcn.service.state", "provision")
	s.director.direct(func(c stubCall) order { return order{Hang: c.Request == "GET /orchestrator/default"} })
	if r := s.send("GET", url); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Error(r.status, r.body)
	}
	s.manage(client.PutManager{ManagerOptions: client.ManagerOptions{Call: "300ms", StaleReads: true}})
	if r := s.send("GET", url); r.status != 200 || r.attributes()["mcn.service.state"] != "provision" || r.attributes()["shop.theme"] != "dark" {
		t.Error(r.status, r.body)
	}
	// Others can do what they want meanwhile.
	s.director.direct(nil)
	s.remove(url)
}

// What goes on for an instance goes on in the name of whoever made it, until that is revoked; whoever acts on it next lends theirs.
func TestDelegation(t *testing.T) {
	s := newStage(t)
	s.manage(client.PutManager{})
	url, id := s.create("")
	s.until(url, "mcn.service.state", "provision")
	tokens, err := s.client().Tokens().List(t.Context(), "ann")
	if err != nil || len(tokens) != 1 || !strings.Contains(tokens[0].Name, "Hurtle") || tokens[0].Group == nil || tokens[0].Group.Name != "demo" {
		t.Fatalf("%+v %v", tokens, err)
	}
	told := s.director.of(id, "PUT ")[0].Token
	if told == s.token {
		t.Error("the orchestrator was given the user's own token")
	}
	if r := s.send("GET", s.sm()+"/webshop/", "X-Auth-Token", told, "X-Tenant-Name", "demo"); r.status != 200 || !strings.Contains(r.body, id) {
		t.Errorf("the orchestrator's token is not good for its tenant: %d %s", r.status, r.body)
	}
	if r := s.send("GET", s.sm()+"/webshop/", "X-Auth-Token", told, "X-Tenant-Name", "other"); r.status != 401 {
		t.Errorf("the orchestrator's token leads elsewhere: %d", r.status)
	}
	s.must(s.client().Tokens().Remove(t.Context(), tokens[0].ID))
	if r := s.send("GET", s.sm()+"/webshop/", "X-Auth-Token", told, "X-Tenant-Name", "demo"); r.status != 401 {
		t.Errorf("the orchestrator's token outlives the delegation: %d", r.status)
	}
	// A creation in the middle fails, and says why; a deletion goes in the name of who wants it.
	release := s.hold("GET /")
	second, _ := s.create("")
	tokens, err = s.client().Tokens().List(t.Context(), "ann")
	if err != nil || len(tokens) != 1 {
		t.Fatalf("%+v %v", tokens, err)
	}
	s.must(s.client().Tokens().Remove(t.Context(), tokens[0].ID))
	release()
	if got := s.until(second, "mcn.service.state", "fail"); !strings.Contains(got["mcn.service.state.message"], "delegation") {
		t.Error(got)
	}
	s.director.direct(nil)
	s.remove(second)
	s.remove(url)
	if len(s.director.of(id, "DELETE")) != 1 {
		t.Errorf("%+v", s.director.of(id, ""))
	}
}
