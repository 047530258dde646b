package control

import (
	"context"
	"fmt"
	"strconv"

	"github.com/troupe-dev/troupe/internal/identity"
)

// OpenSession makes a session of a caller in a project ("" for their own), for clients that log in once and show a token then.
func (c *Control) OpenSession(who *identity.Caller, project string) (text string, s identity.Session, err error) {
	if who == nil {
		return "", s, identity.ErrDenied
	}
	tenant := who.Group
	if project != "" {
		g, err := c.groupOf(project)
		if err != nil {
			return "", s, fmt.Errorf("project %.60q: %w", project, identity.ErrNotFound)
		}
		tenant = g.ID
	}
	return c.directory.OpenSession(who, tenant)
}

// EndSession ends a session before its time: one's own, or any for administrators.
func (c *Control) EndSession(ctx context.Context, who *identity.Caller, s *identity.Session) error {
	var err error
	if who.User != s.User && !who.Administers() {
		err = fmt.Errorf("session: %w", identity.ErrNotFound)
	}
	if err == nil {
		err = c.directory.EndSession(ctx, s)
	}
	return c.note(ctx, who, "session.end", "session "+s.ID+" of user "+c.directory.UserName(s.User), err)
}

// ProjectNumbered returns the name of the project with a number, as calls take it; a name of digits is not mistaken for it.
func (c *Control) ProjectNumbered(number string) (string, error) {
	id, err := strconv.Atoi(number)
	if err != nil {
		return "", fmt.Errorf("project %.60q: %w", number, identity.ErrNotFound)
	}
	g, err := c.directory.Group(id)
	if err != nil {
		return "", fmt.Errorf("project %.60q: %w", number, identity.ErrNotFound)
	}
	return g.Name, nil
}
