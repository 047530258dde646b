package identity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/identity/identitytest"
)

const firstPassword = "correct horse"

func open(t testing.TB, r *identitytest.Records) *identity.Directory {
	t.Helper()
	d, err := identity.Open(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// started returns a directory after the first start, with user 1 "ann" in groups 1 and 2.
func started(t testing.TB) (*identity.Directory, *identitytest.Records) {
	t.Helper()
	r := &identitytest.Records{}
	d := open(t, r)
	if _, err := d.Bootstrap(t.Context(), "oneadmin", firstPassword); err != nil {
		t.Fatal(err)
	}
	g, err := d.AddGroup(t.Context(), "web", identity.Quota{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.AddUser(t.Context(), identity.NewUser{Name: "ann", Password: "ann's own", Groups: []int{g.ID}}); err != nil {
		t.Fatal(err)
	}
	return d, r
}

func TestBootstrap(t *testing.T) {
	r := &identitytest.Records{}
	d := open(t, r)
	password, err := d.Bootstrap(t.Context(), "root", "")
	if err != nil || len(password) < 28 {
		t.Fatalf("Bootstrap = %q, %v", password, err)
	}
	c, err := d.Authenticate(t.Context(), identity.Credentials{User: "root", Password: password})
	if err != nil || !c.Administers() || !c.MayUseHost() || c.User != 0 || c.Group != 0 {
		t.Fatalf("the first user cannot log in as administrator: %+v, %v", c, err)
	}
	for _, rec := range r.History() {
		if strings.Contains(string(rec.Value), password) {
			t.Errorf("%s holds the password", rec.Key)
		}
	}
	if again, err := open(t, r).Bootstrap(t.Context(), "root", ""); again != "" || err != nil {
		t.Errorf("the second start generated %q, %v", again, err)
	}
	// A server that looked before the first one wrote comes second, and makes nothing.
	late := open(t, &identitytest.Records{})
	if _, err := late.Bootstrap(t.Context(), "no colon:", "x"); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("bad name: %v", err)
	}
	groups := d.Groups()
	if len(groups) != 2 || groups[0].Name != "oneadmin" || groups[1].Name != "users" {
		t.Errorf("groups: %+v", groups)
	}
}

func TestUsersAndGroups(t *testing.T) {
	d, _ := started(t)
	ctx := t.Context()
	ann, err := d.UserNamed("ann")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 2}, ann.Groups); diff != "" || ann.ID != 1 || ann.Group != identity.UsersGroup {
		t.Errorf("ann is %+v %s", ann, diff)
	}
	_, err = d.UserNamed("anm")
	if !errors.Is(err, identity.ErrNotFound) || !strings.Contains(err.Error(), `did you mean "ann"`) {
		t.Errorf("got %v", err)
	}
	refusals := []struct {
		name string
		do   func() error
		want error
	}{
		{"name taken", func() error { _, err := d.AddUser(ctx, identity.NewUser{Name: "ann"}); return err }, identity.ErrExists},
		{"name with colon", func() error { _, err := d.AddUser(ctx, identity.NewUser{Name: "a:b"}); return err }, identity.ErrInvalid},
		{"long name", func() error {
			_, err := d.AddUser(ctx, identity.NewUser{Name: strings.Repeat("n", 129)})
			return err
		}, identity.ErrInvalid},
		{"short password", func() error {
			_, err := d.AddUser(ctx, identity.NewUser{Name: "bob", Password: "short"})
			return err
		}, identity.ErrInvalid},
		{"password like a token", func() error { return d.SetPassword(ctx, 1, "trp_something") }, identity.ErrInvalid},
		{"no such group", func() error {
			_, err := d.AddUser(ctx, identity.NewUser{Name: "bob", Groups: []int{99}})
			return err
		}, identity.ErrNotFound},
		{"unknown grant", func() error {
			_, err := d.ChangeUser(ctx, 1, func(u *identity.User) error { u.Grants = []identity.Grant{"hots"}; return nil })
			return err
		}, identity.ErrInvalid},
		{"rename onto another", func() error {
			_, err := d.ChangeUser(ctx, 1, func(u *identity.User) error { u.Name = "oneadmin"; return nil })
			return err
		}, identity.ErrExists},
		{"disable user 0", func() error {
			_, err := d.ChangeUser(ctx, 0, func(u *identity.User) error { u.Disabled = true; return nil })
			return err
		}, identity.ErrInvalid},
		{"user 0 out of group 0", func() error {
			_, err := d.ChangeUser(ctx, 0, func(u *identity.User) error { u.Group, u.Groups = 1, nil; return nil })
			return err
		}, identity.ErrInvalid},
		{"remove user 0", func() error { return d.RemoveUser(ctx, 0) }, identity.ErrInvalid},
		{"remove nobody", func() error { return d.RemoveUser(ctx, 77) }, identity.ErrNotFound},
		{"remove group 1", func() error { return d.RemoveGroup(ctx, 1) }, identity.ErrInvalid},
		{"remove a group with members", func() error { return d.RemoveGroup(ctx, 2) }, identity.ErrInUse},
		{"group name taken", func() error { _, err := d.AddGroup(ctx, "web", identity.Quota{}); return err }, identity.ErrExists},
		{"negative quota", func() error {
			n := -1
			_, err := d.AddGroup(ctx, "db", identity.Quota{Services: &n})
			return err
		}, identity.ErrInvalid},
	}
	before := fmt.Sprint(d.Users(), d.Groups())
	for _, tt := range refusals {
		if err := tt.do(); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if after := fmt.Sprint(d.Users(), d.Groups()); after != before {
		t.Errorf("a refused change changed something:\n%s\n%s", before, after)
	}
	// Ids are never used again.
	if err := d.RemoveUser(ctx, 1); err != nil {
		t.Fatal(err)
	}
	bob, err := d.AddUser(ctx, identity.NewUser{Name: "bob"})
	if err != nil || bob.ID <= 1 {
		t.Errorf("bob is %+v, %v", bob, err)
	}
	if err := d.RemoveGroup(ctx, 2); err != nil {
		t.Errorf("empty group: %v", err)
	}
}

func TestHostGrant(t *testing.T) {
	d, _ := started(t)
	host := func() bool {
		c, err := d.As(1)
		if err != nil {
			t.Fatal(err)
		}
		return c.MayUseHost()
	}
	if host() {
		t.Error("a new user may run commands on the host")
	}
	grant := func(g *identity.Group) error { g.Grants = []identity.Grant{identity.GrantHost}; return nil }
	if _, err := d.ChangeGroup(t.Context(), 2, grant); err != nil || !host() {
		t.Errorf("the grant of the group does not count: %v", err)
	}
	revoke := func(g *identity.Group) error { g.Grants = nil; return nil }
	if _, err := d.ChangeGroup(t.Context(), 2, revoke); err != nil || host() {
		t.Errorf("revoked, yet it counts: %v", err)
	}
}

func TestTokens(t *testing.T) {
	d, r := started(t)
	ctx := t.Context()
	two, other := 2, 0
	auth := func(user, text string) (*identity.Caller, error) {
		if user != "" {
			return d.Authenticate(ctx, identity.Credentials{User: user, Password: text})
		}
		return d.Authenticate(ctx, identity.Credentials{Token: text})
	}
	text, tok, err := d.AddToken(ctx, identity.NewToken{User: 1, Name: "ci", Scopes: identity.ScopeOperate, Group: &two})
	if err != nil {
		t.Fatal(err)
	}
	c, err := auth("", text)
	if err != nil || c.Group != 2 || !slices.Equal(c.Groups, []int{2}) || c.Token != tok.ID || c.Can(identity.ScopeAdmin) || !c.Can(identity.ScopeRead) {
		t.Fatalf("caller %+v, %v", c, err)
	}
	if _, err := auth("ann", text); err != nil {
		t.Errorf("as a password: %v", err)
	}
	if _, err := auth("oneadmin", text); !errors.Is(err, identity.ErrBadCredentials) {
		t.Errorf("as the password of another: %v", err)
	}
	for i := range text {
		bad := []byte(text)
		bad[i] ^= 1
		if _, err := auth("", string(bad)); !errors.Is(err, identity.ErrBadCredentials) {
			t.Fatalf("letter %d changed: %v", i, err)
		}
	}
	if _, _, err := d.AddToken(ctx, identity.NewToken{User: 1, Group: &other}); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("token for a foreign group: %v", err)
	}
	if got, _ := d.Token(tok.ID); got.Used.IsZero() {
		t.Error("its use was not noticed")
	}
	for _, rec := range r.History() {
		if strings.Contains(string(rec.Value), text[20:]) {
			t.Errorf("%s holds the token", rec.Key)
		}
	}
	// An administrator's token in another group is no administrator's.
	text0, _, err := d.AddToken(ctx, identity.NewToken{User: 0, Scopes: identity.ScopeAll, Group: &other})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := auth("", text0); err != nil || !c.Administers() {
		t.Errorf("%+v, %v", c, err)
	}
	// Disabled users and removed tokens end at once; so does membership of the token's group.
	if _, err := d.ChangeUser(ctx, 1, func(u *identity.User) error { u.Groups = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := auth("", text); !errors.Is(err, identity.ErrBadCredentials) {
		t.Errorf("no longer a member: %v", err)
	}
	if err := d.RemoveToken(ctx, tok.ID); err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveToken(ctx, tok.ID); !errors.Is(err, identity.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// Two servers, each with a directory of its own that sees the other's writes late, make users at
// the same time: no id and no name is given twice, and both end up with the same.
func TestTwoServers(t *testing.T) {
	d, r := started(t)
	e := open(t, r)
	var wg sync.WaitGroup
	for i, dir := range []*identity.Directory{d, e} {
		wg.Go(func() {
			for n := range 20 {
				_, err := dir.AddUser(context.Background(), identity.NewUser{Name: fmt.Sprintf("user%d", n)})
				if err != nil && !errors.Is(err, identity.ErrExists) {
					t.Errorf("server %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	for _, rec := range r.History() {
		for _, dir := range []*identity.Directory{d, e} {
			if err := dir.Apply(rec); err != nil {
				t.Fatal(err)
			}
		}
	}
	fresh := open(t, r)
	if diff := cmp.Diff(fresh.Users(), d.Users()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(fresh.Users(), e.Users()); diff != "" {
		t.Error(diff)
	}
	if n := len(fresh.Users()); n != 22 {
		t.Errorf("%d users, want 22", n)
	}
}

// Whatever happens on two servers, and however late each sees the other's writes, a full replay
// of the watch leaves every directory equal to a fresh one.
func TestReplayConverges(t *testing.T) {
	first := &identitytest.Records{}
	if _, err := open(t, first).Bootstrap(t.Context(), "oneadmin", firstPassword); err != nil {
		t.Fatal(err)
	}
	var start []identity.Change
	for _, rec := range first.History() {
		start = append(start, identity.Change{Key: rec.Key, Value: rec.Value})
	}
	rapid.Check(t, func(rt *rapid.T) {
		r := &identitytest.Records{}
		ctx := t.Context()
		if _, err := r.Put(ctx, start); err != nil {
			rt.Fatal(err)
		}
		dirs := []*identity.Directory{open(t, r), open(t, r)}
		seen := []int{0, 0}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			i := rapid.IntRange(0, 1).Draw(rt, "server")
			d, id := dirs[i], rapid.IntRange(0, 5).Draw(rt, "id")
			name := fmt.Sprintf("n%d", rapid.IntRange(0, 4).Draw(rt, "name"))
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0:
				d.AddUser(ctx, identity.NewUser{Name: name})
			case 1:
				d.RemoveUser(ctx, id)
			case 2:
				d.ChangeUser(ctx, id, func(u *identity.User) error { u.Name = name; return nil })
			case 3:
				d.AddGroup(ctx, name, identity.Quota{})
			case 4:
				d.AddToken(ctx, identity.NewToken{User: id})
			case 5: // the watch delivers some more
				h := r.History()
				for ; seen[i] < len(h) && rapid.Bool().Draw(rt, "more"); seen[i]++ {
					if err := d.Apply(h[seen[i]]); err != nil {
						rt.Fatal(err)
					}
				}
			}
		}
		fresh := open(t, r)
		names := map[string]bool{}
		for _, u := range fresh.Users() {
			if names[u.Name] {
				rt.Fatalf("two users are named %s", u.Name)
			}
			names[u.Name] = true
		}
		for i, d := range dirs {
			for _, rec := range r.History()[seen[i]:] {
				if err := d.Apply(rec); err != nil {
					rt.Fatal(err)
				}
			}
			if diff := cmp.Diff(fresh.Users(), d.Users()) + cmp.Diff(fresh.Groups(), d.Groups()) + cmp.Diff(fresh.Tokens(1), d.Tokens(1)); diff != "" {
				rt.Fatalf("server %d: %s", i, diff)
			}
		}
	})
}

func TestRecordsOfNewerVersionsAreRefused(t *testing.T) {
	r := &identitytest.Records{}
	for key, value := range map[string]string{"identity/user/0": `{"v":2,"id":0,"name":"x"}`, "identity/group/0": `{`, "identity/role/0": `{}`} {
		if _, err := r.Put(t.Context(), []identity.Change{{Key: key, Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.Open(t.Context(), r); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: got %v", key, err)
		}
		rec, _ := r.Load(t.Context(), key)
		r.Put(t.Context(), []identity.Change{{Key: key, Guard: rec[0].Revision}})
	}
}

func TestLastUseIsWrittenDown(t *testing.T) {
	r := &identitytest.Records{}
	d := open(t, r)
	if _, err := d.Bootstrap(t.Context(), "oneadmin", firstPassword); err != nil {
		t.Fatal(err)
	}
	text, tok, err := d.AddToken(t.Context(), identity.NewToken{User: 0})
	if err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T) {
		// Records and directory have no goroutine: they may be used inside the bubble.
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { d.Run(ctx, slog.New(slog.DiscardHandler)) })
		if _, err := d.Authenticate(ctx, identity.Credentials{Token: text}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		cancel()
		wg.Wait()
	})
	if got, err := open(t, r).Token(tok.ID); err != nil || got.Used.IsZero() {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
}
