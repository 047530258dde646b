package render

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/internal/service"
)

// A set is a description of Occopus with what Occopus made of it.
type set struct {
	dir      string
	infra    map[string]any
	nodes    map[string][]map[string]any
	imports  map[string]bool // files that are imported as YAML
	expected struct {
		InfraID string `json:"infra_id"`
		Created []struct {
			Name, Address string
			NodeID        string `json:"node_id"`
			HasContext    bool   `json:"has_context"`
		} `json:"created_in_order"`
	}
}

func readYAML(t *testing.T, file string, into any) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return data
}

func readSet(t *testing.T, dir string) *set {
	t.Helper()
	s := &set{dir: dir, imports: map[string]bool{}}
	infra, _ := filepath.Glob(filepath.Join(dir, "infra*.yaml"))
	readYAML(t, infra[0], &s.infra)
	var nodes map[string][]map[string]any
	text := string(readYAML(t, filepath.Join(dir, "nodes/node_definitions.yaml"), &nodes))
	s.nodes = nodes
	for _, part := range strings.Split(text, "!yaml_import")[1:] {
		_, url, _ := strings.Cut(part, "url: file://")
		s.imports[strings.TrimSpace(strings.SplitN(url, "\n", 2)[0])] = true
	}
	summary, err := os.ReadFile(filepath.Join(dir, "expected/summary.json"))
	if err == nil {
		err = json.Unmarshal(summary, &s.expected)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// template returns the context template of a node type, as a format makes it of the section.
func (s *set) template(t *testing.T, section map[string]any) string {
	t.Helper()
	context := section["context_template"]
	if m, ok := context.(map[string]any); ok && m["url"] != nil {
		file := strings.TrimPrefix(m["url"].(string), "file://")
		var mapping map[string]any
		text := readYAML(t, filepath.Join(s.dir, "nodes", file), &mapping)
		if !s.imports[file] {
			return strings.TrimSuffix(string(text), "\n")
		}
		if mapping["num"] != nil {
			mapping["num"] = 755 // Occopus reads 0755 as YAML 1.2 does, this module as 1.1
		}
		context = mapping
	}
	if text, ok := context.(string); ok {
		return text
	}
	template, err := ContextTemplate(context.(map[string]any))
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// scopeFor returns what the n-th instance that was made sees.
func (s *set) scopeFor(n int) (scope *Scope, definition map[string]any) {
	made := s.expected.Created[n]
	scope = &Scope{Instance: Instance{ID: made.NodeID}, Role: Role{Name: made.Name}, Roles: map[string]Peers{}, Names: service.Values{
		"infra_id": s.expected.InfraID, "infra_name": s.infra["infra_name"], "user_id": s.infra["user_id"], "name": made.Name, "node_id": made.NodeID,
	}}
	scope.Command = func(context.Context, string) (string, error) { return `b'hi\n'`, nil } // as Occopus prints it, by mistake
	all, _ := s.infra["variables"].(map[string]any)
	for _, x := range s.infra["nodes"].([]any) {
		node := x.(map[string]any)
		if node["name"] == made.Name {
			own, _ := node["variables"].(map[string]any)
			scope.Variables = service.Values(all).Under(own)
			scope.Names["type"], scope.Names["scaling"] = node["type"], node["scaling"]
			definition = s.nodes["node_def:"+node["type"].(string)][0]
		}
		var peers []Peer
		for k := n - 1; k >= 0; k-- { // the original's order is any
			if c := s.expected.Created[k]; c.Name == node["name"] {
				peers = append(peers, Peer{Address: c.Address, UUID: uuid(c.NodeID)})
			}
		}
		scope.Roles[node["name"].(string)] = PeersOf(peers)
	}
	scope.Rendered = service.Values{"resource": definition["resource"]}
	if cm, ok := definition["config_management"]; ok {
		join := func(list string) string { return "{{ config_management." + list + " | join(' ') }}" }
		scope.Rendered["config_management"] = cm
		scope.Rendered["puppet"] = map[string]any{"modules": join("modules"), "manifests": join("manifests"), "attributes": join("attributes")}
	}
	return scope, definition
}

// ordered compares lists of addresses as sets: within a level of nodes the original has no order.
var ordered = cmp.Transformer("ordered", func(s string) string {
	return addresses.ReplaceAllStringFunc(s, func(list string) string {
		items := strings.Split(strings.Trim(list, "[]"), ", ")
		slices.Sort(items)
		return strings.Join(items, " ")
	})
})

var addresses = regexp.MustCompile(`\['10\.[^\]]*\]`)

// What a context template renders to parses as what Occopus 1.10 made of the same description. Further sets can be
// named with TROUPE_OCCOPUS_SETS, a folder of folders.
func TestContextTemplate(t *testing.T) {
	dirs, _ := filepath.Glob("testdata/*/infra*.yaml")
	if more := os.Getenv("TROUPE_OCCOPUS_SETS"); more != "" {
		found, _ := filepath.Glob(filepath.Join(more, "*/infra*.yaml"))
		dirs = append(dirs, found...)
	}
	compared := 0
	for _, infra := range dirs {
		s := readSet(t, filepath.Dir(infra))
		for n, made := range s.expected.Created {
			if !made.HasContext {
				continue
			}
			file := filepath.Join(s.dir, "expected", fmt.Sprintf("%s-%s.context.txt", made.Name, made.NodeID[len(made.NodeID)-2:]))
			var want, got any
			readYAML(t, file, &want)
			scope, definition := s.scopeFor(n)
			m := &service.Machine{UserData: s.template(t, definition["contextualisation"].(map[string]any))}
			parts, err := Machine(t.Context(), m, nil, scope)
			if err == nil {
				err = yaml.Unmarshal(parts.UserData, &got)
			}
			if err != nil {
				t.Errorf("%s: %v", file, err)
			} else if diff := cmp.Diff(want, got, ordered); diff != "" {
				t.Errorf("%s: -want +got\n%s\n%s", file, diff, parts.UserData)
			}
			compared++
		}
	}
	if t.Logf("%d contexts", compared); compared == 0 {
		t.Error("nothing was compared")
	}
}

// Each text comes back as it was, whatever stands in it.
func TestContextTemplateKeepsTexts(t *testing.T) {
	texts := rapid.OneOf(rapid.StringMatching(`[-a-z0-9 :#'"{}\[\],&*!|>%@?.~\\\n\t=<é☃]{0,12}`), rapid.String(),
		rapid.SampledFrom([]string{"", "~", "null", "true", "0755", "0o7", "1e3", ".5", "+1", "2020-01-01", "yes", "---", "- x", "a: b", "a #b", "<<", "=", "\x7f", "\u0085", "\u2028", "\ufeff"}))
	rapid.Check(t, func(rt *rapid.T) {
		s := texts.Filter(plain).Filter(func(s string) bool { return !strings.ContainsRune(s, '\uFFFD') }).Draw(rt, "text")
		want := map[string]any{"k": s, "l": []any{s, map[string]any{"a": s, "b": []any{[]any{s}, nil, true, 1.5}}, []any{}, map[string]any{}}}
		template, err := ContextTemplate(want)
		if err != nil {
			rt.Fatal(err)
		}
		var got map[string]any
		if err := yaml.Unmarshal([]byte(template), &got); err != nil {
			rt.Fatalf("%v\n%s", err, template)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("-want +got\n%s\n%s", diff, template)
		}
	})
}

// Tags are neither escaped nor broken: what fails in Occopus works here.
func TestContextTemplateProtectsTags(t *testing.T) {
	for text, want := range map[string]any{
		"a\n{{ getip(\"a\") }} \"b\"\n":                     "a\n10.0.0.11 \"b\"\n",
		"{% if variables.flag %}\ny\n{% endif %}":           "\ny\n",
		"{% raw %}\n{{range service \"x\"}}\\n{% endraw %}": "\n{{range service \"x\"}}\\n",
		"{{'{{'}} it's":            "{{ it's",
		"{# \"c\" \n#}x\ny":        "x\ny",
		"{{ getip('a') }}":         "10.0.0.11",
		"x {{ variables.nest.a }}": "x 2",
		"{{ 'a\nb' }}":             "a b",
		"{{ \"}}\" }}\n":           "}}\n",
		"ü {{ variables.g }}":      "ü local",
		"{{ unclosed":              nil,
	} {
		template, err := ContextTemplate(map[string]any{"k": text})
		if err != nil {
			t.Fatal(err)
		}
		parts, err := Machine(t.Context(), &service.Machine{UserData: template}, nil, occopusScope())
		var got map[string]any
		if err == nil {
			err = yaml.Unmarshal(parts.UserData, &got)
		}
		if want == nil && err == nil || want != nil && (err != nil || got["k"] != want) {
			t.Errorf("%q: %q, %v, want %q\n%s", text, got["k"], err, want, template)
		}
	}
}

func TestContextIsChecked(t *testing.T) {
	for userData, want := range map[string]string{
		"#cloud-config\na: b\nc: [\n":                     "user_data: line 3: Schema error in context of node definition at line 3.",
		"#cloud-config\na: {{ variables.nest }}\nb: 'x\n": "Schema error in context of node definition at line 3.",
		"#!/bin/sh\na: [\n":                               "",
		"#cloud-config\n":                                 "",
	} {
		_, err := Machine(t.Context(), &service.Machine{UserData: userData}, nil, occopusScope())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", userData, err, want)
		}
	}
}
