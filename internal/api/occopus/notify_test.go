package occopus_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/occopus"
)

// receiver takes events, and returns what they say in short and its URL.
func receiver(t *testing.T) (<-chan string, string) {
	events := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		var event struct {
			Title, Payload string
			Name           string `json:"event_name"`
			Timestamp      int64
		}
		if err := json.Unmarshal(text, &event); err != nil || event.Title != "Occopus infrastructure status update event" || event.Timestamp < 1e9 {
			t.Errorf("%v: %s", err, text)
		}
		data := apitest.Decode(event.Payload)
		events <- fmt.Sprint(event.Name, " ", apitest.At(data, "infra_id"), " ", apitest.At(data, "node_name"))
	}))
	t.Cleanup(hook.Close)
	return events, hook.URL
}

// The events of an infrastructure reach a webhook, under Occopus' names.
func TestNotify(t *testing.T) {
	s := newStage(t, occopus.Settings{})
	events, url := receiver(t)

	id := s.send("POST", "/infrastructures/", `{"infra_name": "shop", "user_id": "ann", "nodes": [{"name": "app", "type": "web", "scaling": {"max": 2}}]}`).Str("infraid")
	s.Within("built", func() bool {
		return s.send("GET", "/info/infrastructure.finished_first_maintenance?infra_id="+id, "").Str("result") == "1"
	})
	notify := func(body string) apitest.Reply { return s.send("POST", "/infrastructures/"+id+"/notify", body) }
	if r := notify(`{"type":"webhook","webhook":{"url":"` + url + `","secret":"s3cret"}}`); r.Str("infraid") != id {
		t.Fatal(r.Text)
	}
	s.send("POST", "/infrastructures/"+id+"/scaleup/app", "")
	deliveries := func() (reasons []string) {
		all, err := s.Control.Deliveries(s.Root(), "research", "")
		for _, d := range all {
			reasons = append(reasons, fmt.Sprint(d.Message.News.Kind, " ", d.Reason))
		}
		return append(reasons, fmt.Sprint(err))
	}
	expect := func(names ...string) {
		t.Helper()
		var got []string
		for len(got) < len(names) {
			select {
			case e := <-events:
				got = append(got, e)
			case <-time.After(10 * time.Second):
				t.Fatalf("nothing after %q; deliveries %v", got, deliveries())
			}
		}
		var want []string
		for _, n := range names {
			node := "<nil>"
			if n[:4] == "node" {
				node = "app"
			}
			want = append(want, fmt.Sprint(n, " ", id, " ", node))
		}
		slices.Sort(got) // a change may show what the next one brought already
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	expect("nodecreating", "infraupdated", "nodecreated", "infraready")

	// What Occopus does not know ends it; the type that is not sent is refused and changes nothing.
	if r := notify(`{"type":"fcm","fcm":{"api_key":"k","reg_id":"r"}}`); r.Str("status_code") != "400" || r.Status != 200 {
		t.Error(r.Text)
	}
	for _, body := range []string{`{"type":"webhook","webhook":{"url":"ftp://x"}}`, `{"type":"webhook","webhook":["http://x"]}`, `{"type":"webhook"}`} {
		if r := notify(body); r.Str("status_code") != "400" {
			t.Errorf("%s: %s", body, r.Text)
		}
	}
	if r := s.send("POST", "/infrastructures/nobody/notify", ""); r.Str("status_code") != "300" {
		t.Error(r.Text)
	}
	s.send("POST", "/infrastructures/"+id+"/scaledown/app", "")
	expect("nodedropping", "infraupdated", "nodedropped", "infraready")
	for _, body := range []string{"", "no JSON", `{"type":"pigeon"}`} {
		notify(`{"type":"webhook","webhook":{"url":"` + url + `"}}`)
		if r := notify(body); r.Str("infraid") != id {
			t.Errorf("%q: %s", body, r.Text)
		}
		if m, err := s.Control.Methods(s.Root(), "research"); err != nil || len(m) != 0 {
			t.Errorf("%q: %v, %v", body, m, err)
		}
	}
	notify(`{"type":"webhook","webhook":{"url":"` + url + `"}}`)
	s.send("DELETE", "/infrastructures/"+id, "")
	expect("nodedropping", "infraupdated", "nodedropped", "infraupdated", "infradrop")
}
