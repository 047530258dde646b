package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newRmCommand(t *terminal) *cobra.Command {
	var u client.Undeploy
	cmd := changing(t, "rm SERVICE", "remove a service: its machines, and its record",
		func(ctx context.Context, c *client.Client, at place) (int64, error) {
			return c.Services().Remove(ctx, at.service, u)
		}, client.Gone)
	change := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := change(cmd, args)
		if !u.Data || !client.IsNotFound(err) {
			return err
		}
		return calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			return removeLeft(ctx, t, c, args[0], err)
		})(cmd, args)
	}
	cmd.Flags().BoolVar(&u.Hard, "hard", false, "without the graceful part")
	cmd.Flags().BoolVar(&u.Data, "data", false, "the data of stable instances too; also that of a service which is gone")
	cmd.Flags().BoolVar(&u.Force, "force", false, "in any state, services that came through OneFlow too")
	return cmd
}
