package declared

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const template = `heat_template_version: 2015-10-15
parameters: {size: {type: number, default: 2}, theme: {type: string}, password: {type: string}}
resources:
  web: {type: OS::Nova::Server}
  port: {type: OS::Neutron::Port}
`

func open(name string) ([]byte, error) {
	switch name {
	case "t.yaml":
		return []byte(template), nil
	case "other.yaml":
		return []byte("a: 1"), nil
	case "broken.yaml":
		return []byte("a: ["), nil
	}
	return nil, os.ErrNotExist
}

// Each mistake is told with its place.
func TestMistakes(t *testing.T) {
	for _, k := range []struct{ text, want string }{
		{"templte: t.yaml", `o.yaml:1:1: unknown key "templte"; did you mean "template"?`},
		{"{}", "o.yaml:1:1: either template or regions"},
		{"template: t.yaml\nregions: {a: t.yaml}", "either template or regions"},
		{"- a", "keys and values are wanted (template, regions, parameters, needs, rules), not a list"},
		{"template: no.yaml", "o.yaml:1:11: template: the template cannot be read"},
		{"template: broken.yaml", "o.yaml:1:11: template: broken.yaml:1"},
		{"template: other.yaml", "other.yaml is no Heat template"},
		{"template: {deployment: t.yaml}", `"provision" is missing`},
		{"regions: {a: {deployment: t.yaml, provision: [1]}}", "regions.a.provision: a text is wanted, not a list"},
		{"regions: {}", "names of regions"},
		{"template: t.yaml\nparameters:\n  them: x", `o.yaml:3:3: parameters.them: no template has a parameter "them"; did you mean "theme"?`},
		{"template: t.yaml\nparameters: [1]", "o.yaml:2:13: parameters: values"},
		{"template: t.yaml\nparameters:\n  theme: '{{ atributes.x }}'", `o.yaml:3:10: parameters.theme: there is no "atributes"; did you mean "attributes"?`},
		{"template: t.yaml\nparameters:\n  theme: '{{ user.nme }}'", `user has no "nme"`},
		{"template: t.yaml\nparameters:\n  theme: '{{ user.name'", "o.yaml:3:10: parameters.theme:"},
		{"template: t.yaml\nrules: [1]", "rules by their names"},
		{"template: t.yaml\nrules: {a b: {on: {alarm: x}, do: {replace: web}}}", "the name of a rule"},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}}}", "rules.a: a rule says on which alarm"},
		{"template: t.yaml\nrules: {a: {on: {alarm: x, stat: ok}, do: {replace: web}}}", `rules.a.on: unknown key "stat"; did you mean "state"?`},
		{"template: t.yaml\nrules: {a: {on: {alarm: x, state: undetermind}, do: {replace: web}}}", `did you mean "undetermined"?`},
		{"template: t.yaml\nrules: {a: {on: {state: ok}, do: {replace: web}}}", `rules.a.on: "alarm" is missing`},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}, do: {replace: wep}}}", `rules.a.do.replace: no template has a resource "wep"; did you mean "web"?`},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}, do: []}}", "a rule does something"},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}, do: {replace: web, notify: 'http://a/'}}}", "an action is one of"},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}, do: {notify: here}}}", "is no URL"},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}, do: {scale: }}}", "scale says which parameter"},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}, do: {scale: {parameter: sise, by: 1, max: 3}}}}", `no template has a parameter "sise"; did you mean "size"?`},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}, do: {scale: {parameter: size, by: 1}}}}", "max is missing"},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}, do: {scale: {parameter: size, by: 0, max: 3}}}}", "by says"},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}, do: {scale: {parameter: size, by: -1, min: 5, max: 3}}}}", "min 5 is more than max 3"},
		{"template: t.yaml\nrules: {a: {on: {alarm: x}, do: {scale: {parameter: size, by: x, max: 3}}}}", "a whole number is wanted"},
		{"template: t.yaml\nneeds: [{type: db}]", "needs[0].type"},
		{"template: t.yaml\nneeds: 3", "a list of services is wanted"},
		{"template: t.yaml\nneeds: [{type: 'http://e.org/sm#db', inputs: ['http://e.org/sm#web#url']}]", "needs: http://e.org/sm#db is given url by http://e.org/sm#web"},
		{"template: t.yaml\nneeds: [{type: 'http://e.org/sm#db', inputs: [url]}]", "is no input"},
		{"a: [", "o.yaml:1"},
		{strings.Repeat("#", maxFile+1), "larger than"},
	} {
		if d, err := Read("o.yaml", []byte(k.text), open); err == nil || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%.200s\n\tgives %v, %v\n\tnot %s", k.text, d, err, k.want)
		}
	}
}

// The example is good, and its template that of the program that does the same.
func TestExample(t *testing.T) {
	d, err := Open("../../examples/orchestrators/declared")
	if err != nil {
		t.Fatal(err)
	}
	if got := d.String(); got != "1 regions, 8 parameters, 0 needed services, 1 rules" {
		t.Error(got)
	}
	one, err := os.ReadFile("../../examples/orchestrators/runtime/one-vm.yaml")
	if err != nil || d.Regions["RegionOne"].Deployment != string(one) {
		t.Errorf("the templates of the two examples differ (%v)", err)
	}
}

// A bundle without a declaration is one of a program; a template that is missing is a mistake of the declaration.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "data", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(FileName, "template: t.yaml")
	if _, err := Open(dir); err == nil || errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "t.yaml") {
		t.Error(err)
	}
	write("t.yaml", template)
	if _, err := Open(dir); err != nil {
		t.Error(err)
	}
	write(FileName, "template: ../../etc/passwd")
	if _, err := Open(dir); err == nil {
		t.Error("a file outside of the bundle is read")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("template: t.yaml\nparameters: {theme: '{{ attributes.theme }}', size: 3}\nrules: {a: {on: {alarm: 'max(x) > 1', state: ok}, do: [{replace: web}, {notify: 'http://a/'}, {scale: {parameter: size, by: +1, max: 3}}]}}")
	f.Add("regions: {a: {deployment: t.yaml, provision: t.yaml}}\nneeds: [{type: 'http://e.org/sm#db', region: r, inputs: []}]")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Read("o.yaml", []byte(text), open)
		if err == nil && len(d.Regions) == 0 {
			t.Error("a declaration without templates")
		}
	})
}
