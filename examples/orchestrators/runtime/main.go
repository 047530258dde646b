// Command runtime is a service orchestrator that looks after its service: when the machine goes silent, it has another made in its place,
// with the same address. README.md tells how to run it.
package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"

	"github.com/troupe-dev/troupe/orchestrator"
)

//go:embed one-vm.yaml
var template string

// server is the machine's name in the template. What replaces it is called rcb_si_1, and then rcb_si again.
const server = "rcb_si"

// Templates have the stack made, updated and removed, and can replace single resources of it; what is added here are a user for the
// agent, and an alarm.
type runtime struct {
	*orchestrator.Templates
	instance *orchestrator.Instance
	cloud    *orchestrator.Cloud
}

func main() { orchestrator.Main(newRuntime) }

func newRuntime(_ context.Context, i *orchestrator.Instance) (orchestrator.Execution, error) {
	r := &runtime{instance: i, cloud: i.Cloud("")}
	both := orchestrator.Pair{Deployment: template, Provision: template}
	r.Templates = &orchestrator.Templates{Instance: i, Regions: map[string]orchestrator.Pair{"RegionOne": both}, Parameters: r.parameters}
	return r, nil
}

// Deploy makes a user for the agent, the stack, and an alarm for the time when the agent goes silent. What is there already after
// an earlier try is not made again.
func (r *runtime) Deploy(ctx context.Context, a orchestrator.Attributes) error {
	if r.instance.Value("user") == "" {
		u, err := r.cloud.CreateUser(ctx)
		if err != nil {
			return err
		}
		if err := errors.Join(r.instance.Keep("user", u.ID), r.instance.Keep("username", u.Name), r.instance.Keep("password", u.Password), r.instance.Keep("service", rand.Text())); err != nil {
			return err
		}
	}
	if err := r.Templates.Deploy(ctx, a); err != nil {
		return err
	}
	if r.instance.Value("alarm") != "" {
		return nil
	}
	// No processor is ever busier than 100 %: this alarm is OK while metrics come, and undetermined when they do not.
	expression := fmt.Sprintf("avg(cpu.user_perc{service=%s,hostname=%s}, %s) > 100", r.instance.Value("service"), r.attribute("hostname"), r.attribute("period"))
	name, id, err := r.cloud.Notify(ctx, expression, r.instance.URL(), orchestrator.Undetermined)
	return errors.Join(err, r.instance.Keep("alarm", name), r.instance.Keep("alarm-id", string(id)))
}

// defaults are the attributes that nobody has to give. Monasca knows periods of a minute and more, Troupe those of a second too.
var defaults = orchestrator.Attributes{"hostname": "host1", "period": "60", "interval": "30", "agent": "troupe-agent"}

// attribute is what the client said at initialisation.
func (r *runtime) attribute(name string) string {
	if v := r.instance.Attributes()["runtime."+name]; v != "" {
		return v
	}
	return defaults[name]
}

// parameters are those of the template, at deployment and at each update: the template's defaults would stand in for what is
// left out.
func (r *runtime) parameters(context.Context, string, orchestrator.Attributes) (map[string]any, error) {
	keystone, err := r.cloud.Design()
	if err != nil {
		return nil, err
	}
	p := map[string]any{"tenant": r.instance.Tenant(), "service_id": r.instance.Value("service"), "keystone_url": keystone,
		"username": r.instance.Value("username"), "password": r.instance.Value("password")}
	for _, name := range []string{"hostname", "interval", "agent"} {
		p[name] = r.attribute(name)
	}
	return p, nil
}

// Notify is told that an alarm goes off. One that is not this service's is ignored.
func (r *runtime) Notify(ctx context.Context, a orchestrator.Attributes) error {
	if name := a[orchestrator.AttrAlarm]; name != r.instance.Value("alarm") {
		return nil
	}
	return r.Replace(ctx, server)
}

// Dispose takes down the alarm, which would go off otherwise, the stack, and the user. It goes on where one fails.
func (r *runtime) Dispose(ctx context.Context) error {
	var errs []error
	if id := r.instance.Value("alarm-id"); id != "" {
		errs = append(errs, r.cloud.DisposeAlarm(ctx, orchestrator.AlarmID(id)))
	}
	errs = append(errs, r.Templates.Dispose(ctx))
	if id := r.instance.Value("user"); id != "" {
		errs = append(errs, r.cloud.DeleteUser(ctx, id))
	}
	return errors.Join(errs...)
}
