package occopus

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/service"
)

func TestDefinitionsAreChecked(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"- resource: {type: sim, boot_tim: 3s}", `nodes.yaml:2:25: node_def:z[0].resource.boot_tim: there is no such option; did you mean "boot_time"?`},
		{"- resource: {type: process}\n  contextualisation: {type: cloudinit, context_template: 'a {{ b '}", `nodes.yaml:3:40: node_def:z[0].contextualisation.context_template: line 1: a tag has no end`},
		{"- resource: {type: process}\n  contextualisation: {type: docker, env: [abc]}", `nodes.yaml:3:37: node_def:z[0].contextualisation.env: "abc" is no variable: write NAME=VALUE`},
		{"- resource: {type: sim}\n- resource: {type: sim}\n  health_check: {ping: false, urls: ['htp:/x']}", `nodes.yaml:4:31: node_def:z[1].health_check.urls: "htp:/x" is no address`},
		{"- resource: {type: ec2, endpoint: e, regionname: r, image_id: i, instance_type: t}\n  contextualisation: {type: cloudinit, context_template: \"{{ getip('db') }}\"}", ""},
		{"- resource: {type: sim}\n  config_management: {type: chef, endpoint: e, run_list: [a]}", ""},
	} {
		defs, _, err := ParseDefinitions("nodes.yaml", []byte("'node_def:z':\n"+c.text+"\n"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = defs[0].Check(all.Kinds().Find)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestLocate(t *testing.T) {
	i, _, err := ParseInfrastructure("infra.yaml", []byte("infra_name: i\nnodes:\n- {name: n, type: web}\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := i.Locate(service.Problems{{Path: "roles[0].machine.implementations[1].user_data", Text: "line 4: no"}}).Error()
	if got, want := i.Locate(service.Problems{{Path: "roles", Text: "too many"}}).Error(), "infra.yaml:3:4: roles: too many"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if want := "infra.yaml:3:4: node_def:web[1].contextualisation.context_template: line 4: no (node n of type web)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
