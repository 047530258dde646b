package occopus

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
)

// The user data, environment and commands of each set are those that Occopus made of it.
func TestContexts(t *testing.T) {
	for _, name := range sets {
		t.Run(name, func(t *testing.T) {
			s := load(t, name)
			spec := s.compile(t, CompileOptions{})
			made := map[string][]render.Peer{}
			count := 0
			for n, c := range s.summary.Created {
				r := &spec.Roles[spec.Role(c.Name)]
				scope := &render.Scope{
					Service:   render.Service{ID: s.summary.ID, Name: s.summary.Name},
					Role:      render.Role{Name: r.Name, Number: r.Cardinality},
					Instance:  render.Instance{Name: c.Name, ID: c.NodeID, UUID: c.NodeID},
					Variables: spec.VariablesOf(r), Roles: map[string]render.Peers{}, Strict: false,
					Command: func(_ context.Context, command string) (string, error) {
						return strings.TrimPrefix(command, "echo ") + "\n", nil
					},
				}
				x := &r.Machine.Implementations[0]
				scope.Names, scope.Rendered = x.Names, x.Rendered
				for _, parent := range r.Parents {
					// Which of several is the first was left to chance; the recorded data have the youngest.
					list := slices.Clone(made[parent])
					slices.Reverse(list)
					scope.Roles[parent] = render.PeersOf(list)
				}
				parts, err := render.Machine(t.Context(), r.Machine.By(0), x, scope)
				if err != nil {
					t.Fatalf("%s: %v", c.Name, err)
				}
				made[c.Name] = append(made[c.Name], render.Peer{Name: c.Name, Address: c.Address, Addresses: []string{c.Address}, UUID: func() string { return c.NodeID }})
				if c.Context {
					count++
					file := fmt.Sprintf("%s/expected/%s-%s.context.txt", s.folder, c.Name, c.NodeID[len(c.NodeID)-2:])
					compareContext(t, file, parts.UserData)
				} else if parts.UserData != nil {
					t.Errorf("%s has user data", c.Name)
				}
				compareAttributes(t, s, n, parts, scope)
			}
			if files, _ := filepath.Glob(s.folder + "/expected/*.context.txt"); len(files) != count {
				t.Errorf("%d of %d contexts compared", count, len(files))
			}
		})
	}
}

// compareContext compares user data as parsed YAML.
func compareContext(t *testing.T, file string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// cmd printed the literal of Python's bytes, which is a defect.
	text := addresses.ReplaceAllStringFunc(strings.ReplaceAll(string(want), `b'hi\n'`, "hi"), sortedList)
	got = []byte(addresses.ReplaceAllStringFunc(string(got), sortedList))
	parse := func(name string, data []byte) any {
		root, err := new(tree.Reader).Read(name, data)
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		return root.Any()
	}
	if !strings.HasPrefix(string(got), "#cloud-config\n") {
		t.Errorf("%s: %.60q", file, got)
	}
	if diff := cmp.Diff(parse(file, []byte(text)), parse("rendered", got)); diff != "" {
		t.Errorf("%s: -want +got\n%s", file, diff)
	}
}

// addresses are lists of getipall, whose order Occopus leaves to chance.
var addresses = regexp.MustCompile(`\['10\.[0-9., ']*'\]`)

func sortedList(list string) string {
	items := strings.Split(strings.Trim(list, "[]"), ", ")
	slices.Sort(items)
	return "[" + strings.Join(items, ", ") + "]"
}

// compareAttributes compares what the summary calls attributes: environment and command of containers, connections,
// and those of the contextualisation.
func compareAttributes(t *testing.T, s set, n int, parts render.Parts, scope *render.Scope) {
	t.Helper()
	c := s.summary.Created[n]
	got := map[string]any{"connections": s.infra.Connections(s.summary.ID, c.Name)}
	if len(parts.Env) > 0 {
		var env []any
		for k, v := range parts.Env {
			env = append(env, k+"="+v)
		}
		got["env"] = env
	}
	if words, ok := parts.Options["command"].([]any); ok {
		var line []string
		for _, w := range words {
			line = append(line, w.(string))
		}
		got["command"] = strings.Join(line, " ")
	}
	if attributes, ok := scope.Rendered["attributes"].(map[string]any); ok {
		for k := range attributes {
			text, err := render.Text(t.Context(), k, "{{ attributes."+k+" }}", scope)
			if err != nil {
				t.Fatal(err)
			}
			got[k] = text
		}
	}
	want := map[string]any{}
	for k, v := range c.Attributes {
		if list, ok := v.([]any); ok && k == "b" {
			v = "['" + fmt.Sprint(list[0]) + "']"
		}
		want[k] = v
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: attributes: -want +got\n%s", c.Name, diff)
	}
}

// The names of context_variables are there in env and command, and their own templates are filled in.
func TestContextVariables(t *testing.T) {
	for name, variables := range map[string]string{
		"mapping": `{port: 80, url: "http://{{getip('db')}}:{{variables.p}}", list: [a, "{{name}}"]}`,
		"text":    `"port: 80\nurl: http://{{getip('db')}}:{{variables.p}}\nlist: [a, '{{name}}']\n"`,
	} {
		t.Run(name, func(t *testing.T) {
			definitions, _, err := ParseDefinitions("nodes.yaml", []byte(`'node_def:web':
  - resource: {type: docker, endpoint: e, origin: local, image: i, tag: 1.0}
    contextualisation:
      type: docker
      env: ["URL={{url}}", "LIST={{list|join('-')}}", "ENCODED={{ url | b64encode }}"]
      command: "serve --port {{port}} '{{ list[1] }} x'"
      context_variables: `+variables+"\n'node_def:db': [{resource: {type: sim}}]\n"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			i, _, err := ParseInfrastructure("infra.yaml", []byte("infra_name: i\nvariables: {p: 8080}\nnodes: [{name: web, type: web}, {name: db, type: db}]\ndependencies: [[web, db]]\n"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			spec, _, err := Compile(i, CompileOptions{Definition: of(definitions)})
			if err != nil {
				t.Fatal(err)
			}
			r := &spec.Roles[0]
			x := &r.Machine.Implementations[0]
			scope := &render.Scope{Variables: spec.VariablesOf(r), Names: x.Names, Rendered: x.Rendered, Roles: map[string]render.Peers{"db": render.PeersOf([]render.Peer{{Address: "10.0.0.9"}})}}
			parts, err := render.Machine(t.Context(), r.Machine.By(0), x, scope)
			if err != nil {
				t.Fatal(err)
			}
			want := render.Parts{
				Env:     map[string]string{"URL": "http://10.0.0.9:8080", "LIST": "a-web", "ENCODED": "aHR0cDovLzEwLjAuMC45OjgwODA="},
				Options: map[string]any{"image": "i:1.0", "pull": "never", "command": []any{"serve", "--port", "80", "web x"}},
				Checks:  []service.Check{{Ping: true, Interval: checkEvery, Timeout: pingWait, Down: defaultTimeout}},
			}
			if diff := cmp.Diff(want, parts); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
