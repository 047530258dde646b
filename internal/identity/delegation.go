package identity

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// A delegation is a token without a secret: nobody can show it, but work that outlives a request goes on in its user's name, in
// one group and within its scopes. It ends as tokens do: by itself being removed, or with its user. Sessions that are opened by it
// end with it.

// Delegate stores that work may go on in a caller's name, in the caller's group and within the caller's scopes but administration, and
// returns its id. For one user, group, purpose and scopes there is one.
func (d *Directory) Delegate(ctx context.Context, who *Caller, purpose string) (string, error) {
	group := who.Group
	var id string
	err := d.change(ctx, func(*serial) ([]Record, error) {
		d.mu.RLock()
		defer d.mu.RUnlock()
		u := d.users[who.User]
		if u == nil {
			return nil, noUser(who.User)
		}
		scopes := who.Scopes
		if u.In(group) && group != AdminGroup { // elsewhere it is what lets them in
			scopes &^= ScopeAdmin | ScopeMetrics
		}
		for _, t := range d.tokens {
			if t.Delegated && t.User == who.User && t.Name == purpose && t.Scopes == scopes && t.Group != nil && *t.Group == group {
				id = t.ID
				return nil, nil
			}
		}
		made := &token{Token: Token{ID: randomLetters(tokenID), User: who.User, Name: purpose, Scopes: scopes, Group: &group, Delegated: true, Created: time.Now().UTC()}}
		id = made.ID
		return []Record{made.record()}, nil
	})
	if err != nil {
		return "", fmt.Errorf("delegate %s: %w", purpose, err)
	}
	return id, nil
}

// Delegated returns the caller in whose name delegated work goes on. It is an error of class ErrDenied when the delegation has been
// ended, or its user is gone, disabled or no longer of the group.
func (d *Directory) Delegated(id string) (*Caller, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	t := d.tokens[id]
	if t == nil || !t.Delegated {
		return nil, fmt.Errorf("delegation %.20q: %w: it has been ended", id, ErrDenied)
	}
	u := d.users[t.User]
	if u == nil || u.Disabled {
		return nil, fmt.Errorf("delegation %s: %w: its user is disabled", id, ErrDenied)
	}
	whole := d.caller(u, t.Scopes, netip.Addr{})
	if d.groups[*t.Group] == nil || !whole.In(*t.Group) && !whole.Admin {
		return nil, fmt.Errorf("delegation %s: %w: user %s is no longer of its group", id, ErrDenied, u.Name)
	}
	c := d.confine(whole, u, *t.Group)
	c.Token = t.ID
	return c, nil
}

// Within returns a caller as one who acts in one group alone: any of their own, or any at all for administrators.
func (d *Directory) Within(who *Caller, group int) (*Caller, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	u := d.users[who.User]
	if u == nil || d.groups[group] == nil || !who.In(group) && !who.Administers() {
		return nil, fmt.Errorf("group %d: %w: user %s is no member", group, ErrDenied, who.Name)
	}
	c := *who
	return d.confine(&c, u, group), nil
}
