package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/client"
)

// completeServices completes the first argument with the services that there are.
func completeServices(t *terminal) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		c, err := t.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		page, err := c.Services().Page(ctx, client.ServiceFilter{Limit: 100}, "")
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var out []cobra.Completion
		for _, s := range page.Items {
			out = append(out, cobra.CompletionWithDesc(s.Name, s.State))
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
