package native_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/client"
)

const small = "machine:\n  name: small\n  driver: sim\n  env: {A: b}\n"

func TestMachines(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	made, err := s.Machines().Put(ctx, client.PutMachine{Document: source(small)})
	if err != nil {
		t.Fatal(err)
	}
	if made.ID != 0 || made.Name != "small" || made.Permissions != "640" || made.Drivers[0] != "sim" || !strings.Contains(made.Source, "driver: sim") {
		t.Errorf("made %+v", made)
	}
	var spec struct{ Machine struct{ Name string } }
	if err := json.Unmarshal(made.Spec, &spec); err != nil || spec.Machine.Name != "small" {
		t.Errorf("spec %s: %v", made.Spec, err)
	}
	changed, err := s.Machines().Put(ctx, client.PutMachine{Document: client.Document{Spec: made.Spec}, Permissions: "644", Revision: made.Revision})
	if err != nil || changed.ID != made.ID || changed.Revision == made.Revision || changed.Permissions != "644" {
		t.Fatalf("changed %+v, %v", changed, err)
	}
	if _, err := s.Machines().Put(ctx, client.PutMachine{Document: source(small), Revision: made.Revision}); !client.IsStale(err) {
		t.Errorf("a change of a revision that has passed: %v", err)
	}
	for n := range 5 {
		s.must(s.Machines().Put(ctx, client.PutMachine{Document: source(strings.Replace(small, "small", fmt.Sprint("m", n), 1))}))
	}
	r := s.send("GET", "/v1/machines?limit=4", nil)
	var page client.Page[client.Machine]
	if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page.Items) != 4 || page.Next == "" || page.Items[3].Name != "m2" {
		t.Errorf("page %s", r.body)
	}
	if list, err := s.Machines().List(ctx); err != nil || len(list) != 6 {
		t.Errorf("list %+v, %v", list, err)
	}

	s.up(s.Client, "name: web\nroles: {a: {machine: small}}")
	if got, err := s.Services().Get(ctx, "web"); err != nil || got.Role("a").Machine != "small" {
		t.Errorf("%+v, %v", got, err)
	}
	ann := s.user("ann", "research")
	if _, err := ann.Machines().Get(ctx, "small"); err != nil {
		t.Errorf("others may use it: %v", err)
	}
	if _, err := ann.Machines().Put(ctx, client.PutMachine{Document: source(small)}); !client.IsDenied(err) {
		t.Errorf("others may not change it: %v", err)
	}
	if _, err := ann.Machines().Get(ctx, "m1"); !client.IsDenied(err) {
		t.Errorf("others may not use m1: %v", err)
	}
	if err := s.Machines().Remove(ctx, "m1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Machines().Get(ctx, "m1"); !client.IsNotFound(err) {
		t.Errorf("removed: %v", err)
	}
}

func TestTemplates(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.must(s.Machines().Put(ctx, client.PutMachine{Document: source(small)}))
	made, err := s.Templates().Add(ctx, client.PutTemplate{Document: source(web)})
	if err != nil {
		t.Fatal(err)
	}
	if made.Name != "web" || made.Format != "native" || made.Source != web || made.Permissions != "600" {
		t.Errorf("made %+v", made)
	}
	flow := `{"name":"flow","roles":[{"name":"a","cardinality":2,"vm_template":0}]}`
	other, err := s.Templates().Add(ctx, client.PutTemplate{Document: client.Document{Format: "oneflow", Source: flow}})
	if err != nil || other.Name != "flow" {
		t.Fatalf("%+v, %v", other, err)
	}
	if list, err := s.Templates().List(ctx, "oneflow"); err != nil || len(list) != 1 || list[0].ID != other.ID {
		t.Errorf("list %+v, %v", list, err)
	}
	svc, err := s.Services().Create(ctx, client.CreateService{Template: made.ID, Name: "mine", Inputs: map[string]string{"COLOUR": "gold"}})
	if err != nil || svc.Template != made.ID || svc.Name != "mine" || svc.Inputs["COLOUR"] != "gold" {
		t.Errorf("%+v, %v", svc, err)
	}
	s.UntilRunning(svc.ID)
	if svc, err = s.Services().Create(ctx, client.CreateService{Template: other.ID}); err != nil || svc.Format != "oneflow" || svc.Roles[0].Heal != "manual" {
		t.Errorf("%+v, %v", svc, err)
	}
	s.UntilRunning(svc.ID)

	changed, err := s.Templates().Change(ctx, made.ID, client.PutTemplate{Name: "shop", Permissions: "644", Revision: made.Revision})
	if err != nil || changed.Name != "shop" || changed.Permissions != "644" || changed.Source != web {
		t.Errorf("changed %+v, %v", changed, err)
	}
	if _, err := s.Templates().Change(ctx, made.ID, client.PutTemplate{Name: "x", Revision: made.Revision}); !client.IsStale(err) {
		t.Errorf("a change of a revision that has passed: %v", err)
	}
	ann := s.user("ann", "research")
	if got, err := ann.Templates().Get(ctx, made.ID); err != nil || got.Owner.Name != "oneadmin" {
		t.Errorf("others may use it: %+v, %v", got, err)
	}
	for name, err := range map[string]error{
		"change":  second(ann.Templates().Change(ctx, made.ID, client.PutTemplate{Name: "x"})),
		"remove":  ann.Templates().Remove(ctx, made.ID),
		"other's": second(ann.Templates().Get(ctx, other.ID)),
	} {
		if !client.IsDenied(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, p := range map[string]client.PutTemplate{
		"wrong":   {Document: source("name: x\nroles: {a: {count: x}}")},
		"nothing": {Name: "x"},
		"files":   {Document: client.Document{Source: web, Files: map[string]string{"a": "b"}}},
		"flow":    {Document: client.Document{Format: "oneflow", Source: `{"name":"x"`}},
	} {
		if _, err := s.Templates().Add(ctx, p); !client.IsInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Templates().Remove(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Templates().Get(ctx, made.ID); !client.IsNotFound(err) {
		t.Errorf("removed: %v", err)
	}
	if _, err := s.Services().Create(ctx, client.CreateService{Template: made.ID}); !client.IsNotFound(err) {
		t.Errorf("of no template: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
