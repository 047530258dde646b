package cli

import (
	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newRecoverCommand(t *terminal) *cobra.Command {
	var o waitOptions
	cmd := &cobra.Command{
		Use:   "recover SERVICE",
		Short: "try again what gave up",
		Args:  exactly("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			revision, err := c.Services().Recover(cmd.Context(), args[0], client.Recover{})
			if err != nil {
				return err
			}
			return t.outcome(cmd.Context(), c, args[0], revision, &o)
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}
