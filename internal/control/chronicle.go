package control

import (
	"context"
	"slices"

	"github.com/troupe-dev/troupe/internal/alerting"
	"github.com/troupe-dev/troupe/internal/identity"
	"github.com/troupe-dev/troupe/internal/notify"
)

// AlarmChronicle returns changes of alarms, oldest first, and whether there are more than the query's limit.
func (c *Control) AlarmChronicle(ctx context.Context, who *identity.Caller, project string, q alerting.HistoryQuery) ([]alerting.Entry, bool, error) {
	tenant, err := c.Project(who, project)
	if err != nil {
		return nil, false, err
	}
	return c.alerts.Chronicle(ctx, tenant, q)
}

// MethodTypes returns the types that notification methods can have on this server.
func (c *Control) MethodTypes() []notify.Type { return slices.Clone(c.methodRules.Types) }
