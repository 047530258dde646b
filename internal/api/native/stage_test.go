package native_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/native"
)

// A stage is a server with the native face, and its administrator's client.
type stage struct {
	*apitest.Stage
	t   testing.TB
	url string
	*client.Client
}

func newStage(t testing.TB) *stage { return newStageOn(t, sim.Options{}) }

func newStageOn(t testing.TB, o sim.Options) *stage {
	s := &stage{Stage: apitest.NewOn(t, o), t: t}
	s.url = s.Mount(native.New(s.Control, native.Options{Version: "1.2.3"}))
	inspected.learn(t, s.url)
	t.Cleanup(func() {
		inspected.mu.Lock()
		defer inspected.mu.Unlock()
		for _, w := range inspected.wrong {
			t.Errorf("an answer that is not as it is described: %s", w)
		}
		inspected.wrong = nil
		http.DefaultClient.CloseIdleConnections()
	})
	s.Client = s.as(apitest.Admin, apitest.Password)
	return s
}

// as returns the client of a user.
func (s *stage) as(user, password string) *client.Client {
	s.t.Helper()
	c, err := client.New(s.url, client.Options{User: user, Password: password, Attempts: 1, HTTP: &http.Client{Transport: inspected}})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// user makes a user and returns its client.
func (s *stage) user(name, group string) *client.Client {
	s.User(name, group)
	return s.as(name, name+"-password")
}

const web = `
name: web
description: A web shop
labels: {team: blue}
inputs: {COLOUR: red, PASSWORD: hunter2}
secrets: [PASSWORD]
roles:
  db:
    count: 1
    machine: {driver: sim}
  app:
    count: 2..10
    needs: db
    machine: {driver: sim}
`

// up deploys a service and waits until it runs.
func (s *stage) up(c *client.Client, source string) client.Service {
	s.t.Helper()
	made, err := c.Services().Create(s.t.Context(), client.CreateService{Document: client.Document{Source: source}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.UntilRunning(made.ID)
	return made
}

// A reply is an answer as it came.
type reply struct {
	status int
	header http.Header
	body   string
}

// send makes a request as the administrator. body may be a string, as it is, or a value for JSON.
func (s *stage) send(method, path string, body any, headers ...string) reply {
	s.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			s.t.Fatal(err)
		}
	}
	req := apitest.Request(s.t, method, s.url+path, string(text), headers...)
	if body == nil && len(headers) == 0 {
		req.Header.Del("Content-Type")
	}
	if req.Header.Get("Authorization") == "" {
		req.SetBasicAuth(apitest.Admin, apitest.Password)
	}
	r := apitest.Do(s.t, inspected, req)
	return reply{r.Status, r.Header, r.Text}
}
