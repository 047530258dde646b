package oneflow_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/service"
)

// Sections 9.2, 9.4 and 20.7: with straight, no machine of a role is made before all machines of its parents
// are up, and none of a parent is removed before its children are gone.
func TestStraightOrder(t *testing.T) {
	s := newStage(t, sim.Options{BootDelay: 40 * time.Millisecond, DestroyDelay: 40 * time.Millisecond})
	parents := map[string][]string{"db": nil, "queue": nil, "app": {"db", "queue"}, "front": {"app"}, "stats": {"db"}}
	id := s.instantiate(s.template(`{"name":"dag","deployment":"straight","roles":[
		{"name":"front","type":"vm","template_id":0,"cardinality":2,"parents":["app"]},{"name":"db","type":"vm","template_id":0,"cardinality":2},
		{"name":"app","type":"vm","template_id":0,"cardinality":3,"parents":["db","queue"]},{"name":"queue","type":"vm","template_id":0,"cardinality":1},
		{"name":"stats","type":"vm","template_id":0,"cardinality":1,"parents":["db"]}]}`), "")
	states := func() map[string]string {
		r := s.root("GET", "/service/"+id, "")
		roles, _ := r.body("roles").([]any)
		found := make(map[string]string, len(roles))
		for _, role := range roles {
			nodes, _ := apitest.At(role, "nodes").([]any)
			found[fmt.Sprint(apitest.At(role, "name"))] = fmt.Sprintf("%v with %d", apitest.At(role, "state"), len(nodes))
		}
		return found
	}
	seen := make(map[string]bool)
	s.Within("all up", func() bool {
		now := states()
		for role, of := range parents {
			if now[role] == "0 with 0" {
				seen[role+" waits"] = true
				continue
			}
			for _, p := range of {
				if now[p][0] != '2' {
					t.Fatalf("%s is %s while its parent %s is %s", role, now[role], p, now[p])
				}
			}
		}
		return s.root("GET", "/service/"+id, "").body("state") == apitest.Decode("2")
	})
	for _, role := range []string{"app", "front", "stats"} {
		if !seen[role+" waits"] {
			t.Errorf("%s was never seen to wait for its parents", role)
		}
	}
	s.must(204, "DELETE", "/service/"+id, "")
	n := serial(t, id)
	s.Within("all gone", func() bool {
		gone := !s.Engine.View(n, func(svc *service.Service) {
			for role, of := range parents {
				for _, p := range of {
					if svc.Role(role).State != service.Done && svc.Role(p).State != service.Running {
						t.Errorf("%s is %s while its child %s is %s", p, svc.Role(p).State, role, svc.Role(role).State)
					}
				}
			}
		})
		return gone || t.Failed()
	})
}
