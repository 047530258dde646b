package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

func newReleaseCommand(t *terminal) *cobra.Command {
	var o waitOptions
	cmd := &cobra.Command{
		Use:   "release SERVICE[/ROLE]",
		Short: "start what is held",
		Args:  exactly("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			service, role, _ := strings.Cut(args[0], "/")
			revision, err := c.Services().Release(cmd.Context(), service, role)
			if err != nil {
				return err
			}
			return t.outcome(cmd.Context(), c, service, revision, &o, "RUNNING", "COOLDOWN", "HOLD")
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}
