package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newRecoverCommand(t *terminal) *cobra.Command {
	return changing(t, "recover SERVICE", "try again what gave up",
		func(ctx context.Context, c *client.Client, at place) (int64, error) {
			return c.Services().Recover(ctx, at.service, client.Recover{})
		})
}
