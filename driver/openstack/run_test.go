//go:build linux

package openstack

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/cloudinit"
	"github.com/troupe-dev/troupe/driver/openstack/openstacktest"
)

// TestLogIn logs in in every way that there is, and sees what happens when that is refused, or forgotten.
func TestLogIn(t *testing.T) {
	s := newStage(t, nil)
	clean(t)
	secret := "an application's own secret"
	k := s.keystone(s.c)
	var made struct {
		Credential struct{ ID string } `json:"application_credential"`
	}
	user := s.userID()
	_, err := k.Post(s.ctx(), k.ServiceURL("users", user, "application_credentials"), fields{"application_credential": fields{"name": s.name, "secret": secret}}, &made, nil)
	s.must(err)
	file := func(name, text string) string {
		name = filepath.Join(t.TempDir(), name)
		s.must(os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	projectID := s.services().project.ID
	ways := map[string]map[string]any{
		"project id":             s.Account(map[string]any{"project": nil, "project_id": projectID}),
		"without the version":    s.Account(map[string]any{"endpoint": strings.TrimSuffix(s.Endpoint, "/v3")}),
		"application credential": {"endpoint": s.Endpoint, "application_credential_id": made.Credential.ID, "application_credential_secret": secret},
		"by its name":            {"endpoint": s.Endpoint, "application_credential_name": s.name, "application_credential_secret": secret, "username": openstacktest.User},
		"openrc": {"openrc": file("openrc", fmt.Sprintf("export OS_AUTH_URL=%s\nexport OS_USERNAME=%s\nexport OS_PASSWORD=%s\nexport OS_PROJECT_NAME=%s\nexport OS_USER_DOMAIN_ID=default\n",
			s.Endpoint, openstacktest.User, s.Password, openstacktest.Project))},
		"clouds.yaml": {"cloud": "here", "clouds_file": file("clouds.yaml", fmt.Sprintf("clouds:\n  here:\n    region_name: RegionOne\n    auth: {auth_url: '%s', username: %s, password: '%s', project_name: %s, user_domain_name: Default, project_domain_name: Default}\n",
			s.Endpoint, openstacktest.User, s.Password, openstacktest.Project))},
	}
	for name, values := range ways {
		c := s.open(values)
		v, err := c.connect(s.ctx())
		if err != nil || v.project.ID != projectID || v.cinder == nil {
			t.Errorf("%s: %+v %v", name, v, err)
			continue
		}
		for _, err := range c.List(s.ctx()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, value := range map[string]string{"OS_AUTH_URL": s.Endpoint, "OS_USERNAME": openstacktest.User, "OS_PASSWORD": s.Password, "OS_PROJECT_NAME": openstacktest.Project, "OS_USER_DOMAIN_NAME": "Default"} {
		t.Setenv(name, value)
	}
	if _, err := s.open(nil).connect(s.ctx()); err != nil {
		t.Errorf("by the environment: %v", err)
	}

	s.services().nova.SetToken("gAAAAAB-no-token-any-more")
	for _, err := range s.c.List(s.ctx()) {
		t.Errorf("a token that has run out is not replaced: %v", err)
	}
	refusals := []struct {
		values map[string]any
		class  error
	}{
		{s.Account(map[string]any{"password": "verysecret-but-wrong"}), driver.ErrDenied},
		{s.Account(map[string]any{"project": "admin"}), driver.ErrDenied},
		{s.Account(map[string]any{"region": "elsewhere"}), driver.ErrDenied},
		{s.Account(map[string]any{"endpoint": "http://" + closedPort(t) + "/v3"}), driver.ErrUnasked},
	}
	for _, r := range refusals {
		d := driver.Order(s.open(r.values))
		_, err := d.Create(s.ctx(), s.request(machine()))
		if !errors.Is(err, r.class) || strings.Contains(fmt.Sprint(err), "verysecret") || strings.Contains(fmt.Sprint(err), s.Password) {
			t.Errorf("%v, want %v", err, r.class)
		}
	}
}

// userID returns the id of the account's user.
func (s *stage) userID() string {
	s.Helper()
	k := s.keystone(s.c)
	var token struct {
		Token struct{ User struct{ ID string } }
	}
	_, err := k.Get(s.ctx(), k.ServiceURL("auth", "tokens"), &token, &gophercloud.RequestOpts{MoreHeaders: map[string]string{"X-Subject-Token": k.Token()}})
	s.must(err)
	return token.Token.User.ID
}

// closedPort returns an address at which nobody listens.
func closedPort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestWhole makes a machine with everything that there is, and sees that Nova has it and that nothing of it stays.
func TestWhole(t *testing.T) {
	s := newStage(t, s0(t))
	s.resource("network", "front", map[string]any{"cidr": "10.77.0.0/24", "dns": []string{"10.77.0.3"}})
	router := s.resource("router", "way", map[string]any{"external": openstacktest.External, "networks": []string{"front"}})
	group := s.resource("security_group", "web", map[string]any{"rules": []string{"tcp 80", "any from web", "egress udp 53 to 10.0.0.0/8"}})
	s.resource("key", "ann", map[string]any{"public_key": publicKey})
	s.resource("server_group", "apart", nil)
	volume := s.resource("volume", "disk", map[string]any{"size": 2})
	s.resource("port", "fixed", map[string]any{"network": "front", "address": "10.77.0.50", "security_groups": []string{"web"}})
	own := s.resource("floating_ip", "entry", nil)
	if router.Outputs["address"] == "" || router.Generation != 3 {
		t.Errorf("the router is %+v", router)
	}

	req := s.request(map[string]any{"image": openstacktest.Image, "networks": []string{"front", openstacktest.Network}, "security_groups": []string{"web"}, "key": "ann", "server_group": "apart",
		"volumes": []string{"disk"}, "volume_size": 3, "floating_ip": "true", "availability_zone": "nova", "metadata": map[string]string{"color": "blue", "troupe.machine": "another"}, "config_drive": true, "server_name": "the-web"})
	req.CPUs, req.Memory = 1, 1<<30
	req.UserData, req.Env, req.Files = []byte("#!/bin/sh\necho hi\n"), map[string]string{"A": "1"}, []driver.File{{Path: "etc/x", Content: []byte("y")}}
	m := s.create(req)
	m = s.await(m.ID, driver.Running)
	if len(m.Addresses) != 3 || !strings.HasPrefix(m.Addresses[0], "10.30.") || !strings.HasPrefix(m.Addresses[1], "10.77.0.") || !strings.HasPrefix(m.Addresses[2], "10.20.") {
		t.Errorf("its addresses are %v, not a floating one, then those of its networks in their order", m.Addresses)
	}
	v, err := servers.Get(s.ctx(), s.services().nova, m.Native).Extract()
	s.must(err)
	if v.Name != "the-web" || v.Metadata["color"] != "blue" || v.Metadata["troupe.machine"] != string(req.ID) || v.KeyName == "" || v.Flavor["original_name"] != "m1.small" || len(v.AttachedVolumes) != 2 || len(v.Image) > 0 {
		t.Errorf("the server is %+v", v)
	}
	if len(v.SecurityGroups) == 0 || v.SecurityGroups[0]["name"] != "shop-web" {
		t.Errorf("its security groups are %v, not %s", v.SecurityGroups, group.Native)
	}
	admin, err := s.open(s.Account(map[string]any{"username": "admin", "project": s.c.access.auth.Scope.ProjectName})).connect(s.ctx())
	s.must(err)
	if v, err = servers.Get(s.ctx(), admin.nova, m.Native).Extract(); err != nil || v.Userdata == nil {
		t.Fatalf("user data: %v", err)
	}
	text, err := base64.StdEncoding.DecodeString(*v.Userdata)
	s.must(err)
	if p, err := cloudinit.Read(text); err != nil || len(p.Boot) != 1 || len(p.Scripts) != 1 || string(p.Scripts[0]) != "#!/bin/sh\necho hi\n" {
		t.Errorf("its user data is %s, %v", text, err)
	}
	s.console(m)
	s.destroy(m)
	if after := s.resource("volume", "disk2", map[string]any{"size": 1}); after.Native == volume.Native {
		t.Error("two volumes are one")
	}

	// A port and an address that are there before stay when the machine goes.
	req = s.request(map[string]any{"image": openstacktest.Image, "flavor": openstacktest.Flavor, "ports": []string{"fixed"}, "floating_ip": "entry"})
	m = s.create(req)
	if m = s.await(m.ID, driver.Running); !slices.Equal(m.Addresses, []string{own.Outputs["address"], "10.77.0.50"}) {
		t.Errorf("its addresses are %v, not %s and 10.77.0.50", m.Addresses, own.Outputs["address"])
	}
	again := s.request(map[string]any{"image": openstacktest.Image, "flavor": openstacktest.Flavor, "networks": []string{"front"}, "floating_ip": "entry"})
	s.refused(again, driver.ErrCapacity, "another port")
	s.destroy(m)
	left := map[string]bool{}
	for r, err := range s.c.ListResources(s.ctx()) {
		s.must(err)
		left[r.Outputs["address"]] = true
	}
	if !left["10.77.0.50"] || !left[own.Outputs["address"]] {
		t.Errorf("the port or the address went with the machine: %v", left)
	}
	stranger := s.request(machine("networks", []string{"shop-front"}))
	stranger.Service = "5"
	s.refused(stranger, driver.ErrInvalid, "another service")
}

// s0 returns an account in a project of the test's own.
func s0(t testing.TB) map[string]any {
	s := &stage{TB: t, Cloud: shared.Use(t), name: fmt.Sprintf("p%d", time.Now().UnixNano())}
	return s.Account(map[string]any{"project": s.project()})
}

func (s *stage) console(m driver.Machine) {
	s.Helper()
	r, err := s.c.Logs(s.ctx(), driver.Ref{ID: m.ID}, driver.LogOptions{Tail: 1})
	s.must(err)
	if text, err := io.ReadAll(r); err != nil || !strings.Contains(string(text), "LAST LINE") {
		s.Errorf("its console shows %q, %v", text, err)
	}
	ctx, cancel := context.WithCancel(s.ctx())
	r, err = s.c.Logs(ctx, driver.Ref{ID: m.ID}, driver.LogOptions{Follow: true})
	s.must(err)
	line := make([]byte, len("FAKE CONSOLE OUTPUT\n"))
	if _, err := io.ReadFull(r, line); err != nil || string(line) != "FAKE CONSOLE OUTPUT\n" {
		s.Errorf("who follows its console reads %q, %v", line, err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); err != nil {
		s.Errorf("a console that is followed ends with %v", err)
	}
	s.must(r.Close())
	_, err = s.c.Logs(s.ctx(), driver.Ref{ID: "9-9-9"}, driver.LogOptions{})
	if !errors.Is(err, driver.ErrNotFound) {
		s.Errorf("the console of no machine: %v", err)
	}
}

// TestInterrupted: what an earlier creation has left is replaced, so that its server can have no success any more.
func TestInterrupted(t *testing.T) {
	s := newStage(t, shared.Use(t).Administrator()) // who may choose addresses in the network
	req := s.request(machine())
	p, err := s.c.newPlan(&req)
	s.must(err)
	network, err := s.c.network(s.ctx(), s.services(), req.Service, openstacktest.Network)
	s.must(err)
	port, err := s.c.makePort(s.ctx(), s.services(), p, &req, network, portName(p, 0), "")
	s.must(err)
	m := s.create(req)
	m = s.await(m.ID, driver.Running)
	list, err := s.services().list(s.ctx(), ports, "description", s.c.description("machine", req.ID))
	s.must(err)
	if len(list) != 1 || list[0].ID == port.ID || list[0].address() != port.address() || m.Addresses[0] != port.address() {
		t.Errorf("the port %s (%s) is followed by %+v, the machine has %v", port.ID, port.address(), list, m.Addresses)
	}
	// The earlier request, if it comes only now.
	o, err := s.c.order(s.ctx(), s.services(), p, &req)
	s.must(err)
	o.Networks = []servers.Network{{Port: port.ID}}
	if _, err := servers.Create(s.ctx(), s.services().nova, o.CreateOpts, o.hints).Extract(); driver.Class(classed(problem(err))) != "invalid" {
		t.Errorf("a request with the port that was replaced: %v", err)
	}
	// A double: it fails, and goes alone.
	o.Networks = []servers.Network{{Port: list[0].ID}}
	if double, err := servers.Create(s.ctx(), s.services().nova, o.CreateOpts, o.hints).Extract(); err == nil {
		t.Errorf("Nova takes a port that has a machine, and makes %s", double.ID)
	}
	if again := s.create(req); again.Native != m.Native {
		t.Errorf("made again, it is %s beside %s", again.Native, m.Native)
	}
	s.destroy(m)
}

// TestFull: a project without quota and a cloud without a host are no capacity, and leave nothing.
func TestFull(t *testing.T) {
	values := s0(t)
	s := newStage(t, values)
	admin, err := s.open(s.Administrator()).connect(s.ctx())
	s.must(err)
	quota := func(client string, body fields) {
		t.Helper()
		var err error
		switch id := s.services().project.ID; client {
		case "nova":
			_, err = admin.nova.Put(s.ctx(), admin.nova.ServiceURL("os-quota-sets", id), fields{"quota_set": body}, nil, &gophercloud.RequestOpts{OkCodes: []int{200}})
		default:
			err = admin.put(s.ctx(), fields{"quota": body}, "quotas", id)
		}
		s.must(err)
	}
	_, err = admin.nova.Post(s.ctx(), admin.nova.ServiceURL("flavors"), fields{"flavor": fields{"name": s.name, "vcpus": 100000, "ram": 64, "disk": 1, "id": s.name}}, nil, &gophercloud.RequestOpts{OkCodes: []int{200}})
	s.must(err)
	t.Cleanup(func() {
		_, err := admin.nova.Delete(context.Background(), admin.nova.ServiceURL("flavors", s.name), nil)
		s.must(err)
	})
	s.refused(s.request(machine("flavor", s.name)), driver.ErrCapacity, "No valid host")
	quota("nova", fields{"instances": 0})
	s.refused(s.request(machine()), driver.ErrCapacity, "Quota exceeded")
	quota("neutron", fields{"port": 0})
	s.refused(s.request(machine()), driver.ErrCapacity, "Quota exceeded")
}
