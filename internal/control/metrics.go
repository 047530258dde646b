package control

import (
	"context"
	"fmt"
	"time"

	"github.com/troupe-dev/troupe/driver"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/metric"
	"github.com/troupe-dev/troupe/internal/service"
	"github.com/troupe-dev/troupe/internal/telemetry"
)

// ErrNoHistory: this server keeps no history of metrics.
var ErrNoHistory = fmt.Errorf("%w: this server keeps no history of metrics", telemetry.ErrQuery)

// MetricLimits returns what bounds a project's metrics: its quota, and where that says nothing, what is usual.
func MetricLimits(d *identity.Directory, usual telemetry.Limits) func(tenant int) telemetry.Limits {
	return func(tenant int) telemetry.Limits {
		l, q := usual, d.Quota(tenant)
		if q.Series != nil {
			l.Series = *q.Series
		}
		if q.Values != nil {
			l.Values = *q.Values
		}
		if q.Samples != nil {
			l.Rate, l.Burst = *q.Samples, 5**q.Samples
		}
		return l
	}
}

// AdmitMetrics is asked before a request's body is read: a project in debt is refused at once. done must be called.
func (c *Control) AdmitMetrics(ctx context.Context, who *identity.Caller, project string) (tenant int, done func(), err error) {
	if who == nil || !who.Can(identity.ScopeOperate) && !who.Can(identity.ScopePush) {
		return 0, nil, fmt.Errorf("%w: the token may not send metrics", identity.ErrDenied)
	}
	if tenant, err = c.Project(who, project); err != nil {
		return 0, nil, err
	}
	done, err = c.intake.Admit(ctx, tenant, time.Now())
	return tenant, done, err
}

// WriteMetrics takes samples of a user in. What they say of services is believed where the user may manage them.
func (c *Control) WriteMetrics(who *identity.Caller, tenant int, b *telemetry.Batch) (telemetry.Result, error) {
	return c.intake.Write(&telemetry.Binding{Tenant: tenant, MayClaim: func(o metric.Origin) bool {
		ok := false
		c.engine.View(o.Service, func(s *service.Service) {
			ok = s.Meta.Group == tenant && identity.Allowed(who, object(&s.Meta), identity.Manage) && isThere(s, o)
		})
		return ok
	}}, b, time.Now())
}

// isThere reports whether a service has the role and the instance that a sample names.
func isThere(s *service.Service, o metric.Origin) bool {
	if o.Role != "" && s.Role(o.Role) == nil {
		return false
	}
	if o.Serial == 0 {
		return true
	}
	i := s.Instance(o.Serial)
	return i != nil && (o.Role == "" || i.Role().Name == o.Role)
}

// Measured takes in what a driver measured of a machine, between two looks at it.
func (c *Control) Measured(id driver.MachineID, before, load telemetry.Load, elapsed time.Duration, now time.Time) {
	x, ok := c.instanceOf(id)
	if !ok {
		return
	}
	b := telemetry.NewBatch()
	defer b.Free()
	if telemetry.AddUsage(b, before, load, elapsed, now) == nil {
		_, _ = c.intake.Write(&telemetry.Binding{Tenant: x.Tenant, Origin: x.Origin}, b, now) // a project over its limits is not measured
	}
}

// Past gives the history of a project's metrics to whoever may read it.
func (c *Control) Past(who *identity.Caller, project string) (*telemetry.History, int, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return nil, 0, err
	}
	if c.history == nil {
		return nil, 0, ErrNoHistory
	}
	return c.history, tenant, nil
}

// MetricsHealth is how the intake of samples and their history are.
type MetricsHealth struct {
	Intake  telemetry.Health
	History *telemetry.HistoryHealth // nil when none is kept
}

// MetricsHealth returns figures for those who look after the server; nil where no samples are taken.
func (c *Control) MetricsHealth() *MetricsHealth {
	if c.intake == nil {
		return nil
	}
	h := &MetricsHealth{Intake: c.intake.Health()}
	if c.history != nil {
		past := c.history.Health()
		h.History = &past
	}
	return h
}
