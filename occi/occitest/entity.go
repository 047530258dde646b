package occitest

import (
	"net/http"
	"strings"
)

var createTests = []test{
	{"T20", func(s *suite) { s.get(s.create(compute, "/compute/")) }},
	{"T21", func(s *suite) { s.get(s.create(compute, "/")) }},
	{"T22", func(s *suite) {
		r := s.want(s.do("POST", "/compute/", inBody, "", s.withExtra(compute), `X-OCCI-Attribute: occi.core.title="front"`), 201, 200)
		if title := s.attribute(s.created(r), "occi.core.title"); title != "front" {
			s.Errorf("the title is %q", title)
		}
	}},
	{"T23", func(s *suite) {
		r := s.want(s.do("POST", "/compute/", inJSON, "", `{"kind": "http://schemas.ogf.org/occi/infrastructure#compute", "title": "front", "attributes": {"occi.compute.cores": 2}}`), 201, 200)
		s.has(s.get(s.created(r)), `occi.core.title="front"`, "occi.compute.cores=2")
	}},
	{"T24", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, define), 200)
		one := s.want(s.do("POST", "/compute/", inHeaders, s.withExtra(compute)+`, t; scheme="http://example.org/m#"`), 201, 200)
		two := s.want(s.do("POST", "/compute/", inHeaders, s.withExtra(compute), mixin), 201, 200)
		for _, r := range []reply{one, two} {
			s.has(s.get(s.created(r)), `t; scheme="http://example.org/m#"`)
		}
	}},
	{"T25", func(s *suite) {
		s.want(s.do("POST", "/compute/", inHeaders, `X-OCCI-Attribute: occi.compute.cores=1`), 400)
	}},
	{"T26", func(s *suite) {
		s.want(s.do("POST", "/compute/", inHeaders, `Category: none; scheme="http://example.org/none#"`), 400)
		s.want(s.do("POST", "/compute/", inHeaders, "Category: compute"), 400)
	}},
	{"T27", func(s *suite) {
		s.want(s.do("POST", "/compute/", inHeaders, s.withExtra(compute), "X-OCCI-Attribute: occi.compute.cores"), 400)
	}},
	{"T28", func(s *suite) {
		u := s.create(compute, "/compute/", `X-OCCI-Attribute: occi.compute.memory=3.6, occi.core.title="x \", occi.compute.memory=1.0"`)
		s.has(s.get(u), "occi.compute.memory=3.6", `occi.core.title="x \", occi.compute.memory=1.0"`)
	}},
	{"T29", func(s *suite) {
		s.want(s.do("POST", "/compute/", "Content-Type: application/xml", "", "<compute/>"), 415, 406)
	}},
	{"T30", func(s *suite) {
		r := s.do("POST", "/compute/", inHeaders, s.withExtra(compute), `X-OCCI-Attribute: occi.compute.state="suspended"`)
		if r.status != 400 && s.state(s.created(s.want(r, 201, 200))) == "suspended" {
			s.Error("the client has set the state")
		}
	}},
	{"T31", func(s *suite) { s.want(s.do("POST", "/storage/", inHeaders, storage), 400) }},
	{"T32", func(s *suite) { s.want(s.do("POST", "/compute/", inHeaders, network), 400) }},
	{"T33", func(s *suite) { s.put("/compute/my-id") }},
	{"T34", func(s *suite) { s.put("/123") }},
}

// put creates at a path that the client chooses, which services may refuse.
func (s *suite) put(path string) {
	s.Helper()
	if r := s.want(s.do("PUT", path, inHeaders, s.withExtra(compute)), 201, 200, 400); r.status != 400 {
		s.get(path)
	}
}

var readTests = []test{
	{"T40", func(s *suite) {
		u := s.newStopped()
		r := s.get(u)
		s.has(r, "\nCategory: compute; "+scheme+`; class="kind"`, "Link: <"+s.path(u)+`?action=start>; rel="`+startID+`"`, "X-OCCI-Attribute: occi.core.id=")
		r = s.want(s.do("GET", u, acceptOCCI), 200)
		if !strings.Contains(r.joined("Category"), "compute; ") || !strings.Contains(r.joined("Link"), "?action=start") || !strings.Contains(r.joined("X-OCCI-Attribute"), "occi.core.id=") || r.text != "OK" {
			s.Errorf("headers are %v", r.header)
		}
		s.has(s.want(s.do("GET", u, acceptJSON), 200), `"kind":"http://schemas.ogf.org/occi/infrastructure#compute"`, `"`+startID+`"`, `"id":`)
	}},
	{"T41", func(s *suite) { s.want(s.do("GET", s.create(compute, "/compute/"), acceptURIs), 400) }},
	{"T42", func(s *suite) { s.want(s.do("GET", s.create(compute, "/compute/"), "Accept: application/xml"), 406) }},
	{"T43", func(s *suite) {
		u := s.create(compute, "/compute/")
		byDefault := s.want(s.do("GET", u), 200).header.Get("Content-Type")
		if any := s.want(s.do("GET", u, "Accept: */*"), 200).header.Get("Content-Type"); any != byDefault {
			s.Errorf("*/* gets %s, no Accept %s", any, byDefault)
		}
		if media := s.want(s.do("GET", u, "Accept: text/occi;q=0.5, text/plain"), 200).header.Get("Content-Type"); !strings.HasPrefix(media, "text/plain") {
			s.Errorf("the better type is text/plain, but %s came", media)
		}
	}},
	{"T44", func(s *suite) { s.want(s.do("GET", "/compute/none"), 404) }},
	{"T45", func(s *suite) {
		if r := s.want(s.do("HEAD", s.create(compute, "/compute/")), 200); r.text != "" {
			s.Errorf("the body is %q", r.text)
		}
	}},
	{"T46", func(s *suite) { s.want(s.do("PATCH", s.create(compute, "/compute/")), 405) }},
}

const startID = "http://schemas.ogf.org/occi/infrastructure/compute/action#start"

var updateTests = []test{
	{"T50", func(s *suite) {
		u := s.newCompute(`X-OCCI-Attribute: occi.core.title="front"`)
		s.want(s.do("POST", u, inHeaders, `X-OCCI-Attribute: occi.compute.hostname="h1"`), 200)
		s.has(s.get(u), `occi.compute.hostname="h1"`, `occi.core.title="front"`)
	}},
	{"T51", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, define), 200)
		u := s.newCompute()
		s.has(s.want(s.do("POST", u, inHeaders, mixin), 200), `t; scheme="http://example.org/m#"`)
		s.contains("/m/", u)
	}},
	{"T52", func(s *suite) {
		u := s.newCompute(`X-OCCI-Attribute: occi.core.title="old", occi.compute.hostname="h1"`)
		s.want(s.do("PUT", u, inHeaders, s.withExtra(compute), `X-OCCI-Attribute: occi.core.title="new"`), 200)
		r := s.get(u)
		s.has(r, `occi.core.title="new"`)
		s.lacks(r, "h1")
	}},
	{"T53", func(s *suite) { s.want(s.do("PUT", s.newCompute(), inHeaders, network), 400) }},
	{"T54", func(s *suite) {
		n, u := s.newNetwork(), s.newCompute()
		link := "Link: <" + s.path(n) + `>; rel="http://schemas.ogf.org/occi/infrastructure#network"; category="http://schemas.ogf.org/occi/infrastructure#networkinterface"`
		s.want(s.do("PUT", u, inHeaders, s.withExtra(compute), link), 400)
		s.want(s.do("POST", u, inHeaders, link), 400)
	}},
	{"T55", func(s *suite) {
		s.want(s.do("POST", "/compute/none", inHeaders, `X-OCCI-Attribute: occi.compute.hostname="h1"`), 404)
	}},
}

var actionTests = []test{
	{"T60", func(s *suite) {
		u := s.newStopped()
		s.want(s.do("POST", u+"?action=start", inHeaders, start), 200)
		s.Settle(s)
		r := s.get(u)
		s.has(r, `occi.compute.state="active"`, "?action=stop>")
		s.lacks(r, "?action=start>")
	}},
	{"T61", func(s *suite) {
		u := s.newStopped()
		s.want(s.do("POST", u+"?action=start", inHeaders, start), 200)
		s.want(s.do("POST", u+"?action=start", inHeaders, start), 400)
	}},
	{"T62", func(s *suite) {
		s.want(s.do("POST", s.newCompute()+"?action=fly", inHeaders, `Category: fly; scheme="http://example.org/none#"`), 400)
	}},
	{"T63", func(s *suite) { s.want(s.do("POST", s.newStopped()+"?action=start", inHeaders), 400) }},
	{"T64", func(s *suite) {
		s.want(s.do("POST", s.newCompute()+"?action=stop", inHeaders, "Category: suspend; "+actionScheme), 400)
	}},
	{"T65", func(s *suite) {
		a, b := s.newStopped(), s.newStopped()
		s.want(s.do("POST", "/compute/?action=start", inHeaders, start), 200)
		s.Settle(s)
		if s.state(a) != "active" || s.state(b) != "active" {
			s.Errorf("they are %s and %s", s.state(a), s.state(b))
		}
	}},
	{"T66", func(s *suite) {
		u := s.newStopped()
		s.want(s.do("POST", u+"?action=start", inHeaders, start), 200)
		s.Settle(s)
		s.want(s.do("POST", u+"?action=stop", inHeaders, stop, `X-OCCI-Attribute: method="bogus"`), 400)
		s.want(s.do("POST", u+"?action=stop", inHeaders, stop, `X-OCCI-Attribute: method="graceful"`), 200)
	}},
	{"T67", func(s *suite) {
		u := s.newStopped()
		s.want(s.do("POST", u+"?action=start", inJSON, "", `{"action": "`+startID+`"}`), 200)
		s.Settle(s)
		if got := s.state(u); got != "active" {
			s.Errorf("the state is %s", got)
		}
	}},
}

// nobody gives a request no credentials.
func nobody(*http.Request) {}
