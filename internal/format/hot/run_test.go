package hot

import (
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
)

// A stage runs a service on a back end where all goes well, and that grants addresses.
type stage struct {
	t   *testing.T
	svc *service.Service
	now time.Time
	did []string // creations and removals, by role
}

func start(t *testing.T, spec *service.Spec) *stage {
	s := &stage{t: t, now: time.Unix(1000, 0)}
	s.svc = service.NewService(7, spec, service.Meta{Name: spec.Name}, s.now)
	s.settle()
	return s
}

// settle lets the service run until it is at rest.
func (s *stage) settle() {
	s.t.Helper()
	for range 10_000 {
		d := s.svc.Decide(s.now)
		s.svc.Changes()
		for _, e := range d.Effects {
			s.carryOut(e)
		}
		if len(d.Effects) > 0 || d.More {
			continue
		}
		if s.svc.State == service.Running && s.svc.Rollout == nil || s.svc.State == service.Done {
			return
		}
		if d.Wake.IsZero() {
			break
		}
		s.now = d.Wake
	}
	s.t.Fatalf("the service is %s: %s", s.svc.State, s.svc.Reason)
}

func (s *stage) carryOut(e service.Effect) {
	f := service.Fact{Serial: e.Serial, Incarnation: e.Incarnation, Action: e.Token}
	i := s.svc.Instance(e.Serial)
	switch e.Kind {
	case service.DoCreate:
		address := "10.7.7.7"
		if x := i.Bears(); x != nil {
			address = x.Address()
		}
		s.did = append(s.did, "create "+i.Role().Name)
		f.Kind, f.Machine = service.Created, driver.Machine{State: driver.Running, Addresses: []string{address}}
	case service.DoDestroy:
		s.did = append(s.did, "destroy "+i.Role().Name)
		f.Kind = service.Destroyed
	case service.DoMake:
		f.Kind, f.Resource = service.Made, &driver.Resource{State: driver.Running, Outputs: map[string]string{"id": "1"}}
	case service.DoUnmake:
		f.Kind = service.Unmade
	default:
		return
	}
	if err := s.svc.Observe(f, s.now); err != nil {
		s.t.Fatal(err)
	}
}

// update brings the service to another template, and returns what that did.
func (s *stage) update(tp *Template, opts CompileOptions) []string {
	s.t.Helper()
	var err error
	if opts.Previous, err = DecodeBundle(s.svc.Spec.Document); err != nil {
		s.t.Fatal(err)
	}
	opts.Present = s.svc.Spec
	spec, _ := compiled(s.t, tp, opts)
	if err := s.svc.Observe(service.Fact{Kind: service.Ordered, Command: &service.Command{Update: &service.Update{Spec: spec}}}, s.now); err != nil {
		s.t.Fatal(err)
	}
	s.did = nil
	s.settle()
	return s.did
}
