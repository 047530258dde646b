package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// createNetworked makes a service of one role on two networks, of which one needs the other.
func (s *stage) createNetworked(id uint64) {
	s.t.Helper()
	role := simRole("app", 2)
	role.Needs = []string{"inner", "outer"}
	role.Machine.Env = map[string]string{"NET": "{{ resources.outer.cidr }}"}
	spec := &service.Spec{Name: "net", Strategy: service.Straight, Roles: []service.RoleSpec{role}, Resources: []service.ResourceSpec{
		{Name: "inner", Kind: "network", Driver: "sim", Needs: []string{"outer"}}, {Name: "outer", Kind: "network", Driver: "sim", Options: map[string]any{"cidr": "10.7.0.0/16"}},
	}}
	if err := service.Validate(spec); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.engine.Create(context.Background(), service.NewService(id, spec, service.Meta{Name: spec.Name}, time.Now()), store.Txn{}); err != nil {
		s.t.Fatal(err)
	}
}

func TestResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, KeepRequests: true, BootDelay: time.Second, CreateDelay: 50 * time.Millisecond})
		s.start()
		s.createNetworked(7)
		s.until(7, "making networks", func(svc *service.Service) bool { return svc.State == service.DeployingNets })
		s.restart()
		s.running(7)
		s.engine.View(7, func(svc *service.Service) {
			if cidr := svc.Resource("outer").Outputs["cidr"]; cidr != "10.7.0.0/16" {
				t.Errorf("outputs %v", svc.Resource("outer").Outputs)
			}
		})
		if req, ok := s.clouds[0].Request(s.machine(7, "app", 0)); !ok || req.Env["NET"] != "10.7.0.0/16" {
			t.Errorf("the machine sees the network as %q", req.Env["NET"])
		}
		if n := s.clouds[0].Networks(); n != 2 {
			t.Errorf("%d networks", n)
		}
		s.restart()
		s.running(7)
		s.removeAll()
		if n := s.clouds[0].Networks(); n != 0 {
			t.Errorf("%d networks are left", n)
		}
	})
}

// Whatever goes wrong with calls, resources are made once and removed.
func TestResourcesUnderFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, Seed: 3, Faults: driver.Plan{Errors: 0.2, Lost: 0.1, Silent: 0.05, Double: 0.1, Late: 20 * time.Millisecond}})
		s.start()
		ids := []uint64{7, 8, 9, 10, 11}
		for _, id := range ids {
			s.createNetworked(id)
		}
		s.running(ids...)
		s.eventually("each service has its networks", func() bool { return s.clouds[0].Networks() == 2*len(ids) })
		s.removeAll()
		s.eventually("no network is left", func() bool { return s.clouds[0].Networks() == 0 })
	})
}

func TestOrphanedResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.change = func(o *Options) { o.OrphanGrace, o.ListEvery = 2*time.Minute, 10*time.Second }
		s.start()
		s.createNetworked(7)
		s.running(7)
		r, _ := driver.As[driver.Resourcer](s.engine.Backend("sim", "").Driver)
		for _, id := range []driver.MachineID{"7-r99", "99-r1", "strange"} {
			if _, err := r.MakeResource(t.Context(), driver.ResourceRequest{ID: id, Kind: "network"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if n := s.clouds[0].Networks(); n != 5 {
			t.Errorf("%d networks after one look", n)
		}
		s.eventually("orphans are gone", func() bool { return s.clouds[0].Networks() == 3 }) // one is not of Troupe's making
		s.removeAll()
	})
}

// A driver without resources answers what it is asked for, with a reason that a person can read.
func TestResourceNobodyMakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.start()
		spec := &service.Spec{Name: "x", Strategy: service.Straight, Roles: []service.RoleSpec{simRole("app", 1)},
			Resources: []service.ResourceSpec{{Name: "v", Kind: "router", Driver: "sim"}}}
		if _, err := s.engine.Create(t.Context(), service.NewService(7, spec, service.Meta{}, time.Now()), store.Txn{}); err != nil {
			t.Fatal(err)
		}
		s.until(7, "failed", func(svc *service.Service) bool {
			return svc.State == service.FailedDeployingNets && svc.Reason != ""
		})
		s.removeAll()
	})
}
