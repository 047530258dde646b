package native_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/client"
)

// research makes the group research, which may have one service, and its only user ann.
func (s *stage) research() *client.Client {
	s.t.Helper()
	ctx, services := s.t.Context(), 1
	g, err := s.Groups().Add(ctx, client.AddGroup{Name: "research", Quota: client.Quota{Services: &services}})
	if err != nil || *g.Quota.Services != 1 {
		s.t.Fatalf("%+v, %v", g, err)
	}
	u, err := s.Users().Add(ctx, client.AddUser{Name: "ann", Password: "correct horse", Group: "research", Groups: []string{"users"}, Grants: []string{"host"}})
	if err != nil || u.Group.Name != "research" || len(u.Groups) != 2 || !slices.Equal(u.Grants, []string{"host"}) {
		s.t.Fatalf("%+v, %v", u, err)
	}
	return s.as("ann", "correct horse")
}

func TestWhatUsersMayNot(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	ann := s.research()
	me, err := ann.Me(ctx)
	if err != nil || me.User.Name != "ann" || me.Admin || !me.Host {
		t.Errorf("%+v, %v", me, err)
	}
	// They see themselves and their groups, and change nothing but their password.
	if list, err := ann.Users().List(ctx); err != nil || len(list) != 1 || list[0].Name != "ann" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := ann.Groups().List(ctx); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if g, err := ann.Groups().Get(ctx, "research"); err != nil || g.Members[0].Name != "ann" {
		t.Errorf("%+v, %v", g, err)
	}
	name := "bob"
	for what, err := range map[string]error{
		"see":            second(ann.Users().Get(ctx, "oneadmin")),
		"see by number":  second(ann.Users().Get(ctx, "0")),
		"see nobody":     second(ann.Users().Get(ctx, "nobody")),
		"see group":      second(ann.Groups().Get(ctx, "oneadmin")),
		"add":            second(ann.Users().Add(ctx, client.AddUser{Name: "eve", Password: "long enough"})),
		"change":         second(ann.Users().Change(ctx, "ann", client.ChangeUser{Name: &name})),
		"remove":         ann.Users().Remove(ctx, "ann"),
		"add group":      second(ann.Groups().Add(ctx, client.AddGroup{Name: "mine"})),
		"change group":   second(ann.Groups().Change(ctx, "research", client.ChangeGroup{Name: &name})),
		"remove group":   ann.Groups().Remove(ctx, "research"),
		"other password": ann.Users().SetPassword(ctx, "oneadmin", "", "eve's password"),
		"wrong password": ann.Users().SetPassword(ctx, "ann", "guess", "another password"),
		"audit":          second(ann.Audit(ctx, client.AuditFilter{})),
		"resume":         ann.Resume(ctx),
		"backup":         ann.Backup(ctx, nil),
		"accept":         ann.AcceptLoss(ctx, "sim"),
		"tokens":         second(ann.Tokens().List(ctx, "oneadmin")),
		"other's token":  second(ann.Tokens().Add(ctx, client.AddToken{User: "oneadmin"})),
	} {
		if !client.IsDenied(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPasswordsAndQuotas(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	ann := s.research()
	if err := ann.Users().SetPassword(ctx, "ann", "correct horse", "battery staple"); err != nil {
		t.Fatal(err)
	}
	if _, err := ann.Me(ctx); !client.IsUnauthorized(err) {
		t.Errorf("the old password: %v", err)
	}
	ann = s.as("ann", "battery staple")

	// The quota of the group holds, and is told with its numbers.
	s.up(ann, web)
	_, err := ann.Services().Create(ctx, client.CreateService{Document: source(web), Name: "two"})
	if !client.IsDenied(err) || !strings.Contains(err.Error(), "services") || !strings.Contains(err.Error(), "1") {
		t.Errorf("over quota: %v", err)
	}
	g, err := s.Groups().Get(ctx, "research")
	if err != nil || g.Used.Services != 1 || g.Used.Instances != 3 {
		t.Errorf("used %+v, %v", g.Used, err)
	}
	if g, err = s.Groups().Change(ctx, "research", client.ChangeGroup{Quota: &client.Quota{}, Revision: g.Revision}); err != nil || g.Quota.Services != nil {
		t.Errorf("%+v, %v", g, err)
	}
	name := "development"
	if _, err := s.Groups().Change(ctx, "research", client.ChangeGroup{Name: &name, Revision: 1}); !client.IsStale(err) {
		t.Errorf("a change of a revision that has passed: %v", err)
	}
}

func TestNobodyGoesWhoOwnsSomething(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	ann := s.research()
	s.up(ann, web)
	if err := s.Users().Remove(ctx, "ann"); !client.IsConflict(err) || !strings.Contains(err.Error(), "service 1 web") {
		t.Errorf("an owner: %v", err)
	}
	if err := s.Groups().Remove(ctx, "research"); !client.IsConflict(err) {
		t.Errorf("a group with services: %v", err)
	}
	s.must(ann.Services().Remove(ctx, "web", client.Undeploy{}))
	s.UntilGone(1)
	disabled := true
	if u, err := s.Users().Change(ctx, "ann", client.ChangeUser{Disabled: &disabled, Grants: &[]string{}}); err != nil || !u.Disabled || len(u.Grants) != 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := ann.Me(ctx); !client.IsUnauthorized(err) {
		t.Errorf("a disabled user: %v", err)
	}
	if err := s.Users().Remove(ctx, "ann"); err != nil {
		t.Error(err)
	}
	if err := s.Groups().Remove(ctx, "research"); err != nil {
		t.Error(err)
	}
}

func TestBadAccounts(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	for what, err := range map[string]error{
		"user 0":        s.Users().Remove(ctx, "oneadmin"),
		"bad name":      second(s.Users().Add(ctx, client.AddUser{Name: "a b", Password: "long enough"})),
		"short":         second(s.Users().Add(ctx, client.AddUser{Name: "x", Password: "short"})),
		"unknown grant": second(s.Users().Add(ctx, client.AddUser{Name: "x", Password: "long enough", Grants: []string{"hots"}})),
	} {
		if !client.IsInvalid(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Users().Add(ctx, client.AddUser{Name: "oneadmin"}); !client.IsConflict(err) {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, err := s.Users().Add(ctx, client.AddUser{Name: "x", Group: "reserch"}); !client.IsNotFound(err) {
		t.Errorf("a group that is not there: %v", err)
	}
}

func TestTokens(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	s.up(s.Client, web)
	made, err := s.Tokens().Add(ctx, client.AddToken{Name: "ci", Scopes: []string{"operate"}, Expires: client.Duration(time.Hour)})
	if err != nil || made.Text == "" || made.Expires == nil {
		t.Fatalf("%+v, %v", made, err)
	}
	with := func(text string) *client.Client {
		c, err := client.New(s.url, client.Options{Token: text, Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	ci := with(made.Text)
	s.must(ci.Services().Scale(ctx, "web", client.Scale{Role: "app", Cardinality: "3"}))
	if me, err := ci.Me(ctx); err != nil || me.Token != made.ID || me.Admin && slices.Contains(me.Scopes, "admin") {
		t.Errorf("%+v, %v", me, err)
	}
	// A token makes none that reaches further, and none that lives longer.
	if _, err := ci.Tokens().Add(ctx, client.AddToken{Scopes: []string{"admin"}}); !client.IsDenied(err) {
		t.Errorf("a wider token: %v", err)
	}
	child, err := ci.Tokens().Add(ctx, client.AddToken{Scopes: []string{"read"}, Group: "oneadmin"})
	if err != nil || child.Expires == nil || child.Expires.After(made.Expires.Add(time.Minute)) || child.Group == nil {
		t.Fatalf("%+v, %v", child, err)
	}
	reader := with(child.Text)
	if _, err := reader.Services().Get(ctx, "web"); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"scale":    second(reader.Services().Scale(ctx, "web", client.Scale{Role: "app", Cardinality: "2"})),
		"create":   second(reader.Services().Create(ctx, client.CreateService{Document: source(web), Name: "x"})),
		"token":    second(reader.Tokens().Add(ctx, client.AddToken{})),
		"password": reader.Users().SetPassword(ctx, "oneadmin", "opennebula", "another one"),
		"user":     second(ci.Users().Add(ctx, client.AddUser{Name: "eve", Password: "long enough"})),
		"backup":   ci.Backup(ctx, nil),
	} {
		if !client.IsDenied(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	list, err := s.Tokens().List(ctx, "")
	if err != nil || len(list) != 2 || list[0].ID != made.ID || list[0].Text != "" {
		t.Errorf("%+v, %v", list, err)
	}
	ann := s.user("ann", "research")
	if err := ann.Tokens().Remove(ctx, made.ID); !client.IsNotFound(err) {
		t.Errorf("of another: %v", err)
	}
	if err := s.Tokens().Remove(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := ci.Me(ctx); !client.IsUnauthorized(err) {
		t.Errorf("a token that has ended: %v", err)
	}
	if _, err := s.Tokens().Add(ctx, client.AddToken{Scopes: []string{"everything"}}); !client.IsInvalid(err) {
		t.Errorf("an unknown scope: %v", err)
	}
	if _, err := s.Tokens().Add(ctx, client.AddToken{Expires: client.Duration(-time.Hour)}); !client.IsInvalid(err) {
		t.Errorf("a token of the past: %v", err)
	}
}

func TestServicesOfOthers(t *testing.T) {
	s := newStage(t)
	ctx := t.Context()
	ann, bob, eve := s.user("ann", "research"), s.user("bob", "research"), s.user("eve", "")
	made := s.up(ann, web)
	for _, c := range []*client.Client{bob, eve} {
		for what, err := range map[string]error{
			"get":      second(c.Services().Get(ctx, made.Ref())),
			"scale":    second(c.Services().Scale(ctx, made.Ref(), client.Scale{Role: "app", Cardinality: "3"})),
			"explain":  second(c.Services().Explain(ctx, made.Ref())),
			"spec":     second(c.Services().Spec(ctx, made.Ref(), 0)),
			"events":   second(c.Services().Events(ctx, made.Ref(), 0)),
			"instance": second(c.Services().Instance(ctx, made.Ref(), 1)),
			"logs":     second(c.Services().Logs(ctx, made.Ref(), 1, client.LogOptions{})),
			"exec":     second(c.Services().Exec(ctx, made.Ref(), 1, client.Exec{Command: []string{"ls"}})),
			"update":   second(c.Services().Update(ctx, made.Ref(), client.UpdateService{Document: source(web)})),
			"remove":   second(c.Services().Remove(ctx, made.Ref(), client.Undeploy{})),
		} {
			if !client.IsDenied(err) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if p, err := c.Services().Page(ctx, client.ServiceFilter{}, ""); err != nil || len(p.Items) != 0 {
			t.Errorf("%+v, %v", p, err)
		}
		if e, err := c.Events(ctx, 0); err != nil || len(e) != 0 {
			t.Errorf("%+v, %v", e, err)
		}
	}
	bits, eves, users := "640", "eve", "users"
	s.must(ann.Services().Change(ctx, "web", client.ChangeService{Permissions: &bits}))
	if _, err := bob.Services().Get(ctx, "web"); err != nil {
		t.Errorf("the group may use it: %v", err)
	}
	if _, err := bob.Services().Scale(ctx, "web", client.Scale{Role: "app", Cardinality: "3"}); !client.IsDenied(err) {
		t.Errorf("the group may not manage it: %v", err)
	}
	if _, err := ann.Services().Change(ctx, "web", client.ChangeService{Owner: &eves}); !client.IsDenied(err) {
		t.Errorf("only administrators give away: %v", err)
	}
	s.must(s.Services().Change(ctx, "research/web", client.ChangeService{Owner: &eves, Group: &users}))
	if got, err := eve.Services().Get(ctx, "web"); err != nil || got.Owner.Name != "eve" || got.Group.Name != "users" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ann.Services().Get(ctx, made.Ref()); !client.IsDenied(err) {
		t.Errorf("given away: %v", err)
	}
}
