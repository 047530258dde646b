package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newDownCommand(t *terminal) *cobra.Command {
	var u client.Undeploy
	cmd := changing(t, "down SERVICE", "remove the machines of a service, in reverse order; its record stays for a while",
		func(ctx context.Context, c *client.Client, at place) (int64, error) {
			return c.Services().Undeploy(ctx, at.service, u)
		}, "DONE", client.Gone)
	cmd.Flags().BoolVar(&u.Hard, "hard", false, "without the graceful part")
	cmd.Flags().BoolVar(&u.Force, "force", false, "though other services need it, and in any state")
	return cmd
}
