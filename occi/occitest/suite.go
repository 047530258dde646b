// Package occitest is the contract of services that offer OCCI's infrastructure: the conformance tests, over the wire, one
// subtest for each number. A service's own test is a few lines:
//
//	occitest.Run(t, occitest.Harness{URL: url, Authorize: basic("ann"), Stranger: basic("ben"), Settle: settle})
package occitest

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/occi"
)

// A Harness says how the service is reached. Nothing of the caller's may be in it; Run leaves nothing behind.
type Harness struct {
	// URL is the root, without a slash at its end.
	URL string
	// Authorize gives a request the credentials of the user who makes the tests; Stranger those of one of another tenant.
	Authorize, Stranger func(r *http.Request)
	// Settle returns once all that the service was asked for has come to pass.
	Settle func(t testing.TB)
	// Extra are categories, as they are written in requests, without which no compute can be made; "" for none.
	Extra string
}

// A suite is a run of the tests.
type suite struct {
	Harness
	*testing.T
	client *http.Client
}

// test is one of the numbered tests.
type test struct {
	number string
	run    func(*suite)
}

// tests returns all, in the order of their numbers.
func tests() []test {
	return slices.Concat(queryTests, createTests, readTests, updateTests, actionTests, collectionTests, mixinTests, linkTests, otherTests)
}

// Numbers returns the numbers of the tests: "T01", "T02" …
func Numbers() []string {
	var out []string
	for _, x := range tests() {
		out = append(out, x.number)
	}
	return out
}

// Run runs all tests.
func Run(t *testing.T, h Harness) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}
	defer client.CloseIdleConnections()
	for _, x := range tests() {
		t.Run(x.number, func(t *testing.T) {
			s := &suite{h, t, client}
			s.reset()
			x.run(s)
			s.reset()
		})
	}
}

// reset removes everything.
func (s *suite) reset() {
	s.Helper()
	for _, path := range []string{"/compute/", "/networkinterface/", "/storagelink/", "/network/", "/storage/"} {
		for range 3 { // what others still use goes last
			for _, u := range s.list(path) {
				s.do("DELETE", u)
			}
			s.Settle(s)
		}
	}
	for line := range strings.Lines(s.do("GET", "/-/").text) {
		if term, rest, _ := strings.Cut(line, "; "); strings.Contains(rest, `scheme="http://example.org/`) {
			s.do("DELETE", "/-/", "Content-Type: text/occi", term+"; "+strings.Split(rest, "; class")[0])
		}
	}
}

// A reply is what came back.
type reply struct {
	status int
	header http.Header
	text   string
}

// do sends a request as the user who makes the tests. The target is a path or an absolute URL; lines are "Name: value", and
// behind an empty one the body.
func (s *suite) do(method, target string, lines ...string) reply {
	s.Helper()
	return s.doAs(s.Authorize, method, target, lines...)
}

func (s *suite) doAs(who func(*http.Request), method, target string, lines ...string) reply {
	s.Helper()
	body := ""
	if i := slices.Index(lines, ""); i >= 0 {
		body, lines = strings.Join(lines[i+1:], "\n"), lines[:i]
	}
	if strings.HasPrefix(target, "/") {
		target = s.URL + target
	}
	r, err := http.NewRequestWithContext(s.Context(), method, target, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	who(r)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	if server := resp.Header.Get("Server"); !strings.Contains(server, "OCCI/1.1") && !strings.Contains(server, "OCCI/1.2") {
		s.Errorf("%s %s: the header Server is %q: it names no version of OCCI", method, target, server)
	}
	if resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented {
		s.Errorf("%s %s: %d %s", method, target, resp.StatusCode, text)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

// want fails the test if the status is none of these.
func (s *suite) want(r reply, statuses ...int) reply {
	s.Helper()
	if !slices.Contains(statuses, r.status) {
		s.Fatalf("the status is %d, wanted %v: %s", r.status, statuses, r.text)
	}
	return r
}

// has fails the test if the text of a reply lacks something.
func (s *suite) has(r reply, parts ...string) {
	s.Helper()
	for _, part := range parts {
		if !strings.Contains(r.text, part) {
			s.Errorf("%q is missing in\n%s", part, r.text)
		}
	}
}

// lacks fails the test if something is in the text of a reply.
func (s *suite) lacks(r reply, parts ...string) {
	s.Helper()
	for _, part := range parts {
		if strings.Contains(r.text, part) {
			s.Errorf("%q should not be in\n%s", part, r.text)
		}
	}
}

// Categories as they stand in requests.
const (
	scheme       = `scheme="http://schemas.ogf.org/occi/infrastructure#"`
	compute      = "Category: compute; " + scheme
	network      = "Category: network; " + scheme
	storage      = "Category: storage; " + scheme
	nic          = "Category: networkinterface; " + scheme
	inHeaders    = "Content-Type: text/occi"
	inBody       = "Content-Type: text/plain"
	inJSON       = "Content-Type: application/occi+json"
	acceptOCCI   = "Accept: text/occi"
	acceptPlain  = "Accept: text/plain"
	acceptURIs   = "Accept: text/uri-list"
	acceptJSON   = "Accept: application/occi+json"
	actionScheme = `scheme="http://schemas.ogf.org/occi/infrastructure/compute/action#"`
	start        = "Category: start; " + actionScheme
	stop         = "Category: stop; " + actionScheme
	mixin        = `Category: t; scheme="http://example.org/m#"; class="mixin"`
	define       = mixin + `; rel="http://schemas.ogf.org/occi/infrastructure#os_tpl"; location="/m/"`
)

// withExtra adds the categories that every compute here needs.
func (s *suite) withExtra(category string) string {
	if s.Extra != "" && category == compute {
		return category + ", " + s.Extra
	}
	return category
}

// create makes an entity and returns its URL.
func (s *suite) create(category, path string, lines ...string) string {
	s.Helper()
	r := s.want(s.do("POST", path, append([]string{inHeaders, s.withExtra(category)}, lines...)...), 201, 200)
	return s.created(r)
}

// created returns the URL of what a creation made.
func (s *suite) created(r reply) string {
	s.Helper()
	location := r.header.Get("Location")
	if r.status == 200 && location == "" {
		if m := regexp.MustCompile(`occi\.core\.id="?([^"\n,]+)`).FindStringSubmatch(r.text); m != nil {
			location = m[1]
		}
	}
	if !strings.HasPrefix(location, s.URL+"/") {
		s.Fatalf("the Location %q is no URL of the service", location)
	}
	return location
}

// newCompute makes a compute and waits until it is as it will stay.
func (s *suite) newCompute(lines ...string) string {
	s.Helper()
	u := s.create(compute, "/compute/", lines...)
	s.Settle(s)
	return u
}

// newStopped makes a compute that is inactive.
func (s *suite) newStopped(lines ...string) string {
	s.Helper()
	u := s.newCompute(lines...)
	if s.state(u) == "active" {
		s.want(s.do("POST", u+"?action=stop", inHeaders, stop), 200)
		s.Settle(s)
	}
	if got := s.state(u); got != "inactive" {
		s.Fatalf("the compute is %s", got)
	}
	return u
}

func (s *suite) newNetwork() string {
	s.Helper()
	u := s.create(network, "/network/", `X-OCCI-Attribute: occi.core.title="net"`)
	s.Settle(s)
	return u
}

// get returns an entity as text/plain.
func (s *suite) get(u string) reply {
	s.Helper()
	return s.want(s.do("GET", u, acceptPlain), 200)
}

// attribute returns the value of an attribute without quotes.
func (s *suite) attribute(u, name string) string {
	s.Helper()
	return valueIn(s.get(u).text, name)
}

func valueIn(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "X-OCCI-Attribute: "+name+"="); ok {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// state returns the state of a compute.
func (s *suite) state(u string) string {
	s.Helper()
	return s.attribute(u, "occi.compute.state")
}

// list returns the URLs in a collection, sorted.
func (s *suite) list(path string, lines ...string) []string {
	s.Helper()
	r := s.want(s.do("GET", path, append([]string{acceptPlain}, lines...)...), 200)
	var out []string
	for line := range strings.Lines(r.text) {
		if u, ok := strings.CutPrefix(strings.TrimSpace(line), "X-OCCI-Location: "); ok {
			out = append(out, u)
		}
	}
	slices.Sort(out)
	return out
}

// contains fails the test unless a collection is exactly these URLs.
func (s *suite) contains(path string, urls ...string) {
	s.Helper()
	slices.Sort(urls)
	if got := s.list(path); !slices.Equal(got, urls) {
		s.Errorf("%s is %v, wanted %v", path, got, urls)
	}
}

// path returns the path of a URL of the service, below its host.
func (s *suite) path(u string) string {
	return "/" + strings.SplitN(strings.SplitN(u, "://", 2)[1], "/", 2)[1]
}

// parsed returns an entity as a client of the package reads it in a rendering.
func (s *suite) parsed(u, accept string) *occi.Entity {
	s.Helper()
	r, err := http.NewRequest("GET", s.URL, nil)
	if err != nil {
		s.Fatal(err)
	}
	s.Authorize(r)
	c := &occi.Client{URL: s.URL, HTTP: s.client, Header: r.Header, Accept: accept}
	e, err := c.Get(s.Context(), strings.TrimPrefix(u, s.URL))
	if err != nil {
		s.Fatal(err)
	}
	return e
}

// header returns the values of a header in one.
func (r reply) joined(name string) string {
	return strings.Join(r.header.Values(name), ", ")
}
