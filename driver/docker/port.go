package docker

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/network"
)

// volumeName is what the daemon takes as a volume's name.
var volumeName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

func parseAddress(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is no IP address", text)
	}
	return a, nil
}

// parsePort reads [ADDRESS:][PORT:]PORT[/PROTOCOL]; an IPv6 address stands in brackets.
func parsePort(text string) (network.Port, network.PortBinding, error) {
	var binding network.PortBinding
	rest, protocol, _ := strings.Cut(text, "/")
	switch protocol {
	case "", "tcp", "udp", "sctp":
	default:
		return network.Port{}, binding, fmt.Errorf("there is no protocol %q", protocol)
	}
	if protocol == "" {
		protocol = "tcp"
	}
	inner := rest
	if n := strings.LastIndexByte(rest, ':'); n >= 0 {
		rest, inner = rest[:n], rest[n+1:]
		published := rest
		if n := strings.LastIndexByte(rest, ':'); n >= 0 {
			address := strings.TrimSuffix(strings.TrimPrefix(rest[:n], "["), "]")
			a, err := parseAddress(address)
			if err != nil {
				return network.Port{}, binding, err
			}
			binding.HostIP, published = a, rest[n+1:]
		}
		if published != "" {
			n, err := portNumber(published)
			if err != nil {
				return network.Port{}, binding, err
			}
			binding.HostPort = strconv.Itoa(int(n))
		}
	}
	n, err := portNumber(inner)
	if err != nil {
		return network.Port{}, binding, err
	}
	port, ok := network.PortFrom(n, network.IPProtocol(protocol))
	if !ok {
		return network.Port{}, binding, errors.New("it is no port")
	}
	return port, binding, nil
}

func portNumber(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port number", text)
	}
	return uint16(n), nil
}
