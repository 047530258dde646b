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
	// Differs says why Troupe does something else, and Troupe what.
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
			if c.Error == "" && got == c.Want || got != c.Troupe {
				t.Errorf("%s\n  got %q\nthough it should differ, with %q", c.Template, got, c.Troupe)
			}
		case c.Error != "" && err == nil:
			t.Errorf("%s\n  got %q\nwant an error as %s", c.Template, got, c.Error)
		case c.Error == "" && (err != nil || got != c.Want):
			t.Errorf("%s\n  got %q, %v\n want %q", c.Template, got, err, c.Want)
		}
	}
	t.Logf("%d of %d cases agree", len(cases)-differ, len(cases))
}

func render(t testing.TB, template string, values map[string]any) (string, error) {
	parsed, err := Parse(template)
	if err != nil {
		return "", err
	}
	return parsed.Render(t.Context(), NewValues(values), false)
}

// In a strict rendering a missing value is an error wherever it is used, but for default and the tests that ask.
func TestStrict(t *testing.T) {
	for template, want := range map[string]string{
		"{{ a.b | default('x') }}{{ c is defined }}": "xFalse",
		"{{ c or 1 }}":    "line 1: no value \"c\"",
		"{{ 'x' ~ a.d }}": "line 1: no value \"d\"",
		"{{ c | upper }}": "line 1: no value \"c\"",
		"{{ a.key | upper }}{% if a.kex %}{% endif %}":           "line 1: no value \"kex\"; did you mean \"key\"?",
		"{% for x in c %}{% endfor %}":                           "line 1: no value \"c\"",
		"{{ c | default('x') }}\n{{ 'x' | wordwrap(1, false) }}": "line 2: received 1 unexpected positional argument",
		"{{ c | default('x') }}\n{{ 'x'.zfill('y') }}":           "line 2: zfill: ",
	} {
		parsed, err := Parse(template)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parsed.Render(t.Context(), NewValues(map[string]any{"a": map[string]any{"key": "v"}}), true)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s\n got %q\nwant %q", template, got, want)
		}
	}
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
			if e, ok := err.(*Error); !ok || e.Line < 1 || e.Text == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		parsed.References()
		for _, strict := range []bool{false, true} {
			out, err := parsed.Render(t.Context(), NewValues(values), strict)
			if _, ok := err.(*Error); err != nil && (!ok || out != "") || len(out) > MaxOutput {
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
