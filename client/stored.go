package client

import (
	"context"
	"net/url"
)

// Templates returns the calls about stored templates.
func (c *Client) Templates() *Templates { return &Templates{c} }

// Templates are the calls about stored templates.
type Templates struct{ c *Client }

// Add stores a template.
func (t *Templates) Add(ctx context.Context, p PutTemplate) (Template, error) {
	return ask[Template](ctx, t.c, post(p, "templates"))
}

// Get returns a template.
func (t *Templates) Get(ctx context.Context, id uint64) (Template, error) {
	return ask[Template](ctx, t.c, get("templates", ID(id)))
}

// List returns the templates of a format, or all with "", in the order of their numbers.
func (t *Templates) List(ctx context.Context, format string) ([]Template, error) {
	return all(pages(func(cursor string) (Page[Template], error) {
		q := url.Values{}
		set(q, "format", format)
		setPage(q, 0, cursor)
		return ask[Page[Template]](ctx, t.c, get("templates").with(q))
	}))
}

// Change changes a template.
func (t *Templates) Change(ctx context.Context, id uint64, p PutTemplate) (Template, error) {
	return ask[Template](ctx, t.c, at(patch(p, "templates", ID(id)), p.Revision))
}

// Remove removes a template; services that were made from it stay.
func (t *Templates) Remove(ctx context.Context, id uint64) error {
	return t.c.do(ctx, remove("templates", ID(id)), nil)
}

// Machines returns the calls about machine definitions.
func (c *Client) Machines() *Machines { return &Machines{c} }

// Machines are the calls about machine definitions. They are named by name or number.
type Machines struct{ c *Client }

// Put adds the definition of the document, or changes the one of that name.
func (m *Machines) Put(ctx context.Context, p PutMachine) (Machine, error) {
	return ask[Machine](ctx, m.c, at(put(p, "machines"), p.Revision))
}

// Get returns a definition.
func (m *Machines) Get(ctx context.Context, ref string) (Machine, error) {
	return ask[Machine](ctx, m.c, get("machines", ref))
}

// List returns the definitions in the order of their numbers.
func (m *Machines) List(ctx context.Context) ([]Machine, error) {
	return all(pages(func(cursor string) (Page[Machine], error) {
		q := url.Values{}
		setPage(q, 0, cursor)
		return ask[Page[Machine]](ctx, m.c, get("machines").with(q))
	}))
}

// Remove removes a definition; services that were made from it keep their copies.
func (m *Machines) Remove(ctx context.Context, ref string) error {
	return m.c.do(ctx, remove("machines", ref), nil)
}
