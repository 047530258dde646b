package native

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// options returns what the documents of the tests may refer to.
func options(open func(string) ([]byte, error)) Options {
	return Options{
		Open: open,
		Machine: func(name string) (service.Machine, error) {
			switch name {
			case "small":
				return service.Machine{
					ID: 3, Name: "small", Env: map[string]string{"SIZE": "small"},
					Implementations: []service.Implementation{{Driver: "process", Options: map[string]any{"command": "./run"}}},
				}, nil
			case "either":
				return service.Machine{Name: "either", Implementations: []service.Implementation{{Driver: "docker"}, {Driver: "ec2"}}}, nil
			}
			return service.Machine{}, fmt.Errorf("no machine definition %q%s", name, nearest.Hint(name, []string{"small", "either"}))
		},
		Template: func(ref string) (*service.Spec, uint64, error) {
			if ref != "postgres" {
				return nil, 0, fmt.Errorf("no template %q%s", ref, nearest.Hint(ref, []string{"postgres"}))
			}
			return &service.Spec{Name: "postgres", Strategy: service.Straight, OnFailure: service.Keep, Format: "native", Inputs: map[string]string{"SIZE": "big"}, Outputs: []service.OutputSpec{{Name: "url", Value: "u"}}}, 7, nil
		},
		Kinds: func(name string) (*driver.Kind, error) {
			switch name {
			case "process":
				return &driver.Kind{Name: name, Options: []driver.Option{{Name: "command", Type: driver.String}, {Name: "nice", Type: driver.Int}}}, nil
			case "docker":
				return &driver.Kind{Name: name, Options: []driver.Option{
					{Name: "image", Type: driver.String}, {Name: "ports", Type: driver.List}, {Name: "labels", Type: driver.Map},
				}}, nil
			case "ec2":
				return &driver.Kind{Name: name}, nil
			}
			return nil, fmt.Errorf("no driver %q%s", name, nearest.Hint(name, []string{"process", "docker", "ec2"}))
		},
	}
}

func parse(t testing.TB, name string) *service.Spec {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata/good", name))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(name, data, options(Dir("testdata/files")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ptr[T any](v T) *T { return &v }

func TestParse(t *testing.T) {
	process := func(command string) []service.Implementation {
		return []service.Implementation{{Driver: "process", Options: map[string]any{"command": command}}}
	}
	want := &service.Spec{
		Name: "shop", Description: "Our shop", Strategy: service.Straight, OnFailure: service.Rollback, Format: "native",
		Inputs: map[string]string{"VERSION": "1.10", "DEBUG": "no"}, Secrets: []string{"VERSION"},
		Labels: map[string]string{"team": "web"}, Retain: 7 * 24 * 3600e9, Update: service.UpdatePolicy{Batch: 2},
	}
	db := newRole("db")
	db.Identity, db.StopTimeout = service.Stable, 90e9
	db.Machine = service.Machine{Implementations: process("./db --listen $TROUPE_ADDRESS:5432"), Checks: []service.Check{{TCP: ":5432"}}}
	app := newRole("app")
	app.Cardinality, app.Min, app.Max, app.Parents = 2, ptr(2), ptr(10), []string{"db"}
	app.Restart, app.Restarts, app.Cooldown = service.OnFailureExit, 5, 30e9
	app.Update = service.UpdatePolicy{Batch: 2, Surge: ptr(1), Rollback: true}
	app.Machine = service.Machine{
		ID: 3, Name: "small", Implementations: process("./run"), Memory: 512 << 20,
		Env: map[string]string{"SIZE": "small", "DB": "{{ roles.db[0].address }}", "PORT": "8080", "ON": "true"},
		Files: []service.File{
			{Path: "etc/app.conf", Mode: 0o640, Content: "listen {{ instance.address }}\n"},
			{Path: "motd", Content: "hello\nworld\n"},
		},
	}
	web := newRole("web")
	web.Cardinality, web.Max, web.Parents = 3, ptr(5), []string{"app", "db"}
	web.Machine = service.Machine{
		Implementations: []service.Implementation{
			{Driver: "docker", Options: map[string]any{"image": "nginx", "ports": []any{80, 443}, "labels": map[string]any{"a": "b"}}},
			{Driver: "ec2", Account: "lab"},
		},
		UserData: "listen {{ instance.address }}\n", CPUs: 0.5,
		Checks: []service.Check{
			{HTTP: ":8080/healthz", Status: 204, Interval: 90e9},
			{Exec: []string{"curl", "-f", "localhost"}},
			{Exec: []string{"/bin/sh", "-c", "pg_isready -q"}},
			{Ping: true},
		},
	}
	want.Roles = []service.RoleSpec{db, app, web}
	if diff := cmp.Diff(want, parse(t, "shop.yaml")); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestInclude(t *testing.T) {
	s := parse(t, "everything.yaml")
	if !s.Hold {
		t.Error("the document's own key lost against the included one")
	}
	if len(s.Roles) != 2 || s.Roles[0].Name != "a" || s.Roles[1].Name != "z" {
		t.Fatalf("roles: %+v", s.Roles)
	}
	want := map[string]string{"A": "role", "B": "own", "C": "role"}
	if diff := cmp.Diff(want, s.Roles[0].Machine.Env); diff != "" {
		t.Errorf("env: -want +got\n%s", diff)
	}
	if s.Roles[0].Cardinality != 2 {
		t.Errorf("count %d: the role's own include is nearer than the service's", s.Roles[0].Cardinality)
	}
}

func TestDir(t *testing.T) {
	folder := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret")
	inside := filepath.Join(folder, "in")
	for _, err := range []error{
		os.WriteFile(outside, []byte("secret"), 0o600),
		os.MkdirAll(inside, 0o700),
		os.WriteFile(filepath.Join(inside, "a"), []byte("a"), 0o600),
		os.Symlink(outside, filepath.Join(folder, "link")),
		os.Symlink("in/a", filepath.Join(folder, "own")),
		os.Symlink("/", filepath.Join(folder, "root")),
		os.Truncate(filepath.Join(inside, "a"), 1),
		os.WriteFile(filepath.Join(folder, "big"), nil, 0o600),
		os.Truncate(filepath.Join(folder, "big"), tree.MaxBytes+1),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	open := Dir(folder)
	for _, path := range []string{"in/a", "own"} {
		if got, err := open(path); err != nil || string(got) != "a" {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"link", "root" + outside, "../" + filepath.Base(outside), outside, "in", "big", "none"} {
		if got, err := open(path); err == nil {
			t.Errorf("%s was read: %.20q", path, got)
		}
	}
}

func TestJSON(t *testing.T) {
	const text = "{\n\t\"name\": \"j\\u00e4\",\n\t\"roles\": {\"a\": {\"run\": \"./a\", \"count\": 2, \"env\": {\"A\": 1.50}, \"hold\": true, \"needs\": null}}\n}"
	for _, name := range []string{"x.json", "-"} {
		s, err := Parse(name, []byte(text), options(nil))
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != "jä" || s.Roles[0].Cardinality != 2 || s.Roles[0].Machine.Env["A"] != "1.50" || !s.Roles[0].Hold {
			t.Errorf("%+v", s)
		}
	}
	_, err := Parse("x.json", []byte("name: yaml"), options(nil))
	if err == nil || !strings.HasPrefix(err.Error(), "x.json:1:") {
		t.Errorf("YAML in a .json file: %v", err)
	}
}

func TestMachineDocument(t *testing.T) {
	m, err := ParseMachine("m.yaml", []byte("machine:\n  name: small\n  driver: docker\n  options: {image: nginx}\n  check: tcp :80\n  attributes: {A: b}\n"), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := &service.Machine{
		Name: "small", Implementations: []service.Implementation{{Driver: "docker", Options: map[string]any{"image": "nginx"}}},
		Checks: []service.Check{{TCP: ":80"}}, Attributes: map[string]string{"A": "b"},
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Fatalf("-want +got\n%s", diff)
	}
	text, err := EncodeMachine(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseMachine("m.yaml", text, options(nil))
	if diff := cmp.Diff(m, again); diff != "" || err != nil {
		t.Errorf("%v %s\n%s", err, diff, text)
	}
	for text, want := range map[string]string{
		"machine: {driver: docker}":         "m.yaml:1:11: a machine definition needs a name",
		"machine: {name: a}":                "m.yaml:1:11: machine: nothing says how the machine is made; name a driver",
		"name: a\nroles: {}":                "this is a service, not a machine definition",
		"machine: {name: a, driver: docke}": `m.yaml:1:28: machine.driver: no driver "docke"; did you mean "docker"?`,
		"machine: {name: a b, run: x}":      `m.yaml:1:17: machine.name: "a b" is no name for a machine definition: use letters, digits, _, - and ., 63 at most`,
	} {
		_, err := ParseMachine("m.yaml", []byte(text), options(nil))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

// The named definitions that callers hand out must not change under a role's own keys.
func TestNamedMachineIsCopied(t *testing.T) {
	shared := service.Machine{
		Name: "m", Env: map[string]string{"A": "1"}, Files: []service.File{{Path: "f", Content: "1"}},
		Implementations: []service.Implementation{{Driver: "process", Options: map[string]any{"command": "1"}}},
	}
	before, _ := json.Marshal(shared)
	_, err := Parse("x", []byte("name: x\nroles: {a: {machine: m, run: '2', env: {A: 2, B: 2}, files: {f: '2'}}}"),
		Options{Machine: func(string) (service.Machine, error) { return shared, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(shared); !bytes.Equal(before, after) {
		t.Errorf("changed to %s", after)
	}
}

func compile(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("native.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("native.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid checks a YAML document by the schema.
func valid(t testing.TB, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	root, err := new(tree.Reader).Read("x.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(root.Any())
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestSchema(t *testing.T) {
	s := compile(t, Schema())
	files, _ := filepath.Glob("testdata/good/*.yaml")
	if len(files) == 0 {
		t.Fatal("no samples")
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(t, s, text); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	for _, bad := range []string{
		"{}", "name: a", "{name: a, roles: {a: {cont: 2}}}", "{name: a, roles: {a: {count: -1}}}", "{name: a, roles: {a: {count: 2-3}}}",
		"{name: a, roles: {a: {heal: x}}}", "{name: a, roles: {a: {cooldown: long}}}", "{name: a, roles: {a: {memory: 5X}}}", "{name: a, roles: [a]}",
	} {
		if valid(t, s, []byte(bad)) == nil {
			t.Errorf("%s passes the schema", bad)
		}
	}
	if err := valid(t, compile(t, MachineSchema()), []byte("machine: {name: a, driver: b, check: [ping, {tcp: ':80'}]}")); err != nil {
		t.Error(err)
	}
}

// Every key of every table: its example is read by the parser and passes the schema, and the reference
// tells of it.
func TestEveryKey(t *testing.T) {
	s := compile(t, Schema())
	around := map[string]string{
		"service":        "%s\n",
		"role":           "name: a\nroles: {r: {%s}}\n",
		"resource":       "name: a\nresources: {outer: {kind: network, driver: sim}, x: {%s}}\nroles: {r: {}}\n",
		"supplier":       "name: a\nservices: {x: {%s}}\nroles: {r: {}, web: {}}\n",
		"output":         "name: a\noutputs: {x: {%s}}\nroles: {web: {}}\n",
		"count":          "name: a\nroles: {r: {count: {%s}}}\n",
		"machine":        "name: a\nroles: {r: {machine: {%s}}}\n",
		"implementation": "name: a\nroles: {r: {machine: {implementations: [{%s}]}}}\n",
		"file":           "name: a\nroles: {r: {files: {f: {%s}}}}\n",
		"content":        "name: a\nroles: {r: {user_data: {%s}}}\n",
		"check":          "name: a\nroles: {r: {check: {%s}}}\n",
		"mysql":          "name: a\nroles: {r: {check: {mysql: {%s}}}}\n",
		"update":         "name: a\nroles: {r: {update: {%s}}}\n",
		"policy":         "name: a\nroles: {r: {policies: {p: {%s}}}}\n",
		"step":           "name: a\nroles: {r: {policies: {p: {value: avg(x), steps: [{%s}]}}}}\n",
		"alarm":          "name: a\nalarms: {x: {%s}}\nroles: {web: {}}\n",
		"action":         "name: a\nalarms: {x: {when: load > 5, do: {%s}}}\nroles: {web: {}}\n",
		"damping":        "name: a\nalarms: {x: {damping: {%s}}}\nroles: {web: {}}\n",
		"window":         "name: a\nalarms: {x: {maintenance: [{%s}]}}\nroles: {web: {}}\n",
		"way":            "name: a\nroles: {r: {policies: {p: {up: {%s}}}}}\n",
	}
	everything := func(string) ([]byte, error) { return []byte("{}"), nil }
	docs := Reference()
	for _, table := range tables() {
		for _, r := range table.rows {
			text := fmt.Sprintf(around[table.name], r.key+": "+r.example)
			if table.name == "service" {
				for _, key := range []string{"name: a", "roles: {r: {}}"} {
					if !strings.HasPrefix(key, r.key+":") {
						text += key + "\n"
					}
				}
			}
			if err := valid(t, s, []byte(text)); err != nil {
				t.Errorf("the schema refuses the example %s\n%v", text, err)
			}
			_, err := Parse("x", []byte(text), Options{Open: everything, Machine: options(nil).Machine, Template: options(nil).Template})
			var all Errors
			errors.As(err, &all)
			for _, e := range all {
				if strings.Contains(e.Text, "unknown key") || strings.Contains(e.Text, "expected") || strings.HasSuffix(e.Path, "."+r.key) {
					t.Errorf("the parser refuses the example %s\n%v", text, e)
				}
			}
			if !strings.Contains(docs, "| `"+r.key+"` |") {
				t.Errorf("the reference lacks %s", r.key)
			}
			if r.help == "" || r.example == "" {
				t.Errorf("%s.%s has no help or no example", table.name, r.key)
			}
		}
	}
}
