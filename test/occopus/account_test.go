package occopus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
)

// TestNovaAccounts: a resource section chooses, of several accounts at one end point, the one of its project and region.
// The cloud need not answer for that.
func TestNovaAccounts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	endpoint := "http://" + l.Addr().String()
	account := func(name, project, region string) app.Account {
		return app.Account{Driver: "openstack", Name: name, Values: map[string]any{"endpoint": endpoint, "username": "ann", "password": "secret", "project": project, "region": region}}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a, err := app.New(ctx, app.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Accounts: []app.Account{account("", "web", "One"), account("two", "web", "Two"), account("shop", "shop", "One")}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.WithoutCancel(ctx)) }()
	t.Cleanup(func() {
		if err := errors.Join(a.Stop(), <-ended); err != nil {
			t.Error(err)
		}
	})
	<-a.Ready()
	c, err := client.New(a.Addrs()["main"], client.Options{User: "oneadmin", Password: a.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for n, x := range []struct{ endpoint, project, region, want, says string }{
		{endpoint, "web", "One", "", ""},
		{endpoint + "/v3", "web", "Two", "two", ""},
		{endpoint + "/v3/", "shop", "One", "shop", ""},
		{endpoint, "shop", "Two", "", "no account of driver openstack reaches"},
		{"http://127.0.0.1:1/v3", "web", "One", "", "no account of driver openstack reaches"},
	} {
		definition := fmt.Sprintf("'node_def:n%d': [{resource: {type: nova, endpoint: '%s', project_id: %s, region_name: %s, image_id: i, flavor_name: f, network_id: net, volume_size: 0}}]\n", n, x.endpoint, x.project, x.region)
		if _, err := c.Machines().Put(ctx, client.PutMachine{Document: client.Document{Format: "occopus", Source: definition}}); err != nil {
			t.Fatal(err)
		}
		p, err := c.Services().PlanCreate(ctx, client.CreateService{Document: client.Document{Format: "occopus", Source: fmt.Sprintf("infra_name: i\nuser_id: u\nnodes: [{name: a, type: n%d}]\n", n)}})
		if x.says != "" {
			if err == nil || !strings.Contains(err.Error(), x.says) {
				t.Errorf("%+v: %v", x, err)
			}
			continue
		}
		if err != nil || len(p.Machines) != 1 || p.Machines[0].Account != x.want {
			t.Errorf("%+v: %+v, %v", x, p.Machines, err)
			continue
		}
		if o := p.Machines[0].Options; o["boot_volume"] != true || fmt.Sprint(o["networks"]) != "[net]" || o["volume_size"] != nil {
			t.Errorf("%+v: asked for is %v", x, o)
		}
	}
}
