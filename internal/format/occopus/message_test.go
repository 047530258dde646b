package occopus

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the expected errors of testdata/bad anew")

// The one line that Occopus prints, from its specification.
func TestCompatibleMessages(t *testing.T) {
	const nodes = "\nnodes: []"
	for _, c := range []struct{ text, want string }{
		{"user_id: u" + nodes, "[SchemaCheck] ERROR: infra_name must be defined in infrastructure description"},
		{"infra_name: my.infra" + nodes, `[SchemaCheck] ERROR: infra_name "my.infra" cannot contain '.' character`},
		{"infra_name: " + strings.Repeat("a", 65) + nodes, `[SchemaCheck] ERROR: infra_name "` + strings.Repeat("a", 65) + `" is too long`},
		{"infra_name: " + strings.Repeat("a", 64) + nodes, `[SchemaCheck] ERROR: infra_name "` + strings.Repeat("a", 64) + `" may contain only [a-z,0-9,-] characters`},
		{"infra_name: a_b" + nodes, `[SchemaCheck] ERROR: infra_name "a_b" may contain only [a-z,0-9,-] characters`},
		{"infra_name: a.b" + strings.Repeat("_", 70) + nodes, `[SchemaCheck] ERROR: infra_name "a.b` + strings.Repeat("_", 70) + `" cannot contain '.' character`},
		{"infra_name: a", "[SchemaCheck] ERROR: nodes section must be defined in infrastructure description"},
		{"infra_name: a\nnodes: [{type: x}]", `[SchemaCheck] ERROR: missing key "name" in node`},
		{"infra_name: a\nnodes: [{name: a_b, type: x}]", `[SchemaCheck] ERROR: node "a_b" may contain only [a-z,0-9,-] characters`},
		{"infra_name: a\nnodes: [{name: a.b, type: x}]", `[SchemaCheck] ERROR: node "a.b" cannot contain '.' character`},
		{"infra_name: a\nnodes: [{name: a}]", `[SchemaCheck] ERROR: missing key "type" in node 'a'`},
		{"infra_name: a\nnodes: [{name: a, type: x, scaling: {maximum: 3}}]", `[SchemaCheck] ERROR: unknown key "'maximum'" in scaling of node 'a'`},
		{"infra_name: a\nnodes: [{name: a, type: x, filter: [b]}]", `[SchemaCheck] ERROR: unknown type of filter in node 'a' - has to be a dict!`},
		{"infra_name: a\nnodes: [{foo: 1, name: a, type: x}]", `[SchemaCheck] ERROR: unknown key "'foo'" in node 'a'`},
		{"infra_name: a\nnodes: []\ndependencies: [{mappings: []}]", `[SchemaCheck] ERROR: undefined connection `},
		{"foo: 1\ninfra_name: a\nnodes: []", `[SchemaCheck] ERROR: unknown key 'foo' in infastructure description`},
		// The order: what stands last in the text may be checked first.
		{"foo: 1\nnodes: [{name: a, bar: 2}]\ndependencies: [{}]", "[SchemaCheck] ERROR: infra_name must be defined in infrastructure description"},
		{"foo: 1\ndependencies: [{}]\nnodes: [{bar: 2, name: a}]\ninfra_name: a", `[SchemaCheck] ERROR: missing key "type" in node 'a'`},
		{"foo: 1\ndependencies: [{}]\nnodes: []\ninfra_name: a", `[SchemaCheck] ERROR: undefined connection `},
	} {
		_, _, err := ParseInfrastructure("x.yaml", []byte(c.text), Options{})
		var invalid *Invalid
		if !errors.As(err, &invalid) || invalid.Compatible != c.want {
			t.Errorf("%s:\n got %v\nwant %s", c.text, err, c.want)
			if invalid != nil {
				t.Log(invalid.Compatible)
			}
		}
	}
}

func TestCompatibleWarnings(t *testing.T) {
	_, warnings, err := ParseInfrastructure("x.yaml", []byte("infra_name: a\nnodes: [{name: a, type: x}, {name: b, type: x, scaling: {min: 0}}]"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.Compatible)
	}
	want := []string{
		"[SchemaCheck] WARNING: user_id is not defined in infrastructure description",
		`[SchemaCheck] WARNING: missing "scaling" parameter in node 'a', using default scaling (single instance)`,
		"", // min: 0, of which Occopus says nothing
		"[SchemaCheck] WARNING: no dependencies specified - using sequential ordering",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestCompatibleDefinitionMessages(t *testing.T) {
	const ec2 = "resource: {type: ec2, endpoint: e, regionname: r, image_id: i, instance_type: t}"
	const nova = "type: nova, endpoint: e, image_id: i, flavor_name: f, project_id: p"
	with := func(section string) string { return "'node_def:z': [{" + ec2 + ", " + section + "}]" }
	for _, c := range []struct{ text, want string }{
		{"z: []", "[SchemaCheck] ERROR in node 'z': Node definition must begin with 'node_def:<nodename>'!"},
		{"'node_def:z': {resource: {}}", "[SchemaCheck] ERROR in node 'z': Node definition has to be a list of dictionaries!"},
		{with("foo: {}"), "[SchemaCheck] ERROR in node 'z': Invalid section 'foo'"},
		{"'node_def:z': [{}]", "[SchemaCheck] ERROR in 'resource' section of node 'z'[0]: Missing 'resource' section!"},
		{"'node_def:z': [{resource: {endpoint: e}}]", "[SchemaCheck] ERROR in 'resource' section of node 'z'[0]: Missing key 'type'"},
		{with("contextualisation: {context_template: x}"), "[SchemaCheck] ERROR in 'contextualisation' section of node 'z'[0]: Missing key 'type'!"},
		{with("config_management: {run_list: []}"), "[SchemaCheck] ERROR in 'config_management' section of node 'z'[0]: Missing key 'type'!"},
		{"'node_def:z': [{resource: {type: ec2, image_id: i, regionname: r}}]", "[SchemaCheck] ERROR in 'resource' section of node 'z'[0]: Missing key(s): endpoint, instance_type"},
		{"'node_def:z': [{" + ec2 + "}, {resource: {type: docker, tag: t, foo: 1, endpoint: e, bar: 2, image: i, origin: o}}]",
			"[SchemaCheck] ERROR in 'resource' section of node 'z'[1]: Unknown key(s): foo, bar"},
		{with("health_check: {ports: ['22']}"), "[SchemaCheck] ERROR in 'health_check' section of node 'z'[0]: Invalid port '22' - must be integer"},
		{with("health_check: {ports: 22}"), "[SchemaCheck] ERROR in 'health_check' section of node 'z'[0]: Invalid format of 'ports' section! Must be a list."},
		{with("health_check: {urls: u}"), "[SchemaCheck] ERROR in 'health_check' section of node 'z'[0]: Invalid format of 'urls' section! Must be a list."},
		{with("health_check: {mysqldbs: u}"), "[SchemaCheck] ERROR in 'health_check' section of node 'z'[0]: Invalid format of 'mysqldbs' section! Must be a list."},
		{with("health_check: {mysqldbs: [{user: u}]}"), "[SchemaCheck] ERROR in 'health_check' section of node 'z'[0]: Missing key(s) in mysqldbs: name, pass"},
		{with("health_check: {ping: yes}"), "[SchemaCheck] ERROR in 'health_check' section of node 'z'[0]: Invalid value of 'ping' section! Must be True/False."},
		{with("health_check: {timeout: long}"), "[SchemaCheck] ERROR in 'health_check' section of node 'z'[0]: Invalid value of 'timeout' section! Must be integer."},
		{"'node_def:z': [{resource: {" + nova + ", volume_size: big}}]", `[SchemaCheck] ERROR in 'resource' section of node 'z'[0]: Could not convert volume_size value "big" to integer!`},
		{"'node_def:z': [{resource: {" + nova + ", volume_size: -1}}]", "[SchemaCheck] ERROR in 'resource' section of node 'z'[0]: Negative numbers for volume_size are prohibited!"},
		{with("contextualisation: {type: docker}"), "[SchemaCheck] ERROR in 'contextualisation' section of node 'z'[0]: Missing key(s): env"},
		{with("config_management: {type: chef}"), "[SchemaCheck] ERROR in 'config_management' section of node 'z'[0]: Missing key(s): endpoint, run_list"},
	} {
		_, _, err := ParseDefinitions("x.yaml", []byte(c.text), Options{})
		var invalid *Invalid
		if !errors.As(err, &invalid) || invalid.Compatible != c.want {
			t.Errorf("%s:\n got %v\nwant %s", c.text, err, c.want)
			if invalid != nil {
				t.Log(invalid.Compatible)
			}
		}
	}
}

// Each file of testdata/bad holds documents and the errors that the first must be answered with.
func TestBad(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.txtar")
	if len(files) < 20 {
		t.Fatalf("%d cases", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			document, want := archive.Files[0], archive.Files[len(archive.Files)-1]
			others := map[string][]byte{}
			for _, f := range archive.Files[1 : len(archive.Files)-1] {
				others[f.Name] = f.Data
			}
			opts := Options{Open: Files(others)}
			// @ stands for the bytes that an archive cannot hold.
			data := []byte(strings.NewReplacer("<BOM>", "\ufeff", "<CR>", "\r", "<TAB>", "\t", "<FF>", "\xff").Replace(string(document.Data)))
			switch document.Name {
			case "auth_data.yaml":
				_, err = ParseAuthentication(document.Name, data, opts)
			case "occopus_config.yaml":
				_, err = ParseConfiguration(document.Name, data, opts)
			case "nodes.yaml", "nodes/nodes.yaml":
				_, _, err = ParseDefinitions(document.Name, data, opts)
			default:
				_, _, err = ParseInfrastructure(document.Name, data, opts)
			}
			if err == nil {
				t.Fatal("the document was accepted")
			}
			var invalid *Invalid
			if !errors.As(err, &invalid) || len(invalid.Problems) == 0 || invalid.Compatible == "" {
				t.Fatalf("the error is a %T", err)
			}
			got := err.Error() + "\n"
			if *update {
				archive.Files[len(archive.Files)-1] = txtar.File{Name: "errors", Data: []byte(got)}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
