package cli

import (
	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

func newDownCommand(t *terminal) *cobra.Command {
	var o waitOptions
	var hard bool
	cmd := &cobra.Command{
		Use:   "down SERVICE",
		Short: "remove the machines of a service, in reverse order; its record stays for a while",
		Args:  exactly("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			revision, err := c.Services().Undeploy(cmd.Context(), args[0], client.Undeploy{Hard: hard})
			if err != nil {
				return err
			}
			return t.outcome(cmd.Context(), c, args[0], revision, &o, "DONE", client.Gone)
		},
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&hard, "hard", false, "without the graceful part")
	return cmd
}
