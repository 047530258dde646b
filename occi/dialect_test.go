package occi_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/occi"
)

const shopScheme = "http://example.org/occi/sm#"

// shops is a service manager of Hurtle's as far as the protocol goes.
func shops(o occi.Options) *occi.Server {
	o.Backend = newMemory(occi.MustModel(
		occi.Category{ID: occi.CoreLink, Class: occi.Kind, Location: "/link/"},
		occi.Category{ID: shopScheme + "webshop", Class: occi.Kind, Title: "Web shop", Parent: occi.CoreResource, Location: "/webshop/",
			Attributes: []occi.AttributeDef{{Name: "shop.url", Immutable: true}, {Name: "shop.theme"}}},
	))
	o.Hurtle, o.Check, o.Version = true, occi.Unchecked, "1.1"
	return occi.NewServer(o)
}

const webshop = `Category: webshop; scheme="http://example.org/occi/sm#";`

// TestHurtleTolerance: what components of Hurtle send is taken as they mean it.
func TestHurtleTolerance(t *testing.T) {
	for given, want := range map[string]string{
		`mcn.endpoint.p1=10.0.0.1`:                  `mcn.endpoint.p1="10.0.0.1"`,
		`, mcn.endpoint.p1=10.0.0.1`:                `mcn.endpoint.p1="10.0.0.1"`,
		`a=1,,b=alarm-0001 , c = "x, y"`:            `a="1" b="alarm-0001" c="x, y"`,
		`a='x, y', b=z`:                             `a="x, y" b="z"`,
		`env="A=1::B=2"`:                            `env="A=1::B=2"`,
		`shop.url="http://x/", my.number=5, t=true`: `shop.url="http://x/" my.number="5" t="true"`,
		`a=0a6f0b1e-6e1b-4d0f-9c56-3a3a2b1d8c11`:    `a="0a6f0b1e-6e1b-4d0f-9c56-3a3a2b1d8c11"`,
		``:                                          ``,
	} {
		s := shops(occi.Options{})
		w := call(t, s, "POST", "/webshop/", "Content-Type: text/occi", webshop, "X-OCCI-Attribute: "+given)
		if w.Code != http.StatusCreated || w.Body.String() != "OK" {
			t.Errorf("%s: %d %s", given, w.Code, w.Body)
			continue
		}
		w = call(t, s, "GET", strings.TrimPrefix(w.Header().Get("Location"), "http://cloud.example.org"))
		var got []string
		for line := range strings.Lines(w.Body.String()) {
			if a, ok := strings.CutPrefix(strings.TrimSpace(line), "X-OCCI-Attribute: "); ok && !strings.HasPrefix(a, "occi.") {
				got = append(got, a)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s is shown as %s, wanted %s", given, strings.Join(got, " "), want)
		}
	}
}

// TestHurtleJSON: which JSON a client gets follows from what it says it speaks, and the client of this package reads both.
func TestHurtleJSON(t *testing.T) {
	s := shops(occi.Options{})
	call(t, s, "POST", "/webshop/", webshop, `X-OCCI-Attribute: shop.theme="dark"`)
	if w := call(t, s, "GET", "/webshop/", "Accept: application/occi+json"); !strings.HasPrefix(w.Body.String(), "[\n  {\n    \"actions\": [],\n    \"attributes\": {\n") {
		t.Errorf("Hurtle's JSON is %s", w.Body)
	}
	if w := call(t, s, "GET", "/webshop/", "Accept: application/occi+json", "User-Agent: x OCCI/1.2"); w.Code != http.StatusNotImplemented {
		t.Errorf("a listener of version 1.1 answers %d to 1.2", w.Code)
	}
	server := httptest.NewServer(s)
	defer server.Close()
	for _, accept := range []string{occi.JSON, occi.TextPlain, occi.TextOCCI} {
		c := &occi.Client{URL: server.URL, Accept: accept, InHeaders: true}
		model, err := c.Discover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		k := model.Find(shopScheme + "webshop")
		if k == nil || k.Class != occi.Kind || k.Parent != occi.CoreResource || k.Location != "/webshop/" || len(k.Attributes) != 2 {
			t.Errorf("as %s the kind is %+v", accept, k)
		}
		path, err := c.Create(t.Context(), k.Location, &occi.Entity{Kind: k.ID, Attributes: occi.Attributes{{Name: "shop.theme", Value: "a, \"b\""}}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := c.Get(t.Context(), path)
		if err != nil || e.Kind != k.ID || e.Attributes.Text("shop.theme") != `a, "b"` || e.Path != path {
			t.Errorf("as %s it is %+v, %v", accept, e, err)
		}
	}
}

// TestHurtleLink: a link to another service is written as Hurtle's resolver reads it.
func TestHurtleLink(t *testing.T) {
	m := occi.MustModel(occi.Category{ID: occi.CoreLink, Class: occi.Kind, Location: "/link/"}, occi.Category{ID: shopScheme + "webshop", Class: occi.Kind, Location: "/webshop/"})
	b := newMemory(m)
	s := occi.NewServer(occi.Options{Backend: b, Hurtle: true, Check: occi.Unchecked})
	if _, err := b.Create(t.Context(), &occi.Entity{Path: "/webshop/1", Kind: shopScheme + "webshop", Links: []*occi.Entity{
		{Path: "/link/2", Kind: occi.CoreLink, Target: occi.Reference{Location: "/db/3"}}}}); err != nil {
		t.Fatal(err)
	}
	w := call(t, s, "GET", "/webshop/1")
	want := `Link: </db/3>; rel="http://schemas.ogf.org/occi/core#resource"; self="/link/2"; category="http://schemas.ogf.org/occi/core#link"; occi.core.id="/link/2"; occi.core.source="/webshop/1"; occi.core.target="/db/3"`
	if !strings.Contains(w.Body.String(), want) {
		t.Errorf("%s\nis not in\n%s", want, w.Body)
	}
}

// TestLimits: what is too much is refused, and by its name.
func TestLimits(t *testing.T) {
	s := infrastructure(occi.Options{Limits: occi.Limits{Body: 2000, Categories: 3, Attributes: 3, Links: 2, Locations: 3, Mixins: 2, Tags: 1}})
	define := func(n int) string {
		return fmt.Sprintf(`Category: t%d; scheme="http://example.org/m#"; class="mixin"; location="/m/%d/"`, n, n)
	}
	for i, lines := range [][]string{
		{"POST", "/compute/", "Content-Type: text/plain", "", strings.Repeat("x", 2001)},
		{"POST", "/compute/", compute, compute, compute, compute},
		{"POST", "/compute/", compute, "X-OCCI-Attribute: a=1, b=2, c=3, d=4"},
		{"POST", "/compute/", compute, "X-OCCI-Attribute: a=1, a=2, a=3, a=4"},
		{"POST", "/compute/", compute, `Link: </a>; category="x#y", </b>, </c>`},
		{"POST", "/mixins/ipnetwork/", "Content-Type: text/uri-list", "", "/a\n/b\n/c\n/d"},
		{"POST", "/-/", define(1), define(2), define(3)},
		{"GET", "/compute/?page=1&number=2000"},
	} {
		if w := call(t, s, lines[0], lines[1], lines[2:]...); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%d: %d %s", i, w.Code, w.Body)
		}
	}
	call(t, s, "POST", "/-/", define(1), define(2))
	if w := call(t, s, "POST", "/compute/", compute, define(1), define(2)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("two mixins of users on an entity: %d %s", w.Code, w.Body)
	}
}

// shelf is a store of mixins in memory; broken makes it fail.
type shelf struct {
	records map[string]occi.MixinRecord
	broken  error
}

func (s *shelf) Load(context.Context) iter.Seq2[occi.MixinRecord, error] {
	return func(yield func(occi.MixinRecord, error) bool) {
		for _, r := range s.records {
			if !yield(r, s.broken) {
				return
			}
		}
	}
}

func (s *shelf) Save(_ context.Context, records ...occi.MixinRecord) error {
	for _, r := range records {
		if s.broken == nil {
			s.records[r.Tenant+string(r.Mixin.ID)] = r
		}
	}
	return s.broken
}

func (s *shelf) Remove(_ context.Context, tenant string, id occi.TypeID) error {
	if s.broken == nil {
		delete(s.records, tenant+string(id))
	}
	return s.broken
}

// TestMixinStore: mixins outlive the server, are the tenant's alone, and are as they were where the store fails.
func TestMixinStore(t *testing.T) {
	store := &shelf{records: make(map[string]occi.MixinRecord)}
	b := newMemory(occi.MustModel(append(occi.Core(), occi.Infrastructure()...)...))
	open := func() *occi.Server {
		t.Helper()
		mixins, err := occi.NewMixins(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		return infrastructure(occi.Options{Backend: b, Mixins: mixins, Authenticate: basic})
	}
	const mixin, ann, ben = `Category: t; scheme="http://example.org/m#"; class="mixin"`, "Authorization: Basic YW5uOg==", "Authorization: Basic YmVuOg=="
	s := open()
	if w := call(t, s, "POST", "/-/", ann, mixin+`; location="/m/"; title="mine"`); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w := call(t, s, "POST", "/compute/", ann, compute, mixin)
	location := w.Header().Get("Location")
	s = open()
	if w := call(t, s, "GET", "/m/", ann); !strings.Contains(w.Body.String(), location) {
		t.Errorf("after a restart the mixin is on %s", w.Body)
	}
	if w := call(t, s, "GET", "/-/", ben); strings.Contains(w.Body.String(), "example.org/m#") {
		t.Error("a stranger sees the mixin")
	}
	if w := call(t, s, "POST", "/-/", ben, mixin+`; location="/m/"`); w.Code != http.StatusOK {
		t.Errorf("another tenant cannot have the same mixin: %s", w.Body)
	}
	store.broken = errors.New("the disk is full")
	for _, lines := range [][]string{
		{"POST", "/-/", ann, `Category: u; scheme="http://example.org/m#"; class="mixin"; location="/u/"`},
		{"DELETE", "/-/", ann, mixin},
		{"DELETE", "/m/", ann, "X-OCCI-Location: " + location},
	} {
		if w := call(t, s, lines[0], lines[1], lines[2:]...); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "disk") {
			t.Errorf("%v: %d %s", lines, w.Code, w.Body)
		}
	}
	if w := call(t, s, "GET", "/m/", ann); !strings.Contains(w.Body.String(), location) {
		t.Errorf("what was not kept has taken effect: %s", w.Body)
	}
	if w := call(t, s, "GET", "/u/", ann); w.Body.Len() > 0 || w.Code != http.StatusOK {
		t.Errorf("what was not kept has taken effect: %s", w.Body)
	}
	if _, err := occi.NewMixins(t.Context(), store); !errors.Is(err, store.broken) {
		t.Errorf("a store that fails gives %v", err)
	}
}

// TestModel: contradictions in a model are found when it is made.
func TestModel(t *testing.T) {
	kind := func(id occi.TypeID, change func(*occi.Category)) occi.Category {
		c := occi.Category{ID: id, Class: occi.Kind, Location: "/" + id.Term() + "/"}
		if change != nil {
			change(&c)
		}
		return c
	}
	for want, categories := range map[string][]occi.Category{
		"listed twice":             {kind("http://x#a", nil), kind("http://x#a", nil)},
		"same location":            {kind("http://x#a", nil), kind("http://x#b", func(c *occi.Category) { c.Location = "/a/" })},
		"begin and end with /":     {kind("http://x#a", func(c *occi.Category) { c.Location = "/a" })},
		"is no type identifier":    {kind("http://x", nil)},
		"has no class":             {kind("http://x#a", func(c *occi.Category) { c.Class = 0 })},
		"has no location":          {kind("http://x#a", func(c *occi.Category) { c.Class, c.Location = occi.Mixin, "" })},
		"has the action":           {kind("http://x#a", func(c *occi.Category) { c.Actions = []occi.TypeID{"http://x#go"} })},
		"has the parent":           {kind("http://x#a", func(c *occi.Category) { c.Parent = "http://x#b" })},
		"descends from itself":     {kind("http://x#a", func(c *occi.Category) { c.Parent = "http://x#a" })},
		"refers to http://x#os_tp": {kind("http://x#a", func(c *occi.Category) { c.Class, c.Depends = occi.Mixin, []occi.TypeID{"http://x#os_tpl"} })},
	} {
		if _, err := occi.NewModel(categories...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; wanted %q", err, want)
		}
	}
}

// TestAccept: the media type of an answer.
func TestAccept(t *testing.T) {
	s := infrastructure(occi.Options{})
	for accept, want := range map[string]string{
		"": "text/plain", "*/*": "text/plain", "text/*": "text/plain", "application/*": "application/occi+json", "text/plain,text/occi": "text/plain",
		"text/occi, text/plain": "text/occi", "text/plain;q=0.1, application/json;q=0.2": "application/json", "application/xml, */*;q=0.1": "text/plain",
		"TEXT/OCCI": "text/occi", "text/occi+plain": "text/occi+plain", "application/xml": "", "text/plain;q=0": "", "text/html,application/xhtml+xml,*/*;q=0.8": "text/plain",
	} {
		w := call(t, s, "GET", "/-/", "Accept: "+accept)
		if got := w.Header().Get("Content-Type"); w.Code == http.StatusOK && got != want || w.Code != http.StatusOK && want != "" {
			t.Errorf("%q gets %d %s, wanted %s", accept, w.Code, got, want)
		}
	}
}

// TestStrict: what is wrong with attributes is told, with the name that was meant.
func TestStrict(t *testing.T) {
	s := infrastructure(occi.Options{})
	for given, want := range map[string]string{
		"occi.compute.core=1":                     "did you mean \"occi.compute.cores\"?",
		`occi.compute.cores="many"`:               "a number is wanted",
		`occi.compute.architecture="arm"`:         "one of x86, x64 is wanted",
		`occi.compute.state="active"`:             "occi.compute.state cannot be set",
		`occi.core.id="1"`:                        "occi.core.id cannot be set",
		`occi.compute.cores="2", occi.core.title`: `has no "="`,
	} {
		if w := call(t, s, "POST", "/compute/", compute, "X-OCCI-Attribute: "+given); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s; wanted %q", given, w.Code, w.Body, want)
		}
	}
	path := created(t, s)
	e := call(t, s, "GET", path).Body.String() // sent back as it is
	if w := call(t, s, "PUT", path, append([]string{"Content-Type: text/plain", ""}, slices.DeleteFunc(strings.Split(e, "\n"), func(l string) bool { return strings.HasPrefix(l, "Link") })...)...); w.Code != http.StatusOK {
		t.Errorf("an entity that is sent back as it is: %d %s", w.Code, w.Body)
	}
}
