package oneflow_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/api/oneflow"
)

// Section 1: credentials come first, on every path, and without a challenge.
func TestAuthentication(t *testing.T) {
	s := newStage(t, sim.Options{})
	for _, c := range []struct{ method, path, auth string }{
		{"GET", "/service", ""},
		{"GET", "/nosuch", ""},
		{"POST", "/service_template", ""},
		{"GET", "/service", "Basic %%%"},
		{"GET", "/service", "Basic b25lYWRtaW46d3Jvbmc="}, // a wrong password
		{"GET", "/service", "Bearer abc"},
		{"GET", "/service", "Digest abc"},
	} {
		h := http.Header{}
		if c.auth != "" {
			h.Set("Authorization", c.auth)
		}
		r := s.sendWith("", c.method, c.path, "", h)
		if r.Status != 401 || r.At("error", "message") == nil {
			t.Errorf("%s %s %q: %d %s, want 401", c.method, c.path, c.auth, r.Status, r.Text)
		}
		if r.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s %s %q: a challenge is sent", c.method, c.path, c.auth)
		}
	}
}

// Section 1 and 2: paths and verbs.
func TestPaths(t *testing.T) {
	s := newStage(t, sim.Options{})
	id := s.running(web)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/service", 200},
		{"GET", "//service", 200},
		{"GET", "/service/", 200},
		{"GET", "//service//" + id + "/", 200},
		{"HEAD", "/service/" + id, 200},
		{"GET", "/service/" + id + "?extended=true", 200},
		{"GET", "/", 404},
		{"GET", "/login", 404},
		{"GET", "/services", 404},
		{"GET", "/service/" + id + "/nosuch", 404},
		{"PATCH", "/service/" + id, 501},
		{"DELETE", "/service", 501},
		{"GET", "/service/" + id + "/action", 501},
		{"PUT", "/service_template", 501},
		{"GET", "/service_pool/purge_done", 501},
		{"BREW", "/service/" + id, 501},
		{"GET", "/service/x", 404},
		{"GET", "/service/-1", 404},
		{"GET", "/service/99999999999999999999999", 404},
		{"GET", "/service/1.5", 404},
		{"GET", "/service/%00", 404},
		{"GET", "/service/%ff", 404},
		{"GET", "/service/0", 404},
		{"GET", "/service_template/99", 404},
	} {
		r := s.root(c.method, c.path, "")
		if r.Status != c.want {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, r.Status, c.want, r.Text)
		}
		if r.Status >= 400 && r.At("error", "message") == nil {
			t.Errorf("%s %s: no message: %s", c.method, c.path, r.Text)
		}
	}
	for _, path := range []string{"/service/999", "/service_template/999", "/service/abc"} {
		if r := s.root("GET", path, ""); !strings.Contains(r.message(), "Error getting document ["+path[strings.LastIndex(path, "/")+1:]+"]") {
			t.Errorf("%s: %s", path, r.Text)
		}
	}
	// Role names come percent-encoded.
	s.must(200, "PUT", "/service/"+id+"/role/%62%61ck", `{"cardinality":3}`)
	s.until(id, 2)
}

// An id of the other type of document answers like one that is not there.
func TestOtherDocument(t *testing.T) {
	for _, reference := range []bool{false, true} {
		s := newStage(t, sim.Options{}, func(o *oneflow.Options) { o.Reference = reference })
		template := s.template(web)
		id := s.instantiate(template, "")
		want := 404
		if reference {
			want = 500
		}
		for _, path := range []string{"/service/" + template, "/service_template/" + id} {
			r := s.root("GET", path, "")
			if r.Status != want || !strings.Contains(r.message(), "Error getting document [") {
				t.Errorf("%s: %d %s, want %d", path, r.Status, r.Text, want)
			}
		}
		if r := s.root("GET", "/service/999", ""); r.Status != 404 {
			t.Errorf("an id that nothing has: %d, want 404", r.Status)
		}
	}
}

// Section 1: what bodies look like. No Content-Type matters, comments are allowed, and GET and DELETE
// may bring a body.
func TestBodies(t *testing.T) {
	s := newStage(t, sim.Options{})
	commented := `{ // the name
		"name": "a//b", /* not a comment: */ "description": "/* kept */",
		"roles": []
	}`
	r := s.must(201, "POST", "/service_template", commented)
	if r.body("name") != "a//b" || r.body("description") != "/* kept */" {
		t.Errorf("comments: %s", r.Text)
	}
	id := r.id()
	for _, body := range []string{"null", "{}", "{bad", " "} {
		s.must(200, "GET", "/service_template/"+id, body)
		s.must(200, "GET", "/service", body)
	}
	s.must(204, "DELETE", "/service_template/"+id, "null")
	id = s.template(commented)
	s.must(204, "POST", "/service_template/"+id+"/action", `{"action":{"perform":"rename"/* new name */,"params":{"name":"n"}}} // done`)
	s.must(204, "DELETE", "/service_template/"+id, "{}")

	big := `{"name":"big","roles":[],"description":"` + strings.Repeat("x", 5000) + `"}`
	r = s.sendWith(apitest.Admin, "POST", "/service_template", big, http.Header{"Expect": {"100-continue"}})
	if r.Status != 201 {
		t.Errorf("Expect: 100-continue: %d %s", r.Status, r.Text)
	}
	if !strings.HasPrefix(r.Text, "{\n  \"DOCUMENT\": {\n    \"ID\"") {
		t.Errorf("not printed with two spaces: %.60q", r.Text)
	}
	if r := s.must(204, "POST", "/service_pool/purge_done", ""); r.Text != "" {
		t.Errorf("a 204 has a body: %q", r.Text)
	}
}

// Section 4: the envelope.
func TestDocument(t *testing.T) {
	s := newStage(t, sim.Options{})
	if r := s.must(200, "GET", "/service_template", ""); r.Text != "{\n  \"DOCUMENT_POOL\": {}\n}\n" {
		t.Errorf("an empty pool: %q", r.Text)
	}
	r := s.must(201, "POST", "/service_template", web)
	for key, want := range map[string]string{"UID": "0", "GID": "0", "UNAME": "oneadmin", "GNAME": "oneadmin", "NAME": "web", "TYPE": "101"} {
		if got := r.At("DOCUMENT", key); got != want {
			t.Errorf("%s is %v, want %q", key, got, want)
		}
	}
	want := map[string]string{"OWNER_U": "1", "OWNER_M": "1", "OWNER_A": "0", "GROUP_U": "0", "GROUP_M": "0", "GROUP_A": "0", "OTHER_U": "0", "OTHER_M": "0", "OTHER_A": "0"}
	for key, bit := range want {
		if got := r.At("DOCUMENT", "PERMISSIONS", key); got != bit {
			t.Errorf("%s is %v, want %q", key, got, bit)
		}
	}
	for n := 1; n <= 3; n++ {
		r = s.must(200, "GET", "/service_template", "")
		if list, ok := r.At("DOCUMENT_POOL", "DOCUMENT").([]any); !ok || len(list) != n {
			t.Errorf("a pool of %d: %s", n, r.Text)
		}
		var want bytes.Buffer
		check(t, json.Indent(&want, []byte(r.Text), "", "  "))
		if d := cmp.Diff(want.String(), r.Text); d != "" {
			t.Errorf("not printed with two spaces (-want +got):\n%s", d)
		}
		s.template(web)
	}
}

// Section 2: the switches of the form and the codes of errors.
func TestErrorForms(t *testing.T) {
	bare := newStage(t, sim.Options{}, func(o *oneflow.Options) { o.BareErrors = true })
	if r := bare.root("GET", "/service/77", ""); r.Text != "Error getting document [77]." {
		t.Errorf("bare text: %q", r.Text)
	}
	if r := bare.root("POST", "/service_template", `{"name":"n"}`); r.Status != 400 || !strings.HasPrefix(r.Text, "Mandatory document key 'roles (array)'") {
		t.Errorf("bare text: %q", r.Text)
	}

	s := newStage(t, sim.Options{}, func(o *oneflow.Options) { o.Reference = true })
	id := s.running(web)
	path := "/service/" + id
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", path + "/scale", `{"role_name":"front","cardinality":99}`, 500},
		{"POST", path + "/scale", `{"role_name":"nosuch","cardinality":1}`, 500},
		{"POST", path + "/scale", `{bad`, 500},
		{"POST", path + "/action", `{bad`, 500},
		{"POST", path + "/action", `{}`, 500},
		{"POST", path + "/action", act("nosuch", "{}"), 500},
		{"POST", path + "/action", act("recover", "{}"), 500}, // RUNNING
		{"POST", path + "/role_action", act("remove_role", `{"role":"nosuch"}`), 500},
		{"POST", "/service_template", `{bad`, 400},
		{"POST", "/service_template", `{"name":"n"}`, 400},
		{"GET", "/service/99", "", 404},
	} {
		if r := s.root(c.method, c.path, c.body); r.Status != c.want {
			t.Errorf("%s %s %s: %d, want %d: %s", c.method, c.path, c.body, r.Status, c.want, r.Text)
		}
	}
}
