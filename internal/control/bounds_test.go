package control_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

func simple(name string, n int) *service.Spec {
	return &service.Spec{Name: name, Strategy: service.NoOrder, Roles: []service.RoleSpec{{Name: "a", Cardinality: n, Heal: service.HealAuto, Identity: service.New,
		Machine: service.Machine{Implementations: []service.Implementation{{Driver: "sim"}}}}}}
}

// What does not fit the store's transactions is refused before anything is made.
func TestTooLargeIsRefused(t *testing.T) {
	s := apitest.New(t)
	spec := simple("large", 1)
	spec.Description = strings.Repeat("x", 700<<10)
	if _, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: spec}); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("a large description: %v", err)
	}
	if n := s.Engine.Len(); n != 0 {
		t.Errorf("%d services were made", n)
	}
	id, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: simple("web", 1)})
	if err != nil {
		t.Fatal(err)
	}
	s.UntilRunning(id)
	report := func(key string, bytes int) error {
		_, err := s.Control.Report(t.Context(), s.Root(), id, 1, map[string]string{key: strings.Repeat("v", bytes)})
		return err
	}
	if err := report("A", 10<<10); err != nil {
		t.Fatal(err)
	}
	if err := report("B", 10<<10); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("attributes beyond their bound: %v", err)
	}
	if err := report("A", 12<<10); err != nil {
		t.Errorf("an attribute in the place of its old value: %v", err)
	}
}

// A service that changes its group must fit the quota there.
func TestGroupChangeKeepsQuota(t *testing.T) {
	s := apitest.New(t)
	most := 2
	small, err := s.Directory.AddGroup(t.Context(), "small", identity.Quota{Instances: &most})
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: simple("web", 3)})
	if err != nil {
		t.Fatal(err)
	}
	var quota *identity.QuotaError
	if _, err := s.Control.ChangeMeta(t.Context(), s.Root(), id, control.MetaChange{Group: &small.ID}); !errors.As(err, &quota) {
		t.Errorf("moved three instances into a quota of two: %v", err)
	}
	fits, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: simple("two", 2)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Control.ChangeMeta(t.Context(), s.Root(), fits, control.MetaChange{Group: &small.ID}); err != nil {
		t.Errorf("what fits: %v", err)
	}
}
