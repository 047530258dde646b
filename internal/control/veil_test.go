package control

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/internal/service"
)

func TestVeil(t *testing.T) {
	role := service.RoleSpec{Name: "a", Inputs: map[string]string{"RP": "role-secret"}, Machine: service.Machine{
		Env: map[string]string{"P": "pass word 1", "Q": "x=role-secret", "PLAIN": "y"}, Attributes: map[string]string{"CONTEXT.P": "pass word 1"},
		Files: []service.File{{Path: "f", Content: "p: pass word 1\n"}}, UserData: "pass word 1", Checks: []service.Check{{HTTP: "http://h/?p=pass%20word%201"}},
		Implementations: []service.Implementation{{Driver: "sim"}}}}
	spec := &service.Spec{Name: "s", Inputs: map[string]string{"PW": "pass word 1"}, Secrets: []string{"PW", "RP"}, Roles: []service.RoleSpec{role}}
	shown := veil(spec, &spec.Roles[0])
	text := cmp.Diff(service.Machine{}, shown)
	for _, secret := range []string{"pass word 1", "role-secret", "pass%20word%201"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is shown: %s", secret, text)
		}
	}
	if shown.Env["PLAIN"] != "y" {
		t.Error("a plain value is hidden")
	}
	if back := unveil(shown, spec, &spec.Roles[0]); !cmp.Equal(back, role.Machine) {
		t.Errorf("comes back as %s", cmp.Diff(role.Machine, back))
	}
	shown.Env["P"] = "changed"
	if back := unveil(shown, spec, &spec.Roles[0]); back.Env["P"] != "changed" {
		t.Errorf("a change is lost: %q", back.Env["P"])
	}
}
