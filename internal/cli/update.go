package cli

import (
	"context"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

type updateOptions struct {
	waitOptions
	sourceOptions
	rollback         string
	pause, continues bool
}

func newUpdateCommand(t *terminal) *cobra.Command {
	var o updateOptions
	cmd := &cobra.Command{
		Use:   "update SERVICE [FILE]",
		Short: "change a running service, role by role; or go back, pause, go on",
		Example: "  troupe update shop shop.yaml\n  troupe update shop --rollback\n  troupe update shop --rollback=3\n" +
			"  troupe update shop --pause",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactly("SERVICE")(cmd, args)
			}
			if err := atMost(2)(cmd, args); err != nil {
				return err
			}
			if slices.Contains(args, "") {
				return usageError("update: an argument is empty; usage: %s", cmd.UseLine())
			}
			return o.check(len(args) == 2)
		},
		RunE: calling(t, func(ctx context.Context, c *client.Client, args []string) error {
			return runUpdate(ctx, t, c, &o, args)
		}),
	}
	f := cmd.Flags()
	o.waitOptions.addFlags(f)
	o.sourceOptions.addFlags(f)
	f.StringVar(&o.rollback, "rollback", "", "return to an earlier `revision`, without one to the last that was in place")
	f.Lookup("rollback").NoOptDefVal = "0"
	f.BoolVar(&o.pause, "pause", false, "pause the update that is under way")
	f.BoolVar(&o.continues, "continue", false, "go on with an update that paused")
	return cmd
}

// check refuses flags that do not go together, or with a file.
func (o *updateOptions) check(file bool) error {
	if o.pause && o.continues || o.rollback != "" && (o.pause || o.continues) {
		return usageError("update: give one of --rollback, --pause and --continue alone")
	}
	if special := o.rollback != "" || o.pause || o.continues; special == file {
		return usageError("update: give a FILE, or one of --rollback, --pause and --continue")
	}
	return nil
}

func runUpdate(ctx context.Context, t *terminal, c *client.Client, o *updateOptions, args []string) error {
	ref := args[0]
	var revision int64
	var err error
	switch {
	case o.pause:
		_, err = c.Services().PauseUpdate(ctx, ref)
		return err
	case o.continues:
		revision, err = c.Services().ContinueUpdate(ctx, ref)
	case o.rollback != "":
		n, bad := strconv.ParseUint(o.rollback, 10, 32)
		if bad != nil {
			return usageError("--rollback=%s: a revision is a number", o.rollback)
		}
		revision, err = c.Services().Rollback(ctx, ref, uint32(n))
	default:
		revision, err = updateFrom(ctx, t, c, o, ref, args[1])
	}
	if err != nil {
		return err
	}
	return t.outcome(ctx, c, ref, revision, &o.waitOptions)
}

func updateFrom(ctx context.Context, t *terminal, c *client.Client, o *updateOptions, ref, file string) (int64, error) {
	d, err := o.readService(t, file)
	if err != nil {
		return 0, err
	}
	inputs, err := o.inputs()
	if err != nil {
		return 0, err
	}
	now, err := c.Services().Get(ctx, ref)
	if err != nil {
		return 0, err
	}
	o.before = now.Revision
	return c.Services().Update(ctx, ref, client.UpdateService{Document: d.Document, Inputs: inputs})
}
