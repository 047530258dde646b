package cli

import (
	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newRmCommand(t *terminal) *cobra.Command {
	var o waitOptions
	var u client.Undeploy
	cmd := &cobra.Command{
		Use:   "rm SERVICE",
		Short: "remove a service: its machines, and its record",
		Args:  exactly("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.Services().Get(cmd.Context(), args[0])
			if client.IsNotFound(err) && u.Data {
				return removeLeft(cmd.Context(), t, c, args[0], err)
			}
			if err != nil {
				return err
			}
			revision, err := c.Services().Remove(cmd.Context(), s.Ref(), u)
			if err != nil {
				return err
			}
			return t.outcome(cmd.Context(), c, s.Ref(), revision, &o, client.Gone)
		},
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&u.Hard, "hard", false, "without the graceful part")
	cmd.Flags().BoolVar(&u.Data, "data", false, "the data of stable instances too; also that of a service which is gone")
	cmd.Flags().BoolVar(&u.Force, "force", false, "in any state, services that came through OneFlow too")
	return cmd
}
