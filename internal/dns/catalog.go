package dns

import (
	"net/netip"
	"strings"
	"sync"

	miekg "github.com/miekg/dns"
)

// A Catalog holds zones and names of instances and answers questions about them. Safe for concurrent use.
type Catalog struct {
	self      self
	countries *Countries
	hosts     *Hosts

	mu    sync.RWMutex
	zones map[string]*served
}

// CatalogOptions say what a catalog is.
type CatalogOptions struct {
	// Zone holds the names of instances, such as "troupe.internal."; "" for none.
	Zone string
	// Host is the name of this server, in SOA and NS records; "" for ns.ZONE.
	Host string
	// Addresses of this server, which the name ns.ZONE has.
	Addresses []netip.Addr
	// Countries tell maps where clients are; nil for nowhere.
	Countries *Countries
}

// NewCatalog returns a catalog without zones.
func NewCatalog(o CatalogOptions) *Catalog {
	if o.Host == "" {
		o.Host = "ns." + o.Zone
	}
	c := &Catalog{self: self{o.Host, o.Addresses}, countries: o.Countries, zones: make(map[string]*served)}
	if o.Zone != "" {
		c.hosts = newHosts(o.Zone, c.self)
	}
	return c
}

// Hosts are the names of instances; nil when they have no zone.
func (c *Catalog) Hosts() *Hosts { return c.hosts }

// Put serves a zone, in place of the one of its name.
func (c *Catalog) Put(z Zone) error {
	s, err := c.self.serve(&z)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.zones[z.Name] = s
	c.mu.Unlock()
	return nil
}

// Remove serves a zone no more.
func (c *Catalog) Remove(name string) {
	c.mu.Lock()
	delete(c.zones, name)
	c.mu.Unlock()
}

// A source answers for one zone.
type source interface {
	origin() string
	start() *miekg.SOA
	// find returns what stands at a name of the zone, nil for nothing, or the node at which another zone begins that other
	// servers have.
	find(name string) (n, cut *node)
}

// source returns the zone that a name belongs to: the smallest.
func (c *Catalog) source(name string) source {
	if c.hosts != nil && within(c.hosts.zone, name) {
		return c.hosts // users' zones lie elsewhere
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.zones) == 0 {
		return nil
	}
	for at := name; at != "."; at = parent(at) {
		if z := c.zones[at]; z != nil {
			return z
		}
	}
	return nil
}

// A node is what stands at a name.
type node struct {
	rrs   []miekg.RR
	lines []line // of a map
	ttl   uint32 // of the map's answers
}

// empty is a name that has nothing but names below it.
var empty = &node{}

// of returns the node's records of a type.
func (n *node) of(typ uint16) (out []miekg.RR) {
	for _, rr := range n.rrs {
		if rr.Header().Rrtype == typ {
			out = append(out, rr)
		}
	}
	return out
}

// self is this server as its zones tell of it.
type self struct {
	host      string
	addresses []netip.Addr
}

func (s self) soa(zone, mailbox string, serial, ttl, negative uint32) *miekg.SOA {
	return &miekg.SOA{Hdr: miekg.RR_Header{Name: zone, Rrtype: miekg.TypeSOA, Class: miekg.ClassINET, Ttl: ttl}, Ns: s.host, Mbox: mailbox,
		Serial: serial, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negative}
}

// apex returns what stands at the top of a zone: besides its records SOA, and this server where it names no other.
func (s self) apex(zone string, soa *miekg.SOA, rrs []miekg.RR, ttl uint32) *node {
	n := &node{rrs: append([]miekg.RR{soa}, rrs...)}
	if len(n.of(miekg.TypeNS)) == 0 {
		n.rrs = append(n.rrs, &miekg.NS{Hdr: miekg.RR_Header{Name: zone, Rrtype: miekg.TypeNS, Class: miekg.ClassINET, Ttl: ttl}, Ns: s.host})
	}
	return n
}

// node is what stands at this server's own name.
func (s self) node(name string) *node {
	n := &node{}
	for _, a := range s.addresses {
		rr := address(a)
		*rr.Header() = miekg.RR_Header{Name: name, Rrtype: typeOf(a), Class: miekg.ClassINET, Ttl: liveTTL}
		n.rrs = append(n.rrs, rr)
	}
	return n
}

// served is a zone as it is answered.
type served struct {
	name  string
	soa   *miekg.SOA
	nodes map[string]*node
	cuts  bool // some names below belong to other servers
}

// mostNegative is the longest, in seconds, that others may remember that a name is not there.
const mostNegative = 300

// serve makes a zone ready to be asked.
func (s self) serve(z *Zone) (*served, error) {
	box, err := mailbox(z.Email)
	if err != nil {
		return nil, err
	}
	out := &served{name: z.Name, soa: s.soa(z.Name, box, z.Serial, z.TTL, min(z.TTL, mostNegative)), nodes: map[string]*node{z.Name: {}}}
	for i := range z.Records {
		r := &z.Records[i]
		rr, err := r.rr(z)
		if err != nil {
			return nil, err
		}
		n := out.at(r.Name)
		n.rrs = append(n.rrs, rr)
		out.cuts = out.cuts || r.Type == "NS" && r.Name != z.Name
	}
	for _, m := range z.Maps {
		n := out.at(m.Name)
		n.ttl = z.TTL
		for _, text := range m.Lines {
			l, _, err := readLine(z.Name, text)
			if err != nil {
				return nil, err
			}
			n.lines = append(n.lines, l)
		}
	}
	out.nodes[z.Name] = s.apex(z.Name, out.soa, out.nodes[z.Name].rrs, z.TTL)
	return out, nil
}

// at returns the node of a name, made with those between it and the zone where they are missing.
func (z *served) at(name string) *node {
	n := z.nodes[name]
	if n == nil {
		n = &node{}
		z.nodes[name] = n
		z.at(parent(name))
	}
	return n
}

func (z *served) origin() string { return z.name }

func (z *served) start() *miekg.SOA { return z.soa }

func (z *served) find(name string) (n, cut *node) {
	if z.cuts {
		for at := name; at != z.name; at = parent(at) {
			if n := z.nodes[at]; n != nil && len(n.of(miekg.TypeNS)) > 0 {
				cut = n // the highest counts
			}
		}
		if cut != nil {
			return nil, cut
		}
	}
	if n := z.nodes[name]; n != nil {
		return n, nil
	}
	for at := parent(name); ; at = parent(at) {
		if z.nodes[at] != nil { // the closest name that is there decides which wildcard counts
			return z.wild(z.nodes["*."+at], name), nil
		}
	}
}

// wild returns a wildcard's node as that of a name.
func (z *served) wild(n *node, name string) *node {
	if n == nil {
		return nil
	}
	out := &node{lines: n.lines, ttl: n.ttl, rrs: make([]miekg.RR, len(n.rrs))}
	for i, rr := range n.rrs {
		out.rrs[i] = miekg.Copy(rr)
		out.rrs[i].Header().Name = name
	}
	return out
}

// Below reports whether one of two zones lies within the other, or both are the same.
func Below(a, b string) bool {
	return within(a, b) || within(b, a) || strings.EqualFold(a, b)
}
