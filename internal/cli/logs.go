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
		RunE:  func(cmd *cobra.Command, args []string) error { return runLogs(cmd.Context(), t, o, args[0]) },
	}
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false, "go on until Ctrl-C")
	cmd.Flags().IntVarP(&o.Tail, "tail", "n", 0, "how many of the last lines (default all that are kept)")
	cmd.Flags().BoolVar(&o.Stderr, "stderr", false, "only the error output")
	return cmd
}

func runLogs(ctx context.Context, t *terminal, o client.LogOptions, place string) error {
	c, err := t.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	service, i, err := findInstance(ctx, c, place)
	if err != nil {
		return err
	}
	r, err := c.Services().Logs(ctx, service, i.Serial, o)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.Copy(t.out, r); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the log broke off: %w", err)
	}
	return nil
}
