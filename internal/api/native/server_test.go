package native_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/service"
)

func TestDriversStatusSchemas(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	list, err := s.Drivers(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "sim" || len(list[0].Backends) != 1 || !list[1].HostAccess {
		t.Errorf("%+v, %v", list, err)
	}
	d, err := s.Driver(ctx, "process")
	if err != nil || len(d.Options) == 0 || d.Options[0].Help == "" {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := s.Driver(ctx, "proces"); !client.IsNotFound(err) || !strings.Contains(err.Error(), `did you mean "process"?`) {
		t.Errorf("%v", err)
	}
	st, err := s.Status(ctx)
	if err != nil || st.Version != "1.2.3" || st.Installation == "" || len(st.Backends) != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	for _, kind := range []string{"service", "machine"} {
		text, err := s.Schema(ctx, kind)
		if err != nil || !json.Valid(text) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := s.Schema(ctx, "role"); !client.IsInvalid(err) {
		t.Errorf("%v", err)
	}
	u, err := s.Users().Get(ctx, "0")
	if err != nil || u.Name != "oneadmin" {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestPausedServer(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.Engine.Pause(true)
	if st, err := s.Status(ctx); err != nil || !st.Paused {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := s.Services().Create(ctx, client.CreateService{Document: source(web)}); !client.IsUnavailable(err) || !strings.Contains(err.Error(), "troupe server resume") {
		t.Errorf("%v", err)
	}
	if err := s.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	s.up(s.Client, web)
}

func TestAcceptLoss(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	if err := s.AcceptLoss(ctx, "sim"); !client.IsConflict(err) {
		t.Errorf("nothing is halted: %v", err)
	}
	if err := s.AcceptLoss(ctx, "docker:x"); !client.IsNotFound(err) {
		t.Errorf("no such back end: %v", err)
	}
}

func TestBackup(t *testing.T) {
	s := newStage(t)
	var copied bytes.Buffer
	err := s.Backup(t.Context(), &copied)
	if err == nil && copied.Len() == 0 {
		t.Error("an empty copy")
	}
	if err != nil && !client.IsConflict(err) && !strings.Contains(err.Error(), "memory") {
		t.Errorf("%v", err)
	}
}

func TestEventsExplainAudit(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.up(s.Client, web)
	e, err := s.Services().Events(ctx, "web", 0)
	if err != nil || len(e) < 3 || e[0].Service != 1 || e[0].Time.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
	last, err := s.Services().Events(ctx, "web", 1)
	if err != nil || len(last) != 1 || last[0] != e[len(e)-1] {
		t.Errorf("%+v, %v", last, err)
	}
	if all, err := s.Events(ctx, 2); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	x, err := s.Services().Explain(ctx, "web")
	if err != nil || x.State != "RUNNING" || x.Why == "" || len(x.Roles) != 2 {
		t.Errorf("%+v, %v", x, err)
	}
	s.must(s.Services().Scale(ctx, "web", client.Scale{Role: "app", Cardinality: "3"}))
	_, _ = s.Services().Scale(ctx, "web", client.Scale{Role: "app", Cardinality: "99"})
	records, err := s.Audit(ctx, client.AuditFilter{Action: "service.scale", Since: time.Now().Add(-time.Hour)})
	if err != nil || len(records) != 2 || records[0].Outcome != "refused" || records[1].Outcome != "done" || records[1].Face != "native" ||
		records[1].User != "oneadmin" || records[1].Request == "" {
		t.Errorf("%+v, %v", records, err)
	}
	if records, err = s.Audit(ctx, client.AuditFilter{Limit: 1}); err != nil || len(records) != 1 {
		t.Errorf("%+v, %v", records, err)
	}
}

func TestWatch(t *testing.T) {
	s := newStage(t)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	s.up(s.Client, web)
	ann := s.user("ann", "research")
	page, err := s.Services().Page(ctx, client.ServiceFilter{}, "")
	if err != nil {
		t.Fatal(err)
	}
	s.must(s.Services().Scale(ctx, "web", client.Scale{Role: "app", Cardinality: "4"}))
	s.Until(1, "scaled", func(svc *service.Service) bool {
		return svc.Role("app").Settled() == 4 && svc.State == service.Running
	})
	s.up(ann, web) // ann's own web, of project research

	// What happened after the page was made is told, to the end.
	var first, latest int64
	for x, err := range s.Watch(ctx, client.WatchOptions{After: page.Revision}) {
		if err != nil || x.Reset {
			t.Fatalf("%+v, %v", x, err)
		}
		if first == 0 {
			first = x.Revision
		}
		latest = x.Revision
		if x.Service == 2 && x.State == "RUNNING" {
			break
		}
	}
	if first < page.Revision || latest <= first {
		t.Errorf("watched from %d to %d, after %d", first, latest, page.Revision)
	}
	// Of one service, until it is gone; others' services stay unseen.
	states := map[string]bool{}
	for x, err := range s.Watch(ctx, client.WatchOptions{Service: "web", Now: true}) {
		if err == nil && x.Reset { // from here on nothing is missed
			s.must(s.Services().Remove(ctx, "web", client.Undeploy{}))
			continue
		}
		if err != nil || x.Service != 1 {
			t.Fatalf("%+v, %v", x, err)
		}
		states[x.State] = true
	}
	if !states["UNDEPLOYING"] || !states["DONE"] {
		t.Errorf("states %v", states)
	}
	for x, err := range ann.Watch(ctx, client.WatchOptions{After: page.Revision}) {
		if err != nil || x.Service == 1 {
			t.Fatalf("%+v, %v", x, err)
		}
		if x.State == "RUNNING" {
			break
		}
	}
	for _, err := range ann.Watch(ctx, client.WatchOptions{Service: "1"}) {
		if !client.IsNotFound(err) {
			t.Errorf("%v", err)
		}
	}
}

func TestWatchOfAForgottenPast(t *testing.T) {
	s := newStage(t)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	s.up(s.Client, web)
	for x, err := range s.Watch(ctx, client.WatchOptions{After: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		if x.Reset || x.Revision > 0 { // either it knows, or it says that it does not
			break
		}
	}
	for _, header := range []string{"x", "-1", "99999999999999999999"} {
		if r := s.send("GET", "/v1/watch", nil, "Last-Event-ID", header); r.status != 400 {
			t.Errorf("%s: %d", header, r.status)
		}
	}
	if r := s.send("GET", "/v1/watch?service=nobody", nil); r.status != 404 {
		t.Errorf("%+v", r)
	}
}

func TestHostAccessNeedsAGrant(t *testing.T) {
	s := newStage(t)
	ann := s.user("ann", "research")
	_, err := ann.Services().Create(t.Context(), client.CreateService{Document: source("name: x\nroles: {a: {run: sleep 1}}")})
	if err == nil || client.IsUnavailable(err) {
		t.Errorf("%v", err)
	}
}
