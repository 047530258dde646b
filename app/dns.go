package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"

	dnsface "github.com/troupe-dev/troupe/internal/api/dns"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/dns"
)

// DNS says which names this server answers about. Zero values mean the defaults.
type DNS struct {
	// Listen is where the name server is, by UDP and TCP; "" for nowhere.
	Listen string
	// APIListen is where the DNS face is served at the root as well; "" for nowhere.
	APIListen string
	// Zone holds the names of instances; "" for troupe.internal.
	Zone string
	// Host is this server's own name; "" for ns.ZONE, which has Address.
	Host string
	// Address is where clients reach the name server; the zero value for the listener's own, if that is one.
	Address netip.Addr
	// Suffixes are the names below which users may have zones; nil for anywhere.
	Suffixes []string
	// Forward are servers that are asked about other names, ADDRESS or ADDRESS:PORT each, for clients in the networks ForwardFor.
	Forward    []string
	ForwardFor []netip.Prefix
	// Rate is how many answers a second the clients of a network get by UDP; 0 for 200, negative for no bound.
	Rate float64
	// Countries is a file of networks and the numbers of their countries; "" for none.
	Countries string
}

const (
	defaultDNSZone = "troupe.internal"
	defaultDNSRate = 200
)

func (o *Options) verifyDNS() (countries *dns.Countries, err error) {
	d := &o.DNS
	var errs []error
	if _, err := dns.CanonicalName(cmp.Or(d.Zone, defaultDNSZone)); err != nil {
		errs = append(errs, fmt.Errorf("--dns-zone: %w", err))
	}
	for _, name := range append([]string{cmp.Or(d.Host, "localhost")}, d.Suffixes...) {
		if _, err := dns.CanonicalName(name); err != nil {
			errs = append(errs, fmt.Errorf("--dns-host and --dns-suffix: %w", err))
		}
	}
	if d.Listen != "" {
		if _, err := net.ResolveUDPAddr("udp", d.Listen); err != nil {
			errs = append(errs, fmt.Errorf("--dns-listen: %w", err))
		}
	}
	switch {
	case len(d.Forward) > 0 && d.Listen == "":
		errs = append(errs, errors.New("--dns-forward is for the name server of --dns-listen, which is missing"))
	case (len(d.Forward) > 0) != (len(d.ForwardFor) > 0):
		errs = append(errs, errors.New("--dns-forward says which servers are asked about other names, --dns-forward-for for which clients: give both or neither"))
	}
	for _, server := range d.Forward {
		if at, err := upstream(server); err != nil {
			errs = append(errs, err)
		} else if d.listensAt(at) {
			errs = append(errs, fmt.Errorf("--dns-forward %s is this server itself", server))
		}
	}
	if d.Countries != "" {
		countries, err = readCountries(d.Countries)
		errs = append(errs, err)
	}
	return countries, errors.Join(errs...)
}

// listensAt reports whether the name server would be asked at an address of an upstream server.
func (d *DNS) listensAt(server string) bool {
	own, err := net.ResolveUDPAddr("udp", d.Listen)
	other, err2 := net.ResolveUDPAddr("udp", server)
	return err == nil && err2 == nil && own.Port == other.Port && own.Port != 0 &&
		(own.IP.Equal(other.IP) || (own.IP == nil || own.IP.IsUnspecified()) && other.IP.IsLoopback())
}

func readCountries(path string) (*dns.Countries, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--dns-countries: %w", err)
	}
	defer f.Close()
	c, err := dns.ReadCountries(f)
	if err != nil {
		return nil, fmt.Errorf("--dns-countries: %s: %w", path, err)
	}
	return c, nil
}

// upstream adds the customary port to an address.
func upstream(server string) (string, error) {
	if a, err := netip.ParseAddr(server); err == nil {
		return netip.AddrPortFrom(a, 53).String(), nil
	}
	at, err := netip.ParseAddrPort(server)
	if err != nil {
		return "", fmt.Errorf("--dns-forward %.60q: write an address, or ADDRESS:PORT", server)
	}
	return at.String(), nil
}

// listenDNS binds the name server's address.
func (a *App) listenDNS(ctx context.Context) (err error) {
	o := &a.opts.DNS
	if o.Listen == "" {
		return nil
	}
	forward := make([]string, len(o.Forward))
	for i, server := range o.Forward {
		if forward[i], err = upstream(server); err != nil {
			return err
		}
	}
	a.dns = dns.NewServer(dns.ServerOptions{Forward: forward, ForwardFor: o.ForwardFor, Rate: cmp.Or(o.Rate, defaultDNSRate), Metrics: a.registry, Log: a.opts.Log.With("part", "dns")})
	a.dnsAt, err = a.dns.Listen(ctx, o.Listen)
	return err
}

// controlDNS is what control knows of names.
func (a *App) controlDNS() control.DNS {
	o := &a.opts.DNS
	d := control.DNS{Forwards: len(o.Forward) > 0, Address: a.dnsAt}
	if a.dns != nil {
		d.Catalog.Zone = canonical(cmp.Or(o.Zone, defaultDNSZone))
	}
	if o.Host != "" {
		d.Catalog.Host = canonical(o.Host)
	}
	switch at := a.dnsAt.Addr(); {
	case o.Address.IsValid():
		d.Address = netip.AddrPortFrom(o.Address, a.dnsAt.Port())
		d.Catalog.Addresses = []netip.Addr{o.Address}
	case at.IsValid() && !at.IsUnspecified():
		d.Catalog.Addresses = []netip.Addr{at}
	}
	for _, s := range o.Suffixes {
		d.Suffixes = append(d.Suffixes, canonical(s))
	}
	d.Catalog.Countries = a.verified.countries
	if u, err := url.Parse(a.Addrs()["dns-api"]); err == nil {
		d.API, _ = netip.ParseAddrPort(u.Host) // without the listener there is none
	}
	if d.API.IsValid() && d.API.Addr().IsUnspecified() && o.Address.IsValid() {
		d.API = netip.AddrPortFrom(o.Address, d.API.Port())
	}
	return d
}

// canonical writes a name that was verified as names are kept.
func canonical(name string) string {
	full, err := dns.CanonicalName(name)
	if err != nil {
		panic(fmt.Sprintf("app: the name %q was not verified: %v", name, err))
	}
	return full
}

// openDNS puts the DNS face on its listeners, and has the name server answer.
func (a *App) openDNS(c *control.Control, main *http.ServeMux) {
	face := dnsface.New(dnsface.Options{Control: c, Log: a.opts.Log.With("face", "dns")})
	under(main, "/dns", a.api.Face(face.Face("/dns")))
	a.dnsAPI.open(a.api.Face(face.Face("")))
	if a.dns != nil {
		a.dns.Open(c.Names())
	}
}

// shutDNS has the name server answer that it cannot.
func (a *App) shutDNS() {
	if a.dns != nil {
		a.dns.Shut()
	}
}
