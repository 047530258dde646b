package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

type actOptions struct {
	args   string
	period time.Duration
	number int
	cancel bool
}

func newActCommand(t *terminal) *cobra.Command {
	var o actOptions
	cmd := &cobra.Command{
		Use:   "act SERVICE[/ROLE[/N]] ACTION",
		Short: "do something to machines: reboot, suspend, resume, poweroff, ...",
		Long: "Do something to the machines of a service, a role or to one instance: hold, release, stop, suspend, resume,\n" +
			"reboot, reboot-hard, poweroff, poweroff-hard, undeploy, undeploy-hard, terminate, terminate-hard,\n" +
			"snapshot-create, snapshot-revert, snapshot-delete. What a driver lacks is refused.",
		Example: "  troupe act shop/app reboot --number 1 --period 30s",
		Args: func(cmd *cobra.Command, args []string) error {
			if o.cancel {
				return exactly("SERVICE")(cmd, args)
			}
			return exactly("SERVICE", "ACTION")(cmd, args)
		},
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error { return runAct(ctx, t, c, &o, args) }),
	}
	cmd.Flags().StringVar(&o.args, "args", "", "`text` for the action, such as a snapshot's name")
	cmd.Flags().DurationVar(&o.period, "period", 0, "with --number: so many machines each period")
	cmd.Flags().IntVar(&o.number, "number", 0, "machines each period")
	cmd.Flags().BoolVar(&o.cancel, "cancel", false, "drop the actions that wait for their time")
	return cmd
}

func runAct(ctx context.Context, t *terminal, c *client.Client, o *actOptions, args []string) error {
	at, err := findPlace(ctx, c, args[0])
	if err != nil {
		return err
	}
	if o.cancel {
		_, err := c.Services().CancelActions(ctx, at.service, at.role)
		return err
	}
	a := client.Action{Name: args[1], Role: at.role, Args: o.args, Period: client.Duration(o.period), Number: o.number}
	if at.instance != nil {
		a.Serial = at.instance.Serial
	}
	if _, err := c.Services().Act(ctx, at.service, a); err != nil {
		return err
	}
	t.tell("%s: %s is under way; see `troupe ps %s`", args[0], args[1], at.service)
	return nil
}
