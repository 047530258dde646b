package occopus

import (
	"slices"
	"testing"
)

// An entry keeps its key whatever stands before it, so that machines find their account again.
func TestDemandKeys(t *testing.T) {
	keys := func(text string) (out []string) {
		a, err := ParseAuthentication("auth_data.yaml", []byte(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range a.Demands() {
			out = append(out, d.Key)
		}
		return out
	}
	const lab, cloud = "- {type: docker, endpoint: 'tcp://lab:1', auth_data: {}}\n", "- {type: ec2, endpoint: e, auth_data: {accesskey: a, secretkey: b}}\n"
	one, both := keys("resource:\n"+lab), keys("resource:\n"+cloud+lab+lab)
	if len(one) != 1 || len(both) != 2 || both[1] != one[0] || both[0] == one[0] {
		t.Errorf("keys %q, then %q", one, both)
	}
	rotated := keys("resource:\n- {type: ec2, endpoint: e, auth_data: {accesskey: c, secretkey: d}}\n")
	if !slices.Equal(rotated, both[:1]) {
		t.Errorf("other credentials, another key: %q, then %q", both[:1], rotated)
	}
}

func TestEndpoints(t *testing.T) {
	all, _, err := ParseDefinitions("nodes.yaml", []byte(`
'node_def:a':
  - resource: {type: docker, endpoint: "tcp://one:1", origin: local, image: i, tag: t}
  - resource: {type: ec2, endpoint: "https://cloud", regionname: r, image_id: i, instance_type: t}
  - resource: {type: docker, endpoint: "tcp://two:2", origin: local, image: i, tag: t}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := all[0].Endpoints("docker"); !slices.Equal(got, []string{"tcp://one:1", "tcp://two:2"}) {
		t.Errorf("end points %q", got)
	}
}
