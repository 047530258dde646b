package occitest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// category is how checkers look for a category.
var category = regexp.MustCompile(`^[a-zA-Z0-9_.-]+; scheme="[^"]+"; class="(kind|mixin|action)"`)

var queryTests = []test{
	{"T01", func(s *suite) { // do looks at the header Server of every answer
		for _, target := range []string{"/-/", "/compute/", "/compute/none", "/none", "/?action=none"} {
			for _, method := range []string{"GET", "PUT", "POST", "PATCH"} {
				s.do(method, target)
			}
		}
		s.doAs(s.Stranger, "GET", "/-/")
	}},
	{"T02", func(s *suite) {
		r := s.want(s.do("GET", "/-/", acceptPlain), 200)
		if media := r.header.Get("Content-Type"); !strings.HasPrefix(media, "text/plain") {
			s.Errorf("Content-Type is %s", media)
		}
		lines := strings.Split(r.text, "\n")
		if len(lines) < 2 || !category.MatchString(strings.TrimPrefix(lines[1], "Category: ")) {
			s.Errorf("the second line is no category: %q", lines[min(1, len(lines)-1)])
		}
	}},
	{"T03", func(s *suite) {
		r := s.want(s.do("GET", "/-/", acceptOCCI), 200)
		if media := r.header.Get("Content-Type"); !strings.HasPrefix(media, "text/occi") || r.text != "OK" {
			s.Errorf("Content-Type is %s, the body %q", media, r.text)
		}
		if !category.MatchString(r.joined("Category")) {
			s.Errorf("the header begins with no category: %.200s", r.joined("Category"))
		}
	}},
	{"T04", func(s *suite) {
		r := s.want(s.do("GET", "/-/", acceptJSON), 200)
		var model struct{ Kinds, Mixins, Actions []map[string]any }
		if err := json.Unmarshal([]byte(r.text), &model); err != nil {
			s.Fatal(err)
		}
		if len(model.Kinds) == 0 || len(model.Mixins) == 0 || len(model.Actions) == 0 {
			s.Errorf("%d kinds, %d mixins and %d actions", len(model.Kinds), len(model.Mixins), len(model.Actions))
		}
	}},
	{"T05", func(s *suite) { s.want(s.do("GET", "/-/", acceptURIs), 400) }},
	{"T06", func(s *suite) {
		a := s.want(s.do("GET", "/-/", acceptOCCI), 200).joined("Category")
		if b := s.want(s.do("GET", "/.well-known/org/ogf/occi/-/", acceptOCCI), 200).joined("Category"); a != b {
			s.Errorf("the two query interfaces differ:\n%s\n%s", a, b)
		}
	}},
	{"T07", func(s *suite) {
		for _, term := range []string{"entity", "resource", "link"} {
			s.has(s.do("GET", "/-/", acceptPlain), "\nCategory: "+term+`; scheme="http://schemas.ogf.org/occi/core#"; class="kind"`)
		}
	}},
	{"T08", infrastructureModel},
	{"T09", func(s *suite) {
		r := s.want(s.do("GET", "/-/", acceptOCCI, compute), 200)
		if n := strings.Count(r.joined("Category"), `class="`); n != 1 {
			s.Errorf("%d categories: %s", n, r.joined("Category"))
		}
	}},
	{"T10", func(s *suite) {
		s.want(s.do("GET", "/-/", acceptOCCI, `Category: none; scheme="http://example.org/none#"`), 400)
	}},
	{"T11", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, define), 200)
		if got := s.do("GET", "/-/", acceptOCCI).joined("Category"); !strings.Contains(got, `t; scheme="http://example.org/m#"; class="mixin"`) {
			s.Errorf("the mixin is not listed: %s", got)
		}
	}},
	{"T12", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, define), 200)
		s.want(s.do("POST", "/-/", inHeaders, define), 400, 409)
	}},
	{"T13", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, mixin+`; location="/m"`), 400)
		s.want(s.do("POST", "/-/", inHeaders, mixin+`; location="/compute/"`), 400, 409)
	}},
	{"T14", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, `Category: t; scheme="http://example.org/m#"; class="kind"; location="/m/"`), 400)
	}},
	{"T15", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, mixin+`; rel="http://example.org/none#none"; location="/m/"`), 200)
	}},
	{"T16", func(s *suite) {
		s.want(s.do("POST", "/-/", inHeaders, define), 200)
		s.want(s.do("DELETE", "/-/", inHeaders, mixin), 200)
		s.want(s.do("DELETE", "/-/", inHeaders, mixin), 400, 404)
	}},
	{"T17", func(s *suite) { s.want(s.do("DELETE", "/-/", inHeaders, "Category: os_tpl; "+scheme), 403) }},
	{"T18", func(s *suite) { s.want(s.do("PUT", "/-/", inHeaders, define), 405) }},
}

// infrastructureModel checks that all kinds, mixins and actions of the infrastructure are there with what belongs to
// them.
func infrastructureModel(s *suite) {
	const (
		base   = "http://schemas.ogf.org/occi/infrastructure"
		parent = "http://schemas.ogf.org/occi/core#"
	)
	lines := strings.Split(s.do("GET", "/-/", acceptPlain).text, "\n")
	for term, want := range map[string]struct{ scheme, rel, attributes, actions string }{
		"compute": {"#", "resource", "occi.compute.architecture occi.compute.cores occi.compute.hostname occi.compute.memory occi.compute.speed occi.compute.share occi.compute.state occi.compute.state.message",
			"/compute/action#start /compute/action#stop /compute/action#restart /compute/action#suspend /compute/action#save"},
		"network":            {"#", "resource", "occi.network.vlan occi.network.label occi.network.state occi.network.state.message", "/network/action#up /network/action#down"},
		"storage":            {"#", "resource", "occi.storage.size occi.storage.state occi.storage.state.message", "/storage/action#online /storage/action#offline"},
		"networkinterface":   {"#", "link", "occi.networkinterface.interface occi.networkinterface.mac occi.networkinterface.state occi.networkinterface.state.message", ""},
		"storagelink":        {"#", "link", "occi.storagelink.deviceid occi.storagelink.mountpoint occi.storagelink.state occi.storagelink.state.message", ""},
		"ipnetwork":          {"/network#", "", "occi.network.address occi.network.gateway occi.network.allocation", ""},
		"ipnetworkinterface": {"/networkinterface#", "", "occi.networkinterface.address occi.networkinterface.gateway occi.networkinterface.allocation", ""},
		"os_tpl":             {"#", "", "", ""},
		"resource_tpl":       {"#", "", "", ""},
		"up":                 {"/network/action#", "", "", ""},
		"offline":            {"/storage/action#", "", "", ""},
		"start":              {"/compute/action#", "", "", ""},
		"stop":               {"/compute/action#", "", "method", ""},
		"restart":            {"/compute/action#", "", "method", ""},
		"suspend":            {"/compute/action#", "", "method", ""},
	} {
		i := slices.IndexFunc(lines, func(line string) bool {
			return strings.HasPrefix(line, "Category: "+term+`; scheme="`+base+want.scheme+`"`)
		})
		if i < 0 {
			s.Errorf("%s is not listed", term)
			continue
		}
		if want.rel != "" && !strings.Contains(lines[i], `rel="`+parent+want.rel+`"`) {
			s.Errorf("%s is no %s: %s", term, want.rel, lines[i])
		}
		for attribute := range strings.FieldsSeq(want.attributes) {
			if !regexp.MustCompile(`attributes="[^"]*\b` + regexp.QuoteMeta(attribute) + `[ {"]`).MatchString(lines[i]) {
				s.Errorf("%s lacks %s: %s", term, attribute, lines[i])
			}
		}
		for action := range strings.FieldsSeq(want.actions) {
			if !strings.Contains(lines[i], base+action) {
				s.Errorf("%s lacks the action %s: %s", term, action, lines[i])
			}
		}
	}
}
