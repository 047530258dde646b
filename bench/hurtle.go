package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/occi"
	"github.com/troupe-dev/troupe/orchestrator"
)

// provision measures a service instance from its creation over OCCI until it is provisioned, with an orchestrator in the server's process that
// has ten simulated machines made: one after the other, and 500 at once.
func provision() error {
	dir, err := os.MkdirTemp("", "troupe-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &provisioning{}
	a, err := app.New(context.Background(), app.Options{DataDir: dir, Listen: "127.0.0.1:0", Accounts: []app.Account{{Driver: "sim"}}, Log: slog.New(slog.DiscardHandler),
		Orchestrators: map[string]orchestrator.Factory{"ten": b.orchestrator}})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.Background()) }()
	<-a.Ready()
	defer func() { _ = errors.Join(a.Stop(), <-ended) }()
	if err := b.open(a); err != nil {
		return err
	}
	var took []time.Duration
	for range 50 {
		t, err := b.one()
		if err != nil {
			return err
		}
		took = append(took, t)
	}
	slices.Sort(took)
	figure("create until provisioned, 10 machines (median of 50)", float64(took[25].Microseconds())/1000, 100, "ms", false)
	note("the slowest of them", took[49].Round(time.Millisecond), "")
	const crowd = 500
	begin, busy := time.Now(), processorTime()
	errs := make([]error, crowd)
	var wg sync.WaitGroup
	for n := range crowd {
		wg.Go(func() { _, errs[n] = b.one() })
	}
	wg.Wait()
	figure("500 instances at once until all are provisioned", time.Since(begin).Seconds(), 10, "s", false)
	note("processor time of that, clients included", (processorTime() - busy).Round(10*time.Millisecond), "")
	return errors.Join(errs...)
}

// processorTime is what this process has used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// provisioning is a server with a service manager, and a client of it.
type provisioning struct {
	url, token string
	client     *client.Client
}

func (b *provisioning) open(a *app.App) error {
	b.url = a.Addrs()["main"]
	var err error
	if b.client, err = client.New(b.url, client.Options{User: "oneadmin", Password: a.Password()}); err != nil {
		return err
	}
	if _, err = b.client.Managers().Put(context.Background(), client.PutManager{Manifest: `{"service_type": "http://example.org/occi/sm#ten", "service_description": "Ten machines",
		"service_attributes": {}, "service_endpoint": "http://sm.example.org:8890/ten/", "depends_on": []}`, ManagerOptions: client.ManagerOptions{Program: "ten"}}); err != nil {
		return err
	}
	body := `{"auth":{"tenantName":"oneadmin","passwordCredentials":{"username":"oneadmin","password":"` + a.Password() + `"}}}`
	r, err := http.Post(b.url+"/keystone/v2.0/tokens", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	var answer struct {
		Access struct{ Token struct{ ID string } }
	}
	err = json.NewDecoder(r.Body).Decode(&answer)
	b.token = answer.Access.Token.ID
	return err
}

var benchTransport = &http.Transport{MaxIdleConnsPerHost: 600}

// one makes an instance and waits until it is provisioned.
func (b *provisioning) one() (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := &occi.Client{URL: b.url + "/hurtle/sm/ten", HTTP: &http.Client{Transport: benchTransport}, Accept: occi.TextPlain, Header: http.Header{"X-Auth-Token": {b.token}, "X-Tenant-Name": {"oneadmin"}}}
	begin := time.Now()
	path, err := c.Create(ctx, "/ten/", &occi.Entity{Kind: "http://example.org/occi/sm#ten"})
	if err != nil {
		return 0, err
	}
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		e, err := c.Get(ctx, path)
		if err != nil {
			return 0, err
		}
		switch e.Attributes.Text("mcn.service.state") {
		case "provision":
			return time.Since(begin), nil
		case "fail":
			return 0, fmt.Errorf("%s: %s", path, e.Attributes.Text("mcn.service.state.message"))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return 0, fmt.Errorf("%s is %s after a minute", path, e.Attributes.Text("mcn.service.state"))
		}
	}
}

// ten is an orchestrator whose service is ten simulated machines.
type ten struct {
	client *client.Client
	i      *orchestrator.Instance
}

func (b *provisioning) orchestrator(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
	return &ten{b.client, i}, nil
}

const tenMachines = "name: ten\nroles:\n  m:\n    count: 10\n    machine: {driver: sim}\n"

func (t *ten) Design(context.Context) error { return nil }

func (t *ten) Deploy(ctx context.Context, _ orchestrator.Attributes) error {
	s, err := t.client.Services().Create(ctx, client.CreateService{Document: client.Document{Source: tenMachines}})
	if err != nil {
		return err
	}
	return t.i.Keep("service", client.ID(s.ID))
}

func (t *ten) Provision(context.Context, orchestrator.Attributes) error { return nil }
func (t *ten) Update(context.Context, orchestrator.Attributes, orchestrator.Attributes) error {
	return nil
}

func (t *ten) Dispose(ctx context.Context) error {
	_, err := t.client.Services().Remove(ctx, t.i.Value("service"), client.Undeploy{})
	return err
}

func (t *ten) State(ctx context.Context) (orchestrator.State, error) {
	state := orchestrator.State{Stack: orchestrator.CreateInProgress, ID: t.i.Value("service")}
	if state.ID == "" { // it is being deployed
		return state, nil
	}
	s, err := t.client.Services().Get(ctx, state.ID)
	if err == nil && s.State == "RUNNING" {
		state.Stack = orchestrator.CreateComplete
	}
	return state, err
}
