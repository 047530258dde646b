package engine

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
)

// Options, variables and the names of an implementation are rendered for each machine, and peers are found by
// function, the oldest first.
func TestTemplatesOfImplementations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sim.Options{Guarantee: driver.Token, KeepRequests: true})
		s.start()
		db, app := simRole("db", 2), simRole("app", 1, "db")
		app.Variables = service.Values{"pause": "2s"}
		app.Machine.UserData = "{{ node_id }} {{ getip('db') }} {{ getipall('db') | length }} {{ find_node_id('db').node_id }} {{ resource.boot_time }}"
		app.Machine.Implementations[0].Options = map[string]any{"boot_time": "{{ variables.pause }}"}
		app.Machine.Implementations[0].Rendered = service.Values{
			"node_id": "{{ instance.uuid }}", "resource": map[string]any{"boot_time": "{{ variables.pause }}"},
		}
		began := time.Now()
		s.create(1, db, app)
		s.running(1)
		if took := time.Since(began); took < 2*time.Second {
			t.Errorf("it booted in %v", took)
		}
		id := s.machine(1, "app", 0)
		req, _ := s.clouds[0].Request(id)
		first, _ := s.clouds[0].Request(s.machine(1, "db", 0))
		var own, address, uuid string // node_id is the same for an instance and for those that look at it
		s.engine.View(1, func(svc *service.Service) {
			for i := range svc.Role("app").Instances {
				own = service.UUID(s.engine.store.Installation().ID, 1, i.Serial)
			}
			for i := range svc.Role("db").Instances {
				if svc.MachineID(i) == first.ID {
					address, uuid = i.Addresses[0], service.UUID(s.engine.store.Installation().ID, 1, i.Serial)
				}
			}
		})
		if want := strings.Join([]string{own, address, "2", uuid, "2s"}, " "); string(req.UserData) != want {
			t.Errorf("user data %q, want %q", req.UserData, want)
		}
		if req.Options["boot_time"] != 2*time.Second {
			t.Errorf("options %v", req.Options)
		}
	})
}

// Options that templates turn into something that the driver does not take fail the creation, with their name.
func TestTemplatesOfOptionsAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, sound)
		s.start()
		app := simRole("app", 1)
		app.Heal = service.HealManual
		app.Machine.Implementations[0].Options = map[string]any{"boot_time": "{{ instance.name }}"}
		s.create(1, app)
		s.until(1, "refused", func(svc *service.Service) bool {
			for i := range svc.Role("app").Instances {
				return strings.Contains(i.Reason, "boot_time") && strings.Contains(i.Reason, "options: ")
			}
			return false
		})
		s.removeAll()
	})
}
