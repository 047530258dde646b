package cli

import (
	"errors"
	"net/netip"

	"github.com/spf13/pflag"
)

// addDNSFlags adds those about names.
func (o *serverOptions) addDNSFlags(f *pflag.FlagSet) {
	d := &o.app.DNS
	f.StringVar(&d.Listen, "dns-listen", "", "`address` of the name server, by UDP and TCP, such as 127.0.0.1:53")
	f.StringVar(&d.APIListen, "dns-api-listen", "", "`address` at whose root Hurtle's DNS interface is served too")
	f.StringVar(&d.Zone, "dns-zone", "troupe.internal", "`name` below which instances have theirs")
	f.StringVar(&d.Host, "dns-host", "", "`name` of this server in its zones (default ns.ZONE)")
	f.Var(addressFlag{&d.Address}, "dns-address", "address at which clients reach the name server (default the one of --dns-listen)")
	f.StringSliceVar(&d.Suffixes, "dns-suffix", nil, "`names` below which users may have zones (default anywhere, with --dns-forward nowhere)")
	f.StringSliceVar(&d.Forward, "dns-forward", nil, "`addresses` of name servers that are asked about other names")
	f.Var(networksFlag{&d.ForwardFor}, "dns-forward-for", "`CIDR` of a network whose clients may ask about other names; repeatable")
	f.Float64Var(&d.Rate, "dns-rate", 200, "most answers a second by UDP to one network (/24, /56), twice as many at once; negative for no bound")
	f.StringVar(&d.Countries, "dns-countries", "", "`file` of networks and the numbers of their countries, for maps")
}

// addressFlag is a flag that takes an address.
type addressFlag struct{ value *netip.Addr }

// String implements pflag.Value.
func (a addressFlag) String() string {
	if !a.value.IsValid() {
		return ""
	}
	return a.value.String()
}

// Type implements pflag.Value.
func (a addressFlag) Type() string { return "address" }

// Set implements pflag.Value.
func (a addressFlag) Set(text string) (err error) {
	if *a.value, err = netip.ParseAddr(text); err != nil {
		return errors.New("give an address, such as 192.0.2.53")
	}
	return nil
}
