package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
)

// said writes an answer on one line: the code, AA where it is authoritative, and the records of each section.
func said(a Answer) string {
	if !a.Known {
		return "not ours"
	}
	out := miekg.RcodeToString[a.Code]
	if a.Authoritative {
		out += " AA"
	}
	for _, s := range []struct {
		name string
		rrs  []miekg.RR
	}{{"", a.Answer}, {" auth:", a.Authority}, {" extra:", a.Extra}} {
		if len(s.rrs) > 0 {
			out += s.name
		}
		for _, rr := range s.rrs {
			if rr.Header().Rrtype == miekg.TypeSOA {
				out += " SOA " + rr.Header().Name
				continue
			}
			out += " " + strings.Join(slices.DeleteFunc(strings.Fields(rr.String()), func(f string) bool { return f == "IN" || f == "600" }), " ")
		}
	}
	if a.Further != "" {
		out += " further: " + a.Further
	}
	return out
}

func ask(c *Catalog, name, typ, from string) string {
	return said(c.Answer(Question{Name: name, Type: miekg.StringToType[typ], From: netip.MustParseAddr(from)}))
}

// TestAnswer: the rules of answering.
func TestAnswer(t *testing.T) {
	z := zone(t, "example.org", [3]string{"www", "A", "192.0.2.1"}, [3]string{"www", "A", "192.0.2.2"}, [3]string{"www", "TXT", "hello"},
		[3]string{"alias", "CNAME", "www"}, [3]string{"far", "CNAME", "www.example.net"}, [3]string{"other", "CNAME", "a.example.com"}, [3]string{"dead", "CNAME", "nobody"},
		[3]string{"one", "CNAME", "two"}, [3]string{"two", "CNAME", "one"}, [3]string{"*.wild", "A", "192.0.2.9"}, [3]string{"b.wild", "TXT", "b"}, [3]string{"a.b.c", "A", "192.0.2.3"},
		[3]string{"", "MX", "10 www"}, [3]string{"sub", "NS", "ns.sub.example.org"}, [3]string{"ns.sub", "A", "192.0.2.53"}, [3]string{"below", "CNAME", "x.sub.example.org"})
	c := catalog(t, z, zone(t, "example.com", [3]string{"", "NS", "ns1"}, [3]string{"ns1", "A", "192.0.2.54"}, [3]string{"a", "A", "192.0.2.4"}), zone(t, "deep.example.com", [3]string{"a", "A", "192.0.2.5"}))
	for _, x := range [][3]string{
		{"www.example.org.", "A", "NOERROR AA www.example.org. A 192.0.2.1 www.example.org. A 192.0.2.2"},
		{"WWW.example.ORG.", "TXT", `NOERROR AA www.example.org. TXT "hello"`},
		{"www.example.org.", "AAAA", "NOERROR AA auth: SOA example.org."},
		{"nobody.example.org.", "A", "NXDOMAIN AA auth: SOA example.org."},
		{"b.c.example.org.", "A", "NOERROR AA auth: SOA example.org."}, // there are names below
		{"x.b.c.example.org.", "A", "NXDOMAIN AA auth: SOA example.org."},
		{"alias.example.org.", "A", "NOERROR AA alias.example.org. CNAME www.example.org. www.example.org. A 192.0.2.1 www.example.org. A 192.0.2.2"},
		{"alias.example.org.", "CNAME", "NOERROR AA alias.example.org. CNAME www.example.org."},
		{"alias.example.org.", "MX", "NOERROR AA alias.example.org. CNAME www.example.org. auth: SOA example.org."},
		{"far.example.org.", "A", "NOERROR AA far.example.org. CNAME www.example.net. further: www.example.net."},
		{"other.example.org.", "A", "NOERROR AA other.example.org. CNAME a.example.com. a.example.com. A 192.0.2.4"},
		{"dead.example.org.", "A", "NXDOMAIN AA dead.example.org. CNAME nobody.example.org. auth: SOA example.org."},
		{"x.wild.example.org.", "A", "NOERROR AA x.wild.example.org. A 192.0.2.9"},
		{"x.y.wild.example.org.", "A", "NOERROR AA x.y.wild.example.org. A 192.0.2.9"},
		{"x.wild.example.org.", "TXT", "NOERROR AA auth: SOA example.org."},
		{"x.b.wild.example.org.", "A", "NXDOMAIN AA auth: SOA example.org."}, // a name that is there ends the wildcard
		{"example.org.", "MX", "NOERROR AA example.org. MX 10 www.example.org. extra: www.example.org. A 192.0.2.1 www.example.org. A 192.0.2.2"},
		{"example.org.", "SOA", "NOERROR AA SOA example.org."},
		{"example.org.", "NS", "NOERROR AA example.org. NS ns.troupe.internal."},
		{"example.com.", "NS", "NOERROR AA example.com. NS ns1.example.com. extra: ns1.example.com. A 192.0.2.54"},
		{"x.sub.example.org.", "A", "NOERROR auth: sub.example.org. NS ns.sub.example.org. extra: ns.sub.example.org. A 192.0.2.53"},
		{"sub.example.org.", "NS", "NOERROR auth: sub.example.org. NS ns.sub.example.org. extra: ns.sub.example.org. A 192.0.2.53"},
		{"below.example.org.", "A", "NOERROR AA below.example.org. CNAME x.sub.example.org. auth: sub.example.org. NS ns.sub.example.org. extra: ns.sub.example.org. A 192.0.2.53"},
		{"a.deep.example.com.", "A", "NOERROR AA a.deep.example.com. A 192.0.2.5"},
		{"www.example.org.", "ANY", `NOERROR AA www.example.org. HINFO "RFC8482" ""`},
		{"nobody.example.org.", "ANY", "NXDOMAIN AA auth: SOA example.org."},
		{"example.net.", "A", "not ours"},
		{"org.", "A", "not ours"},
		{".", "NS", "not ours"},
		{"xexample.org.", "A", "not ours"},
		{`x\.example.org.`, "A", "not ours"}, // of two labels
		{`x\\.example.org.`, "A", "NXDOMAIN AA auth: SOA example.org."},
		{`web\.x.troupe.internal.`, "A", "NXDOMAIN AA auth: SOA troupe.internal."},
		{`x\.troupe.internal.`, "A", "not ours"},
	} {
		if got := ask(c, x[0], x[1], "203.0.113.1"); got != x[2] {
			t.Errorf("%s %s:\n got %s\nwant %s", x[0], x[1], got, x[2])
		}
	}
	if got := ask(c, "one.example.org.", "A", "203.0.113.1"); strings.Count(got, "CNAME") != mostAliases {
		t.Errorf("a circle of aliases: %s", got)
	}
	c.Remove("example.org.")
	if got := ask(c, "www.example.org.", "A", "203.0.113.1"); got != "not ours" {
		t.Errorf("after the zone's removal: %s", got)
	}
}

// TestMap: answers by where the client is.
func TestMap(t *testing.T) {
	countries, err := ReadCountries(strings.NewReader("# of documentation\n192.0.2.0/24 276\n192.0.2.128/25 250 # a part\n2001:db8::/32 124\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := NewCatalog(CatalogOptions{Zone: "troupe.internal.", Countries: countries})
	z := zone(t, "example.org", [3]string{"france", "A", "198.51.100.2"})
	if _, err := z.AddMap("www", []string{"276 198.51.100.1", "250 france", "10.0.0.0/8 198.51.100.3", "10.1.0.0/16 198.51.100.4", "0 default.example.net."}, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := z.AddMap("few", []string{"276 2001:db8::1"}, noon); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(z); err != nil {
		t.Fatal(err)
	}
	for _, x := range [][3]string{
		{"www.example.org.", "192.0.2.1", "NOERROR AA www.example.org. A 198.51.100.1"},
		{"www.example.org.", "192.0.2.200", "NOERROR AA www.example.org. CNAME france.example.org. france.example.org. A 198.51.100.2"},
		{"www.example.org.", "10.2.3.4", "NOERROR AA www.example.org. A 198.51.100.3"},
		{"www.example.org.", "10.1.3.4", "NOERROR AA www.example.org. A 198.51.100.4"},
		{"www.example.org.", "203.0.113.1", "NOERROR AA www.example.org. CNAME default.example.net. further: default.example.net."},
		{"www.example.org.", "2001:db8::7", "NOERROR AA www.example.org. CNAME default.example.net. further: default.example.net."},
		{"few.example.org.", "192.0.2.1", "NOERROR AA auth: SOA example.org."},
		{"few.example.org.", "203.0.113.1", "NOERROR AA auth: SOA example.org."},
	} {
		if got := ask(c, x[0], "A", x[1]); got != x[2] {
			t.Errorf("%s for %s:\n got %s\nwant %s", x[0], x[1], got, x[2])
		}
	}
	if _, err := z.AppendMap("www", []string{"276 198.51.100.9", "344 198.51.100.8"}, noon); err != nil {
		t.Fatal(err)
	}
	if err := z.TrimMap("www", []string{"250 france", "0"}, noon); err != nil {
		t.Fatal(err)
	}
	m, err := z.Map("www")
	if want := []string{"276 198.51.100.9", "10.0.0.0/8 198.51.100.3", "10.1.0.0/16 198.51.100.4", "344 198.51.100.8"}; err != nil || !slices.Equal(m.Lines, want) {
		t.Errorf("%v, %v", m.Lines, err)
	}
	if err := z.TrimMap("www", []string{"999"}, noon); err == nil {
		t.Error("a line that is not there was removed")
	}
	if err := z.TrimMap("www", nil, noon); err != nil {
		t.Error(err)
	}
	if _, err := z.Map("www"); err == nil {
		t.Error("the map is still there")
	}
	for _, wrong := range []string{"", "276", "1000 192.0.2.1", "x 192.0.2.1", "10.0.0.0/33 192.0.2.1", "276 a..b", "1 2 3"} {
		if _, err := z.AddMap("w", []string{wrong}, noon); err == nil {
			t.Errorf("the line %q was taken", wrong)
		}
	}
	for _, wrong := range []string{"192.0.2.0/24", "x 1", "192.0.2.0/24 0", "192.0.2.0/24 1000", "1 2 3"} {
		if _, err := ReadCountries(strings.NewReader(wrong)); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("countries %q: %v", wrong, err)
		}
	}
}

func addresses(texts ...string) (out []netip.Addr) {
	for _, x := range texts {
		out = append(out, netip.MustParseAddr(x))
	}
	return out
}

// TestHosts: names of instances follow what is told of services.
func TestHosts(t *testing.T) {
	c := NewCatalog(CatalogOptions{Zone: "troupe.internal.", Addresses: addresses("192.0.2.53")})
	h := c.Hosts()
	check := func(want map[string]string) {
		t.Helper()
		for name, w := range want {
			var got []string
			a := c.Answer(Question{Name: name + ".troupe.internal.", Type: miekg.TypeA})
			for _, rr := range a.Answer {
				got = append(got, rr.(*miekg.A).A.String())
				if rr.Header().Ttl != liveTTL {
					t.Errorf("%s has a TTL of %d", name, rr.Header().Ttl)
				}
			}
			slices.Sort(got)
			text := strings.Join(got, " ")
			if text == "" {
				text = miekg.RcodeToString[a.Code]
			}
			if text != w {
				t.Errorf("%s: %s, want %s", name, text, w)
			}
		}
	}
	h.Put(&View{Service: 7, Project: "users", Name: "Web Shop", Roles: []string{"web", "db", "idle"}, Whole: true, Hosts: []Host{
		{Serial: 1, Name: "web-0", Role: "web", Addresses: addresses("10.0.0.1", "2001:db8::1"), Ready: true},
		{Serial: 2, Name: "web-1", Role: "web", Addresses: addresses("10.0.0.2"), Ready: true},
		{Serial: 3, Name: "db_0", Role: "db", Addresses: addresses("10.0.0.3")}}})
	check(map[string]string{"web-0.web-shop.users": "10.0.0.1", "web.web-shop.users": "10.0.0.1 10.0.0.2", "web.7.users": "10.0.0.1 10.0.0.2", "db_0.7.users": "10.0.0.3",
		"db.7.users": "NOERROR", "idle.7.users": "NOERROR", "7.users": "NOERROR", "users": "NOERROR", "web.8.users": "NXDOMAIN", "web.7.others": "NXDOMAIN", "x.web.7.users": "NXDOMAIN",
		"nothing.7.users": "NXDOMAIN", "ns": "192.0.2.53"})
	// A replacement: only what changed is told.
	h.Put(&View{Service: 7, Project: "users", Name: "Web Shop", Roles: []string{"web", "db", "idle"}, Hosts: []Host{
		{Serial: 1, Name: "web-0", Role: "web"}, {Serial: 4, Name: "web-2", Role: "web", Addresses: addresses("10.0.0.4"), Ready: true}}, Gone: []uint32{2}})
	check(map[string]string{"web-0.7.users": "NXDOMAIN", "web-1.7.users": "NXDOMAIN", "web.7.users": "10.0.0.4", "web-2.7.users": "10.0.0.4", "db_0.7.users": "10.0.0.3"})
	// Another name, another project, a role less.
	h.Put(&View{Service: 7, Project: "lab", Name: "42", Roles: []string{"web"}})
	check(map[string]string{"web.web-shop.users": "NXDOMAIN", "web.7.users": "NXDOMAIN", "web.7.lab": "10.0.0.4", "web.42.lab": "NXDOMAIN", "db.7.lab": "NXDOMAIN"})
	// Two services of a name are one to who does not tell them apart.
	for id, a := range map[uint64]string{8: "10.0.0.8", 9: "10.0.0.9"} {
		h.Put(&View{Service: id, Project: "lab", Name: "twin", Roles: []string{"web"}, Whole: true, Hosts: []Host{{Serial: 1, Name: "web-0", Role: "web", Addresses: addresses(a), Ready: true}}})
	}
	check(map[string]string{"web.twin.lab": "10.0.0.8 10.0.0.9", "web.8.lab": "10.0.0.8"})
	h.Remove(8)
	check(map[string]string{"web.twin.lab": "10.0.0.9", "web.8.lab": "NXDOMAIN"})
	h.Remove(7)
	h.Remove(9)
	check(map[string]string{"web.7.lab": "NXDOMAIN", "lab": "NXDOMAIN"})
	if len(h.services) != 0 || len(h.projects) != 0 {
		t.Errorf("something is left: %v %v", h.services, h.projects)
	}
}

// TestLargeRole: the answer about a large role is bounded, and others are chosen each time.
func TestLargeRole(t *testing.T) {
	c := catalog(t)
	v := &View{Service: 1, Project: "p", Name: "s", Roles: []string{"web"}, Whole: true}
	for n := range uint32(3000) {
		v.Hosts = append(v.Hosts, Host{Serial: n, Name: fmt.Sprint("web-", n), Role: "web", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})}, Ready: true})
	}
	c.Hosts().Put(v)
	seen := map[string]bool{}
	for range 20 {
		a := c.Answer(Question{Name: "web.s.p.troupe.internal.", Type: miekg.TypeA})
		if len(a.Answer) != mostAddresses {
			t.Fatalf("%d addresses", len(a.Answer))
		}
		for _, rr := range a.Answer {
			seen[rr.(*miekg.A).A.String()] = true
		}
	}
	if len(seen) <= mostAddresses {
		t.Errorf("only %d instances were ever told of", len(seen))
	}
}
