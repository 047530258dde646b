package oneflow

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/service"
)

// Every network of a new service says what it is.
func TestCheckNetworks(t *testing.T) {
	for values, place := range map[string]string{
		`[]`:                                          "",
		`[{"P":{"id":3}}]`:                            "",
		`[{"P":{"id":"3"}}]`:                          "",
		`[{"P":{"template_id":"0","extra":""}}]`:      "",
		`[{"P":{"template_id":1,"id":7}}]`:            "",
		`[{"P":{"reserve_from":1,"extra":"SIZE=5"}}]`: "",
		`[{"P":{"reserve_from":1}}]`:                  "networks_values[0].P",
		`[{"P":{"reserve_from":1,"extra":" "}}]`:      "networks_values[0].P",
		`[{"P":{"reserve_from":1,"extra":5}}]`:        "networks_values[0].P.extra",
		`[{"P":{"id":"x"}}]`:                          "networks_values[0].P.id",
		`[{"P":{"id":-1}}]`:                           "networks_values[0].P.id",
		`[{"P":{"id":null}}]`:                         "networks_values[0].P.id",
		`[{"P":{"id":1}},{"Q":{"template":1}}]`:       "networks_values[1].Q",
		`[{"P":{}}]`:                                  "networks_values[0].P",
		`[{"P":3}]`:                                   "networks_values[0].P",
	} {
		body, err := Parse([]byte(`{"name":"n","roles":[],"networks_values":` + values + `}`))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = body.Instantiate(nil)
		var e *Error
		switch {
		case place == "" && err != nil:
			t.Errorf("%s: %v", values, err)
		case place != "" && (!errors.As(err, &e) || e.Path != place):
			t.Errorf("%s: %v, want an error at %s", values, err, place)
		}
	}
	body, err := Parse([]byte(`{"name":"n","roles":[],"networks":{"P":"M|network|||foo:3"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := body.Instantiate(nil); err == nil {
		t.Error("a default of an unknown kind is taken")
	}
}

// Networks are made by the driver of a role that mentions them, if it can, and never twice under one name.
func TestNetworkResources(t *testing.T) {
	kinds := map[string]*driver.Kind{"plain": {Name: "plain"}, "cloud": {Name: "cloud", Resources: []driver.ResourceKind{{Name: "network",
		Options: []driver.Option{{Name: "template"}, {Name: "extra"}}}}}}
	kinds["other"] = &driver.Kind{Name: "other", Resources: kinds["cloud"].Resources}
	opts := Options{Settings: DefaultSettings(), Kind: func(name string) (*driver.Kind, error) { return kinds[name], nil },
		Machine: func(id int) (service.Machine, error) {
			return service.Machine{ID: id, Implementations: []service.Implementation{{Driver: []string{"plain", "cloud", "other"}[id], Account: "a"}}}, nil
		}}
	body := parse(t, `{"name":"n","networks_values":[{"N":{"template_id":1}},{"r":{"template_id":"2","extra":"X=1"}},{"ü n":{"template_id":3}},{"R":{"reserve_from":1,"extra":"SIZE=1"}},{"E":{"id":7}}],
		"roles":[{"name":"p","type":"vm","template_id":0},{"name":"r","type":"vm","template_id":1},{"name":"q","type":"vm","template_id":2,"template_contents":{"A":"$N","CONTEXT":{"X":"$ü n","Y":"$E$R"}}}]}`)
	spec, warnings, err := body.ToSpec(opts)
	if err != nil {
		t.Fatal(err)
	}
	network := func(name, driver, template string, extra ...string) service.ResourceSpec {
		options := map[string]any{"template": template}
		if len(extra) > 0 {
			options["extra"] = extra[0]
		}
		return service.ResourceSpec{Name: name, Kind: "network", Driver: driver, Account: "a", Options: options, Heal: service.HealManual}
	}
	want := []service.ResourceSpec{network("N", "other", "1"), network("r-net", "cloud", "2", "X=1"), network("__n", "other", "3")}
	if d := cmp.Diff(want, spec.Resources); d != "" {
		t.Errorf("resources (-want +got):\n%s", d)
	}
	if len(warnings) != 1 || warnings[0].Path != "networks_values[3].R" || !strings.Contains(warnings[0].Message, "(plain, cloud, other)") {
		t.Errorf("warnings %v", warnings)
	}
	for _, r := range spec.Roles {
		if d := cmp.Diff([]string{"N", "r-net", "__n"}, r.Needs); d != "" {
			t.Errorf("%s needs (-want +got):\n%s", r.Name, d)
		}
	}
	q := spec.Roles[2].Machine
	if q.Attributes["A"] != "$N" || q.Env["X"] != `{{ resources["__n"].id }}` || q.Env["Y"] != "7$R" {
		t.Errorf("attributes %v, environment %v", q.Attributes, q.Env)
	}
	if err := service.Validate(spec); err != nil {
		t.Error(err)
	}
	// A running service keeps what it has, whatever its roles and drivers are by now.
	later := parse(t, strings.Replace(strings.Replace(string(spec.Document), `"name":"r"`, `"name":"z"`, 1), `"template_id":1,"cardinality"`, `"template_id":0,"cardinality"`, 1))
	opts.Running = spec.Resources
	again, _, err := later.ToSpec(opts)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, again.Resources); d != "" {
		t.Errorf("resources of the running service (-want +got):\n%s", d)
	}
	many := new(Object)
	for n := range service.MaxResources + 1 {
		value := new(Object)
		value.SetInt("template_id", n)
		many.Set("n"+strconv.Itoa(n), value)
	}
	body.root.Set("networks_values", []any{many})
	opts.Running = nil
	if _, _, err := body.ToSpec(opts); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("networks_values: %d networks", service.MaxResources+1)) {
		t.Error(err)
	}
}
