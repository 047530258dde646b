package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Alarms returns the calls about alarms of the caller's own project.
func (c *Client) Alarms() *Alarms { return &Alarms{c: c} }

// Alarms are the calls about alarm definitions and alarms. Definitions are named by id or name.
type Alarms struct {
	c       *Client
	project string
}

// Of returns the calls about the alarms of another project: a group, by name or number.
func (a *Alarms) Of(project string) *Alarms { return &Alarms{a.c, project} }

// An AlarmFilter chooses alarms; empty fields choose all.
type AlarmFilter struct {
	Definition string // by id or name
	State      string
	Severity   string
	Metric     string // that one of its series has
	Dimensions map[string]string
	Service    uint64
	Limit      int // alarms of one page; 100 when 0
}

func (a *Alarms) query(more url.Values) url.Values {
	if more == nil {
		more = url.Values{}
	}
	set(more, "project", a.project)
	return more
}

// Define makes a definition.
func (a *Alarms) Define(ctx context.Context, r AlarmRule) (AlarmDefinition, error) {
	return ask[AlarmDefinition](ctx, a.c, post(r, "alarm-definitions").with(a.query(nil)))
}

// Definition returns a definition.
func (a *Alarms) Definition(ctx context.Context, ref string) (AlarmDefinition, error) {
	return ask[AlarmDefinition](ctx, a.c, get("alarm-definitions", ref).with(a.query(nil)))
}

// Definitions returns the definitions by name; those of one service, or all with 0.
func (a *Alarms) Definitions(ctx context.Context, service uint64) ([]AlarmDefinition, error) {
	return all(pages(func(cursor string) (Page[AlarmDefinition], error) {
		q := a.query(nil)
		if service != 0 {
			q.Set("service", ID(service))
		}
		setPage(q, 0, cursor)
		return ask[Page[AlarmDefinition]](ctx, a.c, get("alarm-definitions").with(q))
	}))
}

// Redefine changes a definition.
func (a *Alarms) Redefine(ctx context.Context, ref string, w ChangeAlarmRule) (AlarmDefinition, error) {
	return ask[AlarmDefinition](ctx, a.c, patch(w, "alarm-definitions", ref).with(a.query(nil)))
}

// RemoveDefinition removes a definition with its alarms.
func (a *Alarms) RemoveDefinition(ctx context.Context, ref string) error {
	return a.c.do(ctx, remove("alarm-definitions", ref).with(a.query(nil)), nil)
}

// List yields the alarms that the filter chooses, page by page.
func (a *Alarms) List(ctx context.Context, f AlarmFilter) iter.Seq2[Alarm, error] {
	return pages(func(cursor string) (Page[Alarm], error) {
		q := a.query(nil)
		set(q, "definition", f.Definition)
		set(q, "state", f.State)
		set(q, "severity", f.Severity)
		set(q, "metric", f.Metric)
		for _, k := range sorted(f.Dimensions) {
			q.Add("dimension", k+"="+f.Dimensions[k])
		}
		if f.Service != 0 {
			q.Set("service", ID(f.Service))
		}
		setPage(q, f.Limit, cursor)
		return ask[Page[Alarm]](ctx, a.c, get("alarms").with(q))
	})
}

// Get returns an alarm.
func (a *Alarms) Get(ctx context.Context, id string) (Alarm, error) {
	return ask[Alarm](ctx, a.c, get("alarms", id).with(a.query(nil)))
}

// Change changes an alarm by hand.
func (a *Alarms) Change(ctx context.Context, id string, w ChangeAlarm) (Alarm, error) {
	return ask[Alarm](ctx, a.c, patch(w, "alarms", id).with(a.query(nil)))
}

// Remove removes an alarm; the next samples that fit make a new one.
func (a *Alarms) Remove(ctx context.Context, id string) error {
	return a.c.do(ctx, remove("alarms", id).with(a.query(nil)), nil)
}

// A HistoryFilter chooses changes of alarms; empty fields choose all.
type HistoryFilter struct {
	Alarm      string // by id
	Definition string // by id or name
	State      string // that was entered
	Since      time.Time
	Limit      int // the last so many; 100 when 0
}

// History returns the last changes of alarms, newest first.
func (a *Alarms) History(ctx context.Context, f HistoryFilter) ([]AlarmTransition, error) {
	q := a.query(nil)
	set(q, "alarm", f.Alarm)
	set(q, "definition", f.Definition)
	set(q, "state", f.State)
	if !f.Since.IsZero() {
		q.Set("since", f.Since.Format(time.RFC3339Nano))
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	page, err := ask[Page[AlarmTransition]](ctx, a.c, get("alarms", "history").with(q))
	return page.Items, err
}

// Test sends the notifications of a state of a definition, marked as a test. It returns what was sent.
func (a *Alarms) Test(ctx context.Context, ref string, w TestAlarm) (AlarmTransition, error) {
	return ask[AlarmTransition](ctx, a.c, post(w, "alarm-definitions", ref, "test").with(a.query(nil)))
}

// Replay returns what a rule would have done over history.
func (a *Alarms) Replay(ctx context.Context, w ReplayAlarm) ([]AlarmTransition, error) {
	q := post(w, "alarm-definitions", "replay").with(a.query(nil))
	q.once = false
	page, err := ask[Page[AlarmTransition]](ctx, a.c, q)
	return page.Items, err
}

// Watch yields changes as they come, until ctx ends. It connects again by itself. What was missed meanwhile is not told:
// whenever the watch stands, at first too, it yields a change with Reset, after which everything may be read. It yields an
// error only where another attempt would not help, and ends then.
func (a *Alarms) Watch(ctx context.Context) iter.Seq2[AlarmChange, error] {
	return func(yield func(AlarmChange, error) bool) {
		wait := backoff.NewExponentialBackOff()
		wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
		done := false
		for ctx.Err() == nil {
			err := a.watch(ctx, func(x AlarmChange) bool {
				wait.Reset()
				done = !yield(x, nil)
				return !done
			})
			if done || ctx.Err() != nil {
				return
			}
			if again, _ := repeat(call{}, err); err != nil && !again {
				yield(AlarmChange{}, err)
				return
			}
			select {
			case <-time.After(wait.NextBackOff()):
			case <-ctx.Done():
			}
		}
	}
}

// watch watches over one connection. It returns nil when the server ended the stream.
func (a *Alarms) watch(ctx context.Context, f func(AlarmChange) bool) error {
	return a.c.events(ctx, get("alarms", "watch").with(a.query(nil)), func(_ string, data []byte) (bool, error) {
		var x AlarmChange
		if err := json.Unmarshal(data, &x); err != nil {
			return false, fmt.Errorf("watch alarms: %w", err)
		}
		return f(x), nil
	})
}

// Notifications returns the calls about notification methods of the caller's own project.
func (c *Client) Notifications() *Notifications { return &Notifications{c: c} }

// Notifications are the calls about notification methods and deliveries. Methods are named by id or name.
type Notifications struct {
	c       *Client
	project string
}

// Of returns the calls about the notifications of another project: a group, by name or number.
func (n *Notifications) Of(project string) *Notifications { return &Notifications{n.c, project} }

func (n *Notifications) query() url.Values {
	q := url.Values{}
	set(q, "project", n.project)
	return q
}

// Add makes a method.
func (n *Notifications) Add(ctx context.Context, m PutNotificationMethod) (NotificationMethod, error) {
	return ask[NotificationMethod](ctx, n.c, post(m, "notifications").with(n.query()))
}

// Get returns a method.
func (n *Notifications) Get(ctx context.Context, ref string) (NotificationMethod, error) {
	return ask[NotificationMethod](ctx, n.c, get("notifications", ref).with(n.query()))
}

// List returns the methods by name.
func (n *Notifications) List(ctx context.Context) ([]NotificationMethod, error) {
	return all(pages(func(cursor string) (Page[NotificationMethod], error) {
		q := n.query()
		setPage(q, 0, cursor)
		return ask[Page[NotificationMethod]](ctx, n.c, get("notifications").with(q))
	}))
}

// Change changes a method.
func (n *Notifications) Change(ctx context.Context, ref string, m PutNotificationMethod) (NotificationMethod, error) {
	return ask[NotificationMethod](ctx, n.c, patch(m, "notifications", ref).with(n.query()))
}

// Remove removes a method, also from the actions of all definitions.
func (n *Notifications) Remove(ctx context.Context, ref string) error {
	return n.c.do(ctx, remove("notifications", ref).with(n.query()), nil)
}

// Deliveries yields the notifications that wait, repeat or were given up, oldest first; of one method unless that is "".
func (n *Notifications) Deliveries(ctx context.Context, method string) iter.Seq2[Delivery, error] {
	return pages(func(cursor string) (Page[Delivery], error) {
		q := n.query()
		set(q, "method", method)
		setPage(q, 0, cursor)
		return ask[Page[Delivery]](ctx, n.c, get("deliveries").with(q))
	})
}

// Resend gives a notification that was given up a new life.
func (n *Notifications) Resend(ctx context.Context, delivery string) error {
	return n.c.do(ctx, post(nil, "deliveries", delivery, "resend").with(n.query()), nil)
}

// Discard drops a notification that waits or was given up.
func (n *Notifications) Discard(ctx context.Context, delivery string) error {
	return n.c.do(ctx, remove("deliveries", delivery).with(n.query()), nil)
}
