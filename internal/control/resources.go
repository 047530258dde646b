package control

import (
	"fmt"
	"slices"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// A Maker is a back end that makes resources of some kind.
type Maker struct {
	Driver, Account string
	Kind            *driver.ResourceKind
}

// Makers returns the back ends that make a kind of resource ("network", "volume") for the caller, in the order of the
// server's configuration.
func (c *Control) Makers(who *identity.Caller, kind string) []Maker {
	var out []Maker
	for _, b := range c.engine.Backends() {
		what, err := b.Kind.Resource(kind)
		if err == nil && (who.MayUseHost() || !b.Kind.HostAccess) {
			out = append(out, Maker{b.Kind.Name, b.Account, what})
		}
	}
	return out
}

// checkResources refuses resources that no driver of this server makes, or that the caller may not make.
func (c *Control) checkResources(who *identity.Caller, spec *service.Spec) error {
	for n := range spec.Resources {
		x := &spec.Resources[n]
		if x.Driver == service.Recorded {
			continue
		}
		place := fmt.Sprintf("resources[%d]", n)
		kind, err := c.kinds.Find(x.Driver)
		if err != nil {
			return misplaced(place+".driver", identity.ErrInvalid, err)
		}
		if c.engine.Backend(x.Driver, x.Account) == nil {
			return misplaced(place, identity.ErrInvalid, noAccount(x.Driver, x.Account))
		}
		what, err := kind.Resource(x.Kind)
		if err != nil {
			return misplaced(place+".kind", identity.ErrInvalid, err)
		}
		if _, err := what.Check(x.Options); err != nil {
			return misplaced(place+".options", identity.ErrInvalid, err)
		}
		if who.MayUseHost() {
			continue
		}
		if kind.HostAccess {
			return misplaced(place, identity.ErrDenied, fmt.Errorf("resources of driver %s reach this server's host; ask an administrator for the grant \"host\"", x.Driver))
		}
		if reach := what.ReachesHost(x.Options); reach != "" {
			return misplaced(place, identity.ErrDenied, fmt.Errorf("%s reaches the host; ask an administrator for the grant \"host\"", reach))
		}
	}
	return nil
}

// redactResources returns copies for showing: secret options, and unknown ones, read driver.Redacted.
func (c *Control) redactResources(resources []service.ResourceSpec) []service.ResourceSpec {
	shown := slices.Clone(resources)
	for n := range shown {
		options := &driver.Kind{Options: c.resourceOptions(&shown[n])}
		shown[n].Options = options.Redact(shown[n].Options)
	}
	return shown
}

func (c *Control) resourceOptions(x *service.ResourceSpec) []driver.Option {
	kind, err := c.kinds.Find(x.Driver)
	if err != nil {
		return nil
	}
	what, err := kind.Resource(x.Kind)
	if err != nil {
		return nil
	}
	return what.Options
}

// restoreResources puts the secrets of the resources that they replace into those that were shown and
// come back.
func (c *Control) restoreResources(spec, old *service.Spec) error {
	for n := range spec.Resources {
		x := &spec.Resources[n]
		was := old.Resource(x.Name)
		for name, v := range x.Options {
			if v != driver.Redacted {
				continue
			}
			secret := slices.ContainsFunc(c.resourceOptions(x), func(o driver.Option) bool { return o.Name == name && o.Secret })
			if !secret || was == nil || was.Driver != x.Driver || was.Kind != x.Kind || was.Options[name] == nil {
				return noSecret(fmt.Sprintf("resources.%s.options.%s", x.Name, name))
			}
			x.Options[name] = was.Options[name]
		}
	}
	return nil
}
