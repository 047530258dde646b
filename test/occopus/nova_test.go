//go:build linux

package occopus

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"

	"github.com/troupe-dev/troupe/driver/cloudinit"
	"github.com/troupe-dev/troupe/driver/openstack/openstacktest"
	"github.com/troupe-dev/troupe/internal/cli/occopus"
)

var clouds openstacktest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	if err := clouds.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// A site is one who comes with files of Occopus for a cloud, and what the cloud knows.
type site struct {
	*testing.T
	ctx     context.Context
	cloud   *openstacktest.Cloud
	home    string
	project string
	nova    *gophercloud.ServiceClient // the administrator's, in the user's project

	ports []net.Listener
}

func newSite(t *testing.T) *site {
	s := &site{T: t, cloud: clouds.Use(t), home: t.TempDir()}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	t.Cleanup(cancel)
	s.ctx = ctx
	p, err := openstack.AuthenticatedClient(ctx, gophercloud.AuthOptions{IdentityEndpoint: s.cloud.Endpoint, Username: "admin", Password: s.cloud.Password, DomainID: "default",
		Scope: &gophercloud.AuthScope{ProjectName: openstacktest.Project, DomainID: "default"}})
	s.must(err)
	project, err := p.GetAuthResult().(tokens.CreateResult).ExtractProject()
	s.must(err)
	s.project = project.ID
	s.nova, err = openstack.NewComputeV2(p, gophercloud.EndpointOpts{Region: "RegionOne"})
	s.must(err)
	s.nova.Microversion = "2.67"
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// file writes a file below the user's home.
func (s *site) file(name, text string) string {
	s.Helper()
	name = filepath.Join(s.home, name)
	s.must(os.MkdirAll(filepath.Dir(name), 0o700))
	s.must(os.WriteFile(name, []byte(text), 0o600))
	return name
}

// run runs one of Occopus' programs and returns its output.
func (s *site) run(name string, args ...string) string {
	s.Helper()
	var out, log bytes.Buffer
	env := map[string]string{"HOME": s.home, "PATH": os.Getenv("PATH")}
	code := occopus.Run(s.ctx, name, args, occopus.Terminal{Out: &out, Err: &log, Env: func(name string) string { return env[name] }})
	if code != 0 {
		s.Fatalf("occopus-%s %v: exit code %d\n%s%s", name, args, code, out.String(), log.String())
	}
	for _, text := range []string{out.String(), log.String()} {
		if strings.Contains(text, s.cloud.Password) {
			s.Errorf("occopus-%s prints the password", name)
		}
	}
	return out.String()
}

// found returns the id of the one thing of a cloud that has a name.
func found[T any](t *testing.T, list []T, err error, id func(T) string) string {
	t.Helper()
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	return id(list[0])
}

// servers returns the servers of the tutorial's nodes.
func (s *site) servers() (out []servers.Server) {
	s.Helper()
	page, err := servers.List(s.nova, servers.ListOpts{}).AllPages(s.ctx)
	s.must(err)
	all, err := servers.ExtractServers(page)
	s.must(err)
	for _, v := range all {
		if strings.HasPrefix(v.Metadata["troupe.role"], "hadoop-") {
			out = append(out, v)
		}
	}
	return out
}

// play plays the machines, which Nova's fake hypervisor does not run: this host has their addresses and, for the master,
// listens where its program would. It goes on until the test ends.
func (s *site) play() {
	ctx, cancel := context.WithCancel(s.ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.playing(ctx) }()
	s.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.Error(err)
		}
	})
}

func (s *site) playing(ctx context.Context) (err error) {
	var played []string
	defer func() {
		for _, l := range s.ports {
			err = errors.Join(err, l.Close())
		}
		for _, a := range played {
			err = errors.Join(err, exec.Command("ip", "addr", "del", a+"/32", "dev", "lo").Run())
		}
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		page, err := servers.List(s.nova, servers.ListOpts{Status: "ACTIVE"}).AllPages(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		list, err := servers.ExtractServers(page)
		if err != nil {
			return err
		}
		for _, v := range list {
			role := v.Metadata["troupe.role"]
			if !strings.HasPrefix(role, "hadoop-") {
				continue
			}
			addresses, err := s.addresses(ctx, v.ID)
			if err != nil {
				return err
			}
			for _, a := range addresses {
				if slices.Contains(played, a) {
					continue
				}
				if out, err := exec.Command("ip", "addr", "add", a+"/32", "dev", "lo").CombinedOutput(); err != nil {
					return fmt.Errorf("ip addr add %s: %w: %s", a, err, out)
				}
				played = append(played, a)
				if role == "hadoop-master" {
					l, err := net.Listen("tcp", a+":9870")
					if err != nil {
						return err
					}
					s.ports = append(s.ports, l)
				}
			}
		}
	}
}

// addresses returns the fixed and floating addresses of a server, as Neutron knows them.
func (s *site) addresses(ctx context.Context, server string) (out []string, err error) {
	n, err := openstack.NewNetworkV2(s.nova.ProviderClient, gophercloud.EndpointOpts{Region: "RegionOne"})
	if err != nil {
		return nil, err
	}
	var ports struct {
		Ports []struct {
			ID    string
			Fixed []struct {
				Address string `json:"ip_address"`
			} `json:"fixed_ips"`
		}
	}
	if _, err := n.Get(ctx, n.ServiceURL("ports")+"?device_id="+server, &ports, nil); err != nil {
		return nil, err
	}
	for _, p := range ports.Ports {
		for _, f := range p.Fixed {
			out = append(out, f.Address)
		}
		var floating struct {
			List []struct {
				Address string `json:"floating_ip_address"`
			} `json:"floatingips"`
		}
		if _, err := n.Get(ctx, n.ServiceURL("floatingips")+"?port_id="+p.ID, &floating, nil); err != nil {
			return nil, err
		}
		for _, f := range floating.List {
			out = append(out, f.Address)
		}
	}
	return out, nil
}

// TestHadoopOnNova builds the tutorial of a Hadoop cluster as it is published, with the place-holders filled in, by the
// programs of Occopus and with an auth_data.yaml as the tutorials have it, on a real Nova.
func TestHadoopOnNova(t *testing.T) {
	s := newSite(t)
	image, network := s.ids()
	key := "key-" + s.project
	_, err := keypairs.Create(s.ctx, s.asUser(), keypairs.CreateOpts{Name: key, PublicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKZ6t4lzBqgyIAqyBp2Jv3VxVm3yP0mW0lqMgM2yXvYQ ann@example.org"}).Extract()
	s.must(err)
	t.Cleanup(func() { _ = keypairs.Delete(context.Background(), s.asUser(), key, nil).ExtractErr() })
	set, err := filepath.Abs(filepath.Join(sets, "hadoop-cluster"))
	s.must(err)
	nodes, err := os.ReadFile(filepath.Join(set, "nodes/node_definitions.yaml"))
	s.must(err)
	nodes = []byte(strings.NewReplacer(
		"replace_with_endpoint_of_nova_interface_of_your_cloud", strings.TrimSuffix(s.cloud.Endpoint, "/v3"), "replace_with_projectid_to_use", s.project,
		"replace_with_id_of_your_image_on_your_target_cloud", image, "replace_with_id_of_network_on_your_target_cloud", network,
		"replace_with_id_of_the_flavor_on_your_target_cloud", openstacktest.Flavor, "replace_with_name_of_keypair_or_remove", key,
		"replace_with_security_group_to_add_or_remove_section", "default", "replace_with_name_of_floating_ip_pool_or_remove", openstacktest.External,
		"file://", "file://"+filepath.Join(set, "nodes")+"/").Replace(string(nodes)))
	definitions := s.file("nodes.yaml", string(nodes))
	s.file(".occopus/auth_data.yaml", fmt.Sprintf("resource:\n    -\n        type: nova\n        auth_data:\n            username: %s\n            password: %q\n", openstacktest.User, s.cloud.Password))

	s.play()
	s.run("import", definitions)
	began := time.Now()
	out := strings.Fields(s.run("build", filepath.Join(set, "infra-hadoop-cluster.yaml")))
	id := out[len(out)-1]
	t.Logf("built in %v", time.Since(began))
	list := s.servers()
	t.Cleanup(func() {
		if left := s.servers(); len(left) > 0 {
			t.Errorf("servers %v are left", left)
		}
	})
	s.hadoop(list, key)
	s.run("scale", "-i", id, "-n", "hadoop-slave", "-c", "1")
	s.run("maintain", "-i", id)
	if now := s.servers(); len(now) != 4 {
		t.Errorf("with one more there are %d servers", len(now))
	}
	s.run("destroy", "-i", id)
}

// asUser returns Nova's client of the user.
func (s *site) asUser() *gophercloud.ServiceClient {
	s.Helper()
	p, err := openstack.AuthenticatedClient(context.Background(), gophercloud.AuthOptions{IdentityEndpoint: s.cloud.Endpoint, Username: openstacktest.User, Password: s.cloud.Password, DomainID: "default",
		Scope: &gophercloud.AuthScope{ProjectID: s.project}})
	s.must(err)
	n, err := openstack.NewComputeV2(p, gophercloud.EndpointOpts{Region: "RegionOne"})
	s.must(err)
	return n
}

func (s *site) ids() (image, network string) {
	s.Helper()
	g, err := openstack.NewImageV2(s.nova.ProviderClient, gophercloud.EndpointOpts{Region: "RegionOne"})
	s.must(err)
	page, err := images.List(g, images.ListOpts{Name: openstacktest.Image}).AllPages(s.ctx)
	s.must(err)
	list, err := images.ExtractImages(page)
	image = found(s.T, list, err, func(i images.Image) string { return i.ID })
	n, err := openstack.NewNetworkV2(s.nova.ProviderClient, gophercloud.EndpointOpts{Region: "RegionOne"})
	s.must(err)
	page, err = networks.List(n, networks.ListOpts{Name: openstacktest.Network}).AllPages(s.ctx)
	s.must(err)
	nets, err := networks.ExtractNetworks(page)
	return image, found(s.T, nets, err, func(i networks.Network) string { return i.ID })
}

// hadoop sees that Nova has a master with a floating address and two slaves that know where it is.
func (s *site) hadoop(list []servers.Server, key string) {
	s.Helper()
	var master, slaves []servers.Server
	for _, v := range list {
		if v.Metadata["troupe.role"] == "hadoop-master" {
			master = append(master, v)
		} else {
			slaves = append(slaves, v)
		}
	}
	if len(master) != 1 || len(slaves) != 2 {
		s.Fatalf("there are %d masters and %d slaves", len(master), len(slaves))
	}
	addresses, err := s.addresses(s.ctx, master[0].ID)
	if err != nil || len(addresses) != 2 {
		s.Fatalf("the master has %v, %v", addresses, err)
	}
	for _, v := range append(slaves, master...) {
		text, err := base64.StdEncoding.DecodeString(*v.Userdata)
		s.must(err)
		p, err := cloudinit.Read(text)
		if err != nil || len(p.Run) != 1 || v.KeyName != key {
			s.Errorf("server %s has the key %s, its user data is %+v, %v", v.Name, v.KeyName, p, err)
			continue
		}
		n := slices.IndexFunc(p.Files, func(f cloudinit.File) bool { return f.Path == "/tmp/hadoop/configs/core-site.xml" })
		if n < 0 || v.Metadata["troupe.role"] == "hadoop-slave" && !strings.Contains(string(p.Files[n].Content), "hdfs://"+addresses[0]+":9000") {
			s.Errorf("server %s is not told the private address %s of the master: %+v", v.Name, addresses[0], p.Files)
		}
	}
}
