package examples

import (
	"cmp"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/api/apitest"
	"github.com/troupe-dev/troupe/internal/control"
	"github.com/troupe-dev/troupe/internal/format/native"
	"github.com/troupe-dev/troupe/internal/format/oneflow"
	"github.com/troupe-dev/troupe/internal/service"
)

// want says how each example stands when it has settled.
var want = map[string]struct {
	state     service.State
	instances map[string]int
	order     []string // in which roles come up
}{
	"shop.yaml":           {service.Running, map[string]int{"db": 1, "app": 2, "web": 2}, []string{"db", "app", "web"}},
	"webshop.yaml":        {service.Running, map[string]int{"web": 2}, []string{"web"}},
	"batch.yaml":          {service.Running, map[string]int{"worker": 4}, []string{"worker"}},
	"stable-db.yaml":      {service.Running, map[string]int{"db": 3}, []string{"db"}},
	"docker.yaml":         {service.Running, map[string]int{"db": 1, "web": 1}, []string{"db", "web"}},
	"cloudinit.yaml":      {service.Running, map[string]int{"host": 1, "container": 1}, []string{"host", "container"}},
	"reactive.yaml":       {service.Running, map[string]int{"front": 1, "worker": 5}, []string{"front", "worker"}},
	"oneflow-manual.json": {service.Running, map[string]int{"queue": 1, "worker": 2, "front": 1}, []string{"queue", "worker", "front"}},
}

// read turns an example into a spec, with the server's own checks of options.
func read(t *testing.T, file string) *service.Spec {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(file, ".json") {
		body, err := oneflow.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if warnings, err := body.Normalise(); err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		spec, warnings, err := body.ToSpec(oneflow.Options{Settings: oneflow.DefaultSettings(), Machine: first})
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		return spec
	}
	spec, err := native.Parse(file, text, native.Options{Open: native.Dir("."), Kinds: all.Kinds().Find})
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// first is machine definition 0.
func first(id int) (service.Machine, error) {
	if id != 0 {
		return service.Machine{}, errors.New("no such machine definition")
	}
	return service.Machine{Name: "default", Implementations: []service.Implementation{{Driver: "sim"}}}, nil
}

// Every file of this folder is an example that a test deploys.
func TestAllAreTested(t *testing.T) {
	files, err := filepath.Glob("*.*")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, ".go") })
	if tested := slices.Sorted(maps.Keys(want)); !slices.Equal(files, tested) {
		t.Errorf("examples %v, tested %v", files, tested)
	}
}

// simulate has all machines and resources of a service made by the driver sim, those of the services made for it too.
func simulate(spec *service.Spec) {
	for i := range spec.Roles {
		m := &spec.Roles[i].Machine
		m.ID, m.Name, m.Checks = 0, "", nil
		m.Implementations = []service.Implementation{{Driver: "sim"}}
	}
	for i := range spec.Resources {
		x := &spec.Resources[i]
		x.Driver, x.Kind, x.Options = "sim", "network", nil
	}
	for i := range spec.Services {
		if inner := spec.Services[i].Spec; inner != nil {
			simulate(inner)
		}
	}
}

// TestSimulated deploys each on simulated machines: the graph is right and everything comes up in order.
func TestSimulated(t *testing.T) {
	for file, w := range want {
		t.Run(file, func(t *testing.T) {
			spec := read(t, file)
			simulate(spec)
			s := apitest.New(t)
			id, err := s.Control.Deploy(t.Context(), s.Root(), control.Deployment{Spec: spec})
			if err != nil {
				t.Fatal(err)
			}
			s.Until(id, w.state.String(), func(svc *service.Service) bool { return svc.State == w.state })
			got := map[string]int{}
			var order []string
			s.Engine.View(id, func(svc *service.Service) {
				var up []*service.Instance
				for _, r := range svc.Roles {
					for i := range r.Instances {
						got[r.Name]++
						up = append(up, i)
					}
				}
				slices.SortStableFunc(up, func(a, b *service.Instance) int { return cmp.Compare(a.Since, b.Since) })
				for _, i := range up {
					if name := i.Role().Name; !slices.Contains(order, name) {
						order = append(order, name)
					}
				}
			})
			if !maps.Equal(got, w.instances) {
				t.Errorf("instances %v, want %v", got, w.instances)
			}
			if !slices.Equal(order, w.order) {
				t.Errorf("roles came up in the order %v, want %v", order, w.order)
			}
		})
	}
}
