package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// An App is a program that the Cloud Controller holds: a service of one machine, which serves on AppPort of its address. Its name is
// the service's alias.
type App struct {
	Name string
	// Image is the name of a machine definition, or of an image of containers.
	Image string
	// Env is the environment that was asked for; what the Cloud Controller adds is not in it.
	Env map[string]string
	// Active: it runs, and its port is open. Address is where it is, or was last; "" before it has been made.
	Active  bool
	Address string
	Service uint64
	State   string // of the service, for people
	Reason  string // why it is not active
}

// AppPort is where programs of the Cloud Controller serve.
const AppPort = "8080"

const (
	appFormat = "hurtle-app"
	appRole   = "so"
	// AppLabel marks the services of the Cloud Controller; its value is the app's name.
	AppLabel = "it.hurtle.id"
)

// appCheck is when a program is there: its port is open.
var appCheck = service.Check{TCP: ":" + AppPort, Interval: time.Second, Timeout: 2 * time.Second, Failures: 5}

// appDocument is what is kept of an app beside its service.
type appDocument struct {
	Image string            `json:"image"`
	Env   map[string]string `json:"env,omitempty"`
}

// StartApp makes an app of the caller's project. Env is laid over that of its machine definition. Errors are of class identity.ErrExists
// when there is one of the name.
func (c *Control) StartApp(ctx context.Context, who *identity.Caller, app App, own map[string]string) error {
	if err := service.ValidateAlias(app.Name); err != nil {
		return fmt.Errorf("%w: %w", identity.ErrInvalid, err)
	}
	m, err := c.appMachine(who, app.Image)
	if err != nil {
		return err
	}
	env := maps.Clone(m.Env)
	if env == nil {
		env = make(map[string]string)
	}
	maps.Copy(env, escaped(app.Env))
	for name, v := range own {
		if _, fixed := m.Env[name]; !fixed || m.Env[name] == "" {
			env[name] = v
		}
	}
	m.Env = env
	document, err := json.Marshal(appDocument{app.Image, app.Env})
	if err != nil {
		return fmt.Errorf("encode app %s: %w", app.Name, err)
	}
	one := 1
	spec := &service.Spec{Name: app.Name, Description: "Program of the Cloud Controller", Strategy: service.NoOrder, Format: appFormat, Document: document,
		Labels: map[string]string{AppLabel: app.Name},
		Roles:  []service.RoleSpec{{Name: appRole, Cardinality: 1, Min: &one, Max: &one, Machine: m, Heal: service.HealAuto, Identity: service.Stable, Restart: service.Always}}}
	_, err = c.Deploy(ctx, who, Deployment{Spec: spec, Alias: app.Name, Permissions: 0o660}) // apps are the project's
	if errors.Is(err, engine.ErrAliasTaken) {
		err = fmt.Errorf("app %s: %w", app.Name, identity.ErrExists)
	}
	return err
}

// escaped keeps values of users from being read as templates.
func escaped(env map[string]string) map[string]string {
	out := make(map[string]string, len(env))
	for k, v := range env {
		if strings.Contains(v, "{{") || strings.Contains(v, "{%") || strings.Contains(v, "{#") {
			v = "{% raw %}" + strings.ReplaceAll(v, "{% endraw", "{% endraw %}{{ '{% endraw' }}{% raw %}") + "{% endraw %}"
		}
		out[k] = v
	}
	return out
}

// appMachine returns the machine definition that an image names, or one that runs it as a container.
func (c *Control) appMachine(who *identity.Caller, image string) (service.Machine, error) {
	m, err := c.Resolver(who)(image)
	if err == nil || !errors.Is(err, identity.ErrNotFound) {
		return m, err
	}
	if c.engine.Backend("docker", "") == nil {
		return m, fmt.Errorf("%w; a name that is no machine definition's is an image of containers, which the driver docker would run, but this server does not have it", err)
	}
	return service.Machine{Implementations: []service.Implementation{{Driver: "docker", Options: map[string]any{"image": image}}}, Checks: []service.Check{appCheck}}, nil
}

// Apps returns the apps of the caller's projects, by name.
func (c *Control) Apps(who *identity.Caller) []App {
	var out []App
	for _, id := range c.Services(who) {
		_ = c.Read(who, id, func(s *service.Service) { // one that has gone meanwhile is left out
			if s.Spec.Format == appFormat && s.Meta.Group == who.Group {
				out = append(out, appOf(s))
			}
		})
	}
	slices.SortFunc(out, func(a, b App) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// App returns an app of the caller's project.
func (c *Control) App(who *identity.Caller, name string) (App, error) {
	missing := fmt.Errorf("app %.60q: %w", name, identity.ErrNotFound)
	id := c.engine.Aliased(who.Group, name)
	if id == 0 {
		return App{}, missing
	}
	var app App
	err := c.Read(who, id, func(s *service.Service) {
		if s.Spec.Format == appFormat {
			app = appOf(s)
		}
	})
	if err == nil && app.Name == "" {
		err = missing
	}
	return app, err
}

func appOf(s *service.Service) App {
	app := App{Name: s.Meta.Alias, Service: s.ID, State: s.State.String(), Reason: s.Reason}
	var d appDocument
	if json.Unmarshal(s.Spec.Document, &d) == nil {
		app.Image, app.Env = d.Image, d.Env
	}
	r := s.Role(appRole)
	if r == nil {
		return app
	}
	for i := range r.Instances {
		if len(i.Addresses) > 0 {
			app.Address = net.JoinHostPort(i.Addresses[0], AppPort)
		}
		app.Active = i.Phase == service.Up && i.Machine == driver.Running
	}
	return app
}

// StopApp removes an app with its data, and returns when it is gone.
func (c *Control) StopApp(ctx context.Context, who *identity.Caller, name string) error {
	app, err := c.App(who, name)
	if err != nil {
		return err
	}
	return c.Remove(ctx, who, app.Service, service.Undeploy{Data: true, Force: true})
}
