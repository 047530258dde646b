package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/troupe-dev/troupe/app"
	"github.com/troupe-dev/troupe/client"
)

const shop = `
name: shop
roles:
  db:  {machine: {driver: sim}, identity: stable}
  web: {machine: {driver: sim}, count: 2..10, needs: db}
`

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url, password, stop := server(ctx) // in this process; yours runs somewhere
	defer stop()

	c, err := client.New(url, client.Options{User: "oneadmin", Password: password})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	s, err := c.Services().Create(ctx, client.CreateService{Document: client.Document{Source: shop}})
	if err != nil {
		log.Fatal(err)
	}
	if s, err = c.Services().WaitFor(ctx, s.Ref(), "RUNNING"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Name, s.State, s.Role("web").Settled)

	_, err = c.Services().Scale(ctx, s.Ref(), client.Scale{Role: "web", Cardinality: "+3"})
	if err != nil {
		log.Fatal(err)
	}
	for i, err := range c.Services().Instances(ctx, s.Ref(), client.InstanceFilter{Role: "web"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(i.Name)
	}

	_, err = c.Services().Scale(ctx, s.Ref(), client.Scale{Role: "web", Cardinality: "50"})
	fmt.Println(err, client.IsInvalid(err))

	if _, err = c.Services().Remove(ctx, s.Ref(), client.Undeploy{}); err != nil {
		log.Fatal(err)
	}
	_, err = c.Services().WaitFor(ctx, s.Ref(), client.Gone)
	fmt.Println("gone:", err == nil)
	// Output:
	// shop RUNNING 2
	// web-0
	// web-1
	// web-2
	// web-3
	// web-4
	// Maximum cardinality is 10 true
	// gone: true
}

// server runs a server with simulated machines and returns its URL and its administrator's password.
func server(ctx context.Context) (url, password string, stop func()) {
	dir, err := os.MkdirTemp("", "troupe-")
	if err != nil {
		log.Fatal(err)
	}
	a, err := app.New(ctx, app.Options{DataDir: dir, Listen: "127.0.0.1:0", Accounts: []app.Account{{Driver: "sim"}}})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(context.WithoutCancel(ctx)) }()
	select {
	case <-a.Ready():
	case err := <-ended:
		log.Fatal("the server ended: ", err)
	}
	return a.Addrs()["main"], a.Password(), func() {
		if err := errors.Join(a.Stop(), <-ended, os.RemoveAll(dir)); err != nil {
			log.Print(err)
		}
	}
}

// What programs did with the library of Occopus: build an infrastructure, watch it, scale it by a rule of their own, and
// tear it down.
func Example_infrastructure() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url, password, stop := server(ctx)
	defer stop()
	c, err := client.New(url, client.Options{User: "oneadmin", Password: password})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	const definition = "'node_def:worker': [{resource: {type: sim}}]"
	if _, err = c.Machines().Put(ctx, client.PutMachine{Document: client.Document{Format: "occopus", Source: definition}}); err != nil {
		log.Fatal(err)
	}
	const infra = "{user_id: me, infra_name: cluster, nodes: [{name: w, type: worker, scaling: {min: 1, max: 3}}]}"
	s, err := c.Services().Create(ctx, client.CreateService{Document: client.Document{Format: "occopus", Source: infra}, Alias: "cluster-1"})
	if err != nil {
		log.Fatal(err)
	}

	tasks, seen := 3, 0 // the rule: a worker for each task
	for _, err := range c.Watch(ctx, client.WatchOptions{Service: s.Ref(), Now: true}) {
		if err != nil {
			log.Fatal(err)
		}
		if s, err = c.Services().Get(ctx, "cluster-1"); err != nil {
			log.Fatal(err)
		}
		w := s.Role("w")
		if s.State != "RUNNING" || w.Settled == seen {
			continue
		}
		seen = w.Settled
		fmt.Println("workers:", seen)
		if w.Cardinality == tasks {
			break
		}
		if _, err := c.Services().Scale(ctx, s.Ref(), client.Scale{Role: "w", Cardinality: client.Cardinality(fmt.Sprint(tasks))}); err != nil {
			log.Fatal(err)
		}
	}

	if _, err = c.Services().Remove(ctx, s.Ref(), client.Undeploy{}); err != nil {
		log.Fatal(err)
	}
	_, err = c.Services().WaitFor(ctx, s.Ref(), client.Gone)
	fmt.Println("gone:", err == nil)
	// Output:
	// workers: 1
	// workers: 3
	// gone: true
}
