package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/occi"
	"github.com/troupe-dev/troupe/orchestrator"
	"github.com/troupe-dev/troupe/orchestrator/declared"
)

// demoStack is a Heat template: a machine on a port, with an agent in it.
const demoStack = `heat_template_version: 2015-10-15
parameters:
  agent: {type: string}
  username: {type: string}
  password: {type: string, hidden: true}
  tenant: {type: string}
  keystone: {type: string}
resources:
  port: {type: OS::Neutron::Port, properties: {network: private}}
  vm:
    type: OS::Nova::Server
    properties:
      image: debian-13
      flavor: m1.tiny
      networks: [{port: {get_resource: port}}]
      user_data_format: RAW
      user_data:
        str_replace:
          params: {$agent: {get_param: agent}, $username: {get_param: username}, $password: {get_param: password}, $tenant: {get_param: tenant}, $keystone: {get_param: keystone}}
          template: |
            #!/bin/sh
            echo '$password' | $agent setup --config-dir "$PWD/agent" --unit-dir "$PWD/agent" --check-frequency 1 --service reactive \
              --username $username --password - --project-name $tenant --keystone-url $keystone
            $agent --config "$PWD/agent/agent.yaml" & echo $! > agent.pid
outputs:
  address: {value: {get_attr: [port, fixed_ips, 0, ip_address]}}
`

// demoOrchestrator declares what is done with it.
const demoOrchestrator = `template: vm.yaml
parameters:
  agent: %q
  username: "{{ user.name }}"
  password: "{{ user.password }}"
  tenant: "{{ tenant }}"
  keystone: "{{ design }}"
rules:
  silent:
    on: {alarm: "avg(cpu.user_perc{service=reactive}, 1) > 100", state: undetermined}
    do: {replace: vm}
`

const demoPath = "/orchestrator/default"

// reactive serves a Hurtle orchestrator, which deploys a stack. The agent in the machine is killed: the alarm that then goes off calls the
// orchestrator, and this replaces the machine.
func (d *demo) reactive(ctx context.Context) (err error) {
	token, err := d.login(ctx)
	if err != nil {
		return err
	}
	so, stop, err := d.orchestrator(ctx, token)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	e := &occi.Entity{Path: demoPath, Kind: orchestrator.Kind}
	e.Attributes.Set("occi.mcn.app.url", so.URL+demoPath)
	if _, err := so.Create(ctx, "/orchestrator/", e); err != nil {
		return err
	}
	for _, phase := range []struct{ action, state string }{{"deploy", orchestrator.CreateComplete}, {"provision", orchestrator.UpdateComplete}} {
		if err := so.Act(ctx, demoPath, occi.Invocation{Action: occi.TypeID(orchestrator.Scheme + phase.action)}); err != nil {
			return err
		}
		if err := until(ctx, func() (bool, error) {
			e, err := so.Get(ctx, demoPath)
			return err == nil && e.Attributes.Text("occi.mcn.stack.state") == phase.state, err
		}); err != nil {
			return err
		}
	}
	if err := d.silence(ctx); err != nil {
		return err
	}
	return so.Delete(ctx, demoPath)
}

// login returns a token of the demo's user, by the server's Keystone.
func (d *demo) login(ctx context.Context) (string, error) {
	p, err := openstack.NewClient(d.app.Addrs()["main"] + "/keystone/v3")
	if err != nil {
		return "", err
	}
	err = openstack.AuthenticateV3(ctx, p, &tokens.AuthOptions{Username: "oneadmin", Password: d.app.Password(), DomainName: "Default",
		Scope: tokens.Scope{ProjectName: "oneadmin", DomainName: "Default"}}, gophercloud.EndpointOpts{})
	return p.TokenID, err
}

// orchestrator serves the orchestrator at an address of its own, and returns a client for it and what ends it.
func (d *demo) orchestrator(ctx context.Context, token string) (*occi.Client, func() error, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	text := fmt.Sprintf(demoOrchestrator, self+" agent")
	what, err := declared.Read("orchestrator.yaml", []byte(text), func(string) ([]byte, error) { return []byte(demoStack), nil })
	if err != nil {
		return nil, nil, err
	}
	cloud := orchestrator.NewCloud(orchestrator.CloudOptions{Design: d.app.Addrs()["main"] + "/keystone/v3", Token: func() string { return token }, Tenant: "oneadmin"})
	what.Cloud = func(*orchestrator.Instance, string) *orchestrator.Cloud { return cloud }
	h, err := orchestrator.NewHandler(ctx, what.New, orchestrator.Options{Log: d.log})
	if err != nil {
		return nil, nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	stop := func() error {
		err := s.Close()
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		h.Close()
		return err
	}
	c := &occi.Client{URL: "http://" + l.Addr().String(), InHeaders: true, Header: http.Header{"X-Auth-Token": {token}, "X-Tenant-Name": {"oneadmin"}}}
	return c, stop, nil
}

// silence kills the agent of the stack's machine, and waits for the machine that comes in its place.
func (d *demo) silence(ctx context.Context) error {
	if err := until(ctx, func() (bool, error) {
		for a, err := range d.client.Alarms().List(ctx, client.AlarmFilter{}) {
			if err != nil {
				return false, err
			}
			if strings.HasPrefix(a.Name, "so-") && a.State == "OK" {
				return true, nil
			}
		}
		return false, nil
	}); err != nil {
		return err
	}
	before, stack, err := d.stackMachine(ctx, "vm")
	if err != nil {
		return err
	}
	exit, err := d.client.Services().Exec(ctx, stack, before.Serial, client.Exec{Command: []string{"sh", "-c", "kill -9 $(cat agent.pid)"}})
	if err != nil || exit != 0 {
		return errors.Join(err, fmt.Errorf("the agent of %s cannot be killed: code %d", before.Name, exit))
	}
	began := time.Now()
	fmt.Fprintf(d.t.out, "killed the agent of %s at %s: it is silent\n", before.Role, before.Addresses[0])
	var now client.Instance
	if err := until(ctx, func() (bool, error) {
		now, _, err = d.stackMachine(ctx, "vm_1")
		return err == nil && now.Serial != 0, err
	}); err != nil {
		return err
	}
	took := now.Since.Sub(began)
	if now.Addresses[0] != before.Addresses[0] {
		return fmt.Errorf("%s is at %s, not at %s", now.Role, now.Addresses[0], before.Addresses[0])
	}
	history, err := d.client.Alarms().History(ctx, client.HistoryFilter{State: "UNDETERMINED", Since: began})
	if err != nil {
		return err
	}
	if len(history) == 0 {
		return errors.New("the alarm has not become undetermined")
	}
	fmt.Fprintf(d.t.out, "undetermined after %d ms, %s running at the same address after %d ms\n", history[0].Time.Sub(began).Milliseconds(), now.Role, took.Milliseconds())
	return nil
}

// stackMachine is the machine of a stack that is up with a name, if there is one, and the stack's service.
func (d *demo) stackMachine(ctx context.Context, role string) (found client.Instance, stack string, err error) {
	for s, err := range d.client.Services().List(ctx, client.ServiceFilter{}) {
		if err != nil {
			return found, "", err
		}
		if s.ID == d.service.ID {
			continue
		}
		for i, err := range d.client.Services().Instances(ctx, s.Ref(), client.InstanceFilter{Role: role}) {
			if client.IsNotFound(err) {
				break // the role is not there yet
			}
			if err != nil {
				return found, "", err
			}
			if i.Phase == "up" && len(i.Addresses) > 0 {
				return i, s.Ref(), nil
			}
		}
	}
	return found, "", nil
}

// until looks at something again and again until it is so.
func until(ctx context.Context, so func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := so(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
