package occi_test

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	face "github.com/troupe-dev/troupe/internal/api/occi"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/occi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stage is a control plane with the face on it, and a machine definition "default" that everybody may use.
type stage struct {
	*apitest.Stage
	t   testing.TB
	url string
}

func newStage(t testing.TB, prefix string, cloud sim.Options) *stage {
	t.Helper()
	s := &stage{Stage: apitest.NewOn(t, cloud), t: t}
	s.User("ann", "research")
	s.User("ben", "sales")
	machine := service.Machine{Implementations: []service.Implementation{{Driver: "sim"}}}
	if _, err := s.Control.PutMachine(t.Context(), s.Root(), "default", machine, 0o644); err != nil {
		t.Fatal(err)
	}
	s.url = s.mount(prefix)
	return s
}

// mount serves the face once more, as after a restart.
func (s *stage) mount(prefix string) string {
	s.t.Helper()
	f, err := face.New(s.t.Context(), face.Options{Control: s.Control, Version: "test"})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.MountAlone(f.Face(prefix)) + prefix
}

// as gives requests the credentials of a user.
func as(user string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, user+"-password") }
}

// client is one of ann's.
func (s *stage) client(user string) *occi.Client {
	r := &http.Request{Header: http.Header{}}
	as(user)(r)
	return &occi.Client{URL: s.url, Header: r.Header}
}

// settle waits until no service has anything left to do.
func (s *stage) settle(t testing.TB) {
	t.Helper()
	s.Within("all services are at rest", func() bool {
		rest := true
		s.Engine.Each(func(_ uint64, x *service.Service) bool {
			rest = rest && settled(x)
			return rest
		})
		return rest
	})
}

func settled(x *service.Service) bool {
	if x.State != service.Done && x.State != service.Running && x.State != service.Warning || x.Leaving && x.State != service.Done {
		return false
	}
	for _, r := range x.Roles {
		for i := range r.Instances {
			if !i.Phase.Settled() || len(i.Actions) > 0 || i.Wish == service.RestEnds || i.Phase == service.Up && i.Wish != service.Awake {
				return false
			}
		}
	}
	return true
}
