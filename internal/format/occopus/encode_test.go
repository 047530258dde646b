package occopus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/troupe-dev/troupe/internal/format/native"
	"github.com/troupe-dev/troupe/internal/service"
)

// again compiles what Encode wrote.
func again(t testing.TB, e *Encoded) *service.Spec {
	t.Helper()
	i, _, err := ParseInfrastructure("infra.yaml", e.Infrastructure, Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, e.Infrastructure)
	}
	definitions, _, err := ParseDefinitions("nodes.yaml", e.Definitions, Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, e.Definitions)
	}
	spec, _, err := Compile(i, CompileOptions{Definition: of(definitions)})
	if err != nil {
		t.Fatalf("%v\n%s", err, e.Definitions)
	}
	return spec
}

// A set that becomes a service and then files again asks for the same.
func TestEncodeSets(t *testing.T) {
	for _, name := range sets {
		t.Run(name, func(t *testing.T) {
			spec := load(t, name).compile(t, CompileOptions{})
			e, err := Encode(spec)
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Lost) > 0 {
				t.Errorf("lost: %q", e.Lost)
			}
			if diff := cmp.Diff(asked(spec), asked(again(t, e))); diff != "" {
				t.Errorf("-want +got\n%s\n%s\n%s", diff, e.Infrastructure, e.Definitions)
			}
		})
	}
}

// Each file of testdata/encode holds a native document, the two files of Occopus that it becomes, and what is lost.
func TestEncodeNative(t *testing.T) {
	files, _ := filepath.Glob("testdata/encode/*.txtar")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		document := archive.Files[0]
		spec, err := native.Parse(document.Name, document.Data, native.Options{})
		if err != nil {
			t.Fatal(err)
		}
		e, err := Encode(spec)
		if err != nil {
			t.Fatal(err)
		}
		archive.Files = append(archive.Files[:1:1],
			txtar.File{Name: "infra.yaml", Data: e.Infrastructure}, txtar.File{Name: "nodes.yaml", Data: e.Definitions},
			txtar.File{Name: "lost", Data: []byte(strings.Join(e.Lost, "\n") + "\n")})
		got := txtar.Format(archive)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if diff := cmp.Diff(string(read(t, file)), string(got)); diff != "" {
			t.Errorf("%s: -want +got\n%s", file, diff)
		}
	}
}

// Each set becomes a native document that asks for the same, with the same names in templates.
func TestAsNative(t *testing.T) {
	for _, name := range sets {
		t.Run(name, func(t *testing.T) {
			spec := load(t, name).compile(t, CompileOptions{})
			text, err := native.Encode(spec)
			if err != nil {
				t.Fatal(err)
			}
			back, err := native.Parse("service.yaml", text, native.Options{})
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if diff := cmp.Diff(asked(spec), asked(back)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for n := range spec.Roles {
				want, got := spec.Roles[n].Machine.Implementations[0], back.Roles[n].Machine.Implementations[0]
				if diff := cmp.Diff(stored(map[string]any{"n": map[string]any(want.Names), "r": map[string]any(want.Rendered)}),
					stored(map[string]any{"n": map[string]any(got.Names), "r": map[string]any(got.Rendered)})); diff != "" {
					t.Errorf("names: -want +got\n%s", diff)
				}
			}
		})
	}
}
