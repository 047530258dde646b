package control

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// A template that does not parse is found when a service is checked, not when it is deployed.
func TestCheckParsesTemplates(t *testing.T) {
	spec := &service.Spec{Name: "x", Strategy: service.Straight, Roles: []service.RoleSpec{{Name: "a", Heal: service.HealAuto, Identity: service.New,
		Machine: service.Machine{Implementations: []service.Implementation{{Driver: "sim"}}, Env: map[string]string{"Y": "{{ a b }}"}}}}}
	err := new(Control).Check(&identity.Caller{}, spec)
	if problems, ok := service.AsProblems(err); !ok || !strings.HasPrefix(problems[0].Error(), "roles[0].machine.env.Y: line 1: ") {
		t.Errorf("got %v", err)
	}
}
