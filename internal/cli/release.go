package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newReleaseCommand(t *terminal) *cobra.Command {
	return changing(t, "release SERVICE[/ROLE]", "start what is held",
		func(ctx context.Context, c *client.Client, at place) (int64, error) {
			return c.Services().Release(ctx, at.service, at.role)
		}, "RUNNING", "COOLDOWN", "HOLD")
}
