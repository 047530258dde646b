package occopus

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// Every way to write the same two dependencies.
func TestConnections(t *testing.T) {
	const nodes = "infra_name: x\nuser_id: 7\nnodes:\n  - &DB {name: db, type: pg}\n  - &APP {name: app, type: web, scaling: {min: 2, max: 4}}\n  - {name: lb, type: lb, variables: &V {a: True, b: FALSE}}\n"
	for name, text := range map[string]string{
		"aliases": nodes + "dependencies:\n  - [*APP, *DB]\n  - [lb, *APP]\n",
		"long":    nodes + "dependencies:\n  - {connection: [*APP, *DB], note: kept}\n  - connection: [lb, app]\n    mappings: []\n",
		"names":   nodes + "dependencies: [[app, db], [lb, app]]\n",
		"CRLF":    strings.ReplaceAll("\ufeff"+nodes+"dependencies:\n  - [*APP, *DB]\n  - [lb,\t*APP]\n", "\n", "\r\n"),
		"copies":  nodes + "dependencies:\n  - [{name: app, type: web}, *DB]\n  - [{<<: *V, name: lb}, app]\n",
		"twice":   nodes + "dependencies:\n  - [*APP, *DB]\n  - [lb, app]\n  - [app, db]\n",
	} {
		t.Run(name, func(t *testing.T) {
			i, _, err := ParseInfrastructure("x.yaml", []byte(text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := []Dependency{{Connection: [2]string{"app", "db"}}, {Connection: [2]string{"lb", "app"}}}
			got := slices.Clone(i.Dependencies)
			for n := range got {
				got[n].Mappings = nil
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if diff := cmp.Diff([][]int{{0}, {1}, {2}}, i.Levels); diff != "" {
				t.Errorf("levels: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(service.Values{"a": true, "b": false}, i.Nodes[2].Variables); diff != "" {
				t.Errorf("variables: -want +got\n%s", diff)
			}
			if i.UserID != "7" {
				t.Errorf("user %q", i.UserID)
			}
		})
	}
}

func TestLevels(t *testing.T) {
	// A ← B, A ← C, B ← D, C ← D
	got, left := levels(4, []edge{{1, 0}, {2, 0}, {3, 1}, {3, 2}})
	if diff := cmp.Diff([][]int{{0}, {1, 2}, {3}}, got); diff != "" || left != nil {
		t.Errorf("left %v, -want +got\n%s", left, diff)
	}
}

func TestScalingLimits(t *testing.T) {
	n := func(i int) *int { return &i }
	for _, c := range []struct {
		scaling     Scaling
		least, most int
	}{
		{Scaling{}, 1, 1}, {Scaling{Min: n(5)}, 5, 5}, {Scaling{Min: n(2), Max: n(10)}, 2, 10}, {Scaling{Max: n(3)}, 1, 3},
		{Scaling{Min: n(4), Max: n(2)}, 4, 4}, {Scaling{Min: n(0), Max: n(0)}, 1, 1}, {Scaling{Min: n(-3)}, 1, 1},
	} {
		if least, most := c.scaling.Limits(); least != c.least || most != c.most {
			t.Errorf("%+v: %d, %d; want %d, %d", c.scaling, least, most, c.least, c.most)
		}
	}
}

func TestMappings(t *testing.T) {
	i, _, err := ParseInfrastructure("x.yaml", []byte(`
infra_name: x
user_id: u
nodes: [&A {name: a, type: t}, &B {name: b, type: t}]
dependencies:
  - connection: [*B, *A]
    mappings:
      - [host.fqdn, app.db.host]
      - {attributes: [port, app.db.port], synch: true, anything: kept}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	list := []any{
		map[string]any{"attributes": []any{"host.fqdn", "app.db.host"}, "synch": false},
		map[string]any{"attributes": []any{"port", "app.db.port"}, "synch": true},
	}
	want := map[string]any{"inbound": map[string]any{"a": list}, "outbound": map[string]any{}}
	if diff := cmp.Diff(want, mappings("b", i.Dependencies, nil)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	want = map[string]any{"inbound": map[string]any{}, "outbound": map[string]any{"b": list}}
	if diff := cmp.Diff(want, mappings("a", nil, i.Dependencies)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// Whole numbers, and numbers that are whole but have a point, stay what they are in what is stored.
func TestStoredNumbers(t *testing.T) {
	defs, _, err := ParseDefinitions("x.yaml", []byte("'node_def:a': [{resource: {type: sim, a: 1, b: 1.0, c: 1e3, d: 0.5, e: '1'}}]"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := service.Values{"type": "sim", "a": int64(1), "b": 1.0, "c": 1000.0, "d": 0.5, "e": "1"}
	text, err := EncodeDefinition(&defs[0])
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeDefinition(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, again.Implementations[0].Resource); diff != "" {
		t.Errorf("-want +got\n%s\n%s", diff, text)
	}
	if _, err := DecodeDefinition([]byte("[")); err == nil {
		t.Error("broken JSON is read")
	}
}

func TestEveryResourceType(t *testing.T) {
	file := "testdata/resources/all.yaml"
	defs, warnings, err := ParseDefinitions(file, read(t, file), onDisk)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]map[string]bool{}
	for _, d := range defs {
		for _, x := range d.Implementations {
			name := x.Resource["type"].(string)
			if seen[name] == nil {
				seen[name] = map[string]bool{}
			}
			for k := range x.Resource {
				seen[name][k] = true
			}
		}
	}
	for _, r := range resourceTypes {
		for _, k := range r.keys {
			if !seen[r.name][k.name] {
				t.Errorf("%s: no sample has the key %s", r.name, k.name)
			}
		}
	}
	if len(warnings) != 2 {
		t.Errorf("warnings: %v", warnings)
	}
}

func TestAuthentication(t *testing.T) {
	a, err := ParseAuthentication("auth_data.yaml", read(t, "testdata/dot-occopus/auth_data.yaml"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Match("resource", map[string]any{"type": "nova", "endpoint": "x"})
	if diff := cmp.Diff(map[string]any{"username": "your_username", "password": "your_password"}, got); err != nil || diff != "" {
		t.Errorf("%v: -want +got\n%s", err, diff)
	}
	for _, kind := range []string{"ec2", "nova", "azure_aci", "azure_vm", "cloudbroker", "cloudsigma"} {
		if got, err := a.Match("resource", map[string]any{"type": kind}); err != nil || len(got) == 0 {
			t.Errorf("%s: %v, %v", kind, got, err)
		}
	}
	if got, err := a.Match("resource", map[string]any{"type": "docker"}); got != nil || err != nil {
		t.Errorf("docker: %v, %v", got, err)
	}
	if got, err := (*Authentication)(nil).Match("resource", nil); got != nil || err != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
}

func TestAuthenticationByEndpoint(t *testing.T) {
	text := `
resource:
  - {type: ec2, endpoint: https://a, auth_data: {accesskey: A, secretkey: !text_import {url: file://key}}}
  - {type: ec2, endpoint: https://b, auth_data: {accesskey: B, secretkey: S}}
  - {type: ec2, regionname: r, auth_data: {accesskey: C, secretkey: S}}
config_management:
  - {type: chef, auth_data: {client_name: n, client_key: k}}
`
	a, err := ParseAuthentication("conf/auth_data.yaml", []byte(text), Options{Open: Files(map[string][]byte{"conf/key": []byte("line1\nline2\n")})})
	if err != nil {
		t.Fatal(err)
	}
	values := func(endpoint, region string) map[string]any {
		return map[string]any{"type": "ec2", "endpoint": endpoint, "regionname": region}
	}
	got, err := a.Match("resource", values("https://a", ""))
	if diff := cmp.Diff(map[string]any{"accesskey": "A", "secretkey": "line1\nline2\n"}, got); err != nil || diff != "" {
		t.Errorf("%v: -want +got\n%s", err, diff)
	}
	if got, err := a.Match("resource", values("https://c", "")); got != nil || err != nil {
		t.Errorf("none: %v, %v", got, err)
	}
	_, err = a.Match("resource", values("https://b", "r"))
	if err == nil || !strings.HasPrefix(err.Error(), "Cannot determine authorization information: ") || !strings.Contains(err.Error(), "line 4 and line 5") {
		t.Errorf("two: %v", err)
	}
	if got, _ := a.Match("config_management", map[string]any{"type": "chef", "endpoint": "x"}); got["client_name"] != "n" {
		t.Errorf("chef: %v", got)
	}
}

func TestConfiguration(t *testing.T) {
	c, err := ParseConfiguration("occopus_config.yaml", read(t, "testdata/dot-occopus/occopus_config.yaml"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Plugins) != 19 || c.Plugins[5] != "occo.plugins.resourcehandler.azure_aci" {
		t.Errorf("%d plugins: %v", len(c.Plugins), c.Plugins)
	}
	c.Plugins = nil
	plain := "** %(asctime)s\\t%(levelname)s\\t%(processName)s\\t%(message)s"
	plain = strings.ReplaceAll(plain, `\t`, "\t")
	file := func(name string) Handler { return Handler{Level: "DEBUG", Format: plain, File: name, Truncate: true} }
	want := &Configuration{
		Host: "127.0.0.1", Port: 5000,
		Store: Store{Protocol: "redis", Host: "localhost", Port: 6379, Databases: map[string]int{"node_def": 1, "infra": 10}},
		Log:   []string{"console", "file"}, EventLog: []string{"events"}, DataLog: []string{"datafile"}, Handlers: map[string]Handler{
			"console": {Level: "INFO", Format: "** %(asctime)s\t%(message)s", Stream: "ext://sys.stdout"},
			"file":    file("occopus.log"), "datafile": file("occopus-data.log"), "events": file("occopus-events.log"),
		},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestSearch(t *testing.T) {
	there := map[string]bool{}
	env := map[string]string{}
	s := Search{
		Getenv: func(n string) string { return env[n] }, Home: "/home/u", Program: "/opt/bin",
		Exists: func(p string) bool { return there[p] },
	}
	if _, err := s.Configuration(""); err == nil || !strings.Contains(err.Error(), "/home/u/.occopus/occopus_config.yaml\n  occopus_config.yaml\n  /etc/occopus/occopus_config.yaml\n  /opt/bin/occopus_config.yaml") {
		t.Error(err)
	}
	// Each place goes before those that were added before it.
	for _, p := range []string{"/opt/bin/auth_data.yaml", "/etc/occopus/auth_data.yaml", "auth_data.yaml", "/home/u/.occopus/auth_data.yaml", "/x/auth"} {
		there[p] = true
		if p == "/x/auth" {
			env["OCCOPUS_AUTH_DATA_PATH"] = p
		}
		got, err := s.Authentication("")
		if err != nil || got != (Place{p, "Using default authentication file: '" + p + "'"}) {
			t.Errorf("%s: %+v, %v", p, got, err)
		}
	}
	if got, err := s.Authentication("/opt/bin/auth_data.yaml"); err != nil || got != (Place{Path: "/opt/bin/auth_data.yaml"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.Authentication("none"); err == nil || err.Error() != "Specified authentication file does not exist: 'none'" {
		t.Error(err)
	}
	there["occopus_config.yaml"] = true
	if _, err := s.ImportConfiguration(""); err == nil {
		t.Error("import looks into the working folder")
	}
	env["USERNAME"] = "d"
	if User(s.Getenv, "account") != "d" || User(func(string) string { return "" }, "account") != "account" {
		t.Error("user name")
	}
	env["LOGNAME"] = "a"
	if User(s.Getenv, "account") != "a" {
		t.Error("user name")
	}
}

func TestFromDisk(t *testing.T) {
	folder := t.TempDir()
	big := filepath.Join(folder, "big")
	for _, err := range []error{os.WriteFile(filepath.Join(folder, "a"), []byte("a"), 0o600), os.WriteFile(big, nil, 0o600), os.Truncate(big, tree.MaxBytes+1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := FromDisk(filepath.Join(folder, "a")); err != nil || string(got) != "a" {
		t.Errorf("%q, %v", got, err)
	}
	for name, want := range map[string]string{"none": "there is no file", "": "is no regular file", "big": "has more than"} {
		if _, err := FromDisk(filepath.Join(folder, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecognise(t *testing.T) {
	for _, name := range sets {
		files, _ := filepath.Glob(filepath.Join("testdata", name, "infra*.yaml"))
		infra, nodes := read(t, files[0]), read(t, filepath.Join("testdata", name, "nodes/node_definitions.yaml"))
		if !Describes(infra) || Defines(infra) || Describes(nodes) || !Defines(nodes) {
			t.Errorf("%s is not recognised", name)
		}
	}
	if !Describes([]byte(`{"nodes": [], "infra_name": "x"}`)) || !Describes([]byte("\ufeff{infra_name: x, nodes: []}")) ||
		Describes([]byte("name: x\nroles:\n  a:\n    names:\n      infra_name: x\n")) || Defines([]byte(`{"a": "node_def:"}`)) || Describes([]byte("name: x\nroles: {a: {run: x}}\n")) || !Defines([]byte("'node_def:a': []")) {
		t.Error("recognised wrongly")
	}
}

// large is a description of a chain of that many nodes.
func large(nodes int) []byte {
	var b strings.Builder
	b.WriteString("infra_name: large\nuser_id: u\nvariables: {a: 1}\nnodes:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  - &N%d\n    name: node-%d\n    type: t\n    scaling: {min: 1, max: 3}\n    variables: {number: %d, text: \"some text\"}\n", i, i, i)
	}
	b.WriteString("dependencies:\n")
	for i := 1; i < nodes; i++ {
		fmt.Fprintf(&b, "  - connection: [*N%d, *N%d]\n", i, i-1)
	}
	return []byte(b.String())
}

func TestTenThousandNodes(t *testing.T) {
	text := large(10_000)
	start := time.Now()
	i, _, err := ParseInfrastructure("large.yaml", text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(i.Nodes) != 10_000 || len(i.Levels) != 10_000 || len(i.Dependencies) != 9_999 {
		t.Errorf("%d nodes, %d levels, %d dependencies", len(i.Nodes), len(i.Levels), len(i.Dependencies))
	}
	t.Logf("%d bytes in %v", len(text), time.Since(start))
}

func BenchmarkInfrastructure(b *testing.B) {
	text := large(10_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseInfrastructure("large.yaml", text, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
