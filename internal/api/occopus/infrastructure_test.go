package occopus_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/occopus"
	"github.com/troupe-dev/troupe/internal/service"
)

// build makes an infrastructure of one node, app, with so many instances at most, and waits until it is there.
func (s *stage) build(kind string, most int) string {
	s.t.Helper()
	r := s.send("POST", "/infrastructures/", fmt.Sprintf("infra_name: shop\nuser_id: ann\nnodes: [{name: app, type: %s, scaling: {max: %d}}]\n", kind, most))
	id := r.Str("infraid")
	s.Within("built: "+r.Text, func() bool {
		return s.send("GET", "/info/infrastructure.finished_first_maintenance?infra_id="+id, "").Str("result") == "1"
	})
	return id
}

// A removal goes on when its client leaves.
func TestRemoveWithoutWaiting(t *testing.T) {
	s := newStageOn(t, sim.Options{DestroyDelay: 300 * time.Millisecond}, occopus.Settings{})
	id := s.build("web", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "DELETE", s.url+"/infrastructures/"+id, nil)
	req.SetBasicAuth("ann", "ann-password")
	if resp, err := http.DefaultClient.Do(req); err == nil {
		t.Errorf("answered %s while the machine was there", resp.Status)
		resp.Body.Close()
	}
	s.UntilGone(1)
	if n := s.Cloud.Len(); n != 0 {
		t.Errorf("%d machines are left", n)
	}
}

// Who removes what is being removed waits for the same end.
func TestRemoveTwice(t *testing.T) {
	s := newStageOn(t, sim.Options{DestroyDelay: 100 * time.Millisecond}, occopus.Settings{})
	id := s.build("web", 1)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			r := s.send("DELETE", "/infrastructures/"+id, "")
			if r.Str("infraid") != id && !strings.Contains(r.Text, "does not exist!") {
				t.Error(r.Text)
			}
			if n := s.Cloud.Len(); n != 0 {
				t.Errorf("answered with %d machines left", n)
			}
		})
	}
	both.Wait()
}

// Wishes that come together all count.
func TestScaleAtOnce(t *testing.T) {
	s := newStage(t, occopus.Settings{})
	id := s.build("web", 30)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { s.send("POST", "/infrastructures/"+id+"/scaleup/app", "") })
	}
	all.Wait()
	if r := s.send("GET", "/infrastructures/"+id, ""); r.Str("app", "scaling", "target") != "21" {
		t.Error(r.Text)
	}
}

// An instance is found by any of its addresses, too.
func TestScaleDownByAddress(t *testing.T) {
	s := newStage(t, occopus.Settings{})
	id := s.build("many", 2)
	s.send("POST", "/infrastructures/"+id+"/scaleup/app", "")
	var first, address string
	s.Within("two instances", func() bool {
		n := 0
		s.Engine.View(1, func(svc *service.Service) {
			for i := range svc.Role("app").Instances {
				if i.Phase == service.Up {
					n++
				}
				if len(i.Addresses) > 0 && i.Number == 0 {
					first, address = s.Control.UUID(1, i.Serial), i.Addresses[0]
				}
			}
		})
		return n == 2
	})
	if r := s.send("POST", "/infrastructures/"+id+"/scaledown/app/"+address, ""); r.Str("nodeid") != address {
		t.Error(r.Text)
	}
	s.Within("one instance", func() bool {
		r := s.send("GET", "/infrastructures/"+id, "")
		return r.Str("app", "scaling", "actual") == "1" && r.At("app", "instances", first) == nil
	})
}

// Whoever may see the infrastructures of others finds them by their numbers.
func TestOtherGroup(t *testing.T) {
	s := newStage(t, occopus.Settings{})
	id := s.build("web", 1)
	ask := func(path string) apitest.Reply {
		req := apitest.Request(t, "GET", s.url+path, "")
		req.SetBasicAuth(apitest.Admin, apitest.Password)
		return apitest.Do(t, nil, req)
	}
	if r := ask("/infrastructures/"); r.Str("infrastructures", 0) != "1" {
		t.Error(r.Text)
	}
	if r := ask("/infrastructures/1"); r.Str("app", "scaling", "actual") != "1" {
		t.Error(r.Text)
	}
	if r := s.send("GET", "/infrastructures/1", ""); r.Str("app", "scaling", "actual") != "1" {
		t.Errorf("by number: %s", r.Text)
	}
	if r := s.send("GET", "/infrastructures/"+id, ""); r.Str("app", "scaling", "actual") != "1" {
		t.Errorf("by id: %s", r.Text)
	}
}

// What cannot be made is tried again, and not taken back.
func TestBuildFails(t *testing.T) {
	s := newStageOn(t, sim.Options{BootFailures: 0.5, Seed: 1}, occopus.Settings{AtATime: 1})
	r := s.send("POST", "/infrastructures/", "infra_name: shop\nuser_id: ann\nnodes: [{name: app, type: web, scaling: {min: 5}}]\n")
	id := r.Str("infraid")
	s.Within("all built in spite of failures", func() bool {
		return s.send("GET", "/infrastructures/"+id, "").Str("app", "scaling", "actual") == "5" &&
			s.send("GET", "/info/infrastructure.finished_first_maintenance?infra_id="+id, "").Str("result") == "1"
	})
}
