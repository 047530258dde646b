package occopus

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/process"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// of returns a function for CompileOptions.Definition.
func of(definitions []Definition) func(string) (*Definition, error) {
	return func(name string) (*Definition, error) {
		var names []string
		for i := range definitions {
			if definitions[i].Name == name {
				return &definitions[i], nil
			}
			names = append(names, definitions[i].Name)
		}
		return nil, fmt.Errorf("no node definition %q%s", name, nearest.Hint(name, names))
	}
}

// kinds knows the drivers of the tests.
func kinds(name string) (*driver.Kind, error) {
	for _, k := range []*driver.Kind{process.Kind(), sim.Kind()} {
		if k.Name == name {
			return k, nil
		}
	}
	return nil, fmt.Errorf("no driver %q; there are process, sim", name)
}

// everywhere is one node that may be made by any driver.
func everywhere(t testing.TB) set {
	t.Helper()
	file := "testdata/resources/all.yaml"
	s := set{}
	var err error
	if s.definitions, _, err = ParseDefinitions(file, read(t, file), onDisk); err != nil {
		t.Fatal(err)
	}
	text := "infra_name: all\nuser_id: u\nnodes: [{name: one, type: everywhere, filter: {type: docker}, scaling: {max: 4}}]\nvariables: {message: hello, password: p}\n"
	if s.infra, _, err = ParseInfrastructure("all-infra.yaml", []byte(text), Options{}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s set) compile(t testing.TB, opts CompileOptions) *service.Spec {
	t.Helper()
	opts.Definition = of(s.definitions)
	spec, _, err := Compile(s.infra, opts)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// asked is a specification in the form of testdata/asked.
func asked(s *service.Spec) any {
	var out []any
	for n := range s.Roles {
		r := &s.Roles[n]
		node := map[string]any{"name": r.Name, "instances": []any{r.MinOf(), r.MaxOf()}}
		put(node, "needs", words(r.Parents))
		put(node, "filter", r.Filter)
		put(node, "variables", map[string]any(s.VariablesOf(r)))
		put(node, "choose", string(r.Machine.Choose))
		var made []any
		for k := range r.Machine.Implementations {
			x := &r.Machine.Implementations[k]
			m := map[string]any{"driver": x.Driver, "options": x.Options}
			put(m, "name", x.Name)
			put(m, "env", anyMap(x.Env))
			put(m, "user_data", x.UserData != "")
			var checks []any
			for _, c := range x.Checks {
				check := map[string]any{"down": int(c.Down / time.Second)}
				put(check, "ping", c.Ping)
				put(check, "tcp", c.TCP)
				put(check, "http", c.HTTP)
				put(check, "method", c.Method)
				put(check, "wait", int(c.Timeout/time.Second))
				if c.MySQL != nil {
					check["mysql"] = []any{c.MySQL.Database, c.MySQL.User, c.MySQL.Password}
				}
				checks = append(checks, check)
			}
			put(m, "checks", checks)
			made = append(made, m)
		}
		node["made_by"] = made
		out = append(out, node)
	}
	return stored(out)
}

// put adds a value unless it is nothing.
func put(to map[string]any, key string, v any) {
	switch v := v.(type) {
	case string:
		if v == "" {
			return
		}
	case bool:
		if !v {
			return
		}
	case int:
		if v == 0 {
			return
		}
	case []any:
		if len(v) == 0 {
			return
		}
	case map[string]any:
		if len(v) == 0 {
			return
		}
	}
	to[key] = v
}

func words(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func anyMap(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// What the drivers are asked for is what the specification of Occopus says, field by field.
func TestAsked(t *testing.T) {
	for _, name := range append(slices.Clone(sets), "resources") {
		t.Run(name, func(t *testing.T) {
			file := "testdata/asked/" + name + ".yaml"
			want, err := new(tree.Reader).Read(file, read(t, file))
			if err != nil {
				t.Fatal(err)
			}
			var s set
			if name == "resources" {
				s = everywhere(t)
			} else {
				s = load(t, name)
			}
			spec := s.compile(t, CompileOptions{})
			if diff := cmp.Diff(stored(want.Any()), asked(spec)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			// What is stored is the same.
			text, err := json.Marshal(spec)
			if err != nil {
				t.Fatal(err)
			}
			var again service.Spec
			if err := json.Unmarshal(text, &again); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(spec.Variables, again.Variables); diff != "" {
				t.Errorf("variables: -want +got\n%s", diff)
			}
			for n := range spec.Roles {
				if diff := cmp.Diff(spec.Roles[n].Machine.Implementations[0].Names, again.Roles[n].Machine.Implementations[0].Names); diff != "" {
					t.Errorf("names: -want +got\n%s", diff)
				}
			}
		})
	}
}

// Without a driver, a node is refused by the driver's name, or simulated: then it shows what it is in the place of.
func TestSimulate(t *testing.T) {
	for _, name := range append(slices.Clone(sets), "resources") {
		s := set{}
		if name == "resources" {
			s = everywhere(t)
		} else {
			s = load(t, name)
		}
		real := s.compile(t, CompileOptions{})
		_, _, err := Compile(s.infra, CompileOptions{Definition: of(s.definitions), Kinds: kinds})
		if needs := real.Roles[0].Machine.Implementations[0].Driver; err == nil || !strings.Contains(err.Error(), `no driver "`) || name != "resources" && !strings.Contains(err.Error(), needs) {
			t.Errorf("%s: %v", name, err)
		}
		simulated := s.compile(t, CompileOptions{Kinds: kinds, Simulate: true})
		for n := range real.Roles {
			for k, x := range real.Roles[n].Machine.Implementations {
				got := simulated.Roles[n].Machine.Implementations[k]
				if got.Driver != "sim" {
					t.Errorf("%s: driver %s", name, got.Driver)
				}
				if x.Driver == "sim" {
					continue
				}
				if got.Options["instead_of"] != x.Driver {
					t.Errorf("%s: %v", name, got.Options)
				}
				request := got.Options["request"].(map[string]any)
				for key, v := range x.Options {
					if key == "password" || key == "description" {
						if s := fmt.Sprint(request[key]); strings.Contains(s, `"secret"`) || s == "secret" {
							t.Errorf("a password shows: %v", request)
						}
						continue
					}
					if fmt.Sprint(request[key]) != fmt.Sprint(inWord(v)) {
						t.Errorf("%s: %s is %v, want %v", name, key, request[key], v)
					}
				}
				if len(request) != len(x.Options) {
					t.Errorf("%s: %v", name, request)
				}
			}
		}
	}
}

func TestSecretsAreHidden(t *testing.T) {
	for _, x := range everywhere(t).compile(t, CompileOptions{}).Roles[0].Machine.Implementations {
		for what, v := range map[string]any{"labels": x.Labels, "names": x.Names, "rendered": x.Rendered} {
			if text := fmt.Sprint(v); strings.Contains(text, "password:secret") {
				t.Errorf("%s of %s: %s", what, x.Name, text)
			}
		}
	}
}

func TestRole(t *testing.T) {
	spec := load(t, "template-semantics").compile(t, CompileOptions{})
	if spec.Name != "tmpl" || spec.Strategy != service.Straight || spec.OnFailure != service.Rollback || spec.Format != Format {
		t.Errorf("%+v", spec)
	}
	r := spec.Roles[1]
	if r.Heal != service.HealAuto || r.OnGone != service.Replace || r.Identity != service.New || r.Restart != service.Always ||
		r.ScaleIn != service.Youngest || r.Cardinality != 1 || r.StartTimeout != 40*time.Minute {
		t.Errorf("%+v", r)
	}
	list := []any{map[string]any{"attributes": []any{"src.attr", "dst.attr"}, "synch": false}}
	want := service.Values{
		"infra_name": "tmpl", "user_id": "u", "name": "b", "type": "tb", "scaling": map[string]any{"min": int64(1)},
		"mappings":     map[string]any{"inbound": map[string]any{"a": list}, "outbound": map[string]any{}},
		"health_check": map[string]any{"ping": false},
	}
	x := r.Machine.Implementations[0]
	got := x.Names
	delete(got, "contextualisation")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names: -want +got\n%s", diff)
	}
	want = service.Values{
		"node_id": "{{ instance.uuid }}", "infra_id": "{{ service.id }}",
		"resource":   map[string]any{"type": "ec2", "endpoint": "ep-{{infra_name}}", "regionname": "r", "image_id": "i", "instance_type": "t"},
		"attributes": map[string]any{"a": "{{variables.g}}", "b": []any{"{{name}}"}},
	}
	if diff := cmp.Diff(want, x.Rendered); diff != "" {
		t.Errorf("rendered: -want +got\n%s", diff)
	}
}

func TestCompileRefuses(t *testing.T) {
	definitions, _, err := ParseDefinitions("nodes.yaml", []byte(`
'node_def:web':
  - resource: {type: sim, name: eu}
'node_def:proc':
  - resource: {type: process, comand: ./run}
'node_def:chef':
  - resource: {type: sim}
    config_management: {type: chef, endpoint: e, run_list: []}
'node_def:env':
  - resource: {type: sim}
    contextualisation: {type: docker, env: ["{{x}}=1", plain], command: "a 'b"}
'node_def:template':
  - resource: {type: sim}
    contextualisation: {type: cloudinit, context_template: "x {{ y "}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ node, want, compatible string }{
		{"type: wep", `infra.yaml:3:20: nodes[0].type: no node definition "wep"; did you mean "web"?`, noDefinition},
		{"type: web, filter: {name: us}", `infra.yaml:3:34: nodes[0].filter.name: No matching node definition: no implementation of the machine has the label name with the value "us", but with eu (node n of type web)`, noDefinition},
		{"type: proc", `infra.yaml:3:5: nodes[0].type: implementation 0 of proc: option "comand": there is no such option; did you mean "command"?`, ""},
		{"type: chef", `infra.yaml:3:5: node_def:chef[0].config_management.type: nodes cannot be registered with a Chef server here: leave the section out, or use puppet_solo`, ""},
		{"type: env", `infra.yaml:3:5: node_def:env[0].contextualisation.env: "{{x}}=1": the name of the variable must stand before =, without a template
infra.yaml:3:5: node_def:env[0].contextualisation.env: "plain" is no variable: write NAME=VALUE
infra.yaml:3:5: node_def:env[0].contextualisation.command: "a 'b": a quotation mark is not closed`, ""},
		{"type: template", `infra.yaml:3:5: node_def:template[0].contextualisation.context_template: line 1:`, ""},
	} {
		i, _, err := ParseInfrastructure("infra.yaml", []byte("infra_name: i\nnodes:\n - {name: n, "+c.node+"}\n"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = Compile(i, CompileOptions{Definition: of(definitions), Kinds: kinds})
		var invalid *Invalid
		if !errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), c.want) || c.compatible != "" && invalid.Compatible != c.compatible {
			t.Errorf("%s:\n got %v\nwant %s", c.node, err, c.want)
		}
	}
}

// A node whose templates look another up is made after it.
func TestLookUps(t *testing.T) {
	definitions, _, err := ParseDefinitions("nodes.yaml", []byte(`
'node_def:env':
  - resource: {type: process, command: run}
    contextualisation: {type: docker, env: ["A={{ getip('db') }}", "B={{ getipall( \"db\" )|join }} {{ getip('none') }} {{getip('self')}}"]}
'node_def:user':
  - resource: {type: sim}
    contextualisation: {type: cloudinit, context_template: "#cloud-config\nhostname: {{find_node_id('self').node_id}}\n", attributes: {x: ["{{getprivip('app')}}"]}}
'node_def:plain':
  - resource: {type: sim}
'node_def:back':
  - resource: {type: sim, print: "{{ getip('self') }}"}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	i, _, err := ParseInfrastructure("infra.yaml", []byte(`
infra_name: i
nodes: [{name: self, type: env}, {name: app, type: user}, {name: db, type: back}]
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	spec, warnings, err := Compile(i, CompileOptions{Definition: of(definitions)})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, r := range spec.Roles {
		got[r.Name] = r.Parents
	}
	if diff := cmp.Diff(map[string][]string{"self": {"db"}, "app": {"self"}, "db": nil}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	var texts []string
	for _, w := range warnings {
		texts = append(texts, w.Text)
	}
	want := []string{
		"templates of self look up db, on which it does not depend: it is made after db",
		"templates of app look up self, on which it does not depend: it is made after self",
		"templates of db look up self, which needs db itself: self will not be there yet",
	}
	if diff := cmp.Diff(want, texts); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAccounts(t *testing.T) {
	s := everywhere(t)
	auth, err := ParseAuthentication("auth_data.yaml", []byte("resource:\n  - {type: ec2, endpoint: 'https://ec2.example.org:8773/services/Cloud', auth_data: {accesskey: A, secretkey: S}}\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var demands []Demand
	spec := s.compile(t, CompileOptions{Authentication: auth, Account: func(d Demand) (string, error) {
		demands = append(demands, d)
		return "account-of-" + d.Driver, nil
	}})
	want := Demand{Driver: "ec2", Endpoint: "https://ec2.example.org:8773/services/Cloud", Options: spec.Roles[0].Machine.Implementations[0].Options, Credentials: map[string]any{"accesskey": "A", "secretkey": "S"}}
	if diff := cmp.Diff(want, demands[0]); diff != "" || len(demands) != 9 || demands[2].Endpoint != "unix:///var/run/docker.sock" {
		t.Errorf("%v, -want +got\n%s", demands, diff)
	}
	if got := spec.Roles[0].Machine.Implementations[2].Account; got != "account-of-docker" {
		t.Error(got)
	}
	if text, _ := json.Marshal(spec); strings.Contains(string(text), `"secretkey"`) {
		t.Error("credentials are in the specification")
	}
	_, _, err = Compile(s.infra, CompileOptions{Definition: of(s.definitions), Account: func(Demand) (string, error) { return "", errors.New("no such cloud") }})
	if err == nil || !strings.Contains(err.Error(), "node_def:everywhere[0].resource.endpoint: no such cloud") {
		t.Error(err)
	}
}

func TestSplitCommand(t *testing.T) {
	for line, want := range map[string][]string{
		"":                               nil,
		"  a  b\tc\n":                    {"a", "b", "c"},
		`sh -c "echo \"$x\" 'y'"`:        {"sh", "-c", `echo "$x" 'y'`},
		`sh -c 'a "b"' ''`:               {"sh", "-c", `a "b"`, ""},
		`a\ b \c`:                        {"a b", "c"},
		"ping {{ getip('a b') }} -c 5":   {"ping", "{{ getip('a b') }}", "-c", "5"},
		`x={% if a %}b c{% endif %} "d`:  nil,
		`--to={{a}},{{ b }} "{{ c d }}"`: {"--to={{a}},{{ b }}", "{{ c d }}"},
	} {
		got, err := splitCommand(line)
		if strings.HasSuffix(line, `"d`) {
			if err == nil {
				t.Errorf("%q is accepted", line)
			}
			continue
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q: %v, -want +got\n%s", line, err, diff)
		}
	}
}

// A large description becomes a specification as fast as it is read; what is too much is for the core to say.
func TestCompileTenThousandNodes(t *testing.T) {
	i, _, err := ParseInfrastructure("large.yaml", large(10_000), Options{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	definition := &Definition{Name: "t", Implementations: []Implementation{{Resource: service.Values{"type": "sim"}}}}
	_, _, err = Compile(i, CompileOptions{Definition: func(string) (*Definition, error) { return definition, nil }})
	if want := fmt.Sprintf("roles: the service has 10000 roles; %d is the most", service.MaxRoles); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	t.Log(time.Since(start))
}
