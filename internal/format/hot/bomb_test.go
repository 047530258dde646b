package hot

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Templates that would become huge are refused soon, and say why.
func TestBombs(t *testing.T) {
	const head = "heat_template_version: wallaby\n"
	nested := func(n int, inner string) string {
		return strings.Repeat("{str_replace: {params: {x: xxxxxxxxxxxxxxxx}, template: ", n) + inner + strings.Repeat("}}", n)
	}
	var repeat, aliases, deep strings.Builder
	repeat.WriteString("{repeat: {template: '")
	for i := range 8 {
		fmt.Fprintf(&repeat, "%%%d%%", i)
	}
	repeat.WriteString("', for_each: {")
	for i := range 8 {
		fmt.Fprintf(&repeat, "'%%%d%%': [1,2,3,4,5,6,7,8,9,10], ", i)
	}
	repeat.WriteString("}}}")
	aliases.WriteString(head + "outputs:\n  a: &a0 {value: [x, x, x, x, x, x, x, x, x, x]}\n")
	for i := range 10 {
		fmt.Fprintf(&aliases, "  b%d: {value: &a%d [%s]}\n", i, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 10))
	}
	deep.WriteString(head + "outputs: {o: {value: " + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}}")
	files := map[string]string{
		"a.yaml": head + "resources:\n  g: {type: 'OS::Heat::ResourceGroup', properties: {count: 30, resource_def: {type: b.yaml}}}\n",
		"b.yaml": head + "resources:\n  g: {type: 'OS::Heat::ResourceGroup', properties: {count: 30, resource_def: {type: c.yaml}}}\n",
		"c.yaml": head + "resources:\n  g: {type: 'OS::Heat::ResourceGroup', properties: {count: 30, resource_def: {type: 'OS::Heat::None'}}}\n",
		"x.yaml": head + "resources: {y: {type: y.yaml}, z: {type: y.yaml}}\n", "y.yaml": head + "resources: {x: {type: x.yaml}, z: {type: x.yaml}}\n",
		"big": strings.Repeat("x", 4<<20),
	}
	for text, want := range map[string]string{
		head + "outputs: {o: {value: " + nested(9, "x") + "}}":                                                "bytes of text",
		head + "outputs: {o: {value: " + repeat.String() + "}}":                                               "repeat would make more than",
		head + "outputs: {o: {value: {str_replace: {template: {get_file: big}, params: {x: '0123456789'}}}}}": "bytes of text",
		head + "outputs: {o: {value: {list_join: [',', " + strings.Repeat("{get_file: big}, ", 0) + "[{get_file: big}, {get_file: big}, {get_file: big}, {get_file: big}, {get_file: big}]]}}}": "bytes of text",
		head + "outputs: {o: {value: {str_split: ['x', {get_file: big}]}}}": "bytes of text",
		aliases.String():                        "too many values",
		deep.String():                           "nested too deep",
		head + "resources: {a: {type: a.yaml}}": "more than 1000 resources",
		head + "resources: {x: {type: x.yaml}}": "stacks are nested deeper than 5",
		head + "resources: {g: {type: 'OS::Heat::ResourceGroup', properties: {count: 100000000, resource_def: {type: 'OS::Nova::Server', properties: {flavor: f}}}}}": "are the most",
	} {
		began := time.Now()
		tp, err := Parse("web.yaml", []byte(text), nil, Options{Open: folder(files)})
		if err == nil {
			_, _, err = tp.Compile(options("sim"))
		}
		if err == nil {
			var values []OutputValue
			values, err = tp.Evaluate(options("sim"), View{})
			if err == nil && values[0].Error != "" {
				err = fmt.Errorf("%s", values[0].Error)
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.120s: %v does not say %q", text, err, want)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%.120s: refused after %v", text, took)
		}
	}
}
