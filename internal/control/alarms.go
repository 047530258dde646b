package control

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/internal/alarm"
	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/notify"
	"github.com/troupe-dev/troupe/internal/service"
)

// Alarms, notification methods and metrics belong to projects. A call says which: the caller's own when it names
// none; another only where the caller is a member, or an administrator.

// Project returns the number of a project that a call may be about.
func (c *Control) Project(who *identity.Caller, ref string) (int, error) {
	if who == nil {
		return 0, identity.ErrDenied
	}
	if ref == "" {
		return who.Group, nil
	}
	g, err := c.groupOf(ref)
	if err == nil && (who.In(g.ID) || who.Admin) {
		return g.ID, nil
	}
	return 0, fmt.Errorf("project %.60q: %w", ref, identity.ErrNotFound) // nobody learns which there are
}

// changes is Project for what changes something.
func (c *Control) changes(who *identity.Caller, ref string) (int, error) {
	if err := writes(who); err != nil {
		return 0, err
	}
	return c.Project(who, ref)
}

// MayManage reports whether a user may manage a service now: alarms act on services as their makers do.
func MayManage(d *identity.Directory, user int, meta *service.Meta) bool {
	who, err := d.As(user)
	return err == nil && identity.Allowed(who, object(meta), identity.Manage)
}

// Definitions returns the alarm definitions of a project, by name.
func (c *Control) Definitions(who *identity.Caller, project string) ([]alerting.Definition, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return nil, err
	}
	return c.alerts.Definitions(tenant), nil
}

// Definition returns one alarm definition, by id or name.
func (c *Control) Definition(who *identity.Caller, project, ref string) (alerting.Definition, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return alerting.Definition{}, err
	}
	return c.alerts.Definition(tenant, ref)
}

// Define makes an alarm definition that belongs to the caller.
func (c *Control) Define(ctx context.Context, who *identity.Caller, project string, d alarm.Definition) (alerting.Definition, error) {
	tenant, err := c.changes(who, project)
	var made alerting.Definition
	if err == nil {
		d.Tenant = tenant
		made, err = c.alerts.Define(ctx, who.User, d)
	}
	return made, c.note(ctx, who, "alarm.define", d.Name, err)
}

// Redefine changes an alarm definition; edit gets a copy.
func (c *Control) Redefine(ctx context.Context, who *identity.Caller, project, id string, edit func(*alarm.Definition) error) (alerting.Definition, error) {
	tenant, err := c.changes(who, project)
	var changed alerting.Definition
	if err == nil {
		changed, err = c.alerts.Redefine(ctx, tenant, id, who.User, edit)
	}
	return changed, c.note(ctx, who, "alarm.redefine", id, err)
}

// RemoveDefinition removes an alarm definition with its alarms.
func (c *Control) RemoveDefinition(ctx context.Context, who *identity.Caller, project, id string) error {
	tenant, err := c.changes(who, project)
	if err == nil {
		err = c.alerts.Remove(ctx, tenant, id)
	}
	return c.note(ctx, who, "alarm.remove", id, err)
}

// Alarms returns the alarms of a project, or of one definition unless that is "", in no order; keep chooses.
func (c *Control) Alarms(who *identity.Caller, project, definition string, keep func(*alerting.Alarm) bool) ([]alerting.Alarm, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return nil, err
	}
	return c.alerts.Alarms(tenant, definition, keep), nil
}

// Alarm returns one alarm.
func (c *Control) Alarm(who *identity.Caller, project, id string) (alerting.Alarm, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return alerting.Alarm{}, err
	}
	return c.alerts.Alarm(tenant, id)
}

// EditAlarm changes an alarm by hand.
func (c *Control) EditAlarm(ctx context.Context, who *identity.Caller, project, id string, e alerting.Edit) (alerting.Alarm, error) {
	tenant, err := c.changes(who, project)
	var changed alerting.Alarm
	if err == nil {
		changed, err = c.alerts.Edit(ctx, tenant, id, e)
	}
	return changed, c.note(ctx, who, "alarm.edit", id, err)
}

// ForgetAlarm removes an alarm; the next samples that fit make a new one.
func (c *Control) ForgetAlarm(ctx context.Context, who *identity.Caller, project, id string) error {
	tenant, err := c.changes(who, project)
	if err == nil {
		err = c.alerts.Forget(ctx, tenant, id)
	}
	return c.note(ctx, who, "alarm.forget", id, err)
}

// TestDefinition sends the notifications of a state, marked as a test.
func (c *Control) TestDefinition(ctx context.Context, who *identity.Caller, project, definition, id string, to alarm.State) (alarm.Transition, error) {
	tenant, err := c.changes(who, project)
	var t alarm.Transition
	if err == nil {
		t, err = c.alerts.Test(ctx, tenant, definition, id, to)
	}
	return t, c.note(ctx, who, "alarm.test", definition, err)
}

// Replay returns what a definition would have done over history.
func (c *Control) Replay(ctx context.Context, who *identity.Caller, project string, d alarm.Definition, from, to time.Time) ([]alarm.Transition, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return nil, err
	}
	d.Tenant = tenant
	return c.alerts.Replay(ctx, d, from, to)
}

// AlarmHistory returns the last n changes of alarms, newest first; of one alarm unless id is "".
func (c *Control) AlarmHistory(ctx context.Context, who *identity.Caller, project, id string, n int, since time.Time, match func(*alerting.Entry) bool) ([]alerting.Entry, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return nil, err
	}
	return c.alerts.History(ctx, tenant, id, n, since, match)
}

// WatchAlarms returns changes of a project's alarms; the channel ends when the caller falls behind, and reads everything
// anew then. stop ends it.
func (c *Control) WatchAlarms(who *identity.Caller, project string) (tenant int, changes <-chan alerting.Change, stop func(), err error) {
	if tenant, err = c.Project(who, project); err != nil {
		return 0, nil, nil, err
	}
	changes, stop = c.alerts.Watch()
	return tenant, changes, stop, nil
}

// Methods returns the notification methods of a project, by name.
func (c *Control) Methods(who *identity.Caller, project string) ([]alerting.Method, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return nil, err
	}
	return c.alerts.Methods(tenant), nil
}

// Method returns one notification method, by id or name.
func (c *Control) Method(who *identity.Caller, project, ref string) (alerting.Method, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return alerting.Method{}, err
	}
	return c.alerts.Method(tenant, ref)
}

// PutMethod makes a notification method when ref is "", and changes one otherwise; edit gets a copy.
func (c *Control) PutMethod(ctx context.Context, who *identity.Caller, project, ref string, edit func(*notify.Method) error) (alerting.Method, error) {
	tenant, err := c.changes(who, project)
	var m alerting.Method
	if err == nil {
		m, err = c.alerts.PutMethod(ctx, tenant, ref, func(m *notify.Method) error {
			if err := edit(m); err != nil {
				return err
			}
			return c.methodRules.Validate(m)
		})
	}
	return m, c.note(ctx, who, "notification.put", ref+m.Name, err)
}

// RemoveMethod removes a notification method, also from all definitions.
func (c *Control) RemoveMethod(ctx context.Context, who *identity.Caller, project, ref string) error {
	tenant, err := c.changes(who, project)
	if err == nil {
		err = c.alerts.RemoveMethod(ctx, tenant, ref)
	}
	return c.note(ctx, who, "notification.remove", ref, err)
}

// Deliveries returns the notifications that wait, repeat or were given up, the oldest first; of one method unless that is "".
func (c *Control) Deliveries(who *identity.Caller, project, method string) ([]notify.Delivery, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return nil, err
	}
	return c.alerts.Deliveries(tenant, method), nil
}

// Resend gives a notification that was given up a new life.
func (c *Control) Resend(ctx context.Context, who *identity.Caller, project, id string) error {
	tenant, err := c.changes(who, project)
	if err == nil {
		err = c.alerts.Resend(tenant, id)
	}
	return c.note(ctx, who, "delivery.resend", id, err)
}

// Discard drops a notification that waits or was given up.
func (c *Control) Discard(ctx context.Context, who *identity.Caller, project, id string) error {
	tenant, err := c.changes(who, project)
	if err == nil {
		err = c.alerts.Discard(tenant, id)
	}
	return c.note(ctx, who, "delivery.discard", id, err)
}

// Silences returns the silences of a project that are not over.
func (c *Control) Silences(who *identity.Caller, project string) ([]alarm.Silence, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return nil, err
	}
	return c.alerts.Silences(tenant), nil
}

// Silence begins a silence over alarms of a project, in the caller's name.
func (c *Control) Silence(ctx context.Context, who *identity.Caller, project string, s alarm.Silence) (alarm.Silence, error) {
	tenant, err := c.changes(who, project)
	if err == nil {
		s.Tenant, s.By = tenant, who.User
		s, err = c.alerts.Silence(ctx, s)
	}
	return s, c.note(ctx, who, "alarm.silence", s.ID, err)
}

// EndSilence ends a silence of a project.
func (c *Control) EndSilence(ctx context.Context, who *identity.Caller, project, id string) error {
	tenant, err := c.changes(who, project)
	if err == nil {
		err = c.alerts.EndSilence(ctx, tenant, id)
	}
	return c.note(ctx, who, "alarm.unsilence", id, err)
}
