package native_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/client"
)

// isStatus reports whether the server answered with a status.
func isStatus(err error, status int) bool {
	var p *client.Problem
	return errors.As(err, &p) && p.Status == status
}

func TestManagers(t *testing.T) {
	s := newStage(t)
	const manifest = `{"service_type": "http://example.org/occi/sm#shop", "service_description": "Shop", "service_attributes": {"shop.url": "immutable"},
		"service_endpoint": "http://sm.example.org:8890/shop/", "depends_on": []}`
	ann := s.user("ann", "web")
	options := client.ManagerOptions{Program: "shop-so", Environment: []string{"A=secret"}, CloudURL: "http://127.0.0.1:1", CloudUser: "cc", Poll: "5ms", Attempts: 3, Strict: true}
	put := client.PutManager{Manifest: manifest, ManagerOptions: options, CloudPassword: "hidden"}
	if _, err := ann.Managers().Put(t.Context(), put); !isStatus(err, 403) {
		t.Errorf("a user adds a manager: %v", err)
	}
	m, err := s.Managers().Put(t.Context(), put)
	if err != nil || m.Term != "shop" || m.Type != "http://example.org/occi/sm#shop" || m.Poll != "5ms" || m.CloudUser != "cc" || m.Manifest != manifest {
		t.Fatalf("%+v %v", m, err)
	}
	for what, wrong := range map[string]client.PutManager{
		"no program":  {Manifest: manifest},
		"a time":      {Manifest: manifest, ManagerOptions: client.ManagerOptions{Program: "x", Wait: "soon"}},
		"a user":      {Manifest: manifest, ManagerOptions: client.ManagerOptions{Program: "x", CloudUser: "x"}},
		"a bundle":    {Manifest: manifest, ManagerOptions: client.ManagerOptions{Bundle: "/nowhere"}},
		"a manifest":  {Manifest: `{}`, ManagerOptions: client.ManagerOptions{Program: "x"}},
		"parameters":  {Manifest: manifest, Parameters: `{"x": 1}`, ManagerOptions: client.ManagerOptions{Program: "x"}},
		"a near name": {Manifest: strings.Replace(manifest, "immutable", "imutable", 1), ManagerOptions: client.ManagerOptions{Program: "x"}},
	} {
		if _, err := s.Managers().Put(t.Context(), wrong); !isStatus(err, 400) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Managers().Put(t.Context(), client.PutManager{Manifest: strings.Replace(manifest, "occi/sm#", "other#", 1), ManagerOptions: options}); !isStatus(err, 409) {
		t.Errorf("another type of the same term: %v", err)
	}
	list, err := ann.Managers().List(t.Context())
	if err != nil || len(list) != 1 || len(list[0].Environment) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	if m, err := s.Managers().Get(t.Context(), "shop"); err != nil || len(m.Environment) != 1 {
		t.Errorf("%+v %v", m, err)
	}
	if instances, err := ann.Managers().Instances(t.Context(), "shop"); err != nil || len(instances) != 0 {
		t.Errorf("%+v %v", instances, err)
	}
	if _, err := ann.Managers().Instances(t.Context(), "shoe"); !isStatus(err, 404) {
		t.Error(err)
	}
	if err := ann.Managers().Remove(t.Context(), "shop"); !isStatus(err, 403) {
		t.Error(err)
	}
	if err := s.Managers().Remove(t.Context(), "shop"); err != nil {
		t.Error(err)
	}
	if _, err := s.Managers().Get(t.Context(), "shop"); !isStatus(err, 404) {
		t.Error(err)
	}
}
