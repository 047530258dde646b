package native

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/dns"
	"github.com/troupe-dev/troupe/internal/identity"
)

// dnsTable adds the routes about DNS.
func (f *face) dnsTable() {
	add(f, get, "/dns", "Show what the server answers about by DNS", f.dnsServer)
	add(f, get, "/dns/zones", "List DNS zones", f.listZones)
	add(f, post, "/dns/zones", "Make a DNS zone", f.addZone, status(http.StatusCreated))
	add(f, get, "/dns/zones/{zone}", "Show a DNS zone with its records", f.getZone)
	add(f, patch, "/dns/zones/{zone}", "Change a DNS zone", f.changeZone)
	add(f, del, "/dns/zones/{zone}", "Remove a DNS zone with its records", f.removeZone, status(http.StatusNoContent))
	add(f, post, "/dns/zones/{zone}/records", "Add a DNS record", f.addRecord, status(http.StatusCreated))
	add(f, patch, "/dns/zones/{zone}/records/{record}", "Change a DNS record", f.changeRecord)
	add(f, del, "/dns/zones/{zone}/records/{record}", "Remove a DNS record", f.removeRecord, status(http.StatusNoContent))
	add(f, put, "/dns/zones/{zone}/maps/{name}", "Answer for a name by where the client is", f.putMap)
	add(f, del, "/dns/zones/{zone}/maps/{name}", "Remove a map of a DNS zone", f.removeMap, status(http.StatusNoContent))
}

// usualPriority is that of records whose request names none.
const usualPriority = 10

// plain is a full name as people write it.
func plain(name string) string { return strings.TrimSuffix(name, ".") }

func (f *face) zoneHead(z dns.Zone) client.DNSZone {
	return client.DNSZone{NewDNSZone: client.NewDNSZone{Name: plain(z.Name), Email: z.Email, TTL: z.TTL, Description: z.Description}, Project: f.group(z.Project), Serial: z.Serial,
		Size: len(z.Records) + len(z.Maps), Created: z.Created, Updated: z.Updated}
}

func (f *face) wholeZone(z dns.Zone, err error) (*answer[client.DNSZone], error) {
	if err != nil {
		return nil, err
	}
	out := f.zoneHead(z)
	for _, r := range z.Records {
		out.Records = append(out.Records, dnsRecord(r))
	}
	for _, m := range z.Maps {
		out.Maps = append(out.Maps, dnsMap(m))
	}
	return &answer[client.DNSZone]{out}, nil
}

func dnsRecord(r dns.Record) client.DNSRecord {
	out := client.DNSRecord{ID: r.ID, NewDNSRecord: client.NewDNSRecord{Name: plain(r.Name), Type: r.Type, Data: r.Data, TTL: r.TTL, Description: r.Description}, Created: r.Created, Updated: r.Updated}
	if dns.Prioritised(r.Type) {
		out.Priority = &r.Priority
	}
	return out
}

func dnsMap(m dns.Map) client.DNSMap { return client.DNSMap{Name: plain(m.Name), Lines: m.Lines} }

func (f *face) dnsServer(context.Context, *identity.Caller, *none) (*answer[client.DNSServer], error) {
	d := f.control.DNS()
	out := client.DNSServer{Zone: plain(d.Catalog.Zone), Outputs: map[string]string{}}
	if d.Address.IsValid() {
		out.Address = d.Address.String()
	}
	// Clients know the ports. An address that means all of a host's is none that they can use.
	if at := d.Address.Addr(); at.IsValid() && !at.IsUnspecified() {
		out.Outputs["mcn.endpoint.forwarder"] = at.String()
	}
	if at := d.API.Addr(); at.IsValid() && !at.IsUnspecified() {
		out.Outputs["mcn.endpoint.api"] = at.String()
	}
	return &answer[client.DNSServer]{out}, nil
}

type listZones struct {
	Tenant
	Paging
}

func (f *face) listZones(_ context.Context, who *identity.Caller, in *listZones) (*answer[client.Page[client.DNSZone]], error) {
	list, err := f.control.Zones(who, in.Project)
	if err != nil {
		return nil, err
	}
	return answered(part(list, &in.Paging, func(z dns.Zone) string { return z.Name }, f.zoneHead))
}

type addZone struct {
	Tenant
	Body client.NewDNSZone
}

func (f *face) addZone(ctx context.Context, who *identity.Caller, in *addZone) (*answer[client.DNSZone], error) {
	b := &in.Body
	return f.wholeZone(f.control.AddZone(ctx, who, in.Project, control.NewZone{Name: b.Name, Email: b.Email, TTL: b.TTL, Description: b.Description}))
}

// OneZone is the path of a DNS zone.
type OneZone struct {
	Tenant
	Zone string `path:"zone" doc:"A DNS zone, by name." maxLength:"254"`
}

func (f *face) getZone(_ context.Context, who *identity.Caller, in *OneZone) (*answer[client.DNSZone], error) {
	return f.wholeZone(f.control.Zone(who, in.Project, in.Zone))
}

type changeZone struct {
	OneZone
	Body client.ChangeDNSZone
}

func (f *face) changeZone(ctx context.Context, who *identity.Caller, in *changeZone) (*answer[client.DNSZone], error) {
	return f.wholeZone(f.control.ChangeZone(ctx, who, in.Project, in.Zone, func(z *dns.Zone) error {
		return z.Edit(time.Now(), func(z *dns.Zone) {
			replace(&z.Email, in.Body.Email)
			replace(&z.TTL, in.Body.TTL)
			replace(&z.Description, in.Body.Description)
		})
	}))
}

// replace sets a value where another is given.
func replace[T any](v, other *T) {
	if other != nil {
		*v = *other
	}
}

func (f *face) removeZone(ctx context.Context, who *identity.Caller, in *OneZone) (*none, error) {
	return nil, f.control.RemoveZone(ctx, who, in.Project, in.Zone)
}

type addRecord struct {
	OneZone
	Body client.NewDNSRecord
}

func (f *face) addRecord(ctx context.Context, who *identity.Caller, in *addRecord) (*answer[client.DNSRecord], error) {
	b := &in.Body
	r := dns.Record{Name: b.Name, Type: b.Type, Data: b.Data, TTL: b.TTL, Description: b.Description}
	if dns.Prioritised(b.Type) {
		r.Priority = usualPriority
	}
	replace(&r.Priority, b.Priority)
	_, err := f.control.ChangeZone(ctx, who, in.Project, in.Zone, func(z *dns.Zone) (err error) {
		r, err = z.Add(r, time.Now())
		return err
	})
	return answered(dnsRecord(r), err)
}

// OneRecord is the path of a record.
type OneRecord struct {
	OneZone
	Record uint32 `path:"record" doc:"A record of the zone, by id."`
}

type changeRecord struct {
	OneRecord
	Body client.ChangeDNSRecord
}

func (f *face) changeRecord(ctx context.Context, who *identity.Caller, in *changeRecord) (*answer[client.DNSRecord], error) {
	var r dns.Record
	_, err := f.control.ChangeZone(ctx, who, in.Project, in.Zone, func(z *dns.Zone) (err error) {
		r, err = z.Change(in.Record, time.Now(), func(r *dns.Record) {
			replace(&r.Data, in.Body.Data)
			replace(&r.Priority, in.Body.Priority)
			replace(&r.TTL, in.Body.TTL)
			replace(&r.Description, in.Body.Description)
		})
		return err
	})
	return answered(dnsRecord(r), err)
}

func (f *face) removeRecord(ctx context.Context, who *identity.Caller, in *OneRecord) (*none, error) {
	_, err := f.control.ChangeZone(ctx, who, in.Project, in.Zone, func(z *dns.Zone) error { return z.Remove(in.Record, time.Now()) })
	return nil, err
}

// OneMap is the path of a map.
type OneMap struct {
	OneZone
	Name string `path:"name" doc:"The name that the map answers for." maxLength:"254"`
}

type putMap struct {
	OneMap
	Body struct {
		Lines []string `json:"lines" minItems:"1" maxItems:"500" doc:"A key and a target each."`
	}
}

func (f *face) putMap(ctx context.Context, who *identity.Caller, in *putMap) (*answer[client.DNSMap], error) {
	var m dns.Map
	_, err := f.control.ChangeZone(ctx, who, in.Project, in.Zone, func(z *dns.Zone) (err error) {
		if err := z.TrimMap(in.Name, nil, time.Now()); err != nil && !errors.Is(err, dns.ErrMissing) {
			return err
		}
		m, err = z.AddMap(in.Name, in.Body.Lines, time.Now())
		return err
	})
	return answered(dnsMap(m), err)
}

func (f *face) removeMap(ctx context.Context, who *identity.Caller, in *OneMap) (*none, error) {
	_, err := f.control.ChangeZone(ctx, who, in.Project, in.Zone, func(z *dns.Zone) error { return z.TrimMap(in.Name, nil, time.Now()) })
	return nil, err
}
