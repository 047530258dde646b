package control

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// TestOptionsThatReachTheHost: a driver may be free to all but for some of its options.
func TestOptionsThatReachTheHost(t *testing.T) {
	c := controlOf(t)
	kind, err := c.kinds.Find("sim")
	if err != nil {
		t.Fatal(err)
	}
	kind.Options = append(kind.Options, driver.Option{Name: "privileged", Help: "x", Type: driver.Bool, Default: false, HostAccess: true})
	spec := func(options map[string]any) *service.Spec {
		return &service.Spec{Name: "x", Strategy: service.NoOrder, Roles: []service.RoleSpec{{Name: "a", Heal: service.HealAuto, Identity: service.New,
			Machine: service.Machine{Implementations: []service.Implementation{{Driver: "sim", Options: options}}}}}}
	}
	ann := &identity.Caller{Scopes: identity.ScopeAll}
	root := &identity.Caller{Scopes: identity.ScopeAll, Host: true}
	for _, x := range []struct {
		who     *identity.Caller
		options map[string]any
		says    string
	}{
		{ann, nil, ""},
		{ann, map[string]any{"privileged": false}, ""},
		{ann, map[string]any{"privileged": true}, `reaches the host with option "privileged"`},
		{root, map[string]any{"privileged": true}, ""},
	} {
		err := c.Check(x.who, spec(x.options))
		if (err == nil) != (x.says == "") || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("%v: %v, want %q", x.options, err, x.says)
		}
	}
	if err := c.mayStore(ann, "m", &spec(map[string]any{"privileged": true}).Roles[0].Machine); err == nil {
		t.Error("a definition that reaches the host is stored by somebody without the grant")
	}
	if err := c.mayStore(ann, "m", &spec(nil).Roles[0].Machine); err != nil {
		t.Error(err)
	}
}
