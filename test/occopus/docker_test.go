//go:build linux

package occopus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/events"
	mobyclient "github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/app/apptest"
	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/driver/docker/dockertest"
	"github.com/troupe-dev/troupe/internal/format/native"
	"github.com/troupe-dev/troupe/internal/format/occopus"
	"github.com/troupe-dev/troupe/internal/probe/mysqltest"
)

// sets are the tutorials as they are published.
const sets = "../../internal/format/occopus/testdata"

// A scene is a server with one real Docker daemon.
type scene struct {
	*testing.T
	ctx    context.Context
	daemon *dockertest.Daemon
	client *client.Client
}

func newScene(t *testing.T) *scene {
	s := &scene{T: t, daemon: dockertest.Start(t, dockertest.Options{Default: true})}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	s.ctx = ctx
	s.client = apptest.Start(t, app.Options{Accounts: []app.Account{
		{Driver: "docker", Values: map[string]any{"endpoint": s.daemon.Endpoint, "import_allow": []string{"127.0.0.1/32"}}}}}).Client()
	return s
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// build starts to build an infrastructure and returns the service that it becomes.
func (s *scene) build(infra, definitions string) string {
	s.Helper()
	i, _, err := occopus.ParseInfrastructure("infra.yaml", []byte(infra), occopus.Options{})
	s.must(err)
	defs, _, err := occopus.ParseDefinitions("nodes.yaml", []byte(definitions), occopus.Options{})
	s.must(err)
	spec, warnings, err := occopus.Compile(i, occopus.CompileOptions{
		Definition: func(name string) (*occopus.Definition, error) {
			at := slices.IndexFunc(defs, func(d occopus.Definition) bool { return d.Name == name })
			if at < 0 {
				return nil, fmt.Errorf("no node definition %q", name)
			}
			return &defs[at], nil
		},
		Kinds: all.Kinds().Find,
		Account: func(d occopus.Demand) (string, error) {
			if d.Driver != "docker" || d.Endpoint != s.daemon.Endpoint {
				return "", fmt.Errorf("no account of %s reaches %s", d.Driver, d.Endpoint)
			}
			return "", nil
		},
	})
	s.must(err)
	for _, w := range warnings {
		s.Errorf("warning: %v", w.Error)
	}
	spec.Format, spec.Document = "", nil
	text, err := native.Encode(spec)
	s.must(err)
	made, err := s.client.Services().Create(s.ctx, client.CreateService{Document: client.Document{Source: string(text), File: "service.yaml", Format: "native"}})
	s.must(err)
	return made.Ref()
}

func (s *scene) await(ref, state string) {
	s.Helper()
	if _, err := s.client.Services().WaitFor(s.ctx, ref, state); err != nil {
		for i, ierr := range s.client.Services().Instances(context.WithoutCancel(s.ctx), ref, client.InstanceFilter{}) {
			s.Logf("%+v %v", i, ierr)
		}
		s.Fatal(err)
	}
}

// instance returns the one instance of a node.
func (s *scene) instance(ref, node string) client.Instance {
	s.Helper()
	var found []client.Instance
	for i, err := range s.client.Services().Instances(s.ctx, ref, client.InstanceFilter{Role: node}) {
		s.must(err)
		found = append(found, i)
	}
	if len(found) != 1 {
		s.Fatalf("node %s has %d instances: %+v", node, len(found), found)
	}
	return found[0]
}

// running waits until a node's one instance is up, in a container.
func (s *scene) running(ref, node, native string) {
	s.Helper()
	s.until(func() error {
		for i, err := range s.client.Services().Instances(s.ctx, ref, client.InstanceFilter{Role: node}) {
			if err == nil && i.Native == native && i.Phase == "up" {
				return nil
			}
		}
		return fmt.Errorf("no instance of %s is up in %s", node, native)
	})
}

func (s *scene) logs(ref, node string) string {
	s.Helper()
	r, err := s.client.Services().Logs(s.ctx, ref, s.instance(ref, node).Serial, client.LogOptions{})
	s.must(err)
	text, err := io.ReadAll(r)
	s.must(errors.Join(err, r.Close()))
	return string(text)
}

// until waits for what check says.
func (s *scene) until(check func() error) {
	s.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			s.Fatal(err)
		}
	}
}

// destroy removes a service, and sees that the daemon has nothing of it any more.
func (s *scene) destroy(ref string) {
	s.Helper()
	_, err := s.client.Services().Remove(s.ctx, ref, client.Undeploy{})
	s.must(err)
	s.await(ref, client.Gone)
	list, err := s.daemon.Client.ContainerList(s.ctx, mobyclient.ContainerListOptions{All: true})
	s.must(err)
	if len(list.Items) > 0 {
		s.Errorf("containers are left: %v", list.Items)
	}
}

// follow returns the events of containers from now on.
func (s *scene) follow() <-chan events.Message {
	ctx, cancel := context.WithCancel(s.ctx)
	s.Cleanup(cancel)
	return s.daemon.Client.Events(ctx, mobyclient.EventsListOptions{Filters: make(mobyclient.Filters).Add("type", "container")}).Messages
}

// next returns when the daemon did something next, and the container.
func (s *scene) next(from <-chan events.Message, what events.Action) (time.Time, string) {
	s.Helper()
	for {
		select {
		case e := <-from:
			if e.Action == what {
				return time.Unix(0, e.TimeNano), e.Actor.ID
			}
		case <-s.ctx.Done():
			s.Fatalf("no container was seen to %s", what)
		}
	}
}

// root is the file system of an image whose command is /root/start.sh.
func (s *scene) root(script string) []byte {
	s.Helper()
	root, err := dockertest.Rootfs(dockertest.File{Name: "root/start.sh", Mode: 0o755, Text: []byte("#!/bin/sh\n" + script + "\n")})
	s.must(err)
	return root
}

// TestDockerPing builds the tutorial of two containers as it is published, with images that do what the tutorial's do and
// come from a server of the test: the sender is told the receiver's address and pings it. A receiver that dies is replaced.
func TestDockerPing(t *testing.T) {
	s := newScene(t)
	images := map[string][]byte{
		"/docker/busybox_helloworld.tar": s.root(`echo "$message"; trap "exit 0" TERM; while :; do sleep 1000 & wait $!; done`),
		"/docker/busybox_ping.tar":       s.root(`exec ping "$target_ip"`),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(images[r.URL.Path])
	}))
	t.Cleanup(server.Close)
	infra, err := os.ReadFile(filepath.Join(sets, "docker-ping/infra-docker-ping.yaml"))
	s.must(err)
	nodes, err := os.ReadFile(filepath.Join(sets, "docker-ping/nodes/node_definitions.yaml"))
	s.must(err)
	definitions := strings.NewReplacer("replace_with_your_docker_endpoint", s.daemon.Endpoint, "https://s3.lpds.sztaki.hu", server.URL).Replace(string(nodes))
	began := time.Now()
	ref := s.build(string(infra), definitions)
	s.await(ref, "RUNNING")
	t.Logf("built in %v", time.Since(began))

	receiver, sender := s.instance(ref, "ping-receiver"), s.instance(ref, "ping-sender")
	address := receiver.Addresses[0]
	if net := netip.PrefixFrom(s.daemon.Gateway, 24); !net.Contains(netip.MustParseAddr(address)) || receiver.Created.After(sender.Since) {
		t.Errorf("the receiver has %s, made %v; the sender is up since %v", address, receiver.Created, sender.Since)
	}
	s.until(func() error {
		if text := s.logs(ref, "ping-sender"); !strings.Contains(text, "64 bytes from "+address+": seq=1") {
			return fmt.Errorf("the sender says %q", text)
		}
		return nil
	})
	if text := s.logs(ref, "ping-receiver"); text != "Hello World! I am the receiver node.\n" {
		t.Errorf("the receiver says %q", text)
	}

	seen := s.follow()
	_, err = s.daemon.Client.ContainerKill(s.ctx, receiver.Native, mobyclient.ContainerKillOptions{})
	s.must(err)
	died, _ := s.next(seen, events.ActionDie)
	created, native := s.next(seen, events.ActionCreate)
	started, _ := s.next(seen, events.ActionStart)
	t.Logf("the daemon was asked for another container %v after one had died, and ran it after %v", created.Sub(died), started.Sub(died))
	if took := created.Sub(died); took > 5*time.Second || native == receiver.Native {
		t.Errorf("%s was replaced by %s after %v", receiver.Native, native, took)
	}
	s.running(ref, "ping-receiver", native)
	s.destroy(ref)
}

const watched = `
infra_name: watched
user_id: somebody
nodes:
- {name: web, type: web, variables: {password: open sesame}}
`

// TestHealthChecks: a node is ready when ping, ports, urls and databases are; one that answers no longer is replaced when
// its time is out, and not before.
func TestHealthChecks(t *testing.T) {
	s := newScene(t)
	l, err := net.Listen("tcp", netip.AddrPortFrom(s.daemon.Gateway, 0).String())
	s.must(err)
	var served sync.WaitGroup
	served.Go(func() { (&mysqltest.Server{User: "probe", Password: "open sesame", Database: "shop"}).Serve(l) })
	t.Cleanup(func() { _ = l.Close(); served.Wait() })
	// The container passes on what it is asked at its port of MySQL.
	s.must(s.daemon.Import(s.ctx, "web:1", s.root(`nc -ll -p 3306 -e nc $database & httpd -f -p 80 -h /www & trap "exit 0" TERM; wait`)))
	ref := s.build(watched, fmt.Sprintf(`
'node_def:web':
- resource: {type: docker, endpoint: %q, origin: local, image: web, tag: 1}
  contextualisation: {type: docker, env: ["database=%s"], command: "sh -c /root/start.sh"}
  health_check:
    ports: [80, 3306]
    urls: ["http://{{ip}}/ready"]
    mysqldbs: [{name: shop, user: probe, pass: "{{variables.password}}"}]
    timeout: 3
`, s.daemon.Endpoint, strings.Replace(l.Addr().String(), ":", " ", 1)))
	seen := s.follow()
	var first client.Instance
	s.until(func() error {
		for i, err := range s.client.Services().Instances(s.ctx, ref, client.InstanceFilter{Role: "web"}) {
			if first = i; err == nil && strings.Contains(i.Reason, "/ready: status 404") {
				return nil
			}
		}
		return fmt.Errorf("not waiting for its url: %+v", first)
	})
	if v, err := s.client.Services().Get(s.ctx, ref); err != nil || v.State == "RUNNING" {
		t.Errorf("it is %s before its url answers, %v", v.State, err)
	}
	s.in(first.Native, "touch", "/www/ready")
	s.await(ref, "RUNNING")
	if i := s.instance(ref, "web"); i.Native != first.Native || i.Health != "healthy" {
		t.Errorf("%+v, before %+v", i, first)
	}
	failed := time.Now()
	s.in(first.Native, "rm", "/www/ready")
	gone := time.Time{}
	for id := ""; id != first.Native; {
		gone, id = s.next(seen, events.ActionDie)
	}
	took := gone.Sub(failed)
	t.Logf("one whose url failed was removed after %v", took)
	if took < 3*time.Second {
		t.Errorf("it was removed after %v, before its time was out", took)
	}
	_, native := s.next(seen, events.ActionStart)
	s.in(native, "touch", "/www/ready")
	s.running(ref, "web", native)
	s.destroy(ref)
}

// in runs a command in a container.
func (s *scene) in(native string, args ...string) {
	s.Helper()
	made, err := s.daemon.Client.ExecCreate(s.ctx, native, mobyclient.ExecCreateOptions{Cmd: args, AttachStdout: true})
	s.must(err)
	r, err := s.daemon.Client.ExecAttach(s.ctx, made.ID, mobyclient.ExecAttachOptions{})
	s.must(err)
	defer r.Close()
	_, err = io.Copy(io.Discard, r.Reader)
	s.must(err)
	done, err := s.daemon.Client.ExecInspect(s.ctx, made.ID, mobyclient.ExecInspectOptions{})
	if err != nil || done.ExitCode != 0 {
		s.Fatalf("%v: %d, %v", args, done.ExitCode, err)
	}
}
