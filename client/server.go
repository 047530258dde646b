package client

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"
)

// Drivers returns the kinds of back end that the server has.
func (c *Client) Drivers(ctx context.Context) ([]Driver, error) {
	p, err := ask[Page[Driver]](ctx, c, get("drivers"))
	return p.Items, err
}

// Driver returns one kind of back end.
func (c *Client) Driver(ctx context.Context, name string) (Driver, error) {
	return ask[Driver](ctx, c, get("drivers", name))
}

// AcceptLoss says that the machines which vanished from a halted back end (its Key) are gone indeed.
func (c *Client) AcceptLoss(ctx context.Context, backend string) error {
	return c.do(ctx, post(nil, "backends", backend, "accept-loss"), nil)
}

// Status returns how the server is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, get("status"))
}

// Resume sets the server going after a restore, when its administrator has seen what it will do.
func (c *Client) Resume(ctx context.Context) error {
	q := post(nil, "resume")
	q.once = false
	return c.do(ctx, q, nil)
}

// Backup writes a consistent copy of the whole state to w; for administrators. The master key is not
// in it.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	q := get("backup")
	q.stream = true
	resp, _, err := c.open(ctx, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("backup: the copy is not whole: %w", err)
	}
	return nil
}

// Events returns the last n events of all services that the caller may use, oldest first.
func (c *Client) Events(ctx context.Context, n int) ([]Event, error) {
	p, err := ask[Page[Event]](ctx, c, get("events").with(last(n)))
	return p.Items, err
}

// An AuditFilter chooses audit records; empty fields choose all.
type AuditFilter struct {
	User, Project, Face, Action, Object, Outcome, Request string
	Since                                                 time.Time
	Limit                                                 int // 100 when 0
}

// Audit returns the last audit records that the filter chooses, newest first; for administrators.
func (c *Client) Audit(ctx context.Context, f AuditFilter) ([]AuditRecord, error) {
	q := url.Values{}
	for key, value := range map[string]string{"user": f.User, "project": f.Project, "face": f.Face, "action": f.Action,
		"object": f.Object, "outcome": f.Outcome, "request": f.Request} {
		set(q, key, value)
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	p, err := ask[Page[AuditRecord]](ctx, c, get("audit").with(q))
	return p.Items, err
}

// Schema returns the JSON Schema of a document in the native format: "service" or "machine".
func (c *Client) Schema(ctx context.Context, kind string) ([]byte, error) {
	resp, cancel, err := c.open(ctx, call{method: "GET", path: path("schema", kind+".json")})
	if err != nil {
		return nil, err
	}
	defer cancel()
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
