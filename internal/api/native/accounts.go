package native

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/client"
	"github.com/troupe-dev/troupe/internal/identity"
)

func (f *face) whoami(_ context.Context, who *identity.Caller, _ *none) (*answer[client.Me], error) {
	return &answer[client.Me]{client.Me{User: f.user(who.User), Group: f.group(who.Group), Groups: f.groups(who.Groups), Admin: who.Administers(),
		Host: who.MayUseHost(), Scopes: who.Scopes.Names(), Token: who.Token}}, nil
}

func (f *face) userOf(u identity.User) client.User {
	return client.User{ID: u.ID, Name: u.Name, Group: f.group(u.Group), Groups: f.groups(u.Groups), Disabled: u.Disabled, Grants: words(u.Grants),
		Created: u.Created.UTC(), Revision: u.Revision}
}

func words(grants []identity.Grant) (out []string) {
	for _, g := range grants {
		out = append(out, string(g))
	}
	return out
}

func grants(words []string) []identity.Grant {
	out := make([]identity.Grant, len(words))
	for n, w := range words {
		out[n] = identity.Grant(w)
	}
	return out
}

func (f *face) showUser(u identity.User, err error) (*tagged[client.User], error) {
	if err != nil {
		return nil, err
	}
	return &tagged[client.User]{ETag: etag(u.Revision), Body: f.userOf(u)}, nil
}

func (f *face) listUsers(_ context.Context, who *identity.Caller, in *Paging) (*answer[client.Page[client.User]], error) {
	return answered(part(f.control.Users(who), in, func(u identity.User) string { return numberKey(uint64(u.ID)) }, f.userOf))
}

// OneUser is the path of a user.
type OneUser struct {
	User string `path:"user" doc:"A user, by name or number."`
}

func (f *face) getUser(_ context.Context, who *identity.Caller, in *OneUser) (*tagged[client.User], error) {
	return f.showUser(f.control.FindUser(who, in.User))
}

type addUser struct{ Body client.AddUser }

func (f *face) addUser(ctx context.Context, who *identity.Caller, in *addUser) (*tagged[client.User], error) {
	n := identity.NewUser{Name: in.Body.Name, Password: in.Body.Password, Grants: grants(in.Body.Grants)}
	if in.Body.Group != "" {
		id, err := f.control.GroupID(who, in.Body.Group)
		if err != nil {
			return nil, err
		}
		n.Group = &id
	}
	var err error
	if n.Groups, err = f.groupIDs(who, in.Body.Groups); err != nil {
		return nil, err
	}
	return f.showUser(f.control.AddUser(ctx, who, n))
}

func (f *face) groupIDs(who *identity.Caller, refs []string) ([]int, error) {
	out := make([]int, len(refs))
	for n, ref := range refs {
		id, err := f.control.GroupID(who, ref)
		if err != nil {
			return nil, err
		}
		out[n] = id
	}
	return out, nil
}

type changeUser struct {
	OneUser
	Match
	Body client.ChangeUser
}

func (f *face) changeUser(ctx context.Context, who *identity.Caller, in *changeUser) (*tagged[client.User], error) {
	b := &in.Body
	_, group, err := f.parties(who, nil, b.Group)
	if err != nil {
		return nil, err
	}
	var groups []int
	if b.Groups != nil {
		if groups, err = f.groupIDs(who, *b.Groups); err != nil {
			return nil, err
		}
	}
	return f.showUser(f.control.ChangeUser(ctx, who, in.User, func(u *identity.User) error {
		if b.Name != nil {
			u.Name = *b.Name
		}
		if group != nil {
			u.Group = *group
		}
		if b.Groups != nil {
			u.Groups = groups
		}
		if b.Disabled != nil {
			u.Disabled = *b.Disabled
		}
		if b.Grants != nil {
			u.Grants = grants(*b.Grants)
		}
		return in.holds(u.Revision)
	}))
}

func (f *face) removeUser(ctx context.Context, who *identity.Caller, in *OneUser) (*none, error) {
	return nil, f.control.RemoveUser(ctx, who, in.User)
}

type setPassword struct {
	OneUser
	Body client.SetPassword
}

func (f *face) setPassword(ctx context.Context, who *identity.Caller, in *setPassword) (*none, error) {
	return nil, f.control.SetPassword(ctx, who, in.User, in.Body.Old, in.Body.Password)
}

func (f *face) groupOf(g identity.Group) client.Group {
	used := f.control.Used(g.ID)
	out := client.Group{ID: g.ID, Name: g.Name, Quota: client.Quota(g.Quota), Used: client.Usage(used), Grants: words(g.Grants),
		Members: []client.Party{}, Created: g.Created.UTC(), Revision: g.Revision}
	for _, u := range f.control.Directory().Users() {
		if u.In(g.ID) {
			out.Members = append(out.Members, client.Party{ID: u.ID, Name: u.Name})
		}
	}
	return out
}

func (f *face) showGroup(g identity.Group, err error) (*tagged[client.Group], error) {
	if err != nil {
		return nil, err
	}
	return &tagged[client.Group]{ETag: etag(g.Revision), Body: f.groupOf(g)}, nil
}

func (f *face) listGroups(_ context.Context, who *identity.Caller, in *Paging) (*answer[client.Page[client.Group]], error) {
	return answered(part(f.control.Groups(who), in, func(g identity.Group) string { return numberKey(uint64(g.ID)) }, f.groupOf))
}

// OneGroup is the path of a group.
type OneGroup struct {
	Group string `path:"group" doc:"A group, by name or number."`
}

func (f *face) getGroup(_ context.Context, who *identity.Caller, in *OneGroup) (*tagged[client.Group], error) {
	return f.showGroup(f.control.FindGroup(who, in.Group))
}

type addGroup struct{ Body client.AddGroup }

func (f *face) addGroup(ctx context.Context, who *identity.Caller, in *addGroup) (*tagged[client.Group], error) {
	return f.showGroup(f.control.AddGroup(ctx, who, in.Body.Name, identity.Quota(in.Body.Quota)))
}

type changeGroup struct {
	OneGroup
	Match
	Body client.ChangeGroup
}

func (f *face) changeGroup(ctx context.Context, who *identity.Caller, in *changeGroup) (*tagged[client.Group], error) {
	return f.showGroup(f.control.ChangeGroup(ctx, who, in.Group, func(g *identity.Group) error {
		if in.Body.Name != nil {
			g.Name = *in.Body.Name
		}
		if in.Body.Quota != nil {
			g.Quota = identity.Quota(*in.Body.Quota)
		}
		if in.Body.Grants != nil {
			g.Grants = grants(*in.Body.Grants)
		}
		return in.holds(g.Revision)
	}))
}

func (f *face) removeGroup(ctx context.Context, who *identity.Caller, in *OneGroup) (*none, error) {
	return nil, f.control.RemoveGroup(ctx, who, in.Group)
}

func (f *face) token(t identity.Token) client.Token {
	out := client.Token{ID: t.ID, User: f.user(t.User), Name: t.Name, Scopes: t.Scopes.Names(), Created: t.Created.UTC(),
		Expires: later(t.Expires), Used: later(t.Used)}
	if t.Group != nil {
		g := f.group(*t.Group)
		out.Group = &g
	}
	return out
}

type listTokens struct {
	Paging
	User string `query:"user" doc:"By name or number; whoever asks when empty."`
}

func (f *face) listTokens(_ context.Context, who *identity.Caller, in *listTokens) (*answer[client.Page[client.Token]], error) {
	list, err := f.control.Tokens(who, in.User)
	if err != nil {
		return nil, err
	}
	key := func(t identity.Token) string { return numberKey(uint64(t.Created.UnixNano())) + t.ID }
	slices.SortFunc(list, func(a, b identity.Token) int { return strings.Compare(key(a), key(b)) })
	return answered(part(list, &in.Paging, key, f.token))
}

type addToken struct{ Body client.AddToken }

// newToken is the answer to the making of a token.
type newToken struct {
	Status int
	Body   client.Token
}

func (f *face) addToken(ctx context.Context, who *identity.Caller, in *addToken) (*newToken, error) {
	n := identity.NewToken{User: who.User, Name: in.Body.Name, Expires: time.Duration(in.Body.Expires)}
	if n.Expires < 0 {
		return nil, invalid("body.expires", "a token ends later than now")
	}
	if in.Body.User != "" {
		u, err := f.control.FindUser(who, in.Body.User)
		if err != nil {
			return nil, err
		}
		n.User = u.ID
	}
	var err error
	if n.Scopes, err = identity.ParseScopes(in.Body.Scopes); err != nil {
		return nil, err
	}
	if in.Body.Group != "" {
		id, err := f.control.GroupID(who, in.Body.Group)
		if err != nil {
			return nil, err
		}
		n.Group = &id
	}
	text, t, err := f.control.AddToken(ctx, who, n)
	if err != nil {
		return nil, err
	}
	out := f.token(t)
	out.Text = text
	return &newToken{http.StatusCreated, out}, nil
}

type oneToken struct {
	Token string `path:"token" doc:"Id of a token."`
}

func (f *face) removeToken(ctx context.Context, who *identity.Caller, in *oneToken) (*none, error) {
	return nil, f.control.RemoveToken(ctx, who, in.Token)
}
