package orchestrator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/format/hot"
	"github.com/troupe-dev/troupe/orchestrator"
)

// Every resource of real templates can be renamed, and back: what comes of it is a good template without the old name, and in the
// end the first one to the letter.
func TestRenameResource(t *testing.T) {
	files, err := filepath.Glob("../internal/format/hot/testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, err := hot.Parse(file, text, nil, hot.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range first.Resources {
			renamed, err := orchestrator.RenameResource(string(text), r.Name, r.Name+"_1")
			if err != nil {
				t.Errorf("%s: %s: %v", file, r.Name, err)
				continue
			}
			second, err := hot.Parse(file, []byte(renamed), nil, hot.Options{})
			if err != nil {
				t.Errorf("%s without %s: %v", file, r.Name, err)
				continue
			}
			names := ""
			for _, s := range second.Resources {
				names += " " + s.Name
			}
			if len(second.Resources) != len(first.Resources) || !strings.Contains(names+" ", " "+r.Name+"_1 ") || strings.Contains(names+" ", " "+r.Name+" ") {
				t.Errorf("%s: %s became%s", file, r.Name, names)
			}
			if back, err := orchestrator.RenameResource(renamed, r.Name+"_1", r.Name); err != nil || back != string(text) {
				t.Errorf("%s: %s does not come back: %v", file, r.Name, err)
			}
		}
	}
}

// References are found wherever they may stand, and nothing else is.
func TestRenameReferences(t *testing.T) {
	const template = `heat_template_version: 2015-10-15
description: web and nothing but web
resources:
  "web": &web   # the web
    type: OS::Nova::Server
    properties: {name: web, user_data: {str_replace: {template: "é web", params: {web: {get_attr: ['web', first_address]}, b: {get_resource: web}}}}}
  other:
    type: OS::Nova::Server
    depends_on: [web, port]
    properties: {metadata: {get_resource: web, more: 1}}
  port: {type: OS::Neutron::Port, depends_on: web}
outputs:
  web: {value: {get_attr: [web, name]}}
`
	want := strings.NewReplacer(`"web": &web`, `"w2": &web`, `['web',`, `['w2',`, `{get_resource: web}}}}}`, `{get_resource: w2}}}}}`, `[web, port]`, `[w2, port]`,
		`depends_on: web}`, `depends_on: w2}`, `[web, name]`, `[w2, name]`).Replace(template)
	got, err := orchestrator.RenameResource(template, "web", "w2")
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	got, err = orchestrator.RenameResource(`{"heat_template_version": "2015-10-15", "resources": {"a": {"type": "OS::Nova::Server"}}, "outputs": {"x": {"value": {"get_attr": ["a", "name"]}}}}`, "a", "b")
	if err != nil || !strings.Contains(got, `"resources": {"b": {`) || !strings.Contains(got, `["b", "name"]`) {
		t.Errorf("%v %s", err, got)
	}
	for _, k := range []struct{ name, to, want string }{{"wep", "x", `did you mean "web"?`}, {"web", "port", "already"}, {"web", "a b", "no name"}} {
		if _, err := orchestrator.RenameResource(template, k.name, k.to); err == nil || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%s to %s: %v", k.name, k.to, err)
		}
	}
	for _, wrong := range []string{"", "resources", "a: [", "resources: {}"} {
		if _, err := orchestrator.RenameResource(wrong, "web", "w2"); err == nil {
			t.Errorf("%q is taken for a template", wrong)
		}
	}
}
