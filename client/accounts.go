package client

import (
	"context"
	"net/url"
)

// Users returns the calls about users. Users are named by name or number.
func (c *Client) Users() *Users { return &Users{c} }

// Users are the calls about users.
type Users struct{ c *Client }

// Me returns who the server takes the caller for.
func (c *Client) Me(ctx context.Context) (Me, error) { return ask[Me](ctx, c, get("me")) }

// Add makes a user.
func (u *Users) Add(ctx context.Context, n AddUser) (User, error) {
	return ask[User](ctx, u.c, post(n, "users"))
}

// Get returns a user.
func (u *Users) Get(ctx context.Context, ref string) (User, error) {
	return ask[User](ctx, u.c, get("users", ref))
}

// List returns the users by number: all of them for administrators, oneself for others.
func (u *Users) List(ctx context.Context) ([]User, error) {
	return all(pages(func(cursor string) (Page[User], error) { return listed[User](ctx, u.c, "users", cursor) }))
}

// Change changes a user.
func (u *Users) Change(ctx context.Context, ref string, w ChangeUser) (User, error) {
	return ask[User](ctx, u.c, at(patch(w, "users", ref), w.Revision))
}

// Remove removes a user who owns nothing any more.
func (u *Users) Remove(ctx context.Context, ref string) error {
	return u.c.do(ctx, remove("users", ref), nil)
}

// SetPassword gives a user a new password. Those who change their own give the old one too.
func (u *Users) SetPassword(ctx context.Context, ref, old, password string) error {
	return u.c.do(ctx, put(SetPassword{old, password}, "users", ref, "password"), nil)
}

// SetPassword gives a user a new password.
type SetPassword struct {
	Old      string `json:"old,omitempty" maxLength:"1024" doc:"The present password; administrators need none for others."`
	Password string `json:"password" maxLength:"1024"`
}

// Groups returns the calls about groups. Groups are named by name or number.
func (c *Client) Groups() *Groups { return &Groups{c} }

// Groups are the calls about groups.
type Groups struct{ c *Client }

// Add makes a group.
func (g *Groups) Add(ctx context.Context, n AddGroup) (Group, error) {
	return ask[Group](ctx, g.c, post(n, "groups"))
}

// Get returns a group.
func (g *Groups) Get(ctx context.Context, ref string) (Group, error) {
	return ask[Group](ctx, g.c, get("groups", ref))
}

// List returns the groups by number: all of them for administrators, one's own for others.
func (g *Groups) List(ctx context.Context) ([]Group, error) {
	return all(pages(func(cursor string) (Page[Group], error) { return listed[Group](ctx, g.c, "groups", cursor) }))
}

// Change changes a group.
func (g *Groups) Change(ctx context.Context, ref string, w ChangeGroup) (Group, error) {
	return ask[Group](ctx, g.c, at(patch(w, "groups", ref), w.Revision))
}

// Remove removes a group without members that nothing belongs to any more.
func (g *Groups) Remove(ctx context.Context, ref string) error {
	return g.c.do(ctx, remove("groups", ref), nil)
}

// Tokens returns the calls about tokens.
func (c *Client) Tokens() *Tokens { return &Tokens{c} }

// Tokens are the calls about tokens.
type Tokens struct{ c *Client }

// Add makes a token. Its text is in the answer, and cannot be seen again.
func (t *Tokens) Add(ctx context.Context, n AddToken) (Token, error) {
	return ask[Token](ctx, t.c, post(n, "tokens"))
}

// List returns the tokens of a user, or the caller's own with "", oldest first.
func (t *Tokens) List(ctx context.Context, user string) ([]Token, error) {
	return all(pages(func(cursor string) (Page[Token], error) {
		q := url.Values{}
		set(q, "user", user)
		setPage(q, 0, cursor)
		return ask[Page[Token]](ctx, t.c, get("tokens").with(q))
	}))
}

// Remove ends a token at once.
func (t *Tokens) Remove(ctx context.Context, id string) error {
	return t.c.do(ctx, remove("tokens", id), nil)
}

func listed[T any](ctx context.Context, c *Client, what, cursor string) (Page[T], error) {
	q := url.Values{}
	setPage(q, 0, cursor)
	return ask[Page[T]](ctx, c, get(what).with(q))
}
