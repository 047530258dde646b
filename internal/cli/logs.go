package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newLogsCommand(t *terminal) *cobra.Command {
	var o client.LogOptions
	cmd := &cobra.Command{
		Use:   "logs SERVICE/ROLE/N",
		Short: "what an instance printed",
		Args:  exactly("SERVICE/ROLE/N"),
		RunE: atInstance(t, func(ctx context.Context, c *client.Client, service string, serial uint32, _ []string) error {
			return runLogs(ctx, t, c, o, service, serial)
		}),
	}
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false, "go on until Ctrl-C")
	cmd.Flags().IntVarP(&o.Tail, "tail", "n", 0, "how many of the last lines (default all that are kept)")
	cmd.Flags().BoolVar(&o.Stderr, "stderr", false, "only the error output")
	return cmd
}

func runLogs(ctx context.Context, t *terminal, c *client.Client, o client.LogOptions, service string, serial uint32) error {
	r, err := c.Services().Logs(ctx, service, serial, o)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.Copy(t.out, r); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the log broke off: %w", err)
	}
	return nil
}
