package native_test

import (
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/service"
)

const postgres = `
name: postgres
inputs: {NAME: data, PASSWORD: hunter2}
secrets: [PASSWORD]
roles:
  db: {count: 2, machine: {driver: sim}}
outputs:
  url: "db://{{ roles.db[0].address }}/{{ inputs.NAME }}"
  password: {value: "{{ inputs.PASSWORD }}", sensitive: true}
`

const webshop = `
name: webshop
services:
  db: {template: postgres, inputs: {NAME: shop}}
roles:
  web:
    machine: {driver: sim}
    env: {DB: "{{ services.db.outputs.url }}"}
    files: {secret: "{{ services.db.outputs.password }}"}
outputs:
  where: "{{ services.db.outputs.url }} by {{ roles.web[0].address }}"
  leak: "password {{ services.db.outputs.password }}"
`

func (s *stage) template(name, source string) client.Template {
	s.t.Helper()
	made, err := s.Templates().Add(s.t.Context(), client.PutTemplate{Name: name, Document: client.Document{Source: source}})
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

// A service with one that is made for it from a template: planned, made, shown both ways, kept from removal, removed with it.
func TestComposition(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.template("postgres", postgres)
	plan, err := s.Services().PlanCreate(ctx, client.CreateService{Document: source(webshop)})
	if err != nil {
		t.Fatal(err)
	}
	if first := plan.Steps[0]; first.Do != "create" || first.Service != "db" || !strings.Contains(first.Why, "needed by web: db 2") || plan.Steps[1].Role != "web" || plan.Steps[1].Wave != 2 {
		t.Errorf("plan %+v", plan.Steps)
	}
	shop := s.up(s.Client, webshop)
	s.Until(shop.ID, "telling", func(x *service.Service) bool { return len(x.Outputs) == 2 })
	if shop, err = s.Services().Get(ctx, "webshop"); err != nil {
		t.Fatal(err)
	}
	db := shop.Services[0]
	if db.Name != "db" || db.Title != "webshop-db" || !db.Made || db.Phase != "ready" || db.State != "RUNNING" {
		t.Errorf("needs %+v", db)
	}
	if shop.Outputs["leak"] != "(secret)" || !strings.HasPrefix(shop.Outputs["where"], "db://") || !strings.Contains(shop.Outputs["where"], "/shop by ") {
		t.Errorf("outputs %v", shop.Outputs)
	}
	made, err := s.Services().Get(ctx, "webshop-db")
	if err != nil || len(made.NeededBy) != 1 || made.NeededBy[0].Service != shop.ID || !made.NeededBy[0].Owner || made.Outputs["password"] != "(secret)" || made.Inputs["NAME"] != "shop" {
		t.Errorf("made %+v, %v", made, err)
	}
	e, err := s.Services().Explain(ctx, "webshop")
	if err != nil || len(e.Services) != 1 || e.Services[0].Phase != "ready" {
		t.Errorf("explanation %+v, %v", e, err)
	}
	_, err = s.Services().Undeploy(ctx, "webshop-db", client.Undeploy{})
	if err == nil || !strings.Contains(err.Error(), "needed by webshop") {
		t.Errorf("removed under its consumer: %v", err)
	}
	shown, err := s.Services().Spec(ctx, "webshop", 0)
	if err != nil || strings.Contains(shown.Source, "hunter2") {
		t.Fatalf("spec %s, %v", shown.Source, err)
	}
	s.must(s.Services().Update(ctx, "webshop", client.UpdateService{Document: source(shown.Source)}))
	if after, err := s.Services().Get(ctx, "webshop"); err != nil || after.Revision != shop.Revision {
		t.Errorf("what was shown is another description: revision %d, %v", after.Revision, err)
	}
	s.must(s.Services().Remove(ctx, "webshop", client.Undeploy{}))
	s.UntilGone(made.ID)
	s.UntilGone(shop.ID)
}

// C2 and C3, as far as they are known beforehand: nothing is made, and the place is named.
func TestCompositionRefused(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.template("postgres", postgres)
	s.up(s.Client, strings.Replace(postgres, "name: postgres", "name: there", 1))
	for name, c := range map[string]struct{ source, want string }{
		"no template":   {strings.Replace(webshop, "template: postgres", "template: postgre", 1), `services.db.template: template "postgre": not found; did you mean "postgres"?`},
		"no service":    {"name: a\nservices: {db: {service: ther}}\nroles: {r: {machine: {driver: sim}}}", `did you mean "there"?`},
		"no output":     {strings.Replace(webshop, "outputs.url }}\"}", "outputs.ulr }}\"}", 1), `no output "ulr"; did you mean "url"?`},
		"output there":  {"name: a\nservices: {db: {service: there}}\nroles: {r: {machine: {driver: sim}, env: {A: \"{{ services.db.outputs.ulr }}\"}}}", `service "there" has no output "ulr"; did you mean "url"?`},
		"no need":       {"name: a\nroles: {r: {machine: {driver: sim}, env: {A: \"{{ services.db.outputs.url }}\"}}}", `no needed service "db"`},
		"input":         {strings.Replace(webshop, "NAME: shop", "NAM: shop", 1), `has no input "NAM"; did you mean "NAME"?`},
		"circle":        {"name: a\nservices: {b: {needs: r, template: postgres}}\nroles: {r: {needs: b, machine: {driver: sim}}}", "circle: r → b → r"},
		"secret":        {"name: a\ninputs: {P: x}\nsecrets: [P]\nroles: {r: {machine: {driver: sim}}}\noutputs: {o: \"{{ inputs.P }}\"}", "make the output sensitive"},
		"both":          {"name: a\nservices: {b: {service: there, template: postgres}}\nroles: {r: {machine: {driver: sim}}}", "one of the two"},
		"inner machine": {"name: a\nservices: {b: {definition: {roles: {x: {machine: {driver: sin}}}}}}\nroles: {r: {machine: {driver: sim}}}", `did you mean "sim"?`},
		"instance":      {"name: a\nroles: {r: {machine: {driver: sim}}}\noutputs: {o: \"{{ instance.address }}\"}", "no instance here"},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.Engine.Len()
			for _, plan := range []bool{true, false} {
				in := client.CreateService{Document: source(c.source)}
				var err error
				if plan {
					_, err = s.Services().PlanCreate(ctx, in)
				} else {
					_, err = s.Services().Create(ctx, in)
				}
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("plan %t: %v, want %s", plan, err, c.want)
				}
			}
			if n := s.Engine.Len(); n != before {
				t.Errorf("%d services were made", n-before)
			}
		})
	}
}

// Templates that need each other in a circle are refused where they are used.
func TestTemplatesInACircle(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	b := s.template("b", "name: b\nroles: {r: {machine: {driver: sim}}}")
	s.template("a", "name: a\nservices: {b: {template: b}}\nroles: {r: {machine: {driver: sim}}}")
	if _, err := s.Templates().Change(ctx, b.ID, client.PutTemplate{Document: source("name: b\nservices: {a: {template: a}}\nroles: {r: {machine: {driver: sim}}}")}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Services().Create(ctx, client.CreateService{Template: b.ID})
	if err == nil || !strings.Contains(err.Error(), "templates need each other in a circle: a → b → a") {
		t.Errorf("%v", err)
	}
}

// The quota of a project counts what is made for a service, before anything is made.
func TestCompositionAndQuota(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	ann := s.user("ann", "research")
	three := 2
	if _, err := s.Groups().Change(ctx, "research", client.ChangeGroup{Quota: &client.Quota{Instances: &three}}); err != nil {
		t.Fatal(err)
	}
	in := strings.Replace(webshop, "template: postgres", "definition: {inputs: {NAME: a}, roles: {db: {count: 2, machine: {driver: sim}}}, outputs: {url: x, password: y}}", 1)
	if _, err := ann.Services().Create(ctx, client.CreateService{Document: source(in)}); err == nil || !strings.Contains(err.Error(), "quota") {
		t.Errorf("%v", err)
	}
}
