//go:build linux

package examples

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	mobyclient "github.com/moby/moby/client"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/docker/dockertest"
)

// TestDocker deploys the example on a real daemon, with busybox in the place of the images, kills its database behind
// Troupe's back, and removes it.
func TestDocker(t *testing.T) {
	d := dockertest.Start(t, dockertest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := serve(ctx, t, func(o *app.Options) {
		o.Accounts = []app.Account{{Driver: "docker", Values: map[string]any{"endpoint": d.Endpoint}}}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	text, err := os.ReadFile("docker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	source := strings.NewReplacer(
		"redis:8", dockertest.Image, "[redis-server, --appendonly, \"yes\"]", "[/bin/sh, -c, \"date >> /data/starts; exec httpd -f -p 6379 -h /data\"]",
		"nginx:1.29", dockertest.Image+"\n        command: [httpd, -f, -p, \"80\", -h, /usr/share/nginx/html]", "nginx -s reload", "\"true\"", ":8080:", ":"+port+":",
		"10.77.0.0/24", strings.Replace(d.Subnet.String(), "172.31.", "172.28.", 1),
	).Replace(string(text))
	s, err := c.Services().Create(ctx, client.CreateService{Document: client.Document{Source: source, File: "docker.yaml", Format: "native"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Services().WaitFor(ctx, s.Ref(), "RUNNING"); err != nil {
		for i, ierr := range c.Services().Instances(t.Context(), s.Ref(), client.InstanceFilter{}) {
			t.Logf("%+v %v", i, ierr)
		}
		t.Fatal(err)
	}
	page := get(t, "http://127.0.0.1:"+port+"/")
	if !strings.Contains(page, "The database is 172.28.") {
		t.Errorf("the page says %q", page)
	}
	killed, err := d.Client.ContainerList(ctx, mobyclient.ContainerListOptions{Filters: make(mobyclient.Filters).Add("label", "dev.troupe.role=db")})
	if err != nil || len(killed.Items) != 1 {
		t.Fatal(killed.Items, err)
	}
	if _, err := d.Client.ContainerRemove(ctx, killed.Items[0].ID, mobyclient.ContainerRemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := d.Client.ContainerList(ctx, mobyclient.ContainerListOptions{Filters: make(mobyclient.Filters).Add("label", "dev.troupe.role=db")})
		if err != nil {
			t.Fatal(err)
		}
		if len(now.Items) == 1 && now.Items[0].ID != killed.Items[0].ID {
			break
		}
		<-tick.C
	}
	if again := get(t, "http://127.0.0.1:"+port+"/"); again != page {
		t.Errorf("after healing the page says %q, before %q: the address was not kept", again, page)
	}
	if _, err := c.Services().Remove(ctx, s.Ref(), client.Undeploy{Data: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Services().WaitFor(ctx, s.Ref(), client.Gone); err != nil {
		t.Fatal(err)
	}
	list, err := d.Client.ContainerList(ctx, mobyclient.ContainerListOptions{All: true})
	if err != nil || len(list.Items) > 0 {
		t.Errorf("containers %v are left, %v", list.Items, err)
	}
	volumes, err := d.Client.VolumeList(ctx, mobyclient.VolumeListOptions{})
	if err != nil || len(volumes.Items) > 0 {
		t.Errorf("volumes %v are left, %v", volumes.Items, err)
	}
	networks, err := d.Client.NetworkList(ctx, mobyclient.NetworkListOptions{Filters: make(mobyclient.Filters).Add("label", "dev.troupe.installation")})
	if err != nil || len(networks.Items) > 0 {
		t.Errorf("networks %v are left, %v", networks.Items, err)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
