// Package egress says where the server goes when a user has it call an address: to notify, or to fetch something.
package egress

import (
	"fmt"
	"net/netip"
	"syscall"
)

// A Guard refuses connections to addresses of the server's own machine and link, where things listen
// that trust whoever reaches them: loopback, link-local, unspecified, multicast and broadcast addresses,
// and those where clouds hand out credentials. Private networks are open: operators' webhooks live there.
type Guard struct {
	// Allow lists networks that are open all the same.
	Allow []netip.Prefix
	// Setting is what an operator opens networks with, for errors.
	Setting string
}

// A RefusedError says which address was refused and why.
type RefusedError struct {
	Address netip.Addr
	Why     string
	Setting string // that would open it
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%v is %s, which users may not have the server call; an operator can open it with %s %v/%d",
		e.Address, e.Why, e.Setting, e.Address, e.Address.BitLen())
}

// credentials are where clouds hand out credentials, or answer for the host, outside of link-local networks.
var credentials = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::254/128"),  // EC2
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
}

// Networks whose addresses carry one of IPv4 inside, and where.
var carriers = []struct {
	prefix netip.Prefix
	at     int // first byte of the inner address
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	broadcast   = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	teredo      = netip.MustParsePrefix("2001::/32")
	localNAT64  = netip.MustParsePrefix("64:ff9b:1::/48")
)

// Check returns a *RefusedError for an address that is closed. An IPv4 address inside one of IPv6 counts
// as itself.
func (g *Guard) Check(address netip.Addr) error {
	ip := address.Unmap().WithZone("")
	for _, p := range g.Allow {
		if p.Contains(ip) {
			return nil
		}
	}
	if why := closed(ip); why != "" {
		return &RefusedError{ip, why, g.Setting}
	}
	if !ip.Is6() {
		return nil
	}
	for _, c := range carriers {
		if c.prefix.Contains(ip) {
			b := ip.As16()
			return g.Check(netip.AddrFrom4([4]byte(b[c.at : c.at+4])))
		}
	}
	return nil
}

func closed(ip netip.Addr) string {
	switch {
	case !ip.IsValid():
		return "no address"
	case ip.IsUnspecified() || thisNetwork.Contains(ip):
		return "an unspecified address"
	case ip.IsLoopback():
		return "a loopback address"
	case ip.IsLinkLocalUnicast():
		return "a link-local address"
	case ip.IsMulticast():
		return "a multicast address"
	case ip == broadcast:
		return "the broadcast address"
	case teredo.Contains(ip) || localNAT64.Contains(ip):
		return "an address of a tunnel"
	}
	for _, p := range credentials {
		if p.Contains(ip) {
			return "a cloud's metadata address"
		}
	}
	return ""
}

// Control is for a net.Dialer: it sees the address that is really connected to, after any lookup.
func (g *Guard) Control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &RefusedError{netip.Addr{}, fmt.Sprintf("%q, which is no address", address), g.Setting}
	}
	return g.Check(to.Addr())
}
