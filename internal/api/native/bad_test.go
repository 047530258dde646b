package native_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/client"
)

// Every field of every body is given a value of every other type, and a neighbour that nobody knows:
// the answer is 4xx with the place, and nothing has changed.
func TestWrongTypesInEachField(t *testing.T) {
	s := newStage(t)
	s.up(s.Client, web)
	before, err := s.Services().Get(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	wrong := map[string][]string{
		"string": {`1`, `true`, `[]`, `{}`}, "integer": {`"1"`, `true`, `[]`, `{}`, `1.5`, `-1e30`}, "number": {`"1"`, `true`, `[]`, `{}`},
		"boolean": {`"true"`, `1`, `[]`, `{}`}, "array": {`"a"`, `1`, `true`, `{}`}, "object": {`"a"`, `1`, `true`, `[]`},
	}
	tried := 0
	for _, op := range inspected.operations() {
		method, path, _ := strings.Cut(op, " ")
		schema := bodySchema(path, method)
		if schema == nil {
			continue
		}
		path = "/v1" + strings.NewReplacer("{service}", "web", "{serial}", "1", "{template}", "1", "{user}", "nobody", "{group}", "nobody").Replace(path)
		props, _ := schema["properties"].(map[string]any)
		for name, p := range props {
			p := resolve(p.(map[string]any))
			kind, _ := p["type"].(string)
			for _, v := range wrong[kind] {
				tried++
				body := fmt.Sprintf(`{%q: %s}`, name, v)
				r := s.send(method, path, body)
				if r.status != 422 || !strings.Contains(r.body, "body") {
					t.Errorf("%s %s: %d %s", op, body, r.status, r.body)
				}
			}
		}
		if schema["additionalProperties"] == false {
			r := s.send(method, path, `{"nobody_knows": "s3cret value"}`)
			if r.status != 422 || !strings.Contains(r.body, "nobody_knows") || strings.Contains(r.body, "s3cret") {
				t.Errorf("%s: %d %s", op, r.status, r.body)
			}
		}
		for _, body := range []string{"", "{", "[]", "null", "1", `"x"`, "\xff", "{}{}", `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}"} {
			tried++
			if r := s.send(method, path, body); r.status/100 != 4 {
				t.Errorf("%s %.20q: %d %s", op, body, r.status, r.body)
			}
		}
	}
	if tried < 300 {
		t.Errorf("only %d bodies were tried", tried)
	}
	after, err := s.Services().Get(t.Context(), "web")
	if d := cmp.Diff(before, after); d != "" || err != nil {
		t.Errorf("bad input changed something: %s, %v", d, err)
	}
}

// bodySchema returns the schema of what an operation takes, or nil.
func bodySchema(path, method string) map[string]any {
	op := inspected.doc["paths"].(map[string]any)[path].(map[string]any)[strings.ToLower(method)].(map[string]any)
	body, ok := op["requestBody"].(map[string]any)
	if !ok {
		return nil
	}
	media, ok := body["content"].(map[string]any)["application/json"].(map[string]any)
	if !ok || len(media["schema"].(map[string]any)) == 0 { // samples: intake_test.go
		return nil
	}
	return resolve(media["schema"].(map[string]any))
}

func resolve(schema map[string]any) map[string]any {
	if ref, ok := schema["$ref"].(string); ok {
		return inspected.doc["components"].(map[string]any)["schemas"].(map[string]any)[strings.TrimPrefix(ref, "#/components/schemas/")].(map[string]any)
	}
	return schema
}

func TestBadRequests(t *testing.T) {
	s := newStage(t)
	s.up(s.Client, web)
	doc := func(source string) string {
		text, err := json.Marshal(map[string]string{"source": source, "file": "web.yaml"})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	var roles strings.Builder
	for n := range 10_000 {
		fmt.Fprintf(&roles, "  r%d: {machine: {driver: sim}}\n", n)
	}
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"no such role":      {"POST", "/services", doc("name: x\nroles: {a: {needs: bb, machine: {driver: sim}}, b: {machine: {driver: sim}}}"), 400, "web.yaml"},
		"circle":            {"POST", "/services", doc("name: x\nroles: {a: {needs: b, machine: {driver: sim}}, b: {needs: a, machine: {driver: sim}}}"), 400, "a"},
		"unknown driver":    {"POST", "/services", doc("name: x\nroles: {a: {machine: {driver: sym}}}"), 400, `did you mean \"sim\"?`},
		"unknown machine":   {"POST", "/services", doc("name: x\nroles: {a: {machine: large}}"), 400, "large"},
		"unknown input":     {"POST", "/services", `{"source":"name: x\ninputs: {COLOUR: red}\nroles: {a: {machine: {driver: sim}}}","inputs":{"COLOR":"x"}}`, 400, `did you mean \"COLOUR\"?`},
		"bomb":              {"POST", "/services", doc(bomb), 400, ""},
		"10,000 roles":      {"POST", "/services", doc("name: x\nroles:\n" + roles.String()), 400, ""},
		"10 MB name":        {"POST", "/services", doc("name: " + strings.Repeat("x", 10<<20)), 413, ""},
		"7 MB name":         {"POST", "/services", doc("name: " + strings.Repeat("x", 7<<20)), 400, ""},
		"deep YAML":         {"POST", "/services", doc(strings.Repeat("[", 100_000)), 400, ""},
		"include":           {"POST", "/services", doc("include: ../../secret\nname: x\nroles: {a: {machine: {driver: sim}}}"), 400, ""},
		"include of a host": {"POST", "/services", doc("include: etc/passwd\nname: x\nroles: {a: {machine: {driver: sim}}}"), 400, "did not come along"},
		"both":              {"POST", "/services", `{"source":"a","spec":{}}`, 400, "body.spec"},
		"neither":           {"POST", "/services", `{}`, 400, "body.source"},
		"spec in oneflow":   {"POST", "/services", `{"format":"oneflow","spec":{}}`, 400, "body.format"},
		"unknown format":    {"POST", "/services", `{"format":"toml","source":"a"}`, 422, "body.format"},
		"spec of a list":    {"POST", "/services", `{"spec":[1]}`, 400, ""},
		"bits":              {"POST", "/services", `{"source":"a","permissions":"888"}`, 422, "body.permissions"},
		"template, both":    {"POST", "/services", `{"source":"a","template":1}`, 400, "body.template"},
		"secret":            {"POST", "/services", doc("name: x\ninputs: {P: (secret)}\nsecrets: [P]\nroles: {a: {machine: {driver: sim}}}"), 400, "inputs.P"},
		"long key":          {"POST", "/services", doc(web), 422, "Idempotency-Key"},
		"If-Match":          {"POST", "/services/web/update", doc(web), 400, "If-Match"},
		"no service":        {"GET", "/services/wep", "", 404, "wep"},
		"query of a get":    {"GET", "/services/web?full=true", "", 422, "query.full"},
		"no route":          {"GET", "/nothing", "", 404, "/v1/nothing"},
		"no method":         {"PUT", "/services", "{}", 405, "GET, POST"},
		"XML":               {"POST", "/services/web/scale", "<scale/>", 415, ""},
		"wrong token":       {"DELETE", "/tokens/nothing", "", 404, ""},
	} {
		var headers []string
		switch name {
		case "long key":
			headers = []string{"Idempotency-Key", strings.Repeat("k", 300)}
		case "If-Match":
			headers = []string{"If-Match", "W/abc"}
		case "XML":
			headers = []string{"Content-Type", "application/xml"}
		}
		r := s.send(c.method, "/v1"+c.path, c.body, headers...)
		if r.status != c.status || !strings.Contains(r.body, c.says) || r.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s %.500s", name, r.status, r.header.Get("Content-Type"), r.body)
		}
		if len(r.body) > 20_000 {
			t.Errorf("%s: an answer of %d bytes", name, len(r.body))
		}
	}
	if n := len(s.Control.Services(s.Root())); n != 1 {
		t.Errorf("%d services, want 1", n)
	}
}

var requestIDs = regexp.MustCompile(`"request":"[0-9A-Z]{26}"`)

// The bodies of problems are what programs and people rely on.
func TestGoldenProblems(t *testing.T) {
	s := newStage(t)
	s.up(s.Client, web)
	one := 1
	s.must(s.Groups().Add(t.Context(), client.AddGroup{Name: "small", Quota: client.Quota{Services: &one, Instances: &one}}))
	s.User("sam", "small")
	var got strings.Builder
	for _, c := range [][4]string{
		{"not found", "GET", "/services/wep", ""},
		{"document", "POST", "/services", `{"file":"web.yaml","source":"name: web\nroles:\n  web:\n    needs: frontendd\n    count: x\n    machine: {driver: sim}\n  frontend: {machine: {driver: sym}}\n"}`},
		{"oneflow", "POST", "/services", `{"format":"oneflow","source":"{\"name\":\"x\",\n\"roles\":[{\"name\":1}]}"}`},
		{"fields", "POST", "/services/web/scale", `{"role":1,"number":2}`},
		{"syntax", "POST", "/services/web/scale", `{"role":"app",}`},
		{"bounds", "POST", "/services/web/scale", `{"role":"app","cardinality":"11"}`},
		{"state", "POST", "/services/web/recover", `{}`},
		{"stale", "POST", "/services/web/update", `{"source":` + mustJSON(web) + `}`},
		{"method", "DELETE", "/me", ""},
		{"query", "GET", "/services?limit=0&colour=red", ""},
		{"quota", "POST", "/services", `{"source":` + mustJSON(web) + `}`},
		{"login", "GET", "/me", ""},
	} {
		var body any
		if c[3] != "" {
			body = c[3]
		}
		var headers []string
		switch c[0] {
		case "stale":
			headers = []string{"If-Match", `"7"`}
		case "quota":
			headers = []string{"Authorization", "Basic " + basic("sam", "sam-password")}
		case "login":
			headers = []string{"Authorization", "Basic " + basic("sam", "wrong")}
		}
		r := s.send(c[1], "/v1"+c[2], body, headers...)
		fmt.Fprintf(&got, "# %s: %s %s\n%d\n%s\n", c[0], c[1], c[2], r.status, requestIDs.ReplaceAllString(r.body, `"request":"ID"`))
	}
	file := filepath.Join("testdata", "problems.txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("problems differ (UPDATE_GOLDEN=1 writes them anew): %s", d)
	}
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func basic(user, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
}
