package native

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/driver/all"
	"github.com/troupe-dev/troupe/internal/service"
)

const networked = `name: shop
resources:
  outer: {kind: network, driver: sim}
  inner:
    kind: network
    driver: sim
    options: {cidr: 10.1.0.0/24}
    needs: outer
    heal: manual
roles:
  db: {run: ./db, needs: inner}
  app: {run: ./app, needs: [outer, db, inner]}
`

func kinds() func(string) (*driver.Kind, error) { return all.Kinds().Find }

func TestResources(t *testing.T) {
	spec, err := Parse("x.yaml", []byte(networked), Options{Kinds: kinds()})
	if err != nil {
		t.Fatal(err)
	}
	want := []service.ResourceSpec{
		{Name: "outer", Kind: "network", Driver: "sim", Heal: service.HealAuto},
		{Name: "inner", Kind: "network", Driver: "sim", Heal: service.HealManual, Options: map[string]any{"cidr": "10.1.0.0/24"}, Needs: []string{"outer"}},
	}
	if diff := cmp.Diff(want, spec.Resources); diff != "" {
		t.Error(diff)
	}
	app := spec.Roles[1]
	if diff := cmp.Diff([][]string{{"db"}, {"outer", "inner"}}, [][]string{app.Parents, app.Needs}); diff != "" {
		t.Error(diff)
	}
}

func TestResourcesRefused(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"needs: inner}", "needs: innner}", `x.yaml:11:26: roles.db.needs: no role "innner"`},
		{"[outer, db, inner]", "[outer, db, inner, inner]", `x.yaml:12:47: roles.app.needs[3]: "inner" is named twice`},
		{"needs: outer", "needs: outre", `x.yaml:8:12: resources.inner.needs: no resource "outre"; did you mean "outer"?`},
		{"outer: {kind: network", "outer: {kind: netwrok", `x.yaml:3:17: resources.outer.kind: not supported: driver sim makes no resource of kind "netwrok", only network, volume; did you mean "network"?`},
		{"outer: {kind: network, ", "outer: {", `resources.outer: nothing says what kind of resource it is`},
		{"{cidr:", "{cdir:", `resources.inner.options.cdir: option "cdir": there is no such option; did you mean "cidr"?`},
		{"  outer: ", "  db: ", `resources.db: "db" is already the name of roles[0]`},
		{"heal: manual", "heel: manual", `did you mean "heal"?`},
	} {
		_, err := Parse("x.yaml", []byte(strings.Replace(networked, c.old, c.new, 1)), Options{Kinds: kinds()})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s for %s:\n%v\nwant %s", c.new, c.old, err, c.want)
		}
	}
}
