package occi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/occi"
)

// infrastructure is a service over memory with the whole infrastructure model.
func infrastructure(o occi.Options) *occi.Server {
	if o.Backend == nil {
		o.Backend = newMemory(occi.MustModel(append(occi.Core(), occi.Infrastructure()...)...))
	}
	return occi.NewServer(o)
}

// call asks a service; lines are "Header: value", and the body after an empty line.
func call(t testing.TB, h http.Handler, method, target string, lines ...string) *httptest.ResponseRecorder {
	t.Helper()
	var body string
	for i, line := range lines {
		if line == "" {
			body = strings.Join(lines[i+1:], "\n")
			lines = lines[:i]
			break
		}
	}
	r := httptest.NewRequest(method, "http://cloud.example.org"+target, strings.NewReader(body))
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const compute = `Category: compute; scheme="http://schemas.ogf.org/occi/infrastructure#"`

func TestCreateAndRead(t *testing.T) {
	s := infrastructure(occi.Options{Prefix: "/occi"})
	w := call(t, s, "POST", "/compute/", "Content-Type: text/occi", compute+`; class="kind"`,
		`X-OCCI-Attribute: occi.compute.memory=3.6, occi.core.title="say \", occi.compute.memory=1.0"`)
	if w.Code != http.StatusCreated || w.Body.String() != "OK" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	location, ok := strings.CutPrefix(w.Header().Get("Location"), "http://cloud.example.org/occi")
	if !ok {
		t.Fatalf("Location is %s", w.Header().Get("Location"))
	}
	w = call(t, s, "GET", location)
	want := `
Category: compute; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"
Link: </occi` + location + `?action=start>; rel="http://schemas.ogf.org/occi/infrastructure/compute/action#start"
X-OCCI-Attribute: occi.core.id="` + location + `"
X-OCCI-Attribute: occi.compute.memory=3.6
X-OCCI-Attribute: occi.core.title="say \", occi.compute.memory=1.0"
X-OCCI-Attribute: occi.compute.state="inactive"`
	if w.Body.String() != want {
		t.Errorf("got\n%s\nwant\n%s", w.Body, want)
	}
}
