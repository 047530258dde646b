package orchestrator_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/troupe-dev/troupe/occi"
	"github.com/troupe-dev/troupe/orchestrator"
)

// A greeting is a service that consists of nothing but what it is called.
type greeting struct{ instance *orchestrator.Instance }

func (g *greeting) Design(context.Context) error { return nil }
func (g *greeting) Deploy(context.Context, orchestrator.Attributes) error {
	return g.instance.Keep("text", "hello")
}
func (g *greeting) Provision(context.Context, orchestrator.Attributes) error {
	return g.instance.Keep("text", "hello, "+g.instance.Attributes()["name"])
}
func (g *greeting) Update(context.Context, orchestrator.Attributes, orchestrator.Attributes) error {
	return nil
}
func (g *greeting) Dispose(context.Context) error { return g.instance.Keep("text", "") }
func (g *greeting) State(context.Context) (orchestrator.State, error) {
	return orchestrator.State{Stack: orchestrator.CreateComplete, Outputs: map[string]string{"greeting": g.instance.Value("text")}}, nil
}

// An orchestrator is served by a Handler, or by Main; a service manager, or whoever has a client of OCCI, takes it through its phases.
func Example() {
	ctx := context.Background()
	h, err := orchestrator.NewHandler(ctx, func(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
		return &greeting{i}, nil
	}, orchestrator.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	server := httptest.NewServer(h)
	defer server.Close()

	client := &occi.Client{URL: server.URL, Header: map[string][]string{"X-Auth-Token": {"token"}, "X-Tenant-Name": {"demo"}}}
	e := &occi.Entity{Path: "/orchestrator/default", Kind: orchestrator.Kind}
	e.Attributes.Set("name", "world")
	if _, err := client.Create(ctx, "/orchestrator/", e); err != nil {
		log.Fatal(err)
	}
	for _, action := range []string{"deploy", "provision"} {
		if err := client.Act(ctx, e.Path, occi.Invocation{Action: orchestrator.Scheme + occi.TypeID(action)}); err != nil {
			log.Fatal(err)
		}
		if e, err = client.Get(ctx, e.Path); err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Attributes.Text("greeting"))
	}
	// Output:
	// hello
	// hello, world
}

// A resource that has another name is made anew when a stack is updated. What refers to it follows.
func ExampleRenameResource() {
	template, err := orchestrator.RenameResource(`heat_template_version: 2015-10-15
resources:
  port: {type: OS::Neutron::Port}
  web: {type: OS::Nova::Server, properties: {networks: [{port: {get_resource: port}}]}}
outputs:
  name: {value: {get_attr: [web, name]}}
`, "web", "web_1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(template)
	// Output:
	// heat_template_version: 2015-10-15
	// resources:
	//   port: {type: OS::Neutron::Port}
	//   web_1: {type: OS::Nova::Server, properties: {networks: [{port: {get_resource: port}}]}}
	// outputs:
	//   name: {value: {get_attr: [web_1, name]}}
}
