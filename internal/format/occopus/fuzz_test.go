package occopus

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// seeds adds the samples, and what is wrong in testdata/bad.
func seeds(f *testing.F, patterns ...string) {
	for _, p := range patterns {
		files, _ := filepath.Glob(p)
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data))
		}
	}
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	for _, name := range files {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(archive.Files[0].Data))
	}
}

// refused checks that an error is of the type that is promised.
func refused(t *testing.T, err error) bool {
	var invalid *Invalid
	if err != nil && (!errors.As(err, &invalid) || len(invalid.Problems) == 0 || invalid.Compatible == "") {
		t.Errorf("%T: %v", err, err)
	}
	return err != nil
}

var fuzzOptions = Options{Open: Files(map[string][]byte{"a.yaml": []byte("a: !yaml_import {url: file://b.yaml}\n"), "b.yaml": []byte("- x\n"), "t": []byte("text\r\n")})}

func FuzzInfrastructure(f *testing.F) {
	seeds(f, "testdata/*/infra*.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		i, _, err := ParseInfrastructure("x.yaml", []byte(text), fuzzOptions)
		if refused(t, err) {
			return
		}
		stored, err := i.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := ParseInfrastructure("stored.json", stored, Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, stored)
		}
		once, err := again.JSON()
		if diff := cmp.Diff(string(stored), string(once)); err != nil || diff != "" {
			t.Errorf("%v: -want +got\n%s", err, diff)
		}
	})
}

func FuzzDefinitions(f *testing.F) {
	seeds(f, "testdata/*/nodes/node_definitions.yaml", "testdata/resources/*.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		defs, _, err := ParseDefinitions("x.yaml", []byte(text), fuzzOptions)
		if refused(t, err) {
			return
		}
		for i := range defs {
			stored, err := EncodeDefinition(&defs[i])
			if err != nil {
				t.Fatal(err)
			}
			again, err := DecodeDefinition(stored)
			if err != nil {
				t.Fatal(err)
			}
			once, err := EncodeDefinition(again)
			if diff := cmp.Diff(string(stored), string(once)); err != nil || diff != "" {
				t.Errorf("%v: -want +got\n%s", err, diff)
			}
		}
	})
}

func FuzzAuthentication(f *testing.F) {
	seeds(f, "testdata/dot-occopus/auth_data.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := ParseAuthentication("x.yaml", []byte(text), fuzzOptions); !refused(t, err) {
			_, _ = a.Match("resource", map[string]any{"type": "ec2"})
		}
	})
}

func FuzzConfiguration(f *testing.F) {
	seeds(f, "testdata/dot-occopus/occopus_config.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := ParseConfiguration("x.yaml", []byte(text), fuzzOptions)
		refused(t, err)
	})
}
