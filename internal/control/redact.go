package control

import (
	"fmt"
	"maps"
	"slices"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// Redact returns a copy of a spec for showing: secret inputs and the drivers' secret options read
// driver.Redacted, and the document that it came from is left out.
func (c *Control) Redact(spec *service.Spec) *service.Spec {
	shown := *spec
	shown.Document = nil
	shown.Inputs = redactInputs(spec.Inputs, spec.Secrets)
	shown.Roles = slices.Clone(spec.Roles)
	for n := range shown.Roles {
		r := &shown.Roles[n]
		r.Machine = c.RedactMachine(veil(spec, &spec.Roles[n]))
		r.Inputs = redactInputs(r.Inputs, spec.Secrets)
	}
	shown.Resources = c.redactResources(spec.Resources)
	shown.Services = c.redactServices(spec.Services)
	return &shown
}

// RedactMachine returns a copy of a machine definition for showing.
func (c *Control) RedactMachine(m service.Machine) service.Machine {
	m.Implementations = slices.Clone(m.Implementations)
	for k := range m.Implementations {
		impl := &m.Implementations[k]
		kind, err := c.kinds.Find(impl.Driver)
		if err != nil { // the driver that knows which are secret is not there
			kind = &driver.Kind{}
		}
		impl.Options = kind.Redact(impl.Options)
		impl.Checks = redactChecks(impl.Checks)
	}
	m.Checks = redactChecks(m.Checks)
	return m
}

// redactChecks hides the passwords of checks.
func redactChecks(checks []service.Check) []service.Check {
	checks = slices.Clone(checks)
	for n := range checks {
		if db := checks[n].MySQL; db != nil && db.HidesPassword() {
			shown := *db
			shown.Password = driver.Redacted
			checks[n].MySQL = &shown
		}
	}
	return checks
}

// restoreChecks puts the passwords of old checks back.
func restoreChecks(place string, checks, old []service.Check) error {
	for n := range checks {
		db := checks[n].MySQL
		if db == nil || db.Password != driver.Redacted {
			continue
		}
		if n >= len(old) || old[n].MySQL == nil || !old[n].MySQL.HidesPassword() {
			return noSecret(fmt.Sprintf("%schecks[%d].mysql.password", place, n))
		}
		whole := *db
		whole.Password = old[n].MySQL.Password
		checks[n].MySQL = &whole
	}
	return nil
}

func redactInputs(inputs map[string]string, secrets []string) map[string]string {
	for _, name := range secrets {
		if _, ok := inputs[name]; ok {
			inputs = maps.Clone(inputs)
			break
		}
	}
	for _, name := range secrets {
		if _, ok := inputs[name]; ok {
			inputs[name] = driver.Redacted
		}
	}
	return inputs
}

// RestoreSecrets puts the secrets of old, nil for none, where a spec that was shown and comes back
// reads driver.Redacted. What stays so is refused, for it is no secret that anybody meant.
func (c *Control) RestoreSecrets(spec, old *service.Spec) error {
	if old == nil {
		old = &service.Spec{}
	}
	if err := restoreInputs("inputs", spec.Inputs, old.Inputs, spec.Secrets); err != nil {
		return err
	}
	for n := range spec.Roles {
		r, was := &spec.Roles[n], &service.RoleSpec{}
		if k := old.Role(r.Name); k >= 0 {
			was = &old.Roles[k]
		}
		place := "roles." + r.Name
		if err := restoreInputs(place+".inputs", r.Inputs, was.Inputs, spec.Secrets); err != nil {
			return err
		}
		r.Machine = unveil(r.Machine, old, was)
		if err := c.restoreMachine(place+".", &r.Machine, &was.Machine); err != nil {
			return err
		}
	}
	if err := c.restoreServices(spec, old); err != nil {
		return err
	}
	return c.restoreResources(spec, old)
}

func restoreInputs(place string, inputs, old map[string]string, secrets []string) error {
	for name, v := range inputs {
		if v != driver.Redacted {
			continue
		}
		secret, ok := old[name]
		if !ok || !slices.Contains(secrets, name) {
			return noSecret(place + "." + name)
		}
		inputs[name] = secret
	}
	return nil
}

// restoreMachine restores the options of a machine definition from one that it replaces.
func (c *Control) restoreMachine(place string, m, old *service.Machine) error {
	for k := range m.Implementations {
		impl := &m.Implementations[k]
		for name, v := range impl.Options {
			if v != driver.Redacted {
				continue
			}
			if k >= len(old.Implementations) || old.Implementations[k].Driver != impl.Driver || old.Implementations[k].Options[name] == nil || !c.secret(impl.Driver, name) {
				return noSecret(fmt.Sprintf("%simplementations[%d].options.%s", place, k, name))
			}
			impl.Options[name] = old.Implementations[k].Options[name]
		}
		var before []service.Check
		if k < len(old.Implementations) {
			before = old.Implementations[k].Checks
		}
		if err := restoreChecks(fmt.Sprintf("%simplementations[%d].", place, k), impl.Checks, before); err != nil {
			return err
		}
	}
	return restoreChecks(place, m.Checks, old.Checks)
}

// secret reports whether an option of a driver's machines is never shown.
func (c *Control) secret(name, option string) bool {
	kind, err := c.kinds.Find(name)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(kind.Options, func(o driver.Option) bool { return o.Name == option && o.Secret })
}

func noSecret(place string) error {
	return fmt.Errorf("%w: %s: %q stands for a secret that is not shown, and there is none to put in its place: give the value", identity.ErrInvalid, place, driver.Redacted)
}
