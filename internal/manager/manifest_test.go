package manager

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/occi"
)

const shop = `{
  "service_type": "http://example.org/occi/sm#webshop",
  "service_description": "Web shop",
  "service_attributes": { "shop.url": "immutable", "shop.theme": "" },
  "service_endpoint": "http://sm.example.org:8890/webshop/",
  "depends_on": [
    { "http://example.org/occi/sm#db":  { "inputs": [] } },
    { "http://example.org/occi/sm#web": { "inputs": ["http://example.org/occi/sm#db#db.url"] } }
  ],
  "resources": { "RegionOne": { "deployment": "file:///bundle/data/deploy.yaml", "provision": "file:///bundle/data/provision.yaml" } },
  "something_else": 1
}`

func TestManifest(t *testing.T) {
	m, err := ParseManifest("service_manifest.json", []byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	if m.Type != "http://example.org/occi/sm#webshop" || m.Term() != "webshop" || m.Description != "Web shop" || len(m.Attributes) != 2 || m.Attributes[1] != (AttributeDef{"shop.theme", Mutable}) ||
		len(m.Needs) != 2 || m.Needs[1].Inputs[0] != (Input{"http://example.org/occi/sm#db", "db.url"}) || m.Resources["RegionOne"].Provision != "file:///bundle/data/provision.yaml" {
		t.Errorf("%+v", m)
	}
}

// A mistake is answered with its place, and with the name that was meant.
func TestManifestMistakes(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"immutable",`, `"imutable",`, `m.json:4:39: service_attributes.shop.url: "immutable", "required", "mutable" or "" is wanted, not "imutable"; did you mean "immutable"?`},
		{`"shop.theme": "" }`, `"shop.theme": "", }`, `m.json:4:`},
		{`#webshop"`, `webshop"`, `m.json:2:19: service_type: "http://example.org/occi/smwebshop" is no service type`},
		{`sm#webshop"`, `sm#web#shop"`, `exactly one`},
		{`sm#webshop"`, `sm#link"`, `the term link`},
		{`"service_type"`, `"service_typ"`, `"service_type" is missing; "service_typ" in line 2`},
		{`:8890/webshop/`, `/webshop/`, `m.json:5:23: service_endpoint`},
		{`"depends_on": [`, `"depends_on": [[`, `m.json:`},
		{`sm#web": {`, `sm#db": {`, `m.json:8:7: depends_on[1]: http://example.org/occi/sm#db is there twice`},
		{`sm#web": {`, `sm#webshop": {`, `a service cannot need itself`},
		{`sm#db#db.url"`, `sm#bd#db.url"`, `m.json:8:54: depends_on[1].inputs[0]: no service http://example.org/occi/sm#bd in depends_on; did you mean "http://example.org/occi/sm#db"?`},
		{`sm#db#db.url"`, `sm#web#db.url"`, `cannot be its own supplier`},
		{`sm#db#db.url"`, `sm#db"`, `is no input`},
		{`"inputs": [] }`, `"input": [] }`, `"inputs" is missing`},
		{`"inputs": [] } }`, `"inputs": [] }, "x": {} }`, `m.json:7:5: depends_on[0]: an object with one service type`},
		{`"file:///bundle/data/deploy.yaml"`, `"data/deploy.yaml"`, `resources.RegionOne.deployment`},
		{shop, `[]`, `a manifest is an object`},
		{shop, ``, `empty`},
		{shop, `{"service_type": "a#b"`, `ends in the middle`},
	} {
		text := strings.Replace(shop, c.old, c.new, 1)
		m, err := ParseManifest("m.json", []byte(text))
		if err == nil {
			t.Errorf("%s: accepted: %+v", c.new, m)
		} else if c.want != "exactly one" && !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "m.json") {
			t.Errorf("%s: %v\nwant %s", c.new, err, c.want)
		}
	}
	nested := strings.Replace(strings.Replace(shop, `"depends_on": [`, `"depends_on": [[`, 1), "  ],\n", "  ]],\n", 1)
	if _, err := ParseManifest("m.json", []byte(nested)); err == nil || !strings.Contains(err.Error(), "lists within the list") {
		t.Errorf("nested lists: %v", err)
	}
	if _, err := ParseManifest("m.json", make([]byte, MaxManifest+1)); err == nil {
		t.Error("a file beyond the limit")
	}
}

func TestCircle(t *testing.T) {
	all := map[occi.TypeID]*Manifest{}
	for name, needs := range map[string][]string{"a": {"b", "c"}, "b": {"c"}, "c": {"d"}, "d": nil, "e": {"a"}} {
		m := &Manifest{Type: occi.TypeID("x#" + name)}
		for _, n := range needs {
			m.Needs = append(m.Needs, Need{Type: occi.TypeID("x#" + n)})
		}
		all[m.Type] = m
	}
	others := func(id occi.TypeID) *Manifest { return all[id] }
	for _, m := range all {
		if c := CircleOf(m, others); c != nil {
			t.Errorf("%s: %v", m.Type, c)
		}
	}
	d := &Manifest{Type: "x#d", Needs: []Need{{Type: "x#e"}}}
	if c := CircleOf(d, others); len(c) < 4 || c[0] != "x#d" || c[1] != "x#e" || c[len(c)-1] != "x#d" {
		t.Error(c)
	}
}

func TestParameters(t *testing.T) {
	p, err := ParseParameters("p.json", []byte(`{"activate": [{"name": "a", "type": "string", "value": "x y"}, {"name": "f", "type": "number", "value": 0.11}], "deploy": []}`))
	if err != nil || len(p[PhaseActivate]) != 2 || p[PhaseActivate][1] != (Attribute{Name: "f", Value: "0.11"}) || !p[PhaseActivate][0].Quoted || len(p.Names()) != 2 {
		t.Errorf("%+v %v", p, err)
	}
	for text, want := range map[string]string{
		`{"activat": []}`: `did you mean "activate"?`, `{"deploy": {}}`: "p.json:1:12: deploy", `{"deploy": [{"name": "a", "value": 1}]}`: `"type" is missing`,
		`{"deploy": [{"name": "a", "type": "int", "value": 1}]}`: "deploy[0].type", `{"deploy": [{"name": "a", "type": "string"}]}`: `"value" is missing`,
		`{"deploy": [{"name": "a b", "type": "string", "value": ""}]}`: "deploy[0].name", `{"deploy": [{"name": "a", "type": "string", "value": []}]}`: "deploy[0].value", `[]`: "an object",
	} {
		if _, err := ParseParameters("p.json", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(shop))
	f.Add([]byte(`{"depends_on": [[{"a#b": {"inputs": ["a#b#c"]}}]]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := ParseManifest("m", text); err == nil {
			if m.Term() == "" || m.Type.Scheme() == "" {
				t.Errorf("accepted without a type: %s", text)
			}
			CircleOf(m, func(occi.TypeID) *Manifest { return m })
		}
		_, _ = ParseParameters("p", text)
	})
}
