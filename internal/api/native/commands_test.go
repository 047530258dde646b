package native_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/driver/sim"
	"github.com/troupe-dev/troupe/internal/service"
)

// settled waits until a service is RUNNING and nothing of it is under way.
func (s *stage) settled(ref string) client.Service {
	s.t.Helper()
	got, err := s.Services().WaitFor(s.t.Context(), ref, "RUNNING")
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func (s *stage) must(_ any, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func source(text string) client.Document { return client.Document{Source: text} }

func TestUpdateAndRollback(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.up(s.Client, web)
	shown, err := s.Services().Spec(ctx, "web", 0)
	if err != nil {
		t.Fatal(err)
	}
	if shown.Revision != 1 || !strings.Contains(shown.Source, "(secret)") || strings.Contains(shown.Source+string(shown.Spec), "hunter2") {
		t.Fatalf("shown: %+v", shown)
	}
	// What was shown can come back, with a change: secrets stay what they were.
	changed := strings.Replace(shown.Source, "red", "blue", 1)
	s.must(s.Services().Update(ctx, "web", client.UpdateService{Document: source(changed), Revision: 1}))
	s.settled("web")
	s.Until(1, "updated", func(svc *service.Service) bool {
		return svc.Revision == 2 && svc.Spec.Inputs["PASSWORD"] == "hunter2" && svc.Spec.Inputs["COLOUR"] == "blue"
	})
	if _, err := s.Services().Update(ctx, "web", client.UpdateService{Document: source(changed), Revision: 1}); !client.IsStale(err) {
		t.Errorf("an update of a revision that has passed: %v", err)
	}
	if r, err := s.Services().Revisions(ctx, "web"); err != nil || !slices.Equal(r, []uint32{1, 2}) {
		t.Errorf("revisions %v, %v", r, err)
	}
	one := uint32(1)
	if p, err := s.Services().Plan(ctx, "web", client.Command{Rollback: &one}); err != nil || p.State != "RUNNING" || p.Name != "web" {
		t.Errorf("plan of a rollback: %+v, %v", p, err)
	}
	s.must(s.Services().Rollback(ctx, "web", 1))
	s.settled("web")
	if got, err := s.Services().Get(ctx, "web"); err != nil || got.Inputs["COLOUR"] != "red" || got.Revision != 3 {
		t.Errorf("rolled back: %+v, %v", got, err)
	}
	if _, err := s.Services().Rollback(ctx, "web", 99); !client.IsNotFound(err) {
		t.Errorf("rollback to a revision that never was: %v", err)
	}
	if _, err := s.Services().Spec(ctx, "web", 99); !client.IsNotFound(err) {
		t.Errorf("spec of a revision that never was: %v", err)
	}
	if _, err := s.Services().Update(ctx, "web", client.UpdateService{Document: source(strings.Replace(changed, "COLOUR: blue", "COLOUR: (secret)", 1))}); !client.IsInvalid(err) {
		t.Errorf("an input that is not secret takes no secret: %v", err)
	}
}

func TestUpdatePauses(t *testing.T) {
	s := newStageOn(t, sim.Options{BootDelay: 30 * time.Millisecond})
	ctx := t.Context()
	s.up(s.Client, web)
	changed := strings.ReplaceAll(web, "machine: {driver: sim}", "machine: {driver: sim, env: {A: b}}")
	s.must(s.Services().Update(ctx, "web", client.UpdateService{Document: source(changed)}))
	s.must(s.Services().PauseUpdate(ctx, "web"))
	got, err := s.Services().Get(ctx, "web")
	if err != nil || got.Rollout == nil || !got.Rollout.Paused {
		t.Fatalf("paused: %+v, %v", got.Rollout, err)
	}
	s.must(s.Services().ContinueUpdate(ctx, "web"))
	if got := s.settled("web"); got.Rollout != nil || got.Role("app").Outdated != 0 {
		t.Errorf("updated: %+v", got)
	}
	if _, err := s.Services().PauseUpdate(ctx, "web"); !client.IsConflict(err) {
		t.Errorf("no update to pause: %v", err)
	}
}

func TestScale(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.up(s.Client, web)
	for _, c := range []struct {
		wish string
		want int
	}{{"5", 5}, {"+2", 7}, {"-1", 6}, {"+50%", 9}, {"-1%", 8}, {"-50%", 4}, {"4", 4}} {
		s.must(s.Services().Scale(ctx, "web", client.Scale{Role: "app", Cardinality: client.Cardinality(c.wish)}))
		if got := s.settled("web"); got.Role("app").Cardinality != c.want {
			t.Errorf("%s: %d, want %d", c.wish, got.Role("app").Cardinality, c.want)
		}
	}
	for name, c := range map[string]struct {
		scale client.Scale
		is    func(error) bool
		says  string
	}{
		"above":   {client.Scale{Role: "app", Cardinality: "11"}, client.IsInvalid, "Maximum cardinality is 10"},
		"below":   {client.Scale{Role: "app", Cardinality: "-4"}, client.IsInvalid, "Minimum cardinality is 2"},
		"no role": {client.Scale{Role: "ap", Cardinality: "+1"}, client.IsNotFound, `did you mean "app"?`},
		"no wish": {client.Scale{Role: "app", Cardinality: "many"}, client.IsInvalid, `body.cardinality: give a number from 0 to 1000000, or as text a change`},
		"percent": {client.Scale{Role: "app", Cardinality: "5%"}, client.IsInvalid, "body.cardinality"},
		"huge":    {client.Scale{Role: "app", Cardinality: "999999999"}, client.IsInvalid, "cardinality"},
	} {
		if _, err := s.Services().Scale(ctx, "web", c.scale); !c.is(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for body, want := range map[string]int{
		`{"role":"app","cardinality":5}`: 202, `{"role":"app","cardinality":"4"}`: 202, `{"role":"app","cardinality":-1}`: 422,
		`{"role":"app","cardinality":1.5}`: 422, `{"role":"app","cardinality":99999999999}`: 422, `{"role":"app","cardinality":null}`: 400,
		`{"role":"app","cardinality":[5]}`: 422, `{"role":"app","cardinality":11}`: 400,
	} {
		if r := s.send("POST", "/v1/services/web/scale", body); r.status != want {
			t.Errorf("%s: %d, want %d: %s", body, r.status, want, r.body)
		}
	}
	cooldown := client.Duration(time.Hour)
	s.must(s.Services().Scale(ctx, "web", client.Scale{Role: "app", Cardinality: "11", Force: true, Cooldown: &cooldown}))
	if got, err := s.Services().WaitFor(ctx, "web", "COOLDOWN"); err != nil || got.Role("app").Until == nil {
		t.Errorf("forced: %+v, %v", got, err)
	}
}

// A service that is left alone takes wishes, does nothing about them, and goes when it is asked to.
func TestManaged(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	made := s.up(s.Client, web)
	if made.Mode != "managed" {
		t.Errorf("made as %q", made.Mode)
	}
	s.must(s.Services().Detach(ctx, "web"))
	s.must(s.Services().Scale(ctx, "web", client.Scale{Role: "app", Cardinality: "4"}))
	got, err := s.Services().Get(ctx, "web")
	if err != nil || got.Mode != "unmanaged" || got.State != "WARNING" || got.Role("app").Settled != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	p, err := s.Services().Plan(ctx, "web", client.Command{Attach: &client.Attach{Once: true}})
	if err != nil || len(p.Steps) == 0 || p.Total != 5 {
		t.Errorf("plan %+v, %v", p, err)
	}
	p, err = s.Services().Plan(ctx, "web", client.Command{Scale: &client.Scale{Role: "app", Cardinality: "5"}})
	if err != nil || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "waits until it is attached") || p.Total != 6 {
		t.Errorf("plan %+v, %v", p, err)
	}
	e, err := s.Services().Explain(ctx, "web")
	if err != nil || e.Mode != "unmanaged" || !slices.Contains(e.Waits, "to be attached: role app: 2 of 4 instances up") {
		t.Errorf("%+v, %v", e, err)
	}
	s.must(s.Services().Attach(ctx, "web", client.Attach{Once: true, Deadline: client.Duration(time.Hour)}))
	if got, err = s.Services().WaitForPass(ctx, "web"); err != nil || got.Mode != "unmanaged" || got.Role("app").Settled != 4 || got.Pass.Ended == nil || got.Pass.Failure != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.Services().Attach(ctx, "web", client.Attach{Deadline: 1}); !client.IsInvalid(err) {
		t.Errorf("a deadline of no pass: %v", err)
	}
	s.must(s.Services().Attach(ctx, "web", client.Attach{}))
	if got := s.settled("web"); got.Mode != "managed" {
		t.Errorf("%+v", got)
	}
	s.must(s.Services().Detach(ctx, "web"))
	s.must(s.Services().Remove(ctx, "web", client.Undeploy{}))
	if _, err := s.Services().WaitFor(ctx, made.Ref(), client.Gone); err != nil {
		t.Error(err)
	}
}

// A client may give a service an id of its own, which is unique as long as the service lasts.
func TestAlias(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	const alias = "3f0f1c4e-9f3c-4c79-8a35-6a0f2f1f7a10"
	make := func(alias string) (client.Service, error) {
		return s.Services().Create(ctx, client.CreateService{Document: source(web), Alias: alias})
	}
	first, err := make(alias)
	if err != nil || first.Alias != alias {
		t.Fatalf("%+v, %v", first, err)
	}
	s.settled(first.Ref())
	if got, err := s.Services().Get(ctx, alias); err != nil || got.ID != first.ID {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := make(alias); !client.IsConflict(err) || !strings.Contains(err.Error(), "another service has that alias") {
		t.Errorf("taken: %v", err)
	}
	for _, wrong := range []string{"12", "a/b", " a", "a\nb"} {
		if _, err := make(wrong); !client.IsInvalid(err) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	name := "other"
	s.must(s.Services().Change(ctx, alias, client.ChangeService{Name: &name}))
	if got, err := s.Services().Get(ctx, alias); err != nil || got.Name != name {
		t.Errorf("renamed: %+v, %v", got, err)
	}
	// What has ended, and is kept for a while, gives way.
	s.must(s.Services().Undeploy(ctx, alias, client.Undeploy{}))
	if _, err := s.Services().WaitFor(ctx, alias, "DONE"); err != nil {
		t.Fatal(err)
	}
	second, err := make(alias)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Services().Get(ctx, alias); err != nil || got.ID != second.ID {
		t.Errorf("%+v, %v", got, err)
	}
	s.must(s.Services().Remove(ctx, alias, client.Undeploy{}))
	if _, err := s.Services().WaitFor(ctx, second.Ref(), client.Gone); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Services().Get(ctx, alias); err == nil && got.ID != first.ID {
		t.Errorf("after its end: %+v", got)
	}
}

// instances returns those of a role, by serial.
func (s *stage) instances(ref, role string) (all []client.Instance) {
	s.t.Helper()
	for i, err := range s.Services().Instances(s.t.Context(), ref, client.InstanceFilter{Role: role}) {
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, i)
	}
	return all
}

// Chosen instances go, however they are named, and the role has so many less.
func TestScaleWithoutChosenInstances(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.up(s.Client, web)
	s.must(s.Services().Scale(ctx, "web", client.Scale{Role: "app", Cardinality: "9"}))
	s.settled("web")
	all := s.instances("web", "app")
	if len(all) != 9 || len(all[8].Addresses) == 0 {
		t.Fatalf("%+v", all)
	}
	names := []string{strconv.Itoa(int(all[2].Number)), all[3].Name, strings.ToUpper(all[4].UUID), all[5].Machine, all[6].Native, " " + all[7].Addresses[0]}
	if _, err := s.Services().Plan(ctx, "web", client.Command{Scale: &client.Scale{Role: "app", Remove: names[:1]}}); err != nil {
		t.Error(err)
	}
	s.must(s.Services().Scale(ctx, "web", client.Scale{Role: "app", Remove: names}))
	if got := s.settled("web"); got.Role("app").Cardinality != 3 {
		t.Errorf("cardinality %d", got.Role("app").Cardinality)
	}
	left := s.instances("web", "app")
	if len(left) != 3 || left[0].Serial != all[0].Serial || left[1].Serial != all[1].Serial || left[2].Serial != all[8].Serial || left[2].UUID != all[8].UUID {
		t.Errorf("left are %+v", left)
	}
	if id := uuid.MustParse(left[0].UUID); id.Version() != 4 || id.Variant() != uuid.RFC4122 {
		t.Errorf("%s is no UUID of version 4", id)
	}
	for name, c := range map[string]struct {
		scale client.Scale
		is    func(error) bool
		says  string
	}{
		"gone":       {client.Scale{Role: "app", Remove: []string{names[1]}}, client.IsNotFound, `role app has no instance "` + names[1] + `" by number, name, id or address`},
		"no role":    {client.Scale{Role: "ap", Remove: names}, client.IsNotFound, `did you mean "app"?`},
		"both":       {client.Scale{Role: "app", Remove: names, Cardinality: "3"}, client.IsInvalid, "give a cardinality, or the instances"},
		"neither":    {client.Scale{Role: "app"}, client.IsInvalid, "give a cardinality, or the instances"},
		"below":      {client.Scale{Role: "app", Remove: []string{left[0].Name, left[1].Name}}, client.IsInvalid, "Minimum cardinality is 2"},
		"twice":      {client.Scale{Role: "app", Remove: []string{left[0].Name, left[0].UUID, left[1].Name}}, client.IsInvalid, "Minimum cardinality is 2"},
		"other role": {client.Scale{Role: "app", Remove: []string{s.instances("web", "db")[0].Name}}, client.IsNotFound, "no instance"},
	} {
		if _, err := s.Services().Scale(ctx, "web", c.scale); !c.is(err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlansDoNothing(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	p, err := s.Services().PlanCreate(ctx, client.CreateService{Document: source(web)})
	if err != nil {
		t.Fatal(err)
	}
	if p.State != "RUNNING" || p.Total != 3 || len(p.Steps) != 2 || p.Steps[0].Role != "db" || p.Steps[1].Count != 2 {
		t.Errorf("plan %+v", p)
	}
	s.up(s.Client, web)
	before, err := s.Services().Get(ctx, "web")
	if err != nil {
		t.Fatal(err)
	}
	role := client.Document{Source: "name: x\nroles: {cache: {needs: [db], machine: {driver: sim}}}"}
	for name, c := range map[string]client.Command{
		"scale":       {Scale: &client.Scale{Role: "app", Cardinality: "+1"}},
		"update":      {Update: &client.UpdateService{Document: source(strings.Replace(web, "count: 1", "count: 2", 1))}},
		"recover":     {Recover: &client.Recover{Delete: true}},
		"undeploy":    {Undeploy: &client.Undeploy{}},
		"add role":    {AddRole: &role},
		"remove role": {RemoveRole: "app"},
		"action":      {Action: &client.Action{Name: "reboot", Role: "app"}},
		"replace":     {Replace: 1},
	} {
		if p, err := s.Services().Plan(ctx, "web", c); err != nil || len(p.Steps) == 0 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, err := s.Services().Plan(ctx, "web", client.Command{Release: &client.Release{}}); !client.IsConflict(err) {
		t.Errorf("release of nothing: %v", err)
	}
	for name, c := range map[string]client.Command{"none": {}, "two": {Replace: 1, RemoveRole: "app"}} {
		if _, err := s.Services().Plan(ctx, "web", c); !client.IsInvalid(err) {
			t.Errorf("%s commands: %v", name, err)
		}
	}
	after, err := s.Services().Get(ctx, "web")
	if d := cmp.Diff(before, after); d != "" || err != nil || s.Cloud.Len() != 3 {
		t.Errorf("plans changed something: %s, %v, %d machines", d, err, s.Cloud.Len())
	}
}

func TestRolesComeAndGo(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.up(s.Client, web)
	for name, doc := range map[string]string{
		"list":   "name: x\nroles:\n  cache:\n    needs: [db]\n    count: 2\n    machine: {driver: sim}\n",
		"word":   "name: x\nroles: {queue: {needs: db, machine: {driver: sim}}}",
		"alone":  "name: x\nroles: {mail: {machine: {driver: sim}}}",
		"both":   "name: x\nroles: {two: {needs: [db, cache], machine: {driver: sim}}}",
		"absent": "name: x\nroles: {bad: {needs: [dbb], machine: {driver: sim}}}",
		"twice":  "name: x\nroles: {app: {machine: {driver: sim}}}",
		"many":   "name: x\nroles: {a: {machine: {driver: sim}}, b: {machine: {driver: sim}}}",
		"wrong":  "name: x\nroles: {bad: {needs: [db], count: lots, machine: {driver: sim}}}",
	} {
		if bad := slices.Contains([]string{"absent", "twice", "many", "wrong", "both"}, name); bad {
			if name == "both" { // map order: cache may be there or not
				continue
			}
			if _, err := s.Services().AddRole(ctx, "web", source(doc)); !client.IsInvalid(err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		s.must(s.Services().AddRole(ctx, "web", source(doc)))
		s.settled("web")
	}
	got, err := s.Services().Get(ctx, "web")
	if err != nil || got.Role("cache").Settled != 2 || !slices.Equal(got.Role("cache").Parents, []string{"db"}) || !slices.Equal(got.Role("queue").Parents, []string{"db"}) {
		t.Errorf("added: %+v, %v", got, err)
	}
	s.must(s.Services().RemoveRole(ctx, "web", "db"))
	s.Until(1, "without db", func(svc *service.Service) bool { return svc.Role("db") == nil && svc.State == service.Running })
	if _, err := s.Services().RemoveRole(ctx, "web", "db"); !client.IsNotFound(err) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestActionsReplaceRecoverRelease(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.up(s.Client, web)
	s.must(s.Services().Act(ctx, "web", client.Action{Name: "suspend", Role: "app"}))
	s.Until(1, "suspended", func(svc *service.Service) bool { return svc.Role("app").Count(service.Parked) == 2 })
	s.must(s.Services().Act(ctx, "web", client.Action{Name: "resume", Role: "app", Period: client.Duration(time.Hour), Number: 1}))
	s.Until(1, "half resumed", func(svc *service.Service) bool { return svc.Role("app").Count(service.Up) == 1 })
	waiting := 0
	for i, err := range s.Services().Instances(ctx, "web", client.InstanceFilter{Role: "app"}) {
		if err != nil {
			t.Fatal(err)
		}
		waiting += len(i.Actions)
	}
	if waiting != 1 {
		t.Errorf("%d actions wait, want 1", waiting)
	}
	s.must(s.Services().CancelActions(ctx, "web", "app"))
	s.must(s.Services().Act(ctx, "web", client.Action{Name: "resume"}))
	s.settled("web")
	s.Until(1, "resumed", func(svc *service.Service) bool { return svc.Role("app").Count(service.Up) == 2 })
	if _, err := s.Services().Act(ctx, "web", client.Action{Name: "rebot"}); !client.IsInvalid(err) {
		t.Errorf("an unknown action: %v", err)
	}

	s.must(s.Services().Replace(ctx, "web", 2))
	s.Until(1, "replaced", func(svc *service.Service) bool {
		return svc.Instance(2) == nil && svc.State == service.Running && svc.Len() == 3
	})
	if _, err := s.Services().Replace(ctx, "web", 2); !client.IsNotFound(err) {
		t.Errorf("an instance that is gone: %v", err)
	}

	if _, err := s.Services().Recover(ctx, "web", client.Recover{}); !client.IsConflict(err) {
		t.Errorf("nothing to recover: %v", err)
	}
	s.must(s.Services().Undeploy(ctx, "web", client.Undeploy{}))
	if got, err := s.Services().WaitFor(ctx, "web", "DONE"); err != nil || got.State != "DONE" {
		t.Errorf("undeployed: %+v, %v", got, err)
	}

	held, err := s.Services().Create(ctx, client.CreateService{Document: source("name: held\nhold: true\nroles: {a: {heal: manual, machine: {driver: sim}}}")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Services().WaitFor(ctx, "held", "HOLD"); err != nil {
		t.Fatal(err)
	}
	s.must(s.Services().Release(ctx, "held", ""))
	s.settled("held")
	s.Cloud.Kill(service.MachineID(held.ID, 1, 1))
	var state *client.StateError
	waitCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if got, err := s.Services().WaitFor(waitCtx, "held", "WARNING"); err != nil {
		t.Fatalf("%+v, %v, %v", got, err, state)
	}
	s.must(s.Services().Recover(ctx, "held", client.Recover{}))
	s.settled("held")
	s.must(s.Services().Remove(ctx, "held", client.Undeploy{Hard: true, Data: true, Force: true}))
	s.UntilGone(held.ID)
}

func TestRepeatedCommandsCountOnce(t *testing.T) {
	s := newStage(t)
	s.up(s.Client, web)
	for range 3 {
		r := s.send("POST", "/v1/services/web/scale", `{"role":"app","cardinality":"+1"}`, "Idempotency-Key", "k1")
		if r.status != 202 {
			t.Fatalf("%+v", r)
		}
	}
	if got := s.settled("web"); got.Role("app").Cardinality == 5 {
		t.Errorf("the same wish counted three times")
	}
}
