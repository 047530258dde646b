package control_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/dns"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// resolve asks a name server for addresses below the zone of instances; the code where there are none.
func resolve(t *testing.T, at, name string) string {
	t.Helper()
	r, _, err := (&miekg.Client{Timeout: 5 * time.Second}).Exchange(new(miekg.Msg).SetQuestion(name+"."+apitest.DNSZone, miekg.TypeA), at)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, rr := range r.Answer {
		out = append(out, rr.(*miekg.A).A.String())
	}
	if out == nil {
		return miekg.RcodeToString[r.Rcode]
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestHosts: a service is deployed and its names answer; a machine dies and they answer the new address; the service is scaled,
// renamed and removed and they follow.
func TestHosts(t *testing.T) {
	s := apitest.New(t)
	at := s.Names()
	ann := s.User("ann", "Research")
	id, err := s.Control.Deploy(t.Context(), ann, control.Deployment{Spec: simple("Web Shop", 2)})
	if err != nil {
		t.Fatal(err)
	}
	addresses := func() (of map[uint32]string, all string) {
		of = map[uint32]string{}
		s.Engine.View(id, func(svc *service.Service) {
			for i := range svc.Role("a").Instances {
				if i.Phase == service.Up && len(i.Addresses) > 0 {
					of[i.Serial] = i.Addresses[0]
				}
			}
		})
		var list []string
		for _, a := range of {
			list = append(list, a)
		}
		slices.Sort(list)
		return of, strings.Join(list, " ")
	}
	agree := func(name string, instances int) {
		t.Helper()
		s.Within(fmt.Sprintf("%s answers %d addresses", name, instances), func() bool {
			of, all := addresses()
			return len(of) == instances && resolve(t, at, name) == all
		})
	}
	s.UntilRunning(id)
	agree("a.web-shop.research", 2)
	agree(fmt.Sprintf("a.%d.research", id), 2)
	of, _ := addresses()
	if got := resolve(t, at, "a-0.web-shop.research"); got != of[1] {
		t.Errorf("a-0 is %s, want %s", got, of[1])
	}

	// The machine of the first instance dies, and another takes its place.
	before := of[1]
	s.Cloud.Kill(service.MachineID(id, 1, 1))
	s.Within("the dead machine's address is no more answered", func() bool { return !strings.Contains(resolve(t, at, "a.web-shop.research"), before) })
	agree("a.web-shop.research", 2)

	if _, err := s.Control.Order(t.Context(), ann, id, service.Command{Scale: &service.Scale{Role: "a", Cardinality: 5}}); err != nil {
		t.Fatal(err)
	}
	agree("a.web-shop.research", 5)

	name := "store"
	if _, err := s.Control.ChangeMeta(t.Context(), ann, id, control.MetaChange{Name: &name}); err != nil {
		t.Fatal(err)
	}
	agree("a.store.research", 5)
	if got := resolve(t, at, "a.web-shop.research"); got != "NXDOMAIN" {
		t.Errorf("the former name answers %s", got)
	}

	if err := s.Control.Remove(t.Context(), ann, id, service.Undeploy{}); err != nil {
		t.Fatal(err)
	}
	s.Within("the names are gone", func() bool { return resolve(t, at, "a.store.research") == "NXDOMAIN" })
}

// TestZoneRights: who may have which zones, and that a group with zones stays.
func TestZoneRights(t *testing.T) {
	s := apitest.New(t)
	ann, bob := s.User("ann", "research"), s.User("bob", "others")
	ctx := t.Context()
	if _, err := s.Control.AddZone(ctx, ann, "", control.NewZone{Name: "example.org"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"example.org": identity.ErrExists, "a.example.org": identity.ErrExists, "org": identity.ErrDenied, "troupe.internal": identity.ErrInvalid, "x.troupe.internal": identity.ErrInvalid} {
		if _, err := s.Control.AddZone(ctx, bob, "", control.NewZone{Name: name}); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Control.Zone(bob, "", "example.org"); !errors.Is(err, identity.ErrNotFound) {
		t.Errorf("another project's zone: %v", err)
	}
	if _, err := s.Control.Zone(bob, "research", "example.org"); !errors.Is(err, identity.ErrNotFound) {
		t.Errorf("another project: %v", err)
	}
	if _, err := s.Control.Zone(s.Root(), "research", "example.org"); err != nil {
		t.Errorf("an administrator: %v", err)
	}
	if _, err := s.Control.AddZone(ctx, ann, "", control.NewZone{Name: "sub.example.org"}); err != nil {
		t.Errorf("a zone within one's own: %v", err)
	}
	if err := s.Control.RemoveUser(ctx, s.Root(), "ann"); err != nil {
		t.Errorf("a user whose project has zones: %v", err)
	}
	if err := s.Control.RemoveGroup(ctx, s.Root(), "research"); !errors.Is(err, identity.ErrInUse) {
		t.Errorf("a group with zones: %v", err)
	}
}

// TestZoneChanges: changes at the same time are all kept, a refused one changes nothing, and a new start finds what was there.
func TestZoneChanges(t *testing.T) {
	s := apitest.New(t)
	ann := s.User("ann", "research")
	ctx := t.Context()
	if _, err := s.Control.AddZone(ctx, ann, "", control.NewZone{Name: "example.org"}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for n := range 50 {
		go func() {
			_, err := s.Control.ChangeZone(ctx, ann, "", "example.org", func(z *dns.Zone) error {
				_, err := z.Add(dns.Record{Name: fmt.Sprint("h", n), Type: "A", Data: fmt.Sprintf("192.0.2.%d", n)}, time.Now())
				return err
			})
			done <- err
		}()
	}
	for range 50 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Control.ChangeZone(ctx, ann, "", "example.org", func(z *dns.Zone) error {
		z.Records = nil
		_, err := z.Add(dns.Record{Name: "x", Type: "A", Data: "no"}, time.Now())
		return err
	}); !errors.Is(err, identity.ErrInvalid) {
		t.Error(err)
	}
	fresh, err := engine.New(ctx, engine.Options{Store: s.Store, Vault: s.Vault})
	if err != nil {
		t.Fatal(err)
	}
	again, err := control.New(ctx, control.Options{Store: s.Store, Vault: s.Vault, Engine: fresh, Directory: s.Directory})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*control.Control{s.Control, again} {
		z, err := c.Zone(ann, "", "example.org")
		if err != nil || len(z.Records) != 50 {
			t.Fatalf("%d records, %v", len(z.Records), err)
		}
		if a := c.Names().Answer(dns.Question{Name: "h7.example.org.", Type: miekg.TypeA}); len(a.Answer) != 1 {
			t.Errorf("%+v", a)
		}
	}
}
