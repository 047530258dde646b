package control_test

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/service"
)

func TestUnknownNamesInTemplates(t *testing.T) {
	s := apitest.New(t)
	spec := simple("web", 1)
	spec.Inputs = map[string]string{"VERSION": "1"}
	spec.Roles[0].Machine.Env = map[string]string{"A": "{{ inputs.VERSON }}"}
	refused := func(what string, err error) {
		t.Helper()
		if problems, ok := service.AsProblems(err); !ok || !strings.HasSuffix(problems[0].Path, ".machine.env.A") || !strings.Contains(problems[0].Text, `no input "VERSON"; did you mean "VERSION"?`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: spec})
	refused("deploy", err)
	_, err = s.Control.PlanDeploy(s.Root(), spec)
	refused("plan", err)

	good := simple("web", 1)
	good.Inputs = spec.Inputs
	good.Roles[0].Machine.Env = map[string]string{"A": "{{ inputs.VERSION }} {{ VERSON }} {{ instance.address }}"}
	id, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: good})
	if err != nil {
		t.Fatal(err)
	}
	var log string
	if err := s.Control.Read(s.Root(), id, func(svc *service.Service) {
		for _, e := range svc.Log {
			log += e.Message + "\n"
		}
	}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, `Warning: roles[0].machine.env.A: line 1: no value "VERSON", so that it is empty; did you mean "VERSION"?`) || !strings.Contains(log, "driver sim tells no address") {
		t.Errorf("the service's log:\n%s", log)
	}
	_, err = s.Control.Order(t.Context(), s.Root(), id, service.Command{Update: &service.Update{Spec: spec}})
	refused("update", err)
	_, err = s.Control.Plan(s.Root(), id, service.Command{Update: &service.Update{Spec: spec}})
	refused("plan of an update", err)
	role := spec.Roles[0]
	role.Name = "b"
	_, err = s.Control.Order(t.Context(), s.Root(), id, service.Command{AddRole: &role})
	refused("new role", err)
}
