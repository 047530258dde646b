package hurtle_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/troupe-dev/troupe/client"
)

// Every item of the service manager's acceptance list is a test of its name, over the wire, with orchestrators that are programs.
func TestServiceManager(t *testing.T) {
	s := newStage(t)
	s.manage(client.PutManager{Parameters: `{
		"initialise": [{"name": "never.sent", "type": "string", "value": "x"}],
		"activate":   [{"name": "activate.string", "type": "string", "value": "a value"}, {"name": "activate.float", "type": "number", "value": 0.11}],
		"deploy":     [{"name": "deploy.a", "type": "string", "value": "d"}],
		"provision":  [{"name": "provision.a", "type": "number", "value": 7}],
		"update":     [{"name": "update.a", "type": "string", "value": "u"}],
		"destroy":    [{"name": "destroy.a", "type": "string", "value": "z"}]}`})
	for name, f := range map[string]func(*testing.T, *stage){"M1": m1, "M3": m3, "M4": m4, "M5": m5, "M6": m6, "M7": m7, "M8": m8, "M9": m9, "M11": m11, "M12": m12} {
		t.Run(name, func(t *testing.T) { f(t, s.in(t)) })
	}
	t.Run("M2", m2)
	t.Run("M10", m10)
}

// TestEveryItem: an item of the list without a test fails.
func TestEveryItem(t *testing.T) {
	text, err := os.ReadFile("manager_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8", "M9", "M10", "M11", "M12"} {
		run := regexp.MustCompile(`(?:"` + id + `": ` + strings.ToLower(id) + `\b|t\.Run\("` + id + `", ` + strings.ToLower(id) + `\))`)
		f := regexp.MustCompile(`(?m)^func ` + strings.ToLower(id) + `\(`)
		if !run.Match(text) || !f.Match(text) {
			t.Errorf("%s has no test", id)
		}
	}
}

func m1(t *testing.T, s *stage) {
	for _, url := range []string{s.sm() + "/webshop/", s.sm() + "/-/", s.URL() + "/hurtle/sm/webshop/webshop/"} {
		for what, c := range map[string]struct {
			status  int
			headers []string
		}{
			"no token":              {400, []string{"bare", "", "X-Tenant-Name", "demo"}},
			"no tenant":             {400, []string{"X-Auth-Token", s.token}},
			"a bad token":           {401, []string{"X-Auth-Token", "tok-123", "X-Tenant-Name", "demo"}},
			"another's tenant":      {401, []string{"X-Auth-Token", s.token, "X-Tenant-Name", "other"}},
			"a tenant of nobody's":  {401, []string{"X-Auth-Token", s.token, "X-Tenant-Name", "nowhere"}},
			"a token of the tenant": {200, []string{"X-Auth-Token", s.token, "X-Tenant-Name", "demo"}},
		} {
			r := s.send("GET", url, c.headers...)
			if r.status != c.status || r.status >= 400 && !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
				t.Errorf("%s, %s: %d %s", url, what, r.status, r.body)
			}
			if r.status == 401 && r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s, %s: without a challenge", url, what)
			}
		}
	}
}

func m2(t *testing.T) {
	s := newStage(t)
	manifest := func(term, needs string) client.PutManager {
		return client.PutManager{Manifest: strings.NewReplacer("webshop", term, `"depends_on": []`, `"depends_on": [`+needs+`]`).Replace(webshop)}
	}
	const db, web = `{"http://example.org/occi/sm#db": {"inputs": []}}`, `{"http://example.org/occi/sm#web": {"inputs": ["http://example.org/occi/sm#db#shop.url"]}}`
	if _, err := s.client().Managers().Put(t.Context(), client.PutManager{Manifest: manifest("shop", db).Manifest, ManagerOptions: client.ManagerOptions{Bundle: s.bundle}}); err == nil || !strings.Contains(err.Error(), "#db") {
		t.Errorf("a manager whose needs are not there: %v", err)
	}
	s.manage(manifest("db", ""))
	s.manage(manifest("web", ""))
	s.manage(manifest("shop", db+", "+web))
	const rel = `rel="http://example.org/occi/sm#db http://example.org/occi/sm#web http://schemas.ogf.org/occi/core#resource"`
	root := s.URL() + "/hurtle/sm/shop"
	for _, path := range []string{"/-/", "/.well-known/org/ogf/occi/-/"} {
		r := s.send("GET", root+path)
		if r.status != 200 || !strings.Contains(r.body, rel) || !strings.Contains(r.body, `Category: link; scheme="http://schemas.ogf.org/occi/core#"; class="kind"`) || strings.Count(r.body, "Category:") != 2 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := s.send("GET", root+"/-/", "Accept", "application/occi+json"); !strings.Contains(strings.Join(strings.Fields(r.body), ""),
		`"related":["http://example.org/occi/sm#db","http://example.org/occi/sm#web","http://schemas.ogf.org/occi/core#resource"]`) {
		t.Error(r.body)
	}
	if r := s.send("GET", root+"/-/", "Accept", "text/uri-list"); r.status != 400 {
		t.Error(r.status)
	}
	// A circle is refused, and changes nothing.
	_, err := s.client().Managers().Put(t.Context(), client.PutManager{Manifest: manifest("db", `{"http://example.org/occi/sm#shop": {"inputs": []}}`).Manifest, ManagerOptions: client.ManagerOptions{Bundle: s.bundle}})
	if err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("a circle: %v", err)
	}
}

func m3(t *testing.T, s *stage) {
	var urls []string
	for _, path := range []string{"/webshop/", "/", ""} {
		r := s.send("POST", s.sm()+path, "Content-Type", "text/occi", "Category", shopCategory)
		if r.status != 201 || r.body != "OK" || !regexp.MustCompile(`^`+regexp.QuoteMeta(s.sm())+`/webshop/sowebs[0-9a-f]{16}$`).MatchString(r.header.Get("Location")) {
			t.Fatalf("POST %q: %d %s, at %s", path, r.status, r.body, r.header.Get("Location"))
		}
		urls = append(urls, r.header.Get("Location"))
	}
	if r := s.send("POST", s.sm()+"/webshop/", "Content-Type", "text/occi"); r.status != 400 {
		t.Errorf("without a kind: %d %s", r.status, r.body)
	}
	if r := s.send("POST", s.sm()+"/webshop/", "Content-Type", "text/occi", "Category", `shop; scheme="http://example.org/occi/sm#"`); r.status != 400 || !strings.Contains(r.body, "http://example.org/occi/sm#shop") {
		t.Errorf("an unknown kind: %d %s", r.status, r.body)
	}
	list := s.send("GET", s.sm()+"/webshop/")
	for _, url := range urls {
		if !strings.Contains(list.body, "X-OCCI-Location: "+url) {
			t.Errorf("%s is not listed: %s", url, list.body)
		}
		s.remove(url)
	}
}

func m4(t *testing.T, s *stage) {
	gate := s.hold("GET /")
	url, id := s.create(`shop.theme="dark"`)
	r := s.send("GET", url)
	if got := r.attributes(); r.status != 200 || got["mcn.service.state"] != "initialise" || !strings.HasSuffix(got["occi.so.url"], "/hurtle/cc/app/"+id) || got["occi.core.id"] != id || got["shop.theme"] != "dark" {
		t.Error(r.status, r.body)
	}
	gate()
	s.remove(url)
}

func m5(t *testing.T, s *stage) {
	var mu sync.Mutex
	seen := []string{}
	stack := "CREATE_IN_PROGRESS"
	s.director.direct(func(c stubCall) (o order) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, c.Request)
		switch {
		case strings.HasSuffix(c.Request, "action=deploy") || c.Request == "GET /orchestrator/default":
			o.Stack = stack
		}
		return o
	})
	hold := s.hold("GET /")
	url, _ := s.create("")
	s.until(url, "mcn.service.state", "initialise")
	hold()
	got := s.until(url, "mcn.service.state", "activate") // and so it stays while the stack is being made
	if got["occi.mcn.stack.state"] == "CREATE_COMPLETE" {
		t.Error(got)
	}
	provision := s.hold("POST /orchestrator/default?action=provision")
	mu.Lock()
	stack = "CREATE_COMPLETE"
	mu.Unlock()
	s.until(url, "mcn.service.state", "deploy")
	provision()
	s.until(url, "mcn.service.state", "provision")
	mu.Lock()
	order := slices.DeleteFunc(slices.Clone(seen), func(r string) bool { return r == "GET /orchestrator/default" })
	mu.Unlock()
	want := []string{"GET /", "PUT /orchestrator/default", "POST /orchestrator/default?action=deploy", "POST /orchestrator/default?action=provision"}
	if !slices.Equal(slices.Compact(order), want) {
		t.Errorf("the orchestrator was called %q", order)
	}
	s.director.direct(nil)
	s.remove(url)
}

func m6(t *testing.T, s *stage) {
	url, id := s.create(`shop.theme="dark", size=5`)
	s.until(url, "mcn.service.state", "provision")
	if r := s.send("POST", url, "Content-Type", "text/occi", "X-OCCI-Attribute", `more="1"`); r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	s.remove(url)
	for request, want := range map[string]string{
		"PUT ": `activate.string="a value", activate.float=0.11, shop.theme="dark", size=5`,
		"POST /orchestrator/default?action=deploy":    `deploy.a="d", shop.theme="dark", size=5`,
		"POST /orchestrator/default?action=provision": `provision.a=7, shop.theme="dark", size=5`,
		"DELETE ": `destroy.a="z", shop.theme="dark", size=5`,
	} {
		calls := s.director.of(id, request)
		if len(calls) != 1 || unquoted(calls[0].Attributes) != unquoted(want) {
			t.Errorf("%s: %+v, want %s", request, calls, want)
		}
	}
	for _, c := range s.director.of(id, "") {
		if strings.Contains(c.Attributes, "never.sent") || c.Tenant != "demo" || c.Token == "" || c.Token == s.token && strings.HasPrefix(c.Request, "PUT") {
			t.Errorf("%+v", c)
		}
	}
	env := s.director.of(id, "PUT ")[0].Env
	if env["DC_NAME"] != id || env["OPENSHIFT_REPO_DIR"] != s.bundle || env["DESIGN_URI"] != s.URL()+"/keystone/v2.0" || !strings.HasSuffix(env["APP_URL"], ":8080/orchestrator/default") || env["TROUPE_DATA"] == "" {
		t.Error(env)
	}
}

// unquoted is a header without the quotes of values, which mean nothing.
func unquoted(header string) string { return strings.ReplaceAll(header, `"`, "") }

func m7(t *testing.T, s *stage) {
	url, id := s.create(`shop.theme="dark"`)
	s.until(url, "mcn.service.state", "provision")
	r := s.send("POST", url, "Content-Type", "text/occi", "X-OCCI-Attribute", `shop.theme="light", note="a, b = c"`)
	if got := r.attributes(); r.status != 200 || got["mcn.service.state"] != "update" || got["shop.theme"] != "light" {
		t.Fatal(r.status, r.body)
	}
	update := func() []stubCall {
		return slices.DeleteFunc(s.director.of(id, "POST /orchestrator/default"), func(c stubCall) bool { return strings.Contains(c.Request, "action") })
	}
	if calls := update(); len(calls) != 1 || unquoted(calls[0].Attributes) != `update.a=u, shop.theme=light, note=a, b = c` {
		t.Errorf("%+v", calls)
	}
	// An update that says nothing is passed on, too.
	if r := s.send("POST", url, "Content-Type", "text/occi", "X-OCCI-Attribute", ""); r.status != 200 || len(update()) != 2 {
		t.Error(r.status, r.body, len(update()))
	}
	got := s.until(url, "mcn.service.state", "update")
	if got["note"] != "a, b = c" || got["shop.theme"] != "light" {
		t.Error(got)
	}
	// What the orchestrator refuses is the client's to know, and changes nothing.
	s.director.direct(func(c stubCall) (o order) {
		if c.Request == "POST /orchestrator/default" {
			o.Status, o.Body = 409, "no such theme"
		}
		return o
	})
	if r := s.send("POST", url, "Content-Type", "text/occi", "X-OCCI-Attribute", `shop.theme="none"`); r.status != 502 || !strings.Contains(r.body, "no such theme") {
		t.Error(r.status, r.body)
	}
	s.director.direct(nil)
	if r := s.send("PUT", url, "Content-Type", "text/occi", "Category", shopCategory); r.status != 501 {
		t.Errorf("PUT: %d %s", r.status, r.body)
	}
	if r := s.send("GET", url); r.attributes()["shop.theme"] != "light" {
		t.Error(r.body)
	}
	s.remove(url)
}

func m8(t *testing.T, s *stage) {
	url, _ := s.create("")
	other := []string{"X-Auth-Token", s.other, "X-Tenant-Name", "other"}
	if r := s.send("GET", s.sm()+"/webshop/", other...); r.status != 200 || r.body != "" {
		t.Errorf("list: %d %q", r.status, r.body)
	}
	for _, method := range []string{"GET", "DELETE", "POST"} {
		if r := s.send(method, url, append(other, "Content-Type", "text/occi")...); r.status != 404 {
			t.Errorf("%s: %d %s", method, r.status, r.body)
		}
	}
	s.until(url, "mcn.service.state", "provision")
	s.remove(url)
}

func m9(t *testing.T, s *stage) {
	url, id := s.create("")
	got := s.until(url, "mcn.service.state", "provision")
	cc := basic("ann", "ann-password")
	if r := s.send("GET", got["occi.so.url"], "bare", "", "Authorization", cc); r.status != 200 {
		t.Fatal(r.status, r.body)
	}
	hold := s.hold("DELETE /orchestrator/default")
	if r := s.send("DELETE", url); r.status != 200 || r.body != "OK" {
		t.Fatal(r.status, r.body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if r := s.send(method, url); r.status != 404 {
			t.Errorf("%s afterwards: %d", method, r.status)
		}
	}
	if r := s.send("GET", s.sm()+"/webshop/"); strings.Contains(r.body, id) {
		t.Error(r.body)
	}
	if r := s.send("GET", url+"?tombstone=1"); r.status != 200 || r.attributes()["mcn.service.state"] != "destroy" {
		t.Errorf("tombstone: %d %s", r.status, r.body)
	}
	// The program goes after the orchestrator has disposed.
	if r := s.send("GET", got["occi.so.url"], "bare", "", "Authorization", cc); r.status != 200 {
		t.Errorf("the program went first: %d", r.status)
	}
	hold()
	s.eventually("the program is gone", func() bool { return s.send("GET", got["occi.so.url"], "bare", "", "Authorization", cc).status == 404 })
	s.eventually("the tombstone is gone", func() bool { return s.send("GET", url+"?tombstone=1").status == 404 })
	if calls := s.director.of(id, "DELETE"); len(calls) != 1 {
		t.Errorf("%+v", calls)
	}
}

func m10(t *testing.T) {
	s := newStage(t)
	refused, broken := 0, 2
	cc := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused < broken {
			refused++
			w.WriteHeader(503)
			return
		}
		w.Header().Set("Content-Type", "text/occi")
		switch {
		case r.Header.Get("Authorization") != basic("cloud", "secret"):
			w.WriteHeader(401)
		case r.URL.Path == "/-/":
			w.Header().Set("Category", `app; scheme="http://schemas.ogf.org/occi/platform#"; class="kind"; location="/app/"; attributes="occi.app.name{required} occi.app.image{required} occi.app.env occi.app.state{immutable}"`)
		case r.Method == "POST" && r.URL.Path == "/app/":
			attributes := r.Header.Get("X-Occi-Attribute")
			if !strings.Contains(attributes, `occi.app.image="acme/webshop-so"`) || !strings.Contains(attributes, `occi.app.env="DESIGN_URI=`) || !strings.HasPrefix(r.Header.Get("Category"), "app;") {
				w.WriteHeader(400)
				return
			}
			_, rest, _ := strings.Cut(attributes, `occi.app.name="`)
			name, _, _ := strings.Cut(rest, `"`)
			w.Header().Set("Location", "http://"+r.Host+"/app/"+name)
			w.WriteHeader(201)
		case r.Method == "GET":
			w.Header().Set("Category", `app; scheme="http://schemas.ogf.org/occi/platform#"; class="kind"`)
			w.Header().Set("X-OCCI-Attribute", `occi.app.url="so.apps.example.org", occi.app.state="inactive"`)
		}
		_, _ = w.Write([]byte("OK"))
	}))
	t.Cleanup(cc.Close)
	s.manage(client.PutManager{ManagerOptions: client.ManagerOptions{Program: "acme/webshop-so", CloudURL: cc.URL + "/", CloudUser: "cloud", Wait: "5ms", Attempts: 5}, CloudPassword: "secret"})
	url, id := s.create("")
	if got := s.send("GET", url).attributes(); refused != 2 || got["mcn.service.state"] != "initialise" || got["occi.so.url"] != cc.URL+"/app/"+id {
		t.Errorf("after %d refusals: %v", refused, got)
	}
	s.remove(url)
	// One that does not come back, or says no, leaves no instance behind.
	broken = 1 << 30
	r := s.send("POST", s.sm()+"/webshop/", "Content-Type", "text/occi", "Category", shopCategory)
	if r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Error(r.status, r.body)
	}
	broken = 0
	s.manage(client.PutManager{ManagerOptions: client.ManagerOptions{Program: "acme/other", CloudURL: cc.URL, CloudUser: "cloud", Wait: "5ms", Attempts: 5}, CloudPassword: "secret"})
	if r := s.send("POST", s.sm()+"/webshop/", "Content-Type", "text/occi", "Category", shopCategory); r.status != 502 {
		t.Error(r.status, r.body)
	}
	cc.Close()
	if r := s.send("POST", s.sm()+"/webshop/", "Content-Type", "text/occi", "Category", shopCategory); r.status != 503 {
		t.Error(r.status, r.body)
	}
	if r := s.send("GET", s.sm()+"/webshop/"); r.body != "" {
		t.Errorf("there are instances: %s", r.body)
	}
}

func m11(t *testing.T, s *stage) {
	s.director.direct(func(c stubCall) (o order) {
		if c.Request == "GET /orchestrator/default" {
			o.Stack = "CREATE_FAILED"
		}
		return o
	})
	url, id := s.create("")
	got := s.until(url, "mcn.service.state", "fail")
	if !strings.Contains(got["mcn.service.state.message"], "CREATE_FAILED") {
		t.Error(got)
	}
	if r := s.send("POST", url, "Content-Type", "text/occi", "X-OCCI-Attribute", `a="b"`); r.status != 400 {
		t.Errorf("update: %d %s", r.status, r.body)
	}
	s.director.direct(nil)
	s.remove(url)
	if len(s.director.of(id, "POST /orchestrator/default?action=provision")) != 0 || len(s.director.of(id, "DELETE")) != 1 {
		t.Errorf("%+v", s.director.of(id, ""))
	}
}

func m12(t *testing.T, s *stage) {
	var urls, ids [2]string
	for n, attributes := range []string{`only.one="1"`, `only.two="2"`} {
		urls[n], ids[n] = s.create(attributes)
	}
	for n, own := range []string{"only.one", "only.two"} {
		other := []string{"only.two", "only.one"}[n]
		got := s.until(urls[n], "mcn.service.state", "provision")
		if got[own] == "" || got[other] != "" {
			t.Errorf("%v", got)
		}
		for _, c := range s.director.of(ids[n], "") {
			if strings.Contains(c.Attributes, other) || (strings.HasPrefix(c.Request, "PUT") || strings.Contains(c.Request, "action=")) && strings.Count(c.Attributes, own) != 1 {
				t.Errorf("%+v", c)
			}
		}
		for name := range got { // the provider's parameters are nobody's business
			if strings.HasPrefix(name, "activate.") || strings.HasPrefix(name, "deploy.") {
				t.Errorf("%s is shown: %v", name, got)
			}
		}
	}
	s.remove(urls[0])
	s.remove(urls[1])
}

// A service that is composed of others shows them by links, one each, however often it is read.
func TestLinks(t *testing.T) {
	s := newStage(t)
	s.manage(client.PutManager{})
	s.director.direct(func(stubCall) order {
		return order{Outputs: map[string]string{"mcn.so.svcinsts": "http://sm.example.org:8890/db/sodb1 http://sm.example.org:7070/hurtle/sm/web/web/soweb1"}}
	})
	url, id := s.create("")
	s.until(url, "mcn.service.state", "provision")
	r := s.send("GET", url)
	links := regexp.MustCompile(`(?m)^Link: .*$`).FindAllString(r.body, -1)
	want := regexp.MustCompile(`^Link: </db/sodb1>; rel="http://schemas.ogf.org/occi/core#resource"; self="(/link/[0-9a-f-]{36})"; category="http://schemas.ogf.org/occi/core#link"; ` +
		`occi.core.id="/link/[0-9a-f-]{36}"; occi.core.source="/webshop/` + id + `"; occi.core.target="/db/sodb1"$`)
	if len(links) != 2 || !want.MatchString(links[0]) || !strings.Contains(links[1], "</web/soweb1>") || strings.Contains(r.body, "svcinsts") {
		t.Fatalf("%q\n%s", links, r.body)
	}
	self := want.FindStringSubmatch(links[0])[1]
	if r := s.send("GET", s.sm()+self); r.status != 200 || r.attributes()["occi.core.target"] != "/db/sodb1" {
		t.Error(r.status, r.body)
	}
	if r := s.send("GET", s.sm()+"/db/sodb1"); r.status != 200 || r.attributes()["mcn.sm.endpoint"] != "http://sm.example.org:8890/db/sodb1" {
		t.Error(r.status, r.body)
	}
	if r := s.send("GET", s.sm()+"/db/sodb1", "X-Auth-Token", s.other, "X-Tenant-Name", "other"); r.status != 404 {
		t.Error(r.status)
	}
	if r := s.send("DELETE", s.sm()+self); r.status != 404 {
		t.Error(r.status)
	}
	s.remove(url)
}
