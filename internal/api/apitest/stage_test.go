package apitest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/troupe-dev/troupe/internal/api"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/service"
)

func TestStage(t *testing.T) {
	s := apitest.New(t)
	who := s.User("ann", "research")
	spec := &service.Spec{Name: "web", Strategy: service.Straight, Roles: []service.RoleSpec{{Name: "app", Cardinality: 3,
		Heal: service.HealAuto, Identity: service.New, OnGone: service.Replace, Restart: service.Always,
		Machine: service.Machine{Implementations: []service.Implementation{{Driver: "sim"}}}}}}
	id, err := s.Control.Deploy(t.Context(), who, control.Deployment{Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	s.UntilRunning(id)
	if n := s.Cloud.Len(); n != 3 {
		t.Errorf("%d machines, want 3", n)
	}

	url := s.Mount(api.Face{Name: "test", Prefix: "/test", Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, api.Caller(r.Context()).Name)
	})})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/test/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("ann", "ann-password")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}

	if _, err := s.Control.Order(t.Context(), who, id, service.Command{Undeploy: &service.Undeploy{Remove: true}}); err != nil {
		t.Fatal(err)
	}
	s.UntilGone(id)
}
