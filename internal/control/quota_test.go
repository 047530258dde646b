package control_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// The check of a quota and the claim are one step: of many wishes at a time exactly as many pass as fit.
func TestQuotaAtOnce(t *testing.T) {
	s := apitest.New(t)
	services, instances := 5, 12
	limit(t, s, identity.Quota{Services: &services, Instances: &instances})
	var wait sync.WaitGroup
	var made, refused atomic.Int32
	count := func(err error) {
		var quota *identity.QuotaError
		switch {
		case err == nil:
			made.Add(1)
		case errors.As(err, &quota):
			refused.Add(1)
		default:
			t.Error(err)
		}
	}
	ids := make([]uint64, 20)
	for n := range ids {
		wait.Go(func() {
			id, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: simple(fmt.Sprint("web", n), 1)})
			ids[n] = id
			count(err)
		})
	}
	wait.Wait()
	if made.Load() != 5 || refused.Load() != 15 {
		t.Fatalf("%d services were made and %d refused, want 5 and 15", made.Load(), refused.Load())
	}
	for _, id := range ids {
		if id != 0 {
			_, err := s.Control.Order(t.Context(), s.Root(), id, service.Command{Scale: &service.Scale{Role: "a", Cardinality: 20}})
			var quota *identity.QuotaError
			if !errors.As(err, &quota) {
				t.Errorf("scaling beyond the quota: %v", err)
			}
			break
		}
	}
}

// Two scalings of different services cannot both take what is left for one.
func TestQuotaOfScaling(t *testing.T) {
	s := apitest.New(t)
	instances := 6
	limit(t, s, identity.Quota{Instances: &instances})
	var ids [4]uint64
	for n := range ids {
		var err error
		if ids[n], err = s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: simple(fmt.Sprint("web", n), 1)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		var wait sync.WaitGroup
		var passed atomic.Int32
		for _, id := range ids {
			wait.Go(func() {
				if _, err := s.Control.Order(t.Context(), s.Root(), id, service.Command{Scale: &service.Scale{Role: "a", Cardinality: 3}}); err == nil {
					passed.Add(1)
				}
			})
		}
		wait.Wait()
		if passed.Load() != 1 {
			t.Fatalf("%d scalings passed where one fits", passed.Load())
		}
		for _, id := range ids {
			if _, err := s.Control.Order(t.Context(), s.Root(), id, service.Command{Scale: &service.Scale{Role: "a", Cardinality: 1}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// limit gives the administrator's group a quota.
func limit(t *testing.T, s *apitest.Stage, q identity.Quota) {
	t.Helper()
	_, err := s.Control.ChangeGroup(t.Context(), s.Root(), s.Directory.GroupName(s.Root().Group), func(g *identity.Group) error {
		g.Quota = q
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
