package occopus

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/troupe-dev/troupe/internal/service"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// onDisk lets tests read imports where they stand.
var onDisk = Options{Open: os.ReadFile}

// A set is one set of the test data, read.
type set struct {
	infra       *Infrastructure
	definitions []Definition
	summary     summary
	folder      string
}

// A summary is what Occopus made of a set.
type summary struct {
	Levels  [][]string `json:"topological_levels"`
	Created []struct {
		Name, Address string
		NodeID        string         `json:"node_id"`
		Context       bool           `json:"has_context"`
		Attributes    map[string]any `json:"attributes"`
	} `json:"created_in_order"`
	ID   string `json:"infra_id"`
	Name string `json:"infra_name"`
}

var sets = []string{"docker-ping", "flowbster-autodock-vina", "hadoop-cluster", "puppet-solo-wordpress", "template-semantics"}

func load(t testing.TB, name string) set {
	t.Helper()
	s := set{folder: filepath.Join("testdata", name)}
	files, _ := filepath.Glob(filepath.Join(s.folder, "infra*.yaml"))
	if len(files) != 1 {
		t.Fatalf("%s: %d descriptions", name, len(files))
	}
	var err error
	if s.infra, _, err = ParseInfrastructure(files[0], read(t, files[0]), onDisk); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.folder, "nodes/node_definitions.yaml")
	if s.definitions, _, err = ParseDefinitions(file, read(t, file), onDisk); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(read(t, filepath.Join(s.folder, "expected/summary.json")), &s.summary); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSetsAreAccepted(t *testing.T) {
	for _, name := range sets {
		t.Run(name, func(t *testing.T) {
			s := load(t, name)
			if s.infra.Name != s.summary.Name {
				t.Errorf("name %q, want %q", s.infra.Name, s.summary.Name)
			}
			var levels [][]string
			for _, level := range s.infra.Levels {
				var names []string
				for _, n := range level {
					names = append(names, s.infra.Nodes[n].Name)
				}
				levels = append(levels, names)
			}
			if diff := cmp.Diff(s.summary.Levels, levels); diff != "" {
				t.Errorf("levels: -want +got\n%s", diff)
			}
			made := map[string]int{}
			for _, c := range s.summary.Created {
				made[c.Name]++
				want := c.Attributes["connections"]
				if diff := cmp.Diff(want, any(s.infra.Connections(s.summary.ID, c.Name))); diff != "" {
					t.Errorf("%s: connections: -want +got\n%s", c.Name, diff)
				}
			}
			for _, n := range s.infra.Nodes {
				if least, _ := n.Scaling.Limits(); made[n.Name] != least {
					t.Errorf("%s begins with %d instances, want %d", n.Name, least, made[n.Name])
				}
			}
		})
	}
}

// What is stored reads back as it was.
func TestStoredForms(t *testing.T) {
	for _, name := range sets {
		s := load(t, name)
		text, err := s.infra.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := ParseInfrastructure("stored.json", text, Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(s.infra, again, cmpopts.IgnoreUnexported(Node{})); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		for i := range s.definitions {
			text, err := EncodeDefinition(&s.definitions[i])
			if err != nil {
				t.Fatal(err)
			}
			again, err := DecodeDefinition(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&s.definitions[i], again, cmpopts.IgnoreUnexported(Implementation{})); diff != "" {
				t.Errorf("%s: -want +got\n%s", name, diff)
			}
		}
	}
}

func TestVariables(t *testing.T) {
	s := load(t, "template-semantics")
	want := service.Values{
		"g": "local", "nest": map[string]any{"a": int64(2), "b": []any{"x", "y"}}, "multi": "line1\nline2\n", "flag": true, "none": nil,
	}
	if diff := cmp.Diff(want, s.infra.VariablesOf(&s.infra.Nodes[s.infra.Node("b")])); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	template := s.definitions[1].Implementations[0].Contextualisation["context_template"].(map[string]any)
	for key, want := range map[string]any{"num": int64(755), "octal": int64(493), "yes": "yes", "date": "2020-01-01", "cmdtest": "out {{cmd('echo hi')}}"} {
		if template[key] != want {
			t.Errorf("%s: %#v, want %#v", key, template[key], want)
		}
	}
}

func TestAliasedScalars(t *testing.T) {
	s := load(t, "flowbster-autodock-vina")
	v := s.infra.VariablesOf(&s.infra.Nodes[s.infra.Node("COLLECTOR")])
	out := v["flowbster"].(map[string]any)["app"].(map[string]any)["out"].([]any)[0]
	want := map[string]any{"name": "best.pdbqt", "targetname": "COLLECTOR_result", "targetip": "UNDEFINED", "targetport": int64(5001)}
	if diff := cmp.Diff(any(want), out); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
