package client

import (
	"context"
	"net/url"
	"time"
)

// A KeptData is what the stable instances of a service that is gone have left.
type KeptData struct {
	Service uint64     `json:"service" doc:"Number of the service that was."`
	Name    string     `json:"name"`
	Project string     `json:"project,omitempty"`
	Owner   Party      `json:"owner"`
	Removed time.Time  `json:"removed" doc:"When the service went."`
	Roles   []RoleData `json:"roles"`
}

// A RoleData says where instances of a role may have left data.
type RoleData struct {
	Role     string   `json:"role"`
	Names    []string `json:"names" doc:"Of the data, as the back ends keep it; the first hundred."`
	Backends []string `json:"backends" doc:"Drivers, with their accounts after a colon."`
}

// Data returns the calls about the data that services have left.
func (c *Client) Data() *Data { return &Data{c} }

// Data are the calls about the data that services have left.
type Data struct{ c *Client }

// List returns what services that are gone have left, oldest service first.
func (d *Data) List(ctx context.Context) ([]KeptData, error) {
	return all(pages(func(cursor string) (Page[KeptData], error) {
		q := url.Values{}
		setPage(q, 0, cursor)
		return ask[Page[KeptData]](ctx, d.c, get("data").with(q))
	}))
}

// Remove removes, for good, what a service has left: by its number, or by its name in the caller's project.
func (d *Data) Remove(ctx context.Context, service string) error {
	return d.c.do(ctx, remove("data", service), nil)
}
