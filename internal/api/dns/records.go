package dns

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/internal/dns"
	"github.com/troupe-dev/troupe/internal/identity"
)

// usualPriority is that of records whose request names none.
const usualPriority = 10

func (d *DNS) createRecord(ctx context.Context, who *identity.Caller, in *request) (any, error) {
	typ := in.recordType()
	if !slices.Contains(dns.Types, typ) {
		return nil, noType
	}
	r := dns.Record{Name: string(in.Record), Type: typ, Data: string(in.Data)}
	switch {
	case dns.Prioritised(typ):
		n, err := in.Priority.number("priority", 16, usualPriority)
		if err != nil {
			return nil, err
		}
		r.Priority = uint16(n)
	case typ == "PTR" && below(string(in.Domain), r.Data): // clients send what the address is called as the name, and the address as the data
		r.Name, r.Data = r.Data, r.Name
	}
	return d.change(ctx, who, in, func(z *dns.Zone) error {
		_, err := z.Add(r, now())
		return known(err, dns.ErrExists, recordExists)
	})
}

// below reports whether a name that may lack its last dot is within a domain.
func below(domain, name string) bool {
	domain, name = strings.ToLower(strings.TrimSuffix(domain, ".")), strings.ToLower(strings.TrimSuffix(name, "."))
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// getRecord shows the record of a name and type, or all of the domain where no type is given.
func (d *DNS) getRecord(_ context.Context, who *identity.Caller, in *request) (any, error) {
	z, err := d.zone(who, in)
	if err != nil {
		return nil, err
	}
	if in.recordType() == "" {
		out := make([]record, len(z.Records))
		for i := range z.Records {
			out[i] = recordOf(&z, &z.Records[i])
		}
		return map[string][]record{"records": out}, nil
	}
	r, err := find(&z, in)
	if err != nil {
		return nil, err
	}
	return recordOf(&z, r), nil
}

// find returns the record that a request is about: the first of its name and type.
func find(z *dns.Zone, in *request) (*dns.Record, error) {
	if !slices.Contains(dns.Types, in.recordType()) {
		return nil, noType
	}
	list, err := z.Find(string(in.Record), in.recordType())
	if err != nil {
		return nil, wrong("%v", err)
	}
	if len(list) == 0 {
		return nil, noRecord
	}
	return &list[0], nil
}

func (d *DNS) updateRecord(ctx context.Context, who *identity.Caller, in *request) (any, error) {
	var edit func(*dns.Record)
	switch in.Parameter {
	case "ttl":
		ttl, err := strconv.ParseUint(string(in.Data), 10, 32)
		if err != nil || ttl == 0 {
			return nil, wrong("data is no TTL in seconds")
		}
		edit = func(r *dns.Record) { r.TTL = uint32(ttl) }
	case "priority":
		n, err := strconv.ParseUint(string(in.Data), 10, 16)
		if err != nil {
			return nil, wrong("data is no priority from 0 to 65535")
		}
		edit = func(r *dns.Record) { r.Priority = uint16(n) }
	case "description":
		edit = func(r *dns.Record) { r.Description = string(in.Data) }
	case "data":
		edit = func(r *dns.Record) { r.Data = string(in.Data) }
	default:
		return nil, noParameter
	}
	return d.change(ctx, who, in, func(z *dns.Zone) error {
		r, err := find(z, in)
		if err == nil {
			_, err = z.Change(r.ID, now(), edit)
		}
		return known(err, dns.ErrExists, recordExists)
	})
}

func (d *DNS) deleteRecord(ctx context.Context, who *identity.Caller, in *request) (any, error) {
	return d.change(ctx, who, in, func(z *dns.Zone) error {
		r, err := find(z, in)
		if err != nil {
			return err
		}
		return z.Remove(r.ID, now())
	})
}
