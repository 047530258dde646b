package oneflow

import (
	"fmt"
	"testing"
)

func instantiate(t *testing.T, template, merge string) (string, []Warning, error) {
	t.Helper()
	v, err := ParseJSON([]byte(merge))
	if err != nil {
		t.Fatal(err)
	}
	b := parse(t, template)
	before, _ := b.MarshalJSON()
	made, warnings, err := b.Instantiate(v)
	if after, _ := b.MarshalJSON(); string(before) != string(after) {
		t.Errorf("the template changed from %s to %s", before, after)
	}
	if err != nil {
		return "", warnings, err
	}
	got, _ := made.MarshalJSON()
	return string(got), warnings, nil
}

const (
	rest = `,"deployment":"none","description":""`
	oldR = `{"name":"r","vm_template":0,"cardinality":1`
	newR = `{"name":"r","type":"vm","template_id":0,"cardinality":1`
)

func TestInstantiate(t *testing.T) {
	for _, c := range []struct{ template, merge, want string }{
		{`{"name":"s","roles":[]` + rest + `}`, `null`, `{"name":"s","roles":[]` + rest + `}`},
		// Inputs, in the names of either generation.
		{`{"name":"s","roles":[` + newR + `}],"user_inputs":{"A":"O|text|x||"}` + rest + `}`, `{"custom_attrs_values":{"A":1}}`,
			`{"name":"s","roles":[` + newR + `}],"user_inputs":{"A":"O|text|x||"}` + rest + `,"user_inputs_values":{"A":1}}`},
		{`{"name":"s","roles":[` + oldR + `}],"custom_attrs":{"A":"O|text|x||"}` + rest + `}`, `{"user_inputs_values":{"A":1}}`,
			`{"name":"s","roles":[` + oldR + `}],"custom_attrs":{"A":"O|text|x||"}` + rest + `,"custom_attrs_values":{"A":1}}`},
		// Roles by name, and by index without one.
		{`{"name":"s","roles":[` + newR + `},{"name":"q","type":"vm","template_id":0,"cardinality":1}]` + rest + `}`, `{"roles":[{"name":"q","cardinality":"3"}]}`,
			`{"name":"s","roles":[` + newR + `},{"name":"q","type":"vm","template_id":0,"cardinality":3}]` + rest + `}`},
		{`{"name":"s","roles":[` + newR + `},{"name":"q","type":"vm","template_id":0,"cardinality":1}]` + rest + `}`, `{"roles":[{"cardinality":2},{"cardinality":4}]}`,
			`{"name":"s","roles":[{"name":"r","type":"vm","template_id":0,"cardinality":2},{"name":"q","type":"vm","template_id":0,"cardinality":4}]` + rest + `}`},
		// Contents, of either generation in either.
		{`{"name":"s","roles":[` + newR + `,"template_contents":{"A":"1","V":{"X":1},"NIC":[{"ID":1}],"L":["a"]}}]` + rest + `}`, `{"roles":[{"name":"r","template_contents":{"A":"2","V":{"Y":2},"NIC":[{"ID":2},{"ID":1}],"L":["a"]}}]}`,
			`{"name":"s","roles":[` + newR + `,"template_contents":{"A":"2","V":{"X":1,"Y":2},"NIC":[{"ID":1},{"ID":2}],"L":["a","a"]}}]` + rest + `}`},
		{`{"name":"s","roles":[` + newR + `,"template_contents":{"A":"1"}}]` + rest + `}`, `{"roles":[{"name":"r","vm_template":"9","vm_template_contents":"B=2"}]}`,
			`{"name":"s","roles":[{"name":"r","type":"vm","template_id":9,"cardinality":1,"template_contents":{"A":"1","B":"2"}}]` + rest + `}`},
		{`{"name":"s","roles":[` + oldR + `,"vm_template_contents":"A=1\nB=2"}]` + rest + `}`, `{"roles":[{"template_id":3,"template_contents":{"B":"3"}}]}`,
			`{"name":"s","roles":[{"name":"r","vm_template":3,"cardinality":1,"vm_template_contents":"A=\"1\"\nB=\"3\"\n"}]` + rest + `}`},
		// Arrays of the old generation: objects by index, others replaced.
		{`{"name":"s","x":[{"a":1},{"a":2}],"y":[1],"roles":[` + oldR + `}]` + rest + `}`, `{"x":[{"b":1}],"y":[2]}`,
			`{"name":"s","x":[{"a":1,"b":1},{"a":2}],"y":[2],"roles":[` + oldR + `}]` + rest + `}`},
		// Networks.
		{`{"name":"s","roles":[],"networks":{"N":"M|network|x||id:3"}` + rest + `}`, `{}`,
			`{"name":"s","roles":[],"networks":{"N":"M|network|x||id:3"}` + rest + `,"networks_values":[{"N":{"id":"3"}}]}`},
		{`{"name":"s","roles":[],"networks":{"N":"M|network|x||id:"},"networks_values":[{"N":{"id":1}},{"O":{"id":2}}]` + rest + `}`, `{"networks_values":[{"N":{"id":5}}]}`,
			`{"name":"s","roles":[],"networks":{"N":"M|network|x||id:"},"networks_values":[{"N":{"id":5}},{"O":{"id":2}}]` + rest + `}`},
		{`{"name":"s","roles":[]` + rest + `}`, `{"networks_values":[{"N":{"id":5}}]}`, `{"name":"s","roles":[]` + rest + `,"networks_values":[{"N":{"id":5}}]}`},
	} {
		if got, _, err := instantiate(t, c.template, c.merge); err != nil || got != c.want {
			t.Errorf("%s with %s: %v\n got %s\nwant %s", c.template, c.merge, err, got, c.want)
		}
	}
	_, warnings, err := instantiate(t, `{"name":"s","roles":[`+oldR+`}]}`, `{"roles":[{"name":"x"},{},{"cardinality":1}]}`)
	if got := fmt.Sprint(warnings); err != nil || got != "[merge_template.roles[0]: the template has no such role; ignored merge_template.roles[1]: the template has no such role; ignored merge_template.roles[2]: the template has no such role; ignored]" {
		t.Error(got, err)
	}
}

func TestInstantiateErrors(t *testing.T) {
	const (
		input   = `{"name":"s","roles":[],"user_inputs":{"A":"M|text|x||","B":"O|text|x||y"}}`
		roleIn  = `{"name":"s","roles":[` + newR + `,"user_inputs":{"A":"M|text|x||"}}]}`
		network = `{"name":"s","roles":[],"networks":{"N":"M|network|x||id:","O":"M|network|x||id:2"}}`
		bounded = `{"name":"s","roles":[` + newR + `,"max_vms":2}]}`
	)
	for _, c := range []struct{ template, merge, want string }{
		{input, `[]`, "merge_template: KEY: 'merge_template' must be an Object;"},
		{input, `null`, "merge_template: The Service template specifies User Inputs but no values have been found"},
		{input, `{"user_inputs_values":[]}`, "merge_template.user_inputs_values: User Inputs have a wrong format: they must be an Object"},
		{input, `{"user_inputs_values":{"A":1}}`, "merge_template.user_inputs_values: Verify that every User Input has its value: 'B' has none"},
		{roleIn, `{}`, "merge_template.roles: Role 'r' specifies User Inputs but no values have been found"},
		{roleIn, `{"roles":[{"name":"r"}]}`, "merge_template.roles[0]: Role 'r' specifies User Inputs but no values have been found"},
		{roleIn, `{"roles":{}}`, "merge_template.roles: KEY: 'roles' must be an Array;"},
		{roleIn, `{"roles":[1]}`, "merge_template.roles[0]: KEY: 'roles' must be an Object;"},
		{bounded, `{"roles":[{"name":"r","template_contents":"A=1"}]}`, "merge_template.roles[0].template_contents: KEY: 'template_contents' must be an Object;"},
		{bounded, `{"roles":[{"name":"r","vm_template_contents":"A"}]}`, "merge_template.roles[0]: line 1, column 1: expected KEY = VALUE"},
		{network, `{}`, "networks.N: Wrong networks format: 'M|network|x||id:' names no default network; choose one in networks_values"},
		{`{"name":"s","roles":[],"networks":{"N":"M|network"}}`, `{}`, "networks.N: Wrong networks format: 'M|network' has no fifth field like id:3"},
		{network, `{"networks_values":{}}`, "merge_template.networks_values: KEY: 'networks_values' must be an Array;"},
		{network, `{"networks_values":[1]}`, "merge_template.networks_values[0]: KEY: 'networks_values' must be an Object;"},
		{network, `{"networks_values":[{"N":{"id":1}}]}`, "merge_template.networks_values: Network 'O' has no value"},
		{bounded, `{"roles":[{"name":"r","cardinality":3}]}`, "roles[0].cardinality: Role 'r' 'cardinality' must be lower than or equal to 'max_vms'"},
	} {
		if _, _, err := instantiate(t, c.template, c.merge); err == nil || err.Error() != c.want {
			t.Errorf("%s with %s: %v, want %s", c.template, c.merge, err, c.want)
		}
	}
	if _, _, err := instantiate(t, roleIn, `{"roles":[{"name":"other"}]}`); err != nil {
		t.Error("a role that the merge does not name is not checked:", err)
	}
}
