package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newAttachCommand(t *terminal) *cobra.Command {
	var o attachOptions
	cmd := &cobra.Command{
		Use:   "attach SERVICE",
		Short: "have a service managed that was left alone",
		Long: "Have a service managed that was detached: what is wished is brought about, and what fails is healed. With --once that lasts\n" +
			"until all has settled or failed; then the service is left alone again.",
		Example: "  troupe attach shop\n  troupe attach shop --once --deadline 10m",
		Args:    exactly("SERVICE"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			return runAttach(ctx, t, c, &o, args[0])
		}),
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&o.Once, "once", false, "for one pass")
	cmd.Flags().DurationVar((*time.Duration)(&o.Deadline), "deadline", 0, "how long a pass may take (default an hour)")
	return cmd
}

type attachOptions struct {
	waitOptions
	client.Attach
}

func runAttach(ctx context.Context, t *terminal, c *client.Client, o *attachOptions, ref string) error {
	if o.Deadline != 0 && !o.Once {
		return usageError("--deadline is for --once")
	}
	revision, err := c.Services().Attach(ctx, ref, o.Attach)
	if err != nil {
		return err
	}
	o.pass = o.Once
	return t.outcome(ctx, c, ref, revision, &o.waitOptions)
}

func newDetachCommand(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "detach SERVICE",
		Short: "leave a service alone: its machines stay, and wishes wait until it is attached",
		Args:  exactly("SERVICE"),
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			if _, err := c.Services().Detach(ctx, args[0]); err != nil {
				return err
			}
			t.tell("service %s is left alone; `troupe attach %s` has it managed again", args[0], args[0])
			return nil
		}),
	}
}
