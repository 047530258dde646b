package occitest

import (
	"encoding/json"
	"slices"
	"strings"
)

var collectionTests = []test{
	{"T70", func(s *suite) {
		want := []string{s.create(compute, "/compute/"), s.create(compute, "/compute/")}
		slices.Sort(want)
		s.contains("/compute/", slices.Clone(want)...)
		same := func(how string, got []string) {
			slices.Sort(got)
			if !slices.Equal(got, want) {
				s.Errorf("as %s it is %v, wanted %v", how, got, want)
			}
		}
		same("text/occi", strings.Split(s.want(s.do("GET", "/compute/", acceptOCCI), 200).joined("X-OCCI-Location"), ", "))
		same("text/uri-list", strings.Fields(s.want(s.do("GET", "/compute/", acceptURIs), 200).text))
		var all struct{ Resources []struct{ Location string } }
		if err := json.Unmarshal([]byte(s.want(s.do("GET", "/compute/", acceptJSON), 200).text), &all); err != nil {
			s.Fatal(err)
		}
		var got []string
		for _, r := range all.Resources {
			got = append(got, strings.TrimSuffix(s.URL, strings.TrimSuffix(s.path(s.URL+"/"), "/"))+r.Location)
		}
		same("JSON", got)
	}},
	{"T71", emptyCollection},
	{"T72", func(s *suite) {
		n, u := s.newNetwork(), s.newCompute()
		l := s.create(nic, "/networkinterface/", s.ends(u, n)...)
		all := s.list("/")
		for _, want := range []string{n, u, l} {
			if !slices.Contains(all, want) {
				s.Errorf("%s is not in %v", want, all)
			}
		}
	}},
	{"T73", func(s *suite) {
		u := s.newCompute(`X-OCCI-Attribute: occi.compute.hostname="h1"`)
		s.newCompute(`X-OCCI-Attribute: occi.compute.hostname="h2"`)
		r := s.want(s.do("GET", "/compute/", acceptOCCI, `X-OCCI-Attribute: occi.compute.hostname="h1"`), 200)
		if got := r.joined("X-OCCI-Location"); got != u {
			s.Errorf("%s, wanted %s", got, u)
		}
	}},
	{"T74", func(s *suite) {
		u := s.create(compute, "/compute/")
		s.newNetwork()
		if got := s.want(s.do("GET", "/", acceptOCCI, compute), 200).joined("X-OCCI-Location"); got != u {
			s.Errorf("%s, wanted %s", got, u)
		}
	}},
	{"T75", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, define), 200)
		u := s.newCompute(mixin)
		s.newCompute()
		if got := s.list("/compute/", mixin); !slices.Equal(got, []string{u}) {
			s.Errorf("%v, wanted %s", got, u)
		}
	}},
	{"T76", func(s *suite) {
		s.newCompute(`X-OCCI-Attribute: occi.compute.hostname="h1"`)
		if got := s.list("/compute/", `X-OCCI-Attribute: occi.compute.hostname="h1", occi.core.title="other"`); len(got) > 0 {
			s.Errorf("%v, wanted none", got)
		}
	}},
	{"T77", func(s *suite) {
		all := []string{s.create(compute, "/compute/"), s.create(compute, "/compute/"), s.create(compute, "/compute/")}
		slices.Sort(all)
		var got []string
		for _, page := range []string{"1", "2", "3", "999999999999999999999"} {
			got = append(got, s.list("/compute/?page="+page+"&number=2")...)
			if page == "1" && len(got) != 2 {
				s.Errorf("the first page has %d", len(got))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, all) {
			s.Errorf("the pages are %v, wanted %v", got, all)
		}
		s.want(s.do("GET", "/compute/?page=1&number=99999999999999999999"), 413)
	}},
}

func emptyCollection(s *suite) {
	if r := s.want(s.do("GET", "/compute/", acceptPlain), 200); r.text != "" {
		s.Errorf("as text/plain it is %q", r.text)
	}
	if r := s.want(s.do("GET", "/compute/", acceptOCCI), 200); r.joined("X-OCCI-Location") != "" || r.text != "OK" {
		s.Errorf("as text/occi it is %q, %q", r.joined("X-OCCI-Location"), r.text)
	}
	if r := s.want(s.do("GET", "/compute/", acceptURIs), 200); strings.Contains(r.text, "://") {
		s.Errorf("as text/uri-list it is %q", r.text)
	}
	if r := s.want(s.do("GET", "/compute/", acceptJSON), 200); r.text != `{"resources":[]}` {
		s.Errorf("as JSON it is %q", r.text)
	}
}

var mixinTests = []test{
	{"T80", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, define), 200)
		u := s.newCompute()
		s.want(s.do("POST", "/m/", inHeaders, "X-OCCI-Location: "+u), 200)
		s.has(s.get(u), `t; scheme="http://example.org/m#"`)
		s.contains("/m/", u)
	}},
	{"T81", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, define), 200)
		a, b := s.newCompute(mixin), s.newCompute()
		s.want(s.do("PUT", "/m/", inHeaders, "X-OCCI-Location: "+b), 200)
		s.contains("/m/", b)
		s.lacks(s.get(a), "http://example.org/m#")
	}},
	{"T82", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, define), 200)
		u := s.newCompute(mixin)
		s.want(s.do("DELETE", "/m/", inHeaders, "X-OCCI-Location: "+u), 200)
		s.contains("/m/")
		s.get(u)
	}},
	{"T83", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, define), 200)
		s.want(s.do("POST", "/m/", inHeaders, "X-OCCI-Location: "+s.URL+"/compute/none"), 400, 404)
	}},
	{"T84", func(s *suite) { s.want(s.do("POST", "/compute/", inHeaders, "X-OCCI-Location: "+s.newCompute()), 400) }},
	{"T85", func(s *suite) {
		ipnetwork := `Category: ipnetwork; scheme="http://schemas.ogf.org/occi/infrastructure/network#"; class="mixin"`
		s.want(s.do("POST", s.newCompute(), inHeaders, ipnetwork), 400)
	}},
	{"T86", func(s *suite) { s.want(s.do("PUT", "/compute/", inHeaders, s.withExtra(compute)), 405) }},
}

// ends are the attributes of a link.
func (s *suite) ends(source, target string) []string {
	return []string{`X-OCCI-Attribute: occi.core.source="` + source + `", occi.core.target="` + target + `"`}
}
