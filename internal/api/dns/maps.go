package dns

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/troupe-dev/troupe/internal/dns"
	"github.com/troupe-dev/troupe/internal/identity"
)

func (in *request) lines() []string {
	out := make([]string, len(in.Geo))
	for i, l := range in.Geo {
		out[i] = string(l)
	}
	return out
}

func (d *DNS) createMap(ctx context.Context, who *identity.Caller, in *request) (any, error) {
	return d.change(ctx, who, in, func(z *dns.Zone) error {
		_, err := z.AddMap(string(in.Record), in.lines(), now())
		return known(err, dns.ErrExists, mapExists)
	})
}

// getMap shows a map as the lines of a file.
func (d *DNS) getMap(_ context.Context, who *identity.Caller, in *request) (any, error) {
	z, err := d.zone(who, in)
	if err != nil {
		return nil, err
	}
	m, err := z.Map(string(in.Record))
	if err != nil {
		return nil, noMap
	}
	head := []string{"$RECORD " + strings.TrimSuffix(m.Name, "."), "$ORIGIN " + strings.TrimSuffix(z.Name, ".")}
	return map[string][]string{"geoFileContent": append(head, m.Lines...)}, nil
}

func (d *DNS) appendMap(ctx context.Context, who *identity.Caller, in *request) (any, error) {
	return d.change(ctx, who, in, func(z *dns.Zone) error {
		_, err := z.AppendMap(string(in.Record), in.lines(), now())
		return known(err, dns.ErrMissing, noMap)
	})
}

// deleteMap removes lines of a map; all of it for false.
func (d *DNS) deleteMap(ctx context.Context, who *identity.Caller, in *request) (any, error) {
	var lines []text
	if s := string(in.Remove); s != "" && s != "false" && s != "null" {
		if err := json.Unmarshal(in.Remove, &lines); err != nil || len(lines) == 0 {
			return nil, wrong("infoToRemove is false or a list of lines")
		}
	}
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = string(l)
	}
	return d.change(ctx, who, in, func(z *dns.Zone) error {
		return known(z.TrimMap(string(in.Record), texts, now()), dns.ErrMissing, noMap)
	})
}
