package control_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

func machine(cpus float64) service.Machine {
	return service.Machine{CPUs: cpus, Implementations: []service.Implementation{{Driver: "sim"}}}
}

func two(web, db service.Machine) *service.Spec {
	role := func(name string, m service.Machine) service.RoleSpec {
		return service.RoleSpec{Name: name, Cardinality: 1, Heal: service.HealManual, Identity: service.New, OnGone: service.Forget, Restart: service.Always, Machine: m}
	}
	return &service.Spec{Name: "two", Strategy: service.NoOrder, Strict: true, Roles: []service.RoleSpec{role("web", web), role("db", db)}}
}

// A role whose machine is the same before and after the change keeps the machine it runs.
func TestRevise(t *testing.T) {
	s := apitest.NewOn(t, sim.Options{})
	id, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: two(machine(1), machine(1)), Warnings: []string{"beware"}})
	if err != nil {
		t.Fatal(err)
	}
	s.UntilRunning(id)
	serials := func() (web, db uint32) {
		s.Engine.View(id, func(svc *service.Service) {
			for i := range svc.Role("web").Instances {
				web = i.Serial
			}
			for i := range svc.Role("db").Instances {
				db = i.Serial
			}
		})
		return web, db
	}
	webBefore, dbBefore := serials()

	// The definition has grown to 2 cores meanwhile: nothing of that is this change's.
	in := two(machine(2), machine(2))
	in.Description = "changed"
	if _, err := s.Control.Revise(t.Context(), s.Root(), id, control.Revision{From: two(machine(2), machine(2)), To: in}); err != nil {
		t.Fatal(err)
	}
	s.Until(id, "changed in place", func(svc *service.Service) bool {
		return svc.Spec.Description == "changed" && svc.Revision == 1 && svc.Spec.Roles[0].Machine.CPUs == 1 && strings.Contains(svc.Log[0].Message, "beware")
	})

	// A changed role is rolled over, the other one stays.
	if _, err := s.Control.Revise(t.Context(), s.Root(), id, control.Revision{From: two(machine(2), machine(2)), To: two(machine(4), machine(2))}); err != nil {
		t.Fatal(err)
	}
	s.Until(id, "updated", func(svc *service.Service) bool {
		return svc.State == service.Running && svc.Rollout == nil && svc.Spec.Roles[0].Machine.CPUs == 4 && svc.Spec.Roles[1].Machine.CPUs == 1
	})
	if web, db := serials(); web == webBefore || db != dbBefore {
		t.Errorf("web %d → %d, db %d → %d: want a new web and the same db", webBefore, web, dbBefore, db)
	}

	// The state may be bound, and the caller needs the right.
	r := control.Revision{From: two(machine(4), machine(2)), To: two(machine(4), machine(2)), In: []service.State{service.Hold}}
	var refusal *service.Refusal
	if _, err := s.Control.Revise(t.Context(), s.Root(), id, r); !errors.As(err, &refusal) || refusal.Kind != service.WrongState {
		t.Errorf("in another state: %v", err)
	}
	if _, err := s.Control.Revise(t.Context(), s.User("eve", ""), id, control.Revision{From: r.From, To: r.To}); !errors.Is(err, identity.ErrDenied) {
		t.Errorf("without the right: %v", err)
	}
}

// Copies of definitions get names that are valid and free.
func TestCopyMachine(t *testing.T) {
	s := apitest.New(t)
	long := "m" + strings.Repeat("x", 62)
	for _, name := range []string{"default", long} {
		if _, err := s.Control.PutMachine(t.Context(), s.Root(), name, machine(1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ of, suffix, want string }{
		{"default", "copy", "default-copy"},
		{"default", "copy", "default-copy-2"},
		{"0", "a b/ü", "default-a_b__"},
		{long, "copy", "m" + strings.Repeat("x", 57) + "-copy"},
		{"default", strings.Repeat("y", 200), "default-" + strings.Repeat("y", 30)},
	} {
		d, err := s.Control.CopyMachine(t.Context(), s.Root(), c.of, c.suffix)
		if err != nil || d.Name != c.want {
			t.Errorf("copy of %s as %s: %q, %v, want %q", c.of, c.suffix, d.Name, err, c.want)
		}
	}
	if _, err := s.Control.CopyMachine(t.Context(), s.User("eve", ""), "default", "x"); !errors.Is(err, identity.ErrDenied) {
		t.Errorf("without the right: %v", err)
	}
}
