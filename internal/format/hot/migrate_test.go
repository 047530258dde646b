package hot

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func release(t *testing.T, name string) Release {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return Release{File{name, text}, File{name, text}}
}

func TestPartOf(t *testing.T) {
	for _, c := range []struct {
		kind, name string
		want       Part
	}{
		{"OS::Nova::Server", "v1_web", VersionPart}, {"OS::Neutron::Port", "V22_web_port", VersionPart}, {"OS::Nova::Server", "shared_db", SharedPart},
		{"OS::Neutron::Port", "shared_port", SharedPart}, {"OS::Heat::RandomString", "shared_password", SharedPart}, {"OS::Neutron::RouterInterface", "shared_i", SharedPart},
		{"OS::Neutron::FloatingIP", "service_ip", RoutingPart},
		{"OS::Neutron::Net", "v1_net", ""}, {"OS::Neutron::FloatingIP", "v1_fip", ""}, {"OS::Neutron::FloatingIP", "shared_fip", ""}, {"OS::Nova::Server", "web", ""},
		{"OS::Cinder::Volume", "shared_volume", ""}, {"OS::Cinder::Volume", "v1_volume", ""}, {"OS::Nova::Server", "v1_", ""}, {"OS::Nova::Server", "v_web", ""}, {"OS::Nova::Server", "shared_", ""},
	} {
		part, err := PartOf(c.kind, c.name)
		if part != c.want || (err != nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.kind) || !strings.Contains(err.Error(), c.name)) {
			t.Errorf("%s %s is %q, %v", c.kind, c.name, part, err)
		}
	}
}

// From one version to the other and back: the servers of both run side by side until the address has turned.
func TestMigrate(t *testing.T) {
	for _, way := range [][2]string{{"wordpress_v1.yaml", "wordpress_v2.yaml"}, {"wordpress_v2.yaml", "wordpress_v1.yaml"}} {
		from, to := release(t, way[0]), release(t, way[1])
		steps, err := Migrate(from, to)
		if err != nil {
			t.Fatal(err)
		}
		old, fresh := way[0][10:12], way[1][10:12]
		both, one := []string{"shared_db×1", old + "_webserver×1", fresh + "_webserver×1"}, []string{"shared_db×1", fresh + "_webserver×1"}
		want := []struct {
			name  string
			roles []string
			port  string
		}{{"add", both, old}, {"route", both, fresh}, {"deployment", one, fresh}, {"provision", one, fresh}}
		spec, _ := compiled(t, sample(t, way[0]), options("sim"))
		running := start(t, spec)
		address := running.svc.Resource("shared_router").Outputs["id"]
		for i, s := range steps {
			tp, err := Parse(s.Template.Name, s.Template.Text, nil, Options{})
			if err != nil {
				t.Fatalf("%s: %v\n%s", s.Name, err, s.Template.Text)
			}
			done := running.update(tp, options("sim"))
			next := running.svc.Spec
			ip := next.Resource("service_floating_ip")
			if s.Name != want[i].name || !cmp.Equal(roleNames(next), want[i].roles) || !slices.Contains(ip.Needs, want[i].port+"_webserver_port") {
				t.Errorf("step %d is %s, with the roles %v, and the address needs %v", i, s.Name, roleNames(next), ip.Needs)
			}
			expect := map[string][]string{"add": {"create " + fresh + "_webserver"}, "deployment": {"destroy " + old + "_webserver"}}[s.Name]
			if !cmp.Equal(done, expect) {
				t.Errorf("%s does %v, not %v", s.Name, done, expect)
			}
			if id := running.svc.Resource("shared_router").Outputs["id"]; id != address {
				t.Errorf("%s: the router is %s, and was %s", s.Name, id, address)
			}
		}
	}
}

func TestMigrateRefuses(t *testing.T) {
	v1, v2 := release(t, "wordpress_v1.yaml"), release(t, "wordpress_v2.yaml")
	if steps, err := Migrate(v1, v1); err != nil || len(steps) != 0 {
		t.Errorf("from a version to itself: %v, %v", steps, err)
	}
	changed := func(old, new string) Release {
		text := []byte(strings.Replace(string(v2.Deployment.Text), old, new, 1))
		return Release{File{"new.yaml", text}, File{"new.yaml", text}}
	}
	for want, to := range map[string]Release{
		"Shared resource shared_private_subnet differs!":                 changed("cidr: 10.0.0.0/24", "cidr: 10.0.1.0/24"),
		"new.yaml:68:3: resource web of type OS::Nova::Server cannot be": changed("  v2_webserver:", "  web:"),
		"Shared resource shared_more differs!":                           changed("  shared_private_net:", "  shared_more: {type: OS::Neutron::Net}\n  shared_private_net:"),
		"expected keys and values":                                       {File{"x", []byte("[]")}, File{"x", []byte("[]")}},
	} {
		if _, err := Migrate(v1, to); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if _, err := MigrateRegions(map[string]Release{"one": v1, "two": v1}, map[string]Release{"one": v2}); err == nil || !strings.Contains(err.Error(), "region two has the service") {
		t.Error(err)
	}
	all, err := MigrateRegions(map[string]Release{"two": v1, "one": v1, "same": v2}, map[string]Release{"one": v2, "two": v2, "same": v2, "fresh": v2})
	if err != nil || len(all) != 2 || all[0].Region != "one" || all[1].Region != "two" || len(all[0].Steps) != 4 {
		t.Errorf("%v, %v", all, err)
	}
	if none, err := MigrateRegions(nil, map[string]Release{"one": v2}); err != nil || len(none) != 0 {
		t.Errorf("without a state: %v, %v", none, err)
	}
}
