package hot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/troupe-dev/troupe/internal/format/tree"
	"github.com/troupe-dev/troupe/internal/service"
)

// FuzzTemplate: whatever a template says, it is refused with places, or becomes a specification that is valid and whose
// outputs can be evaluated again from what is kept of it.
func FuzzTemplate(f *testing.F) {
	samples, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range samples {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, []byte("parameters: {username: u, password: p, tenant: t, service_id: s}"))
	}
	f.Add([]byte("heat_template_version: wallaby\nresources: {g: {type: 'OS::Heat::ResourceGroup', properties: {count: 2, resource_def: {type: n.yaml, properties: {p: '%index%'}}}}}\noutputs: {o: {value: {get_attr: [g, o]}}}"),
		[]byte("resource_registry: {'OS::Nova::*': 'OS::Heat::*'}"))
	f.Add(thousand(3), []byte("parameter_defaults: {greeting: x}"))
	files := folder(map[string]string{"n.yaml": "heat_template_version: wallaby\nparameters: {p: {type: string}}\nresources: {s: {type: 'OS::Nova::Server', properties: {flavor: m1.tiny, user_data: {get_param: p}}}}\noutputs: {o: {value: {get_attr: [s, show]}}}\n"})
	f.Fuzz(func(t *testing.T, text, environment []byte) {
		tp, err := Parse("web.yaml", text, []File{{"env.yaml", environment}}, Options{Open: files})
		var spec *service.Spec
		if err == nil {
			spec, _, err = tp.Compile(options("sim"))
		}
		if err != nil {
			if errs := (tree.Errors)(nil); !errors.As(err, &errs) {
				t.Fatalf("refused with a %T: %v", err, err)
			}
			return
		}
		if err := service.Validate(spec); err != nil {
			t.Fatal(err)
		}
		if _, err := Outputs(spec.Document, View{}); err != nil {
			t.Fatal(err)
		}
	})
}
