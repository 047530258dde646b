package control

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/driver/process"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/engine"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/store"
)

// vault is a driver with a kind of resource that has a secret.
func vault() *driver.Kind {
	return &driver.Kind{Name: "vault", HostAccess: true, Resources: []driver.ResourceKind{{Name: "volume", Options: []driver.Option{
		{Name: "key", Type: driver.String, Secret: true}, {Name: "size", Type: driver.Size},
	}}}}
}

func controlOf(t *testing.T) *Control {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Memory: store.NewMemory()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	tenure, err := st.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kinds := all.Drivers{sim.Kind(), process.Kind(), vault()}
	o := engine.Options{Store: st, Tenure: tenure}
	for _, k := range kinds {
		o.Backends = append(o.Backends, &engine.Backend{Kind: k})
	}
	e, err := engine.New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &Control{kinds: kinds, engine: e}
}

func TestCheckResources(t *testing.T) {
	c := controlOf(t)
	for _, x := range []struct {
		resource service.ResourceSpec
		want     string
	}{
		{service.ResourceSpec{Driver: "sim", Kind: "network", Options: map[string]any{"cidr": "10.0.0.0/8"}}, ""},
		{service.ResourceSpec{Driver: "smi", Kind: "network"}, `resources[0].driver: invalid request: no driver "smi"; did you mean "sim"?`},
		{service.ResourceSpec{Driver: "sim", Kind: "network", Account: "b"}, `no account "b" of driver sim`},
		{service.ResourceSpec{Driver: "sim", Kind: "netwrok"}, `driver sim makes no resource of kind "netwrok", only network, volume; did you mean "network"?`},
		{service.ResourceSpec{Driver: "process", Kind: "network"}, "driver process makes no resources, so no network"},
		{service.ResourceSpec{Driver: "sim", Kind: "network", Options: map[string]any{"cdir": "x"}}, `resources[0].options: option "cdir": there is no such option; did you mean "cidr"?`},
		{service.ResourceSpec{Driver: "vault", Kind: "volume"}, "resources of driver vault reach this server's host"},
	} {
		x.resource.Name = "a"
		err := c.Check(&identity.Caller{}, &service.Spec{Name: "x", Strategy: service.Straight, Resources: []service.ResourceSpec{x.resource}})
		if got := textOf(err); x.want == "" && err != nil || !strings.Contains(got, x.want) {
			t.Errorf("%+v: %s; want %s", x.resource, got, x.want)
		}
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRedactResources(t *testing.T) {
	c := controlOf(t)
	spec := &service.Spec{Resources: []service.ResourceSpec{{Name: "a", Driver: "vault", Kind: "volume", Options: map[string]any{"key": "s3cret", "size": "1G"}}}}
	shown := c.Redact(spec)
	if diff := cmp.Diff(map[string]any{"key": driver.Redacted, "size": "1G"}, shown.Resources[0].Options); diff != "" {
		t.Error(diff)
	}
	if err := c.RestoreSecrets(shown, spec); err != nil || shown.Resources[0].Options["key"] != "s3cret" {
		t.Errorf("restored: %v, %v", shown.Resources[0].Options, err)
	}
	if err := c.RestoreSecrets(c.Redact(spec), nil); err == nil || !strings.Contains(err.Error(), "resources.a.options.key") {
		t.Errorf("without anything to restore from: %v", err)
	}
}
