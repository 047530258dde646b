package dns

import (
	"net/netip"

	miekg "github.com/miekg/dns"
)

// A Question is one of a client.
type Question struct {
	Name string
	Type uint16
	// From is the client, or the network of it that a resolver tells.
	From netip.Addr
}

// An Answer is what a catalog says to a question.
type Answer struct {
	// Known: a zone of the catalog is responsible for the name. The rest says nothing otherwise.
	Known         bool
	Code          int // miekg.RcodeSuccess or miekg.RcodeNameError
	Authoritative bool
	Answer        []miekg.RR
	Authority     []miekg.RR
	Extra         []miekg.RR
	// Further is the name at which the chain of aliases leaves the catalog; "" if it does not.
	Further string
}

// mostAliases bounds a chain of aliases, which may be a circle.
const mostAliases = 8

// Answer answers a question.
func (c *Catalog) Answer(q Question) (a Answer) {
	name := asked(q.Name)
	for range mostAliases {
		z := c.source(name)
		if z == nil {
			a.Further = name
			if !a.Known {
				a.Further = ""
			}
			return a
		}
		first := !a.Known
		a.Known = true
		n, cut := z.find(name)
		if cut != nil {
			a.refer(z, cut, first)
			return a
		}
		if first {
			a.Authoritative = true
		}
		if n == nil {
			a.Code = miekg.RcodeNameError
			a.Authority = []miekg.RR{denial(z)}
			return a
		}
		next := a.take(c, z, n, name, q)
		if next == "" {
			return a
		}
		name = next
	}
	return a
}

// take adds what a node says to the question. It returns the name that the node is an alias of, if that is to be asked next.
func (a *Answer) take(c *Catalog, z source, n *node, name string, q Question) (next string) {
	if n.lines != nil {
		n = mapped(choose(n.lines, q.From, c.countries), name, n.ttl)
	}
	if alias := n.of(miekg.TypeCNAME); len(alias) > 0 && q.Type != miekg.TypeCNAME && q.Type != miekg.TypeANY {
		a.Answer = append(a.Answer, alias[0])
		return alias[0].(*miekg.CNAME).Target
	}
	found := n.of(q.Type)
	if q.Type == miekg.TypeANY && len(n.rrs) > 0 {
		// RFC 8482: whoever asks for everything gets little, since such answers serve attacks above all.
		found = []miekg.RR{&miekg.HINFO{Hdr: miekg.RR_Header{Name: name, Rrtype: miekg.TypeHINFO, Class: miekg.ClassINET, Ttl: z.start().Hdr.Ttl}, Cpu: "RFC8482"}}
	}
	if len(found) == 0 {
		a.Authority = []miekg.RR{denial(z)}
		return ""
	}
	a.Answer = append(a.Answer, found...)
	a.companions(c, found)
	return ""
}

// mapped is the node of a map for one client; an empty one where no line is for it.
func mapped(l *line, name string, ttl uint32) *node {
	if l == nil {
		return empty
	}
	h := miekg.RR_Header{Name: name, Class: miekg.ClassINET, Ttl: ttl}
	if l.name != "" {
		h.Rrtype = miekg.TypeCNAME
		return &node{rrs: []miekg.RR{&miekg.CNAME{Hdr: h, Target: l.name}}}
	}
	h.Rrtype = typeOf(l.address)
	rr := address(l.address)
	*rr.Header() = h
	return &node{rrs: []miekg.RR{rr}}
}

// refer sends the client to the servers of a zone below.
func (a *Answer) refer(z source, cut *node, first bool) {
	servers := cut.of(miekg.TypeNS)
	a.Authority = append(a.Authority, servers...)
	if first {
		a.Authoritative = false
	}
	for _, rr := range servers {
		host := rr.(*miekg.NS).Ns
		if s, ok := z.(*served); ok && within(z.origin(), host) && s.nodes[host] != nil { // addresses below the cut are there for this
			a.Extra = append(a.Extra, addressesOf(s.nodes[host])...)
		}
	}
}

// mostCompanions bounds how many hosts of an answer get their addresses told with it.
const mostCompanions = 10

// companions adds the addresses of the hosts that records name, as far as they are known here.
func (a *Answer) companions(c *Catalog, found []miekg.RR) {
	for _, rr := range found[:min(len(found), mostCompanions)] {
		var host string
		switch rr := rr.(type) {
		case *miekg.NS:
			host = rr.Ns
		case *miekg.MX:
			host = rr.Mx
		case *miekg.SRV:
			host = rr.Target
		default:
			return
		}
		if z := c.source(host); z != nil {
			if n, cut := z.find(host); n != nil && cut == nil {
				a.Extra = append(a.Extra, addressesOf(n)...)
			}
		}
	}
}

func addressesOf(n *node) []miekg.RR { return append(n.of(miekg.TypeA), n.of(miekg.TypeAAAA)...) }

// denial is the SOA record that says for how long an answer without records holds.
func denial(z source) miekg.RR {
	soa := *z.start()
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	return &soa
}
