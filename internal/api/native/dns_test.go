package native_test

import (
	"testing"

	"github.com/troupe-dev/troupe/client"
)

// TestDNS: zones, records and maps by the client.
func TestDNS(t *testing.T) {
	s := newStage(t)
	ctx, calls := t.Context(), s.DNS()
	if server, err := calls.Server(ctx); err != nil || server.Zone != "troupe.internal" || server.Address != "" {
		t.Errorf("%+v, %v", server, err)
	}
	z, err := calls.AddZone(ctx, client.NewDNSZone{Name: "Example.org", TTL: 60, Description: "of tests"})
	if err != nil || z.Name != "example.org" || z.Email != "hostmaster@example.org" || z.Project.Name == "" || z.Size != 0 {
		t.Fatalf("%+v, %v", z, err)
	}
	r, err := calls.Add(ctx, "example.org", client.NewDNSRecord{Type: "MX", Data: "mail"})
	if err != nil || r.Name != "example.org" || r.Data != "mail.example.org." || r.Priority == nil || *r.Priority != 10 {
		t.Fatalf("%+v, %v", r, err)
	}
	priority, ttl := uint16(0), uint32(5)
	if r, err = calls.Change(ctx, "example.org", r.ID, client.ChangeDNSRecord{Priority: &priority, TTL: &ttl}); err != nil || *r.Priority != 0 || r.TTL != 5 || r.Data != "mail.example.org." {
		t.Errorf("%+v, %v", r, err)
	}
	if m, err := calls.PutMap(ctx, "example.org", "geo", []string{"276 192.0.2.1"}); err != nil || m.Name != "geo.example.org" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := calls.PutMap(ctx, "example.org", "geo", []string{"0 192.0.2.2"}); err != nil || len(m.Lines) != 1 || m.Lines[0] != "0 192.0.2.2" {
		t.Errorf("%+v, %v", m, err)
	}
	email := "ann@example.org"
	if z, err = calls.ChangeZone(ctx, "example.org", client.ChangeDNSZone{Email: &email}); err != nil || z.Email != email || z.TTL != 60 || len(z.Records) != 1 || len(z.Maps) != 1 {
		t.Errorf("%+v, %v", z, err)
	}
	if z, err = calls.Zone(ctx, "EXAMPLE.org."); err != nil || len(z.Records) != 1 {
		t.Errorf("%+v, %v", z, err)
	}
	if list, err := calls.Zones(ctx); err != nil || len(list) != 1 || list[0].Size != 2 || list[0].Records != nil {
		t.Errorf("%+v, %v", list, err)
	}
	for name, err := range map[string]error{
		"a zone twice":       second(calls.AddZone(ctx, client.NewDNSZone{Name: "example.org"})),
		"a record twice":     second(calls.Add(ctx, "example.org", client.NewDNSRecord{Type: "MX", Data: "0 mail"})),
		"a record at a map":  second(calls.Add(ctx, "example.org", client.NewDNSRecord{Name: "geo", Type: "A", Data: "192.0.2.1"})),
		"a map without keys": second(calls.PutMap(ctx, "example.org", "geo.example.org", []string{"x"})),
	} {
		if !client.IsConflict(err) && !client.IsInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"a zone":            second(calls.Zone(ctx, "nobody.org")),
		"a record":          calls.Remove(ctx, "example.org", 99),
		"a record's zone":   calls.Remove(ctx, "nobody.org", 1),
		"a map":             calls.RemoveMap(ctx, "example.org", "nobody"),
		"a project":         second(s.DNS().Of("nobody").Zone(ctx, "example.org")),
		"a zone to change":  second(calls.ChangeZone(ctx, "nobody.org", client.ChangeDNSZone{Email: &email})),
		"a zone to go":      calls.RemoveZone(ctx, "nobody.org"),
		"a record to alter": second(calls.Change(ctx, "example.org", 99, client.ChangeDNSRecord{TTL: &ttl})),
	} {
		if !client.IsNotFound(err) {
			t.Errorf("%s that is not there: %v", name, err)
		}
	}
	if err := calls.RemoveMap(ctx, "example.org", "geo"); err != nil {
		t.Error(err)
	}
	if err := calls.Remove(ctx, "example.org", r.ID); err != nil {
		t.Error(err)
	}
	if err := calls.RemoveZone(ctx, "example.org"); err != nil {
		t.Error(err)
	}
}
