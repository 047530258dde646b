package egress

import (
	"errors"
	"net/netip"
	"testing"
)

func TestGuard(t *testing.T) {
	open := &Guard{}
	for _, ip := range []string{"10.0.0.1", "192.168.1.1", "172.16.0.1", "8.8.8.8", "2001:db8::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "100.64.0.1"} {
		if err := open.Check(netip.MustParseAddr(ip)); err != nil {
			t.Error(err)
		}
	}
	closed := []string{
		"127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "0.0.0.0", "0.1.2.3", "::", "169.254.169.254", "::ffff:169.254.169.254",
		"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fd20:ce::254",
		"100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "ff02::1", "ff01::1", "255.255.255.255", "2001::1", "64:ff9b:1::1",
	}
	for _, ip := range closed {
		refused := (*RefusedError)(nil)
		if err := open.Check(netip.MustParseAddr(ip)); !errors.As(err, &refused) {
			t.Errorf("%s is open", ip)
		}
	}
	if open.Check(netip.Addr{}) == nil || open.Control("tcp", "nonsense", nil) == nil {
		t.Error("nonsense is open")
	}
	lab := &Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}}
	for _, ip := range []string{"127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1%eth0"} {
		if err := lab.Check(netip.MustParseAddr(ip)); err != nil {
			t.Error(err)
		}
	}
	if lab.Check(netip.MustParseAddr("169.254.169.254")) == nil {
		t.Error("more is open than was allowed")
	}
}
