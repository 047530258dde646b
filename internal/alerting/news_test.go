package alerting

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/service"
)

// The life of a service is told by its own method, after a restart too; the method ends with the service.
func TestNews(t *testing.T) {
	s := newStage(t)
	s.service(7, &service.Spec{Name: "web", Roles: []service.RoleSpec{{Name: "app", Cardinality: 1}}})
	s.service(8, &service.Spec{Name: "other", Roles: []service.RoleSpec{{Name: "app", Cardinality: 1}}})
	if err := s.alerts.TellOf(t.Context(), tenant, 7, &notify.Method{Name: "service 7", Type: notify.Webhook, Address: s.url}); err != nil {
		t.Fatal(err)
	}
	order := func(id uint64, c service.Command) {
		t.Helper()
		if _, err := s.engine.Order(t.Context(), id, &c); err != nil {
			t.Fatal(err)
		}
	}
	scale := func(id uint64, n int) { order(id, service.Command{Scale: &service.Scale{Role: "app", Cardinality: n}}) }
	expect := func(want ...string) {
		t.Helper()
		var got []string
		for range want {
			var b struct {
				Kind, State, Service string
				Instance             *struct {
					ID, Name, Role string
					Addresses      []string
				}
			}
			if err := json.Unmarshal([]byte(s.told()), &b); err != nil {
				t.Fatal(err)
			}
			text := b.Kind + " " + b.State
			if i := b.Instance; i != nil {
				text = b.Kind + " " + i.Name
				if i.ID == "" || i.Role != "app" {
					t.Errorf("%+v", i)
				}
			}
			if b.Service != "web" {
				t.Errorf("news of %s", b.Service)
			}
			got = append(got, text)
		}
		slices.Sort(got) // a change may show what the next one brought already
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	scale(8, 2)
	scale(7, 2)
	expect("instance.creating app-1", "service.state SCALING", "instance.up app-1", "service.state RUNNING")
	s.stop()
	s.start()
	scale(7, 1)
	expect("instance.removing app-0", "service.state SCALING", "instance.gone app-0", "service.state RUNNING")
	order(7, service.Command{Undeploy: &service.Undeploy{Remove: true}})
	expect("instance.removing app-1", "service.state UNDEPLOYING", "instance.gone app-1", "service.state DONE", "service.gone DONE")
	s.eventually("the method goes with the service", func() bool {
		s.alerts.retire(t.Context())
		return len(s.alerts.Methods(tenant)) == 0
	})
	if s.alerts.teller(7) != nil || len(s.hooks) > 0 {
		t.Error("something is left")
	}
}
