package openstack

import (
	"context"
	"errors"
	"net/netip"

	"github.com/troupe-dev/troupe/internal/identity"
)

// Guests are those whom a Keystone vouches for.
type Guests struct {
	Validator *Validator
	Directory *identity.Directory
	// Projects are the groups that stand for projects, by the projects' ids. Every other gets one of its own.
	Projects map[string]string
}

// Authenticate says who shows a token of Keystone's. Errors are of class identity.ErrBadCredentials, or say that Keystone cannot be asked.
func (g *Guests) Authenticate(ctx context.Context, token string, source netip.Addr) (*identity.Caller, error) {
	t, err := g.Validator.Validate(ctx, token)
	if errors.Is(err, ErrUnknownToken) {
		return nil, identity.ErrBadCredentials
	}
	if err != nil {
		return nil, err
	}
	scopes := t.Scopes()
	if scopes == 0 {
		return nil, identity.ErrBadCredentials
	}
	return g.Directory.Welcome(ctx, identity.Guest{Issuer: g.Validator.Issuer(), User: t.User, Project: t.Project, Scopes: scopes, Group: g.Projects[t.Project], Source: source})
}
