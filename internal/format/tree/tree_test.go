package tree

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func TestScalars(t *testing.T) {
	root, err := new(Reader).Read("x.yaml", []byte(`
num: 0755
octal: 0o755
hex: 0x1F
negative: -12
plus: +3
large: 123456789012345678901234567890
float: 1.50
exponent: 1e3
yes: yes
no: no
on: on
true: True
nothing: ~
empty:
date: 2020-01-01
quoted: "0755"
text: !!str 12
block: |
  a

  b
folded: >-
  a
  b
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"num": 755, "octal": 493, "hex": 31, "negative": -12, "plus": 3, "large": "123456789012345678901234567890", "float": 1.5, "exponent": 1000.0,
		"yes": "yes", "no": "no", "on": "on", "true": true, "nothing": nil, "empty": nil, "date": "2020-01-01", "quoted": "0755", "text": "12",
		"block": "a\n\nb\n", "folded": "a b",
	}
	if diff := cmp.Diff(want, root.Any()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTags(t *testing.T) {
	text := []byte("a: !list\n  - 1\nb: !map &x {k: v}\nc: [*x]\nd:\n  - *x\n  - !deep\n    k: *x\n")
	r := Reader{Tags: func(tag string) bool { return tag != "!other" }}
	root, err := r.Read("x.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"a": []any{1}, "b": map[string]any{"k": "v"}, "c": []any{map[string]any{"k": "v"}},
		"d": []any{map[string]any{"k": "v"}, map[string]any{"k": map[string]any{"k": "v"}}},
	}
	if diff := cmp.Diff(want, root.Any()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if n := root.Get("d").Items[1]; n.Tag != "!deep" || n.At.Line != 7 || n.At.Column != 5 {
		t.Errorf("%+v", n)
	}
	for _, bad := range []string{"a: !other 1", "a: !!int []\nb: !!str []", "a: !other [1]"} {
		var m *Mistake
		if _, err := r.Read("x.yaml", []byte(bad)); !errors.As(err, &m) || m.At.Line == 0 {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestManyFiles(t *testing.T) {
	r := Reader{Nodes: 100}
	list := []byte("[" + strings.Repeat("1,", 39) + "1]") // 41 values
	for range 2 {
		if _, err := r.Read("x.yaml", list); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Read("x.yaml", list); err == nil || !strings.Contains(err.Error(), "too many values; 100 is the most") {
		t.Error(err)
	}
	if r.Files() != 3 || r.Take(MaxTotal) {
		t.Error("files are not counted")
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"a: [1, {b: c}]", "- &a !t x\n- *a\n", "<<: {a: 1}", "a: |\n  x\n\n", `{"a": null}`, "? a\n: b", "0x: 0o9", "!t", "a: !t\nb: -0x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := Reader{Nodes: 10_000, Tags: func(string) bool { return true }}
		root, err := r.Read("x.yaml", []byte(text))
		if err != nil {
			if m := (*Mistake)(nil); !errors.As(err, &m) {
				t.Errorf("%T", err)
			}
			return
		}
		// What was read is written, and reads back.
		out, err := Emit(yaml.MapSlice{{Key: "v", Value: root.Any()}})
		if err != nil {
			t.Skip(err)
		}
		again, err := (&Reader{Nodes: 20_000}).Read("y.yaml", out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if diff := cmp.Diff(map[string]any{"v": root.Any()}, again.Any()); diff != "" {
			t.Errorf("-want +got\n%s\n%s", diff, out)
		}
	})
}
