package native_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/internal/api/apitest"
)

// An inspector stands between the clients of the tests and the server: it holds every answer against
// the description that the server gives of itself, and notes which operations have answered well.
type inspector struct {
	next http.RoundTripper

	mu     sync.Mutex
	doc    map[string]any
	schema *jsonschema.Compiler
	seen   map[string]bool
	wrong  []string
}

var inspected = &inspector{next: http.DefaultTransport, seen: map[string]bool{}}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	if run := flag.Lookup("test.run").Value.String(); code == 0 && run == "" && flag.Lookup("test.bench").Value.String() == "" {
		for _, op := range inspected.unseen() {
			fmt.Printf("no test has had a good answer of %s\n", op)
			code = 1
		}
	}
	os.Exit(code)
}

// operations yields method and path of everything described.
func (i *inspector) operations() (out []string) {
	for path, methods := range i.doc["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			out = append(out, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(out)
	return out
}

func (i *inspector) unseen() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.doc == nil {
		return []string{"any operation"}
	}
	// To halt a back end takes time; the engine's tests do it.
	i.seen["POST /backends/{backend}/accept-loss"] = true
	return slices.DeleteFunc(i.operations(), func(op string) bool { return i.seen[op] })
}

// learn reads the description from the server.
func (i *inspector) learn(t testing.TB, url string) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.doc != nil {
		return
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(apitest.Admin, apitest.Password)
	resp, err := i.next.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	doc, err := jsonschema.UnmarshalJSON(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	i.doc = doc.(map[string]any)
	i.schema = jsonschema.NewCompiler()
	if err := i.schema.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
}

// RoundTrip implements http.RoundTripper.
func (i *inspector) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := i.next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	path := i.match(req)
	i.mu.Lock()
	defer i.mu.Unlock()
	if path == "" {
		return resp, nil
	}
	if resp.StatusCode/100 == 2 {
		i.seen[req.Method+" "+path] = true
	}
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" && kind != "application/problem+json" {
		return resp, nil
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(text))
	if err != nil {
		return resp, err
	}
	if err := i.check(req.Method, path, resp, text); err != nil {
		i.wrong = append(i.wrong, fmt.Sprintf("%s %s %d: %v\n%s", req.Method, path, resp.StatusCode, err, text))
	}
	return resp, nil
}

// match finds the described path of a request: the one with the fewest parameters, as the mux does.
func (i *inspector) match(req *http.Request) (found string) {
	got := strings.Split(strings.TrimPrefix(req.URL.EscapedPath(), "/v1"), "/")
	for path := range i.doc["paths"].(map[string]any) {
		want := strings.Split(path, "/")
		if len(want) == len(got) && !slices.ContainsFunc(want, func(w string) bool {
			g := got[slices.Index(want, w)]
			return w != g && !strings.HasPrefix(w, "{")
		}) && (found == "" || strings.Count(path, "{") < strings.Count(found, "{")) {
			found = path
		}
	}
	return found
}

// check holds one answer against its schema.
func (i *inspector) check(method, path string, resp *http.Response, text []byte) error {
	body, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	place := "/components/schemas/Problem"
	if resp.Header.Get("Content-Type") == "application/json" { // a form of the route's own
		place = "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + strings.ToLower(method) + "/responses/default/content/application~1json/schema"
	}
	if resp.StatusCode/100 == 2 {
		if path == "/services" && method == http.MethodPost {
			place = "/components/schemas/" + map[int]string{200: "Plan", 201: "Service"}[resp.StatusCode]
		} else {
			place = "/paths/" + strings.ReplaceAll(strings.ReplaceAll(path, "~", "~0"), "/", "~1") + "/" + strings.ToLower(method) +
				"/responses/" + fmt.Sprint(resp.StatusCode) + "/content/application~1json/schema"
		}
	}
	place = strings.NewReplacer("{", "%7B", "}", "%7D").Replace(place)
	s, err := i.schema.Compile("openapi.json#" + place)
	if err != nil {
		return err
	}
	return s.Validate(body)
}

func TestDescription(t *testing.T) {
	newStage(t)
	doc := inspected.doc
	if doc["openapi"] != "3.1.0" {
		t.Errorf("openapi is %v", doc["openapi"])
	}
	ids := map[string]string{}
	for path, methods := range doc["paths"].(map[string]any) {
		for method, v := range methods.(map[string]any) {
			op := v.(map[string]any)
			at := method + " " + path
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] != "" {
				t.Errorf("%s: operation id %q, also of %q", at, id, ids[id])
			}
			ids[id] = at
			if summary, _ := op["summary"].(string); summary == "" {
				t.Errorf("%s has no summary", at)
			}
			declared := map[string]bool{}
			list, _ := op["parameters"].([]any)
			for _, p := range list {
				if p := p.(map[string]any); p["in"] == "path" {
					declared[p["name"].(string)] = true
				}
			}
			for part := range strings.SplitSeq(path, "/") {
				if name, ok := strings.CutPrefix(part, "{"); ok && !declared[strings.TrimSuffix(name, "}")] {
					t.Errorf("%s: parameter %s is not described", at, part)
				}
			}
			if _, ok := op["responses"].(map[string]any); !ok {
				t.Errorf("%s has no responses", at)
			}
		}
	}
	for name := range doc["components"].(map[string]any)["schemas"].(map[string]any) {
		if _, err := inspected.schema.Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	every := func(v any, f func(map[string]any)) {}
	every = func(v any, f func(map[string]any)) {
		switch x := v.(type) {
		case map[string]any:
			f(x)
			for _, y := range x {
				every(y, f)
			}
		case []any:
			for _, y := range x {
				every(y, f)
			}
		}
	}
	every(doc, func(m map[string]any) {
		if ref, ok := m["$ref"].(string); ok {
			if _, err := inspected.schema.Compile("openapi.json" + ref); err != nil {
				t.Errorf("%s leads nowhere: %v", ref, err)
			}
		}
	})
}

// Nothing is served to those who show no credentials, whatever they ask for.
func TestNothingWithoutCredentials(t *testing.T) {
	s := newStage(t)
	for _, op := range inspected.operations() {
		method, path, _ := strings.Cut(op, " ")
		path = strings.NewReplacer("{service}", "1", "{serial}", "1", "{kind}", "service.json").Replace(path)
		req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/v1"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := inspected.next.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		var p struct{ Status int }
		err = json.NewDecoder(resp.Body).Decode(&p)
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || p.Status != http.StatusUnauthorized || err != nil {
			t.Errorf("%s without credentials: %d, %+v, %v", op, resp.StatusCode, p, err)
		}
	}
}
