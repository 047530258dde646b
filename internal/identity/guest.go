package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Guest is somebody whom another identity service vouches for, in one of its projects. Both are known by that service and
// their ids there, never by names: these may be anybody's.
type Guest struct {
	Issuer, User, Project string
	Scopes                Scopes
	// Group is the group that stands for the project here; "" for one of its own, which is made when it is first seen.
	Group  string
	Source netip.Addr
}

// guestScopes are all that a guest may have.
const guestScopes = ScopeRead | ScopeOperate | ScopePush

// guestKey is what a record remembers of whom it stands for; its name follows from that.
func (g *Guest) key(kind, id string) (key, name string) {
	key = g.Issuer + " " + kind + " " + id
	sum := sha256.Sum256([]byte(key))
	return key, "guest-" + hex.EncodeToString(sum[:10])
}

// Welcome returns the caller that a guest is. Who is seen for the first time gets a user without a password; a project, a group that
// may own nothing but metrics and alarms. A guest never administers anything, nor runs anything on the host. Errors are of class
// ErrBadCredentials (the user is disabled, or the group is not for guests).
func (d *Directory) Welcome(ctx context.Context, g Guest) (*Caller, error) {
	if g.Issuer == "" || g.User == "" || g.Project == "" {
		return nil, ErrBadCredentials
	}
	c, err := d.known(&g)
	if errors.Is(err, ErrNotFound) {
		if err := d.change(ctx, func(next *serial) ([]Record, error) { return d.settle(&g, next) }); err != nil {
			return nil, fmt.Errorf("make a place for a guest: %w", err)
		}
		c, err = d.known(&g)
	}
	return c, err
}

// known finds the user and group of a guest; ErrNotFound when there is something to be made.
func (d *Directory) known(g *Guest) (*Caller, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	u, group, err := d.places(g)
	switch {
	case err != nil:
		return nil, err
	case u == nil || group == nil || !u.In(group.ID):
		return nil, ErrNotFound
	case u.Disabled:
		return nil, ErrBadCredentials
	}
	c := d.confine(d.caller(u, g.Scopes&guestScopes, g.Source), u, group.ID)
	c.Admin, c.Host, c.Token = false, false, u.Name
	return c, nil
}

// places returns the records that stand for a guest, nil for those that are not there. d.mu is held.
func (d *Directory) places(g *Guest) (u *user, group *Group, err error) {
	key, name := g.key("user", g.User)
	if u = d.userNames[name]; u != nil && u.Foreign != key {
		return nil, nil, ErrBadCredentials
	}
	if g.Group != "" {
		group = d.groupNames[g.Group]
		if group == nil || group.ID == AdminGroup {
			return nil, nil, ErrBadCredentials
		}
		return u, group, nil
	}
	key, name = g.key("project", g.Project)
	if group = d.groupNames[name]; group != nil && group.Foreign != key {
		return nil, nil, ErrBadCredentials
	}
	return u, group, nil
}

// settle returns the records that a guest lacks.
func (d *Directory) settle(g *Guest, next *serial) (records []Record, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	now := time.Now().UTC()
	u, group, err := d.places(g)
	if err != nil {
		return nil, err
	}
	if group == nil {
		none, nothing, empty := 0, 0.0, int64(0)
		key, name := g.key("project", g.Project)
		group = &Group{ID: next.Groups, Name: name, Foreign: key, Created: now, Quota: Quota{Services: &none, Instances: &none, CPUs: &nothing, Memory: &empty}}
		next.Groups++
		records = append(records, encodeGroup(group))
	}
	switch {
	case u == nil:
		key, name := g.key("user", g.User)
		records = append(records, encodeUser(&user{User: User{ID: next.Users, Name: name, Foreign: key, Group: group.ID, Groups: []int{group.ID}, Created: now}}))
		next.Users++
	case !u.In(group.ID):
		more := &user{User: u.clone(), password: u.password}
		more.Groups = append(more.Groups, group.ID)
		slices.Sort(more.Groups)
		records = append(records, encodeUser(more))
	}
	return records, nil
}
