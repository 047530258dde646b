package occi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/occi"
)

// answering is a service that gives one answer to everything; its headers are lines.
func answering(t *testing.T, status int, headers, body string) *occi.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for line := range strings.Lines(headers) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			w.Header().Add(name, value)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return &occi.Client{URL: s.URL + "/cloud/"}
}

// TestClientCreate: where a created entity is, in all the ways in which services tell it.
func TestClientCreate(t *testing.T) {
	for _, x := range []struct {
		status        int
		headers, body string
	}{
		{201, "Location: https://other.example.org/cloud/compute/1", "OK"},
		{201, "Location: /cloud/compute/1\nContent-Type: text/plain", ""},
		{200, "Content-Type: text/plain", "X-OCCI-Location: http://x/cloud/compute/1\n"},
		{201, "Content-Type: text/plain", "\nX-OCCI-Location: /cloud/compute/1;"},
		{201, "Content-Type: text/occi\nX-OCCI-Location: http://x/cloud/compute/1", "OK"},
		{201, "Content-Type: text/plain", "http://x/cloud/compute/1\n"},
		{200, "Content-Type: text/uri-list", "http://x/cloud/compute/1"},
		{201, "Content-Type: application/occi+json", `{"id": "urn:uuid:1", "kind": "http://schemas.ogf.org/occi/infrastructure#compute"}`},
		{201, "Content-Type: application/occi+json", `{"id": "1", "kind": "http://schemas.ogf.org/occi/infrastructure#compute", "location": "/cloud/compute/1"}`},
		{200, "Content-Type: text/plain", "Category: Compute; scheme=\"http://schemas.ogf.org/occi/infrastructure#\"\nX-OCCI-Attribute: occi.core.id=\"/cloud/compute/1\""},
	} {
		c := answering(t, x.status, x.headers, x.body)
		path, err := c.Create(t.Context(), "/compute/", &occi.Entity{Kind: occi.Compute})
		if err != nil || path != "/compute/1" {
			t.Errorf("%s %s: %s, %v", x.headers, x.body, path, err)
		}
	}
	if _, err := answering(t, 201, "", "").Create(t.Context(), "/compute/", &occi.Entity{Kind: occi.Compute}); err == nil {
		t.Error("a creation that answers nothing is no error")
	}
}

// TestClientTolerance: entities as services in the field write them.
func TestClientTolerance(t *testing.T) {
	for _, x := range []struct{ media, body string }{
		{"text/plain", "Category: compute; scheme=\"http://schemas.ogf.org/occi/infrastructure#\"; class=\"kind\";\n" +
			"Category: my_os; scheme=\"http://x.org/os#\"; class=\"mixin\"\nX-OCCI-Attribute: occi.compute.cores=2;\nX-OCCI-Attribute: org.own=\"x\"\n" +
			"Link: </cloud/network/public>; rel=\"http://schemas.ogf.org/occi/infrastructure#network\"; self=\"/cloud/networkinterface/1\"; category=\"http://schemas.ogf.org/occi/infrastructure#networkinterface\"; occi.networkinterface.address=\"192.0.2.1\";\n" +
			"Link: </cloud/compute/1?action=stop>; rel=\"http://schemas.ogf.org/occi/infrastructure/compute/action#stop\"\nUnknown: line\n"},
		{"text/plain; charset=utf-8", "\r\nCategory: compute;scheme=\"http://schemas.ogf.org/occi/infrastructure#\"\r\ncategory: my_os;scheme=\"http://x.org/os#\"\r\nx-occi-attribute: occi.compute.cores=\"2\", org.own=x\r\n" +
			"link: </cloud/network/public>;self=\"/cloud/networkinterface/1\";category=\"http://schemas.ogf.org/occi/infrastructure#networkinterface\";rel=\"http://schemas.ogf.org/occi/infrastructure#network\";occi.networkinterface.address=192.0.2.1, </cloud/compute/1?action=stop>;rel=\"http://schemas.ogf.org/occi/infrastructure/compute/action#stop\""},
		{"application/json", `{"id": "1", "kind": "http://schemas.ogf.org/occi/infrastructure#compute", "mixins": ["http://x.org/os#my_os"], "attributes": {"occi.compute.cores": 2, "org.own": "x"},
			"actions": ["http://schemas.ogf.org/occi/infrastructure/compute/action#stop"], "links": [{"kind": "http://schemas.ogf.org/occi/infrastructure#networkinterface", "location": "/cloud/networkinterface/1",
			"target": {"location": "/cloud/network/public", "kind": "http://schemas.ogf.org/occi/infrastructure#network"}, "attributes": {"occi.networkinterface.address": "192.0.2.1"}}]}`},
	} {
		e, err := answering(t, 200, "Content-Type: "+x.media, x.body).Get(t.Context(), "/compute/1")
		if err != nil {
			t.Errorf("%s: %v", x.media, err)
			continue
		}
		if cores, _ := e.Attributes.Float("occi.compute.cores"); e.Kind != occi.Compute || !e.Has("http://x.org/os#my_os") || cores != 2 || e.Attributes.Text("org.own") != "x" ||
			len(e.Actions) != 1 || e.Actions[0] != occi.ComputeStop || len(e.Links) != 1 {
			t.Errorf("%s: %+v", x.media, e)
			continue
		}
		if l := e.Links[0]; l.Path != "/networkinterface/1" || l.Kind != occi.NetworkInterface || l.Target != (occi.Reference{Location: "/network/public", Kind: occi.Network}) ||
			l.Attributes.Text("occi.networkinterface.address") != "192.0.2.1" {
			t.Errorf("%s: the link is %+v", x.media, l)
		}
	}
}

// TestClientErrors: an error has the status and the words of the service.
func TestClientErrors(t *testing.T) {
	_, err := answering(t, 503, "Retry-After: 7\nContent-Type: text/plain", "down for\na while").Get(t.Context(), "/compute/1")
	e, ok := err.(*occi.Error)
	if !ok || e.Status != 503 || e.RetryAfter() != 7*time.Second || !strings.Contains(e.Message, "down for a while") {
		t.Errorf("%#v", err)
	}
	if _, err := answering(t, 200, "Content-Type: application/json", "{").Get(t.Context(), "/compute/1"); err == nil {
		t.Error("half an answer is no error")
	}
	if _, err := answering(t, 200, "Content-Type: text/html", "<p>hello").Get(t.Context(), "/compute/1"); err == nil {
		t.Error("a page is no error")
	}
}

// TestClientLogin: the client logs in when the service asks for it, and once.
func TestClientLogin(t *testing.T) {
	s := httptest.NewServer(infrastructure(occi.Options{Authenticate: func(r *http.Request) (occi.Caller, error) {
		if r.Header.Get("X-Auth-Token") != "good" {
			return occi.Caller{}, occi.Unauthorized(`Keystone uri="https://identity.example.org/v3"`, "no token")
		}
		return occi.Caller{}, nil
	}}))
	defer s.Close()
	logins := 0
	c := &occi.Client{URL: s.URL, Login: func(_ context.Context, challenge string) (http.Header, error) {
		if challenge != `Keystone uri="https://identity.example.org/v3"` {
			return nil, fmt.Errorf("the challenge is %s", challenge)
		}
		logins++
		return http.Header{"X-Auth-Token": {"good"}}, nil
	}}
	for range 3 {
		if _, err := c.List(t.Context(), "/compute/", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if logins != 1 {
		t.Errorf("%d logins", logins)
	}
}
