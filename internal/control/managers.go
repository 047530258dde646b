package control

import (
	"context"
	"fmt"
	"slices"

	"github.com/troupe-dev/troupe/internal/hurtle"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/manager"
)

// Service managers belong to the installation: administrators add them, all users find them. Their instances belong to projects.

// A ManagerDefinition adds a service manager.
type ManagerDefinition struct {
	hurtle.Definition
	// Bundle is a folder or an archive on the server's host with the orchestrator's program, in place of Definition.Program; "" for none.
	Bundle string
}

// PutManager adds a service manager, or changes the one of its term; administrators only.
func (c *Control) PutManager(ctx context.Context, who *identity.Caller, d ManagerDefinition) (*hurtle.Manager, error) {
	m, err := c.putManager(ctx, who, d)
	what := "manager"
	if m != nil {
		what += " " + m.Term()
	}
	return m, c.note(ctx, who, "manager.put", what, err)
}

func (c *Control) putManager(ctx context.Context, who *identity.Caller, d ManagerDefinition) (*hurtle.Manager, error) {
	if err := administrators(who, "add service managers"); err != nil {
		return nil, err
	}
	manifest, err := manager.ParseManifest(d.ManifestFile, []byte(d.ManifestText))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", identity.ErrInvalid, err)
	}
	if d.Bundle != "" {
		if d.Program, err = c.putBundle(ctx, who, "bundle-"+manifest.Term(), d.Bundle); err != nil {
			return nil, err
		}
	}
	if d.Program == "" {
		return nil, fmt.Errorf("%w: a manager needs what its orchestrators are started from: a bundle, an image or the name of a machine definition", identity.ErrInvalid)
	}
	d.Owner = who.User
	return c.hurtle.Define(ctx, d.Definition)
}

// ServiceManagers returns the managers in the order in which they were added.
func (c *Control) ServiceManagers() []*hurtle.Manager { return c.hurtle.Managers() }

// ServiceManager returns the manager of a term.
func (c *Control) ServiceManager(term string) (*hurtle.Manager, error) { return c.hurtle.Manager(term) }

// RemoveManager removes a manager that has no instances; administrators only.
func (c *Control) RemoveManager(ctx context.Context, who *identity.Caller, term string) error {
	err := administrators(who, "remove service managers")
	if err == nil {
		err = c.hurtle.Undefine(ctx, term)
	}
	return c.note(ctx, who, "manager.remove", "manager "+term, err)
}

// ManagerInstances returns the instances of a manager that the caller may see, oldest first: those of their projects, all for
// administrators.
func (c *Control) ManagerInstances(who *identity.Caller, term string) ([]*hurtle.View, error) {
	if _, err := c.hurtle.Manager(term); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(c.hurtle.All(term), func(v *hurtle.View) bool { return !who.In(v.Tenant) && !who.Admin }), nil
}

// InProject returns the caller as one who acts in a project alone, by its name or number.
func (c *Control) InProject(who *identity.Caller, project string) (*identity.Caller, error) {
	g, err := c.groupOf(project)
	if err != nil {
		return nil, fmt.Errorf("project %.60q: %w", project, identity.ErrDenied) // nobody learns which there are
	}
	return c.directory.Within(who, g.ID)
}

// NewInstance makes an instance of a service type in the caller's project.
func (c *Control) NewInstance(ctx context.Context, who *identity.Caller, term string, given []manager.Attribute) (*hurtle.View, error) {
	err := writes(who)
	var v *hurtle.View
	if err == nil {
		v, err = c.hurtle.Create(ctx, who, term, given)
	}
	what := term
	if v != nil {
		what += " " + v.ID
	}
	return v, c.note(ctx, who, "instance.create", what, err)
}

// ListInstances returns the instances of a service type that the caller's project has, oldest first.
func (c *Control) ListInstances(who *identity.Caller, term string) []*hurtle.View {
	return c.hurtle.List(who, term)
}

// KnownInstance returns an instance without asking its orchestrator; one that is being deleted, too, if tombstone.
func (c *Control) KnownInstance(who *identity.Caller, term, id string, tombstone bool) (*hurtle.View, error) {
	return c.hurtle.Known(who, term, id, tombstone)
}

// ReadInstance returns an instance with what its orchestrator shows now.
func (c *Control) ReadInstance(ctx context.Context, who *identity.Caller, token, term, id string) (*hurtle.View, error) {
	return c.hurtle.Read(ctx, who, token, term, id)
}

// UpdateInstance passes attributes on to the orchestrator of an instance.
func (c *Control) UpdateInstance(ctx context.Context, who *identity.Caller, term, id string, list []manager.Attribute) (*hurtle.View, error) {
	err := writes(who)
	var v *hurtle.View
	if err == nil {
		v, err = c.hurtle.Update(ctx, who, term, id, list)
	}
	return v, c.note(ctx, who, "instance.update", term+" "+id, err)
}

// DeleteInstance has an instance removed, with all that its orchestrator has made.
func (c *Control) DeleteInstance(ctx context.Context, who *identity.Caller, term, id string) error {
	err := writes(who)
	if err == nil {
		err = c.hurtle.Delete(ctx, who, term, id)
	}
	return c.note(ctx, who, "instance.delete", term+" "+id, err)
}
