package occi_test

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/occi"
)

// cluster deploys a service of two roles on a network, as a user of another face would.
func (s *stage) cluster(who *identity.Caller, least int) uint64 {
	s.t.Helper()
	machine := service.Machine{Name: "default", Implementations: []service.Implementation{{Driver: "sim"}}, CPUs: 2, Memory: 1 << 30}
	role := service.RoleSpec{Name: "web", Cardinality: 2, Min: &least, Machine: machine, Heal: service.HealAuto, Identity: service.New, Needs: []string{"back", "data"}}
	spec := &service.Spec{Name: "shop", Strategy: service.Straight, Roles: []service.RoleSpec{role}, Resources: []service.ResourceSpec{
		{Name: "back", Kind: "network", Driver: "sim", Options: map[string]any{"cidr": "10.0.0.0/8"}},
		{Name: "data", Kind: "volume", Driver: "sim", Options: map[string]any{"size": 2.5}},
	}}
	id, err := s.Control.Deploy(s.t.Context(), who, control.Deployment{Spec: spec})
	if err != nil {
		s.t.Fatal(err)
	}
	s.UntilRunning(id)
	return id
}

func (s *stage) caller(name string) *identity.Caller {
	s.t.Helper()
	u, err := s.Directory.UserNamed(name)
	if err != nil {
		s.t.Fatal(err)
	}
	who, err := s.Directory.As(u.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	return who
}

func (s *stage) get(c *occi.Client, path string) *occi.Entity {
	s.t.Helper()
	e, err := c.Get(s.t.Context(), path)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func (s *stage) create(c *occi.Client, e *occi.Entity) string {
	s.t.Helper()
	path, err := c.Create(s.t.Context(), "/", e)
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

func compute(attributes ...occi.Attribute) *occi.Entity {
	return &occi.Entity{Kind: occi.Compute, Attributes: attributes}
}

func wantStatus(t testing.TB, err error, status int) {
	t.Helper()
	if err == nil || occi.StatusOf(err) != status {
		t.Errorf("%v: the status is %d, wanted %d", err, occi.StatusOf(err), status)
	}
}

// TestService: a service of another face is shown with its instances, what they need, and the links between them.
func TestService(t *testing.T) {
	s := newStage(t, "/occi", sim.Options{})
	id := s.cluster(s.caller("ann"), 1)
	c := s.client("ann")
	paths, err := c.List(t.Context(), "/", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/network/sim", "/network/1-back", "/storage/1-data", "/compute/1-1", "/networkinterface/1-1.back.0", "/storagelink/1-1.data.0",
		"/compute/1-2", "/networkinterface/1-2.back.0", "/storagelink/1-2.data.0"}
	if id != 1 || !slices.Equal(paths, want) {
		t.Errorf("service %d is %v, wanted %v", id, paths, want)
	}
	e := s.get(c, "/compute/1-1")
	for name, value := range map[string]string{occi.AttrTitle: "shop/web-0", "occi.compute.hostname": "web-0", "occi.compute.cores": "2", "occi.compute.memory": "1", "occi.compute.state": "active"} {
		if got := e.Attributes.Text(name); got != value {
			t.Errorf("%s is %q, wanted %q", name, got, value)
		}
	}
	if len(e.Links) != 2 || e.Links[0].Target.Location != "/network/1-back" || !strings.HasPrefix(e.Links[0].Attributes.Text("occi.networkinterface.address"), "10.") {
		t.Errorf("links are %v", e.Links)
	}
	if n := s.get(c, "/network/1-back"); n.Attributes.Text("occi.network.address") != "10.0.0.0/8" || !n.Has(occi.IPNetwork) {
		t.Errorf("the network is %v", n)
	}
	if v := s.get(c, "/storage/1-data"); v.Attributes.Text("occi.storage.size") != "2.5" || v.Attributes.Text("occi.storage.state") != "online" {
		t.Errorf("the volume is %v", v)
	}
	for _, path := range []string{"/compute/1", "/compute/1-3", "/compute/01-1", "/compute/1-01", "/compute/+1-1", "/network/1", "/networkinterface/1-1.back.1", "/networkinterface/1-1.x.0", "/storage/1-back"} {
		_, err := c.Get(t.Context(), path)
		wantStatus(t, err, http.StatusNotFound)
	}
}

// TestRemoveFromService: an instance of a bigger service makes its role smaller, within the role's bounds; what the service is made of stays.
func TestRemoveFromService(t *testing.T) {
	s := newStage(t, "", sim.Options{})
	id := s.cluster(s.caller("ann"), 1)
	c := s.client("ann")
	if err := c.Delete(t.Context(), "/compute/1-2"); err != nil {
		t.Fatal(err)
	}
	s.Until(id, "smaller", func(x *service.Service) bool { return x.State == service.Running && x.Len() == 1 })
	_, err := c.Get(t.Context(), "/compute/1-2")
	wantStatus(t, err, http.StatusNotFound)
	wantStatus(t, c.Delete(t.Context(), "/compute/1-1"), http.StatusConflict)
	wantStatus(t, c.Delete(t.Context(), "/network/1-back"), http.StatusConflict)
	wantStatus(t, c.Delete(t.Context(), "/network/sim"), http.StatusForbidden)
	wantStatus(t, c.Delete(t.Context(), "/networkinterface/1-1.back.0"), http.StatusForbidden)
	if got := s.get(c, "/compute/1-1").Attributes.Text("occi.compute.state"); got != "active" {
		t.Errorf("the other one is %s", got)
	}
}

// TestRestart: what the face keeps of its own is there after a restart.
func TestRestart(t *testing.T) {
	s := newStage(t, "", sim.Options{})
	c := s.client("ann")
	u := s.create(c, compute(occi.Attribute{Name: occi.AttrTitle, Value: "front"}))
	n := s.create(c, &occi.Entity{Kind: occi.Network, Attributes: occi.Attributes{{Name: "occi.network.label", Value: "back"}}})
	l := s.create(c, &occi.Entity{Kind: occi.NetworkInterface, Source: occi.Reference{Location: u}, Target: occi.Reference{Location: n},
		Attributes: occi.Attributes{{Name: "occi.networkinterface.interface", Value: "eth1"}}})
	s.settle(t)
	mixin := occi.Category{ID: "http://example.org/m#t", Class: occi.Mixin, Location: "/m/"}
	if err := c.Define(t.Context(), mixin); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Update(t.Context(), u, occi.Compute, occi.Change{Add: []occi.TypeID{mixin.ID}, Attributes: occi.Attributes{{Name: "occi.compute.hostname", Value: "h1"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Update(t.Context(), l, occi.NetworkInterface, occi.Change{Attributes: occi.Attributes{{Name: "occi.networkinterface.mac", Value: "02:00:00:00:00:01"}}}); err != nil {
		t.Fatal(err)
	}
	s.url = s.mount("")
	c = s.client("ann")
	e := s.get(c, u)
	if e.Attributes.Text(occi.AttrTitle) != "front" || e.Attributes.Text("occi.compute.hostname") != "h1" || !e.Has(mixin.ID) {
		t.Errorf("the compute is %v", e)
	}
	link := s.get(c, l)
	if link.Source.Location != u || link.Target.Location != n || link.Attributes.Text("occi.networkinterface.interface") != "eth1" || link.Attributes.Text("occi.networkinterface.mac") == "" {
		t.Errorf("the link is %v", link)
	}
	if state := link.Attributes.Text("occi.networkinterface.state"); state != "inactive" {
		t.Errorf("a link that no back end has made is %s", state)
	}
	for _, path := range []string{u, n} {
		if err := c.Delete(t.Context(), path); err != nil {
			t.Fatal(err)
		}
	}
	s.url = s.mount("")
	c = s.client("ann")
	_, err := c.Get(t.Context(), l)
	wantStatus(t, err, http.StatusNotFound)
	if paths, err := c.List(t.Context(), "/m/", nil, nil); err != nil || len(paths) > 0 {
		t.Errorf("the mixin is on %v, %v", paths, err)
	}
}

// TestForget: what was noted of services that other faces have removed is forgotten at the next start.
func TestForget(t *testing.T) {
	s := newStage(t, "", sim.Options{})
	c := s.client("ann")
	u, n := s.create(c, compute()), s.create(c, &occi.Entity{Kind: occi.Network})
	s.create(c, &occi.Entity{Kind: occi.NetworkInterface, Source: occi.Reference{Location: u}, Target: occi.Reference{Location: n}})
	s.settle(t)
	if _, err := c.Update(t.Context(), u, occi.Compute, occi.Change{Attributes: occi.Attributes{{Name: occi.AttrTitle, Value: "x"}}}); err != nil {
		t.Fatal(err)
	}
	count := func() (all int) {
		t.Helper()
		if err := s.Control.Notes(t.Context(), "occi", func(string, func(any) error) error { all++; return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got := count(); got != 2 {
		t.Errorf("%d notes, wanted the title and the link", got)
	}
	if _, err := s.Control.Order(t.Context(), s.caller("ann"), 1, service.Command{Undeploy: &service.Undeploy{Remove: true}}); err != nil {
		t.Fatal(err)
	}
	s.UntilGone(1)
	if paths, err := c.List(t.Context(), "/networkinterface/", nil, nil); err != nil || len(paths) != 0 {
		t.Errorf("links are %v, %v", paths, err)
	}
	s.mount("")
	if got := count(); got != 0 {
		t.Errorf("%d notes are left", got)
	}
}

// TestTemplates: machine definitions are OS templates for those who may use them.
func TestTemplates(t *testing.T) {
	s := newStage(t, "", sim.Options{KeepRequests: true})
	c := s.client("ann")
	put := func(name string, bits identity.Bits) occi.TypeID {
		t.Helper()
		m := service.Machine{Implementations: []service.Implementation{{Driver: "sim", Options: map[string]any{"print": name}}}, CPUs: 1}
		if _, err := s.Control.PutMachine(t.Context(), s.Root(), name, m, bits); err != nil {
			t.Fatal(err)
		}
		return occi.TypeID("http://schemas.troupe.dev/occi/infrastructure/os_tpl#" + name)
	}
	web, hidden := put("web", 0o644), put("hidden", 0o600)
	model, err := c.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if model.Find(web) == nil || model.Find(hidden) != nil {
		t.Errorf("templates are %v", model.Under(occi.OSTemplate))
	}
	u := s.create(c, &occi.Entity{Kind: occi.Compute, Mixins: []occi.TypeID{web}, Attributes: occi.Attributes{{Name: "occi.compute.cores", Value: 4}, {Name: "occi.compute.hostname", Value: "w1"}}})
	s.settle(t)
	if e := s.get(c, u); !e.Has(web) || e.Attributes.Text("occi.compute.cores") != "4" {
		t.Errorf("the compute is %v", e)
	}
	if paths, err := c.List(t.Context(), model.Find(web).Location, nil, nil); err != nil || !slices.Equal(paths, []string{u}) {
		t.Errorf("with the template there are %v, %v", paths, err)
	}
	if r, ok := s.Cloud.Request("1-1-1"); !ok || r.CPUs != 4 || r.Options["print"] != "web" || !strings.Contains(r.Name, "w1") {
		t.Errorf("the back end was asked for %+v", r)
	}
	_, err = c.Create(t.Context(), "/compute/", &occi.Entity{Kind: occi.Compute, Mixins: []occi.TypeID{hidden}})
	wantStatus(t, err, http.StatusBadRequest)
	_, err = c.Create(t.Context(), "/compute/", &occi.Entity{Kind: occi.Compute, Mixins: []occi.TypeID{web, "http://schemas.troupe.dev/occi/infrastructure/os_tpl#default"}})
	wantStatus(t, err, http.StatusBadRequest)
	_, err = c.Update(t.Context(), u, occi.Compute, occi.Change{Add: []occi.TypeID{"http://schemas.troupe.dev/occi/infrastructure/os_tpl#default"}})
	wantStatus(t, err, http.StatusBadRequest)
	put("web", 0o600)
	if model, err = c.Discover(t.Context()); err != nil || model.Find(web) != nil {
		t.Errorf("a template that was withdrawn is shown, %v", err)
	}
}

// TestContext: keys and user data reach the machine as they are.
func TestContext(t *testing.T) {
	s := newStage(t, "", sim.Options{KeepRequests: true})
	c := s.client("ann")
	script := "#!/bin/sh\necho {{ not a template }}\n"
	for n, e := range []*occi.Entity{
		{Kind: occi.Compute, Mixins: []occi.TypeID{occi.UserData}, Attributes: occi.Attributes{{Name: "occi.compute.userdata", Value: base64.StdEncoding.EncodeToString([]byte(script))}}},
		{Kind: occi.Compute, Mixins: []occi.TypeID{occi.SSHKey}, Attributes: occi.Attributes{{Name: "occi.credentials.ssh.publickey", Value: "ssh-ed25519 AAAA {{ann}}"}}},
	} {
		u := s.create(c, e)
		s.settle(t)
		r, ok := s.Cloud.Request(service.MachineID(uint64(n+1), 1, 1))
		want := []string{script, "#cloud-config\nssh_authorized_keys: [\"ssh-ed25519 AAAA {{ann}}\"]\n"}[n]
		if !ok || string(r.UserData) != want {
			t.Errorf("user data is %q, wanted %q", r.UserData, want)
		}
		if text := s.get(c, u).Attributes; text.Text("occi.compute.userdata") != "" {
			t.Errorf("user data is shown: %v", text)
		}
	}
	for _, data := range []string{"not base64", base64.StdEncoding.EncodeToString([]byte("{% endraw %}{{ x }}"))} {
		_, err := c.Create(t.Context(), "/compute/", &occi.Entity{Kind: occi.Compute, Mixins: []occi.TypeID{occi.UserData}, Attributes: occi.Attributes{{Name: "occi.compute.userdata", Value: data}}})
		wantStatus(t, err, http.StatusBadRequest)
	}
}

// TestSuspend: actions lead where OCCI says.
func TestSuspend(t *testing.T) {
	s := newStage(t, "", sim.Options{})
	c := s.client("ann")
	u := s.create(c, compute())
	s.settle(t)
	for _, step := range []struct {
		action occi.TypeID
		method string
		state  string
	}{{occi.ComputeSuspend, "", "suspended"}, {occi.ComputeStart, "", "active"}, {occi.ComputeRestart, "cold", "active"}, {occi.ComputeStop, "poweroff", "inactive"}, {occi.ComputeStart, "", "active"}, {occi.ComputeStop, "acpioff", "inactive"}} {
		i := occi.Invocation{Action: step.action}
		if step.method != "" {
			i.Attributes.Set("method", step.method)
		}
		if err := c.Act(t.Context(), u, i); err != nil {
			t.Fatal(err)
		}
		s.settle(t)
		if got := s.get(c, u).Attributes.Text("occi.compute.state"); got != step.state {
			t.Errorf("after %s it is %s, wanted %s", step.action.Term(), got, step.state)
		}
	}
	wantStatus(t, c.Act(t.Context(), u, occi.Invocation{Action: occi.ComputeSave}), http.StatusBadRequest)
}

// TestTokens: the token of a login is as good as a password, and one that may only read changes nothing.
func TestTokens(t *testing.T) {
	s := newStage(t, "", sim.Options{})
	u := s.create(s.client("ann"), compute())
	s.settle(t)
	text, _, err := s.Control.AddToken(t.Context(), s.caller("ann"), identity.NewToken{User: s.caller("ann").User, Name: "reader", Scopes: identity.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	c := &occi.Client{URL: s.url, Header: http.Header{"X-Auth-Token": {text}}}
	s.get(c, u)
	wantStatus(t, c.Delete(t.Context(), u), http.StatusForbidden)
	wantStatus(t, c.Define(t.Context(), occi.Category{ID: "http://example.org/m#t", Class: occi.Mixin, Location: "/m/"}), http.StatusForbidden)
	_, err = c.Update(t.Context(), u, occi.Compute, occi.Change{Attributes: occi.Attributes{{Name: occi.AttrTitle, Value: "x"}}})
	wantStatus(t, err, http.StatusForbidden)
	c.Header.Set("X-Auth-Token", "wrong")
	_, err = c.Get(t.Context(), u)
	wantStatus(t, err, http.StatusUnauthorized)
}

// TestStorage: a volume is made and removed with the storage, and links to it are kept.
func TestStorage(t *testing.T) {
	s := newStage(t, "", sim.Options{})
	c := s.client("ann")
	v := s.create(c, &occi.Entity{Kind: occi.Storage, Attributes: occi.Attributes{{Name: "occi.storage.size", Value: 10.0}, {Name: occi.AttrTitle, Value: "disk"}}})
	s.settle(t)
	if e := s.get(c, v); e.Attributes.Text("occi.storage.state") != "online" || e.Attributes.Text("occi.storage.size") != "10" || s.Cloud.Networks() != 1 {
		t.Errorf("the storage is %v; the back end has %d resources", e, s.Cloud.Networks())
	}
	u := s.create(c, &occi.Entity{Kind: occi.Compute, Links: []*occi.Entity{{Kind: occi.StorageLink, Target: occi.Reference{Location: v, Kind: occi.Storage},
		Attributes: occi.Attributes{{Name: "occi.storagelink.mountpoint", Value: "/data"}}}}})
	s.settle(t)
	links := s.get(c, u).Links
	if i := slices.IndexFunc(links, func(l *occi.Entity) bool { return l.Target.Location == v }); i < 0 || links[i].Attributes.Text("occi.storagelink.mountpoint") != "/data" {
		t.Errorf("links are %v", links)
	}
	_, err := c.Create(t.Context(), "/", &occi.Entity{Kind: occi.Compute, Links: []*occi.Entity{{Kind: occi.NetworkInterface, Target: occi.Reference{Location: v, Kind: occi.Storage}}}})
	wantStatus(t, err, http.StatusBadRequest)
	if err := c.Delete(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	s.settle(t)
	if n := s.Cloud.Networks(); n != 0 {
		t.Errorf("the back end has %d resources left", n)
	}
}

// TestFailure: a compute whose machine cannot be made says why.
func TestFailure(t *testing.T) {
	s := newStage(t, "", sim.Options{BootFailures: 1})
	c := s.client("ann")
	u := s.create(c, compute())
	s.Until(1, "failing", func(x *service.Service) bool {
		return x.Instance(x.Serial) != nil && x.Instance(x.Serial).Reason != ""
	})
	e := s.get(c, u)
	if e.Attributes.Text("occi.compute.state") == "active" || !strings.Contains(e.Attributes.Text("occi.compute.state.message"), "fail") {
		t.Errorf("the compute is %v", e.Attributes)
	}
}

// BenchmarkGet is a compute that is read through the whole face, log-in included.
func BenchmarkGet(b *testing.B) {
	s := newStage(b, "", sim.Options{})
	text, _, err := s.Control.AddToken(b.Context(), s.caller("ann"), identity.NewToken{User: s.caller("ann").User, Name: "bench", Scopes: identity.ScopeOperate})
	if err != nil {
		b.Fatal(err)
	}
	c := &occi.Client{URL: s.url, Accept: occi.TextPlain, Header: http.Header{"X-Auth-Token": {text}},
		HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	defer c.HTTP.CloseIdleConnections()
	u := s.create(c, compute())
	s.settle(b)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Get(b.Context(), u); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
