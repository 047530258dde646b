package oneflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// parse parses and normalises a body.
func parse(t testing.TB, text string) *Body {
	t.Helper()
	b, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Normalise(); err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// plain decodes a body with the standard library, for comparing.
func plain(t testing.TB, b *Body) any {
	t.Helper()
	data, err := b.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

// template returns a template of testdata as JSON.
func template(t testing.TB, file string) []byte {
	t.Helper()
	data := read(t, file)
	if filepath.Ext(file) != ".yaml" {
		return data
	}
	var appliance struct {
		Template any `yaml:"opennebula_template"`
	}
	if err := yaml.Unmarshal(data, &appliance); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(appliance.Template)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTemplatesAsTheReferenceStoresThem(t *testing.T) {
	for _, file := range []string{"05-lithops.yaml", "08-example-straight.json", "09-example-scal-with-comments.json", "10-oneke-127-vmgroup-update.json"} {
		t.Run(file, func(t *testing.T) {
			b := parse(t, string(template(t, "testdata/templates/"+file)))
			if b.Generation() != Old {
				t.Error("not of the old generation")
			}
			converted, err := b.In(New)
			if err != nil {
				t.Fatal(err)
			}
			want := parse(t, string(read(t, "testdata/templates/expected/"+strings.TrimSuffix(file, filepath.Ext(file))+".json")))
			if diff := cmp.Diff(plain(t, want), plain(t, converted)); diff != "" {
				t.Error(diff)
			}
			back, err := converted.In(Old)
			if err != nil {
				t.Fatal(err)
			}
			again, err := back.In(New)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(t, converted), plain(t, again)); diff != "" {
				t.Error("new to old and back:", diff)
			}
		})
	}
}

// An exchange was recorded from OneFlow 7.4.
type exchange struct {
	Scenario, Note, Method, Path, Body string
	Status                             int
	Response                           string
}

// Exchanges in which the recorded server is not followed, and why.
var exceptions = map[string]string{
	"03-template-crud/action update append of an immutable attribute":         "registration_time differs: refused, not dropped silently",
	"03-template-crud/action update, template_json is an object not a string": "the caller's concern",
	"03-template-crud/action update template_raw append":                      "the caller's concern",
	"03-template-crud/action update without a template":                       "the caller's concern",
	"03-template-crud/action update without params":                           "the caller's concern",
}

func TestRecordedExchanges(t *testing.T) {
	var exchanges []exchange
	if err := json.Unmarshal(read(t, "testdata/golden/templates.json"), &exchanges); err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	bodies := make(map[string]*Body) // by scenario and id
	for _, x := range exchanges {
		name := x.Scenario + "/" + x.Note
		if exceptions[name] != "" {
			used[name] = true
			continue
		}
		id := x.Scenario + strings.TrimSuffix(strings.TrimPrefix(x.Path, "/service_template/"), "/action")
		b, err := answer(x, bodies[id])
		status := map[bool]int{true: 400, false: x.Status}[err != nil]
		var e *Error
		if errors.As(err, &e) && e.Kind == Immutable {
			status = 500
		}
		if status != x.Status {
			t.Errorf("%s: %v, want %d %s", name, err, x.Status, x.Response)
			continue
		}
		if err != nil {
			if e.Kind != Malformed && e.Message != x.Response {
				t.Errorf("%s: %q, want %q", name, e.Message, x.Response)
			}
			continue
		}
		if x.Status == 204 {
			bodies[id] = b
			continue
		}
		var document struct {
			Document struct {
				ID       string
				Template struct{ Body json.RawMessage }
			}
		}
		if err := json.Unmarshal([]byte(x.Response), &document); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		bodies[x.Scenario+document.Document.ID] = b
		var want bytes.Buffer
		if err := json.Compact(&want, document.Document.Template.Body); err != nil {
			t.Fatal(err)
		}
		got, _ := b.MarshalJSON()
		if timeless(want.String()) != timeless(string(got)) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want.String())
		}
	}
	for name := range exceptions {
		if !used[name] {
			t.Errorf("the exception %q is not used", name)
		}
	}
}

// What the caller writes, and not this package, is left out.
var written = regexp.MustCompile(`,"(registration_time|start_time|state)":\d+`)

func timeless(body string) string { return written.ReplaceAllString(body, "") }

// answer does what the server does with a request.
func answer(x exchange, stored *Body) (*Body, error) {
	if x.Path == "/service_template" {
		b, err := Parse([]byte(x.Body))
		if err == nil {
			_, err = b.Normalise()
		}
		if err == nil {
			b.root.Set("registration_time", json.Number("1795169525"))
		}
		return b, err
	}
	if stored == nil {
		return nil, fmt.Errorf("no template %s", x.Path)
	}
	var text []byte
	merge := false
	if strings.HasSuffix(x.Path, "/action") {
		v, err := ParseJSON([]byte(x.Body))
		if err != nil {
			return nil, err
		}
		action := v.(*Object).Object("action")
		params := action.Object("params")
		if action.Text("perform") == "instantiate" {
			b, _, err := stored.Instantiate(params.Get("merge_template"))
			return b, err
		}
		text, merge = []byte(params.Text("template_json")), params.Bool("append")
	} else {
		text = []byte(x.Body)
	}
	update, err := Parse(text)
	if err != nil {
		return nil, err
	}
	b, _, err := stored.UpdateTemplate(update, merge)
	return b, err
}

func BenchmarkTemplate(b *testing.B) {
	data := template(b, "testdata/templates/10-oneke-127-vmgroup-update.json")
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		body, err := Parse(data)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := body.Normalise(); err != nil {
			b.Fatal(err)
		}
		if _, _, err := body.ToSpec(testOptions()); err != nil {
			b.Fatal(err)
		}
	}
}
