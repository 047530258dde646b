package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/nearest"
	"github.com/troupe-dev/troupe/internal/service"
)

// A place is where a spec is checked: whose it is to be, for which service, and which spec that has now.
type place struct {
	group   int
	service uint64        // 0 for a new one
	present *service.Spec // nil for none
}

// mayUse reports whether a user may use a service, as things are now.
func (c *Control) mayUse(owner int, meta *service.Meta) bool {
	who, err := c.directory.As(owner)
	return err == nil && identity.Allowed(who, object(meta), identity.Use)
}

// checkServices refuses needed services that are not there, or that the caller may not use or make.
func (c *Control) checkServices(who *identity.Caller, spec *service.Spec, at place) error {
	for n := range spec.Services {
		x := &spec.Services[n]
		path := fmt.Sprintf("services[%d]", n)
		if x.Spec == nil {
			if err := c.checkReference(who, x, at); err != nil {
				return misplaced(path+".service", identity.ErrInvalid, err)
			}
			continue
		}
		inner := place{group: at.group, service: at.service}
		if at.present != nil {
			if was := at.present.Supplier(x.Name); was != nil {
				inner.present = was.Spec
			}
		}
		err := c.check(who, x.Spec, inner)
		var wrong *Misplaced
		if errors.As(err, &wrong) {
			wrong.Path = path + ".spec." + wrong.Path
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkReference looks for a service that another one needs, and for what it gives.
func (c *Control) checkReference(who *identity.Caller, x *service.SupplierSpec, at place) error {
	id, err := c.engine.Lookup(at.group, x.Service)
	if errors.Is(err, engine.ErrNoService) {
		return fmt.Errorf("%w%s; deploy it first, or have one made from a template", err, nearest.Hint(x.Service, c.serviceNames(who, at.group)))
	}
	if err != nil {
		return err
	}
	var wrong error
	c.engine.View(id, func(s *service.Service) {
		switch {
		case s.Meta.Group != at.group || !identity.Allowed(who, object(&s.Meta), identity.Use):
			wrong = fmt.Errorf("service %q: %w in the project that you may use", x.Service, engine.ErrNoService)
		case s.Leaving:
			wrong = fmt.Errorf("service %q is being removed", x.Service)
		default:
			for _, name := range x.Uses {
				if s.Spec.Output(name) == nil {
					wrong = fmt.Errorf("service %q has no output %q%s", x.Service, name, nearest.Hint(name, outputNames(s.Spec)))
				}
			}
		}
	})
	if wrong != nil || at.service == 0 {
		return wrong
	}
	if way := c.engine.Circle(at.service, id); way != "" {
		return fmt.Errorf("services would need each other in a circle: %s", way)
	}
	return nil
}

func (c *Control) serviceNames(who *identity.Caller, group int) (names []string) {
	c.engine.Each(func(_ uint64, s *service.Service) bool {
		if s.Meta.Group == group && s.State != service.Done && identity.Allowed(who, object(&s.Meta), identity.Use) {
			names = append(names, s.Meta.Name)
		}
		return len(names) < 1000
	})
	return names
}

func outputNames(s *service.Spec) []string {
	names := make([]string, len(s.Outputs))
	for n := range s.Outputs {
		names[n] = s.Outputs[n].Name
	}
	return names
}

// redactServices returns copies for showing.
func (c *Control) redactServices(all []service.SupplierSpec) []service.SupplierSpec {
	shown := slices.Clone(all)
	for n := range shown {
		x := &shown[n]
		if x.Spec == nil {
			continue
		}
		var secrets []string
		for _, name := range x.Spec.Secrets {
			if !strings.Contains(x.Inputs[name], "{{") {
				secrets = append(secrets, name)
			}
		}
		x.Inputs = redactInputs(x.Inputs, secrets)
		x.Spec = c.Redact(x.Spec)
	}
	return shown
}

// restoreServices puts the secrets of the needed services that they replace into those that were shown and come back.
func (c *Control) restoreServices(spec, old *service.Spec) error {
	for n := range spec.Services {
		x := &spec.Services[n]
		if x.Spec == nil {
			continue
		}
		was := old.Supplier(x.Name)
		if was == nil || was.Spec == nil {
			was = &service.SupplierSpec{}
		}
		if err := restoreInputs("services."+x.Name+".inputs", x.Inputs, was.Inputs, x.Spec.Secrets); err != nil {
			return err
		}
		if err := c.RestoreSecrets(x.Spec, was.Spec); err != nil {
			return fmt.Errorf("services.%s: %w", x.Name, err)
		}
	}
	return nil
}
