package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/render"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// supplying returns a spec of one role whose machines' address is the output url, after what a given text says.
func supplying(name, before string, services ...service.SupplierSpec) *service.Spec {
	return &service.Spec{Name: name, Strategy: service.Straight, Inputs: map[string]string{"in": ""}, Roles: []service.RoleSpec{simRole("app", 1)}, Services: services,
		Outputs: []service.OutputSpec{{Name: "url", Value: before + "{{ roles.app[0].address }}"}}}
}

// deploy makes a service of a spec.
func (s *stage) deploy(id uint64, spec *service.Spec) {
	s.t.Helper()
	render.Connect(spec)
	if err := service.Validate(spec); err != nil {
		s.t.Fatal(err)
	}
	if _, err := render.CheckNames(spec, render.Rules{}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.engine.Create(context.Background(), service.NewService(id, spec, service.Meta{Name: spec.Name}, time.Now()), store.Txn{}); err != nil {
		s.t.Fatal(err)
	}
}

// chain is a service a that needs b, which is given what c gives, and c; all are made for a.
func chain() *service.Spec {
	a := supplying("a", "", service.SupplierSpec{Name: "c", Spec: supplying("c", "c:")},
		service.SupplierSpec{Name: "b", Spec: supplying("b", "{{ inputs.in }} b:"), Inputs: map[string]string{"in": "{{ services.c.outputs.url }}"}})
	a.Roles[0].Machine.Env = map[string]string{"B": "{{ services.b.outputs.url }}"}
	return a
}

func (s *stage) outputOf(name, output string) (value string) {
	s.engine.Each(func(_ uint64, svc *service.Service) bool {
		if svc.Meta.Name == name {
			value = svc.Outputs[output]
		}
		return true
	})
	return value
}

// C6: values arrive down a chain of three, in order; and all of it goes with the one that it was made for.
func TestChainOfServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, KeepRequests: true, BootDelay: time.Second})
		s.start()
		s.deploy(7, chain())
		s.running(7)
		c, b := s.outputOf("a-c", "url"), s.outputOf("a-b", "url")
		if !strings.HasPrefix(c, "c:") || !strings.HasPrefix(b, c+" b:") {
			t.Errorf("c gives %q and b %q", c, b)
		}
		if req, ok := s.clouds[0].Request(s.machine(7, "app", 0)); !ok || req.Env["B"] != b {
			t.Errorf("the machine sees b as %q, not %q", req.Env["B"], b)
		}
		if n := s.engine.Len(); n != 3 {
			t.Errorf("%d services", n)
		}
		for _, name := range []string{"a-b", "a-c"} {
			id, err := s.engine.Lookup(0, name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.engine.Order(context.Background(), id, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
			if err == nil || !strings.Contains(err.Error(), "needed by a (7)") {
				t.Errorf("removed under its consumer: %v", err)
			}
		}
		s.order(7, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
		s.eventually("all services are gone", func() bool { return s.engine.Len() == 0 })
		s.agree()
	})
}

// C7 and law 7: the server may stop at any moment of the making of a chain, and of its removal.
func TestChainThroughRestarts(t *testing.T) {
	for after := 50 * time.Millisecond; after < 5*time.Second; after += 350 * time.Millisecond {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, sim.Options{Guarantee: driver.Token, BootDelay: time.Second, CreateDelay: 50 * time.Millisecond})
				s.start()
				s.deploy(7, chain())
				time.Sleep(after)
				s.restart()
				s.running(7)
				if n := s.engine.Len(); n != 3 {
					t.Errorf("%d services", n)
				}
				if c, b := s.outputOf("a-c", "url"), s.outputOf("a-b", "url"); !strings.HasPrefix(b, c+" b:") || c == "" {
					t.Errorf("c gives %q and b %q", c, b)
				}
				s.order(7, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
				time.Sleep(after / 4)
				s.restart()
				s.eventually("all services are gone", func() bool { return s.engine.Len() == 0 })
				s.agree()
			})
		})
	}
}

// C1: services that do not need each other are made at once.
func TestIndependentServicesAreMadeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, BootDelay: time.Second})
		s.start()
		spec := supplying("shop", "")
		for n := range 5 {
			spec.Services = append(spec.Services, service.SupplierSpec{Name: fmt.Sprintf("s%d", n), Spec: supplying("x", "")})
			spec.Roles[0].Needs = append(spec.Roles[0].Needs, fmt.Sprintf("s%d", n))
		}
		began := time.Now()
		s.deploy(7, spec)
		s.running(7)
		if took := time.Since(began); took > 3*time.Second { // one boot for all of them, and one of its own
			t.Errorf("took %v", took)
		}
	})
}

// C4 and C5: when one of them fails, the service fails with its name; both go when it is removed, also while they are made.
func TestNeededServiceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, BootDelay: time.Second})
		s.start()
		bad := supplying("bad", "")
		bad.Roles[0].Machine.Implementations[0].Options = map[string]any{"no such option": 1}
		spec := supplying("shop", "", service.SupplierSpec{Name: "good", Spec: supplying("good", "")}, service.SupplierSpec{Name: "bad", Spec: bad})
		spec.Roles[0].Needs = []string{"good", "bad"}
		s.deploy(7, spec)
		s.until(7, "failing", func(svc *service.Service) bool {
			return svc.State == service.FailedDeploying && strings.Contains(svc.Reason, "service bad: FAILED_DEPLOYING")
		})
		s.order(7, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
		s.eventually("all services are gone", func() bool { return s.engine.Len() == 0 })
		s.agree()
		rolled := *spec
		rolled.OnFailure = service.Rollback
		s.deploy(8, &rolled)
		s.eventually("only its record is left", func() bool {
			done := false
			s.engine.View(8, func(svc *service.Service) { done = svc.State == service.Done })
			return done && s.engine.Len() == 1
		})
		s.deploy(9, chain())
		time.Sleep(500 * time.Millisecond)
		s.order(9, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
		s.eventually("what was being made is gone", func() bool { return s.engine.Len() == 1 })
		s.agree()
	})
}

// A service that exists is bound, stays, and tells of changes; services that would need each other in a circle are refused.
func TestBoundService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, KeepRequests: true, BootDelay: time.Second})
		s.start()
		s.deploy(7, supplying("db", "db:"))
		s.running(7)
		user := supplying("shop", "{{ services.db.outputs.url }} ", service.SupplierSpec{Name: "db", Service: "db"})
		user.Roles[0].Needs = []string{"db"}
		s.deploy(8, user)
		s.running(8)
		s.until(8, "given", func(svc *service.Service) bool { return strings.HasPrefix(svc.Outputs["url"], "db:") })
		before := s.outputOf("shop", "url")
		s.order(7, &service.Command{ReplaceOne: &service.ReplaceOne{Serial: 1}})
		s.until(8, "given anew", func(svc *service.Service) bool {
			return svc.Outputs["url"] != before && strings.HasPrefix(svc.Outputs["url"], "db:")
		})

		changed := supplying("db", "db:", service.SupplierSpec{Name: "shop", Service: "shop"})
		changed.Roles[0].Needs = []string{"shop"}
		s.order(7, &service.Command{Update: &service.Update{Spec: changed}})
		s.until(7, "refused", func(svc *service.Service) bool {
			x := svc.Supplier("shop")
			return x != nil && strings.Contains(x.Reason, "circle: shop → db → shop")
		})
		_, err := s.engine.Order(context.Background(), 7, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
		var refusal *service.Refusal
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "needed by shop (8)") {
			t.Errorf("removed under its consumer: %v", err)
		}
		s.order(8, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
		s.eventually("the consumer is gone and the other stays", func() bool { return s.engine.Len() == 1 })
		s.order(7, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
		s.eventually("all services are gone", func() bool { return s.engine.Len() == 0 })
		s.agree()
	})
}

// A change of inputs reaches a service that was made without new machines, one of its description by an update.
func TestChangedNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, BootDelay: time.Second})
		s.start()
		inner := supplying("b", "{{ inputs.in }} b:")
		with := func(in string, inner *service.Spec) *service.Spec {
			a := supplying("a", "", service.SupplierSpec{Name: "b", Spec: inner, Inputs: map[string]string{"in": in}})
			a.Roles[0].Needs = []string{"b"}
			return a
		}
		s.deploy(7, with("one", inner))
		s.running(7)
		id, err := s.engine.Lookup(0, "a-b")
		if err != nil {
			t.Fatal(err)
		}
		machine := s.machine(id, "app", 0)
		s.until(id, "one", func(svc *service.Service) bool { return strings.HasPrefix(svc.Outputs["url"], "one b:") })
		s.order(7, &service.Command{Update: &service.Update{Spec: with("two", inner)}})
		s.until(id, "two", func(svc *service.Service) bool { return strings.HasPrefix(svc.Outputs["url"], "two b:") })
		if m := s.machine(id, "app", 0); m != machine {
			t.Errorf("machine %s took the place of %s", m, machine)
		}
		more := supplying("b", "{{ inputs.in }} b:")
		more.Roles[0].Cardinality = 2
		s.order(7, &service.Command{Update: &service.Update{Spec: with("two", more)}})
		s.until(id, "two machines", func(svc *service.Service) bool { return svc.Role("app").Settled() == 2 && svc.State == service.Running })
	})
}

// Whatever goes wrong with calls, no service is made twice and none is left.
func TestChainUnderFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, Seed: 3, Faults: driver.Plan{Errors: 0.2, Lost: 0.1, Silent: 0.05, Double: 0.1, Late: 20 * time.Millisecond}})
		s.start()
		for id := range uint64(5) {
			s.deploy(1000+id, chain())
		}
		s.running(1000, 1001, 1002, 1003, 1004)
		if n := s.engine.Len(); n != 15 {
			t.Errorf("%d services", n)
		}
		for id := range uint64(5) {
			s.order(1000+id, &service.Command{Undeploy: &service.Undeploy{Remove: true}})
		}
		s.eventually("all services are gone", func() bool { return s.engine.Len() == 0 })
	})
}
