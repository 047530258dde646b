//go:build linux

package examples

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/docker/dockertest"
)

// TestCloudInit carries the same user data out as a process and in a container of a real daemon.
func TestCloudInit(t *testing.T) {
	d := dockertest.Start(t, dockertest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := serve(ctx, t, func(o *app.Options) {
		o.Accounts = []app.Account{{Driver: "process"}, {Driver: "docker", Values: map[string]any{"endpoint": d.Endpoint}}}
	})
	text, err := os.ReadFile("cloudinit.yaml")
	if err != nil {
		t.Fatal(err)
	}
	source := strings.ReplaceAll(string(text), "{image: \"busybox:1.37\"}", "{image: \""+dockertest.Image+"\", networks: ["+dockertest.Network+"]}")
	s, err := c.Services().Create(ctx, client.CreateService{Document: client.Document{Source: source, File: "cloudinit.yaml", Format: "native"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Services().WaitFor(ctx, s.Ref(), "RUNNING"); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"host", "container"} {
		until(ctx, t, c, s.Ref(), role, "Hello from "+role+"-0\nmy role is "+role+"\n")
		until(ctx, t, c, s.Ref(), role, "cloud-init: packages is ignored\n") // on the error output, which keeps no order with the output
	}
	if s, err = c.Services().Get(ctx, s.Ref()); err != nil || s.State != "RUNNING" {
		t.Errorf("afterwards it is %s, %v", s.State, err)
	}
	if _, err := c.Services().Remove(ctx, s.Ref(), client.Undeploy{Data: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Services().WaitFor(ctx, s.Ref(), client.Gone); err != nil {
		t.Fatal(err)
	}
}
