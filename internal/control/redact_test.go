package control

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

var locked = &Control{kinds: all.Drivers{{Name: "locked", Options: []driver.Option{
	{Name: "password", Type: driver.String, Secret: true}, {Name: "size", Type: driver.String}}}}}

func lockedSpec() *service.Spec {
	return &service.Spec{Name: "x", Secrets: []string{"KEY"}, Inputs: map[string]string{"KEY": "k1", "COLOUR": "red"}, Document: []byte(`{"KEY":"k1"}`),
		Roles: []service.RoleSpec{{Name: "a", Inputs: map[string]string{"KEY": "k2"}, Machine: service.Machine{Implementations: []service.Implementation{
			{Driver: "locked", Options: map[string]any{"password": "p", "size": "big"}}, {Driver: "gone", Options: map[string]any{"any": "thing"}}}}}}}
}

func TestRedactAndRestore(t *testing.T) {
	spec := lockedSpec()
	shown := locked.Redact(spec)
	if d := cmp.Diff(lockedSpec(), spec); d != "" {
		t.Errorf("showing changed it: %s", d)
	}
	a := shown.Roles[0].Machine.Implementations
	if shown.Inputs["KEY"] != driver.Redacted || shown.Inputs["COLOUR"] != "red" || shown.Roles[0].Inputs["KEY"] != driver.Redacted || shown.Document != nil ||
		a[0].Options["password"] != driver.Redacted || a[0].Options["size"] != "big" || a[1].Options["any"] != driver.Redacted {
		t.Errorf("shown %+v", shown)
	}
	shown.Roles[0].Machine.Implementations = a[:1]
	a[0].Options["size"] = "small"
	if err := locked.RestoreSecrets(shown, spec); err != nil {
		t.Fatal(err)
	}
	if shown.Inputs["KEY"] != "k1" || shown.Roles[0].Inputs["KEY"] != "k2" || a[0].Options["password"] != "p" || a[0].Options["size"] != "small" {
		t.Errorf("restored %+v", shown)
	}
}

// The password of a check is never shown, but a template that names where it comes from is.
func TestPasswordsOfChecks(t *testing.T) {
	db := func(password string) service.Check {
		return service.Check{MySQL: &service.MySQL{User: "u", Password: password}}
	}
	make := func() *service.Spec {
		spec := lockedSpec()
		m := &spec.Roles[0].Machine
		m.Checks = []service.Check{db("{{ inputs.KEY }}"), db("open")}
		m.Implementations[0].Checks = []service.Check{{Ping: true}, db("sesame")}
		m.Implementations = m.Implementations[:1]
		return spec
	}
	spec := make()
	shown := locked.Redact(spec)
	m := &shown.Roles[0].Machine
	if m.Checks[0].MySQL.Password != "{{ inputs.KEY }}" || m.Checks[1].MySQL.Password != driver.Redacted || m.Implementations[0].Checks[1].MySQL.Password != driver.Redacted {
		t.Errorf("shown %+v", m)
	}
	if d := cmp.Diff(make(), spec); d != "" {
		t.Errorf("showing changed it: %s", d)
	}
	m.Checks[1].MySQL.User = "v"
	if err := locked.RestoreSecrets(shown, spec); err != nil || m.Checks[1].MySQL.Password != "open" || m.Checks[1].MySQL.User != "v" || m.Implementations[0].Checks[1].MySQL.Password != "sesame" {
		t.Errorf("restored %+v, %v", m, err)
	}
	shown = locked.Redact(spec)
	shown.Roles[0].Machine.Checks = shown.Roles[0].Machine.Checks[1:]
	if err := locked.RestoreSecrets(shown, spec); !errors.Is(err, identity.ErrInvalid) || !strings.Contains(err.Error(), "roles.a.checks[0].mysql.password") {
		t.Errorf("moved: %v", err)
	}
}

func TestSecretsAreNotMoved(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*service.Spec)
		place  string
	}{
		"to an input that is shown": {func(s *service.Spec) { s.Secrets = nil }, "inputs.KEY"},
		"to another input":          {func(s *service.Spec) { s.Inputs["COLOUR"] = driver.Redacted }, "inputs.COLOUR"},
		"to another role":           {func(s *service.Spec) { s.Roles[0].Name = "b" }, "roles.b.inputs.KEY"},
		"to another driver":         {func(s *service.Spec) { s.Roles[0].Machine.Implementations[0].Driver = "other" }, "implementations[0].options.password"},
		"to another option": {func(s *service.Spec) {
			s.Roles[0].Machine.Implementations[0].Options["size"] = driver.Redacted
		}, "implementations[0].options.size"},
	} {
		shown := locked.Redact(lockedSpec())
		shown.Roles[0].Machine.Implementations = shown.Roles[0].Machine.Implementations[:1]
		c.change(shown)
		if err := locked.RestoreSecrets(shown, lockedSpec()); !errors.Is(err, identity.ErrInvalid) || !strings.Contains(err.Error(), c.place) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := locked.RestoreSecrets(locked.Redact(lockedSpec()), nil); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("out of nothing: %v", err)
	}
}
