package occitest

import "strings"

const (
	networkKind = "http://schemas.ogf.org/occi/infrastructure#network"
	nicKind     = "http://schemas.ogf.org/occi/infrastructure#networkinterface"
)

var linkTests = []test{
	{"T90", func(s *suite) {
		n, u := s.newNetwork(), s.newCompute()
		l := s.create(nic, "/networkinterface/", s.ends(u, n)...)
		s.has(s.get(l), `occi.core.source="`+s.path(u)+`"`, `occi.core.target="`+s.path(n)+`"`)
		s.has(s.get(u), "Link: <"+s.path(n)+`>; rel="`+networkKind+`"; self="`+s.path(l)+`"; category="`+nicKind)
	}},
	{"T91", func(s *suite) {
		n, u := s.newNetwork(), s.newCompute()
		s.want(s.do("POST", "/networkinterface/", append([]string{inHeaders, nic}, s.ends(u, s.URL+"/network/none")...)...), 400)
		s.want(s.do("POST", "/networkinterface/", inHeaders, nic, `X-OCCI-Attribute: occi.core.target="`+n+`"`), 400)
	}},
	{"T92", func(s *suite) {
		n := s.newNetwork()
		u := s.newCompute("Link: <" + s.path(n) + `>; rel="` + networkKind + `"; category="` + nicKind + `"; occi.networkinterface.interface="eth1"`)
		l := s.linkOf(u, n)
		s.has(s.get(l), `occi.networkinterface.interface="eth1"`)
	}},
	{"T93", func(s *suite) {
		n := s.newNetwork()
		s.want(s.do("POST", "/compute/", inHeaders, s.withExtra(compute), "Link: <"+s.path(n)+`>; rel="`+networkKind+`"`), 400)
		s.contains("/compute/")
	}},
	{"T94", func(s *suite) {
		n, u := s.newNetwork(), s.newCompute()
		l := s.create(nic, "/networkinterface/", s.ends(u, n)...)
		s.want(s.do("DELETE", l), 200, 204)
		s.want(s.do("GET", l), 404)
		s.lacks(s.get(u), s.path(l))
	}},
	{"T95", func(s *suite) {
		n, u := s.newNetwork(), s.newCompute()
		l := s.create(nic, "/networkinterface/", s.ends(u, n)...)
		s.want(s.do("DELETE", u), 200, 204)
		s.want(s.do("GET", l), 404)
		s.get(n)
	}},
	{"T96", func(s *suite) {
		n, u := s.newNetwork(), s.newCompute()
		s.get(s.create(nic, "/networkinterface/", s.ends(u, n)...))
		s.get(s.create(nic, "/networkinterface/", s.ends(s.path(u), s.path(n))...))
	}},
}

// linkOf returns the URL of the link from a compute to a network.
func (s *suite) linkOf(from, to string) string {
	s.Helper()
	r := s.get(from)
	for line := range strings.Lines(r.text) {
		if !strings.HasPrefix(line, "Link: <"+s.path(to)+">") {
			continue
		}
		if _, rest, ok := strings.Cut(line, `self="`); ok {
			self, _, _ := strings.Cut(rest, `"`)
			return strings.TrimSuffix(s.URL, strings.TrimSuffix(s.path(s.URL+"/"), "/")) + self
		}
	}
	s.Fatalf("%s has no link to %s:\n%s", from, to, r.text)
	return ""
}
