package jinja

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// A golden is what Jinja2 for Python makes of a template (testdata/jinja.py).
type golden struct {
	Template, Want, Error string
	// Differs says why Troupe does something else on purpose, and Troupe what.
	Differs, Troupe string
}

func goldens(t testing.TB) (values map[string]any, cases []golden) {
	data, err := os.ReadFile("testdata/jinja.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Values map[string]any
		Cases  []golden
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	return file.Values, file.Cases
}

func TestJinja(t *testing.T) {
	values, cases := goldens(t)
	differ := 0
	for _, c := range cases {
		// Jinja drops one newline at the end; Troupe leaves that to who has the template.
		got, err := render(t, strings.TrimSuffix(c.Template, "\n"), values)
		switch {
		case c.Differs != "":
			if differ++; err != nil {
				got = err.Error()
			}
			if got == c.Want || !strings.Contains(got, c.Troupe) {
				t.Errorf("%s\n  got %q\nthough it should differ, with %q", c.Template, got, c.Troupe)
			}
		case c.Error != "" && err == nil:
			t.Errorf("%s\n  got %q\nwant an error as %s", c.Template, got, c.Error)
		case c.Error == "" && (err != nil || got != c.Want):
			t.Errorf("%s\n  got %q, %v\n want %q", c.Template, got, err, c.Want)
		}
	}
	t.Logf("%d cases, %d of them differ on purpose", len(cases), differ)
}

func render(t testing.TB, template string, values map[string]any) (string, error) {
	parsed, err := Parse(template)
	if err != nil {
		return "", err
	}
	return parsed.Render(t.Context(), NewValues(values), false)
}

// Any template parses or is refused, and renders or is refused, within its limits.
func FuzzRender(f *testing.F) {
	values, cases := goldens(f)
	for _, c := range cases {
		f.Add(c.Template)
	}
	f.Add("{{ '00' | int(base=1) }}")
	f.Fuzz(func(t *testing.T, template string) {
		parsed, err := Parse(template)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Line < 1 || e.Text == "" || strings.Contains(e.Text, broken) {
				t.Fatalf("%#v", err)
			}
			return
		}
		parsed.References()
		for _, strict := range []bool{false, true} {
			out, err := parsed.Render(t.Context(), NewValues(values), strict)
			if e, ok := err.(*Error); err != nil && (!ok || out != "" || strings.Contains(e.Text, broken)) || len(out) > MaxOutput {
				t.Fatalf("%d bytes, %#v", len(out), err)
			}
		}
	})
}

func BenchmarkRender(b *testing.B) {
	parsed, err := Parse("{% for x in people %}{{ loop.index }}. {{ x.name | upper }} ({{ x.age + 1 }})\n{% endfor %}")
	if err != nil {
		b.Fatal(err)
	}
	var people []any
	for i := range 100 {
		people = append(people, map[string]any{"name": "ann", "age": i})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parsed.Render(b.Context(), NewValues(map[string]any{"people": people}), false); err != nil {
			b.Fatal(err)
		}
	}
}
