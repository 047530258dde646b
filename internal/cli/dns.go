package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newDNSCommand(t *terminal) *cobra.Command {
	return group("dns", "names: of instances, and zones of one's own", newDNSAddCommand(t), newDNSLsCommand(t), newDNSMapCommand(t), newDNSRmCommand(t), newDNSServerCommand(t))
}

func newDNSServerCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use: "server", Short: "where the name server is and how instances are called", Args: atMost(0),
		RunE: calling(t, func(ctx context.Context, c *client.Client, _ []string) error {
			s, err := c.DNS().Server(ctx)
			if err != nil {
				return err
			}
			b := &table{head: []string{"ADDRESS", "ZONE", "INTERFACE", "FORWARDER"}}
			b.add(orDash(s.Address), orDash(s.Zone), orDash(s.Outputs["mcn.endpoint.api"]), orDash(s.Outputs["mcn.endpoint.forwarder"]))
			return t.show(s, b)
		}),
	}
}

func newDNSLsCommand(t *terminal) *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "ls [ZONE]", Short: "zones, or the records and maps of one", Args: atMost(1),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			if len(args) == 1 {
				z, err := c.DNS().Of(project).Zone(ctx, args[0])
				if err != nil {
					return err
				}
				return t.show(z, recordTable(&z))
			}
			list, err := c.DNS().Of(project).Zones(ctx)
			if err != nil {
				return err
			}
			b := &table{head: []string{"ZONE", "SIZE", "TTL", "SERIAL", "UPDATED", "EMAIL", "DESCRIPTION"}, wide: 5}
			for _, z := range list {
				b.add(z.Name, strconv.Itoa(z.Size), seconds(z.TTL), strconv.FormatUint(uint64(z.Serial), 10), stamp(z.Updated), z.Email, orDash(oneLine(z.Description)))
			}
			return t.show(list, b)
		}),
	}
	return ofProject(cmd, &project)
}

func recordTable(z *client.DNSZone) *table {
	b := &table{head: []string{"NAME", "TTL", "TYPE", "DATA", "ID", "UPDATED", "DESCRIPTION"}, wide: 4}
	for _, r := range z.Records {
		data, ttl := r.Data, r.TTL
		if r.Priority != nil {
			data = strconv.Itoa(int(*r.Priority)) + " " + data
		}
		if ttl == 0 {
			ttl = z.TTL
		}
		b.add(r.Name, seconds(ttl), r.Type, oneLine(data), strconv.FormatUint(uint64(r.ID), 10), stamp(r.Updated), orDash(oneLine(r.Description)))
	}
	for _, m := range z.Maps {
		for _, l := range m.Lines {
			b.add(m.Name, seconds(z.TTL), "map", l, "-", "-", "-")
		}
	}
	return b
}

func seconds(n uint32) string { return (time.Duration(n) * time.Second).String() }

type dnsAddOptions struct {
	project, email, why string
	ttl                 time.Duration
	priority            uint16
}

func newDNSAddCommand(t *terminal) *cobra.Command {
	var o dnsAddOptions
	cmd := &cobra.Command{
		Use: "add ZONE [NAME] [TYPE] [DATA...]", Short: "make a zone, or add a record to one", Args: cobra.ArbitraryArgs,
		Long: "Make a zone, or add a record to one. NAME is below the zone, or @ for the zone itself. TYPE is one of A, AAAA, TXT, MX, PTR,\n" +
			"SRV, NS, CNAME, SPF, SSHFP and NAPTR. In DATA a name without a dot is one of the zone; any other is a full one.",
		Example: "  troupe dns add example.org --email ann@example.org\n  troupe dns add example.org www A 192.0.2.1 --ttl 5m\n  troupe dns add example.org @ MX 10 mail\n  troupe dns add example.org _sip._tcp SRV 0 5060 sip",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			calls := c.DNS().Of(o.project)
			if o.ttl%time.Second != 0 || o.ttl < 0 || o.ttl > 7*24*time.Hour {
				return usageError("--ttl is whole seconds, a week at most")
			}
			ttl := uint32(o.ttl / time.Second)
			switch {
			case len(args) == 1:
				z, err := calls.AddZone(ctx, client.NewDNSZone{Name: args[0], Email: o.email, TTL: ttl, Description: o.why})
				if err != nil {
					return err
				}
				if s, err := c.DNS().Server(ctx); err == nil && s.Address == "" {
					t.tell("zone %s is made, but this server answers no questions: start it with --dns-listen", z.Name)
				} else {
					t.tell("zone %s is made; the name server is at %s", z.Name, s.Address)
				}
				return t.program(z, z.Name)
			case len(args) < 4:
				return usageError("dns add wants ZONE alone, or ZONE NAME TYPE DATA")
			case o.email != "":
				return usageError("--email is for zones")
			}
			n := client.NewDNSRecord{Name: args[1], Type: strings.ToUpper(args[2]), Data: strings.Join(args[3:], " "), TTL: ttl, Description: o.why}
			if o.priority != 0 {
				n.Priority = &o.priority
			}
			r, err := calls.Add(ctx, args[0], n)
			if err != nil {
				return err
			}
			t.tell("%s has a record of type %s", r.Name, r.Type)
			return t.program(r, strconv.FormatUint(uint64(r.ID), 10))
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.email, "email", "", "`address` of who looks after the zone")
	f.Var(spanFlag{&o.ttl}, "ttl", "how long others may remember what they are told")
	f.Uint16Var(&o.priority, "priority", 0, "`number` of MX, SRV or NAPTR, which may also begin DATA (default 10)")
	f.StringVar(&o.why, "description", "", "`text` for people")
	return ofProject(cmd, &o.project)
}

func newDNSMapCommand(t *terminal) *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "map ZONE NAME KEY=TARGET...", Short: "answer for a name by where the client is", Args: cobra.ArbitraryArgs,
		Long: "Answer for a name by where the client is, in place of the map that it has. KEY is the number of a country (ISO 3166-1), a\n" +
			"network, or 0 for everybody else; TARGET an address or a name. Countries are known with the server's --dns-countries.",
		Example: "  troupe dns map example.org www 276=192.0.2.1 10.0.0.0/8=10.0.0.5 0=192.0.2.9",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			if len(args) < 3 {
				return usageError("dns map wants ZONE NAME and one KEY=TARGET at least")
			}
			var lines []string
			for _, a := range args[2:] {
				key, target, ok := strings.Cut(a, "=")
				if !ok {
					return usageError("%q: write KEY=TARGET", a)
				}
				lines = append(lines, key+" "+target)
			}
			m, err := c.DNS().Of(project).PutMap(ctx, args[0], args[1], lines)
			if err != nil {
				return err
			}
			t.tell("%s has a map of %d lines", m.Name, len(m.Lines))
			return t.program(m, m.Name)
		}),
	}
	return ofProject(cmd, &project)
}

func newDNSRmCommand(t *terminal) *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "rm ZONE [NAME] [TYPE] [DATA...]", Short: "remove a zone, or records and maps of one", Args: cobra.ArbitraryArgs,
		Long:    "Remove a zone with all that it holds, or what it holds of a name: everything, the records of a type (or MAP), or one record.",
		Example: "  troupe dns rm example.org www A 192.0.2.1\n  troupe dns rm example.org www\n  troupe dns rm example.org",
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			calls := c.DNS().Of(project)
			switch len(args) {
			case 0:
				return usageError("dns rm wants a ZONE")
			case 1:
				if err := calls.RemoveZone(ctx, args[0]); err != nil {
					return err
				}
				t.tell("zone %s is removed", args[0])
				return nil
			}
			n, err := removeFromZone(ctx, calls, args[0], args[1:])
			if n > 0 {
				t.tell("%d removed", n)
			}
			return err
		}),
	}
	return ofProject(cmd, &project)
}

// removeFromZone removes what NAME [TYPE [DATA...]] chooses and returns how much that was.
func removeFromZone(ctx context.Context, calls *client.DNS, zone string, which []string) (n int, err error) {
	z, err := calls.Zone(ctx, zone)
	if err != nil {
		return 0, err
	}
	name := fullName(z.Name, which[0])
	typ, data := "", ""
	if len(which) > 1 {
		typ, data = strings.ToUpper(which[1]), strings.Join(which[2:], " ")
	}
	var errs []error
	for _, r := range z.Records {
		if r.Name != name || typ != "" && r.Type != typ || data != "" && !sameData(&r, z.Name, data) {
			continue
		}
		if err := calls.Remove(ctx, zone, r.ID); err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	if slices.ContainsFunc(z.Maps, func(m client.DNSMap) bool { return m.Name == name }) && (typ == "" || typ == "MAP") {
		if err := calls.RemoveMap(ctx, zone, name); err != nil {
			errs = append(errs, err)
		} else {
			n++
		}
	}
	if n == 0 && errs == nil {
		return 0, withCode(exitNotFound, fmt.Errorf("%s holds nothing like that of %s; see `troupe dns ls %s`", z.Name, name, z.Name))
	}
	return n, errors.Join(errs...)
}

// fullName is a name within a zone as the server shows it.
func fullName(zone, name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	switch {
	case name == "" || name == "@":
		return zone
	case name == zone || strings.HasSuffix(name, "."+zone):
		return name
	}
	return name + "." + zone
}

// sameData reports whether a record has that data, as it was given or as it is shown, with its priority or without.
func sameData(r *client.DNSRecord, zone, data string) bool {
	shown := []string{r.Data}
	if r.Priority != nil {
		shown = append(shown, strconv.Itoa(int(*r.Priority))+" "+r.Data)
	}
	for _, s := range shown {
		if strings.EqualFold(s, data) || strings.EqualFold(s, data+".") || strings.EqualFold(s, data+"."+zone+".") {
			return true
		}
	}
	return false
}
