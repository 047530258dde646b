package orchestrators

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/occi"
)

const scheme = "http://example.org/occi/sm#"

// A managed service type: its orchestrator is declared, and what it needs is in its manifest as well.
type managed struct {
	term     string
	template string   // its Heat template
	inputs   []string // parameters that are the attributes of the same name, with _ for .
	needs    []need
}

type need struct {
	term   string
	inputs []string // TERM#ATTRIBUTE
}

// url is a template whose output is the URL of a service, made from that of another.
func url(term, of string) string {
	parameter, value := "", "'"+term+"'"
	if of != "" {
		parameter = "parameters: {" + strings.ReplaceAll(of, ".", "_") + ": {type: string, default: none}}\n"
		value = "{str_replace: {template: '" + term + " at X', params: {X: {get_param: " + strings.ReplaceAll(of, ".", "_") + "}}}}"
	}
	return "heat_template_version: 2015-10-15\n" + parameter + "resources:\n  port: {type: OS::Neutron::Port, properties: {network: private}}\noutputs:\n  " + term + ".url: {value: " + value + "}\n"
}

// bundle writes a bundle whose program is started by troupe, and returns its manifest and its folder.
func (m *managed) bundle(t *testing.T, dir, troupe string) (manifest string) {
	t.Helper()
	var depends, needs []string
	for _, n := range m.needs {
		var inputs []string
		for _, in := range n.inputs {
			inputs = append(inputs, fmt.Sprintf("%q", scheme+in))
		}
		depends = append(depends, fmt.Sprintf(`{%q: {"inputs": [%s]}}`, scheme+n.term, strings.Join(inputs, ", ")))
		needs = append(needs, fmt.Sprintf(`{"type": %q, "inputs": [%s]}`, scheme+n.term, strings.Join(inputs, ", ")))
	}
	parameters := make(map[string]string)
	for _, in := range m.inputs {
		parameters[strings.ReplaceAll(in, ".", "_")] = fmt.Sprintf(`"{{ attributes['%s'] | default('none') }}"`, in)
	}
	text := "template: template.yaml\nneeds: [" + strings.Join(needs, ", ") + "]\nparameters:\n"
	if len(parameters) == 0 {
		text = strings.TrimSuffix(text, "parameters:\n")
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		text += "  " + name + ": " + parameters[name] + "\n"
	}
	for name, content := range map[string]string{"data/orchestrator.yaml": text, "data/template.yaml": m.template, "wsgi/application": "#!/bin/sh\nexec " + troupe + " orchestrator run .\n"} {
		file := filepath.Join(dir, m.term, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf(`{"service_type": %q, "service_description": %q, "service_attributes": {"%s.url": "immutable"}, "service_endpoint": "http://sm.example.org:8890/%s/", "depends_on": [%s]}`,
		scheme+m.term, m.term, m.term, m.term, strings.Join(depends, ", "))
}

// manage adds a service manager.
func (s *stage) manage(dir, troupe string, lazy bool, m managed) {
	s.Helper()
	manifest := m.bundle(s.T, dir, troupe)
	if _, err := s.client.Managers().Put(s.Context(), client.PutManager{Manifest: manifest, ManagerOptions: client.ManagerOptions{Bundle: filepath.Join(dir, m.term), Lazy: lazy, MaxPoll: "200ms"}}); err != nil {
		s.Fatal(err)
	}
}

// sm is a client of a service manager.
func (s *stage) sm(term string) *occi.Client {
	return &occi.Client{URL: s.server.URL() + "/hurtle/sm/" + term, InHeaders: true, Header: http.Header{"X-Auth-Token": {s.token}, "X-Tenant-Name": {tenant}}}
}

// create has an instance made and returns its path at its manager.
func (s *stage) create(term string) string {
	s.Helper()
	path, err := s.sm(term).Create(s.Context(), "/", &occi.Entity{Kind: occi.TypeID(scheme + term)})
	if err != nil {
		s.Fatal(err)
	}
	return path
}

// reaches waits until an instance is in a state.
func (s *stage) reaches(term, path, state string) *occi.Entity {
	s.Helper()
	var found *occi.Entity
	s.until(path+" is "+state, func() bool {
		e, err := s.sm(term).Get(s.Context(), path)
		if err != nil {
			return false // its orchestrator may not answer yet
		}
		found = e
		if now := e.Attributes.Text("mcn.service.state"); now == "fail" && state != "fail" {
			s.Fatalf("%s failed: %s", path, e.Attributes.Text("mcn.service.state.message"))
		}
		return e.Attributes.Text("mcn.service.state") == state
	})
	return found
}

// instances are the paths of what a manager has.
func (s *stage) instances(term string) []string {
	s.Helper()
	paths, err := s.sm(term).List(s.Context(), "/"+term+"/", nil, nil)
	if err != nil {
		s.Fatal(err)
	}
	return paths
}

// gone removes an instance, and waits until nothing of any manager, and no stack, is left.
func (s *stage) gone(term, path string, terms ...string) {
	s.Helper()
	if err := s.sm(term).Delete(s.Context(), path); err != nil {
		s.Fatal(err)
	}
	var left []string
	s.Cleanup(func() {
		if s.Failed() {
			s.Log("left: ", left)
		}
	})
	s.until("everything is gone", func() bool {
		left = nil
		for _, other := range append(terms, term) {
			left = append(left, s.instances(other)...)
		}
		for x, err := range s.client.Services().List(s.Context(), client.ServiceFilter{}) {
			if err != nil {
				s.Fatal(err)
			}
			left = append(left, x.Ref()+" "+x.State+" "+x.Reason)
		}
		return len(left) == 0
	})
}

// TestComposition has composed services made through real managers, with real orchestrators that the Cloud Controller starts.
func TestComposition(t *testing.T) {
	s := newStage(t)
	troupe := build(t, "../../cmd/troupe")
	dir := filepath.Join(t.TempDir(), "bundles")
	item := func(id string, f func(s *stage)) { t.Run(id, func(t *testing.T) { f(s.of(t)) }) }
	s.manage(dir, troupe, false, managed{term: "db", template: url("db", "")})
	s.manage(dir, troupe, false, managed{term: "web", template: url("web", "db.url"), inputs: []string{"db.url"}})
	s.manage(dir, troupe, false, managed{term: "front", template: url("front", "web.url"), inputs: []string{"web.url"}})
	item("C1", func(s *stage) {
		s.manage(dir, troupe, false, managed{term: "webshop", template: url("webshop", ""), needs: []need{{term: "db"}, {"web", []string{"db#db.url"}}}})
		path := s.create("webshop")
		e := s.reaches("webshop", path, "provision")
		db, web := s.instances("db"), s.instances("web")
		if len(db) != 1 || len(web) != 1 {
			s.Fatalf("db %v, web %v", db, web)
		}
		s.until("web has what db gives", func() bool {
			e, err := s.sm("web").Get(s.Context(), web[0])
			return err == nil && e.Attributes.Text("web.url") == "web at db"
		})
		var targets []string
		for _, l := range e.Links {
			targets = append(targets, l.Target.Location)
		}
		if all := strings.Join(targets, " "); !strings.Contains(all, db[0]) || !strings.Contains(all, web[0]) {
			s.Errorf("links to %v, not to %s and %s", targets, db[0], web[0])
		}
		s.gone("webshop", path, "db", "web")
	})
	item("C2", func(s *stage) {
		s.manage(dir, troupe, true, managed{term: "lonely", template: url("lonely", ""), needs: []need{{term: "nobody"}}})
		path := s.create("lonely")
		if why := s.reaches("lonely", path, "fail").Attributes.Text("mcn.service.state.message"); !strings.Contains(why, scheme+"nobody") {
			s.Error(why)
		}
		s.gone("lonely", path)
	})
	item("C3", func(s *stage) {
		s.manage(dir, troupe, false, managed{term: "wanting", template: url("wanting", ""), needs: []need{{term: "db"}, {"web", []string{"db#db.colour"}}}})
		path := s.create("wanting")
		if why := s.reaches("wanting", path, "fail").Attributes.Text("mcn.service.state.message"); !strings.Contains(why, scheme+"db") || !strings.Contains(why, "db.colour") {
			s.Error(why)
		}
		s.gone("wanting", path, "db", "web")
	})
	item("C4", func(s *stage) {
		s.manage(dir, troupe, false, managed{term: "broken", template: strings.Replace(url("broken", ""), "OS::Neutron::Port", "OS::Neutron::Prot", 1)})
		s.manage(dir, troupe, false, managed{term: "unlucky", template: url("unlucky", ""), needs: []need{{term: "db"}, {term: "broken"}}})
		path := s.create("unlucky")
		s.reaches("unlucky", path, "fail")
		s.gone("unlucky", path, "db", "broken")
	})
	item("C5", func(s *stage) {
		path := s.create("webshop")
		s.until("its dependencies are asked for", func() bool { return len(s.instances("db"))+len(s.instances("web")) > 0 })
		s.gone("webshop", path, "db", "web")
	})
	item("C6", func(s *stage) {
		s.manage(dir, troupe, false, managed{term: "chain", template: url("chain", ""), needs: []need{{"front", []string{"web#web.url"}}, {"web", []string{"db#db.url"}}, {term: "db"}}})
		path := s.create("chain")
		s.reaches("chain", path, "provision")
		front := s.instances("front")
		s.until("the last has what the first gives", func() bool {
			e, err := s.sm("front").Get(s.Context(), front[0])
			return err == nil && e.Attributes.Text("front.url") == "front at web at db"
		})
		s.gone("chain", path, "db", "web", "front")
	})
	item("C7", func(s *stage) {
		path := s.create("webshop")
		s.until("its dependencies are being deployed", func() bool {
			shown := 0
			for _, term := range []string{"db", "web"} {
				list, err := s.client.Managers().Instances(s.Context(), term)
				if err != nil {
					s.Fatal(err)
				}
				for _, i := range list {
					if i.State != "initialise" {
						shown++
					}
				}
			}
			return shown == 2
		})
		s.restart()
		s.reaches("webshop", path, "provision")
		s.gone("webshop", path, "db", "web")
	})
}

// TestPython has the orchestrator in Python started by the Cloud Controller and driven by a service manager.
func TestPython(t *testing.T) {
	if _, err := os.Stat("/usr/bin/python3"); err != nil {
		t.Skip("needs python3, which scripts/setup installs")
	}
	s := newStage(t)
	dir := filepath.Join(t.TempDir(), "shop")
	if err := os.MkdirAll(filepath.Join(dir, "wsgi"), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"python/orchestrator.py": "wsgi/application", "python/template.json": "wsgi/template.json"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	manifest := fmt.Sprintf(`{"service_type": "%sshop", "service_description": "Shop", "service_attributes": {"shop.address": "immutable", "shop.theme": ""}, "service_endpoint": "http://sm.example.org:8890/shop/", "depends_on": []}`, scheme)
	if _, err := s.client.Managers().Put(t.Context(), client.PutManager{Manifest: manifest, ManagerOptions: client.ManagerOptions{Bundle: dir, MaxPoll: "200ms"}}); err != nil {
		t.Fatal(err)
	}
	path := s.create("shop")
	e := s.reaches("shop", path, "provision")
	if !strings.HasPrefix(e.Attributes.Text("shop.address"), "127.") && !strings.HasPrefix(e.Attributes.Text("shop.address"), "10.") {
		t.Errorf("the shop is at %q", e.Attributes.Text("shop.address"))
	}
	var changed occi.Attributes
	changed.Set("shop.theme", "dark")
	if _, err := s.sm("shop").Update(t.Context(), path, scheme+"shop", occi.Change{Attributes: changed}); err != nil {
		t.Fatal(err)
	}
	if e, err := s.sm("shop").Get(t.Context(), path); err != nil || e.Attributes.Text("shop.theme") != "dark" {
		t.Errorf("the theme does not change: %v", err)
	}
	s.gone("shop", path)
}
