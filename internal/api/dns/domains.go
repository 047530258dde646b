package dns

import (
	"context"
	"strconv"

	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/dns"
	"github.com/troupe-dev/troupe/internal/identity"
)

// available says that the interface is there.
func (d *DNS) available(context.Context, *identity.Caller, *request) (any, error) {
	return map[string]string{"name": "API available"}, nil
}

func (d *DNS) createDomain(ctx context.Context, who *identity.Caller, in *request) (any, error) {
	ttl, err := in.TTL.number("ttl", 32, dns.DefaultTTL)
	if err != nil {
		return nil, err
	}
	_, err = d.Control.AddZone(ctx, who, "", control.NewZone{Name: string(in.Name), Email: string(in.Email), TTL: uint32(ttl)})
	return success, known(err, identity.ErrExists, domainExists)
}

// getDomain shows a domain, or all where none is named.
func (d *DNS) getDomain(_ context.Context, who *identity.Caller, in *request) (any, error) {
	if in.Domain == "" {
		list, err := d.Control.Zones(who, "")
		if err != nil {
			return nil, err
		}
		out := make([]domain, len(list))
		for i := range list {
			out[i] = domainOf(&list[i])
		}
		return map[string][]domain{"domains": out}, nil
	}
	z, err := d.zone(who, in)
	if err != nil {
		return nil, err
	}
	return domainOf(&z), nil
}

// zone finds the domain that a request names.
func (d *DNS) zone(who *identity.Caller, in *request) (dns.Zone, error) {
	z, err := d.Control.Zone(who, "", string(in.Domain))
	return z, known(err, identity.ErrNotFound, noDomain)
}

// change lets edit change the domain that a request names.
func (d *DNS) change(ctx context.Context, who *identity.Caller, in *request, edit func(*dns.Zone) error) (any, error) {
	if _, err := d.zone(who, in); err != nil {
		return nil, err
	}
	_, err := d.Control.ChangeZone(ctx, who, "", string(in.Domain), edit)
	return success, err
}

func (d *DNS) updateDomain(ctx context.Context, who *identity.Caller, in *request) (any, error) {
	var edit func(*dns.Zone)
	switch in.Parameter {
	case "ttl":
		ttl, err := strconv.ParseUint(string(in.Data), 10, 32)
		if err != nil {
			return nil, wrong("data is no TTL in seconds")
		}
		edit = func(z *dns.Zone) { z.TTL = uint32(ttl) }
	case "email":
		edit = func(z *dns.Zone) { z.Email = string(in.Data) }
	case "description":
		edit = func(z *dns.Zone) { z.Description = string(in.Data) }
	default:
		return nil, noParameter
	}
	return d.change(ctx, who, in, func(z *dns.Zone) error { return z.Edit(now(), edit) })
}

func (d *DNS) deleteDomain(ctx context.Context, who *identity.Caller, in *request) (any, error) {
	err := d.Control.RemoveZone(ctx, who, "", string(in.Domain))
	return success, known(err, identity.ErrNotFound, noDomain)
}
