package native_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/service"
)

func TestServicesAreListed(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	ann := s.user("ann", "research")
	for n := range 12 {
		c, doc := s.Client, fmt.Sprintf("name: s%02d\ndescription: number %d\nlabels: {parity: \"%d\", big: \"\"}\nroles: {a: {machine: {driver: sim}}}", n, n, n%2)
		if n%3 == 0 {
			c = ann
		}
		svc, err := c.Services().Create(ctx, client.CreateService{Document: source(doc), Alias: fmt.Sprintf("own-%d", n/3)})
		if err == nil {
			_, err = c.Services().WaitFor(ctx, svc.Ref(), "RUNNING")
		}
		if err != nil && n%3 != 2 {
			t.Fatal(err)
		} else if err != nil { // the alias is another's of the project
			s.up(c, doc)
		}
	}
	for name, c := range map[string]struct {
		filter client.ServiceFilter
		want   int
	}{
		"all":         {client.ServiceFilter{Limit: 5}, 12},
		"one a page":  {client.ServiceFilter{Limit: 1}, 12},
		"state":       {client.ServiceFilter{State: "running"}, 12},
		"other state": {client.ServiceFilter{State: "DONE"}, 0},
		"project":     {client.ServiceFilter{Project: "research", Limit: 2}, 4},
		"number":      {client.ServiceFilter{Project: "0", Limit: 3}, 8},
		"name":        {client.ServiceFilter{Name: "s07"}, 1},
		"alias":       {client.ServiceFilter{Alias: "own-1"}, 2},
		"no alias":    {client.ServiceFilter{Alias: "own-7"}, 0},
		"text":        {client.ServiceFilter{Text: "NUMBER 1", Limit: 2}, 3},
		"label":       {client.ServiceFilter{Labels: map[string]string{"parity": "1"}, Limit: 4}, 6},
		"two labels":  {client.ServiceFilter{Labels: map[string]string{"parity": "1", "big": ""}}, 6},
		"no label":    {client.ServiceFilter{Labels: map[string]string{"parity": "2"}}, 0},
	} {
		n, last := 0, uint64(0)
		for svc, err := range s.Services().List(ctx, c.filter) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if svc.ID <= last {
				t.Errorf("%s: %d after %d", name, svc.ID, last)
			}
			last = svc.ID
			n++
		}
		if n != c.want {
			t.Errorf("%s: %d services, want %d", name, n, c.want)
		}
	}
	if r := s.send("GET", "/v1/services?label=big&label=parity=1", nil); strings.Count(r.body, `"id":`) != 6*3 {
		t.Errorf("%s", r.body)
	}
	// A page goes on where it was although what stood there is gone.
	p, err := s.Services().Page(ctx, client.ServiceFilter{Limit: 4}, "")
	if err != nil || p.Next == "" || p.Revision == 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	s.must(s.Services().Remove(ctx, p.Items[3].Ref(), client.Undeploy{}))
	s.UntilGone(p.Items[3].ID)
	if q, err := s.Services().Page(ctx, client.ServiceFilter{Limit: 4}, p.Next); err != nil || q.Items[0].ID <= p.Items[3].ID {
		t.Errorf("%+v, %v", q, err)
	}
	// Names of several services need more.
	s.up(s.Client, "name: s07\nroles: {a: {machine: {driver: sim}}}")
	if _, err := s.Services().Get(ctx, "s07"); !client.IsConflict(err) || !strings.Contains(err.Error(), "use the id") {
		t.Errorf("%v", err)
	}
	if _, err := s.Services().Get(ctx, "research/s00"); err != nil {
		t.Errorf("%v", err)
	}
}

// Whatever the limit, pages put together are the list.
func TestPagesAreTheList(t *testing.T) {
	s := newStage(t)
	rapid.Check(t, func(r *rapid.T) {
		size := rapid.IntRange(1, 7).Draw(r, "limit")
		names, cursor := []string(nil), ""
		for {
			var page client.Page[client.User]
			text := s.send("GET", fmt.Sprintf("/v1/users?limit=%d&cursor=%s", size, url.QueryEscape(cursor)), nil)
			if err := json.Unmarshal([]byte(text.body), &page); err != nil {
				r.Fatal(err)
			}
			if len(page.Items) > size {
				r.Fatalf("%d of %d", len(page.Items), size)
			}
			for _, u := range page.Items {
				names = append(names, u.Name)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		users := s.Directory.Users()
		if len(names) != len(users) {
			r.Fatalf("%d names of %d users", len(names), len(users))
		}
		for n, u := range users {
			if names[n] != u.Name {
				r.Fatalf("%d: %s, want %s", n, names[n], u.Name)
			}
		}
		if len(users) < 20 {
			s.User(fmt.Sprint("user", len(users)), "")
		}
	})
}

func TestCreationsAreRepeatedOnce(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	ann := s.user("ann", "research")
	doc := client.CreateService{Document: source(web), Key: "the key"}
	first, err := s.Services().Create(ctx, doc)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Services().Create(ctx, doc)
	if err != nil || again.ID != first.ID {
		t.Errorf("%d, want %d, %v", again.ID, first.ID, err)
	}
	other, err := ann.Services().Create(ctx, doc)
	if err != nil || other.ID == first.ID {
		t.Errorf("another's key is another: %d, %v", other.ID, err)
	}
	r := s.send("POST", "/v1/services", doc, "Idempotency-Key", "the key")
	if r.status != 201 || r.header.Get("Location") != "/v1/services/1" || r.header.Get("Etag") != `"1"` {
		t.Errorf("%+v", r)
	}
	changed := doc
	changed.Name = "another"
	if r := s.send("POST", "/v1/services", changed, "Idempotency-Key", "the key"); r.status != 422 || !strings.Contains(r.body, "was used for another request") {
		t.Errorf("the same key with another body: %+v", r)
	}
	s.UntilRunning(first.ID)
	s.UntilRunning(other.ID)
	if n := s.Engine.Len(); n != 2 {
		t.Errorf("%d services, want 2", n)
	}
	s.Until(first.ID, "deployed", func(svc *service.Service) bool { return svc.Len() == 3 })
}

func TestYAMLInAndOut(t *testing.T) {
	s := newStage(t)
	r := s.send("POST", "/v1/services", web, "Content-Type", "application/yaml", "Accept", "application/yaml")
	if r.status != 201 || !strings.Contains(r.body, "name: web\n") {
		t.Errorf("%+v", r)
	}
}
