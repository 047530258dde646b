package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// serving runs a server of a catalog until the test ends, and returns its address.
func serving(t testing.TB, c *Catalog, o ServerOptions) (*Server, string) {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	s := NewServer(o)
	at, err := s.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Open(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, at.String()
}

func question(name string, typ uint16) *miekg.Msg { return new(miekg.Msg).SetQuestion(name, typ) }

// exchanged sends a message and returns the answer.
func exchanged(t testing.TB, network, at string, m *miekg.Msg) *miekg.Msg {
	t.Helper()
	r, _, err := (&miekg.Client{Net: network, Timeout: 5 * time.Second, UDPSize: miekg.MaxMsgSize}).Exchange(m, at)
	if err != nil {
		t.Fatalf("%v by %s: %v", m.Question, network, err)
	}
	r.Compress = true // as it came
	return r
}

// TestServer: answers over the wire, by UDP and TCP.
func TestServer(t *testing.T) {
	z := zone(t, "example.org", [3]string{"www", "A", "192.0.2.1"})
	for n := range 100 {
		if _, err := z.Add(Record{Name: "many", Type: "A", Data: fmt.Sprintf("192.0.2.%d", n)}, noon); err != nil {
			t.Fatal(err)
		}
	}
	s, at := serving(t, catalog(t, z), ServerOptions{})
	for _, network := range []string{"udp", "tcp"} {
		r := exchanged(t, network, at, question("wWw.example.org.", miekg.TypeA))
		if r.Rcode != miekg.RcodeSuccess || !r.Authoritative || r.RecursionAvailable || len(r.Answer) != 1 || r.Question[0].Name != "wWw.example.org." {
			t.Errorf("%s: %v", network, r)
		}
		for name, code := range map[string]int{"nobody.example.org.": miekg.RcodeNameError, "www.example.net.": miekg.RcodeRefused, ".": miekg.RcodeRefused} {
			if r := exchanged(t, network, at, question(name, miekg.TypeA)); r.Rcode != code {
				t.Errorf("%s %s: %v", network, name, r)
			}
		}
		for _, typ := range []uint16{miekg.TypeAXFR, miekg.TypeIXFR} {
			if r := exchanged(t, network, at, question("example.org.", typ)); r.Rcode != miekg.RcodeRefused {
				t.Errorf("%s %d: %v", network, typ, r)
			}
		}
	}

	// Sizes: 512 bytes by UDP without EDNS0, 1232 at most with it, all of it by TCP.
	if r := exchanged(t, "udp", at, question("many.example.org.", miekg.TypeA)); !r.Truncated || r.Len() > 512 || r.IsEdns0() != nil {
		t.Errorf("without EDNS0: truncated %v, %d bytes", r.Truncated, r.Len())
	}
	m := question("many.example.org.", miekg.TypeA)
	m.SetEdns0(65535, false)
	if r := exchanged(t, "udp", at, m); !r.Truncated || r.Len() > udpSize || r.Len() < 1000 || r.IsEdns0() == nil || r.IsEdns0().UDPSize() != udpSize {
		t.Errorf("with EDNS0: truncated %v, %d bytes", r.Truncated, r.Len())
	}
	if r := exchanged(t, "tcp", at, m); r.Truncated || len(r.Answer) != 100 {
		t.Errorf("by TCP: truncated %v, %d answers", r.Truncated, len(r.Answer))
	}

	// What is not a plain question.
	m = question("www.example.org.", miekg.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().SetVersion(1)
	if r := exchanged(t, "udp", at, m); r.Rcode != miekg.RcodeBadVers {
		t.Errorf("another version of EDNS: %v", r)
	}
	m = question("www.example.org.", miekg.TypeA)
	m.Question[0].Qclass = miekg.ClassCHAOS
	if r := exchanged(t, "udp", at, m); r.Rcode != miekg.RcodeRefused {
		t.Errorf("another class: %v", r)
	}
	for _, opcode := range []int{miekg.OpcodeNotify, miekg.OpcodeUpdate, miekg.OpcodeStatus} {
		m = question("www.example.org.", miekg.TypeA)
		m.Opcode = opcode
		if r := exchanged(t, "udp", at, m); r.Rcode != miekg.RcodeNotImplemented {
			t.Errorf("opcode %d: %v", opcode, r)
		}
	}
	if n := testutil.ToFloat64(s.answers.WithLabelValues("NXDOMAIN")); n != 2 {
		t.Errorf("%v answers of NXDOMAIN are counted", n)
	}
	s.Shut()
	if r := exchanged(t, "udp", at, question("www.example.org.", miekg.TypeA)); r.Rcode != miekg.RcodeServerFailure {
		t.Errorf("a server without a catalog: %v", r)
	}
}

// TestSubnet: a resolver that tells of its client's network gets the answer for that.
func TestSubnet(t *testing.T) {
	z := zone(t, "example.org")
	if _, err := z.AddMap("www", []string{"10.1.0.0/16 192.0.2.1", "0 192.0.2.2"}, noon); err != nil {
		t.Fatal(err)
	}
	_, at := serving(t, catalog(t, z), ServerOptions{})
	m := question("www.example.org.", miekg.TypeA)
	if got := exchanged(t, "udp", at, m).Answer[0].(*miekg.A).A.String(); got != "192.0.2.2" {
		t.Errorf("without a subnet: %s", got)
	}
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []miekg.EDNS0{&miekg.EDNS0_SUBNET{Code: miekg.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(10, 1, 2, 0)}}
	r := exchanged(t, "udp", at, m)
	if got := r.Answer[0].(*miekg.A).A.String(); got != "192.0.2.1" || subnet(r.IsEdns0()).SourceScope != 24 {
		t.Errorf("with a subnet: %v", r)
	}
}

// upstream is a server that knows www.example.net alone.
func upstream(t *testing.T) string {
	_, at := serving(t, catalog(t, zone(t, "example.net", [3]string{"www", "A", "203.0.113.80"})), ServerOptions{})
	return at
}

// TestForward: names that are not ours are asked for elsewhere, for clients that may and ask for that.
func TestForward(t *testing.T) {
	gone, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	servers := []string{gone.LocalAddr().String(), upstream(t)}
	z := zone(t, "example.org", [3]string{"far", "CNAME", "www.example.net"})
	home := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	_, at := serving(t, catalog(t, z), ServerOptions{Forward: servers, ForwardFor: home})
	_, closed := serving(t, catalog(t, z), ServerOptions{Forward: servers, ForwardFor: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})

	r := exchanged(t, "udp", at, question("www.example.net.", miekg.TypeA))
	if r.Rcode != miekg.RcodeSuccess || r.Authoritative || !r.RecursionAvailable || len(r.Answer) != 1 {
		t.Errorf("forwarded: %v", r)
	}
	if r := exchanged(t, "udp", at, question("far.example.org.", miekg.TypeA)); len(r.Answer) != 2 || !r.Authoritative {
		t.Errorf("an alias that leads elsewhere: %v", r)
	}
	if r := exchanged(t, "udp", at, question("nobody.example.net.", miekg.TypeA)); r.Rcode != miekg.RcodeNameError {
		t.Errorf("a name that is not there: %v", r)
	}
	m := question("www.example.net.", miekg.TypeA)
	m.RecursionDesired = false
	if r := exchanged(t, "udp", at, m); r.Rcode != miekg.RcodeRefused {
		t.Errorf("recursion that is not asked for: %v", r)
	}
	if r := exchanged(t, "udp", closed, question("www.example.net.", miekg.TypeA)); r.Rcode != miekg.RcodeRefused || r.RecursionAvailable {
		t.Errorf("a client from elsewhere: %v", r)
	}
	if r := exchanged(t, "udp", closed, question("far.example.org.", miekg.TypeA)); r.Rcode != miekg.RcodeSuccess || len(r.Answer) != 1 {
		t.Errorf("an alias for a client from elsewhere: %v", r)
	}
	_, dead := serving(t, catalog(t), ServerOptions{Forward: servers[:1], ForwardFor: home})
	if r := exchanged(t, "udp", dead, question("www.example.net.", miekg.TypeA)); r.Rcode != miekg.RcodeServerFailure {
		t.Errorf("no upstream server answers: %v", r)
	}
}

// TestLimiter: what a network gets over time.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(10)
		count := func(from string) (n int) {
			for range 100 {
				if l.allow(netip.MustParseAddr(from)) {
					n++
				}
			}
			return n
		}
		if n := count("198.51.100.7"); n != 10*burst+1 {
			t.Errorf("%d at once", n)
		}
		if n := count("198.51.100.8"); n != 0 {
			t.Errorf("%d for a neighbour", n)
		}
		time.Sleep(time.Second)
		if n := count("198.51.100.7"); n != 10 {
			t.Errorf("%d after a second", n)
		}
		if n := count("127.0.0.1"); n != 100 {
			t.Errorf("%d for this host", n)
		}
		if n := count("2001:db8::1"); n != 10*burst+1 {
			t.Errorf("%d for IPv6", n)
		}
		if n := count("2001:db8::ffff:1"); n != 0 {
			t.Errorf("%d for its neighbour", n)
		}
	})
}

// A sink is a client at some address that notes what it is sent.
type sink struct {
	miekg.ResponseWriter
	from net.Addr
	sent []*miekg.Msg
}

func (s *sink) RemoteAddr() net.Addr { return s.from }

func (s *sink) WriteMsg(m *miekg.Msg) error {
	s.sent = append(s.sent, m)
	return nil
}

// TestLimited: whoever asks too often gets few and short answers, by UDP alone.
func TestLimited(t *testing.T) {
	s := NewServer(ServerOptions{Rate: 5, Log: slog.New(slog.DiscardHandler)})
	s.Open(catalog(t, zone(t, "example.org", [3]string{"www", "A", "192.0.2.1"})))
	client := &sink{from: &net.UDPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 1000}}
	for range 111 {
		s.serve(client, question("www.example.org.", miekg.TypeA))
	}
	whole, short := 0, 0
	for _, m := range client.sent {
		switch {
		case len(m.Answer) == 1:
			whole++
		case m.Truncated && m.Len() == question("www.example.org.", miekg.TypeA).Len():
			short++
		}
	}
	if whole < 11 || whole > 20 || short != (111-whole+1)/2 && short != (111-whole)/2 || whole+short != len(client.sent) {
		t.Errorf("%d answers and %d short ones of %d", whole, short, len(client.sent))
	}
	client = &sink{from: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 1000}}
	for range 100 {
		s.serve(client, question("www.example.org.", miekg.TypeA))
	}
	if len(client.sent) != 100 || slices.ContainsFunc(client.sent, func(m *miekg.Msg) bool { return m.Truncated }) {
		t.Errorf("%d answers by TCP", len(client.sent))
	}
}

// TestDig: Debian's client agrees with what is served.
func TestDig(t *testing.T) {
	dig, err := exec.LookPath("dig")
	if err != nil {
		t.Skip("no dig; scripts/setup installs it")
	}
	z := zone(t, "example.org", [3]string{"www", "A", "192.0.2.1"}, [3]string{"alias", "CNAME", "www"}, [3]string{"", "MX", "10 www"}, [3]string{"", "SPF", "v=spf1 -all"}, [3]string{"txt", "TXT", `a "b" \c`},
		[3]string{"_sip._tcp", "SRV", "1 2 5060 www"}, [3]string{"www", "SSHFP", "4 1 6c3c958af43d953f91f40e0d84157f4fe7b4a898"}, [3]string{"n", "NAPTR", `100 50 "s" "za" "!a!b!" .`}, [3]string{"www", "AAAA", "2001:db8::1"})
	_, at := serving(t, catalog(t, z), ServerOptions{})
	host, port, _ := net.SplitHostPort(at)
	for _, x := range [][2]string{
		{"www.example.org A", "192.0.2.1"}, {"www.example.org AAAA", "2001:db8::1"}, {"+tcp alias.example.org A", "www.example.org.\n192.0.2.1"}, {"example.org MX", "10 www.example.org."},
		{"example.org SPF", `"v=spf1 -all"`}, {"txt.example.org TXT", `"a \"b\" \\c"`}, {"_sip._tcp.example.org SRV", "1 2 5060 www.example.org."}, {"www.example.org SSHFP", "4 1 6C3C958AF43D953F91F40E0D84157F4FE7B4A898"},
		{"n.example.org NAPTR", `100 50 "s" "za" "!a!b!" .`}, {"example.org NS", "ns.troupe.internal."}, {"nobody.example.org A", ""},
	} {
		args := append([]string{"+short", "+norecurse", "@" + host, "-p", port}, strings.Fields(x[0])...)
		out, err := exec.CommandContext(t.Context(), dig, args...).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != x[1] {
			t.Errorf("dig %s: %q, %v; want %q", x[0], got, err, x[1])
		}
	}
}

// FuzzQuestion: no message, however broken, breaks the server, and what it answers can be packed and is no longer than it may.
func FuzzQuestion(f *testing.F) {
	c := catalog(f, zone(f, "example.org", [3]string{"www", "A", "192.0.2.1"}, [3]string{"alias", "CNAME", "www"}, [3]string{"*.w", "MX", "1 www"}, [3]string{"sub", "NS", "ns.sub.example.org"}))
	c.Hosts().Put(&View{Service: 1, Project: "p", Name: "s", Roles: []string{"web"}, Whole: true, Hosts: []Host{{Serial: 1, Name: "web-0", Role: "web", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Ready: true}}})
	s := NewServer(ServerOptions{Log: slog.New(slog.DiscardHandler)})
	s.Open(c)
	for _, name := range []string{"www.example.org.", "alias.example.org.", "x.w.example.org.", "a.sub.example.org.", "web.s.p.troupe.internal.", "troupe.internal.", "."} {
		m := question(name, miekg.TypeA)
		m.SetEdns0(4096, true)
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		m := new(miekg.Msg)
		if m.Unpack(wire) != nil {
			return
		}
		client := &sink{from: &net.UDPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 1000}}
		s.serve(client, m)
		if len(client.sent) != 1 {
			t.Fatalf("%v: %d answers", m, len(client.sent))
		}
		out, err := client.sent[0].Pack()
		if err != nil {
			t.Fatalf("%v: the answer cannot be packed: %v\n%v", m, err, client.sent[0])
		}
		if len(out) > udpSize {
			t.Fatalf("%v: %d bytes", m, len(out))
		}
	})
}

// BenchmarkAnswer answers about an instance and about a record.
func BenchmarkAnswer(b *testing.B) {
	c := catalog(b, zone(b, "example.org", [3]string{"www", "A", "192.0.2.1"}))
	c.Hosts().Put(&View{Service: 1, Project: "p", Name: "s", Roles: []string{"web"}, Whole: true, Hosts: []Host{{Serial: 1, Name: "web-0", Role: "web", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Ready: true}}})
	for _, name := range []string{"web-0.s.p.troupe.internal.", "www.example.org."} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if a := c.Answer(Question{Name: name, Type: miekg.TypeA}); len(a.Answer) != 1 {
					b.Fatal(said(a))
				}
			}
		})
	}
}

// BenchmarkServer asks over loopback, by UDP, as many clients at once as there are processors.
func BenchmarkServer(b *testing.B) {
	_, at := serving(b, catalog(b, zone(b, "example.org", [3]string{"www", "A", "192.0.2.1"})), ServerOptions{Rate: 200})
	b.RunParallel(func(pb *testing.PB) {
		client := &miekg.Client{Timeout: 5 * time.Second}
		conn, err := client.Dial(at)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		for pb.Next() {
			if r, _, err := client.ExchangeWithConn(question("www.example.org.", miekg.TypeA), conn); err != nil || len(r.Answer) != 1 {
				b.Error(r, err)
				return
			}
		}
	})
}
