package service

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver"
)

// Recorded resources are ready at once, each with an address of its own within its range, and keep what they show
// over an update and a restart.
func TestRecorded(t *testing.T) {
	ranges := []string{"127.0.0.0/8", "10.0.0.0/24", "192.168.7.0/28", "10.1.0.0/30", "10.2.0.9/32", "2001:db8::/64", ""}
	spec := roleOf(0)
	for n := range 30 {
		for k, within := range ranges {
			if k >= 2 && n >= 10 || k >= 3 && n > 0 {
				continue
			}
			spec.Resources = append(spec.Resources, ResourceSpec{Name: fmt.Sprintf("r-%d-%d", k, n), Kind: "port", Driver: Recorded, Addresses: within})
		}
	}
	if err := Validate(spec); err != nil {
		t.Fatal(err)
	}
	s := running(t, 7, spec)
	seen := map[string]string{}
	for _, x := range s.Resources {
		if x.Phase != ResourceReady || x.Outputs["id"] == "" || x.Outputs["name"] != x.Name+"-7" {
			t.Fatalf("%s is %s and shows %v", x.Name, x.Phase, x.Outputs)
		}
		address := x.Address()
		if x.Spec.Addresses == "" {
			if address != "" {
				t.Errorf("%s has the address %s", x.Name, address)
			}
			continue
		}
		a, err := netip.ParseAddr(address)
		if err != nil || !netip.MustParsePrefix(x.Spec.Addresses).Contains(a) {
			t.Errorf("%s of %s has the address %q", x.Name, x.Spec.Addresses, address)
		}
		if other := seen[address]; other != "" {
			t.Errorf("%s and %s both have %s", x.Name, other, address)
		}
		seen[address] = x.Name
	}
	twin, err := s.clone(epoch)
	if err != nil {
		t.Fatal(err)
	}
	next := *spec
	next.Resources = append(next.Resources[1:len(next.Resources):len(next.Resources)], ResourceSpec{Name: "fresh", Kind: "port", Driver: Recorded, Addresses: "127.0.0.0/8"})
	if err := twin.Observe(Fact{Kind: Ordered, Command: &Command{Update: &Update{Spec: &next}}}, epoch); err != nil {
		t.Fatal(err)
	}
	drive(twin)
	for _, x := range s.Resources[1:] {
		if y := twin.Resource(x.Name); y == nil || fmt.Sprint(y.Outputs) != fmt.Sprint(x.Outputs) {
			t.Errorf("%s shows %v after the update, and showed %v", x.Name, y, x.Outputs)
		}
	}
	if a := twin.Resource("fresh").Address(); a == "" || seen[a] != "" && seen[a] != spec.Resources[0].Name {
		t.Errorf("the new resource has the address %q, which is that of %s", a, seen[a])
	}
	if twin.Resource(spec.Resources[0].Name) != nil {
		t.Error("what the new spec lacks is still there")
	}
}

// What a machine's back end gave it goes before what was recorded.
func TestBornAddress(t *testing.T) {
	spec := roleOf(1)
	one := 1
	spec.Roles[0].Max, spec.Roles[0].Needs, spec.Roles[0].Address = &one, []string{"port"}, "port"
	spec.Resources = []ResourceSpec{{Name: "port", Kind: "port", Driver: Recorded, Addresses: "10.0.0.0/24"}}
	s := running(t, 7, spec) // whose back end gives 127.0.0.2
	if a := s.Resource("port").Address(); a != "127.0.0.2" {
		t.Errorf("the port has the address %s, and its machine 127.0.0.2", a)
	}
	i := s.Instance(1)
	_ = s.Observe(Fact{Kind: Seen, Serial: 1, Incarnation: i.Incarnation, Machine: driver.Machine{State: driver.Running, Addresses: []string{"10.0.0.9", "127.0.0.2"}}}, epoch)
	if a := s.Resource("port").Address(); a != "127.0.0.2" {
		t.Errorf("the port has the address %s, and its machine that and 127.0.0.2", a)
	}
}

func TestBearersAreChecked(t *testing.T) {
	one, two := 1, 2
	for want, change := range map[string]func(*Spec){
		"no resource that the role needs": func(s *Spec) { s.Roles[0].Needs = nil },
		"give the role a max of 1":        func(s *Spec) { s.Roles[0].Max = &two },
		"has the address of port already": func(s *Spec) { s.Roles = append(s.Roles, s.Roles[0]); s.Roles[1].Name = "other" },
		"no range of addresses":           func(s *Spec) { s.Resources[0].Addresses = "10.0.0.0" },
		"only a resource of the driver":   func(s *Spec) { s.Resources[0].Driver = "sim" },
	} {
		spec := roleOf(1)
		spec.Roles[0].Max, spec.Roles[0].Needs, spec.Roles[0].Address = &one, []string{"port"}, "port"
		spec.Resources = []ResourceSpec{{Name: "port", Kind: "port", Driver: Recorded, Addresses: "10.0.0.0/24"}}
		if err := Validate(spec); err != nil {
			t.Fatal(err)
		}
		change(spec)
		if err := Validate(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
