package occitest

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/troupe-dev/troupe/occi"
)

var otherTests = []test{
	{"T100", func(s *suite) {
		u := s.newCompute()
		s.want(s.do("DELETE", u), 200, 204)
		s.want(s.do("GET", u), 404)
		s.want(s.do("DELETE", u), 404)
	}},
	{"T101", func(s *suite) {
		s.newCompute()
		s.newCompute()
		s.want(s.do("DELETE", "/compute/"), 200, 204)
		emptyCollection(s)
	}},
	{"T110", func(s *suite) {
		for _, target := range []string{"/-/", "/compute/", "/compute/none"} {
			if r := s.want(s.doAs(nobody, "GET", target), 401); r.header.Get("WWW-Authenticate") == "" {
				s.Error("401 without WWW-Authenticate")
			}
		}
	}},
	{"T111", func(s *suite) {
		u := s.newCompute()
		s.want(s.doAs(s.Stranger, "GET", u), 404)
		s.want(s.doAs(s.Stranger, "DELETE", u), 404)
		s.want(s.doAs(s.Stranger, "POST", u+"?action=stop", inHeaders, stop), 404)
		if r := s.want(s.doAs(s.Stranger, "GET", "/compute/", acceptPlain), 200); strings.Contains(r.text, u) {
			s.Errorf("a stranger sees it: %s", r.text)
		}
		s.get(u)
	}},
	{"T112", func(s *suite) {
		s.want(s.do("GET", "/-/", "User-Agent: x OCCI/9.9"), 501)
		s.want(s.do("GET", "/-/", "User-Agent: x OCCI/1.1"), 200)
	}},
	{"T113", func(s *suite) {
		r := s.want(s.do("POST", "/compute/", inJSON, "", `{"kind": "http://schemas.ogf.org/occi/infrastructure#compute", "title": "a\r\nX-Evil: 1"}`), 201, 200, 400)
		if r.status == 400 {
			return
		}
		u := s.created(r)
		for _, accept := range []string{acceptOCCI, acceptPlain} {
			r = s.want(s.do("GET", u, accept), 200)
			if r.header.Get("X-Evil") != "" || strings.Contains(r.text, "\nX-Evil") {
				s.Errorf("a line of the client's own got into the answer: %v %s", r.header, r.text)
			}
		}
	}},
	{"T114", longAnswer},
	{"T115", func(s *suite) {
		const n = 200
		urls := make([]string, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				r := s.do("POST", "/compute/", inHeaders, s.withExtra(compute))
				if urls[i] = r.header.Get("Location"); r.status != http.StatusCreated {
					s.Errorf("%d %s", r.status, r.text)
				}
			})
		}
		all.Wait()
		slices.Sort(urls)
		if distinct := len(slices.Compact(slices.Clone(urls))); distinct != n {
			s.Errorf("%d distinct URLs", distinct)
		}
		s.contains("/compute/", urls...)
	}},
	{"T116", func(s *suite) {
		for _, title := range []string{`"`, `\`, `\"`, `a, b; c`, `x="y"`, `'a, b'`, "Grüße, 世界", `trailing \`, `<a>; rel="b"`, "tab\there"} {
			e := &occi.Entity{Kind: occi.Compute, Attributes: occi.Attributes{{Name: occi.AttrTitle, Value: title}}}
			u := s.createEntity(e)
			for _, accept := range []string{occi.TextPlain, occi.TextOCCI, occi.JSON} {
				if got := s.parsed(u, accept).Attributes.Text(occi.AttrTitle); got != title {
					s.Errorf("as %s the title is %q, wanted %q", accept, got, title)
				}
			}
			for try := 0; ; try++ { // an entity may change in between, but not again and again
				a, b := s.parsed(u, occi.TextPlain), s.parsed(u, occi.TextOCCI)
				if slices.Equal(a.Attributes, b.Attributes) && slices.Equal(a.Actions, b.Actions) && a.Kind == b.Kind {
					break
				}
				if try == 10 {
					s.Errorf("the renderings differ: %v %v", a, b)
					break
				}
			}
			s.do("DELETE", u)
		}
	}},
	{"T117", func(s *suite) {
		for _, line := range malformed {
			name, value, _ := strings.Cut(line, ": ")
			s.want(s.do("POST", "/compute/", inHeaders, line), 400)
			s.want(s.do("POST", "/compute/", inBody, "", s.withExtra(compute), name+": "+value), 400)
		}
		for _, body := range []string{"", "{", "[", "null", `{"kind": 1}`, `{"kind": "x"}`, `{"kind": "http://schemas.ogf.org/occi/infrastructure#compute", "attributes": []}`, strings.Repeat("[", 10000)} {
			s.want(s.do("POST", "/compute/", inJSON, "", body), 400)
		}
	}},
}

// malformed are lines that no service may accept.
var malformed = []string{
	"Category: compute", "Category: compute; scheme", `Category: compute; scheme="`, `Category: compute; scheme="http://x"`, `Category: ; scheme="http://x#"`,
	`Category: a b; scheme="http://x#"`, `Category: compute; scheme="http://x#"; class="thing"`, `Category: compute; scheme="http://x#"; attributes="a{"`, `Category: ="`,
	"Link: x", "Link: <", "Link: <>", "Link: </network/1", `Link: </network/1>; rel="`, `Link: </compute/1?action=start>; rel="x"`,
	"X-OCCI-Attribute: x", "X-OCCI-Attribute: =1", `X-OCCI-Attribute: occi.core.title="`, `X-OCCI-Attribute: occi.core.title="a"b`, `X-OCCI-Attribute: a b="c"`,
}

// createEntity creates by the client of the package.
func (s *suite) createEntity(e *occi.Entity) string {
	s.Helper()
	r, err := http.NewRequest("GET", s.URL, nil)
	if err != nil {
		s.Fatal(err)
	}
	s.Authorize(r)
	c := &occi.Client{URL: s.URL, HTTP: s.client, Header: r.Header}
	path, err := c.Create(s.Context(), "/compute/", e)
	if err != nil {
		s.Fatal(err)
	}
	return s.URL + path
}

// longAnswer checks that an answer which is too long for headers is whole or refused.
func longAnswer(s *suite) {
	title, summary := strings.Repeat("t", 32<<10), strings.Repeat("s", 32<<10)
	r := s.do("POST", "/compute/", inBody, "", s.withExtra(compute), `X-OCCI-Attribute: occi.core.title="`+title+`"`, `X-OCCI-Attribute: occi.core.summary="`+summary+`"`)
	if r.status == 413 {
		return
	}
	u := s.created(s.want(r, 201, 200))
	s.has(s.get(u), title, summary)
	r = s.want(s.do("GET", u, acceptOCCI), 200, 406, 413)
	if all := r.joined("X-OCCI-Attribute"); r.status == 200 && (!strings.Contains(all, title) || !strings.Contains(all, summary)) {
		s.Errorf("the answer is cut: %d bytes", len(all))
	}
	if r.status != 200 && !strings.Contains(r.text, "text/plain") {
		s.Errorf("the refusal names no other type: %s", r.text)
	}
}
