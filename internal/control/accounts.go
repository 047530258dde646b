package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/service"
)

// FindUser finds a user by name or number. Those who are no administrators find themselves alone.
func (c *Control) FindUser(who *identity.Caller, ref string) (identity.User, error) {
	if !who.Administers() && ref != who.Name && ref != strconv.Itoa(who.User) {
		return identity.User{}, fmt.Errorf("user %q: %w: only administrators see other users", ref, identity.ErrDenied)
	}
	return c.userOf(ref)
}

// userOf finds a user by name, else by number: names may be digits.
func (c *Control) userOf(ref string) (identity.User, error) {
	u, err := c.directory.UserNamed(ref)
	if err != nil {
		if id, e := strconv.Atoi(ref); e == nil {
			return c.directory.User(id)
		}
	}
	return u, err
}

// groupOf finds a group by name, else by number.
func (c *Control) groupOf(ref string) (identity.Group, error) {
	g, err := c.directory.GroupNamed(ref)
	if err != nil {
		if id, e := strconv.Atoi(ref); e == nil {
			return c.directory.Group(id)
		}
	}
	return g, err
}

// UserID returns the number of a user by name or number, to give something to. What the name may have
// meant is told to administrators alone.
func (c *Control) UserID(who *identity.Caller, ref string) (int, error) {
	u, err := c.userOf(ref)
	if err != nil && !who.Administers() {
		err = fmt.Errorf("user %q: %w", ref, identity.ErrNotFound)
	}
	return u.ID, err
}

// GroupID does for groups what UserID does for users.
func (c *Control) GroupID(who *identity.Caller, ref string) (int, error) {
	g, err := c.groupOf(ref)
	if err != nil && !who.Administers() {
		err = fmt.Errorf("group %q: %w", ref, identity.ErrNotFound)
	}
	return g.ID, err
}

// Users returns the users by number: all for administrators, themselves for others.
func (c *Control) Users(who *identity.Caller) []identity.User {
	return slices.DeleteFunc(c.directory.Users(), func(u identity.User) bool { return !who.Administers() && u.ID != who.User })
}

// AddUser makes a user; administrators only.
func (c *Control) AddUser(ctx context.Context, who *identity.Caller, n identity.NewUser) (identity.User, error) {
	var u identity.User
	err := administrators(who, "add users")
	if err == nil {
		u, err = c.directory.AddUser(ctx, n)
	}
	return u, c.note(ctx, who, "user.add", "user "+n.Name, err)
}

// ChangeUser lets edit change a user's name, groups, grants or whether it is disabled; administrators
// only.
func (c *Control) ChangeUser(ctx context.Context, who *identity.Caller, ref string, edit func(*identity.User) error) (identity.User, error) {
	u, err := c.FindUser(who, ref)
	if err == nil {
		err = administrators(who, "change users")
	}
	if err == nil {
		u, err = c.directory.ChangeUser(ctx, u.ID, edit)
	}
	return u, c.note(ctx, who, "user.change", "user "+ref, err)
}

// RemoveUser removes a user who owns nothing any more; administrators only.
func (c *Control) RemoveUser(ctx context.Context, who *identity.Caller, ref string) error {
	u, err := c.FindUser(who, ref)
	if err == nil {
		err = administrators(who, "remove users")
	}
	if err == nil {
		err = c.unused(func(o identity.Object) bool { return o.Owner == u.ID })
	}
	if err == nil {
		err = c.directory.RemoveUser(ctx, u.ID)
	}
	return c.note(ctx, who, "user.remove", "user "+ref, err)
}

// SetPassword gives a user a new password. Users who change their own show the present one; for others
// it takes an administrator.
func (c *Control) SetPassword(ctx context.Context, who *identity.Caller, ref, old, password string) error {
	return c.note(ctx, who, "user.password", "user "+ref, c.setPassword(ctx, who, ref, old, password))
}

func (c *Control) setPassword(ctx context.Context, who *identity.Caller, ref, old, password string) error {
	if err := writes(who); err != nil {
		return err
	}
	u, err := c.FindUser(who, ref)
	if err != nil {
		return err
	}
	if password == "" {
		return fmt.Errorf("%w: the new password is empty", identity.ErrInvalid)
	}
	if u.ID == who.User {
		_, err := c.directory.Authenticate(ctx, identity.Credentials{User: u.Name, Password: old, Source: who.Source})
		switch {
		case errors.Is(err, identity.ErrBadCredentials), errors.Is(err, identity.ErrNoCredentials):
			return fmt.Errorf("%w: the present password is wrong", identity.ErrDenied)
		case err != nil:
			return err
		}
	}
	return c.directory.SetPassword(ctx, u.ID, password)
}

// FindGroup finds a group by name or number. Those who are no administrators find their own alone.
func (c *Control) FindGroup(who *identity.Caller, ref string) (identity.Group, error) {
	g, err := c.groupOf(ref)
	if !who.Administers() && (err != nil || !who.In(g.ID)) {
		return identity.Group{}, fmt.Errorf("group %q: %w: you are not in such a group", ref, identity.ErrDenied)
	}
	return g, err
}

// Groups returns the groups by number: all for administrators, their own for others.
func (c *Control) Groups(who *identity.Caller) []identity.Group {
	return slices.DeleteFunc(c.directory.Groups(), func(g identity.Group) bool { return !who.Administers() && !who.In(g.ID) })
}

// AddGroup makes a group; administrators only.
func (c *Control) AddGroup(ctx context.Context, who *identity.Caller, name string, quota identity.Quota) (identity.Group, error) {
	var g identity.Group
	err := administrators(who, "add groups")
	if err == nil {
		g, err = c.directory.AddGroup(ctx, name, quota)
	}
	return g, c.note(ctx, who, "group.add", "group "+name, err)
}

// ChangeGroup lets edit change a group's name, quota or grants; administrators only.
func (c *Control) ChangeGroup(ctx context.Context, who *identity.Caller, ref string, edit func(*identity.Group) error) (identity.Group, error) {
	g, err := c.FindGroup(who, ref)
	if err == nil {
		err = administrators(who, "change groups")
	}
	if err == nil {
		g, err = c.directory.ChangeGroup(ctx, g.ID, edit)
	}
	return g, c.note(ctx, who, "group.change", "group "+ref, err)
}

// RemoveGroup removes a group without members that nothing belongs to; administrators only.
func (c *Control) RemoveGroup(ctx context.Context, who *identity.Caller, ref string) error {
	g, err := c.FindGroup(who, ref)
	if err == nil {
		err = administrators(who, "remove groups")
	}
	if err == nil {
		err = c.unused(func(o identity.Object) bool { return o.Group == g.ID })
	}
	if err == nil {
		err = c.directory.RemoveGroup(ctx, g.ID)
	}
	return c.note(ctx, who, "group.remove", "group "+ref, err)
}

// nobody is the owner of what belongs to a project alone.
const nobody = -1

// unused returns an error of class ErrInUse that names something which belongs to the one who goes.
func (c *Control) unused(belongs func(identity.Object) bool) error {
	what := ""
	c.engine.Each(func(id uint64, s *service.Service) bool {
		if belongs(object(&s.Meta)) {
			what = "service " + idText(id) + " " + s.Meta.Name
		}
		return what == ""
	})
	for _, m := range c.hurtle.Managers() {
		for _, v := range c.hurtle.All(m.Term()) {
			if belongs(identity.Object{Owner: nobody, Group: v.Tenant}) {
				what = "instance " + v.ID + " of " + m.Term()
			}
		}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, t := range c.templates {
		if belongs(t.Object()) {
			what = "template " + idText(t.ID) + " " + t.Name
		}
	}
	for _, d := range c.machines {
		if belongs(d.Object()) {
			what = "machine definition " + d.Name
		}
	}
	for _, z := range c.zones {
		if belongs(identity.Object{Owner: -1, Group: z.Project}) { // a zone is its project's alone
			what = "DNS zone " + z.Name
		}
	}
	if what != "" {
		return fmt.Errorf("%w: %s belongs to it; remove that or give it away first", identity.ErrInUse, what)
	}
	return nil
}

// Tokens returns the tokens of a user ("" for the caller's own), oldest first; others' for
// administrators only.
func (c *Control) Tokens(who *identity.Caller, user string) ([]identity.Token, error) {
	if user == "" {
		return c.directory.Tokens(who.User), nil
	}
	u, err := c.FindUser(who, user)
	if err != nil {
		return nil, err
	}
	return c.directory.Tokens(u.ID), nil
}

// AddToken makes a token and returns its text. It reaches no further than the caller does: not beyond
// the scopes, group and life of the token that asks for it. Others' tokens take an administrator.
func (c *Control) AddToken(ctx context.Context, who *identity.Caller, n identity.NewToken) (string, identity.Token, error) {
	text, t, err := c.addToken(ctx, who, n)
	return text, t, c.note(ctx, who, "token.add", "token "+t.ID+" of user "+c.directory.UserName(n.User), err)
}

func (c *Control) addToken(ctx context.Context, who *identity.Caller, n identity.NewToken) (string, identity.Token, error) {
	if err := writes(who); err != nil {
		return "", identity.Token{}, err
	}
	if n.User != who.User {
		if err := administrators(who, "make tokens of other users"); err != nil {
			return "", identity.Token{}, err
		}
	}
	if n.Scopes == 0 {
		n.Scopes = identity.ScopeRead
	}
	if !who.Can(n.Scopes) {
		return "", identity.Token{}, fmt.Errorf("%w: a token makes no token with more scopes than its own (%s)", identity.ErrDenied, who.Scopes)
	}
	by := who.Token
	if who.Session != nil { // it has the group and the life of the token that it was opened with, if that was one
		by = who.Session.Token
		if n.Group == nil {
			n.Group = &who.Session.Group
		}
		if *n.Group != who.Session.Group {
			return "", identity.Token{}, fmt.Errorf("%w: a session in one group makes no token for another", identity.ErrDenied)
		}
	}
	if by != "" {
		own, err := c.directory.Token(by)
		if err != nil {
			return "", own, fmt.Errorf("%w: the token has ended", identity.ErrDenied)
		}
		if own.Group != nil && n.Group == nil {
			n.Group = own.Group
		}
		if own.Group != nil && *n.Group != *own.Group {
			return "", own, fmt.Errorf("%w: a token of one group makes no token for another", identity.ErrDenied)
		}
		if !own.Expires.IsZero() {
			if left := time.Until(own.Expires); n.Expires == 0 || n.Expires > left {
				n.Expires = left
			}
		}
	}
	return c.directory.AddToken(ctx, n)
}

// RemoveToken ends a token at once: one's own, or any for administrators.
func (c *Control) RemoveToken(ctx context.Context, who *identity.Caller, id string) error {
	t, err := c.directory.Token(id)
	switch {
	case err == nil && t.User != who.User && !who.Administers(), err != nil:
		err = fmt.Errorf("token %q: %w", id, identity.ErrNotFound)
	case t.ID != who.Token: // any token may end itself
		err = writes(who)
	}
	if err == nil {
		err = c.directory.RemoveToken(ctx, id)
	}
	return c.note(ctx, who, "token.remove", "token "+id, err)
}
